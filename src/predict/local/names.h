/* names.h -- the names of the objects of one answer, which never repeat within an object.
 *
 * Why: a grammar cannot say that a name stands once, and a name must not be begun when it can end only as
 * one that is there: names_try says which tokens would, and which could.
 *
 * Shape:   a position is where an answer stands in its JSON; it goes on by the bytes of a token. Names and
 *          beginnings of names are kept as hashes of 64 bits with the number of their object.
 * Units:   names as written, between their quotes.
 * Threads: one owner.
 */
#ifndef TRANCHE_PREDICT_LOCAL_NAMES_H
#define TRANCHE_PREDICT_LOCAL_NAMES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Objects and arrays that may be open in an answer: no token may open more. */
#define NESTING_MAX 512

struct name_position {
    uint32_t depth;
    bool in_string, escaped, is_name;
    uint64_t name;                /* hash of the name so far; NAME_NOT_BEGUN before its quote */
    uint64_t last;                /* number of the object that was opened last */
    uint64_t object[NESTING_MAX]; /* the number of each open object; 0 for an array */
};

struct name_set {
    uint64_t *slot; /* 0: free */
    size_t cap, count;
};

struct names {
    struct name_position at;
    struct name_set set; /* names, and with `beginnings` all their beginnings too */
    bool beginnings;     /* asked for: names_try gives NAME_BEGUN_BEFORE */
    struct buf name;     /* the bytes of the name that is being written */
};

enum name_verdict {
    NAME_FREE,
    NAME_REPEATED,     /* the bytes complete a name that is there */
    NAME_TOO_DEEP,     /* they open more than NESTING_MAX */
    NAME_BEGUN_BEFORE, /* they end in a name, or before one, that so far is like one that is there */
};

void names_init(struct names *n, bool beginnings);
void names_release(struct names *n);
/* Copies the open objects only: every token comes here. */
void name_position_copy(struct name_position *to, const struct name_position *from);
/* Goes on from *at by these bytes. */
enum name_verdict names_try(const struct names *n, struct name_position *at, struct str bytes);
/* The bytes are part of the answer. */
void names_keep(struct names *n, struct str bytes);
/* Tells the beginnings of names apart within one object. */
uint64_t name_position_key(const struct name_position *at);
/* The bytes, with quotes, by which the name that is begun or expected at *at becomes this one; empty when it cannot
 * or the object has it. They are a part of out, which holds a quoted name after the call. */
struct str names_rest(const struct names *n, const struct name_position *at, struct str name,
                      struct buf *out);

#endif
