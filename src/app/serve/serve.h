/* serve.h -- what `serve`, `config`, `keys` and `backup` share: the state folder, and the configurations of a
 * running server.
 *
 * Why: a reload must not disturb what runs, so an earlier configuration lives on while anything uses it, and
 * a model that stands unchanged in the new one stays the same model: it is not loaded twice.
 *
 *          A tuned model of a project stands beside them: it is looked up in the store at each use, so that
 *          it is seen as soon as it is registered, and takes what it does not say from its base.
 *
 * Shape:   each serve_load makes a generation. A generation is held by being the newest, by the models that
 *          a newer one took from it, and by whoever holds one of its models or the whole of it. The last
 *          one frees it.
 * Threads: serve_hold, serve_done, serve_model, serve_model_done and serve_model_current any; the rest the
 *          main thread.
 */
#ifndef TRANCHE_APP_SERVE_SERVE_H
#define TRANCHE_APP_SERVE_SERVE_H

#include <pthread.h>

#include "app/config/config.h"
#include "store/store.h"

/* In the state folder: the URL of the service that has the folder's lock. */
#define SERVE_URL_FILE "url"
/* --state, or ROOT/service of the user's state folder (state.h); in the arena. */
const char *serve_dir(struct arena *a, const char *option, struct error *e);

/* serve_dir of a state that must be there; only `serve` and `keys create` make one. */
bool serve_state_exists(struct arena *a, const char *dir);
const char *serve_existing_dir(struct arena *a, const char *option, struct error *e);

/* Place of the service's store: options, of which each may be NULL. */
struct serve_place {
    const char *config, *state, *store, *bucket;
};
/* The options, or else what the configuration says; in the arena. exists: a state folder must be there. */
int serve_store_place(struct arena *a, const struct serve_place *o, const struct config_service *c,
                      bool exists, struct store_place *out, struct error *e) FALLIBLE;
/* Opens the store beside a running server. */
struct store *serve_store_open(struct arena *a, const struct serve_place *o, bool exists,
                               struct error *e);
/* --store and --bucket, of a struct with such members. */
#define SERVE_PLACE_OPTIONS                                                                        \
    OPT_TEXT("store", 0, store, "URL", "PostgreSQL database of a service on several machines"),    \
        OPT_TEXT("bucket", 0, bucket, "URL", "its bucket: s3://, gs:// or file://")

/* "8080" and ":8080" are ports of this machine. */
const char *serve_listen_address(struct arena *a, const char *text);

struct serve_generation {
    struct config config;
    const struct model **model; /* for each of config.models, the first one that was the same */
    struct str *text;           /* for each, all that made it behave as it did, at the load */
    struct serve_generation *older;
    uint64_t holds;
};
struct store;
struct serve_tuned;
struct serve_configs {
    struct store
        *store; /* of tuned models; NULL: there are none. Set before the first serve_model */
    pthread_mutex_t lock;            /* guards what follows, with the holds */
    struct serve_generation *newest; /* NULL before the first serve_load */
    struct serve_tuned *tuned;       /* tuned models in use */
};
void serve_init(struct serve_configs *g);
/* Reads the configuration (path as config_load has it) and makes it the newest; on an error all stays
 * as it was. fake_all: see config_fake_all. */
int serve_load(struct serve_configs *g, const char *path, bool fake_all, struct error *e) FALLIBLE;
/* The newest configuration, held until serve_done. */
const struct config *serve_hold(struct serve_configs *g);
void serve_done(struct serve_configs *g, const struct config *c);
/* Nothing is held any more. Accepts one without a serve_load. */
void serve_release(struct serve_configs *g);
/* As service_env.model, .model_done and .current: arg is the struct serve_configs. */
const struct model *serve_model(void *arg, const char *project, const char *name, struct error *e);
void serve_model_done(void *arg, const struct model *m);
bool serve_model_current(void *arg, const struct model *m);

/* Tells systemd, when it started us ("READY=1"). Failures are not ours to handle. */
void serve_notify(const char *message);
/* Half of the time after which systemd misses "WATCHDOG=1": the pause between two of them; 0: none. */
uint64_t serve_watchdog_us(void);

#endif
