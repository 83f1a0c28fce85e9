#include "net/server/multipart.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"

/* "--" or white space, and what a client may add to it. */
#define BOUNDARY_LINE_MAX 128

void multipart_release(struct multipart *m)
{
    buf_release(&m->head);
}

/* The end of a line before a boundary, and the boundary, in this body. */
static struct str delimiter_of(const struct multipart *m)
{
    size_t skip = m->crlf ? 0 : 1;

    return (struct str){ m->delimiter + skip, m->delimiter_len - skip };
}

static int emit(struct multipart *m, const char *p, size_t len, struct error *e)
{
    if (m->state != MULTIPART_DATA || len == 0)
        return 0;
    return m->to.data(m->to.arg, p, len, e);
}

/* Goes on with a delimiter that has begun: bytes of `in` used. A boundary has no CR or LF, so the
 * delimiter's first byte is nowhere else in it, and what fails to match cannot hold another begin. */
static size_t go_on(struct multipart *m, struct str in, int *rc, struct error *e)
{
    struct str want = delimiter_of(m);
    size_t n = 0;

    while (n < in.len && m->matched < want.len && in.p[n] == want.p[m->matched]) {
        m->matched++;
        n++;
    }
    if (m->matched == want.len) {
        m->matched = 0;
        m->state = MULTIPART_LINE;
        buf_clear(&m->head);
        m->head.max = BOUNDARY_LINE_MAX;
    } else if (n < in.len) {
        *rc = emit(m, want.p, m->matched, e);
        m->matched = 0;
    }
    return n;
}

/* Bytes up to the next delimiter or what may become one. */
static size_t on_text(struct multipart *m, struct str in, int *rc, struct error *e)
{
    if (m->matched > 0)
        return go_on(m, in, rc, e);
    const char *first = memchr(in.p, delimiter_of(m).p[0], in.len);
    if (!first) {
        *rc = emit(m, in.p, in.len, e);
        return in.len;
    }
    size_t before = (size_t)(first - in.p);
    *rc = emit(m, in.p, before, e);
    m->matched = 1;
    return before + 1;
}

static bool is_blank(struct str s)
{
    return str_trim(s).len == 0;
}

/* "--": the end; white space and a line's end: a part begins. */
static size_t on_boundary_line(struct multipart *m, struct str in, int *rc, struct error *e)
{
    const char *lf = memchr(in.p, '\n', in.len);
    size_t used = lf ? (size_t)(lf - in.p) + 1 : in.len;

    buf_add(&m->head, in.p, used < 2 ? used : 2);
    if (str_eq(str_sub(buf_str(&m->head), 0, 2), STR("--"))) {
        m->state = MULTIPART_END;
        return in.len;
    }
    if (used > 2)
        buf_add(&m->head, in.p + 2, used - 2);
    struct str line = buf_str(&m->head);
    if (!buf_ok(&m->head) || (lf && !is_blank(line))) {
        *rc = error_set(e, ERROR_INVALID_ARGUMENT,
                        "A boundary's line of the multipart body has more than the boundary.");
        return used;
    }
    if (!lf)
        return used;
    if (m->part_count == 0)
        m->crlf = str_ends(line, STR("\r\n"));
    if (m->part_count++ == MULTIPART_PARTS_MAX)
        *rc = error_set(e, ERROR_INVALID_ARGUMENT, "The multipart body has more than %d parts.",
                        MULTIPART_PARTS_MAX);
    m->state = MULTIPART_HEAD;
    buf_clear(&m->head);
    m->head.max = MULTIPART_HEAD_BYTES_MAX;
    return used;
}

static bool has_name(struct str line, const char *name)
{
    size_t len = strlen(name);

    return line.len > len && line.p[len] == ':' && strncasecmp(line.p, name, len) == 0;
}

static struct str value_of(struct str head, const char *name)
{
    while (head.len > 0) {
        size_t end = str_find(head, STR("\n"));
        struct str line = str_sub(head, 0, end);
        if (has_name(line, name))
            return str_trim(str_sub(line, strlen(name) + 1, line.len));
        head = end == SIZE_MAX ? (struct str){ 0 } : str_sub(head, end + 1, head.len);
    }
    return (struct str){ 0 };
}

/* Bytes must stand in the body as they are. */
static bool is_plain(struct str encoding)
{
    static const char *const plain[] = { "", "binary", "8bit", "7bit" };

    for (size_t i = 0; i < ARRAY_LEN(plain); i++)
        if (encoding.len == strlen(plain[i]) &&
            (encoding.len == 0 || strncasecmp(encoding.p, plain[i], encoding.len) == 0))
            return true;
    return false;
}

