/* write_cast.c -- see write.h: arrays and structs, casts and typed literals, and values that become a column's type. */
#include <string.h>

#include "format/sql/lexer.h"
#include "format/sql/write.h"

/* The name of field i of a STRUCT. */
static struct str field_name(struct sql_writer *w, const struct expr *x, uint32_t i,
                             const struct bq_field *type)
{
    struct str name = { 0 };

    if (type && i < type->field_count)
        name = type->fields[i].name;
    else if (x->name)
        name = x->name[i].len ? x->name[i] : expr_name(x->item[i]);
    return name.len ? name : str_of(arena_textf(w->arena, "_field_%u", i + 1));
}

static int write_struct(struct sql_writer *w, const struct expr *x, const struct bq_field *type)
{
    if (!type)
        type = x->type;
    if (type && type->field_count != x->count)
        return write_fail(w, x->at, "STRUCT type has %u fields but constructor call has %u fields",
                          type->field_count, x->count);
    if (!x->count)
        return write_refuse(w, x->at, "STRUCT without fields is not supported");
    buf_add_c(&w->out, "{");
    for (uint32_t i = 0; i < x->count; i++) {
        buf_add_c(&w->out, i ? ", " : "");
        sql_write_string(w, field_name(w, x, i, type));
        buf_add_c(&w->out, ": ");
        if (type ? write_as(w, x->item[i], &type->fields[i]) < 0 : write_expr(w, x->item[i]) < 0)
            return -1;
    }
    buf_add_c(&w->out, "}");
    return 0;
}

const struct expr *named_like(struct sql_writer *w, const struct expr *first, const struct expr *x)
{
    struct expr *named;

    if (x->kind != EXPR_STRUCT || x->type || first->kind != EXPR_STRUCT || first->count != x->count)
        return x;
    named = arena_alloc(w->arena, sizeof(*named));
    *named = *x;
    named->name = arena_array(w->arena, first->count, sizeof(struct str));
    named->item = arena_array(w->arena, first->count, sizeof(struct expr *));
    for (uint32_t i = 0; i < first->count; i++) {
        struct expr *item = arena_alloc(w->arena, sizeof(*item));
        *item = *named_like(w, first->item[i], x->item[i]);
        named->item[i] = item;
        named->name[i] = field_name(w, first, i, first->type);
    }
    return named;
}

/* [a, b] */
static int write_array(struct sql_writer *w, const struct expr *x, const struct bq_field *type)
{
    struct bq_field element = { 0 };

    type = type ? type : x->type;
    if (type)
        element = *type;
    element.mode = BQ_UNSET;
    buf_add_c(&w->out, type ? "CAST([" : "[");
    for (uint32_t i = 0; i < x->count; i++) {
        buf_add_c(&w->out, i ? ", " : "");
        if (type ? write_as(w, x->item[i], &element) < 0
                 : write_expr(w, i ? named_like(w, x->item[0], x->item[i]) : x->item[i]) < 0)
            return -1;
    }
    buf_add_c(&w->out, "]");
    if (type) {
        buf_add_c(&w->out, " AS ");
        write_type(w, type);
        buf_add_c(&w->out, ")");
    }
    return 0;
}

/* "SAFE_CAST FORMAT DATE" and the like. */
static const char *cast_row(struct sql_writer *w, const struct expr *x)
{
    return arena_textf(w->arena, "%sCAST %.*s%s%s", x->safe ? "SAFE_" : "", STR_ARG(x->text),
                       x->text.len ? " " : "", bq_type_sql(x->type->type));
}

/* CAST, by its row when the type is neither array nor struct. */
int write_cast(struct sql_writer *w, const struct expr *x)
{
    const struct bq_field *type = x->type;
    bool plain = type->mode != BQ_REPEATED && type->type != BQ_RECORD;

    if (type->max_length || type->precision)
        return write_refuse(w, x->at, "CAST to a type with parameters is not supported");
    if (x->item[0]->kind == EXPR_NULL)
        plain = false;
    if (plain || x->text.len) {
        const char *row = cast_row(w, x);
        if (sql_operator_find(str_of(row), x->count))
            return write_row(w, row, x, x->item, x->count);
        if (x->text.len)
            return write_refuse(w, x->at, "CAST with %.*s to %s is not supported", STR_ARG(x->text),
                                bq_type_sql(type->type));
    }
    if (!x->safe && (x->item[0]->kind == EXPR_ARRAY || x->item[0]->kind == EXPR_STRUCT))
        return write_as(w, x->item[0], type);
    buf_add_c(&w->out, x->safe ? "TRY_CAST(" : "CAST(");
    if (write_expr(w, x->item[0]) < 0)
        return -1;
    buf_add_c(&w->out, " AS ");
    write_type(w, type);
    buf_add_c(&w->out, ")");
    return 0;
}

int write_as(struct sql_writer *w, const struct expr *x, const struct bq_field *type)
{
    if (x->kind == EXPR_DEFAULT) {
        buf_add_c(&w->out, "DEFAULT");
        return 0;
    }
    if (x->kind == EXPR_STRUCT && !x->type && type->type == BQ_RECORD && type->mode != BQ_REPEATED)
        return write_struct(w, x, type);
    if (x->kind == EXPR_ARRAY && !x->type && type->mode == BQ_REPEATED)
        return write_array(w, x, type);
    buf_add_c(&w->out, "CAST(");
    if (write_expr(w, x) < 0)
        return -1;
    buf_add_c(&w->out, " AS ");
    write_type(w, type);
    buf_add_c(&w->out, ")");
    return 0;
}

/* DATE '2024-01-01': as the cast of a text, so that its errors are BigQuery's. */
int write_literal(struct sql_writer *w, const struct expr *x)
{
    struct expr text = { .kind = EXPR_STRING, .at = x->at, .end = x->end, .text = x->text };
    struct expr *item = &text;
    struct expr cast = { .kind = EXPR_CAST,
                         .at = x->at,
                         .end = x->end,
                         .item = &item,
                         .count = 1,
                         .type = x->type,
                         .text = { 0 } };

    if (x->type->type == BQ_JSON)
        return write_row(w, "PARSE_JSON", x, &item, 1);
    return write_cast(w, &cast);
}

int write_untyped_array(struct sql_writer *w, const struct expr *x)
{
    return write_array(w, x, NULL);
}

int write_untyped_struct(struct sql_writer *w, const struct expr *x)
{
    return write_struct(w, x, NULL);
}
