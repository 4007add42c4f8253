/* For tests of what works in an arena: one that is new in every test. */
#ifndef TESTS_UNIT_ARENA_HELP_H
#define TESTS_UNIT_ARENA_HELP_H

#include "base/mem.h"
#include "support.h"

static struct arena arena;

static int setup(void **state)
{
    (void)state;
    arena_init(&arena, 0);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    arena_fini(&arena);
    return 0;
}

#endif
