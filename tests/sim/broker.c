/* The model broker: logs, transaction coordinator, offsets, group coordinator. It does
 * what notes/real-kafka.md and take-over.md measured: a commit is durable when the
 * coordinator has logged it, long before its answer arrives; markers come later and per
 * partition; until the marker of the offsets came, the offsets are pending; the
 * generation is checked at an offset commit, the ownership is not. Owns struct broker. */
#include "world.h"

#include <string.h>

static void run_rpc(struct world *w, struct event *ev);
static void answer(struct world *w, struct rpc *rpc);
static void init_producer(struct world *w, struct rpc *rpc);
static void take_offsets(struct world *w, struct rpc *rpc);
static void take_records(struct world *w, struct rpc *rpc);
static void end_txn(struct world *w, struct rpc *rpc);
static void decide(struct world *w, int slot, bool commit);
static void expire_txn(struct world *w, struct event *ev);
static void committed(struct world *w, struct rpc *rpc);
static void read_tail(struct world *w, struct rpc *rpc);
static void join(struct world *w, struct rpc *rpc);
static void heartbeat(struct world *w, struct rpc *rpc);
static void leave(struct world *w, struct rpc *rpc);

static const struct mood *mood(const struct world *w)
{
    return w->calm ? &w->quiet : &w->mood;
}

/* --- logs --- */

static void log_init(struct log *log, const char *topic, int partition, int64_t max)
{
    *log = (struct log){.topic = topic, .partition = partition, .max_bytes = max};
}

void broker_init(struct world *w)
{
    struct broker *b = &w->broker;
    for (int p = 0; p < PARTS_MAX; p++) {
        log_init(&b->commands[p], COMMANDS_TOPIC, p, 1 << 20);
        log_init(&b->results[p], RESULTS_TOPIC, p, 1 << 20);
        log_init(&b->jobs[p], JOBS_TOPIC, p, 1 << 20);
    }
    log_init(&b->items, ITEMS_TOPIC, 0, 1 << 20);
    log_init(&b->comments, COMMENTS_TOPIC, 0, 1 << 20);
    log_init(&b->contacts, CONTACTS_TOPIC, 0, 1 << 20);
    log_init(&b->tags, TAGS_TOPIC, 0, 1 << 20);
    log_init(&b->conversations, CONVERSATIONS_TOPIC, 0, 1 << 20);
    log_init(&b->inboxes, INBOXES_TOPIC, 0, 1 << 20);
    log_init(&b->notes, NOTES_TOPIC, 0, 1 << 20);
    log_init(&b->dead, DEAD_TOPIC, 0, 1 << 20);
    log_init(&b->reply, REPLY_TOPIC, 0, 1 << 20);
    log_init(&b->reply_small, REPLY_SMALL_TOPIC, 0, 400);
    for (int i = 0; i < w->n_slots; i++)
        b->txns[i].epoch = -1;
    b->group.next_id = 1;
    b->next_owner = 1;
}

void broker_fini(struct world *w)
{
    struct broker *b = &w->broker;
    for (int p = 0; p < PARTS_MAX; p++) {
        mem_free(b->commands[p].entries);
        mem_free(b->results[p].entries);
        mem_free(b->jobs[p].entries);
    }
    mem_free(b->items.entries);
    mem_free(b->comments.entries);
    mem_free(b->contacts.entries);
    mem_free(b->tags.entries);
    mem_free(b->conversations.entries);
    mem_free(b->inboxes.entries);
    mem_free(b->notes.entries);
    mem_free(b->dead.entries);
    mem_free(b->reply.entries);
    mem_free(b->reply_small.entries);
}

struct log *log_of_part(struct world *w, int part)
{
    return part >= JOBS ? &w->broker.jobs[part - JOBS] : &w->broker.commands[part];
}

bool part_exists(const struct world *w, int part)
{
    return part >= JOBS ? part < JOBS + w->n_jobs_parts : part < w->n_parts;
}

