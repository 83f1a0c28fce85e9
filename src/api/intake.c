#include "api/intake.h"

#include <assert.h>

int intake_blob(struct intake *in, struct store *s, uint64_t bytes_max, struct error *e)
{
    *in = (struct intake){ .store = s, .room = bytes_max };
    in->writer = blob_create(s, bytes_max, false, e);
    return in->writer ? 0 : -1;
}

int intake_upload(struct intake *in, struct store *s, const struct upload *up, uint64_t first,
                  uint64_t end, struct error *e)
{
    struct error why = { 0 };

    *in = (struct intake){ .store = s, .upload = *up };
    in->writer = upload_open(s, up->id, &why);
    if (!in->writer && why.code == ERROR_ABORTED)
        return error_set(e, ERROR_UNAVAILABLE, "Another call writes to this upload; try again.");
    if (!in->writer) {
        *e = why;
        return -1;
    }
    uint64_t have = blob_written(in->writer);
    if (first <= have && first <= end && end <= up->bytes_max) {
        in->skip = have - first;
        in->room = end - first;
        return 0;
    }
    intake_release(in);
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "Invalid request. The upload offset is %llu byte(s), which is beyond the "
                     "already uploaded size of %llu byte(s) or the upload's end.",
                     (unsigned long long)first, (unsigned long long)have);
}

int intake_write(struct intake *in, const void *p, size_t len, struct error *e)
{
    assert(in->writer);
    size_t skipped = len < in->skip ? len : (size_t)in->skip;

    if (len > in->room)
        return error_set(e, ERROR_OUT_OF_RANGE,
                         "The upload has more bytes than were announced or are allowed.");
    in->room -= len;
    in->skip -= skipped;
    if (skipped == len)
        return 0;
    return blob_write(in->writer, (const char *)p + skipped, len - skipped, e);
}

int intake_finish(struct intake *in, struct blob *out, struct error *e)
{
    struct blob_writer *w = in->writer;

    assert(w);
    in->writer = NULL;
    if (in->upload.id[0] == '\0')
        return blob_finish(w, out, e);
    return upload_finish(in->store, in->upload.id, w, out, e);
}

int intake_pause(struct intake *in, uint64_t *bytes, struct error *e)
{
    struct blob_writer *w = in->writer;

    assert(w && in->upload.id[0] != '\0');
    in->writer = NULL;
    return upload_pause(in->store, in->upload.id, w, bytes, e);
}

void intake_release(struct intake *in)
{
    if (in->writer)
        blob_leave(in->writer);
    in->writer = NULL;
}
