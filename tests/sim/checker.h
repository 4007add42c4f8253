/* What the files of the checker share. */
#ifndef SIM_CHECKER_H
#define SIM_CHECKER_H

#include "world.h"

#include "codec/records/result.h"

/* --- reading.c --- */

enum { READING_SPAN = 8192 };

struct reading {
    int64_t line, lease_ms;
    bool done[READING_SPAN];
    bool armed[READING_SPAN];
    uint32_t second[READING_SPAN];
};

/* NULL: read; else what is wrong. */
const char *reading_of(const char *text, int64_t line, struct reading *r);
bool reading_done(const struct reading *r, int64_t offset);
bool reading_armed(const struct reading *r, int64_t offset);
uint32_t reading_second(const struct reading *r, int64_t offset); /* of one armed */

/* --- looks.c --- */

/* What is done when nobody knows whether it was executed. */
enum in_doubt_policy look_policy(const struct world *w, const struct cmd *c);
/* Of this owner, which is or was the process at this place. */
struct looks *looks_of(struct cmd *c, int slot, uint64_t owner);
/* ... has it found it armed; did its looks prove that this was not executed? */
bool look_found_armed(const struct cmd *c, int slot, uint64_t owner);
bool look_proves(const struct cmd *c, int slot, uint64_t owner, const struct send *s);
/* ... and that nothing was, whether anything was sent or not? */
bool look_proved(const struct cmd *c, int slot, uint64_t owner);
/* Its result says IN_DOUBT. */
void look_judge_doubt(struct world *w, int slot, const struct cmd *c);
/* This owner found it armed, and the lease has passed since it read that. */
bool look_lease_over(const struct world *w, const struct cmd *c, int slot,
                     uint64_t owner);
/* ... or it is 10 s since its own process learnt that a request was lost. */
bool look_waited(const struct world *w, const struct instance *in, const struct cmd *c);

/* --- walks.c --- */

/* A row, a job's record, a list's result become durable: in this order within one
 * transaction. */
void walk_item(struct world *w, int slot, struct cmd *c, const struct entry *e);
void walk_record(struct world *w, int slot, struct cmd *c, const struct entry *e,
                 uint64_t owner);
void walk_result(struct world *w, int slot, struct cmd *c);
void walk_uncancel(struct cmd *c, const struct entry *e, uint64_t owner);
void walk_counts(struct world *w, int slot, const struct cmd *c,
                 const struct result *res);
/* Not because a row went, nor, before the last of its beginnings, of a refused token. */
bool walk_may_fail(const struct result *res, int64_t restarts);
void walk_check_end(struct world *w);
bool walk_all_gone(const struct world *w); /* no job is left, no request to cancel */

/* --- sync_rules.c --- */

/* As in walks.c: its parts become durable, then all of a transaction has been seen. */
void sync_item(struct world *w, int slot, const struct entry *e);
void sync_record(struct world *w, int slot, const struct entry *e);
void sync_result(struct world *w, int slot, const struct entry *e);
void sync_decided(struct world *w, int slot, const struct txn *t);
void sync_check_end(struct world *w);

/* --- twins.c --- */

/* Is there another command with its id? */
bool twins_any(const struct world *w, const struct cmd *c);
void twins_send(struct world *w, const struct send *s);
/* Its result has become durable, and is noted in `c`. */
void twins_result(struct world *w, int slot, const struct cmd *c);

#endif
