/* resume.h -- a chunk of a resumable upload in Google's protocol: bytes, state, end.
 *
 * Why: a connection may break anywhere. The bytes that came before are durable; the client asks how many they are and
 * goes on there. Bytes that are sent again are skipped. The dialect says what an upload becomes: an object, a job.
 *
 * Shape:   the dialect fills in upload, span, total and its two functions, then resume_begin on the connection's
 *          thread and resume_reply after the body. finish is called when all bytes are there, and ends the intake.
 * Errors:  308 with the bytes that are durable, or `fail`; the upload can go on either way.
 * Threads: the sink runs on the connection's thread while the body comes, the handler after it.
 * Source:  https://cloud.google.com/storage/docs/performing-resumable-uploads
 */
#ifndef TRANCHE_API_RESUME_H
#define TRANCHE_API_RESUME_H

#include "api/intake.h"
#include "api/media.h"

struct resume {
    struct upload upload;
    struct media_span span; /* without Content-Range: all bytes */
    struct intake in;
    bool has_total;
    uint64_t total;     /* bytes of the whole upload */
    uint64_t bytes_max; /* of an upload without a total */
    void (*fail)(struct call *c, const struct error *e);
    void (*finish)(struct call *c, struct resume *r);
};
/* Reads Content-Range into the span. */
int resume_span(struct call *c, struct resume *r, struct error *e) FALLIBLE;
/* Opens the upload for its bytes and sets the sink. */
int resume_begin(struct call *c, struct resume *r, struct error *e) FALLIBLE;
void resume_reply(struct call *c, struct resume *r);
/* Answers that more bytes may come, or with `why` unless it is NULL. */
void resume_pause(struct call *c, struct resume *r, const struct error *why);
/* free_state of a call whose state begins with a struct resume. */
void resume_free(void *state);

#endif
