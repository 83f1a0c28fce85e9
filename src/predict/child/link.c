#define _GNU_SOURCE /* MSG_CMSG_CLOEXEC, CMSG_SPACE */
#include "predict/child/link.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"

#define READ_BYTES ((size_t)64 * 1024)

/* ---- Frames ---- */

void link_add(struct buf *out, enum link_kind kind, uint64_t id, struct str a, struct str b)
{
    const struct link_head head = { .kind = kind, .bytes = (uint32_t)(a.len + b.len), .id = id };

    assert(a.len + b.len <= LINK_FRAME_BYTES_MAX);
    buf_add(out, &head, sizeof head);
    buf_add_str(out, a);
    buf_add_str(out, b);
}

void link_in_release(struct link_in *in)
{
    mem_free(in->p);
    *in = (struct link_in){ 0 };
}

/* Control data of one descriptor. */
union control {
    struct cmsghdr head; /* for its alignment */
    char bytes[CMSG_SPACE(sizeof(int))];
};

/* As recv; the kernel gives the descriptors of one message at a time, and closes those of a reader that
 * takes none. */
static ssize_t receive(struct link_in *in, int fd)
{
    struct iovec to = { in->p + in->to, in->cap - in->to };
    union control control;
    struct msghdr m = { .msg_iov = &to, .msg_iovlen = 1 };

    if (in->takes_fds) {
        m.msg_control = control.bytes;
        m.msg_controllen = sizeof control.bytes;
    }
    ssize_t n = recvmsg(fd, &m, MSG_CMSG_CLOEXEC);
    struct cmsghdr *c = n > 0 && in->takes_fds ? CMSG_FIRSTHDR(&m) : NULL;
    if (c && c->cmsg_type == SCM_RIGHTS && in->fd_count < LINK_FDS_MAX)
        memcpy(&in->fd[in->fd_count++], CMSG_DATA(c), sizeof(int));
    return n;
}

int link_take_fd(struct link_in *in)
{
    if (!in->fd_count)
        return -1;
    int fd = in->fd[0];
    memmove(in->fd, in->fd + 1, --in->fd_count * sizeof(int));
    return fd;
}

ssize_t link_send_some(int fd, struct str bytes, int with)
{
    struct iovec from = { (void *)(uintptr_t)bytes.p, bytes.len };
    union control control;
    struct msghdr m = { .msg_iov = &from, .msg_iovlen = 1 };

    if (with < 0)
        return send(fd, bytes.p, bytes.len, MSG_DONTWAIT | MSG_NOSIGNAL);
    memset(&control, 0, sizeof control);
    m.msg_control = control.bytes;
    m.msg_controllen = sizeof control.bytes;
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    c->cmsg_level = SOL_SOCKET;
    c->cmsg_type = SCM_RIGHTS;
    c->cmsg_len = CMSG_LEN(sizeof(int));
    memcpy(CMSG_DATA(c), &with, sizeof(int));
    return sendmsg(fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
}

int link_read(struct link_in *in, int fd)
{
    if (in->from == in->to)
        in->from = in->to = 0;
    if (in->cap - in->to < READ_BYTES && in->from) {
        memmove(in->p, in->p + in->from, in->to - in->from);
        in->to -= in->from;
        in->from = 0;
    }
    if (in->cap - in->to < READ_BYTES) {
        in->cap = in->cap ? in->cap * 2 : 4 * READ_BYTES;
        in->p = mem_grow(in->p, in->cap);
    }
    ssize_t n = receive(in, fd);
    if (n < 0)
        return -1;
    in->to += (size_t)n;
    return n > 0;
}

int link_next(struct link_in *in, struct link_frame *out, struct error *e)
{
    struct link_head head;

    if (in->to - in->from < sizeof head)
        return 0;
    memcpy(&head, in->p + in->from, sizeof head);
    if (head.kind >= LINK_KINDS || head.bytes > LINK_FRAME_BYTES_MAX)
        return error_set(e, ERROR_INTERNAL,
                         "the model's process sent bytes that are not a message");
    if (in->to - in->from - sizeof head < head.bytes)
        return 0;
    *out = (struct link_frame){ .kind = (enum link_kind)head.kind, .id = head.id };
    out->bytes = (struct str){ in->p + in->from + sizeof head, head.bytes };
    in->from += sizeof head + head.bytes;
    return 1;
}

bool link_send(int fd, struct str bytes)
{
    while (bytes.len) {
        ssize_t n = send(fd, bytes.p, bytes.len, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes = str_sub(bytes, (size_t)n, bytes.len);
    }
    return true;
}

/* ---- The model ---- */

/* The numbers of a model that its session reads: one row writes and reads each. */
static const struct {
    const char *key;
    size_t at;
} numbers[] = {
    { "context", offsetof(struct model, context) },
    { "sequences", offsetof(struct model, sequences) },
    { "threads", offsetof(struct model, threads) },
    { "cache_mib", offsetof(struct model, cache_mib) },
};

void link_model_write(const struct model *m, const struct predictor_env *env, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "pattern", m->pattern);
    json_add_c(&w, "file", m->file);
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        json_add_uint(&w, numbers[i].key, *(const uint32_t *)((const char *)m + numbers[i].at));
    json_add_bool(&w, "plain", m->plain);
    json_add_c(&w, "chat_template", m->chat_template);
    json_add_uint(&w, "call_format", m->call_format);
    json_array(&w, "adapters");
    for (uint32_t i = 0; i < m->adapters.count; i++) {
        json_object(&w, NULL);
        json_add_c(&w, "file", m->adapters.item[i].file);
        json_add_float(&w, "scale", m->adapters.item[i].scale);
        json_end(&w);
    }
    json_end(&w);
    json_add_uint(&w, "seed", env->seed);
    json_end(&w);
}

static const char *text_of(yyjson_val *object, const char *key)
{
    return yyjson_get_str(json_get(object, key));
}

int link_model_read(struct arena *a, struct str text, struct model *m, struct predictor_env *env,
                    struct error *e)
{
    size_t at, i, count;
    yyjson_val *root = json_parse(a, text, &at, e), *adapter;

    if (!root)
        return -1;
    *m = (struct model){
        .pattern = text_of(root, "pattern"),
        .kind = MODEL_LOCAL,
        .file = text_of(root, "file"),
        .plain = yyjson_get_bool(json_get(root, "plain")),
        .chat_template = text_of(root, "chat_template"),
        .call_format = (enum call_format)yyjson_get_uint(json_get(root, "call_format")),
    };
    for (i = 0; i < ARRAY_LEN(numbers); i++)
        *(uint32_t *)((char *)m + numbers[i].at) =
            (uint32_t)yyjson_get_uint(json_get(root, numbers[i].key));
    yyjson_arr_foreach(json_get(root, "adapters"), i, count, adapter)
    {
        m->adapters.item[m->adapters.count++] =
            (struct adapter){ .file = text_of(adapter, "file"),
                              .scale = (float)yyjson_get_num(json_get(adapter, "scale")) };
    }
    env->seed = yyjson_get_uint(json_get(root, "seed"));
    return 0;
}
