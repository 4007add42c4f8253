/* POST /_sandbox/trigger: makes something happen as if someone in Front had done it, and
 * sends its webhook as Front would, or on purpose otherwise. */
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

#define PARCELS_MAX 20000
#define NEW_CONVERSATION "new"

struct trigger {
    const struct event_type *type; /* NULL: a channel's callback, or "sync" */
    const char *name;              /* of what is triggered */
    struct hook *hook;             /* the only one; NULL: all that carry it */
    int64_t count, duplicate, delay_ms, timestamp_offset_ms;
    unsigned attacks;
    bool reorder, drop, no_body, is_private;
    const char *payload, *webhook_type;
    struct object *cnv; /* NULL: each conversation in turn */
    struct parcel *parcels;
    size_t n_parcels;
    json_t *events;
};

enum arg_type { ARG_TEXT, ARG_NUMBER, ARG_FLAG };

struct arg_row {
    const char *name;
    enum arg_type type;
    int64_t min, max;
};

/* The attacks, by their names, are flags too. */
static const struct arg_row args[] = {
    {"type", ARG_TEXT, 0, 0},
    {"kind", ARG_TEXT, 0, 0},
    {"conversation", ARG_TEXT, 0, 0},
    {"channel", ARG_TEXT, 0, 0},
    {"target", ARG_TEXT, 0, 0},
    {"source", ARG_TEXT, 0, 0},
    {"author_id", ARG_TEXT, 0, 0},
    {"subject", ARG_TEXT, 0, 0},
    {"body", ARG_TEXT, 0, 0},
    {"payload", ARG_TEXT, 0, 0},
    {"webhook_type", ARG_TEXT, 0, 0},
    {"count", ARG_NUMBER, 1, PARCELS_MAX},
    {"duplicate", ARG_NUMBER, 0, PARCELS_MAX},
    {"delay_ms", ARG_NUMBER, 0, 3600000},
    {"timestamp_offset_ms", ARG_NUMBER, -86400000, 86400000},
    {"reorder", ARG_FLAG, 0, 0},
    {"drop", ARG_FLAG, 0, 0},
    {"private", ARG_FLAG, 0, 0},
    {"no_body", ARG_FLAG, 0, 0},
};

static bool refuse(struct call *c, const char *name, const char *what)
{
    call_error(c, 400, "Bad request", "%s: %s", name, what);
    return false;
}

static bool arg_check(struct call *c, const struct arg_row *row, const json_t *v)
{
    json_int_t n = json_integer_value(v);
    switch (row->type) {
    case ARG_TEXT:
        return json_is_string(v) || refuse(c, row->name, "a text");
    case ARG_FLAG:
        return json_is_boolean(v) || refuse(c, row->name, "true or false");
    case ARG_NUMBER:
        if (json_is_integer(v) && n >= row->min && n <= row->max)
            return true;
        call_error(c, 400, "Bad request", "%s: a number from %lld to %lld", row->name,
                   (long long)row->min, (long long)row->max);
        return false;
    }
    return false;
}

static bool is_attack(const char *name)
{
    for (size_t i = 0; i < ATTACKS; i++)
        if (strcmp(attack_names[i], name) == 0)
            return true;
    return false;
}

static bool args_check(struct call *c)
{
    const char *name;
    json_t *v;
    json_object_foreach(c->json, name, v)
    {
        const struct arg_row flag = {name, ARG_FLAG, 0, 0};
        const struct arg_row *row = is_attack(name) ? &flag : NULL;
        for (size_t i = 0; i < sizeof args / sizeof args[0] && row == NULL; i++)
            if (strcmp(args[i].name, name) == 0)
                row = &args[i];
        if (row == NULL)
            return refuse(c, name, "a trigger has no such field");
        if (!arg_check(c, row, v))
            return false;
    }
    return true;
}

static int64_t number(struct call *c, const char *name, int64_t preset)
{
    const json_t *v = call_field(c, name);
    return v != NULL ? json_integer_value(v) : preset;
}

static bool flag(struct call *c, const char *name)
{
    return json_is_true(call_field(c, name));
}

