/* Reading a stretch of a partition that is not the group's: on the Kafka thread, in short
 * slices between other work. Owns one read_committed handle that never joins its group.
 * Invariant: what a page holds is copied, so nothing of the handle outlives the call. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "kafka/internal.h"

enum { PAGE_RECORDS = 500, PAGE_BYTES = 4 * 1024 * 1024, SLICE_MS = 100 };

struct reader {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    struct names names;
    struct kafka_partition at; /* topic NULL: nothing assigned */
    int64_t next;              /* the offset that the next record is at or behind */
};

static int seek(struct reader *r, struct kafka_partition at, int64_t offset,
                struct err *e);
static int take_error(struct reader *r, rd_kafka_event_t *event, struct err *e);
static void take_record(struct reader *r, rd_kafka_event_t *event, struct page *page);

struct reader *reader_new(const struct kafka_options *o, struct err *e)
{
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_READER, true, e);
    struct reader *r;

    if (conf == NULL)
        return NULL;
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_FETCH | RD_KAFKA_EVENT_ERROR);
    r = mem_zalloc(sizeof(*r));
    r->rk = client_new(CLIENT_READER, conf, e);
    if (r->rk == NULL) {
        mem_free(r);
        return NULL;
    }
    (void)rd_kafka_poll_set_consumer(r->rk); /* fails for producers only */
    r->queue = rd_kafka_queue_get_consumer(r->rk);
    return r;
}

void reader_free(struct reader *r)
{
    if (r == NULL)
        return;
    rd_kafka_queue_destroy(r->queue);
    rd_kafka_destroy_flags(r->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    names_fini(&r->names);
    mem_free(r);
}

int reader_page(struct reader *r, struct kafka_partition at, int64_t to,
                struct page *page, struct err *e)
{
    bool same = r->at.topic == names_intern(&r->names, at.topic) &&
                r->at.partition == at.partition;

    if ((!same || r->next != page->next) && seek(r, at, page->next, e) != 0)
        return -1;
    while (page->next < to && page->n < PAGE_RECORDS && page->arena.used < PAGE_BYTES) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(r->queue, SLICE_MS);
        int rc = 0;

        if (event == NULL)
            return page->n > 0 ? 0 : err_set(e, ERR_BUSY, "nothing came yet");
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_FETCH)
            take_record(r, event, page);
        else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
            rc = take_error(r, event, e);
        rd_kafka_event_destroy(event);
        if (rc != 0)
            return -1;
        page->next = r->next;
    }
    return 0;
}

void page_fini(struct page *page)
{
    arena_fini(&page->arena);
    mem_free(page->records);
    page->records = NULL;
}

static int seek(struct reader *r, struct kafka_partition at, int64_t offset,
                struct err *e)
{
    rd_kafka_topic_partition_list_t *list = partition_list(at, offset);
    rd_kafka_resp_err_t code;

    (void)rd_kafka_assign(r->rk, NULL); /* its position is trusted only after that */
    code = rd_kafka_assign(r->rk, list);
    rd_kafka_topic_partition_list_destroy(list);
    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return err_set(e, ERR_SYSTEM, "assign: %s", rd_kafka_err2str(code));
    r->at = (struct kafka_partition){names_intern(&r->names, at.topic), at.partition};
    r->next = offset;
    return 0;
}

/* At the end of the partition the handle's position has passed what cannot be read:
 * control records and aborted ones. */
static int take_error(struct reader *r, rd_kafka_event_t *event, struct err *e)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    rd_kafka_topic_partition_t *at = rd_kafka_event_topic_partition(event);
    bool of_partition = at != NULL;
    bool ours = of_partition && at->partition == r->at.partition;
    rd_kafka_topic_partition_list_t *list =
        partition_list(r->at, RD_KAFKA_OFFSET_INVALID);

    if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF && ours) {
        if (at->offset > r->next)
            r->next = at->offset;
        if (rd_kafka_position(r->rk, list) == RD_KAFKA_RESP_ERR_NO_ERROR &&
            list->elems[0].offset > r->next)
            r->next = list->elems[0].offset;
    }
    rd_kafka_topic_partition_list_destroy(list);
    if (at != NULL) /* none when it is about a broker */
        rd_kafka_topic_partition_destroy(at);
    if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF || !of_partition ||
        error_is_passing(code))
        return 0;
    r->at.topic = NULL;
    return err_set(e, ERR_SYSTEM, "%s", rd_kafka_event_error_string(event));
}

static void take_record(struct reader *r, rd_kafka_event_t *event, struct page *page)
{
    const rd_kafka_message_t *msg = rd_kafka_event_message_next(event);
    struct kafka_record *rec;

    if (msg == NULL || msg->partition != r->at.partition || msg->offset < r->next)
        return; /* of what was assigned before */
    if (page->records == NULL)
        page->records = mem_array(PAGE_RECORDS, sizeof(page->records[0]));
    rec = &page->records[page->n++];
    *rec = (struct kafka_record){.at = r->at, .offset = msg->offset};
    if (msg->key != NULL)
        rec->key = (struct str){arena_strndup(&page->arena, msg->key, msg->key_len),
                                msg->key_len};
    if (msg->payload != NULL)
        rec->value =
            (struct str){arena_strndup(&page->arena, msg->payload, msg->len), msg->len};
    r->next = msg->offset + 1;
}
