/* Topics that are missing: an admin request that is begun, and asked for its end as often
 * as one likes. Owns its queue. Invariant: nothing here waits unless it is told how long.
 */
#include "kafka/internal.h"

#include "base/mem.h"

struct creation {
    rd_kafka_queue_t *queue;
    bool ended;
};

static rd_kafka_NewTopic_t *new_topic(const struct kafka_new_topic *topic, struct err *e);
static int judge(rd_kafka_event_t *event, struct err *e);
static int failed(struct err *e, rd_kafka_resp_err_t code, const char *topic,
                  const char *why);

struct creation *creation_begin(rd_kafka_t *rk, const struct kafka_new_topic *topics,
                                size_t n, struct err *e)
{
    /* NewTopic_new takes every value but a bad count */
    rd_kafka_NewTopic_t **list = mem_array(n, sizeof(*list));
    struct creation *c = NULL;
    size_t made = 0;

    while (made < n) {
        list[made] = new_topic(&topics[made], e);
        if (list[made] == NULL)
            break;
        made++;
    }
    if (made == n) {
        c = mem_zalloc(sizeof(*c));
        c->queue = rd_kafka_queue_new(rk);
        rd_kafka_CreateTopics(rk, list, n, NULL, c->queue);
    }
    rd_kafka_NewTopic_destroy_array(list, made);
    mem_free(list);
    return c;
}

int creation_poll(struct creation *c, int timeout_ms, struct err *e)
{
    rd_kafka_event_t *event = rd_kafka_queue_poll(c->queue, timeout_ms);
    int rc;

    if (event == NULL)
        return err_set(e, ERR_BUSY, "topics are not created yet");
    c->ended = true;
    rc = judge(event, e);
    rd_kafka_event_destroy(event);
    return rc;
}

bool creation_ended(const struct creation *c)
{
    return c->ended;
}

void creation_free(struct creation *c)
{
    if (c == NULL)
        return;
    rd_kafka_queue_destroy(c->queue);
    mem_free(c);
}

static rd_kafka_NewTopic_t *new_topic(const struct kafka_new_topic *topic, struct err *e)
{
    char text[200] = "";
    rd_kafka_NewTopic_t *row = rd_kafka_NewTopic_new(
        topic->topic, topic->partitions, topic->replication, text, sizeof(text));

    if (row == NULL)
        (void)err_set(e, ERR_SETTINGS, "topic %s: %s", topic->topic, text);
    else if (topic->compacted)
        /* Refuses an empty name only. */
        (void)rd_kafka_NewTopic_set_config(row, "cleanup.policy", "compact");
    for (size_t i = 0; row != NULL && i < topic->n_configs; i++)
        (void)rd_kafka_NewTopic_set_config(row, topic->configs[i].name,
                                           topic->configs[i].value);
    return row;
}

/* One that exists already, somebody else was quicker, is fine. */
static int judge(rd_kafka_event_t *event, struct err *e)
{
    const rd_kafka_CreateTopics_result_t *result =
        rd_kafka_event_CreateTopics_result(event);
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    const rd_kafka_topic_result_t **rows;
    size_t n = 0;
    size_t i;

    if (result == NULL || code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return failed(e, code, "topics", rd_kafka_event_error_string(event));
    rows = rd_kafka_CreateTopics_result_topics(result, &n);
    for (i = 0; i < n; i++) {
        code = rd_kafka_topic_result_error(rows[i]);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR &&
            code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS)
            return failed(e, code, rd_kafka_topic_result_name(rows[i]),
                          rd_kafka_topic_result_error_string(rows[i]));
    }
    return 0;
}

static int failed(struct err *e, rd_kafka_resp_err_t code, const char *topic,
                  const char *why)
{
    return err_set(e, error_is_passing(code) ? ERR_BUSY : ERR_SYSTEM, "%s: %s", topic,
                   why != NULL ? why : rd_kafka_err2str(code));
}
