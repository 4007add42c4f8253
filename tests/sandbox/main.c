/* front-sandbox: a look-alike of Front's API and a mock Kafka in one process on loopback.
 * `front-sandbox [options]` serves until SIGTERM; `front-sandbox assert-once` asks a
 * running one. */
#include <getopt.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

#include "sandbox.h"

#define TOPICS_PRESET                                                                    \
    "front.commands,front.results,front.dead-letters,front.jobs,front.events,front."     \
    "accounts,"                                                                          \
    "front.links,front.teammate-groups,front.ticket-statuses,front.knowledge-bases,"     \
    "front.channels,front.comments,front.contact-notes,front.drafts,front.seen-"         \
    "receipts,"                                                                          \
    "front.contact-lists,front.contacts,front.conversations,front.custom-fields,"        \
    "front.inboxes,front.knowledge-base-articles,front.knowledge-base-categories,"       \
    "front.messages,front.message-templates,front.message-template-folders,front.rules," \
    "front.shifts,front.signatures,front.time-offs,front.views,front.tags,front."        \
    "teammates,"                                                                         \
    "front.teams"

static const char help_text[] =
    "front-sandbox: a Front look-alike, a mock Kafka and a schema registry on 127.0.0.1\n"
    "\n"
    "  front-sandbox [options]             serve until SIGTERM; prints one JSON line "
    "when ready\n"
    "  front-sandbox trigger TYPE --url URL [...]\n"
    "                                      make an event and send its webhook; "
    "trigger --help\n"
    "  front-sandbox assert-once --url URL [--allow-identical[=TEXT]]\n"
    "                                      name calls that were executed twice; exit 1 "
    "if any\n"
    "\n"
    "  --port N            port of the API; 0 = any (default 0)\n"
    "  --no-kafka          no mock Kafka\n"
    "  --no-registry       no schema registry\n"
    "  --topics a:4,b:4    topics and partitions (default: all topics of the connector, "
    "4)\n"
    "  --seed N            another world and other ids (default 1)\n"
    "  --fill N            N conversations, contacts and tags instead of 3\n"
    "  --state FILE        load the world at the start if it is there, save it at the "
    "end\n"
    "  --speed X           quota windows and timestamps run X times as fast (default 1)\n"
    "  --quota KIND:LIMIT  off, fixed, sliding or bucket, requests a minute (default "
    "fixed:200)\n"
    "  --guards on|off     Front's extra limits on single operations (default: on with a "
    "quota)\n"
    "  --token T           the only token that is right (default: any but \"invalid\")\n"
    "  --app-secret S      verify the channel API's tokens (HS256) with this key\n"
    "  --build-ms N        a message is visible N ms after its 202 (default 0)\n"
    "  --slow-ms N         how late a _slow id answers (default 3000)\n"
    "  --hold-ms N         how long a request without answer is held open (default "
    "600000)\n"
    "  --journal N|off     requests kept for /_sandbox/requests (default 100000)\n"
    "  --max-objects N     objects of one kind; the oldest go first (default 50000)\n"
    "  --catalogue FILE    another schemas/catalogue.json than the compiled-in one\n"
    "\n"
    "Webhooks (also while it runs: POST /_sandbox/webhooks):\n"
    "  --webhook-app URL, --webhook-rule URL, --webhook-channel URL\n"
    "                      where each kind is sent\n"
    "  --webhook-app-key K, --webhook-rule-key K, --webhook-channel-key K\n"
    "                      what signs them (app and channel: default --app-secret)\n"
    "  --webhook-payload P full or preview: what events carry (default full)\n"
    "  --webhook-retry-ms N   how long before an application webhook is tried again "
    "(default 500)\n";

double sandbox_now(const struct sandbox *sb)
{
    double ms = (double)(sandbox_ms(sb) - sb->started_ms) * sb->opt.speed;
    return floor((double)sb->started_wall_ms + ms) / 1000;
}

int64_t sandbox_ms(const struct sandbox *sb)
{
    (void)sb;
    return clock_now(&clock_system);
}

/* xorshift64* */
uint64_t sandbox_random(struct sandbox *sb)
{
    uint64_t x = sb->random;
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    sb->random = x;
    return x * 2685821657736338717u;
}

void sandbox_uid(struct sandbox *sb, char out[33])
{
    unsigned long long a = sandbox_random(sb), b = sandbox_random(sb);
    snprintf(out, 33, "%016llx%016llx", a, b);
}

