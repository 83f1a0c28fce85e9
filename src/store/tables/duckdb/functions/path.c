/* path.c -- path.h */
#include "store/tables/duckdb/functions/path.h"

#include <string.h>

/* A key without quotes ends before '.' or '['. */
static bool plain_key(struct str *rest, struct str *key)
{
    size_t n = 0;

    while (n < rest->len && rest->p[n] != '.' && rest->p[n] != '[')
        n++;
    *key = str_sub(*rest, 0, n);
    *rest = str_sub(*rest, n, rest->len);
    return n > 0;
}

static bool quoted_key(struct str *rest, char quote, struct str *key)
{
    const char *end = rest->len > 1 ? memchr(rest->p + 1, quote, rest->len - 1) : NULL;

    if (!end)
        return false;
    *key = (struct str){ rest->p + 1, (size_t)(end - rest->p) - 1 };
    *rest = str_sub(*rest, key->len + 2, rest->len);
    return true;
}

static bool bracket(struct str *rest, struct path_step *step)
{
    size_t n = 0;

    *rest = str_sub(*rest, 1, rest->len);
    if (rest->len && (rest->p[0] == '\'' || rest->p[0] == '"')) {
        if (!quoted_key(rest, rest->p[0], &step->key))
            return false;
    } else {
        while (n < rest->len && rest->p[n] >= '0' && rest->p[n] <= '9')
            n++;
        if (!str_number(str_sub(*rest, 0, n), &step->index))
            return false;
        *rest = str_sub(*rest, n, rest->len);
    }
    if (!rest->len || rest->p[0] != ']')
        return false;
    *rest = str_sub(*rest, 1, rest->len);
    return true;
}

bool path_read(struct str text, struct path *out)
{
    struct str rest = text;

    out->count = 0;
    if (!rest.len || rest.p[0] != '$')
        return false;
    rest = str_sub(rest, 1, rest.len);
    while (rest.len) {
        if (out->count == PATH_STEPS_MAX)
            return false;
        struct path_step *step = &out->step[out->count++];
        *step = (struct path_step){ { 0 }, 0 };
        if (rest.p[0] == '[') {
            if (!bracket(&rest, step))
                return false;
            continue;
        }
        if (rest.p[0] != '.')
            return false;
        rest = str_sub(rest, 1, rest.len);
        if (rest.len && rest.p[0] == '"' ? !quoted_key(&rest, '"', &step->key)
                                         : !plain_key(&rest, &step->key))
            return false;
    }
    return true;
}

yyjson_val *path_find(yyjson_val *v, const struct path *p)
{
    for (uint32_t i = 0; i < p->count && v; i++)
        v = p->step[i].key.p ? yyjson_obj_getn(v, p->step[i].key.p, p->step[i].key.len)
                             : yyjson_arr_get(v, (size_t)p->step[i].index);
    return v;
}
