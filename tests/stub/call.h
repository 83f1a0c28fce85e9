/* call.h -- a request as far as the stub understands it: where it goes, and what to repeat of it.
 *
 * Shape:   all strings are slices of the connection's input and live as long as the call does.
 *          Texts are the insides of JSON strings as they were escaped: they are copied, never decoded.
 * Threads: none.
 */
#ifndef TRANCHE_STUB_CALL_H
#define TRANCHE_STUB_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"
#include "fault.h"
#include "http.h"

enum dialect { DIALECT_OPENAI, DIALECT_GEMINI };
enum call_kind {
    CALL_CHAT,
    CALL_EMBED,
    CALL_MODELS,
    CALL_HEALTH,
    CALL_STATS,
    CALL_RESET,
    CALL_FAULTS,
    CALL_UNKNOWN
};

struct call {
    struct http_head head;
    enum call_kind kind;
    enum dialect dialect;
    struct str model; /* of the path; empty when the body names it */
    struct str body;
    uint64_t hash; /* of the body */
    uint32_t attempt;
    enum fault_kind fault;
    uint64_t cached_tokens;
};

/* Sets kind, dialect and model by the path. `dialects` is the option: openai, gemini, both or NULL. */
void call_route(struct call *c, const char *dialects);

/* What a request says, of those parts that the stub repeats or remembers. */
struct prompt {
    struct str text;   /* of the last part of the last user message; of the last input */
    struct str system; /* of the system message; as written, with what stands around it */
};
/* A body that is no JSON gives empty strings. */
void prompt_read(const struct call *c, struct prompt *out);
/* The inputs of a request for embeddings, one after the other; *at is 0 before the first. */
bool input_next(const struct call *c, size_t *at, struct str *input);

#endif
