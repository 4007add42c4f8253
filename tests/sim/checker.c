/* The promises, judged from outside: what left, what Front did, what became durable.
 * Owns nothing. */
#include "checker.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codec/records/job.h"
#include "codec/records/result.h"

enum { LOOP_STALL_MS = 2000, SEND_BY_MS = 5000, DOUBT_WAIT_MS = 10000 };

void broken(struct world *w, const char *rule, int inst, int part, int cmd,
            const char *fmt, ...)
{
    char text[300];
    va_list ap;
    if (w->failed)
        return;
    w->failed = true;
    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    if (!w->print)
        trace_tail(w, inst, part, cmd, w->brief ? 0 : 100);
    printf("seed %llu at %.3f s: broken: %s: i%d p%d #%d: %s\n",
           (unsigned long long)w->seed, (double)w->now / 1000, rule, inst, part, cmd,
           text);
}

/* --- what leaves --- */

static bool same_lane(const struct cmd *a, const struct cmd *b)
{
    return a->key >= 0 && a->key == b->key && a->part == b->part;
}

static void check_lane(struct world *w, const struct send *s)
{
    const struct cmd *c = &w->cmds[s->cmd];
    for (int i = 0; i < w->n_cmds; i++) {
        const struct cmd *o = &w->cmds[i];
        /* What had expired in memory may be alive for the next owner, whose wall clock is
         * another; and what was answered in memory as a repeat, or refused as a used id,
         * may have to be executed when that answer is lost. And a read may come from one
         * that does not know yet that it has lost the partition: the gate holds only what
         * changes something. */
        bool reads = c->kind == KIND_READ || o->kind == KIND_READ;
        if (c->sends == 0 && c->deadline == 0 && same_lane(c, o) &&
            o->offset > c->offset && o->sends > 0 &&
            (!reads || o->first_owner == s->owner) && !twins_any(w, c) &&
            !(w->instances[s->inst].was_deaf && o->first_owner > s->owner))
            broken(w, "a key's commands are sent in order", s->inst, c->part, c->index,
                   "#%d, which is later, was sent before", i);
    }
    for (size_t i = 0; i < w->n_sends; i++) {
        const struct send *o = w->sends[i];
        /* One that outlived its partition may run on, when another owner has answered. */
        if (!o->ended && o->inst == s->inst && o->life == s->life &&
            w->cmds[o->cmd].results == 0 && same_lane(c, &w->cmds[o->cmd]))
            broken(w, "a key's commands run one at a time", s->inst, c->part, c->index,
                   "#%d still runs", o->cmd);
    }
}

/* What the send gate promises of its own process, whoever else may be there. */
static void check_gate(struct world *w, const struct send *s, const struct instance *in)
{
    const struct cmd *c = &w->cmds[s->cmd];
    const struct client *k = &in->k;
    if (w->now - in->turned_at >= LOOP_STALL_MS)
        broken(w, "who stood still does not send", s->inst, c->part, c->index,
               "the last turn began %lld ms ago", (long long)(w->now - in->turned_at));
    if (k->fresh_at < 0 || w->now - k->fresh_at >= w->session_ms / 2)
        broken(w, "who sends has committed a tick just now", s->inst, c->part, c->index,
               "the last one at %lld ms", (long long)k->fresh_at);
    if (k->current == 0 || k->told_lost)
        broken(w, "who has lost its assignment does not send", s->inst, c->part, c->index,
               "it was told so");
    if (k->reading_again[c->part])
        broken(w, "while the position is read again nothing is sent", s->inst, c->part,
               c->index, "no answer yet");
    if (c->kind == KIND_ONCE && c->arm_owner == s->owner && c->arm_handed >= 0 &&
        w->now - c->arm_handed > SEND_BY_MS)
        broken(w, "an arming is good for 5 s", s->inst, c->part, c->index, "%lld ms old",
               (long long)(w->now - c->arm_handed));
}

void check_arming_over(struct world *w, uint64_t owner, int cmd)
{
    for (int i = cmd >= 0 ? cmd : 0; i < (cmd >= 0 ? cmd + 1 : w->n_cmds); i++)
        if (cmd >= 0 || w->cmds[i].arm_owner == owner) {
            w->cmds[i].arm_handed = -1;
            w->cmds[i].arm_over = w->now;
        }
}

