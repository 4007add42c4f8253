/* The HTTP client: libcurl's multi interface on our epoll loop. Owns one easy handle, one
 * URL and one header list per place, all set up once, because setting them up costs more
 * than a request; what a request changes is set in start().
 *
 * Invariants: a place is free, running in the multi handle, or in `ended`; done() is
 * called from reap only; the gate opens once per call, so no request is ever sent twice.
 */
#include "net/http_client.h"

#include <arpa/inet.h>
#include <assert.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "net/http_head.h"
#include "net/http_lines.h"
#include "net/http_peer.h"

enum {
    USER_TIMEOUT_MAX_MS = 20000,
    IDLE_MAX_S =
        25, /* below the keep-alive of servers: an idle connection dies by our hand */
    TARGET_MAX = 65536,
    HEADERS_MAX = 65536
};

const char *const http_method_names[HTTP_METHODS] = {"GET", "POST", "PUT", "PATCH",
                                                     "DELETE"};

struct place {
    TAILQ_ENTRY(place) link;
    struct http_client *hc;
    struct http_call *call; /* NULL: free */
    CURL *easy;
    CURLU *url;
    struct curl_slist *headers;
    struct buf headers_text; /* what `headers` was built from, a line each */
    struct http_head_parser head;
    bool fetches;                /* it is for calls to a `url` */
    size_t piece, at;            /* of the call's pieces: what is sent next */
    bool too_large, ended_early; /* the latter: cancelled, or never handed to libcurl */
    char detail[CURL_ERROR_SIZE];
};
TAILQ_HEAD(place_list, place);

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct place *places;
    int n_places;
    int in_multi,
        alive; /* handles in the multi handle; of those, the ones still at work */
    struct place_list free, free_fetches;
    struct place_list ended; /* without libcurl's doing; reap tells their callers */
    char *base_path;         /* "" or "/prefix" */
    struct buf target;       /* scratch: path of the request being started */
    struct buf headers_text; /* scratch: its headers */
    int64_t
        timer_due_ms;    /* -1: none. One-shot: libcurl does not clear it when it fires */
    bool kick;           /* handles were added: libcurl wants a look */
    bool *is_connection; /* by descriptor: made for HTTP, closed through on_close */
    int n_fds;
};

static int setup_place(struct place *pl, const struct http_client_options *o,
                       struct err *e);
static void setup_transport(struct place *pl, const struct http_client_options *o);
static void place_fini(struct place *pl);
static int start(void *self, struct http_call *call);
static void cancel(void *self, struct http_call *call);
static void reap(void *self);
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused);
static int on_timer(CURLM *multi, long ms, void *arg);

/* ---- public ---- */

void http_call_init(struct http_call *call)
{
    *call = (struct http_call){.method = HTTP_GET};
}

void http_call_fini(struct http_call *call)
{
    buf_fini(&call->body_in);
}

static struct place_list *free_list(struct place *pl)
{
    return pl->fetches ? &pl->hc->free_fetches : &pl->hc->free;
}

static bool is_loopback(const char *host)
{
    struct in_addr addr;

    if (inet_pton(AF_INET, host, &addr) == 1)
        return ntohl(addr.s_addr) >> 24 == 127;
    return strcmp(host, "localhost") == 0 || strcmp(host, "[::1]") == 0;
}

/* Plain http is for a server on this machine: a token must not cross a network in the
 * clear. */
static int check_base(CURLU *u, const char *url, bool plain, struct err *e)
{
    char *scheme = NULL, *host = NULL;
    int rc = 0;

    if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK)
        rc = err_set(e, ERR_SETTINGS, "%s is not a URL", url);
    else if (strcmp(scheme, "https") != 0 &&
             !(strcmp(scheme, "http") == 0 && (plain || is_loopback(host))))
        rc = err_set(e, ERR_SETTINGS, "%s: must be https, or http to loopback", url);
    curl_free(scheme);
    curl_free(host);
    return rc;
}

/* The path of the base URL, without a slash at its end. */
static char *base_path_of(CURLU *u)
{
    char *path = NULL, *copy;
    size_t len;

    if (curl_url_get(u, CURLUPART_PATH, &path, 0) != CURLUE_OK)
        return mem_strdup("");
    len = strlen(path);
    while (len > 0 && path[len - 1] == '/')
        len--;
    copy = mem_strndup(path, len);
    curl_free(path);
    return copy;
}

