/* table_input.h -- a job that reads a table: its rows copied once into a file of lines.
 *
 * Why: the check copies the rows into a blob that the job pins. From there the job is one from a file, whatever
 * happens to the table meanwhile.
 *
 * Shape:   the copy's first line is the table's columns, {"fields":[...]}; the others are as format/job/table.h has
 *          them. A view's query runs once.
 * Errors:  INVALID_ARGUMENT for what a job cannot read; NOT_FOUND; PERMISSION_DENIED for another project's tables;
 *          what the tables say (tables.h); CANCELLED when the service stops.
 * Threads: a checker's or a runner's; calls wait for disks and networks.
 * Memory:  a batch of rows, whatever the table's size.
 */
#ifndef TRANCHE_ENGINE_SERVICE_TABLE_INPUT_H
#define TRANCHE_ENGINE_SERVICE_TABLE_INPUT_H

#include "engine/lines/input.h"
#include "format/bigquery/name.h"
#include "format/job/job.h"
#include "store/tables/tables.h"

struct service;
struct job_input;

/* Copies the table that the job reads into a blob of at most bytes_max; *out is to be pinned. */
int table_input_copy(struct service *s, struct arena *a, const struct job *j, uint64_t bytes_max,
                     struct job_input *out, struct error *e) FALLIBLE;
/* True when a pinned input with this name is such a copy. */
bool table_input_is_copy(struct str name);
/* Moves the begin of a file of the input, which is a copy, behind its first line. */
int table_input_begin(struct input_file *file, struct error *e) FALLIBLE;
/* The columns that the job's lines carry to a table, their request too: of the table that was copied, or of the keys
 * of the lines, which takes a pass over them. */
int table_input_columns(struct service *s, const struct input *in, struct arena *a,
                        struct bq_schema *out, struct error *e) FALLIBLE;

/* The service's tables, when the job may use those of this project; else NULL. */
struct tables *table_input_tables(struct service *s, struct arena *a, const struct job *j,
                                  const struct bq_name *n, struct error *e);
struct tables_name table_input_name(const struct bq_name *n);
const char *table_input_uri(struct arena *a, const struct bq_name *n); /* in the arena */

#endif
