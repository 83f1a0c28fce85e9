/* lexer.h -- GoogleSQL's text as tokens: names, keywords, literals with their escapes decoded, signs.
 *
 * Errors:  INVALID_ARGUMENT in BigQuery's words with the position.
 * Source:  https://cloud.google.com/bigquery/docs/reference/standard-sql/lexical
 */
#ifndef TRANCHE_FORMAT_SQL_LEXER_H
#define TRANCHE_FORMAT_SQL_LEXER_H

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"

enum token_kind {
    TOKEN_END,
    TOKEN_NAME,   /* a name or keyword without quotes */
    TOKEN_QUOTED, /* `name`; text without the quotes, escapes decoded */
    TOKEN_STRING,
    TOKEN_BYTES,
    TOKEN_INTEGER, /* text: decimal or 0x digits as written */
    TOKEN_FLOAT,
    TOKEN_PARAMETER, /* @name; text: the name */
    TOKEN_SYSTEM,    /* @@name.name; text without the signs */
    TOKEN_SIGN /* text: ( ) [ ] , . ; + - * / and so on, two characters where they belong together */
};

struct token {
    enum token_kind kind;
    bool reserved; /* TOKEN_NAME: cannot be a name */
    uint32_t at, end;
    struct str text;
};

/* The tokens of text, the last is TOKEN_END. NULL on an error. */
struct token *sql_lex(struct arena *a, struct str text, uint32_t *count, struct error *e) FALLIBLE;

/* Sets INVALID_ARGUMENT, or another code, with the position behind the message. Returns -1. */
int sql_fail(struct error *e, enum error_code code, struct str text, uint32_t at, const char *fmt,
             ...) __attribute__((format(printf, 5, 6)));

bool sql_word_is(struct str s, const char *upper); /* the same in any case */
bool sql_reserved(struct str word);

#endif
