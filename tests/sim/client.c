/* What stands between an engine and the broker: librdkafka's membership and fetching,
 * and consumer.c's rules (group metadata taken right after the first assign of an
 * assignment, answers of an older assignment dropped). Owns struct client; its Kafka
 * thread is in thread.c. */
#include "client.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum { SEND_BY_MS = 5000, LOST_CHECK_MS = 1000 };

static void join_group(struct instance *in);
static void lose(struct instance *in, const char *why);

struct told *client_tell(struct instance *in, struct told_queue *q,
                         enum kafka_event_type type)
{
    if (q->n == q->cap) {
        q->cap = q->cap ? q->cap * 2 : 64;
        q->items = mem_realloc(q->items, q->cap * sizeof *q->items);
    }
    struct told *t = &q->items[q->n++];
    *t = (struct told){.type = type, .part = -1, .cmd = -1};
    instance_wake(in);
    return t;
}

struct rpc *client_rpc(struct instance *in, enum rpc_type type, event_fn *done)
{
    struct rpc *rpc = arena_zalloc(&in->w->arena, sizeof *rpc);
    rpc->in = in;
    rpc->type = type;
    rpc->done = done;
    rpc->ticket = ++in->k.next_ticket;
    return rpc;
}

void client_again(struct instance *in, int64_t ms, event_fn *run)
{
    world_in(in->w, in, in->w->now + ms, run, in);
}

/* --- start: reach, init_transactions, then the group --- */

static void init_done(struct world *w, struct event *ev);

static void init_ask(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    broker_ask(w, client_rpc(in, RPC_INIT, init_done));
}

static void watch_lost(struct world *w, struct event *ev);
static void beat(struct world *w, struct event *ev);

static void init_done(struct world *w, struct event *ev)
{
    struct rpc *rpc = ev->p;
    struct instance *in = rpc->in;
    if (rpc->code != BROKER_OK) {
        client_again(in, INIT_AGAIN_MS, init_ask);
        return;
    }
    (void)w;
    in->k.epoch = rpc->epoch;
    in->k.producer_ready = true;
    client_tell(in, &in->k.answers, KAFKA_STATE)->up = true;
    if (!in->k.closing)
        join_group(in);
    thread_pump(in);
}

void client_start(struct instance *in)
{
    in->k = (struct client){.generation = -1};
    client_again(in, between(in->w, 1, 50), init_ask);
    client_again(in, LOST_CHECK_MS, watch_lost);
    client_again(in, in->w->heartbeat_ms, beat);
}

void client_fini(struct instance *in)
{
    mem_free(in->k.news.items);
    mem_free(in->k.answers.items);
    mem_free(in->k.lent_text);
    mem_free(in->k.lent_page);
    in->k.news = in->k.answers = (struct told_queue){0};
    in->k.lent_text = NULL;
    in->k.lent_page = NULL;
}

/* --- the group --- */

static void join_done(struct world *w, struct event *ev);
static void sync_done(struct world *w, struct event *ev);

static void join_group(struct instance *in)
{
    struct client *k = &in->k;
    k->membership = JOINING;
    struct rpc *rpc = client_rpc(in, RPC_JOIN, join_done);
    rpc->member = k->member;
    rpc->fixed_member = in->w->static_members;
    k->join_ticket = rpc->ticket;
    broker_ask(in->w, rpc);
}

static void join_again(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    (void)w;
    if (in->k.membership == JOINING && !in->k.closing)
        join_group(in);
}

/* The generation is known; what it brings is asked for with a SyncGroup, which, as a
 * heartbeat does, shows that we live. */
static void join_done(struct world *w, struct event *ev)
{
    struct rpc *rpc = ev->p, *sync;
    struct instance *in = rpc->in;
    struct client *k = &in->k;
    if (rpc->ticket != k->join_ticket || k->membership != JOINING)
        return;
    if (rpc->code != BROKER_OK) {
        k->member = 0;
        client_again(in, 100, join_again);
        return;
    }
    k->member = rpc->member;
    sync = client_rpc(in, RPC_HEARTBEAT, sync_done);
    sync->member = rpc->member;
    sync->generation = rpc->generation;
    sync->owner = rpc->owner;
    memcpy(sync->parts, rpc->parts, sizeof sync->parts);
    k->join_ticket = sync->ticket;
    broker_ask(w, sync);
}