bool log_is_of_rows(const struct world *w, const struct log *log)
{
    const struct broker *b = &w->broker;
    return log == &b->items || log == &b->contacts || log == &b->tags ||
           log == &b->conversations || log == &b->inboxes || log == &b->notes;
}

int64_t log_stable(const struct log *log)
{
    for (size_t i = 0; i < log->n; i++)
        if (log->entries[i].state == ENTRY_OPEN)
            return (int64_t)i;
    return (int64_t)log->n;
}

struct entry *log_append(struct world *w, struct log *log, struct entry e)
{
    if (log->n == log->cap) {
        log->cap = log->cap ? log->cap * 2 : 64;
        log->entries = mem_realloc(log->entries, log->cap * sizeof *log->entries);
    }
    e.serial = w->broker.next_serial++;
    log->entries[log->n] = e;
    return &log->entries[log->n++];
}

void broker_commands_decided(struct world *w, int part)
{
    client_fetch_soon(w, part);
}

/* --- requests: there and back --- */

static int64_t wire_ms(struct world *w)
{
    if (w->slow_broker_until > w->now && !w->calm)
        return skewed(w, 1, 3000);
    return chance(w, mood(w)->slow_wire) ? skewed(w, 5, 800) : between(w, 0, 3);
}

/* A request that meets a cut wire is sent again when the wire is whole, by a process that
 * still lives. */
void broker_ask(struct world *w, struct rpc *rpc)
{
    int64_t late = wire_ms(w);
    if (rpc->type == RPC_HEARTBEAT && late > w->session_ms / 5)
        late = w->session_ms / 5;
    if (rpc->type == RPC_HEARTBEAT && rpc->in->deaf_until > w->now)
        late += rpc->in->deaf_until - w->now;
    int64_t at = w->now + late;
    rpc->held = at < rpc->in->cut_out_until;
    if (rpc->held)
        at = rpc->in->cut_out_until + wire_ms(w) + between(w, 0, 500);
    rpc->life = rpc->in->life;
    world_at(w, at, run_rpc, rpc);
}

static void run_rpc(struct world *w, struct event *ev)
{
    struct rpc *rpc = ev->p;
    bool orphan = !rpc->in->alive || rpc->in->life != rpc->life;
    if (orphan && (rpc->held || rpc->type == RPC_JOIN))
        return; /* a late join of a dead process would push its successor out */
    /* It was cut off while it was on its way. */
    if (w->now < rpc->in->cut_out_until && chance(w, 500)) {
        rpc->held = true;
        world_at(w, rpc->in->cut_out_until + wire_ms(w), run_rpc, rpc);
        return;
    }
    switch (rpc->type) {
    case RPC_INIT:
        init_producer(w, rpc);
        return;
    case RPC_OFFSETS:
        take_offsets(w, rpc);
        return;
    case RPC_PRODUCE:
        take_records(w, rpc);
        return;
    case RPC_END:
        end_txn(w, rpc);
        return;
    case RPC_COMMITTED:
        committed(w, rpc);
        return;
    case RPC_WATERMARKS:
        rpc->low = 0; /* the high watermark, whatever is open below it */
        rpc->high = (int64_t)(rpc->topic != NULL ? &w->broker.results[rpc->part]
                                                 : log_of_part(w, rpc->part))
                        ->n;
        if (!w->calm && chance(w, mood(w)->read_error / 4))
            rpc->code = BROKER_TIMED_OUT;
        answer(w, rpc);
        return;
    case RPC_READ:
        read_tail(w, rpc);
        return;
    case RPC_TOPIC: {
        bool small = strcmp(rpc->topic, REPLY_SMALL_TOPIC) == 0;
        bool known = small || strcmp(rpc->topic, REPLY_TOPIC) == 0 ||
                     strcmp(rpc->topic, ITEMS_TOPIC) == 0 ||
                     strcmp(rpc->topic, COMMENTS_TOPIC) == 0 ||
                     strcmp(rpc->topic, CONTACTS_TOPIC) == 0 ||
                     strcmp(rpc->topic, TAGS_TOPIC) == 0 ||
                     strcmp(rpc->topic, CONVERSATIONS_TOPIC) == 0 ||
                     strcmp(rpc->topic, INBOXES_TOPIC) == 0 ||
                     strcmp(rpc->topic, NOTES_TOPIC) == 0;
        rpc->count = known ? 1 : 0;
        /* What the topic takes was lowered since: the tick meets it. */
        rpc->max_bytes = 1 << 20;
        answer(w, rpc);
        return;
    }
    case RPC_JOIN:
        join(w, rpc);
        return;
    case RPC_HEARTBEAT:
        heartbeat(w, rpc);
        return;
    case RPC_LEAVE:
        leave(w, rpc);
        return;
    }
}

