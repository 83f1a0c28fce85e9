/* grammar_names.c -- members of an object that nobody declared: their names and values.
 *
 * Why: patterns (patternProperties) decide which names there can be. A grammar cannot say that a name stands
 * once, so an object must not ask for more members than there are names, or an answer would end in the middle.
 * The number of names that a few patterns leave is hard to find; some of them are easy to show by example. So
 * names are tried: samples of the patterns, their joins and usual ones, each judged by PCRE2. Names that
 * match just the same patterns are a class; a class without an example is never written.
 */
#include <string.h>

#include "format/schema/grammar.h"

/* Characters of a name that nobody declared: none that needs an escape. */
#define NAME_CHARS "/[^\"\\\\\\x00-\\x1F\\x7F]*/"
#define CLASSES_MAX (1U << SCHEMA_KEY_PATTERNS_MAX)
/* Samples of a pattern, for each name that is needed and beyond. */
#define SAMPLES_A_NAME 4
#define SAMPLES_MIN 16
#define JOINED_MAX 16 /* samples of each of two patterns that are joined */

/* The names that were found, by class: a set of the patterns that match. */
struct found {
    uint32_t
        value[CLASSES_MAX];  /* rule of the members' values; GRAMMAR_NOTHING: none is possible */
    bool known[CLASSES_MAX]; /* a name was found */
    uint32_t open;           /* classes that have a value and no name so far */
    struct str name[SCHEMA_NAMES_LISTED_MAX];
    uint32_t count;
    uint64_t need; /* names that minProperties asks for */
};

/* The value of names that match just the patterns in `which`, a set of their indexes. */
static uint32_t value_rule(struct grammar *g, const struct conjuncts *set, const struct objects *o,
                           unsigned which)
{
    struct conjuncts value = { 0 };

    for (uint32_t i = 0; i < set->count; i++) {
        const struct schema_node *n = &g->s->node[set->item[i].node];
        bool known = false;
        for (uint32_t k = 0; k < n->pattern_property_count; k++)
            for (uint32_t p = 0; p < o->pattern_count; p++)
                if ((which >> p & 1) && str_eq(pattern_text(o->pattern[p]),
                                               pattern_text(n->pattern_property[k].pattern))) {
                    conjuncts_add(g, &value, n->pattern_property[k].node, 0);
                    known = true;
                }
        if (!known && n->additional != SCHEMA_NONE)
            conjuncts_add(g, &value, n->additional, 0);
    }
    return state_rule(g, &value);
}

/* ---- Examples ---- */

static bool is_enough(const struct found *f)
{
    return !f->open && f->count >= f->need;
}

/* Without a character that must be escaped. */
static bool is_plain(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        unsigned char c = (unsigned char)name.p[i];
        if (c < 0x20 || c == 0x7f || c == '"' || c == '\\')
            return false;
    }
    return true;
}

static void name_try(struct grammar *g, const struct objects *o, struct found *f, struct str name)
{
    unsigned which = 0;

    (void)grammar_steps(g, 1 + (o->count + f->count) / SCHEMA_COMPARED_IN_STEP);
    if (is_enough(f) || !is_plain(name) || schema_names_have(o->name, o->count, name) ||
        schema_names_have(f->name, f->count, name))
        return;
    for (uint32_t p = 0; p < o->pattern_count; p++)
        which |= (unsigned)pattern_finds(o->pattern[p], name, &g->steps) << p;
    if (g->steps == 0 || f->value[which] == GRAMMAR_NOTHING)
        return;
    f->open -= !f->known[which];
    f->known[which] = true;
    if (f->count < SCHEMA_NAMES_LISTED_MAX)
        f->name[f->count++] = name;
}

static void joined_try(struct grammar *g, const struct objects *o, struct found *f, struct str a,
                       struct str b)
{
    char *text = arena_alloc(&g->arena, a.len + b.len + 1);

    if (a.len)
        memcpy(text, a.p, a.len);
    if (b.len)
        memcpy(text + a.len, b.p, b.len);
    name_try(g, o, f, (struct str){ text, a.len + b.len });
}

/* For names that no pattern matches, or that lack what a pattern forbids. */
static void usual_try(struct grammar *g, const struct objects *o, struct found *f)
{
    static const struct str around[] = {
        STR_INIT(""),    STR_INIT("name"), STR_INIT("1"),
        STR_INIT("A-B"), STR_INIT(" "),    STR_INIT("a_long_name_of_forty_letters_and_more_"),
    };
    static const char one[] =
        "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_-.:/+ ";

    for (size_t i = 0; i < ARRAY_LEN(around) && !is_enough(f); i++) {
        name_try(g, o, f, around[i]);
        for (size_t k = 0; one[k] && !is_enough(f); k++)
            joined_try(g, o, f, around[i], (struct str){ one + k, 1 });
    }
}

static void names_find(struct grammar *g, const struct objects *o, struct found *f)
{
    struct str *sample[SCHEMA_KEY_PATTERNS_MAX];
    uint32_t count[SCHEMA_KEY_PATTERNS_MAX];
    uint32_t cap = SAMPLES_MIN + SAMPLES_A_NAME * (uint32_t)f->need;

    for (uint32_t p = 0; p < o->pattern_count; p++) {
        count[p] = pattern_sample(o->pattern[p], cap, &g->arena, &sample[p], &g->steps);
        for (uint32_t i = 0; i < count[p] && !is_enough(f); i++)
            name_try(g, o, f, sample[p][i]);
    }
    usual_try(g, o, f);
    for (uint32_t p = 0; p < o->pattern_count; p++)
        for (uint32_t q = 0; q < o->pattern_count; q++)
            for (uint32_t i = 0; p != q && i < count[p] && i < JOINED_MAX; i++)
                for (uint32_t k = 0; k < count[q] && k < JOINED_MAX && !is_enough(f); k++)
                    joined_try(g, o, f, sample[p][i], sample[q][k]);
}

