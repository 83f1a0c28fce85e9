/* tensor_file.h -- the tensors of a GGUF file: found by name and shape, read row by row.
 *
 * Why: weights and adapters are read alike, and no claim of a file's header is trusted: not a shape,
 *      a format or an offset.
 *
 * Errors:  UNIMPLEMENTED for a tensor that is not there, or of another shape or format;
 *          FAILED_PRECONDITION for a damaged file.
 * Threads: none.
 * Source:  ggml/docs/gguf.md of llama.cpp.
 */
#ifndef TRANCHE_PREDICT_LOCAL_NATIVE_TENSOR_FILE_H
#define TRANCHE_PREDICT_LOCAL_NATIVE_TENSOR_FILE_H

#include <stddef.h>
#include <stdint.h>

#include <ggml.h>
#include <gguf.h>

#include "base/error.h"

struct tensor_file {
    const char *path;
    struct gguf_context *file;
    int fd;
    uint32_t taken; /* tensors that tensor_find has found */
};

/* path must outlive it. After a failure it must be closed too. */
int tensor_file_open(struct tensor_file *t, const char *path, struct error *e) FALLIBLE;
/* The same of a file that is opened: fd, which stays the caller's; 0: path is opened. */
int tensor_file_open_as(struct tensor_file *t, const char *path, int fd, struct error *e) FALLIBLE;
void tensor_file_close(struct tensor_file *t);

/* The tensor of that name and exactly that shape, or -1. */
int64_t tensor_find(struct tensor_file *t, const char *name, uint32_t columns, uint32_t rows,
                    struct error *e);
size_t tensor_row_bytes(const struct tensor_file *t, int64_t tensor);
/* `bytes` of the tensor's data from `skip` on. */
int tensor_read(const struct tensor_file *t, int64_t tensor, size_t skip, void *out, size_t bytes,
                struct error *e) FALLIBLE;
/* A row of `count` columns as floats. */
void tensor_floats(enum ggml_type type, const uint8_t *row, float *out, uint32_t count);
/* A tensor of one row as floats, to out [count]. */
int tensor_read_floats(struct tensor_file *t, const char *name, uint32_t count, float *out,
                       struct error *e) FALLIBLE;

/* The output for a row of the file, so that the pairs of RoPE lie half a head apart. */
static inline uint32_t tensor_half_apart(uint32_t row, uint32_t dim)
{
    uint32_t in_head = row % dim;

    return row - in_head + in_head % 2 * (dim / 2) + in_head / 2;
}

#endif
