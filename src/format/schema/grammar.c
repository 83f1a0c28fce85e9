/* grammar.c -- sets of schemas become rules: the sets, their types, and the whole. */
#include "format/schema/grammar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#define MEND "Mend the contradiction."

/* ---- Faults ---- */

static void fault_fill(const struct grammar *g, struct schema_fault *out, uint32_t node,
                       const char *keyword, const char *message, const char *remedy)
{
    schema_path(g->s, node, keyword, out->path);
    (void)snprintf(out->message, sizeof out->message, "%s", message);
    (void)snprintf(out->remedy, sizeof out->remedy, "%s", remedy);
}

int grammar_fault(struct grammar *g, uint32_t node, const char *keyword, const char *message,
                  const char *remedy)
{
    fault_fill(g, g->why, node, keyword, message, remedy);
    return -1;
}

void grammar_dead(struct grammar *g, uint32_t node, const char *keyword, const char *message)
{
    if (!g->dead.message[0])
        fault_fill(g, &g->dead, node, keyword, message, MEND);
}

bool grammar_steps(struct grammar *g, uint64_t count)
{
    steps_take(&g->steps, count);
    return g->steps > 0;
}

/* ---- Tables ---- */

struct table_slot {
    uint64_t hash;
    uint32_t index;
    bool taken;
};

static void table_put(struct table *t, struct table_slot s)
{
    uint32_t at = (uint32_t)s.hash & (t->cap - 1);

    while (t->slot[at].taken)
        at = (at + 1) & (t->cap - 1);
    t->slot[at] = s;
}

void table_add(struct arena *a, struct table *t, uint64_t hash, uint32_t index)
{
    if (2 * (t->count + 1) > t->cap) {
        struct table larger = { .cap = t->cap ? 2 * t->cap : 64, .count = t->count };
        larger.slot = arena_array(a, larger.cap, sizeof *larger.slot);
        for (uint32_t i = 0; i < t->cap; i++)
            if (t->slot[i].taken)
                table_put(&larger, t->slot[i]);
        *t = larger;
    }
    table_put(t, (struct table_slot){ hash, index, true });
    t->count++;
}

bool table_next(const struct table *t, uint64_t hash, uint32_t *at, uint32_t *index)
{
    while (*at < t->cap) {
        const struct table_slot *s = &t->slot[((uint32_t)hash + (*at)++) & (t->cap - 1)];
        if (!s->taken)
            return false;
        *index = s->index;
        if (s->hash == hash)
            return true;
    }
    return false;
}

/* ---- Rules ---- */

uint32_t rule_new(struct grammar *g)
{
    g->full = g->full || g->rule_count == SCHEMA_RULES_MAX;
    if (g->full)
        return GRAMMAR_NOTHING;
    g->rule = arena_list_grow(&g->arena, g->rule, g->rule_count, sizeof *g->rule);
    g->rule[g->rule_count] = (struct rule){ 0 };
    return g->rule_count++;
}

void rule_add(struct grammar *g, uint32_t rule, const struct symbol *symbol, uint32_t count)
{
    struct rule *r = &g->rule[rule];
    struct symbol *copy = arena_array(&g->arena, count ? count : 1, sizeof *copy);

    if (rule == GRAMMAR_NOTHING)
        return;
    if (count)
        memcpy(copy, symbol, count * sizeof *copy);
    r->alternative = arena_list_grow(&g->arena, r->alternative, r->count, sizeof *r->alternative);
    r->alternative[r->count++] = (struct alternative){ copy, count };
}

struct symbol symbol_text(struct grammar *g, struct str text)
{
    struct str copy = { arena_copy(&g->arena, text.p ? text.p : "", text.len), text.len };

    return (struct symbol){ .kind = SYMBOL_TEXT, .text = copy };
}

