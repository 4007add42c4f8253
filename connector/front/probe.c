/* See probe.h. What is compared is never more than what Front surely says: a row of
 * unknown age or author stays a candidate, and a candidate that cannot be ours for sure
 * leaves the doubt open. */
#include "front/probe.h"

#include <stdlib.h>
#include <string.h>

#include "codec/json.h"

enum { TEXT_MAX_BYTES = 1024 * 1024, TOKEN_MAX_BYTES = 4096, ID_MAX_BYTES = 255 };

static const char event_target[] = "target.data";

static enum probe_next take_parent(struct probe *pb, struct str body, struct arena *a);
static void take_row(struct probe *pb, struct str row, struct arena *a);
static bool row_time(const struct probe *pb, struct str row, int64_t *ms);
static bool by_author(const struct probe *pb, struct str row, struct arena *a);
static bool same_text(const struct probe *pb, struct str row, struct arena *a);
static struct str plain(struct str text, struct arena *a);
static struct str text_at(struct str object, const char *path, struct arena *a);
static struct str next_token(struct str body, struct arena *a);
static void add_param(struct command *cmd, const char *name, struct str value);

void probe_start(struct probe *pb, const struct command *cmd, const struct op *op,
                 int64_t armed_ms)
{
    struct str parent = pb->op == op ? pb->parent : STR_NULL; /* it does not change */

    *pb = (struct probe){.cmd = cmd,
                         .op = op,
                         .armed_ms = armed_ms,
                         .parent = parent,
                         .known = pb->known,
                         .known_arg = pb->known_arg};
}

int probe_request(struct probe *pb, struct arena *a, struct request *out, struct err *e)
{
    const struct op_probe *rule = &pb->op->probe;
    bool parent = rule->via != NULL && pb->parent.ptr == NULL;
    const struct op *op = op_xget(parent ? rule->via : rule->list);
    const struct typed_record *rec = op->record;
    size_t i, most = rec->n_fields + 2;
    struct command cmd = {.operation = str_of(op->name),
                          .params = arena_zalloc(a, most * sizeof(struct pair))};

    for (i = 0; i < rec->n_fields; i++) {
        const char *name = rec->fields[i].name;
        struct str value = STR_NULL;

        if (rec->fields[i].place == PLACE_PATH)
            value = !parent && pb->parent.ptr != NULL
                        ? pb->parent
                        : request_path_param(pb->cmd, pb->op, str_of(name), a);
        else if (rec->fields[i].place != PLACE_QUERY)
            continue;
        else if (strcmp(name, "sort_order") == 0)
            value = STR_LIT("desc");
        else if (strcmp(name, "page_token") == 0)
            value = pb->page_token;
        if (value.ptr != NULL)
            add_param(&cmd, name, value);
    }
    if (!parent && rule->query != NULL) {
        struct str value = str_of(rule->query);
        struct str name = str_split(&value, '=');
        add_param(&cmd, arena_strndup(a, name.ptr, name.len), value);
    }
    return request_build(&cmd, op, a, out, e);
}

enum probe_next probe_answer(struct probe *pb, struct str body, struct arena *a)
{
    struct str rows, row;
    size_t pos = 0;
    bool newest_first = true, older = false;
    int64_t before = INT64_MAX;

    if (!json_is_valid(body))
        return PROBE_ODD;
    if (pb->op->probe.via != NULL && pb->parent.ptr == NULL)
        return take_parent(pb, body, a);
    rows = json_member(body, "_results");
    if (rows.ptr == NULL || rows.ptr[0] != '[')
        return PROBE_ODD;
    while (json_next(rows, &pos, &row)) {
        int64_t ms = INT64_MAX;
        bool timed = row_time(pb, row, &ms);
        older = timed && ms < pb->armed_ms - PROBE_CLOCK_SKEW_MS;
        newest_first = newest_first && timed && ms <= before;
        before = ms;
        if (!older)
            take_row(pb, row, a);
    }
    pb->page_token = next_token(body, a);
    pb->whole = pb->page_token.ptr == NULL || (newest_first && older);
    if (pb->whole || !op_xget(pb->op->probe.list)->paged)
        return PROBE_READ;
    return PROBE_MORE;
}

