#include "store/db/postgres_link.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"

/* ---- Errors ---- */

/* The first row whose state begins so. A state has five characters, its class two. */
static const struct {
    const char *state;
    enum error_code code;
    bool lost; /* the connection is of no use any more */
    const char *words;
} states[] = {
    { "23505", ERROR_ALREADY_EXISTS, false, "it exists already" },
    { "25006", ERROR_UNAVAILABLE, true, "the server has become a standby" },
    { "25P03", ERROR_UNAVAILABLE, true, "the transaction stood still for too long" },
    { "25P02", ERROR_UNAVAILABLE, false, "the transaction has failed before" },
    { "40", ERROR_UNAVAILABLE, false, "another transaction was in its way" },
    { "55P03", ERROR_UNAVAILABLE, false, "another process keeps it locked" },
    { "57014", ERROR_UNAVAILABLE, false, "the database took too long" },
    { "57", ERROR_UNAVAILABLE, true, "the server is shutting down, starting or in recovery" },
    { "08", ERROR_UNAVAILABLE, true, LOST },
    { "53100", ERROR_RESOURCE_EXHAUSTED, false, "no space left on the database's disk" },
    { "53300", ERROR_UNAVAILABLE, true, "the database has no connection left" },
    { "53", ERROR_RESOURCE_EXHAUSTED, false, NULL },
    { "22021", ERROR_INVALID_ARGUMENT, false, "a text has bytes that are not UTF-8, or a NUL" },
    { "22P05", ERROR_INVALID_ARGUMENT, false, "a text has bytes that are not UTF-8, or a NUL" },
    { "28", ERROR_PERMISSION_DENIED, false, NULL },
    { "42501", ERROR_PERMISSION_DENIED, false, NULL },
    { "XX001", ERROR_DATA_LOSS, false, "the database is damaged" },
    { "XX002", ERROR_DATA_LOSS, false, "the database is damaged" },
    { "58", ERROR_UNAVAILABLE, false, NULL },
};

static int set_lost(struct link *l, const char *doing, const char *words, struct error *e)
{
    l->lost = true;
    return error_set(e, ERROR_UNAVAILABLE, "%s: %s", doing, words);
}

/* words NULL: the server's own. */
static int failed(struct link *l, PGresult *r, const char *sql, const char *doing, struct error *e)
{
    const char *state = PQresultErrorField(r, PG_DIAG_SQLSTATE);
    const char *words = PQresultErrorField(r, PG_DIAG_MESSAGE_PRIMARY);

    if (!state || PQstatus(l->raw) == CONNECTION_BAD)
        return set_lost(l, doing, LOST, e);
    if (strcmp(state, "42601") == 0 || strcmp(state, "42883") == 0 || strcmp(state, "42804") == 0) {
        log_error("%s: %s", words, sql);
        abort(); /* text that does not compile is a programmer's error */
    }
    for (size_t i = 0; i < ARRAY_LEN(states); i++) {
        if (strncmp(state, states[i].state, strlen(states[i].state)) != 0)
            continue;
        l->lost |= states[i].lost;
        return error_set(e, states[i].code, "%s: %s", doing,
                         states[i].words ? states[i].words : words);
    }
    return error_set(e, ERROR_INTERNAL, "%s: %s (SQLSTATE %s)", doing, words, state);
}

/* ---- Waiting ---- */

static bool wait_for(struct link *l, short events, uint64_t deadline_ns)
{
    struct pollfd p = { .fd = PQsocket(l->raw), .events = events };

    for (;;) {
        uint64_t now_ns = clock_system()->mono_ns(clock_system());
        int left = now_ns < deadline_ns ? (int)((deadline_ns - now_ns) / NS_PER_MS) + 1 : 0;
        int rc = p.fd < 0 ? -1 : poll(&p, 1, left);
        if (rc > 0)
            return true;
        if (rc == 0)
            l->timed_out = true;
        if (rc == 0 || errno != EINTR)
            return false;
    }
}

static bool flush(struct link *l, uint64_t deadline_ns)
{
    int rc;

    while ((rc = PQflush(l->raw)) == 1)
        if (!wait_for(l, POLLIN | POLLOUT, deadline_ns) || !PQconsumeInput(l->raw))
            return false;
    return rc == 0;
}

static bool receive(struct link *l, uint64_t deadline_ns)
{
    while (PQisBusy(l->raw))
        if (!wait_for(l, POLLIN, deadline_ns) || !PQconsumeInput(l->raw))
            return false;
    return true;
}

static bool is_error(const PGresult *r)
{
    ExecStatusType status = PQresultStatus(r);

    return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
}

/* All that the server answers to what was sent. The first error is kept, or else the last result. NULL: the connection
 * ended before the last one, whatever came until then. */
static PGresult *results(struct link *l, uint64_t deadline_ns)
{
    PGresult *kept = NULL;

    for (;;) {
        if (!receive(l, deadline_ns)) {
            if (kept && is_error(kept))
                return kept;
            PQclear(kept);
            return NULL;
        }
        PGresult *r = PQgetResult(l->raw);
        if (!r)
            break;
        if (kept && is_error(kept)) {
            PQclear(r);
            continue;
        }
        PQclear(kept);
        kept = r;
    }
    return kept;
}

