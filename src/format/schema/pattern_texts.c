/* pattern_texts.c -- the texts that a pattern matches as a whole, when they are few; else some of them.
 *
 * Why: names of properties that a pattern limits to a handful are declared one by one, so that an object
 * has each of them once and minProperties counts them rightly. Some texts of other patterns are enough to show
 * that an object can have as many properties as minProperties asks for.
 *
 * In:      a pattern that PCRE2 has compiled. Characters, classes, groups, alternatives and counted
 *          repetitions are followed exactly. All else (a star, a dot, a negated class) means many, and so does a
 *          text over SCHEMA_NAME_BYTES_MAX; a sample has a few copies and printable ASCII there instead, which
 *          the pattern need not match: whoever takes a sample asks PCRE2.
 * Source:  ECMA-262, RegExp.
 */
#include <string.h>

#include "format/schema/node.h"

#define COPIES_MAX                                                                                 \
    SCHEMA_NAMES_LISTED_MAX /* of one repetition; more make more texts, or longer ones */

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
    bool sample; /* at most cap texts, which need not match, instead of `many` */
    bool many;   /* more than cap, or nobody knows */
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
    bool no_room = s->count == r->cap || text.len > SCHEMA_NAME_BYTES_MAX;
    r->many = r->many || *r->steps == 0 || (no_room && !r->sample);
    if (r->many || no_room)
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
            if (r->sample && out.count == r->cap)
                return out;
            char *text = arena_alloc(&r->arena, x.len + y.len + 1);
            if (x.len)
                memcpy(text, x.p, x.len);
            if (y.len)
                memcpy(text + x.len, y.p, y.len);
            set_add(r, &out, (struct str){ text, x.len + y.len });
        }
    return out;
}

static void set_add_bytes(struct text_reader *r, struct text_set *s, const char *bytes)
{
    for (size_t i = 0; bytes[i] && !r->many; i++)
        set_add(r, s, (struct str){ arena_copy(&r->arena, bytes + i, 1), 1 });
}

/* ---- Reading ---- */

#define DIGITS "0123456789"
#define LETTERS "abcdefghijklmnopqrstuvwxyz"
#define WORD DIGITS LETTERS "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define OTHERS " -.:/+#@!$%&'()*,;<=>?[]^`{|}~"

static struct text_set give_up(struct text_reader *r)
{
    r->many = true;
    return (struct text_set){ 0 };
}

/* For what is not followed exactly. */
static struct text_set printable(struct text_reader *r)
{
    struct text_set s = { 0 };

    if (!r->sample)
        return give_up(r);
    set_add_bytes(r, &s, WORD OTHERS);
    return s;
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

/* The byte that hexadecimal digits behind "\x" or "\u" stand for; -1 when they are wrong or beyond ASCII. */
static int hex_byte(struct str digits)
{
    int value = 0;

    for (size_t i = 0; i < digits.len; i++) {
        int digit = schema_hex_digit(digits.p[i]);
        value = digit < 0 || value < 0 ? -1 : value * 16 + digit;
    }
    return value < 0x80 ? value : -1;
}

/* An escape of letters or digits; empty when it does not give the number of a character of ASCII. */
static struct str read_escape(struct text_reader *r)
{
    size_t digits = next_is(r, 'x') ? 2 : next_is(r, 'u') ? 4 : 0;
    struct str hex = str_sub(r->p, r->at + 1, digits);
    int byte = digits && hex.len == digits ? hex_byte(hex) : -1;
    char c = (char)byte;

    if (byte <= 0)
        return (struct str){ 0 };
    r->at += 1 + digits;
    return (struct str){ arena_copy(&r->arena, &c, 1), 1 };
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
        return read_escape(r);
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

/* \d or \w, which PCRE2 and the grammar take for ASCII. False for anything else. */
static bool take_class(struct text_reader *r, struct text_set *out)
{
    char c = r->at + 1 < r->p.len && next_is(r, '\\') ? r->p.p[r->at + 1] : '\0';

    if (c != 'd' && c != 'w')
        return false;
    r->at += 2;
    set_add_bytes(r, out, c == 'd' ? DIGITS : WORD);
    return true;
}

/* Behind "[": characters, ranges of ASCII, \d and \w. False when it has something else. */
static bool read_class_exactly(struct text_reader *r, struct text_set *s)
{
    if (next_is(r, '^') || next_is(r, ']'))
        return false;
    while (!r->many && !take(r, ']')) {
        if (take_class(r, s))
            continue;
        struct str from = read_char(r), to = from;
        bool range = next_is(r, '-') && r->at + 1 < r->p.len && r->p.p[r->at + 1] != ']';
        if (range) {
            r->at++;
            to = read_char(r);
        }
        if (!from.len || !to.len || (range && (from.len > 1 || to.len > 1)))
            return false;
        struct text_set more = range ? read_range(r, from.p[0], to.p[0]) : set_of(r, from);
        set_join(r, s, &more);
    }
    return true;
}

static struct text_set read_class(struct text_reader *r)
{
    size_t opens = r->at - 1;
    struct text_set s = { 0 };

