/* Which command a request is about, asked of the engine itself: two commands may have the
 * same text, so the request does not say it. The only file here that knows the engine's
 * insides; it reads and changes nothing. */
#include "world.h"

#include "engine/internal.h"

int peek_command(const struct world *w, const struct http_call *call, enum peek *what)
{
    const struct call *own = call->owner;
    const struct slot *slot = own->slot;

    *what = slot != NULL && slot->state == SLOT_PROBING ? PEEK_LOOK : PEEK_OWN;
    if (own->job != NULL) {
        const struct job_record *jr = &own->job->rec;
        if (str_is(jr->kind, "sync")) {
            *what = PEEK_SYNC;
            return syncs_find(w, str_of(own->job->key));
        }
        *what = PEEK_PAGE;
        return load_find(w, (int)jr->source_partition, jr->source_offset);
    }
    return slot == NULL ? -1 : load_find(w, slot->rec.at.partition, slot->offset);
}
