/* keys.h -- keys of the service over REST, and the JSON of a key that the command writes too.
 *
 * Shape:   GET /tranche/v1/keys, POST, DELETE /tranche/v1/keys/ID: of the caller's project; in the open mode of all.
 * Errors:  a key of another project is NOT_FOUND. Service accounts are listed and revoked here; the command makes them.
 * Threads: all.
 * Source:  docs/reference/api.md, "Keys".
 */
#ifndef TRANCHE_API_KEYS_H
#define TRANCHE_API_KEYS_H

#include "base/json_write.h"
#include "store/jobs/keys.h"

#define KEY_NAME_BYTES_MAX 128
#define KEY_DAYS_MAX 36500

/* "valid", "expired" or "revoked". */
const char *key_state(const struct key *key, int64_t now_us);
/* The members of a key in the object that w is in: all but its text, which nobody has. */
void key_add_members(struct json_writer *w, const struct key *key, int64_t now_us);

#endif
