#include "base/json_write.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Digits of the largest uint64_t. */
#define UINT_DIGITS_MAX 20
/* Bytes of a text that json_addf makes on the stack. */
#define FORMATTED_BYTES 1024

static bool in_array(const struct json_writer *w)
{
    return w->depth == 0 || (w->arrays[w->depth / 64] >> w->depth % 64 & 1);
}

/* Writes a comma or a colon, and a space after it when white space is wanted. */
static char *put(char *at, char c, const struct json_writer *w)
{
    *at++ = c;
    if (w->spaced)
        *at++ = ' ';
    return at;
}

/* Writes all that stands before a value and makes room for `bytes` of the value, in one step, because
 * this is most of what a writer does: where the value goes, or NULL. A key that the program names needs
 * no escapes: letters, digits, and what identifiers have. */
static char *value_begin(struct json_writer *w, const char *key, size_t bytes)
{
    size_t len = key ? strlen(key) : 0, mark = w->spaced ? 2 : 1;

    if (w->keyed) {
        assert(!key);
        w->keyed = false;
        return buf_extend(w->out, bytes);
    }
    assert(!key == in_array(w));
    char *at = buf_extend(w->out, (w->comma ? mark : 0) + (key ? len + 2 + mark : 0) + bytes);
    if (at && w->comma)
        at = put(at, ',', w);
    w->comma = true;
    if (!at || !key)
        return at;
    *at++ = '"';
    memcpy(at, key, len); // NOLINT(bugprone-not-null-terminated-result): bytes, no string
    at[len] = '"';
    return put(at + len + 1, ':', w);
}

void json_value(struct json_writer *w, const char *key)
{
    (void)value_begin(w, key, 0);
}

/* A value that needs no escapes. */
static void value_add(struct json_writer *w, const char *key, struct str value)
{
    char *at = value_begin(w, key, value.len);

    if (at && value.len)
        memcpy(at, value.p, value.len);
}

static void key_begin(struct json_writer *w)
{
    assert(!in_array(w) && !w->keyed);
    if (w->comma)
        buf_add(w->out, ", ", w->spaced ? 2 : 1);
    w->comma = true;
}

static void key_end(struct json_writer *w)
{
    buf_add(w->out, ": ", w->spaced ? 2 : 1);
    w->keyed = true;
}

void json_key(struct json_writer *w, struct str key)
{
    key_begin(w);
    buf_add_json(w->out, key);
    key_end(w);
}

void json_key_raw(struct json_writer *w, struct str key)
{
    key_begin(w);
    buf_add_char(w->out, '"');
    buf_add_str(w->out, key);
    buf_add_char(w->out, '"');
    key_end(w);
}

static void container_begin(struct json_writer *w, const char *key, bool array)
{
    char *at = value_begin(w, key, 1);

    if (at)
        *at = array ? '[' : '{';
    assert(w->depth < JSON_WRITE_DEPTH_MAX);
    w->depth++;
    uint64_t *word = &w->arrays[w->depth / 64], bit = UINT64_C(1) << w->depth % 64;
    *word = array ? *word | bit : *word & ~bit;
    w->comma = false;
}

void json_object(struct json_writer *w, const char *key)
{
    container_begin(w, key, false);
}

void json_array(struct json_writer *w, const char *key)
{
    container_begin(w, key, true);
}

void json_end(struct json_writer *w)
{
    assert(w->depth > 0 && !w->keyed);
    buf_add_char(w->out, in_array(w) ? ']' : '}');
    w->depth--;
    w->comma = true;
}

void json_add_text(struct json_writer *w, const char *key, struct str value)
{
    if (str_json_plain(value) < value.len) {
        (void)value_begin(w, key, 0);
        buf_add_json(w->out, value);
        return;
    }
    char *at = value_begin(w, key, value.len + 2);
    if (!at)
        return;
    at[0] = at[value.len + 1] = '"';
    if (value.len)
        memcpy(at + 1, value.p, value.len);
}

void json_add_c(struct json_writer *w, const char *key, const char *value)
{
    if (value)
        json_add_text(w, key, str_of(value));
    else
        json_add_null(w, key);
}

/* Without printf, which is most of the cost of an answer's ten numbers. */
static void add_digits(struct json_writer *w, const char *key, uint64_t v, bool minus)
{
    char digits[UINT_DIGITS_MAX + 1];
    size_t at = sizeof digits;

    do {
        digits[--at] = (char)('0' + v % 10);
        v /= 10;
    } while (v);
    if (minus)
        digits[--at] = '-';
    value_add(w, key, (struct str){ digits + at, sizeof digits - at });
}

void json_add_uint(struct json_writer *w, const char *key, uint64_t value)
{
    add_digits(w, key, value, false);
}

void json_add_int(struct json_writer *w, const char *key, int64_t value)
{
    add_digits(w, key, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, value < 0);
}

void json_add_double(struct json_writer *w, const char *key, double value)
{
    (void)value_begin(w, key, 0);
    buf_add_double(w->out, value);
}

/* Half the digits that the same number takes as a double. */
void json_add_float(struct json_writer *w, const char *key, float value)
{
    char text[32];

    for (int digits = 6; digits <= 9; digits++) {
        (void)snprintf(text, sizeof text, "%.*g", digits, (double)value);
        float back = strtof(text, NULL);
        if (back >= value && back <= value && back - back >= 0) {
            value_add(w, key, str_of(text));
            return;
        }
    }
    json_add_null(w, key); /* not finite */
}

void json_add_bool(struct json_writer *w, const char *key, bool value)
{
    value_add(w, key, value ? STR("true") : STR("false"));
}

void json_add_null(struct json_writer *w, const char *key)
{
    value_add(w, key, STR("null"));
}

void json_add_raw(struct json_writer *w, const char *key, struct str json)
{
    value_add(w, key, json);
}

void json_add_value(struct json_writer *w, const char *key, yyjson_val *value)
{
    size_t i, max;
    yyjson_val *name, *inner;

    if (yyjson_is_obj(value)) {
        json_object(w, key);
        yyjson_obj_foreach(value, i, max, name, inner)
        {
            json_key(w, json_str(name));
            json_add_value(w, NULL, inner);
        }
        json_end(w);
    } else if (yyjson_is_arr(value)) {
        json_array(w, key);
        yyjson_arr_foreach(value, i, max, inner)
        {
            json_add_value(w, NULL, inner);
        }
        json_end(w);
    } else if (yyjson_is_str(value)) {
        json_add_text(w, key, json_str(value));
    } else if (yyjson_is_uint(value)) {
        json_add_uint(w, key, yyjson_get_uint(value));
    } else if (yyjson_is_sint(value)) {
        json_add_int(w, key, yyjson_get_sint(value));
    } else if (yyjson_is_real(value)) {
        json_add_double(w, key, yyjson_get_real(value));
    } else if (yyjson_is_bool(value)) {
        json_add_bool(w, key, yyjson_get_bool(value));
    } else {
        json_add_null(w, key);
    }
}

void json_addf(struct json_writer *w, const char *key, const char *fmt, ...)
{
    char text[FORMATTED_BYTES];
    char *whole = text;
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    assert(n >= 0);
    if ((size_t)n >= sizeof text) {
        whole = mem_alloc((size_t)n + 1);
        va_start(args, fmt);
        (void)vsnprintf(whole, (size_t)n + 1, fmt, args);
        va_end(args);
    }
    json_add_text(w, key, (struct str){ whole, (size_t)n });
    if (whole != text)
        mem_free(whole);
}
