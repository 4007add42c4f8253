/* The command line as a user meets it: words in, text, JSON and exit code out. Nothing
 * here reaches Kafka or Front. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <jansson.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "cli/ops_example.h"
#include "codec/schemas.h"
#include "front/catalogue.h"

#define WORDS_MAX 16

struct call {
    char *out, *err;
    int code;
};

/* Runs the program with these words, without any settings file. */
static struct call run(const char *const *words)
{
    char *argv[WORDS_MAX + 4] = {mem_strdup("front-connector")};
    struct call call = {NULL, NULL, -1};
    size_t out_len, err_len;
    int argc = 1;
    FILE *out = open_memstream(&call.out, &out_len);
    FILE *err = open_memstream(&call.err, &err_len);

    assert_non_null(out);
    assert_non_null(err);
    for (; words[argc - 1]; argc++)
        argv[argc] = mem_strdup(words[argc - 1]);
    call.code = cli_main(argc, argv, out, err);
    fclose(out);
    fclose(err);
    for (int i = 0; i < argc; i++)
        mem_free(argv[i]);
    return call;
}

static void done(struct call *call)
{
    free(call->out);
    free(call->err);
}

#define RUN(...) run((const char *const[]){__VA_ARGS__, NULL})

static void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no `%s` in:\n%s", part, text);
}

static void no_word_prints_the_short_help(void **state)
{
    static const char *const none[] = {NULL};
    struct call call = run(none);

    (void)state;
    assert_int_equal(call.code, EXIT_USAGE);
    assert_string_equal(call.out, "");
    assert_has(call.err, "Usage: front-connector COMMAND");
    assert_null(strstr(call.err, "internal"));
    done(&call);
}

