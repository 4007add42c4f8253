/* Messages and drafts. What is sent or received is accepted at once with a uid; the
 * message and, for a new thread, its conversation are visible --build-ms later, as with
 * Front. */
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

struct handler {
    const char *operation;
    operation_fn *run;
};

static json_t *recipient(struct call *c, const char *handle, const char *name,
                         const char *role)
{
    const struct object *crd =
        store_by_alias(&c->sb->store, KIND_CONTACT, "email", handle);
    json_t *contact =
        crd != NULL ? json_sprintf("%s/contacts/%s", c->sb->url, crd->id) : json_null();
    return json_pack("{s:{s:{s:o}}, s:s?, s:s, s:s}", "_links", "related", "contact",
                     contact, "name", name, "handle", handle, "role", role);
}

/* Handles are texts, or objects with a handle (channel API). */
static void recipients_add(struct call *c, json_t *all, const char *field)
{
    json_t *v = call_field(c, field), *item;
    size_t i;
    json_array_foreach(v, i, item)
    {
        const char *handle = json_is_object(item)
                                 ? json_string_value(json_object_get(item, "handle"))
                                 : json_string_value(item);
        const char *name = json_string_value(json_object_get(item, "name"));
        if (handle != NULL)
            (void)json_array_append_new(all, recipient(c, handle, name, field));
    }
}

static json_t *recipients(struct call *c)
{
    static const char *const fields[] = {"to", "cc", "bcc"};
    json_t *all = json_array();
    json_t *sender = call_field(c, "sender");
    const char *handle = json_string_value(json_object_get(sender, "handle"));
    if (handle != NULL)
        (void)json_array_append_new(
            all, recipient(c, handle, json_string_value(json_object_get(sender, "name")),
                           "from"));
    for (size_t i = 0; i < 3; i++)
        recipients_add(c, all, fields[i]);
    return all;
}

static const char *text_or(struct call *c, const char *name, const char *preset)
{
    const char *text = call_text(c, name);
    return text != NULL ? text : preset;
}

struct object *message_make(struct call *c, bool inbound)
{
    char uid[33], blurb[200];
    struct object *msg = store_add(&c->sb->store, KIND_MESSAGE, NULL);
    const char *body = text_or(c, "body", ""), *author = call_text(c, "author_id");
    const struct object *tea =
        author != NULL ? find_object(c->sb, KIND_TEAMMATE, author) : NULL;
    sandbox_uid(c->sb, uid);
    size_t cut = strlen(body) < 120 ? strlen(body) : 120;
    while (cut > 0 && ((unsigned char)body[cut] & 0xc0) == 0x80)
        cut--; /* not inside a character */
    snprintf(blurb, sizeof blurb, "%.*s", (int)cut, body);
    store_set_text(msg, "message_uid", uid);
    store_set_text(msg, "type", "email");
    store_set(msg, "is_inbound", json_boolean(inbound));
    store_set_text(msg, "version", "1");
    store_set(msg, "created_at", json_real(sandbox_now(c->sb)));
    store_set_text(msg, "subject", text_or(c, "subject", ""));
    store_set_text(msg, "blurb", blurb);
    store_set_text(msg, "body", body);
    store_set_text(msg, "text", text_or(c, "text", body));
    store_set(msg, "recipients", recipients(c));
    if (tea != NULL)
        store_set_text(msg, "_author", tea->id);
    if (call_text(c, "signature_id") != NULL)
        store_set_text(msg, "_signature", call_text(c, "signature_id"));
    attach_files(c, msg);
    (void)store_alias(&c->sb->store, msg, "uid", uid);
    return msg;
}

static void build_later(struct call *c, struct object *obj)
{
    if (c->sb->opt.build_ms <= 0 || c->op == NULL) /* what is triggered is there */
        return;
    obj->visible_ms = sandbox_ms(c->sb) + c->sb->opt.build_ms;
    c->built_ms = obj->visible_ms;
}

