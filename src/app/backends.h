/* backends.h -- which concrete predictor a model's kind means, and which parts of this program run in processes of
 * their own: the only file that names them.
 *
 * Errors:  of opening; UNIMPLEMENTED when this build has no such backend.
 * Threads: none.
 */
#ifndef TRANCHE_APP_BACKENDS_H
#define TRANCHE_APP_BACKENDS_H

#include "base/sandbox.h"
#include "predict/predictor.h"

extern const struct sandbox_role backend_roles[]; /* for sandbox_entry */
extern const uint32_t backend_role_count;

struct predictor *backend_open(const struct model *m, const struct predictor_env *env,
                               struct error *e);

#endif
