/* Goal: answers follow what a request asks for, and what is forced is appended. Method: the batcher over
 * the fake runtime, whose tokens are bytes and whose wishes are letters. */
#include "predict/local/batcher.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "format/schema/schema.h"
#include "unit/predict/local/runtime_fake.h"

struct world {
    struct fake_runtime *fake;
    struct batcher *batcher;
    struct constraints *constraints;
    struct arena arena;
};

static int open_planned(void **state, uint64_t follow_ns)
{
    struct world *w = mem_alloc(sizeof *w);

    w->fake = fake_open(FAKE_CELLS_MAX, 8, 256);
    const struct batcher_plan plan = { .sequences = 4, .rows_max = 256, .follow_ns = follow_ns };
    w->batcher = batcher_new(&w->fake->base, &plan);
    w->constraints = constraints_new(&w->fake->base);
    assert_non_null(w->constraints);
    *state = w;
    return 0;
}

static int open_world(void **state)
{
    return open_planned(state, UINT64_MAX);
}

/* Every round has spent its time after the first choice. */
static int open_hasty(void **state)
{
    return open_planned(state, 1);
}

static int close_world(void **state)
{
    struct world *w = *state;

    batcher_free(w->batcher);
    constraints_free(w->constraints);
    w->fake->base.ops->close(&w->fake->base);
    arena_release(&w->arena);
    mem_free(w);
    return 0;
}

static struct generation generation_of(struct world *w, enum answer_form form, const char *schema)
{
    struct generation g = { .form = form };
    struct error e = { 0 };
    size_t at;

    if (schema) {
        g.json_schema = json_parse(&w->arena, str_of(schema), &at, &e);
        g.schema_path = "generationConfig.responseJsonSchema";
        assert_non_null(g.json_schema);
    }
    return g;
}

static struct constraint *constraint_for(struct world *w, enum answer_form form, const char *schema)
{
    const struct generation g = generation_of(w, form, schema);
    struct violation why = { 0 };
    struct constraint *k;

    if (constraint_of(w->constraints, &(struct request){ .generation = g }, &k, &why) < 0)
        fail_msg("%s: %s", why.path, why.message);
    return k;
}

static struct task *ask(struct world *w, struct constraint *k, double temperature, uint64_t seed)
{
    struct task *t = task_new(), *done;
    struct error e = { 0 };

    tokens_append(&t->prompt, (const int32_t[]){ 'q', '9', '>' }, 3);
    t->tokens_max = 2500;
    t->constraint = k;
    t->sampling = (struct sampling){ .temperature = (float)temperature, .top_p = 1, .seed = seed };
    batcher_add(w->batcher, t);
    while (!(done = batcher_done(w->batcher)))
        assert_int_equal(batcher_step(w->batcher, &e), 0);
    return done;
}

static void assert_answer(struct world *w, enum answer_form form, const char *schema,
                          const char *want)
{
    struct task *t = ask(w, constraint_for(w, form, schema), 0, 0);

    if (t->error.code != ERROR_OK)
        fail_msg("%s", t->error.msg);
    assert_true(buf_ok(&t->candidate[0].text));
    assert_string_equal(t->candidate[0].text.p, want);
    assert_int_equal(t->candidate[0].finish, FINISH_STOP);
    task_free(t);
}

/* Goal: a single possible answer needs no forward at all. */
static void test_an_answer_without_a_choice_is_given_without_the_model(void **state)
{
    struct world *w = *state;

    assert_answer(w, ANSWER_ENUM, "{\"enum\":[\"POSITIVE\"]}", "POSITIVE");
    assert_answer(w, ANSWER_JSON, "{\"const\":{\"a\":[1,2]}}", "{\"a\": [1, 2]}");
    assert_int_equal(w->fake->forwards, 0);
}

/* Goal: the model decides where the values differ, and only there. */
static void test_a_value_is_chosen_at_its_first_distinguishing_token(void **state)
{
    struct world *w = *state;
    struct task *t =
        ask(w, constraint_for(w, ANSWER_ENUM, "{\"enum\":[\"xx one\",\"xx two\"]}"), 0, 0);
    const struct generated *g = &t->candidate[0];

    assert_true(strcmp(g->text.p, "xx one") == 0 || strcmp(g->text.p, "xx two") == 0);
    assert_int_equal(w->fake->forwards, 1);
    assert_int_equal(g->token_count, 6);
    assert_int_equal(g->forced_count, 5);
    task_free(t);
}

