#include "predict/local/native/tensor_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

int tensor_file_open_as(struct tensor_file *t, const char *path, int fd, struct error *e)
{
    const struct gguf_init_params params = { .no_alloc = true, .ctx = NULL };
    int file_fd;

    *t = (struct tensor_file){ .path = path };
    t->fd = fd ? fcntl(fd, F_DUPFD_CLOEXEC, 0) : sys_open(path, O_RDONLY, e);
    if (t->fd < 0)
        return fd ? error_errno(e, "%s", path) : -1;
    file_fd = fcntl(t->fd, F_DUPFD_CLOEXEC, 0);
    FILE *file = file_fd < 0 ? NULL : fdopen(file_fd, "rb");
    if (!file) {
        if (file_fd >= 0)
            (void)close(file_fd);
        return error_errno(e, "%s", path);
    }
    rewind(file); /* the copies of a descriptor share its place */
    t->file = gguf_init_from_file_ptr(file, params);
    (void)fclose(file);
    return t->file ? 0 : error_set(e, ERROR_FAILED_PRECONDITION, "%s is damaged", path);
}

int tensor_file_open(struct tensor_file *t, const char *path, struct error *e)
{
    return tensor_file_open_as(t, path, 0, e);
}

void tensor_file_close(struct tensor_file *t)
{
    if (t->file)
        gguf_free(t->file);
    if (t->fd >= 0)
        (void)close(t->fd);
}

int64_t tensor_find(struct tensor_file *t, const char *name, uint32_t columns, uint32_t rows,
                    struct error *e)
{
    int64_t at = gguf_find_tensor(t->file, name);

    if (at < 0)
        return error_set(e, ERROR_UNIMPLEMENTED, "no tensor %s", name);
    const int64_t *shape = gguf_get_tensor_ne(t->file, at);
    if (shape[0] != columns || shape[1] != rows || shape[2] != 1 || shape[3] != 1)
        return error_set(e, ERROR_UNIMPLEMENTED, "the shape of tensor %s", name);
    const struct ggml_type_traits *traits = ggml_get_type_traits(gguf_get_tensor_type(t->file, at));
    if (gguf_get_tensor_type(t->file, at) != GGML_TYPE_F32 && !traits->to_float)
        return error_set(e, ERROR_UNIMPLEMENTED, "the format of tensor %s", name);
    t->taken++;
    return at;
}

size_t tensor_row_bytes(const struct tensor_file *t, int64_t tensor)
{
    return ggml_row_size(gguf_get_tensor_type(t->file, tensor),
                         gguf_get_tensor_ne(t->file, tensor)[0]);
}

int tensor_read(const struct tensor_file *t, int64_t tensor, size_t skip, void *out, size_t bytes,
                struct error *e)
{
    uint64_t at = gguf_get_data_offset(t->file) + gguf_get_tensor_offset(t->file, tensor) + skip;
    int64_t got = sys_read_at(t->fd, out, bytes, at, t->path, e);

    if (got < 0)
        return -1;
    if ((size_t)got != bytes)
        return error_set(e, ERROR_FAILED_PRECONDITION, "%s is cut short", t->path);
    return 0;
}

void tensor_floats(enum ggml_type type, const uint8_t *row, float *out, uint32_t count)
{
    if (type == GGML_TYPE_F32)
        memcpy(out, row, count * sizeof *out);
    else
        ggml_get_type_traits(type)->to_float(row, out, count);
}

int tensor_read_floats(struct tensor_file *t, const char *name, uint32_t count, float *out,
                       struct error *e)
{
    int64_t at = tensor_find(t, name, count, 1, e);

    if (at < 0)
        return -1;
    size_t bytes = tensor_row_bytes(t, at);
    uint8_t *raw = mem_alloc(bytes);
    int rc = tensor_read(t, at, 0, raw, bytes, e);
    if (rc == 0)
        tensor_floats(gguf_get_tensor_type(t->file, at), raw, out, count);
    mem_free(raw);
    return rc;
}
