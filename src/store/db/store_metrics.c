#include "store/db/store_metrics.h"

#include <assert.h>
#include <stdatomic.h>

#include "base/clock.h"
#include "base/mem.h"
#include "base/metric.h"

static const struct {
    const char *seconds, *seconds_help, *errors, *errors_help, *again, *again_help;
} parts[STORE_PART_COUNT] = {
    [STORE_DATABASE] = { "tranche_database_seconds", "Time of a call of the shared database",
                         "tranche_database_errors_total",
                         "Calls of the shared database that failed, by error",
                         "tranche_database_retries_total",
                         "Calls of the shared database that were tried again" },
    [STORE_BUCKET] = { "tranche_bucket_seconds", "Time of a call of the bucket, with its retries",
                       "tranche_bucket_errors_total", "Calls of the bucket that failed, by error",
                       "tranche_bucket_retries_total",
                       "Calls of the bucket that were tried again" },
};

static const struct {
    const char *name, *help;
} events[] = {
    [STORE_SHARDS_LEASED] = { "tranche_shards_leased_total", "Shards that this process leased" },
    [STORE_SHARDS_DONE] = { "tranche_shards_done_total",
                            "Shards that this process recorded as done" },
    [STORE_SHARDS_LOST] = { "tranche_shards_lost_total",
                            "Shards that this process freed, because the lease of their "
                            "process had ended" },
    [STORE_CHECKPOINTS] = { "tranche_checkpoints_total",
                            "Checkpoints of shards that this process recorded" },
    [STORE_FENCES_REFUSED] = { "tranche_stale_fences_total",
                               "Writes of this process that were refused, because their fence was "
                               "an old one" },
    [STORE_LEASES_LOST] = { "tranche_leases_lost_total",
                            "Times that the lease of this process ended before it was renewed" },
    [STORE_PROCESSES_EXPIRED] = { "tranche_processes_expired_total",
                                  "Processes whose lease this process found ended" },
};

static atomic_bool fails[STORE_PART_COUNT]; /* the last call that ended */

static uint64_t now_ns(void)
{
    return clock_system()->mono_ns(clock_system());
}

uint64_t store_call_begin(void)
{
    return now_ns();
}

/* Does the error say that the part does not work? Else it has answered. */
static bool is_failure(const struct error *e)
{
    return e && (e->code == ERROR_UNAVAILABLE || e->code == ERROR_RESOURCE_EXHAUSTED ||
                 e->code == ERROR_DEADLINE_EXCEEDED || e->code == ERROR_PERMISSION_DENIED ||
                 e->code == ERROR_UNAUTHENTICATED || e->code == ERROR_DATA_LOSS ||
                 e->code == ERROR_INTERNAL);
}

void store_call_end(enum store_part part, const char *operation, uint64_t began_ns,
                    const struct error *e)
{
    char labels[METRIC_LABELS_BYTES];
    bool failed = is_failure(e);

    assert(part < STORE_PART_COUNT);
    metric_labels(labels, (const char *const[]){ "operation", operation, NULL });
    metric_observe(metric_histogram(parts[part].seconds, parts[part].seconds_help, labels),
                   (double)(now_ns() - began_ns) / (double)NS_PER_S);
    if (failed) {
        metric_labels(labels, (const char *const[]){ "operation", operation, "code",
                                                     error_name(e->code), NULL });
        metric_add(metric_counter(parts[part].errors, parts[part].errors_help, labels), 1);
    }
    if (atomic_load_explicit(&fails[part], memory_order_relaxed) != failed)
        atomic_store_explicit(&fails[part], failed, memory_order_relaxed);
}

void store_call_again(enum store_part part, const char *operation)
{
    char labels[METRIC_LABELS_BYTES];

    assert(part < STORE_PART_COUNT);
    metric_labels(labels, (const char *const[]){ "operation", operation, NULL });
    metric_add(metric_counter(parts[part].again, parts[part].again_help, labels), 1);
}

bool store_part_fails(enum store_part part)
{
    return atomic_load_explicit(&fails[part], memory_order_relaxed);
}

void store_count(enum store_event what, uint64_t n)
{
    assert((size_t)what < ARRAY_LEN(events));
    metric_add(metric_counter(events[what].name, events[what].help, NULL), n);
}
