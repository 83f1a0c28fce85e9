#include "format/job/filter.h"

#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/timestamp.h"
#include "format/request/fields.h"

/* The tree: what AND or OR joins is a list of children, so that a walk goes only as deep as
 * parentheses do. */
enum filter_kind { FILTER_ALL_OF, FILTER_ANY_OF, FILTER_NOT, FILTER_TEST };
enum filter_field {
    FILTER_DISPLAY_NAME,
    FILTER_MODEL,
    FILTER_STATE,
    FILTER_CREATE_TIME,
    FILTER_UPDATE_TIME,
    FILTER_LABEL,
};
enum filter_op { FILTER_EQ, FILTER_NE, FILTER_LT, FILTER_LE, FILTER_GT, FILTER_GE, FILTER_HAS };

struct filter {
    enum filter_kind kind;
    struct filter *child; /* of all but tests; none in an ALL_OF keeps everything */
    struct filter *next;  /* of one parent */
    /* A test: */
    enum filter_field field;
    enum filter_op op;
    struct str label;  /* its key */
    const char *value; /* ends in NUL, for globs */
    int64_t time_us;
};

enum token_kind {
    TOKEN_END,
    TOKEN_WORD,
    TOKEN_STRING,
    TOKEN_OPEN,
    TOKEN_CLOSE,
    TOKEN_OP,
    TOKEN_BAD
};
struct token {
    enum token_kind kind;
    struct str text; /* as written; of a string what is between its quotes */
    size_t at;
    enum filter_op op;
};
struct parser {
    struct arena *arena;
    struct str text;
    size_t next;
    struct token now;
    uint32_t depth;
    struct error *e;
};

/* Sets the error: the position, and what was expected there. */
static struct filter *fault(struct parser *p, size_t at, const char *expected)
{
    struct str rest = str_sub(p->text, at, 40);

    (void)error_set(p->e, ERROR_INVALID_ARGUMENT, "filter: at byte %zu, %s: expected %s.", at + 1,
                    rest.len ? quote(rest).text : "its end", expected);
    return NULL;
}

/* ---- Tokens ---- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const struct {
    const char *text;
    enum filter_op op;
} ops[] = {
    { "!=", FILTER_NE }, { "<=", FILTER_LE }, { ">=", FILTER_GE }, { "=", FILTER_EQ },
    { "<", FILTER_LT },  { ">", FILTER_GT },  { ":", FILTER_HAS },
};

static bool op_take(struct parser *p)
{
    struct str rest = str_sub(p->text, p->next, p->text.len);

    for (size_t i = 0; i < ARRAY_LEN(ops); i++) {
        struct str op = str_of(ops[i].text);
        if (!str_starts(rest, op))
            continue;
        p->now = (struct token){ TOKEN_OP, op, p->next, ops[i].op };
        p->next += op.len;
        return true;
    }
    return false;
}

static void string_take(struct parser *p)
{
    char mark = p->text.p[p->next];
    size_t from = p->next + 1, to = from;

    while (to < p->text.len && p->text.p[to] != mark)
        to += p->text.p[to] == '\\' && to + 1 < p->text.len ? 2 : 1;
    if (to >= p->text.len) {
        p->now.kind = TOKEN_BAD;
        return;
    }
    p->now.kind = TOKEN_STRING;
    p->now.text = str_sub(p->text, from, to - from);
    p->next = to + 1;
}

/* Skips white space; false at the end of the text. */
static bool token_begin(struct parser *p)
{
    while (p->next < p->text.len && is_space(p->text.p[p->next]))
        p->next++;
    p->now = (struct token){ .kind = TOKEN_END, .at = p->next };
    return p->next < p->text.len;
}

static bool is_quote(char c)
{
    return c == '"' || c == '\'';
}

