#include "app/models/pull.h"

#include <assert.h>
#include <ctype.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "app/cli/human.h"
#include "app/models/catalogue.h"
#include "base/clock.h"
#include "base/env.h"
#include "base/json.h"
#include "base/sys.h"
#include "net/client/http_client.h"

#define HUB "https://huggingface.co"
#define API_BYTES_MAX ((size_t)32 * 1024 * 1024)
#define REDIRECTS_MAX 5
#define READ_BYTES ((size_t)1024 * 1024)
#define ROOM_SPARE ((uint64_t)64 * 1024 * 1024) /* left free on the disk */
#define PAUSE_MS 500                            /* before the second try, then twice as long */
#define PAUSE_MAX_S 300
#define SHA256_HEX 64
#define FILES_SHOWN 20

/* The file to get. */
struct source {
    const char *origin;          /* "https://huggingface.co" */
    const char *repository;      /* OWNER/REPO; NULL: url is all that is known */
    const char *revision, *file; /* file NULL: the only GGUF file of the repository */
    const char *url;
    const char *sha256; /* lower case */
    uint64_t bytes;     /* 0: not known */
};

struct download {
    const struct pull *p;
    struct arena *a;
    struct http_client *http;
    struct source from;
    const char *part; /* path */
    int fd;
    EVP_MD_CTX *hash;
    uint64_t have;  /* bytes of the part, all hashed */
    uint64_t begun; /* have when this command began */
    uint64_t begun_ns, shown_ns;
    uint64_t offset;   /* that the answer begins at */
    struct http_in in; /* the answer, while its body comes */
};

/* ---- What is meant ---- */

static const char *hub_origin(struct arena *a)
{
    const char *set = env_get("HF_ENDPOINT");
    size_t len = set ? strlen(set) : 0;

    while (len && set[len - 1] == '/')
        len--;
    return len ? arena_textf(a, "%.*s", (int)len, set) : HUB;
}

static bool is_url(const char *text)
{
    return strncasecmp(text, "https://", 8) == 0 || strncasecmp(text, "http://", 7) == 0;
}

/* The length of "https://host:port" of a URL. */
static size_t origin_len(const char *url)
{
    const char *host = strstr(url, "://");

    return host ? (size_t)(host + 3 - url) + strcspn(host + 3, "/?#") : 0;
}

/* The step of a path behind its slash, in the arena; *path moves behind it. Empty at the end. */
static const char *next_step(struct arena *a, const char **path)
{
    const char *from = **path == '/' ? *path + 1 : *path;
    size_t len = strcspn(from, "/");

    *path = from + len;
    return arena_textf(a, "%.*s", (int)len, from);
}

/* A URL of the hub: ORIGIN/OWNER/REPO[/(resolve|blob)/REVISION/FILE]. */
static void read_hub_url(struct arena *a, const char *path, struct source *s)
{
    const char *at = arena_textf(a, "%.*s", (int)strcspn(path, "?#"), path);
    const char *owner = next_step(a, &at), *repo = next_step(a, &at);

    if (!*owner || !*repo)
        return;
    s->repository = arena_textf(a, "%s/%s", owner, repo);
    const char *verb = next_step(a, &at), *revision = next_step(a, &at);
    if (*verb && *revision && at[0] == '/' && at[1]) {
        s->revision = revision;
        s->file = at + 1;
    }
}

static int read_what(const struct pull *p, struct arena *a, struct source *s, struct error *e)
{
    const struct catalogue_entry *known = catalogue_find(p->what);
    const char *colon = strchr(p->what, ':'), *slash = strchr(p->what, '/');

    *s = (struct source){ .origin = hub_origin(a), .revision = "main" };
    if (known) {
        s->repository = known->repository;
        s->file = known->file;
        return 0;
    }
    if (is_url(p->what)) {
        size_t len = origin_len(p->what);
        bool hub = len == strlen(s->origin) && strncasecmp(p->what, s->origin, len) == 0;
        if (hub)
            read_hub_url(a, p->what + len, s);
        if (!s->repository)
            s->url = p->what;
        return 0;
    }
    if (!slash || strchr(slash + 1, '/') > (colon ? colon : slash))
        return error_set(e, ERROR_NOT_FOUND,
                         "the catalogue has no model \"%.64s\"; `tranche models --catalogue` lists "
                         "it. Write OWNER/REPO:FILE or a URL for another one",
                         p->what);
    s->repository =
        arena_textf(a, "%.*s", (int)(colon ? colon - p->what : (long)strlen(p->what)), p->what);
    s->file = colon ? colon + 1 : NULL;
    return 0;
}

