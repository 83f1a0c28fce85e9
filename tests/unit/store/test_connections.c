/* Goal: a process has no more connections than it may, gives none away twice, drops lost ones, and knows the database's time
 * though its own clock is another. Method: a private PostgreSQL (tests/postgres.py) and threads; without a server, SQLite. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/fault.h"
#include "store/connections.h"
#include "unit/store/objects/blob_world.h"

#define MOST 3
#define THREADS 8
#define TURNS 50

static struct world *with_database(void **state)
{
    struct world *w = *state;

    if (!w->database[0])
        skip();
    return w;
}

struct use {
    struct connections *c;
    atomic_int open, most;
    atomic_bool failed;
};

static void *use_in_turns(void *arg)
{
    struct use *u = arg;

    for (int i = 0; i < TURNS; i++) {
        struct error e = { 0 };
        struct db *d = connection_take(u->c, &e);
        if (!d) {
            print_error("%s\n", e.msg);
            atomic_store(&u->failed, true);
            break;
        }
        int open = atomic_fetch_add(&u->open, 1) + 1, most = atomic_load(&u->most);
        while (open > most && !atomic_compare_exchange_weak(&u->most, &most, open))
            ;
        if (db_step(db_stmt(d, "SELECT 1"), "test", &e) != 1)
            atomic_store(&u->failed, true);
        (void)atomic_fetch_sub(&u->open, 1);
        connection_give(u->c, d);
    }
    return NULL;
}

static void test_threads_share_a_bounded_number_of_connections(void **state)
{
    struct world *w = with_database(state);
    struct use u = { .c = connections_new(w->database, MOST) };
    pthread_t thread[THREADS];

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, use_in_turns, &u), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_false(atomic_load(&u.failed));
    assert_in_range(atomic_load(&u.most), 1, MOST);
    connections_free(u.c);
}

/* Both the place of a lost connection and that of one that was never made are free again. */
static void test_a_lost_connection_makes_room_for_another_one(void **state)
{
    struct world *w = with_database(state);
    struct connections *c = connections_new(w->database, 1);
    struct error e = { 0 };
    struct db *d = connection_take(c, &e);

    assert_non_null(d);
    ASSERT_OK(db_begin(d, DB_WRITE_ROWS, "test", &e), e);
    fault_arm("postgres.answer", 0, EIO);
    ASSERT_FAILS(db_exec(d, "SELECT 1", "test", &e), e, ERROR_UNAVAILABLE);
    assert_int_equal(fault_disarm(), 1);
    assert_true(db_is_lost(d));
    connection_give(c, d);
    fault_arm("postgres.connect", 0, EIO);
    assert_null(connection_take(c, &e));
    assert_int_equal(fault_disarm(), 1);
    /* For a moment nobody tries: the same error comes at once. */
    for (d = NULL; !d;) {
        e = (struct error){ 0 };
        d = connection_take(c, &e);
        assert_true(d || strstr(e.msg, "cannot connect to the database"));
    }
    assert_int_equal(db_step(db_stmt(d, "SELECT 1"), "test", &e), 1);
    connection_give(c, d);
    connections_free(c);
}

/* The server runs on this machine, so its clock is known: the estimate is as good as the calls were fast. */
static void test_the_time_is_the_databases(void **state)
{
    struct world *w = with_database(state);
    const struct store_place place = { .dir = w->dir, .database = w->database };
    struct clock *clock = clock_system();
    struct error e = { 0 };

    store_close(w->s);
    uint64_t began_ns = clock->mono_ns(clock);
    w->s = store_open_at(&place, true, clock, &e);
    assert_string_equal(e.msg, "");
    int64_t took_us = (int64_t)((clock->mono_ns(clock) - began_ns) / 1000);
    for (int i = 0; i < 20; i++) {
        int64_t before_us = clock->wall_us(clock), now_us = store_now(w->s),
                after_us = clock->wall_us(clock);
        assert_true(now_us >= before_us - took_us && now_us <= after_us + took_us);
        struct db *d = store_write_rows(w->s, &e);
        assert_non_null(d);
        ASSERT_OK(store_commit(w->s, d, 0, &e), e);
    }
}

static void test_a_test_of_the_time_has_its_own(void **state)
{
    struct world *w = *state;

    assert_int_equal(store_now(w->s), NOW_US);
}

struct writer {
    struct world *w;
    bool rows;
    atomic_bool failed;
};

static void *count_up(void *arg)
{
    struct writer *x = arg;

    for (int i = 0; i < TURNS; i++) {
        struct error e = { 0 };
        struct db *d = x->rows ? store_write_rows(x->w->s, &e) : store_write(x->w->s, &e);
        int64_t n = 0;
        if (!d || store_commit(x->w->s, d, store_number(d, "test", 1, 1, &n, &e), &e) < 0) {
            print_error("%s\n", e.msg);
            atomic_store(&x->failed, true);
        }
    }
    return NULL;
}

static void test_both_rights_to_write_go_on_beside_each_other(void **state)
{
    struct world *w = *state;
    struct writer x[2] = { { .w = w }, { .w = w, .rows = true } };
    pthread_t thread[THREADS];
    struct error e = { 0 };
    int64_t n = 0;

    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, count_up, &x[i % 2]), 0);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_join(thread[i], NULL), 0);
    assert_false(atomic_load(&x[0].failed) || atomic_load(&x[1].failed));
    struct db *d = store_write(w->s, &e);
    assert_non_null(d);
    ASSERT_OK(store_commit(w->s, d, store_number(d, "test", 1, 1, &n, &e), &e), e);
    assert_int_equal(n, THREADS * TURNS + 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, world_make, world_remove)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_threads_share_a_bounded_number_of_connections),
        TEST(test_a_lost_connection_makes_room_for_another_one),
        TEST(test_the_time_is_the_databases),
        TEST(test_a_test_of_the_time_has_its_own),
        TEST(test_both_rights_to_write_go_on_beside_each_other),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
