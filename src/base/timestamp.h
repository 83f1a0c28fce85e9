/* timestamp.h -- reads the times that clients write: RFC 3339.
 *
 * Shape:   "2026-11-22T10:00:00Z", with up to 9 digits of a fraction (cut to microseconds), "Z" or
 *          "+01:00"; "2026-11-22" alone is its midnight, UTC. A leap second is the second before.
 * Units:   microseconds since 1970.
 * Threads: none.
 * Source:  RFC 3339; https://howardhinnant.github.io/date_algorithms.html (days_from_civil).
 */
#ifndef TRANCHE_BASE_TIMESTAMP_H
#define TRANCHE_BASE_TIMESTAMP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

bool timestamp_read(struct str text, int64_t *us);

#endif
