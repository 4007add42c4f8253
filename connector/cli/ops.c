/* `ops`: search the catalogue, or show one operation in full. */
#include "cli/cli.h"

#include <jansson.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/json_out.h"
#include "cli/ops_example.h"
#include "front/catalogue.h"

#define FOUND_MAX 300
#define CALL_TITLE "Make an API Call"
#define LINE_MAX_BYTES (64 * 1024)

static int list(struct cli *c, const struct op *const *ops, size_t n);
static int search(struct cli *c);
static int show_call(struct cli *c);
static void print_json(struct cli *c, json_t *value);
static void show_text(struct cli *c, const struct op *op);
static void show_json(struct cli *c, const struct op *op);

static const char *const class_words[] = {
    "A: safe to repeat",
    "B: Front recognises a repeat",
    "C: never repeated without evidence; a lost call can be looked for",
    "D: never repeated without evidence; a lost call cannot be looked for",
};

int cli_ops(struct cli *c)
{
    const struct op *op;
    const struct op **all;
    int code;

    if (c->n_args == 0) {
        all = mem_array(catalogue_table_n, sizeof(all[0]));
        for (size_t i = 0; i < catalogue_table_n; i++)
            all[i] = &catalogue_table[i];
        code = list(c, all, catalogue_table_n);
        mem_free(all);
        return code;
    }
    if (c->n_args == 1 && strcmp(c->args[0], "call") == 0)
        return show_call(c);
    op = c->n_args == 1 ? op_find(str_of(c->args[0])) : NULL;
    if (!op)
        return search(c);
    if (cli_has(c, "json"))
        show_json(c, op);
    else
        show_text(c, op);
    return EXIT_DONE;
}

/* --- call, which is no row of the catalogue --- */

static const char call_help[] = "any other request, by method and path";

static int show_call(struct cli *c)
{
    if (cli_has(c, "json")) {
        print_json(c, json_pack("{s:s, s:s, s:[s], s:[s,s,s,s,s]}", "name", "call",
                                "help", call_help, "titles", CALL_TITLE, "fields",
                                "method", "path", "query", "headers", "body"));
        return EXIT_DONE;
    }
    fprintf(c->out,
            "call: %s\n"
            "  module     %s\n"
            "  method     GET, POST, PUT, PATCH or DELETE\n"
            "  path       starts with one /, without host, ? and #\n"
            "  query      parameters, as text\n"
            "  headers    further headers, none of those the connector sets itself\n"
            "  body       a JSON object\n"
            "  class      that of the operation with this method and path; else A: GET "
            "PUT PATCH\n"
            "             DELETE, D: POST\n\n"
            "  {\"operation\":\"call\",\"method\":\"GET\",\"path\":\"/me\"}\n"
            "  front-connector send call method=GET path=/me\n",
            call_help, CALL_TITLE);
    return EXIT_DONE;
}

/* Do the words mean `call`? Each is in its title, and "call" or "api" is one of them. */
static bool is_call(const struct cli *c)
{
    bool named = false;

    for (size_t i = 0; i < c->n_args; i++) {
        if (!strcasestr(CALL_TITLE, c->args[i]))
            return false;
        named = named || strcasestr(c->args[i], "call") || strcasestr(c->args[i], "api");
    }
    return named;
}

/* --- search --- */

static char *words_of(const struct cli *c)
{
    struct buf words;

    buf_init(&words, LINE_MAX_BYTES);
    for (size_t i = 0; i < c->n_args; i++)
        buf_printf(&words, "%s%s", i ? " " : "", c->args[i]);
    return buf_take(&words, NULL);
}

static int search(struct cli *c)
{
    const struct op *found[FOUND_MAX];
    char *words = words_of(c);
    bool call = is_call(c);
    const char *near = NULL;
    size_t n = 0;
    int code = EXIT_DONE;

    if (words) {
        n = op_search(str_of(words), found, FOUND_MAX);
        near = op_nearest(str_of(words));
    }
    if (n > 0)
        code = list(c, found, n);
    if (call)
        code = show_call(c);
    if (n == 0 && !call)
        code = cli_fail(c, EXIT_FAILED, "no operation has %s%s%s",
                        words ? words : "these words", near ? ", nearest: " : "",
                        near ? near : "");
    mem_free(words);
    return code;
}

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static void print_row(struct cli *c, const struct op *op)
{
    bool colour = c->colour;

    fprintf(c->out, "%s%-38s%s %-6s %-62s %s%s%s%s\n", colour ? "\033[1m" : "", op->name,
            colour ? "\033[0m" : "", http_method_names[op->method], op->path, op->help,
            op->titles ? " (" : "", op->titles ? op->titles : "", op->titles ? ")" : "");
}

