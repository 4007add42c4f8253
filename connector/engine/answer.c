/* Answers: the outcome of a command becomes its result record (and reply copy), or a dead
 * letter, and the slot waits for a tick. Its lane goes on at once. */
#include <string.h>

#include "engine/internal.h"
#include "front/reply.h"

#define ENCODED_KEPT (64 * 1024) /* of the scratch buffer, between two results */
#define RECORD_OVERHEAD                                                                  \
    100 /* bytes a record costs beside key, value and headers; generous */

static void start_result(struct engine *en, struct slot *slot, enum outcome outcome,
                         struct result *res);
static struct result error_result(struct engine *en, struct slot *slot,
                                  enum outcome outcome, const char *kind,
                                  const char *text);
static void encode(struct engine *en, struct slot *slot, struct result *res);
static void keep(struct engine *en, struct slot *slot);
static void address(struct engine *en, struct slot *slot, const struct result *res);
static void count_items(const struct slot *slot, struct result *res);
static void slim(struct result *res);
static void finish_result(struct engine *en, struct slot *slot, struct result *res);
static void finish(struct engine *en, struct slot *slot);

void answer_error(struct engine *en, struct slot *slot, enum outcome outcome,
                  const char *kind, const char *text)
{
    struct result res = error_result(en, slot, outcome, kind, text);
    finish_result(en, slot, &res);
}

void answer_call(struct engine *en, struct slot *slot, const struct http_call *call,
                 enum outcome outcome, const char *kind, const char *text)
{
    struct result res;
    start_result(en, slot, outcome, &res);
    bool answered = call->end != HTTP_NOT_SENT && call->end != HTTP_LOST;
    if (answered)
        reply_fill(call, slot->op, &slot->req, en->o.results_response,
                   (size_t)en->o.results_max_bytes, &slot->arena, &res);
    if (call->head.limit >= 0) {
        res.quota.known = true;
        res.quota.limit = call->head.limit;
        res.quota.remaining =
            call->head.remaining >= 0 ? call->head.remaining : NO_NUMBER;
        res.quota.reset_at =
            call->head.reset >= 0 ? (int64_t)(call->head.reset * 1000) : NO_NUMBER;
    }
    if (outcome == SUCCEEDED)
        res.error.kind = STR_NULL;
    else if (kind != NULL) {
        res.error.kind = str_of(kind);
        if (text != NULL)
            res.error.message = str_of(text);
    }
    count_items(slot, &res);
    finish_result(en, slot, &res);
}

void answer_recovered(struct engine *en, struct slot *slot, const struct probe_row *row)
{
    struct result res;
    start_result(en, slot, SUCCEEDED, &res);
    if (!slot->doubt->executed)
        res.http_status = NO_NUMBER; /* its last answer was no success */
    res.recovered = true;
    res.resource_id = row->id;
    res.truncated = (int64_t)row->json.len > en->o.results_max_bytes;
    if (en->o.results_response && !res.truncated)
        res.response = row->json;
    finish_result(en, slot, &res);
}

void answer_executed(struct engine *en, struct slot *slot)
{
    struct result res;
    start_result(en, slot, SUCCEEDED, &res);
    res.resource_id = slot->req.last_param;
    finish_result(en, slot, &res);
}

void answer_doubt(struct engine *en, struct slot *slot, const char *kind,
                  const char *text, const struct probe *pb)
{
    struct result res;
    struct str ids[PROBE_ROWS_MAX];
    start_result(en, slot, IN_DOUBT, &res);
    res.error.kind = str_of(kind);
    res.error.message = str_of(text);
    res.error.details = ids;
    for (size_t i = 0; i < pb->n_rows; i++)
        if (pb->rows[i].id.ptr != NULL)
            ids[res.error.n_details++] = pb->rows[i].id;
    finish_result(en, slot, &res);
}

void answer_replay(struct engine *en, struct slot *slot, const struct seen_entry *first)
{
    struct result res;
    start_result(en, slot, first->outcome, &res);
    res.replayed = true;
    res.http_status = first->http_status;
    res.resource_id = first->resource_id;
    if (en->o.results_response)
        res.response = first->response;
    if (first->outcome != SUCCEEDED) {
        res.error.kind = first->error_kind;
        res.error.message =
            STR_LIT("answered as the first command with this id; nothing was sent again");
    }
    finish_result(en, slot, &res);
}

