/* Jobs: whose they are. A jobs partition is read from its beginning to the high watermark
 * that was asked for after its committed position was answered; only then its jobs are
 * run. The log is the truth: a job's record is held as it was last read or committed by
 * us, and our own records, which come back, are known by their seq. Invariant: a record
 * newer than ours is never overtaken: it stops the partition, unless it is the one of our
 * own tick that runs. */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "engine/internal.h"

#define JOBS_STRING "FC1" /* of a jobs partition: its tables are in the log */

const char *const job_state_names[JOB_STATES + 1] = {
    "queued",   "ready",   "waiting", "calling", "confirm", "follows",
    "answered", "ticking", "ended",   "idle",    NULL};

/* Which states may follow which: rows are "from", bits are "to". */
#define TO(s) (1u << (s))
static const unsigned transitions[JOB_STATES] = {
    [JOB_QUEUED] = TO(JOB_READY) | TO(JOB_ANSWERED) | TO(JOB_WAITING) | TO(JOB_IDLE),
    [JOB_READY] = TO(JOB_CALLING) | TO(JOB_ANSWERED) | TO(JOB_WAITING),
    [JOB_WAITING] = TO(JOB_READY) | TO(JOB_ANSWERED) | TO(JOB_WAITING),
    [JOB_CALLING] = TO(JOB_READY) | TO(JOB_WAITING) | TO(JOB_CONFIRM) | TO(JOB_FOLLOWS) |
                    TO(JOB_ANSWERED),
    [JOB_FOLLOWS] = TO(JOB_ANSWERED) | TO(JOB_WAITING),
    [JOB_CONFIRM] = TO(JOB_WAITING) | TO(JOB_ANSWERED),
    [JOB_ANSWERED] = TO(JOB_TICKING) | TO(JOB_ANSWERED) | TO(JOB_WAITING),
    [JOB_TICKING] =
        TO(JOB_ANSWERED) | TO(JOB_READY) | TO(JOB_WAITING) | TO(JOB_ENDED) | TO(JOB_IDLE),
    [JOB_ENDED] = 0,
    [JOB_IDLE] = TO(JOB_QUEUED) | TO(JOB_ANSWERED),
};

static struct str without_cancel(struct str key);
static void learn(struct engine *en, struct part *part, const struct kafka_record *rec);
static void learn_cancel(struct engine *en, struct part *part, struct str key,
                         bool asked);
static void came(struct engine *en, struct part *part, const struct kafka_record *rec);
static void came_record(struct engine *en, struct part *part,
                        const struct kafka_record *rec);
static void came_tombstone(struct engine *en, struct part *part, struct job *job);
static void came_cancel(struct engine *en, struct part *part, struct str key);
static bool adopt(struct engine *en, struct job *job, struct str value);
static void foreign(struct engine *en, struct job *job, const char *what);
static void settle(struct engine *en, struct part *part);
static void go_live(struct engine *en, struct part *part);
static void cancel(struct engine *en, struct job *job);
static bool may_run(const struct engine *en, const struct job *job);
static void wait_over(struct timer *t);
static bool is_other(const struct engine *en, const struct job_record *jr);

void jobs_open(struct engine *en, struct part *part)
{
    (void)en;
    part->jobs = mem_zalloc(sizeof *part->jobs);
    part->jobs->to = -1;
    part->seen = seen_new(1); /* stays empty */
}

void jobs_drop(struct engine *en, struct part *part)
{
    struct job *job, *tmp;

    if (part->jobs == NULL)
        return;
    HASH_ITER (hh, part->jobs->table, job, tmp)
        jobs_free(en, job);
}

void jobs_close(struct part *part)
{
    mem_free(part->jobs);
    part->jobs = NULL;
}

/* --- take-over --- */

/* The answer is held up until no transaction of a former owner is open here: what it
 * wrote lies below the high watermark, which is asked for now. */
void jobs_committed(struct engine *en, struct part *part, const struct kafka_event *ev)
{
    if (ev->metadata.len > 0 && !str_is(ev->metadata, JOBS_STRING)) {
        parts_stop(part,
                   "its position has a text that is not ours: another program commits "
                   "to this group; reset the group's offset of this partition");
        return;
    }
    part->position = ev->offset;
    if (part->state == PART_ASKING)
        part->state = PART_STARTING;
    en->kafka.watermarks(en->kafka.self, part->at);
}

