/* From an event or a channel's callback to the bytes that a webhook gets, and which
 * webhook gets what by itself. */
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

/* The callbacks of the channel API. */
struct channel_row {
    const char *type, *method;
    bool message; /* the payload is a message; else it names the channel */
};

static const struct channel_row channel_rows[] = {
    {"message", "POST", true},          {"message_autoreply", "POST", true},
    {"message_imported", "POST", true}, {"authorization", "POST", false},
    {"delete", "DELETE", false},        {"list_addresses", "POST", false},
};

static const struct channel_row *channel_row(const char *type)
{
    for (size_t i = 0; i < sizeof channel_rows / sizeof channel_rows[0]; i++)
        if (strcmp(channel_rows[i].type, type) == 0)
            return &channel_rows[i];
    return NULL;
}

static void write_body(struct parcel *pc, json_t *j)
{
    size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(14);
    pc->len = json_dumpb(j, NULL, 0, flags);
    pc->body = mem_alloc(pc->len + 1);
    (void)json_dumpb(j, pc->body, pc->len, flags);
    json_decref(j);
}

void hook_pack(struct sandbox *sb, struct hook *hk, const struct event *ev,
               const char *webhook_type, bool preview, struct parcel *pc)
{
    json_t *j = render_event(sb, ev, preview);
    *pc = (struct parcel){.hook = hk, .type = ev->type->name};
    if (hk->kind == HOOK_APP) {
        if (webhook_type == NULL)
            webhook_type = ev->type->webhook;
        pc->webhook_type = webhook_type != NULL ? webhook_type : ev->type->name;
        j = json_pack("{s:s, s:{s:s}, s:o}", "type", pc->webhook_type, "authorization",
                      "id", "cmp_sandbox", "payload", j);
    }
    write_body(pc, j);
}

bool hook_channel_is_type(const char *type)
{
    return channel_row(type) != NULL;
}

bool hook_channel_takes_message(const char *type)
{
    const struct channel_row *row = channel_row(type);
    return row != NULL && row->message;
}

/* A conversation is known to a channel by the ids the channel gave it, if it did. */
static json_t *metadata_of(const struct object *cnv, bool imported)
{
    json_t *ids = NULL;
    if (cnv != NULL)
        ids = json_object_get(json_object_get(cnv->own, "metadata"),
                              "external_conversation_ids");
    const char *one = json_string_value(json_array_get(ids, 0));
    if (one == NULL)
        one = cnv != NULL ? cnv->id : "";
    if (!imported)
        return json_pack("{s:s}", "external_conversation_id", one);
    return json_pack("{s:s, s:o}", "external_conversation_id", one,
                     "external_conversation_ids",
                     json_array_size(ids) > 0 ? json_incref(ids) : json_pack("[s]", one));
}

/* An automatic answer is not a message yet: it has no id, only what it answers. */
static json_t *message_payload(struct sandbox *sb, const char *type,
                               const struct object *msg)
{
    json_t *j = render(sb, msg, spec_shape(&sb->spec, "Message"));
    if (strcmp(type, "message_autoreply") != 0)
        return j;
    json_t *links = json_object_get(j, "_links");
    (void)json_object_del(j, "id");
    (void)json_object_set_new(json_object_get(links, "related"), "message_replied_to",
                              json_sprintf("%s/messages/%s", sb->url, msg->id));
    (void)json_object_del(links, "self");
    return j;
}

bool hook_pack_channel(struct sandbox *sb, struct hook *hk, const char *type,
                       const struct object *obj, bool no_body, struct parcel *pc)
{
    const struct channel_row *row = channel_row(type);
    if (row == NULL)
        return false;
    *pc = (struct parcel){.hook = hk, .type = row->type, .method = row->method};
    if (no_body)
        return true;
    if (!row->message) {
        write_body(pc, json_pack("{s:s, s:{s:s}}", "type", type, "payload", "channel_id",
                                 obj->id));
        return true;
    }
    const struct object *cnv = store_related(obj, REL_HAS, KIND_CONVERSATION, true);
    write_body(pc, json_pack("{s:s, s:o, s:o}", "type", type, "payload",
                             message_payload(sb, type, obj), "metadata",
                             metadata_of(cnv, strcmp(type, "message_imported") == 0)));
    return true;
}