struct http_client *http_client_new(struct loop *lo, const struct http_client_options *o,
                                    struct err *e)
{
    struct http_client *hc = mem_zalloc(sizeof(*hc));
    CURLU *u = NULL;
    int rc = -1;
    int i;

    hc->loop = lo;
    hc->timer_due_ms = -1;
    TAILQ_INIT(&hc->free);
    TAILQ_INIT(&hc->free_fetches);
    TAILQ_INIT(&hc->ended);
    buf_init(&hc->target, TARGET_MAX);
    buf_init(&hc->headers_text, HEADERS_MAX);
    if (curl_global_init(CURL_GLOBAL_ALL) == CURLE_OK) {
        u = curl_url();
        hc->multi = curl_multi_init();
    }
    if (u == NULL || hc->multi == NULL) {
        (void)err_set(e, ERR_SYSTEM, "libcurl cannot be set up");
        goto out;
    }
    if (check_base(u, o->url, o->plain_http, e) != 0)
        goto out;
    hc->base_path = base_path_of(u);
    (void)curl_multi_setopt(hc->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(hc->multi, CURLMOPT_SOCKETDATA, hc);
    (void)curl_multi_setopt(hc->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(hc->multi, CURLMOPT_TIMERDATA, hc);
    hc->n_places = o->places + o->fetch_places;
    (void)curl_multi_setopt(hc->multi, CURLMOPT_MAXCONNECTS, (long)hc->n_places);
    (void)curl_multi_setopt(hc->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    hc->places = mem_array((size_t)hc->n_places, sizeof(struct place));
    for (i = 0; i < hc->n_places; i++) {
        hc->places[i].hc = hc;
        hc->places[i].fetches = i >= o->places;
        if (setup_place(&hc->places[i], o, e) != 0)
            goto out;
        TAILQ_INSERT_TAIL(free_list(&hc->places[i]), &hc->places[i], link);
    }
    rc = 0;
out:
    curl_url_cleanup(u);
    if (rc != 0) {
        http_client_free(hc);
        hc = NULL;
    }
    return hc;
}

void http_client_free(struct http_client *hc)
{
    int i;

    if (hc == NULL)
        return;
    for (i = 0; i < hc->n_places; i++)
        place_fini(&hc->places[i]);
    if (hc->multi != NULL)
        (void)curl_multi_cleanup(hc->multi);
    mem_free(hc->places);
    mem_free(hc->base_path);
    mem_free(hc->is_connection);
    buf_fini(&hc->target);
    if (hc->headers_text.data != NULL)
        mem_wipe(hc->headers_text.data, hc->headers_text.len);
    buf_fini(&hc->headers_text);
    mem_free(hc);
}

struct http_port http_client_port(struct http_client *hc)
{
    return (struct http_port){start, cancel, reap, hc};
}

int64_t http_client_wait_ms(const struct http_client *hc)
{
    int64_t left_ms;

    /* A fast answer may have come while the request was sent: reap is due, no event will
     * tell. */
    if (hc->kick || !TAILQ_EMPTY(&hc->ended) || hc->alive < hc->in_multi)
        return 0;
    if (hc->timer_due_ms < 0)
        return -1;
    left_ms = hc->timer_due_ms - clock_now(&clock_system);
    return left_ms > 0 ? left_ms : 0;
}

void http_client_turn(struct http_client *hc)
{
    if (hc->timer_due_ms >= 0 && clock_now(&clock_system) >= hc->timer_due_ms) {
        hc->timer_due_ms = -1;
        hc->kick = true;
    }
    if (!hc->kick)
        return;
    hc->kick = false;
    (void)curl_multi_socket_action(hc->multi, CURL_SOCKET_TIMEOUT, 0, &hc->alive);
}

/* ---- one request ---- */

static int set_target(struct place *pl, const struct http_call *call)
{
    struct buf *target = &pl->hc->target;
    struct err e = ERR_INIT;

    if (call->url != NULL) {
        if (http_url_check_fetch(call->url, &e) != 0 ||
            curl_url_set(pl->url, CURLUPART_URL, call->url, CURLU_PATH_AS_IS) !=
                CURLUE_OK)
            return -1;
        (void)curl_easy_setopt(pl->easy, CURLOPT_CURLU, pl->url);
        return 0;
    }
    buf_reset(target);
    (void)buf_add_cstr(target, pl->hc->base_path);
    (void)buf_add_cstr(target, call->path);
    if (target->over || call->path[0] != '/' || strchr(call->path, '?') != NULL ||
        !http_lines_encoded(call->path) ||
        (call->query != NULL && !http_lines_encoded(call->query)) ||
        curl_url_set(pl->url, CURLUPART_PATH, target->data, 0) != CURLUE_OK ||
        curl_url_set(pl->url, CURLUPART_QUERY, call->query, 0) != CURLUE_OK)
        return -1;
    (void)curl_easy_setopt(pl->easy, CURLOPT_CURLU, pl->url);
    return 0;
}

/* The list is made again only when something in it changed, which is seldom. */
static int set_headers(struct place *pl, const struct http_call *call)
{
    struct buf *text = &pl->hc->headers_text;
    struct str rest;

    if (http_lines_headers(call, text) != 0)
        return -1;
    if (pl->headers != NULL && str_eq(buf_str(text), buf_str(&pl->headers_text)))
        return 0;
    (void)curl_easy_setopt(pl->easy, CURLOPT_HTTPHEADER, NULL);
    curl_slist_free_all(pl->headers);
    pl->headers = NULL;
    buf_reset(&pl->headers_text);
    (void)buf_add_str(&pl->headers_text, buf_str(text));
    rest = buf_str(text);
    while (rest.len > 0) {
        struct str line = str_split(&rest, '\n');
        char *copy = mem_strndup(line.ptr, line.len);
        struct curl_slist *longer = curl_slist_append(pl->headers, copy);

        assert(longer != NULL);
        pl->headers = longer;
        mem_free(copy);
    }
    (void)curl_easy_setopt(pl->easy, CURLOPT_HTTPHEADER, pl->headers);
    return 0;
}

static size_t body_len(const struct http_call *call)
{
    size_t len = call->body.len, i;

    for (i = 0; i < call->n_pieces; i++)
        len += call->pieces[i].len;
    return len;
}

static void set_method(struct place *pl, const struct http_call *call)
{
    if (http_lines_announce_body(call)) {
        const char *whole = call->body.ptr != NULL ? call->body.ptr : "";

        (void)curl_easy_setopt(pl->easy, CURLOPT_POST, 1L);
        (void)curl_easy_setopt(pl->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t)body_len(call));
        /* Without fields libcurl asks on_read for them. */
        (void)curl_easy_setopt(pl->easy, CURLOPT_POSTFIELDS,
                               call->pieces != NULL ? NULL : whole);
    } else {
        (void)curl_easy_setopt(pl->easy, CURLOPT_HTTPGET, 1L);
    }
    (void)curl_easy_setopt(pl->easy, CURLOPT_CUSTOMREQUEST,
                           http_method_names[call->method]);
}

static void clear_answer(struct http_call *call)
{
    call->end = HTTP_NOT_SENT;
    call->gate_opened = false;
    call->peer_refused = false;
    call->why[0] = '\0';
    call->body_in.max = call->body_max;
    buf_reset(&call->body_in);
}

static void end_early(struct place *pl, const char *why)
{
    (void)snprintf(pl->call->why, sizeof(pl->call->why), "%s", why);
    pl->ended_early = true;
    TAILQ_INSERT_TAIL(&pl->hc->ended, pl, link);
}

static int start(void *self, struct http_call *call)
{
    struct http_client *hc = self;
    struct place *pl = TAILQ_FIRST(call->url != NULL ? &hc->free_fetches : &hc->free);

    if (pl == NULL)
        return -1;
    TAILQ_REMOVE(free_list(pl), pl, link);
    pl->call = call;
    pl->piece = 0;
    pl->at = 0;
    pl->too_large = false;
    pl->ended_early = false;
    pl->detail[0] = '\0';
    call->impl = pl;
    clear_answer(call);
    http_head_reset(&pl->head, &call->head);
    if (set_target(pl, call) != 0 || set_headers(pl, call) != 0) {
        end_early(pl, "path, query or headers cannot be sent");
        return 0;
    }
    set_method(pl, call);
    (void)curl_easy_setopt(pl->easy, CURLOPT_TIMEOUT_MS,
                           (long)(call->timeout_ms > 0 ? call->timeout_ms : 1));
    if (curl_multi_add_handle(hc->multi, pl->easy) != CURLM_OK) {
        end_early(pl, "libcurl does not take the request");
        return 0;
    }
    hc->in_multi++;
    hc->kick = true;
    return 0;
}

static void cancel(void *self, struct http_call *call)
{
    struct http_client *hc = self;
    struct place *pl = call->impl;

    if (pl == NULL || pl->ended_early)
        return;
    (void)curl_multi_remove_handle(hc->multi, pl->easy);
    hc->in_multi--;
    end_early(pl, "cancelled");
}

static enum http_end classify(const struct place *pl, CURLcode code)
{
    if (!pl->call->gate_opened)
        return HTTP_NOT_SENT;
    if (pl->ended_early || pl->head.state != HEAD_COMPLETE)
        return HTTP_LOST;
    if (pl->too_large)
        return HTTP_TOO_LARGE;
    return code == CURLE_OK ? HTTP_ANSWERED : HTTP_HEAD_ONLY;
}

/* The place is free before done(), which may start the next call. */
static void finish(struct place *pl, CURLcode code)
{
    struct http_call *call = pl->call;

    call->end = classify(pl, code);
    if (call->end == HTTP_LOST || call->end == HTTP_NOT_SENT)
        http_head_reset(&pl->head, &call->head); /* half a head says nothing */
    if (call->why[0] == '\0' && code != CURLE_OK)
        (void)snprintf(call->why, sizeof(call->why), "%.*s", (int)sizeof(call->why) - 1,
                       pl->detail[0] != '\0' ? pl->detail : curl_easy_strerror(code));
    else if (call->why[0] == '\0' && call->end == HTTP_LOST)
        (void)snprintf(call->why, sizeof(call->why), "no complete answer");
    pl->call = NULL;
    call->impl = NULL;
    TAILQ_INSERT_HEAD(free_list(pl), pl, link);
    call->done(call);
}

static void reap(void *self)
{
    struct http_client *hc = self;
    struct place_list ended = TAILQ_HEAD_INITIALIZER(ended);
    struct place *pl;
    CURLMsg *msg;
    int left;

    for (msg = curl_multi_info_read(hc->multi, &left); msg != NULL;
         msg = curl_multi_info_read(hc->multi, &left)) {
        CURLcode code = msg->data.result;
        char *owner = NULL;

        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, &owner);
        pl = (struct place *)(void *)owner;
        (void)curl_multi_remove_handle(hc->multi, pl->easy);
        hc->in_multi--;
        finish(pl, code);
    }
    /* Only those of before: a done() may add one. */
    TAILQ_CONCAT(&ended, &hc->ended, link);
    for (pl = TAILQ_FIRST(&ended); pl != NULL; pl = TAILQ_FIRST(&ended)) {
        TAILQ_REMOVE(&ended, pl, link);
        finish(pl, CURLE_OK);
    }
}

/* ---- what libcurl calls for a transfer ---- */

static void refuse_peer(struct http_call *call, const char *addr, const char *what)
{
    call->peer_refused = true;
    (void)snprintf(call->why, sizeof(call->why), "its address %s is %s", addr, what);
}

/* Before a connection is made. That is not enough: one that was made for another call may
 * be used again, so on_gate looks too. */
static curl_socket_t on_socket_wanted(void *arg, curlsocktype purpose,
                                      struct curl_sockaddr *addr)
{
    struct place *pl = arg;
    const char *what = http_peer_reserved(&addr->addr);
    char text[INET6_ADDRSTRLEN];

