/* Goal: the rows of a job's output are in its table exactly once, whichever call of the tables fails or never returns;
 * hidden rows go with a table that cannot be made; a source's copy is whole or not there. Method: tables in memory,
 * whose n-th call fails, or after which the process is taken to be gone; the job's end is tried again until it
 * succeeds. */
#include "engine/service/table_output.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/service/service_inner.h"
#include "engine/service/table_input.h"
#include "format/job/vertex.h"
#include "scratch.h"

#define ROWS 120000      /* three batches */
#define BATCH_ROWS 52429 /* of the first: as many as BATCH_CELLS has room for */
#define LIST_MAX 200000
#define START_US INT64_C(1764000000000000)

/* ---- Tables in memory ---- */

struct memory {
    struct tables base;
    /* The table that is made: ids of its rows. */
    int64_t hidden[LIST_MAX], shown[LIST_MAX];
    int64_t hidden_count, shown_count, position;
    bool has_hidden, has_table, has_dataset, done;
    bool in_the_way; /* somebody else's table stands there */
    /* Faults. */
    int fail_at;   /* the call of this number fails; 0: none */
    bool fail_all; /* and so do all after it */
    bool crashed;  /* a failed call has done its work, and nothing after it is called */
    int calls;
    enum error_code code;
    /* The source. */
    uint32_t next;
    struct bq_schema schema;
};

static struct memory *memory_of(struct tables *t)
{
    return (struct memory *)t;
}

/* True when this call fails. */
static bool fails(struct memory *m, struct error *e)
{
    ++m->calls;
    if (!m->fail_at || (m->fail_all ? m->calls < m->fail_at : m->calls != m->fail_at))
        return false;
    (void)error_set(e, m->code, "call %d fails", m->calls);
    return true;
}

static int dataset_get(struct tables *t, const struct tables_name *name, struct arena *a,
                       struct tables_dataset *out, struct error *e)
{
    struct memory *m = memory_of(t);

    (void)name;
    (void)a;
    (void)out;
    if (fails(m, e))
        return -1;
    return m->has_dataset ? 0 : error_set(e, ERROR_NOT_FOUND, "Not found: Dataset p:d");
}

static int dataset_create(struct tables *t, const struct tables_dataset *d, struct error *e)
{
    assert_true(str_eq_c(d->options, "{\"location\":\"us-central1\"}"));
    memory_of(t)->has_dataset = true;
    return fails(memory_of(t), e) ? -1 : 0;
}

static int get(struct tables *t, const struct tables_name *name, struct arena *a,
               struct tables_table *out, struct error *e)
{
    struct memory *m = memory_of(t);

    (void)a;
    if (fails(m, e))
        return -1;
    *out = (struct tables_table){ .name = *name, .schema = m->schema };
    if (str_eq_c(name->table, "in") || m->has_table || m->in_the_way)
        return 0;
    return error_set(e, ERROR_NOT_FOUND, "Not found: Table p:d.out");
}

static struct tables_rows *read_table(struct tables *t, const struct tables_read *r,
                                      struct arena *a, struct bq_schema *schema, struct error *e)
{
    struct memory *m = memory_of(t);

    (void)r;
    (void)a;
    *schema = m->schema;
    m->next = 0;
    return fails(m, e) ? NULL : (struct tables_rows *)t;
}

static int rows_next(struct tables_rows *r, struct arena *a, struct bq_batch *out, struct error *e)
{
    struct memory *m = (struct memory *)r;
    uint32_t count = ROWS - m->next < TABLES_BATCH_ROWS ? ROWS - m->next : TABLES_BATCH_ROWS;
    struct bq_cell *cell = arena_array(a, (size_t)count * 2, sizeof *cell);

    if (fails(m, e))
        return -1;
    for (uint32_t i = 0; i < count; i++) {
        cell[2 * i].text = str_of(arena_textf(a, "%u", m->next++));
        cell[2 * i + 1].text = STR("{\"contents\":[]}");
    }
    *out = (struct bq_batch){ cell, count, 2 };
    return count > 0;
}

static void rows_close(struct tables_rows *r)
{
    (void)r;
}

