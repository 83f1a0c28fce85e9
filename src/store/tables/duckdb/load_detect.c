/* load_detect.c -- load.h: names and types of columns, found by looking at the first rows.
 *
 * Why: a load with autodetect has no schema. The narrowest type that all seen values have is taken; a later value that
 *      has it not is a bad row, as with a schema.
 */
#include <ctype.h>
#include <string.h>

#include "store/tables/duckdb/load.h"

#define DEPTH_MAX BQ_DEPTH_MAX
#define DETECTED_NAME_MAX 300

char load_delimiter(const struct tables_load *l)
{
    if (!l->delimiter.len)
        return ',';
    if (str_eq_c(l->delimiter, "\\t") || str_eq_c(l->delimiter, "tab"))
        return '\t';
    return l->delimiter.len == 1 ? l->delimiter.p[0] : '\0';
}

char load_quote(const struct tables_load *l)
{
    return l->quote_none ? '\0' : l->quote.len ? l->quote.p[0] : '"';
}

/* ---- Types ---- */

/* The types that all values so far have: a set, which only shrinks. */
enum {
    MAY_BOOLEAN = 1 << 0,
    MAY_INTEGER = 1 << 1,
    MAY_FLOAT = 1 << 2,
    MAY_DATE = 1 << 3,
    MAY_TIMESTAMP = 1 << 4,
    MAY_DATETIME = 1 << 5,
    MAY_TIME = 1 << 6,
    MAY_ANY = (1 << 7) - 1
};
static const struct {
    unsigned may;
    enum bq_type type;
} kinds[] = {
    { MAY_BOOLEAN, BQ_BOOLEAN },     { MAY_INTEGER, BQ_INTEGER }, { MAY_FLOAT, BQ_FLOAT },
    { MAY_DATE, BQ_DATE },           { MAY_TIME, BQ_TIME },       { MAY_DATETIME, BQ_DATETIME },
    { MAY_TIMESTAMP, BQ_TIMESTAMP },
};

static bool has_zone(struct str s)
{
    return s.len > 10 && (str_ends(s, STR("Z")) || str_ends(s, STR("UTC")) ||
                          str_find(str_sub(s, 10, s.len), STR("+")) != SIZE_MAX ||
                          str_find(str_sub(s, 10, s.len), STR("-")) != SIZE_MAX);
}

static unsigned may_be(struct arena *a, struct str text)
{
    unsigned may = 0;
    bool time_like = text.len >= 8 && isdigit((unsigned char)text.p[0]) &&
                     (memchr(text.p, '-', text.len) || memchr(text.p, ':', text.len) ||
                      memchr(text.p, '/', text.len));

    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct bq_field f = { .name = STR("x"), .type = kinds[i].type };
        struct bq_cell cell;
        struct error ignored;
        bool of_time = kinds[i].may >= MAY_DATE;
        if (of_time != time_like)
            continue;
        if (kinds[i].may == MAY_BOOLEAN && text.len < 4)
            continue; /* t, f, 1 and 0 are read as BOOL, not found to be */
        if (kinds[i].may == MAY_TIMESTAMP ? !has_zone(text)
                                          : kinds[i].may == MAY_DATETIME && has_zone(text))
            continue;
        if (bq_cell_from_text(a, &f, text, &cell, &ignored) == 0)
            may |= kinds[i].may;
    }
    return may;
}

static enum bq_type type_of(unsigned may, bool seen)
{
    for (size_t i = 0; seen && i < ARRAY_LEN(kinds); i++)
        if (may & kinds[i].may)
            return kinds[i].type;
    return BQ_STRING;
}

/* ---- CSV ---- */

struct sample {
    struct csv_row row[LOAD_SAMPLE_ROWS + 1];
    uint32_t rows, columns;
};

static int read_sample(const struct tables_load *l, struct arena *a, int64_t passed,
                       struct sample *out, struct error *e)
{
    struct text_file f;
    struct str record;
    int rc = text_open(&f, l->path[0], e) < 0 ? -1 : 1;

