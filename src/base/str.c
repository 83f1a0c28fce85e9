#include "base/str.h"

#include <assert.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define DISTANCE_BYTES_MAX 64
/* Bytes first allocated for a buffer. */
#define BUF_BYTES_MIN 64

struct str str_of(const char *cstr)
{
    return (struct str){ cstr, cstr ? strlen(cstr) : 0 };
}

bool str_eq(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

bool str_eq_c(struct str a, const char *cstr)
{
    return str_eq(a, str_of(cstr));
}

int str_cmp(struct str a, struct str b)
{
    size_t n = a.len < b.len ? a.len : b.len;
    int c = n ? memcmp(a.p, b.p, n) : 0;

    return c ? c : (a.len > b.len) - (a.len < b.len);
}

bool str_starts(struct str s, struct str prefix)
{
    return s.len >= prefix.len && str_eq((struct str){ s.p, prefix.len }, prefix);
}

bool str_ends(struct str s, struct str suffix)
{
    return s.len >= suffix.len &&
           str_eq((struct str){ s.p + (s.len - suffix.len), suffix.len }, suffix);
}

struct str str_sub(struct str s, size_t from, size_t len)
{
    if (from > s.len)
        from = s.len;
    if (len > s.len - from)
        len = s.len - from;
    return (struct str){ s.p ? s.p + from : NULL, len };
}

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

struct str str_trim(struct str s)
{
    while (s.len && is_space(s.p[0]))
        s = str_sub(s, 1, s.len);
    while (s.len && is_space(s.p[s.len - 1]))
        s.len--;
    return s;
}

size_t str_find(struct str s, struct str needle)
{
    if (needle.len == 0)
        return 0;
    for (size_t at = 0; needle.len <= s.len - at;) {
        const char *hit = memchr(s.p + at, needle.p[0], s.len - at - needle.len + 1);
        if (!hit)
            return SIZE_MAX;
        at = (size_t)(hit - s.p);
        if (memcmp(hit, needle.p, needle.len) == 0)
            return at;
        at++;
    }
    return SIZE_MAX;
}

bool str_next(struct str *rest, char separator, struct str *piece)
{
    if (rest->len == 0)
        return false;
    size_t at = str_find(*rest, (struct str){ &separator, 1 });
    *piece = str_sub(*rest, 0, at);
    *rest = at == SIZE_MAX ? (struct str){ 0 } : str_sub(*rest, at + 1, rest->len);
    return true;
}

struct str str_after_last(struct str s, char c)
{
    size_t at = s.len;

    while (at > 0 && s.p[at - 1] != c)
        at--;
    return str_sub(s, at, s.len);
}

#define UTF8_BYTES_MAX 4 /* of one character */

/* Length of the well-formed sequence at p, or 0. The second byte's range depends on the first. */
static size_t utf8_sequence(const unsigned char *p, size_t len)
{
    unsigned char lo = 0x80, hi = 0xBF;
    size_t want;

    if (p[0] < 0x80)
        return 1;
    if (p[0] >= 0xC2 && p[0] <= 0xDF)
        want = 2;
    else if ((p[0] & 0xF0) == 0xE0)
        want = 3;
    else if (p[0] >= 0xF0 && p[0] <= 0xF4)
        want = 4;
    else
        return 0;
    if (len < want)
        return 0;
    if (p[0] == 0xE0)
        lo = 0xA0;
    else if (p[0] == 0xED)
        hi = 0x9F;
    else if (p[0] == 0xF0)
        lo = 0x90;
    else if (p[0] == 0xF4)
        hi = 0x8F;
    if (p[1] < lo || p[1] > hi)
        return 0;
    for (size_t i = 2; i < want; i++)
        if ((p[i] & 0xC0) != 0x80)
            return 0;
    return want;
}

/* The highest bit of each of eight bytes: without one they are ASCII. */
#define UTF8_ABOVE_ASCII UINT64_C(0x8080808080808080)

size_t str_utf8_valid(struct str s)
{
    const unsigned char *p = (const unsigned char *)s.p;
    size_t at = 0;

    while (at < s.len) {
        uint64_t eight = UTF8_ABOVE_ASCII;
        if (s.len - at >= sizeof eight)
            memcpy(&eight, p + at, sizeof eight);
        size_t n = eight & UTF8_ABOVE_ASCII ? utf8_sequence(p + at, s.len - at) : sizeof eight;
        if (n == 0)
            break;
        at += n;
    }
    return at;
}

struct str str_cut(struct str s, size_t max)
{
    if (s.len <= max)
        return s;
    while (max > 0 && ((unsigned char)s.p[max] & 0xC0) == 0x80)
        max--;
    return (struct str){ s.p, max };
}

void str_settle(char *text, int n, size_t cap)
{
    size_t written = n < 0 ? 0 : (size_t)n;
    size_t held = written < cap ? written : cap - 1, at = 0;

    while ((at += str_utf8_valid((struct str){ text + at, held - at })) < held) {
        bool is_split = written > held && held - at < UTF8_BYTES_MAX &&
                        ((unsigned char)text[at] & 0xC0) == 0xC0;
        if (is_split)
            break;
        text[at++] = '?';
    }
    text[at] = '\0';
}

bool str_number(struct str s, uint64_t *out)
{
    uint64_t n = 0;

    for (size_t i = 0; i < s.len; i++) {
        if (s.p[i] < '0' || s.p[i] > '9' || __builtin_mul_overflow(n, (uint64_t)10, &n) ||
            __builtin_add_overflow(n, (uint64_t)(s.p[i] - '0'), &n))
            return false;
    }
    *out = n;
    return s.len > 0;
}

bool str_number_in(struct str s, uint64_t min, uint64_t max, uint64_t *out)
{
    return str_number(s, out) && *out >= min && *out <= max;
}

void str_hex(const void *p, size_t len, char *out)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *byte = p;

    for (size_t i = 0; i < len; i++) {
        *out++ = digits[byte[i] >> 4];
        *out++ = digits[byte[i] & 15];
    }
    *out = '\0';
}

