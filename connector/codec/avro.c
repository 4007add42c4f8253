/* The bounded walk, and avro-c behind it: decodes what passed the walk, encodes what we
 * filled in.
 *
 * Owns nothing: reader and writer are of struct schemas, the value of the schema's form.
 * Invariants: avro_value_read is only called for bytes that avro_walk accepted for that
 * schema; what it makes of a value of type bytes is a struct str that says where in the
 * datum they stand, so that a large file is not copied. */
#include "codec/avro.h"

#include <assert.h>
#include <string.h>

#include "codec/framing.h"

enum {
    VARINT_BYTES_MAX = 10,
    KEEP_BYTES_MAX = 64 * 1024, /* a larger datum's value is not kept for reuse */
    FIRST_BYTES = 1024
};

struct walk {
    const unsigned char *at, *end;
    size_t values;
    unsigned depth;           /* of records, arrays and maps around here */
    struct avro_spans *spans; /* values of type bytes are noted there; NULL: nowhere */
    struct err *e;
};

static int walk_node(struct walk *w, const struct avro_node *node);

static int truncated(struct walk *w, uint64_t missing)
{
    return err_input(w->e, "Truncated", "%llu bytes wanted, %td left",
                     (unsigned long long)missing, w->end - w->at);
}

static int walk_long(struct walk *w, int64_t *out)
{
    uint64_t n = 0;
    unsigned i;

    for (i = 0; i < VARINT_BYTES_MAX; i++) {
        unsigned char byte;

        if (w->at == w->end)
            return truncated(w, 1);
        byte = *w->at++;
        if (i == VARINT_BYTES_MAX - 1 && byte > 1)
            break;
        n |= (uint64_t)(byte & 0x7f) << (7 * i);
        if (byte < 0x80) {
            *out = (int64_t)(n >> 1) ^ -(int64_t)(n & 1);
            return 0;
        }
    }
    return err_input(w->e, "BadValue", "a number of more than 64 bits");
}

static int walk_int(struct walk *w)
{
    int64_t n;

    if (walk_long(w, &n) != 0)
        return -1;
    if (n < INT32_MIN || n > INT32_MAX)
        return err_input(w->e, "BadValue", "an int of more than 32 bits");
    return 0;
}

/* An index below `n`: of a union's branch or an enum's symbol. */
static int walk_index(struct walk *w, size_t n, const char *what, size_t *out)
{
    int64_t i;

    if (walk_long(w, &i) != 0)
        return -1;
    if (i < 0 || (uint64_t)i >= n)
        return err_input(w->e, "BadValue", "%s %lld of %zu", what, (long long)i, n);
    *out = (size_t)i;
    return 0;
}

static int walk_boolean(struct walk *w)
{
    if (w->at == w->end)
        return truncated(w, 1);
    if (*w->at > 1)
        return err_input(w->e, "BadValue", "a boolean of %u", *w->at);
    w->at++;
    return 0;
}

static int walk_fixed(struct walk *w, size_t n)
{
    if (n > (size_t)(w->end - w->at))
        return truncated(w, n);
    w->at += n;
    return 0;
}

static int walk_bytes(struct walk *w, struct str *out)
{
    int64_t n;

    if (walk_long(w, &n) != 0)
        return -1;
    if (n < 0)
        return err_input(w->e, "BadValue", "a length of %lld", (long long)n);
    if (n > w->end - w->at)
        return truncated(w, (uint64_t)n);
    *out = (struct str){(const char *)w->at, (size_t)n};
    w->at += n;
    return 0;
}

static void note_span(struct avro_spans *spans, const char *from, struct str bytes)
{
    if (spans->n == spans->cap) {
        spans->cap = spans->cap > 0 ? 2 * spans->cap : 16;
        spans->items = mem_realloc(spans->items, spans->cap * sizeof(*spans->items));
    }
    spans->items[spans->n++] = (struct avro_span){from, bytes};
}

static int walk_noted_bytes(struct walk *w)
{
    const char *from = (const char *)w->at;
    struct str bytes;

    if (walk_bytes(w, &bytes) != 0)
        return -1;
    if (w->spans != NULL)
        note_span(w->spans, from, bytes);
    return 0;
}

static int walk_string(struct walk *w, struct str *out)
{
    if (walk_bytes(w, out) != 0)
        return -1;
    if (!utf8_valid(*out))
        return err_input(w->e, "BadUtf8", "a string that is not UTF-8");
    return 0;
}

