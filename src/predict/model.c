#include "predict/model.h"

#include <string.h>

#include "base/str.h"

void model_short_name(const char *name, char out[MODEL_NAME_BYTES])
{
    const char *slash = strrchr(name, '/');
    const char *from = slash ? slash + 1 : name;
    size_t len = strcspn(from, "@");

    out[0] = '\0';
    if (len >= MODEL_NAME_BYTES) /* cut short, it could be another model's name */
        return;
    memcpy(out, from, len);
    out[len] = '\0';
}

const struct model *model_find(const struct models *all, const char *name, struct error *e)
{
    char short_name[MODEL_NAME_BYTES];

    model_short_name(name, short_name);
    for (uint32_t i = 0; short_name[0] && i < all->count; i++)
        if (str_glob(all->item[i].pattern, short_name))
            return &all->item[i];
    (void)error_set(e, ERROR_NOT_FOUND, "There is no model \"%.*s\"; the models are: %s.",
                    MODEL_NAME_BYTES, name, all->names);
    return NULL;
}

int model_takes_requests(const struct model *m, struct error *e)
{
    if (m->kind != MODEL_REMOTE_BATCH)
        return 0;
    return error_set(e, ERROR_UNIMPLEMENTED,
                     "The model %s hands whole jobs to another batch service and answers no single "
                     "request. Create a batch job, or choose another model.",
                     m->pattern);
}

const char *model_kind_name(enum model_kind kind)
{
    static const char *const names[] = {
        [MODEL_LOCAL] = "local",
        [MODEL_FAKE] = "fake",
        [MODEL_UPSTREAM] = "upstream",
        [MODEL_REMOTE_BATCH] = "remote-batch",
    };

    return names[kind];
}

/* Google publishes the price of its online calls; the operator sets any other price. */
bool model_upstream_price(const struct model *m, uint32_t i, struct price *out)
{
    const struct model_upstream *to = &m->upstream[i];
    const struct price *published =
        to->upstream->wire == WIRE_GEMINI ? price_find(to->model) : NULL;

    if (!to->has_price && !m->has_price && !published)
        return false;
    *out = to->has_price ? to->price : m->has_price ? m->price : *published;
    out->no_batch_price = true;
    return true;
}

struct price model_price(const struct model *m, const char *name)
{
    const struct price *published = price_find(name);
    struct price billed;

    if (m->upstream_count && model_upstream_price(m, 0, &billed)) {
        billed.no_batch_price =
            m->kind == MODEL_UPSTREAM; /* a batch service takes half the price */
        return billed;
    }
    if (m->has_price)
        return m->price;
    return published ? *published : (struct price){ 0 };
}