/* A list value of the catalogue ("a|b", "a,b") as an array. */
static json_t *array_of(const char *list_text, char sep)
{
    struct str rest = str_of(list_text);
    json_t *array = json_array();

    while (rest.ptr) {
        struct str item = str_trim(str_split(&rest, sep));

        if (item.len > 0)
            json_array_append_new(array, json_stringn(item.ptr, item.len));
    }
    return array;
}

static void print_json(struct cli *c, json_t *value)
{
    json_dumpf(value, c->out, JSON_COMPACT);
    fputc('\n', c->out);
    json_decref(value);
}

static int list(struct cli *c, const struct op *const *ops, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const struct op *op = ops[i];

        if (!cli_has(c, "json")) {
            print_row(c, op);
            continue;
        }
        print_json(c, json_pack("{s:s, s:o, s:s, s:s, s:s}", "name", op->name, "titles",
                                array_of(op->titles, '|'), "method",
                                http_method_names[op->method], "path", op->path, "help",
                                op->help));
    }
    return EXIT_DONE;
}

/* --- one in full, as text --- */

static void print_pair(struct cli *c, const char *name, const char *value)
{
    if (value)
        fprintf(c->out, "  %-10s %s\n", name, value);
}

static void print_field(struct cli *c, const struct shape *sh, int indent)
{
    fprintf(c->out, "  %*s%-*s %-20s%s\n", 2 + indent, "", 30 - indent, sh->name,
            shape_type_name(sh), sh->required ? " required" : "");
    for (size_t i = 0; sh->type == SHAPE_OBJECT && i < sh->n_fields; i++)
        print_field(c, &sh->fields[i], indent + 2);
}

static bool is_param(const struct shape *sh)
{
    switch (sh->place) {
    case PLACE_PATH:
    case PLACE_QUERY:
    case PLACE_Q:
    case PLACE_MAX_ITEMS:
    case PLACE_WITH:
        return true;
    case PLACE_COMMAND_ID:
    case PLACE_BODY:
    case PLACE_SET_NULL:
    case PLACE_NESTED:
        return false;
    }
    return false;
}

static bool is_body(const struct shape *sh)
{
    return sh->place == PLACE_BODY;
}

static void print_fields(struct cli *c, const struct op *op, const char *title,
                         bool (*wanted)(const struct shape *sh))
{
    bool first = true;

    for (size_t i = 0; i < op->record->n_fields; i++) {
        if (!wanted(&op->record->fields[i]))
            continue;
        if (first)
            fprintf(c->out, "  %s\n", title);
        first = false;
        print_field(c, &op->record->fields[i], 0);
    }
}

static void print_aliases(struct cli *c, const struct op *op)
{
    for (size_t i = 0; i < catalogue_aliases_n; i++) {
        if (strcmp(catalogue_aliases[i].name, op->name) == 0)
            print_pair(c, "alias", catalogue_aliases[i].alias);
    }
}

static void print_guard(struct cli *c, const struct op *op)
{
    if (op->guard != GUARD_NONE)
        fprintf(c->out, "  %-10s %s%s%s\n", "guard", guard_names[op->guard],
                op->guard_param ? ", per " : "", op->guard_param ? op->guard_param : "");
}

static void print_files(struct cli *c, const struct op *op)
{
    if (op->file_field)
        fprintf(c->out, "  %-10s %s%s\n", "file", op->file_field,
                op->file_required ? ", required" : "");
}

static void print_example(struct cli *c, const struct op *op)
{
    json_t *example = ops_example(op);
    struct buf text;

    buf_init(&text, LINE_MAX_BYTES);
    buf_add_cstr(&text, "\n  ");
    json_out_value(&text, example);
    buf_add_cstr(&text, "\n  ");
    ops_example_send(op, example, &text);
    buf_add_char(&text, '\n');
    fputs(text.data, c->out);
    buf_fini(&text);
    json_decref(example);
}

