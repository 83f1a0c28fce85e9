/* script.h -- scripted outcomes by a request's label, for users who test their own client code.
 *
 * Why: with `tranche serve --test-clock` a request says what happens to it, so that users can test failure,
 * retry and expiry in their CI without a special model.
 *
 * Shape:   a predictor around another. The label "tranche-test" of a request (or the job's default)
 *          is a list of steps joined by "_and_" (labels allow only lower case, digits, _ and -):
 *          CODE[-N] fails the first N attempts (all without N) with that code in lower case
 *          ("unavailable-2", "invalid_argument"), delay-MS waits first, hang never answers,
 *          block answers with a blocked prompt, text-TEXT answers TEXT, which is all that follows, ok does
 *          nothing. Failures come before a hang, a block or a text: "unavailable-1_and_resource_exhausted-2_and_block" fails three times, then blocks.
 *          A delay is before each attempt. Attempts are counted as script_steps.h says.
 *          drain answers what is held CANCELLED.
 *          Other steps are of a whole job or file (struct script_whole): create_CODE[-N] fails the call that
 *          creates it, job_failed, job_pending, job_queued, file_failed and file_processing are where it ends or
 *          stays, job_REASON[-N] lets the first N jobs of BigQuery's API end in that error (job_backendError-2).
 *          They say nothing of a request.
 * Errors:  INVALID_ARGUMENT from script_check, and as the request's answer when its label is wrong.
 * Threads: as every predictor.
 */
#ifndef TRANCHE_PREDICT_FAKE_SCRIPT_H
#define TRANCHE_PREDICT_FAKE_SCRIPT_H

#include "format/bigquery/reason.h"
#include "predict/predictor.h"

#define SCRIPT_LABEL "tranche-test"
#define SCRIPT_STEPS_MAX 8

/* Takes inner, also when it fails. deflt: of requests without the label; copied, may be NULL. */
struct predictor *predictor_scripted(struct predictor *inner, const char *deflt,
                                     struct clock *clock, struct error *e);
int script_check(struct str text, struct error *e) FALLIBLE;

enum script_fate { FATE_NONE, FATE_FAILED, FATE_PENDING, FATE_QUEUED };
struct script_whole {
    enum error_code create; /* of the call that creates it; OK: it does not fail */
    uint32_t create_times;  /* attempts that fail; 0: all */
    enum script_fate job, file;
    const struct bq_reason *reason; /* of a job of BigQuery; NULL: it runs */
    uint32_t reason_times;          /* jobs that end so; 0: all */
};
int script_whole(struct str text, struct script_whole *out, struct error *e) FALLIBLE;
/* The error of what a script makes fail. Returns -1. */
int script_fail(enum error_code code, struct error *e);

/* A rule of the configuration: the script of the jobs, files or objects whose name has this text, or of the calls of
 * BigQuery's API whose table or job has it. */
#define SCRIPT_RULES_MAX 256
struct script_rule {
    const char *job, *file, *object, *table; /* one of them */
    const char *script;
};

#endif
