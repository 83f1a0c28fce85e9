#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/json_write.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/thread.h"
#include "net/server/http_inner.h"

#define GZIP_FROM_BYTES 1024
#define ERROR_BYTES_MAX ((size_t)8 * 1024)
#define SOURCE_BLOCK_BYTES ((size_t)64 * 1024)

/* ---- Headers ---- */

static bool is_plain(struct str value)
{
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.p[i];
        if (c < 0x20 || c == 0x7f)
            return false;
    }
    return true;
}

void http_set_header(struct http_call *c, const char *name, struct str value)
{
    if (!http_is_token(str_of(name)) || !is_plain(value)) {
        log_warn("request %s: the answer's header %s is left out: it has control characters", c->id,
                 name);
        return;
    }
    struct http_field *f = arena_alloc(&c->arena, sizeof *f);
    f->name = arena_copy(&c->arena, name, strlen(name));
    f->value = (struct str){ arena_copy(&c->arena, value.p, value.len), value.len };
    f->next = c->reply_fields;
    c->reply_fields = f;
}

static void put_header(const struct http_call *c, struct MHD_Response *r, const char *name,
                       const char *value)
{
    if (MHD_add_response_header(r, name, value) != MHD_YES)
        log_warn("request %s: the answer's header %s is left out", c->id, name);
}

static void put_headers(const struct http_call *c, struct MHD_Response *r, const char *type)
{
    if (type)
        put_header(c, r, "Content-Type", type);
    for (const struct http_field *f = c->reply_fields; f; f = f->next) {
        if (f->value.len) /* libmicrohttpd takes no empty one */
            put_header(c, r, f->name, f->value.p);
    }
}

/* ---- Delivery ---- */

void http_deliver(struct http_call *c, int status, const char *type, struct MHD_Response *r)
{
    struct http_server *s = c->server;

    put_headers(c, r, type);
    lock(&s->lock);
    assert(!c->status);
    c->status = status;
    bool due = c->reply_due, connected = c->conn != NULL;
    c->reply_due = false;
    if (s->quiesced)
        (void)MHD_add_response_header(r, "Connection", "close");
    if (connected)
        c->response = r;
    if (c->suspended)
        MHD_resume_connection(c->conn);
    c->suspended = false;
    unlock(&s->lock);
    if (!connected)
        MHD_destroy_response(r);
    if (due)
        http_call_unref(c);
}

static struct MHD_Response *of_bytes(struct buf *body)
{
    struct MHD_Response *r;

    if (body && body->p && body->len)
        r = MHD_create_response_from_buffer_with_free_callback(body->len, body->p, mem_free);
    else
        r = MHD_create_response_from_buffer(0, NULL, MHD_RESPMEM_PERSISTENT);
    assert(r);
    if (body && !body->len)
        buf_release(body);
    if (body)
        *body = BUF_INIT(body->max);
    return r;
}

/* ---- gzip ---- */

bool http_takes_gzip(const struct http_call *c)
{
    struct str rest = http_header(c, "accept-encoding");

    while (rest.len) {
        size_t comma = str_find(rest, STR(","));
        struct str one = str_trim(str_sub(rest, 0, comma));
        rest = comma == SIZE_MAX ? (struct str){ 0 } : str_sub(rest, comma + 1, SIZE_MAX);
        size_t mark = str_find(one, STR(";"));
        struct str q = mark == SIZE_MAX ? STR("") : str_trim(str_sub(one, mark + 1, SIZE_MAX));
        if (str_eq_c(str_trim(str_sub(one, 0, mark)), "gzip"))
            return !str_eq_c(q, "q=0") && !str_starts(q, STR("q=0.0"));
    }
    return false;
}

static bool worth_gzip(const char *type)
{
    return type && (strncmp(type, "application/json", 16) == 0 || strncmp(type, "text/", 5) == 0 ||
                    strncmp(type, "application/javascript", 22) == 0);
}

