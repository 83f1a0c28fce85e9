/* tables_suite.h -- what every kind of tables must do, whoever holds them.
 *
 * Why: the API, jobs and the command line know the interface only; what they rely on is tested here once, and
 * run by a test_tables_KIND_conform.c for each kind.
 *
 * Shape:   the program defines suite_begin, suite_end and suite_restart, and runs TABLES_SUITE_TESTS. Each test has
 *          tables without a dataset.
 * Threads: one. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_TABLES_SUITE_H
#define TRANCHE_TESTS_TABLES_SUITE_H

#include <stdio.h>
#include <string.h>

#include "base/sys.h"
#include "store/tables/tables.h"

struct suite {
    struct tables *t;
    struct arena arena;
    struct error e;
    void *own; /* the program's */
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

/* ---- Datasets ---- */

static void test_a_dataset_keeps_its_options_and_has_one_etag_a_change(void **state)
{
    struct suite *s = *state;
    struct tables_dataset d = { .name = NAME("d", ""),
                                .options = STR("{\"labels\":{\"a\":\"b'c\"}}") };
    struct tables_dataset first, second;

    OK(OPS->dataset_create(s->t, &d, &s->e));
    FAILS(ERROR_ALREADY_EXISTS, OPS->dataset_create(s->t, &d, &s->e));
    assert_string_equal(s->e.msg, "Already Exists: Dataset my-project:d");
    OK(OPS->dataset_get(s->t, &d.name, &s->arena, &first, &s->e));
    assert_true(str_eq(first.options, d.options));
    assert_true(first.created_ms > 0);
    first.options = STR("{}");
    first.default_expiration_ms = 3600000;
    OK(OPS->dataset_change(s->t, &first, &s->e));
    OK(OPS->dataset_get(s->t, &d.name, &s->arena, &second, &s->e));
    assert_true(str_eq_c(second.options, "{}"));
    assert_int_equal(second.default_expiration_ms, 3600000);
    assert_string_not_equal(first.etag, second.etag);
    FAILS(ERROR_ABORTED, OPS->dataset_change(s->t, &first, &s->e));
}

static void test_datasets_are_listed_in_pages_without_hidden_ones(void **state)
{
    struct suite *s = *state;
    const char *names[] = { "b", "a", "_hidden", "C" };
    struct tables_datasets found;
    struct tables_page page = { .parent = NAME("", ""), .limit = 2 };

    OK(OPS->dataset_list(s->t, &page, &s->arena, &found, &s->e));
    assert_int_equal(found.count, 0);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        suite_dataset(s, names[i]);
    OK(OPS->dataset_list(s->t, &page, &s->arena, &found, &s->e));
    assert_int_equal(found.count, 2);
    assert_true(found.more);
    assert_true(str_eq_c(found.item[0].name.dataset, "C"));
    assert_true(str_eq_c(found.item[1].name.dataset, "a"));
    page.after = STR("a");
    OK(OPS->dataset_list(s->t, &page, &s->arena, &found, &s->e));
    assert_int_equal(found.count, 1);
    assert_false(found.more);
    assert_true(str_eq_c(found.item[0].name.dataset, "b"));
}

static void test_a_dataset_with_tables_is_deleted_only_with_its_contents(void **state)
{
    struct suite *s = *state;
    struct tables_dataset d;

    suite_dataset(s, "d");
    suite_table(s, NAME("d", "t"), "{\"fields\":[{\"name\":\"a\",\"type\":\"INTEGER\"}]}");
    FAILS(ERROR_FAILED_PRECONDITION, OPS->dataset_delete(s->t, &NAME("d", ""), false, &s->e));
    OK(OPS->dataset_delete(s->t, &NAME("d", ""), true, &s->e));
    FAILS(ERROR_NOT_FOUND, OPS->dataset_get(s->t, &NAME("d", ""), &s->arena, &d, &s->e));
    assert_string_equal(s->e.msg, "Not found: Dataset my-project:d");
    suite_dataset(s, "d");
}

static void test_names_that_are_none_are_refused(void **state)
{
    struct suite *s = *state;
    const char *datasets[] = { "", "a-b", "a.b", "a\"b", "caf\xc3\xa9" };
    const char *tables[] = { "", "a.b", "a\"b", "a$b", "a;b", "a\nb", "\xff" };

    suite_dataset(s, "d");
    for (size_t i = 0; i < ARRAY_LEN(datasets); i++) {
        struct tables_dataset d = { .name = { STR(PROJECT), str_of(datasets[i]), { NULL, 0 } } };
        FAILS(ERROR_INVALID_ARGUMENT, OPS->dataset_create(s->t, &d, &s->e));
    }
    for (size_t i = 0; i < ARRAY_LEN(tables); i++) {
        struct tables_table t = { .name = { STR(PROJECT), STR("d"), str_of(tables[i]) } };
        FAILS(ERROR_INVALID_ARGUMENT, OPS->create(s->t, &t, &s->e));
    }
    for (const char *p = "../x"; p; p = NULL) {
        struct tables_dataset d = { .name = { str_of(p), STR("d"), { NULL, 0 } } };
        FAILS(ERROR_INVALID_ARGUMENT, OPS->dataset_create(s->t, &d, &s->e));
    }
}

/* ---- Tables ---- */

