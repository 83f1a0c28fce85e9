#include "predict/local/media_stage.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/chan.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "predict/local/media_store.h"
#include "predict/media/ask.h"
#include "predict/media/decoder.h"

#define LABEL_BYTES 32

struct media_stage {
    struct media_stage_spec spec;
    struct media_store *store;
    struct chan *in; /* tasks */
    pthread_t thread;
    atomic_bool stop;
    struct media_decoder *decoder; /* the thread's */
};

/* A task while its media are put in. */
struct filling {
    struct media_stage *stage;
    struct task *task;
    const struct request *request;
    struct tokens prompt;   /* the new one */
    uint32_t places;        /* positions that it takes so far */
    uint32_t content, part; /* of the request's next media */
    struct error *e;
};

/* ---- Entries of a task ---- */

static uint32_t *modality_of(struct task *t, enum media_kind kind)
{
    return kind == MEDIA_KIND_IMAGE   ? &t->image_tokens
           : kind == MEDIA_KIND_VIDEO ? &t->video_tokens
                                      : &t->audio_tokens;
}

static void add_chunk(struct filling *f, const struct media_chunk *c)
{
    struct task *t = f->task;

    if (!c->count) {
        tokens_append(&f->prompt, c->text.item, c->text.count);
        f->places += c->text.count;
        return;
    }
    t->media = mem_list_grow(t->media, t->media_count, sizeof *t->media);
    t->media[t->media_count++] = (struct task_media){ f->prompt.count, f->places, c };
    int32_t *id = tokens_reserve(&f->prompt, c->count);
    for (uint32_t i = 0; i < c->count; i++)
        id[i] = c->id;
    f->prompt.count += c->count;
    f->places += c->places;
}

/* Takes the reference. -1 when the prompt is longer than any that fits. */
static int add_entry(struct filling *f, struct media_entry *m)
{
    struct task *t = f->task;
    uint32_t most = f->stage->spec.info->context_max - 1, before = f->prompt.count;

    t->entry = mem_list_grow(t->entry, t->entry_count, sizeof(struct media_entry *));
    t->entry[t->entry_count++] = m;
    for (uint32_t i = 0; i < m->rows.count; i++)
        add_chunk(f, &m->rows.chunk[i]);
    *modality_of(t, (enum media_kind)m->key.kind) += f->prompt.count - before;
    if (f->prompt.count <= most)
        return 0;
    return error_set(f->e, ERROR_INVALID_ARGUMENT,
                     "The media need more tokens than the model takes (%u). Ask for a lower "
                     "mediaResolution, or of a video for a part or a lower fps.",
                     most);
}

void media_stage_release(struct media_stage *s, struct task *t)
{
    for (uint32_t i = 0; i < t->entry_count; i++)
        media_store_drop(s->store, t->entry[i]);
    t->entry_count = 0;
}

/* ---- One file ---- */

/* "[01:05] ", with tenths when frames are closer than a second. */
static void label_frame(const struct media_ask *ask, int64_t time_us, char text[LABEL_BYTES])
{
    long long tenths = (long long)((time_us + 50000) / 100000), seconds = tenths / 10;

    if (ask->kind != MEDIA_KIND_VIDEO)
        text[0] = '\0';
    else if (ask->fps > 1)
        (void)snprintf(text, LABEL_BYTES, "[%02lld:%02lld.%lld] ", seconds / 60, seconds % 60,
                       tenths % 10);
    else
        (void)snprintf(text, LABEL_BYTES, "[%02lld:%02lld] ", (long long)(time_us / 60000000),
                       (long long)(time_us / 1000000 % 60));
}

static int take_piece(struct filling *f, const struct media_ask *ask, struct media_key *key,
                      const struct media_piece *piece)
{
    struct runtime *r = f->stage->spec.runtime;
    struct media_rows rows = { 0 };
    char label[LABEL_BYTES];

    key->time_us = piece->time_us;
    struct media_entry *m = media_store_find(f->stage->store, key);
    if (!m) {
        label_frame(ask, piece->time_us, label);
        if (r->ops->encode(r, piece, label, &rows, f->e) < 0)
            return -1;
        m = media_store_put(f->stage->store, key, &rows);
    }
    return add_entry(f, m);
}

static int note_time(struct media_frames *frames, int64_t time_us)
{
    frames->time_us = mem_list_grow(frames->time_us, frames->count, sizeof *frames->time_us);
    frames->time_us[frames->count++] = time_us;
    return 0;
}

