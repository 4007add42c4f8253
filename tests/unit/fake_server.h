/* A server on loopback for tests of clients: takes whole requests, answers by script, and
 * keeps what it got. It runs on a thread of its own. */
#ifndef TESTS_UNIT_FAKE_SERVER_H
#define TESTS_UNIT_FAKE_SERVER_H

#include <pthread.h>
#include <stddef.h>

enum after { KEEP, CLOSE, RESET };

struct exchange {
    const char *reply; /* NULL: nothing */
    enum after after;
};

enum { CONNS = 16, REQUESTS = 16, REQUEST_MAX = 8192 };

struct conn {
    int fd;
    size_t len;
    char text[REQUEST_MAX];
};

struct server {
    int listen_fd, stop[2], port;
    pthread_t thread;
    const struct exchange *script;
    size_t n_script;
    struct conn conns[CONNS];
    size_t n_conns; /* ever */
    char requests[REQUESTS][REQUEST_MAX];
    size_t n_requests;
};

struct server *server_start(const struct exchange *script, size_t n);
/* Only afterwards may the counters be looked at. The caller's then (mem_free). */
void server_stop(struct server *s);

#endif
