/* The model Front and the HTTP client in front of it. A request that has left is
 * executed at a time of its own, also when nobody waits for it any more; the answer may
 * say less than what happened, or never come. Owns struct http_sim. */
#include "world.h"

#include <stdio.h>
#include <string.h>

enum {
    REFUSALS_MAX = 60,
    /* Where absence proves, Front shows what was executed this long after the client has
     * given up at the latest: the honest window of two looks that lie 10 s apart, the
     * first 10 s after the loss. */
    FAIR_MS = 15000,
    /* ... and executes at the latest this long after it. */
    LATE_MS = 500
};
enum http_state { CONNECTING, SENT, ENDED };

struct http_sim {
    struct http_call *call;
    struct instance *in;
    enum http_state state;
    bool fails_to_connect, cancelled, answered, reset;
    int cmd;   /* whose own request it is; -1: a look, or GET /me */
    int about; /* a look: which command it is about; else -1 */
    int thing; /* what it names; -1: nothing */
    uint64_t owner;
    struct list list;
    bool has_list;
    bool is_page; /* of a list that may have many */
    int job_of;   /* whose page it is, and not the first; -1: none */
    struct shown_page page;
    const char *query;
    struct below *below; /* a row's list is asked for; NULL: not */
    struct below_page below_page;
    bool is_sync;
    struct sync_ask sync;
    int sync_page;
    int64_t date; /* when Front answered */
    int made;     /* what its execution made; -1: not executed */
    int64_t fair_until;
    enum http_method method;
    bool retargeted;
    int64_t ready_at, timeout_at;
    struct send *send;
    /* the answer */
    int status;
    enum http_end end;
    int64_t retry_after;
    size_t padding;
};

static const struct mood *mood(const struct world *w)
{
    return w->calm ? &w->quiet : &w->mood;
}

/* In a bad phase everything that can go wrong does so more often. */
static bool bad(struct world *w, int per_mille)
{
    if (!w->calm && w->bad_front_until > w->now)
        per_mille = per_mille * 4 + 60;
    return chance(w, per_mille);
}

/* --- Front --- */

static void wake(struct world *w, struct event *ev)
{
    (void)w;
    instance_wake(ev->in);
}

static void answer_comes(struct world *w, struct event *ev)
{
    struct http_sim *hs = ev->p;
    (void)w;
    hs->answered = true;
    instance_wake(hs->in);
}

static void reply(struct world *w, struct http_sim *hs, int64_t at, int status)
{
    struct instance *in = hs->in;
    hs->status = status;
    hs->end = HTTP_ANSWERED;
    hs->date = at;
    if (in->alive && in->life == hs->send->life)
        world_in(w, in, at + between(w, 0, 30), answer_comes, hs);
}

static void execute(struct world *w, struct event *ev)
{
    struct http_sim *hs = ev->p;
    hs->made = w->cmds[hs->cmd].n_made;
    check_execution(w, hs->send, hs->fair_until);
}

/* When it is executed, if at all. */
static int64_t execute_at(struct world *w, struct http_sim *hs, int64_t at)
{
    if (hs->cmd < 0 || hs->send->get)
        return at;
    if (w->cmds[hs->cmd].proves && at > hs->timeout_at)
        at = hs->timeout_at + between(w, 0, LATE_MS);
    world_at(w, at, execute, hs);
    return at;
}

/* The client gives up now, whatever becomes of the request. */
static void gives_up(struct http_sim *hs, int64_t at)
{
    if (at + FAIR_MS < hs->fair_until)
        hs->fair_until = at + FAIR_MS;
}

static int success(const struct http_sim *hs)
{
    if (hs->method == HTTP_GET)
        return 200;
    return hs->method == HTTP_POST ? 201 : 204;
}

