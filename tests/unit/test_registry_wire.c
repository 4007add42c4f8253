/* What registries answer, each in its own way, and what is made of it: tables. */
#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "codec/registry_wire.h"
#include "support.h"

#define AVRO "{\"type\":\"string\"}"

struct answer_row {
    const char *who; /* and what */
    enum registry_question question;
    int status;
    const char *body;
    enum registry_said said;
    int32_t id;
    const char *text; /* the schema, or a part of `why` */
};

static const struct answer_row rows[] = {
    /* Apicurio Registry 2.6, as measured */
    {"Apicurio: an id", ASK_BY_ID, 200,
     "{\"schema\":\"\\\"string\\\"\",\"references\":[]}", SAID_YES, 0, "\"string\""},
    {"Apicurio: no such id", ASK_BY_ID, 404,
     "{\"error_code\":40403,\"message\":\"No content with id/hash 'contentId-999' was "
     "found.\"}",
     SAID_NO, 0, "contentId-999"},
    {"Apicurio: look-up", ASK_NORMALIZED, 200,
     "{\"subject\":\"s\",\"id\":12,\"version\":1,\"schema\":\"{}\",\"references\":[]}",
     SAID_YES, 12, ""},
    {"Apicurio: no subject", ASK_NORMALIZED, 404,
     "{\"error_code\":40401,\"message\":\"No artifact with ID 's'\"}", SAID_NO, 0, "'s'"},
    {"Apicurio: other text", ASK_AS_IS, 404,
     "{\"error_code\":40403,\"message\":\"No artifact version\"}", SAID_NO, 0, "40"},
    {"Apicurio: registered", ASK_REGISTER, 200, "{\"id\":3}", SAID_YES, 3, ""},
    {"Apicurio: incompatible", ASK_REGISTER, 409,
     "{\"error_code\":409,\"message\":\"Incompatible artifact: s [AVRO]\"}", SAID_REFUSED,
     0, "Incompatible"},
    {"Apicurio: no Avro", ASK_REGISTER, 422,
     "{\"error_code\":42201,\"message\":\"Syntax or semantic violation\"}", SAID_REFUSED,
     0, "violation"},
    {"Apicurio: compatible", ASK_COMPATIBLE, 200,
     "{\"is_compatible\":true,\"reason\":null}", SAID_YES, 0, ""},
    {"Apicurio: not compatible", ASK_COMPATIBLE, 200,
     "{\"is_compatible\":false,\"reason\":\"a field is gone\"}", SAID_NO, 0,
     "a field is gone"},
    {"Apicurio: a path it does not have", ASK_SUBJECTS, 404,
     "{\"error_code\":0,\"message\":\"RESTEASY003210\"}", SAID_NOTHING, 0, "404"},
    {"Apicurio: subjects", ASK_SUBJECTS, 200, "[\"a\",\"b\"]", SAID_YES, 0, ""},
    /* Confluent's */
    {"Confluent: an id", ASK_BY_ID, 200, "{\"schema\":\"{\\\"type\\\":\\\"string\\\"}\"}",
     SAID_YES, 0, AVRO},
    {"Confluent: newer ones say the type", ASK_BY_ID, 200,
     "{\"schemaType\":\"AVRO\",\"schema\":\"\\\"int\\\"\",\"guid\":\"x\"}", SAID_YES, 0,
     "\"int\""},
    {"Confluent: another type", ASK_BY_ID, 200,
     "{\"schemaType\":\"PROTOBUF\",\"schema\":\"syntax = ...\"}", SAID_REFUSED, 0,
     "not Avro"},
    {"Confluent: references", ASK_BY_ID, 200,
     "{\"schema\":\"\\\"int\\\"\",\"references\":[{\"name\":\"a\"}]}", SAID_REFUSED, 0,
     "refers"},
    {"Confluent: no such id", ASK_BY_ID, 404,
     "{\"error_code\":40403,\"message\":\"Schema 9 not found\"}", SAID_NO, 0,
     "Schema 9 not found"},
    {"Confluent: not its path", ASK_BY_ID, 404,
     "{\"error_code\":404,\"message\":\"HTTP 404 Not Found\"}", SAID_NOTHING, 0, "404"},
    {"Confluent: no version", ASK_NORMALIZED, 404,
     "{\"error_code\":40402,\"message\":\"Version not found\"}", SAID_NO, 0, "Version"},
    {"Confluent: read only", ASK_REGISTER, 422,
     "{\"error_code\":42205,\"message\":\"Subject s is in read-only mode\"}",
     SAID_REFUSED, 0, "read-only"},
    {"Confluent: nothing to compare with", ASK_COMPATIBLE, 404,
     "{\"error_code\":40401,\"message\":\"Subject not found\"}", SAID_YES, 0, ""},
    {"Confluent: not compatible", ASK_COMPATIBLE, 200,
     "{\"is_compatible\":false,\"messages\":[\"READER_FIELD_MISSING\",\"x\"]}", SAID_NO,
     0, "READER_FIELD_MISSING"},
    {"Confluent: its store fails", ASK_BY_ID, 500,
     "{\"error_code\":50001,\"message\":\"Error in the backend\"}", SAID_NOTHING, 0,
     "backend"},
    {"Confluent: no leader", ASK_REGISTER, 500,
     "{\"error_code\":50003,\"message\":\"Error while forwarding\"}", SAID_NOTHING, 0,
     "forwarding"},
    {"Confluent: a user it does not know", ASK_BY_ID, 401,
     "{\"error_code\":40101,\"message\":\"Unauthorized\"}", SAID_NOTHING, 0,
     "Unauthorized"},
    {"Confluent: a user who may not", ASK_REGISTER, 403,
     "{\"error_code\":40301,\"message\":\"denied\"}", SAID_NOTHING, 0, "denied"},
    /* others */
    {"Redpanda, Karapace: schema of the wrong kind", ASK_AS_IS, 422,
     "{\"error_code\":42201,\"message\":\"Invalid schema\"}", SAID_REFUSED, 0, "Invalid"},
    {"one that does not know normalize", ASK_NORMALIZED, 400,
     "{\"error_code\":400,\"message\":\"unknown parameter\"}", SAID_REFUSED, 0,
     "unknown parameter"},
    {"one without a code", ASK_NORMALIZED, 405, "{\"message\":\"Method not allowed\"}",
     SAID_NOTHING, 0, "405"},
    {"one that is busy", ASK_REGISTER, 429, "{\"error_code\":42901,\"message\":\"slow\"}",
     SAID_NOTHING, 0, "slow"},
    {"the largest id", ASK_REGISTER, 200, "{\"id\":2147483647}", SAID_YES, INT32_MAX, ""},
    {"an id that is too large", ASK_REGISTER, 200, "{\"id\":2147483648}", SAID_NOTHING, 0,
     "200"},
    {"an id of 0", ASK_AS_IS, 200, "{\"id\":0}", SAID_NOTHING, 0, "200"},
    {"no id", ASK_AS_IS, 200, "{\"version\":1}", SAID_NOTHING, 0, "200"},
    /* what stands before a registry */
    {"a proxy: bad gateway", ASK_BY_ID, 502, "<html>502 Bad Gateway</html>", SAID_NOTHING,
     0, "502"},
    {"a proxy: 404", ASK_BY_ID, 404, "<html>404 Not Found</html>", SAID_NOTHING, 0,
     "404"},
    {"a proxy: 404 of a look-up", ASK_AS_IS, 404, "", SAID_NOTHING, 0, "404"},
    {"a proxy: 403", ASK_REGISTER, 403, "<html>Forbidden</html>", SAID_NOTHING, 0, "403"},
    {"a proxy: log in here", ASK_BY_ID, 200, "<html>Please log in</html>", SAID_NOTHING,
     0, "200"},
    {"a proxy: log in here", ASK_SUBJECTS, 200, "<html>Please log in</html>",
     SAID_NOTHING, 0, "200"},
    {"a proxy: look elsewhere", ASK_BY_ID, 302, "", SAID_NOTHING, 0, "302"},
    {"no JSON", ASK_COMPATIBLE, 200, "is_compatible", SAID_NOTHING, 0, "200"},
    {"an array", ASK_BY_ID, 200, "[]", SAID_NOTHING, 0, "200"},
    {"a schema that is no text", ASK_BY_ID, 200, "{\"schema\":{}}", SAID_NOTHING, 0,
     "200"},
    {"a message of several lines", ASK_AS_IS, 422,
     "{\"error_code\":42201,\"message\":\"a\\nb\\u0001c\"}", SAID_REFUSED, 0, "a b c"},
};