#define ALL_TYPES                                                                                  \
    "{\"fields\":[{\"name\":\"s\",\"type\":\"STRING\",\"mode\":\"REQUIRED\"},"                     \
    "{\"name\":\"by\",\"type\":\"BYTES\"},{\"name\":\"i\",\"type\":\"INTEGER\"},"                  \
    "{\"name\":\"f\",\"type\":\"FLOAT\"},{\"name\":\"b\",\"type\":\"BOOLEAN\"},"                   \
    "{\"name\":\"ts\",\"type\":\"TIMESTAMP\"},{\"name\":\"da\",\"type\":\"DATE\"},"                \
    "{\"name\":\"ti\",\"type\":\"TIME\"},{\"name\":\"dt\",\"type\":\"DATETIME\"},"                 \
    "{\"name\":\"n\",\"type\":\"NUMERIC\"},{\"name\":\"bn\",\"type\":\"BIGNUMERIC\"},"             \
    "{\"name\":\"j\",\"type\":\"JSON\"},{\"name\":\"g\",\"type\":\"GEOGRAPHY\"},"                  \
    "{\"name\":\"l\",\"type\":\"INTEGER\",\"mode\":\"REPEATED\"},"                                 \
    "{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":[{\"name\":\"x\",\"type\":\"STRING\"},"        \
    "{\"name\":\"y\",\"type\":\"RECORD\",\"mode\":\"REPEATED\",\"fields\":[{\"name\":\"z\","       \
    "\"type\":\"TIMESTAMP\"}]}]}]}"

static void test_every_type_comes_back_as_it_was_written(void **state)
{
    struct suite *s = *state;
    const char *rows =
        "text "
        "\xc3\xa9|aGVsbG8=|-9223372036854775808|1.5|true|1700000000123456|2024-02-29|12:34:56."
        "000001|"
        "2024-01-31T00:00:00|-12345678901234567890123456789.123456789|1."
        "00000000000000000000000000000000000001|"
        "{\"a\":1}|POINT(1 "
        "2)|[{\"v\":\"1\"},{\"v\":\"2\"}]|{\"f\":[{\"v\":\"q\\\"\"},{\"v\":[{\"v\":{\"f\":[{\"v\":"
        "\"5\"}]}}]}]}\n"
        "||9223372036854775807|NaN|false|-1|0001-01-01|23:59:59.999999|9999-12-31T23:59:59.999999|"
        "0.5|0|"
        "null|POINT(0 0)|[]|{\"f\":[{\"v\":null},{\"v\":[]}]}\n"
        "x|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|[]|NULL\n"
        "y|AA==|0|-Infinity|true|0|1970-01-01|00:00:00|1970-01-01T00:00:00|100|-7|\"a\"|POINT(0 0)|"
        "[{\"v\":\"-3\"}]|{\"f\":[{\"v\":\"\"},{\"v\":[{\"v\":{\"f\":[{\"v\":null}]}}]}]}\n"
        "z|NULL|7|1.0|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|[]|NULL\n"
        "z|NULL|7|1.0E20|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|[]|NULL\n"
        "z|NULL|7|1.0E-7|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|NULL|[]|NULL";
    struct tables_write w = { .into = { .name = NAME("d", "all") } };
    struct tables_table t;

    suite_dataset(s, "d");
    w.schema = suite_schema(s, ALL_TYPES);
    struct tables_outcome out = suite_write(s, &w, rows);
    assert_true(out.created);
    assert_int_equal(out.rows, 7);
    assert_string_equal(suite_rows(s, NAME("d", "all")), rows);
    OK(OPS->get(s->t, &NAME("d", "all"), &s->arena, &t, &s->e));
    assert_int_equal(t.rows, 7);
    assert_true(t.bytes > 0);
    assert_int_equal(t.schema.count, w.schema.count);
    for (uint32_t i = 0; i < t.schema.count; i++) {
        assert_true(str_eq(t.schema.field[i].name, w.schema.field[i].name));
        assert_int_equal(t.schema.field[i].type, w.schema.field[i].type);
        assert_int_equal(t.schema.field[i].mode, w.schema.field[i].mode);
    }
    suite_restart(s);
    assert_string_equal(suite_rows(s, NAME("d", "all")), rows);
}

static void test_names_that_differ_by_case_are_two_tables(void **state)
{
    struct suite *s = *state;
    const char *datasets[] = {
        "main", "MAIN", "Main", "tranche", "information_schema", "my_project"
    };
    struct tables_write w = { .schema = suite_schema(
                                  s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}") };

    for (size_t i = 0; i < ARRAY_LEN(datasets); i++) {
        suite_dataset(s, datasets[i]);
        for (const char *table = "T"; table; table = *table == 'T' ? "t" : NULL) {
            w.into.name = (struct tables_name){ STR(PROJECT), str_of(datasets[i]), str_of(table) };
            suite_write(s, &w, arena_textf(&s->arena, "%s.%s", datasets[i], table));
        }
    }
    for (size_t i = 0; i < ARRAY_LEN(datasets); i++)
        for (const char *table = "T"; table; table = *table == 'T' ? "t" : NULL) {
            struct tables_name name = { STR(PROJECT), str_of(datasets[i]), str_of(table) };
            assert_string_equal(suite_rows(s, name),
                                arena_textf(&s->arena, "%s.%s", datasets[i], table));
        }
}

static void test_a_table_may_get_columns_and_lose_none(void **state)
{
    struct suite *s = *state;
    struct tables_table t,
        old = { .name = NAME("d", "t"), .options = STR("{\"description\":\"x\"}") };

    suite_dataset(s, "d");
    old.schema =
        suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\",\"mode\":\"REQUIRED\"},"
                        "{\"name\":\"r\",\"type\":\"RECORD\",\"fields\":[{\"name\":\"x\",\"type\":"
                        "\"INTEGER\"}]}]}");
    OK(OPS->create(s->t, &old, &s->e));
    struct bq_batch batch = suite_batch(s, 2, "one|{\"f\":[{\"v\":\"1\"}]}");
    OK(OPS->insert(s->t, &old.name, &old.schema, &batch, &s->e));
    OK(OPS->get(s->t, &old.name, &s->arena, &t, &s->e));
    assert_true(str_eq_c(t.options, "{\"description\":\"x\"}"));
    t.schema = suite_schema(
        s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"},{\"name\":\"r\",\"type\":\"RECORD\","
           "\"fields\":"
           "[{\"name\":\"x\",\"type\":\"INTEGER\"},{\"name\":\"y\",\"type\":\"STRING\"}]},"
           "{\"name\":\"n\",\"type\":\"NUMERIC\"}]}");
    OK(OPS->change(s->t, &t, &s->e));
    FAILS(ERROR_ABORTED, OPS->change(s->t, &t, &s->e));
    assert_string_equal(suite_rows(s, old.name), "one|{\"f\":[{\"v\":\"1\"},{\"v\":null}]}|NULL");
    t.etag[0] = '\0';
    t.schema = suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    FAILS(ERROR_INVALID_ARGUMENT, OPS->change(s->t, &t, &s->e));
}

static void test_a_table_without_columns_gets_them_later(void **state)
{
    struct suite *s = *state;
    struct tables_table t = { .name = NAME("d", "t") }, found;
    struct tables_write w = { .into.name = NAME("d", "t") };

    suite_dataset(s, "d");
    OK(OPS->create(s->t, &t, &s->e));
    OK(OPS->get(s->t, &t.name, &s->arena, &found, &s->e));
    assert_int_equal(found.schema.count, 0);
    assert_string_equal(suite_rows(s, t.name), "");
    w.schema = suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    assert_false(suite_write(s, &w, "x").created);
    assert_string_equal(suite_rows(s, t.name), "x");
}

static void test_tables_are_listed_removed_and_not_found(void **state)
{
    struct suite *s = *state;
    struct tables_page page = { .parent = NAME("d", ""), .limit = 10 };
    struct tables_list found;

    FAILS(ERROR_NOT_FOUND, OPS->list(s->t, &page, &s->arena, &found, &s->e));
    suite_dataset(s, "d");
    suite_table(s, NAME("d", "b"), "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    suite_table(s, NAME("d", "a b"), "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    OK(OPS->list(s->t, &page, &s->arena, &found, &s->e));
    assert_int_equal(found.count, 2);
    assert_true(str_eq_c(found.item[0].name.table, "a b"));
    OK(OPS->remove(s->t, &NAME("d", "b"), &s->e));
    FAILS(ERROR_NOT_FOUND, OPS->remove(s->t, &NAME("d", "b"), &s->e));
    assert_string_equal(s->e.msg, "Not found: Table my-project:d.b");
    FAILS(ERROR_NOT_FOUND, OPS->remove(s->t, &NAME("e", "b"), &s->e));
    assert_string_equal(s->e.msg, "Not found: Dataset my-project:e");
}

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

static void test_a_query_has_a_result_table_that_can_be_fetched(void **state)
{
    struct suite *s = *state;
    struct tables_table t;
    struct tables_datasets found;
    struct tables_page page = { .parent = NAME("", ""), .limit = 10 };

    struct tables_result out = suite_query(
        s, "SELECT 1 AS a, 'x' AS b, [1, 2] AS c UNION ALL SELECT 2, NULL, [] ORDER BY a");
    assert_true(str_eq_c(out.statement, "SELECT"));
    assert_int_equal(out.rows, 2);
    assert_int_equal(out.schema.count, 3);
    assert_int_equal(out.schema.field[0].type, BQ_INTEGER);
    assert_string_equal(suite_rows(s, out.destination),
                        "1|x|[{\"v\":\"1\"},{\"v\":\"2\"}]\n2|NULL|[]");
    OK(OPS->get(s->t, &out.destination, &s->arena, &t, &s->e));
    assert_int_equal(t.rows, 2);
    assert_true(t.expires_ms > t.created_ms);
    OK(OPS->dataset_list(s->t, &page, &s->arena, &found, &s->e));
    assert_int_equal(found.count, 0);
}

static void test_rows_are_changed_by_sql_and_counted(void **state)
{
    struct suite *s = *state;
    struct tables_result out;

    suite_query(s, "CREATE SCHEMA d");
    out = suite_query(s, "CREATE TABLE d.t (a INT64, b STRING)");
    assert_true(str_eq_c(out.statement, "CREATE_TABLE"));
    assert_string_equal(out.ddl, "CREATE");
    out = suite_query(s, "INSERT INTO d.t (a, b) VALUES (1, 'x'), (2, 'y'), (3, 'z')");
    assert_int_equal(out.inserted, 3);
    assert_false(out.has_rows);
    assert_int_equal(suite_query(s, "UPDATE d.t SET b = 'q' WHERE a > 1").updated, 2);
    assert_int_equal(suite_query(s, "DELETE FROM d.t WHERE a = 2").deleted, 1);
    out =
        suite_query(s, "MERGE d.t USING (SELECT 3 AS a, 'm' AS b UNION ALL SELECT 4, 'n') s ON t.a "
                       "= s.a WHEN MATCHED THEN"
                       " UPDATE SET b = s.b WHEN NOT MATCHED THEN INSERT (a, b) VALUES (s.a, s.b)");
    assert_int_equal(out.inserted, 1);
    assert_int_equal(out.updated, 1);
    assert_string_equal(suite_result(s, "SELECT a, b FROM d.t ORDER BY a"), "1|x\n3|m\n4|n");
    assert_int_equal(suite_query(s, "TRUNCATE TABLE d.t").deleted, 3);
}

static void test_tables_and_views_are_made_changed_and_dropped_by_sql(void **state)
{
    struct suite *s = *state;
    struct tables_table t;
    struct tables_result out;

    suite_query(s, "CREATE SCHEMA d");
    out = suite_query(s, "CREATE TABLE d.t PARTITION BY day OPTIONS(description='hello') AS SELECT "
                         "1 AS a, DATE '2024-01-31' AS day");
    assert_true(str_eq_c(out.statement, "CREATE_TABLE_AS_SELECT"));
    OK(OPS->get(s->t, &NAME("d", "t"), &s->arena, &t, &s->e));
    assert_true(str_find(t.options, STR("\"field\":\"day\"")) != SIZE_MAX);
    assert_true(str_find(t.options, STR("\"description\":\"hello\"")) != SIZE_MAX);
    assert_int_equal(suite_refused(s, "CREATE TABLE d.t AS SELECT 1 AS a"), ERROR_ALREADY_EXISTS);
    assert_string_equal(suite_query(s, "CREATE TABLE IF NOT EXISTS d.t AS SELECT 1 AS a").ddl,
                        "SKIP");
    assert_string_equal(
        suite_query(s, "CREATE OR REPLACE TABLE d.t AS SELECT 5 AS a, 'x' AS b").ddl, "REPLACE");
    assert_string_equal(suite_result(s, "SELECT * FROM d.t"), "5|x");
    out = suite_query(s, "CREATE VIEW d.v AS SELECT a * 2 AS twice FROM d.t");
    assert_true(str_eq_c(out.statement, "CREATE_VIEW"));
    assert_string_equal(suite_result(s, "SELECT twice FROM d.v"), "10");
    assert_string_equal(suite_rows(s, NAME("d", "v")), "10");
    suite_query(s, "ALTER TABLE d.t ADD COLUMN c FLOAT64, DROP COLUMN b");
    suite_query(s, "ALTER TABLE d.t RENAME COLUMN c TO e");
    suite_query(s, "ALTER TABLE d.t SET OPTIONS(description='bye')");
    OK(OPS->get(s->t, &NAME("d", "t"), &s->arena, &t, &s->e));
    assert_int_equal(t.schema.count, 2);
    assert_true(str_eq_c(t.schema.field[1].name, "e"));
    assert_true(str_find(t.options, STR("bye")) != SIZE_MAX);
    suite_query(s, "ALTER TABLE d.t RENAME TO u");
    assert_string_equal(suite_result(s, "SELECT a FROM d.u"), "5");
    assert_int_equal(suite_refused(s, "DROP TABLE d.v"), ERROR_INVALID_ARGUMENT);
    suite_query(s, "DROP VIEW d.v");
    suite_query(s, "DROP TABLE IF EXISTS d.nothing");
    assert_int_equal(suite_refused(s, "DROP TABLE d.nothing"), ERROR_NOT_FOUND);
    assert_int_equal(suite_refused(s, "DROP SCHEMA d"), ERROR_FAILED_PRECONDITION);
    suite_query(s, "DROP SCHEMA d CASCADE");
    assert_int_equal(suite_refused(s, "SELECT * FROM d.u"), ERROR_NOT_FOUND);
}

static void test_parameters_have_their_declared_types(void **state)
{
    struct suite *s = *state;
    struct bq_field x = { .name = STR("x"), .type = BQ_INTEGER };
    struct bq_field fields[] = { x, { .name = STR("y"), .type = BQ_STRING } };
    const struct bq_parameter p[] = {
        { STR("Name"), { .type = BQ_STRING }, { false, STR("it's") } },
        { STR("n"), { .type = BQ_NUMERIC }, { false, STR("1.5") } },
        { STR("l"),
          { .type = BQ_INTEGER, .mode = BQ_REPEATED },
          { false, STR("[{\"v\":\"1\"},{\"v\":\"2\"}]") } },
        { STR("r"),
          { .type = BQ_RECORD, .fields = fields, .field_count = 2 },
          { false, STR("{\"f\":[{\"v\":\"7\"},{\"v\":\"z\"}]}") } },
        { STR("t"), { .type = BQ_TIMESTAMP }, { false, STR("1700000000123456") } },
        { STR("z"), { .type = BQ_DATE }, { true, { NULL, 0 } } },
    };
    struct tables_query q = { .sql = STR("SELECT @name, @n, 2 IN UNNEST(@l), @r.x, @t, @z, @r.y"),
                              .parameter = p,
                              .parameter_count = ARRAY_LEN(p) };
    struct tables_result out = suite_query_with(s, q);

    assert_string_equal(suite_rows(s, out.destination), "it's|1.5|true|7|1700000000123456|NULL|z");
    assert_int_equal(out.schema.field[1].type, BQ_NUMERIC);
    assert_int_equal(out.schema.field[5].type, BQ_DATE);
    const struct bq_parameter places[] = { { { NULL, 0 }, x, { false, STR("4") } },
                                           { { NULL, 0 }, x, { false, STR("3") } } };
    q = (struct tables_query){ .sql = STR("SELECT ? - ?"),
                               .parameter = places,
                               .parameter_count = 2 };
    assert_string_equal(suite_rows(s, suite_query_with(s, q).destination), "1");
}

static void test_a_dry_run_tells_the_schema_and_runs_nothing(void **state)
{
    struct suite *s = *state;
    struct tables_query q = { .sql = STR("SELECT a, b FROM d.t WHERE a = @p"), .dry_run = true };
    struct tables_result out;

    suite_query(s, "CREATE SCHEMA d");
    suite_query(s, "CREATE TABLE d.t AS SELECT 1 AS a, 'x' AS b");
    out = suite_query_with(s, q);
    assert_int_equal(out.schema.count, 2);
    assert_int_equal(out.read_count, 1);
    assert_true(out.bytes > 0);
    assert_int_equal(out.undeclared_count, 1);
    assert_int_equal(out.destination.table.len, 0);
    q.sql = STR("DELETE FROM d.t WHERE true");
    suite_query_with(s, q);
    assert_string_equal(suite_result(s, "SELECT * FROM d.t"), "1|x");
}

static void test_a_query_writes_where_it_is_told(void **state)
{
    struct suite *s = *state;
    struct tables_query q = { .sql = STR("SELECT 1 AS a"),
                              .into = { .name = NAME("d", "t"), .write = TABLES_WRITE_EMPTY },
                              .key = STR("k1") };
    struct tables_result out;

    suite_dataset(s, "d");
    suite_query_with(s, q);
    out = suite_query_with(s, q);
    assert_true(out.again);
    assert_int_equal(out.schema.count, 1);
    assert_true(str_eq_c(out.statement, "SELECT"));
    q.key = STR("k2");
    q.project = STR(PROJECT);
    FAILS(ERROR_ALREADY_EXISTS, OPS->query(s->t, &q, &s->arena, &out, &s->e));
    q.into.write = TABLES_WRITE_APPEND;
    q.sql = STR("SELECT 2 AS a");
    suite_query_with(s, q);
    assert_string_equal(suite_rows(s, q.into.name), "1\n2");
    q.key = STR("k3");
    q.sql = STR("INSERT INTO d.t (a) VALUES (3)");
    q.into = (struct tables_into){ .add_fields = false };
    assert_int_equal(suite_query_with(s, q).inserted, 1);
    suite_restart(s);
    out = suite_query_with(s, q);
    assert_true(out.again);
    assert_int_equal(out.inserted, 1);
    assert_string_equal(suite_rows(s, NAME("d", "t")), "1\n2\n3");
}

static void test_a_script_has_variables_loops_and_temporary_tables(void **state)
{
    struct suite *s = *state;
    struct tables_result out;

    suite_dataset(s, "d");
    out = suite_query(s, "DECLARE n INT64 DEFAULT 0; DECLARE words ARRAY<STRING>;\n"
                         "CREATE TEMP TABLE t (i INT64, w STRING);\n"
                         "SET words = ['a', 'b'];\n"
                         "WHILE n < 3 DO INSERT INTO t (i, w) VALUES (n, words[SAFE_OFFSET(n)]); "
                         "SET n = n + 1; END WHILE;\n"
                         "FOR r IN (SELECT 10 AS x UNION ALL SELECT 20) DO INSERT INTO t (i, w) "
                         "VALUES (r.x, 'for'); END FOR;\n"
                         "BEGIN SELECT 1/0; EXCEPTION WHEN ERROR THEN INSERT INTO t (i, w) VALUES "
                         "(99, @@error.message); END;\n"
                         "IF n = 3 THEN SELECT i, w FROM t ORDER BY i; ELSE SELECT 0; END IF;");
    assert_true(str_eq_c(out.statement, "SCRIPT"));
    assert_true(out.has_rows);
    assert_string_equal(suite_rows(s, out.destination),
                        "0|a\n1|b\n2|NULL\n10|for\n20|for\n99|division by zero: 1 / 0");
    assert_true(out.step_count >= 6);
    assert_int_equal(suite_refused(s, "SELECT * FROM t"), ERROR_INVALID_ARGUMENT);
    assert_string_equal(suite_result(s, "EXECUTE IMMEDIATE 'SELECT ? + 1' USING 41"), "42");
    suite_query(s, "CREATE TABLE d.x AS SELECT 1 AS a; BEGIN TRANSACTION; INSERT INTO d.x (a) "
                   "VALUES (2); ROLLBACK TRANSACTION;");
    assert_string_equal(suite_result(s, "SELECT * FROM d.x"), "1");
    suite_query(s, "BEGIN TRANSACTION; INSERT INTO d.x (a) VALUES (2); COMMIT TRANSACTION;");
    assert_string_equal(suite_result(s, "SELECT * FROM d.x ORDER BY a"), "1\n2");
    suite_query(
        s,
        "BEGIN BEGIN TRANSACTION; INSERT INTO d.x (a) VALUES (3); SELECT 1/0; COMMIT TRANSACTION;"
        " EXCEPTION WHEN ERROR THEN ROLLBACK TRANSACTION; END; INSERT INTO d.x (a) VALUES (4)");
    assert_string_equal(suite_result(s, "SELECT * FROM d.x ORDER BY a"), "1\n2\n4");
    assert_false(suite_query(s, "SELECT 1; INSERT INTO d.x (a) VALUES (5)").has_rows);
}

static void test_rows_of_a_table_without_a_partition_column_know_their_time(void **state)
{
    struct suite *s = *state;
    struct tables_write w = { .into = { .name = NAME("d", "t"), .write = TABLES_WRITE_TRUNCATE } };

    suite_query(s, "CREATE SCHEMA d");
    suite_query(s, "CREATE TABLE d.t (a INT64) PARTITION BY _PARTITIONDATE");
    suite_query(s, "INSERT INTO d.t (a) VALUES (1), (2)");
    assert_string_equal(
        suite_result(s, "SELECT * FROM d.t WHERE _PARTITIONDATE = CURRENT_DATE() ORDER BY a"),
        "1\n2");
    w.schema = suite_schema(s, "[{\"name\":\"a\",\"type\":\"INTEGER\"}]");
    suite_write(s, &w, "7");
    assert_string_equal(
        suite_result(s, "SELECT COUNT(*) FROM d.t WHERE _PARTITIONTIME IS NOT NULL"), "1");
    assert_string_equal(suite_result(s, "SELECT total_rows FROM d.INFORMATION_SCHEMA.PARTITIONS"),
                        "1");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "7");
}

static void test_a_session_keeps_its_temporary_tables(void **state)
{
    struct suite *s = *state;
    struct str id;
    struct tables_query q = { .sql = STR("CREATE TEMP TABLE t AS SELECT 1 AS a") };

    OK(OPS->session_create(s->t, STR(PROJECT), &s->arena, &id, &s->e));
    q.session = id;
    struct tables_result out = suite_query_with(s, q);
    assert_true(out.destination.table.len > 0);
    assert_string_equal(suite_rows(s, out.destination), "1");
    suite_restart(s);
    q.sql = STR("SELECT a FROM t");
    assert_string_equal(suite_rows(s, suite_query_with(s, q).destination), "1");
    q.sql = STR("SELECT a FROM _SESSION.t");
    assert_string_equal(suite_rows(s, suite_query_with(s, q).destination), "1");
    assert_int_equal(suite_refused(s, "SELECT a FROM t"), ERROR_INVALID_ARGUMENT);
    OK(OPS->session_end(s->t, STR(PROJECT), id, &s->e));
    q.project = STR(PROJECT);
    assert_true(OPS->query(s->t, &q, &s->arena, &out, &s->e) < 0);
}

static void test_a_query_sees_its_own_project_only(void **state)
{
    struct suite *s = *state;
    struct tables_query q = { .project = STR("other"),
                              .sql = STR("CREATE SCHEMA d; CREATE TABLE d.t AS SELECT 1 AS a") };
    struct tables_result out;

    OK(OPS->query(s->t, &q, &s->arena, &out, &s->e));
    suite_dataset(s, "d");
    assert_int_equal(suite_refused(s, "SELECT * FROM other.d.t"), ERROR_PERMISSION_DENIED);
    assert_int_equal(suite_refused(s, "SELECT * FROM d.t"), ERROR_NOT_FOUND);
    assert_non_null(strstr(s->e.msg, "Not found: Table my-project:d.t"));
    assert_int_equal(suite_refused(s, "SELECT * FROM _tranche.relation"), ERROR_NOT_FOUND);
    assert_true(suite_refused(s, "SELECT * FROM duckdb_settings()") != ERROR_OK);
    assert_true(suite_refused(s, "SELECT * FROM read_csv('/etc/passwd')") != ERROR_OK);
}

static void test_views_of_the_information_schema_show_what_is_there(void **state)
{
    struct suite *s = *state;

    suite_query(s, "CREATE SCHEMA d");
    suite_query(s, "CREATE TABLE d.t (a INT64 NOT NULL, r STRUCT<x STRING, y ARRAY<DATE>>, day "
                   "DATE) PARTITION BY day OPTIONS(description='it\"s', labels=[('k', 'v')])");
    suite_query(s, "INSERT INTO d.t (a, day) VALUES (1, DATE '2024-01-31'), (2, DATE "
                   "'2024-01-31'), (3, NULL)");
    suite_query(s, "CREATE VIEW d.v AS SELECT a FROM d.t");
    assert_string_equal(
        suite_result(
            s,
            "SELECT table_name, table_type FROM d.INFORMATION_SCHEMA.TABLES ORDER BY table_name"),
        "t|BASE TABLE\nv|VIEW");
    assert_string_equal(
        suite_result(
            s, "SELECT column_name, ordinal_position, is_nullable, data_type, "
               "is_partitioning_column FROM"
               " d.INFORMATION_SCHEMA.COLUMNS WHERE table_name = 't' ORDER BY ordinal_position"),
        "a|1|NO|INT64|NO\nr|2|YES|STRUCT<x STRING, y ARRAY<DATE>>|NO\nday|3|YES|DATE|YES");
    assert_string_equal(
        suite_result(s, "SELECT field_path FROM d.INFORMATION_SCHEMA.COLUMN_FIELD_PATHS WHERE "
                        "table_name = 't'"),
        "a\nr\nr.x\nr.y\nday");
    assert_string_equal(suite_result(s, "SELECT schema_name FROM INFORMATION_SCHEMA.SCHEMATA"),
                        "d");
    assert_string_equal(suite_result(s, "SELECT view_definition FROM d.INFORMATION_SCHEMA.VIEWS"),
                        "SELECT a FROM d.t");
    assert_string_equal(
        suite_result(s, "SELECT partition_id, total_rows FROM d.INFORMATION_SCHEMA.PARTITIONS "
                        "WHERE table_name = 't' ORDER BY partition_id"),
        "20240131|2\n__NULL__|1");
    assert_string_equal(
        suite_result(s, "SELECT option_name, option_value FROM d.INFORMATION_SCHEMA.TABLE_OPTIONS "
                        "WHERE table_name = 't' ORDER BY option_name"),
        "description|\"it\\\"s\"\nlabels|[STRUCT(\"k\", \"v\")]");
    assert_string_equal(suite_result(s, "SELECT COUNT(*) FROM `region-us`.INFORMATION_SCHEMA.JOBS"),
                        "0");
    assert_string_equal(suite_result(s, "SELECT COUNT(*) FROM d.INFORMATION_SCHEMA.ROUTINES"), "0");
    assert_int_equal(suite_refused(s, "SELECT * FROM d.INFORMATION_SCHEMA.NOTHING"),
                     ERROR_NOT_FOUND);
}

static void test_a_wildcard_stands_for_all_tables_of_a_prefix(void **state)
{
    struct suite *s = *state;

    suite_query(s, "CREATE SCHEMA d");
    suite_query(s, "CREATE TABLE d.ev_2023 AS SELECT 1 AS a");
    suite_query(s, "CREATE TABLE d.ev_2024 AS SELECT 2 AS a");
    suite_query(s, "CREATE TABLE d.other AS SELECT 3 AS a");
    assert_string_equal(
        suite_result(s, "SELECT a, _TABLE_SUFFIX AS suffix FROM `d.ev_*` ORDER BY a"),
        "1|2023\n2|2024");
    assert_string_equal(suite_result(s, "SELECT a FROM `d.ev_*` WHERE _TABLE_SUFFIX > '2023'"),
                        "2");
    assert_int_equal(suite_refused(s, "SELECT * FROM `d.none_*`"), ERROR_NOT_FOUND);
}

static void test_an_array_with_a_null_is_no_result(void **state)
{
    struct suite *s = *state;

    assert_int_equal(suite_refused(s, "SELECT [1, NULL] AS a"), ERROR_INVALID_ARGUMENT);
    assert_non_null(strstr(s->e.msg, "Array cannot have a null element"));
}

static void test_a_query_ends_by_its_limits(void **state)
{
    struct suite *s = *state;
    struct tables_cancel cancel;
    struct tables_query q = {
        .project = STR(PROJECT),
        .sql = STR("SELECT COUNT(*) FROM UNNEST(GENERATE_ARRAY(1, 100000)) a, "
                   "UNNEST(GENERATE_ARRAY(1, 100000)) b,"
                   " UNNEST(GENERATE_ARRAY(1, 100000)) c WHERE MOD(a * b * c, 7) = 3"),
        .timeout_ms = 200
    };
    struct tables_result out;

    FAILS(ERROR_DEADLINE_EXCEEDED, OPS->query(s->t, &q, &s->arena, &out, &s->e));
    tables_cancel_init(&cancel);
    tables_cancel_now(&cancel);
    q.cancel = &cancel;
    FAILS(ERROR_CANCELLED, OPS->query(s->t, &q, &s->arena, &out, &s->e));
    tables_cancel_release(&cancel);
    q = (struct tables_query){ .project = STR(PROJECT),
                               .sql = STR("SELECT * FROM UNNEST(GENERATE_ARRAY(1, 11))"),
                               .rows_max = 10 };
    FAILS(ERROR_RESOURCE_EXHAUSTED, OPS->query(s->t, &q, &s->arena, &out, &s->e));
    q.rows_max = 11;
    OK(OPS->query(s->t, &q, &s->arena, &out, &s->e));
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

static struct tables_loaded suite_load(struct suite *s, struct tables_load l, const char *text)
{
    const char *path = suite_file(s, "in", text);
    struct tables_loaded out;

    l.path = &path;
    l.path_count = 1;
    l.into.name = NAME("d", "t");
    OK(OPS->load(s->t, &l, &s->arena, &out, &s->e));
    return out;
}

static void suite_load_fails(struct suite *s, struct tables_load l, const char *text,
                             const char *says)
{
    const char *path = suite_file(s, "in", text);
    struct tables_loaded out;

    l.path = &path;
    l.path_count = 1;
    l.into.name = NAME("d", "t");
    FAILS(ERROR_INVALID_ARGUMENT, OPS->load(s->t, &l, &s->arena, &out, &s->e));
    if (!strstr(s->e.msg, says))
        fail_msg("%s: has not: %s", s->e.msg, says);
}

#define ABC                                                                                        \
    "[{\"name\":\"a\",\"type\":\"STRING\"},{\"name\":\"b\",\"type\":\"INTEGER\"},"                 \
    "{\"name\":\"c\",\"type\":\"DATE\"}]"

static void test_csv_is_loaded_by_the_options_of_a_load_job(void **state)
{
    struct suite *s = *state;
    const struct bq_schema abc = suite_schema(s, ABC);
    struct tables_load l = { .schema = abc, .into.write = TABLES_WRITE_TRUNCATE };

    suite_dataset(s, "d");
    l.skip_rows = 1;
    struct tables_loaded out =
        suite_load(s, l,
                   "\xef\xbb\xbf"
                   "a,b,c\r\n\"x, \"\"y\"\"\",1,2024-01-31\r\n\r\n,2,\n\"\",,2024-2-1");
    assert_int_equal(out.outcome.rows, 3);
    assert_true(out.input_bytes > 0);
    assert_string_equal(suite_rows(s, NAME("d", "t")),
                        "x, \"y\"|1|2024-01-31\nNULL|2|NULL\n|NULL|2024-02-01");
    l.skip_rows = 0;
    l.delimiter = STR("\\t");
    l.quote = STR("'");
    l.null_marker = STR("NA");
    suite_load(s, l, "'x\ty'\t1\t2024-01-31\nNA\t2\tNA");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "x\ty|1|2024-01-31\nNULL|2|NULL");
    l = (struct tables_load){ .schema = abc,
                              .into.write = TABLES_WRITE_TRUNCATE,
                              .quoted_newlines = true };
    suite_load(s, l, "\"two\nlines\",1,\nx,2,");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "two\nlines|1|NULL\nx|2|NULL");
    l.jagged_rows = l.ignore_unknown = true;
    suite_load(s, l, "x\ny,1,2024-01-31,more");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "x|NULL|NULL\ny|1|2024-01-31");
    l.encoding = STR("ISO-8859-1");
    suite_load(s, l, "caf\xe9,1,");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "caf\xc3\xa9|1|NULL");
    l = (struct tables_load){ .into.write = TABLES_WRITE_APPEND };
    suite_load(s, l, "z,9,");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "caf\xc3\xa9|1|NULL\nz|9|NULL");
}

