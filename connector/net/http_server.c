/* See http_server.h. libmicrohttpd with its own epoll, whose descriptor sits in our loop.
 * A request is collected whole, then its connection is suspended until http_reply.
 *
 * Invariant: every suspended connection has its request in `waiting`; MHD_run follows
 * each resume in the same turn (libmicrohttpd does not announce a resumed connection). */
#include "net/http_server.h"

#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

#define HEADER_MEMORY (16 * 1024)
#define REPLY_HEADERS_MAX 16

struct http_request {
    TAILQ_ENTRY(http_request) link;
    struct http_server *hs;
    struct MHD_Connection *conn;
    char *method, *path;
    struct buf body;
    int64_t started_ms;
    struct MHD_Response *response; /* set by http_reply */
    int status;
    bool suspended, over;
};
TAILQ_HEAD(request_list, http_request);

struct http_server {
    struct loop *loop;
    struct http_server_options o;
    struct MHD_Daemon *daemon;
    int epoll_fd, port;
    struct request_list open; /* all that are not finished */
    bool run;                 /* MHD_run is due */
};

static enum MHD_Result on_access(void *arg, struct MHD_Connection *conn, const char *url,
                                 const char *method, const char *version,
                                 const char *data, size_t *size, void **state);
static void on_completed(void *arg, struct MHD_Connection *conn, void **state,
                         enum MHD_RequestTerminationCode why);
static void on_ready(void *arg, int fd, unsigned events);
static bool framing_is_safe(struct MHD_Connection *conn);
static enum MHD_Result refuse(struct MHD_Connection *conn, unsigned status);
static int parse_listen(const char *listen, struct sockaddr_in *addr, struct err *e);
static void reap_late(struct http_server *hs);

