/* llama_text.h -- vocabulary and chat template of an embedded runtime, by libllama.
 *
 * Why: tokenizers and templates are many and libllama has them all; a runtime that computes by itself
 *      loads the file for these only.
 *
 * Shape:   the first member of such a runtime, so that its functions stand in the runtime's table.
 * Errors:  FAILED_PRECONDITION for a file that is not a model that generates text.
 * Threads: as runtime.h says of each function.
 */
#ifndef TRANCHE_PREDICT_LOCAL_LLAMA_LLAMA_TEXT_H
#define TRANCHE_PREDICT_LOCAL_LLAMA_LLAMA_TEXT_H

#include <llama.h>

#include "predict/local/llama/llama_prompt.h"
#include "predict/local/runtime.h"

struct llama_text {
    struct runtime base; /* first, so that a pointer to it is one to this */
    struct llama_model *model;
    const struct llama_vocab *vocab;
    struct llama_prompt *prompt;
    bool strips_space;        /* the tokenizer puts a space before an answer's first word */
    struct runtime_info info; /* vocab and name are set here, the rest by the runtime */
};

/* Refuses a file that is not a GGUF: libllama would fail an assertion, or not fail at all. */
int llama_text_check(const char *path, struct error *e) FALLIBLE;
/* The same of a file that is opened; 0: path is opened. */
int llama_text_check_as(const char *path, int opened, struct error *e) FALLIBLE;
/* Loads the file, with or without its weights. */
int llama_text_open(struct llama_text *t, const struct model *m, bool weights,
                    struct error *e) FALLIBLE;
void llama_text_close(struct llama_text *t); /* frees the members, not t itself */

/* The last error that libllama reported while it was watched. Its log goes to ours. */
struct llama_errors {
    char last[256];
};
void llama_errors_catch(struct llama_errors *errors); /* watches; NULL: stops watching */

/* For a table of struct runtime_ops. */
void llama_text_info(struct runtime *r, struct runtime_info *out);
int llama_text_prompt(struct runtime *r, const struct chat *chat, struct tokens *out, bool *thinks,
                      struct error *e) FALLIBLE;
void llama_text_piece(struct runtime *r, int32_t token, bool first, struct buf *out);
bool llama_text_is_end(struct runtime *r, int32_t token);
bool llama_text_tokenize(struct runtime *r, struct str text, struct tokens *out);

#endif
