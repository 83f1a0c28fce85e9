/* run.h -- one job's work, on its job thread: from a configuration to calls of store/tables.
 *
 * In:      a struct query_run with the job's configuration read.
 * Out:     job->result, job->statistics, job->configuration (with the destination), job->session, faults that do
 *          not end the job, and the jobs of a script's statements.
 * Errors:  of tables.h; INVALID_ARGUMENT: an option that we do not have, in words.
 * Threads: the job's.
 */
#ifndef TRANCHE_ENGINE_QUERY_RUN_H
#define TRANCHE_ENGINE_QUERY_RUN_H

#include "engine/query/query.h"

struct query_run {
    struct tables *tables;
    struct store *store;
    struct clock *clock;
    struct arena *arena;
    struct tables_cancel *cancel;
    struct bq_job *job;
    struct bq_configuration conf;
    enum bq_where where; /* an error comes from: it decides about its reason */
    /* The statements of a script, a job each. */
    struct bq_job *child;
    uint32_t child_count;
};

int run_query(struct query_run *r, struct error *e) FALLIBLE;
int run_load(struct query_run *r, struct error *e) FALLIBLE;
int run_copy(struct query_run *r, struct error *e) FALLIBLE;
int run_extract(struct query_run *r, struct error *e) FALLIBLE;

/* The table that rows go to: destinationTable, dispositions, schemaUpdateOptions, and the options of a table that is made. A
 * query without destinationTable gets no name. deflt: the write disposition when none is given. */
int run_into(struct query_run *r, enum tables_disposition deflt, struct tables_into *out,
             struct error *e) FALLIBLE;
/* A table that the configuration names, which the job must be allowed to use. */
int run_name(struct query_run *r, yyjson_val *reference, struct tables_name *out,
             struct error *e) FALLIBLE;
/* The job's name as the key of its effect. */
struct str run_key(struct query_run *r);
/* Refuses formats of files that we do not have, before a job is made. */
int run_check_format(const struct bq_configuration *c, struct error *e) FALLIBLE;
/* The configuration with jobType, defaults and, unless it is empty, the destination. */
struct str run_configuration(struct arena *a, const struct bq_configuration *c,
                             const struct bq_table_ref *destination);
/* Text in the run's arena; takes the bytes. */
struct str run_keep(struct query_run *r, struct buf *text);

#endif
