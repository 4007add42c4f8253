/* What the rows of a list prove about a call that was lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "front/probe.h"

static const int64_t armed_ms = 1700000000LL * 1000;

struct scene {
    struct arena a;
    struct probe pb;
    struct command cmd;
    struct pair params[2];
};

static int set_up(void **state)
{
    static struct scene s;
    memset(&s, 0, sizeof s);
    arena_init(&s.a, 0);
    *state = &s;
    return 0;
}

static int tear_down(void **state)
{
    arena_fini(&((struct scene *)*state)->a);
    return 0;
}

static void lost(struct scene *s, const char *operation, const char *param,
                 const char *value, const char *body)
{
    const struct op *op = op_xget(operation);
    s->params[0] = (struct pair){.name = str_of(param), .value = str_of(value)};
    s->cmd = (struct command){.operation = str_of(op->name),
                              .params = s->params,
                              .n_params = param != NULL,
                              .body = str_of(body)};
    s->pb.op = NULL;
    probe_start(&s->pb, &s->cmd, op, armed_ms);
}

static struct request ask(struct scene *s)
{
    struct request req;
    struct err e = ERR_INIT;
    assert_int_equal(probe_request(&s->pb, &s->a, &req, &e), 0);
    assert_int_equal(req.method, HTTP_GET);
    return req;
}

static enum probe_verdict look(struct scene *s, const char *answer)
{
    (void)ask(s);
    assert_int_equal(probe_answer(&s->pb, str_of(answer), &s->a), PROBE_READ);
    return probe_judge(&s->pb);
}

#define COMMENT(id, at, author, body)                                                    \
    "{\"id\":\"" id "\",\"posted_at\":" at ",\"author\":" author ",\"body\":\"" body "\"}"
#define LIST(rows) "{\"_pagination\":{\"next\":null},\"_results\":[" rows "]}"

static void comments_are_judged_by_author_age_and_text(void **state)
{
    static const struct {
        const char *body, *answer;
        enum probe_verdict want;
    } cases[] = {
        {"{\"body\":\"hi\"}", LIST(""), PROBE_ABSENT},
        {"{\"body\":\"hi\"}", LIST(COMMENT("com_1", "1700000001.5", "null", "hi")),
         PROBE_FOUND},
        /* older than the arming */
        {"{\"body\":\"hi\"}", LIST(COMMENT("com_1", "1699999997.9", "null", "hi")),
         PROBE_ABSENT},
        /* Front's clock may be a little behind what we learnt of it */
        {"{\"body\":\"hi\"}", LIST(COMMENT("com_1", "1699999998.1", "null", "hi")),
         PROBE_FOUND},
        /* by a person, and the command names none */
        {"{\"body\":\"hi\"}",
         LIST(COMMENT("com_1", "1700000001", "{\"id\":\"tea_1\",\"type\":\"user\"}",
                      "hi")),
         PROBE_ABSENT},
        {"{\"body\":\"hi\"}",
         LIST(
             COMMENT("com_1", "1700000001", "{\"id\":\"tea_9\",\"type\":\"api\"}", "hi")),
         PROBE_FOUND},
        {"{\"body\":\"hi\",\"author_id\":\"tea_1\"}",
         LIST(COMMENT("com_1", "1700000001", "{\"id\":\"tea_1\"}", "hi")), PROBE_FOUND},
        {"{\"body\":\"hi\",\"author_id\":\"tea_1\"}",
         LIST(COMMENT("com_1", "1700000001", "{\"id\":\"tea_2\"}", "hi")), PROBE_ABSENT},
        /* an alias cannot be compared: nobody is excluded */
        {"{\"body\":\"hi\",\"author_id\":\"alt:email:a@example.com\"}",
         LIST(COMMENT("com_1", "1700000001", "{\"id\":\"tea_2\"}", "hi")), PROBE_FOUND},
        /* another text may still be ours: nobody can tell */
        {"{\"body\":\"hi\"}", LIST(COMMENT("com_1", "1700000001", "null", "ho")),
         PROBE_OPEN},
        {"{\"body\":\"hi\"}",
         LIST(COMMENT("com_1", "1700000001", "null",
                      "hi") "," COMMENT("com_2", "1700000002", "null", "hi")),
         PROBE_OPEN},
        /* of unknown age */
        {"{\"body\":\"hi\"}", LIST(COMMENT("com_1", "null", "null", "ho")), PROBE_OPEN},
        /* stored as HTML */
        {"{\"body\":\"a < b\\n & c\"}",
         LIST(COMMENT("com_1", "1700000001", "null", "<p>a &lt; b<br> &amp;&nbsp;c</p>")),
         PROBE_FOUND},
    };
    struct scene *s = *state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lost(s, "add-comment", "conversation_id", "cnv_1", cases[i].body);
        if (look(s, cases[i].answer) != cases[i].want)
            fail_msg("case %zu", i);
    }
}

