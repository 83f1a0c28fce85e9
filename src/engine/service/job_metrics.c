#include "engine/service/job_metrics.h"

#include <stddef.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/log.h"
#include "base/metric.h"

#define CAUSES_MAX 16
#define LINES "tranche_lines_total", "Lines that ended, by outcome"
#define STRUCTURED                                                                                 \
    "tranche_structured_answers_total", "Answers that had to be JSON or an enum value"
#define COMPLETE                                                                                   \
    "tranche_structured_complete_total", "Answers that had to be JSON or an enum value, and are, " \
                                         "whole"
#define TOKENS                                                                                     \
    "tranche_tokens_total",                                                                        \
        "Tokens of answered lines, by kind; forced are among the generated, rejected of no line"

/* Which counters feed which metric. */
static const struct {
    const char *name, *help, *labels;
    size_t offset;
} counted[] = {
    { LINES, "outcome=\"succeeded\"", offsetof(struct counters, succeeded) },
    { LINES, "outcome=\"failed\"", offsetof(struct counters, failed) },
    { TOKENS, "kind=\"prompt\"", offsetof(struct counters, prompt_tokens) },
    { TOKENS, "kind=\"cached\"", offsetof(struct counters, cached_tokens) },
    { TOKENS, "kind=\"generated\"", offsetof(struct counters, candidate_tokens) },
    { TOKENS, "kind=\"thoughts\"", offsetof(struct counters, thought_tokens) },
    { TOKENS, "kind=\"forced\"", offsetof(struct counters, forced_tokens) },
    { TOKENS, "kind=\"rejected\"", offsetof(struct counters, rejected_tokens) },
    { STRUCTURED, NULL, offsetof(struct counters, structured) },
    { COMPLETE, NULL, offsetof(struct counters, complete) },
};

static uint64_t at(const struct counters *c, size_t offset)
{
    return *(const uint64_t *)(const void *)((const char *)c + offset);
}

void job_metrics_progress(struct job_metrics *m, const struct progress *p)
{
    for (size_t i = 0; i < ARRAY_LEN(counted); i++)
        metric_add(metric_counter(counted[i].name, counted[i].help, counted[i].labels),
                   at(&p->counters, counted[i].offset) - at(&m->seen, counted[i].offset));
    metric_add(
        metric_counter("tranche_retries_total", "Attempts that failed and were tried again", NULL),
        p->retries - m->retries);
    m->seen = p->counters;
    m->retries = p->retries;
}

void job_metrics_failures(struct spool *s)
{
    struct spool_failures causes[CAUSES_MAX];
    uint32_t count = 0;
    struct error e;
    char labels[64];

    if (spool_failures(s, causes, CAUSES_MAX, &count, &e) < 0)
        log_warn("%s", e.msg);
    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(labels, sizeof labels, "code=\"%s\"", error_name(causes[i].code));
        metric_add(metric_counter("tranche_line_failures_total",
                                  "Failed lines of jobs that ended, by cause", labels),
                   causes[i].count);
    }
}

static double seconds_between(int64_t from_us, int64_t to_us)
{
    return to_us > from_us ? (double)(to_us - from_us) / 1e6 : 0;
}

void job_metrics_end(const struct job *j)
{
    char labels[64];

    (void)snprintf(labels, sizeof labels, "state=\"%s\"", job_state_name(j->state));
    metric_add(metric_counter("tranche_jobs_ended_total", "Jobs that ended, by state", labels), 1);
    if (j->start_us)
        metric_observe(metric_histogram("tranche_job_wait_seconds",
                                        "From a job's creation to its first running", NULL),
                       seconds_between(j->create_us, j->start_us));
    metric_observe(
        metric_histogram("tranche_job_seconds", "From a job's creation to its end", NULL),
        seconds_between(j->create_us, j->end_us));
}

void job_metrics_open(const uint64_t count[JOB_STATE_COUNT])
{
    char labels[64];

    for (unsigned s = 0; s < JOB_STATE_COUNT; s++) {
        if (job_state_final((enum job_state)s))
            continue;
        (void)snprintf(labels, sizeof labels, "state=\"%s\"", job_state_name((enum job_state)s));
        metric_set(metric_gauge("tranche_jobs", "Jobs that are not final, by state", labels),
                   (double)count[s]);
    }
}