static void world_init(struct sandbox *sb)
{
    sb->random = sb->opt.seed * 0x9e3779b97f4a7c15u | 1;
    sb->started_ms = sandbox_ms(sb);
    sb->started_wall_ms = clock_wall(&clock_system);
    sb->requests = sb->refused = 0;
    store_init(&sb->store, sb->opt.seed, (size_t)sb->opt.objects_max);
    events_init(&sb->events, sb->opt.seed);
    limits_init(&sb->limits, &sb->opt.limits, sb->started_ms);
    faults_init(&sb->faults);
}

static void world_fini(struct sandbox *sb)
{
    faults_clear(&sb->faults);
    limits_fini(&sb->limits);
    events_fini(&sb->events);
    store_fini(&sb->store);
}

/* The webhooks stay; what they were to be sent goes. */
void sandbox_reset(struct sandbox *sb)
{
    deliveries_clear(sb);
    late_clear(sb);
    world_fini(sb);
    world_init(sb);
    seed_all(sb);
    journal_clear(&sb->journal);
    for (size_t i = 0; i < sb->spec.n_operations; i++)
        sb->spec.operations[i].count = 0;
}

int sandbox_save(struct sandbox *sb, struct err *e)
{
    if (sb->opt.state_file == NULL)
        return err_set(e, ERR_SETTINGS, "start with --state FILE to save");
    char *part = mem_printf("%s.part", sb->opt.state_file);
    json_t *dump = store_dump(&sb->store);
    (void)json_object_set_new(dump, "events", events_dump(&sb->events));
    int rc = json_dump_file(dump, part, JSON_COMPACT);
    if (rc == 0)
        rc = rename(part, sb->opt.state_file);
    json_decref(dump);
    mem_free(part);
    return rc != 0 ? err_set(e, ERR_SYSTEM, "cannot write %s", sb->opt.state_file) : 0;
}

static int world_load(struct sandbox *sb, struct err *e)
{
    json_error_t je;
    if (sb->opt.state_file == NULL || access(sb->opt.state_file, F_OK) != 0) {
        seed_all(sb);
        return 0;
    }
    json_t *dump = json_load_file(sb->opt.state_file, 0, &je);
    if (dump == NULL)
        return err_set(e, ERR_SETTINGS, "%s: line %d: %s", sb->opt.state_file, je.line,
                       je.text);
    int rc = store_restore(&sb->store, dump, e);
    if (rc == 0)
        rc = events_restore(&sb->events, json_object_get(dump, "events"), e);
    json_decref(dump);
    return rc;
}

enum {
    OPT_PORT = 256,
    OPT_NO_KAFKA,
    OPT_NO_REGISTRY,
    OPT_TOPICS,
    OPT_SEED,
    OPT_FILL,
    OPT_STATE,
    OPT_SPEED,
    OPT_QUOTA,
    OPT_GUARDS,
    OPT_TOKEN,
    OPT_APP_SECRET,
    OPT_BUILD_MS,
    OPT_SLOW_MS,
    OPT_HOLD_MS,
    OPT_JOURNAL,
    OPT_MAX_OBJECTS,
    OPT_CATALOGUE,
    OPT_WEBHOOK
};

