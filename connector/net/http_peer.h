/* Which addresses a URL of a command may lead to. Not for other floors: they see struct
 * http_call. */
#ifndef NET_HTTP_PEER_H
#define NET_HTTP_PEER_H

#include <stdbool.h>
#include <stddef.h>

struct sockaddr;

/* NULL: everybody may reach it. Else what it is: "private", "loopback", ... */
const char *http_peer_reserved(const struct sockaddr *addr);
/* The same of an address as text; what is none is "no address". */
const char *http_peer_text_reserved(const char *text);
/* For a message; "" when it is of another family. */
void http_peer_print(const struct sockaddr *addr, char *out, size_t size);

#endif
