#include "format/table/template.h"

#include <assert.h>
#include <string.h>

struct reader {
    struct str text;
    size_t at;
    const struct columns *columns;
    struct arena *arena;
    struct template *out;
    uint32_t open[TEMPLATE_DEPTH_MAX]; /* conditional pieces whose end is not read yet */
    uint32_t depth;
    struct error *error;
};

static int wrong(const struct reader *r, size_t at, const char *why)
{
    return error_set(r->error, ERROR_INVALID_ARGUMENT, "the prompt, character %zu: %s", at + 1,
                     why);
}

static struct template_piece *add_piece(struct reader *r, enum piece_kind kind)
{
    r->out->piece = arena_list_grow(r->arena, r->out->piece, r->out->count, sizeof *r->out->piece);
    struct template_piece *p = &r->out->piece[r->out->count++];
    *p = (struct template_piece){ .kind = kind };
    return p;
}

/* Text up to the next brace that is not doubled. */
static int read_text(struct reader *r)
{
    struct buf text = BUF_INIT(r->text.len * 6 + 1);

    while (r->at < r->text.len) {
        size_t from = r->at;
        while (r->at < r->text.len && r->text.p[r->at] != '{' && r->text.p[r->at] != '}')
            r->at++;
        buf_add_json_inside(&text, str_sub(r->text, from, r->at - from));
        if (r->at + 1 >= r->text.len || r->text.p[r->at + 1] != r->text.p[r->at])
            break;
        buf_add_char(&text, r->text.p[r->at]);
        r->at += 2;
    }
    if (text.len)
        add_piece(r, PIECE_TEXT)->text =
            (struct str){ arena_copy(r->arena, text.p, text.len), text.len };
    buf_release(&text);
    return 0;
}

/* The quoted name that begins at r->at: decoded; r->at is then behind its closing quote. */
static int read_quoted(struct reader *r, struct str *name)
{
    struct str rest = str_sub(r->text, r->at, r->text.len);
    char *out = arena_alloc(r->arena, rest.len);
    size_t len = 0, i = 1;

    for (; i < rest.len && (rest.p[i] != '"' || (i + 1 < rest.len && rest.p[i + 1] == '"')); i++) {
        out[len++] = rest.p[i];
        i += rest.p[i] == '"';
    }
    if (i >= rest.len)
        return wrong(r, r->at, "the quote of this column's name is not closed");
    *name = (struct str){ out, len };
    r->at += i + 1;
    return 0;
}

/* The column's name up to "}" or ":json}", which is read, too. */
static int read_column(struct reader *r, size_t brace, uint32_t *column, bool *json)
{
    struct str name = { 0 };
    bool quoted = r->at < r->text.len && r->text.p[r->at] == '"';

    if (quoted && read_quoted(r, &name) < 0)
        return -1;
    size_t from = r->at;
    while (r->at < r->text.len && r->text.p[r->at] != '}' && r->text.p[r->at] != '{')
        r->at++;
    if (r->at == r->text.len || r->text.p[r->at] == '{')
        return wrong(r, brace, "this { has no }; a brace that is text is written {{ or }}");
    struct str rest = str_sub(r->text, from, r->at - from);
    r->at++;
    *json = str_ends(rest, STR(":json"));
    if (*json)
        rest.len -= strlen(":json");
    if (quoted && rest.len)
        return wrong(r, brace,
                     "only } or :json} may follow a column's name in quotes; a brace that is text "
                     "is written {{ or }}");
    if (!quoted)
        name = rest;
    if (name.len == 0)
        return wrong(r, brace, "a column's name is missing; a brace that is text is written {{");
    if (columns_find(r->columns, name, column, r->error) < 0)
        return error_wrap(r->error, "the prompt, character %zu", brace + 1);
    return 0;
}

static int end_condition(struct reader *r, size_t brace)
{
    if (r->depth == 0)
        return wrong(r, brace, "this {/} has no {?column} or {!column} before it");
    r->out->piece[r->open[--r->depth]].next = r->out->count;
    r->at = brace + strlen("{/}");
    return 0;
}

/* Reads a column, a condition or its end. */
static int read_braces(struct reader *r)
{
    size_t brace = r->at++;
    enum piece_kind kind = PIECE_CELL;
    bool json = false;
    uint32_t column = 0;

    if (r->text.p[brace] == '}')
        return wrong(r, brace, "this } has no {; a brace that is text is written }}");
    if (str_starts(str_sub(r->text, r->at, r->text.len), STR("/}")))
        return end_condition(r, brace);
    if (r->at < r->text.len && (r->text.p[r->at] == '?' || r->text.p[r->at] == '!'))
        kind = r->text.p[r->at++] == '?' ? PIECE_IF : PIECE_IF_NOT;
    if (read_column(r, brace, &column, &json) < 0)
        return -1;
    if (json && kind != PIECE_CELL)
        return wrong(r, brace, "a condition has no :json");
    if (kind != PIECE_CELL) {
        if (r->depth == TEMPLATE_DEPTH_MAX)
            return wrong(r, brace, "conditions are nested too deep");
        r->open[r->depth++] = r->out->count;
    }
    add_piece(r, json ? PIECE_CELL_JSON : kind)->column = column;
    return 0;
}

int template_read(struct template *t, struct arena *a, struct str text, const struct columns *c,
                  struct error *e)
{
    struct reader r = { .text = text, .columns = c, .arena = a, .out = t, .error = e };
    bool names_column = false;

    *t = (struct template){ 0 };
    while (r.at < text.len) {
        if (t->count >= TEMPLATE_PIECES_MAX)
            return wrong(&r, r.at, "the prompt has too many columns");
        if (read_text(&r) < 0 || (r.at < text.len && read_braces(&r) < 0))
            return -1;
    }
    if (r.depth)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "the prompt has a {?column} or {!column} without its {/}");
    for (uint32_t i = 0; i < t->count; i++)
        names_column |= t->piece[i].kind == PIECE_CELL || t->piece[i].kind == PIECE_CELL_JSON;
    if (!names_column)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "the prompt names no column, so all rows would ask the same; put one in "
                         "braces, as in {%.*s}",
                         STR_ARG(c->name[c->count - 1]));
    return 0;
}

/* The text as a JSON string that stands in a JSON string: escaped twice. */
static void add_json(struct buf *out, const struct cell *c)
{
    struct buf once = BUF_INIT(c->text.len * 6 + 2);

    if (c->null) {
        buf_add_c(out, "null");
        return;
    }
    buf_add_json(&once, c->text);
    buf_add_json_inside(out, buf_str(&once));
    buf_release(&once);
}

void template_fill(const struct template *t, const struct cell *cell, struct buf *out)
{
    for (uint32_t i = 0; i < t->count;) {
        const struct template_piece *p = &t->piece[i++];
        const struct cell *c = p->kind == PIECE_TEXT ? NULL : &cell[p->column];
        switch (p->kind) {
        case PIECE_TEXT:
            buf_add_str(out, p->text);
            break;
        case PIECE_CELL:
            buf_add_json_inside(out, c->text);
            break;
        case PIECE_CELL_JSON:
            add_json(out, c);
            break;
        case PIECE_IF:
        case PIECE_IF_NOT:
            if ((c->text.len > 0) != (p->kind == PIECE_IF))
                i = p->next;
            break;
        }
    }
}
