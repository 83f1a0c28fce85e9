/* parse_ddl.c -- see parse.h: CREATE, ALTER, DROP, TRUNCATE, with their columns and options. */
#include "format/sql/parse.h"

int parse_options(struct parser *p, struct options *out)
{
    out->written = true;
    if (parse_need_sign(p, "(") < 0)
        return -1;
    while (!parse_is_sign(p, 0, ")")) {
        struct option o = { .at = parse_peek(p, 0)->at };
        if (parse_name(p, &o.name) < 0 || parse_need_sign(p, "=") < 0 || !(o.value = parse_expr(p)))
            return -1;
        PARSE_ADD(p, out->item, out->count, o);
        if (!parse_sign(p, ","))
            break;
    }
    return parse_need_sign(p, ")");
}

/* NOT ENFORCED, which BigQuery demands behind every constraint, and REFERENCES t (a). */
static int constraint_end(struct parser *p)
{
    struct sql_name other;
    struct str *names = NULL;
    uint32_t count = 0;

    if (parse_word(p, "REFERENCES") &&
        (parse_table_name(p, &other) < 0 || parse_names(p, &names, &count) < 0))
        return -1;
    if (parse_word(p, "NOT"))
        return parse_need_word(p, "ENFORCED");
    return parse_fail(p, parse_peek(p, 0)->at,
                      "Enforced constraints are not supported; write NOT ENFORCED");
}

/* PRIMARY KEY (a), FOREIGN KEY (a) REFERENCES t (b): read, and not kept. 1, 0: none is next, -1. */
static int table_constraint(struct parser *p)
{
    struct str name, *names = NULL;
    uint32_t count = 0;

    if (parse_is_word(p, 0, "CONSTRAINT") && parse_is_name(p, 1)) {
        p->at++;
        parse_words(p, "IF", "NOT");
        parse_word(p, "EXISTS");
        if (parse_name(p, &name) < 0)
            return -1;
    }
    if (!parse_words(p, "PRIMARY", "KEY") && !parse_words(p, "FOREIGN", "KEY"))
        return 0;
    return parse_names(p, &names, &count) < 0 || constraint_end(p) < 0 ? -1 : 1;
}

/* The expression of DEFAULT, also as it is written. */
static int column_default(struct parser *p, struct column_def *c)
{
    uint32_t at = parse_peek(p, 0)->at;

    c->default_value = parse_expr(p);
    if (!c->default_value)
        return -1;
    c->field.default_value = str_sub(p->text, at, parse_end(p) - at);
    return 0;
}

static int column_required(struct parser *p, struct column_def *c)
{
    if (c->field.mode == BQ_REPEATED)
        return parse_fail(p, c->at, "NOT NULL cannot be specified for an ARRAY column");
    c->field.mode = BQ_REQUIRED;
    return 0;
}

/* A constraint or option behind a column's type. 1, 0: none is next, -1. */
static int column_part(struct parser *p, struct column_def *c)
{
    if (parse_words(p, "NOT", "NULL"))
        return column_required(p, c) < 0 ? -1 : 1;
    if (parse_word(p, "DEFAULT"))
        return column_default(p, c) < 0 ? -1 : 1;
    if (parse_words(p, "PRIMARY", "KEY") || parse_is_word(p, 0, "REFERENCES"))
        return constraint_end(p) < 0 ? -1 : 1;
    if (parse_word(p, "OPTIONS"))
        return parse_options(p, &c->options) < 0 ? -1 : 1;
    if (parse_is_word(p, 0, "COLLATE") || parse_is_word(p, 0, "GENERATED"))
        return parse_refuse(p, parse_peek(p, 0)->at, "%.*s is not supported for columns",
                            STR_ARG(parse_peek(p, 0)->text));
    return 0;
}

static int column_tail(struct parser *p, struct column_def *c)
{
    int found;

    while ((found = column_part(p, c)) > 0)
        ;
    return found;
}

