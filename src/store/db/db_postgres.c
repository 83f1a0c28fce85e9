/* db_postgres.c -- PostgreSQL behind db.h, by libpq.
 *
 * Shape:   parameters go in binary with their types, answers come as texts. No statement is prepared under a name and no setting
 *          outlives a transaction, so that a pooler may give each transaction another session (PgBouncer, pool_mode = transaction).
 *          The first step of a statement brings all of its rows.
 * Right:   DB_WRITE_ALL holds an advisory lock until the end of its transaction, DB_WRITE_ROWS shares it with its like. Each statement
 *          sees what was committed before it (READ COMMITTED), so whatever is read behind the lock is the latest.
 * Errors:  a connection that was lost is made anew for a statement outside of a transaction that only reads, and for the
 *          beginning of a transaction, once. After a COMMIT without an answer the server is asked what became of the transaction. When it
 *          does not say so, or another server has taken over, the error is UNAVAILABLE, and its words say that it may have worked.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "store/db/db_inner.h"
#include "store/db/postgres_link.h"
#include "store/db/postgres_sql.h"
#include "store/db/store_metrics.h"

/* Types by their numbers in pg_type, which never change. */
#define OID_BYTEA 17
#define OID_INT8 20
#define OID_TEXT 25
#define OID_FLOAT8 701

/* For an answer to the question what became of a transaction. */
#define OUTCOME_MS 10000
#define OUTCOME_PAUSE_MS 20
/* The bytes of "tranche": the advisory lock of a store, one in each database. */
#define LOCK_KEY "32776860087838821"
#define CLOCK "(extract(epoch FROM clock_timestamp()) * 1000000)::bigint"

struct postgres {
    struct db head;
    struct link link;
    char *url;
    bool in_transaction;
    char transaction[24]; /* its number in the server */
    struct db_clock clock;
    int64_t epoch;
};

/* A statement, its values, and the rows of its last run. */
struct postgres_stmt {
    char *sql;
    int count;
    Oid *type;
    const char **value;
    int *length, *format;
    char (*number)[8]; /* values of 8 bytes, in the order of the network */
    PGresult *result;
    int row, rows;
    int *bytes; /* of each column of the row, once its bytes were read */
};

static const struct db_ops postgres_ops;

static struct postgres *postgres_of(struct db *d)
{
    return (struct postgres *)(void *)d;
}

/* ---- Connections ---- */

/* Runs statements of which the last one has CLOCK as its last column, perhaps behind a transaction. */
static int exec_clock(struct postgres *p, const char *sql, const char *doing, struct error *e)
{
    uint64_t asked_ns = clock_system()->boot_ns(clock_system());
    PGresult *r = link_exec(&p->link, sql, POSTGRES_ANSWER_MS, doing, e);

    if (!r)
        return -1;
    int last = PQnfields(r) - 1;
    if (last > 0)
        (void)snprintf(p->transaction, sizeof p->transaction, "%s", PQgetvalue(r, 0, last - 1));
    p->clock = (struct db_clock){ .wall_us = strtoll(PQgetvalue(r, 0, last), NULL, 10),
                                  .asked_ns = asked_ns,
                                  .answered_ns = clock_system()->boot_ns(clock_system()) };
    PQclear(r);
    return 0;
}

static int read_epoch(struct postgres *p, struct error *e)
{
    PGresult *r =
        link_exec(&p->link,
                  "SELECT ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)"
                  "::bigint",
                  POSTGRES_ANSWER_MS, "cannot read the database's timeline", e);

    if (r)
        p->epoch = strtoll(PQgetvalue(r, 0, 0), NULL, 10);
    PQclear(r);
    return r ? 0 : -1;
}

static int connect_to(struct postgres *p, struct error *e)
{
    uint64_t began = store_call_begin();
    int rc = link_open(&p->link, p->url, e);

    if (rc == 0)
        rc = read_epoch(p, e);
    if (rc == 0)
        rc = exec_clock(p, "SELECT " CLOCK, "cannot read the database's clock", e);
    store_call_end(STORE_DATABASE, "connect", began, rc < 0 ? e : NULL);
    p->in_transaction = false;
    return rc;
}

