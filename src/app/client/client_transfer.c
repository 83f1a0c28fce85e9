/* client_transfer.c -- objects' bytes up and down, going on where a broken line left them. */
#include "app/client/client_storage.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/cli/human.h"
#include "app/cli/options.h"
#include "base/clock.h"
#include "base/sys.h"
#include "store/objects/blob.h"

#define SHOW_EVERY_MS 200
#define SHOW_AFTER_MS 500 /* what is over by then is not worth a line */
#define CRC_TEXT_BYTES 9
#define HEADER_BYTES 96
#define FAILURES_MAX 8 /* of an upload, without a byte of progress between them */

/* ---- Progress ---- */

static void transfer_begin(struct transfer *t, const struct client *c, const char *label,
                           uint64_t total)
{
    struct clock *clock = clock_system();

    *t = (struct transfer){
        .terminal = &c->terminal, .label = label, .total = total, .begun_ns = clock->mono_ns(clock)
    };
    t->shown_ns = t->begun_ns + (SHOW_AFTER_MS - SHOW_EVERY_MS) * NS_PER_MS;
}

static void transfer_show(struct transfer *t, uint64_t done)
{
    struct clock *clock = clock_system();
    uint64_t now = clock->mono_ns(clock);
    struct buf line = BUF_INIT(4096);

    t->done = done;
    if (!t->terminal || !t->terminal->live || now < t->shown_ns + SHOW_EVERY_MS * NS_PER_MS)
        return;
    t->shown_ns = now;
    t->drawn = true;
    buf_add_c(&line, "\r");
    if (t->total)
        buf_addf(&line, "%s  ", human_percent(HUMAN, done, t->total));
    buf_addf(&line, "%s", human_bytes(HUMAN, done));
    if (t->total)
        buf_addf(&line, " of %s", human_bytes(HUMAN, t->total));
    double seconds = (double)(now - t->begun_ns) / (double)NS_PER_S;
    buf_addf(&line, "  %s/s  ", human_bytes(HUMAN, (uint64_t)((double)done / seconds)));
    struct str rest = str_of(t->label);
    size_t used = line.len - 1, width = terminal_width() - 1;
    buf_add_plain(&line, str_sub(rest, 0, width > used ? width - used : 0), false);
    buf_add_c(&line, "\033[K");
    terminal_write(STDERR_FILENO, buf_str(&line));
    buf_release(&line);
}

static void transfer_clear(struct transfer *t)
{
    if (t->drawn)
        terminal_write(STDERR_FILENO, STR("\r\033[K"));
    t->drawn = false;
}

/* ---- Checksums ---- */

/* Base64 of the four bytes, the highest first, as the API writes it. */
static void crc_text(uint32_t crc, char out[CRC_TEXT_BYTES])
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint64_t bits = (uint64_t)crc << 4; /* 36 bits: six digits */

    for (int i = 5; i >= 0; i--, bits >>= 6)
        out[i] = digits[bits & 63];
    memcpy(out + 6, "==", 3);
}

static bool crc_matches(uint32_t crc, struct str wanted)
{
    char text[CRC_TEXT_BYTES];

    crc_text(crc, text);
    return wanted.len == 0 || str_eq_c(wanted, text);
}

/* ---- Up ---- */

struct upload {
    struct client *client;
    const struct gs *to;
    int fd;
    const char *label, *session;
    struct buf part; /* read, and not yet known to be kept by the service */
    uint64_t at;     /* offset of part in the object */
    bool last;       /* nothing comes behind part */
    unsigned failures;
    uint32_t crc; /* of all that was read */
    struct transfer shown;
    struct str object; /* the finished object's JSON */
};

static int upload_begin(struct upload *u, struct error *e)
{
    struct client *c = u->client;
    const struct str names[] = { u->to->bucket, u->to->name };
    static const char *const header[] = { "X-Upload-Content-Type: application/octet-stream", NULL };
    const struct client_call call = {
        .method = "POST",
        .url = client_url(c, c->storage, "/upload/storage/v1/b/{}/o?uploadType=resumable&name={}",
                          names),
        .header = header,
        .body = STR("{}"),
    };
    struct http_in in;

    if (client_do(c, &call, &in, e) < 0)
        return -1;
    struct str session = http_in_header(&in, "location");
    u->session = arena_copy(&c->arena, session.p, session.len);
    http_in_release(&in);
    return session.len ? 0 : error_set(e, ERROR_INTERNAL, "%s began no upload", c->storage);
}

