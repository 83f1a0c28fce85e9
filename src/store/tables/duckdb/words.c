/* words.c -- connection.h: what DuckDB says, in BigQuery's words.
 *
 * Why: clients show the text to people who wrote GoogleSQL, and who have never heard of bq_length(BIGINT).
 */
#include <stdatomic.h>
#include <string.h>

#include "store/tables/duckdb/connection.h"
#include "store/tables/tables.h"

#define WORDS_BYTES 400
#define INVALIDATED "has been invalidated"
#define RESOURCES                                                                                  \
    TABLES_RESOURCES ": it needs more than service.tables_memory or tables_temp allows: "

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

/* The first rule whose type or part is there decides; the last one always holds. */
// clang-format off
static const struct {
    int type;         /* -1: any */
    const char *part; /* of the engine's text; NULL: any */
    enum error_code code;
    const char *words; /* before the engine's own; NULL: "The query was stopped." alone */
} rules[] = {
    { DUCKDB_ERROR_INTERRUPT, NULL, ERROR_CANCELLED, NULL },
    { -1, INVALIDATED, ERROR_INTERNAL, "The table engine failed and is opened again: " },
    { DUCKDB_ERROR_OUT_OF_MEMORY, NULL, ERROR_RESOURCE_EXHAUSTED, RESOURCES },
    { -1, "failed to pin block", ERROR_RESOURCE_EXHAUSTED, RESOURCES },
    { -1, "could not allocate block", ERROR_RESOURCE_EXHAUSTED, RESOURCES },
    { -1, "max_temp_directory_size", ERROR_RESOURCE_EXHAUSTED, RESOURCES },
    { -1, "No space left", ERROR_RESOURCE_EXHAUSTED, "The disk is full: " },
    { -1, "ould not write all bytes", ERROR_RESOURCE_EXHAUSTED, "The disk is full: " },
    { -1, "Disk quota", ERROR_RESOURCE_EXHAUSTED, "The disk is full: " },
    { -1, "File too large", ERROR_RESOURCE_EXHAUSTED, "The disk is full: " },
    { DUCKDB_ERROR_TRANSACTION, NULL, ERROR_ABORTED, "Another transaction changed the same table: " },
    { -1, "Conflicting lock", ERROR_FAILED_PRECONDITION, "Another process has the file of tables open: " },
    { DUCKDB_ERROR_IO, NULL, ERROR_INTERNAL, "The table engine failed: " },
    { DUCKDB_ERROR_INTERNAL, NULL, ERROR_INTERNAL, "The table engine failed: " },
    { DUCKDB_ERROR_FATAL, NULL, ERROR_INTERNAL, "The table engine failed: " },
    { -1, NULL, ERROR_INVALID_ARGUMENT, "" },
};
// clang-format on

static atomic_uint lost;

uint32_t connections_lost(void)
{
    return atomic_load(&lost);
}

int connection_error(struct error *e, duckdb_error_type type, const char *said)
{
    struct buf words = BUF_INIT((size_t)64 * 1024);
    size_t i = 0;

    while ((rules[i].type >= 0 && rules[i].type != (int)type) ||
           (rules[i].part && !(said && strstr(said, rules[i].part))))
        i++;
    if (rules[i].part && strcmp(rules[i].part, INVALIDATED) == 0)
        atomic_fetch_add(&lost, 1);
    add_words(said, &words);
    struct str text = str_cut(buf_str(&words), WORDS_BYTES);
    if (rules[i].words)
        error_set(e, rules[i].code, "%s%.*s", rules[i].words, STR_ARG(text));
    else
        error_set(e, rules[i].code, "The query was stopped.");
    buf_release(&words);
    return -1;
}
