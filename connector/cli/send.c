/* `send`: one command, written to Kafka or (--dry-run) shown as the request Front would
 * get. Works without a running connector; --dry-run without Kafka too. */
#include "cli/cli.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/json_out.h"
#include "cli/launch.h"
#include "cli/registry_tool.h"
#include "cli/send_command.h"
#include "cli/send_files.h"
#include "codec/json.h"
#include "codec/records/result.h"
#include "front/check.h"
#include "front/request.h"

#define BODY_MAX (32 * 1024 * 1024)
#define FILES_MAX ((size_t)1024 * 1024 * 1024) /* of each; the setting says less */
#define VALUE_MAX ((size_t)2048 * 1024 * 1024) /* base64 is longer */
#define LINE_MAX_BYTES (256 * 1024 * 1024)
#define WAIT_PRESET_S 60
#define WAIT_MAX_S 86400
#define PRODUCE_TIMEOUT_MS 30000
#define POLL_MS 500
#define REGISTRY_WAIT_MS 5000

struct send {
    struct cli *c;
    struct settings s;
    struct launch l;
    struct schemas *ss;
    struct registry_tool rt;
    struct arena a;
    struct buf body, value; /* what --body named; the encoded record */
    struct command cmd;
    const struct op *op;
    struct kafka_header *headers;
    size_t n_headers;
    int64_t wait_ms; /* 0: do not wait */
    char id[40];     /* made for --wait */
};

static int prepare(struct send *sd);
static int dry_run(struct send *sd);
static int produce(struct send *sd);
static int parse_wait(struct send *sd);
static int read_body(struct send *sd, struct str *body);
static int parse_headers(struct send *sd);
static int read_files(struct send *sd);
static int check(struct send *sd);
static int check_size(struct send *sd);

int cli_send(struct cli *c)
{
    bool dry = cli_has(c, "dry-run");
    struct send sd;
    int code;

    memset(&sd, 0, sizeof(sd));
    sd.c = c;
    arena_init(&sd.a, 0);
    buf_init(&sd.body, BODY_MAX);
    buf_init(&sd.value, VALUE_MAX);
    code = prepare(&sd);
    if (code == EXIT_DONE && cli_settings(c, dry ? NEED_NOTHING : NEED_KAFKA, &sd.s) != 0)
        code = EXIT_USAGE;
    if (code == EXIT_DONE)
        code = check_size(&sd);
    if (code == EXIT_DONE) {
        launch_init(&sd.l, &sd.s);
        code = dry ? dry_run(&sd) : produce(&sd);
        launch_fini(&sd.l);
    }
    settings_close(&sd.s);
    registry_tool_close(&sd.rt);
    schemas_free(sd.ss);
    buf_fini(&sd.value);
    buf_fini(&sd.body);
    arena_fini(&sd.a);
    return code;
}

/* The words: settings come after, so that a mistyped operation is the first thing said.
 */
static int prepare(struct send *sd)
{
    struct send_words words = {.operation = sd->c->args[0],
                               .args = sd->c->args + 1,
                               .n_args = sd->c->n_args - 1};
    struct err e = ERR_INIT;

    if (parse_wait(sd) != 0 || parse_headers(sd) != 0 || read_body(sd, &words.body) != 0)
        return EXIT_USAGE;
    if (send_command(&words, cli_has(sd->c, "force"), &sd->a, &sd->cmd, &sd->op, &e) != 0)
        return cli_usage(sd->c, "%s", e.text);
    if (read_files(sd) != 0)
        return EXIT_USAGE;
    return check(sd);
}

/* What the connector would reject is refused here, unless --force. */
static int check(struct send *sd)
{
    bool dry = cli_has(sd->c, "dry-run");
    struct err e = ERR_INIT;

    if (command_check(&sd->cmd, &sd->op, &e) == 0)
        return EXIT_DONE;
    if (dry && sd->op && sd->op->file_required &&
        str_is(str_of(e.reason), "attachment")) {
        cli_fail(sd->c, EXIT_DONE, "note: %s", e.text);
        return EXIT_DONE;
    }
    if (cli_has(sd->c, "force") && !dry)
        return EXIT_DONE;
    return cli_usage(sd->c, "%s: %s", e.reason ? e.reason : "invalid-command", e.text);
}

