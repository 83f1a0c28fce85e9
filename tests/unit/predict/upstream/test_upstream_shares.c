/* Goal: a server whose limits several processes share sends within its part of them, and says truly what it holds and needs.
 * Method: the servers of three processes on one clock that the test moves, and parts that the test gives. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/random.h"
#include "predict/upstream/server.h"

#define PROCESSES 3
#define OPEN_MAX 64
#define SENT_MAX 4000
#define MINUTE_NS (60 * NS_PER_S)

struct process {
    struct upstream_servers *servers;
    struct upstream_server *server;
    struct server_member member;
    struct server_exchange open[OPEN_MAX];
    uint32_t open_count, wanted;
};
static struct {
    struct clock clock;
    struct upstream upstream;
    struct process p[PROCESSES];
    uint64_t sent_ns[SENT_MAX];
    uint32_t sent_count;
} w;

static uint64_t now_ns(void)
{
    return w.clock.mono_ns(&w.clock);
}

static void on_wanted(void *arg)
{
    ((struct process *)arg)->wanted++;
}

static void begin(uint32_t rpm, uint32_t slots)
{
    struct error e = { 0 };

    w.clock = clock_fake(0);
    w.sent_count = 0;
    w.upstream =
        (struct upstream){ .name = "s",
                           .url = "http://127.0.0.1:1/v1",
                           .max_rpm = rpm,
                           .concurrency = slots,
                           .concurrency_max = slots ? slots : UPSTREAM_CONCURRENCY_DEFAULT };
    for (uint32_t i = 0; i < PROCESSES; i++) {
        struct process *p = &w.p[i];
        *p = (struct process){ .servers = upstream_servers_new(&w.clock) };
        upstream_servers_share(p->servers, on_wanted, p);
        p->server = upstream_server_join(p->servers, &w.upstream, &p->member, &e);
        assert_non_null(p->server);
    }
}

static void end_one(struct process *p)
{
    const struct exchange_result answered = { .end = EXCHANGE_ANSWERED, .reached = true };

    server_ended(p->server, &p->open[--p->open_count], &answered);
}

static int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        while (w.p[i].open_count)
            end_one(&w.p[i]);
        server_leave(w.p[i].server, &w.p[i].member);
        upstream_servers_free(w.p[i].servers);
    }
    return 0;
}

static enum server_go send_one(struct process *p)
{
    uint64_t ready_ns;
    enum server_go go = server_ask(p->server, &p->member, 100, &ready_ns);

    assert_true(go == SERVER_GO || ready_ns > now_ns());
    if (go != SERVER_GO)
        return go;
    assert_true(w.sent_count < SENT_MAX && p->open_count < OPEN_MAX);
    server_sent(p->server, &p->member, 100, &p->open[p->open_count++]);
    w.sent_ns[w.sent_count++] = now_ns();
    return go;
}

static void give(struct process *p, double requests, double slots, uint32_t seconds)
{
    const double part[SHARE_KINDS] = { [SHARE_REQUESTS] = requests, [SHARE_SLOTS] = slots };

    upstream_servers_allow(p->servers, "s", part, now_ns() + seconds * NS_PER_S);
}

static struct share_need need_of(struct process *p)
{
    struct arena a = { 0 };
    struct server_need *list;
    uint32_t count;

    upstream_servers_needs(p->servers, &a, &list, &count);
    assert_int_equal(count, 1);
    assert_string_equal(list[0].name, "s");
    struct share_need need = list[0].need;
    arena_release(&a);
    return need;
}

static void pass_ms(uint64_t ms)
{
    w.clock.sleep_ns(&w.clock, ms * NS_PER_MS);
}

static void test_nothing_goes_before_there_is_a_part_or_after_its_end(void **state)
{
    (void)state;
    begin(0, 4);
    assert_int_equal(send_one(&w.p[0]), SERVER_PACED);
    assert_int_equal(w.p[0].wanted, 1);
    assert_true(isinf(need_of(&w.p[0]).need[SHARE_SLOTS]));
    give(&w.p[0], 0, 2, 5);
    assert_int_equal(send_one(&w.p[0]), SERVER_GO);
    pass_ms(5000);
    assert_int_equal(send_one(&w.p[0]), SERVER_PACED);
    assert_int_equal(w.p[0].wanted, 2);
    assert_true(need_of(&w.p[0]).holds[SHARE_SLOTS] <= 1); /* the one in flight */
}

