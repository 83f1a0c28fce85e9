/* bucket_s3.c -- a bucket at Amazon S3, or at a server that speaks as it does.
 *
 * Why: S3 is what most machines that are not Google's have.
 *
 * Address: https://NAME.s3.REGION.amazonaws.com/KEY; https://s3.REGION.amazonaws.com/NAME/KEY for a name with a dot, which no
 *          certificate covers; ENDPOINT/NAME/KEY at another server. REGION: of the URL, AWS_REGION, AWS_DEFAULT_REGION,
 *          us-east-1.
 * Checks:  every body is signed by its SHA-256 and goes with x-amz-checksum-crc32c, which a server that knows it compares. The
 *          object's CRC-32C is also kept as x-amz-meta-crc32c, so that any server gives it back with each answer.
 * Parts:   an object over WEB_PART_BYTES goes up in parts; after a failure the upload is ended, and what a process that died
 *          left is for the bucket's lifecycle rule (docs/scale.md).
 * Source:  https://docs.aws.amazon.com/AmazonS3/latest/API/API_Operations_Amazon_Simple_Storage_Service.html
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/crc32c.h"
#include "base/env.h"
#include "base/timestamp.h"
#include "net/client/aws_keys.h"
#include "net/client/sigv4.h"
#include "store/bucket/bucket_web.h"

#define PARTS_MAX 10000
#define PAGE_KEYS "1000"
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define COMPLETE_BYTES_MAX ((size_t)4 * 1024 * 1024) /* of the list of an upload's parts */
#define META_SUM "x-amz-meta-crc32c"

struct s3 {
    struct web web; /* first */
    struct aws_keys *keys;
    const char *region;
    const char *root; /* of a key's path: "/" or "/NAME/" */
};

/* ---- XML ---- */

/* The text of the next element of this name in *rest, which then begins behind it. */
static bool xml_next(struct str *rest, const char *name, struct str *text)
{
    char begin[64], end[64];

    (void)snprintf(begin, sizeof begin, "<%s>", name);
    (void)snprintf(end, sizeof end, "</%s>", name);
    size_t from = str_find(*rest, str_of(begin));
    if (from == SIZE_MAX)
        return false;
    struct str behind = str_sub(*rest, from + strlen(begin), rest->len);
    size_t len = str_find(behind, str_of(end));
    if (len == SIZE_MAX)
        return false;
    *text = str_sub(behind, 0, len);
    *rest = str_sub(behind, len + strlen(end), behind.len);
    return true;
}

static struct str xml_text(struct str xml, const char *name)
{
    struct str text = { 0 };

    (void)xml_next(&xml, name, &text);
    return text;
}

/* Undoes the five entities that XML has, and numbers of ASCII. */
static const char *xml_plain(struct arena *a, struct str text)
{
    static const struct {
        const char *entity;
        char is;
    } entities[] = { { "&amp;", '&' },   { "&lt;", '<' },   { "&gt;", '>' },   { "&quot;", '"' },
                     { "&apos;", '\'' }, { "&#34;", '"' },  { "&#39;", '\'' }, { "&#43;", '+' },
                     { "&#61;", '=' },   { "&#x2B;", '+' }, { "&#x3D;", '=' } };
    char *out = arena_alloc(a, text.len + 1);
    size_t len = 0;

    while (text.len) {
        char c = text.p[0];
        size_t taken = 1;
        for (size_t i = 0; c == '&' && taken == 1 && i < ARRAY_LEN(entities); i++)
            if (str_starts(text, str_of(entities[i].entity))) {
                c = entities[i].is;
                taken = strlen(entities[i].entity);
            }
        out[len++] = c;
        text = str_sub(text, taken, text.len);
    }
    return out;
}

/* ---- A kind of web ---- */

