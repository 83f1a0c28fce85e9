/* write.c -- see sql.h: sql_write, and what the printer's files share: errors, names, types, texts. */
#include "format/sql/write.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

#include "format/sql/lexer.h"

static int __attribute__((format(printf, 4, 0)))
fail(const struct sql_writer *w, enum error_code code, uint32_t at, const char *fmt, va_list args)
{
    char message[ERROR_MSG_BYTES];
    int n = vsnprintf(message, sizeof(message), fmt, args);

    str_settle(message, n, sizeof(message));
    return sql_fail(w->e, code, w->text, at, "%s", message);
}

int write_fail(const struct sql_writer *w, uint32_t at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fail(w, ERROR_INVALID_ARGUMENT, at, fmt, args);
    va_end(args);
    return -1;
}

int write_refuse(const struct sql_writer *w, uint32_t at, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    fail(w, ERROR_UNIMPLEMENTED, at, fmt, args);
    va_end(args);
    return -1;
}

/* The tree's depth is bounded, but a script's functions and views multiply it. */
int write_deeper(struct sql_writer *w, uint32_t at)
{
    if (w->depth >= 2 * SQL_HEIGHT_MAX)
        return write_fail(w, at, "Query is too complex");
    w->depth++;
    return 0;
}

bool same_name(struct str a, struct str b)
{
    size_t i = 0;

    if (a.len != b.len)
        return false;
    for (; i < a.len; i++) {
        char x = a.p[i], y = b.p[i];
        x = x >= 'A' && x <= 'Z' ? (char)(x + 32) : x;
        y = y >= 'A' && y <= 'Z' ? (char)(y + 32) : y;
        if (x != y)
            return false;
    }
    return true;
}

struct str expr_name(const struct expr *x)
{
    return x->kind == EXPR_NAME || x->kind == EXPR_FIELD ? x->text : (struct str){ 0 };
}

void write_name(struct sql_writer *w, struct str name)
{
    sql_duckdb_name(&w->out, name);
}

void write_type(struct sql_writer *w, const struct bq_field *type)
{
    sql_duckdb_type(&w->out, type);
}

size_t write_mark(const struct sql_writer *w)
{
    return w->out.len;
}

struct str write_take(struct sql_writer *w, size_t mark)
{
    assert(mark <= w->out.len);
    struct str taken = { arena_copy(w->arena, w->out.p ? w->out.p + mark : "", w->out.len - mark),
                         w->out.len - mark };

    w->out.len = mark;
    return taken;
}

const char *sql_kind_name(enum sql_kind kind)
{
    static const char *const names[] = {
#define X(name) #name,
        SQL_KINDS(X)
#undef X
    };

    return names[kind];
}

/* The type of the variable that SET's value i goes to; a system variable has none. */
static int variable_type(const struct sql_writer *w, const struct sql_step *step, uint32_t i,
                         const struct bq_field **type)
{
    const struct sql_variable *v = find_variable(w, step->names[i]);

    *type = v ? &v->type : NULL;
    if (!v && step->names[i].p[0] != '@')
        return write_fail(w, step->at, "Undeclared variable: %.*s", STR_ARG(step->names[i]));
    return 0;
}

/* SELECT a, b of a step that is no statement. A variable's new value has the variable's type. */
static int write_values(struct sql_writer *w, const struct sql_step *step)
{
    const struct sql_inner *inner = w->inner;

    buf_add_c(&w->out, "SELECT ");
    for (uint32_t i = 0; i < inner->value_count; i++) {
        const struct bq_field *cast = i == 0 ? inner->cast : NULL;
        if (step->kind == SQL_SET && !step->set_from_record && variable_type(w, step, i, &cast) < 0)
            return -1;
        buf_add_c(&w->out, i ? ", " : "");
        if (cast ? write_as(w, inner->value[i], cast) < 0 : write_expr(w, inner->value[i]) < 0)
            return -1;
        buf_addf(&w->out, " AS \"f%u_\"", i);
    }
    return 0;
}

/* A SELECT of no rows that fails when the condition does not hold. */
static int write_assert(struct sql_writer *w)
{
    const struct sql_inner *inner = w->inner;

    buf_add_c(&w->out, "SELECT CASE WHEN ");
    if (write_expr(w, inner->value[0]) < 0)
        return -1;
    buf_add_c(&w->out, " THEN true ELSE error(");
    if (inner->value_count > 1) {
        buf_add_c(&w->out, "concat('Assertion failed: ', ");
        if (write_expr(w, inner->value[1]) < 0)
            return -1;
        buf_add_c(&w->out, ")");
    } else {
        buf_add_c(&w->out, "'Assertion failed'");
    }
    buf_add_c(&w->out, ") END AS \"f0_\"");
    return 0;
}

/* Names that stand twice in the result of a star over several tables: a, a_1. A list without a star got
 * different names when it was printed. */
static void write_unique_names(struct sql_writer *w, const struct query *q)
{
    const struct sql_catalog *c = w->env->catalog;
    const struct select *s = q->select;
    struct bq_schema schema = { 0 };
    struct error ignored = { 0 };
    bool star = false, twice = false;

    for (uint32_t i = 0; s && i < s->count; i++)
        star = star || s->item[i].star;
    if (!star || (s->count == 1 && s->from && s->from->kind != FROM_JOIN) || !c || !c->describe ||
        c->describe(c->arg, buf_str(&w->out), w->arena, &schema, &ignored) < 0)
        return;
    for (uint32_t i = 0; i < schema.count; i++) {
        struct str name = schema.field[i].name;
        struct bq_schema before = { schema.field, i };
        for (uint32_t n = 1; bq_schema_find(&before, schema.field[i].name); n++) {
            schema.field[i].name = str_of(arena_textf(w->arena, "%.*s_%u", STR_ARG(name), n));
            twice = true;
        }
    }
    if (!twice)
        return;
    struct str inner = write_take(w, 0);
    buf_addf(&w->out, "SELECT * FROM (%.*s) AS \"_t\" (", STR_ARG(inner));
    for (uint32_t i = 0; i < schema.count; i++) {
        buf_add_c(&w->out, i ? ", " : "");
        write_name(w, schema.field[i].name);
    }
    buf_add_c(&w->out, ")");
}

static int write_step(struct sql_writer *w, const struct sql_step *step)
{
    const struct sql_inner *inner = w->inner;

    if (inner->dml)
        return write_dml(w, inner->dml);
    if (inner->ddl)
        return write_ddl(w, inner->ddl);
    if (inner->query) {
        if (write_query(w, inner->query, false) < 0)
            return -1;
        write_unique_names(w, inner->query);
        return 0;
    }
    return inner->kind == SQL_ASSERT ? write_assert(w) : write_values(w, step);
}

int sql_write(const struct sql_script *s, const struct sql_step *step, const struct sql_env *env,
              struct arena *a, struct sql_written *out, struct error *e)
{
    assert(step->inner);
    *out = (struct sql_written){ .kind = step->inner->kind };
    struct sql_writer w = {
        .arena = a,
        .out = BUF_INIT(SQL_OUTPUT_BYTES_MAX),
        .text = s->text,
        .inner = step->inner,
        .env = env,
        .written = out,
        .e = e,
    };
    int rc = write_step(&w, step);

    if (rc == 0 && !buf_ok(&w.out))
        rc = write_fail(&w, step->at, "Query is too complex: it needs more than %zu bytes of SQL",
                        SQL_OUTPUT_BYTES_MAX);
    if (rc == 0)
        out->sql = (struct str){ arena_copy(a, w.out.p ? w.out.p : "", w.out.len), w.out.len };
    buf_release(&w.out);
    return rc;
}
