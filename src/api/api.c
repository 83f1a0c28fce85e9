#include "api/api.h"

#include <assert.h>
#include <stdio.h>

#include "api/call.h"
#include "api/jobs/events.h"
#include "api/later.h"
#include "api/test_mode.h"
#include "api/webhooks/send.h"
#include "base/mem.h"
#include "base/log.h"
#include "base/metric.h"

/* The largest body that we read from a stranger. Routes with larger bodies check the key first, on the
 * connection's thread; the look-up is short. */
#define BARE_BODY_BYTES ((size_t)64 * 1024)
#define LOGGED_PATH_BYTES 200

static const struct route *const tables[] = {
    api_vertex_routes,
    api_storage_routes,
    api_bigquery_routes,
    api_files_routes,
    api_gemini_routes,
    api_extension_routes,
    api_online_routes,
    api_embed_routes,
    api_webhooks_routes,
    api_admin_routes,
    api_upstreams_routes,
    api_models_routes,
    api_endpoints_routes,
    api_console_routes,
    api_keys_routes,
    api_fleet_routes,
    NULL,
};

/* The routes of calls that match none: they only choose the form of the error. */
static const struct route unknown = { .pattern = "" };
static const struct route unknown_storage = { .pattern = "", .flags = ROUTE_STORAGE };
static const struct route unknown_bigquery = { .pattern = "", .flags = ROUTE_BIGQUERY };

static const char *const method_names[] = {
    [HTTP_GET] = "GET",         [HTTP_HEAD] = "HEAD",   [HTTP_POST] = "POST",
    [HTTP_PUT] = "PUT",         [HTTP_PATCH] = "PATCH", [HTTP_DELETE] = "DELETE",
    [HTTP_OPTIONS] = "OPTIONS", [HTTP_OTHER] = "OTHER",
};

/* A call with what only this file uses. Attached to its http_call, in whose arena it lives. */
struct serving {
    struct call call;
    bool admitted;
    uint64_t began_ns;
};

void api_close(struct api *a, struct http_server *s, uint32_t timeout_ms)
{
    if (a->events)
        api_events_end(a->events);
    if (a->sender)
        webhook_sender_end(a->sender);
    queries_stop(a->queries);
    http_server_free(s, timeout_ms);
    later_free(a->later);
    webhook_sender_free(a->sender);
    api_events_free(a->events);
    test_mode_free(a->test_mode);
    a->test_mode = NULL;
    a->later = NULL;
    a->sender = NULL;
    a->events = NULL;
}

static bool is_storage(struct str path)
{
    size_t at =
        str_find(str_sub(path, 0, sizeof "/resumable/upload/storage/v1/" - 1), STR("/storage/v1/"));

    return at != SIZE_MAX;
}

static const struct route *unknown_route(struct str path)
{
    if (is_storage(path))
        return &unknown_storage;
    bool bigquery =
        str_find(path, STR("/bigquery/v2/")) != SIZE_MAX || str_starts(path, STR("/projects/"));
    return bigquery ? &unknown_bigquery : &unknown;
}

/* Finds the route. False: there is none, and the call is answered. */
static bool dispatch(struct call *c)
{
    struct str path = http_path(c->http);
    struct route_match m;
    enum route_result result = route_find(tables, http_method(c->http), path, c->arena, &m);
    char message[ERROR_MSG_BYTES];

    c->route = m.route ? m.route : unknown_route(path);
    /* Clients upload objects of any kind; a browser must not run one as a page of ours. */
    if (!(c->route->flags & ROUTE_PAGE))
        http_set_header(c->http, "Content-Security-Policy", STR("sandbox; default-src 'none'"));
    c->version = m.version;
    c->param_count = m.param_count;
    for (uint32_t i = 0; i < m.param_count; i++)
        c->param[i] = m.param[i];
    if (result == ROUTE_FOUND)
        return true;
    if (result == ROUTE_NO_METHOD) {
        assert(m.route);
        http_set_header(c->http, "Allow", str_of(method_names[m.route->method]));
    }
    (void)snprintf(message, sizeof message, "The requested URL %.*s was not found on this server.",
                   STR_ARG(str_cut(path, LOGGED_PATH_BYTES)));
    if (result == ROUTE_NO_PATH)
        call_fail_as(c, 404, NULL, message);
    else if (result == ROUTE_NO_METHOD)
        call_fail_as(c, 405, NULL, "The requested URL does not take this method.");
    else
        call_fail_as(c, 400, NULL, "The requested URL is not UTF-8 in percent-encoding.");
    return false;
}

