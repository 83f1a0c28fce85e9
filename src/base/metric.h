/* metric.h -- counters, gauges and histograms, in the text format that Prometheus reads.
 *
 * Why: what the service does must be seen from outside by one request, from any thread's work,
 * without a lock on the way.
 *
 * Shape:   a series is a name and its labels as text: metric_counter("tranche_lines_total",
 *          "Lines that ended", "outcome=\"succeeded\""). Asking again gives the same series, so a
 *          caller in a loop keeps the pointer. After METRIC_SERIES_MAX series, or a label text that
 *          is too long, one shared series named "other" takes what comes: no client can make memory
 *          grow.
 * Units:   in the name: _total, _bytes, _seconds.
 * Threads: all; values are atomic, series live until the end of the program.
 * Source:  https://prometheus.io/docs/instrumenting/exposition_formats/
 */
#ifndef TRANCHE_BASE_METRIC_H
#define TRANCHE_BASE_METRIC_H

#include <stdint.h>

#include "base/str.h"

#define METRIC_SERIES_MAX 2048
#define METRIC_LABELS_BYTES 256

struct metric;
/* name and help must be constants; labels may be NULL. All series of a name have the same help, kind and names of
 * labels (asserted). */
struct metric *metric_counter(const char *name, const char *help, const char *labels);
struct metric *metric_gauge(const char *name, const char *help, const char *labels);
/* Buckets from 1 ms to 100 s in steps of about 1-2.5-5. */
struct metric *metric_histogram(const char *name, const char *help, const char *labels);

void metric_add(struct metric *m, uint64_t n);
void metric_set(struct metric *m, double value);
void metric_observe(struct metric *m, double seconds);
uint64_t metric_value(const struct metric *m); /* of a counter; of a histogram how many */

/* All series, by name, each name's help and type once. */
void metric_write(struct buf *out);

#endif