/* After a loss: the same connection, made anew. A server that did not answer is not asked again. */
static bool connect_again(struct postgres *p, const char *operation)
{
    struct error ignored;

    if (!p->link.lost || p->link.timed_out)
        return false;
    store_call_again(STORE_DATABASE, operation);
    link_close(&p->link);
    if (connect_to(p, &ignored) == 0)
        return true;
    p->link.lost = true;
    return false;
}

struct db *db_open_postgres(const char *url, struct error *e)
{
    struct postgres *p = mem_alloc(sizeof *p);

    p->head.ops = &postgres_ops;
    p->url = mem_strdup(url);
    if (connect_to(p, e) == 0)
        return &p->head;
    db_close(&p->head);
    return NULL;
}

static void postgres_close(struct db *d)
{
    struct postgres *p = postgres_of(d);

    link_close(&p->link);
    mem_free(p->url);
    mem_free(p);
}

static bool postgres_is_lost(const struct db *d)
{
    return ((const struct postgres *)(const void *)d)->link.lost;
}

static bool postgres_clock(const struct db *d, struct db_clock *out)
{
    *out = ((const struct postgres *)(const void *)d)->clock;
    return true;
}

static int64_t postgres_epoch(const struct db *d)
{
    return ((const struct postgres *)(const void *)d)->epoch;
}

/* ---- URLs ---- */

void db_url_shown(const char *url, struct buf *out)
{
    if (!link_url_valid(url)) {
        buf_add_c(out, "postgres://...");
        return;
    }
    PQconninfoOption *o = PQconninfoParse(url, NULL);
    const char *user = link_option(o, "user"), *port = link_option(o, "port");
    buf_addf(out, "postgres://%s%s%s%s%s/%s", user, *user ? "@" : "", link_option(o, "host"),
             *port ? ":" : "", port, link_option(o, "dbname"));
    PQconninfoFree(o);
}

bool db_url_has_password(const char *url)
{
    PQconninfoOption *o = PQconninfoParse(url, NULL);
    bool has = o && (*link_option(o, "password") || *link_option(o, "sslpassword"));

    PQconninfoFree(o);
    return has;
}

/* ---- Statements ---- */

static void postgres_prepare(struct stmt *q)
{
    struct buf sql = BUF_INIT(POSTGRES_SQL_MAX);
    struct postgres_stmt *s = mem_alloc(sizeof *s);

    q->parameters = s->count = postgres_statement(q->sql, &sql);
    assert(buf_ok(&sql));
    s->sql = mem_strdup(sql.p);
    buf_release(&sql);
    size_t n = (size_t)s->count;
    s->type = mem_alloc(n * sizeof *s->type + 1);
    s->value = mem_alloc(n * sizeof *s->value + 1);
    s->length = mem_alloc(n * sizeof *s->length + 1);
    s->format = mem_alloc(n * sizeof *s->format + 1);
    s->number = mem_alloc(n * sizeof *s->number + 1);
    for (size_t i = 0; i < n; i++)
        s->format[i] = 1;
    q->raw = s;
}

static void postgres_reset(struct stmt *q)
{
    struct postgres_stmt *s = q->raw;

    PQclear(s->result);
    mem_free(s->bytes);
    s->result = NULL;
    s->bytes = NULL;
    s->row = s->rows = 0;
}

static void postgres_finalize(struct stmt *q)
{
    struct postgres_stmt *s = q->raw;

    postgres_reset(q);
    mem_free(s->sql);
    mem_free(s->type);
    mem_free(s->value);
    mem_free(s->length);
    mem_free(s->format);
    mem_free(s->number);
    mem_free(s);
}

static void put_number(char out[8], uint64_t v)
{
    for (int i = 0; i < 8; i++)
        out[i] = (char)(v >> (56 - 8 * i));
}

static void postgres_bind(struct stmt *q, int at, struct db_value v)
{
    struct postgres_stmt *s = q->raw;
    size_t i = (size_t)at - 1;
    uint64_t bits = (uint64_t)v.i;

    s->value[i] = s->number[i];
    s->length[i] = 8;
    switch (v.kind) {
    case DB_DOUBLE:
        memcpy(&bits, &v.d, sizeof bits);
        s->type[i] = OID_FLOAT8;
        put_number(s->number[i], bits);
        break;
    case DB_INT:
        s->type[i] = OID_INT8;
        put_number(s->number[i], bits);
        break;
    case DB_TEXT:
    case DB_BYTES:
        s->type[i] = v.kind == DB_TEXT ? OID_TEXT : OID_BYTEA;
        s->value[i] = v.s.p;
        s->length[i] = (int)v.s.len;
        break;
    }
}