static void answer_at(struct world *w, struct rpc *rpc, int64_t at)
{
    struct instance *in = rpc->in;
    if (!in->alive || in->life != rpc->life)
        return;
    if (at < in->cut_in_until)
        at = in->cut_in_until + between(w, 0, 500);
    world_in(w, in, at, rpc->done, rpc);
}

static void answer(struct world *w, struct rpc *rpc)
{
    answer_at(w, rpc, w->now + wire_ms(w));
}

/* --- transactions --- */

static struct txn *txn_of(struct world *w, const struct rpc *rpc)
{
    return &w->broker.txns[rpc->in->slot];
}

static void init_producer(struct world *w, struct rpc *rpc)
{
    struct txn *t = txn_of(w, rpc);
    rpc->code = BROKER_OK;
    if (t->state == TXN_ONGOING) {
        t->epoch++; /* the old one is fenced from here on */
        decide(w, rpc->in->slot, false);
    }
    if (t->state != TXN_EMPTY) {
        rpc->code = BROKER_CONCURRENT;
    } else {
        rpc->epoch = ++t->epoch;
        trace(w, rpc->in->slot, -1, -1, "producer.new", rpc->epoch, 0, NULL);
    }
    answer(w, rpc);
}

/* OK when the request may go on in an open transaction; opens one. */
static enum broker_code enter(struct world *w, struct rpc *rpc)
{
    struct txn *t = txn_of(w, rpc);
    if (rpc->epoch != t->epoch)
        return BROKER_FENCED;
    if (t->state == TXN_COMMITTING || t->state == TXN_ABORTING)
        return BROKER_CONCURRENT;
    if (!w->calm && chance(w, mood(w)->passing))
        return BROKER_PASSING;
    if (t->state == TXN_ONGOING)
        return BROKER_OK;
    t->state = TXN_ONGOING;
    t->started = w->now;
    t->serial++;
    t->n_offsets = t->n_touched = 0;
    memset(t->owner, 0, sizeof t->owner);
    t->pending = false;
    t->inst = rpc->in->slot;
    t->life = rpc->life;
    int64_t *serial = arena_alloc(&w->arena, 2 * sizeof *serial);
    serial[0] = rpc->in->slot;
    serial[1] = t->serial;
    /* The coordinator looks once a second. */
    world_at(w, w->now + w->txn_timeout_ms + between(w, 0, 1000), expire_txn, serial);
    return BROKER_OK;
}

static void expire_txn(struct world *w, struct event *ev)
{
    const int64_t *serial = ev->p;
    struct txn *t = &w->broker.txns[serial[0]];
    if (t->state != TXN_ONGOING || t->serial != serial[1])
        return;
    trace(w, (int)serial[0], -1, -1, "txn.expired", t->epoch, 0, NULL);
    t->epoch++;
    decide(w, (int)serial[0], false);
}

static struct member *member_find(struct world *w, int id)
{
    struct group *g = &w->broker.group;
    for (size_t i = 0; i < sizeof g->members / sizeof g->members[0]; i++)
        if (id != 0 && g->members[i].id == id)
            return &g->members[i];
    return NULL;
}

/* Generation and member are checked, whose the partition is is not; a generation of -1
 * without a member is not checked at all. */
static enum broker_code check_generation(struct world *w, const struct rpc *rpc)
{
    if (rpc->generation < 0 && rpc->member == 0)
        return BROKER_OK;
    if (member_find(w, rpc->member) == NULL)
        return BROKER_STALE;
    return rpc->generation == w->broker.group.generation ? BROKER_OK : BROKER_STALE;
}

