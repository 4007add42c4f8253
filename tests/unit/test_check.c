/* What is refused before it costs a request: every operation of the catalogue, field by
 * field, and the raw call. */
#include <stdio.h>
#include <string.h>

#include "base/buf.h"
#include "codec/json.h"
#include "front/check.h"
#include "support.h"

struct sample {
    struct command cmd;
    struct pair params[40];
    struct buf body;
    bool full; /* every known field, not only the required ones */
};

static struct str lit(const char *s)
{
    return str_of(s);
}

static const char *value_of_type(unsigned types)
{
    return types & JSON_IS_STRING    ? "\"x\""
           : types & JSON_IS_INTEGER ? "1"
           : types & JSON_IS_NUMBER  ? "1.5"
           : types & JSON_IS_BOOLEAN ? "true"
           : types & JSON_IS_ARRAY   ? "[1]"
                                     : "{\"a\": 1}";
}

/* A value of a type that is not among `types`; NULL: all are. */
static const char *value_of_another_type(unsigned types)
{
    return !(types & JSON_IS_OBJECT)    ? " {\"a\": 1}"
           : !(types & JSON_IS_BOOLEAN) ? "true"
           : !(types & JSON_IS_STRING)  ? "\"x\""
                                        : NULL;
}

static bool is_one_of(const struct op *op, const char *name)
{
    struct str rest = lit(op->one_of);

    while (rest.ptr != NULL)
        if (str_is(str_split(&rest, '|'), name))
            return true;
    return false;
}

static void add_member(struct buf *b, const char *name, const char *value)
{
    (void)buf_printf(b, "%s\"%s\": %s", b->len > 0 ? ", " : "{", name, value);
}

/* The least (or fullest) command of an operation, without field `but`; `typed` gets
 * `value`. */
static void sample(struct sample *s, const struct op *op, bool full, const char *but,
                   const char *typed, const char *value)
{
    memset(&s->cmd, 0, sizeof s->cmd);
    buf_init(&s->body, 1 << 16);
    s->cmd.operation = lit(op->name);
    s->cmd.params = s->params;
    for (size_t i = 0; i < op->record->n_fields; i++) {
        const struct shape *sh = &op->record->fields[i];
        bool wanted = full || sh->required || is_one_of(op, sh->name);
        if (but != NULL && strcmp(but, sh->name) == 0)
            continue;
        switch (sh->place) {
        case PLACE_QUERY:
        case PLACE_MAX_ITEMS:
        case PLACE_PATH:
            assert_true(s->cmd.n_params < COUNT(s->params));
            if (wanted || sh->place == PLACE_PATH)
                s->params[s->cmd.n_params++] =
                    (struct pair){lit(sh->name), lit("7"), false};
            break;
        case PLACE_Q:
            if (full)
                s->params[s->cmd.n_params++] =
                    (struct pair){lit("q[statuses]"), lit("[\"a\",\"b\"]"), true};
            break;
        case PLACE_BODY:
            if (typed != NULL && strcmp(typed, sh->name) == 0)
                add_member(&s->body, sh->name, value);
            else if (sh->type == SHAPE_FILE)
                full ? add_member(&s->body, sh->name, "[ ]") : (void)0;
            else if (wanted)
                add_member(&s->body, sh->name, value_of_type(sh->json_types));
            break;
        case PLACE_WITH: /* which lists there are depends on the rows: test_fan */
        case PLACE_COMMAND_ID:
        case PLACE_SET_NULL:
        case PLACE_NESTED:
            break;
        }
    }
    if (s->body.len > 0)
        (void)buf_add_char(&s->body, '}');
    s->cmd.body = s->body.len > 0 ? buf_str(&s->body) : STR_NULL;
}

static int check(const struct command *cmd, struct err *e)
{
    const struct op *op;

    err_clear(e);
    return command_check(cmd, &op, e);
}

static void refused(const struct command *cmd, const char *reason, const char *word)
{
    struct err e = ERR_INIT;

    if (check(cmd, &e) == 0)
        fail_msg("%.*s: passed, should name %s", STR_ARG(cmd->operation), word);
    assert_int_equal(e.kind, ERR_INPUT);
    assert_string_equal(e.reason, reason);
    if (strstr(e.text, word) == NULL)
        fail_msg("%.*s: \"%s\" does not name %s", STR_ARG(cmd->operation), e.text, word);
    assert_true(utf8_valid(lit(e.text)));
}

