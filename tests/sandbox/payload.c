/* Events as Front's JSON: full, or as a preview that has only ids, links and types. What
 * an event names may be gone by now; then its id and link are left. */
#include <string.h>

#include "sandbox.h"

static json_t *stub(const struct sandbox *sb, const char *id)
{
    enum kind kind = kind_of_prefix(id);
    return json_pack(
        "{s:{s:o}, s:s}", "_links", "self",
        json_sprintf("%s/%s/%s", sb->url, kind != KIND_NONE ? kinds[kind].path : "", id),
        "id", id);
}

static json_t *resource(struct sandbox *sb, const char *id, bool preview)
{
    enum kind kind = kind_of_prefix(id);
    const struct object *obj =
        kind != KIND_NONE ? store_find(&sb->store, kind, id) : NULL;
    if (obj == NULL || preview)
        return stub(sb, id);
    return render(sb, obj, spec_shape(&sb->spec, kinds[kind].shape));
}

/* Who a message could not be delivered to: the id is the message's. */
static json_t *first_recipient(struct sandbox *sb, const char *id)
{
    const struct object *msg = store_find(&sb->store, KIND_MESSAGE, id);
    json_t *all = msg != NULL ? json_object_get(msg->own, "recipients") : NULL;
    json_t *first = json_array_get(all, 0);
    return first != NULL ? json_incref(first) : json_null();
}

static json_t *side(struct sandbox *sb, const char *type, const char *id, bool preview)
{
    json_t *data = NULL;
    if (type == NULL)
        return json_null();
    if (id[0] == '\0')
        data = json_null();
    else if (strcmp(type, "recipient") == 0)
        data = first_recipient(sb, id);
    else if (strcmp(type, "deleted_conversation_ids") == 0)
        data = json_pack("[s]", id);
    else if (strcmp(type, "inboxes") == 0) /* Front gives inboxes as a list */
        data = json_pack("[o]", resource(sb, id, preview));
    else
        data = resource(sb, id, preview);
    return json_pack("{s:{s:s}, s:o}", "_meta", "type", type, "data", data);
}

json_t *render_event(struct sandbox *sb, const struct event *ev, bool preview)
{
    char id[EVENT_ID_MAX], path[64];
    event_id(&sb->events, ev->n, id);
    snprintf(path, sizeof path, "/events/%s", id);
    return json_pack("{s:o, s:s, s:s, s:f, s:o, s:o, s:o}", "_links",
                     render_links(sb, path), "id", id, "type", ev->type->name,
                     "emitted_at", ev->emitted_at, "source",
                     side(sb, ev->source_type, ev->source, preview), "target",
                     side(sb, ev->type->target, ev->target, preview), "conversation",
                     resource(sb, ev->conversation, preview));
}
