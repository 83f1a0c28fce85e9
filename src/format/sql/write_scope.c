/* write_scope.c -- see write.h: what names mean: sources of FROM, variables, and the types that are known or that the
 * catalog finds out by describing a SELECT. */
#include "format/sql/lexer.h"
#include "format/sql/write.h"

struct scope *scope_open(struct sql_writer *w)
{
    struct scope *s = arena_alloc(w->arena, sizeof(*s));

    s->outer = w->scope;
    w->scope = s;
    return s;
}

void scope_close(struct sql_writer *w)
{
    w->scope = w->scope->outer;
}

struct source *scope_add(struct sql_writer *w, struct str alias)
{
    struct source *s = arena_alloc(w->arena, sizeof(*s));

    s->alias = alias;
    if (w->scope->last)
        w->scope->last->next = s;
    else
        w->scope->first = s;
    w->scope->last = s;
    return s;
}

struct str quoted_name(struct sql_writer *w, struct str name)
{
    size_t mark = write_mark(w);

    write_name(w, name);
    return write_take(w, mark);
}

struct str alias_new(struct sql_writer *w)
{
    return str_of(arena_textf(w->arena, "_t%u", ++w->aliases));
}

struct source *source_add(struct sql_writer *w, struct str alias)
{
    struct source *s = scope_add(w, alias);

    s->printed = quoted_name(w, alias.len ? alias : alias_new(w));
    return s;
}

void source_hide(struct sql_writer *w, struct source *s, struct str name)
{
    s->hidden = arena_list_grow(w->arena, s->hidden, s->hidden_count, sizeof(*s->hidden));
    s->hidden[s->hidden_count++] = name;
}

const struct source *scope_find(const struct sql_writer *w, struct str alias)
{
    for (const struct scope *s = w->scope; s; s = s->outer)
        for (const struct source *f = s->first; f; f = f->next)
            if (f->alias.len && same_name(f->alias, alias))
                return f;
    return NULL;
}

const struct range_column *scope_range(const struct sql_writer *w, struct str name)
{
    for (const struct scope *s = w->scope; s; s = s->outer)
        for (const struct source *f = s->first; f; f = f->next)
            for (uint32_t i = 0; i < f->column_count; i++)
                if (f->column[i].name.len && same_name(f->column[i].name, name))
                    return &f->column[i];
    return NULL;
}

const struct sql_variable *find_variable(const struct sql_writer *w, struct str name)
{
    for (uint32_t i = w->env->variable_count; i > 0; i--)
        if (same_name(w->env->variable[i - 1].name, name))
            return &w->env->variable[i - 1];
    return NULL;
}

/* ---- Describing ---- */

static void add_withs(const struct with *with, struct buf *out, bool *any, bool *recursive)
{
    if (!with)
        return;
    add_withs(with->outer, out, any, recursive);
    if (!with->text.len)
        return;
    *recursive |= with->recursive;
    buf_add_c(out, *any ? ", " : "");
    buf_add_str(out, with->text);
    *any = true;
}

/* SELECT expr with what stands around it: `SELECT (SELECT (expr) FROM inner LIMIT 1) FROM outer`. */
static void add_select(const struct scope *s, struct str expr, struct buf *out)
{
    if (s && s->outer) {
        struct buf inner = BUF_INIT(SQL_OUTPUT_BYTES_MAX);
        buf_add_c(&inner, "(SELECT ");
        buf_add_str(&inner, expr);
        if (s->from.len)
            buf_addf(&inner, " FROM %.*s", STR_ARG(s->from));
        buf_add_c(&inner, " LIMIT 1)");
        add_select(s->outer, buf_str(&inner), out);
        buf_release(&inner);
        return;
    }
    buf_addf(out, "SELECT %.*s AS \"v\"", STR_ARG(expr));
    if (s && s->from.len)
        buf_addf(out, " FROM %.*s", STR_ARG(s->from));
}

bool describe_text(struct sql_writer *w, struct str expr, struct bq_field *out)
{
    const struct sql_catalog *c = w->env->catalog;
    struct buf sql = BUF_INIT(SQL_OUTPUT_BYTES_MAX), tables = BUF_INIT(SQL_OUTPUT_BYTES_MAX);
    struct bq_schema schema = { 0 };
    struct error ignored = { 0 };
    bool any = false, recursive = false, ok;

    if (!c || !c->describe || w->no_describing)
        return false;
    add_withs(w->with, &tables, &any, &recursive);
    if (any)
        buf_addf(&sql, "WITH %s%.*s ", recursive ? "RECURSIVE " : "", STR_ARG(buf_str(&tables)));
    add_select(w->scope, expr, &sql);
    /* A fault in it shows again when the whole is prepared, with better words. */
    ok = buf_ok(&sql) && buf_ok(&tables) &&
         c->describe(c->arg, buf_str(&sql), w->arena, &schema, &ignored) == 0 && schema.count == 1;
    if (ok)
        *out = schema.field[0];
    buf_release(&sql);
    buf_release(&tables);
    return ok;
}