static void test_bad_rows_are_named_and_counted(void **state)
{
    struct suite *s = *state;
    struct tables_load l = { .schema = suite_schema(s, ABC) };

    suite_dataset(s, "d");
    suite_load_fails(s, l, "x,1,\ny,one,", "line_number: 2");
    suite_load_fails(s, l, "x,1,\ny,one,", "b");
    suite_load_fails(s, l, "x,1\n", "contains only 2 columns");
    suite_load_fails(s, l, "x,1,,", "Too many values");
    suite_load_fails(s, l, "\"x,1,", "close quote");
    suite_load_fails(s, l, "caf\xe9,1,", "not UTF-8");
    struct tables_table t;
    FAILS(ERROR_NOT_FOUND, OPS->get(s->t, &NAME("d", "t"), &s->arena, &t, &s->e));
    l.bad_rows_max = 1;
    struct tables_loaded out = suite_load(s, l, "x,1,\ny,one,\nz,3,");
    assert_int_equal(out.bad_rows, 1);
    assert_int_equal(out.error_count, 1);
    assert_string_equal(suite_rows(s, NAME("d", "t")), "x|1|NULL\nz|3|NULL");
    suite_load_fails(s, l, "x,one,\ny,two,", "too many errors");
    l.format = TABLES_NDJSON;
    suite_load_fails(s, l, "{\"b\":\"x\"}\n{\"a\":", "too many errors");
}