static void sync_done(struct world *w, struct event *ev)
{
    struct rpc *rpc = ev->p;
    struct instance *in = rpc->in;
    struct client *k = &in->k;
    if (rpc->ticket != k->join_ticket || k->membership != JOINING)
        return;
    if (rpc->code != BROKER_OK) {
        if (rpc->code == BROKER_STALE)
            k->member = 0;
        join_again(w, &(struct event){.p = in});
        return;
    }
    k->membership = ASSIGNED;
    k->generation = rpc->generation;
    k->owner = rpc->owner;
    k->lost = false;
    k->heard = w->now;
    memcpy(k->parts, rpc->parts, sizeof k->parts);
    memcpy(client_tell(in, &k->news, KAFKA_ASSIGN)->parts, k->parts, sizeof k->parts);
}

static void revoke(struct instance *in)
{
    struct client *k = &in->k;
    k->membership = REVOKING;
    memcpy(client_tell(in, &k->news, KAFKA_REVOKE)->parts, k->parts, sizeof k->parts);
}

static void lose(struct instance *in, const char *why)
{
    struct client *k = &in->k;
    if (k->lost || (k->membership != ASSIGNED && k->membership != REVOKING))
        return;
    trace(in->w, in->slot, -1, -1, "client.lost", k->generation, k->member, why);
    k->lost = true;
    k->generation = -1;
    k->member = 0;
    if (k->membership == ASSIGNED)
        revoke(in);
    else
        instance_wake(in);
}

static void beat_done(struct world *w, struct event *ev)
{
    struct rpc *rpc = ev->p;
    struct instance *in = rpc->in;
    struct client *k = &in->k;
    if (rpc->ticket != k->beat_ticket)
        return;
    k->heartbeat_runs = false;
    if (rpc->member != k->member || rpc->generation != k->generation || k->lost)
        return; /* of another life of this membership */
    if (rpc->code == BROKER_STALE) {
        lose(in, "heartbeat");
        return;
    }
    k->heard = w->now;
    if (rpc->code == BROKER_REBALANCING && k->membership == ASSIGNED)
        revoke(in);
}

static void beat(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    struct client *k = &in->k;
    client_again(in, w->heartbeat_ms, beat);
    if (k->heartbeat_runs || k->lost || k->member == 0 ||
        (k->membership != ASSIGNED && k->membership != REVOKING))
        return;
    struct rpc *rpc = client_rpc(in, RPC_HEARTBEAT, beat_done);
    rpc->member = k->member;
    rpc->generation = k->generation;
    k->beat_ticket = rpc->ticket;
    k->heartbeat_runs = true;
    broker_ask(w, rpc);
}

static void watch_lost(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    struct client *k = &in->k;
    client_again(in, LOST_CHECK_MS, watch_lost);
    if ((k->membership == ASSIGNED || k->membership == REVOKING) &&
        w->now - k->heard > w->session_ms) {
        k->heartbeat_runs = false;
        lose(in, "no heartbeat was answered");
    }
}

static void gone(struct instance *in)
{
    in->k.membership = GONE;
    in->k.closed = true;
    (void)client_tell(in, &in->k.news, KAFKA_CLOSED);
}

static void leave_done(struct world *w, struct event *ev)
{
    struct rpc *rpc = ev->p;
    (void)w;
    if (!rpc->in->k.closed)
        gone(rpc->in);
}

static void leave_late(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    (void)w;
    if (!in->k.closed)
        gone(in);
}

static void leave_group(struct instance *in)
{
    struct client *k = &in->k;
    k->membership = AWAY;
    if (k->member == 0 || in->w->static_members) {
        client_again(in, 5, leave_late);
        return;
    }
    struct rpc *rpc = client_rpc(in, RPC_LEAVE, leave_done);
    rpc->member = k->member;
    broker_ask(in->w, rpc);
    client_again(in, 5000, leave_late);
}

/* --- fetching --- */

struct fetch_call {
    struct instance *in;
    int part;
    int64_t version;
};