/* Fills part with one byte more than is sent at once: whether the last of them was the end is known only
 * when a further read has nothing. */
static int upload_read(struct upload *u, struct error *e)
{
    static const size_t step = (size_t)64 * 1024;
    size_t before = u->part.len;

    while (u->part.len <= UPLOAD_PART_BYTES && !u->last) {
        char block[64 * 1024];
        size_t want = UPLOAD_PART_BYTES + 1 - u->part.len;
        ssize_t n = read(u->fd, block, want < step ? want : step);
        if (n < 0 && errno == EINTR && !atomic_load(u->client->stop))
            continue;
        if (n < 0 && errno == EINTR)
            return error_set(e, ERROR_CANCELLED, "interrupted");
        if (n < 0)
            return error_errno(e, "cannot read %s", u->label);
        buf_add(&u->part, block, (size_t)n);
        u->last = n == 0;
    }
    if (u->part.len > before)
        u->crc = crc32c_add(u->crc, u->part.p + before, u->part.len - before);
    return 0;
}

/* Forgets the bytes of the part that the service has: "bytes=0-N", or none at all. */
static int upload_keep(struct upload *u, struct str range, struct error *e)
{
    uint64_t have = 0;

    if (range.len) {
        size_t dash = str_find(range, STR("-"));
        if (dash == SIZE_MAX ||
            !str_number_in(str_sub(range, dash + 1, range.len), 0, UINT64_MAX - 1, &have))
            return error_set(e, ERROR_INTERNAL, "the service keeps \"%.*s\"", STR_ARG(range));
        have++;
    }
    if (have < u->at || have > u->at + u->part.len)
        return error_set(e, ERROR_INTERNAL, "the service has lost what was sent of %s", u->label);
    size_t kept = (size_t)(have - u->at);
    if (kept) {
        memmove(u->part.p, u->part.p + kept, u->part.len - kept);
        u->part.len -= kept;
        u->at = have;
        u->failures = 0;
    }
    return 0;
}

/* 1: the object is finished; 0: the service wants more. */
static int upload_answer(struct upload *u, struct http_in *in, struct error *e)
{
    int rc = 1;

    if (in->status == 308) {
        rc = upload_keep(u, http_in_header(in, "range"), e);
    } else {
        u->object =
            (struct str){ arena_copy(&u->client->arena, in->body.p, in->body.len), in->body.len };
    }
    http_in_release(in);
    return rc;
}

static struct str upload_next(const struct upload *u)
{
    return str_sub(buf_str(&u->part), 0, UPLOAD_PART_BYTES);
}

static void content_range(const struct upload *u, bool ask, char out[HEADER_BYTES])
{
    char total[24] = "*";
    unsigned long long from = u->at, to = u->at + upload_next(u).len;

    if (u->last)
        (void)snprintf(total, sizeof total, "%llu", to);
    if (ask || to == from)
        (void)snprintf(out, HEADER_BYTES, "Content-Range: bytes */%s", total);
    else
        (void)snprintf(out, HEADER_BYTES, "Content-Range: bytes %llu-%llu/%s", from, to - 1, total);
}

/* Sends the part once; when that breaks, asks how much of it has come. */
static int upload_step(struct upload *u, struct error *e)
{
    char range[HEADER_BYTES];
    const char *const header[] = { range, NULL };
    struct client_call call = {
        .method = "PUT",
        .url = u->session,
        .header = header,
        .body = upload_next(u),
        .single = true,
    };
    struct http_in in;
    struct error broken = { 0 };

    content_range(u, false, range);
    if (client_do(u->client, &call, &in, &broken) == 0)
        return upload_answer(u, &in, e);
    if (!error_retryable(broken.code) || ++u->failures > FAILURES_MAX)
        return error_set(e, broken.code, "%s", broken.msg);
    content_range(u, true, range);
    call.body = (struct str){ 0 };
    call.single = false;
    if (client_sleep(u->client, u->failures * 250, e) < 0 ||
        client_do(u->client, &call, &in, e) < 0)
        return -1;
    return upload_answer(u, &in, e);
}

static int upload_check(struct upload *u, struct error *e)
{
    struct error ignored = { 0 };
    size_t at = 0;

    yyjson_val *object = json_parse(&u->client->arena, u->object, &at, &ignored);
    if (crc_matches(u->crc, json_str(json_get(object, "crc32c"))))
        return 0;
    return error_set(e, ERROR_DATA_LOSS, "%s was changed on its way; the object %s", u->label,
                     remote_remove(u->client, u->to, &ignored) < 0 ? "is wrong" : "was removed");
}