static void passes(const struct command *cmd)
{
    struct err e = ERR_INIT;

    if (check(cmd, &e) != 0)
        fail_msg("%.*s: %s: %s", STR_ARG(cmd->operation), e.reason, e.text);
}

static struct attachment one_file = {.filename = STR_LIT("a"), .data = STR_LIT("x")};

static void every_operation_passes_with_least_and_with_all(void **state)
{
    (void)state;
    size_t files = 0;

    for (size_t i = 0; i < catalogue_table_n; i++)
        for (int full = 0; full < 2; full++) {
            const struct op *op = &catalogue_table[i];
            struct sample s;
            sample(&s, op, full, NULL, NULL, NULL);
            if (op->file_required) {
                refused(&s.cmd, "attachment", "needs a file");
                files++;
                s.cmd.attachments = &one_file;
                s.cmd.n_attachments = 1;
            }
            passes(&s.cmd);
            buf_fini(&s.body);
        }
    assert_int_equal(files, 2); /* add-call-recording */
}

static void every_required_field_is_missed(void **state)
{
    (void)state;
    size_t n = 0;

    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        for (size_t f = 0; f < op->record->n_fields && !op->file_required; f++) {
            const struct shape *sh = &op->record->fields[f];
            struct sample s;
            if (sh->place != PLACE_PATH && !sh->required)
                continue;
            sample(&s, op, false, sh->name, NULL, NULL);
            refused(&s.cmd, "invalid-command", sh->name);
            buf_fini(&s.body);
            n++;
        }
    }
    assert_true(n > 255);
}

static void every_one_of_is_missed(void **state)
{
    (void)state;
    size_t n = 0;

    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        struct sample s;
        struct buf less;
        size_t pos = 0;
        struct str name, value;
        char text[64];
        if (op->one_of == NULL)
            continue;
        sample(&s, op, false, NULL, NULL, NULL);
        buf_init(&less, 1 << 16);
        while (json_next_member(s.cmd.body, &pos, &name, &value)) {
            snprintf(text, sizeof text, "%.*s", STR_ARG(name));
            if (!is_one_of(op, text))
                add_member(&less, text, "\"x\"");
        }
        if (less.len > 0)
            (void)buf_add_char(&less, '}');
        s.cmd.body = less.len > 0 ? buf_str(&less) : STR_NULL;
        refused(&s.cmd, "invalid-command", op->one_of);
        buf_fini(&less);
        buf_fini(&s.body);
        n++;
    }
    assert_true(n > 0);
}

static void every_body_field_has_its_type_and_may_be_null(void **state)
{
    (void)state;
    size_t n = 0;

    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        for (size_t f = 0; f < op->record->n_fields && !op->file_required; f++) {
            const struct shape *sh = &op->record->fields[f];
            const char *wrong = value_of_another_type(sh->json_types);
            struct sample s;
            if (sh->place != PLACE_BODY || sh->type == SHAPE_FILE)
                continue;
            sample(&s, op, false, NULL, sh->name, "null");
            passes(&s.cmd);
            buf_fini(&s.body);
            if (wrong == NULL)
                continue;
            sample(&s, op, false, NULL, sh->name, wrong);
            refused(&s.cmd, "invalid-command", sh->name);
            buf_fini(&s.body);
            n++;
        }
    }
    assert_true(n > 255);
}

static void every_file_field_is_absent_or_empty(void **state)
{
    (void)state;
    static const char *const wrong[] = {"[\"x\"]", "\"x\"", "{}", "null"};
    size_t n = 0;

    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        if (op->file_field == NULL || op->file_required)
            continue;
        for (size_t w = 0; w < COUNT(wrong); w++) {
            struct sample s;
            char inner[128], outer[64];
            const char *open = strchr(op->file_field, '[');
            int len =
                open != NULL ? (int)(open - op->file_field) : (int)strlen(op->file_field);
            snprintf(outer, sizeof outer, "%.*s", len, op->file_field);
            if (open != NULL)
                snprintf(inner, sizeof inner, "{\"body\": \"x\", \"%.*s\": %s}",
                         (int)strlen(open) - 2, open + 1, wrong[w]);
            sample(&s, op, false, NULL, outer, open != NULL ? inner : wrong[w]);
            refused(&s.cmd, "invalid-command", op->file_field);
            buf_fini(&s.body);
        }
        n++;
    }
    assert_int_equal(n, 19); /* and add-call-recording */
}

