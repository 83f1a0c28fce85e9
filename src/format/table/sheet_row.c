/* sheet_row.c -- the output's rows: the input's cells as written, then the answer. */
#include "format/table/sheet.h"

#include <string.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "format/row.h"
#include "format/table/row_cells.h"

/* An answer, taken apart. */
struct answered {
    struct str text; /* of the answer; field by field when there are fields */
    bool has_text;
    yyjson_val *object; /* of an answer with fields; NULL: none */
    struct str vector;  /* the only field of an answer that embeds: a JSON list; empty: none */
    struct str error;   /* empty: none */
    bool has_tokens;
    uint64_t tokens;
    struct str reused; /* when it was made, of an answer that is used again; empty: it is new */
};

/* ---- The answer ---- */

/* The parts of the first candidate, without its thoughts, one after the other. */
static void take_text(struct arena *a, yyjson_val *response, struct answered *out)
{
    yyjson_val *candidate = yyjson_arr_get_first(json_get(response, "candidates"));
    yyjson_val *parts = json_get(json_get(candidate, "content"), "parts"), *part;
    struct buf text = BUF_INIT(RESPONSE_BYTES_MAX);
    yyjson_arr_iter it;

    if (!yyjson_arr_iter_init(parts, &it))
        return;
    while ((part = yyjson_arr_iter_next(&it))) {
        if (yyjson_is_true(json_get(part, "thought")) || !json_get(part, "text"))
            continue;
        struct str piece = json_str(json_get(part, "text"));
        out->has_text = true;
        if (out->text.len == 0) {
            out->text = piece;
            continue;
        }
        if (text.len == 0)
            buf_add_str(&text, out->text);
        buf_add_str(&text, piece);
    }
    if (text.len)
        out->text = (struct str){ arena_copy(a, text.p, text.len), text.len };
    buf_release(&text);
}

/* The reason for an answer without a text, or that is cut. */
static struct str reason_of(struct arena *a, yyjson_val *response, const char *what)
{
    yyjson_val *candidate = yyjson_arr_get_first(json_get(response, "candidates"));
    struct str why = json_str(json_get(candidate, "finishReason"));

    if (why.len == 0)
        why = json_str(json_get(json_get(response, "promptFeedback"), "blockReason"));
    return str_of(arena_textf(a, "%s (%.*s)", what, STR_ARG(why.len ? why : STR("no reason"))));
}

static void take_embedding(struct str response, struct answered *out)
{
    struct str usage = json_member_value(response, STR("usageMetadata"));

    out->vector = json_member_value(json_member_value(response, STR("embedding")), STR("values"));
    out->has_tokens = str_number(json_member_value(usage, STR("totalTokenCount")), &out->tokens);
    if (!out->vector.len)
        out->error = STR("the answer has no embedding");
}

static void take_response(const struct sheet *t, struct arena *a, struct str response,
                          struct answered *out)
{
    struct error ignored = { 0 };
    size_t at;
    yyjson_val *root = json_parse(a, response, &at, &ignored);

    take_text(a, root, out);
    out->has_tokens =
        json_count(json_get(json_get(root, "usageMetadata"), "totalTokenCount"), &out->tokens);
    if (!out->has_text)
        out->error = reason_of(a, root, "the answer has no text");
    if (!out->has_text || t->field_count == 0)
        return;
    yyjson_val *object = json_parse(a, out->text, &at, &ignored);
    if (yyjson_is_obj(object))
        out->object = object;
    else
        out->error = reason_of(a, root, "the answer is not a JSON object");
}

static struct answered take_answer(const struct sheet *t, struct arena *a,
                                   const struct sheet_answer *answer)
{
    struct answered out = { 0 };

    if (answer->reused_us) {
        char *at = arena_alloc(a, CLOCK_TEXT_BYTES);
        clock_format_rfc3339(answer->reused_us, at);
        out.reused = str_of(at);
    }
    if (answer->status.len)
        out.error = row_status_text(a, answer->status);
    else if (t->embed)
        take_embedding(answer->response, &out);
    else
        take_response(t, a, answer->response, &out);
    return out;
}

/* ---- Rows of cells ---- */

/* A spreadsheet takes a cell that begins so for a formula, whoever wrote it. */
static bool is_formula(struct str text)
{
    static const char first[] = { '=', '+', '-', '@', '\t', '\r' };

    return text.len && memchr(first, text.p[0], sizeof first);
}

struct cells_out {
    const struct sheet *t;
    struct arena *arena;
    struct buf *out;
    uint32_t count, formulas;
};

static void add_delimiter(struct cells_out *w)
{
    if (w->count++)
        buf_add_char(w->out, w->t->output_delimiter);
}

static void add_text(struct cells_out *w, struct str text)
{
    add_delimiter(w);
    cell_write(w->out, text, w->t->output_delimiter);
}

static void add_answer(struct cells_out *w, struct str text)
{
    bool formula = is_formula(text);

    w->formulas += formula;
    if (formula && w->t->excel)
        text = str_of(arena_textf(w->arena, "'%.*s", STR_ARG(text)));
    add_text(w, text);
}

static void add_line_end(struct cells_out *w)
{
    buf_add_c(w->out, w->t->crlf ? "\r\n" : "\n");
}

/* A cell whose quotes are wrong would take in the cells behind it: it is written as a text. */
static void add_input(struct cells_out *w, struct str record)
{
    const struct sheet *t = w->t;
    const struct cell *cell = row_cells(t, w->arena, record, NULL);

    for (uint32_t i = 0; i < t->columns.count; i++) {
        if (!t->keep[i])
            continue;
        if (cell[i].null)
            add_delimiter(w);
        else if (t->delimiter == t->output_delimiter && !cell[i].fault) {
            add_delimiter(w);
            buf_add_str(w->out, cell[i].raw);
        } else {
            add_text(w, cell[i].text);
        }
    }
}