static void mistakes_name_the_nearest(void **state)
{
    static const struct {
        const char *words[8];
        const char *says;
    } cases[] = {
        {{"rnu"}, "nearest: run"},
        {{"chekc"}, "nearest: check"},
        {{"send", "update-conversaton"}, "nearest: update-conversation"},
        {{"schemas"}, "nearest: schema"},
        {{"xyzzy"}, "`front-connector help` lists them"},
        {{"check", "--of-line"}, "nearest: --offline"},
        {{"check", "-z"}, "unknown flag -z"},
        {{"check", "now"}, "usage: front-connector check"},
        {{"-X"}, "-X needs an argument"},
        {{"send"}, "usage: front-connector send"},
        {{"send", "update-conversaton", "--dry-run"}, "nearest: update-conversation"},
        {{"send", "update-conversation", "conversation_id=cnv_1", "statsu=open",
          "--dry-run"},
         "nearest: status"},
        {{"send", "update-conversation", "cnv_1", "--dry-run"}, "neither NAME=TEXT nor"},
        {{"send", "update-conversation", "conversation_id=cnv_1", "tag_ids=x",
          "--dry-run"},
         "tag_ids:="},
        {{"send", "update-conversation", "conversation_id=cnv_1", "tag_ids:=[x",
          "--dry-run"},
         "is no JSON value"},
        {{"send", "create-tag", "--body", "{\"name\":", "--dry-run"},
         "--body is no valid JSON"},
        {{"send", "create-tag", "--body", "[]", "name=x", "--dry-run"},
         "is no JSON object"},
        {{"send", "create-tag", "-H", "x", "--dry-run"}, "-H wants NAME=VALUE"},
        {{"send", "create-tag", "--dry-run"}, "name"},
        {{"tail", "results", "-o", "middle"}, "-o wants"},
        {{"tail", "results", "-n", "0"}, "-n wants"},
        {{"schema", "show", "front.Comand"}, "nearest: front.Command"},
        {{"internal", "x"}, "usage: front-connector internal"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct call call = run(cases[i].words);

        assert_has(call.err, cases[i].says);
        assert_int_equal(call.code, EXIT_USAGE);
        assert_string_equal(call.out, "");
        done(&call);
    }
}

static void help_and_version_go_to_stdout(void **state)
{
    static const char *const cases[][4] = {
        {"--help"},           {"help"},      {"help", "send"}, {"send", "--help"},
        {"help", "settings"}, {"--version"}, {"run", "-V"},    {"ops", "-h"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct call call = run(cases[i]);

        assert_int_equal(call.code, EXIT_DONE);
        assert_true(strlen(call.out) > 20);
        assert_string_equal(call.err, "");
        done(&call);
    }
}

static void ops_finds_modules_and_operations(void **state)
{
    struct call call = RUN("ops", "create inbox");

    (void)state;
    assert_int_equal(call.code, EXIT_DONE);
    assert_has(call.out, "create-inbox");
    done(&call);

    call = RUN("ops", "update-conversation");
    assert_int_equal(call.code, EXIT_DONE);
    assert_has(call.out, "PATCH /conversations/{conversation_id}");
    assert_has(call.out,
               "front-connector send update-conversation conversation_id=cnv_123");
    done(&call);

    call = RUN("ops", "call");
    assert_has(call.out, "Make an API Call");
    done(&call);

    call = RUN("ops", "zzzzzzzzzz");
    assert_int_equal(call.code, EXIT_FAILED);
    assert_string_equal(call.out, "");
    done(&call);
}

static void ops_as_json_is_json(void **state)
{
    (void)state;
    for (size_t i = 0; i < catalogue_table_n; i++) {
        struct call call = RUN("ops", catalogue_table[i].name, "--json");
        json_t *all = json_loads(call.out, 0, NULL);

        assert_non_null(all);
        assert_string_equal(json_string_value(json_object_get(all, "name")),
                            catalogue_table[i].name);
        json_decref(all);
        done(&call);
    }
}

static void schema_show_is_byte_for_byte(void **state)
{
    static const char *const names[] = {"front.Command", "Command",
                                        "records/Command.avsc"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct call call = RUN("schema", "show", names[i]);

        assert_int_equal(call.code, EXIT_DONE);
        assert_string_equal(call.out, schemas_row("front.Command")->text);
        done(&call);
    }
}

static const char *text_of(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

static void dry_run_shows_the_request(void **state)
{
    struct call call = RUN("-X", "front.url=http://127.0.0.1:1/base/", "send",
                           "update-conversation", "conversation_id=cnv 1",
                           "status=archived", "tag_ids:=[\"tag_1\"]", "--dry-run");
    json_t *all = json_loads(call.out, 0, NULL);
    const json_t *body, *headers;

    (void)state;
    assert_int_equal(call.code, EXIT_DONE);
    assert_non_null(all);
    body = json_object_get(all, "body");
    headers = json_object_get(all, "headers");
    assert_string_equal(text_of(all, "operation"), "update-conversation");
    assert_string_equal(text_of(all, "method"), "PATCH");
    assert_string_equal(text_of(all, "url"),
                        "http://127.0.0.1:1/base/conversations/cnv%201");
    assert_string_equal(text_of(all, "class"), "A");
    assert_string_equal(text_of(headers, "authorization"), "Bearer ***");
    assert_string_equal(text_of(headers, "content-type"), "application/json");
    assert_string_equal(text_of(body, "status"), "archived");
    assert_int_equal(json_array_size(json_object_get(body, "tag_ids")), 1);
    json_decref(all);
    done(&call);
}

static void dry_run_keeps_the_bytes_of_a_body(void **state)
{
    struct call call =
        RUN("send", "create-tag", "--body", " {\"name\" : \"\\u0041\"} ", "--dry-run");

    (void)state;
    assert_int_equal(call.code, EXIT_DONE);
    assert_has(call.out, "\"body\":{\"name\" : \"\\u0041\"},");
    done(&call);
}

static void dry_run_of_a_call(void **state)
{
    struct call call = RUN("send", "call", "method=GET", "path=/me", "--dry-run");

    (void)state;
    assert_int_equal(call.code, EXIT_DONE);
    assert_has(call.out, "\"method\":\"GET\",\"url\":\"https://api2.frontapp.com/me\"");
    done(&call);
}

/* The words of an example as `ops` prints it, through the program itself. */
static void every_example_passes_the_check(void **state)
{
    (void)state;
    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        json_t *example = ops_example(op);
        const char *words[2 * WORDS_MAX] = {"send", op->name, "--dry-run"};
        json_t *params = json_object_get(example, "params");
        json_t *body = json_object_get(example, "body");
        char *texts[WORDS_MAX];
        char *body_text = body ? json_dumps(body, JSON_COMPACT) : NULL;
        size_t n = 0, at = 3;
        const char *name;
        json_t *value;
        struct call call;

        json_object_foreach(params, name, value)
        {
            char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);

            texts[n] = mem_printf("%s:=%s", name, text);
            words[at++] = texts[n++];
            free(text);
        }
        if (body_text) {
            words[at++] = "--body";
            words[at++] = body_text;
        }
        if (json_object_get(example, "attachments")) {
            words[at++] = "--attach";
            words[at++] = "Makefile;type=audio/mpeg"; /* any file */
        }
        call = run(words);
        assert_null(strstr(call.err, "note:"));
        if (call.code != EXIT_DONE)
            fail_msg("%s: %s", op->name, call.err);
        assert_has(call.out, http_method_names[op->method]);
        done(&call);
        while (n > 0)
            mem_free(texts[--n]);
        free(body_text);
        json_decref(example);
    }
}

static void check_offline_says_all(void **state)
{
    struct call call =
        RUN("-X", "kafka.bootstrap.servers=localhost:1", "-X", "front.token=secret-token",
            "-X", "webhooks.listen=127.0.0.1:0", "-X", "webhooks.channel.keys=secret-key",
            "check", "--offline", "--json");
    struct call strict =
        RUN("-X", "kafka.bootstrap.servers=localhost:1", "-X", "front.token=secret-token",
            "-X", "webhooks.listen=127.0.0.1:0", "-X", "webhooks.channel.keys=secret-key",
            "check", "--offline", "--strict");
    char *rest = call.out;
    size_t lines = 0;

    (void)state;
    assert_int_equal(call.code, EXIT_DONE);
    assert_int_equal(strict.code, EXIT_USAGE);
    assert_has(strict.out, "warn webhooks webhooks.public.url");
    assert_has(strict.out, "skip token");
    assert_null(strstr(strict.out, "secret-"));
    while (*rest) {
        char *end = strchr(rest, '\n');
        json_t *line = json_loadb(rest, (size_t)(end - rest), 0, NULL);

        assert_non_null(line);
        assert_non_null(text_of(line, "check"));
        json_decref(line);
        rest = end + 1;
        lines++;
    }
    assert_true(lines >= 6);
    done(&call);
    done(&strict);
}

static void broken_settings_end_with_2(void **state)
{
    static const char *const cases[] = {"run", "check", "tail", "send"};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool takes_word = i >= 2;
        struct call call = RUN("-X", "front.urll=x", "-X", "commands.max.pending=1",
                               cases[i], takes_word ? "list-tags" : NULL);
        const char *text = strcmp(cases[i], "check") == 0 ? call.out : call.err;

        assert_int_equal(call.code, EXIT_USAGE);
        assert_has(text, "front.url");
        assert_has(text, "commands.max.pending");
        assert_has(text, "kafka.bootstrap.servers");
        done(&call);
    }
}

