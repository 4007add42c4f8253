/* The HTTP client against a scripted server on loopback: what each way of failing is
 * called, that nothing is ever sent twice, and what goes over the wire. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "fake_server.h"
#include "net/http_client.h"

/* ---- the client's side ---- */

struct rig {
    struct server *server;
    struct loop *lo;
    struct http_client *hc;
    struct http_port port;
};

static int ended;

static void on_done(struct http_call *call)
{
    (void)call;
    ended++;
}

static struct http_client *client_new(struct loop *lo, const char *url, const char *proxy)
{
    struct err e = ERR_INIT;
    struct http_client_options o = {.url = url,
                                    .proxy = proxy,
                                    .connect_timeout_ms = 5000,
                                    .places = 2,
                                    .user_agent = "front-connector/test"};

    return http_client_new(lo, &o, &e);
}

static struct rig rig_new(const struct exchange *script, size_t n, const char *base_path)
{
    struct rig r = {.server = server_start(script, n)};
    struct err e = ERR_INIT;
    char url[128];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", r.server->port, base_path);
    r.lo = loop_new(&e);
    r.hc = client_new(r.lo, url, NULL);
    assert_non_null(r.hc);
    r.port = http_client_port(r.hc);
    return r;
}

static void rig_stop(struct rig *r)
{
    http_client_free(r->hc);
    loop_free(r->lo);
    server_stop(r->server);
}

static void rig_free(struct rig *r)
{
    rig_stop(r);
    mem_free(r->server);
}

static struct http_call call_new(enum http_method method, const char *path)
{
    struct http_call call;

    http_call_init(&call);
    call.method = method;
    call.path = path;
    call.timeout_ms = 10000;
    call.body_max = 1000;
    call.done = on_done;
    return call;
}

static void turn(struct rig *r)
{
    http_client_turn(r->hc);
    loop_wait(r->lo, http_client_wait_ms(r->hc));
    http_client_turn(r->hc);
    r->port.reap(r->port.self);
}

static void run(struct rig *r, struct http_call *call)
{
    int before = ended;

    assert_int_equal(r->port.start(r->port.self, call), 0);
    while (ended == before)
        turn(r);
}

#define OK_REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

/* ---- ends ---- */

struct end_case {
    const char *name;
    struct exchange exchange;
    enum http_end end;
    int status;
    const char *body;
};

