/* pace_quota.h -- the account's limit as the server reports it with each reply, kept before it refuses.
 *
 * Why: OpenAI and servers like it say in headers how many requests and tokens are left, and when the
 * limit is whole again. A client that reads them need not be refused to find the limit.
 *
 * Shape:   a reply reports limit, remaining and reset (the time until the limit is whole again). The
 *          requests that were sent after its own are subtracted, as the server may not have counted them.
 *          Until the reset the rest flows back evenly; after it, nothing is known and nothing held back.
 *          A report counts when its request was sent later than that of the last report.
 * Units:   requests or tokens; monotonic nanoseconds.
 * Threads: none; guarded by its owner.
 * Source:  https://platform.openai.com/docs/guides/rate-limits, "Rate limits in headers".
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_PACE_QUOTA_H
#define TRANCHE_PREDICT_UPSTREAM_PACE_QUOTA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

struct quota_report {
    bool known;
    double limit; /* 0: not reported */
    double remaining;
    uint64_t reset_ns; /* from the reply on */
};
/* The values of x-ratelimit-limit-*, -remaining-* and -reset-*; one that is missing is empty. The reset
 * is "6m0s", "1.5s", "20ms", or a number of seconds. */
void quota_read(struct str limit, struct str remaining, struct str reset, struct quota_report *out);

struct quota {
    bool known;
    double limit, level;
    double per_ns;     /* what flows back */
    uint64_t at_ns;    /* of level */
    uint64_t reset_ns; /* the limit is whole again */
    uint64_t sent_ns;  /* of the request whose reply reported last */
    double taken;      /* by all requests so far */
};
/* May n be taken now? If not, *ready_ns is when. */
bool quota_ready(struct quota *q, double n, uint64_t now_ns, uint64_t *ready_ns);
void quota_take(struct quota *q, double n);
/* taken: q->taken after the request took its own. */
void quota_reported(struct quota *q, const struct quota_report *r, uint64_t sent_ns, double taken,
                    uint64_t now_ns);

#endif