/* Goal: appending is only a speed-up. Method: the same requests with forced tokens appended and fed one
 * at a time, at several temperatures. */
static void test_forced_tokens_are_the_same_appended_or_fed_one_at_a_time(void **state)
{
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"kind\":{\"enum\":[\"apple\",\"apricot\",\"pear\"]},"
        "\"count\":{\"type\":\"integer\",\"minimum\":10,\"maximum\":19},"
        "\"tags\":{\"type\":\"array\",\"items\":{\"type\":\"string\",\"maxLength\":3},"
        "\"maxItems\":2}},\"required\":[\"kind\",\"count\",\"tags\"]}";
    struct world *w = *state;

    for (uint64_t seed = 0; seed < 20; seed++) {
        struct task *together =
            ask(w, constraint_for(w, ANSWER_JSON, schema), (double)(seed % 3) * 0.7, seed);
        struct task *t = task_new(), *apart;
        struct error e = { 0 };
        tokens_append(&t->prompt, (const int32_t[]){ 'q', '9', '>' }, 3);
        t->tokens_max = 600;
        t->constraint = constraint_for(w, ANSWER_JSON, schema);
        t->sampling = together->sampling;
        t->forcing = FORCED_APART;
        batcher_add(w->batcher, t);
        while (!(apart = batcher_done(w->batcher)))
            assert_int_equal(batcher_step(w->batcher, &e), 0);
        assert_string_equal(together->candidate[0].text.p, apart->candidate[0].text.p);
        assert_int_equal(together->candidate[0].token_count, apart->candidate[0].token_count);
        assert_int_equal(together->candidate[0].forced_count, apart->candidate[0].forced_count);
        task_free(together);
        task_free(apart);
    }
}

/* Goal: no object of an answer has a name twice, which the grammar alone would let pass, and none is begun that
 * can end only so. Method: names of which some end where others go on, drawn at random. */
static void test_names_never_repeat_and_always_end(void **state)
{
    static const char *const schemas[] = {
        "{\"patternProperties\":{\"^[abc]$\":{\"const\":1}},\"minProperties\":3",
        "{\"patternProperties\":{\"^(a|ab|abc|b+)$\":{\"const\":1}},\"minProperties\":7",
        "{\"patternProperties\":{\"^(a|b)(c|d)*e$\":{\"const\":1}},\"minProperties\":9",
        "{\"patternProperties\":{\"^[ab]{1,7}$\":{\"const\":1}},\"minProperties\":90",
        /* a letter whose names are used up leads nowhere, and there are more such than a search tries */
        "{\"patternProperties\":{\"^[a-k]x{6}[0-9]$\":{\"const\":1}},\"minProperties\":90",
        "{\"patternProperties\":{\"^a\":{\"const\":1},\"z$\":{\"maximum\":3}},\"minProperties\":30",
        /* no name can be written without an escape */
        "{\"properties\":{\"a\":{\"const\":1}},\"patternProperties\":{\"^\\\\x22+$\":{\"const\":1}}"
        ","
        "\"minProperties\":0",
        "{\"patternProperties\":{\"...\":false,\"^.?.$\":{\"const\":1}},\"minProperties\":20",
    };
    struct world *w = *state;
    struct error e = { 0 };

    for (size_t i = 0; i < 4 * ARRAY_LEN(schemas); i++) {
        char schema[200];
        struct arena a = { 0 };
        struct buf path = BUF_INIT(64);
        size_t at;
        (void)snprintf(schema, sizeof schema,
                       "%s,\"type\":\"object\",\"maxProperties\":99,"
                       "\"additionalProperties\":false}",
                       schemas[i % ARRAY_LEN(schemas)]);
        struct task *t = ask(w, constraint_for(w, ANSWER_JSON, schema), 1.5, i);
        if (t->error.code != ERROR_OK)
            fail_msg("%s: %s", schema, t->error.msg);
        if (t->candidate[0].finish == FINISH_STOP) {
            yyjson_val *v = json_parse(&a, buf_str(&t->candidate[0].text), &at, &e);
            assert_non_null(v);
            assert_int_equal(json_check(v, &path, &e), 0); /* no name twice */
        } else {
            assert_true(i % ARRAY_LEN(schemas) > 0); /* three members are not cut */
        }
        buf_release(&path);
        arena_release(&a);
        task_free(t);
    }
}

