/* The Kafka thread of an instance: questions in slices (worker.c), and ticks as offsets,
 * records, commit (producer.c). A tick goes before a question; a commit whose outcome is
 * not known is never followed by an abort. */
#include "client.h"

#include <stdio.h>
#include <string.h>

#include "codec/records/result.h"
#include "kafka/kafka.h"

enum { SLICE_MS = 100, ASK_AGAIN_MS = 50, QUESTION_MAX_MS = 15000 };

static void tick_step(struct instance *in);
static void renew(struct instance *in, enum tick_end end);

static void question_done(struct world *w, struct event *ev);

static void pump_event(struct world *w, struct event *ev)
{
    (void)w;
    thread_pump(ev->p);
}

static void answer_question(struct instance *in, const struct question *q,
                            const struct rpc *rpc)
{
    struct told *t = client_tell(in, &in->k.answers, q->type);
    t->part = q->part;
    t->topic = q->topic;
    t->assignment = q->assignment;
    t->up = q->first_reading;
    t->low = q->low; /* READ: from there; the rest is the answer's */
    t->offset = q->low;
    if (rpc == NULL || rpc->code != BROKER_OK) {
        (void)snprintf(t->error, sizeof t->error, "not answered");
        return;
    }
    t->values = rpc->values;
    t->n_values = rpc->n_values;
    t->offset = rpc->offset;
    t->text = rpc->text;
    t->low = rpc->low;
    t->high = rpc->high;
    t->count = rpc->count;
    t->max_bytes = rpc->max_bytes;
}

static void pop_question(struct client *k)
{
    k->n_questions--;
    memmove(k->questions, k->questions + 1, k->n_questions * sizeof k->questions[0]);
}

static void slice_over(struct world *w, struct event *ev)
{
    struct rpc *rpc = ev->p;
    struct instance *in = rpc->in;
    struct client *k = &in->k;
    if (k->step != STEP_QUESTION || k->ticket != rpc->ticket)
        return;
    struct question q = k->questions[0];
    pop_question(k);
    q.due = w->now + ASK_AGAIN_MS;
    k->step = STEP_IDLE;
    /* What belongs to an assignment has no end: a foreign transaction has. */
    if (q.type == KAFKA_TOPIC && w->now - q.asked_at >= QUESTION_MAX_MS)
        answer_question(in, &q, NULL);
    else
        k->questions[k->n_questions++] = q;
    thread_pump(in);
}

static enum rpc_type rpc_of(const struct question *q)
{
    return q->type == KAFKA_COMMITTED    ? RPC_COMMITTED
           : q->type == KAFKA_WATERMARKS ? RPC_WATERMARKS
           : q->type == KAFKA_READ       ? RPC_READ
                                         : RPC_TOPIC;
}

void thread_pump(struct instance *in)
{
    struct client *k = &in->k;
    struct world *w = in->w;
    if (k->step != STEP_IDLE || !k->producer_ready)
        return;
    if (k->tick_waits) {
        k->tick_waits = false;
        k->step = STEP_START;
        tick_step(in);
        return;
    }
    while (k->n_questions > 0) {
        struct question *q = &k->questions[0];
        if (q->due > w->now) {
            client_again(in, q->due - w->now, pump_event);
            return;
        }
        if (q->type != KAFKA_TOPIC && q->assignment != k->current) {
            pop_question(k); /* nobody wants the answer */
            continue;
        }
        struct rpc *rpc = client_rpc(in, rpc_of(q), question_done);
        rpc->part = q->part;
        rpc->topic = q->topic;
        rpc->low = rpc->offset = q->low;
        rpc->high = q->high;
        k->step = STEP_QUESTION;
        k->ticket = rpc->ticket;
        broker_ask(w, rpc);
        bool short_slice = q->type == KAFKA_COMMITTED || q->type == KAFKA_READ;
        world_in(w, in, w->now + (short_slice ? SLICE_MS : 1000), slice_over, rpc);
        return;
    }
}

