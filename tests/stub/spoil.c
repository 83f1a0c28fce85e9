#include "spoil.h"

#define JSON_TYPE "application/json"
#define WRONG_BY 7 /* bytes that a wrong length is off */
#define HUGE_HEAD_LINES 16384
#define HUGE_HEAD_LINE "X-Padding: this line is one of a great many, of no use...\r\n"
#define ENDLESS_BYTES 16384

static void add_answer(size_t length, struct str body, struct buf *out)
{
    http_head_write(out, 200, JSON_TYPE, length, "");
    buf_add_str(out, body);
}

static struct str half(const struct buf *body)
{
    return str_sub(buf_str(body), 0, body->len / 2);
}

static struct spoiled slow_drip(const struct reply *r, struct buf *body, struct buf *out)
{
    reply_answer(r, body);
    add_answer(body->len, buf_str(body), out);
    return (struct spoiled){ AFTER_DRIP, body->len };
}

static struct spoiled hang(const struct reply *r, struct buf *body, struct buf *out)
{
    (void)r;
    (void)body;
    (void)out;
    return (struct spoiled){ AFTER_HANG, 0 };
}

static struct spoiled reset(const struct reply *r, struct buf *body, struct buf *out)
{
    reply_answer(r, body);
    add_answer(body->len, half(body), out);
    return (struct spoiled){ AFTER_RESET, 0 };
}

static struct spoiled truncated(const struct reply *r, struct buf *body, struct buf *out)
{
    reply_answer(r, body);
    add_answer(body->len, half(body), out);
    return (struct spoiled){ AFTER_CLOSE, 0 };
}

static struct spoiled bad_json(const struct reply *r, struct buf *body, struct buf *out)
{
    reply_answer(r, body);
    add_answer(body->len / 2, half(body), out);
    return (struct spoiled){ AFTER_KEEP, 0 };
}

/* Too small: what is left over stands where the next reply should begin. Too large: it never ends. */
static struct spoiled wrong_length(const struct reply *r, struct buf *body, struct buf *out)
{
    bool smaller = r->call->hash & 1;

    reply_answer(r, body);
    add_answer(smaller ? body->len - WRONG_BY : body->len + WRONG_BY, buf_str(body), out);
    return (struct spoiled){ AFTER_KEEP, 0 };
}

static struct spoiled endless(const struct reply *r, struct buf *body, struct buf *out)
{
    reply_answer(r, body);
    struct str start = half(body);
    buf_addf(out,
             "HTTP/1.1 200 OK\r\nContent-Type: " JSON_TYPE
             "\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%.*s\r\n",
             start.len, STR_ARG(start));
    return (struct spoiled){ AFTER_ENDLESS, 0 };
}

void spoil_endless(struct buf *out)
{
    buf_addf(out, "%x\r\n", ENDLESS_BYTES);
    for (unsigned i = 0; i < ENDLESS_BYTES / 16; i++)
        buf_add_str(out, STR("and so on and on"));
    buf_add_str(out, STR("\r\n"));
}

static struct spoiled bad_utf8(const struct reply *r, struct buf *body, struct buf *out)
{
    reply_bad_utf8(r, body);
    add_answer(body->len, buf_str(body), out);
    return (struct spoiled){ AFTER_KEEP, 0 };
}

static struct spoiled error_200(const struct reply *r, struct buf *body, struct buf *out)
{
    reply_error(r, 503, 0, body);
    add_answer(body->len, buf_str(body), out);
    return (struct spoiled){ AFTER_KEEP, 0 };
}

static struct spoiled empty(const struct reply *r, struct buf *body, struct buf *out)
{
    reply_empty(r, body);
    add_answer(body->len, buf_str(body), out);
    return (struct spoiled){ AFTER_KEEP, 0 };
}

static struct spoiled duplicate(const struct reply *r, struct buf *body, struct buf *out)
{
    reply_answer(r, body);
    add_answer(body->len, buf_str(body), out);
    add_answer(body->len, buf_str(body), out);
    return (struct spoiled){ AFTER_KEEP, 0 };
}

