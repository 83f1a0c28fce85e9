/* Goal: the grammar of a schema and the check of answers say the same: each text that the grammar lets
 * through matches, and a value that does not match cannot be written. Method: texts drawn at random from the
 * grammars of the schemas in tests/schema/schemas.jsonl, from a fixed seed, are checked; then each is changed
 * a little, as bytes and as a value, and whatever of that the grammar takes must match, too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/json_write.h"
#include "base/random.h"
#include "base/sys.h"
#include "format/schema/schema.h"
#include "predict/local/follower.h"
#include "unit/predict/local/runtime_fake.h"

#define FILE_BYTES_MAX ((size_t)1024 * 1024)
#define TEXT_BYTES_MAX 3000
#define CLOSING_FROM 40 /* bytes after which a text is led to its end */
#define TEXTS 12        /* of each schema */
#define CHANGES 24      /* of each text */
#define SCHEMAS_MIN 200 /* in the file */

/* One schema of the file. */
struct subject {
    const char *name;
    struct constraint *constraint;
    struct schema *schema;
};

struct world {
    struct fake_runtime *fake;
    struct constraints *constraints;
    struct arena arena; /* of the file */
    yyjson_val **line;
    size_t line_count;
    uint64_t seed;
    /* What was seen, over all subjects. */
    size_t texts, complete, refused, taken;
};

static void lines_read(struct world *w)
{
    struct buf text = BUF_INIT(FILE_BYTES_MAX);
    struct error e = { 0 };
    size_t at;

    assert_int_equal(sys_read_file(TESTS_DIR "/schema/schemas.jsonl", FILE_BYTES_MAX, &text, &e),
                     0);
    struct str rest = buf_str(&text);
    while (rest.len) {
        size_t end = str_find(rest, STR("\n"));
        w->line = mem_list_grow(w->line, w->line_count, sizeof(yyjson_val *));
        w->line[w->line_count] = json_parse(&w->arena, str_sub(rest, 0, end), &at, &e);
        assert_non_null(w->line[w->line_count++]);
        rest = str_sub(rest, end + 1, rest.len);
    }
    buf_release(&text);
}

static int open_world(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    w->fake = fake_open(64, 1, 64);
    w->constraints = constraints_new(&w->fake->base);
    w->seed = 16;
    lines_read(w);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;

    constraints_free(w->constraints);
    w->fake->base.ops->close(&w->fake->base);
    arena_release(&w->arena);
    mem_free(w->line);
    mem_free(w);
    return 0;
}

static void subject_open(struct world *w, yyjson_val *line, struct subject *out)
{
    bool google = yyjson_is_true(json_get(line, "google"));
    yyjson_val *written = json_get(line, "schema");
    const struct generation g = {
        .form = ANSWER_JSON,
        .schema_path = "schema",
        .schema = google ? written : NULL,
        .json_schema = google ? NULL : written,
    };
    struct violation refused = { 0 };
    struct schema_fault why = { 0 };

    out->name = json_str(json_get(line, "name")).p;
    if (constraint_of(w->constraints, &(struct request){ .generation = g }, &out->constraint,
                      &refused) < 0)
        fail_msg("%s: %s: %s", out->name, refused.path, refused.message);
    out->schema = schema_read(written, google ? SCHEMA_GOOGLE : SCHEMA_JSON, SCHEMA_CHECK, &why);
    if (!out->schema)
        fail_msg("%s: %s: %s", out->name, why.path, why.message);
}

static void subject_close(struct subject *s)
{
    schema_free(s->schema);
    constraint_release(s->constraint);
}

static uint32_t below(struct world *w, uint32_t limit)
{
    return (uint32_t)(random_next(&w->seed) % limit);
}

/* ---- Texts of the grammar ---- */

/* One of the allowed tokens: mostly letters of ASCII, and what closes something once a text is long. */
static int32_t token_draw(struct world *w, const uint32_t *mask, size_t len)
{
    static const char closing[] = "\"]}";
    int32_t allowed[FAKE_VOCAB];
    uint32_t count = 0, first = 0;
    bool close = len > CLOSING_FROM && below(w, 4) > 0;

    for (int32_t i = 0; i < FAKE_VOCAB; i++) {
        if (!(mask[i / 32] >> (i % 32) & 1))
            continue;
        if (close && (i == FAKE_END || strchr(closing, i)))
            return i;
        allowed[count++] = i;
        first += i < 0x80;
    }
    return count ? allowed[below(w, first && below(w, 8) ? first : count)] : -1;
}

