/* The HTTP server: libmicrohttpd with its own epoll set, whose descriptor sits in our
 * loop. Owns the daemon, and one record per connection and per request. A request is
 * collected whole; its connection is suspended until http_reply when the handler does not
 * answer at once.
 *
 * Invariants: every open connection has a deadline unless its request waits for our
 * answer; each list of connections is in the order of their deadlines; MHD_run follows
 * each resume in the same turn, because the library does not announce one.
 *
 * What is left to the library, and was looked at (tests/unit/test_http_server.c): a bare
 * LF ends a line of the head, as RFC 9112 allows (libmicrohttpd 1.0 refuses it), and what
 * it splits off is judged as a header of its own; requests in one packet are answered one
 * after the other; chunked bodies are taken, since a proxy may make them of any body; an
 * end that comes together with bytes is overlooked, and such a connection is idle. */
#include "net/http_server.h"

#include <ctype.h>
#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <stdio.h>
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
    RUNS_AT_ONCE = 8,
    /* Over connections_max somebody is told to go; so many may be on their way out. */
    LEAVING_MAX = 256
};

#define BODIES_MAX ((size_t)64 << 20) /* unless the options say another number */

/* One list each. */
enum connection_state {
    RECEIVING, /* a request is awaited, since the connection is new, or half there */
    WAITING,   /* for our own answer: no deadline */
    ANSWERING, /* until the answer is read */
    IDLE,      /* between requests */
    LEAVING    /* shut down; the library will notice, and tell on_connection */
};
#define STATES 5

struct connection {
    TAILQ_ENTRY(connection) link;
    struct http_server *hs;
    struct MHD_Connection *conn;
    struct http_request *req; /* NULL: none is being received or answered */
    enum connection_state state;
    int64_t due_ms;
};
TAILQ_HEAD(connection_list, connection);

struct http_request {
    struct http_server *hs;
    struct connection *cn;
    struct MHD_Connection *conn;
    char *method, *path;
    struct buf body;
    size_t received;               /* of the body, what was not kept included */
    bool no_room;                  /* the bodies of all took what there is */
    struct MHD_Response *response; /* set by http_reply */
    int status;
    bool suspended;
};

struct http_server {
    struct loop *loop;
    struct http_server_options o;
    struct MHD_Daemon *daemon;
    int epoll_fd, port;
    struct connection_list lists[STATES];
    size_t bodies; /* bytes held of all requests */
    struct http_server_counts counts;
    bool run; /* MHD_run is due */
};

const char *const http_refusal_names[HTTP_REFUSALS] = {"framing", "head", "body", "late",
                                                       "place"};

static struct MHD_Daemon *start_daemon(struct http_server *hs, const struct addrinfo *ai);
static void move(struct connection *cn, enum connection_state state);
static void drop_body(struct http_request *req);
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
    hs->o.bodies_max = o->bodies_max > 0 ? o->bodies_max : BODIES_MAX;
    hs->epoll_fd = -1;
    for (int i = 0; i < STATES; i++)
        TAILQ_INIT(&hs->lists[i]);
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
    TAILQ_FOREACH (cn, &hs->lists[WAITING], link)
        if (cn->req->suspended)
            MHD_resume_connection(cn->conn);
    if (hs->daemon != NULL)
        MHD_stop_daemon(hs->daemon);
    mem_free(hs);
}

int http_server_port(const struct http_server *hs)
{
    return hs->port;
}

const struct http_server_counts *http_server_counts(const struct http_server *hs)
{
    return &hs->counts;
}

int64_t http_server_wait_ms(const struct http_server *hs)
{
    int64_t due_ms = INT64_MAX;
    MHD_UNSIGNED_LONG_LONG library_ms;
    int64_t left_ms = -1;

    if (hs->run)
        return 0;
    for (int i = 0; i < STATES; i++) {
        const struct connection *cn = TAILQ_FIRST(&hs->lists[i]);

        if (cn != NULL && cn->due_ms < due_ms)
            due_ms = cn->due_ms;
    }
    if (due_ms != INT64_MAX) {
        left_ms = due_ms - clock_now(&clock_system);
        left_ms = left_ms > 0 ? left_ms : 0;
    }
    if (MHD_get_timeout(hs->daemon, &library_ms) == MHD_YES &&
        (left_ms < 0 || library_ms < (MHD_UNSIGNED_LONG_LONG)left_ms))
        left_ms = (int64_t)library_ms;
    return left_ms;
}

