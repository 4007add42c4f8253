/* `schema list` and `schema show NAME`: the schemas that are compiled in; `schema
 * register`: the same at the registry. */
#include "cli/cli.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/registry_tool.h"
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

/* --- register --- */

#define REGISTER_MS 30000

struct registering {
    struct cli *c;
    struct settings s;
    struct launch l;
    struct schemas *ss;
    struct registry_tool rt;
    size_t done, failed;
};

static void register_one(struct registering *rg, const char *full_name, const char *topic)
{
    const struct schema *sc = schemas_xget(rg->ss, full_name);
    char *subject = registry_subject(rg->l.registry.subjects, topic, full_name);
    struct err e = ERR_INIT;

    if (registry_output_wait(rg->rt.rl, sc, topic, REGISTER_MS, &e) == REGISTRY_KNOWN) {
        fprintf(rg->c->out, "%-58s %-42s %d\n", subject, full_name, (int)schema_id(sc));
        rg->done++;
    } else {
        cli_fail(rg->c, EXIT_FAILED, "%s: %s", full_name, e.text);
        rg->failed++;
    }
    mem_free(subject);
}

static bool is_wanted(const struct cli *c, const char *full_name)
{
    if (c->n_args == 1)
        return true;
    for (size_t i = 1; i < c->n_args; i++) {
        if (fnmatch(c->args[i], full_name, 0) == 0)
            return true;
    }
    return false;
}

/* Typed commands, only when they are named, go where commands go. */
static void register_typed(struct registering *rg)
{
    for (size_t i = 0; rg->c->n_args > 1 && i < schemas_table_n; i++) {
        const char *name = schemas_table[i].full_name;

        if (strncmp(name, "front.command.", 14) != 0 || !is_wanted(rg->c, name))
            continue;
        for (size_t t = 0; t < rg->s.commands_topics.n; t++)
            register_one(rg, name, rg->s.commands_topics.items[t]);
    }
}

static int register_all(struct registering *rg)
{
    size_t n;
    struct subject *all = subjects_all(&rg->s, &n);

    for (size_t i = 0; i < n; i++) {
        if (is_wanted(rg->c, all[i].full_name))
            register_one(rg, all[i].full_name, all[i].topic);
    }
    subjects_free(all, n);
    register_typed(rg);
    if (rg->done + rg->failed == 0)
        return cli_usage(rg->c, "no schema has that name; `schema list` has them all");
    return rg->failed == 0 ? EXIT_DONE : EXIT_FAILED;
}

static int register_schemas(struct cli *c)
{
    struct registering rg;
    struct err e = ERR_INIT;
    int code = EXIT_USAGE;

    memset(&rg, 0, sizeof(rg));
    rg.c = c;
    if (cli_settings(c, NEED_NOTHING, &rg.s) != 0) {
        settings_close(&rg.s);
        return EXIT_USAGE;
    }
    launch_init(&rg.l, &rg.s);
    rg.l.registry.registers = true;
    rg.ss = schemas_new(NULL, &e);
    if (rg.l.registry.n == 0)
        cli_usage(c, "schemas.registry.url is not set");
    else if (registry_tool_open(&rg.rt, &rg.l, rg.ss, &e) != 0)
        cli_usage(c, "%s", e.text);
    else
        code = register_all(&rg);
    registry_tool_close(&rg.rt);
    schemas_free(rg.ss);
    launch_fini(&rg.l);
    settings_close(&rg.s);
    return code;
}

int cli_schema(struct cli *c)
{
    const char *word = c->args[0];

    if (strcmp(word, "list") == 0 && c->n_args == 1)
        return list(c);
    if (strcmp(word, "show") == 0 && c->n_args == 2)
        return show(c, c->args[1]);
    if (strcmp(word, "register") == 0)
        return register_schemas(c);
    return cli_usage(c, "usage: front-connector schema %s", c->command->usage);
}