static int column_def(struct parser *p, struct column_def *c)
{
    struct str name;

    *c = (struct column_def){ .at = parse_peek(p, 0)->at };
    if (parse_name(p, &name) < 0)
        return -1;
    if (!parse_is_sign(p, 0, ",") && !parse_is_sign(p, 0, ")") && !parse_is_word(p, 0, "OPTIONS")) {
        struct bq_field *type = parse_type(p);
        if (!type)
            return -1;
        c->field = *type;
        c->typed = true;
    }
    c->field.name = name;
    return column_tail(p, c);
}

/* ( columns and constraints ) */
static int column_defs(struct parser *p, struct ddl *d)
{
    if (parse_need_sign(p, "(") < 0)
        return -1;
    while (!parse_is_sign(p, 0, ")")) {
        struct column_def c;
        int found = table_constraint(p);
        if (found < 0)
            return -1;
        if (!found) {
            if (column_def(p, &c) < 0)
                return -1;
            PARSE_ADD(p, d->column, d->column_count, c);
        }
        if (!parse_sign(p, ","))
            break;
    }
    return parse_need_sign(p, ")");
}

/* PARTITION BY, CLUSTER BY, OPTIONS, COLLATE. */
static int table_clauses(struct parser *p, struct ddl *d)
{
    struct str name;

    if (parse_words(p, "DEFAULT", "COLLATE")) {
        if (parse_peek(p, 0)->kind != TOKEN_STRING || parse_peek(p, 0)->text.len)
            return parse_refuse(p, parse_peek(p, 0)->at, "COLLATE is not supported");
        p->at++;
    }
    if (parse_words(p, "PARTITION", "BY") && !(d->partition = parse_expr(p)))
        return -1;
    if (parse_words(p, "CLUSTER", "BY")) {
        do {
            if (parse_name(p, &name) < 0)
                return -1;
            PARSE_ADD(p, d->cluster, d->cluster_count, name);
        } while (parse_sign(p, ","));
    }
    if (parse_is_word(p, 0, "WITH") && parse_is_word(p, 1, "CONNECTION"))
        return parse_refuse(p, parse_peek(p, 0)->at, "WITH CONNECTION is not supported");
    return parse_word(p, "OPTIONS") ? parse_options(p, &d->options) : 0;
}

static int as_query(struct parser *p, struct ddl *d)
{
    uint32_t at = parse_peek(p, 0)->at;

    if (!(d->query = parse_query(p)))
        return -1;
    d->out.has_query = true;
    d->out.query_text = str_sub(p->text, at, parse_end(p) - at);
    return 0;
}

/* LIKE, COPY, CLONE and a table's name. */
static int create_from(struct parser *p, struct ddl *d)
{
    bool like = parse_word(p, "LIKE");
    bool copy = !like && (parse_word(p, "COPY") || parse_word(p, "CLONE"));

    if ((like || copy) && parse_table_name(p, like ? &d->out.like : &d->out.copy) < 0)
        return -1;
    if (copy && parse_words(p, "FOR", "SYSTEM_TIME") &&
        (parse_need_word(p, "AS") < 0 || parse_need_word(p, "OF") < 0 || !parse_expr(p)))
        return -1;
    return 0;
}

static int create_table(struct parser *p, struct ddl *d, struct sql_inner *out)
{
    out->kind = SQL_CREATE_TABLE;
    d->object = OBJECT_TABLE;
    d->out.if_not_exists = parse_words(p, "IF", "NOT");
    if (d->out.if_not_exists && parse_need_word(p, "EXISTS") < 0)
        return -1;
    if (parse_table_name(p, &d->out.name) < 0 || create_from(p, d) < 0)
        return -1;
    if (parse_is_sign(p, 0, "(") && column_defs(p, d) < 0)
        return -1;
    if (create_from(p, d) < 0 || table_clauses(p, d) < 0)
        return -1;
    if (parse_word(p, "AS")) {
        out->kind = SQL_CREATE_TABLE_AS_SELECT;
        return as_query(p, d);
    }
    if (!d->column_count && !d->out.like.table.len && !d->out.copy.table.len)
        return parse_fail(p, d->out.name.at, "CREATE TABLE needs columns, AS, LIKE, COPY or CLONE");
    return 0;
}

