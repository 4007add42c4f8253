/* List commands: the first page runs in its lane like any call of class A. Is it the
 * whole list, its items, the result and "done" are one tick: all are there, or none. */
#include <string.h>

#include "codec/json.h"
#include "engine/internal.h"

static int read_page(const struct slot *slot, const struct http_call *http,
                     struct list_page *page, struct err *e);
static bool goes_on(const struct list_page *page);
static void fail(struct engine *en, struct slot *slot, const struct http_call *http,
                 const struct err *e);

void list_answered(struct engine *en, struct slot *slot, const struct http_call *http)
{
    struct err e = ERR_INIT;
    struct list_page page;

    if (read_page(slot, http, &page, &e) != 0) {
        fail(en, slot, http, &e);
        return;
    }
    if (goes_on(&page) && list_continues(en, slot, http, &page))
        return;
    if (!goes_on(&page) && list_items(en, slot, &page, &e) != 0) {
        fail(en, slot, http, &e);
        return;
    }
    answer_call(en, slot, http, SUCCEEDED, NULL, NULL);
}

bool list_continues(struct engine *en, struct slot *slot, const struct http_call *http,
                    const struct list_page *page)
{
    (void)en;
    (void)slot;
    (void)http;
    (void)page;
    return false; /* without jobs: the answer is its first page, nothing is produced */
}

int list_items(struct engine *en, struct slot *slot, const struct list_page *page,
               struct err *e)
{
    const struct items_of of = {
        .op = slot->op,
        .topic = slot->items_topic,
        .parent_id = slot->req.last_param,
        .command_id = slot->command_id,
        .source = str_of(arena_printf(&slot->arena, "%s/%d/%lld", slot->rec.at.topic,
                                      slot->rec.at.partition, (long long)slot->offset))};

    slot->items = items_new(en, &of, page->results, page->most, e);
    return slot->items != NULL ? 0 : -1;
}

void list_refused(struct engine *en, struct slot *slot, size_t item,
                  const struct kafka_tick *tick)
{
    struct err e = ERR_INIT;

    if (tick->bad_too_large && items_slim(en, slot->items, item))
        return;
    (void)err_input(&e, "topic-refused",
                    "item %.*s was refused, so the list failed: %s; see that the topic "
                    "is there, may be written and takes records as large",
                    STR_ARG(slot->items->outputs[item].key), tick->why);
    topic_forget(en, slot->items_topic->name);
    items_free(slot->items);
    slot->items = NULL;
    answer_again(en, slot, FAILED, e.reason, arena_printf(&slot->arena, "%s", e.text));
}

/* Whatever is not the whole answer of a list is no success: items would be missing. */
static int read_page(const struct slot *slot, const struct http_call *http,
                     struct list_page *page, struct err *e)
{
    struct str body = buf_str(&http->body_in), next;
    const struct pair *with = request_param(&slot->cmd, STR_LIT("with"));
    const struct pair *most = request_param(&slot->cmd, STR_LIT("max_items"));
    struct err ignored = ERR_INIT;
    struct str element;
    int64_t n = INT64_MAX;
    size_t pos = 0;

    if (http->end == HTTP_TOO_LARGE)
        return err_input(
            e, "too-large", "the page is larger than front.max.response.bytes: %s",
            slot->op->paged ? "ask for fewer items with limit, or raise it" : "raise it");
    *page = (struct list_page){.results = STR_NULL};
    if (http->end == HTTP_ANSWERED && json_is_valid(body))
        page->results = json_member(body, "_results");
    if (page->results.len == 0 || page->results.ptr[0] != '[')
        return err_input(e, "front", "Front answered %d without a list of _results",
                         http->head.status);
    if (most != NULL) /* the check saw that it is a number */
        (void)parse_i64(most->value, 1, INT64_MAX, &n, &ignored);
    page->most = (uint64_t)n < SIZE_MAX ? (size_t)n : SIZE_MAX;
    while (page->n < page->most && json_next(page->results, &pos, &element))
        page->n++;
    next = json_member_path(body, "_pagination.next");
    page->next = next.ptr != NULL && json_text_is_null(next) ? STR_NULL : next;
    page->with = with != NULL && with->value.len > 0 && !str_is(with->value, "[]")
                     ? with->value
                     : STR_NULL;
    return 0;
}

/* The end is `next == null`, never a short page. */
static bool goes_on(const struct list_page *page)
{
    return (page->next.ptr != NULL && page->n < page->most) || page->with.ptr != NULL;
}

/* What came is in the result, as far as it may be. */
static void fail(struct engine *en, struct slot *slot, const struct http_call *http,
                 const struct err *e)
{
    answer_call(en, slot, http, FAILED, e->reason,
                arena_printf(&slot->arena, "%s", e->text));
}
