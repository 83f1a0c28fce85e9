#include "predict/upstream/site_recent.h"

#include "base/clock.h"

void site_recent_add(struct site_recent *r, uint64_t now_ns, uint64_t latency_ns, uint64_t tokens)
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

void site_recent_read(const struct site_recent *r, uint64_t now_ns, double *requests_per_s,
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
