/* media_store.h -- media that were encoded, by their content, for all requests of a session.
 *
 * Why: encoding an image costs as much as hundreds of tokens, and lines of a batch use the same files.
 *
 * Key:     digest of the file's bytes, kind, resolution, and the time of a frame. The projector is the session's.
 * Shape:   find, or put what was encoded; either gives a reference, which drop gives back. Each chunk of rows has
 *          an id below 0 that no other content of the session has: prompts hold it as a token, so the prefix tree
 *          needs to know nothing of media.
 * Memory:  what no reference holds goes, the least recently used first, above MEDIA_STORE_BYTES.
 * Threads: any; one lock.
 */
#ifndef TRANCHE_PREDICT_LOCAL_MEDIA_STORE_H
#define TRANCHE_PREDICT_LOCAL_MEDIA_STORE_H

#include "base/error.h"
#include "predict/local/media_rows.h"
#include "predict/media/media.h"
#include "predict/media/source.h"

#define MEDIA_STORE_BYTES ((uint64_t)256 << 20)

struct media_key {
    unsigned char digest[MEDIA_DIGEST_BYTES];
    int64_t time_us;
    uint32_t kind, resolution;
};

struct media_entry {
    struct media_key key;
    struct media_rows rows; /* constant while referenced */
    uint64_t bytes;
    uint32_t references;
    struct media_entry *next, *previous; /* of all, the most recently used first */
};

struct media_store;
struct media_store *media_store_new(uint32_t media_width);
void media_store_free(struct media_store *s); /* with what is still referenced; accepts NULL */
/* NULL: not there. */
struct media_entry *media_store_find(struct media_store *s, const struct media_key *key);
/* Takes the rows. */
struct media_entry *media_store_put(struct media_store *s, const struct media_key *key,
                                    struct media_rows *rows);
void media_store_drop(struct media_store *s, struct media_entry *m);

/* The frames of a video, as an earlier request had them taken: their times, so that a video whose frames are all
 * there need not be decoded. */
struct media_frames {
    int64_t *time_us; /* the caller's to free */
    uint32_t count;
};
bool media_store_frames(struct media_store *s, const struct media_key *file,
                        const struct media_ask *ask, struct media_frames *out);
void media_store_note_frames(struct media_store *s, const struct media_key *file,
                             const struct media_ask *ask, const struct media_frames *frames);

/* Counters: pieces that were encoded, and those that were found instead. */
void media_store_stats(struct media_store *s, uint64_t *encoded, uint64_t *found);

#endif