static void every_operation_refuses_what_it_does_not_have(void **state)
{
    (void)state;

    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        struct sample s;
        if (op->file_required)
            continue;
        sample(&s, op, false, NULL, NULL, NULL);
        s.params[s.cmd.n_params++] = (struct pair){lit("zzzzzz"), lit("1"), false};
        refused(&s.cmd, "invalid-command", "zzzzzz");
        s.cmd.n_params--;
        if (op_field(op, lit("limit"), PLACE_QUERY) == NULL) {
            s.params[s.cmd.n_params++] = (struct pair){lit("limit"), lit("1"), false};
            refused(&s.cmd, "invalid-command", "limit");
            if (op->list)
                refused(&s.cmd, "invalid-command", "max_items");
            s.cmd.n_params--;
        }
        if (!op->list) {
            s.params[s.cmd.n_params++] = (struct pair){lit("max_items"), lit("1"), false};
            refused(&s.cmd, "invalid-command", "max_items");
            s.cmd.n_params--;
        }
        if (!op->has_body) {
            s.cmd.body = lit("{}");
            refused(&s.cmd, "invalid-command", "takes no body");
            s.cmd.body = STR_NULL;
        } else {
            s.cmd.body = lit("{\"zzzzzz\": 1}");
            refused(&s.cmd, "invalid-command", "zzzzzz");
            s.cmd.body = lit("[]");
            refused(&s.cmd, "invalid-command", "body");
        }
        s.cmd.body = s.body.len > 0 ? buf_str(&s.body) : STR_NULL;
        s.cmd.attachments = &one_file;
        s.cmd.n_attachments = 1;
        if (op->file_field == NULL)
            refused(&s.cmd, "attachment", op->name);
        else
            passes(&s.cmd);
        buf_fini(&s.body);
    }
}

/* Arrays take many, the others one. */
static void every_file_field_takes_as_many_as_it_says(void **state)
{
    (void)state;
    size_t many = 0, one = 0;

    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        struct attachment files[] = {one_file, one_file};
        struct sample s;
        if (op->file_field == NULL)
            continue;
        bool single = strcmp(op->file_field, "avatar") == 0 || op->file_required;
        sample(&s, op, false, NULL, NULL, NULL);
        s.cmd.attachments = files;
        s.cmd.n_attachments = 2;
        if (single)
            refused(&s.cmd, "attachment", "one file");
        else
            passes(&s.cmd);
        one += single;
        many += !single;
        s.cmd.n_attachments = 1;
        passes(&s.cmd);
        buf_fini(&s.body);
    }
    assert_int_equal(one, 5);
    assert_int_equal(many, 15);
}

static void every_path_value_stays_one_segment(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t len;
        bool ok;
    } rows[] = {{"", 0, false},
                {".", 1, false},
                {"..", 2, false},
                {"a\r\nb", 4, false},
                {"a\0b", 3, false},
                {"\n", 1, false},
                {"...", 3, true},
                {"a/../b", 6, true},
                {"%2e%2e", 6, true},
                {" ", 1, true},
                {"alt:email:a@b", 13, true},
                {"?x#y", 4, true}};

    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        struct sample s;
        if (op->file_required)
            continue;
        sample(&s, op, false, NULL, NULL, NULL);
        for (size_t p = 0; p < s.cmd.n_params; p++)
            for (size_t r = 0; r < COUNT(rows); r++) {
                char name[64];
                struct str before = s.params[p].value;
                if (op_field(op, s.params[p].name, PLACE_PATH) == NULL)
                    continue;
                snprintf(name, sizeof name, "%.*s", STR_ARG(s.params[p].name));
                s.params[p].value = (struct str){rows[r].text, rows[r].len};
                if (rows[r].ok)
                    passes(&s.cmd);
                else
                    refused(&s.cmd, "invalid-command", name);
                s.params[p].value = before;
            }
        buf_fini(&s.body);
    }
}

