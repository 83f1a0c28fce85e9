/* runtime.h -- the interface between the batcher and a language model that computes packed batches.
 *
 * Why: the batcher (continuous batching, prefixes, sampling, stopping) stays; the code that multiplies
 *      matrices can change. runtime_native computes by itself, runtime_llama by libllama.
 *      tests/conform/predict/local/runtime_suite.h runs against every kind.
 *
 * Shape:   a batch is `count` rows (sequence, position, token), rows of one sequence together and in
 *          order of position, positions without holes after what the cache holds. A row that wants
 *          logits gives `vocab` floats.
 * Media:   a row of an image, a frame or a sound has an embedding instead of a token of the vocabulary. A
 *          forward has rows of one kind only: tokens, or media, and with media that attend to each other
 *          both ways nothing but one whole chunk.
 * Cache:   cells hold one (position, token) for one or more sequences. copy shares the cells of
 *          [0, len) with another sequence, which must be empty; cells are freed when no sequence
 *          holds them.
 * Adapters: rows of several adapters may be in one batch, unless info says `adapters_apart`.
 * Errors:  RESOURCE_EXHAUSTED from forward: no room in the cache, nothing was changed. INTERNAL: the
 *          runtime is broken and only close may follow.
 * Threads: one thread owns a runtime, the batcher's. info, prompt, piece, is_end and
 *          tokenize are also safe from other threads, as they only read.
 */
#ifndef TRANCHE_PREDICT_LOCAL_RUNTIME_H
#define TRANCHE_PREDICT_LOCAL_RUNTIME_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"
#include "format/tools/call_format.h"
#include "format/tools/thinking.h"
#include "predict/model.h"
#include "predict/local/media_rows.h"
#include "predict/local/tokens.h"
#include "predict/media/media.h"

/* Maximum number of sequences of a runtime: ids are kept in sets of this size. */
#define RUNTIME_SEQUENCES_MAX 256
/* Ids of an embedded runtime beyond the computing ones, for kept prefixes. */
#define RUNTIME_SEQUENCES_KEPT 16

/* Maximum number of adapters that a runtime holds at once. */
#define RUNTIME_ADAPTERS_MAX 64

struct media_limits;
struct runtime_info {
    uint32_t vocab;                /* tokens in the vocabulary */
    uint32_t context_max;          /* tokens of one sequence, prompt and answer */
    uint32_t cells;                /* of the cache: tokens that it holds */
    uint32_t sequences;            /* ids are 0 .. sequences - 1 */
    uint32_t rows_max;             /* of one forward */
    bool adapters_apart;           /* all rows of a batch must have the same adapter */
    bool shares;                   /* copy and a trim to a part work: false for recurrent models */
    uint64_t memory_bytes;         /* weights and cache */
    struct call_style calls;       /* how the model takes functions and calls them */
    struct thinking_tags thinking; /* around its thoughts */
    const int32_t *thought_end;    /* [thought_end_count]: the tokens that end a thought */
    uint32_t thought_end_count;
    bool sees, hears;                  /* encode takes images, and sounds */
    uint32_t sample_rate;              /* of sounds, in Hz */
    uint32_t media_width;              /* of an embedding */
    const struct media_limits *limits; /* of requests with media, where encode is there */
    char name[96]; /* of the model, from its file: "smollm2-135m-instruct-q8_0" */
};

struct runtime_row {
    int32_t token; /* below 0: a row of media, by the id of its content */
    uint32_t sequence, position;
    bool logits;      /* true: make logits of this row */
    uint32_t adapter; /* that its sequence is computed with, as adapt has it; 0: the model alone */
    const float *embedding; /* of a row of media, [media_width]; else NULL */
    bool whole;             /* of media: the rows of this forward attend to each other both ways */
    /* RoPE turns by position + shift: images may take fewer positions than rows. */
    int32_t shift;
    uint32_t x, y; /* of media: their positions in two dimensions, where the model has them */
};

struct chat_call {
    struct str name;
    struct str args; /* a JSON object */
    struct str id;   /* empty: it has none */
};
/* Stands in a message's text for each of its media, in their order. */
#define CHAT_MEDIA_MARK "<__tranche_media__>"

