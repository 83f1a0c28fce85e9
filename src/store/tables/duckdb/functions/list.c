/* list.c -- functions on arrays that need types: indexes, ranges, RANGE_BUCKET; patterns of regular expressions. */
#include <string.h>

#include "store/tables/duckdb/functions/numeric.h"

/* ---- Indexes: a place for DuckDB, which counts from 1 ---- */

/* An index as written (OFFSET from 0, ORDINAL from 1) and the array's length. */
static enum call_outcome place(struct call *c, int64_t first)
{
    int64_t i = arg_int(c, 0), count = arg_int(c, 1);

    if (i < first || i - first >= count)
        return call_refuse(c,
                           first ? "Array index %lld is out of bounds (ordinal)"
                                 : "Array index %lld is out of bounds (offset)",
                           (long long)i);
    return out_int(c, i - first + 1);
}

static enum call_outcome offset(struct call *c)
{
    return place(c, 0);
}

static enum call_outcome ordinal(struct call *c)
{
    return place(c, 1);
}

/* ARRAY_FIRST and ARRAY_LAST give the array's length, which must not be 0. */
static enum call_outcome first_place(struct call *c)
{
    if (arg_int(c, 0) == 0)
        return call_refuse(c, "ARRAY_FIRST cannot get the first element of an empty array");
    return out_int(c, 1);
}

static enum call_outcome last_place(struct call *c)
{
    if (arg_int(c, 0) == 0)
        return call_refuse(c, "ARRAY_LAST cannot get the last element of an empty array");
    return out_int(c, arg_int(c, 0));
}

/* ---- Limits of what is joined ---- */

/* Counts the bytes of the texts of one value, or of an array's elements; false: they are too many. */
static bool takes_texts(struct call *c, const struct call_column *column, idx_t from, idx_t count,
                        size_t *bytes)
{
    for (idx_t i = from; i < from + count; i++)
        if (column_valid(column, i)) {
            *bytes += text_at(column->data, i).len;
            if (!call_takes(c, text_at(column->data, i).len))
                return false;
        }
    return true;
}

static duckdb_type type_of(const struct call *c, duckdb_vector v)
{
    duckdb_logical_type type = c->duckdb->vector_get_column_type(v);
    duckdb_type id = c->duckdb->get_type_id(type);

    c->duckdb->destroy_logical_type(&type);
    return id;
}

static bool is_text(const struct call *c, duckdb_vector v)
{
    duckdb_type id = type_of(c, v);

    return id == DUCKDB_TYPE_VARCHAR || id == DUCKDB_TYPE_BLOB;
}

/* Two texts or arrays come to a value within the limits: true, or an error. */
static enum call_outcome joins(struct call *c)
{
    size_t bytes = 0, elements = 0;

    for (uint32_t i = 0; i < c->arguments; i++) {
        duckdb_vector v = c->argument[i].vector;
        if (arg_null(c, i))
            continue;
        if (is_text(c, v) && !takes_texts(c, &c->argument[i], c->row, 1, &bytes))
            return CALL_ERROR;
        if (type_of(c, v) != DUCKDB_TYPE_LIST)
            continue;
        struct call_list list = arg_list(c, i);
        elements += list.count;
        size_t ignored = 0;
        if (is_text(c, list.column.vector) &&
            !takes_texts(c, &list.column, list.at, list.count, &ignored))
            return CALL_ERROR;
    }
    c->elements += elements;
    if (bytes > CALL_TEXT_MAX)
        return call_refuse(c, "Output of a function is too large: over %zu bytes", CALL_TEXT_MAX);
    if (elements > CALL_LIST_MAX)
        return call_refuse(c, "Output array is too large: over %zu elements", CALL_LIST_MAX);
    if (c->elements > CALL_VECTOR_MAX / sizeof(int64_t))
        return call_refuse(c,
                           "Resources exceeded during query execution: a function's arrays for "
                           "2048 rows are over %zu elements",
                           CALL_VECTOR_MAX / sizeof(int64_t));
    return out_bool(c, true);
}

/* ---- Ranges ---- */

