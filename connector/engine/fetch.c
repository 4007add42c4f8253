/* Files that a command has only the URL of are fetched before its first call, and before
 * it is armed: its lane waits, nobody else does. They are held until the slot is
 * released, so a call that is repeated sends the same bytes. Invariant: whoever fetches
 * has a promise for all its files (en->fetched_bytes), so none waits for room that
 * another one who waits is holding. */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "engine/internal.h"
#include "front/reply.h"

#define KIND "attachment"
/* Held at once; one command may always. */
#define FETCHED_BYTES_MAX ((size_t)64 * 1024 * 1024)

enum { URL_MAX_BYTES = 8192, SHOWN_MAX_BYTES = 120 };

struct fetch {
    struct fetch_call *call; /* NULL: none runs */
    int failures, tries;     /* that may have reached the server; all */
    int64_t first_try, not_before;
    size_t promised; /* of en->fetched_bytes */
};

static int check_url(const struct engine *en, const struct attachment *file,
                     struct err *e);
static struct attachment *next_file(const struct slot *slot);
static bool may_fetch(const struct engine *en);
static struct fetch_call *free_call(struct engine *en);
static bool promise(struct engine *en, struct slot *slot);
static void start(struct engine *en, struct slot *slot, struct fetch_call *call);
static void on_done(struct http_call *http);
static void take(struct engine *en, struct slot *slot, struct http_call *http);
static void failed(struct engine *en, struct slot *slot, const struct http_call *http);
static void try_again(struct engine *en, struct slot *slot, int64_t at_ms);
static void give_up(struct engine *en, struct slot *slot, enum outcome outcome,
                    const char *why);
static void drop_files(struct engine *en, struct slot *slot);
static void set_timer(struct engine *en, struct slot *slot);

int fetch_init(struct engine *en, struct err *e)
{
    for (size_t i = 0; i < ENGINE_FETCHES; i++) {
        struct fetch_call *call = &en->fetches[i];

        http_call_init(&call->http);
        call->http.done = on_done;
        call->http.owner = call;
        call->en = en;
    }
    if (en->o.attachments_allowed == NULL)
        return 0;
    if (regcomp(&en->attachments_regex, en->o.attachments_allowed, REG_EXTENDED) != 0)
        return err_set(e, ERR_SETTINGS,
                       "attachments.url.allowed is not a regular expression");
    en->has_attachments_regex = true;
    return 0;
}

void fetch_fini(struct engine *en)
{
    for (size_t i = 0; i < ENGINE_FETCHES; i++)
        http_call_fini(&en->fetches[i].http);
    if (en->has_attachments_regex)
        regfree(&en->attachments_regex);
}

static size_t bytes_there(const struct command *cmd)
{
    size_t bytes = 0;

    for (size_t i = 0; i < cmd->n_attachments; i++)
        bytes += cmd->attachments[i].data.len;
    return bytes;
}

int fetch_check(const struct engine *en, const struct command *cmd, struct err *e)
{
    size_t bytes = bytes_there(cmd);

    if (bytes > (uint64_t)en->o.attachments_max_bytes)
        return err_input(e, KIND,
                         "the attachments have %zu bytes, more than "
                         "attachments.max.bytes (%lld): send less in one command",
                         bytes, (long long)en->o.attachments_max_bytes);
    for (size_t i = 0; i < cmd->n_attachments; i++)
        if (cmd->attachments[i].url.ptr != NULL &&
            check_url(en, &cmd->attachments[i], e) != 0)
            return -1;
    return 0;
}

/* What follows "?" may be a secret that gives access. */
static struct str shown(struct str url)
{
    const char *end = memchr(url.ptr, '?', url.len);

    if (end != NULL)
        url.len = (size_t)(end - url.ptr);
    if (url.len > SHOWN_MAX_BYTES)
        url.len = SHOWN_MAX_BYTES;
    while (url.len > 0 && !utf8_valid(url))
        url.len--;
    return url;
}

static int check_url(const struct engine *en, const struct attachment *file,
                     struct err *e)
{
    struct str url = file->url;
    bool matches = false;
    regmatch_t m;

