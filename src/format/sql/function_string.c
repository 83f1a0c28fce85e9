/* function_string.c -- see function.h: functions on STRING and BYTES, and regular expressions, which are RE2's in
 * DuckDB too. */
#include "format/sql/function.h"

#include "base/mem.h"

/* NORMALIZE(x, NFKC): the form is a bare word. */
static int write_form(struct sql_writer *w, const struct sql_call *call, const char *function,
                      struct error *e)
{
    struct str form = STR("NFC");

    if (sql_call_count(call) > 1 && !sql_call_word(call, 1, &form))
        return sql_call_fail(w, call, e, "Argument 2 must be NFC, NFD, NFKC or NFKD");
    sql_write_text(w, function);
    if (sql_write_argument(w, call, 0, e) < 0)
        return -1;
    sql_write_text(w, ", ");
    sql_write_string(w, form);
    sql_write_text(w, ")");
    return 0;
}

static int write_normalize(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return write_form(w, call, "bq_normalize(", e);
}

static int write_casefold(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    return write_form(w, call, "bq_normalize_and_casefold(", e);
}

static int write_collate(struct sql_writer *w, const struct sql_call *call, struct error *e)
{
    struct str name;

    if (!sql_call_string(call, 1, &name))
        return sql_call_fail(w, call, e, "Argument 2 of COLLATE must be a literal");
    if (!name.len)
        return sql_write_argument(w, call, 0, e);
    if (!str_eq(name, STR("und:ci")))
        return sql_call_fail(w, call, e, "Collation '%.*s' in collate function is not supported.",
                             STR_ARG(str_cut(name, 50)));
    return sql_write_template(w, call, "($1 COLLATE NOCASE)", e);
}

/* The text that a pattern finds: the n-th of all, or of those from a position on. */
// clang-format off
#define GROUP "CAST(bq_regexp_group($2) AS INTEGER)"
#define FOUND(text, n) "CAST((regexp_extract_all(" text ", $2, " GROUP "))[" n "] AS VARCHAR)"
#define EXTRACT_ROWS(name)                                                                         \
    { name, 2, 2, 0, FOUND("$1", "1"), NULL, NULL },                                               \
    { name, 3, 3, 0, FOUND("bq_substr($1, $3)", "1"), NULL, NULL },                                \
    { name, 4, 4, 0, FOUND("bq_substr($1, $3)", "$4"), NULL, NULL }
#define INSTR(text, n, more)                                                                       \
    "CASE regexp_matches(" text ", bq_regexp_before($2, " n "))"                                   \
    " WHEN true THEN length(regexp_extract(" text ", bq_regexp_before($2, " n "), 1))" more        \
    " WHEN false THEN 0 END"