/* What is triggered, and for whom: a channel's callback is for the channel's webhook. */
static bool what_read(struct call *c, struct trigger *tg)
{
    const char *kind = call_text(c, "kind");
    tg->name = call_text(c, "type");
    if (tg->name == NULL)
        return refuse(c, "type", "needed, such as inbound");
    tg->hook = hook_find(&c->sb->hooks, kind);
    if (kind != NULL && tg->hook == NULL)
        return refuse(c, "kind", "app, rule or channel");
    tg->type = event_type_find(tg->name);
    bool callback = hook_channel_is_type(tg->name), sync = strcmp(tg->name, "sync") == 0;
    if (tg->type == NULL && !callback && !sync)
        return refuse(c, "type", "Front has no such event, a channel no such callback");
    if (tg->hook == NULL && tg->type == NULL)
        tg->hook = &c->sb->hooks.hooks[callback ? HOOK_CHANNEL : HOOK_APP];
    if (tg->hook != NULL && tg->type == NULL &&
        tg->hook->kind != (callback ? HOOK_CHANNEL : HOOK_APP))
        return refuse(c, "kind", "not of this type");
    if (tg->hook != NULL && tg->type != NULL && tg->hook->kind == HOOK_CHANNEL)
        return refuse(c, "kind", "a channel gets no events");
    if (tg->hook != NULL && tg->hook->state == HOOK_NONE)
        return refuse(c, "kind", "no such webhook is registered");
    return true;
}

static bool texts_read(struct call *c, struct trigger *tg)
{
    const char *cnv = call_text(c, "conversation"), *source = call_text(c, "source");
    tg->payload = call_text(c, "payload");
    tg->webhook_type = call_text(c, "webhook_type");
    if (tg->payload != NULL && strcmp(tg->payload, "full") != 0 &&
        strcmp(tg->payload, "preview") != 0)
        return refuse(c, "payload", "full or preview");
    if (source != NULL && event_source_find(source) == NULL)
        return refuse(c, "source", "api, rule, teammate or another one of Front's");
    if (cnv == NULL || strcmp(cnv, NEW_CONVERSATION) == 0)
        return true;
    tg->cnv = find_object(c->sb, KIND_CONVERSATION, cnv);
    if (tg->cnv == NULL)
        call_unknown(c, KIND_CONVERSATION, cnv);
    return tg->cnv != NULL;
}

static bool trigger_read(struct call *c, struct trigger *tg)
{
    c->json = json_loadb(c->body.data != NULL ? c->body.data : "", c->body.len, 0, NULL);
    if (!json_is_object(c->json))
        return refuse(c, "body", "a JSON object");
    if (!args_check(c) || !what_read(c, tg) || !texts_read(c, tg))
        return false;
    tg->count = number(c, "count", 1);
    tg->duplicate = number(c, "duplicate", 0);
    tg->delay_ms = number(c, "delay_ms", 0);
    tg->timestamp_offset_ms = number(c, "timestamp_offset_ms", 0);
    tg->reorder = flag(c, "reorder");
    tg->drop = flag(c, "drop");
    tg->no_body = flag(c, "no_body");
    tg->is_private = flag(c, "private");
    for (unsigned i = 0; i < ATTACKS; i++)
        if (flag(c, attack_names[i]))
            tg->attacks |= 1u << i;
    if (tg->count * (tg->duplicate + 1) * (HOOKS - 1) > PARCELS_MAX * 2)
        return refuse(c, "count", "over 20000 deliveries with the duplicates");
    return true;
}

/* --- what happens --- */

static struct object *conversation_new(struct call *c, bool is_private)
{
    struct object *cnv = seed_one(c->sb, KIND_CONVERSATION, NULL, 1);
    if (call_text(c, "subject") != NULL)
        store_set_text(cnv, "subject", call_text(c, "subject"));
    if (is_private)
        store_set(cnv, "is_private", json_true());
    return cnv;
}

/* The i-th of the visible ones, and round again. */
static struct object *conversation_turn(struct call *c, int64_t i)
{
    struct object_list *all = &c->sb->store.lists[KIND_CONVERSATION];
    struct object *cnv, *found = NULL;
    int64_t n = 0;
    TAILQ_FOREACH (cnv, all, of_kind)
        n += !cnv->hidden;
    if (n == 0)
        return conversation_new(c, false);
    i %= n;
    TAILQ_FOREACH (cnv, all, of_kind) {
        if (cnv->hidden || i-- > 0)
            continue;
        found = cnv;
        break;
    }
    return found;
}

static struct object *conversation_of(struct call *c, const struct trigger *tg, int64_t i)
{
    if (tg->cnv != NULL)
        return tg->cnv;
    if (tg->is_private || call_text(c, "conversation") != NULL)
        return conversation_new(c, tg->is_private);
    return conversation_turn(c, i);
}

