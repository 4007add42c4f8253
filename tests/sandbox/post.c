/* libcurl's sockets are watched by an epoll of our own, whose descriptor the server's
 * loop polls; libcurl's one time-out is a timer of the sandbox. Posts end in poster_turn
 * only, never inside a callback of libcurl. */
#include "post.h"

#include <curl/curl.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#define EVENTS_AT_ONCE 64

struct poster {
    CURLM *multi;
    struct timers *timers;
    struct timer timer;
    int epoll_fd;
};

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *of_socket)
{
    struct poster *po = arg;
    struct epoll_event ev = {.data.fd = fd};
    (void)easy;
    (void)of_socket;
    if (what == CURL_POLL_REMOVE) {
        (void)epoll_ctl(po->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    ev.events =
        (what != CURL_POLL_OUT ? EPOLLIN : 0u) | (what != CURL_POLL_IN ? EPOLLOUT : 0u);
    if (epoll_ctl(po->epoll_fd, EPOLL_CTL_MOD, fd, &ev) < 0)
        (void)epoll_ctl(po->epoll_fd, EPOLL_CTL_ADD, fd, &ev);
    return 0;
}

static int on_timeout(CURLM *multi, long ms, void *arg)
{
    struct poster *po = arg;
    (void)multi;
    if (ms < 0)
        timer_cancel(po->timers, &po->timer);
    else
        timer_set(po->timers, &po->timer, clock_now(&clock_system) + ms);
    return 0;
}

static void on_timer(struct timer *t)
{
    int running = 0;
    struct poster *po =
        (struct poster *)(void *)((char *)t - offsetof(struct poster, timer));
    (void)curl_multi_socket_action(po->multi, CURL_SOCKET_TIMEOUT, 0, &running);
}

struct poster *poster_new(struct timers *ts, struct err *e)
{
    struct poster *po = mem_zalloc(sizeof *po);
    po->timers = ts;
    po->timer.fire = on_timer;
    po->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    po->multi = curl_multi_init();
    if (po->epoll_fd < 0 || po->multi == NULL) {
        poster_free(po);
        (void)err_set(e, ERR_SYSTEM, "cannot make requests: no epoll or no libcurl");
        return NULL;
    }
    (void)curl_multi_setopt(po->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(po->multi, CURLMOPT_SOCKETDATA, po);
    (void)curl_multi_setopt(po->multi, CURLMOPT_TIMERFUNCTION, on_timeout);
    (void)curl_multi_setopt(po->multi, CURLMOPT_TIMERDATA, po);
    return po;
}

void poster_free(struct poster *po)
{
    if (po == NULL)
        return;
    (void)curl_multi_cleanup(po->multi);
    timer_cancel(po->timers, &po->timer);
    if (po->epoll_fd >= 0)
        close(po->epoll_fd);
    mem_free(po);
}

int poster_fd(const struct poster *po)
{
    return po->epoll_fd;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct post *ps = arg;
    (void)buf_add(&ps->answer, data, size * n);
    return size * n;
}

/* libcurl sends a POST again on its own when a kept connection died under it: one post
 * would be two requests. Nothing is sent twice; the second try is the caller's. */
static int on_gate(void *arg, char *to, char *from, int to_port, int from_port)
{
    struct post *ps = arg;
    (void)to;
    (void)from;
    (void)to_port;
    (void)from_port;
    return ps->sends++ == 0 ? CURL_PREREQFUNC_OK : CURL_PREREQFUNC_ABORT;
}

static void set_request(CURL *easy, struct post *ps)
{
    (void)curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, ps->method);
    if (ps->body.ptr != NULL) {
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDS, ps->body.ptr);
        (void)curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE,
                               (curl_off_t)ps->body.len);
    }
    struct curl_slist *lines = curl_slist_append(NULL, "Expect:");
    for (size_t i = 0; i < ps->n_headers; i++)
        lines = curl_slist_append(lines, ps->headers[i]);
    ps->lines = lines;
    (void)curl_easy_setopt(easy, CURLOPT_HTTPHEADER, lines);
}

