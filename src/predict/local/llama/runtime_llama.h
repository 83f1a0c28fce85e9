/* runtime_llama.h -- libllama as a runtime, for every model that generates text.
 *
 * Errors:  FAILED_PRECONDITION for a file that is no such model; INVALID_ARGUMENT and
 *          RESOURCE_EXHAUSTED for settings.
 * Threads: as runtime.h says of a runtime.
 */
#ifndef TRANCHE_PREDICT_LOCAL_LLAMA_RUNTIME_LLAMA_H
#define TRANCHE_PREDICT_LOCAL_LLAMA_RUNTIME_LLAMA_H

#include "predict/local/runtime.h"

struct runtime *runtime_llama_open(const struct model *m, const struct runtime_settings *settings,
                                   struct error *e);

#endif