void check_tail(struct world *w, const struct instance *in, int part)
{
    if (in->k.unseeded[part])
        return;
    for (int i = 0; i < w->n_cmds; i++) {
        const struct cmd *c = &w->cmds[i];
        /* With other counts a list's result may come from who owns another partition. */
        if (c->walk.job && !in->k.parts[JOBS + c->part % w->n_jobs_parts])
            continue;
        if (c->part == part && c->results > 0 && c->answer_owner < in->k.owner &&
            c->answer_offset >= in->k.tail_to[part])
            broken(w, "a new owner has read all results of before", in->slot, part, i,
                   "its own lies at %lld, the tail was read to %lld",
                   (long long)c->answer_offset, (long long)in->k.tail_to[part]);
    }
}

/* What was answered before the time for the last tick ran out is durable by now. */
void check_unassign(struct world *w, const struct instance *in)
{
    const struct client *k = &in->k;
    if (k->told_lost || in->terms > 1 || in->k.tick_runs ||
        w->now >= k->revoked_at + in->options.drain_ms)
        return;
    for (size_t i = 0; i < w->n_sends; i++) {
        const struct send *s = w->sends[i];
        const struct cmd *c = &w->cmds[s->cmd];
        if (s->inst == in->slot && s->life == in->life && s->owner == k->owner &&
            c->kind == KIND_ONCE && s->evidence == EVIDENCE_DONE && !s->cut &&
            c->results == 0)
            broken(w, "a revoke ends with a last tick", s->inst, c->part, c->index,
                   "its answer is not committed");
    }
}

/* Has this process sent it since then? Then it had waited. */
static bool sent_by(const struct world *w, const struct send *s, int64_t since)
{
    for (size_t i = 0; i < w->n_sends; i++) {
        const struct send *o = w->sends[i];
        if (o->cmd == s->cmd && o->inst == s->inst && o->life == s->life && o->at > since)
            return true;
    }
    return false;
}

/* What went before this send, and nobody knows of: was there evidence enough? */
static void check_again(struct world *w, const struct send *s, const struct send *before)
{
    struct cmd *c = &w->cmds[s->cmd];
    bool own = before->inst == s->inst && before->life == s->life;
    if (before->evidence == EVIDENCE_DONE && before->owner == s->owner)
        broken(w, "what is known to be executed is not sent again", s->inst, c->part,
               c->index, "sent at %.3f s", (double)before->at / 1000);
    if (look_policy(w, c) == DOUBT_RETRY) {
        /* Its user prefers twice to never; but not before the first has ended. Of what
         * is not armed any more a new owner knows nothing. */
        bool waited = own ? before->ended && w->now - before->learnt_at >= DOUBT_WAIT_MS
                          : look_lease_over(w, c, s->inst, s->owner);
        bool before_own = !own && sent_by(w, s, before->at);
        /* It waited, armed it, lost the partition and has it back: its call goes on. */
        bool orphan = !own && c->arm_slot == s->inst && c->arm_life == s->life &&
                      c->arm_since < s->owner;
        if (!orphan && (own || look_found_armed(c, s->inst, s->owner)) && !waited &&
            !before_own)
            broken(w, "with retry it waits before it is sent again", s->inst, c->part,
                   c->index, "sent at %.3f s", (double)before->at / 1000);
    } else if (!look_proves(c, s->inst, s->owner, before)) {
        broken(w, "without evidence nothing is sent twice", s->inst, c->part, c->index,
               "sent at %.3f s by i%d, of which nobody knows", (double)before->at / 1000,
               before->inst);
    }
}

