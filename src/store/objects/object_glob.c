/* object_glob.c -- the automaton of object_glob.h: a program of small steps, all of its threads at once.
 *
 * Shape:   each element of the pattern is one or a few steps; alternatives and repetitions fork. A
 *          character of the name moves every live thread by one step, so a name costs at most its
 *          characters times the steps.
 * Source:  R. Cox, "Regular Expression Matching: the Virtual Machine Approach",
 *          https://swtch.com/~rsc/regexp/regexp2.html
 */
#include "store/objects/object_glob.h"

#include <string.h>

/* A star makes three steps of one byte, "**" and "/" four of three, a brace at most two a byte. */
#define STEPS_A_BYTE 3
#define STEPS_EXTRA 8
#define BRACES_DEEP_MAX 16

enum step_kind {
    STEP_CHAR,  /* the character c */
    STEP_SET,   /* one of set, or none of it */
    STEP_ONE,   /* any but '/' */
    STEP_ANY,   /* any */
    STEP_FORK,  /* goes on at both x and y */
    STEP_JUMP,  /* goes on at x */
    STEP_MATCH, /* all of the pattern */
};

struct step {
    enum step_kind kind;
    uint32_t c;
    uint32_t x, y;
    struct str set; /* between the brackets, after the negation */
    bool negated;
};

/* Threads by step; seen holds the round in which a step was last added. */
struct threads {
    uint32_t *at;
    uint32_t count;
};

struct glob {
    struct str text;
    struct step *step;
    uint32_t count;
    struct threads now, next;
    uint32_t *seen, round;
    uint32_t *todo; /* of follow(): steps still to be looked at */
    struct str prefix;
};

/* A brace that is being compiled: where its forks begin, and its alternatives' last jumps. */
struct brace {
    uint32_t fork;   /* of the present alternative */
    uint32_t jumps;  /* chain of jumps to the end, by their y; 0: none */
    size_t close_at; /* of the closing brace in the text */
};

struct compiler {
    struct glob *g;
    size_t at;
    struct brace brace[BRACES_DEEP_MAX];
    uint32_t depth;
};

static uint32_t emit(struct glob *g, enum step_kind kind)
{
    g->step[g->count] = (struct step){ .kind = kind };
    return g->count++;
}

/* L: fork L+1, L+3; takes; jump L. */
static void compile_run(struct glob *g, enum step_kind takes)
{
    uint32_t fork = emit(g, STEP_FORK);

    (void)emit(g, takes);
    g->step[emit(g, STEP_JUMP)].x = fork;
    g->step[fork].x = fork + 1;
    g->step[fork].y = g->count;
}

static void compile_stars(struct compiler *c)
{
    struct str text = c->g->text;
    size_t first = c->at;
    bool step_start = first == 0 || text.p[first - 1] == '/';

    while (c->at < text.len && text.p[c->at] == '*')
        c->at++;
    if (c->at - first < 2) {
        compile_run(c->g, STEP_ONE);
        return;
    }
    if (!step_start || c->at == text.len || text.p[c->at] != '/') {
        compile_run(c->g, STEP_ANY);
        return;
    }
    c->at++; /* any run and its '/', or nothing */
    uint32_t fork = emit(c->g, STEP_FORK);
    compile_run(c->g, STEP_ANY);
    c->g->step[emit(c->g, STEP_CHAR)].c = '/';
    c->g->step[fork].x = fork + 1;
    c->g->step[fork].y = c->g->count;
}

/* The code point at *at, which moves past it. A byte that begins none stands for itself, so that a
 * pattern which is not UTF-8 does no harm. */
static uint32_t decode(struct str text, size_t *at)
{
    unsigned char first = (unsigned char)text.p[(*at)++];
    unsigned more = first >= 0xf0 ? 3 : first >= 0xe0 ? 2 : first >= 0xc0 ? 1 : 0;
    uint32_t c = more == 0 ? first : first & (0x3fU >> more);

    for (; more > 0 && *at < text.len; more--)
        c = c << 6 | ((unsigned char)text.p[(*at)++] & 0x3fU);
    return c;
}

static void compile_char(struct compiler *c)
{
    if (c->g->text.p[c->at] == '\\' && c->at + 1 < c->g->text.len)
        c->at++;
    uint32_t i = emit(c->g, STEP_CHAR);
    c->g->step[i].c = decode(c->g->text, &c->at);
}

/* The set whose bracket is at `at`; false when it is not closed. A ']' right after the bracket or the
 * negation is of the set. */
static bool set_at(struct str text, size_t at, struct step *s)
{
    struct str rest = str_sub(text, at + 1, SIZE_MAX);

    s->negated = rest.len > 0 && (rest.p[0] == '!' || rest.p[0] == '^');
    if (s->negated)
        rest = str_sub(rest, 1, SIZE_MAX);
    const char *close = rest.len > 1 ? memchr(rest.p + 1, ']', rest.len - 1) : NULL;
    s->set = close ? str_sub(rest, 0, (size_t)(close - rest.p)) : (struct str){ 0 };
    return close != NULL;
}

/* One past the bracket that closes it. */
static size_t set_end(struct str text, const struct step *s)
{
    return (size_t)(s->set.p + s->set.len - text.p) + 1;
}

static void compile_set(struct compiler *c)
{
    struct step set = { .kind = STEP_SET };

    if (!set_at(c->g->text, c->at, &set)) {
        compile_char(c);
        return;
    }
    c->g->step[c->g->count++] = set;
    c->at = set_end(c->g->text, &set);
}

