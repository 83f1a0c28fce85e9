/* openai_inner.h -- what the files of the OpenAI dialect share: media, calls and their ids, tools.
 *
 * Why: what openai_accepts lets pass and what openai_request_write writes must be the same, so both
 * ask these. A function ..._add writes members or a value of the body at the writer's place.
 *
 * Threads: none.
 */
#ifndef TRANCHE_FORMAT_OPENAI_OPENAI_INNER_H
#define TRANCHE_FORMAT_OPENAI_OPENAI_INNER_H

#include "base/json.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "format/openai/openai.h"
#include "format/request/fields.h"
#include "format/response.h"
#include "format/tools/functions.h"

/* ---- Media: media.c ---- */

enum openai_media { MEDIA_NONE, MEDIA_IMAGE, MEDIA_AUDIO, MEDIA_VIDEO, MEDIA_DOCUMENT };
struct openai_mime {
    struct str type; /* as written, without parameters */
    enum openai_media media;
    const char *format; /* of audio: "wav" or "mp3" */
};
struct openai_mime openai_mime_of(struct str written);
bool openai_is_web(struct str uri); /* the server can fetch it by itself */
/* The content part of an inline or file part. NOT_FOUND for a file that is not among files. */
int openai_media_add(struct json_writer *w, const struct part *p, const struct file_contents *files,
                     struct error *e) FALLIBLE;

/* ---- Conversation and calls: messages.c ---- */

struct openai_call {
    const struct part *part;
    uint32_t turn, n; /* the n-th call of contents[turn] */
    bool answered;
};
/* The calls of the turns so far; zeroed at the start. */
struct openai_calls {
    struct openai_call *item; /* OPENAI_CALLS_MAX of them, from the first call on */
    uint32_t count;
};

/* NULL when there are OPENAI_CALLS_MAX already. */
const struct openai_call *openai_calls_add(struct openai_calls *c, struct arena *a,
                                           const struct part *call, uint32_t turn);
/* The call that a functionResponse answers: the one with its id, else the first open one with its
 * name; NULL when there is none. */
const struct openai_call *openai_calls_answer(struct openai_calls *c, const struct part *response);
/* "messages":[...]; scratch takes what is needed meanwhile. */
int openai_messages_add(struct json_writer *json, const struct request *r,
                        const struct file_contents *files, struct arena *scratch,
                        struct error *e) FALLIBLE;
/* All texts of a turn as one JSON string. */
void openai_texts_add(struct json_writer *w, const char *key, const struct content *c);

/* ---- Tools: tools.c ---- */

int openai_tools_add(struct json_writer *w, const struct request *r, struct error *e) FALLIBLE;

/* ---- Schemas: schema.c ---- */

/* The schema as JSON Schema: itself, or a translation of Google's, parsed into the arena. -1 for what
 * JSON Schema cannot say. */
int openai_schema_read(struct arena *a, yyjson_val *schema, bool google, yyjson_val **out,
                       struct error *e) FALLIBLE;
/* True when OpenAI's strict mode takes a JSON Schema, as it will be sent. */
bool openai_schema_strict(yyjson_val *schema);
/* A JSON Schema in the words of OpenAI servers. */
void openai_schema_add(struct json_writer *w, const char *key, yyjson_val *schema);

/* ---- Refusals: accepts.c ---- */

/* Fills *why in; false, so that a refusal is one line. */
bool openai_refuse(struct violation *why, const char *message, const char *remedy, const char *path,
                   ...) __attribute__((format(printf, 4, 5)));

/* ---- Answers: response.c ---- */

/* A choice as it is being read. */
struct openai_answer {
    struct arena *arena;
    const struct reply_rules *rules;
    uint64_t text_bytes, thought_bytes; /* generated, over all candidates: estimates count these */
    struct error *e;
};
/* message.c: fills in the parts of c; number is the choice's, for the error. */
int openai_message_read(struct openai_answer *r, yyjson_val *message, uint32_t number,
                        struct candidate *c) FALLIBLE;
/* The server's counts, and an estimate for each that it does not give. */
struct usage openai_usage_read(const struct openai_answer *r, yyjson_val *usage);

/* ---- Requests that embed: embedding.c ---- */

bool openai_embed_accepts(const struct request *r, struct violation *why);
void openai_embed_add(struct json_writer *w, const struct request *r); /* all after the model */
int openai_embed_read(const struct openai_answer *r, yyjson_val *root, struct buf *out,
                      struct usage *usage) FALLIBLE;

#endif
