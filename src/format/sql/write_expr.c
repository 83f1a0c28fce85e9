/* write_expr.c -- see write.h: expressions. Operators and casts go through the table of functions. */
#include <assert.h>
#include <string.h>

#include "format/sql/lexer.h"
#include "format/sql/write.h"

/* ---- Literals ---- */

void sql_write_text(struct sql_writer *w, const char *text)
{
    buf_add_c(&w->out, text);
}

/* 'it''s'; a NUL, which DuckDB's parser does not read, becomes chr(0). */
void sql_write_string(struct sql_writer *w, struct str text)
{
    bool nul = text.len && memchr(text.p, '\0', text.len);

    buf_add_c(&w->out, nul ? "('" : "'");
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] == '\0')
            buf_add_c(&w->out, "' || chr(0) || '");
        else if (text.p[i] == '\'')
            buf_add_c(&w->out, "''");
        else
            buf_add_char(&w->out, text.p[i]);
    buf_add_c(&w->out, nul ? "')" : "'");
}

static void write_bytes(struct sql_writer *w, struct str bytes)
{
    static const char digits[] = "0123456789ABCDEF";

    buf_add_c(&w->out, "'");
    for (size_t i = 0; i < bytes.len; i++) {
        unsigned char b = (unsigned char)bytes.p[i];
        char text[5] = { '\\', 'x', digits[b >> 4], digits[b & 15], '\0' };
        buf_add_c(&w->out, text);
    }
    buf_add_c(&w->out, "'::BLOB");
}

static void write_float(struct sql_writer *w, struct str text)
{
    bool exponent = memchr(text.p, 'e', text.len) || memchr(text.p, 'E', text.len);
    bool odd = text.p[0] == '.' || memchr(text.p, '.', text.len) == text.p + text.len - 1 ||
               str_find(text, STR(".e")) != SIZE_MAX || str_find(text, STR(".E")) != SIZE_MAX;

    if (odd)
        buf_addf(&w->out, "'%.*s'::DOUBLE", STR_ARG(text));
    else
        buf_addf(&w->out, "%.*s%s", STR_ARG(text), exponent ? "" : "e0");
}

/* ---- Names ---- */

/* A temporary function's argument: its text stands in the body. */
static bool write_argument(struct sql_writer *w, struct str name)
{
    for (uint32_t i = 0; w->frame && i < w->frame->count; i++)
        if (same_name(w->frame->argument[i].name, name)) {
            buf_add_str(&w->out, w->frame->argument[i].text);
            return true;
        }
    return false;
}

static void write_lower(struct sql_writer *w, struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        buf_add_char(&w->out, c >= 'A' && c <= 'Z' ? (char)(c + 32) : c);
    }
}

/* A bound value, whose type the binder must know before it is bound. */
static void write_bound(struct sql_writer *w, char kind, struct str name,
                        const struct bq_field *type)
{
    buf_addf(&w->out, "CAST($%c_", kind);
    write_lower(w, name);
    buf_add_c(&w->out, " AS ");
    write_type(w, type);
    buf_add_c(&w->out, ")");
}

static int write_name_expr(struct sql_writer *w, const struct expr *x)
{
    const struct range_column *range;
    const struct sql_variable *variable;

    if (write_argument(w, x->text))
        return 0;
    range = scope_range(w, x->text);
    if (range) {
        buf_add_str(&w->out, range->printed);
        return 0;
    }
    variable = scope_find(w, x->text) ? NULL : find_variable(w, x->text);
    if (variable && !scope_has_column(w, x->text)) {
        write_bound(w, 'v', x->text, &variable->type);
        return 0;
    }
    if (sql_word_is(x->text, "_PARTITIONDATE") && !scope_lacks(w, STR("_PARTITIONTIME"))) {
        buf_add_c(&w->out, "CAST(\"_PARTITIONTIME\" AS DATE)");
        return 0;
    }
    const struct source *source = scope_find(w, x->text);
    if (!source && scope_lacks(w, x->text))
        return write_fail(w, x->at, "Unrecognized name: %.*s", STR_ARG(x->text));
    const struct source *owner = source ? NULL : scope_outer_owner(w, x->text);
    if (source)
        buf_add_str(&w->out, source->printed); /* the row as a STRUCT */
    else if (owner) /* DuckDB would take an alias of the inner list first */
        buf_addf(&w->out, "%.*s.", STR_ARG(owner->printed));
    if (!source)
        write_name(w, x->text);
    return 0;
}

