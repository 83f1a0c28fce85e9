/* upload.c -- uploads of files: X-Goog-Upload-Command start, upload, finalize, query, cancel; or all in one
 * multipart body.
 *
 * Shape:   "start" answers with the address of the upload; the other commands go there, and "upload,
 *          finalize" is two in one call. The upload's id is the right to write it and nothing else; the
 *          file belongs to the project that began the upload.
 * Threads: the sink runs on the connection's thread while the body comes, the handler on a worker after
 *          it; c->state passes from one to the other.
 * Source:  Google's clients; https://ai.google.dev/api/files#method:-media.upload
 */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/files/files.h"
#include "api/test_mode.h"
#include "base/mem.h"
#include "api/intake.h"
#include "api/media.h"
#include "format/request/fields.h"
#include "net/server/multipart.h"

#define KIND "file"
#define DEFAULT_MIME "application/octet-stream"
#define WHAT_BYTES_MAX ((size_t)64 * 1024)
#define US_PER_HOUR ((int64_t)3600 * 1000000)

enum { COMMAND_UPLOAD = 1, COMMAND_FINALIZE = 2, COMMAND_QUERY = 4, COMMAND_CANCEL = 8 };

/* The file that an upload will be. It survives in the upload's `what`. */
struct file_target {
    const char *project;
    struct str id, display_name, mime;
    enum script_fate fate; /* that a test gave it */
    bool has_total;
    uint64_t total;
};
struct sending {
    unsigned commands;
    struct upload upload;
    struct file_target target;
    struct intake in;
};

int64_t files_expiry(struct call *c)
{
    return c->api->clock->wall_us(c->api->clock) + FILES_LIFE_HOURS * US_PER_HOUR;
}

static void set_status(struct call *c, const char *status)
{
    http_set_header(c->http, "X-Goog-Upload-Status", str_of(status));
}

/* ---- Start ---- */

/* A text under either of its spellings, as proto3 JSON allows. */
static struct str text_of(yyjson_val *file, const char *camel, const char *snake)
{
    struct str s = json_str(json_get(file, camel));

    return s.len ? s : json_str(json_get(file, snake));
}

static bool is_id(struct str id)
{
    for (size_t i = 0; i < id.len; i++) {
        char c = id.p[i];
        bool dash = c == '-' && i > 0 && i + 1 < id.len;
        if (!dash && !(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9'))
            return false;
    }
    return id.len > 0 && id.len <= FILES_NAME_BYTES_MAX;
}

static int name_read(yyjson_val *file, struct str *id, struct error *e)
{
    struct str name = json_str(json_get(file, "name"));

    if (name.len == 0)
        return 0;
    *id = str_starts(name, STR("files/")) ? str_sub(name, 6, name.len) : name;
    if (is_id(*id))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "The file's name must be files/ and up to %d of a-z, 0-9 and, within, \"-\".",
                     FILES_NAME_BYTES_MAX);
}

/* Refuses a taken id before the bytes are sent. file_put refuses one that is taken meanwhile. */
static int id_check(struct call *c, const struct file_target *t, struct error *e)
{
    struct error absent = { 0 };
    struct file f;

    if (t->id.len == 0 || file_get(c->api->store, c->arena, t->project, t->id, &f, &absent) < 0)
        return 0;
    return error_set(e, ERROR_ALREADY_EXISTS, "File %.*s already exists.", STR_ARG(t->id));
}

static int total_read(struct call *c, struct file_target *w, struct error *e)
{
    struct str text = http_header(c->http, "X-Goog-Upload-Header-Content-Length");
    struct media_span span;
    char range[48];

    if (text.len == 0)
        return 0;
    (void)snprintf(range, sizeof range, "bytes */%.*s", STR_ARG(str_sub(text, 0, 24)));
    if (media_span_read(str_of(range), &span, e) < 0 || !span.has_total)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Invalid X-Goog-Upload-Header-Content-Length: \"%.*s\"",
                         STR_ARG(str_sub(text, 0, 64)));
    w->has_total = true;
    w->total = span.total;
    if (w->total > FILES_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The file has %" PRIu64 " bytes; the limit is %" PRIu64 " (2 GiB).",
                         w->total, FILES_BYTES_MAX);
    return 0;
}

/* Any word without a slash is accepted as a type: Google's documentation tells clients to send "jsonl". */
static bool mime_is_known(struct str mime)
{
    static const char *const kinds[] = { "text/", "image/", "audio/", "video/", "application/" };

    if (str_find(mime, STR("/")) == SIZE_MAX)
        return true;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (lower_equal(str_sub(mime, 0, strlen(kinds[i])), kinds[i]))
            return true;
    return false;
}