    (void)purpose;
    if (pl->call->url != NULL && !pl->call->private_too && what != NULL) {
        http_peer_print(&addr->addr, text, sizeof(text));
        refuse_peer(pl->call, text, what);
        return CURL_SOCKET_BAD;
    }
    return socket(addr->family, addr->socktype | SOCK_CLOEXEC, addr->protocol);
}

/* The pieces of a body, one after another. There is no way back: libcurl fails when it
 * wants one, which would be its silent repeat (see on_gate). */
static size_t on_read(char *out, size_t size, size_t n, void *arg)
{
    struct place *pl = arg;
    const struct http_call *call = pl->call;
    size_t room = size * n, done = 0;

    while (pl->piece < call->n_pieces && done < room) {
        const struct str *piece = &call->pieces[pl->piece];
        size_t left = piece->len - pl->at, take = left < room - done ? left : room - done;

        if (take > 0)
            memcpy(out + done, piece->ptr + pl->at, take);
        done += take;
        pl->at += take;
        if (pl->at == piece->len) {
            pl->piece++;
            pl->at = 0;
        }
    }
    return done;
}

/* Once per attempt of libcurl to send. A second one for the same call is its silent
 * repeat of a request whose kept connection died, which may have been executed. */
static int on_gate(void *arg, char *remote, char *local, int remote_port, int local_port)
{
    struct place *pl = arg;
    struct http_call *call = pl->call;

    if (call->url != NULL && !call->private_too) {
        const char *what = http_peer_text_reserved(remote);

        if (what != NULL) {
            refuse_peer(call, remote, what);
            return CURL_PREREQFUNC_ABORT;
        }
    }
    (void)local;
    (void)remote_port;
    (void)local_port;
    if (call->gate_opened) {
        (void)snprintf(call->why, sizeof(call->why),
                       "the connection died without an answer");
        return CURL_PREREQFUNC_ABORT;
    }
    if (call->gate != NULL && !call->gate(call)) {
        (void)snprintf(call->why, sizeof(call->why), "the send gate was closed");
        return CURL_PREREQFUNC_ABORT;
    }
    call->gate_opened = true;
    return CURL_PREREQFUNC_OK;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct place *pl = arg;

    http_head_line(&pl->head, (struct str){line, size * n});
    return size * n;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct place *pl = arg;
    struct http_call *call = pl->call;

    if (buf_add(&call->body_in, data, size * n) == 0)
        return size * n;
    pl->too_large = true;
    (void)snprintf(call->why, sizeof(call->why), "the answer is over %zu bytes",
                   call->body_max);
    return 0;
}

/* ---- sockets: registrations outlive requests, see base/loop.c ---- */

static void mark_connection(struct http_client *hc, int fd, bool is)
{
    int n = hc->n_fds > 0 ? hc->n_fds : 64;

    while (n <= fd)
        n *= 2;
    if (n > hc->n_fds) {
        hc->is_connection = mem_realloc(hc->is_connection, (size_t)n * sizeof(bool));
        memset(hc->is_connection + hc->n_fds, 0, (size_t)(n - hc->n_fds) * sizeof(bool));
        hc->n_fds = n;
    }
    hc->is_connection[fd] = is;
}

/* A new connection. Without the user time-out the kernel would go on trying for minutes
 * to hand over what a process that has lost its partitions sent. */
static int on_open(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    struct place *pl = arg;
    int64_t ms = pl->call->timeout_ms;
    unsigned user_timeout_ms =
        ms > 0 && ms < USER_TIMEOUT_MAX_MS ? (unsigned)ms : USER_TIMEOUT_MAX_MS;

    (void)purpose;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout_ms,
                     sizeof(user_timeout_ms));
    mark_connection(pl->hc, fd, true);
    return CURL_SOCKOPT_OK;
}

