/* register.c -- functions.h: the types, the overloads and their registration; the walk over the rows of a call. */
#include "store/tables/duckdb/functions/functions.h"

#include <assert.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "store/tables/duckdb/functions/call.h"

#define NAME_BYTES 96

static const struct function_table *const tables[] = {
    &functions_arithmetic, &functions_math,        &functions_text,        &functions_text_find,
    &functions_bytes,      &functions_cast,        &functions_time_add,    &functions_time_trunc,
    &functions_time_make,  &functions_interval,    &functions_time_format, &functions_time_parse,
    &functions_json,       &functions_json_change, &functions_format,      &functions_list,
    &functions_net,
};

/* The library of the process, always the same: callbacks need it before they can ask for their overload. */
static _Atomic(const struct duckdb_library *) library;

/* An overload, as DuckDB keeps it with the function. */
struct overload {
    struct function function;
    bool safe;
};

/* ---- Arguments and results that need more than a line ---- */

struct call_column column_of(const struct duckdb_library *d, duckdb_vector v)
{
    return (struct call_column){ v, d->vector_get_data(v), d->vector_get_validity(v) };
}

struct call_list arg_list(const struct call *c, uint32_t i)
{
    const struct call_column *column = &c->argument[i];
    duckdb_list_entry entry = ((const duckdb_list_entry *)column->data)[c->row];

    return (
        struct call_list){ column_of(c->duckdb, c->duckdb->list_vector_get_child(column->vector)),
                           entry.offset, entry.length };
}

enum call_outcome call_refuse(struct call *c, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(c->error, sizeof c->error, fmt, args);
    va_end(args);
    str_settle(c->error, n, sizeof c->error);
    return CALL_ERROR;
}

/* Counts the bytes of a result that is about to be made; false: they are too many. */
bool call_takes(struct call *c, size_t bytes)
{
    c->text_bytes += bytes;
    if (c->text_bytes <= CALL_VECTOR_MAX)
        return true;
    (void)call_refuse(
        c,
        "Resources exceeded during query execution: a function's results for 2048 rows "
        "are over %zu bytes",
        CALL_VECTOR_MAX);
    return false;
}

enum call_outcome out_text(struct call *c, struct str text)
{
    if (text.len > CALL_TEXT_MAX)
        return call_refuse(c, "Output of a function is too large: over %zu bytes", CALL_TEXT_MAX);
    if (!call_takes(c, text.len))
        return CALL_ERROR;
    c->duckdb->vector_assign_string_element_len(c->result, c->row, text.p ? text.p : "", text.len);
    return CALL_VALUE;
}

enum call_outcome out_buffer(struct call *c)
{
    if (!buf_ok(&c->text))
        return call_refuse(c, "Output of a function is too large: over %zu bytes", CALL_TEXT_MAX);
    return out_text(c, buf_str(&c->text));
}

void list_begin(struct call *c)
{
    ((duckdb_list_entry *)c->out)[c->row].offset = c->elements;
}

/* Room for one more element; false: there is none. */
static bool list_grow(struct call *c)
{
    const struct duckdb_library *d = c->duckdb;
    duckdb_list_entry *entry = (duckdb_list_entry *)c->out + c->row;

    if (c->elements - entry->offset >= CALL_LIST_MAX) {
        (void)call_refuse(c, "Output array is too large: over %zu elements", CALL_LIST_MAX);
        return false;
    }
    if (c->elements >= CALL_VECTOR_MAX / sizeof(int64_t)) {
        (void)call_refuse(
            c,
            "Resources exceeded during query execution: a function's arrays for 2048 rows "
            "are over %zu elements",
            CALL_VECTOR_MAX / sizeof(int64_t));
        return false;
    }
    if (d->list_vector_reserve(c->result, c->elements + 1) != DuckDBSuccess ||
        d->list_vector_set_size(c->result, c->elements + 1) != DuckDBSuccess) {
        (void)call_refuse(c, "Output array is too large");
        return false;
    }
    c->element = column_of(d, d->list_vector_get_child(c->result));
    return true;
}

bool list_add_text(struct call *c, struct str text)
{
    if (!list_grow(c) || !call_takes(c, text.len))
        return false;
    c->duckdb->vector_assign_string_element_len(c->element.vector, c->elements++,
                                                text.p ? text.p : "", text.len);
    return true;
}

/* The elements' memory, writable: DuckDB's own of the result's vector. */
static void *element_data(struct call *c)
{
    return c->duckdb->vector_get_data(c->element.vector);
}

bool list_add_int(struct call *c, int64_t v)
{
    if (!list_grow(c))
        return false;
    ((int64_t *)element_data(c))[c->elements++] = v;
    return true;
}

bool list_add_float(struct call *c, double v)
{
    if (!list_grow(c))
        return false;
    ((double *)element_data(c))[c->elements++] = v;
    return true;
}

