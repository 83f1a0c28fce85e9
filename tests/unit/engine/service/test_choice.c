/* Whose job is next: the choice as a pure function. */
#include "engine/service/choice.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/mem.h"

static const double equal[] = { 1, 1, 1 };

static struct choice of(const struct choice_job *job, size_t count, uint32_t running_max)
{
    return (struct choice){ .job = job,
                            .count = count,
                            .weight = equal,
                            .project_count = ARRAY_LEN(equal),
                            .running_max = running_max };
}

/* Goal: no place is given beyond running_max. */
static void test_nothing_starts_when_all_places_are_taken(void **state)
{
    struct choice_job jobs[] = { { .id = 1, .running = true }, { .id = 2 } };
    struct choice s = of(jobs, 2, 1);

    (void)state;
    assert_true(choice_start(&s) == SIZE_MAX);
    s.running_max = 2;
    assert_int_equal(choice_start(&s), 1);
}

static void test_the_project_with_fewer_running_jobs_goes_first(void **state)
{
    struct choice_job jobs[] = { { .id = 1, .project = 0, .running = true },
                                 { .id = 2, .project = 0 },
                                 { .id = 3, .project = 1 } };
    struct choice s = of(jobs, ARRAY_LEN(jobs), 8);

    (void)state;
    assert_int_equal(choice_start(&s), 2);
}

static void test_a_heavier_project_gets_places_by_its_weight(void **state)
{
    const double weight[] = { 3, 1 };
    struct choice_job jobs[40];
    struct choice s = { .job = jobs, .count = 40, .weight = weight, .project_count = 2 };
    uint32_t places[2] = { 0 };

    (void)state;
    for (uint32_t i = 0; i < 40; i++)
        jobs[i] = (struct choice_job){ .id = i + 1, .project = i % 2 };
    s.running_max = 8;
    for (size_t at = choice_start(&s); at != SIZE_MAX; at = choice_start(&s)) {
        jobs[at].running = true;
        places[jobs[at].project]++;
    }
    assert_int_equal(places[0], 6);
    assert_int_equal(places[1], 2);
}

static void test_in_a_fleet_the_earliest_turn_goes_before_any_load(void **state)
{
    struct choice_job jobs[] = { { .id = 1, .project = 0, .turn = 10, .running = true },
                                 { .id = 2, .project = 0, .turn = 10 },
                                 { .id = 3, .project = 1, .turn = 20 } };
    struct choice s = of(jobs, ARRAY_LEN(jobs), 8);

    (void)state;
    assert_int_equal(choice_start(&s), 1);
    jobs[1].running = jobs[0].may_yield = jobs[1].may_yield = true;
    s.running_max = 2;
    assert_true(choice_yield(&s) == SIZE_MAX); /* it would be the next again */
    jobs[0].turn = jobs[1].turn = 30;
    assert_int_equal(choice_yield(&s), 1);
}

static void test_within_a_project_priority_comes_before_age(void **state)
{
    struct choice_job jobs[] = { { .id = 1 },
                                 { .id = 2, .priority = 5 },
                                 { .id = 3, .priority = 5 } };
    struct choice s = of(jobs, ARRAY_LEN(jobs), 1);

    (void)state;
    assert_int_equal(choice_start(&s), 1);
    jobs[1].priority = -1;
    assert_int_equal(choice_start(&s), 2);
    jobs[2].priority = 0;
    assert_int_equal(choice_start(&s), 0);
}

static void test_a_project_above_its_share_gives_back_its_youngest_job(void **state)
{
    struct choice_job jobs[] = { { .id = 1, .running = true, .may_yield = true },
                                 { .id = 2, .running = true, .may_yield = true },
                                 { .id = 3, .project = 1 } };
    struct choice s = of(jobs, ARRAY_LEN(jobs), 2);

    (void)state;
    assert_int_equal(choice_yield(&s), 1);
    jobs[1].yields = true;
    assert_true(choice_yield(&s) == SIZE_MAX);
}

/* Goal: jobs do not change places for ever. Method: two projects with one place each. */
static void test_projects_that_have_their_share_keep_it(void **state)
{
    struct choice_job jobs[] = { { .id = 1, .running = true, .may_yield = true },
                                 { .id = 2, .project = 1, .running = true, .may_yield = true },
                                 { .id = 3 },
                                 { .id = 4, .project = 1 } };
    struct choice s = of(jobs, ARRAY_LEN(jobs), 2);

    (void)state;
    assert_true(choice_yield(&s) == SIZE_MAX);
    jobs[2].priority = 1; /* within its project it has the better right */
    assert_int_equal(choice_yield(&s), 0);
    jobs[0].may_yield = false;
    assert_true(choice_yield(&s) == SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_starts_when_all_places_are_taken),
        cmocka_unit_test(test_the_project_with_fewer_running_jobs_goes_first),
        cmocka_unit_test(test_a_heavier_project_gets_places_by_its_weight),
        cmocka_unit_test(test_in_a_fleet_the_earliest_turn_goes_before_any_load),
        cmocka_unit_test(test_within_a_project_priority_comes_before_age),
        cmocka_unit_test(test_a_project_above_its_share_gives_back_its_youngest_job),
        cmocka_unit_test(test_projects_that_have_their_share_keep_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
