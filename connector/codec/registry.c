/* The registry client: see registry.h. Owns its questions (`ask`), each with the one call
 * that runs for it, and through them what is known.
 *
 * Invariants: of one id, or one schema and subject, there is one question, so it is never
 * asked twice at the same time; a question that was answered KNOWN stays so. */
#include "codec/registry.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/map.h"
#include "codec/json.h"
#include "codec/registry_wire.h"

enum {
    TIMEOUT_MS = 10000,
    ANSWER_MAX = 2 * 1024 * 1024,
    BACKOFF_MS = 500,
    BACKOFF_MAX_MS = 5000,
    UNKNOWN_AGAIN_MS = 5000, /* a registry's followers may lag behind a registration */
    OUTPUT_AGAIN_MS = 10000, /* somebody may have registered it meanwhile */
    IDS_MAX = 4096
};

enum ask_state {
    ASK_DUE,
    ASK_RUNNING,
    ASK_WAITING, /* until at_ms, then DUE */
    ASK_KNOWN,
    ASK_MISSING /* until at_ms; whoever wants it then makes it DUE */
};
#define ASK_STATES 5

struct ask {
    TAILQ_ENTRY(ask) link; /* of its state */
    UT_hash_handle hh;     /* by id, or by subject and full name */
    enum ask_state state;
    struct registry *rg;
    enum registry_question question;
    int32_t id;              /* asked for, or learnt */
    const struct schema *sc; /* likewise */
    char *subject, *key;     /* of an output; NULL: it is an id */
    int64_t at_ms;
    int64_t unknown_since; /* it was first said that there is none; 0: it was not */
    unsigned failures;     /* since the last answer */
    size_t url;            /* that was asked last */
    struct http_call call;
    struct arena arena; /* of the call */
    char why[300];
};
TAILQ_HEAD(ask_list, ask);

struct registry {
    struct registry_options o;
    char *authorization;
    struct schemas *ss;
    struct ask_list lists[ASK_STATES];
    struct ask *by_id, *by_key;
    size_t running;
    size_t url; /* asked first; the next one when it fails */
    uint64_t news;
    bool in_trouble;
    char trouble[400];
};

static struct ask *ask_new(struct registry *rg);
static void ask_free(struct ask *ask);
static void move(struct ask *ask, enum ask_state to);
static enum registry_answer answer_of(struct ask *ask, struct err *e);
static void forget_one(struct registry *rg);
static void start(struct ask *ask);
static void done(struct http_call *call);
static void failed(struct ask *ask, const char *why);
static void answered(struct ask *ask, const struct registry_reply *reply);
static void answered_id(struct ask *ask, const struct registry_reply *reply);
static void answered_output(struct ask *ask, const struct registry_reply *reply);
static void known(struct ask *ask, const struct schema *sc, int32_t id);
static void missing(struct ask *ask, int64_t for_ms, const char *why);

static int64_t now_of(const struct registry *rg)
{
    return clock_now(rg->o.clock);
}

struct registry *registry_new(struct schemas *ss, const struct registry_options *o)
{
    struct registry *rg = mem_zalloc(sizeof(*rg));
    size_t i;

    rg->o = *o;
    rg->ss = ss;
    for (i = 0; i < ASK_STATES; i++)
        TAILQ_INIT(&rg->lists[i]);
    registry_set_authorization(rg, o->authorization);
    schemas_set_registry(ss, rg);
    return rg;
}

void registry_free(struct registry *rg)
{
    struct ask *ask, *next;

    if (rg == NULL)
        return;
    TAILQ_FOREACH (ask, &rg->lists[ASK_RUNNING], link)
        rg->o.ports[ask->url].cancel(rg->o.ports[ask->url].self, &ask->call);
    for (size_t i = 0; i < rg->o.n; i++)
        rg->o.ports[i].reap(rg->o.ports[i].self);
    HASH_ITER (hh, rg->by_id, ask, next) {
        HASH_DEL(rg->by_id, ask);
        ask_free(ask);
    }
    HASH_ITER (hh, rg->by_key, ask, next) {
        HASH_DEL(rg->by_key, ask);
        ask_free(ask);
    }
    schemas_set_registry(rg->ss, NULL);
    registry_set_authorization(rg, NULL);
    mem_free(rg);
}

void registry_set_authorization(struct registry *rg, const char *authorization)
{
    if (rg->authorization != NULL)
        mem_wipe(rg->authorization, strlen(rg->authorization));
    mem_free(rg->authorization);
    rg->authorization = authorization != NULL ? mem_strdup(authorization) : NULL;
}

