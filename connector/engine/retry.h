/* Retry or final? A pure function of the class, what happened, the attempts and the
 * clock. */
#ifndef ENGINE_RETRY_H
#define ENGINE_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "front/catalogue.h"
#include "front/reply.h"

struct retry_policy {
    int64_t max_attempts, max_ms, backoff_ms, backoff_max_ms;
};

struct retry_case {
    enum op_class klass;
    enum verdict verdict;
    bool body_lost;       /* complete 2xx head, but no whole body */
    bool gate_refused;    /* NOT_SENT because our own gate said no */
    int attempts;         /* that may have reached Front, this one included */
    int tries;            /* all tries, this one included */
    int64_t first_try_ms; /* monotonic */
    int64_t now_ms;
    int64_t deadline_ms; /* monotonic; INT64_MAX: none */
    uint32_t random;     /* for the jitter */
};

enum retry_answer {
    RETRY_FINAL,     /* the outcome is what the verdict says */
    RETRY_WAIT,      /* again at at_ms */
    RETRY_EXHAUSTED, /* no more attempts: FAILED retries-exhausted or network */
    RETRY_DOUBT      /* class C/D and nobody knows: IN_DOUBT no-answer */
};

struct retry_decision {
    enum retry_answer answer;
    int64_t at_ms;
    const char
        *reason; /* for api_retries_total: "http-5xx" "network" "not-sent" "limit" ... */
};

struct retry_decision retry_decide(const struct retry_policy *p,
                                   const struct retry_case *c);
extern const char *const retry_reasons[]; /* NULL-ended: every reason there is */

#endif