/* Signs the call's headers and those of the signature itself. */
static int s3_prove(struct web *w, const struct web_call *c, struct web_head *h, struct error *e)
{
    struct s3 *s = (struct s3 *)w;
    struct buf line = BUF_INIT(4096);
    struct str token;
    struct sigv4 sign = {
        .region = s->region,
        .service = "s3",
        .method = c->method,
        .host = w->host,
        .path = str_of(c->path),
        .query = str_of(c->query),
        .header = h->line,
        .payload = c->sha256 ? c->sha256 : EMPTY_SHA256,
    };

    if (aws_keys_get(s->keys, &h->arena, &sign.id, &sign.secret, &token, e) < 0) {
        buf_release(&line);
        return -1;
    }
    sigv4_date(clock_system()->wall_us(clock_system()), sign.date);
    web_head_add(h, arena_textf(&h->arena, "x-amz-date: %s", sign.date));
    web_head_add(h, arena_textf(&h->arena, "x-amz-content-sha256: %s", sign.payload));
    if (token.len)
        web_head_add(h, arena_textf(&h->arena, "x-amz-security-token: %.*s", STR_ARG(token)));
    int rc = sigv4_sign(&sign, &line, e);
    if (rc == 0)
        web_head_add(h, arena_copy(&h->arena, line.p, line.len));
    buf_release(&line);
    return rc;
}

/* Errors whose status says too little. */
static const struct {
    const char *name;
    enum error_code code;
    enum web_verdict verdict;
} reasons[] = {
    { "SlowDown", ERROR_RESOURCE_EXHAUSTED, WEB_AGAIN },
    { "RequestTimeout", ERROR_UNAVAILABLE, WEB_AGAIN },
    { "InternalError", ERROR_UNAVAILABLE, WEB_AGAIN },
    { "BadDigest", ERROR_DATA_LOSS, WEB_AGAIN },
    { "InvalidDigest", ERROR_DATA_LOSS, WEB_AGAIN },
    { "XAmzContentSHA256Mismatch", ERROR_DATA_LOSS, WEB_AGAIN },
    { "XAmzContentChecksumMismatch", ERROR_DATA_LOSS, WEB_AGAIN },
    { "IncompleteBody", ERROR_UNAVAILABLE, WEB_AGAIN },
    { "ExpiredToken", ERROR_PERMISSION_DENIED, WEB_NEW_KEYS },
    { "InvalidAccessKeyId", ERROR_PERMISSION_DENIED, WEB_NEW_KEYS },
    { "SignatureDoesNotMatch", ERROR_PERMISSION_DENIED, WEB_NEW_KEYS },
    { "NoSuchBucket", ERROR_FAILED_PRECONDITION, WEB_REFUSED },
    { "NoSuchUpload", ERROR_NOT_FOUND, WEB_REFUSED },
    { "NoSuchKey", ERROR_NOT_FOUND, WEB_REFUSED },
};

/* The end of an upload in parts may fail with status 200. */
static enum web_verdict s3_judge(struct web *w, const struct http_in *in, struct error *e)
{
    struct str body = buf_str(&in->body);
    char said[256];

    if (in->status / 100 == 2 && str_find(str_sub(body, 0, 512), STR("<Error>")) == SIZE_MAX)
        return WEB_DONE;
    struct str code = xml_text(body, "Code"), message = xml_text(body, "Message");
    struct str region = http_in_header(in, "x-amz-bucket-region");
    (void)snprintf(said, sizeof said, "%.*s%s%.*s", STR_ARG(code), message.len ? ": " : "",
                   STR_ARG(message));
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (str_eq_c(code, reasons[i].name)) {
            (void)error_set(e, reasons[i].code, "S3: %s", said);
            return reasons[i].verdict;
        }
    if (in->status == 404 && code.len) { /* something else than the object is not there */
        (void)error_set(e, ERROR_FAILED_PRECONDITION, "S3: %s", said);
        return WEB_REFUSED;
    }
    if (region.len && !str_eq_c(region, ((const struct s3 *)w)->region) && in->status / 100 <= 4) {
        (void)error_set(e, ERROR_FAILED_PRECONDITION,
                        "the bucket is in another region: set region=%.*s in its URL",
                        STR_ARG(region));
        return WEB_REFUSED;
    }
    return web_judge(w, in->status / 100 == 2 ? 500 : in->status, said, e);
}

