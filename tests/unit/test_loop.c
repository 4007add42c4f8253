/* The loop: what is told, what is not, and that nothing spins. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/loop.h"

static struct {
    int calls, fd;
    unsigned events;
    struct loop *closes_in; /* the callback closes the other one of `pair` */
    int pair[2];
} seen;

static void on_event(void *arg, int fd, unsigned events)
{
    assert_ptr_equal(arg, &seen);
    seen.calls++;
    seen.fd = fd;
    seen.events = events;
    if (seen.closes_in != NULL) {
        int other = seen.pair[fd == seen.pair[0] ? 1 : 0];

        loop_unwatch(seen.closes_in, other);
        (void)close(other);
        seen.closes_in = NULL;
    }
}

static int set_up(void **state)
{
    struct err e = ERR_INIT;

    seen.calls = 0;
    seen.closes_in = NULL;
    *state = loop_new(&e);
    return *state == NULL;
}

static int tear_down(void **state)
{
    loop_free(*state);
    return 0;
}

static void watch(struct loop *lo, int fd, unsigned events)
{
    struct err e = ERR_INIT;

    assert_int_equal(loop_watch(lo, fd, events, on_event, &seen, &e), 0);
}

/* Calls until now, after everything that is there was told. */
static int calls_after_wait(struct loop *lo)
{
    int i;

    for (i = 0; i < 3; i++)
        loop_wait(lo, 0);
    return seen.calls;
}

static void only_what_is_wanted_is_told(void **state)
{
    struct loop *lo = *state;
    int sv[2];
    char c;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sv), 0);
    watch(lo, sv[0], LOOP_IN);
    assert_int_equal(calls_after_wait(lo), 0);
    assert_int_equal(write(sv[1], "x", 1), 1);
    loop_wait(lo, -1);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(seen.fd, sv[0]);
    assert_int_equal(seen.events, LOOP_IN);

    seen.calls = 0;
    watch(lo, sv[0],
          0); /* keeps the registration: the byte makes noise that nobody hears */
    assert_int_equal(calls_after_wait(lo), 0);
    watch(lo, sv[0], LOOP_OUT);
    loop_wait(lo, -1);
    assert_int_equal(seen.events, LOOP_OUT);
    watch(lo, sv[0], LOOP_IN);
    loop_wait(lo, -1);
    assert_int_equal(seen.events, LOOP_IN);
    assert_int_equal(read(sv[0], &c, 1), 1);

    seen.calls = 0;
    (void)close(sv[1]);
    loop_wait(lo, -1);
    assert_int_equal(seen.calls, 1);
    assert_true((seen.events & LOOP_IN) != 0 && (seen.events & LOOP_ERR) != 0);
    loop_unwatch(lo, sv[0]);
    seen.calls = 0;
    assert_int_equal(calls_after_wait(lo), 0);
    (void)close(sv[0]);
    loop_unwatch(lo, sv[0]); /* twice, and never watched, are fine */
    loop_unwatch(lo, 5000);
    loop_forget(lo, -1);
}

/* The registration is kept while unwanted, and narrowed on the first noise: it must not
 * spin. */
static void noise_of_an_unwanted_one_is_heard_once(void **state)
{
    struct loop *lo = *state;
    int sv[2];
    int64_t begun_ms;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, sv), 0);
    watch(lo, sv[0], LOOP_IN);
    watch(lo, sv[0], 0);
    assert_int_equal(write(sv[1], "x", 1), 1);
    loop_wait(lo, 0);
    begun_ms = clock_now(&clock_system);
    loop_wait(lo, 30); /* nothing is left that would end it early */
    assert_true(clock_now(&clock_system) - begun_ms >= 25);
    assert_int_equal(seen.calls, 0);
    watch(lo, sv[0], LOOP_IN); /* and is there again when wanted */
    loop_wait(lo, -1);
    assert_int_equal(seen.calls, 1);
    loop_unwatch(lo, sv[0]);
    (void)close(sv[0]);
    (void)close(sv[1]);
}

/* Both are ready in one batch; whichever is told first closes the other one. */
static void events_of_a_closed_descriptor_are_dropped(void **state)
{
    struct loop *lo = *state;
    int a[2], b[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, a), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, b), 0);
    watch(lo, a[0], LOOP_IN);
    watch(lo, b[0], LOOP_IN);
    assert_int_equal(write(a[1], "x", 1), 1);
    assert_int_equal(write(b[1], "x", 1), 1);
    seen.closes_in = lo;
    seen.pair[0] = a[0];
    seen.pair[1] = b[0];
    loop_wait(lo, -1);
    assert_int_equal(seen.calls, 1);
    loop_unwatch(lo, seen.fd);
    (void)close(seen.fd);
    (void)close(a[1]);
    (void)close(b[1]);
}

static void *waker(void *arg)
{
    loop_wake_up(*(int *)arg);
    return NULL;
}

static void another_thread_wakes_it(void **state)
{
    struct loop *lo = *state;
    struct err e = ERR_INIT;
    pthread_t thread;
    int fd = loop_wake_fd(lo, on_event, &seen, &e);

    assert_true(fd >= 0);
    assert_int_equal(pthread_create(&thread, NULL, waker, &fd), 0);
    loop_wait(lo, -1);
    (void)pthread_join(thread, NULL);
    assert_int_equal(seen.calls, 1);
    assert_int_equal(calls_after_wait(lo), 1); /* drained */
    loop_wake_up(fd);
    loop_wake_up(fd);
    assert_int_equal(calls_after_wait(lo), 2); /* a hint, not a count */
}

static void signals_are_counted(void **state)
{
    struct loop *lo = *state;
    struct err e = ERR_INIT;

    assert_int_equal(loop_catch_signals(lo, &e), 0);
    assert_int_equal(loop_signals(lo), 0);
    (void)raise(SIGTERM);
    loop_wait(lo, -1);
    assert_int_equal(loop_signals(lo), 1);
    (void)raise(SIGINT);
    loop_wait(lo, -1);
    assert_int_equal(loop_signals(lo), 2);
    (void)raise(SIGPIPE); /* ignored */
}

static void a_descriptor_that_cannot_be_watched_is_an_error(void **state)
{
    struct loop *lo = *state;
    struct err e = ERR_INIT;

    assert_int_equal(loop_watch(lo, -1, LOOP_IN, on_event, &seen, &e), -1);
    assert_int_equal(e.kind, ERR_SYSTEM);
    assert_int_equal(loop_watch(lo, 900, LOOP_IN, on_event, &seen, &e),
                     -1); /* not open */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(only_what_is_wanted_is_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(noise_of_an_unwanted_one_is_heard_once, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(events_of_a_closed_descriptor_are_dropped, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(another_thread_wakes_it, set_up, tear_down),
        cmocka_unit_test_setup_teardown(signals_are_counted, set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_descriptor_that_cannot_be_watched_is_an_error,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
