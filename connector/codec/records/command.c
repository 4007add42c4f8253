/* Avro commands in: which kind of record it is, and the generic front.Command. Fields are
 * found by name in the writer's schema: missing ones take their default, others are
 * passed over.
 *
 * Owns nothing. Invariant: everything in a decoded command is in the arena. */
#include "codec/records/command.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "codec/records/command_parts.h"

int decode_mistyped(struct decode *d, const char *field, const char *wanted)
{
    return err_input(d->e, "BadValue", "field %s: not %s in the writer's schema", field,
                     wanted);
}

int attachment_check(const struct attachment *file, struct err *e)
{
    if (file->filename.ptr == NULL)
        return err_input(e, "invalid-command", "attachments: filename is missing");
    if ((file->data.ptr != NULL) == (file->url.ptr != NULL))
        return err_input(e, "invalid-command",
                         "attachments: %.*s: exactly one of data and url must be there",
                         STR_ARG(file->filename));
    return 0;
}

/* A text, or STR_NULL when it is null or missing. */
static int read_text(struct decode *d, const struct cell *rec, const char *name,
                     size_t *hint, struct str *out)
{
    struct cell c;

    *out = STR_NULL;
    if (!cell_field(rec, name, hint, &c))
        return 0;
    return cell_string(&c, d->a, out) == 0 ? 0 : decode_mistyped(d, name, "a string");
}

int decode_attachment(struct decode *d, const struct cell *c, const char *field,
                      struct attachment *out)
{
    struct cell data;
    size_t hint = 0;

    *out = (struct attachment){.field = field};
    if (c->node->type != AVRO_RECORD)
        return decode_mistyped(d, "attachments", "a record");
    if (read_text(d, c, "filename", &hint, &out->filename) != 0 ||
        read_text(d, c, "content_type", &hint, &out->content_type) != 0)
        return -1;
    if (cell_field(c, "data", &hint, &data) &&
        cell_bytes_in_place(&data, d->a, &out->data) != 0)
        return decode_mistyped(d, "data", "bytes");
    if (read_text(d, c, "url", &hint, &out->url) != 0)
        return -1;
    return attachment_check(out, d->e);
}

/* A value of a map: text, or a scalar, whose JSON text it becomes. */
static int read_scalar(struct decode *d, const struct cell *c, const char *name,
                       struct pair *out)
{
    int64_t n;
    bool b;

    if (cell_string(c, d->a, &out->value) == 0)
        return 0;
    out->json = true;
    if (cell_long(c, &n) == 0)
        out->value = str_of(arena_printf(d->a, "%" PRId64, n));
    else if (cell_boolean(c, &b) == 0)
        out->value = b ? STR_LIT("true") : STR_LIT("false");
    else
        return decode_mistyped(d, name, "a map of strings");
    return 0;
}

static int read_pairs(struct decode *d, const struct cell *rec, const char *name,
                      size_t *hint, struct pair **pairs, size_t *n_pairs)
{
    struct cell map, value;
    size_t n, i;

    if (!cell_field(rec, name, hint, &map))
        return 0;
    if (map.node->type != AVRO_MAP)
        return decode_mistyped(d, name, "a map of strings");
    n = cell_size(&map);
    if (n == 0)
        return 0;
    *pairs = arena_zalloc(d->a, n * sizeof(**pairs));
    for (i = 0; i < n; i++) {
        struct pair *p = &(*pairs)[*n_pairs];
        const char *key;

        if (!cell_at(&map, i, &value, &key))
            continue;
        p->name = str_of(arena_strndup(d->a, key, strlen(key)));
        if (read_scalar(d, &value, name, p) != 0)
            return -1;
        ++*n_pairs;
    }
    return 0;
}

static int read_attachments(struct decode *d, const struct cell *rec, size_t *hint)
{
    struct command *out = d->out;
    struct cell list, item;
    size_t n, i;

    if (!cell_field(rec, "attachments", hint, &list))
        return 0;
    if (list.node->type != AVRO_ARRAY)
        return decode_mistyped(d, "attachments", "an array");
    n = cell_size(&list);
    if (n > 0)
        out->attachments = arena_zalloc(d->a, n * sizeof(*out->attachments));
    for (i = 0; i < n; i++) {
        if (!cell_at(&list, i, &item, NULL))
            continue;
        if (decode_attachment(d, &item, NULL, &out->attachments[out->n_attachments]) != 0)
            return -1;
        out->n_attachments++;
    }
    return 0;
}

int decode_generic(struct decode *d, const struct cell *rec)
{
    struct command *out = d->out;
    size_t hint = 0;

    /* In the order of our schema, each is then found where the one before ended. */
    if (read_text(d, rec, "command_id", &hint, &out->command_id) != 0 ||
        read_text(d, rec, "operation", &hint, &out->operation) != 0 ||
        read_pairs(d, rec, "params", &hint, &out->params, &out->n_params) != 0 ||
        read_text(d, rec, "body", &hint, &out->body) != 0 ||
        read_attachments(d, rec, &hint) != 0 ||
        read_text(d, rec, "method", &hint, &out->method) != 0 ||
        read_text(d, rec, "path", &hint, &out->path) != 0 ||
        read_pairs(d, rec, "query", &hint, &out->query, &out->n_query) != 0 ||
        read_pairs(d, rec, "headers", &hint, &out->headers, &out->n_headers) != 0)
        return -1;
    if (out->operation.ptr == NULL)
        return err_input(d->e, "invalid-command", "operation is missing");
    return 0;
}

static int decode_record(struct decode *d, typed_find_fn *find, const struct schema *sc,
                         struct str datum)
{
    const char *name = schema_full_name(sc);
    bool generic = strcmp(name, "front.Command") == 0;
    const struct typed_record *type = generic ? NULL : find(str_of(name));
    struct cell rec;

    if ((!generic && type == NULL) || sc->form->root->type != AVRO_RECORD)
        return err_input(d->e, "RecordUnknown",
                         "%s is no command: a command is a record named front.Command or "
                         "front.command.<Operation>",
                         *name != '\0' ? name : "a value without a record's name");
    if (avro_decode(d->ss, sc, datum, &rec, d->e) != 0)
        return -1;
    return generic ? decode_generic(d, &rec) : decode_typed(d, &rec, type);
}

enum framing_result command_decode_avro(struct schemas *ss, typed_find_fn *find,
                                        struct str value, struct arena *a,
                                        struct command *out, struct err *e)
{
    struct decode d = {.ss = ss, .a = a, .out = out, .e = e};
    const struct schema *sc;
    struct str datum;
    enum framing_result framed;

    *out = (struct command){0};
    framed = framing_open(ss, value, &sc, &datum, e);
    if (framed != FRAMING_OK)
        return framed;
    return decode_record(&d, find, sc, datum) == 0 ? FRAMING_OK : FRAMING_BAD;
}