static int create_snapshot(struct parser *p, struct ddl *d, struct sql_inner *out)
{
    out->kind = SQL_CREATE_SNAPSHOT_TABLE;
    d->object = OBJECT_TABLE;
    d->out.if_not_exists = parse_words(p, "IF", "NOT");
    if (d->out.if_not_exists && parse_need_word(p, "EXISTS") < 0)
        return -1;
    if (parse_table_name(p, &d->out.name) < 0)
        return -1;
    if (!parse_is_word(p, 0, "CLONE"))
        return parse_unexpected(p, "keyword CLONE");
    return create_from(p, d) < 0 || table_clauses(p, d) < 0 ? -1 : 0;
}

static int view_columns(struct parser *p, struct ddl *d)
{
    if (!parse_is_sign(p, 0, "("))
        return 0;
    if (column_defs(p, d) < 0)
        return -1;
    for (uint32_t i = 0; i < d->column_count; i++) {
        if (d->column[i].typed)
            return parse_fail(p, d->column[i].at, "Columns of a view have no type");
        PARSE_ADD(p, d->out.column_names, d->out.column_name_count, d->column[i].field.name);
    }
    return 0;
}

static int create_view(struct parser *p, struct ddl *d, struct sql_inner *out)
{
    out->kind = SQL_CREATE_VIEW;
    d->object = OBJECT_VIEW;
    d->out.if_not_exists = parse_words(p, "IF", "NOT");
    if (d->out.if_not_exists && parse_need_word(p, "EXISTS") < 0)
        return -1;
    if (parse_table_name(p, &d->out.name) < 0 || view_columns(p, d) < 0 ||
        table_clauses(p, d) < 0 || parse_need_word(p, "AS") < 0)
        return -1;
    return as_query(p, d);
}

/* The name of a dataset: [project.]dataset. */
static int schema_name(struct parser *p, struct sql_name *name)
{
    struct sql_name n;

    if (parse_table_name(p, &n) < 0)
        return -1;
    if (n.project.len)
        return parse_fail(p, n.at, "Invalid dataset name");
    *name = (struct sql_name){ .project = n.dataset, .dataset = n.table, .at = n.at };
    return 0;
}

static int create_schema(struct parser *p, struct ddl *d, struct sql_inner *out)
{
    out->kind = SQL_CREATE_SCHEMA;
    d->object = OBJECT_SCHEMA;
    d->out.if_not_exists = parse_words(p, "IF", "NOT");
    if (d->out.if_not_exists && parse_need_word(p, "EXISTS") < 0)
        return -1;
    return schema_name(p, &d->out.name) < 0 ? -1 : table_clauses(p, d);
}

/* ---- CREATE, DROP, TRUNCATE ---- */

static int create(struct parser *p, struct ddl *d, struct sql_inner *out)
{
    uint32_t at = p->token[p->at - 1].at;

    d->out.or_replace = parse_words(p, "OR", "REPLACE");
    d->out.temporary = parse_word(p, "TEMP") || parse_word(p, "TEMPORARY");
    if (parse_word(p, "TABLE") && !parse_is_word(p, 0, "FUNCTION"))
        return create_table(p, d, out);
    if (parse_words(p, "SNAPSHOT", "TABLE"))
        return create_snapshot(p, d, out);
    d->out.materialized = parse_word(p, "MATERIALIZED");
    if (parse_word(p, "VIEW"))
        return create_view(p, d, out);
    if (parse_word(p, "SCHEMA"))
        return create_schema(p, d, out);
    return parse_refuse(p, at, "CREATE %.*s is not supported", STR_ARG(parse_peek(p, 0)->text));
}

