/* Goal: a request that ends the model's process costs itself alone, and a file that does so is an error in words.
 * Method: this program starts itself; planted faults (TRANCHE_FAULT_CHILD), damaged files, and kills from outside. */
#define _GNU_SOURCE
#include <dirent.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/random.h"
#include "base/sandbox.h"
#include "conform/predict/request_make.h"
#include "predict/child/check.h"
#include "predict/child/predictor_child.h"
#include "scratch.h"
#include "unit/predict/local/local_model.h"
#include "unit/predict/local/tiny_model.h"

/* The address sanitizer has a handler for it, which exits. */
#ifdef __SANITIZE_ADDRESS__
#define SEGV_WORDS "ended with status 1"
#else
#define SEGV_WORDS "was killed by SIGSEGV"
#endif
#define LINES 24
#define WAIT_MS 120000

struct world {
    struct predictor *p;
    struct arena arena;
    char tag[LINES];
    unsigned answers[LINES];
    enum error_code code[LINES];
    bool final[LINES];
    char message[LINES][ERROR_MSG_BYTES];
    struct buf response[LINES];
};

static struct predictor_env env_of_test(void)
{
    return (struct predictor_env){ .clock = clock_system(), .seed = 7 };
}

static struct predictor *open_model(const struct model *m, const char *fault, const char *ms,
                                    struct error *e)
{
    const struct predictor_env env = env_of_test();

    if (fault)
        (void)setenv("TRANCHE_FAULT_CHILD", fault, 1); // NOLINT(concurrency-mt-unsafe)
    if (ms)
        (void)setenv("TRANCHE_FAULT_CHILD_MS", ms, 1); // NOLINT(concurrency-mt-unsafe)
    struct predictor *p = predictor_child_open(m, &env, e);
    (void)unsetenv("TRANCHE_FAULT_CHILD_MS"); // NOLINT(concurrency-mt-unsafe)
    return p;
}

static void begin(struct world *w, const char *fault, const char *ms)
{
    struct error e = { 0 };

    *w = (struct world){ 0 };
    w->p = open_model(&local_model, fault, ms, &e);
    if (!w->p)
        fail_msg("%s", e.msg);
}

static void end(struct world *w)
{
    w->p->ops->close(w->p);
    (void)unsetenv("TRANCHE_FAULT_CHILD"); // NOLINT(concurrency-mt-unsafe)
    for (int i = 0; i < LINES; i++)
        buf_release(&w->response[i]);
    arena_release(&w->arena);
}

static void submit_text(struct world *w, int i, const char *text)
{
    struct error e = { 0 };
    const char *json =
        arena_textf(&w->arena,
                    "{\"contents\":[{\"parts\":[{\"text\":\"%s\"}]}],"
                    "\"generationConfig\":{\"maxOutputTokens\":6,\"temperature\":0}}",
                    text);

    if (w->p->ops->submit(w->p, request_make(&w->arena, json), &w->tag[i], &e) < 0)
        fail_msg("submit: %s", e.msg);
}

/* Line i asks for a few tokens; the one that is bad says so in its text. */
static void submit(struct world *w, int i, bool bad)
{
    struct error e = { 0 };
    const char *json = arena_textf(&w->arena,
                                   "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":"
                                   "\"Line %d%s: name a fruit.\"}]}],"
                                   "\"generationConfig\":{\"maxOutputTokens\":6}}",
                                   i, bad ? " of doom" : "");

    if (w->p->ops->submit(w->p, request_make(&w->arena, json), &w->tag[i], &e) < 0)
        fail_msg("submit: %s", e.msg);
}

static void take(struct world *w)
{
    struct answer a;
    struct error e = { 0 };
    int rc = w->p->ops->wait(w->p, WAIT_MS, &a, &e);

    if (rc != 1)
        fail_msg("no answer: %s", rc < 0 ? e.msg : "time is over");
    ptrdiff_t i = (char *)a.tag - w->tag;
    assert_in_range(i, 0, LINES - 1);
    w->answers[i]++;
    w->code[i] = a.error.code;
    w->final[i] = a.final;
    (void)snprintf(w->message[i], ERROR_MSG_BYTES, "%s", a.error.msg);
    w->response[i] = a.response;
}

