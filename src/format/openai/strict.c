/* strict.c -- whether OpenAI's strict mode takes a schema.
 *
 * Why: with "strict" OpenAI's own service follows a schema for certain, but refuses one with a keyword
 * or an open object; without it, it only tries. Servers that follow every schema by a grammar (vLLM,
 * llama-server, SGLang) don't look at it.
 *
 * Source: https://platform.openai.com/docs/guides/structured-outputs, "Supported schemas".
 */
#include "format/openai/openai_inner.h"

#include "base/mem.h"

/* Properties of one object; a larger one counts as not strict. */
#define STRICT_PROPERTIES_MAX 100

enum holds { HOLDS_VALUE, HOLDS_SCHEMA, HOLDS_LIST, HOLDS_MAP };

/* Not here and so not strict: format, default, minLength, allOf, not and many more. */
// clang-format off
static const struct keyword {
    const char *json, *google; /* its name in each dialect; NULL: it has none there */
    enum holds holds;
} keywords[] = {
    { "type",                  "type",                  HOLDS_VALUE  },
    { "title",                 "title",                 HOLDS_VALUE  },
    { "description",           "description",           HOLDS_VALUE  },
    { "enum",                  "enum",                  HOLDS_VALUE  },
    { "const",                 NULL,                    HOLDS_VALUE  },
    { "required",              "required",              HOLDS_VALUE  },
    { "pattern",               "pattern",               HOLDS_VALUE  },
    { "minimum",               "minimum",               HOLDS_VALUE  },
    { "maximum",               "maximum",               HOLDS_VALUE  },
    { "exclusiveMinimum",      NULL,                    HOLDS_VALUE  },
    { "exclusiveMaximum",      NULL,                    HOLDS_VALUE  },
    { "multipleOf",            NULL,                    HOLDS_VALUE  },
    { "minItems",              "minItems",              HOLDS_VALUE  },
    { "maxItems",              "maxItems",              HOLDS_VALUE  },
    { "additionalProperties",  "additionalProperties",  HOLDS_VALUE  },
    { "$ref",                  "ref",                   HOLDS_VALUE  },
    { NULL,                    "nullable",              HOLDS_VALUE  },
    { NULL,                    "propertyOrdering",      HOLDS_VALUE  },
    { NULL,                    "example",               HOLDS_VALUE  },
    { "items",                 "items",                 HOLDS_SCHEMA },
    { "anyOf",                 "anyOf",                 HOLDS_LIST   },
    { "properties",            "properties",            HOLDS_MAP    },
    { "$defs",                 "defs",                  HOLDS_MAP    },
};
// clang-format on

static bool schema_strict(yyjson_val *schema, bool google);

static const struct keyword *keyword_find(struct str key, bool google)
{
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++) {
        const struct keyword *k = &keywords[i];
        const char *name = google ? k->google : k->json;
        if (name && (google ? field_named(name, key) : str_eq_c(key, name)))
            return k;
    }
    return NULL;
}

/* The members of an object or a list are schemas, each of them strict. */
static bool all_strict(yyjson_val *v, enum holds holds, bool google)
{
    size_t i, max;
    yyjson_val *key, *sub;

    if (holds == HOLDS_VALUE)
        return true;
    if (holds == HOLDS_SCHEMA)
        return schema_strict(v, google);
    if (holds == HOLDS_MAP) {
        yyjson_obj_foreach(v, i, max, key, sub)
        {
            if (!schema_strict(sub, google))
                return false;
        }
        return yyjson_is_obj(v);
    }
    struct values it = values_of(v);
    while ((sub = values_next(&it)))
        if (!schema_strict(sub, google))
            return false;
    return true;
}

static bool is_listed(yyjson_val *names, struct str name)
{
    struct values it = values_of(names);
    yyjson_val *one;

    while ((one = values_next(&it)))
        if (str_eq(json_str(one), name))
            return true;
    return false;
}

/* Closed, and with every property required. Google's schemas are written closed. */
static bool object_strict(yyjson_val *schema, bool google)
{
    yyjson_val *properties = request_field(schema, "properties");
    yyjson_val *required = request_field(schema, "required");
    yyjson_val *additional = request_field(schema, "additionalProperties");
    size_t i, max;
    yyjson_val *key, *property;

    if (!properties || yyjson_obj_size(properties) > STRICT_PROPERTIES_MAX ||
        values_of(required).count > STRICT_PROPERTIES_MAX)
        return false;
    if (additional ? !yyjson_is_false(additional) : !google)
        return false;
    yyjson_obj_foreach(properties, i, max, key, property)
    {
        if (!is_listed(required, json_str(key)))
            return false;
    }
    return true;
}

static bool schema_strict(yyjson_val *schema, bool google)
{
    struct str type = json_str(request_field(schema, "type"));
    bool object = request_field(schema, "properties") || lower_equal(type, "object");
    size_t i, max;
    yyjson_val *key, *value;

    if (!yyjson_is_obj(schema))
        return false;
    /* Each says its type. Google's enums are written without one. */
    bool refers = request_field(schema, google ? "ref" : "$ref") || request_field(schema, "anyOf");
    bool typed = request_field(schema, "type") && !(google && request_field(schema, "enum"));
    if (!refers && !typed && !object)
        return false;
    yyjson_obj_foreach(schema, i, max, key, value)
    {
        const struct keyword *k = keyword_find(json_str(key), google);
        if (yyjson_is_null(value))
            continue;
        if (!k || !all_strict(value, k->holds, google))
            return false;
    }
    return !object || object_strict(schema, google);
}

bool openai_schema_strict(yyjson_val *schema, bool google)
{
    struct str type = json_str(request_field(schema, "type"));
    bool object = request_field(schema, "properties") || lower_equal(type, "object");

    return object && !request_field(schema, "anyOf") && schema_strict(schema, google);
}
