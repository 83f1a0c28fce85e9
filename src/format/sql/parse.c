/* parse.c -- see parse.h: tokens, names, errors in BigQuery's words, and types. */
#include "format/sql/parse.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>

const struct token *parse_peek(const struct parser *p, uint32_t ahead)
{
    uint32_t at = p->at + ahead;

    return &p->token[at < p->count ? at : p->count - 1];
}

bool parse_is_word(const struct parser *p, uint32_t ahead, const char *upper)
{
    const struct token *t = parse_peek(p, ahead);

    return t->kind == TOKEN_NAME && sql_word_is(t->text, upper);
}

bool parse_is_sign(const struct parser *p, uint32_t ahead, const char *sign)
{
    const struct token *t = parse_peek(p, ahead);

    return t->kind == TOKEN_SIGN && str_eq_c(t->text, sign);
}

uint32_t *parse_brackets_of(struct arena *a, const struct token *token, uint32_t count)
{
    uint32_t *close = arena_array(a, count, sizeof(*close)), *open, depth = 0;

    open = arena_array(a, count, sizeof(*open));
    for (uint32_t i = 0; i < count; i++) {
        close[i] = count - 1;
        if (token[i].kind != TOKEN_SIGN)
            continue;
        if (str_eq_c(token[i].text, "("))
            open[depth++] = i;
        else if (str_eq_c(token[i].text, ")") && depth)
            close[open[--depth]] = i;
    }
    return close;
}

uint32_t parse_closing(const struct parser *p, uint32_t ahead)
{
    uint32_t at = p->at + ahead;

    return p->close[at < p->count ? at : p->count - 1] - p->at;
}

bool parse_word(struct parser *p, const char *upper)
{
    bool found = parse_is_word(p, 0, upper);

    p->at += found;
    return found;
}

bool parse_words(struct parser *p, const char *first, const char *second)
{
    bool found = parse_is_word(p, 0, first) && parse_is_word(p, 1, second);

    p->at += found ? 2 : 0;
    return found;
}

bool parse_sign(struct parser *p, const char *sign)
{
    bool found = parse_is_sign(p, 0, sign);

    p->at += found;
    return found;
}

uint32_t parse_end(const struct parser *p)
{
    return p->at ? p->token[p->at - 1].end : 0;
}

/* ---- Errors ---- */

int parse_fail(struct parser *p, uint32_t at, const char *fmt, ...)
{
    char message[ERROR_MSG_BYTES];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    str_settle(message, n, sizeof(message));
    return sql_fail(p->e, ERROR_INVALID_ARGUMENT, p->text, at, "%s", message);
}

int parse_refuse(struct parser *p, uint32_t at, const char *fmt, ...)
{
    char message[ERROR_MSG_BYTES];
    va_list args;

    va_start(args, fmt);
    int n = vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    str_settle(message, n, sizeof(message));
    return sql_fail(p->e, ERROR_UNIMPLEMENTED, p->text, at, "%s", message);
}

/* Words that BigQuery calls keywords although they may be names. */
static bool is_keyword(const struct token *t)
{
    static const char *const words[] = {
        "ADD",      "ALTER",   "BEGIN",   "CLUSTER", "COLUMN",    "CONSTRAINT", "DATE",
        "DATETIME", "DECLARE", "DELETE",  "DROP",    "EXCEPTION", "EXECUTE",    "FUNCTION",
        "INSERT",   "KEY",     "MATCHED", "OFFSET",  "OPTIONS",   "PIVOT",      "REPLACE",
        "ROW",      "SYSTEM",  "TABLE",   "TEMP",    "TIME",      "TIMESTAMP",  "UNPIVOT",
        "UPDATE",   "VALUES",  "VIEW"
    };

    if (t->kind != TOKEN_NAME)
        return false;
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        if (sql_word_is(t->text, words[i]))
            return true;
    return sql_reserved(t->text);
}

