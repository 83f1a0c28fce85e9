/* schema.c -- a schema in the words of OpenAI servers, and whether their strict mode takes it.
 *
 * Why: with "strict" OpenAI's own service follows a schema for certain, but refuses one with a keyword
 * that it does not know or an open object; without it, it only tries. Servers that follow every schema
 * by a grammar (vLLM, llama-server, SGLang) don't look at it. No server reads Google's propertyOrdering,
 * and few know the formats of numbers: the order becomes the properties' own, int32 becomes bounds.
 *
 * Source: https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas".
 */
#include "format/openai/openai_inner.h"

#include "base/mem.h"
#include "format/schema/schema.h"

/* Properties of one object; a larger one counts as not strict. */
#define STRICT_PROPERTIES_MAX 100
#define INT32_LEAST (-2147483648.0)
#define INT32_MOST 2147483647.0

/* The kinds of content of a keyword: a value; a schema, or a list of schemas; schemas by name. */
enum holds { HOLDS_VALUE, HOLDS_SCHEMA, HOLDS_MAP };

// clang-format off
static const struct keyword {
    const char *name;
    bool strict; /* strict mode takes it; it takes no keyword that is not here */
    enum holds holds;
} keywords[] = {
    { "type",                  true,  HOLDS_VALUE  },
    { "title",                 true,  HOLDS_VALUE  },
    { "description",           true,  HOLDS_VALUE  },
    { "enum",                  true,  HOLDS_VALUE  },
    { "const",                 true,  HOLDS_VALUE  },
    { "required",              true,  HOLDS_VALUE  },
    { "pattern",               true,  HOLDS_VALUE  },
    { "format",                true,  HOLDS_VALUE  }, /* but see format_strict */
    { "minimum",               true,  HOLDS_VALUE  },
    { "maximum",               true,  HOLDS_VALUE  },
    { "exclusiveMinimum",      true,  HOLDS_VALUE  },
    { "exclusiveMaximum",      true,  HOLDS_VALUE  },
    { "multipleOf",            true,  HOLDS_VALUE  },
    { "minItems",              true,  HOLDS_VALUE  },
    { "maxItems",              true,  HOLDS_VALUE  },
    { "$ref",                  true,  HOLDS_VALUE  },
    { "propertyOrdering",      true,  HOLDS_VALUE  }, /* is not sent */
    { "items",                 true,  HOLDS_SCHEMA },
    { "anyOf",                 true,  HOLDS_SCHEMA },
    { "properties",            true,  HOLDS_MAP    },
    { "$defs",                 true,  HOLDS_MAP    },
    { "additionalProperties",  true,  HOLDS_SCHEMA }, /* but see object_strict */
    { "additionalItems",       false, HOLDS_SCHEMA },
    { "prefixItems",           false, HOLDS_SCHEMA },
    { "allOf",                 false, HOLDS_SCHEMA },
    { "oneOf",                 false, HOLDS_SCHEMA },
    { "not",                   false, HOLDS_SCHEMA },
    { "patternProperties",     false, HOLDS_MAP    },
    { "definitions",           false, HOLDS_MAP    },
};
// clang-format on

static const struct keyword *keyword_find(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++)
        if (str_eq_c(name, keywords[i].name))
            return &keywords[i];
    return NULL;
}

static bool text_is_one_of(yyjson_val *v, const char *const names[], size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq_c(json_str(v), names[i]))
            return true;
    return false;
}

/* Formats of Google's that only name what another keyword says, or how a number is stored. */
static bool format_is_googles(yyjson_val *v)
{
    static const char *const names[] = { "int32", "int64", "float", "double", "enum" };

    return text_is_one_of(v, names, ARRAY_LEN(names));
}

int openai_schema_read(struct arena *a, yyjson_val *schema, bool google, yyjson_val **out,
                       struct error *e)
{
    struct buf text = BUF_INIT(SCHEMA_BYTES_MAX);
    size_t at = 0;
    int rc;

    *out = schema;
    if (!yyjson_is_obj(schema))
        return error_set(e, ERROR_INVALID_ARGUMENT, "a schema must be an object");
    if (!google)
        return 0;
    rc = schema_to_json_schema(schema, &text, e);
    if (rc == 0)
        *out = json_parse(a, buf_str(&text), &at, e);
    buf_release(&text);
    return rc < 0 || !*out ? -1 : 0;
}

/* ---- Strict ---- */

static bool schema_strict(yyjson_val *schema);

/* The members of an object or the elements of a list are schemas, each of them strict. */
static bool parts_strict(yyjson_val *v, enum holds holds)
{
    size_t i, max;
    yyjson_val *key, *sub;

    if (holds == HOLDS_VALUE || yyjson_is_bool(v))
        return true;
    if (holds == HOLDS_SCHEMA && !yyjson_is_arr(v))
        return schema_strict(v);
    if (holds == HOLDS_SCHEMA) {
        yyjson_arr_foreach(v, i, max, sub)
        {
            if (!schema_strict(sub))
                return false;
        }
        return true;
    }
    yyjson_obj_foreach(v, i, max, key, sub)
    {
        if (!schema_strict(sub))
            return false;
    }
    return yyjson_is_obj(v);
}

static bool is_listed(yyjson_val *names, struct str name)
{
    size_t i, max;
    yyjson_val *one;

    yyjson_arr_foreach(names, i, max, one)
    {
        if (str_eq(json_str(one), name))
            return true;
    }
    return false;
}

