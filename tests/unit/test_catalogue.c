/* The generated catalogue is what the contracts say of it, and its look-ups find what
 * they should. */
#include <string.h>

#include "codec/schemas.h"
#include "front/catalogue.h"
#include "support.h"

static size_t count_if(bool (*claim)(const struct op *op))
{
    size_t i, n = 0;

    for (i = 0; i < catalogue_table_n; i++)
        n += claim(&catalogue_table[i]) ? 1 : 0;
    return n;
}

static bool in_list(const char *list, const char *word, char separator)
{
    struct str rest = str_of(list);

    while (rest.ptr != NULL) {
        if (str_is(str_split(&rest, separator), word))
            return true;
    }
    return false;
}

static bool is_a(const struct op *op)
{
    return op->klass == CLASS_A;
}
static bool is_b(const struct op *op)
{
    return op->klass == CLASS_B;
}
static bool is_c(const struct op *op)
{
    return op->klass == CLASS_C;
}
static bool is_d(const struct op *op)
{
    return op->klass == CLASS_D;
}
static bool is_list(const struct op *op)
{
    return op->list;
}
static bool is_paged(const struct op *op)
{
    return op->paged;
}
static bool may_be_merged(const struct op *op)
{
    return op->merged_301;
}
static bool is_binary(const struct op *op)
{
    return op->binary;
}
static bool takes_file(const struct op *op)
{
    return op->file_field != NULL;
}
static bool is_channel_api(const struct op *op)
{
    return op->auth == AUTH_CHANNEL;
}
static bool has_q(const struct op *op)
{
    return op_field(op, STR_LIT("q"), PLACE_Q) != NULL;
}
static bool delete_with_body(const struct op *op)
{
    return op->method == HTTP_DELETE && op->has_body;
}
static bool any(const struct op *op)
{
    (void)op;
    return true;
}

static void test_counts_are_those_of_the_contracts(void **state)
{
    static const struct {
        const char *what;
        bool (*claim)(const struct op *op);
        size_t n;
    } cases[] = {
        {"all", any, 255},
        {"class A", is_a, 194},
        {"class B", is_b, 5},
        {"class C", is_c, 46},
        {"class D", is_d, 10},
        {"lists", is_list, 85},
        {"paged lists", is_paged, 29},
        {"may answer 301", may_be_merged, 19},
        {"downloads", is_binary, 5},
        {"channel API", is_channel_api, 11},
        {"query object q", has_q, 13},
        {"DELETE with a body", delete_with_body, 14},
        /* the 19 Front publishes, and update-message-template, whose body is a correction
         */
        {"file field", takes_file, 20},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        if (count_if(cases[i].claim) != cases[i].n)
            fail_msg("%s: %zu, not %zu", cases[i].what, count_if(cases[i].claim),
                     cases[i].n);
    }
}

static void test_rows_are_sorted_and_unique(void **state)
{
    size_t i;

    (void)state;
    for (i = 1; i < catalogue_table_n; i++)
        assert_true(strcmp(catalogue_table[i - 1].name, catalogue_table[i].name) < 0);
    for (i = 1; i < catalogue_aliases_n; i++)
        assert_true(strcmp(catalogue_aliases[i - 1].alias, catalogue_aliases[i].alias) <
                    0);
    for (i = 1; i < catalogue_titles_n; i++)
        assert_true(strcmp(catalogue_titles[i - 1].alias, catalogue_titles[i].alias) <=
                    0);
    assert_int_equal(catalogue_records_n, catalogue_table_n);
    for (i = 1; i < catalogue_records_n; i++)
        assert_true(strcmp(catalogue_records[i - 1]->full_name,
                           catalogue_records[i]->full_name) < 0);
}

