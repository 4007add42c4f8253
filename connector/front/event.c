/* See event.h. Owns nothing. Invariant: nothing but `id` and `type` is relied upon; what
 * is not as expected is left out, and the payload has it. */
#include "front/event.h"

#include <time.h>

#include "codec/json.h"
#include "codec/json_value.h"

#define SOURCE_URL "https://api2.frontapp.com"
#define TYPE_PREFIX "com.frontapp."
#define YEAR_0_MS INT64_C(-62167219200000)
#define YEAR_10000_MS INT64_C(253402300800000)

static int64_t time_at(struct str object, const char *name)
{
    int64_t ms;

    return json_value_time(json_member(object, name), 1000, &ms) == 0 ? ms : NO_NUMBER;
}

/* Something with an id, or the id itself (conversations that were merged away). */
static bool id_of(struct str value, struct arena *a, struct str *out)
{
    if (json_value_is_object(value))
        value = json_member(value, "id");
    return json_value_text(value, a, out) == 0 && out->len > 0;
}

/* The ids of what stands in `value`: one thing, or an array of them. */
static size_t read_ids(struct str value, struct arena *a, struct str **out)
{
    struct str element;
    size_t n = 0, pos = 0;

    if (!json_value_is_array(value)) {
        *out = arena_zalloc(a, sizeof **out);
        return id_of(value, a, *out) ? 1 : 0;
    }
    while (json_next(value, &pos, &element))
        n++;
    *out = arena_zalloc(a, (n + 1) * sizeof **out);
    for (n = pos = 0; json_next(value, &pos, &element);)
        n += id_of(element, a, &(*out)[n]) ? 1 : 0;
    return n;
}

static void read_party(struct str party, struct arena *a, struct event_party *out)
{
    struct str data = json_member(party, "data");

    out->there = json_value_is_object(party);
    if (!out->there)
        return;
    out->type = json_value_text_at(party, "_meta.type", a);
    if (out->type.ptr == NULL)
        out->type = json_value_text_at(party, "type", a);
    out->n_ids = read_ids(json_value_is_there(data) ? data : party, a, &out->ids);
}

static void read_conversation(struct str cnv, struct arena *a, struct event *out)
{
    bool is_private;
    struct str id;

    out->conversation.created_at = NO_NUMBER;
    if (!json_value_is_object(cnv) || !id_of(cnv, a, &id))
        return;
    out->conversation.id = id;
    out->conversation.type = json_value_text_at(cnv, "type", a);
    out->conversation.subject = json_value_text_at(cnv, "subject", a);
    out->conversation.status = json_value_text_at(cnv, "status", a);
    out->conversation.status_id = json_value_text_at(cnv, "status_id", a);
    out->conversation.assignee_id = json_value_text_at(cnv, "assignee.id", a);
    out->conversation.n_tag_ids =
        read_ids(json_member(cnv, "tags"), a, &out->conversation.tag_ids);
    if (json_value_boolean(json_member(cnv, "is_private"), &is_private) == 0)
        out->conversation.is_private = is_private ? EVENT_PRIVATE_YES : EVENT_PRIVATE_NO;
    out->conversation.created_at = time_at(cnv, "created_at");
}

int event_read(struct str json, struct arena *a, struct event *out, struct err *e)
{
    *out = (struct event){.received_at = NO_NUMBER};
    if (!json_is_valid(json))
        return err_input(e, "BadJson", "no valid JSON");
    if (!json_value_is_object(str_trim(json)))
        return err_input(e, "BadValue", "no JSON object");
    out->id = json_value_text_at(json, "id", a);
    out->type = json_value_text_at(json, "type", a);
    if (out->id.len == 0 || out->type.len == 0)
        return err_input(e, "BadValue", "an event without an id or a type");
    out->emitted_at = time_at(json, "emitted_at");
    read_conversation(json_member(json, "conversation"), a, out);
    read_party(json_member(json, "source"), a, &out->source);
    read_party(json_member(json, "target"), a, &out->target);
    out->payload = json;
    return 0;
}

struct str event_key(const struct event *ev)
{
    return ev->conversation.id.ptr != NULL ? ev->conversation.id : ev->id;
}

struct str event_origin(const struct event *ev)
{
    return ev->source.type;
}

/* RFC 3339, which knows the years 0 to 9999 only. */
static struct str time_text(int64_t ms, struct arena *a)
{
    int64_t rest = ms % 1000 < 0 ? ms % 1000 + 1000 : ms % 1000;
    time_t seconds;
    struct tm tm;

    if (ms < YEAR_0_MS || ms >= YEAR_10000_MS)
        return STR_NULL;
    seconds = (time_t)((ms - rest) / 1000);
    if (gmtime_r(&seconds, &tm) == NULL)
        return STR_NULL;
    return str_of(arena_printf(a, "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ",
                               tm.tm_year + 1900, tm.tm_mon + 1, tm.tm_mday, tm.tm_hour,
                               tm.tm_min, tm.tm_sec, (int)rest));
}

static struct str joined(const char *prefix, struct str s, struct arena *a)
{
    return str_of(arena_printf(a, "%s%.*s", prefix, STR_ARG(s)));
}

size_t event_headers(const struct event *ev, struct arena *a, struct pair *out)
{
    struct str source = ev->company_id.ptr != NULL
                            ? joined(SOURCE_URL "/companies/", ev->company_id, a)
                            : STR_LIT(SOURCE_URL);
    const struct pair all[EVENT_HEADERS_MAX] = {
        {.name = STR_LIT("content-type"), .value = STR_LIT("application/avro")},
        {.name = STR_LIT("ce_specversion"), .value = STR_LIT("1.0")},
        {.name = STR_LIT("ce_id"), .value = ev->id},
        {.name = STR_LIT("ce_source"), .value = source},
        {.name = STR_LIT("ce_type"), .value = joined(TYPE_PREFIX, ev->type, a)},
        {.name = STR_LIT("ce_subject"), .value = ev->conversation.id},
        {.name = STR_LIT("ce_time"), .value = time_text(ev->emitted_at, a)},
        {.name = STR_LIT("delivery"), .value = ev->delivery},
        {.name = STR_LIT("origin"), .value = event_origin(ev)},
    };
    size_t n = 0;

    for (size_t i = 0; i < EVENT_HEADERS_MAX; i++)
        if (all[i].value.ptr != NULL)
            out[n++] = all[i];
    return n;
}
