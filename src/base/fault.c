#include "base/fault.h"

#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/env.h"

#define POINT_BYTES 64

/* Written while one thread runs; left is the only part that others change. */
static struct {
    bool armed;
    char point[POINT_BYTES];
    int err;
    atomic_int left; /* hits until the failing one */
    atomic_int fired;
} plan;

void fault_arm(const char *point, int n, int err)
{
    (void)snprintf(plan.point, sizeof plan.point, "%s", point);
    plan.err = err;
    atomic_store(&plan.left, n);
    atomic_store(&plan.fired, 0);
    plan.armed = true;
}

int fault_disarm(void)
{
    plan.armed = false;
    return atomic_load(&plan.fired);
}

bool fault_hit(const char *point)
{
    if (!plan.armed)
        return false;
    if (strcmp(plan.point, "*") != 0 && strcmp(plan.point, point) != 0)
        return false;
    if (atomic_fetch_sub(&plan.left, 1) != 0)
        return false;
    atomic_fetch_add(&plan.fired, 1);
    errno = plan.err;
    return true;
}

/* "point:n:errno"; anything else arms nothing. */
void fault_from_env(void)
{
    const char *spec = env_get("TRANCHE_FAULT");
    const char *colon = spec ? strchr(spec, ':') : NULL;
    char point[POINT_BYTES];
    char *end;

    if (!colon || (size_t)(colon - spec) >= sizeof point)
        return;
    memcpy(point, spec, (size_t)(colon - spec));
    point[colon - spec] = '\0';
    long n = strtol(colon + 1, &end, 10);
    if (*end != ':' || n < 0 || n > INT_MAX)
        return;
    long err = strtol(end + 1, &end, 10);
    if (*end == '\0' && err > 0 && err <= INT_MAX)
        fault_arm(point, (int)n, (int)err);
}
