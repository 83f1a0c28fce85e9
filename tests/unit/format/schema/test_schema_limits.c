/* Goal: each limit of format/schema holds at its value and one past it. Method: schemas, patterns and values that grow
 * over the limit; those of a grammar's size are searched for, and held against what the grammar has there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include "format/schema/pattern.h"
#include "unit/format/schema/schema_case.h"

/* ---- Sizes ---- */

/* A schema of count parts: "head", the part's number and "tail", with commas between. */
struct parts {
    const char *before, *head, *tail, *after;
};

static void assert_parts(const struct parts *p, size_t count, enum schema_use use, bool want)
{
    struct buf text = BUF_INIT((size_t)16 * 1024 * 1024);
    struct reading r;

    buf_add_c(&text, p->before);
    for (size_t i = 0; i < count; i++)
        buf_addf(&text, "%s%s%zu%s", i ? "," : "", p->head, i, p->tail);
    buf_add_c(&text, p->after);
    if (use == SCHEMA_GRAMMAR) {
        assert_followed(text.p, SCHEMA_JSON, want);
    } else {
        read_text(&r, text.p, SCHEMA_JSON, SCHEMA_CHECK);
        if ((r.schema != NULL) != want)
            fail_msg("%.200s: %s", text.p, r.fault.message);
        reading_release(&r);
    }
    buf_release(&text);
}

/* Goal: the limits on how much stands in a schema hold. Method: at each limit, and one past it. */
static void test_a_schema_may_be_as_large_as_its_limits_and_no_larger(void **state)
{
    static const struct {
        struct parts parts;
        size_t most;
        enum schema_use use;
    } cases[] = {
        { { "{\"enum\":[", "\"v", "\"", "]}" }, SCHEMA_ENUM_MAX, SCHEMA_GRAMMAR },
        { { "{\"properties\":{", "\"p", "\":true", "}}" }, SCHEMA_PROPERTIES_MAX, SCHEMA_GRAMMAR },
        { { "{\"required\":[", "\"p", "\"", "]}" }, SCHEMA_PROPERTIES_MAX, SCHEMA_GRAMMAR },
        { { "{\"propertyOrdering\":[", "\"p", "\"", "]}" }, SCHEMA_PROPERTIES_MAX, SCHEMA_GRAMMAR },
        { { "{\"allOf\":[{\"properties\":{\"q\":true}},{\"properties\":{", "\"p", "\":true",
            "}}]}" },
          SCHEMA_PROPERTIES_MAX - 1,
          SCHEMA_GRAMMAR },
        { { "{\"prefixItems\":[", "{\"type\":\"string\",\"pattern\":\"^", "\"}", "]}" },
          SCHEMA_LEAVES_MAX,
          SCHEMA_GRAMMAR },
        { { "{\"prefixItems\":[", "{\"type\":\"integer\",\"minimum\":", "}", "],\"items\":false}" },
          SCHEMA_LEAVES_MAX,
          SCHEMA_GRAMMAR },
        { { "{\"prefixItems\":[", "{\"type\":\"integer\",\"multipleOf\":2000,\"title\":\"", "\"}",
            "]}" },
          SCHEMA_REMAINDERS_MAX / 2000,
          SCHEMA_GRAMMAR },
        { { "{\"patternProperties\":{", "\"^p", "$\":true", "}}" },
          SCHEMA_KEY_PATTERNS_MAX,
          SCHEMA_GRAMMAR },
        { { "{\"allOf\":[", "{\"title\":\"", "\"}", "]}" }, SCHEMA_NODES_MAX - 1, SCHEMA_CHECK },
        { { "{\"type\":\"array\",\"prefixItems\":[", "{\"type\":\"null\",\"title\":\"", "\"}",
            "]}" },
          SCHEMA_STATES_MAX - 1,
          SCHEMA_GRAMMAR },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_parts(&cases[i].parts, cases[i].most, cases[i].use, true);
        assert_parts(&cases[i].parts, cases[i].most + 1, cases[i].use, false);
    }
}

