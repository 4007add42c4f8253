/* The HTTP client, where a command decides: bodies in pieces, and URLs that lead
 * anywhere. Against a scripted server on loopback; whom a URL may lead to is a table. */
#include "support.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"
#include "fake_server.h"
#include "net/http_client.h"
#include "net/http_peer.h"

#define OK_REPLY "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"

struct rig {
    struct server *server;
    struct loop *lo;
    struct http_client *hc;
    struct http_port port;
    char url[64];
};

static int ended;

static void on_done(struct http_call *call)
{
    (void)call;
    ended++;
}

static struct rig rig_new(const struct exchange *script, size_t n, const char *proxy)
{
    struct rig r = {.server = server_start(script, n)};
    struct err e = ERR_INIT;
    struct http_client_options o = {.proxy = proxy,
                                    .connect_timeout_ms = 5000,
                                    .places = 1,
                                    .fetch_places = 1,
                                    .user_agent = "front-connector/test"};

    (void)snprintf(r.url, sizeof(r.url), "http://127.0.0.1:%d", r.server->port);
    o.url = r.url;
    r.lo = loop_new(&e);
    r.hc = http_client_new(r.lo, &o, &e);
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

static struct http_call call_new(void)
{
    struct http_call call;

    http_call_init(&call);
    call.path = "/x";
    call.timeout_ms = 10000;
    call.body_max = 1000;
    call.done = on_done;
    return call;
}

static void run(struct rig *r, struct http_call *call)
{
    int before = ended;

    assert_int_equal(r->port.start(r->port.self, call), 0);
    while (ended == before) {
        http_client_turn(r->hc);
        loop_wait(r->lo, http_client_wait_ms(r->hc));
        http_client_turn(r->hc);
        r->port.reap(r->port.self);
    }
}

/* ---- bodies in pieces ---- */

static const struct str pieces[] = {STR_LIT("one "), STR_LIT(""), STR_LIT("two "),
                                    STR_LIT("three")};

static void pieces_leave_as_one_body(void **state)
{
    const struct exchange script[] = {
        {OK_REPLY, KEEP}, {OK_REPLY, KEEP}, {OK_REPLY, KEEP}, {OK_REPLY, KEEP}};
    struct rig r = rig_new(script, 4, NULL);
    struct http_call call = call_new();
    static const enum http_method methods[] = {HTTP_POST, HTTP_PATCH, HTTP_POST};
    size_t i;

    (void)state;
    call.content_type = "multipart/form-data; boundary=b";
    for (i = 0; i < 3; i++) { /* each time from the start */
        call.method = methods[i];
        call.pieces = pieces;
        call.n_pieces = COUNT(pieces);
        run(&r, &call);
        assert_int_equal(call.end, HTTP_ANSWERED);
    }
    call.pieces = NULL; /* and a place that had pieces takes a body as before */
    call.n_pieces = 0;
    call.body = STR_LIT("{}");
    call.content_type = NULL;
    run(&r, &call);
    assert_int_equal(call.end, HTTP_ANSWERED);
    http_call_fini(&call);
    rig_stop(&r);
    assert_int_equal(r.server->n_requests, 4);
    for (i = 0; i < 4; i++) {
        const char *text = r.server->requests[i], *body = strstr(text, "\r\n\r\n") + 4;

        assert_string_equal(body, i < 3 ? "one two three" : "{}");
        assert_non_null(
            strstr(text, i < 3 ? "\r\nContent-Length: 13\r\n" : "\r\nContent-Length: 2"));
        assert_non_null(strstr(text, i < 3 ? "multipart/form-data; boundary=b\r\n"
                                           : "application/json"));
        assert_null(strstr(text, "Expect"));
        assert_null(strstr(text, "Transfer-Encoding"));
    }
    mem_free(r.server);
}

/* libcurl would rewind them and send again on another connection. */
static void pieces_are_sent_once_when_a_kept_connection_dies(void **state)
{
    static const enum after ends[] = {CLOSE, RESET};
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(ends); i++) {
        const struct exchange script[] = {
            {OK_REPLY, KEEP}, {NULL, ends[i]}, {OK_REPLY, KEEP}};
        struct rig r = rig_new(script, 3, NULL);
        struct http_call call = call_new();

        run(&r, &call);
        call.method = HTTP_POST;
        call.pieces = pieces;
        call.n_pieces = COUNT(pieces);
        run(&r, &call);
        assert_int_equal(call.end, HTTP_LOST);
        assert_true(call.gate_opened);
        http_call_fini(&call);
        rig_stop(&r);
        assert_int_equal(r.server->n_requests, 2);
        mem_free(r.server);
    }
}

/* ---- calls to a URL ---- */

