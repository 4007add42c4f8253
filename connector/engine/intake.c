/* Intake: a record becomes a slot in its lane; when it is the head of the lane it is
 * opened: headers, command, check, request. What is wrong is answered here and costs no
 * request. */
#include <string.h>

#include "engine/internal.h"
#include "front/check.h"
#include "front/with.h"

static void accept_record(struct engine *en, struct part *part, struct kafka_record *rec);
static void open_slot(struct engine *en, struct slot *slot);
static bool reply_topic_known(struct engine *en, struct slot *slot);
static bool items_topics_known(struct engine *en, struct slot *slot);
static bool items_topic_known(struct engine *en, struct slot *slot, const struct op *op,
                              const struct topic **topic);
static void refuse(struct slot *slot, const char *kind, const char *text);
static void found_armed(struct engine *en, struct slot *slot);
static void name_slot(struct engine *en, struct slot *slot);
static int decode(struct engine *en, struct slot *slot, struct err *e);
static int check_reply(struct engine *en, struct slot *slot, struct err *e);

void intake_record(struct engine *en, struct kafka_record *rec)
{
    struct part *part = part_find(en, rec->at);
    if (part != NULL && part->jobs != NULL) {
        jobs_record(en, part, rec);
        return;
    }
    bool ours = part != NULL && (part->state == PART_LIVE || part->state == PART_RECHECK);
    if (!ours || rec->offset < part->next) {
        en->kafka.release(en->kafka.self, rec); /* its owner reads it, or we have it */
        return;
    }
    part->next = rec->offset + 1;
    if (STAILQ_EMPTY(&part->held))
        ledger_reach(&part->ledger, rec->offset); /* a gap may fill the window */
    if (!STAILQ_EMPTY(&part->held) ||
        rec->offset >= part->ledger.line + part->ledger.window) {
        struct held *h = mem_zalloc(sizeof *h);
        h->rec = *rec;
        STAILQ_INSERT_TAIL(&part->held, h, link);
        return;
    }
    accept_record(en, part, rec);
}

void intake_held(struct engine *en, struct part *part)
{
    struct held *h;
    int64_t line = part->ledger.line;
    while ((h = STAILQ_FIRST(&part->held)) != NULL) {
        ledger_reach(&part->ledger, h->rec.offset);
        if (h->rec.offset >= part->ledger.line + part->ledger.window)
            return;
        STAILQ_REMOVE_HEAD(&part->held, link);
        accept_record(en, part, &h->rec);
        mem_free(h);
    }
    ledger_reach(&part->ledger, part->next);
    part->touched |= part->ledger.line > line; /* over a gap: no result will say it */
}

/* What lies between the last record and the end is no record. */
void intake_end(struct engine *en, const struct kafka_event *ev)
{
    struct part *part = part_find(en, ev->at);
    if (part != NULL && part->jobs != NULL) {
        jobs_end(en, part, ev->offset);
        return;
    }
    if (part == NULL || part->state != PART_LIVE || ev->offset <= part->next)
        return;
    part->next = ev->offset;
    part->touched = true;
    intake_held(en, part);
}

void intake_open(struct engine *en)
{
    struct slot *slot;
    while ((slot = TAILQ_FIRST(&en->opening)) != NULL) {
        TAILQ_REMOVE(&en->opening, slot, in_opening);
        slot->to_open = false;
        if (slot->opened)
            intake_ready(en, slot);
        else
            open_slot(en, slot);
    }
}

