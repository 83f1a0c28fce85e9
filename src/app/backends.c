#include "app/backends.h"

static const struct {
    const char *kind;
    predictor_open_fn open; /* NULL: not in this build */
} backends[] = {
    [MODEL_FAKE] = { "fake", predictor_fake_open },
#if TRANCHE_LOCAL
    [MODEL_LOCAL] = { "local", predictor_local_open },
#else
    [MODEL_LOCAL] = { "local", NULL },
#endif
    [MODEL_UPSTREAM] = { "upstream", NULL },
    [MODEL_REMOTE_BATCH] = { "remote-batch", NULL },
};

struct predictor *backend_open(const struct model *m, const struct predictor_env *env,
                               struct error *e)
{
    if (backends[m->kind].open)
        return backends[m->kind].open(m, env, e);
    (void)error_set(e, ERROR_UNIMPLEMENTED,
                    "model %s: this tranche was built without the embedded engine", m->pattern);
    return NULL;
}

const char *backend_kind(enum model_kind kind)
{
    return backends[kind].kind;
}