static void question_done(struct world *w, struct event *ev)
{
    struct rpc *rpc = ev->p;
    struct instance *in = rpc->in;
    struct client *k = &in->k;
    (void)w;
    if (k->step != STEP_QUESTION || k->ticket != rpc->ticket ||
        rpc->code == BROKER_UNSTABLE)
        return; /* the slice ends, it is asked again */
    struct question q = k->questions[0];
    pop_question(k);
    k->step = STEP_IDLE;
    answer_question(in, &q, rpc);
    thread_pump(in);
}

/* --- a tick: offsets, records, commit; as producer.c --- */

static void tick_rpc_done(struct world *w, struct event *ev);

static void finish_tick(struct instance *in, enum tick_end end)
{
    struct client *k = &in->k;
    k->step = STEP_IDLE;
    k->tick->end = end;
    k->tick->bad = k->bad;
    k->tick->bad_too_large = k->bad % 2 == 0; /* or the topic takes none */
    k->tick->took_us = (in->w->now - k->tick_began) * 1000;
    in->w->unknown_ticks += end == TICK_UNKNOWN;
    in->settled |= end == TICK_UNKNOWN;
    client_tell(in, &k->answers, KAFKA_TICK)->tick = k->tick;
    k->tick = NULL;
    thread_pump(in);
}

static void tick_ask(struct instance *in, enum step step, struct rpc *rpc)
{
    struct client *k = &in->k;
    k->step = step;
    k->ticket = rpc->ticket;
    rpc->epoch = k->epoch;
    broker_ask(in->w, rpc);
}

static void send_offsets(struct instance *in)
{
    struct client *k = &in->k;
    struct rpc *rpc = client_rpc(in, RPC_OFFSETS, tick_rpc_done);
    rpc->generation = k->tick_generation;
    rpc->member = k->tick_member;
    rpc->owner = k->tick_owner;
    rpc->handed = k->tick_handed;
    for (size_t i = 0; i < k->tick->n_offsets; i++) {
        const struct kafka_offset *o = &k->tick->offsets[i];
        struct str text = o->metadata;
        rpc->offsets[rpc->n_offsets++] = (struct pending_offset){
            client_part(in, o->at), o->offset,
            text.ptr != NULL ? arena_strndup(&in->w->arena, text.ptr, text.len) : NULL,
            0};
    }
    tick_ask(in, STEP_OFFSETS, rpc);
}

static struct log *log_of(struct world *w, const struct kafka_output *out)
{
    struct broker *b = &w->broker;
    if (strcmp(out->topic, RESULTS_TOPIC) == 0)
        return &b->results[out->partition >= 0
                               ? out->partition
                               : kafka_partition_of(out->key, w->n_parts)];
    if (strcmp(out->topic, JOBS_TOPIC) == 0)
        return &b->jobs[out->partition];
    if (strcmp(out->topic, ITEMS_TOPIC) == 0)
        return &b->items;
    if (strcmp(out->topic, CONTACTS_TOPIC) == 0)
        return &b->contacts;
    if (strcmp(out->topic, TAGS_TOPIC) == 0)
        return &b->tags;
    if (strcmp(out->topic, CONVERSATIONS_TOPIC) == 0)
        return &b->conversations;
    if (strcmp(out->topic, INBOXES_TOPIC) == 0)
        return &b->inboxes;
    if (strcmp(out->topic, NOTES_TOPIC) == 0)
        return &b->notes;
    if (strcmp(out->topic, DEAD_TOPIC) == 0)
        return &b->dead;
    if (strcmp(out->topic, REPLY_TOPIC) == 0)
        return &b->reply;
    if (strcmp(out->topic, COMMENTS_TOPIC) == 0)
        return &b->comments;
    return strcmp(out->topic, REPLY_SMALL_TOPIC) == 0 ? &b->reply_small : NULL;
}

