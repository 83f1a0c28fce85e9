#include "predict/media/decoder.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sandbox.h"
#include "base/sys.h"
#include "base/thread.h"
#include "predict/media/ask.h"
#include "predict/media/limits.h"
#include "predict/media/wire.h"

#define CHILD_FILES_MAX 1000 /* then a new process: what a library leaks is gone */
#define CHILD_MEMORY ((uint64_t)3 << 30)
#define CHILD_CPU_S (24 * 3600)
#define SILENCE_MS (10 * 60 * 1000) /* between two pieces, on a machine that does much else */

struct media_decoder {
    struct sandbox *child; /* NULL: none runs */
    int socket;            /* to the child */
    int pipe;              /* of the open file; -1: none is open */
    bool done;             /* the open file has ended */
    uint32_t files;        /* that the child has been given */
    uint64_t piece_bytes_max;
    unsigned char *data;
};

struct media_decoder *media_decoder_new(void)
{
    struct media_decoder *d = mem_alloc(sizeof *d);

    d->socket = d->pipe = -1;
    return d;
}

/* ---- The child ---- */

static void stop_child(struct media_decoder *d)
{
    if (!d->child)
        return;
    sandbox_free(d->child);
    (void)close(d->socket);
    d->child = NULL;
    d->socket = -1;
    d->files = 0;
}

static int start_child(struct media_decoder *d, struct error *e)
{
    int pair[2];

    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(e, "no socket for the decoder of media");
    const struct sandbox_spec spec = {
        .role = MEDIA_ROLE,
        .name = "media decoder",
        .fd = &pair[1],
        .fd_count = 1,
        .memory_bytes = CHILD_MEMORY,
        .cpu_s = CHILD_CPU_S,
    };
    d->child = sandbox_start(&spec, e);
    (void)close(pair[1]);
    if (!d->child) {
        (void)close(pair[0]);
        return -1;
    }
    d->socket = pair[0];
    return 0;
}

void media_decoder_free(struct media_decoder *d)
{
    if (!d)
        return;
    media_decoder_close(d);
    stop_child(d);
    mem_free(d->data);
    mem_free(d);
}

static int send_order(struct media_decoder *d, const struct media_order *order, int file, int to,
                      struct error *e)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = { 0 };
    struct media_order copy = *order;
    struct iovec piece = { &copy, sizeof copy };
    struct msghdr m = {
        .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    const int fd[2] = { file, to };

    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(c), fd, sizeof fd);
    if (sendmsg(d->socket, &m, MSG_NOSIGNAL) < 0)
        return error_errno(e, "the decoder of media takes no file");
    return 0;
}

/* ---- What can be seen without decoding ---- */

static int check_claimed_size(const struct media_sniffed *s, struct error *e)
{
    if (s->width <= MEDIA_SIDE_MAX && s->height <= MEDIA_SIDE_MAX &&
        (uint64_t)s->width * s->height <= MEDIA_PIXELS_MAX)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "The image has %u x %u pixels; at most %u million are decoded.", s->width,
                     s->height, MEDIA_PIXELS_MAX >> 20);
}

int media_file_check(int file, struct str type, struct media_sniffed *out, enum media_kind *kind,
                     struct error *e)
{
    unsigned char *head = mem_alloc(MEDIA_HEAD_BYTES);
    int64_t got = sys_read_at(file, head, MEDIA_HEAD_BYTES, 0, "the file", e);
    enum media_kind asked;

    if (got >= 0)
        media_sniff(head, (size_t)got, out);
    mem_free(head);
    if (got < 0)
        return -1;
    if (!out->format)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            got == 0
                ? "The file is empty."
                : "The file is not an image, a video or a sound of a kind that is decoded here: "
                  "JPEG, PNG, WebP, GIF, MP4, QuickTime, WebM, WAV, MP3, FLAC or Ogg.");
    if (!media_type_fits(out->format, type))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The file is %s, and not %.*s as its mimeType says.", out->format->name,
                         STR_ARG(str_cut(type, 60)));
    if (!out->format->demuxer)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s", out->format->why);
    *kind = out->format->kind;
    /* MP4 and WebM hold sounds alone, too. */
    if (*kind == MEDIA_KIND_VIDEO && media_kind_of_type(type, &asked))
        *kind = asked;
    return *kind == MEDIA_KIND_IMAGE ? check_claimed_size(out, e) : 0;
}

/* ---- One file ---- */

static uint64_t piece_bytes_max(const struct media_ask *ask)
{
    if (ask->kind == MEDIA_KIND_AUDIO)
        return ((uint64_t)ask->seconds_max + 1) * ask->sample_rate * sizeof(float);
    return (uint64_t)media_ask_pixels(ask) * 3;
}

static int give_file(struct media_decoder *d, const struct media_order *order, int file,
                     struct error *e)
{
    int ends[2];

