/* `check`: everything that must be right before `run`, one line a finding. Changes
 * nothing: what it writes to Kafka is aborted, Front is asked GET /me once. */
#include "cli/cli.h"

#include <string.h>

#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/json_out.h"
#include "cli/launch.h"
#include "cli/check_registry.h"
#include "cli/preflight.h"
#include "codec/json.h"
#include "front/auth.h"
#include "front/webhook.h"
#include "net/http_server.h"

#define LINE_MAX_BYTES (64 * 1024)
#define ERRORS_MAX (256 * 1024)
#define REACH_TIMEOUT_MS 10000
#define ANSWER_MAX (256 * 1024)
#define LOOP_STEP_MS 500

struct check {
    struct cli *c;
    bool json;
    size_t warned;
    struct settings s;
    struct launch launch;
    struct preflight p;
    char instance[300];
};

static void check_all(struct check *ck, bool offline);
static size_t check_settings(struct check *ck);
static void check_schemas(struct check *ck);
static void check_kafka(struct check *ck);
static void take_id(struct check *ck);
static void check_token(struct check *ck);
static void check_webhooks(struct check *ck);
static void print_line(void *arg, const struct check_line *line);

int cli_check(struct cli *c)
{
    struct check ck;
    bool strict = cli_has(c, "strict");

    memset(&ck, 0, sizeof(ck));
    ck.c = c;
    ck.json = cli_has(c, "json");
    ck.p = (struct preflight){
        .s = &ck.s, .launch = &ck.launch, .say = print_line, .arg = &ck};
    if (check_settings(&ck) == 0)
        check_all(&ck, cli_has(c, "offline"));
    launch_fini(&ck.launch);
    settings_close(&ck.s);
    if (ck.p.failed > 0 || (strict && ck.warned > 0))
        return EXIT_USAGE;
    return EXIT_DONE;
}

/* --- settings --- */

static void say_errors(struct check *ck, const struct buf *errors)
{
    struct str rest = buf_str(errors);

    while (rest.ptr && rest.len > 0) {
        struct str line = str_split(&rest, '\n');

        if (line.len > 0)
            preflight_say(&ck->p, CHECK_FAIL, "settings", "", NULL, "%.*s",
                          STR_ARG(line));
    }
}

static size_t check_settings(struct check *ck)
{
    struct settings_source source = cli_source(ck->c);
    const char *file;
    struct buf errors;
    size_t n;

    buf_init(&errors, ERRORS_MAX);
    n = settings_open(&ck->s, &source, NEED_KAFKA | NEED_TOKEN, &errors);
    say_errors(ck, &errors);
    buf_fini(&errors);
    launch_init(&ck->launch, &ck->s);
    /* an id of its own, until take_id knows that nobody runs */
    snprintf(ck->instance, sizeof(ck->instance), "%s.check", ck->s.instance_id);
    ck->launch.kafka.instance_id = ck->instance;
    ck->launch.kafka.static_member = false;
    if (n > 0)
        return n;
    log_setup((enum log_level)ck->s.log_level, (enum log_format)ck->s.log_format);
    if (preflight_kafka_settings(&ck->p) != 0)
        return ck->p.failed;
    file = settings_file(ck->s.values);
    preflight_say(&ck->p, CHECK_OK, "settings", file ? file : "", NULL, "%s",
                  file ? "read" : "no settings file: environment and -X only");
    return 0;
}

/* --- the rest --- */

static void check_all(struct check *ck, bool offline)
{
    static const char *const online[] = {"kafka",        "topic", "lists",
                                         "transactions", "token", "registry"};

    check_schemas(ck);
    check_webhooks(ck);
    if (!offline) {
        check_kafka(ck);
        check_token(ck);
        check_registry(&ck->p);
        return;
    }
    for (size_t i = 0; i < sizeof(online) / sizeof(online[0]); i++)
        preflight_say(&ck->p, CHECK_SKIP, online[i], "", NULL, "not asked: --offline");
}

static void check_schemas(struct check *ck)
{
    struct err e = ERR_INIT;
    struct schemas *ss = schemas_new(ck->s.schemas_dir, &e);

    if (!ss) {
        preflight_say(&ck->p, CHECK_FAIL, "schemas", "schemas.dir",
                      "mend or remove the file", "%s", e.text);
        return;
    }
    for (size_t i = 0; i < schemas_table_n; i++) {
        if (!schemas_by_fingerprint(ss, schemas_table[i].fingerprint))
            preflight_say(&ck->p, CHECK_FAIL, "schemas", schemas_table[i].full_name,
                          "this build is broken, build it again", "does not compile");
    }
    preflight_say(&ck->p, CHECK_OK, "schemas", ck->s.schemas_dir ? ck->s.schemas_dir : "",
                  NULL, "%zu compiled in%s", schemas_table_n,
                  ck->s.schemas_dir ? ", and those of schemas.dir" : "");
    schemas_free(ss);
}

