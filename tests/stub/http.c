#include "http.h"

#include <string.h>
#include <strings.h>

#include "base/mem.h"

#define NUMBER_BYTES 20

static struct str cut(const char *from, const char *to)
{
    return (struct str){ from, (size_t)(to - from) };
}

static bool same_word(struct str a, const char *b)
{
    return a.len == strlen(b) && strncasecmp(a.p, b, a.len) == 0;
}

/* "POST /v1/x?y=z HTTP/1.1" */
static bool first_line(struct str line, struct http_head *h)
{
    const char *end = line.p + line.len;
    const char *target = memchr(line.p, ' ', line.len);

    if (!target)
        return false;
    h->method = cut(line.p, target++);
    const char *version = memchr(target, ' ', (size_t)(end - target));
    if (!version || *target != '/')
        return false;
    const char *mark = memchr(target, '?', (size_t)(version - target));
    h->path = cut(target, mark ? mark : version);
    h->query = mark ? cut(mark + 1, version) : STR("");
    struct str protocol = cut(version + 1, end);
    h->close = str_eq(protocol, STR("HTTP/1.0"));
    return h->close || str_eq(protocol, STR("HTTP/1.1"));
}

/* ---- The headers that matter, each with what it means ---- */

static bool take_length(struct str value, struct http_head *h)
{
    uint64_t n;

    if (!str_number(value, &n) || n > HTTP_BODY_BYTES_MAX)
        return false;
    h->body_bytes = (size_t)n;
    return true;
}

static bool take_connection(struct str value, struct http_head *h)
{
    h->close = same_word(value, "close") || (h->close && !same_word(value, "keep-alive"));
    return true;
}

static bool take_expect(struct str value, struct http_head *h)
{
    h->expects = same_word(value, "100-continue");
    return h->expects;
}

static bool take_encoding(struct str value, struct http_head *h)
{
    h->chunked = !same_word(value, "identity");
    return true;
}

static bool take_bearer(struct str value, struct http_head *h)
{
    struct str scheme = STR("Bearer ");

    if (value.len > scheme.len && strncasecmp(value.p, scheme.p, scheme.len) == 0)
        h->key = str_trim(str_sub(value, scheme.len, value.len));
    return true;
}

static bool take_key(struct str value, struct http_head *h)
{
    h->key = value;
    return true;
}

static const struct {
    struct str name;
    bool (*take)(struct str value, struct http_head *h);
} headers[] = {
    { STR_INIT("content-length"), take_length }, { STR_INIT("connection"), take_connection },
    { STR_INIT("expect"), take_expect },         { STR_INIT("transfer-encoding"), take_encoding },
    { STR_INIT("authorization"), take_bearer },  { STR_INIT("x-goog-api-key"), take_key },
};

static bool header_line(struct str line, struct http_head *h)
{
    const char *colon = memchr(line.p, ':', line.len);

    if (!colon)
        return false;
    struct str name = cut(line.p, colon);
    for (size_t i = 0; i < ARRAY_LEN(headers); i++) {
        if (headers[i].name.len == name.len &&
            strncasecmp(headers[i].name.p, name.p, name.len) == 0)
            return headers[i].take(str_trim(cut(colon + 1, line.p + line.len)), h);
    }
    return true;
}

static enum http_step bad(int status, int *out)
{
    *out = status;
    return HTTP_BAD;
}

enum http_step http_head_read(struct str in, struct http_head *out, int *status)
{
    const char *at = in.p, *end = in.p + in.len;

    *out = (struct http_head){ 0 };
    for (bool first = true;; first = false) {
        const char *newline = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        if (!newline)
            return in.len > HTTP_HEAD_BYTES_MAX ? bad(431, status) : HTTP_MORE;
        struct str line = cut(at, newline);
        if (line.len && line.p[line.len - 1] == '\r')
            line.len--;
        at = newline + 1;
        if (line.len == 0 && !first)
            break;
        if (!(first ? first_line(line, out) : header_line(line, out)))
            return bad(400, status);
    }
    out->head_bytes = (size_t)(at - in.p);
    return out->chunked ? bad(411, status) : HTTP_HEAD;
}

const char *http_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        { 200, "OK" },
        { 400, "Bad Request" },
        { 401, "Unauthorized" },
        { 404, "Not Found" },
        { 411, "Length Required" },
        { 429, "Too Many Requests" },
        { 431, "Request Header Fields Too Large" },
        { 500, "Internal Server Error" },
        { 502, "Bad Gateway" },
        { 503, "Service Unavailable" },
    };

    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (reasons[i].status == status)
            return reasons[i].reason;
    return "Status";
}

void add_number(struct buf *out, uint64_t n)
{
    char digits[NUMBER_BYTES];
    size_t at = sizeof digits;

    do
        digits[--at] = (char)('0' + n % 10);
    while (n /= 10);
    buf_add(out, digits + at, sizeof digits - at);
}

void http_head_write(struct buf *out, int status, const char *type, size_t length,
                     const char *extra)
{
    buf_add_str(out, STR("HTTP/1.1 "));
    add_number(out, (uint64_t)status);
    buf_add_char(out, ' ');
    buf_add_c(out, http_reason(status));
    buf_add_str(out, STR("\r\nContent-Type: "));
    buf_add_c(out, type);
    buf_add_str(out, STR("\r\nContent-Length: "));
    add_number(out, length);
    buf_add_str(out, STR("\r\n"));
    buf_add_c(out, extra);
    buf_add_str(out, STR("\r\n"));
}
