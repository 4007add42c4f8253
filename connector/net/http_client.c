/* See http_client.h. One easy handle per place, set up once; one CURLU each, so that a
 * request sets a path only. epoll registrations outlive requests: curl asks for
 * POLL_REMOVE after each, we only note "unwanted" and take the socket out when an event
 * comes for it.
 *
 * Invariant: a place is in `free` or its call is running; done() is called from reap
 * only. */
#include "net/http_client.h"

#include <assert.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/queue.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define USER_TIMEOUT_MAX_MS 20000
#define IDLE_MAX_S 25L /* below the server's keep-alive */
#define URL_MAX 16384

const char *const http_method_names[HTTP_METHODS] = {"GET", "POST", "PUT", "PATCH",
                                                     "DELETE"};

struct place {
    TAILQ_ENTRY(place) link;
    struct http_client *hc;
    CURL *easy;
    CURLU *url;
    struct http_call *call; /* NULL: free */
    struct curl_slist *headers;
    char *headers_text; /* what `headers` was built from */
    int gates;          /* times the gate callback came */
    bool head_done, cancelled, too_large;
    int status;
    int64_t user_timeout_ms;
};
TAILQ_HEAD(place_list, place);

struct http_client {
    struct loop *loop;
    CURLM *multi;
    struct place *places;
    int n_places;
    struct place_list free, cancelled;
    char *base_path; /* "" or "/prefix" */
    char *user_agent;
    int64_t timer_due; /* monotonic; -1: none */
    bool kick;
};

static int setup_place(struct http_client *hc, struct place *pl,
                       const struct http_client_options *o, struct err *e);
static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused);
static int on_timer(CURLM *multi, long ms, void *arg);
static int on_close(void *arg, curl_socket_t fd);
static int on_open(void *arg, curl_socket_t fd, curlsocktype purpose);
static int on_gate(void *arg, char *remote, char *local, int remote_port, int local_port);
static size_t on_header(char *line, size_t size, size_t n, void *arg);
static size_t on_body(char *data, size_t size, size_t n, void *arg);
static void on_event(void *arg, int fd, unsigned events);
static void read_header(struct http_call *call, char *line);
static int set_url(struct place *pl, const struct http_call *call);
static void set_headers(struct place *pl, const struct http_call *call);
static void set_method(struct place *pl, const struct http_call *call);
static void finish(struct place *pl, CURLcode code);
static enum http_end classify(const struct place *pl, CURLcode code);
static int check_base(const char *url, struct err *e);

void http_call_init(struct http_call *call)
{
    memset(call, 0, sizeof *call);
}

void http_call_fini(struct http_call *call)
{
    buf_fini(&call->body_in);
}

