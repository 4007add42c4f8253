/* The simulator: each seed is a world of its own, run to its end in virtual time. First a
 * stretch with faults, then calm, in which every command must be answered, then an
 * orderly stop of all.
 *
 * Usage: sim [seeds=N] [seed=K] [jobs=N] [all] [trace] */
#include "world.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/log.h"
#include "codec/records/result.h"

enum {
    CALM_MAX_MS = 600000,
    STOP_MAX_MS = 300000,
    EVENTS_MAX = 3000000, /* more means that time does not pass */
    REPLAY_EVERY = 16
};

static struct world *running; /* for the signal handler only */

/* --- faults --- */

struct fault {
    enum {
        FAULT_KILL,
        FAULT_DOWN, /* killed and not restarted */
        FAULT_STOP,
        FAULT_START,
        FAULT_FREEZE,
        FAULT_SUSPEND,
        FAULT_STALL,
        FAULT_CUT,
        FAULT_DEAF,
        FAULT_WALL,
        FAULT_SLOW_BROKER,
        FAULT_BAD_FRONT,
        FAULT_UNAUTHORIZED,
        FAULT_SECOND_TERM,
        FAULT_EXPIRE
    } kind;
    int slot;
};

static void start_slot(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    instance_start(w, (int)(in - w->instances));
}

static void kill_after_stop(struct world *w, struct event *ev)
{
    struct instance *in = ev->p;
    (void)w;
    if (in->alive && in->stopping)
        instance_kill(in);
}

static void restart_later(struct world *w, struct instance *in)
{
    world_at(w, w->now + skewed(w, 50, 40000), start_slot, in);
}

static void cut(struct world *w, struct instance *in)
{
    int64_t until = w->now + skewed(w, 200, 60000);
    if (until > w->faults_end)
        until = w->faults_end;
    int way = (int)rnd(w, 4);
    trace(w, in->slot, -1, -1, "cut", way, until - w->now, NULL);
    if (way != 1)
        in->cut_out_until = until;
    if (way != 0)
        in->cut_in_until = until;
    w->cuts++;
}

/* Offsets expire only while the group has no members; an operator who reads what the
 * connector says puts them back. */
static void restore_offsets(struct world *w, struct event *ev)
{
    (void)ev;
    for (int p = 0; p < ALL_PARTS; p++)
        if (w->expired[p]) {
            w->expired[p] = false;
            w->broker.committed[p].set = true;
        }
}

static void expire_offsets(struct world *w)
{
    if (w->broker.group.state != GROUP_EMPTY)
        return;
    for (int i = 0; i < w->n_slots; i++)
        if (w->instances[i].alive || w->broker.txns[i].state != TXN_EMPTY)
            return;
    for (int p = 0; p < ALL_PARTS; p++) {
        bool results = p >= JOBS && chance(w, 500);
        for (size_t i = 0; p < JOBS && i < w->broker.results[p].n; i++)
            results |= w->broker.results[p].entries[i].state == ENTRY_COMMITTED &&
                       w->broker.results[p].entries[i].cmd >= 0;
        if (!w->broker.committed[p].set || !results)
            continue;
        trace(w, -1, p, -1, "expired", 0, 0, NULL);
        w->broker.committed[p].set = false;
        w->expired[p] = true;
    }
    world_at(w, w->now + between(w, 1000, 30000), restore_offsets, NULL);
}

