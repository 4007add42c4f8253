/* Objects as Front's JSON: the shape says which fields there are, the object has those
 * that were given, edges give links and embedded resources, the rest is the type's empty
 * value. */
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

static json_t *render_fields(struct sandbox *sb, const struct object *obj,
                             const struct field *fields, size_t n, bool links);

static json_t *url_text(const struct sandbox *sb, const char *path)
{
    return json_sprintf("%s%s", sb->url, path);
}

json_t *render_links(struct sandbox *sb, const char *path)
{
    return json_pack("{s:o}", "self", url_text(sb, path));
}

static json_t *url_of(const struct sandbox *sb, const struct object *obj)
{
    if (obj == NULL)
        return json_null();
    return json_sprintf("%s/%s/%s", sb->url, kinds[obj->kind].path, obj->id);
}

static const struct object *by_own(struct sandbox *sb, const struct object *obj,
                                   enum kind kind, const char *name)
{
    const char *id = store_text(obj, name);
    return id[0] != '\0' ? find_object(sb, kind, id) : NULL;
}

static const struct object *parent_of(const struct object *obj, enum rel rel,
                                      enum kind kind)
{
    return store_related(obj, rel, kind, true);
}

static const struct object *owner_of(const struct object *obj)
{
    const struct object *o = parent_of(obj, REL_OWNS, KIND_TEAMMATE);
    return o != NULL ? o : parent_of(obj, REL_OWNS, KIND_TEAM);
}

static const struct object *conversation_of(const struct object *obj)
{
    const struct object *o = parent_of(obj, REL_HAS, KIND_CONVERSATION);
    return o != NULL ? o : parent_of(obj, REL_DRAFT, KIND_CONVERSATION);
}

/* What a link below _links.related leads to when it is not a list of the object itself.
 */
static const struct object *linked(struct sandbox *sb, const struct object *obj,
                                   const char *name)
{
    if (strcmp(name, "owner") == 0)
        return owner_of(obj);
    if (strcmp(name, "conversation") == 0)
        return conversation_of(obj);
    if (strcmp(name, "inbox") == 0)
        return parent_of(obj, REL_HAS, KIND_INBOX);
    if (strcmp(name, "parent_tag") == 0 || strcmp(name, "parent_folder") == 0 ||
        strcmp(name, "parent_category") == 0)
        return parent_of(obj, REL_PARENT,
                         obj->kind == KIND_TEMPLATE ? KIND_FOLDER : obj->kind);
    if (strcmp(name, "knowledge_base") == 0)
        return parent_of(obj, REL_HAS, KIND_KNOWLEDGE_BASE);
    if (strcmp(name, "category") == 0)
        return parent_of(obj, REL_HAS, KIND_CATEGORY);
    if (strcmp(name, "message") == 0)
        return parent_of(obj, REL_HAS, KIND_MESSAGE);
    if (strcmp(name, "teammate") == 0)
        return parent_of(obj, REL_OWNS, KIND_TEAMMATE);
    if (strcmp(name, "author") == 0 || strcmp(name, "last_editor") == 0)
        return by_own(sb, obj, KIND_TEAMMATE, "_author");
    if (strcmp(name, "comment_replied_to") == 0 ||
        strcmp(name, "message_replied_to") == 0)
        return by_own(sb, obj, obj->kind, "_replied_to");
    if (strcmp(name, "last_message") == 0)
        return by_own(sb, obj, KIND_MESSAGE, "_last_message");
    return NULL;
}

/* "/contacts/{crd}/notes": the object's own list when the prefix is its own. */
static json_t *render_link(struct sandbox *sb, const struct object *obj,
                           const struct field *f)
{
    const char *open = f->link != NULL ? strchr(f->link, '{') : NULL;
    const char *shut = open != NULL ? strchr(open, '}') : NULL;
    bool up =
        strncmp(f->name, "parent_", 7) == 0 || strstr(f->name, "replied_to") != NULL;
    if (strcmp(f->name, "self") == 0 ||
        (shut != NULL && !up && shut - open == 4 &&
         strncmp(open + 1, kinds[obj->kind].prefix, 3) == 0)) {
        if (shut == NULL)
            return url_of(sb, obj);
        return json_sprintf("%s%.*s%s%s", sb->url, (int)(open - f->link), f->link,
                            obj->id, shut + 1);
    }
    return url_of(sb, linked(sb, obj, f->name));
}

static json_t *render_child(struct sandbox *sb, const struct object *obj,
                            const struct field *f)
{
    return obj != NULL ? render(sb, obj, f->shape) : json_null();
}

