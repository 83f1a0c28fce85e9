/* extension.c -- the key "tranche" of both dialects: what is asked of a job, and what is told. */
#include "format/job/vertex.h"

#include <inttypes.h>

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
                     "requestId: At most %d visible ASCII characters are taken, such as a UUID.",
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

static void add_progress(struct members *m, const struct job *j)
{
    struct members p;

    if (!member_add(m, "progress"))
        return;
    members_begin(&p, m->out, (struct str){ 0 });
    member_add_count(&p, "total", j->counters.total);
    member_add_count(&p, "succeeded", j->counters.succeeded);
    member_add_count(&p, "failed", j->counters.failed);
    member_add_count(&p, "notRun", j->counters.not_run);
    member_add_count(&p, "pending", counters_pending(&j->counters));
    member_add_count(&p, "badLines", j->bad);
    members_end(&p);
}

static void add_live(struct members *m, const struct job_live *live)
{
    struct members inner;

    if (live->has_eta && member_add(m, "eta")) {
        members_begin(&inner, m->out, (struct str){ 0 });
        member_add_double(&inner, "seconds", live->eta_s);
        member_add_double(&inner, "low", live->eta_low_s);
        member_add_double(&inner, "high", live->eta_high_s);
        members_end(&inner);
    }
    if (live->queued)
        member_add_count(m, "queuePosition", live->position);
    if (live->running && member_add(m, "rates")) {
        members_begin(&inner, m->out, (struct str){ 0 });
        member_add_double(&inner, "linesPerSecond", live->lines_per_s);
        member_add_double(&inner, "promptTokensPerSecond", live->prompt_tokens_per_s);
        member_add_double(&inner, "generatedTokensPerSecond", live->generated_tokens_per_s);
        members_end(&inner);
    }
    if (live->running) {
        member_add_count(m, "inFlight", live->in_flight);
        member_add_count(m, "retries", live->retries);
    }
}

static void add_upstream(const struct job_upstream *u, struct buf *out)
{
    struct members inner;

    members_begin(&inner, out, (struct str){ 0 });
    member_add_text(&inner, "name", str_of(u->name));
    member_add_text(&inner, "health", str_of(u->health));
    member_add_count(&inner, "inFlight", u->in_flight);
    member_add_count(&inner, "concurrency", u->concurrency);
    member_add_double(&inner, "requestsPerSecond", u->requests_per_s);
    member_add_double(&inner, "tokensPerSecond", u->tokens_per_s);
    member_add_double(&inner, "latencySeconds", u->latency_s);
    members_end(&inner);
}

static void add_upstreams(struct members *m, const struct job_live *live)
{
    if (live->upstream_count == 0 || !member_add(m, "upstreams"))
        return;
    for (uint32_t i = 0; i < live->upstream_count; i++) {
        buf_add_char(m->out, i ? ',' : '[');
        add_upstream(&live->upstream[i], m->out);
    }
    buf_add_char(m->out, ']');
}

static void add_tokens(struct members *m, const struct job *j, const struct job_live *live)
{
    struct members t;

    if (!member_add(m, "tokens"))
        return;
    members_begin(&t, m->out, (struct str){ 0 });
    member_add_count(&t, "prompt", j->counters.prompt_tokens);
    member_add_count(&t, "cached", j->counters.cached_tokens);
    member_add_count(&t, "generated", j->counters.candidate_tokens);
    member_add_count(&t, "thoughts", j->counters.thought_tokens);
    if (live && live->tokens_estimate)
        member_add_count(&t, "estimated", live->tokens_estimate);
    members_end(&t);
}

static void add_cost(struct members *m, const struct job *j, const struct job_live *live)
{
    struct members c;

    if (!member_add(m, "cost"))
        return;
    members_begin(&c, m->out, (struct str){ 0 });
    member_add_double(&c, "soFarUsd", (double)j->counters.cost_nano / NANO_PER_USD);
    member_add_double(&c, "onlineUsd", (double)j->counters.cost_online_nano / NANO_PER_USD);
    if (live && live->cost_estimate_nano)
        member_add_double(&c, "estimatedUsd", (double)live->cost_estimate_nano / NANO_PER_USD);
    if (live && live->online_estimate_nano)
        member_add_double(&c, "estimatedOnlineUsd",
                          (double)live->online_estimate_nano / NANO_PER_USD);
    members_end(&c);
}

/* Prompt tokens that were not computed, over all stretches of running, are in the counters. */
static void add_saved(struct members *m, const struct job *j)
{
    struct members s;

    if (!member_add(m, "saved"))
        return;
    members_begin(&s, m->out, (struct str){ 0 });
    member_add_count(&s, "duplicateLines", j->counters.duplicates);
    member_add_count(&s, "duplicateTokens", j->counters.duplicate_tokens);
    member_add_count(&s, "sharedTokens", j->counters.cached_tokens);
    members_end(&s);
}

static void add_budget(struct members *m, const struct job_options *o)
{
    struct members b;

    if ((!o->budget_nano && !o->budget_tokens) || !member_add(m, "budget"))
        return;
    members_begin(&b, m->out, (struct str){ 0 });
    if (o->budget_nano)
        member_add_double(&b, "usd", (double)o->budget_nano / NANO_PER_USD);
    if (o->budget_tokens)
        member_add_count(&b, "tokens", o->budget_tokens);
    members_end(&b);
}

/* In the form in which they are asked, so that they can be sent again. */
static void add_options(struct members *m, const struct job *j)
{
    const struct job_options *opt = &j->options;
    struct members o;

    if (!member_add(m, "options"))
        return;
    members_begin(&o, m->out, (struct str){ 0 });
    if (opt->validate_only)
        member_add_bool(&o, "validateOnly", true);
    if (opt->strict)
        member_add_bool(&o, "strict", true);
    add_budget(&o, opt);
    if (opt->error_rate_max > 0)
        member_add_double(&o, "maxErrorRate", opt->error_rate_max);
    if (opt->error_lines_min)
        member_add_count(&o, "maxErrorRateMinLines", opt->error_lines_min);
    if (j->request_id.len)
        member_add_text(&o, "requestId", j->request_id);
    if (j->priority && member_add(&o, "priority"))
        buf_addf(o.out, "%" PRId64, j->priority);
    members_end(&o);
}

static void add_validation(struct members *m, const struct job *j)
{
    struct members v;

    if (!j->options.validate_only || j->state == JOB_PENDING || !member_add(m, "validation"))
        return;
    members_begin(&v, m->out, (struct str){ 0 });
    member_add_count(&v, "valid", j->counters.total > j->bad ? j->counters.total - j->bad : 0);
    member_add_count(&v, "badLines", j->bad);
    members_end(&v);
}

void job_write_extension(const struct job *j, const struct job_live *live, struct buf *out)
{
    struct members m;

    members_begin(&m, out, (struct str){ 0 });
    if (member_add(&m, "id"))
        buf_addf(out, "\"%" PRId64 "\"", j->id);
    member_add_text(&m, "state", str_of(job_state_name(j->state)));
    if (j->pause_reason.len)
        member_add_text(&m, "pauseReason", j->pause_reason);
    add_progress(&m, j);
    add_validation(&m, j);
    if (live) {
        add_live(&m, live);
        add_upstreams(&m, live);
    }
    add_tokens(&m, j, live);
    add_cost(&m, j, live);
    add_saved(&m, j);
    add_options(&m, j);
    if (j->retry_of && member_add(&m, "retryOf"))
        buf_addf(out, "\"%" PRId64 "\"", j->retry_of);
    members_end(&m);
}
