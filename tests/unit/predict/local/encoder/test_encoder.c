/* Goal: texts get the vectors that sentence-transformers gives them, by both encoders, from the pieces that Hugging
 * Face's tokenizer makes; limits hold at the edge and one past it. Method: the model that set-up provides,
 * pieces and vectors that record.py wrote. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/sys.h"
#include "conform/predict/request_make.h"
#include "predict/local/encoder/encoder_llama.h"
#include "predict/local/encoder/encoder_native.h"
#include "predict/predictor.h"
#include "unit/predict/local/predictor_world.h"

#define MODEL_FILE TRANCHE_MODELS "/all-minilm-l6-v2.gguf"
#define RECORDED TESTS_DIR "/unit/predict/local/encoder/"
#define DIMENSIONS 384
#define TOKENS_MAX 256
#define FILE_BYTES_MAX ((size_t)1024 * 1024)
#define TEXTS 36

static const struct model embed_model = { .pattern = "all-minilm-l6-v2", .file = MODEL_FILE };
static const struct model plain_model = { .pattern = "all-minilm-l6-v2",
                                          .file = MODEL_FILE,
                                          .plain = true };

static int open_world(void **state)
{
    return open_world_of(&embed_model, 0, state);
}

/* ---- Recorded lines ---- */

/* The next line of a recorded file as JSON; NULL at the end. */
static yyjson_val *next_line(struct arena *a, struct str *rest)
{
    struct error e = { 0 };
    struct str line;
    size_t at;

    if (!str_next(rest, '\n', &line) || !line.len)
        return NULL;
    yyjson_val *root = json_parse(a, line, &at, &e);
    if (!root)
        fail_msg("%s", e.msg);
    return root;
}

static struct str recorded(struct arena *a, const char *path)
{
    struct buf b = BUF_INIT(FILE_BYTES_MAX);
    struct error e = { 0 };

    if (sys_read_file(path, FILE_BYTES_MAX, &b, &e) < 0)
        fail_msg("%s", e.msg);
    struct str text = { arena_copy(a, b.p, b.len), b.len };
    buf_release(&b);
    return text;
}

/* ---- Requests and vectors ---- */

/* A request to embed the text; more: members of the request, with a comma before them. */
static const struct request *embed(struct world *w, struct str text, const char *more)
{
    struct buf b = BUF_INIT(FILE_BYTES_MAX);
    struct json_writer writer = JSON_WRITER(&b);

    json_object(&writer, NULL);
    json_object(&writer, "content");
    json_object(&writer, "parts");
    json_add_text(&writer, "text", text);
    json_end(&writer);
    json_end(&writer);
    buf_add_c(&b, more);
    json_end(&writer);
    const char *json = arena_copy(&w->arena, b.p, b.len);
    buf_release(&b);
    return request_make(&w->arena, json);
}

static void submit(struct world *w, const struct request *r, void *tag)
{
    struct error e = { 0 };

    if (w->p->ops->submit(w->p, r, tag, &e) < 0)
        fail_msg("%s", e.msg);
}

static struct answer ask(struct world *w, struct str text, const char *more)
{
    submit(w, embed(w, text, more), w);
    return take(w);
}

/* The answer as JSON, in the arena. */
static yyjson_val *json_of(struct world *w, struct answer *a)
{
    struct error e = { 0 };
    size_t at;

    if (a->error.code != ERROR_OK)
        fail_msg("%s", a->error.msg);
    struct str text = { arena_copy(&w->arena, a->response.p, a->response.len), a->response.len };
    answer_release(a);
    return json_parse(&w->arena, text, &at, &e);
}

static uint32_t vector_of(yyjson_val *list, float *out)
{
    size_t i, n;
    yyjson_val *v;

    assert_true(yyjson_arr_size(list) <= DIMENSIONS);
    yyjson_arr_foreach(list, i, n, v) out[i] = (float)yyjson_get_num(v);
    return (uint32_t)n;
}

static uint32_t embedded(struct world *w, const char *text, const char *more, float *out)
{
    struct answer a = ask(w, str_of(text), more);

    return vector_of(yyjson_ptr_get(json_of(w, &a), "/embedding/values"), out);
}

