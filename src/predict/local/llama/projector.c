#include "predict/local/llama/projector.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <mtmd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sandbox.h"
#include "base/sys.h"
#include "predict/local/llama/llama_bridge.h"
#include "predict/local/llama/llama_text.h"

/* A large projector takes seconds to load, on a machine that does much else minutes. */
#define TRIAL_MS (10 * 60 * 1000)
#define TRIAL_CPU_S 300
#define TRIAL_MEMORY ((uint64_t)64 << 30)
#define PATH_BYTES 4096
#define LABEL_BYTES 64
#define SIDE_MIN 2 /* pixels: what preprocessing divides by */

struct projector {
    struct mtmd_context *context;
    uint32_t width;
};

/* ---- The trial in a child ---- */

static void on_log(enum ggml_log_level level, const char *text, void *arg)
{
    (void)arg;
    size_t len = strcspn(text, "\n");
    if (len && level == GGML_LOG_LEVEL_ERROR)
        log_warn("libmtmd: %.*s", (int)len, text);
    else if (len)
        log_debug("libmtmd: %.*s", (int)len, text);
}

static struct mtmd_context *load(const char *path, const struct llama_model *model,
                                 uint32_t threads)
{
    struct mtmd_context_params params = mtmd_context_params_default();

    params.use_gpu = false;
    params.print_timings = false;
    params.n_threads = (int)threads;
    params.media_marker = CHAT_MEDIA_MARK;
    params.warmup = false;
    mtmd_log_set(on_log, NULL);
    return mtmd_init_from_file(path, model, params);
}

/* Loads and uses the file where a crash does no harm. Programs without children (tests of parts) skip it. */
static int try_file(const char *path, const char *model_path, struct error *e)
{
    struct error why = { 0 };
    struct sandbox_end end;
    int fd[2] = { sys_open(path, O_RDONLY, e), -1 };

    if (fd[0] < 0)
        return -1;
    fd[1] = sys_open(model_path, O_RDONLY, e);
    if (fd[1] < 0) {
        (void)close(fd[0]);
        return -1;
    }
    const struct sandbox_spec spec = {
        .role = PROJECTOR_ROLE,
        .name = "projector",
        .fd = fd,
        .fd_count = 2,
        .memory_bytes = TRIAL_MEMORY,
        .cpu_s = TRIAL_CPU_S,
    };
    struct sandbox *child = sandbox_start(&spec, &why);
    (void)close(fd[0]);
    (void)close(fd[1]);
    if (!child && why.code == ERROR_FAILED_PRECONDITION)
        return 0;
    if (!child) {
        *e = why;
        return -1;
    }
    bool ended = sandbox_wait(child, TRIAL_MS, &end);
    sandbox_free(child);
    if (ended && end.signal == 0 && end.status == 0)
        return 0;
    return error_set(e, ERROR_FAILED_PRECONDITION, "%s is not a projector that can be loaded%s%s",
                     path, ended && end.signal ? ": the process that tried it " : "",
                     ended && end.signal ? end.text : "");
}

/* ---- Opening ---- */

static struct projector *open_tried(const char *path, const struct llama_model *model,
                                    uint32_t threads)
{
    struct mtmd_context *context = load(path, model, threads);

    if (!context)
        return NULL;
    struct projector *p = mem_alloc(sizeof *p);
    p->context = context;
    p->width = (uint32_t)llama_model_n_embd_inp(model);
    return p;
}

struct projector *projector_open(const char *path, const char *model_path,
                                 const struct llama_model *model, uint32_t threads, struct error *e)
{
    if (llama_text_check(path, e) < 0 || try_file(path, model_path, e) < 0) {
        (void)error_wrap(e, "projector");
        return NULL;
    }
    struct projector *p = open_tried(path, model, threads);
    if (!p)
        (void)error_set(e, ERROR_FAILED_PRECONDITION,
                        "projector: %s does not fit the model: a projector belongs to one model",
                        path);
    return p;
}

void projector_free(struct projector *p)
{
    if (!p)
        return;
    mtmd_free(p->context);
    mem_free(p);
}

void projector_info(const struct projector *p, struct runtime_info *info)
{
    int rate = mtmd_get_audio_sample_rate(p->context);

    info->sees = mtmd_support_vision(p->context);
    info->hears = mtmd_support_audio(p->context) && rate > 0;
    info->sample_rate = info->hears ? (uint32_t)rate : 0;
    info->media_width = p->width;
}

bool projector_has_places(const struct projector *p)
{
    return mtmd_decode_use_mrope(p->context);
}

/* ---- Encoding ---- */

static void take_text(const struct mtmd_input_chunk *from, struct media_rows *out)
{
    size_t count = 0;
    const llama_token *token = mtmd_input_chunk_get_tokens_text(from, &count);

    if (count)
        tokens_append(&media_rows_add(out)->text, token, (uint32_t)count);
}

static void take_places(const struct mtmd_input_chunk *from, struct media_chunk *to)
{
    const struct mtmd_image_tokens *image = mtmd_input_chunk_get_tokens_image(from);

    to->places = (uint32_t)mtmd_input_chunk_get_n_pos(from);
    if (!image || to->places == to->count)
        return;
    to->place = mem_array(to->count, sizeof *to->place);
    for (uint32_t i = 0; i < to->count; i++) {
        struct mtmd_decoder_pos at = mtmd_image_tokens_get_decoder_pos(image, 0, i);
        to->place[i] = (struct media_place){ at.t, at.x, at.y };
    }
}

