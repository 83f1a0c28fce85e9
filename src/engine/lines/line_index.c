#include "engine/lines/line_index.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "engine/lines/digest.h"
#include "engine/lines/ingest.h"

#define MAGIC UINT64_C(0x5f78656469656e6c) /* reads otherwise in another byte order */
#define VERSION 2 /* of this file: grows when a struct that it holds changes */
/* So much is held in memory: of most jobs without a path it is all. */
#define HELD_BYTES_MAX ((size_t)256 * 1024)

/* The end of the file, which is written last. */
struct tail {
    uint64_t magic;
    uint32_t version, bytes;     /* of struct tail */
    uint64_t files, input_bytes; /* what was ingested */
    uint64_t repeats_bytes;
    uint64_t body[2];            /* digest of the shards and the sketch */
    struct ingest_result result; /* its pointers are NULL */
    uint64_t check[2];           /* digest of all above */
};

struct line_index {
    int fd;     /* -1: all notes are in `held` */
    char *path; /* or the folder of a file without a name */
    struct buf held;
};

struct line_index_writer {
    struct line_index *index; /* what it will be; `held` is what is not written yet */
    char *temp;               /* its name while it is written; NULL: it has none */
    uint64_t shards, lines;   /* so far */
    bool failed;              /* logged already; nothing is written any more */
};

void line_index_free(struct line_index *x)
{
    if (!x)
        return;
    if (x->fd >= 0)
        (void)close(x->fd);
    buf_release(&x->held);
    mem_free(x->path);
    mem_free(x);
}

/* The number of bytes before the notes of a shard. */
static uint64_t notes_at(uint64_t shard, uint64_t index)
{
    return index * sizeof(struct line_note) + shard * sizeof(uint64_t);
}

static bool read_all(const struct line_index *x, void *p, uint64_t len, uint64_t at)
{
    struct error e;

    if (x->fd < 0) {
        memcpy(p, x->held.p + at, (size_t)len);
        return true;
    }
    int64_t got = sys_read_at(x->fd, p, (size_t)len, at, x->path, &e);

    if (got < 0)
        log_warn("%s", e.msg);
    return got >= 0 && (uint64_t)got == len;
}

/* ---- Making one ---- */

static void writer_free(struct line_index_writer *w)
{
    line_index_free(w->index);
    mem_free(w->temp);
    mem_free(w);
}

static void fail(struct line_index_writer *w, const struct error *why)
{
    if (!w->failed)
        log_warn("what was learnt of the lines is not kept: %s", why->msg);
    w->failed = true;
}

static char *temp_name(const char *path)
{
    size_t bytes = strlen(path) + sizeof ".tmp";
    char *temp = mem_alloc(bytes);

    (void)snprintf(temp, bytes, "%s.tmp", path);
    return temp;
}

struct line_index_writer *line_index_begin(const char *folder, const char *path)
{
    struct line_index_writer *w = mem_alloc(sizeof *w);
    struct error e;

    w->index = mem_alloc(sizeof *w->index);
    w->index->path = mem_strdup(path ? path : folder);
    w->index->held = BUF_INIT(HELD_BYTES_MAX + (SHARD_LINES_MAX + 1) * sizeof(struct line_note));
    w->index->fd = -1;
    if (!path)
        return w;
    w->temp = temp_name(path);
    w->index->fd = sys_open(w->temp, O_RDWR | O_CREAT | O_TRUNC, &e);
    if (w->index->fd < 0)
        fail(w, &e);
    return w;
}

static void put(struct line_index_writer *w, const void *p, size_t len)
{
    struct error e;

    if (!w->failed && sys_write_all(w->index->fd, p, len, w->index->path, &e) < 0)
        fail(w, &e);
}

static void flush(struct line_index_writer *w)
{
    struct line_index *x = w->index;
    struct error e;

    if (!w->failed && x->fd < 0) {
        x->fd = sys_open_nameless(x->path, &e);
        if (x->fd < 0)
            fail(w, &e);
    }
    put(w, x->held.p, x->held.len);
    buf_clear(&x->held);
}