static double cosine(const float *a, const float *b, uint32_t count)
{
    double product = 0, one = 0, other = 0;

    for (uint32_t i = 0; i < count; i++) {
        product += (double)a[i] * (double)b[i];
        one += (double)a[i] * (double)a[i];
        other += (double)b[i] * (double)b[i];
    }
    return product / sqrt(one * other);
}

/* "word word ..." of so many words, each one piece. */
static struct str words(struct world *w, uint32_t count)
{
    char *text = arena_alloc(&w->arena, (size_t)count * 5 + 1);

    for (uint32_t i = 0; i < count; i++)
        memcpy(text + (size_t)i * 5, "word ", 5);
    return (struct str){ text, (size_t)count * 5 };
}

/* ---- Tests ---- */

static void test_pieces_are_those_of_hugging_faces_tokenizer(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct encoder *c = encoder_native_open(&embed_model, &e);
    struct str rest = recorded(&w->arena, RECORDED "pieces.jsonl");
    yyjson_val *line;
    uint32_t lines = 0;

    assert_non_null(c);
    for (; (line = next_line(&w->arena, &rest)); lines++) {
        struct tokens t = { 0 };
        yyjson_val *ids = json_get(line, "ids"), *id;
        size_t i, n;
        assert_int_equal(c->ops->tokenize(c, json_str(json_get(line, "text")), &t, &e), 0);
        yyjson_arr_foreach(ids, i, n, id)
        {
            if (i >= t.count || t.item[i] != yyjson_get_int(id))
                fail_msg("line %u, piece %zu: %d, not %d", lines + 1, i,
                         i < t.count ? t.item[i] : -1, yyjson_get_int(id));
        }
        assert_int_equal(t.count, n);
        tokens_release(&t);
    }
    assert_true(lines > 40);
    c->ops->close(c);
}

static void test_vectors_are_those_of_sentence_transformers(void **state)
{
    struct world *w = *state;
    struct str rest = recorded(&w->arena, RECORDED "vectors.jsonl");
    yyjson_val *line, *lines[TEXTS];
    uint32_t count = 0;

    while ((line = next_line(&w->arena, &rest))) {
        assert_true(count < TEXTS);
        lines[count] = line;
        submit(w, embed(w, json_str(json_get(line, "text")), ""), &lines[count++]);
    }
    assert_int_equal(count, TEXTS);
    for (uint32_t i = 0; i < count; i++) {
        float expected[DIMENSIONS], found[DIMENSIONS];
        struct answer a = take(w);
        yyjson_val *of = *(yyjson_val **)a.tag;
        assert_int_equal(vector_of(json_get(of, "vector"), expected), DIMENSIONS);
        assert_int_equal(vector_of(yyjson_ptr_get(json_of(w, &a), "/embedding/values"), found),
                         DIMENSIONS);
        double c = cosine(expected, found, DIMENSIONS);
        if (c < 0.999)
            fail_msg("%.60s: %f", json_str(json_get(of, "text")).p, c);
    }
}

/* Any encoder that libllama has serves in the same way; this one can be compared. */
static void test_libllama_computes_the_same(void **state)
{
    struct world *w = *state;
    struct error e = { 0 };
    struct encoder *c[] = { encoder_native_open(&embed_model, &e),
                            encoder_llama_open(&plain_model, &e) };
    const char *const text[] = { "The cat sits outside", "A man is playing guitar; nobody listens.",
                                 "ok" };
    float out[ARRAY_LEN(c)][ARRAY_LEN(text)][DIMENSIONS];

    (void)w;
    for (size_t k = 0; k < ARRAY_LEN(c); k++) {
        struct tokens t[ARRAY_LEN(text)] = { { 0 } };
        struct encoder_text in[ARRAY_LEN(text)];
        struct encoder_info info;
        assert_non_null(c[k]);
        c[k]->ops->info(c[k], &info);
        assert_int_equal(info.dimensions, DIMENSIONS);
        assert_int_equal(info.tokens_max, TOKENS_MAX);
        for (size_t i = 0; i < ARRAY_LEN(text); i++) {
            assert_int_equal(c[k]->ops->tokenize(c[k], str_of(text[i]), &t[i], &e), 0);
            in[i] = (struct encoder_text){ t[i].item, t[i].count };
        }
        assert_int_equal(c[k]->ops->forward(c[k], in, ARRAY_LEN(text), out[k][0], &e), 0);
        for (size_t i = 0; i < ARRAY_LEN(text); i++)
            tokens_release(&t[i]);
        c[k]->ops->close(c[k]);
    }
    for (size_t i = 0; i < ARRAY_LEN(text); i++)
        assert_true(cosine(out[0][i], out[1][i], DIMENSIONS) > 0.999);
}

