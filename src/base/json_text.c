/* json_text.c -- the part of json.h that works on the text as written: spans, members, paths.
 *
 * Why: rows are echoed byte for byte, so every byte of an input passes here once; strings, which
 * are most of it, are crossed with memchr.
 */
#include "base/json.h"

#include <string.h>

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

size_t json_space(struct str text, size_t at)
{
    while (at < text.len && is_space(text.p[at]))
        at++;
    return at;
}

/* One past the quote that closes the string whose opening quote is at `at`. */
static size_t string_skip(struct str text, size_t at)
{
    for (size_t from = at + 1; from < text.len;) {
        const char *quote = memchr(text.p + from, '"', text.len - from);
        if (!quote)
            break;
        const char *p = quote;
        while (p > text.p + from && p[-1] == '\\')
            p--;
        from = (size_t)(quote - text.p) + 1;
        if ((quote - p) % 2 == 0)
            return from;
    }
    return text.len;
}

static size_t container_skip(struct str text, size_t at)
{
    size_t open = 0;

    while (at < text.len) {
        char c = text.p[at];
        if (c == '"') {
            at = string_skip(text, at);
            continue;
        }
        at++;
        if (c == '{' || c == '[')
            open++;
        else if ((c == '}' || c == ']') && --open == 0)
            return at;
    }
    return at;
}

static size_t scalar_skip(struct str text, size_t at)
{
    for (; at < text.len && !is_space(text.p[at]); at++)
        if (text.p[at] == ',' || text.p[at] == ']' || text.p[at] == '}')
            break;
    return at;
}

size_t json_skip(struct str text, size_t at)
{
    at = json_space(text, at);
    if (at >= text.len)
        return text.len;
    if (text.p[at] == '"')
        return string_skip(text, at);
    if (text.p[at] == '{' || text.p[at] == '[')
        return container_skip(text, at);
    return scalar_skip(text, at);
}

/* The text from `from` up to `to`. */
static struct str span(struct str text, size_t from, size_t to)
{
    return str_sub(text, from, to > from ? to - from : 0);
}

/* Steps over white space and the byte c; false, and at unmoved, when it is not there. */
static bool take(struct str text, size_t *at, char c)
{
    size_t next = json_space(text, *at);

    if (next >= text.len || text.p[next] != c)
        return false;
    *at = next + 1;
    return true;
}

/* Reads the key of the member after m->next, and finds where its value begins. */
static bool member_begin(struct str text, struct json_member *m)
{
    size_t at = m->next;

    if (at == 0 ? !take(text, &at, '{') : !take(text, &at, ','))
        return false;
    m->key_at = json_space(text, at);
    if (m->key_at >= text.len || text.p[m->key_at] != '"')
        return false;
    at = string_skip(text, m->key_at);
    m->key = span(text, m->key_at + 1, at - 1);
    if (!take(text, &at, ':'))
        return false;
    m->value_at = json_space(text, at);
    return true;
}

bool json_member_next(struct str text, struct json_member *m)
{
    if (!member_begin(text, m))
        return false;
    m->next = m->skip_to && m->value_at == m->skip_from ? m->skip_to : json_skip(text, m->value_at);
    m->value = span(text, m->value_at, m->next);
    return true;
}

struct str json_member_value(struct str object, struct str key)
{
    struct json_member m = { 0 };
    struct str value = { 0 };

    while (json_member_next(object, &m))
        if (str_eq(m.key, key))
            value = m.value;
    return value;
}

bool json_member_last(struct str text, struct json_member *m)
{
    if (!member_begin(text, m))
        return false;
    struct str object = str_trim(text);
    size_t close = (size_t)(object.p - text.p) + object.len - (object.len > 0);
    m->value = str_trim(span(text, m->value_at, close));
    m->next = m->value_at + m->value.len;
    return true;
}

static bool is_identifier(struct str key)
{
    for (size_t i = 0; i < key.len; i++) {
        char c = key.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && (i == 0 || c < '0' || c > '9'))
            return false;
    }
    return key.len > 0;
}

void json_path_key(struct buf *path, struct str key)
{
    if (is_identifier(key)) {
        if (path->len)
            buf_add_char(path, '.');
        buf_add_str(path, key);
        return;
    }
    buf_add_char(path, '[');
    buf_add_json(path, key);
    buf_add_char(path, ']');
}

void json_path_index(struct buf *path, size_t index)
{
    buf_addf(path, "[%zu]", index);
}

static unsigned hex4(const char *p)
{
    unsigned v = 0;

    for (int i = 0; i < 4; i++) {
        char c = p[i];
        unsigned digit = c <= '9' ? (unsigned)(c - '0') : ((unsigned)c | 0x20U) - 'a' + 10U;
        v = v << 4 | (digit & 15U);
    }
    return v;
}

