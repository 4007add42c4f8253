/* Jobs: what is written comes back, all of it, and nothing else is taken for one. */
#include "codec_help.h"

#include "codec/records/job.h"

static struct pair params[] = {{STR_LIT("conversation_id"), STR_LIT("cnv_1"), false},
                               {STR_LIT("q[statuses]"), STR_LIT("[\"a\",\"b\"]"), false}};

static struct job_record most(void)
{
    return (struct job_record){
        .id = STR_LIT("front.commands/3/17"),
        .kind = STR_LIT("list"),
        .state = STR_LIT("running"),
        .operation = STR_LIT("list-contacts"),
        .params = params,
        .n_params = 2,
        .command_id = STR_LIT("c1"),
        .key = {"\0k\xff", 3},
        .reply_topic = STR_LIT("replies"),
        .reply_partition = 2,
        .echo = {{STR_LIT("kafka_correlationId"), {"\x00\xfe", 2}, false}},
        .n_echo = 1,
        .source_topic = STR_LIT("front.commands"),
        .source_partition = 3,
        .source_offset = INT64_C(1) << 40,
        .request_digest = STR_LIT("00ff"),
        .traceparent = STR_LIT("00-1"),
        .tracestate = STR_LIT("a=b"),
        .deadline = 1700000000009,
        .priority = STR_LIT("low"),
        .received_at = 1700000000001,
        .started_at = 1700000000002,
        .attempts = 4,
        .page_token = STR_LIT("t5"),
        .pages = 5,
        .items = 500,
        .walk_items = 200,
        .max_items = 1000,
        .seq = 7,
        .created_at = 1700000000003,
        .updated_at = 1700000000004,
        .restarts = 1,
        .error = STR_LIT("e"),
        .instance = STR_LIT("i"),
        .run = 1700000000005,
        .watermark = 1700000000006,
        .next_run_at = 1700000000007,
        .group = STR_LIT("g")};
}

static struct job_record least(void)
{
    return (struct job_record){.id = STR_LIT("sync/contacts"),
                               .kind = STR_LIT("sync"),
                               .state = STR_LIT("waiting"),
                               .operation = STR_LIT("list-contacts"),
                               .reply_partition = NO_NUMBER,
                               .source_partition = NO_NUMBER,
                               .source_offset = NO_NUMBER,
                               .deadline = NO_NUMBER,
                               .received_at = NO_NUMBER,
                               .started_at = NO_NUMBER,
                               .max_items = NO_NUMBER,
                               .created_at = 1,
                               .updated_at = 2};
}

static void same_text(struct str a, struct str b)
{
    assert_true((a.ptr == NULL) == (b.ptr == NULL) && str_eq(a, b));
}

static void same(const struct job_record *a, const struct job_record *b)
{
    const struct {
        struct str a, b;
    } texts[] = {{a->id, b->id},
                 {a->kind, b->kind},
                 {a->state, b->state},
                 {a->operation, b->operation},
                 {a->command_id, b->command_id},
                 {a->key, b->key},
                 {a->reply_topic, b->reply_topic},
                 {a->source_topic, b->source_topic},
                 {a->request_digest, b->request_digest},
                 {a->traceparent, b->traceparent},
                 {a->tracestate, b->tracestate},
                 {a->priority, b->priority},
                 {a->page_token, b->page_token},
                 {a->error, b->error},
                 {a->instance, b->instance},
                 {a->group, b->group}};
    const struct {
        int64_t a, b;
    } numbers[] = {{a->reply_partition, b->reply_partition},
                   {a->source_partition, b->source_partition},
                   {a->source_offset, b->source_offset},
                   {a->deadline, b->deadline},
                   {a->received_at, b->received_at},
                   {a->started_at, b->started_at},
                   {a->attempts, b->attempts},
                   {a->pages, b->pages},
                   {a->items, b->items},
                   {a->walk_items, b->walk_items},
                   {a->max_items, b->max_items},
                   {a->seq, b->seq},
                   {a->created_at, b->created_at},
                   {a->updated_at, b->updated_at},
                   {a->restarts, b->restarts},
                   {a->run, b->run},
                   {a->watermark, b->watermark},
                   {a->next_run_at, b->next_run_at}};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        same_text(texts[i].a, texts[i].b);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        assert_int_equal(numbers[i].a, numbers[i].b);
    assert_int_equal(a->n_params, b->n_params);
    for (size_t i = 0; i < a->n_params; i++) {
        same_text(a->params[i].name, b->params[i].name);
        same_text(a->params[i].value, b->params[i].value);
    }
    assert_int_equal(a->n_echo, b->n_echo);
    for (size_t i = 0; i < a->n_echo; i++) {
        same_text(a->echo[i].name, b->echo[i].name);
        same_text(a->echo[i].value, b->echo[i].value);
    }
}

static void round_trip(struct schemas *ss, struct job_record jr)
{
    struct err e = ERR_INIT;
    struct job_record back;
    struct arena a;
    struct buf bytes;

    arena_init(&a, 0);
    buf_init(&bytes, 1 << 16);
    assert_int_equal(job_record_encode(ss, &jr, &bytes), 0);
    assert_int_equal(job_record_decode(ss, buf_str(&bytes), &a, &back, &e), 0);
    same(&jr, &back);
    buf_fini(&bytes);
    arena_fini(&a);
}

static void what_is_written_comes_back(void **state)
{
    round_trip(*state, most());
    round_trip(*state, least());
}

static void what_is_no_job_is_refused(void **state)
{
    struct result res = {.command_id = STR_LIT("c"),
                         .operation = STR_LIT("o"),
                         .http_status = NO_NUMBER,
                         .items = NO_NUMBER,
                         .pages = NO_NUMBER,
                         .started_at = NO_NUMBER,
                         .source_partition = NO_NUMBER,
                         .source_offset = NO_NUMBER};
    struct err e = ERR_INIT;
    struct job_record out;
    struct arena a;
    struct buf bytes;

    arena_init(&a, 0);
    buf_init(&bytes, 1 << 16);
    assert_int_equal(result_encode(*state, &res, &bytes), 0);
    assert_int_equal(job_record_decode(*state, buf_str(&bytes), &a, &out, &e), -1);
    assert_int_equal(job_record_decode(*state, STR_LIT("{}"), &a, &out, &e), -1);
    assert_int_equal(job_record_decode(*state, STR_NULL, &a, &out, &e), -1);
    buf_fini(&bytes);
    arena_fini(&a);
}

static int set_up(void **state)
{
    struct err e = ERR_INIT;

    *state = schemas_new(NULL, &e);
    return *state != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    schemas_free(*state);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_comes_back),
        cmocka_unit_test(what_is_no_job_is_refused),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
