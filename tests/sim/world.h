/* One simulated world: a broker, a Front, several connectors that are the real engine,
 * and a clock that jumps from event to event. One seed decides everything, so a seed
 * replays exactly.
 *
 * - world.c: events, chance, trace
 * - broker.c: logs, transactions, offsets, group
 * - client.c, thread.c, lent.c: an instance's port to Kafka, its membership, its Kafka
 *   thread, and what it lends
 * - front.c: the HTTP port and Front; lists.c: what its lists show
 * - peek.c: which command a request belongs to
 * - instance.c: processes: their turns, kill, stop, freeze
 * - load.c: the commands; walks.c: lists of many pages, and their judge; below.c: the
 *   lists of each of their rows
 * - syncs.c: syncs, their settings and what Front shows to them; sync_rules.c: their
 * judge
 * - checker.c: the promises; reading.c: the ledger's string; looks.c: what a look
 *   proves; twins.c: repeated ids
 * - sim.c: main: seeds, faults, the end */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/mem.h"
#include "below.h"
#include "engine/engine.h"

enum {
    PARTS_MAX = 4,
    JOBS = PARTS_MAX, /* partition n of the jobs topic has the number JOBS + n */
    ALL_PARTS = 2 * PARTS_MAX,
    SLOTS_MAX = 4, /* places for processes: an instance.id each */
    CMDS_MAX = 400,
    KEYS_MAX = 24,
    CALLS_MAX = 16,
    MADE_MAX = 16, /* things that one command makes, when it is sent again and again */
    ROWS_MAX = 8   /* of a list's answer */
};

#define COMMANDS_TOPIC "commands"
#define RESULTS_TOPIC "results"
#define JOBS_TOPIC "jobs"
#define RESOURCES_PREFIX "front."
#define ITEMS_TOPIC "front.messages"
#define COMMENTS_TOPIC "front.comments"
#define CONTACTS_TOPIC "front.contacts"
#define TAGS_TOPIC "front.tags"
#define CONVERSATIONS_TOPIC "front.conversations"
#define INBOXES_TOPIC "front.inboxes"
#define NOTES_TOPIC "front.contact-notes"
#define DEAD_TOPIC "dead-letters"
#define REPLY_TOPIC "reply-a"
#define REPLY_SMALL_TOPIC "reply-small"
#define EPOCH_MS 1700000000000

struct world;
struct instance;

/* --- events --- */

struct event;
typedef void event_fn(struct world *w, struct event *ev);
struct event {
    int64_t at;
    uint64_t seq;
    event_fn *run;
    /* Set: happens inside this process; dropped when it has died, late when it stands. */
    struct instance *in;
    int life;
    void *p;
};

void world_at(struct world *w, int64_t at, event_fn *run, void *p);
void world_in(struct world *w, struct instance *in, int64_t at, event_fn *run, void *p);
bool world_step(struct world *w); /* false: no event is left */

/* --- chance: all from the seed --- */

uint64_t rnd(struct world *w, uint64_t n);                /* 0 .. n-1 */
int64_t between(struct world *w, int64_t lo, int64_t hi); /* both included */
bool chance(struct world *w, int per_mille);
/* Mostly near lo, rarely up to hi. */
int64_t skewed(struct world *w, int64_t lo, int64_t hi);

/* --- trace: binary, printed only when asked for --- */

struct line {
    int64_t at, a, b;
    const char *what, *text; /* text may be NULL */
    int inst, part, cmd;     /* -1: none */
};
void trace(struct world *w, int inst, int part, int cmd, const char *what, int64_t a,
           int64_t b, const char *text);
void trace_print(const struct line *line);
/* The last `n` lines about this command or partition (-1: any). */
void trace_tail(const struct world *w, int inst, int part, int cmd, size_t n);

/* --- the commands --- */

enum kind {
    KIND_READ,   /* GET */
    KIND_SET,    /* class A that changes something */
    KIND_DEDUP,  /* class B */
    KIND_ONCE,   /* class C or D: must not be repeated */
    KIND_REFUSED /* answered without a call: bad input */
};

enum evidence {
    EVIDENCE_NONE, /* nobody knows */
    EVIDENCE_NOT,  /* the answer says that it was not executed */
    EVIDENCE_DONE  /* the answer says that it was */
};

