/* Goal: the valid shares of an upstream's limits never pass the limit, whoever dies, hangs or comes back, and nobody who
 * needs some waits for ever. Method: several opened stores on one database, each a process, on a clock that the
 * test moves; what a process knows reaches it late, or never. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/random.h"
#include "database.h"
#include "scratch.h"
#include "store/fleet/allowance.h"
#include "store/fleet/fleet.h"
#include "store/store_inner.h"

#define PROCESSES 5
#define UPSTREAM "an-api"
#define SEEDS 12
#define STEPS 120

static const double limits[ALLOWANCE_KINDS] = { 600, 90000, 7 };

/* A process, as far as it knows. */
struct process {
    struct store *s;
    double part[ALLOWANCE_KINDS];
    uint64_t until_ns;
    uint32_t in_flight;
    /* An answer of the database that has not reached it yet. */
    bool pending;
    struct allowance answer;
    uint64_t answer_until_ns, arrives_ns;
    uint64_t due_ns; /* its next renewal */
};
struct world {
    struct scratch scratch;
    char database[DATABASE_URL_BYTES];
    struct clock clock;
    struct process p[PROCESSES];
    uint64_t seed;
};

static uint64_t now_ns(struct world *w)
{
    return w->clock.boot_ns(&w->clock);
}

static void pass_ms(struct world *w, uint64_t ms)
{
    w->clock.sleep_ns(&w->clock, ms * NS_PER_MS);
}

static void begin(struct world *w, struct process *p)
{
    struct error e = { 0 };

    const struct store_place place = { .dir = w->scratch.dir,
                                       .database = database_of(w->database) };

    *p = (struct process){ .s = store_open_at(&place, false, &w->clock, &e) };
    if (!p->s || fleet_join(p->s, "a machine", &e) < 0)
        fail_msg("%s", e.msg);
}

static int set_up(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    scratch_make(&w->scratch);
    database_make(w->database);
    w->clock = clock_fake(1000000);
    for (uint32_t i = 0; i < PROCESSES; i++)
        begin(w, &w->p[i]);
    *state = w;
    return 0;
}

static int tear_down(void **state)
{
    struct world *w = *state;

    for (uint32_t i = 0; i < PROCESSES; i++)
        store_close(w->p[i].s);
    database_remove(w->database);
    scratch_remove(&w->scratch);
    mem_free(w);
    return 0;
}

static bool is_valid(struct world *w, const struct process *p)
{
    return now_ns(w) < p->until_ns;
}

static struct allowance_ask ask_of(struct world *w, const struct process *p,
                                   const double need[ALLOWANCE_KINDS])
{
    struct allowance_ask ask = { .upstream = UPSTREAM, .unit = { 1, 100, 1 } };

    for (int k = 0; k < ALLOWANCE_KINDS; k++) {
        ask.limit[k] = limits[k];
        ask.need[k] = need[k];
        ask.holds[k] = is_valid(w, p) ? p->part[k] : 0;
    }
    ask.holds[ALLOWANCE_SLOTS] = fmax(ask.holds[ALLOWANCE_SLOTS], p->in_flight);
    return ask;
}

static struct allowance renew(struct world *w, struct process *p, const struct allowance_ask *ask)
{
    struct allowance out;
    struct error e = { 0 };

    (void)w;
    if (allowance_renew(p->s, ask, 1, &out, &e) < 0)
        fail_msg("%s", e.msg);
    return out;
}

static void take(struct process *p, const struct allowance *got, uint64_t until_ns)
{
    for (int k = 0; k < ALLOWANCE_KINDS; k++)
        p->part[k] = got->share[k];
    p->until_ns = until_ns;
}

/* A renewal that nothing disturbs. */
static void renew_needing(struct world *w, uint32_t i, double need)
{
    const double all[ALLOWANCE_KINDS] = { need * limits[0], need * limits[1], need * limits[2] };
    struct process *p = &w->p[i];
    uint64_t until = now_ns(w) + (ALLOWANCE_VALID_MS - ALLOWANCE_MARGIN_MS) * NS_PER_MS;
    struct allowance_ask ask = ask_of(w, p, all);
    struct allowance got = renew(w, p, &ask);

    take(p, &got, until);
}

