/* files.h -- what the two files of the Files API share: limits, the resource, the upload's handlers.
 *
 * Threads: none.
 * Source:  https://ai.google.dev/api/files
 */
#ifndef TRANCHE_API_FILES_FILES_H
#define TRANCHE_API_FILES_FILES_H

#include "api/call.h"
#include "store/objects/objects.h"

#define FILES_BYTES_MAX ((uint64_t)2 << 30) /* of one file: 2 GiB, as Google's */
#define FILES_META_BYTES_MAX ((size_t)64 * 1024)
#define FILES_DISPLAY_BYTES_MAX 512
#define FILES_NAME_BYTES_MAX 40 /* of an id that a client chose */
#define FILES_REPLY_BYTES_MAX ((size_t)1024 * 1024)
#define FILES_LIFE_HOURS 48 /* of an uploaded or registered one */

void files_write(struct call *c, const struct file *f, struct buf *out);
int64_t files_expiry(struct call *c); /* of a file that comes to be now */

void files_upload_start(struct call *c);
bool files_upload_begin(struct call *c);
void files_upload_more(struct call *c);

#endif