static void strike(struct world *w, struct event *ev)
{
    const struct fault *f = ev->p;
    struct instance *in = &w->instances[f->slot];
    if (w->calm)
        return;
    switch (f->kind) {
    case FAULT_KILL:
        w->kills += in->alive;
        instance_kill(in);
        restart_later(w, in);
        return;
    case FAULT_DOWN:
        w->kills += in->alive;
        instance_kill(in);
        return;
    case FAULT_STOP:
        instance_stop(in);
        /* Who stops it may lose patience. */
        if (chance(w, 200))
            world_at(w, w->now + skewed(w, 100, 30000), kill_after_stop, in);
        restart_later(w, in);
        world_at(w, w->now + 60000, start_slot, in);
        return;
    case FAULT_START:
        instance_start(w, f->slot);
        return;
    case FAULT_FREEZE:
        instance_freeze(in, skewed(w, 300, 60000), false);
        return;
    case FAULT_SUSPEND:
        instance_freeze(in, skewed(w, 300, 90000), true);
        return;
    case FAULT_STALL:
        instance_stall(in, skewed(w, 300, 20000));
        return;
    case FAULT_CUT:
        cut(w, in);
        return;
    case FAULT_DEAF:
        in->deaf_until = w->now + w->session_ms + between(w, -2000, 5000);
        if (in->deaf_until > w->faults_end)
            in->deaf_until = w->faults_end;
        in->was_deaf = true;
        trace(w, f->slot, -1, -1, "deaf", in->deaf_until - w->now, 0, NULL);
        return;
    case FAULT_WALL:
        in->wall_offset += between(w, -90000, 90000);
        in->wall_set = true;
        trace(w, f->slot, -1, -1, "wall", in->wall_offset, 0, NULL);
        return;
    case FAULT_SLOW_BROKER:
        w->slow_broker_until = w->now + skewed(w, 500, 20000);
        return;
    case FAULT_BAD_FRONT:
        w->bad_front_until = w->now + skewed(w, 500, 30000);
        return;
    case FAULT_UNAUTHORIZED:
        w->unauthorized_until = w->now + skewed(w, 100, 5000);
        return;
    case FAULT_SECOND_TERM:
        if (in->stopping)
            instance_stop(in);
        return;
    case FAULT_EXPIRE:
        expire_offsets(w);
        return;
    }
}

static void fault_at(struct world *w, int kind, int slot, int64_t at)
{
    struct fault *f = arena_zalloc(&w->arena, sizeof *f);
    f->kind = kind;
    f->slot = slot;
    world_at(w, at, strike, f);
}

static void plan_faults(struct world *w)
{
    static const struct {
        int kind, weight;
    } rows[] = {{FAULT_KILL, 20},       {FAULT_STOP, 10},     {FAULT_START, 10},
                {FAULT_FREEZE, 14},     {FAULT_SUSPEND, 3},   {FAULT_STALL, 6},
                {FAULT_CUT, 16},        {FAULT_DEAF, 4},      {FAULT_WALL, 3},
                {FAULT_SLOW_BROKER, 5}, {FAULT_BAD_FRONT, 6}, {FAULT_UNAUTHORIZED, 2},
                {FAULT_SECOND_TERM, 3}};
    int all = 0, n = (int)rnd(w, 16);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        all += rows[i].weight;
    for (; n > 0; n--) {
        int at = (int)rnd(w, (uint64_t)all);
        size_t i = 0;
        while (at >= rows[i].weight)
            at -= rows[i++].weight;
        int slot = (int)rnd(w, (uint64_t)w->n_slots);
        fault_at(w, rows[i].kind, slot, between(w, 500, w->faults_end));
    }
    if (chance(w, 60)) { /* everybody goes, and comes back after a while */
        int64_t at = between(w, 5000, w->faults_end / 2);
        int64_t back = at + w->session_ms + 20000;
        for (int i = 0; i < w->n_slots; i++) {
            fault_at(w, FAULT_DOWN, i, at + between(w, 0, 1000));
            fault_at(w, FAULT_START, i, back + between(w, 0, 5000));
        }
        fault_at(w, FAULT_EXPIRE, 0, back - 1000);
    }
}

/* --- a seed --- */

static int often(struct world *w, int most)
{
    return chance(w, 500) ? 0 : (int)rnd(w, (uint64_t)most + 1);
}

