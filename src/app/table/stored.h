/* stored.h -- `tranche table` on tables of the service: load, export, sql, and what is in them.
 *
 * Why: one wants to look at the service's tables and move them. While the service runs, its engine has the file,
 *      and the command asks the service's BigQuery API at the URL that it left in the state folder.
 *
 * Names:   DATASET.TABLE or PROJECT.DATASET.TABLE; DATASET alone for `ls`; nothing for `ls` of a project.
 * Errors:  FAILED_PRECONDITION: another program has the file; UNIMPLEMENTED: export while the service runs; NOT_FOUND: no such state folder, dataset or table.
 */
#ifndef TRANCHE_APP_TABLE_STORED_H
#define TRANCHE_APP_TABLE_STORED_H

#include <stdbool.h>

#include "base/mem.h"
#include "base/str.h"
#include "store/tables/tables.h"

struct stored_options {
    const char *state, *project;
    uint64_t rows;
    bool json, overwrite;
};
struct stored {
    const struct stored_options *options;
    struct arena *arena;
    struct buf *out; /* what the command prints */
    struct str note; /* what it says about itself; empty: nothing */
    struct tables *tables;
    int lock;            /* of the state folder, while no service has it; else -1 */
    const char *scratch; /* a folder that goes at the end; or NULL */
    struct str project;  /* of names that say none */
};
int stored_open(struct stored *s, struct error *e) FALLIBLE;
void stored_close(struct stored *s);

/* Is it a name of such a table, and no file's? */
bool stored_is(const char *name);
int stored_list(struct stored *s, const char *name, struct error *e) FALLIBLE; /* NULL: datasets */
int stored_schema(struct stored *s, const char *name, struct error *e) FALLIBLE;
int stored_head(struct stored *s, const char *name, struct error *e) FALLIBLE;
int stored_load(struct stored *s, const char *file, const char *name, struct error *e) FALLIBLE;
int stored_export(struct stored *s, const char *name, const char *file, struct error *e) FALLIBLE;
int stored_sql(struct stored *s, const char *text, struct error *e) FALLIBLE;

#endif
