/* The Front of the benchmark: answers every request with the same 200 and 643 bytes of
 * JSON, as cheaply as one thread can, so that it is never what the others wait for. Not
 * Front's look-alike: it reads no more of a request than where it ends, and of GET
 * /contacts its page token: that is a list of so many items as the argument says, 100 on
 * a page. Prints its port.
 *
 * Owns one connection struct per descriptor. Invariant: what stands in a buffer is the
 * beginning of one request, never a whole one. */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    FDS_MAX = 4096,
    EVENTS = 256,
    REQUEST_MAX = 16384,
    PAGE_ITEMS = 100,
    PAGE_MAX = 128 * 1024
};

struct conn {
    size_t len;
    char in[REQUEST_MAX];
};

static const char body[] =
    "{\"_links\":{\"self\":\"https://api2.frontapp.com/conversations/cnv_55c8c149\","
    "\"related\":{\"events\":\"https://api2.frontapp.com/conversations/cnv_55c8c149/"
    "events\",\"followers\":\"https://api2.frontapp.com/conversations/cnv_55c8c149/"
    "followers\",\"messages\":\"https://api2.frontapp.com/conversations/cnv_55c8c149/"
    "messages\"}},\"id\":\"cnv_55c8c149\",\"subject\":\"You broke my heart, Hubert. "
    "\",\"status\":\"archived\",\"assignee\":null,\"recipient\":{\"handle\":"
    "\"calculon@momsbot.com\",\"role\":\"to\"},\"tags\":[{\"id\":\"tag_13o8r1\",\"name\":"
    "\"Robots\",\"is_private\":false}],\"custom_fields\":{\"city\":\"London, UK\","
    "\"isVIP\":true,\"sport\":\"#soccer\"},\"is_private\":true,\"created_at\":"
    "1701292649.333}";

/* %08lx: its number. Always the same length. */
static const char item[] =
    "{\"_links\":{\"self\":\"https://api2.frontapp.com/contacts/crd_%08lx\",\"related\":{"
    "\"notes\":\"https://api2.frontapp.com/contacts/crd_%08lx/notes\",\"conversations\":"
    "\"https://api2.frontapp.com/contacts/crd_%08lx/conversations\",\"owner\":null}},"
    "\"id\":\"crd_%08lx\",\"name\":\"Calculon %08lx\",\"description\":\"an actor\","
    "\"avatar_url\":\"https://api2.frontapp.com/contacts/crd_%08lx/avatar\","
    "\"is_spammer\":false,\"links\":[\"http://momsbot.com\"],\"groups\":[],\"handles\":[{"
    "\"handle\":\"calculon@momsbot.com\",\"source\":\"email\"}],\"custom_fields\":{"
    "\"city\":\"London, UK\",\"isVIP\":true,\"sport\":\"#soccer\"},\"is_private\":false}";

static char answer[2048];
static size_t answer_len;
static char head[512], page[PAGE_MAX];
static unsigned long items;
static int port;
static struct conn *conns[FDS_MAX];
static int epoll_fd;

static int listen_on_loopback(void);
static void make_answer(void);
static size_t make_page(const char *request);
static void accept_all(int listener);
static void read_requests(int fd);
static size_t request_size(struct conn *c);
static void drop(int fd);
static void watch(int fd);

int main(int argc, char **argv)
{
    int listener = listen_on_loopback();
    struct epoll_event events[EVENTS];
    int i, n;

    items = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        err(1, "epoll_create1");
    watch(listener);
    make_answer();
    for (;;) {
        n = epoll_wait(epoll_fd, events, EVENTS, 1000);
        if (n <= 0)
            make_answer(); /* idle: its date and the quota's end are kept near now */
        for (i = 0; i < n; i++) {
            if (events[i].data.fd == listener)
                accept_all(listener);
            else
                read_requests(events[i].data.fd);
        }
    }
}

static int listen_on_loopback(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        listen(fd, 256) != 0 || getsockname(fd, (struct sockaddr *)&at, &len) != 0)
        err(1, "socket");
    port = ntohs(at.sin_port);
    printf("%d\n", port);
    (void)fflush(stdout);
    return fd;
}

/* The limit is far above what any machine does: the quota must not be what is measured.
 */
