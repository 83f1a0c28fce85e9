#include "format/schema/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdint.h>
#include <string.h>

#include "base/mem.h"
#include "format/schema/node.h"

struct pattern {
    char *text;
    size_t len;
    pcre2_code *code;
    pcre2_match_context *cheap, *costly; /* the limits; read only after pattern_new */
};

/* ---- Cost ---- */

size_t pattern_class_end(struct str p, size_t at)
{
    size_t i = at + 1;

    if (i < p.len && p.p[i] == '^')
        i++;
    if (i < p.len && p.p[i] == ']')
        i++;
    for (; i < p.len && p.p[i] != ']'; i++)
        if (p.p[i] == '\\')
            i++;
    return i < p.len ? i + 1 : p.len;
}

/* The larger number of "{n}", "{n,}" or "{n,m}" at `at`, or 1 when no counted repetition is there. */
static uint64_t repeat_at(struct str p, size_t at)
{
    uint64_t n = 0, most = 0;
    bool digits = false;

    for (size_t i = at + 1; i < p.len; i++) {
        char c = p.p[i];
        if (c >= '0' && c <= '9') {
            n = n < SCHEMA_COUNT_MAX ? n * 10 + (uint64_t)(c - '0') : n;
            digits = true;
            most = n > most ? n : most;
        } else if (c == ',') {
            n = 0;
        } else {
            return c == '}' && digits && most ? most : 1;
        }
    }
    return 1;
}

/* Counted repetitions copy what they repeat, and nested ones multiply: all copies of the pattern together are
 * limited, and so is the depth of groups. */
static int cost_check(struct str p, struct error *e)
{
    uint64_t inside[SCHEMA_PATTERN_DEPTH_MAX + 1] = {
        0
    };                 /* atoms of the group that is open at a depth, copies too */
    uint64_t last = 0; /* of the last atom or group */
    uint64_t copies = 0;
    unsigned depth = 0;

    for (size_t i = 0; i < p.len && copies <= SCHEMA_PATTERN_REPEAT_MAX; i++) {
        char c = p.p[i];
        if (c == '{' && repeat_at(p, i) > 1) {
            uint64_t times = repeat_at(p, i);
            copies += last * (times - 1);
            inside[depth] += last * (times - 1);
            last *= times;
        } else if (c == '(') {
            if (++depth > SCHEMA_PATTERN_DEPTH_MAX)
                return error_set(e, ERROR_INVALID_ARGUMENT, "its groups are nested too deeply");
            inside[depth] = 0;
        } else if (c == ')' && depth > 0) {
            last = inside[depth] ? inside[depth] : 1;
            inside[--depth] += last;
        } else if (!strchr("*+?|^$", c)) {
            if (c == '\\')
                i++;
            else if (c == '[')
                i = pattern_class_end(p, i) - 1;
            last = 1;
            inside[depth]++;
        }
    }
    if (copies > SCHEMA_PATTERN_REPEAT_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "its counted repetitions make more than %d copies",
                         SCHEMA_PATTERN_REPEAT_MAX);
    return 0;
}

/* ---- Compiling and searching ---- */

static pcre2_match_context *context_new(uint32_t match_limit)
{
    pcre2_match_context *c = pcre2_match_context_create(NULL);

    (void)pcre2_set_match_limit(c, match_limit);
    (void)pcre2_set_heap_limit(c, PATTERN_HEAP_KIB);
    return c;
}

struct pattern *pattern_new(struct str text, struct error *e)
{
    int code = 0;
    PCRE2_SIZE at = 0;

    if (text.len > SCHEMA_PATTERN_BYTES_MAX) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "it has over %d bytes",
                        SCHEMA_PATTERN_BYTES_MAX);
        return NULL;
    }
    if (cost_check(text, e) < 0)
        return NULL;
    struct pattern *p = mem_alloc(sizeof *p);
    p->text = mem_alloc(text.len + 1);
    if (text.len)
        memcpy(p->text, text.p, text.len);
    p->len = text.len;
    p->code = pcre2_compile((PCRE2_SPTR)p->text, text.len,
                            PCRE2_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_ALT_BSUX |
                                PCRE2_MATCH_UNSET_BACKREF | PCRE2_NEVER_BACKSLASH_C,
                            &code, &at, NULL);
    if (!p->code) {
        PCRE2_UCHAR message[200] = "";
        (void)pcre2_get_error_message(code, message, sizeof message);
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "%s, at character %zu", (const char *)message,
                        (size_t)at + 1);
        pattern_free(p);
        return NULL;
    }
    p->cheap = context_new(PATTERN_MATCH_CHEAP);
    p->costly = context_new(PATTERN_MATCH_LIMIT);
    return p;
}