static void test_every_row_is_found_by_its_names(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];

        assert_ptr_equal(op_find(str_of(op->name)), op);
        assert_ptr_equal(op_xget(op->name), op);
        assert_int_equal(op_index(op), i);
        assert_string_equal(op->record->operation, op->name);
        assert_ptr_equal(typed_record_find(str_of(op->record->full_name)), op->record);
    }
    assert_null(op_find(STR_NULL));
    assert_null(op_find(STR_LIT("")));
    assert_null(op_find(STR_LIT("call")));
    assert_null(op_find(STR_LIT("list-tag")));
    assert_null(op_find(STR_LIT("list-tagss")));
    assert_null(typed_record_find(STR_NULL));
    assert_null(typed_record_find(STR_LIT("front.command.Nothing")));
    assert_null(typed_record_find(STR_LIT("front.Command")));
}

static void test_aliases_resolve(void **state)
{
    static const struct op_alias cases[] = {
        {"list-responses", "list-message-templates"},
        {"get-response", "get-message-template"},
        {"list-contact-groups", "list-contact-lists"},
        {"create-contact-group", "create-contact-list"},
        {"delete-contact-group", "delete-contact-list"},
        {"add-contacts-to-contact-group", "add-contacts-to-contact-list"},
    };
    size_t i;

    (void)state;
    assert_int_equal(catalogue_aliases_n, COUNT(cases));
    for (i = 0; i < COUNT(cases); i++)
        assert_string_equal(op_find(str_of(cases[i].alias))->name, cases[i].name);
}

/* The parameters between braces are the path fields, in the same order, all required. */
static void check_path(const struct op *op)
{
    struct str rest = str_of(op->path);
    size_t at = 1; /* behind command_id */

    assert_int_equal(op->path[0], '/');
    while (rest.ptr != NULL) {
        struct str part = str_split(&rest, '/');

        if (!str_starts(part, "{"))
            continue;
        assert_int_equal(op->record->fields[at].place, PLACE_PATH);
        assert_true(op->record->fields[at].required);
        assert_true(str_is((struct str){part.ptr + 1, part.len - 2},
                           op->record->fields[at].name));
        at++;
    }
    for (; at < op->record->n_fields; at++)
        assert_int_not_equal(op->record->fields[at].place, PLACE_PATH);
}

static void test_placeholders_are_the_path_fields(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < catalogue_table_n; i++)
        check_path(&catalogue_table[i]);
}

static void check_fields(const struct shape *fields, size_t n, bool nested)
{
    size_t i;

    for (i = 0; i < n; i++) {
        const struct shape *f = &fields[i];

        assert_int_equal(f->type == SHAPE_OBJECT, f->n_fields > 0);
        assert_int_equal(f->type == SHAPE_TIME, f->time != TIME_NONE);
        assert_int_equal(nested, f->place == PLACE_NESTED);
        if (f->place == PLACE_BODY || nested)
            assert_int_not_equal(f->json_types, 0);
        if (f->array && (f->place == PLACE_BODY || nested))
            assert_int_equal(f->json_types, JSON_IS_ARRAY);
        if (f->type == SHAPE_OBJECT)
            check_fields(f->fields, f->n_fields, true);
    }
}

static void test_fields_stand_in_order(void **state)
{
    static const enum shape_place order[] = {
        PLACE_COMMAND_ID, PLACE_PATH, PLACE_QUERY,    PLACE_BODY,
        PLACE_MAX_ITEMS,  PLACE_WITH, PLACE_SET_NULL,
    };
    size_t i, j;

    (void)state;
    for (i = 0; i < catalogue_table_n; i++) {
        const struct typed_record *rec = catalogue_table[i].record;
        size_t at = 0;

        for (j = 0; j < rec->n_fields; j++) {
            enum shape_place place = rec->fields[j].place;

            if (place == PLACE_Q)
                place = PLACE_QUERY;
            while (at < COUNT(order) && order[at] != place)
                at++;
            assert_true(at < COUNT(order));
        }
        check_fields(rec->fields, rec->n_fields, false);
        assert_string_equal(rec->fields[0].name, "command_id");
        assert_string_equal(rec->fields[rec->n_fields - 1].name, "set_null");
    }
}

