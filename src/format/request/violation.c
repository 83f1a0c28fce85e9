#include "format/request/violation.h"

#include <string.h>

struct violation *violations_add(struct violations *all)
{
    unsigned slot = all->count < VIOLATIONS_PER_LINE_MAX ? all->count : VIOLATIONS_PER_LINE_MAX;
    struct violation *v = &all->item[slot];

    all->count++;
    memset(v, 0, sizeof *v);
    return v;
}

unsigned violations_held(const struct violations *all)
{
    return all->count < VIOLATIONS_PER_LINE_MAX ? all->count : VIOLATIONS_PER_LINE_MAX;
}
