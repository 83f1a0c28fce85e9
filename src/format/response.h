/* response.h -- write a GenerateContentResponse, or the response to a request that embeds.
 *
 * Why: every predictor that computes answers itself (embedded, fake) and every dialect translated
 * to Gemini's writes the same object, with the members that clients look for.
 *
 * Out:     JSON with keys in alphabetical order, as the service writes them. An embedding:
 *          {"embedding":{"values":[...]},"tokenCount":"2","usageMetadata":{...}}, as batches of
 *          embeddings have it, and the counts again as other responses have them, for our counters;
 *          "truncated":true of a text that was cut.
 * Threads: none.
 * Source:  Vertex AI REST reference, GenerateContentResponse; docs/reference/response.md; "Get batch
 *          embeddings inferences"; Gemini API "Batch API", embeddings.
 */
#ifndef TRANCHE_FORMAT_RESPONSE_H
#define TRANCHE_FORMAT_RESPONSE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json_write.h"
#include "base/str.h"
#include "format/usage.h"

#define RESPONSE_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define RESPONSE_ID_BYTES 27 /* 26 characters and a NUL */

enum finish_reason {
    FINISH_STOP,
    FINISH_MAX_TOKENS,
    FINISH_OTHER,
    FINISH_SAFETY,
    FINISH_MALFORMED_CALL, /* a call of a function that cannot be read, or is not allowed */
};

#define TOKEN_ID_NONE INT32_MIN /* the upstream server names no ids: none is written */

struct token_logprob {
    struct str token; /* the token's text */
    int32_t id;
    float logprob; /* natural logarithm of the probability */
};

enum response_part_kind { RESPONSE_TEXT, RESPONSE_THOUGHT, RESPONSE_CALL };
struct response_part {
    enum response_part_kind kind;
    struct str text; /* of a text or a thought */
    struct str name; /* of a call */
    struct str args; /* of a call: a JSON object on one line */
    struct str id;   /* of a call; empty: none is written */
};

struct candidate {
    struct str text;                  /* the only part, when part is NULL */
    const struct response_part *part; /* part_count parts; there may be none */
    uint32_t part_count;
    enum finish_reason finish;
    const char *finish_message; /* more about it; NULL: nothing */
    bool has_avg_logprob;
    double avg_logprob;
    uint32_t token_count;
    const struct token_logprob *chosen; /* chosen_count, or NULL when not asked for */
    uint32_t chosen_count;
    const struct token_logprob *top; /* a row for each chosen token, the likeliest first */
    uint32_t top_count;              /* in each row */
    const uint32_t *top_counts;      /* when not NULL: the count of each row instead */
};

struct response {
    const struct candidate *candidate;
    uint32_t candidate_count;
    const char *block_reason; /* of a blocked prompt, which has no candidate; else NULL */
    struct usage usage;
    uint32_t image_tokens, video_tokens,
        audio_tokens;         /* of usage's prompt_tokens; the rest is text */
    struct str model_version; /* the model that answered */
    const char *response_id;
    int64_t create_time_us;
};

void response_write(const struct response *r, struct buf *out);
/* The member usageMetadata of an embedding, or of several: the tokens of all texts. */
void embedding_usage_write(uint32_t tokens, struct json_writer *w);
/* values is a JSON array of numbers on one line; truncated: the text was cut before it was embedded. */
void embedding_write(struct str values, const struct usage *usage, bool truncated, struct buf *out);

/* A response id: 26 characters of [0-9A-Za-z] from 128 bits. */
void response_id_format(uint64_t high, uint64_t low, char id[RESPONSE_ID_BYTES]);

#endif