static void the_nearest_is_named(void **state)
{
    (void)state;
    struct pair id = {lit("conversation_id"), lit("cnv_1"), false};
    struct pair wrong = {lit("conversation_idd"), lit("cnv_1"), false};
    struct pair list = {lit("page_tokn"), lit("x"), false};
    struct pair body_too[] = {id, {lit("status"), lit("open"), false}};
    struct command cmd = {.operation = lit("update-conversaton")};

    refused(&cmd, "unknown-operation", "nearest: update-conversation");
    cmd.operation = lit("update-conversation");
    cmd.params = &wrong;
    cmd.n_params = 1;
    refused(&cmd, "invalid-command", "nearest: conversation_id");
    cmd.params = &id;
    cmd.body = lit("{\"statu\": \"open\"}");
    refused(&cmd, "invalid-command", "unknown body field statu, nearest: status");
    cmd.body = lit("{\"conversation_id\": \"cnv_1\"}");
    refused(&cmd, "invalid-command", "conversation_id is a parameter, not a body field");
    cmd.body = lit("{}");
    cmd.params = body_too;
    cmd.n_params = 2;
    refused(&cmd, "invalid-command", "status is a body field, not a parameter");
    body_too[1].name = lit("statu");
    refused(&cmd, "invalid-command",
            "unknown parameter statu, nearest: body field status");
    cmd = (struct command){
        .operation = lit("list-conversations"), .params = &list, .n_params = 1};
    refused(&cmd, "invalid-command", "nearest: page_token");
}

static void params_of_lists(void **state)
{
    (void)state;
    static const struct {
        const char *operation, *name, *value;
        bool ok;
    } rows[] = {{"list-conversations", "limit", "25", true},
                {"list-conversations", "max_items", "1000", true},
                {"list-conversations", "max_items", "0", false},
                {"list-conversations", "max_items", "many", false},
                {"list-conversations", "with", "messages,comments", true},
                {"list-conversations", "page_token", "abc", true},
                {"list-conversations", "q[statuses]", "[\"open\"]", true},
                {"list-conversations", "q[statuses][]", "open", true},
                {"list-conversations", "q[statuses]", "[1, true, \"x\"]", true},
                {"list-conversations", "q[statuses]", "[]", true},
                {"list-conversations", "q[statuses]", "[null]", false},
                {"list-conversations", "q[statuses]", "[[\"a\"]]", false},
                {"list-conversations", "q[statuses]", "[{}]", false},
                {"list-conversations", "q[statuses]", "[no json", true},
                {"list-conversations", "q[]", "x", false},
                {"list-conversations", "q[a", "x", false},
                {"list-conversations", "q", "x", false},
                {"list-conversations", "q[a]", "x\ny", false},
                {"list-teams", "q[a]", "x", false},
                {"list-teams", "max_items", "3", true},
                {"list-teams", "page_token", "3", false}};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pair p = {lit(rows[i].name), lit(rows[i].value), false};
        struct command cmd = {
            .operation = lit(rows[i].operation), .params = &p, .n_params = 1};
        if (rows[i].ok)
            passes(&cmd);
        else
            refused(&cmd, "invalid-command", rows[i].name);
    }
}

static void a_param_is_there_once(void **state)
{
    (void)state;
    struct pair two[] = {{lit("limit"), lit("1"), false},
                         {lit("limit"), lit("2"), false}};
    struct pair many[300];
    char names[300][16];
    struct command cmd = {
        .operation = lit("list-conversations"), .params = two, .n_params = 2};

    refused(&cmd, "invalid-command", "limit is there twice");
    for (size_t i = 0; i < COUNT(many); i++) {
        snprintf(names[i], sizeof names[i], "q[k%zu]", i);
        many[i] = (struct pair){lit(names[i]), lit("1"), false};
    }
    cmd.params = many;
    cmd.n_params = COUNT(many);
    refused(&cmd, "invalid-command", "params");
}

