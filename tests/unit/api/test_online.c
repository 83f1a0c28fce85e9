/* Goal: online calls answer as Google's do, in each form of reply, and a name from outside stays one JSON
 * string. Method: the whole service with a fake model, over a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"
#include "base/metric.h"
#include "base/thread.h"

#include "unit/api/service_case.h"

#define HELLO "{'contents':[{'role':'user','parts':[{'text':'Hello you'}]}]}"
#define PLACE "/v1/projects/p1/locations/us-central1"
#define PUBLISHED PLACE "/publishers/google/models/gemini-2.5-flash"
#define FLASH "/v1beta/models/gemini-2.5-flash"
#define TEXT_AT "candidates.0.content.parts.0.text"

static void test_a_models_name_cannot_break_the_json_of_its_resource(void **state)
{
    static const struct {
        const char *path, *name;
    } cases[] = {
        { "/v1beta/models/gemini-%22x", "models/gemini-\"x" },
        { "/v1beta/models/gemini-%5Cx", "models/gemini-\\x" },
        { "/v1beta/models/gemini-%22,%22a%22:%22b", "models/gemini-\",\"a\":\"b" },
        { "/v1beta1/publishers/google/models/gemini-%22x", "publishers/google/models/gemini-\"x" },
        { "/v1beta1/publishers/google/models/gemini-%0Ax", "publishers/google/models/gemini-\nx" },
        { "/v1/publishers/a%22b/models/gemini-x", "publishers/a\"b/models/gemini-x" },
        { PLACE "/models/gemini-%22x", "projects/p1/locations/us-central1/models/gemini-\"x" },
    };
    struct serving *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)ask(w, "GET", cases[i].path, "");
        assert_asked(w, 200);
        assert_string_equal(answer_text(w, "name"), cases[i].name);
    }
}

static size_t numbers_at(struct serving *w, const char *pointer)
{
    yyjson_doc *doc = yyjson_read(w->body.p, w->body.len, 0);
    size_t count = yyjson_arr_size(yyjson_doc_ptr_get(doc, pointer));

    yyjson_doc_free(doc);
    return count;
}

static void test_models_are_listed_in_the_words_of_each_dialect(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "GET", "/v1beta/models", "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "models.0.name"), "models/slow");
    assert_string_equal(answer_text(w, "models.0.description"), "slow");
    assert_string_equal(answer_text(w, "models.1.supportedGenerationMethods.2"),
                        "batchGenerateContent");
    (void)ask(w, "GET", "/v1beta1/publishers/google/models", "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "publisherModels.0.name"), "publishers/google/models/slow");
    assert_string_equal(answer_text(w, "publisherModels.0.launchStage"), "GA");
}

/* Two pages of one model have each model of a page of two, once. */
static void test_a_list_of_models_comes_in_pages(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "GET", "/v1beta/models?pageSize=2", "");
    assert_string_equal(answer_text(w, "nextPageToken"), "2");
    const char *second = joined(w, "%s", answer_text(w, "models.1.name"));
    (void)ask(w, "GET", "/v1beta/models?pageSize=1&pageToken=1", "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "models.0.name"), second);
    assert_int_equal(numbers_at(w, "/models"), 1);
    (void)ask(w, "GET", "/v1beta/models?pageToken=100000", "");
    assert_asked(w, 200);
    assert_int_equal(numbers_at(w, "/models"), 0);
    assert_true(str_find(w->body, STR("nextPageToken")) == SIZE_MAX);
    (void)ask(w, "GET", "/v1beta/models?pageToken=x", "");
    assert_failed(w, 400, "INVALID_ARGUMENT", "pageToken");
}

static void test_tuned_models_are_found_by_name_and_not_listed(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "GET", "/v1beta/tunedModels/gemini-mine", "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "name"), "tunedModels/gemini-mine");
    static const char *const lists[] = { "/v1/tunedModels?pageSize=3", PLACE "/models?filter=x" };
    for (size_t i = 0; i < ARRAY_LEN(lists); i++) {
        (void)ask(w, "GET", lists[i], "");
        assert_asked(w, 200);
        assert_string_equal(joined(w, "%.*s", STR_ARG(w->body)), "{}");
    }
}

