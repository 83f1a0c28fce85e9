#include "predict/upstream/pace_bucket.h"

#include <assert.h>
#include <math.h>

#define MINUTE_S 60.0
#define NS 1e9

void bucket_init(struct bucket *b, uint64_t limit, uint64_t now_ns)
{
    double second = (double)limit / MINUTE_S;

    *b = (struct bucket){ .limit = (double)limit, .burst = second > 1 ? second : 1 };
    b->level = b->burst;
    b->at_ns = now_ns;
}

/* The burst and a minute's filling make the limit. When the burst is more than half of it (a limit of 1),
 * half of the limit is filled a minute instead. */
static double fill_s(const struct bucket *b)
{
    double left = b->limit > 2 * b->burst ? b->limit - b->burst : b->limit / 2;

    return left / MINUTE_S;
}

static void fill(struct bucket *b, uint64_t now_ns)
{
    if (now_ns > b->at_ns)
        b->level += (double)(now_ns - b->at_ns) / NS * fill_s(b);
    b->at_ns = now_ns > b->at_ns ? now_ns : b->at_ns;
    b->level = b->level < b->burst ? b->level : b->burst;
    assert(b->burst >= 1 && b->limit > 0);
}

static double capped(const struct bucket *b, double n)
{
    return n < b->limit ? n : b->limit;
}

bool bucket_ready(struct bucket *b, double n, uint64_t now_ns, uint64_t *ready_ns)
{
    if (!(b->limit > 0))
        return true;
    n = capped(b, n);
    fill(b, now_ns);
    if (n > b->burst)
        b->burst = n;
    if (b->level >= n)
        return true;
    *ready_ns = b->at_ns + (uint64_t)ceil((n - b->level) / fill_s(b) * NS);
    return false;
}

void bucket_take(struct bucket *b, double n, uint64_t now_ns)
{
    if (!(b->limit > 0))
        return;
    fill(b, now_ns);
    b->level -= n > 0 ? capped(b, n) : n;
    b->level = b->level < b->burst ? b->level : b->burst;
}
