/* window.h -- the lines that are open now: in prefix order, duplicates together, failures waiting.
 *
 * Why: requests that share a beginning are computed together when they are neighbours, identical
 * deterministic ones once; and memory is bounded whatever the job's size (I5).
 *
 * Shape:   lines enter in input order while there is room; they leave to the predictor in the order
 *          of their prompts (system instruction first), as an elevator that goes round, so none
 *          starves. A line is at most WINDOW_LINES_MAX lines ahead of the oldest open one.
 *          A line whose digest is open already becomes that one's follower and takes its answer.
 * Threads: one owner, the pipeline.
 */
#ifndef TRANCHE_ENGINE_WINDOW_H
#define TRANCHE_ENGINE_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "format/request.h"
#include "format/lines.h"
#include "store/spool.h"

#define WINDOW_LINES_MAX 4096
#define WINDOW_BYTES_MAX ((size_t)24 * 1024 * 1024) /* of line text; one longer line may stand alone */

/* An open line. The window owns it and its arena. */
struct open_line {
    struct open_line *follower; /* next identical line, oldest first */
    struct arena arena;         /* the text and everything parsed from it */
    struct input_line in;
    struct line line;
    unsigned char digest[SPOOL_DIGEST_BYTES]; /* of a deterministic request */
    bool has_digest;
    uint32_t attempt;      /* failures so far */
    uint64_t not_before_ns; /* monotonic; 0: now */
    size_t bytes;          /* counted against the window */
};

struct window;
struct window *window_new(void);
void window_free(struct window *w);
bool window_has_room(const struct window *w, uint64_t index); /* may line index enter? */
/* A line from the window's pool, to be filled; give it to window_add or window_drop. */
struct open_line *window_line(struct window *w);
void window_add(struct window *w, struct open_line *l); /* takes l; its request is set */
/* The next to submit at this time, or NULL (and when one will be ready, if any waits). */
struct open_line *window_next(struct window *w, uint64_t now_ns, uint64_t *ready_ns);
void window_unsend(struct window *w, struct open_line *l);  /* it could not be submitted: first again */
void window_retry(struct window *w, struct open_line *l, uint64_t not_before_ns);
void window_drop(struct window *w, struct open_line *l); /* done (its followers too) or not used */
uint32_t window_count(const struct window *w);   /* open, followers included */
uint32_t window_waiting(const struct window *w); /* not with the predictor */

#endif
