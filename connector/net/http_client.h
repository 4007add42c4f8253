/* Asynchronous HTTP/1.1 client to one server, on curl multi + epoll. A call is one
 * attempt: nothing is ever sent twice behind the caller's back (the gate is libcurl's
 * PREREQ callback: libcurl 7.88 re-sends a POST on a reused connection that died; the
 * second call of the gate aborts).
 *
 * The engine reaches it through struct http_port, so that the simulator can stand in its
 * place. */
#ifndef NET_HTTP_CLIENT_H
#define NET_HTTP_CLIENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/loop.h"
#include "base/str.h"

enum http_method { HTTP_GET, HTTP_POST, HTTP_PUT, HTTP_PATCH, HTTP_DELETE };
#define HTTP_METHODS 5
extern const char *const http_method_names[HTTP_METHODS];

/* What happened to one attempt: the facts retry and doubt decide on. */
enum http_end {
    HTTP_ANSWERED,  /* status, head and whole body are there */
    HTTP_NOT_SENT,  /* the gate never opened: DNS, connect, TLS, or it refused: provably
                       not sent */
    HTTP_HEAD_ONLY, /* complete status and headers, the body broke off */
    HTTP_TOO_LARGE, /* complete head, the body is over body_max */
    HTTP_LOST /* may have reached the server; no complete head: reset, time-out, garbage
               */
};

struct http_head {
    int status;
    int64_t limit, remaining; /* x-ratelimit-*; -1: absent */
    double reset;             /* unix seconds, may be fractional; < 0: absent */
    double retry_after;       /* seconds; < 0: absent */
    int64_t date_ms;          /* Date header as unix ms; 0: absent */
    char tier[32];            /* x-front-tier; "" absent */
    char content_type[128];   /* "" absent */
    char location[512];       /* "" absent or too long */
};

struct http_call {
    /* the request: borrowed from the caller until done() */
    enum http_method method;
    const char *
        path; /* percent-encoded path, starts with '/'; appended to the base URL's path */
    const char *query;         /* encoded, without '?'; NULL: none */
    const char *authorization; /* whole header value; NULL: none */
    const char *accept;        /* NULL: no Accept header */
    const char
        *content_type; /* of the body; NULL: application/json when there is a body */
    const char *const *headers; /* further "Name: value" lines, n_headers of them */
    size_t n_headers;
    /* An absolute URL instead, on any host: path, query and authorization are not looked
     * at. No redirect is followed, no proxy asked. */
    const char *url;
    bool private_too; /* the peer of `url` may have an address that is not public */
    struct str body;  /* ptr NULL: none (a POST then sends Content-Length: 0) */
    /* The body in n_pieces pieces, which are not put together; NULL: it is `body`. */
    const struct str *pieces;
    size_t n_pieces;
    int64_t timeout_ms;
    size_t body_max; /* ceiling of the answer's body */
    bool (*gate)(
        struct http_call *call); /* last moment before a byte leaves; false: refuse */
    void (*done)(struct http_call *call); /* from reap(), never from start() */
    void *owner;

    /* the answer: valid in done() and until the next start() of this call */
    enum http_end end;
    struct http_head head;
    struct buf body_in; /* init by start(); http_call_fini frees */
    bool gate_opened;
    bool peer_refused; /* `url` leads to an address that is not public */
    char why[160];     /* for a person: what failed */
    void *impl;        /* the client's own */
};

void http_call_init(struct http_call *call);
void http_call_fini(struct http_call *call);

struct http_port {
    /* Starts a call. At most `places` run at once: the engine's admission holds that; 0,
     * or -1 when no place is free (a bug of the caller). */
    int (*start)(void *self, struct http_call *call);
    /* Ends a running call without an answer; done() comes with HTTP_LOST or
     * HTTP_NOT_SENT. */
    void (*cancel)(void *self, struct http_call *call);
    /* Calls done() for all that ended. */
    void (*reap)(void *self);
    void *self;
};

struct http_client_options {
    const char
        *url; /* base URL: scheme://host[:port][/path]; plain http only to loopback */
    bool plain_http;     /* plain http to any host */
    const char *ca_file; /* NULL: system */
    const char *proxy;   /* NULL: none; the environment is ignored */
    int64_t connect_timeout_ms;
    int places;       /* calls at once */
    int fetch_places; /* the same of calls to a `url`, which have their own */
    const char *user_agent;
};

struct http_client;
struct http_client *http_client_new(struct loop *lo, const struct http_client_options *o,
                                    struct err *e);
void http_client_free(struct http_client *hc);
struct http_port http_client_port(struct http_client *hc);
/* How long the loop may wait for curl's own timer: milliseconds from now, -1: no timer.
 */
int64_t http_client_wait_ms(const struct http_client *hc);
/* Gives curl its time and lets it start what was added this turn; call once a turn before
 * reap. */
void http_client_turn(struct http_client *hc);

/* A 301's target or a page link: does `url` name an https host we may read an id from?
 * Pure. */
int http_url_check(const char *url, struct err *e);
/* May a file be fetched from it: http or https, nothing in it that is read in two ways?
 * -1: `e` says what is wrong, without the URL. Pure. */
int http_url_check_fetch(const char *url, struct err *e);
/* Parses an RFC 7231 date to unix ms; 0 when it is not one. */
int64_t http_date_ms(const char *text);

/* libcurl and what it was built with: "libcurl/7.88.1 OpenSSL/...". */
const char *http_client_library_version(void);

#endif
