/* See lanes.h. A lane lives as long as it holds a slot. Invariant: a lane in a heap has a
 * head, and that head is the only one of its slots that is not QUEUED. */
#include "engine/lanes.h"

#include <assert.h>

#include "base/map.h"
#include "base/mem.h"

struct lane {
    UT_hash_handle hh;
    struct slot_list slots;
    enum quota_class class;
    size_t place; /* 1-based place in its heap; 0: not ready */
    bool hashed;  /* a null key's lane is in no map */
    size_t key_len;
    char key[];
};

/* The arrival of the lane's head stands beside it: sifting thousands of lanes would else
 * fetch two strange cache lines for each comparison. */
struct item {
    uint64_t arrival;
    struct lane *lane;
};

struct heap {
    struct item *items;
    size_t n, cap;
};

struct lanes {
    struct lane *by_key;
    size_t count;
    struct heap ready[QUOTA_CLASSES];
};

static struct lane *lane_of(struct lanes *ls, struct str key);
static void lane_drop(struct lanes *ls, struct lane *lane);
static void sift(struct heap *h, size_t i, struct item it);
static void heap_remove(struct heap *h, struct lane *lane);

struct lanes *lanes_new(void)
{
    return mem_zalloc(sizeof(struct lanes));
}

void lanes_free(struct lanes *ls)
{
    if (ls == NULL)
        return;
    assert(ls->count == 0);
    for (size_t c = 0; c < QUOTA_CLASSES; c++)
        mem_free(ls->ready[c].items);
    mem_free(ls);
}

bool lanes_push(struct lanes *ls, struct slot *slot)
{
    struct lane *lane = lane_of(ls, slot->rec.key);
    bool first = TAILQ_EMPTY(&lane->slots);
    TAILQ_INSERT_TAIL(&lane->slots, slot, in_lane);
    slot->lane = lane;
    return first;
}

struct slot *lanes_remove(struct lanes *ls, struct slot *slot)
{
    struct lane *lane = slot->lane;
    bool head = TAILQ_FIRST(&lane->slots) == slot;
    if (head)
        lanes_unready(ls, slot);
    TAILQ_REMOVE(&lane->slots, slot, in_lane);
    slot->lane = NULL;
    struct slot *next = TAILQ_FIRST(&lane->slots);
    if (next == NULL)
        lane_drop(ls, lane);
    return head ? next : NULL;
}

void lanes_ready(struct lanes *ls, struct slot *head, enum quota_class c)
{
    struct lane *lane = head->lane;
    assert(TAILQ_FIRST(&lane->slots) == head);
    if (lane->place > 0)
        return;
    struct heap *h = &ls->ready[c];
    if (h->n == h->cap) {
        h->cap = h->cap ? h->cap * 2 : 64;
        h->items = mem_realloc(h->items, h->cap * sizeof *h->items);
    }
    lane->class = c;
    sift(h, h->n++, (struct item){head->arrival, lane});
}

void lanes_unready(struct lanes *ls, struct slot *head)
{
    struct lane *lane = head->lane;
    if (lane->place > 0)
        heap_remove(&ls->ready[lane->class], lane);
}

bool lane_is_ready(const struct slot *head)
{
    return head->lane != NULL && head->lane->place > 0;
}

struct slot *lanes_first(const struct lanes *ls, enum quota_class c)
{
    const struct heap *h = &ls->ready[c];
    return h->n > 0 ? TAILQ_FIRST(&h->items[0].lane->slots) : NULL;
}

size_t lanes_ready_count(const struct lanes *ls, enum quota_class c)
{
    return ls->ready[c].n;
}

size_t lanes_count(const struct lanes *ls)
{
    return ls->count;
}

static struct lane *lane_of(struct lanes *ls, struct str key)
{
    struct lane *lane = NULL;
    if (key.ptr != NULL)
        HASH_FIND(hh, ls->by_key, key.ptr, key.len, lane);
    if (lane != NULL)
        return lane;
    lane = mem_zalloc(sizeof *lane + key.len);
    TAILQ_INIT(&lane->slots);
    ls->count++;
    if (key.ptr != NULL) {
        lane->hashed = true;
        lane->key_len = key.len;
        memcpy(lane->key, key.ptr, key.len);
        HASH_ADD_KEYPTR(hh, ls->by_key, lane->key, lane->key_len, lane);
    }
    return lane;
}

static void lane_drop(struct lanes *ls, struct lane *lane)
{
    assert(lane->place == 0);
    if (lane->hashed)
        HASH_DELETE(hh, ls->by_key, lane);
    ls->count--;
    mem_free(lane);
}

static void put(struct heap *h, size_t i, struct item it)
{
    h->items[i] = it;
    it.lane->place = i + 1;
}

/* Puts `it` where it belongs, starting at the hole i. */
static void sift(struct heap *h, size_t i, struct item it)
{
    while (i > 0 && h->items[(i - 1) / 2].arrival > it.arrival) {
        put(h, i, h->items[(i - 1) / 2]);
        i = (i - 1) / 2;
    }
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= h->n)
            break;
        if (child + 1 < h->n && h->items[child + 1].arrival < h->items[child].arrival)
            child++;
        if (h->items[child].arrival >= it.arrival)
            break;
        put(h, i, h->items[child]);
        i = child;
    }
    put(h, i, it);
}

static void heap_remove(struct heap *h, struct lane *lane)
{
    size_t hole = lane->place - 1;
    struct item last = h->items[--h->n];
    lane->place = 0;
    if (last.lane != lane)
        sift(h, hole, last);
}