/* A pattern stands for the published names that it matches. */
static void test_a_pattern_is_listed_as_the_names_that_it_matches(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "GET", "/v1beta/models", "");
    assert_true(str_find(w->body, STR("\"models/gemini-2.5-flash\"")) < SIZE_MAX);
    assert_true(str_find(w->body, STR("*")) == SIZE_MAX);
}

static void test_a_tuned_model_says_what_it_was_made_from(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "GET", PLACE "/models/777", "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "displayName"), "777");
    assert_string_equal(answer_text(w, "modelSourceInfo.sourceType"), "GENIE");
}

static void test_a_request_is_answered_in_the_form_that_was_asked_for(void **state)
{
    static const struct {
        const char *path, *type, *text_at;
    } cases[] = {
        { FLASH ":generateContent", "application/json", TEXT_AT },
        { PUBLISHED ":generateContent", "application/json", TEXT_AT },
        { PLACE "/endpoints/777:generateContent", "application/json", TEXT_AT },
        { "/v1/publishers/google/models/gemini-2.5-flash:generateContent", "application/json",
          TEXT_AT },
        { PLACE "/publishers/meta/models/gemini-x-maas:generateContent", "application/json",
          TEXT_AT },
        { "/v1/publishers/meta/models/gemini-x-maas:generateContent", "application/json", TEXT_AT },
        { FLASH ":streamGenerateContent", "application/json", "0." TEXT_AT },
        { FLASH ":streamGenerateContent?alt=sse", "text/event-stream", TEXT_AT },
        { PUBLISHED ":streamGenerateContent?$alt=sse", "text/event-stream", TEXT_AT },
    };
    struct serving *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)ask(w, "POST", cases[i].path, HELLO);
        assert_asked(w, 200);
        assert_true(str_find(w->head, str_of(cases[i].type)) < SIZE_MAX);
        if (str_starts(w->body, STR("data: "))) {
            assert_true(str_ends(w->body, STR("\r\n\r\n")));
            w->body = str_sub(w->body, sizeof "data: " - 1, w->body.len);
        } else if (str_starts(w->body, STR("[")))
            assert_true(str_ends(w->body, STR("]"))); /* google-api-core takes nothing after it */
        assert_true(strlen(answer_text(w, cases[i].text_at)) > 0);
    }
}

#define EMBEDDER "gemini-embedding-001"
#define ONE_TEXT                                                                                   \
    "{'model':'models/x','content':{'parts':[{'text':'a b'}]},'outputDimensionality':3}"

static void test_texts_are_embedded_by_each_of_googles_calls(void **state)
{
    static const char predict[] =
        "{'instances':[{'content':'a b','task_type':'RETRIEVAL_QUERY','title':'t'},"
        "{'content':'c'}],'parameters':{'outputDimensionality':3}}";
    static const struct {
        const char *path, *body, *values_at;
    } cases[] = {
        { "/v1beta/models/" EMBEDDER ":embedContent", ONE_TEXT, "/embedding/values" },
        { PLACE "/publishers/google/models/" EMBEDDER ":embedContent",
          "{'content':{'parts':[{'text':'a'}]},'embedContentConfig':{'outputDimensionality':3}}",
          "/embedding/values" },
        { "/v1/models/" EMBEDDER ":batchEmbedContents", "{'requests':[" ONE_TEXT "," ONE_TEXT "]}",
          "/embeddings/1/values" },
        { PLACE "/publishers/google/models/" EMBEDDER ":predict", predict,
          "/predictions/1/embeddings/values" },
        { PLACE "/endpoints/777:predict", predict, "/predictions/0/embeddings/values" },
        { PLACE "/publishers/intfloat/models/gemini-e5-maas:embedContent", ONE_TEXT,
          "/embedding/values" },
        { "/v1beta1/publishers/google/models/" EMBEDDER ":predict", predict,
          "/predictions/0/embeddings/values" },
    };
    struct serving *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)ask(w, "POST", cases[i].path, cases[i].body);
        assert_asked(w, 200);
        assert_int_equal(numbers_at(w, cases[i].values_at), 3);
        if (!str_ends(str_of(cases[i].path), STR(":predict")))
            assert_int_equal(numbers_at(w, "/usageMetadata/promptTokensDetails"), 1);
    }
    (void)ask(w, "POST", "/v1/models/" EMBEDDER ":batchEmbedContents",
              "{'requests':[" ONE_TEXT "," ONE_TEXT "]}");
    assert_true(str_find(w->body, STR("\"promptTokenCount\":4,")) < SIZE_MAX); /* of both */
    (void)ask(w, "POST", PLACE "/publishers/google/models/" EMBEDDER ":predict", predict);
    assert_true(str_find(w->body, STR("\"statistics\":{\"truncated\":false,\"token_count\":2}")) <
                SIZE_MAX);
}

