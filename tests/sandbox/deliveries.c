/* The life of a delivery: it waits for its delay, then for a free connection of its hook,
 * runs, and ends or waits for its next try. */
#include <stddef.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

#include "sandbox.h"
#include "sign.h"

#define ANSWER_KEPT 1024
#define RETRY_AFTER_MAX_S 60
#define OLD_MS (-600000)

const char *const attack_names[ATTACKS] = {"bad_signature",  "no_signature",
                                           "two_signatures", "other_key",
                                           "flip_bit",       "old_timestamp"};

static const char *const state_names[] = {"waiting", "ready",  "running",
                                          "done",    "failed", "skipped"};

static bool is_over(const struct delivery *dl)
{
    return dl->state >= DELIVERY_DONE;
}

/* The one mover: lists, counts and what a state keeps. */
static void delivery_move(struct delivery *dl, enum delivery_state to)
{
    struct deliveries *ds = &dl->sb->deliveries;
    struct hook *hk = dl->hook;
    if (dl->state == DELIVERY_READY)
        TAILQ_REMOVE(&hk->ready, dl, link);
    if (dl->state == DELIVERY_RUNNING)
        hk->running--;
    timer_cancel(&dl->sb->timers, &dl->timer);
    if (!is_over(dl))
        ds->open--;
    dl->state = to;
    if (!is_over(dl)) {
        ds->open++;
    } else {
        post_fini(&dl->post);
        mem_free(dl->body);
        dl->body = NULL;
    }
    if (to == DELIVERY_READY)
        TAILQ_INSERT_TAIL(&hk->ready, dl, link);
    if (to == DELIVERY_RUNNING)
        hk->running++;
}

static void delivery_wait(struct delivery *dl, int64_t ms)
{
    if (ms <= 0) {
        delivery_move(dl, DELIVERY_READY);
        return;
    }
    delivery_move(dl, DELIVERY_WAITING);
    timer_set(&dl->sb->timers, &dl->timer, sandbox_ms(dl->sb) + ms);
}

static void delivery_skip(struct delivery *dl, const char *why)
{
    if (dl->state == DELIVERY_RUNNING)
        post_cancel(dl->sb->poster, &dl->post);
    delivery_move(dl, DELIVERY_SKIPPED);
    snprintf(dl->why, sizeof dl->why, "%s", why);
    dl->hook->skipped++;
}

static void delivery_free(struct delivery *dl)
{
    if (dl == NULL)
        return;
    if (!is_over(dl))
        delivery_skip(dl, "reset");
    mem_free(dl->answer);
    mem_free(dl);
}

static void on_timer(struct timer *t)
{
    struct delivery *dl =
        (struct delivery *)(void *)((char *)t - offsetof(struct delivery, timer));
    delivery_move(dl, DELIVERY_READY);
}

void deliveries_init(struct deliveries *ds)
{
    memset(ds, 0, sizeof *ds);
    ds->ring = mem_array(DELIVERIES_MAX, sizeof(*ds->ring));
}

void deliveries_clear(struct sandbox *sb)
{
    struct deliveries *ds = &sb->deliveries;
    for (size_t i = 0; i < DELIVERIES_MAX; i++) {
        delivery_free(ds->ring[i]);
        ds->ring[i] = NULL;
    }
}

void deliveries_fini(struct sandbox *sb)
{
    if (sb->deliveries.ring == NULL)
        return;
    deliveries_clear(sb);
    mem_free(sb->deliveries.ring);
    sb->deliveries.ring = NULL;
}

static void put(char *out, size_t size, const char *text)
{
    snprintf(out, size, "%.*s", (int)size - 1, text != NULL ? text : "");
}

static void on_done(struct post *ps);

