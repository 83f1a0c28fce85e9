/* grammar_object.c -- arrays and objects as rules; grammar_names.c has the members that nobody declared. */
#include <string.h>

#include "format/schema/grammar.h"

/* ---- Arrays ---- */

struct arrays {
    uint64_t least, most;
    uint32_t prefix; /* elements that have schemas of their own */
    bool rest;       /* more may follow */
};

static int arrays_of(struct grammar *g, const struct conjuncts *set, struct arrays *out)
{
    bool open = true;

    *out = (struct arrays){ .most = UINT64_MAX };
    for (uint32_t i = 0; i < set->count; i++) {
        const struct schema_node *n = &g->s->node[set->item[i].node];
        out->least = n->min_items > out->least ? n->min_items : out->least;
        out->most = n->max_items < out->most ? n->max_items : out->most;
        out->prefix = n->prefix.count > out->prefix ? n->prefix.count : out->prefix;
        /* A list of first elements that says nothing of more is a whole one. */
        open = open && !(n->prefix.count && n->items == SCHEMA_NONE);
    }
    out->rest = open || out->least > out->prefix;
    for (uint32_t i = 0; i < set->count; i++)
        if (g->s->node[set->item[i].node].unique && out->most > 1)
            return grammar_fault(g, set->item[i].node, "uniqueItems",
                                 "The embedded engine cannot follow this keyword.",
                                 schema_keyword_remedy("uniqueItems"));
    return 0;
}

/* The rule of the element at index; GRAMMAR_NOTHING when none can stand there. */
static uint32_t element_rule(struct grammar *g, const struct conjuncts *set, uint32_t index)
{
    struct conjuncts element = { 0 };

    for (uint32_t i = 0; i < set->count; i++) {
        const struct schema_node *n = &g->s->node[set->item[i].node];
        uint32_t node = index < n->prefix.count ? n->prefix.node[index] : n->items;
        if (node != SCHEMA_NONE)
            conjuncts_add(g, &element, node, 0);
    }
    return state_rule(g, &element);
}

/* The rule after `from` elements: more of them, or nothing. */
static uint32_t rest_rule(struct grammar *g, const struct conjuncts *set, const struct arrays *a)
{
    uint32_t rule = rule_new(g), element = element_rule(g, set, a->prefix);
    uint64_t least = a->least > a->prefix ? a->least - a->prefix : 0;
    uint64_t most = a->most == UINT64_MAX ? GRAMMAR_NO_LIMIT : a->most - a->prefix;
    struct symbol first[] = { symbol_rule(element),
                              { .kind = SYMBOL_REPEAT,
                                .rule = element,
                                .least = (uint32_t)(least ? least - 1 : 0),
                                .most = most == GRAMMAR_NO_LIMIT ? GRAMMAR_NO_LIMIT
                                                                 : (uint32_t)most - 1 } };
    struct symbol more = {
        .kind = SYMBOL_REPEAT, .rule = element, .least = (uint32_t)least, .most = (uint32_t)most
    };

    if (a->prefix) {
        rule_add(g, rule, &more, 1);
        return rule;
    }
    rule_add(g, rule, first, 2);
    if (!least)
        rule_add(g, rule, NULL, 0);
    return rule;
}

int grammar_array(struct grammar *g, const struct conjuncts *set, uint32_t rule)
{
    struct symbol open = symbol_text(g, STR("\"[\"")), close = symbol_text(g, STR("\"]\""));
    struct symbol comma = symbol_text(g, STR("\", \""));
    struct arrays a;
    uint32_t next;

    if (arrays_of(g, set, &a) < 0)
        return -1;
    if (a.least > a.most) {
        grammar_dead(g, set->item[0].node, "minItems",
                     "The lengths of the schemas that hold here exclude each other.");
        return 0;
    }
    if (a.prefix > a.most)
        a.prefix = (uint32_t)a.most;
    if (a.rest && a.most > a.prefix) {
        next = rest_rule(g, set, &a);
    } else {
        next = rule_new(g);
        rule_add(g, next, NULL, 0);
    }
    /* From the last element with a schema of its own to the first: each may be the last one. */
    for (uint32_t i = a.prefix; i-- > 0;) {
        uint32_t here = rule_new(g);
        struct symbol element[] = { comma, symbol_rule(element_rule(g, set, i)),
                                    symbol_rule(next) };
        rule_add(g, here, i ? element : element + 1, i ? 3 : 2);
        if (i >= a.least)
            rule_add(g, here, NULL, 0);
        next = here;
    }
    struct symbol whole[] = { open, symbol_rule(next), close };
    rule_add(g, rule, whole, 3);
    return 0;
}

/* ---- Objects: what is declared ---- */