static void test_schemas_nest_64_deep_and_no_deeper(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct buf text = BUF_INIT((size_t)64 * 1024);
        struct reading r;
        for (int i = 1; i < JSON_DEPTH_MAX + more; i++)
            buf_add_c(&text, "{\"not\":");
        buf_add_c(&text, "{\"type\":\"null\"}");
        for (int i = 1; i < JSON_DEPTH_MAX + more; i++)
            buf_add_char(&text, '}');
        read_text(&r, text.p, SCHEMA_JSON, SCHEMA_CHECK);
        assert_true((r.schema != NULL) == !more);
        reading_release(&r);
        buf_release(&text);
    }
}

/* {"KEYWORD": "aaa..."}, with count letters. */
static void assert_letters(const char *before, size_t count, bool want)
{
    struct buf text = BUF_INIT((size_t)1024 * 1024);

    buf_add_c(&text, before);
    for (size_t i = 0; i < count; i++)
        buf_add_char(&text, 'a');
    buf_add_c(&text, "\"}");
    assert_followed(text.p, SCHEMA_JSON, want);
    buf_release(&text);
}

static void test_texts_and_counts_have_limits(void **state)
{
    static const struct {
        const char *schema;
        bool followed;
    } cases[] = {
        { "{\"type\":\"array\",\"minItems\":1000000}", true },
        { "{\"type\":\"array\",\"minItems\":1000001}", false },
        { "{\"type\":\"array\",\"minItems\":1000000,\"maxItems\":1000001}", true }, /* none */
        { "{\"type\":\"string\",\"minLength\":1000000}", true },
        { "{\"type\":\"string\",\"minLength\":1000001}", false },
        { "{\"type\":\"object\",\"minProperties\":1000000}", true },
        { "{\"type\":\"object\",\"minProperties\":1000001}", false },
        { "{\"type\":\"string\",\"pattern\":\"^a{1001}$\"}", true },
        { "{\"type\":\"string\",\"pattern\":\"^a{1002}$\"}", false },
        { "{\"type\":\"string\",\"pattern\":\"^(ab){3,501}$\"}", true },
        { "{\"type\":\"string\",\"pattern\":\"^(ab){3,502}$\"}", false },
        { "{\"type\":\"string\",\"pattern\":\"^(a{50}){50}$\"}", false },
        { "{\"type\":\"number\",\"multipleOf\":0.000000000000001}", true },
        { "{\"type\":\"number\",\"multipleOf\":0.0000000000000001}", false },
        { "{\"type\":\"integer\",\"minimum\":9007199254740992}", true },
        { "{\"type\":\"integer\",\"minimum\":9007199254740994}", false },
        { "{\"type\":\"integer\",\"maximum\":-9007199254740992}", true },
        { "{\"type\":\"integer\",\"maximum\":-9007199254740994}", false },
        { "{\"type\":\"integer\",\"maximum\":9223372036854775807}", true },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_followed(cases[i].schema, SCHEMA_JSON, cases[i].followed);
    for (int more = 0; more < 2; more++) {
        struct buf text = BUF_INIT(1024);
        buf_add_c(&text, "{\"pattern\":\"^");
        for (int i = 0; i < SCHEMA_PATTERN_DEPTH_MAX + more; i++)
            buf_add_char(&text, '(');
        for (int i = 0; i < SCHEMA_PATTERN_DEPTH_MAX + more; i++)
            buf_add_char(&text, ')');
        buf_add_c(&text, "$\"}");
        assert_followed(text.p, SCHEMA_JSON, !more);
        buf_release(&text);
    }
    assert_letters("{\"const\":\"", SCHEMA_LITERAL_BYTES_MAX - 2, true);
    assert_letters("{\"const\":\"", SCHEMA_LITERAL_BYTES_MAX - 1, false);
    assert_letters("{\"type\":\"string\",\"pattern\":\"", SCHEMA_PATTERN_BYTES_MAX, true);
    assert_letters("{\"type\":\"string\",\"pattern\":\"", SCHEMA_PATTERN_BYTES_MAX + 1, false);
}

/* Goal: a check ends when its steps are used up. Method: each element takes 101 steps, of which the answer's
 * length gives SCHEMA_CHECK_STEPS_A_VALUE. */
static void test_a_check_takes_so_many_steps_and_no_more(void **state)
{
    enum { ALTERNATIVES = 100, TAKEN = 1 + ALTERNATIVES };
    const size_t most = (SCHEMA_CHECK_STEPS_MAX + SCHEMA_CHECK_STEPS_A_VALUE - 2) /
                        (TAKEN - SCHEMA_CHECK_STEPS_A_VALUE);
    struct buf schema = BUF_INIT((size_t)64 * 1024);

    (void)state;
    buf_add_c(&schema, "{\"items\":{\"anyOf\":[");
    for (int i = 1; i < ALTERNATIVES; i++)
        buf_add_c(&schema, "{\"type\":\"null\"},");
    buf_add_c(&schema, "{\"type\":\"integer\"}]}}");
    for (int more = 0; more < 2; more++) {
        struct buf text = BUF_INIT((size_t)1024 * 1024);
        struct reading r;
        for (size_t i = 0; i < most + (size_t)more; i++)
            buf_add_c(&text, i ? ",1" : "[1");
        buf_add_char(&text, ']');
        read_text(&r, schema.p, SCHEMA_JSON, SCHEMA_CHECK);
        assert_true(schema_matches(r.schema, parse(&r.arena, text.p), &r.fault) == !more);
        assert_true(!more || strstr(r.fault.message, "takes too long to check"));
        reading_release(&r);
        buf_release(&text);
    }
    buf_release(&schema);
}

/* The values of text/x.enum, which are no JSON. */
static void test_an_enum_of_texts_has_a_limit(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct buf text = BUF_INIT((size_t)256 * 1024),
                   grammar = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
        struct arena a = { 0 };
        struct schema_fault why;
        buf_add_c(&text, "[\"v\"");
        for (int i = 1; i < SCHEMA_ENUM_MAX + more; i++)
            buf_addf(&text, ",\"v%d\"", i);
        buf_add_char(&text, ']');
        assert_true(schema_enum_grammar(parse(&a, text.p), &grammar, &why) == !more);
        buf_release(&text);
        buf_release(&grammar);
        arena_release(&a);
    }
}

