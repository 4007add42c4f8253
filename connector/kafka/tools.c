/* What waits: preflight, `check`, `send`, `tail`. Never on the loop of a running engine.
 * Owns the handle it makes in each call; a reader owns its own until kafka_reader_free.
 */
#include "kafka/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
    SLICE_MS = 1000,
    QUESTION_MS = 10000,
    WAITING_EVERY_MS = 5000,
    CREATE_MS = 30000,
    PROOF_GROUP_MS = 10000,
    PROOF_INIT_MS = 60000,
    PROOF_FLUSH_MS = 15000
};

static rd_kafka_t *questions_new(const struct kafka_options *o, char *reason,
                                 struct err *e);
static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque);
static int ask_topic(rd_kafka_t *rk, struct kafka_topic_info *info);
static void know_topic(rd_kafka_t *rk, const char *topic);

/* --- reach, topics, create --- */

int kafka_reach_wait(const struct kafka_options *o, int64_t timeout_ms,
                     void (*waiting)(void *arg, const char *why), void *arg,
                     struct err *e)
{
    char reason[200] = "";
    rd_kafka_t *rk = questions_new(o, reason, e);
    int64_t start = clock_now(&clock_system);
    int64_t said = start;
    int rc = -1;

    if (rk == NULL)
        return -1;
    for (;;) {
        int64_t now = clock_now(&clock_system);
        int64_t left = timeout_ms < 0 ? SLICE_MS : timeout_ms - (now - start);

        rc = question_brokers(rk,
                              left < 1          ? 1
                              : left < SLICE_MS ? (int)left
                                                : SLICE_MS,
                              e);
        (void)rd_kafka_poll(rk, 0);
        now = clock_now(&clock_system);
        if (rc == 0 || (timeout_ms >= 0 && now - start >= timeout_ms))
            break;
        if (waiting != NULL && now - said >= WAITING_EVERY_MS) {
            said = now;
            waiting(arg, reason[0] != '\0' ? reason : e->text);
        }
        (void)rd_kafka_poll(rk, 100); /* a refused connection answers at once */
    }
    if (rc != 0 && reason[0] != '\0')
        (void)err_set(e, ERR_BUSY, "%s", reason);
    rd_kafka_destroy(rk);
    return rc;
}

int kafka_topics_wait(const struct kafka_options *o, struct kafka_topic_info *infos,
                      size_t n, struct err *e)
{
    rd_kafka_t *rk = questions_new(o, NULL, e);
    size_t i;

    if (rk == NULL)
        return -1;
    for (i = 0; i < n; i++)
        if (ask_topic(rk, &infos[i]) != 0)
            break;
    if (i < n)
        (void)err_set(e, ERR_BUSY, "topics: %s", infos[i].error);
    rd_kafka_destroy(rk);
    return i < n ? -1 : 0;
}

int kafka_create_topics_wait(const struct kafka_options *o,
                             const struct kafka_new_topic *topics, size_t n,
                             struct err *e)
{
    rd_kafka_t *rk = questions_new(o, NULL, e);
    struct creation *c;
    int rc = -1;

    if (rk == NULL)
        return -1;
    c = creation_begin(rk, topics, n, e);
    if (c != NULL)
        rc = creation_poll(c, CREATE_MS, e);
    creation_free(c);
    rd_kafka_destroy(rk);
    return rc;
}

/* `reason`: 200 bytes that are told what the library complains of, or NULL. */
static rd_kafka_t *questions_new(const struct kafka_options *o, char *reason,
                                 struct err *e)
{
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_QUESTIONS, true, e);

    if (conf == NULL)
        return NULL;
    if (reason != NULL) {
        rd_kafka_conf_set_opaque(conf, reason);
        rd_kafka_conf_set_error_cb(conf, on_error);
    }
    return client_new(CLIENT_QUESTIONS, conf, e);
}

static void on_error(rd_kafka_t *rk, int code, const char *reason, void *opaque)
{
    (void)rk;
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN)
        client_reason(reason, opaque, 200);
}

/* -1: the cluster does not answer; a missing right is an answer about this topic. */
static int ask_topic(rd_kafka_t *rk, struct kafka_topic_info *info)
{
    int64_t start = clock_now(&clock_system);
    struct err e = ERR_INIT;

    for (;;) {
        info->error[0] = '\0';
        if (question_topic(rk, info->topic, SLICE_MS, &info->partitions,
                           &info->max_message_bytes, &e) == 0)
            return 0;
        err_copy(&e, info->error, sizeof(info->error));
        if (e.kind != ERR_BUSY)
            return 0;
        if (clock_now(&clock_system) - start > QUESTION_MS)
            return -1;
        (void)rd_kafka_poll(rk, 100);
    }
}

