/* read_values.c -- keywords about plain values: types, bounds, lengths, patterns, formats. */
#include <math.h>
#include <string.h>

#include "format/schema/reader.h"

#define FORMAT_SHOWN_BYTES 40
/* Integers that a double holds exactly. */
#define EXACT_MAX 9007199254740992.0

// clang-format off
static const struct { const char *name; unsigned types; } type_names[] = {
    { "null",    TYPE_NULL    }, { "boolean", TYPE_BOOLEAN }, { "integer", TYPE_INTEGER },
    { "number",  TYPE_NUMBER  }, { "string",  TYPE_STRING  }, { "array",   TYPE_ARRAY   },
    { "object",  TYPE_OBJECT  },
};
// clang-format on

static unsigned type_of_name(yyjson_val *v)
{
    for (size_t i = 0; i < ARRAY_LEN(type_names); i++)
        if (str_eq_c(json_str(v), type_names[i].name))
            return type_names[i].types;
    return 0;
}

int read_type(struct reader *r, uint32_t node, yyjson_val *v)
{
    static const char mend[] = "Write null, boolean, integer, number, string, array or object.";
    unsigned types = yyjson_is_str(v) ? type_of_name(v) : 0;
    size_t i, max;
    yyjson_val *one;

    if (yyjson_is_arr(v)) {
        yyjson_arr_foreach(v, i, max, one)
        {
            unsigned type = yyjson_is_str(one) ? type_of_name(one) : 0;
            if (!type)
                return reader_fault(r, node, mend, "A type is unknown.");
            types |= type;
        }
    }
    if (!types)
        return reader_fault(r, node, mend, "The type is unknown.");
    r->s->node[node].types &= types;
    return 0;
}

/* OpenAPI 3.0; it widens the type wherever it stands beside it. */
int read_nullable(struct reader *r, uint32_t node, yyjson_val *v)
{
    if (!yyjson_is_true(v))
        return 0;
    return reader_fault(r, node, "Write \"type\": [\"string\", \"null\"], for example.",
                        "JSON Schema has no nullable.");
}

int read_const(struct reader *r, uint32_t node, yyjson_val *v)
{
    r->s->node[node].constant = v;
    return 0;
}

int read_enum(struct reader *r, uint32_t node, yyjson_val *v)
{
    if (!yyjson_is_arr(v) || yyjson_arr_size(v) == 0)
        return reader_fault(r, node, "Write a list with at least one value.",
                            "enum must be a list of values.");
    if (yyjson_arr_size(v) > SCHEMA_ENUM_MAX)
        return reader_fault(r, node, "Use a pattern, or split the work.",
                            "enum has more than %d values.", SCHEMA_ENUM_MAX);
    r->s->node[node].values = v;
    return 0;
}

/* ---- Numbers ---- */

static int read_bound(struct reader *r, uint32_t node, yyjson_val *v, struct schema_bound *out)
{
    double value = yyjson_get_num(v);

    if (!yyjson_is_num(v) || !isfinite(value))
        return reader_fault(r, node, "Write a number.", "%s must be a number.", r->keyword);
    *out = (struct schema_bound){ .has = true, .value = value };
    return 0;
}

/* The higher of two lower bounds holds; among equal ones the exclusive one. */
static void raise_minimum(struct schema_bound *have, struct schema_bound with)
{
    if (!have->has || with.value > have->value || (with.value >= have->value && with.exclusive))
        *have = with;
}

static void lower_maximum(struct schema_bound *have, struct schema_bound with)
{
    if (!have->has || with.value < have->value || (with.value <= have->value && with.exclusive))
        *have = with;
}

static int read_lower(struct reader *r, uint32_t node, yyjson_val *v, bool exclusive)
{
    struct schema_bound b;

    if (read_bound(r, node, v, &b) < 0)
        return -1;
    if (b.value > EXACT_MAX)
        return reader_fault(r, node, "Use a smaller bound, or a string.",
                            "A lower bound above 2^53 cannot be kept exactly.");
    b.exclusive = exclusive;
    raise_minimum(&r->s->node[node].minimum, b);
    return 0;
}

static int read_upper(struct reader *r, uint32_t node, yyjson_val *v, bool exclusive)
{
    struct schema_bound b;

    if (read_bound(r, node, v, &b) < 0)
        return -1;
    if (b.value < -EXACT_MAX)
        return reader_fault(r, node, "Use a larger bound, or a string.",
                            "An upper bound below -2^53 cannot be kept exactly.");
    b.exclusive = exclusive;
    lower_maximum(&r->s->node[node].maximum, b);
    return 0;
}

int read_minimum(struct reader *r, uint32_t node, yyjson_val *v)
{
    return read_lower(r, node, v, false);
}

