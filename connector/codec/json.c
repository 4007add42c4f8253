/* JSON: a strict scanner, walks over raw text without a tree, literals in and out, and
 * jansson behind the scanner's caps where a tree is wanted.
 *
 * Owns nothing. Invariant: no function reads outside the slice it was given, whatever is
 * in it; the walks promise right answers for valid JSON only. */
#include "codec/json.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PARSE_DEPTH_MAX = 64, PARSE_VALUES_MAX = 200000, VALID_DEPTH_MAX = 512 };

enum fault { FAULT_NONE, FAULT_SYNTAX, FAULT_UTF8, FAULT_DEPTH, FAULT_VALUES };

struct scan {
    const char *start, *at, *end;
    unsigned depth, depth_max;
    size_t values, values_max;
    enum fault fault;
};

static bool scan_value(struct scan *s);

static bool fail(struct scan *s, enum fault fault)
{
    s->fault = fault;
    return false;
}

static void skip_space(struct scan *s)
{
    while (s->at < s->end &&
           (*s->at == ' ' || *s->at == '\n' || *s->at == '\t' || *s->at == '\r'))
        s->at++;
}

static bool scan_word(struct scan *s, const char *word)
{
    size_t n = strlen(word);

    if ((size_t)(s->end - s->at) < n || memcmp(s->at, word, n) != 0)
        return fail(s, FAULT_SYNTAX);
    s->at += n;
    return true;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* At the character behind the backslash. */
static bool scan_escape(struct scan *s)
{
    int i;

    if (s->at == s->end || *s->at == '\0' || strchr("\"\\/bfnrtu", *s->at) == NULL)
        return fail(s, FAULT_SYNTAX);
    if (*s->at++ != 'u')
        return true;
    for (i = 0; i < 4; i++, s->at++)
        if (s->at == s->end || hex_digit(*s->at) < 0)
            return fail(s, FAULT_SYNTAX);
    return true;
}

/* At the opening quote; leaves `at` behind the closing one. */
static bool scan_string(struct scan *s)
{
    const char *from = ++s->at;
    unsigned char seen = 0;

    for (;;) {
        unsigned char c;

        if (s->at == s->end)
            return fail(s, FAULT_SYNTAX);
        c = (unsigned char)*s->at++;
        seen |= c;
        if (c == '"')
            break;
        if (c < 0x20)
            return fail(s, FAULT_SYNTAX);
        if (c == '\\' && !scan_escape(s))
            return false;
    }
    if (seen >= 0x80 && !utf8_valid((struct str){from, (size_t)(s->at - 1 - from)}))
        return fail(s, FAULT_UTF8);
    return true;
}

static bool scan_digits(struct scan *s)
{
    const char *from = s->at;

    while (s->at < s->end && *s->at >= '0' && *s->at <= '9')
        s->at++;
    return s->at > from ? true : fail(s, FAULT_SYNTAX);
}

static bool scan_number(struct scan *s)
{
    if (*s->at == '-')
        s->at++;
    if (s->at < s->end && *s->at == '0')
        s->at++;
    else if (!scan_digits(s))
        return false;
    if (s->at < s->end && *s->at == '.') {
        s->at++;
        if (!scan_digits(s))
            return false;
    }
    if (s->at < s->end && (*s->at == 'e' || *s->at == 'E')) {
        s->at++;
        if (s->at < s->end && (*s->at == '+' || *s->at == '-'))
            s->at++;
        return scan_digits(s);
    }
    return true;
}

static bool scan_key(struct scan *s)
{
    if (s->at == s->end || *s->at != '"')
        return fail(s, FAULT_SYNTAX);
    if (!scan_string(s))
        return false;
    skip_space(s);
    if (s->at == s->end || *s->at != ':')
        return fail(s, FAULT_SYNTAX);
    s->at++;
    skip_space(s);
    return true;
}

/* At the opening bracket of an object or array. */
static bool scan_container(struct scan *s)
{
    bool object = *s->at == '{';
    char close = object ? '}' : ']';

    if (++s->depth > s->depth_max)
        return fail(s, FAULT_DEPTH);
    s->at++;
    skip_space(s);
    if (s->at < s->end && *s->at == close) {
        s->at++;
        s->depth--;
        return true;
    }
    for (;;) {
        if (object && !scan_key(s))
            return false;
        if (!scan_value(s))
            return false;
        skip_space(s);
        if (s->at == s->end)
            return fail(s, FAULT_SYNTAX);
        if (*s->at == close)
            break;
        if (*s->at != ',')
            return fail(s, FAULT_SYNTAX);
        s->at++;
        skip_space(s);
    }
    s->at++;
    s->depth--;
    return true;
}

static bool scan_value(struct scan *s)
{
    if (s->at == s->end)
        return fail(s, FAULT_SYNTAX);
    if (++s->values > s->values_max)
        return fail(s, FAULT_VALUES);
    switch (*s->at) {
    case '{':
    case '[':
        return scan_container(s);
    case '"':
        return scan_string(s);
    case 't':
        return scan_word(s, "true");
    case 'f':
        return scan_word(s, "false");
    case 'n':
        return scan_word(s, "null");
    default:
        return scan_number(s);
    }
}

/* The whole slice is one value with space around it. */
static bool scan_text(struct scan *s)
{
    skip_space(s);
    if (!scan_value(s))
        return false;
    skip_space(s);
    return s->at == s->end ? true : fail(s, FAULT_SYNTAX);
}

static struct scan scan_of(struct str text, unsigned depth_max, size_t values_max)
{
    const char *p = text.ptr != NULL ? text.ptr : "";

    return (struct scan){.start = p,
                         .at = p,
                         .end = p + text.len,
                         .depth_max = depth_max,
                         .values_max = values_max};
}

bool json_is_valid(struct str text)
{
    struct scan s = scan_of(text, VALID_DEPTH_MAX, SIZE_MAX);

    return scan_text(&s);
}

static int complain(const struct scan *s, struct err *e)
{
    switch (s->fault) {
    case FAULT_UTF8:
        return err_input(e, "BadUtf8",
                         "JSON with a string that is not UTF-8, before byte %td",
                         s->at - s->start);
    case FAULT_DEPTH:
        return err_input(e, "TooDeep", "JSON nested deeper than %u", s->depth_max);
    case FAULT_VALUES:
        return err_input(e, "TooLarge", "JSON with more than %zu values", s->values_max);
    case FAULT_NONE:
    case FAULT_SYNTAX:
        break;
    }
    return err_input(e, "BadJson", "not JSON: syntax error at byte %td of %td",
                     s->at - s->start, s->end - s->start);
}

json_t *json_parse(struct str text, bool strict, struct err *e)
{
    struct scan s = scan_of(text, PARSE_DEPTH_MAX, PARSE_VALUES_MAX);
    json_error_t why;
    json_t *tree;

    if (!scan_text(&s)) {
        (void)complain(&s, e);
        return NULL;
    }
    tree = json_loadb(text.ptr, text.len,
                      JSON_ALLOW_NUL | (strict ? JSON_REJECT_DUPLICATES : 0), &why);
    if (tree == NULL)
        (void)err_input(e, "BadJson", "not JSON: %s at byte %d", why.text, why.position);
    return tree;
}

/* Behind the string whose opening quote is at `at`; end when it does not close. */
static const char *skip_string(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '"')
            return at + 1;
        if (*at == '\\')
            at++;
    }
    return end;
}

