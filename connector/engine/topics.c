/* Topics that are not known from the start: a reply topic that a user names, a resource
 * topic. Each is asked for by metadata before its command starts, and again after 60 s:
 * nothing unknown enters a tick. Who waits for one waits in SLOT_TOPIC; all else goes on.
 */
#include <stdio.h>

#include "base/map.h"
#include "engine/internal.h"

#define TOPIC_FRESH_MS 60000
#define TOPIC_MISSING_MS 5000 /* soon after somebody made it, it is found */
#define TOPICS_MAX 10000

struct topic_info {
    UT_hash_handle hh;
    struct topic topic; /* its name is interned */
    bool make;
    int64_t asked_ms, known_ms; /* monotonic; 0: never */
};

static struct topic_info *find(struct engine *en, struct str name);

enum topic_answer topic_ask(struct engine *en, struct slot *slot, struct str name,
                            bool make, const struct topic **topic)
{
    struct topic_info *info = find(en, name);

    if (info == NULL)
        return TOPIC_MISSING;
    *topic = &info->topic;
    int64_t fresh = info->topic.partitions > 0 ? TOPIC_FRESH_MS : TOPIC_MISSING_MS;
    if (info->known_ms != 0 && en->now - info->known_ms <= fresh)
        return info->topic.partitions > 0 ? TOPIC_OK : TOPIC_MISSING;
    info->make |= make;
    if (info->asked_ms <= info->known_ms) {
        info->asked_ms = en->now + 1;
        en->kafka.topic(en->kafka.self, info->topic.name, info->make);
    }
    if (slot == NULL)
        return TOPIC_ASKED;
    slot->topic_asked = info->topic.name;
    if (slot->state != SLOT_TOPIC)
        slot_move(en, slot, SLOT_TOPIC);
    return TOPIC_ASKED;
}

void topics_answered(struct engine *en, const struct kafka_event *ev)
{
    struct topic_info *info;
    struct slot *slot, *next;

    HASH_FIND(hh, en->topics, ev->at.topic, strlen(ev->at.topic), info);
    if (info == NULL)
        return;
    if (ev->error[0] != 0 && ev->count >= 0) {
        /* the brokers are away: ask again, the slots go on waiting */
        en->kafka.topic(en->kafka.self, info->topic.name, info->make);
        return;
    }
    info->known_ms = info->asked_ms > en->now ? info->asked_ms : en->now;
    info->topic.partitions = ev->count > 0 ? ev->count : 0;
    info->topic.max_bytes = ev->max_bytes;
    (void)snprintf(info->topic.why, sizeof info->topic.why, "%s",
                   ev->error[0] != 0 ? ev->error : "does not exist");
    for (slot = TAILQ_FIRST(&en->lists[SLOT_TOPIC]); slot != NULL; slot = next) {
        next = TAILQ_NEXT(slot, link);
        if (slot->topic_asked == info->topic.name)
            intake_ready(en, slot);
    }
    jobs_topic_answered(en);
}

void topic_forget(struct engine *en, const char *name)
{
    struct topic_info *info = find(en, str_of(name));

    if (info != NULL && info->asked_ms <= info->known_ms)
        info->asked_ms = info->known_ms = 0;
}

void topics_free(struct engine *en)
{
    struct topic_info *info, *tmp;

    HASH_ITER (hh, en->topics, info, tmp) {
        HASH_DELETE(hh, en->topics, info);
        mem_free(info);
    }
}

/* NULL: too many names. */
static struct topic_info *find(struct engine *en, struct str name)
{
    struct topic_info *info;

    HASH_FIND(hh, en->topics, name.ptr, name.len, info);
    if (info != NULL || HASH_COUNT(en->topics) >= TOPICS_MAX)
        return info;
    char *text = mem_strndup(name.ptr, name.len);
    info = mem_zalloc(sizeof *info);
    info->topic.name = en->kafka.intern(en->kafka.self, text);
    mem_free(text);
    HASH_ADD_KEYPTR(hh, en->topics, info->topic.name, strlen(info->topic.name), info);
    return info;
}
