#include "predict/upstream/reply_seen.h"

#include <xxhash.h>

/* Quotes within texts are escaped, so this stands nowhere but at the member. */
static struct str id_of(struct str response)
{
    const struct str name = STR("\"responseId\":\"");
    size_t at = str_find(response, name);

    if (at == SIZE_MAX)
        return (struct str){ 0 };
    struct str rest = str_sub(response, at + name.len, response.len);
    return str_sub(rest, 0, str_find(rest, STR("\"")));
}

bool reply_seen(struct reply_seen *s, struct str response, struct str body)
{
    struct str id = id_of(response);

    if (s->ids_repeat || id.len == 0)
        return false;
    uint64_t of_id = XXH3_64bits(id.p, id.len) | 1; /* 0 is an empty slot */
    uint64_t of_body = XXH3_64bits(body.p, body.len);
    uint64_t i = of_id / 2 % SEEN_SLOTS;
    bool same_id = s->slot[i].id == of_id;
    bool same = same_id && s->slot[i].body == of_body;
    s->ids_repeat = same_id && !same;
    s->slot[i].id = of_id;
    s->slot[i].body = of_body;
    return same;
}
