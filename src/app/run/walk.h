/* walk.h -- the lines of a job once more, after ingest.
 *
 * Why: estimates read a sample, summaries name the lines of failures, and a retry compares an
 * earlier output line by line: all want lines by their index, without keeping anything in memory.
 *
 * Shape:   walk_next gives every line in order; walk_line finds one by its index.
 * Memory:  one shard.
 * Errors:  of reading; FAILED_PRECONDITION when the input changed since ingest.
 * Threads: one owner. The strs are valid until the next call.
 */
#ifndef TRANCHE_APP_RUN_WALK_H
#define TRANCHE_APP_RUN_WALK_H

#include "engine/lines/ingest.h"
#include "engine/lines/input.h"

struct walk {
    const struct input *input;
    const struct ingest_result *job;
    size_t next;      /* shard to be read next */
    struct buf bytes; /* of the shard being read */
    struct lines lines;
    uint32_t file; /* of the current line */
    bool overlong; /* the current line's text was left out: it is empty */
};

void walk_init(struct walk *w, const struct input *in, const struct ingest_result *job);
void walk_release(struct walk *w);
/* 1 and *line; 0 after the job's last line. */
int walk_next(struct walk *w, struct line *line, struct error *e) FALLIBLE;
/* The line of this index: 1, or 0 when the job has none. walk_next goes on behind it. */
int walk_line(struct walk *w, uint64_t index, struct line *line, struct error *e) FALLIBLE;

#endif
