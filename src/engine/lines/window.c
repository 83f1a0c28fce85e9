#include "engine/lines/window.h"

#include <assert.h>
#include <string.h>

#include "base/mem.h"
#include "engine/lines/prompt_order.h"

#define DIGEST_BUCKETS 4096
/* Bytes that a pooled line's arena may keep, so that the pool is small beside the open lines. */
#define ARENA_KEEP_BYTES ((size_t)64 * 1024)
#define POOL_BYTES_MAX ((size_t)8 * 1024 * 1024)

struct window {
    /* Lines that wait for their turn, in prompt order. The elevator stands before turn[at]. */
    struct open_line *turn[WINDOW_LINES_MAX];
    uint32_t turn_count, at;
    const struct open_line *last; /* the one that left last, while it is open */
    /* Lines that wait for a time: a heap, the earliest first. */
    struct open_line *timed[WINDOW_LINES_MAX];
    uint32_t timed_count;
    /* All open lines, by index modulo the window; oldest is the smallest index when count > 0. */
    struct open_line *open[WINDOW_LINES_MAX];
    uint64_t oldest;
    uint32_t count;
    size_t bytes;                             /* of the open lines' arenas */
    struct open_line *bucket[DIGEST_BUCKETS]; /* open lines with a digest that follow none */
    struct open_line *pool;
    size_t pool_bytes; /* of the pooled lines' arenas */
};

struct window *window_new(void)
{
    return mem_alloc(sizeof(struct window));
}

/* An arena that needed more than its first block begins afresh: the next line reserves what it needs
 * in one. */
static void pool_put(struct window *w, struct open_line *l)
{
    size_t bytes = l->arena.bytes;

    arena_reset(&l->arena);
    if (l->arena.bytes < bytes || bytes > ARENA_KEEP_BYTES || w->pool_bytes > POOL_BYTES_MAX)
        arena_release(&l->arena);
    w->pool_bytes += l->arena.bytes;
    l->state = LINE_FREE;
    l->next = w->pool;
    w->pool = l;
}

void window_free(struct window *w)
{
    if (!w)
        return;
    for (uint32_t i = 0; i < WINDOW_LINES_MAX; i++) {
        if (w->open[i])
            pool_put(w, w->open[i]);
    }
    while (w->pool) {
        struct open_line *l = w->pool;
        w->pool = l->next;
        arena_release(&l->arena);
        mem_free(l);
    }
    mem_free(w);
}

bool window_has_room(const struct window *w, uint64_t index, size_t line_bytes)
{
    size_t wanted;

    if (w->count == 0)
        return true;
    if (index - w->oldest >= WINDOW_LINES_MAX ||
        !size_mul(line_bytes, WINDOW_ARENA_FACTOR, &wanted))
        return false;
    return w->bytes < WINDOW_BYTES_MAX && wanted <= WINDOW_BYTES_MAX - w->bytes;
}

struct open_line *window_line(struct window *w)
{
    struct open_line *l = w->pool;

    if (!l)
        return mem_alloc(sizeof *l);
    assert(l->state == LINE_FREE && w->pool_bytes >= l->arena.bytes);
    w->pool = l->next;
    w->pool_bytes -= l->arena.bytes;
    *l = (struct open_line){ .arena = l->arena };
    return l;
}

static void open_put(struct window *w, struct open_line *l)
{
    uint64_t index = l->line.index;

    if (w->count == 0)
        w->oldest = index;
    assert(index >= w->oldest && index - w->oldest < WINDOW_LINES_MAX);
    assert(!w->open[index % WINDOW_LINES_MAX]);
    w->open[index % WINDOW_LINES_MAX] = l;
    w->count++;
    l->bytes = l->arena.bytes;
    w->bytes += l->bytes;
}

/* By prompt; of equal ones the older first. */
static int turn_cmp(const struct open_line *a, const struct open_line *b)
{
    int order = prompt_cmp(a->in.request, b->in.request);

    return order ? order : (a->line.index > b->line.index) - (a->line.index < b->line.index);
}