void pattern_free(struct pattern *p)
{
    if (!p)
        return;
    pcre2_code_free(p->code);
    pcre2_match_context_free(p->cheap);
    pcre2_match_context_free(p->costly);
    mem_free(p->text);
    mem_free(p);
}

struct str pattern_text(const struct pattern *p)
{
    return (struct str){ p->text, p->len };
}

uint64_t pattern_overlap(const struct pattern *pattern)
{
    struct str p = pattern_text(pattern);
    bool many = !str_starts(p, STR("^")); /* what comes next can begin at many characters */
    uint64_t most = many ? PATTERN_OVERLAP_LEAST : 1;

    for (size_t i = 0; i < p.len; i++) {
        char c = p.p[i];
        uint64_t times = c == '{' ? repeat_at(p, i) : 1;
        if (c == '\\')
            i++;
        else if (c == '[')
            i = pattern_class_end(p, i) - 1;
        many = many || c == '*' || c == '+' || c == '|';
        most = many && times > most ? times : most;
    }
    return most;
}

bool pattern_finds(const struct pattern *p, struct str text, uint64_t *steps)
{
    PCRE2_SPTR subject = (PCRE2_SPTR)(text.p ? text.p : "");

    if (*steps == 0)
        return false;
    pcre2_match_data *data = pcre2_match_data_create(1, NULL);
    steps_take(steps, PATTERN_STEPS_CHEAP);
    int rc = pcre2_match(p->code, subject, text.len, 0, 0, data, p->cheap);
    if (rc == PCRE2_ERROR_MATCHLIMIT && *steps > 0) {
        steps_take(steps, PATTERN_STEPS);
        rc = pcre2_match(p->code, subject, text.len, 0, PCRE2_NO_UTF_CHECK, data, p->costly);
    }
    pcre2_match_data_free(data);
    if (rc < 0 && rc != PCRE2_ERROR_NOMATCH)
        *steps = 0; /* nobody knows whether it matches */
    return rc >= 0;
}

/* The thing beginning here that no grammar can follow, in words; NULL: there is none. */
static const char *irregular_at(struct str p)
{
    static const struct {
        struct str mark;
        const char *words;
    } marks[] = {
        { STR_INIT("\\b"), "a word boundary" },  { STR_INIT("\\B"), "a word boundary" },
        { STR_INIT("\\k"), "a back-reference" }, { STR_INIT("(?="), "a look-around" },
        { STR_INIT("(?!"), "a look-around" },    { STR_INIT("(?<="), "a look-around" },
        { STR_INIT("(?<!"), "a look-around" },
    };

    for (size_t i = 0; i < ARRAY_LEN(marks); i++)
        if (str_starts(p, marks[i].mark))
            return marks[i].words;
    bool numbered = p.len > 1 && p.p[0] == '\\' && p.p[1] >= '1' && p.p[1] <= '9';
    return numbered ? "a back-reference" : NULL;
}

const char *pattern_irregular(const struct pattern *p)
{
    struct str text = pattern_text(p);
    const char *words = NULL;

    for (size_t i = 0; i < text.len && !words; i++) {
        words = irregular_at(str_sub(text, i, text.len));
        if (text.p[i] == '[')
            i = pattern_class_end(text, i) - 1;
        else if (text.p[i] == '\\')
            i++;
    }
    return words;
}

/* ---- As a terminal ---- */

/* The class that \d, \w and their negations stand for, in ASCII as ECMA-262 has them. */
static const char *class_of(char c)
{
    switch (c) {
    case 'd':
        return "[0-9]";
    case 'D':
        return "[^0-9]";
    case 'w':
        return "[0-9A-Za-z_]";
    case 'W':
        return "[^0-9A-Za-z_]";
    default:
        return NULL;
    }
}

/* A class with its brackets. In llguidance's expressions "[", "&&", "--" and "~~" are operators within a class; in
 * ECMA-262 they are characters. */
