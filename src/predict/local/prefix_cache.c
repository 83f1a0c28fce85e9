#include "predict/local/prefix_cache.h"

#include <assert.h>

#include "base/mem.h"

/* Kept prefixes fill at most this part of the cells: every row looks at every cell in use. */
#define KEPT_PART 4

enum slot_use { SLOT_FREE, SLOT_TAKEN, SLOT_KEPT };

struct slot {
    enum slot_use use;
    uint32_t lent;  /* the longest beginning that another took from here */
    uint64_t touch; /* when it was last of use */
};

struct prefix_cache {
    struct runtime *runtime;
    struct prefix_tree *tree;
    struct slot *slot; /* [sequences] */
    uint32_t sequences;
    uint64_t cells;
    uint64_t clock; /* counts takings */
    bool shares;
};

struct prefix_cache *prefix_cache_new(struct runtime *r)
{
    struct prefix_cache *c = mem_alloc(sizeof *c);
    struct runtime_info info;

    r->ops->info(r, &info);
    c->runtime = r;
    c->sequences = info.sequences;
    c->cells = info.cells;
    c->shares = info.shares;
    c->tree = prefix_tree_new(info.sequences);
    c->slot = mem_array(info.sequences, sizeof *c->slot);
    return c;
}

void prefix_cache_free(struct prefix_cache *c)
{
    if (!c)
        return;
    prefix_tree_free(c->tree);
    mem_free(c->slot);
    mem_free(c);
}

static void cut(struct prefix_cache *c, uint32_t sequence, uint32_t len)
{
    prefix_tree_cut(c->tree, sequence, len);
    c->runtime->ops->trim(c->runtime, sequence, len);
}

static void drop(struct prefix_cache *c, uint32_t sequence)
{
    assert(c->slot[sequence].use != SLOT_FREE);
    cut(c, sequence, 0);
    c->slot[sequence] = (struct slot){ SLOT_FREE, 0, 0 };
}

/* The kept sequence that was of use the longest ago, but not `except`; `sequences` when none is. */
static uint32_t least_used(const struct prefix_cache *c, uint32_t except)
{
    uint32_t best = c->sequences;

    for (uint32_t i = 0; i < c->sequences; i++)
        if (c->slot[i].use == SLOT_KEPT && i != except &&
            (best == c->sequences || c->slot[i].touch < c->slot[best].touch))
            best = i;
    return best;
}

bool prefix_cache_evict(struct prefix_cache *c)
{
    uint32_t least = least_used(c, c->sequences);

    if (least == c->sequences)
        return false;
    drop(c, least);
    return true;
}

static uint32_t find_free(const struct prefix_cache *c)
{
    uint32_t i = 0;

    while (i < c->sequences && c->slot[i].use != SLOT_FREE)
        i++;
    return i;
}

uint32_t prefix_cache_match(const struct prefix_cache *c, struct prefix p)
{
    uint32_t holder;

    return prefix_tree_match(c->tree, p, &holder);
}

bool prefix_cache_take(struct prefix_cache *c, struct prefix p, uint32_t *sequence,
                       uint32_t *reused)
{
    uint32_t holder = c->sequences, to = find_free(c);
    uint32_t len = c->shares ? prefix_tree_match(c->tree, p, &holder) : 0;

    if (to == c->sequences) {
        to = least_used(c, len ? holder : c->sequences);
        if (to == c->sequences)
            return false;
        drop(c, to);
    }
    assert(len <= p.count && c->slot[to].use == SLOT_FREE && !prefix_tree_len(c->tree, to));
    c->slot[to] = (struct slot){ SLOT_TAKEN, 0, ++c->clock };
    if (len) {
        struct slot *from = &c->slot[holder];
        from->touch = c->clock;
        from->lent = len > from->lent ? len : from->lent;
        c->runtime->ops->copy(c->runtime, holder, to, len);
        p.count = len;
        prefix_tree_extend(c->tree, to, p);
    }
    *sequence = to;
    *reused = len;
    return true;
}

void prefix_cache_computed(struct prefix_cache *c, uint32_t sequence, struct prefix p)
{
    assert(c->slot[sequence].use == SLOT_TAKEN && p.count >= prefix_tree_len(c->tree, sequence));
    prefix_tree_extend(c->tree, sequence, p);
}

/* Cells that only kept sequences hold, about: what two of them share is counted twice. */
static uint64_t kept_cells(const struct prefix_cache *c)
{
    uint64_t cells = 0;

    for (uint32_t i = 0; i < c->sequences; i++)
        if (c->slot[i].use == SLOT_KEPT)
            cells += prefix_tree_len(c->tree, i) - prefix_tree_shared(c->tree, i);
    return cells;
}

void prefix_cache_give_back(struct prefix_cache *c, uint32_t sequence, uint32_t keep)
{
    struct slot *p = &c->slot[sequence];
    uint32_t len = prefix_tree_len(c->tree, sequence);

    assert(p->use == SLOT_TAKEN);
    keep = p->lent > keep ? p->lent : keep;
    keep = len < keep ? len : keep;
    if (!c->shares || keep < prefix_tree_shared(c->tree, sequence) + PREFIX_TOKENS_MIN) {
        drop(c, sequence);
        return;
    }
    cut(c, sequence, keep);
    *p = (struct slot){ SLOT_KEPT, keep, ++c->clock };
    while (kept_cells(c) > c->cells / KEPT_PART && prefix_cache_evict(c))
        ;
}

uint64_t prefix_cache_tokens(const struct prefix_cache *c)
{
    return prefix_tree_tokens(c->tree);
}