static void test_json_is_loaded_nested_and_by_name(void **state)
{
    struct suite *s = *state;
    struct tables_load l = { .format = TABLES_NDJSON, .into.write = TABLES_WRITE_TRUNCATE };
    struct tables_table t;

    suite_dataset(s, "d");
    l.schema = suite_schema(s, ABC);
    suite_load(s, l, "{\"b\": 7, \"A\": \"x\"}\n\n{\"c\": \"2024-01-31\"}");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "x|7|NULL\nNULL|NULL|2024-01-31");
    suite_load_fails(s, l, "{\"z\": 1}", "No such field: z");
    l.ignore_unknown = true;
    suite_load(s, l, "{\"z\": 1, \"b\": 2}");
    l = (struct tables_load){ .format = TABLES_NDJSON,
                              .into.write = TABLES_WRITE_TRUNCATE,
                              .autodetect = true };
    suite_load(s, l,
               "{\"i\": 1, \"f\": 1, \"s\": \"x\", \"d\": \"2024-01-31\", \"t\": "
               "\"2024-01-31T01:02:03Z\", \"r\": {\"x\": true, \"l\": [1, 2]}}\n"
               "{\"f\": 1.5, \"r\": {\"y\": \"z\"}}");
    OK(OPS->get(s->t, &NAME("d", "t"), &s->arena, &t, &s->e));
    const enum bq_type types[] = {
        BQ_INTEGER, BQ_FLOAT, BQ_STRING, BQ_DATE, BQ_TIMESTAMP, BQ_RECORD
    };
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        assert_int_equal(t.schema.field[i].type, types[i]);
    assert_int_equal(t.schema.field[5].fields[1].mode, BQ_REPEATED);
    assert_string_equal(suite_rows(s, NAME("d", "t")),
                        "1|1.0|x|2024-01-31|1706662923000000|{\"f\":[{\"v\":\"true\"},{\"v\":[{"
                        "\"v\":\"1\"},{\"v\":\"2\"}]},{\"v\":null}]}\n"
                        "NULL|1.5|NULL|NULL|NULL|{\"f\":[{\"v\":null},{\"v\":[]},{\"v\":\"z\"}]}");
}

