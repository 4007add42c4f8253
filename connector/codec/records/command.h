/* front.Command as a plain struct. Everything it points to lives in the arena it was
 * decoded into, or in the record's value bytes: keep both as long as the command. */
#ifndef CODEC_RECORDS_COMMAND_H
#define CODEC_RECORDS_COMMAND_H

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "codec/framing.h"
#include "codec/schemas.h"
#include "codec/shape.h"

struct pair {
    struct str name, value;
    bool json; /* the value came as JSON text of a non-string (JSON commands, typed
                  arrays) */
};

struct attachment {
    struct str filename, content_type; /* ptr NULL: none */
    struct str data, url;              /* exactly one has a ptr */
    const char *field; /* typed: the file field's name; NULL: the operation's one */
};

struct command {
    struct str command_id; /* ptr NULL: none in the record */
    struct str operation;
    struct pair *params;
    size_t n_params;
    struct str body; /* JSON text of an object; ptr NULL: none */
    struct attachment *attachments;
    size_t n_attachments;
    struct str method, path; /* `call`; ptr NULL: none */
    struct pair *query, *headers;
    size_t n_query, n_headers;
    bool typed; /* came as a typed record */
};

/* Decodes an Avro record: generic (front.Command) or typed, by the writer schema's full
 * name; fields by name. The bounded walk runs first. FRAMING_BAD: e->reason is one of
 * NotFramed SchemaUnknown Truncated TrailingBytes TooLarge TooDeep BadUtf8 BadValue
 * BadJson RecordUnknown. */
enum framing_result command_decode_avro(struct schemas *ss, typed_find_fn *find,
                                        struct str value, struct arena *a,
                                        struct command *out, struct err *e);

/* Decodes a JSON command (contracts §3). -1 with ERR_INPUT: e->reason BadJson/BadUtf8/...
 * means dead letter; e->reason "invalid-command" means REJECTED (unknown field, wrong
 * type: names the nearest). */
int command_decode_json(struct str value, struct arena *a, struct command *out,
                        struct err *e);

/* Writes a command as single-object (or registry-framed) front.Command; used by `send`
 * and tests. */
int command_encode_avro(struct schemas *ss, const struct command *cmd, struct buf *out,
                        struct err *e);
/* The same as a typed record of operation `rec` (`send --typed`): params and top-level
 * body fields are mapped by name. */
int command_encode_typed(struct schemas *ss, const struct typed_record *rec,
                         const struct command *cmd, struct buf *out, struct err *e);
int command_encode_json(const struct command *cmd, struct buf *out, struct err *e);

#endif
