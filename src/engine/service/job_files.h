/* job_files.h -- the files that a request names, out of the object store: under its caller's rights.
 *
 * Why: a predictor that must send a file along knows nothing of stores and projects.
 *
 * Errors:  NOT_FOUND for what is not there or another project's, RESOURCE_EXHAUSTED over the limit.
 * Threads: read is called from any.
 */
#ifndef TRANCHE_ENGINE_SERVICE_JOB_FILES_H
#define TRANCHE_ENGINE_SERVICE_JOB_FILES_H

#include <stdatomic.h>

#include "format/request/request.h"
#include "store/store.h"

struct job_files {
    struct file_source source;   /* what requests point to */
    struct file_digests digests; /* what their files hold, for the keys of kept answers */
    struct store *store;
    const char *project; /* NULL: all may be read */
    int64_t since_us;    /* when the job was created */
    atomic_bool
        changed; /* an object is newer: its answers cannot be kept, as another content may have had them */
};
/* f must stay while requests are open. */
void job_files_init(struct job_files *f, struct store *s, const char *project, int64_t since_us);

#endif