static bool wants(const struct hook *hk, const struct event *ev)
{
    if (hk->types == NULL)
        return true;
    for (size_t i = 0; i < json_array_size(hk->types); i++) {
        const char *type = json_string_value(json_array_get(hk->types, i));
        if (type != NULL &&
            (strcmp(type, ev->type->name) == 0 ||
             (ev->type->webhook != NULL && strcmp(type, ev->type->webhook) == 0)))
            return true;
    }
    return false;
}

bool hook_carries(const struct hook *hk, const struct event *ev)
{
    if (hk->kind == HOOK_CHANNEL || hk->state == HOOK_NONE || !wants(hk, ev))
        return false;
    return hk->kind == HOOK_RULE || ev->type->webhook != NULL;
}

const char *hook_refusal(const struct hook *hk, const struct event *ev)
{
    static const char *const by_state[] = {"not registered", "checking", NULL, "refused",
                                           "disabled"};
    if (ev != NULL && ev->reach == REACH_MASS)
        return "mass action";
    if (ev != NULL && ev->reach == REACH_RULES && hk->kind == HOOK_APP)
        return "private";
    return by_state[hk->state];
}

static void hook_send(struct sandbox *sb, struct hook *hk, const struct event *ev)
{
    struct parcel pc;
    char id[EVENT_ID_MAX];
    event_id(&sb->events, ev->n, id);
    hook_pack(sb, hk, ev, NULL, hk->preview, &pc);
    pc.event = id;
    pc.skip = hook_refusal(hk, ev);
    (void)delivery_add(sb, &pc);
}

void hooks_flush(struct sandbox *sb)
{
    struct events *es = &sb->events;
    if (es->sent + 1 < events_first(es))
        es->sent = events_first(es) - 1;
    while (es->sent < es->last) {
        const struct event *ev = events_get(es, ++es->sent);
        for (size_t i = 0; i < HOOKS; i++)
            if (ev->reach != REACH_LIST && hook_carries(&sb->hooks.hooks[i], ev))
                hook_send(sb, &sb->hooks.hooks[i], ev);
    }
}

void hook_tell_channel(struct call *c, const char *type, const struct object *cha,
                       const struct object *msg)
{
    struct hook *hk = &c->sb->hooks.hooks[HOOK_CHANNEL];
    struct parcel pc;
    if (hk->state == HOOK_NONE || cha == NULL ||
        !hook_pack_channel(c->sb, hk, type, msg, false, &pc))
        return;
    pc.event = msg->id;
    pc.skip = hook_refusal(hk, NULL);
    (void)delivery_add(c->sb, &pc);
}

static void keep_external_ids(struct object *msg, struct object *cnv,
                              const json_t *answer)
{
    json_t *id = json_object_get(answer, "external_id");
    json_t *thread = json_object_get(answer, "external_conversation_id");
    if (json_is_string(id) && json_object_get(msg->own, "metadata") == NULL)
        store_set(msg, "metadata", json_pack("{s:O}", "external_id", id));
    const json_t *known = json_object_get(json_object_get(cnv->own, "metadata"),
                                          "external_conversation_ids");
    if (json_is_string(thread) && json_array_size(known) == 0)
        store_set(cnv, "metadata",
                  json_pack("{s:[O]}", "external_conversation_ids", thread));
}

void hook_channel_end(struct sandbox *sb, const struct delivery *dl, bool fine)
{
    struct call none = {.sb = sb}; /* nobody's call */
    struct object *msg = store_find(&sb->store, KIND_MESSAGE, dl->event);
    struct object *cnv =
        msg != NULL ? store_related(msg, REL_HAS, KIND_CONVERSATION, true) : NULL;
    if (cnv == NULL || strcmp(dl->type, "message") != 0)
        return;
    struct str text = buf_str(&dl->post.answer);
    json_t *answer = text.len > 0 ? json_loadb(text.ptr, text.len, 0, NULL) : NULL;
    const char *type = json_string_value(json_object_get(answer, "type"));
    if (fine && type != NULL && strcmp(type, "success") == 0) {
        keep_external_ids(msg, cnv, answer);
    } else {
        store_set_text(msg, "error_type", "delivery_failed");
        (void)event_add(&none, "sending_error", cnv, msg);
        hooks_flush(sb);
    }
    json_decref(answer);
}
