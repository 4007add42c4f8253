/* The settings interpreter with a table of its own: sources, types, errors, printed
 * texts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/settings.h"

struct config {
    char *url, *token, *name;
    bool on;
    int64_t count, size;
    int choice;
    struct setting_list list;
    struct setting_pairs kafka, consumer;
};

static const char *const choices[] = {"probe", "report", "retry", NULL};
#define AT(field) offsetof(struct config, field)

static const struct setting_row rows[] = {
    {"front.url", SETTING_TEXT, "https://h", NULL, 0, 0, NULL, IMPORTANCE_HIGH, AT(url),
     "Front", "Where it is."},
    {"front.token", SETTING_SECRET, NULL, NULL, 0, 0, NULL, IMPORTANCE_HIGH, AT(token),
     "Front", "The token."},
    {"front.token.file", SETTING_TEXT, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW, AT(name),
     "Other", "Ends as a variable that names a file does."},
    {"on", SETTING_BOOL, "false", NULL, 0, 0, NULL, IMPORTANCE_LOW, AT(on), "Other",
     "A switch."},
    {"max.in.flight", SETTING_INT, "64", "requests", 1, 1024, NULL, IMPORTANCE_MEDIUM,
     AT(count), "Front", "How many."},
    {"max.bytes", SETTING_BYTES, "16 MiB", "bytes", 1024, INT64_C(1) << 30, NULL,
     IMPORTANCE_MEDIUM, AT(size), "Other", "How large | wide <tall>."},
    {"in.doubt", SETTING_CHOICE, "probe", NULL, 0, 0, choices, IMPORTANCE_HIGH,
     AT(choice), "Other", "What then."},
    {"topics", SETTING_LIST, "a,b", NULL, 0, 0, NULL, IMPORTANCE_HIGH, AT(list), "Other",
     "Which."},
    {"kafka.", SETTING_PREFIX, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW, AT(kafka), "Other",
     "Whatever."},
    {"kafka.consumer.", SETTING_PREFIX, NULL, NULL, 0, 0, NULL, IMPORTANCE_LOW,
     AT(consumer), "Other", "Whatever."},
};
enum { N_ROWS = sizeof(rows) / sizeof(rows[0]) };

static const struct setting_row required_rows[] = {
    {"servers", SETTING_TEXT, "!", NULL, 0, 0, NULL, IMPORTANCE_HIGH, AT(url), "S", "H."},
};

/* ---- a load with everything around it ---- */

struct loaded {
    char path[64];
    struct config c;
    struct settings_values *v;
    struct buf errors;
    size_t n;
};

static void write_file(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");

    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
}

