/* `jobs`: the lists that go on after their first page, as the jobs topic has them; and
 * the request to cancel one. Works without a running connector. */
#include "cli/cli.h"

#include <string.h>
#include <time.h>

#include "base/map.h"
#include "base/mem.h"
#include "cli/json_out.h"
#include "cli/launch.h"
#include "codec/json.h"
#include "codec/records/job.h"

#define POLL_MS 1000
#define PRODUCE_MS 30000
#define LINE_MAX_BYTES (16 * 1024 * 1024)
#define BAR_WIDTH 20

/* The newest record of a key. */
struct entry {
    UT_hash_handle hh;
    char *key;
    int32_t partition;
    struct str value; /* owned */
};

struct jobs {
    struct cli *c;
    struct schemas *ss;
    struct entry *newest;
    const struct settings *s;
    const struct kafka_options *kafka;
};

static int read_all(struct jobs *j, struct err *e);
static void keep(struct jobs *j, const struct kafka_record *rec);
static void drop(struct jobs *j, struct entry *entry);
static int list_jobs(struct jobs *j);
static void print_json(struct jobs *j, const struct entry *entry);
static void print_text(struct jobs *j, const struct entry *entry,
                       const struct job_record *jr);
static bool entry_rests(struct jobs *j, const struct entry *entry);
static int cancel_job(struct jobs *j, const char *id);
static struct entry *find(const struct jobs *j, struct str key);

int cli_jobs(struct cli *c)
{
    struct jobs j = {.c = c};
    struct err e = ERR_INIT;
    struct entry *entry, *tmp;
    struct settings s;
    struct launch l;
    int code;

    if (c->n_args > 0 && (strcmp(c->args[0], "cancel") != 0 || c->n_args != 2))
        return cli_usage(c, "jobs, or jobs cancel ID");
    if (cli_settings(c, NEED_KAFKA, &s) != 0) {
        settings_close(&s);
        return EXIT_USAGE;
    }
    launch_init(&l, &s);
    j.s = &s;
    j.kafka = &l.kafka;
    j.ss = schemas_new(s.schemas_dir, &e);
    if (j.ss == NULL || read_all(&j, &e) != 0)
        code = cli_fail(c, e.kind == ERR_SETTINGS ? EXIT_USAGE : EXIT_FAILED, "%s: %s",
                        s.jobs_topic, e.text);
    else
        code = c->n_args > 0 ? cancel_job(&j, c->args[1]) : list_jobs(&j);
    HASH_ITER (hh, j.newest, entry, tmp)
        drop(&j, entry);
    schemas_free(j.ss);
    launch_fini(&l);
    settings_close(&s);
    return code;
}

static int read_all(struct jobs *j, struct err *e)
{
    struct kafka_reader *r =
        kafka_reader_open_wait(j->kafka, j->s->jobs_topic, FROM_BEGINNING, 0, e);
    struct kafka_record rec;
    int got = 0;

    while (r != NULL && got != 2 && got >= 0) {
        got = kafka_reader_next_wait(r, POLL_MS, &rec, e);
        if (got != 1)
            continue;
        keep(j, &rec);
        kafka_reader_release(r, &rec);
    }
    kafka_reader_free(r);
    return r != NULL && got == 2 ? 0 : -1;
}

static void keep(struct jobs *j, const struct kafka_record *rec)
{
    struct entry *entry = rec->key.ptr != NULL ? find(j, rec->key) : NULL;

    if (rec->key.ptr == NULL)
        return;
    if (entry != NULL)
        drop(j, entry);
    if (rec->value.ptr == NULL)
        return;
    entry = mem_zalloc(sizeof(*entry));
    entry->key = mem_strndup(rec->key.ptr, rec->key.len);
    entry->partition = rec->at.partition;
    entry->value = (struct str){mem_dup(rec->value.ptr, rec->value.len), rec->value.len};
    HASH_ADD_KEYPTR(hh, j->newest, entry->key, rec->key.len, entry);
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

/* What cannot be read is no job of ours, or a request to cancel one. */
static int list_jobs(struct jobs *j)
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
            if (cli_has(j->c, "json"))
                print_json(j, entry);
            else
                print_text(j, entry, &jr);
        }
        arena_fini(&a);
    }
    if (n == 0 && !cli_has(j->c, "json"))
        fprintf(j->c->err, "no list is going on\n");
    return ferror(j->c->out) ? EXIT_FAILED : EXIT_DONE;
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

    fprintf(out, "%s  %.*s  %lld page%s, %lld", entry->key, STR_ARG(jr->operation),
            (long long)jr->pages, jr->pages == 1 ? "" : "s", (long long)jr->items);
    if (jr->max_items > 0)
        fprintf(out, " of %lld", (long long)jr->max_items);
    fputs(" items", out);
    if (j->c->colour && jr->max_items > 0) {
        int64_t done = jr->walk_items * BAR_WIDTH / jr->max_items;
        fputs("  [", out);
        for (int i = 0; i < BAR_WIDTH; i++)
            fputc(i < done ? '#' : '.', out);
        fputc(']', out);
    }
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
