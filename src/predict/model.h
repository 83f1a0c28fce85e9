/* model.h -- names of models, and what the configuration says answers each: a file, upstreams, a fake.
 *
 * Why: a request names "gemini-2.5-flash" or a tuned model's resource; the configuration decides what
 * answers it. The first entry whose pattern matches is taken.
 *
 * Shape:   a list of entries; built-in ones stand behind the configured ones. The short name is
 *          matched: "publishers/google/models/X" and "models/X" give X, an "@version" is cut.
 * Errors:  NOT_FOUND with the names that exist.
 * Threads: constant after start.
 */
#ifndef TRANCHE_PREDICT_MODEL_H
#define TRANCHE_PREDICT_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "format/job/price.h"
#include "format/tools/call_format.h"
#include "net/client/credential.h"

#define MODEL_NAME_BYTES 256
#define MODEL_ADAPTERS_MAX 8
#define MODEL_UPSTREAMS_MAX 8
#define FAKE_FAULTS_MAX 32
#define FAKE_REPLIES_MAX 256

#define UPSTREAM_NAME_BYTES 64
#define UPSTREAMS_MAX 64 /* of one configuration */
#define UPSTREAM_HEADERS_MAX 32
#define UPSTREAM_CONCURRENCY_MAX 4096
#define UPSTREAM_CONCURRENCY_DEFAULT 1024 /* concurrency_max, unless set */
#define UPSTREAM_TIMEOUT_MS 600000        /* of one attempt */
#define UPSTREAM_IDLE_MS 300000           /* without a byte */
#define UPSTREAM_PATIENCE_MS 300000       /* a server that fails for this long is given up */

enum upstream_wire { WIRE_OPENAI, WIRE_GEMINI };

/* A server that answers requests for us (vLLM, llama-server, SGLang, Google's API, ...): its address,
 * dialect, credential, and limits that hold for all jobs and models that use it. */
struct upstream {
    const char *name; /* from the configuration; with --upstream, the URL's host and port */
    const char *url;  /* base, without a slash at the end: "http://127.0.0.1:8000/v1" */
    enum upstream_wire wire;
    struct credential_spec credential;
    const char *const *header; /* until NULL; or NULL */
    const char *ca_file, *proxy;
    bool http1;
    bool max_completion_tokens; /* instead of max_tokens; else learnt from the refusal (OpenAI) */
    bool inline_files;          /* send the files of our object store as data, not by name */
    uint32_t max_rpm;           /* requests a minute; 0: no limit */
    uint64_t max_tpm;           /* tokens a minute; 0: no limit */
    uint32_t concurrency;       /* requests in flight; 0: found by measuring, up to the maximum */
    uint32_t concurrency_max;
    uint32_t timeout_ms, idle_ms, patience_ms;
};

/* One of the upstreams that answer a model's name. */
struct model_upstream {
    const struct upstream *upstream;
    const char *model; /* the name of the model at the upstream */
    double weight;     /* share of the requests; 0: only when the others cannot: see route.h */
    bool has_price;
    struct price price; /* with has_price */
};

/* REMOTE_BATCH: whole jobs go to Google's own batch service; it answers no single request. */
enum model_kind { MODEL_LOCAL, MODEL_FAKE, MODEL_UPSTREAM, MODEL_REMOTE_BATCH };

struct adapter {
    const char *file; /* LoRA as GGUF */
    float scale;
    int fd; /* the opened file, for a process that may open none; 0: by name */
};
/* All adapters of a tuned model; their changes add up. */
struct adapter_list {
    struct adapter item[MODEL_ADAPTERS_MAX];
    uint32_t count;
};

/* One scripted fault: a request that it matches fails with code. */
struct fake_fault {
    const char *match; /* substring of the last user text; NULL: any request */
    uint32_t every;    /* each every-th matching request; 0 and 1: each */
    uint32_t times;    /* attempts of one request that fail; 0: all */
    double rate;       /* share of matching attempts, by the seed; 0: not used */
    enum error_code code;
    const char *message; /* NULL: a default text */
    uint32_t retry_after_ms;
    bool hang; /* no answer ever comes (until close) */
};

