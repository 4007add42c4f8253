/* The store of schemas: the compiled-in table, looked up by fingerprint or name and
 * compiled on first use, and the files of schemas.dir, compiled at once because their
 * fingerprints are needed.
 *
 * Owns every schema, and the reader, writer and scratch text that all of the codec
 * shares. Invariant: a schema that was handed out is compiled. */
#include "codec/schemas.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/avro.h"

enum {
    SCRATCH_MAX = 64 * 1024 * 1024,
    SCRATCH_KEEP = 256 * 1024,
    REFS_MAX = 1024 * 1024 * 1024 /* larger than any record */
};

static int load_dir(struct schemas *ss, const char *dir, struct err *e);

static void index_table(struct schemas *ss)
{
    size_t i;

    ss->table = mem_array(schemas_table_n, sizeof(struct schema));
    for (i = 0; i < schemas_table_n; i++) {
        struct schema *sc = &ss->table[i];

        sc->full_name = schemas_table[i].full_name;
        sc->text = schemas_table[i].text;
        sc->text_len = schemas_table[i].text_len;
        sc->fingerprint = schemas_table[i].fingerprint;
        HASH_ADD(by_fingerprint, ss->by_fingerprint, fingerprint, sizeof(sc->fingerprint),
                 sc);
        HASH_ADD_KEYPTR(by_name, ss->by_name, sc->full_name, strlen(sc->full_name), sc);
    }
}

struct schemas *schemas_new(const char *dir, struct err *e)
{
    struct schemas *ss = mem_zalloc(sizeof(*ss));

    ss->reader = avro_reader_memory("", 0);
    ss->writer = avro_writer_memory("", 0);
    if (ss->reader == NULL || ss->writer == NULL)
        abort(); /* as mem_alloc does */
    buf_init(&ss->scratch, SCRATCH_MAX);
    buf_init(&ss->refs, REFS_MAX);
    index_table(ss);
    if (dir != NULL && load_dir(ss, dir, e) != 0) {
        schemas_free(ss);
        return NULL;
    }
    return ss;
}

static void schema_free(struct schema *sc)
{
    avro_form_free(sc->form);
    if (!sc->owned)
        return;
    mem_free(mem_unconst(sc->text));
    mem_free(sc);
}

void schemas_free(struct schemas *ss)
{
    struct schema *sc, *next;

    if (ss == NULL)
        return;
    HASH_CLEAR(by_name, ss->by_name);
    HASH_ITER (by_fingerprint, ss->by_fingerprint, sc, next) {
        HASH_DELETE(by_fingerprint, ss->by_fingerprint, sc);
        schema_free(sc);
    }
    for (sc = ss->writers; sc != NULL; sc = next) {
        next = sc->next;
        schema_free(sc);
    }
    mem_free(ss->table);
    mem_free(ss->spans.items);
    buf_fini(&ss->refs);
    buf_fini(&ss->scratch);
    avro_reader_free(ss->reader);
    avro_writer_free(ss->writer);
    mem_free(ss);
}

static struct schema *compiled(struct schema *sc)
{
    struct err e = ERR_INIT;

    if (sc == NULL || sc->form != NULL)
        return sc;
    sc->form = avro_form_new((struct str){sc->text, sc->text_len}, &e);
    if (sc->form == NULL) {
        (void)fprintf(stderr, "compiled-in schema %s: %s\n", sc->full_name, e.text);
        abort(); /* the table is ours, and a test compiles all of it */
    }
    return sc;
}

static struct schema *find(struct schemas *ss, uint64_t fingerprint)
{
    struct schema *sc;

    HASH_FIND(by_fingerprint, ss->by_fingerprint, &fingerprint, sizeof(fingerprint), sc);
    return sc;
}

const struct schema *schemas_by_fingerprint(struct schemas *ss, uint64_t fingerprint)
{
    return compiled(find(ss, fingerprint));
}

const struct schema *schemas_xget(struct schemas *ss, const char *full_name)
{
    struct schema *sc;

    HASH_FIND(by_name, ss->by_name, full_name, strlen(full_name), sc);
    if (sc == NULL)
        abort(); /* asked for by a name of ours */
    return compiled(sc);
}

const struct schema_row *schemas_row(const char *full_name)
{
    size_t i;

    for (i = 0; i < schemas_table_n; i++)
        if (strcmp(schemas_table[i].full_name, full_name) == 0)
            return &schemas_table[i];
    return NULL;
}

const char *schema_full_name(const struct schema *sc)
{
    return sc->full_name;
}

uint64_t schema_fingerprint(const struct schema *sc)
{
    return sc->fingerprint;
}

struct str schema_text(const struct schema *sc)
{
    return (struct str){sc->text, sc->text_len};
}

