/* row_view.h -- an output row as people look at it: how it ended, its answer as text, its question as text.
 *
 * Why: a list of rows and a table of them show the same few facts of each, and rows are grouped by them: by
 * the label that an answer is, and by the cause of a failure.
 *
 * In:      a row of any style of row.h, without its line end.
 * Errors:  none: a member that a row lacks is empty, and a text that is not a JSON object is a failed row.
 * Threads: none; values. The texts live in the arena.
 */
#ifndef TRANCHE_FORMAT_JOB_ROW_VIEW_H
#define TRANCHE_FORMAT_JOB_ROW_VIEW_H

#include <stdint.h>

#include "base/json.h"

enum row_end { ROW_ANSWERED, ROW_FAILED, ROW_NOT_RUN };
#define ROW_ENDS 3

struct row_view {
    enum row_end end;
    struct str key; /* the line's own */
    struct str
        request; /* the last text of its last content; an input file's own rows have it only */
    /* The first candidate's texts without thoughts, its calls as name(arguments), media as [type]; an
     * embedding is "[768 numbers]". A row that failed has its error here, as "INVALID_ARGUMENT: message". */
    struct str answer;
    bool has_request; /* the row repeats its request */
    uint64_t prompt_tokens, output_tokens;
    int64_t time_us; /* when it ended; 0: the row does not say */
};
void row_view_read(struct arena *a, struct str row, struct row_view *out);

#define ROW_LABEL_BYTES_MAX 64
/* An answer so short, on one line, may be one of a few labels. */
bool row_view_is_label(const struct row_view *v);
/* The error without its numbers and quoted texts, which failures of one cause have in common; in the arena. */
struct str row_view_cause(struct arena *a, const struct row_view *v);

/* "answered", "failed", "notRun" */
const char *row_end_name(enum row_end end);
bool row_end_of(struct str name, enum row_end *out);

#endif
