/* Command -> HTTP request: path, query, body, headers. Pure; the request lives in an arena. */
#ifndef FRONT_REQUEST_H
#define FRONT_REQUEST_H

#include "base/err.h"
#include "base/mem.h"
#include "codec/records/command.h"
#include "front/catalogue.h"

struct request {
    enum http_method method;
    const char *path;  /* encoded */
    const char *query; /* encoded, or NULL */
    struct str body;   /* JSON text, the command's own bytes; ptr NULL: none */
    const char *const *headers; /* of `call` */
    size_t n_headers;
    enum op_class klass;
    enum op_guard guard;
    struct str guard_id;   /* resource id under guard; ptr NULL: none */
    struct str channel_id; /* AUTH_CHANNEL: subject of the JWT */
    struct str last_param; /* last path parameter's value: resource_id of last resort */
};

/* cmd was checked. op NULL: `call` without a row. */
int request_build(const struct command *cmd, const struct op *op, struct arena *a,
                  struct request *out, struct err *e);
/* The same request to the surviving conversation of a 301: only the id is taken from `location`. */
int request_retarget(const struct command *cmd, const struct op *op, const char *location,
                     struct arena *a, struct request *out, struct err *e);

/* First 16 bytes of SHA-256 over operation + params + body (contracts §1), hex: 32 chars + NUL. */
void request_digest(const struct command *cmd, const struct op *op, char out[33]);

#endif