/* The API whose words refuse a caller. */
enum dialect_words { WORDS_VERTEX, WORDS_GEMINI, WORDS_STORAGE, WORDS_BIGQUERY, WORDS_COUNT };

// clang-format off
static const struct {
    int status;
    const char *reason, *message;
} refusals[WORDS_COUNT][2] = { /* nothing given, something bad */
    [WORDS_VERTEX] = {
        { 401, NULL, "Request is missing required authentication credential. Expected OAuth 2 "
          "access token, login cookie or other valid authentication credential." },
        { 401, NULL, "Request had invalid authentication credentials. Expected OAuth 2 access "
          "token, login cookie or other valid authentication credential." },
    },
    [WORDS_GEMINI] = {
        { 403, NULL, "Method doesn't allow unregistered callers (callers without established "
          "identity). Please use API Key or other form of API consumer identity to call this "
          "API." },
        { 400, "API_KEY_INVALID", "API key not valid. Please pass a valid API key." },
    },
    [WORDS_STORAGE] = {
        { 401, "required", "Anonymous caller does not have storage access." },
        { 401, "authError", "Invalid Credentials" },
    },
    [WORDS_BIGQUERY] = {
        { 401, "required", "Login Required." },
        { 401, "authError", "Invalid Credentials" },
    },
};
// clang-format on

static enum dialect_words words_of(const struct call *c)
{
    static const char *const not_gemini[] = { "/projects/", "/publishers/", "/batchPredictionJobs",
                                              "/tranche/", "/metrics" };
    struct str path = http_path(c->http);

    if (c->route->flags & ROUTE_STORAGE)
        return WORDS_STORAGE;
    if (c->route->flags & ROUTE_BIGQUERY)
        return WORDS_BIGQUERY;
    for (size_t i = 0; i < ARRAY_LEN(not_gemini); i++)
        if (str_find(path, str_of(not_gemini[i])) != SIZE_MAX)
            return WORDS_VERTEX;
    return WORDS_GEMINI;
}

static void refuse_stranger(struct call *c, enum auth_result why, const struct error *e)
{
    enum dialect_words words = words_of(c);
    bool bad = why == AUTH_BAD;

    if (why == AUTH_FAILED)
        call_fail(c, e);
    else
        call_fail_as(c, refusals[words][bad].status, refusals[words][bad].reason,
                     refusals[words][bad].message);
}

/* Checks the key and its role. False: the caller may not, and the call is answered. */
static bool admit(struct call *c)
{
    struct error e = { 0 };

    if (c->route->flags & ROUTE_PUBLIC)
        return true;
    enum auth_result result = auth_principal(c->api->store, c->http, &c->who, &e);
    if (result == AUTH_OK && c->who.all && !c->api->open) {
        c->who = (struct principal){ 0 };
        result = AUTH_NONE;
    }
    if (result != AUTH_OK) {
        refuse_stranger(c, result, &e);
        return false;
    }
    if (c->who.all &&
        auth_open_guard(http_header(c->http, "Host"), http_header(c->http, "Origin"), &e) < 0) {
        call_fail(c, &e);
        return false;
    }
    if (c->who.role >= c->route->role)
        return true;
    (void)error_set(&e, ERROR_PERMISSION_DENIED,
                    "Permission denied on resource '%.*s' (or it may not exist): the key's role is "
                    "%s, and this needs %s.",
                    STR_ARG(str_cut(http_path(c->http), LOGGED_PATH_BYTES)),
                    key_role_name(c->who.role), key_role_name(c->route->role));
    call_fail(c, &e);
    return false;
}

/* A shared store is asked over the network, for which no thread that serves many clients waits. */
static bool asks_network(const struct call *c)
{
    return store_is_shared(c->api->store) && !(c->route->flags & ROUTE_LOCAL);
}

/* The second half of on_begin. */
static enum http_next begin(struct serving *s)
{
    struct call *c = &s->call;

    s->admitted = admit(c);
    if (!s->admitted)
        return HTTP_REPLIED;
    if (!c->route->begin)
        return HTTP_KEEP;
    return c->route->begin(c) ? HTTP_SINK : HTTP_REPLIED;
}

static void begin_later(struct call *c)
{
    http_begin_end(c->http, begin(http_attached(c->http)));
}

static enum http_next on_begin(void *arg, struct http_call *http)
{
    struct api *api = arg;
    struct serving *s = arena_alloc(http_arena(http), sizeof *s);
    struct call *c = &s->call;

