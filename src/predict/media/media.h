/* media.h -- an image, a video or a sound of a request on its way to a model: the words that all share.
 *
 * Data:    part of a request -> media_source (the file, by descriptor) -> media_sniff -> media_decoder (pieces:
 *          an image, the frames of a video with their times, or a whole sound) -> the model's projector.
 * Units:   times in microseconds from the beginning of the file; pixels are RGB, 3 bytes each, rows without
 *          gaps; samples are floats, one channel.
 */
#ifndef TRANCHE_PREDICT_MEDIA_MEDIA_H
#define TRANCHE_PREDICT_MEDIA_MEDIA_H

#include <stdbool.h>
#include <stdint.h>

#include "predict/media/sniff.h"

enum media_resolution {
    MEDIA_RESOLUTION_DEFAULT,
    MEDIA_RESOLUTION_LOW,
    MEDIA_RESOLUTION_MEDIUM,
    MEDIA_RESOLUTION_HIGH,
    MEDIA_RESOLUTION_ULTRA_HIGH,
};

#define MEDIA_END_OF_FILE INT64_MAX

/* The part of a file that a request wants, and how. */
struct media_ask {
    enum media_kind kind;
    enum media_resolution resolution;
    int64_t start_us, end_us; /* of a video; end: MEDIA_END_OF_FILE */
    double fps;               /* frames taken of each second of a video */
    uint32_t sample_rate;     /* of a sound */
    uint32_t frames_max;
    uint32_t seconds_max; /* between start and end */
};

/* One image, frame or sound. */
struct media_piece {
    uint32_t width, height; /* of pixels */
    uint64_t samples;       /* of a sound */
    int64_t time_us;        /* of a frame */
    unsigned char
        *data; /* the decoder's, until the next piece: width * height * 3, or samples floats */
    uint64_t bytes;
};

#endif
