/* database.h -- a PostgreSQL database for a test: TRANCHE_TEST_POSTGRES is the URL of a server (tests/postgres.py run COMMAND), and
 * each test has a schema of its own there. Without the variable a test uses SQLite. */
#ifndef TRANCHE_TESTS_DATABASE_H
#define TRANCHE_TESTS_DATABASE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/db/db.h"

#define DATABASE_URL_BYTES 512

static inline const char *database_server(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): tests change no variables */
    return getenv("TRANCHE_TEST_POSTGRES");
}

static inline void database_exec(const char *sql)
{
    const struct db_settings none = { 0 };
    struct error e = { 0 };
    struct db *d = db_open(database_server(), &none, &e);

    assert_string_equal(e.msg, "");
    assert_int_equal(db_exec(d, sql, "test", &e), 0);
    db_close(d);
}

/* The URL of an empty schema; empty when there is no server. */
static inline void database_make(char url[DATABASE_URL_BYTES])
{
    static int made;
    char sql[128];

    url[0] = '\0';
    if (!database_server())
        return;
    (void)snprintf(sql, sizeof sql, "CREATE SCHEMA t%d_%d", (int)getpid(), ++made);
    database_exec(sql);
    (void)snprintf(url, DATABASE_URL_BYTES, "%s%soptions=-csearch_path%%3Dt%d_%d",
                   database_server(), strchr(database_server(), '?') ? "&" : "?", (int)getpid(),
                   made);
}

/* Removes the schema of the URL. */
static inline void database_remove(const char *url)
{
    const char *name = strstr(url, "search_path%3D");
    char sql[128];

    if (!name)
        return;
    (void)snprintf(sql, sizeof sql, "DROP SCHEMA %s CASCADE", name + strlen("search_path%3D"));
    database_exec(sql);
}

#endif