enum probe_verdict probe_judge(const struct probe *pb)
{
    const struct op_probe *rule = &pb->op->probe;

    if (pb->n_rows == 0 && !pb->many)
        return pb->whole && rule->absence_proves ? PROBE_ABSENT : PROBE_NONE;
    /* A thing without a time may be older than the command. */
    if (pb->n_rows == 1 && !pb->many && pb->whole && rule->time != NULL &&
        pb->rows[0].same_text && pb->rows[0].id.ptr != NULL)
        return PROBE_FOUND;
    return PROBE_OPEN;
}

/* get-comment names its conversation by a link. */
static enum probe_next take_parent(struct probe *pb, struct str body, struct arena *a)
{
    struct str link = text_at(body, "_links.related.conversation", a), last = STR_NULL;

    while (link.ptr != NULL)
        last = str_split(&link, '/');
    if (last.len == 0)
        return PROBE_ODD;
    pb->parent = last;
    return PROBE_MORE;
}

static void take_row(struct probe *pb, struct str row, struct arena *a)
{
    const struct op_probe *rule = &pb->op->probe;
    bool event = rule->text != NULL &&
                 strncmp(rule->text, event_target, sizeof event_target - 1) == 0;
    struct str thing = event ? json_member_path(row, event_target) : row, uid;
    bool same = same_text(pb, row, a);
    struct probe_row found;

    if (!by_author(pb, row, a))
        return;
    if (rule->time == NULL && rule->text != NULL && !same)
        return; /* only its name tells it from what was there before */
    uid = text_at(thing, "message_uid", a);
    found = (struct probe_row){
        .id = text_at(thing, "id", a),
        .uid = uid.ptr != NULL ? str_of(arena_printf(a, "alt:uid:%.*s", STR_ARG(uid)))
                               : STR_NULL,
        .same_text = same};
    if (pb->known != NULL && pb->known(pb->known_arg, &found))
        return;
    if (pb->n_rows == PROBE_ROWS_MAX) {
        pb->many = true;
        return;
    }
    found.json =
        (struct str){arena_strndup(a, thing.ptr ? thing.ptr : "", thing.len), thing.len};
    pb->rows[pb->n_rows++] = found;
}

/* Front's times are seconds with a fraction. */
static bool row_time(const struct probe *pb, struct str row, int64_t *ms)
{
    const char *path = pb->op->probe.time;
    struct str raw = path != NULL ? json_member_path(row, path) : STR_NULL;
    char text[40];
    char *end;
    double seconds;

    if (raw.ptr == NULL || raw.len >= sizeof text)
        return false;
    memcpy(text, raw.ptr, raw.len);
    text[raw.len] = 0;
    seconds = strtod(text, &end);
    if (end == text || *end != 0 || !(seconds > 0 && seconds < 1e11))
        return false;
    *ms = (int64_t)(seconds * 1000);
    return true;
}

/* Is the row by the command's author? Not named in the command: by nobody, or the API
 * itself. An author named by an alias cannot be compared: then nobody is excluded. */
static bool by_author(const struct probe *pb, struct str row, struct arena *a)
{
    const char *path = pb->op->probe.author;
    struct str given =
        pb->cmd->body.ptr != NULL ? text_at(pb->cmd->body, "author_id", a) : STR_NULL;
    struct str id, author;
    char object[64];
    const char *dot = path != NULL ? strrchr(path, '.') : NULL;

    if (dot == NULL || (size_t)(dot - path) >= sizeof object)
        return true;
    memcpy(object, path, (size_t)(dot - path));
    object[dot - path] = 0;
    author = json_member_path(row, object);
    id = text_at(row, path, a);
    if (given.ptr == NULL)
        return author.ptr == NULL || json_text_is_null(author) ||
               str_is(text_at(author, "type", a), "api");
    return str_starts(given, "alt:") || (id.ptr != NULL && str_eq(id, given));
}

