/* Fan-out (`with=`): after each page of a list, for each of its rows, the lists below
 * that row, one after the other. Where it has come to is in the job's record: the page's
 * rows whose lists are still to be read, by id; the list of the first of them; that
 * list's page. So whoever takes the job over goes on inside the page, without asking
 * Front for it again, whatever has moved there since. */
#include "engine/internal.h"

#include "codec/json.h"
#include "front/with.h"

static void take_rows(struct job_record *jr, struct str results, size_t n,
                      struct arena *a);

void fan_begin(struct job_record *jr, const struct op *op, const struct list_page *page,
               struct arena *a)
{
    struct err e = ERR_INIT;
    struct with with;

    fan_clear(jr);
    if (with_read(jr->params, jr->n_params, op, &with, &e) != 0 || with.n == 0)
        return;
    take_rows(jr, page->results, page->n, a);
    if (jr->n_fan_rows == 0)
        return;
    jr->fan_list = str_of(with.lists[0]->name);
    jr->fan_last = !page->more;
}

/* What has no id has no lists either. */
static void take_rows(struct job_record *jr, struct str results, size_t n,
                      struct arena *a)
{
    struct str row, id;
    size_t pos = 0;

    jr->fan_rows = arena_zalloc(a, (n + 1) * sizeof *jr->fan_rows);
    for (size_t i = 0; i < n && json_next(results, &pos, &row); i++)
        if (json_unquote_arena(json_member(row, "id"), a, &id) == 0 && id.len > 0)
            jr->fan_rows[jr->n_fan_rows++] = id;
}

void fan_clear(struct job_record *jr)
{
    jr->fan_rows = NULL;
    jr->n_fan_rows = 0;
    jr->fan_list = jr->fan_token = STR_NULL;
    jr->fan_last = false;
}

bool fan_runs(const struct job_record *jr)
{
    return jr->n_fan_rows > 0;
}

/* A row's list, all of it: the parameters of the list above are not its own. */
struct command fan_command(const struct job_record *jr, const struct op *op,
                           struct arena *a)
{
    struct command cmd = {.operation = str_of(op->name)};

    cmd.params = arena_zalloc(a, 2 * sizeof *cmd.params);
    for (size_t i = 0; i < op->record->n_fields; i++)
        if (op->record->fields[i].place == PLACE_PATH)
            cmd.params[0].name = str_of(op->record->fields[i].name);
    cmd.params[0].value = jr->fan_rows[0];
    cmd.n_params = 1;
    if (jr->fan_token.ptr != NULL)
        cmd.params[cmd.n_params++] =
            (struct pair){.name = STR_LIT("page_token"), .value = jr->fan_token};
    return cmd;
}

const struct op *fan_op(const struct job_record *jr)
{
    return op_find(fan_runs(jr) ? jr->fan_list : jr->operation);
}

bool fan_next(struct job_record *jr, const struct op *op)
{
    struct err e = ERR_INIT;
    struct with with;
    size_t i = 0;

    if (with_read(jr->params, jr->n_params, op, &with, &e) != 0)
        with.n = 0;
    while (i < with.n && !str_is(jr->fan_list, with.lists[i]->name))
        i++;
    jr->fan_token = STR_NULL;
    if (i + 1 < with.n) {
        jr->fan_list = str_of(with.lists[i + 1]->name);
        return true;
    }
    jr->fan_rows++;
    jr->n_fan_rows--;
    if (jr->n_fan_rows > 0) {
        jr->fan_list = str_of(with.lists[0]->name);
        return true;
    }
    bool last = jr->fan_last;
    fan_clear(jr);
    return !last;
}