#define PLAIN(name, min, max, print) { name, min, max, 0, print, NULL, NULL }
#define SIGNED(name, min, max, print, signature) { name, min, max, 0, print, NULL, signature }
static const struct sql_function rows[] = {
    PLAIN("ASCII", 1, 1, "bq_ascii($1)"),
    PLAIN("BYTE_LENGTH", 1, 1, "bq_byte_length($1)"),
    PLAIN("OCTET_LENGTH", 1, 1, "bq_byte_length($1)"),
    PLAIN("CHAR_LENGTH", 1, 1, "bq_char_length($1)"),
    PLAIN("CHARACTER_LENGTH", 1, 1, "bq_char_length($1)"),
    PLAIN("CHR", 1, 1, "bq_chr($1)"),
    PLAIN("CODE_POINTS_TO_BYTES", 1, 1, "bq_code_points_to_bytes($1)"),
    PLAIN("CODE_POINTS_TO_STRING", 1, 1, "bq_code_points_to_string($1)"),
    { "COLLATE", 2, 2, 0, NULL, write_collate, NULL },
    SIGNED("CONCAT", 1, SQL_ARGUMENTS_ANY, "bq_concat($*)", "CONCAT(STRING, [STRING, ...]);CONCAT(BYTES, [BYTES, ...])"),
    PLAIN("CONTAINS_SUBSTR", 2, 2, "bq_contains_substr($1, $2)"),
    PLAIN("EDIT_DISTANCE", 2, 2, "bq_edit_distance($1, $2)"),
    PLAIN("ENDS_WITH", 2, 2, "bq_ends_with($1, $2)"),
    PLAIN("FORMAT", 1, SQL_ARGUMENTS_ANY, "bq_format($*)"),
    PLAIN("FROM_BASE32", 1, 1, "bq_from_base32($1)"),
    PLAIN("FROM_BASE64", 1, 1, "bq_from_base64($1)"),
    PLAIN("FROM_HEX", 1, 1, "bq_from_hex($1)"),
    PLAIN("INITCAP", 1, 2, "bq_initcap($*)"),
    PLAIN("INSTR", 2, 4, "bq_instr($*)"),
    SIGNED("LEFT", 2, 2, "bq_left($1, $2)", "LEFT(STRING, INT64);LEFT(BYTES, INT64)"),
    SIGNED("LENGTH", 1, 1, "bq_length($1)", "LENGTH(STRING);LENGTH(BYTES)"),
    PLAIN("LOWER", 1, 1, "bq_lower($1)"),
    PLAIN("LPAD", 2, 3, "bq_lpad($*)"),
    PLAIN("LTRIM", 1, 2, "bq_ltrim($*)"),
    { "NORMALIZE", 1, 2, 0, NULL, write_normalize, NULL },
    { "NORMALIZE_AND_CASEFOLD", 1, 2, 0, NULL, write_casefold, NULL },
    PLAIN("REGEXP_CONTAINS", 2, 2, "regexp_matches($1, $2)"),
    EXTRACT_ROWS("REGEXP_EXTRACT"),
    EXTRACT_ROWS("REGEXP_SUBSTR"),
    PLAIN("REGEXP_EXTRACT_ALL", 2, 2, "CAST(regexp_extract_all($1, $2, " GROUP ") AS VARCHAR[])"),
    PLAIN("REGEXP_INSTR", 2, 2, INSTR("$1", "1::BIGINT", " + 1")),
    PLAIN("REGEXP_INSTR", 3, 3, INSTR("bq_substr($1, $3)", "1::BIGINT", " + $3")),
    PLAIN("REGEXP_INSTR", 4, 4, INSTR("bq_substr($1, $3)", "$4", " + $3")),
    PLAIN("REGEXP_REPLACE", 3, 3, "regexp_replace(bq_replaceable($1, $3), $2, $3, 'g')"),
    PLAIN("REPEAT", 2, 2, "bq_repeat($1, $2)"),
    PLAIN("REPLACE", 3, 3, "bq_replace($*)"),
    PLAIN("REVERSE", 1, 1, "bq_reverse($1)"),
    PLAIN("RIGHT", 2, 2, "bq_right($1, $2)"),
    PLAIN("RPAD", 2, 3, "bq_rpad($*)"),
    PLAIN("RTRIM", 1, 2, "bq_rtrim($*)"),
    PLAIN("SAFE_CONVERT_BYTES_TO_STRING", 1, 1, "bq_safe_convert_bytes_to_string($1)"),
    PLAIN("SOUNDEX", 1, 1, "bq_soundex($1)"),
    PLAIN("SPLIT", 1, 2, "bq_split($*)"),
    PLAIN("STARTS_WITH", 2, 2, "bq_starts_with($1, $2)"),
    PLAIN("STRPOS", 2, 2, "bq_strpos($1, $2)"),
    SIGNED("SUBSTR", 2, 3, "bq_substr($*)", "SUBSTR(STRING, INT64, [INT64]);SUBSTR(BYTES, INT64, [INT64])"),
    SIGNED("SUBSTRING", 2, 3, "bq_substr($*)", "SUBSTRING(STRING, INT64, [INT64]);SUBSTRING(BYTES, INT64, [INT64])"),
    PLAIN("TO_BASE32", 1, 1, "bq_to_base32($1)"),
    PLAIN("TO_BASE64", 1, 1, "bq_to_base64($1)"),
    PLAIN("TO_CODE_POINTS", 1, 1, "bq_to_code_points($1)"),
    PLAIN("TO_HEX", 1, 1, "bq_to_hex($1)"),
    PLAIN("TRANSLATE", 3, 3, "bq_translate($*)"),
    PLAIN("TRIM", 1, 2, "bq_trim($*)"),
    PLAIN("UNICODE", 1, 1, "bq_unicode($1)"),
    PLAIN("UPPER", 1, 1, "bq_upper($1)"),
};
// clang-format on

const struct sql_function_group sql_functions_string = { "text and bytes", rows, ARRAY_LEN(rows) };
