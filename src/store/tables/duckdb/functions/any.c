/* any.c -- any.h */
#include "store/tables/duckdb/functions/any.h"

#include <math.h>
#include <string.h>

#include "base/base64.h"
#include "store/tables/duckdb/functions/numeric.h"
#include "store/tables/duckdb/functions/part.h"
#include "store/tables/duckdb/functions/value_text.h"

#define WIDE (INT64_C(1) << 53)

struct writer {
    const struct duckdb_library *d;
    enum any_style style;
    struct buf *out;
};

static bool is_json(const struct writer *w)
{
    return w->style == ANY_JSON || w->style == ANY_JSON_TYPE;
}

/* ---- Simple values ---- */

static void add_int(struct writer *w, int64_t v)
{
    bool quoted = w->style == ANY_JSON && (v > WIDE || v < -WIDE);

    buf_addf(w->out, quoted ? "\"%lld\"" : "%lld", (long long)v);
}

static void add_float(struct writer *w, double v)
{
    if (isfinite(v)) {
        if (w->style == ANY_JSON)
            text_add_float(w->out, v);
        else
            text_add_point(w->out, v);
        return;
    }
    if (is_json(w))
        buf_add_c(w->out, isnan(v) ? "\"NaN\"" : v > 0 ? "\"Infinity\"" : "\"-Infinity\"");
    else if (w->style == ANY_LITERAL)
        buf_add_c(w->out, isnan(v) ? "CAST(\"nan\" AS FLOAT64)"
                          : v > 0  ? "CAST(\"inf\" AS FLOAT64)"
                                   : "CAST(\"-inf\" AS FLOAT64)");
    else
        text_add_float(w->out, v);
}

static void add_decimal(struct writer *w, int128 v, uint8_t scale)
{
    char text[NUMERIC_BYTES];

    for (; scale < 9; scale++)
        v *= 10;
    for (; scale > 9; scale--)
        v /= 10;
    numeric_text(v, text);
    if (w->style == ANY_LITERAL)
        buf_addf(w->out, "NUMERIC '%s'", text);
    else
        buf_add_c(w->out, text);
}

/* "text" with the escapes of SQL. */
static void add_literal(struct buf *out, struct str s)
{
    bool both = str_find(s, STR("'")) != SIZE_MAX;
    char quote = str_find(s, STR("\"")) != SIZE_MAX && !both ? '\'' : '"';

    buf_add_char(out, quote);
    for (size_t i = 0; i < s.len; i++) {
        char c = s.p[i];
        if (c == quote || c == '\\')
            buf_addf(out, "\\%c", c);
        else if (c == '\n')
            buf_add_c(out, "\\n");
        else if (c == '\r')
            buf_add_c(out, "\\r");
        else if (c == '\t')
            buf_add_c(out, "\\t");
        else
            buf_add_char(out, c);
    }
    buf_add_char(out, quote);
}

static void add_string(struct writer *w, struct str s)
{
    if (is_json(w))
        buf_add_json(w->out, s);
    else if (w->style == ANY_LITERAL)
        add_literal(w->out, s);
    else
        buf_add_str(w->out, s);
}

static void add_bytes(struct writer *w, struct str s)
{
    if (is_json(w)) {
        buf_add_char(w->out, '"');
        base64_add(s.p, s.len, w->out);
        buf_add_char(w->out, '"');
        return;
    }
    if (w->style == ANY_LITERAL)
        buf_add_c(w->out, "b\"");
    for (size_t i = 0; i < s.len; i++) {
        unsigned char c = (unsigned char)s.p[i];
        if (c < 32 || c > 126 || (w->style == ANY_LITERAL && (c == '"' || c == '\\')))
            buf_addf(w->out, "\\x%02x", c);
        else
            buf_add_char(w->out, (char)c);
    }
    if (w->style == ANY_LITERAL)
        buf_add_char(w->out, '"');
}

