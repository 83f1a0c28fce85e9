#include "predict/local/follower.h"

#include <string.h>

#include "base/mem.h"
#include "base/thread.h"
#include "format/schema/schema.h"
#include "predict/local/constraint_inner.h"
#include "predict/local/names.h"

/* Sets of tokens that one search for a free name may take. */
#define NAME_SEARCH_MASKS 16
/* Bytes of a name that is held against the grammar, with its quotes. */
#define NAME_REST_BYTES (SCHEMA_NAME_BYTES_MAX + 8)
/* Minimum number of tokens between two renewals of a matcher, and the part of the answer, so that the
 * tokens which are taken again are few times those of the answer. */
#define RENEW_TOKENS_MIN 64
#define RENEW_PART 8

struct follower {
    struct constraint *constraint;
    LlgMatcher *matcher;
    struct tokens taken;
    uint32_t renewed_at; /* of taken */
    struct names names;
    struct name_position tried; /* scratch */
    uint32_t *mask;
    bool has_mask;
};

static struct str piece_of(const struct follower *f, int32_t token)
{
    const struct pieces *p = &f->constraint->all->pieces;

    return (struct str){ (const char *)p->bytes + p->at[token], p->len[token] };
}

/* ---- Names ---- */

static bool is_set(const uint32_t *mask, int32_t token)
{
    return mask[token / 32] >> (token % 32) & 1;
}

/* A search for a name that is still free: the steps that it has left, and where it has been. */
struct name_search {
    struct follower *f;
    uint32_t masks; /* left */
    uint64_t been[NAME_SEARCH_MASKS];
    uint32_t been_count;
};

static bool search_enters(struct name_search *s, const struct name_position *at)
{
    uint64_t key = name_position_key(at);

    for (uint32_t i = 0; i < s->been_count; i++)
        if (s->been[i] == key)
            return false;
    if (s->been_count < NAME_SEARCH_MASKS)
        s->been[s->been_count++] = key;
    return true;
}

static bool name_is_free(struct name_search *s, const LlgMatcher *before,
                         const struct name_position *from, int32_t token);

/* True when one of the allowed tokens leaves the beginnings of names that are there, or one of those that
 * do not can be followed to where it is left. */
static bool any_name_is_free(struct name_search *s, const LlgMatcher *here, const uint32_t *mask,
                             const struct name_position *at)
{
    struct follower *f = s->f;
    struct name_position *next = &f->tried;
    uint32_t vocab = f->constraint->all->vocab;

    for (int pass = 0; pass < 2; pass++)
        for (int32_t i = 0; i < (int32_t)vocab; i++) {
            if (!is_set(mask, i))
                continue;
            name_position_copy(next, at);
            enum name_verdict v = names_try(&f->names, next, piece_of(f, i));
            if (v == NAME_FREE)
                return true;
            if (pass == 1 && v == NAME_BEGUN_BEFORE && search_enters(s, next) &&
                name_is_free(s, here, at, i))
                return true;
        }
    return false;
}

/* True when a name that is free can follow a token, which leads from a position into a beginning. */
static bool name_is_free(struct name_search *s, const LlgMatcher *before,
                         const struct name_position *from, int32_t token)
{
    struct follower *f = s->f;
    LlgMatcher *here = llg_clone_matcher(before);
    size_t bytes = llg_matcher_get_mask_byte_size(here);
    struct name_position *at = mem_alloc(sizeof *at);
    uint32_t *mask = mem_alloc(bytes);
    bool found = false;

    name_position_copy(at, from);
    (void)names_try(&f->names, at, piece_of(f, token));
    if (s->masks > 0 && llg_matcher_consume_token(here, (uint32_t)token) == 0 &&
        llg_matcher_compute_mask_into(here, mask, bytes) == 0) {
        s->masks--;
        found = any_name_is_free(s, here, mask, at);
    }
    llg_free_matcher(here);
    mem_free(mask);
    mem_free(at);
    return found;
}

/* True when the matcher takes these bytes next. */
static bool are_next(struct follower *f, LlgMatcher *here, struct str bytes)
{
    struct runtime *r = f->constraint->all->runtime;
    struct tokens t = { 0 };
    bool exact = r->ops->tokenize(r, bytes, &t);
    int32_t taken =
        exact ? llg_matcher_validate_tokens(here, (const uint32_t *)t.item, t.count) : 0;
    bool all = t.count && taken == (int32_t)t.count;

    tokens_release(&t);
    return all;
}

/* True when one of the schema's own names is free and can follow a token, which leads to *at. Objects that must
 * have many members have as many of these names, so that one of them is always left. */
static bool own_name_is_free(struct follower *f, int32_t token, const struct name_position *at)
{
    const struct constraint *k = f->constraint;
    struct buf quoted = BUF_INIT(NAME_REST_BYTES), spaced = BUF_INIT(NAME_REST_BYTES);
    LlgMatcher *here = NULL;
    bool found = false;

    for (uint32_t i = 0; i < k->name_count && !found; i++) {
        struct str rest = names_rest(&f->names, at, k->name[i], &quoted);
        if (!rest.len)
            continue;
        if (!here) {
            here = llg_clone_matcher(f->matcher);
            if (llg_matcher_consume_token(here, (uint32_t)token) < 0)
                break;
        }
        found = are_next(f, here, rest);
        if (found || rest.len != quoted.len)
            continue;
        buf_clear(&spaced); /* the token may end between the comma and its space */
        buf_add_char(&spaced, ' ');
        buf_add_str(&spaced, rest);
        found = are_next(f, here, buf_str(&spaced));
    }
    llg_free_matcher(here);
    buf_release(&quoted);
    buf_release(&spaced);
    return found;
}

