/* Goal: every piece of every phase is done once, and no phase begins before the one before has ended.
 * Method: pieces are counted, each in its cell; members look at the phase before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "predict/local/native/team.h"

#define PHASES 200
#define PIECES 37

struct job {
    atomic_uint done[PHASES][PIECES];
    atomic_uint early; /* pieces that were done before the phase before had ended */
};

static void work(void *arg, const struct team_member *m)
{
    struct job *job = arg;
    uint32_t piece;

    for (uint32_t phase = 0; phase < PHASES; phase++) {
        while (team_take(m, PIECES, &piece)) {
            for (uint32_t i = 0; phase && i < PIECES; i++)
                if (!atomic_load(&job->done[phase - 1][i]))
                    atomic_fetch_add(&job->early, 1);
            atomic_fetch_add(&job->done[phase][piece], 1);
        }
        team_barrier(m);
    }
}

static void check_members(uint32_t members)
{
    static struct job job;
    struct error e = { 0 };
    struct team *t = team_new(members, &e);

    assert_non_null(t);
    assert_int_equal(team_members(t), members);
    for (uint32_t run = 1; run <= 3; run++) {
        memset(&job, 0, sizeof job);
        team_run(t, work, &job);
        assert_int_equal(atomic_load(&job.early), 0);
        for (uint32_t phase = 0; phase < PHASES; phase++)
            for (uint32_t i = 0; i < PIECES; i++)
                assert_int_equal(atomic_load(&job.done[phase][i]), 1);
    }
    team_free(t);
}

static void test_each_piece_is_done_once_and_in_its_phase(void **state)
{
    (void)state;
    for (uint32_t members = 1; members <= 5; members++)
        check_members(members);
}

static void test_a_team_that_has_nothing_to_do_ends(void **state)
{
    struct error e = { 0 };

    (void)state;
    team_free(team_new(4, &e));
    team_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_piece_is_done_once_and_in_its_phase),
        cmocka_unit_test(test_a_team_that_has_nothing_to_do_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
