/* job_limits.h -- limits of a job beyond Google's resource, and its priority, the key "tranche".
 *
 * Why: `submit` and `resume` take the same limits; only `submit` takes a priority. Each is checked as far
 * as a number can be wrong by itself; the service checks the rest.
 *
 * Errors:  INVALID_ARGUMENT naming the option.
 * Threads: none.
 */
#ifndef TRANCHE_APP_CLIENT_JOB_LIMITS_H
#define TRANCHE_APP_CLIENT_JOB_LIMITS_H

#include "app/cli/command.h"
#include "base/json_write.h"

struct job_limits {
    const char *budget_usd, *max_error_rate, *priority;
    uint64_t budget_tokens;
};
// clang-format off
#define JOB_LIMIT_OPTIONS \
    OPT_TEXT("budget-usd", 0, job.budget_usd, "X", "pause when this much is spent, at the batch price"), \
    OPT_COUNT("budget-tokens", 0, job.budget_tokens, 1, INT64_MAX, "pause when this many tokens, prompt and generated, are used"), \
    OPT_TEXT("max-error-rate", 0, job.max_error_rate, "X", "pause when a larger share of the lines failed, 0 to 1")
#define PRIORITY_OPTION \
    OPT_TEXT("priority", 0, job.priority, "N", "order within the project: higher goes first (default 0)")
// clang-format on

bool job_limits_given(const struct job_limits *o);
int job_limits_check(const struct job_limits *o, struct error *e) FALLIBLE;
/* The members that were given. */
void job_limits_write(const struct job_limits *o, struct json_writer *w);

#endif
