/* projector.h -- images, frames and sounds as rows of embeddings, by libmtmd and a model's projector.
 *
 * Why: a model that sees has a second file, the encoder of images with the projection into the model's space
 *      (llama.cpp's "mmproj"). libmtmd knows the kinds that there are; it gets pixels and samples, never files.
 *
 * Errors:  FAILED_PRECONDITION for a file that is not a projector, or another model's. A malformed file may abort: the
 *          file is loaded in a sealed child first (projector_main), which can be lost.
 * Threads: encode from one thread at a time; facts are constant.
 * Source:  llama.cpp, `tools/mtmd/mtmd.h`.
 */
#ifndef TRANCHE_PREDICT_LOCAL_LLAMA_PROJECTOR_H
#define TRANCHE_PREDICT_LOCAL_LLAMA_PROJECTOR_H

#include <llama.h>

#include "predict/local/runtime.h"

#define PROJECTOR_ROLE "projector"

struct projector;
/* model: of model_path. */
struct projector *projector_open(const char *path, const char *model_path,
                                 const struct llama_model *model, uint32_t threads,
                                 struct error *e);
void projector_free(struct projector *p); /* accepts NULL */
/* Sets what info says of media. */
void projector_info(const struct projector *p, struct runtime_info *info);
bool projector_has_places(const struct projector *p); /* positions in two dimensions */
/* label: text in front of it. */
int projector_encode(struct projector *p, const struct media_piece *piece, const char *label,
                     struct media_rows *out, struct error *e) FALLIBLE;

/* The child's main, for sandbox_role: loads the file, encodes an image and a sound by it, and ends. */
int projector_main(uint32_t fd_count);

#endif
