/* See below.c. */
#ifndef SIM_BELOW_H
#define SIM_BELOW_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/str.h"

struct world;
struct entry;
struct job_record;

enum {
    BELOW_LISTS = 2,
    BELOW_ROWS = 6 /* of a page whose rows have lists */
};

/* `with`: the lists of each row of a page, and what of them is durable. */
struct below_list {
    const char *of, *word, *operation; /* of: the operation of the rows; word: its path */
    bool paged;
};
struct below_at {
    int row, list, gen, page; /* gen -1: of any reading of that list */
};
struct below {
    const struct below_list *lists[BELOW_LISTS];
    int n_lists;   /* 0: none are asked for */
    int front_gen; /* page tokens of earlier readings are refused */
    bool runs;     /* lists of the rows are still to be read */
    bool last;     /* no page of rows follows */
    char ids[BELOW_ROWS][24];
    int n_rows;
    struct below_at next;
    int txn_gen, txn_rows; /* of the transaction that is judged */
};

/* What `with` says in this world for lists of that operation; NULL: nothing. */
const char *below_with(struct world *w, const char *operation, int number);
void below_set(struct below *b, struct str operation, struct str with);
struct below_page {
    const char *id, *word;
    int gen, page;
};
bool below_is_path(struct world *w, const char *path, struct below_page *bp);
/* A request has arrived; 0, or the status that refuses it. */
int below_ask(const struct world *w, struct below *b, const char *query, bool forget,
              struct below_page *bp);
void below_print(const struct world *w, const struct below_page *bp, struct buf *out);
/* Each says what is wrong; NULL: nothing. Is what leaves what is next, a row's list or a
 * page of the list above? */
const char *below_check_ask(struct world *w, const struct below *b, const char *path,
                            const char *query);
/* A row of a row's list becomes durable; then what comes with it: the record (NULL: the
 * result). `again`: the list is begun anew. Pages that were fetched: 0 or 1. */
bool below_is_row(const struct entry *e);
const char *below_item(struct world *w, struct below *b, const struct entry *e);
const char *below_step(struct world *w, struct below *b, const struct job_record *jr,
                       bool again, int *pages);
/* The rows of a page, b->ids, are durable: their lists are next. */
void below_begin(struct below *b, bool last);
const char *below_record(struct world *w, const struct below *b,
                         const struct job_record *jr);
/* Where the rows of a list have to be. */
const char *below_topic(struct str operation);

#endif
