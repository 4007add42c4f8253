/* `with`: the lists of each row of a list. What Front shows of them, and whether each
 * page of them became durable once, in the order of rows and lists, before the page that
 * follows. A row's list is found by the row's id alone; its rows say which list it is,
 * which reading of it (Front forgets its page tokens now and then) and which page. */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "codec/records/job.h"

enum {
    PAGES_MAX = 3,
    ROWS_MOST = 3,
    CHANGED_S = 1700900000 /* all rows: later than any watermark */
};

static const struct below_list table[] = {
    {"list-contact-conversations", "messages", "list-conversation-messages", true},
    {"list-contact-conversations", "inboxes", "list-conversation-inboxes", false},
    {"list-contacts", "conversations", "list-contact-conversations", true},
    {"list-contacts", "notes", "list-notes", false},
    {"list-tags", "children", "list-tag-children", false},
    {"list-tags", "conversations", "list-tagged-conversations", true}};
enum { N_TABLE = sizeof table / sizeof table[0] };

static uint32_t mix(const struct world *w, const char *id, const char *word, int gen,
                    int page)
{
    uint64_t h = w->seed * 1000003u + (uint64_t)gen * 131u + (uint64_t)(page + 2);
    for (; *id != 0; id++)
        h = (h ^ (unsigned char)*id) * 0x100000001b3u;
    for (; *word != 0; word++)
        h = (h ^ (unsigned char)*word) * 0x100000001b3u;
    for (int i = 0; i < 3; i++) {
        h ^= h >> 29;
        h *= 0xbf58476d1ce4e5b9u;
    }
    return (uint32_t)(h >> 32);
}

/* --- which lists --- */

const char *below_with(struct world *w, const char *operation, int number)
{
    const char *words[BELOW_LISTS];
    int n = 0;
    uint32_t h = mix(w, operation, "with", number, 0);
    for (int i = 0; i < N_TABLE; i++)
        if (strcmp(table[i].of, operation) == 0)
            words[n++] = table[i].word;
    if (n < BELOW_LISTS || h % 10 < 4)
        return NULL;
    if (h % 10 < 7)
        return words[h / 10 % 2];
    return arena_printf(&w->arena, "%s,%s", words[h / 10 % 2], words[1 - h / 10 % 2]);
}

void below_set(struct below *b, struct str operation, struct str with)
{
    b->n_lists = 0;
    b->runs = false;
    while (with.ptr != NULL && with.len > 0) {
        struct str word = str_split(&with, ',');
        for (int i = 0; i < N_TABLE && b->n_lists < BELOW_LISTS; i++)
            if (str_is(operation, table[i].of) && str_is(word, table[i].word))
                b->lists[b->n_lists++] = &table[i];
    }
}

/* --- Front --- */

static bool has_pages(const char *word)
{
    for (int i = 0; i < N_TABLE; i++)
        if (strcmp(table[i].word, word) == 0 && table[i].paged)
            return true;
    return false;
}

static int pages_of(const struct world *w, const char *id, const char *word, int gen)
{
    uint32_t h = mix(w, id, word, gen, -1);
    return !has_pages(word) || h % 10 < 4 ? 1 : 2 + (int)(h / 10 % (PAGES_MAX - 1));
}

/* A list may be empty, and so may a page though more follow. */
static int rows_of(const struct world *w, const char *id, const char *word, int gen,
                   int page)
{
    uint32_t h = mix(w, id, word, gen, page);
    return h % 10 < 3 ? 0 : 1 + (int)(h / 10 % ROWS_MOST);
}

/* The row went: before its list is read, or in the middle of that. */
static bool has_gone(const struct world *w, const char *id, const char *word, int page)
{
    uint32_t h = mix(w, id, word, -1, -1) % 100;
    return h < 6 || (h < 12 && page > 0);
}

static const char *row_id(const char *id, const char *word, int gen, int page, int row,
                          char out[64])
{
    (void)snprintf(out, 64, "sub_%s.%s.f%dk%di%d", id, word, gen, page, row);
    return out;
}

bool below_is_path(struct world *w, const char *path, struct below_page *bp)
{
    struct str rest = str_of(path), all, id;
    (void)str_split(&rest, '/');
    all = str_split(&rest, '/');
    id = str_split(&rest, '/');
    bool row = (str_is(all, "conversations") && memchr(id.ptr, 'g', id.len) != NULL) ||
               str_starts(id, "crd_") || str_starts(id, "tag_");
    if (!row || rest.ptr == NULL)
        return false;
    *bp = (struct below_page){.id = arena_strndup(&w->arena, id.ptr, id.len),
                              .word = arena_strndup(&w->arena, rest.ptr, rest.len)};
    return true;
}

