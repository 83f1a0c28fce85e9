#include "store/kept/kept.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/log.h"
#include "base/random.h"
#include "base/sys.h"

#define MAGIC UINT64_C(0x7379656b7470656b) /* reads otherwise in another byte order */
#define VERSION 1
#define BATCH_ENTRIES 1024
#define US_PER_S ((int64_t)1000000)
/* Fewer entries are sorted by insertion. */
#define SORT_SMALL 24

/* The beginning of a .keys; the entries follow, then about_bytes of JSON. */
struct head {
    uint64_t magic;
    uint32_t version, head_bytes, entry_bytes, about_bytes;
    uint64_t count;
    uint64_t model[2];
    int64_t finished_us;
};

static char *path_of(const char *folder, const char *id, const char *ending)
{
    size_t bytes = strlen(folder) + strlen(id) + strlen(ending) + 2;
    char *path = mem_alloc(bytes);

    (void)snprintf(path, bytes, "%s/%s%s", folder, id, ending);
    return path;
}

/* ---- Keeping ---- */

struct kept_writer {
    char *folder,
        *temp; /* temp is locked while fd is open: another process sees that it is in use */
    char id[KEPT_ID_BYTES];
    int fd;
    uint64_t count;
    struct kept_entry batch[BATCH_ENTRIES]; /* the last of count, not written yet */
    uint32_t batched;
};

void kept_writer_free(struct kept_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0) {
        (void)unlink(w->temp);
        (void)close(w->fd);
    }
    mem_free(w->temp);
    mem_free(w->folder);
    mem_free(w);
}

struct kept_writer *kept_begin(const char *folder, struct error *e)
{
    static const struct head none;
    struct kept_writer *w = mem_alloc(sizeof *w);

    w->folder = mem_strdup(folder);
    w->fd = -1;
    if (sys_mkdirs(folder, e) < 0 || random_hex(w->id, (KEPT_ID_BYTES - 1) / 2, e) < 0)
        goto fail;
    w->temp = path_of(folder, w->id, ".tmp");
    w->fd = sys_open_locked(w->temp, e);
    if (w->fd < 0 || sys_write_all(w->fd, &none, sizeof none, w->temp, e) < 0)
        goto fail;
    return w;
fail:
    kept_writer_free(w);
    return NULL;
}

static int flush(struct kept_writer *w, struct error *e)
{
    int rc = sys_write_all(w->fd, w->batch, w->batched * sizeof w->batch[0], w->temp, e);

    w->batched = 0;
    return rc;
}

int kept_add(struct kept_writer *w, const struct kept_entry *entry, struct error *e)
{
    w->batch[w->batched++] = *entry;
    w->count++;
    return w->batched < BATCH_ENTRIES ? 0 : flush(w, e);
}

uint64_t kept_count(const struct kept_writer *w)
{
    return w->count;
}

static int compare(const uint64_t a[2], const uint64_t b[2])
{
    if (a[0] != b[0])
        return a[0] < b[0] ? -1 : 1;
    return a[1] < b[1] ? -1 : a[1] > b[1];
}

static void sort_small(struct kept_entry *e, uint64_t count)
{
    for (uint64_t i = 1; i < count; i++) {
        struct kept_entry moved = e[i];
        uint64_t j = i;
        for (; j > 0 && compare(moved.key, e[j - 1].key) < 0; j--)
            e[j] = e[j - 1];
        e[j] = moved;
    }
}

/* Puts the entry where its byte b belongs, and so on with each that it displaces, until one belongs here. */
static void cycle(struct kept_entry *e, uint64_t next[256], unsigned b, int shift)
{
    struct kept_entry moved = e[next[b]];
    unsigned to = moved.key[0] >> shift & 255;

    while (to != b) {
        struct kept_entry other = e[next[to]];
        e[next[to]++] = moved;
        moved = other;
        to = moved.key[0] >> shift & 255;
    }
    e[next[b]++] = moved;
}

/* By the bytes of key[0] from the highest, in place: keys are digests, so a byte cuts into even parts.
 * Entries that agree in all of it are few, as a run keeps one answer of a key. */
static void sort_by(struct kept_entry *e, uint64_t count, int shift) // NOLINT(misc-no-recursion)
{
    uint64_t end[256] = { 0 }, next[256], at = 0;

    for (uint64_t i = 0; i < count; i++)
        end[e[i].key[0] >> shift & 255]++;
    for (int b = 0; b < 256; b++) {
        next[b] = at;
        at += end[b];
        end[b] = at;
    }
    for (unsigned b = 0; b < 256; b++) {
        while (next[b] < end[b])
            cycle(e, next, b, shift);
    }
    for (int b = 0; b < 256; b++) {
        uint64_t begin = b ? end[b - 1] : 0, part = end[b] - begin;
        if (part > SORT_SMALL && shift)
            sort_by(e + begin, part, shift - 8);
        else
            sort_small(e + begin, part);
    }
}

