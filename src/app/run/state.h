/* state.h -- where a run keeps what makes it resumable, and how a finished run is remembered.
 *
 * Why: the same command must go on where it stopped, and an edited input or setting must never go
 * on wrongly; so a run's folder is named by a digest of all that decides its answers.
 *
 * Shape:   ROOT/runs/KEY/: lock, spool, lines.index (known_input.h) and copies of standard input (input/)
 *          while it runs; done.json in their place when it is
 *          finished. Finished ones are forgotten after STATE_DAYS_MAX days.
 *          ROOT is --state, $TRANCHE_STATE, $XDG_STATE_HOME/tranche or ~/.local/state/tranche.
 * Errors:  of the file system, with the remedy --state where the folder cannot be made.
 * Threads: none; a run's folder is guarded by the spool's lock.
 */
#ifndef TRANCHE_APP_RUN_STATE_H
#define TRANCHE_APP_RUN_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "app/cli/command.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

#define STATE_KEY_BYTES 33 /* 32 hexadecimal digits and a NUL */
#define STATE_DAYS_MAX 30
#define STATE_FORMAT                                                                               \
    "tranche state 1" /* part of every key: change it when old state means nothing */
/* In the folder of a run whose spool the kept answers have (keep.h): it begins anew. */
#define STATE_ADOPTED "adopted"
#define STATE_DONE_BYTES_MAX ((size_t)1024 * 1024)

struct state {
    const char *root, *dir; /* in the arena given to state_open */
    char key[STATE_KEY_BYTES];
};
/* facts: all that decides the answers, as text. Makes the run's folder. */
int state_open(struct state *s, struct arena *a, const char *root, struct str facts,
               struct error *e) FALLIBLE;
/* Forgets all that is known of this run. Call it while the spool is open, so that its lock is held;
 * what the spool has open has no name any more. */
int state_reset(const struct state *s, struct error *e) FALLIBLE;
/* The same while the spool is not open, as a damaged one cannot be. Leaves all as it is while another
 * process has it. */
int state_discard(const struct state *s, struct error *e) FALLIBLE;
/* True when the kept answers have the run's spool. */
bool state_adopted(const struct state *s);
/* Removes the finished runs that are too old, but none that a process has open; what fails stays. */
void state_prune(const char *root, int64_t now_us);

/* The end of a run, for the same command given again. */
struct done {
    const char *output; /* absolute path */
    uint64_t output_bytes;
    int64_t output_mtime_ns;
    const char *command; /* digest of inputs' paths and model; "" in the record of an old version */
    int64_t finished_us;
    enum exit_code code;
    struct str summary; /* JSON object */
    struct str text;    /* the same for people, without colours */
};
/* Size and time of the output as it is now. */
int state_output_facts(const char *output, struct done *d, struct error *e) FALLIBLE;
/* Written durably; from then on the spool is not needed and its files are removed. Call it while
 * the spool is open, so that its lock is held. */
int state_done_write(const struct state *s, const struct done *d, struct error *e) FALLIBLE;
/* 1 and *d in the arena when this run was finished and its output is still the one that was
 * written; 2 when the output is gone or changed; 0 when there is no finished run. */
int state_done_read(const struct state *s, struct arena *a, struct done *d,
                    struct error *e) FALLIBLE;

/* True when a finished run of this command wrote the output (an absolute path) and the file is still as it
 * was written. */
bool state_wrote(const char *root, const char *output, const char *command);

/* The newest finished run of this command: 1 and *d in the arena, or 0. */
int state_last_done(const char *root, const char *command, struct arena *a, struct done *d);

/* Writes a small file whole or not at all. */
int state_file_write(const char *path, struct str text, struct error *e) FALLIBLE;

#endif
