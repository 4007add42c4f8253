/* The bounded walk, and avro-c behind it: decode only what passed the walk, encode ours.
 */
#include "codec/avro.h"

#include <string.h>

#include "codec/framing.h"

#define WALK_DEPTH_MAX 32
#define WALK_ITEMS_MAX 100000

struct walk {
    const unsigned char *p, *end;
    size_t items;
    int depth;
    struct err *e;
};

static int walk(struct walk *w, const struct node *nd);
static int walk_long(struct walk *w, int64_t *out);
static int walk_bytes(struct walk *w, bool text);
static int walk_blocks(struct walk *w, const struct node *nd);
static int skip(struct walk *w, size_t n);
static int refuse(struct walk *w, const char *reason, const char *what);

int avro_walk(const struct schema *sc, struct str datum, struct err *e)
{
    const unsigned char *p = (const unsigned char *)datum.ptr;
    struct walk w = {p, p + datum.len, 0, 0, e};
    if (walk(&w, sc->root))
        return -1;
    if (w.p != w.end)
        return err_input(e, "TrailingBytes", "%zu bytes behind the end of the datum",
                         (size_t)(w.end - w.p));
    return 0;
}

int avro_decode(const struct schema *sc, struct str datum, struct err *e)
{
    avro_value_t value = sc->value;
    if (avro_walk(sc, datum, e))
        return -1;
    avro_reader_t reader = avro_reader_memory(datum.ptr, (int64_t)datum.len);
    avro_value_reset(&value);
    int rc = avro_value_read(reader, &value);
    avro_reader_free(reader);
    return rc ? err_input(e, "BadValue", "the datum does not fit its schema") : 0;
}

int avro_encode(struct schemas *ss, const struct schema *sc, struct buf *out)
{
    avro_value_t value = sc->value;
    size_t size = 0;
    char prefix[10];
    size_t n = framing_seal(ss, sc, prefix);
    if (avro_value_sizeof(&value, &size) || buf_add(out, prefix, n) ||
        buf_reserve(out, size))
        return -1;
    if (size == 0)
        return 0;
    avro_writer_t writer = avro_writer_memory(out->data + out->len, (int64_t)size);
    int rc = avro_value_write(writer, &value);
    avro_writer_free(writer);
    if (rc)
        return -1;
    out->len += size;
    out->data[out->len] = 0;
    return 0;
}

bool avro_field(const avro_value_t *record, const char *name, avro_value_t *out)
{
    avro_value_t field;
    if (avro_value_get_by_name(record, name, &field, NULL))
        return false;
    return avro_unwrap(&field, out);
}

bool avro_unwrap(const avro_value_t *value, avro_value_t *out)
{
    *out = *value;
    while (avro_value_get_type(out) == AVRO_UNION) {
        avro_value_t inner;
        if (avro_value_get_current_branch(out, &inner))
            return false;
        *out = inner;
    }
    return avro_value_get_type(out) != AVRO_NULL;
}

bool avro_text(const avro_value_t *value, struct str *out)
{
    const void *p = NULL;
    const char *s = NULL;
    size_t size = 0;
    int symbol;
    switch ((int)avro_value_get_type(value)) {
    case AVRO_STRING:
        if (avro_value_get_string(value, &s, &size))
            return false;
        *out = (struct str){s, size > 0 ? size - 1 : 0}; /* the library counts its NUL */
        return true;
    case AVRO_BYTES:
        if (avro_value_get_bytes(value, &p, &size))
            return false;
        *out = (struct str){p != NULL ? p : "", size};
        return true;
    case AVRO_ENUM:
        if (avro_value_get_enum(value, &symbol))
            return false;
        *out = str_of(avro_schema_enum_get(avro_value_get_schema(value), symbol));
        return true;
    default:
        return false;
    }
}