/* ---- HTTP ---- */

/* The hub's token goes to its own origin only. */
static void add_headers(const struct download *d, const char *url, const char *header[4])
{
    const char *token = env_get("HF_TOKEN");
    size_t len = origin_len(url), n = 0;

    header[n++] = "User-Agent: tranche/" TRANCHE_VERSION;
    if (token && *token && len == strlen(d->from.origin) &&
        strncasecmp(url, d->from.origin, len) == 0)
        header[n++] = arena_textf(d->a, "Authorization: Bearer %s", token);
    if (d->have && d->fd >= 0)
        header[n++] = arena_textf(d->a, "Range: bytes=%" PRIu64 "-", d->have);
    header[n] = NULL;
}

static uint32_t retry_after_ms(const struct http_in *in)
{
    uint64_t s = 0;

    if (!str_number(http_in_header(in, "retry-after"), &s))
        return 0;
    return (uint32_t)(s < PAUSE_MAX_S ? s : PAUSE_MAX_S) * 1000;
}

/* The error of a status that is not a success. */
static int status_error(const struct download *d, const char *url, int status, struct error *e)
{
    const char *repo = d->from.repository ? d->from.repository : url;
    bool token = env_get("HF_TOKEN") && *env_get("HF_TOKEN");

    if (status == 401 || status == 403)
        return error_set(e, ERROR_PERMISSION_DENIED,
                         token
                             ? "%s refuses HF_TOKEN for %s: accept the model's licence on its page "
                               "with the account of the token"
                             : "%s wants an account for %s: the repository is gated, private or "
                               "not there. Accept the licence on its page and set HF_TOKEN",
                         d->from.origin, repo);
    if (status == 404)
        return error_set(e, ERROR_NOT_FOUND, "%s: there is no such repository or file", repo);
    if (status == 429)
        return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%s is busy (429)", d->from.origin);
    return error_set(e, status >= 500 ? ERROR_UNAVAILABLE : ERROR_FAILED_PRECONDITION,
                     "%s answered with status %d", url, status);
}

/* The address that the answer redirects a request for url to. */
static const char *redirect_url(const struct download *d, const char *url)
{
    struct str to = http_in_header(&d->in, "location");
    bool is_path = to.len && to.p[0] == '/';

    return arena_textf(d->a, "%.*s%.*s", is_path ? (int)origin_len(url) : 0, url, STR_ARG(to));
}

/* A GET that follows redirects by itself. 0: a success is in d->in. */
static int get(struct download *d, const char *url,
               int (*on_body)(void *, const void *, size_t, struct error *), struct error *e)
{
    for (int n = 0; n <= REDIRECTS_MAX; n++) {
        const char *header[4];
        add_headers(d, url, header);
        const struct http_out out = {
            .method = "GET",
            .url = url,
            .header = header,
            .body_fd = -1,
            .timeout_ms = on_body ? 0 : 60000,
            .on_body = on_body,
            .arg = d,
            .body_max = API_BYTES_MAX,
            .stop = d->p->stop,
        };
        http_in_release(&d->in);
        if (http_do(d->http, &out, &d->in, e) < 0)
            return -1;
        if (d->in.status >= 200 && d->in.status < 300)
            return 0;
        if (d->in.status < 300 || d->in.status >= 400)
            return status_error(d, url, d->in.status, e);
        url = redirect_url(d, url);
        if (!is_url(url))
            return error_set(e, ERROR_FAILED_PRECONDITION, "%s sends to no address",
                             d->from.origin);
    }
    return error_set(e, ERROR_FAILED_PRECONDITION, "%s sends from address to address",
                     d->from.origin);
}

/* ---- The hub's API ---- */

static char to_lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static const char *lower_hex(struct arena *a, struct str text)
{
    char *out = arena_copy(a, text.p, text.len);

    for (char *p = out; *p; p++)
        *p = to_lower(*p);
    return out;
}

static bool is_sha256(const char *text)
{
    return text && strlen(text) == SHA256_HEX && strspn(text, "0123456789abcdef") == SHA256_HEX;
}

/* The names of the repository's GGUF files, for a message. */
static void list_files(yyjson_val *siblings, struct buf *out)
{
    size_t i, n, shown = 0;
    yyjson_val *one;

    yyjson_arr_foreach(siblings, i, n, one)
    {
        struct str name = json_str(json_get(one, "rfilename"));
        if (str_ends(name, STR(".gguf")) && shown++ < FILES_SHOWN)
            buf_addf(out, "%s%.*s", shown > 1 ? ", " : "", STR_ARG(name));
    }
    if (!shown)
        buf_add_c(out, "none");
}

