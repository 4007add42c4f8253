/* Loads the settings and makes the checks that need more than one key: the settings'
 * struct is complete and consistent when settings_open returns 0. All mistakes are
 * reported at once, each with its key and line. */
#include "cli/settings.h"

#include <arpa/inet.h>
#include <regex.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "cli/settings_sync.h"
#include "front/catalogue.h"

#define TOPIC_NAME_MAX 249
#define HEAL_EVERY_MIN_MS 1000
#define HEAL_EVERY_WITH_WEBHOOKS_MS 300000

/* one check */
static void check_front(struct checker *c, unsigned need);
static void check_url(struct checker *c, const char *key, const char *url);
static void check_proxy(struct checker *c);
static void check_topics(struct checker *c);
static void check_topic_name(struct checker *c, const char *key, const char *topic);
static void check_command_topic(struct checker *c, size_t at);
static const char *output_key_of(const struct settings *s, const char *topic);
static void check_topic_counts(struct checker *c);
static void check_outputs_differ(struct checker *c);
static void check_regex(struct checker *c, const char *key, const char *pattern);
static void check_reply_topics(struct checker *c);
static void check_running(struct checker *c);
static void check_listen(struct checker *c, const char *key, const char *listen);
static void check_events(struct checker *c);
static void check_registry(struct checker *c);

/* helpers */
static void take_host_name(struct settings *s);
static bool host_is_loopback(struct str host);
static bool is_default(const struct checker *c, const char *key);
static void mask_secrets(const struct settings *s);

size_t settings_open(struct settings *s, const struct settings_source *src, unsigned need,
                     struct buf *errors)
{
    struct checker c = {s, errors, 0};
    size_t size = settings_rows_n * sizeof(settings_rows[0]);

    memset(s, 0, sizeof(*s));
    s->rows = mem_dup(settings_rows, size);
    for (size_t i = 0; i < settings_rows_n; i++) {
        bool required = s->rows[i].preset && strcmp(s->rows[i].preset, "!") == 0;

        if (required && !(need & NEED_KAFKA))
            s->rows[i].preset = NULL;
    }
    c.n = settings_load(s->rows, settings_rows_n, s, src, &s->values, errors);
    s->instance_id_set = s->instance_id != NULL;
    take_host_name(s);
    mask_secrets(s);
    check_front(&c, need);
    check_topics(&c);
    check_running(&c);
    check_events(&c);
    check_registry(&c);
    sync_settings_parse(&c);
    return c.n;
}

void settings_close(struct settings *s)
{
    sync_settings_free(s);
    settings_values_free(s->values);
    mem_free(s->rows);
    memset(s, 0, sizeof(*s));
}

void settings_wrong(struct checker *c, const char *key, const char *fmt, ...)
{
    char text[600];
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    settings_complain(c->errors, c->s->values, key, "%s", text);
    c->n++;
}

bool settings_listens(const char *listen)
{
    return listen && strcmp(listen, "off") != 0;
}

static bool is_default(const struct checker *c, const char *key)
{
    return strcmp(settings_origin(c->s->values, key), "default") == 0;
}

static void take_host_name(struct settings *s)
{
    if (gethostname(s->host, sizeof(s->host) - 1) != 0 || !s->host[0])
        snprintf(s->host, sizeof(s->host), "localhost");
    if (!s->instance_id)
        s->instance_id = s->host;
}

static void mask_pairs(const struct setting_pairs *pairs)
{
    for (size_t i = 0; i < pairs->n; i++) {
        const char *key = pairs->items[i].key;

        if (strstr(key, "password") || strstr(key, "secret") ||
            strstr(key, "ssl.key.pem"))
            log_secret(pairs->items[i].value);
    }
}

static void mask_list(const struct setting_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        log_secret(list->items[i]);
}

static void mask_secrets(const struct settings *s)
{
    const char *secrets[] = {s->front_token, s->front_app_secret,
                             s->schemas_registry_password};

    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        if (secrets[i])
            log_secret(secrets[i]);
    }
    mask_pairs(&s->kafka);
    mask_pairs(&s->kafka_consumer);
    mask_pairs(&s->kafka_producer);
    mask_list(&s->webhooks_app_keys);
    mask_list(&s->webhooks_rule_keys);
    mask_list(&s->webhooks_channel_keys);
}

/* --- Front --- */

static void check_front(struct checker *c, unsigned need)
{
    struct settings *s = c->s;

    if (s->front_url)
        check_url(c, "front.url", s->front_url);
    check_proxy(c);
    if (s->front_connect_timeout_ms > s->front_timeout_ms)
        s->front_connect_timeout_ms = s->front_timeout_ms;
    if ((need & NEED_TOKEN) && is_default(c, "front.token"))
        settings_wrong(c, "front.token",
                       "is required: an API token of the company, best as ${file:/path}");
    if (!s->front_app_uid != !s->front_app_secret)
        settings_wrong(c, s->front_app_uid ? "front.app.uid" : "front.app.secret",
                       "front.app.uid and front.app.secret go together, one is missing");
    if (s->retry_backoff_ms > s->retry_backoff_max_ms)
        settings_wrong(c, "retry.backoff.ms", "is larger than retry.backoff.max.ms");
    check_regex(c, "attachments.url.allowed", s->attachments_url_allowed);
}