static void test_a_call_to_embed_says_which_of_its_texts_is_wrong(void **state)
{
    static const struct {
        const char *path, *body, *words;
    } cases[] = {
        { ":embedContent", "{'content':'a text'}", "content: content must be an object" },
        { ":embedContent", HELLO, "content is missing" },
        { ":batchEmbedContents", "{}", "requests: There are 0" },
        { ":batchEmbedContents", "{'requests':[" ONE_TEXT ",{'content':{}}]}",
          "requests[1]: content: " },
        { ":predict", "{'instances':[{'prompt':'a'}]}", "instances[0].content: The text to embed" },
        { ":predict", "{'instances':[{'content':'a','task_type':'X'}]}",
          "instances[0]: taskType: " },
    };
    struct serving *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)ask(w, "POST",
                  joined(w, PLACE "/publishers/google/models/" EMBEDDER "%s", cases[i].path),
                  cases[i].body);
        assert_failed(w, 400, "INVALID_ARGUMENT", cases[i].words);
    }
    (void)ask(w, "POST", "/v1beta/models/nope:embedContent", ONE_TEXT);
    assert_failed(w, 404, "NOT_FOUND", "models/nope is not found");
}

static void test_a_call_may_have_250_texts_and_no_more(void **state)
{
    struct serving *w = *state;
    struct buf body = BUF_INIT(64 * 1024);

    for (int count = 250; count <= 251; count++) {
        buf_clear(&body);
        buf_add_c(&body, "{'instances':[");
        for (int i = 0; i < count; i++)
            buf_addf(&body, "%s{'content':'text %d'}", i ? "," : "", i);
        buf_add_c(&body, "]}");
        buf_add_char(&body, '\0');
        (void)ask(w, "POST", PLACE "/publishers/google/models/" EMBEDDER ":predict", body.p);
        assert_asked(w, count == 250 ? 200 : 400);
    }
    buf_release(&body);
}

static void test_requests_that_cannot_be_answered_are_refused(void **state)
{
    static const struct {
        const char *path, *body;
        int status;
        const char *name, *words;
    } cases[] = {
        { "/v1beta/models/nope:generateContent", HELLO, 404, "NOT_FOUND",
          "models/nope is not found for API version v1beta" },
        { PLACE "/publishers/google/models/nope:countTokens", HELLO, 404, "NOT_FOUND",
          "models/nope is not found" },
        { "/v1beta/models/no%22pe:generateContent", HELLO, 404, "NOT_FOUND", "models/no\"pe" },
        { FLASH ":generateContent", "{", 400, "INVALID_ARGUMENT", "" },
        { FLASH ":generateContent", "{'contents':[{'role':'someone','parts':[{'text':'a'}]}]}", 400,
          "INVALID_ARGUMENT", "contents[0].role" },
        { FLASH ":generateContent", "{'content':{'parts':[{'text':'a'}]}}", 400, "INVALID_ARGUMENT",
          "" },
    };
    struct serving *w = *state;

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)ask(w, "POST", cases[i].path, cases[i].body);
        assert_failed(w, cases[i].status, cases[i].name, cases[i].words);
    }
}

static void test_a_key_asks_under_its_own_project_only(void **state)
{
    struct serving *w = *state;
    const char *header = key_header(w, "p2", ROLE_SUBMITTER);

    (void)ask_with(w, "POST", PUBLISHED ":generateContent", header, HELLO);
    assert_failed(w, 403, "PERMISSION_DENIED", "aiplatform.endpoints.predict");
    (void)ask_with(w, "POST", FLASH ":generateContent", header, HELLO);
    assert_asked(w, 200);
    (void)ask_with(w, "POST", "/v1/publishers/meta/models/gemini-x:generateContent", header, HELLO);
    assert_asked(w, 200); /* a publisher is no project */
}

static uint64_t count_at(struct serving *w, const char *key)
{
    return yyjson_get_uint(json_get(answer(w), key));
}

