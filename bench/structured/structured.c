/* structured.c -- what following a schema costs the embedded engine, and what forced tokens save.
 *
 * Why: the engine's own time for masks and the same answers with and without forced tokens cannot be
 * seen from outside of the program.
 *
 * Usage:   bench_structured MODEL.gguf WORKLOAD.jsonl MODE [ANSWERS [SEQUENCES]]
 *          MODE forced:  as the program does
 *               apart:   forced tokens are fed one at a time
 *               chosen:  no token is forced: plain masked decoding
 *               sampled: as the program does at temperature 1
 *               prompts: without schemas, one token each: the rate at which the prompts are read
 *               free:    without schemas
 *          ANSWERS: a file for the texts, a JSON string a line, in the workload's order
 *          SEQUENCES: requests computed at once (default: as the program does)
 * Prints:  one line of JSON. Nothing is counted but the computing of the requests.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/sys.h"
#include "predict/local/batcher.h"
#include "predict/local/conversation.h"
#include "predict/local/native/runtime_native.h"

#define WORKLOAD_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define LINES_MAX 4096
/* As the session has it: open requests for each sequence that computes. */
#define WINDOW_PER_SEQUENCE 4

enum mode {
    MODE_FORCED,
    MODE_APART,
    MODE_CHOSEN,
    MODE_SAMPLED,
    MODE_PROMPTS,
    MODE_FREE,
    MODE_COUNT
};
static const char *const mode_name[MODE_COUNT] = { "forced",  "apart",   "chosen",
                                                   "sampled", "prompts", "free" };

struct bench {
    struct runtime *runtime;
    struct constraints *constraints;
    struct batcher_plan plan;
    enum mode mode;
    struct arena lines;
    struct task *task[LINES_MAX];
    uint32_t count, complete;
};

static void die(const char *what, const char *why)
{
    fprintf(stderr, "bench_structured: %s: %s\n", what, why);
    exit(1);
}

static void open_model(struct bench *b, const char *file, const char *sequences)
{
    const struct model m = { .pattern = file,
                             .kind = MODEL_LOCAL,
                             .file = file,
                             .sequences = (uint32_t)strtoul(sequences, NULL, 10) };
    struct error e = { 0 };

    if (plan_for(&m, false, &b->plan, &e) < 0)
        die(file, e.msg);
    const struct runtime_settings settings = { .sequences = b->plan.sequences,
                                               .rows_max = b->plan.rows_max };
    b->runtime = runtime_native_open(&m, &settings, &e);
    b->constraints = b->runtime ? constraints_new(b->runtime) : NULL;
    if (!b->constraints)
        die(file, e.msg);
}

static struct task *task_of(struct bench *b, const struct request *r)
{
    const struct generation *g = &r->generation;
    struct task *t = task_new();
    const struct conversation_model model = { .name = "model" };
    struct violation why;
    struct error e = { 0 };
    struct chat chat;
    bool thinks;

    if (conversation_make(r, &model, &t->arena, &chat, &e) < 0 ||
        b->runtime->ops->prompt(b->runtime, &chat, &t->prompt, &thinks, &e) < 0)
        die("prompt", e.msg);
    if (b->mode <= MODE_SAMPLED && constraint_of(b->constraints, r, &t->constraint, &why) < 0)
        die(why.path, why.message);
    t->tokens_max = b->mode == MODE_PROMPTS ? 1 : g->max_output_tokens;
    t->forcing = b->mode == MODE_APART    ? FORCED_APART
                 : b->mode == MODE_CHOSEN ? FORCED_CHOSEN
                                          : FORCED_AT_ONCE;
    t->sampling =
        (struct sampling){ .temperature = b->mode == MODE_SAMPLED ? 1.0f : (float)g->temperature,
                           .top_p = SAMPLING_TOP_P_DEFAULT,
                           .top_k = SAMPLING_TOP_K_DEFAULT,
                           .seed = b->count };
    return t;
}

