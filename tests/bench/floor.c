/* The floor of the benchmark: the least that a program with these libraries must do for
 * the same work. librdkafka consumes, libcurl's multi interface calls, librdkafka writes
 * one record for each command in transactions that carry the offsets. Set up as the
 * connector's (properties, requests at a time, pace of the transactions, record sizes),
 * but with no Avro, no order per key, no retries, no quota, no checks: any trouble ends
 * it.
 *
 *   floor BROKERS COMMANDS RESULTS GROUP URL IN_FLIGHT VALUE_BYTES BODY
 *
 * Prints "ready" once it has its partitions; runs until it is killed. The key of a
 * command is the id in its path, BODY the body of each request; a result's value is the
 * answer, filled up to VALUE_BYTES.
 *
 * Two threads: the loop, and the one that a transaction may block. `tick` belongs to the
 * loop while tick_busy is 0 or 2, to the other while it is 1. */
#include <curl/curl.h>
#include <err.h>
#include <errno.h>
#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"

enum {
    PARTITIONS_MAX = 16,
    WINDOW = 1 << 14, /* offsets between the oldest open command and the newest read */
    BACKLOG = 2048,   /* the connector's commands.max.pending */
    BATCH = 500,
    EVENTS = 256,
    FDS_MAX = 4096,
    TICK_MS = 25, /* the connector's TICK_SPACING_MS and TICK_FULL */
    TICK_FULL = 2000
};

struct cmd {
    STAILQ_ENTRY(cmd) link; /* in waiting, answered or the tick */
    rd_kafka_message_t *msg;
    char *value;
    size_t len;
};
STAILQ_HEAD(cmd_list, cmd);

/* What was answered and handed to a tick, by offset; `line` is the first that was not. */
struct part {
    int64_t line, next;
    bool done[WINDOW];
    bool touched;
};

struct place {
    STAILQ_ENTRY(place) link;
    CURL *easy;
    CURLU *url;
    struct cmd *cmd;
};

struct watched {
    uint32_t wanted, registered;
};

static rd_kafka_t *consumer, *producer;
static rd_kafka_topic_t *results;
static rd_kafka_queue_t *queue;
static CURLM *multi;
static int epoll_fd, records_fd, tick_fd;
static const char *commands, *request_body;
static size_t value_bytes;

static struct part parts[PARTITIONS_MAX];
static struct cmd_list waiting = STAILQ_HEAD_INITIALIZER(waiting);
static struct cmd_list answered = STAILQ_HEAD_INITIALIZER(answered);
static size_t n_answered;
static STAILQ_HEAD(, place) free_places = STAILQ_HEAD_INITIALIZER(free_places);
static struct watched watches[FDS_MAX];
static int64_t curl_due_ms = -1;
static bool started;

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t go = PTHREAD_COND_INITIALIZER;
static struct cmd_list tick = STAILQ_HEAD_INITIALIZER(tick);
static rd_kafka_topic_partition_list_t *tick_offsets;
static int tick_busy; /* 1: runs; 2: ended, not looked at yet */
static int64_t tick_started_ms;

static void open_kafka(const char *brokers, const char *group, const char *topic);
static void open_http(const char *url, long in_flight);
static void turn(void);

int main(int argc, char **argv)
{
    if (argc != 9)
        errx(2, "BROKERS COMMANDS RESULTS GROUP URL IN_FLIGHT VALUE_BYTES BODY");
    commands = argv[2];
    value_bytes = strtoul(argv[7], NULL, 10);
    request_body = argv[8];
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    open_http(argv[5], strtol(argv[6], NULL, 10));
    open_kafka(argv[1], argv[4], argv[3]);
    for (;;)
        turn();
}

/* ---- small things ---- */

static void check(const char *what, rd_kafka_error_t *error)
{
    if (error != NULL)
        errx(1, "%s: %s", what, rd_kafka_error_string(error));
}

