/* What is there at the start: three of everything (`<prefix>_1` to `_3`), or --fill many
 * conversations, contacts and tags, joined so that every list has something in it. The
 * same seed makes the same world. */
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

static const char *const first_names[] = {"Ada", "Bob", "Carol", "Dan", "Eve", "Frank"};
static const char *const last_names[] = {"Lovelace", "Noyce",  "Shaw",
                                         "Ritchie",  "Hopper", "Gray"};
static const char *const subjects[] = {"About the order", "Invoice",   "A question",
                                       "Login fails",     "Thank you", "Delivery"};
static const char *const scopes[] = {"accounts", "contacts", "conversations",
                                     "inboxes",  "links",    "teammates"};

static struct object *get(struct sandbox *sb, enum kind kind, unsigned n)
{
    char id[24];
    snprintf(id, sizeof id, "%s_%u", kinds[kind].prefix, n);
    return store_find(&sb->store, kind, id);
}

static void join(struct object *parent, enum rel rel, struct object *child)
{
    if (parent != NULL && child != NULL)
        (void)store_join(parent, rel, child);
}

static void set_all(struct object *obj, json_t *fields)
{
    (void)json_object_update(obj->own, fields);
    json_decref(fields);
}

static void date(struct sandbox *sb, struct object *obj)
{
    store_set(obj, "created_at", json_real(sandbox_now(sb)));
    store_set(obj, "updated_at", json_real(sandbox_now(sb)));
}

static void seed_teammate(struct sandbox *sb, struct object *obj, unsigned n)
{
    const char *first = first_names[n % 6], *last = last_names[n % 6];
    char email[80], user[48];
    snprintf(user, sizeof user, "%s", obj->id);
    snprintf(email, sizeof email, "%s@sandbox.example", obj->id);
    set_all(obj, json_pack("{s:s, s:s, s:s, s:s, s:b, s:b, s:b, s:s}", "email", email,
                           "username", user, "first_name", first, "last_name", last,
                           "is_admin", n == 1, "is_available", 1, "is_blocked", 0, "type",
                           "user"));
    (void)store_alias(&sb->store, obj, "email", email);
}

static void seed_channel(struct sandbox *sb, struct object *obj, unsigned n)
{
    char address[80];
    snprintf(address, sizeof address, "%s@sandbox.example", obj->id);
    set_all(obj,
            json_pack("{s:s, s:s, s:s, s:s, s:{s:i, s:b}, s:b, s:b}", "name", "Support",
                      "address", address, "type", n == 2 ? "custom" : "smtp", "send_as",
                      address, "settings", "undo_send_time", 0, "all_teammates_can_reply",
                      1, "is_private", 0, "is_valid", 1));
    (void)store_alias(&sb->store, obj, "address", address);
    join(get(sb, KIND_INBOX, n == 2 ? 2 : 1), REL_HAS, obj);
}

static void seed_contact(struct sandbox *sb, struct object *obj, unsigned n)
{
    char email[80], name[64];
    snprintf(email, sizeof email, "%s@customer.example", obj->id);
    snprintf(name, sizeof name, "%s %s", first_names[n % 6], last_names[(n + 3) % 6]);
    set_all(obj,
            json_pack("{s:s, s:n, s:n, s:[], s:[{s:s, s:s}], s:{}, s:b}", "name", name,
                      "description", "avatar_url", "links", "handles", "handle", email,
                      "source", "email", "custom_fields", "is_private", 0));
    store_set(obj, "updated_at", json_real(sandbox_now(sb)));
    (void)store_alias(&sb->store, obj, "email", email);
    join(get(sb, KIND_ACCOUNT, 1), REL_HAS, obj);
    join(get(sb, KIND_CONTACT_LIST, 1), REL_HAS, obj);
}