static void choose_mood(struct world *w)
{
    struct mood *m = &w->mood;
    m->slow_wire = often(w, 100);
    m->late_marker = often(w, 200);
    m->slow_commit = often(w, 60);
    m->indefinite = often(w, 60);
    m->passing = often(w, 60);
    m->produce_timeout = often(w, 40);
    m->refuse_record = often(w, 300);
    m->read_error = often(w, 100);
    m->forget_token = often(w, 40);
    m->http_lost = often(w, 60);
    m->http_reset = often(w, 60);
    m->http_5xx = often(w, 60);
    m->http_5xx_done = often(w, 60);
    m->http_429 = often(w, 80);
    m->http_late = often(w, 60);
    m->http_head = often(w, 60);
    m->http_connect_fail = often(w, 60);
    m->http_slow = often(w, 200);
}

static void world_init(struct world *w, uint64_t seed, struct schemas *ss, bool print)
{
    static const int64_t sessions[] = {6000, 10000, 30000};
    static const int64_t limits[] = {600, 6000, 1000000};
    *w = (struct world){.seed = seed, .random = seed * 2654435761u, .ss = ss};
    w->print = print;
    w->hash = 0xcbf29ce484222325u;
    arena_init(&w->arena, 256 * 1024);
    w->n_parts = 1 + (int)rnd(w, PARTS_MAX);
    w->n_jobs_parts = chance(w, 100) ? 1 + (int)rnd(w, PARTS_MAX) : w->n_parts;
    w->n_slots = 1 + (int)rnd(w, SLOTS_MAX);
    w->session_ms = sessions[rnd(w, 3)];
    w->heartbeat_ms = w->session_ms / 10;
    w->rebalance_ms = chance(w, 500) ? 100000 : 300000;
    w->txn_timeout_ms = 15000;
    w->static_members = chance(w, 400);
    w->limit = limits[rnd(w, 3)];
    w->policy = chance(w, 600)   ? DOUBT_PROBE
                : chance(w, 500) ? DOUBT_REPORT
                                 : DOUBT_RETRY;
    w->dedupe_entries = chance(w, 100) ? 0 : 1000;
    w->big_answers = chance(w, 15);
    w->faults_end = between(w, 10000, 150000);
    choose_mood(w);
    broker_init(w);
    for (int i = 0; i < w->n_slots; i++) {
        w->instances[i].w = w;
        w->instances[i].slot = i;
        world_at(w, skewed(w, 0, 5000), start_slot, &w->instances[i]);
    }
    load_init(w);
    if (chance(w, 700))
        walk_compact(w, NULL);
    plan_faults(w);
    syncs_init(w);
}

static void world_fini(struct world *w)
{
    for (int i = 0; i < w->n_slots; i++)
        if (w->instances[i].alive)
            instance_kill(&w->instances[i]);
    broker_fini(w);
    syncs_fini(w);
    mem_free(w->heap);
    mem_free(w->lines);
    mem_free(w->sends);
    arena_fini(&w->arena);
}

static bool run_until(struct world *w, int64_t until, bool (*done)(const struct world *))
{
    while (!w->failed && !(done != NULL && done(w))) {
        if (w->n_heap == 0 || w->heap[0].at > until)
            return done == NULL;
        if (w->events > EVENTS_MAX)
            broken(w, "time passes", -1, -1, -1, "%d events", EVENTS_MAX);
        (void)world_step(w);
    }
    return !w->failed;
}

static void unanswered(struct world *w)
{
    for (int i = 0; i < w->n_cmds; i++) {
        const struct cmd *c = &w->cmds[i];
        if (!c->aborted && c->results + c->dead_letters == 0) {
            broken(w, "every command is answered in the end", -1, c->part, i,
                   "not within %d s of calm", CALM_MAX_MS / 1000);
            return;
        }
    }
}

static bool all_ended(const struct world *w)
{
    for (int i = 0; i < w->n_slots; i++)
        if (w->instances[i].alive)
            return false;
    return true;
}

static void be_calm(struct world *w)
{
    w->calm = true;
    w->calm_at = w->now;
    trace(w, -1, -1, -1, "calm", 0, 0, NULL);
    for (int i = 0; i < w->n_slots; i++) {
        struct instance *in = &w->instances[i];
        if (!in->alive && !(i > 0 && chance(w, 300)))
            world_at(w, w->now + between(w, 0, 5000), start_slot, in);
    }
    /* One of them is there in any case, also when it is just being stopped. */
    for (int i = 1; i < 8; i++)
        world_at(w, w->now + i * 30000, start_slot, &w->instances[0]);
    syncs_calm(w);
}

