/* context.h -- what all calls of the API share: the store, the service, and settings.
 *
 * Threads: handlers run on any worker. struct api is constant while api_serve's server runs, but for its
 *          atomic members.
 * Ownership: the members belong to whoever fills them in; events and sender belong to api_serve.
 */
#ifndef TRANCHE_API_CONTEXT_H
#define TRANCHE_API_CONTEXT_H

#include <stdatomic.h>

#include "engine/service/service.h"
#include "predict/model.h"
#include "store/store.h"

struct api {
    struct store *store;
    struct service *service;
    struct clock *clock;
    /* For list calls. What it points to lives as long as the program; a reload of the configuration
     * puts another there. */
    _Atomic(const struct models *) models;
    const char *default_location; /* "us-central1" */
    const char *default_project;  /* of calls that name none, where no keys are: "default" */
    const char *public_url;       /* as clients see us, or NULL: from the Host header */
    enum job_state expired_as;    /* JOB_EXPIRED or JOB_FAILED: how Vertex clients see it */
    bool test_clock;
    bool open; /* reachable from this machine only: while no key was ever made, every call may
                * everything (auth.h) */
    const char *const *webhook_allow; /* targets allowed though private, until NULL; or NULL */
    atomic_bool draining;             /* /readyz says no */
    struct api_events *events;        /* api_serve's own */
    struct webhook_sender *sender;    /* api_serve's own */
};

#endif