/* Closed, and with every property required. */
static bool object_strict(yyjson_val *schema)
{
    yyjson_val *properties = json_get(schema, "properties");
    yyjson_val *required = json_get(schema, "required");
    size_t i, max;
    yyjson_val *key, *property;

    if (!properties || yyjson_obj_size(properties) > STRICT_PROPERTIES_MAX ||
        yyjson_arr_size(required) > STRICT_PROPERTIES_MAX ||
        !yyjson_is_false(json_get(schema, "additionalProperties")))
        return false;
    yyjson_obj_foreach(properties, i, max, key, property)
    {
        if (!is_listed(required, json_str(key)))
            return false;
    }
    return true;
}

static bool format_strict(yyjson_val *format)
{
    static const char *const names[] = { "date-time", "time", "date", "duration", "email",
                                         "hostname",  "ipv4", "ipv6", "uuid" };

    return !format || format_is_googles(format) || text_is_one_of(format, names, ARRAY_LEN(names));
}

static bool schema_strict(yyjson_val *schema)
{
    yyjson_val *type = json_get(schema, "type");
    bool object = json_get(schema, "properties") || str_eq_c(json_str(type), "object");
    bool says = type || object || json_get(schema, "$ref") || json_get(schema, "anyOf");
    size_t i, max;
    yyjson_val *key, *value;

    if (!yyjson_is_obj(schema) || !says || !format_strict(json_get(schema, "format")))
        return false;
    yyjson_obj_foreach(schema, i, max, key, value)
    {
        const struct keyword *k = keyword_find(json_str(key));
        if (!k || !k->strict || !parts_strict(value, k->holds))
            return false;
    }
    return !object || object_strict(schema);
}

bool openai_schema_strict(yyjson_val *schema)
{
    yyjson_val *type = json_get(schema, "type");

    return (json_get(schema, "properties") || str_eq_c(json_str(type), "object")) &&
           !json_get(schema, "anyOf") && schema_strict(schema);
}

/* ---- Out ---- */

static void add_schema(struct json_writer *w, yyjson_val *schema);

/* True when a name of the order is a key of the map and stands there for the first time. */
static bool is_first(yyjson_val *order, size_t at)
{
    for (size_t i = 0; i < at; i++)
        if (yyjson_equals(yyjson_arr_get(order, i), yyjson_arr_get(order, at)))
            return false;
    return true;
}

/* Schemas by name: those that the order names first. */
static void add_map(struct json_writer *w, yyjson_val *map, yyjson_val *order)
{
    size_t i, max;
    yyjson_val *name, *sub;

    json_object(w, NULL);
    yyjson_arr_foreach(order, i, max, name)
    {
        sub = yyjson_obj_getn(map, yyjson_get_str(name), yyjson_get_len(name));
        if (sub && is_first(order, i)) {
            json_key(w, json_str(name));
            add_schema(w, sub);
        }
    }
    yyjson_obj_foreach(map, i, max, name, sub)
    {
        if (is_listed(order, json_str(name)))
            continue;
        json_key(w, json_str(name));
        add_schema(w, sub);
    }
    json_end(w);
}

static void add_list(struct json_writer *w, yyjson_val *list)
{
    size_t i, max;
    yyjson_val *sub;

    json_array(w, NULL);
    yyjson_arr_foreach(list, i, max, sub)
    {
        add_schema(w, sub);
    }
    json_end(w);
}

/* An int32's own bounds may be narrower. */
static void add_int32(struct json_writer *w, yyjson_val *schema)
{
    if (!json_get(schema, "minimum") && !json_get(schema, "exclusiveMinimum"))
        json_add_double(w, "minimum", INT32_LEAST);
    if (!json_get(schema, "maximum") && !json_get(schema, "exclusiveMaximum"))
        json_add_double(w, "maximum", INT32_MOST);
}

static void add_keyword(struct json_writer *w, yyjson_val *schema, struct str name,
                        yyjson_val *value)
{
    const struct keyword *k = keyword_find(name);
    enum holds holds = k ? k->holds : HOLDS_VALUE;
    yyjson_val *order = str_eq_c(name, "properties") ? json_get(schema, "propertyOrdering") : NULL;

    /* Validation refuses a response schema with more; a function's parameters keep their order. */
    if (yyjson_arr_size(order) > SCHEMA_PROPERTIES_MAX ||
        yyjson_obj_size(value) > SCHEMA_PROPERTIES_MAX)
        order = NULL;
    json_key(w, name);
    if (holds == HOLDS_MAP && yyjson_is_obj(value))
        add_map(w, value, order);
    else if (holds == HOLDS_SCHEMA && yyjson_is_arr(value))
        add_list(w, value);
    else if (holds == HOLDS_SCHEMA)
        add_schema(w, value);
    else
        json_add_value(w, NULL, value);
}

/* The depth is a parsed value's, which is bounded. */
static void add_schema(struct json_writer *w, yyjson_val *schema)
{
    size_t i, max;
    yyjson_val *key, *value;

    if (!yyjson_is_obj(schema)) { /* true and false are schemas, too */
        json_add_value(w, NULL, schema);
        return;
    }
    json_object(w, NULL);
    yyjson_obj_foreach(schema, i, max, key, value)
    {
        struct str name = json_str(key);
        if (str_eq_c(name, "propertyOrdering"))
            continue;
        if (!str_eq_c(name, "format") || !format_is_googles(value))
            add_keyword(w, schema, name, value);
        else if (str_eq_c(json_str(value), "int32"))
            add_int32(w, schema);
    }
    json_end(w);
}

void openai_schema_add(struct json_writer *w, const char *key, yyjson_val *schema)
{
    json_key(w, str_of(key));
    add_schema(w, schema);
}