/* The file gets its head and its order. */
static int complete(struct kept_writer *w, const struct head *head, struct error *e)
{
    size_t bytes = sizeof *head + w->count * sizeof(struct kept_entry);
    char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, w->fd, 0);

    if (map == MAP_FAILED)
        return error_errno(e, "cannot map %s", w->temp);
    sort_by((struct kept_entry *)(void *)(map + sizeof *head), w->count, 56);
    memcpy(map, head, sizeof *head);
    (void)munmap(map, bytes);
    return sys_sync(w->fd, w->temp, e);
}

static int link_spool(struct kept_writer *w, const char *spool_path, struct error *e)
{
    char *to = path_of(w->folder, w->id, ".db");
    int rc = fault_hit("kept.link") ? -1 : link(spool_path, to);

    if (rc < 0)
        rc = error_errno(e, "cannot link %s to %s", spool_path, to);
    mem_free(to);
    return rc;
}

int kept_finish(struct kept_writer *w, const char *spool_path, const uint64_t model[2],
                int64_t now_us, struct str about, struct error *e)
{
    const struct head head = {
        .magic = MAGIC,
        .version = VERSION,
        .head_bytes = sizeof head,
        .entry_bytes = sizeof(struct kept_entry),
        .about_bytes = (uint32_t)about.len,
        .count = w->count,
        .model = { model[0], model[1] },
        .finished_us = now_us,
    };

    assert(about.len <= KEPT_ABOUT_BYTES);
    if (w->count == 0)
        return 0;
    if (flush(w, e) < 0 || sys_write_all(w->fd, about.p, about.len, w->temp, e) < 0 ||
        complete(w, &head, e) < 0 || link_spool(w, spool_path, e) < 0)
        return -1;
    char *to = path_of(w->folder, w->id, ".keys");
    int rc = sys_rename(w->temp, to, e); /* syncs the folder, which has the .db's name too */
    mem_free(to);
    if (rc == 0) {
        (void)close(w->fd);
        w->fd = -1;
    }
    return rc;
}

/* ---- One .keys ---- */

struct kept_file {
    char *db;  /* path */
    char *map; /* of the .keys, map_bytes; NULL: dropped */
    size_t map_bytes;
    const struct kept_entry *entry; /* count, in the map */
    uint64_t count;
    int64_t finished_us;
};

/* False when the file is none of ours, torn, or of another version. */
static bool read_head(int fd, const char *path, struct head *h, uint64_t *bytes)
{
    struct error ignored;
    struct stat st;

    if (fstat(fd, &st) < 0 || sys_read_at(fd, h, sizeof *h, 0, path, &ignored) != sizeof *h)
        return false;
    *bytes = (uint64_t)st.st_size;
    return h->magic == MAGIC && h->version == VERSION && h->head_bytes == sizeof *h &&
           h->entry_bytes == sizeof(struct kept_entry) && h->about_bytes <= KEPT_ABOUT_BYTES &&
           h->count <= *bytes / sizeof(struct kept_entry) &&
           *bytes == sizeof *h + h->count * sizeof(struct kept_entry) + h->about_bytes;
}

/* ---- The folder ---- */

struct half {
    char id[KEPT_ID_BYTES];
    bool keys, db, temp;
};

static int by_id(const void *a, const void *b)
{
    return strcmp(((const struct half *)a)->id, ((const struct half *)b)->id);
}

static bool half_read(const char *name, struct half *out)
{
    const char *ending = strchr(name, '.');

    *out = (struct half){ 0 };
    if (!ending || ending - name != KEPT_ID_BYTES - 1)
        return false;
    memcpy(out->id, name, KEPT_ID_BYTES - 1);
    out->keys = strcmp(ending, ".keys") == 0;
    out->db = strcmp(ending, ".db") == 0;
    out->temp = strcmp(ending, ".tmp") == 0;
    return out->keys || out->db || out->temp;
}

