/* suite_rows.h -- rows that are read, inserted and written.
 *
 * Part of the suite of tables (tables_suite.h), which includes it.
 */
#ifndef TRANCHE_TESTS_SUITE_ROWS_H
#define TRANCHE_TESTS_SUITE_ROWS_H

#include "conform/store/tables/suite_world.h"

/* ---- Rows ---- */

static void test_rows_keep_their_order_and_can_be_read_in_part(void **state)
{
    struct suite *s = *state;
    struct buf rows = BUF_INIT((size_t)1024 * 1024);
    struct tables_write w = { .into.name = NAME("d", "t") };
    const struct str columns[] = { STR("r.y"), STR("i") };

    suite_dataset(s, "d");
    w.schema = suite_schema(
        s, "{\"fields\":[{\"name\":\"i\",\"type\":\"INTEGER\"},{\"name\":\"r\",\"type\":\"RECORD\","
           "\"fields\":"
           "[{\"name\":\"x\",\"type\":\"STRING\"},{\"name\":\"y\",\"type\":\"STRING\"}]}]}");
    for (int i = 0; i < 10000; i++)
        buf_addf(&rows, "%s%d|{\"f\":[{\"v\":\"a\"},{\"v\":\"b%d\"}]}", i ? "\n" : "", i, i);
    buf_add_char(&rows, '\0');
    suite_write(s, &w, rows.p);
    assert_string_equal(suite_rows(s, w.into.name), rows.p);
    struct tables_read part = {
        .name = w.into.name, .columns = columns, .column_count = 2, .start = 7000, .limit = 2
    };
    assert_string_equal(suite_rows_of(s, &part),
                        "{\"f\":[{\"v\":\"b7000\"}]}|7000\n{\"f\":[{\"v\":\"b7001\"}]}|7001");
    buf_release(&rows);
}

static void test_an_open_read_sees_the_table_of_its_beginning(void **state)
{
    struct suite *s = *state;
    struct tables_write w = { .into.name = NAME("d", "t") };
    struct tables_read r = { .name = NAME("d", "t") };
    struct buf rows = BUF_INIT((size_t)1024 * 1024);
    struct bq_schema schema;
    struct bq_batch batch;
    uint32_t seen = 0;
    int rc;

    suite_dataset(s, "d");
    w.schema = suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    for (int i = 0; i < 30000; i++)
        buf_addf(&rows, "%srow %d", i ? "\n" : "", i);
    buf_add_char(&rows, '\0');
    suite_write(s, &w, rows.p);
    struct tables_rows *open = OPS->read(s->t, &r, &s->arena, &schema, &s->e);
    assert_non_null(open);
    OK(OPS->rows_next(open, &s->arena, &batch, &s->e));
    seen = batch.rows;
    w.into.write = TABLES_WRITE_TRUNCATE;
    suite_write(s, &w, "other");
    OK(OPS->remove(s->t, &w.into.name, &s->e));
    while ((rc = OPS->rows_next(open, &s->arena, &batch, &s->e)) > 0)
        seen += batch.rows;
    OK(rc);
    OPS->rows_close(open);
    assert_int_equal(seen, 30000);
    buf_release(&rows);
}

static void test_inserted_rows_are_there_at_once_or_not_at_all(void **state)
{
    struct suite *s = *state;
    struct tables_name name = NAME("d", "t");
    struct bq_schema schema, part;

    suite_dataset(s, "d");
    schema = suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"},{\"name\":\"i\","
                             "\"type\":\"INTEGER\"}]}");
    suite_table(s, name,
                "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"},{\"name\":\"i\",\"type\":"
                "\"INTEGER\"}]}");
    struct bq_batch batch = suite_batch(s, 2, "x|1\ny|2");
    OK(OPS->insert(s->t, &name, &schema, &batch, &s->e));
    assert_string_equal(suite_rows(s, name), "x|1\ny|2");
    batch = suite_batch(s, 2, "x|1\ny|two");
    FAILS(ERROR_INVALID_ARGUMENT, OPS->insert(s->t, &name, &schema, &batch, &s->e));
    assert_string_equal(suite_rows(s, name), "x|1\ny|2");
    part = suite_schema(s, "{\"fields\":[{\"name\":\"i\",\"type\":\"INTEGER\"}]}");
    batch = suite_batch(s, 1, "3");
    OK(OPS->insert(s->t, &name, &part, &batch, &s->e));
    assert_string_equal(suite_rows(s, name), "x|1\ny|2\nNULL|3");
    FAILS(ERROR_NOT_FOUND, OPS->insert(s->t, &NAME("d", "u"), &schema, &batch, &s->e));
}

/* ---- Writers ---- */