/* Behind the value that starts at `at`, by counting brackets only. */
static const char *skip_value(const char *at, const char *end)
{
    size_t depth = 0;

    if (at < end && *at == '"')
        return skip_string(at, end);
    while (at < end) {
        switch (*at) {
        case '"':
            at = skip_string(at, end);
            continue;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (depth == 0)
                return at;
            if (--depth == 0)
                return at + 1;
            break;
        case ',':
        case ' ':
        case '\n':
        case '\t':
        case '\r':
            if (depth == 0)
                return at;
            break;
        default:
            break;
        }
        at++;
    }
    return end;
}

/* Moves to the next element of the container opened by `open`: behind the bracket at
 * first, behind the comma later. False at the end. */
static bool step(struct scan *s, char open, size_t pos)
{
    skip_space(s);
    if (pos == 0) {
        if (s->at == s->end || *s->at != open)
            return false;
    } else if (s->at == s->end || *s->at != ',') {
        return false;
    }
    s->at++;
    skip_space(s);
    return s->at < s->end && *s->at != '}' && *s->at != ']';
}

static struct str take_value(struct scan *s)
{
    struct str value = {s->at, 0};

    s->at = skip_value(s->at, s->end);
    value.len = (size_t)(s->at - value.ptr);
    return value;
}

bool json_next(struct str array, size_t *pos, struct str *element)
{
    struct scan s = scan_of(array, 0, 0);

    s.at += *pos;
    if (!step(&s, '[', *pos))
        return false;
    *element = take_value(&s);
    *pos = (size_t)(s.at - s.start);
    return element->len > 0;
}

bool json_next_member(struct str object, size_t *pos, struct str *key, struct str *value)
{
    struct scan s = scan_of(object, 0, 0);

    s.at += *pos;
    if (!step(&s, '{', *pos) || *s.at != '"')
        return false;
    *key = take_value(&s);
    skip_space(&s);
    if (key->len < 2 || s.at == s.end || *s.at != ':')
        return false;
    *key = (struct str){key->ptr + 1, key->len - 2};
    s.at++;
    skip_space(&s);
    *value = take_value(&s);
    *pos = (size_t)(s.at - s.start);
    return value->len > 0;
}

static struct str member(struct str object, struct str name)
{
    size_t pos = 0;
    struct str key, value;

    while (json_next_member(object, &pos, &key, &value))
        if (str_eq(key, name))
            return value;
    return STR_NULL;
}

struct str json_member(struct str text, const char *name)
{
    return member(text, str_of(name));
}

struct str json_member_path(struct str text, const char *path)
{
    struct str rest = str_of(path);

    while (rest.ptr != NULL && text.ptr != NULL)
        text = member(text, str_split(&rest, '.'));
    return text;
}