static void check_once(struct world *w, const struct send *s)
{
    struct cmd *c = &w->cmds[s->cmd];
    struct reading r;
    for (size_t i = 0; i < w->n_sends; i++)
        if (w->sends[i]->cmd == s->cmd && w->sends[i]->evidence != EVIDENCE_NOT)
            check_again(w, s, w->sends[i]);
    bool own = c->arm_slot == s->inst && c->arm_life == s->life;
    bool retried =
        look_policy(w, c) == DOUBT_RETRY && look_lease_over(w, c, s->inst, s->owner);
    if (look_found_armed(c, s->inst, s->owner) && !own && !retried &&
        !look_proved(c, s->inst, s->owner))
        broken(w, "what a new owner finds armed is not sent", s->inst, c->part, c->index,
               "it was armed in the string that was read");
    struct looks *l = looks_of(c, s->inst, s->owner);
    l->absent = 0;
    l->last = LOOK_NONE;
    l->resent |= l->proved_at > 0;
    w->resent += l->resent;
    if (l->resent)
        trace(w, s->inst, c->part, c->index, "sent again", c->sends, 0, NULL);
    if (w->instances[s->inst].was_deaf && w->durable[c->part].owner > s->owner)
        return; /* the window of check_send: still sent once */
    if (w->durable[c->part].text == NULL ||
        reading_of(w->durable[c->part].text, w->durable[c->part].line, &r) != NULL ||
        !reading_armed(&r, c->offset) || w->durable[c->part].slot != s->inst ||
        w->durable[c->part].life != s->life)
        broken(w, "the arming is durable before the send", s->inst, c->part, c->index,
               "the committed string does not say so: %s",
               w->durable[c->part].text ? w->durable[c->part].text : "none");
}

void check_send(struct world *w, struct send *s)
{
    struct cmd *c = &w->cmds[s->cmd];
    const struct instance *in = &w->instances[s->inst];
    trace(w, s->inst, c->part, c->index, "send", c->sends, (int64_t)s->owner,
          c->operation);
    if (!in->k.parts[c->part])
        broken(w, "only an owner sends", s->inst, c->part, c->index, "not its partition");
    if (c->kind == KIND_REFUSED)
        broken(w, "bad input costs no request", s->inst, c->part, c->index, "sent");
    check_lane(w, s);
    if (!s->get) {
        check_gate(w, s, in);
        /* Whose heartbeats alone stay away commits ticks until it is dropped, and then
         * does not know it for a moment: a window that the gate cannot close. */
        bool deaf = in->was_deaf;
        if (!deaf && s->owner < w->max_owner_sent[c->part])
            broken(w, "an old owner does not overtake the new one", s->inst, c->part,
                   c->index, "owner %llu after owner %llu", (unsigned long long)s->owner,
                   (unsigned long long)w->max_owner_sent[c->part]);
        if (s->owner > w->max_owner_sent[c->part])
            w->max_owner_sent[c->part] = s->owner;
        if (!deaf && c->results > 0)
            broken(w, "what has its result is not sent again", s->inst, c->part, c->index,
                   "its result is durable");
    }
    twins_send(w, s);
    if (c->kind == KIND_ONCE)
        check_once(w, s);
    if (w->n_sends == w->cap_sends) {
        w->cap_sends = w->cap_sends ? w->cap_sends * 2 : 256;
        w->sends = mem_realloc(w->sends, w->cap_sends * sizeof *w->sends);
    }
    w->sends[w->n_sends++] = s;
    if (c->sends++ > 0)
        return;
    c->first_send = w->now;
    c->first_owner = s->owner;
}

void check_execution(struct world *w, struct send *s, int64_t fair_until)
{
    struct cmd *c = &w->cmds[s->cmd];
    w->executions++;
    s->executions++;
    struct made made = {w->now, w->now + skewed(w, 0, c->proves ? 15000 : 60000), 0};
    if (c->proves && made.visible_at > fair_until)
        made.visible_at = fair_until;
    if (c->n_made < MADE_MAX)
        c->made[c->n_made++] = made;
    w->cmds[c->thing].thing_done++;
    trace(w, -1, c->part, c->index, "executed", c->executions, s->inst, NULL);
    if (c->executions++ == 0)
        c->first_execution = w->now;
    else if (c->kind == KIND_ONCE && look_policy(w, c) != DOUBT_RETRY)
        broken(w, "nothing unsafe is executed twice", s->inst, c->part, c->index,
               "executed at %.3f s before", (double)c->first_execution / 1000);
}

/* --- what becomes durable --- */

/* It is known, to this owner at least, that none was executed. */
static bool all_refused(const struct world *w, int cmd, int slot, uint64_t owner)
{
    for (size_t i = 0; i < w->n_sends; i++)
        if (w->sends[i]->cmd == cmd && w->sends[i]->evidence != EVIDENCE_NOT &&
            !look_proves(&w->cmds[cmd], slot, owner, w->sends[i]))
            return false;
    return true;
}