/* A JSON string, in which Lark wants DEL escaped too. */
void lark_quote(struct buf *out, struct str bytes)
{
    struct buf text = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);

    buf_add_json(&text, bytes);
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == 0x7f)
            buf_add_c(out, "\\u007f");
        else
            buf_add_char(out, text.p[i]);
    }
    buf_release(&text);
}

struct symbol symbol_literal(struct grammar *g, struct str bytes)
{
    struct buf text = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);

    lark_quote(&text, bytes);
    struct symbol s = symbol_text(g, buf_str(&text));
    buf_release(&text);
    return s;
}

struct symbol symbol_rule(uint32_t rule)
{
    return (struct symbol){ .kind = SYMBOL_RULE, .rule = rule };
}

/* ---- Sets of schemas ---- */

void conjuncts_add(struct grammar *g, struct conjuncts *set, uint32_t node, uint32_t done)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (set->item[i].node == node) {
            set->item[i].done |= done;
            return;
        }
    set->item = arena_list_grow(&g->arena, set->item, set->count, sizeof *set->item);
    set->item[set->count++] = (struct conjunct){ node, done };
}

/* True when a schema says something by itself, beside what is done of its combinations. */
static bool says_something(const struct schema_node *n, uint32_t done)
{
    return n->types != TYPE_ANY || n->constant || n->values || n->minimum.has || n->maximum.has ||
           n->multiple_of > 0 || n->min_length || n->max_length != UINT64_MAX || n->pattern ||
           n->format || n->prefix.count || n->items != SCHEMA_NONE || n->min_items ||
           n->max_items != UINT64_MAX || n->unique || n->property_count || n->required_count ||
           n->pattern_property_count || n->additional != SCHEMA_NONE || n->min_properties ||
           n->max_properties != UINT64_MAX || n->negated != SCHEMA_NONE ||
           (n->any_of.count && !(done & CONJUNCT_ANY)) ||
           (n->one_of.count && !(done & CONJUNCT_ONE));
}

static int compare_conjuncts(const void *a, const void *b)
{
    const struct conjunct *x = a, *y = b;

    return x->node < y->node ? -1 : x->node > y->node;
}

/* The set with all references and allOf in it, without those that say nothing, in order. False when
 * `false` is among them. */
static bool expand(struct grammar *g, const struct conjuncts *in, struct conjuncts *out)
{
    struct conjuncts all = { 0 };
    uint32_t kept = 0;

    if (!grammar_steps(g, 1))
        return false;
    for (uint32_t i = 0; i < in->count; i++)
        conjuncts_add(g, &all, in->item[i].node, in->item[i].done);
    for (uint32_t i = 0; i < all.count; i++) {
        const struct schema_node *n = &g->s->node[all.item[i].node];
        if (n->never) {
            if (!g->never.message[0])
                fault_fill(g, &g->never, all.item[i].node, NULL,
                           "The schema false allows no value.", MEND);
            return false;
        }
        if (n->ref != SCHEMA_NONE)
            conjuncts_add(g, &all, n->ref, 0);
        for (uint32_t k = 0; k < n->all_of.count; k++)
            conjuncts_add(g, &all, n->all_of.node[k], 0);
        all.item[i].done |= CONJUNCT_REF | CONJUNCT_ALL;
    }
    /* Each was compared with those before it. */
    (void)grammar_steps(g, (uint64_t)all.count * all.count / SCHEMA_COMPARED_IN_STEP);
    for (uint32_t i = 0; i < all.count; i++)
        if (says_something(&g->s->node[all.item[i].node], all.item[i].done))
            all.item[kept++] = all.item[i];
    all.count = kept;
    if (kept > 1)
        qsort(all.item, kept, sizeof *all.item, compare_conjuncts);
    *out = all;
    return true;
}

static bool same_set(const struct conjuncts *a, const struct conjuncts *b)
{
    return a->count == b->count &&
           (a->count == 0 || memcmp(a->item, b->item, a->count * sizeof *a->item) == 0);
}