/* Asks for the topic's partitions now: left to itself, the library looks for those of a
 * topic it meets once a second, and the start of the connector waits for that. No answer
 * is no harm; what comes next says what is wrong. */
static void know_topic(rd_kafka_t *rk, const char *topic)
{
    const struct rd_kafka_metadata *md = NULL;
    rd_kafka_topic_t *handle = rd_kafka_topic_new(rk, topic, NULL);

    if (handle == NULL)
        return;
    if (rd_kafka_metadata(rk, 0, handle, &md, SLICE_MS) == RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_metadata_destroy(md);
    rd_kafka_topic_destroy(handle);
}

/* --- prove transactions --- */

struct proof {
    const struct kafka_options *o;
    rd_kafka_t *rk;
    rd_kafka_topic_partition_list_t *offsets;
    rd_kafka_consumer_group_metadata_t *group;
    rd_kafka_resp_err_t report; /* the first delivery error */
};

static void on_proof_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque);
static int proof_group(const struct kafka_options *o, struct err *e);
static int proof_run(struct proof *p, struct err *e);
static int proof_init(struct proof *p, struct err *e);
static int proof_output(struct proof *p, const char *topic, struct err *e);
static int proof_failed(struct proof *p, rd_kafka_error_t *error, const char *topic,
                        struct err *e);

int kafka_prove_transactions_wait(const struct kafka_options *o, struct err *e)
{
    struct proof p = {.o = o};
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_PROOF, true, e);
    struct kafka_partition at = {o->topics[0], 0};
    int rc;

    if (conf == NULL)
        return -1;
    if (proof_group(o, e) != 0) {
        rd_kafka_conf_destroy(conf);
        return -1;
    }
    rd_kafka_conf_set_opaque(conf, &p);
    rd_kafka_conf_set_dr_msg_cb(conf, on_proof_report);
    p.rk = client_new(CLIENT_PROOF, conf, e);
    if (p.rk == NULL)
        return -1;
    /* An object without a member is not checked against the group's members, and an
     * aborted offset changes nothing: a running connector does not notice. */
    p.group = rd_kafka_consumer_group_metadata_new(o->group_id);
    p.offsets = partition_list(at, 0);
    rc = proof_run(&p, e);
    rd_kafka_topic_partition_list_destroy(p.offsets);
    rd_kafka_consumer_group_metadata_destroy(p.group);
    rd_kafka_destroy(p.rk);
    return rc;
}

/* Reads a position of the group without joining it. In a cluster that never had a group
 * this makes the coordinator, for which a producer would search in vain (see
 * connections.max.idle.ms). */