bool list_add_numeric(struct call *c, int128 v)
{
    if (!list_grow(c))
        return false;
    ((int128 *)element_data(c))[c->elements++] = v;
    return true;
}

bool list_add_date(struct call *c, int64_t days)
{
    if (!list_grow(c))
        return false;
    ((int32_t *)element_data(c))[c->elements++] = (int32_t)days;
    return true;
}

bool list_add_null(struct call *c)
{
    if (!list_grow(c))
        return false;
    c->duckdb->vector_ensure_validity_writable(c->element.vector);
    c->duckdb->validity_set_row_invalid(c->duckdb->vector_get_validity(c->element.vector),
                                        c->elements++);
    return true;
}

enum call_outcome list_end(struct call *c)
{
    duckdb_list_entry *entry = (duckdb_list_entry *)c->out + c->row;

    entry->length = c->elements - entry->offset;
    return CALL_VALUE;
}

/* ---- A call ---- */

static bool has_null(const struct call *c)
{
    for (uint32_t i = 0; i < c->arguments; i++)
        if (arg_null(c, i))
            return true;
    return false;
}

static void set_null(struct call *c)
{
    c->duckdb->vector_ensure_validity_writable(c->result);
    c->duckdb->validity_set_row_invalid(c->duckdb->vector_get_validity(c->result), c->row);
}

/* A NULL array is also an empty one, so that no reader goes beyond it. */
static void clear_list(struct call *c, bool is_list)
{
    if (is_list)
        ((duckdb_list_entry *)c->out)[c->row] = (duckdb_list_entry){ c->elements, 0 };
}

static bool walk(struct call *c, const struct overload *o, idx_t rows)
{
    bool is_list = strstr(o->function.types, ":[") != NULL;

    for (c->row = 0; c->row < rows; c->row++) {
        enum call_outcome outcome = CALL_NULL;

        clear_list(c, is_list);
        if (o->function.flags & FUNCTION_NULLS || !has_null(c)) {
            buf_clear(&c->text);
            outcome = o->function.run(c);
            if (c->arena.block)
                arena_reset(&c->arena);
        }
        if (outcome == CALL_ERROR && !o->safe)
            return false;
        if (outcome != CALL_VALUE) {
            clear_list(c, is_list);
            set_null(c);
        }
    }
    return true;
}

static void run(duckdb_function_info info, duckdb_data_chunk input, duckdb_vector output)
{
    const struct duckdb_library *d = atomic_load_explicit(&library, memory_order_acquire);
    const struct overload *o = d->scalar_function_get_extra_info(info);
    struct call c = { .duckdb = d, .result = output, .text = BUF_INIT(CALL_TEXT_MAX) };

    c.arguments = (uint32_t)d->data_chunk_get_column_count(input);
    c.argument = mem_array(c.arguments + 1, sizeof *c.argument);
    for (uint32_t i = 0; i < c.arguments; i++)
        c.argument[i] = column_of(d, d->data_chunk_get_vector(input, i));
    c.out = d->vector_get_data(output);
    if (!walk(&c, o, d->data_chunk_get_size(input)))
        d->scalar_function_set_error(info, c.error);
    buf_release(&c.text);
    arena_release(&c.arena);
    mem_free(c.argument);
}

/* ---- Types ---- */

static duckdb_logical_type alias_of(const struct duckdb_library *d, const char *alias)
{
    duckdb_logical_type type = d->create_logical_type(DUCKDB_TYPE_VARCHAR);

    d->logical_type_set_alias(type, alias);
    return type;
}

static const struct {
    char letter;
    duckdb_type type;
} letters[] = {
    { 'B', DUCKDB_TYPE_BOOLEAN },   { 'I', DUCKDB_TYPE_BIGINT },
    { 'F', DUCKDB_TYPE_DOUBLE },    { 'S', DUCKDB_TYPE_VARCHAR },
    { 'L', DUCKDB_TYPE_VARCHAR },   { 'Y', DUCKDB_TYPE_BLOB },
    { 'D', DUCKDB_TYPE_DATE },      { 'T', DUCKDB_TYPE_TIME },
    { 'M', DUCKDB_TYPE_TIMESTAMP }, { 'Z', DUCKDB_TYPE_TIMESTAMP_TZ },
    { 'V', DUCKDB_TYPE_INTERVAL },  { 'H', DUCKDB_TYPE_HUGEINT },
    { 'A', DUCKDB_TYPE_ANY },
};

/* Types that DuckDB knows as text with a name. */
static const struct {
    char letter;
    const char *alias;
} aliases[] = { { 'J', "JSON" }, { 'G', "BIGNUMERIC" }, { 'R', "RANGE" }, { 'P', "GEOGRAPHY" } };

