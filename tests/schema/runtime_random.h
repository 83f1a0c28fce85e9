/* runtime_random.h -- a runtime with a real tokenizer and random logits.
 *
 * Why: a model that knows nothing tries every turn that a constraint leaves, in microseconds a token.
 *
 * Shape:   the tokenizer, its pieces and ends are those of another runtime, which must live longer. Tokens
 *          with a quote or a closing bracket, and the end, are likelier, so that answers come to an end.
 * Threads: one, as runtime.h says.
 */
#ifndef TRANCHE_TESTS_RUNTIME_RANDOM_H
#define TRANCHE_TESTS_RUNTIME_RANDOM_H

#include "predict/local/runtime.h"

#define RANDOM_SEQUENCES 32
#define RANDOM_CONTEXT 65536

struct runtime *runtime_random_open(struct runtime *tokenizer);

#endif
