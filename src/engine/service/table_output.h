/* table_output.h -- a job that makes a table: its output's rows go there as they are written, once.
 *
 * Why: nobody may see a table before it is whole, and a crash at any instant must neither lose nor double a row.
 *
 * Shape:   rows go to a hidden table in batches, each durable with the number of rows before it, so that a restart,
 *          which renders the same rows again, goes on there. One transaction makes the table visible and records the
 *          job's key; a restart asks for that record, and then only ends the job. The output file is there too: a
 *          table that failed while the job ran is made of it at the end.
 * Errors:  ALREADY_EXISTS "Already Exists: Table p:d.t"; as table_input.h has them; DATA_LOSS for a row that is none.
 * Threads: take is called by the thread that writes the output, the rest by the runner, or by a checker.
 * Memory:  a batch of rows.
 */
#ifndef TRANCHE_ENGINE_SERVICE_TABLE_OUTPUT_H
#define TRANCHE_ENGINE_SERVICE_TABLE_OUTPUT_H

#include "base/mem.h"
#include "engine/lines/input.h"
#include "format/job/job.h"

struct service;

/* Before any work: the table that the job makes is not there yet and may be made, and with `in` (else NULL) the
 * lines can be its rows. */
int table_output_check(struct service *s, struct arena *a, const struct job *j,
                       const struct input *in, struct error *e) FALLIBLE;

/* NULL when the job makes no table. Job and input stay until it is freed. */
struct table_output;
struct table_output *table_output_new(struct service *s, const struct job *j,
                                      const struct input *in);
/* The next bytes of the output, from its beginning; for render_tee. Its errors wait for the end. */
void table_output_take(void *arg, const void *p, size_t len); /* arg: the table_output */
/* Makes the table visible, unless that was done before. path: the finished output, which has `rows` rows. */
int table_output_finish(struct table_output *o, const char *path, uint64_t rows,
                        struct error *e) FALLIBLE;
/* False when finishing again cannot help. */
bool table_output_may_pass(const struct error *e);
void table_output_free(
    struct table_output *o); /* its rows stay for the next stretch; accepts NULL */
/* "bq://p.d.t" of the table, in the arena; empty when the job makes none. */
struct str table_output_uri(struct arena *a, const struct job *j);

#endif
