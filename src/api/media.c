#include "api/media.h"
#include "base/base64.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#define HASH_TEXT_MAX ((size_t)48)
#define RANGE_TEXT_BYTES 80

/* A hash of exactly len bytes. */
static bool hash_read(struct str s, unsigned char *out, size_t len)
{
    unsigned char bytes[HASH_TEXT_MAX];
    size_t got = 0;

    if (s.len > HASH_TEXT_MAX || !base64_read(s, false, bytes, &got) || got != len)
        return false;
    memcpy(out, bytes, len);
    return true;
}

void media_crc32c_bytes(uint32_t crc32c, unsigned char out[MEDIA_CRC32C_BYTES])
{
    for (unsigned i = 0; i < MEDIA_CRC32C_BYTES; i++)
        out[i] = (unsigned char)(crc32c >> (24 - 8 * i));
}

bool media_type_valid(struct str s)
{
    for (size_t i = 0; i < s.len; i++)
        if (s.p[i] < ' ' || s.p[i] > '~')
            return false;
    return s.len <= MEDIA_TYPE_MAX;
}

/* Takes word off the beginning of s. */
static bool take(struct str *s, struct str word)
{
    if (!str_starts(*s, word))
        return false;
    *s = str_sub(*s, word.len, s->len);
    return true;
}

/* ---- Hashes ---- */

int media_hashes_add(struct media_hashes *h, const char *name, struct str base64, struct error *e)
{
    bool is_md5 = strcmp(name, "md5") == 0;
    bool ok = is_md5 ? hash_read(base64, h->md5, sizeof h->md5)
                     : hash_read(base64, h->crc32c, sizeof h->crc32c);

    if (!ok)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value for %s: \"%.*s\"", name,
                         STR_ARG(str_sub(base64, 0, 64)));
    if (is_md5)
        h->has_md5 = true;
    else
        h->has_crc32c = true;
    return 0;
}

static int mismatch(const char *name, struct buf *given, struct buf *have, struct error *e)
{
    (void)error_set(e, ERROR_INVALID_ARGUMENT,
                    "Provided %s \"%.*s\" doesn't match calculated %s \"%.*s\".", name,
                    STR_ARG(buf_str(given)), name, STR_ARG(buf_str(have)));
    buf_release(given);
    buf_release(have);
    return -1;
}

int media_hashes_check(const struct media_hashes *h, const struct blob *b, struct error *e)
{
    struct buf given = BUF_INIT(HASH_TEXT_MAX), have = BUF_INIT(HASH_TEXT_MAX);
    unsigned char crc32c[MEDIA_CRC32C_BYTES];

    media_crc32c_bytes(b->crc32c, crc32c);
    if (h->has_crc32c && memcmp(h->crc32c, crc32c, sizeof crc32c) != 0) {
        base64_add(h->crc32c, sizeof h->crc32c, &given);
        base64_add(crc32c, sizeof crc32c, &have);
        return mismatch("CRC32C", &given, &have, e);
    }
    if (h->has_md5 && b->has_md5 && memcmp(h->md5, b->md5, sizeof b->md5) != 0) {
        base64_add(h->md5, sizeof h->md5, &given);
        base64_add(b->md5, sizeof b->md5, &have);
        return mismatch("MD5 hash", &given, &have, e);
    }
    return 0;
}

/* "crc32c=AAAAAA==,md5=1B2M2Y8AsgTpgAmY7PhCfg==" */
int media_hashes_header(struct str x_goog_hash, struct media_hashes *h, struct error *e)
{
    while (x_goog_hash.len > 0) {
        size_t comma = str_find(x_goog_hash, STR(","));
        struct str one = str_trim(str_sub(x_goog_hash, 0, comma));
        int rc = 0;
        if (take(&one, STR("crc32c=")))
            rc = media_hashes_add(h, "crc32c", one, e);
        else if (take(&one, STR("md5=")))
            rc = media_hashes_add(h, "md5", one, e);
        if (rc < 0)
            return -1;
        x_goog_hash = comma == SIZE_MAX ? (struct str){ 0 }
                                        : str_sub(x_goog_hash, comma + 1, x_goog_hash.len);
    }
    return 0;
}

