/* A page of a list as records of its resource topic, for the tick that also carries what
 * ends the page: of a list command its result.
 *
 * Owns the records' bytes, keys, headers until items_free. Invariant: a record that its
 * topic is known not to take is never in it. */
#include <string.h>

#include "codec/json.h"
#include "codec/records/event.h"
#include "codec/records/item.h"
#include "engine/internal.h"

/* Of one page. It goes in one tick whatever its size, so it is bounded here: four times
 * what a tick of small records holds. */
#define ITEMS_MAX 100000
#define ITEMS_BYTES_MAX ((size_t)4 * TICK_BYTES_MAX)

struct filling {
    struct engine *en;
    const struct items_of *of;
    struct items *it;
    struct buf bytes;
    struct item_record *records;
    size_t n_records;
    struct arena scratch;
    size_t mistyped;
};

static bool make_bare(struct engine *en, struct items *it, size_t i);
static int fill(struct filling *f, struct str results, struct err *e);
static int add(struct filling *f, struct str json, struct err *e);
static void place(struct filling *f);
static bool fits(const struct filling *f, const struct kafka_output *out);
static int fill_events(struct filling *f, struct str results, struct err *e);
static int add_event(struct filling *f, struct str json, struct err *e);
static int write_event(struct filling *f, const struct event *ev,
                       struct kafka_output *out);
static void add_headers(struct items *it, struct kafka_output *out);
static bool make_event_bare(struct engine *en, struct items *it, size_t i);
static int too_large(const struct filling *f, struct str key, struct err *e);
static int too_many(struct err *e, const struct items_of *of, const char *what);

struct items *items_new(struct engine *en, const struct items_of *of, struct str results,
                        size_t n, struct err *e)
{
    struct filling f = {.en = en, .of = of};
    struct items *it = mem_zalloc(sizeof *it);
    int rc = -1;

    f.it = it;
    arena_init(&it->arena, 0);
    arena_init(&f.scratch, 0);
    buf_init(&f.bytes, ITEMS_BYTES_MAX);
    it->kind = of->op->items;
    it->parent_id = of->parent_id;
    if (of->parent_id.ptr != NULL)
        it->parent_id.ptr =
            arena_strndup(&it->arena, of->parent_id.ptr, of->parent_id.len);
    it->delivery = of->delivery;
    if (of->command_id.ptr != NULL)
        it->headers = headers_for_item(of->command_id, str_of(of->op->name), of->source,
                                       &it->arena, &it->n_headers);
    if (n > ITEMS_MAX) {
        rc = too_many(e, of, "items");
    } else {
        it->n = n;
        it->outputs = mem_array(it->n, sizeof *it->outputs);
        it->raw_len = mem_array(it->n, sizeof *it->raw_len);
        f.records = mem_array(it->n, sizeof *f.records);
        rc = it->kind == &item_event ? fill_events(&f, results, e) : fill(&f, results, e);
    }
    if (rc == 0) {
        metric_add(metrics_get(en->metrics, M_ITEMS_MISTYPED, of->topic->name, NULL),
                   (double)f.mistyped);
    } else {
        items_free(it);
        it = NULL;
    }
    mem_free(f.records);
    buf_fini(&f.bytes);
    arena_fini(&f.scratch);
    return it;
}

void items_free(struct items *it)
{
    if (it == NULL)
        return;
    mem_free(it->outputs);
    mem_free(it->raw_len);
    mem_free(it->bytes);
    arena_fini(&it->arena);
    mem_free(it);
}

const char *items_refused(const struct items *it, size_t i, const char *why,
                          struct arena *a)
{
    return arena_printf(a,
                        "item %.*s was refused, so the list failed: %s; see that the "
                        "topic is there, may be written and takes records as large",
                        STR_ARG(it->outputs[i].key), why);
}

size_t items_count(const struct items *it)
{
    return it != NULL ? it->n : 0;
}

size_t items_bytes(const struct items *it)
{
    return it != NULL ? it->bytes_len : 0;
}

