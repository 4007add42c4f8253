/* The HTTP side: libmicrohttpd with external epoll on the one thread. A request is read
 * whole, run by call_run, and then answered now, later (delayed), never (held), or broken
 * on purpose. A suspended request is in STAGE_DELAYED or STAGE_HELD and has a timer or is
 * on the held list; MHD_run follows every resume in the same turn. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"

#include "sandbox.h"

#define LARGE_BYTES ((size_t)20 << 20)
#define HELD_LOOK_MS 500

struct server {
    struct sandbox *sb;
    struct MHD_Daemon *daemon;
    int epoll_fd, signal_fd;
    TAILQ_HEAD(, call) held;
    struct timer look; /* are the held requests' clients still there? */
};

static void *on_uri(void *cls, const char *uri, struct MHD_Connection *conn)
{
    struct server *sv = cls;
    struct call *c = mem_zalloc(sizeof *c);
    c->sb = sv->sb;
    c->conn = conn;
    c->uri = mem_strdup(uri);
    c->retry_after = -1;
    buf_init(&c->body, BODY_MAX);
    return c;
}

static void on_completed(void *cls, struct MHD_Connection *conn, void **con_cls,
                         enum MHD_RequestTerminationCode why)
{
    struct server *sv = cls;
    struct call *c = *con_cls;
    (void)conn;
    (void)why;
    if (c == NULL)
        return;
    timer_cancel(&sv->sb->timers, &c->timer);
    if (c->stage == STAGE_HELD)
        TAILQ_REMOVE(&sv->held, c, held);
    call_forget(c);
    json_decref(c->json);
    buf_fini(&c->body);
    mem_free(c->parts);
    mem_free(c->uri);
    mem_free(c);
    *con_cls = NULL;
}

const char *server_header(const struct call *c, const char *name)
{
    return MHD_lookup_connection_value(c->conn, MHD_HEADER_KIND, name);
}

static int socket_of(struct MHD_Connection *conn)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(conn, MHD_CONNECTION_INFO_CONNECTION_FD);
    return info != NULL ? info->connect_fd : -1;
}

/* Linux sends an RST at once when a connected socket is dissolved. */
static void socket_reset(int fd)
{
    struct sockaddr none = {.sa_family = AF_UNSPEC};
    (void)connect(fd, &none, sizeof none);
}

static void add_number(struct MHD_Response *rs, const char *name, double value,
                       int decimals)
{
    char text[40];
    snprintf(text, sizeof text, "%.*f", decimals, value);
    (void)MHD_add_response_header(rs, name, text);
}

static void add_headers(struct call *c, struct MHD_Response *rs)
{
    if (c->content_type != NULL)
        (void)MHD_add_response_header(rs, MHD_HTTP_HEADER_CONTENT_TYPE, c->content_type);
    if (c->location != NULL)
        (void)MHD_add_response_header(rs, MHD_HTTP_HEADER_LOCATION, c->location);
    if (c->retry_after >= 0)
        add_number(rs, MHD_HTTP_HEADER_RETRY_AFTER, c->retry_after,
                   c->retry_after == (double)(int64_t)c->retry_after ? 0 : 3);
    if (c->tier != NULL)
        (void)MHD_add_response_header(rs, "x-front-tier", c->tier);
    if (c->has_quota) {
        add_number(rs, "x-ratelimit-limit", c->quota.limit, 0);
        add_number(rs, "x-ratelimit-remaining", c->quota.remaining, 0);
        add_number(rs, "x-ratelimit-reset",
                   (double)(c->sb->started_wall_ms + sandbox_ms(c->sb) -
                            c->sb->started_ms + c->quota.reset_in_ms) /
                       1000,
                   3);
    }
}

/* Gives half of a text, then an error: MHD closes the connection. */
static ssize_t half_reader(void *cls, uint64_t pos, char *out, size_t max)
{
    const struct call *c = cls;
    size_t half = c->text_len / 2, n = half - (size_t)pos;
    if (pos >= half)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    if (n > max)
        n = max;
    memcpy(out, c->text + pos, n);
    return (ssize_t)n;
}

static struct MHD_Response *response_of(struct call *c)
{
    if (c->fault == FAULT_HALF && c->text_len > 1)
        return MHD_create_response_from_callback(c->text_len, 4096, half_reader, c, NULL);
    char *text = c->text;
    size_t len = c->text_len;
    c->text = NULL;
    c->text_len = 0;
    return MHD_create_response_from_buffer_with_free_callback(len, text, mem_free);
}

