/* Faults set by POST /_sandbox/faults: what goes wrong, with which operation, how often.
 */
#ifndef SANDBOX_FAULTS_H
#define SANDBOX_FAULTS_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/err.h"

enum fault_kind {
    FAULT_NONE,
    FAULT_TIMEOUT,      /* never answers */
    FAULT_RESET,        /* TCP reset */
    FAULT_HALF,         /* half an answer, then closed */
    FAULT_GARBAGE,      /* 200 with bad JSON */
    FAULT_GARBAGE_HEAD, /* not HTTP */
    FAULT_LARGE,        /* a body of 20 MB */
    FAULT_SLOW,         /* the true answer, late */
    FAULT_503HTML,      /* a proxy's page */
    FAULT_STATUS        /* an error of Front with this status */
};

struct fault {
    char *operation; /* NULL: every operation */
    char *match;     /* text that must be in path or body; NULL: any */
    enum fault_kind kind;
    int status;
    double probability, retry_after;
    int64_t count; /* < 0: no end */
    int64_t delay_ms, used;
    bool after_execution;
    TAILQ_ENTRY(fault) link;
};
TAILQ_HEAD(fault_list, fault);

struct faults {
    struct fault_list list;
};

void faults_init(struct faults *fs);
void faults_clear(struct faults *fs);
int faults_add(struct faults *fs, const json_t *body, struct err *e);
json_t *faults_dump(const struct faults *fs);
/* The first fault that strikes now (its count goes down), or NULL. dice: in [0, 1). */
const struct fault *faults_draw(struct faults *fs, const char *operation, const char *uri,
                                const char *body, double dice);

#endif
