/* remote.h -- a batch service somewhere else that takes a whole job: Google's, in either dialect.
 *
 * Why: Google answers a batch at half the price of online calls, within a day. This interface
 * hides the differences between Vertex AI with Cloud Storage and the Gemini API with its files; the
 * order of the steps, and recovery after a crash, is delegate.h's.
 *
 * Shape:   upload a file of rows (format/google/remote_row.h) -> create a job of it under a name -> poll until
 *          it ended -> fetch its rows, in any order -> remove both files.
 * Errors:  by their google.rpc code; error_retryable tells whether another attempt can help, and
 *          retry_after_ms how long it asked for a pause. CANCELLED when *stop was set.
 *          NOT_FOUND: the job, or its output, is not there any more.
 * Threads: one owner, the thread that runs the job. Calls block; *stop ends them soon.
 * Source:  docs/guides/gemini-batch.md; Vertex AI BatchPredictionJob and Cloud Storage JSON API v1;
 *          Gemini API "Batch API" and "Files API".
 */
#ifndef TRANCHE_ENGINE_REMOTE_REMOTE_H
#define TRANCHE_ENGINE_REMOTE_REMOTE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/error.h"
#include "format/trace.h"
#include "predict/model.h"

/* Bytes of a name at the batch service: an object with its bucket is the longest. */
#define REMOTE_NAME_BYTES 1200
/* Google's limits of one job. */
#define REMOTE_ROWS_MAX 200000
#define REMOTE_VERTEX_BYTES_MAX ((uint64_t)1000 * 1000 * 1000)
#define REMOTE_GEMINI_BYTES_MAX ((uint64_t)2 * 1000 * 1000 * 1000)

/* A file of rows. */
struct remote_file {
    const char *name; /* unique: letters, digits, '-' */
    const char *path; /* for messages */
    int fd;
    uint64_t bytes;
};
/* The state of a job, as one call to poll shows it. */
struct remote_status {
    bool ended;
    char state[48];                 /* the batch service's word for it, as "RUNNING" */
    struct error why;               /* of an end other than success; OK otherwise */
    uint64_t done;                  /* requests that have ended, as far as it says */
    char output[REMOTE_NAME_BYTES]; /* where its rows are; "" when it has none */
};
/* The end of what was fetched of an output: after a failure fetch goes on from there. */
struct remote_cursor {
    uint32_t file;
    uint64_t offset;
};

struct remote;
struct remote_ops {
    /* place: what create and remove take. */
    int (*upload)(struct remote *r, const struct remote_file *f, char place[REMOTE_NAME_BYTES],
                  struct error *e) FALLIBLE;
    /* The job that was created under this name: 1, or 0 when there is none. */
    int (*find)(struct remote *r, const char *name, char job[REMOTE_NAME_BYTES],
                struct error *e) FALLIBLE;
    /* After a failure find tells whether it was created anyway. */
    int (*create)(struct remote *r, const char *name, const char *place,
                  char job[REMOTE_NAME_BYTES], struct error *e) FALLIBLE;
    int (*poll)(struct remote *r, const char *job, struct remote_status *out,
                struct error *e) FALLIBLE;
    /* The output's bytes from *at on, which moves along; each file ends with a line end. on_bytes' error
     * ends it. */
    int (*fetch)(struct remote *r, const char *output, struct remote_cursor *at,
                 int (*on_bytes)(void *arg, const void *p, size_t len, struct error *e), void *arg,
                 struct error *e) FALLIBLE;
    /* Also of a job that has ended. */
    int (*cancel)(struct remote *r, const char *job, struct error *e) FALLIBLE;
    /* Removes an uploaded file or an output. */
    int (*remove)(struct remote *r, const char *place, struct error *e) FALLIBLE;
    void (*close)(struct remote *r);
};
struct remote {
    const struct remote_ops *ops;
    uint64_t rows_max, bytes_max; /* of one job */
    uint32_t retry_after_ms;      /* the pause that the last failure asked for; 0: none */
    const struct trace *trace;    /* the caller's: its calls hand it on; NULL: none */
};

/* The batch service of a model of kind remote-batch, by its first upstream: Vertex AI when the URL names a
 * project, else the Gemini API. name: the model as it was asked for, used when the upstream names no
 * other. INVALID_ARGUMENT when something is missing. */
struct remote *remote_open(const struct model *m, const char *name, struct clock *clock,
                           const atomic_bool *stop, struct error *e);
void remote_close(struct remote *r); /* accepts NULL */

#endif