static void test_flags_agree_with_fields(void **state)
{
    size_t i, j;

    (void)state;
    for (i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        bool has_fields = false, required = false;

        for (j = 0; j < op->record->n_fields; j++) {
            const struct shape *f = &op->record->fields[j];

            has_fields = has_fields || f->place == PLACE_BODY;
            required = required || (f->place == PLACE_BODY && f->required);
        }
        if (strcmp(op->name, "mark-message-seen") != 0) /* takes {} */
            assert_int_equal(has_fields, op->has_body);
        assert_int_equal(required, op->body_required);
        assert_int_equal(op->list, op_field(op, STR_LIT("with"), PLACE_WITH) != NULL);
        assert_int_equal(op->list,
                         op_field(op, STR_LIT("max_items"), PLACE_MAX_ITEMS) != NULL);
        assert_int_equal(op->list, op->resource != NULL);
        assert_int_equal(op->paged,
                         op_field(op, STR_LIT("page_token"), PLACE_QUERY) != NULL);
        assert_int_equal(op->paged, op_field(op, STR_LIT("limit"), PLACE_QUERY) != NULL);
        assert_int_equal(op->paged, op->page_max > 0);
        assert_true(op->help != NULL && op->help[strlen(op->help) - 1] == '.');
        if (op->method != HTTP_POST)
            assert_int_equal(op->klass, CLASS_A);
        if (op->method == HTTP_DELETE)
            assert_string_equal(op->repeat_ok_status, "404");
        if (op->guard_param != NULL)
            assert_non_null(op_field(op, str_of(op->guard_param), PLACE_PATH));
    }
}

static void test_every_class_c_operation_has_a_probe(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        const struct op *list;

        assert_int_equal(op->klass == CLASS_C, op->probe.list != NULL);
        if (op->probe.list == NULL)
            continue;
        list = op_find(str_of(op->probe.list));
        assert_non_null(list);
        assert_true(list->list);
        assert_int_equal(op->probe.text != NULL, op->probe.body_text != NULL);
        if (op->probe.body_text != NULL && strchr(op->probe.body_text, '.') == NULL)
            assert_non_null(op_field(op, str_of(op->probe.body_text), PLACE_BODY));
        if (op->probe.absence_proves)
            assert_non_null(op->probe.text);
        if (op->probe.via != NULL)
            assert_non_null(op_find(str_of(op->probe.via)));
        /* built after the 202: what is not there yet may still come */
        if (strcmp(op->statuses, "202") == 0)
            assert_false(op->probe.absence_proves);
    }
}

/* The list of a probe needs no path parameter that the command, or `via`, does not give.
 */
static void test_probe_lists_can_be_addressed(void **state)
{
    size_t i, j;

    (void)state;
    for (i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];
        const struct op *list = op->probe.list ? op_xget(op->probe.list) : NULL;

        for (j = 0; list != NULL && op->probe.via == NULL && j < list->record->n_fields;
             j++) {
            const struct shape *f = &list->record->fields[j];

            if (f->place == PLACE_PATH)
                assert_non_null(op_field(op, str_of(f->name), PLACE_PATH));
        }
    }
}

static void test_guards(void **state)
{
    static const struct {
        const char *name;
        enum op_guard guard;
        const char *param;
    } cases[] = {
        {"create-analytics-report", GUARD_ANALYTICS, NULL},
        {"create-analytics-export", GUARD_ANALYTICS, NULL},
        {"search-conversations", GUARD_SEARCH, NULL},
        {"create-link", GUARD_LINKS, NULL},
        {"mark-message-seen", GUARD_SEEN, "message_id"},
        {"create-message", GUARD_RESOURCE, "channel_id"},
        {"create-message-reply", GUARD_RESOURCE, "conversation_id"},
        {"receive-custom-messages", GUARD_RESOURCE, "channel_id"},
        {"update-conversation", GUARD_RESOURCE, "conversation_id"},
        {"update-conversation-assignee", GUARD_RESOURCE, "conversation_id"},
        {"add-conversation-tag", GUARD_RESOURCE, "conversation_id"},
        {"remove-conversation-tag", GUARD_RESOURCE, "conversation_id"},
        {"list-conversations", GUARD_NONE, NULL},
        {"get-analytics-report", GUARD_NONE, NULL},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        const struct op *op = op_xget(cases[i].name);

        assert_int_equal(op->guard, cases[i].guard);
        if (cases[i].param != NULL)
            assert_string_equal(op->guard_param, cases[i].param);
        else
            assert_null(op->guard_param);
    }
    for (i = 0; i < GUARDS; i++)
        assert_non_null(guard_names[i]);
}