/* The file of that name, or the only GGUF file. */
static yyjson_val *choose_file(const struct source *s, yyjson_val *siblings, struct error *e)
{
    struct buf names = BUF_INIT(4096);
    yyjson_val *one, *found = NULL;
    size_t i, n, count = 0;

    yyjson_arr_foreach(siblings, i, n, one)
    {
        struct str name = json_str(json_get(one, "rfilename"));
        if (s->file ? str_eq_c(name, s->file) : str_ends(name, STR(".gguf"))) {
            found = one;
            count++;
        }
    }
    if (count == 1)
        return found;
    list_files(siblings, &names);
    if (s->file)
        (void)error_set(e, ERROR_NOT_FOUND, "%s has no file %s; its GGUF files: %s", s->repository,
                        s->file, names.p ? names.p : "none");
    else
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "%s: write %s:FILE for one of its GGUF files: %s", s->repository,
                        s->repository, names.p ? names.p : "none");
    buf_release(&names);
    return NULL;
}

static int ask_hub(struct download *d, struct error *e)
{
    struct source *s = &d->from;
    size_t at;

    const char *url = arena_textf(d->a, "%s/api/models/%s/revision/%s?blobs=true", s->origin,
                                  s->repository, s->revision);
    if (get(d, url, NULL, e) < 0)
        return -1;
    yyjson_val *root = json_parse(d->a, buf_str(&d->in.body), &at, e);
    if (!root)
        return error_wrap(e, "%s", url);
    struct str commit = json_str(json_get(root, "sha"));
    yyjson_val *file = choose_file(s, json_get(root, "siblings"), e);
    if (!file)
        return -1;
    yyjson_val *lfs = json_get(file, "lfs");
    struct str hash = json_str(json_get(lfs, "sha256"));
    if (!json_count(json_get(lfs, "size"), &s->bytes))
        (void)json_count(json_get(file, "size"), &s->bytes);
    struct str name = json_str(json_get(file, "rfilename"));
    s->file = arena_copy(d->a, name.p, name.len);
    s->sha256 = hash.p ? lower_hex(d->a, hash) : NULL;
    if (!is_sha256(s->sha256))
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s gives no SHA-256 of %s", s->origin,
                         s->file);
    s->url = arena_textf(d->a, "%s/%s/resolve/%.*s/%s", s->origin, s->repository,
                         STR_ARG(commit.len ? commit : str_of(s->revision)), s->file);
    return 0;
}

/* ---- The part ---- */

static int begin_hash(struct download *d, struct error *e)
{
    if (EVP_DigestInit_ex(d->hash, EVP_sha256(), NULL) == 1)
        return 0;
    return error_set(e, ERROR_INTERNAL, "no SHA-256");
}

/* Begins with what an earlier command has got. */
static int open_part(struct download *d, struct error *e)
{
    uint8_t *chunk;
    int64_t got = 1;

    d->fd = sys_open(d->part, O_RDWR | O_CREAT, e);
    if (d->fd < 0 || begin_hash(d, e) < 0)
        return -1;
    chunk = mem_alloc(READ_BYTES);
    while (got > 0) {
        got = sys_read_at(d->fd, chunk, READ_BYTES, d->have, d->part, e);
        if (got > 0) {
            (void)EVP_DigestUpdate(d->hash, chunk, (size_t)got);
            d->have += (uint64_t)got;
        }
    }
    mem_free(chunk);
    d->begun = d->have;
    d->begun_ns = d->shown_ns = clock_system()->mono_ns(clock_system());
    if (got < 0 || lseek(d->fd, (off_t)d->have, SEEK_SET) < 0)
        return error_wrap(e, "%s", d->part);
    return 0;
}

static int restart_part(struct download *d, struct error *e)
{
    d->have = d->begun = 0;
    if (ftruncate(d->fd, 0) != 0 || lseek(d->fd, 0, SEEK_SET) < 0)
        return error_errno(e, "%s", d->part);
    return begin_hash(d, e);
}

static int check_room(const struct download *d, struct error *e)
{
    uint64_t room = 0, left = d->from.bytes > d->have ? d->from.bytes - d->have : 0;

    if (sys_room(d->p->folder, &room, e) < 0)
        return -1;
    if (left + ROOM_SPARE <= room)
        return 0;
    return error_set(e, ERROR_RESOURCE_EXHAUSTED, "%s has %s left, and %s are still to come",
                     d->p->folder, human_bytes(HUMAN, room), human_bytes(HUMAN, left));
}

