/* bigquery_tables.h -- a run's tables in BigQuery: bq://PROJECT.DATASET.TABLE as an input, and as the output.
 *
 * Why: a run reads lines and writes lines. A table is copied once to a file of lines, from which the run goes on
 * whatever happens to the table; the output table is made of the finished file of answers by one load job.
 *
 * In:      the copy is STATE/inputs/bq-HASH, where HASH names the table and the state that it had: the same command
 *          finds it again after a crash, and needs no second query. With --prompt its lines are plain rows, else as
 *          format/job/table.h has them. A copy goes after BIGQUERY_COPY_DAYS; that of a view, whose rows have no
 *          known age, when the run is finished.
 * Out:     the load job's key is made when the run begins and kept in its spool: a run that was cut off at its end
 *          finds the job that it had started.
 * Errors:  INVALID_ARGUMENT for a mix with other inputs and columns that differ or cannot be; NOT_FOUND;
 *          ALREADY_EXISTS for an output without --overwrite; what the tables say (store/tables/tables.h).
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_RUN_BIGQUERY_TABLES_H
#define TRANCHE_APP_RUN_BIGQUERY_TABLES_H

#include "app/config/config.h"
#include "engine/lines/input.h"
#include "format/table/sheet.h"
#include "store/spool/spool.h"
#include "store/tables/tables.h"

#define BIGQUERY_COPY_DAYS 30

struct bigquery_tables {
    const struct config *config; /* set these before the first call */
    const char *endpoint;        /* of --bigquery-endpoint; or NULL */
    const char *state_root;
    struct arena *arena;
    const atomic_bool *stop;
    uint64_t limit; /* rows of an input that are needed; 0: all */
    bool fresh;     /* no earlier copy is used */
    bool plain;     /* rows of a sheet; else lines are requests */

    struct tables *tables;    /* NULL until a table is named */
    struct bq_schema columns; /* of the inputs; none when they are files */
    const char *view_copy;    /* to be removed at the end; or NULL */
    struct tables_name output;
    struct bq_schema made; /* columns of the output */
};

/* True when one of the paths is such a table. */
bool bigquery_tables_are(const char *const *path, uint32_t count);
/* Opens *in. to_lines: the output is lines of JSON. */
int bigquery_tables_input(struct bigquery_tables *t, const char *const *path, uint32_t count,
                          bool to_lines, struct input *in, struct error *e) FALLIBLE;
/* Finds out the columns of the output, which is a table, and whether they can be. sheet: of plain rows. */
int bigquery_tables_plan(struct bigquery_tables *t, const char *output, const struct input *in,
                         const struct sheet *sheet, struct error *e) FALLIBLE;
/* 1: the output is there; 0: it is not. */
int bigquery_tables_made(struct bigquery_tables *t, struct error *e) FALLIBLE;
/* Refuses an output that is there, unless this run made it, or may overwrite. */
int bigquery_tables_begin(struct bigquery_tables *t, struct spool *spool, bool overwrite,
                          struct error *e) FALLIBLE;
/* Makes the output of the finished file of rows. */
int bigquery_tables_output(struct bigquery_tables *t, struct spool *spool, const char *rows,
                           bool overwrite, struct error *e) FALLIBLE;
/* The run is finished. */
void bigquery_tables_end(struct bigquery_tables *t);
void bigquery_tables_close(struct bigquery_tables *t);

#endif