static int proof_group(const struct kafka_options *o, struct err *e)
{
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_GROUP, true, e);
    rd_kafka_t *rk = conf == NULL ? NULL : client_new(CLIENT_GROUP, conf, e);
    int64_t start = clock_now(&clock_system);
    struct kafka_partition at = {o->topics[0], 0};
    char *metadata = NULL;
    size_t len;
    int64_t offset;
    int rc = -1;

    if (rk == NULL)
        return -1;
    do {
        rc = question_committed(rk, at, SLICE_MS, &offset, &metadata, &len, e);
        mem_free(metadata);
    } while (rc != 0 && e->kind == ERR_BUSY &&
             clock_now(&clock_system) - start < PROOF_GROUP_MS);
    /* A refused group looks like one without a coordinator: the transaction tells them
     * apart. */
    if (rc != 0 && e->kind == ERR_BUSY)
        rc = 0;
    if (rc == 0)
        err_clear(e);
    else if (e->code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        (void)err_set(e, ERR_SETTINGS, "the right Read on group %s is missing",
                      o->group_id);
    else if (e->code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        (void)err_set(e, ERR_SETTINGS, "the right Read on topic %s is missing",
                      o->topics[0]);
    rd_kafka_destroy_flags(rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    return rc;
}

static int proof_run(struct proof *p, struct err *e)
{
    rd_kafka_error_t *error;
    size_t i;
    int rc;

    if (proof_init(p, e) != 0)
        return -1;
    error = rd_kafka_begin_transaction(p->rk);
    if (error == NULL)
        error = rd_kafka_send_offsets_to_transaction(p->rk, p->offsets, p->group, -1);
    if (error != NULL)
        return proof_failed(p, error, NULL, e);
    for (i = 0, rc = 0; i < p->o->n_outputs && rc == 0; i++)
        rc = proof_output(p, p->o->outputs[i], e);
    error = rd_kafka_abort_transaction(p->rk, -1);
    if (error == NULL)
        return rc;
    if (rc == 0)
        return proof_failed(p, error, NULL, e);
    rd_kafka_error_destroy(error); /* the first failure is the one to tell */
    return rc;
}

static int proof_init(struct proof *p, struct err *e)
{
    int64_t start = clock_now(&clock_system);

    for (;;) {
        rd_kafka_error_t *error = rd_kafka_init_transactions(p->rk, SLICE_MS);

        if (error == NULL)
            return 0;
        if (rd_kafka_error_is_retriable(error) != 1 ||
            clock_now(&clock_system) - start > PROOF_INIT_MS)
            return proof_failed(p, error, NULL, e);
        rd_kafka_error_destroy(error);
    }
}

/* One topic at a time, so that a refusal has a name. */
static int proof_output(struct proof *p, const char *topic, struct err *e)
{
    rd_kafka_error_t *error = NULL;
    rd_kafka_resp_err_t code;

    know_topic(p->rk, topic);
    code = rd_kafka_producev(p->rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
                             RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
                             RD_KAFKA_V_KEY(mem_unconst("front-connector check"), 21),
                             RD_KAFKA_V_VALUE(NULL, 0), RD_KAFKA_V_OPAQUE(NULL),
                             RD_KAFKA_V_END);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = rd_kafka_flush(p->rk, PROOF_FLUSH_MS);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        code = p->report;
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return 0;
    /* Once the transaction has failed, this call says why. */
    error = rd_kafka_send_offsets_to_transaction(p->rk, p->offsets, p->group, SLICE_MS);
    if (error == NULL)
        error = rd_kafka_error_new(code, "%s", rd_kafka_err2str(code));
    return proof_failed(p, error, topic, e);
}

static int proof_failed(struct proof *p, rd_kafka_error_t *error, const char *topic,
                        struct err *e)
{
    const struct kafka_options *o = p->o;
    rd_kafka_resp_err_t code = rd_kafka_error_code(error);
    const char *why = rd_kafka_error_string(error);

    if (code == RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
        (void)err_set(
            e, ERR_SETTINGS,
            "the right Write and Describe on the transactional.id %s.%s is missing",
            o->group_id, o->instance_id);
    else if (code == RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED)
        (void)err_set(e, ERR_SETTINGS, "the right Read on group %s is missing",
                      o->group_id);
    else if (code == RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED)
        (void)err_set(e, ERR_SETTINGS,
                      "the right IdempotentWrite on the cluster is missing");
    else if (code == RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED)
        (void)err_set(e, ERR_SETTINGS, "the right %s on topic %s is missing",
                      topic != NULL ? "Write" : "Read",
                      topic != NULL ? topic : o->topics[0]);
    else if (code == RD_KAFKA_RESP_ERR__UNSUPPORTED_FEATURE ||
             code == RD_KAFKA_RESP_ERR_UNSUPPORTED_VERSION)
        (void)err_set(e, ERR_SETTINGS,
                      "the brokers cannot do transactions (%s): set "
                      "delivery=at-least-once or use Kafka 2.5 or later",
                      why);
    else
        (void)err_set(e, error_is_passing(code) ? ERR_BUSY : ERR_SETTINGS,
                      "transactions: %s%s%s", topic != NULL ? topic : "",
                      topic != NULL ? ": " : "", why);
    e->code = code;
    rd_kafka_error_destroy(error);
    return -1;
}

static void on_proof_report(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    struct proof *p = opaque;

    (void)rk;
    if (p->report == RD_KAFKA_RESP_ERR_NO_ERROR)
        p->report = msg->err;
}

/* --- one record --- */

struct sent {
    bool reported;
    rd_kafka_resp_err_t code;
    int32_t partition;
    int64_t offset;
};

static void on_sent(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque);
static rd_kafka_resp_err_t send_one(rd_kafka_t *rk, const struct kafka_output *out);

int kafka_produce_wait(const struct kafka_options *o, struct kafka_output *out,
                       int64_t timeout_ms, int64_t *offset, struct err *e)
{
    struct sent sent = {.reported = false};
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_SENDER, true, e);
    int64_t end = clock_now(&clock_system) + timeout_ms;
    rd_kafka_t *rk;

    if (conf == NULL)
        return -1;
    rd_kafka_conf_set_opaque(conf, &sent);
    rd_kafka_conf_set_dr_msg_cb(conf, on_sent);
    rk = client_new(CLIENT_SENDER, conf, e);
    if (rk == NULL)
        return -1;
    sent.code = send_one(rk, out);
    while (sent.code == RD_KAFKA_RESP_ERR_NO_ERROR && !sent.reported &&
           clock_now(&clock_system) < end)
        (void)rd_kafka_flush(rk, 100); /* time-out: asked again */
    if (sent.code == RD_KAFKA_RESP_ERR_NO_ERROR && !sent.reported)
        sent.code = RD_KAFKA_RESP_ERR__TIMED_OUT;
    out->partition = sent.reported ? sent.partition : out->partition;
    *offset = sent.offset;
    if (sent.code != RD_KAFKA_RESP_ERR_NO_ERROR)
        (void)err_set(e, error_is_passing(sent.code) ? ERR_BUSY : ERR_SYSTEM, "%s: %s",
                      out->topic, rd_kafka_err2str(sent.code));
    (void)rd_kafka_purge(rk, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
    rd_kafka_destroy(rk);
    return sent.code == RD_KAFKA_RESP_ERR_NO_ERROR ? 0 : -1;
}

static rd_kafka_resp_err_t send_one(rd_kafka_t *rk, const struct kafka_output *out)
{
    rd_kafka_headers_t *headers = headers_new(out->headers, out->n_headers);
    rd_kafka_resp_err_t code = rd_kafka_producev(
        rk, RD_KAFKA_V_TOPIC(out->topic), RD_KAFKA_V_PARTITION(out->partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY(mem_unconst(out->key.ptr), out->key.len),
        RD_KAFKA_V_VALUE(mem_unconst(out->value.ptr), out->value.len),
        RD_KAFKA_V_TIMESTAMP(out->timestamp_ms), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_END);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_headers_destroy(headers);
    return code;
}

static void on_sent(rd_kafka_t *rk, const rd_kafka_message_t *msg, void *opaque)
{
    struct sent *sent = opaque;

    (void)rk;
    *sent = (struct sent){true, msg->err, msg->partition, msg->offset};
}

/* --- reader --- */

struct reader_part {
    struct kafka_partition at;
    bool at_end;
};

struct kafka_reader {
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;
    struct names names;
    struct reader_part *parts;
    size_t n_parts, n_at_end;
    int lent;
};

static int reader_start(struct kafka_reader *r, rd_kafka_t *questions, const char *topic,
                        enum kafka_from from, int64_t arg, struct err *e);
static int start_offset(rd_kafka_t *questions, struct kafka_partition at,
                        enum kafka_from from, int64_t arg, int64_t *offset,
                        struct err *e);
static struct reader_part *part_of(struct kafka_reader *r, struct kafka_partition at);
static int reader_error(struct kafka_reader *r, rd_kafka_event_t *event, struct err *e);

struct kafka_reader *kafka_reader_open_wait(const struct kafka_options *o,
                                            const char *topic, enum kafka_from from,
                                            int64_t arg, struct err *e)
{
    rd_kafka_conf_t *conf = client_conf(o, CLIENT_READER, true, e);
    rd_kafka_t *questions = NULL;
    struct kafka_reader *r;
    int rc = -1;

    if (conf == NULL)
        return NULL;
    rd_kafka_conf_set_events(conf, RD_KAFKA_EVENT_FETCH | RD_KAFKA_EVENT_ERROR);
    r = mem_zalloc(sizeof(*r));
    r->rk = client_new(CLIENT_READER, conf, e);
    if (r->rk != NULL)
        questions = questions_new(o, NULL, e);
    if (questions != NULL)
        rc = reader_start(r, questions, topic, from, arg, e);
    if (questions != NULL)
        rd_kafka_destroy(questions);
    if (rc != 0) {
        kafka_reader_free(r);
        return NULL;
    }
    return r;
}

int kafka_reader_next_wait(struct kafka_reader *r, int64_t timeout_ms,
                           struct kafka_record *rec, struct err *e)
{
    int64_t end = clock_now(&clock_system) + timeout_ms;
    int64_t left = timeout_ms;

    do {
        rd_kafka_event_t *event = rd_kafka_queue_poll(r->queue, (int)left);
        struct reader_part *part;
        int rc = 0;

        if (event == NULL)
            return 0;
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_FETCH) {
            if (!record_take(&r->names, &r->lent, event, rec))
                continue;
            part = part_of(r, rec->at);
            r->n_at_end -= part->at_end ? 1 : 0;
            part->at_end = false;
            return 1;
        }
        if (rd_kafka_event_type(event) == RD_KAFKA_EVENT_ERROR)
            rc = reader_error(r, event, e);
        rd_kafka_event_destroy(event);
        if (rc != 0)
            return rc;
        left = end - clock_now(&clock_system);
    } while (left > 0);
    return 0;
}

void kafka_reader_release(struct kafka_reader *r, struct kafka_record *rec)
{
    (void)r;
    record_release(rec);
}

void kafka_reader_free(struct kafka_reader *r)
{
    if (r == NULL)
        return;
    if (r->queue != NULL)
        rd_kafka_queue_destroy(r->queue);
    if (r->rk != NULL)
        rd_kafka_destroy_flags(r->rk, RD_KAFKA_DESTROY_F_NO_CONSUMER_CLOSE);
    names_fini(&r->names);
    mem_free(r->parts);
    mem_free(r);
}

static int reader_start(struct kafka_reader *r, rd_kafka_t *questions, const char *topic,
                        enum kafka_from from, int64_t arg, struct err *e)
{
    struct kafka_topic_info info = {.topic = topic};
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_resp_err_t code;
    int64_t offset = 0;
    int rc = 0;

    if (ask_topic(questions, &info) != 0)
        return err_set(e, ERR_BUSY, "%s; see that kafka.bootstrap.servers answer",
                       info.error);
    if (info.error[0] != '\0')
        return err_set(e, ERR_SYSTEM, "%s", info.error);
    if (info.partitions == 0)
        return err_set(e, ERR_SETTINGS, "topic %s does not exist", topic);
    r->parts = mem_array((size_t)info.partitions, sizeof(r->parts[0]));
    list = rd_kafka_topic_partition_list_new(info.partitions);
    while (rc == 0 && r->n_parts < (size_t)info.partitions) {
        struct kafka_partition at = {names_intern(&r->names, topic), (int32_t)r->n_parts};

        r->parts[r->n_parts++].at = at;
        rc = start_offset(questions, at, from, arg, &offset, e);
        rd_kafka_topic_partition_list_add(list, topic, at.partition)->offset = offset;
    }
    (void)rd_kafka_poll_set_consumer(r->rk); /* fails for producers only */
    r->queue = rd_kafka_queue_get_consumer(r->rk);
    if (rc == 0) {
        know_topic(r->rk, topic);
        code = rd_kafka_assign(r->rk, list);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            rc = err_set(e, ERR_SYSTEM, "assign: %s", rd_kafka_err2str(code));
    }
    rd_kafka_topic_partition_list_destroy(list);
    return rc;
}

static int start_offset(rd_kafka_t *questions, struct kafka_partition at,
                        enum kafka_from from, int64_t arg, int64_t *offset, struct err *e)
{
    int64_t low = 0;

    switch (from) {
    case FROM_BEGINNING:
        return question_offset(questions, at, KAFKA_BEGINNING, QUESTION_MS, offset, e);
    case FROM_END:
        return question_offset(questions, at, KAFKA_END, QUESTION_MS, offset, e);
    case FROM_LAST:
        if (question_offset(questions, at, KAFKA_BEGINNING, QUESTION_MS, &low, e) != 0 ||
            question_offset(questions, at, KAFKA_END, QUESTION_MS, offset, e) != 0)
            return -1;
        *offset = *offset - arg > low ? *offset - arg : low;
        return 0;
    case FROM_TIME:
        if (question_offset(questions, at, arg, QUESTION_MS, offset, e) != 0)
            return -1;
        if (*offset < 0) /* nothing that young */
            return question_offset(questions, at, KAFKA_END, QUESTION_MS, offset, e);
        return 0;
    }
    abort();
}

static struct reader_part *part_of(struct kafka_reader *r, struct kafka_partition at)
{
    return &r->parts[at.partition]; /* one topic, all its partitions in order */
}

/* 0: nothing to tell. */
static int reader_error(struct kafka_reader *r, rd_kafka_event_t *event, struct err *e)
{
    rd_kafka_resp_err_t code = rd_kafka_event_error(event);
    rd_kafka_topic_partition_t *at = rd_kafka_event_topic_partition(event);
    struct reader_part *part = at == NULL ? NULL : &r->parts[at->partition];

    if (at != NULL) /* the library does not look */
        rd_kafka_topic_partition_destroy(at);
    if (code == RD_KAFKA_RESP_ERR__PARTITION_EOF && part != NULL) {
        if (part->at_end)
            return 0;
        part->at_end = true;
        r->n_at_end++;
        return r->n_at_end == r->n_parts ? 2 : 0;
    }
    /* Connections come back, and the group in its name is never asked for anything. */
    if (part == NULL || error_is_passing(code))
        return 0;
    return err_set(e, ERR_SYSTEM, "%s", rd_kafka_event_error_string(event));
}
