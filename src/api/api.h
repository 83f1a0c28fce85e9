/* api.h -- the service's HTTP interface as a whole: what its handlers share.
 *
 * Data:    http_server -> route (table) -> auth (principal) -> handler -> store, service -> reply.
 * Rules:   a handler knows its dialect's words only; rights are checked here and by the store's project
 *          arguments, so that a foreign id is a 404 everywhere. What a client sends is bounded before
 *          it is parsed. Success is exactly HTTP 200 (wire clients insist), but for storage's 204, 206,
 *          308.
 * Threads: handlers run on the server's workers, any number at once; struct api is constant after
 *          start but for what says otherwise.
 */
#ifndef TRANCHE_API_API_H
#define TRANCHE_API_API_H

#include <stdatomic.h>

#include "api/auth.h"
#include "api/route.h"
#include "engine/service/service.h"
#include "net/server/http_server.h"
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

/* Begins to serve; *out is to be freed with api_close. */
int api_serve(struct api *a, const struct http_settings *set, struct http_server **out,
              struct error *e) FALLIBLE;
/* Ends the streams of events, waits up to timeout_ms for the calls under way, and frees the server,
 * which may be NULL. */
void api_close(struct api *a, struct http_server *s, uint32_t timeout_ms);

/* The tables of routes, each ended by a zeroed one. */
extern const struct route api_vertex_routes[], api_gemini_routes[], api_online_routes[],
    api_storage_routes[], api_files_routes[], api_webhooks_routes[], api_admin_routes[],
    api_extension_routes[], api_upstreams_routes[];

#endif
