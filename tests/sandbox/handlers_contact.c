/* Contacts: a handle belongs to one contact, merging, notes, lists by name; and links,
 * which have a key of their own too. */
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

struct handler {
    const char *operation;
    operation_fn *run;
};

static const char *part_of(const json_t *handle, const char *name)
{
    const char *text = json_string_value(json_object_get(handle, name));
    return text != NULL ? text : "";
}

/* Answers 409 when a handle belongs to another contact. */
static bool handles_free(struct call *c, const json_t *handles, const struct object *self)
{
    char ids[256] = "";
    size_t at = 0;
    for (size_t i = 0; i < json_array_size(handles); i++) {
        const json_t *h = json_array_get(handles, i);
        const struct object *other = store_by_alias(
            &c->sb->store, KIND_CONTACT, part_of(h, "source"), part_of(h, "handle"));
        if (other == NULL || other == self || at + strlen(other->id) + 3 > sizeof ids)
            continue;
        at += (size_t)snprintf(ids + at, sizeof ids - at, "%s%s", at > 0 ? ", " : "",
                               other->id);
    }
    if (at == 0)
        return true;
    call_error(c, 409, "Conflict",
               "Handle(s) already in use by the following contact(s): %s", ids);
    return false;
}

static void handle_add(struct call *c, struct object *crd, const json_t *h)
{
    json_t *own = json_object_get(crd->own, "handles");
    if (!store_alias(&c->sb->store, crd, part_of(h, "source"), part_of(h, "handle")))
        return;
    if (own == NULL) {
        own = json_array();
        store_set(crd, "handles", own);
    }
    (void)json_array_append_new(own,
                                json_pack("{s:s, s:s}", "handle", part_of(h, "handle"),
                                          "source", part_of(h, "source")));
}

static struct object *list_named(struct call *c, const char *name)
{
    struct object *grp;
    TAILQ_FOREACH (grp, &c->sb->store.lists[KIND_CONTACT_LIST], of_kind)
        if (!grp->hidden && strcmp(store_text(grp, "name"), name) == 0)
            return grp;
    grp = store_add(&c->sb->store, KIND_CONTACT_LIST, NULL);
    store_set_text(grp, "name", name);
    return grp;
}

/* list_names (and the older group_names): missing lists are made. */
static void join_lists(struct call *c, struct object *crd)
{
    static const char *const fields[] = {"list_names", "group_names"};
    for (size_t k = 0; k < 2; k++) {
        const json_t *names = call_field(c, fields[k]);
        if (json_is_array(names))
            store_part_all(crd, REL_HAS, KIND_CONTACT_LIST, true);
        for (size_t i = 0; i < json_array_size(names); i++) {
            const char *name = json_string_value(json_array_get(names, i));
            if (name != NULL)
                (void)store_join(list_named(c, name), REL_HAS, crd);
        }
    }
}

static void contact_write(struct call *c, struct object *crd)
{
    absorb(c, crd); /* not its handles: they come one by one */
    if (json_object_get(call_field(c, "avatar"), "_file") != NULL)
        store_set(crd, "avatar_url",
                  json_sprintf("%s/contacts/%s/avatar", c->sb->url, crd->id));
    join_lists(c, crd);
}

static void create_contact(struct call *c)
{
    const json_t *handles = call_field(c, "handles");
    struct object *owner = NULL;
    if (c->op->params[1] != NULL) {
        owner = find_param(c, kind_of_param(c->op->params[1]), c->op->params[1]);
        if (owner == NULL)
            return;
    }
    if (!handles_free(c, handles, NULL))
        return;
    struct object *crd = store_add(&c->sb->store, KIND_CONTACT, NULL);
    contact_write(c, crd);
    store_set(crd, "is_private",
              json_boolean(owner != NULL && owner->kind == KIND_TEAMMATE));
    for (size_t i = 0; i < json_array_size(handles); i++)
        handle_add(c, crd, json_array_get(handles, i));
    if (owner != NULL)
        (void)store_join(owner, REL_OWNS, crd);
    answer_object(c, crd);
}

static void update_contact(struct call *c)
{
    struct object *crd = find_param(c, KIND_CONTACT, "contact_id");
    if (crd != NULL)
        contact_write(c, crd);
}

static void add_handle(struct call *c)
{
    struct object *crd = find_param(c, KIND_CONTACT, "contact_id");
    if (crd == NULL)
        return;
    json_t *one = json_pack("[O]", c->json);
    if (handles_free(c, one, crd) &&
        store_by_alias(&c->sb->store, KIND_CONTACT, part_of(c->json, "source"),
                       part_of(c->json, "handle")) == NULL)
        handle_add(c, crd, c->json);
    json_decref(one);
}

