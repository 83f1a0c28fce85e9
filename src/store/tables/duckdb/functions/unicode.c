/* unicode.c -- unicode.h */
#include "store/tables/duckdb/functions/unicode.h"

uint32_t unicode_next(struct str s, size_t *at)
{
    const unsigned char *p = (const unsigned char *)s.p + *at;
    size_t left = s.len - *at, n = p[0] < 0x80 ? 1 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : 4;

    if (n > left)
        n = left;
    *at += n;
    uint32_t v = n == 1 ? p[0] : p[0] & (0xFFU >> (n + 1));
    for (size_t i = 1; i < n; i++)
        v = v << 6 | (p[i] & 0x3FU);
    return v;
}

size_t unicode_count(struct str s)
{
    size_t n = 0;

    for (size_t i = 0; i < s.len; i++)
        n += ((unsigned char)s.p[i] & 0xC0) != 0x80;
    return n;
}

size_t unicode_offset(struct str s, size_t n)
{
    size_t at = 0;

    while (n-- > 0 && at < s.len)
        (void)unicode_next(s, &at);
    return at;
}

static size_t byte_count(struct str s)
{
    return s.len;
}

static size_t byte_offset(struct str s, size_t n)
{
    return n < s.len ? n : s.len;
}

const struct units units_characters = { unicode_count, unicode_offset };
const struct units units_bytes = { byte_count, byte_offset };

bool unicode_add(struct buf *out, uint32_t c)
{
    if (c > UNICODE_MAX || (c >= 0xD800 && c < 0xE000))
        return false;
    if (c < 0x80) {
        buf_add_char(out, (char)c);
        return true;
    }
    int more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const unsigned char lead[] = { 0, 0xC0, 0xE0, 0xF0 };
    buf_add_char(out, (char)(lead[more] | c >> (6 * more)));
    while (more-- > 0)
        buf_add_char(out, (char)(0x80 | (c >> (6 * more) & 0x3F)));
    return true;
}

bool unicode_space(uint32_t c)
{
    return (c >= 9 && c <= 13) || c == ' ' || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

/* Characters whose upper case is several (Unicode's SpecialCasing.txt, without Greek's iota subscripts). */
static const struct {
    uint32_t character;
    const char *upper;
} special[] = {
    { 0xDF, "SS" },
    { 0x149, "\xCA\xBCN" },
    { 0x1F0, "J\xCC\x8C" },
    { 0x390, "\xCE\x99\xCC\x88\xCC\x81" },
    { 0x3B0, "\xCE\xA5\xCC\x88\xCC\x81" },
    { 0x587, "\xD4\xB5\xD5\x92" },
    { 0x1E96, "H\xCC\xB1" },
    { 0x1E97, "T\xCC\x88" },
    { 0x1E98, "W\xCC\x8A" },
    { 0x1E99, "Y\xCC\x8A" },
    { 0x1E9A, "A\xCA\xBE" },
    { 0xFB00, "FF" },
    { 0xFB01, "FI" },
    { 0xFB02, "FL" },
    { 0xFB03, "FFI" },
    { 0xFB04, "FFL" },
    { 0xFB05, "ST" },
    { 0xFB06, "ST" },
};

static void add_upper(const struct duckdb_library *d, uint32_t c, struct buf *out)
{
    for (size_t i = 0; i < ARRAY_LEN(special); i++)
        if (special[i].character == c) {
            buf_add_c(out, special[i].upper);
            return;
        }
    (void)unicode_add(out, d->utf8proc_upper ? (uint32_t)d->utf8proc_upper((int32_t)c) : c);
}

void unicode_upper(const struct duckdb_library *d, struct str s, struct buf *out)
{
    for (size_t at = 0; at < s.len;) {
        uint32_t c = unicode_next(s, &at);
        if (c < 0x80)
            buf_add_char(out, (char)(c >= 'a' && c <= 'z' ? c - 32 : c));
        else
            add_upper(d, c, out);
    }
}

void unicode_lower(const struct duckdb_library *d, struct str s, struct buf *out)
{
    for (size_t at = 0; at < s.len;) {
        uint32_t c = unicode_next(s, &at);
        if (c < 0x80)
            buf_add_char(out, (char)(c >= 'A' && c <= 'Z' ? c + 32 : c));
        else if (c == 0x130) /* the dotted I: i and a dot above */
            buf_add_c(out, "i\xCC\x87");
        else
            (void)unicode_add(out, d->utf8proc_lower ? (uint32_t)d->utf8proc_lower((int32_t)c) : c);
    }
}

bool unicode_map(const struct duckdb_library *d, struct str s, enum unicode_form form, bool fold,
                 struct buf *out)
{
    enum { STABLE = 2, COMPAT = 4, COMPOSE = 8, DECOMPOSE = 16, CASEFOLD = 1024 }; /* utf8proc's */
    static const int options[] = { [UNICODE_NFC] = STABLE | COMPOSE,
                                   [UNICODE_NFKC] = STABLE | COMPOSE | COMPAT,
                                   [UNICODE_NFD] = STABLE | DECOMPOSE,
                                   [UNICODE_NFKD] = STABLE | DECOMPOSE | COMPAT };
    unsigned char *mapped = NULL;

    if (!d->utf8proc_map)
        return false;
    ptrdiff_t n = d->utf8proc_map((const unsigned char *)s.p, (ptrdiff_t)s.len, &mapped,
                                  options[form] | (fold ? CASEFOLD : 0));
    if (n < 0)
        return false;
    buf_add(out, mapped, (size_t)n);
    d->free(mapped);
    return true;
}
