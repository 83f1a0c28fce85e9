/* runtime_native.h -- a runtime that computes the common decoders by our own kernels.
 *
 * Errors:  UNIMPLEMENTED for a model that it does not cover (the message says why), others for what is
 *          wrong with the file or the settings.
 * Threads: as runtime.h says of a runtime.
 * Source:  docs/engine.md.
 */
#ifndef TRANCHE_PREDICT_LOCAL_NATIVE_RUNTIME_NATIVE_H
#define TRANCHE_PREDICT_LOCAL_NATIVE_RUNTIME_NATIVE_H

#include "predict/local/runtime.h"

struct runtime *runtime_native_open(const struct model *m, const struct runtime_settings *settings,
                                    struct error *e);

#endif
