/* Goal: each limit of constraint.h, and of what follows a constraint, holds at its value and one past it. Method: schemas
 * that grow over the limit; the largest that is taken is searched for, and one more must fail with that limit in
 * the message. llguidance counts by itself, so the sizes are not the limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/random.h"
#include "format/schema/schema.h"
#include "predict/local/follower.h"
#include "predict/local/names.h"
#include "unit/predict/local/runtime_fake.h"

#define SCHEMA "generationConfig.responseJsonSchema"

struct world {
    struct fake_runtime *fake;
    struct constraints *constraints;
    struct arena arena;
};

static int open_world(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->fake = fake_open(64, 1, 64);
    w->constraints = constraints_new(&w->fake->base);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;

    constraints_free(w->constraints);
    w->fake->base.ops->close(&w->fake->base);
    arena_release(&w->arena);
    mem_free(w);
    return 0;
}

static struct constraint *compiled(struct world *w, const char *schema, struct violation *why)
{
    struct generation g = { .form = ANSWER_JSON, .schema_path = SCHEMA };
    struct error e = { 0 };
    struct constraint *k;
    size_t at;

    g.json_schema =
        json_parse(&w->arena, str_of(arena_copy(&w->arena, schema, strlen(schema))), &at, &e);
    assert_non_null(g.json_schema);
    return constraint_of(w->constraints, &(struct request){ .generation = g }, &k, why) == 0 ? k
                                                                                             : NULL;
}

static struct constraint *constraint_for(struct world *w, const char *schema)
{
    struct violation why = { 0 };
    struct constraint *k = compiled(w, schema, &why);

    if (!k)
        fail_msg("%.100s: %s: %s", schema, why.path, why.message);
    return k;
}

/* ---- Searching for a limit ---- */

typedef void (*writer)(struct buf *out, size_t size);

static bool fits(struct world *w, writer write, size_t size, struct violation *why)
{
    struct buf text = BUF_INIT(4 * SCHEMA_BYTES_MAX);

    write(&text, size);
    struct constraint *k = compiled(w, text.p, why);
    constraint_release(k);
    buf_release(&text);
    return k != NULL;
}

/* The largest size that is taken; one more is refused with this message. */
static size_t largest(struct world *w, writer write, size_t taken, size_t refused,
                      const char *message)
{
    struct violation why;

    while (refused - taken > 1) {
        size_t middle = taken + (refused - taken) / 2;
        if (fits(w, write, middle, &why))
            taken = middle;
        else
            refused = middle;
    }
    assert_false(fits(w, write, refused, &why));
    if (!strstr(why.message, message))
        fail_msg("at %zu: %s", refused, why.message);
    if (!fits(w, write, taken, &why))
        fail_msg("at %zu: %s", taken, why.message);
    return taken;
}

/* Different classes of characters of all scripts, of which each is many ranges of bytes. */
static void write_patterns(struct buf *out, size_t count)
{
    static const char mark[] = "!#%&,;:=<>@_~'0123456789abc";

    buf_add_c(out, "{\"prefixItems\":[true");
    for (size_t i = 0; i < count; i++)
        buf_addf(out, ",{\"type\":\"string\",\"pattern\":\"^[\\\\p{Lu}\\\\p{Ll}%c%c]{3}$\"}",
                 mark[i % (sizeof mark - 1)], mark[i / (sizeof mark - 1)]);
    buf_add_c(out, "]}");
}

static void test_the_steps_of_a_lexer_are_limited(void **state)
{
    (void)largest(*state, write_patterns, 1, SCHEMA_LEAVES_MAX - 1, "250000");
}

/* Lists of different lengths, of which each takes some symbols. */
static void write_lists(struct buf *out, size_t count)
{
    buf_add_c(out, "{\"prefixItems\":[true");
    for (size_t i = 0; i < count; i++)
        buf_addf(out, ",{\"type\":\"array\",\"maxItems\":%zu,\"items\":{\"const\":%zu}}",
                 900000 + i, i);
    buf_add_c(out, "]}");
}

static void test_the_symbols_of_a_grammar_are_limited(void **state)
{
    (void)largest(*state, write_lists, 1, 1400,
                  "grammar size (number of symbols) too big (limit for this grammar: 65000)");
}

/* ---- While an answer is followed ---- */

