/* Conversations, their comments, assignee, links, reminders, search, and the events all
 * this leaves behind. */
#include <ctype.h>
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

struct handler {
    const char *operation;
    operation_fn *run;
};

struct object *author_of(struct call *c)
{
    const char *id = call_text(c, "author_id");
    return id != NULL ? find_object(c->sb, KIND_TEAMMATE, id) : NULL;
}

static bool status_is(const struct object *cnv, const char *status)
{
    return strcmp(store_text(cnv, "status"), status) == 0;
}

static const char *open_status(const struct object *cnv)
{
    return store_related(cnv, REL_ASSIGNED, KIND_TEAMMATE, true) != NULL ? "assigned"
                                                                         : "unassigned";
}

void conversation_assign(struct call *c, struct object *cnv, struct object *tea)
{
    struct object *old = store_related(cnv, REL_ASSIGNED, KIND_TEAMMATE, true);
    if (old != tea) {
        store_part_all(cnv, REL_ASSIGNED, KIND_TEAMMATE, true);
        if (tea != NULL)
            (void)store_join(tea, REL_ASSIGNED, cnv);
        event_add(c, tea != NULL ? "assign" : "unassign", cnv, tea);
    }
    if (status_is(cnv, "assigned") || status_is(cnv, "unassigned"))
        store_set_text(cnv, "status", open_status(cnv));
}

static void set_status(struct call *c, struct object *cnv, const char *wanted)
{
    const char *type = "archive", *status = wanted;
    if (strcmp(wanted, "open") == 0) {
        status = open_status(cnv);
        type = status_is(cnv, "deleted") ? "restore" : "reopen";
    } else if (strcmp(wanted, "archived") != 0) {
        type = "trash";
    }
    if (status_is(cnv, status))
        return;
    store_set_text(cnv, "status", status);
    event_add(c, type, cnv, NULL);
}

static bool set_status_id(struct call *c, struct object *cnv)
{
    const char *id = call_text(c, "status_id");
    const struct object *sts = id != NULL ? find_object(c->sb, KIND_STATUS, id) : NULL;
    if (sts == NULL)
        return id == NULL;
    store_set_text(cnv, "status_id", sts->id);
    store_set_text(cnv, "status_category", store_text(sts, "category"));
    event_add(c, "ticket_status_update", cnv, NULL);
    return true;
}

static bool names_object(struct call *c, const json_t *ids, const struct object *obj)
{
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (id != NULL && find_object(c->sb, obj->kind, id) == obj)
            return true;
    }
    return false;
}

static void replace_tags(struct call *c, struct object *cnv, const json_t *ids)
{
    struct edge *ed, *next;
    for (ed = TAILQ_FIRST(&cnv->in); ed != NULL; ed = next) {
        struct object *tag = ed->parent;
        next = TAILQ_NEXT(ed, in);
        if (ed->rel != REL_HAS || tag->kind != KIND_TAG || names_object(c, ids, tag))
            continue;
        (void)store_part(tag, REL_HAS, cnv);
        event_add(c, "untag", cnv, tag);
    }
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        struct object *tag = id != NULL ? find_object(c->sb, KIND_TAG, id) : NULL;
        if (tag != NULL && store_join(tag, REL_HAS, cnv))
            event_add(c, "tag", cnv, tag);
    }
}

static void move_to_inbox(struct call *c, struct object *cnv, const char *id)
{
    struct object *inb = find_object(c->sb, KIND_INBOX, id);
    if (store_joined(inb, REL_HAS, cnv))
        return;
    store_part_all(cnv, REL_HAS, KIND_INBOX, true);
    (void)store_join(inb, REL_HAS, cnv);
    event_add(c, "move", cnv, inb);
}

/* One event for each value that changed; its target is the field, if there is one. */
static void note_custom_fields(struct call *c, struct object *cnv, const json_t *old)
{
    const char *name;
    json_t *v;
    json_object_foreach(call_field(c, "custom_fields"), name, v)
    {
        struct object *fld;
        if (json_equal(json_object_get(old, name), v))
            continue;
        TAILQ_FOREACH (fld, &c->sb->store.lists[KIND_CUSTOM_FIELD], of_kind)
            if (strcmp(store_text(fld, "name"), name) == 0)
                break;
        event_add(c, "custom_field_updated", cnv, fld);
    }
}

