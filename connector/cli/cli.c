/* Parses a call by the table in commands.c, prints help, and runs the subcommand. Knows
 * no subcommand. */
#include "cli/cli.h"

#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#define ERRORS_MAX (256 * 1024)
#define FLAGS_MAX 32
#define SLIPS_MAX 2
#define HELP_MAX (256 * 1024)

static const struct cli_flag global_flags[] = {
    {"config", 'c', "FILE", false,
     "settings file ($FRONT_CONNECTOR_CONFIG, ./front-connector.conf,\n"
     "                         /etc/front-connector/front-connector.conf)"},
    {"set", 'X', "KEY=VALUE", false, "a setting; may be given several times"},
    {"help", 'h', NULL, false, "this help; `help settings` lists all settings"},
    {"version", 'V', NULL, false, "version, revision and libraries"},
};
#define GLOBAL_FLAGS (sizeof(global_flags) / sizeof(global_flags[0]))

/* What parsing found besides struct cli. */
enum parse_end { PARSE_OK, PARSE_HELP, PARSE_VERSION, PARSE_WRONG };

static enum parse_end parse_flags(struct cli *c, int argc, char **argv, bool stop_early);
static char **join_optional(const struct cli_command *cmd, int *argc, char *const *argv);
static int dispatch(struct cli *c, char **argv, int argc);
static int help(struct cli *c, const char *topic);
static void print_short_help(FILE *out);
static void print_command_help(FILE *out, const struct cli_command *cmd);
static void print_settings_help(FILE *out);
static const struct cli_command *command_find(const char *name);
static bool wants_colour(FILE *out);

int cli_main(int argc, char *const *argv, FILE *out, FILE *err)
{
    struct cli c = {.out = out, .err = err, .colour = wants_colour(out)};
    char **copy = mem_array((size_t)argc + 1, sizeof(copy[0]));
    int code = EXIT_USAGE;

    memcpy(copy, argv, (size_t)argc * sizeof(copy[0]));
    c.overrides = mem_array((size_t)argc + 1, sizeof(c.overrides[0]));
    c.opts = mem_array((size_t)argc + 1, sizeof(c.opts[0]));
    switch (parse_flags(&c, argc, copy, true)) {
    case PARSE_OK:
        code = dispatch(&c, copy + optind, argc - optind);
        break;
    case PARSE_HELP:
        code = help(&c, optind < argc ? copy[optind] : NULL);
        break;
    case PARSE_VERSION:
        cli_print_version(out);
        code = EXIT_DONE;
        break;
    case PARSE_WRONG:
        break;
    }
    mem_free(c.opts);
    mem_free(c.overrides);
    mem_free(copy);
    if (fflush(out) != 0 && code == EXIT_DONE)
        code = EXIT_FAILED;
    return code;
}

/* argv[0] is the subcommand. */
static int dispatch(struct cli *c, char **argv, int argc)
{
    char **joined;
    int code = EXIT_USAGE;

    if (argc == 0) {
        print_short_help(c->err);
        return EXIT_USAGE;
    }
    if (strcmp(argv[0], "help") == 0)
        return help(c, argc > 1 ? argv[1] : NULL);
    c->command = command_find(argv[0]);
    if (!c->command)
        return help(c, argv[0]);
    joined = join_optional(c->command, &argc, argv);
    switch (parse_flags(c, argc, joined, false)) {
    case PARSE_OK:
        c->args = joined + optind;
        c->n_args = (size_t)(argc - optind);
        if (c->n_args < c->command->args_min || c->n_args > c->command->args_max)
            code = cli_usage(c, "usage: front-connector %s %s", c->command->name,
                             c->command->usage);
        else
            code = c->command->run(c);
        break;
    case PARSE_HELP:
        print_command_help(c->out, c->command);
        code = EXIT_DONE;
        break;
    case PARSE_VERSION:
        cli_print_version(c->out);
        code = EXIT_DONE;
        break;
    case PARSE_WRONG:
        break;
    }
    for (int i = 0; i < argc; i++)
        mem_free(joined[i]);
    mem_free(joined);
    return code;
}

