/* Reading a stretch of a partition that is not the group's: on the Kafka thread, in short
 * slices between other work. Owns one read_committed handle that never joins its group;
 * of each partition that is read a place, with a queue of its own. To begin to fetch
 * takes librdkafka some hundred milliseconds: so what is followed keeps its place for a
 * while. Invariant: what a page holds is copied, so nothing of the handle outlives the
 * call. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "kafka/internal.h"

enum {
    PAGE_RECORDS = 500,
    PAGE_BYTES = 4 * 1024 * 1024,
    SLICE_MS = 100,
    PLACES_MAX = 64,
    PLACE_IDLE_MS = 10000 /* its records are fetched in advance, and take memory */
};

struct place {
    struct kafka_partition at;
    int64_t next; /* the offset that the next record is at or behind */
    rd_kafka_queue_t *queue;
    bool followed;
    int64_t used_ms;
};

struct reader {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue; /* of what is no partition's */
    struct names names;
    struct place places[PLACES_MAX];
    size_t n_places;
};

static struct place *find(struct reader *r, struct kafka_partition at);
static struct place *open_place(struct reader *r, struct kafka_partition at,
                                int64_t offset, struct err *e);
static void close_place(struct reader *r, struct place *pl);
static int assign(struct reader *r, struct place *pl, bool on, struct err *e);
static void make_room(struct reader *r);
static int drain(struct reader *r, struct err *e);
static int take_error(struct reader *r, struct place *pl, rd_kafka_event_t *event,
                      struct err *e);
static void take_record(struct place *pl, rd_kafka_event_t *event, struct page *page);

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
    while (r->n_places > 0)
        close_place(r, &r->places[0]);
    rd_kafka_queue_destroy(r->queue);
    rd_kafka_destroy_flags(r->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    names_fini(&r->names);
    mem_free(r);
}

int reader_page(struct reader *r, struct kafka_partition at, int64_t to, bool follow,
                struct page *page, struct err *e)
{
    struct place *pl = find(r, at);

    if (drain(r, e) != 0)
        return -1;
    if (pl != NULL && pl->next != page->next) {
        close_place(r, pl);
        pl = NULL;
    }
    if (pl == NULL)
        pl = open_place(r, at, page->next, e);
    if (pl == NULL)
        return -1;
    pl->followed = follow;
    pl->used_ms = clock_now(&clock_system);
    while (page->next < to && page->n < PAGE_RECORDS && page->arena.used < PAGE_BYTES) {
        rd_kafka_event_t *event = rd_kafka_queue_poll(pl->queue, SLICE_MS);
        int rc = 0;

        if (event == NULL)
            return page->n > 0 ? 0 : err_set(e, ERR_BUSY, "nothing came yet");
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_FETCH)
            take_record(pl, event, page);
        else if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
            rc = take_error(r, pl, event, e);
        rd_kafka_event_destroy(event);
        if (rc != 0)
            return -1;
        page->next = pl->next;
    }
    if (page->next >= to && !follow)
        close_place(r, pl);
    return 0;
}

void reader_idle(struct reader *r)
{
    int64_t now = clock_now(&clock_system);

    for (size_t i = r != NULL ? r->n_places : 0; i-- > 0;)
        if (now - r->places[i].used_ms >= PLACE_IDLE_MS)
            close_place(r, &r->places[i]);
}

void page_fini(struct page *page)
{
    arena_fini(&page->arena);
    mem_free(page->records);
    page->records = NULL;
}

static struct place *find(struct reader *r, struct kafka_partition at)
{
    const char *topic = names_intern(&r->names, at.topic);

    for (size_t i = 0; i < r->n_places; i++)
        if (r->places[i].at.topic == topic && r->places[i].at.partition == at.partition)
            return &r->places[i];
    return NULL;
}

