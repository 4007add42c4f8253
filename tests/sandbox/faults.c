/* The list of faults. They are tried in the order they were set; one with count 0 left is
 * gone. */
#include "faults.h"

#include <string.h>

#include "base/mem.h"

static const char *const fault_names[] = {"none",    "timeout",      "reset", "half",
                                          "garbage", "garbage_head", "large", "slow",
                                          "503html", "status"};
#define FAULT_NAMES (sizeof fault_names / sizeof fault_names[0])

/* Answers that begin like a success follow an execution unless it is said otherwise. */
static bool executes_by_itself(enum fault_kind kind)
{
    return kind == FAULT_HALF || kind == FAULT_GARBAGE || kind == FAULT_LARGE ||
           kind == FAULT_SLOW;
}

void faults_init(struct faults *fs)
{
    TAILQ_INIT(&fs->list);
}

static void fault_free(struct faults *fs, struct fault *ft)
{
    TAILQ_REMOVE(&fs->list, ft, link);
    mem_free(ft->operation);
    mem_free(ft->match);
    mem_free(ft);
}

void faults_clear(struct faults *fs)
{
    while (!TAILQ_EMPTY(&fs->list))
        fault_free(fs, TAILQ_FIRST(&fs->list));
}

static char *text_copy(const json_t *body, const char *name)
{
    const char *text = json_string_value(json_object_get(body, name));
    return text != NULL && text[0] != '\0' ? mem_strdup(text) : NULL;
}

static double number_or(const json_t *body, const char *name, double preset)
{
    const json_t *j = json_object_get(body, name);
    return json_is_number(j) ? json_number_value(j) : preset;
}

int faults_add(struct faults *fs, const json_t *body, struct err *e)
{
    const char *name = json_string_value(json_object_get(body, "fault"));
    int status = (int)number_or(body, "status", 0);
    enum fault_kind kind = FAULT_NONE;
    const json_t *after = json_object_get(body, "after_execution");
    for (size_t i = 1; name != NULL && i < FAULT_NAMES; i++)
        if (strcmp(name, fault_names[i]) == 0)
            kind = (enum fault_kind)i;
    if (name == NULL && (status >= 200 && status <= 599))
        kind = FAULT_STATUS;
    if (kind == FAULT_NONE)
        return err_set(e, ERR_INPUT,
                       "give status (200-599) or fault: timeout, reset, half, garbage, "
                       "garbage_head, large, slow, 503html");
    struct fault *ft = mem_zalloc(sizeof *ft);
    ft->kind = kind;
    ft->status = status != 0 ? status : 500;
    ft->operation = text_copy(body, "operation");
    ft->match = text_copy(body, "match");
    ft->probability = number_or(body, "probability", 1);
    ft->retry_after = number_or(body, "retry_after", ft->status == 429 ? 1 : -1);
    ft->count = (int64_t)number_or(body, "count", -1);
    ft->delay_ms = (int64_t)number_or(body, "delay_ms", kind == FAULT_SLOW ? 2000 : 0);
    ft->after_execution = after != NULL ? json_is_true(after) : executes_by_itself(kind);
    TAILQ_INSERT_TAIL(&fs->list, ft, link);
    return 0;
}

json_t *faults_dump(const struct faults *fs)
{
    json_t *all = json_array();
    const struct fault *ft;
    TAILQ_FOREACH (ft, &fs->list, link)
        (void)json_array_append_new(
            all, json_pack("{s:s?, s:s?, s:s, s:i, s:f, s:I, s:I, s:b, s:I}", "operation",
                           ft->operation, "match", ft->match, "fault",
                           fault_names[ft->kind], "status", ft->status, "probability",
                           ft->probability, "count", (json_int_t)ft->count, "delay_ms",
                           (json_int_t)ft->delay_ms, "after_execution",
                           (int)ft->after_execution, "used", (json_int_t)ft->used));
    return all;
}

const struct fault *faults_draw(struct faults *fs, const char *operation, const char *uri,
                                const char *body, double dice)
{
    struct fault *ft;
    TAILQ_FOREACH (ft, &fs->list, link) {
        if (ft->count == 0 || dice >= ft->probability)
            continue;
        if (ft->operation != NULL && strcmp(ft->operation, operation) != 0)
            continue;
        if (ft->match != NULL && strstr(uri, ft->match) == NULL &&
            (body == NULL || strstr(body, ft->match) == NULL))
            continue;
        if (ft->count > 0)
            ft->count--;
        ft->used++;
        return ft;
    }
    return NULL;
}