/* What Front says without doing anything; 0: it does it. */
static int refusal(struct world *w, const struct http_sim *hs)
{
    if (!w->calm && w->unauthorized_until > w->now)
        return 401;
    if (bad(w, mood(w)->http_429))
        return 429;
    if (hs->thing < 0)
        return 0;
    const struct cmd *c = &w->cmds[hs->thing];
    if (c->merged && !hs->retargeted)
        return 301;
    if (c->missing)
        return 404;
    if (hs->method == HTTP_DELETE && c->thing_done > 0)
        return 404;
    return c->kind == KIND_DEDUP && c->thing_done > 0 ? 409 : 0;
}

static void arrive(struct world *w, struct event *ev)
{
    struct http_sim *hs = ev->p;
    const struct mood *m = mood(w);
    int64_t soon = w->now + skewed(w, 1, bad(w, m->http_slow) ? 20000 : 200);
    int no = refusal(w, hs);
    hs->has_list = hs->about >= 0;
    if (hs->has_list)
        hs->list = list_now(w, hs->thing, hs->about, hs->owner);
    if (no == 0 && hs->is_page &&
        !walk_ask(w, hs->thing, hs->query, bad(w, m->forget_token), &hs->page))
        no = 400;
    if (no == 0 && hs->below != NULL)
        no = below_ask(w, hs->below, hs->query, bad(w, m->forget_token), &hs->below_page);
    if (no == 0 && hs->is_sync && hs->below == NULL &&
        (hs->sync_page = syncs_ask(w, &hs->sync, bad(w, m->forget_token))) == 0)
        no = 400;
    if (no != 0) {
        hs->retry_after = no == 429 ? between(w, 1, 4) : -1;
        reply(w, hs, soon, no);
        return;
    }
    if (bad(w, m->http_5xx)) {
        static const int codes[] = {500, 503, 408, 502};
        reply(w, hs, soon, codes[rnd(w, 4)]);
        return;
    }
    if (bad(w, m->http_5xx_done)) {
        gives_up(hs, soon);
        (void)execute_at(w, hs, w->now + skewed(w, 0, 2000));
        reply(w, hs, soon, 500);
        return;
    }
    if (bad(w, m->http_lost)) { /* a time-out for the client; done or not */
        if (chance(w, 600))
            (void)execute_at(w, hs, w->now + skewed(w, 0, 20000));
        return;
    }
    if (bad(w, m->http_reset)) {
        gives_up(hs, soon);
        if (chance(w, 600))
            (void)execute_at(w, hs, w->now + skewed(w, 0, 5000));
        hs->reset = true;
        reply(w, hs, soon, 0);
        return;
    }
    if (bad(w, m->http_late)) { /* long after the client has gone */
        int64_t late = w->now + between(w, 1000, 90000);
        late = execute_at(w, hs, late);
        reply(w, hs, late + 1, success(hs));
        return;
    }
    int64_t done = execute_at(w, hs, between(w, w->now, soon));
    reply(w, hs, done > soon ? done : soon, success(hs));
    hs->padding = hs->cmd < 0 || hs->is_page ? 0
                  : w->big_answers           ? 850000
                  : chance(w, 100)           ? 900
                                             : 0;
    if ((hs->thing >= 0 || hs->is_sync) && bad(w, m->http_head))
        hs->end = chance(w, 500) ? HTTP_HEAD_ONLY : HTTP_TOO_LARGE;
}

/* --- the HTTP port --- */