/* Returns where it stands now. A line behind the elevator waits for its next round. */
static uint32_t turn_put(struct window *w, struct open_line *l)
{
    uint32_t low = 0, high = w->turn_count;

    assert(l->state != LINE_WAITS && w->turn_count + w->timed_count < w->count);
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (turn_cmp(w->turn[middle], l) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the elements are pointers */
    memmove(&w->turn[low + 1], &w->turn[low], (w->turn_count - low) * sizeof w->turn[0]);
    w->turn[low] = l;
    w->turn_count++;
    if (low < w->at || (low == w->at && w->last && turn_cmp(l, w->last) < 0))
        w->at++;
    l->state = LINE_WAITS;
    return low;
}

/* The link to the line of this digest in its bucket, or the bucket's end (which is NULL). */
static struct open_line **bucket_find(struct window *w, const unsigned char *digest)
{
    uint32_t hash;

    memcpy(&hash, digest, sizeof hash);
    struct open_line **at = &w->bucket[hash % DIGEST_BUCKETS];
    while (*at && memcmp((*at)->digest, digest, SPOOL_DIGEST_BYTES) != 0)
        at = &(*at)->next;
    return at;
}

/* True: an identical line is open, and l takes its answer. */
static bool follow(struct window *w, struct open_line *l)
{
    if (!l->has_digest)
        return false;
    struct open_line **at = bucket_find(w, l->digest);
    struct open_line *leader = *at;
    if (!leader) {
        *at = l;
        return false;
    }
    assert(leader->state != LINE_FREE && leader->state != LINE_FOLLOWS);
    if (leader->last_follower)
        leader->last_follower->follower = l;
    else
        leader->follower = l;
    leader->last_follower = l;
    l->state = LINE_FOLLOWS;
    return true;
}

void window_add(struct window *w, struct open_line *l)
{
    assert(l->state == LINE_FREE && l->in.request);
    open_put(w, l);
    if (!follow(w, l))
        (void)turn_put(w, l);
}

static struct open_line *turn_take(struct window *w)
{
    if (w->at >= w->turn_count)
        w->at = 0;
    struct open_line *l = w->turn[w->at];
    assert(l->state == LINE_WAITS);
    w->turn_count--;
    /* NOLINTNEXTLINE(bugprone-sizeof-expression): the elements are pointers */
    memmove(&w->turn[w->at], &w->turn[w->at + 1], (w->turn_count - w->at) * sizeof w->turn[0]);
    l->state = LINE_SENT;
    w->last = l;
    return l;
}

static struct open_line *timed_take(struct window *w)
{
    struct open_line *first = w->timed[0], *last = w->timed[--w->timed_count];
    uint32_t at = 0;

    assert(first->state == LINE_TIMED);
    for (uint32_t child = 1; child < w->timed_count; child = 2 * at + 1) {
        if (child + 1 < w->timed_count &&
            w->timed[child + 1]->not_before_ns < w->timed[child]->not_before_ns)
            child++;
        if (last->not_before_ns <= w->timed[child]->not_before_ns)
            break;
        w->timed[at] = w->timed[child];
        at = child;
    }
    w->timed[at] = last;
    return first;
}

struct open_line *window_next(struct window *w, uint64_t now_ns, uint64_t *ready_ns)
{
    struct open_line *due = NULL;

    if (w->timed_count && w->timed[0]->not_before_ns <= now_ns) {
        due = timed_take(w);
        due->state = LINE_SENT;
    }
    *ready_ns = w->timed_count ? w->timed[0]->not_before_ns : UINT64_MAX;
    return due || !w->turn_count ? due : turn_take(w);
}

void window_unsend(struct window *w, struct open_line *l)
{
    assert(l->state == LINE_SENT);
    w->at = turn_put(w, l);
}

static void timed_put(struct window *w, struct open_line *l)
{
    uint32_t at = w->timed_count++;

    assert(w->turn_count + w->timed_count <= w->count);
    for (; at > 0 && w->timed[(at - 1) / 2]->not_before_ns > l->not_before_ns; at = (at - 1) / 2)
        w->timed[at] = w->timed[(at - 1) / 2];
    w->timed[at] = l;
    l->state = LINE_TIMED;
}

void window_retry(struct window *w, struct open_line *l, uint64_t not_before_ns)
{
    assert(l->state == LINE_SENT);
    l->not_before_ns = not_before_ns;
    timed_put(w, l);
}

static void bucket_remove(struct window *w, const struct open_line *l)
{
    struct open_line **at = bucket_find(w, l->digest);

    assert(*at == l);
    *at = l->next;
}

static void open_remove(struct window *w, struct open_line *l)
{
    assert(w->open[l->line.index % WINDOW_LINES_MAX] == l && w->bytes >= l->bytes);
    w->open[l->line.index % WINDOW_LINES_MAX] = NULL;
    w->last = w->last == l ? NULL : w->last;
    w->count--;
    w->bytes -= l->bytes;
    while (w->count && !w->open[w->oldest % WINDOW_LINES_MAX])
        w->oldest++;
    assert(w->count || w->bytes == 0);
}

void window_drop(struct window *w, struct open_line *l)
{
    assert(l->state == LINE_FREE || l->state == LINE_SENT);
    if (l->state == LINE_SENT && l->has_digest)
        bucket_remove(w, l);
    while (l) {
        struct open_line *follower = l->follower;
        assert(!follower || follower->state == LINE_FOLLOWS);
        if (l->state != LINE_FREE)
            open_remove(w, l);
        pool_put(w, l);
        l = follower;
    }
}

void window_pass_on(struct window *w, struct open_line *l)
{
    struct open_line *heir = l->follower;

    assert(l->state == LINE_SENT && heir && heir->state == LINE_FOLLOWS);
    bucket_remove(w, l);
    heir->last_follower = l->last_follower == heir ? NULL : l->last_follower;
    struct open_line **bucket = bucket_find(w, heir->digest);
    heir->next = *bucket;
    *bucket = heir;
    (void)turn_put(w, heir);
    open_remove(w, l);
    pool_put(w, l);
}

uint32_t window_count(const struct window *w)
{
    return w->count;
}
