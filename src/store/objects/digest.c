/* digest.c -- the hashes of blob.h while the bytes pass: CRC-32C always, MD5 and SHA-256 on request. */
#include "store/objects/objects_inner.h"

#include <assert.h>

#include "base/sys.h"
#include "base/thread.h"

#define READ_BYTES ((size_t)256 * 1024)

static int begin_one(EVP_MD_CTX **out, const EVP_MD *kind, struct error *e)
{
    *out = EVP_MD_CTX_new();
    if (!*out || EVP_DigestInit_ex(*out, kind, NULL) != 1)
        return error_set(e, ERROR_INTERNAL, "the crypto library does not offer %s",
                         EVP_MD_get0_name(kind));
    return 0;
}

int blob_digest_begin(struct blob_digest *h, bool md5, bool sha256, struct error *e)
{
    *h = (struct blob_digest){ 0 };
    if ((md5 && begin_one(&h->md5, EVP_md5(), e) < 0) ||
        (sha256 && begin_one(&h->sha256, EVP_sha256(), e) < 0)) {
        blob_digest_release(h);
        return -1;
    }
    return 0;
}

static void add_one(EVP_MD_CTX *one, const void *p, size_t len)
{
    if (!one)
        return;
    int ok = EVP_DigestUpdate(one, p, len);
    assert(ok == 1); /* it cannot fail on a begun digest */
}

void blob_digest_add(struct blob_digest *h, const void *p, size_t len)
{
    h->crc32c = crc32c_add(h->crc32c, p, len);
    add_one(h->md5, p, len);
    add_one(h->sha256, p, len);
}

static bool end_one(EVP_MD_CTX *one, unsigned char *out)
{
    if (!one)
        return false;
    int ok = EVP_DigestFinal_ex(one, out, NULL);
    assert(ok == 1);
    return true;
}

void blob_digest_end(struct blob_digest *h, struct blob *out)
{
    out->crc32c = h->crc32c;
    out->has_md5 = end_one(h->md5, out->md5);
    out->has_sha256 = end_one(h->sha256, out->sha256);
    blob_digest_release(h);
}

void blob_digest_release(struct blob_digest *h)
{
    EVP_MD_CTX_free(h->md5);
    EVP_MD_CTX_free(h->sha256);
    *h = (struct blob_digest){ 0 };
}

int blob_digest_add_file(struct blob_digest *h, int fd, struct byte_range what, const char *path,
                         struct error *e)
{
    char *chunk = mem_alloc(READ_BYTES);
    uint64_t at = what.from;
    int64_t n = 0;

    assert_may_wait("the hashing of a file");
    while (at < what.to) {
        size_t want = what.to - at < READ_BYTES ? (size_t)(what.to - at) : READ_BYTES;
        n = sys_read_at(fd, chunk, want, at, path, e);
        if (n <= 0)
            break;
        blob_digest_add(h, chunk, (size_t)n);
        at += (uint64_t)n;
    }
    mem_free(chunk);
    if (n < 0)
        return -1;
    if (at < what.to)
        return error_set(e, ERROR_DATA_LOSS, "%s ends at byte %llu of %llu", path,
                         (unsigned long long)at, (unsigned long long)what.to);
    return 0;
}

/* ---- The hashes of a file that the caller writes ---- */

struct blob_hasher *blob_hasher_new(struct error *e)
{
    struct blob_hasher *h = mem_alloc(sizeof *h);

    if (blob_digest_begin(&h->digest, true, true, e) == 0)
        return h;
    mem_free(h);
    return NULL;
}

void blob_hasher_add(struct blob_hasher *h, const void *p, size_t len)
{
    blob_digest_add(&h->digest, p, len);
    h->bytes += len;
}

void blob_hasher_free(struct blob_hasher *h)
{
    if (!h)
        return;
    blob_digest_release(&h->digest);
    mem_free(h);
}