static void read_workload(struct bench *b, const char *file)
{
    struct buf text = BUF_INIT(WORKLOAD_BYTES_MAX);
    struct error e = { 0 };
    const struct line_rules rules = { 0 };
    size_t end = 0;

    if (sys_read_file(file, WORKLOAD_BYTES_MAX, &text, &e) < 0)
        die(file, e.msg);
    for (struct str rest = buf_str(&text); rest.len && end != SIZE_MAX && b->count < LINES_MAX;
         rest = str_sub(rest, end + 1, SIZE_MAX)) {
        struct input_line line;
        struct violations bad = { 0 };
        end = str_find(rest, STR("\n"));
        if (!request_read_line(&b->lines, str_sub(rest, 0, end), &rules, &line, &bad))
            die(file, "a line is not valid");
        b->task[b->count++] = task_of(b, line.request);
        if (end == SIZE_MAX)
            break;
    }
    buf_release(&text);
}

/* All tasks, with a window of them open at a time. */
static struct batcher_stats run(struct bench *b)
{
    struct batcher *batcher = batcher_new(b->runtime, &b->plan);
    struct batcher_stats stats;
    struct error e = { 0 };
    uint32_t given = 0, done = 0;

    while (done < b->count) {
        while (given < b->count && batcher_open(batcher) < WINDOW_PER_SEQUENCE * b->plan.sequences)
            batcher_add(batcher, b->task[given++]);
        if (batcher_step(batcher, &e) < 0)
            die("step", e.msg);
        for (struct task *t; (t = batcher_done(batcher)); done++) {
            if (t->error.code != ERROR_OK)
                die("answer", t->error.msg);
            b->complete += t->candidate[0].finish == FINISH_STOP;
        }
    }
    batcher_stats(batcher, &stats);
    batcher_free(batcher);
    return stats;
}

static double cpu_seconds(void)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void write_answers(const struct bench *b, const char *file)
{
    FILE *out = fopen(file, "w");

    if (!out)
        die(file, "cannot be written");
    for (uint32_t i = 0; i < b->count; i++) {
        struct buf line = BUF_INIT(RESPONSE_BYTES_MAX);
        struct json_writer w = JSON_WRITER(&line);
        json_add_text(&w, NULL, buf_str(&b->task[i]->candidate[0].text));
        fprintf(out, "%s\n", line.p);
        buf_release(&line);
    }
    (void)fclose(out);
}

static void report(const struct bench *b, const struct batcher_stats *s, double wall, double cpu)
{
    struct buf line = BUF_INIT(RESPONSE_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&line);

    json_object(&w, NULL);
    json_add_c(&w, "mode", mode_name[b->mode]);
    json_add_uint(&w, "requests", b->count);
    json_add_uint(&w, "complete", b->complete);
    json_add_double(&w, "seconds", wall);
    json_add_double(&w, "cpu", cpu);
    json_add_uint(&w, "prompt", s->prompt_tokens);
    json_add_uint(&w, "reused", s->reused_tokens);
    json_add_uint(&w, "computed", s->computed_tokens);
    json_add_uint(&w, "generated", s->generated_tokens);
    json_add_uint(&w, "forced", s->forced_tokens);
    json_add_uint(&w, "masks", s->constraints.masks);
    json_add_uint(&w, "mask_ns", s->constraints.mask_ns);
    json_add_uint(&w, "follow_ns", s->constraints.follow_ns);
    json_end(&w);
    puts(line.p);
    buf_release(&line);
}

int main(int argc, char **argv)
{
    static struct bench b;

    while (argc > 3 && b.mode < MODE_COUNT && strcmp(argv[3], mode_name[b.mode]) != 0)
        b.mode++;
    if (argc < 4 || b.mode == MODE_COUNT) {
        fprintf(stderr, "usage: bench_structured MODEL.gguf WORKLOAD.jsonl "
                        "forced|apart|chosen|sampled|prompts|free [ANSWERS [SEQUENCES]]\n");
        return 2;
    }
    open_model(&b, argv[1], argc > 5 ? argv[5] : "0");
    read_workload(&b, argv[2]);
    struct clock *clock = clock_system();
    uint64_t begun = clock->mono_ns(clock);
    double cpu = cpu_seconds();
    struct batcher_stats stats = run(&b);
    report(&b, &stats, 1e-9 * (double)(clock->mono_ns(clock) - begun), cpu_seconds() - cpu);
    if (argc > 4)
        write_answers(&b, argv[4]);
    for (uint32_t i = 0; i < b.count; i++)
        task_free(b.task[i]);
    arena_release(&b.lines);
    constraints_free(b.constraints);
    b.runtime->ops->close(b.runtime);
    return 0;
}
