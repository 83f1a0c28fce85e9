/* backends.h -- which concrete predictor a model's kind means: the only file that names them.
 *
 * Errors:  of opening; UNIMPLEMENTED when this build has no such backend.
 * Threads: none.
 */
#ifndef TRANCHE_APP_BACKENDS_H
#define TRANCHE_APP_BACKENDS_H

#include "predict/predictor.h"

struct predictor *backend_open(const struct model *m, const struct predictor_env *env,
                               struct error *e);

#endif
