/* constraint.h -- the grammar that a request's answer must follow.
 *
 * Why: every line of a batch has the same schema, which is compiled and tried once. Validation reports
 *      a schema that cannot be a grammar, with its path in the request.
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

/* Maximum number of compiled grammars that are kept. */
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
