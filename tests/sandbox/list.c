/* Lists: newest first unless sort_order=asc, cut into pages where the operation is paged.
 * A page token names the place after the last item, so a growing list shifts nothing. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

#define PAGE_PRESET 50
#define TOKEN_MASK 0x5eedf00dca11ab1eULL
#define TOKEN_EXAMPLE "b3BhcXVl" /* of the catalogue: the first page */

struct page {
    bool ascending, paged;
    size_t limit;
    uint64_t after; /* seq of the last item before this page; 0: from the start */
};

static bool bad_query(struct call *c, const char *name, const char *what)
{
    call_error(c, 400, "Bad request", "Query did not satisfy requirements");
    call_detail(c, "query.%s: %s", name, what);
    return false;
}

static bool token_read(const char *text, struct page *pg)
{
    char *end = NULL;
    if (strcmp(text, TOKEN_EXAMPLE) == 0)
        return true;
    if (text[0] != 'a' && text[0] != 'd')
        return false;
    errno = 0;
    unsigned long long v = strtoull(text + 1, &end, 16);
    if (errno != 0 || end == text + 1 || *end != '\0')
        return false;
    pg->ascending = text[0] == 'a';
    pg->after = v ^ TOKEN_MASK;
    return true;
}

static bool page_read(struct call *c, struct page *pg)
{
    const char *limit = call_query(c, "limit", 0),
               *token = call_query(c, "page_token", 0);
    const char *order = call_query(c, "sort_order", 0);
    struct err e = ERR_INIT;
    int64_t n = c->op->page_max < PAGE_PRESET ? c->op->page_max : PAGE_PRESET;
    memset(pg, 0, sizeof *pg);
    pg->paged = c->op->paged;
    if (!pg->paged)
        return true;
    if (limit != NULL && parse_i64(str_of(limit), 1, 100000, &n, &e) < 0)
        return bad_query(c, "limit", "should be a positive integer");
    if (n > c->op->page_max)
        n = c->op->page_max;
    pg->limit = (size_t)n;
    if (order != NULL && strcmp(order, "asc") != 0 && strcmp(order, "desc") != 0)
        return bad_query(c, "sort_order", "should be one of asc, desc");
    pg->ascending = order != NULL && strcmp(order, "asc") == 0;
    if (token != NULL && !token_read(token, pg))
        return bad_query(c, "page_token", "is not valid");
    return true;
}

/* The query of this request with another page_token. */
static json_t *next_link(struct call *c, const struct page *pg, uint64_t last)
{
    struct buf b;
    const char *query = strchr(c->uri, '?');
    int path = query != NULL ? (int)(query - c->uri) : (int)strlen(c->uri);
    buf_init(&b, 65536);
    (void)buf_printf(&b, "%s%.*s?page_token=%c%llx", c->sb->url, path, c->uri,
                     pg->ascending ? 'a' : 'd', (unsigned long long)(last ^ TOKEN_MASK));
    struct str rest = str_of(query != NULL ? query + 1 : NULL);
    while (rest.ptr != NULL) {
        struct str item = str_split(&rest, '&');
        if (item.len > 0 && !str_starts(item, "page_token="))
            (void)buf_printf(&b, "&%.*s", STR_ARG(item));
    }
    json_t *j = json_stringn(b.data, b.len);
    buf_fini(&b);
    return j;
}

static void answer_list(struct call *c, const struct page *pg, json_t *results,
                        uint64_t last)
{
    json_t *j = json_object();
    if (c->op->pagination || c->op->paged)
        (void)json_object_set_new(
            j, "_pagination",
            json_pack("{s:o}", "next", last != 0 ? next_link(c, pg, last) : json_null()));
    (void)json_object_set_new(j, "_links", render_links(c->sb, c->uri));
    (void)json_object_set_new(j, "_results", results);
    c->answer = j;
}

/* objs are in ascending order of seq. */
static void answer_page(struct call *c, const struct page *pg, struct object *const *objs,
                        size_t n)
{
    json_t *results = json_array();
    uint64_t last = 0;
    for (size_t i = 0; i < n; i++) {
        const struct object *obj = objs[pg->ascending ? i : n - 1 - i];
        if (pg->after != 0 &&
            (pg->ascending ? obj->seq <= pg->after : obj->seq >= pg->after))
            continue;
        if (pg->paged && json_array_size(results) == pg->limit) {
            answer_list(c, pg, results, last);
            return;
        }
        last = obj->seq;
        (void)json_array_append_new(results, render(c->sb, obj, c->op->shape));
    }
    answer_list(c, pg, results, 0);
    if (strcmp(c->op->name, "search-conversations") == 0)
        (void)json_object_set_new(c->answer, "_total", json_integer((json_int_t)n));
}

