/* remote_transfer.c -- bytes up and down, going on where a broken line left them. */
#include <stdio.h>

#include "engine/remote/remote_inner.h"

#define UPLOAD_BREAKS_MAX 8 /* without a byte of progress between them */

/* ---- Up ---- */

static bool is_gone(int status)
{
    return status == 404 || status == 410;
}

/* The rest of the file, at most REMOTE_PIECE_BYTES of it. */
static uint64_t next_piece(const struct remote_upload *u)
{
    uint64_t left = u->file->bytes - u->at;

    return left < REMOTE_PIECE_BYTES ? left : REMOTE_PIECE_BYTES;
}

/* A session ends with its last byte, whose answer may have been lost: then all is sent once more. */
static int fail(const struct remote_upload *u, const struct error *why, struct error *e)
{
    *e = *why;
    if (is_gone(u->service->status))
        return error_set(e, ERROR_UNAVAILABLE, "the upload was ended unseen (%s)", why->msg);
    return -1;
}

int remote_upload_all(struct remote_upload *u, struct error *e)
{
    int breaks = 0, rc = 0;

    while (rc == 0) {
        struct error broken = { 0 };
        uint64_t before = u->at;
        rc = u->send(u, next_piece(u), &broken);
        if (rc < 0 && (!error_retryable(broken.code) || ++breaks > UPLOAD_BREAKS_MAX))
            return fail(u, &broken, e);
        if (rc < 0)
            rc = u->send(u, 0, &broken);
        if (rc < 0)
            return fail(u, &broken, e);
        if (u->at > before)
            breaks = 0;
        else if (rc == 0 && ++breaks > UPLOAD_BREAKS_MAX)
            return error_set(e, ERROR_UNAVAILABLE, "no byte of the upload is taken");
    }
    return 0;
}

/* ---- Down ---- */

struct fetching {
    struct remote_service *service;
    struct remote_cursor *at;
    const struct http_in *in;
    uint64_t skip; /* of the answer: bytes that were got before */
    bool begun;
    int (*on_bytes)(void *arg, const void *p, size_t len, struct error *e);
    void *arg;
};

static int take_bytes(void *arg, const void *p, size_t len, struct error *e)
{
    struct fetching *f = arg;
    const char *bytes = p;

    if (!f->begun) /* a service that knows no ranges begins anew */
        f->skip = f->in->status == 206 ? 0 : f->at->offset;
    f->begun = true;
    size_t skip = f->skip < len ? (size_t)f->skip : len;
    f->skip -= skip;
    if (len == skip)
        return 0;
    if (f->on_bytes(f->arg, bytes + skip, len - skip, e) < 0)
        return -1;
    f->at->offset += len - skip;
    return 0;
}

int remote_fetch_file(struct remote_service *s, const char *url, struct remote_cursor *at,
                      int (*on_bytes)(void *arg, const void *p, size_t len, struct error *e),
                      void *arg, struct error *e)
{
    char from[64];
    const char *const header[] = { from, NULL };
    struct http_in in;
    struct fetching f = { .service = s, .at = at, .in = &in, .on_bytes = on_bytes, .arg = arg };
    const struct remote_call call = {
        .method = "GET",
        .url = url,
        .header = at->offset ? header : NULL,
        .on_body = take_bytes,
        .arg = &f,
    };

    (void)snprintf(from, sizeof from, "Range: bytes=%llu-", (unsigned long long)at->offset);
    if (remote_do(s, &call, &in, e) == 0)
        http_in_release(&in);
    else if (s->status != 416 || at->offset == 0) /* behind the last byte: it was all there */
        return -1;
    at->file++;
    at->offset = 0;
    return on_bytes(arg, "\n", 1, e);
}