struct delivery *delivery_add(struct sandbox *sb, const struct parcel *pc)
{
    struct deliveries *ds = &sb->deliveries;
    struct delivery **slot = &ds->ring[(ds->last + 1) % DELIVERIES_MAX];
    if (*slot != NULL && !is_over(*slot)) {
        pc->hook->lost++;
        mem_free(pc->body);
        return NULL;
    }
    delivery_free(*slot);
    struct delivery *dl = mem_zalloc(sizeof *dl);
    *slot = dl;
    dl->n = ++ds->last;
    dl->sb = sb;
    dl->hook = pc->hook;
    put(dl->method, sizeof dl->method, pc->method != NULL ? pc->method : "POST");
    put(dl->event, sizeof dl->event, pc->event);
    put(dl->type, sizeof dl->type, pc->type);
    put(dl->webhook_type, sizeof dl->webhook_type, pc->webhook_type);
    put(dl->challenge, sizeof dl->challenge, pc->challenge);
    dl->body = pc->body;
    dl->len = pc->len;
    dl->attacks = pc->attacks;
    dl->timestamp_offset_ms = pc->timestamp_offset_ms;
    if (dl->attacks & ATTACK_OLD_TIMESTAMP)
        dl->timestamp_offset_ms = OLD_MS;
    dl->timer.fire = on_timer;
    dl->post.done = on_done;
    dl->state = DELIVERY_WAITING;
    ds->open++;
    if (pc->skip != NULL)
        delivery_skip(dl, pc->skip);
    else
        delivery_wait(dl, pc->delay_ms);
    return dl;
}

static void header(struct delivery *dl, const char *name, const char *value)
{
    char *line = dl->lines[dl->n_headers - 1]; /* the first is not ours */
    snprintf(line, sizeof dl->lines[0], "%s: %s", name, value);
    dl->headers[dl->n_headers++] = line;
}

/* Signed anew for each try: a try has its own time. */
static void sign_delivery(struct delivery *dl)
{
    char key[320], time[24], signature[SIGNATURE_MAX];
    bool rule = dl->hook->kind == HOOK_RULE;
    struct str body =
        dl->body != NULL ? (struct str){dl->body, dl->len} : STR_LIT("undefined");
    int64_t at = clock_wall(&clock_system) + dl->timestamp_offset_ms;
    snprintf(key, sizeof key, "%s%s", dl->hook->key,
             dl->attacks & ATTACK_OTHER_KEY ? "-other" : "");
    snprintf(time, sizeof time, "%lld", (long long)at);
    sign(key, rule ? -1 : at, body, signature);
    if (dl->attacks & ATTACK_BAD_SIGNATURE)
        sign_spoil(signature);
    dl->headers[0] = "Content-Type: application/json";
    dl->n_headers = 1;
    if (!(dl->attacks & ATTACK_NO_SIGNATURE))
        header(dl, "X-Front-Signature", signature);
    if (dl->attacks & ATTACK_TWO_SIGNATURES) {
        sign_spoil(signature);
        header(dl, "X-Front-Signature", signature);
    }
    if (!rule)
        header(dl, "X-Front-Request-Timestamp", time);
    if (dl->challenge[0] != '\0')
        header(dl, "X-Front-Challenge", dl->challenge);
}

static void flip_bit(struct delivery *dl)
{
    if ((dl->attacks & ATTACK_FLIP_BIT) && dl->n_tries == 0 && dl->len > 0)
        dl->body[dl->len / 2] ^= 1;
}

static void delivery_start(struct delivery *dl)
{
    struct post *ps = &dl->post;
    if (dl->n_tries == 0 || !(dl->attacks & ATTACK_FLIP_BIT))
        sign_delivery(dl); /* the flipped body would be signed right the second time */
    flip_bit(dl);
    ps->method = dl->method;
    ps->url = dl->hook->url;
    ps->headers = dl->headers;
    ps->n_headers = dl->n_headers;
    ps->body = dl->body != NULL ? (struct str){dl->body, dl->len} : STR_NULL;
    ps->timeout_ms = dl->challenge[0] != '\0' ? HOOK_CHALLENGE_MS : dl->hook->timeout_ms;
    ps->fresh = dl->hook->kind != HOOK_APP;
    delivery_move(dl, DELIVERY_RUNNING);
    dl->tries[dl->n_tries].t_ms = sandbox_ms(dl->sb) - dl->sb->started_ms;
    if (post_start(dl->sb->poster, ps) < 0)
        on_done(ps);
}

static void note_try(struct delivery *dl)
{
    const struct post *ps = &dl->post;
    struct attempt *at = &dl->tries[dl->n_tries++];
    at->status = ps->status;
    at->took_ms = ps->took_ms;
    put(at->why, sizeof at->why, ps->timed_out ? "timeout" : ps->why);
    mem_free(dl->answer);
    dl->answer = NULL;
    if (ps->answer.len > 0)
        dl->answer = mem_strndup(
            ps->answer.data, ps->answer.len < ANSWER_KEPT ? ps->answer.len : ANSWER_KEPT);
}