static uint32_t window_of(const struct world *w)
{
    return w->p->window < LINES ? w->p->window : LINES;
}

/* All lines, as many at once as the window takes. */
static void run(struct world *w, int bad)
{
    uint32_t open = 0, next = 0;

    while (next < LINES || open) {
        while (next < LINES && open < window_of(w)) {
            submit(w, (int)next, (int)next == bad);
            next++;
            open++;
        }
        take(w);
        open--;
    }
}

static void assert_only_line_fails(const struct world *w, int bad, const char *words)
{
    for (int i = 0; i < LINES; i++) {
        assert_int_equal(w->answers[i], 1);
        if (i != bad) {
            if (w->code[i] != ERROR_OK)
                fail_msg("line %d: %s", i, w->message[i]);
            continue;
        }
        assert_int_equal(w->code[i], ERROR_INTERNAL);
        assert_true(w->final[i]);
        if (!strstr(w->message[i], words))
            fail_msg("line %d: %s", i, w->message[i]);
    }
}

static struct predictor_stats stats_of(const struct world *w)
{
    struct predictor_stats now;

    w->p->ops->stats(w->p, &now);
    return now;
}

static void test_a_line_that_aborts_is_an_error_and_all_others_are_answered_once(void **state)
{
    struct world w;

    (void)state;
    begin(&w, "abort:of doom", NULL);
    run(&w, 5);
    assert_only_line_fails(&w, 5, "was killed by SIGABRT");
    assert_true(stats_of(&w).crashes >= 3);
    assert_true(stats_of(&w).restarts >= 3);
    end(&w);
}

static void
test_a_line_that_breaks_memory_is_an_error_and_all_others_are_answered_once(void **state)
{
    struct world w;

    (void)state;
    begin(&w, "segv:of doom", NULL);
    run(&w, 0);
    assert_only_line_fails(&w, 0, SEGV_WORDS);
    end(&w);
}

static void test_a_line_that_hangs_is_ended_and_all_others_are_answered_once(void **state)
{
    struct world w;

    (void)state;
    begin(&w, "hang:of doom", "1000");
    run(&w, LINES - 1);
    assert_only_line_fails(&w, LINES - 1, "computed nothing for 1 s");
    end(&w);
}

static void test_a_line_that_is_alone_and_aborts_is_an_error(void **state)
{
    struct world w;

    (void)state;
    begin(&w, "abort:of doom", NULL);
    submit(&w, 0, true);
    take(&w);
    assert_int_equal(w.code[0], ERROR_INTERNAL);
    submit(&w, 1, false);
    take(&w);
    assert_int_equal(w.code[1], ERROR_OK);
    end(&w);
}

/* The model's process, which is the only child of this one. 0: there is none now. */
static pid_t child_of_this(void)
{
    pid_t found = 0;
    DIR *d = opendir("/proc");
    struct dirent *entry;

    assert_non_null(d);
    while ((entry = readdir(d)) != NULL) { // NOLINT(concurrency-mt-unsafe): of this thread
        char path[300], text[512] = "";
        long pid = strtol(entry->d_name, NULL, 10), parent = 0;
        (void)snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
        FILE *f = pid > 0 ? fopen(path, "r") : NULL;
        if (!f)
            continue;
        const char *after = fgets(text, sizeof text, f) ? strrchr(text, ')') : NULL;
        if (after && strlen(after) > 4) /* ") S 123" */
            parent = strtol(after + 4, NULL, 10);
        if (parent == (long)getpid())
            found = (pid_t)pid;
        (void)fclose(f);
    }
    (void)closedir(d);
    return found;
}

static void test_kills_from_outside_lose_and_double_no_line(void **state)
{
    struct world w;
    uint64_t random = 42;
    uint32_t open = 0, next = 0, kills = 0;

    (void)state;
    begin(&w, NULL, NULL);
    while (next < LINES || open) {
        while (next < LINES && open < window_of(&w)) {
            submit(&w, (int)next++, false);
            open++;
        }
        pid_t pid = child_of_this();
        if (pid && kills < 6 && random_next(&random) % 2) {
            (void)kill(pid, SIGKILL);
            kills++;
        }
        take(&w);
        open--;
    }
    assert_only_line_fails(&w, -1, "");
    assert_true(kills > 0);
    end(&w);
}

