/* suite_world.h -- new tables for each test, and short ways to fill them, read them and ask them.
 *
 * Why: the tests of every kind of tables (tables_suite.h) need the same few steps.
 * Shape:   the program defines suite_begin, suite_end, suite_restart and suite_folder.
 * Threads: one. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_SUITE_WORLD_H
#define TRANCHE_TESTS_SUITE_WORLD_H

#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "store/tables/tables.h"

struct suite {
    struct tables *t;
    struct arena arena;
    struct error e;
    void *own; /* the program's */
    bool rest; /* tables in BigQuery: what its REST does not have is refused */
};
void suite_begin(struct suite *s); /* sets t: new tables */
void suite_end(struct suite *s);
void suite_restart(struct suite *s);             /* as after the end of the process */
const char *suite_folder(const struct suite *s); /* for files of a test */

#define PROJECT "my-project"
#define NAME(d, t) ((struct tables_name){ STR(PROJECT), STR(d), STR(t) })
#define OPS (s->t->ops)

static int suite_setup(void **state)
{
    struct suite *s = mem_alloc(sizeof *s);

    suite_begin(s);
    *state = s;
    return 0;
}

static int suite_teardown(void **state)
{
    struct suite *s = *state;

    suite_end(s);
    arena_release(&s->arena);
    mem_free(s);
    return 0;
}

/* ---- Helpers ---- */

#define OK(call)                                                                                   \
    do {                                                                                           \
        if ((call) < 0)                                                                            \
            fail_msg("%s: %s", #call, s->e.msg);                                                   \
    } while (0)
#define FAILS(error_code, call)                                                                    \
    do {                                                                                           \
        s->e = (struct error){ 0 };                                                                \
        assert_true((call) < 0);                                                                   \
        if (s->e.code != (error_code))                                                             \
            fail_msg("%s: %s, not %s: %s", #call, error_name(s->e.code), error_name(error_code),   \
                     s->e.msg);                                                                    \
    } while (0)

static struct bq_schema suite_schema(struct suite *s, const char *json)
{
    struct bq_schema out;

    OK(bq_schema_parse(str_of(json), &s->arena, &out, &s->e));
    return out;
}

static void suite_dataset(struct suite *s, const char *name)
{
    struct tables_dataset d = { .name = { STR(PROJECT), str_of(name), { NULL, 0 } } };

    OK(OPS->dataset_create(s->t, &d, &s->e));
}

static void suite_table(struct suite *s, struct tables_name name, const char *schema)
{
    struct tables_table t = { .name = name, .schema = suite_schema(s, schema) };

    OK(OPS->create(s->t, &t, &s->e));
}

/* Cells between '|', rows between '\n'; "NULL" is null. */
static struct bq_batch suite_batch(struct suite *s, uint32_t columns, const char *text)
{
    struct str rest = str_of(text), row, part;
    struct bq_batch out = { .columns = columns };
    struct bq_cell *cell = NULL;
    uint32_t count = 0;

    while (str_next(&rest, '\n', &row)) {
        for (uint32_t c = 0; c < columns; c++) {
            if (!str_next(&row, '|', &part))
                part = (struct str){ "", 0 };
            cell = arena_list_grow(&s->arena, cell, count, sizeof *cell);
            cell[count++] = (struct bq_cell){ str_eq_c(part, "NULL"), part };
        }
        out.rows++;
    }
    out.cell = cell;
    return out;
}

/* The same text of a table's rows; reads all of them. */
static char *suite_rows_of(struct suite *s, const struct tables_read *r)
{
    struct buf text = BUF_INIT((size_t)64 * 1024 * 1024);
    struct bq_schema schema;
    struct bq_batch batch;
    int rc;

    struct tables_rows *rows = OPS->read(s->t, r, &s->arena, &schema, &s->e);
    if (!rows)
        fail_msg("read: %s", s->e.msg);
    while ((rc = OPS->rows_next(rows, &s->arena, &batch, &s->e)) > 0) {
        assert_int_equal(batch.columns, schema.count);
        assert_true(batch.rows > 0);
        for (uint32_t i = 0; i < batch.rows * batch.columns; i++) {
            buf_add_c(&text, i % batch.columns ? "|" : text.len ? "\n" : "");
            if (batch.cell[i].null)
                buf_add_c(&text, "NULL");
            else
                buf_add_str(&text, batch.cell[i].text);
        }
    }
    OK(rc);
    OPS->rows_close(rows);
    buf_add_char(&text, '\0');
    char *out = arena_copy(&s->arena, text.p, text.len);
    buf_release(&text);
    return out;
}

static char *suite_rows(struct suite *s, struct tables_name name)
{
    return suite_rows_of(s, &(struct tables_read){ .name = name });
}

static struct tables_outcome suite_write(struct suite *s, const struct tables_write *w,
                                         const char *rows)
{
    struct bq_batch batch = suite_batch(s, w->schema.count, rows);
    struct tables_outcome out;
    int64_t position;

    struct tables_writer *writer = OPS->write(s->t, w, &position, &s->e);
    if (!writer)
        fail_msg("write: %s", s->e.msg);
    if (batch.rows)
        OK(OPS->writer_append(writer, &batch, 1, &s->e));
    OK(OPS->writer_commit(writer, &out, &s->e));
    return out;
}

/* ---- Queries ---- */

static struct tables_result suite_query_with(struct suite *s, struct tables_query q)
{
    struct tables_result out;

    q.project = STR(PROJECT);
    if (OPS->query(s->t, &q, &s->arena, &out, &s->e) < 0)
        fail_msg("%.*s: %s", STR_ARG(q.sql), s->e.msg);
    return out;
}

static struct tables_result suite_query(struct suite *s, const char *sql)
{
    return suite_query_with(s, (struct tables_query){ .sql = str_of(sql) });
}

static char *suite_result(struct suite *s, const char *sql)
{
    struct tables_result out = suite_query(s, sql);

    assert_true(out.has_rows);
    return suite_rows(s, out.destination);
}

static enum error_code suite_refused(struct suite *s, const char *sql)
{
    const struct tables_query q = { .project = STR(PROJECT), .sql = str_of(sql) };
    struct tables_result out;

    s->e = (struct error){ 0 };
    assert_true(OPS->query(s->t, &q, &s->arena, &out, &s->e) < 0);
    return s->e.code;
}

/* ---- Files ---- */

static const char *suite_file(struct suite *s, const char *name, const char *text)
{
    const char *path = arena_textf(&s->arena, "%s/%s", suite_folder(s), name);
    FILE *f = fopen(path, "wb");

    assert_non_null(f);
    if (text)
        assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    assert_int_equal(fclose(f), 0);
    return path;
}

static char *suite_read_file(struct suite *s, const char *path)
{
    struct buf text = BUF_INIT((size_t)16 * 1024 * 1024);

    OK(sys_read_file(path, text.max, &text, &s->e));
    buf_add_char(&text, '\0');
    char *out = arena_copy(&s->arena, text.p, text.len);
    buf_release(&text);
    return out;
}

#define TABLES_TEST(name) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)

#endif
