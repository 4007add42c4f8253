/* `jobs`: the lists that go on after their first page, as the jobs topic has them; and
 * the request to cancel one. Works without a running connector. */
#include "cli/cli.h"

#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/mem.h"
#include "cli/json_out.h"
#include "cli/launch.h"
#include "codec/json.h"
#include "codec/records/job.h"

#define POLL_MS 1000
#define PRODUCE_MS 30000
#define LINE_MAX_BYTES (16 * 1024 * 1024)
#define REFRESH_MS 1000
#define BAR_WIDTH 20
/* Of the terminal: over what was shown before, without breaking long lines; back. */
#define DRAW_BEGIN "\r\033[J\033[?7l"
#define DRAW_END "\033[?7h"

/* The newest record of a key. */
struct entry {
    UT_hash_handle hh;
    char *key;
    int32_t partition;
    struct str value; /* owned */
    bool fresh;       /* not shown yet as it is */
};

struct jobs {
    struct cli *c;
    bool json, bars;
    struct schemas *ss;
    struct kafka_reader *reader;
    struct entry *newest;
    const struct settings *s;
    const struct kafka_options *kafka;
};

static int read_all(struct jobs *j, struct err *e);
static void keep(struct jobs *j, const struct kafka_record *rec);
static void drop(struct jobs *j, struct entry *entry);
static int list_jobs(struct jobs *j);
static int watch_jobs(struct jobs *j);
static size_t draw(struct jobs *j, size_t lines);
static size_t print_jobs(struct jobs *j);
static void print_json(struct jobs *j, const struct entry *entry);
static void print_text(struct jobs *j, const struct entry *entry,
                       const struct job_record *jr);
static bool entry_rests(struct jobs *j, const struct entry *entry);
static void print_bar(FILE *out, const struct job_record *jr);
static int cancel_job(struct jobs *j, const char *id);
static struct entry *find(const struct jobs *j, struct str key);

int cli_jobs(struct cli *c)
{
    struct jobs j = {.c = c, .json = cli_has(c, "json")};
    struct err e = ERR_INIT;
    struct entry *entry, *tmp;
    struct settings s;
    struct launch l;
    int code;

    if (c->n_args > 0 &&
        (strcmp(c->args[0], "cancel") != 0 || c->n_args != 2 || cli_has(c, "watch")))
        return cli_usage(c, "jobs, or jobs cancel ID");
    if (cli_settings(c, NEED_KAFKA, &s) != 0) {
        settings_close(&s);
        return EXIT_USAGE;
    }
    launch_init(&l, &s);
    j.bars = c->colour && !j.json;
    j.s = &s;
    j.kafka = &l.kafka;
    j.ss = schemas_new(s.schemas_dir, &e);
    if (j.ss == NULL || read_all(&j, &e) != 0)
        code =
            cli_fail(c, e.kind == ERR_SETTINGS ? EXIT_USAGE : EXIT_FAILED, "%s", e.text);
    else if (c->n_args > 0)
        code = cancel_job(&j, c->args[1]);
    else
        code = cli_has(c, "watch") ? watch_jobs(&j) : list_jobs(&j);
    kafka_reader_free(j.reader);
    HASH_ITER (hh, j.newest, entry, tmp)
        drop(&j, entry);
    schemas_free(j.ss);
    launch_fini(&l);
    settings_close(&s);
    return code;
}

static int read_all(struct jobs *j, struct err *e)
{
    struct kafka_record rec;
    int got = 0;

    j->reader = kafka_reader_open_wait(j->kafka, j->s->jobs_topic, FROM_BEGINNING, 0, e);
    while (j->reader != NULL && got != 2 && got >= 0) {
        got = kafka_reader_next_wait(j->reader, POLL_MS, &rec, e);
        if (got != 1)
            continue;
        keep(j, &rec);
        kafka_reader_release(j->reader, &rec);
    }
    return j->reader != NULL && got == 2 ? 0 : -1;
}