static int on_close(void *arg, curl_socket_t fd)
{
    struct http_client *hc = arg;

    mark_connection(hc, fd, false);
    loop_forget(hc->loop, fd);
    return close(fd);
}

static void on_event(void *arg, int fd, unsigned events)
{
    struct http_client *hc = arg;
    int flags = 0;

    if ((events & LOOP_IN) != 0)
        flags |= CURL_CSELECT_IN;
    if ((events & LOOP_OUT) != 0)
        flags |= CURL_CSELECT_OUT;
    if ((events & LOOP_ERR) != 0)
        flags |= CURL_CSELECT_ERR;
    (void)curl_multi_socket_action(hc->multi, fd, flags, &hc->alive);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    struct http_client *hc = arg;
    struct err e = ERR_INIT;
    unsigned events = 0;

    (void)easy;
    (void)unused;
    if (what != CURL_POLL_REMOVE) {
        events |= (what & CURL_POLL_IN) != 0 ? LOOP_IN : 0;
        events |= (what & CURL_POLL_OUT) != 0 ? LOOP_OUT : 0;
    } else if (fd >= hc->n_fds || !hc->is_connection[fd]) {
        /* The resolver's own descriptors are closed without a word to on_close. */
        loop_unwatch(hc->loop, fd);
        return 0;
    }
    return loop_watch(hc->loop, fd, events, on_event, hc, &e);
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
    struct http_client *hc = arg;

    (void)multi;
    hc->timer_due_ms = ms < 0 ? -1 : clock_now(&clock_system) + ms;
    return 0;
}