static enum call_outcome generate_int(struct call *c)
{
    int64_t v = arg_int(c, 0), to = arg_int(c, 1), step = c->arguments > 2 ? arg_int(c, 2) : 1;

    if (step == 0)
        return call_refuse(c, "Sequence step cannot be 0.");
    list_begin(c);
    while (step > 0 ? v <= to : v >= to) {
        if (!list_add_int(c, v))
            return CALL_ERROR;
        if (__builtin_add_overflow(v, step, &v))
            break;
    }
    return list_end(c);
}

static enum call_outcome generate_float(struct call *c)
{
    double from = arg_float(c, 0), to = arg_float(c, 1),
           step = c->arguments > 2 ? arg_float(c, 2) : 1;

    if (!(step > 0 || step < 0))
        return call_refuse(c, "Sequence step cannot be 0.");
    list_begin(c);
    for (double n = 0; step > 0 ? from + n * step <= to : from + n * step >= to; n++)
        if (!list_add_float(c, from + n * step))
            return CALL_ERROR;
    return list_end(c);
}

static enum call_outcome generate_numeric(struct call *c)
{
    int128 v = arg_numeric(c, 0), to = arg_numeric(c, 1),
           step = c->arguments > 2 ? arg_numeric(c, 2) : NUMERIC_ONE;

    if (step == 0)
        return call_refuse(c, "Sequence step cannot be 0.");
    list_begin(c);
    for (; step > 0 ? v <= to : v >= to; v += step)
        if (!list_add_numeric(c, v))
            return CALL_ERROR;
    return list_end(c);
}

/* ---- RANGE_BUCKET: how many bounds are at most the point ---- */

/* -1, 0, 1: element i of the bounds is below, at, above the point. */
typedef int (*comparison)(const struct call *c, const struct call_list *bounds, idx_t i);

static int order_int(const struct call *c, const struct call_list *l, idx_t i)
{
    int64_t v = ((const int64_t *)l->column.data)[i], point = arg_int(c, 0);

    return (v > point) - (v < point);
}

static int order_float(const struct call *c, const struct call_list *l, idx_t i)
{
    double v = ((const double *)l->column.data)[i], point = arg_float(c, 0);

    return (v > point) - (v < point);
}

static int order_numeric(const struct call *c, const struct call_list *l, idx_t i)
{
    int128 v = ((const int128 *)l->column.data)[i], point = arg_numeric(c, 0);

    return (v > point) - (v < point);
}

static int order_date(const struct call *c, const struct call_list *l, idx_t i)
{
    int64_t v = ((const int32_t *)l->column.data)[i], point = arg_date(c, 0);

    return (v > point) - (v < point);
}

static int order_text(const struct call *c, const struct call_list *l, idx_t i)
{
    return str_cmp(text_at(l->column.data, i), arg_text(c, 0));
}

static enum call_outcome bucket(struct call *c, comparison order)
{
    struct call_list bounds = arg_list(c, 1);
    idx_t low = bounds.at, high = bounds.at + bounds.count;

    for (idx_t i = low; i < high; i++)
        if (!column_valid(&bounds.column, i))
            return call_refuse(c, "Elements in input array to RANGE_BUCKET cannot be null.");
    while (low < high) {
        idx_t middle = low + (high - low) / 2;
        if (order(c, &bounds, middle) > 0)
            high = middle;
        else
            low = middle + 1;
    }
    return out_int(c, (int64_t)(low - bounds.at));
}

static enum call_outcome bucket_int(struct call *c)
{
    return bucket(c, order_int);
}

static enum call_outcome bucket_float(struct call *c)
{
    return bucket(c, order_float);
}

static enum call_outcome bucket_numeric(struct call *c)
{
    return bucket(c, order_numeric);
}

static enum call_outcome bucket_date(struct call *c)
{
    return bucket(c, order_date);
}

static enum call_outcome bucket_text(struct call *c)
{
    return bucket(c, order_text);
}

/* ---- ARRAY_TO_STRING ---- */

static enum call_outcome join(struct call *c)
{
    struct call_list l = arg_list(c, 0);
    size_t n = 0;

