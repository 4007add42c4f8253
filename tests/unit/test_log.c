/* Log lines, caught in a pipe in place of stderr. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

static int real_stderr, caught[2];

static int set_up(void **state)
{
    (void)state;
    real_stderr = dup(STDERR_FILENO);
    if (pipe2(caught, O_NONBLOCK | O_CLOEXEC) != 0 || dup2(caught[1], STDERR_FILENO) < 0)
        return -1;
    log_setup(LOG_INFO, LOG_TEXT);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    log_buffered(false);
    (void)dup2(real_stderr, STDERR_FILENO);
    (void)close(real_stderr);
    (void)close(caught[0]);
    (void)close(caught[1]);
    return 0;
}

static const char *written(void)
{
    static char text[65536 + 1];
    ssize_t n = read(caught[0], text, sizeof(text) - 1);

    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void lines_have_time_level_event_and_text(void **state)
{
    const char *text;
    uint64_t before = log_count(LOG_WARN);

    (void)state;
    log_warn("thing.happened", "it was %d", 7);
    text = written();
    assert_int_equal(strspn(text, "0123456789-T:.Z"), strlen("2024-01-01T00:00:00.000Z"));
    assert_non_null(strstr(text, "Z WARN  thing.happened: it was 7\n"));
    assert_int_equal(log_count(LOG_WARN), before + 1);
    log_debug("quiet", "not wanted");
    assert_string_equal(written(), "");
    log_setup(LOG_DEBUG, LOG_TEXT);
    log_debug("loud", "wanted");
    assert_non_null(strstr(written(), "DEBUG loud: wanted"));
}

static void one_event_is_one_line(void **state)
{
    const char *text;

    (void)state;
    log_error("e", "a\nb\r\x1b[31m\x7f \xc3\xa4");
    text = written();
    assert_non_null(strstr(text, "e: a\\nb\\x0d\\x1b[31m\\x7f \xc3\xa4\n"));
    log_error("e", "bad \xff bytes");
    assert_non_null(strstr(written(), "bad ? bytes"));
}

static void secrets_are_masked(void **state)
{
    char long_text[6000];
    const char *text;

    (void)state;
    log_secret("hunter2222");
    log_secret("hunter2222"); /* twice is once */
    log_secret("hunter2222-longer");
    log_secret("abc"); /* would mask words */
    log_error("e", "a hunter2222 b hunter2222-longer c abc");
    assert_non_null(strstr(written(), "e: a **** b **** c abc\n"));
    /* Cut within the secret: no half of it is shown. */
    memset(long_text, 'x', sizeof(long_text));
    memcpy(long_text + 4090, "hunter2222", 10);
    long_text[sizeof(long_text) - 1] = '\0';
    log_error("e", "%s", long_text);
    text = written();
    assert_null(strstr(text, "hunt"));
    assert_non_null(strstr(text, "****...\n"));
}

static void json_lines_parse(void **state)
{
    json_t *line;
    const char *body;

    (void)state;
    log_setup(LOG_INFO, LOG_JSON);
    log_info("some.event", "quote \" back \\ tab \t nl \n \xc3\xa4 bad \xff");
    line = json_loads(written(), 0, NULL);
    assert_non_null(line);
    assert_string_equal(json_string_value(json_object_get(line, "severity_text")),
                        "INFO");
    assert_int_equal(json_integer_value(json_object_get(line, "severity_number")), 9);
    assert_string_equal(json_string_value(json_object_get(line, "event_name")),
                        "some.event");
    assert_non_null(json_object_get(line, "timestamp"));
    body = json_string_value(json_object_get(line, "body"));
    assert_string_equal(body, "quote \" back \\ tab \t nl \n ?? bad ?");
    json_decref(line);
}

static void buffered_lines_wait_for_the_flush(void **state)
{
    (void)state;
    log_buffered(true);
    log_error("e", "one");
    log_error("e", "two");
    assert_string_equal(written(), "");
    log_flush();
    assert_non_null(strstr(written(), "two\n"));
    log_error("e", "three");
    log_buffered(false);
    assert_non_null(strstr(written(), "three\n"));
}

static void a_slow_reader_costs_lines_not_time(void **state)
{
    uint64_t lost = log_lost();
    const char *text;
    bool said = false;
    int i;

    (void)state;
    log_buffered(true);
    for (i = 0; i < 6000; i++) {
        log_error("e",
                  "line %d of about a hundred characters, so that the buffer is full "
                  "soon: %060d",
                  i, i);
        if (i % 100 == 0)
            log_flush(); /* the pipe is full, this must not block */
    }
    assert_true(log_lost() > lost);
    for (i = 0; i < 100 && !said; i++) {
        log_flush();
        text = written();
        said = strstr(text, "lines were lost") != NULL;
    }
    assert_true(said);
    for (i = 0; i < 100; i++) {
        log_flush();
        (void)written();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(lines_have_time_level_event_and_text, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(one_event_is_one_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(secrets_are_masked, set_up, tear_down),
        cmocka_unit_test_setup_teardown(json_lines_parse, set_up, tear_down),
        cmocka_unit_test_setup_teardown(buffered_lines_wait_for_the_flush, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_slow_reader_costs_lines_not_time, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