static char *file_text(const char *path)
{
    FILE *in = fopen(path, "r");
    char *text = mem_zalloc(1024 * 1024);

    assert_non_null(in);
    assert_true(fread(text, 1, 1024 * 1024 - 1, in) > 0);
    fclose(in);
    return text;
}

/* Run from the repository's top folder, as `make unit` does. */
static void committed_texts_are_up_to_date(void **state)
{
    static const char *const cases[][2] = {
        {"print-sample", "config/front-connector.conf"},
        {"print-settings-markdown", "config/README.md"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct call call = RUN("internal", cases[i][0]);
        char *text = file_text(cases[i][1]);

        assert_string_equal(call.out, text);
        mem_free(text);
        done(&call);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_word_prints_the_short_help),
        cmocka_unit_test(mistakes_name_the_nearest),
        cmocka_unit_test(help_and_version_go_to_stdout),
        cmocka_unit_test(ops_finds_modules_and_operations),
        cmocka_unit_test(ops_as_json_is_json),
        cmocka_unit_test(schema_show_is_byte_for_byte),
        cmocka_unit_test(dry_run_shows_the_request),
        cmocka_unit_test(dry_run_keeps_the_bytes_of_a_body),
        cmocka_unit_test(dry_run_of_a_call),
        cmocka_unit_test(every_example_passes_the_check),
        cmocka_unit_test(check_offline_says_all),
        cmocka_unit_test(broken_settings_end_with_2),
        cmocka_unit_test(committed_texts_are_up_to_date),
    };

    /* a developer's own settings must not leak in */
    unsetenv("FRONT_CONNECTOR_CONFIG");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
