/* decode.h -- one file into pixels or samples, by ffmpeg's libraries.
 *
 * In:      a descriptor that can seek, and the demuxer that its first bytes named. No other demuxer is tried and
 *          no protocol is there: a file that names another one gets nothing.
 * Out:     pieces, in order of time, to the sink.
 * Frames:  the frame at a time t is the last one that is shown at or before t.
 * Images:  turned as their EXIF orientation says, videos as their display matrix says; what is transparent
 *          becomes white.
 * Errors:  INVALID_ARGUMENT with a reason for people.
 * Threads: one at a time; only in a process that can be lost.
 */
#ifndef TRANCHE_PREDICT_MEDIA_DECODE_H
#define TRANCHE_PREDICT_MEDIA_DECODE_H

#include "predict/media/libav.h"
#include "predict/media/wire.h"

struct media_sink {
    int (*piece)(void *arg, const struct media_piece *p, struct error *e);
    void *arg;
};

int media_decode(const struct libav *av, int fd, const struct media_order *order,
                 const struct media_sink *sink, struct error *e) FALLIBLE;

#endif