static struct object *thread_make(struct call *c, struct object *inbox,
                                  const struct object *msg)
{
    struct object *cnv = store_add(&c->sb->store, KIND_CONVERSATION, NULL);
    const json_t *first = json_array_get(json_object_get(msg->own, "recipients"), 0);
    const char *handle = json_string_value(json_object_get(first, "handle"));
    store_set_text(cnv, "type", "conversation");
    store_set_text(cnv, "subject", text_or(c, "subject", ""));
    store_set_text(cnv, "status", "unassigned");
    store_set(cnv, "created_at", json_real(sandbox_now(c->sb)));
    if (first != NULL)
        store_set(cnv, "recipient", json_deep_copy(first));
    if (inbox != NULL)
        (void)store_join(inbox, REL_HAS, cnv);
    struct object *crd =
        handle != NULL ? store_by_alias(&c->sb->store, KIND_CONTACT, "email", handle)
                       : NULL;
    if (crd != NULL)
        (void)store_join(crd, REL_HAS, cnv);
    build_later(c, cnv);
    return cnv;
}

void message_join(struct call *c, struct object *msg, struct object *cnv)
{
    (void)store_join(cnv, REL_HAS, msg);
    store_set_text(cnv, "_last_message", msg->id);
    store_set(cnv, "updated_at", json_real(sandbox_now(c->sb)));
    build_later(c, msg);
}

static struct event *message_place(struct call *c, struct object *msg, struct object *cnv,
                                   const char *type)
{
    const json_t *options = call_field(c, "options");
    const json_t *tags = json_object_get(options, "tag_ids");
    message_join(c, msg, cnv);
    struct event *ev = event_add(c, type, cnv, msg);
    for (size_t i = 0; i < json_array_size(tags); i++) {
        const char *id = json_string_value(json_array_get(tags, i));
        struct object *tag = id != NULL ? find_object(c->sb, KIND_TAG, id) : NULL;
        if (tag != NULL && store_join(tag, REL_HAS, cnv))
            event_add(c, "tag", cnv, tag);
    }
    snprintf(c->made_id, sizeof c->made_id, "%s", msg->id);
    answer_accepted(c, store_text(msg, "message_uid"));
    return ev;
}

/* options.archive is true unless it is said otherwise. */
static void archive(struct call *c, struct object *cnv)
{
    const json_t *v = json_object_get(call_field(c, "options"), "archive");
    if (json_is_false(v) || strcmp(store_text(cnv, "status"), "archived") == 0)
        return;
    store_set_text(cnv, "status", "archived");
    event_add(c, "archive", cnv, NULL);
}

static struct object *inbox_of(const struct object *cha)
{
    return store_related(cha, REL_HAS, KIND_INBOX, true);
}

/* A channel of its own kind sends the message itself. */
static void tell_channel(struct call *c, const struct object *cha,
                         const struct object *msg)
{
    if (cha != NULL && strcmp(store_text(cha, "type"), "custom") == 0)
        hook_tell_channel(c, "message", cha, msg);
}

static const struct object *reply_channel(struct call *c, const struct object *cnv)
{
    const char *id = call_text(c, "channel_id");
    const struct object *inb = store_related(cnv, REL_HAS, KIND_INBOX, true);
    if (id != NULL)
        return find_object(c->sb, KIND_CHANNEL, id);
    return inb != NULL ? store_related(inb, REL_HAS, KIND_CHANNEL, false) : NULL;
}

static void create_message(struct call *c)
{
    struct object *cha = find_param(c, KIND_CHANNEL, "channel_id");
    if (cha == NULL)
        return;
    struct object *msg = message_make(c, false);
    struct object *cnv = thread_make(c, inbox_of(cha), msg);
    (void)message_place(c, msg, cnv, "outbound");
    tell_channel(c, cha, msg);
    archive(c, cnv);
}

static void create_reply(struct call *c)
{
    struct object *cnv = find_param(c, KIND_CONVERSATION, "conversation_id");
    if (cnv == NULL)
        return;
    struct object *msg = message_make(c, false);
    const char *last = store_text(cnv, "_last_message");
    if (last[0] != '\0')
        store_set_text(msg, "_replied_to", last);
    if (json_array_size(json_object_get(msg->own, "recipients")) == 0 &&
        json_object_get(cnv->own, "recipient") != NULL)
        store_set(msg, "recipients",
                  json_pack("[O]", json_object_get(cnv->own, "recipient")));
    (void)message_place(c, msg, cnv, "out_reply");
    tell_channel(c, reply_channel(c, cnv), msg);
    archive(c, cnv);
}