/* ---- Types ---- */

/* A column by its name alone: a source whose columns are known has it. */
static const struct bq_field *known_column(const struct sql_writer *w, struct str name,
                                           bool *all_known)
{
    *all_known = true;
    for (const struct scope *s = w->scope; s; s = s->outer)
        for (const struct source *f = s->first; f; f = f->next) {
            const struct bq_field *found = f->schema ? bq_schema_find(f->schema, name) : NULL;
            if (found)
                return found;
            *all_known &= f->schema != NULL || f->element;
        }
    return NULL;
}

/* Are all columns of a source known, and is this none of them? */
static bool source_lacks(const struct source *f, struct str name)
{
    const struct bq_field *element = f->element ? &f->column[0].type : NULL;

    if (f->schema)
        return !bq_schema_find(f->schema, name);
    if (!element || !f->column[0].typed)
        return f->lambda;
    struct bq_schema fields = { element->fields, element->field_count };
    return element->type != BQ_RECORD || !bq_schema_find(&fields, name);
}

const struct source *scope_outer_owner(const struct sql_writer *w, struct str name)
{
    for (const struct scope *s = w->scope; s; s = s->outer)
        for (const struct source *f = s->first; f; f = f->next)
            if (!source_lacks(f, name))
                return s != w->scope && f->schema ? f : NULL;
    return NULL;
}

bool scope_lacks(const struct sql_writer *w, struct str name)
{
    for (const struct scope *s = w->scope; s; s = s->outer) {
        for (const struct source *f = s->first; f; f = f->next)
            if (!source_lacks(f, name))
                return false;
        for (uint32_t i = 0; s->select && i < s->select->count; i++)
            if (same_name(s->select->item[i].alias, name))
                return false;
    }
    return true;
}

bool scope_has_column(struct sql_writer *w, struct str name)
{
    struct bq_field ignored;
    bool all_known;

    if (!w->scope)
        return false;
    if (known_column(w, name, &all_known))
        return true;
    if (all_known)
        return false;
    size_t mark = write_mark(w);
    write_name(w, name);
    struct str text = write_take(w, mark);
    return describe_text(w, text, &ignored);
}

static bool infer_name(struct sql_writer *w, const struct expr *x, struct bq_field *out)
{
    const struct range_column *range = scope_range(w, x->text);
    const struct sql_variable *variable;
    const struct bq_field *column;
    bool all_known;

    for (uint32_t i = 0; w->frame && i < w->frame->count; i++)
        if (same_name(w->frame->argument[i].name, x->text))
            return describe_text(w, w->frame->argument[i].text, out);
    if (range && range->typed) {
        *out = range->type;
        return true;
    }
    column = known_column(w, x->text, &all_known);
    if (!column && !range && (variable = find_variable(w, x->text)) != NULL &&
        !scope_has_column(w, x->text)) {
        *out = variable->type;
        return true;
    }
    if (column)
        *out = *column;
    return column;
}

static bool infer_field(struct sql_writer *w, const struct expr *x, struct bq_field *out)
{
    const struct expr *of = x->item[0];
    const struct source *source =
        of->kind == EXPR_NAME && !scope_range(w, of->text) ? scope_find(w, of->text) : NULL;
    const struct bq_field *column =
        source && source->schema ? bq_schema_find(source->schema, x->text) : NULL;
    struct bq_field record;

    if (column) {
        *out = *column;
        return true;
    }
    if (source || !infer_type(w, of, &record) || record.mode == BQ_REPEATED)
        return false;
    if (record.type == BQ_JSON) {
        *out = record;
        return true;
    }
    struct bq_schema fields = { record.fields, record.field_count };
    column = record.type == BQ_RECORD ? bq_schema_find(&fields, x->text) : NULL;
    if (column)
        *out = *column;
    return column;
}

static bool infer_index(struct sql_writer *w, const struct expr *x, struct bq_field *out)
{
    if (!infer_type(w, x->item[0], out))
        return false;
    if (out->mode == BQ_REPEATED) {
        out->mode = BQ_NULLABLE;
        return true;
    }
    return out->type == BQ_JSON;
}

