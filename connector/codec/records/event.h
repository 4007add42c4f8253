/* front.Event as a plain struct, and its Avro. The struct borrows all texts. */
#ifndef CODEC_RECORDS_EVENT_H
#define CODEC_RECORDS_EVENT_H

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/records/result.h"
#include "codec/schemas.h"

/* The three values of `delivery`. */
#define EVENT_WEBHOOK "webhook"
#define EVENT_HEALED "healed"
#define EVENT_POLL "poll"

enum event_private { EVENT_PRIVATE_UNKNOWN, EVENT_PRIVATE_NO, EVENT_PRIVATE_YES };

/* Who caused an event, or what it acted on. */
struct event_party {
    bool there;      /* false: a null record */
    struct str type; /* ptr NULL: null */
    struct str *ids;
    size_t n_ids;
};

struct event {
    struct str id, type;
    struct str webhook_type; /* ptr NULL: null; likewise below */
    int64_t emitted_at;      /* epoch ms; NO_NUMBER: null; likewise below */
    int64_t received_at;
    struct str company_id;
    struct {
        struct str id; /* ptr NULL: a null record */
        struct str type, subject, status, status_id, assignee_id;
        struct str *tag_ids;
        size_t n_tag_ids;
        enum event_private is_private;
        int64_t created_at;
    } conversation;
    struct event_party source, target;
    struct str payload;  /* JSON text as received */
    struct str delivery; /* one of the three above */
};

/* Appends the framed record. -1: over the buffer's ceiling. */
int event_encode(struct schemas *ss, const struct event *ev, struct buf *out);
/* Reads every field back. Texts live in the arena. -1: no front.Event that can be read.
 */
int event_decode(struct schemas *ss, struct str value, struct arena *a, struct event *out,
                 struct err *e);

#endif
