#include "predict/upstream/flight.h"

#include <string.h>

#include "base/random.h"
#include "base/mem.h"
#include "base/base64.h"
#include "format/response.h"
#include "format/upstream_error.h"

#define URL_BYTES_MAX ((size_t)8192)
#define BODY_KEEP_BYTES ((size_t)64 * 1024)

static int files_read(const struct flight *f, struct flight_desk *d, struct openai_files *out,
                      struct error *e);

void flight_desk_release(struct flight_desk *d)
{
    arena_release(&d->arena);
    buf_release(&d->url);
    buf_release(&d->header);
    buf_release(&d->secret);
}

/* ---- Out ---- */

static int credential_write(const struct place *p, struct flight_desk *d, struct error *e)
{
    struct credential *c = site_credential(p->site);

    d->header.max = 2 * CREDENTIAL_BYTES_MAX;
    buf_clear(&d->header);
    if (!c)
        return 1;
    d->secret.max = CREDENTIAL_BYTES_MAX;
    int rc = credential_get(c, &d->secret, e);
    if (rc > 0)
        p->wire->credential(buf_str(&d->secret), credential_is_token(c), &d->header);
    return rc;
}

int flight_write(struct flight *f, struct flight_desk *d, struct error *e)
{
    const struct request *r = f->task->request;
    struct openai_files files = { 0 };
    int rc = credential_write(f->place, d, e);

    if (rc <= 0)
        return rc;
    d->url.max = URL_BYTES_MAX;
    buf_clear(&d->url);
    f->place->wire->url(f->place->to, r, &d->url);
    f->body.max = UPSTREAM_BODY_BYTES_MAX;
    if (f->body.cap > BODY_KEEP_BYTES)
        buf_release(&f->body);
    buf_clear(&f->body);
    if ((r->files && r->has_media && files_read(f, d, &files, e) < 0) ||
        f->place->wire->write(f->place->to, r, &files, &f->body, e) < 0)
        rc = -1;
    arena_reset(&d->arena);
    return rc;
}

static int file_read(const struct file_source *from, struct str uri, size_t *left, struct arena *a,
                     struct openai_file *out, struct error *e)
{
    struct buf raw = BUF_INIT(*left);
    int rc = from->read(from->arg, uri, *left, &raw, e);

    if (rc == 0) {
        struct buf text = BUF_INIT(UPSTREAM_BODY_BYTES_MAX);
        base64_add(raw.p, raw.len, &text);
        out->uri = uri;
        out->base64 = (struct str){ arena_copy(a, text.p, text.len), text.len };
        buf_release(&text);
        *left -= raw.len;
    }
    buf_release(&raw);
    return rc < 0 ? error_wrap(e, "%.*s", STR_ARG(uri)) : 0;
}

/* The files of our object store that the far side cannot read itself. */
static int files_read(const struct flight *f, struct flight_desk *d, struct openai_files *out,
                      struct error *e)
{
    const struct request *r = f->task->request;
    struct openai_file *item = arena_array(&d->arena, UPSTREAM_FILES_MAX, sizeof *item);
    size_t left = UPSTREAM_FILES_BYTES_MAX;

    out->item = item;
    for (uint32_t i = 0; f->place->to->upstream->inline_files && i < r->content_count; i++) {
        for (uint32_t k = 0; k < r->content[i].part_count; k++) {
            const struct part *p = &r->content[i].part[k];
            if (p->kind != PART_FILE_DATA || !str_starts(p->uri, STR("gs://")))
                continue;
            if (out->count == UPSTREAM_FILES_MAX)
                return error_set(e, ERROR_INVALID_ARGUMENT,
                                 "A request may name %d files for this model.", UPSTREAM_FILES_MAX);
            if (file_read(r->files, p->uri, &left, &d->arena, &item[out->count++], e) < 0)
                return -1;
        }
    }
    return 0;
}

/* ---- Back ---- */

/* What an error without a reply, or with a nonsensical one, says of the server. */
static enum site_end end_of_error(enum error_code code)
{
    switch (code) {
    case ERROR_DEADLINE_EXCEEDED:
    case ERROR_RESOURCE_EXHAUSTED:
        return SITE_OVERLOAD;
    case ERROR_CANCELLED:
        return SITE_CANCELLED;
    default:
        return error_retryable(code) ? SITE_FAILED : SITE_REFUSED;
    }
}