/* The position of the brace that closes the one at `at`, or SIZE_MAX. */
static size_t brace_end(struct str text, size_t at)
{
    uint32_t depth = 0;
    struct step set;

    for (; at < text.len; at++) {
        if (text.p[at] == '\\')
            at++;
        else if (text.p[at] == '[' && set_at(text, at, &set))
            at = set_end(text, &set) - 1;
        else if (text.p[at] == '{')
            depth++;
        else if (text.p[at] == '}' && --depth == 0)
            return at;
    }
    return SIZE_MAX;
}

/* Each alternative: fork (it, the next one) ... jump to the end. */
static void compile_open(struct compiler *c)
{
    size_t end = brace_end(c->g->text, c->at);

    if (end == SIZE_MAX || c->depth == BRACES_DEEP_MAX) {
        compile_char(c);
        return;
    }
    uint32_t fork = emit(c->g, STEP_FORK);
    c->g->step[fork].x = fork + 1;
    c->brace[c->depth++] = (struct brace){ .fork = fork, .close_at = end };
    c->at++;
}

static void compile_comma(struct compiler *c)
{
    struct brace *b = &c->brace[c->depth - 1];
    uint32_t jump = emit(c->g, STEP_JUMP);

    c->g->step[jump].y = b->jumps;
    b->jumps = jump;
    c->g->step[b->fork].y = c->g->count;
    b->fork = emit(c->g, STEP_FORK);
    c->g->step[b->fork].x = b->fork + 1;
    c->at++;
}

static void compile_close(struct compiler *c)
{
    struct brace *b = &c->brace[--c->depth];

    c->g->step[b->fork].y = b->fork + 1; /* the last one has no other */
    for (uint32_t jump = b->jumps; jump != 0; jump = c->g->step[jump].y)
        c->g->step[jump].x = c->g->count;
    c->at++;
}

static void compile_one(struct compiler *c)
{
    char at = c->g->text.p[c->at];

    if (at == '*')
        compile_stars(c);
    else if (at == '[')
        compile_set(c);
    else if (at == '{')
        compile_open(c);
    else if (at == ',' && c->depth > 0)
        compile_comma(c);
    else if (at == '}' && c->depth > 0 && c->brace[c->depth - 1].close_at == c->at)
        compile_close(c);
    else if (at == '?') {
        (void)emit(c->g, STEP_ONE);
        c->at++;
    } else
        compile_char(c);
}

static struct str literal_prefix(struct str text)
{
    size_t len = 0;

    while (len < text.len && str_find(STR("*?[{\\"), str_sub(text, len, 1)) == SIZE_MAX)
        len++;
    return (struct str){ text.p, len };
}

struct glob *glob_compile(struct arena *a, struct str text)
{
    if (text.len > GLOB_BYTES_MAX)
        return NULL;
    size_t cap = text.len * STEPS_A_BYTE + STEPS_EXTRA;
    struct glob *g = arena_alloc(a, sizeof *g);
    struct compiler c = { .g = g };

    g->text = text;
    g->step = arena_array(a, cap, sizeof *g->step);
    g->now.at = arena_array(a, cap, sizeof *g->now.at);
    g->next.at = arena_array(a, cap, sizeof *g->next.at);
    g->seen = arena_array(a, cap, sizeof *g->seen);
    g->todo = arena_array(a, 2 * cap, sizeof *g->todo);
    while (c.at < text.len)
        compile_one(&c);
    g->step[g->count++] = (struct step){ .kind = STEP_MATCH };
    g->prefix = literal_prefix(text);
    return g;
}

/* Adds the steps that take a character (or end) which are reached from `from` without one. */
static void follow(struct glob *g, struct threads *t, uint32_t from)
{
    uint32_t count = 0;

    g->todo[count++] = from;
    while (count > 0) {
        uint32_t i = g->todo[--count];
        const struct step *s = &g->step[i];
        if (g->seen[i] == g->round)
            continue;
        g->seen[i] = g->round;
        if (s->kind == STEP_FORK)
            g->todo[count++] = s->y;
        if (s->kind == STEP_FORK || s->kind == STEP_JUMP)
            g->todo[count++] = s->x;
        else
            t->at[t->count++] = i;
    }
}

static bool in_set(struct str set, uint32_t c)
{
    for (size_t at = 0; at < set.len;) {
        uint32_t low = decode(set, &at), high = low;
        if (at + 1 < set.len && set.p[at] == '-') {
            at++;
            high = decode(set, &at);
        }
        if (c >= low && c <= high)
            return true;
    }
    return false;
}

static bool step_takes(const struct step *s, uint32_t c)
{
    switch (s->kind) {
    case STEP_CHAR:
        return c == s->c;
    case STEP_SET:
        return c != '/' && in_set(s->set, c) != s->negated;
    case STEP_ONE:
        return c != '/';
    case STEP_ANY:
        return true;
    case STEP_FORK:
    case STEP_JUMP:
    case STEP_MATCH:
        break;
    }
    return false;
}

bool glob_match(struct glob *g, struct str name)
{
    size_t at = 0;

    g->now.count = 0;
    g->round++;
    follow(g, &g->now, 0);
    while (at < name.len && g->now.count > 0) {
        uint32_t c = decode(name, &at);
        g->next.count = 0;
        g->round++;
        for (uint32_t i = 0; i < g->now.count; i++) {
            if (step_takes(&g->step[g->now.at[i]], c))
                follow(g, &g->next, g->now.at[i] + 1);
        }
        struct threads swap = g->now;
        g->now = g->next;
        g->next = swap;
    }
    for (uint32_t i = 0; i < g->now.count; i++) {
        if (g->step[g->now.at[i]].kind == STEP_MATCH)
            return at == name.len;
    }
    return false;
}

struct str glob_prefix(const struct glob *g)
{
    return g->prefix;
}
