/* api.h -- the service's HTTP interface as a whole: serving it, and the tables of its routes.
 *
 * Data:    http_server -> route (table) -> auth (principal) -> handler -> store, service -> reply.
 * Rules:   a handler knows its dialect's words only; rights are checked here and by the store's project
 *          arguments, so that another project's id is NOT_FOUND everywhere. Sizes are checked before a
 *          body is parsed. Success is exactly HTTP 200 (clients insist), but for Cloud Storage's 204,
 *          206 and 308.
 * Threads: api_serve and api_close are called by one thread.
 */
#ifndef TRANCHE_API_API_H
#define TRANCHE_API_API_H

#include "api/context.h"
#include "api/route.h"

/* Begins to serve; *out is to be freed with api_close. */
int api_serve(struct api *a, const struct http_settings *set, struct http_server **out,
              struct error *e) FALLIBLE;
/* Ends the streams of events, waits up to timeout_ms for the calls under way, and frees the server,
 * which may be NULL. */
void api_close(struct api *a, struct http_server *s, uint32_t timeout_ms);

/* The tables of routes, each ended by a zeroed one. */
extern const struct route api_vertex_routes[], api_gemini_routes[], api_online_routes[],
    api_embed_routes[], api_storage_routes[], api_bigquery_routes[], api_files_routes[],
    api_console_routes[], api_webhooks_routes[], api_admin_routes[], api_extension_routes[],
    api_upstreams_routes[], api_models_routes[], api_endpoints_routes[], api_keys_routes[],
    api_fleet_routes[];

#endif