/* avro-c keeps keys as C strings: one with a NUL would become another key. */
static int walk_key(struct walk *w)
{
    struct str key;

    if (walk_string(w, &key) != 0)
        return -1;
    if (memchr(key.ptr, '\0', key.len) != NULL)
        return err_input(w->e, "BadValue", "a map's key with a NUL in it");
    return 0;
}

static int walk_record(struct walk *w, const struct avro_node *node)
{
    size_t i;

    for (i = 0; i < node->n; i++)
        if (walk_node(w, node->kids[i]) != 0)
            return err_prefix(w->e, "%s", node->names[i]);
    return 0;
}

static int walk_union(struct walk *w, const struct avro_node *node)
{
    size_t branch = 0;

    if (walk_index(w, node->n, "union branch", &branch) != 0)
        return -1;
    return walk_node(w, node->kids[branch]);
}

/* The count of the next block; 0: no more. A negative one is followed by the block's
 * size. */
static int walk_count(struct walk *w, int64_t *count, const unsigned char **block_end)
{
    int64_t size;

    *block_end = NULL;
    if (walk_long(w, count) != 0)
        return -1;
    if (*count > AVRO_VALUES_MAX || *count < -(int64_t)AVRO_VALUES_MAX)
        return err_input(w->e, "TooLarge", "more than %d values", AVRO_VALUES_MAX);
    if (*count >= 0)
        return 0;
    *count = -*count;
    if (walk_long(w, &size) != 0)
        return -1;
    if (size < 0)
        return err_input(w->e, "BadValue", "a block of %lld bytes", (long long)size);
    if (size > w->end - w->at)
        return truncated(w, (uint64_t)size);
    *block_end = w->at + size;
    return 0;
}

static int walk_blocks(struct walk *w, const struct avro_node *node)
{
    const unsigned char *block_end;
    int64_t count, i;

    for (;;) {
        if (walk_count(w, &count, &block_end) != 0)
            return -1;
        if (count == 0)
            return 0;
        for (i = 0; i < count; i++) {
            if (node->type == AVRO_MAP && walk_key(w) != 0)
                return -1;
            if (walk_node(w, node->kids[0]) != 0)
                return -1;
        }
        if (block_end != NULL && w->at != block_end)
            return err_input(w->e, "BadValue", "a block that is not as long as it says");
    }
}

static int walk_nested(struct walk *w, const struct avro_node *node)
{
    int rc;

    if (++w->depth > AVRO_DEPTH_MAX)
        return err_input(w->e, "TooDeep", "nested deeper than %d", AVRO_DEPTH_MAX);
    rc = node->type == AVRO_RECORD ? walk_record(w, node) : walk_blocks(w, node);
    w->depth--;
    return rc;
}

static int walk_node(struct walk *w, const struct avro_node *node)
{
    struct str s;
    int64_t n;
    size_t i;

    if (++w->values > AVRO_VALUES_MAX)
        return err_input(w->e, "TooLarge", "more than %d values", AVRO_VALUES_MAX);
    switch ((int)node->type) { /* avro-c grows types between versions */
    case AVRO_NULL:
        return 0;
    case AVRO_BOOLEAN:
        return walk_boolean(w);
    case AVRO_INT32:
        return walk_int(w);
    case AVRO_INT64:
        return walk_long(w, &n);
    case AVRO_FLOAT:
        return walk_fixed(w, 4);
    case AVRO_DOUBLE:
        return walk_fixed(w, 8);
    case AVRO_FIXED:
        return walk_fixed(w, node->n);
    case AVRO_BYTES:
        return walk_noted_bytes(w);
    case AVRO_STRING:
        return walk_string(w, &s);
    case AVRO_ENUM:
        return walk_index(w, node->n, "enum symbol", &i);
    case AVRO_UNION:
        return walk_union(w, node);
    case AVRO_RECORD:
    case AVRO_ARRAY:
    case AVRO_MAP:
        return walk_nested(w, node);
    default:
        abort(); /* the compiler makes no other node */
    }
}

static int walk_datum(const struct avro_node *root, struct str datum,
                      struct avro_spans *spans, struct err *e)
{
    const unsigned char *at = (const unsigned char *)datum.ptr;
    struct walk w = {.at = at, .end = at + datum.len, .spans = spans, .e = e};

