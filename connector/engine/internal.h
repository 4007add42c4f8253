/* The engine's own state, shared by the files of engine/ only. engine.c owns the lists;
 * every other file owns one subject: parts.c (ownership), intake.c (record -> command),
 * dispatch.c (calls), doubt.c (calls that may have been executed), orphans.c (calls whose
 * partition went away), repeats.c (command ids seen before), answer.c (outcomes), tick.c
 * (transactions), topics.c (reply and resource topics), registered.c (schemas at the
 * registry), fetch.c (files that a command has the URL of), list.c and items.c (lists),
 * jobs.c (lists that go on: whose they are), walk.c (their pages), sync.c (lists that are
 * walked again and again), ingest.c and
 * outbox.c (webhooks), status.c (pages). */
#ifndef ENGINE_INTERNAL_H
#define ENGINE_INTERNAL_H

#include <regex.h>
#include <sys/queue.h>

#include "base/log.h"
#include "base/metrics.h"
#include "base/timers.h"
#include "engine/engine.h"
#include "engine/job.h"
#include "engine/lanes.h"
#include "engine/ledger.h"
#include "engine/metrics_table.h"
#include "engine/retry.h"
#include "engine/seen.h"
#include "engine/slot.h"
#include "front/quota.h"

#define TICK_RECORDS_MAX 5000
#define TICK_BYTES_MAX (8 * 1024 * 1024)
#define TICK_SPACING_MS 25
#define TICK_SLOW_MS 4000
#define TICK_FULL 2000
/* No call begins while so much waits for ticks, as when Kafka is away. */
#define WAITING_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define SEND_BY_MS 5000
#define LOOP_STALL_MS 2000
#define LEASE_MARGIN_MS 5000
#define TCP_USER_TIMEOUT_MS 20000

enum part_state {
    PART_ASKING,   /* committed position asked for */
    PART_STARTING, /* the log's ends asked for */
    PART_SEEDING,  /* position known; the tail of its results is being read */
    PART_PARKED,   /* position known, not fetched yet: waits for assign() */
    PART_READING,  /* of jobs: fetched, not read to the end of before us yet */
    PART_LIVE,
    PART_RECHECK, /* after a fenced producer: position and ledger are read again */
    PART_STOPPED  /* a person must act; `why` says what */
};

/* A record that does not fit into the window yet. */
struct held {
    STAILQ_ENTRY(held) link;
    struct kafka_record rec;
};

struct part {
    TAILQ_ENTRY(part) link;
    struct kafka_partition at;
    enum part_state state;
    struct jobs_part *jobs; /* a jobs partition; NULL: a command partition */
    int64_t position;       /* of jobs: as committed by the owner before us */
    struct ledger ledger;
    struct slot_list slots;
    size_t n_slots;
    STAILQ_HEAD(, held) held;
    bool paused;
    bool touched;          /* its offset and string must be committed */
    size_t ledger_bytes;   /* of the last string */
    bool same_partitions;  /* its topic and the results topic have equal counts */
    bool fetching;         /* was part of the last assign() */
    int64_t next;          /* the next offset to be delivered */
    int64_t full_since;    /* monotonic; 0: the window has room */
    int64_t read_front_ms; /* its string was read then, on Front's clock */
    int64_t lease_until;   /* monotonic: what a former owner sent has ended by then */
    struct seen *seen;     /* the last results */
    struct slot *ids;      /* commands in flight, by their user's id */
    bool fresh;            /* no position was ever committed */
    bool lost;             /* and yet there is a result of it */
    int64_t ends_again;    /* STARTING: the log's ends are asked for again; 0: no */
    int64_t gap_end;       /* commands before it were deleted unread; 0: none */
    bool seed_waits;       /* STARTING: for the position of its jobs */
    bool seeded;           /* `seen` knows the results of before us */
    struct kafka_partition tail; /* of the results, while SEEDING */
    int64_t tail_next, tail_end; /* tail_next -1: its ends are asked for */
    bool tail_waits;             /* for the schema of a result in it */
    char why[240];
};
TAILQ_HEAD(part_list, part);