/* The files of the folder, a row for each id, sorted; -1 when it cannot be read. An absent one is empty. */
static int look(const char *folder, struct half **out, uint32_t *count, struct error *e)
{
    DIR *dir = opendir(folder);
    const struct dirent *entry;
    uint32_t n = 0, kept = 0;
    struct half *all = NULL, one;

    *out = NULL;
    *count = 0;
    if (!dir)
        return errno == ENOENT ? 0 : error_errno(e, "cannot read %s", folder);
    // NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own, which glibc reads safely
    while ((entry = readdir(dir))) {
        if (!half_read(entry->d_name, &one))
            continue;
        all = mem_list_grow(all, n, sizeof *all);
        all[n++] = one;
    }
    (void)closedir(dir);
    if (n)
        qsort(all, n, sizeof *all, by_id);
    for (uint32_t i = 0; i < n; i++) {
        if (kept && strcmp(all[kept - 1].id, all[i].id) == 0) {
            all[kept - 1].keys |= all[i].keys;
            all[kept - 1].db |= all[i].db;
            all[kept - 1].temp |= all[i].temp;
        } else {
            all[kept++] = all[i];
        }
    }
    *out = all;
    *count = kept;
    return 0;
}

/* ---- Finding ---- */

struct kept {
    struct kept_file *file; /* the newest first */
    uint32_t count;
    int64_t oldest_us;
};

static bool map_file(const char *folder, const char *id, const uint64_t model[2],
                     struct kept_file *out)
{
    char *path = path_of(folder, id, ".keys");
    struct error ignored;
    struct head h;
    uint64_t bytes = 0;
    int fd = sys_open(path, O_RDONLY, &ignored);
    bool ours = fd >= 0 && read_head(fd, path, &h, &bytes) && h.model[0] == model[0] &&
                h.model[1] == model[1] && h.count > 0;
    void *map = ours ? mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

    mem_free(path);
    if (fd >= 0)
        (void)close(fd);
    if (map == MAP_FAILED)
        return false;
    (void)posix_madvise(map, bytes, POSIX_MADV_RANDOM);
    *out = (struct kept_file){
        .db = path_of(folder, id, ".db"),
        .map = map,
        .map_bytes = bytes,
        .entry = (const struct kept_entry *)(void *)((char *)map + sizeof h),
        .count = h.count,
        .finished_us = h.finished_us,
    };
    return true;
}

static int newest_first(const void *a, const void *b)
{
    int64_t x = ((const struct kept_file *)a)->finished_us;
    int64_t y = ((const struct kept_file *)b)->finished_us;

    return x < y ? 1 : x > y ? -1 : 0;
}

void kept_drop(struct kept_file *f)
{
    if (f->map)
        (void)munmap(f->map, f->map_bytes);
    f->map = NULL;
    f->count = 0;
}

void kept_close(struct kept *k)
{
    if (!k)
        return;
    for (uint32_t i = 0; i < k->count; i++) {
        kept_drop(&k->file[i]);
        mem_free(k->file[i].db);
    }
    mem_free(k->file);
    mem_free(k);
}

struct kept *kept_open(const char *folder, const uint64_t model[2], int64_t oldest_us,
                       struct error *e)
{
    struct kept *k = mem_alloc(sizeof *k);
    struct half *all;
    uint32_t count;

    k->oldest_us = oldest_us;
    if (look(folder, &all, &count, e) < 0) {
        mem_free(k);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct kept_file f;
        if (!all[i].keys || !all[i].db || !map_file(folder, all[i].id, model, &f))
            continue;
        k->file = mem_list_grow(k->file, k->count, sizeof *k->file);
        k->file[k->count++] = f;
    }
    mem_free(all);
    if (k->count)
        qsort(k->file, k->count, sizeof *k->file, newest_first);
    while (k->count > KEPT_RUNS_MAX) {
        k->count--;
        kept_drop(&k->file[k->count]);
        mem_free(k->file[k->count].db);
    }
    if (k->count)
        return k;
    kept_close(k);
    return NULL;
}

