/* write_from.c -- see write.h: FROM: tables, wildcards, INFORMATION_SCHEMA, UNNEST, joins, PIVOT and UNPIVOT. */
#include <assert.h>

#include "format/sql/lexer.h"
#include "format/sql/write.h"

static struct str quoted(struct sql_writer *w, struct str name)
{
    size_t mark = write_mark(w);

    write_name(w, name);
    return write_take(w, mark);
}

static struct str new_alias(struct sql_writer *w)
{
    return str_of(arena_textf(w->arena, "_t%u", ++w->aliases));
}

/* A source that is printed now; its alias, or one of our own, must follow what is printed. */
static struct source *add_source(struct sql_writer *w, struct str alias)
{
    struct source *s = scope_add(w, alias);

    s->printed = quoted(w, alias.len ? alias : new_alias(w));
    return s;
}

static void hide(struct sql_writer *w, struct source *s, struct str name)
{
    s->hidden = arena_list_grow(w->arena, s->hidden, s->hidden_count, sizeof(*s->hidden));
    s->hidden[s->hidden_count++] = name;
}

/* ---- Tables ---- */

static bool same_table(const struct sql_name *a, const struct sql_name *b)
{
    return str_eq(a->project, b->project) && str_eq(a->dataset, b->dataset) &&
           str_eq(a->table, b->table);
}

static void note_read(struct sql_writer *w, const struct sql_name *name)
{
    struct sql_written *out = w->written;

    for (uint32_t i = 0; i < out->read_count; i++)
        if (same_table(&out->read[i], name))
            return;
    out->read = arena_list_grow(w->arena, out->read, out->read_count, sizeof(*out->read));
    out->read[out->read_count++] = *name;
}

int write_table(struct sql_writer *w, const struct sql_name *name, struct sql_table *found)
{
    const struct sql_catalog *c = w->env->catalog;

    if (!c || !c->find)
        return write_fail(w, name->at, "Not found: Table %.*s", STR_ARG(name->table));
    return c->find(c->arg, name, w->arena, found, w->e);
}

static bool is_hidden(const struct bq_field *f)
{
    return sql_word_is(f->name, "_PARTITIONTIME") || sql_word_is(f->name, "_PARTITIONDATE");
}

static int write_found(struct sql_writer *w, const struct from *f, struct str alias)
{
    struct sql_table *table = arena_alloc(w->arena, sizeof(*table));

    if (write_table(w, &f->name, table) < 0)
        return -1;
    note_read(w, &f->name);
    struct source *s = add_source(w, alias);
    s->schema = &table->schema;
    for (uint32_t i = 0; i < table->schema.count; i++)
        if (is_hidden(&table->schema.field[i]))
            hide(w, s, table->schema.field[i].name);
    buf_addf(&w->out, "%.*s AS %.*s", STR_ARG(table->physical), STR_ARG(s->printed));
    return 0;
}

/* One table of a wildcard: the columns of the newest one, NULL where it lacks them, and the suffix. */
static void write_part(struct sql_writer *w, const struct bq_schema *all,
                       const struct sql_table *table, struct str suffix)
{
    buf_add_c(&w->out, "SELECT ");
    for (uint32_t i = 0; i < all->count; i++) {
        const struct bq_field *f = &all->field[i];
        if (!bq_schema_find(&table->schema, f->name)) {
            buf_add_c(&w->out, "CAST(NULL AS ");
            write_type(w, f);
            buf_add_c(&w->out, ") AS ");
        }
        write_name(w, f->name);
        buf_add_c(&w->out, ", ");
    }
    sql_write_string(w, suffix);
    buf_addf(&w->out, " AS \"_TABLE_SUFFIX\" FROM %.*s", STR_ARG(table->physical));
}

/* `d.events_*` */
static int write_wildcard(struct sql_writer *w, const struct from *f, struct str alias)
{
    const struct sql_catalog *c = w->env->catalog;
    struct sql_name prefix = f->name;
    struct sql_wildcard found = { 0 };
    struct bq_schema *schema = arena_alloc(w->arena, sizeof(*schema));

    prefix.table.len--;
    if (!c || !c->wildcard)
        return write_refuse(w, f->at, "Wildcard tables are not supported here");
    if (c->wildcard(c->arg, &prefix, w->arena, &found, w->e) < 0)
        return -1;
    if (!found.count)
        return write_fail(w, f->at, "%.*s does not match any table", STR_ARG(f->name.table));
    if (found.count > SQL_WILDCARD_MAX)
        return write_fail(w, f->at, "%.*s matches more than %d tables", STR_ARG(f->name.table),
                          SQL_WILDCARD_MAX);
    note_read(w, &f->name);
    *schema = found.table[0].schema;
    buf_add_c(&w->out, "(");
    for (uint32_t i = 0; i < found.count; i++) {
        buf_add_c(&w->out, i ? " UNION ALL " : "");
        write_part(w, schema, &found.table[i], found.suffix[i]);
    }
    struct source *s = add_source(w, alias);
    hide(w, s, STR("_TABLE_SUFFIX"));
    buf_addf(&w->out, ") AS %.*s", STR_ARG(s->printed));
    return 0;
}

