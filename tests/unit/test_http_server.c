/* The HTTP server over raw sockets: answers at once and later, and what it refuses. */
#include "http_rig.h"

static void a_request_is_answered_at_once(void **state)
{
    struct rig r;
    const char *text;
    int fd, i;

    (void)state;
    rig_init(&r);
    fd = dial(&r);
    for (i = 0; i < 2; i++) { /* the connection is kept */
        say(fd, "GET /a%20b?q=x%26y HTTP/1.1\r\nHost: h\r\nX-In: in\r\n\r\n");
        text = listen_to(&r, fd, "\r\n\r\nnow");
        assert_begins(text, "HTTP/1.1 200 OK\r\n");
        assert_non_null(strstr(text, "X-One: 1\r\n"));
        assert_non_null(strstr(text, "X-Two: 2\r\n"));
        assert_non_null(strstr(text, "Content-Type: text/plain\r\n"));
        assert_string_equal(r.last, "GET /a b x&y in ");
    }
    assert_int_equal(r.requests, 2);
    (void)close(fd);
    rig_fini(&r);
}

static void a_body_arrives_whole(void **state)
{
    static const char *const requests[] = {
        "POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nab cd",
        "POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
        "2\r\nab\r\n3\r\n cd\r\n0\r\n\r\n"};
    size_t i;

    (void)state;
    for (i = 0; i < 2; i++) {
        struct rig r;
        int fd;

        rig_init(&r);
        fd = dial(&r);
        say(fd, requests[i]);
        assert_begins(listen_to(&r, fd, "now"), "HTTP/1.1 200 OK\r\n");
        assert_string_equal(r.last, "POST /p - - ab cd");
        (void)close(fd);
        rig_fini(&r);
    }
}

static void an_answer_may_come_later(void **state)
{
    struct rig r;
    int fd, i;

    (void)state;
    rig_init(&r);
    fd = dial(&r);
    for (i = 0; i < 2; i++) {
        int64_t until_ms;

        r.held = NULL;
        say(fd, "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\n\r\nx");
        while (r.held == NULL)
            turn(&r);
        /* The deadline is the client's, not ours: it does not run meanwhile. */
        until_ms = clock_now(&clock_system) + DEADLINE_MS + 50;
        while (i == 0 && clock_now(&clock_system) < until_ms)
            turn(&r);
        http_reply(r.held, 503, NULL, STR_LIT("late"), NULL, 0);
        http_server_turn(r.hs); /* the same turn: no event announces it */
        assert_begins(listen_to(&r, fd, "late"), "HTTP/1.1 503 ");
    }
    assert_int_equal(r.requests, 2);
    (void)close(fd);
    rig_fini(&r);
}

/* By the other end, and without a word. */
static bool is_closed(int fd)
{
    char c;
    ssize_t n = recv(fd, &c, 1, 0);

    return n == 0 || (n < 0 && errno == ECONNRESET);
}

