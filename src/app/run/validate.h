/* validate.h -- `tranche validate`, and `run --dry-run`, which is the same.
 *
 * Why: both must find the same errors and estimate alike.
 *
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_RUN_VALIDATE_H
#define TRANCHE_APP_RUN_VALIDATE_H

#include <stdbool.h>
#include <stdint.h>

#include "app/cli/command.h"
#include "app/run/local_job.h"
#include "format/lines.h"
#include "format/request/violation.h"

struct validate_options {
    struct local_options who;
    const char *log_format;
    uint64_t limit;
    bool json, quiet;
    bool strict;        /* warnings are errors */
    const char *output; /* of a table: chooses its form; or NULL */
    bool from_output;   /* the input is an earlier output, as for --retry-failed */
    const char *const *path;
    uint32_t path_count;
};
enum exit_code validate(const struct validate_options *w);

/* "FILE:LINE: PATH: MESSAGE REMEDY (byte OFFSET)" and a line feed; a warning has "warning: " before the
 * path. As JSON, an error is an object with file, line, offset (in the file), line_offset, path, message
 * and remedy; a warning also has "warning": true. */
#define LINE_ERROR_BYTES_MAX ((size_t)64 * 1024)
void line_error_text(const char *file, const struct line *l, const struct violation *v,
                     bool is_warning, struct buf *out);

#endif
