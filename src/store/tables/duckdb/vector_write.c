/* vector_write.c -- vectors.h: cells as values of chunks, and as values to bind. */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "format/bigquery/civil.h"
#include "store/tables/duckdb/vectors.h"

#define NUMERIC_SCALE 9
#define NUMERIC_DIGITS 38

/* A value on its way into a vector: a cell's text, or what a nested cell has at its place. */
struct value {
    bool null;
    struct str text;
    yyjson_val *json; /* of a list or a record: the array or the object */
};

/* The state of one column while it is written. */
struct writing {
    const struct duckdb_library *duckdb;
    struct arena arena;
    struct error *error;
};

static int refuse(struct writing *w, const struct bq_field *f, struct str text)
{
    return error_set(w->error, ERROR_INVALID_ARGUMENT,
                     "Cannot convert value to %s (bad value): %.*s (field %.*s)",
                     bq_type_name(f->type), STR_ARG(str_cut(text, 100)),
                     STR_ARG(str_cut(f->name, 200)));
}

/* ---- Texts as values ---- */

static bool read_int64(struct str text, int64_t *out)
{
    bool negative = text.len && text.p[0] == '-';
    uint64_t v;

    if (text.len && (text.p[0] == '-' || text.p[0] == '+'))
        text = str_sub(text, 1, text.len);
    if (!str_number(text, &v) || v > (uint64_t)INT64_MAX + negative)
        return false;
    *out = (int64_t)(negative ? 0 - v : v);
    return true;
}

static bool read_double(struct str text, double *out)
{
    char copy[400], *end;

    if (!text.len || text.len >= sizeof copy)
        return false;
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    *out = strtod(copy, &end);
    return end == copy + text.len;
}

/* n * 10 + digit; false when it passes 38 digits, which `digits` counts. */
static void wide_push(duckdb_uhugeint *n, unsigned digit)
{
    uint64_t low = (n->lower & UINT32_MAX) * 10 + digit;
    uint64_t high = (n->lower >> 32) * 10 + (low >> 32);

    n->lower = high << 32 | (low & UINT32_MAX);
    n->upper = n->upper * 10 + (high >> 32);
}

/* A decimal without an exponent as a number of 9 decimals. */
static bool read_numeric(struct str text, duckdb_hugeint *out)
{
    duckdb_uhugeint n = { 0, 0 };
    unsigned digits = 0, decimals = 0;
    bool negative = text.len && text.p[0] == '-', fraction = false, any = false;

    for (size_t i = text.len && (text.p[0] == '-' || text.p[0] == '+'); i < text.len; i++) {
        char c = text.p[i];
        if (c == '.' && !fraction) {
            fraction = true;
            continue;
        }
        if (c < '0' || c > '9' || (fraction && ++decimals > NUMERIC_SCALE))
            return false;
        any = true;
        digits += digits || c != '0';
        wide_push(&n, (unsigned)(c - '0'));
        if (digits + (NUMERIC_SCALE - decimals) > NUMERIC_DIGITS && digits)
            return false;
    }
    for (; decimals < NUMERIC_SCALE; decimals++)
        wide_push(&n, 0);
    if (negative) {
        n.lower = ~n.lower + 1;
        n.upper = ~n.upper + (n.lower == 0);
    }
    *out = (duckdb_hugeint){ n.lower, (int64_t)n.upper };
    return any;
}

static bool read_part(struct str *rest, char end, int64_t *out)
{
    size_t at = 0;

    while (at < rest->len && rest->p[at] != end)
        at++;
    bool whole = at < rest->len || end == '\0';
    bool ok = whole && read_int64(str_sub(*rest, 0, at), out);
    *rest = str_sub(*rest, at + 1, rest->len);
    return ok;
}