/* A token as the errors of BigQuery name it. */
static void describe(const struct parser *p, const struct token *t, char *out, size_t cap)
{
    static const struct {
        const char *before, *after;
    } kinds[] = {
        [TOKEN_NAME] = { "identifier \"", "\"" },
        [TOKEN_QUOTED] = { "identifier ", "" },
        [TOKEN_STRING] = { "string literal ", "" },
        [TOKEN_BYTES] = { "bytes literal ", "" },
        [TOKEN_INTEGER] = { "integer literal \"", "\"" },
        [TOKEN_FLOAT] = { "floating point literal \"", "\"" },
        [TOKEN_PARAMETER] = { "\"", "\"" },
        [TOKEN_SYSTEM] = { "\"", "\"" },
        [TOKEN_SIGN] = { "\"", "\"" },
    };
    struct str written = str_cut(str_sub(p->text, t->at, t->end - t->at), 60);
    char word[64];
    int n = 0;

    if (is_keyword(t)) {
        snprintf(word, sizeof(word), "%.*s", STR_ARG(written));
        for (char *c = word; *c; c++)
            *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 32) : *c;
        n = snprintf(out, cap, "keyword %s", word);
        str_settle(out, n, cap);
        return;
    }
    if (t->kind == TOKEN_END)
        n = snprintf(out, cap, "end of script");
    else
        n = snprintf(out, cap, "%s%.*s%s", kinds[t->kind].before, STR_ARG(written),
                     kinds[t->kind].after);
    str_settle(out, n, cap);
}

int parse_unexpected(struct parser *p, const char *what)
{
    const struct token *t = parse_peek(p, 0);
    char got[128];

    describe(p, t, got, sizeof(got));
    if (what)
        return parse_fail(p, t->at, "Syntax error: Expected %s but got %s", what, got);
    return parse_fail(p, t->at, "Syntax error: Unexpected %s", got);
}

int parse_need_word(struct parser *p, const char *upper)
{
    char what[64];

    if (parse_word(p, upper))
        return 0;
    snprintf(what, sizeof(what), "keyword %s", upper);
    return parse_unexpected(p, what);
}

int parse_need_sign(struct parser *p, const char *sign)
{
    char what[16];

    if (parse_sign(p, sign))
        return 0;
    snprintf(what, sizeof(what), "\"%s\"", sign);
    return parse_unexpected(p, what);
}

int parse_deeper(struct parser *p)
{
    if (p->depth >= SQL_DEPTH_MAX)
        return parse_fail(
            p, parse_peek(p, 0)->at,
            "Query is too complex: more than %d expressions and queries in each other",
            SQL_DEPTH_MAX);
    p->depth++;
    return 0;
}

void parse_shallower(struct parser *p)
{
    assert(p->depth);
    p->depth--;
}

/* ---- Names ---- */

bool parse_is_name(const struct parser *p, uint32_t ahead)
{
    const struct token *t = parse_peek(p, ahead);

    return t->kind == TOKEN_QUOTED || (t->kind == TOKEN_NAME && !t->reserved);
}

int parse_name(struct parser *p, struct str *out)
{
    if (!parse_is_name(p, 0))
        return parse_unexpected(p, parse_peek(p, 0)->kind == TOKEN_NAME ? NULL : "identifier");
    *out = p->token[p->at++].text;
    return 0;
}

int parse_alias(struct parser *p, struct str *out)
{
    *out = (struct str){ 0 };
    if (parse_word(p, "AS"))
        return parse_name(p, out);
    if (parse_is_name(p, 0) && !parse_is_word(p, 0, "QUALIFY"))
        *out = p->token[p->at++].text;
    return 0;
}

int parse_names(struct parser *p, struct str **out, uint32_t *count)
{
    struct str name;

    if (parse_need_sign(p, "(") < 0)
        return -1;
    do {
        if (parse_name(p, &name) < 0)
            return -1;
        PARSE_ADD(p, *out, *count, name);
    } while (parse_sign(p, ","));
    return parse_need_sign(p, ")");
}

