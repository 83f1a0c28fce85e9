/* rates.h -- how fast each model was on this machine, for estimates.
 *
 * Why: a user asks how long a batch will take before it runs; only this machine's own past says.
 *
 * Shape:   STATE/rates.json: {"NAME of what answered": {"tokens_per_s", "generated_per_line",
 *          "lines_per_s", "at"}}; the newest run of RATES_LINES_MIN lines or more counts.
 * Errors:  rates_save: of writing. A file that cannot be read is as one that is not there.
 * Threads: none.
 */
#ifndef TRANCHE_APP_RUN_RATES_H
#define TRANCHE_APP_RUN_RATES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"

#define RATES_LINES_MIN 20 /* of a run that counts */
#define RATES_MODELS_MAX 64

struct rates {
    double tokens_per_s;       /* prompt and generated tokens together */
    double generated_per_line; /* on average */
    double lines_per_s;
    int64_t at_us; /* when it was measured */
};
bool rates_load(const char *state_root, const char *version, struct rates *out);
int rates_save(const char *state_root, const char *version, const struct rates *r,
               struct error *e) FALLIBLE;

#endif