/* ---- Ranges ---- */

/* Digits off s; false when there are none or the number is too large. */
static bool take_number(struct str *s, uint64_t *out)
{
    size_t len = 0;

    while (len < s->len && s->p[len] >= '0' && s->p[len] <= '9')
        len++;
    bool good = str_number(str_sub(*s, 0, len), out);
    *s = str_sub(*s, len, s->len);
    return good;
}

/* "*" or "a-*" or "a-b" */
static bool take_span(struct str *s, struct media_span *out)
{
    if (take(s, STR("*")))
        return true;
    out->has_bytes = true;
    if (!take_number(s, &out->first) || !take(s, STR("-")))
        return false;
    if (take(s, STR("*")))
        return true;
    out->has_end = true;
    return take_number(s, &out->end) && out->end >= out->first && out->end++ != UINT64_MAX;
}

int media_span_read(struct str content_range, struct media_span *out, struct error *e)
{
    struct str s = content_range;

    *out = (struct media_span){ 0 };
    bool ok = take(&s, STR("bytes ")) && take_span(&s, out) && take(&s, STR("/"));
    if (ok && !take(&s, STR("*"))) {
        out->has_total = true;
        ok = take_number(&s, &out->total);
    }
    uint64_t end = out->has_end ? out->end : out->first;
    if (ok && s.len == 0 && !(out->has_total && end > out->total))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "Failed to parse Content-Range header: \"%.*s\"",
                     STR_ARG(str_sub(content_range, 0, 64)));
}

/* The part of `bytes` bytes that a Range header asks for. A header that we do not understand, or with several
 * ranges, asks for all. */

/* "bytes=a-b", "bytes=a-", "bytes=-n" */
static enum media_range range_read(struct str range, uint64_t bytes, uint64_t *first, uint64_t *end)
{
    uint64_t last = UINT64_MAX;

    *first = 0;
    *end = bytes;
    if (!take(&range, STR("bytes=")))
        return MEDIA_ALL;
    if (take(&range, STR("-"))) {
        uint64_t suffix;
        if (!take_number(&range, &suffix) || range.len > 0)
            return MEDIA_ALL;
        *first = suffix < bytes ? bytes - suffix : 0;
        return suffix == 0 || bytes == 0 ? MEDIA_OUTSIDE : MEDIA_PART;
    }
    uint64_t from;
    if (!take_number(&range, &from) || !take(&range, STR("-")))
        return MEDIA_ALL;
    if (range.len > 0 && (!take_number(&range, &last) || range.len > 0 || last < from))
        return MEDIA_ALL;
    if (from >= bytes)
        return MEDIA_OUTSIDE;
    *first = from;
    *end = last < bytes ? last + 1 : bytes;
    return MEDIA_PART;
}

int media_open(struct call *c, const struct blob *b, struct media_part *out, struct error *e)
{
    uint64_t first, end;

    *out = (struct media_part){ .bytes = b->bytes, .download = { .fd = -1 } };
    out->kind = range_read(http_header(c->http, "Range"), b->bytes, &first, &end);
    return out->kind == MEDIA_OUTSIDE ? 0 : download_open(c, b->id, first, end, &out->download, e);
}

void media_reply(struct call *c, const char *type, const struct media_part *part)
{
    const struct download *d = &part->download;
    char text[RANGE_TEXT_BYTES];

    http_set_header(c->http, "Accept-Ranges", STR("bytes"));
    if (part->kind == MEDIA_OUTSIDE) {
        (void)snprintf(text, sizeof text, "bytes */%" PRIu64, part->bytes);
        http_set_header(c->http, "Content-Range", str_of(text));
        call_fail_as(c, 416, NULL, "Request range not satisfiable");
        return;
    }
    if (part->kind == MEDIA_PART) {
        (void)snprintf(text, sizeof text, "bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64, d->first,
                       d->end - 1, part->bytes);
        http_set_header(c->http, "Content-Range", str_of(text));
    }
    download_reply(c, part->kind == MEDIA_PART ? 206 : 200, type, d);
}
