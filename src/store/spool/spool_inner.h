/* spool_inner.h -- what the files of the spool share: its connection, statements and errors.
 *
 * Why: writing and reading are two ideas in two files over one connection. Nothing outside
 * src/store/spool*.c includes this.
 *
 * Threads: one owner, as spool.h says.
 */
#ifndef TRANCHE_STORE_SPOOL_SPOOL_INNER_H
#define TRANCHE_STORE_SPOOL_SPOOL_INNER_H

#include <sqlite3.h>
#include <stdbool.h>

#include "store/spool/spool.h"

#define SPOOL_VERSION 1 /* of the schema; in PRAGMA user_version */

/* The row's columns in the order of spool_get and spool_find. */
#define SPOOL_COLUMNS                                                                              \
    "idx, outcome, code, duplicate, processed_us, prompt_tokens, cached_tokens, "                  \
    "candidate_tokens, thought_tokens, cost_nano, cost_online_nano, digest, status, response"

// clang-format off
#define SPOOL_STATEMENTS(X)                                                                        \
    X(BEGIN,    "BEGIN IMMEDIATE")                                                                 \
    X(COMMIT,   "COMMIT")                                                                          \
    X(PUT,      "INSERT INTO row (" SPOOL_COLUMNS ") VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?)")        \
    X(GET,      "SELECT " SPOOL_COLUMNS " FROM row WHERE idx = ?")                                 \
    X(FIND,     "SELECT " SPOOL_COLUMNS " FROM row WHERE digest = ? LIMIT 1")                      \
    X(DONE,     "SELECT idx FROM row WHERE idx >= ? AND idx < ?")                                  \
    X(BOOKS,    "UPDATE books SET succeeded = ?, failed = ?, not_run = ?, duplicates = ?,"         \
                " prompt_tokens = ?, cached_tokens = ?, candidate_tokens = ?, thought_tokens = ?," \
                " duplicate_tokens = ?, cost_nano = ?, cost_online_nano = ?")                      \
    X(FAILED,   "SELECT code, count(*) FROM row WHERE outcome = 2"                                 \
                " GROUP BY code ORDER BY 2 DESC, 1 LIMIT ?")                                       \
    X(FIRST,    "SELECT idx FROM row WHERE outcome = 2 AND code = ? ORDER BY idx LIMIT ?")         \
    X(FACT_SET, "INSERT OR REPLACE INTO fact (name, value) VALUES (?, ?)")                         \
    X(FACT_GET, "SELECT value FROM fact WHERE name = ?")
// clang-format on

enum spool_statement {
#define X(name, sql) SPOOL_##name,
    SPOOL_STATEMENTS(X)
#undef X
        SPOOL_STATEMENT_COUNT
};

struct spool {
    sqlite3 *db;
    sqlite3_stmt *stmt[SPOOL_STATEMENT_COUNT];
    char *path;               /* of the database */
    int lock;                 /* descriptor of the lock file; the lock goes when it is closed */
    bool group;               /* a transaction is open */
    struct counters counters; /* of the committed rows */
    struct counters opened;   /* counters and the open group's rows */
};

/* The statement, reset, with nothing bound. What an earlier call returned is no longer valid. */
sqlite3_stmt *spool_stmt(struct spool *s, enum spool_statement which);
/* Sets e from the connection's last error and SQLite's result code. Returns -1. */
int spool_error(struct spool *s, int result, const char *doing, struct error *e);
/* The columns of the statement's row, which are SPOOL_COLUMNS; valid until it is stepped or reset. */
void spool_row_read(sqlite3_stmt *st, struct spool_row *row);
/* The file system's calls of SQLite as fault points "sqlite.write", "sqlite.sync" and so on: the
 * name of a VFS over the default one. */
const char *spool_vfs(void);

#endif
