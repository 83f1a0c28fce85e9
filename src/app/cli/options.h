/* options.h -- the arguments of one command, read by its option table.
 *
 * Why: every command takes its options in the same way, says what is wrong in the same words, and
 * checks every number.
 *
 * Shape:   options may stand before, between and after arguments; "--" ends them; "-" is an
 *          argument; a long name may be cut while it stays unique. The last one
 *          wins, but for a list, which takes all.
 * Errors:  INVALID_ARGUMENT in the user's words, with the nearest name for an unknown one.
 * Threads: the main thread: getopt_long keeps global state.
 */
#ifndef TRANCHE_APP_CLI_OPTIONS_H
#define TRANCHE_APP_CLI_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "app/cli/command.h"
#include "base/error.h"
#include "base/str.h"

/* argv[0] is the command's name. */
int options_parse(const struct command *c, int argc, char **argv, struct arguments *out,
                  struct error *e) FALLIBLE;
void options_release(struct arguments *a);

/* The nearest of the words that were offered, when it is near enough to be meant. */
struct nearest {
    const char *word, *best;
    unsigned distance;
};
void nearest_offer(struct nearest *n, const char *candidate);

#endif