static void make_answer(void)
{
    time_t now = time(NULL);
    char date[40];
    struct tm tm;
    int n;

    (void)gmtime_r(&now, &tm);
    (void)strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", &tm);
    (void)snprintf(head, sizeof(head),
                   "HTTP/1.1 200 OK\r\nDate: %s\r\n"
                   "Content-Type: application/json; charset=utf-8\r\n"
                   "x-ratelimit-limit: 100000000\r\nx-ratelimit-remaining: 99999999\r\n"
                   "x-ratelimit-reset: %lld.000\r\nContent-Length: ",
                   date, (long long)now + 60);
    n = snprintf(answer, sizeof(answer), "%s%zu\r\n\r\n%s", head, sizeof(body) - 1, body);
    if (n < 0 || (size_t)n >= sizeof(answer))
        errx(1, "the answer is too large");
    answer_len = (size_t)n;
}

/* The page that the token names, without one the first; its size in `page`. */
static size_t make_page(const char *request)
{
    static char text[PAGE_MAX];
    const char *token = strstr(request, "page_token=");
    unsigned long first = token == NULL ? 0 : strtoul(token + 11, NULL, 10);
    unsigned long next = first + PAGE_ITEMS, n;
    size_t len = 0;

    if (next < items)
        len +=
            (size_t)snprintf(text, sizeof(text),
                             "{\"_pagination\":{\"next\":\"http://127.0.0.1:%d/contacts?"
                             "limit=%d&page_token=%lu\"},\"_results\":[",
                             port, PAGE_ITEMS, next);
    else
        len += (size_t)snprintf(text, sizeof(text),
                                "{\"_pagination\":{\"next\":null},\"_results\":[");
    for (n = first; n < next && n < items; n++) {
        if (n > first)
            text[len++] = ',';
        len += (size_t)snprintf(text + len, sizeof(text) - len, item, n, n, n, n, n, n);
    }
    text[len++] = ']';
    text[len++] = '}';
    n = (unsigned long)snprintf(page, sizeof(page), "%s%zu\r\n\r\n", head, len);
    if (n + len > sizeof(page))
        errx(1, "the page is too large");
    memcpy(page + n, text, len);
    return n + len;
}

static void accept_all(int listener)
{
    int one = 1, room = 2 * PAGE_MAX;
    int fd;

    for (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); fd >= 0;
         fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) {
        if (fd >= FDS_MAX)
            errx(1, "too many connections");
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &room, sizeof(room));
        conns[fd] = mem_zalloc(sizeof(struct conn));
        watch(fd);
    }
}

static void read_requests(int fd)
{
    struct conn *c = conns[fd];
    ssize_t n = recv(fd, c->in + c->len, sizeof(c->in) - 1 - c->len, 0);
    const char *out;
    size_t size, len;

    if (n <= 0) {
        drop(fd);
        return;
    }
    c->len += (size_t)n;
    for (size = request_size(c); size > 0; size = request_size(c)) {
        bool list = strncmp(c->in, "GET /contacts", 13) == 0;

        out = list ? page : answer;
        len = list ? make_page(c->in) : answer_len;
        memmove(c->in, c->in + size, c->len - size);
        c->len -= size;
        /* So small an answer to so few requests always fits into the socket. */
        if (send(fd, out, len, MSG_NOSIGNAL) != (ssize_t)len) {
            drop(fd);
            return;
        }
    }
    if (c->len == sizeof(c->in) - 1)
        errx(1, "a request is too large");
}

/* Of the whole request at the beginning; 0: some of it is still to come. */
static size_t request_size(struct conn *c)
{
    static const char name[] = "\r\ncontent-length:";
    size_t head_len, length = 0;
    const char *end, *field;

    c->in[c->len] = '\0';
    end = strstr(c->in, "\r\n\r\n");
    if (end == NULL)
        return 0;
    head_len = (size_t)(end - c->in) + 4;
    field = strcasestr(c->in, name);
    if (field != NULL && field < end)
        length = strtoul(field + sizeof(name) - 1, NULL, 10);
    return c->len >= head_len + length ? head_len + length : 0;
}

static void drop(int fd)
{
    mem_free(conns[fd]);
    conns[fd] = NULL;
    (void)close(fd);
}

static void watch(int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
        err(1, "epoll_ctl");
}
