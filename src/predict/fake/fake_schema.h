/* fake_schema.h -- a small JSON value that fits a schema, for the answers of the fake.
 *
 * Why: code that parses structured answers is tested without a model, so the fake's answer must parse and
 * have the members that the schema asks for.
 *
 * Shape:   the same schema gives the same value: the first value of an enum, the first of alternatives, every
 *          property, one element of an array (or minItems), the smallest number from 0 on that is allowed,
 *          a text of an allowed length, a value of the format. `pattern`, `not`, `if` and the other
 *          conditions are not looked at.
 * Errors:  none; a schema that is nested over FAKE_DEPTH_MAX ends in null.
 * Threads: none.
 */
#ifndef TRANCHE_PREDICT_FAKE_FAKE_SCHEMA_H
#define TRANCHE_PREDICT_FAKE_FAKE_SCHEMA_H

#include "base/json.h"
#include "base/json_write.h"

#define FAKE_DEPTH_MAX 16
#define FAKE_ITEMS_MAX 100

/* schema: a JSON Schema or Google's. */
void fake_schema_value(yyjson_val *schema, struct buf *out);

#endif
