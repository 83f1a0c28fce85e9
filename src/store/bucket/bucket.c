/* bucket.c -- a bucket's URL is read, and the bucket is tried once before anything relies on it. */
#include "store/bucket/bucket_inner.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/random.h"
#include "base/sys.h"

#define PROBE_CHARS 20
#define OWNER_KEY "owner"
#define OWNER_BYTES_MAX 64

static const struct {
    const char *scheme;
    struct shared_bucket *(*open)(const struct bucket_url *url, struct error *e);
} kinds[] = {
    { "file://", bucket_file_open },
    { "s3://", bucket_s3_open },
    { "gs://", bucket_gcs_open },
};

static int setting_read(struct str text, struct bucket_url *out, struct error *e)
{
    struct str name, rest = text;

    if (!str_next(&rest, '=', &name) || name.len == text.len)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "a bucket's setting is NAME=VALUE, not \"%.*s\"", STR_ARG(text));
    if (str_eq_c(name, "endpoint"))
        out->endpoint = rest;
    else if (str_eq_c(name, "region"))
        out->region = rest;
    else if (str_eq_c(name, "ca_file"))
        out->ca_file = rest;
    else if (!str_eq_c(name, "patience_ms"))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "a bucket has the settings endpoint, region, ca_file and patience_ms, not "
                         "\"%.*s\"",
                         STR_ARG(name));
    else if (!str_number_in(rest, 1, 3600000, &out->patience_ms))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "patience_ms is a number of milliseconds from 1 to 3600000, not \"%.*s\"",
                         STR_ARG(rest));
    return 0;
}

/* text: what follows the scheme. */
static int url_read(struct str text, struct bucket_url *out, struct error *e)
{
    struct str place = text, settings = { 0 }, setting;
    const char *mark = text.len > 0 ? memchr(text.p, '?', text.len) : NULL;

    *out = (struct bucket_url){ 0 };
    if (mark) {
        place = str_sub(text, 0, (size_t)(mark - text.p));
        settings = str_sub(text, place.len + 1, text.len);
    }
    while (str_next(&settings, '&', &setting)) {
        if (setting_read(setting, out, e) < 0)
            return -1;
    }
    const char *slash = place.len > 0 ? memchr(place.p, '/', place.len) : NULL;
    size_t end = slash ? (size_t)(slash - place.p) : place.len;
    out->name = str_sub(place, 0, end);
    out->prefix = str_sub(place, end, place.len);
    while (out->prefix.len > 0 && out->prefix.p[0] == '/')
        out->prefix = str_sub(out->prefix, 1, out->prefix.len);
    while (out->prefix.len > 0 && out->prefix.p[out->prefix.len - 1] == '/')
        out->prefix.len--;
    return 0;
}

/* Writes, looks at and removes an empty object. */
static int probe(struct shared_bucket *b, struct error *e)
{
    char name[PROBE_CHARS + 1], key[sizeof "probe/" + sizeof name];
    uint64_t bytes = 0;

    if (random_text(name, PROBE_CHARS, ALPHABET_36, e) < 0)
        return -1;
    (void)snprintf(key, sizeof key, "probe/%s", name);
    int fd = sys_open("/dev/null", O_RDONLY, e);
    if (fd < 0)
        return -1;
    int rc = b->ops->put(b, key, fd, 0, 0, e);
    (void)close(fd);
    if (rc < 0 || b->ops->size(b, key, &bytes, e) < 0)
        return -1;
    return b->ops->remove(b, key, e);
}

static int claim_write(struct shared_bucket *b, int fd, const char *owner, struct error *e)
{
    size_t len = strlen(owner);

    if (sys_write_at(fd, owner, len, 0, "the bucket's owner", e) < 0)
        return -1;
    return b->ops->put(b, OWNER_KEY, fd, 0, len, e);
}

/* When two claim it at once, the later one wins, and the other one sees that. */
static int claim(struct shared_bucket *b, int fd, const char *owner, struct error *e)
{
    char is[OWNER_BYTES_MAX];
    uint64_t bytes = 0;
    struct error why = { 0 };
    int rc = b->ops->size(b, OWNER_KEY, &bytes, &why);

    if (rc < 0 && why.code != ERROR_NOT_FOUND) {
        *e = why;
        return -1;
    }
    if (rc < 0 && (claim_write(b, fd, owner, e) < 0 || b->ops->size(b, OWNER_KEY, &bytes, e) < 0))
        return -1;
    const struct bucket_span all = { 0, bytes, 0 };
    if (bytes > sizeof is || b->ops->get(b, OWNER_KEY, &all, fd, e) < 0 ||
        sys_read_at(fd, is, (size_t)bytes, 0, "the bucket's owner", e) < 0)
        return bytes > sizeof is ? error_set(e, ERROR_DATA_LOSS, "its owner is damaged") : -1;
    if (str_eq_c((struct str){ is, (size_t)bytes }, owner))
        return 0;
    return error_set(e, ERROR_FAILED_PRECONDITION,
                     "it has the contents of another database: choose another bucket or prefix, or "
                     "remove them with the object " OWNER_KEY);
}

int bucket_claim(struct shared_bucket *b, const char *owner, const char *folder, struct error *e)
{
    int fd = sys_open_nameless(folder, e);

    if (fd < 0)
        return -1;
    int rc = claim(b, fd, owner, e);
    (void)close(fd);
    return rc < 0 ? error_wrap(e, "the bucket") : 0;
}

static struct shared_bucket *open_kind(struct str url, struct error *e)
{
    struct bucket_url read;

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct str scheme = str_of(kinds[i].scheme);
        if (!str_starts(url, scheme))
            continue;
        return url_read(str_sub(url, scheme.len, url.len), &read, e) < 0 ? NULL
                                                                         : kinds[i].open(&read, e);
    }
    (void)error_set(e, ERROR_INVALID_ARGUMENT,
                    "it is none of s3://NAME/PREFIX, gs://NAME/PREFIX and file:///FOLDER");
    return NULL;
}

struct shared_bucket *bucket_open(const char *url, struct error *e)
{
    struct shared_bucket *b = open_kind(str_of(url), e);

    if (b && probe(b, e) == 0)
        return b;
    (void)error_wrap(e, "bucket %s", url);
    if (b)
        b->ops->close(b);
    return NULL;
}
