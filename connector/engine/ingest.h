/* Webhooks: a request becomes an event on its topic, and is answered when Kafka has it.
 * What the server of requests (cli/hooks.c) and the engine say to each other; a test
 * stands in for the server. */
#ifndef ENGINE_INGEST_H
#define ENGINE_INGEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "front/webhook.h"

struct engine;

struct webhook_answer {
    int status;
    const char *content_type; /* NULL: no body */
    struct str body;
    const char *allow; /* value of an Allow header; NULL: none */
    int retry_after_s; /* 0: no such header */
};

struct ingest_options {
    const struct webhook_setup *setup; /* borrowed; may change between two requests */
    const char *events_topic;
    int64_t event_max_bytes, dead_letter_max_bytes; /* of their topics; -1: not known */
    int64_t max_pending;                            /* events that wait for Kafka */
    int64_t timeout_ms; /* after it a request is answered 429 */
    /* Each request is answered once. client_gone: nobody waits for that answer any more.
     */
    void (*answer)(void *request, const struct webhook_answer *answer);
    bool (*client_gone)(void *request);
};

/* From now on engine_webhook may be called. The port's produce_event must know the events
 * topic and the dead letters topic. */
void engine_receive(struct engine *en, const struct ingest_options *o);
/* A request came: it is answered now, or later. wr->kind and now_ms are filled here; all
 * texts are borrowed until this returns. */
void engine_webhook(struct engine *en, void *request, struct str path,
                    struct webhook_request *wr);
/* The server itself refused `n` requests with this status ("0": closed without one). */
void engine_webhook_refused(struct engine *en, const char *code, uint64_t n);

#endif
