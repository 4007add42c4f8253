/* What client.c and thread.c share: both are one instance's side of the wire. */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "world.h"

enum { INIT_AGAIN_MS = 200 };

/* An event for the loop, to be filled in; wakes it. */
struct told *client_tell(struct instance *in, struct told_queue *q,
                         enum kafka_event_type type);
/* A request with a ticket of its own, to be filled in and sent. */
struct rpc *client_rpc(struct instance *in, enum rpc_type type, event_fn *done);
void client_again(struct instance *in, int64_t ms, event_fn *run);
int client_part(const struct instance *in, struct kafka_partition at);

/* --- lent.c --- */

struct kafka_partition lend_partition(int part);
void lend_record(struct instance *in, const struct told *t, struct kafka_record *rec);
void lend_job(struct instance *in, const struct told *t, struct kafka_record *rec);
void lend_release(void *self, struct kafka_record *rec);
void lend_text(struct instance *in, const char *text, struct kafka_event *ev);
void lend_page(struct instance *in, const struct told *t, struct kafka_event *ev);

/* --- thread.c --- */

/* Lets the thread take the next tick or question, when it is idle. */
void thread_pump(struct instance *in);

#endif
