/* table_columns.c -- the columns of a job's tables: those of a source, of an output, and of JSON lines. */
#include <string.h>
#include <strings.h>

#include "format/job/table.h"
#include "format/request/fields.h"

#define SCHEMA_BYTES_MAX ((size_t)16 * 1024 * 1024)

/* Columns that the service writes. In JSON lines only the exact spelling is its own. */
static const char *const own_columns[] = { "response", "status", "processed_time", "reused_from" };

static bool same_name(struct str a, struct str b)
{
    return a.len == b.len && strncasecmp(a.p, b.p, a.len) == 0;
}

static bool is_own(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(own_columns); i++)
        if (same_name(name, str_of(own_columns[i])))
            return true;
    return false;
}

/* ---- Of a source ---- */

static const char *type_text(const struct bq_field *f)
{
    return f->mode == BQ_REPEATED ? "ARRAY" : bq_type_sql(f->type);
}

static int request_check(const struct bq_field *f, struct str name, struct error *e)
{
    bool valid = f->type == BQ_JSON || f->type == BQ_STRING || f->type == BQ_RECORD;

    if (f->mode != BQ_REPEATED && valid)
        return 0;
    return error_set(
        e, ERROR_INVALID_ARGUMENT,
        "%.*s: The column \"request\" is of type %s. It must be JSON, or STRING with a "
        "request as JSON in each row.",
        STR_ARG(name), type_text(f));
}

static int carried_check(const struct bq_field *f, struct str name, struct error *e)
{
    static const enum bq_type refused[] = { BQ_RECORD, BQ_RANGE, BQ_DATETIME, BQ_GEOGRAPHY };
    bool valid = f->mode != BQ_REPEATED;

    if (is_own(f->name))
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "%.*s: The column \"%.*s\" is written by the service. Name a view that renames "
            "it or leaves it out.",
            STR_ARG(name), STR_ARG(f->name));
    for (size_t i = 0; i < ARRAY_LEN(refused); i++)
        valid = valid && f->type != refused[i];
    if (valid)
        return 0;
    return error_set(
        e, ERROR_INVALID_ARGUMENT,
        "%.*s: The column \"%.*s\" is of type %s, which cannot be carried to the output. "
        "Name a view that casts it or leaves it out (ARRAY, STRUCT, RANGE, DATETIME and "
        "GEOGRAPHY are refused).",
        STR_ARG(name), STR_ARG(f->name), type_text(f));
}

int table_source_check(const struct bq_schema *s, struct str name, struct error *e)
{
    bool found = false;

    for (uint32_t i = 0; i < s->count; i++) {
        bool request = str_eq_c(s->field[i].name, "request");
        found |= request;
        if ((request ? request_check : carried_check)(&s->field[i], name, e) < 0)
            return -1;
    }
    if (!found)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "%.*s: There is no column \"request\". Each row must have its request there, "
            "as JSON.",
            STR_ARG(name));
    if (s->count > LINE_SIBLINGS_MAX + 1)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "%.*s: There are %u columns beside \"request\"; at most %d are carried to the "
            "output. Name a view with fewer.",
            STR_ARG(name), s->count - 1, LINE_SIBLINGS_MAX);
    return 0;
}

/* ---- Of an output ---- */

struct bq_schema table_output_columns(struct arena *a, const struct bq_schema *carried, bool reuse)
{
    const struct bq_field own[] = {
        { .name = STR("response"), .type = BQ_JSON },
        { .name = STR("status"), .type = BQ_STRING },
        { .name = STR("processed_time"), .type = BQ_TIMESTAMP },
        { .name = STR("reused_from"), .type = BQ_TIMESTAMP },
    };
    struct bq_schema out = bq_schema_copy(a, carried);
    size_t own_count = ARRAY_LEN(own) - !reuse;
    struct bq_field *field = arena_array(a, out.count + own_count, sizeof *field);

    /* A row whose line was too long has no carried values, so no column can be REQUIRED. */
    for (uint32_t i = 0; i < out.count; i++) {
        field[i] = out.field[i];
        field[i].mode = BQ_NULLABLE;
        field[i].default_value = (struct str){ 0 };
    }
    for (size_t i = 0; i < own_count; i++) {
        field[out.count + i] = own[i];
        field[out.count + i].mode = BQ_NULLABLE;
    }
    return (struct bq_schema){ field, out.count + (uint32_t)own_count };
}

/* ---- Of JSON lines ---- */

/* Kinds of values that a key had. */
enum { SEEN_BOOL = 1, SEEN_WHOLE = 2, SEEN_NUMBER = 4, SEEN_TEXT = 8, SEEN_NESTED = 16 };

struct line_column {
    char *name;
    size_t name_bytes;
    unsigned seen;
};
struct line_columns {
    struct line_column *item;
    size_t count;
    size_t next; /* the column that is likely to come next */
    bool too_many;
};

