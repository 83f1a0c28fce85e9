/* intake.h -- the bytes of an upload on their way from a connection to the store.
 *
 * Why: all kinds of upload share the last steps: bytes go to the disk as they come, bytes that were sent
 * before are skipped, and when the client disconnects, the bytes of a resumable upload stay and all others
 * are removed.
 *
 * Shape:   intake_blob or intake_upload (on a connection's thread), intake_write for each piece, then on a
 *          worker intake_finish (the blob is complete) or intake_pause (more will come). intake_release
 *          ends an intake that neither has ended.
 * Errors:  RESOURCE_EXHAUSTED when the disk is full; OUT_OF_RANGE for more bytes than were announced or
 *          are allowed.
 * Threads: one owner at a time: the connection's thread until the body's end, then a worker.
 */
#ifndef TRANCHE_API_INTAKE_H
#define TRANCHE_API_INTAKE_H

#include "store/objects/objects.h"

struct intake {
    struct store *store;
    struct blob_writer *writer; /* NULL: not begun, or ended */
    struct upload upload;       /* id "": bytes of one call */
    uint64_t skip;              /* bytes that will come and are stored already */
    uint64_t room;              /* bytes that may still come, with those that are skipped */
};
int intake_blob(struct intake *in, struct store *s, uint64_t bytes_max, struct error *e) FALLIBLE;
/* The bytes from offset `first` of the upload will come, at most until `end`; first is at most the number
 * of bytes that it has. UNAVAILABLE when another call writes it. */
int intake_upload(struct intake *in, struct store *s, const struct upload *up, uint64_t first,
                  uint64_t end, struct error *e) FALLIBLE;
int intake_write(struct intake *in, const void *p, size_t len, struct error *e) FALLIBLE;
int intake_finish(struct intake *in, struct blob *out, struct error *e) FALLIBLE;
/* *bytes: how many are durable. For intake_upload only. */
int intake_pause(struct intake *in, uint64_t *bytes, struct error *e) FALLIBLE;
void intake_release(struct intake *in);

#endif