static struct str header_of(const struct kafka_output *out, const char *name)
{
    for (size_t i = 0; i < out->n_headers; i++)
        if (str_is(out->headers[i].name, name))
            return out->headers[i].value;
    return STR_NULL;
}

/* Which command an output answers, by what it says itself. */
static int answered_cmd(struct world *w, const struct kafka_output *out)
{
    bool job = strcmp(out->topic, JOBS_TOPIC) == 0;
    struct str source = job ? out->key : header_of(out, "source"), rest = source;
    int64_t part = -1, offset = -1;
    struct err e = ERR_INIT;
    if (source.ptr != NULL) {
        (void)str_split(&rest, '/');
        (void)parse_i64(str_split(&rest, '/'), 0, PARTS_MAX, &part, &e);
        (void)parse_i64(str_split(&rest, '/'), 0, INT32_MAX, &offset, &e);
    } else {
        (void)parse_i64(header_of(out, "__connect.errors.partition"), 0, PARTS_MAX, &part,
                        &e);
        (void)parse_i64(header_of(out, "__connect.errors.offset"), 0, INT32_MAX, &offset,
                        &e);
    }
    return load_find(w, (int)part, offset);
}

static struct str copy(struct world *w, struct str s)
{
    return s.ptr == NULL ? s
                         : (struct str){arena_strndup(&w->arena, s.ptr, s.len), s.len};
}

static struct sent_output describe(struct world *w, const struct kafka_output *out)
{
    struct sent_output so = {.log = log_of(w, out),
                             .cmd = answered_cmd(w, out),
                             .outcome = -1,
                             .size = out->key.len + out->value.len};
    so.unknown = so.log == NULL;
    so.dead = so.log == &w->broker.dead;
    so.job = strcmp(out->topic, JOBS_TOPIC) == 0;
    so.sync = 1 + syncs_find(w, so.job ? out->key : header_of(out, "source"));
    bool row = log_is_of_rows(w, so.log), kept = so.job || so.sync > 0 || row;
    if (kept)
        so.key = copy(w, out->key);
    if (so.sync > 0 || row)
        so.command_id = copy(w, header_of(out, "command-id"));
    if (row)
        so.operation = copy(w, header_of(out, "operation"));
    so.reply = so.log == &w->broker.reply || so.log == &w->broker.reply_small;
    if (kept || strcmp(out->topic, RESULTS_TOPIC) == 0)
        so.value = copy(w, out->value);
    struct str outcome = header_of(out, "outcome");
    for (int i = 0; outcome.ptr != NULL && i < OUTCOMES; i++)
        if (str_is(outcome, outcome_names[i]))
            so.outcome = i;
    for (size_t i = 0; i < out->n_headers; i++)
        so.size += out->headers[i].name.len + out->headers[i].value.len;
    return so;
}

static void send_records(struct instance *in)
{
    struct client *k = &in->k;
    struct rpc *rpc = client_rpc(in, RPC_PRODUCE, tick_rpc_done);
    rpc->n_outputs = k->tick->n_outputs;
    rpc->outputs =
        arena_zalloc(&in->w->arena, (rpc->n_outputs + 1) * sizeof *rpc->outputs);
    for (size_t i = 0; i < rpc->n_outputs; i++)
        rpc->outputs[i] = describe(in->w, &k->tick->outputs[i]);
    tick_ask(in, STEP_PRODUCE, rpc);
}

/* The client gives up on a commit whose request may still be on its way. */
static void commit_given_up(struct world *w, struct event *ev)
{
    struct rpc *rpc = ev->p;
    struct instance *in = rpc->in;
    struct client *k = &in->k;
    if (k->step != STEP_COMMIT || k->ticket != rpc->ticket)
        return;
    trace(w, in->slot, -1, -1, "commit.indefinite", 0, 0, NULL);
    renew(in, TICK_UNKNOWN);
}

