/* job_table.h -- jobs from and to tables: the input copied once, the output written once.
 *
 * Why: the check copies a table's rows into a file of lines that the job pins. From there the job is one from a
 * file, whatever happens to the table meanwhile. At its end the output's rows go into a table that nobody sees
 * before it is whole.
 *
 * Shape:   the copy's first line is the table's columns, {"fields":[...]}; the others are as format/job/table.h has
 *          them. Rows are written in batches, each with the number of rows before it, so that a restart goes on
 *          there. One transaction makes the table visible and records the job's key; a restart asks for that
 *          record, and then only ends the job.
 * Errors:  INVALID_ARGUMENT for what a job cannot read; NOT_FOUND; ALREADY_EXISTS "Already Exists: Table p:d.t";
 *          PERMISSION_DENIED for another project's tables; what the tables say (tables.h); CANCELLED when the
 *          service stops.
 * Threads: a checker's or a runner's; calls wait for disks and networks.
 * Memory:  a batch of rows, whatever the table's size.
 */
#ifndef TRANCHE_ENGINE_SERVICE_JOB_TABLE_H
#define TRANCHE_ENGINE_SERVICE_JOB_TABLE_H

#include "engine/lines/input.h"
#include "format/bigquery/schema.h"
#include "format/job/job.h"

struct service;
struct job_input;

/* Copies the table that the job reads into a blob of at most bytes_max; *out is to be pinned. */
int job_table_copy(struct service *s, struct arena *a, const struct job *j, uint64_t bytes_max,
                   struct job_input *out, struct error *e) FALLIBLE;
/* True when a pinned input with this name is such a copy. */
bool job_table_is_copy(struct str name);
/* Moves the begin of a file of the input, which is a copy, behind its first line. */
int job_table_begin(struct input_file *file, struct error *e) FALLIBLE;

/* Before any work: the table that the job makes is not there yet and may be made, and with `in` (else NULL) the
 * lines can be its rows. */
int job_table_check(struct service *s, struct arena *a, const struct job *j, const struct input *in,
                    struct error *e) FALLIBLE;
/* Makes that table of the job's output file, unless it was made before. The job's input gives its columns. */
int job_table_write(struct service *s, struct arena *a, const struct job *j, const struct input *in,
                    const char *output, struct error *e) FALLIBLE;
/* False when writing the table again cannot help. */
bool job_table_may_pass(const struct error *e);
/* "bq://p.d.t" of that table, in the arena; empty when the output is none. */
struct str job_table_output(struct arena *a, const struct job *j);

#endif
