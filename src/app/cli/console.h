/* console.h -- what a person reads while a command runs: notes, warnings, errors, colours, width.
 *
 * Why: standard output belongs to results, so all of this goes to standard error; and the same
 * words must come out right on a terminal, in a file, and as JSON log lines.
 *
 * Shape:   notes and warnings are left out with --quiet; with --log-format json all is
 *          a log line.
 * Threads: the main thread.
 */
#ifndef TRANCHE_APP_CLI_CONSOLE_H
#define TRANCHE_APP_CLI_CONSOLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

#define CONSOLE_WIDTH_MIN 20
#define CONSOLE_WIDTH_MAX 200

struct console {
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
void console_guard_streams(void);
/* Looks at standard error and the environment; sets up the log. */
void console_init(struct console *c, bool quiet, const char *log_format);
/* Columns of the terminal now; 80 when nobody knows. */
uint32_t console_width(void);
/* The escape sequence of a style; "" without colours. */
const char *console_style(const struct console *c, enum style s);

void console_note(const struct console *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void console_warn(const struct console *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
void console_error(const struct console *c, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* Writes text whole to a file descriptor; a reader that went away is not our fault. */
void console_write(int fd, struct str text);
/* Text for one line of a terminal: what could steer it becomes '?'. */
void console_plain(struct buf *out, struct str text);

#endif
