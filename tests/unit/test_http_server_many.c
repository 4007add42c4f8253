/* The HTTP server and many at once: connections, bytes, and clients that do not read. */
#include "http_rig.h"

#include <sys/resource.h>

/* Until the server has closed it. */
static void await_end(struct rig *r, int fd)
{
    int64_t end_ms = clock_now(&clock_system) + LIMIT_MS;
    char bytes[65536];

    for (;;) {
        ssize_t n = recv(fd, bytes, sizeof(bytes), 0);

        if (n == 0 || (n < 0 && errno != EAGAIN))
            return;
        assert_true(clock_now(&clock_system) < end_ms);
        turn(r);
    }
}

/* An answer larger than what the kernel buffers, and nobody who reads it. */
static void an_answer_that_nobody_reads_ends_too(void **state)
{
    enum { BIG = 16 << 20 };
    int64_t end_ms = clock_now(&clock_system) + LIMIT_MS;
    char *big = mem_zalloc(BIG);
    struct rig r;
    int fd;

    (void)state;
    rig_init(&r);
    r.answer = (struct str){big, BIG};
    fd = dial(&r);
    say(fd, "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    while (http_server_counts(r.hs)->requests == 0 ||
           http_server_counts(r.hs)->connections > 0) {
        turn(&r);
        assert_true(clock_now(&clock_system) < end_ms);
    }
    (void)close(fd);
    mem_free(big);
    rig_fini(&r);
}

