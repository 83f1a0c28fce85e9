#include "engine/lines/line_key.h"

#include <assert.h>

#include "base/mem.h"
#include "engine/lines/digest.h"

#define SLOTS_MIN ((uint32_t)1024)

bool line_digest(const struct request *r, const struct file_digests *files, struct buf *scratch,
                 uint64_t out[2])
{
    buf_clear(scratch);
    if (!request_identity(r, files, scratch) || !buf_ok(scratch))
        return false;
    digest_of(scratch->p, scratch->len, out);
    return true;
}

bool line_key(const struct line_note *n, const uint64_t model[2], uint64_t out[2])
{
    uint64_t parts[5] = { model[0], model[1], n->digest[0], n->digest[1], n->ordinal };

    if (!(n->flags & NOTE_KEYED))
        return false;
    assert(n->ordinal == 0 || !(n->flags & NOTE_DETERMINISTIC));
    digest_of(parts, sizeof parts, out);
    return true;
}

int line_keep(struct kept_writer *w, const struct line_note *n, const struct spool_row *row,
              const uint64_t model[2], struct error *e)
{
    struct kept_entry entry = { .index = row->index, .answered_us = row->processed_us };
    const struct usage *u = &row->usage;

    if (row->outcome != OUTCOME_SUCCEEDED || row->duplicate || row->origin || row->taken ||
        !line_key(n, model, entry.key))
        return 0;
    entry.tokens = u->prompt_tokens + u->candidate_tokens + u->thought_tokens;
    entry.shape = row->shape;
    return kept_add(w, &entry, e);
}

/* A hash table with open addressing, at most half full. */
struct ordinals {
    struct slot {
        uint64_t digest[2];
        uint32_t count; /* 0: free */
    } *slot;
    uint32_t slots, used; /* slots is a power of two */
};

struct ordinals *ordinals_new(void)
{
    struct ordinals *o = mem_alloc(sizeof *o);

    o->slots = SLOTS_MIN;
    o->slot = mem_array(o->slots, sizeof *o->slot);
    return o;
}

void ordinals_free(struct ordinals *o)
{
    if (!o)
        return;
    mem_free(o->slot);
    mem_free(o);
}

static struct slot *slot_of(struct ordinals *o, const uint64_t digest[2])
{
    uint32_t at = (uint32_t)digest[0] & (o->slots - 1);
    struct slot *s;

    while ((s = &o->slot[at])->count && (s->digest[0] != digest[0] || s->digest[1] != digest[1]))
        at = (at + 1) & (o->slots - 1);
    return s;
}

static void grow(struct ordinals *o)
{
    struct slot *old = o->slot;
    uint32_t slots = o->slots;

    o->slots *= 2;
    o->slot = mem_array(o->slots, sizeof *o->slot);
    for (uint32_t i = 0; i < slots; i++)
        if (old[i].count)
            *slot_of(o, old[i].digest) = old[i];
    mem_free(old);
}

bool ordinals_next(struct ordinals *o, const uint64_t digest[2], uint32_t *out)
{
    struct slot *s = slot_of(o, digest);

    if (s->count == 0 && o->used == ORDINALS_MAX)
        return false;
    if (s->count == 0 && o->used * 2 >= o->slots) {
        grow(o);
        s = slot_of(o, digest);
    }
    o->used += s->count == 0;
    s->digest[0] = digest[0];
    s->digest[1] = digest[1];
    *out = s->count++;
    return true;
}
