#include "base/base64.h"

#include <stdint.h>
#include <string.h>

/* Sixteen bytes that are compared at once, in any CPU's vector registers; a comparison gives 0xFF
 * in the lanes where it holds. */
typedef uint8_t lanes __attribute__((vector_size(16)));

/* Bytes looked at before one branch on what was found. */
#define RUN_BYTES 64

/* Not zero in the lanes whose byte is of neither alphabet. Lanes wrap around below their range. */
static lanes lanes_foreign(const char *p)
{
    lanes v;

    memcpy(&v, p, sizeof v);
    lanes letter = (lanes)((v | 0x20) - 'a' < 26);
    lanes digit = (lanes)(v - '0' < 10);
    lanes sign = (lanes)(v == '+') | (lanes)(v == '/') | (lanes)(v == '-') | (lanes)(v == '_');
    return ~(letter | digit | sign);
}

static bool run_valid(const char *p)
{
    lanes found = { 0 };
    uint64_t half[2];

    for (size_t i = 0; i < RUN_BYTES; i += sizeof found)
        found |= lanes_foreign(p + i);
    memcpy(half, &found, sizeof half);
    return (half[0] | half[1]) == 0;
}

static bool byte_valid(char c)
{
    char run[RUN_BYTES];

    memset(run, c, sizeof run);
    return run_valid(run);
}

static size_t padding(struct str s)
{
    size_t n = 0;

    while (n < 2 && n < s.len && s.p[s.len - 1 - n] == '=')
        n++;
    return n;
}

bool base64_valid(struct str s, size_t *at)
{
    size_t pad = padding(s), len = s.len - pad, i = 0;

    while (len - i >= RUN_BYTES && run_valid(s.p + i))
        i += RUN_BYTES;
    while (i < len && byte_valid(s.p[i]))
        i++;
    *at = i < len ? i : s.len;
    return i == len && len % 4 != 1 && (pad == 0 || s.len % 4 == 0);
}

/* Bytes that are encoded on the stack before they are appended; a multiple of three. */
#define PIECE_BYTES 768

void base64_add(const void *p, size_t len, struct buf *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *in = p;
    char text[PIECE_BYTES / 3 * 4];
    size_t n = 0;

    for (size_t i = 0; i < len; i += 3) {
        size_t left = len - i;
        uint32_t bits = (uint32_t)in[i] << 16 | (left > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                        (left > 2 ? in[i + 2] : 0);
        text[n++] = digits[bits >> 18];
        text[n++] = digits[bits >> 12 & 63];
        text[n++] = (char)(left > 1 ? digits[bits >> 6 & 63] : '=');
        text[n++] = (char)(left > 2 ? digits[bits & 63] : '=');
        if (n == sizeof text) {
            buf_add(out, text, n);
            n = 0;
        }
    }
    buf_add(out, text, n);
}

static int digit_value(char c, bool url)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    return c == (url ? '-' : '+') ? 62 : c == (url ? '_' : '/') ? 63 : -1;
}

bool base64_read(struct str s, bool url, void *out, size_t *len)
{
    size_t digits = s.len - (url ? 0 : padding(s)), n = 0;
    unsigned char *to = out;
    uint32_t bits = 0;

    if (digits % 4 == 1 || (!url && s.len % 4 != 0))
        return false;
    for (size_t i = 0; i < digits; i++) {
        int value = digit_value(s.p[i], url);
        if (value < 0)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (i % 4 > 0)
            to[n++] = (unsigned char)(bits >> (6 - 2 * (i % 4)));
    }
    *len = n;
    return digits % 4 == 0 || (bits & (digits % 4 == 2 ? 15 : 3)) == 0;
}

void base64_add_standard(struct buf *out, struct str s)
{
    size_t from = out->len;

    buf_add_str(out, s);
    for (size_t i = padding(s) ? 0 : s.len % 4; i % 4; i++)
        buf_add_char(out, '=');
    if (!buf_ok(out) || !s.len || (!memchr(s.p, '-', s.len) && !memchr(s.p, '_', s.len)))
        return;
    for (size_t i = from; i < out->len; i++) {
        if (out->p[i] == '-')
            out->p[i] = '+';
        else if (out->p[i] == '_')
            out->p[i] = '/';
    }
}
