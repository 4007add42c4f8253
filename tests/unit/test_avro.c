/* Schemas: what compiles, canonical forms and fingerprints. The walk: what passes, and
 * the reason when it does not. Both against avro-c, which must accept all that passed. */
#include "codec_help.h"

#define FIELD(name, type) "{\"name\":\"" name "\",\"type\":" type "}"
#define RECORD(name, fields)                                                             \
    "{\"type\":\"record\",\"name\":\"" name "\",\"fields\":[" fields "]}"
#define TREE RECORD("t.Tree", FIELD("kids", "{\"type\":\"array\",\"items\":\"t.Tree\"}"))

/* Of most types one. */
#define MIXED                                                                            \
    "{\"type\":\"record\",\"name\":\"r\",\"fields\":["                                   \
    "{\"name\":\"s\",\"type\":[\"null\",\"string\",\"long\"]},"                          \
    "{\"name\":\"m\",\"type\":{\"type\":\"map\",\"values\":[\"boolean\",\"bytes\"]}},"   \
    "{\"name\":\"e\",\"type\":"                                                          \
    "{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[\"A\",\"B\"]}},"                     \
    "{\"name\":\"t\",\"type\":" TREE "},"                                                \
    "{\"name\":\"d\",\"type\":\"double\"}]}"

static char *repeat(const char *head, const char *piece, size_t n, const char *tail)
{
    struct buf out;
    size_t i;

    buf_init(&out, SIZE_MAX - 1);
    (void)buf_add_cstr(&out, head);
    for (i = 0; i < n; i++)
        (void)buf_add_cstr(&out, piece);
    (void)buf_add_cstr(&out, tail);
    return buf_take(&out, NULL);
}

static void the_table_compiles_and_its_fingerprints_are_true(void **state)
{
    struct err e = ERR_INIT;
    struct schemas *ss = schemas_new(NULL, &e);
    size_t i;

    (void)state;
    assert_non_null(ss);
    assert_true(schemas_table_n > 255);
    for (i = 0; i < schemas_table_n; i++) {
        const struct schema_row *row = &schemas_table[i];
        const struct schema *sc = schemas_by_fingerprint(ss, row->fingerprint);

        assert_non_null(sc);
        assert_string_equal(schema_full_name(sc), row->full_name);
        assert_string_equal(sc->form->root->name, row->full_name);
        assert_true(fingerprint_of(row->text) == row->fingerprint);
        assert_ptr_equal(schemas_xget(ss, row->full_name), sc);
        assert_ptr_equal(schemas_row(row->full_name), row);
    }
    assert_null(schemas_by_fingerprint(ss, 1));
    assert_null(schemas_row("front.Nothing"));
    schemas_free(ss);
}

/* The fingerprints are those of the Avro specification's own test data (share/test/data).
 */
static void canonical_forms_follow_the_specification(void **state)
{
    static const struct {
        const char *text, *canonical;
        uint64_t fingerprint; /* 0: not compared */
    } rows[] = {
        {"\"null\"", "\"null\"", UINT64_C(7195948357588979594)},
        {"{\"type\":\"null\"}", "\"null\"", UINT64_C(7195948357588979594)},
        {"\"boolean\"", "\"boolean\"", (uint64_t)INT64_C(-6970731678124411036)},
        {"{\"type\":\"fixed\",\"name\":\"foo\",\"size\":15}",
         "{\"name\":\"foo\",\"type\":\"fixed\",\"size\":15}", 0},
        {"{\"type\":\"long\",\"logicalType\":\"timestamp-millis\"}", "\"long\"", 0},
        {"[ \"int\" , {\"type\":\"string\",\"x\":1} ]", "[\"int\",\"string\"]", 0},
        {"{\"doc\":\"d\",\"namespace\":\"x.y\",\"type\":\"enum\",\"name\":\"a\","
         "\"aliases\":[\"b\"],"
         "\"symbols\":[\"A1\",\"B\"],\"default\":\"B\"}",
         "{\"name\":\"x.y.a\",\"type\":\"enum\",\"symbols\":[\"A1\",\"B\"]}", 0},
        {"{\"fields\":[{\"type\":{\"type\":\"map\",\"values\":\"bytes\"},\"name\":\"m\","
         "\"default\":{}},{\"name\":\"n\",\"type\":[\"null\",\"R\"]}],\"name\":\"R\","
         "\"namespace\":\"x\",\"type\":\"record\"}",
         "{\"name\":\"x.R\",\"type\":\"record\",\"fields\":[{\"name\":\"m\",\"type\":{"
         "\"type\":"
         "\"map\",\"values\":\"bytes\"}},{\"name\":\"n\",\"type\":[\"null\",\"x.R\"]}]}",
         0},
    };
    struct err e = ERR_INIT;
    struct buf out;
    size_t i;

    (void)state;
    buf_init(&out, 4096);
    for (i = 0; i < COUNT(rows); i++) {
        struct avro_form *form = avro_form_new(str_of(rows[i].text), &e);

        assert_non_null(form);
        buf_reset(&out);
        avro_canonical(form, &out);
        assert_string_equal(out.data, rows[i].canonical);
        if (rows[i].fingerprint != 0)
            assert_true(avro_fingerprint(buf_str(&out)) == rows[i].fingerprint);
        avro_form_free(form);
    }
    buf_fini(&out);
}

