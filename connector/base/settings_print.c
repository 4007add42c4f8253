/* The settings table as help, sample file and README: what users read is what the program
 * parses. */
#include <string.h>

#include "base/settings.h"

static const char *const type_names[] = {"text",  "secret", "true or false", "number",
                                         "bytes", "choice", "list",          "any"};

static void print_range(const struct setting_row *row, struct buf *out)
{
    if (row->type == SETTING_CHOICE) {
        for (int i = 0; row->choices[i] != NULL; i++)
            buf_printf(out, "%s%s", i ? ", " : "", row->choices[i]);
    } else if (row->type == SETTING_INT || row->type == SETTING_BYTES) {
        if (row->max == INT64_MAX)
            buf_printf(out, "%lld or more", (long long)row->min);
        else
            buf_printf(out, "%lld to %lld", (long long)row->min, (long long)row->max);
        if (row->unit != NULL)
            buf_printf(out, " %s", row->unit);
    } else {
        buf_add_cstr(out, type_names[row->type]);
    }
}

static const char *preset_of(const struct setting_row *row)
{
    if (row->preset == NULL)
        return "none";
    return strcmp(row->preset, "!") == 0 ? "required" : row->preset;
}

static bool starts_section(const struct setting_row *rows, size_t i)
{
    return i == 0 || strcmp(rows[i].section, rows[i - 1].section) != 0;
}

void settings_print_help(const struct setting_row *rows, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        if (starts_section(rows, i))
            buf_printf(out, "%s%s\n", i ? "\n" : "", rows[i].section);
        buf_printf(out, "  %-34s %s (default: %s)\n", rows[i].key, rows[i].help,
                   preset_of(&rows[i]));
    }
}

void settings_print_sample(const struct setting_row *rows, size_t n, struct buf *out)
{
    buf_add_cstr(out, "# Settings of front-connector, each with its default.\n"
                      "# Generated from the settings table: see config/README.md.\n");
    for (size_t i = 0; i < n; i++) {
        const struct setting_row *row = &rows[i];
        if (starts_section(rows, i))
            buf_printf(out, "\n# ---- %s ----\n", row->section);
        buf_printf(out, "\n# %s\n# ", row->help);
        print_range(row, out);
        buf_printf(out, "%s\n",
                   row->preset && strcmp(row->preset, "!") == 0 ? "; required" : "");
        bool none = row->preset == NULL || strcmp(row->preset, "!") == 0;
        buf_printf(out, "#%s%s =%s%s\n", row->key,
                   row->type == SETTING_PREFIX ? "..." : "", none ? "" : " ",
                   none ? "" : row->preset);
    }
}

void settings_print_markdown(const struct setting_row *rows, size_t n, struct buf *out)
{
    for (size_t i = 0; i < n; i++) {
        const struct setting_row *row = &rows[i];
        if (starts_section(rows, i))
            buf_printf(out, "%s## %s\n\n| key | default | range | |\n|---|---|---|---|\n",
                       i ? "\n" : "", row->section);
        buf_printf(out, "| `%s%s` | %s | ", row->key,
                   row->type == SETTING_PREFIX ? "*" : "", preset_of(row));
        print_range(row, out);
        buf_printf(out, " | %s%s%s |\n", row->help, row->later ? " No effect yet: " : "",
                   row->later ? row->later : "");
    }
}