int32_t schema_id(const struct schema *sc)
{
    return sc->id;
}

void schemas_identify(struct schemas *ss, const struct schema *sc, int32_t id)
{
    find(ss, sc->fingerprint)->id = id;
}

void schemas_set_registry(struct schemas *ss, struct registry *rg)
{
    ss->registry = rg;
}

struct registry *schemas_registry(const struct schemas *ss)
{
    return ss->registry;
}

struct buf *schemas_scratch(struct schemas *ss)
{
    if (ss->scratch.cap > SCRATCH_KEEP)
        buf_fini(&ss->scratch);
    buf_reset(&ss->scratch);
    return &ss->scratch;
}

const struct schema *schemas_writer(struct schemas *ss, struct str text, struct err *e)
{
    struct avro_form *form = avro_form_new(text, e);
    const char *name = form != NULL && form->root->name != NULL ? form->root->name : "";
    struct schema *sc = NULL;

    if (form == NULL)
        return NULL;
    HASH_FIND(by_name, ss->by_name, name, strlen(name), sc);
    if (sc != NULL && str_eq(schema_text(sc), text)) {
        avro_form_free(form);
        return compiled(sc);
    }
    sc = mem_zalloc(sizeof(*sc));
    sc->owned = true;
    sc->form = form;
    sc->full_name = name;
    sc->text = mem_strndup(text.ptr, text.len);
    sc->text_len = text.len;
    sc->next = ss->writers;
    ss->writers = sc;
    return sc;
}

/* Takes over the text. A schema that is known already, by its fingerprint, is dropped. */
static int add_file(struct schemas *ss, struct buf *text, struct err *e)
{
    struct avro_form *form = avro_form_new(buf_str(text), e);
    struct buf canonical;
    struct schema *sc;
    uint64_t fingerprint;
    bool too_long;

    if (form == NULL)
        return -1;
    buf_init(&canonical, (size_t)2 * AVRO_SCHEMA_MAX);
    avro_canonical(form, &canonical);
    too_long = canonical.over;
    fingerprint = avro_fingerprint(buf_str(&canonical));
    buf_fini(&canonical);
    if (too_long || find(ss, fingerprint) != NULL) {
        avro_form_free(form);
        return too_long ? err_set(e, ERR_INPUT, "its canonical form is too long") : 0;
    }
    sc = mem_zalloc(sizeof(*sc));
    sc->owned = true;
    sc->form = form;
    sc->full_name = form->root->name != NULL ? form->root->name : "";
    sc->fingerprint = fingerprint;
    sc->text = buf_take(text, &sc->text_len);
    HASH_ADD(by_fingerprint, ss->by_fingerprint, fingerprint, sizeof(sc->fingerprint),
             sc);
    return 0;
}

static int read_file(const char *path, struct buf *text, struct err *e)
{
    FILE *f = fopen(path, "rb");
    char piece[4096];
    size_t n;
    int rc = 0;

    if (f == NULL)
        return err_set(e, ERR_INPUT, "%s", strerror(errno));
    while (rc == 0 && (n = fread(piece, 1, sizeof(piece), f)) > 0)
        if (buf_add(text, piece, n) != 0)
            rc = err_set(e, ERR_INPUT, "larger than %d bytes", AVRO_SCHEMA_MAX);
    if (rc == 0 && ferror(f))
        rc = err_set(e, ERR_INPUT, "cannot be read");
    (void)fclose(f);
    return rc;
}

static int load_file(struct schemas *ss, const char *path, struct err *e)
{
    struct buf text;
    int rc;

    buf_init(&text, AVRO_SCHEMA_MAX);
    rc = read_file(path, &text, e);
    if (rc == 0)
        rc = add_file(ss, &text, e);
    buf_fini(&text);
    if (rc != 0) {
        e->kind = ERR_SETTINGS;
        (void)err_prefix(e, "schemas.dir: %s", path);
    }
    return rc;
}

static bool is_schema_name(const char *name)
{
    size_t n = strlen(name);

    return n > 5 && name[0] != '.' && strcmp(name + n - 5, ".avsc") == 0;
}

static int load_dir(struct schemas *ss, const char *dir, struct err *e)
{
    DIR *d = opendir(dir);
    const struct dirent *entry;
    int rc = 0;

    if (d == NULL)
        return err_set(e, ERR_SETTINGS, "schemas.dir: %s: %s", dir, strerror(errno));
    for (entry = readdir(d); entry != NULL && rc == 0; entry = readdir(d)) {
        char *path;

        if (!is_schema_name(entry->d_name))
            continue;
        path = mem_printf("%s/%s", dir, entry->d_name);
        rc = load_file(ss, path, e);
        mem_free(path);
    }
    (void)closedir(d);
    return rc;
}
