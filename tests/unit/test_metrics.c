/* Metrics and their page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/metrics.h"

enum { PLAIN, CLOSED, TWO, SECONDS, LEVEL };

static const char *const outcomes[] = {"GOOD", "BAD", NULL};
static const struct metric_row rows[] = {
    {"plain_total", METRIC_COUNTER, "", NULL, "Plain."},
    {"closed_total", METRIC_COUNTER, "outcome", outcomes, "By outcome."},
    {"two", METRIC_GAUGE, "topic,partition", NULL, "Two labels."},
    {"seconds", METRIC_HISTOGRAM, "kind", NULL, "Durations."},
    {"level", METRIC_GAUGE, "", NULL, "A level."},
};

static const char *page(struct metrics *ms)
{
    static char text[1 << 20];
    struct buf b;

    buf_init(&b, sizeof(text) - 1);
    metrics_print(ms, &b);
    assert_false(b.over);
    memcpy(text, b.data, b.len + 1);
    buf_fini(&b);
    return text;
}

static void assert_line(const char *text, const char *line)
{
    if (strstr(text, line) == NULL)
        print_message("%s\nlacks %s", text, line);
    assert_non_null(strstr(text, line));
}

static void known_series_are_there_from_the_start(void **state)
{
    struct metrics *ms = metrics_new(rows, 5);
    const char *text = page(ms);

    (void)state;
    assert_line(text, "# HELP front_connector_plain_total Plain.\n"
                      "# TYPE front_connector_plain_total counter\n"
                      "front_connector_plain_total 0\n");
    assert_line(text, "front_connector_closed_total{outcome=\"GOOD\"} 0\n"
                      "front_connector_closed_total{outcome=\"BAD\"} 0\n");
    assert_line(text, "# TYPE front_connector_two gauge\n# HELP");
    metrics_free(ms);
}

static void series_keep_their_place_and_value(void **state)
{
    struct metrics *ms = metrics_new(rows, 5);
    struct metric *m = metrics_get(ms, TWO, "a\"\\\nb", "0", NULL);
    struct metric *good = metrics_get(ms, CLOSED, "GOOD", NULL);
    const char *text;
    char name[32];
    int i;

    (void)state;
    for (i = 0; i < 100; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        metric_set(metrics_get(ms, TWO, "t", name, NULL), i + 0.5);
    }
    metric_set(m, 1700000000123.0);
    metric_add(good, 2);
    metric_add(good, 1);
    assert_true(metric_value(good) == 3);
    assert_ptr_equal(metrics_get(ms, CLOSED, "GOOD", NULL), good);
    assert_ptr_equal(metrics_get(ms, TWO, "a\"\\\nb", "0", NULL), m);
    metric_set(metrics_get(ms, LEVEL, NULL), (double)NAN);
    text = page(ms);
    assert_line(text, "front_connector_two{topic=\"a\\\"\\\\\\nb\",partition=\"0\"} "
                      "1700000000123\n");
    assert_line(text, "front_connector_two{topic=\"t\",partition=\"7\"} 7.5\n");
    assert_line(text, "front_connector_closed_total{outcome=\"GOOD\"} 3\n");
    assert_line(text, "front_connector_level NaN\n");
    metrics_free(ms);
}

static void histograms_are_cumulative(void **state)
{
    struct metrics *ms = metrics_new(rows, 5);
    struct metric *m = metrics_get(ms, SECONDS, "x", NULL);
    const char *text;

    (void)state;
    metric_observe(m, 0.005); /* bounds belong to their bucket */
    metric_observe(m, 0.3);
    metric_observe(m, 4000);
    assert_true(metric_value(m) == 3);
    text = page(ms);
    assert_line(text, "front_connector_seconds_bucket{kind=\"x\",le=\"0.005\"} 1\n");
    assert_line(text, "front_connector_seconds_bucket{kind=\"x\",le=\"0.25\"} 1\n");
    assert_line(text, "front_connector_seconds_bucket{kind=\"x\",le=\"0.5\"} 2\n");
    assert_line(text, "front_connector_seconds_bucket{kind=\"x\",le=\"3600\"} 2\n");
    assert_line(text, "front_connector_seconds_bucket{kind=\"x\",le=\"+Inf\"} 3\n");
    assert_line(text, "front_connector_seconds_sum{kind=\"x\"} 4000.305\n");
    assert_line(text, "front_connector_seconds_count{kind=\"x\"} 3\n");
    metrics_free(ms);
}

static void a_family_has_a_cap(void **state)
{
    struct metrics *ms = metrics_new(rows, 5);
    struct metric *other;
    char name[32];
    int i;

    (void)state;
    for (i = 0; i < 2000; i++) {
        (void)snprintf(name, sizeof(name), "%d", i);
        (void)metrics_get(ms, TWO, name, "0", NULL);
    }
    other = metrics_get(ms, TWO, "2000", "0", NULL);
    assert_ptr_equal(metrics_get(ms, TWO, "2001", "0", NULL), other);
    assert_true(metrics_get(ms, TWO, "1999", "0", NULL) != other);
    metric_add(other, 5);
    assert_line(page(ms), "front_connector_two{topic=\"other\",partition=\"other\"} 5\n");
    metrics_free(ms);
}

static void the_process_is_on_the_page(void **state)
{
    static const char *const names[] = {
        "process_cpu_seconds_total",  "process_resident_memory_bytes", "process_open_fds",
        "process_start_time_seconds", "process_virtual_memory_bytes",  "process_max_fds"};
    struct metrics *ms = metrics_new(rows, 5);
    const char *text = page(ms);
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char line[64];
        const char *at;

        (void)snprintf(line, sizeof(line), "\n%s ", names[i]);
        at = strstr(text, line);
        assert_non_null(at);
        if (i > 0)
            assert_true(at[strlen(line)] > '0' && at[strlen(line)] <= '9');
    }
    metrics_free(ms);
    metrics_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_series_are_there_from_the_start),
        cmocka_unit_test(series_keep_their_place_and_value),
        cmocka_unit_test(histograms_are_cumulative),
        cmocka_unit_test(a_family_has_a_cap),
        cmocka_unit_test(the_process_is_on_the_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