static uint64_t check_of(const struct line_note *note, uint32_t count)
{
    uint64_t digest[2];

    digest_of(note, count * sizeof *note, digest);
    return digest[0] ^ digest[1];
}

void line_index_add(struct line_index_writer *w, const struct shard *s,
                    const struct line_note *note)
{
    uint64_t check = check_of(note, s->line_count);

    assert(s->index == w->lines); /* shards come in input order */
    buf_add(&w->index->held, note, s->line_count * sizeof *note);
    buf_add(&w->index->held, &check, sizeof check);
    w->lines += s->line_count;
    w->shards++;
    if (w->index->held.len >= HELD_BYTES_MAX)
        flush(w);
}

static bool revise_shard(struct line_index *x, size_t number, const struct shard *s,
                         void (*fn)(void *arg, struct line_note *note, uint32_t count), void *arg)
{
    struct line_note note[SHARD_LINES_MAX + 1]; /* the last holds the checksum */
    size_t len = s->line_count * sizeof *note;
    uint64_t at = notes_at(number, s->index);
    struct error e;

    if (!read_all(x, note, len, at))
        return false;
    fn(arg, note, s->line_count);
    uint64_t check = check_of(note, s->line_count);
    memcpy((char *)note + len, &check, sizeof check);
    len += sizeof check;
    if (x->fd < 0) {
        memcpy(x->held.p + at, note, len);
        return true;
    }
    if (lseek(x->fd, (off_t)at, SEEK_SET) >= 0 && sys_write_all(x->fd, note, len, x->path, &e) == 0)
        return true;
    log_warn("what was learnt of the lines is not kept: %s cannot be written", x->path);
    return false;
}

void line_index_revise(struct line_index_writer *w, const struct ingest_result *r,
                       void (*fn)(void *arg, struct line_note *note, uint32_t count), void *arg)
{
    assert(w->lines == r->lines && w->shards == r->shards.count);
    if (w->index->fd >= 0)
        flush(w);
    for (size_t i = 0; i < r->shards.count && !w->failed; i++)
        w->failed = !revise_shard(w->index, i, &r->shards.item[i], fn, arg);
    if (w->index->fd >= 0 && lseek(w->index->fd, 0, SEEK_END) < 0)
        w->failed = true;
}

static struct tail tail_of(const struct input *in, const struct ingest_result *r)
{
    struct tail t = {
        .magic = MAGIC,
        .version = VERSION,
        .bytes = sizeof t,
        .files = in->count,
        .input_bytes = in->bytes,
        .result = *r,
    };
    size_t repeats_len;
    const void *repeats = repeats_bytes(r->repeats, &repeats_len);
    struct digest *d = digest_new();

    t.repeats_bytes = repeats_len;
    digest_add(d, r->shards.item, r->shards.count * sizeof *r->shards.item);
    digest_add(d, repeats, repeats_len);
    digest_end(d, t.body);
    digest_free(d);
    t.result.shards.item = NULL;
    t.result.repeats = NULL;
    t.result.index = NULL;
    digest_of(&t, offsetof(struct tail, check), t.check);
    return t;
}

/* Writes what a later load needs. The bytes are on the disk before they get the name, so the name never
 * stands for less than the whole. */
static void keep(struct line_index_writer *w, const struct input *in, const struct ingest_result *r)
{
    struct tail t = tail_of(in, r);
    size_t repeats_len;
    const void *repeats = repeats_bytes(r->repeats, &repeats_len);
    struct error e;

    flush(w);
    put(w, r->shards.item, r->shards.count * sizeof *r->shards.item);
    put(w, repeats, repeats_len);
    put(w, &t, sizeof t);
    if (!w->failed &&
        (sys_sync(w->index->fd, w->temp, &e) < 0 || sys_rename(w->temp, w->index->path, &e) < 0))
        fail(w, &e);
}