static const struct end_case end_cases[] = {
    {"whole", {OK_REPLY, KEEP}, HTTP_ANSWERED, 200, "hi"},
    {"until close", {"HTTP/1.0 200 OK\r\n\r\nall", CLOSE}, HTTP_ANSWERED, 200, "all"},
    {"chunked",
     {"HTTP/1.1 201 Made\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n"
      "Content-Type: late\r\n\r\n",
      KEEP},
     HTTP_ANSWERED,
     201,
     "abc"},
    {"no content", {"HTTP/1.1 204 None\r\n\r\n", KEEP}, HTTP_ANSWERED, 204, ""},
    {"after 1xx",
     {"HTTP/1.1 103 Early\r\nContent-Type: early\r\n\r\n" OK_REPLY, KEEP},
     HTTP_ANSWERED,
     200,
     "hi"},
    {"redirect is not followed",
     {"HTTP/1.1 301 Moved\r\nLocation: /there\r\nContent-Length: 0\r\n\r\n", KEEP},
     HTTP_ANSWERED,
     301,
     ""},
    {"error status",
     {"HTTP/1.1 503 Busy\r\nContent-Length: 1\r\n\r\nx", CLOSE},
     HTTP_ANSWERED,
     503,
     "x"},
    {"closed", {NULL, CLOSE}, HTTP_LOST, 0, ""},
    {"reset", {NULL, RESET}, HTTP_LOST, 0, ""},
    {"half a status line", {"HTTP/1.1 2", CLOSE}, HTTP_LOST, 0, ""},
    {"half a head", {"HTTP/1.1 200 OK\r\nContent-Le", CLOSE}, HTTP_LOST, 0, ""},
    {"a 1xx only", {"HTTP/1.1 103 Early\r\n\r\n", CLOSE}, HTTP_LOST, 0, ""},
    {"garbage", {"\x16\x03\x01 what is this\r\n\r\n", CLOSE}, HTTP_LOST, 0, ""},
    {"half a body",
     {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", CLOSE},
     HTTP_HEAD_ONLY,
     200,
     "half"},
    {"half a body, reset",
     {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", RESET},
     HTTP_HEAD_ONLY,
     200,
     ""},
    {"broken chunks",
     {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\nzz", CLOSE},
     HTTP_HEAD_ONLY,
     200,
     "ab"},
};

static void each_way_of_ending_has_its_name(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(end_cases) / sizeof(end_cases[0]); i++) {
        const struct end_case *c = &end_cases[i];
        struct rig r = rig_new(&c->exchange, 1, "");
        struct http_call call = call_new(HTTP_POST, "/x");

        call.body = STR_LIT("{}");
        run(&r, &call);
        /* A reset may overtake what was sent before it: then even the head is lost. */
        if (c->exchange.after == RESET && call.end == HTTP_LOST) {
            assert_int_equal(call.head.status, 0);
        } else {
            if (call.end != c->end)
                print_message("%s: end %d, %s\n", c->name, (int)call.end, call.why);
            assert_int_equal(call.end, c->end);
            assert_int_equal(call.head.status, c->status);
            assert_true(str_is(buf_str(&call.body_in), c->body));
        }
        assert_true(call.gate_opened);
        assert_true((call.end == HTTP_ANSWERED) == (call.why[0] == '\0'));
        assert_string_equal(call.head.content_type, "");
        http_call_fini(&call);
        rig_stop(&r);
        assert_int_equal(r.server->n_requests, 1);
        mem_free(r.server);
    }
}

static void an_answer_over_the_ceiling_keeps_its_head(void **state)
{
    const struct exchange script[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\nX-Front-Tier: 1\r\n\r\n"
         "01234567890123456789",
         KEEP},
        {OK_REPLY, KEEP}};
    struct rig r = rig_new(script, 2, "");
    struct http_call call = call_new(HTTP_GET, "/x");

    (void)state;
    call.body_max = 10;
    run(&r, &call);
    assert_int_equal(call.end, HTTP_TOO_LARGE);
    assert_int_equal(call.head.status, 200);
    assert_string_equal(call.head.tier, "1");
    run(&r, &call);
    assert_int_equal(call.end, HTTP_ANSWERED);
    assert_true(str_is(buf_str(&call.body_in), "hi"));
    http_call_fini(&call);
    rig_free(&r);
}

static void slow_answers_time_out(void **state)
{
    static const struct {
        const char *reply;
        enum http_end end;
    } cases[] = {{NULL, HTTP_LOST},
                 {"HTTP/1.1 200 OK\r\n", HTTP_LOST},
                 {"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf", HTTP_HEAD_ONLY}};
    size_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        const struct exchange ex = {cases[i].reply, KEEP};
        struct rig r = rig_new(&ex, 1, "");
        struct http_call call = call_new(HTTP_GET, "/x");

        call.timeout_ms = 200;
        run(&r, &call);
        assert_int_equal(call.end, cases[i].end);
        http_call_fini(&call);
        rig_free(&r);
    }
}

/* ---- sent once, or provably not at all ---- */

static void a_kept_connection_is_used_again(void **state)
{
    const struct exchange script[] = {
        {OK_REPLY, KEEP}, {OK_REPLY, KEEP}, {OK_REPLY, KEEP}};
    struct rig r = rig_new(script, 3, "");
    struct http_call call = call_new(HTTP_GET, "/x");
    int i;

    (void)state;
    for (i = 0; i < 3; i++) {
        run(&r, &call);
        assert_int_equal(call.end, HTTP_ANSWERED);
    }
    http_call_fini(&call);
    rig_stop(&r);
    assert_int_equal(r.server->n_requests, 3);
    assert_int_equal(r.server->n_conns, 1);
    mem_free(r.server);
}