static void test_tokens_are_counted_with_or_without_a_wrapper(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "POST", FLASH ":countTokens", HELLO);
    assert_asked(w, 200);
    uint64_t tokens = count_at(w, "totalTokens");
    assert_true(tokens > 0);
    assert_null(json_get(answer(w), "totalBillableCharacters"));
    assert_string_equal(answer_text(w, "promptTokensDetails.0.modality"), "TEXT");
    (void)ask(w, "POST", FLASH ":countTokens", "{'generateContentRequest':" HELLO "}");
    assert_asked(w, 200);
    assert_int_equal(count_at(w, "totalTokens"), tokens);
}

/* White space is not billed: "Hello you" has 8 other characters. */
static void test_vertex_counts_billable_characters(void **state)
{
    struct serving *w = *state;

    (void)ask(w, "POST", PUBLISHED ":countTokens", HELLO);
    assert_asked(w, 200);
    assert_int_equal(count_at(w, "totalBillableCharacters"), 8);
}

/* ---- A client that leaves ---- */

static struct {
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    int arrived; /* requests whose model was looked up */
    bool open;
} gate;

/* Holds the first request until the gate opens: the service does not know its call yet. */
static void wait_at_gate(const char *name)
{
    (void)name;
    lock(&gate.lock);
    bool first = gate.arrived++ == 0;
    cond_broadcast(&gate.changed);
    while (first && !gate.open)
        cond_wait(&gate.changed, &gate.lock);
    unlock(&gate.lock);
}

static void wait_arrived(int count)
{
    lock(&gate.lock);
    while (gate.arrived < count)
        cond_wait(&gate.changed, &gate.lock);
    unlock(&gate.lock);
}

static void send_and_leave(const struct serving *w, int arrived)
{
    static const char text[] =
        "POST /v1beta/models/slow:generateContent HTTP/1.1\r\nHost: localhost\r\n"
        "Content-Length: 43\r\n\r\n{\"contents\":[{\"parts\":[{\"text\":\"Hello\"}]}]}";
    int fd = serving_connect(w);

    assert_int_equal(write(fd, text, sizeof text - 1), sizeof text - 1);
    wait_arrived(arrived);
    (void)close(fd);
}

static void wait_dropped(uint64_t count)
{
    const struct metric *m =
        metric_counter("tranche_http_requests_total",
                       "HTTP requests that were answered, or whose client left", "code=\"499\"");
    struct clock *clock = clock_system();

    for (int i = 0; i < 4000 && metric_value(m) < count; i++)
        clock->sleep_ns(clock, 5 * NS_PER_MS);
    assert_int_equal(metric_value(m), count);
}

/* The second call is dropped by a look at all connections, which saw the first one, too. The slow model would
 * answer both after a minute. */
static void test_a_client_that_leaves_before_the_model_has_its_call_is_dropped(void **state)
{
    struct serving *w = *state;

    lock_init(&gate.lock);
    cond_init(&gate.changed);
    serving_looks = wait_at_gate;
    send_and_leave(w, 1);
    send_and_leave(w, 2);
    wait_dropped(1);
    lock(&gate.lock);
    gate.open = true;
    cond_broadcast(&gate.changed);
    unlock(&gate.lock);
    wait_dropped(2);
    serving_looks = NULL;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(test_a_models_name_cannot_break_the_json_of_its_resource),
        ONE(test_models_are_listed_in_the_words_of_each_dialect),
        ONE(test_a_list_of_models_comes_in_pages),
        ONE(test_tuned_models_are_found_by_name_and_not_listed),
        ONE(test_a_pattern_is_listed_as_the_names_that_it_matches),
        ONE(test_a_tuned_model_says_what_it_was_made_from),
        ONE(test_a_request_is_answered_in_the_form_that_was_asked_for),
        ONE(test_texts_are_embedded_by_each_of_googles_calls),
        ONE(test_a_call_to_embed_says_which_of_its_texts_is_wrong),
        ONE(test_a_call_may_have_250_texts_and_no_more),
        ONE(test_requests_that_cannot_be_answered_are_refused),
        ONE(test_a_key_asks_under_its_own_project_only),
        ONE(test_a_client_that_leaves_before_the_model_has_its_call_is_dropped),
        ONE(test_tokens_are_counted_with_or_without_a_wrapper),
        ONE(test_vertex_counts_billable_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