static int take_media(struct projector *p, const struct mtmd_input_chunk *from,
                      struct media_rows *out, struct error *e)
{
    if (mtmd_encode_chunk(p->context, from) != 0)
        return error_set(e, ERROR_INTERNAL, "The projector failed on the file.");
    struct media_chunk *to = media_rows_add(out);
    to->count = (uint32_t)mtmd_input_chunk_get_n_tokens(from);
    to->whole = mtmd_decode_use_non_causal(p->context, from);
    size_t bytes = (size_t)to->count * p->width * sizeof(float);
    to->embedding = mem_alloc(bytes);
    memcpy(to->embedding, mtmd_get_output_embd(p->context), bytes);
    take_places(from, to);
    return 0;
}

static int take_chunks(struct projector *p, const struct mtmd_input_chunks *all,
                       struct media_rows *out, struct error *e)
{
    size_t count = mtmd_input_chunks_size(all);
    int rc = 0;

    for (size_t i = 0; i < count && rc == 0; i++) {
        const struct mtmd_input_chunk *c = mtmd_input_chunks_get(all, i);
        if (mtmd_input_chunk_get_type(c) == MTMD_INPUT_CHUNK_TYPE_TEXT)
            take_text(c, out);
        else
            rc = take_media(p, c, out, e);
    }
    return rc;
}

static struct mtmd_bitmap *bitmap_of(const struct media_piece *piece)
{
    if (piece->samples) {
        const float *samples = (const float *)(const void *)piece->data;
        return mtmd_bitmap_init_from_audio((size_t)piece->samples, samples);
    }
    return mtmd_bitmap_init(piece->width, piece->height, piece->data);
}

int projector_encode(struct projector *p, const struct media_piece *piece, const char *label,
                     struct media_rows *out, struct error *e)
{
    char text[LABEL_BYTES];
    int len = snprintf(text, sizeof text, "%s" CHAT_MEDIA_MARK, label);
    const struct mtmd_input_text marked = { text, (size_t)len, false, true };

    assert(len < LABEL_BYTES);

    if (!piece->samples && (piece->width < SIDE_MIN || piece->height < SIDE_MIN))
        return error_set(e, ERROR_INVALID_ARGUMENT, "The image has %u x %u pixels: too few.",
                         piece->width, piece->height);
    struct mtmd_bitmap *bitmap = bitmap_of(piece);
    struct mtmd_input_chunks *chunks = mtmd_input_chunks_init();
    const struct mtmd_bitmap *all[] = { bitmap };
    int rc = mtmd_tokenize(p->context, chunks, &marked, all, 1);
    rc = rc == 0 ? take_chunks(p, chunks, out, e)
                 : error_set(e, ERROR_INVALID_ARGUMENT,
                             "The model's projector does not take the file.");
    mtmd_input_chunks_free(chunks);
    mtmd_bitmap_free(bitmap);
    if (rc < 0)
        media_rows_release(out);
    return rc;
}

/* ---- The trial's child ---- */

/* An image and a second of silence, as far as the projector takes them. */
static int try_all(struct projector *p, struct error *e)
{
    enum { SIDE = 64, SAMPLES = 16000 };
    struct media_piece image = { .width = SIDE,
                                 .height = SIDE,
                                 .bytes = (uint64_t)SIDE * SIDE * 3 };
    struct media_piece sound = { .samples = SAMPLES, .bytes = SAMPLES * sizeof(float) };
    struct runtime_info info = { 0 };
    struct media_rows rows = { 0 };
    int rc = 0;

    projector_info(p, &info);
    image.data = mem_alloc(image.bytes);
    sound.data = mem_alloc(sound.bytes);
    if (info.sees)
        rc = projector_encode(p, &image, "", &rows, e);
    if (rc == 0 && info.hears)
        rc = projector_encode(p, &sound, "", &rows, e);
    media_rows_release(&rows);
    mem_free(image.data);
    mem_free(sound.data);
    return rc;
}

/* The path by which this child opens a descriptor, and the one of the file, which the seal must name. */
static void name_paths(int fd, char path[PATH_BYTES], char target[PATH_BYTES])
{
    (void)snprintf(path, PATH_BYTES, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(path, target, PATH_BYTES - 1);
    target[len > 0 ? len : 0] = '\0';
}

/* Only the two files may be opened, and only to be read. */
int projector_main(uint32_t fd_count)
{
    char path[2][PATH_BYTES], target[2][PATH_BYTES];
    const char *const only[] = { target[0], target[1] };
    const struct sandbox_seal seal = { .open = true, .path = only, .path_count = 2 };
    struct llama_model_params params = llama_model_default_params();
    struct error e = { 0 };

    if (fd_count != 2)
        return 1;
    name_paths(SANDBOX_FD_FIRST, path[0], target[0]);
    name_paths(SANDBOX_FD_FIRST + 1, path[1], target[1]);
    bridge_quiet();
    llama_errors_catch(NULL);
    llama_backend_init();
    if (sandbox_seal(&seal, &e) < 0) {
        log_error("%s", e.msg);
        return 1;
    }
    params.vocab_only = true;
    struct llama_model *model = llama_model_load_from_file(path[1], params);
    struct projector *p = model ? open_tried(path[0], model, 1) : NULL;
    int rc = p ? try_all(p, &e) : -1;
    if (rc < 0 && e.msg[0])
        log_error("%s", e.msg);
    return rc < 0;
}
