/* request.h -- one input line as a request to generate or to embed: validated whole, then typed.
 *
 * Why: everything behind this file may trust a request: roles, types, enums, ranges and limits are
 * checked here, once, by tables, for every dialect. The text as written is kept for the echo.
 *
 * In:      {"request": {...}, "any": "sibling keys"} or a bare request object. camelCase and
 *          snake_case names at every level; one object or string where a list is expected; an enum's
 *          name in either case, or its number. The request may be a string that holds the object, as a
 *          table's export has it. A request with "content" and no member of a GenerateContentRequest is
 *          one to embed; as a line by itself its content may be a string, which makes it an instance, the older
 *          form of Vertex AI's embedding models: {"content": "...", "task_type": "...", "title": "..."}.
 * Out:     struct request in the line's arena, or the list of all that is wrong; of a line that can
 *          run, perhaps warnings: settings that stand beside the request have no effect.
 * Errors:  violations only; this never fails otherwise.
 * Threads: none; all memory is the arena's.
 * Source:  docs/reference/request.md; Vertex AI REST reference, GenerateContentRequest,
 *          EmbedContentRequest; "Get batch embeddings inferences".
 */
#ifndef TRANCHE_FORMAT_REQUEST_REQUEST_H
#define TRANCHE_FORMAT_REQUEST_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/str.h"
#include "format/request/violation.h"

/* Named limits of one request; docs/reference/limits.md lists them. */
#define SCHEMA_PROPERTIES_MAX                                                                      \
    1000 /* of one object of a schema; its ordering and required names, too */
#define REQUEST_CONTENTS_MAX 10000
#define REQUEST_PARTS_MAX 10000 /* in one content */
#define REQUEST_STOP_SEQUENCES_MAX 16
#define REQUEST_STOP_BYTES_MAX 256
#define REQUEST_CANDIDATES_MAX 8
#define REQUEST_LOGPROBS_MAX 20
#define REQUEST_LABELS_MAX 64
#define REQUEST_FUNCTIONS_MAX 512
#define EMBEDDING_DIMENSIONS_MAX 65536

enum role { ROLE_USER, ROLE_MODEL, ROLE_FUNCTION };

enum part_kind {
    PART_TEXT,
    PART_INLINE_DATA,
    PART_FILE_DATA,
    PART_FUNCTION_CALL,
    PART_FUNCTION_RESPONSE,
    PART_EXECUTABLE_CODE,
    PART_CODE_RESULT,
};

struct part {
    enum part_kind kind;
    bool thought;    /* a thought of an earlier turn: not shown to the model again */
    struct str text; /* PART_TEXT */
    struct str mime; /* inline and file data; empty: a file whose type the request does not say */
    struct str uri;  /* file data */
    struct str data; /* inline data, base64 as written */
    yyjson_val *object; /* the part's data member, for calls, responses and code */
};

struct content {
    enum role role;
    struct part *part;
    uint32_t part_count;
};

/* The constraint on the answer's text. */
enum answer_form { ANSWER_TEXT, ANSWER_JSON, ANSWER_ENUM };

struct generation {
    double temperature; /* meaningful when has_temperature, and so on */
    double top_p, presence_penalty, frequency_penalty;
    int32_t top_k;
    int64_t seed;
    uint32_t max_output_tokens; /* 0: not given */
    uint32_t candidate_count;   /* 1 when not given */
    uint32_t logprobs;          /* top candidates wanted a token; 0: only the chosen */
    bool has_temperature, has_top_p, has_top_k, has_seed, response_logprobs;
    struct str *stop; /* stop_count strings */
    uint32_t stop_count;
    enum answer_form form;
    yyjson_val *schema;      /* responseSchema (Google's dialect), or NULL */
    yyjson_val *json_schema; /* responseJsonSchema or the schema of responseFormat, or NULL */
    const char
        *schema_path; /* of either, from the request: "generationConfig.responseSchema"; or NULL */
    const char
        *media_path;      /* of the first member that asks for an answer that is not text, from the
                              * request: "generationConfig.responseModalities[1]"; or NULL */
    yyjson_val *thinking; /* thinkingConfig, or NULL */
};