/* A thread is known by a name within its channel or inbox. */
static struct object *thread_of(struct call *c, const struct object *at, const char *ref,
                                struct object *inbox, const struct object *msg)
{
    struct object *cnv = NULL;
    char *name = ref != NULL ? mem_printf("%s/%s", at->id, ref) : NULL;
    if (name != NULL)
        cnv = store_by_alias(&c->sb->store, KIND_CONVERSATION, "thread", name);
    if (cnv == NULL) {
        cnv = thread_make(c, inbox, msg);
        if (name != NULL)
            (void)store_alias(&c->sb->store, cnv, "thread", name);
    }
    mem_free(name);
    return cnv;
}

/* The same external id again: the uid of the first, nothing new. */
static bool known_already(struct call *c, const struct object *at, const char *external)
{
    char *name = mem_printf("%s/%s", at->id, external);
    const struct object *msg = store_by_alias(&c->sb->store, KIND_MESSAGE, "ext", name);
    mem_free(name);
    if (msg != NULL)
        answer_accepted(c, store_text(msg, "message_uid"));
    return msg != NULL;
}

static void remember_external(struct call *c, const struct object *at, struct object *msg,
                              const char *external)
{
    char *name = mem_printf("%s/%s", at->id, external);
    (void)store_alias(&c->sb->store, msg, "ext", name);
    json_t *meta = json_pack("{s:s}", "external_id", external);
    store_set(msg, "metadata", meta);
    mem_free(name);
}

static const char *meta_text(struct call *c, const char *name)
{
    return json_string_value(json_object_get(call_field(c, "metadata"), name));
}

static void receive_custom(struct call *c)
{
    struct object *cha = find_param(c, KIND_CHANNEL, "channel_id");
    if (cha == NULL)
        return;
    struct object *msg = message_make(c, true);
    store_set_text(msg, "type", "custom");
    if (call_field(c, "metadata") != NULL)
        store_set(msg, "metadata", json_deep_copy(call_field(c, "metadata")));
    (void)message_place(c, msg,
                        thread_of(c, cha, meta_text(c, "thread_ref"), inbox_of(cha), msg),
                        "inbound");
}

static void sync_message(struct call *c, bool inbound)
{
    struct object *cha = find_param(c, KIND_CHANNEL, "channel_id");
    const char *external = meta_text(c, "external_id");
    if (cha == NULL || external == NULL || known_already(c, cha, external))
        return;
    struct object *msg = message_make(c, inbound);
    store_set_text(msg, "type", "custom");
    remember_external(c, cha, msg, external);
    const char *ref = meta_text(c, "external_conversation_id");
    struct object *cnv = thread_of(c, cha, ref, inbox_of(cha), msg);
    if (ref != NULL)
        store_set(cnv, "metadata",
                  json_pack("{s:[s]}", "external_conversation_ids", ref));
    (void)message_place(c, msg, cnv, inbound ? "inbound" : "outbound");
    hook_tell_channel(c, "message_imported", cha, msg);
}

static void sync_inbound(struct call *c)
{
    sync_message(c, true);
}

static void sync_outbound(struct call *c)
{
    sync_message(c, false);
}