/* ---- Searching for a limit ---- */

/* Writes the schema of a size. */
typedef void (*writer)(struct buf *out, size_t size);

/* True when the schema of that size can be a grammar; with its text and fault. */
static bool fits(writer write, size_t size, struct buf *grammar, struct schema_fault *why)
{
    struct buf text = BUF_INIT((size_t)16 * 1024 * 1024);
    struct reading r;

    write(&text, size);
    buf_clear(grammar);
    read_text(&r, text.p, SCHEMA_JSON, SCHEMA_GRAMMAR);
    bool ok = r.schema && schema_grammar(r.schema, grammar, &r.fault);
    *why = r.fault;
    reading_release(&r);
    buf_release(&text);
    return ok;
}

/* The largest size that fits, from a search that halves: one more is refused with this message. The grammar of the
 * largest is in *grammar. */
static size_t largest(writer write, size_t fitting, size_t refused, const char *message,
                      struct buf *grammar)
{
    struct schema_fault why;

    while (refused - fitting > 1) {
        size_t middle = fitting + (refused - fitting) / 2;
        if (fits(write, middle, grammar, &why))
            fitting = middle;
        else
            refused = middle;
    }
    assert_false(fits(write, refused, grammar, &why));
    if (!strstr(why.message, message))
        fail_msg("at %zu: %s", refused, why.message);
    assert_true(fits(write, fitting, grammar, &why));
    return fitting;
}

