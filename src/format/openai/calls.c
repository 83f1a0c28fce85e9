/* calls.c -- which answer belongs to which call: the other dialect knows calls by ids only. */
#include "format/openai/openai_inner.h"

#include <assert.h>
#include <stdio.h>

const struct openai_call *openai_calls_add(struct openai_calls *c, struct arena *a,
                                           const struct part *call, uint32_t turn)
{
    if (!c->item)
        c->item = arena_array(a, OPENAI_CALLS_MAX, sizeof *c->item);
    assert(c->item);
    if (c->count == OPENAI_CALLS_MAX)
        return NULL;
    const struct openai_call *before = c->count ? &c->item[c->count - 1] : NULL;
    uint32_t n = before && before->turn == turn ? before->n + 1 : 0;
    c->item[c->count] = (struct openai_call){ .part = call, .turn = turn, .n = n };
    return &c->item[c->count++];
}

static struct str id_of(const struct part *p)
{
    return json_str(request_field(p->object, "id"));
}

static struct str function_of(const struct part *p)
{
    return json_str(request_field(p->object, "name"));
}

static struct openai_call *open_with(struct openai_calls *c, struct str value,
                                     struct str (*of)(const struct part *p))
{
    for (uint32_t i = 0; value.len && i < c->count; i++)
        if (!c->item[i].answered && str_eq(of(c->item[i].part), value))
            return &c->item[i];
    return NULL;
}

const struct openai_call *openai_calls_answer(struct openai_calls *c, const struct part *response)
{
    struct openai_call *found = open_with(c, id_of(response), id_of);

    if (!found)
        found = open_with(c, function_of(response), function_of);
    if (found)
        found->answered = true;
    return found;
}

struct str openai_call_id(const struct openai_call *c, char made[OPENAI_CALL_ID_BYTES])
{
    struct str id = id_of(c->part);

    if (id.len)
        return id;
    (void)snprintf(made, OPENAI_CALL_ID_BYTES, "call_%u_%u", c->turn, c->n);
    return str_of(made);
}
