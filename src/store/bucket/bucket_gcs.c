/* bucket_gcs.c -- a bucket at Cloud Storage, by its JSON API.
 *
 * Why: a fleet at Google has it, and needs no keys there.
 *
 * Credential: Google's application default one (net/client/credential.h). A URL with an endpoint goes without, unless
 *          GOOGLE_APPLICATION_CREDENTIALS is set: a server for tests has no accounts.
 * Checks:  Cloud Storage keeps each object's CRC-32C, and says it with each answer; the one of what it took is compared with
 *          that of what was sent.
 * Parts:   an object over WEB_PART_BYTES goes up in one resumable upload, a part at a time. After a failure Cloud
 *          Storage is asked for the bytes that it has, and only the rest is sent again.
 * Source:  https://cloud.google.com/storage/docs/json_api/v1, https://cloud.google.com/storage/docs/performing-resumable-uploads
 */
#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/env.h"
#include "base/json_write.h"
#include "base/timestamp.h"
#include "net/client/credential.h"
#include "store/bucket/bucket_web.h"
#include "store/db/store_metrics.h"

#define TOKEN_MS 30000
#define GOOGLE "https://storage.googleapis.com"

struct gcs {
    struct web web; /* first */
    struct credential *credential;
    const char *objects, *uploads; /* paths */
};

/* ---- A kind of web ---- */

static int gcs_prove(struct web *w, const struct web_call *c, struct web_head *h, struct error *e)
{
    struct gcs *g = (struct gcs *)w;
    struct buf token = BUF_INIT(CREDENTIAL_BYTES_MAX);
    int rc = credential_wait(g->credential, TOKEN_MS, &token, e);

    (void)c;
    if (rc > 0 && token.len)
        web_head_add(
            h, arena_textf(&h->arena, "Authorization: Bearer %.*s", STR_ARG(buf_str(&token))));
    buf_release(&token);
    return rc < 0 ? -1 : 0;
}

static enum web_verdict gcs_judge(struct web *w, const struct http_in *in, struct error *e)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    size_t at;

    if (in->status / 100 == 2)
        return WEB_DONE;
    yyjson_val *error = json_get(json_parse(&a, buf_str(&in->body), &at, &ignored), "error");
    struct str said = json_str(json_get(error, "message"));
    enum web_verdict verdict =
        web_judge(w, in->status, arena_copy(&a, said.p ? said.p : "", said.len), e);
    arena_release(&a);
    return verdict;
}

/* "crc32c=AAAAAA==,md5=..." */
static bool gcs_sum(const struct http_in *in, uint32_t *out)
{
    struct str rest = http_in_header(in, "x-goog-hash"), one;

    while (str_next(&rest, ',', &one)) {
        one = str_trim(one);
        if (str_starts(one, STR("crc32c=")))
            return web_sum_read(str_sub(one, strlen("crc32c="), one.len), out);
    }
    return false;
}

static void gcs_forget(struct web *w)
{
    credential_refused(((struct gcs *)w)->credential);
}

static const struct web_ops web_ops = {
    .name = "Cloud Storage",
    .prove = gcs_prove,
    .judge = gcs_judge,
    .sum = gcs_sum,
    .forget = gcs_forget,
};

static const char *object_path(struct gcs *g, struct arena *a, const char *key)
{
    return arena_textf(a, "%s/%s", g->objects, web_encoded(a, web_key(&g->web, a, key), false));
}

/* The answer's JSON in the arena. */
static int ask(struct gcs *g, const struct web_call *c, struct arena *a, yyjson_val **out,
               struct error *e)
{
    struct http_in in;
    struct error bad = { 0 };
    size_t at;
    int rc = web_call(&g->web, c, &in, e);

    if (rc == 0 && out) {
        *out = json_parse(a, buf_str(&in.body), &at, &bad);
        if (!*out)
            rc = error_set(e, ERROR_UNAVAILABLE, "Cloud Storage's answer is not JSON: %s", bad.msg);
    }
    http_in_release(&in);
    return rc;
}

/* ---- Put ---- */

/* An object on its way. */
struct sent {
    struct gcs *g;
    const char *key;
    const char *name; /* with the prefix, encoded */
    int fd;
    uint64_t from, to;
    uint32_t crc32c;
    char sum[WEB_SUM_BYTES];
    struct arena arena;
};