static void the_absence_of_a_message_proves_nothing(void **state)
{
    struct scene *s = *state;
    lost(s, "create-message-reply", "conversation_id", "cnv_1", "{\"body\":\"hi\"}");
    assert_int_equal(look(s, LIST("")), PROBE_NONE);
}

static void a_message_is_known_by_its_uid_too(void **state)
{
    struct scene *s = *state;
    lost(s, "create-message-reply", "conversation_id", "cnv_1", "{\"body\":\"hi\"}");
    assert_int_equal(
        look(s, LIST("{\"id\":\"msg_1\",\"message_uid\":\"u1\",\"created_at\":"
                     "1700000001,\"body\":\"<div>hi</div>\"}")),
        PROBE_FOUND);
    assert_true(str_is(s->pb.rows[0].uid, "alt:uid:u1"));
}

static void a_thing_without_a_time_may_be_older(void **state)
{
    struct scene *s = *state;
    lost(s, "create-inbox", NULL, NULL, "{\"name\":\"New\"}");
    assert_int_equal(look(s, LIST("{\"id\":\"inb_1\",\"name\":\"Old\"}")), PROBE_ABSENT);
    lost(s, "create-inbox", NULL, NULL, "{\"name\":\"New\"}");
    assert_int_equal(look(s, LIST("{\"id\":\"inb_1\",\"name\":\"New\"}")), PROBE_OPEN);
    assert_int_equal(s->pb.n_rows, 1);
}

static void pages_are_read_until_rows_are_older(void **state)
{
    struct scene *s = *state;
    lost(s, "create-tag", NULL, NULL, "{\"name\":\"T\"}");
    struct request req = ask(s);
    assert_string_equal(req.path, "/tags");
    assert_non_null(strstr(req.query, "sort_order=desc"));
    assert_int_equal(
        probe_answer(&s->pb,
                     str_of("{\"_pagination\":{\"next\":\"https://x/tags?limit=100&"
                            "page_token=a%2Fb&q=1\"},\"_results\":[{\"id\":\"tag_1\","
                            "\"created_at\":1700000005,\"name\":\"U\"}]}"),
                     &s->a),
        PROBE_MORE);
    assert_non_null(strstr(ask(s).query, "page_token=a%2Fb"));
    assert_int_equal(
        probe_answer(&s->pb,
                     str_of("{\"_pagination\":{\"next\":\"https://x/tags?page_token=c\"},"
                            "\"_results\":[{\"id\":\"tag_2\",\"created_at\":1700000004,"
                            "\"name\":\"T\"},{\"id\":\"tag_3\",\"created_at\":1690000000,"
                            "\"name\":\"T\"}]}"),
                     &s->a),
        PROBE_READ);
    assert_true(s->pb.whole);
    assert_int_equal(s->pb.n_rows, 2);
    assert_int_equal(probe_judge(&s->pb), PROBE_OPEN); /* U may be ours, renamed */
}

static void a_list_not_read_to_its_end_proves_nothing(void **state)
{
    struct scene *s = *state;
    lost(s, "create-tag", NULL, NULL, "{\"name\":\"T\"}");
    (void)ask(s);
    assert_int_equal(
        probe_answer(&s->pb,
                     str_of("{\"_pagination\":{\"next\":\"https://x/tags?page_token=c\"},"
                            "\"_results\":[{\"id\":\"tag_2\",\"created_at\":1690000000,"
                            "\"name\":\"a\"},{\"id\":\"tag_3\",\"created_at\":1690000001,"
                            "\"name\":\"b\"}]}"),
                     &s->a),
        PROBE_MORE); /* oldest first: the young ones are behind */
    assert_int_equal(probe_judge(&s->pb), PROBE_NONE);
}

