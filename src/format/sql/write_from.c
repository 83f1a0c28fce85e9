/* write_from.c -- see write.h: FROM: WITH's tables, UNNEST, subqueries and joins. */
#include <assert.h>

#include "format/sql/lexer.h"
#include "format/sql/write.h"

static const struct with *find_with(const struct sql_writer *w, struct str name)
{
    for (const struct with *x = w->with; x; x = x->outer)
        if (same_name(x->name, name))
            return x;
    return NULL;
}

/* ---- UNNEST ---- */

/* The fields of an UNNEST's elements that become columns beside the element itself. */
static bool is_column(const struct bq_field *field, struct str name, struct str offset)
{
    return field->name.len && !same_name(field->name, name) && !same_name(field->name, offset);
}

/* "_t1" ("x", "sku", "n", "offset"): names are given here, since DuckDB would take an alias within the SELECT for the
 * array of that name. */
static void write_unnest_alias(struct sql_writer *w, struct source *s, struct str name,
                               const struct bq_field *element, struct str offset)
{
    buf_addf(&w->out, " AS %.*s (", STR_ARG(s->printed));
    write_name(w, name);
    for (uint32_t i = 0; i < element->field_count; i++)
        if (is_column(&element->fields[i], name, offset)) {
            buf_add_c(&w->out, ", ");
            write_name(w, element->fields[i].name);
        }
    if (offset.len) {
        buf_add_c(&w->out, ", ");
        write_name(w, offset);
    }
    buf_add_c(&w->out, ")");
}

static void set_range(struct sql_writer *w, struct source *s, struct str name, struct str column,
                      const struct bq_field *type)
{
    struct range_column *r = &s->column[s->column_count++];

    r->name = name;
    r->printed = str_of(
        arena_textf(w->arena, "%.*s.%.*s", STR_ARG(s->printed), STR_ARG(quoted_name(w, column))));
    r->typed = type;
    if (type)
        r->type = *type;
}

/* The array's text becomes (SELECT unnest(array) AS x) AS _t1. The alias x means the element, not the table. */
static int write_unnest(struct sql_writer *w, const struct from *f, struct str array,
                        const struct bq_field *type)
{
    struct bq_field element = { 0 };
    static const struct bq_field integer = { .type = BQ_INTEGER };
    struct str name = f->alias.len ? f->alias : STR("f0_");
    bool record;

    if (type)
        element = *type;
    element.mode = BQ_UNSET;
    record = type && type->type == BQ_RECORD;
    struct source *s = scope_add(w, f->alias);
    struct str offset = f->with_offset ? f->offset : (struct str){ 0 };
    s->element = true;
    s->printed = quoted_name(w, alias_new(w));
    buf_add_c(&w->out, record ? "(SELECT \"_x\"" : "");
    for (uint32_t i = 0; record && i < element.field_count; i++)
        if (is_column(&element.fields[i], name, offset)) {
            buf_add_c(&w->out, ", (\"_x\").");
            write_name(w, element.fields[i].name);
        }
    buf_add_c(&w->out, record && offset.len ? ", \"_o\"" : "");
    buf_add_c(&w->out, record ? " FROM (SELECT unnest(" : "(SELECT unnest(");
    buf_add_str(&w->out, offset.len ? STR("\"_l\"") : array);
    buf_add_c(&w->out, ") AS \"_x\"");
    if (offset.len)
        buf_addf(&w->out, ", unnest(range(len(\"_l\"))) AS \"_o\" FROM (SELECT %.*s AS \"_l\")",
                 STR_ARG(array));
    buf_add_c(&w->out, record ? "))" : ")");
    if (!record)
        element.field_count = 0;
    else
        source_hide(w, s, name);
    write_unnest_alias(w, s, name, &element, offset);
    set_range(w, s, f->alias, name, type ? &element : NULL);
    if (f->with_offset)
        set_range(w, s, f->offset, f->offset, &integer);
    return 0;
}

static int write_unnest_expr(struct sql_writer *w, const struct from *f)
{
    struct bq_field type;
    size_t mark = write_mark(w);

    if (write_expr(w, f->value) < 0)
        return -1;
    struct str array = write_take(w, mark);
    bool known = infer_type(w, f->value, &type);
    if (known && type.mode != BQ_REPEATED)
        return write_fail(
            w, f->value->at,
            "Values referenced in UNNEST must be arrays. UNNEST contains expression of "
            "type %s",
            bq_type_sql(type.type));
    return write_unnest(w, f, array, known ? &type : NULL);
}

/* FROM t, t.items: a path that begins with an alias is an array. */
static int write_array_path(struct sql_writer *w, const struct from *f)
{
    struct expr *x = arena_alloc(w->arena, sizeof(*x));
    struct from unnest = *f;

    *x = (struct expr){ .kind = EXPR_NAME, .at = f->at, .text = f->path[0] };
    for (uint32_t i = 1; i < f->path_count; i++) {
        struct expr *field = arena_alloc(w->arena, sizeof(*field));
        field->kind = EXPR_FIELD;
        field->at = f->at;
        field->text = f->path[i];
        field->item = arena_array(w->arena, 1, sizeof(struct expr *));
        field->item[0] = x;
        field->count = 1;
        x = field;
    }
    unnest.value = x;
    if (!unnest.alias.len)
        unnest.alias = f->path[f->path_count - 1];
    return write_unnest_expr(w, &unnest);
}

