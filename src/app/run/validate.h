/* validate.h -- `tranche validate`, and `run --dry-run`, which is the same.
 *
 * Why: both must find the same faults and estimate alike.
 *
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_RUN_VALIDATE_H
#define TRANCHE_APP_RUN_VALIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "app/cli/command.h"
#include "app/run/local_job.h"

struct validate_wish {
    struct local_wish who;
    const char *log_format;
    uint64_t limit;
    bool json, quiet;
    bool from_output; /* the input is an earlier output, as for --retry-failed */
    const char *const *path;
    uint32_t path_count;
};
enum exit_code validate(const struct validate_wish *w);

#endif