static void bodies_are_json_objects(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {{"{\"body\": \"x\"}", true},
                {" \n{\"body\":\"x\"} ", true},
                {"{\"body\": \"\xc3\xa9\"}", true},
                {"{\"body\": \"x\", \"is_pinned\": null}", true},
                {"{\"body\": null}", true},
                {"", false},
                {"   ", false},
                {"null", false},
                {"[]", false},
                {"\"{}\"", false},
                {"{\"body\": \"x\"", false},
                {"{\"body\": \"x\"} {}", false},
                {"{\"body\": \"\xff\"}", false},
                {"{'body': 'x'}", false},
                {"{\"body\": \"a\nb\"}", false}};
    struct pair id = {lit("conversation_id"), lit("cnv_1"), false};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct command cmd = {.operation = lit("add-comment"),
                              .params = &id,
                              .n_params = 1,
                              .body = lit(rows[i].text)};
        if (rows[i].ok)
            passes(&cmd);
        else
            refused(&cmd, "invalid-command", "body");
    }
}

static void numbers_and_integers_are_told_apart(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool ok;
    } rows[] = {
        {"1", true}, {"-7", true}, {"1.5", false}, {"1e3", false}, {"\"1\"", false}};
    const struct op *found = NULL;
    const struct shape *field = NULL;

    for (size_t i = 0; i < catalogue_table_n && field == NULL; i++)
        for (size_t f = 0; f < catalogue_table[i].record->n_fields; f++) {
            const struct shape *sh = &catalogue_table[i].record->fields[f];
            if (sh->place == PLACE_BODY && sh->json_types == JSON_IS_INTEGER) {
                found = &catalogue_table[i];
                field = sh;
            }
        }
    assert_non_null(field);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct sample s;
        sample(&s, found, false, NULL, field->name, rows[i].text);
        if (rows[i].ok)
            passes(&s.cmd);
        else
            refused(&s.cmd, "invalid-command", field->name);
        buf_fini(&s.body);
    }
}

/* The message becomes an Avro string: it stays UTF-8 and names the field, however long
 * the name is. */
static void long_names_are_cut_between_characters(void **state)
{
    (void)state;
    char name[1000];
    struct pair p = {{name, 0}, lit("x"), false};
    struct command cmd = {.operation = {name, 0}};

    for (size_t i = 0; i + 2 < sizeof name; i += 2)
        memcpy(name + i, "\xc3\xa9", 3);
    for (size_t skip = 0; skip < 2; skip++) {
        name[0] = 'x';
        name[1] = skip ? 'y' : 'z';
        cmd.operation = (struct str){name + skip, 600};
        refused(&cmd, "unknown-operation", "unknown operation");
        struct command row = {.operation = lit("list-tags"), .params = &p, .n_params = 1};
        p.name = (struct str){name + skip, 600};
        refused(&row, "invalid-command", "unknown parameter");
    }
}

static void fields_of_call_go_with_call_only(void **state)
{
    (void)state;
    struct pair p = {lit("a"), lit("b"), false};
    struct command cmd = {.operation = lit("list-tags"), .method = lit("GET")};

    refused(&cmd, "invalid-command", "call only");
    cmd = (struct command){.operation = lit("list-tags"), .path = lit("/tags")};
    refused(&cmd, "invalid-command", "call only");
    cmd = (struct command){.operation = lit("list-tags"), .query = &p, .n_query = 1};
    refused(&cmd, "invalid-command", "call only");
    cmd = (struct command){.operation = lit("list-tags"), .headers = &p, .n_headers = 1};
    refused(&cmd, "invalid-command", "call only");
    cmd = (struct command){.operation = lit("call"),
                           .method = lit("GET"),
                           .path = lit("/tags"),
                           .params = &p,
                           .n_params = 1};
    refused(&cmd, "invalid-command", "params");
}

