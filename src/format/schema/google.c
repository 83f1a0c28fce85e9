/* google.c -- Google's Schema written as JSON Schema, which the reader then reads.
 *
 * Why: there is one reader and one table of keywords; Google's dialect differs in words (nullable, ref, types
 * in any case, enum values of numbers as strings), and in that an object that names properties has no others.
 */
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "format/schema/reader.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "format/request/fields.h"
#include "format/request/request.h"

/* The largest count that a double holds exactly. */
#define COUNT_MAX 9007199254740992.0

#define NAME_SHOWN_BYTES 48 /* of a property in a path */

struct writer {
    struct json_writer json;
    yyjson_val *defs;             /* of the schema at the top, or NULL */
    unsigned depth;               /* of the schema that is being written */
    char path[SCHEMA_PATH_BYTES]; /* of what is wrong, made from its end to its beginning */
    struct error *e;
};

/* A keyword that stands alone: its name in each dialect, and what writes its value under the key:
 * value when that is all it needs, else part, with the schema that the keyword is of. */
struct translated {
    const char *google, *json;
    int (*value)(struct writer *w, const char *key, yyjson_val *value);
    int (*part)(struct writer *w, const char *key, yyjson_val *schema, yyjson_val *value);
};

// clang-format off
static const struct { const char *google, *json; } types[] = {
    { "STRING", "string" }, { "NUMBER", "number" }, { "INTEGER", "integer" }, { "BOOLEAN", "boolean" },
    { "ARRAY",  "array"  }, { "OBJECT", "object" }, { "NULL",    "null"    },
};
// clang-format on

static int write_schema(struct writer *w, const char *key, yyjson_val *schema);

/* A field of a schema; a null stands for an absent one, as everywhere in Google's JSON. */
static yyjson_val *member(yyjson_val *schema, const char *name)
{
    yyjson_val *v = request_field(schema, name);

    return yyjson_is_null(v) ? NULL : v;
}

static int wrong(struct writer *w, const char *what)
{
    return error_set(w->e, ERROR_INVALID_ARGUMENT, "%s", what);
}

/* Puts a step before the path of what is wrong. Returns -1. */
__attribute__((format(printf, 2, 3))) static int within(struct writer *w, const char *fmt, ...)
{
    char rest[SCHEMA_PATH_BYTES];
    va_list args;

    memcpy(rest, w->path, sizeof rest);
    va_start(args, fmt);
    (void)vsnprintf(w->path, sizeof w->path, fmt, args);
    va_end(args);
    size_t at = strlen(w->path), last = sizeof w->path - 1;
    if (rest[0] && rest[0] != '[' && at < last)
        w->path[at++] = '.';
    struct str cut = str_cut(str_of(rest), last - at);
    memcpy(w->path + at, cut.p, cut.len);
    w->path[at + cut.len] = '\0';
    return -1;
}

/* ---- Values ---- */

static size_t digits_end(struct str s, size_t at)
{
    while (at < s.len && s.p[at] >= '0' && s.p[at] <= '9')
        at++;
    return at;
}

/* True when the text is a number in the syntax of JSON. */
static bool is_number_text(struct str s)
{
    size_t from = s.len && s.p[0] == '-';
    size_t at = digits_end(s, from);

    if (at == from || (s.p[from] == '0' && at > from + 1))
        return false;
    if (at < s.len && s.p[at] == '.') {
        from = at + 1;
        at = digits_end(s, from);
        if (at == from)
            return false;
    }
    if (at < s.len && (s.p[at] == 'e' || s.p[at] == 'E')) {
        from = at + 1 + (at + 1 < s.len && (s.p[at + 1] == '-' || s.p[at + 1] == '+'));
        at = digits_end(s, from);
        if (at == from)
            return false;
    }
    return at == s.len;
}

static int write_number(struct writer *w, const char *key, yyjson_val *v)
{
    if (yyjson_is_num(v))
        json_add_value(&w->json, key, v);
    else if (is_number_text(json_str(v)))
        json_add_raw(&w->json, key, json_str(v));
    else
        return wrong(w, "this must be a number");
    return 0;
}