static void request(struct rig *r, int fd)
{
    say(fd, "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    assert_begins(listen_to(r, fd, "now"), "HTTP/1.1 200 ");
}

/* Eight places: one waits for us, three are idle, two are half there, two are new. */
static void idle_ones_go_first_then_the_slowest(void **state)
{
    struct http_server_options o = usual;
    int waiting, idle[3], half[2], fresh[12];
    struct rig r;

    (void)state;
    o.deadline_ms = LIMIT_MS;
    rig_with(&r, o);
    waiting = dial(&r);
    say(waiting, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    while (r.held == NULL)
        turn(&r);
    for (int i = 0; i < 2; i++) {
        half[i] = dial(&r);
        say(half[i], "GET /half HTTP/1.1\r\nHo");
    }
    for (int i = 0; i < 3; i++) {
        idle[i] = dial(&r);
        request(&r, idle[i]);
    }
    /* Each newcomer costs one of those before it its place. */
    for (int i = 0; i < 12; i++) {
        fresh[i] = dial(&r);
        if (i < 2) /* there is room */
            request(&r, fresh[i]);
        else if (i < 5)
            await_end(&r, idle[i - 2]);
        else if (i < 7)
            await_end(&r, fresh[i - 5]);
        else if (i < 9)
            await_end(&r, half[i - 7]);
        else
            await_end(&r, fresh[i - 7]);
    }
    assert_int_equal(http_server_counts(r.hs)->connections, 8);
    assert_int_equal(http_server_counts(r.hs)->refused[HTTP_REFUSED_PLACE], 5);
    request(&r, fresh[11]);
    assert_false(http_request_client_gone(r.held));
    http_reply(r.held, 200, NULL, STR_LIT("waited"), NULL, 0);
    assert_begins(listen_to(&r, waiting, "waited"), "HTTP/1.1 200 ");
    (void)close(waiting);
    for (int i = 0; i < 3; i++)
        (void)close(idle[i]);
    for (int i = 0; i < 2; i++)
        (void)close(half[i]);
    for (int i = 0; i < 12; i++)
        (void)close(fresh[i]);
    rig_fini(&r);
}

static void who_comes_when_all_wait_for_us_is_closed(void **state)
{
    struct http_server_options o = usual;
    struct rig r;
    int waiting, fd;

    (void)state;
    o.connections_max = 1;
    rig_with(&r, o);
    waiting = dial(&r);
    say(waiting, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    while (r.held == NULL)
        turn(&r);
    fd = dial(&r);
    await_end(&r, fd);
    assert_int_equal(http_server_counts(r.hs)->refused[HTTP_REFUSED_PLACE], 1);
    http_reply(r.held, 200, NULL, STR_LIT("waited"), NULL, 0);
    assert_begins(listen_to(&r, waiting, "waited"), "HTTP/1.1 200 ");
    (void)close(waiting);
    (void)close(fd);
    rig_fini(&r);
}

enum { MANY = 5000 };

static size_t resident_bytes(void)
{
    unsigned long long all, resident;
    FILE *f = fopen("/proc/self/statm", "r");

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%llu %llu", &all, &resident), 2);
    (void)fclose(f);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* Both ends are in this process. */
static void allow_many_descriptors(void)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < 2 * MANY + 600)
        fail_msg("this test needs %d descriptors, the limit is %llu", 2 * MANY + 600,
                 (unsigned long long)limit.rlim_cur);
}

/* Thousands that connect and say little: with room for them and without. They harm
 * neither who waits for an answer nor who comes after them, and cost what places cost. */
static void thousands_that_say_nothing(void **state)
{
    static const struct {
        unsigned connections_max;
        size_t bytes_max;
    } cases[] = {{2 * MANY, (size_t)MANY * 24 * 1024}, {256, (size_t)512 * 24 * 1024}};
    static int fds[MANY];

    (void)state;
    allow_many_descriptors();
    for (size_t i = 0; i < 2; i++) {
        struct http_server_options o = usual;
        const struct http_server_counts *counts;
        size_t before, after;
        int waiting, fd, n;
        struct rig r;

        o.deadline_ms = 10 * LIMIT_MS;
        o.connections_max = cases[i].connections_max;
        rig_with(&r, o);
        counts = http_server_counts(r.hs);
        waiting = dial(&r);
        say(waiting, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
        while (r.held == NULL)
            turn(&r);
        before = resident_bytes();
        for (n = 0; n < MANY; n++) {
            fds[n] = dial(&r);
            if (n % 2 == 0)
                say(fds[n], "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\nx");
            turn(&r);
        }
        fd = dial(&r);
        request(&r, fd);
        after = resident_bytes();
        assert_true(counts->connections <= cases[i].connections_max);
        assert_int_equal(counts->connections + counts->refused[HTTP_REFUSED_PLACE],
                         MANY + 2);
        print_message("          %u places: %zu KiB\n", cases[i].connections_max,
                      after > before ? (after - before) / 1024 : 0);
#ifndef __SANITIZE_ADDRESS__
        assert_true(after < before + cases[i].bytes_max);
#endif
        http_reply(r.held, 200, NULL, STR_LIT("waited"), NULL, 0);
        assert_begins(listen_to(&r, waiting, "waited"), "HTTP/1.1 200 ");
        for (n = 0; n < MANY; n++)
            (void)close(fds[n]);
        (void)close(fd);
        (void)close(waiting);
        rig_fini(&r);
    }
}

static int begin_body(struct rig *r, const char *path, size_t length, size_t sent)
{
    char head[100];
    char *body = mem_zalloc(sent + 1);
    int fd = dial(r);

    (void)snprintf(head, sizeof(head),
                   "POST %s HTTP/1.1\r\nHost: h\r\nContent-Length: %zu\r\n\r\n", path,
                   length);
    memset(body, 'x', sent);
    say(fd, head);
    say(fd, body);
    mem_free(body);
    return fd;
}

/* Room for 1000 bytes: whose body is half there for the longest goes; what waits for us
 * stays, and when it takes all, the others are told to come again. */
static void bodies_have_a_bound_together(void **state)
{
    struct http_server_options o = usual;
    int half[3], waiting, fd;
    struct rig r;

    (void)state;
    o.body_max = 600;
    o.bodies_max = 1000;
    o.deadline_ms = LIMIT_MS;
    rig_with(&r, o);
    waiting = begin_body(&r, "/later", 500, 500);
    while (r.held == NULL)
        turn(&r);
    for (int i = 0; i < 3; i++)
        half[i] = begin_body(&r, "/half", 600, i < 2 ? 200 : 400);
    await_end(&r, half[0]);
    await_end(&r, half[1]);
    assert_int_equal(http_server_counts(r.hs)->refused[HTTP_REFUSED_PLACE], 2);
    fd = begin_body(&r, "/", 501, 501);
    assert_begins(listen_to(&r, fd, NULL), "HTTP/1.1 429 ");
    assert_int_equal(http_server_counts(r.hs)->refused[HTTP_REFUSED_PLACE], 4);
    (void)close(fd);
    fd = begin_body(&r, "/", 500, 500);
    assert_begins(listen_to(&r, fd, "now"), "HTTP/1.1 200 ");
    http_reply(r.held, 200, NULL, STR_LIT("waited"), NULL, 0);
    assert_begins(listen_to(&r, waiting, "waited"), "HTTP/1.1 200 ");
    (void)close(fd);
    fd = begin_body(&r, "/", 600, 600); /* all is given back */
    assert_begins(listen_to(&r, fd, "now"), "HTTP/1.1 200 ");
    (void)close(fd);
    (void)close(waiting);
    for (int i = 0; i < 3; i++)
        (void)close(half[i]);
    rig_fini(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_answer_that_nobody_reads_ends_too),
        cmocka_unit_test(idle_ones_go_first_then_the_slowest),
        cmocka_unit_test(who_comes_when_all_wait_for_us_is_closed),
        cmocka_unit_test(thousands_that_say_nothing),
        cmocka_unit_test(bodies_have_a_bound_together),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