static int names_add(struct grammar *g, struct objects *o, uint32_t node, struct str name)
{
    if (schema_names_have(o->name, o->count, name))
        return 0;
    if (o->count == SCHEMA_PROPERTIES_MAX)
        return grammar_fault(g, node, "properties", "One object has more than 1000 properties.",
                             "Split the object.");
    o->name[o->count++] = name;
    return 0;
}

static int patterns_add(struct grammar *g, struct objects *o, uint32_t node,
                        const struct pattern *p)
{
    for (uint32_t i = 0; i < o->pattern_count; i++)
        if (str_eq(pattern_text(o->pattern[i]), pattern_text(p)))
            return 0;
    if (o->pattern_count == SCHEMA_KEY_PATTERNS_MAX)
        return grammar_fault(g, node, "patternProperties",
                             "More than 4 patterns hold for one object.", "Use fewer patterns.");
    o->pattern[o->pattern_count++] = p;
    return 0;
}

static bool is_required(struct grammar *g, const struct conjuncts *set, struct str name)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct schema_node *n = &g->s->node[set->item[i].node];
        if (schema_names_have(n->required, n->required_count, name))
            return true;
    }
    return false;
}

static int required_add(struct grammar *g, const struct conjuncts *set, struct objects *o)
{
    for (uint32_t i = 0; i < set->count; i++) {
        const struct schema_node *n = &g->s->node[set->item[i].node];
        for (uint32_t k = 0; k < n->required_count; k++)
            if (names_add(g, o, set->item[i].node, n->required[k]) < 0)
                return -1;
    }
    return 0;
}

/* Names of a pattern that has few become declared ones. */
static void listed_add(struct grammar *g, struct objects *o)
{
    struct str *name;

    for (uint32_t p = 0; p < o->pattern_count; p++) {
        uint32_t count =
            pattern_texts(o->pattern[p], SCHEMA_NAMES_LISTED_MAX, &g->arena, &name, &g->steps);
        if (count > SCHEMA_NAMES_LISTED_MAX || o->count + count > SCHEMA_PROPERTIES_MAX)
            continue;
        for (uint32_t i = 0; i < count; i++)
            if (!schema_names_have(o->name, o->count, name[i]))
                o->name[o->count++] = name[i];
        o->listed |= 1U << p;
    }
}

static int objects_of(struct grammar *g, const struct conjuncts *set, struct objects *o)
{
    bool closed = false, open = false;

    memset(o, 0, sizeof *o);
    o->most = UINT64_MAX;
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t node = set->item[i].node;
        const struct schema_node *n = &g->s->node[node];
        for (uint32_t k = 0; k < n->property_count; k++)
            if (names_add(g, o, node, n->property[k].name) < 0)
                return -1;
        for (uint32_t k = 0; k < n->pattern_property_count; k++)
            if (patterns_add(g, o, node, n->pattern_property[k].pattern) < 0)
                return -1;
        o->least = n->min_properties > o->least ? n->min_properties : o->least;
        o->most = n->max_properties < o->most ? n->max_properties : o->most;
        /* Properties without a word about others are a whole list: a model invents no more. */
        bool says = n->additional != SCHEMA_NONE || n->pattern_property_count;
        closed = closed || (n->property_count && !says);
        open = open || says;
    }
    if (required_add(g, set, o) < 0)
        return -1;
    listed_add(g, o);
    o->extra = open || !closed || o->least > o->count;
    return 0;
}

/* The rule of the value of a property with this name. */
static uint32_t value_rule(struct grammar *g, const struct conjuncts *set, struct str name)
{
    struct conjuncts value = { 0 };

    for (uint32_t i = 0; i < set->count; i++) {
        const struct schema_node *n = &g->s->node[set->item[i].node];
        bool known = false;
        (void)grammar_steps(g, 1 + n->property_count / SCHEMA_COMPARED_IN_STEP);
        for (uint32_t k = 0; k < n->property_count; k++)
            if (str_eq(n->property[k].name, name)) {
                conjuncts_add(g, &value, n->property[k].node, 0);
                known = true;
            }
        for (uint32_t k = 0; k < n->pattern_property_count; k++)
            if (pattern_finds(n->pattern_property[k].pattern, name, &g->steps)) {
                conjuncts_add(g, &value, n->pattern_property[k].node, 0);
                known = true;
            }
        if (!known && n->additional != SCHEMA_NONE)
            conjuncts_add(g, &value, n->additional, 0);
    }
    return state_rule(g, &value);
}

/* "name": value */
static uint32_t member_rule(struct grammar *g, const struct conjuncts *set, struct str name)
{
    uint32_t rule = rule_new(g);
    struct buf key = BUF_INIT(SCHEMA_BYTES_MAX * 2);

    buf_add_json(&key, name);
    buf_add_c(&key, ": ");
    struct symbol member[] = { symbol_literal(g, buf_str(&key)),
                               symbol_rule(value_rule(g, set, name)) };
    rule_add(g, rule, member, 2);
    buf_release(&key);
    return rule;
}

