/* See job.h. */
#include "codec/records/job.h"

#include "codec/records/fields.h"

enum { PARAMS_MAX = 1000 };

static void put_map(struct filling *f, const char *name, const struct pair *pairs,
                    size_t n, bool bytes)
{
    struct cell map = fields_place(f, name), item;

    for (size_t i = 0; i < n; i++) {
        fields_must(cell_add(&map, pairs[i].name, &item));
        fields_must(bytes ? cell_set_bytes(&item, pairs[i].value)
                          : cell_set_string(&item, pairs[i].value));
    }
}

static void put_command(struct filling *f, const struct job_record *jr)
{
    fields_put_optional(f, "command_id", jr->command_id);
    fields_put_bytes(f, "key", jr->key);
    fields_put_optional(f, "reply_topic", jr->reply_topic);
    fields_put_int(f, "reply_partition", jr->reply_partition);
    put_map(f, "reply_headers", jr->echo, jr->n_echo, true);
    fields_put_optional(f, "source_topic", jr->source_topic);
    fields_put_int(f, "source_partition", jr->source_partition);
    fields_put_number(f, "source_offset", jr->source_offset);
    fields_put_optional(f, "request_digest", jr->request_digest);
    fields_put_optional(f, "traceparent", jr->traceparent);
    fields_put_optional(f, "tracestate", jr->tracestate);
    fields_put_number(f, "deadline", jr->deadline);
    fields_put_optional(f, "priority", jr->priority);
    fields_put_number(f, "received_at", jr->received_at);
    fields_put_number(f, "started_at", jr->started_at);
    fields_put_int(f, "attempts", jr->attempts);
}

static void put_time(struct filling *f, const char *name, int64_t ms)
{
    fields_put_number(f, name, ms > 0 ? ms : NO_NUMBER);
}

static void put_fan(struct filling *f, const struct job_record *jr)
{
    struct cell rows = fields_place(f, "fan_rows"), row;

    for (size_t i = 0; i < jr->n_fan_rows; i++) {
        cell_append(&rows, &row);
        fields_must(cell_set_string(&row, jr->fan_rows[i]));
    }
    fields_put_optional(f, "fan_list", jr->fan_list);
    fields_put_optional(f, "fan_token", jr->fan_token);
    fields_put_boolean(f, "fan_last", jr->fan_last);
}

int job_record_encode(struct schemas *ss, const struct job_record *jr, struct buf *out)
{
    const struct schema *sc = schemas_xget(ss, "front.Job");
    struct filling f = {.hint = 0};

    avro_begin(sc, &f.rec);
    fields_put_text(&f, "job_id", jr->id);
    fields_put_text(&f, "kind", jr->kind);
    fields_put_text(&f, "state", jr->state);
    fields_put_text(&f, "operation", jr->operation);
    put_map(&f, "params", jr->params, jr->n_params, false);
    put_command(&f, jr);
    fields_put_optional(&f, "page_token", jr->page_token);
    fields_put_number(&f, "pages", jr->pages);
    fields_put_number(&f, "items", jr->items);
    fields_put_number(&f, "max_items", jr->max_items);
    fields_put_number(&f, "run", jr->run);
    put_time(&f, "watermark", jr->watermark);
    put_fan(&f, jr);
    fields_put_number(&f, "seq", jr->seq);
    fields_put_int(&f, "version", JOB_VERSION);
    fields_put_number(&f, "created_at", jr->created_at);
    fields_put_number(&f, "updated_at", jr->updated_at);
    put_time(&f, "next_run_at", jr->next_run_at);
    fields_put_int(&f, "restarts", jr->restarts);
    fields_put_optional(&f, "error", jr->error);
    fields_put_optional(&f, "instance", jr->instance);
    fields_put_number(&f, "walk_items", jr->walk_items);
    fields_put_optional(&f, "group", jr->group);
    return avro_encode(ss, sc, out);
}

static int64_t get_time(struct reading *r, const char *name)
{
    int64_t ms = fields_get_number(r, name);

    return ms > 0 ? ms : 0;
}

