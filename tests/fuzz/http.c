/* Mutates HTTP requests and sends them to the server through real sockets: whatever
 * comes, what reaches the handler is one request as its own head has it, and who is
 * honest gets an answer.
 *
 * Usage: http N [SEED]      exit 0: N inputs, no rule broken
 *        http show SEED     one input, as it was when it failed */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "mutate.h"
#include "net/http_server.h"

enum {
    BODY_MAX = 2000,
    CHANGES_MAX = 6,
    LIMIT_MS = 20000,
    HONEST_EVERY = 50,
    SILENT_TURNS = 3
};

static const char *const requests[] = {
    "GET /now HTTP/1.1\r\nHost: h\r\n\r\n",
    "POST /now HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab cd",
    "POST /later HTTP/1.1\r\nHost: h\r\nX-Front-Signature: abc=\r\n"
    "X-Front-Request-Timestamp: 1700000000000\r\nContent-Type: application/json\r\n"
    "Content-Length: 13\r\n\r\n{\"id\":\"evt\"}\n",
    "POST /later HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
    "2\r\nab\r\n3;x=y\r\n cd\r\n0\r\nX-Trailer: a\r\n\r\n",
    "DELETE /now?a=b&c=%20 HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
    "POST /now HTTP/1.0\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nab",
    "PUT /now HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
};
static const char *const tokens[] = {"\r\n",
                                     "\n",
                                     "\r",
                                     "\r\n\r\n",
                                     " ",
                                     "\t",
                                     ":",
                                     ";",
                                     ",",
                                     "0",
                                     "-1",
                                     "+1",
                                     "0x5",
                                     "\r\n ",
                                     "\r\n\t",
                                     "HTTP/1.1",
                                     "HTTP/1.0",
                                     "HTTP/9.9",
                                     "Content-Length: 3\r\n",
                                     "Content-Length: 0\r\n",
                                     "Content-Length : 3\r\n",
                                     "Content-Length:\r\n 3\r\n",
                                     "content-length: 18446744073709551615\r\n",
                                     "Transfer-Encoding: chunked\r\n",
                                     "Transfer-Encoding: identity\r\n",
                                     "Transfer-Encoding:\tchunked\r\n",
                                     "chunked",
                                     "X-Front-Signature: a\r\n",
                                     "Host: x\r\n",
                                     "Connection: upgrade\r\n",
                                     "ffffffffffffffff\r\n",
                                     "7fffffffffffffff\r\n",
                                     "0\r\n\r\n",
                                     "\xff",
                                     "\x01",
                                     "%00",
                                     "%",
                                     "?",
                                     "&",
                                     "=",
                                     "GET ",
                                     "POST ",
                                     "//",
                                     "/../"};
static const char *const units[] = {"a", "X: y\r\n", "\r\n", " ", "a=b&", "1\r\nx\r\n"};

static const struct language of_http = {tokens, units, sizeof tokens / sizeof tokens[0],
                                        sizeof units / sizeof units[0]};

struct world {
    struct loop *loop;
    struct http_server *hs;
    struct http_request *held; /* the newest that waits for its answer */
    struct chance chance;
    struct buf input;
    uint64_t seed, handled, honest;
    bool show;
};

static _Noreturn void broken(const struct world *w, const char *rule)
{
    fprintf(stderr, "seed %" PRIu64 ": %s\n", w->seed, rule);
    abort();
}

/* ---- the server's side ---- */

/* The body is as long as its head says, or as the chunks made it. */
static void check(struct world *w, const struct http_request *req)
{
    const char *length = http_request_header(req, "Content-Length");
    size_t lengths = http_request_header_count(req, "content-length");
    size_t encodings = http_request_header_count(req, "transfer-encoding");
    struct str body = http_request_body(req);
    struct err e = ERR_INIT;
    int64_t n = 0;

    if (lengths + encodings > 1)
        broken(w, "two ways to say how long the body is");
    if (body.len > BODY_MAX)
        broken(w, "a body over its ceiling");
    if (encodings == 0 && length == NULL && body.len > 0)
        broken(w, "a body that nothing announced");
    if (length != NULL &&
        (parse_i64(str_of(length), 0, BODY_MAX, &n, &e) != 0 || (size_t)n != body.len))
        broken(w, "a body of another length");
    if (http_request_method(req)[0] == '\0')
        broken(w, "no method");
}

static void on_request(void *arg, struct http_request *req)
{
    struct world *w = arg;

    check(w, req);
    w->handled++;
    if (strcmp(http_request_path(req), "/later") == 0 && w->held == NULL)
        w->held = req;
    else
        http_reply(req, 200, "text/plain", http_request_body(req), NULL, 0);
}

static void turn(struct world *w)
{
    struct http_request *req = w->held;

    if (req != NULL) {
        w->held = NULL;
        (void)http_request_client_gone(req);
        http_reply(req, 200, NULL, http_request_body(req), NULL, 0);
    }
    loop_wait(w->loop, 0);
    http_server_turn(w->hs);
}

/* ---- the client's ---- */

static int dial(struct world *w)
{
    struct sockaddr_in addr = {.sin_family = AF_INET,
                               .sin_port = htons((uint16_t)http_server_port(w->hs)),
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    static const struct linger reset = {1, 0}; /* no port stays taken */
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&addr, sizeof(addr)) != 0 ||
        fcntl(fd, F_SETFL, O_NONBLOCK) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int)) != 0)
        broken(w, "cannot connect");
    return fd;
}

