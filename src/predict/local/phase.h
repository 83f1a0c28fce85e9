/* phase.h -- a candidate on its way from a thought to its text, and to a call.
 *
 * Why: a constraint holds for the text behind a thought, and with VALIDATED only from a call's marker on. So
 * the place where it begins is found while the answer is generated.
 *
 * Shape:   NEW -> (MAYBE ->) THOUGHT -> FREE -> TEXT; each may be left out. A token that holds more than the tag or
 *          marker which ends a phase is replaced by tokens of its first part when a constraint follows.
 * Budget:  a thought of thought_max tokens is ended by the tag, and so is one in which the model ends its turn.
 * Errors:  the task's error, when the constraint cannot begin.
 * Threads: the candidate's owner.
 */
#ifndef TRANCHE_PREDICT_LOCAL_PHASE_H
#define TRANCHE_PREDICT_LOCAL_PHASE_H

#include "predict/local/candidate.h"

/* The first phase; later calls do nothing. */
void phase_begin(struct candidate_run *r);
/* Called after a token's piece of `bytes` was added: -1 with the task's error. */
int phase_advance(struct candidate_run *r, struct sampling_scratch *s, size_t bytes) FALLIBLE;
/* The model ends its turn: true when that ends its thought only. */
bool phase_ends_thought(struct candidate_run *r, struct sampling_scratch *s);
/* The tokens so far are a thought's. */
bool phase_is_thought(const struct candidate_run *r);

#endif