static void test_a_killed_process_that_computes_nothing_is_started_again(void **state)
{
    struct world w;

    (void)state;
    begin(&w, NULL, NULL);
    (void)kill(child_of_this(), SIGKILL);
    submit(&w, 0, false);
    take(&w);
    assert_int_equal(w.code[0], ERROR_OK);
    assert_int_equal(stats_of(&w).crashes, 1);
    end(&w);
}

static void test_a_file_that_aborts_the_loader_is_an_error_in_words(void **state)
{
    struct error e = { 0 };

    (void)state;
    assert_null(open_model(&local_model, "load-abort", NULL, &e));
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(e.msg, "was killed by SIGABRT"));
    (void)unsetenv("TRANCHE_FAULT_CHILD"); // NOLINT(concurrency-mt-unsafe)
}

/* libllama asserts that a model has layers. */
static void test_a_damaged_file_that_aborts_libllama_is_an_error_in_words(void **state)
{
    static const struct tiny tiny = { .architecture = "llama", .type = GGML_TYPE_Q8_0 };
    const struct str key = STR("llama.block_count");
    struct model m = local_model;
    struct scratch s;
    char bad[SCRATCH_PATH_BYTES];
    struct error e = { 0 };
    struct buf bytes;

    (void)state;
    scratch_make(&s);
    tiny_write(&tiny, scratch_path(&s, "bad.gguf", bad));
    scratch_read(&s, "bad.gguf", &bytes);
    size_t at = str_find(buf_str(&bytes), key);
    assert_true(at != SIZE_MAX);
    memset(bytes.p + at + key.len + 4, 0, 4); /* behind its type */
    scratch_write(&s, "bad.gguf", bytes.p, bytes.len);
    buf_release(&bytes);
    m.file = bad;
    assert_null(open_model(&m, NULL, NULL, &e));
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    if (!strstr(e.msg, "SIGABRT") || !strstr(e.msg, "GGML_ASSERT"))
        fail_msg("%s", e.msg);
    scratch_remove(&s);
}

static void test_a_file_is_judged_apart_as_in_this_process(void **state)
{
    struct model_facts apart, here;
    struct error e = { 0 }, same = { 0 };
    struct scratch s;
    char cut[SCRATCH_PATH_BYTES];

    (void)state;
    assert_int_equal(model_check_apart(LOCAL_MODEL_FILE, &apart, &e), 0);
    assert_int_equal(model_check(LOCAL_MODEL_FILE, &here, &e), 0);
    assert_string_equal(apart.architecture, here.architecture);
    assert_int_equal(apart.parameters, here.parameters);
    scratch_make(&s);
    scratch_write(&s, "cut.gguf", "GGUF\3\0\0\0", 8);
    assert_int_equal(model_check_apart(scratch_path(&s, "cut.gguf", cut), &apart, &e), -1);
    assert_int_equal(model_check(cut, &here, &same), -1);
    assert_string_equal(e.msg, same.msg);
    scratch_remove(&s);
}

static void test_a_file_that_loads_for_ever_is_an_error_in_words(void **state)
{
    struct error e = { 0 };

    (void)state;
    assert_null(open_model(&local_model, "load-hang", "1000", &e));
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    assert_non_null(strstr(e.msg, "was not loaded within 1 s"));
    (void)unsetenv("TRANCHE_FAULT_CHILD"); // NOLINT(concurrency-mt-unsafe)
}

static void test_what_is_wrong_with_a_file_is_said_as_without_a_process(void **state)
{
    struct model absent = local_model;
    struct error e = { 0 }, same = { 0 };
    const struct predictor_env env = env_of_test();

    (void)state;
    absent.file = "no/such/model.gguf";
    assert_null(open_model(&absent, NULL, NULL, &e));
    assert_null(predictor_local_open(&absent, &env, &same));
    assert_string_equal(e.msg, same.msg);
    assert_int_equal(e.code, same.code);
}

