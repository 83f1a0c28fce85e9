/* tables_duckdb.c -- tables.h by DuckDB: the table of operations, limits, opening and closing. */
#include "base/thread.h"
#include "store/tables/duckdb/embedded.h"

#define RESULT_BYTES (UINT64_C(10) << 30)
#define PROJECTS_OPEN 16
#define IDLE_MS (INT64_C(5) * 60 * 1000)

static void tables_close(struct tables *t)
{
    if (!t)
        return;
    struct embedded *all = embedded_of(t);
    projects_close(all, true);
    watch_release(&all->watch);
    cond_destroy(&all->changed);
    lock_destroy(&all->lock);
    mem_free(all->dir);
    mem_free(all);
}

static const struct tables_ops ops = {
    .name = "duckdb",
    .close = tables_close,
    .dataset_create = dataset_create,
    .dataset_get = dataset_get,
    .dataset_change = dataset_change,
    .dataset_delete = dataset_delete,
    .dataset_list = dataset_list,
    .create = relation_create,
    .get = relation_get,
    .change = relation_change,
    .remove = relation_remove,
    .list = relation_list,
    .read = table_rows_open,
    .rows_next = table_rows_next,
    .rows_close = table_rows_close,
    .write = writer_open,
    .writer_append = writer_append,
    .writer_commit = writer_commit,
    .writer_close = writer_close,
    .insert = writer_insert,
    .query = tables_query_run,
    .load = tables_load_files,
    .extract = tables_extract_file,
    .copy = tables_copy_table,
    .session_create = session_create,
    .session_end = session_end,
    .job_put = query_job_put,
    .job_get = query_job_get,
    .job_list = query_job_list,
    .job_delete = query_job_delete,
    .done = done_get,
    .sweep = tables_sweep,
};

struct tables_limits tables_limits_default(void)
{
    return (struct tables_limits){ .memory_bytes = TABLES_MEMORY_DEFAULT,
                                   .temp_bytes = TABLES_TEMP_DEFAULT,
                                   .result_bytes = RESULT_BYTES,
                                   .query_ms = (int64_t)TABLES_QUERY_S_DEFAULT * 1000,
                                   .threads = TABLES_THREADS_DEFAULT,
                                   .projects_open = PROJECTS_OPEN,
                                   .idle_ms = IDLE_MS };
}

struct tables *tables_duckdb_open(const char *dir, const struct tables_limits *limits,
                                  struct clock *clock)
{
    struct embedded *t = mem_alloc(sizeof *t);

    t->tables.ops = &ops;
    t->dir = mem_strdup(dir);
    t->limits = limits ? *limits : tables_limits_default();
    t->clock = clock;
    watch_init(&t->watch);
    lock_init(&t->lock);
    cond_init(&t->changed);
    return &t->tables;
}