static void replace_text(struct call *c, const char *text, const char *content_type)
{
    mem_free(c->text);
    c->text = mem_strdup(text);
    c->text_len = strlen(text);
    c->content_type = content_type;
}

static void large_text(struct call *c)
{
    static const char start[] = "{\"id\":\"large\",\"text\":\"";
    mem_free(c->text);
    c->text = mem_alloc(LARGE_BYTES);
    c->text_len = LARGE_BYTES;
    memset(c->text, 'x', LARGE_BYTES);
    memcpy(c->text, start, sizeof start - 1);
    memcpy(c->text + LARGE_BYTES - 2, "\"}", 2);
    c->content_type = "application/json";
}

/* Bytes that are not HTTP, or the beginning of an answer without a body. */
static enum MHD_Result break_head(struct call *c)
{
    const char *text =
        c->fault == FAULT_HALF ? "HTTP/1.1 2" : "SMTP 1\x01 garbage\r\n\r\n";
    (void)send(socket_of(c->conn), text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT);
    c->stage = STAGE_CLOSED;
    return MHD_NO;
}

static enum MHD_Result hold(struct call *c)
{
    struct server *sv = c->sb->server;
    MHD_suspend_connection(c->conn);
    c->stage = STAGE_HELD;
    TAILQ_INSERT_TAIL(&sv->held, c, held);
    timer_set(&c->sb->timers, &c->timer, sandbox_ms(c->sb) + c->sb->opt.hold_ms);
    if (!timer_is_set(&sv->look))
        timer_set(&c->sb->timers, &sv->look, sandbox_ms(c->sb) + HELD_LOOK_MS);
    return MHD_YES;
}

static enum MHD_Result deliver(struct call *c)
{
    switch (c->fault) {
    case FAULT_TIMEOUT:
        return hold(c);
    case FAULT_RESET:
        socket_reset(socket_of(c->conn));
        c->stage = STAGE_CLOSED;
        return MHD_NO;
    case FAULT_GARBAGE_HEAD:
        return break_head(c);
    case FAULT_HALF:
        if (c->text_len < 2)
            return break_head(c);
        break;
    case FAULT_GARBAGE:
        c->status = 200;
        replace_text(c, "{\"id\": \"cnv_1\", \"subject\": \"unfin", "application/json");
        break;
    case FAULT_LARGE:
        c->status = 200;
        large_text(c);
        break;
    case FAULT_503HTML:
        c->status = 503;
        replace_text(c, "<html><body><h1>503 Service Unavailable</h1></body></html>\n",
                     "text/html");
        break;
    case FAULT_NONE:
    case FAULT_SLOW:
    case FAULT_STATUS:
        break;
    }
    struct MHD_Response *rs = response_of(c);
    add_headers(c, rs);
    enum MHD_Result rc = MHD_queue_response(c->conn, (unsigned)c->status, rs);
    MHD_destroy_response(rs);
    return rc;
}

static struct call *call_of_timer(struct timer *t)
{
    return (struct call *)(void *)((char *)t - offsetof(struct call, timer));
}

static void on_timer(struct timer *t)
{
    struct call *c = call_of_timer(t);
    if (c->stage == STAGE_HELD) {
        TAILQ_REMOVE(&c->sb->server->held, c, held);
        c->stage = STAGE_CLOSED;
    } else {
        c->stage = STAGE_READY;
    }
    MHD_resume_connection(c->conn);
}

/* A suspended connection is not read: look whether its client went away. */
static void on_look(struct timer *t)
{
    struct server *sv =
        (struct server *)(void *)((char *)t - offsetof(struct server, look));
    struct call *c, *next;
    char byte;
    for (c = TAILQ_FIRST(&sv->held); c != NULL; c = next) {
        next = TAILQ_NEXT(c, held);
        if (recv(socket_of(c->conn), &byte, 1, MSG_PEEK | MSG_DONTWAIT) != 0)
            continue;
        timer_cancel(&sv->sb->timers, &c->timer);
        on_timer(&c->timer);
    }
    if (!TAILQ_EMPTY(&sv->held))
        timer_set(&sv->sb->timers, t, sandbox_ms(sv->sb) + HELD_LOOK_MS);
}