/* [-]Y-M [-]D [-]H:M:S[.F] */
static bool read_interval(struct str text, duckdb_interval *out)
{
    bool back = text.len && text.p[0] == '-', back_time;
    int64_t years, months, days, us;
    struct str rest = back ? str_sub(text, 1, text.len) : text;
    int64_t hours, minutes;

    if (!read_part(&rest, '-', &years) || !read_part(&rest, ' ', &months) ||
        !read_part(&rest, ' ', &days))
        return false;
    back_time = rest.len && rest.p[0] == '-';
    if (back_time)
        rest = str_sub(rest, 1, rest.len);
    if (!read_part(&rest, ':', &hours) || !read_part(&rest, ':', &minutes))
        return false;
    double seconds;
    if (!read_double(rest, &seconds) || seconds < 0 || seconds >= 60 || years > 10000 ||
        months > 11 || days > 3660000 || days < -3660000 || hours > 87840000 || minutes > 59)
        return false;
    us = (hours * 3600 + minutes * 60) * 1000000 + (int64_t)(seconds * 1000000 + 0.5);
    out->months = (int32_t)(years * 12 + months) * (back ? -1 : 1);
    out->days = (int32_t)days;
    out->micros = back_time ? -us : us;
    return true;
}

static bool read_bytes(struct writing *w, struct str text, struct str *out)
{
    size_t len = text.len;
    char *bytes = arena_alloc_raw(&w->arena, text.len + 4);

    *out = (struct str){ bytes, 0 };
    if (text.len && !base64_read(text, false, bytes, &len))
        return false;
    out->len = text.len ? len : 0;
    return true;
}

/* ---- Scalars into a vector ---- */

static bool write_fixed(const struct bq_field *f, struct str text, void *data, uint64_t row)
{
    int64_t *wide = data;

    switch (f->type) {
    case BQ_INTEGER:
    case BQ_TIMESTAMP:
        return read_int64(text, &wide[row]);
    case BQ_FLOAT:
        return read_double(text, &((double *)data)[row]);
    case BQ_BOOLEAN:
        ((bool *)data)[row] = str_eq_c(text, "true");
        return ((bool *)data)[row] || str_eq_c(text, "false");
    case BQ_NUMERIC:
        return read_numeric(text, &((duckdb_hugeint *)data)[row]);
    case BQ_DATE: {
        int64_t days;
        if (!civil_read_date(text, &days))
            return false;
        ((int32_t *)data)[row] = (int32_t)days;
        return true;
    }
    case BQ_TIME:
        return civil_read_time(text, &wide[row]);
    case BQ_DATETIME:
        return civil_read_datetime(text, &wide[row]);
    default:
        assert(f->type == BQ_INTERVAL);
        return read_interval(text, &((duckdb_interval *)data)[row]);
    }
}

static bool is_text(enum bq_type type)
{
    return type == BQ_STRING || type == BQ_JSON || type == BQ_GEOGRAPHY || type == BQ_BIGNUMERIC ||
           type == BQ_RANGE;
}

static int write_scalars(struct writing *w, duckdb_vector vector, const struct bq_field *f,
                         const struct value *value, uint64_t count)
{
    const struct duckdb_library *d = w->duckdb;
    void *data = d->vector_get_data(vector);
    uint64_t *validity;

    d->vector_ensure_validity_writable(vector);
    validity = d->vector_get_validity(vector);
    for (uint64_t i = 0; i < count; i++) {
        struct str text = value[i].text;
        if (value[i].null) {
            d->validity_set_row_invalid(validity, i);
        } else if (is_text(f->type)) {
            if (str_utf8_valid(text) != text.len)
                return refuse(w, f, text);
            d->unsafe_vector_assign_string_element_len(vector, i, text.p, text.len);
        } else if (f->type == BQ_BYTES) {
            struct str bytes;
            if (!read_bytes(w, text, &bytes))
                return refuse(w, f, text);
            d->unsafe_vector_assign_string_element_len(vector, i, bytes.p, bytes.len);
        } else if (!write_fixed(f, text, data, i)) {
            return refuse(w, f, text);
        }
    }
    return 0;
}

/* ---- Nested values ---- */

/* {"v": x}: x is null, a text, or nested. */
static struct value value_of(yyjson_val *wrapped)
{
    yyjson_val *v = json_get(wrapped, "v");

    return (struct value){ .null = !v || yyjson_is_null(v), .text = json_str(v), .json = v };
}

static int write_values(struct writing *w, duckdb_vector vector, const struct bq_field *f,
                        const struct value *value, uint64_t count);

