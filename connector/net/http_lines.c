/* The lines of a request as libcurl is given them. Pure; owns nothing.
 * Invariant: nothing a caller passes can end a line and begin another. */
#include "net/http_lines.h"

#include <string.h>

bool http_lines_encoded(const char *s)
{
    for (; *s != '\0'; s++)
        if (*s <= ' ' || *s > '~' || *s == '#')
            return false;
    return true;
}

/* One line of the list; libcurl wants "Name;" for a field without a value. */
static void add_header(struct buf *text, const char *name, const char *value)
{
    (void)buf_add_cstr(text, name);
    (void)buf_add_cstr(text, value);
    (void)buf_add_char(text, '\n');
}

static void add_extra(struct buf *text, const char *line)
{
    const char *colon = strchr(line, ':');

    if (colon != NULL && colon[1 + strspn(colon + 1, " ")] == '\0') {
        (void)buf_add(text, line, (size_t)(colon - line));
        (void)buf_add_cstr(text, ";\n");
    } else {
        add_header(text, line, "");
    }
}

static bool has_line_end(const char *s)
{
    return s != NULL && strpbrk(s, "\r\n") != NULL;
}

bool http_lines_announce_body(const struct http_call *call)
{
    return call->body.ptr != NULL || call->pieces != NULL || call->method == HTTP_POST ||
           call->method == HTTP_PUT || call->method == HTTP_PATCH;
}

int http_lines_headers(const struct http_call *call, struct buf *text)
{
    size_t i;

    if (has_line_end(call->authorization) || has_line_end(call->accept) ||
        has_line_end(call->content_type))
        return -1;
    buf_reset(text);
    if (call->authorization != NULL)
        add_header(text, "Authorization: ", call->authorization);
    if (call->body.ptr != NULL || call->pieces != NULL)
        add_header(text, "Content-Type: ",
                   call->content_type != NULL ? call->content_type : "application/json");
    else if (http_lines_announce_body(call))
        add_header(text, "Content-Type:", ""); /* else libcurl says it is a form */
    add_header(text, call->accept != NULL ? "Accept: " : "Accept:",
               call->accept != NULL ? call->accept : "");
    add_header(text, "Expect:", ""); /* no waiting for 100 Continue */
    for (i = 0; i < call->n_headers; i++) {
        if (has_line_end(call->headers[i]))
            return -1;
        add_extra(text, call->headers[i]);
    }
    return text->over ? -1 : 0;
}
