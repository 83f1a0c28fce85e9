#include "app/run/walk.h"

static int shard_read(struct walk *w, struct error *e);

void walk_init(struct walk *w, const struct input *in, const struct ingest_result *job)
{
    *w = (struct walk){ .input = in, .job = job, .bytes = BUF_INIT(LINE_BYTES_MAX + 2) };
}

void walk_release(struct walk *w)
{
    buf_release(&w->bytes);
}

int walk_next(struct walk *w, struct line *line, struct error *e)
{
    while (!lines_next(&w->lines, line)) {
        if (w->next == w->job->shards.count)
            return 0;
        if (shard_read(w, e) < 0)
            return -1;
    }
    if (line->index >= w->job->lines)
        return 0;
    if (w->overlong)
        line->text = STR("");
    return 1;
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

    if (index >= w->job->lines)
        return 0;
    w->next = shard_of(&w->job->shards, index);
    w->lines = (struct lines){ 0 };
    do {
        rc = walk_next(w, line, e);
    } while (rc == 1 && line->index < index);
    return rc;
}

static int shard_read(struct walk *w, struct error *e)
{
    const struct shard *s = &w->job->shards.item[w->next];

    if (input_read_shard(w->input, s, &w->bytes, e) < 0)
        return -1;
    w->next++;
    w->file = s->file;
    w->overlong = s->overlong;
    lines_init(&w->lines, s, w->bytes.p);
    if (s->overlong) /* its bytes are not all here: any text makes the one line */
        w->lines.rest = STR("overlong");
    return 0;
}