/* A property of the answer: a string as it is, all else as JSON. */
static void add_field(struct cells_out *w, const struct answered *a, struct str field)
{
    yyjson_val *value = yyjson_obj_getn(a->object, field.p, field.len);

    if (!value || yyjson_is_null(value))
        add_delimiter(w);
    else
        add_answer(w, yyjson_is_str(value) ? json_str(value) : json_text(w->arena, value));
}

static void write_cells(struct cells_out *w, struct str record, const struct answered *a)
{
    const struct sheet *t = w->t;

    add_input(w, record);
    if (t->embed && a->vector.len)
        add_text(w, a->vector);
    else if (t->embed)
        add_delimiter(w);
    for (uint32_t i = 0; !t->embed && i < t->field_count; i++)
        add_field(w, a, t->field[i]);
    if (t->field_count == 0 && a->has_text)
        add_answer(w, a->text);
    else if (t->field_count == 0)
        add_delimiter(w);
    if (a->error.len)
        add_text(w, a->error);
    else
        add_delimiter(w);
    add_delimiter(w);
    if (a->has_tokens)
        buf_addf(w->out, "%llu", (unsigned long long)a->tokens);
    if (t->mark_reused && a->reused.len)
        add_text(w, a->reused);
    else if (t->mark_reused)
        add_delimiter(w);
    add_line_end(w);
}

void sheet_write_head(const struct sheet *t, struct buf *out)
{
    struct cells_out w = { .t = t, .out = out };

    if (t->output_delimiter == '\0')
        return;
    if (t->bom)
        buf_add_c(out, "\xEF\xBB\xBF");
    for (uint32_t i = 0; i < t->columns.count; i++) {
        if (t->keep[i] && t->delimiter == t->output_delimiter) {
            add_delimiter(&w);
            buf_add_str(out, t->header[i]);
        } else if (t->keep[i]) {
            add_text(&w, t->columns.name[i]);
        }
    }
    for (uint32_t i = 0; i < t->added_count; i++)
        add_text(&w, t->added[i]);
    add_line_end(&w);
}

/* ---- Rows of JSON ---- */

static bool is_kept(const struct sheet *t, struct str key_as_written)
{
    struct str quoted = { key_as_written.p - 1, key_as_written.len + 2 };
    struct arena a = { 0 };
    struct error ignored = { 0 };
    size_t at;
    struct str name = json_str(json_parse(&a, quoted, &at, &ignored));
    bool kept = false;

    for (uint32_t i = 0; i < t->columns.count && !kept; i++)
        kept = t->keep[i] && str_eq(t->columns.name[i], name);
    arena_release(&a);
    return kept;
}

/* The members of a JSON row as written. */
static void add_members(const struct sheet *t, struct str record, struct json_writer *w)
{
    struct json_member m = { 0 };

    while (json_member_next(record, &m)) {
        if (!t->keep_all && !is_kept(t, m.key))
            continue;
        json_key_raw(w, m.key);
        json_add_raw(w, NULL, m.value);
    }
}

static bool is_json_object(struct arena *a, struct str record)
{
    struct error ignored = { 0 };
    size_t at;

    return yyjson_is_obj(json_parse(a, record, &at, &ignored));
}

static void add_text_or_null(struct json_writer *w, struct str key, bool has, struct str text)
{
    json_key(w, key);
    if (has)
        json_add_text(w, NULL, text);
    else
        json_add_null(w, NULL);
}

static void add_columns(const struct sheet *t, struct arena *a, struct str record,
                        struct json_writer *w)
{
    const struct cell *cell = row_cells(t, a, record, NULL);

    for (uint32_t i = 0; i < t->columns.count; i++) {
        if (t->keep[i])
            add_text_or_null(w, t->columns.name[i], !cell[i].null, cell[i].text);
    }
}

static void write_json(const struct sheet *t, struct arena *a, struct str record,
                       const struct answered *answer, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);
    uint32_t added = 0;

    json_object(&w, NULL);
    if (t->delimiter)
        add_columns(t, a, record, &w);
    else if (is_json_object(a, record))
        add_members(t, record, &w);
    for (uint32_t i = 0; i < t->field_count; i++) {
        yyjson_val *value = yyjson_obj_getn(answer->object, t->field[i].p, t->field[i].len);
        struct str text = value ? json_text(a, value) : answer->vector;
        json_key(&w, t->added[added++]);
        json_add_raw(&w, NULL, text.len ? text : STR("null"));
    }
    if (t->field_count == 0)
        add_text_or_null(&w, t->added[added++], answer->has_text, answer->text);
    add_text_or_null(&w, t->added[added], answer->error.len > 0, answer->error);
    json_key(&w, t->added[t->tokens_at]);
    if (answer->has_tokens)
        json_add_uint(&w, NULL, answer->tokens);
    else
        json_add_null(&w, NULL);
    if (t->mark_reused)
        add_text_or_null(&w, t->added[t->tokens_at + 1], answer->reused.len > 0, answer->reused);
    json_end(&w);
    buf_add_char(out, '\n');
}

uint32_t sheet_write_row(const struct sheet *t, struct arena *a, struct str record,
                         const struct sheet_answer *answer, struct buf *out)
{
    const struct answered taken = take_answer(t, a, answer);
    struct cells_out w = { .t = t, .arena = a, .out = out };

    if (t->output_delimiter)
        write_cells(&w, record, &taken);
    else
        write_json(t, a, record, &taken, out);
    return w.formulas;
}
