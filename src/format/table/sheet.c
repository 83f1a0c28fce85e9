#include "format/table/sheet.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/json_write.h"
#include "base/unpack.h"
#include "format/request/request.h"
#include "format/table/row_cells.h"

#define REQUEST_BYTES_MAX (LINE_BYTES_MAX * 2)

/* ---- Forms ---- */

int sheet_form_of(const char *path, enum sheet_form *out, struct error *e)
{
    static const struct {
        const char *ending;
        enum sheet_form form;
        const char *remedy; /* not NULL: refused */
    } forms[] = {
        { ".csv", SHEET_CSV, NULL },
        { ".tsv", SHEET_TSV, NULL },
        { ".tab", SHEET_TSV, NULL },
        { ".jsonl", SHEET_JSONL, NULL },
        { ".ndjson", SHEET_JSONL, NULL },
        { ".xlsx", SHEET_UNKNOWN, "in the spreadsheet, save it as \"CSV UTF-8\"" },
        { ".xls", SHEET_UNKNOWN, "in the spreadsheet, save it as \"CSV UTF-8\"" },
        { ".ods", SHEET_UNKNOWN, "in the spreadsheet, save it as \"Text CSV\"" },
        { ".parquet", SHEET_UNKNOWN, "make it CSV by `tranche table copy`" },
        { ".duckdb", SHEET_UNKNOWN,
          "name a table in it, as in x.duckdb#my_table, or write .parquet and copy it by `tranche "
          "table copy`" },
    };
    struct str name = str_of(path);
    size_t hash = str_find(name, STR(".duckdb#"));

    *out = SHEET_UNKNOWN;
    if (str_starts(name, STR("bq://"))) {
        *out = SHEET_JSONL; /* copied to and from such rows */
        return 0;
    }
    if (hash != SIZE_MAX)
        name.len = hash + strlen(".duckdb");
    (void)packing_of_name(name, &name);
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        size_t len = strlen(forms[i].ending);
        if (name.len < len || strncasecmp(name.p + name.len - len, forms[i].ending, len) != 0)
            continue;
        if (forms[i].remedy)
            return error_set(e, ERROR_UNIMPLEMENTED, "%s: files of %s cannot be used; %s", path,
                             forms[i].ending, forms[i].remedy);
        *out = forms[i].form;
    }
    return 0;
}

/* ---- Settings ---- */

/* The pieces of a text between commas, trimmed, in the arena. */
static struct str *read_list(struct arena *a, const char *text, uint32_t *count)
{
    struct str rest = str_of(text), piece, *list = NULL;

    *count = 0;
    while (str_next(&rest, ',', &piece)) {
        list = arena_list_grow(a, list, *count, sizeof *list);
        list[(*count)++] = str_trim(piece);
    }
    return list;
}