/* A text that is quoted in JSON, and has a type before it as a literal. */
static void add_named(struct writer *w, const char *type, struct str text)
{
    if (is_json(w))
        buf_add_json(w->out, text);
    else if (w->style == ANY_LITERAL)
        buf_addf(w->out, "%s \"%.*s\"", type, STR_ARG(text));
    else
        buf_add_str(w->out, text);
}

static void add_time(struct writer *w, duckdb_type type, const void *data, idx_t row)
{
    struct buf text = BUF_INIT((size_t)CIVIL_BYTES * 2);
    const char *name = "INTERVAL";
    int64_t us =
        type == DUCKDB_TYPE_DATE || type == DUCKDB_TYPE_INTERVAL ? 0 : ((const int64_t *)data)[row];

    if (type == DUCKDB_TYPE_DATE) {
        name = "DATE";
        text_add_date(&text, ((const int32_t *)data)[row]);
    } else if (type == DUCKDB_TYPE_TIME) {
        name = "TIME";
        text_add_time(&text, us);
    } else if (type == DUCKDB_TYPE_TIMESTAMP) {
        name = "DATETIME";
        text_add_datetime(&text, us);
    } else if (type == DUCKDB_TYPE_TIMESTAMP_TZ && is_json(w)) {
        text_add_datetime(&text, us);
        buf_add_char(&text, 'Z');
    } else if (type == DUCKDB_TYPE_TIMESTAMP_TZ) {
        name = "TIMESTAMP";
        text_add_timestamp(&text, us, NULL);
    } else {
        text_add_interval(&text, ((const duckdb_interval *)data)[row]);
    }
    if (is_json(w) && (type == DUCKDB_TYPE_TIMESTAMP || type == DUCKDB_TYPE_TIMESTAMP_TZ))
        text.p[10] = 'T';
    add_named(w, name, buf_str(&text));
    buf_release(&text);
}

/* A text that DuckDB knows by a name. */
static void add_alias(struct writer *w, const char *alias, struct str s)
{
    if (strcmp(alias, "JSON") == 0 && w->style == ANY_LITERAL)
        buf_addf(w->out, "JSON '%.*s'", STR_ARG(s));
    else if (strcmp(alias, "JSON") == 0 ||
             (strcmp(alias, "BIGNUMERIC") == 0 && w->style != ANY_LITERAL))
        buf_add_str(w->out, s);
    else
        add_named(w, alias, s);
}

static int128 decimal_at(const struct writer *w, duckdb_logical_type type, const void *data,
                         idx_t row)
{
    switch (w->d->decimal_internal_type(type)) {
    case DUCKDB_TYPE_SMALLINT:
        return ((const int16_t *)data)[row];
    case DUCKDB_TYPE_INTEGER:
        return ((const int32_t *)data)[row];
    case DUCKDB_TYPE_BIGINT:
        return ((const int64_t *)data)[row];
    default:
        return ((const int128 *)data)[row];
    }
}

static bool add_simple(struct writer *w, duckdb_logical_type type, const void *data, idx_t row)
{
    duckdb_type id = w->d->get_type_id(type);
    int128 wide;

    switch (id) {
    case DUCKDB_TYPE_BOOLEAN:
        buf_add_c(w->out, ((const bool *)data)[row] ? "true" : "false");
        return true;
    case DUCKDB_TYPE_TINYINT:
        add_int(w, ((const int8_t *)data)[row]);
        return true;
    case DUCKDB_TYPE_SMALLINT:
        add_int(w, ((const int16_t *)data)[row]);
        return true;
    case DUCKDB_TYPE_INTEGER:
        add_int(w, ((const int32_t *)data)[row]);
        return true;
    case DUCKDB_TYPE_BIGINT:
        add_int(w, ((const int64_t *)data)[row]);
        return true;
    case DUCKDB_TYPE_HUGEINT:
        wide = ((const int128 *)data)[row];
        if (wide != (int64_t)wide)
            return false;
        add_int(w, (int64_t)wide);
        return true;
    case DUCKDB_TYPE_DOUBLE:
        add_float(w, ((const double *)data)[row]);
        return true;
    case DUCKDB_TYPE_DECIMAL:
        add_decimal(w, decimal_at(w, type, data, row), w->d->decimal_scale(type));
        return true;
    case DUCKDB_TYPE_BLOB:
        add_bytes(w, text_at(data, row));
        return true;
    case DUCKDB_TYPE_DATE:
    case DUCKDB_TYPE_TIME:
    case DUCKDB_TYPE_TIMESTAMP:
    case DUCKDB_TYPE_TIMESTAMP_TZ:
    case DUCKDB_TYPE_INTERVAL:
        add_time(w, id, data, row);
        return true;
    default:
        return false;
    }
}

