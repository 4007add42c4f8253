/* See items.h. */
#include "engine/items.h"

#include "codec/json.h"
#include "engine/internal.h"

static size_t count_rows(struct str rows, int64_t most);
static struct kafka_header *headers_of(const struct items_of *of, struct arena *a,
                                       size_t *n);

bool items_stream(const struct engine *en, const struct op *op)
{
    return en->o.resources_prefix != NULL && en->jobs_topic != NULL && op != NULL &&
           op->list && op->resource != NULL && op->method == HTTP_GET;
}

enum topic_answer items_topic(struct engine *en, const struct op *op,
                              const char **interned)
{
    int64_t max_bytes;
    int32_t partitions;
    char *name = mem_printf("%s%s", en->o.resources_prefix, op->resource);
    enum topic_answer answer =
        topic_ask(en, str_of(name), interned, &partitions, &max_bytes);

    if (answer == TOPIC_MISSING)
        log_warn("items.topic", "topic %s is missing: %s answers its first page only",
                 name, op->name);
    mem_free(name);
    return answer;
}

int items_read(struct engine *en, const struct items_of *of, struct str body,
               int64_t most, struct arena *a, struct items *out, struct err *e)
{
    struct str rows = STR_NULL, row;
    const char *topic = arena_printf(a, "%s%s", en->o.resources_prefix, of->op->resource);
    size_t pos = 0, n, n_headers;

    *out = (struct items){.n = 0};
    if (json_is_valid(body))
        rows = json_member(body, "_results");
    if (rows.ptr == NULL || rows.ptr[0] != '[')
        return err_input(e, "front", "the answer is no list: it has no _results");
    n = count_rows(rows, most);
    out->outputs = arena_zalloc(a, (n + 1) * sizeof *out->outputs);
    struct kafka_header *headers = headers_of(of, a, &n_headers);
    while (out->n < n && json_next(rows, &pos, &row)) {
        struct str id = json_member(row, "id");
        struct kafka_output *item = &out->outputs[out->n++];
        *item =
            (struct kafka_output){.topic = en->kafka.intern(en->kafka.self, topic),
                                  .partition = -1,
                                  .value = {arena_strndup(a, row.ptr, row.len), row.len},
                                  .headers = headers,
                                  .n_headers = n_headers};
        if (id.ptr == NULL || json_unquote_arena(id, a, &item->key) != 0)
            item->key = item->value;
        out->bytes += row.len;
    }
    return 0;
}

static size_t count_rows(struct str rows, int64_t most)
{
    struct str row;
    size_t n = 0, pos = 0;

    while ((most < 0 || (int64_t)n < most) && json_next(rows, &pos, &row))
        n++;
    return n;
}

static struct kafka_header *headers_of(const struct items_of *of, struct arena *a,
                                       size_t *n)
{
    const struct kafka_header all[] = {
        {STR_LIT("command-id"),
         {arena_strndup(a, of->command_id.ptr, of->command_id.len), of->command_id.len}},
        {STR_LIT("operation"), str_of(of->op->name)},
        {STR_LIT("source"),
         {arena_strndup(a, of->source.ptr, of->source.len), of->source.len}}};
    struct kafka_header *hs = arena_alloc(a, sizeof all);

    memcpy(hs, all, sizeof all);
    *n = sizeof all / sizeof all[0];
    return hs;
}
