/* library.h -- DuckDB's library, loaded when it is first needed. For store/tables/duckdb alone.
 *
 * Why: it has 60 MB, and most runs have no table. Its functions are therefore found by name at run time; the
 * header says their types.
 *
 * Source:  $TRANCHE_DUCKDB, else beside the program (../lib/tranche/libduckdb.so), else where it was when
 *          tranche was built.
 * Errors:  UNIMPLEMENTED: it is not there, is not of the version of the header, or this build has no tables.
 * Threads: all.
 */
#ifndef TRANCHE_STORE_TABLES_DUCKDB_LIBRARY_LIBRARY_H
#define TRANCHE_STORE_TABLES_DUCKDB_LIBRARY_LIBRARY_H

#include <duckdb.h>

#include "base/error.h"

// clang-format off
#define DUCKDB_CALLS(X) \
    /* Engines and connections. */ \
    X(library_version) X(create_config) X(set_config) X(destroy_config) X(open_ext) X(close) \
    X(connect) X(disconnect) X(interrupt) X(free) X(malloc) \
    /* Statements and results. */ \
    X(query) X(destroy_result) X(result_error) X(result_error_type) X(column_count) X(column_name) \
    X(column_logical_type) X(rows_changed) X(fetch_chunk) X(result_return_type) \
    X(prepare) X(prepare_error) X(destroy_prepare) X(nparams) X(parameter_name) X(bind_value) \
    X(prepared_statement_column_count) X(prepared_statement_column_name) \
    X(prepared_statement_column_logical_type) X(prepared_statement_type) X(param_logical_type) \
    X(execute_prepared) X(pending_prepared_streaming) X(pending_error) X(execute_pending) \
    X(destroy_pending) X(extract_statements) X(prepare_extracted_statement) \
    X(extract_statements_error) X(destroy_extracted) \
    /* Types. */ \
    X(create_logical_type) X(create_list_type) X(create_struct_type) X(create_decimal_type) \
    X(destroy_logical_type) X(get_type_id) X(logical_type_get_alias) X(logical_type_set_alias) \
    X(register_logical_type) X(decimal_width) X(decimal_scale) X(decimal_internal_type) \
    X(list_type_child_type) X(array_type_child_type) X(array_type_array_size) \
    X(struct_type_child_count) X(struct_type_child_name) X(struct_type_child_type) \
    X(enum_internal_type) X(enum_dictionary_size) X(enum_dictionary_value) X(map_type_key_type) X(map_type_value_type) \
    /* Chunks and vectors. */ \
    X(vector_size) X(create_data_chunk) X(destroy_data_chunk) X(data_chunk_reset) \
    X(data_chunk_get_size) X(data_chunk_set_size) X(data_chunk_get_vector) \
    X(data_chunk_get_column_count) X(vector_get_column_type) X(vector_get_data) \
    X(vector_get_validity) X(vector_ensure_validity_writable) \
    X(vector_assign_string_element_len) \
    X(unsafe_vector_assign_string_element_len) X(list_vector_get_child) X(list_vector_get_size) \
    X(list_vector_set_size) X(list_vector_reserve) X(struct_vector_get_child) \
    X(array_vector_get_child) X(validity_set_row_invalid) X(validity_set_row_valid) \
    /* Appenders. */ \
    X(appender_create_ext) X(append_data_chunk) X(appender_flush) X(appender_close) \
    X(appender_destroy) X(appender_add_column) X(appender_error_data) X(error_data_message) \
    X(error_data_error_type) X(destroy_error_data) \
    /* Values. */ \
    X(destroy_value) X(create_varchar_length) X(create_bool) X(create_int64) X(create_double) \
    X(create_hugeint) X(create_decimal) X(create_date) X(create_time) X(create_timestamp) X(create_timestamp_tz) \
    X(create_interval) X(create_blob) X(create_null_value) X(create_list_value) \
    X(create_struct_value) X(get_value_type) X(is_null_value) X(get_bool) X(get_int64) \
    X(get_varchar) \
    /* Tables that C gives to SQL. */ \
    X(create_table_function) X(destroy_table_function) X(table_function_set_name) \
    X(table_function_set_extra_info) X(table_function_set_bind) X(table_function_set_init) \
    X(table_function_set_function) X(register_table_function) X(bind_get_extra_info) \
    X(bind_add_result_column) X(init_set_max_threads) X(function_get_extra_info) \
    X(function_set_error) \
    /* Functions that C gives to SQL. */ \
    X(create_scalar_function) X(destroy_scalar_function) X(scalar_function_set_name) \
    X(scalar_function_add_parameter) X(scalar_function_set_varargs) \
    X(scalar_function_set_return_type) X(scalar_function_set_function) \
    X(scalar_function_set_special_handling) X(scalar_function_set_volatile) \
    X(scalar_function_set_extra_info) X(scalar_function_get_extra_info) \
    X(scalar_function_set_bind) X(scalar_function_set_bind_data) \
    X(scalar_function_set_bind_data_copy) X(scalar_function_get_bind_data) \
    X(scalar_function_bind_set_error) X(scalar_function_bind_get_extra_info) \
    X(scalar_function_bind_get_argument_count) X(scalar_function_bind_get_argument) \
    X(scalar_function_set_error) X(register_scalar_function) X(create_scalar_function_set) \
    X(destroy_scalar_function_set) X(add_scalar_function_to_set) X(register_scalar_function_set) \
    X(destroy_expression) X(expression_return_type) X(expression_is_foldable)
// clang-format on

/* The functions by their names without "duckdb_". */
struct duckdb_library {
// NOLINTNEXTLINE(bugprone-macro-parentheses): a declaration
#define X(name) __typeof__(&duckdb_##name) name;
    DUCKDB_CALLS(X)
#undef X
    /* utf8proc's functions, which the library exports and its header does not name; NULL: not in this one. */
    ptrdiff_t (*utf8proc_map)(const uint8_t *text, ptrdiff_t len, uint8_t **out, int options);
    int32_t (*utf8proc_upper)(int32_t character);
    int32_t (*utf8proc_lower)(int32_t character);
};

const struct duckdb_library *duckdb_library(struct error *e);

#endif
