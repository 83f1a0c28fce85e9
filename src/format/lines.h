/* lines.h -- cut bytes into lines, remembering where each began.
 *
 * Why: inputs are larger than memory and a job must resume at the line it had reached, so a file is
 * cut into shards (contiguous runs of whole lines), and every line carries its byte offset.
 *
 * Shape:   one line = bytes up to and without '\n' (and a '\r' before it); a last line may lack it.
 *          A line of white space only is empty: it has a number but is skipped and never counted.
 *          With a struct line_cut, lines are the records of a table (RFC 4180).
 *          A UTF-8 byte order mark at the start of a file is skipped.
 * Units:   offset in bytes from the start of the file; line_no from 1, counting empty lines too;
 *          line_count and index count lines that are not empty.
 * Errors:  none; a line over LINE_BYTES_MAX is a shard of its own, marked overlong.
 * Threads: none.
 * Source:  https://jsonlines.org, and docs/formats.md.
 */
#ifndef TRANCHE_FORMAT_LINES_H
#define TRANCHE_FORMAT_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

#define LINE_BYTES_MAX ((size_t)32 * 1024 * 1024)
#define SHARD_LINES_MAX 1000
#define SHARD_BYTES_MAX ((size_t)8 * 1024 * 1024) /* of a shard of more than one line */

struct shard {
    uint32_t file;        /* which input, from 0 */
    bool overlong;        /* its only line is over LINE_BYTES_MAX */
    uint32_t line_count;  /* lines that are not empty: 0 to SHARD_LINES_MAX */
    uint64_t offset;      /* of its first byte in the file */
    uint64_t bytes;       /* with line ends */
    uint64_t line_no;     /* of its first line, from 1, empty ones counted */
    uint64_t line_no_end; /* of the line after its last */
    uint64_t index;       /* of its first non-empty line in the whole job, from 0 */
    uint64_t digest[2];   /* XXH3-128 of its bytes: a changed input is noticed */
};

/* The records of a table, when the lines are not JSON lines. NULL stands for plain lines. */
struct line_cut {
    /* Between a record's cells. A cell that begins with '"' may have line ends; the record is one line, and
     * its line_no is where it begins. 0: records are lines. */
    char delimiter;
    /* False: the line is passed over as an empty one is. NULL: all are kept. Any thread. */
    bool (*keep)(const void *arg, struct str text);
    const void *arg;
};

/* Bytes, of the len at p (which begin at a line's start), that make the next shard: whole lines, at
 * most SHARD_LINES_MAX non-empty and SHARD_BYTES_MAX bytes, but at least one line. Sets bytes,
 * line_count and line_no_end (from line_no). 0 when not even one whole line is there and more can
 * come (!at_end): call again with more bytes; at LINE_BYTES_MAX + 2 bytes without a line end, the
 * caller skips to the next one and makes an overlong shard. */
size_t shard_cut(const char *p, size_t len, bool at_end, const struct line_cut *cut,
                 struct shard *s);

struct line {
    struct str text;  /* without its line end; borrowed from the shard's bytes */
    uint64_t offset;  /* in the file */
    uint64_t line_no; /* in the file */
    uint64_t index;   /* in the job */
};
struct lines {
    struct str rest; /* what is still to be cut */
    struct line line;
    const struct line_cut *cut;
};

/* The non-empty lines of a shard whose bytes are at p. */
void lines_init(struct lines *it, const struct shard *s, const char *p, const struct line_cut *cut);
bool lines_next(struct lines *it, struct line *out);

/* The position of the '\n' that ends the record at the start of s; s.len when there is none. */
size_t record_end(struct str s, char delimiter);

/* Bytes of a UTF-8 byte order mark at the start of a file: 0 or 3. */
size_t lines_bom(const char *p, size_t len);

#endif
