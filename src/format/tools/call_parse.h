/* call_parse.h -- an answer's text as texts and calls.
 *
 * Why: a model writes calls as text in its own format (call_format.h); a client wants functionCall parts.
 *
 * In:      the text of an answer that has ended, without its thought.
 * Out:     parts in their order: texts that are not white space, and calls with arguments as compact JSON.
 *          Arguments that are a string of JSON are read; a call without arguments has {}. Gemma's calls may stand in
 *          a fenced block. In LLAMA3 and GEMMA an answer is calls only when all of it is.
 * Errors:  a call that is begun and cannot be read: false, with the reason. `cut`: the answer was cut off, so what
 *          cannot be read at its end is the cut, and is left out.
 * Threads: none; all memory is the arena's.
 */
#ifndef TRANCHE_FORMAT_TOOLS_CALL_PARSE_H
#define TRANCHE_FORMAT_TOOLS_CALL_PARSE_H

#include "base/error.h"
#include "base/mem.h"
#include "format/response.h"
#include "format/tools/call_format.h"

struct parsed_parts {
    struct response_part *item; /* count of them */
    uint32_t count, calls;
    bool begun; /* a call: the parts are the answer, even when there are none */
};

bool calls_parse(enum call_format f, struct arena *a, struct str answer, bool cut,
                 struct parsed_parts *out, struct error *why);

/* The arguments of a call as an object: themselves, or what a string of JSON holds; nothing and an empty string
 * are {}. NULL with the reason when they are not an object, or too deep. */
yyjson_val *call_arguments_read(struct arena *a, yyjson_val *arguments, struct error *e);

#endif