struct line_columns *line_columns_new(void)
{
    return mem_alloc(sizeof(struct line_columns));
}

void line_columns_free(struct line_columns *c)
{
    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++)
        mem_free(c->item[i].name);
    mem_free(c->item);
    mem_free(c);
}

static bool is_named(const struct line_column *item, struct str name)
{
    return item->name_bytes == name.len && memcmp(item->name, name.p, name.len) == 0;
}

/* Most lines have the keys of the line before, in their order. */
static struct line_column *find(struct line_columns *c, struct str name)
{
    size_t at = c->next < c->count && is_named(&c->item[c->next], name) ? c->next : 0;

    while (at < c->count && !is_named(&c->item[at], name))
        at++;
    c->next = at + 1;
    if (at < c->count)
        return &c->item[at];
    if (c->count == LINE_COLUMNS_MAX) {
        c->too_many = true;
        return NULL;
    }
    c->item = mem_list_grow(c->item, c->count, sizeof *c->item);
    c->item[c->count] =
        (struct line_column){ .name = mem_alloc(name.len + 1), .name_bytes = name.len };
    memcpy(c->item[c->count].name, name.p, name.len);
    return &c->item[c->count++];
}

static unsigned kind_of(yyjson_val *v)
{
    if (yyjson_is_null(v))
        return 0;
    if (yyjson_is_bool(v))
        return SEEN_BOOL;
    if (yyjson_is_sint(v) || (yyjson_is_uint(v) && yyjson_get_uint(v) <= INT64_MAX))
        return SEEN_WHOLE;
    if (yyjson_is_num(v))
        return SEEN_NUMBER;
    return yyjson_is_str(v) ? SEEN_TEXT : SEEN_NESTED;
}

void line_columns_add(struct line_columns *c, struct arena *a, struct str text)
{
    struct error ignored = { 0 };
    size_t at;
    yyjson_val *root = json_parse(a, text, &at, &ignored), *key;
    yyjson_obj_iter it = yyjson_obj_iter_with(root);

    c->next = 0;
    if (!json_get(root, "request"))
        return; /* the line is the request itself, or no request */
    while ((key = yyjson_obj_iter_next(&it))) {
        struct str name = json_str(key);
        bool service = str_eq_c(name, "request");
        for (size_t i = 0; i < ARRAY_LEN(own_columns); i++)
            service |= str_eq_c(name, own_columns[i]);
        struct line_column *column = service ? NULL : find(c, name);
        if (column)
            column->seen |= kind_of(yyjson_obj_iter_get_val(key));
    }
}

static enum bq_type type_of(unsigned seen)
{
    switch (seen) {
    case SEEN_BOOL:
        return BQ_BOOLEAN;
    case SEEN_WHOLE:
        return BQ_INTEGER;
    case SEEN_NUMBER:
    case SEEN_NUMBER | SEEN_WHOLE:
        return BQ_FLOAT;
    default:
        return seen & SEEN_NESTED ? BQ_JSON : BQ_STRING;
    }
}

/* Also keys that differ from one of the service's, or from another, only by case. */
static int names_check(const struct bq_schema *s, struct arena *a, struct error *e)
{
    struct buf text = BUF_INIT(SCHEMA_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);
    struct bq_schema unused;

    for (uint32_t i = 0; i + 1 < s->count; i++) { /* the last is the request's own */
        struct str name = s->field[i].name;
        if (same_name(name, STR("request")) || is_own(name))
            return error_set(
                e, ERROR_INVALID_ARGUMENT,
                "The key %s becomes a column of the output table, where the service has a "
                "column of that name. Rename it.",
                quote(name).text);
    }
    bq_schema_write(&w, NULL, s, false);
    int rc = bq_schema_parse(buf_str(&text), a, &unused, e);
    buf_release(&text);
    return rc == 0 ? 0
                   : error_wrap(e, "a key of the lines cannot become a column of the output table");
}

int line_columns_schema(const struct line_columns *c, struct arena *a, struct bq_schema *out,
                        struct error *e)
{
    if (c->too_many)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "The lines have more than %d different keys beside their requests, and each "
            "becomes a column of the output table. Gather them in one object.",
            LINE_COLUMNS_MAX);
    *out = (struct bq_schema){ arena_array(a, c->count + 1, sizeof *out->field),
                               (uint32_t)c->count + 1 };
    for (size_t i = 0; i < c->count; i++) {
        const struct line_column *column = &c->item[i];
        out->field[i] = (struct bq_field){
            .name = { arena_copy(a, column->name, column->name_bytes), column->name_bytes },
            .type = type_of(column->seen),
        };
    }
    out->field[c->count] = (struct bq_field){ .name = STR("request"), .type = BQ_JSON };
    return names_check(out, a, e);
}
