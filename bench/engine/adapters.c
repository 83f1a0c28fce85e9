/* adapters.c -- what adapters cost the engine, and what it saves to compute them together.
 *
 * Why: tuned models of one base share an engine, whose forwards have rows of several adapters. The alternative is to
 * switch: the requests of one adapter, then those of the next.
 *
 * Usage:   bench_adapters MODEL.gguf [ROUNDS] [THREADS]
 * Adapters: ADAPTERS files of rank RANK over all matrices of the layers, made here. Their B is zero: they are computed
 *          like any others, and every way generates the same tokens.
 * Ways:    ADAPTERS * EACH requests, all of them or those of one adapter submitted at once, to one session with as
 *          many sequences. Ways take turns; the first round, which loads, is not counted.
 * Prints:  for each way the median of seconds and of CPU seconds, tokens a second of CPU, and the range.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <gguf.h>

#include "base/mem.h"
#include "format/lines.h"
#include "format/request/request.h"
#include "predict/predictor.h"

#define ADAPTERS 8
#define EACH 2 /* open requests of an adapter */
#define REQUESTS (ADAPTERS * EACH)
#define RANK 16
#define ROUNDS_MAX 101
#define FILE_BYTES ((size_t)64 * 1024 * 1024)

static void die(const char *what)
{
    fprintf(stderr, "bench_adapters: %s\n", what);
    exit(1);
}

/* ---- Adapters ---- */

static void add_tensor(struct gguf_context *file, struct ggml_context *memory, const char *matrix,
                       char which, int64_t columns, int64_t rows)
{
    struct ggml_tensor *t = ggml_new_tensor_2d(memory, GGML_TYPE_F32, columns, rows);
    char name[GGML_MAX_NAME];

    for (int64_t i = 0; i < columns * rows; i++)
        ((float *)t->data)[i] = which == 'a' ? (float)(i % 17 - 8) * 0.01f : 0.0f;
    (void)snprintf(name, sizeof name, "%s.lora_%c", matrix, which);
    ggml_set_name(t, name);
    gguf_add_tensor(file, t);
}

static bool is_adapted(const char *name)
{
    static const char *const parts[] = { "attn_q.",   "attn_k.", "attn_v.",  "attn_output.",
                                         "ffn_gate.", "ffn_up.", "ffn_down." };

    for (size_t i = 0; i < ARRAY_LEN(parts); i++)
        if (strstr(name, parts[i]) && strstr(name, ".weight"))
            return true;
    return false;
}

/* The matrices are those that the model has. */
static void write_adapter(const char *model, const char *path)
{
    const struct ggml_init_params params = { FILE_BYTES, NULL, false };
    struct gguf_context *of = gguf_init_from_file(model, (struct gguf_init_params){ true, NULL });
    struct gguf_context *file = gguf_init_empty();
    struct ggml_context *memory = ggml_init(params);

    if (!of || !memory)
        die(model);
    gguf_set_val_str(file, "general.type", "adapter");
    gguf_set_val_str(file, "general.architecture",
                     gguf_get_val_str(of, gguf_find_key(of, "general.architecture")));
    gguf_set_val_str(file, "adapter.type", "lora");
    gguf_set_val_f32(file, "adapter.lora.alpha", (float)RANK);
    for (int64_t i = 0; i < gguf_get_n_tensors(of); i++) {
        const char *name = gguf_get_tensor_name(of, i);
        const int64_t *shape = gguf_get_tensor_ne(of, i);
        if (!is_adapted(name))
            continue;
        add_tensor(file, memory, name, 'a', shape[0], RANK);
        add_tensor(file, memory, name, 'b', RANK, shape[1]);
    }
    if (!gguf_write_to_file(file, path, false))
        die(path);
    gguf_free(file);
    gguf_free(of);
    ggml_free(memory);
}

/* ---- The ways ---- */

struct bench {
    struct predictor *session;
    struct arena arena;
    const struct request *request[REQUESTS];
    struct adapter_list adapter[ADAPTERS];
};

struct cost {
    double seconds, cpu;
    uint64_t tokens; /* generated */
};

