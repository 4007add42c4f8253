/* HTTP requests that the sandbox makes: libcurl multi on its loop. A post is one attempt.
 */
#ifndef SANDBOX_POST_H
#define SANDBOX_POST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/timers.h"

#define POST_ANSWER_MAX 16384

struct post {
    /* borrowed until done() */
    const char *method, *url;
    const char *const *headers; /* "Name: value" */
    size_t n_headers;
    struct str body; /* ptr NULL: none */
    int64_t timeout_ms;
    bool fresh; /* a connection of its own, closed after it */
    void (*done)(struct post *ps);

    /* the answer */
    int status; /* 0: none */
    bool unreachable, timed_out;
    int64_t retry_after_s; /* 0: none */
    int64_t took_ms;
    char content_type[64], why[256];
    struct buf answer; /* what is beyond POST_ANSWER_MAX is dropped */

    int sends; /* the poster's, as all below */
    void *easy, *lines;
};

struct poster;
struct poster *poster_new(struct timers *ts, struct err *e);
void poster_free(struct poster *po);    /* no post may be running */
int poster_fd(const struct poster *po); /* readable: poster_turn has something to do */
void poster_turn(struct poster *po);    /* calls done() */
int post_start(struct poster *po, struct post *ps);   /* -1: why is set, no done() */
void post_cancel(struct poster *po, struct post *ps); /* no done() */
void post_fini(struct post *ps);

#endif
