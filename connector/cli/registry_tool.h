/* The schema registry for subcommands that have no loop of their own. */
#ifndef CLI_REGISTRY_TOOL_H
#define CLI_REGISTRY_TOOL_H

#include "cli/launch.h"

struct registry_tool {
    struct loop *lo;
    struct registry_link *rl; /* NULL: there is no registry */
};

/* From now on `ss` knows the registry of the settings. */
int registry_tool_open(struct registry_tool *rt, const struct launch *l,
                       struct schemas *ss, struct err *e);
void registry_tool_close(struct registry_tool *rt); /* before the schemas are freed */
/* Before a record is read: waits for the schema it was written with, not for long. */
void registry_tool_learn(struct registry_tool *rt, struct str value);

/* A schema of ours and where it belongs. */
struct subject {
    const char *full_name;
    char *topic; /* mem_free */
    bool needed; /* without it `run` does not begin */
};
/* Those of all outputs, and of commands as front.Command. Each topic and name is there
 * once. mem_free what it returns. */
struct subject *subjects_all(const struct settings *s, size_t *n);
void subjects_free(struct subject *all, size_t n);

#endif