static void show_text(struct cli *c, const struct op *op)
{
    fprintf(c->out, "%s: %s%s\n", op->name, op->help,
            op->deprecated ? " (deprecated)" : "");
    print_pair(c, "module", op->titles);
    print_aliases(c, op);
    fprintf(c->out, "  %-10s %s %s\n", "request", http_method_names[op->method],
            op->path);
    print_pair(c, "class", class_words[op->klass]);
    print_guard(c, op);
    print_pair(c, "auth",
               op->auth == AUTH_CHANNEL ? "channel token (front.app.*)" : "API token");
    print_pair(c, "scopes", op->scopes);
    print_pair(c, "success", op->statuses);
    print_pair(c, "one of", op->one_of);
    print_files(c, op);
    if (op->resource)
        fprintf(c->out, "  %-10s front.%s\n", "topic", op->resource);
    print_pair(c, "record", op->record->full_name);
    print_fields(c, op, "params", is_param);
    print_fields(c, op, "body", is_body);
    print_example(c, op);
}

/* --- one in full, as JSON --- */

static json_t *fields_of(const struct shape *fields, size_t n,
                         bool (*wanted)(const struct shape *sh))
{
    json_t *array = json_array();

    for (size_t i = 0; i < n; i++) {
        const struct shape *sh = &fields[i];
        json_t *field;

        if (wanted && !wanted(sh))
            continue;
        field = json_pack("{s:s, s:s, s:b}", "name", sh->name, "type",
                          shape_type_name(sh), "required", sh->required);
        if (sh->type == SHAPE_OBJECT)
            json_object_set_new(field, "fields",
                                fields_of(sh->fields, sh->n_fields, NULL));
        if (sh->place == PLACE_PATH)
            json_object_set_new(field, "in", json_string("path"));
        json_array_append_new(array, field);
    }
    return array;
}

static json_t *aliases_of(const struct op *op)
{
    json_t *array = json_array();

    for (size_t i = 0; i < catalogue_aliases_n; i++) {
        if (strcmp(catalogue_aliases[i].name, op->name) == 0)
            json_array_append_new(array, json_string(catalogue_aliases[i].alias));
    }
    return array;
}

static void show_json(struct cli *c, const struct op *op)
{
    const struct typed_record *rec = op->record;
    const char klass[2] = {(char)('A' + (int)op->klass), '\0'};
    json_t *example = ops_example(op);
    json_t *all = json_object();
    struct buf line;

    buf_init(&line, LINE_MAX_BYTES);
    ops_example_send(op, example, &line);
    json_object_set_new(all, "name", json_string(op->name));
    json_object_set_new(all, "help", json_string(op->help));
    json_object_set_new(all, "titles", array_of(op->titles, '|'));
    json_object_set_new(all, "aliases", aliases_of(op));
    json_object_set_new(all, "method", json_string(http_method_names[op->method]));
    json_object_set_new(all, "path", json_string(op->path));
    json_object_set_new(all, "class", json_string(klass));
    json_object_set_new(all, "guard", json_string(guard_names[op->guard]));
    json_object_set_new(all, "guard_param", text_or_null(op->guard_param));
    json_object_set_new(all, "auth",
                        json_string(op->auth == AUTH_CHANNEL ? "channel" : "token"));
    json_object_set_new(all, "scopes", array_of(op->scopes, ','));
    json_object_set_new(all, "statuses", array_of(op->statuses, ','));
    json_object_set_new(all, "params", fields_of(rec->fields, rec->n_fields, is_param));
    json_object_set_new(all, "body", fields_of(rec->fields, rec->n_fields, is_body));
    json_object_set_new(all, "one_of", array_of(op->one_of, '|'));
    json_object_set_new(all, "file", text_or_null(op->file_field));
    json_object_set_new(all, "file_required", json_boolean(op->file_required));
    json_object_set_new(all, "list", json_boolean(op->list));
    json_object_set_new(all, "paged", json_boolean(op->paged));
    json_object_set_new(all, "topic",
                        op->resource ? json_sprintf("front.%s", op->resource)
                                     : json_null());
    json_object_set_new(all, "record", json_string(rec->full_name));
    json_object_set_new(all, "deprecated", json_boolean(op->deprecated));
    json_object_set_new(all, "example", example);
    json_object_set_new(all, "send", json_string(line.data));
    print_json(c, all);
    buf_fini(&line);
}