static void take_offsets(struct world *w, struct rpc *rpc)
{
    struct txn *t = txn_of(w, rpc);
    rpc->code = enter(w, rpc);
    if (rpc->code == BROKER_OK)
        rpc->code = check_generation(w, rpc);
    if (rpc->code == BROKER_OK) {
        for (int i = 0; i < rpc->n_offsets; i++) {
            int at = 0;
            while (at < t->n_offsets && t->offsets[at].part != rpc->offsets[i].part)
                at++;
            t->offsets[at] = rpc->offsets[i];
            t->offsets[at].serial = w->broker.next_offset_serial++;
            t->owner[rpc->offsets[i].part] = rpc->owner;
            if (at == t->n_offsets)
                t->n_offsets++;
        }
        t->pending = t->n_offsets > 0;
        t->handed = rpc->handed;
    }
    trace(w, rpc->in->slot, -1, -1, "txn.offsets", rpc->code, rpc->generation, NULL);
    answer(w, rpc);
}

static void touch(struct txn *t, struct log *log)
{
    for (int i = 0; i < t->n_touched; i++)
        if (t->touched[i] == log)
            return;
    t->touched[t->n_touched++] = log;
}

static void take_records(struct world *w, struct rpc *rpc)
{
    struct txn *t = txn_of(w, rpc);
    rpc->code = enter(w, rpc);
    if (rpc->code == BROKER_OK && chance(w, mood(w)->produce_timeout))
        rpc->code = BROKER_TIMED_OUT;
    for (size_t i = 0; rpc->code == BROKER_OK && i < rpc->n_outputs; i++) {
        struct sent_output *out = &rpc->outputs[i];
        if (out->unknown || (int64_t)out->size > out->log->max_bytes ||
            (out->size > 600 && !out->job && chance(w, mood(w)->refuse_record))) {
            rpc->code = BROKER_BAD_RECORD;
            rpc->bad = i;
            break;
        }
        touch(t, out->log);
        (void)log_append(w, out->log,
                         (struct entry){.state = ENTRY_OPEN,
                                        .cmd = out->cmd,
                                        .outcome = out->outcome,
                                        .value = out->value,
                                        .txn = rpc->in->slot,
                                        .epoch = t->serial,
                                        .key = out->key,
                                        .sync = out->sync,
                                        .command_id = out->command_id,
                                        .operation = out->operation});
    }
    int64_t at = w->now + wire_ms(w);
    if (rpc->code == BROKER_TIMED_OUT)
        at += between(w, 100, 12000);
    answer_at(w, rpc, at);
}

static void end_txn(struct world *w, struct rpc *rpc)
{
    struct txn *t = txn_of(w, rpc);
    if (rpc->epoch != t->epoch)
        rpc->code = BROKER_FENCED;
    else if (t->state == TXN_ONGOING) {
        rpc->code = BROKER_OK;
        decide(w, rpc->in->slot, rpc->commit);
    } else {
        rpc->code = BROKER_OK; /* the same decision again, or nothing was begun */
    }
    int64_t at = w->now + wire_ms(w);
    if (chance(w, mood(w)->slow_commit))
        at += skewed(w, 50, 20000);
    answer_at(w, rpc, at);
}

/* One marker: a log's, or (log NULL) that of the group's offsets. */
struct marker {
    int slot;
    struct log *log;
    bool commit;
    int64_t serial;
    struct pending_offset offsets[ALL_PARTS];
    int n_offsets;
};

