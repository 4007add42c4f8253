/* What most operations are: list, get, create, change, remove, and the same among the
 * objects that belong to one. Which of these an operation is, its path and body say;
 * operations with a meaning of their own have handlers in the files by subject. */
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

struct relation {
    enum kind kind;      /* of the object in the path */
    const char *segment; /* what stands behind it */
    enum kind other;
    enum rel rel;
    bool reverse; /* the other is the parent */
};

static const struct relation relations[] = {
    {KIND_ACCOUNT, "contacts", KIND_CONTACT, REL_HAS, false},
    {KIND_CATEGORY, "articles", KIND_ARTICLE, REL_HAS, false},
    {KIND_COMMENT, "mentions", KIND_TEAMMATE, REL_MENTIONS, false},
    {KIND_CONTACT, "conversations", KIND_CONVERSATION, REL_HAS, false},
    {KIND_CONTACT, "notes", KIND_NOTE, REL_HAS, false},
    {KIND_CONTACT_LIST, "contacts", KIND_CONTACT, REL_HAS, false},
    {KIND_CONVERSATION, "comments", KIND_COMMENT, REL_HAS, false},
    {KIND_CONVERSATION, "drafts", KIND_MESSAGE, REL_DRAFT, false},
    {KIND_CONVERSATION, "followers", KIND_TEAMMATE, REL_FOLLOWS, false},
    {KIND_CONVERSATION, "inboxes", KIND_INBOX, REL_HAS, true},
    {KIND_CONVERSATION, "links", KIND_LINK, REL_HAS, true},
    {KIND_CONVERSATION, "messages", KIND_MESSAGE, REL_HAS, false},
    {KIND_CONVERSATION, "tags", KIND_TAG, REL_HAS, true},
    {KIND_FOLDER, "message_template_folders", KIND_FOLDER, REL_PARENT, false},
    {KIND_FOLDER, "message_templates", KIND_TEMPLATE, REL_PARENT, false},
    {KIND_INBOX, "channels", KIND_CHANNEL, REL_HAS, false},
    {KIND_INBOX, "conversations", KIND_CONVERSATION, REL_HAS, false},
    {KIND_INBOX, "teammates", KIND_TEAMMATE, REL_MEMBER, false},
    {KIND_KNOWLEDGE_BASE, "articles", KIND_ARTICLE, REL_HAS, false},
    {KIND_KNOWLEDGE_BASE, "categories", KIND_CATEGORY, REL_HAS, false},
    {KIND_LINK, "conversations", KIND_CONVERSATION, REL_HAS, false},
    {KIND_MESSAGE, "seen", KIND_RECEIPT, REL_HAS, false},
    {KIND_SHIFT, "teammates", KIND_TEAMMATE, REL_MEMBER, false},
    {KIND_TAG, "children", KIND_TAG, REL_PARENT, false},
    {KIND_TAG, "conversations", KIND_CONVERSATION, REL_HAS, false},
    {KIND_TEAM, "teammates", KIND_TEAMMATE, REL_MEMBER, false},
    {KIND_TEAMMATE, "conversations", KIND_CONVERSATION, REL_ASSIGNED, false},
    {KIND_TEAMMATE, "inboxes", KIND_INBOX, REL_MEMBER, true},
    {KIND_TEAMMATE, "private_inboxes", KIND_INBOX, REL_OWNS, false},
    {KIND_TEAMMATE, "shifts", KIND_SHIFT, REL_MEMBER, true},
    {KIND_TEAMMATE_GROUP, "inboxes", KIND_INBOX, REL_MEMBER, false},
    {KIND_TEAMMATE_GROUP, "teammates", KIND_TEAMMATE, REL_MEMBER, false},
    {KIND_TEAMMATE_GROUP, "teams", KIND_TEAM, REL_MEMBER, false},
    {KIND_VIEW, "teammates", KIND_TEAMMATE, REL_MEMBER, false},
};

static enum kind kind_of_collection(const char *segment)
{
    if (strcmp(segment, "contact_groups") == 0)
        return KIND_CONTACT_LIST;
    if (strcmp(segment, "drafts") == 0)
        return KIND_MESSAGE;
    for (size_t i = 0; i < KINDS; i++) {
        const char *slash = strrchr(kinds[i].path, '/');
        if (strcmp(slash != NULL ? slash + 1 : kinds[i].path, segment) == 0)
            return (enum kind)i;
    }
    return KIND_NONE;
}

/* Teams and teammates own a collection of almost every kind; the rest stands in the
 * table. */
static bool relation_find(enum kind kind, const char *segment, struct relation *out)
{
    for (size_t i = 0; i < sizeof relations / sizeof relations[0]; i++) {
        if (relations[i].kind == kind && strcmp(relations[i].segment, segment) == 0) {
            *out = relations[i];
            return true;
        }
    }
    *out = (struct relation){kind, segment, kind_of_collection(segment), REL_OWNS, false};
    return (kind == KIND_TEAM || kind == KIND_TEAMMATE) && out->other != KIND_NONE;
}

