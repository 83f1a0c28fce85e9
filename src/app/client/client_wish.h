/* client_wish.h -- what a submitter asks of a job beyond Google's resource: the key "tranche".
 *
 * Why: `submit` and `resume` take the same limits (but the priority, which stays); they are checked as far as a number can be wrong
 * by itself, and the service checks the rest.
 *
 * Errors:  INVALID_ARGUMENT naming the option.
 * Threads: none.
 */
#ifndef TRANCHE_APP_CLIENT_CLIENT_WISH_H
#define TRANCHE_APP_CLIENT_CLIENT_WISH_H

#include "app/cli/command.h"
#include "base/json_write.h"

struct wish {
    const char *budget_usd, *max_error_rate, *priority;
    uint64_t budget_tokens;
};
// clang-format off
#define WISH_OPTIONS \
    OPT_TEXT("budget-usd", 0, wish.budget_usd, "X", "pause when so much is spent, at the batch price"), \
    OPT_COUNT("budget-tokens", 0, wish.budget_tokens, 1, INT64_MAX, "pause when so many tokens, prompt and generated, are used"), \
    OPT_TEXT("max-error-rate", 0, wish.max_error_rate, "X", "pause when a larger share of the lines failed, 0 to 1")
#define PRIORITY_OPTION \
    OPT_TEXT("priority", 0, wish.priority, "N", "higher goes first within the project; 0 is usual")
// clang-format on

bool wish_given(const struct wish *w);
int wish_check(const struct wish *w, struct error *e) FALLIBLE;
/* The members that were given. */
void wish_write(const struct wish *w, struct json_writer *out);

#endif