static int write_records(struct writing *w, duckdb_vector vector, const struct bq_field *f,
                         const struct value *value, uint64_t count)
{
    const struct duckdb_library *d = w->duckdb;
    struct value *part = arena_array(&w->arena, count, sizeof *part);

    d->vector_ensure_validity_writable(vector);
    for (uint64_t i = 0; i < count; i++)
        if (value[i].null)
            d->validity_set_row_invalid(d->vector_get_validity(vector), i);
    for (uint32_t c = 0; c < f->field_count; c++) {
        for (uint64_t i = 0; i < count; i++) {
            part[i] = (struct value){ .null = true };
            if (value[i].null)
                continue;
            yyjson_val *fields = json_get(value[i].json, "f");
            if (yyjson_arr_size(fields) != f->field_count)
                return refuse(w, f, STR("a record with another number of fields"));
            part[i] = value_of(yyjson_arr_get(fields, c));
        }
        if (write_values(w, d->struct_vector_get_child(vector, c), &f->fields[c], part, count) < 0)
            return -1;
    }
    return 0;
}

/* A null array is an empty one. All elements go to the list's child vector, one after the other. */
static int write_lists(struct writing *w, duckdb_vector vector, const struct bq_field *f,
                       const struct value *value, uint64_t count)
{
    const struct duckdb_library *d = w->duckdb;
    struct bq_field element = *f;
    duckdb_list_entry *entry = d->vector_get_data(vector);
    uint64_t total = 0;

    for (uint64_t i = 0; i < count; i++) {
        if (!value[i].null && !yyjson_is_arr(value[i].json))
            return refuse(w, f, STR("a value that is not an array"));
        entry[i] = (duckdb_list_entry){ total, value[i].null ? 0 : yyjson_arr_size(value[i].json) };
        total += entry[i].length;
    }
    struct value *all = arena_array(&w->arena, total, sizeof *all);
    for (uint64_t i = 0, at = 0; i < count; i++) {
        yyjson_val *item;
        size_t index, max;
        if (!entry[i].length)
            continue;
        yyjson_arr_foreach(value[i].json, index, max, item)
        {
            all[at] = value_of(item);
            if (all[at++].null)
                return error_set(w->error, ERROR_INVALID_ARGUMENT,
                                 "Only optional fields can be set to NULL. Field: %.*s; Value: "
                                 "NULL (an array cannot have a null element)",
                                 STR_ARG(str_cut(f->name, 200)));
        }
    }
    element.mode = BQ_NULLABLE;
    if (d->list_vector_reserve(vector, total) != DuckDBSuccess ||
        d->list_vector_set_size(vector, total) != DuckDBSuccess)
        return error_set(w->error, ERROR_INTERNAL, "The table engine has no room for a list.");
    return write_values(w, d->list_vector_get_child(vector), &element, all, total);
}

static int write_values(struct writing *w, duckdb_vector vector, const struct bq_field *f,
                        const struct value *value, uint64_t count)
{
    if (f->mode == BQ_REPEATED)
        return write_lists(w, vector, f, value, count);
    if (f->type == BQ_RECORD)
        return write_records(w, vector, f, value, count);
    return write_scalars(w, vector, f, value, count);
}

/* ---- A chunk ---- */

static bool is_nested(const struct bq_field *f)
{
    return f->mode == BQ_REPEATED || f->type == BQ_RECORD;
}

static int value_of_cell(struct writing *w, const struct bq_field *f, struct bq_cell cell,
                         struct value *out)
{
    size_t at;

    *out = (struct value){ .null = cell.null, .text = cell.text };
    if (cell.null || !is_nested(f))
        return 0;
    out->json = json_parse(&w->arena, cell.text, &at, w->error);
    return out->json ? 0 : -1;
}

static int write_column(struct writing *w, duckdb_vector vector, const struct bq_batch *batch,
                        const struct bq_field *f, const struct bq_cell *cell, uint32_t rows)
{
    struct value *value = arena_array(&w->arena, rows, sizeof *value);

    for (uint32_t r = 0; r < rows; r++)
        if (value_of_cell(w, f, cell[(size_t)r * batch->columns], &value[r]) < 0)
            return -1;
    return write_values(w, vector, f, value, rows);
}

