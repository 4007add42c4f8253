/* The ring of what was asked. An entry is one block of memory, freed when its place is
 * taken. */
#include "journal.h"

#include <string.h>

#include <openssl/evp.h>
#include "base/map.h"

#include "base/mem.h"

struct journal_entry {
    uint64_t n;
    int64_t t_ms;
    char method[8];
    const char *operation, *fault;
    char repeat_class;
    bool executed, hashed;
    int status;
    size_t body_len; /* as it came; the text holds the hash when `hashed` */
    const char *uri, *ids, *made_id, *body; /* in text */
    char text[];
};

void journal_init(struct journal *jn, size_t max)
{
    memset(jn, 0, sizeof *jn);
    jn->max = max;
    jn->first = 1;
    jn->ring = mem_array(max + 1, sizeof(*jn->ring));
}

void journal_clear(struct journal *jn)
{
    for (size_t i = 0; i < jn->max; i++) {
        mem_free(jn->ring[i]);
        jn->ring[i] = NULL;
    }
    jn->first = jn->last + 1;
}

void journal_fini(struct journal *jn)
{
    journal_clear(jn);
    mem_free(jn->ring);
    jn->ring = NULL;
}

static void sha256_hex(struct str s, char out[65])
{
    unsigned char digest[32];
    unsigned int len = 0;
    if (EVP_Digest(s.ptr, s.len, digest, &len, EVP_sha256(), NULL) != 1)
        memset(digest, 0, sizeof digest);
    hex_encode(digest, sizeof digest, out);
}

static const char *put(char **at, const char *text, size_t len)
{
    char *start = *at;
    if (len > 0)
        memcpy(start, text, len);
    start[len] = '\0';
    *at += len + 1;
    return start;
}

void journal_add(struct journal *jn, const struct journal_line *line)
{
    char hash[65];
    struct str body = line->body;
    bool hashed = body.len > JOURNAL_BODY_MAX;
    if (jn->max == 0)
        return;
    if (hashed) {
        sha256_hex(body, hash);
        body = str_of(hash);
    }
    size_t uri = strlen(line->uri), ids = strlen(line->ids), made = strlen(line->made_id);
    struct journal_entry *en = mem_alloc(sizeof *en + uri + ids + made + body.len + 4);
    char *at = en->text;
    en->n = ++jn->last;
    en->t_ms = line->t_ms;
    snprintf(en->method, sizeof en->method, "%s", line->method);
    en->operation = line->operation;
    en->fault = line->fault;
    en->repeat_class = line->repeat_class;
    en->executed = line->executed;
    en->hashed = hashed;
    en->status = line->status;
    en->body_len = line->body.len;
    en->uri = put(&at, line->uri, uri);
    en->ids = put(&at, line->ids, ids);
    en->made_id = put(&at, line->made_id, made);
    en->body = put(&at, body.ptr, body.len);
    struct journal_entry **slot = &jn->ring[en->n % jn->max];
    mem_free(*slot);
    *slot = en;
    if (jn->last - jn->first >= jn->max)
        jn->first = jn->last - jn->max + 1;
}

static json_t *body_dump(const struct journal_entry *en)
{
    if (en->body_len == 0 || en->hashed)
        return json_null();
    json_t *j = json_loadb(en->body, en->body_len, JSON_DECODE_ANY, NULL);
    if (j == NULL)
        j = json_stringn(en->body, en->body_len);
    return j != NULL ? j : json_null();
}

static json_t *ids_dump(const char *ids)
{
    json_t *all = json_array();
    struct str rest = str_of(ids);
    while (rest.ptr != NULL) {
        struct str id = str_split(&rest, ' ');
        if (id.len > 0)
            (void)json_array_append_new(all, json_stringn(id.ptr, id.len));
    }
    return all;
}

static json_t *entry_dump(const struct journal_entry *en)
{
    const char *query = strchr(en->uri, '?');
    size_t path = query != NULL ? (size_t)(query - en->uri) : strlen(en->uri);
    char klass[2] = {en->repeat_class, '\0'};
    json_t *j = json_pack(
        "{s:I, s:I, s:s, s:s#, s:s, s:s?, s:s?, s:o, s:s?, s:b, s:o, s:s?, s:o, s:I}",
        "n", (json_int_t)en->n, "t_ms", (json_int_t)en->t_ms, "method", en->method,
        "path", en->uri, (int)path, "query", query != NULL ? query + 1 : "", "operation",
        en->operation, "class", en->repeat_class != '\0' ? klass : NULL, "status",
        en->status != 0 ? json_integer(en->status) : json_null(), "fault", en->fault,
        "executed", (int)en->executed, "ids", ids_dump(en->ids), "made_id",
        en->made_id[0] != '\0' ? en->made_id : NULL, "body", body_dump(en), "body_bytes",
        (json_int_t)en->body_len);
    if (en->hashed)
        (void)json_object_set_new(j, "body_sha256", json_string(en->body));
    return j;
}

json_t *journal_dump(const struct journal *jn, uint64_t since, size_t limit)
{
    json_t *all = json_array();
    uint64_t n = since + 1 > jn->first ? since + 1 : jn->first;
    for (; jn->max > 0 && n <= jn->last && json_array_size(all) < limit; n++)
        (void)json_array_append_new(all, entry_dump(jn->ring[n % jn->max]));
    return all;
}

struct repeat {
    char *key;
    uint64_t n;
    json_t *found; /* its row in the answer; NULL while it stands alone */
    UT_hash_handle hh;
};

static bool excused(const struct journal_entry *en, const char *allow)
{
    if (allow == NULL)
        return false;
    return strstr(en->uri, allow) != NULL || strstr(en->body, allow) != NULL ||
           (en->operation != NULL && strcmp(en->operation, allow) == 0);
}

static void repeat_note(json_t *all, struct repeat *first, const struct journal_entry *en)
{
    if (first->found == NULL) {
        first->found =
            json_pack("{s:s, s:s, s:s, s:[I], s:o}", "operation",
                      en->operation != NULL ? en->operation : "", "method", en->method,
                      "path", en->uri, "n", (json_int_t)first->n, "body", body_dump(en));
        (void)json_array_append_new(all, first->found);
    }
    (void)json_array_append_new(json_object_get(first->found, "n"),
                                json_integer((json_int_t)en->n));
}

json_t *journal_repeats(const struct journal *jn, const char *allow)
{
    struct repeat *seen = NULL, *r, *next;
    json_t *all = json_array();
    for (uint64_t n = jn->first; jn->max > 0 && n <= jn->last; n++) {
        const struct journal_entry *en = jn->ring[n % jn->max];
        if (!en->executed || en->repeat_class < 'C' || excused(en, allow))
            continue;
        char *key = mem_printf("%s %s %s", en->method, en->uri, en->body);
        HASH_FIND(hh, seen, key, strlen(key), r);
        if (r != NULL) {
            repeat_note(all, r, en);
            mem_free(key);
            continue;
        }
        r = mem_zalloc(sizeof *r);
        r->key = key;
        r->n = en->n;
        HASH_ADD_KEYPTR(hh, seen, r->key, strlen(r->key), r);
    }
    HASH_ITER (hh, seen, r, next) {
        HASH_DEL(seen, r);
        mem_free(r->key);
        mem_free(r);
    }
    return all;
}
