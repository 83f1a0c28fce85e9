/* cmd_upstreams.c -- `tranche upstreams`: the servers behind a service's models, and how they are. */
#include "app/client/client.h"

#include <stdio.h>
#include <unistd.h>

#include "app/cli/human.h"
#include "app/cli/table.h"

#define COLUMNS 10

struct upstreams_options {
    struct client_options client;
    bool json;
};

static uint64_t count_of(yyjson_val *upstream, const char *name)
{
    uint64_t n = 0;

    (void)str_number(json_str(json_get(upstream, name)), &n);
    return n;
}

static struct str latency_of(yyjson_val *upstream, struct human *h)
{
    double s = yyjson_get_num(json_get(upstream, "latencySeconds"));

    return s > 0 ? str_of(human_duration(h, (uint64_t)(s * 1e9))) : STR("-");
}

static void add_row(struct table *t, yyjson_val *u)
{
    char at_once[TABLE_CELL_BYTES];
    uint64_t failed = count_of(u, "failed") + count_of(u, "overload") + count_of(u, "refused");

    (void)snprintf(at_once, sizeof at_once, "%llu/%llu",
                   (unsigned long long)yyjson_get_uint(json_get(u, "inFlight")),
                   (unsigned long long)yyjson_get_uint(json_get(u, "concurrency")));
    const struct str cells[COLUMNS] = {
        json_str(json_get(u, "name")),
        json_str(json_get(u, "health")),
        str_of(at_once),
        str_of(human_rate(HUMAN, yyjson_get_num(json_get(u, "requestsPerSecond")))),
        str_of(human_rate(HUMAN, yyjson_get_num(json_get(u, "tokensPerSecond")))),
        latency_of(u, HUMAN),
        str_of(human_count(HUMAN, count_of(u, "answered"))),
        str_of(human_count(HUMAN, failed)),
        str_of(human_percent(HUMAN, count_of(u, "cachedTokens"), count_of(u, "promptTokens"))),
        json_str(json_get(u, "lastError")),
    };
    table_row(t, cells);
}

static void print_upstreams(yyjson_val *list, struct buf *out)
{
    static const char *const head[COLUMNS] = { "NAME",   "HEALTH",    "IN FLIGHT", "REQ/S",
                                               "TOK/S",  "LATENCY",   "ANSWERED",  "FAILED",
                                               "CACHED", "LAST ERROR" };
    struct table t;
    yyjson_val *u;
    size_t i, n;

    table_init(&t, head, COLUMNS);
    yyjson_arr_foreach(list, i, n, u)
    {
        add_row(&t, u);
    }
    table_write(&t, out);
    table_release(&t);
}

static int upstreams(struct client *c, const struct arguments *given, enum exit_code *code,
                     struct error *e)
{
    const struct upstreams_options *o = given->options;
    struct buf out = BUF_INIT(TABLE_BYTES_MAX);
    const struct client_call call = {
        .method = "GET",
        .url = client_url(c, c->server, "/tranche/v1/upstreams", NULL),
    };
    struct str text;

    (void)code;
    if (client_needs_tranche(c, "upstreams", e) < 0)
        return -1;
    yyjson_val *answer = client_json(c, &call, &c->arena, &text, e);
    if (!answer)
        return -1;
    yyjson_val *list = json_get(answer, "upstreams");
    if (o->json)
        buf_add_str(&out, text);
    else if (yyjson_arr_size(list))
        print_upstreams(list, &out);
    else
        terminal_note(&c->terminal, "no upstreams: the configuration names none");
    terminal_write(STDOUT_FILENO, buf_str(&out));
    buf_release(&out);
    return 0;
}

#define OPTIONS struct upstreams_options
static const struct option_spec options[] = {
    OPT_FLAG("json", 0, json, "print a JSON object"),
    CLIENT_OPTIONS,
    { 0 },
};

const struct command command_upstreams = {
    .name = "upstreams",
    .summary = "show the servers behind a service's models, and their health",
    .arguments = "",
    .about =
        "IN FLIGHT is the number of open requests and the limit for them. Rates and latency are "
        "those of the last half minute. Only a project's admins see an upstream's URL and last "
        "error.",
    .options = options,
    .options_bytes = sizeof(struct upstreams_options),
    CLIENT_RUN(upstreams),
};
