/* limits.h -- how many media of each kind a model's request may have, how large and how long.
 *
 * Why: a request that Gemini refuses should not run here, and a file must not cost more memory and time
 *      than any real one needs.
 *
 * Units:   bytes of the file as it is stored; pixels of one image or frame; seconds of the part of a video
 *          that is asked for.
 * Threads: none; constant data.
 * Source:  docs/reference/limits.md; model cards of Gemini 2.0 to 3, "Media".
 */
#ifndef TRANCHE_PREDICT_MEDIA_LIMITS_H
#define TRANCHE_PREDICT_MEDIA_LIMITS_H

#include <stdint.h>

#include "format/request/request.h"

/* Limits of this program, for all models. */
#define MEDIA_PIXELS_MAX (64u << 20)       /* of an image */
#define MEDIA_FRAME_PIXELS_MAX (36u << 20) /* of a frame: 8192 x 4352 fits */
#define MEDIA_SIDE_MAX 32768u
#define MEDIA_SOUND_S_MAX 1800u /* decoded whole: 115 MB at 16 kHz */
#define MEDIA_CPU_S_MAX 300u    /* of processor time to decode one file */
#define MEDIA_VIDEO_BYTES_MAX (2ull << 30)
#define MEDIA_AUDIO_BYTES_MAX (512ull << 20)

struct media_limits {
    const char *pattern; /* glob over the short name of the model that the request names */
    uint32_t images, videos, sounds;          /* of one request */
    uint64_t image_inline_bytes, image_bytes; /* of an image as inlineData, and as a file */
    uint32_t video_s, sound_s;                /* length of one */
};

/* Those of the first pattern that fits; the last fits all. */
const struct media_limits *media_limits_of(const char *model);
/* False, with the reason, when the request has more media of a kind than the model takes. */
bool media_limits_accept(const struct media_limits *l, const struct request *r,
                         struct violation *why);

#endif
