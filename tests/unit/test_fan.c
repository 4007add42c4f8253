/* Fan-out: which lists `with` names, what is asked for after each page, what the record
 * says between two of them, and what ends it. */
#include "jobs_help.h"

#include "front/with.h"

static const char list[] = "{\"operation\":\"list-conversations\",\"params\":{\"with\":"
                           "\"messages,comments\",\"limit\":\"2\"}}";
static const char one_row[] = "{\"_results\":[{\"id\":\"x_1\"}]}";

static struct str rows_of(struct play *p, const struct job_record *jr, char *text,
                          size_t size)
{
    size_t len = 0;
    (void)p;
    text[0] = 0;
    for (size_t i = 0; i < jr->n_fan_rows; i++)
        len += (size_t)snprintf(text + len, size - len, "%s%.*s", i > 0 ? " " : "",
                                STR_ARG(jr->fan_rows[i]));
    return (struct str){text, len};
}

/* Its record as the tick has it: rows, list, page of that, and is it the last page. */
static void record_says(struct play *p, const char *rows, const char *fan_list,
                        const char *fan_token, bool last)
{
    struct job_record jr = record_of(p, output(p, p->tick->n_outputs - 1));
    char text[200];
    (void)rows_of(p, &jr, text, sizeof text);
    assert_string_equal(text, rows);
    assert_true(str_eq(jr.fan_list, str_of(fan_list)));
    assert_true(str_eq(jr.fan_token, str_of(fan_token)));
    assert_int_equal(jr.fan_last, last);
}

static void commit(struct play *p)
{
    assert_non_null(p->tick);
    end_tick(p, TICK_COMMITTED);
    live(p);
    live(p); /* the next list's topic is known */
}

static void asks(struct play *p, const char *path, const char *query)
{
    assert_int_equal(p->n_calls, 1);
    assert_string_equal(p->calls[0]->path, path);
    assert_true(str_eq(str_of(p->calls[0]->query), str_of(query)));
}

static void say(struct play *p, int status, const char *body)
{
    assert_true(answer(p, status, body));
    turn(p);
}

/* The first page is committed as a job, and it came back. */
static struct play *begun(const char *command_text, const char *first_page)
{
    struct play *p = begin();
    command(p, 0, "k", command_text);
    for (int i = 0; i < 4 && p->n_calls == 0; i++) /* three topics are asked for */
        live(p);
    assert_int_equal(p->n_calls, 1);
    say(p, 200, first_page);
    struct job_record jr = record_of(p, output(p, p->tick->n_outputs - 1));
    struct str value = encoded(p, &jr);
    end_tick(p, TICK_COMMITTED);
    job_came(p, 0, "commands/0/0", value);
    live(p);
    return p;
}

static void each_row_brings_its_lists(void **state)
{
    (void)state;
    struct play *p = begun(list, "{\"_pagination\":{\"next\":\"x?page_token=t1\"},"
                                 "\"_results\":[{\"id\":\"cnv_a\"},{\"id\":\"cnv_b\"}]}");
    asks(p, "/conversations/cnv_a/messages", "sort_order=asc&limit=100");
    say(p, 200,
        "{\"_pagination\":{\"next\":\"x?page_token=m1\"},"
        "\"_results\":[{\"id\":\"msg_1\"}]}");
    assert_string_equal(output(p, 0)->topic, "front.messages");
    assert_true(str_is(output(p, 0)->key, "msg_1"));
    record_says(p, "cnv_a cnv_b", "list-conversation-messages", "m1", false);
    commit(p);
    asks(p, "/conversations/cnv_a/messages", "page_token=m1&sort_order=asc&limit=100");
    say(p, 200, one_row);
    record_says(p, "cnv_a cnv_b", "list-conversation-comments", NULL, false);
    commit(p);
    asks(p, "/conversations/cnv_a/comments", NULL);
    say(p, 200, one_row);
    assert_string_equal(output(p, 0)->topic, "front.comments");
    record_says(p, "cnv_b", "list-conversation-messages", NULL, false);
    commit(p);
    asks(p, "/conversations/cnv_b/messages", "sort_order=asc&limit=100");
    say(p, 200, "{\"_results\":[]}");
    commit(p);
    asks(p, "/conversations/cnv_b/comments", NULL);
    say(p, 200, one_row);
    record_says(p, "", NULL, NULL, false);
    commit(p);
    asks(p, "/conversations", "page_token=t1&sort_order=asc&limit=2");
    say(p, 200, "{\"_results\":[{\"id\":\"cnv_c\"}]}");
    record_says(p, "cnv_c", "list-conversation-messages", NULL, true);
    commit(p);
    say(p, 200, one_row);
    commit(p);
    say(p, 200, one_row);
    struct result res = result_of(p, output(p, 1));
    assert_int_equal(res.outcome, SUCCEEDED);
    assert_int_equal(res.items, 9);
    assert_int_equal(res.pages, 9);
    assert_null(output(p, 2)->value.ptr);
    end(p);
}