static void test_a_csv_file_tells_its_columns(void **state)
{
    struct suite *s = *state;
    struct tables_load l = { .autodetect = true,
                             .skip_rows = -1,
                             .into.write = TABLES_WRITE_TRUNCATE };
    struct tables_table t;

    suite_dataset(s, "d");
    suite_load(s, l,
               "id,full name,score,day,ok\n1,Ann,1.5,2024-01-31,true\n2,Bob,2,2024-02-01,false\n");
    OK(OPS->get(s->t, &NAME("d", "t"), &s->arena, &t, &s->e));
    const char *names[] = { "id", "full_name", "score", "day", "ok" };
    const enum bq_type types[] = { BQ_INTEGER, BQ_STRING, BQ_FLOAT, BQ_DATE, BQ_BOOLEAN };
    assert_int_equal(t.schema.count, 5);
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        assert_true(str_eq_c(t.schema.field[i].name, names[i]));
        assert_int_equal(t.schema.field[i].type, types[i]);
    }
    assert_int_equal(t.rows, 2);
    suite_load(s, l, "x,y\nz,w\n");
    assert_string_equal(suite_rows(s, NAME("d", "t")), "x|y\nz|w");
    l.skip_rows = 1;
    suite_load(s, l, "p,q\nz,w\n");
    OK(OPS->get(s->t, &NAME("d", "t"), &s->arena, &t, &s->e));
    assert_true(str_eq_c(t.schema.field[0].name, "p"));
    assert_string_equal(suite_rows(s, NAME("d", "t")), "z|w");
}

