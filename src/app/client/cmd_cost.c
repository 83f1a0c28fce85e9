/* cmd_cost.c -- `tranche cost`: what a job has used and spent, what it will, what it saved. */
#include "app/client/client_job.h"

#include <unistd.h>

#include "app/cli/human.h"
#include "base/json_write.h"

#define TEXT_BYTES_MAX ((size_t)64 * 1024)

struct cost_options {
    struct client_options client;
    bool json;
};

static void cost_json(const struct job_view *v, struct buf *out)
{
    const struct counters *b = &v->counters;
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_text(&w, "job", job_view_id(v));
    json_add_uint(&w, "prompt_tokens", b->prompt_tokens);
    json_add_uint(&w, "cached_tokens", b->cached_tokens);
    json_add_uint(&w, "generated_tokens", b->candidate_tokens + b->thought_tokens);
    json_add_uint(&w, "duplicate_lines", b->duplicates);
    json_add_uint(&w, "duplicate_tokens", b->duplicate_tokens);
    json_add_uint(&w, "estimated_tokens", v->tokens_estimate);
    json_add_double(&w, "batch_usd", (double)b->cost_nano / 1e9);
    json_add_double(&w, "online_usd", (double)b->cost_online_nano / 1e9);
    json_add_uint(&w, "rejected_answers", b->rejected);
    json_add_uint(&w, "rejected_tokens", b->rejected_tokens);
    json_add_double(&w, "rejected_usd", (double)b->rejected_cost_nano / 1e9);
    json_add_double(&w, "estimated_usd", (double)v->cost_estimate_nano / 1e9);
    json_add_double(&w, "estimated_online_usd", (double)v->online_estimate_nano / 1e9);
    json_end(&w);
    buf_add_char(out, '\n');
}

static void cost_text(const struct job_view *v, struct buf *out)
{
    const struct counters *b = &v->counters;

    buf_addf(out, "tokens    %s prompt, %s generated", human_count(HUMAN, b->prompt_tokens),
             human_count(HUMAN, b->candidate_tokens + b->thought_tokens));
    if (v->tokens_estimate)
        buf_addf(out, "; about %s in all", human_count(HUMAN, v->tokens_estimate));
    buf_addf(out, "\nsaved     %s reused tokens, %s of duplicates\n",
             human_count(HUMAN, b->cached_tokens), human_count(HUMAN, b->duplicate_tokens));
    buf_addf(out, "cost      %s at the batch price; online %s\n", human_money(HUMAN, b->cost_nano),
             human_money(HUMAN, b->cost_online_nano));
    if (b->rejected)
        buf_addf(out,
                 "rejected  %s answers did not match their schema: %s tokens, %s beside the cost\n",
                 human_count(HUMAN, b->rejected), human_count(HUMAN, b->rejected_tokens),
                 human_money(HUMAN, b->rejected_cost_nano));
    if (v->cost_estimate_nano)
        buf_addf(out, "estimate  %s in all; online %s\n", human_money(HUMAN, v->cost_estimate_nano),
                 human_money(HUMAN, v->online_estimate_nano));
}

static int cost(struct client *c, const struct arguments *given, enum exit_code *code,
                struct error *e)
{
    const struct cost_options *o = given->options;
    struct job_view v;
    struct buf out = BUF_INIT(TEXT_BYTES_MAX);
    const char *id = client_job_id(c, given->argument[0], e);
    const char *url = id ? client_job_url(c, id, NULL, e) : NULL;

    (void)code;
    if (!url || client_job(c, url, &c->arena, &v, NULL, e) < 0)
        return -1;
    if (!v.detailed)
        return error_set(e, ERROR_UNIMPLEMENTED, "%s does not say what a job costs; its bill does",
                         c->server);
    if (o->json)
        cost_json(&v, &out);
    else
        cost_text(&v, &out);
    terminal_write(STDOUT_FILENO, buf_str(&out));
    buf_release(&out);
    return 0;
}

#define OPTIONS struct cost_options
static const struct option_spec options[] = {
    OPT_FLAG("json", 0, json, "print a JSON object"),
    CLIENT_OPTIONS,
    { 0 },
};

const struct command command_cost = {
    .name = "cost",
    .summary = "show tokens and cost of a job: so far, estimated, saved",
    .arguments = "JOB",
    .about = "Money is at the batch price, which is half of the online price.",
    .options = options,
    .options_bytes = sizeof(struct cost_options),
    .arguments_min = 1,
    .arguments_max = 1,
    CLIENT_RUN(cost),
};