static void the_server_ends_with_requests_open(void **state)
{
    struct rig r;
    int fd, half;

    (void)state;
    rig_init(&r);
    fd = dial(&r);
    half = dial(&r);
    say(half, "GET /half HTTP/1.1\r\nHo");
    say(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
    while (r.held == NULL)
        turn(&r);
    rig_fini(&r);
    assert_true(is_closed(fd));
    assert_true(is_closed(half));
    (void)close(fd);
    (void)close(half);
}

static char *with_body(const char *head, size_t len)
{
    char *text = mem_alloc(strlen(head) + len + 1);

    (void)snprintf(text, strlen(head) + len + 1, "%s", head);
    memset(text + strlen(head), 'x', len);
    text[strlen(head) + len] = '\0';
    return text;
}

enum { NOBODY_COUNTS = -1 };

#define P "POST / HTTP/1.1\r\nHost: h\r\n"

/* `\r\n` ends what stands in `head`, but where a case is about just that. */
static void what_is_refused(void **state)
{
    static const struct {
        const char *head;
        size_t body;
        const char *answer;
        int counted; /* as which refusal */
    } cases[] = {
        {P "Content-Length: 101\r\n\r\n", 0, "HTTP/1.1 413 ", HTTP_REFUSED_BODY},
        {P "Content-Length: 101\r\n\r\n", 101, "HTTP/1.1 413 ", HTTP_REFUSED_BODY},
        {P "Transfer-Encoding: chunked\r\n\r\n"
           "41\r\n01234567890123456789012345678901234567890123456789012345678901234\r\n"
           "41\r\n01234567890123456789012345678901234567890123456789012345678901234\r\n"
           "0\r\n\r\n",
         0, "HTTP/1.1 413 ", HTTP_REFUSED_BODY},
        {P "Transfer-Encoding: chunked\r\n\r\n400\r\n", 1000, "", HTTP_REFUSED_BODY},
        {P "Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 4, "HTTP/1.1 400 ",
         HTTP_REFUSED_FRAMING},
        {P "Content-Length: 3\r\nContent-Length: 3\r\n\r\n", 3, "HTTP/1.1 400 ",
         HTTP_REFUSED_FRAMING},
        {P "content-length: 3\r\ncOntent-lengtH: 3\r\n\r\n", 3, "HTTP/1.1 400 ",
         HTTP_REFUSED_FRAMING},
        {P "Content-Length: 3, 3\r\n\r\n", 3, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Content-Length: +3\r\n\r\n", 3, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Content-Length: -3\r\n\r\n", 3, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Content-Length: 0x3\r\n\r\n", 3, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Content-Length: 3 3\r\n\r\n", 3, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Content-Length: \r\n\r\n", 3, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Content-Length: 18446744073709551619\r\n\r\n", 3, "HTTP/1.1 413 ",
         HTTP_REFUSED_BODY},
        {P "Content-Length : 3\r\n\r\n", 3, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
         "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 0,
         "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
         "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 0, "HTTP/1.1 400 ",
         HTTP_REFUSED_FRAMING},
        {P "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 0, "HTTP/1.1 400 ",
         HTTP_REFUSED_FRAMING},
        {P "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 0, "HTTP/1.1 400 ",
         HTTP_REFUSED_FRAMING},
        {P "Transfer-Encoding: identity\r\n\r\n", 0, "HTTP/1.1 400 ",
         HTTP_REFUSED_FRAMING},
        {P "Transfer-Encoding: chunked\r\n\r\nx\r\n", 0, "HTTP/1.1 400 ",
         HTTP_REFUSED_FRAMING},
        {P "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", 0, "HTTP/1.1 413 ",
         HTTP_REFUSED_BODY},
        {P "X: a\rContent-Length: 3\r\n\r\n", 0, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "X: a\x01\r\n\r\n", 0, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "X\xc3\xa4: a\r\n\r\n", 0, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Transfer-Encoding:\r\n chunked\r\nContent-Length: 3\r\n\r\n", 3,
         "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Content-Length:\r\n 3\r\n\r\n", 3, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "X: a\r\n\tb\r\n c\r\nY: d\r\n\r\n", 0, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        /* A line that only some see. */
        {P "X: a\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 0,
         "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {P "Content-Length: 5\nTransfer-Encoding: chunked\n\n0\r\n\r\n", 0,
         "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        /* A refusal ends the connection: what follows is nobody's request. */
        {P "Content-Length: 0\r\nContent-Length: 0\r\n\r\nGET /now HTTP/1.1\r\nHost: "
           "h\r\n\r\n",
         0, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {"GET / HTTP/1.1\r\nHost: h\r\nX-Long: ", 20000, "HTTP/1.1 431 ",
         HTTP_REFUSED_HEAD},
        {"GET /", 20000, "HTTP/1.1 414 ", HTTP_REFUSED_HEAD},
        {"", 20000, "HTTP/1.1 4", HTTP_REFUSED_HEAD},
        {"GET / HTTP/1.1\r\n\r\n", 0, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {"GET / HTTP/1.1\r\nHost : h\r\n\r\n", 0, "HTTP/1.1 400 ", HTTP_REFUSED_FRAMING},
        {"GET / HTTP/1.1\r\nHost: h\r\n : h\r\n\r\n", 0, "HTTP/1.1 400 ",
         HTTP_REFUSED_FRAMING},
        {"GET / HTTP/1.1\r\nHost: h\r\nno colon\r\n\r\n", 0, "HTTP/1.1 400 ",
         HTTP_REFUSED_FRAMING},
        {"nonsense\r\n\r\n", 0, "", NOBODY_COUNTS},
        {"\x16\x03\x01\x02\r\n\r\n", 0, "", NOBODY_COUNTS},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = with_body(cases[i].head, cases[i].body);
        const char *answer;
        struct rig r;
        int fd;

        rig_init(&r);
        fd = dial(&r);
        say(fd, text);
        answer = listen_to(&r, fd, NULL);
        if (r.requests > 0)
            print_message("taken: %s\n", cases[i].head);
        assert_begins(answer, cases[i].answer);
        assert_int_equal(r.requests, 0);
        for (int k = 0; k < HTTP_REFUSALS; k++)
            assert_int_equal(http_server_counts(r.hs)->refused[k], cases[i].counted == k);
        (void)close(fd);
        mem_free(text);
        rig_fini(&r);
    }
}

/* The library's own time-out would be reset by each of these bytes. */
static void dripping_does_not_outlive_the_deadline(void **state)
{
    static const char *const begun[] = {
        "", "GET / HTTP/1.1\r\nX: ",
        "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99\r\n\r\n",
        /* the second on a connection that was kept */
        "GET / HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.1\r\nX: "};
    size_t i;

    (void)state;
    for (i = 0; i < 4; i++) {
        int64_t begun_ms = clock_now(&clock_system);
        int64_t dripped_ms = begun_ms;
        char c = 'x';
        struct rig r;
        int fd;

        rig_init(&r);
        fd = dial(&r);
        say(fd, begun[i]);
        for (;;) {
            ssize_t n = recv(fd, &c, 1, 0);

            if (n == 0 || (n < 0 && errno != EAGAIN))
                break;
            assert_true(clock_now(&clock_system) < begun_ms + LIMIT_MS);
            if (i > 0 && clock_now(&clock_system) >= dripped_ms + 50) {
                (void)send(fd, "x", 1, MSG_NOSIGNAL);
                dripped_ms = clock_now(&clock_system);
            }
            turn(&r);
        }
        assert_true(clock_now(&clock_system) >= begun_ms + DEADLINE_MS);
        assert_int_equal(r.requests, i == 3 ? 1 : 0);
        assert_int_equal(http_server_counts(r.hs)->refused[HTTP_REFUSED_LATE], 1);
        (void)close(fd);
        rig_fini(&r);
    }
}

static void what_is_odd_but_right(void **state)
{
    static const char *const heads[] = {"X:\r\n",
                                        "X:   \r\n",
                                        "X: \t a b \t\r\n",
                                        "X:a\r\n",
                                        "X!#$%&'*+.^_`|~-9: \x80\xff\r\n",
                                        "X: a\r\nX: b\r\n",
                                        "Content-Length: 0\r\n",
                                        "Content-Length: 00\r\n",
                                        "transfer-encoding: Chunked\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(heads) / sizeof(heads[0]); i++) {
        char text[200];
        struct rig r;
        int fd;

        rig_init(&r);
        fd = dial(&r);
        (void)snprintf(text, sizeof(text), P "%s\r\n%s", heads[i],
                       heads[i][0] == 't' ? "0\r\n\r\n" : "");
        say(fd, text);
        assert_begins(listen_to(&r, fd, "now"), "HTTP/1.1 200 ");
        assert_int_equal(r.requests, 1);
        (void)close(fd);
        rig_fini(&r);
    }
}

/* RFC 9112 lets a server take a bare LF for a line's end, and libmicrohttpd 0.9 does; 1.0
 * refuses it. Never may it be part of a value: what it hides must be seen. */
static void a_bare_lf_hides_nothing(void **state)
{
    struct rig r;
    const char *text;
    int fd;

    (void)state;
    rig_init(&r);
    fd = dial(&r);
    say(fd, "GET / HTTP/1.1\nHost: h\r\nX: a\nX-Twice: 1\nX-Twice: 2\n\n");
    text = listen_to(&r, fd, "\r\n\r\n");
    if (r.requests > 0)
        assert_int_equal(r.twice, 2);
    else
        assert_begins(text, "HTTP/1.1 400 ");
    (void)close(fd);
    rig_fini(&r);
}

static void a_header_that_came_twice_is_known(void **state)
{
    static const struct {
        const char *head;
        size_t count;
    } cases[] = {{"", 0},
                 {"X-Twice: a\r\n", 1},
                 {"X-Twice:\r\n", 1},
                 {"X-Twice: a\r\nx-tWICE: a\r\n", 2},
                 {"X-Twice2: a\r\nX-Twice: \r\nY: 1\r\nX-TWICE: b\r\nx-twice: c\r\n", 3}};
    struct rig r;
    int fd;

    (void)state;
    rig_init(&r);
    fd = dial(&r);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[300];

        (void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\nHost: h\r\n%s\r\n",
                       cases[i].head);
        say(fd, text);
        (void)listen_to(&r, fd, "now");
        assert_int_equal(r.requests, i + 1);
        assert_int_equal(r.twice, cases[i].count);
    }
    (void)close(fd);
    rig_fini(&r);
}

/* The second is not looked at before the first is answered. */
static void requests_in_one_packet_are_answered_in_order(void **state)
{
    const char *text;
    struct rig r;
    int fd;

    (void)state;
    rig_init(&r);
    fd = dial(&r);
    say(fd, "POST /later HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nab"
            "POST /now HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\ncd"
            "GET /big HTTP/1.1\r\nHost: h\r\n\r\n");
    r.answer = STR_LIT("third");
    while (r.held == NULL)
        turn(&r);
    for (int i = 0; i < 10; i++)
        http_server_turn(r.hs);
    assert_int_equal(r.requests, 1);
    http_reply(r.held, 200, NULL, STR_LIT("first"), NULL, 0);
    text = listen_to(&r, fd, "third");
    assert_int_equal(r.requests, 3);
    assert_true(strstr(text, "first") < strstr(text, "now"));
    assert_true(strstr(text, "now") < strstr(text, "third"));
    (void)close(fd);
    rig_fini(&r);
}

static void a_client_that_went_away_is_known(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        static const struct linger reset = {1, 0};
        int64_t end_ms = clock_now(&clock_system) + LIMIT_MS;
        struct rig r;
        int fd;

        rig_init(&r);
        fd = dial(&r);
        say(fd, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n");
        while (r.held == NULL)
            turn(&r);
        assert_false(http_request_client_gone(r.held));
        if (how == 0)
            assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset)),
                             0);
        if (how == 1)
            assert_int_equal(shutdown(fd, SHUT_WR), 0);
        else
            assert_int_equal(close(fd), 0);
        while (!http_request_client_gone(r.held))
            assert_true(clock_now(&clock_system) < end_ms);
        assert_int_equal(http_server_counts(r.hs)->connections, 1);
        http_reply(r.held, 200, NULL, STR_LIT("late"), NULL, 0);
        while (http_server_counts(r.hs)->connections > 0) {
            turn(&r);
            assert_true(clock_now(&clock_system) < end_ms);
        }
        if (how == 1)
            (void)close(fd);
        rig_fini(&r);
    }
}

static void places_to_listen(void **state)
{
    static const struct {
        const char *listen;
        bool good;
    } cases[] = {{"127.0.0.1:0", true},
                 {"localhost:0", true},
                 {":0", true},
                 {"127.0.0.1", false},
                 {"127.0.0.1:x", false}};
    struct err e = ERR_INIT;
    struct loop *lo = loop_new(&e);
    char taken[32];
    struct http_server *first = NULL;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct http_server_options o = {.listen = cases[i].listen,
                                        .body_max = 1,
                                        .deadline_ms = 1000,
                                        .connections_max = 1,
                                        .handler = on_request};
        struct http_server *hs = http_server_new(lo, &o, &e);

        if ((hs != NULL) != cases[i].good)
            print_message("%s: %s\n", cases[i].listen, e.text);
        assert_true((hs != NULL) == cases[i].good);
        if (i == 0) {
            first = hs;
            (void)snprintf(taken, sizeof(taken), "127.0.0.1:%d", http_server_port(hs));
            o.listen = taken;
            assert_null(http_server_new(lo, &o, &e));
            assert_non_null(strstr(e.text, "taken"));
        } else {
            http_server_free(hs);
        }
    }
    http_server_free(first);
    loop_free(lo);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_is_answered_at_once),
        cmocka_unit_test(a_body_arrives_whole),
        cmocka_unit_test(an_answer_may_come_later),
        cmocka_unit_test(the_server_ends_with_requests_open),
        cmocka_unit_test(what_is_refused),
        cmocka_unit_test(dripping_does_not_outlive_the_deadline),
        cmocka_unit_test(places_to_listen),
        cmocka_unit_test(what_is_odd_but_right),
        cmocka_unit_test(a_bare_lf_hides_nothing),
        cmocka_unit_test(a_header_that_came_twice_is_known),
        cmocka_unit_test(requests_in_one_packet_are_answered_in_order),
        cmocka_unit_test(a_client_that_went_away_is_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