static int is_stopped(const struct filling *f)
{
    if (!atomic_load(&f->stage->stop) && !atomic_load(&f->task->cancelled))
        return 0;
    return error_set(f->e, ERROR_CANCELLED, "The request was cancelled.");
}

static int decode_file(struct filling *f, int fd, struct str type, struct media_ask *ask,
                       const struct media_key *file)
{
    struct media_decoder *d = f->stage->decoder;
    struct media_key key = *file;
    struct media_frames frames = { 0 };
    struct media_piece piece;
    int rc = media_decoder_open(d, fd, type, ask, f->e);

    if (rc < 0)
        return -1;
    while (rc == 0 && (rc = media_decoder_next(d, &piece, f->e)) > 0) {
        rc = is_stopped(f) < 0 ? -1 : take_piece(f, ask, &key, &piece);
        (void)note_time(&frames, piece.time_us);
    }
    media_decoder_close(d);
    if (rc == 0)
        media_store_note_frames(f->stage->store, file, ask, &frames);
    mem_free(frames.time_us);
    return rc;
}

/* True when all pieces of the file are there as they are asked for: nothing is decoded. */
static bool take_known(struct filling *f, const struct media_ask *ask, const struct media_key *file,
                       int *rc)
{
    struct media_store *s = f->stage->store;
    struct media_frames frames;
    struct media_key key = *file;
    uint32_t found = 0;

    if (!media_store_frames(s, file, ask, &frames))
        return false;
    struct media_entry **all = mem_array(frames.count, sizeof(struct media_entry *));
    for (; found < frames.count; found++) {
        key.time_us = frames.time_us[found];
        all[found] = media_store_find(s, &key);
        if (!all[found])
            break;
    }
    bool known = found == frames.count;
    *rc = 0;
    for (uint32_t i = 0; i < found; i++)
        if (known && *rc == 0)
            *rc = add_entry(f, all[i]);
        else
            media_store_drop(s, all[i]);
    mem_free(all);
    mem_free(frames.time_us);
    return known;
}

static int check_kind(struct filling *f, enum media_kind kind)
{
    const struct runtime_info *info = f->stage->spec.info;

    if (kind == MEDIA_KIND_AUDIO ? info->hears : info->sees)
        return 0;
    return error_set(f->e, ERROR_INVALID_ARGUMENT, "The model %s cannot take %ss.", info->name,
                     media_kind_name(kind));
}

static int take_file(struct filling *f, const struct part *p, const struct media_file *file,
                     struct media_ask *ask)
{
    const struct media_limits *limits = f->stage->spec.info->limits;
    struct media_key key = { .resolution = ask->resolution };
    struct media_sniffed sniffed;
    int rc;

    if (media_file_check(file->fd, p->mime, &sniffed, &ask->kind, f->e) < 0 ||
        check_kind(f, ask->kind) < 0)
        return -1;
    memcpy(key.digest, file->digest, sizeof key.digest);
    key.kind = ask->kind;
    ask->seconds_max = ask->kind == MEDIA_KIND_AUDIO ? limits->sound_s : limits->video_s;
    ask->frames_max = f->stage->spec.info->context_max;
    ask->sample_rate = f->stage->spec.info->sample_rate ? f->stage->spec.info->sample_rate : 16000;
    return take_known(f, ask, &key, &rc) ? rc : decode_file(f, file->fd, p->mime, ask, &key);
}

static int take_part(struct filling *f, const struct part *p)
{
    const struct media_limits *limits = f->stage->spec.info->limits;
    struct media_ask ask = { 0 };
    struct violation why;
    struct media_file file;

    if (is_stopped(f) < 0)
        return -1;
    if (!media_ask_read(f->request, f->content, f->part, &ask, &why))
        return error_set(f->e, ERROR_INVALID_ARGUMENT, "%s", why.message);
    if (media_file_open(f->request, p, limits, &file, f->e) < 0)
        return -1;
    int rc = take_file(f, p, &file, &ask);
    (void)close(file.fd);
    return rc;
}

/* ---- One task ---- */

static bool is_media(const struct part *p)
{
    return p->kind == PART_INLINE_DATA || p->kind == PART_FILE_DATA;
}

/* The next part of the request that holds media; the prompt has a mark for each. */
static const struct part *next_part(struct filling *f)
{
    const struct request *r = f->request;

    for (; f->content < r->content_count; f->content++, f->part = 0)
        for (; f->part < r->content[f->content].part_count; f->part++)
            if (is_media(&r->content[f->content].part[f->part]))
                return &r->content[f->content].part[f->part];
    return NULL;
}

