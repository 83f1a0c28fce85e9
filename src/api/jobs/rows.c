/* rows.c -- a job's output rows by their number and by what they say; and files of some of them. */
#include "api/jobs/rows.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "api/jobs/jobs.h"
#include "engine/lines/peek.h"
#include "engine/service/rows.h"
#include "format/row.h"

#define ROWS_COUNT 100
#define ROWS_COUNT_MAX 1000
#define EXCERPT_BYTES 240
#define REPLY_BYTES_MAX (2 * ROW_BYTES_MAX)
#define FULL_BYTES ((size_t)8 * 1024 * 1024)      /* a reply of whole rows ends after them */
#define SEARCH_BYTES ((uint64_t)50 * 1000 * 1000) /* that one call reads for a text */
#define GROUPS_MAX 50
#define GROUP_SLOTS 128
#define GROUP_ROWS 3 /* examples of each group */

/* A call's question, and the rows that it is about. */
struct look {
    struct call *call;
    struct job job;
    struct rows rows, other; /* other: of the job in differsFrom */
    struct rows_filter filter;
    uint64_t first, count, from;
    bool full, facets, timeline;
    bool by_cursor;                /* rows are looked at one by one, from `from` */
    uint64_t matched;              /* by the index */
    uint64_t written, bytes, next; /* of rows that were looked at one by one */
    struct buf row, out;
    struct json_writer json; /* into out */
};

static bool gone(void *arg)
{
    return http_gone(((struct look *)arg)->call->http);
}

static bool is_set(struct call *c, const char *name)
{
    struct str value;

    return http_query(c->http, name, &value) && str_eq_c(value, "true");
}

/* ---- What is asked ---- */

static int read_marks(struct look *l, struct error *e)
{
    struct call *c = l->call;
    struct str value;
    char *end = NULL;

    if (http_query(c->http, "label", &value)) {
        l->filter.has_label = true;
        l->filter.label = rows_mark(value);
    }
    if (!http_query(c->http, "cause", &value))
        return 0;
    const char *text = arena_copy(c->arena, value.p, value.len);
    l->filter.has_cause = true;
    l->filter.cause = strtoull(text, &end, 16);
    if (value.len != 16 || *end)
        return error_set(
            e, ERROR_INVALID_ARGUMENT,
            "cause is the `cause` of one of the call's facets: 16 hexadecimal digits.");
    return 0;
}

/* The job that this one is compared with, by its `tranche.id`, of either dialect. */
static int open_other(struct look *l, struct error *e)
{
    struct call *c = l->call;
    struct job other;
    struct str text;
    int64_t id;

    if (!http_query(c->http, "differsFrom", &text))
        return 0;
    int found = 0;
    if (call_int64(text, &id))
        found = job_get(c->api->store, c->arena, l->job.project, id, &other, e);
    if (found < 0)
        return -1;
    if (found == 0 || other.asked == ASKED_REMOVE)
        return error_set(e, ERROR_NOT_FOUND,
                         "differsFrom: the project has no job with `tranche.id` %.*s.",
                         STR_ARG(call_quote(text)));
    if (rows_open(&l->other, c->api->service, &other, e) < 0)
        return -1;
    l->filter.differs = &l->other;
    return 0;
}

static int read_filter(struct look *l, struct error *e)
{
    struct str status;

    if (http_query(l->call->http, "status", &status)) {
        l->filter.has_end = true;
        if (!row_end_of(status, &l->filter.end))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "status is answered, failed or notRun, not \"%.*s\".",
                             STR_ARG(call_quote(status)));
    }
    if (read_marks(l, e) < 0)
        return -1;
    struct str text = { 0 };
    if (http_query(l->call->http, "text", &text) && text.len) {
        /* Rows are searched as they are written: a quote in a text has a backslash there. */
        struct buf escaped = BUF_INIT(HTTP_HEAD_BYTES_MAX * 6);
        buf_add_json_inside(&escaped, text);
        l->filter.text =
            (struct str){ arena_copy(l->call->arena, escaped.p, escaped.len), escaped.len };
        buf_release(&escaped);
    }
    return open_other(l, e);
}