static void seed_conversation(struct sandbox *sb, struct object *obj, unsigned n)
{
    struct object *crd = get(sb, KIND_CONTACT, n > 0 ? n : 1);
    const json_t *handles = crd != NULL ? json_object_get(crd->own, "handles") : NULL;
    const char *handle =
        json_string_value(json_object_get(json_array_get(handles, 0), "handle"));
    set_all(obj,
            json_pack("{s:s, s:s, s:s, s:b, s:{s:[]}, s:[]}", "type", "conversation",
                      "subject", subjects[n % 6], "status", "unassigned", "is_private", 0,
                      "metadata", "external_conversation_ids", "ticket_ids"));
    if (handle != NULL)
        store_set(obj, "recipient",
                  json_pack("{s:{s:{s:o}}, s:s, s:s, s:s}", "_links", "related",
                            "contact", json_sprintf("%s/contacts/%s", sb->url, crd->id),
                            "name", store_text(crd, "name"), "handle", handle, "role",
                            "from"));
    date(sb, obj);
    join(get(sb, KIND_INBOX, n % 2 + 1), REL_HAS, obj);
    join(crd, REL_HAS, obj);
}

static void seed_message(struct sandbox *sb, struct object *obj, unsigned n)
{
    char uid[33];
    struct object *cnv = get(sb, KIND_CONVERSATION, n > 0 ? n : 1);
    sandbox_uid(sb, uid);
    set_all(
        obj,
        json_pack("{s:s, s:s, s:b, s:s, s:f, s:s, s:s, s:s, s:s, s:[{s:{s:{s:n}}, s:n, "
                  "s:s, s:s}]}",
                  "message_uid", uid, "type", "email", "is_inbound", 1, "version", "1",
                  "created_at", sandbox_now(sb), "subject", subjects[n % 6], "blurb",
                  "Hello", "body", "<p>Hello</p>", "text", "Hello", "recipients",
                  "_links", "related", "contact", "name", "handle",
                  "crd_1@customer.example", "role", "from"));
    (void)store_alias(&sb->store, obj, "uid", uid);
    join(cnv, REL_HAS, obj);
    if (cnv != NULL)
        store_set_text(cnv, "_last_message", obj->id);
}

static void seed_comment(struct sandbox *sb, struct object *obj, unsigned n)
{
    set_all(obj,
            json_pack("{s:s, s:s, s:f, s:b}", "_author", "tea_1", "body",
                      "Looking into it", "posted_at", sandbox_now(sb), "is_pinned", 0));
    join(get(sb, KIND_CONVERSATION, n > 0 ? n : 1), REL_HAS, obj);
    join(obj, REL_MENTIONS, get(sb, KIND_TEAMMATE, 2));
}

static void seed_file(struct object *obj)
{
    obj->blob = mem_printf("Sandbox attachment %s\n", obj->id);
    obj->blob_len = strlen(obj->blob);
    set_all(obj, json_pack("{s:s, s:s, s:I}", "filename", "sandbox.txt", "content_type",
                           "text/plain", "size", (json_int_t)obj->blob_len));
}

static void seed_knowledge(struct sandbox *sb, struct object *obj, unsigned n)
{
    set_all(obj, json_pack("{s:s, s:s, s:s, s:s, s:s, s:[s], s:s, s:s, s:[], s:b, s:f}",
                           "slug", obj->id, "name", "How it works", "status", "published",
                           "type", "external", "locale", "en", "locales", "en", "content",
                           "<p>So it works.</p>", "description", "", "keywords",
                           "is_hidden", 0, "last_edited_at", sandbox_now(sb)));
    store_set_text(obj, "_author", "tea_1");
    date(sb, obj);
    if (obj->kind == KIND_KNOWLEDGE_BASE)
        return;
    join(get(sb, KIND_KNOWLEDGE_BASE, 1), REL_HAS, obj);
    if (obj->kind == KIND_ARTICLE)
        join(get(sb, KIND_CATEGORY, 1), REL_HAS, obj);
    else if (n == 2)
        join(get(sb, KIND_CATEGORY, 1), REL_PARENT, obj);
}