/* ---- Nested values ---- */

static bool add_value(struct writer *w, const struct call_column *column, idx_t row,
                      unsigned depth);

static bool add_list(struct writer *w, const struct call_column *column, idx_t row, unsigned depth)
{
    duckdb_list_entry entry = ((const duckdb_list_entry *)column->data)[row];
    struct call_column child = column_of(w->d, w->d->list_vector_get_child(column->vector));

    buf_add_char(w->out, '[');
    for (idx_t i = 0; i < entry.length; i++) {
        if (i)
            buf_add_c(w->out, is_json(w) ? "," : ", ");
        if (!add_value(w, &child, entry.offset + i, depth + 1))
            return false;
    }
    buf_add_char(w->out, ']');
    return true;
}

static bool add_struct(struct writer *w, const struct call_column *column, duckdb_logical_type type,
                       idx_t row, unsigned depth)
{
    idx_t count = w->d->struct_type_child_count(type);

    buf_add_char(w->out, is_json(w) ? '{' : '(');
    for (idx_t i = 0; i < count; i++) {
        struct call_column child =
            column_of(w->d, w->d->struct_vector_get_child(column->vector, i));
        if (i)
            buf_add_c(w->out, is_json(w) ? "," : ", ");
        if (is_json(w)) {
            char *name = w->d->struct_type_child_name(type, i);
            buf_add_json(w->out, str_of(name));
            buf_add_char(w->out, ':');
            w->d->free(name);
        }
        if (!add_value(w, &child, row, depth + 1))
            return false;
    }
    buf_add_char(w->out, is_json(w) ? '}' : ')');
    return true;
}

static bool add_text_value(struct writer *w, duckdb_logical_type type, struct str s)
{
    char *alias = w->d->logical_type_get_alias(type);

    if (alias && *alias)
        add_alias(w, alias, s);
    else
        add_string(w, s);
    w->d->free(alias);
    return true;
}

static bool add_value(struct writer *w, const struct call_column *column, idx_t row, unsigned depth)
{
    if (depth > ANY_DEPTH_MAX)
        return false;
    if (!column_valid(column, row)) {
        buf_add_c(w->out, is_json(w) ? "null" : "NULL");
        return true;
    }
    duckdb_logical_type type = w->d->vector_get_column_type(column->vector);
    duckdb_type id = w->d->get_type_id(type);
    bool ok = id == DUCKDB_TYPE_LIST      ? add_list(w, column, row, depth)
              : id == DUCKDB_TYPE_STRUCT  ? add_struct(w, column, type, row, depth)
              : id == DUCKDB_TYPE_VARCHAR ? add_text_value(w, type, text_at(column->data, row))
                                          : add_simple(w, type, column->data, row);
    w->d->destroy_logical_type(&type);
    return ok;
}

bool any_argument(const struct call *c, uint32_t i, enum any_style style, struct buf *out)
{
    struct writer w = { c->duckdb, style, out };

    return add_value(&w, &c->argument[i], c->row, 0);
}