static int drop(struct parser *p, struct ddl *d, struct sql_inner *out)
{
    uint32_t at = p->token[p->at - 1].at;

    if (parse_words(p, "SNAPSHOT", "TABLE")) {
        out->kind = SQL_DROP_SNAPSHOT_TABLE;
    } else if (parse_is_word(p, 0, "TABLE") && !parse_is_word(p, 1, "FUNCTION")) {
        p->at++;
        out->kind = SQL_DROP_TABLE;
    } else if (parse_word(p, "VIEW") || parse_words(p, "MATERIALIZED", "VIEW")) {
        out->kind = SQL_DROP_VIEW;
        d->object = OBJECT_VIEW;
    } else if (parse_word(p, "SCHEMA")) {
        out->kind = SQL_DROP_SCHEMA;
        d->object = OBJECT_SCHEMA;
    } else {
        return parse_refuse(p, at, "DROP %.*s is not supported", STR_ARG(parse_peek(p, 0)->text));
    }
    d->out.if_exists = parse_words(p, "IF", "EXISTS");
    if (d->object == OBJECT_SCHEMA ? schema_name(p, &d->out.name) < 0
                                   : parse_table_name(p, &d->out.name) < 0)
        return -1;
    if (d->object == OBJECT_SCHEMA) {
        d->out.cascade = parse_word(p, "CASCADE");
        if (!d->out.cascade)
            parse_word(p, "RESTRICT");
    }
    return 0;
}

static int truncate_table(struct parser *p, struct ddl *d, struct sql_inner *out)
{
    out->kind = SQL_TRUNCATE_TABLE;
    return parse_need_word(p, "TABLE") < 0 ? -1 : parse_table_name(p, &d->out.name);
}

/* ---- ALTER ---- */

/* ALTER COLUMN name ..., after the name. */
static int alter_column(struct parser *p, struct alter *a)
{
    struct str name = a->out.column.name;

    if (parse_words(p, "DROP", "NOT")) {
        a->out.kind = SQL_ALTER_DROP_NOT_NULL;
        return parse_need_word(p, "NULL");
    }
    if (parse_words(p, "DROP", "DEFAULT")) {
        a->out.kind = SQL_ALTER_DEFAULT;
        return 0;
    }
    if (parse_need_word(p, "SET") < 0)
        return -1;
    if (parse_word(p, "OPTIONS")) {
        a->out.kind = SQL_ALTER_COLUMN_OPTIONS;
        return parse_options(p, &a->options);
    }
    if (parse_word(p, "DEFAULT")) {
        uint32_t at = parse_peek(p, 0)->at;
        a->out.kind = SQL_ALTER_DEFAULT;
        if (!(a->default_value = parse_expr(p)))
            return -1;
        a->out.column.default_value = str_sub(p->text, at, parse_end(p) - at);
        return 0;
    }
    if (parse_need_word(p, "DATA") < 0 || parse_need_word(p, "TYPE") < 0)
        return -1;
    struct bq_field *type = parse_type(p);
    if (!type)
        return -1;
    a->out.kind = SQL_ALTER_TYPE;
    a->out.column = *type;
    a->out.column.name = name;
    return 0;
}

static int alter_add(struct parser *p, struct alter *a)
{
    struct column_def c;

    a->out.kind = SQL_ALTER_ADD_COLUMN;
    if (parse_need_word(p, "COLUMN") < 0)
        return -1;
    a->out.if_not = parse_words(p, "IF", "NOT");
    if (a->out.if_not && parse_need_word(p, "EXISTS") < 0)
        return -1;
    if (column_def(p, &c) < 0)
        return -1;
    if (!c.typed)
        return parse_unexpected(p, "type");
    a->out.column = c.field;
    a->default_value = c.default_value;
    a->options = c.options;
    return 0;
}

