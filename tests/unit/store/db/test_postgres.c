/* Goal: a lost, slow or restarted PostgreSQL is an error in words that may be tried again, and never a hang, a half of a
 * transaction or a wrong "done". Method: a private server (tests/postgres.py); sessions are ended by the server's own functions,
 * and fault points break the connection before and after a statement has reached the server. */
#include <arpa/inet.h>
#include <limits.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <stdarg.h>
#include <stddef.h>
#include <errno.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/fault.h"
#include "database.h"
#include "store/db/db.h"
#include "store/db/postgres_sql.h"

struct world {
    char url[DATABASE_URL_BYTES];
    struct db *d, *other; /* other: whoever works against d */
    struct error e;
};

#define OK(call)                                                                                   \
    do {                                                                                           \
        int ok_rc = (call);                                                                        \
        assert_string_equal(w->e.msg, "");                                                         \
        assert_int_equal(ok_rc, 0);                                                                \
    } while (0)
#define UNAVAILABLE(call, words)                                                                   \
    do {                                                                                           \
        assert_int_equal((call), -1);                                                              \
        assert_string_equal(error_name(w->e.code), "UNAVAILABLE");                                 \
        if (!strstr(w->e.msg, words))                                                              \
            assert_string_equal(w->e.msg, words);                                                  \
        w->e = (struct error){ 0 };                                                                \
    } while (0)

static const struct db_settings none;

static int make(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    database_make(w->url);
    w->d = db_open(w->url, &none, &w->e);
    w->other = db_open(w->url, &none, &w->e);
    assert_string_equal(w->e.msg, "");
    OK(db_exec(w->other, "CREATE TABLE t (n BIGINT NOT NULL, s TEXT)", "test", &w->e));
    *state = w;
    return 0;
}

static int clear(void **state)
{
    struct world *w = *state;

    db_close(w->d);
    db_close(w->other);
    database_remove(w->url);
    mem_free(w);
    return 0;
}

static int64_t number(struct world *w, struct db *d, const char *sql)
{
    struct stmt *q = db_stmt(d, sql);

    assert_int_equal(db_step(q, "test", &w->e), 1);
    int64_t n = db_int(q, 0);
    db_reset(q);
    return n;
}

#define ROWS "SELECT count(*) FROM t"
#define ADD "INSERT INTO t (n) VALUES (1)"

/* Ends the session of d, as a restart of the server would, and waits until it has gone. */
static void end_session(struct world *w)
{
    int64_t pid = number(w, w->d, "SELECT pg_backend_pid()");
    struct stmt *q = db_stmt(w->other, "SELECT pg_terminate_backend(CAST(? AS INTEGER), 60000)");

    db_bind(q, "i", pid);
    assert_int_equal(db_step(q, "test", &w->e), 1);
    assert_int_equal(db_int(q, 0), 1);
    db_reset(q);
}

/* ---- Lost connections ---- */

static void test_a_read_outside_of_a_transaction_is_made_on_a_new_connection(void **state)
{
    struct world *w = *state;

    OK(db_exec(w->d, ADD, "test", &w->e));
    end_session(w);
    assert_int_equal(number(w, w->d, ROWS), 1);
    fault_arm("postgres.send", 0, EIO);
    assert_int_equal(number(w, w->d, ROWS), 1);
    assert_int_equal(fault_disarm(), 1);
    fault_arm("postgres.answer", 0, EIO);
    assert_int_equal(number(w, w->d, ROWS), 1);
    assert_int_equal(fault_disarm(), 1);
    assert_false(db_is_lost(w->d));
}

static void test_a_transaction_begins_on_a_new_connection(void **state)
{
    struct world *w = *state;

    end_session(w);
    OK(db_begin(w->d, DB_WRITE_ALL, "test", &w->e));
    OK(db_exec(w->d, ADD, "test", &w->e));
    OK(db_commit(w->d, "test", &w->e));
    fault_arm("postgres.answer", 0, EIO);
    OK(db_begin(w->d, DB_WRITE_ROWS, "test", &w->e));
    assert_int_equal(fault_disarm(), 1);
    OK(db_commit(w->d, "test", &w->e));
    assert_int_equal(number(w, w->other, ROWS), 1);
}