static int fate_read(struct call *c, struct file_target *t, struct error *e)
{
    struct script_whole whole;
    struct str script;

    if (call_script_create(c, CALL_FILE, t->display_name, &script, e) < 0)
        return -1;
    if (script.len && script_whole(script, &whole, e) < 0)
        return -1;
    t->fate = script.len ? whole.file : FATE_NONE;
    return 0;
}

static int target_read(struct call *c, yyjson_val *body, struct str media_type,
                       struct file_target *out, struct error *e)
{
    yyjson_val *file = json_get(body, "file");

    out->project = call_own_project(c);
    out->display_name = text_of(file, "displayName", "display_name");
    out->mime = text_of(file, "mimeType", "mime_type");
    if (out->mime.len == 0)
        out->mime = http_header(c->http, "X-Goog-Upload-Header-Content-Type");
    if (out->mime.len == 0)
        out->mime = media_type;
    if (out->mime.len == 0)
        out->mime = STR(DEFAULT_MIME);
    if (!media_type_valid(out->mime))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Unsupported MIME type: printable ASCII of at most %d bytes",
                         MEDIA_TYPE_MAX);
    if (!mime_is_known(out->mime))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Unsupported MIME type: %.*s. Use one of text, image, audio, video or "
                         "application.",
                         STR_ARG(out->mime));
    if (out->display_name.len > FILES_DISPLAY_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The displayName is over %d bytes.",
                         FILES_DISPLAY_BYTES_MAX);
    if (name_read(file, &out->id, e) < 0 || id_check(c, out, e) < 0 || fate_read(c, out, e) < 0)
        return -1;
    return total_read(c, out, e);
}

static void target_write(const struct file_target *target, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "kind", KIND);
    json_add_text(&w, "id", target->id);
    json_add_text(&w, "displayName", target->display_name);
    json_add_text(&w, "mime", target->mime);
    if (target->fate != FATE_NONE)
        json_add_uint(&w, "fate", target->fate);
    if (target->has_total)
        json_add_uint(&w, "total", target->total);
    json_end(&w);
}

/* The call that begins an upload, or is one: a file's metadata, and with multipart its bytes. */
struct beginning {
    struct call *call;
    bool whole; /* multipart */
    struct multipart parts;
    uint32_t part; /* the one that comes, from 1 */
    struct buf meta;
    struct str media_type; /* of the bytes */
    struct sending sent;   /* of a whole one */
};

static void beginning_free(void *state)
{
    struct beginning *b = state;

    multipart_release(&b->parts);
    buf_release(&b->meta);
    intake_release(&b->sent.in);
}

static int on_part(void *arg, struct str content_type, struct error *e)
{
    struct beginning *b = arg;

    if (++b->part > 2)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The multipart body must have two parts.");
    b->media_type = (struct str){ arena_copy(b->call->arena, content_type.p, content_type.len),
                                  content_type.len };
    return 0;
}

static int sink_meta(void *arg, const void *bytes, size_t len, struct error *e)
{
    struct beginning *b = arg;

    buf_add(&b->meta, bytes, len);
    if (buf_ok(&b->meta))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "The file's metadata is larger than %zu bytes.",
                     FILES_META_BYTES_MAX);
}

static int on_data(void *arg, const void *bytes, size_t len, struct error *e)
{
    struct beginning *b = arg;

    return b->part == 1 ? sink_meta(b, bytes, len, e) : intake_write(&b->sent.in, bytes, len, e);
}

static int sink_parts(void *arg, const void *bytes, size_t len, struct error *e)
{
    struct beginning *b = arg;

    return multipart_feed(&b->parts, bytes, len, e);
}

bool files_upload_start_begin(struct call *c)
{
    struct beginning *b = arena_alloc(c->arena, sizeof *b);
    const struct multipart_handlers to = { on_part, on_data, b };
    struct str type = { 0 };
    struct error e = { 0 };

    b->call = c;
    b->meta = BUF_INIT(FILES_META_BYTES_MAX);
    (void)http_query(c->http, "uploadType", &type);
    b->whole = str_eq_c(http_header(c->http, "X-Goog-Upload-Protocol"), "multipart") ||
               str_eq_c(type, "multipart");
    c->state = b;
    c->free_state = beginning_free;
    if (b->whole) {
        if (multipart_init(&b->parts, http_header(c->http, "Content-Type"), &to, &e) < 0 ||
            intake_blob(&b->sent.in, c->api->store, FILES_BYTES_MAX, &e) < 0) {
            call_fail(c, &e);
            return false;
        }
    } else if (!str_eq_c(http_header(c->http, "X-Goog-Upload-Command"), "start")) {
        call_fail_as(c, 400, NULL,
                     "Begin an upload with X-Goog-Upload-Protocol: resumable and "
                     "X-Goog-Upload-Command: start, or send it whole with "
                     "X-Goog-Upload-Protocol: multipart.");
        return false;
    }
    http_set_sink(c->http, &(struct http_sink){ b->whole ? sink_parts : sink_meta, b });
    return true;
}

