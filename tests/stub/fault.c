#include "fault.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define ATTEMPTS_FIRST 4096U
#define RATE_BYTES 32

static const struct {
    const char *name;
    bool works;
} kinds[FAULT_COUNT] = {
#define X(kind, name, works, about) [FAULT_##kind] = { name, works },
    FAULT_KINDS(X)
#undef X
};

/* ---- How often a body came: open addressing, at most half full ---- */

struct seen {
    uint64_t key; /* the hash; 0: a free place */
    uint32_t count;
};
struct attempts {
    struct seen *place;
    uint32_t used, cap; /* cap is a power of two */
};

static struct seen *place_of(struct attempts *a, uint64_t key)
{
    uint64_t at = key & (a->cap - 1);

    while (a->place[at].key && a->place[at].key != key)
        at = (at + 1) & (a->cap - 1);
    return &a->place[at];
}

static void attempts_grow(struct attempts *a)
{
    struct attempts wider = { .cap = a->cap * 2 };

    wider.place = mem_array(wider.cap, sizeof *wider.place);
    for (uint32_t i = 0; i < a->cap; i++)
        if (a->place[i].key)
            *place_of(&wider, a->place[i].key) = a->place[i];
    wider.used = a->used;
    mem_free(a->place);
    *a = wider;
}

static uint32_t attempts_count(struct attempts *a, uint64_t hash)
{
    uint64_t key = hash ? hash : 1;
    struct seen *s = place_of(a, key);

    if (s->key == key)
        return ++s->count;
    if (a->used == ATTEMPTS_MAX)
        return 1;
    *s = (struct seen){ key, 1 };
    if (++a->used > a->cap / 2)
        attempts_grow(a);
    return 1;
}

/* ---- Rules ---- */

void faults_init(struct faults *f, uint64_t seed)
{
    *f = (struct faults){ .seed = seed, .attempts = mem_alloc(sizeof *f->attempts) };
    faults_forget(f);
}

void faults_release(struct faults *f)
{
    if (f->attempts)
        mem_free(f->attempts->place);
    mem_free(f->attempts);
    f->attempts = NULL;
}

void faults_forget(struct faults *f)
{
    mem_free(f->attempts->place);
    *f->attempts = (struct attempts){ .cap = ATTEMPTS_FIRST };
    f->attempts->place = mem_array(ATTEMPTS_FIRST, sizeof *f->attempts->place);
}

/* "0.25", "25%", each with ":TIMES" or without. */
static bool rate_parse(struct str text, struct fault_rule *out)
{
    char copy[RATE_BYTES];
    char *end;

    if (text.len == 0 || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    out->rate = strtod(copy, &end);
    if (end == copy)
        return false;
    if (*end == '%') {
        out->rate /= 100;
        end++;
    }
    uint64_t times = 0;
    if (*end == ':' && !str_number(str_of(end + 1), &times))
        return false;
    out->times = (uint32_t)times;
    return (*end == '\0' || *end == ':') && out->rate >= 0 && out->rate <= 1 && times <= UINT32_MAX;
}

int faults_set(struct faults *f, struct str kind, struct str rate, struct error *e)
{
    struct fault_rule rule;

    if (!rate_parse(rate, &rule))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "'%.*s' is no rate: 0.01, 1%%, or with the first attempts 1%%:2",
                         STR_ARG(rate));
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (str_eq_c(kind, kinds[i].name)) {
            f->rule[i] = rule;
            return 0;
        }
    }
    return error_set(e, ERROR_INVALID_ARGUMENT, "there is no fault '%.*s'", STR_ARG(kind));
}

enum fault_kind faults_meet(struct faults *f, uint64_t hash, uint32_t *attempt)
{
    *attempt = attempts_count(f->attempts, hash);
    for (unsigned i = 0; i < FAULT_COUNT; i++) {
        const struct fault_rule *rule = &f->rule[i];
        if (rule->rate <= 0 || (rule->times && *attempt > rule->times))
            continue;
        uint64_t salt = rule->times ? i : (uint64_t)*attempt << 8 | i;
        if ((double)(chance_of(hash ^ f->seed, salt) >> 11) * 0x1p-53 < rule->rate)
            return (enum fault_kind)i;
    }
    return FAULT_NONE;
}

uint64_t faults_bodies(const struct faults *f)
{
    return f->attempts->used;
}

const char *fault_name(enum fault_kind kind)
{
    return kinds[kind].name;
}

bool fault_works(enum fault_kind kind)
{
    return kind == FAULT_NONE || kinds[kind].works;
}

uint64_t chance_of(uint64_t hash, uint64_t salt)
{
    uint64_t z = hash + (salt + 1) * 0x9E3779B97F4A7C15U;

    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9U;
    z = (z ^ z >> 27) * 0x94D049BB133111EBU;
    return z ^ z >> 31;
}