static duckdb_logical_type type_of(const struct duckdb_library *d, const char **types)
{
    char letter = *(*types)++;

    if (letter == '[') {
        duckdb_logical_type child = type_of(d, types);
        duckdb_logical_type list = d->create_list_type(child);
        d->destroy_logical_type(&child);
        return list;
    }
    if (letter == 'N')
        return d->create_decimal_type(38, 9);
    for (size_t i = 0; i < ARRAY_LEN(aliases); i++)
        if (aliases[i].letter == letter)
            return alias_of(d, aliases[i].alias);
    for (size_t i = 0; i < ARRAY_LEN(letters); i++)
        if (letters[i].letter == letter)
            return d->create_logical_type(letters[i].type);
    assert(!"a letter of a type");
    return NULL;
}

/* ---- Binding ---- */

/* A text that stands for a date must be a literal. */
static void bind(duckdb_bind_info info)
{
    const struct duckdb_library *d = atomic_load_explicit(&library, memory_order_acquire);
    const struct overload *o = d->scalar_function_bind_get_extra_info(info);
    idx_t count = d->scalar_function_bind_get_argument_count(info);

    for (idx_t i = 0; i < count && o->function.types[i] != ':'; i++) {
        if (o->function.types[i] != 'L')
            continue;
        duckdb_expression argument = d->scalar_function_bind_get_argument(info, i);
        if (!d->expression_is_foldable(argument)) {
            char text[NAME_BYTES * 2];
            (void)snprintf(text, sizeof text,
                           "No matching signature for function %s: argument %d is STRING, and must "
                           "be a date or time",
                           o->function.name, (int)i + 1);
            d->scalar_function_bind_set_error(info, text);
        }
        d->destroy_expression(&argument);
    }
}

/* ---- Registration ---- */

static void add_overload(const struct duckdb_library *d, duckdb_scalar_function_set set,
                         const char *name, const struct overload *o)
{
    duckdb_scalar_function f = d->create_scalar_function();
    const char *types = o->function.types;
    struct overload *kept = mem_alloc(sizeof *kept);

    *kept = *o;
    d->scalar_function_set_name(f, name);
    while (*types != ':') {
        duckdb_logical_type type = type_of(d, &types);
        if (*types == '*') {
            d->scalar_function_set_varargs(f, type);
            types++;
        } else {
            d->scalar_function_add_parameter(f, type);
        }
        d->destroy_logical_type(&type);
    }
    types++;
    duckdb_logical_type result = type_of(d, &types);
    assert(!*types);
    d->scalar_function_set_return_type(f, result);
    d->destroy_logical_type(&result);
    if (o->function.flags & FUNCTION_NULLS)
        d->scalar_function_set_special_handling(f);
    if (o->function.flags & FUNCTION_VOLATILE)
        d->scalar_function_set_volatile(f);
    d->scalar_function_set_extra_info(f, kept, mem_free);
    if (strchr(o->function.types, 'L'))
        d->scalar_function_set_bind(f, bind);
    d->scalar_function_set_function(f, run);
    (void)d->add_scalar_function_to_set(set, f);
    d->destroy_scalar_function(&f);
}

static int register_set(const struct duckdb_library *d, duckdb_connection c,
                        const struct function *f, size_t count, bool safe)
{
    char name[NAME_BYTES];

    (void)snprintf(name, sizeof name, safe ? "bq_safe_%s" : "bq_%s", f[0].name);
    duckdb_scalar_function_set set = d->create_scalar_function_set(name);
    for (size_t i = 0; i < count; i++)
        add_overload(d, set, name, &(struct overload){ f[i], safe });
    duckdb_state state = d->register_scalar_function_set(c, set);
    d->destroy_scalar_function_set(&set);
    return state == DuckDBSuccess ? 0 : -1;
}

static int by_name(const void *a, const void *b)
{
    const struct function *x = a, *y = b;

    return strcmp(x->name, y->name);
}

static int register_all(const struct duckdb_library *d, duckdb_connection c, struct function *f,
                        size_t count, struct error *e)
{
    qsort(f, count, sizeof *f, by_name);
    for (size_t at = 0, end; at < count; at = end) {
        for (end = at + 1; end < count && strcmp(f[end].name, f[at].name) == 0;)
            end++;
        for (int safe = 0; safe < 2; safe++)
            if (register_set(d, c, f + at, end - at, safe) < 0)
                return error_set(e, ERROR_INTERNAL, "The table engine refuses the function bq_%s.",
                                 f[at].name);
    }
    return 0;
}

int functions_register(const struct duckdb_library *d, duckdb_connection c, struct error *e)
{
    struct function *f = NULL;
    size_t count = 0;

    atomic_store_explicit(&library, d, memory_order_release);
    for (size_t i = 0; i < ARRAY_LEN(tables); i++)
        for (size_t k = 0; k < tables[i]->count; k++) {
            f = mem_list_grow(f, count, sizeof *f);
            f[count++] = tables[i]->function[k];
        }
    int rc = register_all(d, c, f, count, e);
    mem_free(f);
    return rc;
}
