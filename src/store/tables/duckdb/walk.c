/* walk.c -- query.h: a script's steps, one after the other: variables, loops, blocks, errors, transactions. */
#include <assert.h>
#include <string.h>

#include "base/json_write.h"
#include "store/tables/duckdb/query.h"

#define BLOCKS_MAX (SQL_BLOCKS_MAX + 1)
#define ROW_BYTES_MAX ((size_t)64 * 1024 * 1024)

/* A block that is open: leaving it forgets its variables and loops. */
struct block {
    uint32_t variables, loops, handler;
};
/* A FOR whose rows are being walked. */
struct loop {
    struct bq_schema schema;
    struct grid rows;
    uint32_t at;
};
struct walk {
    struct query_run *run;
    const struct sql_script *script;
    uint32_t at;
    struct block block[BLOCKS_MAX];
    uint32_t blocks;
    struct loop *loop;
    uint32_t loops;
    struct error handled; /* code OK: no error is being handled */
};

/* A statement of a script is kept among its steps. */
static int run_step(struct query_run *r, const struct sql_script *s, const struct sql_step *step,
                    struct error *e)
{
    struct tables_result *all = r->out;
    struct tables_result one = { .rows = 0 };

    if (query_statement(r, s, step, (struct str){ NULL, 0 }, &one, e) < 0)
        return -1;
    /* The last statement says what the script gives. */
    all->schema = one.has_rows ? one.schema : (struct bq_schema){ NULL, 0 };
    all->destination =
        one.has_rows ? one.destination : (struct tables_name){ .table = { NULL, 0 } };
    all->has_rows = one.has_rows;
    all->rows = one.rows;
    all->bytes += one.bytes;
    if (all->step_count < QUERY_RESULTS_MAX) {
        all->step = arena_list_grow(r->arena, all->step, all->step_count, sizeof *all->step);
        all->step[all->step_count++] = one;
    }
    return 0;
}

/* ---- Variables ---- */

static void variables_changed(struct query_run *r)
{
    r->declared = arena_array(r->arena, r->variable_count, sizeof *r->declared);
    for (uint32_t i = 0; i < r->variable_count; i++)
        r->declared[i] = r->variable[i].v;
    r->env.variable = r->declared;
    r->env.variable_count = r->variable_count;
}

static struct str lower(struct arena *a, struct str name)
{
    char *out = arena_copy(a, name.p, name.len);

    for (size_t i = 0; i < name.len; i++)
        if (out[i] >= 'A' && out[i] <= 'Z')
            out[i] = (char)(out[i] + 32);
    return (struct str){ out, name.len };
}

static void declare(struct query_run *r, struct str name, const struct bq_field *type,
                    struct bq_cell value)
{
    r->variable = arena_list_grow(r->arena, r->variable, r->variable_count, sizeof *r->variable);
    r->variable[r->variable_count++] =
        (struct query_variable){ .v = { lower(r->arena, name), *type }, .value = value };
    variables_changed(r);
}

/* The value as one of the variable's type, when a text can be read as one. */
static int assign(struct query_run *r, struct str name, const struct bq_field *from,
                  struct bq_cell value, struct error *e)
{
    struct str wanted = lower(r->arena, name);

    if (str_starts(name, STR("@@"))) {
        if (str_eq_c(wanted, "@@dataset_id"))
            r->env.default_dataset.dataset = r->default_dataset.dataset = value.text;
        return 0; /* the others change nothing here */
    }
    for (uint32_t i = r->variable_count; i > 0; i--) {
        struct query_variable *v = &r->variable[i - 1];
        if (!str_eq(v->v.name, wanted))
            continue;
        v->value = value;
        bool scalar = from->type != BQ_RECORD && from->mode != BQ_REPEATED;
        if (from->type == v->v.type.type || value.null || !scalar)
            return 0;
        return bq_cell_from_text(r->arena, &v->v.type, value.text, &v->value, e);
    }
    return error_set(e, ERROR_INVALID_ARGUMENT, "Undeclared variable: %.*s", STR_ARG(name));
}

/* The one row of a step's SELECT; no row gives nulls. */
static int value_of(struct walk *w, const struct sql_step *step, struct bq_schema *schema,
                    struct grid *out, struct error *e)
{
    struct query_run *r = w->run;
    struct sql_written written = { .kind = SQL_VALUES };

