/* answer_check.h -- whether the answer of an upstream server has the form that was asked for.
 *
 * Why: servers differ in what they follow of a schema, and some follow none of it. An answer that does
 * not match is not worth having: it is refused with the place where it fails, and can be asked for again.
 *
 * In:      a request that asks for JSON, for a value of an enum, or declares functions; a GenerateContentResponse.
 * Out:     a verdict. An answer is complete when each candidate ended by itself (STOP) and has the form;
 *          one that was cut, blocked or ended otherwise is taken as it is and counts as incomplete. The
 *          texts of a candidate count as one; an answer that calls a function has no text to check, but a function
 *          that must be declared and allowed, and arguments that must match its parameters.
 * Cost:    schemas are read once and kept (schemas.h); a check's steps are limited (schema.h). A
 *          check never runs on the loop's thread. Measured: 6 us for an answer of 700 bytes, 0.8 ms for 35 KB, and about 50 ms where the limit of steps ends it (3 MB).
 * Errors:  answer_check: INTERNAL, which can be tried again.
 * Threads: any number at once.
 * Source:  docs/reference/dialects.md, "Answers"; docs/reference/schema.md.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_ANSWER_CHECK_H
#define TRANCHE_PREDICT_UPSTREAM_ANSWER_CHECK_H

#include "base/error.h"
#include "format/request/request.h"
#include "predict/schemas.h"

/* False when the request's schema says what no check follows, with the keyword's path. */
bool answer_checks_can(struct schemas *c, const struct request *r, struct violation *why);

bool answer_check_wanted(const struct request *r);
/* 0 and whether the answer is complete, or -1 and where it fails. */
int answer_check(struct schemas *c, const struct request *r, struct str response, bool *complete,
                 struct error *e) FALLIBLE;

#endif