void list_kind(struct call *c, enum kind kind, list_match *match)
{
    struct page pg;
    struct object *obj;
    size_t n = 0;
    int64_t now = sandbox_ms(c->sb);
    if (!page_read(c, &pg))
        return;
    struct object **objs = mem_array(c->sb->store.counts[kind] + 1, sizeof(*objs));
    TAILQ_FOREACH (obj, &c->sb->store.lists[kind], of_kind)
        if (!obj->hidden && obj->visible_ms <= now && (match == NULL || match(c, obj)))
            objs[n++] = obj;
    answer_page(c, &pg, objs, n);
    mem_free(objs);
}

static int by_seq(const void *a, const void *b)
{
    const struct object *x = *(struct object *const *)a, *y = *(struct object *const *)b;
    return x->seq < y->seq ? -1 : x->seq > y->seq;
}

void list_related(struct call *c, const struct object *obj, enum rel rel, enum kind other,
                  bool reverse)
{
    struct page pg;
    const struct edge *ed;
    size_t n = 0;
    int64_t now = sandbox_ms(c->sb);
    if (!page_read(c, &pg))
        return;
    struct object **objs = mem_array(c->sb->store.counts[other] + 1, sizeof(*objs));
    for (ed = reverse ? TAILQ_FIRST(&obj->in) : TAILQ_FIRST(&obj->out); ed != NULL;
         ed = reverse ? TAILQ_NEXT(ed, in) : TAILQ_NEXT(ed, out)) {
        struct object *o = reverse ? ed->parent : ed->child;
        if (ed->rel != rel || o->kind != other || o->hidden || o->visible_ms > now)
            continue;
        if (other == KIND_CONVERSATION && !match_conversation(c, o))
            continue;
        objs[n++] = o;
    }
    qsort(objs, n, sizeof(*objs), by_seq);
    answer_page(c, &pg, objs, n);
    mem_free(objs);
}

/* True when the query names no value, or this one. */
static bool asked_for(struct call *c, const char *name, const char *value)
{
    const char *want = call_query(c, name, 0);
    if (want == NULL)
        return true;
    for (size_t i = 0; want != NULL; want = call_query(c, name, ++i))
        if (strcmp(want, value) == 0)
            return true;
    return false;
}

bool match_conversation(struct call *c, const struct object *obj)
{
    const char *status = store_text(obj, "status");
    bool gone = strcmp(status, "deleted") == 0 || strcmp(status, "spam") == 0;
    if (call_query(c, "q[statuses]", 0) != NULL)
        return asked_for(c, "q[statuses]",
                         strcmp(status, "deleted") ? status : "trashed");
    return !gone &&
           asked_for(c, "q[status_categories]", store_text(obj, "status_category")) &&
           asked_for(c, "q[status_ids]", store_text(obj, "status_id"));
}

struct span {
    double from, to;
};

/* "1454453901.012"; false after it has answered 400. */
static bool seconds_read(struct call *c, const char *name, double *out)
{
    const char *text = call_query(c, name, 0);
    char *end = NULL;
    if (text == NULL)
        return true;
    double v = strtod(text, &end);
    if (end == text || *end != '\0' || !(v >= 0 && v < 1e12))
        return bad_query(c, name, "should be a timestamp in seconds");
    *out = v;
    return true;
}

static bool span_read(struct call *c, struct span *sp)
{
    const char *by = call_query(c, "sort_by", 0);
    *sp = (struct span){0, 1e12};
    if (by != NULL && strcmp(by, "created_at") != 0)
        return bad_query(c, "sort_by", "should be created_at");
    return seconds_read(c, "q[after]", &sp->from) &&
           seconds_read(c, "q[before]", &sp->to);
}

static bool event_fits(struct call *c, const struct event *ev, const struct span *sp,
                       const char *conversation)
{
    if (conversation != NULL)
        return strcmp(ev->conversation, conversation) == 0;
    return ev->emitted_at >= sp->from && ev->emitted_at <= sp->to &&
           asked_for(c, "q[types]", ev->type->name) &&
           asked_for(c, "q[inboxes]", ev->inbox);
}

void list_events(struct call *c, const char *conversation)
{
    struct page pg;
    struct span sp;
    const struct events *es = &c->sb->events;
    if (!page_read(c, &pg) || !span_read(c, &sp))
        return;
    json_t *results = json_array();
    uint64_t first = events_first(es), last = 0;
    uint64_t n = pg.ascending ? first : es->last;
    if (pg.after != 0)
        n = pg.ascending ? pg.after + 1 : pg.after - 1;
    if (n < first && pg.ascending) /* what came after the page is out of the ring */
        n = first;
    for (; n >= first && n <= es->last; n = pg.ascending ? n + 1 : n - 1) {
        const struct event *ev = events_get(es, n);
        if (!event_fits(c, ev, &sp, conversation))
            continue;
        if (json_array_size(results) == pg.limit) {
            answer_list(c, &pg, results, last);
            return;
        }
        last = n;
        (void)json_array_append_new(results, render_event(c->sb, ev, false));
    }
    answer_list(c, &pg, results, 0);
}