bool jobs_asking(const struct engine *en, int32_t commands_partition)
{
    const struct part *part;

    TAILQ_FOREACH (part, &en->parts, link)
        if (part->jobs != NULL && part->state == PART_ASKING &&
            part->at.partition == commands_partition % en->o.jobs_partitions)
            return true;
    return false;
}

void jobs_watermarks(struct engine *en, struct part *part, const struct kafka_event *ev)
{
    if (ev->high < part->position) {
        parts_stop(part,
                   "the committed position %lld is beyond the end of the log, %lld: the "
                   "topic was made anew or lost records, and lists with them; reset the "
                   "group's offset of this partition",
                   (long long)part->position, (long long)ev->high);
        return;
    }
    part->jobs->to = ev->high;
    if (part->state == PART_STARTING) {
        part->next = ev->low;
        part->state = PART_PARKED;
    } else {
        jobs_reach(en, part);
    }
}

void jobs_record(struct engine *en, struct part *part, struct kafka_record *rec)
{
    bool read = part->state == PART_READING || part->state == PART_LIVE ||
                part->state == PART_RECHECK;

    if (read && rec->offset >= part->next) {
        part->next = rec->offset + 1;
        if (rec->key.ptr != NULL && part->state == PART_READING)
            learn(en, part, rec);
        else if (rec->key.ptr != NULL)
            came(en, part, rec);
    }
    en->kafka.release(en->kafka.self, rec);
    jobs_reach(en, part);
}

/* The end that is told is the last stable offset: it may lie below where we have to read
 * to, then a transaction is still open there. */
void jobs_end(struct engine *en, struct part *part, int64_t offset)
{
    if (offset > part->next)
        part->next = offset;
    jobs_reach(en, part);
}

void jobs_reach(struct engine *en, struct part *part)
{
    if (part->jobs->to < 0 || part->next < part->jobs->to)
        return;
    if (part->state == PART_READING)
        go_live(en, part);
    else if (part->state == PART_RECHECK)
        settle(en, part);
}

static void go_live(struct engine *en, struct part *part)
{
    struct job *job, *tmp;

    part->state = PART_LIVE;
    HASH_ITER (hh, part->jobs->table, job, tmp) {
        if (job->bad) {
            parts_stop(part,
                       "the record of job %s cannot be read: start the version that "
                       "wrote it, or write a record without a value under that key",
                       job->key);
            return;
        }
    }
    sync_take_over(en, part);
    HASH_ITER (hh, part->jobs->table, job, tmp) {
        if (job->stray)
            walk_forget(en, job);
        else if (job->cancel && !job->other)
            cancel(en, job);
    }
    log_info("jobs.taken", "%s/%d: %u job(s) taken over", part->at.topic,
             part->at.partition, HASH_COUNT(part->jobs->table));
}

/* After a fenced producer: what of the tick is in the log was committed. */
static void settle(struct engine *en, struct part *part)
{
    struct job *job, *next;

    part->state = PART_LIVE;
    for (job = TAILQ_LAST(&en->jobs[JOB_TICKING], job_list); job != NULL; job = next) {
        next = TAILQ_PREV(job, job_list, link);
        if (job->part != part)
            continue;
        if (job->came != NULL || job->gone)
            jobs_ticked(en, job);
        else
            job_move_back(en, job, JOB_ANSWERED);
    }
}

/* --- what is read before we may run anything --- */

static void learn(struct engine *en, struct part *part, const struct kafka_record *rec)
{
    struct str id = without_cancel(rec->key);
    struct job *job;

    if (id.ptr != NULL) {
        learn_cancel(en, part, rec->key, rec->value.ptr != NULL);
        return;
    }
    job = jobs_find(part, rec->key);
    if (rec->value.ptr == NULL) {
        bool asked = job != NULL && job->cancel;
        if (job != NULL)
            jobs_free(en, job);
        if (asked)
            jobs_add_stray(en, part, rec->key);
        return;
    }
    if (job == NULL)
        job = jobs_add(en, part, rec->key);
    job->bad = !adopt(en, job, rec->value);
}