/* One request that left, as the world sees it. */
struct send {
    int cmd, inst, life;
    uint64_t owner; /* number of the ownership under which it left */
    int64_t at;
    bool ended, get;
    bool cut;     /* its success came without its body */
    bool limited; /* 429 */
    int64_t learnt_at;
    enum evidence evidence;
    int executions;
};

/* What one owner has learnt about a command from Front's lists. */
enum look_end { LOOK_NONE, LOOK_ABSENT, LOOK_FOUND, LOOK_UNCLEAR, LOOK_REFUSED };
struct looks {
    uint64_t owner;
    int life;
    bool found_armed; /* in the string that it read then, with this lease */
    int64_t read_at, lease;
    enum look_end last;
    int absent, failures;
    int64_t asked_at, absent_at; /* the latter: when the first of these was learnt */
    bool resent;                 /* it was sent again, because of them */
    int64_t proved_at; /* they proved that it was not executed before that; 0: no */
};

/* A thing that Front has because of a command. */
struct made {
    int64_t at, visible_at;
    uint64_t hidden_from; /* the owner whose looks do not show it; 0: none */
};

/* A list of many pages: the command's share of Front, and what of it is durable. */
struct walk {
    bool is_list;
    int64_t cancelled_at;    /* serial of the request to cancel it; -1: none is left */
    bool cancel_read;        /* one was since it is a job: perhaps late */
    uint64_t uncancelled_by; /* who wrote the newest tombstone of such requests */
    int max_items;           /* -1: all */
    int front_gen;           /* page tokens of earlier walks are refused */
    bool job, gone;          /* it goes on as a job; whose tombstone is durable */
    int gen, page;           /* of the next page; gen -1: of any walk */
    int rows;                /* of this walk */
    int64_t items, pages, restarts, seq;
    uint64_t owner;                  /* who wrote the last page */
    int txn_gen, txn_page, txn_rows; /* of the transaction that is judged */
    struct below below;
};

struct shown_page {
    int gen, page;
};

struct cmd {
    int index, part, key; /* key -1: null */
    int64_t offset;       /* -1: not in the log yet */
    enum kind kind;
    const char *operation;
    char key_text[16];
    /* Whose text it has: it is about the conversation of that number. */
    int thing;
    const char *id; /* the user's; NULL: none */
    int policy;     /* of its header; -1: none */
    bool proves;    /* absence of what it makes proves that it was not executed */
    struct str value;
    struct kafka_header headers[6];
    size_t n_headers;
    bool aborted;         /* its producer's transaction was: it does not count */
    bool dead;            /* must become a dead letter */
    bool merged, missing; /* Front: 301 first; 404 */
    int64_t deadline;     /* wall ms; 0: none */
    /* what came of it */
    int results, dead_letters, replies; /* durable */
    int outcome;                        /* enum outcome of the result; -1: none */
    bool replayed, recovered, reused;
    const char *resource;  /* that its result names; NULL: none */
    uint64_t answer_owner; /* who made its result durable */
    int64_t answer_serial; /* the order of all results */
    int64_t answer_offset; /* where it lies in its partition */
    int64_t answered_at;
    bool ever_armed;
    int sends, executions, refusals;
    int thing_done; /* executions of all that have its text */
    struct made made[MADE_MAX];
    int n_made;
    int items;     /* of a list that is asked for; -1: it is no list */
    int humans;    /* rows of the list that are not the API's */
    bool stranger; /* a row of another program's */
    /* By place: of the owner that its process is now, and was before. */
    struct looks looks[SLOTS_MAX], before[SLOTS_MAX];
    bool armed; /* in the durable string */
    uint32_t arm_second;
    int arm_slot, arm_life; /* who armed it last */
    uint64_t delivered_to;  /* the last owner that got its record, */
    int64_t delivered_turn; /* and in which turn of all */
    int64_t first_send, first_execution;
    int64_t arm_handed;            /* when its arming was handed over; -1: not known */
    int64_t arm_over;              /* when an arming of before ceased to count */
    uint64_t arm_owner, arm_since; /* arm_since: the first of these in that life */
    uint64_t first_owner;          /* who sent it first */
    struct walk walk;
};

