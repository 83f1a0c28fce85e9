/* gs.h -- gs:// URIs: a bucket and an object's name.
 *
 * Shape:   "gs://bucket/name"; the name may hold slashes and wildcards and may be empty. Both parts
 *          point into the URI.
 * Errors:  none; false when the text is no such URI. The caller says what it was looking for.
 * Threads: none.
 * Source:  https://cloud.google.com/storage/docs/objects
 */
#ifndef TRANCHE_FORMAT_GS_H
#define TRANCHE_FORMAT_GS_H

#include <stdbool.h>

#include "base/str.h"

#define GS_SCHEME "gs://"

bool gs_is(struct str uri); /* it begins with gs:// */
/* "gs://bucket" and "gs://bucket/" have an empty name. False without the scheme or the bucket. */
bool gs_split(struct str uri, struct str *bucket, struct str *name);
void gs_add(struct buf *out, struct str bucket, struct str name); /* writes the URI */

#endif
