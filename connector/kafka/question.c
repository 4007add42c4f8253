/* Questions that wait for a broker: asked on the Kafka thread, or by tools before a loop
 * runs. Owns nothing. Invariant: an answer counts only when the call and its element both
 * say so, since a call that timed out leaves elements that look like answers. */
#include "kafka/internal.h"

#include <string.h>

#include "base/mem.h"

static int failed(struct err *e, rd_kafka_resp_err_t code, const char *what);
static int64_t number_of(rd_kafka_event_t *event, const char *key);
static bool has_controller(rd_kafka_t *rk, const struct rd_kafka_metadata *md);

int question_brokers(rd_kafka_t *rk, int timeout_ms, struct err *e)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 0, NULL, &md, timeout_ms);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return failed(e, code, "no broker answers");
    rd_kafka_metadata_destroy(md);
    return 0;
}

int question_topic(rd_kafka_t *rk, const char *topic, int timeout_ms, int32_t *count,
                   int64_t *max_bytes, struct err *e)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);
    rd_kafka_resp_err_t code;
    bool asks = false;

    *count = 0;
    *max_bytes = -1;
    if (handle == NULL)
        return 0; /* no topic can have this name */
    code = rd_kafka_metadata(rk, 0, handle, &md, timeout_ms);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && md->topic_cnt == 1) {
        code = md->topics[0].err;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            *count = md->topics[0].partition_cnt;
    }
    if (md != NULL) {
        asks = has_controller(rk, md);
        rd_kafka_metadata_destroy(md);
    }
    rd_kafka_topic_destroy(handle);
    if (code == RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART ||
        code == RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION)
        return 0;
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return failed(e, code, topic);
    if (asks)
        *max_bytes = question_number(rk, RD_KAFKA_RESOURCE_TOPIC, topic,
                                     "max.message.bytes", timeout_ms);
    return 0;
}

int64_t question_number(rd_kafka_t *rk, rd_kafka_ResourceType_t type, const char *name,
                        const char *key, int timeout_ms)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(rk);
    rd_kafka_ConfigResource_t *resource = rd_kafka_ConfigResource_new(type, name);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(rk, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    char text[100];
    rd_kafka_event_t *event;
    int64_t number = -1;

    /* Refuses only values out of range. */
    (void)rd_kafka_AdminOptions_set_request_timeout(options, timeout_ms, text,
                                                    sizeof(text));
    rd_kafka_DescribeConfigs(rk, &resource, 1, options, queue);
    event = rd_kafka_queue_poll(queue, timeout_ms + 1000);
    if (event != NULL)
        number = number_of(event, key);
    rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy(resource);
    rd_kafka_queue_destroy(queue);
    return number;
}

int32_t question_broker(rd_kafka_t *rk, int timeout_ms)
{
    const struct rd_kafka_metadata *md = NULL;
    int32_t id = -1;

    if (rd_kafka_metadata(rk, 0, NULL, &md, timeout_ms) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        if (md->broker_cnt > 0 && has_controller(rk, md))
            id = md->brokers[0].id;
        rd_kafka_metadata_destroy(md);
    }
    return id;
}

int question_offset(rd_kafka_t *rk, struct kafka_partition at, int64_t offset,
                    int timeout_ms, int64_t *answer, struct err *e)
{
    rd_kafka_topic_partition_list_t *list = partition_list(at, offset);
    rd_kafka_resp_err_t code = rd_kafka_offsets_for_times(rk, list, timeout_ms);

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = list->elems[0].err;
    *answer = list->elems[0].offset;
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return failed(e, code, "offsets");
    /* -1 is the honest answer to a time after the last record only. */
    if (*answer < 0 && offset < 0)
        return failed(e, RD_KAFKA_RESP_ERR__TIMED_OUT, "offsets");
    return 0;
}

int question_committed(rd_kafka_t *rk, struct kafka_partition at, int timeout_ms,
                       int64_t *offset, char **metadata, size_t *metadata_len,
                       struct err *e)
{
    rd_kafka_topic_partition_list_t *list = partition_list(at, RD_KAFKA_OFFSET_INVALID);
    rd_kafka_resp_err_t code = rd_kafka_committed(rk, list, timeout_ms);
    const rd_kafka_topic_partition_t *part = &list->elems[0];

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = part->err;
    *offset = part->offset < 0 ? KAFKA_NO_OFFSET : part->offset;
    *metadata = NULL;
    *metadata_len = 0;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR && part->metadata_size > 0) {
        *metadata =
            mem_strndup(part->metadata, part->metadata_size); /* not terminated there */
        *metadata_len = part->metadata_size;
    }
    rd_kafka_topic_partition_list_destroy(list);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : failed(e, code, "committed offset");
}

static int failed(struct err *e, rd_kafka_resp_err_t code, const char *what)
{
    (void)err_set(e, error_is_passing(code) ? ERR_BUSY : ERR_SYSTEM, "%s: %s", what,
                  rd_kafka_err2str(code));
    e->code = code;
    return -1;
}

/* librdkafka's mock cluster names a controller that it does not have; an admin request
 * would wait for it until its time is up. */
static bool has_controller(rd_kafka_t *rk, const struct rd_kafka_metadata *md)
{
    int32_t id = rd_kafka_controllerid(rk, 0);
    int i;

    for (i = 0; i < md->broker_cnt; i++)
        if (md->brokers[i].id == id)
            return true;
    return id < 0; /* none now: a real cluster between two */
}

static int64_t number_of(rd_kafka_event_t *event, const char *key)
{
    const rd_kafka_DescribeConfigs_result_t *result =
        rd_kafka_event_DescribeConfigs_result(event);
    const rd_kafka_ConfigResource_t **resources;
    const rd_kafka_ConfigEntry_t **entries;
    struct err e = ERR_INIT;
    int64_t number = -1;
    size_t n_resources = 0;
    size_t n = 0;
    size_t i;

    if (result == NULL || rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return -1;
    resources = rd_kafka_DescribeConfigs_result_resources(result, &n_resources);
    if (n_resources != 1 ||
        rd_kafka_ConfigResource_error(resources[0]) != RD_KAFKA_RESP_ERR_NO_ERROR)
        return -1;
    entries = rd_kafka_ConfigResource_configs(resources[0], &n);
    for (i = 0; i < n; i++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[i]);

        if (strcmp(rd_kafka_ConfigEntry_name(entries[i]), key) == 0 && value != NULL &&
            parse_i64(str_of(value), 0, INT64_MAX, &number, &e) != 0)
            number = -1;
    }
    return number;
}