/* 0, 1, 2, ... */
static int write_count(struct writer *w, const char *key, yyjson_val *v)
{
    struct str text = json_str(v);
    double n = yyjson_get_num(v);

    if (digits_end(text, 0) == text.len && is_number_text(text)) {
        json_add_raw(&w->json, key, text);
        return 0;
    }
    if (!yyjson_is_num(v) || !(n >= 0 && n <= COUNT_MAX) || (double)(uint64_t)n < n)
        return wrong(w, "this must be a count: an integer from 0");
    json_add_uint(&w->json, key, (uint64_t)n);
    return 0;
}

static int write_text(struct writer *w, const char *key, yyjson_val *v)
{
    if (!yyjson_is_str(v))
        return wrong(w, "this must be a string");
    json_add_text(&w->json, key, json_str(v));
    return 0;
}

static int write_any(struct writer *w, const char *key, yyjson_val *v)
{
    json_add_value(&w->json, key, v);
    return 0;
}

/* ---- What nullable changes: type, enum, ref, anyOf ---- */

/* The name in JSON Schema of a type as Google writes it, in any case; NULL when there is none. */
static const char *type_name(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (lower_equal(name, types[i].google))
            return types[i].json;
    return NULL;
}

/* Without enum and anyOf, a schema that has properties or items has their type. */
static int write_type(struct writer *w, yyjson_val *schema, yyjson_val *type, bool nullable)
{
    bool alone = !member(schema, "enum") && !member(schema, "anyOf");
    const char *name = alone && member(schema, "properties") ? "object"
                       : alone && member(schema, "items")    ? "array"
                                                             : NULL;

    if (type && !str_eq_c(json_str(type), "TYPE_UNSPECIFIED")) {
        name = type_name(json_str(type));
        if (!name)
            return wrong(w, "type must be STRING, NUMBER, INTEGER, BOOLEAN, ARRAY, OBJECT or NULL");
    }
    if (!name)
        return 0;
    if (!nullable || str_eq_c(STR("null"), name)) {
        json_add_c(&w->json, "type", name);
        return 0;
    }
    json_array(&w->json, "type");
    json_add_c(&w->json, NULL, name);
    json_add_c(&w->json, NULL, "null");
    json_end(&w->json);
    return 0;
}

static int write_boolean(struct writer *w, const char *key, yyjson_val *v)
{
    bool yes = yyjson_is_true(v) || str_eq_c(json_str(v), "true");

    if (!yes && !yyjson_is_false(v) && !str_eq_c(json_str(v), "false"))
        return wrong(w, "this must be true or false");
    json_add_bool(&w->json, key, yes);
    return 0;
}

static int write_no_enum(struct writer *w, const char *key, yyjson_val *v)
{
    (void)key, (void)v;
    return wrong(w, "only values of type STRING, NUMBER, INTEGER and BOOLEAN can be listed");
}