/* That is durable now: whoever comes next need not prove it again. */
static void keep_proof(struct world *w, int cmd, int slot, uint64_t owner)
{
    for (size_t i = 0; i < w->n_sends; i++)
        if (w->sends[i]->cmd == cmd &&
            look_proves(&w->cmds[cmd], slot, owner, w->sends[i]))
            w->sends[i]->evidence = EVIDENCE_NOT;
}

/* By this owner; or by any, when it is not to be repeated. What a former owner had called
 * another command may have answered since: then its id is a used one. */
static bool was_sent(const struct world *w, const struct cmd *c, uint64_t owner)
{
    for (size_t i = 0; i < w->n_sends; i++)
        if (w->sends[i]->cmd == c->index &&
            (w->sends[i]->owner == owner || c->kind == KIND_ONCE) &&
            w->sends[i]->evidence != EVIDENCE_NOT)
            return true;
    return false;
}

/* Does the outcome say what happened? */
static void check_truth(struct world *w, int slot, const struct cmd *c, uint64_t owner)
{
    enum outcome outcome = (enum outcome)c->outcome;
    /* What a retried command made twice may be taken for another's: see check_resource.
     */
    int done = c->kind == KIND_ONCE && !c->recovered ? c->executions
                                                     : w->cmds[c->thing].thing_done;
    if (outcome == IN_DOUBT && (c->kind != KIND_ONCE || !c->ever_armed))
        broken(w, "IN_DOUBT is said of armed calls only", slot, c->part, c->index,
               "never armed");
    if (outcome == IN_DOUBT)
        look_judge_doubt(w, slot, c);
    if (outcome == SUCCEEDED && done == 0 && c->kind != KIND_READ && !c->missing)
        broken(w, "SUCCEEDED is true", slot, c->part, c->index, "never executed");
    /* With retry a call that is to be sent again is not armed meanwhile: a new owner does
     * not know of the first. */
    bool forgotten = look_policy(w, c) == DOUBT_RETRY && c->first_owner != owner &&
                     !look_found_armed(c, slot, owner);
    if (outcome == REJECTED && !forgotten && was_sent(w, c, owner))
        broken(w, "REJECTED costs no request", slot, c->part, c->index, "sent");
    if ((outcome == FAILED || outcome == EXPIRED) && c->kind == KIND_ONCE && !forgotten &&
        !all_refused(w, c->index, slot, owner))
        broken(w, "FAILED means not executed", slot, c->part, c->index,
               "%s though nobody knows", outcome_names[outcome]);
}

/* What the record says beside its outcome. */
static void read_result(struct world *w, int slot, struct cmd *c, const struct entry *e)
{
    struct result res;
    struct err err = ERR_INIT;
    if (result_decode(w->ss, e->value, &w->arena, &res, &err) != 0) {
        broken(w, "a result can be read", slot, c->part, c->index, "%s", err.text);
        return;
    }
    c->replayed = res.replayed;
    c->recovered = res.recovered;
    c->reused = str_is(res.error.kind, "command-id-reused");
    c->resource = res.resource_id.ptr != NULL
                      ? arena_strndup(&w->arena, res.resource_id.ptr, res.resource_id.len)
                      : NULL;
    if (c->walk.is_list)
        walk_counts(w, slot, c, &res);
    c->answer_serial = e->serial;
    c->answer_offset = e - w->broker.results[c->part].entries;
    w->replayed += c->replayed;
    w->recovered += c->recovered;
    if (c->replayed || c->recovered || c->reused)
        trace(w, slot, c->part, c->index,
              c->replayed    ? "replayed"
              : c->recovered ? "recovered"
                             : "id reused",
              e->outcome, 0, NULL);
}

/* Which command made a thing of this name; -1: none. */
static int load_made(const char *resource)
{
    int64_t n = -1;
    struct err e = ERR_INIT;
    if (resource == NULL || strlen(resource) < 5)
        return -1;
    struct str rest = {resource + 4, strspn(resource + 4, "0123456789")};
    (void)parse_i64(rest, 0, CMDS_MAX, &n, &e);
    return n < 0 || n >= CMDS_MAX ? -1 : (int)n;
}