static struct object *message_new(struct call *c, const char *type, struct object *cnv)
{
    bool inbound = strcmp(type, "inbound") == 0;
    struct object *msg = message_make(c, inbound);
    const json_t *recipient = json_object_get(cnv->own, "recipient");
    if (call_text(c, "body") == NULL) {
        store_set_text(msg, "body", "<p>Hello from the sandbox</p>");
        store_set_text(msg, "text", "Hello from the sandbox");
    }
    if (recipient != NULL) {
        json_t *one = json_deep_copy(recipient);
        (void)json_object_set_new(one, "role", json_string(inbound ? "from" : "to"));
        store_set(msg, "recipients", json_pack("[o]", one));
    }
    if (strstr(type, "error") != NULL)
        store_set_text(msg, "error_type", "delivery_failed");
    message_join(c, msg, cnv);
    return msg;
}

static struct object *target_find(struct call *c, const struct trigger *tg,
                                  struct object *cnv)
{
    static const struct {
        const char *target;
        enum kind kind;
    } rows[] = {
        {"teammate", KIND_TEAMMATE}, {"inboxes", KIND_INBOX},
        {"tag", KIND_TAG},           {"deleted_conversation_ids", KIND_CONVERSATION},
        {"link", KIND_LINK},         {"custom_field", KIND_CUSTOM_FIELD}};
    const char *id = call_text(c, "target");
    struct object *obj;
    enum kind kind = KIND_NONE;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(rows[i].target, tg->type->target) == 0)
            kind = rows[i].kind;
    if (id != NULL) {
        obj = find_object(c->sb, kind, id);
        if (obj == NULL)
            call_unknown(c, kind, id);
        return obj;
    }
    TAILQ_FOREACH (obj, &c->sb->store.lists[kind], of_kind)
        if (!obj->hidden && obj != cnv &&
            (kind != KIND_INBOX || !store_joined(obj, REL_HAS, cnv)))
            break;
    return obj;
}

/* The target of the event; *bad when there is none although there must be. */
static struct object *target_make(struct call *c, const struct trigger *tg,
                                  struct object *cnv, bool *bad)
{
    const char *target = tg->type->target;
    struct object *obj = NULL;
    if (target == NULL)
        return NULL;
    if (strcmp(target, "message") == 0)
        return message_new(c, tg->name, cnv);
    if (strcmp(target, "comment") == 0)
        return comment_make(c, cnv, c->json);
    obj = target_find(c, tg, cnv);
    *bad = obj == NULL && c->status >= 400;
    return obj;
}

static void set_status(struct object *cnv, const char *status)
{
    store_set_text(cnv, "status", status);
}

static void change_assignee(struct object *cnv, struct object *tea)
{
    store_part_all(cnv, REL_ASSIGNED, KIND_TEAMMATE, true);
    if (tea != NULL)
        (void)store_join(tea, REL_ASSIGNED, cnv);
    set_status(cnv, tea != NULL ? "assigned" : "unassigned");
}

static void change_open(struct object *cnv, struct object *none)
{
    (void)none;
    set_status(cnv, store_related(cnv, REL_ASSIGNED, KIND_TEAMMATE, true) != NULL
                        ? "assigned"
                        : "unassigned");
}

static void change_archived(struct object *cnv, struct object *none)
{
    (void)none;
    set_status(cnv, "archived");
}

static void change_trashed(struct object *cnv, struct object *none)
{
    (void)none;
    set_status(cnv, "deleted");
}

static void change_reminded(struct object *cnv, struct object *none)
{
    (void)none;
    store_set(cnv, "scheduled_reminders", json_array());
}

static void change_joined(struct object *cnv, struct object *other)
{
    if (other != NULL)
        (void)store_join(other, REL_HAS, cnv);
}

static void change_parted(struct object *cnv, struct object *other)
{
    if (other != NULL)
        (void)store_part(other, REL_HAS, cnv);
}

static void change_inbox(struct object *cnv, struct object *inb)
{
    store_part_all(cnv, REL_HAS, KIND_INBOX, true);
    change_joined(cnv, inb);
}

/* What an event changes beside what its target is; the others change nothing here. */
static const struct {
    const char *type;
    void (*change)(struct object *cnv, struct object *target);
} changes[] = {
    {"assign", change_assignee},   {"unassign", change_assignee},
    {"archive", change_archived},  {"reopen", change_open},
    {"trash", change_trashed},     {"restore", change_open},
    {"reminder", change_reminded}, {"move", change_inbox},
    {"tag", change_joined},        {"untag", change_parted},
    {"link_added", change_joined}, {"link_removed", change_parted},
};

/* --- what is sent --- */