/* A dead member's partitions find an owner, lines reach the end; then all stop in order.
 */
static void stop_all(struct world *w)
{
    (void)run_until(w, w->now + STOP_MAX_MS, check_all_lines);
    sync_rest(w, run_until);
    (void)run_until(w, w->now + 5000, NULL);
    w->over = true;
    for (int i = 0; i < w->n_slots && !w->failed; i++) {
        if (w->instances[i].alive && !w->instances[i].stopping)
            instance_stop(&w->instances[i]);
        (void)run_until(w, w->now + between(w, 0, 3000), NULL);
    }
    if (!run_until(w, w->now + STOP_MAX_MS, all_ended))
        broken(w, "all processes end", -1, -1, -1, "not within %d s", STOP_MAX_MS / 1000);
    (void)run_until(w, w->now + 120000, NULL);
}

static void run_world(struct world *w)
{
    (void)run_until(w, w->faults_end, NULL);
    if (!w->failed)
        be_calm(w);
    if (!run_until(w, w->now + CALM_MAX_MS, check_all_answered))
        unanswered(w);
    if (!w->failed)
        stop_all(w);
    if (!w->failed)
        check_end(w);
}

/* --- all seeds --- */

/* What must have happened in any longer run, or the simulator proves less than it says.
 */
static struct {
    const char *what;
    int64_t a; /* -1: any */
    int64_t count;
} seen[] = {{"tick.end", TICK_ABORTED, 0},
            {"tick.end", TICK_STALE, 0},
            {"tick.end", TICK_BAD_RECORD, 0},
            {"tick.end", TICK_UNKNOWN, 0},
            {"txn.expired", -1, 0},
            {"commit.indefinite", -1, 0},
            {"gate.closed", -1, 0},
            {"preflight.no", -1, 0},
            {"lost", -1, 0},
            {"revoke", -1, 0},
            {"group.replaced", -1, 0},
            {"reply", -1, 0},
            {"dead-letter", -1, 0},
            {"freeze", -1, 0},
            {"suspend", -1, 0},
            {"stall", -1, 0},
            {"deaf", -1, 0},
            {"pause", -1, 0},
            {"look.end", LOOK_ABSENT, 0},
            {"look.end", LOOK_FOUND, 0},
            {"look.end", LOOK_UNCLEAR, 0},
            {"tail", -1, 0},
            {"tail.failed", -1, 0},
            {"sent again", -1, 0},
            {"recovered", -1, 0},
            {"replayed", -1, 0},
            {"id reused", -1, 0},
            {"page", -1, 0},
            {"walk.again", -1, 0},
            {"walk.cancel", -1, 0},
            {"walk.end", CANCELLED, 0},
            {"walk.end", FAILED, 0},
            {"below.page", -1, 0},
            {"below.gone", -1, 0},
            {"below.again", -1, 0},
            {"below.went on", -1, 0},
            {"sync.below", 1, 0},
            {"sync.run", -1, 0},
            {"sync.went on", -1, 0},
            {"sync.again", -1, 0},
            {"sync.end", SUCCEEDED, 0},
            {"sync.end", FAILED, 0},
            {"sync.end", CANCELLED, 0},
            {"sync.gone", -1, 0},
            {"wall", -1, 0}};
enum { N_SEEN = sizeof seen / sizeof seen[0], SEEN_SEEDS = 1000 };

struct totals {
    int64_t seeds, commands, kills, rebalances, executions, ticks, freezes, cuts,
        in_doubt, unknown, events, virtual_s, looks, recovered, replayed, resent, pages,
        items;
};