/* A thing that was made is named by its command's result, and by no other. */
static void check_resource(struct world *w, int slot, const struct cmd *c)
{
    char id[32];
    bool own = false;
    bool made = c->resource != NULL && (strncmp(c->resource, "com_", 4) == 0 ||
                                        strncmp(c->resource, "dra_", 4) == 0);
    for (int m = 0; made && m < c->n_made; m++)
        own |= strcmp(c->resource, list_id(w, c->index, m, id)) == 0;
    if (c->replayed || (!made && !c->recovered))
        return;
    /* Of two things that a retried command made its result names one: the other is like
     * one that somebody else made. */
    int other = own ? -1 : load_made(c->resource);
    if (other >= 0 && look_policy(w, &w->cmds[other]) == DOUBT_RETRY)
        return;
    if (!own)
        broken(w, "a result names what its command made", slot, c->part, c->index, "%s",
               c->resource != NULL ? c->resource : "nothing");
    for (int i = 0; i < w->n_cmds; i++)
        if (i != c->index && !w->cmds[i].replayed && w->cmds[i].resource != NULL &&
            strcmp(w->cmds[i].resource, c->resource) == 0)
            broken(w, "no two results name one thing", slot, c->part, c->index,
                   "#%d names %s too", i, c->resource);
}

static void check_result(struct world *w, int slot, const struct log *log,
                         const struct entry *e, const struct txn *t)
{
    if (e->cmd < 0) {
        broken(w, "an answer names a command", slot, log->partition, -1, "none in %s",
               log->topic);
        return;
    }
    struct cmd *c = &w->cmds[e->cmd];
    bool dead = log == &w->broker.dead;
    bool reply = log == &w->broker.reply || log == &w->broker.reply_small;
    bool item = log == &w->broker.comments;
    trace(w, slot, c->part, c->index,
          reply  ? "reply"
          : item ? "item"
          : dead ? "dead-letter"
                 : "result",
          e->outcome, c->offset, e->outcome >= 0 ? outcome_names[e->outcome] : NULL);
    if (c->aborted)
        broken(w, "what was aborted is not answered", slot, c->part, c->index, "%s",
               log->topic);
    if (item)
        return; /* counted at the end */
    if (reply) {
        if (++c->replies > 1)
            broken(w, "one reply at the most", slot, c->part, c->index, "%d", c->replies);
        return;
    }
    c->answered_at = w->now;
    if (w->instances[slot].life == t->life)
        w->instances[slot].durable++;
    if (dead)
        c->dead_letters++;
    else
        c->results++;
    if (c->results + c->dead_letters > 1)
        broken(w, "one result each", slot, c->part, c->index,
               "%d result(s), %d dead letter(s)", c->results, c->dead_letters);
    if (dead != c->dead)
        broken(w, "dead letters are what cannot be read", slot, c->part, c->index,
               dead ? "a dead letter" : "a result");
    if (dead)
        return;
    c->outcome = e->outcome;
    c->answer_owner = t->owner[c->walk.job ? JOBS + c->part % w->n_jobs_parts : c->part];
    if (c->walk.is_list)
        walk_result(w, slot, c);
    read_result(w, slot, c, e);
    w->in_doubt += e->outcome == IN_DOUBT;
    if (log->partition != c->part || e->outcome < 0)
        broken(w, "a result lies in its command's partition", slot, c->part, c->index,
               "in %d", log->partition);
    for (int i = 0; i < w->n_cmds; i++)
        if (same_lane(c, &w->cmds[i]) && w->cmds[i].offset > c->offset &&
            w->cmds[i].results > 0 && !c->walk.job)
            broken(w, "a key's results are in order", slot, c->part, c->index,
                   "after that of #%d", i);
    check_resource(w, slot, c);
    twins_result(w, slot, c);
    if (e->outcome >= 0 && !c->replayed)
        check_truth(w, slot, c, c->answer_owner);
}

