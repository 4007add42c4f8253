/* The promises, judged from outside: what left, what Front did, what became durable. It
 * reads the ledger's strings with a parser of its own, so that writer and reader cannot
 * be wrong in the same way. Owns nothing. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "codec/records/result.h"

enum {
    LOOP_STALL_MS = 2000,
    SEND_BY_MS = 5000,
    SPAN_MAX = 8192,
    ARMED_MAX = 128,
    STRING_MAX = 3500
};

struct reading {
    int64_t line;
    bool done[SPAN_MAX];
    bool armed[SPAN_MAX];
};

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
        trace_tail(w, inst, part, cmd, 100);
    printf("seed %llu at %.3f s: broken: %s: i%d p%d #%d: %s\n",
           (unsigned long long)w->seed, (double)w->now / 1000, rule, inst, part, cmd,
           text);
}

/* --- the string, read by hand --- */

static uint32_t crc_of(const char *s, size_t n)
{
    uint32_t crc = ~0u;
    for (size_t i = 0; i < n; i++) {
        crc ^= (unsigned char)s[i];
        for (int b = 0; b < 8; b++)
            crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
    }
    return ~crc;
}

static int digit64(char c)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != 0 ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

/* Whole numbers of base 10 or 16, no sign; moves *s behind it. -1: none. */
static int64_t number(const char **s, int base)
{
    static const char digits[] = "0123456789abcdef";
    int64_t n = 0;
    const char *from = *s;
    for (; **s != 0; (*s)++) {
        const char *at = memchr(digits, **s, (size_t)base);
        if (at == NULL)
            break;
        n = n * base + (at - digits);
    }
    return *s > from && *s - from < 12 ? n : -1;
}

static const char *read_bits(const char *s, struct reading *r)
{
    size_t bit = 0;
    for (; *s != ';'; s += 4) {
        int d[4], pads = 0;
        for (int i = 0; i < 4; i++) {
            d[i] = s[i] == '=' && i >= 2 ? 0 : digit64(s[i]);
            pads += s[i] == '=';
            if (d[i] < 0)
                return "bitmap";
        }
        uint32_t three = (uint32_t)(d[0] << 18 | d[1] << 12 | d[2] << 6 | d[3]);
        for (int i = 0; i < 3 - pads; i++) {
            unsigned byte = three >> (16 - 8 * i) & 255;
            for (int b = 0; b < 8; b++, bit++)
                if (bit < SPAN_MAX && byte >> b & 1)
                    r->done[bit] = true;
        }
    }
    return NULL;
}

static const char *read_armed(const char *s, struct reading *r)
{
    int n = 0;
    int64_t last = -1;
    while (*s != ';') {
        int64_t delta = number(&s, 10);
        if (delta <= last || delta >= SPAN_MAX || *s++ != '+' || number(&s, 16) < 0 ||
            ++n > ARMED_MAX || r->done[delta])
            return "armed list";
        r->armed[delta] = true;
        last = delta;
        if (*s == ',')
            s++;
        else if (*s != ';')
            return "armed list";
    }
    return NULL;
}

/* NULL: read; else what is wrong. */
static const char *read_string(const char *text, int64_t line, struct reading *r)
{
    memset(r, 0, sizeof *r);
    r->line = line;
    if (text == NULL)
        return "empty";
    size_t len = strlen(text);
    const char *crc = text + len - 8;
    if (len < 20 || len >= STRING_MAX || crc[-1] != ';')
        return "length";
    for (size_t i = 0; i < len; i++)
        if (text[i] < 0x20 || text[i] > 0x7e)
            return "not ASCII";
    const char *end = crc;
    if (number(&end, 16) != crc_of(text, len - 9) || *end != 0)
        return "crc";
    if (strncmp(text, "FC1;l=", 6) != 0)
        return "magic";
    const char *s = text + 6;
    int64_t lease = number(&s, 10);
    if (lease < 5000 || lease > 3600000 || strncmp(s, ";d=", 3) != 0)
        return "lease";
    const char *bad = read_bits(s + 3, r);
    const char *armed = strstr(s, ";a=");
    if (bad != NULL || armed == NULL)
        return bad != NULL ? bad : "no armed list";
    bad = read_armed(armed + 3, r);
    if (bad != NULL)
        return bad;
    return strstr(armed, ";q=") != NULL ? NULL : "no quota part";
}

static bool says_done(const struct reading *r, int64_t offset)
{
    return offset < r->line || (offset < r->line + SPAN_MAX && r->done[offset - r->line]);
}