/* Where INFORMATION_SCHEMA stands in a path; path_count: nowhere. */
static uint32_t information_at(const struct from *f)
{
    uint32_t i = 0;

    while (i < f->path_count && !sql_word_is(f->path[i], "INFORMATION_SCHEMA"))
        i++;
    return i;
}

static int write_information(struct sql_writer *w, const struct from *f, struct str alias)
{
    const struct sql_catalog *c = w->env->catalog;
    uint32_t at = information_at(f);
    struct sql_name name = { .at = f->at };
    struct str text;

    if (at + 2 != f->path_count || at > 2)
        return write_fail(w, f->at, "Invalid name of INFORMATION_SCHEMA");
    if (at == 1 && !str_starts(f->path[0], STR("region-")))
        name.dataset = f->path[0];
    else if (at == 1)
        name.table = f->path[0];
    if (at == 2) {
        name.project = f->path[0];
        if (str_starts(f->path[1], STR("region-")))
            name.table = f->path[1];
        else
            name.dataset = f->path[1];
    }
    char *view = arena_copy(w->arena, f->path[at + 1].p, f->path[at + 1].len);
    for (char *v = view; *v; v++)
        *v = *v >= 'a' && *v <= 'z' ? (char)(*v - 32) : *v;
    if (!c || !c->information)
        return write_refuse(w, f->at, "INFORMATION_SCHEMA is not supported here");
    if (c->information(c->arg, &name, str_of(view), w->arena, &text, w->e) < 0)
        return -1;
    struct source *s = add_source(w, alias);
    buf_addf(&w->out, "%.*s AS %.*s", STR_ARG(text), STR_ARG(s->printed));
    return 0;
}

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
    r->printed =
        str_of(arena_textf(w->arena, "%.*s.%.*s", STR_ARG(s->printed), STR_ARG(quoted(w, column))));
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
    s->printed = quoted(w, new_alias(w));
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
        hide(w, s, name);
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
        field->item = arena_array(w->arena, 1, sizeof(*field->item));
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

/* ---- PIVOT, UNPIVOT ---- */

/* Columns that an expression names. */
static void collect_names(struct sql_writer *w, const struct expr *x, struct str **list,
                          uint32_t *count)
{
    for (uint32_t i = 0; i < *count; i++)
        if (x->kind == EXPR_NAME && same_name((*list)[i], x->text))
            return;
    if (x->kind == EXPR_NAME) {
        *list = arena_list_grow(w->arena, *list, *count, sizeof(**list));
        (*list)[(*count)++] = x->text;
    }
    for (uint32_t i = 0; x->kind != EXPR_LAMBDA && i < x->count; i++)
        collect_names(w, x->item[i], list, count);
}

static void write_excluded(struct sql_writer *w, const struct str *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        buf_add_c(&w->out, i ? ", " : " EXCLUDE (");
        write_name(w, list[i]);
    }
    buf_add_c(&w->out, count ? ")" : "");
}

/* The name that a value of IN gives to its columns. */
static int pivot_name(struct sql_writer *w, const struct pivot_value *v, struct str *out)
{
    *out = v->alias;
    if (out->len)
        return 0;
    if (v->value->kind == EXPR_STRING || v->value->kind == EXPR_LITERAL)
        *out = v->value->text;
    else if (v->value->kind == EXPR_INTEGER)
        *out = str_of(
            arena_textf(w->arena, v->value->text.p[0] == '-' ? "minus_%.*s" : "_%.*s",
                        STR_ARG(str_sub(v->value->text, v->value->text.p[0] == '-', SIZE_MAX))));
    else if (v->value->kind == EXPR_BOOL)
        *out = sql_word_is(v->value->text, "TRUE") ? STR("true") : STR("false");
    else if (v->value->kind == EXPR_NULL)
        *out = STR("NULL");
    else
        return write_fail(w, v->value->at, "A value of PIVOT needs an alias");
    for (size_t i = 0; v->value->kind == EXPR_LITERAL && i < out->len; i++)
        if (out->p[i] == '-') {
            char *copy = arena_copy(w->arena, out->p, out->len);
            for (char *c = copy; *c; c++)
                *c = *c == '-' ? '_' : *c;
            *out = str_of(copy);
        }
    return 0;
}

