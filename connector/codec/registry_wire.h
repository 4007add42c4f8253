/* The schema registry's protocol, without a connection: what is asked, and what an answer
 * says. Pure. Registries differ in status and error codes, in fields that they leave out,
 * and in what stands before them (proxies): the rules are a table in registry_wire.c. */
#ifndef CODEC_REGISTRY_WIRE_H
#define CODEC_REGISTRY_WIRE_H

#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"
#include "net/http_client.h"

enum registry_question {
    ASK_BY_ID,      /* the schema that has this id */
    ASK_NORMALIZED, /* the id of a schema of a subject, however it is written */
    ASK_AS_IS,      /* the same, written exactly so */
    ASK_REGISTER,   /* the same, and it is made when there is none */
    ASK_COMPATIBLE, /* may a schema follow the subject's last one? */
    ASK_SUBJECTS    /* is there a registry? */
};
#define REGISTRY_QUESTIONS 6

/* What a question is about; what it does not need may be absent. */
struct registry_about {
    int32_t id;
    const char *subject;
    struct str schema; /* its text */
};

/* Fills method, path, query, body and headers of the call; texts live in the arena. */
void registry_request(enum registry_question q, const struct registry_about *about,
                      struct arena *a, struct http_call *call);

enum registry_said {
    SAID_YES,     /* id or schema are filled */
    SAID_NO,      /* the registry itself says that there is no such thing */
    SAID_REFUSED, /* it, or we, cannot do anything with the schema */
    SAID_NOTHING  /* no answer, or none of a registry: ask again, or another one */
};

struct registry_reply {
    enum registry_said said;
    int32_t id;
    struct str schema; /* in the arena */
    char why[240];     /* for a person, when it is not YES */
};

void registry_reply_read(enum registry_question q, const struct http_call *call,
                         struct arena *a, struct registry_reply *out);

#endif
