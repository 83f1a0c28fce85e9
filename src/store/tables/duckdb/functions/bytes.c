/* bytes.c -- BYTES as text and back: hexadecimal, base32, base64, UTF-8; hashes. */
#include <openssl/evp.h>
#include <string.h>

#include "base/base64.h"
#include "store/tables/duckdb/functions/call.h"
#include "store/tables/duckdb/functions/farm.h"

/* ---- Hexadecimal ---- */

static enum call_outcome to_hex(struct call *c)
{
    struct str s = arg_text(c, 0);
    char two[3];

    for (size_t i = 0; i < s.len; i++) {
        str_hex(s.p + i, 1, two);
        buf_add(&c->text, two, 2);
    }
    return out_buffer(c);
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* An odd number of digits has a 0 before it. */
static enum call_outcome from_hex(struct call *c)
{
    struct str s = arg_text(c, 0);
    int high = s.len % 2 ? 0 : -1;

    for (size_t i = 0; i < s.len; i++) {
        int digit = hex_digit(s.p[i]);
        if (digit < 0)
            return call_refuse(c, "Failed to decode invalid hexadecimal string: %.*s",
                               STR_ARG(str_cut(s, 100)));
        if (high < 0) {
            high = digit;
            continue;
        }
        buf_add_char(&c->text, (char)(high << 4 | digit));
        high = -1;
    }
    return out_buffer(c);
}

/* ---- Base64, base32 ---- */

static enum call_outcome to_base64(struct call *c)
{
    base64_add(arg_text(c, 0).p, arg_text(c, 0).len, &c->text);
    return out_buffer(c);
}

static int base_digit(const char *alphabet, char c)
{
    const char *found = c ? strchr(alphabet, c) : NULL;

    return found ? (int)(found - alphabet) : -1;
}

/* Digits of `bits` bits each; white space counts for nothing, and '=' may only be at the end. */
static enum call_outcome decode(struct call *c, const char *alphabet, uint32_t bits,
                                const char *name)
{
    struct str s = arg_text(c, 0);
    uint32_t hold = 0, have = 0;
    bool ended = false, bad = false;

    for (size_t i = 0; i < s.len && !bad; i++) {
        char letter = s.p[i];
        if (is_blank(letter))
            continue;
        int digit = base_digit(alphabet, letter);
        ended |= letter == '=';
        bad = letter != '=' && (digit < 0 || ended);
        if (digit < 0)
            continue;
        hold = hold << bits | (uint32_t)digit;
        have += bits;
        if (have >= 8) {
            have -= 8;
            buf_add_char(&c->text, (char)(hold >> have & 0xFF));
        }
    }
    if (bad || have >= bits)
        return call_refuse(c, "Failed to decode invalid %s string", name);
    return out_buffer(c);
}

#define BASE32 "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
#define BASE64 "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

static enum call_outcome from_base64(struct call *c)
{
    return decode(c, BASE64, 6, "base64");
}

static enum call_outcome from_base32(struct call *c)
{
    return decode(c, BASE32, 5, "base32");
}

static enum call_outcome to_base32(struct call *c)
{
    struct str s = arg_text(c, 0);
    uint32_t hold = 0, have = 0;

    for (size_t i = 0; i < s.len; i++) {
        hold = hold << 8 | (unsigned char)s.p[i];
        for (have += 8; have >= 5; have -= 5)
            buf_add_char(&c->text, BASE32[hold >> (have - 5) & 31]);
    }
    if (have)
        buf_add_char(&c->text, BASE32[hold << (5 - have) & 31]);
    while (c->text.len % 8)
        buf_add_char(&c->text, '=');
    return out_buffer(c);
}

/* ---- UTF-8 ---- */

static enum call_outcome safe_convert(struct call *c)
{
    struct str s = arg_text(c, 0);

    while (s.len) {
        size_t valid = str_utf8_valid(s);
        buf_add_str(&c->text, str_sub(s, 0, valid));
        if (valid < s.len)
            buf_add_c(&c->text, "\xEF\xBF\xBD");
        s = str_sub(s, valid + 1, s.len);
    }
    return out_buffer(c);
}

/* ---- Hashes ---- */

static enum call_outcome digest(struct call *c, const EVP_MD *kind)
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    unsigned int n = 0;

    if (EVP_Digest(arg_text(c, 0).p, arg_text(c, 0).len, hash, &n, kind, NULL) != 1)
        return call_refuse(c, "The hash is not available on this machine");
    return out_text(c, (struct str){ (const char *)hash, n });
}

static enum call_outcome md5(struct call *c)
{
    return digest(c, EVP_md5());
}

static enum call_outcome sha1(struct call *c)
{
    return digest(c, EVP_sha1());
}

static enum call_outcome sha256(struct call *c)
{
    return digest(c, EVP_sha256());
}

static enum call_outcome sha512(struct call *c)
{
    return digest(c, EVP_sha512());
}

static enum call_outcome fingerprint(struct call *c)
{
    return out_int(c, (int64_t)farm_fingerprint(arg_text(c, 0)));
}

static const struct function rows[] = {
    { "to_hex", "Y:S", to_hex, 0 },
    { "from_hex", "S:Y", from_hex, 0 },
    { "to_base64", "Y:S", to_base64, 0 },
    { "from_base64", "S:Y", from_base64, 0 },
    { "to_base32", "Y:S", to_base32, 0 },
    { "from_base32", "S:Y", from_base32, 0 },
    { "safe_convert_bytes_to_string", "Y:S", safe_convert, 0 },
    { "md5", "S:Y", md5, 0 },
    { "md5", "Y:Y", md5, 0 },
    { "sha1", "S:Y", sha1, 0 },
    { "sha1", "Y:Y", sha1, 0 },
    { "sha256", "S:Y", sha256, 0 },
    { "sha256", "Y:Y", sha256, 0 },
    { "sha512", "S:Y", sha512, 0 },
    { "sha512", "Y:Y", sha512, 0 },
    { "farm_fingerprint", "S:I", fingerprint, 0 },
    { "farm_fingerprint", "Y:I", fingerprint, 0 },
};
const struct function_table functions_bytes = FUNCTION_TABLE(rows);
