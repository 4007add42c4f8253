/* A small HTTP server on our loop (libmicrohttpd, external epoll): status pages now,
 * webhooks later. Requests are handed over whole (headers and body, capped); an answer
 * may be given at once or later (the connection is suspended meanwhile). Absolute
 * deadlines, body and header caps, both Content-Length and Transfer-Encoding or two
 * Content-Lengths refused. */
#ifndef NET_HTTP_SERVER_H
#define NET_HTTP_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

struct http_server;
struct http_request; /* valid from the handler call until http_reply */

struct http_server_options {
    const char *listen; /* "host:port", port 0: any */
    size_t body_max;
    int64_t deadline_ms; /* from the first byte to the whole request */
    unsigned connections_max;
    void (*handler)(void *arg, struct http_request *req);
    void *arg;
};

struct http_server *http_server_new(struct loop *lo, const struct http_server_options *o,
                                    struct err *e);
void http_server_free(struct http_server *hs); /* open requests get no answer */
int http_server_port(const struct http_server *hs);
int64_t http_server_wait_ms(const struct http_server *hs); /* -1: no deadline */
void http_server_turn(struct http_server *hs);             /* once a turn */

const char *http_request_method(const struct http_request *req);
const char *http_request_path(const struct http_request *req);
const char *http_request_query(const struct http_request *req,
                               const char *name); /* or NULL */
const char *http_request_header(const struct http_request *req, const char *name);
struct str http_request_body(const struct http_request *req);
/* Answers and ends the request. headers: "Name: value" lines, may be NULL. Body is
 * copied. */
void http_reply(struct http_request *req, int status, const char *content_type,
                struct str body, const char *const *headers, size_t n_headers);

const char *http_server_library_version(void);

#endif