static int look_open(struct look *l, struct call *c, struct error *e)
{
    *l = (struct look){
        .call = c,
        .row = BUF_INIT(ROW_BYTES_MAX),
        .out = BUF_INIT(REPLY_BYTES_MAX),
    };
    l->rows.out = l->rows.index = l->other.out = l->other.index = -1;
    l->json = JSON_WRITER(&l->out);
    if (job_of_path(c, &l->job, e) < 0 || rows_open(&l->rows, c->api->service, &l->job, e) < 0)
        return -1;
    return read_filter(l, e);
}

static void look_release(struct look *l)
{
    rows_close(&l->rows);
    rows_close(&l->other);
    buf_release(&l->row);
    buf_release(&l->out);
}

/* ---- Groups ---- */

struct group {
    uint64_t mark, count;
    uint64_t row[GROUP_ROWS];
};
struct groups {
    struct group *slot[GROUP_SLOTS]; /* by the mark's last bits */
    struct group item[GROUPS_MAX];
    uint32_t count;
    uint64_t rows, others; /* all; those of groups beyond the last */
};

static void group_add(struct groups *g, uint64_t mark, uint64_t row)
{
    uint32_t at = (uint32_t)(mark % GROUP_SLOTS);

    g->rows++;
    while (g->slot[at] && g->slot[at]->mark != mark)
        at = (at + 1) % GROUP_SLOTS;
    if (!g->slot[at]) {
        if (g->count == GROUPS_MAX) {
            g->others++;
            return;
        }
        g->slot[at] = &g->item[g->count++];
        g->slot[at]->mark = mark;
    }
    struct group *found = g->slot[at];
    if (found->count < GROUP_ROWS)
        found->row[found->count] = row;
    found->count++;
}

static int by_count(const void *a, const void *b)
{
    const struct group *x = a, *y = b;

    return x->count < y->count ? 1 : x->count > y->count ? -1 : 0;
}

/* The answer or error of a group's first row. */
static int read_view(struct look *l, uint64_t index, struct arena *a, struct row_view *v,
                     struct error *e)
{
    if (rows_read(&l->rows, index, &l->row, e) < 0)
        return -1;
    row_view_read(a, buf_str(&l->row), v);
    return 0;
}

static int add_group(struct look *l, const struct group *g, bool cause, struct error *e)
{
    struct json_writer *w = &l->json;
    struct arena a = { 0 };
    struct row_view v;
    int rc = read_view(l, g->row[0], &a, &v, e);

    if (rc == 0) {
        json_object(w, NULL);
        json_add_text(w, cause ? "message" : "label", v.answer);
        call_add_int64(w, "count", (int64_t)g->count);
        if (cause) {
            json_addf(w, "cause", "%016" PRIx64, g->mark);
            json_add_c(w, "status", row_end_name(v.end));
        }
        json_array(w, "rows");
        for (uint64_t i = 0; i < g->count && i < GROUP_ROWS; i++)
            json_addf(w, NULL, "%" PRIu64, g->row[i]);
        json_end(w);
        json_end(w);
    }
    arena_release(&a);
    return rc;
}

static int add_groups(struct look *l, struct groups *g, bool cause, struct error *e)
{
    qsort(g->item, g->count, sizeof *g->item, by_count);
    json_array(&l->json, cause ? "causes" : "labels");
    for (uint32_t i = 0; i < g->count; i++)
        if (add_group(l, &g->item[i], cause, e) < 0)
            return -1;
    json_end(&l->json);
    return 0;
}

/* Counts of all rows, whatever the filter. Answers are labels when they are short and mostly repeat. */
static int add_facets(struct look *l, struct error *e)
{
    struct groups *labels = arena_alloc(l->call->arena, sizeof *labels);
    struct groups *causes = arena_alloc(l->call->arena, sizeof *causes);
    uint64_t ends[ROW_ENDS] = { 0 };

    for (uint64_t i = 0; i < l->rows.count; i++) {
        const struct rows_entry *x = &l->rows.entry[i];
        ends[x->end]++;
        if (x->end != ROW_ANSWERED)
            group_add(causes, x->mark, i);
        else if (x->flags & ROWS_LABEL)
            group_add(labels, x->mark, i);
    }
    if (labels->others || labels->rows < ends[ROW_ANSWERED] ||
        (uint64_t)labels->count * 2 > labels->rows)
        labels->count = 0;
    json_object(&l->json, "facets");
    for (unsigned i = 0; i < ROW_ENDS; i++)
        call_add_int64(&l->json, row_end_name((enum row_end)i), (int64_t)ends[i]);
    if (add_groups(l, labels, false, e) < 0 || add_groups(l, causes, true, e) < 0)
        return -1;
    call_add_int64(&l->json, "otherCauses", (int64_t)causes->others);
    json_end(&l->json);
    return 0;
}

