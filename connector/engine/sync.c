/* Syncs: lists that are walked again and again, as the settings say. A sync is a job
 * whose record stays in the jobs topic: "waiting" between two runs, with the time of the
 * next; "running" from the tick of a run's first page on. So whoever takes the partition
 * over knows when the next run is due, and goes on with one that was broken off at its
 * page. Invariant: what a run asks for, and the cursor it goes back to when it fails, are
 * in the record that its first page leaves: the settings count again when it has ended.
 */
#include <assert.h>
#include <string.h>

#include "engine/internal.h"
#include "kafka/kafka.h"

#define PREFIX "sync/"
#define CURSOR_PARAM "q[updated_after]"

static bool lives_here(const struct engine *en, const struct part *part, struct str key);
static void take_over(struct engine *en, struct job *job);
static void create(struct engine *en, struct part *part, const struct engine_sync *sync,
                   struct str key);
static void drop(struct engine *en, struct job *job);
static bool same_list(const struct engine_sync *sync, const struct job_record *jr);
static const struct pair *param(const struct pair *params, size_t n, struct str name);
static void fill_params(struct job *job, const struct engine_sync *sync);
static void name_run(struct job *job, int64_t start_ms);
static void tell_success(struct engine *en, const struct job *job, int64_t at_ms);

void sync_init(struct engine *en)
{
    for (size_t i = 0; i < en->o.n_syncs; i++) /* at 0 from the start */
        (void)metrics_get(en->metrics, M_SYNC_SUCCESS, en->o.syncs[i].name, NULL);
}

/* NULL also where it is another partition's: the topic has another number of them than
 * when the record was written. */
const struct engine_sync *sync_find(const struct engine *en, const struct job *job)
{
    if (!str_starts(str_of(job->key), PREFIX) ||
        !lives_here(en, job->part, str_of(job->key)))
        return NULL;
    for (size_t i = 0; i < en->o.n_syncs; i++)
        if (strcmp(job->key + sizeof PREFIX - 1, en->o.syncs[i].name) == 0)
            return &en->o.syncs[i];
    return NULL;
}

static bool lives_here(const struct engine *en, const struct part *part, struct str key)
{
    return kafka_partition_of(key, en->o.jobs_partitions) == part->at.partition;
}

bool sync_rests(const struct job *job)
{
    return job_is_sync(job) && str_is(job->rec.state, "waiting");
}

/* --- taking over --- */

void sync_take_over(struct engine *en, struct part *part)
{
    struct job *job, *tmp;

    HASH_ITER (hh, part->jobs->table, job, tmp)
        if (job_is_sync(job) && !job->stray)
            take_over(en, job);
    for (size_t i = 0; i < en->o.n_syncs; i++) {
        char *key = mem_printf(PREFIX "%s", en->o.syncs[i].name);
        job = jobs_find(part, str_of(key));
        if (job == NULL && lives_here(en, part, str_of(key)))
            create(en, part, &en->o.syncs[i], str_of(key));
        mem_free(key);
    }
}

static void take_over(struct engine *en, struct job *job)
{
    const struct engine_sync *sync = sync_find(en, job);

    if (job->other && sync != NULL) {
        log_error("sync.taken",
                  "%s does not run: in %s that name is a sync of the group %.*s; give it "
                  "another name, or, if that group is no more, write a record without a "
                  "value under that key and start again",
                  job->key, job->part->at.topic, STR_ARG(job->rec.group));
    } else if (sync == NULL && !job->other) {
        drop(en, job);
    } else if (sync != NULL) {
        tell_success(en, job, job->rec.watermark);
        if (sync_rests(job))
            sync_sleep(en, job);
    }
}

/* It has no record before its first page. */
static void create(struct engine *en, struct part *part, const struct engine_sync *sync,
                   struct str key)
{
    struct job *job = jobs_add(en, part, key);

