#include "net/client/http_client.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

#include <curl/curl.h>

#include "base/mem.h"
#include "base/thread.h"
#include "net/client/http_curl.h"

struct http_client {
    CURL *curl;
};

/* One exchange: what libcurl's callbacks see. */
struct exchange {
    CURL *curl;
    const struct http_out *out;
    struct http_in *in;
    struct curl_slist *header;
    uint64_t body_at;                     /* of the body's file: read so far */
    bool head_whole;                      /* the last line of a head has come */
    bool guarded;                         /* the address must be a public one */
    char refused[INET6_ADDRSTRLEN];       /* the address that the guard refused, or "" */
    char authority[HTTP_AUTHORITY_BYTES]; /* "host:port" of the URL */
    struct error fault;                   /* a callback's own; OK: none */
    char text[CURL_ERROR_SIZE];           /* libcurl's message */
};

/* ---- Before ---- */

static int exchange_prepare(struct exchange *x, struct error *e)
{
    if (http_curl_authority(x->out->url, x->authority, e) < 0)
        return -1;
    x->guarded = x->out->guard && !http_curl_listed(x->out->guard_allow, x->authority);
    return http_curl_headers(x->out->header, NULL, &x->header, e);
}

static void set_target(CURL *c, struct exchange *x)
{
    const struct http_out *out = x->out;
    bool follow = out->follow && !out->guard;

    http_curl_defaults(c);
    (void)curl_easy_setopt(c, CURLOPT_URL, out->url);
    (void)curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, follow ? 1L : 0L);
    (void)curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)HTTP_REDIRECTS_MAX);
    (void)curl_easy_setopt(c, CURLOPT_HTTPHEADER, x->header);
    if (out->ca_file)
        (void)curl_easy_setopt(c, CURLOPT_CAINFO, out->ca_file);
    if (out->guard || http_curl_this_machine(x->authority))
        (void)curl_easy_setopt(c, CURLOPT_PROXY, "");
    /* The guard checks connections as they are made, so it must not get one that was made before. */
    (void)curl_easy_setopt(c, CURLOPT_FRESH_CONNECT, out->guard ? 1L : 0L);
    (void)curl_easy_setopt(c, CURLOPT_FORBID_REUSE, out->guard ? 1L : 0L);
}

static size_t read_body(char *p, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    uint64_t left = x->out->body_bytes - x->body_at;
    size_t want = size * count < left ? size * count : (size_t)left;
    ssize_t n = 0;

    if (want) {
        do
            n = pread(x->out->body_fd, p, want, (off_t)(x->out->body_offset + x->body_at));
        while (n < 0 && errno == EINTR);
    }
    if (n > 0 || want == 0) {
        x->body_at += (uint64_t)n;
        return (size_t)n;
    }
    if (n < 0)
        (void)error_errno(&x->fault, "cannot read the body");
    else
        (void)error_set(&x->fault, ERROR_FAILED_PRECONDITION,
                        "the file became shorter while it was sent");
    return CURL_READFUNC_ABORT;
}

/* For a body that must be sent once more, after a redirect or on a connection that had gone. */
static int seek_body(void *arg, curl_off_t offset, int origin)
{
    struct exchange *x = arg;

    if (origin != SEEK_SET || offset < 0 || (uint64_t)offset > x->out->body_bytes)
        return CURL_SEEKFUNC_CANTSEEK;
    x->body_at = (uint64_t)offset;
    return CURL_SEEKFUNC_OK;
}

static void set_body(CURL *c, struct exchange *x)
{
    const struct http_out *out = x->out;

    if (!out->has_body_file) {
        http_curl_method(c, out->method, out->body);
        return;
    }
    (void)curl_easy_setopt(c, CURLOPT_UPLOAD, 1L);
    (void)curl_easy_setopt(c, CURLOPT_INFILESIZE_LARGE, (curl_off_t)out->body_bytes);
    (void)curl_easy_setopt(c, CURLOPT_READFUNCTION, read_body);
    (void)curl_easy_setopt(c, CURLOPT_READDATA, x);
    (void)curl_easy_setopt(c, CURLOPT_SEEKFUNCTION, seek_body);
    (void)curl_easy_setopt(c, CURLOPT_SEEKDATA, x);
    (void)curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, out->method);
}

static void set_limits(CURL *c, struct exchange *x)
{
    const struct http_out *out = x->out;

    (void)curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT_MS,
                           (long)(out->connect_ms ? out->connect_ms : HTTP_CONNECT_MS));
    (void)curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, (long)out->timeout_ms);
    if (out->timeout_ms)
        return;
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    (void)curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME,
                           (long)(out->silence_s ? out->silence_s : HTTP_SILENCE_S));
}

/* ---- While it runs ---- */

static curl_socket_t open_socket(void *arg, curlsocktype purpose, struct curl_sockaddr *a)
{
    struct exchange *x = arg;
    char text[INET6_ADDRSTRLEN];

    (void)purpose;
    if (x->guarded && !http_curl_public(a, text)) {
        memcpy(x->refused, text, sizeof x->refused);
        return CURL_SOCKET_BAD;
    }
    return socket(a->family, a->socktype | SOCK_CLOEXEC, a->protocol);
}