static void test_a_table_goes_through_files_and_comes_back(void **state)
{
    struct suite *s = *state;
    const enum tables_format formats[] = { TABLES_NDJSON, TABLES_PARQUET };
    struct tables_outcome out;
    struct tables_loaded loaded;

    suite_query(s, "CREATE SCHEMA d");
    suite_query(
        s, "CREATE TABLE d.src AS SELECT 1 AS i, 'x\"y' AS s, 1.5 AS f, NUMERIC '1.25' AS n, DATE "
           "'2024-01-31' AS d, TIMESTAMP '2024-01-31 01:02:03.5+00' AS t,"
           " DATETIME '2024-01-31T01:02:03' AS dt, TIME '01:02:03' AS ti, b'abc' AS b, true AS ok, "
           "[1, 2] AS l, STRUCT('q' AS x, [STRUCT(1 AS z)] AS y) AS r"
           " UNION ALL SELECT 2, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, [], NULL");
    struct tables_table src;
    OK(OPS->get(s->t, &NAME("d", "src"), &s->arena, &src, &s->e));
    const char *rows = suite_rows(s, src.name);
    for (size_t i = 0; i < 2 * ARRAY_LEN(formats); i++) {
        const char *path = suite_file(s, "out", NULL);
        struct tables_extract x = {
            .name = src.name, .path = path, .format = formats[i / 2], .gzip = i % 2
        };
        struct tables_load l = { .into = { .name = NAME("d", "back"),
                                           .write = TABLES_WRITE_TRUNCATE },
                                 .path = &path,
                                 .path_count = 1,
                                 .format = formats[i / 2],
                                 .schema = src.schema };
        OK(OPS->extract(s->t, &x, &out, &s->e));
        assert_int_equal(out.rows, 2);
        OK(OPS->load(s->t, &l, &s->arena, &loaded, &s->e));
        assert_string_equal(suite_rows(s, l.into.name), rows);
    }
    struct tables_extract x = { .name = src.name, .path = suite_file(s, "out", NULL) };
    FAILS(ERROR_INVALID_ARGUMENT, OPS->extract(s->t, &x, &out, &s->e));
    assert_non_null(strstr(s->e.msg, "nested"));
    suite_query(s, "CREATE TABLE d.flat AS SELECT 1 AS i, 'a,b' AS s UNION ALL SELECT 2, NULL");
    x.name = NAME("d", "flat");
    OK(OPS->extract(s->t, &x, &out, &s->e));
    assert_string_equal(suite_read_file(s, x.path), "i,s\n1,\"a,b\"\n2,\n");
    x.no_header = true;
    x.delimiter = STR("\t");
    OK(OPS->extract(s->t, &x, &out, &s->e));
    assert_string_equal(suite_read_file(s, x.path), "1\ta,b\n2\t\n");
}

