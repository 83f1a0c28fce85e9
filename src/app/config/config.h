/* config.h -- the configuration: models, prices, fakes, settings of the service.
 *
 * Why: what answers a model name, and at what price, is the operator's to say; a program without
 * any configuration must still work.
 *
 * Shape:   YAML, read by the table (table.h); unknown keys are errors with their line.
 *          Looked for at --config, then $TRANCHE_CONFIG, then $XDG_CONFIG_HOME/tranche/config.yaml
 *          (when it exists). Built-in models stand behind the configured ones: tranche-fake (echo),
 *          smollm2-135m-instruct, gemma-3-270m-it, all-minilm-l6-v2 with the names of Google's embedding
 *          models, and "gemini-*" (the default embedded model); before them those that were pulled.
 *          Relative files in it are relative to its folder.
 * Errors:  everything that is wrong with the file becomes a finding with its line, field and remedy; the
 *          error of config_load is the first of them (INVALID_ARGUMENT). NOT_FOUND and the like of reading.
 * Threads: constant after config_load.
 * Owns:    all strings of the models it holds.
 */
#ifndef TRANCHE_APP_CONFIG_CONFIG_H
#define TRANCHE_APP_CONFIG_CONFIG_H

#include "app/config/table.h"
#include "base/error.h"
#include "base/mem.h"
#include "base/str.h"
#include "engine/lines/retry.h"
#include "engine/service/service.h"
#include "predict/model.h"

#define DEFAULT_MODEL "smollm2-135m-instruct"
#define EMBED_MODEL "all-minilm-l6-v2" /* of embedding names, and of `tranche embed` */

/* The section `service`; it has its defaults when the file does not mention it. */
struct config_service {
    const char *listen, *public_url; /* public_url may be NULL */
    const char *tls_cert, *tls_key;  /* both or none */
    const char *store, *bucket;      /* both or none; NULL: the state folder */
    uint32_t store_connections;
    uint64_t cache_bytes;
    const char *default_project;
    const char *const *webhook_allow; /* until NULL; or NULL */
    const char *const *locations;     /* until NULL; or NULL */
    uint32_t expired_choice, tables_choice;
    bool tables_in_bigquery; /* else they are embedded */
    bool work;               /* on jobs; else calls are served, and nothing more */
    enum job_state expired_as;
    uint32_t connections_max;            /* 0: the server's default */
    uint64_t tables_memory, tables_temp; /* bytes, of one project's table engine */
    uint32_t tables_threads, tables_query_s;
    struct config_list weights;
    struct service_settings settings;
};

/* The section `bigquery`: how BigQuery is reached. */
struct config_bigquery {
    const char *endpoint; /* NULL: $BIGQUERY_EMULATOR_HOST, else Google's */
    const char *project, *location, *ca_file, *token_env;
    uint32_t retry_ms;
    struct credential_spec credential;
};

/* One thing that is wrong with the file. */
struct config_finding {
    const char *field;     /* "models[2].file"; "": the file as a whole */
    const char *text;      /* the fault and its remedy */
    uint32_t line, column; /* from 1; 0: no place in the file */
    bool warning;          /* a start is possible */
};
#define CONFIG_FINDINGS_MAX 100 /* errors after them are only counted; at most half are warnings */
struct config_findings {
    struct config_finding *item;
    uint32_t count;  /* of item */
    uint32_t errors; /* all but the warnings */
};