    f.delimiter = load_delimiter(l);
    f.quote = l->quoted_newlines ? load_quote(l) : '\0';
    while (rc > 0 && out->rows < LOAD_SAMPLE_ROWS + 1 && (rc = text_next(&f, &record, e)) > 0) {
        if (f.record_no <= passed || !str_trim(record).len)
            continue;
        struct str kept = str_eq_c(l->encoding, "ISO-8859-1")
                              ? latin1_text(a, record)
                              : (struct str){ arena_copy(a, record.p, record.len), record.len };
        if (csv_cells(a, kept, f.delimiter, load_quote(l), &out->row[out->rows], e) < 0)
            rc = -1;
        else if (out->row[out->rows].count > out->columns)
            out->columns = out->row[out->rows].count;
        out->rows += rc > 0;
    }
    text_close(&f);
    return rc < 0 ? -1 : 0;
}

static unsigned column_may(const struct sample *s, struct arena *a, uint32_t column, uint32_t from,
                           bool *seen)
{
    unsigned may = MAY_ANY;

    *seen = false;
    for (uint32_t r = from; r < s->rows; r++) {
        if (column >= s->row[r].count || !s->row[r].cell[column].text.len)
            continue;
        *seen = true;
        may &= may_be(a, s->row[r].cell[column].text);
    }
    return may;
}

/* The first row is a header when it holds texts only, and a column below it does not. */
static bool first_is_header(const struct sample *s, struct arena *a)
{
    bool differs = false;

    if (s->rows < 2)
        return false;
    for (uint32_t c = 0; c < s->columns; c++) {
        bool seen = false;
        if (c >= s->row[0].count || !s->row[0].cell[c].text.len ||
            may_be(a, s->row[0].cell[c].text))
            return false;
        differs = differs || (column_may(s, a, c, 1, &seen) && seen);
    }
    return differs;
}

/* Letters, digits and underscores; what else stands in it becomes one. */
static struct str column_name(struct arena *a, struct str text, const struct bq_schema *before)
{
    char *name = arena_alloc_raw(a, DETECTED_NAME_MAX + 16);
    size_t len = 0;

    text = str_trim(text);
    if (text.len && isdigit((unsigned char)text.p[0]))
        name[len++] = '_';
    for (size_t i = 0; i < text.len && len < DETECTED_NAME_MAX; i++) {
        unsigned char c = (unsigned char)text.p[i];
        name[len++] = (char)(isalnum(c) || c == '_' || c > 0x7f ? c : '_');
    }
    struct str out = str_cut((struct str){ name, len }, DETECTED_NAME_MAX);
    for (unsigned n = 1; bq_schema_find(before, out); n++)
        out = str_of(arena_textf(a, "%.*s_%u", (int)len, name, n));
    return out;
}

static const char *name_without_header(enum bq_type type)
{
    return type == BQ_INTEGER   ? "int64"
           : type == BQ_FLOAT   ? "double"
           : type == BQ_BOOLEAN ? "bool"
           : type == BQ_STRING  ? "string"
                                : "field";
}

static void add_column(const struct sample *s, struct arena *a, uint32_t column, bool header,
                       struct bq_schema *out)
{
    bool seen = false;
    unsigned may = column_may(s, a, column, header ? 1 : 0, &seen);
    struct bq_field f = { .type = type_of(may, seen), .mode = BQ_NULLABLE };
    bool named =
        header && s->rows && column < s->row[0].count && str_trim(s->row[0].cell[column].text).len;
    struct str name =
        named ? s->row[0].cell[column].text
              : str_of(arena_textf(a, "%s_field_%u", name_without_header(f.type), column));

    f.name = column_name(a, name, out);
    out->field[out->count++] = f;
}

int detect_csv(const struct tables_load *l, struct arena *a, struct bq_schema *out, int64_t *skip,
               struct error *e)
{
    struct sample *s = arena_alloc(a, sizeof *s);
    int64_t passed = *skip > 0 ? *skip - 1 : 0; /* the last row that is passed over is the header */
    bool header = *skip > 0;