static void test_a_vector_does_not_depend_on_the_texts_beside_it(void **state)
{
    struct world *w = *state;
    struct answer alone = ask(w, STR("A man is playing guitar"), "");
    struct buf response = { 0 };

    for (uint32_t i = 0; i < 200; i++)
        submit(w, embed(w, i == 77 ? STR("A man is playing guitar") : words(w, 1 + i), ""),
               i == 77 ? w : NULL);
    for (uint32_t i = 0; i < 200; i++) {
        struct answer a = take(w);
        if (a.tag == w)
            response = a.response;
        else
            answer_release(&a);
    }
    assert_true(str_eq(buf_str(&alone.response), buf_str(&response)));
    answer_release(&alone);
    buf_release(&response);
}

static void test_texts_that_mean_alike_are_near(void **state)
{
    struct world *w = *state;
    float password[DIMENSIONS], login[DIMENSIONS], pizza[DIMENSIONS];

    (void)embedded(w, "How do I reset my password?", "", password);
    (void)embedded(w, "I forgot my login; what can I do?", "", login);
    (void)embedded(w, "Do you like pizza?", "", pizza);
    assert_true(cosine(password, login, DIMENSIONS) > 0.5);
    assert_true(cosine(password, pizza, DIMENSIONS) < 0.2);
}

static void test_fewer_dimensions_are_the_first_ones_at_length_one(void **state)
{
    struct world *w = *state;
    float all[DIMENSIONS], some[DIMENSIONS];
    double length = 0;

    (void)embedded(w, "The cat sits outside", "", all);
    assert_int_equal(embedded(w, "The cat sits outside", ",\"outputDimensionality\":100", some),
                     100);
    for (uint32_t i = 0; i < 100; i++)
        length += (double)some[i] * (double)some[i];
    assert_true(fabs(length - 1.0) < 1e-5);
    assert_true(cosine(all, some, 100) > 0.999999);
    assert_int_equal(embedded(w, "x", ",\"outputDimensionality\":384", all), DIMENSIONS);
    struct violation why;
    assert_false(
        w->p->ops->accepts(w->p, embed(w, STR("x"), ",\"outputDimensionality\":385"), &why));
    assert_string_equal(why.path, "outputDimensionality");
    assert_non_null(strstr(why.message, "all-minilm-l6-v2 has 384"));
}

static void test_a_text_over_the_models_tokens_is_cut_and_says_so(void **state)
{
    struct world *w = *state;
    static const char *const no_cut = ",\"autoTruncate\":false";
    struct answer a = ask(w, words(w, TOKENS_MAX - 2), no_cut);
    yyjson_val *root = json_of(w, &a);

    assert_string_equal(yyjson_get_str(json_get(root, "tokenCount")), "256");
    assert_null(json_get(root, "truncated"));
    a = ask(w, words(w, TOKENS_MAX - 1), "");
    root = json_of(w, &a);
    assert_string_equal(yyjson_get_str(json_get(root, "tokenCount")), "256");
    assert_true(yyjson_is_true(json_get(root, "truncated")));
    a = ask(w, words(w, TOKENS_MAX - 1), no_cut);
    assert_int_equal(a.error.code, ERROR_INVALID_ARGUMENT);
    assert_non_null(
        strstr(a.error.msg, "The text has 257 tokens, but all-minilm-l6-v2 takes 256."));
    answer_release(&a);
}

static void test_a_text_without_a_word_is_an_error(void **state)
{
    struct world *w = *state;
    const struct str text[] = { STR(" \n\t"), STR("\xe2\x80\x8b") };

    for (size_t i = 0; i < ARRAY_LEN(text); i++) {
        struct answer a = ask(w, text[i], "");
        assert_int_equal(a.error.code, ERROR_INVALID_ARGUMENT);
        assert_non_null(strstr(a.error.msg, "The text is empty."));
        answer_release(&a);
    }
}