/* True when a token completes a name that its object has already, can lead only to such names as far as a
 * search finds, or opens too much. */
static bool repeats_name(struct follower *f, int32_t token)
{
    struct name_position at;

    if (f->constraint->kind == CONSTRAINT_ENUM)
        return false;
    name_position_copy(&f->tried, &f->names.at);
    enum name_verdict v = names_try(&f->names, &f->tried, piece_of(f, token));
    if (v != NAME_BEGUN_BEFORE)
        return v != NAME_FREE;
    name_position_copy(&at, &f->tried);
    if (own_name_is_free(f, token, &at))
        return false;
    struct name_search search = { .f = f, .masks = NAME_SEARCH_MASKS };
    return !name_is_free(&search, f->matcher, &f->names.at, token);
}

/* ---- Following ---- */

static LlgMatcher *matcher_new(struct constraint *k)
{
    lock(&k->cloning);
    LlgMatcher *m = llg_clone_matcher(k->matcher);
    unlock(&k->cloning);
    return m;
}

struct follower *follower_new(struct constraint *k)
{
    struct follower *f = mem_alloc(sizeof *f);

    f->constraint = k;
    f->matcher = matcher_new(k);
    names_init(&f->names, k->limits_names);
    f->mask = mem_array((k->all->vocab + 31) / 32 + 1, sizeof *f->mask);
    return f;
}

void follower_free(struct follower *f)
{
    if (!f)
        return;
    llg_free_matcher(f->matcher);
    tokens_release(&f->taken);
    names_release(&f->names);
    mem_free(f->mask);
    mem_free(f);
}

static int failed(struct follower *f, struct error *e)
{
    const char *why = llg_matcher_get_error(f->matcher);

    return error_set(e, ERROR_INVALID_ARGUMENT, "The schema cannot be followed any more: %.*s",
                     why ? (int)strcspn(why, "\n") : 7, why ? why : "unknown");
}

/* A matcher keeps the states of all places of the answer that it looked at, and fails when they are too many.
 * Another one that only takes the answer's tokens has few. False: the failure stays, because the last
 * renewal was a short time ago or the tokens themselves need too many. */
static bool renew(struct follower *f)
{
    uint32_t since = f->taken.count - f->renewed_at;

    if (!llg_matcher_is_error(f->matcher) || since < RENEW_TOKENS_MIN ||
        since < f->taken.count / RENEW_PART)
        return false;
    llg_free_matcher(f->matcher);
    f->matcher = matcher_new(f->constraint);
    f->renewed_at = f->taken.count;
    return llg_matcher_consume_tokens(f->matcher, (const uint32_t *)f->taken.item,
                                      f->taken.count) == 0;
}

/* True when the matcher takes the token next. */
static bool is_next(struct follower *f, int32_t token)
{
    uint32_t one = (uint32_t)token;

    do {
        if (llg_matcher_validate_tokens(f->matcher, &one, 1) == 1)
            return true;
    } while (renew(f));
    return false;
}

bool follower_allows(struct follower *f, int32_t token)
{
    if (f->has_mask ? !is_set(f->mask, token) : !is_next(f, token))
        return false;
    if (!repeats_name(f, token))
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
    while (llg_matcher_compute_mask_into(f->matcher, f->mask, bytes) < 0) {
        if (renew(f))
            continue;
        (void)failed(f, e);
        return NULL;
    }
    f->has_mask = true;
    return f->mask;
}

int follower_accept(struct follower *f, int32_t token, struct error *e)
{
    f->has_mask = false;
    if (f->constraint->kind != CONSTRAINT_ENUM) {
        name_position_copy(&f->tried, &f->names.at);
        enum name_verdict v = names_try(&f->names, &f->tried, piece_of(f, token));
        if (v == NAME_TOO_DEEP)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "The schema nests the answer more than %d deep.", NESTING_MAX);
        if (v == NAME_REPEATED)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "The schema leaves no name but one that the object has already");
        names_keep(&f->names, piece_of(f, token));
    }
    while (llg_matcher_consume_token(f->matcher, (uint32_t)token) < 0)
        if (!renew(f))
            return failed(f, e);
    tokens_add(&f->taken, token);
    return 0;
}

/* The token of one byte, or -1. */
static int32_t byte_token(const struct follower *f, char byte)
{
    for (uint32_t i = 0; i < f->constraint->all->vocab; i++) {
        struct str piece = piece_of(f, (int32_t)i);
        if (piece.len == 1 && piece.p[0] == byte)
            return (int32_t)i;
    }
    return -1;
}

int follower_take(struct follower *f, struct str text, struct error *e)
{
    for (size_t i = 0; i < text.len; i++) {
        int32_t token = byte_token(f, text.p[i]);
        if (token < 0)
            return error_set(e, ERROR_FAILED_PRECONDITION,
                             "The model's vocabulary has no token of one byte.");
        if (follower_accept(f, token, e) < 0)
            return -1;
    }
    return 0;
}

uint32_t follower_forced(struct follower *f, int32_t *out, uint32_t cap)
{
    int32_t count;

    do
        count = llg_matcher_compute_ff_tokens(f->matcher, (uint32_t *)out, cap);
    while (count < 0 && renew(f));
    return count > 0 ? (uint32_t)count : 0;
}

bool follower_complete(struct follower *f)
{
    return llg_matcher_is_stopped(f->matcher);
}
