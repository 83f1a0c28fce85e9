#include "store/bucket/bucket_web.h"

#include <assert.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/crc32c.h"
#include "base/random.h"
#include "base/sys.h"
#include "base/thread.h"
#include "store/db/store_metrics.h"

#define PAUSE_MS 100 /* before the second try */
#define PAUSE_MAX_MS 5000
#define PAUSE_ASKED_MAX_S 20
#define SILENCE_MAX_S 10
#define ANSWER_BYTES_MAX ((size_t)16 * 1024 * 1024) /* a page of a list */
#define READ_BYTES ((size_t)256 * 1024)
#define SHA256_BYTES 32
#define SUM_BYTES 4

static uint64_t now_ns(void)
{
    return clock_system()->mono_ns(clock_system());
}

/* ---- Texts and sums ---- */

void web_head_add(struct web_head *h, const char *line)
{
    assert(h->count < WEB_HEADERS_MAX);
    h->line[h->count++] = line;
}

const char *web_key(const struct web *w, struct arena *a, const char *key)
{
    const char *whole = arena_textf(a, "%s%s", w->prefix, key);

    assert(strlen(whole) <= WEB_KEY_BYTES_MAX && key[0] != '/' && !strstr(key, ".."));
    return whole;
}

const char *web_encoded(struct arena *a, const char *text, bool slashes_stay)
{
    struct buf out = BUF_INIT(3 * strlen(text) + 1);

    http_add_encoded(&out, str_of(text), slashes_stay ? "/" : "");
    const char *copy = arena_copy(a, out.p ? out.p : "", out.len);
    buf_release(&out);
    return copy;
}

int web_sums(int fd, uint64_t from, uint64_t to, uint32_t *crc32c, char *sha256, struct error *e)
{
    EVP_MD_CTX *sha = sha256 ? EVP_MD_CTX_new() : NULL;
    unsigned char hash[SHA256_BYTES];
    char *chunk = mem_alloc(READ_BYTES);
    int64_t n = 1;

    if (sha) {
        int ok = EVP_DigestInit_ex(sha, EVP_sha256(), NULL);
        assert(ok == 1);
    }
    *crc32c = 0;
    for (uint64_t at = from; at < to && n > 0; at += (uint64_t)n) {
        size_t want = to - at < READ_BYTES ? (size_t)(to - at) : READ_BYTES;
        n = sys_read_at(fd, chunk, want, at, "the file that goes into the bucket", e);
        if (n == 0)
            n = error_set(e, ERROR_FAILED_PRECONDITION,
                          "the file became shorter before it was sent");
        if (n <= 0)
            break;
        *crc32c = crc32c_add(*crc32c, chunk, (size_t)n);
        if (sha)
            (void)EVP_DigestUpdate(sha, chunk, (size_t)n);
    }
    if (sha && n > 0) {
        (void)EVP_DigestFinal_ex(sha, hash, NULL);
        str_hex(hash, sizeof hash, sha256);
    }
    EVP_MD_CTX_free(sha);
    mem_free(chunk);
    return n > 0 ? 0 : -1;
}

void web_sum_text(uint32_t crc32c, char out[WEB_SUM_BYTES])
{
    const unsigned char bytes[SUM_BYTES] = { (unsigned char)(crc32c >> 24),
                                             (unsigned char)(crc32c >> 16),
                                             (unsigned char)(crc32c >> 8), (unsigned char)crc32c };
    struct buf text = BUF_INIT(WEB_SUM_BYTES - 1);

    base64_add(bytes, sizeof bytes, &text);
    assert(buf_ok(&text));
    (void)snprintf(out, WEB_SUM_BYTES, "%s", text.p);
    buf_release(&text);
}

bool web_sum_read(struct str text, uint32_t *crc32c)
{
    unsigned char bytes[WEB_SUM_BYTES];
    size_t len = 0;

    if (text.len != 8 || !base64_read(text, false, bytes, &len) || len != SUM_BYTES)
        return false;
    *crc32c = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 |
              (uint32_t)bytes[3];
    return true;
}

/* ---- What an answer means ---- */