/* Objects of 1000 required names, and a last one that fills up; each name takes three rules. */
static void write_names(struct buf *out, size_t names)
{
    buf_add_c(out, "{\"prefixItems\":[true");
    for (size_t first = 0; first < names; first += SCHEMA_PROPERTIES_MAX) {
        size_t left = names - first;
        size_t count = left < SCHEMA_PROPERTIES_MAX ? left : SCHEMA_PROPERTIES_MAX;
        buf_addf(out, ",{\"type\":\"object\",\"title\":\"%zu\",\"required\":[\"p\"", first);
        for (size_t k = 1; k < count; k++)
            buf_addf(out, ",\"p%zu\"", k);
        buf_add_c(out, "]}");
    }
    buf_add_c(out, "]}");
}

static void test_a_grammar_has_a_limit_of_rules(void **state)
{
    struct buf grammar = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    size_t names = largest(write_names, 1000, 11000, "too large for a grammar", &grammar);

    (void)state;
    assert_in_range(3 * names, SCHEMA_RULES_MAX - 150, SCHEMA_RULES_MAX);
    buf_release(&grammar);
}

/* Different constants of 16 KiB, the last one shorter. */
static void write_literals(struct buf *out, size_t bytes)
{
    const size_t each = SCHEMA_LITERAL_BYTES_MAX - 100;

    buf_add_c(out, "{\"prefixItems\":[true");
    for (size_t first = 0; first < bytes; first += each) {
        size_t left = bytes - first, count = left < each ? left : each;
        buf_addf(out, ",{\"const\":\"%06zu", first);
        for (size_t i = 0; i < count; i++)
            buf_add_char(out, 'a');
        buf_add_c(out, "\"}");
    }
    buf_add_c(out, "]}");
}

static void test_a_grammar_has_a_limit_of_bytes(void **state)
{
    struct buf grammar = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);

    (void)state;
    (void)largest(write_literals, SCHEMA_GRAMMAR_BYTES_MAX / 2, 2 * SCHEMA_GRAMMAR_BYTES_MAX,
                  "grammar is too large", &grammar);
    assert_int_equal(grammar.len, SCHEMA_GRAMMAR_BYTES_MAX);
    buf_release(&grammar);
}

/* Lists of values that hold at once: each value of the first is looked up in the others. */
static void write_lists(struct buf *out, size_t last)
{
    buf_add_c(out, "{\"allOf\":[");
    for (size_t list = 0; list < 4; list++) {
        buf_addf(out, "%s{\"title\":\"%zu\",\"enum\":[0", list ? "," : "", list);
        for (size_t i = 1; i < (list < 3 ? 5000 : last); i++)
            buf_addf(out, ",%zu", i);
        buf_add_c(out, "]}");
    }
    buf_add_c(out, "]}");
}

/* Goal: making a grammar ends after as many steps as a check. Method: 5,000 values take a step for each 64 that they are
 * compared with, and a few more. */
static void test_a_grammar_takes_so_many_steps_and_no_more(void **state)
{
    struct buf grammar = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    size_t last = largest(write_lists, 1, 5000, "too many steps", &grammar);
    size_t steps = 5000 * ((5000 + 5000 + last) / 64);

    (void)state;
    assert_in_range(steps, SCHEMA_CHECK_STEPS_MAX - 5000 * 16, SCHEMA_CHECK_STEPS_MAX);
    buf_release(&grammar);
}

/* ---- Names that patterns decide ---- */

static void assert_names(const char *pattern, size_t least, bool want)
{
    char schema[600];

    (void)snprintf(schema, sizeof schema,
                   "{\"type\":\"object\",\"patternProperties\":{\"%s\":{\"type\":\"null\"}},"
                   "\"additionalProperties\":false,\"minProperties\":%zu}",
                   pattern, least);
    assert_followed(schema, SCHEMA_JSON, want);
}

