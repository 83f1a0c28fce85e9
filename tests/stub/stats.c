#include "stats.h"

#include <stddef.h>
#include <sys/resource.h>

#include "base/json_write.h"
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
    struct json_writer w = JSON_WRITER(out);
    double idle = slots ? 1 - mean / (double)slots : empty;

    json_object(&w, NULL);
    for (size_t i = 0; i < ARRAY_LEN(counters); i++) {
        const void *at = (const char *)s + counters[i].offset;
        json_add_uint(&w, counters[i].name, *(const uint64_t *)at);
    }
    json_add_uint(&w, "bodies", bodies);
    json_add_uint(&w, "busy", s->busy);
    json_value(&w, "busy_mean");
    buf_addf(out, "%.3f", mean);
    json_value(&w, "idle_share");
    buf_addf(out, "%.4f", idle);
    json_value(&w, "seconds");
    buf_addf(out, "%.6f", ns / 1e9);
    json_value(&w, "cpu_seconds");
    buf_addf(out, "%.3f", cpu_seconds());
    json_object(&w, "faults");
    for (int i = 0; i < FAULT_COUNT; i++)
        if (s->fault[i])
            json_add_uint(&w, fault_name((enum fault_kind)i), s->fault[i]);
    json_end(&w);
    json_end(&w);
}