/* Of a jobs partition the position says nothing: it is the fence. */
static void check_jobs_commit(struct world *w, int slot, const struct txn *t,
                              const struct pending_offset *o)
{
    if (o->text == NULL || strcmp(o->text, "FC1") != 0)
        broken(w, "a jobs partition's string is FC1", slot, o->part, -1, "%s",
               o->text ? o->text : "none");
    if (o->offset > (int64_t)log_of_part(w, o->part)->n || o->offset < 0)
        broken(w, "a position lies within the log", slot, o->part, -1, "%lld",
               (long long)o->offset);
    if (t->owner[o->part] < w->durable[o->part].owner)
        broken(w, "only the newest owner commits", slot, o->part, -1,
               "owner %llu after %llu", (unsigned long long)t->owner[o->part],
               (unsigned long long)w->durable[o->part].owner);
    w->durable[o->part].line = o->offset;
    w->durable[o->part].text = o->text;
    w->durable[o->part].slot = slot;
    w->durable[o->part].life = t->life;
    w->durable[o->part].owner = t->owner[o->part];
    w->expired[o->part] = false; /* whoever comes next finds this one */
}

static void check_ledger(struct world *w, int slot, const struct txn *t,
                         const struct pending_offset *o)
{
    struct reading r;
    int p = o->part;
    const struct log *log = log_of_part(w, p);
    if (p >= JOBS) {
        check_jobs_commit(w, slot, t, o);
        return;
    }
    const char *bad = reading_of(o->text, o->offset, &r);
    trace(w, slot, p, -1, "commit", o->offset, (int64_t)t->owner[p], o->text);
    if (bad != NULL) {
        broken(w, "the ledger's string can be read", slot, p, -1, "%s: %s", bad,
               o->text ? o->text : "none");
        return;
    }
    if (o->offset < w->durable[p].line || o->offset > (int64_t)log->n)
        broken(w, "the line only moves forward, within the log", slot, p, -1,
               "%lld after %lld, log of %zu", (long long)o->offset,
               (long long)w->durable[p].line, log->n);
    if (t->owner[p] < w->durable[p].owner)
        broken(w, "only the newest owner commits", slot, p, -1, "owner %llu after %llu",
               (unsigned long long)t->owner[p], (unsigned long long)w->durable[p].owner);
    for (size_t i = 0; i < log->n; i++) {
        const struct entry *e = &log->entries[i];
        bool done = reading_done(&r, (int64_t)i), armed = reading_armed(&r, (int64_t)i);
        struct cmd *c = e->cmd >= 0 ? &w->cmds[e->cmd] : NULL;
        if (c == NULL || e->state != ENTRY_COMMITTED) {
            if (armed || (done && e->state == ENTRY_OPEN))
                broken(w, "the string speaks of commands", slot, p, -1,
                       "offset %zu is none (yet)", i);
            continue;
        }
        bool answered = c->results + c->dead_letters > 0 || c->walk.job;
        if (done != answered)
            broken(w, "DONE and result become durable together", slot, p, c->index,
                   done ? "DONE without a result" : "a result without DONE");
        c->ever_armed |= armed;
        uint32_t second = reading_second(&r, (int64_t)i);
        bool anew = armed && c->armed && second != c->arm_second;
        bool carried = armed && c->armed && look_found_armed(c, slot, t->owner[p]) &&
                       c->arm_owner != t->owner[p] && second == c->arm_second;
        if (armed && !carried &&
            (c->arm_owner != t->owner[p] || second != c->arm_second ||
             (c->arm_handed < 0 && t->handed > c->arm_over))) {
            c->arm_handed = t->handed;
            c->arm_owner = t->owner[p];
        }
        if (armed && !carried && (c->arm_slot != t->inst || c->arm_life != t->life))
            c->arm_since = t->owner[p];
        if (armed && !carried) {
            c->arm_slot = t->inst;
            c->arm_life = t->life;
            c->arm_second = second;
        }
        if (!armed)
            c->arm_handed = -1;
        /* Also when the partition goes and comes back before it is sent: its owner keeps
         * the call for that long. */
        if (anew)
            keep_proof(w, c->index, slot, t->owner[p]);
        if (armed && c->kind != KIND_ONCE)
            broken(w, "only what is unsafe is armed", slot, p, c->index, "armed");
        if (!armed && !answered && c->kind == KIND_ONCE &&
            look_policy(w, c) != DOUBT_RETRY) {
            bool found = c->armed && look_found_armed(c, slot, t->owner[p]) &&
                         (c->arm_slot != slot || c->arm_life != t->life) &&
                         !look_proved(c, slot, t->owner[p]);
            if (found || !all_refused(w, c->index, slot, t->owner[p]))
                broken(w, "what may have been sent stays armed", slot, p, c->index,
                       "the string does not say so: %s", o->text);
            keep_proof(w, c->index, slot, t->owner[p]);
        }
        c->armed = armed;
    }
    w->durable[p].line = o->offset;
    w->durable[p].text = o->text;
    w->durable[p].slot = slot;
    w->durable[p].life = t->life;
    w->durable[p].owner = t->owner[p];
}

