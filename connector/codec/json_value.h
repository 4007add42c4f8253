/* Single values of JSON that was found valid, as C has them. -1: the value has another
 * type, or is not there (ptr NULL). */
#ifndef CODEC_JSON_VALUE_H
#define CODEC_JSON_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"

/* There, and not null. */
bool json_value_is_there(struct str value);
bool json_value_is_object(struct str value);
bool json_value_is_array(struct str value);

/* The text of a string; borrowed from the literal when nothing in it is escaped. */
int json_value_text(struct str value, struct arena *a, struct str *out);
/* What a link ends with: the last segment of its path, never empty. */
int json_value_link(struct str value, struct arena *a, struct str *out);
/* The same of what stands at `path` in an object; ptr NULL: no such thing. */
struct str json_value_text_at(struct str object, const char *path, struct arena *a);
struct str json_value_link_at(struct str object, const char *path, struct arena *a);

int json_value_number(struct str value, double *out);
int json_value_boolean(struct str value, bool *out);
/* A number of `unit_ms` (1000: seconds) since the epoch, rounded to milliseconds, within
 * the dates that most libraries know. */
int json_value_time(struct str value, int unit_ms, int64_t *out);

#endif