/* libcurl would send again on another connection: the server would execute it twice. */
static void a_request_whose_kept_connection_dies_is_sent_once(void **state)
{
    static const struct {
        enum http_method method;
        const char *body;
        enum after after;
    } cases[] = {{HTTP_POST, "{}", CLOSE},  {HTTP_POST, "{}", RESET},
                 {HTTP_POST, NULL, CLOSE},  {HTTP_DELETE, NULL, CLOSE},
                 {HTTP_PATCH, "{}", RESET}, {HTTP_GET, NULL, CLOSE}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct exchange script[] = {
            {OK_REPLY, KEEP}, {NULL, cases[i].after}, {OK_REPLY, KEEP}};
        struct rig r = rig_new(script, 3, "");
        struct http_call call = call_new(HTTP_GET, "/first");

        run(&r, &call);
        assert_int_equal(call.end, HTTP_ANSWERED);
        call.method = cases[i].method;
        call.path = "/second";
        call.body = str_of(cases[i].body);
        run(&r, &call);
        assert_int_equal(call.end, HTTP_LOST);
        assert_true(call.gate_opened);
        http_call_fini(&call);
        rig_stop(&r);
        assert_int_equal(r.server->n_requests, 2);
        mem_free(r.server);
    }
}

static int gates;

static bool closed_gate(struct http_call *call)
{
    (void)call;
    gates++;
    return false;
}

static void a_closed_gate_sends_nothing(void **state)
{
    struct rig r = rig_new(NULL, 0, "");
    struct http_call call = call_new(HTTP_POST, "/x");

    (void)state;
    gates = 0;
    call.gate = closed_gate;
    run(&r, &call);
    assert_int_equal(call.end, HTTP_NOT_SENT);
    assert_false(call.gate_opened);
    assert_int_equal(gates, 1);
    http_call_fini(&call);
    rig_stop(&r);
    assert_int_equal(r.server->n_requests, 0);
    mem_free(r.server);
}

static void a_refused_connection_is_not_sent(void **state)
{
    struct rig r = rig_new(NULL, 0, "");
    struct http_call call = call_new(HTTP_POST, "/x");

    (void)state;
    server_stop(r.server);
    run(&r, &call);
    assert_int_equal(call.end, HTTP_NOT_SENT);
    assert_true(call.why[0] != '\0');
    http_call_fini(&call);
    http_client_free(r.hc);
    loop_free(r.lo);
    mem_free(r.server);
}

static void a_proxys_answer_is_not_the_servers(void **state)
{
    static const char *const replies[] = {
        "HTTP/1.1 200 Connected\r\n\r\n",
        "HTTP/1.1 407 Who?\r\nContent-Length: 0\r\n\r\n"};
    size_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        const struct exchange ex = {replies[i], CLOSE};
        struct rig r = rig_new(&ex, 1, "");
        struct http_call call = call_new(HTTP_POST, "/x");
        char proxy[64];

        (void)snprintf(proxy, sizeof(proxy), "http://127.0.0.1:%d", r.server->port);
        http_client_free(r.hc);
        r.hc = client_new(r.lo, "https://127.0.0.1:1", proxy);
        r.port = http_client_port(r.hc);
        run(&r, &call);
        assert_int_equal(call.end, HTTP_NOT_SENT);
        assert_int_equal(call.head.status, 0);
        http_call_fini(&call);
        rig_stop(&r);
        assert_int_equal(r.server->n_requests, 1);
        assert_memory_equal(r.server->requests[0], "CONNECT ", 8);
        mem_free(r.server);
    }
}

static void what_would_break_the_request_is_not_sent(void **state)
{
    static const char *const split[] = {"X-A: b\r\nX-B: c"};
    static const struct {
        const char *path, *query, *authorization;
        size_t n_headers;
    } cases[] = {{"/a b", NULL, NULL, 0},      {"/a\r\nX: y", NULL, NULL, 0},
                 {"/a?b", NULL, NULL, 0},      {"a", NULL, NULL, 0},
                 {"/a#b", NULL, NULL, 0},      {"/a", "b c", NULL, 0},
                 {"/a", NULL, "t\nX-Y: z", 0}, {"/a", NULL, NULL, 1}};
    struct rig r = rig_new(NULL, 0, "");
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_call call = call_new(HTTP_GET, cases[i].path);

        call.query = cases[i].query;
        call.authorization = cases[i].authorization;
        call.headers = split;
        call.n_headers = cases[i].n_headers;
        run(&r, &call);
        assert_int_equal(call.end, HTTP_NOT_SENT);
        http_call_fini(&call);
    }
    rig_stop(&r);
    assert_int_equal(r.server->n_requests, 0);
    mem_free(r.server);
}