static void test_a_connection_lost_within_a_transaction_loses_all_of_it(void **state)
{
    struct world *w = *state;

    OK(db_begin(w->d, DB_WRITE_ALL, "test", &w->e));
    OK(db_exec(w->d, ADD, "test", &w->e));
    end_session(w);
    UNAVAILABLE(db_run(db_stmt(w->d, ADD), "cannot add", &w->e),
                "cannot add: the connection to the database is lost");
    UNAVAILABLE(db_run(db_stmt(w->d, ADD), "cannot add", &w->e), "lost");
    UNAVAILABLE(db_step(db_stmt(w->d, ROWS), "cannot count", &w->e), "lost");
    UNAVAILABLE(db_exec(w->d, ADD, "cannot add", &w->e), "lost");
    UNAVAILABLE(db_commit(w->d, "cannot write", &w->e), "lost");
    assert_true(db_is_lost(w->d));
    assert_int_equal(number(w, w->other, ROWS), 0);
    OK(db_begin(w->other, DB_WRITE_ALL, "test", &w->e)); /* its lock is free */
    OK(db_commit(w->other, "test", &w->e));
}

static void test_after_an_end_without_an_answer_the_server_is_asked(void **state)
{
    struct world *w = *state;

    OK(db_begin(w->d, DB_WRITE_ALL, "test", &w->e));
    OK(db_exec(w->d, ADD, "test", &w->e));
    fault_arm("postgres.answer", 0, EIO);
    OK(db_commit(w->d, "cannot write", &w->e));
    assert_int_equal(fault_disarm(), 1);
    assert_int_equal(number(w, w->other, ROWS), 1);
    OK(db_begin(w->d, DB_WRITE_ALL, "test", &w->e));
    OK(db_exec(w->d, ADD, "test", &w->e));
    fault_arm("postgres.send", 0, EIO);
    UNAVAILABLE(db_commit(w->d, "cannot write", &w->e), "lost, and nothing was written");
    assert_int_equal(fault_disarm(), 1);
    assert_int_equal(number(w, w->other, ROWS), 1);
    OK(db_begin(w->d, DB_WRITE_ALL, "test", &w->e));
    OK(db_commit(w->d, "test", &w->e));
}

/* The server has the COMMIT, and lets us in no more. */
static void test_an_end_that_nobody_can_tell_says_so(void **state)
{
    struct world *w = *state;

    OK(db_begin(w->d, DB_WRITE_ALL, "test", &w->e));
    OK(db_exec(w->d, ADD, "test", &w->e));
    OK(db_exec(w->other, "UPDATE pg_database SET datallowconn = false WHERE datname = 'tranche'",
               "test", &w->e));
    fault_arm("postgres.answer", 0, EIO);
    UNAVAILABLE(db_commit(w->d, "cannot write", &w->e), "it is not known if it was written");
    assert_int_equal(fault_disarm(), 1);
    OK(db_exec(w->other, "UPDATE pg_database SET datallowconn = true", "test", &w->e));
    OK(db_begin(w->other, DB_WRITE_ALL, "test", &w->e)); /* after its end */
    assert_int_equal(number(w, w->other, ROWS), 1);
    OK(db_commit(w->other, "test", &w->e));
}

static void test_a_transaction_whose_statement_failed_is_not_committed(void **state)
{
    struct world *w = *state;

    OK(db_begin(w->d, DB_WRITE_ALL, "test", &w->e));
    OK(db_exec(w->d, ADD, "test", &w->e));
    assert_int_equal(db_exec(w->d, "INSERT INTO t (n) VALUES (NULL)", "test", &w->e), -1);
    assert_int_equal(w->e.code, ERROR_INTERNAL);
    w->e = (struct error){ 0 };
    UNAVAILABLE(db_commit(w->d, "cannot write", &w->e), "has failed before");
    assert_int_equal(number(w, w->other, ROWS), 0);
    OK(db_begin(w->d, DB_WRITE_ALL, "test", &w->e));
    OK(db_commit(w->d, "test", &w->e));
}

/* ---- A server whose answers end in the middle ---- */

/* A way to the server that ends a connection behind the next `left` bytes of its answers. */
struct cutter {
    pthread_t thread;
    int listener, port;
    atomic_long left; /* LONG_MAX: all */
    atomic_bool end;
};

