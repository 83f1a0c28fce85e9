#include "predict/child/check.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sandbox.h"
#include "base/thread.h"
#include "predict/child/link.h"
#include "predict/local/llama/llama_text.h"

/* ---- The process ---- */

static void reply(enum link_kind kind, struct str bytes)
{
    struct buf out = BUF_INIT(LINK_FRAME_BYTES_MAX);

    link_add(&out, kind, 0, bytes, (struct str){ 0 });
    (void)link_send(SANDBOX_FD_FIRST, buf_str(&out));
    buf_release(&out);
}

static int check(const char *path, struct model_facts *out, struct error *e)
{
    const struct sandbox_seal seal = { .open = true, .path = &path, .path_count = 1 };

    return sandbox_seal(&seal, e) < 0 ? -1 : model_check(path, out, e);
}

int check_main(uint32_t fd_count)
{
    struct link_in in = { 0 };
    struct link_frame f;
    struct arena a = { 0 };
    struct model_facts facts = { 0 };
    struct error e = { 0 };
    int rc;

    (void)fd_count;
    llama_errors_catch(NULL);                  /* its log is for the level debug */
    (void)setenv("GGML_NO_BACKTRACE", "1", 1); // NOLINT(concurrency-mt-unsafe): the only thread
    while ((rc = link_next(&in, &f, &e)) == 0 && link_read(&in, SANDBOX_FD_FIRST) > 0)
        ;
    if (rc <= 0)
        return EXIT_FAILURE;
    if (check(arena_copy(&a, f.bytes.p, f.bytes.len), &facts, &e) == 0)
        reply(LINK_READY, (struct str){ (const char *)&facts, sizeof facts });
    else
        reply(LINK_FAILED, (struct str){ (const char *)&e, sizeof e });
    return EXIT_SUCCESS;
}

/* ---- The parent ---- */

/* The texts end where they must. */
static void end_texts(struct model_facts *f)
{
    f->architecture[sizeof f->architecture - 1] = '\0';
    f->name[sizeof f->name - 1] = '\0';
    f->licence[sizeof f->licence - 1] = '\0';
    f->format[sizeof f->format - 1] = '\0';
    f->why[sizeof f->why - 1] = '\0';
}

/* 1 and the frame; 0: the process has ended, or its time is over. */
static int await(struct link_in *in, int fd, struct link_frame *out, struct error *e)
{
    uint64_t deadline = deadline_in_ms(CHECK_MS);
    int rc;

    while ((rc = link_next(in, out, e)) == 0) {
        struct pollfd p = { .fd = fd, .events = POLLIN };
        uint64_t now = deadline_in_ms(0), left = now < deadline ? deadline - now : 0;
        int ready = poll(&p, 1, (int)(left / NS_PER_MS));
        if (ready == 0 || (ready > 0 && link_read(in, fd) <= 0))
            return 0;
    }
    return rc;
}

static int take(struct sandbox *s, int fd, const char *path, struct model_facts *out,
                struct error *e)
{
    struct link_in in = { 0 };
    struct link_frame f = { 0 };
    struct sandbox_end end;
    int rc = await(&in, fd, &f, e);

    if (rc > 0 && f.kind == LINK_READY && f.bytes.len == sizeof *out) {
        memcpy(out, f.bytes.p, sizeof *out);
        end_texts(out);
    } else if (rc > 0 && f.kind == LINK_FAILED && f.bytes.len == sizeof *e) {
        memcpy(e, f.bytes.p, sizeof *e);
        e->msg[sizeof e->msg - 1] = '\0';
        e->code = e->code < ERROR_CODE_COUNT && e->code != ERROR_OK ? e->code : ERROR_INTERNAL;
        rc = -1;
    } else if (rc >= 0) {
        bool ended = sandbox_wait(s, 1000, &end);
        rc = error_set(e, ERROR_FAILED_PRECONDITION, "%s is damaged: the process that read it %s",
                       path, ended ? end.text : "was ended, because it took too long");
    }
    link_in_release(&in);
    return rc > 0 ? 0 : -1;
}

int model_check_apart(const char *path, struct model_facts *out, struct error *e)
{
    struct buf hello = BUF_INIT(LINK_FRAME_BYTES_MAX);
    int pair[2], rc = -1;

    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return error_errno(e, "no socket for a process");
    const struct sandbox_spec spec = {
        .role = CHECK_ROLE, .name = "tranche-check", .fd = &pair[1], .fd_count = 1
    };
    struct sandbox *s = sandbox_start(&spec, e);
    (void)close(pair[1]);
    link_add(&hello, LINK_HELLO, 0, str_of(path), (struct str){ 0 });
    if (s && link_send(pair[0], buf_str(&hello)))
        rc = take(s, pair[0], path, out, e);
    else if (s)
        rc = error_errno(e, "%s", path);
    (void)close(pair[0]);
    sandbox_free(s);
    buf_release(&hello);
    return rc;
}
