/* Questions to a schema registry, and what its answers mean. Owns nothing.
 * Invariant: "there is none" is only believed of an answer that a registry makes: a 404
 * of a proxy, or of a wrong path, says nothing. */
#include "codec/registry_wire.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "codec/json.h"
#include "codec/json_value.h"

#define MEDIA_TYPE "application/vnd.schemaregistry.v1+json"
#define REQUEST_MAX ((size_t)4 * 1024 * 1024)
#define NO_CODE (-1) /* the answer has no error_code */

static const struct {
    enum http_method method;
    const char *path; /* %s: the subject, %d: the id */
    const char *query;
    bool sends_schema;
} questions[REGISTRY_QUESTIONS] = {
    [ASK_BY_ID] = {HTTP_GET, "/schemas/ids/%d", NULL, false},
    [ASK_NORMALIZED] = {HTTP_POST, "/subjects/%s", "normalize=true", true},
    [ASK_AS_IS] = {HTTP_POST, "/subjects/%s", NULL, true},
    [ASK_REGISTER] = {HTTP_POST, "/subjects/%s/versions", NULL, true},
    [ASK_COMPATIBLE] = {HTTP_POST, "/compatibility/subjects/%s/versions/latest",
                        "verbose=true", true},
    [ASK_SUBJECTS] = {HTTP_GET, "/subjects", NULL, false},
};

#define ON(q) (1u << (q))
#define LOOK_UPS (ON(ASK_NORMALIZED) | ON(ASK_AS_IS))
#define ALL_QUESTIONS (ON(REGISTRY_QUESTIONS) - 1)

/* What a status other than 2xx means: the first row that fits counts. error_code is
 * status * 100 + n of Confluent's registry; the status itself, or 0, is what a web server
 * says of a path that it does not know. */
static const struct {
    unsigned questions;
    int status_from, status_to;
    int code_from, code_to;
    enum registry_said said;
} rules[] = {
    /* Who may not read knows nothing of what is there. */
    {ALL_QUESTIONS, 401, 401, NO_CODE, 99999, SAID_NOTHING},
    {ALL_QUESTIONS, 403, 403, NO_CODE, 99999, SAID_NOTHING},
    {ALL_QUESTIONS, 408, 408, NO_CODE, 99999, SAID_NOTHING},
    {ALL_QUESTIONS, 429, 429, NO_CODE, 99999, SAID_NOTHING},
    /* Nothing was ever registered there: any schema may follow. */
    {ON(ASK_COMPATIBLE), 404, 404, 40400, 40499, SAID_YES},
    {ALL_QUESTIONS, 404, 404, 40400, 40499, SAID_NO},
    {ALL_QUESTIONS, 404, 404, NO_CODE, 99999, SAID_NOTHING},
    /* A registry that does not know normalize, or the schema does not please it. */
    {LOOK_UPS, 400, 499, 0, 99999, SAID_REFUSED},
    {ON(ASK_REGISTER) | ON(ASK_COMPATIBLE), 400, 499, 0, 99999, SAID_REFUSED},
    {ALL_QUESTIONS, 0, 999, NO_CODE, 99999, SAID_NOTHING},
};

static void add_encoded(struct buf *out, const char *text)
{
    static const char safe[] = "-._~";
    const char *c;

    for (c = text; *c != '\0'; c++) {
        if (isalnum((unsigned char)*c) || strchr(safe, *c) != NULL)
            (void)buf_add_char(out, *c);
        else
            (void)buf_printf(out, "%%%02X", (unsigned char)*c);
    }
}

static const char *path_of(const char *format, const struct registry_about *about,
                           struct arena *a)
{
    const char *mark = strchr(format, '%');
    const char *path;
    struct buf out;

    if (mark == NULL)
        return format;
    buf_init(&out, REQUEST_MAX);
    (void)buf_add(&out, format, (size_t)(mark - format));
    if (mark[1] == 'd')
        (void)buf_printf(&out, "%d", (int)about->id);
    else
        add_encoded(&out, about->subject);
    (void)buf_add_cstr(&out, mark + 2);
    path = arena_strndup(a, out.data, out.len);
    buf_fini(&out);
    return path;
}

void registry_request(enum registry_question q, const struct registry_about *about,
                      struct arena *a, struct http_call *call)
{
    struct buf body;

    call->method = questions[q].method;
    call->path = path_of(questions[q].path, about, a);
    call->query = questions[q].query;
    call->accept = MEDIA_TYPE ", application/json";
    call->body = STR_NULL;
    if (!questions[q].sends_schema)
        return;
    buf_init(&body, REQUEST_MAX);
    (void)buf_add_cstr(&body, "{\"schema\":");
    (void)json_quote(&body, about->schema);
    (void)buf_add_char(&body, '}');
    call->content_type = MEDIA_TYPE;
    call->body = (struct str){arena_strndup(a, body.data, body.len), body.len};
    buf_fini(&body);
}

/* ---- answers ---- */