static void more_rows_than_kept_are_still_in_doubt(void **state)
{
    struct scene *s = *state;
    struct buf b;
    buf_init(&b, 1 << 20);
    (void)buf_add_cstr(&b, "{\"_results\":[");
    for (int i = 0; i < PROBE_ROWS_MAX + 2; i++)
        (void)buf_printf(&b, "%s" COMMENT("com_%d", "1700000001", "null", "hi"),
                         i ? "," : "", i);
    (void)buf_add_cstr(&b, "]}");
    lost(s, "add-comment", "conversation_id", "cnv_1", "{\"body\":\"hi\"}");
    (void)ask(s);
    assert_int_equal(probe_answer(&s->pb, buf_str(&b), &s->a), PROBE_READ);
    assert_true(s->pb.many);
    s->pb.n_rows = 0; /* those kept were all known */
    assert_int_equal(probe_judge(&s->pb), PROBE_OPEN);
    buf_fini(&b);
}

static void a_comment_reply_asks_for_its_conversation_first(void **state)
{
    struct scene *s = *state;
    lost(s, "add-comment-reply", "comment_id", "com_7", "{\"body\":\"hi\"}");
    assert_string_equal(ask(s).path, "/comments/com_7");
    assert_int_equal(
        probe_answer(&s->pb,
                     str_of("{\"id\":\"com_7\",\"_links\":{\"related\":{\"conversation\":"
                            "\"https://x/conversations/cnv_5\"}}}"),
                     &s->a),
        PROBE_MORE);
    assert_string_equal(ask(s).path, "/conversations/cnv_5/comments");
    /* a second look does not ask for it again */
    probe_start(&s->pb, &s->cmd, s->pb.op, armed_ms);
    assert_string_equal(ask(s).path, "/conversations/cnv_5/comments");
}

static void a_call_by_path_is_looked_for_as_its_operation(void **state)
{
    struct scene *s = *state;
    s->cmd = (struct command){.operation = STR_LIT("call"),
                              .method = STR_LIT("POST"),
                              .path = STR_LIT("/conversations/cnv%5F3/comments"),
                              .body = STR_LIT("{\"body\":\"hi\"}")};
    probe_start(&s->pb, &s->cmd, op_xget("add-comment"), armed_ms);
    assert_string_equal(ask(s).path, "/conversations/cnv_3/comments");
}

static void an_odd_answer_is_no_list(void **state)
{
    static const char *const answers[] = {"", "[]", "{}", "{\"_results\":{}}",
                                          "{\"_resu"};
    struct scene *s = *state;
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++) {
        lost(s, "add-comment", "conversation_id", "cnv_1", "{\"body\":\"hi\"}");
        (void)ask(s);
        assert_int_equal(probe_answer(&s->pb, str_of(answers[i]), &s->a), PROBE_ODD);
        assert_int_equal(probe_judge(&s->pb), PROBE_NONE);
    }
}

/* Every row of class C names lists and fields that exist, and its list can be asked for
 * with what the command has. */
static void every_probe_row_can_be_asked(void **state)
{
    struct scene *s = *state;
    size_t n = 0;
    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        struct pair params[8];
        size_t n_params = 0;
        if (op->klass != CLASS_C)
            continue;
        n++;
        assert_non_null(op->probe.list);
        for (size_t f = 0; f < op->record->n_fields; f++)
            if (op->record->fields[f].place == PLACE_PATH)
                params[n_params++] = (struct pair){
                    .name = str_of(op->record->fields[f].name), .value = STR_LIT("x_1")};
        s->cmd = (struct command){
            .operation = str_of(op->name), .params = params, .n_params = n_params};
        s->pb.op = NULL;
        probe_start(&s->pb, &s->cmd, op, armed_ms);
        if (op->probe.via != NULL) {
            (void)ask(s);
            s->pb.parent = STR_LIT("cnv_1");
        }
        (void)ask(s);
    }
    assert_int_equal(n, 46);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(comments_are_judged_by_author_age_and_text,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(the_absence_of_a_message_proves_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_message_is_known_by_its_uid_too, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_thing_without_a_time_may_be_older, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(pages_are_read_until_rows_are_older, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_list_not_read_to_its_end_proves_nothing, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(more_rows_than_kept_are_still_in_doubt, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(a_comment_reply_asks_for_its_conversation_first,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(a_call_by_path_is_looked_for_as_its_operation,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(an_odd_answer_is_no_list, set_up, tear_down),
        cmocka_unit_test_setup_teardown(every_probe_row_can_be_asked, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
