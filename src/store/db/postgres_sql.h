/* postgres_sql.h -- the SQL that the store speaks, as PostgreSQL takes it. Pure: texts in, texts out.
 *
 * Why: the statements and the changes of tables are written once. Statements differ in their parameters only; changes in
 * the names of types and in words of SQLite, which these few rules cover. tests/conform/store/db runs all changes.
 *
 * Shape:   "?" and "?N" become "$N", a "?" being one more than the largest so far. In changes INTEGER becomes BIGINT (as a key: one
 *          that numbers itself), REAL DOUBLE PRECISION, BLOB BYTEA, TEXT a text in the order of its bytes; STRICT and WITHOUT ROWID
 *          are left out. Strings, quoted names and comments stay as they are.
 * Threads: all.
 */
#ifndef TRANCHE_STORE_DB_POSTGRES_SQL_H
#define TRANCHE_STORE_DB_POSTGRES_SQL_H

#include "base/str.h"

#define POSTGRES_SQL_MAX ((size_t)256 * 1024)

/* The number of parameters. */
int postgres_statement(const char *sql, struct buf *out);
void postgres_change(const char *sql, struct buf *out);

#endif