static int tcp(int port, bool listens)
{
    struct sockaddr_in a = { .sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    const struct sockaddr *at = (const struct sockaddr *)(const void *)&a;

    assert_true(fd >= 0);
    assert_int_equal(listens ? bind(fd, at, sizeof a) : connect(fd, at, sizeof a), 0);
    assert_true(!listens || listen(fd, 8) == 0);
    return fd;
}

/* False: the connection has ended, or is to. */
static bool pass_on(struct cutter *c, int from, int to, bool counted)
{
    char bytes[4096];
    long left = counted ? atomic_load(&c->left) : LONG_MAX;
    ssize_t n = recv(from, bytes, (size_t)left < sizeof bytes ? (size_t)left : sizeof bytes, 0);

    if (n <= 0 || send(to, bytes, (size_t)n, MSG_NOSIGNAL) != n)
        return false;
    if (left != LONG_MAX)
        atomic_store(&c->left, left - n);
    return left == LONG_MAX || left > n;
}

static void *serve(void *arg)
{
    struct cutter *c = arg;
    int server_port = 0;

    assert_int_equal(sscanf(strstr(database_server(), "127.0.0.1:"), "127.0.0.1:%d", &server_port),
                     1);
    while (!atomic_load(&c->end)) {
        int client = accept(c->listener, NULL, NULL);
        int server = atomic_load(&c->end) ? -1 : tcp(server_port, false);
        struct pollfd p[2] = { { .fd = client, .events = POLLIN },
                               { .fd = server, .events = POLLIN } };
        bool open = server >= 0;
        while (open && poll(p, 2, -1) > 0) {
            if (p[0].revents)
                open = pass_on(c, client, server, false);
            if (open && p[1].revents)
                open = pass_on(c, server, client, true);
        }
        atomic_store(&c->left, LONG_MAX); /* the next connection is whole */
        (void)close(client);
        if (server >= 0)
            (void)close(server);
    }
    return NULL;
}

static struct db *through(struct world *w, struct cutter *c)
{
    const char *address = strstr(w->url, "127.0.0.1:"), *rest = strchr(address, '/');
    struct sockaddr_in a;
    socklen_t len = sizeof a;
    char url[DATABASE_URL_BYTES];

    c->listener = tcp(0, true);
    assert_int_equal(getsockname(c->listener, (struct sockaddr *)(void *)&a, &len), 0);
    c->port = ntohs(a.sin_port);
    atomic_store(&c->left, LONG_MAX);
    assert_int_equal(pthread_create(&c->thread, NULL, serve, c), 0);
    (void)snprintf(url, sizeof url, "%.*s127.0.0.1:%d%s%csslmode=disable&gssencmode=disable",
                   (int)(address - w->url), w->url, c->port, rest, strchr(rest, '?') ? '&' : '?');
    return db_open(url, &none, &w->e);
}

static void stop(struct cutter *c)
{
    atomic_store(&c->end, true);
    int last = tcp(c->port, false);
    assert_int_equal(pthread_join(c->thread, NULL), 0);
    (void)close(last);
    (void)close(c->listener);
}

/* Whatever was cut: it is done or an error, never a half, and the next transaction works. */
static void test_an_answer_may_end_behind_each_of_its_bytes(void **state)
{
    struct world *w = *state;
    struct cutter c = { 0 };
    struct db *d = through(w, &c);
    int64_t rows = 0;

    assert_string_equal(w->e.msg, "");
    for (long at = 1; at < 420; at++) {
        bool commits = at % 2;
        if (!commits)
            atomic_store(&c.left, at);
        int rc = db_begin(d, DB_WRITE_ALL, "test", &w->e);
        if (rc == 0)
            rc = db_exec(d, ADD, "test", &w->e);
        if (rc == 0 && commits)
            atomic_store(&c.left, at % 40 + 1);
        rc = rc == 0 ? db_commit(d, "test", &w->e) : (db_rollback(d), -1);
        atomic_store(&c.left, LONG_MAX);
        if (rc < 0)
            assert_string_equal(error_name(w->e.code), "UNAVAILABLE");
        rows += rc == 0;
        w->e = (struct error){ 0 };
        assert_int_equal(number(w, w->other, ROWS), rows);
        if (db_is_lost(d)) {
            db_close(d);
            char url[DATABASE_URL_BYTES];
            (void)snprintf(url, sizeof url, "%.*s127.0.0.1:%d%s",
                           (int)(strstr(w->url, "127") - w->url), w->url, c.port,
                           strchr(strstr(w->url, "127"), '/'));
            d = db_open(url, &none, &w->e);
            assert_string_equal(w->e.msg, "");
        }
    }
    assert_true(rows > 200);
    db_close(d);
    stop(&c);
}

/* ---- Slow ones ---- */

/* Nobody waits for a process that was stopped within a transaction. */
static void test_a_transaction_that_stands_still_is_ended_by_the_server(void **state)
{
    struct world *w = *state;

    OK(db_begin(w->d, DB_WRITE_ALL, "test", &w->e));
    OK(db_exec(w->d, ADD, "test", &w->e));
    OK(db_begin(w->other, DB_WRITE_ALL, "test",
                &w->e)); /* waits until the server has ended the first */
    assert_int_equal(number(w, w->other, ROWS), 0);
    OK(db_commit(w->other, "test", &w->e));
    UNAVAILABLE(db_commit(w->d, "cannot write", &w->e), "cannot write: ");
    assert_int_equal(number(w, w->other, ROWS), 0);
}

static void test_a_statement_has_an_end_and_so_has_the_wait_for_a_row(void **state)
{
    struct world *w = *state;

    OK(db_exec(w->d, ADD, "test", &w->e));
    OK(db_begin(w->d, DB_WRITE_ROWS, "test", &w->e));
    OK(db_exec(w->d, "SET LOCAL statement_timeout = 50", "test", &w->e));
    UNAVAILABLE(db_step(db_stmt(w->d, "SELECT pg_sleep(60)"), "cannot sleep", &w->e),
                "cannot sleep: the database took too long");
    db_rollback(w->d);
    OK(db_begin(w->d, DB_WRITE_ROWS, "test", &w->e));
    assert_int_equal(number(w, w->d, "SELECT n FROM t FOR UPDATE"), 1);
    OK(db_begin(w->other, DB_WRITE_ROWS, "test", &w->e));
    assert_int_equal(
        db_step(db_stmt(w->other, "SELECT n FROM t FOR UPDATE SKIP LOCKED"), "test", &w->e), 0);
    OK(db_exec(w->other, "SET LOCAL statement_timeout = 50", "test", &w->e));
    UNAVAILABLE(db_step(db_stmt(w->other, "SELECT n FROM t FOR UPDATE"), "cannot lock", &w->e),
                "took too long");
    db_rollback(w->other);
    OK(db_commit(w->d, "test", &w->e));
    assert_false(db_is_lost(w->d));
}

/* ---- Servers and URLs ---- */

static void test_a_server_that_is_not_there_is_an_error_with_its_address(void **state)
{
    struct error e = { 0 };

    (void)state;
    assert_null(db_open("postgres://me:secret@127.0.0.1:1/x", &none, &e));
    assert_int_equal(e.code, ERROR_UNAVAILABLE);
    assert_non_null(strstr(e.msg, "cannot connect to the database: "));
    assert_non_null(strstr(e.msg, "127.0.0.1"));
    assert_null(strstr(e.msg, "secret"));
    assert_null(strchr(e.msg, '\n'));
}

static void test_no_message_has_a_piece_of_a_password(void **state)
{
    static const char *const urls[] = { "postgres://me:se/cret@127.0.0.1:1/x",
                                        "postgres://me:se%zzcret@h/x", "postgres://me:x@h:cret/x",
                                        "postgres://h/x?cret", "postgres://h/x?cret=1" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(urls); i++) {
        struct error e = { 0 };
        assert_null(db_open(urls[i], &none, &e));
        assert_null(strstr(e.msg, "cret"));
    }
}

static void test_a_url_is_shown_without_its_password(void **state)
{
    static const struct {
        const char *url, *shown;
        bool has;
    } rows[] = {
        { "postgres://me:secret@db1:5432,db2:5433/x?sslpassword=p&options=-ca%3Db",
          "postgres://me@db1,db2:5432,5433/x", true },
        { "postgresql://me@db/x", "postgres://me@db/x", false },
        { "postgres://me@db/x?password=secret", "postgres://me@db/x", true },
        { "postgres:///x?host=/run/postgresql", "postgres:///run/postgresql/x", false },
        { "postgres://me:se/cret@db:x/x", "postgres://...", false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b = BUF_INIT(1000);
        db_url_shown(rows[i].url, &b);
        assert_string_equal(b.p, rows[i].shown);
        assert_int_equal(db_url_has_password(rows[i].url), rows[i].has);
        buf_release(&b);
    }
}

static void test_a_text_that_the_database_cannot_keep_is_the_callers_fault(void **state)
{
    static const struct str texts[] = { { "a\0b", 3 }, { "\xff", 1 }, { "\xc3", 1 } };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct stmt *q = db_stmt(w->d, "INSERT INTO t (n, s) VALUES (1, ?)");
        db_bind(q, "t", texts[i]);
        assert_int_equal(db_run(q, "cannot add", &w->e), -1);
        assert_string_equal(error_name(w->e.code), "INVALID_ARGUMENT");
        w->e = (struct error){ 0 };
    }
    assert_int_equal(number(w, w->d, ROWS), 0);
}

static void test_the_servers_clock_and_timeline_are_known(void **state)
{
    struct world *w = *state;
    struct db_clock first, later;

    assert_true(db_clock(w->d, &first));
    assert_true(first.asked_ns <= first.answered_ns);
    OK(db_begin(w->d, DB_WRITE_ROWS, "test", &w->e));
    assert_true(db_clock(w->d, &later));
    OK(db_commit(w->d, "test", &w->e));
    assert_true(later.wall_us > first.wall_us && later.asked_ns >= first.answered_ns);
    int64_t ours = clock_system()->wall_us(clock_system());
    assert_true(ours - later.wall_us < 60000000 && later.wall_us - ours < 60000000);
    assert_int_equal(db_epoch(w->d), 1);
}

/* ---- Translation: texts only ---- */

static void test_statements_get_numbered_parameters(void **state)
{
    static const struct {
        const char *from, *to;
        int count;
    } rows[] = {
        { "SELECT 1", "SELECT 1", 0 },
        { "SELECT ?, ?", "SELECT $1, $2", 2 },
        { "SELECT ?2, ?1, ?12, ?", "SELECT $2, $1, $12, $13", 13 },
        { "SELECT '?', \"?\", 'it''s ?', ? -- ?\n, ?",
          "SELECT '?', \"?\", 'it''s ?', $1 -- ?\n, $2", 2 },
        { "a_b = ?1 AND c1=?1", "a_b = $1 AND c1=$1", 1 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b = BUF_INIT(1000);
        assert_int_equal(postgres_statement(rows[i].from, &b), rows[i].count);
        assert_string_equal(b.p, rows[i].to);
        buf_release(&b);
    }
}

static void test_changes_get_other_types(void **state)
{
    static const struct {
        const char *from, *to;
    } rows[] = {
        { "a INTEGER NOT NULL, b REAL, c BLOB, d TEXT",
          "a BIGINT NOT NULL, b DOUBLE PRECISION, c BYTEA, d TEXT COLLATE \"C\"" },
        { "id INTEGER PRIMARY KEY AUTOINCREMENT,",
          "id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY," },
        { "id INTEGER  PRIMARY\n KEY\n",
          "id BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY\n" },
        { ") STRICT, WITHOUT ROWID;\n) STRICT;\n) WITHOUT ROWID;", ");\n);\n);" },
        { "CONTEXT TEXTS BLOBS INTEGERS x_TEXT", "CONTEXT TEXTS BLOBS INTEGERS x_TEXT" },
        { "'TEXT' -- BLOB\n\"REAL\"", "'TEXT' -- BLOB\n\"REAL\"" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct buf b = BUF_INIT(1000);
        postgres_change(rows[i].from, &b);
        assert_string_equal(b.p, rows[i].to);
        buf_release(&b);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make, clear)

int main(void)
{
    const struct CMUnitTest texts[] = {
        cmocka_unit_test(test_statements_get_numbered_parameters),
        cmocka_unit_test(test_changes_get_other_types),
        cmocka_unit_test(test_a_url_is_shown_without_its_password),
        cmocka_unit_test(test_a_server_that_is_not_there_is_an_error_with_its_address),
        cmocka_unit_test(test_no_message_has_a_piece_of_a_password),
    };
    const struct CMUnitTest tests[] = {
        TEST(test_a_read_outside_of_a_transaction_is_made_on_a_new_connection),
        TEST(test_a_transaction_begins_on_a_new_connection),
        TEST(test_a_connection_lost_within_a_transaction_loses_all_of_it),
        TEST(test_after_an_end_without_an_answer_the_server_is_asked),
        TEST(test_an_end_that_nobody_can_tell_says_so),
        TEST(test_an_answer_may_end_behind_each_of_its_bytes),
        TEST(test_a_transaction_whose_statement_failed_is_not_committed),
        TEST(test_a_transaction_that_stands_still_is_ended_by_the_server),
        TEST(test_a_statement_has_an_end_and_so_has_the_wait_for_a_row),
        TEST(test_a_text_that_the_database_cannot_keep_is_the_callers_fault),
        TEST(test_the_servers_clock_and_timeline_are_known),
    };

    if (!database_server())
        return cmocka_run_group_tests(texts, NULL, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