/* --- the broker --- */

enum entry_state { ENTRY_OPEN, ENTRY_COMMITTED, ENTRY_ABORTED, ENTRY_MARKER, ENTRY_GONE };
struct entry {
    enum entry_state state;
    int cmd;          /* which command it is, or answers */
    int outcome;      /* results */
    struct str value; /* results: as it was sent */
    int txn;          /* whose transaction; -1: none */
    int64_t epoch;    /* and which */
    int64_t serial;
    struct str key;                   /* jobs */
    int sync;                         /* whose it is, plus 1; 0: no sync's */
    struct str command_id, operation; /* of a row */
};
struct log {
    const char *topic;
    int partition;
    struct entry *entries; /* the offset is the index */
    size_t n, cap;
    int64_t max_bytes;
};

enum txn_state { TXN_EMPTY, TXN_ONGOING, TXN_COMMITTING, TXN_ABORTING };
struct pending_offset {
    int part;
    int64_t offset;
    const char *text;
    uint64_t serial; /* order in the offsets topic */
};
struct txn {
    enum txn_state state;
    int64_t epoch, started, serial;
    struct pending_offset offsets[ALL_PARTS];
    int n_offsets;
    bool pending; /* its offsets are not decided yet */
    struct log *touched[3 * PARTS_MAX + 12];
    int n_touched, markers_left;
    int inst, life; /* who opened it */
    int64_t handed; /* when the tick was handed over */
    uint64_t owner[ALL_PARTS];
};

struct member {
    int id, slot, life; /* id 0: free */
    bool joined;
    int64_t heard;
    struct join_call *call; /* the answer it waits for */
    uint64_t owner;         /* of its present assignment */
    bool owns[ALL_PARTS];
};
enum group_state { GROUP_EMPTY, GROUP_PREPARING, GROUP_STABLE };
struct group {
    enum group_state state;
    int generation;
    struct member members[SLOTS_MAX * 4];
    int next_id;
    int64_t deadline, not_before;
    bool completing;
};

struct broker {
    struct log commands[PARTS_MAX], results[PARTS_MAX], jobs[PARTS_MAX];
    struct log items, comments, contacts, tags, conversations, inboxes, notes, dead;
    struct log reply, reply_small;
    struct txn txns[SLOTS_MAX];
    int64_t next_serial;
    uint64_t next_offset_serial, next_owner;
    struct {
        bool set;
        int64_t offset;
        const char *text;
        uint64_t serial;
    } committed[ALL_PARTS];
    struct group group;
};

void broker_init(struct world *w);
void broker_fini(struct world *w);
int64_t log_stable(const struct log *log); /* LSO */
/* Of commands or of jobs. */
struct log *log_of_part(struct world *w, int part);
bool part_exists(const struct world *w, int part);
/* Of those that are judged page by page. */
bool log_is_of_rows(const struct world *w, const struct log *log);
struct entry *log_append(struct world *w, struct log *log, struct entry e);
/* A transaction of a producer of commands is decided. */
void broker_commands_decided(struct world *w, int part);

enum broker_code {
    BROKER_OK,
    BROKER_CONCURRENT,
    BROKER_FENCED,
    BROKER_STALE, /* generation or member is another */
    BROKER_PASSING,
    BROKER_UNSTABLE,
    BROKER_BAD_RECORD,
    BROKER_TIMED_OUT,
    BROKER_REBALANCING,
    BROKER_FENCED_INSTANCE
};

/* What an output says of itself, copied when it is sent. */
struct sent_output {
    struct log *log;
    int cmd, outcome;
    bool reply, dead, job, unknown;
    size_t size;
    struct str value, key, command_id, operation;
    int sync; /* plus 1 */
};