static const struct {
    int status;
    enum error_code code;
    enum web_verdict verdict;
} statuses[] = {
    { 401, ERROR_PERMISSION_DENIED, WEB_NEW_KEYS }, { 403, ERROR_PERMISSION_DENIED, WEB_REFUSED },
    { 404, ERROR_NOT_FOUND, WEB_REFUSED },          { 408, ERROR_UNAVAILABLE, WEB_AGAIN },
    { 409, ERROR_UNAVAILABLE, WEB_AGAIN },          { 416, ERROR_OUT_OF_RANGE, WEB_REFUSED },
    { 429, ERROR_RESOURCE_EXHAUSTED, WEB_AGAIN },
};

enum web_verdict web_judge(const struct web *w, int status, const char *said, struct error *e)
{
    enum error_code code = status >= 500 ? ERROR_UNAVAILABLE : ERROR_FAILED_PRECONDITION;
    enum web_verdict verdict = status >= 500 ? WEB_AGAIN : WEB_REFUSED;

    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i].status == status) {
            code = statuses[i].code;
            verdict = statuses[i].verdict;
        }
    (void)error_set(e, code, "%s answered with status %d%s%s", w->ops->name, status,
                    said[0] ? ": " : "", said);
    return verdict;
}

/* ---- A download ---- */

struct answer {
    const struct web *w;
    struct web_sink *sink;
    const struct http_in *in;
};

/* "bytes FROM-LAST/TOTAL" */
static bool read_range(struct str text, uint64_t *from, uint64_t *total)
{
    struct str unit, first, last;
    uint64_t end;

    return str_next(&text, ' ', &unit) && str_eq_c(unit, "bytes") && str_next(&text, '-', &first) &&
           str_next(&text, '/', &last) && str_number(first, from) && str_number(last, &end) &&
           str_number(text, total);
}

/* A server may answer with the whole object instead of the range that it was asked for. */
static int begin_answer(struct answer *a, struct error *e)
{
    struct web_sink *s = a->sink;
    uint64_t from = 0, total = 0;
    bool known;

    if (a->in->status == 206)
        known = read_range(http_in_header(a->in, "content-range"), &from, &total);
    else
        known = str_number(http_in_header(a->in, "content-length"), &total);
    if (!known || from > s->from + s->got)
        return error_set(e, ERROR_UNAVAILABLE, "%s does not say which bytes it sent",
                         a->w->ops->name);
    if (total < s->to)
        return error_set(e, ERROR_OUT_OF_RANGE, "the object has %llu bytes, not %llu",
                         (unsigned long long)total, (unsigned long long)s->to);
    s->skip = s->from + s->got - from;
    s->has_sum = s->from == 0 && s->to == total && a->w->ops->sum(a->in, &s->sum);
    s->begun = true;
    return 0;
}

static int take_bytes(void *arg, const void *p, size_t len, struct error *e)
{
    struct answer *a = arg;
    struct web_sink *s = a->sink;
    const char *bytes = p;

    if (!s->begun && begin_answer(a, e) < 0)
        return -1;
    size_t skip = s->skip < len ? (size_t)s->skip : len;
    s->skip -= skip;
    bytes += skip;
    len -= skip;
    if (len > s->to - s->from - s->got)
        len = (size_t)(s->to - s->from - s->got);
    if (len == 0)
        return 0;
    if (sys_write_at(s->fd, bytes, len, s->at + s->got, "a copy of an object", e) < 0)
        return -1;
    s->crc32c = crc32c_add(s->crc32c, bytes, len);
    s->got += len;
    return 0;
}

/* All bytes came? WEB_DONE, or why not. */
static enum web_verdict sink_end(struct web_sink *s, unsigned *wrong, struct error *e)
{
    if (s->got < s->to - s->from) {
        (void)error_set(e, ERROR_UNAVAILABLE, "the answer was cut short");
        return WEB_AGAIN;
    }
    if (!s->has_sum || s->sum == s->crc32c)
        return WEB_DONE;
    (void)error_set(e, ERROR_DATA_LOSS,
                    "other bytes came than were sent: their CRC-32C is %08x, the object's is %08x",
                    (unsigned)s->crc32c, (unsigned)s->sum);
    s->got = 0;
    s->crc32c = 0;
    return ++*wrong < WEB_WRONG_MAX ? WEB_AGAIN : WEB_REFUSED;
}

