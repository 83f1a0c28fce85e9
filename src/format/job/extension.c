/* extension.c -- the key "tranche" of both dialects: options of a job in, what is known of it out. */
#include "format/job/vertex.h"

#include <inttypes.h>

#include "base/clock.h"
#include "format/job/resource.h"

#define REQUEST_ID_BYTES_MAX 128
#define NANO_PER_USD 1e9

// clang-format off
#define F(text, ...) RESOURCE_FIELD(text, __VA_ARGS__)
#define RANGE(from, to) .ranged = true, .lo = (from), .hi = (to)
#define COUNT_FROM(from) .ranged = true, .lo = (from), .hi = 0x1p63, .hi_open = true

static const struct field budget_fields[] = {
    F("usd",    NUMBER,  RANGE(1e-9, 1e9)),
    F("tokens", INTEGER, COUNT_FROM(1)),
};
static const struct message budget_message = RESOURCE_MESSAGE("the budget", budget_fields,
    .example = "{\"usd\": 5}");

static const struct field extension_fields[] = {
    F("validateOnly",         BOOL),
    F("strict",               BOOL),
    F("reuse",                BOOL),
    F("budget",               MESSAGE, .message = &budget_message),
    F("maxErrorRate",         NUMBER, RANGE(0, 1)),
    F("maxErrorRateMinLines", INTEGER, COUNT_FROM(0)),
    F("requestId",            STRING),
    F("priority",             INTEGER, RANGE(-1e6, 1e6)),
};
static const struct message extension_message =
    RESOURCE_MESSAGE("tranche", extension_fields, .example = "{\"validateOnly\": true}");
// clang-format on

static void bool_read(yyjson_val *object, const char *name, bool *out)
{
    yyjson_val *v = request_field(object, name);

    if (v)
        *out = yyjson_get_bool(v);
}

static void count_read(yyjson_val *object, const char *name, uint64_t *out)
{
    int64_t whole;

    if (request_integer(request_field(object, name), &whole))
        *out = (uint64_t)whole;
}

static void options_read(yyjson_val *object, struct job_options *out)
{
    yyjson_val *budget = request_field(object, "budget");
    double d;

    bool_read(object, "validateOnly", &out->validate_only);
    bool_read(object, "strict", &out->strict);
    bool_read(object, "reuse", &out->reuse);
    if (request_number(request_field(budget, "usd"), &d))
        out->budget_nano = (uint64_t)(d * NANO_PER_USD + 0.5);
    count_read(budget, "tokens", &out->budget_tokens);
    if (request_number(request_field(object, "maxErrorRate"), &d))
        out->error_rate_max = d;
    count_read(object, "maxErrorRateMinLines", &out->error_lines_min);
}

int job_request_id_check(struct str id, struct error *e)
{
    bool plain = id.len <= REQUEST_ID_BYTES_MAX;

    for (size_t i = 0; i < id.len && plain; i++)
        plain = id.p[i] > ' ' && id.p[i] <= '~';
    if (plain)
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "requestId: At most %d visible ASCII characters are allowed, such as a UUID.",
                     REQUEST_ID_BYTES_MAX);
}

int job_read_extension(struct arena *a, yyjson_val *object, struct job *out, struct error *e)
{
    int64_t priority;

    if (!object || yyjson_is_null(object))
        return 0;
    if (resource_check("tranche", &extension_message, object, e) < 0)
        return -1;
    struct str id = json_str(request_field(object, "requestId"));
    if (job_request_id_check(id, e) < 0)
        return error_wrap(e, "tranche");
    options_read(object, &out->options);
    if (id.len)
        out->request_id = (struct str){ arena_copy(a, id.p, id.len), id.len };
    if (request_integer(request_field(object, "priority"), &priority))
        out->priority = priority;
    return 0;
}

static void add_progress(struct json_writer *w, const struct job *j, const struct job_live *live)
{
    const struct counters *c = &j->counters;
    char time[CLOCK_TEXT_BYTES];

    json_object(w, "progress");
    json_add_uint(w, "total", c->total);
    json_add_uint(w, "succeeded", c->succeeded);
    json_add_uint(w, "failed", c->failed);
    json_add_uint(w, "notRun", c->not_run);
    json_add_uint(w, "pending", counters_pending(c));
    json_add_uint(w, "badLines", j->bad);
    if (live && live->progress_us) {
        clock_format_rfc3339(live->progress_us, time);
        json_add_c(w, "time", time);
    }
    json_end(w);
}

static void add_validation(struct json_writer *w, const struct job *j)
{
    if (!j->options.validate_only || j->state == JOB_PENDING)
        return;
    json_object(w, "validation");
    json_add_uint(w, "valid", j->counters.total > j->bad ? j->counters.total - j->bad : 0);
    json_add_uint(w, "badLines", j->bad);
    json_end(w);
}

static void add_live(struct json_writer *w, const struct job_live *live)
{
    if (live->has_eta) {
        json_object(w, "eta");
        json_add_double(w, "seconds", live->eta_s);
        json_add_double(w, "low", live->eta_low_s);
        json_add_double(w, "high", live->eta_high_s);
        json_end(w);
    }
    if (live->queued)
        json_add_uint(w, "queuePosition", live->position);
    if (!live->running)
        return;
    json_object(w, "rates");
    json_add_double(w, "linesPerSecond", live->lines_per_s);
    json_add_double(w, "promptTokensPerSecond", live->prompt_tokens_per_s);
    json_add_double(w, "generatedTokensPerSecond", live->generated_tokens_per_s);
    json_end(w);
    json_add_uint(w, "inFlight", live->in_flight);
    json_add_uint(w, "retries", live->retries);
}