/* Sends all, waits until nothing more comes, says that this was all, and waits again. (An
 * end that comes together with bytes libmicrohttpd 0.9 overlooks, since it reads once for
 * each event; then the connection is idle, and goes when others need its place.) What
 * came first is in `head`. */
static void talk(struct world *w, struct str bytes, size_t piece, char *head, size_t size)
{
    int64_t end_ms = clock_now(&clock_system) + LIMIT_MS;
    size_t sent = 0, got = 0, silent = 0;
    int fd = dial(w);

    for (;;) {
        char answer[4096];
        ssize_t n = 0;

        if (sent < bytes.len)
            n = send(fd, bytes.ptr + sent,
                     bytes.len - sent < piece ? bytes.len - sent : piece, MSG_NOSIGNAL);
        if (n < 0 && errno != EAGAIN)
            break;
        sent += n > 0 ? (size_t)n : 0;
        silent = n > 0 ? 0 : silent + 1;
        turn(w);
        n = recv(fd, answer, sizeof(answer), 0);
        if (n == 0 || (n < 0 && errno != EAGAIN))
            break;
        for (ssize_t i = 0; i < n && got + 1 < size; i++)
            head[got++] = answer[i];
        silent = n > 0 ? 0 : silent;
        if (silent == SILENT_TURNS && sent == bytes.len)
            (void)shutdown(fd, SHUT_WR);
        if (silent == 4 * SILENT_TURNS)
            break;
        if (clock_now(&clock_system) > end_ms)
            broken(w, "no end");
    }
    head[got] = '\0';
    (void)close(fd);
}

static void be_honest(struct world *w)
{
    char head[512];

    w->honest++;
    talk(w,
         STR_LIT("POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 6\r\n"
                 "Connection: close\r\n\r\nhonest"),
         1000, head, sizeof(head));
    if (strncmp(head, "HTTP/1.1 200 ", 13) != 0 || strstr(head, "\r\n\r\nhonest") == NULL)
        broken(w, "an honest request without its answer");
}

static struct str some_request(struct world *w)
{
    return str_of(requests[below(&w->chance, sizeof requests / sizeof requests[0])]);
}

static void run_seed(struct world *w, uint64_t seed)
{
    char head[64];

    w->seed = seed;
    chance_seed(&w->chance, seed);
    buf_reset(&w->input);
    (void)buf_add_str(&w->input, some_request(w));
    if (below(&w->chance, 4) == 0)
        (void)buf_add_str(&w->input, some_request(w));
    for (size_t n = 1 + below(&w->chance, 1 + below(&w->chance, CHANGES_MAX)); n > 0; n--)
        change_bytes(&w->chance, &of_http, some_request(w), &w->input);
    if (w->show) {
        (void)fwrite(w->input.data, 1, w->input.len, stdout);
        (void)fflush(stdout);
    }
    talk(w, buf_str(&w->input),
         below(&w->chance, 4) == 0 ? 1 + below(&w->chance, 40) : MUTATE_MAX, head,
         sizeof(head));
    if (head[0] != '\0' && strncmp(head, "HTTP/1.", 7) != 0)
        broken(w, "an answer that is none");
    if (seed % HONEST_EVERY == 0)
        be_honest(w);
}

static void world_init(struct world *w)
{
    struct http_server_options o = {.listen = "127.0.0.1:0",
                                    .body_max = BODY_MAX,
                                    .deadline_ms = LIMIT_MS / 2,
                                    .connections_max = 16,
                                    .handler = on_request,
                                    .arg = w};
    struct err e = ERR_INIT;

    *w = (struct world){.loop = loop_new(&e)};
    buf_init(&w->input, 2 * MUTATE_MAX);
    w->hs = w->loop != NULL ? http_server_new(w->loop, &o, &e) : NULL;
    if (w->hs == NULL)
        broken(w, e.text);
}

static int number(const char *text, int64_t *out)
{
    struct err e = ERR_INIT;

    return parse_i64(str_of(text), 0, INT64_MAX, out, &e);
}

int main(int argc, char **argv)
{
    const struct http_server_counts *counts;
    bool one = argc == 3 && strcmp(argv[1], "show") == 0;
    int64_t n = 1, first = 0;
    struct world w;

    if (argc < 2 || argc > 3 || (!one && number(argv[1], &n) != 0) ||
        (argc == 3 && number(argv[2], &first) != 0)) {
        fprintf(stderr, "usage: http N [SEED], or http show SEED\n");
        return 2;
    }
    world_init(&w);
    w.show = one;
    for (int64_t i = 0; i < n; i++)
        run_seed(&w, (uint64_t)(first + i));
    counts = http_server_counts(w.hs);
    printf("fuzz: %" PRId64 " inputs of HTTP from seed %" PRId64 ": %" PRIu64 " handled",
           n, first, w.handled - w.honest);
    for (int i = 0; i < HTTP_REFUSALS; i++)
        printf(", %s %" PRIu64, http_refusal_names[i], counts->refused[i]);
    printf("\n");
    http_server_free(w.hs);
    loop_free(w.loop);
    buf_fini(&w.input);
    return 0;
}
