/* upstreams.c -- the servers that models are answered by: how they are and what they do.
 *
 * Rights:  every key sees names and figures; where a server is and what it said, only who may see all.
 */
#include "api/call.h"

#include <inttypes.h>

#define UPSTREAMS_BYTES_MAX ((size_t)1024 * 1024)

static void add_limits(const struct upstream *u, struct buf *out)
{
    buf_addf(out,
             ",\"dialect\":\"%s\",\"maxRequestsPerMinute\":%u,\"maxTokensPerMinute\":\"%" PRIu64
             "\"",
             u->wire == WIRE_GEMINI ? "gemini" : "openai", u->max_rpm, u->max_tpm);
}

static void add_rates(const struct server_stats *st, struct buf *out)
{
    buf_add_c(out, ",\"requestsPerSecond\":");
    buf_add_double(out, st->requests_per_s);
    buf_add_c(out, ",\"tokensPerSecond\":");
    buf_add_double(out, st->tokens_per_s);
    buf_add_c(out, ",\"latencySeconds\":");
    buf_add_double(out, st->latency_s);
}

static void add_counts(const struct server_stats *st, struct buf *out)
{
    buf_addf(out, ",\"sent\":\"%" PRIu64 "\"", st->sent);
    for (uint32_t i = 0; i < EXCHANGE_END_COUNT; i++)
        buf_addf(out, ",\"%s\":\"%" PRIu64 "\"", exchange_end_name((enum exchange_end)i),
                 st->ends[i]);
    buf_addf(out,
             ",\"promptTokens\":\"%" PRIu64 "\",\"cachedTokens\":\"%" PRIu64
             "\",\"outputTokens\":\"%" PRIu64 "\"",
             st->prompt_tokens, st->cached_tokens, st->output_tokens);
}

static void add_private(const struct server_stats *st, struct buf *out)
{
    char when[CLOCK_TEXT_BYTES];

    buf_add_c(out, ",\"url\":");
    buf_add_json(out, str_of(st->upstream->url));
    if (!st->last_error[0])
        return;
    clock_format_rfc3339(st->last_error_us, when);
    buf_add_c(out, ",\"lastError\":");
    buf_add_json(out, str_of(st->last_error));
    buf_addf(out, ",\"lastErrorTime\":\"%s\"", when);
}

static void get_upstreams(struct call *c)
{
    struct buf body = BUF_INIT(UPSTREAMS_BYTES_MAX);
    struct server_stats st;

    buf_add_c(&body, "{\"upstreams\":[");
    for (uint32_t i = 0; upstream_servers_at(service_upstreams(c->api->service), i, &st); i++) {
        buf_add_c(&body, i ? ",{\"name\":" : "{\"name\":");
        buf_add_json(&body, str_of(st.upstream->name));
        buf_addf(&body, ",\"health\":\"%s\",\"inFlight\":%u,\"concurrency\":%u", server_health(&st),
                 st.in_flight, st.limit);
        add_limits(st.upstream, &body);
        add_rates(&st, &body);
        add_counts(&st, &body);
        if (c->who.all || c->who.role == ROLE_ADMIN)
            add_private(&st, &body);
        buf_add_char(&body, '}');
    }
    buf_add_c(&body, "]}\n");
    call_reply(c, &body);
}

const struct route api_upstreams_routes[] = {
    { HTTP_GET, "/tranche/v1/upstreams", ROLE_VIEWER, 0, get_upstreams, 0, NULL },
    { 0 },
};
