/* The ring of events and the table of their types. */
#include "events.h"

#include <string.h>

#include "base/mem.h"

#define ID_FIRST 60466176u /* 36^5: six characters, so that none is a magic id */

const struct event_type event_types[EVENT_TYPES] = {
    {"assign", "assignee_changed", NULL, "teammate"},
    {"unassign", "assignee_changed", NULL, NULL},
    {"archive", "conversation_archived", NULL, NULL},
    {"reopen", "conversation_reopened", NULL, NULL},
    {"trash", "conversation_deleted", NULL, NULL},
    {"restore", "conversation_restored", NULL, NULL},
    {"reminder", "conversation_snooze_expired", "reminder", NULL},
    {"comment", "new_comment_added", NULL, "comment"},
    {"mention", NULL, NULL, "comment"},
    {"inbound", "inbound_received", "inboxes", "message"},
    {"outbound", "outbound_sent", "inboxes", "message"},
    {"out_reply", "outbound_sent", "inboxes", "message"},
    {"move", "conversation_moved", NULL, "inboxes"},
    {"forward", NULL, NULL, "message"},
    {"tag", "tag_added", NULL, "tag"},
    {"untag", "tag_removed", NULL, "tag"},
    {"sending_error", "message_delivery_failed", "recipient", "message"},
    {"message_bounce_error", "message_delivery_failed", "recipient", "message"},
    {"conversations_merged", NULL, NULL, "deleted_conversation_ids"},
    {"link_added", "link_added", NULL, "link"},
    {"link_removed", "link_removed", NULL, "link"},
    {"custom_field_updated", NULL, NULL, "custom_field"},
    {"macro_triggered", NULL, NULL, NULL},
    {"topic_identified", NULL, NULL, "link"},
    {"ticket_status_update", NULL, NULL, NULL},
    {"call_started", NULL, NULL, NULL},
    {"call_abandoned", NULL, NULL, NULL},
    {"call_queued", NULL, NULL, NULL},
    {"call_on_hold", NULL, NULL, NULL},
    {"call_parked", NULL, NULL, NULL},
    {"call_resumed", NULL, NULL, NULL},
    {"call_connected", NULL, NULL, NULL},
    {"call_missed", NULL, NULL, NULL},
    {"call_hangup", NULL, NULL, NULL},
    {"call_transferred", NULL, NULL, NULL},
    {"call_transcript_added", NULL, NULL, NULL},
    {"call_voicemail_transcript_added", NULL, NULL, NULL},
};

static const char *const source_types[] = {"api",      "oauth_client", "rule",
                                           "teammate", "imap",         "gmail",
                                           "reminder", "inboxes",      "recipient"};

const struct event_type *event_type_find(const char *name)
{
    for (size_t i = 0; i < EVENT_TYPES; i++)
        if (strcmp(event_types[i].name, name) == 0)
            return &event_types[i];
    return NULL;
}

const char *event_source_find(const char *name)
{
    for (size_t i = 0; i < sizeof source_types / sizeof source_types[0]; i++)
        if (strcmp(source_types[i], name) == 0)
            return source_types[i];
    return NULL;
}

void events_init(struct events *es, uint64_t seed)
{
    es->ring = mem_array(EVENTS_MAX, sizeof *es->ring);
    es->last = es->sent = 0;
    es->base = ID_FIRST + (seed * 7919) % ID_FIRST;
}

void events_fini(struct events *es)
{
    mem_free(es->ring);
    es->ring = NULL;
}

struct event *events_push(struct events *es)
{
    struct event *ev = &es->ring[++es->last % EVENTS_MAX];
    memset(ev, 0, sizeof *ev);
    ev->n = es->last;
    return ev;
}

uint64_t events_first(const struct events *es)
{
    return es->last > EVENTS_MAX ? es->last - EVENTS_MAX + 1 : 1;
}

const struct event *events_get(const struct events *es, uint64_t n)
{
    if (n < events_first(es) || n > es->last)
        return NULL;
    return &es->ring[n % EVENTS_MAX];
}

void event_id(const struct events *es, uint64_t n, char out[EVENT_ID_MAX])
{
    char digits[16];
    size_t i = sizeof digits - 1;
    digits[i] = '\0';
    for (n = n <= 3 ? n : es->base + n; n > 0 && i > 0; n /= 36)
        digits[--i] = "0123456789abcdefghijklmnopqrstuvwxyz"[n % 36];
    snprintf(out, EVENT_ID_MAX, "evt_%s", digits + i);
}

const struct event *events_find(const struct events *es, const char *id)
{
    char have[EVENT_ID_MAX];
    char *end = NULL;
    if (strncmp(id, "evt_", 4) != 0)
        return NULL;
    uint64_t n = strtoull(id + 4, &end, 36);
    if (n > 3)
        n -= es->base; /* may wrap: then there is no such event */
    const struct event *ev = events_get(es, n);
    if (ev == NULL)
        return NULL;
    event_id(es, n, have);
    return strcmp(have, id) == 0 ? ev : NULL;
}

json_t *events_dump(const struct events *es)
{
    json_t *rows = json_array();
    for (uint64_t n = events_first(es); n <= es->last; n++) {
        const struct event *ev = events_get(es, n);
        (void)json_array_append_new(rows,
                                    json_pack("[s,f,s,s,s,s,s]", ev->type->name,
                                              ev->emitted_at, ev->source_type, ev->source,
                                              ev->conversation, ev->target, ev->inbox));
    }
    return json_pack("{s:I, s:I, s:o}", "first", (json_int_t)events_first(es), "base",
                     (json_int_t)es->base, "rows", rows);
}

static int event_restore(struct events *es, const json_t *row, struct err *e)
{
    const char *type = NULL, *source_type = NULL, *source = NULL, *cnv = NULL,
               *target = NULL, *inbox = NULL;
    double at = 0;
    if (json_unpack(mem_unconst(row), "[s,F,s,s,s,s,s]", &type, &at, &source_type,
                    &source, &cnv, &target, &inbox) < 0 ||
        event_type_find(type) == NULL || event_source_find(source_type) == NULL)
        return err_set(e, ERR_SETTINGS, "state: an event that is none");
    struct event *ev = events_push(es);
    ev->type = event_type_find(type);
    ev->source_type = event_source_find(source_type);
    ev->emitted_at = at;
    snprintf(ev->source, sizeof ev->source, "%s", source);
    snprintf(ev->conversation, sizeof ev->conversation, "%s", cnv);
    snprintf(ev->target, sizeof ev->target, "%s", target);
    snprintf(ev->inbox, sizeof ev->inbox, "%s", inbox);
    return 0;
}

int events_restore(struct events *es, const json_t *dump, struct err *e)
{
    const json_t *rows = json_object_get(dump, "rows");
    json_int_t first = json_integer_value(json_object_get(dump, "first"));
    json_int_t base = json_integer_value(json_object_get(dump, "base"));
    if (dump == NULL) /* a file of before events were kept */
        return 0;
    if (first < 1 || base < 0)
        return err_set(e, ERR_SETTINGS, "state: events without a first one");
    es->last = (uint64_t)first - 1;
    es->base = (uint64_t)base;
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (event_restore(es, json_array_get(rows, i), e) < 0)
            return -1;
    es->sent = es->last;
    return 0;
}