/* --- flags --- */

/* All flags valid here: the global ones and the subcommand's. */
struct flag_set {
    const struct cli_flag *flags[FLAGS_MAX];
    struct option options[FLAGS_MAX + 1];
    char letters[3 * FLAGS_MAX + 4];
    size_t n;
};

static void flag_set_add(struct flag_set *fs, const struct cli_flag *flag)
{
    struct option *o = &fs->options[fs->n];
    size_t end = strlen(fs->letters);

    fs->flags[fs->n] = flag;
    o->name = flag->name;
    o->has_arg = no_argument;
    if (flag->arg)
        o->has_arg = flag->optional ? optional_argument : required_argument;
    o->val = 256 + (int)fs->n;
    fs->n++;
    if (flag->letter) {
        fs->letters[end++] = flag->letter;
        if (flag->arg)
            fs->letters[end++] = ':';
        fs->letters[end] = '\0';
    }
}

static void flag_set_fill(struct flag_set *fs, const struct cli_command *cmd,
                          bool stop_early)
{
    memset(fs, 0, sizeof(*fs));
    /* '+': end at the subcommand's name; ':': tell a missing argument from an unknown
     * flag */
    snprintf(fs->letters, sizeof(fs->letters), "%s:", stop_early ? "+" : "");
    for (size_t i = 0; i < GLOBAL_FLAGS; i++)
        flag_set_add(fs, &global_flags[i]);
    for (size_t i = 0; cmd && i < cmd->n_flags; i++)
        flag_set_add(fs, &cmd->flags[i]);
}

static const struct cli_flag *flag_of(const struct flag_set *fs, int code)
{
    if (code >= 256)
        return fs->flags[code - 256];
    for (size_t i = 0; i < fs->n; i++) {
        if (fs->flags[i]->letter == code)
            return fs->flags[i];
    }
    return NULL;
}

static const char *flag_name(const void *arg, size_t i)
{
    const struct flag_set *fs = arg;

    return i < fs->n ? fs->flags[i]->name : NULL;
}

/* As str_nearest, and for words as short as ours also two letters the wrong way round. */
static const char *nearest_word(struct str word,
                                const char *(*name)(const void *arg, size_t i),
                                const void *arg)
{
    const char *best = str_nearest(word, name, arg);
    size_t best_distance = SLIPS_MAX + 1;

    if (best)
        return best;
    for (size_t i = 0; name(arg, i); i++) {
        struct str at = str_of(name(arg, i));
        size_t distance = str_distance(word, at, SLIPS_MAX);

        if (distance < best_distance && distance < word.len) {
            best_distance = distance;
            best = at.ptr;
        }
    }
    return best;
}

static void say_unknown_flag(struct cli *c, const struct flag_set *fs, const char *word)
{
    const char *near = NULL;

    if (strncmp(word, "--", 2) == 0)
        near =
            nearest_word((struct str){word + 2, strcspn(word + 2, "=")}, flag_name, fs);
    if (near)
        cli_usage(c, "unknown flag %s, nearest: --%s", word, near);
    else
        cli_usage(c, "unknown flag %s; `front-connector help%s%s` lists them", word,
                  c->command ? " " : "", c->command ? c->command->name : "");
}

static enum parse_end take_flag(struct cli *c, const struct cli_flag *flag,
                                const char *value)
{
    if (flag == &global_flags[0])
        c->config_file = value;
    else if (flag == &global_flags[1])
        c->overrides[c->n_overrides++] = value;
    else if (flag == &global_flags[2])
        return PARSE_HELP;
    else if (flag == &global_flags[3])
        return PARSE_VERSION;
    else
        c->opts[c->n_opts++] = (struct cli_opt){flag, value};
    return PARSE_OK;
}

