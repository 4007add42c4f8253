/* Command -> HTTP request: path, query, body, headers. Pure; the request lives in an
 * arena. */
#ifndef FRONT_REQUEST_H
#define FRONT_REQUEST_H

#include "base/err.h"
#include "base/mem.h"
#include "codec/records/command.h"
#include "front/catalogue.h"
#include "front/form.h"

struct request {
    const struct op *row; /* the operation; of `call` the row it matches; NULL: none */
    enum http_method method;
    const char *path;           /* encoded */
    const char *query;          /* encoded, or NULL */
    struct str body;            /* JSON text, the command's own bytes; ptr NULL: none */
    const struct form *form;    /* the body instead; NULL: it is JSON */
    const char *content_type;   /* that `call` gave for its body; NULL: JSON */
    const char *const *headers; /* of `call`, without content-type */
    size_t n_headers;
    enum op_class klass;
    enum op_guard guard;
    struct str guard_id;   /* resource id under guard; ptr NULL: none */
    struct str channel_id; /* AUTH_CHANNEL: subject of the JWT */
    struct str last_param; /* last path parameter's value: resource_id of last resort */
};

/* cmd was checked. op: the catalogue's row; not looked at for `call`, which finds its
 * own. */
int request_build(const struct command *cmd, const struct op *op, struct arena *a,
                  struct request *out, struct err *e);
/* The same request to the surviving conversation of a 301: only the id is taken from
 * `location`. On -1 `out` is as it was. */
int request_retarget(const struct command *cmd, const struct op *op, const char *location,
                     struct arena *a, struct request *out, struct err *e);

/* The files were fetched: the form gets its bytes. */
int request_fill_form(const struct command *cmd, struct arena *a, struct request *req,
                      struct err *e);
/* Bytes of its body; of a form whose files are not fetched 0. */
size_t request_body_len(const struct request *req);

/* First 16 bytes of SHA-256 over operation + params + body + attachments (contracts §1),
 * hex: 32 chars + NUL. The order of params does not count. Hashed: operation NUL, then
 * per param by name: name NUL value NUL, then NUL and the body; `call` puts method NUL
 * path NUL, its query pairs, NUL and its headers in the place of the params. Then per
 * attachment: NUL filename NUL content_type NUL, and "url" NUL with the URL (not what it
 * answers) or "data" NUL with the SHA-256 of the bytes. */
void request_digest(const struct command *cmd, const struct op *op, char out[33]);

/* For the check, so that both read a command alike. */
const struct pair *request_param(const struct command *cmd,
                                 struct str name); /* or NULL */
/* The value of a path parameter, also of a `call` to row `op`; ptr NULL: none. */
struct str request_path_param(const struct command *cmd, const struct op *op,
                              struct str name, struct arena *a);
int request_method(struct str text, enum http_method *out); /* -1: none of the five */
bool request_is_array(struct str value); /* JSON text of an array: the key is repeated */
struct str request_decode(struct str s, struct arena *a); /* percent-encoded text */
int request_hex(const char *p); /* the byte that two hex digits say, or -1 */

#endif
