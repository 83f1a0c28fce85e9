/* cmd_jobs.c -- `tranche jobs`: the project's jobs, the newest first. */
#include "app/client/client_job.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "app/cli/human.h"
#include "app/cli/table.h"

#define LIMIT_DEFAULT 50
#define PAGE_MAX 100
#define COLUMNS 7
#define TIME_COLUMNS 16 /* "2026-11-22T10:00" */

struct jobs_options {
    struct client_options client;
    const char *filter;
    uint64_t limit;
    bool json;
};

/* The model's own name: what stands before it is the same for all. */
static struct str short_model(struct str model)
{
    size_t at = model.len;

    while (at > 0 && model.p[at - 1] != '/')
        at--;
    return str_sub(model, at, model.len);
}

static void add_row(struct table *t, const struct job_view *v)
{
    const struct counters *b = &v->counters;
    char done[TABLE_CELL_BYTES] = "-";
    uint64_t cost = b->cost_nano;

    if (b->total)
        (void)snprintf(done, sizeof done, "%s/%s", human_count(HUMAN, counters_done(b)),
                       human_count(HUMAN, b->total));
    else if (counters_done(b))
        (void)snprintf(done, sizeof done, "%s", human_count(HUMAN, counters_done(b)));
    const struct str cells[COLUMNS] = {
        job_view_id(v),
        v->state,
        str_of(done),
        str_of(human_count(HUMAN, b->failed)),
        str_of(cost ? human_money(HUMAN, cost) : "-"),
        str_sub(v->create_time, 0, TIME_COLUMNS),
        short_model(v->model),
    };

    table_row(t, cells);
}

/* ---- Pages ---- */

struct list {
    struct client *client;
    const struct jobs_options *o;
    uint64_t left;
    struct table table;
    struct buf json; /* of one page */
};

/* The elements of an array as they were written. */
static bool element_next(struct str array, size_t *at, struct str *out)
{
    size_t begin = json_space(array, *at + 1);

    if (begin >= array.len || array.p[begin] == ']')
        return false;
    size_t end = json_skip(array, begin);
    *out = str_sub(array, begin, end - begin);
    *at = json_space(array, end);
    return true;
}

static void add_json(struct list *l, struct str page)
{
    struct json_member m = { 0 };
    struct str job;
    size_t at = 0;

    while (json_member_next(page, &m))
        if (str_eq(m.key, STR("batchPredictionJobs")))
            break;
    if (m.next == 0 || !str_eq(m.key, STR("batchPredictionJobs")))
        return;
    for (uint64_t n = 0; n < l->left && element_next(m.value, &at, &job); n++) {
        client_compact(job, &l->json);
        buf_add_char(&l->json, '\n');
    }
}

static uint64_t add_page(struct list *l, yyjson_val *page, struct str text)
{
    yyjson_val *jobs = json_get(page, "batchPredictionJobs"), *job;
    size_t i, n;
    uint64_t shown = 0;

    if (l->o->json)
        add_json(l, text);
    yyjson_arr_foreach(jobs, i, n, job)
    {
        struct job_view v;
        if (shown == l->left)
            break;
        job_view_read(job, &v);
        if (!l->o->json)
            add_row(&l->table, &v);
        shown++;
    }
    return shown;
}

static const char *page_url(struct list *l, struct str token)
{
    char size[24];

    (void)snprintf(size, sizeof size, "%llu",
                   (unsigned long long)(l->left < PAGE_MAX ? l->left : PAGE_MAX));
    const struct str values[] = { str_of(size), str_of(l->o->filter), token };
    return client_url(l->client, client_jobs_url(l->client), "?pageSize={}&filter={}&pageToken={}",
                      values);
}

static int read_pages(struct list *l, struct error *e)
{
    struct arena *a = &l->client->arena;
    struct str token = { 0 };

    do {
        const struct client_call call = { .method = "GET", .url = page_url(l, token) };
        struct str text;
        yyjson_val *page = client_json(l->client, &call, a, &text, e);
        if (!page)
            return -1;
        l->left -= add_page(l, page, text);
        terminal_write(STDOUT_FILENO, buf_str(&l->json));
        buf_clear(&l->json);
        struct str next = json_str(json_get(page, "nextPageToken"));
        token = str_eq(next, token) ? (struct str){ 0 } : next;
    } while (l->left && token.len);
    return 0;
}

static void print_table(const struct table *t)
{
    struct buf out = BUF_INIT(TABLE_BYTES_MAX);

    table_write(t, &out);
    terminal_write(STDOUT_FILENO, buf_str(&out));
    buf_release(&out);
}

static int jobs(struct client *c, const struct arguments *given, enum exit_code *code,
                struct error *e)
{
    const struct jobs_options *o = given->options;
    static const char *const names[COLUMNS] = { "JOB",  "STATE",   "LINES", "FAILED",
                                                "COST", "CREATED", "MODEL" };
    struct list l = { .client = c,
                      .o = o,
                      .left = o->limit ? o->limit : LIMIT_DEFAULT,
                      .json = BUF_INIT(TABLE_BYTES_MAX) };
    int rc;

    (void)code;
    table_init(&l.table, names, COLUMNS);
    rc = read_pages(&l, e);
    if (rc == 0 && !buf_ok(&l.table.cells))
        rc = error_set(e, ERROR_RESOURCE_EXHAUSTED, "too many jobs to show; use --limit");
    if (rc == 0 && l.table.rows > 1)
        print_table(&l.table);
    else if (rc == 0 && !o->json)
        terminal_note(&c->terminal, o->filter ? "no job matches" : "no jobs yet");
    table_release(&l.table);
    buf_release(&l.json);
    return rc;
}

#define OPTIONS struct jobs_options
static const struct option_spec options[] = {
    OPT_TEXT("filter", 'f', filter, "EXPR",
             "list only jobs that match, such as 'state=\"JOB_STATE_RUNNING\"'"),
    OPT_COUNT("limit", 'n', limit, 1, 100000, "maximum number of jobs (default 50)"),
    OPT_FLAG("json", 0, json, "print one resource a line"),
    CLIENT_OPTIONS,
    { 0 },
};

const struct command command_jobs = {
    .name = "jobs",
    .summary = "list the jobs of a service, newest first",
    .arguments = "",
    .about = "A filter is written as in Google's list calls: display_name=\"nightly\" AND "
             "NOT state=\"JOB_STATE_FAILED\", create_time>\"2026-01-01T00:00:00Z\", "
             "labels.team=\"search\".",
    .options = options,
    .options_bytes = sizeof(struct jobs_options),
    CLIENT_RUN(jobs),
};
