/* Goal: whatever a grammar of calls lets through is calls that are declared, with arguments that match. Method: the
 * schemas of tests/schema/schemas.jsonl that describe objects are parameters of a function; texts drawn at random from
 * each format's grammar, from a fixed seed, are parsed and checked as answers are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/json_write.h"
#include "base/random.h"
#include "base/sys.h"
#include "conform/predict/request_make.h"
#include "format/request/fields.h"
#include "format/tools/call_parse.h"
#include "predict/local/follower.h"
#include "predict/schemas.h"
#include "unit/predict/local/runtime_fake.h"

#define FILE_BYTES_MAX ((size_t)1024 * 1024)
#define TEXT_BYTES_MAX 4000
#define CLOSING_FROM 60 /* bytes after which a text is led to its end */
#define TEXTS 4         /* of each schema */
#define FORMATS 4

static const enum call_format formats[FORMATS] = { CALLS_HERMES, CALLS_SMOLLM2, CALLS_LLAMA3,
                                                   CALLS_GEMMA };

struct world {
    struct fake_runtime *fake[FORMATS];
    struct constraints *constraints[FORMATS];
    struct schemas *schemas;
    uint64_t seed;
    size_t texts, calls;
};

static int open_world(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    for (size_t i = 0; i < FORMATS; i++) {
        w->fake[i] = fake_open(64, 1, 64);
        w->fake[i]->info.calls.format = formats[i];
        w->constraints[i] = constraints_new(&w->fake[i]->base);
    }
    w->schemas = schemas_new();
    w->seed = 21;
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;

    for (size_t i = 0; i < FORMATS; i++) {
        constraints_free(w->constraints[i]);
        w->fake[i]->base.ops->close(&w->fake[i]->base);
    }
    schemas_free(w->schemas);
    mem_free(w);
    return 0;
}

static uint32_t below(struct world *w, uint32_t limit)
{
    return (uint32_t)(random_next(&w->seed) % limit);
}

static int32_t token_draw(struct world *w, const uint32_t *mask, size_t len)
{
    int32_t allowed[FAKE_VOCAB];
    uint32_t count = 0;
    bool close = len > CLOSING_FROM && below(w, 4) > 0;

    for (int32_t i = 0; i < 0x80; i++) {
        if (!(mask[i / 32] >> (i % 32) & 1))
            continue;
        if (close && (i == FAKE_END || strchr("\"]}", i)))
            return i;
        allowed[count++] = i;
    }
    assert_true(count > 0);
    return allowed[below(w, count)];
}

/* A text that the grammar lets through; false when it grew too long. */
static bool text_draw(struct world *w, struct constraint *k, struct buf *out)
{
    struct follower *f = follower_new(k);
    struct error e = { 0 };
    bool ended = false;

    buf_clear(out);
    while (!ended && out->len < TEXT_BYTES_MAX && !follower_complete(f)) {
        const uint32_t *mask = follower_mask(f, &e);
        if (!mask)
            fail_msg("after %.*s: %s", STR_ARG(buf_str(out)), e.msg);
        int32_t token = token_draw(w, mask, out->len);
        if (!follower_allows(f, token))
            continue; /* it would repeat a name; the set lacks it now */
        ended = token == FAKE_END;
        if (!ended)
            buf_add_char(out, (char)token);
        assert_int_equal(follower_accept(f, token, &e), 0);
    }
    ended = ended || follower_complete(f);
    follower_free(f);
    return ended;
}

static void check_text(struct world *w, const struct request *r, enum call_format f,
                       struct str text)
{
    struct arena a = { 0 };
    struct parsed_parts parts;
    struct error e = { 0 };
    size_t at;

    if (!calls_parse(f, &a, text, false, &parts, &e))
        fail_msg("%.*s: %s", STR_ARG(text), e.msg);
    assert_true(parts.calls > 0 && parts.calls == parts.count);
    for (uint32_t i = 0; i < parts.count; i++) {
        yyjson_val *args = json_parse(&a, parts.item[i].args, &at, &e);
        if (schemas_check_call(w->schemas, r, parts.item[i].name, args, &e) < 0)
            fail_msg("%.*s: %s", STR_ARG(text), e.msg);
    }
    w->calls += parts.calls;
    w->texts++;
    arena_release(&a);
}

/* The request that declares a function with the line's schema; NULL when the schema is not of an object. */
static const struct request *request_of(struct arena *a, yyjson_val *line)
{
    yyjson_val *schema = json_get(line, "schema"), *type = json_get(schema, "type");
    struct buf json = BUF_INIT(FILE_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&json);

    if (!yyjson_is_str(type) || !lower_equal(json_str(type), "object"))
        return NULL;
    buf_add_c(&json, "{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}],\"toolConfig\":{"
                     "\"functionCallingConfig\":{\"mode\":\"ANY\"}},\"tools\":[{"
                     "\"functionDeclarations\":[{\"name\":\"g\"},{\"name\":\"f\",");
    buf_addf(&json, "\"%s\":",
             yyjson_is_true(json_get(line, "google")) ? "parameters" : "parametersJsonSchema");
    json_add_value(&w, NULL, schema);
    buf_add_c(&json, "}]}]}");
    const char *copy = arena_copy(a, json.p, json.len);
    buf_release(&json);
    return request_make(a, copy);
}