char *registry_subject(enum registry_subjects subjects, const char *topic,
                       const char *full_name)
{
    switch (subjects) {
    case SUBJECT_TOPIC:
        return mem_printf("%s-value", topic);
    case SUBJECT_RECORD:
        return mem_strdup(full_name);
    case SUBJECT_TOPIC_RECORD:
        return mem_printf("%s-%s", topic, full_name);
    }
    abort();
}

/* ---- what is asked ---- */

enum registry_answer registry_by_id(struct registry *rg, int32_t id,
                                    const struct schema **sc, struct err *e)
{
    enum registry_answer answer;
    struct ask *ask;

    HASH_FIND(hh, rg->by_id, &id, sizeof(id), ask);
    if (ask == NULL && id < 1) {
        (void)err_input(e, "SchemaUnknown", "%d is no id of a schema", (int)id);
        return REGISTRY_MISSING;
    }
    if (ask == NULL) {
        if (HASH_COUNT(rg->by_id) >= IDS_MAX)
            forget_one(rg);
        ask = ask_new(rg);
        ask->question = ASK_BY_ID;
        ask->id = id;
        HASH_ADD(hh, rg->by_id, id, sizeof(ask->id), ask);
    }
    answer = answer_of(ask, e);
    *sc = ask->sc;
    return answer;
}

enum registry_answer registry_output(struct registry *rg, const struct schema *sc,
                                     const char *topic, struct err *e)
{
    const char *full_name = schema_full_name(sc);
    char *subject = registry_subject(rg->o.subjects, topic, full_name);
    char *key = mem_printf("%s %s", subject, full_name);
    struct ask *ask;

    HASH_FIND(hh, rg->by_key, key, strlen(key), ask);
    if (ask == NULL) {
        ask = ask_new(rg);
        ask->question = ASK_NORMALIZED;
        ask->sc = sc;
        ask->subject = subject;
        ask->key = key;
        HASH_ADD_KEYPTR(hh, rg->by_key, ask->key, strlen(ask->key), ask);
    } else {
        mem_free(subject);
        mem_free(key);
    }
    return answer_of(ask, e);
}

/* What somebody waits for is asked for. */
static enum registry_answer answer_of(struct ask *ask, struct err *e)
{
    if (ask->state == ASK_KNOWN)
        return REGISTRY_KNOWN;
    if (ask->state == ASK_MISSING && now_of(ask->rg) < ask->at_ms) {
        (void)err_input(e, "SchemaUnknown", "%s", ask->why);
        return REGISTRY_MISSING;
    }
    if (ask->state == ASK_MISSING) {
        ask->unknown_since = 0;
        if (ask->subject != NULL)
            ask->question = ASK_NORMALIZED;
        move(ask, ASK_DUE);
    }
    if (ask->subject != NULL)
        (void)err_set(e, ERR_BUSY, "the registry is asked for subject %s%s%s",
                      ask->subject, ask->why[0] != '\0' ? ": " : "", ask->why);
    else
        (void)err_set(e, ERR_BUSY, "the registry is asked for schema id %" PRId32 "%s%s",
                      ask->id, ask->why[0] != '\0' ? ": " : "", ask->why);
    return REGISTRY_WAIT;
}

static struct ask *ask_new(struct registry *rg)
{
    struct ask *ask = mem_zalloc(sizeof(*ask));

    ask->rg = rg;
    ask->state = ASK_DUE;
    ask->url = rg->url;
    arena_init(&ask->arena, 0);
    http_call_init(&ask->call);
    TAILQ_INSERT_TAIL(&rg->lists[ASK_DUE], ask, link);
    return ask;
}

static void ask_free(struct ask *ask)
{
    TAILQ_REMOVE(&ask->rg->lists[ask->state], ask, link);
    http_call_fini(&ask->call);
    arena_fini(&ask->arena);
    mem_free(ask->subject);
    mem_free(ask->key);
    mem_free(ask);
}

static void move(struct ask *ask, enum ask_state to)
{
    TAILQ_REMOVE(&ask->rg->lists[ask->state], ask, link);
    TAILQ_INSERT_TAIL(&ask->rg->lists[to], ask, link);
    ask->state = to;
}

/* Ids that nobody registered may come without end: the oldest such memory goes first. */
static void forget_one(struct registry *rg)
{
    struct ask *ask;

    TAILQ_FOREACH (ask, &rg->lists[ASK_MISSING], link) {
        if (ask->subject != NULL)
            continue;
        HASH_DEL(rg->by_id, ask);
        ask_free(ask);
        return;
    }
}

/* ---- asking ---- */

