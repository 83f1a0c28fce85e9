/* engine_tables.h -- a run's Parquet files and DuckDB tables, which are CSV while it runs.
 *
 * Why: a run reads lines and writes lines. Such a table is copied once to CSV, which is then the input; a
 * Parquet output is made of the CSV that the run wrote, with the types that the columns had.
 *
 * In:      paths of which all are such tables, with columns and types alike; a pattern is given to the engine.
 * Errors:  INVALID_ARGUMENT for a mix; as store/tables/table_files.h says.
 * Threads: the main thread.
 * Owns:    the engine. The CSV of an input is a copy that the input owns (input.h); what the engine cannot hold in
 *          memory is in STATE/tables/PID until engine_tables_close.
 */
#ifndef TRANCHE_APP_RUN_ENGINE_TABLES_H
#define TRANCHE_APP_RUN_ENGINE_TABLES_H

#include "engine/lines/input.h"
#include "format/table/sheet.h"
#include "store/tables/table_files.h"

struct engine_tables {
    const char *state_root; /* set these two before the first call */
    struct arena *arena;
    struct table_files *files;    /* NULL until there is a table */
    const char *folder;           /* for the engine */
    struct table_columns columns; /* of the inputs; none when they are CSV */
};

/* True when the first path is such a table; of the others engine_tables_input speaks. */
bool engine_tables_are(const char *const *path, uint32_t count);
/* Opens *in. output: its path, which must not be one of the tables; or NULL. */
int engine_tables_input(struct engine_tables *t, const char *const *path, uint32_t count,
                        const char *output, struct input *in, struct error *e) FALLIBLE;
/* Makes the Parquet file `output` of the CSV that the sheet's run wrote. */
int engine_tables_output(struct engine_tables *t, const struct sheet *s, const char *csv,
                         const char *output, struct error *e) FALLIBLE;
void engine_tables_close(struct engine_tables *t);

#endif
