/* check_input.h -- the input of a PENDING job: objects, a file, a table or the lines of its retry, found and pinned.
 *
 * Why: a job reads what stood there when it was checked, whatever happens to the names afterwards.
 *
 * Errors:  as clients see them: INVALID_ARGUMENT and NOT_FOUND for what is not there, FAILED_PRECONDITION for its bucket; of the
 *          store.
 * Threads: a checker's; calls wait for disks and networks.
 */
#ifndef TRANCHE_ENGINE_SERVICE_CHECK_INPUT_H
#define TRANCHE_ENGINE_SERVICE_CHECK_INPUT_H

#include "base/mem.h"
#include "format/job/job.h"

/* The beginning of an error about an input. */
#define WHERE_TO_LOOK                                                                              \
    "Failed to import data. Please check 'Prepare input' section in "                              \
    "https://cloud.google.com/vertex-ai/generative-ai/docs/multimodal/"                            \
    "batch-prediction-from-cloud-storage"

struct service;
/* Finds what the job reads, and names it in the store. */
int check_input_find(struct service *s, struct arena *a, const struct job *j,
                     struct error *e) FALLIBLE;

#endif
