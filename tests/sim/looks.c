/* Calls in doubt, judged: when a look may leave, what its answer proves, and whether an
 * IN_DOUBT was really undecidable. Knows what Front showed, not what the engine made of
 * it. Owns the `looks` of the commands. */
#include "checker.h"

#include <string.h>

enum { LOOK_WAIT_MS = 10000, SKEW_MS = 2000 };

enum in_doubt_policy look_policy(const struct world *w, const struct cmd *c)
{
    return c->policy >= 0 ? (enum in_doubt_policy)c->policy : w->policy;
}

static bool has_list(const struct cmd *c)
{
    return c->kind == KIND_ONCE && strcmp(c->operation, "call") != 0;
}

struct looks *looks_of(struct cmd *c, int slot, uint64_t owner)
{
    struct looks *l = &c->looks[slot];
    if (l->owner != owner) {
        c->before[slot] = *l;
        *l = (struct looks){.owner = owner};
    }
    return l;
}

bool look_found_armed(const struct cmd *c, int slot, uint64_t owner)
{
    return c->looks[slot].owner == owner && c->looks[slot].found_armed;
}

bool look_proved(const struct cmd *c, int slot, uint64_t owner)
{
    return c->looks[slot].owner == owner && c->looks[slot].proved_at > 0;
}

bool look_proves(const struct cmd *c, int slot, uint64_t owner, const struct send *s)
{
    return look_proved(c, slot, owner) && s->at < c->looks[slot].proved_at;
}

bool look_lease_over(const struct world *w, const struct cmd *c, int slot, uint64_t owner)
{
    const struct looks *l = &c->looks[slot];
    return look_found_armed(c, slot, owner) && w->now >= l->read_at + l->lease;
}

static const struct send *last_send(const struct world *w, int cmd)
{
    for (size_t i = w->n_sends; i > 0; i--)
        if (w->sends[i - 1]->cmd == cmd)
            return w->sends[i - 1];
    return NULL;
}

bool look_waited(const struct world *w, const struct instance *in, const struct cmd *c)
{
    const struct send *s = last_send(w, c->index);
    if (s != NULL && s->inst == in->slot && s->life == in->life)
        return s->ended && w->now - s->learnt_at >= LOOK_WAIT_MS;
    return look_lease_over(w, c, in->slot, in->k.owner);
}

void look_begins(struct world *w, const struct instance *in, int cmd)
{
    struct cmd *c = &w->cmds[cmd];
    struct looks *l = looks_of(c, in->slot, in->k.owner);
    trace(w, in->slot, c->part, cmd, "look", (int64_t)in->k.owner, l->absent, NULL);
    if (look_policy(w, c) != DOUBT_PROBE || !has_list(c))
        broken(w, "who was not told to does not look", in->slot, c->part, cmd, "%s",
               c->operation);
    /* A read may come from one that does not know yet that it has lost the partition. */
    if (!look_waited(w, in, c) && w->durable[c->part].owner <= in->k.owner)
        broken(w, "a look waits for the lease, or for 10 s", in->slot, c->part, cmd,
               "the string was read at %.3f s, its lease is %lld ms",
               (double)l->read_at / 1000, (long long)l->lease);
    l->life = in->life;
    l->asked_at = w->now;
}

/* It surely knows that this row is another command's: of that command's result. */
static bool is_known(const struct world *w, const struct instance *in,
                     const struct row *row, const struct cmd *about)
{
    char id[32];
    if (row->cmd < 0)
        return false;
    const struct cmd *c = &w->cmds[row->cmd];
    if (c->results == 0 || c->resource == NULL ||
        strcmp(c->resource, list_id(w, row->cmd, row->made, id)) != 0)
        return false;
    return c->answer_owner == in->k.owner || !in->k.unseeded[about->part];
}

/* It may know it: from an answer that it has, and nobody else. */
static bool may_be_known(const struct world *w, const struct instance *in,
                         const struct row *row)
{
    for (size_t i = 0; i < w->n_sends; i++) {
        const struct send *s = w->sends[i];
        if (s->cmd == row->cmd && s->inst == in->slot && s->life == in->life &&
            s->evidence == EVIDENCE_DONE)
            return true;
    }
    return row->cmd >= 0 && w->cmds[row->cmd].results > 0;
}

/* Another one of the same text may have made it: nobody knows its outcome, or its result
 * does not say what it made. */
static bool is_contested(const struct world *w, const struct cmd *about)
{
    for (int i = 0; i < w->n_cmds; i++) {
        const struct cmd *c = &w->cmds[i];
        if (i != about->index && c->thing == about->thing && c->offset >= 0 &&
            !c->aborted &&
            (c->results == 0 || c->outcome == IN_DOUBT ||
             (c->outcome == SUCCEEDED &&
              (c->resource == NULL || strncmp(c->resource, "cnv_", 4) == 0))))
            return true;
    }
    return false;
}

