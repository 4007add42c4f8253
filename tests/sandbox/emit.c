/* A change leaves an event: who did it, to what, and how far the news goes. Webhooks are
 * made when the whole call is over (hooks_flush), so that they show its end. The events
 * of a call that makes a message come when the message has been built. */
#include <assert.h>
#include <stddef.h>
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

#define LATE_MAX 128 /* events of one call; a message may come with 100 tags */

/* The events of one call that wait for its message. */
struct late {
    struct sandbox *sb;
    struct timer timer;
    TAILQ_ENTRY(late) link;
    size_t n;
    struct event events[LATE_MAX];
};

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

static void late_free(struct late *la)
{
    timer_cancel(&la->sb->timers, &la->timer);
    TAILQ_REMOVE(&la->sb->lates, la, link);
    mem_free(la);
}

static void on_built(struct timer *t)
{
    struct late *la = (struct late *)(void *)((char *)t - offsetof(struct late, timer));
    struct sandbox *sb = la->sb;
    for (size_t i = 0; i < la->n; i++) {
        struct event *ev = events_push(&sb->events);
        uint64_t n = ev->n;
        *ev = la->events[i];
        ev->n = n;
        ev->emitted_at = sandbox_now(sb);
    }
    late_free(la);
    hooks_flush(sb);
}

void late_clear(struct sandbox *sb)
{
    while (!TAILQ_EMPTY(&sb->lates))
        late_free(TAILQ_FIRST(&sb->lates));
}

/* Where the next event of this call goes: the ring, or those that wait. */
static struct event *event_place(struct call *c)
{
    struct sandbox *sb = c->sb;
    if (c->built_ms <= 0)
        return events_push(&sb->events);
    if (c->late == NULL) {
        c->late = mem_zalloc(sizeof *c->late);
        c->late->sb = sb;
        c->late->timer.fire = on_built;
        TAILQ_INSERT_TAIL(&sb->lates, c->late, link);
        timer_set(&sb->timers, &c->late->timer, c->built_ms);
    }
    return c->late->n < LATE_MAX ? &c->late->events[c->late->n++]
                                 : events_push(&sb->events);
}

struct event *event_add(struct call *c, const char *type, const struct object *cnv,
                        const struct object *target)
{
    struct event *ev = event_place(c);
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
