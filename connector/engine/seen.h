/* The last results of one command partition: what a repeated command id is answered from,
 * and which resources are known to be another command's. Pure. */
#ifndef ENGINE_SEEN_H
#define ENGINE_SEEN_H

#include <stdbool.h>
#include <stddef.h>

#include "codec/records/result.h"

enum { SEEN_RESPONSE_MAX = 4096 }; /* a longer one is not kept */

struct seen_entry {
    struct str command_id;  /* ptr NULL: the user gave none */
    struct str resource_id; /* ptr NULL: none; likewise below */
    struct str digest, response, error_kind;
    enum outcome outcome;
    int64_t http_status; /* or NO_NUMBER */
};

struct seen;

/* Keeps the last `entries` that are added. */
struct seen *seen_new(size_t entries);
void seen_free(struct seen *sn);
/* Copies. An older entry of the same command id is found no more. */
void seen_add(struct seen *sn, const struct seen_entry *entry);
/* The newest with this id, or NULL; valid until the next seen_add. */
const struct seen_entry *seen_find(const struct seen *sn, struct str command_id);
/* Was a command of this content answered without a name for what it made: IN_DOUBT, or
 * SUCCEEDED with only `param`, of its own request? What it made may come to light. */
bool seen_unnamed(const struct seen *sn, struct str digest, struct str param);
/* Is this the resource of one of them? */
bool seen_made(const struct seen *sn, struct str resource_id);

#endif
