/* seal.h -- numbers given to a client that must come back as they were: page tokens, operations.
 *
 * Why: what a token means is in the token, so that nothing is kept for it; what it is signed with keeps
 * a client from making one, or from using one of another project or filter.
 *
 * Shape:   64 hex digits: two numbers, and half of an HMAC-SHA256 of purpose, scope and numbers.
 * Threads: all.
 */
#ifndef TRANCHE_API_SEAL_H
#define TRANCHE_API_SEAL_H

#include "base/str.h"
#include "store/store.h"

#define SEAL_TEXT_BYTES 65

struct seal {
    const char *purpose; /* "page" */
    struct str scope;    /* what it holds for; another scope makes another seal */
};
int seal_write(struct store *s, const struct seal *seal, const int64_t number[2],
               char text[SEAL_TEXT_BYTES], struct error *e) FALLIBLE;
/* False: it is none of ours, or of another purpose or scope. */
bool seal_read(struct store *s, const struct seal *seal, struct str text, int64_t number[2]);

#endif