static void a_cancelled_call_ends_once(void **state)
{
    struct rig r = rig_new(NULL, 0, "");
    struct http_call call = call_new(HTTP_GET, "/x");
    int before = ended;

    (void)state;
    assert_int_equal(r.port.start(r.port.self, &call), 0);
    while (!call.gate_opened)
        turn(&r);
    r.port.cancel(r.port.self, &call);
    r.port.cancel(r.port.self, &call);
    assert_int_equal(ended, before); /* from reap only */
    r.port.reap(r.port.self);
    r.port.reap(r.port.self);
    assert_int_equal(ended, before + 1);
    assert_int_equal(call.end, HTTP_LOST);

    assert_int_equal(r.port.start(r.port.self, &call), 0);
    r.port.cancel(r.port.self, &call);
    r.port.reap(r.port.self);
    assert_int_equal(call.end, HTTP_NOT_SENT);
    http_call_fini(&call);
    rig_free(&r);
}

static void no_more_calls_than_places(void **state)
{
    const struct exchange script[] = {{OK_REPLY, KEEP}, {OK_REPLY, KEEP}};
    struct rig r = rig_new(script, 2, "");
    struct http_call calls[3];
    int before = ended;
    int i;

    (void)state;
    for (i = 0; i < 3; i++)
        calls[i] = call_new(HTTP_GET, "/x");
    assert_int_equal(r.port.start(r.port.self, &calls[0]), 0);
    assert_int_equal(r.port.start(r.port.self, &calls[1]), 0);
    assert_int_equal(r.port.start(r.port.self, &calls[2]), -1);
    while (ended < before + 2)
        turn(&r);
    assert_int_equal(calls[0].end, HTTP_ANSWERED);
    assert_int_equal(calls[1].end, HTTP_ANSWERED);
    for (i = 0; i < 3; i++)
        http_call_fini(&calls[i]);
    rig_free(&r);
}

static void a_client_may_be_freed_while_calls_run(void **state)
{
    struct rig r = rig_new(NULL, 0, "");
    struct http_call call = call_new(HTTP_GET, "/x");

    (void)state;
    assert_int_equal(r.port.start(r.port.self, &call), 0);
    while (!call.gate_opened)
        turn(&r);
    http_call_fini(&call);
    rig_free(&r);
}

/* ---- on the wire ---- */

struct wire_case {
    enum http_method method;
    const char *path, *query, *body, *content_type, *accept;
    const char *line;       /* the request line */
    const char *content[4]; /* lines that must be there */
    const char *absent[6];  /* fields that must not */
};