static void show(struct download *d)
{
    uint64_t now = clock_system()->mono_ns(clock_system());

    if (!d->p->progress || now - d->shown_ns < NS_PER_S)
        return;
    d->shown_ns = now;
    double speed = (double)(d->have - d->begun) / ((double)(now - d->begun_ns) / 1e9);
    terminal_note(d->p->terminal, "%s of %s (%s), %s a second", human_bytes(HUMAN, d->have),
                  human_bytes(HUMAN, d->from.bytes),
                  human_percent(HUMAN, d->have, d->from.bytes ? d->from.bytes : d->have),
                  human_bytes(HUMAN, (uint64_t)speed));
}

/* The place of this answer's bytes: behind the part, or at the beginning. */
static int begin_body(struct download *d, struct error *e)
{
    uint64_t first = 0;

    d->offset = d->have;
    if (d->in.status == 206) { /* "bytes FIRST-LAST/ALL" */
        struct str range = http_in_header(&d->in, "content-range");
        size_t dash = str_find(range, STR("-"));
        if (!str_starts(range, STR("bytes ")) || dash == SIZE_MAX ||
            !str_number(str_sub(range, 6, dash - 6), &first) || first != d->have)
            return error_set(e, ERROR_UNAVAILABLE, "%s sent another part of the file", d->from.url);
        return 0;
    }
    if (d->have && restart_part(d, e) < 0) /* it sends all of it again */
        return -1;
    d->offset = 0;
    return 0;
}

static int on_body(void *arg, const void *p, size_t len, struct error *e)
{
    struct download *d = arg;

    if (d->offset == UINT64_MAX && begin_body(d, e) < 0)
        return -1;
    if (d->from.bytes && d->have + len > d->from.bytes)
        return error_set(e, ERROR_DATA_LOSS, "%s sent more bytes than the file has", d->from.url);
    if (sys_write_all(d->fd, p, len, d->part, e) < 0)
        return -1;
    (void)EVP_DigestUpdate(d->hash, p, len);
    d->have += len;
    show(d);
    return 0;
}

/* ---- The whole ---- */

static bool may_retry(const struct error *e)
{
    return e->code == ERROR_UNAVAILABLE || e->code == ERROR_DEADLINE_EXCEEDED;
}

/* One try: 1 when all has come. */
static int fetch_more(struct download *d, struct error *e)
{
    d->offset = UINT64_MAX;
    if (get(d, d->from.url, on_body, e) < 0) {
        if (d->in.status == 416) { /* the part is longer than the file there */
            *e = (struct error){ 0 };
            return restart_part(d, e) < 0 ? -1 : 0;
        }
        return -1;
    }
    if (d->from.bytes && d->have < d->from.bytes)
        return error_set(e, ERROR_UNAVAILABLE, "%s ended at byte %" PRIu64 " of %" PRIu64,
                         d->from.url, d->have, d->from.bytes);
    return 1;
}

static bool stopped(const struct download *d)
{
    return d->p->stop && atomic_load(d->p->stop);
}

static void pause_for(const struct download *d, uint32_t ms)
{
    for (uint32_t slept = 0; slept < ms && !stopped(d); slept += 50)
        clock_system()->sleep_ns(clock_system(), 50 * NS_PER_MS);
}

/* 429 is retried too, after the pause that it asks for. */
static int with_retries(struct download *d, int (*step)(struct download *d, struct error *e),
                        struct error *e)
{
    uint32_t tries = 0, pause_ms = PAUSE_MS;

    for (;;) {
        uint64_t before = d->have;
        struct error why = { 0 };
        int rc = step(d, &why);
        if (rc > 0)
            return 0;
        if (rc < 0 && !may_retry(&why) && d->in.status != 429) {
            *e = why;
            return -1;
        }
        tries = d->have > before ? 1 : tries + 1;
        pause_ms = d->have > before ? PAUSE_MS : pause_ms;
        if (rc < 0 && tries >= PULL_TRIES) {
            *e = why;
            return error_wrap(e, "after %d tries", PULL_TRIES);
        }
        if (stopped(d))
            return error_set(e, ERROR_CANCELLED, "stopped");
        uint32_t asked = rc < 0 ? retry_after_ms(&d->in) : 0;
        if (rc < 0)
            terminal_note(d->p->terminal, "%s; trying again", why.msg);
        pause_for(d, asked ? asked : pause_ms);
        pause_ms *= 2;
    }
}