static void update_conversation(struct call *c)
{
    struct object *cnv = find_param(c, KIND_CONVERSATION, "conversation_id");
    const json_t *assignee = call_field(c, "assignee_id"),
                 *tags = call_field(c, "tag_ids");
    const char *status = call_text(c, "status"), *inbox = call_text(c, "inbox_id");
    if (cnv == NULL)
        return;
    char *before = mem_strdup(store_text(cnv, "status"));
    json_t *fields = json_incref(json_object_get(cnv->own, "custom_fields"));
    absorb(c, cnv); /* would take `status` as it stands; the words differ */
    note_custom_fields(c, cnv, fields);
    json_decref(fields);
    store_set_text(cnv, "status", before);
    mem_free(before);
    if (assignee != NULL)
        conversation_assign(
            c, cnv,
            json_is_string(assignee)
                ? find_object(c->sb, KIND_TEAMMATE, json_string_value(assignee))
                : NULL);
    if (inbox != NULL)
        move_to_inbox(c, cnv, inbox);
    if (status != NULL)
        set_status(c, cnv, status);
    (void)set_status_id(c, cnv);
    if (tags != NULL)
        replace_tags(c, cnv, tags);
}

static void update_assignee(struct call *c)
{
    struct object *cnv = find_param(c, KIND_CONVERSATION, "conversation_id");
    const char *id = call_text(c, "assignee_id");
    if (cnv != NULL)
        conversation_assign(c, cnv,
                            id != NULL ? find_object(c->sb, KIND_TEAMMATE, id) : NULL);
}

static void update_reminders(struct call *c)
{
    struct object *cnv = find_param(c, KIND_CONVERSATION, "conversation_id");
    struct object *tea = cnv != NULL ? find_field(c, KIND_TEAMMATE, "teammate_id") : NULL;
    json_t *at = call_field(c, "scheduled_at");
    if (tea == NULL)
        return;
    if (json_is_null(at)) {
        store_set(cnv, "scheduled_reminders", json_array());
        return;
    }
    store_set(cnv, "scheduled_reminders",
              json_pack("[{s:{s:{s:o}}, s:f, s:O, s:f}]", "_links", "related", "owner",
                        json_sprintf("%s/teammates/%s", c->sb->url, tea->id),
                        "created_at", sandbox_now(c->sb), "scheduled_at", at,
                        "updated_at", sandbox_now(c->sb)));
}

static void delete_conversation(struct call *c)
{
    struct object *cnv = find_param(c, KIND_CONVERSATION, "conversation_id");
    if (cnv == NULL)
        return;
    if (!status_is(cnv, "deleted") && magic_of(cnv->id) == MAGIC_NONE) {
        call_error(c, 400, "Bad request",
                   "Conversation must be trashed before it is deleted");
        return;
    }
    store_remove(&c->sb->store, cnv);
}

struct object *comment_make(struct call *c, struct object *cnv, const json_t *from)
{
    struct object *com = store_add(&c->sb->store, KIND_COMMENT, NULL);
    const char *author = json_string_value(json_object_get(from, "author_id"));
    const struct object *tea =
        author != NULL ? find_object(c->sb, KIND_TEAMMATE, author) : NULL;
    const char *body = json_string_value(json_object_get(from, "body"));
    store_set_text(com, "body", body != NULL ? body : "");
    store_set(com, "posted_at", json_real(sandbox_now(c->sb)));
    store_set(com, "is_pinned",
              json_boolean(json_is_true(json_object_get(from, "is_pinned"))));
    if (tea != NULL)
        store_set_text(com, "_author", tea->id);
    (void)store_join(cnv, REL_HAS, com);
    return com;
}

/* "@username" mentions a teammate. */
static void comment_tell(struct call *c, struct object *cnv, struct object *com)
{
    struct object *tea;
    event_add(c, "comment", cnv, com);
    TAILQ_FOREACH (tea, &c->sb->store.lists[KIND_TEAMMATE], of_kind) {
        char *name = mem_printf("@%s", store_text(tea, "username"));
        const char *at = name[1] != '\0' ? strstr(store_text(com, "body"), name) : NULL;
        bool whole = at != NULL && !isalnum((unsigned char)at[strlen(name)]);
        mem_free(name);
        if (whole && store_join(com, REL_MENTIONS, tea))
            event_add(c, "mention", cnv, com);
    }
}

static void add_comment(struct call *c)
{
    struct object *cnv = find_param(c, KIND_CONVERSATION, "conversation_id");
    if (cnv == NULL)
        return;
    struct object *com = comment_make(c, cnv, c->json);
    attach_files(c, com);
    comment_tell(c, cnv, com);
    answer_object(c, com);
}

static void add_comment_reply(struct call *c)
{
    struct object *old = find_param(c, KIND_COMMENT, "comment_id");
    struct object *cnv =
        old != NULL ? store_related(old, REL_HAS, KIND_CONVERSATION, true) : NULL;
    if (cnv == NULL) {
        if (old != NULL)
            call_unknown(c, KIND_CONVERSATION, "of the comment");
        return;
    }
    struct object *com = comment_make(c, cnv, c->json);
    store_set_text(com, "_replied_to", old->id);
    attach_files(c, com);
    comment_tell(c, cnv, com);
    answer_object(c, com);
}

