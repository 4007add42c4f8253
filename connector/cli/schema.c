/* `schema list` and `schema show NAME`: the schemas that are compiled in. */
#include "cli/cli.h"

#include <inttypes.h>
#include <string.h>

#include "base/str.h"
#include "codec/schemas.h"

static const char *schema_name(const void *arg, size_t i)
{
    (void)arg;
    return i < schemas_table_n ? schemas_table[i].full_name : NULL;
}

static const char *after_last(const char *text, char sep)
{
    const char *at = strrchr(text, sep);

    return at ? at + 1 : text;
}

/* By full name ("front.Command"), by last word ("Command") or by file
 * ("records/Command.avsc"). */
static const struct schema_row *find(const char *name)
{
    const struct schema_row *row = schemas_row(name);

    for (size_t i = 0; !row && i < schemas_table_n; i++) {
        const struct schema_row *at = &schemas_table[i];

        if (strcmp(at->file, name) == 0 ||
            strcmp(after_last(at->full_name, '.'), name) == 0)
            row = at;
    }
    return row;
}

static int list(struct cli *c)
{
    for (size_t i = 0; i < schemas_table_n; i++)
        fprintf(c->out, "%-58s %016" PRIx64 "  %s\n", schemas_table[i].full_name,
                schemas_table[i].fingerprint, schemas_table[i].file);
    return EXIT_DONE;
}

static int show(struct cli *c, const char *name)
{
    const struct schema_row *row = find(name);
    const char *near;

    if (!row) {
        near = str_nearest(str_of(name), schema_name, NULL);
        if (near)
            return cli_usage(c, "unknown schema %s, nearest: %s", name, near);
        return cli_usage(c, "unknown schema %s; `schema list` has them all", name);
    }
    if (fwrite(row->text, 1, row->text_len, c->out) != row->text_len)
        return cli_fail(c, EXIT_FAILED, "could not write");
    return EXIT_DONE;
}

int cli_schema(struct cli *c)
{
    const char *word = c->args[0];

    if (strcmp(word, "list") == 0 && c->n_args == 1)
        return list(c);
    if (strcmp(word, "show") == 0 && c->n_args == 2)
        return show(c, c->args[1]);
    return cli_usage(c, "usage: front-connector schema %s", c->command->usage);
}