static const struct wire_case wire_cases[] = {
    {HTTP_GET,
     "/a/%2e%2e/b",
     "q%5Bx%5D=1&y",
     NULL,
     NULL,
     NULL,
     "GET /base/a/%2e%2e/b?q%5bx%5d=1&y HTTP/1.1\r\n",
     {"Authorization: Bearer t\r\n", "X-Extra: 1\r\n", "X-Empty:\r\n",
      "User-Agent: front-connector/test\r\n"},
     {"Accept:", "Accept-Encoding:", "Content-Length:", "Content-Type:", "Expect:",
      "Cookie:"}},
    {HTTP_GET,
     "/a/../b",
     NULL,
     NULL,
     NULL,
     "application/json",
     "GET /base/a/../b HTTP/1.1\r\n",
     {"Accept: application/json\r\n"},
     {"Content-Length:"}},
    {HTTP_DELETE,
     "/a",
     NULL,
     "{\"ids\":[1]}",
     NULL,
     NULL,
     "DELETE /base/a HTTP/1.1\r\n",
     {"Content-Type: application/json\r\n", "Content-Length: 11\r\n",
      "\r\n\r\n{\"ids\":[1]}"},
     {"Transfer-Encoding:"}},
    {HTTP_DELETE,
     "/a",
     NULL,
     NULL,
     NULL,
     NULL,
     "DELETE /base/a HTTP/1.1\r\n",
     {NULL},
     {"Content-Length:", "Content-Type:"}},
    {HTTP_POST,
     "/a",
     NULL,
     NULL,
     NULL,
     NULL,
     "POST /base/a HTTP/1.1\r\n",
     {"Content-Length: 0\r\n"},
     {"Content-Type:", "Expect:"}},
    {HTTP_POST,
     "/a",
     NULL,
     "",
     "text/plain",
     NULL,
     "POST /base/a HTTP/1.1\r\n",
     {"Content-Length: 0\r\n", "Content-Type: text/plain\r\n"},
     {"Expect:"}},
    {HTTP_PUT,
     "/a",
     NULL,
     "x",
     NULL,
     NULL,
     "PUT /base/a HTTP/1.1\r\n",
     {"Content-Length: 1\r\n"},
     {"Expect:"}},
    {HTTP_PATCH,
     "/a",
     NULL,
     "x",
     NULL,
     NULL,
     "PATCH /base/a HTTP/1.1\r\n",
     {"Content-Length: 1\r\n"},
     {"Expect:"}},
};
enum { WIRE_CASES = sizeof(wire_cases) / sizeof(wire_cases[0]) };

static void check_wire(const struct wire_case *c, const char *request)
{
    char field[64];
    size_t i;

    if (strncmp(request, c->line, strlen(c->line)) != 0)
        print_message("%s", request);
    assert_memory_equal(request, c->line, strlen(c->line));
    for (i = 0; i < 4 && c->content[i] != NULL; i++) {
        if (strstr(request, c->content[i]) == NULL)
            print_message("%s lacks %s", request, c->content[i]);
        assert_non_null(strstr(request, c->content[i]));
    }
    for (i = 0; i < 6 && c->absent[i] != NULL; i++) {
        (void)snprintf(field, sizeof(field), "\r\n%s", c->absent[i]);
        if (strcasestr(request, field) != NULL)
            print_message("%s has %s", request, c->absent[i]);
        assert_null(strcasestr(request, field));
    }
}

/* All through the same two places: nothing may be left over from the request before. */
static void requests_look_as_they_should(void **state)
{
    static const char *const extra[] = {"X-Extra: 1", "X-Empty:"};
    struct exchange script[WIRE_CASES];
    struct rig r;
    size_t i;

    (void)state;
    for (i = 0; i < WIRE_CASES; i++)
        script[i] = (struct exchange){OK_REPLY, KEEP};
    r = rig_new(script, WIRE_CASES, "/base/");
    for (i = 0; i < WIRE_CASES; i++) {
        const struct wire_case *c = &wire_cases[i];
        struct http_call call = call_new(c->method, c->path);

        call.query = c->query;
        call.body = str_of(c->body);
        call.content_type = c->content_type;
        call.accept = c->accept;
        call.authorization = "Bearer t";
        call.headers = extra;
        call.n_headers = 2;
        run(&r, &call);
        assert_int_equal(call.end, HTTP_ANSWERED);
        http_call_fini(&call);
    }
    rig_stop(&r);
    for (i = 0; i < WIRE_CASES; i++)
        check_wire(&wire_cases[i], r.server->requests[i]);
    mem_free(r.server);
}

