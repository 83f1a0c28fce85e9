/* base64.h -- base64: whether text is valid, writing it, reading it, and the one spelling that all read.
 *
 * Why: inline media stand in requests as base64, megabytes of it; an error must be found before any
 * work, and the text is passed on as it was written.
 *
 * Shape:   read: both alphabets of RFC 4648 ("+/" and "-_"), padded or not, without white space;
 *          written: "+/", padded.
 * Threads: none.
 * Source:  RFC 4648; the proto3 JSON mapping of bytes.
 */
#ifndef TRANCHE_BASE_BASE64_H
#define TRANCHE_BASE_BASE64_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

/* False with the first offending byte's position in *at; the length when the end is wrong. */
bool base64_valid(struct str s, size_t *at);
void base64_add(const void *p, size_t len, struct buf *out);
/* Valid base64 in the alphabet with "+/" and padded, which is all that most readers take. */
void base64_add_standard(struct buf *out, struct str s);
/* Decodes one spelling only: what base64_add writes, or with `url` base64url without padding (RFC 7515).
 * out has room for s.len / 4 * 3 + 2 bytes. False for any other text, also when the last digit has bits
 * that stand for nothing. */
bool base64_read(struct str s, bool url, void *out, size_t *len);

#endif
