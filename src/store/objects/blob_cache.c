/* blob_cache.c -- copies of a shared store's blobs in this process's folder.
 *
 * Shape:   DIR/cache/<last two hex digits of ID>/ID, whole and checked; DIR/cache/w-RANDOM while one comes. Together
 *          they have at most a number of bytes, of which the longest unused copy makes room. A blob that has no
 *          room at all, or whose DIR is used without its lock, comes in a file without a name.
 * Crashes: a copy gets its name when it is whole, without a sync: a process that dies leaves good copies, and
 *          after the machine's end (DIR/cache/boot names its start) all are removed.
 * Locks:   cache.lock guards all members and the names of copies; it is not held while one comes. Who wants a
 *          blob that comes waits for it.
 */
#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/random.h"
#include "base/sys.h"
#include "base/thread.h"
#include "store/objects/objects_inner.h"

#define FOLDERS 256
#define CHAINS 1024
#define NAME_CHARS 20
/* Left free on the file system for the spools of jobs. */
#define ROOM_BYTES ((uint64_t)64 * 1024 * 1024)
#define BOOT_FILE "/proc/sys/kernel/random/boot_id"
#define BOOT_BYTES_MAX 128

struct copy {
    int64_t id;
    uint64_t bytes;
    bool coming;                /* not in the list; else it has its name */
    bool gone;                  /* from the index; the last one that waits frees it */
    uint32_t waiting;           /* for the end of coming */
    struct error error;         /* why it did not come */
    struct copy *chain;         /* the next one with the same hash */
    struct copy *newer, *older; /* by last use */
};

struct cache {
    pthread_mutex_t lock;
    pthread_cond_t came;
    bool begun;
    uint64_t bytes; /* of all copies, also of those that come */
    struct copy *chain[CHAINS];
    struct copy *newest, *oldest;
};

struct cache *cache_new(void)
{
    struct cache *c = mem_alloc(sizeof *c);

    lock_init(&c->lock);
    cond_init(&c->came);
    return c;
}

void cache_free(struct cache *c)
{
    if (!c)
        return;
    for (unsigned i = 0; i < CHAINS; i++) {
        for (struct copy *x = c->chain[i], *next; x; x = next) {
            assert(!x->coming && x->waiting == 0);
            next = x->chain;
            mem_free(x);
        }
    }
    cond_destroy(&c->came);
    lock_destroy(&c->lock);
    mem_free(c);
}

static uint64_t bytes_max(const struct store *s)
{
    return s->cache_bytes ? s->cache_bytes : STORE_CACHE_BYTES;
}

static void path_of(const struct store *s, char out[PATH_BYTES], int64_t id)
{
    store_path(s, out, "cache/%02x/%lld", (unsigned)(id & 0xff), (long long)id);
}

/* ---- Under the lock ---- */

static struct copy **place_of(struct cache *c, int64_t id)
{
    struct copy **at = &c->chain[id % CHAINS];

    while (*at && (*at)->id != id)
        at = &(*at)->chain;
    return at;
}

static struct copy *add(struct cache *c, int64_t id, uint64_t bytes)
{
    struct copy *x = mem_alloc(sizeof *x);

    assert(!*place_of(c, id));
    *x = (struct copy){ .id = id, .bytes = bytes, .coming = true };
    *place_of(c, id) = x;
    c->bytes += bytes;
    return x;
}

static void take_out(struct cache *c, struct copy *x)
{
    *(x->newer ? &x->newer->older : &c->newest) = x->older;
    *(x->older ? &x->older->newer : &c->oldest) = x->newer;
    x->newer = x->older = NULL;
}

static void put_first(struct cache *c, struct copy *x)
{
    x->older = c->newest;
    *(c->newest ? &c->newest->newer : &c->oldest) = x;
    c->newest = x;
}

/* Ends its life in the index; it is in no list. */
static void forget(struct cache *c, struct copy *x)
{
    struct copy **at = place_of(c, x->id);

    assert(*at == x && c->bytes >= x->bytes);
    *at = x->chain;
    c->bytes -= x->bytes;
    x->gone = true;
    if (x->waiting == 0)
        mem_free(x);
}

static void remove_copy(struct store *s, struct cache *c, struct copy *x)
{
    char path[PATH_BYTES];

    assert(!x->coming);
    path_of(s, path, x->id);
    if (unlink(path) < 0 && errno != ENOENT)
        log_warn("cannot remove %s: error %d", path, errno);
    take_out(c, x);
    forget(c, x);
}

