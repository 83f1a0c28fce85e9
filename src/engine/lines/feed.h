/* feed.h -- the lines of a job that have no row yet, one at a time, in input order.
 *
 * Why: a resumed run goes on line for line: what the spool has is not read again, and shards that are
 * done are not even opened.
 *
 * Shape:   feed_peek shows the next line, feed_take moves past it.
 * Memory:  one shard.
 * Errors:  of reading, of the spool; FAILED_PRECONDITION when the input changed.
 * Threads: one owner, the pipeline.
 */
#ifndef TRANCHE_ENGINE_LINES_FEED_H
#define TRANCHE_ENGINE_LINES_FEED_H

#include "engine/lines/ingest.h"
#include "engine/lines/input.h"
#include "store/spool/spool.h"

struct feed;
struct feed *feed_new(const struct input *in, const struct ingest_result *job, struct spool *s);
void feed_free(struct feed *f);
/* 1 and the line, whose text is valid until the next call; 0 at the end. The text of an overlong
 * line is not there. */
int feed_peek(struct feed *f, struct line *out, bool *overlong, struct error *e) FALLIBLE;
void feed_take(struct feed *f);

#endif
