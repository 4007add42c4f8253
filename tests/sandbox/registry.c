/* /_sandbox/registry/...: a schema registry with Confluent's API, as much of it as
 * serialisers and the connector use. Owns the schemas (`sb->registry`): a list whose
 * place is the id, and the ids of each subject. They outlive a reset, since clients keep
 * ids. Invariant: an id is never given twice, nor to two schemas. */
#include <stdlib.h>
#include <string.h>

#include "codec/schemas.h"

#include "sandbox.h"

#define MOST_SCHEMAS 10000

struct registry_row {
    const char *method, *path; /* "*" stands for one segment */
    void (*run)(struct call *c);
};

static void fail(struct call *c, int status, int code, const char *message)
{
    c->status = status;
    c->answer = json_pack("{s:i, s:s}", "error_code", code, "message", message);
}

static const char *segment(const struct call *c, size_t i)
{
    return c->segments[2 + i];
}

static json_t *schemas_of(const struct call *c)
{
    return json_object_get(c->sb->registry, "schemas");
}

static json_t *versions_of(const struct call *c, const char *subject)
{
    return json_object_get(json_object_get(c->sb->registry, "subjects"), subject);
}

/* Equal schemas are equal as JSON. 0: it is not there. */
static json_int_t id_of(const struct call *c, const char *text)
{
    json_t *asked = json_loads(text, JSON_DECODE_ANY, NULL), *known;
    json_int_t found = 0;
    size_t i;
    json_array_foreach(schemas_of(c), i, known)
    {
        json_t *one = json_loads(json_string_value(known), JSON_DECODE_ANY, NULL);
        if (json_equal(one, asked))
            found = (json_int_t)i + 1;
        json_decref(one);
    }
    json_decref(asked);
    return found;
}

/* Where the subject has this id, from 1; 0: it has it not. */
static size_t version_of(const struct call *c, const char *subject, json_int_t id)
{
    json_t *one;
    size_t i;
    json_array_foreach(versions_of(c, subject), i,
                       one) if (json_integer_value(one) == id) return i +
        1;
    return 0;
}

static json_t *entry(const struct call *c, const char *subject, size_t version)
{
    json_int_t id =
        json_integer_value(json_array_get(versions_of(c, subject), version - 1));
    return json_pack("{s:s, s:I, s:I, s:O}", "subject", subject, "id", id, "version",
                     (json_int_t)version, "schema",
                     json_array_get(schemas_of(c), (size_t)id - 1));
}

/* The schema in the body; NULL after it has answered. */
static const char *schema_sent(struct call *c)
{
    json_t *body =
        json_loadb(c->body.data != NULL ? c->body.data : "", c->body.len, 0, NULL);
    const char *text = json_string_value(json_object_get(body, "schema"));
    const char *type = json_string_value(json_object_get(body, "schemaType"));
    struct err e = ERR_INIT;
    struct schemas *ss = schemas_new(NULL, &e);
    if (text == NULL || (type != NULL && strcmp(type, "AVRO") != 0) ||
        json_array_size(json_object_get(body, "references")) > 0)
        fail(c, 422, 42201, "this registry takes Avro without references only");
    else if (schemas_writer(ss, str_of(text), &e) == NULL)
        fail(c, 422, 42201, e.text);
    schemas_free(ss);
    json_decref(c->json);
    c->json = body; /* freed with the call */
    return c->answer == NULL ? text : NULL;
}

static void subjects_list(struct call *c)
{
    const char *name;
    json_t *unused;
    c->answer = json_array();
    json_object_foreach(json_object_get(c->sb->registry, "subjects"), name, unused)(void)
        json_array_append_new(c->answer, json_string(name));
}

static void subject_look_up(struct call *c)
{
    const char *subject = segment(c, 1), *text = schema_sent(c);
    size_t version;
    if (text == NULL)
        return;
    version = version_of(c, subject, id_of(c, text));
    if (versions_of(c, subject) == NULL)
        fail(c, 404, 40401, "Subject not found");
    else if (version == 0)
        fail(c, 404, 40403, "Schema not found");
    else
        c->answer = entry(c, subject, version);
}