    if (read_class_exactly(r, &s))
        return s;
    r->at = pattern_class_end(r->p, opens);
    return printable(r);
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

/* Behind the backslash: a class by its letter, perhaps with a name: \s, \p{Lu}. */
static struct text_set read_named_class(struct text_reader *r)
{
    r->at++;
    if (next_is(r, '{'))
        while (r->at < r->p.len && r->p.p[r->at++] != '}')
            ;
    return printable(r);
}

static struct text_set read_atom(struct text_reader *r)
{
    struct text_set s = { 0 };

    if (take(r, '('))
        return read_group(r);
    if (take(r, '['))
        return read_class(r);
    if (take_class(r, &s))
        return s;
    if (take(r, '.'))
        return printable(r);
    if (r->at == r->p.len || strchr("*+?{}^$", r->p.p[r->at]))
        return give_up(r);
    struct str c = read_char(r);
    return c.len ? set_of(r, c) : read_named_class(r);
}

static bool read_number(struct text_reader *r, uint32_t *out)
{
    size_t from = r->at;

    for (*out = 0; r->at < r->p.len && r->p.p[r->at] >= '0' && r->p.p[r->at] <= '9'; r->at++)
        *out = *out <= COPIES_MAX ? *out * 10 + (uint32_t)(r->p.p[r->at] - '0') : *out;
    return r->at > from;
}

/* "?", "*", "+", "{2}", "{2,}" or "{2,3}" behind an atom. False for more copies than are followed. */
static bool read_copies(struct text_reader *r, uint32_t *least, uint32_t *most)
{
    bool endless = next_is(r, '*') || next_is(r, '+');

    *least = *most = 1;
    if (take(r, '?') || take(r, '*')) {
        *least = 0;
    } else if (take(r, '{')) {
        if (!read_number(r, least))
            return false;
        *most = *least;
        endless = take(r, ',') && !read_number(r, most);
        if (!take(r, '}'))
            return false;
    } else if (!take(r, '+')) {
        return true;
    }
    if (endless)
        *most = COPIES_MAX;
    if (r->sample && *most > COPIES_MAX)
        *most = COPIES_MAX;
    bool possessive = !take(r, '?') && next_is(r, '+'); /* a lazy one matches the same texts */
    return !possessive && (r->sample || !endless) && *least <= *most && *most <= COPIES_MAX;
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
            uint32_t had = sum.count;
            if (i >= least)
                set_join(r, &sum, &with);
            if (r->sample && (sum.count == r->cap || (i > least && sum.count == had)))
                break; /* more copies make no other texts */
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

/* Some texts that may stand before the pattern when it lacks "^", and behind it without "$". */
static struct text_set anything(struct text_reader *r)
{
    struct text_set none = set_of(r, STR("")), one = { 0 }, all = { 0 };

    set_add_bytes(r, &one, LETTERS DIGITS);
    struct text_set two = set_product(r, &one, &one);
    set_join(r, &all, &none);
    set_join(r, &all, &one);
    set_join(r, &all, &two);
    return all;
}

/* "^a$|^b$": an alternative without its anchors stands for texts without end. */
static struct text_set read_whole(struct text_reader *r)
{
    struct text_set all = { 0 }, more = { 0 };

    if (r->sample)
        more = anything(r);
    do {
        bool begins = take(r, '^');
        struct text_set one = read_sequence(r);
        bool ends = take(r, '$');
        if (!r->sample && !(begins && ends))
            return give_up(r);
        if (!begins)
            one = set_product(r, &more, &one);
        if (!ends)
            one = set_product(r, &one, &more);
        set_join(r, &all, &one);
    } while (!r->many && take(r, '|'));
    return r->at == r->p.len ? all : give_up(r);
}

/* The texts in the caller's arena; 0 with r->many. */
static uint32_t texts_of(struct text_reader *r, struct arena *a, struct str **out)
{
    struct text_set s = read_whole(r);
    uint32_t count = r->many ? 0 : s.count;

    *out = arena_array(a, count + 1, sizeof **out);
    for (uint32_t i = 0; i < count; i++) {
        struct str text = s.item[i];
        (*out)[i] = (struct str){ arena_copy(a, text.p, text.len), text.len };
    }
    arena_release(&r->arena);
    return count;
}

uint32_t pattern_texts(const struct pattern *p, uint32_t cap, struct arena *a, struct str **out,
                       uint64_t *steps)
{
    struct text_reader r = { .p = pattern_text(p), .cap = cap, .steps = steps };
    uint32_t count = texts_of(&r, a, out);

    return r.many ? cap + 1 : count;
}

uint32_t pattern_sample(const struct pattern *p, uint32_t cap, struct arena *a, struct str **out,
                        uint64_t *steps)
{
    struct text_reader r = { .p = pattern_text(p), .cap = cap, .steps = steps, .sample = true };

    return texts_of(&r, a, out);
}