/* Takes all up to a space or one of the marks. */
static void word_take(struct parser *p, const char *marks)
{
    size_t to = p->next;

    while (to < p->text.len && !is_space(p->text.p[to]) && !strchr(marks, p->text.p[to]))
        to++;
    p->now.kind = to > p->next ? TOKEN_WORD : TOKEN_BAD;
    p->now.text = str_sub(p->text, p->next, to - p->next);
    p->next = to;
}

static void advance(struct parser *p)
{
    if (!token_begin(p) || op_take(p))
        return;
    char c = p->text.p[p->next];
    if (c == '(' || c == ')') {
        p->now.kind = c == '(' ? TOKEN_OPEN : TOKEN_CLOSE;
        p->next++;
    } else if (is_quote(c)) {
        string_take(p);
    } else {
        word_take(p, "()=<>!:\"'");
    }
}

/* A value without quotes ends at a space or a parenthesis: a time has colons in it. */
static void value_take(struct parser *p)
{
    if (!token_begin(p))
        return;
    if (is_quote(p->text.p[p->next]))
        string_take(p);
    else
        word_take(p, "()\"'");
}

static bool is_word(const struct parser *p, const char *word)
{
    return p->now.kind == TOKEN_WORD && str_eq_c(p->now.text, word);
}

static struct filter *node_new(struct parser *p, enum filter_kind kind)
{
    struct filter *f = arena_alloc(p->arena, sizeof *f);

    f->kind = kind;
    return f;
}

/* ---- One test: a field, an operator, a value ---- */

#define OPS_TEXT (1U << FILTER_EQ | 1U << FILTER_NE | 1U << FILTER_HAS)
#define OPS_TIME                                                                                   \
    (1U << FILTER_EQ | 1U << FILTER_NE | 1U << FILTER_LT | 1U << FILTER_LE | 1U << FILTER_GT |     \
     1U << FILTER_GE)

static const struct {
    const char *name;
    enum filter_field field;
    unsigned ops;
} fields[] = {
    { "displayName", FILTER_DISPLAY_NAME, OPS_TEXT },
    { "modelDisplayName", FILTER_MODEL, OPS_TEXT },
    { "model", FILTER_MODEL, OPS_TEXT },
    { "state", FILTER_STATE, OPS_TEXT },
    { "createTime", FILTER_CREATE_TIME, OPS_TIME },
    { "updateTime", FILTER_UPDATE_TIME, OPS_TIME },
};

/* The set of operators that the field takes; 0: there is no such field. */
static unsigned field_read(struct str name, struct filter *f)
{
    static const struct str labels = STR_INIT("labels.");

    for (size_t i = 0; i < ARRAY_LEN(fields); i++) {
        if (field_named(fields[i].name, name)) {
            f->field = fields[i].field;
            return fields[i].ops;
        }
    }
    if (!str_starts(name, labels))
        return 0;
    f->field = FILTER_LABEL;
    f->label = str_sub(name, labels.len, name.len);
    return OPS_TEXT;
}

/* The text of a value; of a quoted one a backslash keeps what follows it. */
static const char *value_text(struct parser *p)
{
    char *out = arena_copy(p->arena, p->now.text.p, p->now.text.len);
    size_t n = 0;

    if (p->now.kind != TOKEN_STRING)
        return out;
    for (size_t i = 0; i < p->now.text.len; i++) {
        if (out[i] == '\\' && i + 1 < p->now.text.len)
            i++;
        out[n++] = out[i];
    }
    out[n] = '\0';
    return out;
}

/* Names that the clients know and no job here ever has are not faults: vertexai asks for them. */
static bool state_known(struct str name)
{
    static const char *const others[] = { "JOB_STATE_UNSPECIFIED", "JOB_STATE_UPDATING",
                                          "JOB_STATE_PARTIALLY_SUCCEEDED",
                                          "BATCH_STATE_UNSPECIFIED" };
    enum job_state ignored;

    for (size_t i = 0; i < ARRAY_LEN(others); i++)
        if (str_eq_c(name, others[i]))
            return true;
    return job_state_read(name, &ignored);
}