static int64_t now_ms(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* Registrations outlive the requests of a connection, as the connector's do. */
static void watch(int fd, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.fd = fd};
    struct watched *w;

    if (fd >= FDS_MAX)
        errx(1, "too many descriptors");
    w = &watches[fd];
    w->wanted = events;
    if (events == 0 || events == w->registered)
        return;
    if (epoll_ctl(epoll_fd, w->registered != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd,
                  &ev) != 0)
        err(1, "epoll_ctl");
    w->registered = events;
}

/* ---- HTTP ---- */

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *unused)
{
    (void)easy;
    (void)arg;
    (void)unused;
    if (what == CURL_POLL_REMOVE)
        watch(fd, 0);
    else
        watch(fd, ((what & CURL_POLL_IN) != 0 ? EPOLLIN : 0u) |
                      ((what & CURL_POLL_OUT) != 0 ? EPOLLOUT : 0u));
    return 0;
}

static int on_close(void *arg, curl_socket_t fd)
{
    (void)arg;
    watches[fd] = (struct watched){0, 0};
    return close(fd);
}

static int on_timer(CURLM *m, long ms, void *arg)
{
    (void)m;
    (void)arg;
    curl_due_ms = ms < 0 ? -1 : now_ms() + ms;
    return 0;
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    struct place *pl = arg;

    n *= size;
    if (pl->cmd->len + n > value_bytes)
        errx(1, "an answer is larger than a result");
    memcpy(pl->cmd->value + pl->cmd->len, data, n);
    pl->cmd->len += n;
    return n;
}