/* A request to the broker and its answer. */
struct rpc {
    struct instance *in;
    int life;
    bool held; /* by a cut wire, at its sender's */
    enum rpc_type {
        RPC_INIT,
        RPC_OFFSETS,
        RPC_PRODUCE,
        RPC_END,
        RPC_COMMITTED,
        RPC_WATERMARKS,
        RPC_TOPIC,
        RPC_READ,
        RPC_JOIN,
        RPC_HEARTBEAT,
        RPC_LEAVE
    } type;
    uint64_t ticket; /* the client's: an answer nobody waits for is dropped */
    event_fn *done;
    enum broker_code code;
    /* transactions */
    int64_t epoch;
    bool commit;
    struct pending_offset offsets[ALL_PARTS];
    int n_offsets;
    struct sent_output *outputs;
    size_t n_outputs, bad;
    /* group */
    int member, generation;
    bool fixed_member;
    bool parts[ALL_PARTS];
    uint64_t owner;
    int64_t handed;
    /* questions */
    int part;
    const char *topic;
    int64_t offset, low, high, max_bytes; /* READ: low to high is asked for */
    int32_t count;
    const char *text;
    struct str *values;
    int n_values;
    bool first_reading;
    int64_t assignment;
};
struct join_call {
    struct rpc *rpc;
};

/* Sends it; rpc->done comes inside the process, unless that has died. */
void broker_ask(struct world *w, struct rpc *rpc);

/* --- an instance --- */

struct told { /* an event for the loop */
    enum kafka_event_type type;
    int part, cmd;
    int64_t offset, version, low, high, max_bytes, assignment;
    int32_t count;
    const char *text, *topic;
    char error[64];
    bool up;
    bool parts[ALL_PARTS];
    struct str *values;
    int n_values;
    struct kafka_tick *tick;
};
struct told_queue {
    struct told *items;
    size_t head, n, cap;
};

enum membership { AWAY, JOINING, ASSIGNED, REVOKING, GONE };

struct fetch {
    bool on, paused, scheduled;
    int64_t version, app_next, next, eof_told;
};

struct question {
    enum kafka_event_type type;
    int part;
    const char *topic;
    int64_t assignment, due, asked_at, low, high;
    bool first_reading;
};

enum step {
    STEP_IDLE,
    STEP_START,
    STEP_OFFSETS,
    STEP_PRODUCE,
    STEP_COMMIT,
    STEP_ABORT,
    STEP_RENEW,
    STEP_QUESTION
};

struct client {
    struct told_queue news, answers;
    /* librdkafka's side of the group */
    enum membership membership;
    int member, generation;
    bool lost, heartbeat_runs, closing, closed, subscribed;
    int64_t heard; /* last heartbeat answered */
    bool parts[ALL_PARTS];
    uint64_t owner;
    uint64_t join_ticket, leave_ticket, beat_ticket;
    struct fetch fetch[ALL_PARTS];
    /* consumer.c */
    int64_t assignment, current; /* current: the watch's; 0: none */
    bool revoking, told_lost;
    int64_t revoked_at;
    struct {
        bool held;
        int64_t assignment;
        int member, generation;
        uint64_t owner;
    } stamp;
    bool asked_once[ALL_PARTS]; /* in this assignment */
    /* the Kafka thread */
    enum step step;
    struct kafka_tick *tick;
    bool tick_waits, tick_runs, producer_ready;
    int64_t epoch, tick_began;
    int tick_member, tick_generation;
    uint64_t tick_owner;
    int64_t tick_handed;
    int64_t fresh_at; /* the last committed one of this assignment; -1: none */
    bool reading_again[ALL_PARTS];
    enum tick_end tick_end;
    bool blamed, renew_only;
    size_t bad;
    uint64_t ticket, next_ticket;
    struct question questions[128];
    size_t n_questions;
    /* lent to the engine until the next call of next() */
    struct kafka_partition lent_parts[ALL_PARTS];
    char *lent_text;
    void *lent_page;
    int lent_records;
    /* The tail of its results could not be read: earlier results are not known. */
    bool unseeded[PARTS_MAX];
    int64_t tail_to[PARTS_MAX]; /* else it was read to there; -1: not asked yet */
};

struct http_sim; /* front.c */

