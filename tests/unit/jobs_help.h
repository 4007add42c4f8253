/* Plays of lists and syncs: their pages, records, results. For the tests that include it.
 */
#ifndef TESTS_UNIT_JOBS_HELP_H
#define TESTS_UNIT_JOBS_HELP_H

#include "play.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/records/job.h"
#include "codec/records/result.h"

/* While a call runs, ticks without a record show that we live. */
static inline void live(struct play *p)
{
    turn(p);
    if (p->tick != NULL && p->tick->n_outputs == 0)
        end_tick(p, TICK_COMMITTED);
}

static inline struct play *begin(void)
{
    struct play *p = play_with_jobs();
    play_start(p);
    live(p);
    return p;
}

static inline void end(struct play *p)
{
    void *state = p;
    (void)play_tear_down(&state);
}

/* A page of `rows` rows; `next` is its link, or NULL. */
static inline void page(struct play *p, int rows, const char *next)
{
    struct buf body;
    buf_init(&body, 4096);
    (void)buf_printf(&body, "{\"_pagination\":{\"next\":%s%s%s},\"_results\":[",
                     next ? "\"" : "", next ? next : "null", next ? "\"" : "");
    for (int i = 0; i < rows; i++)
        (void)buf_printf(&body, "%s{\"id\":\"crd_%d\"}", i > 0 ? "," : "", i);
    (void)buf_add_cstr(&body, "]}");
    assert_true(p->n_calls > 0);
    assert_true(answer(p, 200, body.data));
    buf_fini(&body);
    turn(p);
}

static inline const struct kafka_output *output(const struct play *p, size_t i)
{
    assert_non_null(p->tick);
    assert_true(i < p->tick->n_outputs);
    return &p->tick->outputs[i];
}

/* What is to be read lives until the test ends. */
static struct arena arena;

static inline struct job_record record_of(struct play *p, const struct kafka_output *out)
{
    struct job_record jr;
    struct err e = ERR_INIT;
    assert_string_equal(out->topic, jobs_topic);
    assert_int_equal(out->partition, 0);
    assert_int_equal(job_record_decode(p->ss, out->value, &arena, &jr, &e), 0);
    return jr;
}

static inline struct result result_of(struct play *p, const struct kafka_output *out)
{
    struct result res;
    struct err e = ERR_INIT;
    assert_string_equal(out->topic, "results");
    assert_int_equal(result_decode(p->ss, out->value, &arena, &res, &e), 0);
    return res;
}

static inline struct str encoded(struct play *p, const struct job_record *jr)
{
    struct buf bytes;
    buf_init(&bytes, 1 << 16);
    assert_int_equal(job_record_encode(p->ss, jr, &bytes), 0);
    struct str s = {arena_strndup(&arena, bytes.data, bytes.len), bytes.len};
    buf_fini(&bytes);
    return s;
}

static inline void give(struct play *p, int64_t offset, const struct job_record *jr)
{
    char key[80];
    snprintf(key, sizeof key, "%.*s", STR_ARG(jr->id));
    job_came(p, offset, key, encoded(p, jr));
}

static inline void status_says(struct play *p, const char *text)
{
    struct engine_health h = {0};
    struct buf out;
    buf_init(&out, 1 << 16);
    engine_status_json(p->en, &h, &out);
    if (strstr(out.data, text) == NULL)
        fail_msg("no %s in %s", text, out.data);
    buf_fini(&out);
}

static inline int set_up(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
