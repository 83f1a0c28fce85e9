/* parse.h -- the recursive-descent parser's state and the functions that its files share.
 *
 * Shape:   every function returns NULL or -1 on an error and has set p->e. One token of look-ahead decides, a few
 *          places look further. Depth is counted by parse_deeper and parse_shallower.
 */
#ifndef TRANCHE_FORMAT_SQL_PARSE_H
#define TRANCHE_FORMAT_SQL_PARSE_H

#include "format/sql/lexer.h"
#include "format/sql/tree.h"

#define SQL_ARGUMENT_NAMES_MAX 32 /* arguments of a call with named ones */

struct parser {
    struct arena *arena;
    struct str text;
    struct token *token;
    uint32_t count;
    uint32_t at;           /* the next token */
    const uint32_t *close; /* of a "(": the token that closes it, or the last one */
    uint32_t depth;
    uint32_t places;                /* ? so far */
    struct function_def **function; /* of the script so far */
    uint32_t function_count;
    struct error *e;
};

/* ---- Tokens ---- */

const struct token *parse_peek(const struct parser *p, uint32_t ahead);
bool parse_is_word(const struct parser *p, uint32_t ahead,
                   const char *upper); /* in any case, without quotes */
bool parse_is_sign(const struct parser *p, uint32_t ahead, const char *sign);
uint32_t *parse_brackets_of(struct arena *a, const struct token *token, uint32_t count);
uint32_t parse_closing(const struct parser *p,
                       uint32_t ahead);               /* counted from the next token, as ahead is */
bool parse_word(struct parser *p, const char *upper); /* takes it if it is next */
bool parse_words(struct parser *p, const char *first, const char *second);
bool parse_sign(struct parser *p, const char *sign);
int parse_need_word(struct parser *p, const char *upper) FALLIBLE;
int parse_need_sign(struct parser *p, const char *sign) FALLIBLE;
/* A name, not reserved unless in quotes. */
int parse_name(struct parser *p, struct str *out) FALLIBLE;
bool parse_is_name(const struct parser *p, uint32_t ahead);
/* [AS] name; empty when there is none. */
int parse_alias(struct parser *p, struct str *out) FALLIBLE;
/* Syntax error: Unexpected ... or Expected WHAT but got ... (what NULL: unexpected). Return -1. */
int parse_unexpected(struct parser *p, const char *what);
int parse_fail(struct parser *p, uint32_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
/* UNIMPLEMENTED: GoogleSQL that is not on our lists. */
int parse_refuse(struct parser *p, uint32_t at, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
int parse_deeper(struct parser *p) FALLIBLE; /* INVALID_ARGUMENT past SQL_DEPTH_MAX */
void parse_shallower(struct parser *p);
uint32_t parse_end(const struct parser *p); /* one past the token that was taken last */
/* Appends to a list in the arena. */
#define PARSE_ADD(p, list, count, ...)                                                             \
    ((list) = arena_list_grow((p)->arena, (list), (count), sizeof(__typeof__(*(list)))),           \
     (list)[(count)++] = (__VA_ARGS__))

/* ---- Parts ---- */

struct expr *parse_expr(struct parser *p) FALLIBLE;
struct expr *parse_operand(struct parser *p) FALLIBLE; /* without comparisons, NOT, AND, OR */
/* With height checked; NULL on an error. */
struct expr *parse_node(struct parser *p, enum expr_kind kind, uint32_t at);
struct expr *parse_leaf(struct parser *p,
                        enum expr_kind kind); /* of the next token, which is taken */
int parse_node_add(struct parser *p, struct expr *node, struct expr *item) FALLIBLE;
struct expr *parse_call_or_name(struct parser *p) FALLIBLE;
/* Words with a syntax of their own: CASE, CAST, EXTRACT, INTERVAL, ARRAY, STRUCT and so on. 1 and *out, 0: the next token
 * begins none, -1. */
int parse_special(struct parser *p, struct expr **out) FALLIBLE;
struct expr *parse_brackets(struct parser *p) FALLIBLE; /* ( ... ): expression, tuple or query */
struct expr *parse_array(struct parser *p, struct bq_field *type,
                         uint32_t at) FALLIBLE; /* [ ... ] */
int parse_order(struct parser *p, struct order **out,
                uint32_t *count) FALLIBLE;                     /* after ORDER BY */
int parse_window(struct parser *p, struct window *w) FALLIBLE; /* ( ... ) */
int parse_exprs(struct parser *p, struct expr ***out, uint32_t *count) FALLIBLE; /* a, b, ... */
int parse_names(struct parser *p, struct str **out, uint32_t *count) FALLIBLE;   /* (a, b, ...) */

/* A type. NULL on an error. `parameters`: STRING(10) and NUMERIC(5, 2) may be said. */
struct bq_field *parse_type(struct parser *p) FALLIBLE;
/* Does a type begin at the token that is `ahead`, such as DATE before a string? */
bool parse_is_literal_type(const struct parser *p, enum bq_type *type);

struct query *parse_query(struct parser *p) FALLIBLE;
bool parse_is_query(const struct parser *p,
                    uint32_t ahead);                /* SELECT, WITH, or brackets around one */
struct from *parse_from(struct parser *p) FALLIBLE; /* after FROM */
/* A table's name or a path: parts, and the name of it. */
int parse_path(struct parser *p, struct str **part, uint32_t *count,
               struct sql_name *name) FALLIBLE;
int parse_table_name(struct parser *p, struct sql_name *name) FALLIBLE;

/* A statement that is not a script's. 1 and *out, 0: the next token begins none, -1. */
int parse_dml(struct parser *p, struct sql_inner *out) FALLIBLE;
int parse_ddl(struct parser *p, struct sql_inner *out) FALLIBLE;
struct function_def *parse_function_def(struct parser *p) FALLIBLE;
int parse_options(struct parser *p, struct options *out) FALLIBLE; /* after OPTIONS */

#endif
