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

#define BACKEND_ROLES 2
extern const struct sandbox_role backend_roles[BACKEND_ROLES]; /* for sandbox_entry */

struct predictor *backend_open(const struct model *m, const struct predictor_env *env,
                               struct error *e);

#endif
