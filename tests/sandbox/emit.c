/* A change leaves an event: who did it, to what, and how far the news goes. Webhooks are
 * made when the whole call is over (hooks_flush), so that they show its end. */
#include <assert.h>
#include <string.h>

#include "sandbox.h"

static void copy_id(char out[EVENT_ID_MAX], const struct object *obj)
{
    snprintf(out, EVENT_ID_MAX, "%s", obj != NULL ? obj->id : "");
}

static const struct object *first_of(const struct sandbox *sb, enum kind kind)
{
    return TAILQ_FIRST(&sb->store.lists[kind]);
}

/* A trigger says who did it, or it was a teammate. A call did it as the teammate it names
 * as author, else as the API. */
static const char *doer(struct call *c, const struct object **who)
{
    const char *source = c->op == NULL ? call_text(c, "source") : NULL;
    *who = author_of(c);
    if (source == NULL && c->op != NULL && *who == NULL)
        return "api";
    if (source != NULL && strcmp(source, "rule") == 0)
        *who = first_of(c->sb, KIND_RULE);
    else if (source != NULL && strcmp(source, "teammate") != 0)
        *who = NULL;
    else if (*who == NULL)
        *who = first_of(c->sb, KIND_TEAMMATE);
    return source != NULL ? event_source_find(source) : "teammate";
}

static bool is_private(const struct object *obj)
{
    return obj != NULL && json_is_true(json_object_get(obj->own, "is_private"));
}

struct event *event_add(struct call *c, const char *type, const struct object *cnv,
                        const struct object *target)
{
    struct event *ev = events_push(&c->sb->events);
    const struct object *inb = store_related(cnv, REL_HAS, KIND_INBOX, true), *who = NULL;
    ev->type = event_type_find(type);
    assert(ev->type != NULL);
    ev->emitted_at = sandbox_now(c->sb);
    ev->reach = is_private(cnv) || is_private(inb) ? REACH_RULES : REACH_ALL;
    copy_id(ev->conversation, cnv);
    copy_id(ev->inbox, inb);
    copy_id(ev->target, target);
    ev->source_type = ev->type->source;
    if (ev->source_type == NULL)
        ev->source_type = doer(c, &who);
    else if (strcmp(ev->source_type, "inboxes") == 0)
        who = inb;
    else if (strcmp(ev->source_type, "recipient") == 0)
        who = target;
    copy_id(ev->source, who);
    return ev;
}
