/* call_format.h -- the ways in which models take functions and write calls.
 *
 * Why: each family of models has its own format, and a request must not know of it. The format is found
 * from the chat template. Templates of two families have no place for functions, though the models were
 * trained to call them: for these the declarations, calls and responses are written here.
 *
 * Formats: hermes  <tool_call>\n{"name": "f", "arguments": {...}}\n</tool_call>, one after the other: Hermes,
 *                  Qwen 2.5, Qwen 3 and others with ChatML; the template writes it
 *          smollm2 <tool_call>[{"name": "f", "arguments": {...}}, ...]</tool_call>: SmolLM2; written here
 *          llama3  {"name": "f", "parameters": {...}}: Llama 3.1, 3.2, 3.3; the template writes it
 *          gemma   [{"name": "f", "parameters": {...}}, ...]: Gemma 2 and 3; written here
 * Threads: none; pure functions.
 * Source:  the models' cards and templates: NousResearch/Hermes-3-Llama-3.1-8B, Qwen/Qwen3-0.6B,
 *          HuggingFaceTB/SmolLM2-1.7B-Instruct (instructions_function_calling.md),
 *          meta-llama/Llama-3.2-3B-Instruct; https://ai.google.dev/gemma/docs/capabilities/function-calling.
 */
#ifndef TRANCHE_FORMAT_TOOLS_CALL_FORMAT_H
#define TRANCHE_FORMAT_TOOLS_CALL_FORMAT_H

#include <stdbool.h>

#include "base/str.h"

#define CALLS_MAX 128          /* calls in one answer */
#define CALLS_FORCED_MAX 16    /* of them: where a grammar makes the calls */
#define CALL_ARGS_DEPTH_MAX 48 /* of a call's arguments: rows can be read again */

/* AUTO is a setting only: the format that the chat template shows. */
enum call_format { CALLS_AUTO, CALLS_NONE, CALLS_HERMES, CALLS_SMOLLM2, CALLS_LLAMA3, CALLS_GEMMA };

struct call_style {
    enum call_format format;
    bool in_template; /* the chat template writes declarations, calls and responses */
};

const char *call_format_name(enum call_format f); /* "hermes" */

/* The style of a model. chat_template is the template's text; shows_functions: a rendering with a function
 * shows it; set: the operator's choice, or AUTO. */
struct call_style call_style_of(struct str chat_template, bool shows_functions,
                                enum call_format set);

/* The text that begins a call. */
struct call_marker {
    struct str text;
    bool first; /* it begins one only at the beginning of an answer, after white space */
};
struct call_marker call_marker_of(enum call_format f);
/* One past the marker in an answer that begins a call, or 0. *open: more text may still begin one. */
size_t call_begins(enum call_format f, struct str answer, bool *open);

/* The name of the member that holds a call's arguments. */
const char *call_arguments_key(enum call_format f);

/* ---- Texts of formats that no template writes: SMOLLM2 and GEMMA ---- */

/* The part of the system message that declares the functions. functions: a JSON array of declarations. */
void call_system_write(enum call_format f, struct str functions, struct buf *out);

/* A call or a response, as JSON; the first of a turn begins it, the last ends it. */
struct call_text {
    struct str name;
    struct str json; /* arguments, or what the function gave */
    bool first, last;
};
void call_write(enum call_format f, const struct call_text *c, struct buf *out);
void call_response_write(const struct call_text *r, struct buf *out);

#endif