static int add_param(struct json_writer *w, struct arena *a, const char *param, struct error *e)
{
    struct str text = str_of(param);
    size_t equals = str_find(text, STR("=")), at;
    struct error ignored = { 0 };

    if (equals == SIZE_MAX || equals == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--param %s: NAME=VALUE is expected, as in temperature=0", param);
    struct str value = str_sub(text, equals + 1, text.len);
    json_key(w, str_sub(text, 0, equals));
    if (json_parse(a, value, &at, &ignored))
        json_add_raw(w, NULL, value);
    else
        json_add_text(w, NULL, value);
    return 0;
}

static int add_enum(struct sheet *t, struct json_writer *w, const char *values, struct error *e)
{
    uint32_t count;
    struct str *value = read_list(&t->arena, values, &count);

    json_add_c(w, "responseMimeType", "text/x.enum");
    json_object(w, "responseSchema");
    json_add_c(w, "type", "STRING");
    json_array(w, "enum");
    for (uint32_t i = 0; i < count; i++) {
        if (value[i].len == 0)
            return error_set(e, ERROR_INVALID_ARGUMENT, "--enum has an empty value");
        json_add_text(w, NULL, value[i]);
    }
    json_end(w);
    json_end(w);
    return count ? 0 : error_set(e, ERROR_INVALID_ARGUMENT, "--enum has no values");
}

/* The type of a column whose cells are values of this schema; text where they may be of several kinds. */
static struct str column_type(yyjson_val *schema)
{
    static const struct {
        const char *type, *column;
    } types[] = {
        { "integer", "BIGINT" }, { "number", "DOUBLE" }, { "boolean", "BOOLEAN" },
        { "object", "JSON" },    { "array", "JSON" },
    };
    struct str type = json_str(json_get(schema, "type"));

    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        if (type.len == strlen(types[i].type) && strncasecmp(type.p, types[i].type, type.len) == 0)
            return str_of(types[i].column);
    return STR("VARCHAR");
}

/* The properties of the schema become the columns. */
static int add_schema(struct sheet *t, struct json_writer *w, const char *schema, struct error *e)
{
    size_t at, i, n;
    yyjson_val *key, *value;
    yyjson_val *root = json_parse(&t->arena, str_of(schema), &at, e);

    if (!root)
        return error_wrap(e, "--schema, byte %zu", at);
    struct buf path = BUF_INIT(ERROR_MSG_BYTES);
    int rc = json_check(root, &path, e);
    buf_release(&path);
    if (rc < 0)
        return error_wrap(e, "--schema");
    yyjson_val *properties = json_get(root, "properties");
    if (!yyjson_is_obj(properties) || yyjson_obj_size(properties) == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--schema: an object with properties is expected; each becomes a column");
    if (yyjson_obj_size(properties) > SHEET_FIELDS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "--schema has more than %d properties",
                         SHEET_FIELDS_MAX);
    t->field_count = (uint32_t)yyjson_obj_size(properties);
    t->field = arena_array(&t->arena, t->field_count, sizeof *t->field);
    t->field_type = arena_array(&t->arena, t->field_count, sizeof *t->field_type);
    yyjson_obj_foreach(properties, i, n, key, value)
    {
        t->field[i] = json_str(key);
        t->field_type[i] = column_type(value);
    }
    json_add_c(w, "responseMimeType", "application/json");
    /* Google's own dialect has its types in capitals. */
    bool google = str_eq_c(json_str(json_get(root, "type")), "OBJECT");
    json_add_value(w, google ? "responseSchema" : "responseJsonSchema", root);
    return 0;
}

static int add_generation(struct sheet *t, struct json_writer *w, const struct sheet_options *o,
                          struct error *e)
{
    if (o->schema && o->enum_values)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--schema and --enum exclude each other: an answer is an object or one of "
                         "the values");
    json_object(w, "generationConfig");
    for (uint32_t i = 0; i < o->param_count; i++)
        if (add_param(w, &t->arena, o->param[i], e) < 0)
            return -1;
    if (o->enum_values && add_enum(t, w, o->enum_values, e) < 0)
        return -1;
    if (o->schema && add_schema(t, w, o->schema, e) < 0)
        return -1;
    json_end(w);
    return 0;
}

/* The text of a part, which is filled in later; returns where it stands. */
static size_t write_hole(struct json_writer *w)
{
    json_value(w, "text");
    buf_add_char(w->out, '"');
    size_t at = w->out->len;
    buf_add_char(w->out, '"');
    return at;
}

/* Every row's request to embed but for its text; returns where that stands, or 0. */
static size_t write_embed(struct sheet *t, struct buf *out, const struct sheet_options *o,
                          struct error *e)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    for (uint32_t i = 0; i < o->param_count; i++)
        if (add_param(&w, &t->arena, o->param[i], e) < 0)
            return 0;
    json_object(&w, "content");
    json_array(&w, "parts");
    json_object(&w, NULL);
    size_t text_at = write_hole(&w);
    json_end(&w);
    json_end(&w);
    json_end(&w);
    json_end(&w);
    t->field_count = 1;
    t->field = arena_array(&t->arena, 1, sizeof *t->field);
    t->field_type = arena_array(&t->arena, 1, sizeof *t->field_type);
    t->field[0] = STR("embedding");
    t->field_type[0] = STR("FLOAT[]");
    return text_at;
}

/* Every row's request but for its prompt; returns where the prompt stands, or 0. */
static size_t write_request(struct sheet *t, struct buf *out, const struct sheet_options *o,
                            struct error *e)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    if (o->system) {
        json_object(&w, "systemInstruction");
        json_array(&w, "parts");
        json_object(&w, NULL);
        json_add_c(&w, "text", o->system);
        json_end(&w);
        json_end(&w);
        json_end(&w);
    }
    if (o->schema || o->enum_values || o->param_count) {
        if (add_generation(t, &w, o, e) < 0)
            return 0;
    }
    json_array(&w, "contents");
    json_object(&w, NULL);
    json_add_c(&w, "role", "user");
    json_array(&w, "parts");
    json_object(&w, NULL);
    size_t prompt_at = write_hole(&w);
    json_end(&w);
    json_end(&w);
    json_end(&w);
    json_end(&w);
    json_end(&w);
    return prompt_at;
}

