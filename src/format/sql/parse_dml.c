/* parse_dml.c -- see parse.h: INSERT, UPDATE, DELETE, MERGE. */
#include "format/sql/parse.h"

/* ( a, DEFAULT, ... ) */
static int value_row(struct parser *p, struct expr ***value, uint32_t *count)
{
    *value = NULL;
    *count = 0;
    if (parse_need_sign(p, "(") < 0 || parse_exprs(p, value, count) < 0)
        return -1;
    return parse_need_sign(p, ")");
}

/* col = x, col.field = y, ... */
static int assignments(struct parser *p, struct assignment **out, uint32_t *count)
{
    do {
        struct assignment a = { .at = parse_peek(p, 0)->at };
        struct str part;
        do {
            if (a.path_count && parse_peek(p, 0)->kind == TOKEN_NAME)
                part = p->token[p->at++].text; /* behind a dot keywords are names */
            else if (parse_name(p, &part) < 0)
                return -1;
            PARSE_ADD(p, a.path, a.path_count, part);
        } while (parse_sign(p, "."));
        if (parse_need_sign(p, "=") < 0 || !(a.value = parse_expr(p)))
            return -1;
        PARSE_ADD(p, *out, *count, a);
    } while (parse_sign(p, ","));
    return 0;
}

/* After the statement's last clause. */
static int dml_end(struct parser *p)
{
    if (parse_is_word(p, 0, "ASSERT_ROWS_MODIFIED"))
        return parse_refuse(p, parse_peek(p, 0)->at, "ASSERT_ROWS_MODIFIED is not supported");
    return 0;
}

static int insert(struct parser *p, struct dml *d)
{
    parse_word(p, "INTO");
    if (parse_table_name(p, &d->target) < 0)
        return -1;
    if (parse_is_sign(p, 0, "(") && !parse_is_query(p, 0) &&
        parse_names(p, &d->column, &d->column_count) < 0)
        return -1;
    if (parse_word(p, "VALUES")) {
        do {
            struct expr **row;
            uint32_t width, rows = d->row_count;
            if (value_row(p, &row, &width) < 0)
                return -1;
            PARSE_ADD(p, d->row, rows, row);
            PARSE_ADD(p, d->row_width, d->row_count, width);
        } while (parse_sign(p, ","));
        return dml_end(p);
    }
    d->query = parse_query(p);
    return d->query ? dml_end(p) : -1;
}

static int update(struct parser *p, struct dml *d)
{
    uint32_t at = p->token[p->at - 1].at;

    if (parse_table_name(p, &d->target) < 0 || parse_alias(p, &d->alias) < 0 ||
        parse_need_word(p, "SET") < 0 || assignments(p, &d->set, &d->set_count) < 0)
        return -1;
    if (parse_word(p, "FROM") && !(d->from = parse_from(p)))
        return -1;
    if (!parse_word(p, "WHERE"))
        return parse_fail(p, at, "UPDATE must have a WHERE clause");
    d->where = parse_expr(p);
    return d->where ? dml_end(p) : -1;
}

static int delete_rows(struct parser *p, struct dml *d)
{
    uint32_t at = p->token[p->at - 1].at;

    parse_word(p, "FROM");
    if (parse_table_name(p, &d->target) < 0 || parse_alias(p, &d->alias) < 0)
        return -1;
    if (!parse_word(p, "WHERE"))
        return parse_fail(p, at, "DELETE must have a WHERE clause");
    d->where = parse_expr(p);
    return d->where ? dml_end(p) : -1;
}

/* After THEN. */
static int merge_then(struct parser *p, struct merge_action *m)
{
    if (parse_word(p, "DELETE")) {
        m->action = MERGE_DELETE;
    } else if (parse_word(p, "UPDATE")) {
        m->action = MERGE_UPDATE;
        if (parse_need_word(p, "SET") < 0 || assignments(p, &m->set, &m->set_count) < 0)
            return -1;
    } else if (parse_word(p, "INSERT")) {
        m->action = MERGE_INSERT;
        if (parse_is_sign(p, 0, "(") && parse_names(p, &m->column, &m->column_count) < 0)
            return -1;
        if (parse_word(p, "ROW"))
            m->action = MERGE_INSERT_ROW;
        else if (parse_need_word(p, "VALUES") < 0 || value_row(p, &m->value, &m->value_count) < 0)
            return -1;
    } else {
        return parse_unexpected(p, "keyword DELETE or keyword INSERT or keyword UPDATE");
    }
    if ((m->action >= MERGE_INSERT) != (m->when == MERGE_NOT_MATCHED))
        return parse_fail(p, p->token[p->at - 1].at,
                          m->action >= MERGE_INSERT
                              ? "INSERT is allowed in WHEN NOT MATCHED BY TARGET only"
                              : "WHEN NOT MATCHED BY TARGET allows INSERT only");
    return 0;
}

static int merge_action(struct parser *p, struct dml *d)
{
    struct merge_action m = { .when = MERGE_MATCHED };

    if (parse_word(p, "NOT"))
        m.when = MERGE_NOT_MATCHED;
    if (parse_need_word(p, "MATCHED") < 0)
        return -1;
    if (m.when == MERGE_NOT_MATCHED && parse_word(p, "BY")) {
        if (parse_word(p, "SOURCE"))
            m.when = MERGE_NOT_BY_SOURCE;
        else if (parse_need_word(p, "TARGET") < 0)
            return -1;
    }
    if (parse_word(p, "AND") && !(m.condition = parse_expr(p)))
        return -1;
    if (parse_need_word(p, "THEN") < 0 || merge_then(p, &m) < 0)
        return -1;
    PARSE_ADD(p, d->action, d->action_count, m);
    return 0;
}

static int merge(struct parser *p, struct dml *d)
{
    parse_word(p, "INTO");
    if (parse_table_name(p, &d->target) < 0 || parse_alias(p, &d->alias) < 0 ||
        parse_need_word(p, "USING") < 0 || !(d->from = parse_from(p)) ||
        parse_need_word(p, "ON") < 0 || !(d->where = parse_expr(p)))
        return -1;
    if (!parse_is_word(p, 0, "WHEN"))
        return parse_unexpected(p, "keyword WHEN");
    while (parse_word(p, "WHEN"))
        if (merge_action(p, d) < 0)
            return -1;
    return dml_end(p);
}

int parse_dml(struct parser *p, struct sql_inner *out)
{
    static const struct {
        const char *word;
        enum sql_kind kind;
        int (*parse)(struct parser *p, struct dml *d);
    } table[] = { { "INSERT", SQL_INSERT, insert },
                  { "UPDATE", SQL_UPDATE, update },
                  { "DELETE", SQL_DELETE, delete_rows },
                  { "MERGE", SQL_MERGE, merge } };

    for (size_t i = 0; i < ARRAY_LEN(table); i++)
        if (parse_word(p, table[i].word)) {
            out->kind = table[i].kind;
            out->dml = arena_alloc(p->arena, sizeof(*out->dml));
            return table[i].parse(p, out->dml) < 0 ? -1 : 1;
        }
    return 0;
}
