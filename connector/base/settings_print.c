/* The texts that come from a settings table: help, sample file, README. Owns nothing.
 * Invariant: each row appears once in each text, under its section, sections in the order
 * in which the table first names them. */
#include "base/settings.h"

#include <inttypes.h>
#include <string.h>

#include "base/settings_internal.h"

enum { WRAP_COLUMNS = 90 };

typedef void print_fn(const struct setting_row *row, struct buf *out);

void settings_print_bytes(int64_t n, struct buf *out)
{
    static const char *const names[] = {"", "KiB", "MiB", "GiB"};
    size_t unit = 0;

    while (unit + 1 < sizeof(names) / sizeof(names[0]) && n != 0 && n % 1024 == 0) {
        n /= 1024;
        unit++;
    }
    (void)buf_printf(out, "%" PRId64 "%s", n, names[unit]);
}

void settings_print_range(const struct setting_row *row, struct buf *out)
{
    if (row->type == SETTING_BYTES) {
        settings_print_bytes(row->min, out);
        (void)buf_add_cstr(out, "..");
        settings_print_bytes(row->max, out);
        return;
    }
    (void)buf_printf(out, "%" PRId64 "..%" PRId64, row->min, row->max);
    if (row->unit != NULL)
        (void)buf_printf(out, " %s", row->unit);
}

static bool is_required(const struct setting_row *row)
{
    return row->preset != NULL && strcmp(row->preset, "!") == 0;
}

/* The default as a value: empty when there is none. */
static void print_preset(const struct setting_row *row, struct buf *out)
{
    struct err e = ERR_INIT;
    int64_t n;

    if (row->preset == NULL || is_required(row))
        return;
    if (row->type == SETTING_BYTES &&
        settings_parse_bytes(str_of(row->preset), &n, &e) == 0)
        settings_print_bytes(n, out);
    else
        (void)buf_add_cstr(out, row->preset);
}

/* What values there are: range, choices, or the kind of text. */
static void print_values(const struct setting_row *row, struct buf *out)
{
    size_t i;

    switch (row->type) {
    case SETTING_TEXT:
        (void)buf_add_cstr(out, "text");
        break;
    case SETTING_SECRET:
        (void)buf_add_cstr(out, "secret");
        break;
    case SETTING_BOOL:
        (void)buf_add_cstr(out, "true, false");
        break;
    case SETTING_INT:
    case SETTING_BYTES:
        settings_print_range(row, out);
        break;
    case SETTING_CHOICE:
        for (i = 0; row->choices[i] != NULL; i++)
            (void)buf_printf(out, "%s%s", i > 0 ? ", " : "", row->choices[i]);
        break;
    case SETTING_LIST:
        (void)buf_add_cstr(out, "comma-separated list");
        break;
    case SETTING_PREFIX:
        (void)buf_add_cstr(out, "any key with this beginning");
        break;
    }
}

static const char *importance_name(enum setting_importance importance)
{
    switch (importance) {
    case IMPORTANCE_HIGH:
        return "high";
    case IMPORTANCE_MEDIUM:
        return "medium";
    case IMPORTANCE_LOW:
        return "low";
    }
    return "";
}

static void print_key(const struct setting_row *row, struct buf *out)
{
    (void)buf_printf(out, "%s%s", row->key, row->type == SETTING_PREFIX ? "*" : "");
}

/* Words onto lines of WRAP_COLUMNS, each line after `indent`. */
static void print_wrapped(const char *indent, struct str text, struct buf *out)
{
    size_t column = 0;

    while (text.len > 0) {
        struct str word = str_split(&text, ' ');

        if (word.len == 0)
            continue;
        if (column > 0 && column + 1 + word.len > WRAP_COLUMNS) {
            (void)buf_add_char(out, '\n');
            column = 0;
        }
        if (column == 0) {
            (void)buf_add_cstr(out, indent);
            column = strlen(indent);
        } else {
            (void)buf_add_char(out, ' ');
            column++;
        }
        (void)buf_add_str(out, word);
        column += word.len;
    }
    if (column > 0)
        (void)buf_add_char(out, '\n');
}

/* Help, then what it may be, as running text. */
static void print_about(const struct setting_row *row, const char *indent,
                        struct buf *out)
{
    struct buf text;

