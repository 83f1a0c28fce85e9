/* config.h -- the configuration file: models, prices, fakes, defaults.
 *
 * Shape:   YAML, read by a schema table (libcyaml); unknown keys are errors with their line. Looked
 *          for at --config, then $TRANCHE_CONFIG, then $XDG_CONFIG_HOME/tranche/config.yaml (when it
 *          exists). Built-in models stand behind the configured ones: tranche-fake (echo),
 *          smollm2-135m-instruct and "gemini-*" (the default embedded model).
 * Errors:  INVALID_ARGUMENT naming file, line, field and remedy.
 * Owns:    all strings of the models it holds.
 */
#ifndef TRANCHE_APP_CONFIG_H
#define TRANCHE_APP_CONFIG_H

#include "base/error.h"
#include "base/str.h"
#include "predict/model.h"

struct config {
    struct models models;
    const char *default_model;   /* what `run` uses without --model */
    uint64_t lines_max;          /* of one job */
    uint32_t retry_attempts_max, retry_base_ms, retry_cap_ms;
    uint32_t drain_ms;
    const char *path;            /* NULL: no file was read */
    void *loaded;                /* config.c's own */
};
int config_load(const char *path, struct config *out, struct error *e) FALLIBLE;
void config_release(struct config *c);
/* Everything in it that can change an answer, as text: part of a job's key. */
void config_fingerprint(const struct config *c, const struct model *m, struct buf *out);

#endif
