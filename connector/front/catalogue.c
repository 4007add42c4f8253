/* Look-ups in the catalogue: by name, by typed record, by path, by words. The tables are
 * constant and sorted (catalogue_table.c); nothing here owns memory beyond one call. */
#include "front/catalogue.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const char *const guard_names[GUARDS] = {"none",      "resource", "search",
                                         "analytics", "links",    "seen"};

/* by name */
static int compare_str(struct str a, const char *b);
static int compare_op(const void *key, const void *row);
static int compare_alias(const void *key, const void *row);
static int compare_record(const void *key, const void *row);
static const char *candidate(const void *arg, size_t i);

/* by path */
static int path_score(const char *template, struct str path);

/* by words */
struct hit {
    const struct op *op;
    int score;
};

static int compare_hits(const void *a, const void *b);
static int op_score(const struct op *op, struct str words);
static int word_score(const struct op *op, struct str word);
static int text_score(const char *text, struct str word, const char *separators,
                      int whole, int prefix, int inside);
static bool title_is(const char *titles, struct str words);
static bool name_is(const char *name, struct str words);
static bool same_text(struct str a, struct str b);
static struct str next_word(struct str *rest, const char *separators);

const struct op *op_find(struct str name)
{
    const struct op *op;
    const struct op_alias *alias;

    if (name.ptr == NULL)
        return NULL;
    op = bsearch(&name, catalogue_table, catalogue_table_n, sizeof *op, compare_op);
    if (op != NULL)
        return op;
    alias = bsearch(&name, catalogue_aliases, catalogue_aliases_n, sizeof *alias,
                    compare_alias);
    return alias != NULL ? op_xget(alias->name) : NULL;
}

const struct op *op_xget(const char *name)
{
    struct str key = str_of(name);
    const struct op *op =
        bsearch(&key, catalogue_table, catalogue_table_n, sizeof *op, compare_op);

    if (op == NULL)
        abort();
    return op;
}

size_t op_index(const struct op *op)
{
    assert(op >= catalogue_table && op < catalogue_table + catalogue_table_n);
    return (size_t)(op - catalogue_table);
}

const struct typed_record *typed_record_find(struct str full_name)
{
    const struct typed_record *const *found;

    if (full_name.ptr == NULL)
        return NULL;
    found = bsearch(&full_name, catalogue_records, catalogue_records_n, sizeof *found,
                    compare_record);
    return found != NULL ? *found : NULL;
}

const struct shape *op_field(const struct op *op, struct str name, enum shape_place place)
{
    size_t i;

    for (i = 0; i < op->record->n_fields; i++) {
        const struct shape *f = &op->record->fields[i];

        if (f->place == place && str_is(name, f->name))
            return f;
    }
    return NULL;
}

const char *op_nearest(struct str name)
{
    const char *nearest;
    size_t i;

    if (name.ptr == NULL)
        return NULL;
    nearest = str_nearest(name, candidate, NULL);
    for (i = 0; nearest != NULL && i < catalogue_titles_n; i++) {
        if (strcmp(catalogue_titles[i].alias, nearest) == 0)
            return catalogue_titles[i].name;
    }
    return nearest;
}

const struct op *op_match(enum http_method method, struct str path)
{
    const struct op *best = NULL;
    int best_score = -1;
    size_t i;

    for (i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        int score = op->method == method ? path_score(op->path, path) : -1;

        /* update-channel and update-channel-status share their path: a call sends our
         * token */
        if (score >= 0 && op->auth == AUTH_TOKEN)
            score++;
        if (score > best_score) {
            best = op;
            best_score = score;
        }
    }
    return best;
}

size_t op_search(struct str words, const struct op **out, size_t max)
{
    struct hit *hits;
    size_t n = 0, i;

    if (words.ptr == NULL)
        return 0;
    hits = mem_array(catalogue_table_n, sizeof *hits);
    for (i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        int score = op_score(op, words);

        if (score > 0)
            hits[n++] = (struct hit){op, score};
    }
    qsort(hits, n, sizeof *hits, compare_hits);
    if (n > max)
        n = max;
    for (i = 0; i < n; i++)
        out[i] = hits[i].op;
    mem_free(hits);
    return n;
}

/* strcmp with a slice on the left. */
static int compare_str(struct str a, const char *b)
{
    size_t len = strlen(b);
    int order = memcmp(a.ptr, b, a.len < len ? a.len : len);

    if (order != 0)
        return order;
    return (a.len > len) - (a.len < len);
}

static int compare_op(const void *key, const void *row)
{
    return compare_str(*(const struct str *)key, ((const struct op *)row)->name);
}

static int compare_alias(const void *key, const void *row)
{
    return compare_str(*(const struct str *)key, ((const struct op_alias *)row)->alias);
}