struct chat_message {
    struct str role;              /* "system", "user", "assistant", "tool" */
    struct str text;              /* of a tool: what the function gave, as JSON */
    const struct chat_call *call; /* call_count of them, of the assistant */
    uint32_t call_count;
    uint32_t media_count; /* marks in the text */
    struct str name,
        id; /* of a tool's message: the function, and the id of the call that it answers */
};
struct chat_function {
    struct str name, description;
    struct str parameters; /* a JSON Schema */
};
/* Calls and functions are there only when the template writes them (call_style.in_template). */
struct chat {
    const struct chat_message *message; /* message_count of them */
    uint32_t message_count;
    const struct chat_function *function; /* function_count of them */
    uint32_t function_count;
    enum thinking thinking;
};

/* The two facts of a row of logits that nearly every choice of a token needs. */
struct logits_summary {
    uint32_t largest; /* of equal ones the first */
    float log_sum;    /* logit - this is the natural logarithm of a probability */
};

/* Settings of a runtime; 0 leaves one to the runtime. */
struct runtime_settings {
    uint32_t sequences; /* that compute at once; RUNTIME_SEQUENCES_KEPT more keep prefixes */
    uint32_t rows_max, threads, context;
    uint32_t cache_mib; /* key-value cache */
    int weights_fd;     /* memory for packed weights that outlives this process; 0: none */
};

struct runtime;
struct runtime_ops {
    const char *name;
    void (*info)(struct runtime *r, struct runtime_info *out);
    /* The prompt of a conversation by the model's own template, ready for the model's answer. A message
     * that spells a control token stays text. *thinks: the answer begins within a thought. The n-th mark
     * of media becomes the token -1 - n. */
    int (*prompt)(struct runtime *r, const struct chat *chat, struct tokens *out, bool *thinks,
                  struct error *e) FALLIBLE;
    /* A label and an image, a frame or a sound, as chunks at the end of out. NULL: the runtime takes none. Any one
     * thread beside the owner. INVALID_ARGUMENT for media that the model cannot take. */
    int (*encode)(struct runtime *r, const struct media_piece *piece, const char *label,
                  struct media_rows *out, struct error *e) FALLIBLE;
    /* The bytes of a token (part of a character perhaps); control tokens give none. The first token
     * of an answer loses the space that some tokenizers put before every word. */
    void (*piece)(struct runtime *r, int32_t token, bool first, struct buf *out);
    bool (*is_end)(struct runtime *r, int32_t token); /* ends a turn */
    /* Computes row [count]; logits of the rows that want them can be read until the next forward. */
    int (*forward)(struct runtime *r, const struct runtime_row *row, uint32_t count,
                   struct error *e) FALLIBLE;
    const float *(*logits)(struct runtime *r, uint32_t row); /* [vocab]; row: in the last batch */
    /* The summary of those logits, where the runtime makes it. NULL: it does not. */
    struct logits_summary (*summary)(struct runtime *r, uint32_t row);
    void (*copy)(struct runtime *r, uint32_t from, uint32_t to, uint32_t len);
    void (*trim)(struct runtime *r, uint32_t sequence, uint32_t len); /* drops positions >= len */

    /* The tokens of a text in the middle of an answer, no control tokens among them. False when this
     * tokenizer cannot tell: it puts something in front of every text. */
    bool (*tokenize)(struct runtime *r, struct str text, struct tokens *out);

    /* Loads adapters as number id (not 0), which rows may then name. Safe from another thread beside
     * everything but itself and unadapt. FAILED_PRECONDITION and UNIMPLEMENTED: they cannot be used
     * with this model. NULL ops: no adapters. */
    int (*adapt)(struct runtime *r, uint32_t id, const struct adapter_list *files,
                 struct error *e) FALLIBLE;
    void (*unadapt)(struct runtime *r, uint32_t id); /* no row names it any more */

    void (*close)(struct runtime *r);
};
struct runtime {
    const struct runtime_ops *ops;
};

typedef struct runtime *(*runtime_open_fn)(const struct model *m,
                                           const struct runtime_settings *settings,
                                           struct error *e);

#endif
