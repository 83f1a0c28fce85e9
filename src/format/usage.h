/* usage.h -- what a request used, and the counters of a job.
 *
 * Why: every line and every job accounts its tokens and money, and the counters must balance (I6):
 * succeeded + failed + not_run + pending = total, wherever they are shown.
 *
 * Units:   tokens; money in nano-dollars (1e-9 USD), so that sums are exact integers.
 * Threads: none; values.
 */
#ifndef TRANCHE_FORMAT_USAGE_H
#define TRANCHE_FORMAT_USAGE_H

#include <stdbool.h>
#include <stdint.h>

struct usage {
    uint32_t prompt_tokens;
    uint32_t cached_tokens;    /* of prompt_tokens: reused from the cache of an earlier request */
    uint32_t candidate_tokens; /* generated, over all candidates */
    uint32_t thought_tokens;
};

/* The end of a line. The numbers are in the spool's file: never reuse one. */
enum outcome {
    OUTCOME_PENDING = 0,
    OUTCOME_SUCCEEDED = 1,
    OUTCOME_FAILED = 2,
    OUTCOME_NOT_RUN = 3
};

/* An answer may have to have a form (JSON, a value of an enum). It is complete when it ended by itself
 * (STOP) and matches its schema where that is followed or checked. The numbers are in the spool's file. */
enum answer_shape { SHAPE_FREE = 0, SHAPE_INCOMPLETE = 1, SHAPE_COMPLETE = 2 };

struct counters {
    uint64_t total; /* lines of the job */
    uint64_t succeeded, failed, not_run;
    uint64_t duplicates; /* of succeeded: copied from an identical request's answer */
    uint64_t reused;     /* of succeeded: answers that an earlier run or job had kept */
    uint64_t prompt_tokens, cached_tokens, candidate_tokens, thought_tokens;
    uint64_t reused_tokens;        /* prompt and generated tokens that they did not compute */
    uint64_t duplicate_tokens;     /* prompt and generated tokens that duplicates did not compute */
    uint64_t structured, complete; /* of succeeded: had to have a form, and have it */
    uint64_t forced_tokens;        /* of candidate_tokens: the form left no other */
    /* Answers of an upstream that had not the form, and were asked for again or failed their line: its bill,
     * which no row is charged. */
    uint64_t rejected, rejected_tokens, rejected_cost_nano;
    uint64_t cost_nano;        /* at the batch price */
    uint64_t cost_online_nano; /* what the same would have cost online */
};

uint64_t counters_done(const struct counters *c);
uint64_t counters_pending(const struct counters *c);
bool counters_balanced(const struct counters *c); /* I6 */

#endif