/* The same, of what a setting says. */
static int check_size(struct send *sd)
{
    size_t bytes = 0;

    for (size_t i = 0; i < sd->cmd.n_attachments; i++)
        bytes += sd->cmd.attachments[i].data.len;
    if (bytes <= (uint64_t)sd->s.attachments_max_bytes || cli_has(sd->c, "force"))
        return EXIT_DONE;
    return cli_usage(sd->c,
                     "attachment: %zu bytes, more than attachments.max.bytes (%lld)",
                     bytes, (long long)sd->s.attachments_max_bytes);
}

/* --- flags --- */

static int parse_wait(struct send *sd)
{
    const char *text = cli_value(sd->c, "wait");
    struct err e = ERR_INIT;
    int64_t seconds = WAIT_PRESET_S;

    if (!cli_has(sd->c, "wait"))
        return 0;
    if (text && parse_i64(str_of(text), 1, WAIT_MAX_S, &seconds, &e) != 0) {
        cli_usage(sd->c, "--wait wants seconds, 1 to %d, not %s", WAIT_MAX_S, text);
        return -1;
    }
    sd->wait_ms = seconds * 1000;
    return 0;
}

static int parse_headers(struct send *sd)
{
    const struct cli *c = sd->c;

    /* one more: --wait may add a command id */
    sd->headers = arena_zalloc(&sd->a, (c->n_opts + 1) * sizeof(sd->headers[0]));
    for (size_t i = 0; i < c->n_opts; i++) {
        const char *equals;

        if (strcmp(c->opts[i].flag->name, "header") != 0)
            continue;
        equals = strchr(c->opts[i].value, '=');
        if (!equals || equals == c->opts[i].value) {
            cli_usage(sd->c, "-H wants NAME=VALUE, not %s", c->opts[i].value);
            return -1;
        }
        sd->headers[sd->n_headers].name =
            (struct str){c->opts[i].value, (size_t)(equals - c->opts[i].value)};
        sd->headers[sd->n_headers++].value = str_of(equals + 1);
    }
    return 0;
}

static int read_stream(struct send *sd, FILE *in, const char *name)
{
    char chunk[8192];
    size_t n;

    while ((n = fread(chunk, 1, sizeof(chunk), in)) > 0)
        buf_add(&sd->body, chunk, n);
    if (ferror(in) || sd->body.over) {
        cli_usage(sd->c, "--body: %s cannot be read, or is over %d bytes", name,
                  BODY_MAX);
        return -1;
    }
    return 0;
}

static int read_file(struct send *sd, const char *path)
{
    FILE *in = fopen(path, "re");
    int ret;

    if (!in) {
        cli_usage(sd->c, "--body: %s: %s", path, strerror(errno));
        return -1;
    }
    ret = read_stream(sd, in, path);
    fclose(in);
    return ret;
}

/* JSON, @FILE, or - for standard input. */
static int read_body(struct send *sd, struct str *body)
{
    const char *text = cli_value(sd->c, "body");
    int ret = 0;

    *body = STR_NULL;
    if (!text)
        return 0;
    if (strcmp(text, "-") == 0)
        ret = read_stream(sd, stdin, "standard input");
    else if (text[0] == '@')
        ret = read_file(sd, text + 1);
    else
        buf_add_cstr(&sd->body, text);
    *body = str_trim(buf_str(&sd->body));
    if (ret == 0 && !json_is_valid(*body)) {
        cli_usage(sd->c, "--body is no valid JSON");
        ret = -1;
    }
    return ret;
}

static int read_files(struct send *sd)
{
    const struct cli *c = sd->c;
    struct err e = ERR_INIT;

    sd->cmd.attachments =
        arena_zalloc(&sd->a, (c->n_opts + 1) * sizeof(struct attachment));
    for (size_t i = 0; i < c->n_opts; i++) {
        if (strcmp(c->opts[i].flag->name, "attach") != 0)
            continue;
        if (send_file(c->opts[i].value, FILES_MAX, &sd->a,
                      &sd->cmd.attachments[sd->cmd.n_attachments], &e) != 0) {
            cli_usage(sd->c, "%s", e.text);
            return -1;
        }
        sd->cmd.n_attachments++;
    }
    return 0;
}