struct http_server *http_server_new(struct loop *lo, const struct http_server_options *o,
                                    struct err *e)
{
    struct sockaddr_in addr;
    if (parse_listen(o->listen, &addr, e))
        return NULL;
    struct http_server *hs = mem_zalloc(sizeof *hs);
    hs->loop = lo;
    hs->o = *o;
    TAILQ_INIT(&hs->open);
    hs->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_access, hs,
        MHD_OPTION_SOCK_ADDR, (struct sockaddr *)(void *)&addr,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, hs, MHD_OPTION_CONNECTION_LIMIT,
        o->connections_max, MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEADER_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(o->deadline_ms / 1000 + 1),
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    if (hs->daemon == NULL) {
        err_set(e, ERR_SETTINGS, "cannot listen on %s: is the port taken?", o->listen);
        mem_free(hs);
        return NULL;
    }
    hs->port = MHD_get_daemon_info(hs->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    hs->epoll_fd = MHD_get_daemon_info(hs->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    if (loop_watch(lo, hs->epoll_fd, LOOP_IN, on_ready, hs, e)) {
        http_server_free(hs);
        return NULL;
    }
    return hs;
}

void http_server_free(struct http_server *hs)
{
    struct http_request *req;
    if (hs == NULL)
        return;
    loop_unwatch(hs->loop, hs->epoll_fd);
    TAILQ_FOREACH (req, &hs->open,
                   link) /* it must not be stopped with suspended connections */
        if (req->suspended)
            MHD_resume_connection(req->conn);
    MHD_stop_daemon(hs->daemon);
    mem_free(hs);
}

int http_server_port(const struct http_server *hs)
{
    return hs->port;
}

int64_t http_server_wait_ms(const struct http_server *hs)
{
    MHD_UNSIGNED_LONG_LONG ms;
    if (hs->run)
        return 0;
    if (MHD_get_timeout(hs->daemon, &ms) != MHD_YES)
        return TAILQ_EMPTY(&hs->open) ? -1 : 500;
    return ms > 500 ? 500 : (int64_t)ms;
}

void http_server_turn(struct http_server *hs)
{
    MHD_UNSIGNED_LONG_LONG ms;
    reap_late(hs);
    if (!hs->run && MHD_get_timeout(hs->daemon, &ms) == MHD_YES && ms == 0)
        hs->run = true;
    for (int i = 0; hs->run && i < 8;
         i++) { /* an answer given inside a run wants another */
        hs->run = false;
        MHD_run(hs->daemon);
    }
}

const char *http_request_method(const struct http_request *req)
{
    return req->method;
}

const char *http_request_path(const struct http_request *req)
{
    return req->path;
}

const char *http_request_query(const struct http_request *req, const char *name)
{
    return MHD_lookup_connection_value(req->conn, MHD_GET_ARGUMENT_KIND, name);
}

const char *http_request_header(const struct http_request *req, const char *name)
{
    return MHD_lookup_connection_value(req->conn, MHD_HEADER_KIND, name);
}

struct str http_request_body(const struct http_request *req)
{
    return buf_str(&req->body);
}

void http_reply(struct http_request *req, int status, const char *content_type,
                struct str body, const char *const *headers, size_t n_headers)
{
    req->response = MHD_create_response_from_buffer(body.len, mem_unconst(body.ptr),
                                                    MHD_RESPMEM_MUST_COPY);
    req->status = status;
    if (content_type != NULL)
        MHD_add_response_header(req->response, "Content-Type", content_type);
    for (size_t i = 0; i < n_headers && i < REPLY_HEADERS_MAX; i++) {
        struct str value = str_of(headers[i]);
        struct str name = str_split(&value, ':');
        char *n = mem_strndup(name.ptr, name.len);
        struct str trimmed = str_trim(value);
        char *v = mem_strndup(trimmed.ptr, trimmed.len);
        MHD_add_response_header(req->response, n, v);
        mem_free(n);
        mem_free(v);
    }
    req->hs->run = true;
    if (req->suspended) {
        req->suspended = false;
        MHD_resume_connection(req->conn);
    }
}

/* Called for the head, for each piece of the body, at its end, and after a resume. */
static enum MHD_Result on_access(void *arg, struct MHD_Connection *conn, const char *url,
                                 const char *method, const char *version,
                                 const char *data, size_t *size, void **state)
{
    struct http_server *hs = arg;
    struct http_request *req = *state;
    (void)version;
    if (req == NULL) {
        req = mem_zalloc(sizeof *req);
        req->hs = hs;
        req->conn = conn;
        req->method = mem_strdup(method);
        req->path = mem_strdup(url);
        req->started_ms = clock_now(&clock_system);
        buf_init(&req->body, hs->o.body_max);
        *state = req;
        TAILQ_INSERT_TAIL(&hs->open, req, link);
        if (!framing_is_safe(conn))
            return refuse(conn, MHD_HTTP_BAD_REQUEST);
        const char *length =
            MHD_lookup_connection_value(conn, MHD_HEADER_KIND, "Content-Length");
        if (length != NULL && strtoull(length, NULL, 10) > hs->o.body_max)
            return refuse(conn, 413);
        return MHD_YES;
    }
    if (*size > 0) {
        req->over |= buf_add(&req->body, data, *size) != 0;
        *size = 0;
        return MHD_YES;
    }
    if (req->over)
        return refuse(conn, 413);
    if (req->response == NULL) {
        hs->o.handler(hs->o.arg, req);
        if (req->response == NULL) {
            req->suspended = true;
            MHD_suspend_connection(conn);
            return MHD_YES;
        }
    }
    enum MHD_Result rc = MHD_queue_response(conn, (unsigned)req->status, req->response);
    MHD_destroy_response(req->response);
    req->response = NULL;
    return rc;
}

static void on_completed(void *arg, struct MHD_Connection *conn, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct http_server *hs = arg;
    struct http_request *req = *state;
    (void)conn;
    (void)why;
    if (req == NULL)
        return;
    TAILQ_REMOVE(&hs->open, req, link);
    if (req->response != NULL)
        MHD_destroy_response(req->response);
    buf_fini(&req->body);
    mem_free(req->method);
    mem_free(req->path);
    mem_free(req);
    *state = NULL;
}

static void on_ready(void *arg, int fd, unsigned events)
{
    struct http_server *hs = arg;
    (void)fd;
    (void)events;
    hs->run = true;
}

struct framing {
    int lengths, encodings;
};

static enum MHD_Result count_framing(void *arg, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    struct framing *f = arg;
    (void)kind;
    (void)value;
    f->lengths += strcasecmp(name, "Content-Length") == 0;
    f->encodings += strcasecmp(name, "Transfer-Encoding") == 0;
    return MHD_YES;
}

/* libmicrohttpd 0.9.75 accepts both of these even in strict mode. */
static bool framing_is_safe(struct MHD_Connection *conn)
{
    struct framing f = {0, 0};
    MHD_get_connection_values(conn, MHD_HEADER_KIND, count_framing, &f);
    return f.lengths <= 1 && !(f.lengths > 0 && f.encodings > 0);
}

static enum MHD_Result refuse(struct MHD_Connection *conn, unsigned status)
{
    struct MHD_Response *r =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    MHD_add_response_header(r, "Connection", "close");
    enum MHD_Result rc = MHD_queue_response(conn, status, r);
    MHD_destroy_response(r);
    return rc;
}

/* Absolute deadline: libmicrohttpd's own time-out is idle-only, one byte a second
 * outlives it. */
static void reap_late(struct http_server *hs)
{
    struct http_request *req;
    int64_t now = clock_now(&clock_system);
    TAILQ_FOREACH (req, &hs->open, link) {
        if (req->suspended || now - req->started_ms <= hs->o.deadline_ms)
            continue;
        const union MHD_ConnectionInfo *info =
            MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info != NULL)
            shutdown(info->connect_fd, SHUT_RDWR);
        hs->run = true;
    }
}

static int parse_listen(const char *listen, struct sockaddr_in *addr, struct err *e)
{
    struct str rest = str_of(listen);
    struct str host = str_split(&rest, ':');
    int64_t port;
    memset(addr, 0, sizeof *addr);
    addr->sin_family = AF_INET;
    if (rest.ptr == NULL || parse_i64(rest, 0, 65535, &port, e))
        return err_set(e, ERR_SETTINGS, "%s: must be host:port", listen);
    char *text = host.len == 0 ? mem_strdup("0.0.0.0") : mem_strndup(host.ptr, host.len);
    const char *address = strcmp(text, "localhost") == 0 ? "127.0.0.1" : text;
    int ok = inet_pton(AF_INET, address, &addr->sin_addr);
    mem_free(text);
    if (ok != 1)
        return err_set(e, ERR_SETTINGS, "%s: the host must be an IPv4 address", listen);
    addr->sin_port = htons((uint16_t)port);
    return 0;
}
