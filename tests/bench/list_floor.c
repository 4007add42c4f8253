/* The floor of the benchmark's long list: pages fetched by libcurl one after another,
 * each item written by librdkafka, one transaction per page that carries an offset. No
 * Avro, no look into the items, no checks: any trouble ends it.
 *
 *   list_floor BROKERS TOPIC GROUP URL VALUE_BYTES
 *
 * Prints "done" and the number of items, then waits to be killed. A record's value is the
 * item as it came, filled up to VALUE_BYTES; its key the id. */
#include <curl/curl.h>
#include <err.h>
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"

enum { PAGE_MAX = 128 * 1024, ID_BYTES = 12 };

static char page[PAGE_MAX];
static size_t page_len, value_bytes;
static rd_kafka_t *producer;
static rd_kafka_topic_t *topic;

static void check(const char *what, rd_kafka_error_t *error)
{
    if (error != NULL)
        errx(1, "%s: %s", what, rd_kafka_error_string(error));
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[200];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK)
        errx(1, "%s", text);
}

static void open_kafka(const char *brokers, const char *name, const char *group)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[200];

    set(conf, "bootstrap.servers", brokers);
    set(conf, "transactional.id", group);
    set(conf, "delivery.report.only.error", "true");
    set(conf, "retry.backoff.ms", "2");
    set(conf, "linger.ms", "5");
    set(conf, "compression.type", "lz4");
    producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    if (producer == NULL)
        errx(1, "%s", text);
    topic = rd_kafka_topic_new(producer, name, NULL);
    check("init_transactions", rd_kafka_init_transactions(producer, 30000));
}

static size_t on_body(char *data, size_t size, size_t n, void *arg)
{
    (void)arg;
    n *= size;
    if (page_len + n >= sizeof(page))
        errx(1, "the page is too large");
    memcpy(page + page_len, data, n);
    page_len += n;
    page[page_len] = '\0';
    return n;
}

static void produce(const char *item, size_t len)
{
    static const char mark[] = "/contacts/";
    char *value = mem_zalloc(value_bytes > len ? value_bytes : len);
    const char *id = strstr(item, mark);

    if (id == NULL)
        errx(1, "an item without an id");
    memcpy(value, item, len);
    if (rd_kafka_produce(topic, RD_KAFKA_PARTITION_UA, RD_KAFKA_MSG_F_FREE, value,
                         value_bytes > len ? value_bytes : len, id + sizeof(mark) - 1,
                         ID_BYTES, NULL) != 0)
        errx(1, "produce: %s", rd_kafka_err2str(rd_kafka_last_error()));
}

/* The items of the page; items begin alike. */
static size_t produce_page(void)
{
    static const char begin[] = "{\"_links\":";
    const char *item = strstr(page, begin), *next;
    size_t n = 0;

    for (; item != NULL; item = next, n++) {
        next = strstr(item + 1, begin);
        produce(item, next != NULL ? (size_t)(next - item) - 1 : strlen(item) - 2);
    }
    return n;
}

/* True: `url` is the next page's. */
static bool next_page(char *url, size_t size)
{
    static const char begin[] = "\"next\":\"";
    const char *next = strstr(page, begin), *end;

    if (next == NULL)
        return false;
    next += sizeof(begin) - 1;
    end = strchr(next, '"');
    if (end == NULL || (size_t)(end - next) >= size)
        errx(1, "a bad page");
    memcpy(url, next, (size_t)(end - next));
    url[end - next] = '\0';
    return true;
}

int main(int argc, char **argv)
{
    rd_kafka_consumer_group_metadata_t *group;
    rd_kafka_topic_partition_list_t *offsets;
    unsigned long items = 0;
    char url[300];
    CURL *easy;

    if (argc != 6)
        errx(2, "BROKERS TOPIC GROUP URL VALUE_BYTES");
    value_bytes = strtoul(argv[5], NULL, 10);
    (void)curl_global_init(CURL_GLOBAL_ALL);
    easy = curl_easy_init();
    (void)curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, on_body);
    (void)curl_easy_setopt(easy, CURLOPT_PROXY, "");
    open_kafka(argv[1], argv[2], argv[3]);
    group = rd_kafka_consumer_group_metadata_new(argv[3]);
    offsets = rd_kafka_topic_partition_list_new(1);
    (void)snprintf(url, sizeof(url), "%s/contacts?limit=100", argv[4]);
    do {
        page_len = 0;
        (void)curl_easy_setopt(easy, CURLOPT_URL, url);
        if (curl_easy_perform(easy) != CURLE_OK)
            errx(1, "GET %s failed", url);
        check("begin", rd_kafka_begin_transaction(producer));
        if (offsets->cnt == 0)
            (void)rd_kafka_topic_partition_list_add(offsets, argv[2], 0);
        offsets->elems[0].offset = (int64_t)items;
        check("offsets",
              rd_kafka_send_offsets_to_transaction(producer, offsets, group, -1));
        items += produce_page();
        check("commit", rd_kafka_commit_transaction(producer, -1));
    } while (next_page(url, sizeof(url)));
    printf("done %lu\n", items);
    (void)fflush(stdout);
    for (;;)
        (void)pause();
}
