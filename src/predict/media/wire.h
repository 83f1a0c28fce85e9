/* wire.h -- what the decoder's parent and child say to each other.
 *
 * Why: the child has no files and no memory in common with its parent; it gets each file as a descriptor, and
 *      writes what it decodes into a pipe, so that neither side holds a whole video.
 *
 * Shape:   parent -> child on a socket: struct media_order, with two descriptors: the file, and the pipe to
 *          write to. child -> parent on that pipe: struct media_record and its bytes, until a record of type
 *          END or ERROR, or, when the child has died, until the pipe ends.
 */
#ifndef TRANCHE_PREDICT_MEDIA_WIRE_H
#define TRANCHE_PREDICT_MEDIA_WIRE_H

#include "predict/media/media.h"

#define MEDIA_ROLE "media"
#define MEDIA_ERROR_BYTES 256

struct media_order {
    struct media_ask ask;
    uint32_t pixels; /* that a piece is scaled down to */
    char demuxer[24];
};

enum media_record_type { MEDIA_RECORD_PIECE, MEDIA_RECORD_END, MEDIA_RECORD_ERROR };
struct media_record {
    uint32_t type; /* an enum media_record_type */
    uint32_t code; /* of an error: an enum error_code */
    uint32_t width, height;
    uint64_t samples;
    int64_t time_us;
    uint64_t bytes; /* behind this record: of a piece, or the text of an error */
};

/* The child's main, for sandbox_role. */
int media_child_main(uint32_t fd_count);

#endif