static void each_answer_is_understood(void **state)
{
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct http_call call;
        struct registry_reply reply;
        struct arena a;

        arena_init(&a, 0);
        http_call_init(&call);
        buf_init(&call.body_in, 4096);
        (void)buf_add_cstr(&call.body_in, rows[i].body);
        call.end = HTTP_ANSWERED;
        call.head.status = rows[i].status;
        registry_reply_read(rows[i].question, &call, &a, &reply);
        if (reply.said != rows[i].said)
            fail_msg("%s: said %d, should be %d (%s)", rows[i].who, reply.said,
                     rows[i].said, reply.why);
        assert_int_equal(reply.id, rows[i].id);
        if (rows[i].question == ASK_BY_ID && rows[i].said == SAID_YES)
            assert_true(str_is(reply.schema, rows[i].text));
        else if (strstr(reply.why, rows[i].text) == NULL)
            fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].who, reply.why,
                     rows[i].text);
        http_call_fini(&call);
        arena_fini(&a);
    }
}

static void whatever_is_no_whole_answer_says_nothing(void **state)
{
    static const enum http_end ends[] = {HTTP_NOT_SENT, HTTP_HEAD_ONLY, HTTP_TOO_LARGE,
                                         HTTP_LOST};

    (void)state;
    for (int q = 0; q < REGISTRY_QUESTIONS; q++)
        for (size_t i = 0; i < COUNT(ends); i++) {
            struct http_call call;
            struct registry_reply reply;
            struct arena a;

            arena_init(&a, 0);
            http_call_init(&call);
            call.end = ends[i];
            call.head.status = 404;
            (void)snprintf(call.why, sizeof call.why, "it broke");
            registry_reply_read((enum registry_question)q, &call, &a, &reply);
            assert_int_equal(reply.said, SAID_NOTHING);
            assert_string_equal(reply.why, "it broke");
            arena_fini(&a);
        }
}