static void seed_account(struct sandbox *sb, struct object *obj)
{
    char domain[64];
    snprintf(domain, sizeof domain, "%s.example", obj->id);
    set_all(obj, json_pack("{s:s, s:n, s:n, s:[s], s:s, s:{}}", "name", "Account",
                           "logo_url", "description", "domains", domain, "external_id",
                           obj->id, "custom_fields"));
    date(sb, obj);
    (void)store_alias(&sb->store, obj, "domain", domain);
    (void)store_alias(&sb->store, obj, "ext_id", obj->id);
}

static void seed_time_off(struct sandbox *sb, struct object *obj)
{
    set_all(obj, json_pack("{s:s, s:f, s:f, s:{s:b, s:[], s:b, s:s}}", "name", "Holiday",
                           "start_at", sandbox_now(sb) + 86400, "end_at",
                           sandbox_now(sb) + 172800, "auto_responder", "is_enabled", 0,
                           "channel_ids", "is_contacts_only", 0, "body", ""));
    date(sb, obj);
    join(get(sb, KIND_TEAMMATE, 1), REL_OWNS, obj);
    join(get(sb, KIND_TEAM, 1), REL_OWNS, obj);
}

static void seed_analytics(struct sandbox *sb, struct object *obj)
{
    store_set_text(obj, "status", "done");
    store_set(obj, "progress", json_integer(100));
    if (obj->kind == KIND_REPORT) {
        store_set(obj, "metrics",
                  json_pack("[{s:s, s:s, s:i}]", "id", "num_messages_received", "type",
                            "number", "value", 42));
        return;
    }
    set_all(obj, json_pack("{s:s, s:i, s:f, s:{}}", "filename", "export.csv", "size",
                           1024, "created_at", sandbox_now(sb), "filters"));
}

static void seed_named(struct object *obj, unsigned n)
{
    char name[64];
    snprintf(name, sizeof name, "%c%s %u", kinds[obj->kind].name[0] & ~0x20,
             kinds[obj->kind].name + 1, n > 0 ? n : 1);
    store_set_text(obj, "name", name);
}

/* The kinds that need little more than a name. */
static void seed_plain(struct sandbox *sb, struct object *obj, unsigned n)
{
    static const char *const categories[] = {"open", "waiting", "resolved"};
    seed_named(obj, n);
    if (obj->kind == KIND_STATUS)
        set_all(obj, json_pack("{s:s, s:s}", "category", categories[n % 3], "description",
                               ""));
    else if (obj->kind == KIND_CUSTOM_FIELD)
        set_all(obj, json_pack("{s:s, s:s, s:s}", "_scope", scopes[(n + 5) % 6],
                               "description", "", "type", "string"));
    else if (obj->kind == KIND_CALL)
        (void)store_alias(&sb->store, obj, "ext", n == 1 ? "call-1" : obj->id);
    else if (obj->kind == KIND_APP_TEMPLATE)
        (void)store_alias(&sb->store, obj, "ext", n == 1 ? "ext-1" : obj->id);
    else if (obj->kind == KIND_RULE)
        set_all(obj, json_pack("{s:[s]}", "actions", "Archive"));
    else if (obj->kind == KIND_TEMPLATE || obj->kind == KIND_SIGNATURE)
        set_all(obj, json_pack("{s:s, s:s, s:b}", "subject", "Hello", "body",
                               "<p>Hello</p>", "is_available_for_all_inboxes", 1));
    else if (obj->kind == KIND_SHIFT)
        set_all(obj, json_pack("{s:s, s:s, s:{s:{s:s, s:s}}}", "color", "blue",
                               "timezone", "Europe/Paris", "times", "mon", "start",
                               "09:00", "end", "17:00"));
    else if (obj->kind == KIND_LINK)
        set_all(obj, json_pack("{s:s, s:o}", "type", "web", "external_url",
                               json_sprintf("https://links.example/%s", obj->id)));
    else if (obj->kind == KIND_TEAMMATE_GROUP)
        set_all(obj, json_pack("{s:{s:{s:s, s:[]}}}", "permissions", "contacts", "access",
                               "all", "contact_list_ids"));
    if (obj->kind == KIND_LINK)
        (void)store_alias(&sb->store, obj, "url", store_text(obj, "external_url"));
    date(sb, obj);
}