/* `absent`: whoever knows all that can be known sees nothing of it here. */
static enum look_end read_list(const struct world *w, const struct instance *in,
                               const struct cmd *c, const struct list *list, bool *absent)
{
    int own = 0, others = 0, strangers = 0;
    bool older = false;
    for (int i = 0; i < list->n; i++) {
        const struct row *row = &list->rows[i];
        older = EPOCH_MS + row->at < (int64_t)c->arm_second * 1000 - SKEW_MS;
        if (older || !row->api)
            continue;
        own += row->cmd == c->index;
        if (row->cmd != c->index && !is_known(w, in, row, c)) {
            others++;
            strangers += !may_be_known(w, in, row);
        }
    }
    bool whole = list->whole || older;
    *absent = whole && own == 0 && strangers == 0;
    if (!whole || others > 0 || own > 1)
        return LOOK_UNCLEAR;
    if (own == 0)
        return LOOK_ABSENT;
    return in->k.unseeded[c->part] || is_contested(w, c) ? LOOK_UNCLEAR : LOOK_FOUND;
}

/* Two absent looks, 10 s apart, prove for one owner, once. */
static void prove(const struct world *w, const struct cmd *c, struct looks *l)
{
    if (c->proves && l->proved_at == 0)
        l->proved_at = w->now;
}

void look_ends(struct world *w, const struct instance *in, int cmd,
               const struct list *list, bool refused, bool counts)
{
    struct cmd *c = &w->cmds[cmd];
    struct looks *l = &c->looks[in->slot];
    if (l->owner != in->k.owner)
        return;
    if (list == NULL) {
        l->failures += counts;
        if (refused || l->failures >= in->options.retry_max_attempts)
            l->last = LOOK_REFUSED;
        return;
    }
    l->failures = 0;
    bool absent;
    l->last = read_list(w, in, c, list, &absent);
    trace(w, in->slot, c->part, cmd, "look.end", l->last, list->n, NULL);
    if (!absent)
        return;
    l->absent++;
    if (l->absent == 1)
        l->absent_at = w->now;
    else if (l->asked_at - l->absent_at >= LOOK_WAIT_MS)
        prove(w, c, l);
}

/* As often as it may be sent by its process. */
static bool all_tried(const struct world *w, const struct instance *in,
                      const struct cmd *c)
{
    int64_t n = 1; /* what was found armed counts as one */
    for (size_t i = 0; i < w->n_sends; i++)
        n += w->sends[i]->cmd == c->index && w->sends[i]->inst == in->slot &&
             w->sends[i]->life == in->life && !w->sends[i]->limited;
    return n >= in->options.retry_max_attempts;
}

/* The time for its tries has passed since the first. */
static bool is_late(const struct world *w, const struct instance *in, const struct cmd *c)
{
    int64_t most = in->options.retry_max_ms - in->options.retry_backoff_max_ms;
    for (size_t i = 0; i < w->n_sends; i++)
        if (w->sends[i]->cmd == c->index && w->sends[i]->inst == in->slot &&
            w->sends[i]->life == in->life)
            return w->now - w->sends[i]->at >= most;
    return false;
}

void look_judge_doubt(struct world *w, int slot, const struct cmd *c)
{
    const struct instance *in = &w->instances[slot];
    const struct looks *l = &c->looks[slot];
    const struct send *s = last_send(w, c->index);
    enum in_doubt_policy policy = look_policy(w, c);
    /* An answer may outlive its partition, and its owner. */
    if (l->last == LOOK_NONE && c->before[slot].life == in->life)
        l = &c->before[slot];
    bool resent = c->looks[slot].resent ||
                  (c->before[slot].life == in->life && c->before[slot].resent);
    bool looked = l->life == in->life && l->last != LOOK_NONE;
    if (s != NULL && s->owner == in->k.owner && s->evidence == EVIDENCE_DONE)
        broken(w, "what is known to be executed is not IN_DOUBT", slot, c->part, c->index,
               "its answer said so");
    /* Or when the last one was refused, or its time is over: of the first nobody knows.
     * The answer may have come while the partition was away. */
    bool known = s != NULL && (s->owner == in->k.owner ||
                               (s->inst == in->slot && s->life == in->life));
    bool last_one = all_tried(w, in, c) || c->deadline != 0 || is_late(w, in, c) ||
                    (known && s->evidence == EVIDENCE_NOT);
    if (policy == DOUBT_RETRY && !last_one)
        broken(w, "with retry IN_DOUBT comes last", slot, c->part, c->index,
               "it was not sent as often as it may be");
    if (policy != DOUBT_PROBE || !has_list(c))
        return;
    if (!looked)
        broken(w, "IN_DOUBT only after a look", slot, c->part, c->index, "none");
    else if (l->last == LOOK_FOUND)
        broken(w, "what is found alone is not IN_DOUBT", slot, c->part, c->index,
               "the last look showed it");
    else if (l->last == LOOK_ABSENT && l->absent < 2)
        broken(w, "IN_DOUBT only after two looks", slot, c->part, c->index, "one");
    else if (l->last == LOOK_ABSENT && c->proves && !resent)
        broken(w, "what surely was not executed is not IN_DOUBT", slot, c->part, c->index,
               "two looks proved it");
}