static enum MHD_Result run(struct call *c)
{
    call_run(c);
    c->timer.fire = on_timer;
    if (c->delay_ms <= 0) {
        c->stage = STAGE_READY;
        return deliver(c);
    }
    MHD_suspend_connection(c->conn);
    c->stage = STAGE_DELAYED;
    timer_set(&c->sb->timers, &c->timer, sandbox_ms(c->sb) + c->delay_ms);
    return MHD_YES;
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *conn, const char *url,
                                  const char *method, const char *version,
                                  const char *data, size_t *size, void **con_cls)
{
    struct call *c = *con_cls;
    (void)cls;
    (void)conn;
    (void)url;
    (void)version;
    switch (c->stage) {
    case STAGE_HEAD:
        snprintf(c->method, sizeof c->method, "%s", method);
        c->stage = STAGE_BODY;
        return MHD_YES;
    case STAGE_BODY:
        if (*size == 0)
            return run(c);
        (void)buf_add(&c->body, data, *size); /* over the cap: call_run answers 413 */
        *size = 0;
        return MHD_YES;
    case STAGE_READY:
        return deliver(c);
    case STAGE_DELAYED:
    case STAGE_HELD:
    case STAGE_CLOSED:
        break;
    }
    return MHD_NO;
}

static void daemon_start(struct server *sv, int port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    sv->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, (uint16_t)port, NULL, NULL, on_request,
        sv, MHD_OPTION_SOCK_ADDR, (struct sockaddr *)&at, MHD_OPTION_URI_LOG_CALLBACK,
        on_uri, sv, MHD_OPTION_NOTIFY_COMPLETED, on_completed, sv,
        MHD_OPTION_CONNECTION_LIMIT, 4000u, MHD_OPTION_CONNECTION_MEMORY_LIMIT,
        (size_t)64 << 10, MHD_OPTION_LISTEN_BACKLOG_SIZE, 1024u,
        MHD_OPTION_LISTENING_ADDRESS_REUSE, 1u, MHD_OPTION_END);
}

int server_start(struct sandbox *sb, struct err *e)
{
    sigset_t signals;
    struct server *sv = mem_zalloc(sizeof *sv);
    TAILQ_INIT(&sv->held);
    sv->sb = sb;
    sv->look.fire = on_look;
    daemon_start(sv, sb->opt.port);
    if (sv->daemon == NULL) {
        mem_free(sv);
        return err_set(e, ERR_SETTINGS, "cannot listen on 127.0.0.1:%d: %s", sb->opt.port,
                       strerror(errno));
    }
    sv->epoll_fd = MHD_get_daemon_info(sv->daemon, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sv->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    snprintf(sb->url, sizeof sb->url, "http://127.0.0.1:%u",
             MHD_get_daemon_info(sv->daemon, MHD_DAEMON_INFO_BIND_PORT)->port);
    sb->server = sv;
    return 0;
}

static int wait_ms(struct server *sv)
{
    MHD_UNSIGNED_LONG_LONG mhd = 0;
    int64_t next = timers_next(&sv->sb->timers), ms = 1000, now = sandbox_ms(sv->sb);
    if (next != INT64_MAX && next - now < ms)
        ms = next > now ? next - now : 0;
    if (MHD_get_timeout(sv->daemon, &mhd) == MHD_YES && (int64_t)mhd < ms)
        ms = (int64_t)mhd;
    return (int)ms;
}

void server_run(struct sandbox *sb)
{
    struct server *sv = sb->server;
    struct pollfd fds[3] = {{.fd = sv->epoll_fd, .events = POLLIN},
                            {.fd = sv->signal_fd, .events = POLLIN},
                            {.fd = poster_fd(sb->poster), .events = POLLIN}};
    for (;;) {
        (void)poll(fds, 3, wait_ms(sv));
        if (fds[1].revents != 0)
            return;
        (void)timers_run(&sb->timers, sandbox_ms(sb));
        (void)MHD_run(sv->daemon);
        deliveries_turn(sb);
    }
}

/* MHD must not stop with suspended connections: what waits is cut off first. */
void server_stop(struct sandbox *sb)
{
    struct server *sv = sb->server;
    if (sv == NULL)
        return;
    (void)timers_run(&sb->timers, INT64_MAX);
    (void)MHD_run(sv->daemon);
    MHD_stop_daemon(sv->daemon);
    timer_cancel(&sb->timers, &sv->look);
    close(sv->signal_fd);
    mem_free(sv);
    sb->server = NULL;
}