/* A text that the grammar lets through; false when it grew too long. */
static bool text_draw(struct world *w, const struct subject *s, struct buf *out)
{
    struct follower *f = follower_new(s->constraint);
    struct error e = { 0 };
    bool ended = false;

    buf_clear(out);
    while (!ended && out->len < TEXT_BYTES_MAX && !follower_complete(f)) {
        const uint32_t *mask = follower_mask(f, &e);
        int32_t token = mask ? token_draw(w, mask, out->len) : -1;
        if (token < 0)
            fail_msg("%s: after %.*s nothing may follow: %s", s->name, STR_ARG(buf_str(out)),
                     e.msg);
        if (!follower_allows(f, token))
            continue; /* it would repeat a name; the set lacks it now */
        ended = token == FAKE_END;
        if (!ended)
            buf_add_char(out, (char)token);
        if (follower_accept(f, token, &e) < 0)
            fail_msg("%s: after %.*s: %s", s->name, STR_ARG(buf_str(out)), e.msg);
    }
    ended = ended || follower_complete(f);
    follower_free(f);
    return ended;
}

/* True when the grammar takes the text as a whole answer. */
static bool is_taken(const struct subject *s, struct str text)
{
    struct follower *f = follower_new(s->constraint);
    struct error e = { 0 };
    bool ok = true;

    for (size_t i = 0; ok && i < text.len; i++) {
        int32_t token = (unsigned char)text.p[i];
        ok = token != FAKE_END && follower_allows(f, token) && follower_accept(f, token, &e) == 0;
    }
    ok = ok && (follower_complete(f) || follower_allows(f, FAKE_END));
    follower_free(f);
    return ok;
}

/* True when the text is JSON, no name repeats, and it matches. */
static bool is_valid(const struct subject *s, struct str text, struct schema_fault *why)
{
    struct arena a = { 0 };
    struct buf path = BUF_INIT(256);
    struct error e = { 0 };
    size_t at;

    yyjson_val *v = json_parse(&a, text, &at, &e);
    bool ok = v && json_check(v, &path, &e) == 0 && schema_matches(s->schema, v, why);
    buf_release(&path);
    arena_release(&a);
    return ok;
}

/* ---- Changes ---- */

static void change_bytes(struct world *w, struct str text, struct buf *out)
{
    static const char bytes[] = "0123456789\"abcxyz{}[],:-.+eE trufalsn\\";
    size_t at = below(w, (uint32_t)text.len);
    uint32_t how = below(w, 4);

    buf_clear(out);
    buf_add_str(out, str_sub(text, 0, at));
    if (how < 2)
        buf_add_char(out, bytes[below(w, sizeof bytes - 1)]);
    if (how == 3)
        buf_add_str(out, str_sub(text, at, 1));
    buf_add_str(out, str_sub(text, at + (how != 0 && how != 3), text.len));
}

static size_t values_in(yyjson_val *v)
{
    size_t count = 1, i, max;
    yyjson_val *key, *sub;

    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, max, sub) count += values_in(sub);
    } else if (yyjson_is_obj(v)) {
        yyjson_obj_foreach(v, i, max, key, sub) count += values_in(sub);
    }
    return count;
}

enum change { CHANGE_REPLACE, CHANGE_DROP, CHANGE_MORE, CHANGES_OF_VALUES };
struct changing {
    struct json_writer json;
    enum change how;
    size_t at; /* values before the one that changes */
    uint32_t pick;
};

static void write_instead(struct changing *c, const char *key)
{
    static const struct str values[] = {
        STR_INIT("null"),    STR_INIT("true"), STR_INIT("0"),    STR_INIT("-1"),
        STR_INIT("1000000"), STR_INIT("0.5"),  STR_INIT("\"\""), STR_INIT("\"zz zz zz zz\""),
        STR_INIT("[]"),      STR_INIT("{}"),   STR_INIT("[1]"),  STR_INIT("{\"a\": 1}"),
    };

    json_add_raw(&c->json, key, values[c->pick % ARRAY_LEN(values)]);
}

