/* The system's clocks behind struct clock. Owns nothing. */
#include "base/clock.h"

#include <stdlib.h>
#include <time.h>

static int64_t read_ms(clockid_t id)
{
    struct timespec ts;

    if (clock_gettime(id, &ts) != 0)
        abort(); /* a clock every Linux has */
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

static int64_t system_now(void *arg)
{
    (void)arg;
    return read_ms(CLOCK_MONOTONIC);
}

static int64_t system_boot(void *arg)
{
    (void)arg;
    return read_ms(CLOCK_BOOTTIME);
}

static int64_t system_wall(void *arg)
{
    (void)arg;
    return read_ms(CLOCK_REALTIME);
}

const struct clock clock_system = {system_now, system_boot, system_wall, NULL};