struct config_place;
struct config {
    struct models models;
    struct upstream *upstream; /* upstream_count of them, by the file */
    uint32_t upstream_count;
    const char *default_model; /* what `run` uses without --model */
    uint64_t lines_max;        /* of one job; 0: no limit */
    struct retry_rules retry;  /* attempts_max 0: the predictor knows best */
    uint32_t drain_ms;
    uint64_t keep; /* bytes of kept answers; 0: none */
    struct config_service service;
    struct config_bigquery bigquery;
    const char *path;    /* NULL: no file was read */
    struct model *model; /* models.item, while it is made */
    struct arena arena;  /* everything that the file gave */
    /* As the file has them: struct upstream_entry, struct model_entry, the script of tranche-fake. */
    struct config_list upstreams, models_given;
    struct fake_entry *fake;
    struct config_list tests; /* struct script_rule, for `serve --test-clock` */
    struct config_findings findings;
    struct config_place *place; /* where the file has each value, in its order */
    size_t place_count;
};
/* path: --config, or NULL. After a failure *out holds the findings, and must be released too. */
int config_load(const char *path, struct config *out, struct error *e) FALLIBLE;
/* For tests: the fake answers every name that the file does not configure, as tranche-fake is set. */
void config_fake_all(struct config *c);
void config_release(struct config *c); /* accepts a zeroed one */
/* Names the settings that differ and count only at the next start of `tranche serve`, each with a comma
 * before it but the first. */
void config_needs_restart(const struct config *now, const struct config *next, struct buf *out);

/* Tables in BigQuery as the section `bigquery` says. endpoint: instead of its own; or NULL. folder: for rows that wait for
 * their load job; it outlives the tables, as the configuration does. Without a credential in the file it is the
 * application default credentials over https, and none over http: emulators take none. */
struct tables;
struct tables *config_bigquery_open(const struct config *c, const char *endpoint,
                                    const char *folder, struct clock *clock, struct error *e);

/* A file that the configuration names, relative to its folder; in its arena. */
const char *config_beside(struct config *c, const char *file);

/* Adds a finding about a key of the section or list item that was read into base (key NULL: the item
 * itself); fmt says the fault and its remedy. */
void config_error(struct config *c, const void *base, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
void config_warn(struct config *c, const void *base, const char *key, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* "FILE (line 3, column 5): models[0].file: " and the text, without what is not known. */
void config_finding_write(const struct config *c, const struct config_finding *f, struct buf *out);
/* Does no finding concern base or a part of it? Checks of what was read wrongly would only repeat it. */
bool config_clean(const struct config *c, const void *base);

/* Parts of config_load: out->upstream, out->bigquery, and what a model of this entry is answered by. */
void config_upstreams_load(struct config *c);
void config_bigquery_load(struct config *c);
void config_model_upstreams(struct config *c, const struct model_entry *in, struct model *m);
/* The price that the file gives, with the default for reused tokens. */
struct price config_price(const struct price *in);

/* The folder of the models that `tranche models pull` gets, each NAME.gguf: $XDG_DATA_HOME/tranche/models or
 * ~/.local/share/tranche/models. NULL without a HOME. */
const char *config_pulled_dir(struct arena *a);

/* A model without any configuration: --upstream and what goes with it. The key comes from the
 * environment (UPSTREAM_KEY_VARIABLE). */
#define UPSTREAM_KEY_VARIABLE "TRANCHE_UPSTREAM_KEY"
struct upstream_options {
    const char *url, *dialect, *model; /* dialect: NULL: by the URL */
    uint32_t max_rpm;                  /* 0: no limit */
    uint64_t max_tpm;
};
const struct model *config_upstream_model(struct config *c, const struct upstream_options *o,
                                          struct error *e);

/* Everything of a model and the settings that can change an answer, as text: part of a job's key.
 * A model file counts with its size and time. */
void config_fingerprint(const struct config *c, const struct model *m, struct buf *out);
/* Checks that the model's files are there; a fake has none. NOT_FOUND says how to get them. */
int config_model_present(const struct model *m, struct error *e) FALLIBLE;

/* The folder of all state: --state (option, or NULL), $TRANCHE_STATE, $XDG_STATE_HOME/tranche or
 * ~/.local/state/tranche. In the arena; it may be absent. */
const char *config_state_root(struct arena *a, const char *option, struct error *e);

#endif