struct object *seed_one(struct sandbox *sb, enum kind kind, const char *id, unsigned n)
{
    struct object *obj = store_add(&sb->store, kind, id);
    switch (kind) {
    case KIND_TEAMMATE:
        seed_teammate(sb, obj, n);
        break;
    case KIND_CHANNEL:
        seed_channel(sb, obj, n);
        break;
    case KIND_CONTACT:
        seed_contact(sb, obj, n);
        break;
    case KIND_CONVERSATION:
        seed_conversation(sb, obj, n);
        break;
    case KIND_MESSAGE:
        seed_message(sb, obj, n);
        break;
    case KIND_COMMENT:
        seed_comment(sb, obj, n);
        break;
    case KIND_FILE:
        seed_file(obj);
        break;
    case KIND_KNOWLEDGE_BASE:
    case KIND_CATEGORY:
    case KIND_ARTICLE:
        seed_knowledge(sb, obj, n);
        break;
    case KIND_ACCOUNT:
        seed_account(sb, obj);
        break;
    case KIND_TIME_OFF:
        seed_time_off(sb, obj);
        break;
    case KIND_REPORT:
    case KIND_EXPORT:
        seed_analytics(sb, obj);
        break;
    case KIND_NOTE:
        set_all(obj, json_pack("{s:s, s:s, s:f}", "_author", "tea_1", "body",
                               "A good customer", "created_at", sandbox_now(sb)));
        break;
    case KIND_RECEIPT:
        set_all(obj, json_pack("{s:o, s:{s:s, s:s}}", "first_seen_at",
                               json_sprintf("%.3f", sandbox_now(sb)), "seen_by", "handle",
                               "crd_1@customer.example", "source", "email"));
        break;
    case KIND_APP_TEMPLATE:
    case KIND_CALL:
    case KIND_CONTACT_LIST:
    case KIND_CUSTOM_FIELD:
    case KIND_FOLDER:
    case KIND_INBOX:
    case KIND_LINK:
    case KIND_RULE:
    case KIND_SHIFT:
    case KIND_SIGNATURE:
    case KIND_STATUS:
    case KIND_TAG:
    case KIND_TEAM:
    case KIND_TEAMMATE_GROUP:
    case KIND_TEMPLATE:
    case KIND_VIEW:
    case KIND_NONE:
        seed_plain(sb, obj, n);
        break;
    }
    return obj;
}

/* Number one and three belong to the team, two to a teammate. */
static void seed_owners(struct sandbox *sb)
{
    static const enum kind owned[] = {
        KIND_INBOX,     KIND_CHANNEL, KIND_CONTACT,  KIND_CONTACT_LIST,
        KIND_TAG,       KIND_RULE,    KIND_TEMPLATE, KIND_FOLDER,
        KIND_SIGNATURE, KIND_SHIFT,   KIND_VIEW,
    };
    struct object *tim = get(sb, KIND_TEAM, 1), *tea = get(sb, KIND_TEAMMATE, 1);
    for (size_t i = 0; i < sizeof owned / sizeof owned[0]; i++) {
        join(tim, REL_OWNS, get(sb, owned[i], 1));
        join(tim, REL_OWNS, get(sb, owned[i], 3));
        bool shared = owned[i] == KIND_SHIFT || owned[i] == KIND_VIEW;
        join(shared ? tim : tea, REL_OWNS, get(sb, owned[i], 2));
    }
}

