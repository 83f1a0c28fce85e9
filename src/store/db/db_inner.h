/* db_inner.h -- a database system behind db.h. For the files of this room alone.
 *
 * Why: the cache of statements, formats of parameters and versions of tables are the same for all; the rest is a row of functions
 * for each system: db_sqlite.c, db_postgres.c. tests/conform/store/db runs over both.
 *
 * Shape:   a system's connection begins with struct db, and stmt.raw is its own form of the statement.
 */
#ifndef TRANCHE_STORE_DB_DB_INNER_H
#define TRANCHE_STORE_DB_DB_INNER_H

#include "store/db/db.h"

/* Distinct statements of one connection: a power of two, never more than half full. */
#define STATEMENTS_MAX 512

struct stmt {
    const char *sql; /* NULL: a free place of the cache */
    void *raw;       /* NULL: not prepared */
    struct db *db;
    int failed;            /* the result of a prepare that gave no statement */
    int parameters, bound; /* how many the text has, and how many have a value since db_stmt */
};

struct db_ops;
struct db {
    const struct db_ops *ops;
    struct stmt cache[STATEMENTS_MAX]; /* by the address of the text, open addressing */
    struct stmt *used[STATEMENTS_MAX / 2];
    uint32_t count; /* of used */
};

enum db_kind { DB_INT, DB_DOUBLE, DB_TEXT, DB_BYTES };
struct db_value {
    enum db_kind kind;
    union {
        int64_t i;
        double d;
        struct str s; /* borrowed until the statement has run; p NULL: null */
    };
};

struct db_ops {
    void (*close)(struct db *d);         /* after finalize of each statement; frees d */
    bool (*is_lost)(const struct db *d); /* NULL: never */
    bool (*clock)(const struct db *d, struct db_clock *out); /* NULL: it has none */
    int64_t (*epoch)(const struct db *d);                    /* NULL: 0 */

    /* Sets q->raw and q->parameters; or q->failed, for step to report. */
    void (*prepare)(struct stmt *q);
    void (*finalize)(struct stmt *q);
    void (*bind)(struct stmt *q, int at, struct db_value v); /* at: from 1 */
    int (*step)(struct stmt *q, const char *doing, struct error *e);
    int (*changes)(struct stmt *q); /* rows that the last step changed */
    void (*reset)(struct stmt *q);  /* ends its rows; the values stay bound */
    int64_t (*column_int)(struct stmt *q, int column);
    double (*column_double)(struct stmt *q, int column);
    struct str (*column_bytes)(struct stmt *q, int column);
    int (*exec)(struct db *d, const char *sql, const char *doing, struct error *e);

    int (*begin)(struct db *d, enum db_right right, const char *doing, struct error *e);
    int (*commit)(struct db *d, const char *doing, struct error *e);
    void (*rollback)(struct db *d);

    int (*copy)(struct db *from, struct db *to, struct error *e);
    int (*settle)(struct db *d, const char *doing, struct error *e);
    int (*version)(struct db *d, int *version, int *compatible, struct error *e);
    int (*version_set)(struct db *d, int version, int compatible, const char *doing,
                       struct error *e);
    /* The numbers that this column gives go on behind `last`; NULL: they do so by themselves. */
    int (*numbers_from)(struct db *d, const char *table, const char *column, int64_t last,
                        struct error *e);
    /* One numbered change, in the words of this system. */
    int (*change)(struct db *d, const char *sql, const char *doing, struct error *e);
};

struct db *db_open_sqlite(const char *path, const struct db_settings *settings, struct error *e);
struct db *db_open_postgres(const char *url, struct error *e);

#endif
