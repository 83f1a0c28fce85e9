#include "app/backends.h"

#include "base/mem.h"
#include "predict/child/check.h"
#include "predict/child/predictor_child.h"
#include "predict/media/wire.h"
#if TRANCHE_LOCAL
#include "predict/local/llama/projector.h"
#endif

const struct sandbox_role backend_roles[] = {
    { MEDIA_ROLE, media_child_main },
#if TRANCHE_LOCAL
    { CHILD_ROLE, child_main },
    { CHECK_ROLE, check_main },
    { PROJECTOR_ROLE, projector_main },
#endif
};
const uint32_t backend_role_count = ARRAY_LEN(backend_roles);

#if TRANCHE_LOCAL
static struct predictor *local_open(const struct model *m, const struct predictor_env *env,
                                    struct error *e)
{
    /* A sealed child could neither read nor decode media, which have a process of their own. */
    return m->in_process || m->projector ? predictor_local_open(m, env, e)
                                         : predictor_child_open(m, env, e);
}
#endif

/* NULL: not in this build, or of no use for single requests. */
static const predictor_open_fn backends[] = {
    [MODEL_FAKE] = predictor_fake_open,
#if TRANCHE_LOCAL
    [MODEL_LOCAL] = local_open,
#else
    [MODEL_LOCAL] = NULL,
#endif
    [MODEL_UPSTREAM] = predictor_upstream_open,
    [MODEL_REMOTE_BATCH] = NULL,
};

struct predictor *backend_open(const struct model *m, const struct predictor_env *env,
                               struct error *e)
{
    if (backends[m->kind])
        return backends[m->kind](m, env, e);
    if (model_takes_requests(m, e) == 0)
        (void)error_set(e, ERROR_UNIMPLEMENTED,
                        "model %s: this tranche was built without the embedded engine", m->pattern);
    return NULL;
}