/* The file's facts in the call's body. An empty body says nothing. */
static int beginning_read(struct beginning *b, struct file_target *out, struct error *e)
{
    struct call *c = b->call;

    if (http_body_error(c->http)) {
        *e = *http_body_error(c->http);
        return -1;
    }
    if (!http_body_complete(c->http))
        return error_set(e, ERROR_INVALID_ARGUMENT, "The request's body is incomplete.");
    if (b->whole && multipart_finish(&b->parts, e) < 0)
        return -1;
    if (b->whole && b->part != 2)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The multipart body must have two parts.");
    yyjson_val *body = call_json_of(c, buf_str(&b->meta), e);
    return body ? target_read(c, body, b->media_type, out, e) : -1;
}

static int start(struct beginning *b, struct upload *out, struct error *e)
{
    struct call *c = b->call;
    struct buf what = BUF_INIT(WHAT_BYTES_MAX);
    struct file_target w = { 0 };

    if (beginning_read(b, &w, e) < 0)
        return -1;
    target_write(&w, &what);
    *out = (struct upload){
        .project = str_of(w.project),
        .what = buf_str(&what),
        .bytes_max = w.has_total ? w.total : FILES_BYTES_MAX,
    };
    int rc = buf_ok(&what) ? upload_create(c->api->store, out, e)
                           : error_set(e, ERROR_INVALID_ARGUMENT, "The metadata is too large.");
    buf_release(&what);
    return rc;
}

static int target_parse(struct arena *a, const struct upload *up, struct file_target *out,
                        struct error *e)
{
    size_t at;
    yyjson_val *what = json_parse(a, up->what, &at, e), *total = json_get(what, "total");

    if (!what)
        return -1;
    if (!str_eq_c(json_str(json_get(what, "kind")), KIND))
        return error_set(e, ERROR_NOT_FOUND, "No such upload");
    *out = (struct file_target){
        .project = arena_copy(a, up->project.p, up->project.len),
        .id = json_str(json_get(what, "id")),
        .display_name = json_str(json_get(what, "displayName")),
        .mime = json_str(json_get(what, "mime")),
        .fate = (enum script_fate)yyjson_get_uint(json_get(what, "fate")),
        .has_total = total != NULL,
        .total = yyjson_get_uint(total),
    };
    return 0;
}

/* ---- Bytes, questions, the end ---- */

/* "upload, finalize" */
static int commands_read(struct call *c, unsigned *out, struct error *e)
{
    static const struct {
        const char *name;
        unsigned command;
    } known[] = {
        { "upload", COMMAND_UPLOAD },
        { "finalize", COMMAND_FINALIZE },
        { "query", COMMAND_QUERY },
        { "cancel", COMMAND_CANCEL },
    };
    struct str rest = http_header(c->http, "X-Goog-Upload-Command");

    *out = 0;
    while (rest.len > 0) {
        size_t comma = str_find(rest, STR(",")), i = 0;
        struct str word = str_trim(str_sub(rest, 0, comma));
        while (i < ARRAY_LEN(known) && !str_eq_c(word, known[i].name))
            i++;
        if (i == ARRAY_LEN(known))
            return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid X-Goog-Upload-Command: \"%.*s\"",
                             STR_ARG(str_sub(word, 0, 64)));
        *out |= known[i].command;
        rest = comma == SIZE_MAX ? (struct str){ 0 } : str_sub(rest, comma + 1, rest.len);
    }
    if (*out)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "X-Goog-Upload-Command is missing.");
}

static int sending_begin(struct call *c, struct sending *s, struct error *e)
{
    struct str id = { 0 }, text = http_header(c->http, "X-Goog-Upload-Offset");
    struct media_span span;
    char range[48];

    (void)http_query(c->http, "upload_id", &id);
    if (commands_read(c, &s->commands, e) < 0 ||
        upload_get(c->api->store, c->arena, id, &s->upload, e) < 0 ||
        target_parse(c->arena, &s->upload, &s->target, e) < 0)
        return -1;
    if (!(s->commands & COMMAND_UPLOAD))
        return 0;
    (void)snprintf(range, sizeof range, "bytes %.*s-*/*", STR_ARG(str_sub(text, 0, 24)));
    if (media_span_read(str_of(range), &span, e) < 0 || span.has_end || !span.has_bytes)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid X-Goog-Upload-Offset: \"%.*s\"",
                         STR_ARG(str_sub(text, 0, 64)));
    return intake_upload(&s->in, c->api->store, &s->upload, span.first, s->upload.bytes_max, e);
}

static void sending_free(void *state)
{
    struct sending *s = state;

    intake_release(&s->in);
}

