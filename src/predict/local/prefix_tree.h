/* prefix_tree.h -- the beginnings of prompts that the cache holds, and the sequences that hold them.
 *
 * Why: requests of a batch have beginnings in common (system instruction, examples, schema). A radix
 *      tree over tokens finds the longest beginning that is already computed, in time that depends on
 *      the prompt only, and knows how many cells would be freed if a sequence went.
 *
 * Shape:   sequences with different adapters have nothing in common: what is computed of the same
 *          token differs. A node is a run of tokens; the set of its holders are the sequences whose prompt goes
 *          through it to its end. Every sequence ends at the end of a node (runs are split where
 *          needed), and a node without holders does not exist.
 * Threads: none; the batcher's.
 */
#ifndef TRANCHE_PREDICT_LOCAL_PREFIX_TREE_H
#define TRANCHE_PREDICT_LOCAL_PREFIX_TREE_H

#include <stdint.h>

struct prefix_tree;

struct prefix_tree *prefix_tree_new(uint32_t sequences); /* at most RUNTIME_SEQUENCES_MAX */
void prefix_tree_free(struct prefix_tree *t);            /* accepts NULL */

/* The tokens of a prompt and the adapter that computes them. */
struct prefix {
    const int32_t *token; /* [count]; borrowed */
    uint32_t count;
    uint32_t adapter; /* as runtime_row has it */
};

/* The longest beginning that some sequence holds; *holder is one of those. */
uint32_t prefix_tree_match(const struct prefix_tree *t, struct prefix p, uint32_t *holder);
/* The sequence now holds these tokens; what it holds already must be a beginning of them. */
void prefix_tree_extend(struct prefix_tree *t, uint32_t sequence, struct prefix p);
/* The sequence keeps only its first len tokens; 0 takes it out. */
void prefix_tree_cut(struct prefix_tree *t, uint32_t sequence, uint32_t len);

uint32_t prefix_tree_len(const struct prefix_tree *t, uint32_t sequence);
/* The number of tokens at the sequence's beginning that another sequence holds too. */
uint32_t prefix_tree_shared(const struct prefix_tree *t, uint32_t sequence);
uint64_t prefix_tree_tokens(const struct prefix_tree *t); /* in all runs: cells in use */

#endif
