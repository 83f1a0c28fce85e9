/* Goal: a request's answer is the same, byte by byte, whatever else is computed with it, on however many
 * threads, and also after its sequence was taken away. Method: the small model on its native runtime;
 * requests alone and in batches under several plans; what a client reads of the answers is compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/json.h"
#include "conform/predict/request_make.h"
#include "predict/predictor.h"
#include "unit/predict/local/local_model.h"

#define ANSWER_MS 120000
#define REQUESTS 8
#define ANSWER_BYTES 4096
#define SYSTEM                                                                                     \
    "\"systemInstruction\":{\"parts\":[{\"text\":\"You are a careful assistant who answers in "    \
    "plain words, names one example and then stops.\"}]},"
#define REQUEST(system, text, config)                                                              \
    "{" system "\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"" text                     \
    "\"}]}],\"generationConfig\":{\"maxOutputTokens\":24," config "}}"

static const char *const requests[REQUESTS] = {
    REQUEST(SYSTEM, "What is a river?", "\"temperature\":0"),
    REQUEST(SYSTEM, "What is a mountain?", "\"temperature\":0"),
    REQUEST(SYSTEM, "Why does it rain in the mountains?", "\"temperature\":1,\"seed\":7"),
    REQUEST("", "Name three colours.", "\"temperature\":0"),
    REQUEST("", "Name three colours of the sea, and say of each where one sees it.",
            "\"temperature\":0.7,\"seed\":3,\"topK\":20"),
    REQUEST(SYSTEM, "What is a lake?", "\"temperature\":0,\"presencePenalty\":0.5"),
    REQUEST("", "Write a list of animals.", "\"temperature\":0"),
    REQUEST(SYSTEM, "What is a river delta, and what lives there?", "\"temperature\":0"),
};

struct answers {
    char text[REQUESTS][ANSWER_BYTES];
};

static struct predictor *open_with(uint32_t sequences, uint32_t threads, uint32_t cache_mib)
{
    const struct predictor_env env = { .clock = clock_system(), .seed = 11 };
    struct model m = local_model;
    struct error e = { 0 };

    m.context = 256;
    m.sequences = sequences;
    m.threads = threads;
    m.cache_mib = cache_mib;
    struct predictor *p = predictor_local_open(&m, &env, &e);
    if (!p)
        fail_msg("%s", e.msg);
    return p;
}

/* Text, reason and probability of an answer. */
static void take(struct predictor *p, struct answers *out)
{
    struct answer a = { 0 };
    struct arena arena = { 0 };
    struct error e = { 0 };
    size_t at = 0;

    assert_int_equal(p->ops->wait(p, ANSWER_MS, &a, &e), 1);
    if (a.error.code != ERROR_OK)
        fail_msg("%s", a.error.msg);
    yyjson_val *root = json_parse(&arena, buf_str(&a.response), &at, &e);
    char *json = yyjson_val_write(yyjson_obj_get(root, "candidates"), 0, NULL);
    assert_non_null(json);
    (void)snprintf(out->text[(const char *const *)a.tag - requests], ANSWER_BYTES, "%s", json);
    free(json);
    answer_release(&a);
    arena_release(&arena);
}

static void submit(struct predictor *p, struct arena *arena, uint32_t i)
{
    struct error e = { 0 };
    union {
        const char *const *at;
        void *tag;
    } which = { .at = &requests[i] };

    if (p->ops->submit(p, request_make(arena, requests[i]), which.tag, &e) < 0)
        fail_msg("%s", e.msg);
}

/* All at once, from request `first` on. */
static void ask_together(struct predictor *p, uint32_t first, struct answers *out)
{
    struct arena arena = { 0 };

    for (uint32_t i = 0; i < REQUESTS; i++)
        submit(p, &arena, (first + i) % REQUESTS);
    for (uint32_t i = 0; i < REQUESTS; i++)
        take(p, out);
    p->ops->close(p);
    arena_release(&arena);
}

static void ask_alone(struct predictor *p, struct answers *out)
{
    struct arena arena = { 0 };

    for (uint32_t i = 0; i < REQUESTS; i++) {
        submit(p, &arena, i);
        take(p, out);
    }
    p->ops->close(p);
    arena_release(&arena);
}

static void same(const struct answers *a, const struct answers *b)
{
    for (uint32_t i = 0; i < REQUESTS; i++)
        assert_string_equal(a->text[i], b->text[i]);
}

static void test_an_answer_is_the_same_alone_and_in_any_batch(void **state)
{
    static struct answers alone, together;
    static const struct {
        uint32_t sequences, threads, cache_mib, first;
    } plans[] = {
        { 4, 1, 48, 0 },
        { 8, 2, 48, 3 },
        { 3, 3, 48, 5 },
        { 8, 1, 7, 0 }, /* no room for all: sequences are taken away and go on later */
    };

    (void)state;
    ask_alone(open_with(1, 1, 48), &alone);
    for (size_t i = 0; i < ARRAY_LEN(plans); i++) {
        ask_together(open_with(plans[i].sequences, plans[i].threads, plans[i].cache_mib),
                     plans[i].first, &together);
        same(&alone, &together);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_answer_is_the_same_alone_and_in_any_batch),
    };

    return RUN_WITH_LOCAL_MODEL(tests, NULL, NULL);
}