static void accept_record(struct engine *en, struct part *part, struct kafka_record *rec)
{
    metric_add(metrics_get(en->metrics, M_RECEIVED, rec->at.topic, NULL), 1);
    en->received++;
    enum ledger_intake how = ledger_deliver(&part->ledger, rec->offset);
    if (orphans_return(en, part, rec, how)) {
        en->kafka.release(en->kafka.self, rec); /* the orphan has it already */
        return;
    }
    if (how == LEDGER_DONE_BEFORE) {
        metric_add(metrics_get(en->metrics, M_RETURNED, "done_before", NULL), 1);
        en->returned++;
        part->touched = true; /* the line may have moved over it */
        en->kafka.release(en->kafka.self, rec);
        return;
    }
    struct slot *slot = slot_take(en, part, rec);
    slot->found_armed = slot->armed = how == LEDGER_IN_DOUBT;
    if (slot->found_armed)
        slot->arm_second = ledger_arm_second(&part->ledger, rec->offset);
    if (lanes_push(en->lanes, slot))
        slot_open_later(en, slot);
}

static void open_slot(struct engine *en, struct slot *slot)
{
    struct err bad_header = ERR_INIT, e = ERR_INIT;
    if (registered_waits(en, slot))
        return;
    slot->opened = true;
    int header = headers_read(&slot->rec, &slot->arena, &slot->headers, &bad_header);
    if (decode(en, slot, &e)) {
        name_slot(en, slot);
        if (e.reason != NULL && strcmp(e.reason, "invalid-command") == 0)
            answer_error(en, slot, REJECTED, e.reason, e.text);
        else
            answer_dead_letter(en, slot, e.reason ? e.reason : "BadValue", e.text);
        return;
    }
    int checked = command_check(&slot->cmd, &slot->op, &e);
    name_slot(en, slot);
    if (checked == 0 && request_build(&slot->cmd, slot->op, &slot->arena, &slot->req, &e))
        checked = -1;
    if (checked == 0)
        checked = fetch_check(en, &slot->cmd, &e);
    size_t id_len = slot->cmd.command_id.len;
    if (slot->cmd.command_id.ptr != NULL && (id_len == 0 || id_len > COMMAND_ID_MAX))
        refuse(slot, "invalid-command", "command_id must be 1 to 255 bytes");
    if (header) {
        refuse(slot, "invalid-header", bad_header.text);
    } else if (checked) {
        refuse(slot, e.reason ? e.reason : "invalid-command", e.text);
    }
    if (check_reply(en, slot, &e))
        refuse(slot, "reply-topic", e.text);
    if (slot->found_armed)
        repeats_hold(en, slot);
    intake_ready(en, slot);
}

/* The first thing that is wrong is what the answer says. */
static void refuse(struct slot *slot, const char *kind, const char *text)
{
    if (slot->refusal != NULL)
        return;
    slot->refusal = kind;
    slot->refusal_text = arena_printf(&slot->arena, "%s", text);
}

void intake_ready(struct engine *en, struct slot *slot)
{
    if (!reply_topic_known(en, slot))
        return;
    if (slot->refusal != NULL) {
        answer_error(en, slot, REJECTED, slot->refusal, slot->refusal_text);
        return;
    }
    if (slot->found_armed)
        found_armed(en, slot);
    else if (!items_topics_known(en, slot))
        return;
    else if (repeats_look(en, slot) == REPEAT_NO)
        dispatch_want(en, slot);
}

/* False: it is asked for, or it was answered. */
static bool reply_topic_known(struct engine *en, struct slot *slot)
{
    const struct topic *topic = NULL;

    if (slot->headers.reply_topic.ptr == NULL || slot->reply_topic != NULL)
        return true;
    switch (topic_ask(en, slot, slot->headers.reply_topic, false, &topic)) {
    case TOPIC_ASKED:
        return false;
    case TOPIC_MISSING:
        answer_error(en, slot, REJECTED, "reply-topic", "the reply topic does not exist");
        return false;
    case TOPIC_UNREGISTERED: /* of items only: a reply is a copy of the result */
    case TOPIC_OK:
        break;
    }
    if (slot->headers.reply_partition >= topic->partitions) {
        answer_error(en, slot, REJECTED, "reply-topic",
                     "the reply topic has no such partition");
        return false;
    }
    slot->reply_topic = topic;
    return true;
}

/* The same for the topics of a list's items, and of its rows' lists: without them no
 * request is spent. */