/* The parts of a quoted name: `p-x.d.t` has three. */
static void add_parts(struct parser *p, struct str quoted, struct str **part, uint32_t *count)
{
    struct str piece;

    while (str_next(&quoted, '.', &piece))
        PARSE_ADD(p, *part, *count, piece);
}

/* One part of a path; an unquoted project may have dashes, which must touch. */
static int path_part(struct parser *p, bool first, struct str **part, uint32_t *count)
{
    const struct token *t = parse_peek(p, 0);

    if (t->kind == TOKEN_QUOTED) {
        p->at++;
        add_parts(p, t->text, part, count);
        return 0;
    }
    /* Behind a dot keywords are names. */
    if (t->kind != TOKEN_NAME || (first && t->reserved))
        return parse_unexpected(p, t->kind == TOKEN_NAME ? NULL : "identifier");
    uint32_t from = t->at, end = t->end;
    for (p->at++; first && parse_is_sign(p, 0, "-") && parse_peek(p, 0)->at == end;) {
        const struct token *next = parse_peek(p, 1);
        if ((next->kind != TOKEN_NAME && next->kind != TOKEN_INTEGER) || next->at != end + 1)
            break;
        end = next->end;
        p->at += 2;
    }
    PARSE_ADD(p, *part, *count, str_sub(p->text, from, end - from));
    return 0;
}

int parse_path(struct parser *p, struct str **part, uint32_t *count, struct sql_name *name)
{
    uint32_t at = parse_peek(p, 0)->at;

    *part = NULL;
    *count = 0;
    do {
        if (path_part(p, *count == 0, part, count) < 0)
            return -1;
    } while (parse_sign(p, "."));
    *name = (struct sql_name){ .at = at };
    assert(*part && *count > 0);
    name->table = (*part)[*count - 1];
    if (*count >= 2)
        name->dataset = (*part)[*count - 2];
    if (*count == 3)
        name->project = (*part)[0];
    for (uint32_t i = 0; *count > 3 && i + 2 < *count; i++) { /* example.com:p */
        const char *joined = arena_textf(p->arena, "%.*s%s%.*s", STR_ARG(name->project),
                                         i ? "." : "", STR_ARG((*part)[i]));
        name->project = str_of(joined);
    }
    return 0;
}

int parse_table_name(struct parser *p, struct sql_name *name)
{
    struct str *part;
    uint32_t count;

    return parse_path(p, &part, &count, name);
}

/* ---- Types ---- */

static bool type_word(struct str word, enum bq_type *type)
{
    if (sql_word_is(word, "RECORD") || sql_word_is(word, "STRUCT"))
        return false;
    return bq_type_find(word, type);
}

bool parse_is_literal_type(const struct parser *p, enum bq_type *type)
{
    const struct token *t = parse_peek(p, 0);

    return t->kind == TOKEN_NAME && parse_peek(p, 1)->kind == TOKEN_STRING &&
           type_word(t->text, type) && *type != BQ_STRING && *type != BQ_BYTES &&
           *type != BQ_INTEGER && *type != BQ_FLOAT && *type != BQ_BOOLEAN && *type != BQ_INTERVAL;
}

static int type_number(struct parser *p, int64_t max, int64_t *out)
{
    const struct token *t = parse_peek(p, 0);
    uint64_t value;

    if (parse_word(p, "MAX")) {
        *out = 0;
        return 0;
    }
    if (t->kind != TOKEN_INTEGER)
        return parse_unexpected(p, "integer literal");
    if (!str_number_in(t->text, 0, (uint64_t)max, &value))
        return parse_fail(p, t->at, "Type parameter is out of range");
    p->at++;
    *out = (int64_t)value;
    return 0;
}

