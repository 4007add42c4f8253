/* The Front of the benchmark's webhooks: signed events over kept connections, one at a
 * time on each, as fast as they are answered.
 *
 *   webhook_load PORT KEY EVENTS CONNECTIONS FIRST
 *
 * Prints one JSON line: seconds, p50 and p99 of an answer in ms, and how many answers
 * were not 200. Ids are evt_<FIRST and up, in hex>. */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

enum { CONNECTIONS_MAX = 512, REQUEST_MAX = 4096, ANSWER_MAX = 4096, KEYS = 1000 };

struct conn {
    int fd;
    int64_t began_ns;
    size_t len;
    char in[ANSWER_MAX];
};

/* What Front sends of an inbound message, but for its text. */
static const char event[] =
    "{\"type\":\"inbound_received\",\"authorization\":{\"id\":\"cmp_55c8c149\"},"
    "\"payload\":{\"_links\":{\"self\":\"https://x.api.frontapp.com/events/evt_%08lx\"},"
    "\"id\":\"evt_%08lx\",\"type\":\"inbound\",\"emitted_at\":%lld.123,"
    "\"conversation\":{\"_links\":{\"self\":\"https://x.api.frontapp.com/conversations/"
    "cnv_%04lx\",\"related\":{\"events\":\"https://x.api.frontapp.com/conversations/"
    "cnv_%04lx/events\"}},\"id\":\"cnv_%04lx\",\"subject\":\"You broke my heart, Hubert. "
    "\",\"status\":\"unassigned\",\"assignee\":null,\"tags\":[{\"id\":\"tag_13o8r1\","
    "\"name\":\"Robots\"}],\"is_private\":false,\"created_at\":1701292649.333},"
    "\"source\":{\"_meta\":{\"type\":\"inboxes\"},\"data\":[{\"id\":\"inb_55c8c149\","
    "\"name\":\"Calculon\",\"address\":\"calculon@momsbot.com\"}]},\"target\":{\"_meta\":"
    "{\"type\":\"message\"},\"data\":{\"id\":\"msg_1q15qmtq\",\"type\":\"email\","
    "\"is_inbound\":true,\"created_at\":1701292649.333,\"blurb\":\"Anything less than "
    "immortality is a complete waste of time\",\"body\":\"Anything less than immortality "
    "is a complete waste of time.\",\"recipients\":[{\"handle\":\"calculon@momsbot.com\","
    "\"role\":\"from\"}],\"attachments\":[]}}}}";

static struct conn conns[CONNECTIONS_MAX];
static const char *key;
static long events, first, next, answered, refused;
static double *took_ms;

static int64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static long number(const char *text, long least, long most)
{
    struct err e = ERR_INIT;
    int64_t n = 0;

    if (parse_i64(str_of(text), least, most, &n, &e) != 0)
        errx(1, "%s: %s", text, e.text);
    return (long)n;
}

static void send_next(struct conn *cn)
{
    char body[REQUEST_MAX], signed_text[REQUEST_MAX + 32], out[2 * REQUEST_MAX];
    unsigned char mac[32], base64[64];
    unsigned mac_len = 0;
    long i = first + next++;
    long long ms = (long long)time(NULL) * 1000;
    unsigned long cnv = (unsigned long)i % KEYS;
    int n;

    n = snprintf(body, sizeof(body), event, (unsigned long)i, (unsigned long)i, ms / 1000,
                 cnv, cnv, cnv);
    n = snprintf(signed_text, sizeof(signed_text), "%lld:%.*s", ms, n, body);
    (void)HMAC(EVP_sha256(), key, (int)strlen(key), (unsigned char *)signed_text,
               (size_t)n, mac, &mac_len);
    (void)EVP_EncodeBlock(base64, mac, (int)mac_len);
    n = snprintf(out, sizeof(out),
                 "POST /webhooks/front/app HTTP/1.1\r\nHost: hooks.example.com\r\n"
                 "Content-Type: application/json\r\nX-Front-Request-Timestamp: %lld\r\n"
                 "X-Front-Signature: %s\r\nContent-Length: %zu\r\n\r\n%s",
                 ms, (char *)base64, strlen(body), body);
    cn->began_ns = now_ns();
    cn->len = 0;
    if (send(cn->fd, out, (size_t)n, 0) != n)
        err(1, "send");
}

/* Answers have no body. */
static bool is_whole(const struct conn *cn)
{
    return cn->len >= 4 && memcmp(cn->in + cn->len - 4, "\r\n\r\n", 4) == 0;
}

static void receive(struct conn *cn)
{
    ssize_t n = recv(cn->fd, cn->in + cn->len, sizeof(cn->in) - cn->len, 0);

    if (n <= 0)
        err(1, "recv");
    cn->len += (size_t)n;
    if (!is_whole(cn))
        return;
    if (memcmp(cn->in, "HTTP/1.1 200", 12) != 0)
        refused++;
    took_ms[answered++] = (double)(now_ns() - cn->began_ns) / 1e6;
    if (next < events)
        send_next(cn);
}

static void connect_to(struct conn *cn, int port, int epoll_fd)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = cn};
    int on = 1;

    cn->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (cn->fd < 0 || connect(cn->fd, (struct sockaddr *)&at, sizeof(at)) != 0 ||
        setsockopt(cn->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, cn->fd, &ev) != 0)
        err(1, "connect");
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
    int epoll_fd = epoll_create1(0);
    struct epoll_event evs[64];
    int64_t began_ns;
    long n_conns;

    if (argc != 6)
        errx(1, "usage: webhook_load PORT KEY EVENTS CONNECTIONS FIRST");
    key = argv[2];
    events = number(argv[3], 1, 100000000);
    n_conns = number(argv[4], 1, CONNECTIONS_MAX);
    first = number(argv[5], 0, 100000000);
    took_ms = mem_array((size_t)events, sizeof(took_ms[0]));
    for (long i = 0; i < n_conns; i++)
        connect_to(&conns[i], (int)number(argv[1], 1, 65535), epoll_fd);
    began_ns = now_ns();
    for (long i = 0; i < n_conns && next < events; i++)
        send_next(&conns[i]);
    while (answered < events) {
        int n = epoll_wait(epoll_fd, evs, 64, 30000);

        if (n <= 0)
            errx(1, "no answer within 30 s");
        for (int i = 0; i < n; i++)
            receive(evs[i].data.ptr);
    }
    double seconds = (double)(now_ns() - began_ns) / 1e9;
    qsort(took_ms, (size_t)events, sizeof(took_ms[0]), by_size);
    (void)printf("{\"seconds\":%.6f,\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"refused\":%ld}\n",
                 seconds, took_ms[events / 2], took_ms[events * 99 / 100], refused);
    return 0;
}
