/* Records out of librdkafka's events without copying their bytes, headers into it, and
 * the names of topics. Owns: the event of every record taken, until it is released; the
 * names, until names_fini. Invariant: one name, one pointer. */
#include "kafka/internal.h"

#include <string.h>

#include "base/mem.h"

struct name {
    UT_hash_handle hh;
    char text[];
};

/* What a record borrows from. */
struct held {
    rd_kafka_event_t *event;
    int *lent;
    struct kafka_header headers[];
};

static struct held *hold(int *lent, rd_kafka_event_t *event,
                         const rd_kafka_message_t *msg, struct kafka_record *rec);

void names_fini(struct names *ns)
{
    struct name *name, *next;

    HASH_ITER (hh, ns->by_text, name, next) {
        HASH_DEL(ns->by_text, name);
        mem_free(name);
    }
}

const char *names_intern(struct names *ns, const char *text)
{
    struct name *name = NULL;
    size_t len = strlen(text);

    HASH_FIND(hh, ns->by_text, text, len, name);
    if (name == NULL) {
        name = mem_zalloc(sizeof(*name) + len + 1);
        memcpy(name->text, text, len);
        HASH_ADD_KEYPTR(hh, ns->by_text, name->text, len, name);
    }
    return name->text;
}

bool record_take(struct names *ns, int *lent, rd_kafka_event_t *event,
                 struct kafka_record *rec)
{
    const rd_kafka_message_t *msg = rd_kafka_event_message_next(event);
    rd_kafka_timestamp_type_t stamp;

    if (msg == NULL) {
        rd_kafka_event_destroy(event);
        return false;
    }
    *rec = (struct kafka_record){
        .at = {names_intern(ns, rd_kafka_topic_name(msg->rkt)), msg->partition},
        .offset = msg->offset,
        .timestamp_ms = rd_kafka_message_timestamp(msg, &stamp),
        .key = {msg->key, msg->key_len},
        .value = {msg->payload, msg->len},
    };
    if (stamp == RD_KAFKA_TIMESTAMP_NOT_AVAILABLE)
        rec->timestamp_ms = -1;
    rec->handle = hold(lent, event, msg, rec);
    return true;
}

void record_release(struct kafka_record *rec)
{
    struct held *held = rec->handle;

    if (held == NULL)
        return;
    rd_kafka_event_destroy(held->event);
    --*held->lent;
    mem_free(held);
    *rec = (struct kafka_record){.handle = NULL};
}

rd_kafka_headers_t *headers_new(const struct kafka_header *headers, size_t n)
{
    rd_kafka_headers_t *list = rd_kafka_headers_new(n);
    size_t i;

    for (i = 0; i < n; i++) {
        const struct kafka_header *h = &headers[i];

        /* Fails only for a list that is read-only. */
        (void)rd_kafka_header_add(list, h->name.ptr, (ssize_t)h->name.len, h->value.ptr,
                                  h->value.ptr == NULL ? -1 : (ssize_t)h->value.len);
    }
    return list;
}

static struct held *hold(int *lent, rd_kafka_event_t *event,
                         const rd_kafka_message_t *msg, struct kafka_record *rec)
{
    rd_kafka_headers_t *headers = NULL;
    size_t n = rd_kafka_message_headers(msg, &headers) == RD_KAFKA_RESP_ERR_NO_ERROR
                   ? rd_kafka_header_cnt(headers)
                   : 0;
    struct held *held = mem_alloc(sizeof(*held) + n * sizeof(held->headers[0]));
    size_t i;

    held->event = event;
    held->lent = lent;
    ++*lent;
    for (i = 0; i < n; i++) {
        const char *name = NULL;
        const void *value = NULL;
        size_t size = 0;

        /* Fails only for an index beyond the count. */
        (void)rd_kafka_header_get_all(headers, i, &name, &value, &size);
        held->headers[i] = (struct kafka_header){str_of(name), {value, size}};
    }
    rec->headers = held->headers;
    rec->n_headers = n;
    return held;
}