/* Took Cloud Storage what was sent? */
static int check_taken(const struct sent *s, yyjson_val *object, struct error *e)
{
    uint32_t sum;

    if (!web_sum_read(json_str(json_get(object, "crc32c")), &sum) || sum == s->crc32c)
        return 0;
    return error_set(
        e, ERROR_DATA_LOSS,
        "Cloud Storage took other bytes than were sent: their CRC-32C is %08x, not %08x",
        (unsigned)sum, (unsigned)s->crc32c);
}

static int put_whole_once(struct sent *s, struct error *e)
{
    const struct web_call c = { .operation = "put",
                                .method = "POST",
                                .path = s->g->uploads,
                                .query =
                                    arena_textf(&s->arena, "name=%s&uploadType=media", s->name),
                                .has_file = true,
                                .fd = s->fd,
                                .from = s->from,
                                .to = s->to };
    yyjson_val *object = NULL;

    return ask(s->g, &c, &s->arena, &object, e) < 0 ? -1 : check_taken(s, object, e);
}

/* The state of an unfinished upload. */
struct progress {
    const char *url;
    uint64_t done;      /* bytes that Cloud Storage has */
    yyjson_val *object; /* the finished one; else NULL */
};

static int resumable_begin(struct sent *s, struct progress *p, struct error *e)
{
    struct buf body = BUF_INIT(256);
    struct json_writer w = JSON_WRITER(&body);
    struct http_in in;

    json_object(&w, NULL);
    json_add_c(&w, "crc32c", s->sum);
    json_end(&w);
    const struct web_call c = {
        .operation = "put",
        .method = "POST",
        .path = s->g->uploads,
        .query = arena_textf(&s->arena, "name=%s&uploadType=resumable", s->name),
        .header = (const char *const[]){ "Content-Type: application/json; charset=UTF-8", NULL },
        .body = buf_str(&body),
    };
    int rc = web_call(&s->g->web, &c, &in, e);
    if (rc == 0) {
        struct str location = http_in_header(&in, "location");
        p->url = arena_copy(&s->arena, location.p ? location.p : "", location.len);
        p->done = 0;
        if (!location.len)
            rc = error_set(e, ERROR_UNAVAILABLE, "Cloud Storage gave no address for an upload");
    }
    http_in_release(&in);
    buf_release(&body);
    return rc;
}

/* One part, or none to learn what arrived (c->to == c->from). */
static int resumable_call(struct sent *s, struct progress *p, const struct web_call *c,
                          struct error *e)
{
    struct http_in in;
    struct error bad = { 0 };
    size_t at;
    int rc = web_call(&s->g->web, c, &in, e);

    if (rc == 0 && in.status == 308) {
        struct str range = http_in_header(&in, "range");
        uint64_t last;
        p->done = str_number(str_after_last(range, '-'), &last) ? last + 1 : 0;
        if (p->done > s->to - s->from)
            rc = error_set(e, ERROR_DATA_LOSS, "Cloud Storage has more bytes than were sent");
    } else if (rc == 0) {
        p->object = json_parse(&s->arena, buf_str(&in.body), &at, &bad);
        if (!p->object)
            rc = error_set(e, ERROR_UNAVAILABLE, "Cloud Storage's answer is not JSON: %s", bad.msg);
    }
    http_in_release(&in);
    return rc;
}

static int resumable_part(struct sent *s, struct progress *p, struct error *e)
{
    uint64_t bytes = s->to - s->from, left = bytes - p->done;
    uint64_t part = left < WEB_PART_BYTES ? left : WEB_PART_BYTES;
    const char *range =
        arena_textf(&s->arena, "Content-Range: bytes %llu-%llu/%llu", (unsigned long long)p->done,
                    (unsigned long long)(p->done + part - 1), (unsigned long long)bytes);
    const struct web_call c = { .operation = "put",
                                .method = "PUT",
                                .url = p->url,
                                .header = (const char *const[]){ range, NULL },
                                .has_file = true,
                                .fd = s->fd,
                                .from = s->from + p->done,
                                .to = s->from + p->done + part,
                                .also = 308,
                                .once = true };

    return resumable_call(s, p, &c, e);
}

static int resumable_look(struct sent *s, struct progress *p, struct error *e)
{
    const char *range = arena_textf(&s->arena, "Content-Range: bytes */%llu",
                                    (unsigned long long)(s->to - s->from));
    const struct web_call c = { .operation = "put",
                                .method = "PUT",
                                .url = p->url,
                                .header = (const char *const[]){ range, NULL },
                                .also = 308 };

    return resumable_call(s, p, &c, e);
}