static void questions_are_as_the_registries_have_them(void **state)
{
    static const struct {
        enum registry_question question;
        enum http_method method;
        const char *path, *query;
        bool body;
    } asked[] = {
        {ASK_BY_ID, HTTP_GET, "/schemas/ids/2147483647", NULL, false},
        {ASK_NORMALIZED, HTTP_POST, "/subjects/a%2Fb%20%C3%A9-value", "normalize=true",
         true},
        {ASK_AS_IS, HTTP_POST, "/subjects/a%2Fb%20%C3%A9-value", NULL, true},
        {ASK_REGISTER, HTTP_POST, "/subjects/a%2Fb%20%C3%A9-value/versions", NULL, true},
        {ASK_COMPATIBLE, HTTP_POST,
         "/compatibility/subjects/a%2Fb%20%C3%A9-value/versions/latest", "verbose=true",
         true},
        {ASK_SUBJECTS, HTTP_GET, "/subjects", NULL, false},
    };
    struct registry_about about = {INT32_MAX, "a/b é-value",
                                   STR_LIT("{\"type\":\n\"string\"}")};

    (void)state;
    for (size_t i = 0; i < COUNT(asked); i++) {
        struct http_call call;
        struct arena a;

        arena_init(&a, 0);
        http_call_init(&call);
        registry_request(asked[i].question, &about, &a, &call);
        assert_int_equal(call.method, asked[i].method);
        assert_string_equal(call.path, asked[i].path);
        assert_true(asked[i].query == NULL ? call.query == NULL
                                           : strcmp(call.query, asked[i].query) == 0);
        if (asked[i].body)
            assert_true(
                str_is(call.body, "{\"schema\":\"{\\\"type\\\":\\n\\\"string\\\"}\"}"));
        else
            assert_null(call.body.ptr);
        arena_fini(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_answer_is_understood),
        cmocka_unit_test(whatever_is_no_whole_answer_says_nothing),
        cmocka_unit_test(questions_are_as_the_registries_have_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