/* --- dry run --- */

static void add_member(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, "\"%s\":", name);
    json_out_bytes(out, value);
}

static void add_url(struct buf *out, const char *base, const struct request *req)
{
    struct buf url;
    size_t len = strlen(base);

    while (len > 0 && base[len - 1] == '/')
        len--;
    buf_init(&url, BODY_MAX);
    buf_printf(&url, "%.*s%s%s%s", (int)len, base, req->path, req->query ? "?" : "",
               req->query ? req->query : "");
    add_member(out, "url", buf_str(&url));
    buf_fini(&url);
}

/* As they go to Front, the secret masked. */
static void add_request_headers(struct buf *out, const struct send *sd,
                                const struct request *req)
{
    const struct form *form = req->form;

    (void)sd;
    buf_add_cstr(out, "\"headers\":{\"authorization\":\"Bearer ***\"");
    if (form)
        buf_printf(out, ",\"content-type\":\"%s\"",
                   form->content_type ? form->content_type : "multipart/form-data");
    else if (req->body.ptr)
        buf_add_cstr(out, ",\"content-type\":\"application/json\"");
    for (size_t i = 0; i < req->n_headers; i++) {
        struct str value = str_of(req->headers[i]);
        struct str name = str_split(&value, ':');

        buf_add_char(out, ',');
        json_quote(out, str_trim(name));
        buf_add_char(out, ':');
        json_out_bytes(out, str_trim(value));
    }
    buf_add_char(out, '}');
}

/* The plan's bucket, or the narrower one that guards this operation. */
static void add_bucket(struct buf *out, const struct request *req)
{
    struct buf bucket;

    buf_init(&bucket, BODY_MAX);
    buf_add_cstr(&bucket, req->guard == GUARD_NONE ? "plan" : guard_names[req->guard]);
    if (req->guard != GUARD_NONE && req->guard_id.ptr) {
        buf_add_char(&bucket, ':');
        buf_add_str(&bucket, req->guard_id);
    }
    add_member(out, "bucket", buf_str(&bucket));
    buf_fini(&bucket);
}

/* A field with its text, a file without its bytes. */
static void add_part(struct buf *out, const struct form_part *part)
{
    const struct attachment *file = part->file;
    struct str type = file ? file->content_type : STR_NULL;

    buf_add_char(out, '{');
    add_member(out, "name", part->name);
    buf_add_char(out, ',');
    if (!file) {
        add_member(out, "value", part->text);
    } else {
        add_member(out, "filename", file->filename);
        buf_add_char(out, ',');
        add_member(out, "content_type", type.ptr ? type : STR_LIT(FORM_PRESET_TYPE));
        buf_add_char(out, ',');
        if (file->url.ptr)
            add_member(out, "url", file->url);
        else
            buf_printf(out, "\"bytes\":%zu", file->data.len);
    }
    buf_add_char(out, '}');
}

static void add_body(struct buf *out, const struct request *req)
{
    const struct form *form = req->form;

    if (!form) {
        buf_add_cstr(out, ",\"body\":");
        buf_add_str(out, req->body.ptr ? req->body : STR_LIT("null"));
        return;
    }
    buf_add_cstr(out, ",\"body\":null,\"parts\":[");
    for (size_t i = 0; i < form->n_parts; i++) {
        buf_add_cstr(out, i > 0 ? "," : "");
        add_part(out, &form->parts[i]);
    }
    buf_add_char(out, ']');
}