/* True when an answer can begin so, and (with_mask) go on. */
static bool can_follow(struct world *w, writer write, size_t size, const char *begin,
                       bool with_mask, struct error *e)
{
    struct buf text = BUF_INIT(4 * SCHEMA_BYTES_MAX);

    write(&text, size);
    struct constraint *k = constraint_for(w, text.p);
    struct follower *f = follower_new(k);
    bool ok = true;
    for (; ok && *begin; begin++)
        ok = follower_accept(f, (unsigned char)*begin, e) == 0;
    ok = ok && (!with_mask || follower_mask(f, e));
    follower_free(f);
    constraint_release(k);
    buf_release(&text);
    return ok;
}

/* As largest, for the answer's beginning. */
static size_t largest_followed(struct world *w, writer write, size_t refused, const char *begin,
                               bool with_mask, const char *message)
{
    struct error e = { 0 };
    size_t taken = 1;

    while (refused - taken > 1) {
        size_t middle = taken + (refused - taken) / 2;
        if (can_follow(w, write, middle, begin, with_mask, &e))
            taken = middle;
        else
            refused = middle;
    }
    assert_false(can_follow(w, write, refused, begin, with_mask, &e));
    if (!strstr(e.msg, message))
        fail_msg("at %zu: %s", refused, e.msg);
    assert_true(can_follow(w, write, taken, begin, with_mask, &e));
    return taken;
}

/* Three objects of optional properties: each may be the first, so each is an item of the parser's row. */
static void write_objects(struct buf *out, size_t properties)
{
    buf_add_c(out, "{\"anyOf\":[true");
    for (int object = 0; object < 3; object++) {
        buf_add_c(out, ",{\"type\":\"object\",\"properties\":{");
        for (size_t i = 0; i < properties; i++)
            buf_addf(out, "%s\"%c%zu\":true", i ? "," : "", 'a' + object, i);
        buf_add_c(out, "}}");
    }
    buf_add_c(out, "]}");
}

static void test_the_items_of_a_row_are_limited(void **state)
{
    (void)largest_followed(*state, write_objects, SCHEMA_PROPERTIES_MAX, "{\"", false,
                           "max is 8000");
}

/* Two lengths of which no multiple is equal but for their product, behind the choice of a y. */
static void write_lengths(struct buf *out, size_t length)
{
    buf_add_c(out, "{\"type\":\"string\",\"allOf\":[");
    for (size_t more = 0; more < 2; more++) {
        buf_addf(out, "%s{\"pattern\":\"^z(x|y(", more ? "," : "");
        for (size_t i = 0; i < length + more; i++)
            buf_add_char(out, 'a');
        buf_add_c(out, ")+b)$\"}");
    }
    buf_add_c(out, "]}");
}

static void test_the_steps_of_a_token_are_limited(void **state)
{
    (void)largest_followed(*state, write_lengths, 400, "\"z", true,
                           "too many expressions constructed");
}

/* Goal: a text that needs more states of the lexer than the limit ends with an error that says so. Method: letters at
 * random under a pattern that must remember whether each of the last 15 was an a. */
static void test_the_states_of_a_lexer_are_limited(void **state)
{
    struct world *w = *state;
    struct constraint *k =
        constraint_for(w, "{\"type\":\"string\",\"pattern\":\"^[ab]*a[ab]{14}$\"}");
    struct follower *f = follower_new(k);
    struct error e = { 0 };
    uint64_t seed = 3;
    uint32_t taken = 0;

    assert_int_equal(follower_accept(f, '"', &e), 0);
    while (taken < 2 * CONSTRAINT_LEXER_STATES &&
           follower_accept(f, random_next(&seed) >> 40 & 1 ? 'a' : 'b', &e) == 0)
        taken++;
    assert_true(taken > CONSTRAINT_LEXER_STATES / 2 && taken < 2 * CONSTRAINT_LEXER_STATES);
    if (!strstr(e.msg, "too many states: 16000 >= 16000"))
        fail_msg("after %u: %s", taken, e.msg);
    follower_free(f);
    constraint_release(k);
}

/* ---- Ours ---- */

