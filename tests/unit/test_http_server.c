/* The HTTP server over raw sockets: answers at once and later, and what it refuses. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http_server.h"

enum { DEADLINE_MS = 300, LIMIT_MS = 20000 };

struct rig {
    struct loop *lo;
    struct http_server *hs;
    struct http_request *held; /* the one that waits for its answer */
    int requests;
    char last[512]; /* "METHOD path query header body" of the last request */
};

static void on_request(void *arg, struct http_request *req)
{
    static const char *const headers[] = {"X-One: 1", "X-Two:2"};
    struct rig *r = arg;
    const char *query = http_request_query(req, "q");
    const char *header = http_request_header(req, "x-in");

    r->requests++;
    (void)snprintf(r->last, sizeof(r->last), "%s %s %s %s %.*s", http_request_method(req),
                   http_request_path(req), query != NULL ? query : "-",
                   header != NULL ? header : "-", STR_ARG(http_request_body(req)));
    if (strcmp(http_request_path(req), "/later") == 0)
        r->held = req;
    else
        http_reply(req, 200, "text/plain", STR_LIT("now"), headers, 2);
}

static void rig_init(struct rig *r)
{
    struct http_server_options o = {.listen = "127.0.0.1:0",
                                    .body_max = 100,
                                    .deadline_ms = DEADLINE_MS,
                                    .connections_max = 8,
                                    .handler = on_request,
                                    .arg = r};
    struct err e = ERR_INIT;

    *r = (struct rig){.lo = loop_new(&e)};
    r->hs = http_server_new(r->lo, &o, &e);
    assert_non_null(r->hs);
    assert_true(http_server_port(r->hs) > 0);
}

static void rig_fini(struct rig *r)
{
    http_server_free(r->hs);
    loop_free(r->lo);
}

static int dial(struct rig *r)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)http_server_port(r->hs)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void ignore(void *arg, int fd, unsigned events)
{
    (void)arg;
    (void)fd;
    (void)events;
}

static void turn(struct rig *r)
{
    int64_t wait_ms = http_server_wait_ms(r->hs);

    loop_wait(r->lo, wait_ms < 0 || wait_ms > 100 ? 100 : wait_ms);
    http_server_turn(r->hs);
}

/* Runs the server until `fd` has said `until` or, when that is NULL, has closed. The
 * text. */
static const char *listen_to(struct rig *r, int fd, const char *until)
{
    static char text[4096];
    int64_t end_ms = clock_now(&clock_system) + LIMIT_MS;
    struct err e = ERR_INIT;
    size_t len = 0;

    text[0] = '\0';
    assert_int_equal(loop_watch(r->lo, fd, LOOP_IN, ignore, NULL, &e), 0);
    while (clock_now(&clock_system) < end_ms) {
        ssize_t n = recv(fd, text + len, sizeof(text) - 1 - len, 0);

        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        if (n > 0) {
            len += (size_t)n;
            text[len] = '\0';
        }
        if (until != NULL && strstr(text, until) != NULL)
            break;
        turn(r);
    }
    loop_unwatch(r->lo, fd);
    return text;
}

static void assert_begins(const char *text, const char *with)
{
    if (strncmp(text, with, strlen(with)) != 0)
        print_message("got: %s\n", text);
    assert_int_equal(strncmp(text, with, strlen(with)), 0);
}

static void a_request_is_answered_at_once(void **state)
{
    struct rig r;
    const char *text;
    int fd, i;

    (void)state;
    rig_init(&r);
    fd = dial(&r);
    for (i = 0; i < 2; i++) { /* the connection is kept */
        say(fd, "GET /a%20b?q=x%26y HTTP/1.1\r\nHost: h\r\nX-In: in\r\n\r\n");
        text = listen_to(&r, fd, "\r\n\r\nnow");
        assert_begins(text, "HTTP/1.1 200 OK\r\n");
        assert_non_null(strstr(text, "X-One: 1\r\n"));
        assert_non_null(strstr(text, "X-Two: 2\r\n"));
        assert_non_null(strstr(text, "Content-Type: text/plain\r\n"));
        assert_string_equal(r.last, "GET /a b x&y in ");
    }
    assert_int_equal(r.requests, 2);
    (void)close(fd);
    rig_fini(&r);
}

static void a_body_arrives_whole(void **state)
{
    static const char *const requests[] = {
        "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab cd",
        "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\nab\r\n3\r\n cd\r\n0\r\n\r\n"};
    size_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        struct rig r;
        int fd;

        rig_init(&r);
        fd = dial(&r);
        say(fd, requests[i]);
        assert_begins(listen_to(&r, fd, "now"), "HTTP/1.1 200 OK\r\n");
        assert_string_equal(r.last, "POST /p - - ab cd");
        (void)close(fd);
        rig_fini(&r);
    }
}

