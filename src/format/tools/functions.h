/* functions.h -- the functions that a request declares, and which of them an answer may call.
 *
 * Why: the prompt, the grammar, the parser of answers, other dialects and the check of calls must mean
 * the same functions.
 *
 * Shape:   functions of all tools, in order. AUTO, ANY and VALIDATED may call the functions that are named in
 *          allowedFunctionNames, or all of them when that is empty; NONE calls none.
 * Threads: none; an iterator belongs to its owner.
 * Source:  Vertex AI REST reference, Tool, FunctionDeclaration, FunctionCallingConfig.
 */
#ifndef TRANCHE_FORMAT_TOOLS_FUNCTIONS_H
#define TRANCHE_FORMAT_TOOLS_FUNCTIONS_H

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "format/request/fields.h"
#include "format/request/request.h"
#include "format/schema/schema.h"

#define FUNCTIONS_ALLOWED_MAX 512 /* names in allowedFunctionNames that are looked at */

struct function {
    yyjson_val *object; /* the declaration */
    struct str name, description;
    yyjson_val *schema; /* of its arguments, or NULL: any */
    enum schema_dialect dialect;
    const char *member; /* of the declaration, that holds the schema */
    size_t tool, index; /* tools[tool].functionDeclarations[index] */
};

/* The description of a function for a model, with the schema of its result when the declaration has one: no template and
 * no other dialect has a place for that. In the arena, or the request's own. */
struct str function_description(const struct function *f, struct arena *a);

struct functions {
    struct values tools, functions;
};
struct functions functions_of(const struct request *r);
bool functions_next(struct functions *it, struct function *out); /* false after the last */

enum calling { CALLING_AUTO, CALLING_ANY, CALLING_NONE, CALLING_VALIDATED };
struct function_choice {
    enum calling calling;
    yyjson_val *allowed; /* allowedFunctionNames, or NULL: all */
    uint32_t declared;   /* functions */
    uint32_t count;      /* of them: those that are allowed, whatever calling says */
};
struct function_choice function_choice_of(const struct request *r);
bool function_allowed(const struct function_choice *c, struct str name);
/* Finds a function that is declared and allowed. */
bool function_find(const struct request *r, struct str name, struct function *out);

#endif