static bool says_armed(const struct reading *r, int64_t offset)
{
    return offset >= r->line && offset < r->line + SPAN_MAX && r->armed[offset - r->line];
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
         * another. And a read may come from one that does not know yet that it has
         * lost the partition: the gate holds only what changes something. */
        bool reads = c->kind == KIND_READ || o->kind == KIND_READ;
        if (c->sends == 0 && c->deadline == 0 && same_lane(c, o) &&
            o->offset > c->offset && o->sends > 0 &&
            (!reads || o->first_owner == s->owner) &&
            !(w->instances[s->inst].was_deaf && o->first_owner > s->owner))
            broken(w, "a key's commands are sent in order", s->inst, c->part, c->index,
                   "#%d, which is later, was sent before", i);
    }
    for (size_t i = 0; i < w->n_sends; i++) {
        const struct send *o = w->sends[i];
        if (!o->ended && o->inst == s->inst && o->life == s->life &&
            same_lane(c, &w->cmds[o->cmd]))
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
            c->kind == KIND_ONCE && s->evidence == EVIDENCE_DONE && c->results == 0)
            broken(w, "a revoke ends with a last tick", s->inst, c->part, c->index,
                   "its answer is not committed");
    }
}

static void check_once(struct world *w, const struct send *s)
{
    const struct cmd *c = &w->cmds[s->cmd];
    struct reading r;
    for (size_t i = 0; i < w->n_sends; i++)
        if (w->sends[i]->cmd == s->cmd && w->sends[i]->evidence != EVIDENCE_NOT)
            broken(w, "without evidence nothing is sent twice", s->inst, c->part,
                   c->index, "sent at %.3f s by i%d, of which nobody knows",
                   (double)w->sends[i]->at / 1000, w->sends[i]->inst);
    if (c->doubt_owner == s->owner)
        broken(w, "what a new owner finds armed is not sent", s->inst, c->part, c->index,
               "it was armed in the string that was read");
    if (w->instances[s->inst].was_deaf && w->durable[c->part].owner > s->owner)
        return; /* the window of check_send: still sent once */
    if (w->durable[c->part].text == NULL ||
        read_string(w->durable[c->part].text, w->durable[c->part].line, &r) != NULL ||
        !says_armed(&r, c->offset) || w->durable[c->part].slot != s->inst ||
        w->durable[c->part].owner != s->owner)
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

void check_execution(struct world *w, struct send *s)
{
    struct cmd *c = &w->cmds[s->cmd];
    w->executions++;
    s->executions++;
    c->visible_at = w->now + skewed(w, 0, 15000); /* for look-ups, later */
    trace(w, -1, c->part, c->index, "executed", c->executions, s->inst, NULL);
    if (c->executions++ == 0)
        c->first_execution = w->now;
    else if (c->kind == KIND_ONCE)
        broken(w, "nothing unsafe is executed twice", s->inst, c->part, c->index,
               "executed at %.3f s before", (double)c->first_execution / 1000);
}

/* --- what becomes durable --- */

static bool all_refused(const struct world *w, int cmd)
{
    for (size_t i = 0; i < w->n_sends; i++)
        if (w->sends[i]->cmd == cmd && w->sends[i]->evidence != EVIDENCE_NOT)
            return false;
    return true;
}

/* Does the outcome say what happened? */
static void check_truth(struct world *w, int slot, const struct cmd *c, uint64_t owner)
{
    enum outcome outcome = (enum outcome)c->outcome;
    if (c->doubt_owner == owner && outcome != IN_DOUBT)
        broken(w, "what a new owner finds armed is IN_DOUBT", slot, c->part, c->index,
               "%s", outcome_names[outcome]);
    if (outcome == IN_DOUBT && (c->kind != KIND_ONCE || !c->ever_armed))
        broken(w, "IN_DOUBT is said of armed calls only", slot, c->part, c->index,
               "never armed");
    if (outcome == SUCCEEDED && c->executions == 0 && c->kind != KIND_READ && !c->missing)
        broken(w, "SUCCEEDED is true", slot, c->part, c->index, "never executed");
    if (outcome == REJECTED && c->sends > 0)
        broken(w, "REJECTED costs no request", slot, c->part, c->index, "sent");
    if ((outcome == FAILED || outcome == EXPIRED) && c->kind == KIND_ONCE &&
        !all_refused(w, c->index))
        broken(w, "FAILED means not executed", slot, c->part, c->index,
               "%s though nobody knows", outcome_names[outcome]);
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
    trace(w, slot, c->part, c->index,
          reply  ? "reply"
          : dead ? "dead-letter"
                 : "result",
          e->outcome, c->offset, e->outcome >= 0 ? outcome_names[e->outcome] : NULL);
    if (c->aborted)
        broken(w, "what was aborted is not answered", slot, c->part, c->index, "%s",
               log->topic);
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
    w->in_doubt += e->outcome == IN_DOUBT;
    if (log->partition != c->part || e->outcome < 0)
        broken(w, "a result lies in its command's partition", slot, c->part, c->index,
               "in %d", log->partition);
    for (int i = 0; i < w->n_cmds; i++)
        if (same_lane(c, &w->cmds[i]) && w->cmds[i].offset > c->offset &&
            w->cmds[i].results > 0)
            broken(w, "a key's results are in order", slot, c->part, c->index,
                   "after that of #%d", i);
    if (e->outcome >= 0)
        check_truth(w, slot, c, t->owner[c->part]);
}

static void check_ledger(struct world *w, int slot, const struct txn *t,
                         const struct pending_offset *o)
{
    struct reading r;
    int p = o->part;
    const struct log *log = &w->broker.commands[p];
    const char *bad = read_string(o->text, o->offset, &r);
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
        bool done = says_done(&r, (int64_t)i), armed = says_armed(&r, (int64_t)i);
        struct cmd *c = e->cmd >= 0 ? &w->cmds[e->cmd] : NULL;
        if (c == NULL || e->state != ENTRY_COMMITTED) {
            if (armed || (done && e->state == ENTRY_OPEN))
                broken(w, "the string speaks of commands", slot, p, -1,
                       "offset %zu is none (yet)", i);
            continue;
        }
        bool answered = c->results + c->dead_letters > 0;
        if (done != answered)
            broken(w, "DONE and result become durable together", slot, p, c->index,
                   done ? "DONE without a result" : "a result without DONE");
        c->ever_armed |= armed;
        if (armed && (c->arm_owner != t->owner[p] ||
                      (c->arm_handed < 0 && t->handed > c->arm_over))) {
            c->arm_handed = t->handed;
            c->arm_owner = t->owner[p];
        }
        if (!armed)
            c->arm_handed = -1;
        if (armed && c->kind != KIND_ONCE)
            broken(w, "only what is unsafe is armed", slot, p, c->index, "armed");
        if (!armed && !answered && c->kind == KIND_ONCE && !all_refused(w, c->index))
            broken(w, "what may have been sent stays armed", slot, p, c->index,
                   "the string does not say so: %s", o->text);
    }
    w->durable[p].line = o->offset;
    w->durable[p].text = o->text;
    w->durable[p].slot = slot;
    w->durable[p].owner = t->owner[p];
}

