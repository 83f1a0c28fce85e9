/* grammar_print.c -- the rules that have a finite text, as Lark.
 *
 * Why: a rule that always leads to another one (an object that must hold an object like itself) would
 * let the engine begin what it can never end.
 *
 * Source: https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
 */
#include <string.h>
#include <xxhash.h>

#include "format/schema/grammar.h"

struct definition {
    struct str text;
    uint32_t rule; /* of a leaf */
};

/* The index of a text among the definitions; its place is made when it is new. */
static uint32_t definition_of(struct grammar *g, struct table *t, struct definition **all,
                              uint32_t *count, struct str text, bool *made)
{
    uint64_t hash = XXH3_64bits(text.p, text.len);

    for (uint32_t at = 0, i; table_next(t, hash, &at, &i);)
        if (str_eq((*all)[i].text, text))
            return i;
    table_add(&g->arena, t, hash, *count);
    *all = arena_list_grow(&g->arena, *all, *count, sizeof **all);
    struct str copy = { arena_copy(&g->arena, text.p ? text.p : "", text.len), text.len };
    (*all)[*count] = (struct definition){ .text = copy };
    *made = true;
    return (*count)++;
}

struct symbol symbol_terminal(struct grammar *g, struct str definition)
{
    struct buf name = BUF_INIT(32);
    bool made = false;

    uint32_t at =
        definition_of(g, &g->terminal_table, &g->terminal, &g->terminal_count, definition, &made);
    buf_addf(&name, "T%u", g->terminals_before + at);
    struct symbol s = symbol_text(g, buf_str(&name));
    buf_release(&name);
    return s;
}

bool leaves_have_room(struct grammar *g, uint32_t node, const char *keyword)
{
    if (g->leaf_count + g->range_count <= SCHEMA_LEAVES_MAX)
        return true;
    g->refused = true;
    (void)grammar_fault(g, node, keyword,
                        "The schema has more than 600 different patterns, formats and bounds.",
                        "Write a smaller schema, or use the same ones more often.");
    return false;
}

struct symbol symbol_leaf(struct grammar *g, struct str json, uint32_t node, const char *keyword)
{
    bool made = false;
    uint32_t at = definition_of(g, &g->leaf_table, &g->leaf, &g->leaf_count, json, &made);

    if (!made)
        return symbol_rule(g->leaf[at].rule);
    if (!leaves_have_room(g, node, keyword))
        return symbol_rule(GRAMMAR_NOTHING);
    struct schema *s = g->s;
    struct buf text = BUF_INIT(SCHEMA_GRAMMAR_BYTES_MAX);
    buf_addf(&text, "%%json %.*s", STR_ARG(json));
    struct symbol body = symbol_text(g, buf_str(&text));
    buf_release(&text);
    s->leaf = arena_list_grow(&s->arena, s->leaf, s->leaf_count, sizeof *s->leaf);
    struct schema_leaf *leaf = &s->leaf[s->leaf_count++];
    leaf->json = (struct str){ arena_copy(&s->arena, json.p, json.len), json.len };
    schema_path(s, node, keyword, leaf->path);
    uint32_t rule = rule_new(g);
    rule_add(g, rule, &body, 1);
    g->leaf[at].rule = rule;
    return symbol_rule(rule);
}

/* ---- Rules with a finite text ---- */

static bool symbol_productive(const struct grammar *g, const struct symbol *s)
{
    return s->kind == SYMBOL_TEXT || g->rule[s->rule].productive ||
           (s->kind == SYMBOL_REPEAT && s->least == 0);
}

static bool alternative_productive(const struct grammar *g, const struct alternative *a)
{
    for (uint32_t i = 0; i < a->count; i++)
        if (!symbol_productive(g, &a->symbol[i]))
            return false;
    return true;
}

static bool any_productive(const struct grammar *g, const struct rule *r)
{
    for (uint32_t i = 0; i < r->count; i++)
        if (alternative_productive(g, &r->alternative[i]))
            return true;
    return false;
}

/* For each rule the rules that have it in an alternative: user[first[rule] .. first[rule + 1]). */
struct users {
    uint32_t *first, *user;
};

static struct users users_of(struct grammar *g)
{
    struct users u = { .first = arena_array(&g->arena, g->rule_count + 2, sizeof *u.first) };