/* Front repeats application webhooks only, and not after every status. */
static bool is_repeated(const struct delivery *dl)
{
    int status = dl->post.status;
    return dl->hook->kind == HOOK_APP && dl->challenge[0] == '\0' &&
           dl->n_tries <= dl->hook->retries &&
           (status == 0 || status == 408 || status == 429 || status >= 500);
}

static void on_done(struct post *ps)
{
    struct delivery *dl =
        (struct delivery *)(void *)((char *)ps - offsetof(struct delivery, post));
    struct hook *hk = dl->hook;
    bool fine = ps->status >= 200 && ps->status < 300;
    note_try(dl);
    if (!fine && is_repeated(dl)) {
        int64_t wait = hk->retry_ms, asked = ps->retry_after_s;
        asked = (asked < RETRY_AFTER_MAX_S ? asked : RETRY_AFTER_MAX_S) * 1000;
        hk->retried++;
        delivery_wait(dl, asked > wait ? asked : wait > 0 ? wait : 1);
        return;
    }
    if (dl->challenge[0] != '\0')
        fine = hook_challenge_end(dl->sb, hk, dl);
    if (hk->kind == HOOK_CHANNEL && dl->attacks == 0)
        hook_channel_end(dl->sb, dl, fine);
    delivery_move(dl, fine ? DELIVERY_DONE : DELIVERY_FAILED);
    if (dl->challenge[0] == '\0')
        hook_delivery_end(dl->sb, hk, fine, dl->attacks != 0);
}

void deliveries_turn(struct sandbox *sb)
{
    poster_turn(sb->poster); /* first: what ends makes room */
    for (size_t i = 0; i < HOOKS; i++) {
        struct hook *hk = &sb->hooks.hooks[i];
        while (hk->running < hk->connections && !TAILQ_EMPTY(&hk->ready))
            delivery_start(TAILQ_FIRST(&hk->ready));
    }
}

void deliveries_drop(struct sandbox *sb, struct hook *hook, const char *why)
{
    for (size_t i = 0; i < DELIVERIES_MAX && sb->deliveries.open > 0; i++) {
        struct delivery *dl = sb->deliveries.ring[i];
        if (dl != NULL && dl->hook == hook && !is_over(dl))
            delivery_skip(dl, why);
    }
}

static json_t *attacks_dump(unsigned attacks)
{
    json_t *all = json_array();
    for (unsigned i = 0; i < ATTACKS; i++)
        if (attacks & (1u << i))
            (void)json_array_append_new(all, json_string(attack_names[i]));
    return all;
}

static json_t *delivery_dump(const struct delivery *dl)
{
    json_t *tries = json_array();
    for (int i = 0; i < dl->n_tries; i++) {
        const struct attempt *at = &dl->tries[i];
        (void)json_array_append_new(
            tries, json_pack("{s:I, s:I, s:o, s:s?}", "t_ms", (json_int_t)at->t_ms,
                             "took_ms", (json_int_t)at->took_ms, "status",
                             at->status != 0 ? json_integer(at->status) : json_null(),
                             "why", at->why[0] != '\0' ? at->why : NULL));
    }
    json_t *answer = dl->answer != NULL ? json_string(dl->answer) : NULL;
    return json_pack(
        "{s:I, s:s, s:s, s:s?, s:s?, s:s, s:s?, s:o, s:o, s:o}", "n", (json_int_t)dl->n,
        "kind", hook_kind_names[dl->hook->kind], "type", dl->type, "webhook_type",
        dl->webhook_type[0] != '\0' ? dl->webhook_type : NULL, "event",
        dl->event[0] != '\0' ? dl->event : NULL, "state", state_names[dl->state], "why",
        dl->why[0] != '\0' ? dl->why : NULL, "attacks", attacks_dump(dl->attacks),
        "attempts", tries, "answer", answer != NULL ? answer : json_null());
}

json_t *deliveries_dump(const struct deliveries *ds, uint64_t since, size_t limit,
                        const char *event)
{
    json_t *all = json_array();
    uint64_t n = ds->last > DELIVERIES_MAX ? ds->last - DELIVERIES_MAX + 1 : 1;
    if (n <= since)
        n = since + 1;
    for (; n <= ds->last && json_array_size(all) < limit; n++) {
        const struct delivery *dl = ds->ring[n % DELIVERIES_MAX];
        if (dl != NULL && (event == NULL || strcmp(dl->event, event) == 0))
            (void)json_array_append_new(all, delivery_dump(dl));
    }
    return all;
}