    job->rec = (struct job_record){.id = str_of(job->key),
                                   .kind = STR_LIT("sync"),
                                   .state = STR_LIT("waiting"),
                                   .operation = str_of(sync->operation),
                                   .key = str_of(sync->name),
                                   .reply_partition = NO_NUMBER,
                                   .source_partition = NO_NUMBER,
                                   .source_offset = NO_NUMBER,
                                   .deadline = NO_NUMBER,
                                   .priority = str_of(quota_class_names[QUOTA_LOW]),
                                   .received_at = NO_NUMBER,
                                   .started_at = NO_NUMBER,
                                   .max_items = NO_NUMBER,
                                   .created_at = clock_wall(en->clock),
                                   .group = str_of(en->o.group_id)};
    log_info("sync.new", "%s: its first run is due", job->key);
    sync_sleep(en, job);
}

/* A run that was broken off has its result all the same. */
static void drop(struct engine *en, struct job *job)
{
    log_info("sync.removed", "%s is not in the settings of partition %d: its record goes",
             job->key, job->part->at.partition);
    job->removed = true;
    if (sync_rests(job))
        walk_forget(en, job);
    else
        walk_end(en, job, CANCELLED, "cancelled",
                 "the sync was taken out of the settings");
}

/* --- between two runs --- */

/* Never longer than the interval: the settings may have changed, or somebody the clock.
 */
void sync_sleep(struct engine *en, struct job *job)
{
    const struct engine_sync *sync = sync_find(en, job);
    int64_t left = job->rec.next_run_at - clock_wall(en->clock);

    assert(sync != NULL);
    if (left > sync->every_ms)
        left = sync->every_ms;
    job_move(en, job, JOB_IDLE);
    timer_set(&en->timers, &job->timer, en->now + (left > 0 ? left : 0));
}

void sync_uncancel(struct engine *en, struct job *job)
{
    struct job_record jr = job->rec;

    walk_fresh(job);
    jr.seq++;
    jr.instance = str_of(en->o.instance_id);
    job->outputs = arena_zalloc(&job->page_arena, 2 * sizeof *job->outputs);
    job->outputs[0] =
        walk_record_output(en, &jr, job->part->at.partition, &job->page_arena);
    job->outputs[1] = (struct kafka_output){
        .topic = en->jobs_topic,
        .partition = job->part->at.partition,
        .key = str_of(arena_printf(&job->page_arena, "%s%s", job->key, JOB_CANCEL))};
    job->n_outputs = 2;
    job->next = job->outputs[0].value;
    job->bytes = job->next.len;
    job->cancelled = true;
    job_move(en, job, JOB_ANSWERED);
}

/* --- a run --- */

/* Another list than the last run's is read from its beginning. */
void sync_begin(struct engine *en, struct job *job)
{
    const struct engine_sync *sync = sync_find(en, job);
    struct job_record *jr = &job->rec;

    assert(sync != NULL);
    if (!same_list(sync, jr)) {
        jr->watermark = 0;
        if (job->overlap != NULL)
            overlap_forget(job->overlap);
    }
    jr->state = STR_LIT("running");
    jr->operation = str_of(sync->operation);
    jr->error = jr->page_token = STR_NULL;
    jr->received_at = jr->started_at = clock_wall(en->clock);
    jr->attempts = jr->pages = jr->items = jr->walk_items = jr->restarts = 0;
    jr->next_run_at = 0;
    fan_clear(jr);
    fill_params(job, sync);
    job->http_status = NO_NUMBER;
    job->last_run = jr->run;
    name_run(job, dispatch_front_ms(en));
}

/* But for the cursor. */
static bool same_list(const struct engine_sync *sync, const struct job_record *jr)
{
    if (!str_is(jr->operation, sync->operation))
        return false;
    for (size_t i = 0; i < sync->n_params; i++) {
        const struct pair *p = param(jr->params, jr->n_params, sync->params[i].name);
        if (p == NULL || !str_eq(p->value, sync->params[i].value))
            return false;
    }
    for (size_t i = 0; i < jr->n_params; i++)
        if (!str_is(jr->params[i].name, CURSOR_PARAM) &&
            param(sync->params, sync->n_params, jr->params[i].name) == NULL)
            return false;
    return true;
}