static bool has_reply_field(const struct http_call *c, const char *name)
{
    for (const struct http_field *f = c->reply_fields; f; f = f->next) {
        if (strcasecmp(f->name, name) == 0)
            return true;
    }
    return false;
}

static void pack(struct http_call *c, const char *type, struct buf *body)
{
    struct buf packed;

    if (!body || body->len < GZIP_FROM_BYTES || !worth_gzip(type) ||
        has_reply_field(c, "content-encoding"))
        return;
    http_set_header(c, "Vary", STR("Accept-Encoding"));
    if (!http_takes_gzip(c) || !http_gzip(buf_str(body), &packed))
        return;
    http_set_header(c, "Content-Encoding", STR("gzip"));
    buf_release(body);
    *body = packed;
}

/* ---- The answers ---- */

void http_reply(struct http_call *c, int status, const char *type, struct buf *body)
{
    pack(c, type, body);
    http_deliver(c, status, type, of_bytes(body));
}

void http_reply_file(struct http_call *c, int status, const char *type, int fd, uint64_t offset,
                     uint64_t len)
{
    struct MHD_Response *r = MHD_create_response_from_fd_at_offset64(len, fd, offset);

    if (r) {
        http_deliver(c, status, type, r);
        return;
    }
    (void)close(fd);
    http_fail(c, 500, "the file cannot be sent");
}

/* A source and the call whose answer it makes. */
struct sending {
    struct http_source source;
    struct http_call *call;
};

/* A sleeping connection is called again when it wakes, and one that could not sleep at once. */
static ssize_t pull(void *cls, uint64_t at, char *p, size_t cap)
{
    struct sending *s = cls;
    int64_t n = s->source.pull(s->source.arg, p, cap);

    (void)at;
    if (n == HTTP_SOURCE_WAITS)
        return http_call_sleep(s->call) ? 0 : MHD_CONTENT_READER_END_WITH_ERROR;
    if (n < 0)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    return n == 0 ? MHD_CONTENT_READER_END_OF_STREAM : (ssize_t)n;
}

static void free_source(void *cls)
{
    struct sending *s = cls;

    if (s->source.close)
        s->source.close(s->source.arg);
    mem_free(s);
}

void http_reply_source(struct http_call *c, int status, const char *type,
                       const struct http_source *source)
{
    struct sending *s = mem_alloc(sizeof *s);
    uint64_t bytes = source->bytes ? source->bytes : MHD_SIZE_UNKNOWN;

    *s = (struct sending){ *source, c };
    struct MHD_Response *r =
        MHD_create_response_from_callback(bytes, SOURCE_BLOCK_BYTES, pull, s, free_source);
    assert(r);
    http_deliver(c, status, type, r);
}

/* ---- Errors ---- */

static const struct {
    int status;
    enum error_code code;
} error_codes[] = {
    { 400, ERROR_INVALID_ARGUMENT }, { 408, ERROR_DEADLINE_EXCEEDED },
    { 413, ERROR_INVALID_ARGUMENT }, { 414, ERROR_INVALID_ARGUMENT },
    { 431, ERROR_INVALID_ARGUMENT }, { 503, ERROR_UNAVAILABLE },
};

void http_error_json(struct buf *out, int status, const char *message)
{
    struct json_writer w = JSON_WRITER(out);
    enum error_code code = ERROR_INTERNAL;

    for (size_t i = 0; i < ARRAY_LEN(error_codes); i++) {
        if (error_codes[i].status == status)
            code = error_codes[i].code;
    }
    json_object(&w, NULL);
    json_object(&w, "error");
    json_add_int(&w, "code", status);
    json_add_c(&w, "message", message);
    json_add_c(&w, "status", error_name(code));
    json_end(&w);
    json_end(&w);
    buf_add_char(out, '\n');
}

void http_fail(struct http_call *c, int status, const char *fmt, ...)
{
    struct buf body = BUF_INIT(ERROR_BYTES_MAX);
    char message[ERROR_MSG_BYTES];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    http_error_json(&body, status, message);
    http_reply(c, status, "application/json; charset=UTF-8", &body);
}