    buf_init(&text, SETTINGS_VALUE_MAX);
    (void)buf_add_cstr(&text, row->help);
    print_wrapped(indent, buf_str(&text), out);
    buf_reset(&text);
    (void)buf_add_char(&text, '(');
    print_values(row, &text);
    (void)buf_printf(&text, "%s; importance %s)", is_required(row) ? "; required" : "",
                     importance_name(row->importance));
    print_wrapped(indent, buf_str(&text), out);
    buf_fini(&text);
}

static void by_section(const struct setting_row *rows, size_t n, struct buf *out,
                       print_fn *heading, print_fn *one)
{
    size_t i, j;

    for (i = 0; i < n; i++) {
        for (j = 0; j < i; j++)
            if (strcmp(rows[j].section, rows[i].section) == 0)
                break;
        if (j < i)
            continue; /* printed with its first row */
        heading(&rows[i], out);
        for (j = i; j < n; j++)
            if (strcmp(rows[j].section, rows[i].section) == 0)
                one(&rows[j], out);
    }
}

static void help_heading(const struct setting_row *row, struct buf *out)
{
    (void)buf_printf(out, "%s%s\n", out->len > 0 ? "\n" : "", row->section);
}

static void help_row(const struct setting_row *row, struct buf *out)
{
    (void)buf_add_cstr(out, "  ");
    print_key(row, out);
    if (row->preset != NULL && !is_required(row)) {
        (void)buf_add_cstr(out, " = ");
        print_preset(row, out);
    }
    (void)buf_add_char(out, '\n');
    print_about(row, "      ", out);
}

void settings_print_help(const struct setting_row *rows, size_t n, struct buf *out)
{
    by_section(rows, n, out, help_heading, help_row);
}

static void sample_heading(const struct setting_row *row, struct buf *out)
{
    (void)buf_printf(out, "%s## %s\n\n", out->len > 0 ? "\n" : "", row->section);
}

static void sample_row(const struct setting_row *row, struct buf *out)
{
    print_about(row, "# ", out);
    (void)buf_add_char(out, '#');
    (void)buf_add_cstr(out, row->key);
    (void)buf_add_cstr(out, row->type == SETTING_PREFIX ? "<name> =" : " =");
    if (row->preset != NULL && !is_required(row)) {
        (void)buf_add_char(out, ' ');
        print_preset(row, out);
    }
    (void)buf_add_cstr(out, "\n\n");
}

void settings_print_sample(const struct setting_row *rows, size_t n, struct buf *out)
{
    (void)buf_add_cstr(
        out, "# Settings, each with its default. Generated from the settings table.\n");
    by_section(rows, n, out, sample_heading, sample_row);
    /* One newline at the end, not two. */
    if (out->len >= 2 && out->data[out->len - 2] == '\n')
        out->data[--out->len] = '\0';
}

static void markdown_heading(const struct setting_row *row, struct buf *out)
{
    (void)buf_printf(out,
                     "%s## %s\n\n| key | default | values | importance | meaning |\n"
                     "|---|---|---|---|---|\n",
                     out->len > 0 ? "\n" : "", row->section);
}

/* A cell: | and < would end it or be taken for HTML. */
static void print_cell(struct str text, struct buf *out)
{
    size_t i;

    for (i = 0; i < text.len; i++) {
        if (text.ptr[i] == '|')
            (void)buf_add_cstr(out, "\\|");
        else if (text.ptr[i] == '<')
            (void)buf_add_cstr(out, "&lt;");
        else
            (void)buf_add_char(out, text.ptr[i]);
    }
}

static void markdown_row(const struct setting_row *row, struct buf *out)
{
    struct buf values;

    (void)buf_add_cstr(out, "| `");
    print_key(row, out);
    (void)buf_add_cstr(out, "` | ");
    if (is_required(row)) {
        (void)buf_add_cstr(out, "required");
    } else if (row->preset != NULL) {
        (void)buf_add_char(out, '`');
        print_preset(row, out);
        (void)buf_add_char(out, '`');
    } else {
        (void)buf_add_cstr(out, "none");
    }
    buf_init(&values, SETTINGS_VALUE_MAX);
    print_values(row, &values);
    (void)buf_add_cstr(out, " | ");
    print_cell(buf_str(&values), out);
    (void)buf_printf(out, " | %s | ", importance_name(row->importance));
    print_cell(str_of(row->help), out);
    (void)buf_add_cstr(out, " |\n");
    buf_fini(&values);
}

void settings_print_markdown(const struct setting_row *rows, size_t n, struct buf *out)
{
    by_section(rows, n, out, markdown_heading, markdown_row);
}
