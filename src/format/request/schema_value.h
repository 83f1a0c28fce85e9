/* schema_value.h -- the plain values in a schema: numbers, counts, strings, any JSON.
 *
 * Why: Google's JSON writes int64 (and may write a double) as a string; JSON Schema wants numbers.
 *
 * Shape:   each appends v to out, or fails.
 * Errors:  INVALID_ARGUMENT saying what v must be.
 * Threads: none.
 * Source:  ProtoJSON format (https://protobuf.dev/programming-guides/json/).
 */
#ifndef TRANCHE_FORMAT_REQUEST_SCHEMA_VALUE_H
#define TRANCHE_FORMAT_REQUEST_SCHEMA_VALUE_H

#include "base/error.h"
#include "base/json.h"
#include "base/str.h"

int schema_write_number(struct buf *out, yyjson_val *v, struct error *e) FALLIBLE;
int schema_write_count(struct buf *out, yyjson_val *v, struct error *e) FALLIBLE; /* 0, 1, 2, ... */
int schema_write_text(struct buf *out, yyjson_val *v, struct error *e) FALLIBLE;
int schema_write_any(struct buf *out, yyjson_val *v, struct error *e) FALLIBLE; /* as it is */

/* A comma unless the object or list at the end of out has just begun. */
void schema_comma(struct buf *out);
void schema_key(struct buf *out, struct str key); /* with its comma and colon */

#endif
