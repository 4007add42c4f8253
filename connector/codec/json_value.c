/* See json_value.h. Owns nothing. Invariant: reads nothing outside the slice. */
#include "codec/json_value.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "codec/json.h"

enum { NUMBER_MAX = 64 }; /* characters of a number that is looked at */

#define TIME_MAX_MS 8.64e15 /* the largest date of most libraries */

bool json_value_is_there(struct str value)
{
    return value.ptr != NULL && !json_text_is_null(value);
}

static bool opens_with(struct str value, char c)
{
    return value.len > 0 && value.ptr[0] == c;
}

bool json_value_is_object(struct str value)
{
    return opens_with(value, '{');
}

bool json_value_is_array(struct str value)
{
    return opens_with(value, '[');
}

int json_value_text(struct str value, struct arena *a, struct str *out)
{
    if (!opens_with(value, '"') || value.len < 2)
        return -1;
    if (memchr(value.ptr, '\\', value.len) != NULL)
        return json_unquote_arena(value, a, out);
    *out = (struct str){value.ptr + 1, value.len - 2};
    return 0;
}

int json_value_link(struct str value, struct arena *a, struct str *out)
{
    const char *slash;
    struct str url;

    if (json_value_text(value, a, &url) != 0)
        return -1;
    for (size_t i = 0; i < url.len; i++)
        if (url.ptr[i] == '?' || url.ptr[i] == '#')
            url.len = i;
    slash = url.len > 0 ? memrchr(url.ptr, '/', url.len) : NULL;
    if (slash == NULL)
        return -1;
    *out = (struct str){slash + 1, (size_t)(url.ptr + url.len - slash - 1)};
    return out->len > 0 ? 0 : -1;
}

struct str json_value_text_at(struct str object, const char *path, struct arena *a)
{
    struct str text = STR_NULL;

    (void)json_value_text(json_member_path(object, path), a, &text);
    return text;
}

struct str json_value_link_at(struct str object, const char *path, struct arena *a)
{
    struct str text = STR_NULL;

    return json_value_link(json_member_path(object, path), a, &text) == 0 ? text
                                                                          : STR_NULL;
}

int json_value_number(struct str value, double *out)
{
    char text[NUMBER_MAX];

    if (value.len == 0 || value.len >= sizeof(text) ||
        (value.ptr[0] != '-' && (value.ptr[0] < '0' || value.ptr[0] > '9')))
        return -1;
    memcpy(text, value.ptr, value.len);
    text[value.len] = '\0';
    *out = strtod(text, NULL);
    return isfinite(*out) ? 0 : -1;
}

int json_value_boolean(struct str value, bool *out)
{
    *out = str_is(value, "true");
    return *out || str_is(value, "false") ? 0 : -1;
}

int json_value_time(struct str value, int unit_ms, int64_t *out)
{
    double x;

    if (json_value_number(value, &x) != 0)
        return -1;
    x = round(x * unit_ms);
    if (fabs(x) > TIME_MAX_MS)
        return -1;
    *out = (int64_t)x;
    return 0;
}
