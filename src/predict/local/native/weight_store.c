#define _GNU_SOURCE /* F_ADD_SEALS, MAP_FIXED */
#include "predict/local/native/weight_store.h"

#include <assert.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

#define HUGE_BYTES ((uint64_t)2 << 20)
#define HEAD_BYTES HUGE_BYTES /* so that the pieces may have huge pages */
#define SEALS (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

/* At the beginning of the memory. */
struct head {
    uint64_t file_bytes, file_ino;
    int64_t file_s, file_ns;
    uint32_t format, is_finished;
    uint64_t bytes; /* of all, with this */
};

struct weight_store {
    int fd;
    struct head head;
    char *reserved; /* addresses, of which `at` is the first on a boundary of HUGE_BYTES */
    uint64_t reserved_bytes, bytes, taken;
    char *at;
    bool is_full;
};

static bool describe(int model_fd, enum kernel_format format, struct head *out)
{
    struct stat st;

    if (fstat(model_fd, &st) < 0)
        return false;
    *out = (struct head){
        .file_bytes = (uint64_t)st.st_size,
        .file_ino = (uint64_t)st.st_ino,
        .file_s = (int64_t)st.st_mtim.tv_sec,
        .file_ns = (int64_t)st.st_mtim.tv_nsec,
        .format = (uint32_t)format,
    };
    return true;
}

/* True when a process has finished it for the same file. */
static bool is_same(const struct weight_store *s, struct head *there)
{
    struct head want = s->head;

    if (pread(s->fd, there, sizeof *there, 0) != sizeof *there)
        return false;
    want.is_finished = 1;
    want.bytes = there->bytes;
    return memcmp(&want, there, sizeof want) == 0;
}

/* Reserves addresses on a boundary, and maps the store there. */
static bool map(struct weight_store *s)
{
    int access = s->is_full ? PROT_READ : PROT_READ | PROT_WRITE;
    int kind = s->is_full ? MAP_PRIVATE : MAP_SHARED;

    s->reserved_bytes = s->bytes + HUGE_BYTES;
    void *p = mmap(NULL, s->reserved_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                   -1, 0);
    if (p == MAP_FAILED)
        return false;
    s->reserved = p;
    s->at = s->reserved + (HUGE_BYTES - (uintptr_t)p % HUGE_BYTES) % HUGE_BYTES;
    return mmap(s->at, s->bytes, access, kind | MAP_FIXED, s->fd, 0) != MAP_FAILED;
}

struct weight_store *weight_store_open(int fd, int model_fd, enum kernel_format format,
                                       uint64_t bytes)
{
    struct weight_store *s = mem_alloc(sizeof *s);
    struct head there;
    int seals = fcntl(fd, F_GET_SEALS);

    s->fd = fd;
    if (seals < 0 || !describe(model_fd, format, &s->head))
        goto none;
    s->is_full = (seals & SEALS) == SEALS;
    if (s->is_full && !is_same(s, &there)) /* the file was replaced */
        goto none;
    s->bytes = s->is_full ? there.bytes : HEAD_BYTES + bytes;
    if (!s->is_full && (ftruncate(fd, 0) < 0 || ftruncate(fd, (off_t)s->bytes) < 0))
        goto none;
    if (!map(s))
        goto none;
    s->taken = HEAD_BYTES;
    return s;
none:
    weight_store_close(s);
    return NULL;
}

void weight_store_close(struct weight_store *s)
{
    if (!s)
        return;
    if (s->reserved)
        (void)munmap(s->reserved, s->reserved_bytes);
    mem_free(s);
}

bool weight_store_is_full(const struct weight_store *s)
{
    return s && s->is_full;
}

void *weight_store_take(struct weight_store *s, uint64_t bytes)
{
    uint64_t whole = (bytes + KERNEL_ALIGN - 1) / KERNEL_ALIGN * KERNEL_ALIGN;

    assert(s->taken <= s->bytes);
    if (whole < bytes || whole > s->bytes - s->taken)
        return NULL;
    s->taken += whole;
    return s->at + (s->taken - whole);
}

/* The room behind the last piece goes, and the rest is mapped anew, so that the memfd can be sealed. Huge pages
 * are asked for outright: the usual advice is not followed for shared memory. */
bool weight_store_finish(struct weight_store *s)
{
    uint64_t whole = (s->taken + HUGE_BYTES - 1) / HUGE_BYTES * HUGE_BYTES;

    if (s->is_full)
        return true;
    s->head.is_finished = 1;
    s->head.bytes = whole;
    (void)madvise(s->at, whole, MADV_COLLAPSE);
    memcpy(s->at, &s->head, sizeof s->head);
    return ftruncate(s->fd, (off_t)whole) == 0 &&
           mmap(s->at, whole, PROT_READ, MAP_PRIVATE | MAP_FIXED, s->fd, 0) != MAP_FAILED &&
           (s->bytes == whole || munmap(s->at + whole, s->bytes - whole) == 0);
}

void weight_store_seal(int fd)
{
    struct head there;

    if (pread(fd, &there, sizeof there, 0) == sizeof there && there.is_finished)
        (void)fcntl(fd, F_ADD_SEALS, SEALS);
}
