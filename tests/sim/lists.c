/* What Front's lists show: the rows that executions made, once they are to be seen, among
 * those of people and of another program. Owns nothing. */
#include "world.h"

#include <stdio.h>
#include <string.h>

static void add_row(struct list *list, struct row row)
{
    int at = list->n;
    if (list->n == ROWS_MAX) {
        list->whole = false; /* there is a next page, and it is not asked for */
        if (row.at < list->rows[--at].at)
            return;
    } else {
        list->n++;
    }
    for (; at > 0 && list->rows[at - 1].at < row.at; at--)
        list->rows[at] = list->rows[at - 1];
    list->rows[at] = row;
}

struct list list_now(struct world *w, int thing, int cmd, uint64_t asker)
{
    const struct cmd *about = &w->cmds[thing];
    struct list list = {.whole = true};
    bool shown = false;
    for (int i = 0; i < w->n_cmds; i++) {
        const struct cmd *c = &w->cmds[i];
        for (int m = 0; c->thing == thing && m < c->n_made; m++)
            if (c->made[m].visible_at <= w->now &&
                (asker == 0 || c->made[m].hidden_from != asker)) {
                add_row(&list, (struct row){i, m, c->made[m].at, true, true});
                shown |= i == cmd;
            }
    }
    /* People write now and then, all through the seed. */
    for (int h = 0; h < about->humans; h++) {
        int64_t at = (h * 7919 + thing * 104729) % w->faults_end;
        if (at <= w->now)
            add_row(&list, (struct row){-1, h, at, false, false});
    }
    /* Another program writes about when we do: the same, where ours stands beside it. */
    int64_t at = about->first_send > 0 ? about->first_send + 500 : w->faults_end / 2;
    if (about->stranger && w->now > at)
        add_row(&list, (struct row){-1, 1000, at, true, shown});
    return list;
}

const char *list_id(const struct world *w, int cmd, int made, char out[32])
{
    const char *kind = cmd < 0 || w->cmds[cmd].proves ? "com" : "dra";
    (void)snprintf(out, 32, "%s_%dx%d", kind, cmd < 0 ? CMDS_MAX : cmd, made);
    return out;
}

void list_print(const struct world *w, int thing, const struct list *list,
                struct buf *out)
{
    const char *time = w->cmds[thing].proves ? "posted_at" : "created_at";
    (void)buf_printf(out, "{\"_pagination\":{\"next\":%s},\"_results\":[",
                     list->whole ? "null" : "\"https://front/next?page_token=2\"");
    for (int i = 0; i < list->n; i++) {
        const struct row *row = &list->rows[i];
        char id[32];
        (void)buf_printf(
            out, "%s{\"id\":\"%s\",\"%s\":%lld.%03d,\"author\":%s,\"body\":\"%s\"}",
            i > 0 ? "," : "", list_id(w, row->cmd, row->made, id), time,
            (long long)((EPOCH_MS + row->at) / 1000), (int)((EPOCH_MS + row->at) % 1000),
            row->api ? "null" : "{\"id\":\"tea_1\"}", row->same ? "hi" : "no");
    }
    (void)buf_add_cstr(out, "]}");
}
