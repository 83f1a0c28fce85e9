/* render.h -- the output: rows in input order, from the input and the spool.
 *
 * Why: output in input order, never a partial file under the final name, readable while it runs.
 *
 * Shape:   rows go to PATH.partial as far as every line before them is answered; at the end the file
 *          is synced and renamed to PATH. "-" writes to standard output as far as it is known.
 *          A table's rows (line_rules) are written as the table says, behind its head. A PATH that ends
 *          in .gz or .zst is compressed.
 *          A device or pipe is written directly, without a .partial.
 *          After a crash the file is rendered again from the first line: the spool is the truth.
 * Errors:  of writing (RESOURCE_EXHAUSTED: disk full; CANCELLED: nobody reads the pipe any more);
 *          FAILED_PRECONDITION when the input changed; INVALID_ARGUMENT when the path is a folder or
 *          an input; ABORTED when another process renders to it.
 * Threads: one owner, the pipeline's; a thread of its own writes the file.
 */
#ifndef TRANCHE_ENGINE_LINES_RENDER_H
#define TRANCHE_ENGINE_LINES_RENDER_H

#include "engine/lines/ingest.h"
#include "engine/lines/input.h"
#include "format/row.h"
#include "store/kept/kept.h"
#include "store/spool/spool.h"

struct render;
struct render *render_open(const char *path, const struct input *in,
                           const struct ingest_result *job, const struct line_rules *rules,
                           enum row_style style, struct error *e);
/* fn sees all bytes of the output in their order as they are written, on a thread of its own: to hash
 * them. Set before the first render_advance. */
void render_tee(struct render *r, void (*fn)(void *arg, const void *p, size_t len), void *arg);
/* Notes the run's own answers as they are rendered, so that they can be kept: borrowed; set before the first
 * render_advance. A failure of w is logged, and nothing is kept. */
void render_keep(struct render *r, struct kept_writer *w, const uint64_t model[2]);
/* True while all of them could be noted. */
bool render_keeps(const struct render *r);
/* Writes what has become ready, RENDER_BURST lines at most: 1 when there may be more, 0 when the next
 * line has no row. Call it when all rows in the spool are committed. */
#define RENDER_BURST 4096
int render_advance(struct render *r, struct spool *s, struct error *e) FALLIBLE;
uint64_t render_lines(const struct render *r); /* written so far */
/* The answers in them that a spreadsheet would take for formulas; of a table. */
uint64_t render_formulas(const struct render *r);
/* All lines must have rows: syncs and renames. */
int render_finish(struct render *r, struct error *e) FALLIBLE;
void render_close(struct render *r); /* leaves the .partial where it is; accepts NULL */

#endif
