/* json.h -- reading JSON: a document in an arena, and where in the text each value stands.
 *
 * Why: yyjson parses and validates; it keeps neither positions nor the text as written, allows any
 * depth and duplicate keys. An error must name its byte, and an echoed request must come back as it
 * was written, so spans are found again in the text, which is already known to be valid.
 *
 * Units:   offsets in bytes from the start of the text.
 * Errors:  INVALID_ARGUMENT with a message in the user's words, and the offset in *at.
 * Threads: none.
 * Source:  RFC 8259; yyjson 0.10 (https://github.com/ibireme/yyjson).
 */
#ifndef TRANCHE_BASE_JSON_H
#define TRANCHE_BASE_JSON_H

#include <yyjson.h>

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

/* Nesting of arrays and objects; the value at the top is at depth 1. */
#define JSON_DEPTH_MAX 64

/* Parses text (which it does not change or keep); the document lives in the arena. NULL with the
 * offset of the offending byte in *at. Numbers are as yyjson reads them (int64, uint64, double). */
yyjson_val *json_parse(struct arena *a, struct str text, size_t *at, struct error *e) FALLIBLE;
/* Checks what yyjson does not: depth, and keys that stand twice in one object. On an error -1, with
 * the path to it as JSON path text in *path (see json_path_*) and the message in e. */
int json_check(yyjson_val *root, struct buf *path, struct error *e) FALLIBLE;

struct str json_str(yyjson_val *v); /* empty when v is not a string */
/* A whole number from 0, or a string of its digits, which is how proto3 writes 64 bits. */
bool json_count(yyjson_val *v, uint64_t *out);
yyjson_val *json_get(yyjson_val *object, const char *key); /* NULL when absent or no object */
/* A parsed value as text again, on one line and without white space; in the arena. */
struct str json_text(struct arena *a, yyjson_val *v);

/* Has a text or key of this JSON a NUL? It can only stand there as \u0000. The text must be valid JSON. */
bool json_has_nul(struct str text);

/* One past the value that begins at text.p[at] (after white space). The text must be valid JSON. */
size_t json_skip(struct str text, size_t at);
/* White space skipped from at. */
size_t json_space(struct str text, size_t at);

/* The members of the object at the start of text, in the order written:
 *     struct json_member m = { 0 };
 *     while (json_member_next(text, &m)) ... */
struct json_member {
    struct str key;   /* between its quotes, escapes not decoded */
    struct str value; /* as written */
    size_t key_at, value_at;
    size_t next; /* where the iteration goes on; 0 before the first */
    /* A value known to begin at skip_from ends at skip_to, which spares crossing it; 0: none is. */
    size_t skip_from, skip_to;
};
bool json_member_next(struct str text, struct json_member *m);
/* The value as written of the last member with that key, which is between quotes as written; empty when
 * there is none. */
struct str json_member_value(struct str object, struct str key);
/* json_member_next for a member known to be the last of an object that ends where text does: its value ends
 * at the closing brace, which spares crossing it. */
bool json_member_last(struct str text, struct json_member *m);

/* Offset in text of the value at a path such as `request.contents[0].parts[1].text`, of keys as
 * written. An absent last step gives the offset of what would hold it; the empty path gives the
 * first byte of the value. A last step that stands twice means the last. Keys that are not identifiers
 * stand as ["odd key"]. */
size_t json_locate(struct str text, struct str path);
void json_path_key(struct buf *path, struct str key); /* appends .key or ["odd key"] */
void json_path_index(struct buf *path, size_t index); /* appends [index] */

#endif
