/* The lines of a request, as text. Not for other floors. */
#ifndef NET_HTTP_LINES_H
#define NET_HTTP_LINES_H

#include <stdbool.h>

#include "base/buf.h"
#include "net/http_client.h"

/* A path or query that may stand in the request line as it is: whatever is not encoded
 * would end it, or begin another one. */
bool http_lines_encoded(const char *s);
/* Whether a length is announced: with every body, and with none where one is usual. */
bool http_lines_announce_body(const struct http_call *call);
/* The header list in libcurl's notation, a line each; -1 when a line cannot be sent. */
int http_lines_headers(const struct http_call *call, struct buf *text);

#endif