    if (!en->has_attachments_regex)
        return err_input(e, KIND,
                         "%.*s: attachments.url.allowed is not set: no URL is fetched",
                         STR_ARG(shown(url)));
    if (url.len > URL_MAX_BYTES || memchr(url.ptr, '\0', url.len) != NULL)
        return err_input(e, KIND, "%.*s: longer than %d bytes, or with a NUL in it",
                         STR_ARG(shown(url)), URL_MAX_BYTES);
    char *text = mem_strndup(url.ptr, url.len);
    if (http_url_check_fetch(text, e) != 0) {
        e->reason = KIND;
        (void)err_prefix(e, "%.*s", STR_ARG(shown(url)));
    } else {
        matches = regexec(&en->attachments_regex, text, 1, &m, 0) == 0 && m.rm_so == 0 &&
                  (size_t)m.rm_eo == url.len;
        if (!matches)
            (void)err_input(e, KIND, "%.*s: does not match attachments.url.allowed",
                            STR_ARG(shown(url)));
    }
    mem_free(text);
    return matches ? 0 : -1;
}

size_t fetch_body_len(const struct engine *en, const struct slot *slot)
{
    size_t len = request_body_len(&slot->req);

    return next_file(slot) != NULL ? len + (size_t)en->o.attachments_max_bytes : len;
}

static struct attachment *next_file(const struct slot *slot)
{
    for (size_t i = 0; i < slot->cmd.n_attachments; i++)
        if (slot->cmd.attachments[i].data.ptr == NULL)
            return &slot->cmd.attachments[i];
    return NULL;
}

bool fetch_want(struct engine *en, struct slot *slot)
{
    if (next_file(slot) == NULL)
        return false;
    if (slot->fetch == NULL)
        slot->fetch = arena_zalloc(&slot->arena, sizeof *slot->fetch);
    slot_move(en, slot, SLOT_FETCH);
    set_timer(en, slot);
    return true;
}

/* The oldest first; but who has a promise stands before all others. */
void fetch_turn(struct engine *en)
{
    struct slot *slot, *next;

    for (slot = TAILQ_FIRST(&en->lists[SLOT_FETCH]); slot != NULL; slot = next) {
        struct fetch_call *call = free_call(en);

        next = TAILQ_NEXT(slot, link);
        if (call == NULL || !may_fetch(en))
            return;
        if (slot->fetch->not_before > en->now)
            continue;
        if (!promise(en, slot))
            return;
        start(en, slot, call);
    }
}

void fetch_due(struct engine *en, struct slot *slot)
{
    if (dispatch_deadline_ms(en, slot) <= en->now)
        dispatch_expire(en, slot); /* else fetch_turn is next */
}

void fetch_release(struct engine *en, struct slot *slot)
{
    if (slot->fetch == NULL)
        return;
    if (slot->fetch->call != NULL) {
        slot->fetch->call->slot = NULL;
        en->http.cancel(en->http.self, &slot->fetch->call->http);
    }
    drop_files(en, slot);
}

static bool may_fetch(const struct engine *en)
{
    return en->group_assigned && !en->revoking && !en->lost && !en->closing;
}

static struct fetch_call *free_call(struct engine *en)
{
    for (size_t i = 0; i < ENGINE_FETCHES; i++)
        if (!en->fetches[i].running)
            return &en->fetches[i];
    return NULL;
}

static void hold(struct engine *en, struct slot *slot, size_t bytes)
{
    en->fetched_bytes += bytes - slot->fetch->promised;
    slot->fetch->promised = bytes;
}

static bool promise(struct engine *en, struct slot *slot)
{
    size_t most = (size_t)en->o.attachments_max_bytes;

    if (slot->fetch->promised == 0) {
        if (en->fetched_bytes > 0 && en->fetched_bytes + most > FETCHED_BYTES_MAX)
            return false;
        hold(en, slot, most);
    }
    return true;
}

static void start(struct engine *en, struct slot *slot, struct fetch_call *call)
{
    struct fetch *fetch = slot->fetch;
    struct str url = next_file(slot)->url;
    size_t room = (size_t)en->o.attachments_max_bytes - bytes_there(&slot->cmd);
    struct http_call *http = &call->http;

    http->url = arena_strndup(&slot->arena, url.ptr, url.len);
    http->private_too = en->o.fetch_private_too;
    http->accept = "*/*";
    http->body_max = room;
    http->timeout_ms = en->o.timeout_ms + (int64_t)(room / 100000) * 1000;
    call->slot = slot;
    call->running = true;
    fetch->call = call;
    fetch->tries++;
    if (fetch->first_try == 0)
        fetch->first_try = en->now;
    slot_move(en, slot, SLOT_FETCHING);
    int rc = en->http.start(en->http.self, http);
    assert(rc == 0); /* as many places as calls */
    (void)rc;
}

static void on_done(struct http_call *http)
{
    struct fetch_call *call = http->owner;
    struct engine *en = call->en;
    struct slot *slot = call->slot;

    call->running = false;
    call->slot = NULL;
    if (slot != NULL) {
        slot->fetch->call = NULL;
        if (http->end == HTTP_ANSWERED && http->head.status == 200)
            take(en, slot, http);
        else
            failed(en, slot, http);
    }
    buf_fini(&http->body_in); /* it may be large */
}

