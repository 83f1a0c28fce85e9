/* upstream.h -- servers that answer requests for us: what the configuration says of each.
 *
 * Why: an inference server (vLLM, llama-server, SGLang, ...) or Google's API is a place with a
 * dialect, a credential and limits that hold for all jobs and models that use it.
 *
 * Shape:   constant descriptions; what is known of a running one is upstream_site.h.
 * Threads: constant after start.
 */
#ifndef TRANCHE_PREDICT_UPSTREAM_H
#define TRANCHE_PREDICT_UPSTREAM_H

#include <stdbool.h>
#include <stdint.h>

#include "format/job/price.h"
#include "net/client/credential.h"

#define UPSTREAM_NAME_BYTES 64
#define UPSTREAMS_MAX 64 /* of one configuration */
#define UPSTREAM_HEADERS_MAX 32
#define UPSTREAM_CONCURRENCY_MAX 4096
#define UPSTREAM_CONCURRENCY_DEFAULT 1024 /* the most, when nothing is said */
#define UPSTREAM_TIMEOUT_MS 600000        /* of one attempt */
#define UPSTREAM_IDLE_MS 300000           /* without a byte */
#define UPSTREAM_PATIENCE_MS 900000       /* one that answers nothing for so long is given up */

enum upstream_wire { WIRE_OPENAI, WIRE_GEMINI };

struct upstream {
    const char *name; /* of the configuration; the host's, when made of --upstream */
    const char *url;  /* base, without a slash at the end: "http://127.0.0.1:8000/v1" */
    enum upstream_wire wire;
    struct credential_spec credential;
    const char *const *header; /* until NULL; or NULL */
    const char *ca_file, *proxy;
    bool http1;
    bool inline_files;        /* files of our object store are sent along, not named */
    uint32_t max_rpm;         /* requests a minute; 0: no limit */
    uint64_t max_tpm;         /* tokens a minute; 0: no limit */
    uint32_t concurrency;     /* 0: found by measuring, up to concurrency_max */
    uint32_t concurrency_max; /* requests at once */
    uint32_t timeout_ms, idle_ms, patience_ms;
};

/* An upstream as one of those that answer a model's name. */
struct model_upstream {
    const struct upstream *upstream;
    const char *model; /* its name there */
    double weight;     /* share of the requests; 0: only when the others cannot */
    bool has_price;
    struct price price; /* with has_price */
};

#endif
