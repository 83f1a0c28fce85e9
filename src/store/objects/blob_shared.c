/* blob_shared.c -- blobs of a store that several processes share: objects of its bucket, and blobs made of others.
 *
 * Shape:   Blob N is the object blobs/xx/N, xx the last two hexadecimal digits of N, written whole before a row
 *          names it. A composed blob is a row of `composed` and its parts in `segment`, which are never composed
 *          themselves.
 * Rule:    blobs never change, so what is known of one holds for ever.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "base/sys.h"
#include "base/thread.h"
#include "store/bucket/bucket.h"
#include "store/db/store_metrics.h"
#include "store/objects/objects_inner.h"

/* Rows of segments that are read at once. */
#define SEGMENTS_PAGE 64
#define CHECK_BYTES ((size_t)256 * 1024)

void blob_key(int64_t id, char out[BLOB_KEY_BYTES])
{
    int n = snprintf(out, BLOB_KEY_BYTES, BLOB_KEYS "%02x/%" PRId64, (unsigned)(id & 0xff), id);

    assert(id > 0 && n > 0 && n < BLOB_KEY_BYTES);
}

/* ---- Calls of the bucket ---- */

int blob_send(struct store *s, int64_t id, int fd, struct byte_range what, struct error *e)
{
    char key[BLOB_KEY_BYTES];
    uint64_t began = store_call_begin();

    assert_may_wait("a write to the bucket");
    blob_key(id, key);
    int rc = s->bucket->ops->put(s->bucket, key, fd, what.from, what.to, e);
    store_call_end(STORE_BUCKET, "put", began, rc < 0 ? e : NULL);
    return rc < 0 ? error_wrap(e, "the bucket") : 0;
}

static int get(struct store *s, int64_t id, const struct bucket_span *what, int fd, struct error *e)
{
    char key[BLOB_KEY_BYTES];
    uint64_t began = store_call_begin();

    assert_may_wait("a read of the bucket");
    blob_key(id, key);
    int rc = s->bucket->ops->get(s->bucket, key, what, fd, e);
    store_call_end(STORE_BUCKET, "get", began, rc < 0 ? e : NULL);
    return rc < 0 ? error_wrap(e, "the bucket") : 0;
}

static int size(struct store *s, int64_t id, uint64_t *bytes, struct error *e)
{
    char key[BLOB_KEY_BYTES];
    uint64_t began = store_call_begin();

    assert_may_wait("a read of the bucket");
    blob_key(id, key);
    int rc = s->bucket->ops->size(s->bucket, key, bytes, e);
    store_call_end(STORE_BUCKET, "size", began, rc < 0 ? e : NULL);
    return rc < 0 ? error_wrap(e, "the bucket") : 0;
}

int blob_probe(struct store *s, struct error *e)
{
    struct error why = { 0 };
    uint64_t bytes;

    if (!s->bucket || size(s, INT64_MAX, &bytes, &why) == 0 || why.code == ERROR_NOT_FOUND)
        return 0;
    *e = why;
    return -1;
}

/* ---- What is known of a blob ---- */

void blob_facts_keep(struct store *s, int64_t id, const struct blob_facts *f)
{
    struct blobs *b = blobs_of(s);

    lock(&b->lock);
    b->fact[id % BLOB_FACTS] = *f;
    b->fact_id[id % BLOB_FACTS] = id;
    unlock(&b->lock);
}

static bool facts_kept(struct store *s, int64_t id, struct blob_facts *out)
{
    struct blobs *b = blobs_of(s);

    lock(&b->lock);
    bool kept = b->fact_id[id % BLOB_FACTS] == id;
    if (kept)
        *out = b->fact[id % BLOB_FACTS];
    unlock(&b->lock);
    return kept;
}