/* All that `obj` is joined with: reverse = among its parents. */
static json_t *render_joined(struct sandbox *sb, const struct object *obj,
                             const struct field *f, enum rel rel, enum kind kind,
                             bool reverse)
{
    json_t *all = json_array();
    const struct edge *ed;
    if (reverse) {
        TAILQ_FOREACH (ed, &obj->in, in)
            if (ed->rel == rel && ed->parent->kind == kind)
                (void)json_array_append_new(all, render(sb, ed->parent, f->shape));
        return all;
    }
    TAILQ_FOREACH (ed, &obj->out, out)
        if (ed->rel == rel && ed->child->kind == kind)
            (void)json_array_append_new(all, render(sb, ed->child, f->shape));
    return all;
}

static json_t *render_files(struct sandbox *sb, const struct object *obj,
                            const struct field *f)
{
    json_t *all = json_array();
    const json_t *ids = json_object_get(obj->own, "_files");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        const struct object *file = store_find(&sb->store, KIND_FILE, id);
        if (file != NULL)
            (void)json_array_append_new(all, render(sb, file, f->shape));
    }
    return all;
}

static json_t *render_embedded(struct sandbox *sb, const struct object *obj,
                               const struct field *f)
{
    const char *name = f->name;
    if (strcmp(name, "author") == 0)
        return render_child(sb, by_own(sb, obj, KIND_TEAMMATE, "_author"), f);
    if (strcmp(name, "assignee") == 0)
        return render_child(sb, parent_of(obj, REL_ASSIGNED, KIND_TEAMMATE), f);
    if (strcmp(name, "signature") == 0)
        return render_child(sb, by_own(sb, obj, KIND_SIGNATURE, "_signature"), f);
    if (strcmp(name, "attachments") == 0)
        return render_files(sb, obj, f);
    if (strcmp(name, "tags") == 0)
        return render_joined(sb, obj, f, REL_HAS, KIND_TAG, true);
    if (strcmp(name, "links") == 0)
        return render_joined(sb, obj, f, REL_HAS, KIND_LINK, true);
    if (strcmp(name, "lists") == 0 || strcmp(name, "groups") == 0)
        return render_joined(sb, obj, f, REL_HAS, KIND_CONTACT_LIST, true);
    if (strcmp(name, "inboxes") == 0)
        return render_joined(sb, obj, f, REL_OWNS, KIND_INBOX, false);
    if (strcmp(name, "members") == 0)
        return render_joined(sb, obj, f, REL_MEMBER, KIND_TEAMMATE, false);
    if (f->array)
        return json_array();
    return f->nullable ? json_null() : json_object();
}

/* The type's empty value. NULL: the field is left out. */
static json_t *render_empty(struct sandbox *sb, const struct object *obj,
                            const struct field *f)
{
    if (f->array)
        return json_array();
    switch (f->type) {
    case FIELD_OBJECT:
        return render_fields(sb, obj, f->fields, f->n_fields,
                             strcmp(f->name, "_links") == 0);
    case FIELD_SHAPE:
        return render_embedded(sb, obj, f);
    case FIELD_JSON:
    case FIELD_MAP:
        return json_object();
    case FIELD_BOOLEAN:
        return json_false();
    case FIELD_STRING:
    case FIELD_LONG:
    case FIELD_DOUBLE:
    case FIELD_TIME:
    case FIELD_FILE:
        break;
    }
    if (f->nullable || !f->required)
        return f->nullable ? json_null() : NULL;
    if (f->type == FIELD_STRING)
        return json_string(
            f->values != NULL ? json_string_value(json_array_get(f->values, 0)) : "");
    return json_integer(0);
}

static json_t *render_field(struct sandbox *sb, const struct object *obj,
                            const struct field *f, bool links)
{
    json_t *own = json_object_get(obj->own, f->name);
    if (links && f->type == FIELD_STRING)
        return render_link(sb, obj, f);
    if (strcmp(f->name, "id") == 0 || strcmp(f->name, "uid") == 0)
        return json_string(obj->id);
    if (own != NULL)
        return json_incref(own);
    if (f->type == FIELD_SHAPE && f->shape != NULL)
        return render_embedded(sb, obj, f);
    if (strcmp(f->name, "url") == 0 && f->link != NULL)
        return render_link(sb, obj, f);
    return render_empty(sb, obj, f);
}

static json_t *render_fields(struct sandbox *sb, const struct object *obj,
                             const struct field *fields, size_t n, bool links)
{
    json_t *j = json_object();
    for (size_t i = 0; i < n; i++) {
        bool below = links || strcmp(fields[i].name, "_links") == 0;
        json_t *v =
            below && fields[i].type == FIELD_OBJECT
                ? render_fields(sb, obj, fields[i].fields, fields[i].n_fields, true)
                : render_field(sb, obj, &fields[i], links);
        if (v != NULL)
            (void)json_object_set_new_nocheck(j, fields[i].name, v);
    }
    return j;
}

json_t *render(struct sandbox *sb, const struct object *obj, const struct shape *shape)
{
    return render_fields(sb, obj, shape->fields, shape->n_fields, false);
}