int remote_upload(struct client *c, int fd, const struct gs *to, const char *label, struct error *e)
{
    struct upload u = {
        .client = c, .to = to, .fd = fd, .label = label, .part = BUF_INIT(UPLOAD_PART_BYTES + 1)
    };
    struct stat st;
    int rc = upload_begin(&u, e);

    transfer_begin(&u.shown, c, label,
                   fstat(fd, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0);
    while (rc == 0) {
        rc = upload_read(&u, e);
        if (rc == 0)
            rc = upload_step(&u, e);
        transfer_show(&u.shown, u.at);
    }
    transfer_clear(&u.shown);
    buf_release(&u.part);
    return rc < 0 ? -1 : upload_check(&u, e);
}

/* ---- Down ---- */

static int fetch_some(void *arg, const void *p, size_t len, struct error *e)
{
    struct fetch *f = arg;
    const char *bytes = p;

    if (!f->begun) /* a service that knows no ranges begins anew */
        f->skip = f->by_offset || f->in->status == 206 ? 0 : f->got;
    f->begun = true;
    size_t skip = f->skip < len ? (size_t)f->skip : len;
    f->skip -= skip;
    bytes += skip;
    len -= skip;
    if (len == 0)
        return 0;
    f->crc = crc32c_add(f->crc, bytes, len);
    if (sys_write_all(f->fd, bytes, len, f->path, e) < 0)
        return -1;
    f->got += len;
    transfer_show(&f->shown, f->got);
    return 0;
}

/* One answer, from where the last one ended. */
static int fetch_once(struct client *c, const char *url, struct fetch *f, struct error *e)
{
    char from[HEADER_BYTES];
    const char *const header[] = { from, NULL };
    struct http_in in;
    struct client_call call = { .method = "GET", .url = url, .on_body = fetch_some, .arg = f };

    (void)snprintf(from, sizeof from, "Range: bytes=%llu-", (unsigned long long)f->got);
    if (f->got && !f->by_offset)
        call.header = header;
    if (f->by_offset) {
        (void)snprintf(from, sizeof from, "%llu", (unsigned long long)f->got);
        const struct str offset = str_of(from);
        call.url = client_url(c, url, "?offset={}", &offset);
    }
    f->in = &in;
    f->begun = false;
    if (client_do(c, &call, &in, e) < 0)
        return -1;
    http_in_release(&in);
    return 0;
}

int client_fetch(struct client *c, const char *url, struct fetch *f, struct error *e)
{
    for (;;) {
        struct error broken = { 0 };
        uint64_t before = f->got;
        if (fetch_once(c, url, f, &broken) == 0 ||
            (broken.code == ERROR_OUT_OF_RANGE && before && !f->by_offset))
            return 0;
        if (!error_retryable(broken.code) || f->got == before)
            return error_set(e, broken.code, "%s", broken.msg);
    }
}

static int download_to(struct client *c, const struct gs *from, int fd, const char *path,
                       struct error *e)
{
    struct object_view o;
    struct fetch f = { .fd = fd, .path = path };

    if (remote_stat(c, from, &o, e) < 0)
        return -1;
    const struct str names[] = { from->bucket, from->name, o.generation };
    const char *url =
        client_url(c, c->storage, "/download/storage/v1/b/{}/o/{}?alt=media&generation={}", names);
    transfer_begin(&f.shown, c, path, o.bytes);
    int rc = client_fetch(c, url, &f, e);
    transfer_clear(&f.shown);
    if (rc < 0 || o.compressed)
        return rc;
    if (f.got == o.bytes && crc_matches(f.crc, o.crc32c))
        return 0;
    return error_set(e, ERROR_DATA_LOSS, "%s differs from the object's checksum; copy it again",
                     path);
}

int remote_download(struct client *c, const struct gs *from, const char *path, struct error *e)
{
    struct buf partial = BUF_INIT(8192);
    int fd, rc = -1;

    if (strcmp(path, "-") == 0)
        return download_to(c, from, STDOUT_FILENO, "standard output", e);
    buf_addf(&partial, "%s.partial", path);
    fd = sys_create(partial.p, e);
    if (fd >= 0) {
        rc = download_to(c, from, fd, partial.p, e);
        if (close(fd) < 0 && rc == 0)
            rc = error_errno(e, "cannot write %s", partial.p);
        if (rc == 0)
            rc = sys_rename(partial.p, path, e);
        else
            (void)unlink(partial.p);
    }
    buf_release(&partial);
    return rc;
}