/* A scripted answer to each request with this text. */
struct fake_reply {
    const char *match; /* substring of the last user text; NULL: any request */
    const char *text;
};

struct fake_script {
    uint32_t delay_ms;       /* from submit to answer */
    uint32_t jitter_ms;      /* up to this much more, by the seed */
    uint32_t delay_token_us; /* more for each token of the answer */
    uint32_t window;         /* 0: default */
    struct fake_fault fault[FAKE_FAULTS_MAX];
    uint32_t fault_count;
    const struct fake_reply *reply; /* reply_count of them: the first that matches answers */
    uint32_t reply_count;
};

struct model {
    const char *pattern; /* glob over the short name */
    enum model_kind kind;
    const char *base;      /* of a tuned model: the one whose engine it shares; else NULL */
    const char *about;     /* one line for `tranche models` */
    const char *file;      /* GGUF; NULL for what is not local */
    int64_t file_time_ns;  /* of its last change, when the configuration was read; 0: not known */
    const char *projector; /* GGUF of its encoder of images and sounds; NULL: text only */
    uint32_t context;      /* tokens of one request, prompt and answer; 0: the model's own */
    uint32_t sequences;    /* at once; 0: by the number of cores */
    uint32_t threads;      /* 0: all cores */
    uint32_t cache_mib;    /* key-value cache; 0: from the model's shape */
    bool plain;            /* computed by libllama also where the native runtime could */
    bool in_process;       /* computed in this process: a crash of the model is one of tranche */
    const char *chat_template; /* file of a template instead of the model's own; NULL: its own */
    enum call_format call_format;
    struct adapter_list adapters;
    bool has_price;
    struct price price; /* with has_price; else the published price of the name, else free */
    struct fake_script fake;
    struct model_upstream upstream[MODEL_UPSTREAMS_MAX]; /* of upstream and remote-batch models */
    uint32_t upstream_count;
    uint32_t spill_after_ms; /* a request that waited so long may go to a weight of 0; 0: never */
    const char *staging;     /* of remote-batch on Vertex: "gs://bucket/prefix" for its files */
    uint32_t poll_ms;        /* of remote-batch: how often the job is looked at */
};

struct models {
    const struct model *item;
    uint32_t count;
    char names[512]; /* for error messages: "a, b, c" */
};

/* The last step of a resource name or path, cut at "@"; empty when it is MODEL_NAME_BYTES or longer. */
void model_short_name(const char *name, char out[MODEL_NAME_BYTES]);
/* The name that a tuned model or endpoint of the project may have, when a request writes `name`: of
 * "projects/PROJECT/locations/L/models/NAME@version", ".../endpoints/NAME", "tunedModels/NAME" or NAME.
 * False for a published model, or one of another project. */
bool model_tuned_name(const char *name, const char *project, char out[MODEL_NAME_BYTES]);
/* Does the configuration give this name itself, and not by a pattern for all names? */
bool model_is_configured(const struct models *all, const char *name);
const struct model *model_find(const struct models *all, const char *name, struct error *e);
/* UNIMPLEMENTED for one that only takes whole jobs. */
int model_takes_requests(const struct model *m, struct error *e) FALLIBLE;
const char *model_kind_name(enum model_kind kind); /* "local", "remote-batch" */
/* A copy on the heap, with the names of its files; NULL when there are no files. */
struct adapter_list *adapters_copy(const struct adapter_list *from);
/* Can one session answer both? They are computed by the same base in the same way, and differ in their
 * adapters at most: all else that a session reads of a model is compared. */
bool model_shares_engine(const struct model *a, const struct model *b);
/* Do its requests name their adapters, so that tuned models share its session? */
bool model_adapts(const struct model *m);
/* The price of a model's i-th upstream: its own, the model's, or Google's published one;
 * false when none is known. */
bool model_upstream_price(const struct model *m, uint32_t i, struct price *out);
/* The price of this name under this model: its own, the published one, or zero. */
struct price model_price(const struct model *m, const char *name);

#endif