static void heads_are_read(void **state)
{
    const struct exchange script[] = {
        {"HTTP/1.1 429 Slow down\r\nX-RateLimit-Limit: 100\r\nx-ratelimit-remaining:7\r\n"
         "X-Ratelimit-Reset: 1700000000.25 \r\nRetry-After: 2.5\r\n"
         "Date: Tue, 14 Nov 2023 22:13:20 GMT\r\nX-Front-Tier: 2\r\n"
         "Content-Type: application/json\r\nLocation: https://h/x\r\n"
         "Content-Length: 0\r\n\r\n",
         KEEP},
        {"HTTP/1.1 200 OK\r\nX-RateLimit-Limit: many\r\nX-Ratelimit-Reset: -1\r\n"
         "Retry-After: Tue, 14 Nov 2023 22:13:20 GMT\r\nDate: yesterday\r\nX: y\r\n"
         "Content-Length: 0\r\n\r\n",
         KEEP}};
    struct rig r = rig_new(script, 2, "");
    struct http_call call = call_new(HTTP_GET, "/x");

    (void)state;
    run(&r, &call);
    assert_int_equal(call.head.status, 429);
    assert_int_equal(call.head.limit, 100);
    assert_int_equal(call.head.remaining, 7);
    assert_true(call.head.reset == 1700000000.25);
    assert_true(call.head.retry_after == 2.5);
    assert_true(call.head.date_ms == INT64_C(1700000000000));
    assert_string_equal(call.head.tier, "2");
    assert_string_equal(call.head.content_type, "application/json");
    assert_string_equal(call.head.location, "https://h/x");
    run(&r, &call);
    assert_int_equal(call.head.limit, -1);
    assert_int_equal(call.head.remaining, -1);
    assert_true(call.head.reset < 0);
    assert_true(call.head.retry_after == 0); /* a date that is past */
    assert_int_equal(call.head.date_ms, 0);
    assert_string_equal(call.head.tier, "");
    assert_string_equal(call.head.location, "");
    http_call_fini(&call);
    rig_free(&r);
}

static void plain_http_is_for_loopback_only(void **state)
{
    static const struct {
        const char *url;
        bool good;
    } cases[] = {{"https://api2.frontapp.com", true},
                 {"https://h:8443/p", true},
                 {"http://127.0.0.1:1", true},
                 {"http://localhost:1/p", true},
                 {"http://[::1]:1", true},
                 {"http://api2.frontapp.com", false},
                 {"http://10.0.0.1", false},
                 {"ftp://127.0.0.1", false},
                 {"http://127.evil.example", false},
                 {"", false},
                 {"nonsense", false}};
    struct err e = ERR_INIT;
    struct loop *lo = loop_new(&e);
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_client *hc = client_new(lo, cases[i].url, NULL);

        if ((hc != NULL) != cases[i].good)
            print_message("%s\n", cases[i].url);
        assert_true((hc != NULL) == cases[i].good);
        http_client_free(hc);
    }
    struct http_client_options anywhere = {
        .url = "http://registry:8081/x", .places = 1, .plain_http = true};
    struct http_client *hc = http_client_new(lo, &anywhere, &e);
    assert_non_null(hc);
    http_client_free(hc);
    anywhere.url = "ftp://registry";
    assert_null(http_client_new(lo, &anywhere, &e));
    loop_free(lo);
    assert_int_equal(http_url_check("https://h/p?q", &e), 0);
    assert_int_equal(http_url_check("http://h/p?q", &e), -1);
    assert_int_equal(http_url_check("//h", &e), -1);
    assert_true(http_date_ms("Sun, 06 Nov 1994 08:49:37 GMT") == INT64_C(784111777000));
    assert_int_equal(http_date_ms("soon"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_way_of_ending_has_its_name),
        cmocka_unit_test(an_answer_over_the_ceiling_keeps_its_head),
        cmocka_unit_test(slow_answers_time_out),
        cmocka_unit_test(a_kept_connection_is_used_again),
        cmocka_unit_test(a_request_whose_kept_connection_dies_is_sent_once),
        cmocka_unit_test(a_closed_gate_sends_nothing),
        cmocka_unit_test(a_refused_connection_is_not_sent),
        cmocka_unit_test(a_proxys_answer_is_not_the_servers),
        cmocka_unit_test(what_would_break_the_request_is_not_sent),
        cmocka_unit_test(a_cancelled_call_ends_once),
        cmocka_unit_test(no_more_calls_than_places),
        cmocka_unit_test(a_client_may_be_freed_while_calls_run),
        cmocka_unit_test(requests_look_as_they_should),
        cmocka_unit_test(heads_are_read),
        cmocka_unit_test(plain_http_is_for_loopback_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