static void what_is_no_schema_is_refused(void **state)
{
    static const char *const texts[] = {
        "",
        "{",
        "{}",
        "7",
        "\"nothing\"",
        "[]",
        "{\"type\":\"array\"}",
        "[\"int\",\"int\"]",
        "[\"int\",[\"string\"]]",
        "{\"type\":\"record\",\"name\":\"a\"}",
        "{\"type\":\"record\",\"fields\":[]}",
        RECORD("a b", ""),
        RECORD("1a", ""),
        RECORD("a..b", ""),
        RECORD("a", FIELD("x", "\"int\"") "," FIELD("x", "\"int\"")),
        RECORD("a", FIELD("x-y", "\"int\"")),
        RECORD("a", FIELD("x", "\"b\"")),
        RECORD("a", "{\"name\":\"x\"}"),
        "{\"type\":\"fixed\",\"name\":\"f\",\"size\":0}",
        "{\"type\":\"fixed\",\"name\":\"f\",\"size\":99999999999}",
        "{\"type\":\"fixed\",\"name\":\"f\"}",
        "{\"type\":\"enum\",\"name\":\"f\"}",
        "{\"type\":\"enum\",\"name\":\"f\",\"symbols\":[\"A\",\"A\"]}",
        "[" RECORD("a", "") "," RECORD("a", "") "]",
        /* a value of it would never end */
        RECORD("a", FIELD("x", "\"a\"")),
        RECORD("a", FIELD("x", RECORD("b", FIELD("y", "\"a\"")))),
        "{\"type\":\"array\",\"items\":" RECORD("a", FIELD("x", "\"a\"")) "}",
    };
    struct err e = ERR_INIT;
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(texts); i++) {
        err_clear(&e);
        if (avro_form_new(str_of(texts[i]), &e) != NULL)
            fail_msg("compiled: %s", texts[i]);
        assert_int_equal(e.kind, ERR_INPUT);
        assert_true(e.text[0] != '\0');
    }
}

static void schemas_beyond_the_limits_are_refused(void **state)
{
    char *deep = repeat("", "{\"type\":\"array\",\"items\":", 40, "\"int\"");
    char *closed = repeat(deep, "}", 40, "");
    char *jungle = repeat("", "[", 100000, "");
    char *large = repeat("\"int\"", " ", AVRO_SCHEMA_MAX, "");
    struct err e = ERR_INIT;
    struct buf doubling;
    int i;

    (void)state;
    assert_null(avro_form_new(str_of(closed), &e));
    assert_non_null(strstr(e.text, "deep"));
    assert_null(avro_form_new(str_of(jungle), &e));
    assert_null(avro_form_new(str_of(large), &e));
    assert_non_null(strstr(e.text, "at most"));
    /* Each record holds the one before twice: 2^20 values in the smallest one. */
    buf_init(&doubling, 1 << 20);
    (void)buf_add_cstr(&doubling, "[" RECORD("r0", FIELD("x", "\"int\"")));
    for (i = 1; i <= 20; i++)
        (void)buf_printf(
            &doubling, "," RECORD("r%d", FIELD("x", "\"r%d\"") "," FIELD("y", "\"r%d\"")),
            i, i - 1, i - 1);
    (void)buf_add_char(&doubling, ']');
    assert_null(avro_form_new(buf_str(&doubling), &e));
    assert_non_null(strstr(e.text, "too large"));
    buf_fini(&doubling);
    mem_free(deep);
    mem_free(closed);
    mem_free(jungle);
    mem_free(large);
}

