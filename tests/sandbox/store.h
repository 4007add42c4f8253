/* What the sandbox remembers: objects (one per Front resource) and the edges between
 * them. An object holds only the fields that were given; the rest comes from its shape
 * when it is rendered. Lists are read newest first by `seq`. Invariant: both ends of an
 * edge are alive. */
#ifndef SANDBOX_STORE_H
#define SANDBOX_STORE_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>
#include "base/map.h"

#include "base/err.h"

enum kind {
    KIND_ACCOUNT,
    KIND_APP_TEMPLATE,
    KIND_ARTICLE,
    KIND_CALL,
    KIND_CATEGORY,
    KIND_CHANNEL,
    KIND_COMMENT,
    KIND_CONTACT,
    KIND_CONTACT_LIST,
    KIND_CONVERSATION,
    KIND_CUSTOM_FIELD,
    KIND_EXPORT,
    KIND_FILE,
    KIND_FOLDER,
    KIND_INBOX,
    KIND_KNOWLEDGE_BASE,
    KIND_LINK,
    KIND_MESSAGE,
    KIND_NOTE,
    KIND_RECEIPT,
    KIND_REPORT,
    KIND_RULE,
    KIND_SHIFT,
    KIND_SIGNATURE,
    KIND_STATUS,
    KIND_TAG,
    KIND_TEAM,
    KIND_TEAMMATE,
    KIND_TEAMMATE_GROUP,
    KIND_TEMPLATE,
    KIND_TIME_OFF,
    KIND_VIEW,
    KIND_NONE
};
#define KINDS ((size_t)KIND_NONE)

struct kind_row {
    const char *name;   /* "contact list": what errors call it */
    const char *prefix; /* "grp" */
    const char *path;   /* "contact_lists": the collection, "" when there is none */
    const char *shape;  /* shape of its own, "" when there is none */
};
extern const struct kind_row kinds[KINDS];

enum rel {
    REL_HAS,
    REL_OWNS,
    REL_MEMBER,
    REL_PARENT,
    REL_DRAFT,
    REL_FOLLOWS,
    REL_ASSIGNED,
    REL_MENTIONS
};

struct object;

struct edge {
    struct object *parent, *child;
    enum rel rel;
    TAILQ_ENTRY(edge) out, in;
};

struct alias {
    char *key; /* "<kind>|email:ada@example.com" */
    struct object *obj;
    UT_hash_handle hh;
    LIST_ENTRY(alias) of_object;
};

struct object {
    char *id;
    enum kind kind;
    uint64_t seq;
    int64_t visible_ms; /* not found before (a message that is being built); 0: at once */
    bool hidden;        /* magic ids: found by id, in no list */
    bool seeded;
    json_t *own; /* fields by their name in Front's answer; "_x" are ours */
    char *blob;  /* KIND_FILE: its bytes */
    size_t blob_len;
    TAILQ_HEAD(, edge) out, in;
    LIST_HEAD(, alias) aliases;
    TAILQ_ENTRY(object) of_kind;
    UT_hash_handle hh;
};
TAILQ_HEAD(object_list, object);

struct store {
    struct object *by_id;
    struct alias *by_alias;
    struct object_list lists[KINDS]; /* oldest first */
    size_t counts[KINDS];
    size_t most; /* objects of one kind; the oldest that is not seeded goes first */
    uint64_t next_seq, next_id;
};

void store_init(struct store *st, uint64_t seed, size_t most);
void store_fini(struct store *st);

/* id NULL: the next one of its kind. */
struct object *store_add(struct store *st, enum kind kind, const char *id);
void store_remove(struct store *st, struct object *obj);
struct object *store_find(const struct store *st, enum kind kind, const char *id);

void store_set(struct object *obj, const char *name, json_t *value); /* takes value */
void store_set_text(struct object *obj, const char *name, const char *value);
const char *store_text(const struct object *obj, const char *name); /* "" when absent */

/* False when the edge was there already (or another object has the alias). */
bool store_join(struct object *parent, enum rel rel, struct object *child);
bool store_part(struct object *parent, enum rel rel, struct object *child);
bool store_joined(const struct object *parent, enum rel rel, const struct object *child);
void store_part_all(struct object *obj, enum rel rel, enum kind other, bool reverse);
/* The first related object of a kind; reverse: among the parents. NULL: none. */
struct object *store_related(const struct object *obj, enum rel rel, enum kind other,
                             bool reverse);

bool store_alias(struct store *st, struct object *obj, const char *name,
                 const char *value);
void store_unalias(struct store *st, struct object *obj, const char *name,
                   const char *value);
struct object *store_by_alias(const struct store *st, enum kind kind, const char *name,
                              const char *value);

json_t *store_dump(const struct store *st);
int store_restore(struct store *st, const json_t *dump, struct err *e);

#endif
