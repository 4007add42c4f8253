/* The words of `send` as a command. */
#ifndef CLI_SEND_COMMAND_H
#define CLI_SEND_COMMAND_H

#include "base/err.h"
#include "base/mem.h"
#include "codec/records/command.h"
#include "front/catalogue.h"

struct send_words {
    const char *operation;
    char *const *args; /* NAME=TEXT, NAME:=JSON */
    size_t n_args;
    struct str body; /* of --body; ptr NULL: none */
};

/* Fills cmd, op (NULL: `call`, or unknown, which only `force` lets through). Everything
 * lives in the arena. -1: ERR_INPUT, the text names the nearest. */
int send_command(const struct send_words *w, bool force, struct arena *a,
                 struct command *cmd, const struct op **op, struct err *e);

#endif
