/* The commands of a seed: keys, operations of all classes, bad input, producers that
 * abort, and what Front will say to each. */
#include "world.h"

#include <stdio.h>
#include <string.h>

struct shape {
    const char *operation;
    enum kind kind;
    int weight;
    const char *text; /* "%d": the command's number */
};

static const struct shape shapes[] = {
    {"get-conversation-by-id", KIND_READ, 8,
     "{\"operation\":\"get-conversation-by-id\",\"params\":{\"conversation_id\":"
     "\"cnv_%d\"}}"},
    {"list-conversation-comments", KIND_READ, 4,
     "{\"operation\":\"list-conversation-comments\",\"params\":{\"conversation_id\":"
     "\"cnv_%d\"}}"},
    {"list-conversation-messages", KIND_READ, 12,
     "{\"operation\":\"list-conversation-messages\",\"params\":{\"conversation_id\":"
     "\"cnv_%d\"}}"},
    {"update-conversation", KIND_SET, 30,
     "{\"operation\":\"update-conversation\",\"params\":{\"conversation_id\":\"cnv_%d\"},"
     "\"body\":{\"status\":\"open\"}}"},
    {"delete-a-contact", KIND_SET, 5,
     "{\"operation\":\"delete-a-contact\",\"params\":{\"contact_id\":\"cnv_%d\"}}"},
    {"create-contact", KIND_DEDUP, 6,
     "{\"operation\":\"create-contact\",\"body\":{\"name\":\"cnv_%d\",\"handles\":"
     "[{\"source\":\"email\",\"handle\":\"a@example.com\"}]}}"},
    {"add-comment", KIND_ONCE, 30,
     "{\"operation\":\"add-comment\",\"params\":{\"conversation_id\":\"cnv_%d\"},"
     "\"body\":{\"body\":\"hi\"}}"},
    {"create-draft-reply", KIND_ONCE, 8,
     "{\"operation\":\"create-draft-reply\",\"params\":{\"conversation_id\":\"cnv_%d\"},"
     "\"body\":{\"body\":\"hi\",\"channel_id\":\"cha_1\"}}"},
    {"call", KIND_ONCE, 5,
     "{\"operation\":\"call\",\"method\":\"POST\",\"path\":\"/things/cnv_%d/do\"}"},
    {"no-such-thing", KIND_REFUSED, 3, "{\"operation\":\"no-such-thing\"}"},
    {"?", KIND_REFUSED, 3, "{ this is no command %d"},
};
#define N_SHAPES (sizeof shapes / sizeof shapes[0])

static const struct shape *choose(struct world *w)
{
    int all = 0;
    for (size_t i = 0; i < N_SHAPES; i++)
        all += shapes[i].weight;
    int at = (int)rnd(w, (uint64_t)all);
    size_t i = 0;
    while (at >= shapes[i].weight)
        at -= shapes[i++].weight;
    return &shapes[i];
}

static void header(struct cmd *c, const char *name, const char *value)
{
    c->headers[c->n_headers++] = (struct kafka_header){str_of(name), str_of(value)};
}

static void set_id(struct world *w, struct cmd *c);

static void add_headers(struct world *w, struct cmd *c)
{
    static const char *const priorities[] = {"high", "normal", "low"};
    static const char *const policies[] = {"probe", "report", "retry"};
    if (chance(w, 300))
        header(c, "priority", priorities[rnd(w, 3)]);
    if (chance(w, 60)) {
        c->deadline = EPOCH_MS + w->now + between(w, 0, 60000);
        header(c, "deadline", arena_printf(&w->arena, "%lld", (long long)c->deadline));
    }
    if (chance(w, 100))
        header(c, "reply-topic",
               chance(w, 100)   ? "reply-missing"
               : chance(w, 200) ? REPLY_SMALL_TOPIC
                                : REPLY_TOPIC);
    if (chance(w, 120)) {
        c->policy = (int)rnd(w, 3);
        header(c, "on-in-doubt", policies[c->policy]);
    }
    if (c->id == NULL && chance(w, 200))
        set_id(w, c);
    else if (c->id != NULL)
        header(c, "command-id", c->id);
}

static void set_id(struct world *w, struct cmd *c)
{
    c->id = arena_printf(&w->arena, "id-%d", c->index);
    header(c, "command-id", c->id);
}

/* In some worlds some lists have rows with lists of their own. Chance has no part in it:
 * the worlds without stay what they were. */
static void set_with(struct world *w, struct cmd *c)
{
    static const char operation[] = "list-contact-conversations";
    const char *with = w->seed * 0x9e3779b97f4a7c15u >> 40 & 1
                           ? below_with(w, operation, c->index)
                           : NULL;
    if (with == NULL)
        return;
    c->operation = operation;
    c->merged = false;
    below_set(&c->walk.below, str_of(operation), str_of(with));
    const char *most =
        c->walk.max_items < 0
            ? ""
            : arena_printf(&w->arena, ",\"max_items\":\"%d\"", c->walk.max_items);
    c->value = str_of(arena_printf(
        &w->arena,
        "{\"operation\":\"%s\",\"params\":{\"contact_id\":\"cnv_%d\",\"with\":\"%s\"%s}}",
        operation, c->index, with, most));
}