static int port_start(void *self, struct http_call *call)
{
    struct instance *in = self;
    struct world *w = in->w;
    if (in->n_calls == CALLS_MAX)
        return -1;
    struct http_sim *hs = arena_zalloc(&w->arena, sizeof *hs);
    enum peek what;
    int cmd = peek_command(w, call, &what), sync = what == PEEK_SYNC ? cmd : -1;
    bool look = what == PEEK_LOOK;
    if (sync >= 0)
        cmd = -1;
    *hs = (struct http_sim){.call = call,
                            .in = in,
                            .cmd = what != PEEK_OWN ? -1 : cmd,
                            .about = look ? cmd : -1,
                            .job_of = what == PEEK_PAGE ? cmd : -1,
                            .owner = in->k.owner,
                            .thing = load_number(call->path),
                            .made = -1};
    if (hs->thing < 0 && call->body.ptr != NULL)
        hs->thing = load_number(arena_strndup(&w->arena, call->body.ptr, call->body.len));
    if (cmd >= 0 && hs->thing != w->cmds[cmd].thing)
        broken(w, "a request says what its command says", in->slot, w->cmds[cmd].part,
               cmd, "it is about %d", hs->thing);
    if (look)
        look_begins(w, in, cmd);
    hs->is_page = !look && walk_is_page(w, hs->thing, call);
    hs->query = call->query != NULL
                    ? arena_strndup(&w->arena, call->query, strlen(call->query))
                    : NULL;
    if (what == PEEK_PAGE)
        walk_check_ask(w, in, cmd, call->path, hs->query);
    hs->is_sync = sync >= 0;
    if ((hs->is_sync || what == PEEK_PAGE) &&
        below_is_path(w, call->path, &hs->below_page))
        hs->below = hs->is_sync ? sync_below(w, sync) : &w->cmds[cmd].walk.below;
    if (hs->is_sync) {
        hs->sync = syncs_asked(w, in, sync, call->path, hs->query);
        sync_check_ask(w, in, &hs->sync);
    }
    hs->method = call->method;
    hs->retargeted =
        strstr(call->path, "m/") != NULL || call->path[strlen(call->path) - 1] == 'm';
    hs->fails_to_connect = bad(w, mood(w)->http_connect_fail);
    /* A kept connection is ready at once. */
    hs->ready_at = w->now + (chance(w, 600) ? 0 : skewed(w, 1, 3000));
    hs->timeout_at = w->now + call->timeout_ms;
    hs->fair_until = hs->timeout_at + FAIR_MS;
    hs->retry_after = -1;
    call->gate_opened = false;
    call->end = HTTP_NOT_SENT;
    call->why[0] = 0;
    buf_fini(&call->body_in);
    buf_init(&call->body_in, call->body_max);
    if (in->k.revoking && hs->cmd >= 0)
        broken(w, "after a revoke no call is begun", in->slot, -1, hs->cmd, "begun");
    in->useful = true;
    in->calls[in->n_calls++] = hs;
    if (hs->ready_at > w->now)
        world_in(w, in, hs->ready_at, wake, NULL);
    world_in(w, in, hs->timeout_at, wake, NULL);
    return 0;
}

/* The drain budget of a revoke or of a stop has not passed. */
static bool drains(const struct instance *in)
{
    const struct client *k = &in->k;
    int64_t from = in->stopping ? in->stopped_at : -in->options.drain_ms;
    if (k->revoking && k->revoked_at > from)
        from = k->revoked_at;
    return in->w->now < from + in->options.drain_ms;
}

static void port_cancel(void *self, struct http_call *call)
{
    struct instance *in = self;
    for (size_t i = 0; i < in->n_calls; i++) {
        struct http_sim *hs = in->calls[i];
        if (hs->call != call || hs->state == ENDED)
            continue;
        bool own = in->k.current != 0 && hs->owner == in->k.owner;
        bool ends = (hs->job_of >= 0 && walk_ends(in, &in->w->cmds[hs->job_of])) ||
                    (hs->is_sync && sync_ends(in, hs->sync.sync));
        if (in->alive && own && !ends && !in->k.told_lost && in->terms < 2 && drains(in))
            broken(in->w, "a drain waits for the calls that run", in->slot, -1, hs->cmd,
                   "cancelled");
        hs->cancelled = true;
        hs->state = ENDED;
        instance_wake(in);
    }
}

