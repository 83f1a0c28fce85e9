#include <inttypes.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"

#include "net/server/http_inner.h"

/* A head as libmicrohttpd read it, while it is checked. */
struct head {
    struct http_call *c;
    const char *version;
    const char *next;          /* where the next header line must begin */
    size_t bytes, field_count; /* of all that came, also past the limit */
    bool torn;                 /* the lines are not separated by CRLF alone */
};

static const struct {
    const char *name;
    enum http_method method;
} methods[] = {
    { "GET", HTTP_GET },         { "HEAD", HTTP_HEAD },   { "POST", HTTP_POST },
    { "PUT", HTTP_PUT },         { "PATCH", HTTP_PATCH }, { "DELETE", HTTP_DELETE },
    { "OPTIONS", HTTP_OPTIONS },
};

static enum http_method method_of(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(methods); i++) {
        if (strcmp(name, methods[i].name) == 0)
            return methods[i].method;
    }
    return HTTP_OTHER;
}

/* ---- A malformed length ---- */

#ifdef TRANCHE_MHD_WRAPPED
/* libmicrohttpd before 0.9.76 refuses a malformed Content-Length itself, then goes on as if it had not, and so sends the
 * head of its answer twice: a proxy may take the second for the answer to another request. The build links such a version
 * statically and gives it this reader of the number, which never fails. The rules below then see the text as it came, and
 * refuse it like any other bad head. (parse_connection_headers of its connection.c)
 * The names are the linker's: --wrap leads calls of the one name to the first of these. */
size_t http_mhd_length(const char *text, size_t len,
                       uint64_t *out) __asm__("__wrap_MHD_str_to_uint64_n_");
size_t http_mhd_number(const char *text, size_t len,
                       uint64_t *out) __asm__("__real_MHD_str_to_uint64_n_");

/* Returns the number of characters read. Without a body nothing is read behind a head that is refused. An empty text
 * stays refused twice: libmicrohttpd takes no number of no characters. */
size_t http_mhd_length(const char *text, size_t len, uint64_t *out)
{
    if (len > 0 && http_mhd_number(text, len, out) == len)
        return len;
    *out = 0;
    return len;
}
#endif

/* ---- Reading ---- */

/* libmicrohttpd 0.9 accepts folded lines, bare LF and NUL without a sign, and a proxy before us may read
 * them differently. It puts NULs where ":" and CRLF were and gives pointers into the bytes that came, so
 * a head is well formed when each line begins right after the one before. */
static bool is_next_line(const struct head *h, const char *name, size_t name_len, const char *value)
{
    if (name != h->next || (uintptr_t)value <= (uintptr_t)name)
        return false;
    for (const char *p = name + name_len + 1; p < value; p++) {
        if (*p != ' ' && *p != '\t')
            return false;
    }
    return true;
}

static enum MHD_Result add_field(void *cls, enum MHD_ValueKind kind, const char *name,
                                 size_t name_len, const char *value, size_t value_len)
{
    struct head *h = cls;
    struct http_call *c = h->c;

    (void)kind;
    if (!value) /* a line that ends at its colon has a value, an empty one */
        return MHD_NO;
    h->torn = h->torn || !is_next_line(h, name, name_len, value);
    h->next = value + value_len + 2;
    if (++h->field_count > HTTP_HEADERS_MAX)
        return MHD_YES;
    struct http_field *f = &c->field[c->field_count++];
    struct str text = str_trim((struct str){ value, value_len });
    f->name = arena_copy(&c->arena, name, name_len);
    f->value = (struct str){ arena_copy(&c->arena, text.p, text.len), text.len };
    return MHD_YES;
}

static void read_fields(struct head *h, const char *method)
{
    struct http_call *c = h->c;

    c->field = arena_array(&c->arena, HTTP_HEADERS_MAX, sizeof *c->field);
    h->bytes =
        MHD_get_connection_info(c->conn, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE)->header_size;
    h->next = h->version + strlen(h->version) + 2;
    (void)MHD_get_connection_values_n(c->conn, MHD_HEADER_KIND, add_field, h);
    /* Single spaces, and no NUL, in the first line, too. */
    if (h->version != method + strlen(method) + 1 + c->target.len + 1 ||
        h->next + 2 != method + h->bytes)
        h->torn = true;
    if (strncmp(MHD_get_version(), "0.9.", 4) != 0)
        h->torn = false; /* later versions check it themselves, with another layout */
}

/* "http://host/path" is as good as "/path". */
static void split_target(struct http_call *c)
{
    struct str t = c->target;

    if (strncasecmp(t.p, "http://", 7) == 0 || strncasecmp(t.p, "https://", 8) == 0) {
        struct str rest = str_sub(t, str_find(t, STR("://")) + 3, SIZE_MAX);
        size_t slash = str_find(rest, STR("/"));
        t = slash == SIZE_MAX ? STR("/") : str_sub(rest, slash, SIZE_MAX);
    }
    size_t mark = str_find(t, STR("?"));
    c->path = str_sub(t, 0, mark);
    c->query = mark == SIZE_MAX ? STR("") : str_sub(t, mark + 1, SIZE_MAX);
}

/* ---- The rules ---- */