/* One that is there keeps its place, so that its line does. */
static void keep(struct jobs *j, const struct kafka_record *rec)
{
    struct entry *entry = rec->key.ptr != NULL ? find(j, rec->key) : NULL;

    if (rec->key.ptr == NULL)
        return;
    if (rec->value.ptr == NULL) {
        if (entry != NULL)
            drop(j, entry);
        return;
    }
    if (entry == NULL) {
        entry = mem_zalloc(sizeof(*entry));
        entry->key = mem_strndup(rec->key.ptr, rec->key.len);
        HASH_ADD_KEYPTR(hh, j->newest, entry->key, rec->key.len, entry);
    }
    mem_free(mem_unconst(entry->value.ptr));
    entry->partition = rec->at.partition;
    entry->value = (struct str){mem_dup(rec->value.ptr, rec->value.len), rec->value.len};
    entry->fresh = true;
}

static void drop(struct jobs *j, struct entry *entry)
{
    HASH_DEL(j->newest, entry);
    mem_free(mem_unconst(entry->value.ptr));
    mem_free(entry->key);
    mem_free(entry);
}

static struct entry *find(const struct jobs *j, struct str key)
{
    struct entry *entry = NULL;

    HASH_FIND(hh, j->newest, key.ptr, key.len, entry);
    return entry;
}

/* --- what there is --- */

static int list_jobs(struct jobs *j)
{
    if (print_jobs(j) == 0 && !j->json)
        fprintf(j->c->err, "no list is going on\n");
    return ferror(j->c->out) ? EXIT_FAILED : EXIT_DONE;
}

/* Until it is interrupted: on a terminal all of them again and again, else those that
 * went on. */
static int watch_jobs(struct jobs *j)
{
    struct err e = ERR_INIT;
    struct kafka_record rec;
    size_t lines = 0;
    int got = 0;

    while (got >= 0 && !ferror(j->c->out)) {
        int64_t until = clock_now(&clock_system) + REFRESH_MS, left = REFRESH_MS;
        lines = draw(j, lines);
        for (; got >= 0 && left > 0; left = until - clock_now(&clock_system)) {
            got = kafka_reader_next_wait(j->reader, left, &rec, &e);
            if (got != 1)
                continue;
            keep(j, &rec);
            kafka_reader_release(j->reader, &rec);
        }
    }
    return got < 0 ? cli_fail(j->c, EXIT_FAILED, "%s: %s", j->s->jobs_topic, e.text)
                   : EXIT_FAILED;
}

/* In place of so many lines; how many there are now. */
static size_t draw(struct jobs *j, size_t lines)
{
    size_t n;

    if (j->bars && lines > 0)
        fprintf(j->c->out, "\033[%zuA", lines);
    fputs(j->bars ? DRAW_BEGIN : "", j->c->out);
    n = print_jobs(j);
    fputs(j->bars ? DRAW_END : "", j->c->out);
    (void)fflush(j->c->out);
    return n;
}

/* How many there are. What cannot be read is no job of ours, or a request to cancel one.
 */
static size_t print_jobs(struct jobs *j)
{
    struct entry *entry, *tmp;
    size_t n = 0;

    HASH_ITER (hh, j->newest, entry, tmp) {
        struct job_record jr;
        struct err e = ERR_INIT;
        struct arena a;

        arena_init(&a, 0);
        if (job_record_decode(j->ss, entry->value, &a, &jr, &e) == 0) {
            n++;
            if (j->json && entry->fresh)
                print_json(j, entry);
            else if (j->bars || (!j->json && entry->fresh))
                print_text(j, entry, &jr);
        }
        entry->fresh = false;
        arena_fini(&a);
    }
    return n;
}

static void print_json(struct jobs *j, const struct entry *entry)
{
    struct err e = ERR_INIT;
    struct buf line;

    buf_init(&line, LINE_MAX_BYTES);
    if (avro_to_json(j->ss, entry->value, &line, &e) == 0)
        fprintf(j->c->out, "%.*s\n", STR_ARG(buf_str(&line)));
    buf_fini(&line);
}

static bool rests(const struct job_record *jr)
{
    return str_is(jr->kind, "sync") && str_is(jr->state, "waiting");
}

