/* What the files of the command record share; nobody else includes it. */
#ifndef CODEC_RECORDS_COMMAND_PARTS_H
#define CODEC_RECORDS_COMMAND_PARTS_H

#include "codec/avro.h"
#include "codec/records/command.h"

/* One decode: where things go. */
struct decode {
    struct schemas *ss;
    struct arena *a;
    struct command *out;
    struct err *e;
};

int decode_generic(struct decode *d, const struct cell *rec);
int decode_typed(struct decode *d, const struct cell *rec,
                 const struct typed_record *type);

/* A record front.Attachment; `field`: see struct attachment. */
int decode_attachment(struct decode *d, const struct cell *c, const char *field,
                      struct attachment *out);
/* -1, reason BadValue: the writer's schema has another type for this field. */
int decode_mistyped(struct decode *d, const char *field, const char *wanted);
/* -1, reason invalid-command, when not exactly one of data and url is there. */
int attachment_check(const struct attachment *file, struct err *e);

#endif