/* 1: a row says them. */
static int facts_read(struct store *s, int64_t id, struct blob_facts *out, struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    struct stmt *q =
        db_stmt(d, "SELECT 1 AS made, bytes, crc32c FROM composed WHERE blob = ?1"
                   " UNION ALL SELECT 0, bytes, crc32c FROM object WHERE blob = ?1"
                   " UNION ALL SELECT 0, bytes, crc32c FROM file WHERE blob = ?1"
                   " UNION ALL SELECT 0, bytes, crc32c FROM segment WHERE part = ?1"
                   " UNION ALL SELECT 0, bytes, crc32c FROM upload_part WHERE part = ?1"
                   " ORDER BY made DESC LIMIT 1");
    db_bind(q, "i", id);
    int rc = db_step(q, "cannot read blobs", e);
    if (rc == 1)
        *out = (struct blob_facts){ (uint64_t)db_int(q, 1), (uint32_t)db_int(q, 2), true,
                                    db_int(q, 0) == 1 };
    store_read_done(s, d);
    return rc;
}

int blob_facts(struct store *s, int64_t id, struct blob_facts *out, struct error *e)
{
    if (facts_kept(s, id, out))
        return 0;
    *out = (struct blob_facts){ 0 };
    int rc = facts_read(s, id, out, e);
    if (rc == 0)
        rc = size(s, id, &out->bytes, e);
    if (rc < 0)
        return -1;
    blob_facts_keep(s, id, out);
    return 0;
}

/* ---- Reading ---- */

static int check(int fd, struct byte_range what, uint32_t crc32c, struct error *e)
{
    struct blob_digest h;
    struct blob got = { 0 };

    if (blob_digest_begin(&h, false, false, e) < 0 ||
        blob_digest_add_file(&h, fd, what, "a copy from the bucket", e) < 0)
        return -1;
    blob_digest_end(&h, &got);
    if (got.crc32c == crc32c)
        return 0;
    return error_set(e, ERROR_DATA_LOSS, "the bucket gave other bytes than were written");
}

/* One piece of a composed blob: part, at `begin` of it. */
struct segment {
    int64_t part;
    uint64_t begin, bytes;
    uint32_t crc32c;
};

/* Those with bytes in the range, in their order. */
static int segments_read(struct store *s, int64_t id, struct byte_range what, struct segment *out,
                         uint32_t *count, struct error *e)
{
    struct db *d = store_read(s, e);
    int rc;

    *count = 0;
    if (!d)
        return -1;
    struct stmt *q =
        db_stmt(d, "SELECT part, begin_at, bytes, crc32c FROM segment WHERE blob = ?1"
                   " AND begin_at >= (SELECT max(begin_at) FROM segment WHERE blob = ?1"
                   " AND begin_at <= ?2) AND begin_at < ?3 ORDER BY begin_at LIMIT ?4");
    db_bind(q, "iiii", id, (int64_t)what.from, (int64_t)what.to, (int64_t)SEGMENTS_PAGE);
    while ((rc = db_step(q, "cannot read blobs", e)) == 1)
        out[(*count)++] = (struct segment){ db_int(q, 0), (uint64_t)db_int(q, 1),
                                            (uint64_t)db_int(q, 2), (uint32_t)db_int(q, 3) };
    store_read_done(s, d);
    return rc;
}

/* The bytes of a segment that are in the range, to where the composed blob has them. */
static int segment_fetch(struct store *s, const struct segment *g, struct byte_range what, int fd,
                         struct error *e)
{
    uint64_t end = g->begin + g->bytes;
    uint64_t from = what.from > g->begin ? what.from : g->begin;
    uint64_t to = what.to < end ? what.to : end;
    const struct bucket_span part = { from - g->begin, to - g->begin, from };

    assert(from < to);
    if (get(s, g->part, &part, fd, e) < 0)
        return -1;
    bool whole = from == g->begin && to == end;
    return whole ? check(fd, (struct byte_range){ from, to }, g->crc32c, e) : 0;
}

static int composed_fetch(struct store *s, int64_t id, struct byte_range what, int fd,
                          struct error *e)
{
    struct segment g[SEGMENTS_PAGE];
    uint32_t count = 0;

    while (what.from < what.to) {
        if (segments_read(s, id, what, g, &count, e) < 0)
            return -1;
        for (uint32_t i = 0; i < count; i++) {
            if (g[i].begin > what.from)
                break;
            if (segment_fetch(s, &g[i], what, fd, e) < 0)
                return -1;
            what.from = g[i].begin + g[i].bytes;
        }
        if (count == 0 || g[0].begin > what.from)
            return error_set(e, ERROR_DATA_LOSS, "a composed blob lacks a part");
    }
    return 0;
}