    if (d->files == CHILD_FILES_MAX)
        stop_child(d);
    if (!d->child && start_child(d, e) < 0)
        return -1;
    if (pipe(ends) < 0)
        return error_errno(e, "no pipe for the decoder of media");
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    int rc = send_order(d, order, file, ends[1], e);
    (void)close(ends[1]);
    if (rc < 0) {
        (void)close(ends[0]);
        stop_child(d);
        return -1;
    }
    d->pipe = ends[0];
    d->done = false;
    d->files++;
    return 0;
}

int media_decoder_open(struct media_decoder *d, int file, struct str type, struct media_ask *ask,
                       struct error *e)
{
    struct media_sniffed sniffed;
    struct media_order order;

    assert(d->pipe < 0 && ask->sample_rate && ask->seconds_max);
    assert_may_wait("decoding");
    if (media_file_check(file, type, &sniffed, &ask->kind, e) < 0)
        return -1;
    if (ask->kind == MEDIA_KIND_AUDIO && ask->seconds_max > MEDIA_SOUND_S_MAX)
        ask->seconds_max = MEDIA_SOUND_S_MAX;
    order = (struct media_order){ .ask = *ask, .pixels = media_ask_pixels(ask) };
    (void)snprintf(order.demuxer, sizeof order.demuxer, "%s", sniffed.format->demuxer);
    d->piece_bytes_max = piece_bytes_max(ask);
    /* A child that died idle is not the file's fault. */
    return give_file(d, &order, file, e) == 0 ? 0 : give_file(d, &order, file, e);
}

/* Bytes of the pipe; less than len when it has ended, -1 after a silence. */
static int64_t read_pipe(struct media_decoder *d, void *to, uint64_t len)
{
    uint64_t at = 0;

    while (at < len) {
        struct pollfd p = { .fd = d->pipe, .events = POLLIN };
        int ready = poll(&p, 1, SILENCE_MS);
        if (ready < 0 && errno == EINTR)
            continue;
        if (ready <= 0)
            return -1;
        ssize_t n = read(d->pipe, (char *)to + at, len - at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        at += (uint64_t)n;
    }
    return (int64_t)at;
}

/* Why the child says no more. It is ended, whatever it does. */
static int child_failed(struct media_decoder *d, int64_t got, struct error *e)
{
    struct sandbox_end end = { .text = "ended" };

    if (got >= 0 && sandbox_wait(d->child, 5000, &end))
        (void)error_set(e, end.signal ? ERROR_INVALID_ARGUMENT : ERROR_FAILED_PRECONDITION,
                        "The file cannot be decoded: the process that decoded it %s.", end.text);
    else
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "The file cannot be decoded: its decoder gave nothing for %u s.",
                        SILENCE_MS / 1000);
    stop_child(d);
    return -1;
}

static int take_error(struct media_decoder *d, const struct media_record *r, struct error *e)
{
    char text[MEDIA_ERROR_BYTES] = "";
    uint64_t len = r->bytes < sizeof text ? r->bytes : sizeof text - 1;
    int64_t got = read_pipe(d, text, len);

    if (got < (int64_t)len)
        return child_failed(d, got, e);
    enum error_code code =
        r->code == ERROR_FAILED_PRECONDITION ? ERROR_FAILED_PRECONDITION : ERROR_INVALID_ARGUMENT;
    str_settle(text, (int)len, sizeof text);
    stop_child(d);
    return error_set(e, code, "%s", text);
}

int media_decoder_next(struct media_decoder *d, struct media_piece *out, struct error *e)
{
    struct media_record r;

    assert(d->pipe >= 0);
    if (d->done)
        return 0;
    int64_t got = read_pipe(d, &r, sizeof r);
    if (got < (int64_t)sizeof r)
        return child_failed(d, got, e);
    if (r.type == MEDIA_RECORD_END) {
        d->done = true;
        return 0;
    }
    if (r.type == MEDIA_RECORD_ERROR)
        return take_error(d, &r, e);
    bool sane = (uint64_t)r.width * r.height <= MEDIA_PIXELS_MAX && r.samples <= UINT32_MAX;
    uint64_t wanted = r.samples ? r.samples * sizeof(float) : (uint64_t)r.width * r.height * 3;
    if (r.type != MEDIA_RECORD_PIECE || !sane || !r.bytes || r.bytes != wanted ||
        r.bytes > d->piece_bytes_max) {
        stop_child(d);
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "The file cannot be decoded: its decoder wrote nonsense.");
    }
    d->data = mem_grow(d->data, r.bytes);
    got = read_pipe(d, d->data, r.bytes);
    if (got < (int64_t)r.bytes)
        return child_failed(d, got, e);
    *out = (struct media_piece){ r.width, r.height, r.samples, r.time_us, d->data, r.bytes };
    return 1;
}

void media_decoder_close(struct media_decoder *d)
{
    if (d->pipe < 0)
        return;
    (void)close(d->pipe);
    d->pipe = -1;
    if (!d->done)
        stop_child(d); /* it would go on with a file that nobody wants */
}
