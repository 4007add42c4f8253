/* Objects, their edges and their aliases. Removing an object removes its edges; nothing
 * else points at it (events keep ids). */
#include "store.h"

#include <string.h>

#include "base/mem.h"

#define ID_FIRST                                                                         \
    60466176u /* 36^5: new ids have six characters, so none is a magic id                \
               */

const struct kind_row kinds[KINDS] = {
    [KIND_ACCOUNT] = {"account", "acc", "accounts", "Account"},
    [KIND_APP_TEMPLATE] = {"application message template", "amt", "", ""},
    [KIND_ARTICLE] = {"article", "kba", "knowledge_base_articles",
                      "KnowledgeBaseArticleFull"},
    [KIND_CALL] = {"call", "cal", "", ""},
    [KIND_CATEGORY] = {"category", "kbc", "knowledge_base_categories",
                       "KnowledgeBaseCategoryFull"},
    [KIND_CHANNEL] = {"channel", "cha", "channels", "Channel"},
    [KIND_COMMENT] = {"comment", "com", "comments", "Comment"},
    [KIND_CONTACT] = {"contact", "crd", "contacts", "Contact"},
    [KIND_CONTACT_LIST] = {"contact list", "grp", "contact_lists", "ContactList"},
    [KIND_CONVERSATION] = {"conversation", "cnv", "conversations", "Conversation"},
    [KIND_CUSTOM_FIELD] = {"custom field", "fld", "custom_fields", "CustomField"},
    [KIND_EXPORT] = {"export", "exp", "analytics/exports", "AnalyticsExport"},
    [KIND_FILE] = {"attachment", "fil", "download", "Attachment"},
    [KIND_FOLDER] = {"message template folder", "rsf", "message_template_folders",
                     "MessageTemplateFolder"},
    [KIND_INBOX] = {"inbox", "inb", "inboxes", "Inbox"},
    [KIND_KNOWLEDGE_BASE] = {"knowledge base", "knb", "knowledge_bases",
                             "KnowledgeBaseFull"},
    [KIND_LINK] = {"link", "top", "links", "Link"},
    [KIND_MESSAGE] = {"message", "msg", "messages", "Message"},
    [KIND_NOTE] = {"note", "not", "", "ContactNote"},
    [KIND_RECEIPT] = {"seen receipt", "see", "", "SeenReceipt"},
    [KIND_REPORT] = {"report", "rep", "analytics/reports", "AnalyticsReport"},
    [KIND_RULE] = {"rule", "rul", "rules", "Rule"},
    [KIND_SHIFT] = {"shift", "shf", "shifts", "Shift"},
    [KIND_SIGNATURE] = {"signature", "sig", "signatures", "Signature"},
    [KIND_STATUS] = {"status", "sts", "company/statuses", "TicketStatus"},
    [KIND_TAG] = {"tag", "tag", "tags", "Tag"},
    [KIND_TEAM] = {"team", "tim", "teams", "Team"},
    [KIND_TEAMMATE] = {"teammate", "tea", "teammates", "Teammate"},
    [KIND_TEAMMATE_GROUP] = {"teammate group", "cir", "teammate_groups", "TeammateGroup"},
    [KIND_TEMPLATE] = {"message template", "rsp", "message_templates", "MessageTemplate"},
    [KIND_TIME_OFF] = {"time off", "vcr", "time_offs", "TimeOff"},
    [KIND_VIEW] = {"view", "lns", "views", "View"},
};

void store_init(struct store *st, uint64_t seed, size_t most)
{
    memset(st, 0, sizeof *st);
    for (size_t i = 0; i < KINDS; i++)
        TAILQ_INIT(&st->lists[i]);
    st->most = most;
    st->next_seq = 1;
    st->next_id = ID_FIRST + (seed * 7919) % ID_FIRST;
}

void store_fini(struct store *st)
{
    for (size_t i = 0; i < KINDS; i++)
        while (!TAILQ_EMPTY(&st->lists[i]))
            store_remove(st, TAILQ_FIRST(&st->lists[i]));
}

static void id_make(char *out, size_t size, const char *prefix, uint64_t n)
{
    char digits[16];
    size_t i = sizeof digits - 1;
    digits[i] = '\0';
    for (; n > 0 && i > 0; n /= 36)
        digits[--i] = "0123456789abcdefghijklmnopqrstuvwxyz"[n % 36];
    snprintf(out, size, "%s_%s", prefix, digits + i);
}

static void store_make_room(struct store *st, enum kind kind)
{
    struct object *obj = TAILQ_FIRST(&st->lists[kind]);
    while (obj != NULL && (obj->seeded || obj->hidden))
        obj = TAILQ_NEXT(obj, of_kind);
    if (obj != NULL)
        store_remove(st, obj);
}

struct object *store_add(struct store *st, enum kind kind, const char *id)
{
    char made[24];
    if (st->counts[kind] >= st->most)
        store_make_room(st, kind);
    struct object *obj = mem_zalloc(sizeof *obj);
    if (id == NULL) {
        id_make(made, sizeof made, kinds[kind].prefix, st->next_id++);
        id = made;
    }
    obj->id = mem_strdup(id);
    obj->kind = kind;
    obj->seq = st->next_seq++;
    obj->own = json_object();
    TAILQ_INIT(&obj->out);
    TAILQ_INIT(&obj->in);
    LIST_INIT(&obj->aliases);
    TAILQ_INSERT_TAIL(&st->lists[kind], obj, of_kind);
    HASH_ADD_KEYPTR(hh, st->by_id, obj->id, strlen(obj->id), obj);
    st->counts[kind]++;
    return obj;
}

