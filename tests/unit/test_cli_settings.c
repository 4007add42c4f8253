/* The settings table and the checks between keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/str.h"
#include "cli/settings.h"

static char *const no_environment[] = {NULL};

struct loaded {
    struct settings s;
    struct buf errors;
    size_t n;
    char path[64];
};

/* Loads `text` as the file ("": none) with -X overrides ended by NULL. */
static void load(struct loaded *l, const char *text, const char *const *overrides,
                 unsigned need)
{
    struct settings_source source = {.file = "", .environ_ = no_environment};

    memset(l, 0, sizeof(*l));
    if (text[0]) {
        snprintf(l->path, sizeof(l->path), "/tmp/test-settings-XXXXXX");
        int fd = mkstemp(l->path);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
        source.file = l->path;
    }
    while (overrides && overrides[source.n_overrides])
        source.n_overrides++;
    source.overrides = overrides;
    buf_init(&l->errors, 1024 * 1024);
    l->n = settings_open(&l->s, &source, need, &l->errors);
}

static void unload(struct loaded *l)
{
    settings_close(&l->s);
    buf_fini(&l->errors);
    if (l->path[0])
        unlink(l->path);
}

static void assert_says(const struct loaded *l, const char *text)
{
    if (!l->errors.data || !strstr(l->errors.data, text))
        fail_msg("no `%s` in:\n%s", text, l->errors.data ? l->errors.data : "(nothing)");
}

static void defaults_are_valid(void **state)
{
    struct loaded l;

    (void)state;
    load(&l, "", NULL, NEED_NOTHING);
    if (l.n > 0)
        fail_msg("%s", l.errors.data);
    assert_string_equal(l.s.front_url, "https://api2.frontapp.com");
    assert_int_equal(l.s.commands_topics.n, 1);
    assert_string_equal(l.s.commands_topics.items[0], "front.commands");
    assert_int_equal(l.s.commands_max_pending, 2048);
    assert_int_equal(l.s.front_max_response_bytes, 16 * 1024 * 1024);
    assert_int_equal(l.s.delivery, DELIVERY_EXACTLY_ONCE);
    assert_int_equal(l.s.quota_limit_per_minute, 0);
    assert_int_equal(l.s.events_heal_every_ms, 0);
    assert_false(l.s.instance_id_set);
    assert_true(l.s.instance_id[0] != '\0');
    unload(&l);
}

static void what_a_command_needs_is_required(void **state)
{
    struct loaded l;

    (void)state;
    load(&l, "", NULL, NEED_KAFKA | NEED_TOKEN);
    assert_int_equal(l.n, 2);
    assert_says(&l, "kafka.bootstrap.servers");
    assert_says(&l, "front.token");
    unload(&l);
}

static void three_mistakes_are_three_messages_with_their_lines(void **state)
{
    struct loaded l;
    char line[128];

    (void)state;
    load(&l,
         "kafka.bootstrap.servers = localhost:9092\n"
         "# a comment\n"
         "front.max.in.fligth = 3\n"
         "commands.max.pending = 7\n"
         "front.url = http://example.com\n",
         NULL, NEED_KAFKA);
    assert_int_equal(l.n, 3);
    snprintf(line, sizeof(line), "%s:3: front.max.in.fligth: ", l.path);
    assert_says(&l, line);
    assert_says(&l, "front.max.in.flight");
    snprintf(line, sizeof(line), "%s:4: commands.max.pending: ", l.path);
    assert_says(&l, line);
    assert_says(&l, "8192");
    snprintf(line, sizeof(line), "%s:5: front.url: plain http", l.path);
    assert_says(&l, line);
    unload(&l);
}

