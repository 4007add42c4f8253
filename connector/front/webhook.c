/* See webhook.h. Owns nothing. Invariants: no byte of a body means anything before its
 * signature is good; from there on the answer is 200, but for an authorization that we
 * cannot answer. */
#include "front/webhook.h"

#include <ctype.h>

#include "codec/json.h"
#include "codec/json_value.h"
#include "front/event.h"
#include "front/signature.h"

#define NOT_SIGNED_BODY "undefined" /* what Front signs when a DELETE has no body */

enum { ANSWER_MAX = 8 * 1024 * 1024 };

const char *const webhook_kind_names[WEBHOOK_KINDS] = {"app", "rule", "channel"};
const char *const webhook_paths[WEBHOOK_KINDS] = {
    "/webhooks/front/app", "/webhooks/front/rule", "/webhooks/front/channel"};
const char *const webhook_refusal_names[WEBHOOK_REFUSALS] = {
    "fine",         "no-keys", "bad-method",   "no-signature",
    "no-timestamp", "stale",   "bad-signature"};

static const struct {
    enum webhook_refusal why;
    int status;
} statuses[] = {{WEBHOOK_NO_KEYS, 404}, {WEBHOOK_BAD_METHOD, 405}};

int webhook_kind_of(struct str path, enum webhook_kind *out)
{
    for (int i = 0; i < WEBHOOK_KINDS; i++)
        if (str_is(path, webhook_paths[i])) {
            *out = (enum webhook_kind)i;
            return 0;
        }
    return -1;
}

/* ---- is it Front's ---- */

static bool is_delete(const struct webhook_request *wr)
{
    return wr->kind == WEBHOOK_CHANNEL && str_is(wr->method, "DELETE");
}

/* Milliseconds since the epoch, digits only; the text itself is what is signed. */
static int read_timestamp(const struct webhook_request *wr, int64_t *ms)
{
    struct str text = wr->timestamp.value;
    struct err e = ERR_INIT;

    if (wr->timestamp.count != 1 || text.len == 0)
        return -1;
    for (size_t i = 0; i < text.len; i++)
        if (!isdigit((unsigned char)text.ptr[i]))
            return -1;
    return parse_i64(text, 0, INT64_MAX, ms, &e);
}

static bool is_stale(int64_t ms, int64_t now_ms)
{
    return ms < now_ms - WEBHOOK_CLOCK_SKEW_MS || ms > now_ms + WEBHOOK_CLOCK_SKEW_MS;
}

static bool is_signed(const struct webhook_keys *keys, const struct webhook_request *wr)
{
    struct str timestamp = wr->kind == WEBHOOK_RULE ? STR_NULL : wr->timestamp.value;

    if (signature_is_good(keys, wr->signature.value, timestamp, wr->body))
        return true;
    /* Only where there is no body: who saw one signature must not choose another body. */
    return is_delete(wr) && wr->body.len == 0 &&
           signature_is_good(keys, wr->signature.value, timestamp,
                             STR_LIT(NOT_SIGNED_BODY));
}

static enum webhook_refusal check(const struct webhook_setup *setup,
                                  const struct webhook_request *wr, int64_t *sent_ms)
{
    const struct webhook_keys *keys = &setup->keys[wr->kind];

    *sent_ms = NO_NUMBER;
    if (keys->n == 0)
        return WEBHOOK_NO_KEYS;
    if (!str_is(wr->method, "POST") && !is_delete(wr))
        return WEBHOOK_BAD_METHOD;
    if (wr->signature.count != 1 || wr->signature.value.len == 0)
        return WEBHOOK_NO_SIGNATURE;
    if (wr->kind != WEBHOOK_RULE) {
        if (read_timestamp(wr, sent_ms) != 0)
            return WEBHOOK_NO_TIMESTAMP;
        if (is_stale(*sent_ms, wr->now_ms))
            return WEBHOOK_STALE;
    }
    return is_signed(keys, wr) ? WEBHOOK_FINE : WEBHOOK_BAD_SIGNATURE;
}

static void refuse(struct webhook_outcome *out, enum webhook_refusal why,
                   enum webhook_kind kind)
{
    out->verdict = WEBHOOK_REFUSED;
    out->why = why;
    out->status = 401;
    for (size_t i = 0; i < sizeof statuses / sizeof statuses[0]; i++)
        if (statuses[i].why == why)
            out->status = statuses[i].status;
    if (why == WEBHOOK_BAD_METHOD)
        out->allow = kind == WEBHOOK_CHANNEL ? "POST, DELETE" : "POST";
}

/* ---- what it is ---- */

