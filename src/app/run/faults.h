/* faults.h -- violations as the user reads them.
 *
 * Why: a bad line of 200,000 is found by file, line and byte, and mended by the remedy; a person
 * and a program read the same facts.
 *
 * Shape:   text: "FILE:LINE: PATH: MESSAGE REMEDY (byte OFFSET)"; JSON: an object a violation with
 *          file, line, offset (in the file), line_offset, path, message, remedy.
 * Threads: none.
 */
#ifndef TRANCHE_APP_RUN_FAULTS_H
#define TRANCHE_APP_RUN_FAULTS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "format/lines.h"
#include "format/request/violation.h"

#define FAULT_LINE_BYTES_MAX ((size_t)64 * 1024)

void fault_text(const char *file, const struct line *l, const struct violation *v, struct buf *out);
void fault_json(const char *file, const struct line *l, const struct violation *v, struct buf *out);

#endif