static void test_classes_that_are_easy_to_get_wrong(void **state)
{
    static const struct {
        const char *name;
        enum op_class klass;
    } cases[] = {
        {"create-contact", CLASS_B},       {"create-team-contact", CLASS_B},
        {"import-inbox-message", CLASS_B}, {"create-link", CLASS_B},
        {"create-message", CLASS_C},       {"create-message-reply", CLASS_C},
        {"add-comment", CLASS_C},          {"add-comment-reply", CLASS_C},
        {"create-draft-reply", CLASS_C},   {"create-draft", CLASS_D},
        {"merge-contacts", CLASS_D},       {"validate-channel", CLASS_D},
        {"trigger-app-event", CLASS_D},    {"create-analytics-export", CLASS_D},
        {"create-call", CLASS_D},          {"add-conversation-tag", CLASS_A},
        {"add-inbox-access", CLASS_A},     {"mark-message-seen", CLASS_A},
        {"update-conversation", CLASS_A},  {"delete-conversation", CLASS_A},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++)
        assert_int_equal(op_xget(cases[i].name)->klass, cases[i].klass);
    assert_string_equal(op_xget("add-inbox-access")->repeat_ok_status, "400,409");
    assert_null(op_xget("mark-message-seen")->repeat_ok_status);
    assert_null(op_xget("add-comment")->repeat_ok_status);
}

static void test_corrections(void **state)
{
    const struct op *op;

    (void)state;
    op = op_xget("update-channel-status");
    assert_int_equal(op->auth, AUTH_CHANNEL);
    assert_string_equal(op->record->full_name, "front.command.UpdateChannelStatus");
    assert_non_null(op_field(op, STR_LIT("status"), PLACE_BODY));
    assert_int_equal(op_xget("update-channel")->auth, AUTH_TOKEN);
    assert_string_equal(op_xget("get-child-templates")->resource, "message-templates");
    assert_string_equal(op_xget("get-child-folders")->resource,
                        "message-template-folders");
    assert_string_equal(op_xget("list-conversation-drafts")->resource, "drafts");
    op = op_xget("update-message-template");
    assert_true(op->has_body);
    assert_non_null(op_field(op, STR_LIT("folder_id"), PLACE_BODY));
    assert_string_equal(op->file_field, "attachments");
    assert_string_equal(op_xget("list-notes")->statuses, "200,202");
    assert_string_equal(op_xget("update-comment")->path, "/comments/{comment_id}/");
    assert_string_equal(op_xget("edit-draft")->path, "/drafts/{message_id}/");
    op = op_xget("create-message");
    assert_string_equal(op->one_of, "to|cc|bcc");
    assert_false(op_field(op, STR_LIT("to"), PLACE_BODY)->required);
    assert_true(op_field(op, STR_LIT("body"), PLACE_BODY)->required);
    assert_int_equal(op_xget("list-events")->page_max, 15);
    assert_int_equal(op_xget("list-contacts")->page_max, 100);
}

