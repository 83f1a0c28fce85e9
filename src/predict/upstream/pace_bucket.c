#include "predict/upstream/pace_bucket.h"

#include <assert.h>
#include <math.h>

#define MINUTE_S 60.0
#define NS 1e9

/* A request is never more than a full bucket. */
static double capped(const struct bucket *b, double n)
{
    double most = b->limit > 1 ? b->limit : 1;

    return n < most ? n : most;
}

static void set_burst(struct bucket *b)
{
    double second = b->limit / MINUTE_S, largest = capped(b, b->largest);

    b->burst = second > largest ? second : largest;
}

void bucket_init(struct bucket *b, uint64_t limit, uint64_t now_ns)
{
    *b = (struct bucket){ .limit = (double)limit, .whole = (double)limit, .largest = 1 };
    set_burst(b);
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

void bucket_limit(struct bucket *b, double limit, bool empty, uint64_t now_ns)
{
    if (!(b->limit > 0))
        return;
    assert(limit > 0);
    fill(b, now_ns);
    b->limit = limit < b->whole ? limit : b->whole;
    set_burst(b);
    if (b->level > (empty ? 0 : b->burst))
        b->level = empty ? 0 : b->burst;
}

bool bucket_ready(struct bucket *b, double n, uint64_t now_ns, uint64_t *ready_ns)
{
    if (!(b->limit > 0))
        return true;
    fill(b, now_ns);
    if (n > b->largest) {
        b->largest = n;
        set_burst(b);
    }
    n = capped(b, n);
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
    b->level -= n < b->whole ? n : b->whole;
    b->level = b->level < b->burst ? b->level : b->burst;
}
