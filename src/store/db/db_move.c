/* db_move.c -- all rows of a SQLite database into another database with the same tables, whatever its system.
 *
 * Why: the tables are read from the database itself, so that a change of them needs none here.
 *
 * Shape:   A column's declared type says how its values go: INTEGER, REAL, TEXT, BLOB, of which only a BLOB may be null. Tables go
 *          in the order of their making: what a row refers to goes before it.
 */
#include <assert.h>
#include <string.h>

#include "store/db/db_inner.h"

#define COLUMNS_MAX 128
#define BATCH_VALUES 500u /* of one statement */
#define STATEMENT_BYTES_MAX ((size_t)64 * 1024)

struct table {
    const char *name;
    const char *number; /* the column whose values the table gives; NULL: none */
    uint32_t columns;
    char kind[COLUMNS_MAX]; /* of each column, as db_bind's letters */
    struct buf names;       /* "a, b, c" */
};

static bool stays(const struct db_move *m, struct str name)
{
    for (const char *const *t = m->except; t && *t; t++)
        if (str_eq_c(name, *t))
            return true;
    return false;
}

static int kind_of(const struct table *t, struct str type, char *out, struct error *e)
{
    static const struct {
        const char *type;
        char kind;
    } kinds[] = { { "INTEGER", 'i' }, { "REAL", 'd' }, { "TEXT", 't' }, { "BLOB", 'B' } };

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq_c(type, kinds[i].type)) {
            *out = kinds[i].kind;
            return 0;
        }
    return error_set(e, ERROR_INTERNAL, "the table %s has a column of type \"%.*s\"", t->name,
                     STR_ARG(type));
}

static int read_columns(struct db *from, struct arena *a, struct table *t, struct error *e)
{
    struct stmt *q = db_stmt(from, "SELECT name, type, pk FROM pragma_table_info(?) ORDER BY cid");
    uint32_t keys = 0;
    bool number = false;
    int rc;

    db_bind(q, "s", t->name);
    while ((rc = db_step(q, "cannot read the tables", e)) == 1) {
        struct str name = db_text(q, 0, a), type = db_bytes(q, 1);
        assert(t->columns < COLUMNS_MAX);
        if (kind_of(t, type, &t->kind[t->columns], e) < 0)
            return -1;
        if (db_int(q, 2) != 0) {
            number = keys++ == 0 && t->kind[t->columns] == 'i';
            t->number = name.p;
        }
        buf_addf(&t->names, "%s%.*s", t->columns ? ", " : "", STR_ARG(name));
        t->columns++;
    }
    if (!number || keys != 1)
        t->number = NULL;
    return rc;
}

/* ---- Rows ---- */

struct cell {
    int64_t i;
    double d;
    struct str s; /* in the batch's arena */
};
/* Rows that one statement writes: a round trip each would be most of the time. */
struct batch {
    const struct table *t;
    struct cell *cell; /* of all rows, one after the other */
    uint32_t rows, rows_max;
    const char *many, *one; /* statements for rows_max rows, and for one */
    struct arena arena;
};

static const char *insert_sql(struct arena *a, const struct table *t, uint32_t rows)
{
    struct buf sql = BUF_INIT(STATEMENT_BYTES_MAX);

    buf_addf(&sql, "INSERT INTO %s (%s) VALUES", t->name, t->names.p);
    for (uint32_t r = 0; r < rows; r++) {
        buf_add_c(&sql, r ? ", (" : " (");
        for (uint32_t i = 0; i < t->columns; i++)
            buf_add_c(&sql, i ? ", ?" : "?");
        buf_add_char(&sql, ')');
    }
    assert(buf_ok(&sql));
    const char *text = arena_copy(a, sql.p, sql.len);
    buf_release(&sql);
    return text;
}

static void take_row(struct batch *b, struct stmt *from)
{
    struct cell *cell = &b->cell[(size_t)b->rows * b->t->columns];

    assert(b->rows < b->rows_max);
    for (uint32_t i = 0; i < b->t->columns; i++) {
        cell[i] = (struct cell){ 0 };
        if (b->t->kind[i] == 'i')
            cell[i].i = db_int(from, (int)i);
        else if (b->t->kind[i] == 'd')
            cell[i].d = db_double(from, (int)i);
        else
            cell[i].s = db_text(from, (int)i, &b->arena);
    }
    b->rows++;
}

/* Writes the rows [first, first + rows) by one statement. */
static int write_rows(struct db *to, const struct batch *b, uint32_t first, uint32_t rows,
                      struct error *e)
{
    struct stmt *q = db_stmt(to, rows == 1 ? b->one : b->many);
    const struct cell *cell = &b->cell[(size_t)first * b->t->columns];
    uint32_t count = rows * b->t->columns;