void registry_turn(struct registry *rg)
{
    struct ask *ask, *next;

    for (size_t i = 0; i < rg->o.n; i++)
        rg->o.ports[i].reap(rg->o.ports[i].self);
    for (ask = TAILQ_FIRST(&rg->lists[ASK_WAITING]); ask != NULL; ask = next) {
        next = TAILQ_NEXT(ask, link);
        if (ask->at_ms <= now_of(rg))
            move(ask, ASK_DUE);
    }
    while (rg->running < REGISTRY_PLACES &&
           (ask = TAILQ_FIRST(&rg->lists[ASK_DUE])) != NULL)
        start(ask);
}

int64_t registry_next_ms(const struct registry *rg)
{
    const struct ask *ask;
    int64_t next = INT64_MAX;

    if (!TAILQ_EMPTY(&rg->lists[ASK_DUE]) && rg->running < REGISTRY_PLACES)
        return now_of(rg);
    TAILQ_FOREACH (ask, &rg->lists[ASK_WAITING], link)
        if (ask->at_ms < next)
            next = ask->at_ms;
    return next;
}

static void start(struct ask *ask)
{
    struct registry *rg = ask->rg;
    struct registry_about about = {.id = ask->id, .subject = ask->subject};
    const struct http_port *port = &rg->o.ports[ask->url];

    arena_reset(&ask->arena);
    if (ask->sc != NULL)
        about.schema = schema_text(ask->sc);
    registry_request(ask->question, &about, &ask->arena, &ask->call);
    ask->call.authorization =
        rg->authorization != NULL
            ? arena_strndup(&ask->arena, rg->authorization, strlen(rg->authorization))
            : NULL;
    ask->call.timeout_ms = TIMEOUT_MS;
    ask->call.body_max = ANSWER_MAX;
    ask->call.done = done;
    ask->call.owner = ask;
    move(ask, ASK_RUNNING);
    rg->running++;
    if (port->start(port->self, &ask->call) == 0)
        return;
    rg->running--; /* a place too few: ours */
    failed(ask, "no place for the question");
}

static void done(struct http_call *call)
{
    struct ask *ask = call->owner;
    struct registry_reply reply;

    ask->rg->running--;
    registry_reply_read(ask->question, call, &ask->arena, &reply);
    http_call_fini(&ask->call);
    if (reply.said == SAID_NOTHING)
        failed(ask, reply.why);
    else
        answered(ask, &reply);
}

/* The next URL at once; when all were asked, after a pause. */
static void failed(struct ask *ask, const char *why)
{
    struct registry *rg = ask->rg;
    unsigned rounds;

    (void)snprintf(ask->why, sizeof(ask->why), "%s: %s", rg->o.urls[ask->url], why);
    if (rg->url == ask->url)
        rg->url = (rg->url + 1) % rg->o.n;
    ask->url = (ask->url + 1) % rg->o.n;
    ask->failures++;
    if (ask->failures % rg->o.n != 0) {
        move(ask, ASK_DUE);
        return;
    }
    rounds = (unsigned)(ask->failures / rg->o.n) - 1;
    ask->at_ms = now_of(rg) + (rounds > 3 ? BACKOFF_MAX_MS : BACKOFF_MS << rounds);
    move(ask, ASK_WAITING);
    (void)snprintf(rg->trouble, sizeof(rg->trouble), "%s", ask->why);
    if (!rg->in_trouble)
        log_warn("registry.down", "no answer of the schema registry, asking again: %s",
                 rg->trouble);
    rg->in_trouble = true;
}

/* Somebody answers: what failed before needs no more patience. */
static void recovered(struct registry *rg, size_t url)
{
    struct ask *ask;

    if (!rg->in_trouble)
        return;
    rg->in_trouble = false;
    log_info("registry.up", "the schema registry answers: %s", rg->o.urls[url]);
    TAILQ_FOREACH (ask, &rg->lists[ASK_WAITING], link)
        if (ask->failures > 0)
            ask->at_ms = now_of(rg);
}

static void answered(struct ask *ask, const struct registry_reply *reply)
{
    recovered(ask->rg, ask->url);
    ask->failures = 0;
    if (ask->subject != NULL)
        answered_output(ask, reply);
    else
        answered_id(ask, reply);
}

