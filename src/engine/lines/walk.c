#include "engine/lines/walk.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"

void walk_init(struct walk *w, const struct input *in, const struct ingest_result *job,
               struct spool *s)
{
    *w = (struct walk){ .input = in, .job = job, .spool = s };
    w->bytes = BUF_INIT(LINE_BYTES_MAX + SHARD_BYTES_MAX);
}

void walk_release(struct walk *w)
{
    buf_release(&w->bytes);
    mem_free(w->note);
}

static bool all_done(const struct walk *w, const struct shard *s)
{
    return memchr(w->done, false, s->line_count * sizeof w->done[0]) == NULL;
}

static int read_shard(struct walk *w, const struct shard *s, struct error *e)
{
    if (w->bytes.cap > SHARD_BYTES_MAX + 1)
        buf_release(&w->bytes);
    if (input_read_shard(w->input, s, &w->bytes, e) < 0)
        return -1;
    w->shard = s;
    lines_init(&w->lines, s, w->bytes.p, w->input->cut);
    if (!s->overlong)
        return 1;
    /* Its one line has a number and a place, but no text. */
    w->lines.rest = (struct str){ 0 };
    w->line = w->lines.line;
    w->has_line = true;
    return 1;
}

/* Opens the next shard that has lines to show: 1, or 0 when there is none. */
static int next_shard(struct walk *w, struct error *e)
{
    w->shard = NULL;
    while (w->next < w->job->shards.count) {
        const struct shard *s = &w->job->shards.item[w->next++];
        assert(s->line_count <= SHARD_LINES_MAX);
        if (w->spool && spool_done(w->spool, s->index, s->line_count, w->done, e) < 0)
            return -1;
        if (s->line_count && !(w->spool && all_done(w, s)))
            return read_shard(w, s, e);
    }
    return 0;
}

static bool next_line(struct walk *w)
{
    while (w->shard && !w->has_line && lines_next(&w->lines, &w->line)) {
        assert(w->line.index - w->shard->index < w->shard->line_count);
        w->has_line = !w->spool || !w->done[w->line.index - w->shard->index];
    }
    return w->has_line;
}

int walk_peek(struct walk *w, struct line *line, struct error *e)
{
    while (!w->has_line && !next_line(w)) {
        int rc = next_shard(w, e);
        if (rc <= 0)
            return rc;
    }
    *line = w->line;
    return 1;
}

void walk_take(struct walk *w)
{
    assert(w->has_line);
    w->has_line = false;
}

int walk_next(struct walk *w, struct line *line, struct error *e)
{
    int rc = walk_peek(w, line, e);

    w->has_line = false;
    return rc;
}

const struct line_note *walk_note(struct walk *w, uint64_t index)
{
    assert(w->shard && index - w->shard->index < w->shard->line_count);
    if (!w->note)
        w->note = mem_array(SHARD_LINES_MAX, sizeof *w->note);
    if (w->noted != w->shard) {
        line_index_read(w->job->index, (size_t)(w->shard - w->job->shards.item), w->shard, w->note);
        w->noted = w->shard;
    }
    return &w->note[index - w->shard->index];
}

/* The first shard whose lines end behind index. */
static size_t shard_of(const struct shard_list *all, uint64_t index)
{
    size_t low = 0, high = all->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct shard *s = &all->item[middle];
        if (s->index + s->line_count <= index)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

int walk_line(struct walk *w, uint64_t index, struct line *line, struct error *e)
{
    int rc;

    w->next = shard_of(&w->job->shards, index);
    w->shard = NULL;
    w->has_line = false;
    do {
        rc = walk_next(w, line, e);
    } while (rc == 1 && line->index < index);
    return rc;
}
