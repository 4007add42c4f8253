/* The head of an answer, line by line, as libcurl hands it over. Not for other floors:
 * they see struct http_head. */
#ifndef NET_HTTP_HEAD_H
#define NET_HTTP_HEAD_H

#include "base/str.h"
#include "net/http_client.h"

enum http_head_state {
    HEAD_STATUS, /* the status line is awaited, of the answer or of a 1xx before it */
    HEAD_FIELDS,
    HEAD_COMPLETE /* what comes now are trailers */
};

struct http_head_parser { /* zeroed before its first reset */
    enum http_head_state state;
    struct http_head *head;
    char date[40]; /* the last Date read, and what it means: most answers have the same */
    int64_t date_ms;
};

/* Forgets all that was read, but the date. */
void http_head_reset(struct http_head_parser *hp, struct http_head *head);
/* One line, with its line end. */
void http_head_line(struct http_head_parser *hp, struct str line);

#endif
