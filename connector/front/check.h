/* Is this command well-formed for its operation? Structure only (contracts §3): Front
 * judges values. Costs no request. */
#ifndef FRONT_CHECK_H
#define FRONT_CHECK_H

#include "base/err.h"
#include "codec/records/command.h"
#include "front/catalogue.h"

/* Finds the operation (op NULL for `call`: the row it matches is in struct request) and
 * checks params, body, call fields, attachments. -1: ERR_INPUT, e->reason one of
 * unknown-operation invalid-command attachment (contracts §1), text names the field and
 * the nearest. */
int command_check(const struct command *cmd, const struct op **op, struct err *e);

#endif
