/* The headers of a command record: read, checked, and what must be echoed (contracts §3).
 */
#ifndef ENGINE_HEADERS_H
#define ENGINE_HEADERS_H

#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "codec/records/command.h"
#include "front/quota.h"
#include "kafka/port.h"

#define COMMAND_ID_MAX 255 /* bytes */

enum reply_family { FAMILY_NONE, FAMILY_OWN, FAMILY_SPRING, FAMILY_SMALLRYE };

struct headers_in {
    struct str command_id; /* ptr NULL: none; may come from a correlation value */
    int64_t deadline;      /* epoch ms; 0: none */
    enum quota_class priority;
    struct str on_in_doubt; /* ptr NULL: as the settings say */
    struct str traceparent, tracestate;
    enum reply_family family;
    struct str reply_topic;  /* ptr NULL: no reply copy */
    int32_t reply_partition; /* -1: by key */
    struct str
        correlation; /* raw bytes, echoed under the family's name; ptr NULL: none */
};

/* Texts point into the record or the arena. -1: ERR_INPUT "invalid-header"; what could be
 * read is filled all the same, so that the answer can be addressed. */
int headers_read(const struct kafka_record *rec, struct arena *a, struct headers_in *h,
                 struct err *e);

/* The headers of a result record: command-id operation outcome http-status source +
 * trace. */
struct headers_result {
    struct str command_id, operation, source;
    const char *outcome;
    int64_t http_status; /* NO_NUMBER: none */
    bool succeeded;
};
struct kafka_header *headers_for_result(const struct headers_in *h,
                                        const struct headers_result *r, struct arena *a,
                                        size_t *n);
/* The same plus what the reply's family wants. */
struct kafka_header *headers_for_reply(const struct headers_in *h,
                                       const struct headers_result *r, struct arena *a,
                                       size_t *n);

/* A list item's: command-id operation source. */
struct kafka_header *headers_for_item(struct str command_id, struct str operation,
                                      struct str source, struct arena *a, size_t *n);
/* What of a command's headers its reply wants, to be kept for later, and read back. */
size_t headers_keep(const struct headers_in *h, struct pair out[1]);
void headers_again(struct headers_in *h, const struct pair *kept, size_t n);

/* A dead letter's: the record's own, then Kafka Connect's. rec->at.topic NULL: it came
 * from no topic. */
struct dead_letter {
    const char *group_id;
    const char *stage;     /* VALUE_CONVERTER ... */
    const char *exception; /* our closed list */
    const char *message;
};
struct kafka_header *headers_for_dead_letter(const struct kafka_record *rec,
                                             const struct dead_letter *dl,
                                             struct arena *a, size_t *n);

#endif
