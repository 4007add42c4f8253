/* The files that `send --attach` names. */
#ifndef CLI_SEND_FILES_H
#define CLI_SEND_FILES_H

#include "base/err.h"
#include "base/mem.h"
#include "codec/records/command.h"

/* "FILE", "FILE;type=image/png" or an https or http URL. A file is read as a whole, no
 * more than `max` bytes; all of it lives in the arena. -1: ERR_INPUT. */
int send_file(const char *text, size_t max, struct arena *a, struct attachment *out,
              struct err *e);

#endif