int read_maximum(struct reader *r, uint32_t node, yyjson_val *v)
{
    return read_upper(r, node, v, false);
}

int read_exclusive_minimum(struct reader *r, uint32_t node, yyjson_val *v)
{
    return read_lower(r, node, v, true);
}

int read_exclusive_maximum(struct reader *r, uint32_t node, yyjson_val *v)
{
    return read_upper(r, node, v, true);
}

int read_multiple_of(struct reader *r, uint32_t node, yyjson_val *v)
{
    double value = yyjson_get_num(v);

    if (!yyjson_is_num(v) || !(value > 0) || !isfinite(value))
        return reader_fault(r, node, "Write a number above 0.",
                            "multipleOf must be a number above 0.");
    r->s->node[node].multiple_of = value;
    return 0;
}

/* ---- Counts ---- */

int read_count(struct reader *r, uint32_t node, yyjson_val *v)
{
    struct schema_node *n = &r->s->node[node];
    const struct {
        const char *name;
        uint64_t *value;
    } counts[] = {
        { "minLength", &n->min_length },         { "maxLength", &n->max_length },
        { "minItems", &n->min_items },           { "maxItems", &n->max_items },
        { "minProperties", &n->min_properties }, { "maxProperties", &n->max_properties },
    };
    double value = yyjson_get_num(v);

    if (!yyjson_is_num(v) || !(value >= 0) || floor(value) < value)
        return reader_fault(r, node, "Write a whole number from 0.",
                            "%s must be a whole number from 0.", r->keyword);
    bool lower = strncmp(r->keyword, "min", 3) == 0;
    if (lower && value > SCHEMA_COUNT_MAX)
        return reader_fault(r, node, "Ask for less.", "%s is above %d.", r->keyword,
                            SCHEMA_COUNT_MAX);
    for (size_t i = 0; i < ARRAY_LEN(counts); i++)
        if (strcmp(counts[i].name, r->keyword) == 0)
            *counts[i].value = value > SCHEMA_COUNT_MAX ? UINT64_MAX : (uint64_t)value;
    return 0;
}

int read_unique(struct reader *r, uint32_t node, yyjson_val *v)
{
    if (!yyjson_is_bool(v))
        return reader_fault(r, node, "Write true or false.", "uniqueItems must be true or false.");
    r->s->node[node].unique = yyjson_is_true(v);
    return 0;
}

/* ---- Strings ---- */

const struct pattern *reader_pattern(struct reader *r, uint32_t node, struct str text)
{
    struct schema *s = r->s;
    struct error e = { 0 };
    struct pattern *p = pattern_new(text, &e);

    if (!p) {
        (void)reader_fault(r, node, "Mend the regular expression.",
                           "The pattern cannot be taken: %.200s.", e.msg);
        return NULL;
    }
    s->pattern = arena_list_grow(&s->arena, s->pattern, s->pattern_count, sizeof(struct pattern *));
    s->pattern[s->pattern_count++] = p;
    const char *irregular = r->use == SCHEMA_GRAMMAR ? pattern_irregular(p) : NULL;
    if (!irregular)
        return p;
    (void)reader_fault(r, node, "Write the pattern without it.",
                       "The embedded engine cannot follow %s in a pattern.", irregular);
    return NULL;
}

int read_pattern(struct reader *r, uint32_t node, yyjson_val *v)
{
    if (!yyjson_is_str(v))
        return reader_fault(r, node, "Write a regular expression.", "pattern must be a string.");
    const struct pattern *p = reader_pattern(r, node, json_str(v));
    r->s->node[node].pattern = p;
    return p ? 0 : -1;
}

/* OpenAPI's formats of numbers. */
static bool number_format(struct schema_node *n, struct str name)
{
    if (str_eq_c(name, "int32")) {
        raise_minimum(&n->minimum, (struct schema_bound){ true, false, -2147483648.0 });
        lower_maximum(&n->maximum, (struct schema_bound){ true, false, 2147483647.0 });
        return true;
    }
    return str_eq_c(name, "int64") || str_eq_c(name, "float") || str_eq_c(name, "double");
}

int read_format(struct reader *r, uint32_t node, yyjson_val *v)
{
    struct str name = json_str(v);

    if (!yyjson_is_str(v))
        return reader_fault(r, node, "Write \"date-time\", for example.",
                            "format must be a string.");
    if (number_format(&r->s->node[node], name))
        return 0;
    r->s->node[node].format = schema_format_find(name);
    if (r->s->node[node].format || r->use == SCHEMA_CHECK)
        return 0;
    return reader_fault(r, node, "Use a pattern, or one of the formats that are known.",
                        "The format \"%.*s\" is unknown; known are %s.",
                        STR_ARG(str_cut(name, FORMAT_SHOWN_BYTES)), schema_format_names());
}