/* The last moment before the bytes leave. */
static void leave(struct instance *in, struct http_sim *hs)
{
    struct world *w = in->w;
    struct http_call *call = hs->call;
    if (hs->fails_to_connect || !call->gate(call)) {
        (void)snprintf(call->why, sizeof call->why, "%s",
                       hs->fails_to_connect ? "connect failed" : "the gate was closed");
        if (!hs->fails_to_connect && hs->cmd >= 0) {
            struct cmd *c = &w->cmds[hs->cmd];
            trace(w, in->slot, c->part, hs->cmd, "gate.closed", ++c->refusals, 0, NULL);
            if (c->refusals > REFUSALS_MAX)
                broken(w, "a closed gate is waited for", in->slot, c->part, hs->cmd,
                       "asked %d times", c->refusals);
        }
        hs->state = ENDED;
        if (hs->cmd >= 0)
            check_arming_over(w, in->k.owner, hs->cmd);
        return;
    }
    call->gate_opened = true;
    hs->state = SENT;
    struct send *s = arena_zalloc(&w->arena, sizeof *s);
    *s = (struct send){.cmd = hs->cmd,
                       .inst = in->slot,
                       .life = in->life,
                       .owner = in->k.owner,
                       .at = w->now,
                       .get = hs->method == HTTP_GET};
    hs->send = s;
    if (hs->cmd >= 0)
        check_send(w, s);
    w->looks += hs->about >= 0;
    if (!bad(w, mood(w)->http_lost / 2)) /* else it never gets there */
        world_at(w, w->now + skewed(w, 1, 400), arrive, hs);
}

static void fill_answer(struct instance *in, struct http_sim *hs)
{
    struct http_call *call = hs->call;
    struct world *w = in->w;
    call->end = hs->reset ? HTTP_LOST : hs->end;
    if (call->end == HTTP_LOST)
        return;
    call->head = (struct http_head){.status = hs->status,
                                    .limit = w->limit,
                                    .remaining = hs->status == 429 ? 0 : w->limit / 2,
                                    .reset = -1,
                                    .retry_after = (double)hs->retry_after,
                                    .date_ms = EPOCH_MS + hs->date};
    if (hs->status == 301)
        (void)snprintf(call->head.location, sizeof call->head.location,
                       "https://front/conversations/cnv_%dm", hs->thing);
    if (hs->end == HTTP_ANSWERED && hs->status == 200 && hs->has_list) {
        list_print(w, hs->thing, &hs->list, &call->body_in);
    } else if (hs->end == HTTP_ANSWERED && hs->status == 200 && hs->cmd >= 0 &&
               w->cmds[hs->cmd].items >= 0) {
        (void)buf_add_cstr(&call->body_in,
                           "{\"_pagination\":{\"next\":null},\"_results\":[");
        for (int i = 0; i < w->cmds[hs->cmd].items; i++)
            (void)buf_printf(&call->body_in, "%s{\"id\":\"com_%d_%d\",\"body\":\"%0*d\"}",
                             i > 0 ? "," : "", hs->cmd, i, i * 200 + 1, i);
        (void)buf_add_cstr(&call->body_in, "]}");
    } else if (hs->end == HTTP_ANSWERED && hs->status == 200 && hs->is_page) {
        walk_print(w, hs->thing, &hs->page, &call->body_in);
    } else if (hs->end == HTTP_ANSWERED && hs->status == 200 && hs->below != NULL) {
        below_print(w, &hs->below_page, &call->body_in);
    } else if (hs->end == HTTP_ANSWERED && hs->status == 200 && hs->is_sync) {
        syncs_print(w, hs->sync_page, &call->body_in);
    } else if (hs->end == HTTP_ANSWERED && hs->status != 204) {
        char id[32];
        (void)snprintf(id, sizeof id, "res_%d", hs->cmd);
        if (hs->made >= 0 && w->cmds[hs->cmd].n_made > 0)
            (void)list_id(w, hs->cmd, hs->made, id);
        (void)buf_printf(&call->body_in, "{\"id\":\"%s\",\"pad\":\"", id);
        if (buf_reserve(&call->body_in, hs->padding + 2) != 0)
            return;
        memset(call->body_in.data + call->body_in.len, 'x', hs->padding);
        call->body_in.len += hs->padding;
        (void)buf_add_cstr(&call->body_in, "\"}");
    }
}