static const struct pair *param(const struct pair *params, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++)
        if (str_eq(params[i].name, name))
            return &params[i];
    return NULL;
}

/* Front takes whole seconds: rounded down, so that nothing is left out. */
static void fill_params(struct job *job, const struct engine_sync *sync)
{
    struct job_record *jr = &job->rec;
    int64_t after_ms = jr->watermark - sync->overlap_ms;

    jr->params = arena_zalloc(&job->arena, (sync->n_params + 1) * sizeof *jr->params);
    jr->n_params = sync->n_params;
    for (size_t i = 0; i < sync->n_params; i++)
        jr->params[i] = sync->params[i];
    if (!sync->updated_after || jr->watermark == 0 || after_ms <= 0)
        return;
    jr->params[jr->n_params++] = (struct pair){
        .name = STR_LIT(CURSOR_PARAM),
        .value = str_of(arena_printf(&job->arena, "%lld", (long long)after_ms / 1000))};
}

/* The name is the result's command_id: no two runs of a sync have the same. */
static void name_run(struct job *job, int64_t start_ms)
{
    job->rec.run = start_ms > job->last_run ? start_ms : job->last_run + 1;
    job->rec.command_id =
        str_of(arena_printf(&job->arena, "%s/%lld", job->key, (long long)job->rec.run));
}

/* Front's `Date`, less what the call took: Front had not read the list before. */
void sync_first_page(struct engine *en, struct job *job, const struct call *call)
{
    int64_t took = en->now - call->started_ms, date_ms = call->http.head.date_ms;

    job->rec.started_at = clock_wall(en->clock) - took;
    if (date_ms > 0)
        name_run(job, date_ms - took);
}

/* What changed before the next run's cursor does not come again. */
void sync_page(struct engine *en, struct job *job, struct list_page *page)
{
    const struct engine_sync *sync = sync_find(en, job);

    if (sync == NULL || !sync->updated_after)
        return;
    if (job->overlap == NULL)
        job->overlap = overlap_new();
    overlap_page(job->overlap, page, job->rec.run - sync->overlap_ms, &job->page_arena);
}

/* The next one is due at the next whole interval since the start of this one: those that
 * passed meanwhile are left out. */
struct job_record sync_rested(struct engine *en, struct job *job)
{
    const struct engine_sync *sync = sync_find(en, job);
    struct job_record next = *job->end;
    int64_t took = clock_wall(en->clock) - next.received_at;

    assert(sync != NULL);
    next.state = STR_LIT("waiting");
    next.page_token = STR_NULL;
    fan_clear(&next);
    next.next_run_at =
        next.received_at + (took > 0 ? took / sync->every_ms + 1 : 1) * sync->every_ms;
    next.error = job->res->error.kind;
    if (job->outcome == SUCCEEDED)
        next.watermark = next.run;
    return next;
}

void sync_count(struct engine *en, const struct job *job)
{
    if (job->overlap != NULL)
        overlap_ended(job->overlap, job->outcome == SUCCEEDED);
    if (job->outcome == SUCCEEDED)
        tell_success(en, job, job->end->run);
    else
        log_warn("sync.failed", "%s: its run is %s (%.*s)", job->key,
                 outcome_names[job->outcome], STR_ARG(job->res->error.kind));
}

static void tell_success(struct engine *en, const struct job *job, int64_t at_ms)
{
    if (at_ms > 0)
        metric_set(
            metrics_get(en->metrics, M_SYNC_SUCCESS, job->key + sizeof PREFIX - 1, NULL),
            (double)at_ms / 1000);
}
