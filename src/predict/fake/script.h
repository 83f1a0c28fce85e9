/* script.h -- scripted outcomes by a request's label, for users who test their own client code.
 *
 * Why: with `tranche serve --test-clock` a request says what happens to it, so that users can test failure,
 * retry and expiry in their CI without a special model.
 *
 * Shape:   a predictor around another. The label "tranche-test" of a request (or the job's default)
 *          is a list of steps joined by "_and_" (labels allow only lower case, digits, _ and -):
 *          CODE[-N] fails the first N attempts (all without N) with that code in lower case
 *          ("unavailable-2", "invalid_argument"), delay-MS waits first, hang never answers,
 *          block answers with a blocked prompt, ok does nothing. Failures come before a hang or a
 *          block: "unavailable-1_and_resource_exhausted-2_and_block" fails three times, then blocks.
 *          A delay is before each attempt. Attempts are counted as script_steps.h says.
 *          drain answers what is held CANCELLED.
 * Errors:  INVALID_ARGUMENT from script_check, and as the request's answer when its label is wrong.
 * Threads: as every predictor.
 */
#ifndef TRANCHE_PREDICT_FAKE_SCRIPT_H
#define TRANCHE_PREDICT_FAKE_SCRIPT_H

#include "predict/predictor.h"

#define SCRIPT_LABEL "tranche-test"
#define SCRIPT_STEPS_MAX 8

/* Takes inner, also when it fails. deflt: of requests without the label; copied, may be NULL. */
struct predictor *predictor_scripted(struct predictor *inner, const char *deflt,
                                     struct clock *clock, struct error *e);
int script_check(struct str text, struct error *e) FALLIBLE;

#endif
