/* Kafka as the engine sees it: events that come, requests that go. No librdkafka type
 * here, so that the simulator can stand in its place. All functions are called on the
 * loop thread and never block; what blocks in librdkafka is done by the Kafka thread
 * (kafka/worker.c) and answered as an event. */
#ifndef KAFKA_PORT_H
#define KAFKA_PORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define KAFKA_NO_OFFSET (-1001) /* never committed */
#define KAFKA_BEGINNING (-2)
#define KAFKA_END (-1)

struct kafka_partition {
    /* Interned by the port: compare pointers, valid for its lifetime. */
    const char *topic;
    int32_t partition;
};

struct kafka_header {
    struct str name, value; /* value.ptr NULL: null */
};

/* A record read. Everything is borrowed from `handle` until port->release. */
struct kafka_record {
    struct kafka_partition at;
    int64_t offset;
    int64_t timestamp_ms;  /* -1: none */
    struct str key, value; /* ptr NULL: null */
    struct kafka_header *headers;
    size_t n_headers;
    void *handle;
};

/* One record to write. Borrowed until the tick is done. */
struct kafka_output {
    const char *topic;
    int32_t partition;     /* -1: by key, murmur2 */
    struct str key, value; /* ptr NULL: null */
    struct kafka_header *headers;
    size_t n_headers;
    int64_t timestamp_ms; /* 0: now */
    bool last; /* says of others that they are there: without transactions it is written
                  when they are acknowledged */
};

struct kafka_offset {
    struct kafka_partition at;
    int64_t offset;
    struct str metadata; /* ASCII; ptr NULL: empty */
};

enum tick_end {
    TICK_RUNNING,
    TICK_COMMITTED,
    /* Nothing is visible; resubmit what is still owned. */
    TICK_ABORTED,
    /* Aborted because the group moved on (generation, member, fenced instance): wait for
     * the rebalance events, resubmit what is still owned. */
    TICK_STALE,
    /* Aborted because of outputs[bad]: never resubmit it unchanged. */
    TICK_BAD_RECORD,
    /* Fenced or indefinite: a new producer is ready; read position and ledger again
     * before anything is resubmitted. */
    TICK_UNKNOWN
};

/* One tick: offsets and records that become visible together. Owned by the engine; handed
 * over by submit and untouched until KAFKA_TICK brings it back. */
struct kafka_tick {
    struct kafka_offset *offsets;
    size_t n_offsets;
    struct kafka_output *outputs;
    size_t n_outputs;
    int64_t assignment; /* number of the assignment its offsets belong to */

    enum tick_end end;
    size_t bad;         /* TICK_BAD_RECORD */
    bool bad_too_large; /* ... for its size; else the topic takes none at all */
    char why[200];      /* for a person */
    int64_t took_us;
    void *owner;
};

enum kafka_event_type {
    KAFKA_RECORD, /* record */
    KAFKA_ASSIGN, /* parts, assignment: answer with assign() */
    KAFKA_REVOKE, /* parts: answer with unassign() when drained */
    KAFKA_LOST,   /* as REVOKE, but nothing may be committed any more */
    KAFKA_EOF,    /* at, offset: end of the partition (last stable offset) reached */
    /* at: the position is outside the log; the partition stands still */
    KAFKA_OUT_OF_RANGE,
    /* at, offset (KAFKA_NO_OFFSET: none), metadata; error when it failed for good */
    KAFKA_COMMITTED,
    KAFKA_WATERMARKS, /* at, low, high (high watermark); error */
    /* at.topic, count (0: does not exist; -1: cannot be used, error says why), max_bytes;
     * error with another count: could not be asked */
    KAFKA_TOPIC,
    /* at, records (lent until the next call of next()), low: where they were asked from,
     * offset: read to there; error */
    KAFKA_READ,
    KAFKA_TICK, /* tick came back */
    /* owner: what produce_event took is acknowledged; or error, and `refused` when it is
     * the record's fault */
    KAFKA_PRODUCED,
    KAFKA_STATE, /* up: at least one broker reached; or all gone (error says what) */
    KAFKA_FATAL, /* error: this process must end (exit 1) */
    KAFKA_CLOSED /* close() is finished */
};

struct kafka_event {
    enum kafka_event_type type;
    struct kafka_record record;
    struct kafka_partition at;
    /* ASSIGN, REVOKE, LOST: valid until the next call of next(). */
    struct kafka_partition *parts;
    size_t n_parts;
    struct kafka_record *records; /* READ: value and key only */
    size_t n_records;
    int64_t assignment;
    int64_t offset, low, high;
    struct str metadata; /* valid until the next call of next() */
    int32_t count;
    int64_t max_bytes;
    struct kafka_tick *tick;
    void *owner;
    bool refused;
    bool up;
    char error[240]; /* "" : fine */
};

struct kafka_port {
    /* The next event; false: none now. Drain it each turn. */
    bool (*next)(void *self, struct kafka_event *ev);
    void (*release)(void *self, struct kafka_record *rec);
    /* Answers ASSIGN: start fetching at these offsets (offset per element;
     * KAFKA_NO_OFFSET for "do not fetch yet" is not possible: assign all at once, paused
     * ones with pause()). Takes the group metadata object of this assignment. */
    void (*assign)(void *self, const struct kafka_offset *parts, size_t n,
                   int64_t assignment);
    void (*unassign)(void *self, int64_t assignment);
    void (*pause)(void *self, struct kafka_partition at);
    void (*resume)(void *self, struct kafka_partition at);
    /* Questions: answered by KAFKA_COMMITTED, KAFKA_WATERMARKS, KAFKA_TOPIC. committed()
     * waits as long as a foreign transaction is open (stable offsets only). The first two
     * are not answered when the assignment under which they were asked has gone (ASSIGN
     * to ASSIGN, unassign, LOST). */
    void (*committed)(void *self, struct kafka_partition at);
    void (*watermarks)(void *self, struct kafka_partition at);
    /* `make`: one that is missing is created, when the settings allow it. What is found
     * is ready to be written to. */
    void (*topic)(void *self, const char *topic, bool make);
    /* Asks for what read_committed shows of any partition in [from, to), a page at a
     * time: answered by KAFKA_READ, under the assignment it was asked in. */
    void (*read)(void *self, struct kafka_partition at, int64_t from, int64_t to);
    /* One tick at a time: 0, or -1 when one is running. */
    int (*submit)(void *self, struct kafka_tick *tick);
    /* Writes one record (copied) to a topic of the options' events, outside the ticks and
     * without a transaction. It is kept and sent until all replicas in sync have it,
     * however long Kafka is away; then KAFKA_PRODUCED comes with `owner`. 1: the record
     * is larger than any topic takes; -1: not now, try again later. */
    int (*produce_event)(void *self, const struct kafka_output *out, void *owner);
    /* Leaves the group and closes; KAFKA_REVOKE may come first. Then KAFKA_CLOSED. */
    void (*close)(void *self);
    const char *(*intern)(void *self, const char *topic);
    /* Records fetched or lying in wait for us: last known high watermark, -1: unknown. */
    int64_t (*high)(void *self, struct kafka_partition at);
    void *self;
};

#endif