static void learn_cancel(struct engine *en, struct part *part, struct str key, bool asked)
{
    struct job *job = jobs_find(part, without_cancel(key)), *stray = jobs_find(part, key);

    if (job != NULL)
        job->cancel = asked;
    else if (asked)
        jobs_add_stray(en, part, without_cancel(key));
    else if (stray != NULL)
        jobs_free(en, stray);
}

/* --- what is read while we run them --- */

static void came(struct engine *en, struct part *part, const struct kafka_record *rec)
{
    if (rec->value.ptr == NULL)
        came_tombstone(en, part, jobs_find(part, rec->key));
    else if (without_cancel(rec->key).ptr != NULL)
        came_cancel(en, part, rec->key);
    else
        came_record(en, part, rec);
}

static void came_record(struct engine *en, struct part *part,
                        const struct kafka_record *rec)
{
    struct job *job = jobs_find(part, rec->key);
    struct job_record jr;
    struct err e = ERR_INIT;
    struct arena a;

    arena_init(&a, 0);
    if (job_record_decode(en->ss, rec->value, &a, &jr, &e) != 0) {
        log_warn("jobs.foreign", "%s/%d at offset %lld: passed over, %s", part->at.topic,
                 part->at.partition, (long long)rec->offset, e.text);
    } else if (job == NULL || job->other) {
        if (job == NULL)
            job = jobs_add(en, part, rec->key);
        job->bad = !adopt(en, job, rec->value);
    } else if (jr.seq == job->rec.seq + 1 && job->state == JOB_TICKING &&
               job->next.ptr != NULL) {
        mem_free(job->came);
        job->came = mem_dup(rec->value.ptr, rec->value.len);
        job->came_len = rec->value.len;
    } else if (jr.seq > job->rec.seq) {
        foreign(en, job, "a record newer than ours");
    }
    arena_fini(&a);
}

static void came_tombstone(struct engine *en, struct part *part, struct job *job)
{
    (void)part;
    if (job == NULL)
        return;
    if (job->state == JOB_ENDED || job->other ||
        (job->stray && job->state != JOB_TICKING))
        jobs_free(en, job);
    else if (job->state == JOB_TICKING && job->next.ptr == NULL)
        job->gone = true;
    else
        foreign(en, job, "the deletion");
}

/* One that comes while the tombstone of another is on its way may lie behind it. */
static void came_cancel(struct engine *en, struct part *part, struct str key)
{
    struct job *job = jobs_find(part, without_cancel(key)), *stray = jobs_find(part, key);

    if (stray != NULL && stray->state == JOB_ENDED) {
        jobs_free(en, stray);
        stray = NULL;
    }
    if (stray != NULL) {
        stray->cancel_again = stray->state == JOB_TICKING;
    } else if (job == NULL || job->state == JOB_ENDED) {
        walk_forget(en, jobs_add_stray(en, part, without_cancel(key)));
    } else if (!job->cancel && !job->other) {
        job->cancel = true;
        cancel(en, job);
    } else if (job->state == JOB_TICKING) {
        job->cancel_again = job->cancelled;
    }
}

/* Whoever wrote that owns the partition now, or the fence is broken: in both cases we do
 * nothing more here until it is assigned to us anew. */
static void foreign(struct engine *en, struct job *job, const char *what)
{
    if (en->o.exactly_once)
        parts_stop(job->part,
                   "%s of job %s: another instance runs it; nothing is done here until "
                   "the partition is assigned anew",
                   what, job->key);
}

/* A page that waits for a tick goes first. */
static void cancel(struct engine *en, struct job *job)
{
    if (job->ending || job->state == JOB_ANSWERED || job->state == JOB_TICKING)
        return;
    if (job->state == JOB_CALLING)
        dispatch_cancel_page(en, job);
    heal_left(en, job);
    if (sync_rests(job))
        sync_uncancel(en, job);
    else
        walk_end(en, job, CANCELLED, "cancelled", "the list was cancelled");
}

/* --- ticks --- */