static void a_url_is_called_without_what_is_fronts(void **state)
{
    const struct exchange script[] = {
        {OK_REPLY, KEEP},
        {"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n", KEEP},
        {"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n01234567890123456789", KEEP}};
    struct rig r = rig_new(script, 3, "http://127.0.0.1:1"); /* no such proxy */
    struct http_call call = call_new();
    char url[128];

    (void)state;
    (void)snprintf(url, sizeof(url), "%s/a/file.png?sig=a%%20b", r.url);
    call.url = url;
    call.accept = "*/*";
    call.private_too = true;
    run(&r, &call);
    assert_int_equal(call.end, HTTP_ANSWERED);
    assert_int_equal(call.head.status, 200);
    assert_true(str_is(buf_str(&call.body_in), "hi"));
    run(&r, &call);
    assert_int_equal(call.head.status, 302); /* not followed */
    call.body_max = 10;
    run(&r, &call);
    assert_int_equal(call.end, HTTP_TOO_LARGE);
    http_call_fini(&call);
    rig_stop(&r);
    assert_int_equal(r.server->n_requests, 3);
    assert_memory_equal(r.server->requests[0], "GET /a/file.png?sig=a%20b HTTP/1.1", 34);
    assert_null(strstr(r.server->requests[0], "Authorization"));
    mem_free(r.server);
}

static void a_url_that_leads_here_is_refused_before_it_connects(void **state)
{
    static const char *const hosts[] = {"127.0.0.1",          "localhost",  "[::1]",
                                        "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"};
    struct rig r = rig_new(NULL, 0, NULL);
    struct http_call call = call_new();
    char url[128];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(hosts); i++) {
        (void)snprintf(url, sizeof(url), "http://%s:%d/f", hosts[i], r.server->port);
        call.url = url;
        run(&r, &call);
        assert_int_equal(call.end, HTTP_NOT_SENT);
        if (!call.peer_refused)
            fail_msg("%s: %s", url, call.why);
        assert_non_null(strstr(call.why, "is loopback"));
    }
    http_call_fini(&call);
    rig_stop(&r);
    assert_int_equal(r.server->n_conns, 0);
    mem_free(r.server);
}

/* The connection is there already, made for somebody who may. */
static void a_kept_connection_is_looked_at_too(void **state)
{
    const struct exchange script[] = {{OK_REPLY, KEEP}, {OK_REPLY, KEEP}};
    struct rig r = rig_new(script, 2, NULL);
    struct http_call front = call_new(), call = call_new();
    char url[128];

    (void)state;
    run(&r, &front);
    assert_int_equal(front.end, HTTP_ANSWERED);
    (void)snprintf(url, sizeof(url), "%s/f", r.url);
    call.url = url;
    run(&r, &call);
    assert_int_equal(call.end, HTTP_NOT_SENT);
    assert_true(call.peer_refused);
    assert_false(call.gate_opened);
    http_call_fini(&front);
    http_call_fini(&call);
    rig_stop(&r);
    assert_int_equal(r.server->n_requests, 1);
    mem_free(r.server);
}

static void urls_and_front_have_places_of_their_own(void **state)
{
    struct rig r = rig_new(NULL, 0, NULL);
    struct http_call front = call_new(), call = call_new(), more = call_new();

    (void)state;
    call.url = more.url = "http://127.0.0.1:1/f";
    assert_int_equal(r.port.start(r.port.self, &call), 0);
    assert_int_equal(r.port.start(r.port.self, &more), -1);
    assert_int_equal(r.port.start(r.port.self, &front), 0);
    rig_stop(&r);
    http_call_fini(&front);
    http_call_fini(&call);
    http_call_fini(&more);
    mem_free(r.server);
}

static void urls_that_are_read_in_two_ways_are_refused(void **state)
{
    static const struct {
        const char *url;
        bool good;
    } rows[] = {
        {"https://files.example.com/a/b.png?x=1&y=%2F", true},
        {"http://files.example.com:8080/", true},
        {"HTTPS://files.example.com/a", true},
        {"https://files.example.com/a..b/...", true},
        {"https://files.example.com/a/..", false},
        {"https://files.example.com/./a", false},
        {"https://files.example.com/a/%2e%2E/b", false},
        {"https://files.example.com/a/.%2e/b", false},
        {"https://user@files.example.com/", false},
        {"https://:password@files.example.com/", false},
        {"https://files.example.com/#x", false},
        {"https://files.example.com/a b", false},
        {"https://files.example.com\\@evil.org/", false},
        {"https://files.example.com/\xc3\xa9", false},
        {"https://files.example.com/\r\nX: y", false},
        {"ftp://files.example.com/", false},
        {"file:///etc/passwd", false},
        {"gopher://files.example.com/", false},
        {"//files.example.com/", false},
        {"files.example.com/a", false},
        {"", false},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        struct err e = ERR_INIT;

        if ((http_url_check_fetch(rows[i].url, &e) == 0) != rows[i].good)
            fail_msg("%s: %s", rows[i].url, e.text);
    }
}

/* ---- whom a URL may lead to ---- */

