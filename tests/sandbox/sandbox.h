/* The pieces of the sandbox and one request in it. One thread: nothing here is locked. */
#ifndef SANDBOX_H
#define SANDBOX_H

#include <jansson.h>
#include <microhttpd.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/timers.h"

#include "deliveries.h"
#include "events.h"
#include "faults.h"
#include "hooks.h"
#include "journal.h"
#include "limits.h"
#include "spec.h"
#include "store.h"

#define QUERY_MAX 32
#define BODY_MAX ((size_t)32 << 20)

struct options {
    int port;
    bool kafka, registry;
    const char *topics; /* "a:4,b:4" */
    const char *catalogue, *state_file, *token, *app_secret;
    uint64_t seed;
    int64_t fill; /* this many conversations, contacts and tags at the start */
    int64_t build_ms, hold_ms, slow_ms, objects_max;
    double speed;
    struct limits_options limits;
    size_t journal_max; /* 0: off */
    json_t *webhooks;   /* by kind: what --webhook-... said, as POST /_sandbox/webhooks */
};

struct sandbox {
    struct options opt;
    struct spec spec;
    struct store store;
    struct events events;
    struct limits limits;
    struct faults faults;
    struct journal journal;
    struct hooks hooks;
    struct deliveries deliveries;
    json_t *registry; /* registry.c */
    struct poster *poster;
    struct timers timers;
    TAILQ_HEAD(, late) lates; /* emit.c */
    char url[64];
    int64_t started_ms, started_wall_ms; /* monotonic; UTC */
    uint64_t random;
    uint64_t requests, refused;
    struct server *server;
};

/* Where a request stands in the server (server.c moves it). */
enum stage {
    STAGE_HEAD,
    STAGE_BODY,
    STAGE_DELAYED,
    STAGE_READY,
    STAGE_HELD,
    STAGE_CLOSED
};

struct pair {
    const char *name, *value;
};

struct call {
    struct sandbox *sb;
    struct MHD_Connection *conn;
    enum stage stage;
    struct timer timer; /* delayed or held */
    TAILQ_ENTRY(call) held;
    /* the request */
    char method[8];
    char *uri;   /* path?query as it came */
    char *parts; /* decoded copy; segments and query point into it */
    char *segments[SEGMENTS_MAX + 1];
    size_t n_segments;
    struct pair query[QUERY_MAX];
    size_t n_query;
    struct buf body;
    bool multipart;
    json_t *json; /* body as an object; NULL: none */
    struct operation *op;
    /* the answer */
    int status;
    json_t *answer; /* or */
    char *text;     /* bytes (mem_free), text_len of them */
    size_t text_len;
    const char *content_type;
    char *location;
    double retry_after; /* < 0: none */
    const char *tier;
    struct limits_view quota;
    bool has_quota;
    int64_t built_ms;  /* its events come then: its message is being built; 0: now */
    struct late *late; /* emit.c: those events */
    bool executed;     /* the state is as if Front had done it */
    char made_id[96];  /* id or message_uid of the answer */
    enum fault_kind fault;
    int64_t delay_ms;
};

/* Current time in the sandbox: seconds since the epoch with milliseconds (--speed
 * applies). */
double sandbox_now(const struct sandbox *sb);
int64_t sandbox_ms(const struct sandbox *sb); /* monotonic, real */
uint64_t sandbox_random(struct sandbox *sb);
void sandbox_uid(struct sandbox *sb, char out[33]); /* 32 hex digits */
void sandbox_reset(struct sandbox *sb);
int sandbox_save(struct sandbox *sb, struct err *e);

/* call.c: runs one whole request; afterwards status, answer, fault and delay_ms are set.
 */