    *c = (struct call){ .http = http, .api = api, .arena = http_arena(http) };
    s->began_ns = api->clock->mono_ns(api->clock);
    trace_read(http_header(http, "traceparent"), http_header(http, "tracestate"), &c->trace);
    http_attach(http, s);
    http_set_header(http, "X-Content-Type-Options", STR("nosniff"));
    bool found = dispatch(c);
    assert(c->route); /* from here on every error has a form */
    if (!found)
        return HTTP_REPLIED;
    size_t body_max = c->route->body_max ? c->route->body_max : BARE_BODY_BYTES;
    http_set_keep_max(http, body_max);
    if (!c->route->begin && body_max <= BARE_BODY_BYTES)
        return HTTP_KEEP;
    if (!asks_network(c))
        return begin(s);
    later_begin(api->later, c, begin_later);
    return HTTP_LATER;
}

static void handle(struct call *c)
{
    if (!c->route->begin && http_body_error(c->http))
        call_fail(c, http_body_error(c->http));
    else if (!c->route->begin && !http_body_complete(c->http))
        call_fail_as(c, 400, NULL, "The request's body is incomplete.");
    else
        c->route->handle(c);
}

static void handle_stranger(struct call *c)
{
    if (admit(c))
        later_run(c->api->later, c, handle);
}

static void on_handle(void *arg, struct http_call *http)
{
    struct serving *s = http_attached(http);
    struct call *c = &s->call;

    (void)arg;
    if (!s->admitted && asks_network(c))
        later_begin(c->api->later, c, handle_stranger);
    else if (!s->admitted && !admit(c))
        return;
    else if ((c->route->flags & ROUTE_WAITS) || asks_network(c))
        later_run(c->api->later, c, handle);
    else
        handle(c);
}

static void measure(const struct serving *s, double seconds)
{
    const struct route *r = s->call.route;
    char labels[METRIC_LABELS_BYTES];

    (void)snprintf(labels, sizeof labels, "method=\"%s\",route=\"%s\"", method_names[r->method],
                   r->pattern);
    metric_observe(metric_histogram("tranche_http_request_seconds",
                                    "Time from a call's head to the end of its answer, by route",
                                    labels),
                   seconds);
}

static void on_gone(void *arg, struct http_call *http)
{
    struct serving *s = http_attached(http);
    void (*gone)(struct call *) = s->call.gone;

    (void)arg;
    if (gone)
        gone(&s->call);
}

static void on_end(void *arg, struct http_call *http)
{
    struct api *api = arg;
    struct serving *s = http_attached(http);
    struct str path = str_cut(http_path(http), LOGGED_PATH_BYTES);
    int status = http_status(http);

    if (!s) /* refused before it came here */
        return;
    double seconds = (double)(api->clock->mono_ns(api->clock) - s->began_ns) / (double)NS_PER_S;
    bool reads = http_method(http) == HTTP_GET || http_method(http) == HTTP_HEAD;
    const char *trace = s->call.trace.id;
    log_line(reads && status < 500 ? LOG_DEBUG : LOG_INFO,
             "call %s: %s %.*s status=%d ms=%.1f project=%s key=%s%s%s", http_id(http),
             method_names[http_method(http)], STR_ARG(path), status, seconds * 1e3,
             s->call.who.project, s->call.who.key, *trace ? " trace=" : "", trace);
    measure(s, seconds);
    if (s->call.free_state)
        s->call.free_state(s->call.state);
}

/* The first use of a secret writes it, and calls that sign may not wait for that. */
static int make_secrets(struct store *s, struct error *e)
{
    static const char *const names[] = { SECRET_TOKENS, SECRET_SEALS, SECRET_WEBHOOKS };
    unsigned char mac[STORE_MAC_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (store_mac(s, names[i], STR(""), mac, e) < 0)
            return -1;
    return 0;
}

int api_serve(struct api *a, const struct http_settings *set, struct http_server **out,
              struct error *e)
{
    const struct http_handlers handlers = {
        .begin = on_begin,
        .handle = on_handle,
        .gone = on_gone,
        .end = on_end,
        .arg = a,
    };

    a->start_us = a->clock->wall_us(a->clock);
    *out = NULL;
    if (make_secrets(a->store, e) < 0)
        return -1;
    a->later = later_new(store_is_shared(a->store));
    a->test_mode = a->test_clock ? test_mode_new() : NULL;
    a->events = api_events_start(a->store, a->service, e);
    a->sender = a->events ? webhook_sender_start(a, e) : NULL;
    *out = a->sender ? http_server_start(set, &handlers, e) : NULL;
    if (*out)
        return 0;
    api_close(a, NULL, 0);
    return -1;
}