static void edge_free(struct edge *ed)
{
    TAILQ_REMOVE(&ed->parent->out, ed, out);
    TAILQ_REMOVE(&ed->child->in, ed, in);
    mem_free(ed);
}

static void alias_free(struct store *st, struct alias *al)
{
    HASH_DEL(st->by_alias, al);
    LIST_REMOVE(al, of_object);
    mem_free(al->key);
    mem_free(al);
}

void store_remove(struct store *st, struct object *obj)
{
    while (!TAILQ_EMPTY(&obj->out))
        edge_free(TAILQ_FIRST(&obj->out));
    while (!TAILQ_EMPTY(&obj->in))
        edge_free(TAILQ_FIRST(&obj->in));
    while (!LIST_EMPTY(&obj->aliases))
        alias_free(st, LIST_FIRST(&obj->aliases));
    TAILQ_REMOVE(&st->lists[obj->kind], obj, of_kind);
    HASH_DEL(st->by_id, obj);
    st->counts[obj->kind]--;
    json_decref(obj->own);
    mem_free(obj->blob);
    mem_free(obj->id);
    mem_free(obj);
}

struct object *store_find(const struct store *st, enum kind kind, const char *id)
{
    struct object *obj = NULL;
    HASH_FIND(hh, st->by_id, id, strlen(id), obj);
    return obj != NULL && obj->kind == kind ? obj : NULL;
}

void store_set(struct object *obj, const char *name, json_t *value)
{
    (void)json_object_set_new(obj->own, name, value);
}

void store_set_text(struct object *obj, const char *name, const char *value)
{
    store_set(obj, name, json_string(value));
}

const char *store_text(const struct object *obj, const char *name)
{
    const char *text = json_string_value(json_object_get(obj->own, name));
    return text != NULL ? text : "";
}

/* Looks from the child's side: an object has few parents, but may have many children. */
static struct edge *edge_find(const struct object *parent, enum rel rel,
                              const struct object *child)
{
    struct edge *ed;
    TAILQ_FOREACH (ed, &child->in, in)
        if (ed->parent == parent && ed->rel == rel)
            return ed;
    return NULL;
}

bool store_joined(const struct object *parent, enum rel rel, const struct object *child)
{
    return edge_find(parent, rel, child) != NULL;
}

bool store_join(struct object *parent, enum rel rel, struct object *child)
{
    if (edge_find(parent, rel, child) != NULL)
        return false;
    struct edge *ed = mem_zalloc(sizeof *ed);
    ed->parent = parent;
    ed->child = child;
    ed->rel = rel;
    TAILQ_INSERT_TAIL(&parent->out, ed, out);
    TAILQ_INSERT_TAIL(&child->in, ed, in);
    return true;
}

bool store_part(struct object *parent, enum rel rel, struct object *child)
{
    struct edge *ed = edge_find(parent, rel, child);
    if (ed == NULL)
        return false;
    edge_free(ed);
    return true;
}

void store_part_all(struct object *obj, enum rel rel, enum kind other, bool reverse)
{
    struct object *o = store_related(obj, rel, other, reverse);
    for (; o != NULL; o = store_related(obj, rel, other, reverse))
        (void)(reverse ? store_part(o, rel, obj) : store_part(obj, rel, o));
}

struct object *store_related(const struct object *obj, enum rel rel, enum kind other,
                             bool reverse)
{
    struct edge *ed;
    if (reverse) {
        TAILQ_FOREACH (ed, &obj->in, in)
            if (ed->rel == rel && ed->parent->kind == other)
                return ed->parent;
        return NULL;
    }
    TAILQ_FOREACH (ed, &obj->out, out)
        if (ed->rel == rel && ed->child->kind == other)
            return ed->child;
    return NULL;
}

static char *alias_key(enum kind kind, const char *name, const char *value)
{
    return mem_printf("%d|%s:%s", (int)kind, name, value);
}

bool store_alias(struct store *st, struct object *obj, const char *name,
                 const char *value)
{
    struct object *other = store_by_alias(st, obj->kind, name, value);
    if (other != NULL)
        return other == obj;
    struct alias *al = mem_zalloc(sizeof *al);
    al->key = alias_key(obj->kind, name, value);
    al->obj = obj;
    LIST_INSERT_HEAD(&obj->aliases, al, of_object);
    HASH_ADD_KEYPTR(hh, st->by_alias, al->key, strlen(al->key), al);
    return true;
}

static struct alias *alias_find(const struct store *st, enum kind kind, const char *name,
                                const char *value)
{
    struct alias *al = NULL;
    char *key = alias_key(kind, name, value);
    HASH_FIND(hh, st->by_alias, key, strlen(key), al);
    mem_free(key);
    return al;
}

void store_unalias(struct store *st, struct object *obj, const char *name,
                   const char *value)
{
    struct alias *al = alias_find(st, obj->kind, name, value);
    if (al != NULL && al->obj == obj)
        alias_free(st, al);
}

struct object *store_by_alias(const struct store *st, enum kind kind, const char *name,
                              const char *value)
{
    const struct alias *al = alias_find(st, kind, name, value);
    return al != NULL ? al->obj : NULL;
}
