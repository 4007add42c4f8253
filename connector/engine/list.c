/* List commands: the first page runs in its lane like any call of class A. Is it the
 * whole list, its items, the result and "done" are one tick: all are there, or none. If
 * not, walk.c goes on; what a page is, is read here for both. */
#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "codec/records/event.h"
#include "engine/internal.h"
#include "front/with.h"

enum { TOKEN_MAX_BYTES = 8192 };

static bool fans_out(const struct slot *slot, const struct list_page *page);
static int take_items(struct engine *en, struct slot *slot, const struct list_page *page,
                      struct err *e);
static void fail(struct engine *en, struct slot *slot, const struct http_call *http,
                 const struct err *e);

void list_answered(struct engine *en, struct slot *slot, const struct http_call *http)
{
    struct err e = ERR_INIT;
    struct list_page page;
    struct list_answer answer = {http->end, http->head.status, buf_str(&http->body_in)};
    struct str token = STR_NULL;
    bool job;

    if (list_read(slot->op, &answer, list_max_items(&slot->cmd), &page, &e) != 0) {
        fail(en, slot, http, &e);
        return;
    }
    job = page.more || fans_out(slot, &page);
    if (job && en->jobs_topic == NULL) { /* it is its first page, nothing is produced */
        answer_call(en, slot, http, SUCCEEDED, NULL, NULL);
        return;
    }
    if ((page.more && list_token(&page, &slot->arena, &token, &e) != 0) ||
        take_items(en, slot, &page, &e) != 0) {
        fail(en, slot, http, &e);
        return;
    }
    if (job)
        walk_begin(en, slot, &page, token);
    else
        answer_call(en, slot, http, SUCCEEDED, NULL, NULL);
}

static bool fans_out(const struct slot *slot, const struct list_page *page)
{
    struct err e = ERR_INIT;
    struct with with;

    return page->n > 0 &&
           with_read(slot->cmd.params, slot->cmd.n_params, slot->op, &with, &e) == 0 &&
           with.n > 0;
}

static int take_items(struct engine *en, struct slot *slot, const struct list_page *page,
                      struct err *e)
{
    const struct items_of of = {.op = slot->op,
                                .topic = slot->items_topic,
                                .parent_id = slot->req.last_param,
                                .command_id = slot->command_id,
                                .source = slot_source(slot),
                                .delivery = EVENT_POLL};

    slot->items = items_new(en, &of, page->results, page->n, e);
    return slot->items != NULL ? 0 : -1;
}

void list_refused(struct engine *en, struct slot *slot, size_t item,
                  const struct kafka_tick *tick)
{
    const char *kind = "topic-refused", *why;
    bool record = item >= items_count(slot->items); /* of the job */

    if (!record && tick->bad_too_large && items_slim(en, slot->items, item))
        return;
    if (record) {
        kind = "too-large";
        why = arena_printf(&slot->arena, "topic %s refused the record of the list: %s",
                           en->jobs_topic, tick->why);
    } else {
        why = items_refused(slot->items, item, tick->why, &slot->arena);
        topic_forget(en, slot->items_topic->name);
    }
    slot->became_job = false;
    slot->job = (struct kafka_output){.topic = NULL};
    items_free(slot->items);
    slot->items = NULL;
    answer_again(en, slot, FAILED, kind, why);
}

/* Whatever is not the whole answer of a list is no success: items would be missing. */
int list_read(const struct op *op, const struct list_answer *answer, int64_t most,
              struct list_page *page, struct err *e)
{
    struct str body = answer->body, next;
    struct str element;
    size_t pos = 0;

