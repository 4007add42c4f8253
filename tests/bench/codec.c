/* Nanoseconds per record of the codec's hot paths, one line each. Not a test: figures
 * depend on the machine; `make bench` runs it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/avro.h"
#include "codec/json.h"
#include "codec/records/command.h"
#include "codec/records/result.h"
#include "front/catalogue.h"

enum { ROUNDS = 300000 };

struct bench {
    struct schemas *ss;
    struct arena a;
    struct buf generic, typed, json, out;
    struct result res;
};

static const char answer[] =
    "{\"_links\":{\"self\":\"https://api2.frontapp.com/contacts/"
    "crd_55c8c149\",\"related\":{"
    "\"notes\":\"https://api2.frontapp.com/contacts/crd_55c8c149/"
    "notes\",\"conversations\":"
    "\"https://api2.frontapp.com/contacts/crd_55c8c149/conversations\",\"owner\":null}},"
    "\"id\":\"crd_55c8c149\",\"name\":\"Calculon\",\"description\":\"\",\"avatar_url\":"
    "null,"
    "\"is_spammer\":true,\"links\":[\"http://example.com\"],\"handles\":[{\"handle\":"
    "\"calculon@momsbot.com\",\"source\":\"email\"}],\"groups\":[{\"id\":\"grp_3j8w\","
    "\"name\":\"The ABC Group\",\"is_private\":false}],\"updated_at\":1701292649.333,"
    "\"custom_fields\":{\"city\":\"London, "
    "UK\",\"isVIP\":true,\"special_datetime\":1525417200},"
    "\"is_private\":true}";

static void decode_generic(struct bench *b)
{
    struct command cmd;
    struct err e = ERR_INIT;

    if (command_decode_avro(b->ss, typed_record_find, buf_str(&b->generic), &b->a, &cmd,
                            &e) != FRAMING_OK)
        abort();
}

static void decode_typed(struct bench *b)
{
    struct command cmd;
    struct err e = ERR_INIT;

    if (command_decode_avro(b->ss, typed_record_find, buf_str(&b->typed), &b->a, &cmd,
                            &e) != FRAMING_OK)
        abort();
}

static void decode_json(struct bench *b)
{
    struct command cmd;
    struct err e = ERR_INIT;

    if (command_decode_json(buf_str(&b->json), &b->a, &cmd, &e) != 0)
        abort();
}

static void walk_generic(struct bench *b)
{
    const struct schema *sc = schemas_xget(b->ss, "front.Command");
    struct err e = ERR_INIT;

    if (avro_walk(sc->form->root, (struct str){b->generic.data + 10, b->generic.len - 10},
                  &e) != 0)
        abort();
}

static void encode_result(struct bench *b)
{
    if (result_encode(b->ss, &b->res, &b->out) != 0)
        abort();
}

static void find_id(struct bench *b)
{
    char id[64];

    (void)b;
    if (json_unquote(json_member((struct str){answer, sizeof(answer) - 1}, "id"), id,
                     sizeof(id)) != 0)
        abort();
}

static void check_answer(struct bench *b)
{
    (void)b;
    if (!json_is_valid((struct str){answer, sizeof(answer) - 1}))
        abort();
}

static void fill(struct bench *b)
{
    struct pair params[] = {{STR_LIT("contact_id"), STR_LIT("crd_55c8c149"), false}};
    struct command cmd = {
        .command_id = STR_LIT("6c7f3c3e-7a43-4a53-9d0c-4b1c6f0d1c11"),
        .operation = STR_LIT("update-a-contact"),
        .params = params,
        .n_params = 1,
        .body =
            STR_LIT("{\"name\":\"Calculon\",\"description\":\"#vip #robot #RIP\","
                    "\"links\":[\"http://example.com\"],\"list_names\":[\"a\",\"b\"]}")};
    struct err e = ERR_INIT;

    b->ss = schemas_new(NULL, &e);
    arena_init(&b->a, 0);
    buf_init(&b->generic, 1 << 16);
    buf_init(&b->typed, 1 << 16);
    buf_init(&b->json, 1 << 16);
    buf_init(&b->out, 1 << 16);
    if (command_encode_avro(b->ss, &cmd, &b->generic, &e) != 0 ||
        command_encode_typed(b->ss, op_xget("update-a-contact")->record, &cmd, &b->typed,
                             &e) != 0 ||
        command_encode_json(&cmd, &b->json, &e) != 0)
        abort();
    b->res =
        (struct result){.command_id = cmd.command_id,
                        .operation = cmd.operation,
                        .outcome = SUCCEEDED,
                        .http_status = 200,
                        .resource_id = STR_LIT("crd_55c8c149"),
                        .response = {answer, sizeof(answer) - 1},
                        .attempts = 1,
                        .items = NO_NUMBER,
                        .pages = NO_NUMBER,
                        .received_at = 1700000000000,
                        .started_at = 1700000000001,
                        .finished_at = 1700000000099,
                        .quota = {true, 100, 57, 1700000060000},
                        .source_topic = STR_LIT("front.commands"),
                        .source_partition = 3,
                        .source_offset = 123456,
                        .request_digest = STR_LIT("0123456789abcdef0123456789abcdef")};
}

static int64_t now_ns(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void run(struct bench *b, const char *name, void (*once)(struct bench *b))
{
    int64_t start = now_ns();
    int i;

    for (i = 0; i < ROUNDS; i++) {
        once(b);
        arena_reset(&b->a);
        buf_reset(&b->out);
    }
    printf("%-42s %6" PRId64 " ns\n", name, (now_ns() - start) / ROUNDS);
}

int main(void)
{
    struct bench b;

    fill(&b);
    run(&b, "command, generic Avro: walk alone", walk_generic);
    run(&b, "command, generic Avro: decode", decode_generic);
    run(&b, "command, typed Avro: decode", decode_typed);
    run(&b, "command, JSON: decode", decode_json);
    run(&b, "result with an answer of 750 B: encode", encode_result);
    run(&b, "answer of 750 B: id found", find_id);
    run(&b, "answer of 750 B: checked to be JSON", check_answer);
    schemas_free(b.ss);
    arena_fini(&b.a);
    buf_fini(&b.generic);
    buf_fini(&b.typed);
    buf_fini(&b.json);
    buf_fini(&b.out);
    return 0;
}
