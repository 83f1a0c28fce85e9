#include "format/bigquery/schema.h"

#include <ctype.h>
#include <inttypes.h>
#include <string.h>
#include <strings.h>

static const struct {
    const char *rest, *sql;
} types[BQ_TYPE_COUNT] = {
#define X(code, rest, sql) [BQ_##code] = { rest, sql },
    BQ_TYPES(X)
#undef X
};

/* Further names that SQL has. */
static const struct {
    const char *name;
    enum bq_type type;
} aliases[] = {
    { "INT", BQ_INTEGER },     { "SMALLINT", BQ_INTEGER },      { "BIGINT", BQ_INTEGER },
    { "TINYINT", BQ_INTEGER }, { "BYTEINT", BQ_INTEGER },       { "DECIMAL", BQ_NUMERIC },
    { "FLOAT64", BQ_FLOAT },   { "BIGDECIMAL", BQ_BIGNUMERIC },
};

static const char *const modes[] = {
    [BQ_UNSET] = "",
    [BQ_NULLABLE] = "NULLABLE",
    [BQ_REQUIRED] = "REQUIRED",
    [BQ_REPEATED] = "REPEATED",
};

const char *bq_type_name(enum bq_type t)
{
    return types[t].rest;
}

const char *bq_type_sql(enum bq_type t)
{
    return types[t].sql;
}

static bool same_name(struct str s, const char *name)
{
    return s.len == strlen(name) && (!s.len || strncasecmp(s.p, name, s.len) == 0);
}

bool bq_type_find(struct str name, enum bq_type *out)
{
    for (int t = 0; t < BQ_TYPE_COUNT; t++) {
        *out = (enum bq_type)t;
        if (same_name(name, types[t].rest) || same_name(name, types[t].sql))
            return true;
    }
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++) {
        *out = aliases[i].type;
        if (same_name(name, aliases[i].name))
            return true;
    }
    return false;
}

static bool mode_find(struct str name, enum bq_mode *out)
{
    for (size_t m = BQ_UNSET; m <= BQ_REPEATED; m++) {
        *out = (enum bq_mode)m;
        if (same_name(name, modes[m]))
            return true;
    }
    return false;
}

/* ---- Reading ---- */

struct schema_reading {
    struct arena *arena;
    uint32_t columns; /* so far, with those of records */
    bool stored;      /* reserved names are fine: columns of a query's result may have them */
};

static int reserved_check(struct str name, struct error *e)
{
    static const char *const reserved[] = { "_TABLE_",        "_FILE_",   "_PARTITION",
                                            "_ROW_TIMESTAMP", "__ROOT__", "_COLIDENTIFIER" };

    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (name.len >= strlen(reserved[i]) &&
            strncasecmp(name.p, reserved[i], strlen(reserved[i])) == 0)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Invalid field name \"%.*s\". Field names are not allowed to start "
                             "with the (case-insensitive) prefix %s",
                             STR_ARG(str_cut(name, 64)), reserved[i]);
    return 0;
}

static int name_check(const struct schema_reading *r, struct str name, struct error *e)
{
    bool ok = name.len <= BQ_NAME_BYTES_MAX && str_utf8_valid(name) == name.len;

    if (name.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "A field of the schema has no name.");
    for (size_t i = 0; ok && i < name.len; i++)
        ok = (unsigned char)name.p[i] >= ' ' && !strchr("!\"$()*,./;?@[\\]^`{}~", name.p[i]);
    if (ok)
        return r->stored ? 0 : reserved_check(name, e);
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "Invalid field name \"%.*s\". Fields must contain the allowed characters, and "
                     "be at most %d characters long.",
                     STR_ARG(str_cut(name, 64)), BQ_NAME_BYTES_MAX);
}

