/* metric.h -- counters, gauges and histograms, in the text format that Prometheus reads.
 *
 * Why: what the service does must be seen from outside by one request, from any thread's work,
 * without a lock on the way.
 *
 * Shape:   a series is a name and its labels as text: metric_counter("tranche_lines_total",
 *          "Lines that ended", "outcome=\"succeeded\""). Asking again gives the same series, so a
 *          caller in a loop keeps the pointer. After METRIC_SERIES_MAX series, or a label text that
 *          is too long, the events of all others count in tranche_metrics_dropped_total: no client can
 *          make memory grow.
 * Units:   in the name: _bytes, _seconds, _usd. A counter's name ends in _total, no other one does.
 * Threads: all; values are atomic, series live until the end of the program.
 * Source:  https://prometheus.io/docs/instrumenting/exposition_formats/
 */
#ifndef TRANCHE_BASE_METRIC_H
#define TRANCHE_BASE_METRIC_H

#include <stdint.h>

#include "base/str.h"

#define METRIC_SERIES_MAX 4096
#define METRIC_LABELS_BYTES 256
#define METRIC_LABEL_BYTES 72 /* of a value that metric_labels writes; longer ones are cut */

struct metric;
/* name and help must be constants; labels may be NULL. All series of a name have the same help, kind and names of
 * labels (asserted). */
struct metric *metric_counter(const char *name, const char *help, const char *labels);
struct metric *metric_gauge(const char *name, const char *help, const char *labels);
/* A counter of fractions; or of events that another module counts and gives as a total to metric_set. */
struct metric *metric_counter_real(const char *name, const char *help, const char *labels);
/* Buckets from 1 ms to 100 s in steps of about 1-2.5-5. */
struct metric *metric_histogram(const char *name, const char *help, const char *labels);

void metric_add(struct metric *m, uint64_t n);
void metric_add_real(struct metric *m, double value); /* value >= 0 */
void metric_set(struct metric *m, double value);      /* of a gauge or a real counter */
void metric_observe(struct metric *m, double seconds);
uint64_t metric_value(const struct metric *m); /* of a counter; of a histogram how many */

/* Labels from names and values in turn, until NULL; the values are escaped. */
void metric_labels(char out[METRIC_LABELS_BYTES], const char *const *name_and_value);

/* All series, by name, each name's help and type once. */
void metric_write(struct buf *out);

#endif