/* An https URL, or plain http to this machine: the token must not travel readable. */
static void check_url(struct checker *c, const char *key, const char *url)
{
    bool tls = strncmp(url, "https://", 8) == 0;
    bool plain = strncmp(url, "http://", 7) == 0;
    struct str host;

    if (!tls && !plain) {
        settings_wrong(c, key, "must start with https://");
        return;
    }
    host = str_of(url + (tls ? 8 : 7));
    if (strpbrk(url, "?#@ ")) {
        settings_wrong(c, key, "must be scheme, host, port and path only");
        return;
    }
    host.len = strcspn(host.ptr, "/");
    if (host.len == 0)
        settings_wrong(c, key, "names no host");
    else if (plain && !host_is_loopback(host))
        settings_wrong(c, key, "plain http is for loopback addresses only, use https://");
}

static bool host_is_loopback(struct str host)
{
    char name[64];
    struct in_addr v4;
    size_t len = host.len;

    if (len > 0 && host.ptr[0] == '[') {
        const char *end = memchr(host.ptr, ']', len);

        return end &&
               str_is((struct str){host.ptr + 1, (size_t)(end - host.ptr) - 1}, "::1");
    }
    for (size_t i = 0; i < host.len; i++) {
        if (host.ptr[i] == ':') {
            len = i;
            break;
        }
    }
    if (len >= sizeof(name))
        return false;
    memcpy(name, host.ptr, len);
    name[len] = '\0';
    if (strcmp(name, "localhost") == 0)
        return true;
    return inet_pton(AF_INET, name, &v4) == 1 && ntohl(v4.s_addr) >> 24 == 127;
}

static void check_proxy(struct checker *c)
{
    const char *proxy = c->s->front_proxy;

    if (proxy && strncmp(proxy, "http://", 7) != 0 &&
        strncmp(proxy, "https://", 8) != 0 && strncmp(proxy, "socks5", 6) != 0)
        settings_wrong(c, "front.proxy",
                       "must be a URL: http://, https:// or socks5h://");
}

/* --- topics --- */

static void check_topics(struct checker *c)
{
    struct settings *s = c->s;

    for (size_t i = 0; i < s->commands_topics.n; i++)
        check_command_topic(c, i);
    check_topic_name(c, "results.topic", s->results_topic);
    check_topic_name(c, "dead.letters.topic", s->dead_letters_topic);
    check_topic_name(c, "events.topic", s->events_topic);
    check_topic_name(c, "jobs.topic", s->jobs_topic);
    check_topic_name(c, "resources.topic.prefix", s->resources_topic_prefix);
    check_outputs_differ(c);
    check_topic_counts(c);
    check_reply_topics(c);
}

static void check_topic_name(struct checker *c, const char *key, const char *topic)
{
    if (!topic)
        return;
    for (const char *p = topic; *p; p++) {
        bool fine = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ||
                    (*p >= '0' && *p <= '9') || *p == '.' || *p == '_' || *p == '-';

        if (!fine) {
            settings_wrong(c, key, "`%s` is no topic name: letters, digits, . _ - only",
                           topic);
            return;
        }
    }
    if (strlen(topic) > TOPIC_NAME_MAX || strcmp(topic, ".") == 0 ||
        strcmp(topic, "..") == 0)
        settings_wrong(c, key, "`%s` is no topic name Kafka accepts", topic);
}

/* What we write must not come back as a command. */
static void check_command_topic(struct checker *c, size_t at)
{
    const struct settings *s = c->s;
    const char *topic = s->commands_topics.items[at];
    const char *output = output_key_of(s, topic);

    check_topic_name(c, "commands.topics", topic);
    if (output)
        settings_wrong(c, "commands.topics",
                       "`%s` is written by the connector itself (%s)", topic, output);
    for (size_t i = 0; i < at; i++) {
        if (strcmp(s->commands_topics.items[i], topic) == 0)
            settings_wrong(c, "commands.topics", "`%s` is there twice", topic);
    }
}

static bool topic_is(const char *topic, const char *other)
{
    return other && strcmp(topic, other) == 0;
}

/* The setting that makes `topic` one of our outputs; NULL: it is none. */
static const char *output_key_of(const struct settings *s, const char *topic)
{
    size_t prefix_len = s->resources_topic_prefix ? strlen(s->resources_topic_prefix) : 0;

    if (topic_is(topic, s->results_topic))
        return "results.topic";
    if (topic_is(topic, s->dead_letters_topic))
        return "dead.letters.topic";
    if (topic_is(topic, s->events_topic))
        return "events.topic";
    if (topic_is(topic, s->jobs_topic))
        return "jobs.topic";
    if (!s->resources_topic_prefix ||
        strncmp(topic, s->resources_topic_prefix, prefix_len) != 0)
        return NULL;
    for (size_t i = 0; i < catalogue_table_n; i++) {
        if (topic_is(topic + prefix_len, catalogue_table[i].resource))
            return "resources.topic.prefix";
    }
    return NULL;
}