static void expect_parts(const struct process *p, double requests, double tokens, double slots)
{
    if (fabs(p->part[0] - requests) > 1 || fabs(p->part[1] - tokens) > 100 ||
        fabs(p->part[2] - slots) > 0.01)
        fail_msg("has %g requests, %g tokens, %g slots instead of %g, %g, %g", p->part[0],
                 p->part[1], p->part[2], requests, tokens, slots);
}

static void test_a_process_alone_has_all(void **state)
{
    struct world *w = *state;

    renew_needing(w, 0, 0);
    expect_parts(&w->p[0], 600, 90000, 7);
}

/* The first one gives half away at its second renewal, and the other one gets it at the next of its own. */
static void test_two_that_need_all_have_half_each(void **state)
{
    struct world *w = *state;

    renew_needing(w, 0, INFINITY);
    renew_needing(w, 1, INFINITY);
    expect_parts(&w->p[1], 0, 0, 0);
    for (int i = 0; i < 2; i++) {
        renew_needing(w, 0, INFINITY);
        renew_needing(w, 1, INFINITY);
    }
    expect_parts(&w->p[0], 300, 45000, 4);
    expect_parts(&w->p[1], 300, 45000, 3);
}

/* A remainder of slots goes round. */
static void test_slots_go_round_when_there_are_fewer_than_processes(void **state)
{
    struct world *w = *state;
    bool had[PROCESSES] = { 0 };

    for (int round = 0; round < 40; round++) {
        for (uint32_t i = 0; i < PROCESSES; i++) {
            const double need[ALLOWANCE_KINDS] = { 1, 1, INFINITY };
            uint64_t until = now_ns(w) + 5000 * NS_PER_MS;
            struct allowance_ask ask = ask_of(w, &w->p[i], need);
            ask.limit[ALLOWANCE_SLOTS] = 2;
            struct allowance got = renew(w, &w->p[i], &ask);
            take(&w->p[i], &got, until);
            had[i] = had[i] || w->p[i].part[ALLOWANCE_SLOTS] >= 1;
        }
        pass_ms(w, ALLOWANCE_RENEW_MS);
    }
    for (uint32_t i = 0; i < PROCESSES; i++)
        assert_true(had[i]);
}

static void test_what_one_does_not_need_is_the_others(void **state)
{
    struct world *w = *state;

    for (int i = 0; i < 3; i++) {
        renew_needing(w, 0, INFINITY);
        renew_needing(w, 1, 0.1);
    }
    expect_parts(&w->p[0], 600 - 60 - 1, 90000 - 9000 - 100, 7);
    expect_parts(&w->p[1], 60, 9000, 0);
}

static void test_a_share_is_nobody_elses_before_its_end(void **state)
{
    struct world *w = *state;

    renew_needing(w, 0, INFINITY);
    pass_ms(w, ALLOWANCE_VALID_MS - 1);
    renew_needing(w, 1, INFINITY);
    expect_parts(&w->p[1], 0, 0, 0);
    pass_ms(w, 1);
    renew_needing(w, 1, INFINITY);
    expect_parts(&w->p[1], 600, 90000, 7);
}

static void test_a_process_that_leaves_gives_all_at_once(void **state)
{
    struct world *w = *state;

    renew_needing(w, 0, INFINITY);
    struct allowance_ask ask = { .upstream = UPSTREAM, .leaves = true };
    struct allowance got = renew(w, &w->p[0], &ask);
    assert_true(got.share[0] == 0 && got.share[2] == 0 && !got.shrank);
    renew_needing(w, 1, INFINITY);
    expect_parts(&w->p[1], 600, 90000, 7);
}

/* More slots in flight than its new share: they are its own until they end. */
static void test_slots_in_flight_are_held_until_they_end(void **state)
{
    struct world *w = *state;

    renew_needing(w, 0, INFINITY);
    w->p[0].in_flight = 7;
    renew_needing(w, 1, INFINITY);
    for (int i = 0; i < 3; i++) {
        renew_needing(w, 0, INFINITY);
        renew_needing(w, 1, INFINITY);
        assert_true(w->p[0].part[ALLOWANCE_SLOTS] < 7);
        assert_true(w->p[1].part[ALLOWANCE_SLOTS] <= 0);
    }
    w->p[0].in_flight = 5;
    renew_needing(w, 0, INFINITY);
    renew_needing(w, 1, INFINITY);
    assert_true(w->p[1].part[ALLOWANCE_SLOTS] >= 2);
}

