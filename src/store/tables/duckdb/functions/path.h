/* path.h -- JSON paths of GoogleSQL: $.a."b c"[0], and $['a'] of the older functions.
 *
 * Errors:  false: the text is not a path.
 * Threads: none.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_PATH_H
#define TRANCHE_STORE_TABLES_DUCKDB_FUNCTIONS_PATH_H

#include "base/json.h"

#define PATH_STEPS_MAX 64

struct path_step {
    struct str key; /* p NULL: an index */
    uint64_t index;
};
struct path {
    struct path_step step[PATH_STEPS_MAX];
    uint32_t count;
};

bool path_read(struct str text, struct path *out);
/* NULL: nothing is there. */
yyjson_val *path_find(yyjson_val *v, const struct path *p);

#endif