static void methods_and_paths_of_call(void **state)
{
    (void)state;
    static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE"};
    static const char *const bad_methods[] = {"",      "get",  "HEAD",
                                              "TRACE", "GET ", "CONNECT"};
    static const char *const paths[] = {"/",
                                        "/me",
                                        "/tags/",
                                        "/contacts/alt:email:a@b.c",
                                        "/contacts/alt%3Aemail%3Aa%2Fb",
                                        "/a/...",
                                        "/a/.b",
                                        "/a/..b/c",
                                        "/a/%2e%2ex",
                                        "/a%20b",
                                        "/%C3%A9"};
    static const char *const bad_paths[] = {
        "",           "me",          "//host/x",    "/a//b",     "http://host/x",
        "/a?x=1",     "/a#x",        "/a/../b",     "/..",       "/.",
        "/a/.",       "/a/./b",      "/%2e%2e/a",   "/a/.%2E",   "/a/%2e",
        "/a%2f..",    "/a%2F%2E./b", "/a%5c..%5Cb", "/a\\..\\b", "/a\r\nX: y",
        "/a%0d%0a",   "/a%00",       "/a%7f",       "/a%",       "/a%2",
        "/a%zz",      "/a b",        "/\xc3\xa9",   "/{id}",     "/a<b>",
        "/a%\xff\xff"};
    struct command cmd = {.operation = lit("call"), .path = lit("/me")};

    refused(&cmd, "invalid-command", "method");
    for (size_t i = 0; i < COUNT(methods); i++) {
        cmd.method = lit(methods[i]);
        passes(&cmd);
    }
    for (size_t i = 0; i < COUNT(bad_methods); i++) {
        cmd.method = lit(bad_methods[i]);
        refused(&cmd, "invalid-command", "method");
    }
    cmd.method = lit("GET");
    cmd.path = STR_NULL;
    refused(&cmd, "invalid-command", "path");
    for (size_t i = 0; i < COUNT(paths); i++) {
        cmd.path = lit(paths[i]);
        passes(&cmd);
    }
    for (size_t i = 0; i < COUNT(bad_paths); i++) {
        cmd.path = lit(bad_paths[i]);
        refused(&cmd, "invalid-command", "path");
    }
    cmd.path = (struct str){"/a\0b", 4};
    refused(&cmd, "invalid-command", "path");
}

static void headers_of_call(void **state)
{
    (void)state;
    static const struct {
        struct str name, value;
        bool ok;
    } rows[] = {
        {{"X-Own", 5}, {"a b", 3}, true},
        {{"Accept", 6}, {"message/rfc822", 14}, true},
        {{"x-own", 5}, {"", 0}, true},
        {{"x-own", 5}, {"\xc3\xa9", 2}, true},
        {{"Authorization", 13}, {"x", 1}, false},
        {{"aUTHORIZATION", 13}, {"x", 1}, false},
        {{"host", 4}, {"x", 1}, false},
        {{"Content-Length", 14}, {"1", 1}, false},
        {{"Transfer-Encoding", 17}, {"chunked", 7}, false},
        {{"Connection", 10}, {"close", 5}, false},
        {{"Expect", 6}, {"100-continue", 12}, false},
        {{"Cookie", 6}, {"a=b", 3}, false},
        {{"Proxy-Authorization", 19}, {"x", 1}, false},
        {{"proxy-x", 7}, {"x", 1}, false},
        {{"X-Front-Tier", 12}, {"x", 1}, false},
        {{"x-FRONT-anything", 16}, {"x", 1}, false},
        {{"", 0}, {"x", 1}, false},
        {{"X Own", 5}, {"x", 1}, false},
        {{"X-Own:", 6}, {"x", 1}, false},
        {{"X-\xc3\xa9", 4}, {"x", 1}, false},
        {{"X-Own\r\nHost", 11}, {"x", 1}, false},
        /* printed, this name would be cut before its NUL and become a forbidden one */
        {{"Authorization\0x", 15}, {"Bearer stolen", 13}, false},
        {{"X-Own", 5}, {"a\r\nHost: x", 10}, false},
        {{"X-Own", 5}, {"a\nb", 3}, false},
        {{"X-Own", 5}, {"a\0b", 3}, false},
        {{"X-Own", 5}, {"a\x7f", 2}, false},
    };
    struct command cmd = {.operation = lit("call"),
                          .method = lit("GET"),
                          .path = lit("/me"),
                          .n_headers = 1};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pair h = {rows[i].name, rows[i].value, false};
        cmd.headers = &h;
        if (rows[i].ok)
            passes(&cmd);
        else
            refused(&cmd, "invalid-command", "header");
    }
}