/* STRUCT(a AS x, ...) without a type: its fields, whose own types may stay unknown (STRING). */
static bool infer_struct(struct sql_writer *w, const struct expr *x, struct bq_field *out)
{
    *out = (struct bq_field){ .type = BQ_RECORD, .field_count = x->count };
    out->fields = arena_array(w->arena, x->count, sizeof(*out->fields));
    for (uint32_t i = 0; i < x->count; i++) {
        struct str name = x->name[i].len ? x->name[i] : expr_name(x->item[i]);
        if (!infer_type(w, x->item[i], &out->fields[i]))
            return false;
        out->fields[i].name = name.len ? name : str_of(arena_textf(w->arena, "_field_%u", i + 1));
    }
    return true;
}

static bool infer_known(struct sql_writer *w, const struct expr *x, struct bq_field *out)
{
    static const enum bq_type literals[] = {
        [EXPR_BOOL] = BQ_BOOLEAN,  [EXPR_INTEGER] = BQ_INTEGER, [EXPR_FLOAT] = BQ_FLOAT,
        [EXPR_STRING] = BQ_STRING, [EXPR_BYTES] = BQ_BYTES,
    };

    switch (x->kind) {
    case EXPR_BOOL:
    case EXPR_INTEGER:
    case EXPR_FLOAT:
    case EXPR_STRING:
    case EXPR_BYTES:
        *out = (struct bq_field){ .type = literals[x->kind] };
        return true;
    case EXPR_LITERAL:
    case EXPR_CAST:
        *out = *x->type;
        return true;
    case EXPR_NAME:
        return infer_name(w, x, out);
    case EXPR_FIELD:
        return infer_field(w, x, out);
    case EXPR_INDEX:
        return infer_index(w, x, out);
    case EXPR_STRUCT:
        if (!x->type)
            return infer_struct(w, x, out);
        *out = *x->type;
        return true;
    case EXPR_ARRAY:
        if (x->type)
            *out = *x->type;
        else if (!x->count || !infer_type(w, x->item[0], out) || out->mode == BQ_REPEATED)
            return false;
        out->mode = BQ_REPEATED;
        return true;
    default:
        return false;
    }
}

static uint32_t inferred_bucket(const struct expr *x)
{
    return (uintptr_t)x / sizeof(*x) % INFERRED_BUCKETS;
}

const struct inferred *inferred_find(const struct sql_writer *w, const struct expr *x)
{
    struct str from = w->scope ? w->scope->from : (struct str){ 0 };
    const struct inferred *i = w->inferred[inferred_bucket(x)];

    while (i &&
           !(i->expr == x && i->scope == w->scope && i->from.p == from.p && i->frame == w->frame &&
             i->with == w->with && i->no_describing == w->no_describing))
        i = i->next;
    return i;
}

/* An expression that fails leaves its scopes open: the caller goes back to its own. */
static int write_inferred(struct sql_writer *w, const struct expr *x, struct inferred *out)
{
    const struct sql_writer before = *w;
    size_t mark = write_mark(w);

    w->e = &out->error;
    int rc = write_expr(w, x);
    out->text = write_take(w, mark);
    w->scope = before.scope;
    w->with = before.with;
    w->frame = before.frame;
    w->frames = before.frames;
    w->no_describing = before.no_describing;
    w->depth = before.depth;
    w->e = before.e;
    return rc;
}

static const struct inferred *inferred_make(struct sql_writer *w, const struct expr *x)
{
    struct inferred *i = arena_alloc(w->arena, sizeof(*i));
    struct inferred **bucket = &w->inferred[inferred_bucket(x)];

    *i = (struct inferred){ .expr = x,
                            .scope = w->scope,
                            .frame = w->frame,
                            .with = w->with,
                            .no_describing = w->no_describing };
    if (w->scope)
        i->from = w->scope->from;
    i->failed = write_inferred(w, x, i) < 0;
    i->known = !i->failed && describe_text(w, i->text, &i->type);
    i->next = *bucket;
    *bucket = i;
    return i;
}

bool infer_type(struct sql_writer *w, const struct expr *x, struct bq_field *out)
{
    const struct inferred *i;

    if (infer_known(w, x, out))
        return true;
    if (x->kind == EXPR_NULL || x->kind == EXPR_DEFAULT || x->kind == EXPR_PART)
        return false;
    i = inferred_find(w, x);
    if (!i)
        i = inferred_make(w, x);
    if (i->known)
        *out = i->type;
    return i->known;
}

bool known_type(struct sql_writer *w, const struct expr *x, struct bq_field *out)
{
    bool before = w->no_describing;

    w->no_describing = true;
    bool known = infer_known(w, x, out);
    w->no_describing = before;
    return known;
}