/* ---- One try ---- */

static uint32_t silence_s(const struct web *w)
{
    uint64_t s = w->patience_ns / 4 / NS_PER_S;

    return s < 1 ? 1 : s > SILENCE_MAX_S ? SILENCE_MAX_S : (uint32_t)s;
}

/* 0 and the answer, whatever its status. */
static int send_once(struct web *w, const struct web_call *c, struct http_in *in, struct error *e)
{
    struct web_head h = { 0 };
    struct answer answer = { w, c->sink, in };
    const char *url = c->url;
    int rc;

    for (uint32_t i = 0; c->header && c->header[i]; i++)
        web_head_add(&h, c->header[i]);
    if (!url) {
        const char *mark = c->query ? "?" : "", *query = c->query ? c->query : "";
        url = arena_textf(&h.arena, "%s%s%s%s", w->endpoint, c->path, mark, query);
    }
    rc = c->url ? 0 : w->ops->prove(w, c, &h, e);
    if (rc == 0 && c->sink) {
        c->sink->begun = false;
        web_head_add(&h, arena_textf(&h.arena, "Range: bytes=%" PRIu64 "-%" PRIu64,
                                     c->sink->from + c->sink->got, c->sink->to - 1));
    }
    if (rc == 0) {
        const struct http_out out = { .method = c->method,
                                      .url = url,
                                      .header = h.line,
                                      .body = c->body,
                                      .has_body_file = c->has_file,
                                      .body_fd = c->fd,
                                      .body_offset = c->from,
                                      .body_bytes = c->to - c->from,
                                      .silence_s = silence_s(w),
                                      .connect_ms = silence_s(w) * 1000,
                                      .ca_file = w->ca_file,
                                      .on_body = c->sink ? take_bytes : NULL,
                                      .arg = &answer,
                                      .body_max = ANSWER_BYTES_MAX };
        struct http_client *client = http_pool_take(w->pool);
        rc = http_do(client, &out, in, e);
        http_pool_give(w->pool, client);
    }
    arena_release(&h.arena);
    return rc;
}

static enum web_verdict try_once(struct web *w, const struct web_call *c, unsigned *wrong,
                                 struct http_in *in, struct error *e)
{
    if (send_once(w, c, in, e) < 0)
        return e->code == ERROR_UNAVAILABLE || e->code == ERROR_DEADLINE_EXCEEDED ? WEB_AGAIN
                                                                                  : WEB_REFUSED;
    if (in->status == c->also && c->also)
        return WEB_DONE;
    enum web_verdict verdict = w->ops->judge(w, in, e);
    return verdict == WEB_DONE && c->sink ? sink_end(c->sink, wrong, e) : verdict;
}

/* ---- Tries ---- */

/* The random part keeps many processes from coming at once. */
bool web_pause(uint32_t tries, const struct http_in *in, uint64_t end_ns)
{
    uint64_t seed = now_ns() ^ (uint64_t)(uintptr_t)&end_ns, seconds = 0;
    uint64_t ms = (uint64_t)PAUSE_MS << (tries < 10 ? tries : 10);

    ms = ms < PAUSE_MAX_MS ? ms : PAUSE_MAX_MS;
    ms = (uint64_t)((double)ms * (0.5 + random_unit(&seed)));
    if (str_number_in(in ? http_in_header(in, "retry-after") : (struct str){ 0 }, 1,
                      PAUSE_ASKED_MAX_S, &seconds))
        ms = seconds * 1000 > ms ? seconds * 1000 : ms;
    if (tries > 0 && now_ns() + ms * NS_PER_MS >= end_ns)
        return false;
    clock_system()->sleep_ns(clock_system(), ms * NS_PER_MS);
    return true;
}