static struct tables_writer *write_table(struct tables *t, const struct tables_write *w,
                                         int64_t *position, struct error *e)
{
    struct memory *m = memory_of(t);

    assert_true(m->has_dataset);
    assert_true(str_eq_c(w->into.name.table, "out"));
    assert_int_equal(w->schema.count, 5);
    if (fails(m, e))
        return NULL;
    if (!w->resume)
        m->hidden_count = m->position = 0;
    m->has_hidden = true;
    *position = m->position;
    return (struct tables_writer *)t;
}

static int writer_append(struct tables_writer *w, const struct bq_batch *batch, int64_t position,
                         struct error *e)
{
    struct memory *m = (struct memory *)w;
    bool failed = fails(m, e);

    if (failed && !m->crashed)
        return -1;
    for (uint32_t i = 0; i < batch->rows; i++) {
        uint64_t id;
        assert_true(str_number(batch->cell[(size_t)i * batch->columns].text, &id));
        m->hidden[m->hidden_count++] = (int64_t)id;
    }
    m->position = position;
    return failed ? -1 : 0;
}

static int writer_commit(struct tables_writer *w, struct tables_outcome *out, struct error *e)
{
    struct memory *m = (struct memory *)w;
    bool failed = fails(m, e);

    if (failed && !m->crashed)
        return -1;
    if (m->in_the_way)
        return error_set(e, ERROR_ALREADY_EXISTS, "Already Exists: Table p:d.out");
    memcpy(m->shown, m->hidden, sizeof m->hidden);
    m->shown_count = m->hidden_count;
    m->hidden_count = 0;
    m->has_table = m->done = true;
    m->has_hidden = false;
    *out = (struct tables_outcome){ .rows = m->shown_count };
    return failed ? -1 : 0;
}

static void writer_close(struct tables_writer *w, bool keep)
{
    struct memory *m = (struct memory *)w;

    if (!w || keep)
        return;
    m->has_hidden = false;
    m->hidden_count = m->position = 0;
}

static int done(struct tables *t, struct str project, struct str key, struct tables_outcome *out,
                struct error *e)
{
    assert_true(str_eq_c(project, "p"));
    assert_true(str_eq_c(key, "batch job 7 of 1764000000000000"));
    *out = (struct tables_outcome){ 0 };
    return fails(memory_of(t), e) ? -1 : memory_of(t)->done;
}

static const struct tables_ops memory_ops = {
    .name = "memory",
    .dataset_get = dataset_get,
    .dataset_create = dataset_create,
    .get = get,
    .read = read_table,
    .rows_next = rows_next,
    .rows_close = rows_close,
    .write = write_table,
    .writer_append = writer_append,
    .writer_commit = writer_commit,
    .writer_close = writer_close,
    .done = done,
};

/* ---- A job with all its answers ---- */

struct world {
    struct scratch scratch;
    struct memory tables;
    struct service service;
    struct clock clock;
    struct arena arena;
    struct job job;
    struct input input;
    struct buf rows; /* the finished output */
    char output[SCRATCH_PATH_BYTES];
};

static void pin(struct world *w, const struct job_input *copy)
{
    struct error e = { 0 };
    const struct input_source source = { arena_copy(&w->arena, copy->name.p, copy->name.len),
                                         blob_open(w->service.env.store, copy->blob, &e), NULL };

    assert_int_equal(input_open_fds(&w->input, &source, 1, &e), 0);
    assert_int_equal(table_input_begin(&w->input.file[0], &e), 0);
}