/* In this order they are judged: rows, jobs, answers. */
static int log_kind(const struct world *w, const struct log *log)
{
    return log_is_of_rows(w, log) ? 0 : strcmp(log->topic, JOBS_TOPIC) == 0 ? 1 : 2;
}

static void check_log(struct world *w, int slot, const struct txn *t,
                      const struct log *log, int kind)
{
    static void (*const sync_judges[])(struct world *, int, const struct entry *) = {
        sync_item, sync_record, sync_result};
    for (size_t i = 0; i < log->n; i++) {
        const struct entry *e = &log->entries[i];
        struct cmd *c = e->cmd >= 0 ? &w->cmds[e->cmd] : NULL;
        if (e->state != ENTRY_OPEN || e->txn != slot || e->epoch != t->serial)
            continue;
        if (kind == 0 && strcmp(below_topic(e->operation), log->topic) != 0)
            broken(w, "a row lies in its list's topic", slot, -1, e->cmd, "%.*s in %s",
                   STR_ARG(e->operation), log->topic);
        if (e->sync > 0)
            sync_judges[kind](w, slot, e);
        else if (kind == 2)
            check_result(w, slot, log, e, t);
        else if (c == NULL)
            broken(w, "an answer names a command", slot, log->partition, -1, "none in %s",
                   log->topic);
        else if (kind == 0)
            walk_item(w, slot, c, e);
        else if (memmem(e->key.ptr, e->key.len, JOB_CANCEL, strlen(JOB_CANCEL)) != NULL)
            walk_uncancel(c, e, t->owner[JOBS + log->partition]);
        else
            walk_record(w, slot, c, e, t->owner[JOBS + log->partition]);
    }
}

/* The moment a transaction is decided: all of it is to be seen from here on. */
void check_durable(struct world *w, int slot, const struct txn *t)
{
    for (int kind = 0; kind < 3; kind++)
        for (int l = 0; l < t->n_touched; l++)
            if (log_kind(w, t->touched[l]) == kind)
                check_log(w, slot, t, t->touched[l], kind);
    for (int i = 0; i < w->n_cmds; i++) /* a page comes with a record, or a result */
        if (w->cmds[i].walk.is_list &&
            w->cmds[i].walk.txn_rows + w->cmds[i].walk.below.txn_rows > 0)
            broken(w, "rows come with what follows from them", slot, w->cmds[i].part, i,
                   "%d row(s) alone",
                   w->cmds[i].walk.txn_rows + w->cmds[i].walk.below.txn_rows);
    sync_decided(w, slot, t);
    for (int i = 0; t->pending && i < t->n_offsets; i++)
        check_ledger(w, slot, t, &t->offsets[i]);
}

/* The first reading after an assignment: it must be the newest there is. */
void check_read_position(struct world *w, struct instance *in, int part, const char *text,
                         int64_t line)
{
    struct reading r;
    int64_t newest =
        w->durable[part].text != NULL ? w->durable[part].line : KAFKA_NO_OFFSET;
    if (w->durable[part].owner > in->k.owner || (part >= JOBS && w->expired[part]))
        return; /* it stood still since it asked: its ticks will be refused */
    if (newest != line || (text != NULL && strcmp(text, w->durable[part].text) != 0)) {
        broken(w, "(the model) a new owner reads the newest position", in->slot, part, -1,
               "%lld, but %lld is durable", (long long)line, (long long)newest);
        return;
    }
    if (text == NULL || part >= JOBS || reading_of(text, line, &r) != NULL)
        return;
    const struct log *log = &w->broker.commands[part];
    for (size_t i = 0; i < log->n; i++) {
        if (log->entries[i].cmd < 0 || !reading_armed(&r, (int64_t)i))
            continue;
        struct cmd *c = &w->cmds[log->entries[i].cmd];
        struct looks *l = looks_of(c, in->slot, in->k.owner);
        l->found_armed = true;
        l->read_at = w->now;
        l->lease = r.lease_ms;
    }
}

