/* See registry_tool.h. */
#include "cli/registry_tool.h"

#include <string.h>

#include "base/mem.h"
#include "codec/records/item.h"
#include "codec/registry.h"
#include "front/catalogue.h"

#define LEARN_MS 5000

int registry_tool_open(struct registry_tool *rt, const struct launch *l,
                       struct schemas *ss, struct err *e)
{
    *rt = (struct registry_tool){NULL, NULL};
    if (l->registry.n == 0)
        return 0;
    rt->lo = loop_new(e);
    if (rt->lo)
        rt->rl = registry_link_new(rt->lo, ss, &l->registry, e);
    return rt->rl ? 0 : -1;
}

void registry_tool_close(struct registry_tool *rt)
{
    registry_link_free(rt->rl);
    loop_free(rt->lo);
    *rt = (struct registry_tool){NULL, NULL};
}

/* Of a registry that is down every new id would cost this time. */
void registry_tool_learn(struct registry_tool *rt, struct str value)
{
    if (rt->rl && value.ptr)
        registry_writer_wait(rt->rl, value,
                             registry_trouble(registry_link_registry(rt->rl)) ? 0
                                                                              : LEARN_MS);
}

static void add(struct subject *all, size_t *n, const char *full_name, char *topic,
                bool needed)
{
    for (size_t i = 0; i < *n; i++) {
        if (strcmp(all[i].full_name, full_name) == 0 &&
            strcmp(all[i].topic, topic) == 0) {
            mem_free(topic);
            return;
        }
    }
    all[(*n)++] = (struct subject){full_name, topic, needed};
}

struct subject *subjects_all(const struct settings *s, size_t *n)
{
    struct subject *all =
        mem_array(catalogue_table_n + s->commands_topics.n + 2, sizeof(all[0]));
    bool events = settings_listens(s->webhooks_listen) || s->events_heal_every_ms > 0;

    *n = 0;
    add(all, n, "front.Result", mem_strdup(s->results_topic), true);
    add(all, n, "front.Event", mem_strdup(s->events_topic), events);
    for (size_t i = 0; i < catalogue_table_n; i++) {
        const struct op *op = &catalogue_table[i];

        if (op->items && op->items != &item_event)
            add(all, n, op->items->full_name,
                mem_printf("%s%s", s->resources_topic_prefix, op->resource), false);
    }
    for (size_t i = 0; s->commands_format == FORMAT_AVRO && i < s->commands_topics.n; i++)
        add(all, n, "front.Command", mem_strdup(s->commands_topics.items[i]), false);
    return all;
}

void subjects_free(struct subject *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        mem_free(all[i].topic);
    mem_free(all);
}