static int begin_part(struct multipart *m, struct error *e)
{
    struct str head = buf_str(&m->head);
    struct str encoding = value_of(head, "Content-Transfer-Encoding");

    if (!is_plain(encoding))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "A part's Content-Transfer-Encoding must be binary, not \"%.*s\".",
                         STR_ARG(str_cut(encoding, 64)));
    m->state = MULTIPART_DATA;
    m->matched = 0;
    return m->to.part(m->to.arg, value_of(head, "Content-Type"), e);
}

/* One line of a part's headers; the empty one ends them. */
static size_t on_head(struct multipart *m, struct str in, int *rc, struct error *e)
{
    const char *lf = memchr(in.p, '\n', in.len);
    size_t used = lf ? (size_t)(lf - in.p) + 1 : in.len;

    buf_add(&m->head, in.p, used);
    if (!buf_ok(&m->head)) {
        *rc = error_set(e, ERROR_INVALID_ARGUMENT, "A part's headers are larger than %zu bytes.",
                        MULTIPART_HEAD_BYTES_MAX);
        return used;
    }
    struct str head = buf_str(&m->head);
    bool ends = str_eq(head, STR("\n")) || str_eq(head, STR("\r\n")) ||
                str_ends(head, STR("\n\n")) || str_ends(head, STR("\n\r\n"));
    if (ends)
        *rc = begin_part(m, e);
    return used;
}

/* ---- The Content-Type ---- */

static bool is_boundary(struct str s)
{
    static const char marks[] = "'()+_,-./:=? ";

    if (s.len == 0 || s.len > MULTIPART_BOUNDARY_MAX || s.p[s.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        bool word = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z');
        if (!word && (c == '\0' || !strchr(marks, c)))
            return false;
    }
    return true;
}

/* One parameter off s, which stands behind its ';'; quotes may hold a ';'. */
static struct str take_parameter(struct str *s)
{
    char quote = '\0';
    size_t n = 0;

    for (; n < s->len && (quote != '\0' || s->p[n] != ';'); n++) {
        char c = s->p[n];
        bool opens = quote == '\0' && (c == '"' || c == '\'') && n > 0 && s->p[n - 1] == '=';
        if (opens)
            quote = c;
        else if (c == quote)
            quote = '\0';
    }
    struct str taken = str_trim(str_sub(*s, 0, n));
    *s = str_sub(*s, n + 1, s->len);
    return taken;
}

static struct str unquoted(struct str s)
{
    bool quoted = s.len >= 2 && (s.p[0] == '"' || s.p[0] == '\'') && s.p[s.len - 1] == s.p[0];

    return quoted ? str_sub(s, 1, s.len - 2) : s;
}

static int read_boundary(struct str content_type, struct str *out)
{
    static const char name[] = "boundary=";
    size_t len = sizeof name - 1;

    (void)take_parameter(&content_type); /* the type */
    while (content_type.len > 0) {
        struct str p = take_parameter(&content_type);
        if (p.len <= len || strncasecmp(p.p, name, len) != 0)
            continue;
        *out = unquoted(str_sub(p, len, p.len));
        return is_boundary(*out) ? 0 : -1;
    }
    return -1;
}

/* ---- The reader ---- */

int multipart_init(struct multipart *m, struct str content_type,
                   const struct multipart_handlers *to, struct error *e)
{
    struct str boundary;

    *m = (struct multipart){ .to = *to, .head = BUF_INIT(MULTIPART_HEAD_BYTES_MAX) };
    if (read_boundary(content_type, &boundary) < 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The Content-Type of a multipart body must name a boundary of 1 to %d "
                         "characters.",
                         MULTIPART_BOUNDARY_MAX);
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary.p, boundary.len);
    m->delimiter_len = 4 + boundary.len;
    m->matched = 1; /* the body's begin is a line's begin */
    return 0;
}

int multipart_feed(struct multipart *m, const void *p, size_t len, struct error *e)
{
    struct str in = { p, len };
    int rc = 0;

    while (in.len > 0 && rc == 0) {
        size_t used = in.len;
        switch (m->state) {
        case MULTIPART_OUTSIDE:
        case MULTIPART_DATA:
            used = on_text(m, in, &rc, e);
            break;
        case MULTIPART_LINE:
            used = on_boundary_line(m, in, &rc, e);
            break;
        case MULTIPART_HEAD:
            used = on_head(m, in, &rc, e);
            break;
        case MULTIPART_END:
            break;
        }
        in = str_sub(in, used, in.len);
    }
    return rc;
}

int multipart_finish(const struct multipart *m, struct error *e)
{
    if (m->state == MULTIPART_END)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "The multipart body ends without its closing boundary.");
}
