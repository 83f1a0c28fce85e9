/* upload.c -- the bytes of a load job, in chunks that can be sent again.
 *
 * Why: a connection that breaks must cost a chunk, not the whole file. The server says how far it has got.
 *
 * Source:  https://cloud.google.com/bigquery/docs/reference/api-uploads#resumable
 */
#include "store/tables/bigquery/inner.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/sys.h"

#define CHUNK_BYTES ((uint64_t)16 * 1024 * 1024) /* a multiple of 256 KiB */
#define TRIES_MAX 8                              /* without a byte of progress */

struct sending {
    struct bigquery *b;
    struct arena *arena;
    const char *path;
    const char *url; /* of this upload */
    const atomic_bool *stop;
    int fd;
    uint64_t bytes, at; /* of the file; that the server has */
    yyjson_val *job;    /* set when it has all of them */
};

static int start(struct sending *s, struct str project, struct str resource, struct error *e)
{
    const char *path =
        rest_path(s->arena, "/projects/{}/jobs?uploadType=resumable&prettyPrint=false", &project);
    const struct rest_call call = {
        .method = "POST",
        .path = arena_textf(s->arena, "%s/upload/bigquery/v2%s", s->b->endpoint, path),
        .header = arena_textf(s->arena, "X-Upload-Content-Length: %" PRIu64, s->bytes),
        .body = resource,
        .stop = s->stop,
    };
    struct http_in in;
    int rc = rest_call(s->b, &call, &in, e);
    struct str location = http_in_header(&in, "location");

    if (rc == 0 && location.len == 0)
        rc = error_set(e, ERROR_UNAVAILABLE, "BigQuery gave no address for the upload");
    /* The token goes there too. */
    if (rc == 0 && strncmp(s->b->endpoint, "https://", 8) == 0 &&
        !str_starts(location, STR("https://")))
        rc = error_set(e, ERROR_PERMISSION_DENIED, "BigQuery named an upload without https");
    s->url = arena_copy(s->arena, location.p, location.len);
    s->at = 0;
    http_in_release(&in);
    return rc;
}

/* "bytes=0-1023": the server has 1024 bytes. */
static uint64_t bytes_there(const struct http_in *in)
{
    struct str range = str_after_last(http_in_header(in, "range"), '-');
    uint64_t last = 0;

    return str_number(range, &last) ? last + 1 : 0;
}

/* Takes in what the server says: the job, or how far it has got. */
static int take_answer(struct sending *s, const struct http_in *in, struct error *e)
{
    struct error bad = { 0 };
    size_t at;

    if (in->status == 308) {
        s->at = bytes_there(in);
        return s->at <= s->bytes
                   ? 0
                   : error_set(e, ERROR_DATA_LOSS, "BigQuery has more bytes of %s than were sent",
                               s->path);
    }
    s->job = json_parse(s->arena, buf_str(&in->body), &at, &bad);
    return s->job ? 0 : error_set(e, ERROR_UNAVAILABLE, "BigQuery's answer is not JSON");
}

/* Sends `bytes` from where the server is; none only asks how far it has got. */
static int put(struct sending *s, const char *range, uint64_t bytes, bool once, struct error *e)
{
    const struct rest_call call = {
        .method = "PUT",
        .path = s->url,
        .header = range,
        .file = s->path,
        .fd = s->fd,
        .offset = s->at,
        .bytes = bytes,
        .stop = s->stop,
        .once = once,
    };
    struct http_in in;
    int rc = rest_call(s->b, &call, &in, e);

    if (rc == 0)
        rc = take_answer(s, &in, e);
    else if (e->code == ERROR_NOT_FOUND) /* it ended: with its job, or after a week */
        e->code = ERROR_ABORTED;
    http_in_release(&in);
    return rc;
}

static int send_chunk(struct sending *s, struct error *e)
{
    uint64_t left = s->bytes - s->at, bytes = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    const char *range = "Content-Range: bytes */0";

    if (bytes)
        range = arena_textf(s->arena, "Content-Range: bytes %" PRIu64 "-%" PRIu64 "/%" PRIu64,
                            s->at, s->at + bytes - 1, s->bytes);
    return put(s, range, bytes, true, e);
}

static int ask_progress(struct sending *s, struct error *e)
{
    return put(s, arena_textf(s->arena, "Content-Range: bytes */%" PRIu64, s->bytes), 0, false, e);
}

static int send_all(struct sending *s, struct error *e)
{
    uint32_t tries = 0;

    while (!s->job) {
        struct error why = { 0 };
        uint64_t before = s->at;
        if (send_chunk(s, &why) == 0) {
            tries = s->at > before ? 0 : tries + 1;
            if (tries < TRIES_MAX)
                continue;
        }
        bool passes = why.code == ERROR_UNAVAILABLE || why.code == ERROR_DEADLINE_EXCEEDED ||
                      why.code == ERROR_RESOURCE_EXHAUSTED;
        if (!passes || ++tries >= TRIES_MAX) {
            *e = why.code == ERROR_OK
                     ? (struct error){ .code = ERROR_UNAVAILABLE, .msg = "the upload stands still" }
                     : why;
            return -1;
        }
        if (rest_pause(s->b, tries, 0, s->stop, e) < 0 || ask_progress(s, e) < 0)
            return -1;
    }
    return 0;
}

yyjson_val *rest_upload(struct bigquery *b, const struct rest_job *j, struct str resource,
                        struct arena *a, const atomic_bool *stop, struct error *e)
{
    struct sending s = { .b = b, .arena = a, .path = j->path, .stop = stop };
    struct stat st;

    s.fd = sys_open(j->path, O_RDONLY, e);
    if (s.fd < 0)
        return NULL;
    int rc = fstat(s.fd, &st) < 0 ? error_errno(e, "%s", j->path) : 0;
    if (rc == 0) {
        s.bytes = (uint64_t)st.st_size;
        rc = start(&s, j->project, resource, e);
    }
    if (rc == 0)
        rc = send_all(&s, e);
    (void)close(s.fd);
    return rc == 0 ? s.job : NULL;
}
