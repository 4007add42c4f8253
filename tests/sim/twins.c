/* Commands with one id, judged: a repeat is answered as the first was and costs no
 * request, one with another content is refused, and two never run at the same time. What
 * is durable is known to whoever has read the tail of the results. Owns nothing. */
#include "checker.h"

#include <string.h>

static bool are_twins(const struct cmd *a, const struct cmd *b)
{
    return a != b && a->id != NULL && b->id != NULL && a->part == b->part &&
           strcmp(a->id, b->id) == 0;
}

static bool same_text(const struct cmd *a, const struct cmd *b)
{
    return str_eq(a->value, b->value);
}

bool twins_any(const struct world *w, const struct cmd *c)
{
    for (int i = 0; i < w->n_cmds; i++)
        if (are_twins(c, &w->cmds[i]))
            return true;
    return false;
}

/* The answer that counts for this id. A refusal says nothing of the command whose id it
 * came with: the last answer that is none, else the first refusal. */
static const struct cmd *answer_for(const struct world *w, const struct cmd *c)
{
    const struct cmd *last = NULL, *refusal = NULL;
    for (int i = 0; i < w->n_cmds; i++) {
        const struct cmd *o = &w->cmds[i];
        if (!are_twins(c, o) || o->results == 0 || o->replayed || o->reused)
            continue;
        if (o->outcome == REJECTED &&
            (refusal == NULL || o->answer_serial < refusal->answer_serial))
            refusal = o;
        if (o->outcome != REJECTED &&
            (last == NULL || o->answer_serial > last->answer_serial))
            last = o;
    }
    return last != NULL ? last : refusal;
}

static bool is_head(const struct world *w, const struct cmd *c)
{
    for (int i = 0; i < w->n_cmds; i++) {
        const struct cmd *o = &w->cmds[i];
        if (o->key >= 0 && o->key == c->key && o->part == c->part &&
            o->offset < c->offset && o->offset >= 0 && !o->aborted &&
            o->results + o->dead_letters == 0)
            return false;
    }
    return true;
}

/* Nobody knows yet what became of this one, and its own process waits for that. What a
 * new owner found armed has an id only from when its record comes, and it is opened: it
 * may come when the other has been begun. */
static bool is_open(const struct world *w, const struct cmd *o, const struct send *s)
{
    if (o->results > 0 || o->delivered_to != s->owner)
        return false;
    if (look_found_armed(o, s->inst, s->owner))
        return !look_proved(o, s->inst, s->owner) && is_head(w, o) &&
               o->delivered_turn <= w->cmds[s->cmd].delivered_turn;
    for (size_t i = 0; i < w->n_sends; i++) {
        const struct send *other = w->sends[i];
        if (other->cmd != o->index || other->owner != s->owner)
            continue;
        if (!other->ended || (o->kind == KIND_ONCE && other->evidence == EVIDENCE_NONE &&
                              !look_proves(o, s->inst, s->owner, other)))
            return true;
    }
    return false;
}

static bool sent_before(const struct world *w, const struct send *s)
{
    for (size_t i = 0; i < w->n_sends; i++)
        if (w->sends[i]->cmd == s->cmd && w->sends[i]->inst == s->inst &&
            w->sends[i]->life == s->life)
            return true;
    return false;
}

/* Its call is of a former assignment of this process, which kept what came of it. */
static bool was_kept(const struct world *w, const struct cmd *first, const struct send *s)
{
    bool kept = false;
    for (size_t i = 0; i < w->n_sends; i++) {
        const struct send *o = w->sends[i];
        if (o->cmd != first->index || o->inst != s->inst || o->life != s->life)
            continue;
        if (o->owner == s->owner)
            return false;
        kept = true;
    }
    return kept && first->answer_owner == s->owner;
}

/* IN_DOUBT in memory already, and that is no answer for one who wants it sent again; or
 * itself one that may run twice. */
static bool may_follow(const struct world *w, const struct cmd *c, const struct cmd *o)
{
    bool at_once = look_policy(w, o) == DOUBT_REPORT || strcmp(o->operation, "call") == 0;
    return look_policy(w, o) == DOUBT_RETRY ||
           (look_policy(w, c) == DOUBT_RETRY && at_once);
}

void twins_send(struct world *w, const struct send *s)
{
    const struct cmd *c = &w->cmds[s->cmd], *first;
    const struct instance *in = &w->instances[s->inst];
    if (c->id == NULL || w->dedupe_entries == 0)
        return;
    for (int i = 0; i < w->n_cmds; i++)
        if (are_twins(c, &w->cmds[i]) && is_open(w, &w->cmds[i], s) &&
            !may_follow(w, c, &w->cmds[i]))
            broken(w, "two with one id do not run at the same time", s->inst, c->part,
                   c->index, "#%d has no outcome yet", i);
    first = answer_for(w, c);
    /* What was found armed has its own way, and what was begun goes on. */
    if (first == NULL || look_found_armed(c, s->inst, s->owner) || sent_before(w, s) ||
        first->answer_owner > s->owner ||
        (in->k.unseeded[c->part] && first->answer_owner != s->owner))
        return;
    /* A refusal does not wait for the one that holds its id, and it is the first of
     * several that counts; nor does what was found armed, or was answered before the
     * partition went away and came back, and came later. */
    bool later = first->delivered_turn > c->delivered_turn &&
                 (was_kept(w, first, s) || look_found_armed(first, s->inst, s->owner));
    if (later || first->outcome == REJECTED)
        return;
    if (!same_text(first, c))
        broken(w, "another content under a used id costs no request", s->inst, c->part,
               c->index, "the id is #%d's", first->index);
    else if (first->outcome == SUCCEEDED ||
             (first->outcome == IN_DOUBT && look_policy(w, c) != DOUBT_RETRY))
        broken(w, "a repeat costs no request", s->inst, c->part, c->index,
               "#%d was answered", first->index);
}

void twins_result(struct world *w, int slot, const struct cmd *c)
{
    bool like = false, unlike = false;
    for (int i = 0; i < w->n_cmds; i++) {
        const struct cmd *o = &w->cmds[i];
        if (!are_twins(c, o) || o->results == 0 || o->replayed)
            continue;
        unlike |= !same_text(o, c);
        like |= same_text(o, c) && o->outcome == c->outcome &&
                (c->resource == NULL
                     ? o->resource == NULL
                     : o->resource != NULL && strcmp(o->resource, c->resource) == 0);
    }
    if (c->replayed && (!like || (c->outcome != SUCCEEDED && c->outcome != IN_DOUBT)))
        broken(w, "a repeat is answered as the first", slot, c->part, c->index,
               "no result is like it");
    if (c->reused && !unlike)
        broken(w, "a used id is one that was answered", slot, c->part, c->index,
               "no result has it with another content");
}