static void fetch_run(struct world *w, struct event *ev);

static void fetch_soon(struct instance *in, int part, int64_t ms)
{
    struct fetch *f = &in->k.fetch[part];
    if (!f->on || f->paused || f->scheduled)
        return;
    f->scheduled = true;
    struct fetch_call *call = arena_zalloc(&in->w->arena, sizeof *call);
    *call = (struct fetch_call){in, part, f->version};
    int64_t at = in->w->now + ms;
    if (at < in->cut_out_until)
        at = in->cut_out_until;
    if (at < in->cut_in_until)
        at = in->cut_in_until;
    world_in(in->w, in, at, fetch_run, call);
}

void client_fetch_soon(struct world *w, int part)
{
    for (int i = 0; i < w->n_slots; i++)
        if (w->instances[i].alive)
            fetch_soon(&w->instances[i], part, skewed(w, 1, 120));
}

/* Up to the last stable offset, over markers and what was aborted. */
static void fetch_run(struct world *w, struct event *ev)
{
    struct fetch_call *call = ev->p;
    struct instance *in = call->in;
    struct fetch *f = &in->k.fetch[call->part];
    if (f->version != call->version)
        return;
    f->scheduled = false;
    if (!f->on || f->paused)
        return;
    if (w->now < in->cut_out_until || w->now < in->cut_in_until) {
        fetch_soon(in, call->part, 0);
        return;
    }
    const struct log *log = log_of_part(w, call->part);
    int64_t stable = log_stable(log);
    if (f->next > (int64_t)log->n) {
        struct told *t = client_tell(in, &in->k.news, KAFKA_OUT_OF_RANGE);
        t->part = call->part;
        t->version = f->version;
        f->on = false;
        return;
    }
    int64_t many = between(w, 1, 40);
    while (f->next < stable && many > 0) {
        const struct entry *e = &log->entries[f->next];
        if (e->state == ENTRY_COMMITTED) {
            struct told *t = client_tell(in, &in->k.news, KAFKA_RECORD);
            t->part = call->part;
            t->offset = f->next;
            t->cmd = e->cmd;
            t->version = f->version;
            many--;
        }
        f->next++;
    }
    if (f->next < stable) {
        fetch_soon(in, call->part, skewed(w, 1, 60));
    } else if (f->eof_told != f->next) {
        f->eof_told = f->next;
        struct told *t = client_tell(in, &in->k.news, KAFKA_EOF);
        t->part = call->part;
        t->offset = f->next;
        t->version = f->version;
    }
}

static void fetch_set(struct instance *in, int part, bool on, int64_t at)
{
    struct fetch *f = &in->k.fetch[part];
    *f = (struct fetch){
        .on = on, .version = f->version + 1, .app_next = at, .next = at, .eof_told = -1};
    if (on)
        fetch_soon(in, part, skewed(in->w, 2, 300));
}

/* --- the port --- */

int client_part(const struct instance *in, struct kafka_partition at)
{
    (void)in;
    return strcmp(at.topic, COMMANDS_TOPIC) == 0 ? at.partition
           : strcmp(at.topic, JOBS_TOPIC) == 0   ? JOBS + at.partition
                                                 : -1;
}

static void lend_parts(struct instance *in, const bool *parts, struct kafka_event *ev)
{
    ev->parts = in->k.lent_parts;
    ev->n_parts = 0;
    for (int p = 0; p < ALL_PARTS; p++)
        if (parts[p])
            in->k.lent_parts[ev->n_parts++] = lend_partition(p);
    ev->assignment = in->k.assignment;
}