    /* first[r + 2] counts, then first[r + 1] is where r's begin and moves to where they end. */
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < g->rule_count; i++)
            for (uint32_t k = 0; k < g->rule[i].count; k++)
                for (uint32_t m = 0; m < g->rule[i].alternative[k].count; m++) {
                    const struct symbol *s = &g->rule[i].alternative[k].symbol[m];
                    if (s->kind == SYMBOL_TEXT)
                        continue;
                    if (pass)
                        u.user[u.first[s->rule + 1]++] = i;
                    else
                        u.first[s->rule + 2]++;
                }
        if (pass)
            break;
        for (uint32_t i = 2; i < g->rule_count + 2; i++)
            u.first[i] += u.first[i - 1];
        u.user = arena_array(&g->arena, u.first[g->rule_count + 1] + 1, sizeof *u.user);
    }
    return u;
}

/* The least fixed point: whenever a rule becomes productive, those that use it are asked again. */
static void productive_find(struct grammar *g)
{
    const struct users u = users_of(g);
    uint32_t *queue = arena_array(&g->arena, g->rule_count, sizeof *queue), head = 0, tail = 0;

    for (uint32_t i = 0; i < g->rule_count; i++)
        if (!g->rule[i].productive && any_productive(g, &g->rule[i])) {
            g->rule[i].productive = true;
            queue[tail++] = i;
        }
    while (head < tail) {
        uint32_t rule = queue[head++];
        for (uint32_t i = u.first[rule]; i < u.first[rule + 1]; i++) {
            struct rule *user = &g->rule[u.user[i]];
            if (user->productive || !any_productive(g, user))
                continue;
            user->productive = true;
            queue[tail++] = u.user[i];
        }
    }
}

/* ---- Printing ---- */

static void print_symbol(const struct grammar *g, const struct symbol *s, struct buf *out)
{
    if (s->kind == SYMBOL_TEXT) {
        buf_add_str(out, s->text);
        return;
    }
    if (s->kind == SYMBOL_RULE) {
        buf_addf(out, "r%u", g->rules_before + s->rule);
        return;
    }
    if (!g->rule[s->rule].productive || s->most == 0) {
        buf_add_c(out, "\"\"");
        return;
    }
    buf_addf(out, "(\", \" r%u){%u,", g->rules_before + s->rule, s->least);
    if (s->most != GRAMMAR_NO_LIMIT)
        buf_addf(out, "%u", s->most);
    buf_add_char(out, '}');
}

static void print_rule(struct grammar *g, uint32_t rule, struct buf *out)
{
    const struct rule *r = &g->rule[rule];
    const char *before = ": ";

    buf_addf(out, "r%u", g->rules_before + rule);
    for (uint32_t i = 0; i < r->count; i++) {
        const struct alternative *a = &r->alternative[i];
        if (!alternative_productive(g, a))
            continue;
        buf_add_c(out, before);
        before = " | ";
        for (uint32_t k = 0; k < a->count; k++) {
            buf_add_c(out, k ? " " : "");
            print_symbol(g, &a->symbol[k], out);
        }
        if (!a->count)
            buf_add_c(out, "\"\"");
    }
    buf_add_char(out, '\n');
}

/* Marks the rules that an alternative leads to, and appends them to the queue; the queue's new end. */
static uint32_t reach_from(struct grammar *g, const struct alternative *a, uint32_t *queue,
                           uint32_t tail)
{
    uint32_t count = alternative_productive(g, a) ? a->count : 0;

    for (uint32_t k = 0; k < count; k++) {
        uint32_t to = a->symbol[k].rule;
        if (a->symbol[k].kind == SYMBOL_TEXT || g->rule[to].reached || !g->rule[to].productive)
            continue;
        g->rule[to].reached = true;
        queue[tail++] = to;
    }
    return tail;
}

/* Marks every rule that `start` leads to. */
static void reach(struct grammar *g, uint32_t start)
{
    uint32_t *queue = arena_array(&g->arena, g->rule_count, sizeof *queue), head = 0, tail = 0;

    g->rule[start].reached = true;
    queue[tail++] = start;
    while (head < tail) {
        const struct rule *r = &g->rule[queue[head++]];
        for (uint32_t i = 0; i < r->count; i++)
            tail = reach_from(g, &r->alternative[i], queue, tail);
    }
}

bool grammar_print(struct grammar *g, uint32_t start, struct buf *out)
{
    productive_find(g);
    if (!g->rule[start].productive)
        return false;
    reach(g, start);
    if (g->whole)
        buf_addf(out, "start: r%u\n", start);
    for (uint32_t i = 0; i < g->rule_count; i++)
        if (g->rule[i].reached)
            print_rule(g, i, out);
    for (uint32_t i = 0; i < g->terminal_count; i++)
        buf_addf(out, "T%u: %.*s\n", g->terminals_before + i, STR_ARG(g->terminal[i].text));
    return true;
}