/* Statements that may run twice, because they change nothing. */
static bool only_reads(const char *sql)
{
    return strncmp(sql, "SELECT ", 7) == 0 || strncmp(sql, "WITH ", 5) == 0;
}

static int run(struct postgres *p, struct postgres_stmt *s, const char *doing, struct error *e)
{
    const struct link_params params = { .count = s->count,
                                        .type = s->type,
                                        .value = s->value,
                                        .length = s->length,
                                        .format = s->format };
    const char *operation = p->in_transaction ? "write" : "read";
    uint64_t began = store_call_begin();
    struct error why;

    s->result = link_query(&p->link, s->sql, &params, doing, &why);
    if (!s->result && !p->in_transaction && only_reads(s->sql) && connect_again(p, operation))
        s->result = link_query(&p->link, s->sql, &params, doing, &why);
    store_call_end(STORE_DATABASE, operation, began, s->result ? NULL : &why);
    if (!s->result) {
        *e = why;
        return -1;
    }
    s->rows = PQntuples(s->result);
    s->row = -1;
    s->bytes = mem_alloc((size_t)PQnfields(s->result) * sizeof *s->bytes + 1);
    return 0;
}

static unsigned nibble(char c)
{
    return c <= '9' ? (unsigned)(c - '0') : (unsigned)(c - 'a') + 10;
}

/* Bytes come as \x and hexadecimal digits; they are written over them. */
static int unpack(char *text, int len)
{
    int n = 0;

    for (int i = 2; i + 1 < len; i += 2)
        text[n++] = (char)(nibble(text[i]) << 4 | nibble(text[i + 1]));
    return n;
}

static void take_row(struct postgres_stmt *s)
{
    for (int i = 0; i < PQnfields(s->result); i++) {
        s->bytes[i] = PQgetlength(s->result, s->row, i);
        if (PQftype(s->result, i) == OID_BYTEA)
            s->bytes[i] = unpack(PQgetvalue(s->result, s->row, i), s->bytes[i]);
    }
}

static int postgres_step(struct stmt *q, const char *doing, struct error *e)
{
    struct postgres *p = postgres_of(q->db);
    struct postgres_stmt *s = q->raw;

    if (!s->result && p->link.lost)
        return error_set(e, ERROR_UNAVAILABLE, "%s: %s", doing, LOST);
    if (!s->result && run(p, s, doing, e) < 0)
        return -1;
    if (++s->row >= s->rows) {
        s->row = s->rows;
        return 0;
    }
    take_row(s);
    return 1;
}

static int postgres_changes(struct stmt *q)
{
    struct postgres_stmt *s = q->raw;

    return (int)strtol(PQcmdTuples(s->result), NULL, 10);
}

static int64_t postgres_column_int(struct stmt *q, int column)
{
    struct postgres_stmt *s = q->raw;
    const char *text = PQgetvalue(s->result, s->row, column);

    return *text == 't' ? 1 : strtoll(text, NULL, 10); /* true is 1; null, false and "" are 0 */
}

static double postgres_column_double(struct stmt *q, int column)
{
    struct postgres_stmt *s = q->raw;

    return strtod(PQgetvalue(s->result, s->row, column), NULL);
}

static struct str postgres_column_bytes(struct stmt *q, int column)
{
    struct postgres_stmt *s = q->raw;

    return (struct str){ PQgetvalue(s->result, s->row, column), (size_t)s->bytes[column] };
}

static int exec_for(struct postgres *p, const char *sql, uint32_t timeout_ms, const char *doing,
                    struct error *e)
{
    if (p->link.lost)
        return error_set(e, ERROR_UNAVAILABLE, "%s: %s", doing, LOST);
    PGresult *r = link_exec(&p->link, sql, timeout_ms, doing, e);
    PQclear(r);
    return r ? 0 : -1;
}

