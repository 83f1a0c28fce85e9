/* words.c -- connection.h: what DuckDB says, in BigQuery's words.
 *
 * Why: clients show the text to people who wrote GoogleSQL, and who have never heard of bq_length(BIGINT).
 */
#include <string.h>

#include "store/tables/duckdb/connection.h"

#define WORDS_BYTES 400

// clang-format off
static const struct { const char *duckdb, *google; } types[] = {
    { "TIMESTAMP WITH TIME ZONE", "TIMESTAMP" }, { "TIMESTAMP", "DATETIME" }, { "DECIMAL(38,9)", "NUMERIC" },
    { "BIGINT", "INT64" }, { "HUGEINT", "INT64" }, { "INTEGER_LITERAL", "INT64" }, { "INTEGER", "INT64" },
    { "DOUBLE", "FLOAT64" }, { "VARCHAR", "STRING" }, { "STRING_LITERAL", "STRING" }, { "BLOB", "BYTES" },
    { "BOOLEAN", "BOOL" }, { "\"NULL\"", "NULL" },
};
static const struct { const char *name, *operator; } operators[] = {
    { "add", "+" }, { "subtract", "-" }, { "multiply", "*" }, { "divide", "/" },
};
// clang-format on

/* Types of DuckDB in the text as those of GoogleSQL; each is replaced once, the longest first. */
static void add_types(struct buf *out, struct str text)
{
    for (size_t at = 0; at < text.len;) {
        size_t i = 0;
        struct str rest = str_sub(text, at, text.len);
        while (i < ARRAY_LEN(types) && !str_starts(rest, str_of(types[i].duckdb)))
            i++;
        if (i == ARRAY_LEN(types)) {
            buf_add_char(out, text.p[at++]);
        } else {
            buf_add_c(out, types[i].google);
            at += strlen(types[i].duckdb);
        }
    }
}

/* "... types 'bq_length(BIGINT)'. You might ..." */
static bool add_signature(struct buf *out, struct str text)
{
    static const char begin[] = "No function matches the given name and argument types '";
    size_t at = str_find(text, STR("No function matches the given name and argument types '"));

    if (at == SIZE_MAX)
        return false;
    struct str call = str_sub(text, at + sizeof begin - 1, text.len);
    call.len = str_find(call, STR("'")) == SIZE_MAX ? call.len : str_find(call, STR("'"));
    size_t bracket = str_find(call, STR("("));
    if (bracket == SIZE_MAX)
        return false;
    struct str name = str_sub(call, 0, bracket);
    struct str arguments = str_sub(call, bracket + 1, call.len - bracket - 2);
    if (str_starts(name, STR("bq_")))
        name = str_sub(name, 3, name.len);
    if (str_starts(name, STR("safe_")))
        name = str_sub(name, 5, name.len);
    buf_add_c(out, "No matching signature for ");
    for (size_t i = 0; i < ARRAY_LEN(operators); i++)
        if (str_eq_c(name, operators[i].name)) {
            buf_addf(out, "operator %s", operators[i].operator);
            name.len = 0;
        }
    buf_add_c(out, name.len ? "function " : "");
    for (size_t i = 0; i < name.len; i++)
        buf_add_char(out,
                     (char)(name.p[i] >= 'a' && name.p[i] <= 'z' ? name.p[i] - 32 : name.p[i]));
    buf_add_c(out, " for argument types: ");
    add_types(out, arguments);
    return true;
}

/* The engine begins with the kind of error, which is a word of its own, and draws the statement behind it. */
static struct str said_of(const char *said)
{
    struct str text = str_of(said);
    size_t colon, line = str_find(text, STR("\n"));

    if (line != SIZE_MAX)
        text.len = line;
    while ((colon = str_find(text, STR("Error: "))) < 40)
        text = str_sub(text, colon + sizeof "Error: " - 1, text.len);
    return str_trim(text);
}

static void add_words(const char *said, struct buf *out)
{
    struct str text = said_of(said);

    if (!add_signature(out, text))
        add_types(out, text);
}

static bool has(const char *said, const char *part)
{
    return said && strstr(said, part);
}

int connection_error(struct error *e, duckdb_error_type type, const char *said)
{
    struct buf words = BUF_INIT((size_t)64 * 1024);

    add_words(said, &words);
    struct str text = str_cut(buf_str(&words), WORDS_BYTES);
    if (type == DUCKDB_ERROR_INTERRUPT)
        error_set(e, ERROR_CANCELLED, "The query was stopped.");
    else if (type == DUCKDB_ERROR_OUT_OF_MEMORY || has(said, "max_temp_directory_size"))
        error_set(e, ERROR_RESOURCE_EXHAUSTED,
                  "Resources exceeded during query execution: the query needs more memory or "
                  "temporary disk than the limits allow (%.*s)",
                  STR_ARG(text));
    else if (has(said, "No space left") || has(said, "ould not write all bytes") ||
             has(said, "Disk quota") || has(said, "File too large"))
        error_set(e, ERROR_RESOURCE_EXHAUSTED, "The disk is full: %.*s", STR_ARG(text));
    else if (type == DUCKDB_ERROR_TRANSACTION)
        error_set(e, ERROR_ABORTED, "Another transaction changed the same table: %.*s",
                  STR_ARG(text));
    else if (has(said, "Conflicting lock"))
        error_set(e, ERROR_FAILED_PRECONDITION, "Another process has the file of tables open: %.*s",
                  STR_ARG(text));
    else if (type == DUCKDB_ERROR_IO || type == DUCKDB_ERROR_INTERNAL || type == DUCKDB_ERROR_FATAL)
        error_set(e, ERROR_INTERNAL, "The table engine failed: %.*s", STR_ARG(text));
    else
        error_set(e, ERROR_INVALID_ARGUMENT, "%.*s", STR_ARG(text));
    buf_release(&words);
    return -1;
}