/* Goal: what cannot be followed is refused with the place of the keyword. */
static void test_what_cannot_be_followed_is_refused_at_its_keyword(void **state)
{
    static const struct {
        const char *schema, *path;
    } cases[] = {
        { "{\"minItems\":5,\"maxItems\":2}", "minItems" },
        { "{\"properties\":{\"a\":{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}}}",
          "properties.a.minLength" },
        { "{\"type\":\"array\",\"items\":{\"type\":\"string\",\"pattern\":\"(?=x)y\"}}",
          "items.pattern" },
        { "{\"type\":\"string\",\"pattern\":\"^a$\",\"minLength\":2}", "pattern" },
        { "{\"type\":\"string\",\"pattern\":\".{401}a\"}", "pattern" },
        { "{\"items\":{\"pattern\":\"^x*[^*]\\\\{y{401}\"}}", "items.pattern" },
        { "{\"properties\":{\"a\":{\"uniqueItems\":true}}}", "properties.a.uniqueItems" },
        { "{\"items\":{\"if\":{}}}", "items.if" },
        { "{\"x-guidance\":{\"lenient\":true}}", "[\"x-guidance\"]" },
        { "{\"$ref\":\"#\"}", "$ref" },
        { "{\"$ref\":\"http://example.com/a.json\"}", "$ref" },
        { "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":{\"$ref\":\"#\"}}}",
          "" },
    };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const struct generation g = generation_of(w, ANSWER_JSON, cases[i].schema);
        struct violation why = { 0 };
        struct constraint *k;
        char want[160] = "generationConfig.responseJsonSchema";
        (void)snprintf(want + strlen(want), 100, "%s%s",
                       cases[i].path[0] && cases[i].path[0] != '[' ? "." : "", cases[i].path);
        if (constraint_of(w->constraints, &(struct request){ .generation = g }, &k, &why) == 0)
            fail_msg("not refused: %s", cases[i].schema);
        assert_string_equal(why.path, want);
        assert_true(why.message[0] && why.remedy[0]);
    }
}

/* Goal: a schema may have as many bytes as the limit, as compact JSON, and no more. */
static void test_a_schema_has_a_limit_of_bytes(void **state)
{
    struct world *w = *state;

    for (size_t more = 0; more < 2; more++) {
        struct buf text = BUF_INIT(2 * SCHEMA_BYTES_MAX);
        struct violation why = { 0 };
        struct constraint *k;
        buf_add_c(&text, "{\"const\":1,\"title\":\"");
        while (text.len < SCHEMA_BYTES_MAX + more - 2)
            buf_add_char(&text, 'a');
        buf_add_c(&text, "\"}");
        const struct generation g = generation_of(w, ANSWER_JSON, text.p);
        assert_int_equal(
            constraint_of(w->constraints, &(struct request){ .generation = g }, &k, &why),
            more ? -1 : 0);
        if (!more) {
            assert_ptr_equal(constraint_for(w, ANSWER_JSON, text.p), k); /* found again */
            constraint_release(k);
            constraint_release(k);
        }
        buf_release(&text);
    }
}

/* Goal: a repetition at the limit is taken, and a larger one where it can begin at one character only. */
static void test_large_repetitions_are_taken_where_they_begin_once(void **state)
{
    static const char *const cases[] = {
        "{\"pattern\":\".{400}a\"}",
        "{\"pattern\":\"^[*]{401}\\\\*{401}$\"}",
        "{\"pattern\":\"^a{1000}b*$\"}",
    };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        constraint_release(constraint_for(w, ANSWER_JSON, cases[i]));
}

/* Goal: patterns of one text that are followed together have a limit, and it names the pattern. Method: four
 * without an anchor, which count 4 each, and five. */
