/* shape.c -- types of DuckDB as columns of BigQuery, and back. */
#include <assert.h>

#include "store/tables/duckdb/vectors.h"

/* Types that are columns as they are. Integers of all widths become INTEGER: a value that does not fit is an
 * error when it is written. */
// clang-format off
static const struct { duckdb_type id; enum bq_type type; } plain[] = {
    { DUCKDB_TYPE_SQLNULL, BQ_INTEGER },      { DUCKDB_TYPE_BOOLEAN, BQ_BOOLEAN },
    { DUCKDB_TYPE_TINYINT, BQ_INTEGER },      { DUCKDB_TYPE_SMALLINT, BQ_INTEGER },
    { DUCKDB_TYPE_INTEGER, BQ_INTEGER },      { DUCKDB_TYPE_BIGINT, BQ_INTEGER },
    { DUCKDB_TYPE_UTINYINT, BQ_INTEGER },     { DUCKDB_TYPE_USMALLINT, BQ_INTEGER },
    { DUCKDB_TYPE_UINTEGER, BQ_INTEGER },     { DUCKDB_TYPE_UBIGINT, BQ_INTEGER },
    { DUCKDB_TYPE_HUGEINT, BQ_INTEGER },      { DUCKDB_TYPE_FLOAT, BQ_FLOAT },
    { DUCKDB_TYPE_DOUBLE, BQ_FLOAT },         { DUCKDB_TYPE_TIMESTAMP, BQ_DATETIME },
    { DUCKDB_TYPE_TIMESTAMP_S, BQ_DATETIME }, { DUCKDB_TYPE_TIMESTAMP_MS, BQ_DATETIME },
    { DUCKDB_TYPE_TIMESTAMP_NS, BQ_DATETIME },{ DUCKDB_TYPE_TIMESTAMP_TZ, BQ_TIMESTAMP },
    { DUCKDB_TYPE_DATE, BQ_DATE },            { DUCKDB_TYPE_TIME, BQ_TIME },
    { DUCKDB_TYPE_INTERVAL, BQ_INTERVAL },    { DUCKDB_TYPE_VARCHAR, BQ_STRING },
    { DUCKDB_TYPE_BLOB, BQ_BYTES },           { DUCKDB_TYPE_DECIMAL, BQ_NUMERIC },
    { DUCKDB_TYPE_ENUM, BQ_STRING },          { DUCKDB_TYPE_UUID, BQ_STRING },
    { DUCKDB_TYPE_STRUCT, BQ_RECORD },
};
/* Types that are texts to the engine, told apart by an alias (project.c makes all but JSON). */
static const struct { const char *alias; enum bq_type type; } aliased[] = {
    { "JSON", BQ_JSON }, { "BIGNUMERIC", BQ_BIGNUMERIC }, { "GEOGRAPHY", BQ_GEOGRAPHY }, { "RANGE", BQ_RANGE },
};
// clang-format on

static int refuse(struct str name, const char *why, struct error *e)
{
    return error_set(e, ERROR_UNIMPLEMENTED, "Column %.*s: %s", STR_ARG(str_cut(name, 200)), why);
}

static enum bq_type type_of_text(const struct duckdb_library *d, duckdb_logical_type type)
{
    char *alias = d->logical_type_get_alias(type);
    enum bq_type found = BQ_STRING;

    for (size_t i = 0; alias && i < ARRAY_LEN(aliased); i++)
        if (str_eq_c(str_of(alias), aliased[i].alias))
            found = aliased[i].type;
    d->free(alias);
    return found;
}

static void read_decimal(const struct duckdb_library *d, duckdb_logical_type type,
                         struct shape *out)
{
    uint8_t width = d->decimal_width(type);

    out->scale = d->decimal_scale(type);
    out->stored = d->decimal_internal_type(type);
    if (out->scale > 9 || width - out->scale > 29)
        out->field.type = BQ_BIGNUMERIC;
}

