/* What the schema registry is waited for: the schemas of our outputs, before anything is
 * fetched; of a list's items, before its first request; of what a record was written
 * with. Each waits where it stands, all else goes on. Owns nothing; the registry client
 * (codec/registry.h) says when it has news, and then whoever waits looks again. */
#include <stdio.h>

#include "codec/framing.h"
#include "codec/records/item.h"
#include "codec/registry.h"
#include "engine/internal.h"

static void ask_outputs(struct engine *en, struct registry *rg);
static bool is_known(struct engine *en, struct registry *rg, const char *full_name,
                     const char *topic);

void registered_turn(struct engine *en)
{
    struct registry *rg = schemas_registry(en->ss);
    struct slot *slot;

    if (rg == NULL)
        return;
    if (!en->schemas_known)
        ask_outputs(en, rg);
    if (registry_news(rg) == en->schema_news)
        return;
    en->schema_news = registry_news(rg);
    TAILQ_FOREACH (slot, &en->lists[SLOT_TWIN], link)
        slot_open_again(en, slot); /* they may have waited for one of these: */
    TAILQ_FOREACH (slot, &en->lists[SLOT_SCHEMA], link)
        slot_open_again(en, slot);
    repeats_again(en);
    jobs_topic_answered(en);
}

/* The jobs topic is not among them: it is read by us alone, and a take-over must not wait
 * for a registry. */
static void ask_outputs(struct engine *en, struct registry *rg)
{
    bool events = en->ingest != NULL || en->heal != NULL;
    bool known = is_known(en, rg, "front.Result", en->o.results_topic);

    if (events && !is_known(en, rg, "front.Event", en->o.events_topic))
        known = false;
    en->schemas_known = known;
    if (known)
        log_info("schemas.known", "the schemas of all outputs are at the registry");
}

static bool is_known(struct engine *en, struct registry *rg, const char *full_name,
                     const char *topic)
{
    struct err e = ERR_INIT;

    if (registry_output(rg, schemas_xget(en->ss, full_name), topic, &e) == REGISTRY_KNOWN)
        return true;
    (void)snprintf(en->schemas_why, sizeof en->schemas_why, "%s", e.text);
    return false;
}

bool registered_waits(struct engine *en, struct slot *slot)
{
    if (en->o.commands_json || !framing_waits(en->ss, slot->rec.value))
        return false;
    if (slot->state != SLOT_SCHEMA)
        slot_move(en, slot, SLOT_SCHEMA);
    return true;
}

enum topic_answer registered_items(struct engine *en, struct slot *slot,
                                   const struct op *op, const char *topic, struct err *e)
{
    struct registry *rg = schemas_registry(en->ss);
    const struct schema *sc = schemas_xget(en->ss, op->items->full_name);

    if (rg == NULL)
        return TOPIC_OK;
    switch (registry_output(rg, sc, topic, e)) {
    case REGISTRY_KNOWN:
        return TOPIC_OK;
    case REGISTRY_WAIT:
        if (slot != NULL && slot->state != SLOT_SCHEMA)
            slot_move(en, slot, SLOT_SCHEMA);
        return TOPIC_ASKED;
    case REGISTRY_MISSING:
        e->reason = "schema-missing";
        return TOPIC_UNREGISTERED;
    }
    return TOPIC_OK;
}

/* All of them are asked for, not only the first. */
bool registered_tail_waits(struct engine *en, const struct kafka_record *records,
                           size_t n)
{
    bool waits = false;

    for (size_t i = 0; i < n; i++)
        if (framing_waits(en->ss, records[i].value))
            waits = true;
    return waits;
}

const char *registered_trouble(struct engine *en)
{
    struct registry *rg = schemas_registry(en->ss);

    if (rg != NULL && registry_trouble(rg) != NULL) {
        (void)snprintf(en->schemas_why, sizeof en->schemas_why,
                       "the schema registry does not answer: %s", registry_trouble(rg));
        return en->schemas_why;
    }
    return en->counts[SLOT_SCHEMA] > 0 ? "commands wait for a schema of the registry"
                                       : NULL;
}

void registered_status(struct engine *en, struct buf *out)
{
    struct registry *rg = schemas_registry(en->ss);

    if (rg != NULL)
        registry_status(rg, out);
    else
        (void)buf_add_cstr(out, "null");
}