static void resumable_abort(struct sent *s, const struct progress *p)
{
    const struct web_call c = {
        .operation = "put", .method = "DELETE", .url = p->url, .also = 499, .once = true
    };
    struct error ignored = { 0 };
    struct http_in in;

    int rc = web_call(&s->g->web, &c, &in, &ignored);
    (void)rc; /* Cloud Storage forgets it after a week */
    http_in_release(&in);
}

static uint64_t patience_end(const struct web *w)
{
    return clock_system()->mono_ns(clock_system()) + w->patience_ns;
}

/* A part failed: what arrived is known after this, or the upload cannot go on. */
static int resumable_recover(struct sent *s, struct progress *p, uint32_t tries, uint64_t end_ns,
                             struct error *why)
{
    bool again = why->code == ERROR_UNAVAILABLE || why->code == ERROR_DEADLINE_EXCEEDED ||
                 why->code == ERROR_RESOURCE_EXHAUSTED;

    return again && web_pause(tries, NULL, end_ns) ? resumable_look(s, p, why) : -1;
}

static int put_resumable_once(struct sent *s, struct error *e)
{
    struct progress p = { 0 };
    uint64_t best = 0, end_ns = patience_end(&s->g->web);
    uint32_t tries = 0;

    if (resumable_begin(s, &p, e) < 0)
        return -1;
    while (!p.object) {
        struct error why = { 0 };
        if (resumable_part(s, &p, &why) < 0 &&
            resumable_recover(s, &p, tries++, end_ns, &why) < 0) {
            *e = why;
            resumable_abort(s, &p);
            return -1;
        }
        if (p.done > best) {
            best = p.done;
            end_ns = patience_end(&s->g->web);
            tries = 0;
        }
    }
    return check_taken(s, p.object, e);
}

/* Other bytes than were sent, and an upload that Cloud Storage forgot, are sent anew. */
static int gcs_put(struct shared_bucket *b, const char *key, int fd, uint64_t from, uint64_t to,
                   struct error *e)
{
    struct gcs *g = (struct gcs *)b;
    struct sent s = { .g = g, .key = key, .fd = fd, .from = from, .to = to };
    struct error why = { 0 };
    int rc = web_sums(fd, from, to, &s.crc32c, NULL, e);

    s.name = web_encoded(&s.arena, web_key(&g->web, &s.arena, key), false);
    web_sum_text(s.crc32c, s.sum);
    for (unsigned tries = 0; rc == 0; tries++) {
        why = (struct error){ 0 };
        rc = to - from > WEB_PART_BYTES ? put_resumable_once(&s, &why) : put_whole_once(&s, &why);
        bool again = why.code == ERROR_DATA_LOSS || why.code == ERROR_NOT_FOUND;
        if (rc == 0 || !again || tries + 1 == WEB_WRONG_MAX)
            break;
        store_call_again(STORE_BUCKET, "put");
        rc = 0;
    }
    if (rc < 0 && why.code != ERROR_OK)
        *e = why;
    if (rc < 0)
        (void)error_wrap(e, "%s", key);
    arena_release(&s.arena);
    return rc;
}

/* ---- Get, size, remove ---- */

static int gcs_size(struct shared_bucket *b, const char *key, uint64_t *bytes, struct error *e)
{
    struct gcs *g = (struct gcs *)b;
    struct arena a = { 0 };
    const struct web_call c = { .operation = "size",
                                .method = "GET",
                                .path = object_path(g, &a, key),
                                .query = "fields=size" };
    yyjson_val *object = NULL;
    int rc = ask(g, &c, &a, &object, e);

    if (rc == 0 && !json_count(json_get(object, "size"), bytes))
        rc = error_set(e, ERROR_UNAVAILABLE, "Cloud Storage does not say how large the object is");
    if (rc < 0)
        (void)error_wrap(e, "%s", key);
    arena_release(&a);
    return rc;
}

static int gcs_get(struct shared_bucket *b, const char *key, const struct bucket_span *what, int fd,
                   struct error *e)
{
    struct gcs *g = (struct gcs *)b;
    struct arena a = { 0 };
    struct web_sink sink = { .from = what->from, .to = what->to, .fd = fd, .at = what->at };
    const struct web_call c = { .operation = "get",
                                .method = "GET",
                                .path = object_path(g, &a, key),
                                .query = "alt=media",
                                .sink = &sink };
    int rc =
        what->from == what->to ? web_nothing(&g->web, key, what->to, e) : ask(g, &c, &a, NULL, e);

