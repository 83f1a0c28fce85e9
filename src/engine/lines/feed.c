#include "engine/lines/feed.h"

#include <string.h>

#include "base/mem.h"

struct feed {
    const struct input *in;
    const struct ingest_result *job;
    struct spool *spool;
    size_t next;               /* shard to be opened next */
    const struct shard *shard; /* the open one; NULL: none */
    struct buf bytes;          /* of it */
    struct lines it;
    bool done[SHARD_LINES_MAX]; /* its lines that have rows */
    struct line line;           /* the one shown, when has_line */
    bool has_line;
};

static int next_shard(struct feed *f, struct error *e);
static bool next_line(struct feed *f);

struct feed *feed_new(const struct input *in, const struct ingest_result *job, struct spool *s)
{
    struct feed *f = mem_alloc(sizeof *f);

    f->in = in;
    f->job = job;
    f->spool = s;
    f->bytes = BUF_INIT(LINE_BYTES_MAX + SHARD_BYTES_MAX);
    return f;
}

void feed_free(struct feed *f)
{
    if (!f)
        return;
    buf_release(&f->bytes);
    mem_free(f);
}

int feed_peek(struct feed *f, struct line *out, bool *overlong, struct error *e)
{
    while (!f->has_line && !next_line(f)) {
        int rc = next_shard(f, e);
        if (rc <= 0)
            return rc;
    }
    *out = f->line;
    *overlong = f->shard->overlong;
    return 1;
}

void feed_take(struct feed *f)
{
    f->has_line = false;
}

static bool is_done(const struct feed *f, const struct shard *s)
{
    return memchr(f->done, false, s->line_count * sizeof f->done[0]) == NULL;
}

static void open_shard(struct feed *f, const struct shard *s)
{
    f->shard = s;
    lines_init(&f->it, s, f->bytes.p);
    if (!s->overlong)
        return;
    /* Its one line has a number and a place, but no text. */
    f->it.rest = (struct str){ 0 };
    f->line = f->it.line;
    f->has_line = true;
}

/* Opens the next shard that has lines to do: 1, or 0 when there is none. */
static int next_shard(struct feed *f, struct error *e)
{
    f->shard = NULL;
    if (f->bytes.cap > SHARD_BYTES_MAX + 1)
        buf_release(&f->bytes);
    while (f->next < f->job->shards.count) {
        const struct shard *s = &f->job->shards.item[f->next++];
        if (spool_done(f->spool, s->index, s->line_count, f->done, e) < 0)
            return -1;
        if (is_done(f, s))
            continue;
        if (input_read_shard(f->in, s, &f->bytes, e) < 0)
            return -1;
        open_shard(f, s);
        return 1;
    }
    return 0;
}

static bool next_line(struct feed *f)
{
    while (f->shard && !f->has_line && lines_next(&f->it, &f->line))
        f->has_line = !f->done[f->line.index - f->shard->index];
    return f->has_line;
}
