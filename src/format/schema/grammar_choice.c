/* grammar_choice.c -- alternatives that a schema lists: values (const, enum) and schemas (anyOf, oneOf).
 *
 * Why: what is listed is exact whatever else the schemas beside it say, so it is made before all types. A
 * grammar cannot say that exactly one schema of oneOf matches: its schemas must be proven to have no value in
 * common, by their types, values, or a required property.
 */
#include <stdio.h>

#include "base/json_write.h"
#include "format/schema/grammar.h"

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

int grammar_values(struct grammar *g, const struct conjuncts *set, uint32_t rule,
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
    for (unsigned i = 0; i < SCHEMA_DISJOINT_DEPTH && s->node[node].ref != SCHEMA_NONE; i++)
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
    if (!(types_left(g, a, SCHEMA_DISJOINT_DEPTH) & types_left(g, b, SCHEMA_DISJOINT_DEPTH)))
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
            if (!is_disjoint(g, list->node[i], list->node[k], SCHEMA_DISJOINT_DEPTH))
                return g->steps == 0
                           ? -1
                           : grammar_fault(g, node, "oneOf",
                                           "Two of the schemas may have a value in common.",
                                           "Use anyOf, or a required property with a different "
                                           "const in each.");
    return 0;
}

int grammar_choice(struct grammar *g, const struct conjuncts *set, uint32_t rule, uint32_t at,
                   uint32_t bit)
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