static int setup(void **state)
{
    struct world *w = mem_alloc(sizeof *w);
    struct job_input copy;
    struct error e = { 0 };

    scratch_make(&w->scratch);
    w->clock = clock_fake(START_US);
    w->tables.base.ops = &memory_ops;
    w->tables.code = ERROR_UNAVAILABLE;
    w->service.env.store = store_open(w->scratch.dir, true, &w->clock, &e);
    w->service.env.tables = &w->tables.base;
    tables_cancel_init(&w->service.table_cancel);
    assert_int_equal(bq_schema_parse(STR("[{\"name\":\"id\",\"type\":\"INTEGER\"},"
                                         "{\"name\":\"request\",\"type\":\"JSON\"}]"),
                                     &w->arena, &w->tables.schema, &e),
                     0);
    w->job = (struct job){
        .id = 7,
        .create_us = START_US,
        .project = "p",
        .location = "us-central1",
        .spec = STR("{\"inputConfig\":{\"bigquerySource\":{\"inputUri\":\"bq://p.d.in\"}},"
                    "\"outputConfig\":{\"bigqueryDestination\":{\"outputUri\":\"bq://p.d.out\"}}}"),
    };
    assert_int_equal(table_input_copy(&w->service, &w->arena, &w->job, SCRATCH_FILE_MAX, &copy, &e),
                     0);
    pin(w, &copy);
    w->rows = BUF_INIT(SCRATCH_FILE_MAX);
    for (int i = 0; i < ROWS; i++)
        buf_addf(&w->rows,
                 "{\"id\":%d,\"status\":\"\",\"processed_time\":\"2025-11-24T16:00:00.000+00:00\","
                 "\"request\":{\"contents\":[]},\"response\":{\"a\":1}}\n",
                 i);
    scratch_write(&w->scratch, "output.jsonl", w->rows.p, w->rows.len);
    (void)scratch_path(&w->scratch, "output.jsonl", w->output);
    w->tables.calls = 0;
    *state = w;
    return 0;
}

static int teardown(void **state)
{
    struct world *w = *state;

    input_release(&w->input);
    buf_release(&w->rows);
    tables_cancel_release(&w->service.table_cancel);
    store_close(w->service.env.store);
    arena_release(&w->arena);
    scratch_remove(&w->scratch);
    mem_free(w);
    return 0;
}

/* A stretch of running that ends: `taken` bytes of the output come by as they are written. */
static int write_output_after(struct world *w, size_t taken, struct error *e)
{
    struct table_output *o = table_output_new(&w->service, &w->job, &w->input);

    for (size_t at = 0; at < taken; at += 4096)
        table_output_take(o, w->rows.p + at, taken - at < 4096 ? taken - at : 4096);
    int rc = table_output_finish(o, w->output, ROWS, e);
    table_output_free(o);
    return rc;
}

static int write_output(struct world *w, struct error *e)
{
    return write_output_after(w, w->rows.len, e);
}

static void assert_whole(const struct world *w)
{
    assert_true(w->tables.has_table);
    assert_false(w->tables.has_hidden);
    assert_int_equal(w->tables.shown_count, ROWS);
    for (int64_t i = 0; i < ROWS; i++)
        assert_int_equal(w->tables.shown[i], i);
}

static void forget(struct memory *m)
{
    m->has_table = m->done = m->has_dataset = m->has_hidden = false;
    m->hidden_count = m->position = 0;
    m->calls = m->fail_at = 0;
}

/* One call fails, or all from it on; of the output the table saw all, a part or nothing while it was written. */
static int sweep(struct world *w, bool fail_all, size_t taken)
{
    for (int n = 1;; n++) {
        struct error e = { 0 };
        forget(&w->tables);
        w->tables.fail_at = n;
        w->tables.fail_all = fail_all;
        w->tables.crashed = n % 2; /* a call may have done its work before it fails */
        int rc = write_output_after(w, taken, &e);
        bool fired = w->tables.calls >= n;
        w->tables.fail_at = 0;
        assert_true(rc == 0 || (fired && e.code == ERROR_UNAVAILABLE && table_output_may_pass(&e)));
        if (rc < 0 && write_output(w, &e) < 0)
            fail_msg("after call %d: %s", n, e.msg);
        assert_whole(w);
        assert_int_equal(write_output(w, &e), 0); /* asked again, nothing happens */
        assert_whole(w);
        if (!fired)
            return n - 1;
    }
}

static void test_a_table_is_whole_whichever_call_fails(void **state)
{
    struct world *w = *state;

    /* done, two of the dataset, get, write, three appends, get, commit */
    assert_int_equal(sweep(w, false, w->rows.len), 10);
    assert_int_equal(sweep(w, true, w->rows.len), 10);
    assert_int_equal(sweep(w, true, 0), 10);
}

static void test_a_table_that_saw_a_part_of_the_output_gets_the_rest_of_the_file(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };

    w->tables.fail_at = 7; /* the second append, and all after it: the process is gone */
    w->tables.fail_all = true;
    assert_int_equal(write_output(w, &e), -1);
    assert_int_equal(w->tables.position, BATCH_ROWS);
    assert_false(w->tables.has_table);
    w->tables.fail_at = 0;
    assert_int_equal(write_output_after(w, 0, &e), 0);
    assert_whole(w);
}