bool items_slim(struct engine *en, struct items *it, size_t i)
{
    size_t half = it->outputs[i].value.len / 2;
    bool slimmed = make_bare(en, it, i);

    for (size_t n = 0; slimmed && n < it->n; n++)
        if (it->outputs[n].value.len > half)
            (void)make_bare(en, it, n); /* one that is bare stays as it is */
    return slimmed;
}

/* False: it is bare already, or would be no smaller. */
static bool make_bare(struct engine *en, struct items *it, size_t i)
{
    struct kafka_output *out = &it->outputs[i];
    size_t raw_len = it->raw_len[i];
    struct item_record rec;
    struct arena scratch;
    int rc;

    if (raw_len == 0)
        return false;
    if (it->kind == &item_event)
        return make_event_bare(en, it, i);
    struct str json = {out->value.ptr + out->value.len - raw_len, raw_len};
    arena_init(&scratch, 0);
    buf_reset(&en->encoded);
    rc = item_encode(en->ss, it->kind, json, it->parent_id, true, &scratch, &en->encoded,
                     &rec);
    arena_fini(&scratch);
    if (rc != 0 || rec.value_len >= out->value.len)
        return false;
    it->bytes_len -= out->value.len - rec.value_len;
    out->value.len = rec.value_len;
    out->value.ptr =
        arena_strndup(&it->arena, en->encoded.data + rec.value_at, rec.value_len);
    it->raw_len[i] = 0;
    metric_add(metrics_get(en->metrics, M_ITEMS_MISTYPED, out->topic, NULL), 1);
    return true;
}

static int fill(struct filling *f, struct str results, struct err *e)
{
    struct str element;
    size_t pos = 0;

    for (; f->n_records < f->it->n; f->n_records++) {
        (void)json_next(results, &pos, &element); /* they were counted */
        if (add(f, element, e) != 0)
            return -1;
    }
    place(f);
    return 0;
}

/* One that is too large for its topic goes without its typed fields, which say what _raw
 * says. */
static int add(struct filling *f, struct str json, struct err *e)
{
    struct item_record *rec = &f->records[f->n_records];
    size_t start = f->bytes.len;
    bool bare = false;

    for (;;) {
        if (item_encode(f->en->ss, f->it->kind, json, f->it->parent_id, bare, &f->scratch,
                        &f->bytes, rec) != 0)
            return too_many(e, f->of, "bytes");
        struct kafka_output out = {.key = {f->bytes.data + rec->key_at, rec->key_len},
                                   .value.len = rec->value_len,
                                   .headers = f->it->headers,
                                   .n_headers = f->it->n_headers};
        if (fits(f, &out))
            break;
        if (bare)
            return too_large(f, out.key, e);
        bare = true;
        f->bytes.len = start;
    }
    f->it->raw_len[f->n_records] = bare ? 0 : rec->raw_len;
    f->mistyped += rec->mistyped;
    return 0;
}

/* The bytes lie still now. */
static void place(struct filling *f)
{
    struct items *it = f->it;

    it->bytes_len = f->bytes.len;
    it->bytes = mem_realloc(buf_take(&f->bytes, NULL), it->bytes_len + 1);
    for (size_t i = 0; i < it->n; i++) {
        const struct item_record *rec = &f->records[i];

        it->outputs[i] =
            (struct kafka_output){.topic = f->of->topic->name,
                                  .partition = -1,
                                  .key = {it->bytes + rec->key_at, rec->key_len},
                                  .value = {it->bytes + rec->value_at, rec->value_len},
                                  .headers = it->headers,
                                  .n_headers = it->n_headers};
    }
}

static bool fits(const struct filling *f, const struct kafka_output *out)
{
    return f->of->topic->max_bytes <= 0 ||
           (int64_t)answer_record_size(out) <= f->of->topic->max_bytes;
}

