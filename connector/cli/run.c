/* `run`: preflight, then the one loop of the connector until it is told to stop. Owns the
 * loop and everything on it. After Kafka was opened the process ends with _exit: a
 * library thread that hangs must not keep it alive. */
#include "cli/cli.h"

#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/loop.h"
#include "base/mem.h"
#include "cli/hooks.h"
#include "cli/launch.h"
#include "cli/pages.h"
#include "cli/preflight.h"
#include "cli/version.h"

#define TURN_MAX_MS 1000
#define SECRETS_EVERY_MS 1000
#define CLOSE_DEADLINE_MS 5000

struct run {
    struct settings s;
    struct launch launch;
    struct schemas *ss;
    struct loop *lo;
    struct http_client *hc;
    struct registry_link *rl; /* NULL: there is no registry */
    struct kafka *k;
    struct kafka_port kafka_port;
    struct http_port http_port;
    struct engine *en;
    struct pages *pages; /* NULL: status.listen=off */
    struct hooks *hooks; /* NULL: webhooks.listen=off */
    int stops;           /* signals passed on so far */
    int64_t turned_ms;
    int64_t secrets_at_ms; /* when to look at the secrets' files again */
};

static int prepare(struct run *r);
static int open_all(struct run *r);
static int turn_until_ended(struct run *r);
static void turn(struct run *r);

int cli_run(struct cli *c)
{
    struct run r;
    int code;

    memset(&r, 0, sizeof(r));
    if (cli_settings(c, NEED_KAFKA | NEED_TOKEN, &r.s) != 0) {
        settings_close(&r.s);
        return EXIT_USAGE;
    }
    launch_init(&r.launch, &r.s);
    code = prepare(&r);
    if (code == EXIT_DONE)
        code = open_all(&r);
    if (code == EXIT_DONE)
        code = turn_until_ended(&r);
    log_buffered(false);
    if (r.k) {
        kafka_free(r.k, CLOSE_DEADLINE_MS);
        log_flush();
        fflush(c->out);
        fflush(c->err);
        _exit(code);
    }
    registry_link_free(r.rl);
    http_client_free(r.hc);
    loop_free(r.lo);
    schemas_free(r.ss);
    launch_fini(&r.launch);
    settings_close(&r.s);
    return code;
}

/* --- preflight --- */

static void log_finding(void *arg, const struct check_line *line)
{
    (void)arg;
    switch (line->state) {
    case CHECK_OK:
    case CHECK_SKIP:
        log_debug("preflight", "%s %s: %s", line->check, line->name, line->message);
        break;
    case CHECK_WARN:
        log_warn("preflight", "%s %s: %s%s%s", line->check, line->name, line->message,
                 line->fix ? "; " : "", line->fix ? line->fix : "");
        break;
    case CHECK_FAIL:
        log_error("preflight", "%s %s: %s%s%s", line->check, line->name, line->message,
                  line->fix ? "; " : "", line->fix ? line->fix : "");
        break;
    }
}

static void log_waiting(void *arg, const char *why)
{
    const struct run *r = arg;

    log_warn("kafka.waiting", "Kafka at %s is not reached, waiting: %s",
             r->s.kafka_bootstrap_servers, why);
}

/* Nothing is running yet: a signal may end us where we stand. */
static void end_now(int signal_number)
{
    (void)signal_number;
    _exit(EXIT_DONE);
}

static int fail_settings(const struct err *e, const char *event)
{
    log_error(event, "%s", e->text);
    return EXIT_USAGE;
}

static int prepare(struct run *r)
{
    struct preflight p = {.s = &r->s,
                          .launch = &r->launch,
                          .create = true,
                          .say = log_finding,
                          .waiting = log_waiting,
                          .arg = r};
    struct sigaction stop = {.sa_handler = end_now};
    struct err e = ERR_INIT;

    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    log_info("start", "front-connector %s, group %s, instance %s",
             FRONT_CONNECTOR_VERSION, r->s.group_id, r->s.instance_id);
    if (preflight_kafka_settings(&p) != 0)
        return EXIT_USAGE;
    r->ss = schemas_new(r->s.schemas_dir, &e);
    if (!r->ss)
        return fail_settings(&e, "schemas");
    if (kafka_reach_wait(&r->launch.kafka, -1, log_waiting, r, &e) != 0)
        return fail_settings(&e, "kafka");
    if (preflight_topics(&p) != 0 || preflight_transactions(&p) != 0 ||
        preflight_keeping(&p) != 0 || preflight_offsets(&p) != 0)
        return EXIT_USAGE;
    return EXIT_DONE;
}

/* --- opening --- */

static void fill_health(void *arg, struct engine_health *out)
{
    struct run *r = arg;

    out->loop_turned_ms_ago = clock_now(&clock_system) - r->turned_ms;
    out->kafka_call = NULL;
    out->kafka_thread_ms = kafka_thread_busy_ms(r->k, &out->kafka_call);
}