static int64_t life_ms(const struct http_server *hs, enum connection_state state)
{
    switch (state) {
    case RECEIVING:
    case ANSWERING:
        return hs->o.deadline_ms;
    case IDLE:
        return IDLE_MS;
    case WAITING:
    case LEAVING:
        break;
    }
    return -1;
}

static void move(struct connection *cn, enum connection_state state)
{
    struct http_server *hs = cn->hs;
    int64_t life = life_ms(hs, state);

    TAILQ_REMOVE(&hs->lists[cn->state], cn, link);
    cn->state = state;
    cn->due_ms = life < 0 ? INT64_MAX : clock_now(&clock_system) + life;
    TAILQ_INSERT_TAIL(&hs->lists[state], cn, link);
}

/* Its memory goes at once, the connection when the library sees that it is shut down. */
static void close_connection(struct connection *cn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(cn->conn, MHD_CONNECTION_INFO_CONNECTION_FD);

    if (info != NULL)
        (void)shutdown(info->connect_fd, SHUT_RDWR);
    if (cn->req != NULL)
        drop_body(cn->req);
    cn->hs->counts.connections--;
    cn->hs->run = true;
    move(cn, LEAVING);
}

/* The library's own time-out is idle-only: a byte a second outlives it for ever. */
static void close_late(struct http_server *hs)
{
    int64_t now_ms = clock_now(&clock_system);

    for (int i = 0; i < STATES; i++) {
        struct connection *cn;

        while ((cn = TAILQ_FIRST(&hs->lists[i])) != NULL && cn->due_ms <= now_ms) {
            hs->counts.refused[HTTP_REFUSED_LATE] += i == RECEIVING ? 1 : 0;
            close_connection(cn);
        }
    }
}

/* Makes room: who is idle goes first, then who has not said all for the longest, since an
 * honest sender says all at once. Whose request is in our hands, or whose answer is on
 * its way, stays. False: nobody but `self` could go. */
static bool make_room(struct http_server *hs, const struct connection *self)
{
    static const enum connection_state order[] = {IDLE, RECEIVING};

    for (size_t i = 0; i < sizeof order / sizeof order[0]; i++) {
        struct connection *cn = TAILQ_FIRST(&hs->lists[order[i]]);

        if (cn == self && cn != NULL)
            cn = TAILQ_NEXT(cn, link);
        if (cn == NULL)
            continue;
        hs->counts.refused[HTTP_REFUSED_PLACE] += order[i] == RECEIVING ? 1 : 0;
        close_connection(cn);
        return true;
    }
    return false;
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

struct count {
    const char *name;
    size_t n;
};

static enum MHD_Result count_header(void *arg, enum MHD_ValueKind kind, const char *name,
                                    const char *value)
{
    struct count *c = arg;

    (void)kind;
    (void)value;
    c->n += strcasecmp(name, c->name) == 0 ? 1 : 0;
    return MHD_YES;
}

size_t http_request_header_count(const struct http_request *req, const char *name)
{
    struct count c = {name, 0};

    (void)MHD_get_connection_values(req->conn, MHD_HEADER_KIND, count_header, &c);
    return c.n;
}

/* The library does not look at a suspended connection. */
bool http_request_client_gone(const struct http_request *req)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(req->conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    struct pollfd fd = {.events = POLLRDHUP};

    if (info == NULL)
        return true;
    fd.fd = info->connect_fd;
    return poll(&fd, 1, 0) > 0 && (fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) != 0;
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
        move(req->cn, ANSWERING);
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

static struct connection *connection_new(struct http_server *hs,
                                         struct MHD_Connection *conn)
{
    struct connection *cn = mem_zalloc(sizeof(*cn));

    cn->hs = hs;
    cn->conn = conn;
    cn->state = RECEIVING;
    TAILQ_INSERT_TAIL(&hs->lists[RECEIVING], cn, link);
    move(cn, RECEIVING);
    hs->counts.connections++;
    if (hs->counts.connections > hs->o.connections_max && !make_room(hs, cn)) {
        hs->counts.refused[HTTP_REFUSED_PLACE]++;
        close_connection(cn);
    }
    return cn;
}

static void on_connection(void *arg, struct MHD_Connection *conn, void **context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct http_server *hs = arg;
    struct connection *cn = *context;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        *context = connection_new(hs, conn);
    } else if (cn != NULL) {
        TAILQ_REMOVE(&hs->lists[cn->state], cn, link);
        hs->counts.connections -= cn->state != LEAVING ? 1 : 0;
        mem_free(cn);
        *context = NULL;
    }
}

static struct connection *connection_of(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_SOCKET_CONTEXT);

    return info->socket_context;
}

