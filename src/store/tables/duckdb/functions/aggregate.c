/* aggregate.c -- SUM and AVG, whose types and overflow differ: SUM(INT64) is INT64, AVG(NUMERIC) is NUMERIC.
 *
 * Shape:   a state is a sum and a count; INT64 and NUMERIC are summed in 128 bits. No row: NULL.
 */
#include <math.h>
#include <string.h>

#include "store/tables/duckdb/functions/numeric.h"

struct state {
    int128 whole; /* of INT64 and NUMERIC */
    double real;
    uint64_t count;
    bool overflow;
};

static idx_t state_size(duckdb_function_info info)
{
    (void)info;
    return sizeof(struct state);
}

/* DuckDB's states are not aligned for 128 bits, so they are copied out and in. */
static void state_init(duckdb_function_info info, duckdb_aggregate_state at)
{
    struct state s = { 0 };

    (void)info;
    memcpy(at, &s, sizeof s);
}

static void add_whole(struct state *s, int128 v)
{
    s->overflow |= __builtin_add_overflow(s->whole, v, &s->whole);
}

/* One of each of these for each type of argument. */
struct kind {
    void (*add)(struct state *s, const void *data, idx_t row);
    bool (*finish)(const struct state *s, void *out, idx_t row); /* false: overflow */
};

static void add_int(struct state *s, const void *data, idx_t row)
{
    add_whole(s, ((const int64_t *)data)[row]);
}

static void add_float(struct state *s, const void *data, idx_t row)
{
    s->real += ((const double *)data)[row];
}

static void add_numeric(struct state *s, const void *data, idx_t row)
{
    add_whole(s, ((const int128 *)data)[row]);
}

static bool sum_int(const struct state *s, void *out, idx_t row)
{
    ((int64_t *)out)[row] = (int64_t)s->whole;
    return s->whole == (int64_t)s->whole;
}

static bool sum_float(const struct state *s, void *out, idx_t row)
{
    ((double *)out)[row] = s->real;
    return true;
}

static bool sum_numeric(const struct state *s, void *out, idx_t row)
{
    ((int128 *)out)[row] = s->whole;
    return numeric_fits(s->whole);
}

static bool avg_int(const struct state *s, void *out, idx_t row)
{
    ((double *)out)[row] = (double)s->whole / (double)s->count;
    return true;
}

static bool avg_float(const struct state *s, void *out, idx_t row)
{
    ((double *)out)[row] = s->real / (double)s->count;
    return true;
}

static bool avg_numeric(const struct state *s, void *out, idx_t row)
{
    int128 v = 0;
    bool ok = numeric_scale(s->whole, 1, (int128)s->count, &v);

    ((int128 *)out)[row] = v;
    return ok;
}

static _Atomic(const struct duckdb_library *) library; /* as register.c has it */

static const struct kind *kind_of(duckdb_function_info info)
{
    const struct duckdb_library *d = library;

    return d->aggregate_function_get_extra_info(info);
}

static void update(duckdb_function_info info, duckdb_data_chunk input,
                   duckdb_aggregate_state *states)
{
    const struct kind *k = kind_of(info);
    const struct duckdb_library *d = library;
    idx_t rows = d->data_chunk_get_size(input);
    struct call_column column = column_of(d, d->data_chunk_get_vector(input, 0));

    for (idx_t i = 0; i < rows; i++) {
        struct state s;
        if (!column_valid(&column, i))
            continue;
        memcpy(&s, states[i], sizeof s);
        k->add(&s, column.data, i);
        s.count++;
        memcpy(states[i], &s, sizeof s);
    }
}

static void combine(duckdb_function_info info, duckdb_aggregate_state *from,
                    duckdb_aggregate_state *to, idx_t count)
{
    (void)info;
    for (idx_t i = 0; i < count; i++) {
        struct state a, b;
        memcpy(&a, from[i], sizeof a);
        memcpy(&b, to[i], sizeof b);
        add_whole(&b, a.whole);
        b.real += a.real;
        b.count += a.count;
        b.overflow |= a.overflow;
        memcpy(to[i], &b, sizeof b);
    }
}

static void finalize(duckdb_function_info info, duckdb_aggregate_state *states,
                     duckdb_vector result, idx_t count, idx_t offset)
{
    const struct kind *k = kind_of(info);
    const struct duckdb_library *d = library;
    void *out = d->vector_get_data(result);

    for (idx_t i = 0; i < count; i++) {
        struct state s;
        memcpy(&s, states[i], sizeof s);
        if (s.count == 0) {
            d->vector_ensure_validity_writable(result);
            d->validity_set_row_invalid(d->vector_get_validity(result), offset + i);
        } else if (s.overflow || !k->finish(&s, out, offset + i)) {
            d->aggregate_function_set_error(info, "Integer Overflow");
            return;
        }
    }
}

static const struct {
    const char *name, *types;
    struct kind kind;
} rows[] = {
    { "bq_sum", "I:I", { add_int, sum_int } },
    { "bq_sum", "F:F", { add_float, sum_float } },
    { "bq_sum", "N:N", { add_numeric, sum_numeric } },
    { "bq_avg", "I:F", { add_int, avg_int } },
    { "bq_avg", "F:F", { add_float, avg_float } },
    { "bq_avg", "N:N", { add_numeric, avg_numeric } },
};

static void add_overload(const struct duckdb_library *d, duckdb_aggregate_function_set set,
                         size_t row)
{
    duckdb_aggregate_function f = d->create_aggregate_function();
    const char *types = rows[row].types;
    duckdb_logical_type argument = type_of(d, &types);
    struct kind *kind = mem_alloc(sizeof *kind);

    types++;
    duckdb_logical_type result = type_of(d, &types);
    *kind = rows[row].kind;
    d->aggregate_function_set_name(f, rows[row].name);
    d->aggregate_function_add_parameter(f, argument);
    d->aggregate_function_set_return_type(f, result);
    d->aggregate_function_set_functions(f, state_size, state_init, update, combine, finalize);
    d->aggregate_function_set_extra_info(f, kind, mem_free);
    (void)d->add_aggregate_function_to_set(set, f);
    d->destroy_logical_type(&argument);
    d->destroy_logical_type(&result);
    d->destroy_aggregate_function(&f);
}

int aggregates_register(const struct duckdb_library *d, duckdb_connection c, struct error *e)
{
    library = d;
    for (size_t at = 0, end; at < ARRAY_LEN(rows); at = end) {
        duckdb_aggregate_function_set set = d->create_aggregate_function_set(rows[at].name);
        for (end = at; end < ARRAY_LEN(rows) && strcmp(rows[end].name, rows[at].name) == 0; end++)
            add_overload(d, set, end);
        duckdb_state state = d->register_aggregate_function_set(c, set);
        d->destroy_aggregate_function_set(&set);
        if (state != DuckDBSuccess)
            return error_set(e, ERROR_INTERNAL, "The table engine refuses the function %s.",
                             rows[at].name);
    }
    return 0;
}