static const struct kept_entry *find_in(const struct kept_file *f, const uint64_t key[2])
{
    uint64_t low = 0, high = f->count;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        int order = compare(f->entry[middle].key, key);
        if (order == 0)
            return &f->entry[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

bool kept_find(struct kept *k, const uint64_t key[2], struct kept_answer *out)
{
    for (uint32_t i = 0; i < k->count; i++) {
        const struct kept_entry *entry = find_in(&k->file[i], key);
        if (!entry || entry->answered_us < k->oldest_us)
            continue;
        *out = (struct kept_answer){ *entry, &k->file[i] };
        return true;
    }
    return false;
}

const char *kept_path(const struct kept_file *f)
{
    return f->db;
}

/* ---- Looking and pruning ---- */

static uint64_t file_bytes(const char *folder, const char *id, const char *ending)
{
    char *path = path_of(folder, id, ending);
    struct stat st;
    uint64_t bytes = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;

    mem_free(path);
    return bytes;
}

static bool run_read(const char *folder, const char *id, struct arena *a, struct kept_run *out)
{
    char *path = path_of(folder, id, ".keys");
    struct error ignored;
    struct head h;
    uint64_t bytes = 0;
    int fd = sys_open(path, O_RDONLY, &ignored);
    bool ours = fd >= 0 && read_head(fd, path, &h, &bytes);

    if (ours) {
        *out = (struct kept_run){
            .answers = h.count,
            .bytes = bytes + file_bytes(folder, id, ".db"),
            .finished_us = h.finished_us,
        };
        memcpy(out->id, id, KEPT_ID_BYTES);
        char *about = arena_alloc(a, h.about_bytes + 1);
        ours = sys_read_at(fd, about, h.about_bytes, bytes - h.about_bytes, path, &ignored) ==
               (int64_t)h.about_bytes;
        out->about = (struct str){ about, h.about_bytes };
    }
    if (fd >= 0)
        (void)close(fd);
    mem_free(path);
    return ours;
}

static int later_first(const void *a, const void *b)
{
    int64_t x = ((const struct kept_run *)a)->finished_us;
    int64_t y = ((const struct kept_run *)b)->finished_us;

    return x < y ? 1 : x > y ? -1 : 0;
}

int kept_list(const char *folder, struct arena *a, struct kept_run **out, uint32_t *count,
              struct error *e)
{
    struct half *all;
    uint32_t n;

    *out = NULL;
    *count = 0;
    if (look(folder, &all, &n, e) < 0)
        return -1;
    for (uint32_t i = 0; i < n; i++) {
        struct kept_run run;
        if (!all[i].keys || !all[i].db || !run_read(folder, all[i].id, a, &run))
            continue;
        *out = arena_list_grow(a, *out, *count, sizeof **out);
        (*out)[(*count)++] = run;
    }
    mem_free(all);
    if (*count)
        qsort(*out, *count, sizeof **out, later_first);
    return 0;
}

static void remove_one(const char *folder, const char *id, const char *ending)
{
    char *path = path_of(folder, id, ending);
    struct error e;

    if (sys_remove_all(path, &e) < 0)
        log_warn("%s", e.msg);
    mem_free(path);
}

/* The .keys goes first: without it nobody looks for the .db. */
static void remove_run(const char *folder, const char *id)
{
    remove_one(folder, id, ".keys");
    remove_one(folder, id, ".db");
}

/* A writer that is at work holds the lock of its file. */
static void remove_temp(const char *folder, const char *id)
{
    char *path = path_of(folder, id, ".tmp");
    struct error ignored;
    int fd = sys_open_locked(path, &ignored);

    if (fd >= 0) {
        (void)unlink(path);
        (void)close(fd);
    }
    mem_free(path);
}

/* A writer links the .db just before the .keys gets its name. */
static void remove_orphan(const char *folder, const char *id, int64_t now_us)
{
    char *path = path_of(folder, id, ".db");
    struct stat st;
    bool old = stat(path, &st) == 0 &&
               now_us - (int64_t)st.st_ctim.tv_sec * US_PER_S > KEPT_ORPHAN_S * US_PER_S;

    mem_free(path);
    if (old)
        remove_one(folder, id, ".db");
}

int kept_prune(const char *folder, uint64_t bytes_max, int64_t oldest_us, int64_t now_us,
               uint32_t *removed, struct error *e)
{
    struct arena a = { 0 };
    struct kept_run *run;
    struct half *all;
    uint32_t count, n, gone = 0;
    uint64_t bytes = 0;

    if (look(folder, &all, &n, e) < 0)
        return -1;
    for (uint32_t i = 0; i < n; i++) {
        if (all[i].temp)
            remove_temp(folder, all[i].id);
        else if (all[i].keys && !all[i].db)
            remove_one(folder, all[i].id, ".keys");
        else if (all[i].db && !all[i].keys)
            remove_orphan(folder, all[i].id, now_us);
    }
    mem_free(all);
    int rc = kept_list(folder, &a, &run, &count, e);
    for (uint32_t i = 0; i < count; i++) {
        bytes += run[i].bytes; /* of this one and the newer ones */
        if (run[i].finished_us >= oldest_us && bytes <= bytes_max && i < KEPT_RUNS_MAX)
            continue;
        bytes -= run[i].bytes;
        remove_run(folder, run[i].id);
        gone++;
    }
    arena_release(&a);
    if (removed)
        *removed = gone;
    return rc;
}