/* The request line is there: on a connection that was kept the deadline runs from now on,
 * on a new one it does since it was made. Returns the request's state. */
static void *on_request_line(void *arg, const char *uri, struct MHD_Connection *conn)
{
    struct connection *cn = connection_of(conn);

    (void)arg;
    (void)uri;
    if (cn->state == IDLE)
        move(cn, RECEIVING);
    return NULL;
}

static struct http_request *request_new(struct http_server *hs,
                                        struct MHD_Connection *conn, const char *method,
                                        const char *path)
{
    struct http_request *req = mem_zalloc(sizeof(*req));

    req->hs = hs;
    req->conn = conn;
    req->cn = connection_of(conn);
    req->cn->req = req;
    req->method = mem_strdup(method);
    req->path = mem_strdup(path);
    buf_init(&req->body, hs->o.body_max);
    return req;
}

struct framing {
    int lengths, encodings;
    bool too_large, not_chunked, odd;
    size_t body_max;
};

/* RFC 9110's token: above all without the space that the library leaves at the end of
 * "Content-Length : 3", which it then does not know. */
static bool is_token(const char *name, size_t len)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < len; i++)
        if (!isalnum((unsigned char)name[i]) &&
            (name[i] == '\0' || strchr(others, name[i]) == NULL))
            return false;
    return len > 0;
}

static bool is_field_value(const char *value, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (iscntrl((unsigned char)value[i]) && value[i] != '\t')
            return false;
    return true;
}

/* A line that goes on in the next one. Before 1.0, which refuses it, the library appends
 * the second half to the *name*: "Content-Length:", " 3" would be a header
 * Content-Length3. It copies the name elsewhere then; of all other headers the value
 * stands right behind.
 */
static bool is_folded(const char *name, size_t name_len, const char *value)
{
    uintptr_t at = (uintptr_t)name + name_len + 1, to = (uintptr_t)value;

    if (MHD_VERSION >= 0x01000000 || value == NULL)
        return false;
    if (to < at || to - at > HEAD_MAX_BYTES)
        return true;
    return strspn(name + name_len + 1, " \t") < to - at;
}

static enum MHD_Result count_framing(void *arg, enum MHD_ValueKind kind, const char *name,
                                     size_t name_len, const char *value, size_t value_len)
{
    struct framing *f = arg;
    struct err e = ERR_INIT;
    struct str text = {value != NULL ? value : "", value_len};
    int64_t length;

    (void)kind;
    if (!is_token(name, name_len) || !is_field_value(text.ptr, text.len) ||
        is_folded(name, name_len, value))
        f->odd = true;
    if (strcasecmp(name, "Transfer-Encoding") == 0) {
        f->encodings++;
        f->not_chunked = strcasecmp(text.ptr, "chunked") != 0;
    }
    if (strcasecmp(name, "Content-Length") == 0) {
        f->lengths++;
        f->too_large = parse_i64(text, 0, INT64_MAX, &length, &e) != 0 ||
                       (uint64_t)length > f->body_max;
    }
    return MHD_YES;
}

/* Answers without a body and ends the connection. */
static enum MHD_Result refuse(struct http_server *hs, struct MHD_Connection *conn,
                              unsigned status, enum http_refusal why)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    enum MHD_Result rc;

    hs->counts.refused[why]++;
    (void)MHD_add_response_header(response, "Connection", "close");
    if (status == MHD_HTTP_TOO_MANY_REQUESTS)
        (void)MHD_add_response_header(response, "Retry-After", "1");
    rc = MHD_queue_response(conn, status, response);
    MHD_destroy_response(response);
    return rc;
}

/* Two lengths, a length and chunks, a name that is none, or what the library would read
 * to the end of the connection: whatever stands before us may have seen another request
 * in these bytes. The library lets these pass, even when strict. */
static enum MHD_Result look_at_head(struct http_server *hs, struct MHD_Connection *conn)
{
    struct framing f = {.body_max = hs->o.body_max};