int blob_fetch(struct store *s, int64_t id, const struct blob_facts *f, struct byte_range what,
               int fd, struct error *e)
{
    const struct bucket_span all = { what.from, what.to, what.from };

    assert(what.from <= what.to && what.to <= f->bytes);
    if (what.from == what.to)
        return 0;
    if (f->composed)
        return composed_fetch(s, id, what, fd, e);
    if (get(s, id, &all, fd, e) < 0)
        return -1;
    bool whole = what.from == 0 && what.to == f->bytes;
    return whole && f->has_crc32c ? check(fd, what, f->crc32c, e) : 0;
}

/* A file without a name of the blob's size, with these bytes in it. */
int blob_fetch_nameless(struct store *s, int64_t id, const struct blob_facts *f,
                        struct byte_range what, struct error *e)
{
    int fd = sys_open_nameless(store_dir(s), e);

    if (fd < 0)
        return -1;
    if (ftruncate(fd, (off_t)f->bytes) < 0)
        (void)error_errno(e, "cannot make a copy from the bucket");
    else if (blob_fetch(s, id, f, what, fd, e) == 0)
        return fd;
    (void)close(fd);
    return -1;
}

int blob_composed_in(struct db *d, const struct blob *b, struct error *e)
{
    struct stmt *q = db_stmt(d, "INSERT INTO composed (blob, bytes, crc32c, create_us)"
                                " VALUES (?, ?, ?, ?)");

    db_bind(q, "iiii", b->id, (int64_t)b->bytes, (int64_t)b->crc32c,
            clock_system()->wall_us(clock_system()));
    return db_run(q, "cannot compose a blob", e) < 0 ? -1 : 0;
}

/* ---- Joining many ---- */

/* Rows of segments that one statement writes, and statements of one transaction. */
#define ROW "(?, ?, ?, ?, ?)"
#define ROWS_8 ROW ", " ROW ", " ROW ", " ROW ", " ROW ", " ROW ", " ROW ", " ROW
#define JOIN_ROWS 32
#define JOIN_BATCH (16 * JOIN_ROWS)

static int rows_write(struct db *d, int64_t whole, uint64_t *at, const struct blob *part,
                      uint32_t count, struct error *e)
{
    struct stmt *q =
        count == JOIN_ROWS
            ? db_stmt(d, "INSERT INTO segment (blob, begin_at, part, bytes, crc32c) VALUES " ROWS_8
                         ", " ROWS_8 ", " ROWS_8 ", " ROWS_8)
            : db_stmt(d, "INSERT INTO segment (blob, begin_at, part, bytes, crc32c) VALUES " ROW);

    assert(count == JOIN_ROWS || count == 1);
    for (uint32_t i = 0; i < count; i++) {
        db_bind_from(q, (int)(5 * i + 1), "iiiii", whole, (int64_t)*at, part[i].id,
                     (int64_t)part[i].bytes, (int64_t)part[i].crc32c);
        *at += part[i].bytes;
    }
    return db_run(q, "cannot compose a blob", e) < 0 ? -1 : 0;
}

static int batch_write(struct store *s, int64_t whole, uint64_t *at, const struct blob *part,
                       uint32_t count, struct error *e)
{
    struct db *d = store_write_rows(s, e);
    int rc = d ? 0 : -1;

    for (uint32_t i = 0, n; i < count && rc == 0; i += n) {
        n = count - i >= JOIN_ROWS ? JOIN_ROWS : 1;
        rc = rows_write(d, whole, at, part + i, n, e);
    }
    return d ? store_commit(s, d, rc, e) : -1;
}

static int begin_join(struct store *s, const struct blob *whole, struct error *e)
{
    struct db *d = store_write_rows(s, e);

    return d ? store_commit(s, d, blob_composed_in(d, whole, e), e) : -1;
}

