#include "predict/model.h"

#include <string.h>

#include "base/str.h"

void model_short_name(const char *name, char out[MODEL_NAME_BYTES])
{
    const char *slash = strrchr(name, '/');
    const char *from = slash ? slash + 1 : name;
    size_t len = strcspn(from, "@");

    out[0] = '\0';
    if (len >= MODEL_NAME_BYTES) /* what is left of it could be another model's name */
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
    (void)error_set(e, ERROR_NOT_FOUND, "There is no model \"%.*s\"; there are: %s.",
                    MODEL_NAME_BYTES, name, all->names);
    return NULL;
}

int model_takes_requests(const struct model *m, struct error *e)
{
    if (m->kind != MODEL_REMOTE_BATCH)
        return 0;
    return error_set(e, ERROR_UNIMPLEMENTED,
                     "The model %s hands whole jobs to another batch service and answers no single "
                     "request. Make a batch job of it, or choose another model.",
                     m->pattern);
}

struct price model_price(const struct model *m, const char *name)
{
    const struct price *published = price_find(name);

    if (m->has_price)
        return m->price;
    return published ? *published : (struct price){ 0 };
}
