#include "predict/fake/fake_schema.h"

#include <math.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "format/request/request.h"

struct maker {
    yyjson_val *root; /* that references begin at */
    struct json_writer *w;
};

static const struct {
    const char *format, *value;
} formats[] = {
    { "date-time", "2026-01-01T00:00:00Z" },
    { "date", "2026-01-01" },
    { "time", "00:00:00Z" },
    { "duration", "P1D" },
    { "email", "user@example.com" },
    { "hostname", "example.com" },
    { "uri", "https://example.com/" },
    { "uuid", "00000000-0000-4000-8000-000000000000" },
    { "ipv4", "192.0.2.1" },
    { "ipv6", "2001:db8::1" },
};

static double number_of(yyjson_val *schema, const char *name, double otherwise)
{
    yyjson_val *v = request_field(schema, name);
    uint64_t count;

    if (json_count(v, &count)) /* Google writes counts as strings, too */
        return (double)count;
    return yyjson_is_num(v) ? yyjson_get_num(v) : otherwise;
}

static void add_string(const struct maker *m, yyjson_val *schema)
{
    static const char filler[] = "text";
    struct str format = json_str(json_get(schema, "format"));
    double least = number_of(schema, "minLength", 0);
    double most = number_of(schema, "maxLength", FAKE_ITEMS_MAX);
    char text[FAKE_ITEMS_MAX + 1];
    size_t len = strlen(filler);

    for (size_t i = 0; i < ARRAY_LEN(formats); i++)
        if (str_eq_c(format, formats[i].format)) {
            json_add_c(m->w, NULL, formats[i].value);
            return;
        }
    if ((double)len < least)
        len = least < FAKE_ITEMS_MAX ? (size_t)least : FAKE_ITEMS_MAX;
    if ((double)len > most)
        len = (size_t)most;
    for (size_t i = 0; i < len; i++)
        text[i] = filler[i % strlen(filler)];
    json_add_text(m->w, NULL, (struct str){ text, len });
}

/* The allowed number that is nearest to 0 from above, or the largest one. */
static void add_number(const struct maker *m, yyjson_val *schema, bool whole)
{
    double step = number_of(schema, "multipleOf", whole ? 1 : 0);
    double least = number_of(schema, "minimum", -INFINITY),
           most = number_of(schema, "maximum", INFINITY);
    double above = number_of(schema, "exclusiveMinimum", -INFINITY);
    double below = number_of(schema, "exclusiveMaximum", INFINITY);
    double value = 0;

    if (whole && step < 1)
        step = 1;
    if (least > value)
        value = step > 0 ? ceil(least / step) * step : least;
    if (above >= value)
        value = step > 0          ? (floor(above / step) + 1) * step
                : isfinite(below) ? (above + below) / 2
                                  : above + 1;
    if (value > most)
        value = step > 0 ? floor(most / step) * step : most;
    if (value >= below)
        value = step > 0 ? (ceil(below / step) - 1) * step : below - 1;
    if (whole && fabs(value) < 9e15)
        json_add_int(m->w, NULL, (int64_t)value);
    else
        json_add_double(m->w, NULL, value);
}

static bool is_type(struct str type, const char *name)
{
    return type.len == strlen(name) && strncasecmp(type.p, name, type.len) == 0;
}

/* The first of the schema's types that is not null; by its keywords when it has none. */
static struct str type_of(yyjson_val *schema)
{
    yyjson_val *type = json_get(schema, "type"), *one;
    size_t i, count;

    if (yyjson_is_str(type))
        return json_str(type);
    yyjson_arr_foreach(type, i, count, one)
    {
        if (!is_type(json_str(one), "null"))
            return json_str(one);
    }
    if (json_get(schema, "properties"))
        return STR("object");
    return json_get(schema, "items") ? STR("array") : STR("string");
}