static bool same_text(const struct probe *pb, struct str row, struct arena *a)
{
    const struct op_probe *rule = &pb->op->probe;
    struct str ours, theirs;

    if (rule->text == NULL || rule->body_text == NULL || pb->cmd->body.ptr == NULL)
        return false;
    ours = text_at(pb->cmd->body, rule->body_text, a);
    theirs = text_at(row, rule->text, a);
    return ours.ptr != NULL && theirs.ptr != NULL &&
           str_eq(plain(ours, a), plain(theirs, a));
}

/* Front stores some texts as HTML and re-wraps them: tags and the width of white space do
 * not count, and the entities it writes are read. */
static struct str plain(struct str text, struct arena *a)
{
    static const struct {
        const char *entity;
        char c;
    } entities[] = {{"&amp;", '&'},  {"&lt;", '<'},   {"&gt;", '>'}, {"&quot;", '"'},
                    {"&#39;", '\''}, {"&nbsp;", ' '}, {NULL, 0}};
    char *out = arena_alloc(a, text.len + 1);
    size_t n = 0, i = 0, k;
    bool gap = false;

    while (i < text.len) {
        char c = text.ptr[i];
        size_t used = 1;
        const char *end = c == '<' ? memchr(text.ptr + i, '>', text.len - i) : NULL;

        if (end != NULL) {
            used = (size_t)(end - text.ptr) - i + 1;
            c = ' ';
        }
        for (k = 0; c == '&' && used == 1 && entities[k].entity != NULL; k++)
            if (str_starts((struct str){text.ptr + i, text.len - i},
                           entities[k].entity)) {
                used = strlen(entities[k].entity);
                c = entities[k].c;
                break;
            }
        i += used;
        if (c == ' ' || c == '\n' || c == '\r' || c == '\t') {
            gap = n > 0;
            continue;
        }
        if (gap)
            out[n++] = ' ';
        gap = false;
        out[n++] = c;
    }
    return (struct str){out, n};
}

/* The text of a string, or the JSON of a number; ptr NULL: not there, null, or nested. */
static struct str text_at(struct str object, const char *path, struct arena *a)
{
    struct str raw = object.ptr != NULL ? json_member_path(object, path) : STR_NULL, text;

    if (raw.ptr == NULL || raw.len == 0 || raw.len > TEXT_MAX_BYTES ||
        json_text_is_null(raw) || raw.ptr[0] == '{' || raw.ptr[0] == '[')
        return STR_NULL;
    return json_unquote_arena(raw, a, &text) == 0 ? text : raw;
}

static struct str next_token(struct str body, struct arena *a)
{
    static const char key[] = "page_token=";
    struct str link = text_at(body, "_pagination.next", a), rest = link;
    char *out;
    size_t n = 0, i;

    while (rest.len >= sizeof key - 1 && !str_starts(rest, key))
        rest = (struct str){rest.ptr + 1, rest.len - 1};
    if (link.ptr == NULL || rest.len < sizeof key - 1 || rest.len > TOKEN_MAX_BYTES)
        return link; /* a next page that cannot be asked for: the list is not whole */
    rest = (struct str){rest.ptr + sizeof key - 1, rest.len - (sizeof key - 1)};
    out = arena_alloc(a, rest.len + 1);
    for (i = 0; i < rest.len && rest.ptr[i] != '&' && rest.ptr[i] != '#'; i++) {
        int c =
            rest.ptr[i] == '%' && rest.len - i > 2 ? request_hex(rest.ptr + i + 1) : -1;
        out[n++] = (char)(c >= 0 ? c : rest.ptr[i]);
        i += c >= 0 ? 2 : 0;
    }
    return (struct str){out, n};
}

static void add_param(struct command *cmd, const char *name, struct str value)
{
    cmd->params[cmd->n_params++] = (struct pair){.name = str_of(name), .value = value};
}