void answer_dead_letter(struct engine *en, struct slot *slot, const char *exception,
                        const char *text)
{
    struct dead_letter dl = {en->o.group_id, "VALUE_CONVERTER", exception,
                             arena_printf(&slot->arena, "%s", text)};
    struct kafka_output *out = &slot->outputs[0];
    *out = (struct kafka_output){.topic = en->o.dead_letters_topic,
                                 .partition = -1,
                                 .key = slot->rec.key,
                                 .value = slot->rec.value,
                                 .timestamp_ms = slot->rec.timestamp_ms};
    out->headers =
        headers_for_dead_letter(&slot->rec, &dl, &slot->arena, &out->n_headers);
    slot->n_outputs = 1;
    slot->dead_letter = true;
    slot->operation = str_of(exception); /* the counter's label */
    finish(en, slot);
}

void answer_job(struct engine *en, struct slot *slot)
{
    repeats_release(en, slot);
    slot->outcome = SUCCEEDED;
    finish(en, slot);
}

void answer_slim(struct engine *en, struct slot *slot, size_t output)
{
    if (output > 0) {
        log_warn("reply.dropped", "reply of %.*s dropped: its topic refused it",
                 STR_ARG(slot->command_id));
        slot->n_outputs = 1;
        return;
    }
    if (slot->dead_letter) { /* key, headers and the reason stay; the bytes are at the
                                source */
        slot->outputs[0].value = STR_NULL;
        return;
    }
    struct result res, full;
    struct err e = ERR_INIT;
    start_result(en, slot, slot->outcome, &res);
    if (slot->outcome != SUCCEEDED)
        res.error.kind = STR_LIT("too-large");
    /* What a later command is compared with stays. */
    if (result_decode(en->ss, slot->outputs[0].value, &slot->arena, &full, &e) == 0) {
        res.resource_id = full.resource_id;
        res.error.kind = full.error.kind;
        res.http_status = full.http_status;
        res.replayed = full.replayed;
        res.recovered = full.recovered;
    }
    slim(&res);
    count_items(slot, &res);
    encode(en, slot, &res);
    if (slot->slimmed)
        slot->n_outputs = 1;
    slot->slimmed = true;
}

void answer_again(struct engine *en, struct slot *slot, enum outcome outcome,
                  const char *kind, const char *text)
{
    struct result res = error_result(en, slot, outcome, kind, text);
    encode(en, slot, &res);
    repeats_answered(en, slot, &res);
}

static struct result error_result(struct engine *en, struct slot *slot,
                                  enum outcome outcome, const char *kind,
                                  const char *text)
{
    struct result res;

    start_result(en, slot, outcome, &res);
    res.error.kind = str_of(kind);
    res.error.message = str_of(text);
    return res;
}

static void start_result(struct engine *en, struct slot *slot, enum outcome outcome,
                         struct result *res)
{
    /* With `retry` an earlier call may have been executed, whatever came of the last. */
    if (outcome == FAILED && slot->doubt != NULL && slot->doubt->retry) {
        outcome = IN_DOUBT;
        metric_add(metrics_get(en->metrics, M_IN_DOUBT, "reported", NULL), 1);
    }
    *res =
        (struct result){.command_id = slot->command_id,
                        .operation = slot->operation.ptr ? slot->operation : STR_LIT(""),
                        .outcome = outcome,
                        .http_status = NO_NUMBER,
                        .attempts = slot->attempts,
                        .items = NO_NUMBER,
                        .pages = NO_NUMBER,
                        .received_at = slot->received_at,
                        .started_at = slot->started_at ? slot->started_at : NO_NUMBER,
                        .finished_at = clock_wall(en->clock),
                        .source_topic = str_of(slot->rec.at.topic),
                        .source_partition = slot->rec.at.partition,
                        .source_offset = slot->offset};
    if (slot->last_status > 0)
        res->http_status = slot->last_status;
    if (slot->digest[0] != 0)
        res->request_digest = str_of(slot->digest);
    slot->outcome = outcome;
}

/* Encodes and measures against the topic's limit: a tick must never meet a record it
 * cannot carry. */