static void test_a_table_that_stands_in_the_way_leaves_nothing_hidden(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };

    w->tables.in_the_way = true;
    assert_int_equal(write_output(w, &e), -1);
    assert_int_equal(e.code, ERROR_ALREADY_EXISTS);
    assert_false(table_output_may_pass(&e));
    assert_false(w->tables.has_hidden);

    /* It came between the look and the commit. */
    w->tables.in_the_way = false;
    w->tables.code = ERROR_ALREADY_EXISTS;
    w->tables.calls = 0;
    w->tables.fail_at = 10; /* the commit */
    w->tables.has_dataset = false;
    assert_int_equal(write_output(w, &e), -1);
    assert_false(table_output_may_pass(&e));
    assert_false(w->tables.has_hidden);
    assert_int_equal(w->tables.hidden_count, 0);
}

static void test_a_copy_is_whole_or_the_check_fails(void **state)
{
    struct world *w = *state;

    for (int n = 1;; n++) {
        struct error e = { 0 };
        struct job_input copy = { 0 };
        w->tables.calls = 0;
        w->tables.fail_at = n;
        if (table_input_copy(&w->service, &w->arena, &w->job, SCRATCH_FILE_MAX, &copy, &e) < 0) {
            assert_int_equal(e.code, ERROR_UNAVAILABLE);
            assert_int_equal(copy.blob, 0);
            continue;
        }
        assert_true(n > 100); /* get, read, the batches and the end */
        assert_true(table_input_is_copy(copy.name));
        assert_int_equal(copy.bytes, w->input.bytes);
        break;
    }
}

static void test_a_copy_over_the_limit_is_refused(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job_input copy;

    assert_int_equal(table_input_copy(&w->service, &w->arena, &w->job, w->input.bytes, &copy, &e),
                     0);
    assert_int_equal(
        table_input_copy(&w->service, &w->arena, &w->job, w->input.bytes - 1, &copy, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(e.msg, "service.input_bytes_max"));
}

static void test_a_service_that_stops_copies_and_writes_no_further(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job_input copy;

    atomic_store(&w->service.halt, true);
    assert_int_equal(table_input_copy(&w->service, &w->arena, &w->job, SCRATCH_FILE_MAX, &copy, &e),
                     -1);
    assert_int_equal(e.code, ERROR_CANCELLED);
    assert_int_equal(write_output_after(w, 0, &e), -1);
    assert_int_equal(e.code, ERROR_CANCELLED);
    assert_true(table_output_may_pass(&e));
    atomic_store(&w->service.halt, false);
    assert_int_equal(write_output(w, &e), 0);
    assert_whole(w);
}

static void test_another_projects_tables_are_out_of_reach_but_for_an_open_service(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct job_input copy;
    struct job other = w->job;

    (void)snprintf(other.project, sizeof other.project, "q");
    assert_int_equal(table_input_copy(&w->service, &w->arena, &other, SCRATCH_FILE_MAX, &copy, &e),
                     -1);
    assert_int_equal(e.code, ERROR_PERMISSION_DENIED);
    assert_non_null(strstr(e.msg, "Access Denied: Table p:d.in"));
    assert_int_equal(table_output_check(&w->service, &w->arena, &other, NULL, &e), -1);
    assert_int_equal(e.code, ERROR_PERMISSION_DENIED);
    other.open = true;
    assert_int_equal(table_input_copy(&w->service, &w->arena, &other, SCRATCH_FILE_MAX, &copy, &e),
                     0);
}

int main(void)
{
#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(test_a_table_is_whole_whichever_call_fails),
        TEST(test_a_table_that_saw_a_part_of_the_output_gets_the_rest_of_the_file),
        TEST(test_a_table_that_stands_in_the_way_leaves_nothing_hidden),
        TEST(test_a_copy_is_whole_or_the_check_fails),
        TEST(test_a_copy_over_the_limit_is_refused),
        TEST(test_a_service_that_stops_copies_and_writes_no_further),
        TEST(test_another_projects_tables_are_out_of_reach_but_for_an_open_service),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
