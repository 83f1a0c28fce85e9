/* schema_probe.c -- answers questions about schemas, a JSON object on each line, for the tests in Python.
 *
 * In:      {"schema": ..., "google": false, "form": "json" or "enum"} and any of
 *          "values": [...]   does each match, by our own check? ("use": "check" as for upstream servers)
 *          "texts": [...]    can the engine write each of these? (fed token by token)
 *          "count": 20       answers of "model" ("random" or "embedded") at "temperature", of at most
 *                            "tokens" tokens, to "prompt"
 *          "beside": true    one more request, with a usual schema, is answered beside these
 *          "fresh": true     the vocabulary's table is made anew and freed again, to measure memory
 * Out:     {"refused": {"path", "message", "remedy"}} or null there, "values": [...], "texts": [...],
 *          "answers": [{"text", "finish", "error", "tokens", "forced"}], "beside": the same, and what
 *          it took: "compile_us" of processor time, "step_us" (the longest round of all
 *          answers) of the engine thread's, "peak_kib" and "kept_kib" (growth of the resident set, at its peak
 *          and after all was freed).
 */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "format/schema/schema.h"
#include "predict/local/batcher.h"
#include "predict/local/native/runtime_native.h"
#include "schema/runtime_random.h"

#define OUT_BYTES_MAX ((size_t)256 * 1024 * 1024)
#define TOP_K 200 /* a sort of the whole vocabulary takes milliseconds a token */

struct probe {
    struct runtime *native, *random;
    struct constraints *constraints;
    struct batcher *batcher[2]; /* native, random */
};

/* ---- What it takes ---- */