static void test_files(void **state)
{
    static const struct {
        const char *name, *field;
    } cases[] = {
        {"add-call-recording", "attachments"},
        {"create-contact", "avatar"},
        {"update-a-contact", "avatar"},
        {"create-conversation", "comment[attachments]"},
        {"edit-draft", "attachments"},
        {"import-inbox-message", "attachments"},
        {"sync-outbound-message", "attachments"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++)
        assert_string_equal(op_xget(cases[i].name)->file_field, cases[i].field);
    for (i = 0; i < catalogue_table_n; i++) {
        bool recording = strcmp(catalogue_table[i].name, "add-call-recording") == 0;

        assert_int_equal(catalogue_table[i].multipart_only, recording);
        assert_int_equal(catalogue_table[i].file_required, recording);
    }
}

static void test_times(void **state)
{
    static const struct {
        const char *name, *field;
        enum shape_time time;
    } cases[] = {
        {"create-call", "started_at", TIME_MILLIS},
        {"update-call", "occurred_at", TIME_MILLIS},
        {"import-inbox-message", "created_at", TIME_SECONDS},
        {"sync-inbound-message", "delivered_at", TIME_SECONDS},
        {"update-conversation", "due_at", TIME_FRACTION},
        {"create-time-off", "end_at", TIME_FRACTION},
        {"create-analytics-report", "start", TIME_FRACTION},
        {"create-analytics-export", "end", TIME_FRACTION},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        const struct shape *f =
            op_field(op_xget(cases[i].name), str_of(cases[i].field), PLACE_BODY);

        assert_non_null(f);
        assert_int_equal(f->type, SHAPE_TIME);
        assert_int_equal(f->time, cases[i].time);
    }
}

static void test_variants_become_one_body(void **state)
{
    const struct op *call = op_xget("create-call");
    const struct shape *columns =
        op_field(op_xget("create-analytics-export"), STR_LIT("columns"), PLACE_BODY);

    (void)state;
    assert_false(op_field(call, STR_LIT("from"), PLACE_BODY)->required);
    assert_false(op_field(call, STR_LIT("to"), PLACE_BODY)->required);
    assert_true(op_field(call, STR_LIT("external_call_id"), PLACE_BODY)->required);
    assert_int_equal(columns->type, SHAPE_JSON);
    assert_false(columns->array);
    assert_int_equal(columns->json_types, JSON_IS_ARRAY);
    assert_true(columns->required);
}

static void test_titles(void **state)
{
    size_t i, different = 0;

    (void)state;
    for (i = 0; i < catalogue_titles_n; i++) {
        const struct op_alias *title = &catalogue_titles[i];

        different += i == 0 || strcmp(title[-1].alias, title->alias) != 0 ? 1 : 0;
        if (strcmp(title->name, "call") == 0)
            assert_string_equal(title->alias, "Make an API Call");
        else
            assert_true(in_list(op_xget(title->name)->titles, title->alias, '|'));
    }
    assert_int_equal(different, 43);
}

/* Every module title, typed as words, brings its operation first. */
static void test_titles_are_found_by_search(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < catalogue_titles_n; i++) {
        const struct op *found[4];
        size_t n = op_search(str_of(catalogue_titles[i].alias), found, COUNT(found));

        if (strcmp(catalogue_titles[i].name, "call") == 0)
            continue;
        assert_true(n > 0);
        assert_true(in_list(found[0]->titles, catalogue_titles[i].alias, '|'));
    }
}

static void test_search(void **state)
{
    static const struct {
        const char *words;
        const char *first, *second; /* NULL: whatever */
    } cases[] = {
        {"create inbox", "create-inbox", "create-team-inbox"},
        {"CREATE   Inbox", "create-inbox", "create-team-inbox"},
        {"create-inbox", "create-inbox", "create-team-inbox"},
        {"update-a-contact", "update-a-contact", NULL},
        {"reply message", "create-message-reply", NULL},
        {"assignee", "update-conversation-assignee", NULL},
        {"webhook", NULL, NULL},
        {"inbox zebra", NULL, NULL},
        {"", NULL, NULL},
        {"  ", NULL, NULL},
    };
    const struct op *found[300];
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        size_t n = op_search(str_of(cases[i].words), found, COUNT(found));

        if (cases[i].first == NULL) {
            assert_int_equal(n, 0);
            continue;
        }
        assert_true(n > 0);
        assert_string_equal(found[0]->name, cases[i].first);
        if (cases[i].second != NULL)
            assert_string_equal(found[1]->name, cases[i].second);
    }
    assert_int_equal(op_search(STR_LIT("list"), found, 3), 3);
    assert_true(op_search(STR_LIT("list"), found, COUNT(found)) >= 80);
    assert_int_equal(op_search(STR_NULL, found, COUNT(found)), 0);
}

