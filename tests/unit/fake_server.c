/* See fake_server.h. Invariant: the thread owns all of the server until it is joined. */
#include "fake_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

/* Length of the whole request that `text` begins with, or 0. */
static size_t whole_request(const char *text)
{
    const char *end = strstr(text, "\r\n\r\n");
    const char *length = strcasestr(text, "\r\nContent-Length:");
    size_t body = 0;

    if (end == NULL)
        return 0;
    if (length != NULL && length < end)
        body = (size_t)strtol(length + 17, NULL, 10);
    if (strlen(end + 4) < body)
        return 0;
    return (size_t)(end + 4 - text) + body;
}

static void close_conn(struct conn *c, enum after after)
{
    struct linger hard = {1, 0};

    if (after == RESET)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
    (void)close(c->fd);
    c->fd = -1;
}

static void serve(struct server *s, struct conn *c)
{
    static const struct exchange nothing = {NULL, KEEP};
    const struct exchange *ex;
    ssize_t n = recv(c->fd, c->text + c->len, sizeof(c->text) - 1 - c->len, 0);

    if (n <= 0) {
        close_conn(c, CLOSE);
        return;
    }
    c->len += (size_t)n;
    c->text[c->len] = '\0';
    if (whole_request(c->text) == 0)
        return;
    ex = s->n_requests < s->n_script ? &s->script[s->n_requests] : &nothing;
    if (s->n_requests < REQUESTS)
        memcpy(s->requests[s->n_requests], c->text, c->len + 1);
    s->n_requests++;
    c->len = 0;
    if (ex->reply != NULL)
        (void)send(c->fd, ex->reply, strlen(ex->reply), MSG_NOSIGNAL);
    if (ex->after != KEEP)
        close_conn(c, ex->after);
}

static void *server_main(void *arg)
{
    struct server *s = arg;

    for (;;) {
        struct pollfd fds[CONNS + 2] = {{s->stop[0], POLLIN, 0},
                                        {s->listen_fd, POLLIN, 0}};
        size_t i;

        for (i = 0; i < CONNS; i++)
            fds[i + 2] = (struct pollfd){i < s->n_conns ? s->conns[i].fd : -1, POLLIN, 0};
        (void)poll(fds, CONNS + 2, -1);
        if (fds[0].revents != 0)
            return NULL;
        if (fds[1].revents != 0 && s->n_conns < CONNS)
            s->conns[s->n_conns++] =
                (struct conn){.fd = accept(s->listen_fd, NULL, NULL)};
        for (i = 0; i < CONNS; i++)
            if (fds[i + 2].fd >= 0 && fds[i + 2].revents != 0)
                serve(s, &s->conns[i]);
    }
}

struct server *server_start(const struct exchange *script, size_t n)
{
    struct server *s = mem_zalloc(sizeof(*s));
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(addr);

    s->script = script;
    s->n_script = n;
    s->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->listen_fd, (struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(s->listen_fd, 16), 0);
    assert_int_equal(getsockname(s->listen_fd, (struct sockaddr *)&addr, &len), 0);
    s->port = ntohs(addr.sin_port);
    assert_int_equal(pipe(s->stop), 0);
    assert_int_equal(pthread_create(&s->thread, NULL, server_main, s), 0);
    return s;
}

void server_stop(struct server *s)
{
    size_t i;

    (void)close(s->stop[1]);
    (void)pthread_join(s->thread, NULL);
    for (i = 0; i < s->n_conns; i++)
        if (s->conns[i].fd >= 0)
            (void)close(s->conns[i].fd);
    (void)close(s->listen_fd);
    (void)close(s->stop[0]);
}
