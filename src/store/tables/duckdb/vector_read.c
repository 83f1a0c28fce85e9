/* vector_read.c -- vectors.h: values of chunks as cells. */
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "format/bigquery/civil.h"
#include "store/tables/duckdb/vectors.h"

#define CELL_BYTES_MAX ((size_t)1024 * 1024 * 1024)
#define LIMBS 4 /* of 32 bits: a 128-bit number */

/* A vector of one chunk: its data are fetched once. */
struct view {
    const struct shape *shape;
    const void *data;
    const uint64_t *validity;
    struct view *child;
};

static struct view view_of(const struct duckdb_library *d, duckdb_vector vector,
                           const struct shape *s, struct arena *a)
{
    struct view v = { s, d->vector_get_data(vector), d->vector_get_validity(vector),
                      arena_array(a, s->child_count, sizeof *v.child) };

    for (uint32_t i = 0; i < s->child_count; i++) {
        duckdb_vector child = s->id == DUCKDB_TYPE_STRUCT  ? d->struct_vector_get_child(vector, i)
                              : s->id == DUCKDB_TYPE_ARRAY ? d->array_vector_get_child(vector)
                                                           : d->list_vector_get_child(vector);
        v.child[i] = view_of(d, child, &s->child[i], a);
    }
    return v;
}

static bool is_null(const struct view *v, uint64_t row)
{
    return v->shape->id == DUCKDB_TYPE_SQLNULL ||
           (v->validity && !(v->validity[row / 64] >> (row % 64) & 1));
}

/* ---- Numbers ---- */

/* Divides by 10^9 and returns the rest. */
static uint32_t limbs_divide(uint32_t limb[LIMBS])
{
    uint64_t rest = 0;

    for (int i = LIMBS - 1; i >= 0; i--) {
        uint64_t part = rest << 32 | limb[i];
        limb[i] = (uint32_t)(part / 1000000000);
        rest = part % 1000000000;
    }
    return (uint32_t)rest;
}

static void add_int64(struct buf *out, int64_t v)
{
    uint64_t left = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    char digits[20];
    int at = sizeof digits;

    do {
        digits[--at] = (char)('0' + left % 10);
        left /= 10;
    } while (left);
    if (v < 0)
        buf_add_char(out, '-');
    buf_add(out, digits + at, sizeof digits - (size_t)at);
}

/* A number of 128 bits over 10^scale, without zeros at the end of its fraction. */
static void add_decimal(struct buf *out, duckdb_hugeint n, unsigned scale)
{
    bool negative = n.upper < 0;
    uint64_t low = negative ? ~n.lower + 1 : n.lower;
    uint64_t high = negative ? ~(uint64_t)n.upper + (n.lower == 0) : (uint64_t)n.upper;
    uint32_t limb[LIMBS] = { (uint32_t)low, (uint32_t)(low >> 32), (uint32_t)high,
                             (uint32_t)(high >> 32) };
    char digits[46]; /* five groups of nine, from the end */
    int at = 45;

    digits[at] = '\0';
    while (at > 0) {
        uint32_t group = limbs_divide(limb);
        for (int i = 0; i < 9; i++, group /= 10)
            digits[--at] = (char)('0' + group % 10);
    }
    unsigned fraction = scale;
    int end = 45;
    while (fraction > 0 && digits[end - 1] == '0') {
        end--;
        fraction--;
    }
    at = 0;
    while (at < 44 - (int)scale && digits[at] == '0')
        at++;
    if (negative)
        buf_add_char(out, '-');
    buf_add(out, digits + at, (size_t)(45 - (int)scale - at));
    if (fraction) {
        buf_add_char(out, '.');
        buf_add(out, digits + 45 - scale, (size_t)(end - (45 - (int)scale)));
    }
}

static duckdb_hugeint wide(int64_t v)
{
    return (duckdb_hugeint){ (uint64_t)v, v < 0 ? -1 : 0 };
}

static duckdb_hugeint integer_at(const void *data, duckdb_type stored, uint64_t row)
{
    switch (stored) {
    case DUCKDB_TYPE_TINYINT:
        return wide(((const int8_t *)data)[row]);
    case DUCKDB_TYPE_SMALLINT:
        return wide(((const int16_t *)data)[row]);
    case DUCKDB_TYPE_INTEGER:
        return wide(((const int32_t *)data)[row]);
    case DUCKDB_TYPE_UTINYINT:
        return wide(((const uint8_t *)data)[row]);
    case DUCKDB_TYPE_USMALLINT:
        return wide(((const uint16_t *)data)[row]);
    case DUCKDB_TYPE_UINTEGER:
        return wide(((const uint32_t *)data)[row]);
    case DUCKDB_TYPE_UBIGINT:
        return (duckdb_hugeint){ ((const uint64_t *)data)[row], 0 };
    case DUCKDB_TYPE_HUGEINT:
        return ((const duckdb_hugeint *)data)[row];
    default:
        assert(stored == DUCKDB_TYPE_BIGINT);
        return wide(((const int64_t *)data)[row]);
    }
}