/* ---- set-up of a place, once ---- */

static int setup_place(struct place *pl, const struct http_client_options *o,
                       struct err *e)
{
    buf_init(&pl->headers_text, HEADERS_MAX);
    pl->easy = curl_easy_init();
    pl->url = curl_url();
    if (pl->easy == NULL || pl->url == NULL ||
        curl_url_set(pl->url, CURLUPART_URL, o->url, 0) != CURLUE_OK)
        return err_set(e, ERR_SYSTEM, "libcurl cannot be set up");
    setup_transport(pl, o);
    (void)curl_easy_setopt(pl->easy, CURLOPT_PRIVATE, pl);
    (void)curl_easy_setopt(pl->easy, CURLOPT_ERRORBUFFER, pl->detail);
    (void)curl_easy_setopt(pl->easy, CURLOPT_PREREQFUNCTION, on_gate);
    (void)curl_easy_setopt(pl->easy, CURLOPT_PREREQDATA, pl);
    (void)curl_easy_setopt(pl->easy, CURLOPT_HEADERFUNCTION, on_header);
    (void)curl_easy_setopt(pl->easy, CURLOPT_HEADERDATA, pl);
    (void)curl_easy_setopt(pl->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(pl->easy, CURLOPT_WRITEDATA, pl);
    (void)curl_easy_setopt(pl->easy, CURLOPT_READFUNCTION, on_read);
    (void)curl_easy_setopt(pl->easy, CURLOPT_READDATA, pl);
    (void)curl_easy_setopt(pl->easy, CURLOPT_OPENSOCKETFUNCTION, on_socket_wanted);
    (void)curl_easy_setopt(pl->easy, CURLOPT_OPENSOCKETDATA, pl);
    (void)curl_easy_setopt(pl->easy, CURLOPT_SOCKOPTFUNCTION, on_open);
    (void)curl_easy_setopt(pl->easy, CURLOPT_SOCKOPTDATA, pl);
    (void)curl_easy_setopt(pl->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    (void)curl_easy_setopt(pl->easy, CURLOPT_CLOSESOCKETDATA, pl->hc);
    return 0;
}

static void setup_transport(struct place *pl, const struct http_client_options *o)
{
    const char *base = strncmp(o->url, "http:", 5) == 0 ? "http" : "https";

    (void)curl_easy_setopt(pl->easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(pl->easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(pl->easy, CURLOPT_PROTOCOLS_STR,
                           pl->fetches ? "http,https" : base);
    (void)curl_easy_setopt(pl->easy, CURLOPT_FOLLOWLOCATION, 0L);
    (void)curl_easy_setopt(pl->easy, CURLOPT_PATH_AS_IS, 1L);
    (void)curl_easy_setopt(pl->easy, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    /* Of a proxy's peer nobody could say what address it has. */
    (void)curl_easy_setopt(pl->easy, CURLOPT_PROXY,
                           o->proxy != NULL && !pl->fetches ? o->proxy : "");
    (void)curl_easy_setopt(pl->easy, CURLOPT_NOPROXY, "");
    /* The proxy's answer to CONNECT is not the head we wait for. */
    (void)curl_easy_setopt(pl->easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    (void)curl_easy_setopt(pl->easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (o->ca_file != NULL && !pl->fetches)
        (void)curl_easy_setopt(pl->easy, CURLOPT_CAINFO, o->ca_file);
    if (o->user_agent != NULL)
        (void)curl_easy_setopt(pl->easy, CURLOPT_USERAGENT, o->user_agent);
    (void)curl_easy_setopt(pl->easy, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)o->connect_timeout_ms);
    (void)curl_easy_setopt(pl->easy, CURLOPT_TCP_KEEPALIVE, 1L);
    (void)curl_easy_setopt(pl->easy, CURLOPT_MAXAGE_CONN, (long)IDLE_MAX_S);
}

static void place_fini(struct place *pl)
{
    if (pl->easy != NULL) {
        (void)curl_multi_remove_handle(pl->hc->multi,
                                       pl->easy); /* no harm when it is not in */
        curl_easy_cleanup(pl->easy);
    }
    curl_url_cleanup(pl->url);
    curl_slist_free_all(pl->headers);
    if (pl->headers_text.data != NULL)
        mem_wipe(pl->headers_text.data, pl->headers_text.len); /* the token is in it */
    buf_fini(&pl->headers_text);
}

const char *http_client_library_version(void)
{
    return curl_version();
}
