#include "engine/service/job_metrics.h"

#include <assert.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/log.h"
#include "base/thread.h"
#include "predict/model.h"

#define CAUSES_MAX 16
#define LINES "tranche_lines_total", "Lines that ended, by outcome"
#define STRUCTURED                                                                                 \
    "tranche_structured_answers_total", "Answers that had to be JSON or an enum value"
#define COMPLETE                                                                                   \
    "tranche_structured_complete_total", "Answers that had to be JSON or an enum value, and are, " \
                                         "whole"
#define RETRIES "tranche_retries_total", "Attempts that failed and were tried again"
#define REUSED                                                                                     \
    "tranche_lines_reused_total", "Lines answered by an answer that an earlier job had kept"
#define TOKENS                                                                                     \
    "tranche_tokens_total",                                                                        \
        "Tokens of answered lines, by kind; forced are among the generated, rejected of no line"

/* Which counters feed which metric. */
static const struct {
    const char *name, *help, *label, *value;
    size_t offset;
} counted[] = {
    { LINES, "outcome", "succeeded", offsetof(struct counters, succeeded) },
    { LINES, "outcome", "failed", offsetof(struct counters, failed) },
    { TOKENS, "kind", "prompt", offsetof(struct counters, prompt_tokens) },
    { TOKENS, "kind", "cached", offsetof(struct counters, cached_tokens) },
    { TOKENS, "kind", "generated", offsetof(struct counters, candidate_tokens) },
    { TOKENS, "kind", "thoughts", offsetof(struct counters, thought_tokens) },
    { TOKENS, "kind", "forced", offsetof(struct counters, forced_tokens) },
    { TOKENS, "kind", "rejected", offsetof(struct counters, rejected_tokens) },
    { REUSED, NULL, NULL, offsetof(struct counters, reused) },
    { STRUCTURED, NULL, NULL, offsetof(struct counters, structured) },
    { COMPLETE, NULL, NULL, offsetof(struct counters, complete) },
    { RETRIES, NULL, NULL, 0 },
};
static_assert(ARRAY_LEN(counted) == JOB_METRICS, "struct job_metrics has a place for each");

/* Numbers are given once, so a series stays its owner's. */
static struct {
    pthread_mutex_t lock; /* guards all */
    uint32_t count;
    struct owner {
        char project[PROJECT_BYTES], model[MODEL_NAME_BYTES];
    } owner[JOB_OWNERS_MAX];
} owners = { .lock = PTHREAD_MUTEX_INITIALIZER };

uint32_t job_owner(const char *project, const char *model)
{
    uint32_t i = 0;

    lock(&owners.lock);
    while (i < owners.count && (strcmp(owners.owner[i].project, project) != 0 ||
                                strcmp(owners.owner[i].model, model) != 0))
        i++;
    if (i == owners.count && i < JOB_OWNERS_MAX) {
        struct owner *o = &owners.owner[owners.count++];
        (void)snprintf(o->project, sizeof o->project, "%s", project);
        (void)snprintf(o->model, sizeof o->model, "%s", model);
    }
    unlock(&owners.lock);
    return i;
}

/* With one more label, or without (name NULL). */
static void owner_labels(uint32_t number, const char *name, const char *value,
                         char out[METRIC_LABELS_BYTES])
{
    bool own = number < JOB_OWNERS_MAX;
    const struct owner *o = &owners.owner[own ? number : 0]; /* constant once it has a number */

    metric_labels(out, (const char *const[]){ "project", own ? o->project : "_other", "model",
                                              own ? o->model : "_other", name, value, NULL });
}

static uint64_t at(const struct counters *c, size_t offset)
{
    return *(const uint64_t *)(const void *)((const char *)c + offset);
}

void job_metrics_begin(struct job_metrics *m, const char *project, const char *model,
                       const struct counters *seen)
{
    uint32_t owner = job_owner(project, model);
    char labels[METRIC_LABELS_BYTES];

    m->seen = *seen;
    for (size_t i = 0; i < JOB_METRICS; i++) {
        owner_labels(owner, counted[i].label, counted[i].value, labels);
        m->counter[i] = metric_counter(counted[i].name, counted[i].help, labels);
    }
    owner_labels(owner, NULL, NULL, labels);
    m->cost = metric_counter_real(
        "tranche_cost_usd_total",
        "Cost of answered lines of jobs at the batch price, and of answers that were rejected",
        labels);
}

static uint64_t cost_nano(const struct counters *c)
{
    return c->cost_nano + c->rejected_cost_nano;
}