/* At most `max` of the map's pairs. */
static size_t get_map(struct reading *r, const char *name, struct pair *pairs, size_t max,
                      bool bytes)
{
    struct cell map, item;
    size_t n = 0;

    if (!cell_field(&r->rec, name, &r->hint, &map))
        return 0;
    for (size_t i = 0; i < cell_size(&map) && n < max; i++) {
        const char *key = "";
        struct pair *p = &pairs[n];

        if (!cell_at(&map, i, &item, &key))
            continue;
        if ((bytes ? cell_bytes(&item, r->a, &p->value)
                   : cell_string(&item, r->a, &p->value)) != 0)
            r->rc = -1;
        p->name = (struct str){arena_strndup(r->a, key, strlen(key)), strlen(key)};
        n++;
    }
    return n;
}

static void get_params(struct reading *r, struct job_record *out)
{
    struct reading look = *r;
    struct cell map;
    size_t n = cell_field(&look.rec, "params", &look.hint, &map) ? cell_size(&map) : 0;

    n = n > PARAMS_MAX ? PARAMS_MAX : n;
    out->params = arena_zalloc(r->a, (n + 1) * sizeof *out->params);
    out->n_params = get_map(r, "params", out->params, n, false);
}

static void get_fan(struct reading *r, struct job_record *out)
{
    struct cell rows, row;
    size_t n = cell_field(&r->rec, "fan_rows", &r->hint, &rows) ? cell_size(&rows) : 0;

    out->fan_rows = arena_zalloc(r->a, (n + 1) * sizeof *out->fan_rows);
    for (size_t i = 0; i < n; i++)
        if (!cell_at(&rows, i, &row, NULL) ||
            cell_string(&row, r->a, &out->fan_rows[out->n_fan_rows++]) != 0)
            r->rc = -1;
    out->fan_list = fields_get_text(r, "fan_list");
    out->fan_token = fields_get_text(r, "fan_token");
    out->fan_last = fields_get_boolean(r, "fan_last");
}

static void get_command(struct reading *r, struct job_record *out)
{
    out->command_id = fields_get_text(r, "command_id");
    out->key = fields_get_bytes(r, "key");
    out->reply_topic = fields_get_text(r, "reply_topic");
    out->reply_partition = fields_get_number(r, "reply_partition");
    out->n_echo = get_map(r, "reply_headers", out->echo, JOB_ECHO_MAX, true);
    out->source_topic = fields_get_text(r, "source_topic");
    out->source_partition = fields_get_number(r, "source_partition");
    out->source_offset = fields_get_number(r, "source_offset");
    out->request_digest = fields_get_text(r, "request_digest");
    out->traceparent = fields_get_text(r, "traceparent");
    out->tracestate = fields_get_text(r, "tracestate");
    out->deadline = fields_get_number(r, "deadline");
    out->priority = fields_get_text(r, "priority");
    out->received_at = fields_get_number(r, "received_at");
    out->started_at = fields_get_number(r, "started_at");
    out->attempts = fields_get_number(r, "attempts");
}

int job_record_decode(struct schemas *ss, struct str value, struct arena *a,
                      struct job_record *out, struct err *e)
{
    struct reading r = {.a = a};

    *out = (struct job_record){.kind = STR_NULL};
    if (fields_open(ss, value, "front.Job", &r, e) != 0)
        return -1;
    out->id = fields_get_text(&r, "job_id");
    out->kind = fields_get_text(&r, "kind");
    out->state = fields_get_text(&r, "state");
    out->operation = fields_get_text(&r, "operation");
    get_params(&r, out);
    get_command(&r, out);
    out->page_token = fields_get_text(&r, "page_token");
    out->pages = fields_get_number(&r, "pages");
    out->items = fields_get_number(&r, "items");
    out->max_items = fields_get_number(&r, "max_items");
    out->run = get_time(&r, "run");
    out->watermark = get_time(&r, "watermark");
    get_fan(&r, out);
    out->seq = fields_get_number(&r, "seq");
    out->created_at = fields_get_number(&r, "created_at");
    out->updated_at = fields_get_number(&r, "updated_at");
    out->next_run_at = get_time(&r, "next_run_at");
    out->restarts = fields_get_number(&r, "restarts");
    out->error = fields_get_text(&r, "error");
    out->instance = fields_get_text(&r, "instance");
    out->walk_items = fields_get_number(&r, "walk_items");
    out->group = fields_get_text(&r, "group");
    if (r.rc != 0 || out->seq == NO_NUMBER || out->pages == NO_NUMBER ||
        out->items == NO_NUMBER || out->walk_items == NO_NUMBER)
        return err_input(e, "BadValue", "a field of another type");
    return 0;
}
