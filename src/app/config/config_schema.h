/* config_schema.h -- the configuration file as a table, and what it holds before it is judged.
 *
 * Why: a key's name, type, default and explanation stand once; reading, `tranche help config`, the
 * man page and the test of docs/reference/config.md come from it.
 *
 * Shape:   YAML -> struct file_entry by libcyaml. A pointer is NULL and a number 0 when its key is
 *          not given; where 0 means something the number is a pointer.
 * Errors:  INVALID_ARGUMENT with what is wrong, the place in the file, and the nearest known key.
 * Owns:    the file's tree; config_file_free.
 * Threads: none.
 */
#ifndef TRANCHE_APP_CONFIG_CONFIG_SCHEMA_H
#define TRANCHE_APP_CONFIG_CONFIG_SCHEMA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/error.h"
#include "base/str.h"

#define CONFIG_BYTES_MAX ((size_t)1024 * 1024)
#define CONFIG_MODELS_MAX 256
#define CONFIG_TEXT_BYTES_MAX 4096
#define CONFIG_WEBHOOK_ALLOW_MAX 256
#define CONFIG_HEADERS_MAX 32

struct fault_entry {
    char *match, *code, *message;
    uint32_t every, times, retry_after_ms;
    double rate;
    bool hang;
};
struct fake_entry {
    uint32_t delay_ms, jitter_ms, delay_token_us, window;
    struct fault_entry *faults;
    uint32_t faults_count;
};
struct adapter_entry {
    char *file;
    double *scale;
};
struct price_entry {
    double input, output, *cached;
};
struct upstream_entry {
    char *name, *url, *dialect, *key_env, *key_file, *service_account, *ca_file, *proxy;
    char **headers;
    uint32_t headers_count;
    bool http1;
    bool *inline_files;
    uint32_t max_rpm, concurrency, concurrency_max;
    uint64_t *max_tpm;
    uint32_t *timeout_ms, *idle_ms, *patience_ms;
};
struct place_entry {
    char *upstream, *model;
    double *weight;
    struct price_entry *price;
};
struct model_entry {
    char *name, *kind, *file, *about, *engine, *staging;
    uint32_t context, sequences, threads, cache_mib, spill_after_ms, poll_ms;
    struct place_entry *upstreams;
    uint32_t upstreams_count;
    struct adapter_entry *adapters;
    uint32_t adapters_count;
    struct price_entry *price;
    struct fake_entry *fake;
};
struct limits_entry {
    uint64_t *lines_max;
    uint32_t *drain_ms;
};
struct retry_entry {
    uint32_t *attempts, *base_ms, *cap_ms;
    double *ratio;
};
struct weight_entry {
    char *project;
    double weight;
};
struct service_entry {
    char *listen, *public_url, *tls_cert, *tls_key, *default_project, *expired_as;
    uint64_t *lines_max, *input_bytes_max;
    uint32_t *queue_hours, *run_hours, *paused_hours, *file_hours;
    uint32_t *running_jobs_max, *queued_jobs_max, *in_flight_max, *connections_max;
    uint32_t *online_deadline_ms;
    char **webhook_allow;
    uint32_t webhook_allow_count;
    struct weight_entry *weights;
    uint32_t weights_count;
};
struct file_entry {
    char *default_model;
    struct limits_entry *limits;
    struct retry_entry *retry;
    struct upstream_entry *upstreams;
    uint32_t upstreams_count;
    struct model_entry *models;
    uint32_t models_count;
    struct fake_entry *fake;
    struct service_entry *service;
};

/* path is for messages. text must be UTF-8 YAML; empty text gives an empty configuration. */
struct file_entry *config_file_parse(const char *path, struct str text, struct error *e);
void config_file_free(struct file_entry *f); /* accepts NULL */

/* One key of the file, for help: "models[].price.input". */
enum config_kind {
    CONFIG_OTHER,
    CONFIG_COUNT, /* a whole number of 32 bits */
    CONFIG_BIG,   /* of 64 bits */
    CONFIG_NUMBER /* with a fraction or not */
};
struct config_key {
    const char *section, *name, *value, *about;
    enum config_kind kind;
};
bool config_key_at(uint32_t i, struct config_key *out); /* false after the last */

/* What libcyaml would take as a number though it is none ("8k", "-1"), found beforehand: -1 with the
 * place and the key. What is wrong otherwise is left to config_file_parse. */
int config_numbers_check(const char *path, struct str text, struct error *e) FALLIBLE;

#endif
