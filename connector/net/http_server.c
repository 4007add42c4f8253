/* The HTTP server: libmicrohttpd with its own epoll set, whose descriptor sits in our
 * loop. Owns the daemon, and one record per connection and per request. A request is
 * collected whole; its connection is suspended until http_reply when the handler does not
 * answer at once.
 *
 * Invariants: every open connection has a deadline unless its request waits for our
 * answer; MHD_run follows each resume in the same turn, because the library does not
 * announce one. */
#include "net/http_server.h"

#include <microhttpd.h>
#include <netdb.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <sys/socket.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/mem.h"

enum {
    HEAD_MAX_BYTES = 16 * 1024, /* 431 beyond */
    IDLE_MS = 75000, /* kept connections between requests: scrapes come each minute */
    SURPLUS_FACTOR =
        4, /* of a body that is too large, this much is read for the sake of a 413 */
    RUNS_AT_ONCE = 8
};

struct connection {
    TAILQ_ENTRY(connection) link;
    struct MHD_Connection *conn;
    struct http_request *req; /* NULL: none is being received or answered */
    int64_t due_ms;           /* INT64_MAX: waits for our own answer */
};
TAILQ_HEAD(connection_list, connection);

struct http_request {
    struct http_server *hs;
    struct connection *cn;
    struct MHD_Connection *conn;
    char *method, *path;
    struct buf body;
    size_t received;               /* of the body, what was not kept included */
    struct MHD_Response *response; /* set by http_reply */
    int status;
    bool suspended;
};

struct http_server {
    struct loop *loop;
    struct http_server_options o;
    struct MHD_Daemon *daemon;
    int epoll_fd, port;
    struct connection_list connections;
    bool run; /* MHD_run is due */
};

static struct MHD_Daemon *start_daemon(struct http_server *hs, const struct addrinfo *ai);
static void on_ready(void *arg, int fd, unsigned events);

/* ---- public ---- */

/* "host:port", "[v6]:port" or ":port"; a name is resolved, so this may wait: start only.
 */
static struct addrinfo *resolve_wait(const char *listen, struct err *e)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV};
    const char *colon = strrchr(listen, ':');
    struct addrinfo *found = NULL;
    struct str host;
    char *name;
    int rc;

    if (colon == NULL) {
        (void)err_set(e, ERR_SETTINGS, "%s: must be host:port", listen);
        return NULL;
    }
    host = (struct str){listen, (size_t)(colon - listen)};
    if (host.len >= 2 && host.ptr[0] == '[' && host.ptr[host.len - 1] == ']')
        host = (struct str){host.ptr + 1, host.len - 2};
    name = mem_strndup(host.ptr, host.len);
    rc = getaddrinfo(name[0] != '\0' ? name : NULL, colon + 1, &hints, &found);
    mem_free(name);
    if (rc == 0)
        return found;
    (void)err_set(e, ERR_SETTINGS, "%s: %s", listen, gai_strerror(rc));
    return NULL;
}

struct http_server *http_server_new(struct loop *lo, const struct http_server_options *o,
                                    struct err *e)
{
    struct addrinfo *ai = resolve_wait(o->listen, e);
    struct http_server *hs;