static void add(struct totals *t, const struct world *w)
{
    t->seeds++;
    t->commands += w->n_cmds;
    t->kills += w->kills;
    t->rebalances += w->rebalances;
    t->executions += w->executions;
    t->ticks += w->ticks;
    t->freezes += w->freezes;
    t->cuts += w->cuts;
    t->in_doubt += w->in_doubt;
    t->unknown += w->unknown_ticks;
    t->events += w->events;
    t->virtual_s += w->now / 1000;
    t->looks += w->looks;
    t->recovered += w->recovered;
    t->replayed += w->replayed;
    t->resent += w->resent;
    t->pages += w->pages_asked;
    t->items += w->items;
    for (size_t i = 0; i < w->n_lines; i++)
        for (size_t s = 0; s < N_SEEN; s++)
            if (strcmp(seen[s].what, w->lines[i].what) == 0 &&
                (seen[s].a < 0 || seen[s].a == w->lines[i].a))
                seen[s].count++;
}

struct run {
    int64_t first, last, jobs;
    bool single, print;
    bool all; /* goes on after a seed that failed */
};

static bool all_seen(void)
{
    bool all = true;
    for (size_t s = 0; s < N_SEEN; s++)
        if (seen[s].count == 0) {
            printf("sim: never happened: %s %lld\n", seen[s].what, (long long)seen[s].a);
            all = false;
        }
    return all;
}

static bool run_seed(uint64_t seed, struct schemas *ss, bool print, bool brief,
                     uint64_t *hash, struct totals *t)
{
    static struct world w;
    world_init(&w, seed, ss, print);
    w.brief = brief;
    running = &w;
    run_world(&w);
    running = NULL;
    *hash = w.hash;
    bool ok = !w.failed;
    w.failed = true; /* what follows is no part of the seed */
    add(t, &w);
    world_fini(&w);
    return ok;
}

/* An assertion of the engine: say where before dying. */
static void on_abort(int number)
{
    const struct world *w = running;
    (void)number;
    if (w != NULL) {
        trace_tail(w, -1, -1, -1, 100);
        printf("seed %llu at %.3f s: broken: the engine does not crash\n",
               (unsigned long long)w->seed, (double)w->now / 1000);
        fflush(stdout);
    }
    _exit(1);
}

static bool is_word(const char *arg, const char *name, int64_t *n)
{
    struct err e = ERR_INIT;
    size_t len = strlen(name);
    if (strncmp(arg, name, len) != 0)
        return false;
    return arg[len] == 0 || parse_i64(str_of(arg + len), 0, INT64_MAX, n, &e) == 0;
}