static void test_patterns_that_begin_anywhere_are_limited_together(void **state)
{
    struct world *w = *state;

    for (int count = 4; count <= 5; count++) {
        struct buf schema = BUF_INIT(1024);
        struct violation why = { 0 };
        struct constraint *k;
        buf_add_c(&schema, "{\"allOf\":[");
        for (int i = 0; i < count; i++)
            buf_addf(&schema, "%s{\"pattern\":\"%c.*%c\"}", i ? "," : "", 'a' + i, 'a' + i);
        buf_add_c(&schema, "]}");
        const struct generation g = generation_of(w, ANSWER_JSON, schema.p);
        int rc = constraint_of(w->constraints, &(struct request){ .generation = g }, &k, &why);
        assert_int_equal(rc, count == 4 ? 0 : -1);
        if (rc == 0)
            constraint_release(k);
        else
            assert_string_equal(why.path, "generationConfig.responseJsonSchema.allOf[4].pattern");
        buf_release(&schema);
    }
}

/* Goal: the steps in which llguidance shows that a text can have a pattern and a length are limited. */
static void test_a_pattern_and_a_length_take_limited_steps_together(void **state)
{
    struct world *w = *state;

    for (int length = 134; length <= 135; length++) {
        char schema[96];
        struct violation why = { 0 };
        struct constraint *k;
        (void)snprintf(schema, sizeof schema, "{\"pattern\":\"^(ab|cd)*$\",\"minLength\":%d}",
                       length);
        const struct generation g = generation_of(w, ANSWER_JSON, schema);
        int rc = constraint_of(w->constraints, &(struct request){ .generation = g }, &k, &why);
        assert_int_equal(rc, length == 134 ? 0 : -1);
        if (rc == 0)
            constraint_release(k);
        else
            assert_string_equal(why.path, "generationConfig.responseJsonSchema.pattern");
    }
}

/* ---- Rounds ---- */

static struct task *task_of(struct constraint *k, uint32_t most, double temperature, uint64_t seed)
{
    struct task *t = task_new();

    tokens_append(&t->prompt, (const int32_t[]){ 'q', '9', '>' }, 3);
    t->tokens_max = most;
    t->constraint = k;
    t->sampling = (struct sampling){ .temperature = (float)temperature, .top_p = 1, .seed = seed };
    return t;
}

/* Goal: schemas that are slow to follow slow down their own answers only, and change none. Method: three answers under
 * schemas and one without, where each round has time for one choice under a schema, and for one to begin; the one without
 * ends after as many rounds as it takes alone, and the others are the same as with all time. */
static void test_a_slow_schema_holds_up_its_own_answers_only(void **state)
{
    static const char schema[] = "{\"type\":\"array\",\"items\":{\"enum\":[\"ab\",\"ac\",\"b\"]},"
                                 "\"minItems\":4,\"maxItems\":9}";
    struct world *w = *state;
    void *unhurried_state;
    struct batcher_stats stats;
    struct error e = { 0 };
    struct task *done;
    uint32_t rounds = 0, plain_rounds = 0, open = 4;
    char text[3][200];

    for (uint64_t i = 0; i < 3; i++)
        batcher_add(w->batcher,
                    task_of(constraint_for(w, ANSWER_JSON, schema), 200, (double)i * 0.7, i));
    batcher_add(w->batcher, task_of(NULL, 200, 0, 3));
    while (open) {
        assert_int_equal(batcher_step(w->batcher, &e), 0);
        rounds++;
        for (; (done = batcher_done(w->batcher)); open--) {
            assert_int_equal(done->error.code, ERROR_OK);
            if (done->constraint)
                (void)snprintf(text[done->sampling.seed], sizeof text[0], "%s",
                               done->candidate[0].text.p);
            else
                plain_rounds = rounds;
            task_free(done);
        }
    }
    assert_int_equal(plain_rounds,
                     3 + 10); /* it begins in the fourth, and has 9 letters and the end */
    assert_true(rounds > plain_rounds);
    batcher_stats(w->batcher, &stats);
    assert_true(stats.held > 0);
    assert_int_equal(open_world(&unhurried_state), 0);
    for (uint64_t i = 0; i < 3; i++) {
        struct world *u = unhurried_state;
        done = ask(u, constraint_for(u, ANSWER_JSON, schema), (double)i * 0.7, i);
        assert_string_equal(done->candidate[0].text.p, text[i]);
        task_free(done);
    }
    assert_int_equal(close_world(&unhurried_state), 0);
}