/* getopt keeps its place in globals of libc: optind is where the words without a flag
 * begin. */
static enum parse_end parse_flags(struct cli *c, int argc, char **argv, bool stop_early)
{
    enum parse_end end = PARSE_OK;
    struct flag_set fs;
    int code;

    flag_set_fill(&fs, c->command, stop_early);
    optind = 0; /* glibc: start afresh */
    opterr = 0;
    while (end == PARSE_OK) {
        code = getopt_long(argc, argv, fs.letters, fs.options, NULL);
        if (code == -1)
            break;
        if (code == ':') {
            cli_usage(c, "%s needs an argument", argv[optind - 1]);
            return PARSE_WRONG;
        }
        if (code == '?') {
            char letter[3] = {'-', (char)optopt, '\0'};
            bool is_letter = optopt > 0 && optopt < 256;

            say_unknown_flag(c, &fs, is_letter ? letter : argv[optind - 1]);
            return PARSE_WRONG;
        }
        end = take_flag(c, flag_of(&fs, code), optarg);
    }
    return end;
}

static bool is_number(const char *word)
{
    return word && word[0] && strspn(word, "0123456789") == strlen(word);
}

static bool takes_optional(const struct cli_command *cmd, const char *word)
{
    for (size_t i = 0; i < cmd->n_flags; i++) {
        if (cmd->flags[i].optional && strncmp(word, "--", 2) == 0 &&
            strcmp(word + 2, cmd->flags[i].name) == 0)
            return true;
    }
    return false;
}

/* getopt takes an optional argument only as --wait=5: writes `--wait 5` that way. */
static char **join_optional(const struct cli_command *cmd, int *argc, char *const *argv)
{
    char **out = mem_array((size_t)*argc + 1, sizeof(out[0]));
    int n = 0;

    for (int i = 0; i < *argc; i++) {
        if (i + 1 < *argc && takes_optional(cmd, argv[i]) && is_number(argv[i + 1])) {
            out[n++] = mem_printf("%s=%s", argv[i], argv[i + 1]);
            i++;
        } else {
            out[n++] = mem_strdup(argv[i]);
        }
    }
    *argc = n;
    return out;
}

bool cli_has(const struct cli *c, const char *flag)
{
    for (size_t i = 0; i < c->n_opts; i++) {
        if (strcmp(c->opts[i].flag->name, flag) == 0)
            return true;
    }
    return false;
}

const char *cli_value(const struct cli *c, const char *flag)
{
    const char *value = NULL;

    for (size_t i = 0; i < c->n_opts; i++) {
        if (strcmp(c->opts[i].flag->name, flag) == 0)
            value = c->opts[i].value;
    }
    return value;
}

/* --- help --- */

static const struct cli_command *command_find(const char *name)
{
    for (size_t i = 0; i < cli_commands_n; i++) {
        if (strcmp(cli_commands[i].name, name) == 0)
            return &cli_commands[i];
    }
    return NULL;
}

static const char *command_name(const void *arg, size_t i)
{
    (void)arg;
    for (size_t at = 0; at < cli_commands_n; at++) {
        if (cli_commands[at].hidden)
            continue;
        if (i-- == 0)
            return cli_commands[at].name;
    }
    return NULL;
}

/* `help`, `help NAME`, `help settings`; any other word is a mistyped subcommand. */
static int help(struct cli *c, const char *topic)
{
    const struct cli_command *cmd = topic ? command_find(topic) : NULL;
    const char *near;

    if (!topic) {
        print_short_help(c->out);
    } else if (cmd) {
        print_command_help(c->out, cmd);
    } else if (strcmp(topic, "settings") == 0) {
        print_settings_help(c->out);
    } else {
        near = nearest_word(str_of(topic), command_name, NULL);
        if (near)
            return cli_usage(c, "unknown command %s, nearest: %s", topic, near);
        return cli_usage(c, "unknown command %s; `front-connector help` lists them",
                         topic);
    }
    return EXIT_DONE;
}