/* ---- Copies, jobs ---- */

static void test_tables_are_copied(void **state)
{
    struct suite *s = *state;
    const struct tables_name from[] = { NAME("d", "a"), NAME("d", "b") };
    struct tables_write w = { .into.name = from[0] };
    struct tables_copy c = {
        .from = from, .from_count = 2, .into.name = NAME("e", "c"), .key = STR("copy")
    };
    struct tables_outcome out;

    suite_dataset(s, "d");
    w.schema = suite_schema(s, "{\"fields\":[{\"name\":\"a\",\"type\":\"STRING\"}]}");
    suite_write(s, &w, "1\n2");
    w.into.name = from[1];
    suite_write(s, &w, "3");
    FAILS(ERROR_NOT_FOUND, OPS->copy(s->t, &c, &out, &s->e));
    suite_dataset(s, "e");
    OK(OPS->copy(s->t, &c, &out, &s->e));
    OK(OPS->copy(s->t, &c, &out, &s->e));
    assert_true(out.again);
    assert_string_equal(suite_rows(s, NAME("e", "c")), "1\n2\n3");
}

static void test_jobs_are_kept_and_listed_newest_first(void **state)
{
    struct suite *s = *state;
    struct tables_job job = { .parent = STR(""),
                              .state = STR("DONE"),
                              .json = STR("{\"a\":\"'\"}") },
                      found;
    struct tables_jobs_page page = { .project = STR(PROJECT), .limit = 2 };
    struct tables_jobs jobs;

    FAILS(ERROR_NOT_FOUND, OPS->job_get(s->t, STR(PROJECT), STR("j1"), &s->arena, &found, &s->e));
    OK(OPS->job_list(s->t, &page, &s->arena, &jobs, &s->e));
    assert_int_equal(jobs.count, 0);
    for (int i = 1; i <= 3; i++) {
        job.id = str_of(arena_textf(&s->arena, "j%d", i));
        job.created_ms = 1700000000000 + i;
        OK(OPS->job_put(s->t, STR(PROJECT), &job, &s->e));
    }
    job.state = STR("RUNNING");
    OK(OPS->job_put(s->t, STR(PROJECT), &job, &s->e));
    suite_restart(s);
    OK(OPS->job_get(s->t, STR(PROJECT), STR("j3"), &s->arena, &found, &s->e));
    assert_true(str_eq_c(found.state, "RUNNING") && str_eq(found.json, job.json));
    OK(OPS->job_list(s->t, &page, &s->arena, &jobs, &s->e));
    assert_int_equal(jobs.count, 2);
    assert_true(jobs.more && str_eq_c(jobs.item[0].id, "j3"));
    page.before_ms = jobs.item[1].created_ms;
    page.before_id = jobs.item[1].id;
    OK(OPS->job_list(s->t, &page, &s->arena, &jobs, &s->e));
    assert_true(jobs.count == 1 && !jobs.more && str_eq_c(jobs.item[0].id, "j1"));
    OK(OPS->job_delete(s->t, STR(PROJECT), STR("j1"), &s->e));
    FAILS(ERROR_NOT_FOUND, OPS->job_delete(s->t, STR(PROJECT), STR("j1"), &s->e));
}

