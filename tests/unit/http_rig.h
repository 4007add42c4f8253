/* A server with a handler that says what it was asked, and raw sockets to ask it. */
#ifndef TESTS_UNIT_HTTP_RIG_H
#define TESTS_UNIT_HTTP_RIG_H

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
    size_t twice;      /* how many X-Twice it had */
    struct str answer; /* of /big */
    char last[512];    /* "METHOD path query header body" of the last request */
};

static inline void on_request(void *arg, struct http_request *req)
{
    static const char *const headers[] = {"X-One: 1", "X-Two:2"};
    struct rig *r = arg;
    const char *query = http_request_query(req, "q");
    const char *header = http_request_header(req, "x-in");

    r->requests++;
    (void)snprintf(r->last, sizeof(r->last), "%s %s %s %s %.*s", http_request_method(req),
                   http_request_path(req), query != NULL ? query : "-",
                   header != NULL ? header : "-", STR_ARG(http_request_body(req)));
    r->twice = http_request_header_count(req, "x-twice");
    if (strcmp(http_request_path(req), "/later") == 0)
        r->held = req;
    else if (strcmp(http_request_path(req), "/big") == 0)
        http_reply(req, 200, "text/plain", r->answer, NULL, 0);
    else
        http_reply(req, 200, "text/plain", STR_LIT("now"), headers, 2);
}

static const struct http_server_options usual = {
    .body_max = 100, .deadline_ms = DEADLINE_MS, .connections_max = 8};

static inline void rig_with(struct rig *r, struct http_server_options o)
{
    struct err e = ERR_INIT;

    o.listen = "127.0.0.1:0";
    o.handler = on_request;
    o.arg = r;
    *r = (struct rig){.lo = loop_new(&e)};
    r->hs = http_server_new(r->lo, &o, &e);
    assert_non_null(r->hs);
    assert_true(http_server_port(r->hs) > 0);
}

static inline void rig_init(struct rig *r)
{
    rig_with(r, usual);
}

static inline void rig_fini(struct rig *r)
{
    http_server_free(r->hs);
    loop_free(r->lo);
}

static inline int dial(struct rig *r)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)http_server_port(r->hs)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    assert_int_equal(connect(fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    return fd;
}

static inline void say(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static inline void ignore(void *arg, int fd, unsigned events)
{
    (void)arg;
    (void)fd;
    (void)events;
}

static inline void turn(struct rig *r)
{
    int64_t wait_ms = http_server_wait_ms(r->hs);

    loop_wait(r->lo, wait_ms < 0 || wait_ms > 100 ? 100 : wait_ms);
    http_server_turn(r->hs);
}

/* Runs the server until `fd` has said `until` or, when that is NULL, has closed. The
 * text. */
static inline const char *listen_to(struct rig *r, int fd, const char *until)
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

static inline void assert_begins(const char *text, const char *with)
{
    if (strncmp(text, with, strlen(with)) != 0)
        print_message("got: %s\n", text);
    assert_int_equal(strncmp(text, with, strlen(with)), 0);
}

#endif
