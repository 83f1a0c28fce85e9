/* known_input.h -- what ingest learnt of a run's input, kept while the run is not finished.
 *
 * Why: a run that is taken up again must not read and parse its whole input again before its first request;
 * and when the input was edited meanwhile, the answers that the run has are found by what was asked
 * (keep.h).
 *
 * Shape:   the index of the lines (engine/lines/line_index.h) is runs/KEY/lines.index, and a link to it is
 *          inputs/HASH. HASH is a digest of what the input is recognised by (device, inode, size and times of
 *          each file) and of all else that ingest's findings depend on: options, model, version.
 *          look before ingest, keep when the run's folder is known and its findings are in the spool,
 *          release at the end.
 * Trust:   a file that was written in the last two seconds may be written again within the same tick of its times:
 *          it gets no link. Each shard is checked against its digest when it is read, so the worst that a wrong
 *          link can do is an end with "changed"; known_input_forget then removes the link.
 * Errors:  none: without an index the input is read.
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_RUN_KNOWN_INPUT_H
#define TRANCHE_APP_RUN_KNOWN_INPUT_H

#include "app/run/local_job.h"

#define LINES_INDEX "lines.index" /* in the run's folder */

struct known_input {
    const char *link; /* inputs/HASH; NULL: the input is not recognised later */
    const char *made; /* where ingest writes the index; NULL: it is loaded, or kept already */
    bool loaded;
};
/* Loads what is known into j->ingest, or says in j->rules where ingest is to write it. j->rules is set but for
 * that. */
void known_input_look(struct known_input *k, struct local_job *j);
/* The run's folder, whose lock is held, keeps the index. */
void known_input_keep(struct known_input *k, const char *run_dir);
void known_input_forget(const struct known_input *k);
/* Removes an index that was not kept. */
void known_input_release(struct known_input *k);

#endif
