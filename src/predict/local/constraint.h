/* constraint.h -- the grammar that a request's answer must follow.
 *
 * Why: a batch says the same schema in every line; it is compiled and tried once. What cannot be a
 * grammar is known at validation, with the place in the request.
 *
 * Shape:   text/plain: none. application/json: JSON of the schema, or any JSON value. text/x.enum: one
 *          of the enum's values, as it is.
 * Errors:  INVALID_ARGUMENT with the reason.
 * Threads: any number may call; a lock guards the compiled ones.
 */
#ifndef TRANCHE_PREDICT_LOCAL_CONSTRAINT_H
#define TRANCHE_PREDICT_LOCAL_CONSTRAINT_H

#include "format/request/request.h"
#include "predict/local/runtime.h"

/* Compiled grammars that are remembered. */
#define CONSTRAINTS_MAX 64

struct constraints;
struct constraints *constraints_new(struct runtime *r);
void constraints_free(struct constraints *c); /* accepts NULL */

/* The grammar's text (GBNF) in out, which stays empty when any text will do. */
int constraint_of(struct constraints *c, const struct generation *g, struct buf *out,
                  struct error *e) FALLIBLE;
/* The member that a constraint comes from: for the path of a violation. */
const char *constraint_path(const struct generation *g);

#endif