    if (ai == NULL)
        return NULL;
    hs = mem_zalloc(sizeof(*hs));
    hs->loop = lo;
    hs->o = *o;
    hs->epoll_fd = -1;
    TAILQ_INIT(&hs->connections);
    hs->daemon = start_daemon(hs, ai);
    freeaddrinfo(ai);
    if (hs->daemon == NULL) {
        (void)err_set(e, ERR_SETTINGS, "cannot listen on %s: is the port taken?",
                      o->listen);
        goto out;
    }
    hs->port = MHD_get_daemon_info(hs->daemon, MHD_DAEMON_INFO_BIND_PORT)->port;
    hs->epoll_fd = MHD_get_daemon_info(hs->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    if (loop_watch(lo, hs->epoll_fd, LOOP_IN, on_ready, hs, e) == 0)
        return hs;
out:
    http_server_free(hs);
    return NULL;
}

void http_server_free(struct http_server *hs)
{
    struct connection *cn;

    if (hs == NULL)
        return;
    if (hs->epoll_fd >= 0)
        loop_unwatch(hs->loop, hs->epoll_fd);
    /* The library must not be stopped with suspended connections. */
    TAILQ_FOREACH (cn, &hs->connections, link)
        if (cn->req != NULL && cn->req->suspended)
            MHD_resume_connection(cn->conn);
    if (hs->daemon != NULL)
        MHD_stop_daemon(hs->daemon);
    mem_free(hs);
}

int http_server_port(const struct http_server *hs)
{
    return hs->port;
}

int64_t http_server_wait_ms(const struct http_server *hs)
{
    int64_t due_ms = INT64_MAX;
    const struct connection *cn;
    MHD_UNSIGNED_LONG_LONG library_ms;
    int64_t left_ms = -1;

    if (hs->run)
        return 0;
    TAILQ_FOREACH (cn, &hs->connections, link)
        if (cn->due_ms < due_ms)
            due_ms = cn->due_ms;
    if (due_ms != INT64_MAX) {
        left_ms = due_ms - clock_now(&clock_system);
        left_ms = left_ms > 0 ? left_ms : 0;
    }
    if (MHD_get_timeout(hs->daemon, &library_ms) == MHD_YES &&
        (left_ms < 0 || library_ms < (MHD_UNSIGNED_LONG_LONG)left_ms))
        left_ms = (int64_t)library_ms;
    return left_ms;
}

/* The library's own time-out is idle-only: a byte a second outlives it for ever. */
static void close_late(struct http_server *hs)
{
    int64_t now_ms = clock_now(&clock_system);
    struct connection *cn;

    TAILQ_FOREACH (cn, &hs->connections, link) {
        const union MHD_ConnectionInfo *info;

        if (cn->due_ms > now_ms)
            continue;
        info = MHD_get_connection_info(cn->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
        if (info != NULL)
            (void)shutdown(info->connect_fd, SHUT_RDWR);
        cn->due_ms = INT64_MAX; /* the library notices, and tells on_connection */
        hs->run = true;
    }
}

void http_server_turn(struct http_server *hs)
{
    MHD_UNSIGNED_LONG_LONG library_ms;
    int i;

    close_late(hs);
    if (MHD_get_timeout(hs->daemon, &library_ms) == MHD_YES && library_ms == 0)
        hs->run = true;
    /* An answer given inside a run wants another one. */
    for (i = 0; hs->run && i < RUNS_AT_ONCE; i++) {
        hs->run = false;
        (void)MHD_run(hs->daemon);
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

static void add_header(struct MHD_Response *response, const char *line)
{
    struct str value = str_of(line);
    struct str name = str_split(&value, ':');
    char *name_text = mem_strndup(name.ptr, name.len);
    char *value_text;

    value = str_trim(value);
    value_text = mem_strndup(value.ptr, value.len);
    (void)MHD_add_response_header(response, name_text, value_text);
    mem_free(name_text);
    mem_free(value_text);
}

void http_reply(struct http_request *req, int status, const char *content_type,
                struct str body, const char *const *headers, size_t n_headers)
{
    size_t i;

    if (req->response != NULL)
        return; /* answered already: the first one counts */
    req->response = MHD_create_response_from_buffer(body.len, mem_unconst(body.ptr),
                                                    MHD_RESPMEM_MUST_COPY);
    req->status = status;
    if (content_type != NULL)
        (void)MHD_add_response_header(req->response, "Content-Type", content_type);
    for (i = 0; i < n_headers; i++)
        add_header(req->response, headers[i]);
    req->hs->run = true;
    if (req->suspended) {
        req->suspended = false;
        MHD_resume_connection(req->conn);
    }
}

/* ---- what libmicrohttpd calls ---- */

static void on_ready(void *arg, int fd, unsigned events)
{
    struct http_server *hs = arg;

    (void)fd;
    (void)events;
    hs->run = true;
}

static void on_connection(void *arg, struct MHD_Connection *conn, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *hs = arg;
    struct connection *cn = *context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        cn = mem_zalloc(sizeof(*cn));
        cn->conn = conn;
        cn->due_ms = clock_now(&clock_system) + hs->o.deadline_ms;
        TAILQ_INSERT_TAIL(&hs->connections, cn, link);
        *context = cn;
    } else if (cn != NULL) {
        TAILQ_REMOVE(&hs->connections, cn, link);
        mem_free(cn);
        *context = NULL;
    }
}

/* The request line is there: from now on the deadline runs. Returns the request's state.
 */
static void *on_request_line(void *arg, const char *uri, struct MHD_Connection *conn)
{
    struct http_server *hs = arg;
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    struct connection *cn = info != NULL ? info->socket_context : NULL;
    int64_t due_ms = clock_now(&clock_system) + hs->o.deadline_ms;

    (void)uri;
    /* That of a first request runs since the connection was made. */
    if (cn != NULL && due_ms < cn->due_ms)
        cn->due_ms = due_ms;
    return NULL;
}

static struct http_request *request_new(struct http_server *hs,
                                        struct MHD_Connection *conn, const char *method,
                                        const char *path)
{
    struct http_request *req = mem_zalloc(sizeof(*req));
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    req->hs = hs;
    req->conn = conn;
    req->cn = info->socket_context;
    req->cn->req = req;
    req->method = mem_strdup(method);
    req->path = mem_strdup(path);
    buf_init(&req->body, hs->o.body_max);
    return req;
}

struct framing {
    int lengths, encodings;
    bool too_large;
    size_t body_max;
};

static enum MHD_Result count_framing(void *arg, enum MHD_ValueKind kind, const char *name,
                                     const char *value)
{
    struct framing *f = arg;
    struct err e = ERR_INIT;
    int64_t length;

    (void)kind;
    f->encodings += strcasecmp(name, "Transfer-Encoding") == 0 ? 1 : 0;
    if (strcasecmp(name, "Content-Length") == 0) {
        f->lengths++;
        f->too_large = parse_i64(str_of(value), 0, INT64_MAX, &length, &e) != 0 ||
                       (uint64_t)length > f->body_max;
    }
    return MHD_YES;
}

/* Answers without a body and ends the connection. */
static enum MHD_Result refuse(struct MHD_Connection *conn, unsigned status)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result rc;

    (void)MHD_add_response_header(response, "Connection", "close");
    rc = MHD_queue_response(conn, status, response);
    MHD_destroy_response(response);
    return rc;
}

/* Two lengths, or a length and chunks: whatever stands before us may have seen another
 * request in these bytes. The library lets both pass, even when strict. */
static enum MHD_Result look_at_head(struct http_server *hs, struct MHD_Connection *conn)
{
    struct framing f = {.body_max = hs->o.body_max};

    (void)MHD_get_connection_values(conn, MHD_HEADER_KIND, count_framing, &f);
    if (f.lengths > 1 || f.encodings > 1 || (f.lengths > 0 && f.encodings > 0))
        return refuse(conn, MHD_HTTP_BAD_REQUEST);
    if (f.too_large)
        return refuse(conn, MHD_HTTP_CONTENT_TOO_LARGE);
    return MHD_YES;
}

static enum MHD_Result take_body(struct http_request *req, const char *data, size_t *size)
{
    (void)buf_add(&req->body, data, *size);
    req->received += *size;
    *size = 0;
    /* The answer can be queued at the end of the body only; who goes on sending is cut
     * off. */
    return req->received / SURPLUS_FACTOR > req->hs->o.body_max ? MHD_NO : MHD_YES;
}

static enum MHD_Result answer(struct http_request *req)
{
    enum MHD_Result rc =
        MHD_queue_response(req->conn, (unsigned)req->status, req->response);

    MHD_destroy_response(req->response);
    req->response = NULL;
    return rc;
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
        *state = request_new(hs, conn, method, url);
        return look_at_head(hs, conn);
    }
    if (*size > 0)
        return take_body(req, data, size);
    if (req->body.over)
        return refuse(conn, MHD_HTTP_CONTENT_TOO_LARGE);
    if (req->response == NULL) {
        req->cn->due_ms = INT64_MAX;
        hs->o.handler(hs->o.arg, req);
    }
    if (req->response != NULL)
        return answer(req);
    req->suspended = true;
    MHD_suspend_connection(conn);
    return MHD_YES;
}

/* Answered, or broken off. */
static void on_completed(void *arg, struct MHD_Connection *conn, void **state,
                         enum MHD_RequestTerminationCode why)
{
    struct http_request *req = *state;

    (void)arg;
    (void)conn;
    (void)why;
    if (req == NULL)
        return;
    req->cn->req = NULL;
    req->cn->due_ms = clock_now(&clock_system) + IDLE_MS;
    if (req->response != NULL)
        MHD_destroy_response(req->response);
    buf_fini(&req->body);
    mem_free(req->method);
    mem_free(req->path);
    mem_free(req);
    *state = NULL;
}

static struct MHD_Daemon *start_daemon(struct http_server *hs, const struct addrinfo *ai)
{
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME;

    if (ai->ai_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    return MHD_start_daemon(flags, 0, NULL, NULL, on_access, hs, MHD_OPTION_SOCK_ADDR,
                            ai->ai_addr, MHD_OPTION_NOTIFY_COMPLETED, on_completed, hs,
                            MHD_OPTION_NOTIFY_CONNECTION, on_connection, hs,
                            MHD_OPTION_URI_LOG_CALLBACK, on_request_line, hs,
                            MHD_OPTION_CONNECTION_LIMIT, hs->o.connections_max,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)HEAD_MAX_BYTES,
                            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(IDLE_MS / 1000),
                            MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

const char *http_server_library_version(void)
{
    return MHD_get_version();
}