static CURLcode set_ways(CURL *easy, struct post *ps)
{
    (void)curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    (void)curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(easy, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(easy, CURLOPT_TIMEOUT_MS, (long)ps->timeout_ms);
    (void)curl_easy_setopt(easy, CURLOPT_FRESH_CONNECT, ps->fresh ? 1L : 0L);
    (void)curl_easy_setopt(easy, CURLOPT_FORBID_REUSE, ps->fresh ? 1L : 0L);
    (void)curl_easy_setopt(easy, CURLOPT_USERAGENT, "front-sandbox");
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_WRITEDATA, ps);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQFUNCTION, on_gate);
    (void)curl_easy_setopt(easy, CURLOPT_PREREQDATA, ps);
    (void)curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, ps->why);
    (void)curl_easy_setopt(easy, CURLOPT_PRIVATE, ps);
    return curl_easy_setopt(easy, CURLOPT_URL, ps->url);
}

static void post_release(struct poster *po, struct post *ps)
{
    if (ps->easy != NULL) {
        (void)curl_multi_remove_handle(po->multi, ps->easy);
        curl_easy_cleanup(ps->easy);
    }
    curl_slist_free_all(ps->lines);
    ps->easy = NULL;
    ps->lines = NULL;
}

int post_start(struct poster *po, struct post *ps)
{
    post_fini(ps);
    buf_init(&ps->answer, POST_ANSWER_MAX);
    ps->status = ps->sends = 0;
    ps->unreachable = ps->timed_out = false;
    ps->retry_after_s = ps->took_ms = 0;
    ps->content_type[0] = ps->why[0] = '\0';
    ps->easy = curl_easy_init();
    if (ps->easy != NULL) {
        set_request(ps->easy, ps);
        if (set_ways(ps->easy, ps) == CURLE_OK &&
            curl_multi_add_handle(po->multi, ps->easy) == CURLM_OK)
            return 0;
    }
    post_release(po, ps);
    snprintf(ps->why, sizeof ps->why, "libcurl refuses the request");
    return -1;
}

void post_cancel(struct poster *po, struct post *ps)
{
    post_release(po, ps);
}

void post_fini(struct post *ps)
{
    buf_fini(&ps->answer);
}

static void post_end(struct poster *po, struct post *ps, CURLcode code)
{
    long status = 0;
    curl_off_t wait_s = 0, took_us = 0;
    const char *type = NULL;
    (void)curl_easy_getinfo(ps->easy, CURLINFO_RESPONSE_CODE, &status);
    (void)curl_easy_getinfo(ps->easy, CURLINFO_RETRY_AFTER, &wait_s);
    (void)curl_easy_getinfo(ps->easy, CURLINFO_TOTAL_TIME_T, &took_us);
    (void)curl_easy_getinfo(ps->easy, CURLINFO_CONTENT_TYPE, &type);
    snprintf(ps->content_type, sizeof ps->content_type, "%s", type != NULL ? type : "");
    ps->status = code == CURLE_OK ? (int)status : 0;
    ps->unreachable = code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST;
    ps->timed_out = code == CURLE_OPERATION_TIMEDOUT;
    ps->retry_after_s = wait_s;
    ps->took_ms = took_us / 1000;
    if (code != CURLE_OK && ps->why[0] == '\0')
        snprintf(ps->why, sizeof ps->why, "%s", curl_easy_strerror(code));
    post_release(po, ps);
    ps->done(ps);
}

void poster_turn(struct poster *po)
{
    struct epoll_event evs[EVENTS_AT_ONCE];
    int running = 0, left = 0;
    int n = epoll_wait(po->epoll_fd, evs, EVENTS_AT_ONCE, 0);
    for (int i = 0; i < n; i++) {
        int what = (evs[i].events & EPOLLIN ? CURL_CSELECT_IN : 0) |
                   (evs[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0) |
                   (evs[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0);
        (void)curl_multi_socket_action(po->multi, evs[i].data.fd, what, &running);
    }
    CURLMsg *msg = curl_multi_info_read(po->multi, &left);
    for (; msg != NULL; msg = curl_multi_info_read(po->multi, &left)) {
        struct post *ps = NULL;
        CURLcode code = msg->data.result; /* msg dies with its handle */
        if (msg->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&ps);
        post_end(po, ps, code);
    }
}