void answer_object(struct call *c, const struct object *obj)
{
    if (c->op->answer == ANSWER_OBJECT && c->op->shape != NULL)
        c->answer = render(c->sb, obj, c->op->shape);
    else
        snprintf(c->made_id, sizeof c->made_id, "%s", obj->id);
}

void answer_accepted(struct call *c, const char *uid)
{
    c->answer = json_pack("{s:s}", "status", "accepted");
    if (uid != NULL)
        (void)json_object_set_new(c->answer, "message_uid", json_string(uid));
}

static bool reference_exists(struct call *c, enum kind kind, const json_t *v)
{
    const char *id = json_string_value(v);
    if (id == NULL || find_object(c->sb, kind, id) != NULL)
        return true;
    call_unknown(c, kind, id);
    return false;
}

bool references_exist(struct call *c)
{
    const char *name;
    json_t *v, *item;
    size_t i;
    if (c->json == NULL)
        return true;
    json_object_foreach(c->json, name, v)
    {
        enum kind kind = kind_of_param(name);
        if (kind == KIND_NONE)
            continue;
        if (!reference_exists(c, kind, v))
            return false;
        json_array_foreach(v, i, item) if (!reference_exists(c, kind, item)) return false;
    }
    return true;
}

/* The relation's other side in the body: {"teammate_ids": [...]} and the like. */
static const json_t *member_ids(const struct call *c)
{
    const char *name;
    json_t *v;
    if (c->json == NULL)
        return NULL;
    json_object_foreach(c->json, name, v)
    {
        size_t n = strlen(name);
        if (n > 4 && strcmp(name + n - 4, "_ids") == 0 && json_is_array(v))
            return v;
    }
    return NULL;
}

static void join_all(struct call *c, struct object *obj, const struct relation *r,
                     const json_t *ids, bool part)
{
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        struct object *o = id != NULL ? find_object(c->sb, r->other, id) : NULL;
        if (o == NULL)
            continue;
        struct object *parent = r->reverse ? o : obj, *child = r->reverse ? obj : o;
        bool changed =
            part ? store_part(parent, r->rel, child) : store_join(parent, r->rel, child);
        if (changed && r->kind == KIND_CONVERSATION && r->other == KIND_TAG)
            event_add(c, part ? "untag" : "tag", obj, o);
        if (changed && r->kind == KIND_CONVERSATION && r->other == KIND_LINK)
            event_add(c, part ? "link_removed" : "link_added", obj, o);
    }
}

/* Body fields that name the one thing this object is below. */
static void absorb_parent(struct call *c, struct object *obj, const char *name)
{
    const json_t *v = call_field(c, name);
    enum kind kind = kind_of_param(name);
    if (v == NULL)
        return;
    store_part_all(obj, REL_PARENT, kind, true);
    if (json_is_string(v))
        (void)store_join(find_object(c->sb, kind, json_string_value(v)), REL_PARENT, obj);
}

static void absorb_members(struct call *c, struct object *obj)
{
    const json_t *ids = call_field(c, "teammate_ids");
    struct relation r = {obj->kind, "", KIND_TEAMMATE, REL_MEMBER, false};
    if (ids == NULL || obj->kind == KIND_CONVERSATION)
        return;
    store_part_all(obj, REL_MEMBER, KIND_TEAMMATE, false);
    join_all(c, obj, &r, ids, false);
}

void attach_files(struct call *c, struct object *obj)
{
    json_t *v = call_field(c, "attachments"), *ids = json_array(), *item;
    size_t i;
    json_array_foreach(v, i, item)
    {
        json_t *id = json_object_get(item, "_file");
        if (id != NULL)
            (void)json_array_append(ids, id);
    }
    if (v != NULL && json_array_size(ids) > 0)
        store_set(obj, "_files", ids);
    else
        json_decref(ids);
}

void absorb(struct call *c, struct object *obj)
{
    static const char *const parents[] = {"folder_id", "parent_folder_id",
                                          "parent_tag_id", "parent_category_id"};
    const struct shape *shape = spec_shape(&c->sb->spec, kinds[obj->kind].shape);
    json_t *now = json_real(sandbox_now(c->sb));
    for (size_t i = 0; shape != NULL && c->json != NULL && i < shape->n_fields; i++) {
        const struct field *f = &shape->fields[i];
        json_t *v = call_field(c, f->name);
        bool embedded = f->type == FIELD_SHAPE && strcmp(f->name, "times") != 0;
        if (v != NULL && !embedded && strcmp(f->name, "_links") != 0)
            (void)json_object_set(obj->own, f->name, v);
    }
    for (size_t i = 0; c->json != NULL && i < sizeof parents / sizeof parents[0]; i++)
        absorb_parent(c, obj, parents[i]);
    absorb_members(c, obj);
    attach_files(c, obj);
    if (json_object_get(obj->own, "created_at") == NULL)
        (void)json_object_set(obj->own, "created_at", now);
    store_set(obj, "updated_at", now);
}