static void delete_handle(struct call *c)
{
    struct object *crd = find_param(c, KIND_CONTACT, "contact_id");
    json_t *own = crd != NULL ? json_object_get(crd->own, "handles") : NULL, *h;
    size_t i;
    if (crd == NULL)
        return;
    json_array_foreach(own, i, h)
    {
        if (strcmp(part_of(h, "handle"), part_of(c->json, "handle")) != 0 ||
            strcmp(part_of(h, "source"), part_of(c->json, "source")) != 0)
            continue;
        if (json_array_size(own) == 1 && !json_is_true(call_field(c, "force"))) {
            call_error(c, 400, "Bad request",
                       "The last handle of a contact can only be deleted with force");
            return;
        }
        store_unalias(&c->sb->store, crd, part_of(h, "source"), part_of(h, "handle"));
        (void)json_array_remove(own, i);
        return;
    }
    if (crd->hidden) /* the example contact takes the example body */
        return;
    call_error(c, 404, "Not found", "The contact has no such handle");
}

/* Everything of `from` goes to `into`; `from` is gone. */
static void merge_one(struct call *c, struct object *into, struct object *from)
{
    json_t *handles = json_incref(json_object_get(from->own, "handles"));
    struct edge *ed;
    if (into == from) {
        json_decref(handles);
        return;
    }
    TAILQ_FOREACH (ed, &from->out, out)
        (void)store_join(into, ed->rel, ed->child);
    TAILQ_FOREACH (ed, &from->in, in)
        (void)store_join(ed->parent, ed->rel, into);
    store_remove(&c->sb->store, from);
    for (size_t i = 0; i < json_array_size(handles); i++)
        handle_add(c, into, json_array_get(handles, i));
    json_decref(handles);
}

static void merge_contacts(struct call *c)
{
    const json_t *ids = call_field(c, "contact_ids");
    const char *target = call_text(c, "target_contact_id");
    if (target == NULL)
        target = json_string_value(json_array_get(ids, 0));
    struct object *into =
        target != NULL ? find_object(c->sb, KIND_CONTACT, target) : NULL;
    if (into == NULL) {
        call_unknown(c, KIND_CONTACT, target != NULL ? target : "");
        return;
    }
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        struct object *from = id != NULL ? find_object(c->sb, KIND_CONTACT, id) : NULL;
        if (from != NULL)
            merge_one(c, into, from);
    }
    answer_object(c, into);
}

static void add_note(struct call *c)
{
    struct object *crd = find_param(c, KIND_CONTACT, "contact_id");
    struct object *tea = crd != NULL ? find_field(c, KIND_TEAMMATE, "author_id") : NULL;
    if (tea == NULL)
        return;
    struct object *note = store_add(&c->sb->store, KIND_NOTE, NULL);
    absorb(c, note);
    store_set_text(note, "_author", tea->id);
    (void)store_join(crd, REL_HAS, note);
    answer_object(c, note);
}

static void create_link(struct call *c)
{
    const char *url = call_text(c, "external_url"), *name = call_text(c, "name");
    struct object *top =
        url != NULL ? store_by_alias(&c->sb->store, KIND_LINK, "url", url) : NULL;
    if (top == NULL) { /* the same URL again is the same link */
        top = store_add(&c->sb->store, KIND_LINK, NULL);
        absorb(c, top);
        store_set_text(top, "name", name != NULL ? name : url);
        store_set_text(top, "type", "web");
        (void)store_alias(&c->sb->store, top, "url", url);
    }
    answer_object(c, top);
}

static void write_account(struct call *c)
{
    struct object *acc = strcmp(c->method, "POST") == 0
                             ? store_add(&c->sb->store, KIND_ACCOUNT, NULL)
                             : find_param(c, KIND_ACCOUNT, "account_id");
    if (acc == NULL)
        return;
    absorb(c, acc);
    const json_t *domains = json_object_get(acc->own, "domains");
    for (size_t i = 0; i < json_array_size(domains); i++) {
        const char *domain = json_string_value(json_array_get(domains, i));
        if (domain != NULL)
            (void)store_alias(&c->sb->store, acc, "domain", domain);
    }
    if (store_text(acc, "external_id")[0] != '\0')
        (void)store_alias(&c->sb->store, acc, "ext_id", store_text(acc, "external_id"));
    answer_object(c, acc);
}

static const struct handler handlers[] = {
    {"create-contact", create_contact},
    {"create-team-contact", create_contact},
    {"create-teammate-contact", create_contact},
    {"update-a-contact", update_contact},
    {"add-contact-handle", add_handle},
    {"delete-contact-handle", delete_handle},
    {"merge-contacts", merge_contacts},
    {"add-note", add_note},
    {"create-link", create_link},
    {"create-account", write_account},
    {"update-account", write_account},
};

operation_fn *handler_contact(const char *operation)
{
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
        if (strcmp(handlers[i].operation, operation) == 0)
            return handlers[i].run;
    return NULL;
}
