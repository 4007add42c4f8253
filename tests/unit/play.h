/* The engine on a scripted Kafka, a scripted Front and a clock of the test's own: a test
 * says what happens, turn by turn, and looks at what the engine wants. */
#ifndef TESTS_UNIT_PLAY_H
#define TESTS_UNIT_PLAY_H

#include "support.h"

#include "base/mem.h"
#include "codec/schemas.h"
#include "engine/engine.h"

enum { EVENTS_MAX = 64, CALLS_MAX = 16, SESSION_MS = 45000 };

struct play {
    int64_t now;        /* all three clocks */
    int64_t wall_jump;  /* ... but somebody set the wall clock */
    int64_t front_date; /* that Front's answers say; 0: none */
    struct clock clock;
    struct kafka_event events[EVENTS_MAX];
    size_t n_events, next_event;
    struct kafka_tick *tick; /* submitted, not answered */
    int ticks, released, unassigned;
    int assigned, assigned_late; /* late: after close */
    bool closed;
    struct kafka_output produced[EVENTS_MAX]; /* single records; their owners beside */
    void *owners[EVENTS_MAX];
    size_t n_produced;
    int produce_rc; /* what produce_event says; unless 0 it takes nothing */
    struct http_call *calls[CALLS_MAX]; /* started, not ended */
    size_t n_calls;
    struct kafka_partition part, jobs; /* jobs.topic NULL: there is none */
    int64_t jobs_high;                 /* end of its log */
    struct str jobs_string;            /* with its position */
    struct kafka_record earlier[4];    /* results */
    size_t n_earlier;
    struct kafka_record events_log[8]; /* the events topic, one partition */
    size_t n_events_log;
    int events_fail;           /* so often its end cannot be read */
    int64_t log_low, log_high; /* of the commands */
    int64_t committed;         /* what the group says of the partition */
    struct str metadata;
    const char *topic_asked; /* last, by name; NULL: none */
    int topics_asked;
    bool topic_make;
    char *names[32]; /* interned */
    size_t n_names;
    bool silent;   /* the group does not answer */
    int ends_fail; /* so often the ends of the commands cannot be read */
    struct engine_options options;
    struct schemas *ss;
    struct engine *en;
};

extern const char commands_topic[], jobs_topic[];
/* Commands as JSON: one that may be repeated, one that may not, one that is refused. */
extern const char patch[], post[], bad[];

/* One partition, assigned, GET /me answered: ready for commands. As a cmocka set-up, or
 * in two steps for a test that wants another start. */
int play_set_up(void **state);
struct play *play_new(void);
void play_start(struct play *p);
int play_tear_down(void **state);

void push(struct play *p, struct kafka_event ev);
/* As play_new, with a jobs partition too. */
struct play *play_with_jobs(void);
/* The group's answer to what was asked, once more. */
void on_committed(void *self, struct kafka_partition at);
void turn(struct play *p); /* 30 ms later: past the least time between two ticks */
void end_tick(struct play *p, enum tick_end end);
/* A record of the jobs partition comes. */
void job_came(struct play *p, int64_t offset, const char *key, struct str value);
void command(struct play *p, int64_t offset, const char *key, const char *text);
/* Front answers the oldest running call; the gate is asked as the client would. False: it
 * did not open. */
bool answer(struct play *p, int status, const char *body);
/* A request leaves before it is answered; else answer() and lose() open the gate. */
void open_gate(struct http_call *call);
/* That call ends so, after its gate opened. */
void lose(struct play *p, enum http_end end, int status);

/* Does the commit's string say that offset 0 is ARMED? */
bool string_says_armed(const struct kafka_tick *tick);
/* A number of the status page. */
void count_is(struct play *p, const char *name, int64_t want);

#endif
