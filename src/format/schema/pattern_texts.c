/* pattern_texts.c -- the texts that a pattern matches as a whole, when they are few.
 *
 * Why: names of properties that a pattern limits to a handful are then declared one by one, so that an object
 * has each of them once and minProperties counts them rightly.
 *
 * In:      a pattern that PCRE2 has compiled. Characters, classes, groups, alternatives and counted
 *          repetitions are followed; all else (a star, a dot, a look-ahead) means many, and so does a text
 *          over TEXT_BYTES_MAX.
 * Source:  ECMA-262, RegExp.
 */
#include <string.h>

#include "format/schema/node.h"

#define COPIES_MAX 100 /* of one repetition */
#define TEXT_BYTES_MAX 100

struct text_set {
    struct str *item;
    uint32_t count;
};

struct text_reader {
    struct arena arena; /* until the end: most of it is steps on the way */
    struct str p;
    size_t at;
    uint32_t cap;
    uint64_t *steps;
    bool many; /* more than cap, or nobody knows */
};

/* ---- Sets ---- */

static struct text_set set_of(struct text_reader *r, struct str text)
{
    struct text_set s = { arena_array(&r->arena, 1, sizeof *s.item), 1 };

    s.item[0] = text;
    return s;
}

static void set_add(struct text_reader *r, struct text_set *s, struct str text)
{
    steps_take(r->steps, 1 + s->count / SCHEMA_COMPARED_IN_STEP);
    for (uint32_t i = 0; i < s->count; i++)
        if (str_eq(s->item[i], text))
            return;
    r->many = r->many || s->count == r->cap || text.len > TEXT_BYTES_MAX || *r->steps == 0;
    if (r->many)
        return;
    s->item = arena_list_grow(&r->arena, s->item, s->count, sizeof *s->item);
    s->item[s->count++] = text;
}

static void set_join(struct text_reader *r, struct text_set *s, const struct text_set *more)
{
    for (uint32_t i = 0; i < more->count && !r->many; i++)
        set_add(r, s, more->item[i]);
}

/* Each text of a followed by each of b. */
static struct text_set set_product(struct text_reader *r, const struct text_set *a,
                                   const struct text_set *b)
{
    struct text_set out = { 0 };

    for (uint32_t i = 0; i < a->count && !r->many; i++)
        for (uint32_t k = 0; k < b->count && !r->many; k++) {
            struct str x = a->item[i], y = b->item[k];
            char *text = arena_alloc(&r->arena, x.len + y.len + 1);
            if (x.len)
                memcpy(text, x.p, x.len);
            if (y.len)
                memcpy(text + x.len, y.p, y.len);
            set_add(r, &out, (struct str){ text, x.len + y.len });
        }
    return out;
}

/* ---- Reading ---- */

static struct text_set give_up(struct text_reader *r)
{
    r->many = true;
    return (struct text_set){ 0 };
}

static bool next_is(const struct text_reader *r, char c)
{
    return r->at < r->p.len && r->p.p[r->at] == c;
}

static bool take(struct text_reader *r, char c)
{
    bool is = next_is(r, c);

    r->at += is;
    return is;
}

/* The character that stands here by itself or behind a backslash; empty when it is none. */
static struct str read_char(struct text_reader *r)
{
    bool escaped = take(r, '\\');
    size_t len = 1;

    if (r->at >= r->p.len)
        return (struct str){ 0 };
    char c = r->p.p[r->at];
    if (escaped && ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9')))
        return (struct str){ 0 };
    while (r->at + len < r->p.len && ((unsigned char)r->p.p[r->at + len] & 0xC0) == 0x80)
        len++;
    struct str out = str_sub(r->p, r->at, len);
    r->at += len;
    return out;
}

static struct text_set read_range(struct text_reader *r, char from, char to)
{
    struct text_set s = { 0 };

    for (int c = (unsigned char)from; c <= (unsigned char)to && !r->many; c++) {
        char byte = (char)c;
        set_add(r, &s, (struct str){ arena_copy(&r->arena, &byte, 1), 1 });
    }
    return s;
}

/* Behind "[": characters and ranges of ASCII. */
static struct text_set read_class(struct text_reader *r)
{
    struct text_set s = { 0 };

