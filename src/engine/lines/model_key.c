#include "engine/lines/model_key.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "engine/lines/digest.h"
#include "engine/lines/model_report.h"

#define FACTS_BYTES_MAX ((size_t)256 * 1024)
#define READ_BYTES ((size_t)1024 * 1024)
#define KNOWN_FILES_MAX 64
#define KNOWN_BYTES_MAX ((size_t)64 * 1024)
#define NAME_BYTES 160
/* A file that was written since may be written again within the same tick of its times. */
#define SETTLED_S 2
#define REPORT_BYTES_MAX ((size_t)64 * 1024)

/* ---- Digests that are known ---- */

/* By these a file is taken for unchanged. */
static void name_file(const struct stat *st, char out[NAME_BYTES])
{
    (void)snprintf(out, NAME_BYTES, "%llu:%llu:%lld:%lld.%09ld:%lld.%09ld",
                   (unsigned long long)st->st_dev, (unsigned long long)st->st_ino,
                   (long long)st->st_size, (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec,
                   (long long)st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

/* The object of known digests, in the arena; NULL when there is none. */
static yyjson_val *known_read(const char *path, struct arena *a)
{
    struct buf text = BUF_INIT(KNOWN_BYTES_MAX);
    struct error ignored = { 0 };
    yyjson_val *root = NULL;
    size_t at = 0;

    if (sys_read_file(path, KNOWN_BYTES_MAX, &text, &ignored) == 0 && text.len) {
        char *copy = arena_copy(a, text.p, text.len);
        root = json_parse(a, (struct str){ copy, text.len }, &at, &ignored);
    }
    buf_release(&text);
    return yyjson_is_obj(root) ? root : NULL;
}

static bool known_find(yyjson_val *root, const char *name, uint64_t out[2])
{
    yyjson_val *digest = json_get(root, name);

    out[0] = yyjson_get_uint(yyjson_arr_get(digest, 0));
    out[1] = yyjson_get_uint(yyjson_arr_get(digest, 1));
    return yyjson_arr_size(digest) == 2;
}

static void known_add(struct json_writer *w, struct str name, const uint64_t digest[2])
{
    json_key(w, name);
    json_array(w, NULL);
    json_add_uint(w, NULL, digest[0]);
    json_add_uint(w, NULL, digest[1]);
    json_end(w);
}

static int write_whole(const char *folder, const char *path, struct str text, struct error *e)
{
    struct arena a = { 0 };
    const char *temp = arena_textf(&a, "%s.%ld.new", path, (long)getpid());
    int fd = sys_mkdirs(folder, e) < 0 ? -1 : sys_open(temp, O_WRONLY | O_CREAT | O_TRUNC, e);
    int rc = fd < 0 ? -1 : sys_write_all(fd, text.p, text.len, temp, e);

    if (fd >= 0)
        (void)close(fd);
    if (rc == 0)
        rc = sys_rename(temp, path, e);
    if (rc < 0 && fd >= 0)
        (void)unlink(temp);
    arena_release(&a);
    return rc;
}

/* The newest first, so that the oldest fall off. */
static void known_keep(const char *folder, const char *path, yyjson_val *root, const char *name,
                       const uint64_t digest[2])
{
    struct buf text = BUF_INIT(KNOWN_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);
    yyjson_obj_iter it = yyjson_obj_iter_with(root);
    struct error e;
    uint64_t other[2];

    json_object(&w, NULL);
    known_add(&w, str_of(name), digest);
    for (unsigned n = 1; root && n < KNOWN_FILES_MAX; n++) {
        yyjson_val *key = yyjson_obj_iter_next(&it);
        if (!key)
            break;
        if (known_find(root, yyjson_get_str(key), other))
            known_add(&w, json_str(key), other);
    }
    json_end(&w);
    if (buf_ok(&text) && write_whole(folder, path, buf_str(&text), &e) < 0)
        log_info("the model file is read again by the next run: %s", e.msg);
    buf_release(&text);
}

/* ---- A model ---- */

static int digest_content(int fd, const char *path, uint64_t out[2], struct error *e)
{
    struct digest *d = digest_new();
    char *piece = mem_alloc(READ_BYTES);
    uint64_t at = 0;
    int64_t got;

    while ((got = sys_read_at(fd, piece, READ_BYTES, at, path, e)) > 0) {
        digest_add(d, piece, (size_t)got);
        at += (uint64_t)got;
    }
    digest_end(d, out);
    digest_free(d);
    mem_free(piece);
    return got < 0 ? -1 : 0;
}

static int add_file(const char *path, const char *folder, struct buf *facts, struct error *e)
{
    struct arena a = { 0 };
    const char *known = arena_textf(&a, "%s/files.json", folder);
    char name[NAME_BYTES];
    struct stat st;
    uint64_t digest[2];
    int fd = sys_open(path, O_RDONLY, e);
    int rc = fd < 0 ? -1 : 0;

    if (rc == 0 && fstat(fd, &st) < 0)
        rc = error_errno(e, "cannot look at %s", path);
    if (rc == 0) {
        name_file(&st, name);
        yyjson_val *root = known_read(known, &a);
        if (!known_find(root, name, digest)) {
            struct clock *clock = clock_system();
            rc = digest_content(fd, path, digest, e);
            if (rc == 0 && clock->wall_us(clock) / 1000000 - st.st_mtim.tv_sec > SETTLED_S)
                known_keep(folder, known, root, name, digest);
        }
        buf_addf(facts, "file %016llx%016llx\n", (unsigned long long)digest[0],
                 (unsigned long long)digest[1]);
    }
    if (fd >= 0)
        (void)close(fd);
    arena_release(&a);
    return rc;
}

/* The server's report now, or when it was last asked. */
static void add_report(const struct model_upstream *u, const char *name, const char *folder,
                       struct buf *facts)
{
    struct buf text = BUF_INIT(REPORT_BYTES_MAX);
    struct arena a = { 0 };
    const char *known = arena_textf(&a, "%s/files.json", folder);
    const char *there = u->model ? u->model : name;
    char key[NAME_BYTES];
    uint64_t place[2], digest[2], last[2];

    buf_add_json(&text, str_of(u->upstream->url));
    buf_add_json(&text, str_of(there));
    digest_of(text.p, text.len, place);
    (void)snprintf(key, sizeof key, "report:%016llx%016llx", (unsigned long long)place[0],
                   (unsigned long long)place[1]);
    buf_clear(&text);
    yyjson_val *root = known_read(known, &a);
    bool has = known_find(root, key, last);
    bool says = model_report(u->upstream, there, &text) && buf_ok(&text);
    if (says)
        digest_of(text.p, text.len, digest);
    if (says && (!has || memcmp(digest, last, sizeof digest) != 0))
        known_keep(folder, known, root, key, digest);
    if (says || has)
        buf_addf(facts, "report %016llx%016llx\n", (unsigned long long)(says ? digest : last)[0],
                 (unsigned long long)(says ? digest : last)[1]);
    buf_release(&text);
    arena_release(&a);
}

int model_key(const struct model *m, const char *name, const char *folder, uint64_t out[2],
              struct error *e)
{
    struct buf facts = BUF_INIT(FACTS_BYTES_MAX);
    int rc = 0;

    buf_addf(&facts, "kind %d context %u plain %d\n", (int)m->kind, m->context, m->plain);
    if (m->kind != MODEL_LOCAL)
        buf_add_json(&facts, str_of(name));
    if (m->file)
        rc = add_file(m->file, folder, &facts, e);
    if (m->projector && rc == 0)
        rc = add_file(m->projector, folder, &facts, e);
    for (uint32_t i = 0; i < m->adapters.count && rc == 0; i++) {
        buf_add_double(&facts, (double)m->adapters.item[i].scale);
        rc = add_file(m->adapters.item[i].file, folder, &facts, e);
    }
    for (uint32_t i = 0; i < m->upstream_count; i++) {
        const struct model_upstream *u = &m->upstream[i];
        buf_addf(&facts, "upstream %d ", (int)u->upstream->wire);
        buf_add_json(&facts, str_of(u->upstream->url));
        buf_add_json(&facts, str_of(u->model));
        if (m->kind == MODEL_UPSTREAM)
            add_report(u, name, folder, &facts);
    }
    if (rc == 0 && !buf_ok(&facts))
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "the model's names are too long");
    if (rc == 0)
        digest_of(facts.p, facts.len, out);
    buf_release(&facts);
    return rc;
}
