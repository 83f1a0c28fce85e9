/* words.c -- lexer.h: words in any case, reserved ones, and places in a text for errors. */
#include <stdarg.h>
#include <stdio.h>

#include "format/sql/lexer.h"

static const char *const reserved[] = { "ALL",
                                        "AND",
                                        "ANY",
                                        "ARRAY",
                                        "AS",
                                        "ASC",
                                        "ASSERT_ROWS_MODIFIED",
                                        "AT",
                                        "BETWEEN",
                                        "BY",
                                        "CASE",
                                        "CAST",
                                        "COLLATE",
                                        "CONTAINS",
                                        "CREATE",
                                        "CROSS",
                                        "CUBE",
                                        "CURRENT",
                                        "DEFAULT",
                                        "DEFINE",
                                        "DESC",
                                        "DISTINCT",
                                        "ELSE",
                                        "END",
                                        "ENUM",
                                        "ESCAPE",
                                        "EXCEPT",
                                        "EXCLUDE",
                                        "EXISTS",
                                        "EXTRACT",
                                        "FALSE",
                                        "FETCH",
                                        "FOLLOWING",
                                        "FOR",
                                        "FROM",
                                        "FULL",
                                        "GROUP",
                                        "GROUPING",
                                        "GROUPS",
                                        "HASH",
                                        "HAVING",
                                        "IF",
                                        "IGNORE",
                                        "IN",
                                        "INNER",
                                        "INTERSECT",
                                        "INTERVAL",
                                        "INTO",
                                        "IS",
                                        "JOIN",
                                        "LATERAL",
                                        "LEFT",
                                        "LIKE",
                                        "LIMIT",
                                        "LOOKUP",
                                        "MERGE",
                                        "NATURAL",
                                        "NEW",
                                        "NO",
                                        "NOT",
                                        "NULL",
                                        "NULLS",
                                        "OF",
                                        "ON",
                                        "OR",
                                        "ORDER",
                                        "OUTER",
                                        "OVER",
                                        "PARTITION",
                                        "PRECEDING",
                                        "PROTO",
                                        "QUALIFY",
                                        "RANGE",
                                        "RECURSIVE",
                                        "RESPECT",
                                        "RIGHT",
                                        "ROLLUP",
                                        "ROWS",
                                        "SELECT",
                                        "SET",
                                        "SOME",
                                        "STRUCT",
                                        "TABLESAMPLE",
                                        "THEN",
                                        "TO",
                                        "TREAT",
                                        "TRUE",
                                        "UNBOUNDED",
                                        "UNION",
                                        "UNNEST",
                                        "USING",
                                        "WHEN",
                                        "WHERE",
                                        "WINDOW",
                                        "WITH",
                                        "WITHIN" };

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

bool sql_word_is(struct str s, const char *word)
{
    size_t i = 0;

    while (i < s.len && word[i] && upper(s.p[i]) == word[i])
        i++;
    return i == s.len && !word[i];
}

bool sql_reserved(struct str word)
{
    for (size_t i = 0; i < ARRAY_LEN(reserved); i++)
        if (sql_word_is(word, reserved[i]))
            return true;
    return false;
}

/* Line and character of a byte, both from 1. */
static void position_of(struct str text, uint32_t at, uint32_t *line, uint32_t *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < at && i < text.len; i++)
        if (text.p[i] == '\n') {
            ++*line;
            *column = 1;
        } else if ((text.p[i] & 0xC0) != 0x80) {
            ++*column;
        }
}

int sql_fail(struct error *e, enum error_code code, struct str text, uint32_t at, const char *fmt,
             ...)
{
    char message[ERROR_MSG_BYTES];
    uint32_t line, column;
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(message, sizeof(message) - 32, fmt, args);
    va_end(args);
    str_settle(message, n, sizeof(message) - 32);
    position_of(text, at, &line, &column);
    return error_set(e, code, "%s at [%u:%u]", message, line, column);
}
