/* accuracy.c -- how far one runtime's answers are from another's.
 *
 * Why: int8 products round, and what rounds differently sometimes answers differently. Both runtimes get
 * the same tokens: a workload's prompts, then the answers that the reference gives greedily, so that
 * one difference does not make all that follow.
 *
 * Usage:   bench_accuracy SIDE REFERENCE WORKLOAD.jsonl [LINES [ANSWER-TOKENS]]
 *          with a SIDE and a REFERENCE of native:MODEL.gguf or plain:MODEL.gguf (libllama)
 * Prints:  one line of a Markdown table: rows of prompts and answers, perplexity of the prompts by the
 *          reference and by the side, mean Kullback-Leibler divergence from the reference, and how often
 *          the likeliest token is the same, in prompts and in answers.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"
#include "predict/local/sampler.h"
#include "predict/local/llama/runtime_llama.h"
#include "predict/local/native/runtime_native.h"

#define WORKLOAD_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define ROWS_MAX 200 /* of a forward: all of them want logits */
#define LINES_DEFAULT 24
#define ANSWER_DEFAULT 16

/* Sums over rows. */
struct sums {
    double rows, same, divergence;
    double scored, mine, theirs; /* rows with a next token, and the logarithms of its probability */
};

struct pair {
    struct runtime *mine, *theirs;
    uint32_t vocab;
    struct sums prompts, answers;
};

static void die(const char *what, const struct error *e)
{
    fprintf(stderr, "bench_accuracy: %s: %s\n", what, e->msg);
    exit(1);
}

static const float *logits_of(struct runtime *r, uint32_t row)
{
    return r->ops->logits(r, row);
}

/* One row of both, and the token that comes next, or -1. */
static void compare(const struct pair *p, uint32_t row, int32_t next, struct sums *to)
{
    const float *mine = logits_of(p->mine, row), *theirs = logits_of(p->theirs, row);
    double my_sum = (double)logits_log_sum(mine, p->vocab), divergence = 0.0;
    double their_sum = (double)logits_log_sum(theirs, p->vocab);

    for (uint32_t i = 0; i < p->vocab; i++) {
        double their = (double)theirs[i] - their_sum;
        divergence += exp(their) * (their - ((double)mine[i] - my_sum));
    }
    to->rows += 1.0;
    to->divergence += divergence;
    to->same += logits_argmax(mine, p->vocab) == logits_argmax(theirs, p->vocab);
    if (next < 0)
        return;
    to->scored += 1.0;
    to->mine += (double)mine[next] - my_sum;
    to->theirs += (double)theirs[next] - their_sum;
}

static void forward(const struct pair *p, const struct runtime_row *row, uint32_t count)
{
    struct error e = { 0 };

    if (p->mine->ops->forward(p->mine, row, count, &e) < 0 ||
        p->theirs->ops->forward(p->theirs, row, count, &e) < 0)
        die("forward", &e);
}

/* Gives the token that the reference would answer with first. */
static int32_t run_prompt(struct pair *p, const struct tokens *t)
{
    struct runtime_row row[ROWS_MAX];
    int32_t next = -1;

    for (uint32_t at = 0; at < t->count; at += ROWS_MAX) {
        uint32_t count = t->count - at < ROWS_MAX ? t->count - at : ROWS_MAX;
        for (uint32_t i = 0; i < count; i++)
            row[i] = (struct runtime_row){ t->item[at + i], 0, at + i, true };
        forward(p, row, count);
        for (uint32_t i = 0; i < count; i++) {
            bool last = at + i + 1 == t->count;
            compare(p, i, last ? -1 : t->item[at + i + 1], last ? &p->answers : &p->prompts);
        }
        next = (int32_t)logits_argmax(logits_of(p->theirs, count - 1), p->vocab);
    }
    return next;
}

static void run_answer(struct pair *p, uint32_t position, int32_t token, uint32_t most)
{
    for (uint32_t i = 1; i < most && !p->theirs->ops->is_end(p->theirs, token); i++) {
        struct runtime_row row = { token, 0, position++, true };
        forward(p, &row, 1);
        compare(p, 0, -1, &p->answers);
        token = (int32_t)logits_argmax(logits_of(p->theirs, 0), p->vocab);
    }
}