static int too_large(const struct filling *f, struct str key, struct err *e)
{
    return err_input(e, "too-large",
                     "item %.*s is larger than the %lld bytes that topic %s takes: raise "
                     "its max.message.bytes",
                     key.len > 200 ? 200 : (int)key.len, key.ptr,
                     (long long)f->of->topic->max_bytes, f->of->topic->name);
}

/* --- events --- */

static int fill_events(struct filling *f, struct str results, struct err *e)
{
    struct str element;
    size_t pos = 0;

    f->it->emitted_at =
        arena_alloc(&f->it->arena, (f->it->n + 1) * sizeof *f->it->emitted_at);
    for (; f->n_records < f->it->n; f->n_records++) {
        (void)json_next(results, &pos, &element);
        if (add_event(f, element, e) != 0)
            return -1;
        if (f->it->bytes_len > ITEMS_BYTES_MAX)
            return too_many(e, f->of, "bytes");
    }
    return 0;
}

/* One that is too large for its topic goes with its id for a payload. */
static int add_event(struct filling *f, struct str json, struct err *e)
{
    struct items *it = f->it;
    struct kafka_output *out = &it->outputs[f->n_records];
    struct event ev;

    arena_reset(&f->scratch);
    events_read(json, &f->scratch, &ev);
    ev.received_at = clock_wall(f->en->clock);
    ev.delivery = str_of(it->delivery);
    it->raw_len[f->n_records] = json.len;
    it->emitted_at[f->n_records] = ev.emitted_at;
    if (ev.type.len == 0)
        f->mistyped++;
    if (write_event(f, &ev, out) != 0) {
        it->raw_len[f->n_records] = 0;
        f->mistyped++;
        ev.payload = events_bare(&ev, &f->scratch);
        if (write_event(f, &ev, out) != 0)
            return too_large(f, ev.id, e);
    }
    it->bytes_len += out->key.len + out->value.len;
    return 0;
}

static int write_event(struct filling *f, const struct event *ev,
                       struct kafka_output *out)
{
    if (events_output(f->en, ev, f->of->topic->name, &f->bytes, &f->scratch,
                      &f->it->arena, out) != 0)
        return -1;
    add_headers(f->it, out);
    return fits(f, out) ? 0 : -1;
}

static void add_headers(struct items *it, struct kafka_output *out)
{
    for (size_t i = 0; i < it->n_headers; i++)
        out->headers[out->n_headers++] = it->headers[i];
}

static bool make_event_bare(struct engine *en, struct items *it, size_t i)
{
    struct kafka_output *out = &it->outputs[i], bare;
    struct arena scratch;
    struct buf bytes;
    struct event ev;
    struct err e = ERR_INIT;
    bool smaller = false;

    arena_init(&scratch, 0);
    buf_init(&bytes, ITEMS_BYTES_MAX);
    if (event_decode(en->ss, out->value, &scratch, &ev, &e) == 0) {
        ev.payload = events_bare(&ev, &scratch);
        smaller = events_output(en, &ev, out->topic, &bytes, &scratch, &it->arena,
                                &bare) == 0 &&
                  bare.value.len < out->value.len;
    }
    if (smaller) {
        add_headers(it, &bare);
        it->bytes_len -= out->value.len - bare.value.len;
        *out = bare;
        it->raw_len[i] = 0;
        metric_add(metrics_get(en->metrics, M_ITEMS_MISTYPED, out->topic, NULL), 1);
    }
    buf_fini(&bytes);
    arena_fini(&scratch);
    return smaller;
}

void items_committed(struct engine *en, const struct items *it)
{
    for (size_t i = 0; it != NULL && it->emitted_at != NULL && i < it->n; i++)
        events_count(en, it->delivery, it->emitted_at[i]);
}

static int too_many(struct err *e, const struct items_of *of, const char *what)
{
    return err_input(e, "too-large",
                     "the page has more than %d %s: ask for fewer items with %s",
                     what[0] == 'i' ? ITEMS_MAX : (int)ITEMS_BYTES_MAX, what,
                     of->op->paged ? "limit" : "max_items");
}