static struct str text_of(struct arena *a, const struct buf *response)
{
    struct error e = { 0 };
    size_t at;
    yyjson_val *root = json_parse(a, buf_str(response), &at, &e);

    assert_non_null(root);
    return json_str(yyjson_ptr_get(root, "/candidates/0/content/parts/0/text"));
}

static void test_sampled_answers_are_the_same_after_a_crash(void **state)
{
    struct world whole, broken;

    (void)state;
    begin(&whole, NULL, NULL);
    run(&whole, -1);
    begin(&broken, NULL, NULL);
    for (int i = 0; i < 8; i++)
        submit(&broken, i, false);
    (void)kill(child_of_this(), 0);
    for (int i = 0; i < 8; i++) {
        if (i == 2)
            kill(child_of_this(), SIGKILL);
        take(&broken);
    }
    for (int i = 0; i < 8; i++)
        assert_true(str_eq(text_of(&whole.arena, &whole.response[i]),
                           text_of(&broken.arena, &broken.response[i])));
    end(&broken);
    end(&whole);
}

/* An adapter that changes all queries of the first layer of the small model. */
static void write_adapter(const char *path)
{
    static const struct tiny_adapter as = { .rank = 4, .chance = 3, .alpha = 4.0f, .size = 20.0f };
    struct ggml_init_params params = { TINY_BYTES, NULL, false };
    struct tiny_file t = { gguf_init_empty(), ggml_init(params), as.chance };

    gguf_set_val_str(t.file, "general.type", "adapter");
    gguf_set_val_str(t.file, "general.architecture", "llama");
    gguf_set_val_str(t.file, "adapter.type", "lora");
    gguf_set_val_f32(t.file, "adapter.lora.alpha", as.alpha);
    tiny_pair(&t, &as, "blk.0.attn_q", 576, 576);
    tiny_pair(&t, &as, "blk.0.ffn_up", 576, 1536);
    assert_true(gguf_write_to_file(t.file, path, false));
    gguf_free(t.file);
    ggml_free(t.memory);
}

/* The adapter comes to the process as a descriptor, and again to the one after a crash. */
static void test_a_request_with_an_adapter_is_answered_by_it_also_after_a_crash(void **state)
{
    struct scratch dir;
    char path[SCRATCH_PATH_BYTES];
    struct world w;

    (void)state;
    scratch_make(&dir);
    write_adapter(scratch_path(&dir, "adapter.gguf", path));
    const struct adapter_list list = { { { path, 1.0f, 0 } }, 1 };
    begin(&w, NULL, NULL);
    for (int i = 0; i < 4; i++) {
        w.p->ops->adapt(w.p, i % 2 ? &list : NULL);
        if (i == 3)
            (void)kill(child_of_this(), SIGKILL);
        submit_text(&w, i, "Say hello.");
        take(&w);
        if (w.code[i] != ERROR_OK)
            fail_msg("%s", w.message[i]);
    }
    struct str plain = text_of(&w.arena, &w.response[0]), tuned = text_of(&w.arena, &w.response[1]);
    assert_false(str_eq(plain, tuned));
    assert_true(str_eq(plain, text_of(&w.arena, &w.response[2])));
    assert_true(str_eq(tuned, text_of(&w.arena, &w.response[3])));
    end(&w);
    scratch_remove(&dir);
}

static void submit_with(struct world *w, int i, const struct adapter_list *list)
{
    w->p->ops->adapt(w->p, list);
    submit_text(w, i, "Say hello.");
}

static uint64_t crashes_of(const struct world *w)
{
    struct predictor_stats stats;

    w->p->ops->stats(w->p, &stats);
    return stats.crashes;
}