static void an_answer_may_come_later(void **state)
{
    struct rig r;
    int fd, i;

    (void)state;
    rig_init(&r);
    fd = dial(&r);
    for (i = 0; i < 2; i++) {
        int64_t until_ms;

        r.held = NULL;
        say(fd, "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
        while (r.held == NULL)
            turn(&r);
        /* The deadline is the client's, not ours: it does not run meanwhile. */
        until_ms = clock_now(&clock_system) + DEADLINE_MS + 50;
        while (i == 0 && clock_now(&clock_system) < until_ms)
            turn(&r);
        http_reply(r.held, 503, NULL, STR_LIT("late"), NULL, 0);
        http_server_turn(r.hs); /* the same turn: no event announces it */
        assert_begins(listen_to(&r, fd, "late"), "HTTP/1.1 503 ");
    }
    assert_int_equal(r.requests, 2);
    (void)close(fd);
    rig_fini(&r);
}

/* By the other end, and without a word. */
static bool is_closed(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void the_server_ends_with_requests_open(void **state)
{
    struct rig r;
    int fd, half;

    (void)state;
    rig_init(&r);
    fd = dial(&r);
    half = dial(&r);
    say(half, "GET /half HTTP/1.1\r\nHo");
    say(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    while (r.held == NULL)
        turn(&r);
    rig_fini(&r);
    assert_true(is_closed(fd));
    assert_true(is_closed(half));
    (void)close(fd);
    (void)close(half);
}

static char *with_body(const char *head, size_t len)
{
    char *text = mem_alloc(strlen(head) + len + 1);

    (void)snprintf(text, strlen(head) + len + 1, "%s", head);
    memset(text + strlen(head), 'x', len);
    text[strlen(head) + len] = '\0';
    return text;
}

static void what_is_refused(void **state)
{
    static const struct {
        const char *head;
        size_t body;
        const char *answer;
    } cases[] = {
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", 0, "HTTP/1.1 413 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 101\r\n\r\n", 101,
         "HTTP/1.1 413 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
         "41\r\n01234567890123456789012345678901234567890123456789012345678901234\r\n"
         "41\r\n01234567890123456789012345678901234567890123456789012345678901234\r\n"
         "0\r\n\r\n",
         0, "HTTP/1.1 413 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n400\r\n", 1000,
         ""},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n",
         4, "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\n",
         3, "HTTP/1.1 400 "},
        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nTransfer-Encoding: "
         "chunked\r\n\r\n"
         "0\r\n\r\n",
         0, "HTTP/1.1 400 "},
        {"GET / HTTP/1.1\r\nHost: h\r\nX-Long: ", 20000, "HTTP/1.1 431 "},
        {"GET / HTTP/1.1\r\n\r\n", 0, "HTTP/1.1 400 "},
        {"nonsense\r\n\r\n", 0, ""},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = with_body(cases[i].head, cases[i].body);
        struct rig r;
        int fd;

        rig_init(&r);
        fd = dial(&r);
        say(fd, text);
        assert_begins(listen_to(&r, fd, NULL), cases[i].answer);
        assert_int_equal(r.requests, 0);
        (void)close(fd);
        mem_free(text);
        rig_fini(&r);
    }
}

/* The library's own time-out would be reset by each of these bytes. */
static void dripping_does_not_outlive_the_deadline(void **state)
{
    static const char *const begun[] = {
        "", "GET / HTTP/1.1\r\nX: ",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n"};
    size_t i;

    (void)state;
    for (i = 0; i < 3; i++) {
        int64_t begun_ms = clock_now(&clock_system);
        int64_t dripped_ms = begun_ms;
        char c = 'x';
        struct rig r;
        int fd;

        rig_init(&r);
        fd = dial(&r);
        say(fd, begun[i]);
        for (;;) {
            ssize_t n = recv(fd, &c, 1, 0);

            if (n == 0 || (n < 0 && errno != EAGAIN))
                break;
            assert_true(clock_now(&clock_system) < begun_ms + LIMIT_MS);
            if (i > 0 && clock_now(&clock_system) >= dripped_ms + 50) {
                (void)send(fd, "x", 1, MSG_NOSIGNAL);
                dripped_ms = clock_now(&clock_system);
            }
            turn(&r);
        }
        assert_true(clock_now(&clock_system) >= begun_ms + DEADLINE_MS);
        assert_int_equal(r.requests, 0);
        (void)close(fd);
        rig_fini(&r);
    }
}

static void places_to_listen(void **state)
{
    static const struct {
        const char *listen;
        bool good;
    } cases[] = {{"127.0.0.1:0", true},
                 {"localhost:0", true},
                 {":0", true},
                 {"127.0.0.1", false},
                 {"127.0.0.1:x", false}};
    struct err e = ERR_INIT;
    struct loop *lo = loop_new(&e);
    char taken[32];
    struct http_server *first = NULL;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_server_options o = {.listen = cases[i].listen,
                                        .body_max = 1,
                                        .deadline_ms = 1000,
                                        .connections_max = 1,
                                        .handler = on_request};
        struct http_server *hs = http_server_new(lo, &o, &e);

        if ((hs != NULL) != cases[i].good)
            print_message("%s: %s\n", cases[i].listen, e.text);
        assert_true((hs != NULL) == cases[i].good);
        if (i == 0) {
            first = hs;
            (void)snprintf(taken, sizeof(taken), "127.0.0.1:%d", http_server_port(hs));
            o.listen = taken;
            assert_null(http_server_new(lo, &o, &e));
            assert_non_null(strstr(e.text, "taken"));
        } else {
            http_server_free(hs);
        }
    }
    http_server_free(first);
    loop_free(lo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_at_once),
        cmocka_unit_test(a_body_arrives_whole),
        cmocka_unit_test(an_answer_may_come_later),
        cmocka_unit_test(the_server_ends_with_requests_open),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(dripping_does_not_outlive_the_deadline),
        cmocka_unit_test(places_to_listen),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
