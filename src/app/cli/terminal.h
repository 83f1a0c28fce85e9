/* terminal.h -- what a person reads while a command runs: notes, warnings, errors, colours, width.
 *
 * Why: standard output belongs to results, so all of this goes to standard error; and the same
 * words must come out right on a terminal, in a file, and as JSON log lines.
 *
 * Shape:   notes and warnings are left out with --quiet; with --log-format json all is
 *          a log line.
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_CLI_TERMINAL_H
#define TRANCHE_APP_CLI_TERMINAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define TERMINAL_WIDTH_MIN 20
#define TERMINAL_WIDTH_MAX 200

struct terminal {
    bool quiet;
    bool json; /* log lines as JSON */
    bool live; /* a terminal that can redraw */
    bool color;
    bool utf8;
    uint32_t width; /* when the command began */
};
enum style { STYLE_BOLD, STYLE_DIM, STYLE_RED, STYLE_GREEN, STYLE_YELLOW, STYLE_CYAN, STYLE_END };

/* Call it first. A standard stream that is closed would lend its number to the next file that is
 * opened, and messages would go into that; it becomes one that fails instead. */
void terminal_guard_streams(void);
/* Looks at standard error and the environment; sets up the log. */
void terminal_init(struct terminal *c, bool quiet, const char *log_format);
/* Columns of the terminal now; 80 when nobody knows. */
uint32_t terminal_width(void);
/* The escape sequence of a style; "" without colours. */
const char *terminal_style(const struct terminal *c, enum style s);

void terminal_note(const struct terminal *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void terminal_warn(const struct terminal *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void terminal_error(const struct terminal *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes text whole to a file descriptor; a reader that went away is not our fault. */
void terminal_write(int fd, struct str text);

#endif
