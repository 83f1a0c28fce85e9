/* input.h -- the files of a run, opened once and read by byte range.
 *
 * Why: ingest, pipeline and renderer read the same bytes at different times; a file that changed in
 * between must be noticed, never mixed.
 *
 * Shape:   files in the order given; a pattern's matches in byte order; "-" is standard input, copied
 *          first to a file in the state folder, which is removed at the end unless the caller keeps it.
 *          A path that exists is itself, even with * ? [ in it. A file of gzip or zstd is unpacked
 *          first, to a file without a name, which goes when it is closed.
 * Errors:  NOT_FOUND, PERMISSION_DENIED, INVALID_ARGUMENT (a folder, damaged gzip or zstd) naming
 *          the path; RESOURCE_EXHAUSTED when the disk is full;
 *          FAILED_PRECONDITION from reading when the bytes are no longer those of ingest.
 * Threads: input_read_at may be called from several at once; the rest is the owner's.
 */
#ifndef TRANCHE_ENGINE_LINES_INPUT_H
#define TRANCHE_ENGINE_LINES_INPUT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/error.h"
#include "base/str.h"
#include "format/lines.h"

#define INPUT_FILES_MAX 10000

struct input_file {
    char *path; /* as shown to the user */
    char *
        copy; /* of what cannot be read again: the file with its bytes, removed at the end; or NULL */
    int fd;
    uint64_t bytes;
    uint64_t begin;   /* offset of its first line, when a header stands before it; else 0 */
    uint64_t line_no; /* of that line */
    dev_t dev;        /* of the file that was given, packed or not, with ino and changed_ns */
    ino_t ino;
    int64_t changed_ns; /* its modification time, when it was opened */
};
struct input {
    struct input_file *file;
    uint32_t count;
    uint64_t bytes;             /* of all */
    const struct line_cut *cut; /* of all; NULL: plain lines. Borrowed */
};

/* paths: files, patterns with * ? [, or "-". dir: where standard input is copied, and what is packed, unpacked. */
int input_open(struct input *in, const char *const *paths, uint32_t count, const char *dir,
               struct error *e) FALLIBLE;
/* A file that is open already. */
struct input_source {
    const char *name; /* for messages; copied */
    int fd;           /* taken */
    const char *copy; /* as input_file's; copied; or NULL */
};
/* The stored files of src in their order. All descriptors are taken, also when it fails. */
int input_open_fds(struct input *in, const struct input_source *src, uint32_t count,
                   struct error *e) FALLIBLE;
/* True when the file is one of the inputs. */
bool input_has(const struct input *in, const struct stat *st);
/* All len bytes, which must lie within the file as it was opened. */
int input_read_at(const struct input *in, uint32_t file, uint64_t offset, void *p, size_t len,
                  struct error *e) FALLIBLE;
/* The bytes of a shard into out (cleared first), checked against its digest. An overlong shard
 * keeps only its first OVERLONG_HEAD_BYTES: enough to recognise the line. */
#define OVERLONG_HEAD_BYTES 1024
int input_read_shard(const struct input *in, const struct shard *s, struct buf *out,
                     struct error *e) FALLIBLE;
/* Moves the copies of what cannot be read again to FOLDER/0, FOLDER/1 and so on by the files' numbers, where they stay. */
int input_keep_copies(struct input *in, const char *folder, struct error *e) FALLIBLE;
void input_release(struct input *in);

#endif