/* Puts a connection that has ended in the place of this one, with all that has come and was not read. */
static void break_at(struct link *l, const char *point)
{
    int ends[2];

    if (!fault_hit(point) ||
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return;
    (void)close(ends[1]);
    (void)dup2(ends[0], PQsocket(l->raw));
    (void)close(ends[0]);
}

/* Sends the statement that was given to libpq, and waits for its answer. */
static PGresult *answer(struct link *l, bool given, const char *sql, uint32_t timeout_ms,
                        const char *doing, struct error *e)
{
    uint64_t deadline_ns = deadline_in_ms(timeout_ms);
    PGresult *r = NULL;

    if (given && flush(l, deadline_ns)) {
        break_at(l, "postgres.answer");
        r = results(l, deadline_ns);
    }
    if (r && !l->timed_out && !is_error(r))
        return r;
    if (r && !l->timed_out)
        (void)failed(l, r, sql, doing, e);
    else
        (void)set_lost(l, doing, l->timed_out ? "the database does not answer" : LOST, e);
    PQclear(r);
    return NULL;
}

PGresult *link_query(struct link *l, const char *sql, const struct link_params *params,
                     const char *doing, struct error *e)
{
    assert(!l->lost);
    break_at(l, "postgres.send");
    bool given = PQsendQueryParams(l->raw, sql, params->count, params->type, params->value,
                                   params->length, params->format, 0) == 1;
    return answer(l, given, sql, POSTGRES_ANSWER_MS, doing, e);
}

PGresult *link_exec(struct link *l, const char *sql, uint32_t timeout_ms, const char *doing,
                    struct error *e)
{
    assert(!l->lost);
    break_at(l, "postgres.send");
    return answer(l, PQsendQuery(l->raw, sql) == 1, sql, timeout_ms, doing, e);
}

/* ---- URLs ---- */

const char *link_option(const PQconninfoOption *options, const char *name)
{
    for (; options->keyword; options++)
        if (strcmp(options->keyword, name) == 0 && options->val)
            return options->val;
    return "";
}

bool link_url_valid(const char *url)
{
    PQconninfoOption *o = PQconninfoParse(url, NULL);

    if (!o)
        return false;
    const char *port = link_option(o, "port");
    bool valid =
        port[strspn(port, "0123456789,")] == '\0' && !strpbrk(link_option(o, "dbname"), "@/");
    PQconninfoFree(o);
    return valid;
}

/* ---- Connections ---- */

static void be_quiet(void *arg, const char *message)
{
    (void)arg;
    (void)message;
}

/* libpq's text as one line. It names hosts and users, no passwords. */
static int connect_failed(struct link *l, struct error *e)
{
    char text[ERROR_MSG_BYTES];
    size_t len = 0;

    for (const char *p = PQerrorMessage(l->raw); *p && len < sizeof text - 2; p++) {
        bool space = *p == '\n' || *p == '\t' || *p == ' ';
        if (!space)
            text[len++] = *p;
        else if (len > 0 && text[len - 1] != ' ')
            text[len++] = ' ';
    }
    while (len > 0 && text[len - 1] == ' ')
        len--;
    text[len] = '\0';
    return error_set(e, ERROR_UNAVAILABLE, "cannot connect to the database: %s", text);
}

static int accept_server(struct link *l, struct error *e)
{
    const char *encoding = PQparameterStatus(l->raw, "server_encoding");
    int version = PQserverVersion(l->raw);

    if (version < POSTGRES_VERSION_MIN)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "the database is PostgreSQL %d: version %d or newer is needed",
                         version / 10000, POSTGRES_VERSION_MIN / 10000);
    if (encoding && strcmp(encoding, "UTF8") != 0)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "the database's encoding is %s: make it with ENCODING 'UTF8'", encoding);
    return PQsetnonblocking(l->raw, 1) == 0 ? 0 : connect_failed(l, e);
}

/* libpq quotes what it cannot use, which may be a piece of a password with a '/' or '@' in it. */
static int check_url(const char *url, struct error *e)
{
    if (link_url_valid(url))
        return 0;
    return error_set(
        e, ERROR_INVALID_ARGUMENT,
        "the database's URL is not one of PostgreSQL: expected "
        "postgres://USER@HOST:PORT/DATABASE?PARAMETER=VALUE, with special characters as "
        "%%XX");
}

/* Keys before the URL are defaults, which it may change; a key behind it holds. */
int link_open(struct link *l, const char *url, struct error *e)
{
    const char *const key[] = { "connect_timeout",           "tcp_user_timeout",
                                "keepalives_idle",           "keepalives_interval",
                                "keepalives_count",          "target_session_attrs",
                                "fallback_application_name", "dbname",
                                "client_encoding",           NULL };
    const char *const value[] = { POSTGRES_CONNECT_S, "20000",   "10", "5",    "2",
                                  "read-write",       "tranche", url,  "UTF8", NULL };

    *l = (struct link){ 0 };
    if (check_url(url, e) < 0)
        return -1;
    if (fault_hit("postgres.connect"))
        return error_set(e, ERROR_UNAVAILABLE, "cannot connect to the database");
    l->raw = PQconnectdbParams(key, value, 1);
    int rc = PQstatus(l->raw) == CONNECTION_OK ? accept_server(l, e) : connect_failed(l, e);
    if (rc == 0)
        (void)PQsetNoticeProcessor(l->raw, be_quiet, NULL);
    else
        link_close(l);
    return rc;
}

void link_close(struct link *l)
{
    PQfinish(l->raw);
    l->raw = NULL;
}