/* As BigQuery writes it: 1.0, 1.5, 1.0E20, NaN, Infinity. */
static void add_float(struct buf *out, double v)
{
    if (isnan(v) || isinf(v)) {
        buf_add_c(out, isnan(v) ? "NaN" : v < 0 ? "-Infinity" : "Infinity");
        return;
    }
    size_t from = out->len;
    buf_add_double(out, v);
    if (!buf_ok(out))
        return;
    char text[64];
    struct str written = str_sub(buf_str(out), from, sizeof text - 1);
    memcpy(text, written.p, written.len);
    text[written.len] = '\0';
    char *exponent = strchr(text, 'e');
    bool fraction = strchr(text, '.') != NULL;
    if (!exponent && fraction)
        return;
    out->len = from;
    if (exponent)
        *exponent++ = '\0';
    buf_add_c(out, text);
    if (!fraction)
        buf_add_c(out, ".0");
    if (!exponent)
        return;
    buf_add_char(out, 'E');
    if (*exponent == '-')
        buf_add_char(out, '-');
    exponent += strspn(exponent, "+-");
    exponent += strspn(exponent, "0");
    buf_add_c(out, exponent);
}

/* ---- Times and other texts ---- */

static int64_t floor_divide(int64_t v, int64_t by)
{
    return v / by - (v % by < 0);
}

static int64_t micros_at(const struct view *v, uint64_t row)
{
    int64_t value = ((const int64_t *)v->data)[row];

    switch (v->shape->id) {
    case DUCKDB_TYPE_TIMESTAMP_S:
        return value * 1000000;
    case DUCKDB_TYPE_TIMESTAMP_MS:
        return value * 1000;
    case DUCKDB_TYPE_TIMESTAMP_NS:
        return floor_divide(value, 1000);
    default:
        return value;
    }
}

static void add_time_like(struct buf *out, const struct view *v, uint64_t row)
{
    char text[CIVIL_BYTES];

    if (v->shape->id == DUCKDB_TYPE_DATE)
        civil_write_date(((const int32_t *)v->data)[row], text);
    else if (v->shape->id == DUCKDB_TYPE_TIME)
        civil_write_time(((const int64_t *)v->data)[row], text);
    else
        civil_write_datetime(micros_at(v, row), 'T', text);
    buf_add_c(out, text);
}

/* Y-M D H:M:S[.ffffff], each part with its own sign. */
static void add_interval(struct buf *out, duckdb_interval i)
{
    uint32_t months = (uint32_t)(i.months < 0 ? -(int64_t)i.months : i.months);
    uint64_t micros = i.micros < 0 ? 0 - (uint64_t)i.micros : (uint64_t)i.micros;
    uint64_t seconds = micros / 1000000;

    buf_addf(out, "%s%u-%u %d %s%" PRIu64 ":%" PRIu64 ":%" PRIu64, i.months < 0 ? "-" : "",
             months / 12, months % 12, i.days, i.micros < 0 ? "-" : "", seconds / 3600,
             seconds / 60 % 60, seconds % 60);
    if (micros % 1000000)
        buf_addf(out, ".%06" PRIu64, micros % 1000000);
}

/* The engine keeps a UUID as a number whose highest bit is turned. */
static void add_uuid(struct buf *out, duckdb_hugeint n)
{
    uint64_t high = (uint64_t)n.upper ^ UINT64_C(0x8000000000000000);

    buf_addf(out, "%08" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%04" PRIx64 "-%012" PRIx64, high >> 32,
             high >> 16 & 0xffff, high & 0xffff, n.lower >> 48, n.lower & 0xffffffffffff);
}

static struct str text_at(const void *data, uint64_t row)
{
    const duckdb_string_t *s = &((const duckdb_string_t *)data)[row];
    uint32_t len = s->value.inlined.length;

    return (struct str){ len <= sizeof s->value.inlined.inlined ? s->value.inlined.inlined
                                                                : s->value.pointer.ptr,
                         len };
}

static struct str word_at(const struct view *v, uint64_t row)
{
    return v->shape->word[integer_at(v->data, v->shape->stored, row).lower];
}