static int token_gen(const char *query)
{
    return number_at(query, "page_token=f", -1);
}

static int token_page(const char *query)
{
    const char *token = query != NULL ? strstr(query, "page_token=f") : NULL;
    return token != NULL ? number_at(token + strlen("page_token="), "k", 0) : 0;
}

int below_ask(const struct world *w, struct below *b, const char *query, bool forget,
              struct below_page *bp)
{
    int gen = token_gen(query);
    bp->page = token_page(query);
    if (has_gone(w, bp->id, bp->word, bp->page))
        return 404;
    if (gen >= 0 && forget && gen == b->front_gen)
        b->front_gen++;
    if (gen >= 0 && gen != b->front_gen)
        return 400;
    bp->gen = b->front_gen;
    return 0;
}

void below_print(const struct world *w, const struct below_page *bp, struct buf *out)
{
    char text[64];
    int n = rows_of(w, bp->id, bp->word, bp->gen, bp->page);
    (void)buf_add_cstr(out, "{\"_pagination\":{\"next\":");
    if (bp->page + 1 < pages_of(w, bp->id, bp->word, bp->gen))
        (void)buf_printf(out, "\"https://front/x?limit=1&page_token=f%dk%d\"", bp->gen,
                         bp->page + 1);
    else
        (void)buf_add_cstr(out, "null");
    (void)buf_add_cstr(out, "},\"_results\":[");
    for (int i = 0; i < n; i++)
        (void)buf_printf(out, "%s{\"id\":\"%s\",\"updated_at\":%d}", i > 0 ? "," : "",
                         row_id(bp->id, bp->word, bp->gen, bp->page, i, text), CHANGED_S);
    (void)buf_add_cstr(out, "]}");
}

/* --- the judge --- */

static const char *say(struct world *w, const struct below *b, const char *what)
{
    if (!b->runs)
        return arena_printf(&w->arena, "%s, but no row's list is read", what);
    return arena_printf(&w->arena, "%s, but page %d of reading %d of %s of %s is next",
                        what, b->next.page, b->next.gen, b->lists[b->next.list]->word,
                        b->ids[b->next.row]);
}

const char *below_check_ask(struct world *w, const struct below *b, const char *path,
                            const char *query)
{
    const struct below_at *at = &b->next;
    struct below_page bp;
    int gen = token_gen(query), page = token_page(query);
    if (!below_is_path(w, path, &bp))
        return b->runs ? say(w, b, path) : NULL;
    if (!b->runs || strcmp(bp.id, b->ids[at->row]) != 0 ||
        strcmp(bp.word, b->lists[at->list]->word) != 0 ||
        (at->gen < 0 ? gen >= 0 : gen != at->gen || page != at->page))
        return say(
            w, b,
            arena_printf(&w->arena, "page %d of reading %d of %s", page, gen, path));
    return NULL;
}

/* Its id as Front said it: not all kinds of rows have that as their key. */
static struct str row_name(const struct entry *e)
{
    static const char before[] = "\"id\":\"";
    const char *at = memmem(e->value.ptr, e->value.len, "\"id\":\"sub_", 10);
    const char *end = e->value.ptr + e->value.len, *to;
    if (at == NULL)
        return STR_NULL;
    at += strlen(before);
    to = memchr(at, '"', (size_t)(end - at));
    return (struct str){at, (size_t)((to != NULL ? to : end) - at)};
}

bool below_is_row(const struct entry *e)
{
    return row_name(e).ptr != NULL;
}

const char *below_item(struct world *w, struct below *b, const struct entry *e)
{
    const struct below_at *at = &b->next;
    struct str name = row_name(e);
    const char *key = arena_strndup(&w->arena, name.ptr, name.len);
    int gen = number_at(key, ".f", -1);
    char want[64];
    if (!b->runs)
        return say(w, b, key);
    if (b->txn_rows == 0)
        b->txn_gen = gen;
    const struct below_list *list = b->lists[at->list];
    const char *id = b->ids[at->row];
    if (strcmp(key, row_id(id, list->word, at->gen >= 0 ? at->gen : b->txn_gen, at->page,
                           b->txn_rows, want)) != 0)
        return say(w, b, key);
    if (!str_is(e->operation, list->operation))
        return say(w, b,
                   arena_printf(&w->arena, "%s of %.*s", key, STR_ARG(e->operation)));
    /* A text has its length before it, twice it as Avro writes that. */
    const char *parent = arena_printf(&w->arena, "%c%s", (char)(2 * strlen(id)), id);
    if (memmem(e->value.ptr, e->value.len, parent, strlen(parent)) == NULL)
        return say(w, b, arena_printf(&w->arena, "%s without its _parent_id", key));
    b->txn_rows++;
    return NULL;
}