static void checks_between_keys_name_the_key(void **state)
{
    static const struct {
        const char *set[3];
        const char *says; /* NULL: fine */
    } cases[] = {
        {{"front.url=http://127.0.0.1:8080"}, NULL},
        {{"front.url=http://localhost:8080/base"}, NULL},
        {{"front.url=http://[::1]:8080"}, NULL},
        {{"front.url=http://localhost.example.com"}, "front.url: plain http"},
        {{"front.url=http://127.0.0.1.example.com"}, "front.url: plain http"},
        {{"front.url=http://10.0.0.1"}, "front.url: plain http"},
        {{"front.url=ftp://x"}, "front.url: must start"},
        {{"front.url=https://user@x"}, "front.url: must be scheme"},
        {{"front.url=https://"}, "front.url: names no host"},
        {{"front.proxy=proxy:80"}, "front.proxy: must be a URL"},
        {{"commands.topics=a, front.results"},
         "commands.topics: `front.results` is written"},
        {{"commands.topics=front.contacts"},
         "commands.topics: `front.contacts` is written"},
        {{"commands.topics=front.contacts", "resources.topic.prefix=crm."}, NULL},
        {{"commands.topics=a,a"}, "commands.topics: `a` is there twice"},
        {{"commands.topics=a b"}, "commands.topics: `a b` is no topic name"},
        {{"dead.letters.topic=front.results"}, "is the same topic as"},
        {{"reply.topics.allowed=replies\\..*"}, NULL},
        {{"reply.topics.allowed=("}, "reply.topics.allowed: is no regular expression"},
        {{"reply.topics.allowed=.*"}, "reply.topics.allowed: allows `front.commands`"},
        {{"attachments.url.allowed=["},
         "attachments.url.allowed: is no regular expression"},
        {{"front.app.uid=x"}, "front.app.uid: front.app.uid and front.app.secret"},
        {{"front.app.uid=x", "front.app.secret=long enough"}, NULL},
        {{"retry.backoff.ms=70000"}, "retry.backoff.ms: is larger"},
        {{"status.listen=off"}, NULL},
        {{"status.listen=localhost"}, "status.listen: must be host:port or off"},
        {{"status.listen=localhost:70000"}, "status.listen: must be host:port or off"},
        {{"topics.partitions=0"}, "topics.partitions: must be -1 or"},
        {{"events.heal.every.ms=0"}, NULL},
        {{"events.heal.every.ms=10"}, "events.heal.every.ms: must be 0, or"},
        {{"events.heal.from=yesterday"}, "events.heal.from: must be now"},
        {{"schemas.registry.url=registry"}, "schemas.registry.url: `registry` is no"},
        {{"schemas.registry.url=http://me:pass@host/x"}, "schemas.registry.url: must be"},
        {{"schemas.registry.url=http://host/x?y=z"}, "schemas.registry.url: must be"},
        {{"schemas.registry.username=me"}, "schemas.registry.username: user name and"},
        {{"in.doubt=maybe"}, "in.doubt: "},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct loaded l;

        load(&l, "", cases[i].set, NEED_NOTHING);
        if (cases[i].says)
            assert_says(&l, cases[i].says);
        else if (l.n > 0)
            fail_msg("%s: %s", cases[i].set[0], l.errors.data);
        assert_int_equal(l.n, cases[i].says ? 1 : 0);
        unload(&l);
    }
}

static void a_longer_connect_timeout_is_cut(void **state)
{
    static const char *const set[] = {"front.timeout.ms=2000", NULL};
    struct loaded l;

    (void)state;
    load(&l, "", set, NEED_NOTHING);
    assert_int_equal(l.n, 0);
    assert_int_equal(l.s.front_connect_timeout_ms, 2000);
    unload(&l);
}

static void kafka_properties_go_to_their_handles(void **state)
{
    static const char *const set[] = {
        "kafka.bootstrap.servers=a:1", "kafka.client.rack=r",
        "kafka.consumer.session.timeout.ms=6000", "kafka.producer.linger.ms=1", NULL};
    struct loaded l;

    (void)state;
    load(&l, "", set, NEED_KAFKA);
    assert_int_equal(l.n, 0);
    assert_string_equal(l.s.kafka_bootstrap_servers, "a:1");
    assert_int_equal(l.s.kafka.n, 1);
    assert_string_equal(l.s.kafka.items[0].key, "client.rack");
    assert_int_equal(l.s.kafka_consumer.n, 1);
    assert_string_equal(l.s.kafka_consumer.items[0].key, "session.timeout.ms");
    assert_int_equal(l.s.kafka_producer.n, 1);
    unload(&l);
}