/* (10), (5, 2) behind a type. */
static int type_parameters(struct parser *p, struct bq_field *f)
{
    uint32_t at = parse_peek(p, 0)->at;

    if (!parse_sign(p, "("))
        return 0;
    if (f->type == BQ_STRING || f->type == BQ_BYTES) {
        if (type_number(p, INT32_MAX, &f->max_length) < 0)
            return -1;
    } else if (f->type == BQ_NUMERIC || f->type == BQ_BIGNUMERIC) {
        if (type_number(p, 76, &f->precision) < 0)
            return -1;
        if (parse_sign(p, ",") && type_number(p, 38, &f->scale) < 0)
            return -1;
    } else {
        return parse_fail(p, at, "%s does not support type parameters", bq_type_sql(f->type));
    }
    return parse_need_sign(p, ")");
}

static struct bq_field *type_array(struct parser *p)
{
    uint32_t at = parse_peek(p, 0)->at;

    if (parse_need_sign(p, "<") < 0)
        return NULL;
    struct bq_field *element = parse_type(p);
    if (!element)
        return NULL;
    if (element->mode == BQ_REPEATED) {
        parse_fail(p, at, "Arrays of arrays are not supported");
        return NULL;
    }
    element->mode = BQ_REPEATED;
    return parse_need_sign(p, ">") < 0 ? NULL : element;
}

/* OPTIONS of a field within a type: its description. */
static int field_options(struct parser *p, struct bq_field *field)
{
    struct options options = { 0 };

    if (parse_options(p, &options) < 0)
        return -1;
    for (uint32_t i = 0; i < options.count; i++)
        if (sql_word_is(options.item[i].name, "DESCRIPTION") &&
            options.item[i].value->kind == EXPR_STRING)
            field->description = options.item[i].value->text;
    return 0;
}

/* STRUCT<a INT64, STRING>: fields without a name have an empty one. */
static struct bq_field *type_struct(struct parser *p)
{
    struct bq_field *f = arena_alloc(p->arena, sizeof(*f));

    f->type = BQ_RECORD;
    if (parse_need_sign(p, "<") < 0)
        return NULL;
    while (!parse_is_sign(p, 0, ">")) {
        struct str name = { 0 };
        bool named = parse_is_name(p, 0) && (parse_peek(p, 1)->kind == TOKEN_NAME ||
                                             parse_peek(p, 1)->kind == TOKEN_QUOTED);
        if (named && parse_name(p, &name) < 0)
            return NULL;
        struct bq_field *field = parse_type(p);
        if (!field)
            return NULL;
        field->name = name;
        if (parse_words(p, "NOT", "NULL") && field->mode != BQ_REPEATED)
            field->mode = BQ_REQUIRED;
        if (parse_word(p, "OPTIONS") && field_options(p, field) < 0)
            return NULL;
        PARSE_ADD(p, f->fields, f->field_count, *field);
        if (!parse_sign(p, ","))
            break;
    }
    return parse_need_sign(p, ">") < 0 ? NULL : f;
}

static struct bq_field *type_inner(struct parser *p)
{
    const struct token *t = parse_peek(p, 0);
    struct bq_field *f;

    if (parse_word(p, "ARRAY"))
        return type_array(p);
    if (parse_word(p, "STRUCT"))
        return type_struct(p);
    if (parse_is_word(p, 0, "RANGE") && parse_is_sign(p, 1, "<")) {
        parse_refuse(p, t->at, "RANGE is not supported");
        return NULL;
    }
    f = arena_alloc(p->arena, sizeof(*f));
    if (t->kind != TOKEN_NAME && t->kind != TOKEN_QUOTED) {
        parse_unexpected(p, "type");
        return NULL;
    }
    if (!type_word(t->text, &f->type)) {
        parse_fail(p, t->at, "Type not found: %.*s", STR_ARG(t->text));
        return NULL;
    }
    p->at++;
    return type_parameters(p, f) < 0 ? NULL : f;
}

struct bq_field *parse_type(struct parser *p)
{
    if (parse_deeper(p) < 0)
        return NULL;
    struct bq_field *f = type_inner(p);
    parse_shallower(p);
    return f;
}