    if (sql_write(w->script, step, &r->env, r->arena, &written, e) < 0 ||
        statement_values(r, written.sql, 1, schema, out, e) < 0)
        return -1;
    if (!out->rows) {
        out->cell = arena_array(r->arena, out->columns, sizeof *out->cell);
        for (uint32_t i = 0; i < out->columns; i++)
            out->cell[i].null = true;
        out->rows = 1;
    }
    return 0;
}

static int step_declare(struct walk *w, const struct sql_step *step, struct error *e)
{
    struct bq_schema schema;
    struct grid row;

    if (value_of(w, step, &schema, &row, e) < 0)
        return -1;
    for (uint32_t i = 0; i < step->name_count; i++)
        declare(w->run, step->names[i], step->declared ? &step->type : &schema.field[0],
                row.cell[0]);
    return 0;
}

static int assign_record(struct walk *w, const struct sql_step *step, const struct bq_field *f,
                         struct bq_cell record, struct error *e)
{
    struct query_run *r = w->run;
    size_t at;
    yyjson_val *fields =
        record.null ? NULL : json_get(json_parse(r->arena, record.text, &at, e), "f");

    for (uint32_t i = 0; i < step->name_count && i < f->field_count; i++) {
        yyjson_val *v = json_get(yyjson_arr_get(fields, i), "v");
        struct bq_cell cell = { .null = !v || yyjson_is_null(v) };
        if (!cell.null)
            cell.text = yyjson_is_str(v) ? json_str(v) : json_text(r->arena, v);
        if (assign(r, step->names[i], &f->fields[i], cell, e) < 0)
            return -1;
    }
    return 0;
}

static int step_set(struct walk *w, const struct sql_step *step, struct error *e)
{
    struct bq_schema schema;
    struct grid row;

    if (value_of(w, step, &schema, &row, e) < 0)
        return -1;
    if (step->set_from_record)
        return assign_record(w, step, &schema.field[0], row.cell[0], e);
    for (uint32_t i = 0; i < step->name_count && i < row.columns; i++)
        if (assign(w->run, step->names[i], &schema.field[i], row.cell[i], e) < 0)
            return -1;
    return 0;
}

/* ---- Loops ---- */

static int step_for(struct walk *w, const struct sql_step *step, struct error *e)
{
    struct query_run *r = w->run;
    struct sql_written written = { .kind = SQL_VALUES };
    struct loop loop = { .at = 0 };

    if (sql_write(w->script, step, &r->env, r->arena, &written, e) < 0 ||
        statement_values(r, written.sql, QUERY_ROWS_OF_STEP_MAX, &loop.schema, &loop.rows, e) < 0)
        return -1;
    w->loop = arena_list_grow(r->arena, w->loop, w->loops, sizeof *w->loop);
    w->loop[w->loops++] = loop;
    return 0;
}