static void write_class(struct str class, bool slashes, struct buf *out)
{
    bool begins = false; /* the last character may begin a range */
    size_t i = 1;

    buf_add_char(out, '[');
    if (i < class.len && class.p[i] == '^')
        buf_add_char(out, class.p[i++]);
    for (; i + 1 < class.len; i++) {
        char c = class.p[i];
        bool range = c == '-' && begins && i + 2 < class.len;
        if (c == '\\') {
            buf_add_char(out, c);
            c = class.p[++i];
        } else if (strchr("[&~", c) || (c == '-' && !range) || (c == '/' && slashes)) {
            buf_add_char(out, '\\');
        }
        buf_add_char(out, c);
        begins = range ? false : !begins || c != '-';
        if (range) { /* its end, which may be a hyphen too */
            c = class.p[++i];
            buf_add_c(out, strchr("[&~-", c) || (c == '/' && slashes) ? "\\" : "");
            buf_add_char(out, c);
            if (c == '\\')
                buf_add_char(out, class.p[++i]);
        }
    }
    buf_add_char(out, ']');
}

void pattern_write(const struct pattern *p, struct buf *out)
{
    struct str text = pattern_text(p);

    for (size_t i = 0; i < text.len; i++) {
        size_t end = text.p[i] == '[' ? pattern_class_end(text, i) : i + 1;
        if (text.p[i] == '[' && text.p[end - 1] == ']' && end - i > 1) {
            write_class(str_sub(text, i, end - i), false, out);
            i = end - 1;
            continue;
        }
        if (text.p[i] == '\\' && i + 1 < text.len)
            buf_add_char(out, text.p[i++]);
        buf_add_char(out, text.p[i]);
    }
}

/* One alternative without its anchors, as Lark writes it between slashes. False when an anchor is
 * left. */
static bool write_inside(struct str alternative, struct buf *out)
{
    for (size_t i = 0; i < alternative.len; i++) {
        char c = alternative.p[i];
        if (c == '\\' && i + 1 < alternative.len) {
            const char *class = class_of(alternative.p[++i]);
            if (class)
                buf_add_c(out, class);
            else
                buf_add_str(out, str_sub(alternative, i - 1, 2));
        } else if (c == '/') {
            buf_add_c(out, "\\/");
        } else if (c == '\n') {
            buf_add_c(out, "\\n");
        } else if (c == '[') {
            size_t end = pattern_class_end(alternative, i);
            write_class(str_sub(alternative, i, end - i), true, out);
            i = end - 1;
        } else if (c == '^' || c == '$') {
            return false;
        } else {
            buf_add_char(out, c);
        }
    }
    return true;
}

static bool write_alternative(struct str text, struct buf *out)
{
    bool begins = text.len && text.p[0] == '^';
    struct str rest = str_sub(text, begins ? 1 : 0, text.len);
    size_t slashes = 0;

    while (slashes + 1 < rest.len && rest.p[rest.len - 2 - slashes] == '\\')
        slashes++;
    bool ends = rest.len && rest.p[rest.len - 1] == '$' && slashes % 2 == 0;
    buf_add_c(out, begins ? "/(?:" : "/(?s:.*)(?:");
    if (!write_inside(str_sub(rest, 0, rest.len - (ends ? 1 : 0)), out))
        return false;
    buf_add_c(out, ends ? ")/" : ")(?s:.*)/");
    return true;
}

bool pattern_write_whole(const struct pattern *p, struct buf *out)
{
    struct str text = pattern_text(p);
    size_t from = 0;
    unsigned depth = 0;

    buf_add_char(out, '(');
    for (size_t i = 0; i <= text.len; i++) {
        char c = i < text.len ? text.p[i] : '|';
        if (c == '\\') {
            i++;
        } else if (c == '[') {
            i = pattern_class_end(text, i) - 1;
        } else if (c == '(') {
            depth++;
        } else if (c == ')') {
            depth -= depth > 0;
        } else if (c == '|' && (depth == 0 || i == text.len)) {
            if (from)
                buf_add_c(out, " | ");
            if (!write_alternative(str_sub(text, from, i - from), out))
                return false;
            from = i + 1;
        }
    }
    buf_add_char(out, ')');
    return true;
}
