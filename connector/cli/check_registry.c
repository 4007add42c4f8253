/* Is the registry reached, does it have the schemas of what we write, and may they follow
 * what it has? One line for each URL and each subject that `run` needs, one for all that
 * lists need. */
#include "cli/check_registry.h"

#include <string.h>

#include "base/mem.h"
#include "cli/registry_tool.h"
#include "codec/registry.h"

static const char *registry_check = "registry";
static const char *subject_check = "subject";

struct asker {
    struct preflight *p;
    struct registry_link *rl;
    struct schemas *ss;
    size_t url; /* one that answers */
    struct arena a;
};

/* How many answer. */
static size_t ask_urls(struct asker *as)
{
    const struct registry_link_options *o = &as->p->launch->registry;
    size_t reached = 0;

    for (size_t i = o->n; i-- > 0;) {
        struct registry_about about = {.id = 0};
        struct registry_reply reply;

        registry_ask_wait(as->rl, i, ASK_SUBJECTS, &about, &as->a, &reply);
        if (reply.said == SAID_YES) {
            reached++;
            as->url = i;
        }
        preflight_say(as->p,
                      reply.said == SAID_YES ? CHECK_OK
                      : o->n > 1             ? CHECK_WARN
                                             : CHECK_FAIL,
                      registry_check, o->urls[i],
                      reply.said == SAID_YES
                          ? NULL
                          : "see that it runs, that the URL has its path (such as "
                            "/apis/ccompat/v7) and that schemas.registry.* are right",
                      "%s", reply.said == SAID_YES ? "reached" : reply.why);
        if (o->username && strncmp(o->urls[i], "http:", 5) == 0)
            preflight_say(as->p, CHECK_WARN, registry_check, o->urls[i], "use https",
                          "the password crosses the network in the clear");
    }
    return reached;
}

static struct registry_reply ask(struct asker *as, enum registry_question q,
                                 const struct subject *sj)
{
    const struct settings *s = as->p->s;
    char *name = registry_subject((enum registry_subjects)s->schemas_subject_strategy,
                                  sj->topic, sj->full_name);
    struct registry_about about = {
        .subject = name, .schema = schema_text(schemas_xget(as->ss, sj->full_name))};
    struct registry_reply reply;

    registry_ask_wait(as->rl, as->url, q, &about, &as->a, &reply);
    mem_free(name);
    return reply;
}

static struct registry_reply look_up(struct asker *as, const struct subject *sj)
{
    struct registry_reply reply = ask(as, ASK_NORMALIZED, sj);

    return reply.said == SAID_NO || reply.said == SAID_REFUSED ? ask(as, ASK_AS_IS, sj)
                                                               : reply;
}

/* It is not there: may it be registered? */
static void judge_missing(struct asker *as, const struct subject *sj, const char *name)
{
    struct registry_reply reply = ask(as, ASK_COMPATIBLE, sj);
    bool registers = as->p->s->schemas_register;

    if (reply.said == SAID_NO)
        preflight_say(as->p, CHECK_FAIL, subject_check, name,
                      "see who else writes to this subject, or change its compatibility",
                      "%s may not follow what is there: %s", sj->full_name, reply.why);
    else if (registers)
        preflight_say(as->p, CHECK_OK, subject_check, name, NULL,
                      "lacks %s; `run` registers it", sj->full_name);
    else
        preflight_say(as->p, CHECK_FAIL, subject_check, name,
                      "run `front-connector schema register`, or set schemas.register = "
                      "true",
                      "lacks %s: `run` would wait for it", sj->full_name);
}

static void judge_needed(struct asker *as, const struct subject *sj)
{
    struct registry_reply reply = look_up(as, sj);
    char *name =
        registry_subject((enum registry_subjects)as->p->s->schemas_subject_strategy,
                         sj->topic, sj->full_name);

    if (reply.said == SAID_YES)
        preflight_say(as->p, CHECK_OK, subject_check, name, NULL, "has %s, id %d",
                      sj->full_name, (int)reply.id);
    else if (reply.said == SAID_NOTHING)
        preflight_say(as->p, CHECK_FAIL, subject_check, name,
                      "see that its user may read subjects", "%s", reply.why);
    else
        judge_missing(as, sj, name);
    mem_free(name);
}

/* The others: a list needs only its own. */
static void judge_all(struct asker *as)
{
    size_t n, there = 0, asked = 0;
    struct subject *all = subjects_all(as->p->s, &n);

    for (size_t i = 0; i < n; i++) {
        if (all[i].needed) {
            judge_needed(as, &all[i]);
        } else {
            asked++;
            there += look_up(as, &all[i]).said == SAID_YES;
        }
    }
    preflight_say(as->p,
                  there == asked || as->p->s->schemas_register ? CHECK_OK : CHECK_SKIP,
                  subject_check, "others",
                  there == asked || as->p->s->schemas_register
                      ? NULL
                      : "`front-connector schema register` makes them all",
                  "%zu of %zu are there%s", there, asked,
                  there == asked               ? ""
                  : as->p->s->schemas_register ? "; a list registers its own"
                                               : "; a list without its own is REJECTED");
    subjects_free(all, n);
}

void check_registry(struct preflight *p)
{
    struct asker as = {.p = p};
    struct registry_tool rt;
    struct err e = ERR_INIT;

    if (p->launch->registry.n == 0) {
        preflight_say(p, CHECK_SKIP, registry_check, "schemas.registry.url", NULL,
                      "none: records are single objects of Avro");
        return;
    }
    arena_init(&as.a, 0);
    as.ss = schemas_new(NULL, &e);
    if (registry_tool_open(&rt, p->launch, as.ss, &e) == 0) {
        as.rl = rt.rl;
        if (ask_urls(&as) > 0)
            judge_all(&as);
        else
            preflight_say(p, CHECK_FAIL, subject_check, "", NULL,
                          "not asked: no registry is reached");
    } else {
        preflight_say(p, CHECK_FAIL, registry_check, "schemas.registry.url", NULL, "%s",
                      e.text);
    }
    registry_tool_close(&rt);
    schemas_free(as.ss);
    arena_fini(&as.a);
}
