#include "net/client/sigv4.h"

#include <assert.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define HASH_BYTES 32
#define DAY_CHARS 8 /* of a date: its day */
#define ALGORITHM "AWS4-HMAC-SHA256"

static void hmac(const void *key, size_t key_len, struct str text, unsigned char out[HASH_BYTES])
{
    unsigned int len = 0;
    const unsigned char *done =
        HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)(text.p ? text.p : ""),
             text.len, out, &len);

    assert(done && len == HASH_BYTES); /* it fails only without memory */
}

void sigv4_sha256(struct str bytes, char out[SIGV4_SHA256_BYTES])
{
    unsigned char hash[HASH_BYTES];
    int ok = EVP_Digest(bytes.p ? bytes.p : "", bytes.len, hash, NULL, EVP_sha256(), NULL);

    assert(ok == 1);
    str_hex(hash, sizeof hash, out);
}

void sigv4_date(int64_t wall_us, char out[SIGV4_DATE_BYTES])
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm = { 0 };

    (void)gmtime_r(&seconds, &tm);
    (void)strftime(out, SIGV4_DATE_BYTES, "%Y%m%dT%H%M%SZ", &tm);
}

/* ---- What is signed ---- */

static struct str name_of(struct str line)
{
    return str_sub(line, 0, str_find(line, STR(":")));
}

/* The headers with "host", sorted by their names; those of one name stay in their order. */
static int sort_headers(const struct sigv4 *r, struct str host_line,
                        struct str out[SIGV4_HEADERS_MAX + 1], size_t *count, struct error *e)
{
    *count = 0;
    out[(*count)++] = host_line;
    for (const char *const *h = r->header; *h; h++) {
        struct str line = str_of(*h);
        size_t at = *count;
        if (*count > SIGV4_HEADERS_MAX)
            return error_set(e, ERROR_INVALID_ARGUMENT, "more than %d headers to sign",
                             SIGV4_HEADERS_MAX);
        for (; at > 0 && str_cmp(name_of(line), name_of(out[at - 1])) < 0; at--)
            out[at] = out[at - 1];
        out[at] = line;
        (*count)++;
    }
    return 0;
}

/* Runs of spaces count as one. */
static void add_value(struct buf *out, struct str value)
{
    for (size_t i = 0; i < value.len; i++)
        if (value.p[i] != ' ' || value.p[i - 1] != ' ')
            buf_add_char(out, value.p[i]);
}

static void add_headers(struct buf *out, const struct str *line, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct str name = name_of(line[i]);
        bool again = i > 0 && str_eq(name, name_of(line[i - 1]));
        if (again) {
            out->len--; /* the line end: another value of the same header */
            buf_add_char(out, ',');
        } else {
            buf_add_str(out, name);
            buf_add_char(out, ':');
        }
        add_value(out, str_trim(str_sub(line[i], name.len + 1, line[i].len)));
        buf_add_char(out, '\n');
    }
}

static void add_names(struct buf *out, const struct str *line, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (i > 0 && str_eq(name_of(line[i]), name_of(line[i - 1])))
            continue;
        if (i > 0)
            buf_add_char(out, ';');
        buf_add_str(out, name_of(line[i]));
    }
}

static void sign_text(const struct sigv4 *r, struct str text, char out[SIGV4_SHA256_BYTES])
{
    struct buf first = BUF_INIT(512);
    unsigned char key[HASH_BYTES];

    buf_add_c(&first, "AWS4");
    buf_add_str(&first, r->secret);
    hmac(first.p, first.len, (struct str){ r->date, DAY_CHARS }, key);
    hmac(key, sizeof key, str_of(r->region), key);
    hmac(key, sizeof key, str_of(r->service), key);
    hmac(key, sizeof key, STR("aws4_request"), key);
    hmac(key, sizeof key, text, key);
    str_hex(key, sizeof key, out);
    OPENSSL_cleanse(first.p, first.len);
    OPENSSL_cleanse(key, sizeof key);
    buf_release(&first);
}

/* Two texts: the request in its canonical form, and the one with its hash that is signed. */
int sigv4_sign(const struct sigv4 *r, struct buf *out, struct error *e)
{
    struct buf host = BUF_INIT(512), text = BUF_INIT(SIGV4_BYTES_MAX), names = BUF_INIT(1024),
               scope = BUF_INIT(256);
    struct str line[SIGV4_HEADERS_MAX + 1];
    char hash[SIGV4_SHA256_BYTES], signature[SIGV4_SHA256_BYTES];
    size_t count;
    int rc = -1;

    buf_addf(&host, "host: %.*s", STR_ARG(r->host));
    if (sort_headers(r, buf_str(&host), line, &count, e) < 0)
        goto out;
    add_names(&names, line, count);
    buf_addf(&text, "%s\n%.*s\n%.*s\n", r->method, STR_ARG(r->path), STR_ARG(r->query));
    add_headers(&text, line, count);
    buf_addf(&text, "\n%.*s\n%s", STR_ARG(buf_str(&names)), r->payload);
    buf_addf(&scope, "%.*s/%s/%s/aws4_request", DAY_CHARS, r->date, r->region, r->service);
    if (!buf_ok(&host) || !buf_ok(&text) || !buf_ok(&names) || !buf_ok(&scope) ||
        r->secret.len > 256) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "the request is too long to be signed");
        goto out;
    }
    sigv4_sha256(buf_str(&text), hash);
    buf_clear(&text);
    buf_addf(&text, ALGORITHM "\n%s\n%.*s\n%s", r->date, STR_ARG(buf_str(&scope)), hash);
    sign_text(r, buf_str(&text), signature);
    buf_addf(out,
             "Authorization: " ALGORITHM " Credential=%.*s/%.*s, SignedHeaders=%.*s, Signature=%s",
             STR_ARG(r->id), STR_ARG(buf_str(&scope)), STR_ARG(buf_str(&names)), signature);
    rc = buf_ok(out) ? 0 : error_set(e, ERROR_INVALID_ARGUMENT, "the signature is too long");
out:
    buf_release(&host);
    buf_release(&text);
    buf_release(&names);
    buf_release(&scope);
    return rc;
}