static void add_upstreams(struct json_writer *w, const struct job_live *live)
{
    if (live->upstream_count == 0)
        return;
    json_array(w, "upstreams");
    for (uint32_t i = 0; i < live->upstream_count; i++) {
        const struct job_upstream *u = &live->upstream[i];
        json_object(w, NULL);
        json_add_c(w, "name", u->name);
        json_add_c(w, "health", u->health);
        json_add_uint(w, "inFlight", u->in_flight);
        json_add_uint(w, "concurrency", u->concurrency);
        json_add_double(w, "requestsPerSecond", u->requests_per_s);
        json_add_double(w, "tokensPerSecond", u->tokens_per_s);
        json_add_double(w, "latencySeconds", u->latency_s);
        json_end(w);
    }
    json_end(w);
}

static void add_tokens(struct json_writer *w, const struct job *j, const struct job_live *live)
{
    json_object(w, "tokens");
    json_add_uint(w, "prompt", j->counters.prompt_tokens);
    json_add_uint(w, "cached", j->counters.cached_tokens);
    json_add_uint(w, "generated", j->counters.candidate_tokens);
    json_add_uint(w, "thoughts", j->counters.thought_tokens);
    if (j->counters.forced_tokens)
        json_add_uint(w, "forced", j->counters.forced_tokens);
    if (live && live->tokens_estimate)
        json_add_uint(w, "estimated", live->tokens_estimate);
    json_end(w);
}

static void add_usd(struct json_writer *w, const char *key, uint64_t nano)
{
    json_add_double(w, key, (double)nano / NANO_PER_USD);
}

static void add_cost(struct json_writer *w, const struct job *j, const struct job_live *live)
{
    json_object(w, "cost");
    add_usd(w, "soFarUsd", j->counters.cost_nano);
    add_usd(w, "onlineUsd", j->counters.cost_online_nano);
    if (live && live->cost_estimate_nano)
        add_usd(w, "estimatedUsd", live->cost_estimate_nano);
    if (live && live->online_estimate_nano)
        add_usd(w, "estimatedOnlineUsd", live->online_estimate_nano);
    json_end(w);
}

/* The counters hold the prompt tokens that were reused over all stretches of running. */
static void add_saved(struct json_writer *w, const struct job *j)
{
    json_object(w, "saved");
    json_add_uint(w, "duplicateLines", j->counters.duplicates);
    json_add_uint(w, "duplicateTokens", j->counters.duplicate_tokens);
    json_add_uint(w, "sharedTokens", j->counters.cached_tokens);
    if (j->options.reuse) {
        json_add_uint(w, "reusedLines", j->counters.reused);
        json_add_uint(w, "reusedTokens", j->counters.reused_tokens);
    }
    json_end(w);
}

static void add_budget(struct json_writer *w, const struct job_options *o)
{
    if (!o->budget_nano && !o->budget_tokens)
        return;
    json_object(w, "budget");
    if (o->budget_nano)
        add_usd(w, "usd", o->budget_nano);
    if (o->budget_tokens)
        json_add_uint(w, "tokens", o->budget_tokens);
    json_end(w);
}

/* Answers that had to have a form, and those that had it not, which the upstream bills nevertheless. */
static void add_structured(struct json_writer *w, const struct counters *c)
{
    if (c->structured) {
        json_object(w, "structured");
        json_add_uint(w, "answers", c->structured);
        json_add_uint(w, "complete", c->complete);
        json_end(w);
    }
    if (c->rejected) {
        json_object(w, "rejected");
        json_add_uint(w, "answers", c->rejected);
        json_add_uint(w, "tokens", c->rejected_tokens);
        add_usd(w, "usd", c->rejected_cost_nano);
        json_end(w);
    }
}

/* In the form of a create body, so that they can be sent again. */
static void add_options(struct json_writer *w, const struct job *j)
{
    const struct job_options *o = &j->options;

    json_object(w, "options");
    if (o->validate_only)
        json_add_bool(w, "validateOnly", true);
    if (o->strict)
        json_add_bool(w, "strict", true);
    if (o->reuse)
        json_add_bool(w, "reuse", true);
    add_budget(w, o);
    if (o->error_rate_max > 0)
        json_add_double(w, "maxErrorRate", o->error_rate_max);
    if (o->error_lines_min)
        json_add_uint(w, "maxErrorRateMinLines", o->error_lines_min);
    if (j->request_id.len)
        json_add_text(w, "requestId", j->request_id);
    if (j->priority)
        json_add_int(w, "priority", j->priority);
    json_end(w);
}

void job_add_extension(struct json_writer *w, const char *key, const struct job *j,
                       const struct job_live *live)
{
    json_object(w, key);
    json_addf(w, "id", "%" PRId64, j->id);
    json_add_c(w, "state", job_state_name(j->state));
    if (j->pause_reason.len)
        json_add_text(w, "pauseReason", j->pause_reason);
    add_progress(w, j, live);
    add_validation(w, j);
    if (live) {
        add_live(w, live);
        add_upstreams(w, live);
    }
    add_tokens(w, j, live);
    add_cost(w, j, live);
    add_saved(w, j);
    add_structured(w, &j->counters);
    add_options(w, j);
    resource_add_int64(w, "retryOf", j->retry_of);
    json_end(w);
}
