/* Registering webhooks, the challenge, disabling. */
#include <stddef.h>
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

#define AGAIN_MS 200
#define AGAIN_MAX_MS 1600

const char *const hook_kind_names[HOOKS] = {"app", "rule", "channel"};
static const char *const state_names[] = {"none", "checking", "active", "refused",
                                          "disabled"};

struct number_row {
    const char *name;
    size_t at;
    int64_t min, max;
};

static const struct number_row numbers[] = {
    {"timeout_ms", offsetof(struct hook, timeout_ms), 10, 600000},
    {"retry_ms", offsetof(struct hook, retry_ms), 0, 3600000},
    {"retries", offsetof(struct hook, retries), 0, DELIVERY_TRIES_MAX - 1},
    {"disable_after", offsetof(struct hook, disable_after), 0, 1000000},
    {"connections", offsetof(struct hook, connections), 1, HOOK_CONNECTIONS_MAX},
};

static int64_t *number_at(struct hook *hk, const struct number_row *row)
{
    return (int64_t *)(void *)((char *)hk + row->at);
}

static void on_again(struct timer *t)
{
    struct hook *hk = (struct hook *)(void *)((char *)t - offsetof(struct hook, again));
    hook_send_challenge(hk->sb, hk);
}

/* As Front has it: 5 s, for a channel 7 s; application webhooks are tried 4 times. */
static void preset(struct hook *hk)
{
    hk->preview = false;
    hk->challenge = true;
    hk->timeout_ms = hk->kind == HOOK_CHANNEL ? 7000 : 5000;
    hk->retry_ms = 500;
    hk->retries = 3;
    hk->disable_after = 20;
    hk->connections = 8;
}

void hooks_init(struct sandbox *sb)
{
    for (size_t i = 0; i < HOOKS; i++) {
        struct hook *hk = &sb->hooks.hooks[i];
        memset(hk, 0, sizeof *hk);
        hk->sb = sb;
        hk->kind = (enum hook_kind)i;
        hk->again.fire = on_again;
        TAILQ_INIT(&hk->ready);
        preset(hk);
    }
}

void hook_remove(struct sandbox *sb, struct hook *hk)
{
    deliveries_drop(sb, hk, "removed");
    timer_cancel(&sb->timers, &hk->again);
    mem_free(hk->url);
    mem_free(hk->key);
    json_decref(hk->types);
    hk->url = hk->key = NULL;
    hk->types = NULL;
    hk->state = HOOK_NONE;
    hk->why[0] = '\0';
    hk->failures = 0;
    hk->delivered = hk->failed = hk->retried = hk->skipped = hk->lost = 0;
    preset(hk);
}

void hooks_fini(struct sandbox *sb)
{
    for (size_t i = 0; i < HOOKS; i++)
        if (sb->hooks.hooks[i].sb != NULL)
            hook_remove(sb, &sb->hooks.hooks[i]);
}

struct hook *hook_find(struct hooks *hs, const char *kind)
{
    for (size_t i = 0; kind != NULL && i < HOOKS; i++)
        if (strcmp(hook_kind_names[i], kind) == 0)
            return &hs->hooks[i];
    return NULL;
}

static int number_check(const struct number_row *row, const json_t *v, struct err *e)
{
    json_int_t n = json_integer_value(v);
    if (v == NULL || (json_is_integer(v) && n >= row->min && n <= row->max))
        return 0;
    return err_set(e, ERR_INPUT, "%s: a number from %lld to %lld", row->name,
                   (long long)row->min, (long long)row->max);
}

static bool fits_text(const json_t *v, const char *one, const char *other)
{
    const char *text = json_string_value(v);
    return v == NULL ||
           (text != NULL && (strcmp(text, one) == 0 || strcmp(text, other) == 0));
}

static int url_check(const json_t *v, struct err *e)
{
    const char *url = json_string_value(v);
    if (v == NULL || (url != NULL && (strncmp(url, "http://", 7) == 0 ||
                                      strncmp(url, "https://", 8) == 0)))
        return 0;
    return err_set(e, ERR_INPUT, "url: http://... or https://...");
}