/* Goal: answers whose choices are put off can be cancelled. */
static void test_an_answer_whose_choice_is_put_off_can_be_cancelled(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct task *t[3], *done;
    struct batcher_stats stats;

    for (uint64_t i = 0; i < 3; i++) {
        t[i] = task_of(constraint_for(w, ANSWER_JSON, "{\"type\":\"string\"}"), 200, 0, i);
        batcher_add(w->batcher, t[i]);
    }
    do {
        assert_int_equal(batcher_step(w->batcher, &e), 0);
        batcher_stats(w->batcher, &stats);
    } while (!stats.held);
    for (int i = 0; i < 3; i++)
        atomic_store(&t[i]->cancelled, true);
    assert_int_equal(batcher_step(w->batcher, &e), 0);
    for (int i = 0; i < 3; i++) {
        done = batcher_done(w->batcher);
        assert_non_null(done);
        assert_int_equal(done->error.code, ERROR_CANCELLED);
        task_free(done);
    }
}

/* Goal: the same schema is compiled once, and the list of compiled ones stays within its limit. */
static void test_more_schemas_than_are_kept_can_be_used(void **state)
{
    struct world *w = *state;
    struct constraint *first = constraint_for(w, ANSWER_ENUM, "{\"enum\":[\"a\",\"b\"]}");
    struct constraint *again = constraint_for(w, ANSWER_ENUM, "{\"enum\":[\"a\",\"b\"]}");

    assert_ptr_equal(first, again);
    for (int i = 0; i < 2 * CONSTRAINTS_MAX; i++) {
        char schema[64];
        (void)snprintf(schema, sizeof schema, "{\"const\":%d}", i);
        constraint_release(constraint_for(w, ANSWER_JSON, schema));
    }
    constraint_release(first);
    struct task *t = ask(w, again, 0, 0); /* still usable though the list has forgotten it */
    assert_int_equal(t->error.code, ERROR_OK);
    task_free(t);
}

/* Goal: the tokens of a forced text count as the answer's, to the limit of tokens. */
static void test_an_answer_cut_among_forced_tokens_is_at_its_limit(void **state)
{
    struct world *w = *state;
    struct task *t = task_new(), *done;
    struct error e = { 0 };

    tokens_append(&t->prompt, (const int32_t[]){ 'q', '9', '>' }, 3);
    t->tokens_max = 4;
    t->constraint = constraint_for(w, ANSWER_ENUM, "{\"enum\":[\"POSITIVE\"]}");
    batcher_add(w->batcher, t);
    while (!(done = batcher_done(w->batcher)))
        assert_int_equal(batcher_step(w->batcher, &e), 0);
    assert_string_equal(done->candidate[0].text.p, "POSI");
    assert_int_equal(done->candidate[0].finish, FINISH_MAX_TOKENS);
    assert_int_equal(done->candidate[0].token_count, 4);
    task_free(done);
}

/* Goal: a long text has the characters that its bounds ask for, however it is counted. Method: one text,
 * with escapes and characters of several bytes, and after each character the two questions: may it end, may
 * it go on? */