static void test_nearest(void **state)
{
    static const struct {
        const char *typed, *nearest;
    } cases[] = {
        {"update-conversaton", "update-conversation"},
        {"creat-message", "create-message"},
        {"list-respnses", "list-responses"},
        {"Create Inbx", "create-team-inbox"},
        {"qqqqqqqqqqqqqqqqqqqq", NULL},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        const char *nearest = op_nearest(str_of(cases[i].typed));

        if (cases[i].nearest == NULL)
            assert_null(nearest);
        else
            assert_string_equal(nearest, cases[i].nearest);
    }
    assert_null(op_nearest(STR_NULL));
}

static void test_match(void **state)
{
    static const struct {
        enum http_method method;
        const char *path, *name; /* NULL: no row */
    } cases[] = {
        {HTTP_GET, "/contacts/crd_1", "get-contact"},
        {HTTP_GET, "/contacts/custom_fields", "list-contact-custom-fields"},
        {HTTP_POST, "/contacts/merge", "merge-contacts"},
        {HTTP_PATCH, "/channels/cha_1", "update-channel"},
        {HTTP_PATCH, "/comments/com_1/", "update-comment"},
        {HTTP_PATCH, "/comments/com_1", "update-comment"},
        {HTTP_GET, "/tags/", "list-tags"},
        {HTTP_GET, "/conversations/search/is:open", "search-conversations"},
        {HTTP_GET, "/me", "api-token-details"},
        {HTTP_PUT, "/contacts/crd_1", NULL},
        {HTTP_GET, "/contacts/crd_1/nothing", NULL},
        {HTTP_GET, "/contacts//notes", NULL},
        {HTTP_GET, "/", NULL},
        {HTTP_GET, "", NULL},
    };
    size_t i;

    (void)state;
    for (i = 0; i < COUNT(cases); i++) {
        const struct op *op = op_match(cases[i].method, str_of(cases[i].path));

        if (cases[i].name == NULL)
            assert_null(op);
        else
            assert_string_equal(op->name, cases[i].name);
    }
    assert_null(op_match(HTTP_GET, STR_NULL));
}

static const struct schema_row *row_of(const char *full_name)
{
    size_t i;

    for (i = 0; i < schemas_table_n; i++) {
        if (strcmp(schemas_table[i].full_name, full_name) == 0)
            return &schemas_table[i];
    }
    return NULL;
}

static void test_schemas_table(void **state)
{
    size_t i;

    (void)state;
    assert_int_equal(schemas_table_n, 255 + 27 + 4);
    for (i = 0; i < schemas_table_n; i++) {
        assert_int_equal(strlen(schemas_table[i].text), schemas_table[i].text_len);
        if (i > 0)
            assert_true(
                strcmp(schemas_table[i - 1].full_name, schemas_table[i].full_name) < 0);
    }
    for (i = 0; i < catalogue_table_n; i++)
        assert_non_null(row_of(catalogue_table[i].record->full_name));
    assert_non_null(row_of("front.Command"));
    assert_non_null(row_of("front.Result"));
    assert_non_null(row_of("front.Event"));
    assert_non_null(row_of("front.Job"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_are_those_of_the_contracts),
        cmocka_unit_test(test_rows_are_sorted_and_unique),
        cmocka_unit_test(test_every_row_is_found_by_its_names),
        cmocka_unit_test(test_aliases_resolve),
        cmocka_unit_test(test_placeholders_are_the_path_fields),
        cmocka_unit_test(test_fields_stand_in_order),
        cmocka_unit_test(test_flags_agree_with_fields),
        cmocka_unit_test(test_every_class_c_operation_has_a_probe),
        cmocka_unit_test(test_probe_lists_can_be_addressed),
        cmocka_unit_test(test_guards),
        cmocka_unit_test(test_classes_that_are_easy_to_get_wrong),
        cmocka_unit_test(test_corrections),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_times),
        cmocka_unit_test(test_variants_become_one_body),
        cmocka_unit_test(test_titles),
        cmocka_unit_test(test_titles_are_found_by_search),
        cmocka_unit_test(test_search),
        cmocka_unit_test(test_nearest),
        cmocka_unit_test(test_match),
        cmocka_unit_test(test_schemas_table),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
