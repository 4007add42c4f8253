/* Looking for what a lost call of class C may have made: which list is read, which of its
 * rows may be it, and what that proves. Pure; DESIGN of the rules: connector/README.md,
 * "In doubt". */
#ifndef FRONT_PROBE_H
#define FRONT_PROBE_H

#include "base/err.h"
#include "base/mem.h"
#include "codec/records/command.h"
#include "front/catalogue.h"
#include "front/request.h"

enum {
    PROBE_ROWS_MAX = 8,
    PROBE_CALLS_MAX = 3,       /* of one look: the parent, then pages */
    PROBE_CLOCK_SKEW_MS = 2000 /* between Front's clock as we learnt it and its rows' */
};

/* A row that the lost call may have made. */
struct probe_row {
    struct str id;
    struct str uid;  /* "alt:uid:..." of a message, as its result names it; or ptr NULL */
    struct str json; /* the row, or for an event what it is about */
    bool same_text;
};

/* One look. Texts live in the arena that the functions are given. */
struct probe {
    const struct command *cmd;
    const struct op *op;   /* has a probe */
    int64_t armed_ms;      /* on Front's clock: what is older is not ours */
    struct str parent;     /* what probe.via answered; ptr NULL: not asked yet */
    struct str page_token; /* of the next page; ptr NULL: the first */
    struct probe_row rows[PROBE_ROWS_MAX];
    size_t n_rows;
    /* Is it known to be another command's? Such rows take no place. NULL: none is. */
    bool (*known)(void *arg, const struct probe_row *row);
    void *known_arg;
    bool many;  /* there were more */
    bool whole; /* the list was read to its end, or to where older rows begin */
};

/* Starts a look (again). op->probe.list must be there; `known` is set by the caller. */
void probe_start(struct probe *pb, const struct command *cmd, const struct op *op,
                 int64_t armed_ms);
/* The request that is next. -1: the command does not name what the list needs. */
int probe_request(struct probe *pb, struct arena *a, struct request *out, struct err *e);

enum probe_next {
    PROBE_MORE, /* ask probe_request again */
    PROBE_READ, /* all that can be read was read */
    PROBE_ODD   /* not what the operation answers */
};
/* Takes in a 2xx answer to it. */
enum probe_next probe_answer(struct probe *pb, struct str body, struct arena *a);

enum probe_verdict {
    PROBE_FOUND,  /* exactly one row can be it, and its text is the command's */
    PROBE_ABSENT, /* no row, and its absence proves that the call was not executed */
    PROBE_NONE,   /* no row; proves nothing */
    PROBE_OPEN    /* rows that may be it: nobody can tell */
};
/* Judges the rows that are left after the caller took out what is known to be another
 * command's. */
enum probe_verdict probe_judge(const struct probe *pb);

#endif
