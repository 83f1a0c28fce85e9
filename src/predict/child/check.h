/* check.h -- what a GGUF file is, found out by a process of its own.
 *
 * Why: a file that is to be judged is the least trusted of all; libllama may abort on it.
 *
 * Errors:  those of model_check; FAILED_PRECONDITION with how the process ended, or that it was ended after
 *          CHECK_MS.
 * Threads: any.
 */
#ifndef TRANCHE_PREDICT_CHILD_CHECK_H
#define TRANCHE_PREDICT_CHILD_CHECK_H

#include "predict/model_check.h"

#define CHECK_MS 60000

/* The role of the process, for sandbox_entry. */
#define CHECK_ROLE "check"
int check_main(uint32_t fd_count);

int model_check_apart(const char *path, struct model_facts *out, struct error *e) FALLIBLE;

#endif
