/* intake.h -- an upload's bytes on their way from a connection to the store.
 *
 * Why: every way to upload ends the same: bytes go to the disk as they come, what was sent twice is
 * skipped, and when the client goes away, what a resumable upload has stays and anything else leaves.
 *
 * Shape:   intake_blob or intake_upload (on a connection's thread), intake_write as they come, then on
 *          a worker intake_finish (a whole blob) or intake_pause (more will come). intake_release ends
 *          what neither ended.
 * Errors:  RESOURCE_EXHAUSTED of a full disk; OUT_OF_RANGE for more bytes than were announced or allowed.
 * Threads: one owner at a time.
 */
#ifndef TRANCHE_API_INTAKE_H
#define TRANCHE_API_INTAKE_H

#include "store/objects/objects.h"

struct intake {
    struct store *store;
    struct blob_writer *writer; /* NULL when ended */
    struct upload upload;       /* id "": bytes of one call */
    uint64_t skip;              /* of the bytes to come, so many are there already */
    uint64_t room;              /* so many may come, the skipped ones too */
};
int intake_blob(struct intake *in, struct store *s, uint64_t bytes_max, struct error *e) FALLIBLE;
/* first: the offset of what comes, in the upload; at most what it has already. end: of all that may
 * come. UNAVAILABLE when another call writes it. */
int intake_upload(struct intake *in, struct store *s, const struct upload *up, uint64_t first,
                  uint64_t end, struct error *e) FALLIBLE;
int intake_write(struct intake *in, const void *p, size_t len, struct error *e) FALLIBLE;
int intake_finish(struct intake *in, struct blob *out, struct error *e) FALLIBLE;
/* *bytes: what is durable. For an upload only. */
int intake_pause(struct intake *in, uint64_t *bytes, struct error *e) FALLIBLE;
void intake_release(struct intake *in);

#endif
