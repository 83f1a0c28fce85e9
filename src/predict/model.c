#include "predict/model.h"

#include <string.h>

#include "base/mem.h"
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

bool model_tuned_name(const char *name, const char *project, char out[MODEL_NAME_BYTES])
{
    static const char projects[] = "projects/";
    size_t len = strlen(project);

    out[0] = '\0';
    if (strstr(name, "publishers/"))
        return false;
    if (strncmp(name, projects, sizeof projects - 1) == 0) {
        const char *of = name + sizeof projects - 1;
        if (strncmp(of, project, len) != 0 || of[len] != '/')
            return false;
    }
    model_short_name(name, out);
    return out[0] != '\0';
}

bool model_is_configured(const struct models *all, const char *name)
{
    for (uint32_t i = 0; i < all->count; i++)
        if (strcmp(all->item[i].pattern, "*") != 0 && str_glob(all->item[i].pattern, name))
            return true;
    return false;
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

struct adapter_list *adapters_copy(const struct adapter_list *from)
{
    size_t bytes = sizeof *from;

    if (!from || !from->count)
        return NULL;
    for (uint32_t i = 0; i < from->count; i++)
        bytes += strlen(from->item[i].file) + 1;
    struct adapter_list *copy = mem_alloc(bytes);
    char *at = (char *)(copy + 1);
    *copy = *from;
    for (uint32_t i = 0; i < from->count; i++) {
        size_t len = strlen(from->item[i].file) + 1;
        memcpy(at, from->item[i].file, len);
        copy->item[i].file = at;
        at += len;
    }
    return copy;
}

bool model_adapts(const struct model *m)
{
    return m->kind == MODEL_LOCAL;
}

bool model_shares_engine(const struct model *a, const struct model *b)
{
    return model_adapts(a) && model_adapts(b) && strcmp(a->file, b->file) == 0 &&
           a->file_time_ns == b->file_time_ns && a->context == b->context &&
           a->sequences == b->sequences && a->threads == b->threads &&
           a->cache_mib == b->cache_mib && a->plain == b->plain && a->in_process == b->in_process &&
           a->call_format == b->call_format && str_eq(str_of(a->projector), str_of(b->projector)) &&
           str_eq(str_of(a->chat_template), str_of(b->chat_template));
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