static void test_a_writer_obeys_its_dispositions(void **state)
{
    struct suite *s = *state;
    struct tables_write w = { .into = { .name = NAME("d", "t"), .create = TABLES_CREATE_NEVER } };
    int64_t position;

    w.schema = suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    assert_null(OPS->write(s->t, &w, &position, &s->e));
    assert_string_equal(s->e.msg, "Not found: Dataset my-project:d");
    suite_dataset(s, "d");
    assert_null(OPS->write(s->t, &w, &position, &s->e));
    assert_string_equal(s->e.msg, "Not found: Table my-project:d.t");
    w.into.create = TABLES_CREATE_IF_NEEDED;
    w.into.write = TABLES_WRITE_EMPTY;
    assert_true(suite_write(s, &w, "1").created);
    assert_null(OPS->write(s->t, &w, &position, &s->e));
    assert_string_equal(s->e.msg, "Already Exists: Table my-project:d.t");
    w.into.write = TABLES_WRITE_APPEND;
    suite_write(s, &w, "2\n3");
    assert_string_equal(suite_rows(s, w.into.name), "1\n2\n3");
    w.into.write = TABLES_WRITE_TRUNCATE;
    w.schema = suite_schema(s, "{\"fields\":[{\"name\":\"b\",\"type\":\"INTEGER\"}]}");
    suite_write(s, &w, "4");
    suite_write(s, &w, "5");
    assert_string_equal(suite_rows(s, w.into.name), "5");
    w.into.write = TABLES_WRITE_APPEND;
    w.schema = suite_schema(s, "{\"fields\":[{\"name\":\"b\",\"type\":\"INTEGER\"},{\"name\":\"c\","
                               "\"type\":\"STRING\"}]}");
    assert_null(OPS->write(s->t, &w, &position, &s->e));
    assert_int_equal(s->e.code, ERROR_INVALID_ARGUMENT);
    w.into.add_fields = true;
    suite_write(s, &w, "6|x");
    assert_string_equal(suite_rows(s, w.into.name), "5|NULL\n6|x");
}

static void test_a_key_is_written_once_also_after_a_restart(void **state)
{
    struct suite *s = *state;
    struct tables_write w = { .into.name = NAME("d", "t"), .key = STR("job:1:fence 3'") };
    struct tables_outcome out;

    suite_dataset(s, "d");
    w.schema = suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    assert_int_equal(OPS->done(s->t, STR(PROJECT), w.key, &out, &s->e), 0);
    assert_false(suite_write(s, &w, "1\n2").again);
    suite_restart(s);
    assert_int_equal(OPS->done(s->t, STR(PROJECT), w.key, &out, &s->e), 1);
    assert_int_equal(out.rows, 2);
    out = suite_write(s, &w, "1\n2");
    assert_true(out.again && out.created);
    assert_int_equal(out.rows, 2);
    assert_string_equal(suite_rows(s, w.into.name), "1\n2");
}

static void test_a_writer_that_was_left_goes_on_behind_its_last_batch(void **state)
{
    struct suite *s = *state;
    struct tables_write w = { .into.name = NAME("d", "t"), .key = STR("k"), .resume = true };
    struct tables_outcome out;
    struct bq_batch batch;
    int64_t position;

    suite_dataset(s, "d");
    w.schema = suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    struct tables_writer *writer = OPS->write(s->t, &w, &position, &s->e);
    assert_non_null(writer);
    assert_int_equal(position, 0);
    batch = suite_batch(s, 1, "1\n2");
    OK(OPS->writer_append(writer, &batch, 17, &s->e));
    OPS->writer_close(writer, true);
    suite_restart(s);
    writer = OPS->write(s->t, &w, &position, &s->e);
    assert_non_null(writer);
    assert_int_equal(position, 17);
    batch = suite_batch(s, 1, "3");
    OK(OPS->writer_append(writer, &batch, 18, &s->e));
    OK(OPS->writer_commit(writer, &out, &s->e));
    assert_string_equal(suite_rows(s, w.into.name), "1\n2\n3");
    /* Without resume the old rows go. */
    w.key = STR("k2");
    writer = OPS->write(s->t, &w, &position, &s->e);
    OK(OPS->writer_append(writer, &batch, 5, &s->e));
    OPS->writer_close(writer, true);
    w.resume = false;
    suite_write(s, &w, "4");
    assert_string_equal(suite_rows(s, w.into.name), "1\n2\n3\n4");
}

#define SUITE_ROWS_TESTS                                                                           \
    TABLES_TEST(test_rows_keep_their_order_and_can_be_read_in_part),                               \
        TABLES_TEST(test_an_open_read_sees_the_table_of_its_beginning),                            \
        TABLES_TEST(test_inserted_rows_are_there_at_once_or_not_at_all),                           \
        TABLES_TEST(test_a_writer_obeys_its_dispositions),                                         \
        TABLES_TEST(test_a_key_is_written_once_also_after_a_restart),                              \
        TABLES_TEST(test_a_writer_that_was_left_goes_on_behind_its_last_batch)

#endif
