/* Ids and aliases as they stand in requests, to objects. Magic ids are made when first
 * named. */
#include <string.h>

#include "base/mem.h"

#include "sandbox.h"

enum kind kind_of_prefix(const char *id)
{
    for (size_t i = 0; i < KINDS; i++)
        if (strncmp(id, kinds[i].prefix, 3) == 0 && id[3] == '_')
            return (enum kind)i;
    return KIND_NONE;
}

struct param_row {
    const char *name;
    enum kind kind;
};

static const struct param_row param_rows[] = {
    {"account_id", KIND_ACCOUNT},
    {"article_id", KIND_ARTICLE},
    {"assignee_id", KIND_TEAMMATE},
    {"attachment_id", KIND_FILE},
    {"attachment_link_id", KIND_FILE},
    {"author_id", KIND_TEAMMATE},
    {"category_id", KIND_CATEGORY},
    {"channel_id", KIND_CHANNEL},
    {"comment_id", KIND_COMMENT},
    {"contact_group_id", KIND_CONTACT_LIST},
    {"contact_id", KIND_CONTACT},
    {"contact_ids", KIND_CONTACT},
    {"contact_list_id", KIND_CONTACT_LIST},
    {"conversation_id", KIND_CONVERSATION},
    {"draft_id", KIND_MESSAGE},
    {"export_id", KIND_EXPORT},
    {"folder_id", KIND_FOLDER},
    {"inbox_id", KIND_INBOX},
    {"inbox_ids", KIND_INBOX},
    {"knowledge_base_id", KIND_KNOWLEDGE_BASE},
    {"link_id", KIND_LINK},
    {"link_ids", KIND_LINK},
    {"message_id", KIND_MESSAGE},
    {"message_template_folder_id", KIND_FOLDER},
    {"message_template_id", KIND_TEMPLATE},
    {"parent_category_id", KIND_CATEGORY},
    {"parent_folder_id", KIND_FOLDER},
    {"parent_tag_id", KIND_TAG},
    {"report_uid", KIND_REPORT},
    {"rule_id", KIND_RULE},
    {"shift_id", KIND_SHIFT},
    {"signature_id", KIND_SIGNATURE},
    {"status_id", KIND_STATUS},
    {"tag_id", KIND_TAG},
    {"tag_ids", KIND_TAG},
    {"target_contact_id", KIND_CONTACT},
    {"team_id", KIND_TEAM},
    {"team_ids", KIND_TEAM},
    {"teammate_group_id", KIND_TEAMMATE_GROUP},
    {"teammate_id", KIND_TEAMMATE},
    {"teammate_ids", KIND_TEAMMATE},
    {"time_off_id", KIND_TIME_OFF},
    {"view_id", KIND_VIEW},
};

enum kind kind_of_param(const char *param)
{
    for (size_t i = 0; i < sizeof param_rows / sizeof param_rows[0]; i++)
        if (strcmp(param_rows[i].name, param) == 0)
            return param_rows[i].kind;
    return KIND_NONE;
}

/* alt:<name>:<value>; the value may have colons. */
static struct object *find_alias(const struct sandbox *sb, enum kind kind,
                                 const char *text)
{
    char name[32];
    const char *colon = strchr(text, ':');
    if (colon == NULL || (size_t)(colon - text) >= sizeof name)
        return NULL;
    snprintf(name, sizeof name, "%.*s", (int)(colon - text), text);
    return store_by_alias(&sb->store, kind, name, colon + 1);
}

struct object *find_object(struct sandbox *sb, enum kind kind, const char *id)
{
    struct object *obj = NULL;
    enum magic magic;
    if (strncmp(id, "alt:", 4) == 0)
        obj = find_alias(sb, kind, id + 4);
    else
        obj = store_find(&sb->store, kind, id);
    if (obj != NULL)
        return obj->visible_ms > sandbox_ms(sb) ? NULL : obj;
    magic = magic_of(id);
    if (magic == MAGIC_NONE || magic == MAGIC_404 || kind_of_prefix(id) != kind)
        return NULL;
    obj = seed_one(sb, kind, id, 0);
    obj->hidden = true;
    return obj;
}

static struct object *find_or_say(struct call *c, enum kind kind, const char *id)
{
    struct object *obj = id != NULL ? find_object(c->sb, kind, id) : NULL;
    if (obj == NULL)
        call_unknown(c, kind, id != NULL ? id : "");
    return obj;
}

struct object *find_param(struct call *c, enum kind kind, const char *param)
{
    return find_or_say(c, kind, call_param(c, param));
}

struct object *find_field(struct call *c, enum kind kind, const char *name)
{
    return find_or_say(c, kind, call_text(c, name));
}
