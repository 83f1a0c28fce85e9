/* foreign.h -- recognises an input that is not JSON Lines at all.
 *
 * Why: a table, a JSON array or a pretty-printed object would give one error a line, thousands of them,
 * that say nothing of the file; one message says what the file is and how to make lines of it.
 *
 * Shape:   looks at the first FOREIGN_HEAD_BYTES of each file: at its magic bytes, then at its first lines.
 *          One line that is a JSON object makes the file JSON Lines, and its faults are faults of lines.
 * Errors:  INVALID_ARGUMENT with the name, the format and what to do; of reading.
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_RUN_FOREIGN_H
#define TRANCHE_APP_RUN_FOREIGN_H

#include "engine/lines/input.h"

#define FOREIGN_HEAD_BYTES ((size_t)64 * 1024)

int foreign_check(const struct input *in, struct error *e) FALLIBLE;

#endif
