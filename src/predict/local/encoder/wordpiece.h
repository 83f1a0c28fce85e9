/* wordpiece.h -- the tokenizer of uncased BERT models, with the vocabulary of a GGUF file.
 *
 * Why: libllama's keeps accents that the text writes as characters of their own, takes Korean syllables as
 *      a whole and knows no limit of a word's length, so its pieces are not those that the models were
 *      trained with. These are.
 *
 * In:      UTF-8; an invalid byte vanishes. "[CLS]", "[SEP]", "[MASK]", "[PAD]" and "[UNK]" in a text are the
 *          control tokens, as in Hugging Face's tokenizer: in a text that is only read they do no harm.
 * Out:     [CLS], the pieces, [SEP].
 * Errors:  UNIMPLEMENTED for a file with another kind of vocabulary; FAILED_PRECONDITION for a damaged one.
 * Threads: read only once open.
 * Source:  Schuster and Nakajima, "Japanese and Korean voice search" (2012); BertNormalizer,
 *          BertPreTokenizer and WordPiece of Hugging Face's `tokenizers`.
 */
#ifndef TRANCHE_PREDICT_LOCAL_ENCODER_WORDPIECE_H
#define TRANCHE_PREDICT_LOCAL_ENCODER_WORDPIECE_H

#include <gguf.h>

#include "base/error.h"
#include "predict/local/tokens.h"

struct wordpiece;
struct wordpiece *wordpiece_open(const struct gguf_context *file, struct error *e);
void wordpiece_free(struct wordpiece *w);            /* accepts NULL */
uint32_t wordpiece_count(const struct wordpiece *w); /* tokens of the vocabulary */
/* Appends the tokens of a text, both ends included. */
void wordpiece_tokens(const struct wordpiece *w, struct str text, struct tokens *out);

#endif