/* Whoever got the head knows that it was done, whatever the lists say. */
static void hide(struct http_sim *hs)
{
    struct world *w = hs->in->w;
    struct cmd *c = &w->cmds[hs->send->cmd];
    if (hs->made >= 0 && hs->made < c->n_made && chance(w, 300))
        c->made[hs->made].hidden_from = hs->owner;
}

/* The moment this process learns what became of a request. */
static void learn(struct http_sim *hs)
{
    struct send *s = hs->send;
    if (hs->cmd >= 0)
        check_arming_over(hs->in->w, hs->in->k.owner, hs->cmd);
    if (s == NULL || s->ended)
        return;
    s->ended = true;
    s->learnt_at = hs->in->w->now;
    if (hs->cancelled || !hs->answered || hs->reset)
        return;
    s->cut = hs->end == HTTP_HEAD_ONLY;
    s->limited = hs->status == 429;
    if (hs->status >= 200 && hs->status < 300)
        s->evidence = EVIDENCE_DONE;
    else if (hs->status == 301 || hs->status == 429 ||
             (hs->status >= 400 && hs->status < 500 && hs->status != 408))
        s->evidence = EVIDENCE_NOT;
    if (s->cut && s->evidence == EVIDENCE_DONE)
        hide(hs);
}

/* A list counts only as a whole answer that says 200. */
static void look_learnt(struct instance *in, const struct http_sim *hs)
{
    const struct http_call *call = hs->call;
    if (hs->about < 0 || hs->cancelled)
        return;
    bool answered = call->end == HTTP_ANSWERED || call->end == HTTP_TOO_LARGE;
    int status = answered ? hs->status : 0;
    bool shown = call->end == HTTP_ANSWERED && status == 200;
    bool refused = call->end == HTTP_TOO_LARGE
                       ? status < 400
                       : status >= 300 && status < 500 && status != 408 && status != 429;
    bool counts = status != 429 && call->end != HTTP_NOT_SENT;
    look_ends(in->w, in, hs->about, shown ? &hs->list : NULL, refused, counts);
}

void front_turn(struct instance *in)
{
    struct world *w = in->w;
    for (size_t i = 0; i < in->n_calls; i++) {
        struct http_sim *hs = in->calls[i];
        if (hs->state == CONNECTING && w->now >= hs->ready_at)
            leave(in, hs);
        if (hs->state == SENT && hs->answered) {
            fill_answer(in, hs);
            hs->state = ENDED;
        } else if (hs->state != ENDED && w->now >= hs->timeout_at) {
            (void)snprintf(hs->call->why, sizeof hs->call->why, "timed out");
            hs->call->end = hs->state == SENT ? HTTP_LOST : HTTP_NOT_SENT;
            hs->state = ENDED;
        } else {
            continue;
        }
        instance_wake(in);
    }
}

static void port_reap(void *self)
{
    struct instance *in = self;
    struct http_sim *ended[CALLS_MAX];
    size_t n = 0, kept = 0;
    for (size_t i = 0; i < in->n_calls; i++)
        if (in->calls[i]->state == ENDED)
            ended[n++] = in->calls[i];
        else
            in->calls[kept++] = in->calls[i];
    in->n_calls = kept;
    for (size_t i = 0; i < n; i++) {
        struct http_sim *hs = ended[i];
        in->useful = true;
        learn(hs);
        look_learnt(in, hs);
        if (hs->cancelled)
            hs->call->end = hs->send != NULL ? HTTP_LOST : HTTP_NOT_SENT;
        if (hs->call->end == HTTP_LOST || hs->call->end == HTTP_NOT_SENT)
            hs->call->head =
                (struct http_head){.limit = -1, .remaining = -1, .reset = -1};
        trace(in->w, in->slot, -1, hs->cmd, "http.end", (int64_t)hs->call->end,
              hs->call->head.status, NULL);
        hs->call->done(hs->call);
    }
}

void front_drop(struct instance *in)
{
    in->n_calls = 0;
}

struct http_port front_port(struct instance *in)
{
    return (struct http_port){port_start, port_cancel, port_reap, in};
}