int vectors_write(const struct part *part, const struct bq_schema *schema,
                  const struct bq_batch *batch, struct error *e)
{
    const struct duckdb_library *d = part->duckdb;
    struct writing w = { .duckdb = d, .error = e };
    int rc = 0;

    assert(batch->columns == schema->count && part->from + part->rows <= batch->rows);
    d->data_chunk_reset(part->chunk);
    for (uint32_t c = 0; c < schema->count && rc == 0; c++) {
        const struct bq_cell *cell = batch->cell + (size_t)part->from * batch->columns + c;
        rc = write_column(&w, d->data_chunk_get_vector(part->chunk, c), batch, &schema->field[c],
                          cell, part->rows);
        arena_reset(&w.arena);
    }
    d->data_chunk_set_size(part->chunk, part->rows);
    arena_release(&w.arena);
    return rc;
}

/* ---- Values to bind ---- */

static duckdb_value scalar_value(struct writing *w, const struct bq_field *f, struct str text)
{
    const struct duckdb_library *d = w->duckdb;
    union {
        int64_t wide;
        double real;
        bool truth;
        int32_t days;
        duckdb_hugeint huge;
        duckdb_interval interval;
    } v = { 0 };
    struct str bytes;

    if (is_text(f->type))
        return d->create_varchar_length(text.p ? text.p : "", text.len);
    if (f->type == BQ_BYTES)
        return read_bytes(w, text, &bytes) ? d->create_blob((const uint8_t *)bytes.p, bytes.len)
                                           : NULL;
    if (!write_fixed(f, text, &v, 0))
        return NULL;
    switch (f->type) {
    case BQ_FLOAT:
        return d->create_double(v.real);
    case BQ_BOOLEAN:
        return d->create_bool(v.truth);
    case BQ_NUMERIC:
        return d->create_decimal((duckdb_decimal){ NUMERIC_DIGITS, NUMERIC_SCALE, v.huge });
    case BQ_DATE:
        return d->create_date((duckdb_date){ v.days });
    case BQ_TIME:
        return d->create_time((duckdb_time){ v.wide });
    case BQ_DATETIME:
        return d->create_timestamp((duckdb_timestamp){ v.wide });
    case BQ_TIMESTAMP:
        return d->create_timestamp_tz((duckdb_timestamp){ v.wide });
    case BQ_INTERVAL:
        return d->create_interval(v.interval);
    default:
        return d->create_int64(v.wide);
    }
}

static duckdb_value make_value(struct writing *w, const struct bq_field *f, struct value v);

/* The parts' values make the whole's; they are destroyed here. NULL when one of them could not be made. */
static duckdb_value nested_value(struct writing *w, const struct bq_field *f, struct value v)
{
    const struct duckdb_library *d = w->duckdb;
    bool list = f->mode == BQ_REPEATED;
    yyjson_val *parts = list ? v.json : json_get(v.json, "f");
    size_t count = v.null ? 0 : yyjson_arr_size(parts), made = 0;
    struct bq_field element = *f;
    duckdb_value out = NULL;

    if (!list && count != f->field_count)
        return NULL;
    element.mode = BQ_NULLABLE;
    duckdb_value *value = arena_array(&w->arena, count + 1, sizeof(duckdb_value));
    for (; made < count; made++) {
        value[made] = make_value(w, list ? &element : &f->fields[made],
                                 value_of(yyjson_arr_get(parts, made)));
        if (!value[made])
            break;
    }
    duckdb_logical_type type = vectors_type(d, list ? &element : f);
    if (made == count)
        out = list ? d->create_list_value(type, value, count) : d->create_struct_value(type, value);
    d->destroy_logical_type(&type);
    for (size_t i = 0; i < made; i++)
        d->destroy_value(&value[i]);
    return out;
}

static duckdb_value make_value(struct writing *w, const struct bq_field *f, struct value v)
{
    if (v.null && f->mode != BQ_REPEATED)
        return w->duckdb->create_null_value();
    if (is_nested(f))
        return nested_value(w, f, v);
    return scalar_value(w, f, v.text);
}

duckdb_value vectors_value(const struct duckdb_library *d, const struct bq_field *f,
                           struct bq_cell cell, struct error *e)
{
    struct writing w = { .duckdb = d, .error = e };
    duckdb_value out = NULL;
    struct value v;

    if (value_of_cell(&w, f, cell, &v) == 0) {
        out = make_value(&w, f, v);
        if (!out)
            (void)refuse(&w, f, cell.text);
    }
    arena_release(&w.arena);
    return out;
}