static void schema_try(struct world *w, const struct request *r, size_t format)
{
    struct buf text = BUF_INIT(TEXT_BYTES_MAX + 1);
    struct violation why = { 0 };
    struct constraint *k;

    if (constraint_of(w->constraints[format], r, &k, &why) < 0)
        fail_msg("%s: %s", why.path, why.message);
    for (int i = 0; i < TEXTS; i++)
        if (text_draw(w, k, &text))
            check_text(w, r, formats[format], buf_str(&text));
    constraint_release(k);
    buf_release(&text);
}

static void test_calls_that_a_grammar_lets_through_match_their_declaration(void **state)
{
    struct world *w = *state;
    struct buf file = BUF_INIT(FILE_BYTES_MAX);
    struct error e = { 0 };
    struct str rest, line;
    size_t tried = 0, at;

    assert_int_equal(sys_read_file(TESTS_DIR "/schema/schemas.jsonl", FILE_BYTES_MAX, &file, &e),
                     0);
    rest = buf_str(&file);
    while (str_next(&rest, '\n', &line)) {
        struct arena a = { 0 };
        const struct request *r = request_of(&a, json_parse(&a, line, &at, &e));
        if (r)
            schema_try(w, r, tried++ % FORMATS);
        arena_release(&a);
    }
    buf_release(&file);
    print_message("%zu schemas, %zu texts, %zu calls\n", tried, w->texts, w->calls);
    assert_true(tried > 50 && w->texts > 2 * tried);
}

/* Goal: a grammar makes as many calls as the limit, and no more. */
static void test_a_grammar_makes_a_limited_number_of_calls(void **state)
{
    struct world *w = *state;
    struct arena a = { 0 };
    struct violation why = { 0 };
    struct error e = { 0 };
    struct constraint *k;
    const struct request *r =
        request_make(&a, "{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}],\"toolConfig\":{"
                         "\"functionCallingConfig\":{\"mode\":\"ANY\"}},\"tools\":[{"
                         "\"functionDeclarations\":[{\"name\":\"g\"}]}]}");

    assert_int_equal(constraint_of(w->constraints[3], r, &k, &why), 0);
    for (int count = CALLS_FORCED_MAX; count <= CALLS_FORCED_MAX + 1; count++) {
        struct follower *f = follower_new(k);
        struct buf text = BUF_INIT(TEXT_BYTES_MAX);
        for (int i = 0; i < count; i++)
            buf_addf(&text, "%s{\"name\": \"g\", \"parameters\": {}}", i ? ", " : "[");
        buf_add_char(&text, ']');
        bool taken = true;
        for (size_t i = 0; taken && i < text.len; i++)
            taken = follower_allows(f, text.p[i]) && follower_accept(f, text.p[i], &e) == 0;
        assert_int_equal(taken, count == CALLS_FORCED_MAX);
        buf_release(&text);
        follower_free(f);
    }
    constraint_release(k);
    arena_release(&a);
}

/* Goal: what cannot be a grammar is refused with its place in the request. */
static void test_a_declaration_that_is_no_grammar_is_refused_with_its_place(void **state)
{
    struct world *w = *state;
    struct arena a = { 0 };
    struct violation why = { 0 };
    struct constraint *k;
    const struct request *r = request_make(
        &a, "{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}],\"toolConfig\":{"
            "\"functionCallingConfig\":{\"mode\":\"VALIDATED\"}},\"tools\":[{"
            "\"functionDeclarations\":[{\"name\":\"g\"},{\"name\":\"f\",\"parametersJsonSchema\":{"
            "\"type\":\"object\",\"properties\":{\"a\":{\"not\":{}}},\"required\":[\"a\"]}}]}]}");

    assert_int_equal(constraint_of(w->constraints[0], r, &k, &why), -1);
    assert_true(
        str_starts(str_of(why.path), STR("tools[0].functionDeclarations[1].parametersJsonSchema")));
    assert_true(why.message[0] && why.remedy[0]);
    arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_calls_that_a_grammar_lets_through_match_their_declaration, open_world,
            close_world),
        cmocka_unit_test_setup_teardown(test_a_grammar_makes_a_limited_number_of_calls, open_world,
                                        close_world),
        cmocka_unit_test_setup_teardown(
            test_a_declaration_that_is_no_grammar_is_refused_with_its_place, open_world,
            close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
