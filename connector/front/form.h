/* A command with attachments as a form: multipart/form-data (contracts §3). The fields of
 * its JSON body become text parts, `a`, `a[b]`, `a[0]`, `a[b][0]`; the files follow. The
 * bytes of the files stay where they are: the form is a list of pieces. Pure. */
#ifndef FRONT_FORM_H
#define FRONT_FORM_H

#include "base/err.h"
#include "base/mem.h"
#include "codec/records/command.h"
#include "front/catalogue.h"

#define FORM_PRESET_TYPE "application/octet-stream" /* of a file that says none */

struct form_part {
    struct str name;
    struct str text;               /* of a field */
    const struct attachment *file; /* NULL: a field */
};

struct form {
    const struct form_part *parts;
    size_t n_parts;
    const char *content_type; /* with the boundary */
    const struct str *pieces; /* the body; NULL: a file is still to be fetched */
    size_t n_pieces;
    size_t len; /* of all pieces */
};

/* Does this command go to `op` as a form? op NULL: no row. */
bool form_is_wanted(const struct command *cmd, const struct op *op);
/* The files go with the operation, and the body can be said in a form. body, if there, is
 * the JSON of an object. -1: ERR_INPUT, reason "attachment". */
int form_check(const struct command *cmd, const struct op *op, struct err *e);
/* It lives in the arena and borrows from the command. -1: the check would say why. */
int form_build(const struct command *cmd, const struct op *op, struct arena *a,
               struct form *out, struct err *e);

#endif