static void test_a_long_text_ends_within_its_bounds(void **state)
{
    static const struct {
        uint32_t least, most; /* 0: any */
    } bounds[] = { { 0, 257 },   { 63, 258 },  { 64, 320 },   { 65, 321 },   { 127, 511 },
                   { 128, 512 }, { 257, 257 }, { 300, 0 },    { 320, 0 },    { 256, 319 },
                   { 256, 0 },   { 0, 256 },   { 320, 3000 }, { 383, 1023 }, { 1000, 1001 } };
    static const char *const character[] = {
        "a", " ", "\xc3\xa9", "\\n", "\\\"", "\xf0\x9f\x99\x82"
    };
    struct world *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(bounds); i++) {
        uint32_t most = bounds[i].most ? bounds[i].most : UINT32_MAX;
        char schema[128];
        struct error e = { 0 };
        int n = snprintf(schema, sizeof schema, "{\"type\":\"string\",\"minLength\":%u",
                         bounds[i].least);
        if (bounds[i].most)
            n += snprintf(schema + n, sizeof schema - (size_t)n, ",\"maxLength\":%u", most);
        (void)snprintf(schema + n, sizeof schema - (size_t)n, "}");
        struct constraint *k = constraint_for(w, ANSWER_JSON, schema);
        struct follower *f = follower_new(k);
        assert_int_equal(follower_accept(f, '"', &e), 0);
        for (uint32_t len = 0; len <= 3100 && len < most; len++) {
            if (follower_allows(f, '"') != (len >= bounds[i].least))
                fail_msg("%s: %u characters", schema, len);
            assert_true(follower_allows(f, 'a'));
            for (const char *c = character[len * 7 % 11 % ARRAY_LEN(character)]; *c; c++)
                if (follower_accept(f, (unsigned char)*c, &e) < 0)
                    fail_msg("%s: %u characters: %s", schema, len, e.msg);
        }
        if (bounds[i].most) {
            assert_false(follower_allows(f, 'a'));
            assert_true(follower_allows(f, '"'));
        }
        follower_free(f);
        constraint_release(k);
    }
}

/* Goal: an answer does not end with an error because of the places that it has passed. Method: sixty texts
 * whose bounds differ, which have more states together than a matcher may keep, greedy and at chance. */
static void test_a_long_answer_outlives_the_states_of_a_matcher(void **state)
{
    struct world *w = *state;
    struct buf schema = BUF_INIT(16384);

    buf_add_c(&schema, "{\"type\":\"object\",\"properties\":{");
    for (int i = 0; i < 60; i++)
        buf_addf(&schema, "%s\"p%d\":{\"type\":\"string\",\"minLength\":%d,\"maxLength\":%d}",
                 i ? "," : "", i, 20 + i, 100 + i);
    buf_add_c(&schema, "},\"required\":[");
    for (int i = 0; i < 60; i++)
        buf_addf(&schema, "%s\"p%d\"", i ? "," : "", i);
    buf_add_c(&schema, "]}");
    for (uint64_t seed = 0; seed < 3; seed++) {
        struct task *t = task_new(), *done;
        struct error e = { 0 };
        tokens_append(&t->prompt, (const int32_t[]){ 'q', '9', '>' }, 3);
        t->tokens_max = 3900;
        t->constraint = constraint_for(w, ANSWER_JSON, schema.p);
        t->sampling = (struct sampling){ .temperature = (float)seed, .top_p = 1, .seed = seed };
        batcher_add(w->batcher, t);
        while (!(done = batcher_done(w->batcher)))
            assert_int_equal(batcher_step(w->batcher, &e), 0);
        assert_string_equal(done->error.msg, "");
        task_free(done);
    }
    buf_release(&schema);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_an_answer_without_a_choice_is_given_without_the_model),
        WORLD_TEST(test_a_value_is_chosen_at_its_first_distinguishing_token),
        WORLD_TEST(test_forced_tokens_are_the_same_appended_or_fed_one_at_a_time),
        WORLD_TEST(test_names_never_repeat_and_always_end),
        WORLD_TEST(test_what_cannot_be_followed_is_refused_at_its_keyword),
        WORLD_TEST(test_a_schema_has_a_limit_of_bytes),
        WORLD_TEST(test_large_repetitions_are_taken_where_they_begin_once),
        WORLD_TEST(test_a_pattern_and_a_length_take_limited_steps_together),
        WORLD_TEST(test_patterns_that_begin_anywhere_are_limited_together),
        WORLD_TEST(test_more_schemas_than_are_kept_can_be_used),
        cmocka_unit_test_setup_teardown(test_a_slow_schema_holds_up_its_own_answers_only,
                                        open_hasty, close_world),
        cmocka_unit_test_setup_teardown(test_an_answer_whose_choice_is_put_off_can_be_cancelled,
                                        open_hasty, close_world),
        WORLD_TEST(test_a_long_text_ends_within_its_bounds),
        WORLD_TEST(test_a_long_answer_outlives_the_states_of_a_matcher),
        WORLD_TEST(test_an_answer_cut_among_forced_tokens_is_at_its_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
