/* A small HTTP server on our loop (libmicrohttpd, external epoll): status pages, and
 * webhooks from the open internet, a proxy before it or not. Requests are handed over
 * whole (headers and body, capped); an answer may be given at once or later (the
 * connection is suspended meanwhile). Absolute deadlines, body and header caps; what two
 * servers could read as different requests is refused (HTTP_REFUSED_FRAMING). */
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
    size_t bodies_max; /* bytes, of all requests together; 0: 64 MiB */
    void (*handler)(void *arg, struct http_request *req);
    void *arg;
};

/* What a client did that got it no answer of the handler's. */
enum http_refusal {
    HTTP_REFUSED_FRAMING, /* 400: two lengths, a length and chunks, no Host... */
    HTTP_REFUSED_HEAD,    /* 431 or 414: the head is over 16 KiB */
    HTTP_REFUSED_BODY,    /* 413, or cut off: the body is over body_max */
    HTTP_REFUSED_LATE,    /* not whole at its deadline: closed */
    HTTP_REFUSED_PLACE /* half there when others needed its place: closed; or 429, since
                          all places or bodies_max are taken by what waits for us */
};
#define HTTP_REFUSALS 5
extern const char *const http_refusal_names[HTTP_REFUSALS];

struct http_server_counts {
    uint64_t requests; /* handed to the handler */
    uint64_t refused[HTTP_REFUSALS];
    unsigned connections; /* open now */
};

struct http_server *http_server_new(struct loop *lo, const struct http_server_options *o,
                                    struct err *e);
void http_server_free(struct http_server *hs); /* open requests get no answer */
int http_server_port(const struct http_server *hs);
const struct http_server_counts *http_server_counts(const struct http_server *hs);
int64_t http_server_wait_ms(const struct http_server *hs); /* -1: no deadline */
void http_server_turn(struct http_server *hs);             /* once a turn */

const char *http_request_method(const struct http_request *req);
const char *http_request_path(const struct http_request *req);
const char *http_request_query(const struct http_request *req,
                               const char *name); /* or NULL */
/* The first of that name, or NULL; and how many there are. */
const char *http_request_header(const struct http_request *req, const char *name);
size_t http_request_header_count(const struct http_request *req, const char *name);
struct str http_request_body(const struct http_request *req);
/* Did the client of a request that waits for its answer go away, or say that it will say
 * no more? It is to be answered all the same: that frees it. Costs a system call. */
bool http_request_client_gone(const struct http_request *req);
/* Answers and ends the request. headers: "Name: value" lines, may be NULL. Body is
 * copied. */
void http_reply(struct http_request *req, int status, const char *content_type,
                struct str body, const char *const *headers, size_t n_headers);

const char *http_server_library_version(void);

#endif