static void send_end(struct instance *in, bool commit)
{
    struct world *w = in->w;
    struct rpc *rpc = client_rpc(in, RPC_END, tick_rpc_done);
    rpc->commit = commit;
    tick_ask(in, commit ? STEP_COMMIT : STEP_ABORT, rpc);
    if (commit && !w->calm && chance(w, w->mood.indefinite))
        world_in(w, in, w->now + skewed(w, 0, 3000), commit_given_up, rpc);
}

static void renew_ask(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    struct rpc *rpc = client_rpc(in, RPC_INIT, tick_rpc_done);
    (void)w;
    tick_ask(in, STEP_RENEW, rpc);
}

static void renew(struct instance *in, enum tick_end end)
{
    in->k.tick_end = end;
    in->k.step = STEP_RENEW;
    in->k.ticket = 0;
    client_again(in, 1, renew_ask);
}

static void tick_step(struct instance *in)
{
    struct client *k = &in->k;
    k->blamed = false;
    k->bad = 0;
    k->tick_began = in->w->now;
    if (k->tick_owner == 0 || k->tick->assignment != k->current) {
        finish_tick(in, TICK_STALE);
        return;
    }
    if (k->tick->n_offsets > 0)
        send_offsets(in);
    else if (k->tick->n_outputs > 0)
        send_records(in);
    else
        finish_tick(in, TICK_COMMITTED);
}

static void same_again(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    (void)w;
    switch (in->k.step) {
    case STEP_OFFSETS:
        send_offsets(in);
        return;
    case STEP_PRODUCE:
        send_records(in);
        return;
    case STEP_RENEW:
        renew_ask(w, ev);
        return;
    case STEP_COMMIT:
    case STEP_ABORT:
    case STEP_IDLE:
    case STEP_START:
    case STEP_QUESTION:
        return;
    }
}

static void after_abort(struct instance *in)
{
    struct client *k = &in->k;
    finish_tick(in, k->blamed ? TICK_BAD_RECORD : k->tick_end);
}

static void tick_rpc_done(struct world *w, struct event *ev)
{
    struct rpc *rpc = ev->p;
    struct instance *in = rpc->in;
    struct client *k = &in->k;
    if (rpc->ticket != k->ticket)
        return;
    k->ticket = 0;
    if (rpc->code == BROKER_CONCURRENT || rpc->code == BROKER_PASSING) {
        client_again(in, k->step == STEP_RENEW ? INIT_AGAIN_MS : between(w, 2, 20),
                     same_again);
        return;
    }
    switch (k->step) {
    case STEP_OFFSETS:
        if (rpc->code == BROKER_OK && k->tick->n_outputs > 0) {
            send_records(in);
        } else if (rpc->code == BROKER_OK) {
            send_end(in, true);
        } else if (rpc->code == BROKER_STALE) {
            k->tick_end = TICK_STALE;
            send_end(in, false);
        } else {
            renew(in, TICK_UNKNOWN);
        }
        return;
    case STEP_PRODUCE:
        if (rpc->code == BROKER_OK) {
            send_end(in, true);
            return;
        }
        if (rpc->code == BROKER_FENCED) {
            renew(in, TICK_UNKNOWN);
            return;
        }
        k->blamed = rpc->code == BROKER_BAD_RECORD;
        k->bad = rpc->bad;
        k->tick_end = TICK_ABORTED;
        send_end(in, false);
        return;
    case STEP_COMMIT:
        if (rpc->code == BROKER_OK)
            finish_tick(in, TICK_COMMITTED);
        else
            renew(in, TICK_UNKNOWN);
        return;
    case STEP_ABORT:
        if (rpc->code == BROKER_OK)
            after_abort(in);
        else
            renew(in, k->blamed ? TICK_BAD_RECORD : TICK_UNKNOWN);
        return;
    case STEP_RENEW:
        k->epoch = rpc->epoch;
        finish_tick(in, k->tick_end);
        return;
    case STEP_IDLE:
    case STEP_START:
    case STEP_QUESTION:
        return;
    }
}