    if (next_is(r, '^') || next_is(r, ']'))
        return give_up(r);
    while (!r->many && !take(r, ']')) {
        struct str from = read_char(r), to = from;
        bool range = next_is(r, '-') && r->at + 1 < r->p.len && r->p.p[r->at + 1] != ']';
        if (range) {
            r->at++;
            to = read_char(r);
        }
        if (!from.len || !to.len || (range && (from.len > 1 || to.len > 1)))
            return give_up(r);
        struct text_set more = range ? read_range(r, from.p[0], to.p[0]) : set_of(r, from);
        set_join(r, &s, &more);
    }
    return s;
}

static struct text_set read_alternatives(struct text_reader *r);

static struct text_set read_group(struct text_reader *r)
{
    if (take(r, '?') && !take(r, ':')) {
        bool named = take(r, '<') && !next_is(r, '=') && !next_is(r, '!');
        while (named && r->at < r->p.len && r->p.p[r->at++] != '>')
            ;
        if (!named)
            return give_up(r);
    }
    struct text_set s = read_alternatives(r);
    return take(r, ')') ? s : give_up(r);
}

static struct text_set read_atom(struct text_reader *r)
{
    if (take(r, '('))
        return read_group(r);
    if (take(r, '['))
        return read_class(r);
    if (r->at + 1 < r->p.len && next_is(r, '\\') && r->p.p[r->at + 1] == 'd') {
        r->at += 2;
        return read_range(r, '0', '9');
    }
    if (r->at < r->p.len && strchr(".*+?{}^$", r->p.p[r->at]))
        return give_up(r);
    struct str c = read_char(r);
    return c.len ? set_of(r, c) : give_up(r);
}

static bool read_number(struct text_reader *r, uint32_t *out)
{
    size_t from = r->at;

    for (*out = 0; r->at < r->p.len && r->p.p[r->at] >= '0' && r->p.p[r->at] <= '9'; r->at++)
        *out = *out <= COPIES_MAX ? *out * 10 + (uint32_t)(r->p.p[r->at] - '0') : *out;
    return r->at > from;
}

/* "?", "{2}" or "{2,3}" behind an atom; false for one without an end. */
static bool read_copies(struct text_reader *r, uint32_t *least, uint32_t *most)
{
    *least = *most = 1;
    if (next_is(r, '*') || next_is(r, '+'))
        return false;
    if (take(r, '?')) {
        *least = 0;
    } else if (take(r, '{')) {
        if (!read_number(r, least))
            return false;
        *most = *least;
        if (take(r, ',') && !read_number(r, most))
            return false;
        if (!take(r, '}'))
            return false;
    } else {
        return true;
    }
    (void)take(r, '?'); /* a lazy one matches the same texts */
    return !next_is(r, '+') && *most <= COPIES_MAX;
}

/* To the end of an alternative: "|", ")" or "$". */
static struct text_set read_sequence(struct text_reader *r)
{
    struct text_set all = set_of(r, STR(""));
    uint32_t least, most;

    while (!r->many && r->at < r->p.len && !strchr("|)$", r->p.p[r->at])) {
        struct text_set atom = read_atom(r), with = all, sum = { 0 };
        if (r->many || !read_copies(r, &least, &most))
            return give_up(r);
        for (uint32_t i = 0; i <= most && !r->many; i++) {
            if (i >= least)
                set_join(r, &sum, &with);
            with = i < most ? set_product(r, &with, &atom) : with;
        }
        all = sum;
    }
    return all;
}

static struct text_set read_alternatives(struct text_reader *r)
{
    struct text_set all = { 0 };

    do {
        struct text_set one = read_sequence(r);
        set_join(r, &all, &one);
    } while (!r->many && take(r, '|'));
    return all;
}

/* "^a$|^b$": an alternative without its anchors stands for texts without end. */
static struct text_set read_whole(struct text_reader *r)
{
    struct text_set all = { 0 };

    do {
        if (!take(r, '^'))
            return give_up(r);
        struct text_set one = read_sequence(r);
        if (!take(r, '$'))
            return give_up(r);
        set_join(r, &all, &one);
    } while (!r->many && take(r, '|'));
    return r->at == r->p.len ? all : give_up(r);
}

uint32_t pattern_texts(const struct pattern *p, uint32_t cap, struct arena *a, struct str **out,
                       uint64_t *steps)
{
    struct text_reader r = { .p = pattern_text(p), .cap = cap, .steps = steps };
    struct text_set s = read_whole(&r);

    *out = arena_array(a, s.count + 1, sizeof **out);
    for (uint32_t i = 0; i < s.count && !r.many; i++) {
        struct str text = s.item[i];
        (*out)[i] = (struct str){ arena_copy(a, text.p, text.len), text.len };
    }
    arena_release(&r.arena);
    return r.many ? cap + 1 : s.count;
}