static void sizes_of_call_have_ceilings(void **state)
{
    (void)state;
    static char long_value[5000], long_name[70];
    struct pair h = {lit("X-Own"), {long_value, sizeof long_value}, false};
    struct pair many[300];
    struct command cmd = {.operation = lit("call"),
                          .method = lit("GET"),
                          .path = lit("/me"),
                          .headers = &h,
                          .n_headers = 1};

    memset(long_value, 'x', sizeof long_value);
    memset(long_name, 'x', sizeof long_name);
    refused(&cmd, "invalid-command", "X-Own");
    h = (struct pair){{long_name, sizeof long_name}, lit("x"), false};
    refused(&cmd, "invalid-command", "header");
    for (size_t i = 0; i < COUNT(many); i++)
        many[i] = (struct pair){lit("X-Own"), lit("x"), false};
    cmd.headers = many;
    cmd.n_headers = COUNT(many);
    refused(&cmd, "invalid-command", "headers");
    cmd.n_headers = 0;
    cmd.query = many;
    cmd.n_query = COUNT(many);
    refused(&cmd, "invalid-command", "query");
}

static void query_and_body_of_call(void **state)
{
    (void)state;
    static const struct {
        struct str name, value;
        bool ok;
    } rows[] = {{{"q[statuses]", 11}, {"[\"a\",\"b\"]", 9}, true},
                {{"any name", 8}, {"&=#?", 4}, true},
                {{"a", 1}, {"", 0}, true},
                {{"", 0}, {"x", 1}, false},
                {{"a\n", 2}, {"x", 1}, false},
                {{"a", 1}, {"x\0y", 3}, false},
                {{"a", 1}, {"[{}]", 4}, false}};
    struct command cmd = {.operation = lit("call"),
                          .method = lit("POST"),
                          .path = lit("/tags"),
                          .n_query = 1};

    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pair q = {rows[i].name, rows[i].value, false};
        cmd.query = &q;
        if (rows[i].ok)
            passes(&cmd);
        else
            refused(&cmd, "invalid-command", "");
    }
    cmd.n_query = 0;
    cmd.body = lit("{\"name\": 1, \"anything\": [2]}"); /* not judged field by field */
    passes(&cmd);
    cmd.body = lit("[1]");
    refused(&cmd, "invalid-command", "body");
    cmd.body = lit("{");
    refused(&cmd, "invalid-command", "body");
}

static void aliases_are_resolved_and_call_has_no_row(void **state)
{
    (void)state;
    const struct op *op = NULL;
    struct err e = ERR_INIT;
    struct command cmd = {
        .operation = lit("call"), .method = lit("GET"), .path = lit("/me")};

    assert_int_equal(command_check(&cmd, &op, &e), 0);
    assert_null(op);
    for (size_t i = 0; i < catalogue_aliases_n; i++) {
        cmd = (struct command){.operation = lit(catalogue_aliases[i].alias)};
        (void)command_check(&cmd, &op, &e);
        assert_non_null(op);
        assert_string_equal(op->name, catalogue_aliases[i].name);
    }
    cmd = (struct command){.operation = STR_NULL};
    assert_int_equal(command_check(&cmd, &op, &e), -1);
    assert_null(op);
    assert_string_equal(e.reason, "unknown-operation");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operation_passes_with_least_and_with_all),
        cmocka_unit_test(every_required_field_is_missed),
        cmocka_unit_test(every_one_of_is_missed),
        cmocka_unit_test(every_body_field_has_its_type_and_may_be_null),
        cmocka_unit_test(every_file_field_is_absent_or_empty),
        cmocka_unit_test(every_operation_refuses_what_it_does_not_have),
        cmocka_unit_test(every_file_field_takes_as_many_as_it_says),
        cmocka_unit_test(every_path_value_stays_one_segment),
        cmocka_unit_test(the_nearest_is_named),
        cmocka_unit_test(params_of_lists),
        cmocka_unit_test(a_param_is_there_once),
        cmocka_unit_test(bodies_are_json_objects),
        cmocka_unit_test(numbers_and_integers_are_told_apart),
        cmocka_unit_test(long_names_are_cut_between_characters),
        cmocka_unit_test(fields_of_call_go_with_call_only),
        cmocka_unit_test(methods_and_paths_of_call),
        cmocka_unit_test(headers_of_call),
        cmocka_unit_test(sizes_of_call_have_ceilings),
        cmocka_unit_test(query_and_body_of_call),
        cmocka_unit_test(aliases_are_resolved_and_call_has_no_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