/* True: the engine hears of it. */
static bool show(struct instance *in, const struct told *t, struct kafka_event *ev)
{
    struct world *w = in->w;
    struct client *k = &in->k;
    *ev = (struct kafka_event){.type = t->type};
    if (t->part >= 0)
        ev->at = lend_partition(t->part);
    if (t->topic != NULL)
        ev->at.topic = t->topic;
    (void)snprintf(ev->error, sizeof ev->error, "%s", t->error);
    ev->offset = t->offset;
    ev->low = t->low;
    ev->high = t->high;
    ev->count = t->count;
    ev->max_bytes = t->max_bytes;
    ev->up = t->up;
    ev->assignment = t->assignment;
    switch (t->type) {
    case KAFKA_RECORD:
        if (t->version != k->fetch[t->part].version)
            return false;
        k->fetch[t->part].app_next = t->offset + 1;
        if (t->part >= JOBS) {
            lend_job(in, t, &ev->record);
            trace(w, in->slot, t->part, t->cmd, "job.record", t->offset,
                  ev->record.value.ptr == NULL, NULL);
            walk_cancel_read(w, in, &log_of_part(w, t->part)->entries[t->offset]);
            return true;
        }
        lend_record(in, t, &ev->record);
        if (w->cmds[t->cmd].delivered_to != k->owner)
            w->cmds[t->cmd].delivered_turn = w->turns;
        w->cmds[t->cmd].delivered_to = k->owner;
        trace(w, in->slot, t->part, t->cmd, "record", t->offset, 0, NULL);
        return true;
    case KAFKA_EOF:
    case KAFKA_OUT_OF_RANGE:
        trace(w, in->slot, t->part, -1, "end", t->offset,
              t->version == k->fetch[t->part].version, NULL);
        return t->version == k->fetch[t->part].version;
    case KAFKA_ASSIGN:
        k->assignment++;
        k->current = k->assignment;
        k->revoking = k->told_lost = false;
        k->stamp.held = false;
        memset(k->asked_once, 0, sizeof k->asked_once);
        memset(k->reading_again, 0, sizeof k->reading_again);
        memset(k->unseeded, 0, sizeof k->unseeded);
        for (int p = 0; p < PARTS_MAX; p++)
            k->tail_to[p] = -1;
        k->fresh_at = -1;
        lend_parts(in, t->parts, ev);
        trace(w, in->slot, -1, -1, "assign", k->assignment, k->generation, NULL);
        return true;
    case KAFKA_REVOKE:
    case KAFKA_LOST:
        k->revoking = true;
        k->told_lost = k->lost;
        if (!k->lost)
            k->revoked_at = w->now;
        if (k->lost)
            k->current = 0;
        ev->type = k->lost ? KAFKA_LOST : KAFKA_REVOKE;
        lend_parts(in, t->parts, ev);
        trace(w, in->slot, -1, -1, k->lost ? "lost" : "revoke", k->assignment, 0, NULL);
        return true;
    case KAFKA_COMMITTED:
        if (t->assignment != k->current)
            return false;
        lend_text(in, t->text, ev);
        k->reading_again[t->part] = false;
        trace(w, in->slot, t->part, -1, "position", t->offset, t->assignment, t->text);
        if (t->up) /* the first reading of this assignment */
            check_read_position(w, in, t->part, t->text, t->offset);
        return true;
    case KAFKA_WATERMARKS:
        if (t->assignment != k->current)
            return false;
        if (t->topic != NULL) {
            k->unseeded[t->part] = t->error[0] != 0;
            k->tail_to[t->part] = t->high;
        }
        trace(w, in->slot, t->part, -1, "ends", t->low, t->high, t->topic);
        return true;
    case KAFKA_READ:
        if (t->assignment != k->current)
            return false;
        if (t->error[0] != 0)
            k->unseeded[t->part] = true;
        trace(w, in->slot, t->part, -1, t->error[0] != 0 ? "tail.failed" : "tail", t->low,
              t->offset, NULL);
        lend_page(in, t, ev);
        return true;
    case KAFKA_TOPIC:
        ev->at = (struct kafka_partition){t->topic, -1};
        return true;
    case KAFKA_TICK:
        k->tick_runs = false;
        ev->tick = t->tick;
        if (t->tick->end == TICK_COMMITTED)
            k->fresh_at = k->tick_handed;
        else if (t->tick->end == TICK_STALE)
            k->fresh_at = -1; /* the group has moved on */
        if (t->tick->end != TICK_COMMITTED || w->now - k->tick_handed >= SEND_BY_MS)
            check_arming_over(w, k->tick_owner, -1);
        trace(w, in->slot, -1, -1, "tick.end", t->tick->end, (int64_t)t->tick->bad, NULL);
        return true;
    case KAFKA_STATE:
    case KAFKA_CLOSED:
    case KAFKA_PRODUCED:
        return true;
    case KAFKA_FATAL:
        return true;
    }
    return false;
}

