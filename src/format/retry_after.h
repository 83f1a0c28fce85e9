/* retry_after.h -- the pause that a server asks for.
 *
 * Why: 429 and 503 often say when to come back; a client that comes earlier is refused again, and at
 * worst shut out.
 *
 * Shape:   Retry-After: seconds ("120", and "1.5", which some send) or a date, counted from now.
 *          google.rpc.RetryInfo: a duration, "3.5s".
 * Units:   milliseconds, rounded up; what does not fit is the greatest.
 * Errors:  false for what is no such thing; a date that has passed is 0.
 * Threads: none.
 * Source:  RFC 9110, 5.6.7 (its three forms of a date) and 10.2.3; google/rpc/error_details.proto.
 */
#ifndef TRANCHE_FORMAT_RETRY_AFTER_H
#define TRANCHE_FORMAT_RETRY_AFTER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

bool retry_after_read(struct str header, int64_t now_us, uint32_t *ms);
bool retry_delay_read(struct str duration, uint32_t *ms);

#endif