static int write_parameter(struct sql_writer *w, const struct expr *x)
{
    const struct sql_env *env = w->env;
    bool by_place = x->text.p[0] >= '0' && x->text.p[0] <= '9';
    uint64_t place = 0;

    if (by_place && str_number(x->text, &place) && place <= env->parameter_count &&
        !env->parameter[place - 1].name.len) {
        write_bound(w, 'p', x->text, &env->parameter[place - 1].type);
        return 0;
    }
    for (uint32_t i = 0; !by_place && i < env->parameter_count; i++)
        if (same_name(env->parameter[i].name, x->text)) {
            write_bound(w, 'p', x->text, &env->parameter[i].type);
            return 0;
        }
    if (!env->dry_run)
        return by_place
                   ? write_fail(w, x->at, "Query parameter number %.*s not found", STR_ARG(x->text))
                   : write_fail(w, x->at, "Query parameter '%.*s' not found", STR_ARG(x->text));
    struct sql_written *out = w->written;
    out->undeclared =
        arena_list_grow(w->arena, out->undeclared, out->undeclared_count, sizeof(*out->undeclared));
    out->undeclared[out->undeclared_count++] =
        (struct bq_field){ .name = by_place ? (struct str){ 0 } : x->text, .type = BQ_STRING };
    buf_add_c(&w->out, "NULL");
    return 0;
}

static int write_system(struct sql_writer *w, const struct expr *x)
{
    const struct sql_env *env = w->env;
    const struct {
        const char *name;
        struct str value;
    } texts[] = {
        { "PROJECT_ID", env->project },
        { "DATASET_ID", env->default_dataset.dataset },
        { "DATASET_PROJECT_ID", env->default_dataset.project },
        { "TIME_ZONE", STR("UTC") },
        { "SESSION_ID", env->session_id },
        { "LOCATION", env->location },
        { "ERROR.MESSAGE", env->error_message },
        { "ERROR.STATEMENT_TEXT", env->error_statement },
        { "SCRIPT.JOB_ID", env->job_id },
        { "LAST_JOB_ID", env->job_id },
    };

    if (sql_word_is(x->text, "ROW_COUNT")) {
        buf_addf(&w->out, "%lld::BIGINT", (long long)env->row_count);
        return 0;
    }
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        if (sql_word_is(x->text, texts[i].name)) {
            if (texts[i].value.len)
                sql_write_string(w, texts[i].value);
            else
                buf_add_c(&w->out, "CAST(NULL AS VARCHAR)");
            return 0;
        }
    return write_fail(w, x->at, "Unrecognized system variable: @@%.*s", STR_ARG(x->text));
}

/* ---- Fields and elements ---- */

static int write_json_step(struct sql_writer *w, const struct expr *x, const char *row,
                           struct expr *step)
{
    struct expr *items[2] = { x->item[0], step };

    return write_row(w, row, x, items, 2);
}

static int write_field(struct sql_writer *w, const struct expr *x)
{
    const struct expr *of = x->item[0];
    bool path = of->kind == EXPR_NAME && !scope_range(w, of->text) && scope_find(w, of->text);
    struct expr key = { .kind = EXPR_STRING, .at = x->at, .text = x->text };
    struct bq_field type;

    if (!path && infer_type(w, of, &type)) {
        if (type.mode == BQ_REPEATED)
            return write_fail(w, x->at, "Cannot access field %.*s on a value with type ARRAY",
                              STR_ARG(x->text));
        if (type.type == BQ_JSON)
            return write_json_step(w, x, "JSON FIELD", &key);
        if (type.type != BQ_RECORD)
            return write_fail(w, x->at, "Cannot access field %.*s on a value with type %s",
                              STR_ARG(x->text), bq_type_sql(type.type));
    }
    if (path && sql_word_is(x->text, "_PARTITIONDATE")) {
        buf_addf(&w->out, "CAST(%.*s.\"_PARTITIONTIME\" AS DATE)",
                 STR_ARG(scope_find(w, of->text)->printed));
        return 0;
    }
    /* A chain of names is printed as one: "t"."a"."b"; all else needs brackets. */
    bool plain = of->kind == EXPR_NAME || of->kind == EXPR_FIELD;
    buf_add_c(&w->out, plain ? "" : "(");
    if (write_expr(w, of) < 0)
        return -1;
    buf_add_c(&w->out, plain ? "." : ").");
    write_name(w, x->text);
    return 0;
}