static void open_place(const char *url, struct curl_slist *headers)
{
    struct place *pl = mem_zalloc(sizeof(*pl));

    pl->easy = curl_easy_init();
    pl->url = curl_url();
    if (pl->easy == NULL || pl->url == NULL ||
        curl_url_set(pl->url, CURLUPART_URL, url, 0) != CURLUE_OK)
        errx(1, "libcurl cannot be set up");
    (void)curl_easy_setopt(pl->easy, CURLOPT_PRIVATE, pl);
    (void)curl_easy_setopt(pl->easy, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(pl->easy, CURLOPT_PROXY, "");
    (void)curl_easy_setopt(pl->easy, CURLOPT_USERAGENT, "floor/1");
    (void)curl_easy_setopt(pl->easy, CURLOPT_TIMEOUT_MS, 30000L);
    (void)curl_easy_setopt(pl->easy, CURLOPT_HTTPHEADER, headers);
    (void)curl_easy_setopt(pl->easy, CURLOPT_POST, 1L);
    (void)curl_easy_setopt(pl->easy, CURLOPT_POSTFIELDSIZE, (long)strlen(request_body));
    (void)curl_easy_setopt(pl->easy, CURLOPT_POSTFIELDS, request_body);
    (void)curl_easy_setopt(pl->easy, CURLOPT_CUSTOMREQUEST, "PATCH");
    (void)curl_easy_setopt(pl->easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(pl->easy, CURLOPT_WRITEDATA, pl);
    (void)curl_easy_setopt(pl->easy, CURLOPT_CLOSESOCKETFUNCTION, on_close);
    STAILQ_INSERT_TAIL(&free_places, pl, link);
}

static void open_http(const char *url, long in_flight)
{
    struct curl_slist *headers = NULL;
    long i;

    (void)curl_global_init(CURL_GLOBAL_ALL);
    multi = curl_multi_init();
    (void)curl_multi_setopt(multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    (void)curl_multi_setopt(multi, CURLMOPT_TIMERFUNCTION, on_timer);
    (void)curl_multi_setopt(multi, CURLMOPT_MAXCONNECTS, in_flight);
    headers = curl_slist_append(headers, "Authorization: Bearer token-of-the-tests");
    headers = curl_slist_append(headers, "Content-Type: application/json");
    headers = curl_slist_append(headers, "Accept:");
    headers = curl_slist_append(headers, "Expect:");
    for (i = 0; i < in_flight; i++)
        open_place(url, headers);
}

static void start_calls(void)
{
    struct place *pl;
    struct cmd *cmd;
    char path[200];

    while (!STAILQ_EMPTY(&waiting) && !STAILQ_EMPTY(&free_places)) {
        pl = STAILQ_FIRST(&free_places);
        cmd = STAILQ_FIRST(&waiting);
        STAILQ_REMOVE_HEAD(&free_places, link);
        STAILQ_REMOVE_HEAD(&waiting, link);
        pl->cmd = cmd;
        cmd->value = mem_alloc(value_bytes);
        (void)snprintf(path, sizeof(path), "/conversations/%.*s", (int)cmd->msg->key_len,
                       (const char *)cmd->msg->key);
        (void)curl_url_set(pl->url, CURLUPART_PATH, path, 0);
        (void)curl_easy_setopt(pl->easy, CURLOPT_CURLU, pl->url);
        (void)curl_multi_add_handle(multi, pl->easy);
        started = true;
    }
}

static void end_calls(void)
{
    CURLMsg *msg;
    int left;

    while ((msg = curl_multi_info_read(multi, &left)) != NULL) {
        struct place *pl = NULL;
        long status = 0;

        if (msg->data.result != CURLE_OK)
            errx(1, "call: %s", curl_easy_strerror(msg->data.result));
        (void)curl_easy_getinfo(msg->easy_handle, CURLINFO_PRIVATE, (char **)&pl);
        (void)curl_easy_getinfo(pl->easy, CURLINFO_RESPONSE_CODE, &status);
        (void)curl_multi_remove_handle(multi, pl->easy);
        if (status != 200)
            errx(1, "call: answered %ld", status);
        memset(pl->cmd->value + pl->cmd->len, ' ', value_bytes - pl->cmd->len);
        STAILQ_INSERT_TAIL(&answered, pl->cmd, link);
        n_answered++;
        pl->cmd = NULL;
        STAILQ_INSERT_HEAD(&free_places, pl, link);
    }
}

/* ---- Kafka ---- */

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[200];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
        errx(1, "%s", text);
}

static rd_kafka_t *open_handle(rd_kafka_type_t type, rd_kafka_conf_t *conf)
{
    char text[200];
    rd_kafka_t *rk = rd_kafka_new(type, conf, text, sizeof(text));

    if (rk == NULL)
        errx(1, "%s", text);
    return rk;
}

static void on_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t code,
                         rd_kafka_topic_partition_list_t *list, void *arg)
{
    (void)arg;
    if (code != RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS)
        errx(1, "the partitions went away");
    if (list->cnt > PARTITIONS_MAX)
        errx(1, "too many partitions");
    (void)rd_kafka_assign(rk, list);
    printf("ready\n");
    (void)fflush(stdout);
}

static void open_consumer(const char *brokers, const char *group)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    static const uint64_t one = 1;

    set(conf, "bootstrap.servers", brokers);
    set(conf, "group.id", group);
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.auto.offset.store", "false");
    set(conf, "auto.offset.reset", "earliest");
    set(conf, "fetch.wait.max.ms", "100");
    set(conf, "queued.max.messages.kbytes", "16384");
    rd_kafka_conf_set_rebalance_cb(conf, on_rebalance);
    consumer = open_handle(RD_KAFKA_CONSUMER, conf);
    (void)rd_kafka_poll_set_consumer(consumer);
    queue = rd_kafka_queue_get_consumer(consumer);
    records_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rd_kafka_queue_io_event_enable(queue, records_fd, &one, sizeof(one));
    watch(records_fd, EPOLLIN);
    rd_kafka_topic_partition_list_add(list, commands, RD_KAFKA_PARTITION_UA);
    if (rd_kafka_subscribe(consumer, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        errx(1, "subscribe");
    rd_kafka_topic_partition_list_destroy(list);
}

static void open_producer(const char *brokers, const char *group, const char *topic)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    set(conf, "bootstrap.servers", brokers);
    set(conf, "transactional.id", group);
    set(conf, "delivery.report.only.error", "true");
    set(conf, "retry.backoff.ms", "2");
    set(conf, "linger.ms", "5");
    set(conf, "compression.type", "lz4");
    producer = open_handle(RD_KAFKA_PRODUCER, conf);
    check("init", rd_kafka_init_transactions(producer, 30000));
    results = rd_kafka_topic_new(producer, topic, NULL);
}

static void accept_records(void)
{
    rd_kafka_message_t *batch[BATCH];
    ssize_t i, n;
    size_t p;

    do {
        for (p = 0; p < PARTITIONS_MAX; p++)
            if (parts[p].next - parts[p].line >= BACKLOG)
                return;
        n = rd_kafka_consume_batch_queue(queue, 0, batch, BATCH);
        for (i = 0; i < n; i++) {
            struct cmd *cmd = mem_zalloc(sizeof(*cmd));
            struct part *part = &parts[batch[i]->partition];

            if (batch[i]->err != RD_KAFKA_RESP_ERR_NO_ERROR)
                errx(1, "consume: %s", rd_kafka_message_errstr(batch[i]));
            cmd->msg = batch[i];
            part->next = batch[i]->offset + 1;
            STAILQ_INSERT_TAIL(&waiting, cmd, link);
        }
    } while (n == BATCH);
}

/* The headers that the connector's results have. */
static void produce(const struct cmd *cmd)
{
    rd_kafka_headers_t *hs = rd_kafka_headers_new(5);
    char source[200];
    rd_kafka_resp_err_t code;
    int n = snprintf(source, sizeof(source), "%s/%d/%lld", commands, cmd->msg->partition,
                     (long long)cmd->msg->offset);

    (void)rd_kafka_header_add(hs, "command-id", -1,
                              "6c7f3c3e-7a43-4a53-9d0c-4b1c6f0d1c11", -1);
    (void)rd_kafka_header_add(hs, "operation", -1, "update-conversation", -1);
    (void)rd_kafka_header_add(hs, "outcome", -1, "SUCCEEDED", -1);
    (void)rd_kafka_header_add(hs, "http-status", -1, "200", -1);
    (void)rd_kafka_header_add(hs, "source", -1, source, n);
    code = rd_kafka_producev(producer, RD_KAFKA_V_RKT(results),
                             RD_KAFKA_V_PARTITION(cmd->msg->partition),
                             RD_KAFKA_V_KEY(cmd->msg->key, cmd->msg->key_len),
                             RD_KAFKA_V_VALUE(cmd->value, value_bytes),
                             RD_KAFKA_V_HEADERS(hs), RD_KAFKA_V_END);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        errx(1, "produce: %s", rd_kafka_err2str(code));
}

static void run_tick(void)
{
    rd_kafka_consumer_group_metadata_t *group =
        rd_kafka_consumer_group_metadata(consumer);
    const struct cmd *cmd;

    check("begin", rd_kafka_begin_transaction(producer));
    check("offsets",
          rd_kafka_send_offsets_to_transaction(producer, tick_offsets, group, 30000));
    STAILQ_FOREACH (cmd, &tick, link)
        produce(cmd);
    check("commit", rd_kafka_commit_transaction(producer, 30000));
    rd_kafka_consumer_group_metadata_destroy(group);
}

static void *tick_thread(void *arg)
{
    static const uint64_t one = 1;

    (void)arg;
    for (;;) {
        (void)pthread_mutex_lock(&mutex);
        while (tick_busy != 1)
            (void)pthread_cond_wait(&go, &mutex);
        (void)pthread_mutex_unlock(&mutex);
        run_tick();
        (void)pthread_mutex_lock(&mutex);
        tick_busy = 2;
        (void)pthread_mutex_unlock(&mutex);
        if (write(tick_fd, &one, sizeof(one)) < 0)
            err(1, "eventfd");
    }
    return NULL;
}

static void open_kafka(const char *brokers, const char *group, const char *topic)
{
    pthread_t thread;

    tick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    watch(tick_fd, EPOLLIN);
    open_producer(brokers, group, topic);
    open_consumer(brokers, group);
    if (pthread_create(&thread, NULL, tick_thread, NULL) != 0)
        errx(1, "no thread");
}

static void take_offsets(void)
{
    int32_t p;

    tick_offsets = rd_kafka_topic_partition_list_new(PARTITIONS_MAX);
    for (p = 0; p < PARTITIONS_MAX; p++) {
        struct part *part = &parts[p];

        if (!part->touched)
            continue;
        part->touched = false;
        for (; part->done[part->line % WINDOW]; part->line++)
            part->done[part->line % WINDOW] = false;
        rd_kafka_topic_partition_list_add(tick_offsets, commands, p)->offset = part->line;
    }
}

static void start_tick(void)
{
    struct cmd *cmd;

    STAILQ_CONCAT(&tick, &answered);
    n_answered = 0;
    STAILQ_FOREACH (cmd, &tick, link) {
        struct part *part = &parts[cmd->msg->partition];

        part->done[cmd->msg->offset % WINDOW] = true;
        part->touched = true;
    }
    take_offsets();
    tick_started_ms = now_ms();
    (void)pthread_mutex_lock(&mutex);
    tick_busy = 1;
    (void)pthread_cond_signal(&go);
    (void)pthread_mutex_unlock(&mutex);
}

static void end_tick(void)
{
    struct cmd *cmd;

    while ((cmd = STAILQ_FIRST(&tick)) != NULL) {
        STAILQ_REMOVE_HEAD(&tick, link);
        rd_kafka_message_destroy(cmd->msg);
        mem_free(cmd->value);
        mem_free(cmd);
    }
    rd_kafka_topic_partition_list_destroy(tick_offsets);
    (void)pthread_mutex_lock(&mutex);
    tick_busy = 0;
    (void)pthread_mutex_unlock(&mutex);
}

/* When the next tick is due; -1: an event will come first. */
static int64_t tick_due_ms(void)
{
    int busy;

    (void)pthread_mutex_lock(&mutex);
    busy = tick_busy;
    (void)pthread_mutex_unlock(&mutex);
    if (busy == 2)
        end_tick();
    if (busy == 1 || n_answered == 0)
        return -1;
    return n_answered >= TICK_FULL ? 0 : tick_started_ms + TICK_MS;
}

/* ---- the loop ---- */

static void handle(const struct epoll_event *ev)
{
    int fd = ev->data.fd, running, what = 0;
    uint64_t count;

    if (fd == records_fd || fd == tick_fd) {
        while (read(fd, &count, sizeof(count)) < 0 && errno == EINTR)
            continue;
        return;
    }
    if (watches[fd].wanted == 0) { /* an idle connection was closed by the other side */
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        watches[fd].registered = 0;
        return;
    }
    what |= (ev->events & EPOLLIN) != 0 ? CURL_CSELECT_IN : 0;
    what |= (ev->events & EPOLLOUT) != 0 ? CURL_CSELECT_OUT : 0;
    what |= (ev->events & (EPOLLERR | EPOLLHUP)) != 0 ? CURL_CSELECT_ERR : 0;
    (void)curl_multi_socket_action(multi, fd, what, &running);
}

static int wait_ms(int64_t tick_due)
{
    int64_t until = tick_due < 0 || (curl_due_ms >= 0 && curl_due_ms < tick_due)
                        ? curl_due_ms
                        : tick_due;
    int64_t left = until - now_ms();

    if (!STAILQ_EMPTY(&waiting) && !STAILQ_EMPTY(&free_places))
        return 0;
    return until < 0 ? 1000 : left < 0 ? 0 : (int)left;
}

static void turn(void)
{
    struct epoll_event events[EVENTS];
    int i, n, running;
    int64_t due = tick_due_ms();

    if (due >= 0 && due <= now_ms()) {
        start_tick();
        due = -1;
    }
    n = epoll_wait(epoll_fd, events, EVENTS, wait_ms(due));
    for (i = 0; i < n; i++)
        handle(&events[i]);
    end_calls();
    accept_records();
    start_calls();
    if (started || (curl_due_ms >= 0 && curl_due_ms <= now_ms())) {
        started = false;
        curl_due_ms = -1;
        (void)curl_multi_socket_action(multi, CURL_SOCKET_TIMEOUT, 0, &running);
        end_calls(); /* a fast answer may have come already: no event will tell */
    }
}