static void check_outputs_differ(struct checker *c)
{
    const struct settings *s = c->s;
    const struct {
        const char *key, *topic;
    } outputs[] = {{"results.topic", s->results_topic},
                   {"dead.letters.topic", s->dead_letters_topic},
                   {"events.topic", s->events_topic},
                   {"jobs.topic", s->jobs_topic}};
    const size_t n = sizeof(outputs) / sizeof(outputs[0]);

    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (outputs[i].topic && topic_is(outputs[i].topic, outputs[j].topic))
                settings_wrong(c, outputs[i].key, "is the same topic as %s",
                               outputs[j].key);
        }
    }
}

static void check_topic_counts(struct checker *c)
{
    if (c->s->topics_partitions == 0 && !is_default(c, "topics.partitions"))
        settings_wrong(c, "topics.partitions", "must be -1 or 1 to 10000");
    if (c->s->topics_replication_factor == 0 &&
        !is_default(c, "topics.replication.factor"))
        settings_wrong(c, "topics.replication.factor", "must be -1 or 1 to 100");
}

static void check_regex(struct checker *c, const char *key, const char *pattern)
{
    char why[160];
    regex_t re;
    int code;

    if (!pattern)
        return;
    code = regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB);
    if (code != 0) {
        regerror(code, &re, why, sizeof(why));
        settings_wrong(c, key, "is no regular expression: %s", why);
        return;
    }
    regfree(&re);
}

/* A reply must not arrive as a command either. */
static void check_reply_topics(struct checker *c)
{
    const struct settings *s = c->s;
    char *whole;
    regex_t re;

    check_regex(c, "reply.topics.allowed", s->reply_topics_allowed);
    if (!s->reply_topics_allowed)
        return;
    whole = mem_printf("^(%s)$", s->reply_topics_allowed);
    if (regcomp(&re, whole, REG_EXTENDED | REG_NOSUB) == 0) {
        for (size_t i = 0; i < s->commands_topics.n; i++) {
            const char *topic = s->commands_topics.items[i];

            if (regexec(&re, topic, 0, NULL, 0) == 0)
                settings_wrong(c, "reply.topics.allowed",
                               "allows `%s`, a topic of commands.topics", topic);
        }
        regfree(&re);
    }
    mem_free(whole);
}

/* --- the rest --- */

static void check_running(struct checker *c)
{
    check_listen(c, "status.listen", c->s->status_listen);
    check_listen(c, "webhooks.listen", c->s->webhooks_listen);
    if (c->s->group_id && !c->s->group_id[0])
        settings_wrong(c, "group.id", "must not be empty");
}

static void check_listen(struct checker *c, const char *key, const char *listen)
{
    const char *colon = listen ? strrchr(listen, ':') : NULL;
    struct err e = ERR_INIT;
    int64_t port;

    if (!settings_listens(listen))
        return;
    if (!colon || colon == listen ||
        parse_i64(str_of(colon + 1), 0, 65535, &port, &e) != 0)
        settings_wrong(c, key, "must be host:port or off");
}

static void check_events(struct checker *c)
{
    struct settings *s = c->s;
    struct err e = ERR_INIT;
    int64_t from;

    if (is_default(c, "events.heal.every.ms")) {
        if (settings_listens(s->webhooks_listen))
            s->events_heal_every_ms = HEAL_EVERY_WITH_WEBHOOKS_MS;
    } else if (s->events_heal_every_ms > 0 &&
               s->events_heal_every_ms < HEAL_EVERY_MIN_MS) {
        settings_wrong(c, "events.heal.every.ms", "must be 0, or %d and more",
                       HEAL_EVERY_MIN_MS);
    }
    if (s->events_heal_from && strcmp(s->events_heal_from, "now") != 0 &&
        parse_i64(str_of(s->events_heal_from), 0, INT64_MAX, &from, &e) != 0)
        settings_wrong(c, "events.heal.from",
                       "must be now, or milliseconds since the epoch");
    if (s->webhooks_public_url)
        check_url(c, "webhooks.public.url", s->webhooks_public_url);
}

static void check_registry(struct checker *c)
{
    const struct settings *s = c->s;

    for (size_t i = 0; i < s->schemas_registry_url.n; i++) {
        const char *url = s->schemas_registry_url.items[i];

        if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0)
            settings_wrong(c, "schemas.registry.url", "`%s` is no http or https URL",
                           url);
        else if (strpbrk(url, "?#@ ")) /* not shown: it may hold a password */
            settings_wrong(c, "schemas.registry.url",
                           "must be scheme, host, port and path only; a user goes to "
                           "schemas.registry.username");
    }
    if (!s->schemas_registry_username != !s->schemas_registry_password)
        settings_wrong(c,
                       s->schemas_registry_username ? "schemas.registry.username"
                                                    : "schemas.registry.password",
                       "user name and password go together, one is missing");
}
