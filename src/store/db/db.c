#include "store/db/db.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "store/db/db_inner.h"

/* First line of a change that programs of earlier versions cannot work with. */
#define BREAKING "-- breaking"

/* ---- Connections ---- */

bool db_is_url(const char *place)
{
    return str_starts(str_of(place), STR("postgres://")) ||
           str_starts(str_of(place), STR("postgresql://"));
}

struct db *db_open(const char *place, const struct db_settings *settings, struct error *e)
{
    return db_is_url(place) ? db_open_postgres(place, e) : db_open_sqlite(place, settings, e);
}

void db_close(struct db *d)
{
    if (!d)
        return;
    db_rollback(d);
    for (uint32_t i = 0; i < d->count; i++)
        d->ops->finalize(d->used[i]);
    d->ops->close(d);
}

bool db_is_lost(const struct db *d)
{
    return d->ops->is_lost && d->ops->is_lost(d);
}

bool db_clock(const struct db *d, struct db_clock *out)
{
    return d->ops->clock && d->ops->clock(d, out);
}

int64_t db_epoch(const struct db *d)
{
    return d->ops->epoch ? d->ops->epoch(d) : 0;
}

int db_copy(struct db *from, struct db *to, struct error *e)
{
    assert(from->ops == to->ops && from->ops->copy);
    return from->ops->copy(from, to, e);
}

int db_settle(struct db *d, const char *doing, struct error *e)
{
    assert(d->ops->settle);
    db_reset_all(d);
    return d->ops->settle(d, doing, e);
}

/* ---- Statements ---- */

struct stmt *db_stmt(struct db *d, const char *sql)
{
    size_t at = ((uintptr_t)sql * UINT64_C(0x9E3779B97F4A7C15)) >> 32;
    struct stmt *q = &d->cache[at % STATEMENTS_MAX];

    while (q->sql && q->sql != sql)
        q = &d->cache[++at % STATEMENTS_MAX];
    if (!q->sql) {
        assert(d->count < ARRAY_LEN(d->used));
        d->used[d->count++] = q;
        *q = (struct stmt){ .sql = sql, .db = d };
    }
    if (!q->raw) {
        d->ops->prepare(q);
        return q;
    }
    d->ops->reset(q);
    q->bound = 0;
    return q;
}

static struct db_value value_of(char letter, va_list *args)
{
    struct db_value v = { .kind = letter == 'b' || letter == 'B' ? DB_BYTES : DB_TEXT };
    const char *text;

    switch (letter) {
    case 'i':
        return (struct db_value){ .kind = DB_INT, .i = va_arg(*args, int64_t) };
    case 'n':
        return (struct db_value){ .kind = DB_INT, .i = va_arg(*args, int) };
    case 'd':
        return (struct db_value){ .kind = DB_DOUBLE, .d = va_arg(*args, double) };
    case 's':
        text = va_arg(*args, const char *);
        v.s = text ? str_of(text) : (struct str){ 0 };
        return v;
    case 't':
    case 'b':
    case 'B':
        v.s = va_arg(*args, struct str);
        if (v.s.len == 0)
            v.s.p = letter == 'B' ? NULL : "";
        return v;
    default:
        assert(!"a letter of db_bind");
        return v;
    }
}

static void bind_all(struct stmt *q, int first, const char *format, va_list *args)
{
    for (int i = 0; q->raw && format[i]; i++) {
        assert(first + i <= q->parameters);
        q->db->ops->bind(q, first + i, value_of(format[i], args));
        q->bound++;
    }
}

void db_bind(struct stmt *q, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    bind_all(q, 1, format, &args);
    va_end(args);
}

void db_bind_from(struct stmt *q, int first, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    bind_all(q, first, format, &args);
    va_end(args);
}

int db_step(struct stmt *q, const char *doing, struct error *e)
{
    assert(!q->raw || q->bound == q->parameters);
    return q->db->ops->step(q, doing, e);
}

int db_run(struct stmt *q, const char *doing, struct error *e)
{
    int rc = db_step(q, doing, e);

    assert(rc != 1);
    return rc < 0 ? -1 : q->db->ops->changes(q);
}

void db_reset(struct stmt *q)
{
    if (q->raw)
        q->db->ops->reset(q);
}

void db_reset_all(struct db *d)
{
    for (uint32_t i = 0; i < d->count; i++)
        db_reset(d->used[i]);
}

int64_t db_int(struct stmt *q, int column)
{
    return q->db->ops->column_int(q, column);
}

double db_double(struct stmt *q, int column)
{
    return q->db->ops->column_double(q, column);
}

struct str db_bytes(struct stmt *q, int column)
{
    return q->db->ops->column_bytes(q, column);
}

struct str db_text(struct stmt *q, int column, struct arena *a)
{
    struct str text = db_bytes(q, column);

    return text.len ? (struct str){ arena_copy(a, text.p, text.len), text.len } : (struct str){ 0 };
}

void db_text_to(struct stmt *q, int column, char *out, size_t bytes)
{
    struct str text = str_sub(db_bytes(q, column), 0, bytes - 1);

    if (text.len)
        memcpy(out, text.p, text.len);
    out[text.len] = '\0';
}

int db_exec(struct db *d, const char *sql, const char *doing, struct error *e)
{
    return d->ops->exec(d, sql, doing, e);
}

/* ---- Transactions ---- */

int db_begin(struct db *d, enum db_right right, const char *doing, struct error *e)
{
    db_reset_all(d);
    return d->ops->begin(d, right, doing, e);
}

int db_commit(struct db *d, const char *doing, struct error *e)
{
    db_reset_all(d);
    if (d->ops->commit(d, doing, e) == 0)
        return 0;
    db_rollback(d);
    return -1;
}

void db_rollback(struct db *d)
{
    db_reset_all(d);
    d->ops->rollback(d);
}

/* ---- Versions ---- */

int db_version(struct db *d, int *out, struct error *e)
{
    int compatible;

    return d->ops->version(d, out, &compatible, e);
}

int db_compatible(struct db *d, int *out, struct error *e)
{
    int version;

    return d->ops->version(d, &version, out, e);
}

/* The changes from the version that the database has now, within a transaction: another process may have
 * made some since. */
static int changes_in(struct db *d, const struct db_schema *schema, const char *doing,
                      struct error *e)
{
    int version = 0, compatible = 0;

    if (d->ops->version(d, &version, &compatible, e) < 0)
        return -1;
    if (version >= schema->version)
        return 0;
    for (int i = version; i < schema->version; i++) {
        if (d->ops->change(d, schema->change[i], doing, e) < 0)
            return -1;
        if (str_starts(str_of(schema->change[i]), STR(BREAKING)))
            compatible = i + 1;
    }
    return d->ops->version_set(d, schema->version, compatible, doing, e);
}

int db_migrate(struct db *d, const struct db_schema *schema, struct error *e)
{
    char doing[64];
    int version = 0;

    if (db_version(d, &version, e) < 0)
        return -1;
    if (version >= schema->version)
        return 0;
    (void)snprintf(doing, sizeof doing, "cannot bring the database to version %d", schema->version);
    if (db_begin(d, DB_WRITE_ALL, doing, e) < 0)
        return -1;
    if (changes_in(d, schema, doing, e) == 0)
        return db_commit(d, doing, e);
    db_rollback(d);
    return -1;
}