void jobs_ticked(struct engine *en, struct job *job)
{
    bool ends = job->next.ptr == NULL;
    bool again = job->cancel && (!job->cancelled || job->cancel_again);

    walk_count(en, job);
    if (job->stray && job->cancel_again) {
        job->cancel_again = false;
        walk_fresh(job);
        walk_forget(en, job);
        return;
    }
    if (ends) {
        job_move(en, job, JOB_ENDED);
        if (!job->stray && again)
            came_cancel(
                en, job->part,
                str_of(arena_printf(&job->page_arena, "%s%s", job->key, JOB_CANCEL)));
        if (job->gone)
            jobs_free(en, job);
        return;
    }
    bool ok = adopt(en, job, job->next);
    assert(ok);
    (void)ok;
    job->cancel = again; /* of a sync: the run it was meant for has ended */
    job->cancelled = job->cancel_again = false;
    walk_fresh(job);
    if (sync_rests(job))
        sync_sleep(en, job);
    else
        job_move(en, job, JOB_READY);
    if (job->cancel)
        cancel(en, job);
}

void jobs_put_back(struct engine *en, struct job *job)
{
    bool there = job->came != NULL || job->gone;

    /* Its records are there, whatever failed after them. And the tombstone of a request,
     * perhaps that of our tick before this one, answers all that were read before it. */
    if (there && (!en->o.exactly_once || job->stray)) {
        jobs_ticked(en, job);
        return;
    }
    job_move_back(en, job, JOB_ANSWERED);
    if (there)
        foreign(en, job, "a record of its next page");
}

struct str jobs_string(void)
{
    return STR_LIT(JOBS_STRING);
}

/* --- places --- */

void jobs_turn(struct engine *en)
{
    struct job *job, *next;
    size_t running = jobs_running(en);

    for (job = TAILQ_FIRST(&en->jobs[JOB_QUEUED]);
         job != NULL && (int64_t)running < en->o.jobs_max_running; job = next) {
        next = TAILQ_NEXT(job, link);
        if (!may_run(en, job))
            continue;
        walk_fresh(job);
        if (sync_rests(job))
            sync_begin(en, job);
        job_move(en, job, JOB_READY);
        running++;
    }
}

static bool may_run(const struct engine *en, const struct job *job)
{
    if (job->part->state != PART_LIVE || job->stray || job->bad || job->other)
        return false;
    if (job_heals(job) && !en->me_known)
        return false; /* nor is Front's clock, which says how far its run may read */
    return job_is_sync(job) ? sync_find(en, job) != NULL : str_is(job->rec.kind, "list");
}

size_t jobs_running(const struct engine *en)
{
    static const enum job_state places[] = {JOB_READY,   JOB_WAITING, JOB_CALLING,
                                            JOB_CONFIRM, JOB_FOLLOWS, JOB_ANSWERED,
                                            JOB_TICKING};
    size_t n = 0;

    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        n += en->job_counts[places[i]];
    return n;
}

/* Is there something of them that a last tick can carry? */
bool jobs_in_hand(const struct engine *en)
{
    const struct job *job;

    if (en->job_counts[JOB_TICKING] > 0)
        return true;
    TAILQ_FOREACH (job, &en->jobs[JOB_ANSWERED], link)
        if (job->part->state == PART_LIVE)
            return true;
    return false;
}

/* --- one of them --- */

struct job *jobs_add(struct engine *en, struct part *part, struct str key)
{
    struct job *job = mem_zalloc(sizeof *job);
    char *cancel_key = mem_printf("%.*s%s", STR_ARG(key), JOB_CANCEL);
    struct job *stray = jobs_find(part, str_of(cancel_key));

    job->part = part;
    job->en = en;
    job->key = mem_strndup(key.ptr, key.len);
    job->timer.fire = wait_over;
    job->http_status = NO_NUMBER;
    arena_init(&job->arena, 512);
    arena_init(&job->page_arena, 4096);
    HASH_ADD_KEYPTR(hh, part->jobs->table, job->key, key.len, job);
    TAILQ_INSERT_TAIL(&en->jobs[JOB_QUEUED], job, link);
    en->job_counts[JOB_QUEUED]++;
    if (stray != NULL && part->state == PART_READING) {
        job->cancel = true; /* compaction may leave the request before the record */
        jobs_free(en, stray);
    }
    mem_free(cancel_key);
    return job;
}

