#include "store/fleet/allowance.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "store/fleet/fleet.h"
#include "store/store_inner.h"

#define NEED_MAX 1e15     /* stands for infinity, which not every database keeps in a column */
#define SHRANK_PART 0.01  /* of a limit: a smaller change is said at the next renewal */
#define KEPT_BACK_MAX 0.5 /* of a limit */
#define DOING "cannot renew the shares of an upstream"

/* Processes with a valid share of an upstream, this one among them, in the order of their numbers. */
struct holder {
    int64_t process;
    double share[ALLOWANCE_KINDS], need[ALLOWANCE_KINDS], unit[ALLOWANCE_KINDS];
};
struct holders {
    struct holder *item;
    uint32_t count, self;
    int64_t now_us;
};

/* ---- Who should have how much ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Shares by need: all needs up to one level are met, so that nobody has more than it needs while another one lacks. A rest
 * that nobody needs goes to all alike. */
static void divide(const struct holders *h, enum allowance_kind kind, double limit, double *part,
                   struct arena *a)
{
    double *need = arena_array(a, h->count, sizeof *need), left = limit, level = INFINITY;

    for (uint32_t i = 0; i < h->count; i++)
        need[i] = h->item[i].need[kind];
    qsort(need, h->count, sizeof *need, by_value);
    for (uint32_t i = 0; i < h->count && isinf(level); i++) {
        double alike = left / (h->count - i);
        if (need[i] > alike)
            level = alike;
        else
            left -= need[i];
    }
    for (uint32_t i = 0; i < h->count; i++)
        part[i] = isinf(level) ? h->item[i].need[kind] + left / h->count
                               : fmin(h->item[i].need[kind], level);
}

/* Whole slots. The remainder goes round among the processes whose part was cut, one each: all see the same time. */
static void make_whole(const struct holders *h, double limit, double *part)
{
    uint32_t turn = (uint32_t)(h->now_us / (ALLOWANCE_ROTATE_MS * 1000LL) % h->count);
    double rest = floor(limit);

    for (uint32_t i = 0; i < h->count; i++)
        rest -= floor(part[i]);
    for (uint32_t i = 0; i < h->count; i++) {
        uint32_t at = (i + turn) % h->count;
        bool cut = part[at] > floor(part[at]);
        part[at] = floor(part[at]) + (cut && rest >= 1);
        rest -= cut && rest >= 1;
    }
}

/* A process spends a minute's burst at once, so what it gives away may be spent again within the minute: one unit of each
 * but one is kept back. */
static double kept_back(const struct holders *h, enum allowance_kind kind, double limit)
{
    double unit = 0;

    for (uint32_t i = 0; i < h->count; i++)
        unit = fmax(unit, h->item[i].unit[kind]);
    return kind == ALLOWANCE_SLOTS ? 0 : fmin(unit * (h->count - 1), limit * KEPT_BACK_MAX);
}

static double part_of_self(const struct holders *h, enum allowance_kind kind, double limit)
{
    struct arena a = { 0 };
    double *part = arena_array(&a, h->count, sizeof *part);

    limit -= kept_back(h, kind, limit);
    divide(h, kind, limit, part, &a);
    if (kind == ALLOWANCE_SLOTS)
        make_whole(h, limit, part);
    double self = part[h->self];
    arena_release(&a);
    return self;
}

/* ---- The rows ---- */

/* The row of process 0 says nothing; it is there to be locked. */
static int lock_upstream(struct db *d, const char *upstream, struct error *e)
{
    struct stmt *q;

    for (int i = 0; i < 2; i++) {
        q = db_stmt(d, "SELECT process FROM allowance WHERE upstream = ? AND process = 0"
                       " FOR UPDATE");
        db_bind(q, "s", upstream);
        int rc = db_step(q, DOING, e);
        if (rc)
            return rc < 0 ? -1 : 0;
        q = db_stmt(d, "INSERT INTO allowance (upstream, process, requests, tokens, slots,"
                       " need_requests, need_tokens, need_slots, unit_tokens, until_us)"
                       " VALUES (?, 0, 0, 0, 0, 0, 0, 0, 0, 0) ON CONFLICT DO NOTHING");
        db_bind(q, "s", upstream);
        if (db_run(q, DOING, e) < 0)
            return -1;
    }
    return error_set(e, ERROR_UNAVAILABLE, DOING ": its row went while it was locked");
}

static int read_holders(struct db *d, struct arena *a, const char *upstream, struct holders *h,
                        struct error *e)
{
    struct stmt *q = db_stmt(d, "SELECT process, requests, tokens, slots, need_requests,"
                                " need_tokens, need_slots, unit_tokens FROM allowance"
                                " WHERE upstream = ? AND process > 0 AND until_us > ?"
                                " ORDER BY process");
    int rc;

    db_bind(q, "si", upstream, h->now_us);
    while ((rc = db_step(q, DOING, e)) == 1) {
        h->item = arena_list_grow(a, h->item, h->count, sizeof *h->item);
        struct holder *n = &h->item[h->count++];
        *n = (struct holder){ .process = db_int(q, 0), .unit = { 1, db_double(q, 7), 1 } };
        for (int k = 0; k < ALLOWANCE_KINDS; k++) {
            n->share[k] = db_double(q, 1 + k);
            n->need[k] = db_double(q, 1 + ALLOWANCE_KINDS + k);
        }
    }
    return rc;
}