static bool is_array_path(const struct sql_writer *w, const struct from *f)
{
    return f->kind == FROM_TABLE && f->path_count > 1 && scope_find(w, f->path[0]);
}

/* ---- Items and joins ---- */

static int write_subquery(struct sql_writer *w, const struct from *f, struct str alias)
{
    struct scope *around = w->scope;

    buf_add_c(&w->out, "(");
    w->scope = around->outer; /* a subquery of FROM does not see its neighbours */
    int rc = write_query(w, f->query, false);
    w->scope = around;
    if (rc < 0)
        return -1;
    struct source *s = source_add(w, alias);
    buf_addf(&w->out, ") AS %.*s", STR_ARG(s->printed));
    return 0;
}

static int write_plain(struct sql_writer *w, const struct from *f, struct str alias)
{
    struct str last = f->path_count ? f->path[f->path_count - 1] : (struct str){ 0 };

    if (f->kind == FROM_QUERY)
        return write_subquery(w, f, alias);
    if (f->kind == FROM_UNNEST)
        return write_unnest_expr(w, f);
    if (is_array_path(w, f))
        return write_array_path(w, f);
    if (f->with_offset)
        return write_fail(w, f->at, "WITH OFFSET can only be used with array scans");
    if (!alias.len && !str_ends(last, STR("*")))
        alias = last;
    const struct with *with = f->path_count == 1 ? find_with(w, last) : NULL;
    if (with) {
        struct source *s = source_add(w, alias);
        write_name(w, with->name);
        buf_addf(&w->out, " AS %.*s", STR_ARG(s->printed));
        return 0;
    }
    return write_catalog_table(w, f, alias);
}

/* The table under PIVOT or UNPIVOT is a scope of its own. */
static int write_pivoted(struct sql_writer *w, const struct from *f)
{
    struct str alias = f->pivot ? f->pivot->alias : f->unpivot->alias;
    size_t mark = write_mark(w);
    int rc;

    scope_open(w);
    rc = write_plain(w, f, f->alias);
    if (rc < 0)
        return -1;
    struct str table = write_take(w, mark);
    const struct source *inner = w->scope->first;
    assert(inner);
    w->scope->from = table;
    rc = f->pivot ? write_pivot(w, f->pivot, table, inner)
                  : write_unpivot(w, f->unpivot, table, inner);
    scope_close(w);
    if (rc < 0)
        return -1;
    struct source *s = source_add(w, alias);
    buf_addf(&w->out, " AS %.*s", STR_ARG(s->printed));
    return 0;
}

static int write_item(struct sql_writer *w, const struct from *f)
{
    if (f->kind == FROM_BRACKETS) {
        buf_add_c(&w->out, "(");
        int rc = write_from(w, f->left);
        buf_add_c(&w->out, ")");
        return rc;
    }
    if (f->pivot || f->unpivot ? write_pivoted(w, f) < 0 : write_plain(w, f, f->alias) < 0)
        return -1;
    if (!f->sample)
        return 0;
    if (f->sample->kind != EXPR_INTEGER && f->sample->kind != EXPR_FLOAT)
        return write_refuse(w, f->sample->at, "TABLESAMPLE needs a number");
    buf_addf(&w->out, " TABLESAMPLE SYSTEM (%.*s PERCENT)", STR_ARG(f->sample->text));
    return 0;
}

static int write_join(struct sql_writer *w, const struct from *j)
{
    static const char *const words[] = {
        [JOIN_COMMA] = " CROSS JOIN ", [JOIN_CROSS] = " CROSS JOIN ", [JOIN_INNER] = " JOIN ",
        [JOIN_LEFT] = " LEFT JOIN ",   [JOIN_RIGHT] = " RIGHT JOIN ", [JOIN_FULL] = " FULL JOIN ",
    };
    size_t mark = write_mark(w);
    bool array = j->right->kind == FROM_UNNEST, conditional = j->on || j->using_count;

    if (write_from(w, j->left) < 0)
        return -1;
    array = array || is_array_path(w, j->right);
    if (array && (j->join == JOIN_RIGHT || j->join == JOIN_FULL))
        return write_fail(w, j->right->at, "Array scan is not allowed with %s JOIN",
                          j->join == JOIN_RIGHT ? "RIGHT" : "FULL");
    w->scope->from = write_take(w, mark);
    buf_add_str(&w->out, w->scope->from);
    bool cross = j->join <= JOIN_CROSS || (j->join == JOIN_INNER && !conditional);
    buf_add_c(&w->out, cross ? words[JOIN_CROSS] : words[j->join]);
    buf_add_c(&w->out, array ? "LATERAL " : "");
    if (write_item(w, j->right) < 0)
        return -1;
    if (cross)
        return 0;
    if (j->on) {
        buf_add_c(&w->out, " ON ");
        return write_expr(w, j->on);
    }
    for (uint32_t i = 0; i < j->using_count; i++) {
        buf_add_c(&w->out, i ? ", " : " USING (");
        write_name(w, j->using[i]);
    }
    buf_add_c(&w->out, j->using_count ? ")" : " ON true");
    return 0;
}

int write_from(struct sql_writer *w, const struct from *f)
{
    if (write_deeper(w, f->at) < 0)
        return -1;
    int rc = f->kind == FROM_JOIN ? write_join(w, f) : write_item(w, f);
    w->depth--;
    return rc;
}
