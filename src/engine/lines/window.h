/* window.h -- the lines that are open now: in prefix order, duplicates together, failures waiting.
 *
 * Why: requests that share a beginning are computed together when they are neighbours, identical
 * deterministic ones once; and memory is bounded whatever the job's size (I5).
 *
 * Shape:   lines enter in input order while there is room; they leave to the predictor in the order
 *          of their prompts (system instruction first), as an elevator that goes round. A line is less
 *          than WINDOW_LINES_MAX lines ahead of the oldest open one, so it is overtaken by fewer than
 *          that: none starves.
 *          A line that has waited for a time goes before the others, or the end of the job would wait for
 *          it once more.
 *          A line whose digest is open already becomes that one's follower and takes its answer.
 * States:  an open line waits its turn, waits for a time (retry), is with the predictor, or follows.
 * Memory:  WINDOW_BYTES_MAX and what one line over it needs, for open lines and the pool together.
 * Threads: one owner, the pipeline.
 */
#ifndef TRANCHE_ENGINE_LINES_WINDOW_H
#define TRANCHE_ENGINE_LINES_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "format/request/request.h"
#include "format/lines.h"
#include "store/spool/spool.h"

#define WINDOW_LINES_MAX 4096
#define WINDOW_BYTES_MAX                                                                           \
    ((size_t)40 * 1024 * 1024) /* of the arenas; a longer line may stand alone */
/* Bytes of an arena for one byte of its line: the text, its parse, and the strings of that. */
#define WINDOW_ARENA_FACTOR 4

enum line_state {
    LINE_FREE,    /* in the pool, or being filled */
    LINE_WAITS,   /* for its turn */
    LINE_TIMED,   /* for a time */
    LINE_SENT,    /* with the predictor */
    LINE_FOLLOWS, /* an identical one */
};

/* An open line. The window owns it and its arena; the lower part is the window's own. */
struct open_line {
    struct arena arena; /* the text and everything parsed from it */
    struct input_line in;
    struct line line;
    unsigned char digest[SPOOL_DIGEST_BYTES]; /* of a deterministic request */
    bool has_digest;
    uint32_t attempt;           /* failures so far */
    uint32_t rejected;          /* of them: answers without the form that was asked for */
    struct open_line *follower; /* next identical line, oldest first; to be read only */

    enum line_state state;
    struct open_line *last_follower;
    struct open_line *next; /* in the pool, or in the digest's bucket */
    uint64_t not_before_ns; /* monotonic; while LINE_TIMED */
    size_t bytes;           /* counted against the window */
};

struct window;
struct window *window_new(void);
void window_free(struct window *w);
/* True when the line of this index and length may enter. Lines enter in the order of their indexes. */
bool window_has_room(const struct window *w, uint64_t index, size_t line_bytes);
/* A line from the window's pool, to be filled; give it to window_add or window_drop. */
struct open_line *window_line(struct window *w);
void window_add(struct window *w, struct open_line *l); /* takes l; its request is set */
/* The next to submit at this time, which then is with the predictor; or NULL, and when one that
 * waits for a time will be ready (UINT64_MAX: none does). */
struct open_line *window_next(struct window *w, uint64_t now_ns, uint64_t *ready_ns);
void window_unsend(struct window *w,
                   struct open_line *l); /* it could not be submitted: next again */
void window_retry(struct window *w, struct open_line *l, uint64_t not_before_ns);
/* Done with it: its followers too. Or it was never added. */
void window_drop(struct window *w, struct open_line *l);
/* Done with it, but its first follower is to be tried itself, the others following that one. */
void window_pass_on(struct window *w, struct open_line *l);
uint32_t window_count(const struct window *w); /* open, followers included */

#endif