static void max_items_counts_the_rows_of_the_list(void **state)
{
    (void)state;
    struct play *p =
        begun("{\"operation\":\"list-tags\",\"params\":{\"with\":\"[\\\"children\\\"]\","
              "\"max_items\":\"1\"}}",
              "{\"_pagination\":{\"next\":\"x?page_token=t1\"},\"_results\":"
              "[{\"id\":\"tag_a\"},{\"id\":\"tag_b\"}]}");
    asks(p, "/tags/tag_a/children", NULL);
    say(p, 200, "{\"_results\":[{\"id\":\"tag_c\"},{\"id\":\"tag_d\"}]}");
    struct result res = result_of(p, output(p, 2));
    assert_int_equal(res.outcome, SUCCEEDED);
    assert_int_equal(res.items, 3);
    end(p);
}

static void a_list_without_rows_is_no_job(void **state)
{
    struct play *p = begin();
    (void)state;
    command(p, 0, "k", list);
    for (int i = 0; i < 4 && p->n_calls == 0; i++)
        live(p);
    say(p, 200, "{\"_results\":[]}");
    assert_int_equal(p->tick->n_outputs, 1);
    assert_int_equal(result_of(p, output(p, 0)).outcome, SUCCEEDED);
    end(p);
}

/* Rows that have no id have no lists; all of the page is produced. */
static void rows_without_an_id_are_passed_over(void **state)
{
    (void)state;
    struct play *p = begun(list, "{\"_results\":[{\"subject\":\"s\"},{\"id\":7},"
                                 "{\"id\":\"cnv_b\"},{\"id\":\"\"}]}");
    asks(p, "/conversations/cnv_b/messages", "sort_order=asc&limit=100");
    end(p);
}

static void a_row_that_has_gone_is_passed_over(void **state)
{
    (void)state;
    struct play *p = begun(list, "{\"_results\":[{\"id\":\"cnv_a\"}]}");
    say(p, 404, "{\"_error\":{\"title\":\"gone\"}}");
    record_says(p, "cnv_a", "list-conversation-comments", NULL, true);
    commit(p);
    say(p, 404, "{\"_error\":{\"title\":\"gone\"}}");
    struct result res = result_of(p, output(p, 0));
    assert_int_equal(res.outcome, SUCCEEDED);
    assert_int_equal(res.items, 1);
    end(p);
}

static void what_a_rows_list_answers_else_fails_the_whole(void **state)
{
    static const struct {
        int status;
        const char *body, *kind;
    } cases[] = {
        {403, "{\"_error\":{\"title\":\"T\",\"message\":\"M\"}}", "front"},
        {400, "{\"_error\":{\"title\":\"T\",\"message\":\"M\"}}", "front"},
        {200, "{\"id\":\"x\"}", "front"},
        {200, "{\"_pagination\":{\"next\":\"x?limit=5\"},\"_results\":[]}", "page-link"}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct play *p = begun(list, "{\"_results\":[{\"id\":\"cnv_a\"}]}");
        say(p, cases[i].status, cases[i].body);
        struct result res = result_of(p, output(p, 0));
        assert_int_equal(res.outcome, FAILED);
        assert_true(str_is(res.error.kind, cases[i].kind));
        end(p);
    }
}

