/* The command line: one table of subcommands and their flags feeds parsing, help and the
 * hints at mistyped words. JSON and data go to `out`, everything else to `err`. Exit
 * codes: 0 done, 1 failed while running, 2 usage, settings or preflight. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/err.h"
#include "cli/settings.h"

enum { EXIT_DONE = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

struct cli_flag {
    const char *name; /* long name */
    char letter;      /* 0: none */
    const char *arg;  /* placeholder of its argument; NULL: takes none */
    bool optional;    /* the argument is a number and may be missing */
    const char *help;
};

struct cli;

struct cli_command {
    const char *name;
    const char *usage; /* what follows the name */
    const char *help;  /* one line */
    const char *more;  /* further text of `help NAME`; NULL: none */
    const struct cli_flag *flags;
    size_t n_flags;
    size_t args_min, args_max;
    int (*run)(struct cli *c);
    bool hidden;
};

struct cli_opt {
    const struct cli_flag *flag;
    const char *value; /* NULL: none given */
};

/* One call of the program, parsed. */
struct cli {
    FILE *out, *err;
    bool colour; /* `out` is a terminal that wants it */
    const struct cli_command *command;
    const char *config_file;
    const char **overrides;
    size_t n_overrides;
    struct cli_opt *opts; /* in the order given */
    size_t n_opts;
    char **args;
    size_t n_args;
};

/* The whole program. argv is not changed. */
int cli_main(int argc, char *const *argv, FILE *out, FILE *err);

bool cli_has(const struct cli *c, const char *flag);
const char *cli_value(const struct cli *c,
                      const char *flag); /* the last one; NULL: none */

/* "front-connector: ..." on err; returns EXIT_USAGE or what is said. */
int cli_usage(struct cli *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int cli_fail(struct cli *c, int code, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Where the settings of this call come from. */
struct settings_source cli_source(const struct cli *c);
/* Loads the settings and sets the log up; prints all mistakes and returns -1 when there
 * are any. Call settings_close in either case. */
int cli_settings(struct cli *c, unsigned need, struct settings *s);

extern const struct cli_command cli_commands[]; /* commands.c */
extern const size_t cli_commands_n;

/* The subcommands, one file each. */
int cli_run(struct cli *c);
int cli_check(struct cli *c);
int cli_ops(struct cli *c);
int cli_schema(struct cli *c);
int cli_send(struct cli *c);
int cli_tail(struct cli *c);
int cli_jobs(struct cli *c);
int cli_internal(struct cli *c);

void cli_print_version(FILE *out);

#endif
