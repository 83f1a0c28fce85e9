/* postgres_link.h -- one connection to PostgreSQL: made from a URL, asked with a deadline, its failures told apart.
 *
 * Why: a database that hangs, or a network that swallows packets, must cost a caller seconds, not its thread. libpq waits for
 * ever, so each answer is awaited here, by poll.
 *
 * Errors:  UNAVAILABLE: the connection is lost (link->lost: nothing but link_close is left), or the server gave the transaction
 *          up (a timeout, a deadlock, a failed serialization, its end, a failover). The others as db.h says.
 * Faults:  postgres.connect, postgres.send (the connection breaks before the server gets the statement), postgres.answer (after it got it).
 * Secrets: no message of ours has a password: texts of libpq that may quote the URL are not shown.
 * Threads: none; a link belongs to its connection.
 */
#ifndef TRANCHE_STORE_DB_POSTGRES_LINK_H
#define TRANCHE_STORE_DB_POSTGRES_LINK_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "base/error.h"
#include "base/str.h"
#include "store/db/db.h"

/* Time of the server for one statement, and ours for its answer, which is longer. */
#define POSTGRES_STATEMENT_MS 15000
#define POSTGRES_ANSWER_MS 20000
/* A transaction that stands still for so long is ended by the server: a process that was stopped must not hold up the others. */
#define POSTGRES_IDLE_MS 4000
/* For a change of tables. */
#define POSTGRES_CHANGE_MS 600000
#define POSTGRES_CONNECT_S "5"
/* The oldest that is supported. */
#define POSTGRES_VERSION_MIN 150000

#define LOST "the connection to the database is lost"

struct link {
    PGconn *raw;
    bool lost;
    bool timed_out; /* lost because no answer came in time */
};

/* Is it a URL of PostgreSQL, and is each part what it seems to be? A password with a '/' would be taken for a database. */
bool link_url_valid(const char *url);
const char *link_option(const PQconninfoOption *options, const char *name); /* "": none */
int link_open(struct link *l, const char *url, struct error *e) FALLIBLE;
void link_close(struct link *l);

/* Parameters as libpq takes them, in binary, with their types; answers are texts. */
struct link_params {
    int count;
    const Oid *type;
    const char *const *value;
    const int *length, *format;
};
/* The result of one statement with parameters: rows or the number of changes. */
PGresult *link_query(struct link *l, const char *sql, const struct link_params *params,
                     const char *doing, struct error *e);
/* The last result of one or more statements without parameters. */
PGresult *link_exec(struct link *l, const char *sql, uint32_t timeout_ms, const char *doing,
                    struct error *e);

#endif
