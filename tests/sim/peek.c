/* Which command a request is about, asked of the engine itself: two commands may have the
 * same text, so the request does not say it. The only file here that knows the engine's
 * insides; it reads and changes nothing. */
#include "world.h"

#include "engine/internal.h"

int peek_command(const struct world *w, const struct http_call *call, bool *look)
{
    const struct call *own = call->owner;
    const struct slot *slot = own->slot;

    *look = slot != NULL && slot->state == SLOT_PROBING;
    return slot == NULL ? -1 : load_find(w, slot->rec.at.partition, slot->offset);
}