/* This process among the others, with what it asks now. Without a valid share its place is the last one. True: it
 * had one. */
static bool put_self(struct holders *h, struct arena *a, int64_t process,
                     const struct allowance_ask *ask)
{
    for (h->self = 0; h->self < h->count && h->item[h->self].process != process;)
        h->self++;
    bool had = h->self < h->count;
    if (!had) {
        h->item = arena_list_grow(a, h->item, h->count, sizeof *h->item);
        h->item[h->count++] = (struct holder){ .process = process };
    }
    struct holder *self = &h->item[h->self];
    for (int k = 0; k < ALLOWANCE_KINDS; k++) {
        self->need[k] = fmin(ask->need[k], NEED_MAX);
        self->unit[k] = ask->unit[k];
    }
    return had;
}

static int write_row(struct db *d, const char *upstream, const struct holders *h, struct error *e)
{
    const struct holder *self = &h->item[h->self];
    struct stmt *q =
        db_stmt(d, "INSERT INTO allowance (upstream, process, requests, tokens, slots,"
                   " need_requests, need_tokens, need_slots, unit_tokens, until_us)"
                   " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (upstream, process)"
                   " DO UPDATE SET requests = excluded.requests, tokens = excluded.tokens,"
                   " slots = excluded.slots, need_requests = excluded.need_requests,"
                   " need_tokens = excluded.need_tokens, need_slots = excluded.need_slots,"
                   " unit_tokens = excluded.unit_tokens, until_us = excluded.until_us");

    db_bind(q, "siddddddd", upstream, self->process, self->share[ALLOWANCE_REQUESTS],
            self->share[ALLOWANCE_TOKENS], self->share[ALLOWANCE_SLOTS],
            self->need[ALLOWANCE_REQUESTS], self->need[ALLOWANCE_TOKENS],
            self->need[ALLOWANCE_SLOTS], self->unit[ALLOWANCE_TOKENS]);
    db_bind_from(q, 10, "i", h->now_us + ALLOWANCE_VALID_MS * 1000LL);
    return db_run(q, DOING, e) < 0 ? -1 : 0;
}

/* The row of a process, and those of processes that ended without a word. */
static int drop_rows(struct db *d, const char *upstream, int64_t process, int64_t now_us,
                     struct error *e)
{
    struct stmt *q = db_stmt(d, "DELETE FROM allowance WHERE upstream = ? AND process > 0"
                                " AND (process = ? OR until_us <= ?)");

    db_bind(q, "sii", upstream, process, now_us);
    return db_run(q, DOING, e) < 0 ? -1 : 0;
}

/* ---- A renewal ---- */

/* Under the lock of the row: the new share, and what the row says of it. The row is at least what the process holds, so
 * that a share that shrinks is nobody else's before the process spends less. */
static void settle(struct holders *h, enum allowance_kind kind, const struct allowance_ask *ask,
                   struct allowance *out)
{
    double limit = ask->limit[kind], others = 0;

    for (uint32_t i = 0; i < h->count; i++)
        others += i == h->self ? 0 : h->item[i].share[kind];
    double room = fmax(0, limit - others);
    double share = limit > 0 ? fmin(part_of_self(h, kind, limit), room) : 0;
    double row = fmin(fmax(share, ask->holds[kind]), room);

    assert(share >= 0 && share <= row && (row <= 0 || others + row <= limit * (1 + 1e-9)));
    h->item[h->self].share[kind] = row;
    out->share[kind] = share;
    double least = kind == ALLOWANCE_SLOTS ? 1 : limit * SHRANK_PART;
    out->shrank = out->shrank || row - share >= fmax(least, limit * SHRANK_PART);
}

static int renew_upstream(struct store *s, struct db *d, const struct allowance_ask *ask,
                          struct allowance *out, struct error *e)
{
    struct arena a = { 0 };
    struct holders h = { 0 };
    int64_t process = fleet_process(s);

    *out = (struct allowance){ 0 };
    if (lock_upstream(d, ask->upstream, e) < 0)
        return -1;
    h.now_us = store_lease_now(s);
    if (ask->leaves)
        return drop_rows(d, ask->upstream, process, h.now_us, e);
    int rc = read_holders(d, &a, ask->upstream, &h, e);
    if (rc == 0) {
        bool had = put_self(&h, &a, process, ask);
        for (int k = 0; k < ALLOWANCE_KINDS; k++)
            settle(&h, (enum allowance_kind)k, ask, out);
        rc = had ? 0 : drop_rows(d, ask->upstream, process, h.now_us, e);
        rc = rc < 0 ? -1 : write_row(d, ask->upstream, &h, e);
    }
    arena_release(&a);
    return rc;
}

int allowance_renew(struct store *s, const struct allowance_ask *ask, uint32_t count,
                    struct allowance *out, struct error *e)
{
    int rc = 0;

    if (fleet_process(s) == 0)
        return error_set(e, ERROR_ABORTED, DOING ": this process has no lease");
    struct db *d = store_write_rows(s, e);
    if (!d)
        return -1;
    for (uint32_t i = 0; i < count && rc == 0; i++)
        rc = renew_upstream(s, d, &ask[i], &out[i], e);
    return store_commit(s, d, rc, e);
}