/* ---- Rules ---- */

/* Names that match just these patterns and are not declared. False when a pattern cannot be one. */
static bool name_write(const struct objects *o, unsigned which, struct buf *out)
{
    buf_add_c(out, "\"\\\"\" (" NAME_CHARS);
    for (uint32_t p = 0; p < o->pattern_count; p++) {
        buf_add_c(out, which >> p & 1 ? " & " : " & ~");
        if (!pattern_write_whole(o->pattern[p], out))
            return false;
    }
    for (uint32_t i = 0; i < o->count; i++) {
        buf_add_c(out, i ? " | " : " & ~(");
        lark_quote(out, o->name[i]);
    }
    buf_add_c(out, o->count ? ")) \"\\\"\"" : ") \"\\\"\"");
    return true;
}

static int members_add(struct grammar *g, const struct conjuncts *set, const struct objects *o,
                       unsigned which, const struct found *f, uint32_t rule)
{
    struct buf name = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    bool ok = name_write(o, which, &name);
    struct symbol member[] = { symbol_terminal(g, buf_str(&name)), symbol_text(g, STR("\": \"")),
                               symbol_rule(f->value[which]) };

    if (ok && f->known[which])
        rule_add(g, rule, member, 3);
    buf_release(&name);
    if (!ok)
        return grammar_fault(g, set->item[0].node, "patternProperties",
                             "An anchor stands in the middle of a pattern of names.",
                             "Anchor a pattern at its beginning or end only.");
    return 0;
}

/* Keeps the names that an answer can fall back on. */
static int names_keep(struct grammar *g, const struct conjuncts *set, const struct found *f)
{
    struct schema *s = g->s;

    for (uint32_t i = 0; f->need && i < f->count; i++) {
        (void)grammar_steps(g, 1 + s->name_count / SCHEMA_COMPARED_IN_STEP);
        if (schema_names_have(s->name, s->name_count, f->name[i]))
            continue;
        if (s->name_count == SCHEMA_NAMES_KEPT_MAX)
            return grammar_fault(g, set->item[0].node, "minProperties",
                                 "Patterns decide the names of too many objects with "
                                 "minProperties.",
                                 "Remove minProperties, or name the properties.");
        s->name = arena_list_grow(&s->arena, s->name, s->name_count, sizeof *s->name);
        s->name[s->name_count++] =
            (struct str){ arena_copy(&s->arena, f->name[i].p, f->name[i].len), f->name[i].len };
    }
    return 0;
}

/* Names that patterns decide. */
static int members_by_pattern(struct grammar *g, const struct conjuncts *set,
                              const struct objects *o, struct other_members *out)
{
    struct found *f = arena_alloc(&g->arena, sizeof *f);
    unsigned classes = 1U << o->pattern_count;

    f->need = o->least > o->required ? o->least - o->required : 0;
    if (f->need > SCHEMA_NAMES_LISTED_MAX)
        f->need = SCHEMA_NAMES_LISTED_MAX;
    for (unsigned which = 0; which < classes; which++) {
        f->value[which] = which & o->listed ? GRAMMAR_NOTHING : value_rule(g, set, o, which);
        f->open += f->value[which] != GRAMMAR_NOTHING;
    }
    bool possible = f->open > 0;
    if (possible)
        names_find(g, o, f);
    if (possible && !f->count && f->need)
        grammar_dead(g, set->item[0].node, "minProperties",
                     "No name is found that the patterns leave.");
    if (f->count && o->least > o->count && o->least - o->count > f->count)
        return grammar_fault(g, set->item[0].node, "minProperties",
                             "minProperties asks for more names than patterns are known to leave, "
                             "at most 100.",
                             "Ask for fewer, or name the properties.");
    uint32_t rule = rule_new(g);
    for (unsigned which = 0; which < classes; which++)
        if (f->value[which] != GRAMMAR_NOTHING && members_add(g, set, o, which, f, rule) < 0)
            return -1;
    g->s->limits_names = true;
    *out = (struct other_members){ f->count ? rule : GRAMMAR_NOTHING, f->count };
    return names_keep(g, set, f);
}

int grammar_other_members(struct grammar *g, const struct conjuncts *set, const struct objects *o,
                          struct other_members *out)
{
    if (o->pattern_count)
        return members_by_pattern(g, set, o, out);
    uint32_t rule = rule_new(g), value = value_rule(g, set, o, 0);
    struct buf name = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    (void)name_write(o, 0, &name);
    struct symbol member[] = { symbol_terminal(g, buf_str(&name)), symbol_text(g, STR("\": \"")),
                               symbol_rule(value) };
    if (value != GRAMMAR_NOTHING)
        rule_add(g, rule, member, 3);
    buf_release(&name);
    bool none = value == GRAMMAR_NOTHING;
    *out = (struct other_members){ none ? GRAMMAR_NOTHING : rule, none ? 0 : UINT64_MAX };
    return 0;
}