    if (walk_node(&w, root) != 0)
        return -1;
    if (w.at != w.end)
        return err_input(e, "TrailingBytes", "%td bytes behind the value", w.end - w.at);
    return 0;
}

int avro_walk(const struct avro_node *root, struct str datum, struct err *e)
{
    return walk_datum(root, datum, NULL, e);
}

/* The datum with a struct str in the place of each value of type bytes. (The sizes of
 * blocks are no longer true; avro-c passes over them.) */
static int refer(struct schemas *ss, struct str *datum, struct err *e)
{
    static const char len = (char)(2 * sizeof(struct str)); /* as Avro writes a length */
    const char *from = datum->ptr;
    size_t i;

    if (ss->refs.cap > KEEP_BYTES_MAX)
        buf_fini(&ss->refs);
    buf_reset(&ss->refs);
    for (i = 0; i < ss->spans.n; i++) {
        const struct avro_span *span = &ss->spans.items[i];

        (void)buf_add(&ss->refs, from, (size_t)(span->from - from));
        (void)buf_add_char(&ss->refs, len);
        (void)buf_add(&ss->refs, &span->bytes, sizeof(span->bytes));
        from = span->bytes.ptr + span->bytes.len;
    }
    if (buf_add(&ss->refs, from, (size_t)(datum->ptr + datum->len - from)) != 0)
        return err_input(e, "TooLarge", "more than %zu bytes", ss->refs.max);
    *datum = buf_str(&ss->refs);
    return 0;
}

int avro_decode(struct schemas *ss, const struct schema *sc, struct str datum,
                struct cell *out, struct err *e)
{
    struct avro_form *form = sc->form;

    ss->spans.n = 0;
    if (walk_datum(form->root, datum, &ss->spans, e) != 0 ||
        (ss->spans.n > 0 && refer(ss, &datum, e) != 0))
        return -1;
    if (form->bloated) {
        avro_value_decref(&form->value);
        if (avro_generic_value_new(form->iface, &form->value) != 0)
            abort(); /* as mem_alloc does */
    }
    form->bloated = datum.len > KEEP_BYTES_MAX;
    form->used = true;
    avro_reader_memory_set_source(ss->reader, datum.ptr, (int64_t)datum.len);
    if (avro_value_read(ss->reader, &form->value) != 0)
        return err_input(e, "BadValue", "%s", avro_strerror());
    *out = (struct cell){form->root, form->value};
    return 0;
}

void avro_begin(const struct schema *sc, struct cell *root)
{
    struct avro_form *form = sc->form;

    if (form->used)
        (void)avro_value_reset(&form->value);
    form->used = true;
    *root = (struct cell){form->root, form->value};
}

/* Writes the value into what is free of `out`; -1: it did not fit. */
static int write_value(struct schemas *ss, avro_value_t *value, struct buf *out)
{
    avro_writer_memory_set_dest(ss->writer, out->data + out->len,
                                (int64_t)(out->cap - out->len - 1));
    if (avro_value_write(ss->writer, value) != 0)
        return -1;
    out->len += (size_t)avro_writer_tell(ss->writer);
    out->data[out->len] = '\0';
    return 0;
}

/* Measuring costs half as much as writing: only done when the first try did not fit. */
static int add_value(struct schemas *ss, avro_value_t *value, struct buf *out)
{
    size_t size;

    if (write_value(ss, value, out) == 0)
        return 0;
    if (avro_value_sizeof(value, &size) != 0)
        abort(); /* a field was not set: ours */
    if (buf_reserve(out, size) != 0)
        return -1;
    return write_value(ss, value, out);
}

int avro_encode(struct schemas *ss, const struct schema *sc, struct buf *out)
{
    struct avro_form *form = sc->form;
    size_t start = out->len;
    char prefix[10];
    int rc = -1;

    if (out->max - out->len >= FIRST_BYTES)
        (void)buf_reserve(out, FIRST_BYTES);
    if (buf_add(out, prefix, framing_seal(sc, prefix)) == 0)
        rc = add_value(ss, &form->value, out);
    if (rc != 0 && out->data != NULL) {
        out->len = start;
        out->data[start] = '\0';
    }
    (void)avro_value_reset(&form->value);
    form->used = false;
    return rc;
}