/* The row of the whole comes first: should this end half-way, the sweep finds it in no other row. */
int blob_join(struct store *s, const struct blob *part, uint32_t count, struct blob *out,
              struct error *e)
{
    struct blob *full = mem_array(count ? count : 1, sizeof *full), whole = { 0 };
    uint32_t fulls = 0;
    uint64_t at = 0;

    assert(store_is_shared(s));
    for (uint32_t i = 0; i < count; i++) {
        if (part[i].bytes > 0)
            full[fulls++] = part[i];
        whole.crc32c = crc32c_join(whole.crc32c, part[i].crc32c, part[i].bytes);
        whole.bytes += part[i].bytes;
    }
    int rc = blob_id_take(s, &whole.id, e);
    if (rc == 0)
        rc = begin_join(s, &whole, e);
    for (uint32_t i = 0, n; i < fulls && rc == 0; i += n) {
        n = fulls - i < JOIN_BATCH ? fulls - i : JOIN_BATCH;
        rc = batch_write(s, whole.id, &at, full + i, n, e);
    }
    mem_free(full);
    if (rc == 0)
        *out = whole;
    return rc;
}

/* ---- Composing a few, which may be composed ---- */

static int compose_part(struct store *s, struct db *d, struct blob *whole, int64_t part,
                        const struct blob_facts *f, struct error *e)
{
    struct stmt *q;

    if (blob_keep_in(s, d, part, e) < 0)
        return -1;
    if (f->composed) {
        q = db_stmt(d, "INSERT INTO segment (blob, begin_at, part, bytes, crc32c)"
                       " SELECT CAST(? AS BIGINT), begin_at + ?, part, bytes, crc32c FROM segment "
                       "WHERE blob = ?");
        db_bind(q, "iii", whole->id, (int64_t)whole->bytes, part);
    } else {
        q = db_stmt(d, "INSERT INTO segment (blob, begin_at, part, bytes, crc32c)"
                       " VALUES (?, ?, ?, ?, ?)");
        db_bind(q, "iiiii", whole->id, (int64_t)whole->bytes, part, (int64_t)f->bytes,
                (int64_t)f->crc32c);
    }
    if (f->bytes > 0 && db_run(q, "cannot compose a blob", e) < 0)
        return -1;
    whole->crc32c = crc32c_join(whole->crc32c, f->crc32c, f->bytes);
    whole->bytes += f->bytes;
    return 0;
}

/* The sum of a part that no row knows: it was made by a job, or its row is gone. */
static int sum_make(struct store *s, int64_t id, struct blob_facts *f, struct error *e)
{
    struct blob_digest h;
    struct blob got = { 0 };
    int fd = blob_open(s, id, e);

    if (fd < 0)
        return -1;
    int rc = blob_digest_begin(&h, false, false, e);
    if (rc == 0)
        rc = blob_digest_add_file(&h, fd, (struct byte_range){ 0, f->bytes }, "a part", e);
    if (rc == 0) {
        blob_digest_end(&h, &got);
        f->crc32c = got.crc32c;
        f->has_crc32c = true;
        blob_facts_keep(s, id, f);
    }
    (void)close(fd);
    return rc;
}

int blob_compose_shared(struct store *s, const int64_t *part, uint32_t count, struct blob *out,
                        struct error *e)
{
    struct blob_facts *f = mem_array(count, sizeof *f);
    struct blob whole = { 0 };
    int rc = blob_id_take(s, &whole.id, e);

    for (uint32_t i = 0; i < count && rc == 0; i++) {
        rc = blob_facts(s, part[i], &f[i], e);
        if (rc == 0 && !f[i].has_crc32c)
            rc = sum_make(s, part[i], &f[i], e);
    }
    struct db *d = rc == 0 ? store_write(s, e) : NULL;
    if (d) {
        for (uint32_t i = 0; i < count && rc == 0; i++)
            rc = compose_part(s, d, &whole, part[i], &f[i], e);
        if (rc == 0)
            rc = blob_composed_in(d, &whole, e);
        rc = store_commit(s, d, rc, e);
    }
    mem_free(f);
    if (!d || rc < 0)
        return -1;
    *out = whole;
    return 0;
}
