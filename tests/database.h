/* database.h -- a PostgreSQL database for a test: TRANCHE_TEST_POSTGRES is the URL of a server's database (tests/postgres.py run
 * COMMAND), and each test has a schema of its own in it. With TRANCHE_TEST_POOLED, a database: a pooler in between hands no
 * search_path on. Without the variables a test uses SQLite. */
#ifndef TRANCHE_TESTS_DATABASE_H
#define TRANCHE_TESTS_DATABASE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/db/db.h"

#define DATABASE_URL_BYTES 512
#define DATABASE_SCHEMA "options=-csearch_path%3D"

static inline const char *database_server(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): tests change no variables */
    return getenv("TRANCHE_TEST_POSTGRES");
}

static inline bool database_pooled(void)
{
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): tests change no variables */
    return getenv("TRANCHE_TEST_POOLED") != NULL;
}

static inline void database_exec(const char *sql)
{
    const struct db_settings none = { 0 };
    struct error e = { 0 };
    struct db *d = db_open(database_server(), &none, &e);

    assert_string_equal(e.msg, "");
    assert_int_equal(db_exec(d, sql, "test", &e), 0);
    assert_string_equal(e.msg, "");
    db_close(d);
}

/* The URL of an empty database or schema; empty when there is no server. */
static inline void database_make(char url[DATABASE_URL_BYTES])
{
    static int made;
    const char *server = database_server();
    char sql[128], name[64];

    url[0] = '\0';
    if (!server)
        return;
    (void)snprintf(name, sizeof name, "t%d_%d", (int)getpid(), ++made);
    (void)snprintf(sql, sizeof sql, "CREATE %s %s", database_pooled() ? "DATABASE" : "SCHEMA",
                   name);
    database_exec(sql);
    if (database_pooled())
        (void)snprintf(url, DATABASE_URL_BYTES, "%.*s/%s", (int)(strrchr(server, '/') - server),
                       server, name);
    else
        (void)snprintf(url, DATABASE_URL_BYTES, "%s%s%s%s", server, strchr(server, '?') ? "&" : "?",
                       DATABASE_SCHEMA, name);
}

/* For store_place.database: NULL is SQLite. */
static inline const char *database_of(const char url[DATABASE_URL_BYTES])
{
    return url[0] ? url : NULL;
}

/* Removes what database_make has made. */
static inline void database_remove(const char *url)
{
    const char *name = strstr(url, DATABASE_SCHEMA);
    char sql[128];

    if (!database_server())
        return;
    if (database_pooled())
        (void)snprintf(sql, sizeof sql, "DROP DATABASE %s WITH (FORCE)", strrchr(url, '/') + 1);
    else
        (void)snprintf(sql, sizeof sql, "DROP SCHEMA %s CASCADE", name + strlen(DATABASE_SCHEMA));
    database_exec(sql);
}

#endif
