/* Commands out as front.Command, for `send` and tests.
 * Owns nothing. Invariant: every field of the record is set. */
#include <stdlib.h>

#include "codec/records/command_parts.h"

static int too_large(struct err *e)
{
    return err_input(e, "TooLarge", "the command is too large");
}

/* The schema is compiled in: a field that it lacks, or has as another type, is our bug.
 */
static struct cell place(const struct cell *rec, const char *name)
{
    struct cell c;
    size_t hint = 0;

    if (!cell_place(rec, name, &hint, &c))
        abort();
    return c;
}

static void must(int rc)
{
    if (rc != 0)
        abort();
}

static void put_text(const struct cell *rec, const char *name, struct str s)
{
    struct cell c = place(rec, name);

    must(s.ptr != NULL ? cell_set_string(&c, s) : cell_set_null(&c));
}

static void put_bytes(const struct cell *rec, const char *name, struct str s)
{
    struct cell c = place(rec, name);

    must(s.ptr != NULL ? cell_set_bytes(&c, s) : cell_set_null(&c));
}

static int put_pairs(const struct cell *rec, const char *name, const struct pair *pairs,
                     size_t n, struct err *e)
{
    struct cell map = place(rec, name), value;
    size_t i;

    for (i = 0; i < n; i++) {
        if (cell_add(&map, pairs[i].name, &value) != 0)
            return err_input(e, "invalid-command", "%s: a name with a NUL in it", name);
        must(cell_set_string(&value, pairs[i].value));
    }
    return 0;
}

static void put_file(const struct cell *list, const struct attachment *file)
{
    struct cell rec;

    cell_append(list, &rec);
    put_text(&rec, "filename", file->filename.ptr != NULL ? file->filename : STR_LIT(""));
    put_text(&rec, "content_type", file->content_type);
    put_bytes(&rec, "data", file->data);
    put_text(&rec, "url", file->url);
}

int command_encode_avro(struct schemas *ss, const struct command *cmd, struct buf *out,
                        struct err *e)
{
    const struct schema *sc = schemas_xget(ss, "front.Command");
    struct cell rec, files;
    size_t i;

    if (cmd->operation.ptr == NULL)
        return err_input(e, "invalid-command", "operation is missing");
    avro_begin(sc, &rec);
    put_text(&rec, "command_id", cmd->command_id);
    put_text(&rec, "operation", cmd->operation);
    if (put_pairs(&rec, "params", cmd->params, cmd->n_params, e) != 0)
        return -1;
    put_text(&rec, "body", cmd->body);
    files = place(&rec, "attachments");
    for (i = 0; i < cmd->n_attachments; i++)
        put_file(&files, &cmd->attachments[i]);
    put_text(&rec, "method", cmd->method);
    put_text(&rec, "path", cmd->path);
    if (put_pairs(&rec, "query", cmd->query, cmd->n_query, e) != 0 ||
        put_pairs(&rec, "headers", cmd->headers, cmd->n_headers, e) != 0)
        return -1;
    return avro_encode(ss, sc, out) == 0 ? 0 : too_large(e);
}