/* A row as the cell of a RECORD. */
static struct bq_cell record_of(struct arena *a, const struct bq_schema *schema,
                                const struct bq_cell *cell)
{
    struct buf text = BUF_INIT(ROW_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);

    json_object(&w, NULL);
    json_array(&w, "f");
    for (uint32_t i = 0; i < schema->count; i++) {
        const struct bq_field *f = &schema->field[i];
        json_object(&w, NULL);
        if (cell[i].null)
            json_add_null(&w, "v");
        else if (f->mode == BQ_REPEATED || f->type == BQ_RECORD)
            json_add_raw(&w, "v", cell[i].text);
        else
            json_add_text(&w, "v", cell[i].text);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    struct bq_cell out = { .text = { arena_copy(a, text.p, text.len), text.len } };
    buf_release(&text);
    return out;
}

/* Sets or declares the loop's variable; after the last row the loop is forgotten. */
static void step_for_next(struct walk *w, const struct sql_step *step)
{
    struct query_run *r = w->run;
    struct loop *loop = &w->loop[w->loops - 1];

    assert(w->loops > 0);
    if (loop->at == loop->rows.rows) {
        w->loops--;
        w->at = step->target;
        return;
    }
    struct bq_field type = { .type = BQ_RECORD,
                             .mode = BQ_NULLABLE,
                             .fields = loop->schema.field,
                             .field_count = loop->schema.count };
    struct bq_cell value =
        record_of(r->arena, &loop->schema, loop->rows.cell + (size_t)loop->at * loop->rows.columns);
    struct str name = lower(r->arena, step->names[0]);
    for (uint32_t i = r->variable_count; loop->at > 0 && i > 0; i--)
        if (str_eq(r->variable[i - 1].v.name, name)) {
            r->variable[i - 1].value = value;
            loop->at++;
            return;
        }
    declare(r, name, &type, value);
    loop->at++;
}

/* ---- Errors ---- */

static void leave_block(struct walk *w)
{
    struct query_run *r = w->run;

    assert(w->blocks > 0);
    w->blocks--;
    r->variable_count = w->block[w->blocks].variables;
    w->loops = w->block[w->blocks].loops;
    variables_changed(r);
}

static bool can_handle(const struct error *e)
{
    return e->code != ERROR_CANCELLED && e->code != ERROR_DEADLINE_EXCEEDED &&
           e->code != ERROR_INTERNAL;
}

/* Leaves blocks up to one that handles errors; false: none does. */
static bool handle(struct walk *w, const struct sql_step *step, const struct error *e)
{
    struct query_run *r = w->run;

    while (can_handle(e) && w->blocks > 0) {
        uint32_t handler = w->block[w->blocks - 1].handler;
        leave_block(w);
        if (!handler)
            continue;
        w->handled = *e;
        if (r->in_transaction) { /* the engine goes on only behind a rollback */
            struct error ignored;
            (void)!sql_run_c(&r->connection, "ROLLBACK", &ignored);
            r->in_transaction = false;
            r->transaction_lost = true;
        }
        r->env.error_message = str_of(arena_textf(r->arena, "%s", e->msg));
        r->env.error_statement = str_sub(w->script->text, step->at, step->end - step->at);
        w->at = handler;
        return true;
    }
    return false;
}

static int step_raise(struct walk *w, const struct sql_step *step, struct error *e)
{
    struct bq_schema schema;
    struct grid row;

    if (!step->inner) {
        *e = w->handled;
        return -1;
    }
    if (value_of(w, step, &schema, &row, e) < 0)
        return -1;
    return error_set(e, ERROR_INVALID_ARGUMENT, "%.*s", STR_ARG(row.cell[0].text));
}

/* ---- EXECUTE IMMEDIATE ---- */

static int execute_into(struct query_run *r, const struct sql_script *inner,
                        const struct sql_step *step, struct error *e)
{
    struct sql_written written = { .kind = SQL_VALUES };
    struct bq_schema schema;
    struct grid row;

    if (!inner->single || inner->step[0].kind != SQL_STATEMENT)
        return error_set(e, ERROR_INVALID_ARGUMENT, "EXECUTE IMMEDIATE ... INTO needs one SELECT.");
    if (sql_write(inner, &inner->step[0], &r->env, r->arena, &written, e) < 0)
        return -1;
    if (written.kind != SQL_SELECT)
        return error_set(e, ERROR_INVALID_ARGUMENT, "EXECUTE IMMEDIATE ... INTO needs one SELECT.");
    if (statement_values(r, written.sql, 1, &schema, &row, e) < 0)
        return -1;
    for (uint32_t i = 0; i < step->into_count && i < row.columns; i++) {
        struct bq_cell value = row.rows ? row.cell[i] : (struct bq_cell){ .null = true };
        if (assign(r, step->names[i], &schema.field[i], value, e) < 0)
            return -1;
    }
    return 0;
}

static int step_execute(struct walk *w, const struct sql_step *step, struct error *e)
{
    struct query_run *r = w->run;
    const struct tables_query *outer = r->q;
    struct tables_query q = *outer;
    struct bq_schema schema;
    struct grid row;

    if (value_of(w, step, &schema, &row, e) < 0)
        return -1;
    struct sql_script *inner = sql_parse(r->arena, row.cell[0].text, e);
    if (!inner)
        return -1;
    q.parameter_count = row.columns - 1;
    struct bq_parameter *parameter = arena_array(r->arena, row.columns, sizeof *parameter);
    for (uint32_t i = 0; i < q.parameter_count; i++)
        parameter[i] = (struct bq_parameter){ step->names[step->into_count + i],
                                              schema.field[i + 1], row.cell[i + 1] };
    q.parameter = parameter;
    r->q = &q;
    r->env.parameter = q.parameter;
    r->env.parameter_count = q.parameter_count;
    int rc = step->into_count ? execute_into(r, inner, step, e) : walk_script(r, inner, e);
    r->q = outer;
    r->env.parameter = outer->parameter;
    r->env.parameter_count = outer->parameter_count;
    return rc;
}

/* ---- Steps ---- */

static int step_transaction(struct query_run *r, enum sql_step_kind kind, struct error *e)
{
    if (r->transaction_lost && kind == SQL_ROLLBACK) {
        r->transaction_lost = false;
        return 0;
    }
    if ((kind == SQL_BEGIN) == r->in_transaction)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         r->in_transaction ? "Transaction is already in progress"
                                           : "There is no active transaction");
    r->in_transaction = kind == SQL_BEGIN;
    return sql_run_c(&r->connection,
                     kind == SQL_BEGIN    ? "BEGIN TRANSACTION"
                     : kind == SQL_COMMIT ? "COMMIT"
                                          : "ROLLBACK",
                     e);
}

