/* kernels.c -- what this machine can do, and how much of it the native runtime uses.
 *
 * Why: a request rate says nothing about what is left to gain. The peak is that of a loop of nothing but
 * the int8 instruction, measured just before and after in the same run, because shared machines drift.
 *
 * Usage:   bench_kernels MODEL.gguf [THREADS]
 * Prints:  the peak; each product, attention; prompts and answers through the whole model, as tokens a
 *          second and as a share of the peak.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/mem.h"
#include "kernel/kernel.h"
#include "predict/local/native/forward.h"

#define REPEATS 7
#define PROMPT_ROWS 512
#define ANSWERS 64
#define POSITIONS 1024

static double clock_read(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double now(void)
{
    return clock_read(CLOCK_MONOTONIC);
}

/* CPU time of this thread: other work on the machine disturbs it less than the time that passes. */
static double used(void)
{
    return clock_read(CLOCK_THREAD_CPUTIME_ID);
}

/* ---- The peak ---- */

#define PEAK_SUMS 12
#define PEAK_ROUNDS 2000000

/* A loop of nothing but what multiplies int8, in sums of which none waits for another. */
struct probe {
    const char *kind;
    void (*loop)(void);
    uint32_t bytes; /* of a register: a product and a sum for each */
};
#define PROBE_SUMS (2.0 * PEAK_SUMS * PEAK_ROUNDS)

#if defined(__x86_64__)
#define TWELVE(one)                                                                                \
    one(0) one(1) one(2) one(3) one(4) one(5) one(6) one(7) one(8) one(9) one(10) one(11)
#define TWELVE_USED                                                                                \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11"

#define VNNI_ONE(n) "vpdpbusd %%zmm30, %%zmm31, %%zmm" #n "\n\t"
static void vnni_loop(void)
{
    for (int n = 0; n < PEAK_ROUNDS; n++)
        __asm__ volatile(TWELVE(VNNI_ONE)::: TWELVE_USED);
}

/* Without VNNI three instructions do the work of one, when nothing saturates. */
#define AVX2_ONE(n)                                                                                \
    "vpmaddubsw %%ymm14, %%ymm15, %%ymm12\n\t"                                                     \
    "vpmaddwd %%ymm12, %%ymm13, %%ymm12\n\t"                                                       \
    "vpaddd %%ymm12, %%ymm" #n ", %%ymm" #n "\n\t"
static void avx2_loop(void)
{
    for (int n = 0; n < PEAK_ROUNDS; n++)
        __asm__ volatile(TWELVE(AVX2_ONE)::: TWELVE_USED, "xmm12");
}

/* AVX2's own VNNI. */
#define AVXVNNI_ONE(n) "%{vex%} vpdpbusd %%ymm14, %%ymm15, %%ymm" #n "\n\t"
static void avxvnni_loop(void)
{
    for (int n = 0; n < PEAK_ROUNDS; n++)
        __asm__ volatile(TWELVE(AVXVNNI_ONE)::: TWELVE_USED);
}
#endif

/* By the kind that runs it. */
static const struct probe probes[] = {
#if defined(__x86_64__)
    { "avx512-vnni", vnni_loop, 64 },
    { "avx-vnni", avxvnni_loop, 32 },
    { "avx2", avx2_loop, 32 },
#endif
    { NULL, NULL, 0 },
};

/* That of the best kind that runs here, or NULL. */
static const struct probe *probe_here(void)
{
    const struct kernel_ops *k;

    for (uint32_t i = 0; (k = kernel_at(i)); i++)
        for (const struct probe *p = probes; p->kind; p++)
            if (strcmp(k->name, p->kind) == 0 && k->runs_here())
                return p;
    return NULL;
}

static void peak_work(void *arg, const struct team_member *m)
{
    (void)m;
    (*(const struct probe *const *)arg)->loop();
}

struct peaks {
    double one, all; /* threads */
};

/* int8 operations a second of all members; 0 when the instructions are not there. */
static double peak(struct team *team)
{
    const struct probe *probe = probe_here();
    double best = 0.0;

    if (!probe)
        return 0.0;
    for (int i = 0; i < REPEATS; i++) {
        double start = team_members(team) > 1 ? now() : used();
        team_run(team, peak_work, &probe);
        double took = (team_members(team) > 1 ? now() : used()) - start;
        double rate = team_members(team) * PROBE_SUMS * probe->bytes / took;
        best = rate > best ? rate : best;
    }
    return best;
}

/* ---- The peak of tiles ---- */

#define TILE_ROUNDS 2000000
#define TILE_OPS (2.0 * 4 * TILE_ROUNDS * 16 * 16 * 32)

/* Four sums of tiles, none of which waits for another; the kind has set them up. */
static void tile_loop(void)
{
#if defined(__x86_64__)
    for (int n = 0; n < TILE_ROUNDS; n++)
        __asm__ volatile("tdpbf16ps %tmm6, %tmm4, %tmm0\n\ttdpbf16ps %tmm7, %tmm4, %tmm1\n\t"
                         "tdpbf16ps %tmm6, %tmm5, %tmm2\n\ttdpbf16ps %tmm7, %tmm5, %tmm3");
#endif
}

