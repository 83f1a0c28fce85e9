/* ask.h -- videoMetadata and mediaResolution of a request's part: which frames, how large.
 *
 * Threads: none; pure functions.
 * Source:  docs/reference/request.md; Gemini API, "Video understanding": one frame a second by default.
 */
#ifndef TRANCHE_PREDICT_MEDIA_ASK_H
#define TRANCHE_PREDICT_MEDIA_ASK_H

#include "format/request/request.h"
#include "predict/media/media.h"

#define MEDIA_FPS_DEFAULT 1.0

/* Reads what part k of content i says; kind and the limits stay as they are. False, with the reason, when it
 * asks for no frame: an end before the start. */
bool media_ask_read(const struct request *r, uint32_t i, uint32_t k, struct media_ask *out,
                    struct violation *why);
/* Pixels that an image or a frame is scaled down to, when it has more. */
uint32_t media_ask_pixels(const struct media_ask *ask);
/* "90s", "1.5s", "1.000000001s" in microseconds; false for anything else. */
bool media_offset_read(struct str text, int64_t *out);

#endif