static int dry_run(struct send *sd)
{
    struct err e = ERR_INIT;
    struct request req;
    struct buf out;

    memset(&req, 0, sizeof(req));
    if (request_build(&sd->cmd, sd->op, &sd->a, &req, &e) != 0)
        return cli_usage(sd->c, "%s", e.text);
    buf_init(&out, LINE_MAX_BYTES);
    buf_add_char(&out, '{');
    add_member(&out, "operation", sd->op ? str_of(sd->op->name) : sd->cmd.operation);
    buf_printf(&out, ",\"method\":\"%s\",", http_method_names[req.method]);
    add_url(&out, sd->s.front_url, &req);
    buf_add_char(&out, ',');
    add_request_headers(&out, sd, &req);
    add_body(&out, &req);
    buf_printf(&out, ",\"class\":\"%c\",", 'A' + (int)req.klass);
    add_bucket(&out, &req);
    buf_add_cstr(&out, "}\n");
    fwrite(out.data, 1, out.len, sd->c->out);
    buf_fini(&out);
    return EXIT_DONE;
}

/* --- writing it --- */

/* With a registry the record carries the schema's id; what it lacks is written as a
 * single object, which the connector reads all the same. */
static void identify(struct send *sd, const char *full_name)
{
    struct err e = ERR_INIT;

    if (sd->rt.rl && registry_output_wait(sd->rt.rl, schemas_xget(sd->ss, full_name),
                                          sd->s.commands_topics.items[0],
                                          REGISTRY_WAIT_MS, &e) != REGISTRY_KNOWN)
        cli_fail(sd->c, EXIT_DONE, "note: written without the registry: %s", e.text);
}

static int encode(struct send *sd, struct err *e)
{
    sd->ss = schemas_new(sd->s.schemas_dir, e);
    if (!sd->ss || registry_tool_open(&sd->rt, &sd->l, sd->ss, e) != 0)
        return -1;
    if (!cli_has(sd->c, "typed")) {
        if (sd->s.commands_format == FORMAT_JSON)
            return command_encode_json(&sd->cmd, &sd->value, e);
        identify(sd, "front.Command");
        return command_encode_avro(sd->ss, &sd->cmd, &sd->value, e);
    }
    if (sd->s.commands_format == FORMAT_JSON)
        return err_set(e, ERR_SETTINGS, "--typed is Avro, commands.format is json");
    if (!sd->op || str_is(sd->cmd.operation, "call"))
        return err_set(e, ERR_SETTINGS, "--typed: there is no record of its own for %.*s",
                       STR_ARG(sd->cmd.operation));
    identify(sd, sd->op->record->full_name);
    return command_encode_typed(sd->ss, sd->op->record, &sd->cmd, &sd->value, e);
}

static struct str explicit_id(const struct send *sd)
{
    for (size_t i = 0; i < sd->n_headers; i++) {
        if (str_is(sd->headers[i].name, "command-id"))
            return sd->headers[i].value;
    }
    return sd->cmd.command_id;
}

/* A random UUID, so that the result can be told from others. */
static int make_id(struct send *sd, struct err *e)
{
    unsigned char r[16];
    char hex[33];

    if (explicit_id(sd).ptr || sd->wait_ms == 0)
        return 0;
    if (getrandom(r, sizeof(r), 0) != (ssize_t)sizeof(r))
        return err_set(e, ERR_SYSTEM, "no random numbers: %s", strerror(errno));
    r[6] = (unsigned char)((r[6] & 0x0f) | 0x40);
    r[8] = (unsigned char)((r[8] & 0x3f) | 0x80);
    hex_encode(r, sizeof(r), hex);
    snprintf(sd->id, sizeof(sd->id), "%.8s-%.4s-%.4s-%.4s-%.12s", hex, hex + 8, hex + 12,
             hex + 16, hex + 20);
    sd->headers[sd->n_headers].name = STR_LIT("command-id");
    sd->headers[sd->n_headers++].value = str_of(sd->id);
    return 0;
}

static bool is_result_of(const struct kafka_record *rec, struct str id)
{
    for (size_t i = 0; i < rec->n_headers; i++) {
        if (str_is(rec->headers[i].name, "command-id") && rec->headers[i].value.ptr)
            return str_eq(rec->headers[i].value, id);
    }
    return false;
}