struct instance {
    struct world *w;
    int slot, life;
    bool alive, stopping, turn_set, taken_over;
    int64_t turn_at, turned_at, frozen_until, stalled_until;
    int64_t cut_out_until, cut_in_until; /* the wire's: they outlive the process */
    /* Only its heartbeats stay away: the group drops it while its ticks still pass. */
    int64_t deaf_until;
    bool was_deaf; /* in this life */
    int64_t clock_base, mono_lag, wall_offset;
    bool wall_set; /* its clock, in this life */
    int64_t stopped_at, stop_deadline;
    int terms;       /* SIGTERMs so far */
    int64_t durable; /* results and dead letters of this life */
    bool settled;    /* a string decided once what was finished, whoever wrote it */
    struct clock clock;
    struct engine_options options;
    struct engine *en;
    struct client k;
    struct http_sim *calls[CALLS_MAX];
    size_t n_calls;
    int idle_turns;       /* turns in a row that nothing asked for */
    bool useful;          /* this turn had something to do */
    int64_t refuse_until; /* preflight said no */
};

void instance_start(struct world *w, int slot);
void instance_kill(struct instance *in);
void instance_stop(struct instance *in); /* SIGTERM */
void instance_freeze(struct instance *in, int64_t ms, bool suspend);
void instance_stall(struct instance *in, int64_t ms); /* the loop only */
void instance_wake(struct instance *in);
void instance_check_identity(struct instance *in);
int64_t instance_wall(const struct instance *in);

struct kafka_port client_port(struct instance *in);
void client_start(struct instance *in);
void client_fini(struct instance *in);
void client_fetch_soon(struct world *w, int part); /* there is more in this partition */

struct http_port front_port(struct instance *in);
void front_turn(struct instance *in); /* the HTTP client's time in a turn */
void front_drop(struct instance *in); /* the process has died */

/* --- the load --- */

void load_init(struct world *w);
int load_find(const struct world *w, int part, int64_t offset); /* -1: no command */
int load_number(const char *text);                              /* "cnv_17..." -> 17 */

/* --- peek.c --- */

/* The number of the command that this request is about, -1: none (GET /me). */
enum peek {
    PEEK_OWN,
    PEEK_LOOK, /* it looks for what a lost request of that command made */
    PEEK_PAGE, /* a page of its list, not the first */
    PEEK_SYNC  /* a page of a sync: that one's number */
};
int peek_command(const struct world *w, const struct http_call *call, enum peek *what);

/* --- walks.c --- */

bool walk_is_page(const struct world *w, int thing, const struct http_call *call);
bool walk_ask(struct world *w, int thing, const char *query, bool forget,
              struct shown_page *sp);
void walk_print(const struct world *w, int thing, const struct shown_page *sp,
                struct buf *out);
void walk_check_ask(struct world *w, const struct instance *in, int cmd, const char *path,
                    const char *query);
void walk_cancel(struct world *w, struct event *ev);
void walk_cancel_read(struct world *w, const struct instance *in, const struct entry *e);
/* Somebody asked to cancel it, or somebody else runs it: its call is waited for no more.
 */
bool walk_ends(const struct instance *in, const struct cmd *c);
void walk_compact(struct world *w, struct event *ev);
/* The number behind the first `name` in the text. */
int number_at(const char *text, const char *name, int none);

/* --- syncs.c, sync_rules.c --- */

/* A request for a page, as it left. */
struct sync_ask {
    int sync, settings;
    const char *path, *query;
};
void syncs_init(struct world *w);
void syncs_fini(struct world *w);
void syncs_calm(struct world *w); /* the settings do not change any more */
void syncs_start(struct world *w, struct instance *in); /* its options */
int syncs_find(const struct world *w, struct str key);  /* of a record or a run; -1 */
struct sync_ask syncs_asked(struct world *w, const struct instance *in, int sync,
                            const char *path, const char *query);
int syncs_ask(struct world *w, const struct sync_ask *ask, bool forget);
void syncs_print(struct world *w, int page, struct buf *out);
int sync_token(const char *text); /* the page that "page_token=" names; 0: none */
void sync_cancel_read(struct world *w, const struct instance *in, const struct entry *e);
bool sync_ends(const struct instance *in, int sync); /* as walk_ends */
void sync_check_ask(struct world *w, const struct instance *in,
                    const struct sync_ask *ask);
struct below *sync_below(struct world *w, int sync);
/* Lets time pass until then, or until it is true; false: it is not. */
typedef bool wait_fn(struct world *w, int64_t until, bool (*done)(const struct world *));
void sync_rest(struct world *w, wait_fn *wait);