static void read_words(const struct duckdb_library *d, duckdb_logical_type type, struct arena *a,
                       struct shape *out)
{
    uint32_t count = d->enum_dictionary_size(type);

    out->stored = d->enum_internal_type(type);
    out->word = arena_array(a, count, sizeof *out->word);
    for (uint32_t i = 0; i < count; i++) {
        char *word = d->enum_dictionary_value(type, i);
        out->word[i] = str_of(word);
        out->word[i].p = arena_copy(a, word, out->word[i].len);
        d->free(word);
    }
}

static int read_fields(const struct duckdb_library *d, duckdb_logical_type type, struct arena *a,
                       struct shape *out, struct error *e)
{
    out->child_count = (uint32_t)d->struct_type_child_count(type);
    out->child = arena_array(a, out->child_count, sizeof *out->child);
    for (uint32_t i = 0; i < out->child_count; i++) {
        char *name = d->struct_type_child_name(type, i);
        struct str kept = str_of(name);
        kept.p = arena_copy(a, name, kept.len);
        d->free(name);
        if (shape_of(d, d->struct_type_child_type(type, i), kept, a, &out->child[i], e) < 0)
            return -1;
    }
    struct bq_schema fields = shapes_schema(a, out->child, out->child_count);
    out->field.fields = fields.field;
    out->field.field_count = fields.count;
    return 0;
}

/* A MAP lies in memory as a list of STRUCT(key, value). */
static int read_map(const struct duckdb_library *d, duckdb_logical_type type, struct arena *a,
                    struct shape *out, struct error *e)
{
    struct shape *pair = out->child;

    pair->id = DUCKDB_TYPE_STRUCT;
    pair->child = arena_array(a, 2, sizeof *pair->child);
    pair->child_count = 2;
    if (shape_of(d, d->map_type_key_type(type), STR("key"), a, &pair->child[0], e) < 0 ||
        shape_of(d, d->map_type_value_type(type), STR("value"), a, &pair->child[1], e) < 0)
        return -1;
    struct bq_schema fields = shapes_schema(a, pair->child, 2);
    pair->field = (struct bq_field){
        .type = BQ_RECORD, .mode = BQ_NULLABLE, .fields = fields.field, .field_count = 2
    };
    return 0;
}

static int read_list(const struct duckdb_library *d, duckdb_logical_type type, struct arena *a,
                     struct shape *out, struct error *e)
{
    struct str name = out->field.name;
    int rc;

    out->child = arena_alloc(a, sizeof *out->child);
    out->child_count = 1;
    if (out->id == DUCKDB_TYPE_MAP) {
        rc = read_map(d, type, a, out, e);
    } else {
        bool list = out->id == DUCKDB_TYPE_LIST;
        out->array_size = list ? 0 : d->array_type_array_size(type);
        rc = shape_of(d, list ? d->list_type_child_type(type) : d->array_type_child_type(type),
                      name, a, out->child, e);
    }
    if (rc < 0)
        return -1;
    if (out->child->field.mode == BQ_REPEATED)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "Cannot construct array with element type ARRAY because nested arrays "
                         "are not supported (column %.*s)",
                         STR_ARG(str_cut(name, 200)));
    out->field = out->child->field;
    out->field.name = name;
    out->field.mode = BQ_REPEATED;
    return 0;
}

static int shape_read(const struct duckdb_library *d, duckdb_logical_type type, struct str name,
                      struct arena *a, struct shape *out, struct error *e)
{
    *out = (struct shape){ .id = d->get_type_id(type),
                           .field = { .name = name, .mode = BQ_NULLABLE } };
    out->stored = out->id;
    if (out->id == DUCKDB_TYPE_LIST || out->id == DUCKDB_TYPE_ARRAY || out->id == DUCKDB_TYPE_MAP)
        return read_list(d, type, a, out, e);
    for (size_t i = 0; i < ARRAY_LEN(plain); i++) {
        if (plain[i].id != out->id)
            continue;
        out->field.type = plain[i].type;
        if (out->id == DUCKDB_TYPE_VARCHAR)
            out->field.type = type_of_text(d, type);
        else if (out->id == DUCKDB_TYPE_DECIMAL)
            read_decimal(d, type, out);
        else if (out->id == DUCKDB_TYPE_ENUM)
            read_words(d, type, a, out);
        else if (out->id == DUCKDB_TYPE_STRUCT)
            return read_fields(d, type, a, out, e);
        return 0;
    }
    return refuse(name, "Values of this type cannot be a column.", e);
}