static void temp_path(char *path, size_t size)
{
    int fd;

    (void)snprintf(path, size, "/tmp/test_settings_XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    (void)close(fd);
}

/* `env` and `overrides` end with NULL and may be NULL; file NULL: none. */
static void load_rows(struct loaded *l, const struct setting_row *table, size_t n,
                      const char *file, const char *const *env,
                      const char *const *overrides)
{
    static const char *const none[] = {NULL};
    struct settings_source src = {.file = ""};

    *l = (struct loaded){.n = 0};
    buf_init(&l->errors, 65536);
    if (file != NULL) {
        temp_path(l->path, sizeof(l->path));
        write_file(l->path, file);
        src.file = l->path;
    }
    src.environ_ = (char *const *)(uintptr_t)(env != NULL ? env : none);
    src.overrides = overrides;
    while (overrides != NULL && overrides[src.n_overrides] != NULL)
        src.n_overrides++;
    l->n = settings_load(table, n, &l->c, &src, &l->v, &l->errors);
}

static void load(struct loaded *l, const char *file, const char *const *env,
                 const char *const *overrides)
{
    load_rows(l, rows, N_ROWS, file, env, overrides);
}

static void unload(struct loaded *l)
{
    settings_values_free(l->v);
    buf_fini(&l->errors);
    if (l->path[0] != '\0')
        (void)unlink(l->path);
}

static const char *errors_of(const struct loaded *l)
{
    return buf_str(&l->errors).ptr;
}

static void assert_error(const struct loaded *l, const char *line)
{
    if (strstr(errors_of(l), line) == NULL)
        print_message("%slacks: %s\n", errors_of(l), line);
    assert_non_null(strstr(errors_of(l), line));
}

/* ---- values ---- */

static void without_any_source_there_are_the_defaults(void **state)
{
    struct loaded l;

    (void)state;
    load(&l, NULL, NULL, NULL);
    assert_int_equal(l.n, 0);
    assert_string_equal(l.c.url, "https://h");
    assert_null(l.c.token);
    assert_false(l.c.on);
    assert_int_equal(l.c.count, 64);
    assert_int_equal(l.c.size, 16 << 20);
    assert_int_equal(l.c.choice, 0);
    assert_int_equal(l.c.list.n, 2);
    assert_string_equal(l.c.list.items[1], "b");
    assert_int_equal(l.c.kafka.n, 0);
    assert_null(settings_file(l.v));
    assert_string_equal(settings_origin(l.v, "front.url"), "default");
    unload(&l);
}

static void each_type_is_read(void **state)
{
    struct loaded l;
    char origin[80];

    (void)state;
    load(&l,
         "\xef\xbb\xbf# comment\n"
         "front.url=http://x = y # no comment\r\n"
         "  front.token =  s e cret  \n"
         "\n"
         "on = true\n"
         "max.in.flight = 1024\n"
         "max.bytes = 2KiB\n"
         "in.doubt = retry\n"
         "topics = one , two,three\n"
         "kafka.x.y = 1\n"
         "kafka.consumer.z = 2\n"
         "kafka.empty =\n",
         NULL, NULL);
    assert_string_equal(errors_of(&l), "");
    assert_int_equal(l.n, 0);
    assert_string_equal(l.c.url, "http://x = y # no comment");
    assert_string_equal(l.c.token, "s e cret");
    assert_true(l.c.on);
    assert_int_equal(l.c.count, 1024);
    assert_int_equal(l.c.size, 2048);
    assert_int_equal(l.c.choice, 2);
    assert_int_equal(l.c.list.n, 3);
    assert_string_equal(l.c.list.items[0], "one");
    assert_string_equal(l.c.list.items[1], "two");
    assert_int_equal(l.c.kafka.n, 1);
    assert_string_equal(l.c.kafka.items[0].key, "x.y");
    assert_string_equal(l.c.kafka.items[0].value, "1");
    assert_int_equal(l.c.consumer.n, 1);
    assert_string_equal(l.c.consumer.items[0].key, "z");
    (void)snprintf(origin, sizeof(origin), "%s:10", l.path);
    assert_string_equal(l.c.kafka.items[0].origin, origin);
    assert_string_equal(settings_origin(l.v, "kafka.x.y"), origin);
    assert_string_equal(settings_file(l.v), l.path);
    unload(&l);
}

static void sizes(void **state)
{
    static const struct {
        const char *text;
        int64_t size; /* 0: an error */
    } cases[] = {{"1024", 1024},
                 {"1KiB", 1024},
                 {"1 MiB", 1 << 20},
                 {"1GiB", 1 << 30},
                 {"2GiB", 0},
                 {"1023", 0},
                 {"1kb", 0},
                 {"KiB", 0},
                 {"1.5MiB", 0},
                 {"-1KiB", 0},
                 {"9999999999999GiB", 0},
                 {"1 KiB KiB", 0}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[64];
        const char *const overrides[] = {text, NULL};
        struct loaded l;

        (void)snprintf(text, sizeof(text), "max.bytes=%s", cases[i].text);
        load(&l, NULL, NULL, overrides);
        assert_int_equal(l.n, cases[i].size == 0 ? 1 : 0);
        if (cases[i].size == 0)
            assert_error(&l, "in the range 1KiB..1GiB\n");
        else
            assert_int_equal(l.c.size, cases[i].size);
        unload(&l);
    }
}

/* ---- precedence and the environment ---- */

static void overrides_beat_environment_beats_file(void **state)
{
    static const char *const env[] = {"FRONT_CONNECTOR_FRONT_URL=env",
                                      "FRONT_CONNECTOR_MAX_IN_FLIGHT=2", "PATH=/bin",
                                      "FRONT_CONNECTOR_CONFIG=/nowhere", NULL};
    static const char *const overrides[] = {"front.url = x", NULL};
    struct loaded l;

    (void)state;
    load(&l, "front.url = file\nmax.in.flight = 1\nin.doubt = report\n", env, overrides);
    assert_string_equal(errors_of(&l), "");
    assert_string_equal(l.c.url, "x");
    assert_int_equal(l.c.count, 2);
    assert_int_equal(l.c.choice, 1);
    assert_string_equal(settings_origin(l.v, "front.url"), "-X");
    assert_string_equal(settings_origin(l.v, "max.in.flight"), "environment");
    unload(&l);
}

static void an_empty_value_asks_for_the_default(void **state)
{
    static const char *const env[] = {"FRONT_CONNECTOR_FRONT_URL=", NULL};
    struct loaded l;

    (void)state;
    load(&l, "front.url = file\nmax.in.flight =\n", env, NULL);
    assert_int_equal(l.n, 0);
    assert_string_equal(l.c.url, "https://h");
    assert_int_equal(l.c.count, 64);
    assert_string_equal(settings_origin(l.v, "front.url"), "default");
    unload(&l);
}

static void variables_reach_prefixed_keys(void **state)
{
    static const char *const env[] = {"FRONT_CONNECTOR_KAFKA_SSL_CA_LOCATION=/ca",
                                      "FRONT_CONNECTOR_KAFKA_A__B_C=1",
                                      "FRONT_CONNECTOR_KAFKA_MY__NAME=2",
                                      "FRONT_CONNECTOR_KAFKA_CONSUMER_FETCH_MIN=3", NULL};
    struct loaded l;

    (void)state;
    load(&l, "kafka.my-name = 9\n", env, NULL);
    assert_string_equal(errors_of(&l), "");
    assert_int_equal(l.c.kafka.n, 3);
    assert_string_equal(l.c.kafka.items[0].key, "my-name"); /* as the file spells it */
    assert_string_equal(l.c.kafka.items[0].value, "2");
    assert_string_equal(l.c.kafka.items[1].key, "ssl.ca.location");
    assert_string_equal(l.c.kafka.items[2].key, "a_b.c");
    assert_int_equal(l.c.consumer.n, 1);
    assert_string_equal(l.c.consumer.items[0].key, "fetch.min");
    unload(&l);
}

static void values_come_from_files_and_variables(void **state)
{
    char path[64], env_path[128], text[256];
    const char *const env[] = {"WORD=deep $${x}", env_path,
                               "FRONT_CONNECTOR_FRONT_TOKEN_FILE=", NULL};
    const char *const token_file[] = {env_path, NULL};
    struct loaded l;

    (void)state;
    temp_path(path, sizeof(path));
    write_file(path, "from a file ${env:WORD}\n\n");
    (void)snprintf(env_path, sizeof(env_path),
                   "FRONT_CONNECTOR_KAFKA_SASL_PASSWORD_FILE=%s", path);
    (void)snprintf(text, sizeof(text),
                   "front.token = <${file:%s}>\nfront.url = $$a$b${env:WORD}$\n", path);
    load(&l, text, env, NULL);
    assert_string_equal(errors_of(&l), "");
    /* One newline is dropped, and what was read is not read again. */
    assert_int_equal(l.c.kafka.n, 1);
    assert_string_equal(l.c.kafka.items[0].key, "sasl.password");
    assert_string_equal(l.c.kafka.items[0].value, "from a file ${env:WORD}\n");
    assert_string_equal(l.c.url, "$a$bdeep $${x}$");
    assert_null(
        l.c.name); /* front.token.file is a key of its own: the empty variable is its */
    assert_string_equal(l.c.token, "<from a file ${env:WORD}\n>");
    unload(&l);

    (void)snprintf(env_path, sizeof(env_path), "FRONT_CONNECTOR_FRONT_URL_FILE=%s", path);
    load(&l, NULL, token_file, NULL);
    assert_string_equal(l.c.url, "from a file ${env:WORD}\n");
    unload(&l);
    (void)unlink(path);
}

static void a_secret_in_a_file_is_read_again(void **state)
{
    char path[64], text[128];
    const char *now = NULL;
    struct loaded l;
    int i;

    (void)state;
    temp_path(path, sizeof(path));
    write_file(path, "first\n");
    (void)snprintf(text, sizeof(text), "front.token = ${file:%s}\nfront.url = plain\n",
                   path);
    load(&l, text, NULL, NULL);
    assert_false(settings_secret_changed(l.v, "front.token", &now));
    assert_string_equal(now, "first");
    for (i = 0; i < 3; i++) {
        (void)snprintf(text, sizeof(text), "next %d\n", i);
        write_file(path, text);
        assert_true(settings_secret_changed(l.v, "front.token", &now));
        assert_memory_equal(now, text, strlen(now));
        assert_false(settings_secret_changed(l.v, "front.token", &now));
        assert_memory_equal(now, text, strlen(now));
    }
    write_file(path, ""); /* in the middle of being written */
    assert_false(settings_secret_changed(l.v, "front.token", &now));
    (void)unlink(path);
    assert_false(settings_secret_changed(l.v, "front.token", &now));
    assert_string_equal(now, "next 2");
    assert_string_equal(l.c.token, "first"); /* stays valid */
    assert_false(settings_secret_changed(l.v, "front.url", &now));
    assert_false(settings_secret_changed(l.v, "max.bytes", &now));
    assert_null(now);
    unload(&l);
}

/* ---- errors ---- */

static void all_errors_are_told_at_once(void **state)
{
    static const char *const env[] = {"FRONT_CONNECTOR_FRONT_TOKN=x",
                                      "FRONT_CONNECTOR_QQQQQQQQQQQQ=x",
                                      "FRONT_CONNECTOR_IN_DOUBT=${env:MISSING}", NULL};
    static const char *const overrides[] = {"topics=a,,b", "nonsense", "=x",
                                            "on=1",        "on=2",     NULL};
    struct loaded l;

    (void)state;
    load(&l,
         "front.ulr = x\n"
         "max.in.flight = 2000\n"
         "no equals sign\n"
         "max.bytes = much\n"
         "max.bytes = 1\n"
         "kafka. = x\n"
         "front.url = ${file:/does/not/exist}\n"
         "bad \xff = 1\n"
         "front.token = ${open\n"
         "front.token.file = ${what:ever}\n",
         env, overrides);
    assert_error(&l, ":1: front.ulr: unknown key, nearest is front.url\n");
    assert_error(&l, ":2: max.in.flight: 2000 is not a whole number in the range "
                     "1..1024 requests\n");
    assert_error(&l, ":3: no equals sign: must be key = value\n");
    assert_error(&l,
                 ":4: max.bytes: much is not a whole number in the range 1KiB..1GiB\n");
    assert_error(&l, ":5: max.bytes: already set on line 4\n");
    assert_error(&l, ":6: kafka.: unknown key");
    assert_error(&l, ":7: front.url: cannot read /does/not/exist: No such file");
    assert_error(&l, ":8: line: not UTF-8\n");
    assert_error(&l, ":9: front.token: ${ without }");
    assert_error(&l, ":10: front.token.file: ${what:ever}: must be ${env:NAME}");
    assert_error(&l,
                 "environment: FRONT_CONNECTOR_FRONT_TOKN: unknown variable, nearest is "
                 "FRONT_CONNECTOR_FRONT_TOKEN\n");
    assert_error(&l, "environment: FRONT_CONNECTOR_QQQQQQQQQQQQ: unknown variable");
    assert_error(&l, "environment: in.doubt: the environment has no MISSING\n");
    assert_error(&l, "-X: topics: item 2 of the list is empty\n");
    assert_error(&l, "-X: nonsense: must be key = value\n");
    assert_error(&l, "-X: line: must be key = value\n");
    assert_error(&l, "-X: on: set twice\n");
    assert_error(&l, "-X: on: 1 is neither true nor false\n");
    assert_int_equal(l.n, 18);
    assert_int_equal(
        settings_complain(&l.errors, l.v, "max.in.flight", "less than %d", 7), -1);
    assert_error(&l, ":2: max.in.flight: less than 7\n");
    unload(&l);
}

static void choices_name_all_and_the_nearest(void **state)
{
    struct loaded l;

    (void)state;
    load(&l, "in.doubt = rety\n", NULL, NULL);
    assert_int_equal(l.n, 1);
    assert_error(
        &l, ":1: in.doubt: rety is none of probe, report, retry, nearest is retry\n");
    unload(&l);
}

static void what_is_required_must_be_there(void **state)
{
    static const char *const env[] = {"FRONT_CONNECTOR_SERVERS=x", NULL};
    struct loaded l;

    (void)state;
    load_rows(&l, required_rows, 1, NULL, NULL, NULL);
    assert_int_equal(l.n, 1);
    assert_error(
        &l, "settings: servers: must be set (in the file, as FRONT_CONNECTOR_SERVERS, "
            "or by -X)\n");
    unload(&l);
    load_rows(&l, required_rows, 1, "servers =\n", NULL, NULL);
    assert_int_equal(l.n, 1);
    assert_error(&l, ":1: servers: must be set");
    unload(&l);
    load_rows(&l, required_rows, 1, NULL, env, NULL);
    assert_int_equal(l.n, 0);
    assert_string_equal(l.c.url, "x");
    unload(&l);
}

static void a_file_that_was_named_must_be_there(void **state)
{
    static const char *const env[] = {"FRONT_CONNECTOR_CONFIG=/does/not/exist", NULL};
    struct settings_source src = {.file = NULL,
                                  .environ_ = (char *const *)(uintptr_t)env};
    struct loaded l = {.n = 0};

    (void)state;
    buf_init(&l.errors, 65536);
    l.n = settings_load(rows, N_ROWS, &l.c, &src, &l.v, &l.errors);
    assert_int_equal(l.n, 1);
    assert_error(&l, "/does/not/exist: file: cannot read");
    unload(&l);
}

/* A Service of that name puts these into every container of its namespace. */
static void variables_of_kubernetes_are_not_ours(void **state)
{
    static const char *const env[] = {"FRONT_CONNECTOR_SERVICE_HOST=10.0.0.1",
                                      "FRONT_CONNECTOR_SERVICE_PORT=9464",
                                      "FRONT_CONNECTOR_SERVICE_PORT_STATUS=9464",
                                      "FRONT_CONNECTOR_PORT=tcp://10.0.0.1:9464",
                                      "FRONT_CONNECTOR_PORT_9464_TCP_ADDR=10.0.0.1",
                                      NULL};
    struct loaded l;

    (void)state;
    load(&l, NULL, env, NULL);
    assert_int_equal(l.n, 0);
    unload(&l);
}

/* ---- texts ---- */

static void the_sample_changes_nothing_and_names_every_key(void **state)
{
    struct buf sample;
    struct loaded l;
    size_t i;

    (void)state;
    buf_init(&sample, 1 << 20);
    settings_print_sample(rows, N_ROWS, &sample);
    load(&l, sample.data, NULL, NULL);
    assert_int_equal(l.n, 0);
    for (i = 0; i < N_ROWS; i++) {
        char line[64];

        (void)snprintf(line, sizeof(line), "\n#%s%s =", rows[i].key,
                       rows[i].type == SETTING_PREFIX ? "<name>" : "");
        assert_non_null(strstr(sample.data, line));
        assert_string_equal(settings_origin(l.v, rows[i].key), "default");
    }
    assert_non_null(strstr(sample.data, "\n## Front\n"));
    assert_non_null(strstr(sample.data,
                           "\n# How many.\n# (1..1024 requests; importance medium)"
                           "\n#max.in.flight = 64\n"));
    assert_non_null(strstr(sample.data, "\n#max.bytes = 16MiB\n"));
    /* One heading, although its rows do not stand together. */
    assert_null(strstr(strstr(sample.data, "## Front\n") + 1, "## Front\n"));
    unload(&l);
    buf_fini(&sample);
}

static void markdown_and_help(void **state)
{
    struct buf out;

    (void)state;
    buf_init(&out, 1 << 20);
    settings_print_markdown(rows, N_ROWS, &out);
    assert_non_null(strstr(out.data, "## Other\n\n| key | default |"));
    assert_non_null(strstr(out.data, "| `max.bytes` | `16MiB` | 1KiB..1GiB | medium | "
                                     "How large \\| wide &lt;tall>. |\n"));
    assert_non_null(strstr(out.data, "| `kafka.*` | none |"));
    buf_reset(&out);
    settings_print_help(rows, N_ROWS, &out);
    assert_non_null(strstr(out.data,
                           "Front\n  front.url = https://h\n      Where it is.\n"
                           "      (text; importance high)\n"));
    assert_non_null(strstr(out.data, "(probe, report, retry; importance high)"));
    buf_reset(&out);
    settings_print_markdown(required_rows, 1, &out);
    assert_non_null(strstr(out.data, "| `servers` | required |"));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_any_source_there_are_the_defaults),
        cmocka_unit_test(each_type_is_read),
        cmocka_unit_test(sizes),
        cmocka_unit_test(overrides_beat_environment_beats_file),
        cmocka_unit_test(an_empty_value_asks_for_the_default),
        cmocka_unit_test(variables_reach_prefixed_keys),
        cmocka_unit_test(values_come_from_files_and_variables),
        cmocka_unit_test(a_secret_in_a_file_is_read_again),
        cmocka_unit_test(all_errors_are_told_at_once),
        cmocka_unit_test(choices_name_all_and_the_nearest),
        cmocka_unit_test(what_is_required_must_be_there),
        cmocka_unit_test(a_file_that_was_named_must_be_there),
        cmocka_unit_test(variables_of_kubernetes_are_not_ours),
        cmocka_unit_test(the_sample_changes_nothing_and_names_every_key),
        cmocka_unit_test(markdown_and_help),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
