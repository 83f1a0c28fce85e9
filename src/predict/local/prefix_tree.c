#include "predict/local/prefix_tree.h"

#include <assert.h>
#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "predict/local/runtime.h"

#define WORD_BITS 64

struct holders {
    uint64_t word[RUNTIME_SEQUENCES_MAX / WORD_BITS];
};

struct node {
    struct node *parent;
    struct node *child; /* the first; they differ in their first token, or in the adapter */
    struct node *next;  /* of the same parent */
    struct tokens run;  /* empty only in the root */
    uint32_t adapter;   /* of its tokens */
    struct holders holders;
};

struct prefix_tree {
    struct node root;  /* held by nobody, never removed */
    struct node **end; /* [sequences]: the node at which it ends; the root when it holds nothing */
    uint32_t *len;     /* [sequences] */
    uint32_t sequences;
    uint64_t tokens;
};

struct prefix_tree *prefix_tree_new(uint32_t sequences)
{
    assert(sequences <= RUNTIME_SEQUENCES_MAX);
    struct prefix_tree *t = mem_alloc(sizeof *t);

    t->sequences = sequences;
    t->end = mem_array(sequences, sizeof *t->end); // NOLINT(bugprone-sizeof-expression): pointers
    t->len = mem_array(sequences, sizeof *t->len);
    for (uint32_t i = 0; i < sequences; i++)
        t->end[i] = &t->root;
    return t;
}

void prefix_tree_free(struct prefix_tree *t)
{
    if (!t)
        return;
    for (uint32_t i = 0; i < t->sequences; i++)
        prefix_tree_cut(t, i, 0);
    mem_free(t->end);
    mem_free(t->len);
    mem_free(t);
}

/* ---- Holders ---- */

static void hold(struct node *n, uint32_t sequence)
{
    n->holders.word[sequence / WORD_BITS] |= 1ULL << (sequence % WORD_BITS);
}

static void let_go(struct node *n, uint32_t sequence)
{
    n->holders.word[sequence / WORD_BITS] &= ~(1ULL << (sequence % WORD_BITS));
}

static uint32_t holder_count(const struct node *n)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < RUNTIME_SEQUENCES_MAX / WORD_BITS; i++)
        count += (uint32_t)__builtin_popcountll(n->holders.word[i]);
    return count;
}

static uint32_t any_holder(const struct node *n)
{
    uint32_t i = 0;

    while (!n->holders.word[i])
        i++; /* every node but the root has a holder */
    return i * WORD_BITS + (uint32_t)__builtin_ctzll(n->holders.word[i]);
}

/* ---- Nodes ---- */

/* The child that goes on with p from token `at` on. */
static struct node *child_of(const struct node *n, struct prefix p, uint32_t at)
{
    struct node *c = n->child;

    while (c && !(c->run.item[0] == p.token[at] && c->adapter == p.adapter))
        c = c->next;
    return c;
}

static struct node *add_child(struct prefix_tree *t, struct node *parent, struct prefix p)
{
    struct node *n = mem_alloc(sizeof *n);

    tokens_append(&n->run, p.token, p.count);
    n->adapter = p.adapter;
    n->parent = parent;
    n->next = parent->child;
    parent->child = n;
    t->tokens += p.count;
    return n;
}

static void remove_node(struct prefix_tree *t, struct node *n)
{
    struct node **at = &n->parent->child;

    assert(!n->child && !holder_count(n));
    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    t->tokens -= n->run.count;
    tokens_release(&n->run);
    mem_free(n);
}

/* Makes two nodes of n: n keeps the first len tokens, a child of it has the rest. Sequences that
 * ended at n end at the child. */
static void split(struct prefix_tree *t, struct node *n, uint32_t len)
{
    struct node *below = n->child;

    assert(len && len < n->run.count);
    n->child = NULL;
    const struct prefix cut = { n->run.item + len, n->run.count - len, n->adapter };
    struct node *rest = add_child(t, n, cut);
    t->tokens -= n->run.count - len;
    n->run.count = len;
    rest->holders = n->holders;
    rest->child = below;
    for (; below; below = below->next)
        below->parent = rest;
    for (uint32_t i = 0; i < t->sequences; i++)
        if (t->end[i] == n)
            t->end[i] = rest;
}

/* ---- Sequences ---- */

uint32_t prefix_tree_match(const struct prefix_tree *t, struct prefix p, uint32_t *holder)
{
    const struct node *n = &t->root;
    uint32_t len = 0;

    while (len < p.count) {
        n = child_of(n, p, len);
        if (!n)
            break;
        uint32_t same = tokens_common(n->run.item, n->run.count, p.token + len, p.count - len);
        len += same;
        *holder = any_holder(n);
        if (same < n->run.count)
            break;
    }
    return len;
}

void prefix_tree_extend(struct prefix_tree *t, uint32_t sequence, struct prefix p)
{
    struct node *n = t->end[sequence];
    uint32_t len = t->len[sequence];

    while (len < p.count) {
        struct node *c = child_of(n, p, len);
        if (!c) {
            c = add_child(t, n, (struct prefix){ p.token + len, p.count - len, p.adapter });
        } else {
            uint32_t same = tokens_common(c->run.item, c->run.count, p.token + len, p.count - len);
            if (same < c->run.count)
                split(t, c, same);
        }
        hold(c, sequence);
        len += c->run.count;
        n = c;
    }
    assert(len == p.count ||
           len == t->len[sequence]); /* every sequence ends at the end of a node */
    t->end[sequence] = n;
    t->len[sequence] = len;
}

void prefix_tree_cut(struct prefix_tree *t, uint32_t sequence, uint32_t len)
{
    while (t->len[sequence] > len) {
        struct node *n = t->end[sequence];
        uint32_t before = t->len[sequence] - n->run.count;
        if (before < len) {
            split(t, n, len - before);
            continue; /* the sequence ends at the new child now */
        }
        let_go(n, sequence);
        t->end[sequence] = n->parent;
        t->len[sequence] = before;
        if (!holder_count(n))
            remove_node(t, n);
    }
}

uint32_t prefix_tree_len(const struct prefix_tree *t, uint32_t sequence)
{
    return t->len[sequence];
}

uint32_t prefix_tree_shared(const struct prefix_tree *t, uint32_t sequence)
{
    uint32_t len = t->len[sequence];

    for (const struct node *n = t->end[sequence]; n != &t->root && holder_count(n) == 1;
         n = n->parent)
        len -= n->run.count;
    return len;
}

uint64_t prefix_tree_tokens(const struct prefix_tree *t)
{
    return t->tokens;
}