void job_metrics_progress(struct job_metrics *m, const struct progress *p)
{
    for (size_t i = 0; i < JOB_METRICS - 1; i++)
        metric_add(m->counter[i],
                   at(&p->counters, counted[i].offset) - at(&m->seen, counted[i].offset));
    metric_add(m->counter[JOB_METRICS - 1], p->retries - m->retries);
    if (cost_nano(&p->counters) > cost_nano(&m->seen))
        metric_add_real(m->cost, (double)(cost_nano(&p->counters) - cost_nano(&m->seen)) / 1e9);
    m->seen = p->counters;
    m->retries = p->retries;
}

/* One counter of online calls, with a label more or without. */
static void count_online(uint32_t owner, const char *name, const char *help,
                         const char *const label[2], uint64_t n)
{
    char labels[METRIC_LABELS_BYTES];

    owner_labels(owner, label ? label[0] : NULL, label ? label[1] : NULL, labels);
    metric_add(metric_counter(name, help, labels), n);
}

void online_metrics(uint32_t owner, const struct answer *a, const struct price *price)
{
    bool answered = a->error.code == ERROR_OK;
    const struct usage *u = &a->usage;
    const struct {
        const char *label[2];
        uint64_t count;
    } calls[] = {
        { { "outcome", "succeeded" }, answered },
        { { "outcome", "failed" }, !answered },
    }, tokens[] = {
        { { "kind", "prompt" }, answered ? u->prompt_tokens : 0 },
        { { "kind", "cached" }, answered ? u->cached_tokens : 0 },
        { { "kind", "generated" }, answered ? u->candidate_tokens : 0 },
        { { "kind", "thoughts" }, answered ? u->thought_tokens : 0 },
        { { "kind", "rejected" },
          a->rejected
              ? (uint64_t)u->prompt_tokens + u->candidate_tokens + u->thought_tokens
              : 0 },
    };
    char labels[METRIC_LABELS_BYTES];

    for (size_t i = 0; i < ARRAY_LEN(calls); i++)
        count_online(owner, "tranche_online_calls_total", "Online calls that ended, by outcome",
                     calls[i].label, calls[i].count);
    for (size_t i = 0; i < ARRAY_LEN(tokens); i++)
        count_online(owner, "tranche_online_tokens_total", "Tokens of online calls, by kind",
                     tokens[i].label, tokens[i].count);
    owner_labels(owner, NULL, NULL, labels);
    struct metric *cost = metric_counter_real("tranche_online_cost_usd_total",
                                              "Cost of online calls at the online price", labels);
    if (answered || a->rejected)
        metric_add_real(cost, (double)price_online_nano(a->price ? a->price : price, u) / 1e9);
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
    char labels[METRIC_LABELS_BYTES];

    metric_labels(labels,
                  (const char *const[]){
                      "project", job_owner(j->project, "") < JOB_OWNERS_MAX ? j->project : "_other",
                      "state", job_state_name(j->state), NULL });
    metric_add(metric_counter("tranche_jobs_ended_total", "Jobs that ended, by state", labels), 1);
    if (j->start_us)
        metric_observe(metric_histogram("tranche_job_wait_seconds",
                                        "From a job's creation to its first running", NULL),
                       seconds_between(j->create_us, j->start_us));
    metric_observe(
        metric_histogram("tranche_job_seconds", "From a job's creation to its end", NULL),
        seconds_between(j->create_us, j->end_us));
}

static void measure_owner(uint32_t owner, const struct job_tally *t)
{
    char labels[METRIC_LABELS_BYTES];

    for (unsigned state = 0; state < JOB_STATE_COUNT; state++) {
        if (job_state_final((enum job_state)state))
            continue;
        owner_labels(owner, "state", job_state_name((enum job_state)state), labels);
        metric_set(metric_gauge("tranche_jobs", "Jobs that are not final, by state", labels),
                   (double)t->count[state]);
    }
    owner_labels(owner, NULL, NULL, labels);
    metric_set(metric_gauge("tranche_job_waiting_seconds",
                            "Time that the job which has waited longest has waited to run; 0: none "
                            "waits",
                            labels),
               (double)t->waits_us / 1e6);
}

void job_metrics_open(const struct job_tally tally[JOB_OWNERS_MAX + 1])
{
    uint32_t count;

    lock(&owners.lock);
    count = owners.count;
    unlock(&owners.lock);
    for (uint32_t i = 0; i < count; i++)
        if (owners.owner[i].model[0]) /* not one of job_metrics_end */
            measure_owner(i, &tally[i]);
    if (count == JOB_OWNERS_MAX)
        measure_owner(JOB_OWNERS_MAX, &tally[JOB_OWNERS_MAX]);
}