static void set_text(struct world *w, struct cmd *c, const struct shape *s)
{
    const char *hole = strstr(s->text, "%d");
    c->kind = s->kind;
    c->operation = s->operation;
    c->thing = c->index;
    c->dead = s->operation[0] == '?';
    c->proves = strcmp(s->operation, "add-comment") == 0;
    c->value =
        str_of(hole == NULL ? s->text
                            : arena_printf(&w->arena, "%.*s%d%s", (int)(hole - s->text),
                                           s->text, c->index, hole + 2));
    c->items =
        strcmp(s->operation, "list-conversation-comments") == 0 ? c->index % 5 : -1;
    c->walk = (struct walk){.max_items = -1, .gen = -1, .cancelled_at = -1};
    c->walk.is_list = strcmp(s->operation, "list-conversation-messages") == 0;
    if (c->walk.is_list && chance(w, 200)) {
        c->walk.max_items = 1 + (int)rnd(w, 10);
        c->value = str_of(arena_printf(&w->arena,
                                       "{\"operation\":\"%s\",\"params\":{"
                                       "\"conversation_id\":\"cnv_%d\","
                                       "\"max_items\":\"%d\"}}",
                                       s->operation, c->index, c->walk.max_items));
    }
    c->merged = strstr(s->text, "conversation_id") != NULL && chance(w, 40);
    if (c->walk.is_list)
        set_with(w, c);
    c->missing = chance(w, 30);
    c->humans = chance(w, 100) ? (int)rnd(w, 2 * ROWS_MAX) : (int)rnd(w, 3);
    c->stranger = chance(w, 20);
}

/* One of a user's program that says the same again: with the same id or, on purpose,
 * without; or that takes an id a second time. Ids are looked up within a partition. */
static void set_twin(struct world *w, struct cmd *c, struct cmd *first, int keys)
{
    int how = (int)rnd(w, 10);
    if (first->dead || (c->dead && how >= 8))
        return;
    c->part = first->part;
    c->key = first->key;
    if (chance(w, 500)) {
        c->key = (int)rnd(w, (uint64_t)keys);
        if (c->key % w->n_parts != c->part)
            c->key = -1;
    }
    (void)snprintf(c->key_text, sizeof c->key_text, "k%d", c->key);
    if (how < 8) { /* the same text */
        c->kind = first->kind;
        c->operation = first->operation;
        c->thing = first->thing;
        c->proves = first->proves;
        c->value = first->value;
        c->dead = false;
        c->items = first->items;
        c->merged = first->merged;
        c->missing = first->missing;
    }
    if (how < 6 || how >= 8) { /* the same id */
        if (first->id == NULL)
            set_id(w, first);
        c->id = first->id;
    }
}

/* A producer's transaction: decided after a while, or aborted. */
static void decide(struct world *w, struct event *ev)
{
    struct cmd *c = ev->p;
    struct log *log = &w->broker.commands[c->part];
    log->entries[c->offset].state = c->aborted ? ENTRY_ABORTED : ENTRY_COMMITTED;
    (void)log_append(w, log, (struct entry){.state = ENTRY_MARKER, .cmd = -1, .txn = -1});
    broker_commands_decided(w, c->part);
}

static void produce(struct world *w, struct event *ev)
{
    struct cmd *c = ev->p;
    struct log *log = &w->broker.commands[c->part];
    bool in_txn = c->aborted || chance(w, 80);
    c->offset = (int64_t)log->n;
    (void)log_append(w, log,
                     (struct entry){.state = in_txn ? ENTRY_OPEN : ENTRY_COMMITTED,
                                    .cmd = c->index,
                                    .outcome = -1,
                                    .txn = -1});
    trace(w, -1, c->part, c->index, "command", c->offset, c->key, c->operation);
    if (in_txn)
        world_at(w, w->now + skewed(w, 1, 4000), decide, c);
    else
        broker_commands_decided(w, c->part);
}

void load_init(struct world *w)
{
    int keys = 1 + (int)rnd(w, KEYS_MAX - 1);
    int64_t span = between(w, 1000, w->faults_end);
    w->n_cmds = 20 + (int)rnd(w, 120);
    w->twins = chance(w, 500) ? 0 : (int)rnd(w, 400);
    w->cmds = arena_zalloc(&w->arena, (size_t)w->n_cmds * sizeof *w->cmds);
    for (int i = 0; i < w->n_cmds; i++) {
        struct cmd *c = &w->cmds[i];
        const struct shape *s = choose(w);
        c->index = i;
        c->key = chance(w, 100) ? -1 : (int)rnd(w, (uint64_t)keys);
        c->part = c->key < 0 ? (int)rnd(w, (uint64_t)w->n_parts) : c->key % w->n_parts;
        (void)snprintf(c->key_text, sizeof c->key_text, "k%d", c->key);
        c->offset = -1;
        c->policy = -1;
        set_text(w, c, s);
        struct cmd *other = i > 0 ? &w->cmds[rnd(w, (uint64_t)i)] : c;
        if (i > 0 && chance(w, w->twins) && !c->walk.is_list && !other->walk.is_list)
            set_twin(w, c, other, keys);
        c->aborted = chance(w, 40);
        c->outcome = -1;
        c->first_send = c->first_execution = c->arm_handed = -1;
        add_headers(w, c);
        world_at(w, chance(w, 300) ? 0 : between(w, 0, span), produce, c);
        if (c->walk.is_list && chance(w, 150))
            world_at(w, between(w, 0, span + 10000), walk_cancel, c);
    }
}

int load_find(const struct world *w, int part, int64_t offset)
{
    if (part < 0 || part >= w->n_parts || offset < 0 ||
        offset >= (int64_t)w->broker.commands[part].n)
        return -1;
    return w->broker.commands[part].entries[offset].cmd;
}

int load_number(const char *text)
{
    const char *at = strstr(text, "cnv_");
    int n = 0;
    if (at == NULL)
        return -1;
    for (at += 4; *at >= '0' && *at <= '9'; at++)
        n = n * 10 + (*at - '0');
    return n;
}