/* Takes the parcel: as often as the duplicates say. */
static void parcel_add(struct trigger *tg, struct parcel *pc)
{
    pc->attacks = tg->attacks;
    pc->delay_ms = tg->delay_ms;
    pc->timestamp_offset_ms = tg->timestamp_offset_ms;
    if (tg->drop)
        pc->skip = "dropped";
    for (int64_t i = 0; i <= tg->duplicate; i++) {
        struct parcel *to = &tg->parcels[tg->n_parcels++];
        *to = *pc;
        to->event = pc->event != NULL ? mem_strdup(pc->event) : NULL;
        if (i > 0 && pc->body != NULL)
            to->body = mem_dup(pc->body, pc->len);
    }
}

static bool trigger_event(struct call *c, struct trigger *tg, int64_t i)
{
    struct object *cnv = conversation_of(c, tg, i);
    bool bad = false;
    struct object *target = target_make(c, tg, cnv, &bad);
    char id[EVENT_ID_MAX];
    if (bad)
        return false;
    for (size_t k = 0; k < sizeof changes / sizeof changes[0]; k++)
        if (strcmp(changes[k].type, tg->name) == 0)
            changes[k].change(cnv, target);
    struct event *ev = event_add(c, tg->name, cnv, target);
    event_id(&c->sb->events, ev->n, id);
    (void)json_array_append_new(tg->events, json_string(id));
    for (size_t k = 0; k < HOOKS; k++) {
        struct hook *hk = &c->sb->hooks.hooks[k];
        struct parcel pc;
        if (tg->hook != NULL ? hk != tg->hook : !hook_carries(hk, ev))
            continue;
        bool preview =
            tg->payload != NULL ? strcmp(tg->payload, "preview") == 0 : hk->preview;
        hook_pack(c->sb, hk, ev, tg->webhook_type, preview, &pc);
        pc.event = id;
        pc.skip = hook_refusal(hk, ev);
        parcel_add(tg, &pc);
    }
    ev->reach = REACH_LIST;
    return true;
}

static bool trigger_callback(struct call *c, struct trigger *tg, int64_t i)
{
    struct parcel pc;
    struct object *obj = NULL;
    const char *cha = call_text(c, "channel");
    if (strcmp(tg->name, "sync") == 0) {
        hook_send_challenge(c->sb, tg->hook);
        return true;
    }
    if (hook_channel_takes_message(tg->name)) {
        obj = message_new(c, tg->name, conversation_of(c, tg, i));
    } else {
        obj = cha != NULL ? find_object(c->sb, KIND_CHANNEL, cha)
                          : TAILQ_FIRST(&c->sb->store.lists[KIND_CHANNEL]);
        if (obj == NULL)
            call_unknown(c, KIND_CHANNEL, cha != NULL ? cha : "");
    }
    if (obj == NULL)
        return false;
    (void)hook_pack_channel(c->sb, tg->hook, tg->name, obj, tg->no_body, &pc);
    pc.event = obj->id;
    pc.skip = hook_refusal(tg->hook, NULL);
    parcel_add(tg, &pc);
    return true;
}

/* Never the order they were made in, when there is another one. */
static void shuffle(struct sandbox *sb, struct parcel *all, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)(sandbox_random(sb) % i);
        struct parcel last = all[i - 1];
        all[i - 1] = all[k];
        all[k] = last;
    }
}

static void send_all(struct call *c, struct trigger *tg)
{
    json_t *sent = json_array();
    if (tg->reorder)
        shuffle(c->sb, tg->parcels, tg->n_parcels);
    for (size_t i = 0; i < tg->n_parcels; i++) {
        const struct delivery *dl = delivery_add(c->sb, &tg->parcels[i]);
        if (dl != NULL)
            (void)json_array_append_new(sent, json_integer((json_int_t)dl->n));
    }
    c->status = 202;
    c->answer = json_pack("{s:O, s:o}", "events", tg->events, "deliveries", sent);
}

void trigger_run(struct call *c)
{
    struct trigger tg = {.events = json_array()};
    bool fine = trigger_read(c, &tg);
    if (fine)
        tg.parcels = mem_array((size_t)(tg.count * (tg.duplicate + 1)) * (HOOKS - 1),
                               sizeof *tg.parcels);
    for (int64_t i = 0; fine && i < tg.count; i++)
        fine = tg.type != NULL ? trigger_event(c, &tg, i) : trigger_callback(c, &tg, i);
    if (fine)
        send_all(c, &tg);
    for (size_t i = 0; i < tg.n_parcels; i++)
        mem_free(mem_unconst(tg.parcels[i].event));
    mem_free(tg.parcels);
    json_decref(tg.events);
}