/* Goal: minProperties is followed where so many names are sure to be there, and refused one past. */
static void test_properties_that_patterns_decide_have_names(void **state)
{
    static const struct {
        const char *pattern;
        size_t most;
    } cases[] = {
        { "^a+$", SCHEMA_NAMES_LISTED_MAX },
        { "^x-", SCHEMA_NAMES_LISTED_MAX },
        { "z$", SCHEMA_NAMES_LISTED_MAX },
        { ".", SCHEMA_NAMES_LISTED_MAX },
        { "^([0-9]|[1-9][0-9])$", 100 },
        { "^([0-9]|[1-9][0-9]|100)$", SCHEMA_NAMES_LISTED_MAX }, /* 101 names */
        { "^[a-z]{2}$", SCHEMA_NAMES_LISTED_MAX },
        { "^\\\\w$", 63 },
        { "^[\\\\d]$", 10 },
        { "^\\\\x41$", 1 },
        { "^\\\\u0041?$", 2 },
        { "^a{1,50}$", 50 },
        { "^a{100}$", 1 },
        { "^[ab]{101}$", 0 }, /* names of more than SCHEMA_NAME_BYTES_MAX are not tried */
        { "^\\\\x22+$", 0 },  /* a quote must be escaped */
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        assert_names(cases[i].pattern, cases[i].most, true);
        assert_names(cases[i].pattern, cases[i].most + 1, false);
    }
}

/* Goal: patterns that hold together, or exclude each other, leave the names that they leave. */
static void test_names_that_several_patterns_leave_are_counted(void **state)
{
    static const struct {
        const char *before, *after;
        size_t most;
    } cases[] = {
        { "\"allOf\":[{\"patternProperties\":{\"^a\":{}},\"additionalProperties\":false},"
          "{\"patternProperties\":{\"^.$\":{}},\"additionalProperties\":false}]",
          "", 1 },
        { "\"allOf\":[{\"patternProperties\":{\"^a\":{}},\"additionalProperties\":false},"
          "{\"patternProperties\":{\"z$\":{}},\"additionalProperties\":false}]",
          "", SCHEMA_NAMES_LISTED_MAX },
        { "\"patternProperties\":{\".\":false}", "", 1 },
        { "\"patternProperties\":{\"..\":false,\"[^ab]\":false}", "", 3 },
        { "\"patternProperties\":{\"^[ab]$\":{},\"b\":false},\"additionalProperties\":false", "",
          1 },
        { "\"properties\":{\"a\":{},\"b\":{}},\"patternProperties\":{\"^[a-c]+$\":{},\"..\":false},"
          "\"additionalProperties\":false",
          "", 3 },
        { "\"properties\":{\"a\":{},\"n\":{}},\"patternProperties\":{\"^x-\":{}},"
          "\"additionalProperties\":false",
          ",\"required\":[\"a\"]", 102 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t more = 0; more < 2; more++) {
            char schema[600];
            (void)snprintf(schema, sizeof schema,
                           "{\"type\":\"object\",%s,\"minProperties\":%zu%s}", cases[i].before,
                           cases[i].most + more, cases[i].after);
            assert_followed(schema, SCHEMA_JSON, !more);
        }
}

/* Goal: names that answers fall back on are limited in all. Method: objects that ask for 100 names each. */
static void test_names_that_are_kept_have_a_limit(void **state)
{
    const size_t most = SCHEMA_NAMES_KEPT_MAX / SCHEMA_NAMES_LISTED_MAX;

    (void)state;
    for (size_t more = 0; more < 2; more++) {
        struct buf text = BUF_INIT((size_t)64 * 1024);
        buf_add_c(&text, "{\"prefixItems\":[");
        for (size_t i = 0; i < most + more; i++)
            buf_addf(&text,
                     "%s{\"type\":\"object\",\"patternProperties\":{\"^%c[a-z]+$\":{}},"
                     "\"additionalProperties\":false,\"minProperties\":%d}",
                     i ? "," : "", (char)('A' + (char)i), SCHEMA_NAMES_LISTED_MAX);
        buf_add_c(&text, "]}");
        assert_followed(text.p, SCHEMA_JSON, !more);
        buf_release(&text);
    }
}

/* ---- Other limits ---- */

/* Goal: multiples are a regular expression to the limit, and beyond it the nearest ones by name. */
static void test_multiples_are_counted_or_named(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        struct buf grammar = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
        struct schema_leaf leaf;
        struct reading r;
        char text[64];
        size_t bars = 0;
        (void)snprintf(text, sizeof text, "{\"type\":\"integer\",\"multipleOf\":%d}",
                       SCHEMA_REMAINDERS_EACH + more);
        read_text(&r, text, SCHEMA_JSON, SCHEMA_GRAMMAR);
        assert_true(schema_grammar(r.schema, &grammar, &r.fault));
        assert_true(schema_leaf_at(r.schema, 0, &leaf) == !more);
        for (const char *at = grammar.p; (at = strstr(at, " | \"")); at++)
            bars++;
        assert_int_equal(bars, more ? 1 + 2 * SCHEMA_MULTIPLES_NAMED : 1); /* true and false too */
        buf_release(&grammar);
        reading_release(&r);
    }
}

