/* See hooks.h. Owns the server and the keys. Every request that the server handed over is
 * with the engine until `answer`. */
#include "cli/hooks.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "net/http_server.h"

#define REQUEST_DEADLINE_MS 10000 /* from its first byte to its last */
#define CONNECTIONS_MAX 800       /* 1024 descriptors are what a process has by habit */
#define HEADERS_MAX 2

struct hooks {
    struct http_server *hs;
    struct engine *en;
    struct settings *s;
    struct webhook_setup setup;
    struct str *keys[WEBHOOK_KINDS]; /* what setup points to; each text is ours */
    uint64_t refused[HTTP_REFUSALS]; /* told to the engine */
};

/* Of each kind: the setting. */
static const char *const key_settings[WEBHOOK_KINDS] = {
    [WEBHOOK_APP] = "webhooks.app.keys",
    [WEBHOOK_RULE] = "webhooks.rule.keys",
    [WEBHOOK_CHANNEL] = "webhooks.channel.keys",
};

/* What a refusal of the server itself was answered with. */
static const char *const refusal_codes[HTTP_REFUSALS] = {
    [HTTP_REFUSED_FRAMING] = "400", [HTTP_REFUSED_HEAD] = "431",
    [HTTP_REFUSED_BODY] = "413",    [HTTP_REFUSED_LATE] = "0",
    [HTTP_REFUSED_PLACE] = "429",
};

static struct webhook_header header(const struct http_request *req, const char *name)
{
    return (struct webhook_header){str_of(http_request_header(req, name)),
                                   http_request_header_count(req, name)};
}

static void handle(void *arg, struct http_request *req)
{
    struct hooks *hk = arg;
    struct webhook_request wr = {
        .method = str_of(http_request_method(req)),
        .signature = header(req, WEBHOOK_SIGNATURE),
        .timestamp = header(req, WEBHOOK_TIMESTAMP),
        .challenge = header(req, WEBHOOK_CHALLENGE),
        .body = http_request_body(req),
    };

    engine_webhook(hk->en, req, str_of(http_request_path(req)), &wr);
}

static void answer(void *request, const struct webhook_answer *wa)
{
    char retry_after[40], allow[80];
    const char *headers[HEADERS_MAX];
    size_t n = 0;

    if (wa->retry_after_s > 0) {
        (void)snprintf(retry_after, sizeof(retry_after), "Retry-After: %d",
                       wa->retry_after_s);
        headers[n++] = retry_after;
    }
    if (wa->allow != NULL) {
        (void)snprintf(allow, sizeof(allow), "Allow: %s", wa->allow);
        headers[n++] = allow;
    }
    http_reply(request, wa->status, wa->content_type,
               wa->body.ptr != NULL ? wa->body : STR_LIT(""), headers, n);
}

static bool client_gone(void *request)
{
    return http_request_client_gone(request);
}

/* --- keys --- */

static void drop_keys(struct hooks *hk, size_t kind)
{
    for (size_t i = 0; i < hk->setup.keys[kind].n; i++) {
        mem_wipe(mem_unconst(hk->keys[kind][i].ptr), hk->keys[kind][i].len);
        mem_free(mem_unconst(hk->keys[kind][i].ptr));
    }
    mem_free(hk->keys[kind]);
    hk->keys[kind] = NULL;
    hk->setup.keys[kind] = (struct webhook_keys){NULL, 0};
}

static void add_key(struct hooks *hk, size_t kind, struct str key)
{
    struct webhook_keys *wk = &hk->setup.keys[kind];
    char *text;

    if (key.len == 0)
        return;
    text = mem_strndup(key.ptr, key.len);
    log_secret(text);
    hk->keys[kind] = mem_realloc(hk->keys[kind], (wk->n + 1) * sizeof(struct str));
    hk->keys[kind][wk->n] = (struct str){text, key.len};
    *wk = (struct webhook_keys){hk->keys[kind], wk->n + 1};
}

static void take_keys(struct hooks *hk)
{
    const struct setting_list *lists[WEBHOOK_KINDS] = {
        [WEBHOOK_APP] = &hk->s->webhooks_app_keys,
        [WEBHOOK_RULE] = &hk->s->webhooks_rule_keys,
        [WEBHOOK_CHANNEL] = &hk->s->webhooks_channel_keys,
    };

    for (size_t kind = 0; kind < WEBHOOK_KINDS; kind++)
        for (size_t i = 0; i < lists[kind]->n; i++)
            add_key(hk, kind, str_of(lists[kind]->items[i]));
}

void hooks_read_keys(struct hooks *hk)
{
    for (size_t kind = 0; kind < WEBHOOK_KINDS; kind++) {
        const char *text;
        struct str rest;

        if (!settings_secret_changed(hk->s->values, key_settings[kind], &text))
            continue;
        drop_keys(hk, kind);
        rest = str_of(text);
        while (rest.ptr != NULL)
            add_key(hk, kind, str_trim(str_split(&rest, ',')));
        log_info("webhook.keys", "%s was read again: %zu key(s)", key_settings[kind],
                 hk->setup.keys[kind].n);
    }
}

/* --- the server --- */

struct hooks *hooks_new(struct loop *lo, struct settings *s, const struct launch *l,
                        struct engine *en, struct err *e)
{
    struct hooks *hk = mem_zalloc(sizeof(*hk));
    struct ingest_options ingest = l->ingest;
    struct http_server_options o = {
        .listen = s->webhooks_listen,
        .body_max = (size_t)s->webhooks_max_body_bytes,
        .deadline_ms = REQUEST_DEADLINE_MS,
        .connections_max = CONNECTIONS_MAX,
        .handler = handle,
        .arg = hk,
    };

    hk->en = en;
    hk->s = s;
    hk->setup.public_url = s->webhooks_public_url;
    take_keys(hk);
    ingest.setup = &hk->setup;
    ingest.answer = answer;
    ingest.client_gone = client_gone;
    engine_receive(en, &ingest);
    hk->hs = http_server_new(lo, &o, e);
    if (hk->hs != NULL)
        return hk;
    hooks_free(hk);
    return NULL;
}

void hooks_free(struct hooks *hk)
{
    if (hk == NULL)
        return;
    http_server_free(hk->hs);
    for (size_t kind = 0; kind < WEBHOOK_KINDS; kind++)
        drop_keys(hk, kind);
    mem_free(hk);
}

int hooks_port(const struct hooks *hk)
{
    return http_server_port(hk->hs);
}

int64_t hooks_wait_ms(const struct hooks *hk)
{
    return http_server_wait_ms(hk->hs);
}

void hooks_turn(struct hooks *hk)
{
    const struct http_server_counts *counts;

    http_server_turn(hk->hs);
    counts = http_server_counts(hk->hs);
    for (size_t i = 0; i < HTTP_REFUSALS; i++) {
        if (counts->refused[i] == hk->refused[i])
            continue;
        engine_webhook_refused(hk->en, refusal_codes[i],
                               counts->refused[i] - hk->refused[i]);
        hk->refused[i] = counts->refused[i];
    }
}