static void run_create(struct call *c, enum kind kind, struct object *owner,
                       const struct relation *r)
{
    struct object *obj = store_add(&c->sb->store, kind, NULL);
    if (owner != NULL)
        (void)store_join(owner, r->rel, obj);
    absorb(c, obj);
    answer_object(c, obj);
}

static bool match_scope(struct call *c, const struct object *obj)
{
    const char *scope = c->n_segments == 2 ? c->segments[0] : "contacts";
    return strcmp(store_text(obj, "_scope"), scope) == 0;
}

static bool match_contact(struct call *c, const struct object *obj)
{
    const char *after = call_query(c, "q[updated_after]", 0);
    const char *before = call_query(c, "q[updated_before]", 0);
    double at = json_number_value(json_object_get(obj->own, "updated_at"));
    return (after == NULL || at >= strtod(after, NULL)) &&
           (before == NULL || at <= strtod(before, NULL));
}

static void run_collection(struct call *c, enum kind kind)
{
    if (strcmp(c->method, "POST") == 0)
        run_create(c, kind, NULL, NULL);
    else if (kind == KIND_CONVERSATION)
        list_kind(c, kind, match_conversation);
    else if (kind == KIND_CUSTOM_FIELD)
        list_kind(c, kind, match_scope);
    else if (kind == KIND_CONTACT)
        list_kind(c, kind, match_contact);
    else
        list_kind(c, kind, NULL);
}

static void run_one(struct call *c, struct object *obj)
{
    if (strcmp(c->method, "DELETE") == 0) {
        answer_object(c, obj); /* two of them answer with what is gone */
        store_remove(&c->sb->store, obj);
        return;
    }
    if (strcmp(c->method, "GET") != 0)
        absorb(c, obj);
    answer_object(c, obj);
}

static void run_relation(struct call *c, struct object *obj, const struct relation *r)
{
    if (strcmp(c->method, "GET") == 0)
        list_related(c, obj, r->rel, r->other, r->reverse);
    else if (strcmp(c->method, "DELETE") == 0)
        join_all(c, obj, r, member_ids(c), true);
    else if (r->rel != REL_OWNS && r->rel != REL_PARENT && member_ids(c) != NULL)
        join_all(c, obj, r, member_ids(c), false);
    else
        run_create(c, r->other, obj, r);
}

/* Where the collection stands; "company" and "analytics" before it say nothing. */
static size_t collection_at(const struct operation *op)
{
    const char *first = op->segments[0];
    size_t at = strcmp(first, "company") == 0 || strcmp(first, "analytics") == 0 ? 1 : 0;
    if (at + 2 == op->n_segments && op->params[at + 1] == NULL)
        at++; /* /contacts/custom_fields */
    return at;
}

/* /collection, /collection/{id}, /collection/{id}/relation. */
static void run_generic(struct call *c)
{
    const struct operation *op = c->op;
    struct relation r;
    size_t at = collection_at(op);
    enum kind kind = kind_of_collection(op->segments[at]);
    if (at + 1 == op->n_segments) {
        run_collection(c, kind);
        return;
    }
    struct object *obj = find_param(c, kind, op->params[at + 1]);
    if (obj == NULL)
        return;
    if (at + 2 == op->n_segments)
        run_one(c, obj);
    else if (relation_find(kind, op->segments[at + 2], &r))
        run_relation(c, obj, &r);
}

/* Can run_generic do it? Asked once per operation, so that no request meets a gap. */
static bool generic_fits(const struct operation *op)
{
    struct relation r;
    size_t at = collection_at(op);
    if (at >= op->n_segments || op->segments[at] == NULL)
        return false;
    enum kind kind = kind_of_collection(op->segments[at]);
    if (kind == KIND_NONE || op->n_segments > at + 3)
        return false;
    return op->n_segments < at + 3 || (op->segments[at + 2] != NULL &&
                                       relation_find(kind, op->segments[at + 2], &r));
}

int operations_bind(struct spec *sp, struct err *e)
{
    for (size_t i = 0; i < sp->n_operations; i++) {
        struct operation *op = &sp->operations[i];
        op->run = handler_conversation(op->name);
        if (op->run == NULL)
            op->run = handler_message(op->name);
        if (op->run == NULL)
            op->run = handler_contact(op->name);
        if (op->run == NULL)
            op->run = handler_other(op->name);
        if (op->run == NULL && generic_fits(op))
            op->run = run_generic;
        if (op->run == NULL)
            return err_set(e, ERR_SETTINGS, "catalogue: %s has no behaviour here",
                           op->name);
    }
    return 0;
}