static bool next_of(struct instance *in, struct told_queue *q, struct kafka_event *ev)
{
    while (q->head < q->n) {
        struct told t = q->items[q->head++];
        if (q->head == q->n)
            q->head = q->n = 0;
        if (show(in, &t, ev))
            return true;
    }
    return false;
}

static bool port_next(void *self, struct kafka_event *ev)
{
    struct instance *in = self;
    struct client *k = &in->k;
    in->useful = true;
    mem_free(k->lent_page);
    k->lent_page = NULL;
    if (next_of(in, &k->answers, ev))
        return true;
    if (k->revoking && !k->told_lost && k->lost) {
        const struct told t = {.type = KAFKA_LOST, .part = -1};
        struct told all = t;
        memcpy(all.parts, k->parts, sizeof all.parts);
        return show(in, &all, ev);
    }
    if (next_of(in, &k->news, ev))
        return true;
    in->useful = false;
    return false;
}

static void port_assign(void *self, const struct kafka_offset *parts, size_t n,
                        int64_t assignment)
{
    struct instance *in = self;
    struct client *k = &in->k;
    if (assignment != k->assignment || k->revoking || k->closed)
        return;
    for (int p = 0; p < ALL_PARTS; p++) {
        size_t i = 0;
        while (i < n && client_part(in, parts[i].at) != p)
            i++;
        bool again = i < n && k->fetch[p].on;
        if (i < n || k->fetch[p].on)
            fetch_set(in, p, i < n,
                      i < n && parts[i].offset != KAFKA_BEGINNING ? parts[i].offset : 0);
        if (again && chance(in->w, 300) && k->fetch[p].next > 2)
            k->fetch[p].next -= 2; /* what was delivered may come again */
        if (i < n)
            trace(in->w, in->slot, p, -1, "fetch", parts[i].offset, assignment, NULL);
        if (i < n && !again && p < JOBS)
            check_tail(in->w, in, p);
    }
    if (k->stamp.held)
        return;
    /* What the library says now, which may be more than this
     * assignment knows of. */
    k->stamp.held = k->generation >= 0 && k->member != 0;
    k->stamp.assignment = assignment;
    k->stamp.generation = k->generation;
    k->stamp.member = k->member;
    k->stamp.owner = k->owner;
}

static void port_unassign(void *self, int64_t assignment)
{
    struct instance *in = self;
    struct client *k = &in->k;
    if (assignment != k->assignment || k->closed)
        return;
    trace(in->w, in->slot, -1, -1, "unassign", assignment, 0, NULL);
    check_unassign(in->w, in);
    k->stamp.held = false;
    k->current = 0;
    k->revoking = k->told_lost = false;
    for (int p = 0; p < ALL_PARTS; p++)
        fetch_set(in, p, false, 0);
    if (k->membership != REVOKING)
        return;
    k->lost = false;
    if (k->closing)
        leave_group(in);
    else
        join_group(in);
}

static void port_pause(void *self, struct kafka_partition at)
{
    struct instance *in = self;
    struct fetch *f = &in->k.fetch[client_part(in, at)];
    trace(in->w, in->slot, client_part(in, at), -1, "pause", f->app_next, f->next, NULL);
    f->paused = true;
    f->scheduled = false;
    f->version++; /* what was fetched ahead is dropped */
    f->next = f->app_next;
    f->eof_told = -1;
}

static void port_resume(void *self, struct kafka_partition at)
{
    struct instance *in = self;
    struct fetch *f = &in->k.fetch[client_part(in, at)];
    trace(in->w, in->slot, client_part(in, at), -1, "resume", f->app_next, 0, NULL);
    f->paused = false;
    fetch_soon(in, client_part(in, at), skewed(in->w, 5, 1000));
}