/* The value as the engine would write it, but for one change. */
static void write_changed(struct changing *c, yyjson_val *v)
{
    bool here = c->at-- == 0;
    size_t i, max;
    yyjson_val *key, *sub;

    if (here && c->how == CHANGE_REPLACE) {
        write_instead(c, NULL);
    } else if (yyjson_is_arr(v)) {
        json_array(&c->json, NULL);
        yyjson_arr_foreach(v, i, max, sub)
        {
            if (!here || c->how != CHANGE_DROP || i != c->pick % max)
                write_changed(c, sub);
        }
        if (here && c->how == CHANGE_MORE)
            write_instead(c, NULL);
        json_end(&c->json);
    } else if (yyjson_is_obj(v)) {
        json_object(&c->json, NULL);
        yyjson_obj_foreach(v, i, max, key, sub)
        {
            if (here && c->how == CHANGE_DROP && i == c->pick % max)
                continue;
            json_key(&c->json, json_str(key));
            write_changed(c, sub);
        }
        if (here && c->how == CHANGE_MORE)
            write_instead(c, "zz");
        json_end(&c->json);
    } else {
        json_add_value(&c->json, NULL, v);
    }
}

static void change_value(struct world *w, struct str text, struct buf *out)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    size_t at;

    buf_clear(out);
    yyjson_val *v = json_parse(&a, text, &at, &e);
    assert_non_null(v);
    struct changing c = { .json = JSON_WRITER(out),
                          .how = (enum change)below(w, CHANGES_OF_VALUES),
                          .at = below(w, (uint32_t)values_in(v)),
                          .pick = below(w, 1000) };
    c.json.spaced = true;
    write_changed(&c, v);
    arena_release(&a);
}

/* ---- The tests ---- */

static void changes_try(struct world *w, const struct subject *s, struct str text)
{
    struct buf changed = BUF_INIT((size_t)4 * TEXT_BYTES_MAX);
    struct schema_fault why = { 0 };

    for (int i = 0; i < CHANGES; i++) {
        if (i % 2)
            change_bytes(w, text, &changed);
        else
            change_value(w, text, &changed);
        if (!is_taken(s, buf_str(&changed))) {
            w->refused++;
            continue;
        }
        w->taken++;
        if (!is_valid(s, buf_str(&changed), &why))
            fail_msg("%s: the grammar takes %.*s: %s %s", s->name, STR_ARG(buf_str(&changed)),
                     why.path, why.message);
    }
    buf_release(&changed);
}

static void subject_try(struct world *w, const struct subject *s)
{
    struct buf text = BUF_INIT((size_t)2 * TEXT_BYTES_MAX);
    struct schema_fault why = { 0 };

    for (int i = 0; i < TEXTS; i++) {
        w->texts++;
        if (!text_draw(w, s, &text))
            continue;
        w->complete++;
        if (!is_valid(s, buf_str(&text), &why))
            fail_msg("%s: the grammar writes %.*s: %s %s", s->name, STR_ARG(buf_str(&text)),
                     why.path, why.message);
        if (!is_taken(s, buf_str(&text)))
            fail_msg("%s: %.*s was written and is not taken", s->name, STR_ARG(buf_str(&text)));
        changes_try(w, s, buf_str(&text));
    }
    buf_release(&text);
}

static void test_the_grammar_writes_nothing_that_the_check_refuses(void **state)
{
    struct world *w = *state;

    assert_true(w->line_count >= SCHEMAS_MIN);
    for (size_t i = 0; i < w->line_count; i++) {
        struct subject s;
        subject_open(w, w->line[i], &s);
        subject_try(w, &s);
        subject_close(&s);
    }
    print_message("%zu of %zu texts are complete; of their changes %zu are refused, %zu taken\n",
                  w->complete, w->texts, w->refused, w->taken);
    /* Enough of each, so that nothing passes by being cut or by chance. */
    assert_true(w->complete >= w->texts - w->texts / 20);
    assert_true(w->refused > w->complete && w->taken > w->complete);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_the_grammar_writes_nothing_that_the_check_refuses,
                                        open_world, close_world),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