/* Objects that differ in a constant, so many properties deep. */
static void test_schemas_of_one_of_are_told_apart_to_a_depth(void **state)
{
    (void)state;
    for (int depth = SCHEMA_DISJOINT_DEPTH - 1; depth <= SCHEMA_DISJOINT_DEPTH; depth++) {
        struct buf text = BUF_INIT((size_t)16 * 1024);
        buf_add_c(&text, "{\"oneOf\":[");
        for (int i = 0; i < 2; i++) {
            buf_add_c(&text, i ? "," : "");
            for (int k = 0; k < depth; k++)
                buf_add_c(&text,
                          "{\"type\":\"object\",\"required\":[\"a\"],\"properties\":{\"a\":");
            buf_addf(&text, "{\"const\":%d}", i);
            for (int k = 0; k < depth; k++)
                buf_add_c(&text, "}}");
        }
        buf_add_c(&text, "]}");
        assert_followed(text.p, SCHEMA_JSON, depth < SCHEMA_DISJOINT_DEPTH);
        buf_release(&text);
    }
}

/* Goal: a check goes so deep and no deeper. Method: lists within lists, of which each takes two schemas: items and
 * what it refers to. */
static void test_a_check_has_a_limit_of_depth(void **state)
{
    const size_t most = SCHEMA_CHECK_DEPTH_MAX / 2;

    (void)state;
    for (size_t more = 0; more < 2; more++) {
        struct buf text = BUF_INIT((size_t)16 * 1024);
        struct reading r;
        read_text(&r, "{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}", SCHEMA_JSON, SCHEMA_CHECK);
        for (size_t i = 0; i < most + more; i++)
            buf_add_char(&text, '[');
        for (size_t i = 0; i < most + more; i++)
            buf_add_char(&text, ']');
        yyjson_doc *doc = yyjson_read(text.p, text.len, 0); /* deeper than our own reader goes */
        assert_true(schema_matches(r.schema, yyjson_doc_get_root(doc), &r.fault) == !more);
        assert_true(!more || strstr(r.fault.message, "takes too long to check"));
        yyjson_doc_free(doc);
        buf_release(&text);
        reading_release(&r);
    }
}

/* The least number of calls, or KiB of heap, with which PCRE2 comes to an end. */
static uint32_t pcre2_needs(const char *pattern, const char *text, bool heap)
{
    int code = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *p = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED,
                                  PCRE2_UTF | PCRE2_DOLLAR_ENDONLY, &code, &at, NULL);
    pcre2_match_context *c = pcre2_match_context_create(NULL);
    uint32_t low = 0, high = heap ? 4 * PATTERN_HEAP_KIB
                                  : 20 * PATTERN_MATCH_LIMIT; /* fails with low, ends with high */

    assert_non_null(p);
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        pcre2_match_data *data = pcre2_match_data_create(1, NULL); /* its heap is new */
        (void)pcre2_set_match_limit(c, heap ? UINT32_MAX : middle);
        (void)pcre2_set_heap_limit(c, heap ? middle : UINT32_MAX);
        int rc = pcre2_match(p, (PCRE2_SPTR)text, strlen(text), 0, 0, data, c);
        if (rc == PCRE2_ERROR_MATCHLIMIT || rc == PCRE2_ERROR_HEAPLIMIT)
            low = middle;
        else
            high = middle;
        pcre2_match_data_free(data);
    }
    pcre2_match_context_free(c);
    pcre2_code_free(p);
    return high;
}