static int fill(struct filling *f)
{
    const struct tokens *from = &f->task->prompt;

    for (uint32_t i = 0; i < from->count; i++) {
        if (from->item[i] >= 0) {
            tokens_add(&f->prompt, from->item[i]);
            f->places++;
            continue;
        }
        const struct part *p = next_part(f);
        assert(p);
        if (take_part(f, p) < 0)
            return error_wrap(f->e, "contents[%u].parts[%u]", f->content, f->part);
        f->part++;
    }
    return 0;
}

static void take_task(struct media_stage *s, struct task *t)
{
    struct filling f = { .stage = s, .task = t, .request = t->request, .e = &t->error };

    touch_set(s->spec.touch, TOUCH_MEDIA, t->tag);
    if (fill(&f) == 0) {
        struct tokens marked = t->prompt;
        t->prompt = f.prompt;
        f.prompt = marked;
    }
    tokens_release(&f.prompt);
    touch_end(s->spec.touch, TOUCH_MEDIA);
    s->spec.done(s->spec.arg, t);
}

static void *stage_main(void *arg)
{
    struct media_stage *s = arg;
    struct task *t;

    while ((t = chan_recv(s->in, UINT32_MAX)))
        take_task(s, t);
    return NULL;
}

struct media_stage *media_stage_new(const struct media_stage_spec *spec, struct error *e)
{
    struct media_stage *s = mem_alloc(sizeof *s);

    s->spec = *spec;
    s->store = media_store_new(spec->info->media_width);
    s->in = chan_new(spec->window);
    s->decoder = media_decoder_new();
    int rc = pthread_create(&s->thread, NULL, stage_main, s);
    if (rc == 0)
        return s;
    errno = rc;
    (void)error_errno(e, "no thread for media");
    chan_close(s->in);
    media_stage_free(s);
    return NULL;
}

void media_stage_stop(struct media_stage *s)
{
    if (!s)
        return;
    atomic_store(&s->stop, true);
    chan_close(s->in);
    thread_join(s->thread);
}

void media_stage_free(struct media_stage *s)
{
    if (!s)
        return;
    uint64_t encoded, found;
    media_store_stats(s->store, &encoded, &found);
    if (encoded)
        log_info("media: %llu encoded, %llu found again", (unsigned long long)encoded,
                 (unsigned long long)found);
    media_decoder_free(s->decoder);
    media_store_free(s->store);
    chan_free(s->in);
    mem_free(s);
}

void media_stage_add(struct media_stage *s, struct task *t)
{
    (void)chan_send(s->in, t); /* has room for the whole window */
}

/* ---- Validation ---- */

static bool refuse(struct violation *why, const char *path, const char *message, const char *remedy)
{
    *why = (struct violation){ 0 };
    (void)snprintf(why->path, sizeof why->path, "%s", path);
    (void)snprintf(why->message, sizeof why->message, "%s", message);
    (void)snprintf(why->remedy, sizeof why->remedy, "%s", remedy);
    return false;
}

static bool part_accepts(const struct runtime_info *info, const struct part *p, const char *path,
                         struct violation *why)
{
    char message[VIOLATION_TEXT_BYTES];
    enum media_kind kind;
    bool known = media_kind_of_type(p->mime, &kind);
    bool any = !p->mime.len || str_eq_c(p->mime, "application/octet-stream");

    if (any || (known && (kind == MEDIA_KIND_AUDIO ? info->hears : info->sees)))
        return true;
    (void)snprintf(message, sizeof message, "%s cannot take %s.", info->name,
                   !known                     ? "documents"
                   : kind == MEDIA_KIND_AUDIO ? "sounds"
                                              : "images and videos");
    return refuse(why, path, message, "Leave it out, or use a model that can.");
}

bool media_stage_accepts(const struct runtime_info *info, const struct request *r,
                         struct violation *why)
{
    char path[VIOLATION_PATH_BYTES];
    struct media_ask ask;

    for (uint32_t i = 0; i < r->content_count; i++)
        for (uint32_t k = 0; k < r->content[i].part_count; k++) {
            if (!is_media(&r->content[i].part[k]))
                continue;
            (void)snprintf(path, sizeof path, "contents[%u].parts[%u]", i, k);
            if (!part_accepts(info, &r->content[i].part[k], path, why) ||
                !media_ask_read(r, i, k, &ask, why))
                return false;
        }
    return media_limits_accept(info->limits, r, why);
}