void call_run(struct call *c);
void call_error(struct call *c, int status, const char *title, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void call_unknown(struct call *c, enum kind kind, const char *id);
void call_detail(struct call *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
const char *call_param(const struct call *c, const char *name); /* path; NULL: none */
const char *call_query(const struct call *c, const char *name, size_t i); /* i-th; NULL */
const char *call_text(const struct call *c,
                      const char *name); /* body field; NULL: no text */
json_t *call_field(const struct call *c, const char *name); /* body field; NULL: absent */
/* Drops the answer made so far. */
void call_forget(struct call *c);

/* auth.c: false after it has answered 401. */
bool auth_check(struct call *c, bool *channel_api);

/* check.c: false after it has answered 400. */
bool check_body(struct call *c);
bool body_parse(struct call *c);
/* multipart.c: a form as the JSON object it stands for; files become KIND_FILE objects
 * and
 * {"_file": id}. NULL and e. */
json_t *multipart_parse(struct sandbox *sb, const char *content_type, struct str body,
                        struct err *e);

/* magic.c */
enum magic {
    MAGIC_NONE,
    MAGIC_429,
    MAGIC_500,
    MAGIC_500_ONCE,
    MAGIC_TIMEOUT,
    MAGIC_RESET,
    MAGIC_SLOW,
    MAGIC_301,
    MAGIC_404,
    MAGIC_EXAMPLE /* the "_1z" of the catalogue's examples: an ordinary object */
};
enum magic magic_of(const char *id);
/* Applies the first magic id of the request; true when it answered without executing. */
bool magic_apply(struct call *c);

/* find.c: ids and aliases of requests to objects. */
struct object *find_object(struct sandbox *sb, enum kind kind,
                           const char *id); /* NULL: none */
struct object *find_param(struct call *c, enum kind kind,
                          const char *param); /* answers 404 */
struct object *find_field(struct call *c, enum kind kind,
                          const char *name); /* answers 404 */
enum kind kind_of_param(const char *param);  /* "contact_id" -> KIND_CONTACT; KIND_NONE */
enum kind kind_of_prefix(const char *id);

/* render.c */
json_t *render(struct sandbox *sb, const struct object *obj, const struct shape *shape);
json_t *render_links(struct sandbox *sb, const char *path);

/* payload.c */
json_t *render_event(struct sandbox *sb, const struct event *ev, bool preview);

/* list.c: answers with a page. match NULL: all. */
typedef bool list_match(struct call *c, const struct object *obj);
void list_kind(struct call *c, enum kind kind, list_match *match);
void list_related(struct call *c, const struct object *obj, enum rel rel, enum kind other,
                  bool reverse);
void list_events(struct call *c, const char *conversation);
bool match_conversation(struct call *c, const struct object *obj);

/* seed.c */
void seed_all(struct sandbox *sb);
struct object *seed_one(struct sandbox *sb, enum kind kind, const char *id, unsigned n);
json_t *seed_ids(const struct sandbox *sb);

/* operations.c: sets op->run of every operation; the handlers by subject are below it. */
int operations_bind(struct spec *sp, struct err *e);
void answer_object(struct call *c, const struct object *obj);
void answer_accepted(struct call *c, const char *uid);
/* All ids that the body names exist; false after it has answered 404. */
bool references_exist(struct call *c);
/* Copies the body's fields that the object's shape has, joins what it names, and dates
 * it. */
void absorb(struct call *c, struct object *obj);
void attach_files(struct call *c, struct object *obj);
operation_fn *handler_conversation(const char *operation);
operation_fn *handler_message(const char *operation);
operation_fn *handler_contact(const char *operation);
operation_fn *handler_other(const char *operation);
struct object *comment_make(struct call *c, struct object *cnv, const json_t *from);
struct object *message_make(struct call *c, bool inbound);
void message_join(struct call *c, struct object *msg, struct object *cnv);
void conversation_assign(struct call *c, struct object *cnv, struct object *tea);
struct object *
author_of(struct call *c); /* teammate of author_id, or the API's; NULL: 404 */

/* emit.c: an event of this type (a name of the table) about a conversation. */
struct event *event_add(struct call *c, const char *type, const struct object *cnv,
                        const struct object *target);

/* trigger.c: POST /_sandbox/trigger */
void trigger_run(struct call *c);

/* Events that wait for a message are forgotten. */
void late_clear(struct sandbox *sb);

/* admin.c: /_sandbox/... */
void admin_run(struct call *c);

/* registry.c: /_sandbox/registry/... */
void registry_open(struct sandbox *sb);
void registry_run(struct call *c);

/* server.c */
int server_start(struct sandbox *sb, struct err *e);
void server_run(struct sandbox *sb); /* until SIGTERM or SIGINT */
void server_stop(struct sandbox *sb);
const char *server_header(const struct call *c, const char *name);

/* kafka.c: librdkafka's mock cluster. */
struct mock;
struct mock *mock_start(const char *topics, struct err *e);
const char *mock_bootstrap(const struct mock *mk);
void mock_stop(struct mock *mk);

/* client.c: the subcommands ask a running sandbox. */
int client_ask(const char *url, const char *method, const char *path, struct str body,
               int *status, json_t **answer, struct err *e);
int assert_once(int argc, char **argv);
/* client_trigger.c */
int trigger_ask(int argc, char **argv);

#endif