static void run_line(struct pair *p, struct str line, uint32_t most)
{
    struct arena a = { 0 };
    struct tokens t = { 0 };
    struct error e = { 0 };
    struct chat_message m[2];
    bool thinks;
    uint32_t count = 0;
    size_t at = 0;
    yyjson_val *root = json_parse(&a, line, &at, &e);
    struct str system = json_str(yyjson_ptr_get(root, "/request/systemInstruction/parts/0/text"));
    struct str user = json_str(yyjson_ptr_get(root, "/request/contents/0/parts/0/text"));

    if (system.len)
        m[count++] = (struct chat_message){ .role = STR("system"), .text = system };
    m[count++] = (struct chat_message){ .role = STR("user"), .text = user };
    const struct chat chat = { .message = m, .message_count = count };
    if (p->mine->ops->prompt(p->mine, &chat, &t, &thinks, &e) < 0)
        die("prompt", &e);
    run_answer(p, t.count, run_prompt(p, &t), most);
    p->mine->ops->trim(p->mine, 0, 0);
    p->theirs->ops->trim(p->theirs, 0, 0);
    tokens_release(&t);
    arena_release(&a);
}

static struct runtime *open_side(const char *side)
{
    const char *file = strchr(side, ':') ? strchr(side, ':') + 1 : side;
    const struct model m = { .pattern = side, .kind = MODEL_LOCAL, .file = file };
    const struct runtime_settings settings = {
        .sequences = ROWS_MAX + 1, .rows_max = ROWS_MAX, .context = 2048, .cache_mib = 512
    };
    struct error e = { 0 };
    struct runtime *r = strncmp(side, "plain:", 6) == 0 ? runtime_llama_open(&m, &settings, &e)
                                                        : runtime_native_open(&m, &settings, &e);

    if (!r)
        die(side, &e);
    return r;
}

static struct pair open_pair(const char *side, const char *reference)
{
    struct pair p = { .mine = open_side(side), .theirs = open_side(reference) };
    struct runtime_info mine, theirs;

    p.mine->ops->info(p.mine, &mine);
    p.theirs->ops->info(p.theirs, &theirs);
    p.vocab = mine.vocab;
    printf("| %s %s | %s %s ", p.mine->ops->name, mine.name, p.theirs->ops->name, theirs.name);
    return p;
}

static uint32_t number(int argc, char **argv, int at, uint32_t otherwise)
{
    return argc > at ? (uint32_t)strtoul(argv[at], NULL, 10) : otherwise;
}

int main(int argc, char **argv)
{
    struct buf file = BUF_INIT(WORKLOAD_BYTES_MAX);
    struct error e = { 0 };

    if (argc < 4) {
        fprintf(stderr, "usage: bench_accuracy SIDE REFERENCE WORKLOAD.jsonl [LINES [TOKENS]]\n");
        return 2;
    }
    if (sys_read_file(argv[3], WORKLOAD_BYTES_MAX, &file, &e) < 0)
        die(argv[3], &e);
    struct pair p = open_pair(argv[1], argv[2]);
    struct str rest = buf_str(&file);
    for (uint32_t n = number(argc, argv, 4, LINES_DEFAULT); n && rest.len; n--) {
        size_t end = str_find(rest, STR("\n"));
        run_line(&p, str_sub(rest, 0, end), number(argc, argv, 5, ANSWER_DEFAULT));
        rest = end == SIZE_MAX ? (struct str){ NULL, 0 } : str_sub(rest, end + 1, SIZE_MAX);
    }
    const struct sums *s = &p.prompts, *a = &p.answers;
    double mine = exp(-s->mine / s->scored), theirs = exp(-s->theirs / s->scored);
    printf("| %.0f + %.0f | %.3f | %.3f | %+.2f %% | %.5f | %.2f %% | %.2f %% |\n", s->rows,
           a->rows, theirs, mine, 100.0 * (mine / theirs - 1.0), s->divergence / s->rows,
           100.0 * s->same / s->rows, 100.0 * a->same / a->rows);
    buf_release(&file);
    p.mine->ops->close(p.mine);
    p.theirs->ops->close(p.theirs);
    return 0;
}
