/* child.c -- the process that decodes: takes an order, decodes, writes pieces, takes the next one. It trusts its
 * parent and nothing else, and ends when the parent's socket does. */
#include "predict/media/wire.h"

#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/sandbox.h"
#include "base/sys.h"
#include "predict/media/decode.h"

/* One order with its two descriptors; false when the parent has gone. */
static bool take_order(int from, struct media_order *out, int fd[2])
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = { 0 };
    struct iovec piece = { out, sizeof *out };
    struct msghdr m = {
        .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof control.bytes,
    };

    if (recvmsg(from, &m, 0) != (ssize_t)sizeof *out)
        return false;
    const struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(2 * sizeof(int)))
        return false;
    memcpy(fd, CMSG_DATA(c), 2 * sizeof(int));
    return true;
}

static int write_record(int to, const struct media_record *r, const void *bytes, struct error *e)
{
    if (sys_write_all(to, r, sizeof *r, "the parent", e) < 0)
        return -1;
    return r->bytes ? sys_write_all(to, bytes, r->bytes, "the parent", e) : 0;
}

static int write_piece(void *arg, const struct media_piece *p, struct error *e)
{
    const struct media_record r = {
        .type = MEDIA_RECORD_PIECE,
        .width = p->width,
        .height = p->height,
        .samples = p->samples,
        .time_us = p->time_us,
        .bytes = p->bytes,
    };

    return write_record(*(const int *)arg, &r, p->data, e);
}

/* The parent may have closed the pipe already: then nobody wants the end. */
static void serve(const struct libav *av, const struct media_order *order, int file, int to)
{
    const struct media_sink sink = { write_piece, &to };
    struct media_record end = { .type = MEDIA_RECORD_END };
    struct error e = { 0 }, gone;

    if (media_decode(av, file, order, &sink, &e) < 0)
        end = (struct media_record){ MEDIA_RECORD_ERROR, .code = e.code, .bytes = strlen(e.msg) };
    (void)write_record(to, &end, e.msg, &gone);
}

int media_child_main(uint32_t fd_count)
{
    struct libav av;
    struct media_order order;
    struct error e = { 0 };
    int fd[2];

    if (fd_count != 1)
        return 1;
    if (libav_load(&av, &e) < 0 || sandbox_seal(&(struct sandbox_seal){ 0 }, &e) < 0) {
        log_error("%s", e.msg);
        return 1;
    }
    av.av_log_set_level(AV_LOG_QUIET);
    while (take_order(SANDBOX_FD_FIRST, &order, fd)) {
        serve(&av, &order, fd[0], fd[1]);
        (void)close(fd[0]);
        (void)close(fd[1]);
    }
    return 0;
}