static void import_message(struct call *c)
{
    struct object *inb = find_param(c, KIND_INBOX, "inbox_id"), *cnv = NULL;
    const char *external = call_text(c, "external_id"),
               *id = call_text(c, "conversation_id");
    const char *assignee = call_text(c, "assignee_id");
    if (inb == NULL || known_already(c, inb, external))
        return;
    bool inbound = json_is_true(json_object_get(call_field(c, "metadata"), "is_inbound"));
    struct object *msg = message_make(c, inbound);
    if (call_field(c, "created_at") != NULL)
        store_set(msg, "created_at", json_incref(call_field(c, "created_at")));
    store_set_text(msg, "type", text_or(c, "type", "email"));
    remember_external(c, inb, msg, external);
    cnv = id != NULL ? find_object(c->sb, KIND_CONVERSATION, id)
                     : thread_of(c, inb, meta_text(c, "thread_ref"), inb, msg);
    if (json_is_true(json_object_get(call_field(c, "metadata"), "is_archived")))
        store_set_text(cnv, "status", "archived");
    message_place(c, msg, cnv, inbound ? "inbound" : "outbound")->reach = REACH_MASS;
    if (assignee != NULL)
        conversation_assign(c, cnv, find_object(c->sb, KIND_TEAMMATE, assignee));
}

static void draft_place(struct call *c, struct object *msg, struct object *cnv)
{
    store_set_text(msg, "draft_mode", text_or(c, "mode", "private"));
    (void)store_join(cnv, REL_DRAFT, msg);
    answer_object(c, msg);
}

static void create_draft(struct call *c)
{
    struct object *cha = find_param(c, KIND_CHANNEL, "channel_id");
    if (cha == NULL)
        return;
    struct object *msg = message_make(c, false);
    draft_place(c, msg, thread_make(c, inbox_of(cha), msg));
}

static void create_draft_reply(struct call *c)
{
    struct object *cnv = find_param(c, KIND_CONVERSATION, "conversation_id");
    if (cnv != NULL)
        draft_place(c, message_make(c, false), cnv);
}

static bool version_holds(struct call *c, const struct object *msg)
{
    const char *version = call_text(c, "version");
    if (version == NULL || strcmp(version, store_text(msg, "version")) == 0)
        return true;
    call_error(c, 409, "Conflict", "The draft has version %s",
               store_text(msg, "version"));
    return false;
}

static void edit_draft(struct call *c)
{
    struct object *msg = find_param(c, KIND_MESSAGE, "message_id");
    struct err e = ERR_INIT;
    int64_t version = 1;
    char next[24];
    if (msg == NULL || !version_holds(c, msg))
        return;
    (void)parse_i64(str_of(store_text(msg, "version")), 1, INT32_MAX, &version, &e);
    store_set_text(msg, "body", text_or(c, "body", ""));
    if (call_text(c, "subject") != NULL)
        store_set_text(msg, "subject", call_text(c, "subject"));
    if (call_field(c, "to") != NULL)
        store_set(msg, "recipients", recipients(c));
    attach_files(c, msg);
    if (magic_of(msg->id) == MAGIC_NONE) { /* the example draft keeps its version */
        snprintf(next, sizeof next, "%lld", (long long)version + 1);
        store_set_text(msg, "version", next);
    }
    answer_object(c, msg);
}

static void delete_draft(struct call *c)
{
    struct object *msg = find_param(c, KIND_MESSAGE, "draft_id");
    if (msg != NULL && version_holds(c, msg))
        store_remove(&c->sb->store, msg);
}

static void mark_seen(struct call *c)
{
    struct object *msg = find_param(c, KIND_MESSAGE, "message_id");
    if (msg == NULL)
        return;
    struct object *see = store_add(&c->sb->store, KIND_RECEIPT, NULL);
    store_set(see, "first_seen_at", json_sprintf("%.3f", sandbox_now(c->sb)));
    store_set(see, "seen_by", json_null());
    (void)store_join(msg, REL_HAS, see);
}

static const struct handler handlers[] = {
    {"create-message", create_message},
    {"create-message-reply", create_reply},
    {"receive-custom-messages", receive_custom},
    {"sync-inbound-message", sync_inbound},
    {"sync-outbound-message", sync_outbound},
    {"import-inbox-message", import_message},
    {"create-draft", create_draft},
    {"create-draft-reply", create_draft_reply},
    {"edit-draft", edit_draft},
    {"delete-draft", delete_draft},
    {"mark-message-seen", mark_seen},
};

operation_fn *handler_message(const char *operation)
{
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
        if (strcmp(handlers[i].operation, operation) == 0)
            return handlers[i].run;
    return NULL;
}