static void a_bad_file_of_the_folder_is_named(void **state)
{
    static const char *const bad[] = {"\"int\"", "{\"type\":\"recrod\"}"};
    struct err e = ERR_INIT;

    (void)state;
    assert_null(store_try(bad, COUNT(bad), &e));
    assert_int_equal(e.kind, ERR_SETTINGS);
    assert_non_null(strstr(e.text, "/1.avsc"));
    assert_non_null(strstr(e.text, "recrod"));
    assert_null(schemas_new("/nowhere/at/all", &e));
    assert_int_equal(e.kind, ERR_SETTINGS);
}

/* Longest block counts of ten varint bytes. */
#define LONG_MIN_BYTES "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"

static void the_walk_gives_the_reason(void **state)
{
    static const struct {
        const char *schema;
        struct str datum;
        const char *reason; /* NULL: passes */
    } rows[] = {
        {"\"null\"", BYTES(""), NULL},
        {"\"null\"", BYTES("\0"), "TrailingBytes"},
        {"\"boolean\"", BYTES("\0"), NULL},
        {"\"boolean\"", BYTES("\1"), NULL},
        {"\"boolean\"", BYTES("\2"), "BadValue"},
        {"\"boolean\"", BYTES(""), "Truncated"},
        {"\"int\"", BYTES("\xfe\xff\xff\xff\x0f"), NULL},
        {"\"int\"", BYTES("\x80\x80\x80\x80\x10"), "BadValue"},
        {"\"int\"", BYTES("\x80"), "Truncated"},
        {"\"long\"", BYTES(LONG_MIN_BYTES), NULL},
        {"\"long\"", BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), "BadValue"},
        {"\"long\"", BYTES("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "BadValue"},
        {"\"float\"", BYTES("\0\0\0"), "Truncated"},
        {"\"float\"", BYTES("\0\0\0\0"), NULL},
        {"\"double\"", BYTES("\0\0\0\0\0\0\0"), "Truncated"},
        {"\"string\"", BYTES("\4ab"), NULL},
        {"\"string\"", BYTES("\4a"), "Truncated"},
        {"\"string\"", BYTES("\1"), "BadValue"},
        {"\"string\"", BYTES("\4\xc3\xa4"), NULL},
        {"\"string\"", BYTES("\2\xc3"), "BadUtf8"},
        {"\"string\"", BYTES("\4\xc0\x80"), "BadUtf8"},
        {"\"string\"", BYTES("\6\xed\xa0\x80"), "BadUtf8"},
        {"\"bytes\"", BYTES("\4\xc0\x80"), NULL},
        /* ten megabytes announced in twenty bytes */
        {"\"string\"",
         BYTES("\x80\x80\x80\x0a"
               "0123456789abcdef"),
         "Truncated"},
        {"\"bytes\"",
         BYTES("\x80\x80\x80\x0a"
               "0123456789abcdef"),
         "Truncated"},
        {"{\"type\":\"fixed\",\"name\":\"f\",\"size\":3}", BYTES("abc"), NULL},
        {"{\"type\":\"fixed\",\"name\":\"f\",\"size\":3}", BYTES("ab"), "Truncated"},
        {"{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[\"A\",\"B\"]}", BYTES("\2"),
         NULL},
        {"{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[\"A\",\"B\"]}", BYTES("\4"),
         "BadValue"},
        {"{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[\"A\",\"B\"]}", BYTES("\1"),
         "BadValue"},
        {"[\"null\",\"int\"]", BYTES("\2\2"), NULL},
        {"[\"null\",\"int\"]", BYTES("\4\2"), "BadValue"},
        {"[\"null\",\"int\"]", BYTES("\1"), "BadValue"},
        {"{\"type\":\"array\",\"items\":\"int\"}", BYTES("\4\2\2\0"), NULL},
        {"{\"type\":\"array\",\"items\":\"int\"}", BYTES("\4\2\2\2\2\0"), NULL},
        {"{\"type\":\"array\",\"items\":\"int\"}", BYTES("\3\4\2\2\0"), NULL},
        {"{\"type\":\"array\",\"items\":\"int\"}", BYTES("\3\6\2\2\0"), "BadValue"},
        {"{\"type\":\"array\",\"items\":\"int\"}", BYTES("\3\x1e\2\2\0"), "Truncated"},
        {"{\"type\":\"array\",\"items\":\"int\"}", BYTES("\3\1\2\2\0"), "BadValue"},
        {"{\"type\":\"array\",\"items\":\"int\"}", BYTES("\4\2\2"), "Truncated"},
        {"{\"type\":\"array\",\"items\":\"int\"}", BYTES(LONG_MIN_BYTES "\0\0"),
         "TooLarge"},
        {"{\"type\":\"array\",\"items\":\"null\"}", BYTES("\x80\x89\x7a\0"), "TooLarge"},
        {"{\"type\":\"array\",\"items\":\"null\"}",
         BYTES("\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\0"), "TooLarge"},
        {"{\"type\":\"map\",\"values\":\"int\"}",
         BYTES("\x80\x80\x80\x80\x08"
               "ab"),
         "TooLarge"},
        {"{\"type\":\"map\",\"values\":\"int\"}", BYTES("\2\2a\2\0"), NULL},
        {"{\"type\":\"map\",\"values\":\"int\"}", BYTES("\2\2\0\2\0"), "BadValue"},
        {"{\"type\":\"map\",\"values\":\"int\"}", BYTES("\2\2\xff\2\0"), "BadUtf8"},
        {RECORD("r", FIELD("a", "\"int\"") "," FIELD("b", "\"string\"")), BYTES("\2\2x"),
         NULL},
        {RECORD("r", FIELD("a", "\"int\"") "," FIELD("b", "\"string\"")), BYTES("\2\4x"),
         "Truncated"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(rows); i++) {
        struct schemas *ss = store(rows[i].schema);
        const struct schema *sc =
            schemas_by_fingerprint(ss, fingerprint_of(rows[i].schema));
        struct err e = ERR_INIT;
        struct cell root;
        int rc = avro_decode(ss, sc, rows[i].datum, &root, &e);

        if (rc != (rows[i].reason != NULL ? -1 : 0) ||
            (rc != 0 && strcmp(e.reason, rows[i].reason) != 0))
            fail_msg("row %zu: %s: %s: %s", i, rows[i].schema,
                     rc == 0 ? "passed" : e.reason, e.text);
        schemas_free(ss);
    }
}

static void a_depth_bomb_stops_at_the_limit(void **state)
{
    struct schemas *ss = store(TREE);
    const struct schema *sc = schemas_by_fingerprint(ss, fingerprint_of(TREE));
    char *bomb = repeat("", "\2", 2 * 1024 * 1024, "");
    char fits[] = "\2\2\2\2\2\2\2\2\2\2\2\2\2\2\2\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    struct err e = ERR_INIT;
    struct cell root;

    (void)state;
    assert_int_equal(avro_decode(ss, sc, str_of(bomb), &root, &e), -1);
    assert_string_equal(e.reason, "TooDeep");
    assert_int_equal(avro_decode(ss, sc, (struct str){fits, 15 + 16}, &root, &e), 0);
    mem_free(bomb);
    schemas_free(ss);
}

static void errors_name_the_field(void **state)
{
    struct schemas *ss =
        store(RECORD("r", FIELD("outer", RECORD("s", FIELD("inner", "\"boolean\"")))));
    const struct schema *sc = schemas_by_fingerprint(
        ss, fingerprint_of(
                RECORD("r", FIELD("outer", RECORD("s", FIELD("inner", "\"boolean\""))))));
    struct err e = ERR_INIT;
    struct cell root;

    (void)state;
    assert_int_equal(avro_decode(ss, sc, BYTES("\7"), &root, &e), -1);
    assert_string_equal(e.text, "outer: inner: a boolean of 7");
    schemas_free(ss);
}

static void a_full_buffer_is_left_as_it_was(void **state)
{
    struct schemas *ss = store("\"string\"");
    const struct schema *sc = schemas_by_fingerprint(ss, fingerprint_of("\"string\""));
    struct cell root;
    struct buf out;

    (void)state;
    buf_init(&out, 20);
    assert_int_equal(buf_add_cstr(&out, "before"), 0);
    avro_begin(sc, &root);
    assert_int_equal(cell_set_string(&root, STR_LIT("12345")), 0);
    assert_int_equal(avro_encode(ss, sc, &out), -1);
    assert_string_equal(out.data, "before");
    buf_reset(&out);
    avro_begin(sc, &root);
    assert_int_equal(cell_set_string(&root, STR_LIT("12345")), 0);
    assert_int_equal(avro_encode(ss, sc, &out), 0);
    assert_int_equal(out.len, 16);
    assert_memory_equal(out.data + 10, "\n12345", 6);
    buf_fini(&out);
    schemas_free(ss);
}

/* Whatever passes the walk must decode: avro-c would leak what it could not. */
static void mutated_bytes_never_get_past_the_walk_broken(void **state)
{
    static const char text[] = MIXED;
    static const char datum[] = "\2\4ab"
                                "\4\2k\0\1\2l\2\6xyz\0"
                                "\2"
                                "\2\2\0\0\0"
                                "\0\0\0\0\0\0\xf0\x3f";
    struct schemas *ss = store(text);
    const struct schema *sc = schemas_by_fingerprint(ss, fingerprint_of(text));
    uint64_t seed = 20240229;
    size_t passed = 0;
    struct cell root;
    struct buf b;
    int i;

    (void)state;
    buf_init(&b, 1024);
    for (i = 0; i < 200000; i++) {
        struct err e = ERR_INIT;

        buf_reset(&b);
        assert_int_equal(buf_add(&b, datum, sizeof(datum) - 1), 0);
        if (i > 0)
            mutate(&b, 0, &seed);
        if (avro_decode(ss, sc, buf_str(&b), &root, &e) == 0)
            passed++;
        else
            assert_true(avro_walk(sc->form->root, buf_str(&b), &e) == -1);
        if (i == 0)
            assert_int_equal(passed, 1);
    }
    assert_true(passed > 1000);
    buf_fini(&b);
    schemas_free(ss);
}

/* In arrays and maps, in blocks that say their size, empty ones, and values beside them:
 * all of it is read, and bytes stand where they stood. */
static void bytes_stay_in_their_datum(void **state)
{
    static const char schema[] = RECORD(
        "r",
        FIELD("a", "{\"type\":\"array\",\"items\":\"bytes\"}") "," FIELD(
            "s",
            "\"string\"") "," FIELD("m",
                                    "{\"type\":\"map\",\"values\":[\"null\","
                                    "\"bytes\"]}") "," FIELD("b",
                                                             "\"bytes\"") "," FIELD("n",
                                                                                    "\"lo"
                                                                                    "ng"
                                                                                    "\""));
    /* a: a block of 2 with its size (6), one of 1; s; m: "k"; b; n */
    static const char bytes[] = "\x03\x0c\x04xy\x04zz\x02\x00\x00"
                                "\x06str"
                                "\x02\x02k\x02\x06\x00\xff\x01\x00"
                                "\x00"
                                "\x54";
    struct schemas *ss = store(schema);
    const struct schema *sc = schemas_by_fingerprint(ss, fingerprint_of(schema));
    struct str datum = BYTES(bytes), got;
    struct err e = ERR_INIT;
    struct cell rec, c, item;
    size_t hint = 0;
    int64_t n;

    (void)state;
    if (avro_decode(ss, sc, datum, &rec, &e) != 0)
        fail_msg("%s", e.text);
    assert_true(cell_field(&rec, "a", &hint, &c));
    assert_int_equal(cell_size(&c), 3);
    static const struct {
        size_t at, len;
    } wanted[] = {{3, 2}, {6, 2}, {10, 0}};
    for (size_t i = 0; i < COUNT(wanted); i++) {
        assert_true(cell_at(&c, i, &item, NULL));
        assert_int_equal(cell_peek_bytes(&item, &got), 0);
        assert_ptr_equal(got.ptr, datum.ptr + wanted[i].at);
        assert_int_equal(got.len, wanted[i].len);
    }
    assert_true(cell_field(&rec, "s", &hint, &c));
    assert_int_equal(cell_peek(&c, &got), 0);
    assert_true(str_is(got, "str"));
    assert_true(cell_field(&rec, "m", &hint, &c));
    assert_true(cell_at(&c, 0, &item, NULL));
    assert_int_equal(cell_peek_bytes(&item, &got), 0);
    assert_int_equal(got.len, 3);
    assert_memory_equal(got.ptr, "\0\xff\1", 3);
    assert_true(cell_field(&rec, "b", &hint, &c));
    assert_int_equal(cell_peek_bytes(&c, &got), 0);
    assert_int_equal(got.len, 0);
    assert_true(cell_field(&rec, "n", &hint, &c));
    assert_int_equal(cell_long(&c, &n), 0);
    assert_int_equal(n, 42);
    schemas_free(ss);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_compiles_and_its_fingerprints_are_true),
        cmocka_unit_test(canonical_forms_follow_the_specification),
        cmocka_unit_test(what_is_no_schema_is_refused),
        cmocka_unit_test(schemas_beyond_the_limits_are_refused),
        cmocka_unit_test(a_bad_file_of_the_folder_is_named),
        cmocka_unit_test(the_walk_gives_the_reason),
        cmocka_unit_test(a_depth_bomb_stops_at_the_limit),
        cmocka_unit_test(errors_name_the_field),
        cmocka_unit_test(bytes_stay_in_their_datum),
        cmocka_unit_test(a_full_buffer_is_left_as_it_was),
        cmocka_unit_test(mutated_bytes_never_get_past_the_walk_broken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