    for (idx_t i = l.at; i < l.at + l.count; i++) {
        bool null = !column_valid(&l.column, i);
        if (null && c->arguments < 3)
            continue;
        if (n++)
            buf_add_str(&c->text, arg_text(c, 1));
        buf_add_str(&c->text, null ? arg_text(c, 2) : text_at(l.column.data, i));
    }
    return out_buffer(c);
}

/* ---- Regular expressions, which DuckDB matches with RE2 ---- */

/* Groups that capture: "(" but for "(?:", "(?i)" and escapes; "(?P<name>" does. */
static int64_t groups(struct str pattern)
{
    int64_t n = 0;
    bool set = false;

    for (size_t i = 0; i < pattern.len; i++) {
        char c = pattern.p[i], next = i + 1 < pattern.len ? pattern.p[i + 1] : '\0';
        if (c == '\\' && next == 'Q') {
            size_t end = str_find(str_sub(pattern, i, pattern.len), STR("\\E"));
            i = end == SIZE_MAX ? pattern.len : i + end + 1;
        } else if (c == '\\') {
            i++;
        } else if (set) {
            set = c != ']';
        } else if (c == '[') {
            set = true;
            i += next == '^';
            i += i + 1 < pattern.len && pattern.p[i + 1] == ']'; /* stands for itself here */
        } else if (c == '(') {
            n += next != '?' ||
                 (i + 2 < pattern.len && (pattern.p[i + 2] == 'P' || pattern.p[i + 2] == '<'));
        }
    }
    return n;
}

/* The group whose text is the result: the first one, or the whole match. */
static enum call_outcome regexp_group(struct call *c)
{
    int64_t n = groups(arg_text(c, 0));

    if (n > 1)
        return call_refuse(
            c, "Regular expressions passed into extraction functions must not have more than 1 "
               "capturing group");
    return out_int(c, n);
}

/* A pattern whose first group is what stands before the n-th match. */
static enum call_outcome regexp_before(struct call *c)
{
    int64_t n = arg_int(c, 1);

    if (n < 1 || n > 1000)
        return call_refuse(c, "Occurrence in REGEXP_INSTR must be from 1 to 1000");
    buf_add_c(&c->text, "(?s:^(");
    if (n > 1)
        buf_addf(&c->text, "(?:.*?(?-s:%.*s)){%lld}", STR_ARG(arg_text(c, 0)), (long long)n - 1);
    buf_addf(&c->text, ".*?))(?:%.*s)", STR_ARG(arg_text(c, 0)));
    return out_buffer(c);
}

// clang-format off
static const struct function rows[] = {
    { "offset", "II:I", offset, 0 }, { "ordinal", "II:I", ordinal, 0 },
    { "first_place", "I:I", first_place, 0 }, { "last_place", "I:I", last_place, 0 },
    { "generate_array", "II:[I", generate_int, 0 }, { "generate_array", "III:[I", generate_int, 0 },
    { "generate_array", "FF:[F", generate_float, 0 }, { "generate_array", "FFF:[F", generate_float, 0 },
    { "generate_array", "NN:[N", generate_numeric, 0 }, { "generate_array", "NNN:[N", generate_numeric, 0 },
    { "range_bucket", "I[I:I", bucket_int, 0 }, { "range_bucket", "F[F:I", bucket_float, 0 },
    { "range_bucket", "N[N:I", bucket_numeric, 0 }, { "range_bucket", "S[S:I", bucket_text, 0 },
    { "range_bucket", "D[D:I", bucket_date, 0 }, { "range_bucket", "Z[Z:I", bucket_int, 0 },
    { "range_bucket", "M[M:I", bucket_int, 0 },
    { "joins", "AA:B", joins, FUNCTION_NULLS },
    { "array_to_string", "[SS:S", join, 0 }, { "array_to_string", "[SSS:S", join, 0 },
    { "array_to_string", "[YY:Y", join, 0 }, { "array_to_string", "[YYY:Y", join, 0 },
    { "regexp_group", "S:I", regexp_group, 0 },
    { "regexp_before", "SI:S", regexp_before, 0 },
};
// clang-format on
const struct function_table functions_list = FUNCTION_TABLE(rows);
