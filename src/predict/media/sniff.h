/* sniff.h -- which format a file is, by its first bytes, and whether its MIME type says so.
 *
 * Why: a demuxer is chosen from a fixed list, never by guessing: ffmpeg's own guess takes a playlist that is
 *      named .mp4, and reads what it lists. A size that the header claims is refused before anything is
 *      allocated for it.
 *
 * In:      the first MEDIA_HEAD_BYTES of a file, or all of a smaller one.
 * Threads: none; pure functions.
 * Source:  RFC 2083, ITU T.81, GIF89a, the WebP container specification, ISO/IEC 14496-12, RFC 9559, RFC 3533,
 *          RFC 9639.
 */
#ifndef TRANCHE_PREDICT_MEDIA_SNIFF_H
#define TRANCHE_PREDICT_MEDIA_SNIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define MEDIA_HEAD_BYTES ((size_t)256 * 1024) /* a JPEG's size stands behind its metadata */

enum media_kind { MEDIA_KIND_IMAGE, MEDIA_KIND_VIDEO, MEDIA_KIND_AUDIO };

struct media_format {
    const char *name; /* as people say it: "JPEG" */
    enum media_kind kind;
    const char *demuxer; /* of libavformat; NULL: known, and not decoded */
    const char *types;   /* MIME types that fit, with a space on both sides of each */
    const char *why;     /* of one that is not decoded: the reason and the remedy */
};

struct media_sniffed {
    const struct media_format *format; /* NULL: none that is known */
    uint32_t width, height; /* that the header claims; 0: it does not say, or further behind */
};

void media_sniff(const void *head, size_t bytes, struct media_sniffed *out);
/* True when the type names the format, its kind ("image/" and a star), or says nothing about it. */
bool media_type_fits(const struct media_format *f, struct str type);
/* "image", "video", "sound". */
const char *media_kind_name(enum media_kind kind);
/* The kind that a MIME type asks for; false: text, a document or anything else. */
bool media_kind_of_type(struct str type, enum media_kind *out);

#endif