static void test_lists_are_open_within_each_other_to_a_limit(void **state)
{
    struct world *w = *state;
    struct constraint *k = constraint_for(w, "{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}");
    struct follower *f = follower_new(k);
    struct error e = { 0 };

    for (int depth = 0; depth < NESTING_MAX; depth++) {
        assert_true(follower_allows(f, '['));
        assert_int_equal(follower_accept(f, '[', &e), 0);
    }
    assert_false(follower_allows(f, '['));
    assert_true(follower_allows(f, ']'));
    assert_int_equal(follower_accept(f, '[', &e), -1);
    assert_non_null(strstr(e.msg, "more than 512 deep"));
    follower_free(f);
    constraint_release(k);
}

/* Goal: a search for a free name ends after NAME_SEARCH_MASKS sets. Method: letters whose ten names are used up, each
 * of which takes eleven sets; behind one of them a name of the next letter is found, behind two it is not. */
static void test_a_search_for_a_name_has_a_limit(void **state)
{
    struct world *w = *state;

    for (int used_up = 1; used_up <= 2; used_up++) {
        struct constraint *k = constraint_for(
            w, "{\"type\":\"object\",\"patternProperties\":{\"^[a-k][0-9]$\":{\"const\":1}},"
               "\"additionalProperties\":false}");
        struct follower *f = follower_new(k);
        struct buf text = BUF_INIT(4096);
        struct error e = { 0 };
        for (char letter = 'a'; letter <= 'k'; letter++)
            for (char digit = '0'; digit <= (letter - 'a' < used_up ? '9' : '0'); digit++)
                buf_addf(&text, "%s\"%c%c\": 1", text.len ? ", " : "{", letter, digit);
        for (size_t i = 0; i < text.len; i++)
            if (follower_accept(f, (unsigned char)text.p[i], &e) < 0)
                fail_msg("%s", e.msg);
        assert_true(follower_allows(f, ',') == (used_up == 1));
        assert_true(follower_allows(f, '}'));
        buf_release(&text);
        follower_free(f);
        constraint_release(k);
    }
}

/* Goal: the bad one of CONSTRAINT_BLAMED regular expressions is named, and no further one is looked for. */
static void test_the_last_expression_that_is_blamed_is_named(void **state)
{
    struct world *w = *state;

    for (int more = 0; more < 2; more++) {
        struct buf text = BUF_INIT(16384);
        struct violation why = { 0 };
        char path[96] = SCHEMA;
        /* The last elements become expressions first. */
        buf_add_c(&text, "{\"prefixItems\":[{\"type\":\"string\",\"pattern\":\"^(ab|cd)*$\","
                         "\"minLength\":135}");
        for (int i = 0; i < CONSTRAINT_BLAMED - 1 + more; i++)
            buf_addf(&text, ",{\"type\":\"string\",\"pattern\":\"^%d$\"}", i);
        buf_add_c(&text, "]}");
        assert_null(compiled(w, text.p, &why));
        if (!more)
            (void)strcat(path, ".prefixItems[0].pattern");
        assert_string_equal(why.path, path);
        buf_release(&text);
    }
}

static void test_so_many_compiled_schemas_are_kept(void **state)
{
    struct world *w = *state;

    for (int more = 0; more < 2; more++) {
        struct constraint *first = constraint_for(w, "{\"const\":\"first\"}"), *again;
        for (int i = 0; i < CONSTRAINTS_MAX - 1 + more; i++) {
            char schema[64];
            (void)snprintf(schema, sizeof schema, "{\"const\":%d}", more * 1000 + i);
            constraint_release(constraint_for(w, schema));
        }
        again = constraint_for(w, "{\"const\":\"first\"}");
        assert_true((again == first) == !more); /* still held here, so no other has its address */
        constraint_release(first);
        constraint_release(again);
    }
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_the_steps_of_a_lexer_are_limited),
        WORLD_TEST(test_the_symbols_of_a_grammar_are_limited),
        WORLD_TEST(test_the_items_of_a_row_are_limited),
        WORLD_TEST(test_the_steps_of_a_token_are_limited),
        WORLD_TEST(test_the_states_of_a_lexer_are_limited),
        WORLD_TEST(test_lists_are_open_within_each_other_to_a_limit),
        WORLD_TEST(test_a_search_for_a_name_has_a_limit),
        WORLD_TEST(test_the_last_expression_that_is_blamed_is_named),
        WORLD_TEST(test_so_many_compiled_schemas_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
