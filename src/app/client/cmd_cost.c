/* cmd_cost.c -- `tranche cost`: what a job has used and spent, what it will, what it saved. */
#include "app/client/client_job.h"

#include <unistd.h>

#include "app/cli/human.h"

#define TEXT_BYTES_MAX ((size_t)64 * 1024)

struct cost_options {
    struct client_options client;
    bool json;
};

static void add_usd(struct buf *out, const char *name, uint64_t nano)
{
    buf_addf(out, ",\"%s\":", name);
    buf_add_double(out, (double)nano / 1e9);
}

static void cost_json(const struct job_view *v, struct buf *out)
{
    const struct counters *b = &v->counters;

    buf_add_c(out, "{\"job\":");
    buf_add_json(out, job_view_id(v));
    buf_addf(out, ",\"prompt_tokens\":%llu,\"cached_tokens\":%llu,\"generated_tokens\":%llu",
             (unsigned long long)b->prompt_tokens, (unsigned long long)b->cached_tokens,
             (unsigned long long)(b->candidate_tokens + b->thought_tokens));
    buf_addf(out, ",\"duplicate_lines\":%llu,\"duplicate_tokens\":%llu,\"estimated_tokens\":%llu",
             (unsigned long long)b->duplicates, (unsigned long long)b->duplicate_tokens,
             (unsigned long long)v->tokens_estimate);
    add_usd(out, "batch_usd", b->cost_nano);
    add_usd(out, "online_usd", b->cost_online_nano);
    add_usd(out, "estimated_usd", v->cost_estimate_nano);
    add_usd(out, "estimated_online_usd", v->online_estimate_nano);
    buf_add_c(out, "}\n");
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
    if (v->cost_estimate_nano)
        buf_addf(out, "estimate  %s in all; online %s\n", human_money(HUMAN, v->cost_estimate_nano),
                 human_money(HUMAN, v->online_estimate_nano));
}

static int print_cost(struct client *c, const char *id, bool json, struct error *e)
{
    struct job_view v;
    struct buf out = BUF_INIT(TEXT_BYTES_MAX);
    const char *url = client_job_url(c, id, NULL, e);

    if (!url || client_job(c, url, &c->arena, &v, NULL, e) < 0)
        return -1;
    if (!v.detailed)
        return error_set(e, ERROR_UNIMPLEMENTED, "%s does not say what a job costs; its bill does",
                         c->server);
    if (json)
        cost_json(&v, &out);
    else
        cost_text(&v, &out);
    console_write(STDOUT_FILENO, buf_str(&out));
    buf_release(&out);
    return 0;
}

static enum exit_code cost_run(const void *options, const char *const *argument, uint32_t count)
{
    const struct cost_options *o = options;
    struct client c;
    struct error e = { 0 };
    int rc = client_open(&c, &o->client, &e);

    (void)count;
    if (rc == 0)
        rc = print_cost(&c, argument[0], o->json, &e);
    return client_end(&c, rc, &e);
}

static const struct option_spec options[] = {
    { "json", 0, OPTION_FLAG, offsetof(struct cost_options, json), NULL, "as a JSON object",
      COMPLETE_NONE, 0, 0 },
    CLIENT_OPTIONS(struct cost_options),
    { 0 },
};

const struct command command_cost = {
    .name = "cost",
    .summary = "tokens and money of a job: so far, estimated, saved",
    .arguments = "JOB",
    .about = "Money is at the batch price, which is half of the online price.",
    .options = options,
    .options_bytes = sizeof(struct cost_options),
    .arguments_min = 1,
    .arguments_max = 1,
    .run = cost_run,
};
