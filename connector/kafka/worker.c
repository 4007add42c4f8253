/* The Kafka thread: every call that waits for a broker. The only file that knows of
 * threads. Owns the handles of the ticks and of the questions, the queue of jobs towards
 * it and the queue of answers back. Invariant: a job is in exactly one place: the request
 * queue, the waiting questions, the thread's hands, the answer queue, or the loop's. A
 * tick is never behind a question: those are asked in short slices, and before each slice
 * the request queue is looked at. */
#include "kafka/internal.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    REACH_SLICE_MS = 1000,
    COMMITTED_SLICE_MS = 100,
    QUESTION_SLICE_MS = 1000,
    QUESTION_MAX_MS = 15000, /* what belongs to an assignment has no end: a foreign
                              * transaction has, and a broker comes back */
    READ_TURN_MS = 2000,     /* of one partition: to change it is to fetch anew */
    RETRY_MS = 50,
    REACH_RETRY_MS = 500,
    IDLE_MS = 1000
};

enum phase { PHASE_REACH, PHASE_LIMITS, PHASE_INIT, PHASE_READY, PHASE_DEAD };

struct worker {
    pthread_t thread;
    pthread_mutex_t mutex; /* of the two queues and `done` */
    pthread_cond_t work;
    struct job_list requests;
    struct job_list answers;
    bool done;

    /* The thread's own from here on. */
    enum phase phase;
    int64_t phase_due_ms;
    bool probing;
    struct job_list waiting; /* questions */
    rd_kafka_t *group, *questions;
    struct reader *reader;
    struct producer *producer;
    struct kafka_watch *watch;
    char **outputs;
    size_t n_outputs;
    bool topics_create;
    const char *events_topic; /* NULL: none */
    int32_t topics_partitions, topics_replication;
    char reason[200]; /* what the questions' handle last complained of */
    bool told_down;

    /* The loop's. */
    struct loop *loop;
    int wake_fd;
    struct job_list taken;
};

static void *thread_main(void *arg);
static void thread_end(struct worker *w);
static struct job *take(struct worker *w, int64_t pause_ms);
static int64_t pause_ms(struct worker *w);
static struct timespec in_ms(int64_t ms);
static void serve(struct worker *w, struct job *job);
static void step(struct worker *w);
static void step_reach(struct worker *w);
static void step_limits(struct worker *w);
static void step_init(struct worker *w);
static void ask_one(struct worker *w);
static bool of_assignment(const struct job *job);
static void wait_again(struct worker *w, struct job *job, int64_t now);
static int ask(struct worker *w, struct job *job, struct err *e);
static int ask_watermarks(struct worker *w, struct job *job, struct err *e);
static bool is_events(const struct worker *w, const char *topic);
static int ask_topic(struct worker *w, struct job *job, struct err *e);
static int make_topic(struct worker *w, struct job *job, struct err *e);
static void drop_creation(struct job *job);
static void answer(struct worker *w, struct job *job);
static void tell(struct worker *w, enum job_type type, bool up, const char *error);
static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque);
static void wake_up(void *arg, int fd, unsigned events);
static void free_jobs(struct job_list *list);
static void worker_free(struct worker *w);

struct job *job_new(enum job_type type)
{
    struct job *job = mem_zalloc(sizeof(*job));

    job->type = type;
    return job;
}

/* On the loop thread only: the stamp is counted there. */
void job_free(struct job *job)
{
    if (job == NULL)
        return;
    stamp_release(job->stamp);
    mem_free(job->metadata);
    page_fini(&job->page);
    mem_free(job);
}