static int write_index(struct sql_writer *w, const struct expr *x)
{
    struct bq_field type;
    bool json = x->item[1]->kind == EXPR_STRING || sql_word_is(x->text, "KEY");
    const char *row;

    if (!x->text.len && !json && infer_type(w, x->item[0], &type)) {
        json = type.type == BQ_JSON && type.mode != BQ_REPEATED;
        if (!json && type.mode != BQ_REPEATED)
            return write_fail(w, x->at,
                              "Element access using [] is not supported on values of type %s",
                              bq_type_sql(type.type));
    }
    if (json)
        row = x->item[1]->kind == EXPR_STRING ? "JSON FIELD" : "JSON ELEMENT";
    else
        row = arena_textf(w->arena, "[%.*s]", STR_ARG(x->text.len ? x->text : STR("OFFSET")));
    return write_row(w, row, x, x->item, x->count);
}

/* ---- Constructors ---- */

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
    named->item = arena_array(w->arena, first->count, sizeof(*named->item));
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

/* CAST, by its row when the type is no array or struct. */
static int write_cast(struct sql_writer *w, const struct expr *x)
{
    const struct bq_field *type = x->type;
    bool plain = type->mode != BQ_REPEATED && type->type != BQ_RECORD;
    const struct sql_function *any;

    if (type->max_length || type->precision)
        return write_refuse(w, x->at, "CAST to a type with parameters is not supported");
    if (x->item[0]->kind == EXPR_NULL)
        plain = false;
    if (plain || x->text.len) {
        const char *row =
            arena_textf(w->arena, "%sCAST %.*s%s%s", x->safe ? "SAFE_" : "", STR_ARG(x->text),
                        x->text.len ? " " : "", bq_type_sql(type->type));
        if (sql_function_find(str_of(row), x->count, &any))
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
static int write_literal(struct sql_writer *w, const struct expr *x)
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
    const struct sql_function *any;

    if (x->type->type == BQ_JSON && sql_function_find(STR("PARSE_JSON"), 1, &any))
        return write_row(w, "PARSE_JSON", x, &item, 1);
    return write_cast(w, &cast);
}

/* ---- Conditions ---- */

static int write_between(struct sql_writer *w, const char *a, const struct expr *x, const char *b,
                         const struct expr *y, const char *c)
{
    buf_add_c(&w->out, a);
    if (write_expr(w, x) < 0)
        return -1;
    buf_add_c(&w->out, b);
    if (y && write_expr(w, y) < 0)
        return -1;
    buf_add_c(&w->out, c);
    return 0;
}

static int write_in(struct sql_writer *w, const struct expr *x)
{
    if (write_between(w, "(", x->item[0], x->negated ? " NOT IN (" : " IN (", NULL, "") < 0)
        return -1;
    if (x->query) {
        if (write_query(w, x->query, true) < 0)
            return -1;
    } else {
        for (uint32_t i = 1; i < x->count; i++) {
            buf_add_c(&w->out, i > 1 ? ", " : "");
            if (write_expr(w, x->item[i]) < 0)
                return -1;
        }
    }
    buf_add_c(&w->out, "))");
    return 0;
}

/* x LIKE ANY (a, b): one LIKE for each. */
static int write_like_list(struct sql_writer *w, const struct expr *x)
{
    bool any = sql_word_is(x->text, "ANY");

    if (x->kind == EXPR_LIKE_UNNEST)
        return write_refuse(w, x->at, "LIKE ANY and LIKE ALL of an array are not supported");
    buf_add_c(&w->out, x->negated ? "(NOT (" : "((");
    for (uint32_t i = 1; i < x->count; i++) {
        struct expr *items[2] = { x->item[0], x->item[i] };
        buf_add_c(&w->out, i == 1 ? "" : any ? " OR " : " AND ");
        if (write_row(w, "LIKE", x, items, 2) < 0)
            return -1;
    }
    buf_add_c(&w->out, "))");
    return 0;
}

static int write_joined(struct sql_writer *w, const struct expr *x)
{
    buf_add_c(&w->out, "(");
    for (uint32_t i = 0; i < x->count; i++) {
        buf_add_c(&w->out, i == 0 ? "" : x->kind == EXPR_AND ? " AND " : " OR ");
        if (write_expr(w, x->item[i]) < 0)
            return -1;
    }
    buf_add_c(&w->out, ")");
    return 0;
}

static int write_is(struct sql_writer *w, const struct expr *x)
{
    if (sql_word_is(x->text, "NULL"))
        return write_between(w, "(", x->item[0], x->negated ? " IS NOT NULL)" : " IS NULL)", NULL,
                             "");
    return write_between(w, "(", x->item[0],
                         x->negated ? " IS DISTINCT FROM " : " IS NOT DISTINCT FROM ", NULL,
                         sql_word_is(x->text, "TRUE") ? "true)" : "false)");
}

static int write_case(struct sql_writer *w, const struct expr *x)
{
    uint32_t i = 0;

    buf_add_c(&w->out, "CASE");
    if (x->has_operand && write_between(w, " ", x->item[i++], "", NULL, "") < 0)
        return -1;
    for (; i + 1 < x->count; i += 2)
        if (write_between(w, " WHEN ", x->item[i], " THEN ", x->item[i + 1], "") < 0)
            return -1;
    if (x->has_else && write_between(w, " ELSE ", x->item[i], "", NULL, "") < 0)
        return -1;
    buf_add_c(&w->out, " END");
    return 0;
}

static int write_subquery(struct sql_writer *w, const struct expr *x)
{
    buf_add_c(&w->out, x->kind == EXPR_ARRAY_QUERY ? "ARRAY("
                       : x->kind == EXPR_EXISTS    ? "EXISTS("
                                                   : "(");
    if (write_query(w, x->query, x->kind != EXPR_EXISTS) < 0)
        return -1;
    buf_add_c(&w->out, ")");
    return 0;
}

static int write_lambda(struct sql_writer *w, const struct expr *x)
{
    scope_open(w);
    buf_add_c(&w->out, "lambda ");
    for (uint32_t i = 0; i < x->count; i++) {
        struct source *source = scope_add(w, (struct str){ 0 });
        size_t mark = write_mark(w);
        write_name(w, x->name[i]);
        struct str printed = write_take(w, mark);
        source->column[0] = (struct range_column){ .name = x->name[i], .printed = printed };
        source->column_count = 1;
        source->lambda = true;
        buf_addf(&w->out, "%s%.*s", i ? ", " : "", STR_ARG(printed));
    }
    int rc = write_between(w, " : ", x->item[0], "", NULL, "");
    scope_close(w);
    return rc;
}

/* ---- Operators ---- */

/* Types that compare with each other without a cast: numbers do, others with their own kind. */
static enum bq_type comparison_class(const struct bq_field *f)
{
    if (f->mode == BQ_REPEATED)
        return BQ_TYPE_COUNT;
    if (f->type == BQ_FLOAT || f->type == BQ_NUMERIC || f->type == BQ_BIGNUMERIC)
        return BQ_INTEGER;
    return f->type;
}

static bool is_literal(const struct expr *x)
{
    return x->kind == EXPR_STRING || x->kind == EXPR_BYTES || x->kind == EXPR_NULL ||
           x->kind == EXPR_PARAMETER;
}

/* DuckDB would cast one side; BigQuery refuses it. Only what is known without asking the catalog is checked. */
static int check_comparison(struct sql_writer *w, const struct expr *x)
{
    static const char *const signs[] = { "=", "<>", "<", "<=", ">", ">=" };
    struct bq_field a, b;
    bool compares = false;

    for (size_t i = 0; i < ARRAY_LEN(signs); i++)
        compares = compares || str_eq_c(x->text, signs[i]);
    if (!compares || is_literal(x->item[0]) || is_literal(x->item[1]) ||
        !known_type(w, x->item[0], &a) || !known_type(w, x->item[1], &b) ||
        comparison_class(&a) == comparison_class(&b))
        return 0;
    struct buf text = BUF_INIT(ERROR_MSG_BYTES);
    struct str names[2];
    bq_field_sql(&text, &a);
    names[0] = (struct str){ arena_copy(w->arena, text.p, text.len), text.len };
    buf_clear(&text);
    bq_field_sql(&text, &b);
    names[1] = (struct str){ arena_copy(w->arena, text.p, text.len), text.len };
    buf_release(&text);
    bool swap = str_cmp(names[0], names[1]) > 0;
    return write_fail(w, x->at,
                      "No matching signature for operator %.*s for argument types: %.*s, %.*s\n"
                      "  Signature: T1 %.*s T1\n"
                      "    Unable to find common supertype for templated argument <T1>\n"
                      "      Input types for <T1>: {%.*s, %.*s}",
                      STR_ARG(x->text), STR_ARG(names[0]), STR_ARG(names[1]), STR_ARG(x->text),
                      STR_ARG(names[swap]), STR_ARG(names[!swap]));
}

static int write_operator(struct sql_writer *w, const struct expr *x)
{
    const char *row = arena_textf(w->arena, "%.*s", STR_ARG(x->text));

    if (check_comparison(w, x) < 0)
        return -1;
    buf_add_c(&w->out, x->negated ? "(NOT " : "");
    if (write_row(w, row, x, x->item, x->count) < 0)
        return -1;
    buf_add_c(&w->out, x->negated ? ")" : "");
    return 0;
}

/* ---- All ---- */

static int write_kind(struct sql_writer *w, const struct expr *x)
{
    switch (x->kind) {
    case EXPR_NULL:
        buf_add_c(&w->out, "NULL");
        return 0;
    case EXPR_BOOL:
        buf_add_c(&w->out, sql_word_is(x->text, "TRUE") ? "true" : "false");
        return 0;
    case EXPR_INTEGER:
        buf_addf(&w->out, x->text.p[0] == '-' ? "(%.*s)::BIGINT" : "%.*s::BIGINT",
                 STR_ARG(x->text));
        return 0;
    case EXPR_FLOAT:
        write_float(w, x->text);
        return 0;
    case EXPR_STRING:
        sql_write_string(w, x->text);
        return 0;
    case EXPR_BYTES:
        write_bytes(w, x->text);
        return 0;
    case EXPR_LITERAL:
        return write_literal(w, x);
    case EXPR_PARAMETER:
        return write_parameter(w, x);
    case EXPR_SYSTEM:
        return write_system(w, x);
    case EXPR_NAME:
        return write_name_expr(w, x);
    case EXPR_FIELD:
        return write_field(w, x);
    case EXPR_INDEX:
        return write_index(w, x);
    case EXPR_CALL:
        return write_call(w, x);
    case EXPR_OPERATOR:
        return write_operator(w, x);
    case EXPR_AND:
    case EXPR_OR:
        return write_joined(w, x);
    case EXPR_NOT:
        return write_between(w, "(NOT ", x->item[0], ")", NULL, "");
    case EXPR_IS:
        return write_is(w, x);
    case EXPR_BETWEEN:
        if (write_between(w, "(", x->item[0], x->negated ? " NOT BETWEEN " : " BETWEEN ",
                          x->item[1], " AND ") < 0)
            return -1;
        return write_between(w, "", x->item[2], ")", NULL, "");
    case EXPR_IN:
    case EXPR_IN_QUERY:
        return write_in(w, x);
    case EXPR_IN_UNNEST:
        buf_add_c(&w->out, x->negated ? "(NOT " : "");
        if (write_row(w, "IN UNNEST", x, x->item, x->count) < 0)
            return -1;
        buf_add_c(&w->out, x->negated ? ")" : "");
        return 0;
    case EXPR_LIKE_LIST:
    case EXPR_LIKE_UNNEST:
        return write_like_list(w, x);
    case EXPR_CASE:
        return write_case(w, x);
    case EXPR_CAST:
        return write_cast(w, x);
    case EXPR_EXTRACT:
        return write_row(w, "EXTRACT", x, x->item, x->count);
    case EXPR_INTERVAL: {
        struct expr *self = arena_alloc(w->arena, sizeof(*self));
        *self = *x;
        return write_row(w, "INTERVAL", x, &self, 1);
    }
    case EXPR_PART:
        return write_fail(w, x->at, "Unexpected date part %.*s", STR_ARG(x->text));
    case EXPR_ARRAY:
        return write_array(w, x, NULL);
    case EXPR_STRUCT:
        return write_struct(w, x, NULL);
    case EXPR_QUERY:
    case EXPR_ARRAY_QUERY:
    case EXPR_EXISTS:
        return write_subquery(w, x);
    case EXPR_LAMBDA:
        return write_lambda(w, x);
    case EXPR_DEFAULT:
        return write_fail(w, x->at, "Syntax error: Unexpected keyword DEFAULT");
    }
    return -1;
}

int write_expr(struct sql_writer *w, const struct expr *x)
{
    if (write_deeper(w, x->at) < 0)
        return -1;
    int rc = write_kind(w, x);
    w->depth--;
    return rc;
}