static void peers(void **state)
{
    static const struct {
        const char *addr, *what; /* what NULL: public */
    } rows[] = {
        {"1.1.1.1", NULL},
        {"9.255.255.255", NULL},
        {"11.0.0.0", NULL},
        {"100.63.255.255", NULL},
        {"100.128.0.0", NULL},
        {"126.255.255.255", NULL},
        {"128.0.0.0", NULL},
        {"169.253.255.255", NULL},
        {"169.255.0.0", NULL},
        {"172.15.255.255", NULL},
        {"172.32.0.0", NULL},
        {"192.167.255.255", NULL},
        {"192.169.0.0", NULL},
        {"192.0.1.0", NULL},
        {"198.17.255.255", NULL},
        {"198.20.0.0", NULL},
        {"223.255.255.255", NULL},
        {"0.0.0.0", "this network"},
        {"0.255.255.255", "this network"},
        {"10.0.0.0", "private"},
        {"10.255.255.255", "private"},
        {"100.64.0.0", "shared by a carrier"},
        {"100.127.255.255", "shared by a carrier"},
        {"127.0.0.1", "loopback"},
        {"127.255.255.255", "loopback"},
        {"169.254.0.0", "link-local"},
        {"169.254.169.254", "link-local"},
        {"172.16.0.0", "private"},
        {"172.31.255.255", "private"},
        {"192.0.0.1", "reserved"},
        {"192.0.2.1", "for documentation"},
        {"192.88.99.1", "reserved"},
        {"192.168.0.0", "private"},
        {"192.168.255.255", "private"},
        {"198.18.0.0", "for benchmarks"},
        {"198.19.255.255", "for benchmarks"},
        {"198.51.100.9", "for documentation"},
        {"203.0.113.9", "for documentation"},
        {"224.0.0.1", "multicast"},
        {"239.255.255.255", "multicast"},
        {"240.0.0.1", "reserved"},
        {"255.255.255.255", "reserved"},
        {"2606:4700:4700::1111", NULL},
        {"2a00::1", NULL},
        {"2003::1", NULL},
        {"3ffe::1", NULL},
        {"::ffff:1.1.1.1", NULL},
        {"64:ff9b::101:101", NULL},
        {"::", "reserved"},
        {"::1", "loopback"},
        {"::7f00:1", "reserved"},
        {"::ffff:127.0.0.1", "loopback"},
        {"::ffff:10.1.2.3", "private"},
        {"::ffff:169.254.169.254", "link-local"},
        {"::ffff:0:10.1.2.3", "reserved"},
        {"64:ff9b::a9fe:a9fe", "link-local"},
        {"64:ff9b::7f00:1", "loopback"},
        {"64:ff9b:1::1", "reserved"},
        {"100::1", "reserved"},
        {"2001::1", "reserved"},
        {"2001:1ff::1", "reserved"},
        {"2001:200::1", NULL},
        {"2001:db8::1", "for documentation"},
        {"2002:7f00:1::", "a tunnel"},
        {"3fff:fff::1", "for documentation"},
        {"4000::1", "reserved"},
        {"5f00::1", "reserved"},
        {"fc00::1", "private"},
        {"fd12:3456::1", "private"},
        {"fe80::1", "link-local"},
        {"febf::1", "link-local"},
        {"fec0::1", "reserved"},
        {"ff02::1", "multicast"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        struct sockaddr_storage ss = {0};
        struct sockaddr_in in = {.sin_family = AF_INET};
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
        const char *text = http_peer_text_reserved(rows[i].addr), *what;
        char printed[INET6_ADDRSTRLEN];

        if (inet_pton(AF_INET, rows[i].addr, &in.sin_addr) == 1) {
            memcpy(&ss, &in, sizeof(in));
        } else {
            assert_int_equal(inet_pton(AF_INET6, rows[i].addr, &in6.sin6_addr), 1);
            memcpy(&ss, &in6, sizeof(in6));
        }
        what = http_peer_reserved((const struct sockaddr *)&ss);
        if ((what == NULL) != (rows[i].what == NULL) ||
            (what != NULL && strcmp(what, rows[i].what) != 0))
            fail_msg("%s is %s, not %s", rows[i].addr, what != NULL ? what : "public",
                     rows[i].what != NULL ? rows[i].what : "public");
        assert_true(what == text);
        http_peer_print((const struct sockaddr *)&ss, printed, sizeof(printed));
        assert_true(http_peer_text_reserved(printed) == what);
    }
    assert_string_equal(http_peer_text_reserved("localhost"), "no address");
    assert_string_equal(http_peer_text_reserved(""), "no address");
    struct sockaddr other = {.sa_family = AF_UNIX};
    assert_string_equal(http_peer_reserved(&other), "no address");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_leave_as_one_body),
        cmocka_unit_test(pieces_are_sent_once_when_a_kept_connection_dies),
        cmocka_unit_test(a_url_is_called_without_what_is_fronts),
        cmocka_unit_test(a_url_that_leads_here_is_refused_before_it_connects),
        cmocka_unit_test(a_kept_connection_is_looked_at_too),
        cmocka_unit_test(urls_and_front_have_places_of_their_own),
        cmocka_unit_test(urls_that_are_read_in_two_ways_are_refused),
        cmocka_unit_test(peers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
