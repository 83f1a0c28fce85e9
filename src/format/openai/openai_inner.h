/* openai_inner.h -- what the files of the OpenAI dialect share: media, calls and their ids, tools.
 *
 * Why: what openai_accepts lets pass and what openai_request_write writes must be the same, so both
 * ask these.
 *
 * Threads: none.
 */
#ifndef TRANCHE_FORMAT_OPENAI_OPENAI_INNER_H
#define TRANCHE_FORMAT_OPENAI_OPENAI_INNER_H

#include "base/mem.h"
#include "base/json.h"
#include "format/openai/openai.h"
#include "format/request/fields.h"
#include "format/response.h"

/* Appends a literal with the length that the compiler knows. */
#define ADD(out, literal) buf_add((out), "" literal, sizeof(literal) - 1)

/* ---- Media: openai_media.c ---- */

enum openai_media { MEDIA_NONE, MEDIA_IMAGE, MEDIA_AUDIO, MEDIA_VIDEO, MEDIA_DOCUMENT };
struct openai_mime {
    struct str type; /* as written, without parameters */
    enum openai_media media;
    const char *format; /* of audio: "wav" or "mp3" */
};
struct openai_mime openai_mime_of(struct str written);
bool openai_is_web(struct str uri); /* the server can fetch it by itself */
/* The content part of an inline or file part. NOT_FOUND for a file that is not among files. */
int openai_media_write(const struct part *p, const struct openai_files *files, struct buf *out,
                       struct error *e) FALLIBLE;

/* ---- Calls: openai_calls.c ---- */

struct openai_call {
    const struct part *part;
    uint32_t turn, n; /* the n-th call of contents[turn] */
    bool answered;
};
/* Of the turns so far; zeroed at the start. */
struct openai_calls {
    struct openai_call *item; /* OPENAI_CALLS_MAX of them, from the first call on */
    uint32_t count;
};
#define OPENAI_CALL_ID_BYTES 32

/* NULL when there are OPENAI_CALLS_MAX already. */
const struct openai_call *openai_calls_add(struct openai_calls *c, struct arena *a,
                                           const struct part *call, uint32_t turn);
/* The call that a functionResponse answers: the one with its id, else the first open one with its
 * name; NULL when there is none. */
const struct openai_call *openai_calls_answer(struct openai_calls *c, const struct part *response);
/* The call's own id, or one made of its place, for which there is room in made. */
struct str openai_call_id(const struct openai_call *c, char made[OPENAI_CALL_ID_BYTES]);

/* ---- Tools: openai_tools.c ---- */

/* All functions of all tools, in order. */
struct openai_functions {
    struct values tools, functions;
};
struct openai_functions openai_functions_of(const struct request *r);
yyjson_val *openai_functions_next(struct openai_functions *it); /* NULL after the last */

enum openai_calling { CALLING_AUTO, CALLING_ANY, CALLING_NONE, CALLING_VALIDATED };
struct openai_choice {
    enum openai_calling calling;
    yyjson_val *allowed; /* allowedFunctionNames, or NULL: all */
    uint32_t count;      /* functions that may be called */
};
struct openai_choice openai_choice_of(const struct request *r);
int openai_tools_write(const struct request *r, struct buf *out, struct error *e) FALLIBLE;
/* A function's parameters as JSON Schema. */
int openai_parameters_write(yyjson_val *function, struct buf *out, struct error *e) FALLIBLE;

/* ---- Refusals: openai_accepts*.c ---- */

/* A field that no OpenAI server has, and what to do about it. */
struct openai_unsayable {
    const char *field, *remedy;
};
#define REMOVE_OR_GEMINI "Remove it, or use a model of the Gemini API."
#define OPENAI_PLACE_BYTES 96 /* of a path up to a part or a function */

/* Fills *why in; false, so that a refusal is one line. */
bool openai_refuse(struct violation *why, const char *message, const char *remedy, const char *path,
                   ...) __attribute__((format(printf, 4, 5)));
/* None of the fields says anything; path is what holds them, with its dot, or empty. */
bool openai_all_silent(yyjson_val *object, const struct openai_unsayable *u, size_t count,
                       const char *path, struct violation *why);
bool openai_schema_accepts(yyjson_val *schema, bool google, const char *path,
                           struct violation *why);
bool openai_tools_accept(const struct request *r, struct violation *why);
bool openai_contents_accept(const struct request *r, struct violation *why);

/* ---- Answers: openai_response.c and what it asks ---- */

/* A choice as it is being read. */
struct openai_answer {
    struct arena *arena;
    const struct openai_reply_rules *rules;
    uint64_t text_bytes,
        thought_bytes; /* generated, over all candidates: what counts are made of */
    struct error *e;
};
/* Each fills in its members of c; number is the choice's, for the error. */
int openai_message_read(struct openai_answer *r, yyjson_val *message, uint32_t number,
                        struct candidate *c) FALLIBLE;
int openai_logprobs_read(struct openai_answer *r, yyjson_val *choice, uint32_t number,
                         struct candidate *c) FALLIBLE;
/* What the server counted, and an estimate where it did not. */
struct usage openai_usage_read(const struct openai_answer *r, yyjson_val *usage);
/* Whether the server itself says that tokens were generated. */
bool openai_usage_generated(yyjson_val *usage);

/* ---- The rest ---- */

/* "messages":[...]; scratch takes what is needed meanwhile. */
int openai_messages_write(const struct request *r, const struct openai_files *files,
                          struct arena *scratch, struct buf *out, struct error *e) FALLIBLE;
/* All texts of a turn as one JSON string. */
void openai_texts_write(const struct content *c, struct buf *out);
/* Of requests that embed: openai_embedding.c. The body is written from its input on. */
bool openai_embed_accepts(const struct request *r, struct violation *why);
void openai_embed_write(const struct request *r, struct buf *out);
int openai_embed_read(const struct openai_answer *r, yyjson_val *root, struct buf *out,
                      struct usage *usage) FALLIBLE;
/* The schema of an answer or of parameters; google says in which dialect it is. */
int openai_schema_write(yyjson_val *schema, bool google, struct buf *out, struct error *e) FALLIBLE;
/* Whether OpenAI's strict mode takes the schema. */
bool openai_schema_strict(yyjson_val *schema, bool google);

#endif
