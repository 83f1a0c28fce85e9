/* walk.h -- the lines of a job after ingest, one at a time, in input order.
 *
 * Why: the pipeline goes on line for line behind the rows that the spool has; the output echoes every
 * line; estimates, summaries and retries look at single lines. One iterator serves them all and keeps
 * nothing in memory but one shard.
 *
 * Shape:   walk_peek shows the next line, walk_take moves past it, walk_next does both; walk_line finds
 *          a line by its index. With a spool, lines that have a row are passed over, and shards whose
 *          lines all have rows are not even opened.
 *          The text of an overlong line is empty; w->bytes holds its beginning.
 * Memory:  one shard.
 * Errors:  of reading, of the spool; FAILED_PRECONDITION when the input changed since ingest.
 * Threads: one owner. The strs are valid until the next call.
 */
#ifndef TRANCHE_ENGINE_LINES_WALK_H
#define TRANCHE_ENGINE_LINES_WALK_H

#include "engine/lines/ingest.h"
#include "engine/lines/input.h"
#include "engine/lines/line_index.h"
#include "store/spool/spool.h"

struct walk {
    const struct input *input;
    const struct ingest_result *job;
    struct spool *spool;       /* its rows' lines are passed over; NULL: none is */
    size_t next;               /* the shard to be opened next */
    const struct shard *shard; /* the open one; NULL: none */
    struct buf bytes;          /* of it */
    struct lines lines;        /* what is left of it */
    struct line line;          /* the one shown, while has_line */
    bool has_line;
    bool done[SHARD_LINES_MAX]; /* lines of the open shard that have rows */
    struct line_note *note;     /* of the lines of shard `noted`; SHARD_LINES_MAX, or NULL */
    const struct shard *noted;
};

void walk_init(struct walk *w, const struct input *in, const struct ingest_result *job,
               struct spool *s);
void walk_release(struct walk *w);
/* 1 and *line, which stays the next one; 0 after the last. w->shard is the line's shard. */
int walk_peek(struct walk *w, struct line *line, struct error *e) FALLIBLE;
void walk_take(struct walk *w);
int walk_next(struct walk *w, struct line *line, struct error *e) FALLIBLE;
/* The note that ingest made of a line of the open shard. */
const struct line_note *walk_note(struct walk *w, uint64_t index);
/* The line of this index: 1, or 0 when the job has none. walk_next goes on behind it. */
int walk_line(struct walk *w, uint64_t index, struct line *line, struct error *e) FALLIBLE;

#endif