/* Google's enum lists strings whatever the type: for a number they hold its digits. */
static int write_enum(struct writer *w, yyjson_val *type, yyjson_val *values, bool nullable)
{
    // clang-format off
    static const struct {
        const char *type;
        int (*value)(struct writer *w, const char *key, yyjson_val *value);
    } writers[] = {
        { "string",  write_any     }, { "number", write_number  }, { "integer", write_number  },
        { "boolean", write_boolean }, { "array",  write_no_enum }, { "object",  write_no_enum },
        { "null",    write_no_enum },
    };
    // clang-format on
    const char *name = type ? type_name(json_str(type)) : NULL;
    struct values it = values_of(values);
    size_t i = 0;
    yyjson_val *v;

    while (name && i + 1 < ARRAY_LEN(writers) && !str_eq_c(str_of(name), writers[i].type))
        i++;
    json_array(&w->json, "enum");
    while ((v = values_next(&it)))
        if (writers[i].value(w, NULL, v) < 0)
            return within(w, "enum");
    if (nullable)
        json_add_null(&w->json, NULL);
    json_end(&w->json);
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

/* An element of anyOf that only null meets. */
static void add_null_type(struct writer *w)
{
    json_object(&w->json, NULL);
    json_add_c(&w->json, "type", "null");
    json_end(&w->json);
}

/* Google's reference is "#/defs/Name". Only plain names: then nothing in the pointer needs an escape
 * of JSON, of URIs or of JSON pointers, about which readers differ. */
static int write_ref(struct writer *w, yyjson_val *ref, bool nullable)
{
    static const struct str prefixes[] = { STR_INIT("#/defs/"), STR_INIT("#/$defs/") };
    struct str text = json_str(ref), name = { 0 };

    for (size_t i = 0; i < ARRAY_LEN(prefixes); i++)
        if (str_starts(text, prefixes[i]))
            name = str_sub(text, prefixes[i].len, text.len);
    if (!is_plain_name(name) || !yyjson_obj_getn(w->defs, name.p, name.len))
        return error_set(w->e, ERROR_INVALID_ARGUMENT,
                         "ref \"%.*s\" must be \"#/defs/\" and a name in defs of the whole schema",
                         STR_ARG(text));
    if (nullable) {
        json_array(&w->json, "anyOf");
        json_object(&w->json, NULL);
    }
    json_addf(&w->json, "$ref", "#/$defs/%.*s", STR_ARG(name));
    if (nullable) {
        json_end(&w->json);
        add_null_type(w);
        json_end(&w->json);
    }
    return 0;
}

static int write_any_of(struct writer *w, yyjson_val *schemas, bool nullable)
{
    struct values it = values_of(schemas);
    yyjson_val *schema;

    json_array(&w->json, "anyOf");
    while ((schema = values_next(&it)))
        if (write_schema(w, NULL, schema) < 0)
            return within(w, "anyOf[%zu]", it.index - 1);
    if (nullable)
        add_null_type(w);
    json_end(&w->json);
    return 0;
}

/* The keywords of the value itself; each of them says that null is one, too. */
static int write_head(struct writer *w, yyjson_val *schema)
{
    yyjson_val *ref = member(schema, "ref"), *any_of = member(schema, "anyOf");
    yyjson_val *values = member(schema, "enum"), *type = member(schema, "type");
    bool nullable = yyjson_is_true(member(schema, "nullable"));

    if (ref)
        return write_ref(w, ref, nullable);
    if (write_type(w, schema, type, nullable) < 0 ||
        (values && write_enum(w, type, values, nullable) < 0))
        return -1;
    return any_of ? write_any_of(w, any_of, nullable) : 0;
}

/* ---- Keywords ---- */

static int write_additional(struct writer *w, const char *key, yyjson_val *value)
{
    return yyjson_is_bool(value) ? write_any(w, key, value) : write_schema(w, key, value);
}

static int write_named(struct writer *w, struct str name, yyjson_val *schema)
{
    json_key(&w->json, name);
    if (write_schema(w, NULL, schema) == 0)
        return 0;
    struct buf step = BUF_INIT(SCHEMA_PATH_BYTES);
    json_path_key(&step, str_cut(name, NAME_SHOWN_BYTES));
    (void)within(w, "%.*s", STR_ARG(buf_str(&step)));
    buf_release(&step);
    return -1;
}

/* True when the name is one of the first count names. */
static bool is_listed(yyjson_val *names, size_t count, struct str name)
{
    struct values it = values_of(names);

    while (it.index < count)
        if (str_eq(json_str(values_next(&it)), name))
            return true;
    return false;
}

/* Those in propertyOrdering first, then the others as written: a model writes them in this order, and
 * what comes first (a reason, say) bears on what follows. */
static int write_properties(struct writer *w, const char *object, yyjson_val *schema,
                            yyjson_val *value)
{
    struct values order = values_of(member(schema, "propertyOrdering")), it = order;
    yyjson_val *key, *property;
    size_t i, max;

    if (!yyjson_is_obj(value))
        return wrong(w, "this must be an object");
    if (yyjson_obj_size(value) > SCHEMA_PROPERTIES_MAX || order.count > SCHEMA_PROPERTIES_MAX)
        return wrong(w, "an object of a schema may have 1000 properties at most");
    json_object(&w->json, object);
    while ((key = values_next(&it))) {
        struct str name = json_str(key);
        property = name.p ? yyjson_obj_getn(value, name.p, name.len) : NULL;
        if (property && !is_listed(member(schema, "propertyOrdering"), it.index - 1, name) &&
            write_named(w, name, property) < 0)
            return -1;
    }
    yyjson_obj_foreach(value, i, max, key, property)
    {
        if (!is_listed(member(schema, "propertyOrdering"), order.count, json_str(key)) &&
            write_named(w, json_str(key), property) < 0)
            return -1;
    }
    json_end(&w->json);
    return 0;
}

/* A required name must be a property: the object is closed, so nothing could meet it otherwise. */
static int write_required(struct writer *w, const char *key, yyjson_val *schema, yyjson_val *value)
{
    yyjson_val *properties = member(schema, "properties"), *required;
    struct values it = values_of(value);

    if (it.count > SCHEMA_PROPERTIES_MAX)
        return wrong(w, "at most 1000 names can be required");
    json_array(&w->json, key);
    while ((required = values_next(&it))) {
        struct str name = json_str(required);
        if (!name.p || (properties && !yyjson_obj_getn(properties, name.p, name.len)))
            return error_set(w->e, ERROR_INVALID_ARGUMENT, "\"%.*s\" is not among the properties",
                             STR_ARG(name));
        json_add_text(&w->json, NULL, name);
    }
    json_end(&w->json);
    return 0;
}

static int write_defs(struct writer *w, const char *key, yyjson_val *value)
{
    size_t i, max;
    yyjson_val *name, *def;

    if (value != w->defs || !yyjson_is_obj(value))
        return wrong(w, "defs must be an object, and stand in the whole schema only");
    json_object(&w->json, key);
    yyjson_obj_foreach(value, i, max, name, def)
    {
        if (write_named(w, json_str(name), def) < 0)
            return -1;
    }
    json_end(&w->json);
    return 0;
}

/* Other keywords are left out: example is for readers, propertyOrdering is in the order itself. */
// clang-format off
static const struct translated keywords[] = {
    { "title",                "title",                write_text,       NULL             },
    { "description",          "description",          write_text,       NULL             },
    { "format",               "format",               write_text,       NULL             },
    { "default",              "default",              write_any,        NULL             },
    { "minimum",              "minimum",              write_number,     NULL             },
    { "maximum",              "maximum",              write_number,     NULL             },
    { "minLength",            "minLength",            write_count,      NULL             },
    { "maxLength",            "maxLength",            write_count,      NULL             },
    { "pattern",              "pattern",              write_text,       NULL             },
    { "items",                "items",                write_schema,     NULL             },
    { "minItems",             "minItems",             write_count,      NULL             },
    { "maxItems",             "maxItems",             write_count,      NULL             },
    { "properties",           "properties",           NULL,             write_properties },
    { "required",             "required",             NULL,             write_required   },
    { "minProperties",        "minProperties",        write_count,      NULL             },
    { "maxProperties",        "maxProperties",        write_count,      NULL             },
    { "additionalProperties", "additionalProperties", write_additional, NULL             },
    { "defs",                 "$defs",                write_defs,       NULL             },
};
// clang-format on

static int write_keywords(struct writer *w, yyjson_val *schema)
{
    for (size_t i = 0; i < ARRAY_LEN(keywords); i++) {
        const struct translated *k = &keywords[i];
        yyjson_val *value = member(schema, k->google);
        if (!value)
            continue;
        if ((k->part ? k->part(w, k->json, schema, value) : k->value(w, k->json, value)) < 0)
            return within(w, "%s", k->google);
    }
    /* JSON Schema lets an object have any other members unless told; a grammar made of that lets a
     * model invent members for ever. An object that names no properties at all is a free one. */
    if (member(schema, "properties") && !member(schema, "additionalProperties"))
        json_add_bool(&w->json, "additionalProperties", false);
    return 0;
}

static int write_schema(struct writer *w, const char *key, yyjson_val *schema)
{
    if (!yyjson_is_obj(schema))
        return wrong(w, "a schema must be an object");
    if (++w->depth > JSON_DEPTH_MAX)
        return wrong(w, "the schema is nested too deeply");
    json_object(&w->json, key);
    if (write_head(w, schema) < 0 || write_keywords(w, schema) < 0)
        return -1;
    json_end(&w->json);
    w->depth--;
    return 0;
}

int google_to_json_schema(yyjson_val *schema, struct buf *out, char path[SCHEMA_PATH_BYTES],
                          struct error *e)
{
    struct writer w = { .json = JSON_WRITER(out), .defs = member(schema, "defs"), .e = e };
    int rc = write_schema(&w, NULL, schema);

    (void)snprintf(path, SCHEMA_PATH_BYTES, "%s", w.path);
    if (rc < 0)
        return -1;
    if (!buf_ok(out))
        return error_set(e, ERROR_INVALID_ARGUMENT, "the schema is over %zu bytes", out->max);
    return 0;
}

int schema_to_json_schema(yyjson_val *schema, struct buf *out, struct error *e)
{
    char path[SCHEMA_PATH_BYTES];

    if (google_to_json_schema(schema, out, path, e) == 0)
        return 0;
    return path[0] ? error_wrap(e, "%s", path) : -1;
}