/* NULL: failed. Only what is followed stays beside it. */
static struct place *open_place(struct reader *r, struct kafka_partition at,
                                int64_t offset, struct err *e)
{
    struct place *pl;

    make_room(r);
    pl = &r->places[r->n_places++];
    *pl = (struct place){.at = {names_intern(&r->names, at.topic), at.partition},
                         .next = offset};
    pl->queue = rd_kafka_queue_get_partition(r->rk, at.topic, at.partition);
    if (pl->queue == NULL) {
        r->n_places--;
        (void)err_set(e, ERR_SYSTEM, "%s/%d has no queue", at.topic, at.partition);
        return NULL;
    }
    rd_kafka_queue_forward(pl->queue, NULL); /* before it fetches: it stays so */
    if (assign(r, pl, true, e) == 0)
        return pl;
    rd_kafka_queue_destroy(pl->queue);
    r->n_places--;
    return NULL;
}

static void make_room(struct reader *r)
{
    struct place *oldest = NULL;

    for (size_t i = r->n_places; i-- > 0;)
        if (!r->places[i].followed)
            close_place(r, &r->places[i]);
    if (r->n_places < PLACES_MAX)
        return;
    for (size_t i = 0; i < r->n_places; i++)
        if (oldest == NULL || r->places[i].used_ms < oldest->used_ms)
            oldest = &r->places[i];
    close_place(r, oldest);
}

static void close_place(struct reader *r, struct place *pl)
{
    struct err e = ERR_INIT;

    (void)assign(r, pl, false, &e); /* it is fetched no more, or never was */
    rd_kafka_queue_destroy(pl->queue);
    *pl = r->places[--r->n_places];
}

static int assign(struct reader *r, struct place *pl, bool on, struct err *e)
{
    rd_kafka_topic_partition_list_t *list = partition_list(pl->at, pl->next);
    rd_kafka_error_t *error = on ? rd_kafka_incremental_assign(r->rk, list)
                                 : rd_kafka_incremental_unassign(r->rk, list);

    rd_kafka_topic_partition_list_destroy(list);
    if (error == NULL)
        return 0;
    (void)err_set(e, ERR_SYSTEM, "assign: %s", rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return -1;
}

/* What is said of no partition: brokers that went are tried again by the library. */
static int drain(struct reader *r, struct err *e)
{
    rd_kafka_event_t *event;
    int rc = 0;

    while (rc == 0 && (event = rd_kafka_queue_poll(r->queue, 0)) != NULL) {
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
            rc = take_error(r, NULL, event, e);
        rd_kafka_event_destroy(event);
    }
    return rc;
}

/* At the end of the partition the handle's position has passed what cannot be read:
 * control records and aborted ones. */
static int take_error(struct reader *r, struct place *pl, rd_kafka_event_t *event,
                      struct err *e)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    rd_kafka_topic_partition_t *at = rd_kafka_event_topic_partition(event);
    bool of_partition = at != NULL;

    if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF && of_partition && pl != NULL) {
        rd_kafka_topic_partition_list_t *list =
            partition_list(pl->at, RD_KAFKA_OFFSET_INVALID);
        if (at->offset > pl->next)
            pl->next = at->offset;
        if (rd_kafka_position(r->rk, list) == RD_KAFKA_RESP_ERR_NO_ERROR &&
            list->elems[0].offset > pl->next)
            pl->next = list->elems[0].offset;
        rd_kafka_topic_partition_list_destroy(list);
    }
    if (at != NULL) /* none when it is about a broker */
        rd_kafka_topic_partition_destroy(at);
    if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF || !of_partition ||
        error_is_passing(code))
        return 0;
    (void)err_set(e, ERR_SYSTEM, "%s", rd_kafka_event_error_string(event));
    if (pl != NULL)
        close_place(r, pl);
    return -1;
}

static void take_record(struct place *pl, rd_kafka_event_t *event, struct page *page)
{
    const rd_kafka_message_t *msg = rd_kafka_event_message_next(event);
    struct kafka_record *rec;

    if (msg == NULL || msg->offset < pl->next)
        return; /* of what was fetched before */
    if (page->records == NULL)
        page->records = mem_array(PAGE_RECORDS, sizeof(page->records[0]));
    rec = &page->records[page->n++];
    *rec = (struct kafka_record){.at = pl->at, .offset = msg->offset};
    if (msg->key != NULL)
        rec->key = (struct str){arena_strndup(&page->arena, msg->key, msg->key_len),
                                msg->key_len};
    if (msg->payload != NULL)
        rec->value =
            (struct str){arena_strndup(&page->arena, msg->payload, msg->len), msg->len};
    pl->next = msg->offset + 1;
}
