#include "format/request/schema.h"

#include <stdbool.h>

#include "base/mem.h"
#include "format/request/request.h"
#include "format/request/schema_value.h"

struct writer {
    struct buf *out;
    yyjson_val *defs; /* of the schema at the top, or NULL */
    unsigned depth;   /* of the schema that is being written */
    struct error *e;
};

/* A keyword that stands alone: its name here and there, and what writes its value: value when that is
 * all it needs, else part. */
struct keyword {
    const char *google, *json;
    int (*value)(struct buf *out, yyjson_val *value, struct error *e);
    int (*part)(struct writer *w, yyjson_val *schema, yyjson_val *value);
};

// clang-format off
static const struct { const char *google, *json; } types[] = {
    { "STRING", "string" }, { "NUMBER", "number" }, { "INTEGER", "integer" }, { "BOOLEAN", "boolean" },
    { "ARRAY",  "array"  }, { "OBJECT", "object" }, { "NULL",    "null"    },
};
// clang-format on

static int write_schema(struct writer *w, yyjson_val *schema);
static int write_head(struct writer *w, yyjson_val *schema);
static int write_keywords(struct writer *w, yyjson_val *schema);

/* A field of a schema; a null stands for an absent one, as everywhere in Google's JSON. */
static yyjson_val *member(yyjson_val *schema, const char *name)
{
    yyjson_val *v = request_field(schema, name);

    return yyjson_is_null(v) ? NULL : v;
}

int schema_to_json_schema(yyjson_val *schema, struct buf *out, struct error *e)
{
    struct writer w = { .out = out, .defs = member(schema, "defs"), .e = e };

    if (write_schema(&w, schema) < 0)
        return -1;
    if (!buf_ok(out))
        return error_set(e, ERROR_INVALID_ARGUMENT, "the schema is over %zu bytes", out->max);
    return 0;
}

static int wrong(struct writer *w, const char *what)
{
    return error_set(w->e, ERROR_INVALID_ARGUMENT, "%s", what);
}

static int write_schema(struct writer *w, yyjson_val *schema)
{
    if (!yyjson_is_obj(schema))
        return wrong(w, "a schema must be an object");
    if (++w->depth > JSON_DEPTH_MAX)
        return wrong(w, "the schema is nested too deeply");
    buf_add_char(w->out, '{');
    if (write_head(w, schema) < 0 || write_keywords(w, schema) < 0)
        return -1;
    buf_add_char(w->out, '}');
    w->depth--;
    return 0;
}

/* A list, or one value where a list is expected. */
static size_t list_count(yyjson_val *v)
{
    return yyjson_is_arr(v) ? yyjson_arr_size(v) : (size_t)(v != NULL);
}

static yyjson_val *list_at(yyjson_val *v, size_t i)
{
    return yyjson_is_arr(v) ? yyjson_arr_get(v, i) : v;
}

/* ---- What nullable changes: type, enum, ref, anyOf ---- */

/* The name in JSON Schema of a type as Google writes it, in any case; NULL when there is none. */
static const char *type_name(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (str_eq_c(name, types[i].google) || str_eq_c(name, types[i].json))
            return types[i].json;
    return NULL;
}

static int write_type(struct writer *w, yyjson_val *schema, yyjson_val *type, bool nullable)
{
    const char *name = member(schema, "properties") ? "object"
                       : member(schema, "items")    ? "array"
                                                    : NULL;

    if (type && !str_eq_c(json_str(type), "TYPE_UNSPECIFIED")) {
        name = type_name(json_str(type));
        if (!name)
            return wrong(w, "type must be STRING, NUMBER, INTEGER, BOOLEAN, ARRAY, OBJECT or NULL");
    }
    if (!name)
        return 0;
    schema_key(w->out, STR("type"));
    if (nullable && !str_eq_c(STR("null"), name))
        buf_addf(w->out, "[\"%s\",\"null\"]", name);
    else
        buf_addf(w->out, "\"%s\"", name);
    return 0;
}

