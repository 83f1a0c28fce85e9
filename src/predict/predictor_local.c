/* The embedded engine as a predictor: which runtime computes a model. This is the only file that names
 * the concrete runtimes. */
#include "predict/predictor.h"

#include "base/log.h"
#include "predict/local/encoder/encoder_llama.h"
#include "predict/local/encoder/encoder_native.h"
#include "predict/local/encoder/encoder_session.h"
#include "predict/local/llama/runtime_llama.h"
#include "predict/local/native/runtime_native.h"
#include "predict/local/adapters.h"
#include "predict/local/session.h"

static struct runtime *open_planned(const struct model *m, bool plain, int weights_fd,
                                    struct batcher_plan *plan, struct error *e)
{
    if (plan_for(m, plain, plan, e) < 0)
        return NULL;
    const struct runtime_settings settings = {
        .sequences = plan->sequences,
        .rows_max = plan->rows_max,
        .threads = m->threads,
        .context = m->context,
        .cache_mib = m->cache_mib,
        .weights_fd = weights_fd,
    };
    struct runtime *r =
        plain ? runtime_llama_open(m, &settings, e) : runtime_native_open(m, &settings, e);
    if (!r || !m->adapters.count || r->ops->adapt(r, ADAPTERS_OWN, &m->adapters, e) == 0)
        return r;
    (void)error_wrap(e, "model %s", m->pattern);
    r->ops->close(r);
    return NULL;
}

/* A model that embeds: the same choice. */
static struct predictor *open_encoder(const struct model *m, const struct predictor_env *env,
                                      struct error *e)
{
    struct error why = { 0 };

    if (m->adapters.count) {
        (void)error_set(e, ERROR_UNIMPLEMENTED, "model %s embeds, and takes no adapters",
                        m->pattern);
        return NULL;
    }
    struct encoder *c = m->plain ? NULL : encoder_native_open(m, &why);

    if (why.code == ERROR_UNIMPLEMENTED)
        log_info("%s: not covered by the native encoder; libllama computes the model", why.msg);
    if (!c)
        c = encoder_llama_open(m, e);
    return c ? encoder_session_open(c, env, e) : NULL;
}

/* The native runtime, or libllama for what it does not cover. libllama's error is the one that is
 * reported: it says best what is wrong with a file or the settings. */
struct predictor *predictor_local_open(const struct model *m, const struct predictor_env *env,
                                       struct error *e)
{
    struct batcher_plan plan;
    struct error why = { 0 };
    struct runtime *r = NULL;

    if (encoder_is_one(m->file))
        return open_encoder(m, env, e);
    if (!m->plain && !m->projector)
        r = open_planned(m, false, env->weights_fd, &plan, &why);
    if (why.code == ERROR_UNIMPLEMENTED)
        log_info("%s: not covered by the native runtime; libllama computes the model", why.msg);
    if (!r)
        r = open_planned(m, true, 0, &plan, e);
    return r ? session_open(r, m->adapters.count, &plan, env, e) : NULL;
}
