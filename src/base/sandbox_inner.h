/* sandbox_inner.h -- what a parent tells a child that it starts: one argument of the command line.
 *
 * Threads: none, after sandbox_entry.
 */
#ifndef TRANCHE_BASE_SANDBOX_INNER_H
#define TRANCHE_BASE_SANDBOX_INNER_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/sandbox.h"

#define SANDBOX_ARGUMENT                                                                           \
    "--in-a-sandbox" /* the hidden mode; the next argument is the mode's text */
#define SANDBOX_ROLE_BYTES 32
#define SANDBOX_MODE_BYTES 160

void sandbox_mode_write(const struct sandbox_spec *spec, pid_t parent,
                        char mode[SANDBOX_MODE_BYTES]);
/* True in a program whose main can become a child. */
bool sandbox_has_entry(void);

#endif
