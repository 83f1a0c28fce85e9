/* schemas.h -- schemas that answers are compared with, each read once.
 *
 * Why: the lines of a batch say the same schemas, and to read one costs more than to check an answer with it.
 *
 * Shape:   kept by their content, SCHEMAS_KEPT_MAX of them; the least recently used goes.
 * Threads: any number at once; a lock guards the list.
 * Owns:    a schema that was taken is to be released.
 */
#ifndef TRANCHE_PREDICT_SCHEMAS_H
#define TRANCHE_PREDICT_SCHEMAS_H

#include "format/request/request.h"
#include "format/schema/schema.h"

#define SCHEMAS_KEPT_MAX 16
#define FAULT_TEXT_BYTES ((size_t)2 * SCHEMA_TEXT_BYTES) /* of a fault and its place */

struct schemas;
struct schemas *schemas_new(void);
void schemas_free(struct schemas *c); /* accepts NULL */

/* A schema for checks; schema is NULL when it was refused, and why says what for. */
struct known_schema {
    struct schema *schema;
    struct schema_fault fault;
};
const struct known_schema *schemas_take(struct schemas *c, yyjson_val *written,
                                        enum schema_dialect dialect);
void schemas_release(struct schemas *c, const struct known_schema *k);

/* Checks a call of an answer: 0 when the request declares and allows the function and the arguments match its schema.
 * INTERNAL, which can be tried again, when not. */
int schemas_check_call(struct schemas *c, const struct request *r, struct str name,
                       yyjson_val *args, struct error *e) FALLIBLE;
/* "$.items[2].price is too small (...)": a fault's sentence with its place in it, in text. */
void schema_fault_text(const struct schema_fault *why, char text[FAULT_TEXT_BYTES]);

#endif
