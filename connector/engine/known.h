/* Ids of the last events that are on their topic: a repeat of one is not produced again.
 * Pure, and bounded whatever the ids are: each is kept as 16 bytes of its digest. */
#ifndef ENGINE_KNOWN_H
#define ENGINE_KNOWN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct known;

/* Keeps the last `entries` that are added; 0: none. */
struct known *known_new(size_t entries);
void known_free(struct known *kn);
void known_add(struct known *kn, struct str id); /* again: it stays where it was */
bool known_has(const struct known *kn, struct str id);
size_t known_count(const struct known *kn);

#endif