static bool known_field(const char *name)
{
    static const char *const others[] = {"kind",      "url",   "key",    "payload",
                                         "challenge", "types", "enabled"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        if (strcmp(others[i], name) == 0)
            return true;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (strcmp(numbers[i].name, name) == 0)
            return true;
    return false;
}

/* Everything that can be wrong is found before anything is changed. */
static int fields_check(const struct hook *hk, const json_t *fields, struct err *e)
{
    const json_t *key = json_object_get(fields, "key");
    const char *name;
    json_t *v;
    json_object_foreach(mem_unconst(fields), name, v)
    {
        if (!known_field(name))
            return err_set(e, ERR_INPUT, "%s: no such field of a webhook", name);
    }
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        if (number_check(&numbers[i], json_object_get(fields, numbers[i].name), e) < 0)
            return -1;
    if (url_check(json_object_get(fields, "url"), e) < 0)
        return -1;
    if (key != NULL && (json_string_length(key) == 0 || json_string_length(key) > 256))
        return err_set(e, ERR_INPUT, "key: a text of 1 to 256 bytes");
    if (!fits_text(json_object_get(fields, "payload"), "full", "preview"))
        return err_set(e, ERR_INPUT, "payload: full or preview");
    if (hk->url == NULL && json_object_get(fields, "url") == NULL)
        return err_set(e, ERR_INPUT, "url: needed for a new webhook");
    if (hk->key == NULL && key == NULL &&
        (hk->kind == HOOK_RULE || hk->sb->opt.app_secret == NULL))
        return err_set(e, ERR_INPUT, "key: needed for a new webhook");
    return 0;
}

static void text_replace(char **at, const char *text)
{
    if (text == NULL)
        return;
    mem_free(*at);
    *at = mem_strdup(text);
}

static void hook_enable(struct sandbox *sb, struct hook *hk, bool challenge)
{
    timer_cancel(&sb->timers, &hk->again);
    hk->why[0] = '\0';
    hk->failures = 0;
    hk->state = HOOK_ACTIVE;
    hk->challenge_text[0] = '\0'; /* an older one does not count any more */
    hk->again_ms = AGAIN_MS;
    if (challenge && hk->challenge && hk->kind == HOOK_APP)
        hook_send_challenge(sb, hk);
}

static void hook_disable(struct sandbox *sb, struct hook *hk, const char *why)
{
    timer_cancel(&sb->timers, &hk->again);
    hk->state = HOOK_DISABLED;
    snprintf(hk->why, sizeof hk->why, "%s", why);
    deliveries_drop(sb, hk, "disabled");
}

int hook_set(struct sandbox *sb, const json_t *fields, struct err *e)
{
    const char *kind = json_string_value(json_object_get(fields, "kind"));
    struct hook *hk = hook_find(&sb->hooks, kind != NULL ? kind : "app");
    const json_t *payload = json_object_get(fields, "payload");
    const json_t *enabled = json_object_get(fields, "enabled");
    const json_t *challenge = json_object_get(fields, "challenge");
    json_t *types = json_object_get(fields, "types");
    if (!json_is_object(fields) || hk == NULL)
        return err_set(e, ERR_INPUT, "kind: app, rule or channel");
    if (fields_check(hk, fields, e) < 0)
        return -1;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        const json_t *v = json_object_get(fields, numbers[i].name);
        if (v != NULL)
            *number_at(hk, &numbers[i]) = json_integer_value(v);
    }
    text_replace(&hk->url, json_string_value(json_object_get(fields, "url")));
    text_replace(&hk->key, json_string_value(json_object_get(fields, "key")));
    if (hk->key == NULL)
        text_replace(&hk->key, sb->opt.app_secret);
    if (payload != NULL)
        hk->preview = strcmp(json_string_value(payload), "preview") == 0;
    if (challenge != NULL)
        hk->challenge = json_is_true(challenge);
    if (types != NULL) {
        json_decref(hk->types);
        hk->types = json_is_array(types) ? json_deep_copy(types) : NULL;
    }
    if (json_object_get(fields, "url") != NULL)
        hook_enable(sb, hk, true);
    else if (json_is_true(enabled))
        hook_enable(sb, hk, hk->state == HOOK_REFUSED);
    if (json_is_false(enabled))
        hook_disable(sb, hk, "by hand");
    return 0;
}

void hook_send_challenge(struct sandbox *sb, struct hook *hk)
{
    static const char body[] =
        "{\"type\":\"sync\",\"authorization\":{\"id\":\"cmp_sandbox\"}}";
    struct parcel pc = {.hook = hk, .type = "sync", .challenge = hk->challenge_text};
    sandbox_uid(sb, hk->challenge_text);
    pc.body = mem_dup(body, sizeof body - 1);
    pc.len = sizeof body - 1;
    hk->state = HOOK_CHECKING;
    (void)delivery_add(sb, &pc);
}