/* Half a file, and none. */
static void test_an_adapter_that_cannot_be_loaded_is_an_error_of_its_requests(void **state)
{
    char path[3][SCRATCH_PATH_BYTES];
    struct buf whole;
    struct scratch dir;
    struct world w;

    (void)state;
    scratch_make(&dir);
    write_adapter(scratch_path(&dir, "good.gguf", path[0]));
    scratch_read(&dir, "good.gguf", &whole);
    scratch_write(&dir, "half.gguf", whole.p, whole.len / 2);
    buf_release(&whole);
    const struct adapter_list good = { { { path[0], 1.0f, 0 } }, 1 };
    const struct adapter_list half = { { { scratch_path(&dir, "half.gguf", path[1]), 1.0f, 0 } },
                                       1 };
    const struct adapter_list none = { { { scratch_path(&dir, "none.gguf", path[2]), 1.0f, 0 } },
                                       1 };
    const struct adapter_list *list[] = { &good, &half, NULL, &none, &half, &good };
    begin(&w, NULL, NULL);
    for (int i = 0; i < (int)ARRAY_LEN(list); i++)
        submit_with(&w, i, list[i]);
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        take(&w);
    for (size_t i = 0; i < ARRAY_LEN(list); i++)
        assert_int_equal(w.code[i] == ERROR_OK, list[i] == NULL || list[i] == &good);
    assert_int_equal(w.code[3], ERROR_NOT_FOUND);
    assert_non_null(strstr(w.message[1], "half.gguf"));
    assert_true(str_eq(text_of(&w.arena, &w.response[0]), text_of(&w.arena, &w.response[5])));
    assert_int_equal(crashes_of(&w), 0);
    end(&w);
    scratch_remove(&dir);
}

/* It does so for one request, twice alone; the others that name it are answered by that. */
static void test_an_adapter_that_ends_the_process_is_loaded_no_more(void **state)
{
    char path[2][SCRATCH_PATH_BYTES];
    struct scratch dir;
    struct world w;

    (void)state;
    scratch_make(&dir);
    write_adapter(scratch_path(&dir, "good.gguf", path[0]));
    write_adapter(scratch_path(&dir, "doom.gguf", path[1]));
    const struct adapter_list good = { { { path[0], 1.0f, 0 } }, 1 };
    const struct adapter_list doom = { { { path[1], 1.0f, 0 } }, 1 };
    begin(&w, "adapter-abort:doom", NULL);
    for (int i = 0; i < 12; i++)
        submit_with(&w, i, i % 3 == 0 ? &good : i % 3 == 1 ? &doom : NULL);
    for (int i = 0; i < 12; i++)
        take(&w);
    uint64_t before = crashes_of(&w);
    submit_with(&w, 12, &doom);
    take(&w);
    assert_int_equal(crashes_of(&w), before);
    for (int i = 0; i < 13; i++) {
        bool doomed = i % 3 == 1 || i == 12;
        assert_int_equal(w.answers[i], 1);
        assert_int_equal(w.code[i], doomed ? ERROR_INTERNAL : ERROR_OK);
        assert_int_equal(w.final[i], doomed);
        if (doomed)
            assert_non_null(strstr(w.message[i], "loaded the adapter of this request alone"));
    }
    end(&w);
    scratch_remove(&dir);
}

#define MANY 70 /* more than a child holds */

/* A request whose adapter has no place waits until others end. */
static void test_more_adapters_than_are_held_are_answered_one_after_the_other(void **state)
{
    static char path[MANY][SCRATCH_PATH_BYTES];
    struct buf whole;
    struct scratch dir;
    struct world w;

    (void)state;
    scratch_make(&dir);
    write_adapter(scratch_path(&dir, "first.gguf", path[0]));
    scratch_read(&dir, "first.gguf", &whole);
    struct model wide = local_model;
    struct error e = { 0 };
    wide.sequences = MANY / 4 + 1; /* so that all of them may be open */
    wide.context = 64;
    w = (struct world){ .p = open_model(&wide, NULL, NULL, &e) };
    if (!w.p)
        fail_msg("%s", e.msg);
    assert_true(w.p->window >= MANY);
    uint32_t open = 0;
    for (int i = 0; i < MANY; i++) {
        char name[32];
        (void)snprintf(name, sizeof name, "%d.gguf", i);
        scratch_write(&dir, name, whole.p, whole.len);
        const struct adapter_list list = { { { scratch_path(&dir, name, path[i]), 1.0f, 0 } }, 1 };
        const struct request *r =
            request_make(&w.arena, "{\"contents\":{\"parts\":{\"text\":\"Hi\"}},"
                                   "\"generationConfig\":{\"maxOutputTokens\":2}}");
        w.p->ops->adapt(w.p, &list);
        while (w.p->ops->submit(w.p, r, &w.tag[0], &e) < 0) {
            assert_int_equal(e.code, ERROR_RESOURCE_EXHAUSTED);
            assert_true(open > 0);
            take(&w);
            assert_int_equal(w.code[0], ERROR_OK);
            buf_release(&w.response[0]);
            open--;
        }
        open++;
    }
    for (; open; open--) {
        take(&w);
        assert_int_equal(w.code[0], ERROR_OK);
        buf_release(&w.response[0]);
    }
    assert_int_equal(w.answers[0], MANY);
    buf_release(&whole);
    end(&w);
    scratch_remove(&dir);
}