static void test_a_part_of_the_slots_is_not_passed(void **state)
{
    (void)state;
    begin(0, 4);
    give(&w.p[0], 0, 3, 5);
    assert_int_equal(server_room(w.p[0].server), 3);
    for (int i = 0; i < 3; i++)
        assert_int_equal(send_one(&w.p[0]), SERVER_GO);
    assert_int_equal(send_one(&w.p[0]), SERVER_FULL);
    give(&w.p[0], 0, 1, 5);
    assert_true(need_of(&w.p[0]).holds[SHARE_SLOTS] >= 3); /* in flight */
    end_one(&w.p[0]);
    end_one(&w.p[0]);
    assert_int_equal(send_one(&w.p[0]), SERVER_FULL);
    end_one(&w.p[0]);
    assert_int_equal(send_one(&w.p[0]), SERVER_GO);
}

static void test_a_part_that_is_nothing_sends_nothing(void **state)
{
    (void)state;
    begin(60, 0);
    give(&w.p[0], 0, 0, 5);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(send_one(&w.p[0]), SERVER_PACED);
        pass_ms(40);
    }
    assert_int_equal(w.p[0].wanted, 0); /* it has one */
    assert_true(isinf(need_of(&w.p[0]).need[SHARE_REQUESTS]));
}

static void test_a_server_that_nobody_asks_needs_nothing(void **state)
{
    (void)state;
    begin(60, 0);
    assert_false(need_of(&w.p[0]).wants);
    (void)send_one(&w.p[0]);
    assert_true(need_of(&w.p[0]).wants);
    pass_ms(SHARE_IDLE_MS);
    assert_false(need_of(&w.p[0]).wants);
}

static void test_the_need_is_what_was_used_and_some_more(void **state)
{
    (void)state;
    begin(600, 0);
    give(&w.p[0], 600, 0, 60);
    (void)need_of(&w.p[0]);
    for (int i = 0; i < 20; i++) {
        pass_ms(1000);
        assert_int_equal(send_one(&w.p[0]), SERVER_GO);
        end_one(&w.p[0]);
    }
    double need = need_of(&w.p[0]).need[SHARE_REQUESTS];
    assert_true(need > 60 && need < 90);
}

static void test_a_server_without_limits_is_not_shared(void **state)
{
    struct arena a = { 0 };
    struct server_need *list;
    uint32_t count;

    (void)state;
    begin(0, 0);
    assert_int_equal(send_one(&w.p[0]), SERVER_GO);
    upstream_servers_needs(w.p[0].servers, &a, &list, &count);
    assert_int_equal(count, 0);
    assert_int_equal(w.p[0].wanted, 0);
    arena_release(&a);
}

/* Parts move from one process to another, some die and begin again, and each sends whatever it may. The parts are what
 * allowance.h gives: they sum up to the limit less a request of each process but one. */
static void test_no_minute_of_all_processes_has_more_than_the_limit(void **state)
{
    static const uint32_t limits[] = { 6, 30, 60, 100, 600 };
    uint64_t seed = 7;

    (void)state;
    for (size_t l = 0; l < ARRAY_LEN(limits); l++) {
        double cut[PROCESSES];
        begin(limits[l], 0);
        for (uint32_t ms = 0; ms < 240000; ms += 100) {
            for (uint32_t i = 0; i < PROCESSES && ms % 2000 == 0; i++)
                cut[i] = random_next(&seed) % 4 ? random_unit(&seed) : 0;
            for (uint32_t i = 0; i < PROCESSES && ms % 2000 == 0; i++) {
                double sum = cut[0] + cut[1] + cut[2] + 1e-6;
                give(&w.p[i], (limits[l] - (PROCESSES - 1.0)) * cut[i] / sum, 0, 3);
            }
            for (uint32_t i = 0; i < PROCESSES; i++)
                while (send_one(&w.p[i]) == SERVER_GO)
                    end_one(&w.p[i]);
            pass_ms(100);
        }
        for (uint32_t from = 0, to = 0; to < w.sent_count; to++) {
            while (w.sent_ns[to] - w.sent_ns[from] >= MINUTE_NS)
                from++;
            assert_true(to - from + 1 <= limits[l]);
        }
        if (w.sent_count < (limits[l] < 60 ? 1 : 2.5) * limits[l]) /* of four minutes */
            fail_msg("%u sent with a limit of %u", w.sent_count, limits[l]);
        if (l + 1 < ARRAY_LEN(limits))
            (void)tear_down(state);
    }
}

#define TEST(f) cmocka_unit_test_teardown(f, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_nothing_goes_before_there_is_a_part_or_after_its_end),
        TEST(test_a_part_of_the_slots_is_not_passed),
        TEST(test_a_part_that_is_nothing_sends_nothing),
        TEST(test_a_server_that_nobody_asks_needs_nothing),
        TEST(test_the_need_is_what_was_used_and_some_more),
        TEST(test_a_server_without_limits_is_not_shared),
        TEST(test_no_minute_of_all_processes_has_more_than_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
