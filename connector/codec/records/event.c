/* See event.h. Owns nothing. Invariant: event_encode sets every field of front.Event. */
#include "codec/records/event.h"

#include "codec/records/fields.h"

static void put_texts(struct filling *f, const char *name, const struct str *texts,
                      size_t n)
{
    struct cell array = fields_place(f, name), item;

    for (size_t i = 0; i < n; i++) {
        cell_append(&array, &item);
        fields_must(cell_set_string(&item, texts[i]));
    }
}

static void put_private(struct filling *f, enum event_private is_private)
{
    struct cell c = fields_place(f, "is_private");

    fields_must(is_private == EVENT_PRIVATE_UNKNOWN
                    ? cell_set_null(&c)
                    : cell_set_boolean(&c, is_private == EVENT_PRIVATE_YES));
}

static void put_conversation(struct filling *f, const struct event *ev)
{
    struct filling cnv;

    if (!fields_enter(f, "conversation", ev->conversation.id.ptr != NULL, &cnv))
        return;
    fields_put_text(&cnv, "id", ev->conversation.id);
    fields_put_optional(&cnv, "type", ev->conversation.type);
    fields_put_optional(&cnv, "subject", ev->conversation.subject);
    fields_put_optional(&cnv, "status", ev->conversation.status);
    fields_put_optional(&cnv, "status_id", ev->conversation.status_id);
    fields_put_optional(&cnv, "assignee_id", ev->conversation.assignee_id);
    put_texts(&cnv, "tag_ids", ev->conversation.tag_ids, ev->conversation.n_tag_ids);
    put_private(&cnv, ev->conversation.is_private);
    fields_put_number(&cnv, "created_at", ev->conversation.created_at);
}

static void put_party(struct filling *f, const char *name,
                      const struct event_party *party)
{
    struct filling rec;

    if (!fields_enter(f, name, party->there, &rec))
        return;
    fields_put_optional(&rec, "type", party->type);
    put_texts(&rec, "ids", party->ids, party->n_ids);
}

int event_encode(struct schemas *ss, const struct event *ev, struct buf *out)
{
    const struct schema *sc = schemas_xget(ss, "front.Event");
    struct filling f = {.hint = 0};

    avro_begin(sc, &f.rec);
    fields_put_text(&f, "id", ev->id);
    fields_put_text(&f, "type", ev->type);
    fields_put_optional(&f, "webhook_type", ev->webhook_type);
    fields_put_number(&f, "emitted_at", ev->emitted_at);
    fields_put_number(&f, "received_at", ev->received_at);
    fields_put_optional(&f, "company_id", ev->company_id);
    put_conversation(&f, ev);
    put_party(&f, "source", &ev->source);
    put_party(&f, "target", &ev->target);
    fields_put_text(&f, "payload", ev->payload);
    fields_put_text(&f, "delivery", ev->delivery);
    return avro_encode(ss, sc, out);
}

static void get_texts(struct reading *r, const char *name, struct str **texts, size_t *n)
{
    struct cell array, item;

    *n = 0;
    if (!cell_field(&r->rec, name, &r->hint, &array))
        return;
    *texts = arena_zalloc(r->a, (cell_size(&array) + 1) * sizeof **texts);
    for (size_t i = 0; i < cell_size(&array); i++) {
        if (!cell_at(&array, i, &item, NULL) ||
            cell_string(&item, r->a, &(*texts)[*n]) != 0)
            r->rc = -1;
        else
            (*n)++;
    }
}

static enum event_private get_private(struct reading *r)
{
    struct cell c;
    bool yes = false;

    if (!cell_field(&r->rec, "is_private", &r->hint, &c))
        return EVENT_PRIVATE_UNKNOWN;
    if (cell_boolean(&c, &yes) != 0)
        r->rc = -1;
    return yes ? EVENT_PRIVATE_YES : EVENT_PRIVATE_NO;
}

/* Reads on in the record `name`; false: null. */
static bool enter(struct reading *r, const char *name, struct reading *out)
{
    *out = (struct reading){.a = r->a};
    return cell_field(&r->rec, name, &r->hint, &out->rec);
}

static void get_conversation(struct reading *r, struct event *out)
{
    struct reading cnv;

    out->conversation.created_at = NO_NUMBER;
    if (!enter(r, "conversation", &cnv))
        return;
    out->conversation.id = fields_get_text(&cnv, "id");
    out->conversation.type = fields_get_text(&cnv, "type");
    out->conversation.subject = fields_get_text(&cnv, "subject");
    out->conversation.status = fields_get_text(&cnv, "status");
    out->conversation.status_id = fields_get_text(&cnv, "status_id");
    out->conversation.assignee_id = fields_get_text(&cnv, "assignee_id");
    get_texts(&cnv, "tag_ids", &out->conversation.tag_ids, &out->conversation.n_tag_ids);
    out->conversation.is_private = get_private(&cnv);
    out->conversation.created_at = fields_get_number(&cnv, "created_at");
    r->rc |= cnv.rc;
}

static void get_party(struct reading *r, const char *name, struct event_party *out)
{
    struct reading party;

    out->there = enter(r, name, &party);
    if (!out->there)
        return;
    out->type = fields_get_text(&party, "type");
    get_texts(&party, "ids", &out->ids, &out->n_ids);
    r->rc |= party.rc;
}

int event_decode(struct schemas *ss, struct str value, struct arena *a, struct event *out,
                 struct err *e)
{
    struct reading r = {.a = a};

    *out = (struct event){.emitted_at = NO_NUMBER};
    if (fields_open(ss, value, "front.Event", &r, e) != 0)
        return -1;
    out->id = fields_get_text(&r, "id");
    out->type = fields_get_text(&r, "type");
    out->webhook_type = fields_get_text(&r, "webhook_type");
    out->emitted_at = fields_get_number(&r, "emitted_at");
    out->received_at = fields_get_number(&r, "received_at");
    out->company_id = fields_get_text(&r, "company_id");
    get_conversation(&r, out);
    get_party(&r, "source", &out->source);
    get_party(&r, "target", &out->target);
    out->payload = fields_get_text(&r, "payload");
    out->delivery = fields_get_text(&r, "delivery");
    if (r.rc != 0 || out->id.ptr == NULL)
        return err_input(e, "BadValue", "a field of another type");
    return 0;
}
