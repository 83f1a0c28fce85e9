/* log.h -- one line an event: level, time, message, key=value fields; text for people, JSON for machines.
 *
 * Why: what happened must be found again by id. Bodies, keys and prompts are never logged, and
 * nothing at INFO is logged once a line of input.
 *
 * Shape:   log_info("job %s: resumed at line %llu", id, n); one call is one line on standard error.
 *          Control characters in a message are escaped, so that no input can forge a line.
 * Errors:  a failed write is ignored; errno is kept.
 * Threads: all; one write(2) a line. The level and the format are set once, before threads start.
 */
#ifndef TRANCHE_BASE_LOG_H
#define TRANCHE_BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };
/* LOG_BARE: "warn message", for a process whose lines another one logs (sandbox.h). */
enum log_format { LOG_TEXT, LOG_JSON, LOG_BARE };

/* Bytes of a message; longer ones are cut. */
#define LOG_MSG_BYTES 1024

void log_setup(enum log_level level, enum log_format format);
enum log_level log_level(void);
void log_line(enum log_level level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)

#endif
