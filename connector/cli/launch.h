/* From settings to what the floors below are started with. */
#ifndef CLI_LAUNCH_H
#define CLI_LAUNCH_H

#include "base/buf.h"
#include "cli/settings.h"
#include "codec/registry_link.h"
#include "engine/engine.h"
#include "engine/ingest.h"
#include "kafka/kafka.h"
#include "net/http_client.h"

struct launch {
    struct kafka_options kafka;
    struct http_client_options http;
    struct engine_options engine;
    struct ingest_options ingest;
    struct registry_link_options registry; /* n 0: there is none */
    const char *outputs[4], *events[2];
    int32_t *commands_partitions; /* filled by preflight_topics */
    char *reply_allowed, *attachments_allowed;
    struct engine_sync *syncs;
    size_t n_syncs;
    struct pair *sync_params; /* of all of them */
};

/* Borrows from `s`: keep it as long as `l`. */
void launch_init(struct launch *l, const struct settings *s);
void launch_fini(struct launch *l);

#endif