static int sink(void *arg, const void *p, size_t len, struct error *e)
{
    struct sending *s = arg;

    if (!(s->commands & COMMAND_UPLOAD))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The X-Goog-Upload-Command of this request takes no body.");
    return intake_write(&s->in, p, len, e);
}

bool files_upload_begin(struct call *c)
{
    struct sending *s = arena_alloc(c->arena, sizeof *s);
    struct error e = { 0 };

    c->state = s;
    c->free_state = sending_free;
    if (sending_begin(c, s, &e) < 0) {
        call_fail(c, &e);
        return false;
    }
    http_set_sink(c->http, &(struct http_sink){ sink, s });
    return true;
}

static int make(struct call *c, struct sending *s, struct file *out, struct error *e)
{
    struct file_new n = {
        .project = s->target.project,
        .display_name = s->target.display_name,
        .mime = s->target.mime,
        .origin = FILE_UPLOADED,
        .expire_us = files_expiry(c),
    };

    if (s->target.id.len < sizeof n.id)
        (void)snprintf(n.id, sizeof n.id, "%.*s", STR_ARG(s->target.id));
    if (intake_finish(&s->in, &n.blob, e) < 0 || file_put(c->api->store, c->arena, &n, out, e) < 0)
        return -1;
    if (s->target.fate != FATE_NONE && c->api->test_mode)
        test_mode_file_set(c->api->test_mode, out->id, s->target.fate);
    return 0;
}

/* Answers with the bytes that are durable, or with the error; the upload can go on either way. */
static void reply_active(struct call *c, struct sending *s, const struct error *why)
{
    struct error e = { 0 };
    char text[24];
    uint64_t bytes;

    if (intake_pause(&s->in, &bytes, &e) < 0) {
        call_fail(c, why ? why : &e);
        return;
    }
    set_status(c, "active");
    (void)snprintf(text, sizeof text, "%" PRIu64, bytes);
    http_set_header(c->http, "X-Goog-Upload-Size-Received", str_of(text));
    if (why)
        call_fail(c, why);
    else
        http_reply(c->http, 200, NULL, NULL);
}

static void reply_final(struct call *c, struct sending *s)
{
    struct error e = { 0 };
    struct file f;
    struct buf out = BUF_INIT(FILES_REPLY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&out);
    uint64_t have = blob_written(s->in.writer);

    if (s->target.has_total && have != s->target.total) {
        (void)error_set(&e, ERROR_INVALID_ARGUMENT,
                        "The upload has %" PRIu64 " bytes, but it began with a length of %" PRIu64
                        ".",
                        have, s->target.total);
        reply_active(c, s, &e);
        return;
    }
    if (make(c, s, &f, &e) < 0) {
        set_status(c, "final"); /* without it clients send the bytes again */
        call_fail(c, &e);
        return;
    }
    set_status(c, "final");
    json_object(&w, NULL);
    json_key(&w, STR("file"));
    files_write(c, &f, &w);
    json_end(&w);
    call_reply(c, &out);
}

void files_upload_more(struct call *c)
{
    struct sending *s = c->state;
    struct error e = { 0 };

    if (s->commands & COMMAND_CANCEL) {
        if (upload_delete(c->api->store, s->upload.id, &e) < 0) {
            call_fail(c, &e);
            return;
        }
        set_status(c, "cancelled");
        http_reply(c->http, 200, NULL, NULL);
    } else if (!s->in.writer && intake_upload(&s->in, c->api->store, &s->upload, s->upload.bytes,
                                              s->upload.bytes, &e) < 0)
        call_fail(c, &e);
    else if (http_body_error(c->http))
        reply_active(c, s, http_body_error(c->http));
    else if (http_body_complete(c->http) && (s->commands & COMMAND_FINALIZE))
        reply_final(c, s);
    else
        reply_active(c, s, NULL);
}

void files_upload_start(struct call *c)
{
    struct error e = { 0 };
    struct upload up;
    struct buf url = BUF_INIT(HTTP_HEAD_BYTES_MAX);
    struct beginning *b = c->state;

    if (b->whole) {
        if (beginning_read(b, &b->sent.target, &e) < 0)
            call_fail(c, &e);
        else
            reply_final(c, &b->sent);
        return;
    }
    if (start(b, &up, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    buf_addf(&url, "%.*s/resumable/upload/%.*s/files?upload_id=%s&upload_protocol=resumable",
             STR_ARG(call_base_url(c)), STR_ARG(c->version), up.id);
    http_set_header(c->http, "X-Goog-Upload-URL", buf_str(&url));
    http_set_header(c->http, "X-Goog-Upload-Control-URL", buf_str(&url));
    http_set_header(c->http, "X-GUploader-UploadID", str_of(up.id));
    set_status(c, "active");
    buf_release(&url);
    http_reply(c->http, 200, NULL, NULL);
}