bool json_text_is_null(struct str literal)
{
    return str_is(literal, "null");
}

static unsigned hex4(const char *at)
{
    unsigned u = 0;
    int i;

    for (i = 0; i < 4; i++)
        u = u << 4 | (unsigned)hex_digit(at[i]);
    return u;
}

/* Writes the code point as UTF-8 (4 bytes at most), returns how many. */
static size_t put_utf8(unsigned u, char *out)
{
    if (u < 0x80) {
        out[0] = (char)u;
        return 1;
    }
    if (u < 0x800) {
        out[0] = (char)(0xc0 | u >> 6);
        out[1] = (char)(0x80 | (u & 0x3f));
        return 2;
    }
    if (u < 0x10000) {
        out[0] = (char)(0xe0 | u >> 12);
        out[1] = (char)(0x80 | (u >> 6 & 0x3f));
        out[2] = (char)(0x80 | (u & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | u >> 18);
    out[1] = (char)(0x80 | (u >> 12 & 0x3f));
    out[2] = (char)(0x80 | (u >> 6 & 0x3f));
    out[3] = (char)(0x80 | (u & 0x3f));
    return 4;
}

/* The code point of the \u escape whose digits start at *at; a low surrogate that follows
 * a high one is taken with it, a lone one becomes U+FFFD: UTF-8 has no form for it. */
static unsigned take_unicode(const char **at, const char *end)
{
    unsigned u = hex4(*at), low;

    *at += 4;
    if (u < 0xd800 || u > 0xdfff)
        return u;
    if (u > 0xdbff || end - *at < 6 || (*at)[0] != '\\' || (*at)[1] != 'u')
        return 0xfffd;
    low = hex4(*at + 2);
    if (low < 0xdc00 || low > 0xdfff)
        return 0xfffd;
    *at += 6;
    return 0x10000 + ((u - 0xd800) << 10) + (low - 0xdc00);
}

static char plain_escape(char c)
{
    switch (c) {
    case 'b':
        return '\b';
    case 'f':
        return '\f';
    case 'n':
        return '\n';
    case 'r':
        return '\r';
    case 't':
        return '\t';
    default:
        return c;
    }
}

static bool is_string(struct str literal)
{
    struct scan s = scan_of(literal, 0, 1);

    return literal.len >= 2 && *s.at == '"' && scan_string(&s) && s.at == s.end;
}

/* Unescapes the content of a literal that is_string; never grows. */
static size_t unescape(struct str literal, char *out)
{
    const char *at = literal.ptr + 1, *end = literal.ptr + literal.len - 1;
    char *to = out;

    while (at < end) {
        if (*at != '\\') {
            *to++ = *at++;
        } else if (at[1] == 'u') {
            at += 2;
            to += put_utf8(take_unicode(&at, end), to);
        } else {
            *to++ = plain_escape(at[1]);
            at += 2;
        }
    }
    return (size_t)(to - out);
}

int json_unquote_arena(struct str literal, struct arena *a, struct str *out)
{
    char *text;

    if (!is_string(literal))
        return -1;
    text = arena_alloc(a, literal.len);
    *out = (struct str){text, unescape(literal, text)};
    text[out->len] = '\0';
    return 0;
}

int json_unquote(struct str literal, char *out, size_t size)
{
    struct arena a;
    struct str text;
    int rc = -1;

    arena_init(&a, 256);
    if (json_unquote_arena(literal, &a, &text) == 0 && text.len < size &&
        memchr(text.ptr, '\0', text.len) == NULL) {
        memcpy(out, text.ptr, text.len + 1);
        rc = 0;
    }
    arena_fini(&a);
    return rc;
}

/* The escape for a character that must not stand in a literal as it is, or NULL. */
static const char *escape_of(unsigned char c, char six[7])
{
    switch (c) {
    case '"':
        return "\\\"";
    case '\\':
        return "\\\\";
    case '\n':
        return "\\n";
    case '\r':
        return "\\r";
    case '\t':
        return "\\t";
    default:
        if (c >= 0x20)
            return NULL;
        (void)snprintf(six, 7, "\\u%04x", c);
        return six;
    }
}

int json_quote(struct buf *out, struct str text)
{
    size_t from = 0, i;
    char six[7];

    (void)buf_reserve(out, text.len + 2);
    (void)buf_add_char(out, '"');
    for (i = 0; i < text.len; i++) {
        const char *escape = escape_of((unsigned char)text.ptr[i], six);

        if (escape == NULL)
            continue;
        (void)buf_add(out, text.ptr + from, i - from);
        (void)buf_add_cstr(out, escape);
        from = i + 1;
    }
    if (text.len > from)
        (void)buf_add(out, text.ptr + from, text.len - from);
    return buf_add_char(out, '"');
}

int json_double(struct buf *out, double x)
{
    char text[40];
    int digits;

    if (!isfinite(x))
        return buf_add_cstr(out, "null");
    for (digits = 15; digits <= 17; digits++) {
        (void)snprintf(text, sizeof(text), "%.*g", digits, x);
        if (strtod(text, NULL) == x)
            break;
    }
    return buf_add_cstr(out, text);
}
