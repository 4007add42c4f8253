/* What the files about syncs share: the settings and how they change, what Front shows
 * and when, and how far each sync is durable. */
#ifndef SIM_SYNCS_H
#define SIM_SYNCS_H

#include "world.h"

#include "codec/records/command.h"
#include "codec/records/job.h"

enum {
    SYNCS_MAX = 2,
    SETTINGS_MAX = 3, /* versions of the settings in one world */
    LISTS = 2,        /* contacts, tags */
    LIST_ROWS = 12,
    CHANGES_MAX = 6, /* of one row */
    PAGE_ROWS = 6,
    LIVES_MAX = 128
};

struct sync_settings {
    struct engine_sync syncs[SYNCS_MAX];
    size_t n;
};

/* One answer of Front to a sync: its token names it, and so do its rows. */
struct sync_page {
    int sync, list, parent; /* parent: the page that it follows; 0: none */
    int gen;                /* of the token that it names */
    int settings;           /* the version that whoever asked has */
    int64_t at;             /* Front read its list then */
    int64_t after;          /* only what changed since this second; -1: all */
    int rows[PAGE_ROWS], versions[PAGE_ROWS], n;
    int64_t last_change; /* with last_row: where the next page begins */
    int last_row;
    bool last;
};

/* What one transaction says of a sync. */
struct sync_txn {
    int page, rows; /* page 0: no row; rows: of the list itself */
    int64_t run;    /* that its rows name */
    const struct entry *record, *result;
    bool gone, uncancelled;
    int64_t uncancelled_at; /* serial of the tombstone */
};

struct sync {
    const char *name, *key;
    int part;                /* of the jobs topic */
    int front_gen;           /* page tokens of earlier ones are refused */
    int64_t cancelled_at;    /* serial of the request to cancel it; -1: none is left */
    bool cancel_read;        /* one was, since the last run ended: perhaps late */
    uint64_t uncancelled_by; /* who wrote the newest tombstone of such requests */
    uint64_t seen_by;        /* who has read a request last, and which */
    int64_t seen;
    struct sync_txn txn; /* of the transaction that is judged */
    struct below below;
    /* what is durable */
    bool exists, running;
    const char *list;           /* operation and parameters of its last run */
    const char *list_operation; /* the former alone */
    int64_t seq, run, last_run, watermark, next_run_at;
    int at;             /* the last page of the run that runs; 0: none */
    int64_t after;      /* what that run asks for */
    int64_t first_read; /* Front read its first page then */
    int64_t pages, items, restarts;
    uint64_t owner;
    int slot, life; /* who began and ended the last run; life -1: not the same one */
    int64_t results;
    int calm_runs; /* that succeeded and began when no fault was left */
};

struct syncs {
    struct sync of[SYNCS_MAX];
    int n;
    struct sync_settings settings[SETTINGS_MAX];
    int n_settings, newest;
    int settings_of[SLOTS_MAX][LIVES_MAX];
    struct {
        int n;
        int64_t at[CHANGES_MAX]; /* in order */
    } changes[LISTS][LIST_ROWS];
    int produced[LISTS][LIST_ROWS]; /* the newest version that is durable; 0: none */
    enum { BY_ROW, OLDEST_FIRST, NEWEST_FIRST, ORDERS } order;
    struct sync_page *pages; /* their numbers begin at 1 */
    size_t n_pages, cap_pages;
    int64_t rows;  /* all that are durable */
    int calm_runs; /* that each sync must have had */
};

/* --- syncs.c --- */

const struct engine_sync *syncs_setting(const struct syncs *ss, const struct sync *sync,
                                        int settings); /* NULL: it is not in them */
int syncs_list_of(const char *operation);
extern const char *const syncs_ids[LISTS]; /* what their rows' ids begin with */
struct sync_page *syncs_page(struct syncs *ss, int number); /* NULL: there is none */
int syncs_version(const struct syncs *ss, int list, int row, int64_t at);
/* The settings of whoever wrote this. */
int syncs_settings_of(const struct syncs *ss, int slot, int life);
/* The operation and parameters that it is asked with, without the cursor's. */
const char *syncs_list_text(struct world *w, struct str operation,
                            const struct pair *params, size_t n);

#endif
