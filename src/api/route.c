#include "api/route.h"

#include <string.h>

static bool decode(struct route_match *m, struct arena *a)
{
    for (uint32_t i = 0; i < m->param_count; i++) {
        struct str *p = &m->param[i];
        if (!http_decode(a, *p, false, p) || str_utf8_valid(*p) != p->len)
            return false;
    }
    return true;
}

/* Takes the text up to the next "/" off s; false when s is at its end. */
static bool step_take(struct str *s, struct str *step)
{
    if (s->len == 0 || s->p[0] != '/')
        return false;
    *s = str_sub(*s, 1, s->len);
    const char *slash = s->len ? memchr(s->p, '/', s->len) : NULL;
    *step = str_sub(*s, 0, slash ? (size_t)(slash - s->p) : s->len);
    *s = str_sub(*s, step->len, s->len);
    return true;
}

static bool param_add(struct route_match *m, struct str raw)
{
    if (raw.len == 0 || m->param_count == ROUTE_PARAMS_MAX)
        return false;
    m->param[m->param_count++] = raw;
    return true;
}

/* True when step is one of the words between the bars of "a|b". */
static bool is_one_of(struct str words, struct str step)
{
    for (;;) {
        size_t bar = str_find(words, STR("|"));
        if (str_eq(str_sub(words, 0, bar), step))
            return true;
        if (bar == SIZE_MAX)
            return false;
        words = str_sub(words, bar + 1, words.len);
    }
}

/* "{}" and "{}:verb" */
static bool match_param(struct route_match *m, bool loose, struct str verb, struct str step)
{
    if (verb.len == 0)
        return (loose || str_find(step, STR(":")) == SIZE_MAX) && param_add(m, step);
    return str_ends(step, verb) && param_add(m, str_sub(step, 0, step.len - verb.len));
}

static bool match_step(struct route_match *m, bool loose, struct str pattern, struct str step)
{
    if (str_starts(pattern, STR("{}")))
        return match_param(m, loose, str_sub(pattern, 2, pattern.len), step);
    if (str_starts(pattern, STR("(")))
        return is_one_of(str_sub(pattern, 1, pattern.len - 2), step);
    return str_eq(pattern, step);
}

static bool match(struct route_match *m, bool loose, struct str pattern, struct str path)
{
    struct str want, step;

    while (step_take(&pattern, &want)) {
        if (str_eq(want, STR("{**}")))
            return str_starts(path, STR("/")) && param_add(m, str_sub(path, 1, path.len));
        if (!step_take(&path, &step) || !match_step(m, loose, want, step))
            return false;
    }
    return path.len == 0;
}

/* The parameters stay encoded. */
static enum route_result find(const struct route *const *tables, enum http_method method,
                              struct str path, bool loose, struct route_match *m)
{
    enum route_result result = ROUTE_NO_PATH;

    for (; *tables; tables++) {
        for (const struct route *r = *tables; r->pattern; r++) {
            m->param_count = 0;
            if (!match(m, loose, str_of(r->pattern), path))
                continue;
            m->route = r;
            if (r->method == method)
                return ROUTE_FOUND;
            result = ROUTE_NO_METHOD;
        }
    }
    return result;
}

static bool is_version(struct str step)
{
    return step.len >= 2 && step.p[0] == 'v' && step.p[1] >= '1' && step.p[1] <= '9';
}

/* A word stands before the version in paths of uploads: "/upload/v1beta/files". */
static struct str version_of(struct str path)
{
    struct str first = { 0 }, step;

    for (int i = 0; i < 3 && step_take(&path, &step); i++) {
        if (is_version(step))
            return step;
        if (i == 0)
            first = step;
    }
    return first;
}

enum route_result route_find(const struct route *const *tables, enum http_method method,
                             struct str path, struct arena *a, struct route_match *out)
{
    *out = (struct route_match){ .version = version_of(path) };
    enum route_result result = find(tables, method, path, false, out);
    if (result == ROUTE_NO_PATH)
        result = find(tables, method, path, true, out);
    if (result == ROUTE_NO_METHOD && method == HTTP_HEAD)
        return route_find(tables, HTTP_GET, path, a, out);
    if (result == ROUTE_FOUND && !decode(out, a))
        return ROUTE_BAD_PATH;
    return result;
}