static double clock_read(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void submit(struct bench *b, uint32_t request, const struct adapter_list *with)
{
    struct error e = { 0 };

    b->session->ops->adapt(b->session, with);
    if (b->session->ops->submit(b->session, b->request[request], NULL, &e) < 0)
        die(e.msg);
}

static void take(struct bench *b, uint32_t count)
{
    struct error e = { 0 };

    while (count) {
        struct answer a = { 0 };
        int rc = b->session->ops->wait(b->session, 1000, &a, &e);
        if (rc < 0 || (rc > 0 && a.error.code != ERROR_OK))
            die(rc < 0 ? e.msg : a.error.msg);
        count -= rc > 0;
        answer_release(&a);
    }
}

static void run_base(struct bench *b)
{
    for (uint32_t i = 0; i < REQUESTS; i++)
        submit(b, i, NULL);
    take(b, REQUESTS);
}

static void run_one(struct bench *b)
{
    for (uint32_t i = 0; i < REQUESTS; i++)
        submit(b, i, &b->adapter[0]);
    take(b, REQUESTS);
}

static void run_together(struct bench *b)
{
    for (uint32_t i = 0; i < REQUESTS; i++)
        submit(b, i, &b->adapter[i % ADAPTERS]);
    take(b, REQUESTS);
}

static void run_switching(struct bench *b)
{
    for (uint32_t a = 0; a < ADAPTERS; a++) {
        for (uint32_t i = a; i < REQUESTS; i += ADAPTERS)
            submit(b, i, &b->adapter[a]);
        take(b, EACH);
    }
}

static const struct {
    const char *name;
    void (*run)(struct bench *b);
} ways[] = {
    { "no adapter", run_base },
    { "one adapter for all", run_one },
    { "8 adapters together", run_together },
    { "8 adapters, one after the other", run_switching },
};
#define WAYS ARRAY_LEN(ways)

static struct cost measure(struct bench *b, size_t way)
{
    struct predictor_stats before = { 0 }, after = { 0 };
    double wall = clock_read(CLOCK_MONOTONIC), cpu = clock_read(CLOCK_PROCESS_CPUTIME_ID);

    b->session->ops->stats(b->session, &before);
    ways[way].run(b);
    b->session->ops->stats(b->session, &after);
    return (struct cost){ clock_read(CLOCK_MONOTONIC) - wall,
                          clock_read(CLOCK_PROCESS_CPUTIME_ID) - cpu,
                          after.generated_tokens - before.generated_tokens };
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void print_way(size_t way, const struct cost *cost, uint32_t rounds)
{
    double wall[ROUNDS_MAX], cpu[ROUNDS_MAX];

    for (uint32_t i = 0; i < rounds; i++) {
        wall[i] = cost[i].seconds;
        cpu[i] = cost[i].cpu;
    }
    qsort(wall, rounds, sizeof *wall, by_size);
    qsort(cpu, rounds, sizeof *cpu, by_size);
    printf("%-34s %6.2f s  CPU %6.2f s (%.2f-%.2f)  %6.1f tokens/s of CPU, %llu tokens\n",
           ways[way].name, wall[rounds / 2], cpu[rounds / 2], cpu[0], cpu[rounds - 1],
           (double)cost[0].tokens / cpu[rounds / 2], (unsigned long long)cost[0].tokens);
}

/* ---- Setting up ---- */

static void make_requests(struct bench *b)
{
    for (uint32_t i = 0; i < REQUESTS; i++) {
        struct line_rules rules = { 0 };
        struct violations bad = { 0 };
        struct input_line in = { 0 };
        const char *line = arena_textf(
            &b->arena,
            "{\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Tell a story of "
            "%u animals that travel to a far city.\"}]}],"
            "\"generationConfig\":{\"temperature\":0,\"maxOutputTokens\":64}}}",
            i + 2);
        if (!request_read_line(&b->arena, str_of(line), &rules, &in, &bad))
            die(bad.item[0].message);
        b->request[i] = in.request;
    }
}

static void make_adapters(struct bench *b, const char *model, const char *folder)
{
    for (uint32_t i = 0; i < ADAPTERS; i++) {
        const char *path = arena_textf(&b->arena, "%s/%u.gguf", folder, i);
        write_adapter(model, path);
        b->adapter[i] = (struct adapter_list){ { { path, 1.0f, 0 } }, 1 };
    }
}

static void remove_adapters(const struct bench *b, const char *folder)
{
    for (uint32_t i = 0; i < ADAPTERS; i++)
        (void)unlink(b->adapter[i].item[0].file);
    (void)rmdir(folder);
}

int main(int argc, char **argv)
{
    static struct cost cost[WAYS][ROUNDS_MAX];
    const struct predictor_env env = { .clock = clock_system(), .seed = 1 };
    uint32_t rounds = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 5;
    char folder[] = "/tmp/bench-adapters-XXXXXX";
    struct bench b = { 0 };
    struct error e = { 0 };

    if (argc < 2 || !rounds || rounds > ROUNDS_MAX)
        die("usage: bench_adapters MODEL.gguf [ROUNDS] [THREADS]");
    const struct model m = {
        .pattern = "model",
        .kind = MODEL_LOCAL,
        .file = argv[1],
        .context = 512,
        .sequences = REQUESTS,
        .threads = argc > 3 ? (uint32_t)strtoul(argv[3], NULL, 10) : 2,
    };
    if (!mkdtemp(folder))
        die("no temporary folder");
    make_requests(&b);
    make_adapters(&b, argv[1], folder);
    b.session = predictor_local_open(&m, &env, &e);
    if (!b.session)
        die(e.msg);
    for (uint32_t round = 0; round <= rounds; round++)
        for (size_t way = 0; way < WAYS; way++) {
            struct cost c = measure(&b, way);
            if (round)
                cost[way][round - 1] = c;
        }
    for (size_t way = 0; way < WAYS; way++)
        print_way(way, cost[way], rounds);
    b.session->ops->close(b.session);
    remove_adapters(&b, folder);
    arena_release(&b.arena);
    return 0;
}
