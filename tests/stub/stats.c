#include "stats.h"

#include <stddef.h>
#include <sys/resource.h>

#include "base/mem.h"

void stats_busy(struct stats *s, uint64_t busy, uint64_t now_ns)
{
    uint64_t ns = s->changed_ns ? now_ns - s->changed_ns : 0;

    if (!s->first_ns)
        s->first_ns = now_ns;
    s->busy_ns += (double)ns * (double)s->busy;
    if (s->busy == 0)
        s->empty_ns += (double)ns;
    s->changed_ns = now_ns;
    s->busy = busy;
    if (busy > s->busy_max)
        s->busy_max = busy;
}

static double cpu_seconds(void)
{
    struct rusage u;

    (void)getrusage(RUSAGE_SELF, &u);
    return (double)(u.ru_utime.tv_sec + u.ru_stime.tv_sec) +
           (double)(u.ru_utime.tv_usec + u.ru_stime.tv_usec) / 1e6;
}

/* The counters by name. */
static const struct {
    const char *name;
    size_t offset;
} counters[] = {
#define COUNTER(member)                                                                            \
    {                                                                                              \
        #member, offsetof(struct stats, member)                                                    \
    }
    COUNTER(connections),  COUNTER(connections_max), COUNTER(requests), COUNTER(answered),
    COUNTER(limited),      COUNTER(refused),         COUNTER(denied),   COUNTER(abandoned),
    COUNTER(attempts_max), COUNTER(window_max),      COUNTER(busy_max), COUNTER(queue_max),
    COUNTER(prefix_hits),  COUNTER(cached_tokens),   COUNTER(bytes_in), COUNTER(bytes_out),
#undef COUNTER
};

void stats_write(const struct stats *s, uint64_t slots, uint64_t bodies, struct buf *out)
{
    double ns = (double)(s->changed_ns - s->first_ns);
    double mean = ns > 0 ? s->busy_ns / ns : 0;
    double empty = ns > 0 ? s->empty_ns / ns : 0;
    double idle = slots ? 1 - mean / (double)slots : empty;

    buf_add_char(out, '{');
    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        const void *at = (const char *)s + counters[i].offset;
        buf_addf(out, "\"%s\":%llu,", counters[i].name, (unsigned long long)*(const uint64_t *)at);
    }
    buf_addf(out,
             "\"bodies\":%llu,\"busy\":%llu,\"busy_mean\":%.3f,\"idle_share\":%.4f,"
             "\"seconds\":%.6f,\"cpu_seconds\":%.3f,\"faults\":{",
             (unsigned long long)bodies, (unsigned long long)s->busy, mean, idle, ns / 1e9,
             cpu_seconds());
    const char *comma = "";
    for (int i = 0; i < FAULT_COUNT; i++) {
        if (s->fault[i]) {
            buf_addf(out, "%s\"%s\":%llu", comma, fault_name((enum fault_kind)i),
                     (unsigned long long)s->fault[i]);
            comma = ",";
        }
    }
    buf_add_str(out, STR("}}"));
}