static const struct request *make(struct arena *a, const char *more)
{
    return request_make(a, arena_textf(a, "{\"contents\":{\"parts\":{\"text\":\"x\"}}%s}", more));
}

/* A child that is stopped answers nothing: what is accepted then was not asked. */
static void test_settings_that_were_accepted_are_not_asked_again(void **state)
{
    struct world w;
    struct violation why;

    (void)state;
    begin(&w, NULL, NULL);
#define WITH_SEED(seed)                                                                            \
    ",\"generationConfig\":{\"seed\":" seed ",\"responseMimeType\":"                               \
    "\"application/json\",\"responseSchema\":{\"type\":\"STRING\"}}"
    const struct request *first = make(&w.arena, WITH_SEED("1"));
    const struct request *second = make(&w.arena, WITH_SEED("2"));
    const struct request *picture = request_make(
        &w.arena, "{\"contents\":{\"parts\":{\"inlineData\":{\"mimeType\":\"image/png\","
                  "\"data\":\"iVBORw0KGgo=\"}}}}");
    assert_true(w.p->ops->accepts(w.p, first, &why));
    assert_false(w.p->ops->accepts(w.p, picture, &why));
    assert_non_null(strstr(why.path, "contents[0].parts[0]"));
    (void)kill(child_of_this(), SIGSTOP);
    assert_true(w.p->ops->accepts(w.p, second, &why));
    end(&w);
}

int main(int argc, char **argv)
{
    static const struct sandbox_role roles[] = { { CHILD_ROLE, child_main },
                                                 { CHECK_ROLE, check_main } };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line_that_aborts_is_an_error_and_all_others_are_answered_once),
        cmocka_unit_test(
            test_a_line_that_breaks_memory_is_an_error_and_all_others_are_answered_once),
        cmocka_unit_test(test_a_line_that_hangs_is_ended_and_all_others_are_answered_once),
        cmocka_unit_test(test_a_line_that_is_alone_and_aborts_is_an_error),
        cmocka_unit_test(test_kills_from_outside_lose_and_double_no_line),
        cmocka_unit_test(test_a_killed_process_that_computes_nothing_is_started_again),
        cmocka_unit_test(test_a_file_that_aborts_the_loader_is_an_error_in_words),
        cmocka_unit_test(test_a_file_that_loads_for_ever_is_an_error_in_words),
        cmocka_unit_test(test_what_is_wrong_with_a_file_is_said_as_without_a_process),
        cmocka_unit_test(test_sampled_answers_are_the_same_after_a_crash),
        cmocka_unit_test(test_a_damaged_file_that_aborts_libllama_is_an_error_in_words),
        cmocka_unit_test(test_a_request_with_an_adapter_is_answered_by_it_also_after_a_crash),
        cmocka_unit_test(test_an_adapter_that_cannot_be_loaded_is_an_error_of_its_requests),
        cmocka_unit_test(test_an_adapter_that_ends_the_process_is_loaded_no_more),
        cmocka_unit_test(test_more_adapters_than_are_held_are_answered_one_after_the_other),
        cmocka_unit_test(test_a_file_is_judged_apart_as_in_this_process),
        cmocka_unit_test(test_settings_that_were_accepted_are_not_asked_again),
    };

    sandbox_entry(argc, argv, roles, ARRAY_LEN(roles));
    return RUN_WITH_LOCAL_MODEL(tests, NULL, NULL);
}
