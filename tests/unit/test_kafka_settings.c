/* Which librdkafka properties a user may set, and what an error says. Reaches no broker.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>

#include "base/mem.h"
#include "kafka/internal.h"

enum place { ALL, CONSUMER, PRODUCER };

struct wrong {
    enum place place;
    const char *key, *value;
    const char *says; /* NULL: fine */
};

static const struct wrong rows[] = {
    {ALL, "bootstrap.servers", "a:9092", NULL},
    {ALL, "security.protocol", "SSL", NULL},
    {ALL, "fetch.wait.max.ms", "50", NULL}, /* consumers only: no error here */
    {ALL, "linger.ms", "50", NULL},
    {CONSUMER, "fetch.wait.max.ms", "50", NULL},
    {CONSUMER, "retry.backoff.ms", "50", NULL},
    {PRODUCER, "linger.ms", "50", NULL},
    {PRODUCER, "bootstrap.servers", "a:9092", "set kafka.bootstrap.servers instead"},
    {ALL, "group.id", "x", "set group.id instead"},
    {CONSUMER, "group.instance.id", "x", "set instance.id instead"},
    {PRODUCER, "transactional.id", "x", "<group.id>.<instance.id>"},
    {CONSUMER, "auto.offset.reset", "earliest", "commands.start"},
    {CONSUMER, "isolation.level", "read_uncommitted", "is fixed"},
    {CONSUMER, "enable.auto.commit", "true", "is fixed"},
    {CONSUMER, "partition.assignment.strategy", "roundrobin", "is fixed"},
    {CONSUMER, "enable.partition.eof", "false", "is fixed"},
    {PRODUCER, "enable.idempotence", "false", "is fixed"},
    {PRODUCER, "partitioner", "random", "is fixed"},
    {PRODUCER, "linger.mss", "5", "nearest: kafka.producer.linger.ms"},
    {ALL, "bootstrp.servers", "a", "nearest: kafka.bootstrap.servers"},
    {PRODUCER, "fetch.wait.max.ms", "50", "is a property of consumers: kafka.consumer.*"},
    {CONSUMER, "linger.ms", "50", "is a property of producers: kafka.producer.*"},
    {PRODUCER, "linger.ms", "soon", "linger.ms"},
    {CONSUMER, "session.timeout.ms", "-1", "session.timeout.ms"},
    {ALL, "rebalance_cb", "x", "rebalance_cb"},
};

static struct kafka_options options(void)
{
    static const char *const topics[] = {"commands"};
    static const char *const outputs[] = {"results"};

    return (struct kafka_options){.bootstrap = "127.0.0.1:1",
                                  .group_id = "g",
                                  .instance_id = "i",
                                  .exactly_once = true,
                                  .topics = topics,
                                  .n_topics = 1,
                                  .outputs = outputs,
                                  .n_outputs = 1};
}

static void one_property_is_judged(void **state)
{
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        static char origin[] = "f.conf:3";
        struct setting_pair pair = {.key = mem_strdup(rows[i].key),
                                    .value = mem_strdup(rows[i].value),
                                    .origin = origin};
        struct setting_pairs pairs = {&pair, 1};
        struct kafka_options o = options();
        struct buf errors;
        size_t n;

        buf_init(&errors, 10000);
        if (rows[i].place == ALL)
            o.all = pairs;
        else if (rows[i].place == CONSUMER)
            o.consumer = pairs;
        else
            o.producer = pairs;
        n = kafka_check_settings(&o, &errors);
        if (n != (rows[i].says == NULL ? 0 : 1))
            fail_msg("%s: %zu errors: %s", rows[i].key, n, errors.data);
        if (n == 1 && (strstr(errors.data, rows[i].says) == NULL ||
                       strstr(errors.data, rows[i].key) == NULL ||
                       strncmp(errors.data, "f.conf:3: kafka.", 16) != 0))
            fail_msg("%s: says %s", rows[i].key, errors.data);
        buf_fini(&errors);
        mem_free(pair.key);
        mem_free(pair.value);
    }
}

static void values_that_do_not_go_together_are_named(void **state)
{
    static char key[] = "ssl.ca.location", value[] = "/nonexistent/ca.pem";
    static char key2[] = "security.protocol", value2[] = "ssl";
    struct setting_pair pairs[] = {{key, value, "f.conf:1"}, {key2, value2, "f.conf:2"}};
    struct kafka_options o = options();
    struct buf errors;

    (void)state;
    buf_init(&errors, 10000);
    o.all = (struct setting_pairs){pairs, 2};
    assert_true(kafka_check_settings(&o, &errors) > 0);
    assert_non_null(strstr(errors.data, "ssl.ca.location"));
    buf_fini(&errors);
}