static double now_s(void)
{
    struct timespec t;
    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void report(const struct totals *t, double took_s)
{
    printf("sim: %lld seeds, %lld commands, %lld executions, %lld IN_DOUBT, %lld ticks "
           "(%lld unknown), %lld kills, %lld freezes, %lld cuts, %lld rebalances, "
           "%lld looks, %lld pages of jobs, %lld rows, %lld recovered, %lld sent again, "
           "%lld replayed, "
           "%lld virtual s; %.1f s, %.0f seeds/s\n",
           (long long)t->seeds, (long long)t->commands, (long long)t->executions,
           (long long)t->in_doubt, (long long)t->ticks, (long long)t->unknown,
           (long long)t->kills, (long long)t->freezes, (long long)t->cuts,
           (long long)t->rebalances, (long long)t->looks, (long long)t->pages,
           (long long)t->items, (long long)t->recovered, (long long)t->resent,
           (long long)t->replayed, (long long)t->virtual_s, took_s,
           (double)t->seeds / took_s);
}

/* One process of several: every n-th seed. What it prints is kept until it ends. */
struct share {
    struct totals totals;
    int64_t seen[N_SEEN];
    bool failed;
};

static void run_seeds(const struct run *run, int64_t first, int64_t step,
                      struct schemas *ss, struct share *own, const bool *stop)
{
    for (int64_t s = first; s <= run->last && (run->all || !*stop); s += step) {
        uint64_t hash, again;
        bool ok = run_seed((uint64_t)s, ss, run->print, run->all, &hash, &own->totals);
        if (ok && (run->single || s % REPLAY_EVERY == 0)) {
            (void)run_seed((uint64_t)s, ss, false, true, &again, &(struct totals){0});
            ok = hash == again;
            if (!ok)
                printf("seed %lld: broken: a seed replays exactly\n", (long long)s);
        }
        own->failed |= !ok;
        if (!ok && !run->all)
            break;
    }
    for (size_t i = 0; i < N_SEEN; i++)
        own->seen[i] = seen[i].count;
}

static void copy_out(FILE *from)
{
    char text[4096];
    size_t n;
    rewind(from);
    while ((n = fread(text, 1, sizeof text, from)) > 0)
        (void)fwrite(text, 1, n, stdout);
    (void)fclose(from);
}

/* Forks share nothing but what is in `shares`; one that fails stops the others. */
static bool run_jobs(const struct run *run, struct schemas *ss, struct totals *t)
{
    enum { JOBS_MAX = 16 };
    struct {
        bool stop;
        struct share of[JOBS_MAX];
    } *shares = mmap(NULL, sizeof *shares, PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    FILE *said[JOBS_MAX];
    pid_t pids[JOBS_MAX];
    int64_t jobs = run->jobs > JOBS_MAX ? JOBS_MAX : run->jobs;
    bool ok = shares != MAP_FAILED;
    (void)fflush(stdout);
    for (int64_t j = 0; ok && j < jobs; j++) {
        said[j] = tmpfile();
        pids[j] = said[j] != NULL ? fork() : -1;
        if (pids[j] < 0)
            return false;
        if (pids[j] > 0)
            continue;
        (void)dup2(fileno(said[j]), STDOUT_FILENO);
        run_seeds(run, run->first + j, jobs, ss, &shares->of[j], &shares->stop);
        (void)fflush(stdout);
        shares->stop |= shares->of[j].failed;
        _exit(shares->of[j].failed ? 1 : 0);
    }
    for (int64_t j = 0; ok && j < jobs; j++) {
        int status = 1;
        (void)waitpid(pids[j], &status, 0);
        shares->of[j].failed |= status != 0;
        shares->stop |= status != 0;
        copy_out(said[j]);
    }
    for (int64_t j = 0; ok && j < jobs; j++) {
        int64_t *sum = (int64_t *)t, *part = (int64_t *)&shares->of[j].totals;
        for (size_t i = 0; i < sizeof *t / sizeof *sum; i++)
            sum[i] += part[i];
        for (size_t i = 0; i < N_SEEN; i++)
            seen[i].count += shares->of[j].seen[i];
    }
    for (int64_t j = 0; ok && j < jobs; j++)
        ok = !shares->of[j].failed;
    return ok;
}

int main(int argc, char **argv)
{
    int64_t seeds = 2000, seed = -1;
    struct run run = {.jobs = 1};
    struct totals t = {0};
    struct err e = ERR_INIT;
    double began_s = now_s();
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "trace") == 0)
            run.print = true;
        else if (strcmp(argv[i], "all") == 0)
            run.all = true;
        else if (!is_word(argv[i], "seeds=", &seeds) &&
                 !is_word(argv[i], "seed=", &seed) &&
                 !is_word(argv[i], "jobs=", &run.jobs)) {
            fprintf(stderr, "usage: sim [seeds=N] [seed=K] [jobs=N] [all] [trace]\n");
            return 2;
        }
    }
    (void)signal(SIGABRT, on_abort);
    (void)signal(SIGSEGV, on_abort);
    log_setup(run.print ? LOG_DEBUG : LOG_ERROR, LOG_TEXT);
    log_buffered(!run.print);
    struct schemas *ss = schemas_new(NULL, &e);
    run.single = seed >= 0;
    run.first = run.single ? seed : 1;
    run.last = run.single ? seed : seeds;
    if (run.single || run.jobs < 1)
        run.jobs = 1;
    bool ok = run_jobs(&run, ss, &t);
    schemas_free(ss);
    if (ok && !run.single && seeds >= SEEN_SEEDS)
        ok = all_seen();
    report(&t, now_s() - began_s);
    return ok ? 0 : 1;
}