static size_t field_times(const struct http_call *c, const char *name)
{
    size_t n = 0;

    for (size_t i = 0; i < c->field_count; i++)
        n += strcasecmp(c->field[i].name, name) == 0;
    return n;
}

bool http_is_token(struct str s)
{
    static const char others[] = "!#$%&'*+-.^_`|~";

    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || !strchr(others, c)))
            return false;
    }
    return s.len > 0;
}

static bool has_control(struct str s, const char *allowed)
{
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if ((c < 0x20 || c == 0x7f) && (c == 0 || !strchr(allowed, c)))
            return true;
    }
    return false;
}

static bool bad_lines(const struct head *h)
{
    return h->torn;
}

static bool bad_version(const struct head *h)
{
    return strcmp(h->version, "HTTP/1.1") != 0 && strcmp(h->version, "HTTP/1.0") != 0;
}

static bool long_target(const struct head *h)
{
    return h->c->target.len > HTTP_TARGET_BYTES_MAX;
}

static bool long_head(const struct head *h)
{
    return h->bytes > HTTP_HEAD_BYTES_MAX || h->field_count > HTTP_HEADERS_MAX;
}

static bool bad_target(const struct head *h)
{
    const struct http_call *c = h->c;

    if (has_control(c->target, "") || str_find(c->target, STR(" ")) != SIZE_MAX)
        return true;
    if (str_find(c->query, STR("%00")) !=
        SIZE_MAX) /* a path's steps are decoded, and refused, elsewhere */
        return true;
    return !str_starts(c->path, STR("/")) && !(c->method == HTTP_OPTIONS && str_eq_c(c->path, "*"));
}

static bool bad_field(const struct head *h)
{
    for (size_t i = 0; i < h->c->field_count; i++) {
        if (!http_is_token(str_of(h->c->field[i].name)) || has_control(h->c->field[i].value, "\t"))
            return true;
    }
    return false;
}

static bool bad_host(const struct head *h)
{
    struct str host = http_header(h->c, "host");
    size_t times = field_times(h->c, "host");

    if (times > 1 || (times == 0 && strcmp(h->version, "HTTP/1.1") == 0) ||
        host.len > HTTP_HOST_BYTES_MAX)
        return true;
    for (size_t i = 0; i < host.len; i++) {
        char c = host.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        if (!letter && (c == '\0' || !strchr(".-_:[]", c)))
            return true;
    }
    return false;
}

/* Digits only. */
static bool bad_length(const struct head *h)
{
    struct str text = http_header(h->c, "content-length");
    size_t times = field_times(h->c, "content-length");
    uint64_t n = 0;

    if (times > 1 || (times == 1 && !text.len))
        return true;
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9' || __builtin_mul_overflow(n, 10U, &n) ||
            __builtin_add_overflow(n, (unsigned)(text.p[i] - '0'), &n))
            return true;
    }
    if (times)
        h->c->content_length = n;
    return false;
}

static bool bad_transfer(const struct head *h)
{
    struct str text = http_header(h->c, "transfer-encoding");
    size_t times = field_times(h->c, "transfer-encoding");

    if (times == 0)
        return false;
    return times > 1 || strcasecmp(text.p, "chunked") != 0 || strcmp(h->version, "HTTP/1.1") != 0 ||
           field_times(h->c, "content-length") > 0;
}

static bool many_parameters(const struct head *h)
{
    size_t n = h->c->query.len > 0;

    for (size_t i = 0; i < h->c->query.len; i++)
        n += h->c->query.p[i] == '&';
    return n > HTTP_QUERY_MAX;
}

/* In this order: first what two readers could take for two different requests. */
static const struct {
    bool (*broken)(const struct head *h);
    int status;
    const char *message;
} rules[] = {
    { bad_version, 400, "the HTTP version is neither 1.0 nor 1.1" },
    { long_target, 414, "the path and query are too long" },
    { long_head, 431, "the request's headers are too long or too many" },
    { bad_lines, 400, "the request's header lines are malformed" },
    { bad_field, 400, "a header's name or value has a character that it may not have" },
    { bad_target, 400, "the request's target is malformed" },
    { bad_host, 400, "the request must have one valid Host header" },
    { bad_length, 400, "the request must have at most one valid Content-Length" },
    { bad_transfer, 400, "Transfer-Encoding must be \"chunked\" alone, without a Content-Length" },
    { many_parameters, 400, "the query has too many parameters" },
};

static bool check(const struct head *h)
{
    for (size_t i = 0; i < ARRAY_LEN(rules); i++) {
        if (rules[i].broken(h)) {
            h->c->must_close = true;
            http_fail(h->c, rules[i].status, "%s", rules[i].message);
            return false;
        }
    }
    return true;
}

bool http_head_read(struct http_call *c, const char *method, const char *version)
{
    struct head h = { .c = c, .version = version };

    c->method = method_of(method);
    split_target(c);
    read_fields(&h, method);
    if (!check(&h))
        return false;
    c->has_body = (c->content_length != UINT64_MAX && c->content_length > 0) ||
                  field_times(c, "transfer-encoding") > 0;
    c->expects_continue = strcasecmp(http_header(c, "expect").p, "100-continue") == 0;
    c->gzip = strcasecmp(http_header(c, "content-encoding").p, "gzip") == 0;
    return true;
}