static void dead_letter(struct webhook_outcome *out, const char *message)
{
    out->verdict = WEBHOOK_DEAD_LETTER;
    out->message = message;
}

/* Front's test of an address: {"type":"sync"} and nothing that happened. */
static bool is_sync(struct str body, struct arena *a)
{
    return str_is(json_value_text_at(body, "type", a), "sync") &&
           json_member(body, "payload").ptr == NULL &&
           json_member(body, "id").ptr == NULL;
}

/* An application's envelope has the event as `payload`; a rule sends the event itself. */
static void read_event(const struct webhook_request *wr, struct arena *a,
                       struct webhook_outcome *out)
{
    struct str payload = json_member(wr->body, "payload");
    bool envelope = json_value_is_object(payload);
    struct err e = ERR_INIT;

    if (event_read(envelope ? payload : wr->body, a, &out->event, &e) != 0) {
        dead_letter(out, arena_printf(a, "%s", e.text));
        return;
    }
    out->verdict = WEBHOOK_EVENT;
    if (envelope) {
        out->event.webhook_type = json_value_text_at(wr->body, "type", a);
        out->event.company_id = json_value_text_at(wr->body, "authorization.id", a);
    }
}

/* ---- channels ---- */

struct callback {
    struct str type;                     /* ptr NULL: none; likewise below */
    struct str message_id, conversation; /* Front's */
    struct str given_conversation;       /* ours, as Front was once told; a JSON string */
    struct str event_id;
    struct str webhook_url; /* what an authorization asks for */
};

/* What happened to one thing has its id; what is asked again and again has the time too.
 */
static struct str callback_id(const struct webhook_request *wr, const struct callback *cb,
                              int64_t sent_ms, struct arena *a)
{
    struct str about = json_value_text_at(wr->body, "payload.channel_id", a);

    if (cb->message_id.len > 0)
        return str_of(
            arena_printf(a, "%.*s:%.*s", STR_ARG(cb->type), STR_ARG(cb->message_id)));
    if (about.len == 0)
        about =
            json_value_link_at(wr->body, "payload._links.related.message_replied_to", a);
    if (about.len > 0)
        return str_of(arena_printf(a, "%.*s:%.*s:%lld", STR_ARG(cb->type), STR_ARG(about),
                                   (long long)sent_ms));
    if (is_delete(wr))
        return str_of(
            arena_printf(a, "%.*s:%lld", STR_ARG(cb->type), (long long)sent_ms));
    return STR_NULL;
}

static struct str address(const struct webhook_setup *setup, enum webhook_kind kind,
                          struct arena *a)
{
    struct str url = str_of(setup->public_url);

    while (url.len > 0 && url.ptr[url.len - 1] == '/')
        url.len--;
    if (url.len == 0)
        return STR_NULL;
    return str_of(arena_printf(a, "%.*s%s", STR_ARG(url), webhook_paths[kind]));
}

static void read_callback(const struct webhook_setup *setup,
                          const struct webhook_request *wr, int64_t sent_ms,
                          struct arena *a, struct callback *cb)
{
    *cb = (struct callback){.type = json_value_text_at(wr->body, "type", a)};
    if (cb->type.len == 0 && is_delete(wr))
        cb->type = STR_LIT("delete");
    if (cb->type.len == 0)
        return;
    cb->message_id = json_value_text_at(wr->body, "payload.id", a);
    cb->conversation =
        json_value_link_at(wr->body, "payload._links.related.conversation", a);
    cb->given_conversation =
        json_member_path(wr->body, "metadata.external_conversation_id");
    cb->event_id = callback_id(wr, cb, sent_ms, a);
    cb->webhook_url = address(setup, wr->kind, a);
}

/* The answers: JSON into `out`; each returns its status. */

static int answer_authorization(const struct callback *cb, struct buf *out)
{
    if (cb->webhook_url.len == 0) {
        (void)buf_add_cstr(out, "{\"type\":\"bad_request\"}");
        return 400;
    }
    (void)buf_add_cstr(out, "{\"type\":\"success\",\"webhook_url\":");
    (void)json_quote(out, cb->webhook_url);
    (void)buf_add_char(out, '}');
    return 200;
}

static int answer_no_addresses(const struct callback *cb, struct buf *out)
{
    (void)cb;
    (void)buf_add_cstr(out, "{\"type\":\"success\",\"addresses\":[],"
                            "\"pagination\":{\"next_page_token\":null}}");
    return 200;
}

static int answer_nothing(const struct callback *cb, struct buf *out)
{
    (void)cb;
    (void)buf_add_cstr(out, "{}");
    return 200;
}