static void check_kafka(struct check *ck)
{
    const char *servers = ck->s.kafka_bootstrap_servers;
    struct err e = ERR_INIT;

    if (kafka_reach_wait(&ck->launch.kafka, REACH_TIMEOUT_MS, NULL, NULL, &e) != 0) {
        preflight_say(
            &ck->p, CHECK_FAIL, "kafka", servers,
            "see that it runs and that kafka.bootstrap.servers and kafka.security.* "
            "are right",
            "%s", e.text);
        preflight_say(&ck->p, CHECK_SKIP, "topic", "", NULL, "Kafka is not reached");
        preflight_say(&ck->p, CHECK_SKIP, "transactions", "", NULL,
                      "Kafka is not reached");
        return;
    }
    preflight_say(&ck->p, CHECK_OK, "kafka", servers, NULL, "reached");
    if (preflight_topics(&ck->p) != 0) {
        preflight_say(&ck->p, CHECK_SKIP, "transactions", "", NULL,
                      "topics are not right");
        return;
    }
    take_id(ck);
    preflight_items_topics(&ck->p);
    if (preflight_transactions(&ck->p) == 0 && preflight_keeping(&ck->p) == 0)
        (void)preflight_offsets(&ck->p);
}

/* The rights are proved for the real transactional.id when nobody can be fenced by that:
 * an id of its own would not meet a rule for just this one. */
static void take_id(struct check *ck)
{
    struct err e = ERR_INIT;

    if (kafka_group_members_wait(&ck->launch.kafka, &e) == 0)
        ck->launch.kafka.instance_id = ck->s.instance_id;
    else
        preflight_say(&ck->p, CHECK_SKIP, "transactional.id", ck->s.instance_id, NULL,
                      "the group has members: the rights are proved for %s",
                      ck->instance);
}

/* --- the token --- */

static bool open_gate(struct http_call *call)
{
    (void)call;
    return true;
}

static void mark_done(struct http_call *call)
{
    bool *done = call->owner;

    *done = true;
}

static void judge_answer(struct check *ck, struct http_call *call)
{
    struct str body = buf_str(&call->body_in);
    char name[120] = "", id[64] = "";

    switch (call->head.status) {
    case 200:
        (void)json_unquote(json_member(body, "name"), name, sizeof(name));
        (void)json_unquote(json_member(body, "id"), id, sizeof(id));
        preflight_say(&ck->p, CHECK_OK, "token", "front.token", NULL, "valid for %s %s",
                      name, id);
        break;
    case 401:
        preflight_say(&ck->p, CHECK_FAIL, "token", "front.token",
                      "make a new API token in Front's settings and put it there",
                      "Front does not know it (401)");
        break;
    case 429:
        preflight_say(&ck->p, CHECK_WARN, "token", "front.token",
                      "check again in a minute",
                      "not proven: the company's quota is used up (429)");
        break;
    default:
        preflight_say(&ck->p, CHECK_FAIL, "token", "front.url",
                      "see that front.url is Front's API", "GET /me was answered %d",
                      call->head.status);
        break;
    }
}

static void judge_call(struct check *ck, struct http_call *call)
{
    if (call->end == HTTP_ANSWERED &&
        (call->head.status != 200 || json_is_valid(buf_str(&call->body_in))))
        judge_answer(ck, call);
    else
        preflight_say(&ck->p, CHECK_FAIL, "token", "front.url",
                      "see that Front is reached from here (front.proxy, front.ca.file)",
                      "GET %s/me: %s", ck->s.front_url,
                      call->why[0] ? call->why : "the answer is not Front's");
}

static void ask_me(struct check *ck, struct loop *lo, struct http_client *hc)
{
    struct http_port port = http_client_port(hc);
    struct http_call call;
    struct arena arena;
    bool done = false;

    arena_init(&arena, 0);
    http_call_init(&call);
    call.method = HTTP_GET;
    call.path = "/me";
    call.authorization = auth_bearer(ck->s.front_token, &arena);
    call.accept = "application/json";
    call.timeout_ms = ck->s.front_timeout_ms;
    call.body_max = ANSWER_MAX;
    call.gate = open_gate;
    call.done = mark_done;
    call.owner = &done;
    if (port.start(port.self, &call) == 0) {
        while (!done) {
            int64_t wait_ms = http_client_wait_ms(hc);

            http_client_turn(hc);
            port.reap(port.self);
            if (!done)
                loop_wait(lo,
                          wait_ms < 0 || wait_ms > LOOP_STEP_MS ? LOOP_STEP_MS : wait_ms);
        }
        judge_call(ck, &call);
    }
    http_call_fini(&call);
    arena_fini(&arena);
}

static void check_token(struct check *ck)
{
    struct err e = ERR_INIT;
    struct http_client *hc = NULL;
    struct loop *lo = loop_new(&e);

    if (lo)
        hc = http_client_new(lo, &ck->launch.http, &e);
    if (hc)
        ask_me(ck, lo, hc);
    else
        preflight_say(&ck->p, CHECK_FAIL, "token", "front.url", NULL, "%s", e.text);
    http_client_free(hc);
    loop_free(lo);
}