/* ---- Random needs, crashes, zombies ---- */

static uint64_t dice(struct world *w, uint64_t sides)
{
    return random_next(&w->seed) % sides;
}

static void expect_within_limits(struct world *w)
{
    for (int k = 0; k < ALLOWANCE_KINDS; k++) {
        double sum = 0;
        for (uint32_t i = 0; i < PROCESSES; i++)
            sum += is_valid(w, &w->p[i]) ? w->p[i].part[k] : 0;
        if (sum > limits[k] * (1 + 1e-9))
            fail_msg("kind %d: %g of %g", k, sum, limits[k]);
    }
}

/* It dies without a word, and another one begins. */
static void crash(struct world *w, struct process *p)
{
    store_close(p->s);
    begin(w, p);
}

/* Asks, and hears of it at once, late, far too late, or never. */
static void ask_at_random(struct world *w, struct process *p)
{
    double need[ALLOWANCE_KINDS];
    uint64_t until = now_ns(w) + (ALLOWANCE_VALID_MS - ALLOWANCE_MARGIN_MS) * NS_PER_MS;

    for (int k = 0; k < ALLOWANCE_KINDS; k++)
        need[k] = dice(w, 3) == 0 ? INFINITY : random_unit(&w->seed) * limits[k];
    struct allowance_ask ask = ask_of(w, p, need);
    pass_ms(w, dice(w, 4) ? dice(w, 50) : dice(w, 7000)); /* the question is on its way */
    expect_within_limits(w);
    p->answer = renew(w, p, &ask);
    p->answer_until_ns = until;
    p->pending = dice(w, 10) != 0;
    p->arrives_ns = now_ns(w) + (dice(w, 4) ? dice(w, 100) : dice(w, 20000)) * NS_PER_MS;
    p->due_ns = now_ns(w) + (p->answer.shrank ? 0 : ALLOWANCE_RENEW_MS * NS_PER_MS);
}

static void live(struct world *w, struct process *p)
{
    if (p->pending && p->arrives_ns <= now_ns(w)) {
        take(p, &p->answer, p->answer_until_ns);
        p->pending = false;
    }
    if (p->in_flight && dice(w, 2))
        p->in_flight--;
    if (is_valid(w, p) && p->in_flight < p->part[ALLOWANCE_SLOTS])
        p->in_flight++;
    if (dice(w, 60) == 0)
        crash(w, p);
    else if (!p->pending && p->due_ns <= now_ns(w))
        ask_at_random(w, p);
}

static void test_valid_shares_never_pass_the_limit(void **state)
{
    struct world *w = *state;

    for (w->seed = 1; w->seed <= SEEDS; w->seed++) {
        uint64_t seed = w->seed;
        for (uint32_t step = 0; step < STEPS; step++) {
            pass_ms(w, dice(w, 700));
            live(w, &w->p[dice(w, PROCESSES)]);
            expect_within_limits(w);
        }
        w->seed = seed;
    }
    /* Peace: what is needed is given, and nothing but what is kept back is left. */
    for (uint32_t i = 0; i < PROCESSES; i++)
        w->p[i].in_flight = 0;
    pass_ms(w, ALLOWANCE_VALID_MS);
    for (int round = 0; round < 4; round++)
        for (uint32_t i = 0; i < PROCESSES; i++)
            renew_needing(w, i, INFINITY);
    expect_within_limits(w);
    double slots = 0;
    for (uint32_t i = 0; i < PROCESSES; i++) {
        assert_true(w->p[i].part[ALLOWANCE_REQUESTS] > 118);
        slots += w->p[i].part[ALLOWANCE_SLOTS];
    }
    assert_true(slots >= 7);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_a_process_alone_has_all),
        TEST(test_two_that_need_all_have_half_each),
        TEST(test_slots_go_round_when_there_are_fewer_than_processes),
        TEST(test_what_one_does_not_need_is_the_others),
        TEST(test_a_share_is_nobody_elses_before_its_end),
        TEST(test_a_process_that_leaves_gives_all_at_once),
        TEST(test_slots_in_flight_are_held_until_they_end),
        TEST(test_valid_shares_never_pass_the_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