static void encode(struct engine *en, struct slot *slot, struct result *res)
{
    buf_reset(&en->encoded);
    int rc = result_encode(en->ss, res, &en->encoded);
    if (rc == 0) {
        keep(en, slot);
        address(en, slot, res);
        if (en->o.results_record_max_bytes <= 0 ||
            (int64_t)answer_record_size(&slot->outputs[0]) <=
                en->o.results_record_max_bytes)
            return;
    }
    slim(res);
    buf_reset(&en->encoded);
    (void)result_encode(en->ss, res,
                        &en->encoded); /* small now: the texts left are bounded */
    keep(en, slot);
    address(en, slot, res);
}

/* Encoding grows a buffer by doubling; what waits for a tick has its own size. */
static void keep(struct engine *en, struct slot *slot)
{
    mem_free(slot->result);
    slot->result_len = en->encoded.len;
    slot->result = mem_dup(en->encoded.data, slot->result_len);
    if (en->encoded.cap > ENCODED_KEPT)
        buf_fini(&en->encoded);
}

static void count_items(const struct slot *slot, struct result *res)
{
    if (slot->op == NULL || !slot->op->list || res->outcome != SUCCEEDED || res->replayed)
        return;
    res->pages = 1;
    res->resource_id = STR_NULL;
    if (slot->items != NULL)
        res->items = (int64_t)slot->items->n;
}

static void slim(struct result *res)
{
    res->response = res->content = STR_NULL;
    res->truncated = true;
    res->error.n_details = 0;
    if (res->error.message.len > 1000)
        res->error.message.len = 1000;
    if (res->error.title.len > 200)
        res->error.title.len = 200;
}

static void address(struct engine *en, struct slot *slot, const struct result *res)
{
    struct answer_to to = {.headers = &slot->headers,
                           .key = slot->rec.key,
                           .source = slot_source(slot),
                           .value = {slot->result, slot->result_len},
                           .partition =
                               slot->part->same_partitions ? slot->rec.at.partition : -1,
                           .reply_topic = slot->reply_topic};
    slot->n_outputs = answer_address(en, res, &to, &slot->arena, slot->outputs);
}

size_t answer_address(struct engine *en, const struct result *res,
                      const struct answer_to *to, struct arena *a,
                      struct kafka_output out[SLOT_OUTPUTS])
{
    struct headers_result hr = {.command_id = res->command_id,
                                .operation = res->operation,
                                .source = to->source,
                                .outcome = outcome_names[res->outcome],
                                .http_status = res->http_status,
                                .succeeded = res->outcome == SUCCEEDED};
    out[0] = (struct kafka_output){.topic = en->o.results_topic,
                                   .partition = to->partition,
                                   .key = to->key,
                                   .value = to->value};
    out[0].headers = headers_for_result(to->headers, &hr, a, &out[0].n_headers);
    if (to->reply_topic == NULL)
        return 1;
    out[1] = out[0];
    out[1].topic = to->reply_topic->name;
    out[1].partition = to->headers->reply_partition;
    out[1].headers = headers_for_reply(to->headers, &hr, a, &out[1].n_headers);
    return to->reply_topic->max_bytes <= 0 ||
                   (int64_t)answer_record_size(&out[1]) <= to->reply_topic->max_bytes
               ? 2
               : 1;
}

size_t answer_record_size(const struct kafka_output *out)
{
    size_t size = RECORD_OVERHEAD + out->key.len + out->value.len;
    for (size_t i = 0; i < out->n_headers; i++)
        size += out->headers[i].name.len + out->headers[i].value.len + 10;
    return size;
}

static void finish_result(struct engine *en, struct slot *slot, struct result *res)
{
    encode(en, slot, res);
    if (slot->items == NULL) /* those may still be refused: it is known when committed */
        repeats_answered(en, slot, res);
    finish(en, slot);
}

static void finish(struct engine *en, struct slot *slot)
{
    timer_cancel(&en->timers, &slot->timer);
    slot_leave_lane(en, slot);
    slot_move(en, slot, SLOT_ANSWERED);
    answer_waits(en, slot, true);
}

void answer_waits(struct engine *en, struct slot *slot, bool waits)
{
    size_t bytes = slot->result_len + (slot->items != NULL ? slot->items->bytes_len : 0);

    en->bytes_waiting -= slot->bytes_waiting;
    slot->bytes_waiting = waits ? bytes : 0;
    en->bytes_waiting += slot->bytes_waiting;
}
