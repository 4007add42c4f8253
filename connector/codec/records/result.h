/* front.Result as a plain struct, and its Avro. The struct borrows all texts. */
#ifndef CODEC_RECORDS_RESULT_H
#define CODEC_RECORDS_RESULT_H

#include <stdint.h>

#include "base/buf.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/schemas.h"

enum outcome { SUCCEEDED, FAILED, REJECTED, EXPIRED, IN_DOUBT, CANCELLED };
#define OUTCOMES 6
extern const char *const outcome_names[OUTCOMES + 1]; /* NULL-ended */

#define NO_NUMBER INT64_MIN /* an absent int, long or time */

struct result {
    struct str command_id, operation;
    enum outcome outcome;
    int64_t http_status;    /* NO_NUMBER: null; likewise below */
    struct str resource_id; /* ptr NULL: null; likewise below */
    struct str response;    /* JSON text */
    struct str content, content_type;
    bool truncated;
    struct {
        struct str kind; /* ptr NULL: no error record (SUCCEEDED) */
        struct str title, message;
        struct str *details;
        size_t n_details;
    } error;
    int64_t attempts;
    int64_t items, pages;
    bool replayed, recovered;
    int64_t received_at, started_at, finished_at; /* epoch ms */
    struct {
        bool known;
        int64_t limit, remaining, reset_at;
    } quota;
    struct str source_topic;
    int64_t source_partition, source_offset;
    struct str request_digest;
};

/* Appends the framed record. -1: over the buffer's ceiling. */
int result_encode(struct schemas *ss, const struct result *res, struct buf *out);

/* Reads back what a repeated command is answered from: ids, outcome, status, response,
 * error kind, source, digest, items, pages, replayed, recovered; the rest is as absent.
 * Texts live in the arena. -1: no front.Result that can be read. */
int result_decode(struct schemas *ss, struct str value, struct arena *a,
                  struct result *out, struct err *e);

/* Avro of any kind as one JSON value (for `tail`): unions unwrapped, timestamps as
 * numbers, bytes as base64. Works for every record whose framing and schema are known. */
int avro_to_json(struct schemas *ss, struct str value, struct buf *out, struct err *e);

#endif