static struct spoiled refuse(const struct reply *r, struct buf *body, struct buf *out)
{
    (void)r;
    (void)body;
    (void)out;
    return (struct spoiled){ AFTER_CLOSE, 0 };
}

/* RFC 8446, 5.1 and 6: an alert record, fatal, handshake_failure. */
static struct spoiled tls(const struct reply *r, struct buf *body, struct buf *out)
{
    (void)r;
    (void)body;
    buf_add(out, "\x15\x03\x03\x00\x02\x02\x28", 7);
    return (struct spoiled){ AFTER_CLOSE, 0 };
}

static struct spoiled refusal(const struct reply *r, int status, struct buf *body, struct buf *out)
{
    reply_refuse(r, status, r->options->retry_after_ms, body, out);
    return (struct spoiled){ AFTER_KEEP, 0 };
}

static struct spoiled wrong_model(const struct reply *r, struct buf *body, struct buf *out)
{
    return refusal(r, 404, body, out);
}

static struct spoiled http_400(const struct reply *r, struct buf *body, struct buf *out)
{
    return refusal(r, 400, body, out);
}

static struct spoiled http_429(const struct reply *r, struct buf *body, struct buf *out)
{
    return refusal(r, 429, body, out);
}

static struct spoiled http_500(const struct reply *r, struct buf *body, struct buf *out)
{
    return refusal(r, 500, body, out);
}

static struct spoiled http_503(const struct reply *r, struct buf *body, struct buf *out)
{
    return refusal(r, 503, body, out);
}

static struct spoiled http_502(const struct reply *r, struct buf *body, struct buf *out)
{
    (void)r;
    buf_add_str(body, STR("<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n"
                          "<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n"));
    http_head_write(out, 502, "text/html", body->len, "");
    buf_add_str(out, buf_str(body));
    return (struct spoiled){ AFTER_KEEP, 0 };
}

static struct spoiled huge_head(const struct reply *r, struct buf *body, struct buf *out)
{
    reply_answer(r, body);
    buf_add_str(out, STR("HTTP/1.1 200 OK\r\n"));
    for (unsigned i = 0; i < HUGE_HEAD_LINES; i++)
        buf_add_str(out, STR(HUGE_HEAD_LINE));
    buf_addf(out, "Content-Length: %zu\r\n\r\n", body->len);
    buf_add_str(out, buf_str(body));
    return (struct spoiled){ AFTER_KEEP, 0 };
}

static struct spoiled (*const spoilers[FAULT_COUNT])(const struct reply *, struct buf *,
                                                     struct buf *) = {
    [FAULT_SLOW_DRIP] = slow_drip,
    [FAULT_HANG] = hang,
    [FAULT_RESET] = reset,
    [FAULT_TRUNCATED] = truncated,
    [FAULT_BAD_JSON] = bad_json,
    [FAULT_WRONG_LENGTH] = wrong_length,
    [FAULT_ENDLESS] = endless,
    [FAULT_BAD_UTF8] = bad_utf8,
    [FAULT_ERROR_200] = error_200,
    [FAULT_EMPTY] = empty,
    [FAULT_DUPLICATE] = duplicate,
    [FAULT_REFUSE] = refuse,
    [FAULT_TLS] = tls,
    [FAULT_WRONG_MODEL] = wrong_model,
    [FAULT_HTTP_400] = http_400,
    [FAULT_HTTP_429] = http_429,
    [FAULT_HTTP_500] = http_500,
    [FAULT_HTTP_502] = http_502,
    [FAULT_HTTP_503] = http_503,
    [FAULT_HUGE_HEAD] = huge_head,
};

struct spoiled spoil_write(const struct reply *r, struct buf *body, struct buf *out)
{
    buf_clear(body);
    return spoilers[r->call->fault](r, body, out);
}