/* NULL: there is one. */
struct job *jobs_add_stray(struct engine *en, struct part *part, struct str id)
{
    char *key = mem_printf("%.*s%s", STR_ARG(id), JOB_CANCEL);
    struct job *stray =
        jobs_find(part, str_of(key)) == NULL ? jobs_add(en, part, str_of(key)) : NULL;

    if (stray != NULL)
        stray->stray = true;
    mem_free(key);
    return stray;
}

void jobs_free(struct engine *en, struct job *job)
{
    if (job->state == JOB_CALLING)
        dispatch_cancel_page(en, job);
    heal_left(en, job);
    timer_cancel(&en->timers, &job->timer);
    HASH_DEL(job->part->jobs->table, job);
    TAILQ_REMOVE(&en->jobs[job->state], job, link);
    en->job_counts[job->state]--;
    arena_fini(&job->arena);
    arena_fini(&job->page_arena);
    items_free(job->items);
    overlap_free(job->overlap);
    mem_free(job->came);
    mem_free(job->key);
    mem_free(job);
}

static void leave_list(struct engine *en, struct job *job, enum job_state to)
{
    assert(transitions[job->state] & TO(to));
    TAILQ_REMOVE(&en->jobs[job->state], job, link);
    en->job_counts[job->state]--;
    en->job_counts[to]++;
    job->state = to;
}

void job_move(struct engine *en, struct job *job, enum job_state to)
{
    timer_cancel(&en->timers, &job->timer);
    job->asks = false;
    leave_list(en, job, to);
    TAILQ_INSERT_TAIL(&en->jobs[to], job, link);
}

void job_move_back(struct engine *en, struct job *job, enum job_state to)
{
    leave_list(en, job, to);
    TAILQ_INSERT_HEAD(&en->jobs[to], job, link);
}

void job_wait(struct engine *en, struct job *job, int64_t at_ms)
{
    job_move(en, job, JOB_WAITING);
    timer_set(&en->timers, &job->timer, at_ms);
}

void jobs_topic_answered(struct engine *en)
{
    struct job *job, *next;

    for (job = TAILQ_FIRST(&en->jobs[JOB_WAITING]); job != NULL; job = next) {
        next = TAILQ_NEXT(job, link);
        if (job->asks)
            wait_over(&job->timer);
    }
}

static void wait_over(struct timer *t)
{
    struct job *job = (struct job *)(void *)((char *)t - offsetof(struct job, timer));

    if (job->state == JOB_IDLE)
        job_move(job->en, job, JOB_QUEUED);
    else if (job->state == JOB_FOLLOWS)
        heal_again(job->en, job);
    else if (job->ending)
        walk_close(job->en, job);
    else
        job_move(job->en, job, JOB_READY);
}

struct job *jobs_find(const struct part *part, struct str key)
{
    struct job *job = NULL;

    if (key.ptr != NULL)
        HASH_FIND(hh, part->jobs->table, key.ptr, key.len, job);
    return job;
}

/* The id in the key of a request to cancel; ptr NULL: it is none. */
static struct str without_cancel(struct str key)
{
    size_t n = sizeof JOB_CANCEL - 1;

    if (key.len <= n || memcmp(key.ptr + key.len - n, JOB_CANCEL, n) != 0)
        return STR_NULL;
    return (struct str){key.ptr, key.len - n};
}

/* Of a command topic, or a sync of a group, that is not ours: another connector uses this
 * jobs topic too, and what it writes is only looked at. */
static bool is_other(const struct engine *en, const struct job_record *jr)
{
    if (str_is(jr->kind, "sync") || str_is(jr->kind, "heal"))
        return !str_is(jr->group, en->o.group_id);
    for (size_t i = 0; i < en->o.n_commands_topics; i++)
        if (str_is(jr->source_topic, en->o.commands_topics[i]))
            return false;
    return jr->source_topic.ptr != NULL;
}

/* False: it is no job that we know how to run. */
static bool adopt(struct engine *en, struct job *job, struct str value)
{
    struct err e = ERR_INIT;

    arena_reset(&job->arena);
    if (job_record_decode(en->ss, value, &job->arena, &job->rec, &e) == 0) {
        job->other = is_other(en, &job->rec);
        return true;
    }
    log_warn("jobs.unreadable", "job %s: %s", job->key, e.text);
    return false;
}