static int postgres_exec(struct db *d, const char *sql, const char *doing, struct error *e)
{
    return exec_for(postgres_of(d), sql, POSTGRES_ANSWER_MS, doing, e);
}

/* ---- Transactions ---- */

/* Two statements in one message. The time limits are set before the lock is waited for, and end with the transaction. */
static void begin_sql(char out[512], enum db_right right)
{
    int n = snprintf(out, 512,
                     "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;"
                     "SELECT set_config('lock_timeout', '%d', true),"
                     " set_config('statement_timeout', '%d', true),"
                     " set_config('idle_in_transaction_session_timeout', '%d', true),"
                     " pg_advisory_xact_lock%s(" LOCK_KEY ")::text, pg_current_xact_id(), " CLOCK,
                     POSTGRES_STATEMENT_MS, POSTGRES_STATEMENT_MS, POSTGRES_IDLE_MS,
                     right == DB_WRITE_ROWS ? "_shared" : "");

    assert(n > 0 && n < 512);
}

static int postgres_begin(struct db *d, enum db_right right, const char *doing, struct error *e)
{
    struct postgres *p = postgres_of(d);
    char sql[512];
    uint64_t began = store_call_begin();
    struct error why;

    assert(!p->in_transaction);
    begin_sql(sql, right);
    int rc = p->link.lost ? error_set(&why, ERROR_UNAVAILABLE, "%s: %s", doing, LOST)
                          : exec_clock(p, sql, doing, &why);
    if (rc < 0 && connect_again(p, "begin"))
        rc = exec_clock(p, sql, doing, &why);
    store_call_end(STORE_DATABASE, "begin", began, rc < 0 ? &why : NULL);
    p->in_transaction = true; /* perhaps of a failed one: a rollback ends it */
    if (rc < 0) {
        db_rollback(d);
        *e = why;
    }
    return rc;
}

/* "committed", "aborted", "in progress", or "" when nobody knows. */
static void read_outcome(struct postgres *p, char out[16])
{
    char sql[80];
    struct error ignored;

    (void)snprintf(sql, sizeof sql, "SELECT pg_xact_status('%s'::xid8)", p->transaction);
    PGresult *r = link_exec(&p->link, sql, POSTGRES_ANSWER_MS, "cannot ask", &ignored);
    (void)snprintf(out, 16, "%s", r ? PQgetvalue(r, 0, 0) : "");
    PQclear(r);
}

/* The answer to the COMMIT is lost. A standby that took over may have given the transaction's number to another one. */
static int find_outcome(struct postgres *p, const char *doing, struct error *e)
{
    struct clock *clock = clock_system();
    uint64_t end_ns = clock->mono_ns(clock) + OUTCOME_MS * NS_PER_MS;
    int64_t epoch = p->epoch;
    char outcome[16] = "";

    if (connect_again(p, "commit") && p->epoch == epoch)
        read_outcome(p, outcome);
    while (strcmp(outcome, "in progress") == 0 && clock->mono_ns(clock) < end_ns) {
        clock->sleep_ns(clock, OUTCOME_PAUSE_MS * NS_PER_MS);
        read_outcome(p, outcome);
    }
    if (strcmp(outcome, "committed") == 0)
        return 0;
    if (strcmp(outcome, "aborted") == 0)
        return error_set(e, ERROR_UNAVAILABLE, "%s: %s, and nothing was written", doing, LOST);
    return error_set(
        e, ERROR_UNAVAILABLE,
        "%s: the connection to the database was lost at the end of the transaction: it is "
        "not known if it was written",
        doing);
}

/* The server answers a COMMIT of a transaction that has failed with ROLLBACK. */
static int commit_once(struct postgres *p, const char *doing, struct error *e)
{
    struct error why;
    PGresult *r = link_exec(&p->link, "COMMIT", POSTGRES_ANSWER_MS, doing, &why);

    if (!r && p->link.lost)
        return find_outcome(p, doing, e);
    if (!r) {
        *e = why;
        return -1;
    }
    bool done = strcmp(PQcmdStatus(r), "COMMIT") == 0;
    PQclear(r);
    return done ? 0
                : error_set(e, ERROR_UNAVAILABLE, "%s: the transaction has failed before", doing);
}

