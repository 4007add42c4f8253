/* The registry client with its connections: one HTTP client per URL, on the loop. */
#ifndef CODEC_REGISTRY_LINK_H
#define CODEC_REGISTRY_LINK_H

#include "base/loop.h"
#include "codec/registry.h"
#include "codec/registry_wire.h"

struct registry_link_options {
    const char *const *urls;         /* base URLs, each with a path or without */
    size_t n;                        /* 0: there is no registry */
    const char *username, *password; /* NULL: none */
    const char *ca_file;             /* NULL: the system's */
    const char *user_agent;
    bool registers;
    enum registry_subjects subjects;
};

struct registry_link;

/* Borrows the options' texts. Schemas know the registry from now on. NULL and e: a URL is
 * none. */
struct registry_link *registry_link_new(struct loop *lo, struct schemas *ss,
                                        const struct registry_link_options *o,
                                        struct err *e);
void registry_link_free(struct registry_link *rl); /* before loop and schemas */
void registry_link_set_password(struct registry_link *rl, const char *password);
struct registry *registry_link_registry(struct registry_link *rl);

void registry_link_turn(struct registry_link *rl);             /* once a turn */
int64_t registry_link_wait_ms(const struct registry_link *rl); /* -1: for nothing */

/* For tools, which have the loop for themselves. Until there is an answer, or the time is
 * over. */
enum registry_answer registry_output_wait(struct registry_link *rl,
                                          const struct schema *sc, const char *topic,
                                          int64_t timeout_ms, struct err *e);
/* Until the writer of the record is known; whatever comes of it, reading it says so. */
void registry_writer_wait(struct registry_link *rl, struct str value, int64_t timeout_ms);
/* One question to one URL. */
void registry_ask_wait(struct registry_link *rl, size_t url, enum registry_question q,
                       const struct registry_about *about, struct arena *a,
                       struct registry_reply *out);

#endif