static void add_id(struct buf *out, const char *name, struct str id)
{
    if (id.len == 0)
        return;
    (void)buf_printf(out, ",\"%s\":", name);
    (void)json_quote(out, id);
}

/* An autoreply has no message id of its own: the event's stands for it. */
static int answer_success(const struct callback *cb, struct buf *out)
{
    struct str given = cb->given_conversation;

    (void)buf_add_cstr(out, "{\"type\":\"success\"");
    add_id(out, "external_id", cb->message_id.len > 0 ? cb->message_id : cb->event_id);
    if (given.len > 2 && given.ptr[0] == '"')
        (void)buf_printf(out, ",\"external_conversation_id\":%.*s", STR_ARG(given));
    else
        add_id(out, "external_conversation_id", cb->conversation);
    (void)buf_add_char(out, '}');
    return 200;
}

/* What is not here is answered with an empty 200. */
static const struct {
    const char *type;
    int (*answer)(const struct callback *cb, struct buf *out);
} answers[] = {
    {"authorization", answer_authorization},
    {"list_addresses", answer_no_addresses},
    {"message", answer_success},
    {"message_autoreply", answer_success},
    {"message_imported", answer_nothing},
};

static void answer_callback(const struct callback *cb, struct arena *a,
                            struct webhook_outcome *out)
{
    struct buf text;

    buf_init(&text, ANSWER_MAX);
    for (size_t i = 0; i < sizeof answers / sizeof answers[0]; i++)
        if (str_is(cb->type, answers[i].type))
            out->status = answers[i].answer(cb, &text);
    if (text.len > 0 && !text.over) {
        out->content_type = "application/json";
        out->body = (struct str){arena_strndup(a, text.data, text.len), text.len};
    }
    buf_fini(&text);
}

/* The whole body is the payload: `metadata` stands beside Front's own. */
static void read_channel(const struct webhook_setup *setup,
                         const struct webhook_request *wr, int64_t sent_ms,
                         struct arena *a, struct webhook_outcome *out)
{
    bool empty = is_delete(wr) && wr->body.len == 0;
    struct event *ev = &out->event;
    struct callback cb;

    read_callback(setup, wr, sent_ms, a, &cb);
    answer_callback(&cb, a, out);
    if (cb.event_id.ptr == NULL) {
        dead_letter(out, cb.type.len == 0 ? "a callback without a type"
                                          : "a callback that names nothing");
        return;
    }
    out->verdict = WEBHOOK_EVENT;
    *ev =
        (struct event){.id = cb.event_id,
                       .emitted_at = sent_ms,
                       .company_id = json_value_text_at(wr->body, "authorization.id", a),
                       .payload = empty ? STR_LIT("{}") : wr->body};
    ev->type = str_of(arena_printf(a, "channel_%.*s", STR_ARG(cb.type)));
    ev->conversation.id = cb.conversation;
    ev->conversation.created_at = NO_NUMBER;
}

static bool is_object(struct str body)
{
    return json_is_valid(body) && json_value_is_object(str_trim(body));
}

static void read_signed(const struct webhook_setup *setup,
                        const struct webhook_request *wr, int64_t sent_ms,
                        struct arena *a, struct webhook_outcome *out)
{
    bool empty = is_delete(wr) && wr->body.len == 0;

    out->status = 200;
    if (!empty && !is_object(wr->body))
        dead_letter(out, "no JSON object");
    else if (is_sync(wr->body, a))
        out->verdict = WEBHOOK_NOTHING;
    else if (wr->kind == WEBHOOK_CHANNEL)
        read_channel(setup, wr, sent_ms, a, out);
    else
        read_event(wr, a, out);
    out->event.received_at = wr->now_ms;
    out->event.delivery = STR_LIT(EVENT_WEBHOOK);
}

/* Front takes the echo as plain text, as a form or as JSON: the plain one has nothing to
 * escape. It comes with the test of the address; an answer of our own goes before it. */
static void echo_challenge(const struct webhook_request *wr, struct webhook_outcome *out)
{
    if (wr->challenge.count != 1 || out->body.ptr != NULL)
        return;
    out->content_type = "text/plain";
    out->body = wr->challenge.value;
}

void webhook_judge(const struct webhook_setup *setup, const struct webhook_request *wr,
                   struct arena *a, struct webhook_outcome *out)
{
    int64_t sent_ms;
    enum webhook_refusal why = check(setup, wr, &sent_ms);

    *out = (struct webhook_outcome){.why = why};
    if (why != WEBHOOK_FINE) {
        refuse(out, why, wr->kind);
        return;
    }
    read_signed(setup, wr, sent_ms, a, out);
    echo_challenge(wr, out);
}
