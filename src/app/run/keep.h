/* keep.h -- a run's use of kept answers: what it may use again, and what it leaves.
 *
 * Why: an answer is paid once (store/kept). Nothing of a run depends on it: what cannot be kept or used is
 * a warning, and is asked for.
 *
 * Shape:   keep_begin before the work, keep_finish when the output is complete. The folder is ROOT/kept.
 *          A run of this command that was interrupted, and whose input, limit or output is another now, is
 *          adopted by keep_begin: its spool becomes one of the kept ones, and it begins anew if it is ever run
 *          again.
 * Errors:  none reach the caller but a wrong age.
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_RUN_KEEP_H
#define TRANCHE_APP_RUN_KEEP_H

#include "app/run/local_job.h"
#include "engine/lines/ledger.h"
#include "engine/lines/render.h"
#include "store/kept/kept.h"

struct keeping {
    const char *folder;
    struct reuse reuse;
    struct kept_writer *writer; /* NULL: nothing is kept */
    uint64_t bytes_max;         /* 0: neither kept nor used */
};

/* "30d", "12h", "45m", "90s" in microseconds. */
int keep_age(const char *text, int64_t *us, struct error *e) FALLIBLE;
/* The folder of the kept answers, in the arena. */
const char *keep_folder(struct arena *a, const char *state_root);

struct keep_options {
    bool fresh;      /* use none */
    bool none;       /* keep none */
    const char *age; /* use none that is older; NULL: as old as they get */
    /* Whose interrupted runs are adopted; the output and the folder of this one. */
    const char *command, *output, *own_dir;
};
int keep_begin(struct keeping *k, struct local_job *j, const struct keep_options *o,
               struct error *e) FALLIBLE;
/* Seals the spool: it is only to be closed then. about: the finished run as JSON. */
void keep_finish(struct keeping *k, struct spool *s, const struct render *r, struct str about,
                 const struct terminal *t);
void keep_release(struct keeping *k);

#endif
