/* One event object of Front, as webhooks and the Events API have it, and what its record
 * is written with. Pure; everything borrows from the given text and the arena. */
#ifndef FRONT_EVENT_H
#define FRONT_EVENT_H

#include "base/err.h"
#include "base/mem.h"
#include "codec/records/command.h"
#include "codec/records/event.h"

/* Reads the event object `json` (any bytes; it is kept as payload byte for byte). Only
 * `id` and `type` must be there: in a preview nearly all else is missing, and what has
 * another type than expected counts as missing. received_at, company_id, webhook_type and
 * delivery are left empty: they are the caller's to say, before it is encoded. -1: no
 * valid JSON object, or no id, or no type (e->reason is a word of the dead letters'
 * list). */
int event_read(struct str json, struct arena *a, struct event *out, struct err *e);

/* The record's key: the conversation's id, else the event's own. */
struct str event_key(const struct event *ev);
/* Front's `source._meta.type` (api, rule, teammate...), by which a consumer drops its own
 * echo; ptr NULL: none. */
struct str event_origin(const struct event *ev);

/* The record's headers: CloudEvents 1.0 in Kafka's binary mode, `delivery` and `origin`.
 * What is not known is left out (ce_subject, ce_time, origin); without a company
 * ce_source is the API's address alone. Fills at most EVENT_HEADERS_MAX, returns how
 * many. */
#define EVENT_HEADERS_MAX 9
size_t event_headers(const struct event *ev, struct arena *a, struct pair *out);

#endif