static void print_next_run(FILE *out, const struct job_record *jr)
{
    time_t at = (time_t)(jr->next_run_at / 1000);
    char text[32] = "";
    struct tm tm;

    if (gmtime_r(&at, &tm) != NULL)
        (void)strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
    fprintf(out, ", next run at %s", text);
}

/* How far it has come is known only when max_items says where it ends. */
static void print_text(struct jobs *j, const struct entry *entry,
                       const struct job_record *jr)
{
    char *cancel_key = mem_printf("%s%s", entry->key, JOB_CANCEL);
    bool asked = find(j, str_of(cancel_key)) != NULL;
    FILE *out = j->c->out;

    fprintf(out, "%s  %.*s  ", entry->key, STR_ARG(jr->operation));
    if (j->bars)
        print_bar(out, jr);
    fprintf(out, "%lld page%s, %lld", (long long)jr->pages, jr->pages == 1 ? "" : "s",
            (long long)(jr->max_items > 0 ? jr->walk_items : jr->items));
    if (jr->max_items > 0)
        fprintf(out, " of %lld", (long long)jr->max_items);
    fputs(" items", out);
    if (jr->n_fan_rows > 0)
        fprintf(out, ", %.*s of %.*s", STR_ARG(jr->fan_list), STR_ARG(jr->fan_rows[0]));
    if (jr->restarts > 0)
        fprintf(out, ", begun anew %lld time%s", (long long)jr->restarts,
                jr->restarts == 1 ? "" : "s");
    if (rests(jr))
        print_next_run(out, jr);
    if (rests(jr) && jr->error.ptr != NULL)
        fprintf(out, ", the last one failed: %.*s", STR_ARG(jr->error));
    fprintf(out, "%s\n", asked ? ", to be cancelled" : "");
    mem_free(cancel_key);
}

/* How far it has come is known only when max_items says where it ends; else a mark moves
 * with each page. */
static void print_bar(FILE *out, const struct job_record *jr)
{
    bool known = jr->max_items > 0;
    int64_t done = known ? jr->walk_items * BAR_WIDTH / jr->max_items : 0;
    int64_t mark = known ? -1 : jr->pages % BAR_WIDTH;

    fputc('[', out);
    for (int i = 0; i < BAR_WIDTH; i++)
        fputc(i < done || i == mark ? '#' : '.', out);
    fputs("] ", out);
    if (known)
        fprintf(out, "%3lld %%  ", (long long)(jr->walk_items * 100 / jr->max_items));
}

/* --- cancel --- */

static bool entry_rests(struct jobs *j, const struct entry *entry)
{
    struct err e = ERR_INIT;
    struct job_record jr;
    struct arena a;
    bool yes;

    arena_init(&a, 0);
    yes = job_record_decode(j->ss, entry->value, &a, &jr, &e) == 0 && rests(&jr);
    arena_fini(&a);
    return yes;
}

static int cancel_job(struct jobs *j, const char *id)
{
    struct entry *entry = find(j, str_of(id));
    struct err e = ERR_INIT;
    int64_t offset;

    if (entry == NULL)
        return cli_fail(j->c, EXIT_FAILED,
                        "no list %s is going on; `jobs` names those that are", id);
    if (entry_rests(j, entry))
        return cli_fail(j->c, EXIT_FAILED,
                        "%s waits for its next run: there is nothing to cancel", id);
    char *key = mem_printf("%s%s", id, JOB_CANCEL);
    struct kafka_output out = {.topic = j->s->jobs_topic,
                               .partition = entry->partition,
                               .key = str_of(key),
                               .value = STR_LIT("cancel")};
    int rc = kafka_produce_wait(j->kafka, &out, PRODUCE_MS, &offset, &e);
    mem_free(key);
    if (rc != 0)
        return cli_fail(j->c, EXIT_FAILED, "%s: %s", j->s->jobs_topic, e.text);
    fprintf(j->c->err, "asked to cancel %s: its result will say CANCELLED\n", id);
    return EXIT_DONE;
}