static void write_marker(struct world *w, struct event *ev)
{
    const struct marker *m = ev->p;
    struct txn *t = &w->broker.txns[m->slot];
    if (m->log != NULL) {
        for (size_t i = 0; i < m->log->n; i++) {
            struct entry *e = &m->log->entries[i];
            if (e->state == ENTRY_OPEN && e->txn == m->slot && e->epoch == m->serial)
                e->state = m->commit ? ENTRY_COMMITTED : ENTRY_ABORTED;
        }
        if (strcmp(m->log->topic, JOBS_TOPIC) == 0)
            client_fetch_soon(w, JOBS + m->log->partition);
        (void)log_append(w, m->log,
                         (struct entry){.state = ENTRY_MARKER, .cmd = -1, .txn = -1});
    } else {
        for (int i = 0; m->commit && i < m->n_offsets; i++) {
            int p = m->offsets[i].part;
            /* Of two pending ones the later written counts, whatever the markers' order.
             */
            if (w->broker.committed[p].set &&
                w->broker.committed[p].serial > m->offsets[i].serial)
                continue;
            w->broker.committed[p].set = true;
            w->broker.committed[p].offset = m->offsets[i].offset;
            w->broker.committed[p].text = m->offsets[i].text;
            w->broker.committed[p].serial = m->offsets[i].serial;
        }
        t->pending = false;
    }
    if (--t->markers_left == 0)
        t->state = TXN_EMPTY;
}

/* From here on it is decided, whatever becomes of the answer. */
static void decide(struct world *w, int slot, bool commit)
{
    struct txn *t = &w->broker.txns[slot];
    t->state = commit ? TXN_COMMITTING : TXN_ABORTING;
    trace(w, slot, -1, -1, commit ? "txn.commit" : "txn.abort", t->serial, t->epoch,
          NULL);
    if (commit)
        check_durable(w, slot, t);
    t->markers_left = t->n_touched + (t->pending ? 1 : 0);
    if (t->markers_left == 0)
        t->state = TXN_EMPTY;
    for (int i = t->pending ? -1 : 0; i < t->n_touched; i++) {
        struct marker *m = arena_zalloc(&w->arena, sizeof *m);
        m->slot = slot;
        m->log = i < 0 ? NULL : t->touched[i];
        m->commit = commit;
        m->serial = t->serial;
        if (i < 0) {
            memcpy(m->offsets, t->offsets, sizeof m->offsets);
            m->n_offsets = t->n_offsets;
        }
        int64_t late = between(w, 1, 10);
        if (chance(w, mood(w)->late_marker))
            late = skewed(w, 20, 5000);
        world_at(w, w->now + late, write_marker, m);
    }
}

static bool is_pending(const struct world *w, int part)
{
    for (int i = 0; i < w->n_slots; i++) {
        const struct txn *t = &w->broker.txns[i];
        for (int o = 0; t->pending && o < t->n_offsets; o++)
            if (t->offsets[o].part == part)
                return true;
    }
    return false;
}

/* Stable offsets only: an open transaction of anybody holds the answer up. */
static void committed(struct world *w, struct rpc *rpc)
{
    int p = rpc->part;
    rpc->code = is_pending(w, p) ? BROKER_UNSTABLE : BROKER_OK;
    rpc->offset = KAFKA_NO_OFFSET;
    rpc->text = NULL;
    if (w->broker.committed[p].set) {
        rpc->offset = w->broker.committed[p].offset;
        rpc->text = w->broker.committed[p].text;
    }
    answer(w, rpc);
}

/* What read_committed shows, a page at a time. At the last stable offset it waits. */
static void read_tail(struct world *w, struct rpc *rpc)
{
    const struct log *log = &w->broker.results[rpc->part];
    int64_t stable = log_stable(log), at = rpc->low;
    int many = (int)between(w, 1, 6);
    if (!w->calm && chance(w, mood(w)->read_error))
        rpc->code = BROKER_TIMED_OUT;
    rpc->values = arena_zalloc(&w->arena, (size_t)many * sizeof *rpc->values);
    for (; at < stable && at < rpc->high && rpc->n_values < many; at++)
        if (log->entries[at].state == ENTRY_COMMITTED)
            rpc->values[rpc->n_values++] = log->entries[at].value;
    rpc->offset = at;
    if (rpc->code == BROKER_OK && at < rpc->high && rpc->n_values == 0)
        rpc->code = BROKER_UNSTABLE;
    answer(w, rpc);
}