/* A mistake in the settings is one of all rows: found before the first of them. */
static int check_request(struct sheet *t, struct error *e)
{
    static const struct line_rules strict = { .strict = true };
    struct violations bad = { 0 };
    struct input_line in;
    char *text = arena_textf(&t->arena, "%.*sx%.*s", STR_ARG(t->before), STR_ARG(t->after));

    if (request_read_line(&t->arena, str_of(text), &strict, &in, &bad))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT, "the request of each row: %s: %s %s",
                     bad.item[0].path, bad.item[0].message, bad.item[0].remedy);
}

static int build_request(struct sheet *t, const struct sheet_options *o, struct error *e)
{
    struct buf out = BUF_INIT(REQUEST_BYTES_MAX);
    size_t at = (o->embed ? write_embed : write_request)(t, &out, o, e);
    int rc = at ? 0 : -1;

    if (rc == 0 && !buf_ok(&out))
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "the request of each row is too long");
    if (rc == 0) {
        t->before = (struct str){ arena_copy(&t->arena, out.p, at), at };
        t->after = (struct str){ arena_copy(&t->arena, out.p + at, out.len - at), out.len - at };
        rc = check_request(t, e);
    }
    buf_release(&out);
    return rc;
}

static int read_keep(struct sheet *t, const char *list, struct error *e)
{
    uint32_t count = 0, column;
    struct str *name = list ? read_list(&t->arena, list, &count) : NULL;

    t->keep = arena_array(&t->arena, t->columns.count, sizeof *t->keep);
    t->keep_all = list == NULL;
    for (uint32_t i = 0; i < t->columns.count; i++)
        t->keep[i] = t->keep_all;
    for (uint32_t i = 0; i < count; i++) {
        if (columns_find(&t->columns, name[i], &column, e) < 0)
            return error_wrap(e, "--keep-columns");
        t->keep[column] = true;
    }
    return 0;
}

static bool name_taken(const struct sheet *t, struct str name)
{
    for (uint32_t i = 0; i < t->columns.count; i++)
        if (t->keep[i] && str_eq(str_trim(t->columns.name[i]), name))
            return true;
    for (uint32_t i = 0; i < t->added_count; i++)
        if (str_eq(t->added[i], name))
            return true;
    return false;
}

static void add_name(struct sheet *t, struct str wanted)
{
    struct str name = wanted;

    for (unsigned n = 2; name_taken(t, name); n++)
        name = str_of(arena_textf(&t->arena, "%.*s_%u", STR_ARG(wanted), n));
    t->added[t->added_count++] = name;
}

static void name_added(struct sheet *t)
{
    t->added = arena_array(&t->arena, t->field_count + 4, sizeof *t->added);
    for (uint32_t i = 0; i < t->field_count; i++)
        add_name(t, t->field[i]);
    if (t->field_count == 0)
        add_name(t, STR("answer"));
    add_name(t, STR("error"));
    t->tokens_at = t->added_count;
    add_name(t, STR("tokens"));
    if (t->mark_reused)
        add_name(t, STR("reused"));
}

static bool keep_row(const void *arg, struct str record)
{
    const struct sheet *t = arg;
    struct arena a = { 0 };
    bool chosen = where_chooses(t->where, row_cells(t, &a, record, NULL));

    arena_release(&a);
    return chosen;
}

static void choose_output(struct sheet *t, const struct sheet_options *o)
{
    t->output = o->output == SHEET_UNKNOWN ? t->form : o->output;
    t->excel = o->excel;
    t->mark_reused = o->mark_reused;
    t->embed = o->embed;
    if (t->output == t->form)
        t->output_delimiter = t->delimiter;
    else if (t->output != SHEET_JSONL)
        t->output_delimiter = t->output == SHEET_TSV ? '\t' : ',';
    t->bom |= o->excel;
    t->crlf |= o->excel;
}