#define TABLES_TEST(name) cmocka_unit_test_setup_teardown(name, suite_setup, suite_teardown)
#define TABLES_SUITE_TESTS                                                                         \
    TABLES_TEST(test_a_dataset_keeps_its_options_and_has_one_etag_a_change),                       \
        TABLES_TEST(test_datasets_are_listed_in_pages_without_hidden_ones),                        \
        TABLES_TEST(test_a_dataset_with_tables_is_deleted_only_with_its_contents),                 \
        TABLES_TEST(test_names_that_are_none_are_refused),                                         \
        TABLES_TEST(test_every_type_comes_back_as_it_was_written),                                 \
        TABLES_TEST(test_names_that_differ_by_case_are_two_tables),                                \
        TABLES_TEST(test_a_table_may_get_columns_and_lose_none),                                   \
        TABLES_TEST(test_a_table_without_columns_gets_them_later),                                 \
        TABLES_TEST(test_tables_are_listed_removed_and_not_found),                                 \
        TABLES_TEST(test_rows_keep_their_order_and_can_be_read_in_part),                           \
        TABLES_TEST(test_an_open_read_sees_the_table_of_its_beginning),                            \
        TABLES_TEST(test_inserted_rows_are_there_at_once_or_not_at_all),                           \
        TABLES_TEST(test_a_writer_obeys_its_dispositions),                                         \
        TABLES_TEST(test_a_key_is_written_once_also_after_a_restart),                              \
        TABLES_TEST(test_a_writer_that_was_left_goes_on_behind_its_last_batch),                    \
        TABLES_TEST(test_a_query_has_a_result_table_that_can_be_fetched),                          \
        TABLES_TEST(test_rows_are_changed_by_sql_and_counted),                                     \
        TABLES_TEST(test_tables_and_views_are_made_changed_and_dropped_by_sql),                    \
        TABLES_TEST(test_parameters_have_their_declared_types),                                    \
        TABLES_TEST(test_a_dry_run_tells_the_schema_and_runs_nothing),                             \
        TABLES_TEST(test_a_query_writes_where_it_is_told),                                         \
        TABLES_TEST(test_a_script_has_variables_loops_and_temporary_tables),                       \
        TABLES_TEST(test_a_session_keeps_its_temporary_tables),                                    \
        TABLES_TEST(test_rows_of_a_table_without_a_partition_column_know_their_time),              \
        TABLES_TEST(test_a_query_sees_its_own_project_only),                                       \
        TABLES_TEST(test_views_of_the_information_schema_show_what_is_there),                      \
        TABLES_TEST(test_a_wildcard_stands_for_all_tables_of_a_prefix),                            \
        TABLES_TEST(test_an_array_with_a_null_is_no_result),                                       \
        TABLES_TEST(test_a_query_ends_by_its_limits),                                              \
        TABLES_TEST(test_csv_is_loaded_by_the_options_of_a_load_job),                              \
        TABLES_TEST(test_bad_rows_are_named_and_counted),                                          \
        TABLES_TEST(test_json_is_loaded_nested_and_by_name),                                       \
        TABLES_TEST(test_a_csv_file_tells_its_columns),                                            \
        TABLES_TEST(test_a_table_goes_through_files_and_comes_back),                               \
        TABLES_TEST(test_tables_are_copied),                                                       \
        TABLES_TEST(test_jobs_are_kept_and_listed_newest_first)

#endif