/* "precision": "10" or 10. */
static int read_number(yyjson_val *v, const char *key, int64_t *out, struct error *e)
{
    yyjson_val *n = json_get(v, key);
    uint64_t value = 0;

    *out = 0;
    if (!n || yyjson_is_null(n))
        return 0;
    if (!json_count(n, &value) || value > INT64_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid value for %s of a field.", key);
    *out = (int64_t)value;
    return 0;
}

/* The members that no struct member stands for, as an object. */
static struct str read_extra(struct schema_reading *r, yyjson_val *v)
{
    static const char *const known[] = { "name",
                                         "type",
                                         "mode",
                                         "fields",
                                         "maxLength",
                                         "precision",
                                         "scale",
                                         "description",
                                         "defaultValueExpression",
                                         "rangeElementType" };
    struct buf text = BUF_INIT((size_t)64 * 1024);
    struct json_writer w = JSON_WRITER(&text);
    yyjson_obj_iter it = yyjson_obj_iter_with(v);
    struct str extra = { 0 };
    bool any = false;

    json_object(&w, NULL);
    for (yyjson_val *k; (k = yyjson_obj_iter_next(&it));) {
        bool is_known = yyjson_is_null(yyjson_obj_iter_get_val(k));
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            is_known |= str_eq_c(json_str(k), known[i]);
        if (is_known)
            continue;
        json_key(&w, json_str(k));
        json_add_value(&w, NULL, yyjson_obj_iter_get_val(k));
        any = true;
    }
    json_end(&w);
    if (any && buf_ok(&text))
        extra = (struct str){ arena_copy(r->arena, text.p, text.len), text.len };
    buf_release(&text);
    return extra;
}

static int check_unique(const struct bq_field *field, uint32_t count, struct error *e)
{
    if (count > 1000)
        return 0; /* duplicates of wide tables are the engine's to refuse */
    for (uint32_t i = 0; i < count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (field[i].name.len == field[k].name.len &&
                strncasecmp(field[i].name.p, field[k].name.p, field[i].name.len) == 0)
                return error_set(e, ERROR_INVALID_ARGUMENT,
                                 "Duplicate column name '%.*s' in schema.", STR_ARG(field[i].name));
    return 0;
}

static int read_fields(struct schema_reading *r, yyjson_val *list, uint32_t depth,
                       struct bq_field **out, uint32_t *count, struct error *e);

static int read_details(struct schema_reading *r, yyjson_val *v, struct bq_field *f,
                        struct error *e)
{
    struct str range = json_str(json_get(json_get(v, "rangeElementType"), "type"));

    if (f->type == BQ_RANGE && !bq_type_find(range, &f->range_type))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Field %.*s is of type RANGE but has no rangeElementType.",
                         STR_ARG(f->name));
    if (read_number(v, "maxLength", &f->max_length, e) < 0 ||
        read_number(v, "precision", &f->precision, e) < 0 ||
        read_number(v, "scale", &f->scale, e) < 0)
        return -1;
    f->description = json_str(json_get(v, "description"));
    f->default_value = json_str(json_get(v, "defaultValueExpression"));
    f->extra = read_extra(r, v);
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as records, BQ_DEPTH_MAX */
static int read_field(struct schema_reading *r, yyjson_val *v, uint32_t depth, struct bq_field *f,
                      struct error *e)
{
    struct str type = json_str(json_get(v, "type"));

    *f = (struct bq_field){ .name = json_str(json_get(v, "name")) };
    if (name_check(r, f->name, e) < 0)
        return -1;
    if (!bq_type_find(type, &f->type))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Invalid value for type: %.*s is not a valid value", STR_ARG(type));
    if (!mode_find(json_str(json_get(v, "mode")), &f->mode))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Invalid value for mode: %.*s is not a valid value",
                         STR_ARG(json_str(json_get(v, "mode"))));
    if (read_details(r, v, f, e) < 0)
        return -1;
    if (f->type != BQ_RECORD)
        return 0;
    if (read_fields(r, json_get(v, "fields"), depth + 1, &f->fields, &f->field_count, e) < 0)
        return -1;
    if (f->field_count == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Field %.*s is type RECORD but has no schema",
                         STR_ARG(f->name));
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion) */
static int read_fields(struct schema_reading *r, yyjson_val *list, uint32_t depth,
                       struct bq_field **out, uint32_t *count, struct error *e)
{
    uint32_t n = (uint32_t)yyjson_arr_size(list);
    yyjson_arr_iter it = yyjson_arr_iter_with(list);
    yyjson_val *v;

    if (depth > BQ_DEPTH_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "The schema has records deeper than %d levels.",
                         BQ_DEPTH_MAX);
    r->columns += n;
    if (r->columns > BQ_COLUMNS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Too many total leaf fields: more than %d",
                         BQ_COLUMNS_MAX);
    *count = 0;
    *out = n ? arena_array(r->arena, n, sizeof **out) : NULL;
    while ((v = yyjson_arr_iter_next(&it)))
        if (read_field(r, v, depth, &(*out)[(*count)++], e) < 0)
            return -1;
    return check_unique(*out, *count, e);
}

static int read_schema(struct schema_reading *r, yyjson_val *schema, struct bq_schema *out,
                       struct error *e)
{
    yyjson_val *list = yyjson_is_obj(schema) ? json_get(schema, "fields") : schema;

    *out = (struct bq_schema){ 0 };
    if (!list || yyjson_is_null(list))
        return 0;
    if (!yyjson_is_arr(list))
        return error_set(e, ERROR_INVALID_ARGUMENT, "The schema's fields are not a list.");
    return read_fields(r, list, 1, &out->field, &out->count, e);
}

int bq_schema_read(yyjson_val *schema, struct arena *a, struct bq_schema *out, struct error *e)
{
    struct schema_reading r = { .arena = a };

    return read_schema(&r, schema, out, e);
}

static int parse_schema(struct schema_reading *r, struct str json, struct bq_schema *out,
                        struct error *e)
{
    size_t at;
    yyjson_val *v = json.len ? json_parse(r->arena, json, &at, e) : NULL;

    if (json.len && !v)
        return -1;
    return read_schema(r, v, out, e);
}

int bq_schema_parse(struct str json, struct arena *a, struct bq_schema *out, struct error *e)
{
    struct schema_reading r = { .arena = a };

    return parse_schema(&r, json, out, e);
}

int bq_schema_parse_stored(struct str json, struct arena *a, struct bq_schema *out, struct error *e)
{
    struct schema_reading r = { .arena = a, .stored = true };

    return parse_schema(&r, json, out, e);
}

/* ---- Writing ---- */

static void write_extra(struct json_writer *w, struct str extra)
{
    struct json_member m = { 0 };

    while (extra.len && json_member_next(extra, &m)) {
        json_key_raw(w, m.key);
        json_add_raw(w, NULL, m.value);
    }
}

static void write_details(struct json_writer *w, const struct bq_field *f)
{
    if (f->type == BQ_RANGE) {
        json_object(w, "rangeElementType");
        json_add_c(w, "type", bq_type_name(f->range_type));
        json_end(w);
    }
    if (f->max_length)
        json_addf(w, "maxLength", "%" PRId64, f->max_length);
    if (f->precision)
        json_addf(w, "precision", "%" PRId64, f->precision);
    if (f->scale)
        json_addf(w, "scale", "%" PRId64, f->scale);
    if (f->description.len)
        json_add_text(w, "description", f->description);
    if (f->default_value.len)
        json_add_text(w, "defaultValueExpression", f->default_value);
    write_extra(w, f->extra);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as records, BQ_DEPTH_MAX */
static void write_fields(struct json_writer *w, const struct bq_field *field, uint32_t count,
                         bool all_modes)
{
    json_array(w, "fields");
    for (uint32_t i = 0; i < count; i++) {
        const struct bq_field *f = &field[i];
        json_object(w, NULL);
        json_add_text(w, "name", f->name);
        json_add_c(w, "type", bq_type_name(f->type));
        if (f->mode != BQ_UNSET || all_modes)
            json_add_c(w, "mode", modes[f->mode == BQ_UNSET ? BQ_NULLABLE : f->mode]);
        if (f->type == BQ_RECORD)
            write_fields(w, f->fields, f->field_count, all_modes);
        write_details(w, f);
        json_end(w);
    }
    json_end(w);
}

void bq_schema_write(struct json_writer *w, const char *key, const struct bq_schema *s,
                     bool all_modes)
{
    json_object(w, key);
    write_fields(w, s->field, s->count, all_modes);
    json_end(w);
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as records, BQ_DEPTH_MAX */
static void sql_type(struct buf *out, const struct bq_field *f)
{
    buf_add_c(out, bq_type_sql(f->type));
    if (f->type == BQ_RANGE) {
        buf_addf(out, "<%s>", bq_type_sql(f->range_type));
    } else if (f->max_length) {
        buf_addf(out, "(%" PRId64 ")", f->max_length);
    } else if (f->precision) {
        buf_addf(out, "(%" PRId64, f->precision);
        if (f->scale)
            buf_addf(out, ", %" PRId64, f->scale);
        buf_add_char(out, ')');
    } else if (f->type == BQ_RECORD) {
        buf_add_char(out, '<');
        for (uint32_t i = 0; i < f->field_count; i++) {
            buf_addf(out, "%s%.*s%s", i ? ", " : "", STR_ARG(f->fields[i].name),
                     f->fields[i].name.len ? " " : "");
            bq_field_sql(out, &f->fields[i]);
        }
        buf_add_char(out, '>');
    }
}

/* NOLINTNEXTLINE(misc-no-recursion) */
void bq_field_sql(struct buf *out, const struct bq_field *f)
{
    if (f->mode == BQ_REPEATED)
        buf_add_c(out, "ARRAY<");
    sql_type(out, f);
    if (f->mode == BQ_REPEATED)
        buf_add_char(out, '>');
}

/* ---- Finding and copying ---- */

static const struct bq_field *find(const struct bq_field *field, uint32_t count, struct str name)
{
    for (uint32_t i = 0; i < count; i++)
        if (field[i].name.len == name.len && strncasecmp(field[i].name.p, name.p, name.len) == 0)
            return &field[i];
    return NULL;
}

const struct bq_field *bq_schema_find(const struct bq_schema *s, struct str name)
{
    return find(s->field, s->count, name);
}

static struct str copy_str(struct arena *a, struct str s)
{
    return s.len ? (struct str){ arena_copy(a, s.p, s.len), s.len } : (struct str){ 0 };
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as records, BQ_DEPTH_MAX */
static struct bq_field *copy_fields(struct arena *a, const struct bq_field *from, uint32_t count)
{
    struct bq_field *to = count ? arena_array(a, count, sizeof *to) : NULL;

    for (uint32_t i = 0; i < count; i++) {
        to[i] = from[i];
        to[i].name = copy_str(a, from[i].name);
        to[i].description = copy_str(a, from[i].description);
        to[i].default_value = copy_str(a, from[i].default_value);
        to[i].extra = copy_str(a, from[i].extra);
        to[i].fields = copy_fields(a, from[i].fields, from[i].field_count);
    }
    return to;
}

struct bq_schema bq_schema_copy(struct arena *a, const struct bq_schema *s)
{
    return (struct bq_schema){ copy_fields(a, s->field, s->count), s->count };
}