static int walk(struct walk *w, const struct node *nd)
{
    int64_t n;
    if (w->depth >= WALK_DEPTH_MAX)
        return refuse(w, "TooDeep", "nested deeper than 32 levels");
    if (++w->items > WALK_ITEMS_MAX)
        return refuse(w, "TooLarge", "more than 100,000 values");
    switch (nd->type) {
    case NODE_NULL:
        return 0;
    case NODE_BOOLEAN:
        if (w->p<w->end && * w->p> 1)
            return refuse(w, "BadValue", "a boolean that is neither 0 nor 1");
        return skip(w, 1);
    case NODE_INT:
        if (walk_long(w, &n))
            return -1;
        return n < INT32_MIN || n > INT32_MAX ? refuse(w, "BadValue", "int out of range")
                                              : 0;
    case NODE_LONG:
        return walk_long(w, &n);
    case NODE_FLOAT:
        return skip(w, 4);
    case NODE_DOUBLE:
        return skip(w, 8);
    case NODE_BYTES:
    case NODE_STRING:
        return walk_bytes(w, nd->type == NODE_STRING);
    case NODE_FIXED:
        return skip(w, nd->n);
    case NODE_ENUM:
        if (walk_long(w, &n))
            return -1;
        return n < 0 || (size_t)n >= nd->n ? refuse(w, "BadValue", "enum out of range")
                                           : 0;
    case NODE_UNION:
        if (walk_long(w, &n))
            return -1;
        if (n < 0 || (size_t)n >= nd->n)
            return refuse(w, "BadValue", "union branch out of range");
        w->depth++;
        if (walk(w, nd->parts[n]))
            return -1;
        w->depth--;
        return 0;
    case NODE_RECORD:
        w->depth++;
        for (size_t i = 0; i < nd->n; i++)
            if (walk(w, nd->parts[i]))
                return -1;
        w->depth--;
        return 0;
    case NODE_ARRAY:
    case NODE_MAP:
        return walk_blocks(w, nd);
    }
    return -1;
}

static int walk_blocks(struct walk *w, const struct node *nd)
{
    int64_t count, size;
    w->depth++;
    for (;;) {
        if (walk_long(w, &count))
            return -1;
        if (count == 0)
            break;
        const unsigned char *end = NULL;
        if (count < 0) {
            if (count == INT64_MIN || walk_long(w, &size))
                return refuse(w, "Truncated", "broken block");
            if (size < 0 || size > w->end - w->p)
                return refuse(w, "Truncated", "a block longer than the datum");
            count = -count;
            end = w->p + size;
        }
        if (count > WALK_ITEMS_MAX)
            return refuse(w, "TooLarge", "more than 100,000 items");
        for (int64_t i = 0; i < count; i++) {
            if (nd->type == NODE_MAP && walk_bytes(w, true))
                return -1;
            if (walk(w, nd->parts[0]))
                return -1;
        }
        if (end != NULL && w->p != end)
            return refuse(w, "BadValue", "a block whose size is not true");
    }
    w->depth--;
    return 0;
}

static int walk_long(struct walk *w, int64_t *out)
{
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (w->p == w->end)
            return refuse(w, "Truncated", "ends inside a number");
        unsigned char byte = *w->p++;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 127) << shift;
        if (byte < 128) {
            *out = (int64_t)(value >> 1 ^ -(value & 1));
            return 0;
        }
    }
    return refuse(w, "BadValue", "a number longer than 64 bits");
}

static int walk_bytes(struct walk *w, bool text)
{
    int64_t n;
    if (walk_long(w, &n))
        return -1;
    if (n < 0)
        return refuse(w, "BadValue", "negative length");
    if (n > w->end - w->p)
        return refuse(w, "Truncated", "a string longer than what is left");
    struct str s = {(const char *)w->p, (size_t)n};
    if (text && !utf8_valid(s))
        return refuse(w, "BadUtf8", "a string that is not UTF-8");
    w->p += n;
    return 0;
}

static int skip(struct walk *w, size_t n)
{
    if ((size_t)(w->end - w->p) < n)
        return refuse(w, "Truncated", "ends inside a value");
    w->p += n;
    return 0;
}

static int refuse(struct walk *w, const char *reason, const char *what)
{
    return err_input(w->e, reason, "%s", what);
}