/* Holds a search of `letters` letters against what PCRE2 needs for it; true when it came to an end. */
static bool search_ends(const char *pattern, size_t letters, bool heap)
{
    struct buf schema = BUF_INIT((size_t)4096), text = BUF_INIT((size_t)1024 * 1024);
    struct reading r;

    buf_addf(&schema, "{\"pattern\":\"%s\"}", pattern);
    buf_add_char(&text, '"');
    for (size_t i = 0; i < letters; i++)
        buf_add_char(&text, 'a');
    buf_add_char(&text, '"');
    read_text(&r, schema.p, SCHEMA_JSON, SCHEMA_CHECK);
    yyjson_val *v = parse(&r.arena, text.p);
    uint32_t needs = pcre2_needs(pattern, yyjson_get_str(v), heap);
    bool matches = schema_matches(r.schema, v, &r.fault);
    bool over = strstr(r.fault.message, "takes too long to check") != NULL;
    assert_true(matches || r.fault.message[0]);
    if (over != (needs > (heap ? PATTERN_HEAP_KIB : PATTERN_MATCH_LIMIT)))
        fail_msg("%zu letters need %u: %s", letters, needs, r.fault.message);
    reading_release(&r);
    buf_release(&text);
    buf_release(&schema);
    return !over;
}

/* Goal: a search ends at PATTERN_MATCH_LIMIT calls and PATTERN_HEAP_KIB of heap. Method: texts that grow over the
 * limit, each held against what PCRE2 itself says that it needs. */
static void test_a_search_has_a_limit_of_calls_and_of_heap(void **state)
{
    char captures[2000] = "^(?:";
    size_t ended = 0, over = 0;

    (void)state;
    for (size_t letters = 10; letters <= 22; letters++)
        *(search_ends("^(a+)+[bc]$", letters, false) ? &ended : &over) += 1;
    assert_true(ended > 0 && over > 0);
    for (int i = 0; i < 60; i++)
        (void)strcat(captures, "(a)?");
    (void)strcat(captures, "a)*$");
    ended = over = 0;
    for (size_t letters = 5000; letters <= 11000; letters += 1500)
        *(search_ends(captures, letters, true) ? &ended : &over) += 1;
    assert_true(ended > 0 && over > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_schema_may_be_as_large_as_its_limits_and_no_larger),
        cmocka_unit_test(test_schemas_nest_64_deep_and_no_deeper),
        cmocka_unit_test(test_texts_and_counts_have_limits),
        cmocka_unit_test(test_a_check_takes_so_many_steps_and_no_more),
        cmocka_unit_test(test_a_grammar_has_a_limit_of_rules),
        cmocka_unit_test(test_a_grammar_has_a_limit_of_bytes),
        cmocka_unit_test(test_a_grammar_takes_so_many_steps_and_no_more),
        cmocka_unit_test(test_properties_that_patterns_decide_have_names),
        cmocka_unit_test(test_names_that_several_patterns_leave_are_counted),
        cmocka_unit_test(test_names_that_are_kept_have_a_limit),
        cmocka_unit_test(test_multiples_are_counted_or_named),
        cmocka_unit_test(test_schemas_of_one_of_are_told_apart_to_a_depth),
        cmocka_unit_test(test_a_check_has_a_limit_of_depth),
        cmocka_unit_test(test_a_search_has_a_limit_of_calls_and_of_heap),
        cmocka_unit_test(test_an_enum_of_texts_has_a_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