static void take(struct engine *en, struct slot *slot, struct http_call *http)
{
    struct attachment *file = next_file(slot);
    struct err e = ERR_INIT;
    size_t len;
    char *bytes = buf_take(&http->body_in, &len);

    bytes = mem_realloc(bytes, len + 1); /* a buffer grows by doubling */
    file->data = (struct str){bytes, len};
    if (next_file(slot) != NULL) {
        slot_move_back(en, slot, SLOT_FETCH);
        return;
    }
    hold(en, slot, bytes_there(&slot->cmd) + 1); /* 0 is no promise */
    if (request_fill_form(&slot->cmd, &slot->arena, &slot->req, &e) != 0)
        answer_error(en, slot, REJECTED, KIND, e.text); /* was checked */
    else
        dispatch_want(en, slot);
}

static void failed(struct engine *en, struct slot *slot, const struct http_call *http)
{
    struct retry_policy policy = dispatch_retry_policy(en);
    enum verdict v = reply_verdict(http);
    int status = http->head.status;
    bool answered = http->end != HTTP_NOT_SENT && http->end != HTTP_LOST;
    char why[240];

    if (v == REPLY_LIMITED)
        v = REPLY_BROKEN; /* no quota of ours says when it takes more */
    if (v == REPLY_DONE && http->end == HTTP_HEAD_ONLY)
        v = REPLY_LOST;
    if (http->peer_refused)
        (void)snprintf(why, sizeof why, "%s; only public addresses are called",
                       http->why);
    else if (http->end == HTTP_TOO_LARGE)
        (void)snprintf(why, sizeof why,
                       "is larger than what attachments.max.bytes leaves for it (%zu)",
                       http->body_max);
    else if (answered)
        (void)snprintf(why, sizeof why, "answered %d%s", status,
                       status >= 300 && status < 400 ? ": redirects are not followed"
                                                     : "");
    else
        (void)snprintf(why, sizeof why, "%s", http->why);
    if (http->peer_refused || http->end == HTTP_TOO_LARGE ||
        (v != REPLY_BROKEN && v != REPLY_LOST && v != REPLY_NOT_SENT)) {
        give_up(en, slot, REJECTED, why);
        return;
    }
    slot->fetch->failures += v != REPLY_NOT_SENT;
    struct retry_case c = {.klass = CLASS_A,
                           .verdict = v,
                           .attempts = slot->fetch->failures,
                           .tries = slot->fetch->tries,
                           .first_try_ms = slot->fetch->first_try,
                           .now_ms = en->now,
                           .deadline_ms = dispatch_deadline_ms(en, slot),
                           .random = engine_random(en)};
    struct retry_decision d = retry_decide(&policy, &c);
    if (d.answer == RETRY_WAIT)
        try_again(en, slot, d.at_ms);
    else if (c.deadline_ms <= en->now + en->o.retry_backoff_max_ms)
        dispatch_expire(en, slot);
    else
        give_up(en, slot, FAILED, why);
}

/* It keeps nothing meanwhile that others could use. */
static void try_again(struct engine *en, struct slot *slot, int64_t at_ms)
{
    drop_files(en, slot);
    slot->fetch->not_before = at_ms;
    slot_move(en, slot, SLOT_FETCH);
    set_timer(en, slot);
}

/* Nothing was sent to Front. */
static void give_up(struct engine *en, struct slot *slot, enum outcome outcome,
                    const char *why)
{
    const struct attachment *file = next_file(slot);
    const char *text =
        arena_printf(&slot->arena, "%.*s from %.*s: %s", STR_ARG(shown(file->filename)),
                     STR_ARG(shown(file->url)), why);

    answer_error(en, slot, outcome, KIND, text);
}

static void drop_files(struct engine *en, struct slot *slot)
{
    for (size_t i = 0; i < slot->cmd.n_attachments; i++) {
        struct attachment *file = &slot->cmd.attachments[i];

        if (file->url.ptr == NULL || file->data.ptr == NULL)
            continue;
        mem_free(mem_unconst(file->data.ptr));
        file->data = STR_NULL;
    }
    hold(en, slot, 0);
}

static void set_timer(struct engine *en, struct slot *slot)
{
    int64_t at = dispatch_deadline_ms(en, slot);

    if (slot->fetch->not_before > en->now && slot->fetch->not_before < at)
        at = slot->fetch->not_before;
    if (at != INT64_MAX)
        timer_set(&en->timers, &slot->timer, at);
}