    assert(rows == 1 || rows == b->rows_max);
    for (uint32_t i = 0; i < count; i++) {
        char kind = b->t->kind[i % b->t->columns];
        int at = (int)i + 1;
        if (kind == 'i')
            db_bind_from(q, at, "i", cell[i].i);
        else if (kind == 'd')
            db_bind_from(q, at, "d", cell[i].d);
        else
            db_bind_from(q, at, kind == 't' ? "t" : "B", cell[i].s);
    }
    return db_run(q, "cannot write rows", e) < 0 ? -1 : 0;
}

/* A batch that is not full goes row by row. */
static int flush(struct db *to, struct batch *b, struct error *e)
{
    int rc = 0;

    if (b->rows == b->rows_max)
        rc = write_rows(to, b, 0, b->rows, e);
    else
        for (uint32_t i = 0; i < b->rows && rc == 0; i++)
            rc = write_rows(to, b, i, 1, e);
    b->rows = 0;
    arena_reset(&b->arena);
    return rc;
}

static int count_rows(struct db *d, const char *sql, uint64_t *out, struct error *e)
{
    struct stmt *q = db_stmt(d, sql);

    if (db_step(q, "cannot count rows", e) < 0)
        return -1;
    *out = (uint64_t)db_int(q, 0);
    db_reset(q);
    return 0;
}

static int copy_all(struct db *to, struct stmt *rows, struct batch *b, uint64_t *copied,
                    struct error *e)
{
    int rc;

    while ((rc = db_step(rows, "cannot read rows", e)) == 1) {
        take_row(b, rows);
        (*copied)++;
        if (b->rows == b->rows_max && flush(to, b, e) < 0)
            return -1;
    }
    return rc < 0 ? -1 : flush(to, b, e);
}

static int copy_rows(struct db *from, struct db *to, struct db_move *m, const struct table *t,
                     struct error *e)
{
    const char *count = arena_textf(m->texts, "SELECT count(*) FROM %s", t->name);
    const char *all = arena_textf(m->texts, "SELECT %s FROM %s", t->names.p, t->name);
    struct batch b = { .t = t };
    uint64_t rows = 0, there = 0;

    assert(t->columns > 0);
    b.rows_max = 1 + BATCH_VALUES / t->columns;
    b.one = insert_sql(m->texts, t, 1);
    b.many = insert_sql(m->texts, t, b.rows_max);
    b.cell = mem_array((size_t)b.rows_max * t->columns, sizeof *b.cell);
    int rc = copy_all(to, db_stmt(from, all), &b, &rows, e);
    mem_free(b.cell);
    arena_release(&b.arena);
    if (rc < 0 || count_rows(to, count, &there, e) < 0)
        return -1;
    m->rows += rows;
    return there == rows
               ? 0
               : error_set(e, ERROR_DATA_LOSS, "the table %s has %llu rows there, and %llu here",
                           t->name, (unsigned long long)there, (unsigned long long)rows);
}

/* The last number that the table gave, also when its row is gone. */
static int go_on_numbering(struct db *from, struct db *to, struct db_move *m, const struct table *t,
                           struct error *e)
{
    uint64_t last = 0, given = 0;
    struct stmt *q = db_stmt(from, "SELECT seq FROM sqlite_sequence WHERE name = ?");

    db_bind(q, "s", t->name);
    int rc = db_step(q, "cannot read the tables", e);
    if (rc < 0)
        return -1;
    given = rc == 1 ? (uint64_t)db_int(q, 0) : 0;
    db_reset(q);
    const char *sql =
        arena_textf(m->texts, "SELECT coalesce(max(%s), 0) FROM %s", t->number, t->name);
    if (count_rows(from, sql, &last, e) < 0)
        return -1;
    last = last > given ? last : given;
    return last == 0 || !to->ops->numbers_from
               ? 0
               : to->ops->numbers_from(to, t->name, t->number, (int64_t)last, e);
}

static int move_table(struct db *from, struct db *to, struct db_move *m, const char *name,
                      struct error *e)
{
    struct table t = { .name = name, .names = BUF_INIT(STATEMENT_BYTES_MAX) };
    int rc = read_columns(from, m->texts, &t, e);

    if (rc == 0)
        rc = copy_rows(from, to, m, &t, e);
    if (rc == 0 && t.number)
        rc = go_on_numbering(from, to, m, &t, e);
    buf_release(&t.names);
    m->tables += rc == 0;
    return rc;
}

int db_move(struct db *from, struct db *to, struct db_move *m, struct error *e)
{
    struct stmt *q = db_stmt(from, "SELECT name FROM sqlite_master WHERE type = 'table'"
                                   " AND substr(name, 1, 7) <> 'sqlite_' ORDER BY rowid");
    const char **name = NULL;
    uint32_t count = 0;
    int rc;

    while ((rc = db_step(q, "cannot read the tables", e)) == 1) {
        if (stays(m, db_bytes(q, 0)))
            continue;
        name = arena_list_grow(m->texts, name, count, sizeof *name);
        name[count++] = db_text(q, 0, m->texts).p;
    }
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = move_table(from, to, m, name[i], e);
    return rc;
}
