/* A schema registry as the codec sees it: ids of the records that come become schemas,
 * schemas of the records that go become ids. Nothing here waits: who asks for what is not
 * known is told so, and asks again when registry_news has changed; what was told once
 * stays known.
 *
 * Each question is asked once, whoever waits for it, of one URL after the other until one
 * answers. "No such id" is believed when it was said for REGISTRY_MISSING_MS; an answer
 * that does not come, or that no registry gives, is waited for without end. */
#ifndef CODEC_REGISTRY_H
#define CODEC_REGISTRY_H

#include "base/buf.h"
#include "base/clock.h"
#include "base/err.h"
#include "codec/schemas.h"
#include "net/http_client.h"

#define REGISTRY_MISSING_MS 60000
#define REGISTRY_PLACES 4 /* questions at once */

enum registry_subjects { SUBJECT_TOPIC, SUBJECT_RECORD, SUBJECT_TOPIC_RECORD };

struct registry_options {
    const struct http_port *ports; /* of each URL; REGISTRY_PLACES each */
    const char *const *urls;       /* for people */
    size_t n;
    const char *authorization; /* header value; NULL: none */
    bool registers;            /* what the registry lacks */
    enum registry_subjects subjects;
    const struct clock *clock;
};

enum registry_answer {
    REGISTRY_KNOWN,
    REGISTRY_WAIT,   /* e says for what */
    REGISTRY_MISSING /* e says why; after a while it is asked for again */
};

/* Borrows ports and schemas. */
struct registry *registry_new(struct schemas *ss, const struct registry_options *o);
void registry_free(struct registry *rg); /* before its ports are */
void registry_set_authorization(struct registry *rg, const char *authorization);

/* The schema that a record with this id was written with. */
enum registry_answer registry_by_id(struct registry *rg, int32_t id,
                                    const struct schema **sc, struct err *e);
/* May records written with `sc` go to this topic? Known: they carry its id. */
enum registry_answer registry_output(struct registry *rg, const struct schema *sc,
                                     const char *topic, struct err *e);
/* The subject that the settings give a schema; mem_free. */
char *registry_subject(enum registry_subjects subjects, const char *topic,
                       const char *full_name);

void registry_turn(
    struct registry *rg); /* once a turn: takes answers, asks what is due */
int64_t registry_next_ms(const struct registry *rg); /* monotonic; INT64_MAX: never */
uint64_t registry_news(const struct registry *rg);
/* Why no URL answers; NULL: the last question was answered. */
const char *registry_trouble(const struct registry *rg);
void registry_status(const struct registry *rg, struct buf *out); /* one JSON object */

#endif
