#define _GNU_SOURCE /* memfd_create */
#include "predict/media/source.h"

#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/mem.h"
#include "base/sys.h"
#include "predict/media/sniff.h"

#define READ_BYTES ((size_t)256 * 1024)

static int digest_file(int fd, unsigned char out[MEDIA_DIGEST_BYTES], struct error *e)
{
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    unsigned char *piece = mem_alloc(READ_BYTES);
    uint64_t at = 0;
    int64_t n = -1;

    bool ok = sha && EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1;
    while (ok && (n = sys_read_at(fd, piece, READ_BYTES, at, "the file", e)) > 0) {
        ok = EVP_DigestUpdate(sha, piece, (size_t)n) == 1;
        at += (uint64_t)n;
    }
    ok = ok && n == 0 && EVP_DigestFinal_ex(sha, out, NULL) == 1;
    if (!ok && n >= 0)
        (void)error_set(e, ERROR_INTERNAL, "no digest of the file could be made");
    EVP_MD_CTX_free(sha);
    mem_free(piece);
    return ok ? 0 : -1;
}

/* The most bytes that a file of this type may have; one whose type is not said may be a video. */
static uint64_t bytes_max(const struct part *p, const struct media_limits *l)
{
    enum media_kind kind;

    if (!media_kind_of_type(p->mime, &kind) || kind == MEDIA_KIND_VIDEO)
        return MEDIA_VIDEO_BYTES_MAX;
    if (kind == MEDIA_KIND_AUDIO)
        return MEDIA_AUDIO_BYTES_MAX;
    return p->kind == PART_INLINE_DATA ? l->image_inline_bytes : l->image_bytes;
}

static int open_inline(const struct part *p, uint64_t most, struct error *e)
{
    size_t len = 0;

    if (p->data.len / 4 * 3 > most + 3)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "inlineData has about %zu bytes; at most %llu are taken, or more as a file.",
            p->data.len / 4 * 3, (unsigned long long)most);
    struct buf standard = BUF_INIT(p->data.len + 4);
    base64_add_standard(&standard, p->data);
    unsigned char *bytes = mem_alloc(standard.len / 4 * 3 + 3);
    int fd = -1;
    if (!base64_read(buf_str(&standard), false, bytes, &len))
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "inlineData.data is not base64.");
    else if ((fd = memfd_create("inlineData", MFD_CLOEXEC)) < 0)
        (void)error_errno(e, "no memory for inlineData");
    else if (sys_write_all(fd, bytes, len, "inlineData", e) < 0) {
        (void)close(fd);
        fd = -1;
    }
    mem_free(bytes);
    buf_release(&standard);
    return fd;
}

static int open_part(const struct request *r, const struct part *p, uint64_t most, struct error *e)
{
    if (p->kind == PART_INLINE_DATA)
        return open_inline(p, most, e);
    if (!r->files || !r->files->open)
        return error_set(
            e, ERROR_FAILED_PRECONDITION,
            "%.*s cannot be read here. Send the file as inlineData, or run the batch by "
            "tranche serve, which has a store of objects.",
            STR_ARG(str_cut(p->uri, 100)));
    return r->files->open(r->files->arg, p->uri, most, e);
}

int media_file_open(const struct request *r, const struct part *p,
                    const struct media_limits *limits, struct media_file *out, struct error *e)
{
    uint64_t most = bytes_max(p, limits);
    struct stat st;

    out->fd = open_part(r, p, most, e);
    if (out->fd < 0)
        return -1;
    if (fstat(out->fd, &st) == 0 && (uint64_t)st.st_size > most)
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "It has %lld bytes; at most %llu are taken.",
                        (long long)st.st_size, (unsigned long long)most);
    else if (digest_file(out->fd, out->digest, e) == 0)
        return 0;
    (void)close(out->fd);
    return -1;
}
