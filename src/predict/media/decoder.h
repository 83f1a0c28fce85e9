/* decoder.h -- files decoded by a process that may die.
 *
 * Why: decoders of images and videos are the most attacked libraries there are. The process that runs them
 *      can read the file and write pixels, and nothing else (base/sandbox.h); when it crashes, hangs or takes
 *      too much memory, the file has an error and the next file gets a new process.
 *
 * Shape:   media_decoder_new -> open ... next ... close -> open ... -> free. One file at a time. A process
 *          decodes many files, but none after one that failed.
 * Memory:  one piece, at most of the pixels that were asked for, or one sound.
 * Errors:  INVALID_ARGUMENT for what is wrong with the file, with a sentence for people; FAILED_PRECONDITION when
 *          there are no decoders here; DEADLINE_EXCEEDED for a file that gives nothing for too long.
 * Threads: one owner at a time.
 */
#ifndef TRANCHE_PREDICT_MEDIA_DECODER_H
#define TRANCHE_PREDICT_MEDIA_DECODER_H

#include "base/error.h"
#include "predict/media/media.h"

struct media_decoder;
struct media_decoder *media_decoder_new(void);
void media_decoder_free(struct media_decoder *d); /* accepts NULL */
/* Begins with a file, which stays the caller's. Its first bytes choose the decoder; type: the MIME type that the
 * request gives it. ask->kind is set from both. */
int media_decoder_open(struct media_decoder *d, int file, struct str type, struct media_ask *ask,
                       struct error *e) FALLIBLE;
/* 1 and the next piece, or 0 at the end, or -1. */
int media_decoder_next(struct media_decoder *d, struct media_piece *out, struct error *e);
void media_decoder_close(struct media_decoder *d); /* also in the middle of a file */

/* The format of a file and the kind that it is read as. Errors as above, for files that need not be decoded to
 * know that they are wrong. */
int media_file_check(int file, struct str type, struct media_sniffed *out, enum media_kind *kind,
                     struct error *e) FALLIBLE;

#endif