struct worker *worker_start(struct loop *lo, const struct kafka_options *o,
                            rd_kafka_t *group, struct kafka_watch *watch, struct err *e)
{
    struct worker *w = mem_zalloc(sizeof(*w));
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_QUESTIONS, true, e);
    pthread_condattr_t attr;
    size_t i;
    int rc;

    TAILQ_INIT(&w->requests);
    TAILQ_INIT(&w->answers);
    TAILQ_INIT(&w->waiting);
    TAILQ_INIT(&w->taken);
    w->loop = lo;
    w->group = group;
    w->watch = watch;
    w->topics_create = o->topics_create;
    w->events_topic = o->events_topic;
    w->topics_partitions = o->topics_partitions;
    w->topics_replication = o->topics_replication;
    w->outputs = mem_array(o->n_outputs, sizeof(w->outputs[0]));
    for (i = 0; i < o->n_outputs; i++)
        w->outputs[w->n_outputs++] = mem_strdup(o->outputs[i]);
    (void)pthread_mutex_init(&w->mutex, NULL); /* these three cannot fail on Linux */
    (void)pthread_condattr_init(&attr);
    (void)pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&w->work, &attr);
    w->wake_fd = loop_wake_fd(lo, wake_up, w, e);
    if (conf != NULL) {
        rd_kafka_conf_set_opaque(conf, w);
        rd_kafka_conf_set_error_cb(conf, on_error);
        w->questions = client_new(CLIENT_QUESTIONS, conf, e);
    }
    if (w->questions != NULL)
        w->reader = reader_new(o, e);
    if (w->reader != NULL && w->wake_fd >= 0)
        w->producer = producer_new(o, group, watch, e);
    if (w->producer != NULL) {
        rc = pthread_create(&w->thread, NULL, thread_main, w);
        if (rc == 0)
            return w;
        (void)err_set(e, ERR_SYSTEM, "thread: %s", strerror(rc));
    }
    producer_free(w->producer);
    reader_free(w->reader);
    if (w->questions != NULL)
        rd_kafka_destroy(w->questions);
    worker_free(w);
    return NULL;
}

void worker_ask(struct worker *w, struct job *job)
{
    job->asked_ms = clock_now(&clock_system);
    (void)pthread_mutex_lock(&w->mutex);
    TAILQ_INSERT_TAIL(&w->requests, job, link);
    (void)pthread_cond_signal(&w->work);
    (void)pthread_mutex_unlock(&w->mutex);
}

struct job *worker_answer(struct worker *w)
{
    struct job *job = TAILQ_FIRST(&w->taken);

    if (job == NULL) {
        (void)pthread_mutex_lock(&w->mutex);
        TAILQ_CONCAT(&w->taken, &w->answers, link);
        (void)pthread_mutex_unlock(&w->mutex);
        job = TAILQ_FIRST(&w->taken);
    }
    if (job != NULL)
        TAILQ_REMOVE(&w->taken, job, link);
    return job;
}

int worker_stop(struct worker *w, int64_t deadline_ms)
{
    struct timespec until = in_ms(deadline_ms);
    bool done;

    atomic_store(&w->watch->stop, true);
    (void)pthread_mutex_lock(&w->mutex);
    (void)pthread_cond_broadcast(&w->work);
    while (!w->done)
        if (pthread_cond_timedwait(&w->work, &w->mutex, &until) != 0)
            break;
    done = w->done;
    (void)pthread_mutex_unlock(&w->mutex);
    if (!done) {
        (void)pthread_detach(w->thread);
        return -1;
    }
    (void)pthread_join(w->thread, NULL);
    worker_free(w);
    return 0;
}

static void *thread_main(void *arg)
{
    struct worker *w = arg;
    sigset_t all;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, NULL); /* signals are the loop's */
    while (!atomic_load(&w->watch->stop)) {
        struct job *job = take(w, pause_ms(w));

        if (job != NULL)
            serve(w, job);
        else if (!TAILQ_EMPTY(&w->waiting) &&
                 TAILQ_FIRST(&w->waiting)->due_ms <= clock_now(&clock_system))
            ask_one(w);
        else if (w->phase_due_ms <= clock_now(&clock_system))
            step(w);
        (void)rd_kafka_poll(w->questions, 0);
        reader_idle(w->reader);
        producer_serve(w->producer);
    }
    thread_end(w);
    return NULL;
}

/* The group's handle too: its destruction may hang on a record that nobody released, and
 * here the loop only waits for its deadline. */