static bool s3_sum(const struct http_in *in, uint32_t *out)
{
    return web_sum_read(http_in_header(in, META_SUM), out);
}

static void s3_forget(struct web *w)
{
    aws_keys_refused(((struct s3 *)w)->keys);
}

static const struct web_ops web_ops = {
    .name = "S3",
    .prove = s3_prove,
    .judge = s3_judge,
    .sum = s3_sum,
    .forget = s3_forget,
};

/* The key's path, encoded. */
static const char *path_of(struct s3 *s, struct arena *a, const char *key)
{
    return arena_textf(a, "%s%s", s->root, web_encoded(a, web_key(&s->web, a, key), true));
}

/* A call of which only success matters. */
static int call(struct s3 *s, const struct web_call *c, struct error *e)
{
    struct http_in in;
    int rc = web_call(&s->web, c, &in, e);

    http_in_release(&in);
    return rc;
}

/* ---- Put ---- */

static int put_whole(struct s3 *s, const struct web_call *file, struct error *e)
{
    char sha256[SIGV4_SHA256_BYTES], sum[WEB_SUM_BYTES];
    struct arena a = { 0 };
    struct web_call put = *file;
    uint32_t crc32c;
    int rc = web_sums(file->fd, file->from, file->to, &crc32c, sha256, e);

    if (rc == 0) {
        web_sum_text(crc32c, sum);
        put.header = (const char *const[]){ arena_textf(&a, "x-amz-checksum-crc32c: %s", sum),
                                            arena_textf(&a, META_SUM ": %s", sum), NULL };
        put.sha256 = sha256;
        rc = call(s, &put, e);
    }
    arena_release(&a);
    return rc;
}

/* An upload in parts. */
struct upload {
    struct s3 *s;
    const struct web_call *file;
    const char *id; /* encoded */
    uint32_t crc32c;
    char sum[WEB_SUM_BYTES]; /* of all bytes */
    uint64_t part_bytes;
    struct buf list; /* of the parts: the body of its end */
    uint32_t joined; /* the CRC-32C of the parts so far */
    struct arena arena;
};

static int upload_begin(struct upload *u, struct error *e)
{
    struct web_call c = *u->file;
    struct http_in in;

    c.method = "POST";
    c.query = "uploads=";
    c.has_file = false;
    c.header = (const char *const[]){ "x-amz-checksum-algorithm: CRC32C",
                                      "x-amz-checksum-type: FULL_OBJECT",
                                      arena_textf(&u->arena, META_SUM ": %s", u->sum), NULL };
    int rc = web_call(&u->s->web, &c, &in, e);
    if (rc == 0) {
        const char *id = xml_plain(&u->arena, xml_text(buf_str(&in.body), "UploadId"));
        u->id = web_encoded(&u->arena, id, false);
        if (!id[0])
            rc = error_set(e, ERROR_UNAVAILABLE, "S3 gave no id for an upload");
    }
    http_in_release(&in);
    return rc;
}