/* The target of a reference within the document, "#/$defs/name"; NULL: there is none. */
static yyjson_val *resolve(const struct maker *m, yyjson_val *schema)
{
    struct str ref = json_str(json_get(schema, "$ref")), step;
    yyjson_val *at = m->root;

    if (!ref.len)
        ref = json_str(json_get(schema, "ref"));
    if (!str_starts(ref, STR("#")))
        return NULL;
    ref = str_sub(ref, 1, ref.len);
    if (str_starts(ref, STR("/")))
        ref = str_sub(ref, 1, ref.len);
    while (at && str_next(&ref, '/', &step))
        at = yyjson_obj_getn(at, step.p, step.len);
    return at;
}

static yyjson_val *first_of(yyjson_val *schema, const char *name)
{
    return yyjson_arr_get_first(request_field(schema, name));
}

// NOLINTNEXTLINE(misc-no-recursion): schemas nest, at most FAKE_DEPTH_MAX deep
static void add_value(const struct maker *m, yyjson_val *schema, unsigned depth);

// NOLINTNEXTLINE(misc-no-recursion): schemas nest
static void add_object(const struct maker *m, yyjson_val *schema, unsigned depth)
{
    yyjson_val *key, *value;
    size_t i, count;

    json_object(m->w, NULL);
    yyjson_obj_foreach(json_get(schema, "properties"), i, count, key, value)
    {
        json_key(m->w, json_str(key));
        add_value(m, value, depth + 1);
    }
    json_end(m->w);
}

// NOLINTNEXTLINE(misc-no-recursion): schemas nest
static void add_array(const struct maker *m, yyjson_val *schema, unsigned depth)
{
    yyjson_val *items = json_get(schema, "items"), *first = request_field(schema, "prefixItems"),
               *one;
    double most = number_of(schema, "maxItems", FAKE_ITEMS_MAX);
    double wanted = number_of(schema, "minItems", depth < FAKE_DEPTH_MAX / 2);
    size_t i, count, made = 0;

    json_array(m->w, NULL);
    yyjson_arr_foreach(first, i, count, one)
    {
        if ((double)made++ < most)
            add_value(m, one, depth + 1);
    }
    while ((double)made < wanted && (double)made < most && made < FAKE_ITEMS_MAX && items) {
        add_value(m, items, depth + 1);
        made++;
    }
    json_end(m->w);
}

// NOLINTNEXTLINE(misc-no-recursion): schemas nest
static void add_typed(const struct maker *m, yyjson_val *schema, unsigned depth)
{
    struct str type = type_of(schema);

    if (is_type(type, "object")) {
        add_object(m, schema, depth);
    } else if (is_type(type, "array")) {
        add_array(m, schema, depth);
    } else if (is_type(type, "integer") || is_type(type, "number")) {
        add_number(m, schema, is_type(type, "integer"));
    } else if (is_type(type, "boolean") || is_type(type, "null")) {
        json_add_raw(m->w, NULL, is_type(type, "null") ? STR("null") : STR("true"));
    } else {
        add_string(m, schema);
    }
}

// NOLINTNEXTLINE(misc-no-recursion): schemas nest
static void add_value(const struct maker *m, yyjson_val *schema, unsigned depth)
{
    static const char *const choices[] = { "anyOf", "oneOf", "allOf" };
    struct arena a = { 0 };
    yyjson_val *value = json_get(schema, "const"), *other = resolve(m, schema);

    if (!value)
        value = first_of(schema, "enum");
    for (size_t i = 0; i < ARRAY_LEN(choices) && !other; i++)
        other = first_of(schema, choices[i]);
    if (depth == FAKE_DEPTH_MAX) {
        json_add_null(m->w, NULL);
    } else if (value) {
        json_add_raw(m->w, NULL, json_text(&a, value));
    } else if (other && other != schema) {
        add_value(m, other, depth + 1);
    } else {
        add_typed(m, schema, depth);
    }
    arena_release(&a);
}

void fake_schema_value(yyjson_val *schema, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);
    const struct maker m = { schema, &w };

    add_value(&m, schema, 0);
}
