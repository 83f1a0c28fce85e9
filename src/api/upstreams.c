/* upstreams.c -- the upstream servers that answer for models: health, limits, rates and counts.
 *
 * Rights:  every key sees names and figures. Only admins see a server's URL and its last error.
 */
#include "api/call.h"

#include <inttypes.h>

#define UPSTREAMS_BYTES_MAX ((size_t)1024 * 1024)

static void add_limits(const struct upstream *u, struct json_writer *w)
{
    json_add_c(w, "dialect", u->wire == WIRE_GEMINI ? "gemini" : "openai");
    json_add_uint(w, "maxRequestsPerMinute", u->max_rpm);
    json_addf(w, "maxTokensPerMinute", "%" PRIu64, u->max_tpm);
}

/* The part of each limit that this process may use, when others share them. A limit that is not set has no part. */
static void add_share(const struct server_stats *st, struct json_writer *w)
{
    if (!st->shared)
        return;
    json_object(w, "share");
    if (st->upstream->max_rpm)
        json_add_double(w, "requestsPerMinute", st->part[SHARE_REQUESTS]);
    if (st->upstream->max_tpm)
        json_add_double(w, "tokensPerMinute", st->part[SHARE_TOKENS]);
    if (st->part[SHARE_SLOTS] > 0)
        json_add_double(w, "concurrency", st->part[SHARE_SLOTS]);
    json_end(w);
}

static void add_rates(const struct server_stats *st, struct json_writer *w)
{
    json_add_double(w, "requestsPerSecond", st->requests_per_s);
    json_add_double(w, "tokensPerSecond", st->tokens_per_s);
    json_add_double(w, "latencySeconds", st->latency_s);
}

static void add_counts(const struct server_stats *st, struct json_writer *w)
{
    call_add_int64(w, "sent", (int64_t)st->sent);
    for (uint32_t i = 0; i < EXCHANGE_END_COUNT; i++)
        call_add_int64(w, exchange_end_name((enum exchange_end)i), (int64_t)st->ends[i]);
    call_add_int64(w, "promptTokens", (int64_t)st->prompt_tokens);
    call_add_int64(w, "cachedTokens", (int64_t)st->cached_tokens);
    call_add_int64(w, "outputTokens", (int64_t)st->output_tokens);
}

static void add_private(const struct server_stats *st, struct json_writer *w)
{
    json_add_c(w, "url", st->upstream->url);
    if (!st->last_error[0])
        return;
    json_add_c(w, "lastError", st->last_error);
    call_add_time(w, "lastErrorTime", st->last_error_us);
}

static void get_upstreams(struct call *c)
{
    struct buf body = BUF_INIT(UPSTREAMS_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct server_stats st;

    json_object(&w, NULL);
    json_array(&w, "upstreams");
    for (uint32_t i = 0; upstream_servers_at(service_upstreams(c->api->service), i, c->arena, &st);
         i++) {
        json_object(&w, NULL);
        json_add_c(&w, "name", st.upstream->name);
        json_add_c(&w, "health", server_health(&st));
        json_add_uint(&w, "inFlight", st.in_flight);
        json_add_uint(&w, "concurrency", st.limit);
        add_limits(st.upstream, &w);
        add_share(&st, &w);
        add_rates(&st, &w);
        add_counts(&st, &w);
        if (c->who.all || c->who.role == ROLE_ADMIN)
            add_private(&st, &w);
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    buf_add_char(&body, '\n');
    call_reply(c, &body);
}

const struct route api_upstreams_routes[] = {
    { HTTP_GET, "/tranche/v1/upstreams", ROLE_VIEWER, 0, get_upstreams, 0, NULL },
    { 0 },
};