struct http_client *http_client_new(struct loop *lo, const struct http_client_options *o,
                                    struct err *e)
{
    if (check_base(o->url, e))
        return NULL;
    if (curl_global_init(CURL_GLOBAL_ALL) != CURLE_OK) {
        err_set(e, ERR_SYSTEM, "libcurl cannot be initialised");
        return NULL;
    }
    struct http_client *hc = mem_zalloc(sizeof *hc);
    hc->loop = lo;
    hc->timer_due = -1;
    hc->user_agent = mem_strdup(o->user_agent ? o->user_agent : "front-connector");
    TAILQ_INIT(&hc->free);
    TAILQ_INIT(&hc->cancelled);
    hc->multi = curl_multi_init();
    curl_multi_setopt(hc->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(hc->multi, CURLMOPT_SOCKETDATA, hc);
    curl_multi_setopt(hc->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(hc->multi, CURLMOPT_TIMERDATA, hc);
    curl_multi_setopt(hc->multi, CURLMOPT_MAXCONNECTS, (long)o->places);
    curl_multi_setopt(hc->multi, CURLMOPT_PIPELINING, (long)CURLPIPE_NOTHING);
    hc->places = mem_array((size_t)o->places, sizeof *hc->places);
    hc->n_places = o->places;
    for (int i = 0; i < o->places; i++) {
        if (setup_place(hc, &hc->places[i], o, e)) {
            http_client_free(hc);
            return NULL;
        }
        TAILQ_INSERT_TAIL(&hc->free, &hc->places[i], link);
    }
    return hc;
}

void http_client_free(struct http_client *hc)
{
    if (hc == NULL)
        return;
    for (int i = 0; i < hc->n_places; i++) {
        struct place *pl = &hc->places[i];
        if (pl->easy == NULL)
            continue;
        curl_multi_remove_handle(hc->multi, pl->easy);
        curl_easy_cleanup(pl->easy);
        curl_url_cleanup(pl->url);
        curl_slist_free_all(pl->headers);
        mem_free(pl->headers_text);
    }
    curl_multi_cleanup(hc->multi);
    mem_free(hc->places);
    mem_free(hc->base_path);
    mem_free(hc->user_agent);
    mem_free(hc);
}

static int client_start(void *self, struct http_call *call)
{
    struct http_client *hc = self;
    struct place *pl = TAILQ_FIRST(&hc->free);
    if (pl == NULL)
        return -1;
    TAILQ_REMOVE(&hc->free, pl, link);
    pl->call = call;
    pl->gates = 0;
    pl->head_done = pl->cancelled = pl->too_large = false;
    pl->status = 0;
    pl->user_timeout_ms =
        call->timeout_ms < USER_TIMEOUT_MAX_MS ? call->timeout_ms : USER_TIMEOUT_MAX_MS;
    call->impl = pl;
    call->gate_opened = false;
    call->end = HTTP_LOST;
    call->why[0] = 0;
    call->head =
        (struct http_head){.limit = -1, .remaining = -1, .reset = -1, .retry_after = -1};
    call->body_in.max = call->body_max;
    buf_reset(&call->body_in);
    set_headers(pl, call);
    set_method(pl, call);
    curl_easy_setopt(pl->easy, CURLOPT_TIMEOUT_MS, (long)call->timeout_ms);
    if (set_url(pl, call)) { /* told by reap, as every end */
        snprintf(call->why, sizeof call->why, "the URL cannot be built");
        pl->cancelled = true;
        TAILQ_INSERT_TAIL(&hc->cancelled, pl, link);
        return 0;
    }
    curl_multi_add_handle(hc->multi, pl->easy);
    hc->kick = true;
    return 0;
}

static void client_cancel(void *self, struct http_call *call)
{
    struct http_client *hc = self;
    struct place *pl = call->impl;
    if (pl == NULL || pl->cancelled)
        return;
    pl->cancelled = true;
    curl_multi_remove_handle(hc->multi, pl->easy);
    snprintf(call->why, sizeof call->why, "cancelled");
    TAILQ_INSERT_TAIL(&hc->cancelled, pl, link);
}

static void client_reap(void *self)
{
    struct http_client *hc = self;
    CURLMsg *msg;
    int left;
    while ((msg = curl_multi_info_read(hc->multi, &left)) != NULL) {
        struct place *pl = NULL;
        CURLcode code = msg->data.result;
        curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&pl);
        curl_multi_remove_handle(hc->multi, pl->easy);
        finish(pl, code);
    }
    struct place *pl;
    while ((pl = TAILQ_FIRST(&hc->cancelled)) != NULL) {
        TAILQ_REMOVE(&hc->cancelled, pl, link);
        finish(pl, CURLE_ABORTED_BY_CALLBACK);
    }
}

struct http_port http_client_port(struct http_client *hc)
{
    return (struct http_port){client_start, client_cancel, client_reap, hc};
}

int64_t http_client_wait_ms(const struct http_client *hc)
{
    if (hc->kick)
        return 0;
    if (hc->timer_due < 0)
        return -1;
    int64_t left = hc->timer_due - clock_now(&clock_system);
    return left > 0 ? left : 0;
}

void http_client_turn(struct http_client *hc)
{
    int running;
    if (hc->timer_due >= 0 && clock_now(&clock_system) >= hc->timer_due) {
        hc->timer_due = -1; /* one-shot, else the loop spins */
        hc->kick = true;
    }
    if (!hc->kick)
        return;
    hc->kick = false;
    curl_multi_socket_action(hc->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

int http_url_check(const char *url, struct err *e)
{
    CURLU *u = curl_url();
    char *scheme = NULL;
    int rc = 0;
    if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        strcmp(scheme, "https") != 0)
        rc = err_input(e, "page-link", "not an https URL");
    curl_free(scheme);
    curl_url_cleanup(u);
    return rc;
}

int64_t http_date_ms(const char *text)
{
    time_t t = curl_getdate(text, NULL);
    return t > 0 ? (int64_t)t * 1000 : 0;
}

static int check_base(const char *url, struct err *e)
{
    CURLU *u = curl_url();
    char *scheme = NULL, *host = NULL;
    int rc = -1;
    if (curl_url_set(u, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(u, CURLUPART_HOST, &host, 0) != CURLUE_OK) {
        err_set(e, ERR_SETTINGS, "%s is not a URL", url);
    } else {
        bool loopback = strncmp(host, "127.", 4) == 0 || strcmp(host, "localhost") == 0 ||
                        strcmp(host, "[::1]") == 0;
        if (strcmp(scheme, "https") != 0 && !(strcmp(scheme, "http") == 0 && loopback))
            err_set(e, ERR_SETTINGS, "%s: only https, or http to loopback", url);
        else
            rc = 0;
    }
    curl_free(scheme);
    curl_free(host);
    curl_url_cleanup(u);
    return rc;
}

static int setup_place(struct http_client *hc, struct place *pl,
                       const struct http_client_options *o, struct err *e)
{
    char *path = NULL;
    pl->hc = hc;
    pl->easy = curl_easy_init();
    pl->url = curl_url();
    if (pl->easy == NULL || curl_url_set(pl->url, CURLUPART_URL, o->url, 0) != CURLUE_OK)
        return err_set(e, ERR_SETTINGS, "%s is not a URL", o->url);
    if (hc->base_path == NULL) {
        curl_url_get(pl->url, CURLUPART_PATH, &path, 0);
        hc->base_path = mem_strdup(path ? path : "");
        size_t n = strlen(hc->base_path);
        while (n > 0 && hc->base_path[n - 1] == '/')
            hc->base_path[--n] = 0;
        curl_free(path);
    }
    CURL *h = pl->easy;
    curl_easy_setopt(h, CURLOPT_PRIVATE, pl);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(h, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(h, CURLOPT_PATH_AS_IS, 1L);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR,
                     "http,https"); /* http: loopback, checked above */
    curl_easy_setopt(h, CURLOPT_PROXY, o->proxy ? o->proxy : "");
    curl_easy_setopt(h, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    curl_easy_setopt(h, CURLOPT_USERAGENT, hc->user_agent);
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT_MS, (long)o->connect_timeout_ms);
    curl_easy_setopt(h, CURLOPT_TCP_KEEPALIVE, 1L);
    curl_easy_setopt(h, CURLOPT_MAXAGE_CONN, IDLE_MAX_S);
    curl_easy_setopt(h, CURLOPT_NETRC, (long)CURL_NETRC_IGNORED);
    if (o->ca_file != NULL)
        curl_easy_setopt(h, CURLOPT_CAINFO, o->ca_file);
    curl_easy_setopt(h, CURLOPT_PREREQFUNCTION, on_gate);
    curl_easy_setopt(h, CURLOPT_PREREQDATA, pl);
    curl_easy_setopt(h, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(h, CURLOPT_HEADERDATA, pl);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, pl);
    curl_easy_setopt(h, CURLOPT_SOCKOPTFUNCTION, on_open);
    curl_easy_setopt(h, CURLOPT_SOCKOPTDATA, pl);
    curl_easy_setopt(h, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    curl_easy_setopt(h, CURLOPT_CLOSESOCKETDATA, hc);
    return 0;
}

static int set_url(struct place *pl, const struct http_call *call)
{
    char path[URL_MAX];
    int n = snprintf(path, sizeof path, "%s%s", pl->hc->base_path, call->path);
    if (n < 0 || (size_t)n >= sizeof path ||
        curl_url_set(pl->url, CURLUPART_PATH, path, 0) != CURLUE_OK ||
        curl_url_set(pl->url, CURLUPART_QUERY, call->query, 0) != CURLUE_OK)
        return -1;
    curl_easy_setopt(pl->easy, CURLOPT_CURLU, pl->url);
    return 0;
}

/* The list is built again only when its text changes: hardly ever from one command to the
 * next. */
static void set_headers(struct place *pl, const struct http_call *call)
{
    struct buf text;
    buf_init(&text, 64 * 1024);
    if (call->body.ptr != NULL)
        buf_printf(&text, "Content-Type: %s\n",
                   call->content_type ? call->content_type : "application/json");
    if (call->authorization != NULL)
        buf_printf(&text, "Authorization: %s\n", call->authorization);
    if (call->accept != NULL)
        buf_printf(&text, "Accept: %s\n", call->accept);
    else
        buf_add_cstr(&text, "Accept:\n");
    buf_add_cstr(&text, "Expect:\n");
    for (size_t i = 0; i < call->n_headers; i++)
        buf_printf(&text, "%s\n", call->headers[i]);
    if (pl->headers_text != NULL && strcmp(pl->headers_text, text.data) == 0) {
        buf_fini(&text);
        return;
    }
    curl_slist_free_all(pl->headers);
    pl->headers = NULL;
    mem_free(pl->headers_text);
    pl->headers_text = buf_take(&text, NULL);
    struct str rest = str_of(pl->headers_text);
    while (rest.ptr != NULL && rest.len > 0) {
        struct str line = str_split(&rest, '\n');
        char *copy = mem_strndup(line.ptr, line.len);
        pl->headers = curl_slist_append(pl->headers, copy);
        mem_free(copy);
    }
    curl_easy_setopt(pl->easy, CURLOPT_HTTPHEADER, pl->headers);
    buf_fini(&text);
}

static void set_method(struct place *pl, const struct http_call *call)
{
    bool body = call->body.ptr != NULL || call->method == HTTP_POST;
    if (body) {
        curl_easy_setopt(pl->easy, CURLOPT_POST, 1L);
        curl_easy_setopt(pl->easy, CURLOPT_POSTFIELDSIZE_LARGE,
                         (curl_off_t)call->body.len);
        curl_easy_setopt(pl->easy, CURLOPT_POSTFIELDS,
                         call->body.ptr ? call->body.ptr : "");
    } else {
        curl_easy_setopt(pl->easy, CURLOPT_HTTPGET, 1L);
    }
    curl_easy_setopt(pl->easy, CURLOPT_CUSTOMREQUEST, http_method_names[call->method]);
}

static void finish(struct place *pl, CURLcode code)
{
    struct http_client *hc = pl->hc;
    struct http_call *call = pl->call;
    call->end = classify(pl, code);
    call->head.status = pl->head_done ? pl->status : 0;
    if (call->why[0] == 0 && code != CURLE_OK)
        snprintf(call->why, sizeof call->why, "%s", curl_easy_strerror(code));
    pl->call = NULL;
    call->impl = NULL;
    TAILQ_INSERT_HEAD(&hc->free, pl, link);
    call->done(call);
}

static enum http_end classify(const struct place *pl, CURLcode code)
{
    if (!pl->call->gate_opened)
        return HTTP_NOT_SENT;
    if (code == CURLE_OK && pl->head_done)
        return HTTP_ANSWERED;
    if (!pl->head_done)
        return HTTP_LOST;
    return pl->too_large ? HTTP_TOO_LARGE : HTTP_HEAD_ONLY;
}

/* Once per send attempt of libcurl: the second call of one request would be a silent
 * re-send. */
static int on_gate(void *arg, char *remote, char *local, int remote_port, int local_port)
{
    struct place *pl = arg;
    struct http_call *call = pl->call;
    (void)remote;
    (void)local;
    (void)remote_port;
    (void)local_port;
    if (pl->gates++ > 0)
        return CURL_PREREQFUNC_ABORT;
    if (call->gate != NULL && !call->gate(call)) {
        snprintf(call->why, sizeof call->why, "the send gate was closed");
        return CURL_PREREQFUNC_ABORT;
    }
    call->gate_opened = true;
    return CURL_PREREQFUNC_OK;
}

static size_t on_header(char *line, size_t size, size_t n, void *arg)
{
    struct place *pl = arg;
    size_t len = size * n;
    char text[600];
    if (len >= 5 && memcmp(line, "HTTP/", 5) == 0) {
        long status = 0;
        curl_easy_getinfo(pl->easy, CURLINFO_RESPONSE_CODE, &status);
        pl->status = (int)status;
        pl->head_done = false;
    } else if (len <= 2 && pl->status >= 200) {
        pl->head_done =
            true; /* the empty line behind the last header; 1xx heads do not count */
    } else if (len > 2 && len < sizeof text) {
        while (len > 0 && (line[len - 1] == '\r' || line[len - 1] == '\n'))
            len--;
        memcpy(text, line, len);
        text[len] = 0;
        read_header(pl->call, text);
    }
    return size * n;
}

static void read_header(struct http_call *call, char *line)
{
    struct http_head *h = &call->head;
    char first = (char)(line[0] | 32);
    if (first != 'x' && first != 'r' && first != 'd' && first != 'c' && first != 'l')
        return;
    char *value = strchr(line, ':');
    if (value == NULL)
        return;
    *value++ = 0;
    while (*value == ' ' || *value == '\t')
        value++;
    struct err e = ERR_INIT;
    if (strcasecmp(line, "x-ratelimit-limit") == 0)
        (void)parse_i64(str_of(value), 0, INT64_MAX, &h->limit, &e);
    else if (strcasecmp(line, "x-ratelimit-remaining") == 0)
        (void)parse_i64(str_of(value), 0, INT64_MAX, &h->remaining, &e);
    else if (strcasecmp(line, "x-ratelimit-reset") == 0)
        h->reset = strtod(value, NULL);
    else if (strcasecmp(line, "retry-after") == 0)
        h->retry_after = strtod(value, NULL);
    else if (strcasecmp(line, "date") == 0)
        h->date_ms = http_date_ms(value);
    else if (strcasecmp(line, "x-front-tier") == 0)
        snprintf(h->tier, sizeof h->tier, "%s", value);
    else if (strcasecmp(line, "content-type") == 0)
        snprintf(h->content_type, sizeof h->content_type, "%s", value);
    else if (strcasecmp(line, "location") == 0 && strlen(value) < sizeof h->location)
        snprintf(h->location, sizeof h->location, "%s", value);
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct place *pl = arg;
    if (buf_add(&pl->call->body_in, data, size * n) == 0)
        return size * n;
    pl->too_large = true;
    snprintf(pl->call->why, sizeof pl->call->why, "the answer is over %zu bytes",
             pl->call->body_max);
    return 0;
}

/* --- sockets --- */

static int on_open(void *arg, curl_socket_t fd, curlsocktype purpose)
{
    struct place *pl = arg;
    unsigned ms = (unsigned)pl->user_timeout_ms;
    (void)purpose;
    /* The kernel must not deliver queued bytes of a dead process minutes later: see
     * lease. */
    (void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof ms);
    return CURL_SOCKOPT_OK;
}

static int on_close(void *arg, curl_socket_t fd)
{
    struct http_client *hc = arg;
    loop_forget(hc->loop, fd);
    return close(fd);
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    struct http_client *hc = arg;
    struct err e = ERR_INIT;
    unsigned events = 0;
    (void)easy;
    (void)unused;
    if (what != CURL_POLL_REMOVE)
        events = ((what & CURL_POLL_IN) ? LOOP_IN : 0u) |
                 ((what & CURL_POLL_OUT) ? LOOP_OUT : 0u);
    (void)loop_watch(hc->loop, fd, events, on_event, hc, &e);
    return 0;
}

static void on_event(void *arg, int fd, unsigned events)
{
    struct http_client *hc = arg;
    int running;
    int flags = ((events & LOOP_IN) ? CURL_CSELECT_IN : 0) |
                ((events & LOOP_OUT) ? CURL_CSELECT_OUT : 0) |
                ((events & LOOP_ERR) ? CURL_CSELECT_ERR : 0);
    curl_multi_socket_action(hc->multi, fd, flags, &running);
}

static int on_timer(CURLM *multi, long ms, void *arg)
{
    struct http_client *hc = arg;
    (void)multi;
    hc->timer_due = ms < 0 ? -1 : clock_now(&clock_system) + ms;
    if (ms == 0)
        hc->kick = true;
    return 0;
}
