/* call_grammar.h -- the grammar of answers that call functions.
 *
 * Why: with ANY and VALIDATED a call's arguments must match their schema, so the embedded engine lets no
 * other token come: a wrapper in the model's format around the grammars of the functions' schemas.
 *
 * In:      the functions that a request may call.
 * Out:     Lark text of the calls, from the format's marker to the end of the answer; at most
 *          CALLS_FORCED_MAX calls (LLAMA3: one).
 * Errors:  a fault with the path of the keyword, from the request: "tools[0].functionDeclarations[1]...".
 * Threads: none.
 * Source:  https://github.com/guidance-ai/llguidance/blob/main/docs/syntax.md
 */
#ifndef TRANCHE_FORMAT_TOOLS_CALL_GRAMMAR_H
#define TRANCHE_FORMAT_TOOLS_CALL_GRAMMAR_H

#include "base/mem.h"
#include "format/schema/schema.h"
#include "format/tools/call_format.h"
#include "format/tools/functions.h"

/* Reads the schema of a function's arguments: an object, whatever it says of types. NULL: with the fault, whose path
 * is the request's. The arena takes what the schema refers to. One without a schema takes no arguments. */
struct schema *function_schema_read(const struct function *f, enum schema_use use, struct arena *a,
                                    struct schema_fault *why);

/* The names that objects can fall back on, which the grammar's text does not have (schema.h). */
struct call_names {
    bool limited;
    struct str *name; /* name_count, in the arena */
    uint32_t count;
};
bool call_grammar_write(const struct request *r, enum call_format f, struct arena *a,
                        struct buf *out, struct call_names *names, struct schema_fault *why);

#endif
