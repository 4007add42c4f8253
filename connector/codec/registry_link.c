/* See registry_link.h. Owns the HTTP clients and the registry client that uses them. */
#include "codec/registry_link.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "codec/base64.h"
#include "codec/framing.h"

enum { CONNECT_TIMEOUT_MS = 5000, ASK_TIMEOUT_MS = 10000, STEP_MS = 500 };
#define ANSWER_MAX ((size_t)2 * 1024 * 1024)
#define LOGIN_MAX ((size_t)16 * 1024)

struct registry_link {
    struct registry_link_options o;
    struct loop *loop;
    struct schemas *ss;
    struct http_client **clients;
    struct http_port *ports;
    struct registry *rg;
    char *authorization;
};

static char *basic(const char *username, const char *password)
{
    char *login = mem_printf("%s:%s", username, password != NULL ? password : "");
    struct buf out;

    buf_init(&out, LOGIN_MAX);
    (void)buf_add_cstr(&out, "Basic ");
    (void)base64_encode(str_of(login), &out);
    mem_wipe(login, strlen(login));
    mem_free(login);
    log_secret(out.data + strlen("Basic "));
    return buf_take(&out, NULL);
}

static void forget_authorization(struct registry_link *rl)
{
    if (rl->authorization != NULL)
        mem_wipe(rl->authorization, strlen(rl->authorization));
    mem_free(rl->authorization);
    rl->authorization = NULL;
}

struct registry_link *registry_link_new(struct loop *lo, struct schemas *ss,
                                        const struct registry_link_options *o,
                                        struct err *e)
{
    struct registry_link *rl = mem_zalloc(sizeof(*rl));

    rl->o = *o;
    rl->loop = lo;
    rl->ss = ss;
    rl->clients = mem_array(o->n, sizeof(rl->clients[0]));
    rl->ports = mem_array(o->n, sizeof(rl->ports[0]));
    for (size_t i = 0; i < o->n; i++) {
        struct http_client_options ho = {.url = o->urls[i],
                                         .ca_file = o->ca_file,
                                         .connect_timeout_ms = CONNECT_TIMEOUT_MS,
                                         .places = REGISTRY_PLACES,
                                         .user_agent = o->user_agent,
                                         .plain_http = true};

        rl->clients[i] = http_client_new(lo, &ho, e);
        if (rl->clients[i] == NULL) {
            registry_link_free(rl);
            return NULL;
        }
        rl->ports[i] = http_client_port(rl->clients[i]);
    }
    if (o->username != NULL)
        rl->authorization = basic(o->username, o->password);
    rl->rg =
        registry_new(ss, &(struct registry_options){.ports = rl->ports,
                                                    .urls = o->urls,
                                                    .n = o->n,
                                                    .authorization = rl->authorization,
                                                    .registers = o->registers,
                                                    .subjects = o->subjects,
                                                    .clock = &clock_system});
    return rl;
}

void registry_link_free(struct registry_link *rl)
{
    if (rl == NULL)
        return;
    registry_free(rl->rg);
    for (size_t i = 0; i < rl->o.n; i++)
        http_client_free(rl->clients[i]);
    mem_free(rl->clients);
    mem_free(rl->ports);
    forget_authorization(rl);
    mem_free(rl);
}

void registry_link_set_password(struct registry_link *rl, const char *password)
{
    forget_authorization(rl);
    rl->o.password = password;
    if (rl->o.username != NULL)
        rl->authorization = basic(rl->o.username, password);
    registry_set_authorization(rl->rg, rl->authorization);
}

struct registry *registry_link_registry(struct registry_link *rl)
{
    return rl->rg;
}

void registry_link_turn(struct registry_link *rl)
{
    for (size_t i = 0; i < rl->o.n; i++)
        http_client_turn(rl->clients[i]);
    registry_turn(rl->rg);
    for (size_t i = 0; i < rl->o.n; i++)
        http_client_turn(rl->clients[i]); /* what was asked leaves in the same turn */
}

int64_t registry_link_wait_ms(const struct registry_link *rl)
{
    int64_t next = registry_next_ms(rl->rg), wait = -1;

    if (next != INT64_MAX) {
        wait = next - clock_now(&clock_system);
        wait = wait > 0 ? wait : 0;
    }
    for (size_t i = 0; i < rl->o.n; i++) {
        int64_t one = http_client_wait_ms(rl->clients[i]);

        if (one >= 0 && (wait < 0 || one < wait))
            wait = one;
    }
    return wait;
}

/* ---- for tools ---- */

static void step(struct registry_link *rl)
{
    int64_t wait = registry_link_wait_ms(rl);

    loop_wait(rl->loop, wait < 0 || wait > STEP_MS ? STEP_MS : wait);
    registry_link_turn(rl);
}

enum registry_answer registry_output_wait(struct registry_link *rl,
                                          const struct schema *sc, const char *topic,
                                          int64_t timeout_ms, struct err *e)
{
    int64_t end_ms = clock_now(&clock_system) + timeout_ms;
    enum registry_answer answer;

    for (;;) {
        err_clear(e);
        answer = registry_output(rl->rg, sc, topic, e);
        if (answer != REGISTRY_WAIT || clock_now(&clock_system) >= end_ms)
            return answer;
        step(rl);
    }
}

void registry_writer_wait(struct registry_link *rl, struct str value, int64_t timeout_ms)
{
    int64_t end_ms = clock_now(&clock_system) + timeout_ms;

    while (framing_waits(rl->ss, value) && clock_now(&clock_system) < end_ms)
        step(rl);
}

static void mark_done(struct http_call *call)
{
    *(bool *)call->owner = true;
}

void registry_ask_wait(struct registry_link *rl, size_t url, enum registry_question q,
                       const struct registry_about *about, struct arena *a,
                       struct registry_reply *out)
{
    struct http_port *port = &rl->ports[url];
    struct http_call call;
    bool done = false;

    http_call_init(&call);
    registry_request(q, about, a, &call);
    call.authorization = rl->authorization;
    call.timeout_ms = ASK_TIMEOUT_MS;
    call.body_max = ANSWER_MAX;
    call.done = mark_done;
    call.owner = &done;
    if (port->start(port->self, &call) != 0)
        abort(); /* nothing else asks while a tool does */
    while (!done)
        step(rl);
    registry_reply_read(q, &call, a, out);
    http_call_fini(&call);
}