    if (answer->end == HTTP_TOO_LARGE)
        return err_input(
            e, "too-large", "the page is larger than front.max.response.bytes: %s",
            op->paged ? "ask for fewer items with limit, or raise it" : "raise it");
    *page = (struct list_page){.results = STR_NULL};
    if (answer->end == HTTP_ANSWERED && json_is_valid(body))
        page->results = json_member(body, "_results");
    if (page->results.len == 0 || page->results.ptr[0] != '[')
        return err_input(e, "front", "Front answered %d without a list of _results",
                         answer->status);
    page->most = most >= 0 && (uint64_t)most < SIZE_MAX ? (size_t)most : SIZE_MAX;
    while (page->n < page->most && json_next(page->results, &pos, &element))
        page->n++;
    next = json_member_path(body, "_pagination.next");
    page->next = next.ptr != NULL && json_text_is_null(next) ? STR_NULL : next;
    page->more = page->next.ptr != NULL && page->n < page->most;
    return 0;
}

int list_token(const struct list_page *page, struct arena *a, struct str *token,
               struct err *e)
{
    struct str link, rest;

    *token = STR_NULL;
    if (json_unquote_arena(page->next, a, &link) != 0)
        return err_input(e, "page-link", "_pagination.next is no text");
    rest = link;
    (void)str_split(&rest, '?');
    while (rest.ptr != NULL && token->ptr == NULL) {
        struct str pair = str_split(&rest, '&'), name = str_split(&pair, '=');
        if (str_is(name, "page_token") && pair.len > 0 && pair.len <= TOKEN_MAX_BYTES)
            *token = request_decode(pair, a);
    }
    if (token->ptr == NULL)
        return err_input(e, "page-link", "_pagination.next has no page_token: %.*s",
                         link.len > 200 ? 200 : (int)link.len, link.ptr);
    return 0;
}

void list_keep(struct list_page *page, bool (*wanted)(void *arg, struct str row),
               void *arg, struct arena *a)
{
    char *kept = arena_alloc(a, page->results.len + 2);
    size_t pos = 0, len = 0, n = 0;
    struct str row;

    kept[len++] = '[';
    for (size_t i = 0; i < page->n && json_next(page->results, &pos, &row); i++) {
        if (!wanted(arg, row))
            continue;
        if (n++ > 0)
            kept[len++] = ',';
        memcpy(kept + len, row.ptr, row.len);
        len += row.len;
    }
    kept[len++] = ']';
    page->results = (struct str){kept, len};
    page->n = n;
}

int64_t list_max_items(const struct command *cmd)
{
    const struct pair *p = request_param(cmd, STR_LIT("max_items"));
    struct err e = ERR_INIT;
    int64_t n = -1;

    if (p != NULL && parse_i64(p->value, 0, INT64_MAX, &n, &e) != 0)
        n = -1; /* was checked */
    return n;
}

void list_topic_name(const struct engine *en, const struct op *op,
                     char name[LIST_TOPIC_MAX])
{
    if (op->items == &item_event)
        (void)snprintf(name, LIST_TOPIC_MAX, "%s", en->o.events_topic);
    else
        (void)snprintf(name, LIST_TOPIC_MAX, "%s%s", en->o.resources_prefix,
                       op->resource);
}

enum topic_answer list_topic(struct engine *en, struct slot *slot, const struct op *op,
                             const struct topic **topic, struct err *e)
{
    enum topic_answer answer;
    char name[LIST_TOPIC_MAX];

    *topic = NULL;
    list_topic_name(en, op, name);
    answer = topic_ask(en, slot, str_of(name), true, topic);
    if (answer == TOPIC_OK)
        return registered_items(en, slot, op, name, e);
    if (answer == TOPIC_MISSING)
        (void)err_input(e, "topic-missing",
                        "the items of %s go to topic %s: %s; create it%s, or set "
                        "topics.create = true and allow Create",
                        op->name, name,
                        *topic != NULL ? (*topic)->why : "too many topics",
                        op->items == &item_event ? "" : " (cleanup.policy=compact)");
    return answer;
}

/* What came is in the result, as far as it may be. */
static void fail(struct engine *en, struct slot *slot, const struct http_call *http,
                 const struct err *e)
{
    answer_call(en, slot, http, FAILED, e->reason,
                arena_printf(&slot->arena, "%s", e->text));
}