static enum site_end end_of_status(int status)
{
    static const int overload[] = { 408, 429, 503, 504, 529 };

    for (size_t i = 0; i < ARRAY_LEN(overload); i++)
        if (status == overload[i])
            return SITE_OVERLOAD;
    return status >= 500 ? SITE_FAILED : SITE_REFUSED;
}

/* The exchange ended without a whole reply. An endless body is the server's fault, not a full disk. */
static void read_broken(const struct flight *f, const struct http_done *done,
                        struct site_result *out, struct error *why)
{
    const char *name = f->place->to->upstream->name;

    *why = done->error;
    if (strncmp(why->msg, name, strlen(name)) != 0) /* which may be the host that is named there */
        (void)error_wrap(why, "%s", name);
    out->end = end_of_error(why->code);
    if (why->code == ERROR_RESOURCE_EXHAUSTED) {
        why->code = ERROR_INTERNAL;
        out->end = SITE_FAILED;
    }
}

static void read_refusal(const struct flight *f, struct flight_desk *d,
                         const struct http_done *done, struct site_result *out, struct error *why)
{
    const struct upstream_refusal refusal = {
        .status = done->status,
        .body = done->body,
        .retry_after = http_done_header(done, "retry-after"),
        .upstream = f->place->to->upstream->name,
        .now_us = d->clock->wall_us(d->clock),
    };
    struct credential *c = site_credential(f->place->site);

    upstream_error_read(&d->arena, &refusal, why, &out->retry_after_ms);
    out->end = end_of_status(done->status);
    if (done->status != 401 || !c || !credential_is_token(c))
        return;
    credential_refused(c);
    if (f->task && !f->task->proved) { /* it may have ended early: once more with a new one */
        f->task->proved = true;
        why->code = ERROR_UNAVAILABLE;
    }
}

static int read_answer(const struct flight *f, struct flight_desk *d, const struct http_done *done,
                       struct error *why)
{
    struct answer *a = &f->task->answer;
    char id[RESPONSE_ID_BYTES];

    response_id_format(random_next(&d->chance), random_next(&d->chance), id);
    const struct openai_reply_rules rules = {
        .request = f->task->request,
        .model = f->place->to->model,
        .at = f->place->shown,
        .response_id = id,
        .create_time_us = d->clock->wall_us(d->clock),
    };
    a->response = BUF_INIT(RESPONSE_BYTES_MAX);
    int rc = f->place->wire->read(&d->arena, done->body, &rules, &a->response, &a->usage, why);
    if (rc == 0 && reply_seen(&d->seen, buf_str(&a->response), done->body))
        rc = error_set(why, ERROR_INTERNAL, "the same reply came before, to another request");
    if (rc == 0) {
        a->price = f->place->has_price ? &f->place->price : NULL;
        return 0;
    }
    buf_release(&a->response);
    a->usage = (struct usage){ 0 };
    return error_wrap(why, "%s", f->place->to->upstream->name);
}

static void read_whole(const struct flight *f, struct flight_desk *d, const struct http_done *done,
                       struct site_result *out, struct error *why)
{
    if (!f->task) {
        out->end = SITE_ANSWERED;
    } else if (read_answer(f, d, done, why) < 0) {
        out->end = end_of_error(why->code);
    } else {
        const struct usage *u = &f->task->answer.usage;
        out->end = SITE_ANSWERED;
        out->prompt_tokens = u->prompt_tokens;
        out->cached_tokens = u->cached_tokens;
        out->output_tokens = u->candidate_tokens + u->thought_tokens;
    }
}

void flight_read(const struct flight *f, struct flight_desk *d, const struct http_done *done,
                 struct site_result *out, struct error *why)
{
    *out = (struct site_result){ .reached = done->status != 0 };
    *why = (struct error){ 0 };
    if (done->error.code != ERROR_OK)
        read_broken(f, done, out, why);
    else if (done->status == 200)
        read_whole(f, d, done, out, why);
    else
        read_refusal(f, d, done, out, why);
    arena_reset(&d->arena);
    out->why = why->code == ERROR_OK ? NULL : why;
    if (f->task && out->why) {
        f->task->answer.error = *why;
        f->task->answer.retry_after_ms = out->retry_after_ms;
    }
}