/* --- webhooks --- */

static void refuse_request(void *arg, struct http_request *req)
{
    (void)arg;
    http_reply(req, 503, NULL, STR_LIT(""), NULL, 0);
}

/* A port in use is most likely our own: `check` may run beside `run`. */
static void check_listen_address(struct check *ck)
{
    struct http_server_options o = {.listen = ck->s.webhooks_listen,
                                    .body_max = 1,
                                    .deadline_ms = 1,
                                    .connections_max = 1,
                                    .handler = refuse_request};
    struct err e = ERR_INIT;
    struct loop *lo = loop_new(&e);
    struct http_server *hs = lo ? http_server_new(lo, &o, &e) : NULL;

    if (hs)
        preflight_say(&ck->p, CHECK_OK, "webhooks", ck->s.webhooks_listen, NULL,
                      "can be listened on");
    else
        preflight_say(&ck->p, CHECK_WARN, "webhooks", ck->s.webhooks_listen,
                      "no fault if the connector runs now; else choose another", "%s",
                      e.text);
    http_server_free(hs);
    loop_free(lo);
}

static void check_webhooks(struct check *ck)
{
    const struct settings *s = &ck->s;
    const struct {
        const char *key, *path;
        size_t n;
    } kinds[] = {
        {"webhooks.app.keys", webhook_paths[WEBHOOK_APP], s->webhooks_app_keys.n},
        {"webhooks.rule.keys", webhook_paths[WEBHOOK_RULE], s->webhooks_rule_keys.n},
        {"webhooks.channel.keys", webhook_paths[WEBHOOK_CHANNEL],
         s->webhooks_channel_keys.n},
    };
    size_t open = 0;

    if (!settings_listens(s->webhooks_listen)) {
        preflight_say(&ck->p, CHECK_SKIP, "webhooks", "webhooks.listen", NULL, "off");
        return;
    }
    check_listen_address(ck);
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        open += kinds[i].n > 0;
        preflight_say(&ck->p, kinds[i].n > 0 ? CHECK_OK : CHECK_SKIP, "webhooks",
                      kinds[i].key, NULL,
                      kinds[i].n > 0 ? "%s is open, %zu key(s)" : "%s answers 404",
                      kinds[i].path, kinds[i].n);
    }
    if (open == 0)
        preflight_say(&ck->p, CHECK_FAIL, "webhooks", "webhooks.listen",
                      "set the keys of the webhooks that shall come, or turn it off",
                      "there are no keys: every request would be answered 404");
    if (s->webhooks_channel_keys.n > 0 && !s->webhooks_public_url)
        preflight_say(&ck->p, CHECK_WARN, "webhooks", "webhooks.public.url",
                      "set it to how Front reaches webhooks.listen",
                      "is not set: a channel that is being made is answered 400");
}

/* --- printing --- */

static const char *state_word(enum check_state state)
{
    switch (state) {
    case CHECK_OK:
        return "ok";
    case CHECK_WARN:
        return "warn";
    case CHECK_FAIL:
        return "FAIL";
    case CHECK_SKIP:
        return "skip";
    }
    return "";
}

static const char *state_colour(enum check_state state)
{
    switch (state) {
    case CHECK_OK:
        return "\033[32m";
    case CHECK_WARN:
        return "\033[33m";
    case CHECK_FAIL:
        return "\033[1;31m";
    case CHECK_SKIP:
        return "\033[2m";
    }
    return "";
}

static void print_text(struct check *ck, const struct check_line *line)
{
    bool colour = ck->c->colour;

    fprintf(ck->c->out, "%s%-4s%s %s%s%s: %s%s%s\n",
            colour ? state_colour(line->state) : "", state_word(line->state),
            colour ? "\033[0m" : "", line->check, line->name[0] ? " " : "", line->name,
            line->message, line->fix ? "; " : "", line->fix ? line->fix : "");
}

static void print_json(struct check *ck, const struct check_line *line)
{
    struct buf out;

    buf_init(&out, LINE_MAX_BYTES);
    buf_add_cstr(&out, "{\"check\":");
    json_out_bytes(&out, str_of(line->check));
    buf_add_cstr(&out, ",\"name\":");
    json_out_bytes(&out, str_of(line->name));
    buf_printf(&out, ",\"ok\":%s,\"state\":\"%s\",\"message\":",
               line->state == CHECK_FAIL ? "false" : "true", state_word(line->state));
    json_out_bytes(&out, str_of(line->message));
    buf_add_cstr(&out, ",\"fix\":");
    json_out_bytes(&out, str_of(line->fix));
    buf_add_cstr(&out, "}\n");
    fputs(out.data, ck->c->out);
    buf_fini(&out);
}

static void print_line(void *arg, const struct check_line *line)
{
    struct check *ck = arg;

    if (line->state == CHECK_WARN)
        ck->warned++;
    if (ck->json)
        print_json(ck, line);
    else
        print_text(ck, line);
    fflush(ck->c->out);
}