static bool value_valid(struct filter *f, const char **expected)
{
    struct str value = str_of(f->value);

    if (f->field == FILTER_STATE) {
        *expected = "a state's name, such as \"JOB_STATE_RUNNING\"";
        return state_known(value);
    }
    if (f->field == FILTER_CREATE_TIME || f->field == FILTER_UPDATE_TIME) {
        *expected = "a time, such as \"2026-11-22T10:00:00Z\"";
        return timestamp_read(value, &f->time_us);
    }
    return true;
}

static struct filter *test(struct parser *p)
{
    struct filter *f = node_new(p, FILTER_TEST);
    const char *expected = "";
    size_t at = p->now.at;
    unsigned taken = p->now.kind == TOKEN_WORD ? field_read(p->now.text, f) : 0;

    if (taken == 0)
        return fault(p, at,
                     "display_name, model_display_name, state, create_time, update_time or "
                     "labels.KEY");
    advance(p);
    /* labels."key" is a key too. */
    if (f->field == FILTER_LABEL && f->label.len == 0 && p->now.kind == TOKEN_STRING) {
        f->label = str_of(value_text(p));
        advance(p);
    }
    if (p->now.kind != TOKEN_OP || !(taken & 1U << p->now.op))
        return fault(p, p->now.at, taken == OPS_TIME ? "= != < <= > or >=" : "= != or :");
    f->op = p->now.op;
    value_take(p);
    if (p->now.kind != TOKEN_WORD && p->now.kind != TOKEN_STRING)
        return fault(p, p->now.at, "a value");
    f->value = value_text(p);
    if (!value_valid(f, &expected))
        return fault(p, p->now.at, expected);
    advance(p);
    return f;
}

/* ---- The grammar: expression = sequence {AND sequence}; sequence = factor {factor};
 * factor = term {OR term}; term = [NOT | -] simple; simple = test | ( expression ) ---- */

static struct filter *expression(struct parser *p);

static struct filter *simple(struct parser *p)
{
    if (p->now.kind != TOKEN_OPEN)
        return test(p);
    if (p->depth == FILTER_DEPTH_MAX) {
        (void)error_set(p->e, ERROR_INVALID_ARGUMENT,
                        "filter: Parentheses are nested more than %d deep.", FILTER_DEPTH_MAX);
        return NULL;
    }
    p->depth++;
    advance(p);
    struct filter *f = expression(p);
    p->depth--;
    if (!f)
        return NULL;
    if (p->now.kind != TOKEN_CLOSE)
        return fault(p, p->now.at, "AND, OR or \")\"");
    advance(p);
    return f;
}

static struct filter *term(struct parser *p)
{
    bool minus = p->now.kind == TOKEN_WORD && p->now.text.len && p->now.text.p[0] == '-';

    if (!is_word(p, "NOT") && !minus)
        return simple(p);
    if (minus)
        p->next = p->now.at + 1;
    advance(p);
    struct filter *inner = simple(p);
    if (!inner)
        return NULL;
    struct filter *f = node_new(p, FILTER_NOT);
    f->child = inner;
    return f;
}

static struct filter *factor(struct parser *p)
{
    struct filter *f = node_new(p, FILTER_ANY_OF), **last = &f->child;

    for (;;) {
        *last = term(p);
        if (!*last)
            return NULL;
        last = &(*last)->next;
        if (!is_word(p, "OR"))
            return f;
        advance(p);
    }
}

/* AND and a mere space mean the same. */
static struct filter *expression(struct parser *p)
{
    struct filter *f = node_new(p, FILTER_ALL_OF), **last = &f->child;

    for (;;) {
        *last = factor(p);
        if (!*last)
            return NULL;
        last = &(*last)->next;
        if (is_word(p, "AND"))
            advance(p);
        else if (p->now.kind == TOKEN_END || p->now.kind == TOKEN_CLOSE)
            return f;
    }
}