static void subject_register(struct call *c)
{
    const char *subject = segment(c, 1), *text = schema_sent(c);
    json_int_t id;
    if (text == NULL)
        return;
    id = id_of(c, text);
    if (id == 0 && json_array_size(schemas_of(c)) >= MOST_SCHEMAS) {
        fail(c, 500, 50001, "the registry is full");
        return;
    }
    if (id == 0) {
        (void)json_array_append_new(schemas_of(c), json_string(text));
        id = (json_int_t)json_array_size(schemas_of(c));
    }
    if (versions_of(c, subject) == NULL)
        (void)json_object_set_new(json_object_get(c->sb->registry, "subjects"), subject,
                                  json_array());
    if (version_of(c, subject, id) == 0)
        (void)json_array_append_new(versions_of(c, subject), json_integer(id));
    c->answer = json_pack("{s:I}", "id", id);
}

static void versions_list(struct call *c)
{
    size_t n = json_array_size(versions_of(c, segment(c, 1)));
    if (n == 0) {
        fail(c, 404, 40401, "Subject not found");
        return;
    }
    c->answer = json_array();
    for (size_t i = 1; i <= n; i++)
        (void)json_array_append_new(c->answer, json_integer((json_int_t)i));
}

static void version_show(struct call *c)
{
    const char *subject = segment(c, 1), *which = segment(c, 3);
    int64_t most = (int64_t)json_array_size(versions_of(c, subject)), version = most;
    struct err e = ERR_INIT;
    if (most == 0)
        fail(c, 404, 40401, "Subject not found");
    else if (strcmp(which, "latest") != 0 &&
             parse_i64(str_of(which), 1, most, &version, &e) != 0)
        fail(c, 404, 40402, "Version not found");
    else
        c->answer = entry(c, subject, (size_t)version);
}

static void schema_show(struct call *c)
{
    int64_t most = (int64_t)json_array_size(schemas_of(c)), id = 0;
    struct err e = ERR_INIT;
    if (most == 0 || parse_i64(str_of(segment(c, 2)), 1, most, &id, &e) != 0)
        fail(c, 404, 40403, "Schema not found");
    else
        c->answer =
            json_pack("{s:O}", "schema", json_array_get(schemas_of(c), (size_t)id - 1));
}

/* Nothing is compared here: the README says so. */
static void compatibility(struct call *c)
{
    if (schema_sent(c) != NULL)
        c->answer = json_pack("{s:b}", "is_compatible", 1);
}

static void config_show(struct call *c)
{
    c->answer = json_pack("{s:s}", "compatibilityLevel", "NONE");
}

static void mode_show(struct call *c)
{
    c->answer = json_pack("{s:s}", "mode", "READWRITE");
}

static const struct registry_row rows[] = {
    {"GET", "subjects", subjects_list},
    {"POST", "subjects/*", subject_look_up},
    {"GET", "subjects/*/versions", versions_list},
    {"POST", "subjects/*/versions", subject_register},
    {"GET", "subjects/*/versions/*", version_show},
    {"GET", "schemas/ids/*", schema_show},
    {"POST", "compatibility/subjects/*/versions/*", compatibility},
    {"GET", "config", config_show},
    {"GET", "mode", mode_show},
};

static bool matches(const struct call *c, const char *path)
{
    struct str rest = str_of(path);
    size_t i = 2;
    while (rest.ptr != NULL) {
        struct str one = str_split(&rest, '/');
        if (i >= c->n_segments || (!str_is(one, "*") && !str_is(one, c->segments[i])))
            return false;
        i++;
    }
    return i == c->n_segments;
}

void registry_open(struct sandbox *sb)
{
    sb->registry = json_pack("{s:[], s:{}}", "schemas", "subjects");
}

void registry_run(struct call *c)
{
    c->status = 200;
    for (size_t i = 0; c->sb->opt.registry && i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].method, c->method) == 0 && matches(c, rows[i].path)) {
            rows[i].run(c);
            return;
        }
    }
    fail(c, 404, 404, "HTTP 404 Not Found");
}
