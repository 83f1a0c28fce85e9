/* peek.h -- the rows of a run that has not ended: all that are answered, also behind lines that are open.
 *
 * Why: the partial output is in input order without gaps, so one slow line hides thousands of answers that
 * are durable and paid. Whoever watches a run wants to see them.
 *
 * Shape:   reads the input from its beginning beside the spool, and gives the row of each line that has
 *          one, in input order, with gaps. A table's rows (rules.sheet) are written as the table says, behind its
 *          head (PEEK_HEAD). Rows that are committed meanwhile may come or not.
 * Errors:  of reading; CANCELLED on stop; -1 of on_row, whose 1 ends the walk.
 * Threads: the caller's. The run itself goes on meanwhile, in this process or another.
 */
#ifndef TRANCHE_ENGINE_LINES_PEEK_H
#define TRANCHE_ENGINE_LINES_PEEK_H

#include <stdatomic.h>

#include "engine/lines/input.h"
#include "format/row.h"
#include "store/spool/spool.h"

#define PEEK_HEAD UINT64_MAX /* index of a table's head */

struct peek {
    const struct input *input; /* as the run has it */
    struct spool *spool;       /* of spool_peek */
    struct line_rules rules;
    enum row_style style;
    uint64_t limit;          /* of the run, in lines; 0: none */
    uint64_t rows_max;       /* 0: all */
    uint64_t from;           /* index of the first line; 0: all, and the head */
    const atomic_bool *stop; /* may be NULL */
    int (*on_row)(void *arg, uint64_t index, struct str row, struct error *e);
    void *arg;
};
int peek_run(const struct peek *p, struct error *e) FALLIBLE;

#endif