static int upload_part(struct upload *u, uint32_t number, uint64_t from, struct error *e)
{
    uint64_t left = u->file->to - from;
    struct web_call c = *u->file;
    char sha256[SIGV4_SHA256_BYTES], sum[WEB_SUM_BYTES];
    struct http_in in;
    uint32_t crc32c;

    c.from = from;
    c.to = from + (left < u->part_bytes ? left : u->part_bytes);
    if (web_sums(c.fd, c.from, c.to, &crc32c, sha256, e) < 0)
        return -1;
    web_sum_text(crc32c, sum);
    u->joined = crc32c_join(u->joined, crc32c, c.to - c.from);
    c.sha256 = sha256;
    c.query = arena_textf(&u->arena, "partNumber=%u&uploadId=%s", (unsigned)number, u->id);
    c.header =
        (const char *const[]){ arena_textf(&u->arena, "x-amz-checksum-crc32c: %s", sum), NULL };
    int rc = web_call(&u->s->web, &c, &in, e);
    if (rc == 0) {
        struct str tag = http_in_header(&in, "etag");
        buf_addf(&u->list,
                 "<Part><PartNumber>%u</PartNumber><ETag>%.*s</ETag>"
                 "<ChecksumCRC32C>%s</ChecksumCRC32C></Part>",
                 (unsigned)number, STR_ARG(tag), sum);
        if (!tag.len)
            rc = error_set(e, ERROR_UNAVAILABLE, "S3 gave no ETag for a part");
    }
    http_in_release(&in);
    return rc;
}

/* Has the object these bytes? Its end may have been answered, and the answer lost. */
static bool is_there(struct upload *u)
{
    struct web_call head = { .operation = "size", .method = "HEAD", .path = u->file->path };
    struct error ignored = { 0 };
    struct http_in in;
    uint64_t bytes;
    uint32_t sum;
    bool there = web_call(&u->s->web, &head, &in, &ignored) == 0 && s3_sum(&in, &sum) &&
                 sum == u->crc32c && str_number(http_in_header(&in, "content-length"), &bytes) &&
                 bytes == u->file->to - u->file->from;

    http_in_release(&in);
    return there;
}

static int upload_end(struct upload *u, struct error *e)
{
    char sha256[SIGV4_SHA256_BYTES];
    struct web_call c = *u->file;

    buf_add_c(&u->list, "</CompleteMultipartUpload>");
    if (!buf_ok(&u->list))
        return error_set(e, ERROR_INTERNAL, "the list of an upload's parts is too long");
    if (u->joined != u->crc32c)
        return error_set(e, ERROR_DATA_LOSS, "the file changed while it was sent");
    sigv4_sha256(buf_str(&u->list), sha256);
    c.method = "POST";
    c.query = arena_textf(&u->arena, "uploadId=%s", u->id);
    c.has_file = false;
    c.body = buf_str(&u->list);
    c.sha256 = sha256;
    c.header = (const char *const[]){ "content-type: application/xml",
                                      arena_textf(&u->arena, "x-amz-checksum-crc32c: %s", u->sum),
                                      "x-amz-checksum-type: FULL_OBJECT", NULL };
    if (call(u->s, &c, e) == 0)
        return 0;
    return e->code == ERROR_NOT_FOUND && is_there(u) ? 0 : -1;
}

static void upload_abort(struct upload *u)
{
    struct web_call c = *u->file;
    struct error ignored = { 0 };

    c.method = "DELETE";
    c.has_file = false;
    c.query = arena_textf(&u->arena, "uploadId=%s", u->id);
    c.once = true;
    (void)call(u->s, &c, &ignored);
}