static int postgres_commit(struct db *d, const char *doing, struct error *e)
{
    struct postgres *p = postgres_of(d);
    uint64_t began = store_call_begin();

    assert(p->in_transaction);
    int rc = p->link.lost ? error_set(e, ERROR_UNAVAILABLE, "%s: %s", doing, LOST)
                          : commit_once(p, doing, e);
    store_call_end(STORE_DATABASE, "commit", began, rc < 0 ? e : NULL);
    if (rc == 0)
        p->in_transaction = false;
    return rc;
}

static void postgres_rollback(struct db *d)
{
    struct postgres *p = postgres_of(d);
    struct error ignored;

    if (p->in_transaction && !p->link.lost &&
        exec_for(p, "ROLLBACK", POSTGRES_ANSWER_MS, "cannot roll back", &ignored) < 0)
        p->link.lost = true; /* the server ends the transaction with the session */
    p->in_transaction = false;
}

/* ---- Versions ---- */

static int postgres_version(struct db *d, int *version, int *compatible, struct error *e)
{
    const char *doing = "cannot read the database's version";
    struct stmt *q = db_stmt(d, "SELECT to_regclass('tranche_version') IS NOT NULL");

    *version = *compatible = 0;
    int rc = db_step(q, doing, e);
    if (rc < 0 || !db_int(q, 0))
        return rc < 0 ? -1 : 0;
    q = db_stmt(d, "SELECT version, compatible FROM tranche_version");
    rc = db_step(q, doing, e);
    if (rc == 1) {
        *version = (int)db_int(q, 0);
        *compatible = (int)db_int(q, 1);
    }
    return rc < 0 ? -1 : 0;
}

static int postgres_version_set(struct db *d, int version, int compatible, const char *doing,
                                struct error *e)
{
    if (postgres_exec(d,
                      "CREATE TABLE IF NOT EXISTS tranche_version"
                      " (one BIGINT PRIMARY KEY CHECK (one = 1), version BIGINT NOT NULL,"
                      " compatible BIGINT NOT NULL);"
                      "COMMENT ON COLUMN tranche_version.version IS"
                      " 'changes of tables that were made';"
                      "COMMENT ON COLUMN tranche_version.compatible IS"
                      " 'version of the oldest program that may use the tables'",
                      doing, e) < 0)
        return -1;
    struct stmt *q = db_stmt(d, "INSERT INTO tranche_version (one, version, compatible)"
                                " VALUES (1, ?1, ?2)"
                                " ON CONFLICT (one) DO UPDATE SET version = ?1, compatible = ?2");
    db_bind(q, "nn", version, compatible);
    return db_run(q, doing, e) < 0 ? -1 : 0;
}

static int postgres_change_in(struct db *d, const char *sql, const char *doing, struct error *e)
{
    struct buf text = BUF_INIT(POSTGRES_SQL_MAX);

    buf_add_c(&text, "SET LOCAL statement_timeout = 0;");
    postgres_change(sql, &text);
    assert(buf_ok(&text));
    int rc = exec_for(postgres_of(d), text.p, POSTGRES_CHANGE_MS, doing, e);
    buf_release(&text);
    return rc;
}

static int postgres_numbers_from(struct db *d, const char *table, const char *column, int64_t last,
                                 struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT setval(pg_get_serial_sequence(?, ?), ?)");

    db_bind(q, "ssi", table, column, last);
    int rc = db_step(q, "cannot number rows", e);
    db_reset(q);
    return rc < 0 ? -1 : 0;
}

static const struct db_ops postgres_ops = {
    .close = postgres_close,
    .is_lost = postgres_is_lost,
    .clock = postgres_clock,
    .epoch = postgres_epoch,
    .prepare = postgres_prepare,
    .finalize = postgres_finalize,
    .bind = postgres_bind,
    .step = postgres_step,
    .changes = postgres_changes,
    .reset = postgres_reset,
    .column_int = postgres_column_int,
    .column_double = postgres_column_double,
    .column_bytes = postgres_column_bytes,
    .exec = postgres_exec,
    .begin = postgres_begin,
    .commit = postgres_commit,
    .rollback = postgres_rollback,
    .version = postgres_version,
    .version_set = postgres_version_set,
    .numbers_from = postgres_numbers_from,
    .change = postgres_change_in,
};
