/* context.h -- what all calls of the API share: the store, the service, and settings.
 *
 * Threads: handlers run on any worker. struct api is constant while api_serve's server runs, but for its
 *          atomic members.
 * Ownership: the members belong to whoever fills them in; events and sender belong to api_serve.
 */
#ifndef TRANCHE_API_CONTEXT_H
#define TRANCHE_API_CONTEXT_H

#include <stdatomic.h>

#include "engine/query/query.h"
#include "engine/service/service.h"
#include "predict/model.h"
#include "store/store.h"

struct script_rule;
struct test_mode;
struct api {
    struct store *store;
    struct service *service;
    struct tables *tables;   /* datasets, tables, SQL */
    struct queries *queries; /* jobs on them; api_close stops it */
    struct clock *clock;
    /* The configured models as they are now, which stay until models_done is called with them: a reload of the
     * configuration makes others. Any thread. */
    const struct models *(*models)(void *arg);
    void (*models_done)(void *arg, const struct models *m);
    const char *default_location; /* "us-central1" */
    const char *default_project;  /* of calls without a key that name none: "default" */
    const char *public_url;       /* how clients reach us; NULL: taken from the Host header */
    enum job_state expired_as;    /* JOB_EXPIRED or JOB_FAILED: the state that Vertex clients see */
    bool test_clock;
    const struct script_rule *rule; /* rule_count of them: scripts by name, with the test clock */
    uint32_t rule_count;
    bool open; /* reachable from this machine only: until the first key is made, every call may do
                * anything (auth.h) */
    const char *const
        *webhook_allow; /* private host:port that webhooks may reach, until NULL; or NULL */
    const char *const
        *locations; /* where jobs are taken, until NULL; NULL: each region, but not "global" */
    atomic_bool draining; /* /readyz says no */
    /* Can the default model be opened? Else /readyz says why not. NULL: not asked. Any thread. */
    int (*model_ready)(void *arg, struct error *e);
    void *config_arg;              /* of the three */
    int64_t start_us;              /* api_serve's own: time of its call */
    struct api_events *events;     /* api_serve's own */
    struct webhook_sender *sender; /* api_serve's own */
    struct later *later;           /* api_serve's own */
    struct test_mode *test_mode;   /* api_serve's own */
};

#endif