static void value_is(const struct kafka_options *o, enum client_kind kind,
                     const char *name, const char *expected)
{
    struct err e = ERR_INIT;
    rd_kafka_conf_t *conf = client_conf(o, kind, true, &e);
    char text[200] = "";
    size_t size = sizeof(text);

    assert_non_null(conf);
    /* One that was never set is not there at all. */
    if (rd_kafka_conf_get(conf, name, text, &size) != RD_KAFKA_CONF_OK)
        text[0] = '\0';
    if (strcmp(text, expected) != 0)
        fail_msg("%s is %s, not %s", name, text, expected);
    rd_kafka_conf_destroy(conf);
}

static void each_handle_gets_its_own(void **state)
{
    static char linger[] = "linger.ms", v7[] = "7";
    static char fetch[] = "fetch.wait.max.ms", v8[] = "8", v9[] = "9";
    struct setting_pair all[] = {{linger, v7, "x"}, {fetch, v8, "x"}};
    struct setting_pair consumer[] = {{fetch, v9, "x"}};
    struct kafka_options o = options();

    (void)state;
    o.all = (struct setting_pairs){all, 2};
    o.consumer = (struct setting_pairs){consumer, 1};
    o.static_member = true;
    value_is(&o, CLIENT_TICKS, "linger.ms", "7");
    value_is(&o, CLIENT_TICKS, "transactional.id", "g.i");
    value_is(&o, CLIENT_TICKS, "transaction.timeout.ms", "15000");
    value_is(&o, CLIENT_TICKS, "message.timeout.ms", "12000");
    value_is(&o, CLIENT_TICKS, "retry.backoff.ms", "2");
    value_is(&o, CLIENT_TICKS, "topic.metadata.propagation.max.ms", "1000");
    value_is(&o, CLIENT_TICKS, "partitioner", "murmur2_random");
    value_is(&o, CLIENT_TICKS, "enable.idempotence", "true");
    value_is(&o, CLIENT_TICKS, "compression.type", "lz4");
    value_is(&o, CLIENT_PROOF, "transactional.id", "g.i");
    value_is(&o, CLIENT_GROUP, "fetch.wait.max.ms", "9");
    value_is(&o, CLIENT_GROUP, "linger.ms", "5"); /* the library's: ours is not for it */
    value_is(&o, CLIENT_GROUP, "group.id", "g");
    value_is(&o, CLIENT_GROUP, "group.instance.id", "i");
    value_is(&o, CLIENT_GROUP, "auto.offset.reset", "error");
    value_is(&o, CLIENT_GROUP, "partition.assignment.strategy", "range");
    value_is(&o, CLIENT_GROUP, "isolation.level", "read_committed");
    value_is(&o, CLIENT_GROUP, "retry.backoff.ms", "5");
    value_is(&o, CLIENT_QUESTIONS, "isolation.level", "read_uncommitted");
    value_is(&o, CLIENT_READER, "group.id", "g.reader");
    o.exactly_once = false;
    value_is(&o, CLIENT_TICKS, "transactional.id", "");
}

static void keys_go_where_java_sends_them(void **state)
{
    /* Hashes of org.apache.kafka.common.utils.Utils.murmur2, from Kafka's own test. */
    static const struct {
        const char *key;
        int32_t hash;
    } known[] = {{"21", -973932308},
                 {"foobar", -790332482},
                 {"a-little-bit-long-string", -985981536},
                 {"a-little-bit-longer-string", -1486304829},
                 {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
                 {"abc", 479470107}};
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        assert_int_equal(kafka_partition_of(str_of(known[i].key), 1009),
                         (known[i].hash & 0x7fffffff) % 1009);
    assert_int_equal(kafka_partition_of(STR_NULL, 10), -1);
    assert_true(kafka_partition_of(STR_LIT(""), 10) >= 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_property_is_judged),
        cmocka_unit_test(values_that_do_not_go_together_are_named),
        cmocka_unit_test(each_handle_gets_its_own),
        cmocka_unit_test(keys_go_where_java_sends_them),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