/* Gives the contents of files that a request names (gs://); set by the caller that runs it. */
struct file_source {
    /* Appends the file's bytes; RESOURCE_EXHAUSTED when it has more than bytes_max. Any thread. */
    int (*read)(void *arg, struct str uri, size_t bytes_max, struct buf *out, struct error *e);
    void *arg;
    /* A descriptor of the file, for reading anywhere in it. NOT_FOUND for one that is not there or another's;
     * INVALID_ARGUMENT over bytes_max. Any thread. */
    int (*open)(void *arg, struct str uri, uint64_t bytes_max, struct error *e);
};

/* The settings of a request that embeds. */
struct embedding {
    struct str task_type; /* "RETRIEVAL_QUERY"; empty or ..._UNSPECIFIED: any */
    struct str title;
    uint32_t dimensions; /* 0: the model's own */
    bool truncate;       /* a text that is too long is cut */
    bool says_truncate;  /* the request says so, or the opposite */
};

enum request_kind { REQUEST_GENERATE, REQUEST_EMBED };

/* One to embed has its text as its only turn, of the user, and nothing else of a conversation. */
struct trace;
struct request {
    enum request_kind kind;
    struct str text;         /* the request object as written; borrowed from the line */
    yyjson_val *root;        /* the same, parsed */
    struct content *content; /* content_count turns, the oldest first */
    uint32_t content_count;
    const struct content *system; /* or NULL */
    struct generation generation;
    yyjson_val *tools; /* the tools array (or one tool), or NULL */
    yyjson_val *tool_config;
    yyjson_val *labels;
    bool has_media;                  /* any inline or file data */
    const struct file_source *files; /* NULL: files cannot be read */
    bool retried; /* an attempt failed before: another failure says little about the server */
    struct embedding embedding; /* of REQUEST_EMBED */
    const struct trace *trace;  /* that it belongs to, sent on to upstream servers; or NULL */
};

/* A line's sibling keys of "request", as spans of the line. */
struct sibling {
    struct str key;   /* between its quotes, as written */
    struct str value; /* as written */
};
#define LINE_SIBLINGS_MAX 256

struct input_line {
    struct request *request; /* NULL when the line has violations */
    struct str
        request_text; /* as written, the whole line for a bare one; empty for no object. A string
                              * may hold the request: request->text is the object then */
    struct sibling *sibling;
    uint32_t sibling_count;
    struct str key; /* the sibling "key"'s value as written, or empty: names the line in reports */
    bool instance;  /* the whole line is an instance: its row has another form */
};

enum line_kinds { LINES_ANY, LINES_GENERATE, LINES_EMBED };
/* The kind of input that a line is read from. */
struct line_rules {
    bool from_output; /* an output row: its own status, processed_time and response are left out */
    bool strict;      /* warnings are violations */
    bool online;      /* a call's request: an instance is none */
    enum line_kinds kinds; /* requests that the job takes */
    /* A line is a row of this sheet, which the engine makes a request; or NULL. */
    const struct sheet *sheet;
};

/* Reads one line. text must stay until the arena is done with. Returns true when it can run; bad then has
 * warnings, or nothing. */
bool request_read_line(struct arena *a, struct str text, const struct line_rules *rules,
                       struct input_line *out, struct violations *bad);

/* The spans of a line that is known to be a JSON object: siblings, request_text and key as
 * request_read_line finds them, without a parse. request: where request_read_line found it in this
 * text, which spares crossing it; empty when that is not known. False when only a parse can tell: an
 * output row whose request is a string, which may quote a whole line. */
bool request_line_spans(struct arena *a, struct str text, struct str request,
                        const struct line_rules *rules, struct input_line *out);

/* False, and why, when the request asks for an answer that is not text. For models that write text. */
bool request_wants_text(const struct request *r, struct violation *why);

/* True when the same request must give the same answer: temperature 0, top-k 1, a seed, or an
 * embedding. */
bool request_deterministic(const struct request *r);

/* The content of files that requests name. */
struct file_digests {
    /* A digest of the file's bytes; false: they are not known. Any thread. */
    bool (*digest)(void *arg, struct str uri, uint64_t out[2]);
    void *arg;
};
/* Appends the request in one spelling: requests that differ only in spelling, space or the order of
 * members, or in defaults that are written down, give the same bytes. A file is its content, or with files NULL its
 * URI. False: a file's content is not known. */
bool request_identity(const struct request *r, const struct file_digests *files, struct buf *out);
/* False when the request names a file: its content may change under its name. */
bool request_self_contained(const struct request *r);

/* Finds a field in an object by its camelCase name, also as snake_case. */
yyjson_val *request_field(yyjson_val *object, const char *camel);

#endif
