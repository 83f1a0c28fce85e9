/* vertex.h -- a job as Vertex AI's BatchPredictionJob resource.
 *
 * Why: unmodified Vertex clients create and read jobs in this form; what they may send and what they
 * must see is here, and nothing else knows it.
 *
 * In:      the create body. camelCase and snake_case at every level, one string where a list is
 *          expected, int64 as numbers or strings (wire.md 0.8-0.10). Fields that Gemini jobs do not support
 *          (dedicatedResources, encryptionSpec, serviceAccount...)
 *          is refused or kept as the service does; every error names its field.
 * Out:     the resource with exactly the members that the state gives it: completionStats without
 *          zero members and absent while pending, error without details, outputInfo a oneof.
 * Errors:  INVALID_ARGUMENT with the field's path.
 * Threads: none.
 * Source:  docs/reference/api.md; aiplatform v1 BatchPredictionJob.
 */
#ifndef TRANCHE_FORMAT_JOB_VERTEX_H
#define TRANCHE_FORMAT_JOB_VERTEX_H

#include "base/error.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/str.h"
#include "format/bigquery/name.h"
#include "format/job/job.h"

#define VERTEX_BODY_BYTES_MAX ((size_t)1024 * 1024)
#define VERTEX_URIS_MAX 1000
#define VERTEX_LABELS_MAX 64

/* Fills model, display_name, spec, options, request_id, priority, source of *out; its texts live in
 * the arena. */
int vertex_read(struct arena *a, struct str body, struct job *out, struct error *e) FALLIBLE;
/* From a spec: the input's URIs ("gs://bucket/pattern"), and the folder of the output
 * ("gs://bucket/prefix", without a slash at its end; empty when none was given). */
int vertex_inputs(struct arena *a, struct str spec, struct str **uri, uint32_t *count,
                  struct error *e) FALLIBLE;
/* Bytes that the name of an output has behind the prefix. */
#define VERTEX_OUTPUT_NAME_BYTES 80
struct str vertex_output_prefix(struct arena *a, struct str spec);
/* The table that the job reads; false when it reads files. */
bool vertex_input_table(struct arena *a, struct str spec, struct bq_name *out);
/* The table that the job makes, with the names that the service chooses where it was given a project or a
 * dataset: the same at each call; false when its output is a folder. */
bool vertex_output_table(struct arena *a, const struct job *j, struct bq_name *out);

/* The resource. live may be NULL. mask: readMask ("name,state"), or empty for all. expired_as: the
 * state shown for EXPIRED (JOB_EXPIRED, or JOB_FAILED for clients that do not know it). */
struct vertex_view {
    const struct job_live *live;
    struct str mask;
    enum job_state expired_as;
};
void vertex_write(const struct job *j, const struct vertex_view *v, struct buf *out);
/* The finished operation that DELETE answers with: `operation` is the last step of its name. version
 * "v1" or "v1beta1". */
struct vertex_deletion {
    const char *project, *location, *operation, *version;
    int64_t time_us;
};
void vertex_write_delete(const struct vertex_deletion *d, struct buf *out);

/* The google.rpc.Status of a job that failed, was cancelled or expired, without details, which the
 * clients' models do not take. */
bool job_has_error(const struct job *j);
void job_add_error(struct json_writer *w, const char *key, const struct job *j);

/* The value of the key "tranche" of both dialects. live may be NULL. */
void job_add_extension(struct json_writer *w, const char *key, const struct job *j,
                       const struct job_live *live);
/* Reads it: the value of "tranche" in a create body, or the body of :resume. request_id and priority
 * too. Members that are absent leave *out as it is; unknown ones are errors with the nearest name. */
int job_read_extension(struct arena *a, yyjson_val *object, struct job *out,
                       struct error *e) FALLIBLE;
int job_display_name_check(struct str name, struct error *e) FALLIBLE; /* its length, and no NUL */
/* INVALID_ARGUMENT when a name of the job that was read has a NUL. */
int job_names_check(const struct job *j, struct error *e) FALLIBLE;
/* A request id, wherever it came from: visible ASCII, not too long. */
int job_request_id_check(struct str id, struct error *e) FALLIBLE;

#endif