static int put_parts(struct s3 *s, const struct web_call *file, struct error *e)
{
    uint64_t bytes = file->to - file->from, least = (bytes + PARTS_MAX - 1) / PARTS_MAX;
    struct upload u = { .s = s,
                        .file = file,
                        .part_bytes = least > WEB_PART_BYTES ? least : WEB_PART_BYTES,
                        .list = BUF_INIT(COMPLETE_BYTES_MAX) };
    uint64_t at = file->from;
    int rc = web_sums(file->fd, file->from, file->to, &u.crc32c, NULL, e);

    web_sum_text(u.crc32c, u.sum);
    buf_add_c(&u.list, "<CompleteMultipartUpload "
                       "xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    if (rc == 0)
        rc = upload_begin(&u, e);
    if (rc == 0) {
        for (uint32_t number = 1; rc == 0 && at < file->to; number++, at += u.part_bytes)
            rc = upload_part(&u, number, at, e);
        if (rc == 0)
            rc = upload_end(&u, e);
        if (rc < 0)
            upload_abort(&u);
    }
    buf_release(&u.list);
    arena_release(&u.arena);
    return rc;
}

static int s3_put(struct shared_bucket *b, const char *key, int fd, uint64_t from, uint64_t to,
                  struct error *e)
{
    struct s3 *s = (struct s3 *)b;
    struct arena a = { 0 };
    const struct web_call file = { .operation = "put",
                                   .method = "PUT",
                                   .path = path_of(s, &a, key),
                                   .has_file = true,
                                   .fd = fd,
                                   .from = from,
                                   .to = to };

    int rc = to - from > WEB_PART_BYTES ? put_parts(s, &file, e) : put_whole(s, &file, e);
    if (rc < 0)
        (void)error_wrap(e, "%s", key);
    arena_release(&a);
    return rc;
}

/* ---- Get, size, remove ---- */

static int s3_size(struct shared_bucket *b, const char *key, uint64_t *bytes, struct error *e)
{
    struct s3 *s = (struct s3 *)b;
    struct arena a = { 0 };
    const struct web_call head = { .operation = "size",
                                   .method = "HEAD",
                                   .path = path_of(s, &a, key) };
    struct http_in in;
    int rc = web_call(&s->web, &head, &in, e);

    if (rc == 0 && !str_number(http_in_header(&in, "content-length"), bytes))
        rc = error_set(e, ERROR_UNAVAILABLE, "S3 does not say how large the object is");
    if (rc < 0)
        (void)error_wrap(e, "%s", key);
    http_in_release(&in);
    arena_release(&a);
    return rc;
}

static int s3_get(struct shared_bucket *b, const char *key, const struct bucket_span *what, int fd,
                  struct error *e)
{
    struct s3 *s = (struct s3 *)b;
    struct arena a = { 0 };
    struct web_sink sink = { .from = what->from, .to = what->to, .fd = fd, .at = what->at };
    const struct web_call get = {
        .operation = "get", .method = "GET", .path = path_of(s, &a, key), .sink = &sink
    };

    int rc = what->from == what->to ? web_nothing(&s->web, key, what->to, e) : call(s, &get, e);
    if (rc < 0 && what->from < what->to)
        (void)error_wrap(e, "%s", key);
    arena_release(&a);
    return rc;
}

static int s3_remove(struct shared_bucket *b, const char *key, struct error *e)
{
    struct s3 *s = (struct s3 *)b;
    struct arena a = { 0 };
    const struct web_call remove = { .operation = "remove",
                                     .method = "DELETE",
                                     .path = path_of(s, &a, key) };

    int rc = call(s, &remove, e);
    if (rc < 0 && e->code == ERROR_NOT_FOUND) {
        *e = (struct error){ 0 };
        rc = 0;
    }
    if (rc < 0)
        (void)error_wrap(e, "%s", key);
    arena_release(&a);
    return rc;
}

/* ---- List ---- */

struct listing {
    struct s3 *s;
    const char *prefix; /* encoded */
    struct str token;   /* of the next page; empty: the first */
    int (*fn)(void *arg, const struct bucket_entry *entry, struct error *e);
    void *arg;
};

static int list_entry(struct listing *l, struct arena *a, struct str contents, struct error *e)
{
    struct str key = str_of(xml_plain(a, xml_text(contents, "Key")));
    struct str prefix = str_of(l->s->web.prefix);
    struct bucket_entry entry = { 0 };

    if (!str_starts(key, prefix) || str_ends(key, STR("/")))
        return 0;
    entry.key = str_sub(key, prefix.len, key.len);
    if (!str_number(xml_text(contents, "Size"), &entry.bytes) ||
        !timestamp_read(xml_text(contents, "LastModified"), &entry.modified_us))
        return error_set(e, ERROR_UNAVAILABLE, "S3's list has an object without size or time");
    return l->fn(l->arg, &entry, e);
}

/* The parameters are sorted by their names, as they must be to be signed. */
static int list_page(struct listing *l, struct arena *a, struct str *next, struct error *e)
{
    const char *token = arena_copy(a, l->token.p ? l->token.p : "", l->token.len);
    const char *again =
        l->token.len ? arena_textf(a, "continuation-token=%s&", web_encoded(a, token, false)) : "";
    const struct web_call c = {
        .operation = "list",
        .method = "GET",
        .path = l->s->root,
        .query = arena_textf(a, "%slist-type=2&max-keys=" PAGE_KEYS "&prefix=%s", again, l->prefix)
    };
    struct http_in in;
    int rc = web_call(&l->s->web, &c, &in, e);
    struct str rest = buf_str(&in.body), contents;

    while (rc == 0 && xml_next(&rest, "Contents", &contents))
        rc = list_entry(l, a, contents, e);
    if (rc == 0 && str_eq_c(xml_text(buf_str(&in.body), "IsTruncated"), "true"))
        *next = str_of(xml_plain(a, xml_text(buf_str(&in.body), "NextContinuationToken")));
    http_in_release(&in);
    return rc;
}

static int s3_list(struct shared_bucket *b, const char *under,
                   int (*fn)(void *arg, const struct bucket_entry *entry, struct error *e),
                   void *arg, struct error *e)
{
    struct s3 *s = (struct s3 *)b;
    struct arena fixed = { 0 }, page[2] = { 0 };
    struct listing l = { .s = s, .fn = fn, .arg = arg };
    int rc;

    l.prefix = web_encoded(&fixed, web_key(&s->web, &fixed, under), false);
    for (uint32_t i = 0;; i ^= 1) { /* the token of a page lives until the next one came */
        struct str next = { 0 };
        arena_reset(&page[i]);
        rc = list_page(&l, &page[i], &next, e);
        l.token = next;
        if (rc < 0 || next.len == 0)
            break;
    }
    if (rc < 0)
        (void)error_wrap(e, "list of \"%s\"", under);
    arena_release(&page[0]);
    arena_release(&page[1]);
    arena_release(&fixed);
    return rc;
}

/* ---- Open and close ---- */

static void s3_close(struct shared_bucket *b)
{
    struct s3 *s = (struct s3 *)b;

    aws_keys_free(s->keys);
    web_release(&s->web);
    mem_free(s);
}

static const struct shared_bucket_ops ops = {
    .put = s3_put,
    .get = s3_get,
    .size = s3_size,
    .remove = s3_remove,
    .list = s3_list,
    .close = s3_close,
};

static const char *region_of(struct arena *a, const struct bucket_url *url)
{
    const char *region = env_get("AWS_REGION"), *usual = env_get("AWS_DEFAULT_REGION");

    if (url->region.len)
        return arena_copy(a, url->region.p, url->region.len);
    return region ? region : usual ? usual : "us-east-1";
}

struct shared_bucket *bucket_s3_open(const struct bucket_url *url, struct error *e)
{
    struct s3 *s = mem_alloc(sizeof *s);
    struct arena *a = &s->web.arena;
    bool dotted = str_find(url->name, STR(".")) != SIZE_MAX, ours = url->endpoint.len > 0;

    s->web.bucket.ops = &ops;
    s->web.ops = &web_ops;
    s->region = region_of(a, url);
    s->root = ours || dotted ? arena_textf(a, "/%.*s/", STR_ARG(url->name)) : "/";
    const char *amazon =
        arena_textf(a, "https://%.*s%ss3.%s.amazonaws.com", dotted ? 0 : (int)url->name.len,
                    url->name.p, dotted ? "" : ".", s->region);
    if (web_open(&s->web, url, amazon, e) == 0)
        s->keys = aws_keys_new(e);
    if (s->keys)
        return &s->web.bucket;
    s3_close(&s->web.bucket);
    return NULL;
}
