/* Goal: the members that want slots share those of a full server, and no other member has a share.
 * Method: members of one server ask in turn, on a clock that moves when it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/mem.h"
#include "predict/upstream/server.h"

#define PLACES 4
#define OPEN_MAX 16
#define LONG_AFTER_NS (1000ULL * 1000 * 1000)

/* A member and what it has open: a ring, the oldest at first. */
struct asker {
    struct server_member member;
    struct server_exchange open[OPEN_MAX];
    uint32_t first, count;
};

struct world {
    struct clock clock;
    struct upstream upstream;
    struct upstream_servers *servers;
    struct upstream_server *server;
    struct asker first, second;
};

static struct world *w;

static int set_up(void **state)
{
    struct error e = { 0 };

    (void)state;
    w = mem_alloc(sizeof *w);
    w->clock = clock_fake(0);
    w->upstream = (struct upstream){ .name = "s",
                                     .url = "http://127.0.0.1:1/v1",
                                     .wire = WIRE_OPENAI,
                                     .concurrency = PLACES,
                                     .concurrency_max = PLACES };
    w->servers = upstream_servers_new(&w->clock);
    w->server = upstream_server_join(w->servers, &w->upstream, &w->first.member, &e);
    if (!w->server)
        fail_msg("%s", e.msg);
    assert_ptr_equal(upstream_server_join(w->servers, &w->upstream, &w->second.member, &e),
                     w->server);
    return 0;
}

static void end_one(struct asker *a)
{
    const struct exchange_result answered = { .end = EXCHANGE_ANSWERED, .reached = true };

    assert_true(a->count > 0);
    server_ended(w->server, &a->open[a->first], &answered);
    a->first = (a->first + 1) % OPEN_MAX;
    a->count--;
}

static int tear_down(void **state)
{
    (void)state;
    while (w->first.count)
        end_one(&w->first);
    while (w->second.count)
        end_one(&w->second);
    server_leave(w->server, &w->first.member);
    server_leave(w->server, &w->second.member);
    upstream_servers_free(w->servers);
    mem_free(w);
    return 0;
}

/* Sends as long as it may; how many went. */
static uint32_t send_all(struct asker *a)
{
    uint64_t ready_ns;
    uint32_t sent = 0;

    for (; server_ask(w->server, &a->member, 10, &ready_ns) == SERVER_GO; sent++)
        server_sent(w->server, &a->member, 10, &a->open[(a->first + a->count++) % OPEN_MAX]);
    return sent;
}

static void test_a_member_alone_has_all_slots(void **state)
{
    (void)state;
    assert_int_equal(send_all(&w->first), PLACES);
    end_one(&w->first);
    assert_int_equal(send_all(&w->first), 1);
}

static void test_free_slots_go_to_the_member_that_has_fewer(void **state)
{
    (void)state;
    assert_int_equal(send_all(&w->first), PLACES);
    assert_int_equal(send_all(&w->second), 0);
    for (uint32_t i = 0; i < PLACES / 2; i++) {
        end_one(&w->first);
        assert_int_equal(send_all(&w->first), 0);
        assert_int_equal(send_all(&w->second), 1);
    }
    for (int i = 0; i < 10; i++) { /* now each has its part, and keeps it */
        end_one(&w->first);
        end_one(&w->second);
        assert_int_equal(send_all(i % 2 ? &w->first : &w->second), 1);
        assert_int_equal(send_all(i % 2 ? &w->second : &w->first), 1);
    }
}

static void test_a_member_that_has_not_asked_for_long_has_no_share(void **state)
{
    (void)state;
    assert_int_equal(send_all(&w->first), PLACES);
    assert_int_equal(send_all(&w->second), 0);
    w->clock.sleep_ns(&w->clock, LONG_AFTER_NS);
    end_one(&w->first);
    assert_int_equal(send_all(&w->first), 1);
    assert_int_equal(send_all(&w->second), 0);
}

/* The configuration fixes no number: all slots of the first limit hang, and after a while others go. */
static void test_requests_that_hang_make_room_for_others(void **state)
{
    struct upstream free = w->upstream;
    struct server_member m;
    struct server_exchange open[64], quick;
    const struct exchange_result answered = { .end = EXCHANGE_ANSWERED, .reached = true };
    struct error e = { 0 };
    uint64_t ready_ns;
    uint32_t sent = 0;

    (void)state;
    free.concurrency = 0;
    free.concurrency_max = 1000;
    struct upstream_server *s = upstream_server_join(w->servers, &free, &m, &e);
    server_sent(s, &m, 10, &quick);
    w->clock.sleep_ns(&w->clock, 5 * NS_PER_MS);
    server_ended(s, &quick, &answered);
    while (server_ask(s, &m, 10, &ready_ns) == SERVER_GO)
        server_sent(s, &m, 10, &open[sent++]);
    assert_int_equal(sent, server_room(s));
    uint64_t now = w->clock.mono_ns(&w->clock);
    assert_in_range(ready_ns, now + 1, now + LATE_MIN_MS * NS_PER_MS);
    w->clock.sleep_ns(&w->clock, ready_ns - now);
    assert_int_equal(server_ask(s, &m, 10, &ready_ns), SERVER_GO);
    while (sent)
        server_ended(s, &open[--sent], &answered);
    server_leave(s, &m);
}

static void test_a_member_with_nothing_in_flight_learns_when_to_ask_again(void **state)
{
    uint64_t ready_ns, now = w->clock.mono_ns(&w->clock);

    (void)state;
    assert_int_equal(send_all(&w->first), PLACES);
    assert_int_equal(server_ask(w->server, &w->second.member, 10, &ready_ns), SERVER_FULL);
    assert_in_range(ready_ns, now + 1, now + LONG_AFTER_NS);
    assert_int_equal(server_ask(w->server, &w->first.member, 10, &ready_ns), SERVER_FULL);
    assert_true(ready_ns == UINT64_MAX); /* an end of its own wakes it */
}