static uint64_t processor_us(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* "VmRSS" or "VmHWM" of this process. */
static long memory_kib(const char *name)
{
    FILE *f = fopen("/proc/self/status", "r");
    char line[256];
    long kib = 0;

    while (f && fgets(line, sizeof line, f))
        if (strncmp(line, name, strlen(name)) == 0)
            kib = strtol(line + strlen(name) + 1, NULL, 10);
    if (f)
        (void)fclose(f);
    return kib;
}

/* From here VmHWM is the peak of what follows. */
static long memory_mark(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");

    (void)malloc_trim(0);
    if (f) {
        (void)fputs("5", f);
        (void)fclose(f);
    }
    return memory_kib("VmRSS");
}

/* ---- Questions ---- */

static struct generation generation_of(yyjson_val *q)
{
    bool google = yyjson_is_true(json_get(q, "google"));

    return (struct generation){
        .form = str_eq_c(json_str(json_get(q, "form")), "enum") ? ANSWER_ENUM : ANSWER_JSON,
        .schema = google ? json_get(q, "schema") : NULL,
        .schema_path = "schema",
        .json_schema = google ? NULL : json_get(q, "schema"),
    };
}

static void write_refusal(struct json_writer *w, const char *path, const char *message,
                          const char *remedy)
{
    json_object(w, "refused");
    json_add_c(w, "path", path);
    json_add_c(w, "message", message);
    json_add_c(w, "remedy", remedy);
    json_end(w);
}

static void answer_values(struct json_writer *w, yyjson_val *q)
{
    bool google = yyjson_is_true(json_get(q, "google"));
    struct schema_fault why = { 0 };
    struct schema *s = schema_read(json_get(q, "schema"), google ? SCHEMA_GOOGLE : SCHEMA_JSON,
                                   SCHEMA_CHECK, &why);
    size_t i, max;
    yyjson_val *v;

    if (!s) {
        write_refusal(w, why.path, why.message, why.remedy);
        return;
    }
    json_array(w, "values");
    yyjson_arr_foreach(json_get(q, "values"), i, max, v)
    {
        json_add_bool(w, NULL, schema_matches(s, v, &why));
    }
    json_end(w);
    schema_free(s);
}

/* True when the constraint lets this text be the whole answer. */
static bool can_write(struct probe *p, struct constraint *k, struct str text)
{
    struct follower *f = follower_new(k);
    struct tokens t = { 0 };
    struct error e = { 0 };
    bool ok = p->native->ops->tokenize(p->native, text, &t);
    struct runtime_info info;

    p->native->ops->info(p->native, &info);
    for (uint32_t i = 0; ok && i < t.count; i++)
        ok = follower_allows(f, t.item[i]) && follower_accept(f, t.item[i], &e) == 0;
    bool ends = false;
    for (int32_t i = 0; ok && !ends && i < (int32_t)info.vocab; i++)
        ends = p->native->ops->is_end(p->native, i) && follower_allows(f, i);
    ok = ok && (ends || follower_complete(f));
    tokens_release(&t);
    follower_free(f);
    return ok;
}

static void answer_texts(struct probe *p, struct json_writer *w, struct constraint *k,
                         yyjson_val *q)
{
    size_t i, max;
    yyjson_val *v;

    json_array(w, "texts");
    yyjson_arr_foreach(json_get(q, "texts"), i, max, v)
    {
        json_add_bool(w, NULL, can_write(p, k, json_str(v)));
    }
    json_end(w);
}

static struct task *task_for(struct probe *p, yyjson_val *q, uint64_t seed)
{
    const struct chat_message m = { .role = STR("user"), .text = json_str(json_get(q, "prompt")) };
    const struct chat chat = { .message = &m, .message_count = 1 };
    const struct request r = { .generation = generation_of(q) };
    struct task *t = task_new();
    struct violation why;
    struct error e = { 0 };
    bool thinks;

    if (p->native->ops->prompt(p->native, &chat, &t->prompt, &thinks, &e) < 0)
        exit(1);
    t->tokens_max = (uint32_t)yyjson_get_uint(json_get(q, "tokens"));
    t->sampling =
        (struct sampling){ .temperature = (float)yyjson_get_num(json_get(q, "temperature")),
                           .top_p = 1,
                           .top_k = TOP_K,
                           .seed = seed };
    if (constraint_of(p->constraints, &r, &t->constraint, &why) < 0)
        exit(1);
    return t;
}

static void write_answer(struct json_writer *w, const char *key, const struct task *t)
{
    static const char *const finish[] = {
        [FINISH_STOP] = "STOP", [FINISH_MAX_TOKENS] = "MAX_TOKENS"
    };
    const struct generated *g = &t->candidate[0];

    json_object(w, key);
    if (t->error.code != ERROR_OK) {
        json_add_c(w, "error", t->error.msg);
    } else {
        json_add_text(w, "text", buf_str(&g->text));
        json_add_c(w, "finish", finish[g->finish]);
    }
    json_add_uint(w, "tokens", g->token_count);
    json_add_uint(w, "forced", g->forced_count);
    json_end(w);
}

/* The request that stands beside those of a question. */
static struct task *usual_task(struct probe *p, struct arena *a)
{
    struct error e = { 0 };
    size_t at;
    yyjson_val *q = json_parse(
        a,
        STR("{\"schema\":{\"type\":\"object\",\"properties\":{\"a\":{\"enum\":[\"x\",\"y\"]},\"b\":"
            "{"
            "\"type\":\"integer\",\"minimum\":1,\"maximum\":99}},\"required\":[\"a\",\"b\"]},"
            "\"prompt\":\"x\",\"tokens\":50}"),
        &at, &e);

    return task_for(p, q, 0);
}

/* The batcher's rounds until all is answered: the longest, in microseconds of this thread. */
static uint64_t answer_all(struct batcher *b, struct json_writer *w, const struct task *beside,
                           struct buf *other)
{
    struct json_writer separate = JSON_WRITER(other);
    uint64_t longest = 0;
    struct error e = { 0 };
    struct task *t;

    while (batcher_open(b)) {
        uint64_t from = clock_thread_ns();
        if (batcher_step(b, &e) < 0)
            exit(1);
        uint64_t took = (clock_thread_ns() - from) / 1000;
        longest = took > longest ? took : longest;
        while ((t = batcher_done(b))) {
            write_answer(t == beside ? &separate : w, NULL, t);
            task_free(t);
        }
    }
    return longest;
}

static uint64_t answer_samples(struct probe *p, struct json_writer *w, yyjson_val *q)
{
    struct batcher *b = p->batcher[str_eq_c(json_str(json_get(q, "model")), "random")];
    uint64_t count = yyjson_get_uint(json_get(q, "count"));
    struct buf other = BUF_INIT(OUT_BYTES_MAX);
    struct arena a = { 0 };
    struct task *beside = NULL;

    for (uint64_t i = 0; i < count; i++)
        batcher_add(b, task_for(p, q, i));
    if (yyjson_is_true(json_get(q, "beside"))) {
        beside = usual_task(p, &a);
        batcher_add(b, beside);
    }
    json_array(w, "answers");
    uint64_t longest = answer_all(b, w, beside, &other);
    json_end(w);
    if (beside)
        json_add_raw(w, "beside", buf_str(&other));
    buf_release(&other);
    arena_release(&a);
    return longest;
}

/* ---- The whole ---- */

static void answer_engine(struct probe *p, struct json_writer *w, yyjson_val *q)
{
    const struct request r = { .generation = generation_of(q) };
    struct violation why = { 0 };
    struct constraint *k = NULL;
    uint64_t from = processor_us(), step = 0;
    int rc = constraint_of(p->constraints, &r, &k, &why);

    json_add_uint(w, "compile_us", processor_us() - from);
    if (rc < 0) {
        write_refusal(w, why.path, why.message, why.remedy);
        return;
    }
    if (json_get(q, "texts"))
        answer_texts(p, w, k, q);
    if (json_get(q, "count"))
        step = answer_samples(p, w, q);
    json_add_uint(w, "step_us", step);
    constraint_release(k);
}

static struct constraints *constraints_open(struct probe *p)
{
    struct error e = { 0 };
    struct constraints *c = constraints_new(p->native);

    if (!c) {
        (void)fprintf(stderr, "%s\n", e.msg);
        exit(1);
    }
    return c;
}

/* The vocabulary's table is made for the first schema: it is no schema's cost. */
static void table_make(struct probe *p)
{
    const struct request any = { .generation = { .form = ANSWER_JSON } };
    struct constraint *k;
    struct violation why;

    if (constraint_of(p->constraints, &any, &k, &why) < 0)
        exit(1);
    constraint_release(k);
}

/* With a table of the vocabulary of its own, so that nothing is kept from before. */
static void answer_measured(struct probe *p, struct json_writer *w, yyjson_val *q)
{
    struct constraints *usual = p->constraints;
    long empty = memory_mark();

    p->constraints = constraints_open(p);
    table_make(p);
    long before = memory_mark();
    answer_engine(p, w, q);
    json_add_int(w, "peak_kib", memory_kib("VmHWM") - before);
    constraints_free(p->constraints);
    p->constraints = usual;
    json_add_int(w, "kept_kib", memory_mark() - empty);
}

static void answer(struct probe *p, struct json_writer *w, yyjson_val *q)
{
    json_object(w, NULL);
    if (json_get(q, "values"))
        answer_values(w, q);
    else if (yyjson_is_true(json_get(q, "fresh")))
        answer_measured(p, w, q);
    else
        answer_engine(p, w, q);
    json_end(w);
}

static void probe_open(struct probe *p, const char *file)
{
    const struct model m = { .pattern = "probe", .kind = MODEL_LOCAL, .file = file };
    const struct runtime_settings settings = { .sequences = 20, .rows_max = 256, .context = 2048 };
    const struct batcher_plan plan = { .sequences = 20, .rows_max = 256 };
    struct error e = { 0 };

    p->native = runtime_native_open(&m, &settings, &e);
    if (!p->native) {
        (void)fprintf(stderr, "%s\n", e.msg);
        exit(1);
    }
    p->random = runtime_random_open(p->native);
    p->constraints = constraints_open(p);
    p->batcher[0] = batcher_new(p->native, &plan);
    p->batcher[1] = batcher_new(p->random, &plan);
}

int main(int argc, char **argv)
{
    struct probe p;
    char *line = NULL;
    size_t cap = 0, at;
    ssize_t len;

    if (argc != 2)
        return 2;
    probe_open(&p, argv[1]);
    while ((len = getline(&line, &cap, stdin)) > 0) {
        struct arena a = { 0 };
        struct error e = { 0 };
        struct buf out = BUF_INIT(OUT_BYTES_MAX);
        struct json_writer w = JSON_WRITER(&out);
        yyjson_val *q = json_parse(&a, (struct str){ line, (size_t)len }, &at, &e);
        if (!q) {
            (void)fprintf(stderr, "%s\n", e.msg);
            return 1;
        }
        answer(&p, &w, q);
        (void)printf("%s\n", out.p);
        (void)fflush(stdout);
        buf_release(&out);
        arena_release(&a);
    }
    free(line);
    batcher_free(p.batcher[0]);
    batcher_free(p.batcher[1]);
    constraints_free(p.constraints);
    p.random->ops->close(p.random);
    p.native->ops->close(p.native);
    return 0;
}