uint32_t state_rule(struct grammar *g, const struct conjuncts *set)
{
    struct conjuncts all;

    if (!expand(g, set, &all))
        return GRAMMAR_NOTHING;
    uint64_t hash = XXH3_64bits(all.item, all.count * sizeof *all.item);
    for (uint32_t at = 0, i; table_next(&g->state_table, hash, &at, &i);)
        if (same_set(&g->state[i].set, &all))
            return g->state[i].rule;
    g->full = g->full || g->state_count == SCHEMA_STATES_MAX;
    if (g->full)
        return GRAMMAR_NOTHING;
    table_add(&g->arena, &g->state_table, hash, g->state_count);
    g->state = arena_list_grow(&g->arena, g->state, g->state_count, sizeof *g->state);
    uint32_t rule = rule_new(g);
    g->state[g->state_count++] = (struct state){ all, rule };
    return rule;
}

static uint32_t node_rule(struct grammar *g, uint32_t node)
{
    struct conjunct one = { node, 0 };

    return state_rule(g, &(struct conjuncts){ &one, 1 });
}

/* ---- By type ---- */

/* `not` of nothing but types takes these away; any other cannot be a grammar. */
static int negations_apply(struct grammar *g, const struct conjuncts *set, unsigned *types)
{
    for (uint32_t i = 0; i < set->count; i++) {
        uint32_t negated = g->s->node[set->item[i].node].negated;
        if (negated == SCHEMA_NONE || g->s->node[negated].never)
            continue;
        struct schema_node plain = g->s->node[negated];
        unsigned away = plain.types;
        plain.types = TYPE_ANY;
        if (says_something(&plain, 0) || plain.ref != SCHEMA_NONE || plain.all_of.count)
            return grammar_fault(g, set->item[i].node, "not",
                                 "The embedded engine cannot follow this keyword.",
                                 schema_keyword_remedy("not"));
        *types &= ~away;
    }
    return 0;
}

static int grammar_types(struct grammar *g, const struct conjuncts *set, uint32_t rule)
{
    unsigned types = TYPE_ANY;

    for (uint32_t i = 0; i < set->count; i++)
        types &= g->s->node[set->item[i].node].types;
    if (negations_apply(g, set, &types) < 0)
        return -1;
    if (types == TYPE_FRACTION)
        return grammar_fault(g, set->item[0].node, "not",
                             "The embedded engine cannot follow this keyword.",
                             schema_keyword_remedy("not"));
    if (!types)
        grammar_dead(g, set->item[0].node, "type", "No type meets all schemas that hold here.");
    struct symbol null = symbol_text(g, STR("\"null\""));
    struct symbol boolean = symbol_terminal(g, STR("\"true\" | \"false\""));
    if (types & TYPE_NULL)
        rule_add(g, rule, &null, 1);
    if (types & TYPE_BOOLEAN)
        rule_add(g, rule, &boolean, 1);
    /* Numbers that are not integers are left out: whether a text is one depends on rounding. */
    if ((types & TYPE_INTEGER) && grammar_number(g, set, rule, !(types & TYPE_FRACTION)) < 0)
        return -1;
    if ((types & TYPE_STRING) && grammar_string(g, set, rule) < 0)
        return -1;
    if ((types & TYPE_ARRAY) && grammar_array(g, set, rule) < 0)
        return -1;
    return (types & TYPE_OBJECT) ? grammar_object(g, set, rule) : 0;
}

static int state_process(struct grammar *g, uint32_t at)
{
    const struct state st = g->state[at];

    for (uint32_t i = 0; i < st.set.count; i++) {
        const struct schema_node *n = &g->s->node[st.set.item[i].node];
        if (n->constant || n->values)
            return grammar_values(g, &st.set, st.rule, n);
    }
    for (uint32_t i = 0; i < st.set.count; i++) {
        const struct conjunct *c = &st.set.item[i];
        const struct schema_node *n = &g->s->node[c->node];
        if (n->any_of.count && !(c->done & CONJUNCT_ANY))
            return grammar_choice(g, &st.set, st.rule, i, CONJUNCT_ANY);
        if (n->one_of.count && !(c->done & CONJUNCT_ONE))
            return grammar_choice(g, &st.set, st.rule, i, CONJUNCT_ONE);
    }
    return grammar_types(g, &st.set, st.rule);
}