static int jump_unless(struct walk *w, const struct sql_step *step, struct error *e)
{
    struct bq_schema schema;
    struct grid row;

    if (value_of(w, step, &schema, &row, e) < 0)
        return -1;
    if (!str_eq_c(row.cell[0].text, "true"))
        w->at = step->target;
    return 0;
}

static int step_block(struct walk *w, const struct sql_step *step, struct error *e)
{
    if (w->blocks == BLOCKS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "Blocks stand too deep in each other.");
    w->block[w->blocks++] = (struct block){ w->run->variable_count, w->loops, step->target };
    return 0;
}

/* w->at is the next step already. */
static int run_one(struct walk *w, const struct sql_step *step, struct error *e)
{
    struct query_run *r = w->run;

    switch (step->kind) {
    case SQL_STATEMENT:
        return run_step(r, w->script, step, e);
    case SQL_DECLARE:
        return step_declare(w, step, e);
    case SQL_SET:
        return step_set(w, step, e);
    case SQL_JUMP:
        w->at = step->target;
        return 0;
    case SQL_JUMP_UNLESS:
        return jump_unless(w, step, e);
    case SQL_FOR:
        return step_for(w, step, e);
    case SQL_FOR_NEXT:
        step_for_next(w, step);
        return 0;
    case SQL_FOR_LEAVE:
        assert(w->loops > 0);
        w->loops--;
        return 0;
    case SQL_BLOCK:
        return step_block(w, step, e);
    case SQL_BLOCK_END:
        leave_block(w);
        return 0;
    case SQL_HANDLER_END:
        r->env.error_message = r->env.error_statement = (struct str){ NULL, 0 };
        w->handled = (struct error){ 0 };
        return 0;
    case SQL_RAISE:
        return step_raise(w, step, e);
    case SQL_EXECUTE:
        return step_execute(w, step, e);
    case SQL_BEGIN:
    case SQL_COMMIT:
    case SQL_ROLLBACK:
        return step_transaction(r, step->kind, e);
    case SQL_RETURN:
        w->at = w->script->count;
        return 0;
    }
    return 0;
}

int walk_script(struct query_run *r, const struct sql_script *script, struct error *e)
{
    struct walk w = { .run = r, .script = script };
    uint32_t variables = r->variable_count;

    for (uint32_t ran = 0; w.at < script->count; ran++) {
        const struct sql_step *step = &script->step[w.at++];
        if (ran == QUERY_STEPS_RUN_MAX)
            return error_set(e, ERROR_RESOURCE_EXHAUSTED, "The script ran over %d steps.",
                             QUERY_STEPS_RUN_MAX);
        int rc = guard_check(&r->guard, e);
        if (rc == 0)
            rc = run_one(&w, step, e);
        if (rc < 0 && !handle(&w, step, e))
            return -1;
    }
    r->variable_count = variables;
    variables_changed(r);
    return 0;
}
