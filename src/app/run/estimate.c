#include "app/run/estimate.h"

#include "app/run/rates.h"
#include "app/run/state.h"
#include "base/json.h"
#include "engine/lines/walk.h"

struct sample {
    uint64_t lines, tokens;
    uint64_t bytes; /* of the lines */
};

static int count_line(const struct local_job *j, struct arena *a, const struct line *line,
                      struct sample *s, struct error *e)
{
    struct violations bad = { .count = 0 };
    struct input_line in = { 0 };
    uint32_t tokens = 0;

    arena_reset(a);
    if (!ingest_line(a, line->text, &j->rules.rules, j->predictor, &in, &bad))
        return 0;
    if (j->predictor->ops->count_tokens(j->predictor, in.request, &tokens, e) < 0)
        return -1;
    s->lines++;
    s->tokens += tokens;
    s->bytes += line->text.len + 1;
    return 0;
}

/* Lines [first, first + count). */
static int sample_range(const struct local_job *j, struct walk *w, uint64_t first, uint64_t count,
                        struct sample *s, struct error *e)
{
    struct arena a = { 0 };
    struct line line;
    int rc = walk_line(w, first, &line, e);

    for (uint64_t n = 0; rc == 1 && n < count; n++) {
        rc = count_line(j, &a, &line, s, e);
        if (rc == 0 && n + 1 < count)
            rc = walk_next(w, &line, e);
        else if (rc == 0)
            rc = 1;
    }
    arena_release(&a);
    return rc < 0 ? -1 : 0;
}

/* All lines, or runs of neighbours that are spread evenly, so that few shards are read. */
static int sample_take(const struct local_job *j, struct sample *s, struct error *e)
{
    const uint64_t run = ESTIMATE_SAMPLE_LINES / ESTIMATE_SAMPLE_SHARDS;
    uint64_t lines = j->ingest.lines;
    struct walk w;
    int rc = 0;

    walk_init(&w, &j->input, &j->ingest, NULL);
    if (lines <= ESTIMATE_SAMPLE_LINES)
        rc = sample_range(j, &w, 0, lines, s, e);
    else
        for (uint64_t i = 0; rc == 0 && i < ESTIMATE_SAMPLE_SHARDS; i++)
            rc = sample_range(j, &w, (lines - run) / (ESTIMATE_SAMPLE_SHARDS - 1) * i, run, s, e);
    walk_release(&w);
    return rc;
}

static uint32_t mean(uint64_t sum, uint64_t count)
{
    uint64_t m = count ? sum / count : 0;

    return m > UINT32_MAX ? UINT32_MAX : (uint32_t)m;
}

/* The price of the average line, times lines: the long-prompt price is per line. */
static void estimate_cost(const struct local_job *j, uint64_t good, struct estimate *out)
{
    const uint32_t million = 1000000;
    struct price p = model_price(j->model, j->model_name);
    uint32_t prompt_mean = mean(out->prompt_tokens, good);

    if (p.long_prompt_tokens && prompt_mean > p.long_prompt_tokens) {
        p.input = p.long_input;
        p.output = p.long_output;
    }
    p.long_prompt_tokens = 0;
    out->priced = p.input > 0 || p.output > 0;
    struct usage prompt = { .prompt_tokens = million }, output = { .candidate_tokens = million };
    double batch = (double)price_batch_nano(&p, &prompt) / million * (double)out->prompt_tokens;
    double online = (double)price_online_nano(&p, &prompt) / million * (double)out->prompt_tokens;
    double batch_token = (double)price_batch_nano(&p, &output) / million;
    double online_token = (double)price_online_nano(&p, &output) / million;
    out->batch_nano = (uint64_t)(batch + batch_token * (double)out->output_tokens_max);
    out->online_nano = (uint64_t)(online + online_token * (double)out->output_tokens_max);
    out->batch_measured_nano = (uint64_t)(batch + batch_token * (double)out->output_tokens);
    out->online_measured_nano = (uint64_t)(online + online_token * (double)out->output_tokens);
}

/* The lengths of the answers that the last run of this command got. */
static void estimate_lengths(const struct local_job *j, const char *command, uint64_t good,
                             struct estimate *out)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    struct done d = { 0 };
    size_t at = 0;

    if (state_last_done(j->state_root, command, &a, &d)) {
        yyjson_val *summary = json_parse(&a, d.summary, &at, &ignored);
        yyjson_val *lines = json_get(summary, "lines"), *tokens = json_get(summary, "tokens");
        uint64_t answered = yyjson_get_uint(json_get(lines, "succeeded"));
        uint64_t copies = yyjson_get_uint(json_get(lines, "duplicates"));
        uint64_t generated = yyjson_get_uint(json_get(tokens, "generated")) +
                             yyjson_get_uint(json_get(tokens, "thought"));
        out->measured_lines = answered > copies ? answered - copies : 0;
        if (out->measured_lines)
            out->output_tokens =
                (uint64_t)((double)generated / (double)out->measured_lines * (double)good);
    }
    if (out->output_tokens > out->output_tokens_max)
        out->output_tokens = out->output_tokens_max;
    arena_release(&a);
}

/* Few answers are as long as they may be: the last run's mean counts when it is shorter. */
static void estimate_time(const struct local_job *j, uint64_t good, struct estimate *out)
{
    struct rates r;

    /* The time of another service is not measured here. */
    out->timed = j->predictor && rates_load(j->state_root, j->predictor->version, &r);
    if (!out->timed)
        return;
    double generated =
        out->measured_lines ? (double)out->output_tokens : r.generated_per_line * (double)good;
    if (generated > (double)out->output_tokens_max)
        generated = (double)out->output_tokens_max;
    double seconds = ((double)out->prompt_tokens + generated) / r.tokens_per_s;
    out->time_ns = seconds < 1e9 ? (uint64_t)(seconds * 1e9) : (uint64_t)1e18;
    out->measured_us = r.at_us;
}

int estimate_make(const struct local_job *j, const char *command, struct estimate *out,
                  struct error *e)
{
    const struct ingest_result *r = &j->ingest;
    uint64_t good = r->lines - r->bad;
    struct sample s = { 0 };

    *out = (struct estimate){ .output_unset = r->output_unset };
    if (good && j->predictor && j->predictor->ops->count_tokens && sample_take(j, &s, e) < 0)
        return -1;
    out->sampled = s.lines;
    out->exact = s.lines == good;
    if (out->exact)
        out->prompt_tokens = s.tokens;
    else if (s.bytes && r->lines)
        out->prompt_tokens = (uint64_t)((double)s.tokens / (double)s.bytes * (double)r->bytes *
                                        ((double)good / (double)r->lines));
    else
        out->prompt_tokens = r->text_bytes / ESTIMATE_BYTES_PER_TOKEN;
    out->output_tokens_max = r->output_max + r->output_unset * ESTIMATE_OUTPUT_DEFAULT;
    estimate_lengths(j, command, good, out);
    estimate_cost(j, good, out);
    estimate_time(j, good, out);
    return 0;
}