/* ---- The whole ---- */

static bool grammar_make(struct grammar *g, uint32_t *start, struct buf *out)
{
    static const char shrink[] = "Write a smaller schema: fewer alternatives and properties.";

    (void)rule_new(g); /* GRAMMAR_NOTHING */
    *start = node_rule(g, 0);
    for (uint32_t i = 0; i < g->state_count; i++) {
        int rc = state_process(g, i);
        if (g->refused)
            return false;
        if (g->full)
            return grammar_fault(g, 0, NULL, "The schema is too large for a grammar.", shrink) == 0;
        if (g->steps == 0)
            return grammar_fault(g, 0, NULL,
                                 "The schema takes too many steps to be made into a grammar.",
                                 shrink) == 0;
        if (rc < 0)
            return false;
    }
    if (!grammar_print(g, *start, out)) {
        *g->why = g->dead.message[0] ? g->dead : g->never;
        if (!g->why->message[0])
            (void)grammar_fault(g, 0, NULL, "No finite value matches the schema.",
                                "Make what leads back to itself optional.");
        return false;
    }
    return buf_ok(out) ||
           grammar_fault(g, 0, NULL, "The schema's grammar is too large.", shrink) == 0;
}

/* parts: NULL when the schema is the whole grammar. */
static bool grammar_of(struct schema *s, struct schema_parts *parts, struct buf *out,
                       struct schema_fault *why)
{
    struct grammar g = {
        .s = s,
        .rules_before = parts ? parts->rules : 0,
        .terminals_before = parts ? parts->terminals : 0,
        .whole = !parts,
        .why = why,
        .steps = SCHEMA_CHECK_STEPS_MAX,
    };
    uint32_t start = 0;

    *why = (struct schema_fault){ 0 };
    bool ok = grammar_make(&g, &start, out);
    if (parts) {
        parts->start = parts->rules + start;
        parts->rules += g.rule_count;
        parts->terminals += g.terminal_count;
    }
    arena_release(&g.arena);
    return ok;
}

bool schema_grammar(struct schema *s, struct buf *out, struct schema_fault *why)
{
    return grammar_of(s, NULL, out, why);
}

bool schema_grammar_part(struct schema *s, struct schema_parts *parts, struct buf *out,
                         struct schema_fault *why)
{
    return grammar_of(s, parts, out, why);
}

bool schema_enum_grammar(yyjson_val *values, struct buf *out, struct schema_fault *why)
{
    size_t i, max;
    yyjson_val *v;

    *why = (struct schema_fault){ .path = "enum",
                                  .message = "enum must list 1 to 5000 strings with text.",
                                  .remedy = "Write \"enum\": [\"A\", \"B\"]." };
    if (!yyjson_is_arr(values) || yyjson_arr_size(values) == 0 ||
        yyjson_arr_size(values) > SCHEMA_ENUM_MAX)
        return false;
    buf_add_c(out, "start: T0\nT0: ");
    yyjson_arr_foreach(values, i, max, v)
    {
        if (json_str(v).len == 0)
            return false;
        buf_add_c(out, i ? " | " : "");
        lark_quote(out, json_str(v));
    }
    buf_add_char(out, '\n');
    return true;
}

bool schema_limits_names(const struct schema *s)
{
    return s->limits_names;
}

const struct str *schema_pattern_names(const struct schema *s, uint32_t *count)
{
    *count = s->name_count;
    return s->name;
}

bool schema_leaf_at(const struct schema *s, uint32_t i, struct schema_leaf *out)
{
    if (i >= s->leaf_count)
        return false;
    *out = s->leaf[i];
    return true;
}