static struct question *ask(struct instance *in, enum kafka_event_type type, int part,
                            const char *topic)
{
    struct client *k = &in->k;
    assert(k->n_questions < sizeof k->questions / sizeof k->questions[0]);
    struct question *q = &k->questions[k->n_questions++];
    *q = (struct question){.type = type,
                           .part = part,
                           .topic = topic,
                           .assignment = k->current,
                           .asked_at = in->w->now};
    if (type == KAFKA_COMMITTED) {
        q->first_reading = !k->asked_once[part];
        k->reading_again[part] = k->asked_once[part];
        k->asked_once[part] = true;
    }
    return q;
}

static void port_committed(void *self, struct kafka_partition at)
{
    (void)ask(self, KAFKA_COMMITTED, client_part(self, at), NULL);
    thread_pump(self);
}

static void port_watermarks(void *self, struct kafka_partition at)
{
    int part = client_part(self, at);
    if (part >= 0)
        (void)ask(self, KAFKA_WATERMARKS, part, NULL);
    else
        (void)ask(self, KAFKA_WATERMARKS, at.partition, at.topic);
    thread_pump(self);
}

static void port_read(void *self, struct kafka_partition at, int64_t from, int64_t to)
{
    struct question *q = ask(self, KAFKA_READ, at.partition, at.topic);
    q->low = from;
    q->high = to;
    thread_pump(self);
}

static void port_topic(void *self, const char *topic, bool make)
{
    (void)make;
    (void)ask(self, KAFKA_TOPIC, -1, topic);
    thread_pump(self);
}

static int port_submit(void *self, struct kafka_tick *tick)
{
    struct instance *in = self;
    struct client *k = &in->k;
    if (k->tick_runs)
        return -1;
    in->useful = true;
    in->w->ticks++;
    k->tick_runs = true;
    tick->end = TICK_RUNNING;
    k->tick = tick;
    k->tick_waits = true;
    k->tick_handed = in->w->now;
    k->tick_owner =
        k->stamp.held && k->stamp.assignment == tick->assignment ? k->stamp.owner : 0;
    k->tick_generation = k->stamp.generation;
    k->tick_member = k->stamp.member;
    trace(in->w, in->slot, -1, -1, "tick.begin", (int64_t)tick->n_offsets,
          (int64_t)tick->n_outputs, NULL);
    thread_pump(in);
    return 0;
}

/* The library takes a REVOKE of what it has first, then leaves.
 */
static void port_close(void *self)
{
    struct instance *in = self;
    struct client *k = &in->k;
    if (k->closing)
        return;
    k->closing = true;
    trace(in->w, in->slot, -1, -1, "close", k->membership, 0, NULL);
    if (k->membership == ASSIGNED)
        revoke(in);
    else if (k->membership != REVOKING)
        leave_group(in);
}

/* Nobody calls webhooks here: nothing is taken. */
static int port_produce_event(void *self, const struct kafka_output *out, void *owner)
{
    (void)self;
    (void)out;
    (void)owner;
    return -1;
}

static const char *port_intern(void *self, const char *topic)
{
    static const char *const known[] = {
        COMMANDS_TOPIC,     RESULTS_TOPIC, DEAD_TOPIC,    REPLY_TOPIC,
        REPLY_SMALL_TOPIC,  JOBS_TOPIC,    ITEMS_TOPIC,   COMMENTS_TOPIC,
        CONTACTS_TOPIC,     TAGS_TOPIC,    INBOXES_TOPIC, NOTES_TOPIC,
        CONVERSATIONS_TOPIC};
    struct instance *in = self;
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (strcmp(known[i], topic) == 0)
            return known[i];
    return arena_strndup(&in->w->arena, topic, strlen(topic));
}

static int64_t port_high(void *self, struct kafka_partition at)
{
    struct instance *in = self;
    return (int64_t)log_of_part(in->w, client_part(in, at))->n;
}

struct kafka_port client_port(struct instance *in)
{
    return (struct kafka_port){.next = port_next,
                               .release = lend_release,
                               .assign = port_assign,
                               .unassign = port_unassign,
                               .pause = port_pause,
                               .resume = port_resume,
                               .committed = port_committed,
                               .watermarks = port_watermarks,
                               .topic = port_topic,
                               .read = port_read,
                               .submit = port_submit,
                               .produce_event = port_produce_event,
                               .close = port_close,
                               .intern = port_intern,
                               .high = port_high,
                               .self = in};
}
