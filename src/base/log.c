#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/str.h"

static const char *const level_names[] = { "error", "warn", "info", "debug" };

static struct {
    enum log_level level;
    enum log_format format;
} settings = { LOG_INFO, LOG_TEXT };

void log_setup(enum log_level level, enum log_format format)
{
    settings.level = level;
    settings.format = format;
}

enum log_level log_level(void)
{
    return settings.level;
}

void log_line(enum log_level level, const char *fmt, ...)
{
    int saved = errno;
    char msg[LOG_MSG_BYTES], at[CLOCK_TEXT_BYTES];
    struct buf line = BUF_INIT((size_t)8 * LOG_MSG_BYTES);
    struct json_writer w = JSON_WRITER(&line);
    va_list ap;

    if (level > settings.level)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(msg, sizeof msg, fmt, ap);
    va_end(ap);
    clock_format_rfc3339(clock_system()->wall_us(clock_system()), at);
    if (settings.format == LOG_JSON) {
        json_object(&w, NULL);
        json_add_c(&w, "time", at);
        json_add_c(&w, "level", level_names[level]);
        json_add_c(&w, "message", msg);
        json_end(&w);
    } else {
        if (settings.format == LOG_TEXT)
            buf_addf(&line, "%s ", at);
        buf_addf(&line, "%-5s ", level_names[level]);
        buf_add_plain(&line, str_of(msg), true);
    }
    buf_add_char(&line, '\n');
    ssize_t ignored = write(STDERR_FILENO, line.p, line.len);
    (void)ignored;
    buf_release(&line);
    errno = saved;
}