static void add_utf8(struct buf *out, unsigned c)
{
    if (c < 0x80) {
        buf_add_char(out, (char)c);
    } else if (c < 0x800) {
        buf_add_char(out, (char)(0xC0 | c >> 6));
        buf_add_char(out, (char)(0x80 | (c & 0x3F)));
    } else if (c < 0x10000) {
        buf_add_char(out, (char)(0xE0 | c >> 12));
        buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
        buf_add_char(out, (char)(0x80 | (c & 0x3F)));
    } else {
        buf_add_char(out, (char)(0xF0 | c >> 18));
        buf_add_char(out, (char)(0x80 | (c >> 12 & 0x3F)));
        buf_add_char(out, (char)(0x80 | (c >> 6 & 0x3F)));
        buf_add_char(out, (char)(0x80 | (c & 0x3F)));
    }
}

/* Decodes the \u escape at raw.p[at], with the low surrogate behind a high one: its length. */
static size_t unicode_escape(struct str raw, size_t at, struct buf *out)
{
    unsigned c = hex4(raw.p + at + 2);
    size_t len = 6;

    if (c >= 0xD800 && c < 0xDC00 && raw.len - at >= 12) {
        c = 0x10000 + ((c - 0xD800) << 10) + (hex4(raw.p + at + 8) - 0xDC00);
        len = 12;
    }
    add_utf8(out, c);
    return len;
}

/* The characters of a valid JSON string's inside. */
static void unescape(struct str raw, struct buf *out)
{
    static const char plain[] = "\"\\/bfnrt", means[] = "\"\\/\b\f\n\r\t";

    for (size_t at = 0; at < raw.len;) {
        if (raw.p[at] != '\\' || raw.len - at < 2) {
            buf_add_char(out, raw.p[at++]);
            continue;
        }
        const char *which = memchr(plain, raw.p[at + 1], sizeof plain - 1);
        if (!which && raw.len - at < 6)
            break;
        if (which)
            buf_add_char(out, means[which - plain]);
        at += which ? 2 : unicode_escape(raw, at, out);
    }
}

/* True when two insides of JSON strings are the same text, whatever is escaped in each. */
static bool same_text(struct str a, struct str b)
{
    if (!memchr(a.p, '\\', a.len) && !memchr(b.p, '\\', b.len))
        return str_eq(a, b);
    struct buf x = BUF_INIT(a.len * 3), y = BUF_INIT(b.len * 3);
    unescape(a, &x);
    unescape(b, &y);
    bool same = str_eq(buf_str(&x), buf_str(&y));
    buf_release(&x);
    buf_release(&y);
    return same;
}

/* One step of a path: a key (an escaped one as a JSON string's inside) or an index. */
struct step {
    struct str key;
    size_t index;
    bool is_index;
};

/* Takes the step at *at; false at the path's end. */
static bool step_next(struct str path, size_t *at, struct step *s)
{
    size_t i = *at;

    if (i >= path.len)
        return false;
    *s = (struct step){ 0 };
    if (path.p[i] == '[' && i + 1 < path.len && path.p[i + 1] == '"') {
        size_t end = string_skip(path, i + 1);
        s->key = span(path, i + 2, end - 1);
        *at = end + 1;
    } else if (path.p[i] == '[') {
        s->is_index = true;
        for (i++; i < path.len && path.p[i] != ']'; i++)
            s->index = s->index * 10 + (size_t)(path.p[i] - '0');
        *at = i + 1;
    } else {
        size_t from = path.p[i] == '.' ? i + 1 : i;
        for (i = from; i < path.len && path.p[i] != '.' && path.p[i] != '[';)
            i++;
        s->key = span(path, from, i);
        *at = i;
    }
    return true;
}

/* Sets *at to the value of member key of the object there: of several the first, or the last. */
static bool locate_key(struct str text, size_t *at, struct str key, bool last)
{
    struct str object = str_sub(text, *at, text.len);
    struct json_member m = { 0 };
    size_t base = *at;
    bool found = false;

    for (; member_begin(object, &m); m.next = json_skip(object, m.value_at)) {
        if (!same_text(m.key, key))
            continue;
        *at = base + m.value_at;
        found = true;
        if (!last)
            break; /* its value need not be crossed */
    }
    return found;
}

static bool locate_index(struct str text, size_t *at, size_t index)
{
    size_t next = *at;

    if (!take(text, &next, '['))
        return false;
    next = json_space(text, next);
    for (size_t i = 0; next < text.len && text.p[next] != ']'; i++) {
        if (i == index) {
            *at = next;
            return true;
        }
        next = json_skip(text, next);
        if (!take(text, &next, ','))
            return false;
        next = json_space(text, next);
    }
    return false;
}

bool json_has_nul(struct str text)
{
    const struct str nul = STR("\\u0000");
    size_t from = 0, found;

    while ((found = str_find(str_sub(text, from, text.len), nul)) != SIZE_MAX) {
        size_t at = from + found, before = at;
        while (before > 0 && text.p[before - 1] == '\\')
            before--;
        if ((at - before) % 2 == 0) /* no backslash before it escapes this one */
            return true;
        from = at + nul.len;
    }
    return false;
}

/* Only the last step can be a key that stands twice: its holders are checked first (json_check). */
size_t json_locate(struct str text, struct str path)
{
    size_t at = json_space(text, 0), taken = 0;
    struct step s;
    bool found = true;

    while (found && step_next(path, &taken, &s))
        found = s.is_index ? locate_index(text, &at, s.index)
                           : locate_key(text, &at, s.key, taken >= path.len);
    return at;
}
