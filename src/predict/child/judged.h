/* judged.h -- settings that the model's process has accepted.
 *
 * Why: a batch says the same settings in every line. Asking another process once a line would cost more than all else of
 * validation; the model looks at nothing of a request that is text but its settings.
 *
 * Shape:   the key is a digest of all members of a request but its texts, labels and seed.
 * Threads: any number; a lock of its own.
 */
#ifndef TRANCHE_PREDICT_CHILD_JUDGED_H
#define TRANCHE_PREDICT_CHILD_JUDGED_H

#include "format/request/request.h"

struct judged_key {
    uint64_t half[2];
};
/* False: the request's parts are not all text, so that each must be asked for. */
bool judged_key_of(const struct request *r, struct judged_key *out);

struct judged;
struct judged *judged_new(void);
void judged_free(struct judged *j); /* accepts NULL */
bool judged_find(struct judged *j, const struct judged_key *key);
void judged_add(struct judged *j, const struct judged_key *key);

#endif