/* Google's enum lists strings whatever the type: for a number they hold its digits. */
static int write_enum(struct writer *w, yyjson_val *type, yyjson_val *values, bool nullable)
{
    const char *name = type ? type_name(json_str(type)) : NULL;
    bool numeric = name && (str_eq_c(STR("integer"), name) || str_eq_c(STR("number"), name));

    schema_key(w->out, STR("enum"));
    buf_add_char(w->out, '[');
    for (size_t i = 0; i < list_count(values); i++) {
        yyjson_val *v = list_at(values, i);
        schema_comma(w->out);
        if ((numeric ? schema_write_number : schema_write_any)(w->out, v, w->e) < 0)
            return error_wrap(w->e, "enum");
    }
    if (nullable) {
        schema_comma(w->out);
        buf_add_c(w->out, "null");
    }
    buf_add_char(w->out, ']');
    return 0;
}

static bool is_plain_name(struct str s)
{
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
        if (!letter && !(c >= '0' && c <= '9') && c != '-' && c != '.')
            return false;
    }
    return s.len > 0;
}

/* Google's reference is "#/defs/Name". Only plain names: then nothing in the pointer needs an escape
 * of JSON, of URIs or of JSON pointers, about which readers differ. */
static int write_ref(struct writer *w, yyjson_val *ref, bool nullable)
{
    static const struct str prefixes[] = { { "#/defs/", 7 }, { "#/$defs/", 8 } };
    struct str text = json_str(ref), name = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (str_starts(text, prefixes[i]))
            name = str_sub(text, prefixes[i].len, text.len);
    if (!is_plain_name(name) || !yyjson_obj_getn(w->defs, name.p, name.len))
        return error_set(w->e, ERROR_INVALID_ARGUMENT,
                         "ref \"%.*s\" must be \"#/defs/\" and a name in defs of the whole schema",
                         STR_ARG(text));
    schema_comma(w->out);
    buf_addf(w->out,
             nullable ? "\"anyOf\":[{\"$ref\":\"#/$defs/%.*s\"},{\"type\":\"null\"}]"
                      : "\"$ref\":\"#/$defs/%.*s\"",
             STR_ARG(name));
    return 0;
}

static int write_any_of(struct writer *w, yyjson_val *schemas, bool nullable)
{
    schema_key(w->out, STR("anyOf"));
    buf_add_char(w->out, '[');
    for (size_t i = 0; i < list_count(schemas); i++) {
        schema_comma(w->out);
        if (write_schema(w, list_at(schemas, i)) < 0)
            return error_wrap(w->e, "anyOf[%zu]", i);
    }
    if (nullable) {
        schema_comma(w->out);
        buf_add_c(w->out, "{\"type\":\"null\"}");
    }
    buf_add_char(w->out, ']');
    return 0;
}

/* The first of these that stands in the schema says what the value is, and where null is added. */
static int write_head(struct writer *w, yyjson_val *schema)
{
    yyjson_val *ref = member(schema, "ref"), *any_of = member(schema, "anyOf");
    yyjson_val *values = member(schema, "enum"), *type = member(schema, "type");
    bool nullable = yyjson_is_true(member(schema, "nullable"));

    if (ref)
        return write_ref(w, ref, nullable);
    if (any_of)
        return write_any_of(w, any_of, nullable);
    if (values)
        return write_enum(w, type, values, nullable);
    return write_type(w, schema, type, nullable);
}

/* ---- Keywords ---- */

static int write_sub(struct writer *w, yyjson_val *schema, yyjson_val *value)
{
    (void)schema;
    return write_schema(w, value);
}

static int write_additional(struct writer *w, yyjson_val *schema, yyjson_val *value)
{
    (void)schema;
    return yyjson_is_bool(value) ? schema_write_any(w->out, value, w->e) : write_schema(w, value);
}

static int write_property(struct writer *w, struct str name, yyjson_val *schema)
{
    schema_key(w->out, name);
    if (write_schema(w, schema) < 0)
        return error_wrap(w->e, "%.*s", STR_ARG(name));
    return 0;
}

/* Whether the name stands in the first count of the names. */
static bool is_listed(yyjson_val *names, size_t count, struct str name)
{
    for (size_t i = 0; i < count; i++)
        if (str_eq(json_str(list_at(names, i)), name))
            return true;
    return false;
}

/* Those in propertyOrdering first, then the others as written: a model writes them in this order, and
 * what comes first (a reason, say) bears on what follows. */
