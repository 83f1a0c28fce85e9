#include "format/schema/grammar.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/json_write.h"

/* Schemas deep that are compared to prove that two have no value in common. */
#define DISJOINT_DEPTH 4
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

bool grammar_full(const struct grammar *g)
{
    return g->rule_count >= SCHEMA_RULES_MAX || g->state_count >= SCHEMA_STATES_MAX;
}

uint32_t rule_new(struct grammar *g)
{
    if (g->rule_count == SCHEMA_RULES_MAX)
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
    if (grammar_full(g))
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

/* ---- Values: const and enum ---- */

static void write_value(struct json_writer *w, const char *key, yyjson_val *v)
{
    size_t i, max;
    yyjson_val *k, *one;

    if (yyjson_is_arr(v)) {
        json_array(w, key);
        yyjson_arr_foreach(v, i, max, one) write_value(w, NULL, one);
        json_end(w);
    } else if (yyjson_is_obj(v)) {
        json_object(w, key);
        yyjson_obj_foreach(v, i, max, k, one)
        {
            json_key(w, json_str(k));
            write_value(w, NULL, one);
        }
        json_end(w);
    } else if (yyjson_is_str(v)) {
        json_add_text(w, key, json_str(v));
    } else if (yyjson_is_uint(v)) {
        json_add_uint(w, key, yyjson_get_uint(v));
    } else if (yyjson_is_num(v) && !yyjson_is_real(v)) {
        json_add_int(w, key, yyjson_get_sint(v));
    } else if (yyjson_is_num(v)) {
        json_add_double(w, key, yyjson_get_real(v));
    } else if (yyjson_is_bool(v)) {
        json_add_bool(w, key, yyjson_get_bool(v));
    } else {
        json_add_null(w, key);
    }
}

/* The value stands in the list of `from`, which need not be searched again. */
static bool all_match(struct grammar *g, const struct conjuncts *set,
                      const struct schema_node *from, yyjson_val *v)
{
    for (uint32_t i = 0; i < set->count; i++)
        if (&g->s->node[set->item[i].node] == from
                ? !schema_listed_matches(g->s, set->item[i].node, v, &g->steps)
                : !schema_node_matches(g->s, set->item[i].node, v, &g->steps))
            return false;
    return true;
}

/* One terminal of the values that meet the whole set: exact whatever else the schemas say. */
static int grammar_values(struct grammar *g, const struct conjuncts *set, uint32_t rule,
                          const struct schema_node *from)
{
    struct buf text = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    size_t count = from->constant ? 1 : yyjson_arr_size(from->values);
    bool too_long = false;

    for (size_t i = 0; i < count; i++) {
        yyjson_val *v = from->constant ? from->constant : yyjson_arr_get(from->values, i);
        struct buf json = BUF_INIT(SCHEMA_BYTES_MAX * 2);
        struct json_writer w = JSON_WRITER(&json);
        if (!all_match(g, set, from, v))
            continue;
        w.spaced = true;
        write_value(&w, NULL, v);
        too_long = too_long || json.len > SCHEMA_LITERAL_BYTES_MAX;
        buf_add_c(&text, text.len ? " | " : "");
        lark_quote(&text, buf_str(&json));
        buf_release(&json);
    }
    if (too_long) {
        buf_release(&text);
        return grammar_fault(g, (uint32_t)(from - g->s->node), from->constant ? "const" : "enum",
                             "A value has over 16 KiB as JSON.", "Shorten it.");
    }
    if (text.len) {
        struct symbol s = symbol_terminal(g, buf_str(&text));
        rule_add(g, rule, &s, 1);
    } else {
        grammar_dead(g, set->item[0].node, from->constant ? "const" : "enum",
                     "No value of the list meets the schemas beside it.");
    }
    buf_release(&text);
    return 0;
}

/* ---- Choices: anyOf and oneOf ---- */

/* The types that a schema leaves, by its own words and those of what it refers to. */
static unsigned types_left(struct grammar *g, uint32_t node, unsigned depth)
{
    const struct schema_node *n = &g->s->node[node];
    unsigned types = n->never ? 0 : n->types;

    if (depth == 0 || !grammar_steps(g, 1))
        return types;
    if (n->ref != SCHEMA_NONE)
        types &= types_left(g, n->ref, depth - 1);
    for (uint32_t i = 0; i < n->all_of.count; i++)
        types &= types_left(g, n->all_of.node[i], depth - 1);
    if (n->any_of.count) {
        unsigned any = 0;
        for (uint32_t i = 0; i < n->any_of.count; i++)
            any |= types_left(g, n->any_of.node[i], depth - 1);
        types &= any;
    }
    return types;
}

/* The target of a reference, when the schema is nothing else. */
static uint32_t plain_target(const struct schema *s, uint32_t node)
{
    for (unsigned i = 0; i < DISJOINT_DEPTH && s->node[node].ref != SCHEMA_NONE; i++)
        node = s->node[node].ref;
    return node;
}

static bool no_value_matches(struct grammar *g, const struct schema_node *n, uint32_t other)
{
    size_t i, max;
    yyjson_val *v;

    if (n->constant)
        return !schema_node_matches(g->s, other, n->constant, &g->steps);
    if (!n->values)
        return false;
    yyjson_arr_foreach(n->values, i, max, v)
    {
        if (schema_node_matches(g->s, other, v, &g->steps))
            return false;
    }
    return g->steps > 0;
}

static uint32_t property_node(const struct schema_node *n, struct str name)
{
    for (uint32_t i = 0; i < n->property_count; i++)
        if (str_eq(n->property[i].name, name))
            return n->property[i].node;
    return n->pattern_property_count ? SCHEMA_NONE : n->additional;
}

static bool is_disjoint(struct grammar *g, uint32_t a, uint32_t b, unsigned depth);

/* A property that one of two objects must have, and for which they have no value in common. */
static bool property_separates(struct grammar *g, const struct schema_node *a,
                               const struct schema_node *b, unsigned depth)
{
    for (uint32_t i = 0; i < a->required_count; i++) {
        uint32_t x = property_node(a, a->required[i]), y = property_node(b, a->required[i]);
        if (y != SCHEMA_NONE && g->s->node[y].never)
            return true;
        if (x != SCHEMA_NONE && y != SCHEMA_NONE &&
            schema_names_have(b->required, b->required_count, a->required[i]) &&
            is_disjoint(g, x, y, depth))
            return true;
    }
    return false;
}

static bool is_disjoint(struct grammar *g, uint32_t a, uint32_t b, unsigned depth)
{
    if (depth == 0 || !grammar_steps(g, 1))
        return false;
    if (!(types_left(g, a, DISJOINT_DEPTH) & types_left(g, b, DISJOINT_DEPTH)))
        return true;
    a = plain_target(g->s, a);
    b = plain_target(g->s, b);
    const struct schema_node *x = &g->s->node[a], *y = &g->s->node[b];
    if (no_value_matches(g, x, b) || no_value_matches(g, y, a))
        return true;
    for (int swap = 0; swap < 2; swap++) {
        const struct schema_list *list = swap ? &y->any_of : &x->any_of;
        bool all = list->count > 0;
        for (uint32_t i = 0; all && i < list->count; i++)
            all = is_disjoint(g, list->node[i], swap ? a : b, depth - 1);
        if (all)
            return true;
    }
    return x->types == TYPE_OBJECT && y->types == TYPE_OBJECT &&
           (property_separates(g, x, y, depth - 1) || property_separates(g, y, x, depth - 1));
}

static int one_of_check(struct grammar *g, uint32_t node)
{
    const struct schema_list *list = &g->s->node[node].one_of;

    for (uint32_t i = 0; i < list->count; i++)
        for (uint32_t k = 0; k < i; k++)
            if (!is_disjoint(g, list->node[i], list->node[k], DISJOINT_DEPTH))
                return g->steps == 0
                           ? -1
                           : grammar_fault(g, node, "oneOf",
                                           "Two of the schemas may have a value in common.",
                                           "Use anyOf, or a required property with a different "
                                           "const in each.");
    return 0;
}

/* An alternative for each choice of the first conjunct that has one: the set with that schema in it. */
static int grammar_choice(struct grammar *g, const struct conjuncts *set, uint32_t rule,
                          uint32_t at, uint32_t bit)
{
    const struct schema_node *n = &g->s->node[set->item[at].node];
    const struct schema_list *list = bit == CONJUNCT_ANY ? &n->any_of : &n->one_of;

    if (bit == CONJUNCT_ONE && one_of_check(g, set->item[at].node) < 0)
        return -1;
    for (uint32_t i = 0; i < list->count; i++) {
        struct conjuncts with = { 0 };
        for (uint32_t k = 0; k < set->count; k++)
            conjuncts_add(g, &with, set->item[k].node, set->item[k].done | (k == at ? bit : 0));
        conjuncts_add(g, &with, list->node[i], 0);
        struct symbol choice = symbol_rule(state_rule(g, &with));
        if (choice.rule != rule)
            rule_add(g, rule, &choice, 1);
    }
    return 0;
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

static bool grammar_make(struct grammar *g, struct buf *out)
{
    static const char shrink[] = "Write a smaller schema: fewer alternatives and properties.";

    (void)rule_new(g); /* GRAMMAR_NOTHING */
    uint32_t start = node_rule(g, 0);
    for (uint32_t i = 0; i < g->state_count; i++) {
        int rc = state_process(g, i);
        if (g->refused)
            return false;
        if (grammar_full(g))
            return grammar_fault(g, 0, NULL, "The schema is too large for a grammar.", shrink) == 0;
        if (g->steps == 0)
            return grammar_fault(g, 0, NULL,
                                 "The schema takes too many steps to be made into a grammar.",
                                 shrink) == 0;
        if (rc < 0)
            return false;
    }
    if (!grammar_print(g, start, out)) {
        *g->why = g->dead.message[0] ? g->dead : g->never;
        if (!g->why->message[0])
            (void)grammar_fault(g, 0, NULL, "No finite value matches the schema.",
                                "Make what leads back to itself optional.");
        return false;
    }
    return buf_ok(out) ||
           grammar_fault(g, 0, NULL, "The schema's grammar is too large.", shrink) == 0;
}

bool schema_grammar(struct schema *s, struct buf *out, struct schema_fault *why)
{
    struct grammar g = { .s = s, .why = why, .steps = SCHEMA_CHECK_STEPS_MAX };

    *why = (struct schema_fault){ 0 };
    bool ok = grammar_make(&g, out);
    arena_release(&g.arena);
    return ok;
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

bool schema_leaf_at(const struct schema *s, uint32_t i, struct schema_leaf *out)
{
    if (i >= s->leaf_count)
        return false;
    *out = s->leaf[i];
    return true;
}
