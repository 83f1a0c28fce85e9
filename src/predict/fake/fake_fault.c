#include "predict/fake/fake_fault.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/mem.h"

/* Slots that are tried for one hash. */
#define PROBE_MAX 16

static_assert(FAKE_FAULTS_MAX <= 32, "remembered.chosen is a set of 32 bits");
static_assert((FAKE_MEMORY_MAX & (FAKE_MEMORY_MAX - 1)) == 0, "a hash is cut by a mask");

void fake_faults_init(struct fake_faults *f, const struct fake_script *script)
{
    *f = (struct fake_faults){ .script = script };
    if (script->fault_count)
        f->memory = mem_array(FAKE_MEMORY_MAX, sizeof *f->memory);
}

void fake_faults_release(struct fake_faults *f)
{
    mem_free(f->memory);
    f->memory = NULL;
}

/* SplitMix64 (Steele, Lea, Flood 2014): one step from a state that hash and salt make. */
uint64_t fake_chance(uint64_t hash, uint64_t salt)
{
    uint64_t z = hash + (salt + 1) * 0x9E3779B97F4A7C15U;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
}

/* The slot of this key, a free one, or the first that was tried: its key says which. */
static struct remembered *find_slot(struct fake_faults *f, uint64_t key)
{
    struct remembered *first = &f->memory[key & (FAKE_MEMORY_MAX - 1)];

    for (uint64_t i = 0; i < PROBE_MAX; i++) {
        struct remembered *m = &f->memory[(key + i) & (FAKE_MEMORY_MAX - 1)];
        if (m->key == key || m->key == 0)
            return m;
    }
    return first;
}

/* Counts a new request with the faults that it matches, and chooses each every-th. */
static uint32_t choose(struct fake_faults *f, struct str user_text)
{
    uint32_t chosen = 0;

    for (uint32_t i = 0; i < f->script->fault_count; i++) {
        const struct fake_fault *fault = &f->script->fault[i];
        if (fault->match && str_find(user_text, str_of(fault->match)) == SIZE_MAX)
            continue;
        f->matched[i]++;
        if (fault->every <= 1 || f->matched[i] % fault->every == 0)
            chosen |= UINT32_C(1) << i;
    }
    return chosen;
}

static bool holds(const struct fake_fault *fault, const struct remembered *m, uint32_t index)
{
    uint64_t chance = fake_chance(m->key, (uint64_t)m->attempts << 32 | index);

    if (fault->times && m->attempts > fault->times)
        return false;
    return fault->rate <= 0 || (double)(chance >> 11) * 0x1p-53 < fault->rate;
}

const struct fake_fault *fake_faults_meet(struct fake_faults *f, uint64_t hash,
                                          struct str user_text)
{
    uint64_t key = hash | 1; /* 0 is a free slot */

    if (!f->memory)
        return NULL;
    struct remembered *m = find_slot(f, key);
    if (m->key != key) {
        uint32_t chosen = choose(f, user_text);
        if (!chosen)
            return NULL;
        *m = (struct remembered){ .key = key, .chosen = chosen };
    }
    m->attempts++;
    for (uint32_t i = 0; i < f->script->fault_count; i++)
        if (m->chosen >> i & 1 && holds(&f->script->fault[i], m, i))
            return &f->script->fault[i];
    return NULL;
}