int sheet_ask(struct sheet *t, const struct sheet_options *o, struct error *e)
{
    choose_output(t, o);
    if (o->excel && t->output_delimiter == '\0')
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--excel is for CSV and TSV; name the output .csv");
    if (template_read(&t->prompt, &t->arena, str_of(o->prompt), &t->columns, e) < 0 ||
        build_request(t, o, e) < 0 || read_keep(t, o->keep_columns, e) < 0)
        return -1;
    name_added(t);
    t->cut.delimiter = t->delimiter;
    if (!o->where)
        return 0;
    t->where = where_read(&t->arena, str_of(o->where), &t->columns, e);
    t->cut.keep = keep_row;
    t->cut.arg = t;
    return t->where ? 0 : -1;
}

void sheet_release(struct sheet *t)
{
    arena_release(&t->arena);
}

/* ---- Rows in ---- */

/* The cells that go into the prompt must be UTF-8; the others go out as they are. */
static bool check_text(const struct sheet *t, const struct cell *cell, struct str record,
                       struct violations *bad)
{
    for (uint32_t i = 0; i < t->prompt.count; i++) {
        const struct template_piece *p = &t->prompt.piece[i];
        if (p->kind != PIECE_CELL && p->kind != PIECE_CELL_JSON)
            continue;
        const struct cell *c = &cell[p->column];
        size_t valid = str_utf8_valid(c->text);
        if (valid == c->text.len)
            continue;
        struct violation *v = violations_add(bad);
        *v = (struct violation){ .offset = t->delimiter ? (size_t)(c->raw.p - record.p) : 0 };
        str_settle(v->path,
                   snprintf(v->path, sizeof v->path, "column \"%.*s\"",
                            STR_ARG(t->columns.name[p->column])),
                   sizeof v->path);
        (void)snprintf(v->message, sizeof v->message,
                       "Byte 0x%02X is not UTF-8; the file may be Latin-1 (Windows-1252).",
                       (unsigned char)c->text.p[valid]);
        (void)snprintf(v->remedy, sizeof v->remedy,
                       "Convert it, as in: iconv -f WINDOWS-1252 -t UTF-8 FILE > NEW.");
        return false;
    }
    return true;
}

/* The cells of a row that can be asked; NULL when it is bad. */
static const struct cell *good_cells(const struct sheet *t, struct arena *a, struct str record,
                                     struct violations *bad)
{
    bad->count = bad->warnings = 0;
    const struct cell *cell = row_cells(t, a, record, bad);

    return bad->count == 0 && check_text(t, cell, record, bad) ? cell : NULL;
}

bool sheet_request(const struct sheet *t, struct arena *a, struct str record, struct str *request,
                   struct violations *bad)
{
    const struct cell *cell = good_cells(t, a, record, bad);
    struct buf out = BUF_INIT(REQUEST_BYTES_MAX);

    if (!cell)
        return false;
    buf_add_str(&out, t->before);
    template_fill(&t->prompt, cell, &out);
    bool empty = out.len == t->before.len;
    buf_add_str(&out, t->after);
    bool fits = buf_ok(&out) && !empty;
    if (fits) {
        *request = (struct str){ arena_copy(a, out.p, out.len), out.len };
    } else {
        struct violation *v = violations_add(bad);
        *v = (struct violation){ 0 };
        if (empty) {
            (void)snprintf(v->message, sizeof v->message, "The filled-in prompt is empty.");
            (void)snprintf(v->remedy, sizeof v->remedy,
                           "Leave such rows out by --where, or write a prompt with words in it.");
        } else {
            (void)snprintf(v->message, sizeof v->message, "The filled-in prompt is over %zu MiB.",
                           REQUEST_BYTES_MAX >> 20);
            (void)snprintf(v->remedy, sizeof v->remedy, "Shorten it.");
        }
    }
    buf_release(&out);
    return fits;
}

bool sheet_prompt(const struct sheet *t, struct arena *a, struct str record, struct buf *out,
                  struct violations *bad)
{
    struct str request;
    size_t at;
    struct error e;

    if (!sheet_request(t, a, record, &request, bad))
        return false;
    struct str text = str_sub(request, t->before.len - 1, request.len - t->before.len + 1);
    text.len = json_skip(text, 0);
    buf_add_str(out, json_str(json_parse(a, text, &at, &e)));
    return true;
}