static int write_pivot_column(struct sql_writer *w, const struct pivot *v, uint32_t value,
                              uint32_t aggregate)
{
    const struct select_item *a = &v->aggregate[aggregate];
    struct str name;

    if (pivot_name(w, &v->value[value], &name) < 0)
        return -1;
    if (a->alias.len)
        name = str_of(arena_textf(w->arena, "%.*s_%.*s", STR_ARG(a->alias), STR_ARG(name)));
    else if (v->aggregate_count > 1)
        return write_fail(w, a->at, "PIVOT with several aggregates needs an alias for each");
    if (a->value->call->windowed || a->value->call->ignore_nulls)
        return write_fail(w, a->at, "PIVOT needs a plain aggregate");
    struct expr *operands[2] = { v->key, v->value[value].value };
    struct expr same = { .kind = EXPR_OPERATOR,
                         .at = a->at,
                         .text = STR("IS DISTINCT FROM"),
                         .negated = true,
                         .item = operands,
                         .count = 2 };
    struct call filtered = *a->value->call;
    struct expr call = *a->value;
    filtered.where = &same;
    call.call = &filtered;
    buf_add_c(&w->out, ", ");
    if (write_call(w, &call) < 0)
        return -1;
    buf_add_c(&w->out, " AS ");
    write_name(w, name);
    return 0;
}

/* (SELECT * EXCLUDE (those in aggregates and the key), aggregate FILTER (WHERE key is the value), ... FROM t GROUP BY ALL) */
static int write_pivot(struct sql_writer *w, const struct pivot *v, struct str table,
                       const struct source *inner)
{
    struct str *used = NULL;
    uint32_t count = 0;

    collect_names(w, v->key, &used, &count);
    for (uint32_t i = 0; i < v->aggregate_count; i++)
        collect_names(w, v->aggregate[i].value, &used, &count);
    for (uint32_t i = 0; i < inner->hidden_count; i++) {
        used = arena_list_grow(w->arena, used, count, sizeof(*used));
        used[count++] = inner->hidden[i];
    }
    buf_add_c(&w->out, "(SELECT *");
    write_excluded(w, used, count);
    for (uint32_t i = 0; i < v->value_count; i++)
        for (uint32_t a = 0; a < v->aggregate_count; a++)
            if (write_pivot_column(w, v, i, a) < 0)
                return -1;
    buf_addf(&w->out, " FROM %.*s GROUP BY ALL)", STR_ARG(table));
    return 0;
}

static int write_unpivot_row(struct sql_writer *w, const struct unpivot_column *c, uint32_t values)
{
    struct buf label = BUF_INIT(4096);

    buf_add_c(&w->out, "(");
    for (uint32_t i = 0; i < values; i++) {
        write_name(w, c->name[i]);
        buf_add_c(&w->out, ", ");
        buf_addf(&label, "%s%.*s", i ? "_" : "", STR_ARG(c->name[i]));
    }
    int rc = 0;
    if (c->label)
        rc = write_expr(w, c->label);
    else
        sql_write_string(w, buf_str(&label));
    buf_add_c(&w->out, ")");
    buf_release(&label);
    return rc;
}

/* (SELECT t.* EXCLUDE (columns), u.* FROM t CROSS JOIN LATERAL (VALUES (a, 'a'), ...) AS u (value, key)
 *  WHERE value IS NOT NULL) */
static int write_unpivot(struct sql_writer *w, const struct unpivot *u, struct str table,
                         const struct source *inner)
{
    struct str values = quoted(w, new_alias(w)), *used = NULL;
    uint32_t count = 0;

    for (uint32_t i = 0; i < u->column_count; i++)
        for (uint32_t v = 0; v < u->value_count; v++) {
            used = arena_list_grow(w->arena, used, count, sizeof(*used));
            used[count++] = u->column[i].name[v];
        }
    buf_addf(&w->out, "(SELECT %.*s.*", STR_ARG(inner->printed));
    write_excluded(w, used, count);
    buf_addf(&w->out, ", %.*s.* FROM %.*s CROSS JOIN LATERAL (VALUES ", STR_ARG(values),
             STR_ARG(table));
    for (uint32_t i = 0; i < u->column_count; i++) {
        buf_add_c(&w->out, i ? ", " : "");
        if (write_unpivot_row(w, &u->column[i], u->value_count) < 0)
            return -1;
    }
    buf_addf(&w->out, ") AS %.*s (", STR_ARG(values));
    for (uint32_t v = 0; v < u->value_count; v++) {
        write_name(w, u->value[v]);
        buf_add_c(&w->out, ", ");
    }
    write_name(w, u->key);
    buf_add_c(&w->out, ")");
    for (uint32_t v = 0; !u->include_nulls && v < u->value_count; v++) {
        buf_add_c(&w->out, v ? " OR " : " WHERE (");
        write_name(w, u->value[v]);
        buf_add_c(&w->out, " IS NOT NULL");
    }
    buf_add_c(&w->out, u->include_nulls ? ")" : "))");
    return 0;
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
    struct source *s = add_source(w, alias);
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
        struct source *s = add_source(w, alias);
        write_name(w, with->name);
        buf_addf(&w->out, " AS %.*s", STR_ARG(s->printed));
        return 0;
    }
    if (information_at(f) < f->path_count)
        return write_information(w, f, alias);
    return str_ends(last, STR("*")) ? write_wildcard(w, f, alias) : write_found(w, f, alias);
}

/* What PIVOT and UNPIVOT are applied to is a scope of its own. */
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
    struct source *s = add_source(w, alias);
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