/* What one URL does not know another one may. */
static void answered_id(struct ask *ask, const struct registry_reply *reply)
{
    struct registry *rg = ask->rg;
    int64_t now = now_of(rg);
    struct err e = ERR_INIT;
    const struct schema *sc = NULL;

    (void)snprintf(ask->why, sizeof(ask->why), "schema id %" PRId32 ", %s: %s", ask->id,
                   rg->o.urls[ask->url], reply->why);
    if (reply->said == SAID_YES)
        sc = schemas_writer(rg->ss, reply->schema, &e);
    if (sc != NULL) {
        known(ask, sc, ask->id);
        return;
    }
    if (reply->said == SAID_YES) {
        (void)snprintf(ask->why, sizeof(ask->why), "schema id %" PRId32 ": %.200s",
                       ask->id, e.text);
        missing(ask, REGISTRY_MISSING_MS, ask->why);
        return;
    }
    if (ask->unknown_since == 0)
        ask->unknown_since = now;
    if (reply->said == SAID_REFUSED || now >= ask->unknown_since + REGISTRY_MISSING_MS) {
        missing(ask, REGISTRY_MISSING_MS, ask->why);
        return;
    }
    ask->at_ms = now + UNKNOWN_AGAIN_MS;
    if (ask->at_ms > ask->unknown_since + REGISTRY_MISSING_MS)
        ask->at_ms = ask->unknown_since + REGISTRY_MISSING_MS;
    ask->url = (ask->url + 1) % rg->o.n;
    move(ask, ASK_WAITING);
}

/* Looked up however it is written, then exactly so, then registered when that is allowed.
 */
static void answered_output(struct ask *ask, const struct registry_reply *reply)
{
    struct registry *rg = ask->rg;

    if (reply->said == SAID_YES) {
        known(ask, ask->sc, reply->id);
    } else if (ask->question == ASK_NORMALIZED) {
        ask->question = ASK_AS_IS;
        move(ask, ASK_DUE);
    } else if (ask->question == ASK_AS_IS && rg->o.registers) {
        ask->question = ASK_REGISTER;
        move(ask, ASK_DUE);
    } else {
        (void)snprintf(ask->why, sizeof(ask->why), "subject %s at %s %s %s: %s",
                       ask->subject, rg->o.urls[ask->url],
                       ask->question == ASK_REGISTER ? "does not take" : "lacks",
                       schema_full_name(ask->sc), reply->why);
        missing(ask, OUTPUT_AGAIN_MS, ask->why);
    }
}

/* What we may write with an id we can read with it. */
static void known(struct ask *ask, const struct schema *sc, int32_t id)
{
    struct registry *rg = ask->rg;
    struct ask *same;

    ask->sc = sc;
    ask->id = id;
    ask->why[0] = '\0';
    arena_fini(&ask->arena);
    arena_init(&ask->arena, 0);
    move(ask, ASK_KNOWN);
    rg->news++;
    if (ask->subject == NULL)
        return;
    log_debug("registry.schema", "%s is id %" PRId32 " of subject %s",
              schema_full_name(sc), id, ask->subject);
    if (schema_id(sc) == 0)
        schemas_identify(rg->ss, sc, id);
    HASH_FIND(hh, rg->by_id, &id, sizeof(id), same);
    if (same != NULL)
        return; /* it is asked for, or was */
    same = ask_new(rg);
    same->question = ASK_BY_ID;
    same->id = id;
    HASH_ADD(hh, rg->by_id, id, sizeof(same->id), same);
    same->sc = sc;
    move(same, ASK_KNOWN);
}

static void missing(struct ask *ask, int64_t for_ms, const char *why)
{
    ask->at_ms = now_of(ask->rg) + for_ms;
    move(ask, ASK_MISSING);
    ask->rg->news++;
    if (ask->subject != NULL)
        log_warn("registry.missing", "%s", why);
    else /* each record that has it is a dead letter that says so */
        log_debug("registry.missing", "%s", why);
}

/* ---- what people see ---- */

uint64_t registry_news(const struct registry *rg)
{
    return rg->news;
}

const char *registry_trouble(const struct registry *rg)
{
    return rg->in_trouble ? rg->trouble : NULL;
}

void registry_status(const struct registry *rg, struct buf *out)
{
    size_t counts[ASK_STATES] = {0};
    const struct ask *ask;

    for (size_t i = 0; i < ASK_STATES; i++)
        TAILQ_FOREACH (ask, &rg->lists[i], link)
            counts[i]++;
    (void)buf_add_cstr(out, "{\"url\":");
    (void)json_quote(out, str_of(rg->o.urls[rg->url]));
    (void)buf_printf(
        out, ",\"up\":%s,\"known\":%zu,\"asked\":%zu,\"missing\":%zu,\"why\":",
        rg->in_trouble ? "false" : "true", counts[ASK_KNOWN],
        counts[ASK_DUE] + counts[ASK_RUNNING] + counts[ASK_WAITING], counts[ASK_MISSING]);
    (void)json_quote(out, str_of(rg->in_trouble ? rg->trouble : ""));
    (void)buf_add_char(out, '}');
}
