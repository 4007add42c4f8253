/* The ledger of one command partition: what of each offset is known, and the string that
 * goes into the metadata of the offset commit (the commit is the journal). Pure: no
 * Kafka, no clock.
 *
 * The commit line is the lowest offset not DONE; an offset never delivered counts as
 * DONE. The window holds at most `window` offsets from the line on. */
#ifndef ENGINE_LEDGER_H
#define ENGINE_LEDGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define LEDGER_ARMED_MAX 128
#define LEDGER_STRING_MAX 3500
#define LEDGER_WINDOW_MAX 8192

enum ledger_state {
    LEDGER_ABSENT,  /* not delivered (yet): DONE once something behind it was delivered */
    LEDGER_WAITING, /* delivered; nothing durable is said of it */
    LEDGER_ARMED,   /* the string says: may have been sent */
    LEDGER_FINISHING, /* its result is in the tick that runs */
    LEDGER_DONE
};

struct ledger_entry {
    uint8_t state;       /* enum ledger_state */
    bool was_armed;      /* FINISHING only: what an aborted tick goes back to */
    uint32_t arm_second; /* ARMED: unix second on Front's clock */
};

struct ledger {
    int64_t line; /* lowest offset not DONE */
    int64_t next; /* highest delivered offset + 1 */
    int64_t window;
    size_t mask; /* ring size - 1 */
    struct ledger_entry *ring;
    size_t armed; /* entries ARMED, and FINISHING ones that were */
    /* Offsets the string we started from called DONE or ARMED and that were not delivered
     * again yet are DONE or ARMED in the ring; ring_end is one past the highest offset
     * used. */
    int64_t ring_end;
};

/* The largest window whose string is never longer than that; 0: none. */
int64_t ledger_window_for(int64_t string_max_bytes);

void ledger_init(struct ledger *lg, int64_t window);
void ledger_fini(struct ledger *lg);

/* Starts at a committed position; `text` is its metadata. Empty text: nothing known. -1:
 * unreadable (another program wrote it, or it is damaged): the partition must be stopped.
 */
int ledger_restore(struct ledger *lg, int64_t line, struct str text, int64_t *lease_ms,
                   struct err *e);

enum ledger_intake {
    LEDGER_NEW,         /* WAITING now */
    LEDGER_DONE_BEFORE, /* below the line or DONE in the string: already answered */
    LEDGER_IN_DOUBT,    /* ARMED in the string: may have been sent */
    LEDGER_FULL /* beyond the window: keep the record, ask again when the line moved */
};
enum ledger_intake ledger_deliver(struct ledger *lg, int64_t offset);

/* All below `offset` was delivered, or never will be (a marker, an aborted record): the
 * line passes what is not there. */
void ledger_reach(struct ledger *lg, int64_t offset);

bool ledger_may_arm(const struct ledger *lg); /* fewer than LEDGER_ARMED_MAX */
void ledger_arm(struct ledger *lg, int64_t offset, int64_t arm_second);
/* The offsets before `end` are gone: all that is known of them goes, but for the line,
 * which is delivered anew (WAITING). Those that were ARMED are added to `text`. */
void ledger_forget(struct ledger *lg, int64_t end, struct buf *text);
uint32_t ledger_arm_second(const struct ledger *lg, int64_t offset); /* of one ARMED */
void ledger_disarm(struct ledger *lg,
                   int64_t offset); /* proof that it was not executed */
void ledger_finish(struct ledger *lg, int64_t offset);   /* its result enters the tick */
void ledger_unfinish(struct ledger *lg, int64_t offset); /* that tick was aborted */
void ledger_done(struct ledger *lg,
                 int64_t offset); /* that tick is committed; moves the line */

/* The line a tick with the FINISHING ones commits: as if they were DONE. */
int64_t ledger_next_line(const struct ledger *lg);
/* Its string, NUL-terminated into out[LEDGER_STRING_MAX]; returns the length. `quota` may
 * be "". */
size_t ledger_string(const struct ledger *lg, int64_t lease_ms, const char *quota,
                     char out[LEDGER_STRING_MAX]);

/* Reads a string for comparison: was `offset` DONE (or below the line) in it? */
struct ledger_image {
    int64_t line;
    int64_t lease_ms;
    size_t bits;
    unsigned char done[LEDGER_WINDOW_MAX / 8];
    size_t n_armed;
    struct {
        int64_t offset;
        uint32_t second;
    } armed[LEDGER_ARMED_MAX];
};
int ledger_read(int64_t line, struct str text, struct ledger_image *im, struct err *e);
bool ledger_image_done(const struct ledger_image *im, int64_t offset);
bool ledger_image_armed(const struct ledger_image *im, int64_t offset);

#endif