int web_call(struct web *w, const struct web_call *c, struct http_in *in, struct error *e)
{
    uint64_t end_ns = now_ns() + w->patience_ns, got = 0;
    unsigned wrong = 0;
    bool renewed = false;

    assert_may_wait("a call of the bucket");
    *in = (struct http_in){ 0 };
    for (uint32_t tries = 0;; tries++) {
        struct error why = { 0 };
        http_in_release(in);
        *in = (struct http_in){ 0 };
        enum web_verdict verdict = try_once(w, c, &wrong, in, &why);
        if (verdict == WEB_DONE)
            return 0;
        if (c->sink && c->sink->got > got) {
            end_ns = now_ns() + w->patience_ns;
            tries = 0;
        }
        got = c->sink ? c->sink->got : 0;
        if (verdict == WEB_NEW_KEYS && !renewed && !c->once) {
            renewed = true;
            if (w->ops->forget)
                w->ops->forget(w);
            continue;
        }
        if (verdict != WEB_AGAIN || c->once || !web_pause(tries, in, end_ns)) {
            *e = why;
            return -1;
        }
        store_call_again(STORE_BUCKET, c->operation);
    }
}

int web_nothing(struct web *w, const char *key, uint64_t to, struct error *e)
{
    uint64_t bytes = 0;

    if (w->bucket.ops->size(&w->bucket, key, &bytes, e) < 0)
        return -1;
    return bytes >= to ? 0
                       : error_set(e, ERROR_OUT_OF_RANGE, "the object has %llu bytes, not %llu",
                                   (unsigned long long)bytes, (unsigned long long)to);
}

/* ---- Opening ---- */

/* Does it stand in a URL and in XML as it is? */
static bool is_name(struct str s)
{
    struct buf encoded = BUF_INIT(3 * s.len + 1);

    http_add_encoded(&encoded, s, "/");
    bool plain = encoded.len == s.len;
    buf_release(&encoded);
    return plain;
}

static int take_prefix(struct web *w, struct str prefix, struct error *e)
{
    struct str rest = prefix, step;

    if (prefix.len > WEB_PREFIX_BYTES_MAX || !is_name(prefix))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "a prefix has at most %d letters, digits, '-', '_', '.' and '/'",
                         WEB_PREFIX_BYTES_MAX);
    while (str_next(&rest, '/', &step))
        if (step.len == 0 || str_eq_c(step, ".") || str_eq_c(step, ".."))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "a prefix may not have \"%.*s\" between its slashes", STR_ARG(step));
    w->prefix = arena_textf(&w->arena, "%.*s%s", STR_ARG(prefix), prefix.len ? "/" : "");
    return 0;
}

static int take_endpoint(struct web *w, struct str endpoint, struct error *e)
{
    bool secret = str_starts(endpoint, STR("https://"));
    struct str host, usual = secret ? STR(":443") : STR(":80");

    while (str_ends(endpoint, STR("/")))
        endpoint.len--;
    host = str_sub(endpoint, secret ? strlen("https://") : strlen("http://"), endpoint.len);
    if ((!secret && !str_starts(endpoint, STR("http://"))) || host.len == 0 ||
        str_find(host, STR("/")) != SIZE_MAX || str_find(host, STR("@")) != SIZE_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "\"%.*s\" is not an endpoint such as https://HOST:PORT",
                         STR_ARG(endpoint));
    if (str_ends(host, usual)) {
        host.len -= usual.len;
        endpoint.len -= usual.len;
    }
    w->endpoint = arena_copy(&w->arena, endpoint.p, endpoint.len);
    w->host = str_of(arena_copy(&w->arena, host.p, host.len));
    return 0;
}

int web_open(struct web *w, const struct bucket_url *url, const char *endpoint, struct error *e)
{
    w->patience_ns = (url->patience_ms ? url->patience_ms : BUCKET_PATIENCE_MS) * NS_PER_MS;
    w->name = arena_copy(&w->arena, url->name.p ? url->name.p : "", url->name.len);
    if (url->name.len < 3 || url->name.len > 222 || !is_name(url->name))
        return error_set(e, ERROR_INVALID_ARGUMENT, "\"%s\" is not a bucket's name", w->name);
    if (url->ca_file.len)
        w->ca_file = arena_copy(&w->arena, url->ca_file.p, url->ca_file.len);
    if (take_prefix(w, url->prefix, e) < 0 ||
        take_endpoint(w, url->endpoint.len ? url->endpoint : str_of(endpoint), e) < 0 ||
        http_client_init(e) < 0)
        return -1;
    w->pool = http_pool_new();
    return 0;
}

void web_release(struct web *w)
{
    http_pool_free(w->pool);
    arena_release(&w->arena);
}