static const struct option long_options[] = {
    {"port", required_argument, NULL, OPT_PORT},
    {"no-kafka", no_argument, NULL, OPT_NO_KAFKA},
    {"no-registry", no_argument, NULL, OPT_NO_REGISTRY},
    {"topics", required_argument, NULL, OPT_TOPICS},
    {"seed", required_argument, NULL, OPT_SEED},
    {"fill", required_argument, NULL, OPT_FILL},
    {"state", required_argument, NULL, OPT_STATE},
    {"speed", required_argument, NULL, OPT_SPEED},
    {"quota", required_argument, NULL, OPT_QUOTA},
    {"guards", required_argument, NULL, OPT_GUARDS},
    {"token", required_argument, NULL, OPT_TOKEN},
    {"app-secret", required_argument, NULL, OPT_APP_SECRET},
    {"build-ms", required_argument, NULL, OPT_BUILD_MS},
    {"slow-ms", required_argument, NULL, OPT_SLOW_MS},
    {"hold-ms", required_argument, NULL, OPT_HOLD_MS},
    {"journal", required_argument, NULL, OPT_JOURNAL},
    {"max-objects", required_argument, NULL, OPT_MAX_OBJECTS},
    {"catalogue", required_argument, NULL, OPT_CATALOGUE},
    {"webhook-app", required_argument, NULL, OPT_WEBHOOK},
    {"webhook-rule", required_argument, NULL, OPT_WEBHOOK},
    {"webhook-channel", required_argument, NULL, OPT_WEBHOOK},
    {"webhook-app-key", required_argument, NULL, OPT_WEBHOOK},
    {"webhook-rule-key", required_argument, NULL, OPT_WEBHOOK},
    {"webhook-channel-key", required_argument, NULL, OPT_WEBHOOK},
    {"webhook-payload", required_argument, NULL, OPT_WEBHOOK},
    {"webhook-retry-ms", required_argument, NULL, OPT_WEBHOOK},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

static int number(const char *name, int64_t min, int64_t max, int64_t *out, struct err *e)
{
    return parse_i64(str_of(optarg), min, max, out, e) < 0 ? err_prefix(e, "--%s", name)
                                                           : 0;
}

static int speed_read(struct options *o, struct err *e)
{
    char *end = NULL;
    o->speed = strtod(optarg, &end);
    if (end == optarg || *end != '\0' || !(o->speed >= 0.001 && o->speed <= 100000))
        return err_set(e, ERR_SETTINGS, "--speed: a number from 0.001 to 100000");
    return 0;
}

static json_t *webhook_of(struct options *o, const char *kind)
{
    json_t *fields = json_object_get(o->webhooks, kind);
    if (fields != NULL)
        return fields;
    fields = json_pack("{s:s}", "kind", kind);
    (void)json_object_set_new(o->webhooks, kind, fields);
    return fields;
}

/* "webhook-app", "webhook-app-key": a field of one kind; else of those that carry events.
 */
static int webhook_read(struct options *o, const char *name, struct err *e)
{
    int64_t ms = 0;
    name += strlen("webhook-");
    if (strcmp(name, "retry-ms") == 0) {
        if (number("webhook-retry-ms", 0, 3600000, &ms, e) < 0)
            return -1;
        (void)json_object_set_new(webhook_of(o, "app"), "retry_ms", json_integer(ms));
        return 0;
    }
    for (size_t i = 0; i < HOOKS; i++) {
        const char *kind = hook_kind_names[i];
        size_t len = strlen(kind);
        const char *field = strcmp(name, "payload") == 0      ? "payload"
                            : strncmp(name, kind, len) != 0   ? NULL
                            : strcmp(name + len, "-key") == 0 ? "key"
                                                              : "url";
        if (field != NULL)
            (void)json_object_set_new(webhook_of(o, kind), field, json_string(optarg));
    }
    return 0;
}

static int option_take(struct options *o, int opt, const char *name, int *guards,
                       struct err *e)
{
    int64_t n = 0;
    int rc = 0;
    switch (opt) {
    case OPT_PORT:
        rc = number("port", 0, 65535, &n, e);
        o->port = (int)n;
        break;
    case OPT_NO_KAFKA:
        o->kafka = false;
        break;
    case OPT_NO_REGISTRY:
        o->registry = false;
        break;
    case OPT_TOPICS:
        o->topics = optarg;
        break;
    case OPT_SEED:
        rc = number("seed", 0, INT64_MAX, &n, e);
        o->seed = (uint64_t)n;
        break;
    case OPT_FILL:
        rc = number("fill", 0, 1000000, &o->fill, e);
        break;
    case OPT_STATE:
        o->state_file = optarg;
        break;
    case OPT_SPEED:
        rc = speed_read(o, e);
        break;
    case OPT_QUOTA:
        rc = limits_parse(optarg, &o->limits, e);
        break;
    case OPT_GUARDS:
        *guards = strcmp(optarg, "on") == 0;
        if (!*guards && strcmp(optarg, "off") != 0)
            rc = err_set(e, ERR_SETTINGS, "--guards: on or off");
        break;
    case OPT_TOKEN:
        o->token = optarg;
        break;
    case OPT_APP_SECRET:
        o->app_secret = optarg;
        break;
    case OPT_BUILD_MS:
        rc = number("build-ms", 0, 3600000, &o->build_ms, e);
        break;
    case OPT_SLOW_MS:
        rc = number("slow-ms", 0, 3600000, &o->slow_ms, e);
        break;
    case OPT_HOLD_MS:
        rc = number("hold-ms", 1, 86400000, &o->hold_ms, e);
        break;
    case OPT_JOURNAL:
        if (strcmp(optarg, "off") != 0)
            rc = number("journal", 0, 10000000, &n, e);
        o->journal_max = (size_t)n;
        break;
    case OPT_MAX_OBJECTS:
        rc = number("max-objects", 10, 10000000, &o->objects_max, e);
        break;
    case OPT_CATALOGUE:
        o->catalogue = optarg;
        break;
    case OPT_WEBHOOK:
        rc = webhook_read(o, name, e);
        break;
    default:
        rc = err_set(e, ERR_SETTINGS, "see front-sandbox --help");
    }
    return rc;
}

static int options_read(int argc, char **argv, struct options *o, struct err *e)
{
    int opt, guards = -1, at = 0;
    *o = (struct options){.kafka = true,
                          .registry = true,
                          .topics = TOPICS_PRESET,
                          .seed = 1,
                          .slow_ms = 3000,
                          .hold_ms = 600000,
                          .objects_max = 50000,
                          .speed = 1,
                          .limits = {.window = WINDOW_FIXED, .limit = 200},
                          .journal_max = 100000,
                          .webhooks = json_object()};
    while ((opt = getopt_long(argc, argv, "h", long_options, &at)) != -1) {
        if (opt == 'h') {
            fputs(help_text, stdout);
            exit(0);
        }
        if (option_take(o, opt, long_options[at].name, &guards, e) < 0)
            return -1;
    }
    if (optind < argc)
        return err_set(e, ERR_SETTINGS, "%s: not understood, see --help", argv[optind]);
    o->limits.speed = o->speed;
    o->limits.guards = guards >= 0 ? guards == 1 : o->limits.window != WINDOW_OFF;
    return 0;
}

/* Blocked here, before librdkafka makes its threads, and read by the server's loop. */
static void signals_block(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    (void)sigprocmask(SIG_BLOCK, &set, NULL);
    (void)signal(SIGPIPE, SIG_IGN);
}

/* What has a URL; the rest were fields of a webhook that is not there. */
static int webhooks_start(struct sandbox *sb, struct err *e)
{
    const char *kind;
    json_t *fields;
    json_object_foreach(sb->opt.webhooks, kind, fields)
    {
        if (json_object_get(fields, "url") != NULL && hook_set(sb, fields, e) < 0) {
            e->kind = ERR_SETTINGS;
            return err_prefix(e, "--webhook-%s", kind);
        }
    }
    return 0;
}

static int serve(struct sandbox *sb, struct err *e)
{
    struct mock *mk = NULL;
    int rc = -1;
    world_init(sb);
    journal_init(&sb->journal, sb->opt.journal_max);
    timers_init(&sb->timers);
    TAILQ_INIT(&sb->lates);
    deliveries_init(&sb->deliveries);
    hooks_init(sb);
    registry_open(sb);
    sb->poster = poster_new(&sb->timers, e);
    if (sb->poster == NULL)
        goto out;
    if (spec_load(&sb->spec, sb->opt.catalogue, e) < 0 ||
        operations_bind(&sb->spec, e) < 0)
        goto out;
    if (server_start(sb, e) < 0 || world_load(sb, e) < 0)
        goto out;
    if (sb->opt.kafka) {
        mk = mock_start(sb->opt.topics, e);
        if (mk == NULL)
            goto out;
    }
    if (webhooks_start(sb, e) < 0)
        goto out;
    char *registry =
        sb->opt.registry ? mem_printf("%s/_sandbox/registry", sb->url) : NULL;
    json_t *line =
        json_pack("{s:b, s:s, s:s?, s:s?}", "ready", 1, "url", sb->url, "bootstrap",
                  mk != NULL ? mock_bootstrap(mk) : NULL, "registry", registry);
    mem_free(registry);
    (void)json_dumpf(line, stdout, JSON_COMPACT);
    json_decref(line);
    fputs("\n", stdout);
    (void)fflush(stdout);
    server_run(sb);
    rc = sb->opt.state_file != NULL ? sandbox_save(sb, e) : 0;
out:
    mock_stop(mk);
    late_clear(sb);
    deliveries_fini(sb);
    hooks_fini(sb);
    poster_free(sb->poster);
    server_stop(sb);
    json_decref(sb->opt.webhooks);
    json_decref(sb->registry);
    spec_fini(&sb->spec);
    timers_fini(&sb->timers);
    journal_fini(&sb->journal);
    world_fini(sb);
    return rc;
}

int main(int argc, char **argv)
{
    struct err e = ERR_INIT;
    static struct sandbox sb;
    if (argc > 1 && strcmp(argv[1], "assert-once") == 0)
        return assert_once(argc - 1, argv + 1);
    if (argc > 1 && strcmp(argv[1], "trigger") == 0)
        return trigger_ask(argc - 1, argv + 1);
    if (options_read(argc, argv, &sb.opt, &e) < 0) {
        fprintf(stderr, "front-sandbox: %s\n", e.text);
        return 2;
    }
    signals_block();
    if (serve(&sb, &e) < 0) {
        fprintf(stderr, "front-sandbox: %s\n", e.text);
        return e.kind == ERR_SETTINGS ? 2 : 1;
    }
    return 0;
}
