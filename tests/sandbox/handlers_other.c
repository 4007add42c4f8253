/* Everything with a meaning of its own that is neither conversation, message nor contact.
 */
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

struct handler {
    const char *operation;
    operation_fn *run;
};

static void me(struct call *c)
{
    c->answer = json_pack("{s:o, s:s, s:s}", "_links", render_links(c->sb, "/me"), "id",
                          "cmp_sandbox", "name", "Sandbox");
}

static void accepted(struct call *c)
{
    if (find_param(c, KIND_CHANNEL, "channel_id") != NULL)
        answer_accepted(c, NULL);
}

static void nothing(struct call *c)
{
    c->answer = NULL;
}

/* Needs the channel, leaves no trace: summaries, transcripts, statuses of messages. */
static void on_channel(struct call *c)
{
    (void)find_param(c, KIND_CHANNEL, "channel_id");
}

static void download(struct call *c)
{
    const size_t last = c->op->n_segments - 1;
    const struct object *file = find_param(c, KIND_FILE, c->op->params[last]);
    if (file == NULL)
        return;
    c->text = mem_dup(file->blob, file->blob_len + 1);
    c->text_len = file->blob_len;
    c->content_type = store_text(file, "content_type");
}

static void update_channel(struct call *c)
{
    struct object *cha = find_param(c, KIND_CHANNEL, "channel_id");
    const char *inbox = call_text(c, "inbox_id"), *name = call_text(c, "name");
    json_t *settings = call_field(c, "settings");
    if (cha == NULL)
        return;
    if (name != NULL)
        store_set_text(cha, "name", name);
    if (json_is_object(settings)) {
        json_t *merged = json_object();
        (void)json_object_update(merged, json_object_get(cha->own, "settings"));
        (void)json_object_update(merged, settings);
        store_set(cha, "settings", merged);
    }
    if (inbox == NULL)
        return;
    store_part_all(cha, REL_HAS, KIND_INBOX, true);
    (void)store_join(find_object(c->sb, KIND_INBOX, inbox), REL_HAS, cha);
}

/* 204 without an id: the list has to be asked for it, as with Front. */
static void create_channel(struct call *c)
{
    struct object *inb = find_param(c, KIND_INBOX, "inbox_id");
    const char *address = call_text(c, "send_as");
    if (inb == NULL)
        return;
    struct object *cha = store_add(&c->sb->store, KIND_CHANNEL, NULL);
    absorb(c, cha);
    if (address != NULL && store_alias(&c->sb->store, cha, "address", address))
        store_set_text(cha, "address", address);
    store_set(cha, "is_valid", json_true());
    (void)store_join(inb, REL_HAS, cha);
    struct object *owner = store_related(inb, REL_OWNS, KIND_TEAM, true);
    if (owner != NULL)
        (void)store_join(owner, REL_OWNS, cha);
    answer_object(c, cha);
}

static void create_analytics(struct call *c)
{
    char uid[33];
    bool report = strcmp(c->op->name, "create-analytics-report") == 0;
    sandbox_uid(c->sb, uid);
    struct object *obj =
        store_add(&c->sb->store, report ? KIND_REPORT : KIND_EXPORT, report ? uid : NULL);
    store_set_text(obj, "status", "running");
    store_set(obj, "progress", json_integer(0));
    store_set(obj, "created_at", json_real(sandbox_now(c->sb)));
    if (call_field(c, "filters") != NULL)
        store_set(obj, "filters", json_incref(call_field(c, "filters")));
    answer_object(c, obj);
}

/* Ready when it is looked at for the first time. */
static void get_analytics(struct call *c)
{
    bool report = strcmp(c->op->name, "get-analytics-report") == 0;
    struct object *obj = find_param(c, report ? KIND_REPORT : KIND_EXPORT,
                                    report ? "report_uid" : "export_id");
    if (obj == NULL)
        return;
    store_set_text(obj, "status", "done");
    store_set(obj, "progress", json_integer(100));
    answer_object(c, obj);
}

static void delete_folder(struct call *c)
{
    struct object *rsf = find_param(c, KIND_FOLDER, "message_template_folder_id");
    if (rsf == NULL)
        return;
    answer_accepted(c, NULL);
    (void)json_object_set_new(c->answer, "message_template_folder_id",
                              json_string(rsf->id));
    store_remove(&c->sb->store, rsf);
}

static void create_time_off(struct call *c)
{
    struct object *tea = find_param(c, KIND_TEAMMATE, "teammate_id");
    if (tea == NULL)
        return;
    struct object *vcr = store_add(&c->sb->store, KIND_TIME_OFF, NULL);
    struct object *tim = store_related(tea, REL_MEMBER, KIND_TEAM, true);
    absorb(c, vcr);
    (void)store_join(tea, REL_OWNS, vcr);
    if (tim != NULL)
        (void)store_join(tim, REL_OWNS, vcr);
    answer_object(c, vcr);
}

/* Articles call their name `subject`; one content serves all locales. */
static void knowledge_write(struct call *c, struct object *obj)
{
    const char *subject = call_text(c, "subject"), *locale = NULL;
    const struct object *author = author_of(c);
    absorb(c, obj);
    if (subject != NULL)
        store_set_text(obj, "name", subject);
    if (author != NULL)
        store_set_text(obj, "_author", author->id);
    for (size_t i = 0; i < c->op->n_segments; i++)
        if (c->op->params[i] != NULL && strcmp(c->op->params[i], "locale") == 0)
            locale = c->segments[i];
    if (locale != NULL || json_object_get(obj->own, "locale") == NULL)
        store_set_text(obj, "locale", locale != NULL ? locale : "en");
    store_set(obj, "last_edited_at", json_real(sandbox_now(c->sb)));
}