/* ---- The course of the job ---- */

#define STRETCHES_MAX 240

struct stretch {
    uint64_t end[ROW_ENDS], tokens;
};

static void span_of(const struct rows *r, uint32_t *first, uint32_t *last)
{
    *first = UINT32_MAX;
    *last = 0;
    for (uint64_t i = 0; i < r->count; i++) {
        uint32_t t = r->entry[i].seconds;
        if (t && t < *first)
            *first = t;
        if (t > *last)
            *last = t;
    }
}

/* Counts the rows that ended in each stretch of time; all have one length, of whole seconds. */
static void add_timeline(struct look *l)
{
    struct json_writer *w = &l->json;
    struct stretch *stretch = arena_array(l->call->arena, STRETCHES_MAX, sizeof *stretch);
    uint32_t first, last;

    span_of(&l->rows, &first, &last);
    if (last == 0)
        return;
    uint32_t seconds = (last - first) / STRETCHES_MAX + 1, count = (last - first) / seconds + 1;
    for (uint64_t i = 0; i < l->rows.count; i++) {
        const struct rows_entry *x = &l->rows.entry[i];
        if (x->seconds == 0)
            continue;
        struct stretch *b = &stretch[(x->seconds - first) / seconds];
        b->end[x->end]++;
        b->tokens += x->tokens;
    }
    json_object(w, "timeline");
    call_add_time(w, "start", (int64_t)first * 1000000);
    json_add_uint(w, "seconds", seconds);
    for (unsigned end = 0; end <= ROW_ENDS; end++) {
        json_array(w, end < ROW_ENDS ? row_end_name((enum row_end)end) : "tokens");
        for (uint32_t i = 0; i < count; i++)
            json_add_uint(w, NULL, end < ROW_ENDS ? stretch[i].end[end] : stretch[i].tokens);
        json_end(w);
    }
    json_end(w);
}

/* ---- Rows ---- */

static void add_excerpt(struct json_writer *w, const char *name, struct str text)
{
    struct str cut = str_cut(text, EXCERPT_BYTES);

    if (text.len)
        json_add_text(w, name, cut);
}

/* The line of the input, when the row does not repeat its request. */
static int add_input(struct look *l, uint64_t index, struct error *e)
{
    struct buf line = BUF_INIT(LINE_BYTES_MAX);
    struct error why = { 0 };
    size_t at;
    int rc = rows_input(l->call->api->service, &l->job, index, &line, &why);

    if (rc == 0 && json_parse(l->call->arena, buf_str(&line), &at, &why))
        json_add_raw(&l->json, "input", buf_str(&line));
    else if (rc == 0)
        json_add_text(&l->json, "input", buf_str(&line));
    else if (why.code != ERROR_NOT_FOUND && why.code != ERROR_FAILED_PRECONDITION)
        *e = why;
    buf_release(&line);
    return e->code ? -1 : 0;
}

static int add_row(struct look *l, uint64_t index, struct str row, struct error *e)
{
    struct json_writer *w = &l->json;
    struct arena a = { 0 };
    struct row_view v;
    int rc = 0;

    row_view_read(&a, row, &v);
    json_object(w, NULL);
    call_add_int64(w, "index", (int64_t)index);
    json_add_c(w, "status", row_end_name(v.end));
    add_excerpt(w, "key", v.key);
    add_excerpt(w, "request", v.request);
    add_excerpt(w, v.end == ROW_ANSWERED ? "answer" : "error", v.answer);
    json_add_uint(w, "promptTokens", v.prompt_tokens);
    json_add_uint(w, "outputTokens", v.output_tokens);
    if (l->full) {
        json_add_raw(w, "row", row);
        rc = v.has_request ? 0 : add_input(l, index, e);
    }
    json_end(w);
    arena_release(&a);
    return rc;
}

/* The matching rows from the first-th one. */
static int add_page(struct look *l, struct error *e)
{
    uint64_t written = 0;

    for (uint64_t i = 0; i < l->rows.count; i++) {
        if (!rows_match(&l->rows, i, &l->filter))
            continue;
        bool shown = l->matched++ >= l->first && written < l->count;
        if (!shown || (l->full && l->out.len > FULL_BYTES))
            continue;
        written++;
        if (rows_read(&l->rows, i, &l->row, e) < 0 || add_row(l, i, buf_str(&l->row), e) < 0)
            return -1;
    }
    return 0;
}