struct call {
    struct http_call http;
    struct engine *en;
    struct slot *slot;  /* NULL: GET /me, a job's, or an orphan whose partition is gone */
    struct job *job;    /* whose page it is; NULL: none */
    struct arena arena; /* the JWT */
    const struct op
        *op; /* what is asked: of a look the list; NULL: `call` without a row */
    uint64_t ticket;
    int64_t started_ms, started_boot; /* of the turn; of that moment */
    bool refused;                     /* our own gate said no */
    TAILQ_ENTRY(call) link;           /* in en->free_calls or en->running */
};
TAILQ_HEAD(call_list, call);

/* A file that is being fetched. */
struct fetch_call {
    struct http_call http;
    struct engine *en;
    struct slot *slot; /* NULL: free, or nobody wants it any more */
    bool running;
};

struct topic_info; /* topics.c */

struct tick_owner { /* one of them */
    struct slot *slot;
    struct job *job;
};

struct engine {
    struct engine_options o;
    struct schemas *ss;
    struct kafka_port kafka;
    struct http_port http;
    const struct clock *clock;
    int64_t now, turn_boot; /* of this turn */
    struct timers timers;
    uint64_t random;

    /* ownership */
    struct part_list parts;
    int64_t assignment;
    bool assigned, revoking, lost, kafka_up;
    int64_t drain_until, revoke_until;
    bool assign_due, group_assigned;
    int64_t assign_at;

    /* slots by state, and the free ones */
    struct slot_list lists[SLOT_STATES];
    size_t counts[SLOT_STATES];
    struct slot_list opening; /* heads of lanes to be opened in this turn */
    struct lanes *lanes;
    uint64_t arrivals;
    size_t held_bytes;
    size_t n_slots;

    /* jobs by state */
    const char *jobs_topic; /* interned; NULL: there are none */
    struct job_list jobs[JOB_STATES];
    size_t job_counts[JOB_STATES];
    bool job_turn; /* of the low ones that wait a job's page is next */

    /* calls */
    struct quota *quota;
    struct call *calls;
    struct call_list free_calls, running;
    struct call *me_call; /* GET /me runs; NULL: not */
    bool me_wanted;       /* a 401 waits for it */
    size_t in_flight;
    const char *authorization;
    struct arena tokens;
    bool me_known; /* GET /me was answered once: dispatch may begin */
    struct timer me_timer;
    int me_tries;
    int me_status;
    /* Front's clock minus our boot's, which nobody sets; 0: not known. */
    int64_t front_ahead_ms;
    int vt[QUOTA_CLASSES]; /* weighted turns of the classes */
    bool tick_awaited;     /* the next call waits for a tick to be committed */

    /* files */
    struct fetch_call fetches[ENGINE_FETCHES];
    size_t fetched_bytes; /* held, or promised to those that fetch */
    regex_t attachments_regex;
    bool has_attachments_regex;

    /* reply topics */
    regex_t reply_regex;
    bool has_reply_regex;
    struct topic_info *topics;

    /* schemas at the registry */
    uint64_t schema_news;  /* of registry_news, what was looked at */
    bool schemas_known;    /* of the outputs: nothing is fetched before */
    char schemas_why[480]; /* they are not */

    /* ticks */
    struct kafka_tick tick;
    struct tick_owner *tick_owner; /* of each output */
    size_t cap_outputs, cap_offsets;
    bool tick_running, tick_wanted;
    bool tick_told; /* that it waits for Kafka was logged */
    int64_t tick_started, tick_not_before;
    int64_t committed_boot; /* boot ms when the last committed tick was handed over */
    int64_t tick_boot;
    struct arena tick_arena; /* its strings */
    size_t bytes_waiting;    /* of results and items: see WAITING_BYTES_MAX */
    struct buf encoded;      /* scratch: the result being encoded */

    /* end */
    int stops;
    bool closing, close_asked, closed, failed;
    struct err failure;

    /* webhooks */
    struct ingest *ingest; /* NULL: they are off */
    char company_id[64];   /* of GET /me; "": not known yet */
    struct known *known;   /* events that are on their topic */
    struct heal *heal;     /* NULL: Front's list of events is not read */

    struct metrics *metrics;
    int64_t received, finished, dead, returned; /* the identity */
    int64_t last_finished_ms;
};

/* slot.c */
struct slot *slot_take(struct engine *en, struct part *part, struct kafka_record *rec);
void slot_move(struct engine *en, struct slot *slot, enum slot_state to);
/* As slot_move, but before all others: what a tick gives back is older than what waits.
 */