void line_index_end(struct line_index_writer *w, const struct input *in, struct ingest_result *r)
{
    if (!w)
        return;
    assert(w->lines == r->lines && w->shards == r->shards.count);
    if (w->temp)
        keep(w, in, r);
    else if (w->index->fd >= 0)
        flush(w);
    if (w->failed) {
        line_index_abort(w);
        return;
    }
    r->index = w->index;
    w->index = NULL;
    writer_free(w);
}

void line_index_abort(struct line_index_writer *w)
{
    if (!w)
        return;
    if (w->temp)
        (void)unlink(w->temp);
    writer_free(w);
}

/* ---- Using one ---- */

static bool read_tail(const struct line_index *x, const struct input *in, struct tail *t)
{
    uint64_t check[2];
    struct stat st;

    if (fstat(x->fd, &st) < 0 || (uint64_t)st.st_size < sizeof *t ||
        !read_all(x, t, sizeof *t, (uint64_t)st.st_size - sizeof *t))
        return false;
    digest_of(t, offsetof(struct tail, check), check);
    if (t->magic != MAGIC || t->version != VERSION || t->bytes != sizeof *t ||
        memcmp(check, t->check, sizeof check) != 0)
        return false;
    uint64_t shards = t->result.shards.count;
    uint64_t bytes = notes_at(shards, t->result.lines) + shards * sizeof(struct shard) +
                     t->repeats_bytes + sizeof *t;
    return (uint64_t)st.st_size == bytes &&
           (!in || (t->files == in->count && t->input_bytes == in->bytes));
}

/* The shards and the sketch. */
static bool read_body(const struct line_index *x, const struct tail *t, struct ingest_result *r)
{
    uint64_t at = notes_at(t->result.shards.count, t->result.lines), digest[2];
    size_t shards_len = t->result.shards.count * sizeof *r->shards.item, repeats_len;
    void *repeats = repeats_bytes(r->repeats, &repeats_len);

    if (repeats_len != t->repeats_bytes || !read_all(x, r->shards.item, shards_len, at) ||
        !read_all(x, repeats, repeats_len, at + shards_len))
        return false;
    struct digest *d = digest_new();
    digest_add(d, r->shards.item, shards_len);
    digest_add(d, repeats, repeats_len);
    digest_end(d, digest);
    digest_free(d);
    return memcmp(digest, t->body, sizeof digest) == 0;
}

static bool load(const struct line_index *x, const struct input *in, struct ingest_result *r)
{
    struct tail t;

    if (!read_tail(x, in, &t))
        return false;
    *r = t.result;
    r->shards.item = mem_array(r->shards.count, sizeof *r->shards.item);
    r->repeats = repeats_new(t.input_bytes);
    if (read_body(x, &t, r))
        return true;
    ingest_result_release(r);
    return false;
}

bool line_index_load(const char *path, const struct input *in, struct ingest_result *r)
{
    struct line_index *x = mem_alloc(sizeof *x);
    struct error e = { 0 };

    x->path = mem_strdup(path);
    x->fd = sys_open(path, O_RDONLY, &e);
    if (x->fd >= 0 && load(x, in, r)) {
        r->index = x;
        return true;
    }
    if (x->fd >= 0)
        log_info("%s is torn or of another version: the input is read again", path);
    else if (e.code != ERROR_NOT_FOUND)
        log_warn("%s", e.msg);
    line_index_free(x);
    return false;
}

void line_index_read(const struct line_index *x, size_t shard, const struct shard *s,
                     struct line_note note[SHARD_LINES_MAX])
{
    size_t len = s->line_count * sizeof *note;
    uint64_t check, at = notes_at(shard, s->index);

    assert(s->line_count <= SHARD_LINES_MAX);
    if (x && read_all(x, note, len, at) && read_all(x, &check, sizeof check, at + len) &&
        check == check_of(note, s->line_count))
        return;
    if (x)
        log_warn("%s is damaged at byte %llu: %u lines are parsed again", x->path,
                 (unsigned long long)at, s->line_count);
    memset(note, 0, len); /* LINE_UNKNOWN */
}
