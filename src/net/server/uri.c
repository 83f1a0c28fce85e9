#include <string.h>

#include "net/server/http_inner.h"

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

bool http_decode(struct arena *a, struct str in, bool plus, struct str *out)
{
    char *text = arena_alloc_raw(a, in.len + 1);
    size_t n = 0;

    for (size_t i = 0; i < in.len; i++) {
        char c = in.p[i];
        if (c == '%') {
            int high = i + 2 < in.len ? hex_value(in.p[i + 1]) : -1;
            int low = i + 2 < in.len ? hex_value(in.p[i + 2]) : -1;
            if (high < 0 || low < 0)
                return false;
            c = (char)(high * 16 + low);
            i += 2;
        } else if (plus && c == '+') {
            c = ' ';
        }
        if (c == '\0')
            return false;
        text[n++] = c;
    }
    text[n] = '\0';
    *out = (struct str){ text, n };
    return true;
}

static bool unreserved(char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

void http_encode(struct str in, struct buf *out)
{
    static const char hex[] = "0123456789ABCDEF";

    for (size_t i = 0; i < in.len; i++) {
        unsigned char c = (unsigned char)in.p[i];
        const char escaped[3] = { '%', hex[c >> 4], hex[c & 15] };
        if (unreserved(in.p[i]))
            buf_add_char(out, in.p[i]);
        else
            buf_add(out, escaped, sizeof escaped);
    }
}

/* Takes the next "name=value" off rest, both as sent. */
static bool next_parameter(struct str *rest, struct str *name, struct str *value)
{
    if (!rest->p || !rest->len)
        return false;
    size_t end = str_find(*rest, STR("&"));
    struct str one = str_sub(*rest, 0, end);
    size_t equals = str_find(one, STR("="));

    *rest = end == SIZE_MAX ? (struct str){ 0 } : str_sub(*rest, end + 1, SIZE_MAX);
    *name = str_sub(one, 0, equals);
    *value = equals == SIZE_MAX ? (struct str){ 0 } : str_sub(one, equals + 1, SIZE_MAX);
    return true;
}

/* Is this the name, perhaps with escapes ("%24alt")? */
static bool same_name(struct http_call *c, struct str sent, const char *name)
{
    struct str decoded;

    if (str_eq_c(sent, name))
        return true;
    if (str_find(sent, STR("%")) == SIZE_MAX && str_find(sent, STR("+")) == SIZE_MAX)
        return false;
    return http_decode(&c->arena, sent, true, &decoded) && str_eq_c(decoded, name);
}

bool http_query(struct http_call *c, const char *name, struct str *out)
{
    struct str rest = c->query, key, value, last = { 0 };
    bool found = false;

    while (next_parameter(&rest, &key, &value)) {
        if (same_name(c, key, name)) {
            last = value;
            found = true;
        }
    }
    return found && http_decode(&c->arena, last, true, out);
}

void http_url_fill(const char *base, const char *path, const struct str *argument, struct buf *out)
{
    struct str rest = str_of(path);

    buf_add_c(out, base);
    for (;;) {
        size_t hole = str_find(rest, STR("{}"));
        buf_add_str(out, str_sub(rest, 0, hole));
        if (hole == SIZE_MAX)
            return;
        http_encode(*argument++, out);
        rest = str_sub(rest, hole + 2, rest.len);
    }
}