    (void)MHD_get_connection_values_n(conn, MHD_HEADER_KIND, count_framing, &f);
    if (f.lengths + f.encodings > 1 || f.not_chunked || f.odd)
        return refuse(hs, conn, MHD_HTTP_BAD_REQUEST, HTTP_REFUSED_FRAMING);
    if (f.too_large)
        return refuse(hs, conn, MHD_HTTP_CONTENT_TOO_LARGE, HTTP_REFUSED_BODY);
    return MHD_YES;
}

static void drop_body(struct http_request *req)
{
    req->hs->bodies -= req->body.len;
    buf_fini(&req->body);
}

static enum MHD_Result take_body(struct http_request *req, const char *data, size_t *size)
{
    struct http_server *hs = req->hs;
    size_t before = req->body.len;

    while (hs->bodies + *size > hs->o.bodies_max && make_room(hs, req->cn))
        continue;
    if (hs->bodies + *size > hs->o.bodies_max) {
        drop_body(req);
        req->no_room = true;
    } else if (!req->no_room) {
        (void)buf_add(&req->body, data, *size);
        hs->bodies += req->body.len - before;
    }
    req->received += *size;
    *size = 0;
    /* The answer can be queued at the end of the body only; who goes on sending is cut
     * off. */
    if (req->received / SURPLUS_FACTOR <= hs->o.body_max)
        return MHD_YES;
    hs->counts.refused[HTTP_REFUSED_BODY]++;
    return MHD_NO;
}

static enum MHD_Result answer(struct http_request *req)
{
    enum MHD_Result rc =
        MHD_queue_response(req->conn, (unsigned)req->status, req->response);

    if (req->cn->state == WAITING)
        move(req->cn, ANSWERING);
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
    if (req->cn->state == LEAVING)
        return MHD_NO;
    if (*size > 0)
        return take_body(req, data, size);
    if (req->body.over)
        return refuse(hs, conn, MHD_HTTP_CONTENT_TOO_LARGE, HTTP_REFUSED_BODY);
    if (req->no_room)
        return refuse(hs, conn, MHD_HTTP_TOO_MANY_REQUESTS, HTTP_REFUSED_PLACE);
    if (req->response == NULL) {
        move(req->cn, WAITING);
        hs->counts.requests++;
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
    if (req->cn->state != LEAVING)
        move(req->cn, IDLE);
    if (req->response != NULL)
        MHD_destroy_response(req->response);
    drop_body(req);
    mem_free(req->method);
    mem_free(req->path);
    mem_free(req);
    *state = NULL;
}

/* What the library refuses by itself it tells nobody but its log. */
static void __attribute__((format(printf, 2, 0)))
on_log(void *arg, const char *fmt, va_list args)
{
    static const char marker[] = "HTTP response code is ";
    struct http_server *hs = arg;
    const char *status;
    char text[200];

    (void)vsnprintf(text, sizeof(text), fmt, args);
    status = strstr(text, marker);
    if (status == NULL)
        return;
    status += sizeof(marker) - 1;
    if (strncmp(status, "431", 3) == 0 || strncmp(status, "414", 3) == 0)
        hs->counts.refused[HTTP_REFUSED_HEAD]++;
    else if (strncmp(status, "413", 3) == 0)
        hs->counts.refused[HTTP_REFUSED_BODY]++;
    else
        hs->counts.refused[HTTP_REFUSED_FRAMING]++;
}

static struct MHD_Daemon *start_daemon(struct http_server *hs, const struct addrinfo *ai)
{
    unsigned flags = MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;

    if (ai->ai_family == AF_INET6)
        flags |= MHD_USE_IPv6;
    return MHD_start_daemon(
        flags, 0, NULL, NULL, on_access, hs, MHD_OPTION_EXTERNAL_LOGGER, on_log,
        hs, /* the first one */
        MHD_OPTION_SOCK_ADDR, ai->ai_addr, MHD_OPTION_NOTIFY_COMPLETED, on_completed, hs,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, hs, MHD_OPTION_URI_LOG_CALLBACK,
        on_request_line, hs, MHD_OPTION_CONNECTION_LIMIT,
        hs->o.connections_max + LEAVING_MAX, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)HEAD_MAX_BYTES, MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(IDLE_MS / 1000),
        MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
}

const char *http_server_library_version(void)
{
    return MHD_get_version();
}