static void print_flag(FILE *out, const struct cli_flag *flag)
{
    char left[64];

    if (flag->letter)
        snprintf(left, sizeof(left), "-%c, --%s%s%s", flag->letter, flag->name,
                 flag->arg ? " " : "", flag->arg ? flag->arg : "");
    else
        snprintf(left, sizeof(left), "--%s%s%s%s", flag->name,
                 flag->optional ? " [" : " ", flag->arg ? flag->arg : "",
                 flag->optional ? "]" : "");
    fprintf(out, "  %-22s %s\n", left, flag->help);
}

static void print_global_flags(FILE *out)
{
    fputs("\nAlways:\n", out);
    for (size_t i = 0; i < GLOBAL_FLAGS; i++)
        print_flag(out, &global_flags[i]);
}

static void print_short_help(FILE *out)
{
    fputs("front-connector: commands in Kafka become calls to Front, one result each.\n\n"
          "Usage: front-connector COMMAND [ARGUMENTS]\n\n",
          out);
    for (size_t i = 0; i < cli_commands_n; i++) {
        if (!cli_commands[i].hidden)
            fprintf(out, "  %-8s %s\n", cli_commands[i].name, cli_commands[i].help);
    }
    fprintf(out, "  %-8s %s\n", "help", "help on a command, or `help settings`");
    print_global_flags(out);
}

static void print_command_help(FILE *out, const struct cli_command *cmd)
{
    fprintf(out, "front-connector %s: %s\n\nUsage: front-connector %s %s\n", cmd->name,
            cmd->help, cmd->name, cmd->usage);
    if (cmd->more)
        fprintf(out, "\n%s\n", cmd->more);
    if (cmd->n_flags > 0)
        fputc('\n', out);
    for (size_t i = 0; i < cmd->n_flags; i++)
        print_flag(out, &cmd->flags[i]);
    print_global_flags(out);
}

static void print_settings_help(FILE *out)
{
    struct buf text;

    buf_init(&text, HELP_MAX);
    settings_print_help(settings_rows, settings_rows_n, &text);
    if (text.data)
        fputs(text.data, out);
    buf_fini(&text);
}

/* --- what subcommands use --- */

static bool wants_colour(FILE *out)
{
    const char *no_colour = getenv("NO_COLOR");
    const char *term = getenv("TERM");
    int fd = fileno(out);

    return fd >= 0 && isatty(fd) && !(no_colour && no_colour[0]) && term &&
           strcmp(term, "dumb") != 0;
}

static void say(FILE *err, const char *fmt, va_list ap)
    __attribute__((format(printf, 2, 0)));
static void say(FILE *err, const char *fmt, va_list ap)
{
    fputs("front-connector: ", err);
    vfprintf(err, fmt, ap);
    fputc('\n', err);
}

int cli_usage(struct cli *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(c->err, fmt, ap);
    va_end(ap);
    return EXIT_USAGE;
}

int cli_fail(struct cli *c, int code, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(c->err, fmt, ap);
    va_end(ap);
    return code;
}

struct settings_source cli_source(const struct cli *c)
{
    return (struct settings_source){
        .file = c->config_file,
        .overrides = c->overrides,
        .n_overrides = c->n_overrides,
        .environ_ = environ,
    };
}

int cli_settings(struct cli *c, unsigned need, struct settings *s)
{
    struct settings_source source = cli_source(c);
    struct buf errors;
    size_t n;

    buf_init(&errors, ERRORS_MAX);
    n = settings_open(s, &source, need, &errors);
    if (n > 0 && errors.data)
        fputs(errors.data, c->err);
    buf_fini(&errors);
    if (n > 0)
        return -1;
    log_setup((enum log_level)s->log_level, (enum log_format)s->log_format);
    return 0;
}
