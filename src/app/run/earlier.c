#include "app/run/earlier.h"

#include <stdio.h>

#include "app/cli/options.h"
#include "engine/lines/walk.h"
#include "base/json.h"
#include "base/timestamp.h"
#include "engine/lines/pipeline.h"
#include "format/row.h"

#define FACT_KEPT "kept" /* set when all is in the spool: how many */

struct keeper {
    const struct earlier *r;
    struct spool *spool;
    struct walk lines, rows;
    struct arena arena; /* of one line */
    uint64_t rows_seen; /* rows that a run wrote, kept or not */
    uint64_t answered;  /* of them, those with an answer */
    uint64_t kept;
    uint32_t group; /* rows put since the last commit */
};

static uint32_t count_of(yyjson_val *usage, const char *name)
{
    uint64_t n = yyjson_get_uint(json_get(usage, name));

    return n > UINT32_MAX ? UINT32_MAX : (uint32_t)n;
}

static struct usage usage_of(yyjson_val *response)
{
    yyjson_val *usage = json_get(response, "usageMetadata");

    return (struct usage){
        .prompt_tokens = count_of(usage, "promptTokenCount"),
        .cached_tokens = count_of(usage, "cachedContentTokenCount"),
        .candidate_tokens = count_of(usage, "candidatesTokenCount"),
        .thought_tokens = count_of(usage, "thoughtsTokenCount"),
    };
}

/* The text as an object; NULL when it is none. */
static yyjson_val *parse(struct keeper *k, struct str text)
{
    struct error ignored = { 0 };
    size_t at = 0;
    yyjson_val *root = json_parse(&k->arena, text, &at, &ignored);

    return yyjson_is_obj(root) ? root : NULL;
}

/* True when the row answers this line: a line that was edited since runs again. Nothing else is
 * checked in the request, as an answer that was paid for must not be lost to a stricter rule. */
static bool answers(struct keeper *k, const struct line *line, const struct row_parts *row)
{
    static const struct line_rules plain = { .from_output = false };
    struct input_line in = { 0 };

    if (row->status.len || str_eq_c(row->response, "{}"))
        return false;
    if (k->r->input == k->r->old_input)
        return true; /* the line is the row */
    return parse(k, line->text) &&
           request_line_spans(&k->arena, line->text, (struct str){ 0 }, &plain, &in) &&
           str_eq(in.request_text, row->request);
}

static int keep_line(struct keeper *k, const struct line *line, const struct line *row,
                     struct error *e)
{
    struct row_parts parts = { 0 };
    bool done = false;

    arena_reset(&k->arena);
    yyjson_val *response = json_get(parse(k, row->text), "response");
    if (!yyjson_is_obj(response) || !row_read(&k->arena, row->text, &parts))
        return 0;
    k->rows_seen++;
    k->answered += parts.status.len == 0;
    if (!answers(k, line, &parts))
        return 0;
    k->kept++;
    /* A run that was killed while it kept rows begins again and finds some of them. */
    if (spool_done(k->spool, line->index, 1, &done, e) < 0)
        return -1;
    if (done)
        return 0;
    struct spool_row put = {
        .index = line->index,
        .outcome = OUTCOME_SUCCEEDED,
        .response = parts.response,
        .processed_us = k->r->now_us,
        .usage = usage_of(response),
        .taken = true,
    };
    (void)timestamp_read(parts.processed_time, &put.processed_us);
    if (spool_put(k->spool, &put, e) < 0)
        return -1;
    if (++k->group < COMMIT_ROWS_MAX)
        return 0;
    k->group = 0;
    return spool_commit(k->spool, e);
}

static int keep_all(struct keeper *k, struct error *e)
{
    struct line line, row;
    char text[24];
    int rc;

    if (k->r->old->lines != k->r->job->lines)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "%s has %llu rows, the input %llu lines: it is not the output of this input",
            k->r->old_input->file[0].path, (unsigned long long)k->r->old->lines,
            (unsigned long long)k->r->job->lines);
    while ((rc = walk_next(&k->lines, &line, e)) == 1) {
        if (walk_next(&k->rows, &row, e) != 1)
            return -1;
        if (keep_line(k, &line, &row, e) < 0)
            return -1;
        if (k->r->stop && atomic_load(k->r->stop))
            return error_set(e, ERROR_CANCELLED, "interrupted");
    }
    if (rc == 0 && k->rows_seen == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s is not an output: none of its lines has a status; without "
                         "--retry-failed it is answered as an input",
                         k->r->old_input->file[0].path);
    if (rc == 0 && k->kept == 0 && k->answered > 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "none of the answers in %s is to a line of the input, in its order: it is "
                         "not the output of this input",
                         k->r->old_input->file[0].path);
    if (rc < 0 || spool_commit(k->spool, e) < 0)
        return -1;
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)k->kept);
    return spool_fact_set(k->spool, FACT_KEPT, (struct str){ text, (size_t)n }, e);
}

int earlier_keep(const struct earlier *r, struct spool *s, uint64_t *kept, struct error *e)
{
    struct keeper k = { .r = r, .spool = s };
    struct buf fact = BUF_INIT(32);

    int rc = spool_fact_get(s, FACT_KEPT, &fact, e);
    if (rc == 1 && str_number(buf_str(&fact), kept))
        rc = 0;
    else if (rc >= 0) {
        walk_init(&k.lines, r->input, r->job, NULL);
        walk_init(&k.rows, r->old_input, r->old, NULL);
        rc = keep_all(&k, e);
        walk_release(&k.lines);
        walk_release(&k.rows);
        arena_release(&k.arena);
        *kept = k.kept;
    }
    buf_release(&fact);
    return rc < 0 ? -1 : 0;
}