/* --- the end --- */

static bool counts(const struct cmd *c)
{
    return !c->aborted;
}

bool check_all_answered(const struct world *w)
{
    for (int i = 0; i < w->n_cmds; i++)
        if (counts(&w->cmds[i]) && w->cmds[i].results + w->cmds[i].dead_letters == 0)
            return false;
    return true;
}

bool check_all_lines(const struct world *w)
{
    for (int p = 0; p < w->n_parts; p++)
        if (w->durable[p].line < (int64_t)w->broker.commands[p].n)
            return false;
    return walk_all_gone(w);
}

/* Over the logs as a read_committed consumer sees them, counted anew. */
static void count_visible(struct world *w, const struct log *log, int *seen)
{
    for (size_t i = 0; i < log->n; i++)
        if (log->entries[i].state == ENTRY_COMMITTED && log->entries[i].cmd >= 0)
            seen[log->entries[i].cmd]++;
    if (log_stable(log) != (int64_t)log->n)
        broken(w, "no transaction stays open", -1, log->partition, -1, "in %s",
               log->topic);
}

static bool was_refused(const struct world *w, int cmd)
{
    for (size_t i = 0; i < w->n_sends; i++)
        if (w->sends[i]->cmd == cmd && w->sends[i]->evidence == EVIDENCE_NOT)
            return true;
    return false;
}

static void check_order_of_executions(struct world *w)
{
    for (int i = 0; i < w->n_cmds; i++)
        for (int j = 0; j < w->n_cmds; j++) {
            const struct cmd *a = &w->cmds[i], *b = &w->cmds[j];
            /* Of what did not succeed, a late execution may come at any time. And what
             * was refused, IN_DOUBT or a repeat lets its successor go before that is
             * durable: after a crash it is tried again, behind it. */
            if (same_lane(a, b) && a->offset < b->offset && a->outcome == SUCCEEDED &&
                a->first_execution >= 0 && b->first_execution >= 0 &&
                b->first_execution < a->first_execution && a->deadline == 0 &&
                !was_refused(w, i) && !(a->kind == KIND_ONCE && a->sends > 1) &&
                !twins_any(w, a))
                broken(w, "a key's commands are executed in order", -1, a->part, i,
                       "#%d, which is later, was executed before", j);
        }
}

/* Items are there with the one result that says so, all of them once, or not at all. */
static void check_items(struct world *w)
{
    int seen[CMDS_MAX] = {0};
    count_visible(w, &w->broker.comments, seen);
    for (int i = 0; i < w->n_cmds; i++) {
        const struct cmd *c = &w->cmds[i];
        bool listed = c->items >= 0 && c->outcome == SUCCEEDED && !c->replayed;
        if (seen[i] != (listed ? c->items : 0))
            broken(w, "a list's items are there once, with its result", -1, c->part, i,
                   "%d of %d, %s", seen[i], c->items,
                   c->outcome >= 0 ? outcome_names[c->outcome] : "no result");
        w->items += seen[i];
    }
}

void check_end(struct world *w)
{
    int seen[CMDS_MAX] = {0};
    check_items(w);
    for (int p = 0; p < w->n_parts; p++)
        count_visible(w, &w->broker.results[p], seen);
    count_visible(w, &w->broker.dead, seen);
    for (int i = 0; i < w->n_cmds; i++) {
        const struct cmd *c = &w->cmds[i];
        if (seen[i] != (counts(c) ? 1 : 0))
            broken(w, "every command gets exactly one answer", -1, c->part, i,
                   "%d to be seen", seen[i]);
    }
    for (int p = 0; p < w->n_parts; p++)
        if (w->durable[p].line < (int64_t)w->broker.commands[p].n)
            broken(w, "the line reaches the log's end", -1, p, -1,
                   "it stands at %lld of %zu", (long long)w->durable[p].line,
                   w->broker.commands[p].n);
    check_order_of_executions(w);
    walk_check_end(w);
    sync_check_end(w);
}