/* --- the group: classic protocol, range, eager --- */

static void try_complete(struct world *w);
static void prepare(struct world *w, const char *why);
static void watch_session(struct world *w, int id);

static int count_members(const struct group *g, bool joined_only)
{
    int n = 0;
    for (size_t i = 0; i < sizeof g->members / sizeof g->members[0]; i++)
        if (g->members[i].id != 0 && (!joined_only || g->members[i].joined))
            n++;
    return n;
}

static void complete_event(struct world *w, struct event *ev)
{
    (void)ev;
    w->broker.group.completing = false;
    try_complete(w);
}

static void complete_at(struct world *w, int64_t at)
{
    w->broker.group.completing = true;
    world_at(w, at, complete_event, NULL);
}

static void member_drop(struct world *w, struct member *m, const char *why)
{
    trace(w, m->slot, -1, -1, "group.drop", m->id, w->broker.group.generation, why);
    *m = (struct member){0};
}

static void prepare(struct world *w, const char *why)
{
    struct group *g = &w->broker.group;
    if (g->state == GROUP_PREPARING)
        return;
    trace(w, -1, -1, -1, "group.rebalance", g->generation, 0, why);
    w->rebalances++;
    g->not_before = g->state == GROUP_EMPTY ? w->now + between(w, 0, 3000) : w->now;
    g->state = GROUP_PREPARING;
    g->deadline = w->now + w->rebalance_ms;
    complete_at(w, g->deadline);
}

/* Of `count` partitions the share of the i-th of n. */
static void range(bool *owns, int count, int i, int n)
{
    int more = count % n, first = i * (count / n) + (i < more ? i : more);
    int many = count / n + (i < more ? 1 : 0);
    for (int p = first; p < first + many; p++)
        owns[p] = true;
}

/* The range over the members in an order of chance, as random member ids give. */
static void hand_out(struct world *w)
{
    struct group *g = &w->broker.group;
    struct member *order[SLOTS_MAX * 4];
    int n = 0;
    for (size_t i = 0; i < sizeof g->members / sizeof g->members[0]; i++)
        if (g->members[i].id != 0)
            order[n++] = &g->members[i];
    for (int i = n - 1; i > 0 && !w->static_members; i--) {
        int j = (int)rnd(w, (uint64_t)i + 1);
        struct member *m = order[i];
        order[i] = order[j];
        order[j] = m;
    }
    for (int i = 0; i < n; i++) {
        struct member *m = order[i];
        memset(m->owns, 0, sizeof m->owns);
        range(m->owns, w->n_parts, i, n);
        range(m->owns + JOBS, w->n_jobs_parts, i, n);
        m->owner = w->broker.next_owner++;
        m->joined = false;
        m->heard = w->now;
    }
}

static void send_assignment(struct world *w, struct member *m)
{
    if (m->call == NULL)
        return;
    struct rpc *rpc = m->call->rpc;
    m->call = NULL;
    rpc->code = BROKER_OK;
    rpc->member = m->id;
    rpc->generation = w->broker.group.generation;
    rpc->owner = m->owner;
    memcpy(rpc->parts, m->owns, sizeof rpc->parts);
    answer(w, rpc);
}

static void try_complete(struct world *w)
{
    struct group *g = &w->broker.group;
    if (g->state != GROUP_PREPARING)
        return;
    bool over = w->now >= g->deadline;
    size_t max = sizeof g->members / sizeof g->members[0];
    if (w->now < g->not_before ||
        (!over && count_members(g, false) != count_members(g, true))) {
        if (!g->completing || w->now < g->not_before)
            complete_at(w, w->now < g->not_before ? g->not_before : g->deadline);
        return;
    }
    for (size_t i = 0; i < max; i++)
        if (g->members[i].id != 0 && !g->members[i].joined)
            member_drop(w, &g->members[i], "did not join again");
    if (count_members(g, false) == 0) {
        g->state = GROUP_EMPTY;
        return;
    }
    g->state = GROUP_STABLE;
    g->generation++;
    hand_out(w);
    trace(w, -1, -1, -1, "group.stable", g->generation, count_members(g, false), NULL);
    for (size_t i = 0; i < max; i++)
        if (g->members[i].id != 0)
            send_assignment(w, &g->members[i]);
}