/* The moment a transaction is decided: all of it is to be seen from here on. */
void check_durable(struct world *w, int slot, const struct txn *t)
{
    for (int l = 0; l < t->n_touched; l++)
        for (size_t i = 0; i < t->touched[l]->n; i++) {
            const struct entry *e = &t->touched[l]->entries[i];
            if (e->state == ENTRY_OPEN && e->txn == slot && e->epoch == t->serial)
                check_result(w, slot, t->touched[l], e, t);
        }
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
    if (w->durable[part].owner > in->k.owner)
        return; /* it stood still since it asked: its ticks will be refused */
    if (newest != line || (text != NULL && strcmp(text, w->durable[part].text) != 0)) {
        broken(w, "(the model) a new owner reads the newest position", in->slot, part, -1,
               "%lld, but %lld is durable", (long long)line, (long long)newest);
        return;
    }
    if (text == NULL || read_string(text, line, &r) != NULL)
        return;
    const struct log *log = &w->broker.commands[part];
    for (size_t i = 0; i < log->n; i++)
        if (log->entries[i].cmd >= 0 && says_armed(&r, (int64_t)i))
            w->cmds[log->entries[i].cmd].doubt_owner = in->k.owner;
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
    return true;
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
             * was refused lets its successor go before the refusal is durable: after a
             * crash it is tried again, behind it. */
            if (same_lane(a, b) && a->offset < b->offset && a->outcome == SUCCEEDED &&
                a->first_execution >= 0 && b->first_execution >= 0 &&
                b->first_execution < a->first_execution && a->deadline == 0 &&
                !was_refused(w, i))
                broken(w, "a key's commands are executed in order", -1, a->part, i,
                       "#%d, which is later, was executed before", j);
        }
}

void check_end(struct world *w)
{
    int seen[CMDS_MAX] = {0};
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
}
