/* front.Job as a plain struct, and its Avro: what a list needs to go on after any crash,
 * and to be answered in the end. The struct borrows all texts. */
#ifndef CODEC_RECORDS_JOB_H
#define CODEC_RECORDS_JOB_H

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "codec/records/command.h"
#include "codec/records/result.h"
#include "codec/schemas.h"

#define JOB_VERSION 1
#define JOB_CANCEL "/cancel" /* behind a job's id: the key of a request to cancel it */
#define JOB_ECHO_MAX 2

struct job_record {
    struct str id;
    struct str kind; /* list, sync; heal is known by name only */
    struct str state, operation;
    struct pair *params;
    size_t n_params;
    /* the command, as far as its result needs it; ptr NULL or NO_NUMBER: null */
    struct str command_id, key;
    struct str reply_topic;
    int64_t reply_partition;
    struct pair echo[JOB_ECHO_MAX]; /* reply_headers */
    size_t n_echo;
    struct str source_topic;
    int64_t source_partition, source_offset;
    struct str request_digest, traceparent, tracestate;
    int64_t deadline;
    struct str priority;
    int64_t received_at, started_at, attempts;
    /* how far it has come */
    struct str page_token; /* of the next page; ptr NULL: the first */
    int64_t pages, items;  /* fetched and produced, over all walks */
    int64_t walk_items;    /* since the walk was begun anew */
    int64_t max_items;
    /* fan-out: of the page fetched last, the rows whose lists are still to be read */
    struct str *fan_rows; /* ids; the first is the one that is read now */
    size_t n_fan_rows;
    struct str fan_list;  /* operation that reads this row's list */
    struct str fan_token; /* of that list's next page; ptr NULL: the first */
    bool fan_last;        /* no page of rows follows */
    int64_t seq;          /* one more with each record of this job */
    int64_t created_at, updated_at, restarts;
    struct str error, instance;
    /* of a sync only; 0: null */
    int64_t run;         /* start of its last run, on Front's clock */
    int64_t watermark;   /* start of the last run that read the whole list */
    int64_t next_run_at; /* between two runs */
    struct str group;    /* whose it is */
};

/* Appends the framed record. -1: over the buffer's ceiling. */
int job_record_encode(struct schemas *ss, const struct job_record *jr, struct buf *out);
/* Texts live in the arena. -1: no front.Job that can be read. */
int job_record_decode(struct schemas *ss, struct str value, struct arena *a,
                      struct job_record *out, struct err *e);

#endif