static bool is_full(const struct store *s, const struct cache *c, uint64_t bytes)
{
    struct error ignored;
    uint64_t room = 0;

    if (c->bytes + bytes > bytes_max(s))
        return true;
    return sys_room(store_dir(s), &room, &ignored) == 0 && room < bytes + ROOM_BYTES;
}

/* Makes room for a copy if that is possible at all. False: it gets no name. */
static bool make_room(struct store *s, struct cache *c, uint64_t bytes)
{
    if (bytes > bytes_max(s) || s->lock < 0)
        return false;
    while (c->oldest && is_full(s, c, bytes))
        remove_copy(s, c, c->oldest);
    return c->bytes + bytes <= bytes_max(s);
}

/* ---- What an earlier process left ---- */

static void find_copies(struct cache *c, int folder)
{
    DIR *dir = fdopendir(folder);
    struct dirent *entry;
    struct stat st;

    if (!dir) {
        (void)close(folder);
        return;
    }
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while ((entry = readdir(dir)) != NULL) {
        char *end = NULL;
        long long id = strtoll(entry->d_name, &end, 10);
        if (id <= 0 || *end != '\0' || *place_of(c, id) ||
            fstatat(dirfd(dir), entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
            continue;
        struct copy *x = add(c, id, (uint64_t)st.st_size);
        x->coming = false;
        put_first(c, x);
    }
    (void)closedir(dir);
}

static void find_all(struct store *s, struct cache *c)
{
    char path[PATH_BYTES];

    for (unsigned i = 0; i < FOLDERS; i++) {
        store_path(s, path, "cache/%02x", i);
        int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd >= 0)
            find_copies(c, fd);
    }
    while (c->oldest && c->bytes > bytes_max(s))
        remove_copy(s, c, c->oldest);
}

/* Removes what a process was fetching when it died. */
static void remove_unfinished(const char *folder)
{
    DIR *dir = opendir(folder);
    struct dirent *entry;

    if (!dir)
        return;
    /* NOLINTNEXTLINE(concurrency-mt-unsafe): no other thread has this stream */
    while ((entry = readdir(dir)) != NULL) {
        if (strncmp(entry->d_name, "w-", 2) == 0)
            (void)unlinkat(dirfd(dir), entry->d_name, 0);
    }
    (void)closedir(dir);
}

/* Do the copies come from this start of the machine? */
static bool same_boot(struct store *s, struct buf *boot)
{
    char path[PATH_BYTES];
    struct buf before = BUF_INIT(BOOT_BYTES_MAX);
    struct error ignored;

    store_path(s, path, "cache/boot");
    bool same = sys_read_file(BOOT_FILE, BOOT_BYTES_MAX, boot, &ignored) == 0 &&
                sys_read_file(path, BOOT_BYTES_MAX, &before, &ignored) == 0 &&
                str_eq(buf_str(boot), buf_str(&before));
    buf_release(&before);
    return same;
}

static int begin_anew(struct store *s, struct str boot, struct error *e)
{
    char path[PATH_BYTES];

    store_path(s, path, "cache");
    if (sys_remove_all(path, e) < 0 || sys_mkdirs(path, e) < 0)
        return -1;
    store_path(s, path, "cache/boot");
    int fd = sys_open(path, O_WRONLY | O_CREAT | O_TRUNC, e);
    if (fd < 0)
        return -1;
    int rc = sys_write_all(fd, boot.p, boot.len, path, e);
    (void)close(fd);
    return rc;
}

/* Under the lock, at the first use. */
static int begin(struct store *s, struct cache *c, struct error *e)
{
    struct buf boot = BUF_INIT(BOOT_BYTES_MAX);
    char path[PATH_BYTES];
    int rc = 0;

    if (c->begun || s->lock < 0)
        return 0;
    if (same_boot(s, &boot)) {
        store_path(s, path, "cache");
        remove_unfinished(path);
        find_all(s, c);
    } else {
        rc = begin_anew(s, buf_str(&boot), e);
    }
    buf_release(&boot);
    c->begun = rc == 0;
    return rc;
}

/* ---- Copies come ---- */

/* Gives a whole file its name. */
static int name_copy(struct store *s, int64_t id, const char *from, struct error *e)
{
    char to[PATH_BYTES];

    path_of(s, to, id);
    char *slash = strrchr(to, '/');
    *slash = '\0';
    if (mkdir(to, 0700) < 0 && errno != EEXIST)
        return error_errno(e, "cannot make %s", to);
    *slash = '/';
    if (rename(from, to) < 0)
        return error_errno(e, "cannot rename %s to %s", from, to);
    return 0;
}

/* A descriptor of the copy, which has its name then. */
static int fetch_named(struct store *s, int64_t id, const struct blob_facts *f, struct error *e)
{
    char name[NAME_CHARS + 1], path[PATH_BYTES];

    if (random_text(name, NAME_CHARS, ALPHABET_36, e) < 0)
        return -1;
    store_path(s, path, "cache/w-%s", name);
    int fd = sys_open(path, O_RDWR | O_CREAT | O_EXCL, e);
    if (fd < 0)
        return -1;
    if (blob_fetch(s, id, f, (struct byte_range){ 0, f->bytes }, fd, e) == 0 &&
        name_copy(s, id, path, e) == 0)
        return fd;
    (void)unlink(path);
    (void)close(fd);
    return -1;
}

/* Under the lock: the end of its coming, for all who wait. */
static void settle(struct cache *c, struct copy *x, int fd, const struct error *e)
{
    assert(x->coming);
    x->coming = false;
    if (fd >= 0) {
        put_first(c, x);
    } else {
        x->error = *e;
        forget(c, x);
    }
    cond_broadcast(&c->came);
}

/* Under the lock. 1: it is there; 0: it is gone, or was never there; -1: it did not come. */
static int await(struct cache *c, int64_t id, struct error *e)
{
    struct copy *x = *place_of(c, id);

    if (!x || !x->coming)
        return x != NULL;
    x->waiting++;
    while (x->coming)
        cond_wait(&c->came, &c->lock);
    x->waiting--;
    int rc = x->error.code != ERROR_OK ? -1 : !x->gone;
    if (rc < 0)
        *e = x->error;
    if (x->gone && x->waiting == 0)
        mem_free(x);
    return rc;
}

/* Under the lock: a descriptor of a copy that is there, or -1. A copy whose file an operator removed is forgotten. */
static int open_copy(struct store *s, struct cache *c, int64_t id)
{
    char path[PATH_BYTES];
    struct copy *x = *place_of(c, id);

    if (!x || x->coming)
        return -1;
    path_of(s, path, id);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        remove_copy(s, c, x);
        return -1;
    }
    take_out(c, x);
    put_first(c, x);
    return fd;
}