/* Only the row's list begins anew; the same page named again ends it. */
static void a_refused_token_of_a_rows_list_begins_that_list_anew(void **state)
{
    static const char more[] = "{\"_pagination\":{\"next\":\"x?page_token=m1\"},"
                               "\"_results\":[{\"id\":\"msg_1\"}]}";
    (void)state;
    struct play *p = begun(list, "{\"_pagination\":{\"next\":\"x?page_token=t1\"},"
                                 "\"_results\":[{\"id\":\"cnv_a\"}]}");
    say(p, 200, more);
    commit(p);
    say(p, 400, "{\"_error\":{\"title\":\"no such token\"}}");
    record_says(p, "cnv_a", "list-conversation-messages", NULL, false);
    struct job_record jr = record_of(p, output(p, 0));
    assert_true(str_is(jr.page_token, "t1"));
    assert_int_equal(jr.restarts, 1);
    assert_int_equal(jr.walk_items, 1);
    commit(p);
    asks(p, "/conversations/cnv_a/messages", "sort_order=asc&limit=100");
    say(p, 200, more);
    commit(p);
    say(p, 200, more);
    assert_true(str_is(result_of(p, output(p, 1)).error.kind, "page-link"));
    end(p);
}

/* Whoever takes it over asks for the very page that was next. */
static void it_goes_on_inside_a_page(void **state)
{
    struct str rows[] = {STR_LIT("cnv_b"), STR_LIT("cnv_c")};
    struct pair params[] = {
        {.name = STR_LIT("with"), .value = STR_LIT("messages,comments")}};
    struct job_record jr = {.id = STR_LIT("commands/0/0"),
                            .kind = STR_LIT("list"),
                            .state = STR_LIT("running"),
                            .operation = STR_LIT("list-conversations"),
                            .params = params,
                            .n_params = 1,
                            .command_id = STR_LIT("c"),
                            .reply_partition = NO_NUMBER,
                            .source_topic = str_of(commands_topic),
                            .deadline = NO_NUMBER,
                            .pages = 3,
                            .max_items = NO_NUMBER,
                            .fan_rows = rows,
                            .n_fan_rows = 2,
                            .fan_list = STR_LIT("list-conversation-messages"),
                            .fan_token = STR_LIT("m7"),
                            .seq = 4};
    struct play *p = begin();
    (void)state;
    give(p, 0, &jr);
    live(p);
    live(p);
    asks(p, "/conversations/cnv_b/messages", "page_token=m7&sort_order=asc&limit=100");
    say(p, 200, one_row);
    record_says(p, "cnv_b cnv_c", "list-conversation-comments", NULL, false);
    end(p);
}

static void with_names_lists_of_a_row(void **state)
{
    static const struct {
        const char *op, *with, *text; /* NULL: it is right */
        size_t n;
    } cases[] = {{"list-conversations", "messages", NULL, 1},
                 {"list-conversations", " comments , messages ", NULL, 2},
                 {"list-inbox-conversations", "drafts", NULL, 1},
                 {"list-contacts", "[\"notes\",\"conversations\"]", NULL, 2},
                 {"list-contact-lists", "contacts", NULL, 1},
                 {"list-message-templates", "", NULL, 0},
                 {"list-contacts", "[]", NULL, 0},
                 {"list-contacts", "note",
                  "with: a row of list-contacts has no list `note`; there are "
                  "conversations, notes",
                  0},
                 {"list-accounts", "a,",
                  "with: a row of list-accounts has no list `a`; there are "
                  "contacts",
                  0},
                 {"list-accounts", "contacts,",
                  "with: a row of list-accounts has no list ``; there are contacts", 0},
                 {"list-views", "x",
                  "with: a row of list-views has no list `x`; there is none", 0},
                 {"list-contacts", "notes,notes", "with: `notes` is there twice", 0},
                 {"list-contacts", "[7]", "with: must be names of lists", 0}};
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair p = {.name = STR_LIT("with"), .value = str_of(cases[i].with)};
        struct err e = ERR_INIT;
        struct with with;
        int rc = with_read(&p, 1, op_xget(cases[i].op), &with, &e);
        if (cases[i].text == NULL)
            assert_int_equal(rc, 0);
        else
            assert_string_equal(e.text, cases[i].text);
        if (rc == 0)
            assert_int_equal(with.n, cases[i].n);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(each_row_brings_its_lists),
        TEST(max_items_counts_the_rows_of_the_list),
        TEST(a_list_without_rows_is_no_job),
        TEST(rows_without_an_id_are_passed_over),
        TEST(a_row_that_has_gone_is_passed_over),
        TEST(what_a_rows_list_answers_else_fails_the_whole),
        TEST(a_refused_token_of_a_rows_list_begins_that_list_anew),
        TEST(it_goes_on_inside_a_page),
        TEST(with_names_lists_of_a_row),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
