#include "base/env.h"

#include <stdlib.h>

const char *env_get(const char *name)
{
    const char *value = getenv(name); // NOLINT(concurrency-mt-unsafe): nothing sets variables

    return value && *value ? value : NULL;
}