static void thread_end(struct worker *w)
{
    struct job *job;

    TAILQ_FOREACH (job, &w->waiting, link)
        drop_creation(job);
    watch_begin(w->watch, "destroy");
    while ((job = take(w, 0)) != NULL) { /* handles that were given to us to the last */
        if (job->type == JOB_DESTROY)
            rd_kafka_destroy_flags(job->group, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        answer(w, job);
    }
    producer_free(w->producer);
    reader_free(w->reader);
    rd_kafka_destroy_flags(w->questions, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    rd_kafka_destroy_flags(w->group, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    watch_end(w->watch);
    (void)pthread_mutex_lock(&w->mutex);
    w->done = true;
    (void)pthread_cond_broadcast(&w->work);
    (void)pthread_mutex_unlock(&w->mutex);
}

static struct job *take(struct worker *w, int64_t pause)
{
    struct timespec until = in_ms(pause);
    struct job *job;

    (void)pthread_mutex_lock(&w->mutex);
    while (TAILQ_EMPTY(&w->requests) && !atomic_load(&w->watch->stop) && pause > 0)
        if (pthread_cond_timedwait(&w->work, &w->mutex, &until) != 0)
            break;
    job = TAILQ_FIRST(&w->requests);
    if (job != NULL)
        TAILQ_REMOVE(&w->requests, job, link);
    (void)pthread_mutex_unlock(&w->mutex);
    return job;
}

static int64_t pause_ms(struct worker *w)
{
    int64_t now = clock_now(&clock_system);
    int64_t due = w->phase_due_ms;

    if (!TAILQ_EMPTY(&w->waiting) && TAILQ_FIRST(&w->waiting)->due_ms < due)
        due = TAILQ_FIRST(&w->waiting)->due_ms;
    if (due <= now)
        return 0;
    return due - now < IDLE_MS ? due - now : IDLE_MS;
}

static struct timespec in_ms(int64_t ms)
{
    int64_t at = clock_now(&clock_system) + ms;

    return (struct timespec){at / 1000, at % 1000 * 1000000};
}

static void serve(struct worker *w, struct job *job)
{
    switch (job->type) {
    case JOB_TICK:
        producer_tick(w->producer, job->tick, job->stamp);
        answer(w, job);
        if (producer_fatal(w->producer) != NULL)
            tell(w, JOB_FATAL, false, producer_fatal(w->producer));
        return;
    case JOB_COMMITTED:
    case JOB_WATERMARKS:
    case JOB_TOPIC:
    case JOB_READ:
        TAILQ_INSERT_TAIL(&w->waiting, job, link);
        return;
    case JOB_PROBE:
        w->probing = true;
        w->phase_due_ms = 0;
        answer(w, job);
        return;
    case JOB_GROUP:
        w->group = job->group;
        producer_group(w->producer, job->group);
        answer(w, job);
        return;
    case JOB_DESTROY:
        watch_begin(w->watch, "destroy");
        rd_kafka_destroy_flags(job->group, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
        watch_end(w->watch);
        answer(w, job);
        return;
    case JOB_STATE:
    case JOB_READY:
    case JOB_FATAL:
        break; /* answers only */
    }
    abort();
}

static void step(struct worker *w)
{
    w->phase_due_ms = clock_now(&clock_system) + IDLE_MS;
    switch (w->phase) {
    case PHASE_REACH:
        step_reach(w);
        return;
    case PHASE_LIMITS:
        step_limits(w);
        return;
    case PHASE_INIT:
        step_init(w);
        return;
    case PHASE_READY:
    case PHASE_DEAD:
        if (w->probing)
            step_reach(w);
        return;
    }
    abort();
}

static void step_reach(struct worker *w)
{
    struct err e = ERR_INIT;
    int rc;

    watch_begin(w->watch, "metadata");
    rc = question_brokers(w->questions, REACH_SLICE_MS, &e);
    watch_end(w->watch);
    (void)rd_kafka_poll(w->questions, 0);
    if (rc != 0) {
        tell(w, JOB_STATE, false, w->reason[0] != '\0' ? w->reason : e.text);
        w->phase_due_ms = clock_now(&clock_system) + REACH_RETRY_MS;
        return;
    }
    w->probing = false;
    tell(w, JOB_STATE, true, "");
    if (w->phase != PHASE_REACH)
        return;
    w->phase = PHASE_LIMITS;
    w->phase_due_ms = 0;
}

static void step_limits(struct worker *w)
{
    struct err e = ERR_INIT;
    int64_t max_bytes;
    int32_t count;
    size_t i;

    watch_begin(w->watch, "topics");
    for (i = 0; i < w->n_outputs && !atomic_load(&w->watch->stop); i++)
        if (question_topic(w->questions, w->outputs[i], QUESTION_SLICE_MS, &count,
                           &max_bytes, &e) == 0)
            producer_limit(w->producer, max_bytes);
    watch_end(w->watch);
    w->phase = PHASE_INIT;
    w->phase_due_ms = 0;
}

static void step_init(struct worker *w)
{
    struct err e = ERR_INIT;

    if (producer_init(w->producer, &e) == 0) {
        w->phase = PHASE_READY;
        tell(w, JOB_READY, true, "");
    } else if (e.kind == ERR_BUSY) {
        log_debug("kafka.init", "%s", e.text);
        w->phase_due_ms = clock_now(&clock_system) + RETRY_MS;
    } else {
        w->phase = PHASE_DEAD;
        tell(w, JOB_FATAL, false, e.text);
    }
}

/* One slice of the first question. What is not answered yet goes to the end of the row.
 */
static void ask_one(struct worker *w)
{
    struct job *job = TAILQ_FIRST(&w->waiting);
    struct err e = ERR_INIT;
    int64_t now;
    int rc;

    TAILQ_REMOVE(&w->waiting, job, link);
    if (job->turn_ms == 0)
        job->turn_ms = clock_now(&clock_system);
    rc = ask(w, job, &e);
    now = clock_now(&clock_system);
    if (rc != 0 && e.kind == ERR_BUSY &&
        (of_assignment(job) || now - job->asked_ms < QUESTION_MAX_MS)) {
        job->due_ms = now + RETRY_MS;
        wait_again(w, job, now);
        return;
    }
    if (rc != 0)
        err_copy(&e, job->error, sizeof(job->error));
    if (rc != 0 && e.kind != ERR_BUSY)
        job->count = -1; /* of a topic: to ask again would not help */
    drop_creation(job);
    answer(w, job);
}

/* Only the loop that asked under this assignment wants the answer. */
static bool of_assignment(const struct job *job)
{
    return job->type == JOB_COMMITTED || job->type == JOB_WATERMARKS ||
           job->type == JOB_READ;
}

/* At the end of the row; but a read that has begun goes on before another one begins. */
static void wait_again(struct worker *w, struct job *job, int64_t now)
{
    struct job *other = NULL;

    if (job->type == JOB_READ && now - job->turn_ms < READ_TURN_MS)
        TAILQ_FOREACH (other, &w->waiting, link)
            if (other->type == JOB_READ)
                break;
    if (other != NULL) {
        TAILQ_INSERT_BEFORE(other, job, link);
        return;
    }
    if (now - job->turn_ms >= READ_TURN_MS)
        job->turn_ms = 0;
    TAILQ_INSERT_TAIL(&w->waiting, job, link);
}

static int ask(struct worker *w, struct job *job, struct err *e)
{
    int rc = 0;

    if (of_assignment(job) && job->assignment != atomic_load(&w->watch->assignment))
        return 0; /* nobody wants the answer: dropped on the loop */
    watch_begin(w->watch, job->type == JOB_COMMITTED ? "committed" : "question");
    if (job->type == JOB_COMMITTED) {
        mem_free(job->metadata);
        rc = question_committed(w->group, job->at, COMMITTED_SLICE_MS, &job->offset,
                                &job->metadata, &job->metadata_len, e);
    } else if (job->type == JOB_WATERMARKS) {
        rc = ask_watermarks(w, job, e);
    } else if (job->type == JOB_READ) {
        rc = reader_page(w->reader, job->at, job->high, is_events(w, job->at.topic),
                         &job->page, e);
    } else {
        rc = ask_topic(w, job, e);
    }
    watch_end(w->watch);
    return rc;
}

/* Whose tail is read again and again, and who is no table. */
static bool is_events(const struct worker *w, const char *topic)
{
    return w->events_topic != NULL && strcmp(topic, w->events_topic) == 0;
}

static int ask_watermarks(struct worker *w, struct job *job, struct err *e)
{
    if (question_offset(w->questions, job->at, KAFKA_END, QUESTION_SLICE_MS, &job->high,
                        e) != 0)
        return -1;
    return question_offset(w->questions, job->at, KAFKA_BEGINNING, QUESTION_SLICE_MS,
                           &job->low, e);
}

/* It is asked for to be written to. */
static int ask_topic(struct worker *w, struct job *job, struct err *e)
{
    if (question_topic(w->questions, job->at.topic, QUESTION_SLICE_MS, &job->count,
                       &job->max_bytes, e) != 0)
        return -1;
    if (job->count == 0)
        return job->make && w->topics_create ? make_topic(w, job, e) : 0;
    producer_limit(w->producer, job->max_bytes);
    producer_prepare(w->producer, job->at.topic);
    return 0;
}

/* Nothing waits here: the ticks go on. It is made when it shows. */
static int make_topic(struct worker *w, struct job *job, struct err *e)
{
    const struct kafka_new_topic topic = {.topic = job->at.topic,
                                          .partitions = w->topics_partitions,
                                          .replication = w->topics_replication,
                                          .compacted = !is_events(w, job->at.topic)};

    if (job->made)
        return err_set(e, ERR_BUSY, "%s was created but does not show", job->at.topic);
    if (job->creation == NULL)
        job->creation = creation_begin(w->questions, &topic, 1, e);
    if (job->creation == NULL)
        return -1;
    job->made = creation_poll(job->creation, 0, e) == 0;
    if (creation_ended(job->creation))
        drop_creation(job);
    return job->made ? err_set(e, ERR_BUSY, "%s does not show yet", job->at.topic) : -1;
}

static void drop_creation(struct job *job)
{
    creation_free(job->creation);
    job->creation = NULL;
}

static void answer(struct worker *w, struct job *job)
{
    (void)pthread_mutex_lock(&w->mutex);
    TAILQ_INSERT_TAIL(&w->answers, job, link);
    (void)pthread_mutex_unlock(&w->mutex);
    loop_wake_up(w->wake_fd);
}

/* News. That the brokers are away is told once, with what the library complained of last.
 */
static void tell(struct worker *w, enum job_type type, bool up, const char *error)
{
    struct job *job;

    if (type == JOB_STATE && !up && w->told_down)
        return;
    if (type == JOB_STATE)
        w->told_down = !up;
    job = job_new(type);
    job->up = up;
    (void)snprintf(job->error, sizeof(job->error), "%s", error);
    answer(w, job);
}

/* On the Kafka thread, within rd_kafka_poll. */
static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    struct worker *w = opaque;

    (void)rk;
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        client_reason(reason, w->reason, sizeof(w->reason));
}

static void wake_up(void *arg, int fd, unsigned events)
{
    (void)arg;
    (void)fd;
    (void)events;
}

static void free_jobs(struct job_list *list)
{
    struct job *job;

    while ((job = TAILQ_FIRST(list)) != NULL) {
        TAILQ_REMOVE(list, job, link);
        job_free(job);
    }
}

static void worker_free(struct worker *w)
{
    size_t i;

    if (w->wake_fd >= 0) {
        loop_unwatch(w->loop, w->wake_fd);
        (void)close(w->wake_fd);
    }
    free_jobs(&w->requests);
    free_jobs(&w->answers);
    free_jobs(&w->waiting);
    free_jobs(&w->taken);
    for (i = 0; i < w->n_outputs; i++)
        mem_free(w->outputs[i]);
    mem_free(w->outputs);
    (void)pthread_cond_destroy(&w->work);
    (void)pthread_mutex_destroy(&w->mutex);
    mem_free(w);
}