static void print_tile_peak(void)
{
    double best = 1e9;

    for (int i = 0; i < REPEATS; i++) {
        double start = used();
        tile_loop();
        double took = used() - start;
        best = took < best ? took : best;
    }
    printf("  peak of tiles: %.0f GFLOP/s with one thread\n", TILE_OPS / best * 1e-9);
}

/* ---- Products and attention, one thread ---- */

static float *numbers(size_t count)
{
    float *x = mem_aligned(count * sizeof *x, KERNEL_ALIGN);

    for (size_t i = 0; i < count; i++)
        x[i] = (float)(i % 37) * 0.05f - 0.9f;
    return x;
}

static void bench_product(const struct kernel_ops *k, const struct kernel_weights *w, uint32_t rows,
                          double one_peak)
{
    struct kernel_rows x;
    float *row = numbers(w->columns), *out = numbers((size_t)rows * KERNEL_TILE);
    double best = 1e9;

    kernel_rows_init(&x, &k->layout, rows, w->columns);
    for (uint32_t i = 0; i < rows; i++) {
        const struct kernel_place to = { &x, i, 0 };
        k->quantise(row, 1.0f, w->columns / KERNEL_GROUP, &to);
    }
    for (int n = 0; n < REPEATS; n++) {
        double start = used();
        for (uint32_t t = 0; t < kernel_weights_tiles(w); t++)
            k->product(w, t, &x, 0, rows, (struct kernel_outputs){ out, KERNEL_TILE, false });
        double took = used() - start;
        best = took < best ? took : best;
    }
    double rate = 2.0 * w->outputs * w->columns * rows / best;
    printf("  product %6u x %5u, %3u rows: %7.1f GOP/s  %5.1f %%\n", w->outputs, w->columns, rows,
           rate * 1e-9, 100.0 * rate / one_peak);
    kernel_rows_release(&x);
    mem_free(row);
    mem_free(out);
}

static void bench_attention(const struct kernel_ops *k, uint32_t dim, uint32_t rows)
{
    const uint32_t spare = rows + KERNEL_ROWS_SPARE;
    float *query = numbers((size_t)spare * dim), *out = numbers((size_t)rows * dim);
    float *max = numbers(rows), *sum = numbers(rows), *scores = numbers(spare * KERNEL_PAGE);
    float *scratch = numbers(KERNEL_PAGE * KERNEL_CHUNK);
    uint16_t *keys = mem_aligned(kernel_page_halves(dim) * 2, KERNEL_ALIGN);
    uint8_t *from = mem_array(rows, 1), *to = mem_array(rows, 1);
    const struct kernel_attention a = { rows, dim, query,  out,     max,  sum,
                                        from, to,  scores, scratch, NULL, NULL };
    double best = 1e9;

    for (uint32_t i = 0; i < rows; i++)
        k->store_query(out, dim, query + (size_t)i * dim);
    memset(keys, 0x20, kernel_page_halves(dim) * 2);
    memset(to, KERNEL_PAGE, rows);
    for (int n = 0; n < REPEATS; n++) {
        double start = used();
        for (int i = 0; i < 200; i++)
            k->attend(&a, keys, keys);
        double took = (used() - start) / 200;
        best = took < best ? took : best;
    }
    printf("  attention, dim %3u, %2u rows a page: %6.1f GFLOP/s\n", dim, rows,
           4.0 * rows * dim * KERNEL_PAGE / best * 1e-9);
    mem_free(query);
    mem_free(out);
    mem_free(max);
    mem_free(sum);
    mem_free(scores);
    mem_free(scratch);
    mem_free(keys);
    mem_free(from);
    mem_free(to);
}

static void bench_kernels(const struct kernel_ops *k, const struct decoder *d, double one_peak)
{
    const struct decoder_layer *l = &d->layer[0];

    bench_product(k, &l->qkv, PROMPT_ROWS, one_peak);
    bench_product(k, &l->gate, PROMPT_ROWS, one_peak);
    bench_product(k, &l->down, PROMPT_ROWS, one_peak);
    bench_product(k, &l->down, ANSWERS, one_peak);
    bench_product(k, decoder_output(d), ANSWERS, one_peak);
    bench_product(k, &l->gate, 1, one_peak);
    for (uint32_t rows = 3; rows <= 48; rows *= 4)
        bench_attention(k, d->shape.dim, rows);
}

/* ---- The whole model ---- */

/* One thread is timed by what it uses, several by the clock on the wall. */
static clockid_t whole_clock = CLOCK_MONOTONIC;

/* Operations of products for a row, without and with logits. */
static double row_ops(const struct decoder *d, bool logits)
{
    const struct decoder_shape *s = &d->shape;
    double heads = (double)(2 * s->heads + 2 * s->kv_heads) * s->dim * s->width;
    double layer = heads + 3.0 * s->width * s->hidden;

    return 2.0 * (layer * s->layers + (logits ? (double)s->vocab * s->width : 0.0));
}