/* Takes one line of a head. A body that came with an earlier head (a redirect) is not the answer's. */
static size_t take_header(char *p, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    struct str line = { p, size * count };

    if (str_starts(line, STR("HTTP/"))) {
        buf_clear(&x->in->body);
        x->head_whole = false;
    }
    x->head_whole = x->head_whole || http_curl_head_ends(x->curl, line);
    if (http_curl_head_line(&x->in->headers, line))
        return size * count;
    (void)error_set(&x->fault, ERROR_RESOURCE_EXHAUSTED, "the answer's head is over %zu bytes",
                    HTTP_IN_HEAD_BYTES_MAX);
    return 0;
}

static size_t take_body(char *p, size_t size, size_t count, void *arg)
{
    struct exchange *x = arg;
    size_t len = size * count;
    long status = 0;

    (void)curl_easy_getinfo(x->curl, CURLINFO_RESPONSE_CODE, &status);
    x->in->status = (int)status;
    if (x->out->on_body && status / 100 == 2)
        return x->out->on_body(x->out->arg, p, len, &x->fault) < 0 ? 0 : len;
    buf_add(&x->in->body, p, len);
    if (buf_ok(&x->in->body))
        return len;
    (void)error_set(&x->fault, ERROR_RESOURCE_EXHAUSTED, "the answer's body is over %zu bytes",
                    x->in->body.max);
    return 0;
}

static int look_at_stop(void *arg, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                        curl_off_t up)
{
    const struct exchange *x = arg;

    (void)down_total;
    (void)down;
    (void)up_total;
    (void)up;
    return x->out->stop && atomic_load(x->out->stop);
}

static void set_callbacks(CURL *c, struct exchange *x)
{
    (void)curl_easy_setopt(c, CURLOPT_ERRORBUFFER, x->text);
    (void)curl_easy_setopt(c, CURLOPT_OPENSOCKETFUNCTION, open_socket);
    (void)curl_easy_setopt(c, CURLOPT_OPENSOCKETDATA, x);
    (void)curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, take_header);
    (void)curl_easy_setopt(c, CURLOPT_HEADERDATA, x);
    (void)curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    (void)curl_easy_setopt(c, CURLOPT_WRITEDATA, x);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, look_at_stop);
    (void)curl_easy_setopt(c, CURLOPT_XFERINFODATA, x);
    (void)curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
}

/* ---- After ---- */

static int exchange_fail(const struct exchange *x, CURLcode code, struct error *e)
{
    if (x->fault.code != ERROR_OK)
        return error_set(e, x->fault.code, "%s", x->fault.msg);
    if (x->refused[0])
        return http_curl_refused(x->authority, x->refused, e);
    return http_curl_fail(x->curl, code, x->authority, x->text, e);
}

/* ---- For callers ---- */

int http_client_init(struct error *e)
{
    CURLcode code = curl_global_init(CURL_GLOBAL_DEFAULT);

    if (code == CURLE_OK)
        return 0;
    return error_set(e, ERROR_INTERNAL, "cannot start libcurl: %s", curl_easy_strerror(code));
}

struct http_client *http_client_new(void)
{
    struct http_client *c = mem_alloc(sizeof *c);

    c->curl = curl_easy_init();
    return c;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    curl_easy_cleanup(c->curl);
    mem_free(c);
}

int http_do(struct http_client *c, const struct http_out *out, struct http_in *in, struct error *e)
{
    struct exchange x = { .curl = c->curl, .out = out, .in = in };
    long status = 0;
    int rc = -1;

    assert_may_wait("an HTTP request");
    *in = (struct http_in){
        .body = BUF_INIT(out->body_max ? out->body_max : HTTP_BODY_BYTES),
        .headers = BUF_INIT(HTTP_IN_HEAD_BYTES_MAX),
    };
    if (!c->curl)
        return error_set(e, ERROR_INTERNAL, "libcurl cannot create a handle");
    if (exchange_prepare(&x, e) == 0) {
        curl_easy_reset(c->curl); /* keeps the connections */
        set_target(c->curl, &x);
        set_body(c->curl, &x);
        set_limits(c->curl, &x);
        set_callbacks(c->curl, &x);
        CURLcode code = curl_easy_perform(c->curl);
        (void)curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
        in->status = (int)status;
        if (code == CURLE_OK && !x.head_whole)
            code = CURLE_PARTIAL_FILE;
        rc = code == CURLE_OK ? 0 : exchange_fail(&x, code, e);
    }
    curl_slist_free_all(x.header);
    return rc;
}

struct str http_in_header(const struct http_in *in, const char *name)
{
    return http_curl_header(buf_str(&in->headers), name);
}

void http_in_release(struct http_in *in)
{
    buf_release(&in->body);
    buf_release(&in->headers);
}

void http_add_encoded(struct buf *out, struct str s, const char *also)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        bool plain = (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
                     (c && (strchr("-_.~", c) || strchr(also, c)));
        if (plain)
            buf_add_char(out, c);
        else
            buf_addf(out, "%%%02X", (unsigned char)c);
    }
}