/* The rows with the text from row `from` on; *next: where another call goes on; the count: the end. */
static int add_found(struct look *l, uint64_t *next, struct error *e)
{
    uint64_t written = 0, bytes = 0, i = l->from;

    for (; i < l->rows.count && written < l->count && bytes < SEARCH_BYTES; i++) {
        if (l->full && l->out.len > FULL_BYTES)
            break;
        if (!rows_match(&l->rows, i, &l->filter))
            continue;
        if (gone(l))
            return error_set(e, ERROR_CANCELLED, "the client is gone");
        if (rows_read(&l->rows, i, &l->row, e) < 0)
            return -1;
        bytes += l->row.len;
        if (!rows_has_text(buf_str(&l->row), &l->filter))
            continue;
        written++;
        if (add_row(l, i, buf_str(&l->row), e) < 0)
            return -1;
    }
    *next = i;
    return 0;
}

static int look_write(struct look *l, struct error *e)
{
    struct json_writer *w = &l->json;
    uint64_t next = UINT64_MAX;
    int rc;

    json_object(w, NULL);
    json_array(w, "rows");
    rc = l->by_cursor ? add_found(l, &next, e) : add_page(l, e);
    if (rc < 0)
        return -1;
    json_end(w);
    call_add_int64(w, "total", (int64_t)l->rows.count);
    if (!l->by_cursor)
        call_add_int64(w, "matched", (int64_t)l->matched);
    else if (next < l->rows.count)
        call_add_int64(w, "next", (int64_t)next);
    json_add_bool(w, "whole", l->rows.whole);
    json_add_bool(w, "complete", l->rows.whole && job_state_final(l->job.state));
    if (l->facets && add_facets(l, e) < 0)
        return -1;
    if (l->timeline)
        add_timeline(l);
    json_end(w);
    if (!buf_ok(&l->out))
        return error_set(e, ERROR_RESOURCE_EXHAUSTED,
                         "The rows are too long for one reply. Ask "
                         "for fewer with `count`.");
    return 0;
}

/* ---- Rows behind lines that are open ---- */

/* Is a row of the kind that the filter asks for? The index, which knows that else, has no such rows. */
static bool is_wanted(struct look *l, struct str row)
{
    struct arena a = { 0 };
    struct row_view v;

    if (!rows_has_text(row, &l->filter))
        return false;
    if (!l->filter.has_end)
        return true;
    row_view_read(&a, row, &v);
    bool wanted = v.end == l->filter.end;
    arena_release(&a);
    return wanted;
}

/* A row of rows_each_answered: 1 when the reply is full, and another call goes on with this row. */
static int on_answered(void *arg, uint64_t index, struct str row, struct error *e)
{
    struct look *l = arg;

    if (row.len && row.p[row.len - 1] == '\n')
        row.len--;
    if (index == PEEK_HEAD)
        return 0;
    if (l->written == l->count || l->bytes >= SEARCH_BYTES ||
        (l->full && l->out.len > FULL_BYTES)) {
        l->next = index;
        return 1;
    }
    if (gone(l))
        return error_set(e, ERROR_CANCELLED, "the client is gone");
    l->bytes += row.len;
    if (!is_wanted(l, row))
        return 0;
    l->written++;
    return add_row(l, index, row, e);
}

/* {"rows": [...], "total", "next"}: all that are answered by now, in input order, with gaps. */
static int write_answered(struct look *l, struct error *e)
{
    const struct rows_answered d = { .from = l->from, .fn = on_answered, .arg = l };
    struct json_writer *w = &l->json;
    struct error why = { 0 };
    uint64_t total = 0;

    l->next = UINT64_MAX;
    json_object(w, NULL);
    json_array(w, "rows");
    int rc = rows_each_answered(l->call->api->service, &l->job, &d, &total, &why);
    if (rc < 0 && why.code != ERROR_NOT_FOUND) {
        *e = why;
        return -1;
    }
    json_end(w);
    call_add_int64(w, "total", (int64_t)total);
    if (l->next != UINT64_MAX)
        call_add_int64(w, "next", (int64_t)l->next);
    json_add_bool(w, "whole", true);
    json_add_bool(w, "complete", false);
    json_end(w);
    return 0;
}