/* --- lists.c --- */

struct row {
    int cmd, made; /* cmd -1: nobody's command */
    int64_t at;
    bool api;  /* has no author */
    bool same; /* has the command's text */
};
struct list {
    struct row rows[ROWS_MAX];
    int n;
    bool whole;
};
/* What the list about this thing shows now, newest first, to who looks for what this
 * command made. */
struct list list_now(struct world *w, int thing, int cmd, uint64_t asker);
void list_print(const struct world *w, int thing, const struct list *list,
                struct buf *out);
const char *list_id(const struct world *w, int cmd, int made, char out[32]);

/* --- the checker --- */

/* Says the rule, prints the lines about it, ends this seed as failed. */
void broken(struct world *w, const char *rule, int inst, int part, int cmd,
            const char *fmt, ...) __attribute__((format(printf, 6, 7)));

void check_send(struct world *w, struct send *s);
/* What was armed may be armed anew from here on (cmd -1: all of this owner's). */
void check_arming_over(struct world *w, uint64_t owner, int cmd);
/* Commands are about to come: what was answered before is known. */
void check_tail(struct world *w, const struct instance *in, int part);
/* Partitions go back in order: nothing that could be finished is left. */
void check_unassign(struct world *w, const struct instance *in);
/* What the execution makes is to be seen `fair_until` at the latest, where that matters.
 */
void check_execution(struct world *w, struct send *s, int64_t fair_until);
/* looks.c: a look about this command leaves; and what it brought (list NULL: nothing;
 * refused: and never will). */
void look_begins(struct world *w, const struct instance *in, int cmd);
void look_ends(struct world *w, const struct instance *in, int cmd,
               const struct list *list, bool refused, bool counts);
void check_durable(struct world *w, int slot, const struct txn *t);
void check_read_position(struct world *w, struct instance *in, int part, const char *text,
                         int64_t line);
void check_end(struct world *w);
bool check_all_answered(const struct world *w);
bool check_all_lines(const struct world *w); /* they stand at the ends of the logs */

/* --- the world --- */

struct mood { /* per mille, or ms; drawn once from the seed */
    int slow_wire, late_marker, slow_commit, indefinite, passing, produce_timeout,
        refuse_record, read_error, forget_token;
    int http_lost, http_reset, http_5xx, http_5xx_done, http_429, http_late, http_head,
        http_connect_fail, http_slow;
};

struct world {
    uint64_t seed, random;
    int64_t now;
    struct event *heap;
    size_t n_heap, cap_heap;
    uint64_t next_seq;
    struct arena arena; /* everything that lives as long as the seed */
    struct schemas *ss;

    struct line *lines;
    size_t n_lines, cap_lines;
    uint64_t hash;
    bool print, brief; /* brief: a failed seed prints no trace */

    int n_parts, n_jobs_parts, n_slots;
    int64_t session_ms, heartbeat_ms, rebalance_ms, txn_timeout_ms;
    bool static_members;
    struct mood mood, quiet; /* quiet: all zero, after the faults */
    int64_t faults_end, slow_broker_until, bad_front_until, unauthorized_until;
    bool big_answers;
    bool calm, over; /* no more faults; no more starts */
    int64_t calm_at;
    int64_t limit; /* Front's quota */
    enum in_doubt_policy policy;
    int64_t dedupe_entries;
    int twins; /* per mille of the commands that say what another said */

    struct broker broker;
    struct instance instances[SLOTS_MAX];
    struct cmd *cmds;
    int n_cmds;
    struct syncs *syncs; /* NULL: the settings have none */
    struct send **sends;
    size_t n_sends, cap_sends;
    uint64_t max_owner_sent[PARTS_MAX];
    struct {
        int64_t line;
        const char *text;
        int slot, life;
        uint64_t owner;
    } durable[ALL_PARTS];
    bool expired[ALL_PARTS];

    bool failed;
    int64_t kills, rebalances, executions, ticks, freezes, cuts, in_doubt, unknown_ticks;
    int64_t stops, events, turns, looks, recovered, replayed, resent;
    int64_t items, pages_asked;
};

#endif
