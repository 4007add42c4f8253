/* Topics that are not known from the start, of replies and of rows: each is asked for by
 * metadata before a command starts that needs it, and again after 60 s: nothing unknown
 * enters a tick. */
#include "base/map.h"
#include "engine/internal.h"

#define TOPIC_FRESH_MS 60000
#define TOPICS_MAX 10000

struct topic_info {
    UT_hash_handle hh;
    const char *name; /* interned */
    int32_t partitions;
    int64_t max_bytes;
    int64_t asked_ms, known_ms; /* monotonic; 0: never */
};

enum topic_answer topic_ask(struct engine *en, struct str name, const char **interned,
                            int32_t *partitions, int64_t *max_bytes)
{
    struct topic_info *info;
    HASH_FIND(hh, en->topics, name.ptr, name.len, info);
    if (info == NULL) {
        if (HASH_COUNT(en->topics) >= TOPICS_MAX)
            return TOPIC_MISSING;
        char *text = mem_strndup(name.ptr, name.len);
        info = mem_zalloc(sizeof *info);
        info->name = en->kafka.intern(en->kafka.self, text);
        mem_free(text);
        HASH_ADD_KEYPTR(hh, en->topics, info->name, strlen(info->name), info);
    }
    if (info->known_ms == 0 || en->now - info->known_ms > TOPIC_FRESH_MS) {
        if (info->asked_ms <= info->known_ms) {
            info->asked_ms = en->now + 1;
            en->kafka.topic(en->kafka.self, info->name);
        }
        return TOPIC_ASKED;
    }
    *interned = info->name;
    *partitions = info->partitions;
    *max_bytes = info->max_bytes;
    return info->partitions > 0 ? TOPIC_OK : TOPIC_MISSING;
}

void topics_answered(struct engine *en, const struct kafka_event *ev)
{
    struct topic_info *info;
    HASH_FIND(hh, en->topics, ev->at.topic, strlen(ev->at.topic), info);
    if (info == NULL)
        return;
    if (ev->error[0] !=
        0) { /* the brokers are away: ask again, the slots go on waiting */
        en->kafka.topic(en->kafka.self, info->name);
        return;
    }
    info->known_ms = info->asked_ms > en->now ? info->asked_ms : en->now;
    info->partitions = ev->count;
    info->max_bytes = ev->max_bytes;
    struct slot *slot, *next;
    for (slot = TAILQ_FIRST(&en->lists[SLOT_TOPIC]); slot != NULL; slot = next) {
        next = TAILQ_NEXT(slot, link);
        bool rows = !slot->items_known && items_stream(en, slot->op);
        if (rows || str_is(slot->headers.reply_topic, info->name))
            intake_ready(en, slot); /* it asks again for what it still does not know */
    }
    jobs_topic_answered(en);
}

void topics_free(struct engine *en)
{
    struct topic_info *info, *tmp;
    HASH_ITER (hh, en->topics, info, tmp) {
        HASH_DELETE(hh, en->topics, info);
        mem_free(info);
    }
}
