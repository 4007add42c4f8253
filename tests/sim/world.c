/* Events in the order of their time, chance from the seed, and the trace. Invariant:
 * nothing outside this world (no clock, no address) decides anything. */
#include "world.h"

#include <stdio.h>
#include <string.h>

static bool before(const struct event *a, const struct event *b)
{
    return a->at != b->at ? a->at < b->at : a->seq < b->seq;
}

static void push(struct world *w, struct event ev)
{
    if (w->n_heap == w->cap_heap) {
        w->cap_heap = w->cap_heap ? w->cap_heap * 2 : 1024;
        w->heap = mem_realloc(w->heap, w->cap_heap * sizeof *w->heap);
    }
    ev.seq = w->next_seq++;
    size_t i = w->n_heap++;
    while (i > 0 && before(&ev, &w->heap[(i - 1) / 2])) {
        w->heap[i] = w->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    w->heap[i] = ev;
}

static struct event pop(struct world *w)
{
    struct event first = w->heap[0], last = w->heap[--w->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= w->n_heap)
            break;
        if (child + 1 < w->n_heap && before(&w->heap[child + 1], &w->heap[child]))
            child++;
        if (!before(&w->heap[child], &last))
            break;
        w->heap[i] = w->heap[child];
        i = child;
    }
    w->heap[i] = last;
    return first;
}

void world_at(struct world *w, int64_t at, event_fn *run, void *p)
{
    push(w, (struct event){.at = at > w->now ? at : w->now, .run = run, .p = p});
}

void world_in(struct world *w, struct instance *in, int64_t at, event_fn *run, void *p)
{
    push(w, (struct event){.at = at > w->now ? at : w->now,
                           .run = run,
                           .in = in,
                           .life = in->life,
                           .p = p});
}

/* What happens to a process that stands still happens when it goes on, in its order. */
bool world_step(struct world *w)
{
    if (w->n_heap == 0)
        return false;
    struct event ev = pop(w);
    w->now = ev.at;
    w->events++;
    if (ev.in != NULL && (!ev.in->alive || ev.in->life != ev.life))
        return true;
    if (ev.in != NULL && ev.in->frozen_until > w->now) {
        ev.at = ev.in->frozen_until;
        push(w, ev);
        return true;
    }
    ev.run(w, &ev);
    return true;
}

/* splitmix64 */
uint64_t rnd(struct world *w, uint64_t n)
{
    uint64_t z = w->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    z ^= z >> 31;
    return n > 1 ? z % n : 0;
}

int64_t between(struct world *w, int64_t lo, int64_t hi)
{
    return hi > lo ? lo + (int64_t)rnd(w, (uint64_t)(hi - lo + 1)) : lo;
}

bool chance(struct world *w, int per_mille)
{
    return per_mille > 0 && rnd(w, 1000) < (uint64_t)per_mille;
}

int64_t skewed(struct world *w, int64_t lo, int64_t hi)
{
    int64_t span = hi - lo;
    for (int i = 0; i < 3 && rnd(w, 4) != 0; i++)
        span /= 6;
    return lo + between(w, 0, span);
}

static void hash_bytes(struct world *w, const void *data, size_t n)
{
    const unsigned char *b = data;
    for (size_t i = 0; i < n; i++)
        w->hash = (w->hash ^ b[i]) * 0x100000001b3u;
}

void trace(struct world *w, int inst, int part, int cmd, const char *what, int64_t a,
           int64_t b, const char *text)
{
    struct line line = {w->now, a, b, what, text, inst, part, cmd};
    int64_t numbers[] = {w->now, a, b, inst, part, cmd};
    hash_bytes(w, numbers, sizeof numbers);
    hash_bytes(w, what, strlen(what));
    if (text != NULL)
        hash_bytes(w, text, strlen(text));
    if (w->n_lines == w->cap_lines) {
        w->cap_lines = w->cap_lines ? w->cap_lines * 2 : 4096;
        w->lines = mem_realloc(w->lines, w->cap_lines * sizeof *w->lines);
    }
    w->lines[w->n_lines++] = line;
    if (w->print)
        trace_print(&line);
}

void trace_print(const struct line *line)
{
    char who[16] = "", where[16] = "", which[16] = "";
    if (line->inst >= 0)
        snprintf(who, sizeof who, "i%d", line->inst);
    if (line->part >= 0)
        snprintf(where, sizeof where, "p%d", line->part);
    if (line->cmd >= 0)
        snprintf(which, sizeof which, "#%d", line->cmd);
    printf("%9.3f  %-3s %-3s %-5s %-18s %lld %lld%s%s\n", (double)line->at / 1000, who,
           where, which, line->what, (long long)line->a, (long long)line->b,
           line->text != NULL ? "  " : "", line->text != NULL ? line->text : "");
}

/* Of the command; of its partition as a whole; of the process, or of all. */
static bool concerns(const struct line *line, int inst, int part, int cmd)
{
    if (line->cmd >= 0)
        return line->cmd == cmd;
    if (line->part >= 0)
        return line->part == part;
    return inst < 0 || line->inst < 0 || line->inst == inst;
}

void trace_tail(const struct world *w, int inst, int part, int cmd, size_t n)
{
    size_t from = w->n_lines, found = 0;
    while (from > 0 && found < n)
        if (concerns(&w->lines[--from], inst, part, cmd))
            found++;
    for (; from < w->n_lines; from++)
        if (concerns(&w->lines[from], inst, part, cmd))
            trace_print(&w->lines[from]);
}
