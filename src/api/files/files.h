/* files.h -- the Files API: limits, the resource of a file, the handlers of uploads.
 *
 * Why: a file looks the same when it was just uploaded and when it is got or listed later.
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
#define FILES_LIFE_HOURS 48 /* of an uploaded or registered file */

/* Writes the resource. */
void files_write(struct call *c, const struct file *f, struct json_writer *w);
int64_t files_expiry(struct call *c); /* of a file that is made now */

bool files_upload_start_begin(struct call *c);
void files_upload_start(struct call *c);
bool files_upload_begin(struct call *c);
void files_upload_more(struct call *c);

#endif