struct filter *filter_parse(struct arena *a, struct str text, struct error *e)
{
    struct parser p = { .arena = a, .text = text, .e = e };

    if (text.len > FILTER_BYTES_MAX) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT, "filter: At most %d bytes are allowed.",
                        FILTER_BYTES_MAX);
        return NULL;
    }
    advance(&p);
    if (p.now.kind == TOKEN_END)
        return arena_alloc(a, sizeof(struct filter)); /* all of nothing */
    struct filter *f = expression(&p);
    if (f && p.now.kind != TOKEN_END)
        return fault(&p, p.now.at, "AND, OR or the end");
    return f;
}

/* ---- Does a filter keep a job? ---- */

/* `:` takes * for any run of characters, the others mean it as it stands. */
static bool text_matches(enum filter_op op, const char *value, struct str text)
{
    struct arena a = { 0 };

    if (op != FILTER_HAS)
        return str_eq_c(text, value);
    bool match = str_glob(value, arena_copy(&a, text.p, text.len));
    arena_release(&a);
    return match;
}

static bool time_holds(const struct filter *f, int64_t us)
{
    switch (f->op) {
    case FILTER_LT:
        return us < f->time_us;
    case FILTER_LE:
        return us <= f->time_us;
    case FILTER_GT:
        return us > f->time_us;
    case FILTER_GE:
        return us >= f->time_us;
    case FILTER_NE:
        return us != f->time_us;
    case FILTER_EQ:
    case FILTER_HAS:
        break;
    }
    return us == f->time_us;
}

static bool state_matches(const char *value, enum job_state s)
{
    struct str name = str_of(value);

    return str_eq_c(name, job_state_name(s)) || str_eq_c(name, job_state_vertex(s)) ||
           str_eq_c(name, job_state_gemini(s));
}

/* The resource's name, or its last step: what a user calls the model. */
static bool model_matches(const struct filter *f, struct str model)
{
    return text_matches(f->op, f->value, model) ||
           text_matches(f->op, f->value, str_after_last(model, '/'));
}

/* A spec is JSON of ours, and no label has a character that JSON escapes. */
static bool label_matches(const struct filter *f, const struct job *j)
{
    struct str labels = json_member_value(j->spec, STR("labels"));
    struct str value = labels.len ? json_member_value(labels, f->label) : (struct str){ 0 };

    return value.len >= 2 && text_matches(f->op, f->value, str_sub(value, 1, value.len - 2));
}

static bool matches(const struct filter *f, const struct job *j)
{
    switch (f->field) {
    case FILTER_DISPLAY_NAME:
        return text_matches(f->op, f->value, j->display_name);
    case FILTER_MODEL:
        return model_matches(f, j->model);
    case FILTER_STATE:
        return state_matches(f->value, j->state);
    case FILTER_LABEL:
        return label_matches(f, j);
    case FILTER_CREATE_TIME:
    case FILTER_UPDATE_TIME:
        break;
    }
    return false;
}

static bool test_holds(const struct filter *f, const struct job *j)
{
    if (f->field == FILTER_CREATE_TIME || f->field == FILTER_UPDATE_TIME)
        return time_holds(f, f->field == FILTER_CREATE_TIME ? j->create_us : j->update_us);
    return matches(f, j) == (f->op != FILTER_NE);
}

/* As deep as parentheses were, which is bounded. */
bool filter_keeps(const struct filter *f, const struct job *j)
{
    if (f->kind == FILTER_TEST)
        return test_holds(f, j);
    if (f->kind == FILTER_NOT)
        return !filter_keeps(f->child, j);
    bool wanted = f->kind == FILTER_ANY_OF;
    for (const struct filter *child = f->child; child; child = child->next)
        if (filter_keeps(child, j) == wanted)
            return wanted;
    return !wanted;
}