/* Does the call ask for all rows that are answered? Those of a job that has ended stand in its output. */
static int read_order(struct look *l, bool *answered, struct error *e)
{
    struct str order = { 0 };

    *answered = false;
    l->by_cursor = l->filter.text.len > 0;
    if (!http_query(l->call->http, "order", &order) || str_eq_c(order, "input"))
        return 0;
    if (!str_eq_c(order, "done") || l->filter.has_label || l->filter.has_cause || l->filter.differs)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "order is input (default) or done, and done takes only the filters status "
                         "and text.");
    *answered = !job_state_final(l->job.state);
    l->by_cursor = true;
    return 0;
}

void job_rows_call(struct call *c)
{
    struct error e = { 0 };
    struct look l;
    struct str view = { 0 };
    bool answered = false;
    int rc = look_open(&l, c, &e);

    l.full = http_query(c->http, "view", &view) && str_eq_c(view, "full");
    l.facets = is_set(c, "facets");
    l.timeline = is_set(c, "timeline");
    if (rc == 0 && (call_number(c, "first", 0, INT64_MAX, &l.first, &e) < 0 ||
                    call_number(c, "from", 0, INT64_MAX, &l.from, &e) < 0 ||
                    call_number(c, "count", ROWS_COUNT, ROWS_COUNT_MAX, &l.count, &e) < 0))
        rc = -1;
    if (rc == 0)
        rc = read_order(&l, &answered, &e);
    if (rc == 0)
        rc = answered ? write_answered(&l, &e) : look_write(&l, &e);
    if (rc < 0)
        call_fail(c, &e);
    else
        call_reply(c, &l.out);
    look_release(&l);
}

/* ---- Files ---- */

static const struct {
    const char *name, *type, *extension;
} forms[] = {
    [ROWS_JSONL] = { "jsonl", "application/jsonl", "jsonl" },
    [ROWS_CSV] = { "csv", "text/csv; charset=utf-8", "csv" },
    [ROWS_PARQUET] = { "parquet", "application/vnd.apache.parquet", "parquet" },
};

static int form_read(struct call *c, enum rows_form *out, struct error *e)
{
    struct str name = { 0 };

    *out = ROWS_JSONL;
    if (!http_query(c->http, "format", &name))
        return 0;
    for (unsigned i = 0; i < ARRAY_LEN(forms); i++) {
        if (str_eq_c(name, forms[i].name)) {
            *out = (enum rows_form)i;
            return 0;
        }
    }
    return error_set(e, ERROR_INVALID_ARGUMENT, "format is jsonl, csv or parquet, not \"%.*s\".",
                     STR_ARG(call_quote(name)));
}

/* An index that is behind grows until it has all rows. */
static int look_whole(struct look *l, struct error *e)
{
    while (!l->rows.whole) {
        if (gone(l))
            return error_set(e, ERROR_CANCELLED, "the client is gone");
        rows_close(&l->rows);
        if (rows_open(&l->rows, l->call->api->service, &l->job, e) < 0)
            return -1;
    }
    return 0;
}

bool job_rows_file_asked(struct call *c)
{
    static const char *const names[] = {
        "status", "label", "cause", "text", "differsFrom", "format"
    };
    struct str ignored;

    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (http_query(c->http, names[i], &ignored))
            return true;
    return false;
}

void job_rows_file_call(struct call *c)
{
    struct rows_file file = { 0 };
    struct error e = { 0 };
    uint64_t bytes = 0;
    struct look l;
    int fd = -1;

    if (look_open(&l, c, &e) == 0 && form_read(c, &file.form, &e) == 0 && look_whole(&l, &e) == 0) {
        file.rows = &l.rows;
        file.filter = &l.filter;
        file.gone = gone;
        file.arg = &l;
        fd = rows_write(c->api->service, &l.job, &file, &bytes, &e);
    }
    if (fd < 0) {
        call_fail(c, &e);
    } else {
        char name[96];
        (void)snprintf(name, sizeof name, "attachment; filename=\"job-%" PRId64 ".%s\"", l.job.id,
                       forms[file.form].extension);
        http_set_header(c->http, "Content-Disposition", str_of(name));
        http_set_header(c->http, "X-Tranche-Complete",
                        str_of(job_state_final(l.job.state) ? "true" : "false"));
        http_reply_file(c->http, 200, forms[file.form].type, fd, 0, bytes);
    }
    look_release(&l);
}