/* Sends one request, which ends after a second. */
static enum server_go exchange(enum exchange_end end, bool reached)
{
    const struct exchange_result result = { .end = end, .reached = reached };
    struct server_exchange x;
    uint64_t ready_ns;
    enum server_go go = server_ask(w->server, &w->first.member, 10, &ready_ns);

    w->clock.sleep_ns(&w->clock, LONG_AFTER_NS);
    if (go != SERVER_GO)
        return go;
    server_sent(w->server, &w->first.member, 10, &x);
    server_ended(w->server, &x, &result);
    return go;
}

/* Seconds from the first failure until the server is given up. */
static uint32_t seconds_until_given_up(void)
{
    uint32_t seconds = 0;

    while (exchange(EXCHANGE_FAILED, false) != SERVER_GIVEN_UP) {
        seconds++;
        assert_true(seconds < 10000);
    }
    return seconds;
}

/* The members move to a server with the usual patience. */
static void be_patient(void)
{
    struct error e = { 0 };

    server_leave(w->server, &w->first.member);
    server_leave(w->server, &w->second.member);
    w->upstream.patience_ms = UPSTREAM_PATIENCE_MS;
    w->server = upstream_server_join(w->servers, &w->upstream, &w->first.member, &e);
    assert_ptr_equal(upstream_server_join(w->servers, &w->upstream, &w->second.member, &e),
                     w->server);
}

static void test_a_server_that_never_answered_is_given_up_after_half_a_minute(void **state)
{
    (void)state;
    be_patient();
    assert_in_range(seconds_until_given_up(), 29, 40);
}

static void test_a_server_that_has_answered_once_is_given_up_after_its_patience(void **state)
{
    (void)state;
    be_patient();
    assert_int_equal(exchange(EXCHANGE_REFUSED, true), SERVER_GO);
    assert_in_range(seconds_until_given_up(), UPSTREAM_PATIENCE_MS / 1000 - 1,
                    UPSTREAM_PATIENCE_MS / 1000 + 40);
}

static void test_a_quota_in_the_headers_is_kept_before_anything_is_refused(void **state)
{
    const struct exchange_result none_left = {
        .end = EXCHANGE_ANSWERED,
        .reached = true,
        .quota = { [QUOTA_REQUESTS] = { true, 100, 0, 5ULL * LONG_AFTER_NS } },
    };
    struct server_exchange x;
    uint64_t ready_ns, now;

    (void)state;
    server_sent(w->server, &w->first.member, 10, &x);
    server_ended(w->server, &x, &none_left);
    now = w->clock.mono_ns(&w->clock);
    assert_int_equal(server_ask(w->server, &w->first.member, 10, &ready_ns), SERVER_PACED);
    assert_in_range(ready_ns, now + 1, now + 5ULL * LONG_AFTER_NS);
    w->clock.sleep_ns(&w->clock, ready_ns - now);
    assert_int_equal(server_ask(w->server, &w->first.member, 10, &ready_ns), SERVER_GO);
}

static uint32_t servers_count(void)
{
    struct server_stats st;
    struct arena a = { 0 };
    uint32_t count = 0;

    while (upstream_servers_at(w->servers, count, &a, &st))
        count++;
    arena_release(&a);
    return count;
}

/* As 300 reloads, each with another limit: the server that sessions use stays until the last has left. */
static void test_a_replaced_server_goes_with_its_last_session(void **state)
{
    struct upstream next = w->upstream;
    struct server_member late;
    struct error e = { 0 };

    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        next.max_rpm = i + 1;
        assert_non_null(upstream_server_of(w->servers, &next, &e));
        upstream_servers_keep(w->servers, &next, 1);
        assert_int_equal(servers_count(), 2);
    }
    assert_ptr_equal(upstream_server_join(w->servers, &w->upstream, &late, &e), w->server);
    server_leave(w->server, &w->first.member);
    server_leave(w->server, &w->second.member);
    assert_int_equal(servers_count(), 2);
    server_leave(w->server, &late);
    assert_int_equal(servers_count(), 1);
    struct upstream_server *back = upstream_server_join(w->servers, &w->upstream, &late, &e);
    assert_int_equal(servers_count(), 2); /* of a job that began before the reload */
    server_leave(back, &late);
    assert_int_equal(servers_count(), 1);
    w->server = upstream_server_join(w->servers, &w->upstream, &w->first.member, &e);
    (void)upstream_server_join(w->servers, &w->upstream, &w->second.member, &e);
    upstream_servers_keep(w->servers, &w->upstream, 1);
    assert_int_equal(servers_count(), 1);
}

#define SITE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SITE_TEST(test_a_server_that_never_answered_is_given_up_after_half_a_minute),
        SITE_TEST(test_a_server_that_has_answered_once_is_given_up_after_its_patience),
        SITE_TEST(test_a_quota_in_the_headers_is_kept_before_anything_is_refused),
        SITE_TEST(test_a_replaced_server_goes_with_its_last_session),
        SITE_TEST(test_a_member_alone_has_all_slots),
        SITE_TEST(test_free_slots_go_to_the_member_that_has_fewer),
        SITE_TEST(test_a_member_that_has_not_asked_for_long_has_no_share),
        SITE_TEST(test_requests_that_hang_make_room_for_others),
        SITE_TEST(test_a_member_with_nothing_in_flight_learns_when_to_ask_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
