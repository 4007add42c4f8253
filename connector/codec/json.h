/* JSON on top of jansson and, where a tree would be waste, by scanning. No name here may
 * be one of jansson's (json_string, json_is_null, json_null ...): the library would call
 * ours. */
#ifndef CODEC_JSON_H
#define CODEC_JSON_H

#include <jansson.h>
#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

/* Strict parse of one object or array with caps (depth 64, bytes as given, 200,000
 * values): duplicate keys refused when `strict`. NULL and e when it is not; e->reason is
 * one of BadJson BadUtf8 TooDeep TooLarge. */
json_t *json_parse(struct str text, bool strict, struct err *e);

/* Is `text` one well-formed JSON value (strict UTF-8, depth <= 512)? Scans, allocates
 * nothing. */
bool json_is_valid(struct str text);

/* The raw text of member `name` of the object at the top of `text` (depth 1), without
 * building a tree; ptr NULL: not there or not an object. The text must be valid JSON. */
struct str json_member(struct str text, const char *name);
/* The same for a path such as "_pagination.next". */
struct str json_member_path(struct str text, const char *path);
/* A JSON string literal's content, unescaped into out (NUL-terminated); -1: no string /
 * too long. */
int json_unquote(struct str literal, char *out, size_t size);
bool json_text_is_null(struct str literal);
/* The same into the arena, of any length, NUL characters included. -1: no string. */
int json_unquote_arena(struct str literal, struct arena *a, struct str *out);

/* Walks the elements of an array's raw text: *pos 0 at the start; false at the end. */
bool json_next(struct str array, size_t *pos, struct str *element);
/* Walks the members of an object's raw text; key is the raw content between the quotes.
 */
bool json_next_member(struct str object, size_t *pos, struct str *key, struct str *value);

/* Appends a JSON string literal (with quotes) for UTF-8 text. */
int json_quote(struct buf *out, struct str text);
/* Appends a number as short as reads back equal, whole ones without a fraction; NaN and
 * the infinities, which JSON has no word for, as null. */
int json_double(struct buf *out, double x);

#endif