static struct str object_of(const struct http_call *call)
{
    struct str body = buf_str(&call->body_in);

    return call->end == HTTP_ANSWERED && json_is_valid(body) &&
                   json_value_is_object(str_trim(body))
               ? body
               : STR_NULL;
}

static int code_of(struct str object)
{
    double code;

    if (object.ptr == NULL ||
        json_value_number(json_member(object, "error_code"), &code) != 0 || code < 0 ||
        code > 99999)
        return NO_CODE;
    return (int)code;
}

/* One line, whatever a registry puts into its message. */
static void say(struct registry_reply *out, int status, struct str message)
{
    size_t i;

    (void)snprintf(out->why, sizeof(out->why), "answered %d: %.*s", status,
                   message.len > 180 ? 180 : (int)message.len, message.ptr);
    for (i = 0; out->why[i] != '\0'; i++)
        if ((unsigned char)out->why[i] < ' ' || (unsigned char)out->why[i] > '~')
            out->why[i] = ' ';
}

static void read_refusal(enum registry_question q, const struct http_call *call,
                         struct arena *a, struct registry_reply *out)
{
    struct str object = object_of(call);
    struct str message = STR_LIT("no registry answers so");
    int code = code_of(object);
    size_t i = 0;

    while ((rules[i].questions & ON(q)) == 0 ||
           call->head.status < rules[i].status_from ||
           call->head.status > rules[i].status_to || code < rules[i].code_from ||
           code > rules[i].code_to)
        i++; /* the last rule fits all */
    out->said = rules[i].said;
    if (object.ptr != NULL)
        (void)json_value_text(json_member(object, "message"), a, &message);
    say(out, call->head.status, message);
}

static int read_id(struct str object, int32_t *id)
{
    double number;

    if (json_value_number(json_member(object, "id"), &number) != 0 || number < 1 ||
        number > INT32_MAX)
        return -1;
    *id = (int32_t)number;
    return 0;
}

static void refuse(struct registry_reply *out, const char *why)
{
    out->said = SAID_REFUSED;
    (void)snprintf(out->why, sizeof(out->why), "%s", why);
}

/* No schemaType means Avro. */
static void read_schema(struct str object, struct arena *a, struct registry_reply *out)
{
    struct str type = json_value_text_at(object, "schemaType", a);
    struct str references = json_member(object, "references");
    struct str first;
    size_t pos = 0;

    if (json_value_text(json_member(object, "schema"), a, &out->schema) != 0)
        return;
    if (type.ptr != NULL && !str_is(type, "AVRO"))
        refuse(out, "its schema is not Avro");
    else if (json_value_is_array(references) && json_next(references, &pos, &first))
        refuse(out, "its schema refers to other schemas; register it in one piece");
    else
        out->said = SAID_YES;
}

static void read_compatible(struct str object, struct arena *a,
                            struct registry_reply *out)
{
    struct str messages = json_member(object, "messages"), first = STR_NULL;
    struct str why = json_value_text_at(object, "reason", a);
    bool compatible = false;
    size_t pos = 0;

    if (json_value_boolean(json_member(object, "is_compatible"), &compatible) != 0)
        return;
    out->said = compatible ? SAID_YES : SAID_NO;
    if (json_value_is_array(messages) && json_next(messages, &pos, &first))
        (void)json_value_text(first, a, &why);
    (void)snprintf(out->why, sizeof(out->why), "%.*s", why.len > 200 ? 200 : (int)why.len,
                   why.ptr != NULL ? why.ptr : "");
}

static void read_success(enum registry_question q, const struct http_call *call,
                         struct arena *a, struct registry_reply *out)
{
    struct str object = object_of(call);
    struct str list = str_trim(buf_str(&call->body_in));

    if (object.ptr == NULL)
        object = STR_LIT("{}");
    switch (q) {
    case ASK_BY_ID:
        read_schema(object, a, out);
        break;
    case ASK_NORMALIZED:
    case ASK_AS_IS:
    case ASK_REGISTER:
        if (read_id(object, &out->id) == 0)
            out->said = SAID_YES;
        break;
    case ASK_COMPATIBLE:
        read_compatible(object, a, out);
        break;
    case ASK_SUBJECTS:
        if (json_value_is_array(list) && json_is_valid(list))
            out->said = SAID_YES;
        break;
    }
    if (out->said == SAID_NOTHING)
        say(out, call->head.status, STR_LIT("no registry answers so"));
}

void registry_reply_read(enum registry_question q, const struct http_call *call,
                         struct arena *a, struct registry_reply *out)
{
    *out = (struct registry_reply){.said = SAID_NOTHING};
    if (call->end != HTTP_ANSWERED)
        (void)snprintf(out->why, sizeof(out->why), "%s",
                       call->why[0] != '\0' ? call->why : "no complete answer");
    else if (call->head.status >= 200 && call->head.status < 300)
        read_success(q, call, a, out);
    else
        read_refusal(q, call, a, out);
}