static int alter_rename(struct parser *p, struct alter *a)
{
    a->out.kind = SQL_ALTER_RENAME;
    if (parse_word(p, "COLUMN")) {
        a->out.kind = SQL_ALTER_RENAME_COLUMN;
        a->out.if_not = parse_words(p, "IF", "EXISTS");
        if (parse_name(p, &a->out.column.name) < 0)
            return -1;
    }
    return parse_need_word(p, "TO") < 0 ? -1 : parse_name(p, &a->out.new_name);
}

/* One action. *kept: it is one that changes something here. */
static int alter_action(struct parser *p, struct alter *a, bool *kept)
{
    struct str name;
    int found;

    *kept = true;
    if (parse_words(p, "SET", "OPTIONS")) {
        a->out.kind = SQL_ALTER_OPTIONS;
        return parse_options(p, &a->options);
    }
    if (parse_word(p, "RENAME"))
        return alter_rename(p, a);
    if (parse_words(p, "ALTER", "COLUMN")) {
        a->out.if_not = parse_words(p, "IF", "EXISTS");
        return parse_name(p, &a->out.column.name) < 0 ? -1 : alter_column(p, a);
    }
    if (parse_words(p, "DROP", "COLUMN")) {
        a->out.kind = SQL_ALTER_DROP_COLUMN;
        a->out.if_not = parse_words(p, "IF", "EXISTS");
        return parse_name(p, &a->out.column.name);
    }
    if (parse_words(p, "DROP", "PRIMARY") || parse_words(p, "DROP", "CONSTRAINT")) {
        bool key = parse_word(p, "KEY");
        *kept = false;
        parse_words(p, "IF", "EXISTS");
        return key ? 0 : parse_name(p, &name);
    }
    if (!parse_word(p, "ADD"))
        return parse_refuse(p, parse_peek(p, 0)->at, "ALTER ... %.*s is not supported",
                            STR_ARG(parse_peek(p, 0)->text));
    found = table_constraint(p);
    *kept = !found;
    return found ? (found < 0 ? -1 : 0) : alter_add(p, a);
}

static int alter(struct parser *p, struct ddl *d, struct sql_inner *out)
{
    uint32_t at = p->token[p->at - 1].at;

    if (parse_word(p, "TABLE")) {
        out->kind = SQL_ALTER_TABLE;
    } else if (parse_word(p, "VIEW") || parse_words(p, "MATERIALIZED", "VIEW")) {
        out->kind = SQL_ALTER_VIEW;
        d->object = OBJECT_VIEW;
    } else if (parse_word(p, "SCHEMA")) {
        out->kind = SQL_ALTER_SCHEMA;
        d->object = OBJECT_SCHEMA;
    } else {
        return parse_refuse(p, at, "ALTER %.*s is not supported", STR_ARG(parse_peek(p, 0)->text));
    }
    d->out.if_exists = parse_words(p, "IF", "EXISTS");
    if (d->object == OBJECT_SCHEMA ? schema_name(p, &d->out.name) < 0
                                   : parse_table_name(p, &d->out.name) < 0)
        return -1;
    do {
        struct alter a = { .at = parse_peek(p, 0)->at };
        bool kept;
        if (alter_action(p, &a, &kept) < 0)
            return -1;
        if (kept && d->object != OBJECT_TABLE && a.out.kind != SQL_ALTER_OPTIONS)
            return parse_refuse(p, a.at, "Only SET OPTIONS is supported here");
        if (kept)
            PARSE_ADD(p, d->alter, d->alter_count, a);
    } while (parse_sign(p, ","));
    return 0;
}

int parse_ddl(struct parser *p, struct sql_inner *out)
{
    static const struct {
        const char *word;
        int (*parse)(struct parser *p, struct ddl *d, struct sql_inner *out);
    } table[] = {
        { "CREATE", create }, { "DROP", drop }, { "ALTER", alter }, { "TRUNCATE", truncate_table }
    };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (parse_word(p, table[i].word)) {
            out->ddl = arena_alloc(p->arena, sizeof(*out->ddl));
            return table[i].parse(p, out->ddl, out) < 0 ? -1 : 1;
        }
    return 0;
}