void slot_move_back(struct engine *en, struct slot *slot, enum slot_state to);
/* To a partition, and away from it: what is neither is an orphan. */
void slot_attach(struct engine *en, struct slot *slot, struct part *part);
void slot_detach(struct engine *en, struct slot *slot);
/* Where its record stands, "topic/partition/offset", in its arena. */
struct str slot_source(struct slot *slot);
void slot_release(struct engine *en,
                  struct slot *slot); /* record given back, slot FREE */
void slot_open_later(struct engine *en, struct slot *slot); /* unless it was opened */
void slot_open_again(struct engine *en, struct slot *slot);
void slot_leave_lane(struct engine *en,
                     struct slot *slot); /* opens the next of its lane */

/* parts.c */
void parts_assign(struct engine *en, const struct kafka_event *ev);
void parts_revoke(struct engine *en, const struct kafka_event *ev);
void parts_committed(struct engine *en, const struct kafka_event *ev);
void parts_watermarks(struct engine *en, const struct kafka_event *ev);
void parts_out_of_range(struct engine *en, const struct kafka_event *ev);
void parts_recheck(struct engine *en); /* after TICK_UNKNOWN */
void parts_turn(struct engine *en);    /* pause, resume, late assign, end of a revoke */
int64_t parts_next_ms(const struct engine *en);
void parts_drop_all(struct engine *en, const char *reason);
struct part *part_find(struct engine *en, struct kafka_partition at);
/* A person must act; `fmt` says what to do. */
void parts_stop(struct part *part, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
bool parts_rechecking(const struct engine *en);
/* Where the result of a command of that partition belongs; -1: by key. */
int32_t parts_results_partition(const struct engine *en, struct str topic,
                                int64_t partition);

/* intake.c */
void intake_record(struct engine *en, struct kafka_record *rec);
void intake_end(struct engine *en, const struct kafka_event *ev);
void intake_held(struct engine *en, struct part *part);
/* The reply topic is known (or wanted from Kafka); then the slot may call. */
void intake_ready(struct engine *en, struct slot *slot);
void intake_open(struct engine *en); /* opens the new heads of lanes */

/* dispatch.c */
void dispatch_init(struct engine *en);
void dispatch_fini(struct engine *en);
void dispatch_turn(struct engine *en);
void dispatch_want(struct engine *en, struct slot *slot);  /* READY now */
void dispatch_armed(struct engine *en, struct slot *slot); /* its arming is committed */
void dispatch_cancel(struct engine *en, struct slot *slot);
void dispatch_ended(struct engine *en, struct slot *slot, struct call *call);
void dispatch_timer(struct timer *t); /* of a slot */
/* Its deadline as monotonic ms; INT64_MAX: none. */
int64_t dispatch_deadline_ms(const struct engine *en, const struct slot *slot);
void dispatch_expire(struct engine *en, struct slot *slot); /* it has passed */
void dispatch_set_token(struct engine *en, const char *token);
int64_t dispatch_next_ms(const struct engine *en);
bool dispatch_may_call(const struct engine *en, enum quota_class c);
void dispatch_look(struct engine *en, struct slot *slot, const struct request *req);
void dispatch_disarm(struct engine *en, struct slot *slot);
void dispatch_cancel_page(struct engine *en, struct job *job);
struct retry_policy dispatch_retry_policy(const struct engine *en);
int64_t dispatch_front_ms(const struct engine *en); /* Front's clock */
int64_t dispatch_lease_ms(const struct engine *en, const struct part *part);

/* doubt.c */
/* The call may have been executed (`executed`: it was, but its answer was lost). False:
 * it is not looked for and the caller answers. kind and text: of the IN_DOUBT it may end
 * as. */
bool doubt_begin(struct engine *en, struct slot *slot, int64_t wait_ms, bool executed,
                 const char *kind, const char *text);
void doubt_due(struct engine *en, struct slot *slot);
void doubt_turn(struct engine *en);
void doubt_answered(struct engine *en, struct slot *slot, struct call *call);
enum in_doubt_policy doubt_policy(const struct engine *en, const struct slot *slot);

/* orphans.c */
bool orphans_keep(struct engine *en, struct slot *slot); /* false: release it */
void orphans_due(struct engine *en, struct slot *slot);
void orphans_drop_all(struct engine *en);
void orphans_answered(struct engine *en, struct slot *slot, const struct call *call);
bool orphans_return(struct engine *en, struct part *part, const struct kafka_record *rec,
                    enum ledger_intake how);

/* repeats.c */
enum repeat_answer { REPEAT_NO, REPEAT_WAITS, REPEAT_ANSWERED };
void repeats_init(struct engine *en, struct part *part);
void repeats_fini(struct part *part);
void repeats_seed(struct engine *en, struct part *part); /* ends as PARKED */
bool repeats_watermarks(struct engine *en, const struct kafka_event *ev);
void repeats_read(struct engine *en, const struct kafka_event *ev);
void repeats_again(struct engine *en); /* tails that waited for a schema are read */
enum repeat_answer repeats_look(struct engine *en, struct slot *slot);
void repeats_answered(struct engine *en, struct slot *slot, const struct result *res);
void repeats_know(struct engine *en, struct slot *slot); /* the same, of its record */
void repeats_hold(struct engine *en, struct slot *slot); /* its id is in flight again */
void repeats_release(struct engine *en, struct slot *slot);
void repeats_job_answered(struct engine *en, const struct job *job);

/* answer.c: from here on the outcome is known; the slot leaves its lane and waits for a
 * tick */
void answer_error(struct engine *en, struct slot *slot, enum outcome outcome,
                  const char *kind, const char *text);
void answer_call(struct engine *en, struct slot *slot, const struct http_call *call,
                 enum outcome outcome, const char *kind, const char *text);
/* The call was executed: `row` is what it made. */
void answer_recovered(struct engine *en, struct slot *slot, const struct probe_row *row);
/* ... and what it made was not found. */
void answer_executed(struct engine *en, struct slot *slot);
/* IN_DOUBT, naming what it may have made. */
void answer_doubt(struct engine *en, struct slot *slot, const char *kind,
                  const char *text, const struct probe *pb);
/* As the first command with its id was answered. */
void answer_replay(struct engine *en, struct slot *slot, const struct seen_entry *first);
void answer_dead_letter(struct engine *en, struct slot *slot, const char *exception,
                        const char *text);
/* The list goes on as a job: the slot is done, its result comes from there. */
void answer_job(struct engine *en, struct slot *slot);
/* Where an encoded result goes: returns 1, or 2 with the reply copy. */
struct answer_to {
    const struct headers_in *headers;
    struct str key, source, value;
    int32_t partition;
    const struct topic *reply_topic; /* NULL: none */
};
size_t answer_address(struct engine *en, const struct result *res,
                      const struct answer_to *to, struct arena *a,
                      struct kafka_output out[SLOT_OUTPUTS]);
/* A tick was refused because of this output: make it smaller or drop the reply copy. */
void answer_slim(struct engine *en, struct slot *slot, size_t output);
/* Of a slot that is ANSWERED: nothing of its answer was committed, this one takes its
 * place. */
void answer_again(struct engine *en, struct slot *slot, enum outcome outcome,
                  const char *kind, const char *text);
/* As brokers count it, or more. */
size_t answer_record_size(const struct kafka_output *out);
/* Its bytes count among those that wait for a tick, until it is released, or not now. */
void answer_waits(struct engine *en, struct slot *slot, bool waits);

/* topics.c */
enum topic_answer {
    TOPIC_OK,
    TOPIC_MISSING,
    TOPIC_ASKED,
    TOPIC_UNREGISTERED /* list_topic only: the registry lacks the schema of its items */
};
struct topic {
    const char *name; /* interned */
    int32_t partitions;
    int64_t max_bytes; /* of a record; -1: not allowed to know */
    char why[240];     /* it is missing */
};
/* ASKED: the slot waits in SLOT_TOPIC until intake_ready is called again; without a slot
 * the caller asks again. `make`: create it when it is missing and the settings allow it.
 * *topic lives as long as the engine; not set when there are too many. */
enum topic_answer topic_ask(struct engine *en, struct slot *slot, struct str name,
                            bool make, const struct topic **topic);
void topic_forget(struct engine *en, const char *name); /* it is asked for anew */
void topics_answered(struct engine *en, const struct kafka_event *ev);
void topics_free(struct engine *en);

/* registered.c; without a registry all is known */
void registered_turn(struct engine *en);
/* The record cannot be read yet: the slot waits in SLOT_SCHEMA, to be opened again. */
bool registered_waits(struct engine *en, struct slot *slot);
/* OK, ASKED (a slot waits in SLOT_SCHEMA) or UNREGISTERED (e says why). */
enum topic_answer registered_items(struct engine *en, struct slot *slot,
                                   const struct op *op, const char *topic, struct err *e);
/* Must reading these records wait for a schema? */
bool registered_tail_waits(struct engine *en, const struct kafka_record *records,
                           size_t n);
const char *registered_trouble(struct engine *en); /* why some wait; NULL: none does */
void registered_status(struct engine *en, struct buf *out);

/* fetch.c */
int fetch_init(struct engine *en, struct err *e);
void fetch_fini(struct engine *en);
/* Files that are too large, URLs that are not allowed: reason "attachment". */
int fetch_check(const struct engine *en, const struct command *cmd, struct err *e);
/* Bytes of the body, or what it may have when its files are fetched. */
size_t fetch_body_len(const struct engine *en, const struct slot *slot);
/* False: the slot has all its files. Else it waits, and dispatch_want comes after. */
bool fetch_want(struct engine *en, struct slot *slot);
void fetch_turn(struct engine *en);
void fetch_due(struct engine *en, struct slot *slot); /* its timer */
void fetch_release(struct engine *en, struct slot *slot);

/* items.c */
struct item_kind;

/* Whose they are, and where they go. Borrowed during items_new only, but `topic`. */
struct items_of {
    const struct op *op; /* op->items is there */
    const struct topic *topic;
    struct str parent_id; /* the list's last path parameter; ptr NULL: it has none */
    struct str command_id, source; /* ptr NULL: no headers say them */
    const char *delivery;          /* of events: how they came */
};

struct items {
    struct kafka_output *outputs;
    size_t n;
    size_t bytes_len; /* of all keys and values */

    /* items.c only */
    const struct item_kind *kind;
    struct str parent_id;
    const char *delivery;
    int64_t *emitted_at; /* of each, when they are events */
    struct kafka_header *headers;
    size_t n_headers;
    size_t *raw_len; /* of each; 0: it is bare */
    char *bytes;
    struct arena arena;
};

/* The first `n` elements of `results`, the valid JSON of an array that has them. NULL:
 * one does not fit its topic, or all do not fit a tick; e->reason "too-large". */
struct items *items_new(struct engine *en, const struct items_of *of, struct str results,
                        size_t n, struct err *e);
void items_free(struct items *it);
/* What to do about a list that fails because of this one. */
const char *items_refused(const struct items *it, size_t i, const char *why,
                          struct arena *a);
/* They are on their topic. NULL is none. */
void items_committed(struct engine *en, const struct items *it);
size_t items_count(const struct items *it); /* 0 for NULL, as the next */
size_t items_bytes(const struct items *it);
/* The topic refused this one for its size: it is made smaller, and so is every other that
 * is more than half as large, or a page would take as many ticks as it has items. False:
 * it cannot be. */
bool items_slim(struct engine *en, struct items *it, size_t i);

/* list.c */
/* One answered page; texts point into the answer and the command. */
struct list_page {
    struct str results; /* JSON of the array */
    size_t n;           /* items in it, no more than `most` */
    size_t most;        /* that are still wanted; SIZE_MAX: all */
    struct str next;    /* JSON of _pagination.next; ptr NULL: there is none */
    bool more;          /* another page follows; never judged by a short page */
};

/* What Front said to it; the end as the client has it. */
struct list_answer {
    enum http_end end;
    int status;
    struct str body;
};

/* A 2xx to a list command whose items go to slot->items_topic. */
void list_answered(struct engine *en, struct slot *slot, const struct http_call *http);
/* `most`: items still wanted, -1: all. -1: it is no page of a list. */
int list_read(const struct op *op, const struct list_answer *answer, int64_t most,
              struct list_page *page, struct err *e);
/* Only the token of the link counts: our own parameters, always to front.url. ptr NULL:
 * there is no next page. */
int list_token(const struct list_page *page, struct arena *a, struct str *token,
               struct err *e);
/* Leaves the rows in the page of which `wanted` is true; the rest is copied into `a`. */
void list_keep(struct list_page *page, bool (*wanted)(void *arg, struct str row),
               void *arg, struct arena *a);
int64_t list_max_items(const struct command *cmd); /* -1: all */
/* The topic of its items, whose schema the registry has, if there is one. `slot` NULL:
 * whoever asks asks again. MISSING, UNREGISTERED: e says what to do about it. */
#define LIST_TOPIC_MAX 300
void list_topic_name(const struct engine *en, const struct op *op,
                     char name[LIST_TOPIC_MAX]);
enum topic_answer list_topic(struct engine *en, struct slot *slot, const struct op *op,
                             const struct topic **topic, struct err *e);
/* A tick was refused because of this item. */
void list_refused(struct engine *en, struct slot *slot, size_t item,
                  const struct kafka_tick *tick);

/* tick.c */
void tick_turn(struct engine *en);
void tick_ended(struct engine *en, struct kafka_tick *tick);
int64_t tick_next_ms(const struct engine *en);
bool tick_is_slow(const struct engine *en);  /* it waits for Kafka */
bool tick_is_fresh(const struct engine *en); /* non-GET calls may go */
void tick_settle(struct engine *en, struct part *part, const struct ledger_image *im);

/* jobs.c */
void jobs_open(struct engine *en, struct part *part);
void jobs_drop(struct engine *en, struct part *part); /* all of its jobs */
void jobs_close(struct part *part);
void jobs_committed(struct engine *en, struct part *part, const struct kafka_event *ev);
/* Is the position of the jobs partition that this one's lists go to still asked for? */
bool jobs_asking(const struct engine *en, int32_t commands_partition);
void jobs_watermarks(struct engine *en, struct part *part, const struct kafka_event *ev);
void jobs_record(struct engine *en, struct part *part, struct kafka_record *rec);
void jobs_end(struct engine *en, struct part *part, int64_t offset);
void jobs_reach(struct engine *en, struct part *part); /* live, when all is read */
void jobs_turn(struct engine *en); /* gives the places of jobs.max.running away */
size_t jobs_running(const struct engine *en);
bool jobs_in_hand(const struct engine *en);
struct str jobs_string(void); /* what is committed with a jobs partition's position */
void jobs_ticked(struct engine *en, struct job *job); /* its tick is committed */
void jobs_put_back(struct engine *en, struct job *job);
struct job *jobs_add(struct engine *en, struct part *part, struct str key); /* QUEUED */
struct job *jobs_find(const struct part *part, struct str key);
struct job *jobs_add_stray(struct engine *en, struct part *part, struct str id);
void jobs_free(struct engine *en, struct job *job);
void job_move(struct engine *en, struct job *job, enum job_state to);
void job_move_back(struct engine *en, struct job *job, enum job_state to);
void jobs_topic_answered(struct engine *en); /* whoever waits for one asks again */
void job_wait(struct engine *en, struct job *job, int64_t at_ms);

/* walk.c */
/* A list's first page came and more follow: the slot goes into a tick with its items and
 * the job's record. */
void walk_begin(struct engine *en, struct slot *slot, const struct list_page *page,
                struct str token);
void walk_fresh(struct job *job); /* for the next page */
const struct request *walk_request(struct engine *en, struct job *job);
void walk_answered(struct engine *en, struct job *job, struct call *call);
/* A page came, and whatever was to be known before it is produced is known. */
void walk_take(struct engine *en, struct job *job, const struct list_answer *answer);
void walk_me_ended(struct engine *en, int status);
void walk_end(struct engine *en, struct job *job, enum outcome outcome, const char *kind,
              const char *text);
void walk_close(struct engine *en, struct job *job);
void walk_forget(struct engine *en, struct job *job);
void walk_count(struct engine *en, const struct job *job);
/* A tick was refused because of this output. */
void walk_refused(struct engine *en, struct job *job, size_t output,
                  const struct kafka_tick *tick);

/* The record as an output of the job's partition. value NULL: it is larger than any topic
 * takes. */
struct kafka_output walk_record_output(struct engine *en, struct job_record *jr,
                                       int32_t partition, struct arena *a);

/* overlap.c */
struct overlap *overlap_new(void);
void overlap_free(struct overlap *ov); /* NULL is none */
/* Takes the rows out of the page that were produced before exactly as they are. Those not
 * older than `since_ms` will be known in the next run. The rest of the page is in `a`, as
 * what is known of it, which counts when it is committed. */
void overlap_page(struct overlap *ov, struct list_page *page, int64_t since_ms,
                  struct arena *a);
void overlap_committed(struct overlap *ov);
void overlap_dropped(struct overlap *ov); /* the page is not produced */
void overlap_ended(struct overlap *ov, bool whole);
void overlap_forget(struct overlap *ov); /* the next run reads another list */

/* fan.c */
/* `page` of the list `op` came: its rows' lists follow, if any are asked for. Their ids
 * are copied into the arena. */
void fan_begin(struct job_record *jr, const struct op *op, const struct list_page *page,
               struct arena *a);
void fan_clear(struct job_record *jr);
bool fan_runs(const struct job_record *jr); /* next is a page of a row's list */
/* The list whose page is next; NULL: this version does not know it. */
const struct op *fan_op(const struct job_record *jr);
struct command fan_command(const struct job_record *jr, const struct op *op,
                           struct arena *a);
/* A row's list has ended: on to the next one. `op` is the list of the rows. False: there
 * is none, and no page of rows follows either. */
bool fan_next(struct job_record *jr, const struct op *op);

/* heal.c */
void heal_init(struct engine *en);
void heal_free(struct engine *en);
/* A page of its run came: it waits (FOLLOWS) until all that is on the topic is known. */
void heal_page(struct engine *en, struct job *job, const struct call *call);
void heal_again(struct engine *en, struct job *job); /* what is there could not be read */
/* True: the answer was to a question of ours. */
bool heal_watermarks(struct engine *en, const struct kafka_event *ev);
bool heal_read(struct engine *en, const struct kafka_event *ev);
/* Events that are on the topic are taken out of the page. */
void heal_drop_known(struct engine *en, struct list_page *page, struct arena *a);
void heal_left(struct engine *en, const struct job *job); /* it waits no more */
int64_t heal_start_ms(const struct engine *en); /* of this process, on Front's clock */
const char *heal_delivery(const struct engine *en);

/* sync.c */
void sync_init(struct engine *en);
/* The log of the partition was read: its syncs sleep, or are queued; those that the
 * settings do not have any more go. */
void sync_take_over(struct engine *en, struct part *part);
const struct engine_sync *sync_find(const struct engine *en, const struct job *job);
bool sync_rests(const struct job *job);              /* it is between two runs */
void sync_sleep(struct engine *en, struct job *job); /* IDLE until it is due */
void sync_begin(struct engine *en, struct job *job); /* a run, from the first page */
/* A page of its run came: rows of the overlap that are as they were are taken out. */
void sync_page(struct engine *en, struct job *job, struct list_page *page);
/* Its first page came: that says when the run began. */
void sync_first_page(struct engine *en, struct job *job, const struct call *call);
/* The record that its run leaves; texts in the page's arena. */
struct job_record sync_rested(struct engine *en, struct job *job);
/* It is between two runs: only the request to cancel it goes. */
void sync_uncancel(struct engine *en, struct job *job);
void sync_count(struct engine *en, const struct job *job); /* its run is committed */

/* events.c */
struct event;
#define EVENT_HEADERS_MORE 3 /* for these there is room behind its own */
/* All texts are copied into the arena; buffer and scratch are for the way there. A
 * company that the event does not name is ours. -1: over the buffer's ceiling. */
int events_output(struct engine *en, const struct event *ev, const char *topic,
                  struct buf *bytes, struct arena *scratch, struct arena *a,
                  struct kafka_output *out);
/* One element of a list of events: valid JSON, of any type. */
void events_read(struct str json, struct arena *a, struct event *out);
/* The payload of one that is too large for its topic: the id, to ask Front for it. */
struct str events_bare(const struct event *ev, struct arena *a);
/* It is on its topic. emitted_at: epoch ms or NO_NUMBER. */
void events_count(struct engine *en, const char *delivery, int64_t emitted_at);

/* ingest.c; engine/ingest.h has what its server calls */
void ingest_name_series(struct engine *en);
void ingest_produced(struct engine *en, const struct kafka_event *ev);
void ingest_turn(struct engine *en); /* time-outs, and records Kafka did not take */
int64_t ingest_next_ms(const struct engine *en);
bool ingest_in_hand(const struct engine *en); /* events that Kafka does not have yet */
void ingest_close(struct engine *en);         /* all who wait are answered */
void ingest_free(struct engine *en);
void ingest_status(const struct engine *en, struct buf *out);

uint32_t engine_random(struct engine *en);

#endif