static void fill(struct runtime_row *row, uint32_t count, uint32_t sequence, uint32_t position)
{
    for (uint32_t i = 0; i < count; i++)
        row[i] =
            (struct runtime_row){ (int32_t)(i * 7 + 11), sequence, position + i, i + 1 == count };
}

static double timed(struct forward *f, struct page_cache *c, const struct runtime_row *row,
                    uint32_t count)
{
    struct error e = { 0 };
    double start = clock_read(whole_clock);

    if (page_cache_reserve(c, row, count, &e) < 0) {
        fprintf(stderr, "%s\n", e.msg);
        exit(1);
    }
    forward_compute(f, row, count);
    return clock_read(whole_clock) - start;
}

/* Prompts of 128 tokens, four to a forward. */
static double bench_prompts(struct forward *f, struct page_cache *c)
{
    struct runtime_row row[PROMPT_ROWS];
    double best = 1e9;

    for (int n = 0; n < REPEATS; n++) {
        for (uint32_t s = 0; s < 4; s++)
            fill(row + s * 128, 128, s, 0);
        double took = timed(f, c, row, PROMPT_ROWS);
        best = took < best ? took : best;
        for (uint32_t s = 0; s < 4; s++)
            page_cache_trim(c, s, 0);
    }
    return PROMPT_ROWS / best;
}

/* ANSWERS sequences that share `shared` tokens, one more token each. */
static double bench_answers(struct forward *f, struct page_cache *c, uint32_t shared)
{
    struct runtime_row row[PROMPT_ROWS];
    double best = 1e9;

    fill(row, shared, 0, 0);
    (void)timed(f, c, row, shared);
    for (uint32_t s = 1; s < ANSWERS; s++)
        page_cache_copy(c, 0, s, shared);
    for (int n = 0; n < REPEATS + 1; n++) {
        for (uint32_t s = 0; s < ANSWERS; s++)
            fill(row + s, 1, s, shared + (uint32_t)n);
        double took = timed(f, c, row, ANSWERS);
        best = n && took < best ? took : best; /* the first one copies the last page */
    }
    for (uint32_t s = 0; s < ANSWERS; s++)
        page_cache_trim(c, s, 0);
    return ANSWERS / best;
}

static void bench_model(const struct kernel_ops *k, const struct decoder *d, struct team *team,
                        double all_peak)
{
    const struct decoder_shape *s = &d->shape;
    const struct page_shape shape = { 256, ANSWERS, POSITIONS, s->layers * s->kv_heads, s->dim };
    struct page_cache *c = page_cache_new(&shape);
    const struct forward_setup setup = { d, k, c, team, PROMPT_ROWS, ANSWERS };
    struct forward *f = forward_new(&setup);
    double prompts = bench_prompts(f, c), answers = bench_answers(f, c, 200);

    printf("  %u threads:\n  prompts of 128: %7.0f tokens/s  %5.1f %% of the peak\n",
           team_members(team), prompts, 100.0 * prompts * row_ops(d, false) / all_peak);
    printf("  %u answers at 200: %5.0f tokens/s  %5.1f %% of the peak\n", ANSWERS, answers,
           100.0 * answers * row_ops(d, true) / all_peak);
    forward_free(f);
    page_cache_free(c);
}

/* One kind of CPU that this machine can be: its products, then a model by them. */
static void bench_kind(const struct kernel_ops *k, const char *path, struct team *all,
                       struct peaks peaks)
{
    struct error e = { 0 };
    struct kernel_before before;
    double start = now();
    struct decoder *d = decoder_open(path, k->layout.format, 0, &e);

    if (!d) {
        fprintf(stderr, "%s\n", e.msg);
        exit(1);
    }
    decoder_make_rope(d, POSITIONS);
    printf("%s: opened in %.2f s, %llu MiB of weights\n", k->name, now() - start,
           (unsigned long long)(d->bytes >> 20));
    bench_model(k, d, all, peaks.all);
    kernel_enter(k, &before);
    if (k->layout.format == KERNEL_BF16)
        print_tile_peak();
    bench_kernels(k, d, peaks.one);
    kernel_leave(k, &before);
    decoder_free(d);
}

int main(int argc, char **argv)
{
    struct error e = { 0 };
    uint32_t threads = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 2;
    struct team *one = team_new(1, &e), *all = team_new(threads, &e);

    if (argc < 2 || !one || !all) {
        fprintf(stderr, "usage: bench_kernels MODEL.gguf [THREADS]  %s\n", e.msg);
        return 2;
    }
    const struct peaks peaks = { peak(one), peak(all) };
    whole_clock = threads > 1 ? CLOCK_MONOTONIC : CLOCK_THREAD_CPUTIME_ID;
    printf("int8 peak: %.0f GOP/s with one thread, %.0f with %u\n", peaks.one * 1e-9,
           peaks.all * 1e-9, threads);
    for (uint32_t i = 0; kernel_at(i); i++)
        if (kernel_at(i)->runs_here())
            bench_kind(kernel_at(i), argv[1], all, peaks);
    printf("int8 peak after: %.0f GOP/s with %u threads\n", peak(all) * 1e-9, threads);
    team_free(one);
    team_free(all);
    return 0;
}