int shape_of(const struct duckdb_library *d, duckdb_logical_type type, struct str name,
             struct arena *a, struct shape *out, struct error *e)
{
    int rc = shape_read(d, type, name, a, out, e);

    d->destroy_logical_type(&type);
    return rc;
}

struct bq_schema shapes_schema(struct arena *a, const struct shape *shape, uint32_t count)
{
    struct bq_schema out = { arena_array(a, count, sizeof *out.field), count };

    for (uint32_t i = 0; i < count; i++)
        out.field[i] = shape[i].field;
    return out;
}

/* ---- From columns of BigQuery ---- */

static duckdb_logical_type type_of_record(const struct duckdb_library *d, const struct bq_field *f)
{
    duckdb_logical_type *type = mem_array(f->field_count, sizeof(duckdb_logical_type));
    const char **name = mem_array(f->field_count, sizeof *name);
    struct arena a = { 0 };

    for (uint32_t i = 0; i < f->field_count; i++) {
        type[i] = vectors_type(d, &f->fields[i]);
        name[i] = arena_copy(&a, f->fields[i].name.p, f->fields[i].name.len);
    }
    duckdb_logical_type out = d->create_struct_type(type, name, f->field_count);
    for (uint32_t i = 0; i < f->field_count; i++)
        d->destroy_logical_type(&type[i]);
    arena_release(&a);
    mem_free(name);
    mem_free(type);
    return out;
}

static duckdb_logical_type type_of_value(const struct duckdb_library *d, const struct bq_field *f)
{
    static const duckdb_type ids[BQ_TYPE_COUNT] = {
        [BQ_STRING] = DUCKDB_TYPE_VARCHAR,     [BQ_BYTES] = DUCKDB_TYPE_BLOB,
        [BQ_INTEGER] = DUCKDB_TYPE_BIGINT,     [BQ_FLOAT] = DUCKDB_TYPE_DOUBLE,
        [BQ_BOOLEAN] = DUCKDB_TYPE_BOOLEAN,    [BQ_TIMESTAMP] = DUCKDB_TYPE_TIMESTAMP_TZ,
        [BQ_DATE] = DUCKDB_TYPE_DATE,          [BQ_TIME] = DUCKDB_TYPE_TIME,
        [BQ_DATETIME] = DUCKDB_TYPE_TIMESTAMP, [BQ_BIGNUMERIC] = DUCKDB_TYPE_VARCHAR,
        [BQ_JSON] = DUCKDB_TYPE_VARCHAR,       [BQ_GEOGRAPHY] = DUCKDB_TYPE_VARCHAR,
        [BQ_INTERVAL] = DUCKDB_TYPE_INTERVAL,  [BQ_RANGE] = DUCKDB_TYPE_VARCHAR,
    };

    if (f->type == BQ_RECORD)
        return type_of_record(d, f);
    if (f->type == BQ_NUMERIC)
        return d->create_decimal_type(38, 9);
    duckdb_logical_type out = d->create_logical_type(ids[f->type]);
    for (size_t i = 0; i < ARRAY_LEN(aliased); i++)
        if (aliased[i].type == f->type)
            d->logical_type_set_alias(out, aliased[i].alias);
    return out;
}

duckdb_logical_type vectors_type(const struct duckdb_library *d, const struct bq_field *f)
{
    duckdb_logical_type element = type_of_value(d, f);

    if (f->mode != BQ_REPEATED)
        return element;
    duckdb_logical_type list = d->create_list_type(element);
    d->destroy_logical_type(&element);
    return list;
}