static void add_scalar(struct buf *out, const struct view *v, uint64_t row)
{
    const struct shape *s = v->shape;

    switch (s->field.type) {
    case BQ_BOOLEAN:
        buf_add_c(out, ((const bool *)v->data)[row] ? "true" : "false");
        break;
    case BQ_INTEGER:
        if (s->id == DUCKDB_TYPE_BIGINT)
            add_int64(out, ((const int64_t *)v->data)[row]);
        else
            add_decimal(out, integer_at(v->data, s->stored, row), 0);
        break;
    case BQ_FLOAT:
        if (s->id == DUCKDB_TYPE_FLOAT)
            add_float(out, (double)((const float *)v->data)[row]);
        else
            add_float(out, ((const double *)v->data)[row]);
        break;
    case BQ_TIMESTAMP:
        add_int64(out, ((const int64_t *)v->data)[row]);
        break;
    case BQ_DATE:
    case BQ_TIME:
    case BQ_DATETIME:
        add_time_like(out, v, row);
        break;
    case BQ_INTERVAL:
        add_interval(out, ((const duckdb_interval *)v->data)[row]);
        break;
    case BQ_BYTES: {
        struct str bytes = text_at(v->data, row);
        base64_add(bytes.p, bytes.len, out);
        break;
    }
    default:
        if (s->id == DUCKDB_TYPE_DECIMAL)
            add_decimal(out, integer_at(v->data, s->stored, row), s->scale);
        else if (s->id == DUCKDB_TYPE_UUID)
            add_uuid(out, ((const duckdb_hugeint *)v->data)[row]);
        else
            buf_add_str(out, s->id == DUCKDB_TYPE_ENUM ? word_at(v, row) : text_at(v->data, row));
    }
}

/* ---- Nested values ---- */

static void add_value(struct buf *out, const struct view *v, uint64_t row);

static void add_list(struct buf *out, const struct view *v, uint64_t row)
{
    duckdb_list_entry entry = { row * v->shape->array_size, v->shape->array_size };

    if (v->shape->id != DUCKDB_TYPE_ARRAY)
        entry = ((const duckdb_list_entry *)v->data)[row];
    buf_add_char(out, '[');
    for (uint64_t i = 0; i < entry.length; i++) {
        buf_add_c(out, i ? ",{\"v\":" : "{\"v\":");
        add_value(out, &v->child[0], entry.offset + i);
        buf_add_char(out, '}');
    }
    buf_add_char(out, ']');
}

static void add_record(struct buf *out, const struct view *v, uint64_t row)
{
    buf_add_c(out, "{\"f\":[");
    for (uint32_t i = 0; i < v->shape->child_count; i++) {
        buf_add_c(out, i ? ",{\"v\":" : "{\"v\":");
        add_value(out, &v->child[i], row);
        buf_add_char(out, '}');
    }
    buf_add_c(out, "]}");
}

/* Inside a nested value: a JSON string, null, or nested again. Text needs escapes, no other scalar does. */
static void add_value(struct buf *out, const struct view *v, uint64_t row)
{
    bool repeated = v->shape->field.mode == BQ_REPEATED;

    if (is_null(v, row)) {
        buf_add_c(out, repeated ? "[]" : "null");
    } else if (repeated) {
        add_list(out, v, row);
    } else if (v->shape->id == DUCKDB_TYPE_STRUCT) {
        add_record(out, v, row);
    } else if (v->shape->id == DUCKDB_TYPE_VARCHAR) {
        buf_add_json(out, text_at(v->data, row));
    } else if (v->shape->id == DUCKDB_TYPE_ENUM) {
        buf_add_json(out, word_at(v, row));
    } else {
        buf_add_char(out, '"');
        add_scalar(out, v, row);
        buf_add_char(out, '"');
    }
}

/* ---- Cells ---- */

static struct bq_cell read_cell(const struct view *v, uint64_t row, struct buf *scratch,
                                struct arena *a)
{
    struct str text;

    if (v->shape->id == DUCKDB_TYPE_VARCHAR && !is_null(v, row)) {
        text = text_at(v->data, row);
    } else if (v->shape->field.mode == BQ_REPEATED || !is_null(v, row)) {
        buf_clear(scratch);
        if (v->shape->field.mode == BQ_REPEATED || v->shape->id == DUCKDB_TYPE_STRUCT)
            add_value(scratch, v, row);
        else
            add_scalar(scratch, v, row);
        text = buf_str(scratch);
    } else {
        return (struct bq_cell){ .null = true };
    }
    return (struct bq_cell){ .text = { arena_copy(a, text.p, text.len), text.len } };
}

int vectors_read(const struct part *part, const struct shape *shape, uint32_t count,
                 struct arena *a, struct bq_cell *cell, struct error *e)
{
    const struct duckdb_library *d = part->duckdb;
    struct buf scratch = BUF_INIT(CELL_BYTES_MAX);
    int rc = 0;

    for (uint32_t c = 0; c < count && rc == 0; c++) {
        struct view v = view_of(d, d->data_chunk_get_vector(part->chunk, c), &shape[c], a);
        for (uint32_t r = 0; r < part->rows && rc == 0; r++) {
            cell[(size_t)r * count + c] = read_cell(&v, part->from + r, &scratch, a);
            if (!buf_ok(&scratch))
                rc = error_set(e, ERROR_RESOURCE_EXHAUSTED, "A value of column %.*s is too long.",
                               STR_ARG(str_cut(shape[c].field.name, 200)));
        }
    }
    buf_release(&scratch);
    return rc;
}
