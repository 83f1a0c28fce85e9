/* constraint.h -- what a request's answer must follow, compiled once for all requests that say the same.
 *
 * Why: a batch says the same schema in every line. It is read, made into a grammar and tried once; what
 * cannot be followed is known at validation, with the place in the request.
 *
 * Shape:   text/plain: none. application/json: JSON of the schema, or any JSON value. text/x.enum: one
 *          of the enum's values, as it is. Functions with mode ANY or VALIDATED: calls in the model's format, from its
 *          marker on. A follower (follower.h) goes along one answer.
 * Cost:    compiling ends within the limits below and those of format/schema, which count steps. It
 *          runs on a thread of its own with CONSTRAINT_STACK_BYTES of stack, beside the engine.
 * Errors:  a violation with the path of the keyword in the request.
 * Threads: any number may call; a lock guards the list, not the compiling. Two that want the same one
 *          wait for one compilation.
 * Owns:    a constraint is counted: the list holds one reference, each task another.
 * Source:  llguidance (https://github.com/guidance-ai/llguidance), llguidance.h.
 */
#ifndef TRANCHE_PREDICT_LOCAL_CONSTRAINT_H
#define TRANCHE_PREDICT_LOCAL_CONSTRAINT_H

#include "format/request/request.h"
#include "format/request/violation.h"
#include "predict/local/runtime.h"

#define CONSTRAINTS_MAX 64 /* compiled ones that are kept for later requests */
#define CONSTRAINT_STACK_BYTES ((size_t)8 * 1024 * 1024)

/* Limits of llguidance, in its own steps: a step of the lexer's makes an expression, in 0.1 to 0.8 us. The last is
 * states of the lexer, 1 to 2 KB each. */
#define CONSTRAINT_LEXER_FUEL 250000
#define CONSTRAINT_STEP_FUEL 50000
#define CONSTRAINT_STEP_ITEMS 50000
#define CONSTRAINT_ROW_ITEMS 8000
#define CONSTRAINT_GRAMMAR_SYMBOLS 65000 /* it numbers them in 16 bits */
#define CONSTRAINT_LEXER_STATES 16000
/* Maximum number of regular expressions that are tried alone to find the bad one: first with the steps divided
 * by CONSTRAINT_BLAME_PART, then with all of them. */
#define CONSTRAINT_BLAMED 100
#define CONSTRAINT_BLAME_PART 50
#define CONSTRAINT_SUSPECTS 2

struct constraint;
struct constraints;
struct constraints *constraints_new(struct runtime *r);
void constraints_free(struct constraints *c); /* accepts NULL */

/* The constraint of a request's answer; *out is NULL when any text will do. */
int constraint_of(struct constraints *c, const struct request *r, struct constraint **out,
                  struct violation *why) FALLIBLE;
/* The same without waiting: false when it must be compiled first. Else *rc is constraint_of's result. */
bool constraint_known(struct constraints *c, const struct request *r, struct constraint **out,
                      struct violation *why, int *rc);
void constraint_release(struct constraint *k); /* accepts NULL */

#endif