static int ask_step(struct download *d, struct error *e)
{
    return ask_hub(d, e) < 0 ? -1 : 1;
}

static int check_hash(struct download *d, struct error *e)
{
    unsigned char digest[32];
    char hex[SHA256_HEX + 1];

    (void)EVP_DigestFinal_ex(d->hash, digest, NULL);
    for (size_t i = 0; i < sizeof digest; i++)
        (void)snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    if (strcmp(hex, d->from.sha256) == 0)
        return 0;
    (void)unlink(d->part);
    return error_set(e, ERROR_DATA_LOSS,
                     "what came is not the file: its SHA-256 is %s, not %s; it was removed", hex,
                     d->from.sha256);
}

static int download(struct download *d, const char *path, struct error *e)
{
    d->part = arena_textf(d->a, "%s/%s.part", d->p->folder, d->from.sha256);
    if (open_part(d, e) < 0 || check_room(d, e) < 0)
        return -1;
    if (d->have)
        terminal_note(d->p->terminal, "going on at %s", human_bytes(HUMAN, d->have));
    bool whole = d->from.bytes && d->have == d->from.bytes;
    if (!whole && with_retries(d, fetch_more, e) < 0)
        return -1;
    if (check_hash(d, e) < 0 || sys_sync(d->fd, d->part, e) < 0)
        return -1;
    return sys_rename(d->part, path, e);
}

/* The name that it is kept under. */
static const char *name_of(const struct pull *p, struct arena *a, const struct source *s)
{
    const struct catalogue_entry *known = catalogue_find(p->what);
    const char *file = s->file ? s->file : s->url;
    const char *slash;
    size_t len;
    char *name;

    assert(file);
    if (p->as || known)
        return p->as ? p->as : known->name;
    slash = strrchr(file, '/');
    file = slash ? slash + 1 : file;
    len = strcspn(file, "?#");
    if (len > 5 && strncasecmp(file + len - 5, ".gguf", 5) == 0)
        len -= 5;
    name = arena_copy(a, file, len);
    for (char *c = name; *c; c++)
        *c = isalnum((unsigned char)*c) || strchr("-_.", *c) ? to_lower(*c) : '-';
    return name;
}

static int name_check(const char *name, struct error *e)
{
    if (*name && *name != '.' && strlen(name) < 128 &&
        strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-_.") == strlen(name))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "\"%.64s\" is not a name for a model: lower-case letters, digits, - _ and .",
                     name);
}

static int find_source(struct download *d, struct error *e)
{
    const struct pull *p = d->p;
    struct source *s = &d->from;

    if (read_what(p, d->a, s, e) < 0 || (s->repository && with_retries(d, ask_step, e) < 0))
        return -1;
    if (p->sha256 && s->sha256 && strcasecmp(p->sha256, s->sha256) != 0)
        return error_set(e, ERROR_DATA_LOSS, "the hub's file has the SHA-256 %s, not %s", s->sha256,
                         p->sha256);
    if (p->sha256)
        s->sha256 = lower_hex(d->a, str_of(p->sha256));
    if (!is_sha256(s->sha256))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "only a hub gives the hash of a file: for another URL write --sha256 HEX");
    return 0;
}

int pull_model(const struct pull *p, struct arena *a, const char **path, bool *had, struct error *e)
{
    struct download d = { .p = p, .a = a, .fd = -1, .hash = EVP_MD_CTX_new() };
    struct stat st;
    int rc = -1;

    *had = false;
    d.http = http_client_new();
    if (sys_mkdirs(p->folder, e) == 0 && find_source(&d, e) == 0) {
        const char *name = name_of(p, a, &d.from);
        *path = arena_textf(a, "%s/%s.gguf", p->folder, name);
        rc = name_check(name, e);
        *had = rc == 0 && stat(*path, &st) == 0 && d.from.bytes &&
               (uint64_t)st.st_size == d.from.bytes;
        if (rc == 0 && !*had)
            rc = download(&d, *path, e);
    }
    if (d.fd >= 0)
        (void)close(d.fd);
    http_in_release(&d.in);
    http_client_free(d.http);
    EVP_MD_CTX_free(d.hash);
    if (rc < 0 && e->code == ERROR_CANCELLED)
        return error_set(e, ERROR_CANCELLED, "stopped; the same command goes on where it was");
    return rc;
}
