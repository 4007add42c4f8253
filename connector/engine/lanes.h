/* Lanes: one FIFO of slots per key, busy from decode to outcome known. A null key is a
 * lane of its own. Only the head of a lane may be READY; ready lanes are served oldest
 * offset first, within three classes. */
#ifndef ENGINE_LANES_H
#define ENGINE_LANES_H

#include "engine/slot.h"

struct lane;
struct lanes;

struct lanes *lanes_new(void);
void lanes_free(struct lanes *ls);

/* Puts a slot at the end of its key's lane. True: it is the head now. */
bool lanes_push(struct lanes *ls, struct slot *slot);
/* Takes a slot out (outcome known, or its partition is gone); returns the new head of its
 * lane when that changed, else NULL. */
struct slot *lanes_remove(struct lanes *ls, struct slot *slot);

/* The head wants to be served in class c, or does not any more. */
void lanes_ready(struct lanes *ls, struct slot *head, enum quota_class c);
void lanes_unready(struct lanes *ls, struct slot *head);
bool lane_is_ready(const struct slot *head);
/* The ready head with the oldest arrival of class c; NULL: none. It stays ready. */
struct slot *lanes_first(const struct lanes *ls, enum quota_class c);
size_t lanes_ready_count(const struct lanes *ls, enum quota_class c);
size_t lanes_count(const struct lanes *ls);

#endif
