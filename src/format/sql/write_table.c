/* write_table.c -- see write.h: tables that the catalog has: plain ones, wildcards, INFORMATION_SCHEMA. */
#include "format/sql/lexer.h"
#include "format/sql/write.h"

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
    struct source *s = source_add(w, alias);
    s->schema = &table->schema;
    for (uint32_t i = 0; i < table->schema.count; i++)
        if (is_hidden(&table->schema.field[i]))
            source_hide(w, s, table->schema.field[i].name);
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
    struct source *s = source_add(w, alias);
    source_hide(w, s, STR("_TABLE_SUFFIX"));
    buf_addf(&w->out, ") AS %.*s", STR_ARG(s->printed));
    return 0;
}

/* The place of INFORMATION_SCHEMA in a path; path_count: it is not there. */
static uint32_t information_at(const struct from *f)
{
    uint32_t i = 0;

    while (i < f->path_count && !sql_word_is(f->path[i], "INFORMATION_SCHEMA"))
        i++;
    return i;
}

/* d.__TABLES__, or p.d.__TABLES__ */
static bool is_tables(const struct from *f)
{
    return (f->path_count == 2 || f->path_count == 3) &&
           sql_word_is(f->path[f->path_count - 1], "__TABLES__");
}

static int write_view_of_catalog(struct sql_writer *w, const struct sql_name *name, struct str view,
                                 struct str alias)
{
    const struct sql_catalog *c = w->env->catalog;
    struct str text;

    if (!c || !c->information)
        return write_refuse(w, name->at, "INFORMATION_SCHEMA is not supported here");
    if (c->information(c->arg, name, view, w->arena, &text, w->e) < 0)
        return -1;
    struct source *s = source_add(w, alias);
    buf_addf(&w->out, "%.*s AS %.*s", STR_ARG(text), STR_ARG(s->printed));
    return 0;
}

static int write_information(struct sql_writer *w, const struct from *f, struct str alias)
{
    uint32_t at = information_at(f);
    struct sql_name name = { .at = f->at };

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
    return write_view_of_catalog(w, &name, str_of(view), alias);
}

int write_catalog_table(struct sql_writer *w, const struct from *f, struct str alias)
{
    if (information_at(f) < f->path_count)
        return write_information(w, f, alias);
    if (is_tables(f)) {
        const struct sql_name name = { .project =
                                           f->path_count == 3 ? f->path[0] : (struct str){ 0 },
                                       .dataset = f->path[f->path_count - 2],
                                       .at = f->at };
        return write_view_of_catalog(w, &name, STR("__TABLES__"), alias);
    }
    return str_ends(f->path[f->path_count - 1], STR("*")) ? write_wildcard(w, f, alias)
                                                          : write_found(w, f, alias);
}
