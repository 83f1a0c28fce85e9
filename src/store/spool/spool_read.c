#include "store/spool/spool.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "store/spool/spool_inner.h"

static int row_step(struct spool *s, sqlite3_stmt *st, struct spool_row *row, struct error *e);
static struct str column(sqlite3_stmt *st, int at);
static int failure_fill(struct spool *s, struct spool_failures *f, struct error *e);

int spool_get(struct spool *s, uint64_t index, struct spool_row *row, struct error *e)
{
    sqlite3_stmt *st = spool_stmt(s, SPOOL_GET);

    if (sqlite3_bind_int64(st, 1, (int64_t)index) != SQLITE_OK)
        return spool_error(s, SQLITE_MISUSE, "cannot read", e);
    return row_step(s, st, row, e);
}

int spool_find(struct spool *s, struct str digest, struct spool_row *row, struct error *e)
{
    sqlite3_stmt *st = spool_stmt(s, SPOOL_FIND);

    assert(digest.len == SPOOL_DIGEST_BYTES);
    if (sqlite3_bind_blob64(st, 1, digest.p, digest.len, SQLITE_STATIC) != SQLITE_OK)
        return spool_error(s, SQLITE_MISUSE, "cannot read", e);
    return row_step(s, st, row, e);
}

int spool_done(struct spool *s, uint64_t first, uint32_t count, bool *done, struct error *e)
{
    sqlite3_stmt *st = spool_stmt(s, SPOOL_DONE);
    int rc = sqlite3_bind_int64(st, 1, (int64_t)first);

    memset(done, 0, count * sizeof *done);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 2, (int64_t)(first + count));
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(st))
        done[(uint64_t)sqlite3_column_int64(st, 0) - first] = true;
    return rc == SQLITE_DONE ? 0 : spool_error(s, rc, "cannot read", e);
}

int spool_failures(struct spool *s, struct spool_failures *out, uint32_t cap, uint32_t *count,
                   struct error *e)
{
    sqlite3_stmt *st = spool_stmt(s, SPOOL_FAILED);
    uint32_t n = 0;
    int rc = sqlite3_bind_int64(st, 1, cap);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    for (; rc == SQLITE_ROW && n < cap; rc = sqlite3_step(st)) {
        out[n] = (struct spool_failures){ .count = (uint64_t)sqlite3_column_int64(st, 1) };
        out[n++].code = (enum error_code)sqlite3_column_int(st, 0);
    }
    if (rc != SQLITE_DONE && rc != SQLITE_ROW)
        return spool_error(s, rc, "cannot read", e);
    for (uint32_t i = 0; i < n; i++) {
        if (failure_fill(s, &out[i], e) < 0)
            return -1;
    }
    *count = n;
    return 0;
}

int spool_fact_set(struct spool *s, const char *name, struct str value, struct error *e)
{
    assert(!s->group); /* it would not be durable at once */

    sqlite3_stmt *st = spool_stmt(s, SPOOL_FACT_SET);
    int rc = sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_bind_blob64(st, 2, value.p ? value.p : "", value.len, SQLITE_STATIC);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc != SQLITE_DONE)
        return spool_error(s, rc, "cannot write", e);
    return 0;
}

int spool_fact_get(struct spool *s, const char *name, struct buf *value, struct error *e)
{
    sqlite3_stmt *st = spool_stmt(s, SPOOL_FACT_GET);
    int rc = sqlite3_bind_text(st, 1, name, -1, SQLITE_STATIC);

    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) {
        buf_add_str(value, column(st, 0));
        return 1;
    }
    return rc == SQLITE_DONE ? 0 : spool_error(s, rc, "cannot read", e);
}

static struct str column(sqlite3_stmt *st, int at)
{
    const void *p = sqlite3_column_blob(st, at);

    return (struct str){ p, (size_t)sqlite3_column_bytes(st, at) };
}

void spool_row_read(sqlite3_stmt *st, struct spool_row *row)
{
    row->index = (uint64_t)sqlite3_column_int64(st, 0);
    row->outcome = (enum outcome)sqlite3_column_int(st, 1);
    row->code = (enum error_code)sqlite3_column_int(st, 2);
    row->duplicate = sqlite3_column_int(st, 3) != 0;
    row->processed_us = sqlite3_column_int64(st, 4);
    row->usage.prompt_tokens = (uint32_t)sqlite3_column_int64(st, 5);
    row->usage.cached_tokens = (uint32_t)sqlite3_column_int64(st, 6);
    row->usage.candidate_tokens = (uint32_t)sqlite3_column_int64(st, 7);
    row->usage.thought_tokens = (uint32_t)sqlite3_column_int64(st, 8);
    row->cost_nano = (uint64_t)sqlite3_column_int64(st, 9);
    row->cost_online_nano = (uint64_t)sqlite3_column_int64(st, 10);
    row->digest = column(st, 11);
    row->status = column(st, 12);
    row->response = column(st, 13);
}

static int row_step(struct spool *s, sqlite3_stmt *st, struct spool_row *row, struct error *e)
{
    int rc = sqlite3_step(st);

    if (rc == SQLITE_DONE)
        return 0;
    if (rc != SQLITE_ROW)
        return spool_error(s, rc, "cannot read", e);
    spool_row_read(st, row);
    return 1;
}

/* The first indexes of a group of failures, and what the first of them said. */
static int failure_fill(struct spool *s, struct spool_failures *f, struct error *e)
{
    sqlite3_stmt *st = spool_stmt(s, SPOOL_FIRST);
    struct spool_row row = { 0 };
    int rc = sqlite3_bind_int64(st, 1, f->code);

    if (rc == SQLITE_OK)
        rc = sqlite3_bind_int64(st, 2, SPOOL_FIRST_MAX);
    if (rc == SQLITE_OK)
        rc = sqlite3_step(st);
    for (; rc == SQLITE_ROW; rc = sqlite3_step(st))
        f->first[f->first_count++] = (uint64_t)sqlite3_column_int64(st, 0);
    if (rc != SQLITE_DONE)
        return spool_error(s, rc, "cannot read", e);
    if (f->first_count == 0)
        return 0;
    if (spool_get(s, f->first[0], &row, e) < 0)
        return -1;
    struct str cut = str_sub(row.status, 0, sizeof f->message - 1);
    cut.len = str_utf8_valid(cut);
    (void)snprintf(f->message, sizeof f->message, "%.*s", STR_ARG(cut));
    return 0;
}
