/* read.c -- taking values out of a parsed request: fields in both spellings, lists that may
 * be one value alone, numbers that may be strings.
 */
#include "format/request/request.h"

#include <math.h>
#include <string.h>

#include "format/request/fields.h"

/* Reads a string that holds a JSON number and nothing else. */
static bool number_in_string(yyjson_val *v, yyjson_val *out)
{
    struct str s = json_str(v);
    const char *end = s.len ? yyjson_read_number(s.p, out, 0, NULL, NULL) : NULL;

    return end && end == s.p + s.len;
}

bool request_number(yyjson_val *v, double *out)
{
    yyjson_val inner;

    if (yyjson_is_str(v) && number_in_string(v, &inner))
        v = &inner;
    if (!yyjson_is_num(v))
        return false;
    *out = yyjson_get_num(v);
    return true;
}

bool request_integer(yyjson_val *v, int64_t *out)
{
    yyjson_val inner;

    if (yyjson_is_str(v) && number_in_string(v, &inner))
        v = &inner;
    if (yyjson_is_uint(v) && yyjson_get_uint(v) <= INT64_MAX) {
        *out = (int64_t)yyjson_get_uint(v);
        return true;
    }
    if (yyjson_is_sint(v)) {
        *out = yyjson_get_sint(v);
        return true;
    }
    double d = yyjson_is_real(v) ? yyjson_get_real(v) : NAN;
    if (!(d >= -0x1p63 && d < 0x1p63 && floor(d) >= d))
        return false;
    *out = (int64_t)d;
    return true;
}

struct values values_of(yyjson_val *v)
{
    if (yyjson_is_arr(v))
        return (struct values){ unsafe_yyjson_get_first(v), 0, yyjson_arr_size(v), true };
    return (struct values){ v, 0, v != NULL, false };
}

yyjson_val *values_next(struct values *it)
{
    yyjson_val *v = it->next;

    if (it->index == it->count)
        return NULL;
    it->index++;
    it->next = it->index < it->count ? unsafe_yyjson_get_next(v) : NULL;
    return v;
}

const struct place *values_place(const struct values *it, struct place *step,
                                 const struct place *field)
{
    *step = (struct place){ .up = field, .index = it->index - 1, .is_index = true };
    return it->list ? step : field;
}

/* Both spellings begin with the same letter, which tells most names apart at once. */
static inline bool first_alike(const char *camel, struct str key)
{
    return key.len && key.p[0] == camel[0];
}

bool request_member(yyjson_val *object, const char *camel, struct member *out)
{
    size_t count = yyjson_obj_size(object);
    yyjson_val *key = count ? unsafe_yyjson_get_first(object) : NULL;

    for (size_t i = 0; i < count; i++) {
        yyjson_val *value = unsafe_yyjson_get_next(key);
        struct str name = { unsafe_yyjson_get_str(key), unsafe_yyjson_get_len(key) };
        if (first_alike(camel, name) && field_named(camel, name) && !yyjson_is_null(value)) {
            *out = (struct member){ name, value };
            return true;
        }
        key = unsafe_yyjson_get_next(value);
    }
    return false;
}

bool field_named(const char *camel, struct str key)
{
    size_t i = 0, len = strlen(camel);

    if (key.len == len && memcmp(key.p, camel, len) == 0)
        return true;
    if (key.len < 2 || !memchr(key.p + 1, '_', key.len - 1))
        return false;
    for (const char *c = camel; *c; c++, i++) {
        bool upper = *c >= 'A' && *c <= 'Z';
        if (upper && (i >= key.len || key.p[i++] != '_'))
            return false;
        if (i >= key.len || key.p[i] != (upper ? *c - 'A' + 'a' : *c))
            return false;
    }
    return i == key.len;
}

const struct field *message_field(const struct message *m, struct str key)
{
    for (size_t i = 0; i < m->field_count; i++)
        if (first_alike(m->field[i].name, key) && field_named(m->field[i].name, key))
            return &m->field[i];
    return NULL;
}

yyjson_val *request_field(yyjson_val *object, const char *camel)
{
    struct member m;

    return request_member(object, camel, &m) ? m.value : NULL;
}