bool str_glob(const char *pattern, const char *name)
{
    const char *star = NULL, *resume = NULL;

    while (*name) {
        if (*pattern == '*') {
            star = pattern++;
            resume = name;
        } else if (*pattern == '?' || *pattern == *name) {
            pattern++;
            name++;
        } else if (star) {
            pattern = star + 1;
            name = ++resume;
        } else {
            return false;
        }
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

static unsigned min3(unsigned a, unsigned b, unsigned c)
{
    unsigned m = a < b ? a : b;
    return m < c ? m : c;
}

/* Optimal string alignment by three rows of the edit matrix. */
unsigned str_distance(struct str a, struct str b, unsigned limit)
{
    unsigned row[3][DISTANCE_BYTES_MAX + 1] = { { 0 } };

    if (a.len > DISTANCE_BYTES_MAX || b.len > DISTANCE_BYTES_MAX)
        return limit + 1;
    for (unsigned j = 0; j <= b.len; j++)
        row[0][j] = j;
    for (unsigned i = 1; i <= a.len; i++) {
        const unsigned *up = row[(i + 2) % 3], *up2 = row[(i + 1) % 3];
        unsigned *now = row[i % 3];
        now[0] = i;
        for (unsigned j = 1; j <= b.len; j++) {
            unsigned swap = a.p[i - 1] != b.p[j - 1];
            now[j] = min3(up[j] + 1, now[j - 1] + 1, up[j - 1] + swap);
            if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
                now[j] = min3(now[j], now[j], up2[j - 2] + 1);
        }
    }
    unsigned d = row[a.len % 3][b.len];
    return d > limit ? limit + 1 : d;
}

/* The invariant between all calls: a buffer that was written to has its NUL, and no more than max. */
static inline void buf_check(const struct buf *b)
{
    assert(b->len <= b->max && b->len <= b->cap && (b->len < b->cap || !b->p));
}

/* The rare half of buf_extend: a buffer that is full, or at its maximum. */
static char *buf_grow(struct buf *b, size_t len)
{
    size_t cap = b->cap ? b->cap : BUF_BYTES_MIN;

    if (b->overflow || len > b->max - b->len) {
        b->overflow = true;
        return NULL;
    }
    while (cap <= b->len + len) {
        if (cap > SIZE_MAX / 2) { /* max is SIZE_MAX, and memory would be over long before */
            b->overflow = true;
            return NULL;
        }
        cap *= 2;
    }
    if (cap > b->cap)
        b->p = mem_grow(b->p, cap);
    b->cap = cap;
    char *at = b->p + b->len;
    b->len += len;
    at[len] = '\0';
    return at;
}

char *buf_extend(struct buf *b, size_t len)
{
    size_t from = b->len;

    buf_check(b);
    if (b->overflow || len > b->max - from || len >= b->cap - from)
        return buf_grow(b, len);
    b->len = from + len;
    b->p[from + len] = '\0'; // NOLINT(clang-analyzer-core.NullDereference): cap is not 0 here
    return b->p + from;
}

void buf_add(struct buf *b, const void *p, size_t len)
{
    char *at = buf_extend(b, len);

    if (at && len)
        memcpy(at, p, len);
}

void buf_add_str(struct buf *b, struct str s)
{
    buf_add(b, s.p, s.len);
}

void buf_add_c(struct buf *b, const char *cstr)
{
    buf_add(b, cstr, strlen(cstr));
}

void buf_add_char(struct buf *b, char c)
{
    char *at = buf_extend(b, 1);

    if (at)
        *at = c;
}

/* Mostly what is free already suffices; else the text is made once more when there is room for it. */
void buf_addf(struct buf *b, const char *fmt, ...)
{
    size_t room = b->cap - b->len, from = b->len;
    va_list ap;

    if (b->overflow)
        return;
    va_start(ap, fmt);
    int n = vsnprintf(b->p ? b->p + from : NULL, room, fmt, ap);
    va_end(ap);
    char *at = n < 0 ? NULL : buf_extend(b, (size_t)n);
    if (!at && b->p)
        b->p[from] = '\0'; /* nothing is appended */
    if (!at || (size_t)n < room)
        return;
    va_start(ap, fmt);
    (void)vsnprintf(at, (size_t)n + 1, fmt, ap);
    va_end(ap);
}

static void add_escape(struct buf *b, unsigned char c)
{
    static const char names[] = { ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\f'] = 'f',
                                  ['\r'] = 'r', ['"'] = '"',  ['\\'] = '\\' };

    if (c < sizeof names && names[c]) {
        char two[2] = { '\\', names[c] };
        buf_add(b, two, 2);
    } else {
        buf_addf(b, "\\u%04x", c);
    }
}

#define EVERY_BYTE(c) (0x0101010101010101ULL * (c))

/* Eight bytes that are ASCII and stand in a JSON string as they are. A byte below 0x20, or equal to a
 * quote or a backslash, borrows into its top bit. */
static inline bool plain_word(const char *p)
{
    uint64_t w;

    memcpy(&w, p, 8); // NOLINT(clang-analyzer-core.NonNullParamChecker): there are 8 bytes
    uint64_t quote = w ^ EVERY_BYTE('"'), slash = w ^ EVERY_BYTE('\\');
    uint64_t special =
        w | (w - EVERY_BYTE(0x20)) | (quote - EVERY_BYTE(1)) | (slash - EVERY_BYTE(1));
    return (special & EVERY_BYTE(0x80)) == 0;
}

static inline bool plain_byte(char c)
{
    return (unsigned char)c >= 0x20 && (unsigned char)c < 0x80 && c != '"' && c != '\\';
}

size_t str_json_plain(struct str s)
{
    size_t at = 0;

    while (s.len - at >= 8 && plain_word(s.p + at))
        at += 8;
    if (at && s.len - at < 8 && plain_word(s.p + s.len - 8))
        return s.len; /* the last word again, with what follows it */
    // NOLINTNEXTLINE(clang-analyzer-core.NullDereference): only an empty str has no bytes
    while (at < s.len && plain_byte(s.p[at]))
        at++;
    return at;
}

void buf_add_json_inside(struct buf *b, struct str s)
{
    size_t plain = 0; /* start of the run that needs no change */
    size_t at = 0;

    while (at < s.len) {
        at += str_json_plain(str_sub(s, at, s.len));
        if (at == s.len)
            break;
        unsigned char c = (unsigned char)s.p[at];
        size_t n = c < 0x80 ? 0 : utf8_sequence((const unsigned char *)s.p + at, s.len - at);
        if (n) {
            at += n;
            continue;
        }
        buf_add(b, s.p + plain, at - plain);
        if (c < 0x80)
            add_escape(b, c);
        else
            buf_add_c(b, "\xEF\xBF\xBD");
        plain = ++at;
    }
    if (plain < s.len) /* an empty str may have no bytes to point to */
        buf_add(b, s.p + plain, s.len - plain);
}

void buf_add_json(struct buf *b, struct str s)
{
    buf_add_char(b, '"');
    buf_add_json_inside(b, s);
    buf_add_char(b, '"');
}

void buf_add_plain(struct buf *b, struct str s, bool escaped)
{
    const unsigned char *p = (const unsigned char *)s.p;

    for (size_t at = 0, n; at < s.len; at += n ? n : 1) {
        n = utf8_sequence(p + at, s.len - at);
        bool c1 = n == 2 && p[at] == 0xC2 && p[at + 1] < 0xA0;
        bool steers = n == 0 || c1 || (n == 1 && (p[at] < 0x20 || p[at] == 0x7F));
        if (!steers)
            buf_add(b, s.p + at, n);
        else if (escaped)
            buf_addf(b, "\\u%04x", p[c1 ? at + 1 : at]);
        else
            buf_add_char(b, '?');
    }
}

void buf_add_double(struct buf *b, double v)
{
    char text[32];

    if (!isfinite(v)) {
        buf_add_c(b, "null");
        return;
    }
    for (int digits = 6; digits <= 17; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, v);
        double back = strtod(text, NULL);
        if (back >= v && back <= v)
            break;
    }
    buf_add_c(b, text);
}

void buf_clear(struct buf *b)
{
    b->len = 0;
    b->overflow = false;
    if (b->p)
        b->p[0] = '\0';
}

void buf_release(struct buf *b)
{
    mem_free(b->p);
    b->p = NULL;
    b->len = b->cap = 0;
    b->overflow = false;
}

bool buf_ok(const struct buf *b)
{
    return !b->overflow;
}

struct str buf_str(const struct buf *b)
{
    return (struct str){ b->p, b->len };
}
