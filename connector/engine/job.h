/* A job: a list that goes on after its first page, from its record in the jobs topic to
 * the tombstone of it; or a sync (sync.c), whose record stays. What is durable is `rec`;
 * what the next tick makes of it is prepared beside it. Its state is an enum and a list
 * of the engine; job_move (jobs.c) is the only mover and checks the transition. */
#ifndef ENGINE_JOB_H
#define ENGINE_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "base/map.h"
#include "base/mem.h"
#include "base/timers.h"
#include "codec/records/job.h"
#include "codec/records/result.h"
#include "front/request.h"
#include "kafka/port.h"

enum job_state {
    JOB_QUEUED,   /* waits for one of jobs.max.running places, or for its partition */
    JOB_READY,    /* wants to ask for its next page */
    JOB_WAITING,  /* a timer will make it READY, or end it */
    JOB_CALLING,  /* a request runs */
    JOB_CONFIRM,  /* 401: waits for GET /me */
    JOB_ANSWERED, /* a page or its end waits for a tick */
    JOB_TICKING,  /* ... is in the tick that runs */
    JOB_ENDED,    /* its tombstone is committed; kept until it comes back */
    JOB_IDLE      /* a sync between two runs: a timer will make it QUEUED */
};
#define JOB_STATES 9
extern const char *const job_state_names[JOB_STATES + 1]; /* NULL-ended */

struct items;
struct overlap;
struct topic;

struct job {
    enum job_state state;
    TAILQ_ENTRY(job) link; /* the engine's list of its state */
    UT_hash_handle hh;     /* of its partition's table, by key */
    struct part *part;
    struct engine *en;  /* for the timer */
    char *key;          /* of its record: the job's id, of a stray `<id>/cancel` */
    struct arena arena; /* rec's texts */
    struct job_record rec;
    bool stray;     /* no job: a request to cancel one that has ended */
    bool bad;       /* its record cannot be read */
    bool other;     /* another connector's: not run here */
    bool removed;   /* a sync that the settings do not have any more */
    bool cancel;    /* was asked for */
    bool cancelled; /* ... and is answered by the tick that is prepared */

    /* the tick that is prepared; texts in its own arena */
    struct arena page_arena;
    struct items *items;             /* NULL: none */
    const struct topic *items_topic; /* as last asked */
    struct kafka_output *outputs;    /* the items, then what follows from them */
    size_t n_outputs, bytes;
    struct str next;        /* rec, encoded, as the tick leaves it; ptr NULL: it ends */
    enum outcome outcome;   /* when it ends; so these: */
    bool asks;              /* WAITING for what is known of a topic */
    bool slimmed;           /* its result was made smaller already */
    bool ending;            /* its result waits for what is known of the reply topic */
    struct result *res;     /* its error; NULL: this tick ends nothing */
    struct job_record *end; /* rec, and the page of this tick */
    int64_t http_status;    /* of the last answer; NO_NUMBER: none */

    /* what came back from the log while the tick runs */
    char *came; /* a record newer than rec; NULL: none */
    size_t came_len;
    bool gone; /* its tombstone */

    /* the page's attempts */
    struct call *call; /* CALLING */
    struct command *cmd;
    struct request *req; /* NULL: not built yet */
    const struct op *op;
    struct timer timer;
    int attempts, tries;
    int64_t first_try; /* monotonic; 0: none */
    bool retargeted;
    int64_t last_run;        /* of a sync: rec.run as it was before this run */
    struct overlap *overlap; /* of a sync with a cursor; NULL: it had no page yet */
};
TAILQ_HEAD(job_list, job);

static inline bool job_is_sync(const struct job *job)
{
    return str_is(job->rec.kind, "sync");
}

/* What a jobs partition has beside a command partition. */
struct jobs_part {
    struct job *table;
    int64_t to; /* the log is read to here before anything is run; -1: not known yet */
};

#endif