static void knowledge_content(struct call *c)
{
    struct object *obj = find_param(c, kind_of_param(c->op->params[1]), c->op->params[1]);
    if (obj == NULL)
        return;
    if (strcmp(c->method, "GET") != 0)
        knowledge_write(c, obj);
    answer_object(c, obj);
}

static void knowledge_create(struct call *c)
{
    struct object *knb = NULL, *parent = NULL;
    const char *last = c->op->segments[c->op->n_segments - 1];
    enum kind kind = KIND_KNOWLEDGE_BASE;
    if (c->op->n_segments > 1) {
        kind = strcmp(last, "articles") == 0 ? KIND_ARTICLE : KIND_CATEGORY;
        knb = find_param(c, KIND_KNOWLEDGE_BASE, "knowledge_base_id");
        if (knb == NULL)
            return;
    }
    struct object *obj = store_add(&c->sb->store, kind, NULL);
    knowledge_write(c, obj);
    store_set_text(obj, "slug", obj->id);
    store_set(obj, "locales", json_pack("[s]", store_text(obj, "locale")));
    if (knb != NULL)
        (void)store_join(knb, REL_HAS, obj);
    if (call_text(c, "category_id") != NULL)
        parent = find_object(c->sb, KIND_CATEGORY, call_text(c, "category_id"));
    if (parent != NULL)
        (void)store_join(parent, REL_HAS, obj);
    answer_object(c, obj);
}

static struct object *by_external(struct call *c, enum kind kind, const char *external)
{
    struct object *obj = store_by_alias(&c->sb->store, kind, "ext", external);
    if (obj == NULL)
        call_unknown(c, kind, external);
    return obj;
}

static void create_call(struct call *c)
{
    const char *external = call_text(c, "external_call_id");
    struct object *cha = find_param(c, KIND_CHANNEL, "channel_id");
    if (cha == NULL || external == NULL)
        return;
    struct object *obj = store_by_alias(&c->sb->store, KIND_CALL, "ext", external);
    if (obj == NULL) {
        obj = store_add(&c->sb->store, KIND_CALL, NULL);
        (void)store_alias(&c->sb->store, obj, "ext", external);
        (void)store_join(cha, REL_HAS, obj);
    }
    (void)json_object_update(obj->own, c->json);
}

static void change_call(struct call *c)
{
    struct object *cha = find_param(c, KIND_CHANNEL, "channel_id");
    struct object *obj =
        cha != NULL ? by_external(c, KIND_CALL, call_param(c, "external_call_id")) : NULL;
    if (obj != NULL && c->json != NULL)
        (void)json_object_update(obj->own, c->json);
}

static void app_template(struct call *c)
{
    struct object *cha = find_param(c, KIND_CHANNEL, "channel_id"), *obj = NULL;
    const char *external = call_param(c, "external_id");
    if (cha == NULL)
        return;
    if (external != NULL) {
        obj = by_external(c, KIND_APP_TEMPLATE, external);
        if (obj == NULL)
            return;
    } else {
        external = call_text(c, "external_id");
        obj = store_by_alias(&c->sb->store, KIND_APP_TEMPLATE, "ext", external);
    }
    if (obj == NULL) {
        obj = store_add(&c->sb->store, KIND_APP_TEMPLATE, NULL);
        (void)store_alias(&c->sb->store, obj, "ext", external);
    }
    (void)json_object_update(obj->own, c->json);
    c->answer = json_pack("{s:I}", "template_id", (json_int_t)obj->seq);
    snprintf(c->made_id, sizeof c->made_id, "%s", obj->id);
}

static const struct handler handlers[] = {
    {"api-token-details", me},
    {"validate-channel", accepted},
    {"trigger-app-event", nothing},
    {"update-channel", update_channel},
    {"update-channel-status", on_channel},
    {"update-external-message-status", on_channel},
    {"create-a-channel", create_channel},
    {"create-analytics-export", create_analytics},
    {"create-analytics-report", create_analytics},
    {"get-analytics-export", get_analytics},
    {"get-analytics-report", get_analytics},
    {"delete-folder", delete_folder},
    {"create-time-off", create_time_off},
    {"create-call", create_call},
    {"update-call", change_call},
    {"add-call-recording", change_call},
    {"add-call-summary", change_call},
    {"add-call-transcript", change_call},
    {"sync-application-message-template", app_template},
    {"update-application-message-template", app_template},
};

operation_fn *handler_other(const char *operation)
{
    if (strncmp(operation, "download-attachment", 19) == 0)
        return download;
    if (strstr(operation, "content-in-") != NULL)
        return knowledge_content;
    if (strncmp(operation, "update-knowledge-base", 21) == 0)
        return knowledge_content;
    if (strncmp(operation, "create-article-in-a-knowledge-base", 34) == 0 ||
        strncmp(operation, "create-knowledge-base-category", 30) == 0 ||
        strcmp(operation, "create-a-knowledge-base") == 0)
        return knowledge_create;
    for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++)
        if (strcmp(handlers[i].operation, operation) == 0)
            return handlers[i].run;
    return NULL;
}
