/* media_rows.h -- what a projector makes of an image, a frame or a sound: the rows that stand for it in a prompt.
 *
 * Shape:   chunks in the order of the prompt: tokens of the vocabulary (the marks around an image), or rows of
 *          embeddings.
 * Owns:    all that its pointers point to.
 */
#ifndef TRANCHE_PREDICT_LOCAL_MEDIA_ROWS_H
#define TRANCHE_PREDICT_LOCAL_MEDIA_ROWS_H

#include <stdbool.h>
#include <stdint.h>

#include "predict/local/tokens.h"

/* A place within a chunk that has two dimensions; t counts from the chunk's first position. */
struct media_place {
    uint32_t t, x, y;
};

struct media_chunk {
    struct tokens text; /* when count is 0 */
    uint32_t count;     /* rows of embeddings */
    uint32_t places;  /* positions that they take: count, or fewer when they have two dimensions */
    bool whole;       /* all rows attend to each other: one forward computes them */
    int32_t id;       /* below 0, of the content; set by who keeps the rows */
    float *embedding; /* [count][media_width] */
    struct media_place *place; /* [count]; NULL: one after another */
};

struct media_rows {
    struct media_chunk *chunk;
    uint32_t count;
};
/* A new chunk at the end. */
struct media_chunk *media_rows_add(struct media_rows *r);
void media_rows_release(struct media_rows *r);

#endif