static int compare_record(const void *key, const void *row)
{
    const struct typed_record *const *rec = row;

    return compare_str(*(const struct str *)key, (*rec)->full_name);
}

/* Operations, then aliases, then titles: the earlier wins where two are equally near. */
static const char *candidate(const void *arg, size_t i)
{
    (void)arg;
    if (i < catalogue_table_n)
        return catalogue_table[i].name;
    i -= catalogue_table_n;
    if (i < catalogue_aliases_n)
        return catalogue_aliases[i].alias;
    i -= catalogue_aliases_n;
    return i < catalogue_titles_n ? catalogue_titles[i].alias : NULL;
}

/* -1: no match; else more the more literal segments matched (an even number). */
static int path_score(const char *template, struct str path)
{
    struct str want = str_of(template);
    int score = 0;

    if (path.len > 1 && path.ptr[path.len - 1] == '/')
        path.len--;
    if (want.ptr[want.len - 1] == '/')
        want.len--;
    while (want.ptr != NULL && path.ptr != NULL) {
        struct str expected = str_split(&want, '/');
        struct str found = str_split(&path, '/');

        if (str_starts(expected, "{")) {
            if (found.len == 0)
                return -1;
        } else if (str_eq(expected, found)) {
            score += 2;
        } else {
            return -1;
        }
    }
    return want.ptr == NULL && path.ptr == NULL ? score : -1;
}

static int compare_hits(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    size_t x_len = strlen(x->op->name), y_len = strlen(y->op->name);

    if (x->score != y->score)
        return y->score - x->score;
    if (x_len != y_len)
        return x_len < y_len ? -1 : 1;
    return strcmp(x->op->name, y->op->name);
}

/* 0 unless every word is found somewhere; a whole name or title comes first. */
static int op_score(const struct op *op, struct str words)
{
    struct str rest = words;
    int score = 0;

    for (;;) {
        struct str word = next_word(&rest, " \t-");
        int found;

        if (word.len == 0)
            break;
        found = word_score(op, word);
        if (found == 0)
            return 0;
        score += found;
    }
    if (score > 0 && name_is(op->name, words))
        score += 2000;
    if (score > 0 && op->titles != NULL && title_is(op->titles, words))
        score += 1000;
    return score > 0 && op->deprecated ? score - 1 : score;
}

/* The best place where one word is found. */
static int word_score(const struct op *op, struct str word)
{
    int best = text_score(op->name, word, "-", 40, 30, 8);
    int title = text_score(op->titles, word, " |", 36, 28, 8);
    int path = text_score(op->path, word, "/_{}", 20, 12, 4);
    int help = text_score(op->help, word, " ,.:;", 16, 10, 4);

    if (title > best)
        best = title;
    if (path > best)
        best = path;
    return help > best ? help : best;
}

static int text_score(const char *text, struct str word, const char *separators,
                      int whole, int prefix, int inside)
{
    struct str rest = str_of(text);
    int best = 0;

    while (rest.len > 0) {
        struct str part = next_word(&rest, separators);
        size_t i;

        if (same_text(part, word))
            return whole;
        for (i = 0; i + word.len <= part.len; i++) {
            int score = i == 0 ? prefix : inside;

            if (score > best && same_text((struct str){part.ptr + i, word.len}, word))
                best = score;
        }
    }
    return best;
}

static bool title_is(const char *titles, struct str words)
{
    struct str rest = str_of(titles);

    while (rest.ptr != NULL) {
        struct str title = str_split(&rest, '|');

        if (same_text(title, str_trim(words)))
            return true;
    }
    return false;
}

/* "create inbox" is create-inbox. */
static bool name_is(const char *name, struct str words)
{
    struct str rest = str_of(name);

    for (;;) {
        struct str a = next_word(&rest, "-");
        struct str b = next_word(&words, " \t-");

        if (!same_text(a, b))
            return false;
        if (a.len == 0)
            return true;
    }
}

static bool same_text(struct str a, struct str b)
{
    size_t i;

    if (a.len != b.len)
        return false;
    for (i = 0; i < a.len; i++) {
        if (tolower((unsigned char)a.ptr[i]) != tolower((unsigned char)b.ptr[i]))
            return false;
    }
    return true;
}

/* The next run of characters that are no separators; empty at the end. */
static struct str next_word(struct str *rest, const char *separators)
{
    struct str word;

    while (rest->len > 0 && strchr(separators, rest->ptr[0]) != NULL) {
        rest->ptr++;
        rest->len--;
    }
    word = (struct str){rest->ptr, 0};
    while (word.len < rest->len && strchr(separators, rest->ptr[word.len]) == NULL)
        word.len++;
    rest->ptr += word.len;
    rest->len -= word.len;
    return word;
}