/* Prints the result; EXIT_DONE only when it says SUCCEEDED. */
static int print_result(struct send *sd, const struct kafka_record *rec)
{
    struct err e = ERR_INIT;
    char outcome[32] = "";
    struct buf out;
    int code = EXIT_FAILED;

    buf_init(&out, LINE_MAX_BYTES);
    registry_tool_learn(&sd->rt, rec->value);
    if (avro_to_json(sd->ss, rec->value, &out, &e) == 0) {
        fwrite(out.data, 1, out.len, sd->c->out);
        fputc('\n', sd->c->out);
        (void)json_unquote(json_member(buf_str(&out), "outcome"), outcome,
                           sizeof(outcome));
        if (strcmp(outcome, "SUCCEEDED") == 0)
            code = EXIT_DONE;
    } else {
        cli_fail(sd->c, EXIT_FAILED, "the result cannot be read: %s", e.text);
    }
    buf_fini(&out);
    return code;
}

static int wait_for_result(struct send *sd, struct kafka_reader *r)
{
    int64_t end_ms = clock_now(&clock_system) + sd->wait_ms;
    struct str id = explicit_id(sd);
    struct err e = ERR_INIT;
    struct kafka_record rec;
    int got, code;

    while (clock_now(&clock_system) < end_ms) {
        got = kafka_reader_next_wait(r, POLL_MS, &rec, &e);
        if (got < 0)
            return cli_fail(sd->c, EXIT_FAILED, "%s: %s", sd->s.results_topic, e.text);
        if (got != 1)
            continue;
        if (is_result_of(&rec, id)) {
            code = print_result(sd, &rec);
            kafka_reader_release(r, &rec);
            return code;
        }
        kafka_reader_release(r, &rec);
    }
    return cli_fail(
        sd->c, EXIT_FAILED,
        "no result of %.*s within %lld s; it may still come: front-connector tail "
        "results --id %.*s",
        STR_ARG(id), (long long)(sd->wait_ms / 1000), STR_ARG(id));
}

/* Where it went; without an id of its own the place is the command's id. */
static void print_place(struct send *sd, const struct kafka_output *out, int64_t offset)
{
    struct str id = explicit_id(sd);
    struct buf line;

    buf_init(&line, LINE_MAX_BYTES);
    buf_add_cstr(&line, "{\"topic\":");
    json_out_bytes(&line, str_of(out->topic));
    buf_printf(&line,
               ",\"partition\":%d,\"offset\":%lld,\"command_id\":", (int)out->partition,
               (long long)offset);
    if (id.ptr)
        json_out_bytes(&line, id);
    else
        buf_printf(&line, "\"%s/%d/%lld\"", out->topic, (int)out->partition,
                   (long long)offset);
    buf_add_cstr(&line, "}\n");
    fputs(line.data, sd->c->out);
    buf_fini(&line);
}

static int produce(struct send *sd)
{
    struct kafka_output out = {.partition = -1, .key = str_of(cli_value(sd->c, "key"))};
    struct kafka_reader *r = NULL;
    struct err e = ERR_INIT;
    int64_t offset = -1;
    int code = EXIT_FAILED;

    if (encode(sd, &e) != 0)
        return cli_usage(sd->c, "%s", e.text);
    if (make_id(sd, &e) != 0)
        return cli_fail(sd->c, EXIT_FAILED, "%s", e.text);
    out.topic = sd->s.commands_topics.items[0];
    out.value = buf_str(&sd->value);
    out.headers = sd->headers;
    out.n_headers = sd->n_headers;
    if (sd->wait_ms > 0) {
        /* before the command is written: its result cannot be missed */
        r = kafka_reader_open_wait(&sd->l.kafka, sd->s.results_topic, FROM_END, 0, &e);
        if (!r)
            return cli_fail(sd->c, EXIT_FAILED, "%s: %s", sd->s.results_topic, e.text);
    }
    if (kafka_produce_wait(&sd->l.kafka, &out, PRODUCE_TIMEOUT_MS, &offset, &e) != 0) {
        cli_fail(sd->c, EXIT_FAILED, "%s: %s", out.topic, e.text);
    } else if (r) {
        code = wait_for_result(sd, r);
    } else {
        print_place(sd, &out, offset);
        code = EXIT_DONE;
    }
    kafka_reader_free(r);
    return code;
}
