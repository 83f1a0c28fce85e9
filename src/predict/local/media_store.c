#include "predict/local/media_store.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"

/* Videos whose times of frames are remembered. */
#define VIDEOS_MAX 64

struct video {
    struct media_key file;
    int64_t start_us, end_us;
    double fps;
    struct media_frames frames;
};

struct media_store {
    pthread_mutex_t lock;   /* guards all below, and the links and references of entries */
    struct media_entry all; /* the ring's beginning */
    uint64_t bytes;
    uint32_t width;
    int32_t last_id; /* counts down */
    struct video video[VIDEOS_MAX];
    uint32_t video_at;
    uint64_t encoded, found;
};

struct media_store *media_store_new(uint32_t media_width)
{
    struct media_store *s = mem_alloc(sizeof *s);

    lock_init(&s->lock);
    s->all.next = s->all.previous = &s->all;
    s->width = media_width;
    return s;
}

static void unlink_entry(struct media_entry *m)
{
    m->next->previous = m->previous;
    m->previous->next = m->next;
}

static void link_first(struct media_store *s, struct media_entry *m)
{
    m->next = s->all.next;
    m->previous = &s->all;
    m->next->previous = m->previous->next = m;
}

static void remove_entry(struct media_store *s, struct media_entry *m)
{
    unlink_entry(m);
    s->bytes -= m->bytes;
    media_rows_release(&m->rows);
    mem_free(m);
}

void media_store_free(struct media_store *s)
{
    if (!s)
        return;
    while (s->all.next != &s->all)
        remove_entry(s, s->all.next);
    for (uint32_t i = 0; i < VIDEOS_MAX; i++)
        mem_free(s->video[i].frames.time_us);
    lock_destroy(&s->lock);
    mem_free(s);
}

static bool same_key(const struct media_key *a, const struct media_key *b)
{
    return a->time_us == b->time_us && a->kind == b->kind && a->resolution == b->resolution &&
           memcmp(a->digest, b->digest, sizeof a->digest) == 0;
}

/* Under the lock. A few hundred entries: the list is looked through. */
static struct media_entry *find(struct media_store *s, const struct media_key *key)
{
    struct media_entry *m = s->all.next;

    while (m != &s->all && !same_key(&m->key, key))
        m = m->next;
    if (m == &s->all)
        return NULL;
    m->references++;
    unlink_entry(m);
    link_first(s, m);
    return m;
}

struct media_entry *media_store_find(struct media_store *s, const struct media_key *key)
{
    lock(&s->lock);
    struct media_entry *m = find(s, key);
    s->found += m != NULL;
    unlock(&s->lock);
    return m;
}

/* Under the lock. */
static void make_room(struct media_store *s)
{
    struct media_entry *m = s->all.previous;

    while (s->bytes > MEDIA_STORE_BYTES && m != &s->all) {
        struct media_entry *before = m->previous;
        if (!m->references)
            remove_entry(s, m);
        m = before;
    }
}

struct media_entry *media_store_put(struct media_store *s, const struct media_key *key,
                                    struct media_rows *rows)
{
    lock(&s->lock);
    s->encoded++;
    struct media_entry *m = find(s, key); /* another thread may have been as fast */
    if (m) {
        media_rows_release(rows);
    } else {
        m = mem_alloc(sizeof *m);
        m->key = *key;
        m->rows = *rows;
        m->references = 1;
        for (uint32_t i = 0; i < rows->count; i++) {
            if (!rows->chunk[i].count)
                continue;
            assert(s->last_id > INT32_MIN + 1); /* two thousand million encodings */
            m->rows.chunk[i].id = --s->last_id;
            m->bytes += (uint64_t)rows->chunk[i].count * s->width * sizeof(float);
        }
        s->bytes += m->bytes;
        link_first(s, m);
        make_room(s);
    }
    unlock(&s->lock);
    *rows = (struct media_rows){ 0 };
    return m;
}

void media_store_drop(struct media_store *s, struct media_entry *m)
{
    lock(&s->lock);
    assert(m->references);
    m->references--;
    make_room(s);
    unlock(&s->lock);
}

/* ---- Frames ---- */

/* Under the lock. */
static struct video *video_of(struct media_store *s, const struct media_key *file,
                              const struct media_ask *ask)
{
    for (uint32_t i = 0; i < VIDEOS_MAX; i++) {
        struct video *v = &s->video[i];
        if (v->frames.count && same_key(&v->file, file) && v->start_us == ask->start_us &&
            v->end_us == ask->end_us && v->fps >= ask->fps && v->fps <= ask->fps)
            return v;
    }
    return NULL;
}

static struct media_frames copy_frames(const struct media_frames *f)
{
    struct media_frames copy = { mem_array(f->count, sizeof *f->time_us), f->count };

    memcpy(copy.time_us, f->time_us, f->count * sizeof *f->time_us);
    return copy;
}

bool media_store_frames(struct media_store *s, const struct media_key *file,
                        const struct media_ask *ask, struct media_frames *out)
{
    lock(&s->lock);
    const struct video *v = video_of(s, file, ask);
    if (v)
        *out = copy_frames(&v->frames);
    unlock(&s->lock);
    return v != NULL;
}

void media_store_note_frames(struct media_store *s, const struct media_key *file,
                             const struct media_ask *ask, const struct media_frames *frames)
{
    lock(&s->lock);
    if (!video_of(s, file, ask)) {
        struct video *v = &s->video[s->video_at++ % VIDEOS_MAX];
        mem_free(v->frames.time_us);
        *v = (struct video){ *file, ask->start_us, ask->end_us, ask->fps, copy_frames(frames) };
    }
    unlock(&s->lock);
}

void media_store_stats(struct media_store *s, uint64_t *encoded, uint64_t *found)
{
    lock(&s->lock);
    *encoded = s->encoded;
    *found = s->found;
    unlock(&s->lock);
}