static bool items_topics_known(struct engine *en, struct slot *slot)
{
    struct err e = ERR_INIT;
    const struct topic *topic = NULL;
    struct with with;

    if (slot->op == NULL || slot->op->items == NULL || slot->items_topic != NULL)
        return true;
    if (with_read(slot->cmd.params, slot->cmd.n_params, slot->op, &with, &e) != 0)
        with.n = 0; /* was checked */
    for (size_t i = 0; i < with.n; i++)
        if (!items_topic_known(en, slot, with.lists[i], &topic))
            return false;
    if (!items_topic_known(en, slot, slot->op, &topic))
        return false;
    slot->items_topic = topic;
    return true;
}

static bool items_topic_known(struct engine *en, struct slot *slot, const struct op *op,
                              const struct topic **topic)
{
    struct err e = ERR_INIT;

    switch (list_topic(en, slot, op, topic, &e)) {
    case TOPIC_OK:
        return true;
    case TOPIC_ASKED:
        return false;
    case TOPIC_MISSING:
    case TOPIC_UNREGISTERED:
        answer_error(en, slot, REJECTED, e.reason,
                     arena_printf(&slot->arena, "%s", e.text));
        return false;
    }
    abort();
}

/* What its former owner sent has ended when the lease that its string says is over,
 * counted from when we read the string: no two clocks are compared. */
static void found_armed(struct engine *en, struct slot *slot)
{
    static const char text[] =
        "the call may have been sent before a restart; nothing was sent again";
    int64_t wait = slot->part->lease_until - en->now;

    slot->attempts = 1; /* as far as anybody knows */
    if (doubt_begin(en, slot, wait > 0 ? wait : 0, false, "restart", text))
        return;
    metric_add(metrics_get(en->metrics, M_IN_DOUBT, "reported", NULL), 1);
    answer_error(en, slot, IN_DOUBT, "restart", text);
}

static int decode(struct engine *en, struct slot *slot, struct err *e)
{
    if (slot->rec.value.ptr == NULL)
        return err_input(e, "Empty", "the record has no value");
    if (en->o.commands_json)
        return command_decode_json(slot->rec.value, &slot->arena, &slot->cmd, e);
    return command_decode_avro(en->ss, typed_record_find, slot->rec.value, &slot->arena,
                               &slot->cmd, e) == FRAMING_OK
               ? 0
               : -1;
}

/* What the result calls the command: header, then record, then the coordinates. */
static void name_slot(struct engine *en, struct slot *slot)
{
    (void)en;
    slot->command_id = slot->headers.command_id;
    struct str own = slot->cmd.command_id;
    if (slot->command_id.ptr == NULL && own.len > 0 && own.len <= COMMAND_ID_MAX)
        slot->command_id = own;
    slot->explicit_id = slot->command_id.ptr != NULL;
    if (slot->command_id.ptr == NULL)
        slot->command_id = slot_source(slot);
    slot->operation = slot->op != NULL ? str_of(slot->op->name) : slot->cmd.operation;
    if (str_is(slot->cmd.operation, "call"))
        slot->operation = slot->cmd.operation;
    if (slot->cmd.operation.ptr != NULL)
        request_digest(&slot->cmd, slot->op, slot->digest);
}

static int check_reply(struct engine *en, struct slot *slot, struct err *e)
{
    struct str topic = slot->headers.reply_topic;
    if (topic.ptr == NULL)
        return 0;
    const char *name = arena_strndup(&slot->arena, topic.ptr, topic.len);
    slot->headers.reply_topic = STR_NULL; /* a refusal goes to the results topic only */
    regmatch_t m;
    if (!en->has_reply_regex || regexec(&en->reply_regex, name, 1, &m, 0) != 0 ||
        m.rm_so != 0 || (size_t)m.rm_eo != topic.len)
        return err_input(e, "reply-topic", "%s does not match reply.topics.allowed",
                         name);
    slot->headers.reply_topic = topic;
    return 0;
}
