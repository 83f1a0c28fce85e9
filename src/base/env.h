/* env.h -- the environment of the process.
 *
 * Why: a variable that is set to nothing counts as unset, in every part of the program; no other file
 * reads the environment.
 *
 * Threads: all; nothing changes the environment after the start.
 */
#ifndef TRANCHE_BASE_ENV_H
#define TRANCHE_BASE_ENV_H

/* The value of a variable; NULL when it is unset or empty. */
const char *env_get(const char *name);

#endif
