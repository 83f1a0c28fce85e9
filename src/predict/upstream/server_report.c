/* server_report.c -- how an upstream server is: its figures of the last half minute, its health, its metrics. */
#include <stdio.h>

#include "base/mem.h"
#include "base/metric.h"
#include "base/thread.h"
#include "predict/upstream/server_inner.h"

/* ---- The last half minute ---- */

void server_recent_add(struct recent *r, uint64_t now_ns, uint64_t latency_ns, uint64_t tokens)
{
    uint64_t second = now_ns / NS_PER_S + 1, i = second % RECENT_SECONDS;

    if (r->slot[i].second != second) {
        r->slot[i].second = second;
        r->slot[i].answers = 0;
        r->slot[i].tokens = 0;
        r->slot[i].latency_ns = 0;
    }
    r->slot[i].answers++;
    r->slot[i].tokens += tokens;
    r->slot[i].latency_ns += latency_ns;
    r->first_ns = r->first_ns ? r->first_ns : now_ns;
}

static void recent_read(const struct recent *r, uint64_t now_ns, double *requests_per_s,
                        double *tokens_per_s, double *latency_s)
{
    uint64_t second = now_ns / NS_PER_S + 1, answers = 0, tokens = 0, latency_ns = 0;
    double span = r->first_ns ? (double)(now_ns - r->first_ns) / 1e9 : 0;

    for (uint32_t i = 0; i < RECENT_SECONDS; i++) {
        if (!r->slot[i].second || r->slot[i].second + RECENT_SECONDS <= second)
            continue;
        answers += r->slot[i].answers;
        tokens += r->slot[i].tokens;
        latency_ns += r->slot[i].latency_ns;
    }
    span = span > RECENT_SECONDS - 1 ? RECENT_SECONDS - 1 : span < 1 ? 1 : span;
    *requests_per_s = (double)answers / span;
    *tokens_per_s = (double)tokens / span;
    *latency_s = answers ? (double)latency_ns / 1e9 / (double)answers : 0;
}

/* ---- How it is ---- */

void server_stats(struct upstream_server *s, struct server_stats *out)
{
    lock(&s->lock);
    uint64_t now = server_now_ns(s);
    *out = s->stats;
    out->breaker = s->breaker.state;
    out->given_up = server_given_up(s, now);
    out->in_flight = s->in_flight;
    out->limit = server_limit_of(s);
    out->shared = server_is_shared(s);
    out->lapsed = server_has_lapsed(s);
    for (int k = 0; k < SHARE_KINDS; k++)
        out->part[k] = out->shared && !out->lapsed ? s->share.part[k] : 0;
    out->paused_ms =
        now < s->pause.until_ns ? (uint32_t)((s->pause.until_ns - now) / NS_PER_MS) : 0;
    recent_read(&s->recent, now, &out->requests_per_s, &out->tokens_per_s, &out->latency_s);
    unlock(&s->lock);
}

const char *server_health(const struct server_stats *st)
{
    if (st->given_up)
        return "given up";
    if (st->breaker != BREAKER_CLOSED)
        return st->breaker == BREAKER_HALF_OPEN ? "probed" : "open";
    return st->paused_ms ? "paused" : st->sent ? "healthy" : "unused";
}

/* ---- Metrics ---- */

static const char *const end_names[EXCHANGE_END_COUNT] = {
    [EXCHANGE_ANSWERED] = "answered",   [EXCHANGE_REFUSED] = "refused",
    [EXCHANGE_OVERLOAD] = "overload",   [EXCHANGE_FAILED] = "failed",
    [EXCHANGE_CANCELLED] = "cancelled",
};

const char *exchange_end_name(enum exchange_end end)
{
    return end_names[end];
}

static void measure(const struct server_stats *st)
{
    const struct {
        struct metric *(*kind)(const char *name, const char *help, const char *labels);
        const char *name, *help;
        double value;
    } figures[] = {
        { metric_gauge, "tranche_upstream_in_flight", "Requests that the upstream is answering",
          st->in_flight },
        { metric_gauge, "tranche_upstream_limit",
          "Limit of requests in flight, found by measuring or set", st->limit },
        { metric_gauge, "tranche_upstream_open", "1 while the circuit breaker is not closed",
          st->breaker != BREAKER_CLOSED },
        { metric_gauge, "tranche_upstream_latency_seconds",
          "Mean time to an answer over the last half minute", st->latency_s },
        { metric_gauge, "tranche_upstream_requests_per_second",
          "Answers a second over the last half minute", st->requests_per_s },
        { metric_counter_real, "tranche_upstream_prompt_tokens_total",
          "Prompt tokens, as the upstream counted them", (double)st->prompt_tokens },
        { metric_counter_real, "tranche_upstream_cached_tokens_total",
          "Prompt tokens that came from the upstream's cache", (double)st->cached_tokens },
        { metric_counter_real, "tranche_upstream_output_tokens_total",
          "Tokens that the upstream generated", (double)st->output_tokens },
    };
    const char *name = st->upstream->name;
    char labels[METRIC_LABELS_BYTES];

    metric_labels(labels, (const char *const[]){ "upstream", name, NULL });
    for (size_t i = 0; i < ARRAY_LEN(figures); i++)
        metric_set(figures[i].kind(figures[i].name, figures[i].help, labels), figures[i].value);
    for (size_t i = 0; i < EXCHANGE_END_COUNT; i++) {
        metric_labels(labels, (const char *const[]){ "upstream", name, "end", end_names[i], NULL });
        metric_set(metric_counter_real("tranche_upstream_exchanges_total",
                                       "Requests to the upstream that ended, by how", labels),
                   (double)st->ends[i]);
    }
}

static void measure_parts(const struct server_stats *st)
{
    static const char *const kinds[SHARE_KINDS] = {
        [SHARE_REQUESTS] = "requests", [SHARE_TOKENS] = "tokens", [SHARE_SLOTS] = "slots"
    };
    char labels[METRIC_LABELS_BYTES];

    for (int k = 0; st->shared && k < SHARE_KINDS; k++) {
        metric_labels(labels, (const char *const[]){ "upstream", st->upstream->name, "kind",
                                                     kinds[k], NULL });
        metric_set(metric_gauge("tranche_upstream_share",
                                "Part of the upstream's limits that this process may use", labels),
                   st->part[k]);
    }
}

void upstream_servers_measure(struct upstream_servers *all)
{
    struct server_stats st;
    struct arena a = { 0 };

    for (uint32_t i = 0; upstream_servers_at(all, i, &a, &st); i++) {
        measure(&st);
        measure_parts(&st);
    }
    arena_release(&a);
}
