/* front-sandbox trigger: the options of the command line become the fields of
 * POST /_sandbox/trigger. */
#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

static const char help_text[] =
    "front-sandbox trigger TYPE --url URL [options]: makes something happen in a "
    "running\n"
    "sandbox and sends its webhook; prints the events and deliveries it made.\n"
    "TYPE is one of Front's event types (inbound, out_reply, comment, assign, ...), a\n"
    "channel's callback (message, message_autoreply, message_imported, authorization,\n"
    "delete, list_addresses), or sync: the challenge again.\n"
    "\n"
    "  --kind K            app, rule or channel: this webhook only, also what it would "
    "not\n"
    "                      get by itself\n"
    "  --conversation ID   or new (default: each in turn)\n"
    "  --private           a new private conversation\n"
    "  --channel ID        of authorization, delete, list_addresses\n"
    "  --target ID         the tag, teammate, inbox, link, ... of the event\n"
    "  --source S          who did it: teammate (default), rule, api, ...\n"
    "  --author_id ID, --subject TEXT, --body TEXT\n"
    "  --payload P         full or preview\n"
    "  --webhook_type T    another long name in the envelope\n"
    "  --count N           so many\n"
    "\n"
    "  --duplicate N       N further copies of each\n"
    "  --delay MS          sent so much later\n"
    "  --reorder           sent in another order\n"
    "  --drop              not sent: only in the list of events\n"
    "  --bad-signature, --no-signature, --two-signatures, --other-key,\n"
    "  --flip-bit (in the body, after signing), --old-timestamp (10 minutes, signed "
    "right)\n"
    "  --timestamp-offset MS   signed right for now + MS\n"
    "  --no-body           a delete without a body: signs the word undefined\n";

struct arg {
    const char *option, *field; /* field NULL: the option's name */
    char type;                  /* 's' text, 'n' number, 'b' flag */
};

static const struct arg args[] = {
    {"url", NULL, 's'},
    {"kind", NULL, 's'},
    {"conversation", NULL, 's'},
    {"channel", NULL, 's'},
    {"target", NULL, 's'},
    {"source", NULL, 's'},
    {"author_id", NULL, 's'},
    {"subject", NULL, 's'},
    {"body", NULL, 's'},
    {"payload", NULL, 's'},
    {"webhook_type", NULL, 's'},
    {"count", NULL, 'n'},
    {"duplicate", NULL, 'n'},
    {"delay", "delay_ms", 'n'},
    {"timestamp-offset", "timestamp_offset_ms", 'n'},
    {"private", NULL, 'b'},
    {"reorder", NULL, 'b'},
    {"drop", NULL, 'b'},
    {"bad-signature", "bad_signature", 'b'},
    {"no-signature", "no_signature", 'b'},
    {"two-signatures", "two_signatures", 'b'},
    {"other-key", "other_key", 'b'},
    {"flip-bit", "flip_bit", 'b'},
    {"old-timestamp", "old_timestamp", 'b'},
    {"no-body", "no_body", 'b'},
};
#define ARGS (sizeof args / sizeof args[0])

static int arg_take(json_t *fields, const struct arg *arg, struct err *e)
{
    const char *name = arg->field != NULL ? arg->field : arg->option;
    int64_t n = 0;
    json_t *v = NULL;
    if (arg->type == 'b')
        v = json_true();
    else if (arg->type == 's')
        v = json_string(optarg);
    else if (parse_i64(str_of(optarg), -86400000, 86400000, &n, e) < 0)
        return err_prefix(e, "--%s", arg->option);
    else
        v = json_integer(n);
    if (v == NULL)
        return err_set(e, ERR_INPUT, "--%s: not UTF-8", arg->option);
    (void)json_object_set_new(fields, name, v);
    return 0;
}

static int args_read(int argc, char **argv, json_t *fields, struct err *e)
{
    struct option options[ARGS + 2] = {{"help", no_argument, NULL, 'h'}};
    int opt, at = 0;
    for (size_t i = 0; i < ARGS; i++)
        options[i + 1] = (struct option){
            args[i].option, args[i].type == 'b' ? no_argument : required_argument, NULL,
            'o'};
    while ((opt = getopt_long(argc, argv, "h", options, &at)) != -1) {
        if (opt == 'h') {
            fputs(help_text, stdout);
            exit(0);
        }
        if (opt != 'o')
            return err_set(e, ERR_INPUT, "see front-sandbox trigger --help");
        if (arg_take(fields, &args[at - 1], e) < 0)
            return -1;
    }
    if (optind + 1 != argc)
        return err_set(e, ERR_INPUT, "one TYPE, such as inbound");
    if (json_object_get(fields, "url") == NULL)
        return err_set(e, ERR_INPUT, "--url URL is needed");
    (void)json_object_set_new(fields, "type", json_string(argv[optind]));
    return 0;
}

/* 0: triggered; 1: the sandbox refuses; 2: not understood, or no sandbox. */
static int trigger_post(json_t *fields, struct err *e)
{
    int status = 0, rc = 0;
    json_t *answer = NULL, *url = json_incref(json_object_get(fields, "url"));
    (void)json_object_del(fields, "url");
    char *body = json_dumps(fields, JSON_COMPACT);
    rc = client_ask(json_string_value(url), "POST", "/_sandbox/trigger",
                    str_of(body != NULL ? body : ""), &status, &answer, e);
    free(body); /* jansson's */
    json_decref(url);
    if (rc < 0)
        return 2;
    if (status >= 400) {
        const json_t *error = json_object_get(answer, "_error");
        const char *text = json_string_value(json_object_get(error, "message"));
        (void)err_set(e, ERR_INPUT, "%s", text != NULL ? text : "refused");
    } else {
        (void)json_dumpf(answer, stdout, JSON_COMPACT);
        fputs("\n", stdout);
    }
    json_decref(answer);
    return status >= 400;
}

int trigger_ask(int argc, char **argv)
{
    struct err e = ERR_INIT;
    json_t *fields = json_object();
    int rc = args_read(argc, argv, fields, &e) < 0 ? 2 : trigger_post(fields, &e);
    json_decref(fields);
    if (rc != 0)
        fprintf(stderr, "front-sandbox trigger: %s\n", e.text);
    return rc;
}