static int write_properties(struct writer *w, yyjson_val *schema, yyjson_val *value)
{
    yyjson_val *order = member(schema, "propertyOrdering"), *key, *property;
    size_t order_count = list_count(order), i, max;

    if (!yyjson_is_obj(value))
        return wrong(w, "this must be an object");
    if (yyjson_obj_size(value) > SCHEMA_PROPERTIES_MAX || order_count > SCHEMA_PROPERTIES_MAX)
        return wrong(w, "an object of a schema may have 1000 properties at most");
    buf_add_char(w->out, '{');
    for (i = 0; i < order_count; i++) {
        struct str name = json_str(list_at(order, i));
        property = name.p ? yyjson_obj_getn(value, name.p, name.len) : NULL;
        if (property && !is_listed(order, i, name) && write_property(w, name, property) < 0)
            return -1;
    }
    yyjson_obj_foreach(value, i, max, key, property)
    {
        if (!is_listed(order, order_count, json_str(key)) &&
            write_property(w, json_str(key), property) < 0)
            return -1;
    }
    buf_add_char(w->out, '}');
    return 0;
}

/* A required name must be a property: the object is closed, so nothing could meet it otherwise. */
static int write_required(struct writer *w, yyjson_val *schema, yyjson_val *value)
{
    yyjson_val *properties = member(schema, "properties");

    if (list_count(value) > SCHEMA_PROPERTIES_MAX)
        return wrong(w, "at most 1000 names can be required");
    buf_add_char(w->out, '[');
    for (size_t i = 0; i < list_count(value); i++) {
        struct str name = json_str(list_at(value, i));
        if (!name.p || (properties && !yyjson_obj_getn(properties, name.p, name.len)))
            return error_set(w->e, ERROR_INVALID_ARGUMENT, "\"%.*s\" is not among the properties",
                             STR_ARG(name));
        schema_comma(w->out);
        buf_add_json(w->out, name);
    }
    buf_add_char(w->out, ']');
    return 0;
}

static int write_defs(struct writer *w, yyjson_val *schema, yyjson_val *value)
{
    size_t i, max;
    yyjson_val *key, *def;

    (void)schema;
    if (value != w->defs || !yyjson_is_obj(value))
        return wrong(w, "defs must be an object, and stand in the whole schema only");
    buf_add_char(w->out, '{');
    yyjson_obj_foreach(value, i, max, key, def)
    {
        schema_key(w->out, json_str(key));
        if (write_schema(w, def) < 0)
            return error_wrap(w->e, "%.*s", STR_ARG(json_str(key)));
    }
    buf_add_char(w->out, '}');
    return 0;
}

/* What is not here is left out: example is for readers, propertyOrdering is in the order itself. */
// clang-format off
static const struct keyword keywords[] = {
    { "title",                "title",                schema_write_text,   NULL             },
    { "description",          "description",          schema_write_text,   NULL             },
    { "format",               "format",               schema_write_text,   NULL             },
    { "default",              "default",              schema_write_any,    NULL             },
    { "minimum",              "minimum",              schema_write_number, NULL             },
    { "maximum",              "maximum",              schema_write_number, NULL             },
    { "minLength",            "minLength",            schema_write_count,  NULL             },
    { "maxLength",            "maxLength",            schema_write_count,  NULL             },
    { "pattern",              "pattern",              schema_write_text,   NULL             },
    { "items",                "items",                NULL,                write_sub        },
    { "minItems",             "minItems",             schema_write_count,  NULL             },
    { "maxItems",             "maxItems",             schema_write_count,  NULL             },
    { "properties",           "properties",           NULL,                write_properties },
    { "required",             "required",             NULL,                write_required   },
    { "minProperties",        "minProperties",        schema_write_count,  NULL             },
    { "maxProperties",        "maxProperties",        schema_write_count,  NULL             },
    { "additionalProperties", "additionalProperties", NULL,                write_additional },
    { "defs",                 "$defs",                NULL,                write_defs       },
};
// clang-format on

static int write_keywords(struct writer *w, yyjson_val *schema)
{
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++) {
        const struct keyword *k = &keywords[i];
        yyjson_val *value = member(schema, k->google);
        if (!value)
            continue;
        schema_key(w->out, str_of(k->json));
        if ((k->part ? k->part(w, schema, value) : k->value(w->out, value, w->e)) < 0)
            return error_wrap(w->e, "%s", k->google);
    }
    /* JSON Schema lets an object have any other members unless told; a grammar made of that lets a
     * model invent members for ever. An object that names no properties at all is a free one. */
    if (member(schema, "properties") && !member(schema, "additionalProperties")) {
        schema_key(w->out, STR("additionalProperties"));
        buf_add_c(w->out, "false");
    }
    return 0;
}