static void syncs_are_brought_together(void **state)
{
    struct loaded l;

    (void)state;
    load(&l,
         "sync.people.operation = list-contacts\n"
         "sync.people.every.ms = 60000\n"
         "sync.people.params.limit = 50\n"
         "sync.people.cursor = updated_after\n"
         "sync.tags.operation = list-tags\n"
         "sync.tags.every.ms = 5000\n",
         NULL, NEED_NOTHING);
    if (l.n > 0)
        fail_msg("%s", l.errors.data);
    assert_int_equal(l.s.n_syncs, 2);
    assert_string_equal(l.s.syncs[0].operation, "list-contacts");
    assert_int_equal(l.s.syncs[0].every_ms, 60000);
    assert_int_equal(l.s.syncs[0].n_params, 1);
    assert_string_equal(l.s.syncs[0].cursor, "updated_after");
    assert_int_equal(l.s.syncs[1].overlap_ms, 300000);
    unload(&l);
}

static void mistakes_in_syncs_are_named(void **state)
{
    static const struct {
        const char *set[5];
        const char *says;
        size_t n;
    } cases[] = {
        {{"sync.a.operation=list-contacts"}, "sync.a.every.ms: is required", 1},
        {{"sync.a.every.ms=5000"}, "sync.a.operation: is required", 1},
        {{"sync.a.operation=list-contact", "sync.a.every.ms=5000"},
         "nearest: list-contacts",
         1},
        {{"sync.a.operation=create-tag", "sync.a.every.ms=5000"}, "is no list", 1},
        {{"sync.a.operation=list-tags", "sync.a.every.ms=5"},
         "sync.a.every.ms: must be",
         2},
        {{"sync.a.operation=list-tags", "sync.a.every.ms=5000", "sync.a.overlap=1"},
         "nearest: sync.a.overlap.ms",
         1},
        {{"sync.a.operation=list-tags", "sync.a.every.ms=5000", "sync.a.params.x=1"},
         "sync.a.params.x: list-tags has no",
         1},
        {{"sync.a.operation=list-events", "sync.a.every.ms=5000"},
         "events.heal.every.ms",
         1},
        {{"sync.a.operation=list-team-contacts", "sync.a.every.ms=5000"},
         "sync.a.params.team_id: is required by list-team-contacts",
         1},
        {{"sync.a.operation=list-conversations", "sync.a.every.ms=5000",
          "sync.a.cursor=updated_after"},
         "sync.a.cursor: must be none",
         1},
        {{"sync.a.operation=list-contacts", "sync.a.every.ms=5000",
          "sync.a.cursor=updated_after", "sync.a.params.q[updated_after]=1"},
         "take the parameter out",
         1},
        {{"sync.operation=list-tags"}, "sync.operation", 2},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct loaded l;

        load(&l, "", cases[i].set, NEED_NOTHING);
        assert_says(&l, cases[i].says);
        if (i < 4 || i == 5 || i == 6)
            assert_int_equal(l.n, cases[i].n);
        unload(&l);
    }
}

static void the_sample_parses_back(void **state)
{
    struct loaded l;
    struct buf text;

    (void)state;
    buf_init(&text, 1024 * 1024);
    settings_print_sample(settings_rows, settings_rows_n, &text);
    load(&l, text.data, NULL, NEED_NOTHING);
    if (l.n > 0)
        fail_msg("%s", l.errors.data);
    unload(&l);
    buf_fini(&text);
}

static void every_row_is_complete(void **state)
{
    (void)state;
    for (size_t i = 0; i < settings_rows_n; i++) {
        const struct setting_row *row = &settings_rows[i];

        assert_non_null(row->section);
        assert_non_null(row->help);
        assert_int_equal(row->choices != NULL, row->type == SETTING_CHOICE);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(row->key, settings_rows[j].key);
            assert_true(row->offset != settings_rows[j].offset);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_valid),
        cmocka_unit_test(what_a_command_needs_is_required),
        cmocka_unit_test(three_mistakes_are_three_messages_with_their_lines),
        cmocka_unit_test(checks_between_keys_name_the_key),
        cmocka_unit_test(a_longer_connect_timeout_is_cut),
        cmocka_unit_test(kafka_properties_go_to_their_handles),
        cmocka_unit_test(syncs_are_brought_together),
        cmocka_unit_test(mistakes_in_syncs_are_named),
        cmocka_unit_test(the_sample_parses_back),
        cmocka_unit_test(every_row_is_complete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
