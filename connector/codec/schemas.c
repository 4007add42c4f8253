/* See schemas.h. Compiled-in schemas are compiled on first use; those of schemas.dir at
 * once. */
#include "codec/schemas.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "codec/avro.h"

struct schemas {
    struct schema *by_fingerprint; /* owns */
};

static struct schema *find(struct schemas *ss, uint64_t fingerprint);
static const struct schema *compile_row(struct schemas *ss, const struct schema_row *row);
static int load_dir(struct schemas *ss, const char *dir, struct err *e);
static int load_file(struct schemas *ss, const char *path, struct err *e);

struct schemas *schemas_new(const char *dir, struct err *e)
{
    struct schemas *ss = mem_zalloc(sizeof *ss);
    if (dir != NULL && load_dir(ss, dir, e)) {
        schemas_free(ss);
        return NULL;
    }
    return ss;
}

void schemas_free(struct schemas *ss)
{
    struct schema *sc, *tmp;
    if (ss == NULL)
        return;
    HASH_ITER (hh, ss->by_fingerprint, sc, tmp) {
        HASH_DELETE(hh, ss->by_fingerprint, sc);
        schema_free(sc);
    }
    mem_free(ss);
}

const struct schema *schemas_by_fingerprint(struct schemas *ss, uint64_t fingerprint)
{
    const struct schema *sc = find(ss, fingerprint);
    for (size_t i = 0; sc == NULL && i < schemas_table_n; i++)
        if (schemas_table[i].fingerprint == fingerprint)
            sc = compile_row(ss, &schemas_table[i]);
    return sc;
}

const struct schema *schemas_xget(struct schemas *ss, const char *full_name)
{
    const struct schema_row *row = schemas_row(full_name);
    assert(row != NULL);
    const struct schema *sc = find(ss, row->fingerprint);
    return sc != NULL ? sc : compile_row(ss, row);
}

const struct schema_row *schemas_row(const char *full_name)
{
    for (size_t i = 0; i < schemas_table_n; i++)
        if (strcmp(schemas_table[i].full_name, full_name) == 0)
            return &schemas_table[i];
    return NULL;
}

const char *schema_full_name(const struct schema *sc)
{
    return sc->root->name != NULL ? sc->root->name : "";
}

uint64_t schema_fingerprint(const struct schema *sc)
{
    return sc->fingerprint;
}

const char *schema_text(const struct schema *sc)
{
    return sc->text;
}

static struct schema *find(struct schemas *ss, uint64_t fingerprint)
{
    struct schema *sc;
    HASH_FIND(hh, ss->by_fingerprint, &fingerprint, sizeof fingerprint, sc);
    return sc;
}

/* The generator computed the fingerprint too: both must agree, or the table is stale. */
static const struct schema *compile_row(struct schemas *ss, const struct schema_row *row)
{
    struct err e = ERR_INIT;
    struct schema *sc = schema_compile(row->text, row->text_len, &e);
    assert(sc != NULL && sc->fingerprint == row->fingerprint);
    HASH_ADD(hh, ss->by_fingerprint, fingerprint, sizeof sc->fingerprint, sc);
    return sc;
}

static int load_dir(struct schemas *ss, const char *dir, struct err *e)
{
    DIR *d = opendir(dir);
    int rc = 0;
    if (d == NULL)
        return err_set(e, ERR_SETTINGS, "schemas.dir %s cannot be read", dir);
    const struct dirent *entry;
    while (rc == 0 && (entry = readdir(d)) != NULL) {
        size_t n = strlen(entry->d_name);
        if (n <= 5 || strcmp(entry->d_name + n - 5, ".avsc") != 0)
            continue;
        char *path = mem_printf("%s/%s", dir, entry->d_name);
        rc = load_file(ss, path, e);
        mem_free(path);
    }
    closedir(d);
    return rc;
}

static int load_file(struct schemas *ss, const char *path, struct err *e)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL)
        return err_set(e, ERR_SETTINGS, "%s cannot be read", path);
    struct buf text;
    char piece[4096];
    size_t n;
    buf_init(&text, 512 * 1024);
    while ((n = fread(piece, 1, sizeof piece, f)) > 0)
        (void)buf_add(&text, piece, n);
    fclose(f);
    struct schema *sc = schema_compile(text.data ? text.data : "", text.len, e);
    buf_fini(&text);
    if (sc == NULL) {
        e->kind = ERR_SETTINGS;
        return err_prefix(e, "%s", path);
    }
    if (find(ss, sc->fingerprint) != NULL)
        schema_free(sc);
    else
        HASH_ADD(hh, ss->by_fingerprint, fingerprint, sizeof sc->fingerprint, sc);
    return 0;
}
