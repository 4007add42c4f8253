/* librdkafka's mock cluster. Its lifetime is that of a client handle which does nothing
 * else. In 2.0.2 the cluster's thread may miss the wake-up of a request and then sleeps
 * for a second, so while topics are made a thread of ours pokes it with connections. */
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/mem.h"
#include "base/str.h"

#include "sandbox.h"

struct mock {
    rd_kafka_t *rk;
    rd_kafka_mock_cluster_t *cluster;
};

struct poker {
    pthread_t thread;
    atomic_bool done;
    uint16_t port;
};

static void *poke(void *arg)
{
    struct poker *pk = arg;
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(pk->port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    while (!atomic_load(&pk->done)) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd >= 0) {
            (void)connect(fd, (struct sockaddr *)&at, sizeof at);
            close(fd);
        }
        (void)usleep(5000);
    }
    return NULL;
}

static int poker_start(struct poker *pk, const struct mock *mk, struct err *e)
{
    struct str rest = str_of(mock_bootstrap(mk));
    int64_t port = 0;
    (void)str_split(&rest, ':');
    if (parse_i64(rest, 1, 65535, &port, e) < 0)
        return err_prefix(e, "mock Kafka's address");
    pk->port = (uint16_t)port;
    atomic_init(&pk->done, false);
    if (pthread_create(&pk->thread, NULL, poke, pk) != 0)
        return err_set(e, ERR_SYSTEM, "mock Kafka: no thread");
    return 0;
}

static void poker_stop(struct poker *pk)
{
    atomic_store(&pk->done, true);
    (void)pthread_join(pk->thread, NULL);
}

static int topic_make(struct mock *mk, struct str entry, struct err *e)
{
    struct str name = str_split(&entry, ':');
    int64_t partitions = 4;
    if (entry.ptr != NULL && parse_i64(entry, 1, 1000, &partitions, e) < 0)
        return err_prefix(e, "--topics: %.*s", STR_ARG(name));
    char *topic = mem_strndup(name.ptr, name.len);
    rd_kafka_resp_err_t rc =
        rd_kafka_mock_topic_create(mk->cluster, topic, (int)partitions, 1);
    if (rc != RD_KAFKA_RESP_ERR_NO_ERROR)
        err_set(e, ERR_SETTINGS, "--topics: %s: %s", topic, rd_kafka_err2str(rc));
    mem_free(topic);
    return rc != RD_KAFKA_RESP_ERR_NO_ERROR ? -1 : 0;
}

static int topics_make(struct mock *mk, const char *topics, struct err *e)
{
    struct poker pk;
    struct str rest = str_of(topics);
    int rc = 0;
    if (poker_start(&pk, mk, e) < 0)
        return -1;
    while (rest.ptr != NULL && rc == 0) {
        struct str entry = str_trim(str_split(&rest, ','));
        if (entry.len > 0)
            rc = topic_make(mk, entry, e);
    }
    poker_stop(&pk);
    return rc;
}

struct mock *mock_start(const char *topics, struct err *e)
{
    char text[256];
    struct mock *mk = mem_zalloc(sizeof *mk);
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    (void)rd_kafka_conf_set(conf, "log_level", "3", NULL,
                            0); /* it connects to nobody: no word */
    mk->rk = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (mk->rk == NULL) {
        err_set(e, ERR_SYSTEM, "mock Kafka: %s", text);
        goto out;
    }
    mk->cluster = rd_kafka_mock_cluster_new(mk->rk, 1);
    if (mk->cluster == NULL) {
        err_set(e, ERR_SYSTEM, "mock Kafka does not start");
        goto out;
    }
    if (topics_make(mk, topics, e) == 0)
        return mk;
out:
    mock_stop(mk);
    return NULL;
}

const char *mock_bootstrap(const struct mock *mk)
{
    return rd_kafka_mock_cluster_bootstraps(mk->cluster);
}

void mock_stop(struct mock *mk)
{
    if (mk == NULL)
        return;
    if (mk->cluster != NULL)
        rd_kafka_mock_cluster_destroy(mk->cluster);
    if (mk->rk != NULL)
        rd_kafka_destroy(mk->rk);
    mem_free(mk);
}
