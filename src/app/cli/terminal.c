#include "app/cli/terminal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/env.h"
#include "base/mem.h"
#include "base/log.h"

static const char *const styles[] = {
    [STYLE_BOLD] = "\033[1m",   [STYLE_DIM] = "\033[2m",     [STYLE_RED] = "\033[31m",
    [STYLE_GREEN] = "\033[32m", [STYLE_YELLOW] = "\033[33m", [STYLE_CYAN] = "\033[36m",
    [STYLE_END] = "\033[0m",
};

static bool locale_is_utf8(void)
{
    static const char *const names[] = { "LC_ALL", "LC_CTYPE", "LANG" };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        const char *value = env_get(names[i]);
        if (value)
            return strstr(value, "UTF-8") || strstr(value, "utf8") || strstr(value, "UTF8");
    }
    return false;
}

void terminal_guard_streams(void)
{
    for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
        /* The lowest free number is fd, as those below are open. Each is open the wrong way round. */
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) < 0)
            return;
    }
}

void terminal_init(struct terminal *c, bool quiet, const char *log_format)
{
    const char *term = env_get("TERM");
    bool terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;

    *c = (struct terminal){ .quiet = quiet };
    c->json = log_format && strcmp(log_format, "json") == 0;
    c->live = terminal && !quiet && !log_format;
    c->color = terminal && !log_format && !env_get("NO_COLOR");
    c->utf8 = locale_is_utf8();
    c->width = terminal_width();
    /* Below a live display a log line would break the picture; errors may. */
    log_setup(c->live || quiet ? LOG_ERROR : LOG_INFO, c->json ? LOG_JSON : LOG_TEXT);
}

uint32_t terminal_width(void)
{
    struct winsize size = { 0 };
    const char *columns = env_get("COLUMNS");
    uint64_t width = 80;

    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
        width = size.ws_col;
    else if (columns && !str_number_in(str_of(columns), 1, UINT32_MAX, &width))
        width = 80;
    if (width > TERMINAL_WIDTH_MAX)
        return TERMINAL_WIDTH_MAX;
    return width < TERMINAL_WIDTH_MIN ? TERMINAL_WIDTH_MIN : (uint32_t)width;
}

const char *terminal_style(const struct terminal *c, enum style s)
{
    return c->color ? styles[s] : "";
}

/* No fault point: what people read is not what must be durable, and a fault sweep is for that. */
void terminal_write(int fd, struct str text)
{
    while (text.len) {
        ssize_t n = write(fd, text.p, text.len);
        if (n < 0 && errno != EINTR)
            return;
        if (n > 0)
            text = str_sub(text, (size_t)n, text.len);
    }
}

static const struct {
    const char *word;
    enum style style;
} levels[] = {
    [LOG_ERROR] = { "error: ", STYLE_RED },
    [LOG_WARN] = { "warning: ", STYLE_YELLOW },
    [LOG_INFO] = { "", STYLE_END },
};

static void say(const struct terminal *c, enum log_level level, const char *fmt, va_list ap)
{
    struct buf line = BUF_INIT(8192);
    char text[2048];

    (void)vsnprintf(text, sizeof text, fmt, ap);
    if (c->json) {
        log_line(level, "%s", text);
        return;
    }
    buf_addf(&line, "%s%s%s", terminal_style(c, levels[level].style), levels[level].word,
             terminal_style(c, STYLE_END));
    buf_add_plain(&line, str_of(text), false);
    buf_add_char(&line, '\n');
    terminal_write(STDERR_FILENO, buf_str(&line));
    buf_release(&line);
}

void terminal_note(const struct terminal *c, const char *fmt, ...)
{
    va_list ap;

    if (c->quiet)
        return;
    va_start(ap, fmt);
    say(c, LOG_INFO, fmt, ap);
    va_end(ap);
}

void terminal_warn(const struct terminal *c, const char *fmt, ...)
{
    va_list ap;

    if (c->quiet)
        return;
    va_start(ap, fmt);
    say(c, LOG_WARN, fmt, ap);
    va_end(ap);
}

void terminal_error(const struct terminal *c, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(c, LOG_ERROR, fmt, ap);
    va_end(ap);
}
