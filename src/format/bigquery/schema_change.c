/* schema_change.c -- which changes a table's columns may have, and which columns its options may name. */
#include "format/bigquery/schema.h"

static const char *const modes[] = {
    [BQ_UNSET] = "",
    [BQ_NULLABLE] = "NULLABLE",
    [BQ_REQUIRED] = "REQUIRED",
    [BQ_REPEATED] = "REPEATED",
};

static enum bq_mode mode_of(const struct bq_field *f)
{
    return f->mode == BQ_UNSET ? BQ_NULLABLE : f->mode;
}

/* Two lists of fields, and the path to them: "a.b.". */
struct becoming {
    struct str table;
    const char *path;
    struct arena *arena;
};

static int mismatch(const struct becoming *b, struct str field, const char *what, struct error *e)
{
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "Provided Schema does not match Table %.*s. Field %s%.*s %s",
                     STR_ARG(b->table), b->path, STR_ARG(field), what);
}

static int field_may_become(const struct becoming *b, const struct bq_field *old,
                            const struct bq_field *next, struct error *e)
{
    enum bq_mode from = mode_of(old), to = next ? mode_of(next) : BQ_UNSET;

    if (!next)
        return mismatch(b, old->name, "is missing in new schema", e);
    if (next->type != old->type)
        return mismatch(b, old->name,
                        arena_textf(b->arena, "has changed type from %s to %s",
                                    bq_type_name(old->type), bq_type_name(next->type)),
                        e);
    if (from == to || (from == BQ_REQUIRED && to == BQ_NULLABLE))
        return 0;
    return mismatch(b, old->name,
                    arena_textf(b->arena, "has changed mode from %s to %s", modes[from], modes[to]),
                    e);
}

static int new_fields_check(const struct becoming *b, const struct bq_schema *old,
                            const struct bq_schema *next, struct error *e)
{
    for (uint32_t i = 0; i < next->count; i++)
        if (next->field[i].mode == BQ_REQUIRED && !bq_schema_find(old, next->field[i].name))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "Provided Schema does not match Table %.*s. Cannot add required "
                             "fields to an existing schema. (field: %s%.*s)",
                             STR_ARG(b->table), b->path, STR_ARG(next->field[i].name));
    return 0;
}

/* NOLINTNEXTLINE(misc-no-recursion): as deep as records, BQ_DEPTH_MAX */
static int fields_may_become(const struct becoming *b, const struct bq_schema *old,
                             const struct bq_schema *next, struct error *e)
{
    for (uint32_t i = 0; i < old->count; i++) {
        const struct bq_field *f = &old->field[i], *n = bq_schema_find(next, f->name);
        if (field_may_become(b, f, n, e) < 0)
            return -1;
        if (f->type != BQ_RECORD)
            continue;
        const struct becoming deeper = {
            b->table, arena_textf(b->arena, "%s%.*s.", b->path, STR_ARG(f->name)), b->arena
        };
        const struct bq_schema inner = { f->fields, f->field_count };
        const struct bq_schema inner_next = { n->fields, n->field_count };
        if (fields_may_become(&deeper, &inner, &inner_next, e) < 0)
            return -1;
    }
    return new_fields_check(b, old, next, e);
}

int bq_schema_may_become(const struct bq_schema *old, const struct bq_schema *next,
                         struct str table, struct error *e)
{
    struct arena a = { 0 };
    int rc = fields_may_become(&(struct becoming){ table, "", &a }, old, next, e);

    arena_release(&a);
    return rc;
}

static int check_column(const struct bq_schema *s, struct str name, const char *what,
                        struct error *e)
{
    if (name.len == 0 || bq_schema_find(s, name))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "The field specified for %s cannot be found in the schema.", what);
}

int bq_check_columns(yyjson_val *resource, const struct bq_schema *s, struct error *e)
{
    yyjson_val *fields = json_get(json_get(resource, "clustering"), "fields");
    yyjson_arr_iter it = yyjson_arr_iter_with(fields);
    struct str day = json_str(json_get(json_get(resource, "timePartitioning"), "field"));
    struct str range = json_str(json_get(json_get(resource, "rangePartitioning"), "field"));
    yyjson_val *one;

    if (check_column(s, day, "partitioning", e) < 0 ||
        check_column(s, range, "partitioning", e) < 0)
        return -1;
    while ((one = yyjson_arr_iter_next(&it)))
        if (!bq_schema_find(s, json_str(one)))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "The field specified for clustering cannot be found in the schema. "
                             "Invalid field: %.*s",
                             STR_ARG(str_cut(json_str(one), 64)));
    return 0;
}