void below_begin(struct below *b, bool last)
{
    b->last = last;
    b->next = (struct below_at){.gen = -1};
    b->runs = b->n_lists > 0 && b->n_rows > 0;
}

static void next_list(struct below *b)
{
    struct below_at *at = &b->next;
    *at = (struct below_at){.row = at->row, .list = at->list + 1, .gen = -1};
    if (at->list == b->n_lists) {
        at->list = 0;
        at->row++;
    }
    b->runs = at->row < b->n_rows;
}

/* Of a reading that is not known: it is one page without rows. */
static int empty_gen(const struct world *w, const struct below *b, const char *id,
                     const char *word)
{
    int gen = b->front_gen;
    while (gen > 0 &&
           (pages_of(w, id, word, gen) > 1 || rows_of(w, id, word, gen, 0) > 0))
        gen--;
    return gen;
}

const char *below_step(struct world *w, struct below *b, const struct job_record *jr,
                       bool again, int *pages)
{
    struct below_at *at = &b->next;
    const char *id = b->ids[at->row], *word = b->lists[at->list]->word;
    int rows = b->txn_rows, gen = at->gen;
    b->txn_rows = 0;
    *pages = 0;
    if (again || has_gone(w, id, word, at->page)) {
        if (rows > 0)
            return say(w, b, arena_printf(&w->arena, "%d row(s) came", rows));
        trace(w, -1, -1, -1, again ? "below.again" : "below.gone", at->row, at->list, id);
        if (!again)
            next_list(b);
        else
            *at = (struct below_at){.row = at->row, .list = at->list, .gen = -1};
        return NULL;
    }
    if (gen < 0)
        gen = rows > 0 ? b->txn_gen
              : jr != NULL && jr->fan_token.ptr != NULL
                  ? number_at(
                        arena_strndup(&w->arena, jr->fan_token.ptr, jr->fan_token.len),
                        "f", -1)
                  : empty_gen(w, b, id, word);
    if (rows != rows_of(w, id, word, gen, at->page))
        return say(w, b, arena_printf(&w->arena, "%d row(s) of reading %d", rows, gen));
    trace(w, -1, -1, -1, "below.page", at->row, at->list, id);
    *pages = 1;
    if (at->page + 1 < pages_of(w, id, word, gen))
        *at = (struct below_at){at->row, at->list, gen, at->page + 1};
    else
        next_list(b);
    return NULL;
}

/* What its record says is next. */
const char *below_record(struct world *w, const struct below *b,
                         const struct job_record *jr)
{
    const struct below_at *at = &b->next;
    const char *token = b->runs && at->page > 0
                            ? arena_printf(&w->arena, "f%dk%d", at->gen, at->page)
                            : NULL;
    size_t left = b->runs ? (size_t)(b->n_rows - at->row) : 0;
    bool same = jr->n_fan_rows == left && jr->fan_last == (b->runs && b->last);
    for (size_t i = 0; same && i < left; i++)
        same = str_is(jr->fan_rows[i], b->ids[at->row + (int)i]);
    if (same && b->runs && str_is(jr->fan_list, b->lists[at->list]->operation) &&
        str_eq(jr->fan_token, str_of(token)))
        return NULL;
    if (same && !b->runs && jr->fan_list.ptr == NULL && jr->fan_token.ptr == NULL)
        return NULL;
    return say(w, b,
               arena_printf(&w->arena, "%zu row(s), %.*s, %.*s", jr->n_fan_rows,
                            STR_ARG(jr->fan_list), STR_ARG(jr->fan_token)));
}

const char *below_topic(struct str operation)
{
    static const char *const topics[][2] = {
        {"list-conversation-messages", ITEMS_TOPIC},
        {"list-conversation-comments", COMMENTS_TOPIC},
        {"list-contact-conversations", CONVERSATIONS_TOPIC},
        {"list-tagged-conversations", CONVERSATIONS_TOPIC},
        {"list-conversation-inboxes", INBOXES_TOPIC},
        {"list-contacts", CONTACTS_TOPIC},
        {"list-notes", NOTES_TOPIC},
        {"list-tags", TAGS_TOPIC},
        {"list-tag-children", TAGS_TOPIC}};
    for (size_t i = 0; i < sizeof topics / sizeof topics[0]; i++)
        if (str_is(operation, topics[i][0]))
            return topics[i][1];
    return "none";
}