/* The value as text, as a form or as JSON: the content type says which. */
static bool echoes(const struct post *ps, const char *value)
{
    struct str answer = buf_str(&ps->answer);
    struct str type = str_of(ps->content_type);
    if (str_starts(type, "application/json")) {
        json_t *j = json_loadb(answer.len > 0 ? answer.ptr : "", answer.len, 0, NULL);
        const char *text = json_string_value(json_object_get(j, "challenge"));
        bool same = text != NULL && strcmp(text, value) == 0;
        json_decref(j);
        return same;
    }
    if (str_starts(type, "application/x-www-form-urlencoded")) {
        if (!str_starts(answer, "challenge="))
            return false;
        answer.ptr += 10;
        answer.len -= 10;
    }
    return str_is(answer, value);
}

bool hook_challenge_end(struct sandbox *sb, struct hook *hk, const struct delivery *dl)
{
    const struct post *ps = &dl->post;
    bool fine = ps->status == 200 && echoes(ps, dl->challenge);
    if (strcmp(hk->challenge_text, dl->challenge) != 0)
        return fine; /* another one was sent since */
    if (fine) {
        hk->state = HOOK_ACTIVE;
        hk->why[0] = '\0';
    } else if (ps->unreachable) {
        snprintf(hk->why, sizeof hk->why, "nobody listens yet");
        timer_set(&sb->timers, &hk->again, sandbox_ms(sb) + hk->again_ms);
        if (hk->again_ms < AGAIN_MAX_MS)
            hk->again_ms *= 2;
    } else {
        hk->state = HOOK_REFUSED;
        if (ps->status == 0)
            snprintf(hk->why, sizeof hk->why, "challenge: %.120s",
                     ps->timed_out ? "timeout" : ps->why);
        else
            snprintf(hk->why, sizeof hk->why, "challenge: %s, status %d",
                     ps->status == 200 ? "not echoed" : "refused", ps->status);
    }
    return fine;
}

/* An attack is refused because it must be: that says nothing against the receiver. */
void hook_delivery_end(struct sandbox *sb, struct hook *hk, bool fine, bool attack)
{
    char why[80];
    if (fine)
        hk->delivered++;
    else
        hk->failed++;
    if (attack)
        return;
    hk->failures = fine ? 0 : hk->failures + 1;
    if (hk->kind != HOOK_APP || hk->state != HOOK_ACTIVE || hk->disable_after == 0 ||
        hk->failures < hk->disable_after)
        return;
    snprintf(why, sizeof why, "%lld deliveries in a row failed", (long long)hk->failures);
    hook_disable(sb, hk, why);
}

static json_t *hook_dump(const struct hook *hk)
{
    json_t *j = json_object();
    const struct delivery *dl;
    json_int_t ready = 0;
    TAILQ_FOREACH (dl, &hk->ready, link)
        ready++;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        (void)json_object_set_new(j, numbers[i].name,
                                  json_integer(*number_at(mem_unconst(hk), &numbers[i])));
    json_t *state = json_pack(
        "{s:s, s:s, s:s?, s:s, s:b, s:O?, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "url",
        hk->url, "state", state_names[hk->state], "why",
        hk->why[0] != '\0' ? hk->why : NULL, "payload", hk->preview ? "preview" : "full",
        "challenge", (int)hk->challenge, "types", hk->types, "failures_in_a_row",
        (json_int_t)hk->failures, "ready", ready, "running", (json_int_t)hk->running,
        "delivered", (json_int_t)hk->delivered, "failed", (json_int_t)hk->failed,
        "retried", (json_int_t)hk->retried, "skipped", (json_int_t)hk->skipped, "lost",
        (json_int_t)hk->lost);
    (void)json_object_update(j, state);
    json_decref(state);
    return j;
}

/* Keys are not shown. */
json_t *hooks_dump(const struct hooks *hs)
{
    json_t *all = json_object();
    for (size_t i = 0; i < HOOKS; i++)
        (void)json_object_set_new(
            all, hook_kind_names[i],
            hs->hooks[i].state != HOOK_NONE ? hook_dump(&hs->hooks[i]) : json_null());
    return all;
}
