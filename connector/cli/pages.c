/* Four pages over the small HTTP server; what they say is the engine's. Reads only. */
#include "cli/pages.h"

#include <string.h>

#include "base/mem.h"
#include "net/http_server.h"

#define PAGE_MAX (32 * 1024 * 1024)
#define REQUEST_BODY_MAX 1024
#define REQUEST_DEADLINE_MS 5000
#define CONNECTIONS_MAX 64

struct pages {
    struct http_server *hs;
    struct engine *en;
    void (*health)(void *arg, struct engine_health *out);
    void *arg;
};

static const char plain_text[] = "text/plain; charset=utf-8";

static void reply_page(struct http_request *req, int status, const char *type,
                       const struct buf *page)
{
    if (page->over)
        http_reply(req, 500, plain_text, STR_LIT("the page is too large\n"), NULL, 0);
    else
        http_reply(req, status, type, buf_str(page), NULL, 0);
}

/* 200 "ok", or 503 and the reason. */
static void reply_state(struct http_request *req, bool fine, struct buf *why)
{
    if (fine && why->len == 0)
        buf_add_cstr(why, "ok");
    buf_add_char(why, '\n');
    reply_page(req, fine ? 200 : 503, plain_text, why);
}

static void handle(void *arg, struct http_request *req)
{
    static const char *const allow[] = {"Allow: GET, HEAD"};
    struct pages *pg = arg;
    const char *path = http_request_path(req);
    const char *method = http_request_method(req);
    struct engine_health health;
    struct buf page;

    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        http_reply(req, 405, plain_text, STR_LIT("only GET\n"), allow, 1);
        return;
    }
    buf_init(&page, PAGE_MAX);
    pg->health(pg->arg, &health);
    if (strcmp(path, "/metrics") == 0) {
        engine_metrics(pg->en, &page);
        reply_page(req, 200, "text/plain; version=0.0.4; charset=utf-8", &page);
    } else if (strcmp(path, "/healthz") == 0) {
        bool fine = engine_healthy(pg->en, &health, &page);

        reply_state(req, fine, &page);
    } else if (strcmp(path, "/readyz") == 0) {
        bool fine = engine_ready(pg->en, &page);

        reply_state(req, fine, &page);
    } else if (strcmp(path, "/status") == 0) {
        engine_status_json(pg->en, &health, &page);
        reply_page(req, 200, "application/json", &page);
    } else {
        http_reply(req, 404, plain_text, STR_LIT("/metrics /healthz /readyz /status\n"),
                   NULL, 0);
    }
    buf_fini(&page);
}

struct pages *pages_new(struct loop *lo, const char *listen, struct engine *en,
                        void (*health)(void *arg, struct engine_health *out), void *arg,
                        struct err *e)
{
    struct pages *pg = mem_zalloc(sizeof(*pg));
    struct http_server_options o = {
        .listen = listen,
        .body_max = REQUEST_BODY_MAX,
        .deadline_ms = REQUEST_DEADLINE_MS,
        .connections_max = CONNECTIONS_MAX,
        .handler = handle,
        .arg = pg,
    };

    pg->en = en;
    pg->health = health;
    pg->arg = arg;
    pg->hs = http_server_new(lo, &o, e);
    if (!pg->hs) {
        mem_free(pg);
        return NULL;
    }
    return pg;
}

void pages_free(struct pages *pg)
{
    if (!pg)
        return;
    http_server_free(pg->hs);
    mem_free(pg);
}

int pages_port(const struct pages *pg)
{
    return http_server_port(pg->hs);
}

int64_t pages_wait_ms(const struct pages *pg)
{
    return http_server_wait_ms(pg->hs);
}

void pages_turn(struct pages *pg)
{
    http_server_turn(pg->hs);
}