static int fetch_nameless(struct store *s, int64_t id, const struct blob_facts *f, struct error *e)
{
    return blob_fetch_nameless(s, id, f, (struct byte_range){ 0, f->bytes }, e);
}

int cache_open(struct store *s, int64_t id, struct error *e)
{
    struct cache *c = blobs_of(s)->cache;
    struct blob_facts f;
    struct copy *x = NULL;

    lock(&c->lock);
    int rc = begin(s, c, e);
    if (rc == 0)
        rc = await(c, id, e);
    int fd = rc < 0 ? -1 : open_copy(s, c, id);
    unlock(&c->lock);
    if (rc < 0 || fd >= 0)
        return fd;
    if (blob_facts(s, id, &f, e) < 0)
        return -1;
    lock(&c->lock);
    bool taken = *place_of(c, id) != NULL;
    if (!taken && make_room(s, c, f.bytes))
        x = add(c, id, f.bytes);
    unlock(&c->lock);
    if (taken)
        return cache_open(s, id, e);
    if (!x)
        return fetch_nameless(s, id, &f, e);
    fd = fetch_named(s, id, &f, e);
    lock(&c->lock);
    settle(c, x, fd, e);
    unlock(&c->lock);
    return fd;
}

int cache_try(struct store *s, int64_t id)
{
    struct cache *c = blobs_of(s)->cache;
    struct error ignored;

    lock(&c->lock);
    int fd = begin(s, c, &ignored) == 0 ? open_copy(s, c, id) : -1;
    unlock(&c->lock);
    return fd;
}

void cache_take(struct store *s, int64_t id, const char *path, uint64_t bytes)
{
    struct cache *c = blobs_of(s)->cache;
    struct error e = { 0 };

    lock(&c->lock);
    if (begin(s, c, &e) == 0 && !*place_of(c, id) && make_room(s, c, bytes)) {
        struct copy *x = add(c, id, bytes);
        settle(c, x, name_copy(s, id, path, &e), &e);
    }
    unlock(&c->lock);
    (void)unlink(path); /* of one that was not taken */
}

void cache_remove(struct store *s, int64_t id)
{
    struct cache *c = blobs_of(s)->cache;

    lock(&c->lock);
    struct copy *x = *place_of(c, id);
    if (x && !x->coming)
        remove_copy(s, c, x);
    unlock(&c->lock);
}