/* ---- Objects: members in order ---- */

struct sequence {
    const uint32_t *member; /* of each declared name: its rule */
    const bool *required;
    uint32_t count;
    struct other_members other;
    uint64_t least, most; /* of all members */
    struct symbol comma;
};

/* After the declared members, with `had` written: the others. No text where they are too few. */
static uint32_t tail_rule(struct grammar *g, const struct sequence *q, uint64_t had)
{
    uint32_t rule = rule_new(g);
    uint64_t least = q->least > had ? q->least - had : 0;
    uint64_t most = q->most == UINT64_MAX ? GRAMMAR_NO_LIMIT : q->most - had;
    struct symbol more = { .kind = SYMBOL_REPEAT,
                           .rule = q->other.rule,
                           .least = (uint32_t)least,
                           .most = (uint32_t)most };

    if (least > q->other.names)
        return rule;
    if (q->other.rule == GRAMMAR_NOTHING || most == 0) {
        if (!least)
            rule_add(g, rule, NULL, 0);
        return rule;
    }
    if (had) {
        rule_add(g, rule, &more, 1);
        return rule;
    }
    more.least -= more.least > 0;
    more.most -= more.most != GRAMMAR_NO_LIMIT;
    struct symbol first[] = { symbol_rule(q->other.rule), more };
    rule_add(g, rule, first, 2);
    if (!least)
        rule_add(g, rule, NULL, 0);
    return rule;
}

/* The rule from the i-th declared name on when `had` members are written. `after` has the rules from the
 * next name on, by the number of members written, cap standing for more. */
static uint32_t step_rule(struct grammar *g, const struct sequence *q, uint32_t i, uint64_t had,
                          uint64_t cap, const uint32_t *after)
{
    uint64_t then = had < cap ? had + 1 : cap;
    struct symbol taken[] = { q->comma, symbol_rule(q->member[i]), symbol_rule(after[then]) };
    struct symbol skipped = symbol_rule(after[had]);
    uint32_t rule = rule_new(g);

    if (had < cap || q->most == UINT64_MAX)
        rule_add(g, rule, had ? taken : taken + 1, had ? 3 : 2);
    if (!q->required[i])
        rule_add(g, rule, &skipped, 1);
    return rule;
}

/* Rules by how many members are written, 0 to cap (there: or more), from the last declared name to the
 * first. Without bounds on the number it matters only whether there is one before. */
static uint32_t sequence_rule(struct grammar *g, const struct sequence *q)
{
    bool counted = q->least > 0 || q->most != UINT64_MAX;
    uint64_t cap = !counted ? 1 : q->most != UINT64_MAX ? q->most : q->least;
    cap = cap > q->count ? q->count : cap;
    uint32_t *after = arena_array(&g->arena, cap + 1, sizeof *after);
    uint32_t *here = arena_array(&g->arena, cap + 1, sizeof *here);

    for (uint64_t had = 0; had <= cap; had++)
        after[had] = tail_rule(g, q, had);
    for (uint32_t i = q->count; i-- > 0 && !g->full;) {
        for (uint64_t had = 0; had <= cap && had <= i; had++)
            here[had] = step_rule(g, q, i, had, cap, after);
        uint32_t *swapped = after;
        after = here;
        here = swapped;
    }
    return after[0];
}

int grammar_object(struct grammar *g, const struct conjuncts *set, uint32_t rule)
{
    struct objects *o = arena_alloc(&g->arena, sizeof *o);

    if (objects_of(g, set, o) < 0)
        return -1;
    uint32_t *member = arena_array(&g->arena, o->count + 1, sizeof *member);
    bool *required = arena_array(&g->arena, o->count + 1, sizeof *required);
    struct sequence q = { .member = member,
                          .required = required,
                          .count = o->count,
                          .least = o->least,
                          .most = o->most,
                          .comma = symbol_text(g, STR("\", \"")) };
    for (uint32_t i = 0; i < o->count && !g->full; i++) {
        member[i] = member_rule(g, set, o->name[i]);
        required[i] = is_required(g, set, o->name[i]);
        o->required += required[i];
    }
    if (o->extra && grammar_other_members(g, set, o, &q.other) < 0)
        return -1;
    if (o->least > o->count && q.other.rule == GRAMMAR_NOTHING)
        grammar_dead(g, set->item[0].node, "minProperties",
                     "The object can have fewer properties than minProperties asks for.");
    struct symbol whole[] = { symbol_text(g, STR("\"{\"")), symbol_rule(sequence_rule(g, &q)),
                              symbol_text(g, STR("\"}\"")) };
    rule_add(g, rule, whole, 3);
    return 0;
}