static void test_a_title_is_read_before_the_text_and_a_task_is_not(void **state)
{
    struct world *w = *state;
    float titled[DIMENSIONS], joined[DIMENSIONS], task[DIMENSIONS], plain[DIMENSIONS];

    (void)embedded(w, "It sits outside", ",\"title\":\"The cat\"", titled);
    (void)embedded(w, "The cat\nIt sits outside", "", joined);
    (void)embedded(w, "It sits outside", ",\"taskType\":\"RETRIEVAL_QUERY\"", task);
    (void)embedded(w, "It sits outside", "", plain);
    assert_memory_equal(titled, joined, sizeof titled);
    assert_memory_equal(task, plain, sizeof task);
}

static void test_what_is_not_a_text_to_embed_is_refused(void **state)
{
    struct world *w = *state;
    struct violation why;

    assert_false(w->p->ops->accepts(
        w->p, request_make(&w->arena, "{\"contents\":[{\"parts\":[{\"text\":\"x\"}]}]}"), &why));
    assert_string_equal(why.path, "contents");
    assert_false(w->p->ops->accepts(
        w->p,
        request_make(&w->arena,
                     "{\"content\":{\"parts\":[{\"text\":\"x\"},{\"inlineData\":{\"mimeType\":"
                     "\"image/png\",\"data\":\"AA==\"}}]}}"),
        &why));
    assert_string_equal(why.path, "content.parts[1]");
}

static void test_a_drained_session_answers_what_waits(void **state)
{
    struct world *w = *state;
    uint32_t answered = 0;

    for (uint32_t i = 0; i < w->p->window; i++)
        submit(w, embed(w, words(w, 40), ""), w);
    struct error e = { 0 };
    assert_int_equal(w->p->ops->submit(w->p, embed(w, STR("one more"), ""), w, &e), -1);
    assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
    w->p->ops->drain(w->p);
    for (uint32_t i = 0; i < w->p->window; i++) {
        struct answer a = take(w);
        answered += a.error.code == ERROR_OK;
        assert_true(a.error.code == ERROR_OK || a.error.code == ERROR_CANCELLED);
        answer_release(&a);
    }
    struct answer a = ask(w, STR("late"), "");
    assert_int_equal(a.error.code, ERROR_CANCELLED);
    answer_release(&a);
    assert_true(answered <= w->p->window);
}

static void test_a_request_for_a_tuned_model_is_refused(void **state)
{
    const struct adapter_list list = { { { "adapter.gguf", 1.0f, 0 } }, 1 };
    struct world *w = *state;

    w->p->ops->adapt(w->p, &list);
    struct answer a = ask(w, STR("a text"), "");
    assert_int_equal(a.error.code, ERROR_UNIMPLEMENTED);
    answer_release(&a);
    w->p->ops->adapt(w->p, NULL);
    a = ask(w, STR("a text"), "");
    assert_int_equal(a.error.code, ERROR_OK);
    answer_release(&a);
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, open_world, close_world)
    const struct CMUnitTest tests[] = {
        ONE(test_a_request_for_a_tuned_model_is_refused),
        ONE(test_pieces_are_those_of_hugging_faces_tokenizer),
        ONE(test_vectors_are_those_of_sentence_transformers),
        ONE(test_libllama_computes_the_same),
        ONE(test_a_vector_does_not_depend_on_the_texts_beside_it),
        ONE(test_texts_that_mean_alike_are_near),
        ONE(test_fewer_dimensions_are_the_first_ones_at_length_one),
        ONE(test_a_text_over_the_models_tokens_is_cut_and_says_so),
        ONE(test_a_text_without_a_word_is_an_error),
        ONE(test_a_title_is_read_before_the_text_and_a_task_is_not),
        ONE(test_what_is_not_a_text_to_embed_is_refused),
        ONE(test_a_drained_session_answers_what_waits),
    };

    if (access(MODEL_FILE, R_OK) < 0) {
        (void)fprintf(stderr, "%s is absent: run scripts/setup\n", MODEL_FILE);
        return 0;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
