/* What an engine is lent: a copy of its own for each delivery, so that who looks at it
 * after giving it back reads dirt. */
#include "client.h"

#include <string.h>

struct kafka_partition lend_partition(int part)
{
    return part >= JOBS ? (struct kafka_partition){JOBS_TOPIC, part - JOBS}
                        : (struct kafka_partition){COMMANDS_TOPIC, part};
}

struct lent {
    int slot, life;
    size_t n_headers;
    struct kafka_header headers[8];
    char bytes[];
};

static struct str lend(char **to, struct str s)
{
    if (s.ptr == NULL)
        return s;
    memcpy(*to, s.ptr, s.len);
    struct str copy = {*to, s.len};
    *to += s.len;
    return copy;
}

/* A copy of its own for each delivery: who looks at it after release reads dirt. */
void lend_record(struct instance *in, const struct told *t, struct kafka_record *rec)
{
    const struct cmd *c = &in->w->cmds[t->cmd];
    struct str key = c->key < 0 ? STR_NULL : str_of(c->key_text);
    size_t size = key.len + c->value.len;
    for (size_t i = 0; i < c->n_headers; i++)
        size += c->headers[i].value.len;
    struct lent *lent = mem_zalloc(sizeof *lent + size + 1);
    char *at = lent->bytes;
    *rec = (struct kafka_record){.at = lend_partition(t->part),
                                 .offset = t->offset,
                                 .timestamp_ms = EPOCH_MS + in->w->now,
                                 .key = lend(&at, key),
                                 .value = lend(&at, c->value),
                                 .headers = lent->headers,
                                 .n_headers = c->n_headers,
                                 .handle = lent};
    for (size_t i = 0; i < c->n_headers; i++)
        lent->headers[i] =
            (struct kafka_header){c->headers[i].name, lend(&at, c->headers[i].value)};
    lent->n_headers = size;
    in->k.lent_records++;
}

void lend_job(struct instance *in, const struct told *t, struct kafka_record *rec)
{
    const struct entry *e = &log_of_part(in->w, t->part)->entries[t->offset];
    struct lent *lent = mem_zalloc(sizeof *lent + e->key.len + e->value.len + 1);
    char *at = lent->bytes;
    *rec = (struct kafka_record){.at = lend_partition(t->part),
                                 .offset = t->offset,
                                 .timestamp_ms = EPOCH_MS + in->w->now,
                                 .key = lend(&at, e->key),
                                 .value = lend(&at, e->value),
                                 .handle = lent};
    lent->n_headers = e->key.len + e->value.len;
    in->k.lent_records++;
}

void lend_release(void *self, struct kafka_record *rec)
{
    struct instance *in = self;
    struct lent *lent = rec->handle;
    memset(lent->bytes, 'X', lent->n_headers);
    mem_free(lent);
    in->k.lent_records--;
}

void lend_text(struct instance *in, const char *text, struct kafka_event *ev)
{
    mem_free(in->k.lent_text);
    in->k.lent_text = text != NULL ? mem_strdup(text) : NULL;
    ev->metadata = str_of(in->k.lent_text);
}

/* A copy in one block: who looks at it after the next event reads what was freed. */
void lend_page(struct instance *in, const struct told *t, struct kafka_event *ev)
{
    size_t n = (size_t)t->n_values, size = n * sizeof(struct kafka_record);
    for (size_t i = 0; i < n; i++)
        size += t->values[i].len;
    in->k.lent_page = mem_zalloc(size + 1);
    ev->records = in->k.lent_page;
    ev->n_records = n;
    char *at = (char *)(ev->records + n);
    for (size_t i = 0; i < n; i++)
        ev->records[i] =
            (struct kafka_record){.at = ev->at, .value = lend(&at, t->values[i])};
}
