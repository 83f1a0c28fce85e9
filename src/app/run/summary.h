/* summary.h -- what a run came to: for people, and as one JSON object for machines.
 *
 * Why: after a batch one wants to know what failed and where, what it cost, and where the output
 * is, in a few aligned lines; a program wants the same numbers.
 *
 * Shape:   summary_failures reads the spool and finds the lines of failures in the input; the
 *          writers only format. On a terminal messages are cut to its width and only the most frequent
 *          causes are shown; elsewhere all is whole.
 * Units:   as in usage.h.
 * Errors:  of reading.
 * Threads: none.
 */
#ifndef TRANCHE_APP_RUN_SUMMARY_H
#define TRANCHE_APP_RUN_SUMMARY_H

#include "app/cli/command.h"
#include "app/cli/terminal.h"
#include "base/json_write.h"
#include "engine/lines/ingest.h"
#include "engine/lines/pipeline.h"
#include "store/spool/spool.h"

#define SUMMARY_BYTES_MAX ((size_t)256 * 1024)
#define SUMMARY_FAILURES_MAX 64 /* causes that are counted; the rest is in the output */
#define SUMMARY_SHOWN_MAX 8     /* of them, on a terminal */
#define SUMMARY_FIRST_MAX 5     /* lines of a cause that are named */

/* Failures of one cause: their code, path and message are the same but for numbers. */
struct summary_failure {
    enum error_code code;
    uint64_t count;
    char message[ERROR_MSG_BYTES];     /* of the first */
    uint64_t first[SUMMARY_FIRST_MAX]; /* indexes */
    const char *file[SUMMARY_FIRST_MAX];
    uint64_t line_no[SUMMARY_FIRST_MAX];
    uint32_t first_count;
};
struct summary {
    const char *model, *version; /* as asked for; what answered */
    const char *output;          /* path, "-" for standard output */
    bool several_files;
    bool priced;      /* the model has a price */
    bool interrupted; /* not all lines are done */
    const char *next; /* the command to type next; NULL: none */
    struct progress progress;
    uint64_t kept;     /* of the counters: taken from an earlier output */
    uint64_t formulas; /* answers in a table that a spreadsheet would take for formulas */
    bool excel;        /* they stand behind a ' */
    struct summary_failure failure[SUMMARY_FAILURES_MAX];
    uint32_t failure_count;
};

/* Fills failure from the spool, with the line numbers of the input. */
int summary_failures(struct summary *s, struct spool *spool, const struct input *in,
                     const struct ingest_result *job, struct error *e) FALLIBLE;
void summary_text(const struct summary *s, const struct terminal *c, struct buf *out);
void summary_json(const struct summary *s, enum exit_code code, struct buf *out);
/* Money as a JSON number with all its nine decimals. */
void summary_add_usd(struct json_writer *w, const char *name, uint64_t nano);

#endif
