/* The floor of the benchmark's webhooks: libmicrohttpd in a bare epoll loop, the
 * signature, librdkafka, and 200 when the report came. No Avro, no headers, no look into
 * the event but for its key, no limits, no deadlines, no memory of ids: any trouble ends
 * it.
 *
 *   webhook_floor BROKERS TOPIC KEY
 *
 * Prints its port, then runs until it is killed. */
#include <arpa/inet.h>
#include <err.h>
#include <librdkafka/rdkafka.h>
#include <microhttpd.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/mem.h"

enum { BODY_MAX = 16384, CONNECTIONS = 1000, WAIT_MS = 500, SIGNATURE_LEN = 44 };

struct request {
    struct request *next; /* in the pool */
    struct MHD_Connection *conn;
    size_t len;
    bool stored;
    char body[BODY_MAX];
};

static rd_kafka_t *producer;
static rd_kafka_topic_t *topic;
static struct MHD_Daemon *server;
static struct MHD_Response *empty;
static struct request *pool;
static const char *key;
static bool resumed;

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[200];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
        errx(1, "%s", text);
}

static void on_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    struct request *req = msg->_private;

    (void)rk;
    (void)opaque;
    if (msg->err != RD_KAFKA_RESP_ERR_NO_ERROR)
        errx(1, "%s", rd_kafka_err2str(msg->err));
    req->stored = resumed = true;
    MHD_resume_connection(req->conn);
}

static void open_kafka(const char *brokers, const char *name)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[200];

    set(conf, "bootstrap.servers", brokers);
    set(conf, "enable.idempotence", "true");
    set(conf, "linger.ms", "2");
    set(conf, "compression.type", "lz4");
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (producer == NULL)
        errx(1, "%s", text);
    topic = rd_kafka_topic_new(producer, name, NULL);
}

static const char *header(struct MHD_Connection *conn, const char *name)
{
    const char *value = MHD_lookup_connection_value(conn, MHD_HEADER_KIND, name);

    return value != NULL ? value : "";
}

static bool is_signed(const struct request *req)
{
    const char *timestamp = header(req->conn, "X-Front-Request-Timestamp");
    const char *signature = header(req->conn, "X-Front-Signature");
    char text[BODY_MAX + 64];
    unsigned char mac[32], base64[64];
    unsigned mac_len = 0;
    int n = snprintf(text, sizeof(text), "%s:", timestamp);

    memcpy(text + n, req->body, req->len);
    (void)HMAC(EVP_sha256(), key, (int)strlen(key), (unsigned char *)text,
               (size_t)n + req->len, mac, &mac_len);
    (void)EVP_EncodeBlock(base64, mac, (int)mac_len);
    return strlen(signature) == SIGNATURE_LEN &&
           CRYPTO_memcmp(base64, signature, SIGNATURE_LEN) == 0;
}

static enum MHD_Result take(struct request *req)
{
    static const char mark[] = "\"id\":\"cnv_";
    const char *id = memmem(req->body, req->len, mark, sizeof(mark) - 1);

    if (!is_signed(req))
        return MHD_queue_response(req->conn, MHD_HTTP_UNAUTHORIZED, empty);
    if (id == NULL)
        errx(1, "an event without a conversation");
    id += sizeof(mark) - 1;
    MHD_suspend_connection(req->conn);
    if (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, 0, req->body, req->len, id,
                         strcspn(id, "\""), req) != 0)
        errx(1, "%s", rd_kafka_err2str(rd_kafka_last_error()));
    return MHD_YES;
}

static enum MHD_Result on_access(void *arg, struct MHD_Connection *conn, const char *url,
                                 const char *method, const char *version,
                                 const char *data, size_t *size, void **state)
{
    struct request *req = *state;

    (void)arg;
    (void)url;
    (void)method;
    (void)version;
    if (req == NULL) {
        req = pool;
        if (req != NULL)
            pool = req->next;
        else
            req = mem_alloc(sizeof(*req));
        req->conn = conn;
        req->len = 0;
        req->stored = false;
        *state = req;
        return MHD_YES;
    }
    if (*size > 0) {
        if (req->len + *size > BODY_MAX)
            errx(1, "a body over %d bytes", BODY_MAX);
        memcpy(req->body + req->len, data, *size);
        req->len += *size;
        *size = 0;
        return MHD_YES;
    }
    return req->stored ? MHD_queue_response(conn, MHD_HTTP_OK, empty) : take(req);
}

static void on_done(void *arg, struct MHD_Connection *conn, void **state,
                    enum MHD_RequestTerminationCode why)
{
    struct request *req = *state;

    (void)arg;
    (void)conn;
    (void)why;
    req->next = pool;
    pool = req;
}

static void open_server(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};

    empty = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    server = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, on_access, NULL,
        MHD_OPTION_SOCK_ADDR, &at, MHD_OPTION_NOTIFY_COMPLETED, on_done, NULL,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTIONS, MHD_OPTION_END);
    if (server == NULL)
        errx(1, "cannot listen");
    (void)printf("%d\n", MHD_get_daemon_info(server, MHD_DAEMON_INFO_BIND_PORT)->port);
    (void)fflush(stdout);
}

static void watch(int epoll_fd, int fd)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.fd = fd};

    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &ev) != 0)
        errx(1, "epoll");
}

int main(int argc, char **argv)
{
    static const uint64_t one = 1;
    int epoll_fd = epoll_create1(0), wake_fd = eventfd(0, EFD_NONBLOCK);
    struct epoll_event evs[8];

    if (argc != 4)
        errx(1, "usage: webhook_floor BROKERS TOPIC KEY");
    key = argv[3];
    open_kafka(argv[1], argv[2]);
    open_server();
    rd_kafka_queue_io_event_enable(rd_kafka_queue_get_main(producer), wake_fd, &one,
                                   sizeof(one));
    watch(epoll_fd, wake_fd);
    watch(epoll_fd, MHD_get_daemon_info(server, MHD_DAEMON_INFO_EPOLL_FD)->epoll_fd);
    for (;;) {
        MHD_UNSIGNED_LONG_LONG ms;
        uint64_t count;
        int wait = WAIT_MS;

        if (MHD_get_timeout(server, &ms) == MHD_YES && ms < WAIT_MS)
            wait = (int)ms;
        (void)epoll_wait(epoll_fd, evs, 8, wait);
        if (read(wake_fd, &count, sizeof(count)) > 0)
            (void)rd_kafka_poll(producer, 0);
        resumed = false;
        (void)MHD_run(server);
    }
}
