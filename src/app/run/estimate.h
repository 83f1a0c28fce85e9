/* estimate.h -- tokens, money and time of a batch before it runs.
 *
 * Why: cost and time are to be known before they are spent.
 *
 * Shape:   prompt tokens by the model's own tokenizer over all lines, or over a sample of a large
 *          input, scaled by bytes; without a tokenizer a token is ESTIMATE_BYTES_PER_TOKEN bytes.
 *          Output tokens are at most the sum of maxOutputTokens; a line without one counts
 *          ESTIMATE_OUTPUT_DEFAULT, and one that is bound to an enum its longest value. When a run of this
 *          command is finished, as a canary is, its answers' length counts as well. Time comes from this machine's last run of the model.
 * Errors:  of reading.
 * Threads: none.
 */
#ifndef TRANCHE_APP_RUN_ESTIMATE_H
#define TRANCHE_APP_RUN_ESTIMATE_H

#include <stdbool.h>
#include <stdint.h>

#include "app/run/local_job.h"

#define ESTIMATE_SAMPLE_LINES 200
#define ESTIMATE_SAMPLE_SHARDS 20
#define ESTIMATE_OUTPUT_DEFAULT 256
#define ESTIMATE_BYTES_PER_TOKEN 4

struct estimate {
    uint64_t prompt_tokens;
    uint64_t output_tokens_max;
    uint64_t measured_lines; /* answers of the last run of this command; 0: there is none */
    uint64_t output_tokens;  /* with measured_lines: as many as that run's lengths give */
    uint64_t output_unset;   /* lines that count as ESTIMATE_OUTPUT_DEFAULT */
    uint64_t sampled;        /* lines whose tokens were counted; 0: by bytes */
    bool exact;              /* all lines were counted */
    bool priced;
    uint64_t batch_nano, online_nano;                   /* at most */
    uint64_t batch_measured_nano, online_measured_nano; /* with output_tokens */
    bool timed;
    uint64_t time_ns;
    int64_t measured_us; /* when the speed was measured */
};
/* command: of local_job_name. */
int estimate_make(const struct local_job *j, const char *command, struct estimate *out,
                  struct error *e) FALLIBLE;

#endif
