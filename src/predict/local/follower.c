#include "predict/local/follower.h"

#include <stddef.h>
#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "predict/local/constraint_inner.h"

/* Objects and arrays that may be open in an answer. */
#define NESTING_MAX 512

/* ---- Names of objects ---- */

/* The position of an answer in its JSON. */
struct position {
    uint32_t depth;
    bool in_string, escaped, is_name;
    uint64_t name;                /* hash of the name so far */
    uint64_t last;                /* number of the object that was opened last */
    uint64_t object[NESTING_MAX]; /* the number of each open object; 0 for an array */
};

/* All names of an answer: a set of hashes of (object, name). */
struct names {
    uint64_t *slot; /* 0: free */
    size_t cap, count;
};

struct follower {
    struct constraint *constraint;
    LlgMatcher *matcher;
    struct position at, tried; /* tried: scratch of repeats_name */
    struct names names;
    uint32_t *mask;
    bool has_mask;
};

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15ULL;
    return h ^ h >> 32;
}

static uint64_t *names_slot(const struct names *n, uint64_t key)
{
    size_t at = (size_t)key & (n->cap - 1);

    while (n->slot[at] && n->slot[at] != key)
        at = (at + 1) & (n->cap - 1);
    return &n->slot[at];
}

static bool names_have(const struct names *n, uint64_t key)
{
    return n->cap && *names_slot(n, key) == key;
}

static void names_add(struct names *n, uint64_t key)
{
    if (2 * (n->count + 1) > n->cap) {
        struct names larger = { .cap = n->cap ? 2 * n->cap : 64 };
        larger.slot = mem_array(larger.cap, sizeof *larger.slot);
        for (size_t i = 0; i < n->cap; i++)
            if (n->slot[i])
                *names_slot(&larger, n->slot[i]) = n->slot[i];
        larger.count = n->count;
        mem_free(n->slot);
        *n = larger;
    }
    *names_slot(n, key) = key;
    n->count++;
}

/* Goes one byte on. When it completes a name, gives its key; else 0. */
static uint64_t position_step(struct position *p, char c)
{
    if (p->in_string) {
        bool ends = c == '"' && !p->escaped;
        p->escaped = c == '\\' && !p->escaped;
        p->in_string = !ends;
        if (p->is_name && !ends)
            p->name = mix(p->name, (unsigned char)c);
        return ends && p->is_name ? mix(p->name, p->object[p->depth - 1]) | 1 : 0;
    }
    if (c == '"') {
        p->in_string = true;
        p->name = 1;
    } else if (c == '{' || c == '[') {
        if (p->depth < NESTING_MAX)
            p->object[p->depth] = c == '{' ? ++p->last : 0;
        p->depth += p->depth < NESTING_MAX;
        p->is_name = c == '{';
    } else if (c == '}' || c == ']') {
        p->depth -= p->depth > 0;
        p->is_name = false;
    } else if (c == ':') {
        p->is_name = false;
    } else if (c == ',') {
        p->is_name = p->depth > 0 && p->object[p->depth - 1] != 0;
    }
    return 0;
}

static struct str piece_of(const struct follower *f, int32_t token)
{
    const struct pieces *p = &f->constraint->all->pieces;

    return (struct str){ (const char *)p->bytes + p->at[token], p->len[token] };
}

/* Copies the open objects only: every token comes here. */
static void position_copy(struct position *to, const struct position *from)
{
    memcpy(to, from, offsetof(struct position, object) + from->depth * sizeof from->object[0]);
}

/* True when a token completes a name that its object has already; keep: adds what it completes. */
static bool repeats_name(struct follower *f, int32_t token, bool keep)
{
    struct str text = piece_of(f, token);
    struct position *at = &f->tried;
    uint64_t first = 0;

    if (f->constraint->form == ANSWER_ENUM)
        return false;
    position_copy(at, &f->at);
    for (size_t i = 0; i < text.len; i++) {
        uint64_t key = position_step(at, text.p[i]);
        if (key && (key == first || names_have(&f->names, key)))
            return true;
        if (key && keep)
            names_add(&f->names, key);
        first = key ? key : first;
    }
    if (keep)
        position_copy(&f->at, at);
    return false;
}

/* ---- Following ---- */

struct follower *follower_new(struct constraint *k)
{
    struct follower *f = mem_alloc(sizeof *f);

    f->constraint = k;
    lock(&k->cloning);
    f->matcher = llg_clone_matcher(k->matcher);
    unlock(&k->cloning);
    f->mask = mem_array((k->all->vocab + 31) / 32 + 1, sizeof *f->mask);
    return f;
}

void follower_free(struct follower *f)
{
    if (!f)
        return;
    llg_free_matcher(f->matcher);
    mem_free(f->names.slot);
    mem_free(f->mask);
    mem_free(f);
}

static int failed(struct follower *f, struct error *e)
{
    const char *why = llg_matcher_get_error(f->matcher);

    return error_set(e, ERROR_INVALID_ARGUMENT, "The schema cannot be followed any more: %.*s",
                     why ? (int)strcspn(why, "\n") : 7, why ? why : "unknown");
}

bool follower_allows(struct follower *f, int32_t token)
{
    uint32_t one = (uint32_t)token;

    if (f->has_mask ? !(f->mask[token / 32] >> (token % 32) & 1)
                    : llg_matcher_validate_tokens(f->matcher, &one, 1) != 1)
        return false;
    if (!repeats_name(f, token, false))
        return true;
    if (f->has_mask)
        f->mask[token / 32] &= ~(UINT32_C(1) << (token % 32));
    return false;
}

const uint32_t *follower_mask(struct follower *f, struct error *e)
{
    size_t bytes = llg_matcher_get_mask_byte_size(f->matcher);

    if (f->has_mask)
        return f->mask;
    if (llg_matcher_compute_mask_into(f->matcher, f->mask, bytes) < 0) {
        (void)failed(f, e);
        return NULL;
    }
    f->has_mask = true;
    return f->mask;
}

int follower_accept(struct follower *f, int32_t token, struct error *e)
{
    f->has_mask = false;
    if (repeats_name(f, token, true))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The schema leaves no name but one that the object has already");
    return llg_matcher_consume_token(f->matcher, (uint32_t)token) < 0 ? failed(f, e) : 0;
}

uint32_t follower_forced(struct follower *f, int32_t *out, uint32_t cap)
{
    int32_t count = llg_matcher_compute_ff_tokens(f->matcher, (uint32_t *)out, cap);

    return count > 0 ? (uint32_t)count : 0;
}

bool follower_complete(struct follower *f)
{
    return llg_matcher_is_stopped(f->matcher);
}
