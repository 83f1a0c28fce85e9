/* config.h -- the configuration file and the environment: models, prices, fakes, defaults.
 *
 * Why: what answers a model name, and at what price, is the operator's to say; a program without
 * any configuration must still work.
 *
 * Shape:   YAML, read by a schema table (config_schema.h); unknown keys are errors with their line.
 *          Looked for at --config, then $TRANCHE_CONFIG, then $XDG_CONFIG_HOME/tranche/config.yaml
 *          (when it exists). Built-in models stand behind the configured ones: tranche-fake (echo),
 *          smollm2-135m-instruct, gemma-3-270m-it, and "gemini-*" (the default embedded model).
 *          Relative files in it are relative to its folder.
 * Errors:  INVALID_ARGUMENT naming file, place, key and remedy; NOT_FOUND and the like of reading.
 * Threads: constant after config_load.
 * Owns:    all strings of the models it holds.
 */
#ifndef TRANCHE_APP_CONFIG_CONFIG_H
#define TRANCHE_APP_CONFIG_CONFIG_H

#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/lines/retry.h"
#include "engine/service/service.h"
#include "predict/model.h"

#define DEFAULT_MODEL "smollm2-135m-instruct"

/* What `tranche serve` takes from the file; defaults where it says nothing. */
struct config_service {
    const char *listen;               /* "127.0.0.1:8080" */
    const char *public_url;           /* or NULL */
    const char *tls_cert, *tls_key;   /* both or none */
    const char *default_project;      /* "default" */
    const char *const *webhook_allow; /* until NULL; or NULL */
    enum job_state expired_as;
    uint32_t connections_max; /* 0: the server's default */
    struct service_settings settings;
};

struct file_entry;
struct model_entry;
struct price_entry;
struct config {
    struct models models;
    struct upstream *upstream; /* upstream_count of them, by the file */
    uint32_t upstream_count;
    const char *default_model; /* what `run` uses without --model */
    uint64_t lines_max;        /* of one job; 0: no limit */
    struct retry_rules retry;
    uint32_t drain_ms;
    struct config_service service;
    const char *path; /* NULL: no file was read */
    struct file_entry *file;
    struct model *model; /* models.item, while it is made */
    struct arena arena;  /* what is neither in the file nor constant */
};
/* path: --config, or NULL. */
int config_load(const char *path, struct config *out, struct error *e) FALLIBLE;
void config_release(struct config *c); /* accepts a zeroed one */

/* A part of config_load: out->service. */
int config_service_load(struct config *c, struct error *e) FALLIBLE;
/* A file that the configuration names, relative to its folder; in its arena. */
const char *config_beside(struct config *c, const char *file);

/* Parts of config_load: out->upstream, and what a model of this entry is answered by. */
int config_upstreams_load(struct config *c, struct error *e) FALLIBLE;
int config_places(struct config *c, const struct model_entry *in, struct model *m,
                  struct error *e) FALLIBLE;
int config_price(const struct price_entry *in, struct price *out, struct error *e) FALLIBLE;

/* A model without any configuration: --upstream and what goes with it. The key comes from the
 * environment (UPSTREAM_KEY_VARIABLE). */
#define UPSTREAM_KEY_VARIABLE "TRANCHE_UPSTREAM_KEY"
struct upstream_wish {
    const char *url, *dialect, *model; /* dialect: NULL: by the URL */
    uint32_t max_rpm;                  /* 0: no limit */
    uint64_t max_tpm;
};
const struct model *config_upstream_model(struct config *c, const struct upstream_wish *w,
                                          struct error *e);

/* Everything of a model and the settings that can change an answer, as text: part of a job's key.
 * A model file counts with its size and time. */
void config_fingerprint(const struct config *c, const struct model *m, struct buf *out);
/* Whether the model's file is there; always for a fake. NOT_FOUND says how to get it. */
int config_model_present(const struct model *m, struct error *e) FALLIBLE;

/* $XDG_..._HOME/tranche, or its default below $HOME, in the arena. NULL when neither is set. */
const char *config_xdg(struct arena *a, const char *variable, const char *below_home);

/* The variables that are read, for help: false after the last. */
bool config_variable_at(uint32_t i, const char **name, const char **about);

#endif
