/* lexer.c -- see lexer.h. One pass over the bytes; a token a call of lex_token. */
#include "format/sql/lexer.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct lexer {
    struct arena *arena;
    struct str text;
    size_t at;
    struct token *token; /* a list in the arena */
    uint32_t count;
    struct error *e;
};

static char upper(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

static int lex_fail(struct lexer *l, size_t at, const char *what)
{
    return sql_fail(l->e, ERROR_INVALID_ARGUMENT, l->text, (uint32_t)at, "Syntax error: %s", what);
}

static char peek(const struct lexer *l, size_t ahead)
{
    return l->at + ahead < l->text.len ? l->text.p[l->at + ahead] : '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool starts_name(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool goes_on(char c)
{
    return starts_name(c) || is_digit(c);
}

static int hex_digit(char c)
{
    if (is_digit(c))
        return c - '0';
    c = upper(c);
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Passes over white space and comments. */
static int skip_space(struct lexer *l)
{
    while (l->at < l->text.len) {
        char c = peek(l, 0);
        if (c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v') {
            l->at++;
        } else if (c == '#' || (c == '-' && peek(l, 1) == '-')) {
            while (l->at < l->text.len && peek(l, 0) != '\n')
                l->at++;
        } else if (c == '/' && peek(l, 1) == '*') {
            struct str rest = str_sub(l->text, l->at + 2, SIZE_MAX);
            size_t end = str_find(rest, STR("*/"));
            if (end == SIZE_MAX)
                return lex_fail(l, l->at, "Unclosed comment");
            l->at += end + 4;
        } else if ((unsigned char)c == 0xC2 && (unsigned char)peek(l, 1) == 0xA0) {
            l->at += 2; /* a no-break space, which editors leave behind */
        } else {
            break;
        }
    }
    return 0;
}

static struct token *add_token(struct lexer *l, enum token_kind kind, size_t at, struct str text)
{
    l->token = arena_list_grow(l->arena, l->token, l->count, sizeof(*l->token));
    struct token *t = &l->token[l->count++];
    *t = (struct token){ .kind = kind, .at = (uint32_t)at, .end = (uint32_t)l->at, .text = text };
    return t;
}

/* ---- Strings ---- */

static void put_utf8(char *out, size_t *n, uint32_t c)
{
    if (c < 0x80) {
        out[(*n)++] = (char)c;
        return;
    }
    if (c < 0x800) {
        out[(*n)++] = (char)(0xC0 | c >> 6);
    } else if (c < 0x10000) {
        out[(*n)++] = (char)(0xE0 | c >> 12);
        out[(*n)++] = (char)(0x80 | (c >> 6 & 0x3F));
    } else {
        out[(*n)++] = (char)(0xF0 | c >> 18);
        out[(*n)++] = (char)(0x80 | (c >> 12 & 0x3F));
        out[(*n)++] = (char)(0x80 | (c >> 6 & 0x3F));
    }
    out[(*n)++] = (char)(0x80 | (c & 0x3F));
}

/* The value of `digits` hexadecimal or octal digits; false: they are not all there. */
static bool read_digits(struct lexer *l, int digits, int base, uint32_t *value)
{
    *value = 0;
    for (int i = 0; i < digits; i++) {
        int d = hex_digit(peek(l, 0));
        if (d < 0 || d >= base)
            return false;
        *value = *value * (uint32_t)base + (uint32_t)d;
        l->at++;
    }
    return true;
}

/* The escape that begins at l->at, after its backslash. */
static int lex_escape(struct lexer *l, bool bytes, char *out, size_t *n)
{
    static const char plain[] = "abfnrtv\\?\"'`";
    static const char values[] = "\a\b\f\n\r\t\v\\?\"'`";
    size_t at = l->at - 1;
    char c = peek(l, 0);
    const char *found = c ? strchr(plain, c) : NULL;
    uint32_t value = 0;
    bool ok = true, code = false;

    if (found) {
        out[(*n)++] = values[found - plain];
        l->at++;
        return 0;
    }
    if (c >= '0' && c <= '3') {
        ok = read_digits(l, 3, 8, &value);
    } else if (c == 'x' || c == 'X') {
        l->at++;
        ok = read_digits(l, 2, 16, &value);
    } else if ((c == 'u' || c == 'U') && !bytes) {
        l->at++;
        code = true;
        ok = read_digits(l, c == 'u' ? 4 : 8, 16, &value) && value <= 0x10FFFF &&
             !(value >= 0xD800 && value <= 0xDFFF);
    } else {
        ok = false;
    }
    if (!ok)
        return sql_fail(l->e, ERROR_INVALID_ARGUMENT, l->text, (uint32_t)at,
                        "Syntax error: Illegal escape sequence: \\%c",
                        c >= ' ' && c < 127 ? c : '?');
    if (bytes && !code)
        out[(*n)++] = (char)value;
    else
        put_utf8(out, n, value);
    return 0;
}

/* The byte of the closing quote of what begins at `from`, behind its opening one; SIZE_MAX: there is none. */
static size_t closing_quote(const struct lexer *l, size_t from, char quote, bool triple)
{
    for (size_t i = from; i < l->text.len; i++) {
        char c = l->text.p[i];
        if (c == '\\')
            i++;
        else if (!triple && (c == '\n' || c == '\r'))
            break;
        else if (c == quote && (!triple || (i + 2 < l->text.len && l->text.p[i + 1] == quote &&
                                            l->text.p[i + 2] == quote)))
            return i;
    }
    return SIZE_MAX;
}

/* Decodes what stands between quotes, up to `end`; an escape that goes over the end was refused there. */
static int decode(struct lexer *l, size_t end, bool raw, bool bytes, struct str *text)
{
    size_t n = 0;
    char *out = arena_alloc_raw(l->arena, end - l->at + 4);

    while (l->at < end) {
        char c = peek(l, 0);
        l->at++;
        if (c == '\r') {
            if (peek(l, 0) != '\n') /* line ends within quotes are \n */
                out[n++] = '\n';
        } else if (c != '\\') {
            out[n++] = c;
        } else if (!raw) {
            if (lex_escape(l, bytes, out, &n) < 0)
                return -1;
        } else {
            out[n++] = c;
            out[n++] = peek(l, 0);
            l->at++;
        }
    }
    *text = (struct str){ out, n };
    return 0;
}

/* A literal whose quote is at l->at; `at` is where it begins, with its prefix. */
static int lex_string(struct lexer *l, size_t at, bool raw, bool bytes)
{
    char quote = peek(l, 0);
    bool triple = peek(l, 1) == quote && peek(l, 2) == quote;
    size_t width = triple ? 3 : 1;
    size_t end = closing_quote(l, l->at + width, quote, triple);
    struct str text;

    if (end == SIZE_MAX)
        return lex_fail(
            l, at, triple ? "Unclosed triple-quoted string literal" : "Unclosed string literal");
    l->at += width;
    if (decode(l, end, raw, bytes, &text) < 0)
        return -1;
    l->at = end + width;
    add_token(l, bytes ? TOKEN_BYTES : TOKEN_STRING, at, text);
    return 0;
}

static int lex_quoted_name(struct lexer *l)
{
    size_t at = l->at++, end = closing_quote(l, l->at, '`', false);
    struct str text;

    if (end == SIZE_MAX)
        return lex_fail(l, at, "Unclosed identifier literal");
    if (decode(l, end, false, false, &text) < 0)
        return -1;
    l->at = end + 1;
    if (!text.len)
        return lex_fail(l, at, "Invalid empty identifier");
    add_token(l, TOKEN_QUOTED, at, text);
    return 0;
}

/* ---- Numbers, names, signs ---- */

/* Is the byte at l->at behind the dash of an unquoted project name, as in my-project-1.d.t? */
static bool in_dashed(const struct lexer *l)
{
    const struct token *t = l->token;

    return l->count >= 2 && t[l->count - 1].end == l->at && str_eq_c(t[l->count - 1].text, "-") &&
           t[l->count - 2].end == t[l->count - 1].at && t[l->count - 2].kind == TOKEN_NAME;
}

/* e-10 behind a number. */
static bool take_exponent(struct lexer *l)
{
    size_t sign = peek(l, 1) == '+' || peek(l, 1) == '-' ? 1 : 0;

    if (upper(peek(l, 0)) != 'E' || !is_digit(peek(l, 1 + sign)))
        return false;
    for (l->at += 1 + sign; is_digit(peek(l, 0));)
        l->at++;
    return true;
}

static int lex_number(struct lexer *l)
{
    size_t at = l->at;
    bool dashed = in_dashed(l), real = false;

    if (peek(l, 0) == '0' && upper(peek(l, 1)) == 'X') {
        for (l->at += 2; hex_digit(peek(l, 0)) >= 0;)
            l->at++;
    } else {
        while (is_digit(peek(l, 0)))
            l->at++;
        if (dashed && starts_name(peek(l, 0))) {
            while (goes_on(peek(l, 0)))
                l->at++;
            add_token(l, TOKEN_NAME, at, str_sub(l->text, at, l->at - at));
            return 0;
        }
        if (peek(l, 0) == '.' && !(dashed && (starts_name(peek(l, 1)) || peek(l, 1) == '`'))) {
            real = true;
            for (l->at++; is_digit(peek(l, 0));)
                l->at++;
        }
        real = take_exponent(l) || real;
    }
    if (goes_on(peek(l, 0)))
        return lex_fail(l, l->at, "Missing whitespace between literal and alias");
    add_token(l, real ? TOKEN_FLOAT : TOKEN_INTEGER, at, str_sub(l->text, at, l->at - at));
    return 0;
}

static int lex_parameter(struct lexer *l)
{
    size_t at = l->at, name;
    bool system = peek(l, 1) == '@';

    name = l->at += system ? 2 : 1;
    if (!system && peek(l, 0) == '`') {
        if (lex_quoted_name(l) < 0)
            return -1;
        assert(l->token && l->count > 0);
        l->token[l->count - 1].kind = TOKEN_PARAMETER;
        l->token[l->count - 1].at = (uint32_t)at;
        return 0;
    }
    while (goes_on(peek(l, 0)) || (system && peek(l, 0) == '.' && l->at > name))
        l->at++;
    if (l->at == name)
        return lex_fail(l, at, "Unexpected \"@\"");
    add_token(l, system ? TOKEN_SYSTEM : TOKEN_PARAMETER, at, str_sub(l->text, name, l->at - name));
    return 0;
}

static int lex_sign(struct lexer *l)
{
    /* ">>" is two signs: it may end two types. */
    static const char *const pairs[] = { "||", "<<", "<=", ">=", "<>", "!=", "=>", "->", "|>" };
    static const char single[] = "()[]{},.;+-*/<>=|&^~?:";
    size_t at = l->at;

    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        if (peek(l, 0) == pairs[i][0] && peek(l, 1) == pairs[i][1]) {
            l->at += 2;
            add_token(l, TOKEN_SIGN, at, str_sub(l->text, at, 2));
            return 0;
        }
    char c = peek(l, 0);
    if (!c || !strchr(single, c)) {
        char text[64];
        size_t n = 1;
        while (n < 4 && (peek(l, n) & 0xC0) == 0x80)
            n++;
        int w = snprintf(text, sizeof(text), "Illegal input character \"%.*s\"", (int)n,
                         l->text.p + at);
        str_settle(text, w, sizeof(text));
        return lex_fail(l, at, text);
    }
    l->at++;
    add_token(l, TOKEN_SIGN, at, str_sub(l->text, at, 1));
    return 0;
}

static int lex_token(struct lexer *l)
{
    size_t at = l->at, prefix = 0;
    bool raw = false, bytes = false;
    char c = peek(l, 0);

    if (c == '`')
        return lex_quoted_name(l);
    while (prefix < 2 && strchr("rRbB", peek(l, prefix)) && peek(l, prefix)) {
        raw |= upper(peek(l, prefix)) == 'R';
        bytes |= upper(peek(l, prefix)) == 'B';
        prefix++;
    }
    if ((peek(l, prefix) == '\'' || peek(l, prefix) == '"') && (prefix < 2 || raw == bytes)) {
        l->at += prefix;
        return lex_string(l, at, raw, bytes);
    }
    if (is_digit(c) ||
        (c == '.' && is_digit(peek(l, 1)) && !(l->count && l->token[l->count - 1].end == at)))
        return lex_number(l);
    if (starts_name(c)) {
        while (goes_on(peek(l, 0)))
            l->at++;
        struct str word = str_sub(l->text, at, l->at - at);
        bool after_dot = l->count && str_eq_c(l->token[l->count - 1].text, ".") &&
                         l->token[l->count - 1].kind == TOKEN_SIGN;
        add_token(l, TOKEN_NAME, at, word)->reserved = !after_dot && sql_reserved(word);
        return 0;
    }
    return c == '@' ? lex_parameter(l) : lex_sign(l);
}

struct token *sql_lex(struct arena *a, struct str text, uint32_t *count, struct error *e)
{
    struct lexer l = { .arena = a, .text = text, .e = e };

    if (str_utf8_valid(text) < text.len) {
        sql_fail(e, ERROR_INVALID_ARGUMENT, text, (uint32_t)str_utf8_valid(text),
                 "Query text contains invalid UTF-8");
        return NULL;
    }
    for (;;) {
        if (skip_space(&l) < 0)
            return NULL;
        if (l.at >= text.len)
            break;
        if (lex_token(&l) < 0)
            return NULL;
    }
    add_token(&l, TOKEN_END, l.at, STR(""));
    *count = l.count;
    return l.token;
}