static void seed_joins(struct sandbox *sb)
{
    for (unsigned n = 1; n <= 3; n++) {
        struct object *tea = get(sb, KIND_TEAMMATE, n);
        join(get(sb, KIND_TEAM, 1), REL_MEMBER, tea);
        join(get(sb, KIND_INBOX, 1), REL_MEMBER, tea);
        join(get(sb, KIND_SHIFT, n), REL_MEMBER, tea);
        join(get(sb, KIND_TEAMMATE_GROUP, 1), REL_MEMBER, tea);
        join(get(sb, KIND_CONVERSATION, n), REL_FOLLOWS, tea);
        join(get(sb, KIND_CONTACT, 1), REL_HAS, get(sb, KIND_NOTE, n));
        join(get(sb, KIND_MESSAGE, 1), REL_HAS, get(sb, KIND_RECEIPT, n));
    }
    join(get(sb, KIND_TEAMMATE_GROUP, 1), REL_MEMBER, get(sb, KIND_TEAM, 1));
    join(get(sb, KIND_TEAMMATE_GROUP, 1), REL_MEMBER, get(sb, KIND_INBOX, 1));
    join(get(sb, KIND_TAG, 1), REL_HAS, get(sb, KIND_CONVERSATION, 1));
    join(get(sb, KIND_LINK, 1), REL_HAS, get(sb, KIND_CONVERSATION, 1));
    join(get(sb, KIND_TAG, 1), REL_PARENT, get(sb, KIND_TAG, 2));
    join(get(sb, KIND_FOLDER, 1), REL_PARENT, get(sb, KIND_FOLDER, 2));
    join(get(sb, KIND_FOLDER, 1), REL_PARENT, get(sb, KIND_TEMPLATE, 1));
    struct object *cnv = get(sb, KIND_CONVERSATION, 2);
    join(get(sb, KIND_TEAMMATE, 1), REL_ASSIGNED, cnv);
    store_set_text(cnv, "status", "assigned");
    struct event *ev = NULL;
    for (unsigned n = 1; n <= 3; n++) {
        ev = events_push(&sb->events);
        ev->type = event_type_find("inbound");
        ev->source_type = ev->type->source;
        ev->emitted_at = sandbox_now(sb);
        snprintf(ev->conversation, sizeof ev->conversation, "cnv_%u", n);
        snprintf(ev->target, sizeof ev->target, "msg_%u", n);
        snprintf(ev->source, sizeof ev->source, "inb_%u", n % 2 + 1);
        snprintf(ev->inbox, sizeof ev->inbox, "%s", ev->source);
    }
    sb->events.sent = sb->events.last;
}

/* Kinds others lean on come first. */
void seed_all(struct sandbox *sb)
{
    static const enum kind first[] = {
        KIND_TEAM,           KIND_TEAMMATE,     KIND_INBOX,   KIND_CHANNEL,
        KIND_ACCOUNT,        KIND_CONTACT_LIST, KIND_CONTACT, KIND_CONVERSATION,
        KIND_KNOWLEDGE_BASE, KIND_CATEGORY};
    size_t n_first = sizeof first / sizeof first[0];
    for (size_t i = 0; i < n_first + KINDS; i++) {
        enum kind kind = i < n_first ? first[i] : (enum kind)(i - n_first);
        unsigned most = kind == KIND_CUSTOM_FIELD ? 6 : 3;
        if (kind == KIND_CONVERSATION || kind == KIND_CONTACT || kind == KIND_TAG)
            most = sb->opt.fill > 3 ? (unsigned)sb->opt.fill : 3;
        for (unsigned n = 1; n <= most; n++) {
            char id[24];
            if (get(sb, kind, n) != NULL)
                continue;
            snprintf(id, sizeof id, "%s_%u", kinds[kind].prefix, n);
            if (kind ==
                KIND_REPORT) /* a uid, not an id; the first is the catalogue's example */
                snprintf(id, sizeof id, "%u123abcd", n - 1);
            seed_one(sb, kind, id, n)->seeded = true;
        }
    }
    seed_owners(sb);
    seed_joins(sb);
}

json_t *seed_ids(const struct sandbox *sb)
{
    json_t *all = json_object();
    for (size_t i = 0; i < KINDS; i++) {
        json_t *ids = json_array();
        const struct object *obj;
        TAILQ_FOREACH (obj, &sb->store.lists[i], of_kind)
            if (obj->seeded && !obj->hidden && json_array_size(ids) < 1000)
                (void)json_array_append_new(ids, json_string(obj->id));
        (void)json_object_set_new(all, kinds[i].name, ids);
    }
    (void)json_object_set_new(all, "event",
                              json_pack("[s,s,s]", "evt_1", "evt_2", "evt_3"));
    return all;
}