static void create_conversation(struct call *c)
{
    const char *inbox = call_text(c, "inbox_id");
    json_t *comment = call_field(c, "comment");
    struct object *cnv = store_add(&c->sb->store, KIND_CONVERSATION, NULL);
    absorb(c, cnv);
    store_set_text(cnv, "status", "unassigned");
    store_set(cnv, "is_private", json_boolean(inbox == NULL));
    if (inbox != NULL)
        (void)store_join(find_object(c->sb, KIND_INBOX, inbox), REL_HAS, cnv);
    const json_t *ids = call_field(c, "teammate_ids");
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const char *id = json_string_value(json_array_get(ids, i));
        if (id != NULL)
            (void)store_join(cnv, REL_FOLLOWS, find_object(c->sb, KIND_TEAMMATE, id));
    }
    if (json_is_object(comment))
        comment_tell(c, cnv, comment_make(c, cnv, comment));
    answer_object(c, cnv);
}

/* By ids, or by URLs: an unknown URL makes a link. */
static void add_links(struct call *c)
{
    struct object *cnv = find_param(c, KIND_CONVERSATION, "conversation_id");
    const json_t *ids = call_field(c, "link_ids"),
                 *urls = call_field(c, "link_external_urls");
    if (cnv == NULL)
        return;
    for (size_t i = 0; i < json_array_size(ids) + json_array_size(urls); i++) {
        size_t k = i - json_array_size(ids);
        bool by_id = i < json_array_size(ids);
        const char *text =
            json_string_value(by_id ? json_array_get(ids, i) : json_array_get(urls, k));
        if (text == NULL)
            continue;
        struct object *top = by_id
                                 ? find_object(c->sb, KIND_LINK, text)
                                 : store_by_alias(&c->sb->store, KIND_LINK, "url", text);
        if (top == NULL) {
            top = store_add(&c->sb->store, KIND_LINK, NULL);
            store_set_text(top, "name", text);
            store_set_text(top, "type", "web");
            store_set_text(top, "external_url", text);
            (void)store_alias(&c->sb->store, top, "url", text);
        }
        if (store_join(top, REL_HAS, cnv))
            event_add(c, "link_added", cnv, top);
    }
}

/* is:<status> and plain words of the subject; what else Front knows is taken as matching.
 */
static bool match_search(struct call *c, const struct object *cnv)
{
    struct str rest = str_of(call_param(c, "query"));
    const char *subject = store_text(cnv, "subject"), *status = store_text(cnv, "status");
    bool open = strcmp(status, "assigned") == 0 || strcmp(status, "unassigned") == 0;
    while (rest.ptr != NULL) {
        struct str word = str_split(&rest, ' ');
        if (str_is(word, "is:open") && !open)
            return false;
        if (str_starts(word, "is:") && !str_is(word, "is:open") &&
            !str_starts(word, "is:un") &&
            strncmp(word.ptr + 3, status, word.len - 3) != 0)
            return false;
        if (word.len > 0 && memchr(word.ptr, ':', word.len) == NULL &&
            memmem(subject, strlen(subject), word.ptr, word.len) == NULL)
            return false;
    }
    return true;
}

static void search(struct call *c)
{
    list_kind(c, KIND_CONVERSATION, match_search);
}

static void all_events(struct call *c)
{
    list_events(c, NULL);
}

static void conversation_events(struct call *c)
{
    const struct object *cnv = find_param(c, KIND_CONVERSATION, "conversation_id");
    if (cnv != NULL)
        list_events(c, cnv->id);
}

static void get_event(struct call *c)
{
    const char *id = call_param(c, "event_id");
    const struct events *es = &c->sb->events;
    bool example = magic_of(id) != MAGIC_NONE && magic_of(id) != MAGIC_404;
    const struct event *ev =
        example ? events_get(es, events_first(es)) : events_find(es, id);
    if (ev != NULL)
        c->answer = render_event(c->sb, ev, false);
    else
        call_error(c, 404, "Not found", "Unknown event \"%s\"", id);
}

static const struct handler handlers[] = {
    {"update-conversation", update_conversation},
    {"update-conversation-assignee", update_assignee},
    {"update-conversation-reminders", update_reminders},
    {"delete-conversation", delete_conversation},
    {"create-conversation", create_conversation},
    {"add-comment", add_comment},
    {"add-comment-reply", add_comment_reply},
    {"add-conversation-link", add_links},
    {"search-conversations", search},
    {"list-events", all_events},
    {"list-conversation-events", conversation_events},
    {"get-event", get_event},
};

operation_fn *handler_conversation(const char *operation)
{
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
        if (strcmp(handlers[i].operation, operation) == 0)
            return handlers[i].run;
    return NULL;
}