    if (rc < 0 && what->from < what->to)
        (void)error_wrap(e, "%s", key);
    arena_release(&a);
    return rc;
}

static int gcs_remove(struct shared_bucket *b, const char *key, struct error *e)
{
    struct gcs *g = (struct gcs *)b;
    struct arena a = { 0 };
    const struct web_call c = {
        .operation = "remove", .method = "DELETE", .path = object_path(g, &a, key), .also = 404
    };
    int rc = ask(g, &c, &a, NULL, e);

    if (rc < 0)
        (void)error_wrap(e, "%s", key);
    arena_release(&a);
    return rc;
}

/* ---- List ---- */

static int list_entry(struct gcs *g, yyjson_val *item, struct bucket_entry *out, struct error *e)
{
    struct str key = json_str(json_get(item, "name"));
    struct str prefix = str_of(g->web.prefix);

    if (!str_starts(key, prefix))
        return error_set(e, ERROR_UNAVAILABLE, "Cloud Storage's list has an object of others");
    out->key = str_sub(key, prefix.len, key.len);
    if (!json_count(json_get(item, "size"), &out->bytes) ||
        !timestamp_read(json_str(json_get(item, "updated")), &out->modified_us))
        return error_set(e, ERROR_UNAVAILABLE,
                         "Cloud Storage's list has an object without size or time");
    return 0;
}

static int gcs_list(struct shared_bucket *b, const char *under,
                    int (*fn)(void *arg, const struct bucket_entry *entry, struct error *e),
                    void *arg, struct error *e)
{
    struct gcs *g = (struct gcs *)b;
    struct arena page = { 0 };
    struct buf token = BUF_INIT(8192);
    int rc;

    do {
        yyjson_val *root = NULL, *item;
        size_t at, count;
        const char *prefix = web_encoded(&page, web_key(&g->web, &page, under), false);
        const char *next = token.len ? web_encoded(&page, token.p, false) : "";
        const struct web_call c = {
            .operation = "list",
            .method = "GET",
            .path = g->objects,
            .query = arena_textf(&page,
                                 "fields=items(name,size,updated),nextPageToken&maxResults=1000"
                                 "%s%s&prefix=%s",
                                 token.len ? "&pageToken=" : "", next, prefix)
        };
        rc = ask(g, &c, &page, &root, e);
        yyjson_arr_foreach(json_get(root, "items"), at, count, item)
        {
            struct bucket_entry entry;
            if (rc == 0)
                rc = list_entry(g, item, &entry, e) < 0 ? -1 : fn(arg, &entry, e);
        }
        buf_clear(&token);
        if (rc == 0)
            buf_add_str(&token, json_str(json_get(root, "nextPageToken")));
        arena_reset(&page);
    } while (rc == 0 && token.len);
    if (rc < 0)
        (void)error_wrap(e, "list of \"%s\"", under);
    buf_release(&token);
    arena_release(&page);
    return rc;
}

/* ---- Open and close ---- */

static void gcs_close(struct shared_bucket *b)
{
    struct gcs *g = (struct gcs *)b;

    credential_free(g->credential);
    web_release(&g->web);
    mem_free(g);
}

static const struct shared_bucket_ops ops = {
    .put = gcs_put,
    .get = gcs_get,
    .size = gcs_size,
    .remove = gcs_remove,
    .list = gcs_list,
    .close = gcs_close,
};

struct shared_bucket *bucket_gcs_open(const struct bucket_url *url, struct error *e)
{
    struct gcs *g = mem_alloc(sizeof *g);
    bool anonymous = url->endpoint.len && !env_get("GOOGLE_APPLICATION_CREDENTIALS");

    g->web.bucket.ops = &ops;
    g->web.ops = &web_ops;
    if (web_open(&g->web, url, GOOGLE, e) == 0)
        g->credential = credential_new(&(struct credential_spec){ .adc = !anonymous },
                                       clock_system(), g->web.ca_file, e);
    if (g->credential) {
        g->objects = arena_textf(&g->web.arena, "/storage/v1/b/%s/o", g->web.name);
        g->uploads = arena_textf(&g->web.arena, "/upload/storage/v1/b/%s/o", g->web.name);
        return &g->web.bucket;
    }
    gcs_close(&g->web.bucket);
    return NULL;
}