/* The loop and the HTTP client: what is wrong here is the settings' fault. */
static int open_loop(struct run *r)
{
    struct err e = ERR_INIT;

    r->lo = loop_new(&e);
    if (!r->lo || loop_catch_signals(r->lo, &e) != 0) {
        log_error("loop", "%s", e.text);
        return EXIT_FAILED;
    }
    r->hc = http_client_new(r->lo, &r->launch.http, &e);
    if (!r->hc)
        return fail_settings(&e, "http");
    if (r->launch.registry.n > 0) {
        r->rl = registry_link_new(r->lo, r->ss, &r->launch.registry, &e);
        if (!r->rl)
            return fail_settings(&e, "schemas.registry.url");
    }
    return EXIT_DONE;
}

static int open_servers(struct run *r)
{
    struct err e = ERR_INIT;

    if (settings_listens(r->s.status_listen)) {
        r->pages = pages_new(r->lo, r->s.status_listen, r->en, fill_health, r, &e);
        if (!r->pages)
            return fail_settings(&e, "status.listen");
        log_info("status.listen", "pages on %s, port %d", r->s.status_listen,
                 pages_port(r->pages));
    }
    if (settings_listens(r->s.webhooks_listen)) {
        r->hooks = hooks_new(r->lo, &r->s, &r->launch, r->en, &e);
        if (!r->hooks)
            return fail_settings(&e, "webhooks.listen");
        log_info("webhooks.listen", "webhooks on %s, port %d", r->s.webhooks_listen,
                 hooks_port(r->hooks));
    }
    return EXIT_DONE;
}

static int open_all(struct run *r)
{
    struct err e = ERR_INIT;
    int code = open_loop(r);

    if (code != EXIT_DONE)
        return code;
    r->k = kafka_open(r->lo, &r->launch.kafka, &e);
    if (!r->k)
        return fail_settings(&e, "kafka");
    r->kafka_port = kafka_port(r->k);
    r->http_port = http_client_port(r->hc);
    r->en = engine_new(&r->launch.engine, r->ss, &r->kafka_port, &r->http_port,
                       &clock_system, &e);
    if (!r->en)
        return fail_settings(&e, "engine");
    return open_servers(r);
}

/* --- the loop --- */

static int64_t sooner(int64_t a_ms, int64_t b_ms)
{
    if (b_ms < 0)
        return a_ms;
    return b_ms < a_ms ? b_ms : a_ms;
}

static int64_t wait_ms(const struct run *r)
{
    int64_t next_ms = engine_next_ms(r->en) - clock_now(&clock_system);
    int64_t wait = sooner(TURN_MAX_MS, next_ms < 0 ? 0 : next_ms);

    wait = sooner(wait, http_client_wait_ms(r->hc));
    if (r->rl)
        wait = sooner(wait, registry_link_wait_ms(r->rl));
    if (r->pages)
        wait = sooner(wait, pages_wait_ms(r->pages));
    if (r->hooks)
        wait = sooner(wait, hooks_wait_ms(r->hooks));
    return wait;
}

static void pass_signals(struct run *r)
{
    while (r->stops < loop_signals(r->lo)) {
        r->stops++;
        log_info("stop", r->stops == 1 ? "asked to stop: running requests may end"
                                       : "asked to stop again: ending at once");
        engine_stop(r->en);
    }
}

static void look_at_secrets(struct run *r)
{
    const char *token, *password;

    if (r->turned_ms < r->secrets_at_ms)
        return;
    r->secrets_at_ms = r->turned_ms + SECRETS_EVERY_MS;
    if (r->hooks)
        hooks_read_keys(r->hooks);
    if (r->rl &&
        settings_secret_changed(r->s.values, "schemas.registry.password", &password)) {
        registry_link_set_password(r->rl, password);
        log_info("password.changed", "schemas.registry.password was read again");
    }
    if (!settings_secret_changed(r->s.values, "front.token", &token))
        return;
    log_secret(token);
    engine_set_token(r->en, token);
    log_info("token.changed", "front.token was read again");
}

static void turn(struct run *r)
{
    loop_wait(r->lo, wait_ms(r));
    r->turned_ms = clock_now(&clock_system);
    pass_signals(r);
    look_at_secrets(r);
    http_client_turn(r->hc);
    if (r->rl)
        registry_link_turn(r->rl);
    if (r->hooks)
        hooks_turn(r->hooks);
    engine_turn(r->en);
    if (r->rl)
        registry_link_turn(r->rl); /* what the engine asked */
    http_client_turn(r->hc);       /* what the engine started leaves in the same turn */
    if (r->hooks)
        hooks_turn(r->hooks); /* and so do the answers that it gave */
    if (r->pages)
        pages_turn(r->pages);
    log_flush();
}

static int turn_until_ended(struct run *r)
{
    struct err e = ERR_INIT;
    int ended = 0;

    log_buffered(true);
    r->turned_ms = clock_now(&clock_system);
    while (ended == 0) {
        turn(r);
        ended = engine_ended(r->en, &e);
    }
    if (ended > 0) {
        log_info("end", "ended");
        return EXIT_DONE;
    }
    log_error("end", "%s", e.text);
    return EXIT_FAILED;
}
