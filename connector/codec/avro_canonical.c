/* The parsing canonical form of a compiled schema and its CRC-64-AVRO, as the Avro
 * specification has them. Owns nothing. Invariant: names need no escaping, the compiler
 * accepted them. */
#include "codec/avro.h"

static const uint64_t crc_empty = UINT64_C(0xc15d213aa4d7a795);

static void print(struct buf *out, const struct avro_node *node, bool *printed);

static const char *word_of(avro_type_t type)
{
    switch ((int)type) { /* avro-c grows types between versions */
    case AVRO_NULL:
        return "null";
    case AVRO_BOOLEAN:
        return "boolean";
    case AVRO_INT32:
        return "int";
    case AVRO_INT64:
        return "long";
    case AVRO_FLOAT:
        return "float";
    case AVRO_DOUBLE:
        return "double";
    case AVRO_BYTES:
        return "bytes";
    case AVRO_STRING:
        return "string";
    case AVRO_RECORD:
        return "record";
    case AVRO_ENUM:
        return "enum";
    case AVRO_FIXED:
        return "fixed";
    case AVRO_ARRAY:
        return "array";
    case AVRO_MAP:
        return "map";
    default:
        return ""; /* a union has no word, a reference is no node */
    }
}

static void print_fields(struct buf *out, const struct avro_node *node, bool *printed)
{
    size_t i;

    (void)buf_add_cstr(out, ",\"fields\":[");
    for (i = 0; i < node->n; i++) {
        (void)buf_printf(out, "%s{\"name\":\"%s\",\"type\":", i > 0 ? "," : "",
                         node->names[i]);
        print(out, node->kids[i], printed);
        (void)buf_add_char(out, '}');
    }
    (void)buf_add_char(out, ']');
}

static void print_symbols(struct buf *out, const struct avro_node *node)
{
    size_t i;

    (void)buf_add_cstr(out, ",\"symbols\":[");
    for (i = 0; i < node->n; i++)
        (void)buf_printf(out, "%s\"%s\"", i > 0 ? "," : "", node->names[i]);
    (void)buf_add_char(out, ']');
}

/* In full the first time, by name later. */
static void print_named(struct buf *out, const struct avro_node *node, bool *printed)
{
    if (printed[node->index]) {
        (void)buf_printf(out, "\"%s\"", node->name);
        return;
    }
    printed[node->index] = true;
    (void)buf_printf(out, "{\"name\":\"%s\",\"type\":\"%s\"", node->name,
                     word_of(node->type));
    if (node->type == AVRO_RECORD)
        print_fields(out, node, printed);
    else if (node->type == AVRO_ENUM)
        print_symbols(out, node);
    else
        (void)buf_printf(out, ",\"size\":%zu", node->n);
    (void)buf_add_char(out, '}');
}

static void print_union(struct buf *out, const struct avro_node *node, bool *printed)
{
    size_t i;

    for (i = 0; i < node->n; i++) {
        (void)buf_add_char(out, i > 0 ? ',' : '[');
        print(out, node->kids[i], printed);
    }
    (void)buf_add_char(out, ']');
}

static void print(struct buf *out, const struct avro_node *node, bool *printed)
{
    if (node->name != NULL) {
        print_named(out, node, printed);
    } else if (node->type == AVRO_UNION) {
        print_union(out, node, printed);
    } else if (node->type == AVRO_ARRAY || node->type == AVRO_MAP) {
        (void)buf_printf(out, "{\"type\":\"%s\",\"%s\":", word_of(node->type),
                         node->type == AVRO_ARRAY ? "items" : "values");
        print(out, node->kids[0], printed);
        (void)buf_add_char(out, '}');
    } else {
        (void)buf_printf(out, "\"%s\"", word_of(node->type));
    }
}

void avro_canonical(const struct avro_form *form, struct buf *out)
{
    bool *printed = mem_array(form->n_named + 1, sizeof(*printed));

    print(out, form->root, printed);
    mem_free(printed);
}

uint64_t avro_fingerprint(struct str canonical)
{
    uint64_t crc = crc_empty;
    size_t i;
    int bit;

    for (i = 0; i < canonical.len; i++) {
        crc ^= (unsigned char)canonical.ptr[i];
        for (bit = 0; bit < 8; bit++)
            crc = (crc >> 1) ^ ((crc & 1) != 0 ? crc_empty : 0);
    }
    return crc;
}