static void session_event(struct world *w, struct event *ev)
{
    const int *id = ev->p;
    struct member *m = member_find(w, *id);
    if (m == NULL)
        return;
    /* Who waits for the rebalance to end sends no heartbeats. */
    if (m->joined || w->now < m->heard + w->session_ms) {
        world_at(w, (m->joined ? w->now : m->heard) + w->session_ms, session_event,
                 ev->p);
        return;
    }
    member_drop(w, m, "session");
    if (w->broker.group.state == GROUP_STABLE)
        prepare(w, "session");
    try_complete(w);
}

static void watch_session(struct world *w, int id)
{
    int *p = arena_alloc(&w->arena, sizeof *p);
    *p = id;
    world_at(w, w->now + w->session_ms, session_event, p);
}

static struct member *member_new(struct world *w, struct rpc *rpc)
{
    struct group *g = &w->broker.group;
    for (size_t i = 0; i < sizeof g->members / sizeof g->members[0]; i++) {
        struct member *m = &g->members[i];
        if (m->id != 0)
            continue;
        *m = (struct member){.id = g->next_id++,
                             .slot = rpc->in->slot,
                             .life = rpc->life,
                             .heard = w->now};
        watch_session(w, m->id);
        return m;
    }
    return NULL;
}

/* A static member that comes back takes its place, without a rebalance. */
static bool replace_static(struct world *w, struct rpc *rpc)
{
    struct group *g = &w->broker.group;
    for (size_t i = 0; i < sizeof g->members / sizeof g->members[0]; i++) {
        struct member *m = &g->members[i];
        if (m->id == 0 || m->slot != rpc->in->slot || m->id == rpc->member)
            continue;
        m->id = g->next_id++;
        m->life = rpc->life;
        m->heard = w->now;
        m->call = arena_zalloc(&w->arena, sizeof *m->call);
        m->call->rpc = rpc;
        trace(w, rpc->in->slot, -1, -1, "group.replaced", m->id, g->generation, NULL);
        watch_session(w, m->id);
        if (g->state == GROUP_STABLE) {
            m->owner = w->broker.next_owner++;
            send_assignment(w, m);
        } else {
            m->joined = true;
            try_complete(w);
        }
        return true;
    }
    return false;
}

static void join(struct world *w, struct rpc *rpc)
{
    struct member *m = member_find(w, rpc->member);
    if (m == NULL && rpc->member != 0 && !rpc->fixed_member) {
        rpc->code = BROKER_STALE;
        answer(w, rpc);
        return;
    }
    if (m == NULL && rpc->fixed_member && replace_static(w, rpc))
        return;
    if (m == NULL)
        m = member_new(w, rpc);
    if (m == NULL)
        return; /* the table is full of dead ones: it asks again when they went */
    prepare(w, "join");
    m->joined = true;
    m->heard = w->now;
    m->call = arena_zalloc(&w->arena, sizeof *m->call);
    m->call->rpc = rpc;
    try_complete(w);
}

static void heartbeat(struct world *w, struct rpc *rpc)
{
    struct group *g = &w->broker.group;
    struct member *m = member_find(w, rpc->member);
    rpc->code = BROKER_OK;
    if (m == NULL)
        rpc->code = BROKER_STALE;
    else {
        m->heard = w->now;
        if (rpc->generation != g->generation)
            rpc->code = BROKER_STALE;
        else if (g->state == GROUP_PREPARING)
            rpc->code = BROKER_REBALANCING;
    }
    answer(w, rpc);
}

static void leave(struct world *w, struct rpc *rpc)
{
    struct member *m = member_find(w, rpc->member);
    if (m != NULL) {
        member_drop(w, m, "left");
        if (w->broker.group.state == GROUP_STABLE)
            prepare(w, "left");
        try_complete(w);
    }
    answer(w, rpc);
}