    if (read_sample(l, a, passed, s, e) < 0)
        return -1;
    if (*skip < 0) {
        header = first_is_header(s, a);
        *skip = header ? 1 : 0;
    }
    *out = (struct bq_schema){ arena_array(a, s->columns, sizeof *out->field), 0 };
    for (uint32_t c = 0; c < s->columns; c++)
        add_column(s, a, c, header, out);
    return 0;
}

/* ---- JSON ---- */

/* A member of an object, over all rows that were seen. */
struct member {
    struct str name;
    unsigned may;
    bool seen, record, repeated, other; /* other: a scalar */
    struct member *part;
    uint32_t parts;
};

static struct member *member_of(struct arena *a, struct member *whole, struct str name)
{
    for (uint32_t i = 0; i < whole->parts; i++)
        if (str_eq(whole->part[i].name, name))
            return &whole->part[i];
    whole->part = arena_list_grow(a, whole->part, whole->parts, sizeof *whole->part);
    whole->part[whole->parts] = (struct member){ .name = name, .may = MAY_ANY };
    return &whole->part[whole->parts++];
}

static unsigned json_may(struct arena *a, yyjson_val *v)
{
    if (yyjson_is_bool(v))
        return MAY_BOOLEAN;
    if (yyjson_is_int(v))
        return MAY_INTEGER | MAY_FLOAT;
    if (yyjson_is_num(v))
        return MAY_FLOAT;
    unsigned may = may_be(a, json_str(v));
    return may & ~(unsigned)(MAY_BOOLEAN | MAY_INTEGER | MAY_FLOAT);
}

static void look_at(struct arena *a, struct member *m, yyjson_val *v, unsigned depth)
{
    yyjson_val *key, *item;
    size_t i, max;

    if (!v || yyjson_is_null(v) || depth > DEPTH_MAX)
        return;
    if (yyjson_is_arr(v)) {
        m->repeated = true;
        yyjson_arr_foreach(v, i, max, item) look_at(a, m, item, depth + 1);
        return;
    }
    if (!yyjson_is_obj(v)) {
        m->other = m->seen = true;
        m->may &= json_may(a, v);
        return;
    }
    m->record = true;
    yyjson_obj_foreach(v, i, max, key, item)
    {
        struct str name = json_str(key);
        struct str kept = { arena_copy(a, name.p, name.len), name.len };
        look_at(a, member_of(a, m, kept), item, depth + 1);
    }
}

static void fields_of(struct arena *a, const struct member *m, struct bq_schema *out)
{
    *out = (struct bq_schema){ arena_array(a, m->parts, sizeof *out->field), 0 };
    for (uint32_t i = 0; i < m->parts; i++) {
        const struct member *part = &m->part[i];
        struct bq_field f = { .name = column_name(a, part->name, out),
                              .mode = part->repeated ? BQ_REPEATED : BQ_NULLABLE };
        f.type = part->record && part->other ? BQ_JSON : type_of(part->may, part->seen);
        if (part->record && !part->other) {
            struct bq_schema inner;
            fields_of(a, part, &inner);
            f.type = inner.count ? BQ_RECORD : BQ_JSON;
            f.fields = inner.field;
            f.field_count = inner.count;
        }
        out->field[out->count++] = f;
    }
}

int detect_json(const struct tables_load *l, struct arena *a, struct bq_schema *out,
                struct error *e)
{
    struct member all = { .may = MAY_ANY };
    struct arena row = { 0 };
    struct text_file f;
    struct str record;
    int rc = text_open(&f, l->path[0], e) < 0 ? -1 : 1;
    uint32_t rows = 0;
    size_t at;

    while (rc > 0 && rows < LOAD_SAMPLE_ROWS && (rc = text_next(&f, &record, e)) > 0) {
        struct error ignored;
        if (!str_trim(record).len)
            continue;
        yyjson_val *v = json_parse(&row, record, &at, &ignored);
        if (v) /* a bad row is reported when it is loaded */
            look_at(a, &all, v, 0);
        rows++;
        arena_reset(&row);
    }
    text_close(&f);
    arena_release(&row);
    fields_of(a, &all, out);
    return rc < 0 ? -1 : 0;
}
