#include "app/run/summary.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/cli/human.h"
#include "engine/lines/walk.h"
#include "base/mem.h"
#include "format/row.h"

#define MESSAGE_INDENT 10

/* A status without its code, decoded: "request.contents[0].role: Please use a valid role." */
static void status_message(struct arena *a, const struct spool_row *row, char *out, size_t bytes)
{
    struct str text = row_status_text(a, row->status), code = str_of(error_name(row->code));

    if (str_starts(text, code) && str_starts(str_sub(text, code.len, 2), STR(": ")))
        text = str_sub(text, code.len + 2, text.len);
    text = str_cut(text, bytes - 1);
    memcpy(out, text.p, text.len);
    out[text.len] = '\0';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The same text but for its numbers: places in a list, byte counts, times. */
static bool same_but_numbers(const char *a, const char *b)
{
    while (*a && *b) {
        if (is_digit(*a) && is_digit(*b)) {
            a += strspn(a, "0123456789");
            b += strspn(b, "0123456789");
        } else if (*a++ != *b++) {
            return false;
        }
    }
    return *a == *b;
}

struct causes {
    struct summary *s;
    struct arena arena; /* of one status */
};

static int count_failure(void *arg, const struct spool_row *row, struct error *e)
{
    struct causes *c = arg;
    struct summary *s = c->s;
    char message[ERROR_MSG_BYTES];
    uint32_t i = 0;

    (void)e;
    arena_reset(&c->arena);
    status_message(&c->arena, row, message, sizeof message);
    while (i < s->failure_count &&
           (s->failure[i].code != row->code || !same_but_numbers(s->failure[i].message, message)))
        i++;
    if (i == SUMMARY_FAILURES_MAX)
        return 0; /* counted among the other causes */
    struct summary_failure *f = &s->failure[i];
    if (i == s->failure_count) {
        *f = (struct summary_failure){ .code = row->code };
        memcpy(f->message, message, sizeof message);
        s->failure_count++;
    }
    if (f->count++ < SUMMARY_FIRST_MAX)
        f->first[f->count - 1] = row->index;
    return 0;
}

/* The most frequent first; of two, the one that begins earlier. */
static int by_count(const void *a, const void *b)
{
    const struct summary_failure *x = a, *y = b;

    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return x->first[0] < y->first[0] ? -1 : x->first[0] > y->first[0];
}

static int find_lines(struct summary_failure *f, struct walk *walk, const struct input *in,
                      struct error *e)
{
    struct line line;

    for (uint32_t n = 0; n < f->count && n < SUMMARY_FIRST_MAX; n++) {
        int rc = walk_line(walk, f->first[n], &line, e);
        if (rc < 0)
            return -1;
        if (rc == 0)
            continue;
        f->file[f->first_count] = in->file[walk->shard->file].path;
        f->line_no[f->first_count++] = line.line_no;
    }
    return 0;
}

int summary_failures(struct summary *s, struct spool *spool, const struct input *in,
                     const struct ingest_result *job, struct error *e)
{
    struct causes causes = { .s = s };
    struct walk walk;

    s->failure_count = 0;
    int rc = spool_each_failed(spool, count_failure, &causes, e);
    arena_release(&causes.arena);
    if (rc < 0)
        return -1;
    qsort(s->failure, s->failure_count, sizeof s->failure[0], by_count);
    walk_init(&walk, in, job, NULL);
    for (uint32_t i = 0; rc == 0 && i < s->failure_count; i++)
        rc = find_lines(&s->failure[i], &walk, in, e);
    walk_release(&walk);
    return rc;
}

static double lines_per_s(const struct progress *p)
{
    uint64_t lines = counters_done(&p->counters) - p->resumed;

    return p->elapsed_ns ? (double)lines * 1e9 / (double)p->elapsed_ns : 0;
}

/* Lines that an earlier, interrupted run of this command finished. */
static uint64_t resumed(const struct summary *s)
{
    return s->progress.resumed > s->kept ? s->progress.resumed - s->kept : 0;
}

/* ---- For people ---- */

static void text_head(const struct summary *s, const struct terminal *c, struct buf *out)
{
    const struct counters *b = &s->progress.counters;

    if (s->interrupted)
        buf_addf(out, "%sinterrupted%s  %s of %s lines are done and saved",
                 terminal_style(c, STYLE_YELLOW), terminal_style(c, STYLE_END),
                 human_count(HUMAN, counters_done(b)), human_count(HUMAN, b->total));
    else
        buf_addf(out, "%sfinished%s  %s %s", terminal_style(c, STYLE_GREEN),
                 terminal_style(c, STYLE_END), human_count(HUMAN, b->total),
                 b->total == 1 ? "line" : "lines");
    buf_addf(out, " in %s (%s/s)\n", human_duration(HUMAN, s->progress.elapsed_ns),
             human_rate(HUMAN, lines_per_s(&s->progress)));
}

static void text_answered(const struct summary *s, struct buf *out)
{
    const struct counters *b = &s->progress.counters;
    const struct {
        uint64_t count;
        const char *what;
    } notes[] = {
        { b->duplicates, "duplicates" },
        { b->reused, "reused from earlier runs" },
        { s->kept, "kept from the earlier output" },
        { resumed(s), "lines done before this run" },
    };
    const char *before = "  (";

    buf_addf(out, "  answered  %s", human_count(HUMAN, b->succeeded));
    for (size_t i = 0; i < ARRAY_LEN(notes); i++) {
        if (notes[i].count == 0)
            continue;
        buf_addf(out, "%s%s %s", before, human_count(HUMAN, notes[i].count), notes[i].what);
        before = ", ";
    }
    buf_add_c(out, *before == ',' ? ")\n" : "\n");
}

/* The answers of requests for JSON or an enum that are whole, and those that were not taken. */
static void text_structured(const struct summary *s, struct buf *out)
{
    const struct counters *b = &s->progress.counters;

    if (b->structured)
        buf_addf(out, "  complete  %s of %s answers that had to be JSON or an enum value\n",
                 human_count(HUMAN, b->complete), human_count(HUMAN, b->structured));
    if (!b->rejected)
        return;
    buf_addf(out, "  rejected  %s %s not match the schema: %s tokens",
             human_count(HUMAN, b->rejected), b->rejected == 1 ? "answer did" : "answers did",
             human_count(HUMAN, b->rejected_tokens));
    if (s->priced)
        buf_addf(out, ", %s beside the cost", human_money(HUMAN, b->rejected_cost_nano));
    buf_add_char(out, '\n');
}

/* "lines 4, 17, ..." or "b.jsonl:4, c.jsonl:17" */
static void failure_lines(const struct summary *s, const struct summary_failure *f, uint32_t shown,
                          struct buf *out)
{
    if (!s->several_files)
        buf_add_c(out, f->count == 1 ? "line " : "lines ");
    for (uint32_t i = 0; i < shown; i++) {
        buf_add_c(out, i ? ", " : "");
        if (s->several_files) {
            buf_add_plain(out, str_of(f->file[i]), false);
            buf_add_char(out, ':');
        }
        buf_addf(out, "%llu", (unsigned long long)f->line_no[i]);
    }
    if (f->count > shown)
        buf_add_c(out, ", ...");
}

/* Names as many of the first lines as fit; on a terminal the message is cut to one line. */
static void text_failure(const struct summary *s, const struct summary_failure *f,
                         const struct terminal *c, struct buf *out)
{
    struct str message = str_of(f->message);
    size_t width = c->width, room = width - MESSAGE_INDENT - 1;
    struct buf head = BUF_INIT(SUMMARY_BYTES_MAX);

    for (uint32_t shown = f->first_count; shown > 0; shown--) {
        buf_clear(&head);
        buf_addf(&head, "  %6s  %s, ", human_count(HUMAN, f->count), error_name(f->code));
        failure_lines(s, f, shown, &head);
        if (head.len < width)
            break;
    }
    buf_add_str(out, buf_str(&head));
    buf_release(&head);
    bool cut = c->live && message.len > room;
    if (cut)
        message = str_cut(message, room - 3);
    buf_addf(out, "\n%*s", MESSAGE_INDENT, "");
    buf_add_plain(out, message, false);
    buf_add_c(out, cut ? "...\n" : "\n");
}

static void text_failures(const struct summary *s, const struct terminal *c, struct buf *out)
{
    const struct counters *b = &s->progress.counters;
    uint64_t shown = 0;

    if (b->failed == 0)
        return;
    buf_addf(out, "  %sfailed%s    %s\n", terminal_style(c, STYLE_RED),
             terminal_style(c, STYLE_END), human_count(HUMAN, b->failed));
    for (uint32_t i = 0; i < s->failure_count && (!c->live || i < SUMMARY_SHOWN_MAX); i++) {
        text_failure(s, &s->failure[i], c, out);
        shown += s->failure[i].count;
    }
    if (shown < b->failed)
        buf_addf(out, "  %6s  of other causes\n", human_count(HUMAN, b->failed - shown));
}

static void text_tokens(const struct summary *s, struct buf *out)
{
    const struct counters *b = &s->progress.counters;
    uint64_t saved = b->cached_tokens + b->duplicate_tokens;

    buf_addf(out, "  tokens    %s prompt, %s generated", human_count(HUMAN, b->prompt_tokens),
             human_count(HUMAN, b->candidate_tokens + b->thought_tokens));
    if (saved)
        buf_addf(out, "; %s tokens reused", human_count(HUMAN, saved));
    buf_add_char(out, '\n');
    if (b->forced_tokens)
        buf_addf(out, "            %s of %s answer tokens were forced by the schema\n",
                 human_count(HUMAN, b->forced_tokens), human_count(HUMAN, b->candidate_tokens));
}

void summary_text(const struct summary *s, const struct terminal *c, struct buf *out)
{
    const struct counters *b = &s->progress.counters;

    text_head(s, c, out);
    text_answered(s, out);
    text_structured(s, out);
    text_failures(s, c, out);
    if (b->not_run)
        buf_addf(out, "  not run   %s\n", human_count(HUMAN, b->not_run));
    text_tokens(s, out);
    if (s->priced && b->cost_nano == b->cost_online_nano)
        buf_addf(out, "  cost      %s\n", human_money(HUMAN, b->cost_nano));
    else if (s->priced)
        buf_addf(out, "  cost      %s at the batch price; online %s\n",
                 human_money(HUMAN, b->cost_nano), human_money(HUMAN, b->cost_online_nano));
    if (s->formulas)
        buf_addf(out, "  formulas  %s %s with = + - @ or a tab%s\n",
                 human_count(HUMAN, s->formulas),
                 s->formulas == 1 ? "answer begins" : "answers begin",
                 s->excel ? "; ' stands before them"
                          : ", which a spreadsheet would compute; --excel puts ' before them");
    buf_add_c(out, "  model     ");
    buf_add_plain(out, str_of(s->model), false);
    if (strcmp(s->model, s->version) != 0) {
        buf_add_c(out, ", answered by ");
        buf_add_plain(out, str_of(s->version), false); /* a name that a model's file gives itself */
    }
    buf_add_c(out, "\n  output    ");
    buf_add_plain(out, strcmp(s->output, "-") == 0 ? STR("standard output") : str_of(s->output),
                  false);
    buf_add_c(out, s->interrupted ? ".partial\n" : "\n");
    if (s->next) {
        buf_add_c(out, "  next      ");
        buf_add_plain(out, str_of(s->next), false);
        buf_add_char(out, '\n');
    }
}

/* ---- For machines ---- */

void summary_add_usd(struct json_writer *w, const char *name, uint64_t nano)
{
    char text[32];

    (void)snprintf(text, sizeof text, "%llu.%09llu", (unsigned long long)(nano / 1000000000),
                   (unsigned long long)(nano % 1000000000));
    json_add_raw(w, name, str_of(text));
}

static void json_failure(const struct summary_failure *f, struct json_writer *w)
{
    json_object(w, NULL);
    json_add_c(w, "code", error_name(f->code));
    json_add_uint(w, "count", f->count);
    json_add_c(w, "message", f->message);
    json_array(w, "first");
    for (uint32_t i = 0; i < f->first_count; i++) {
        json_object(w, NULL);
        json_add_text(w, "file", str_of(f->file[i]));
        json_add_uint(w, "line", f->line_no[i]);
        json_end(w);
    }
    json_end(w);
    json_end(w);
}

static void json_counts(const struct summary *s, struct json_writer *w)
{
    const struct counters *b = &s->progress.counters;

    json_object(w, "lines");
    json_add_uint(w, "total", b->total);
    json_add_uint(w, "succeeded", b->succeeded);
    json_add_uint(w, "failed", b->failed);
    json_add_uint(w, "not_run", b->not_run);
    json_add_uint(w, "pending", counters_pending(b));
    json_add_uint(w, "duplicates", b->duplicates);
    json_add_uint(w, "reused", b->reused);
    json_add_uint(w, "kept", s->kept);
    json_add_uint(w, "resumed", resumed(s));
    json_end(w);
    json_object(w, "tokens");
    json_add_uint(w, "prompt", b->prompt_tokens);
    json_add_uint(w, "cached", b->cached_tokens);
    json_add_uint(w, "generated", b->candidate_tokens);
    json_add_uint(w, "thought", b->thought_tokens);
    json_add_uint(w, "saved_by_duplicates", b->duplicate_tokens);
    json_add_uint(w, "saved_by_reuse", b->reused_tokens);
    json_add_uint(w, "forced", b->forced_tokens);
    json_end(w);
    json_object(w, "structured");
    json_add_uint(w, "answers", b->structured);
    json_add_uint(w, "complete", b->complete);
    json_end(w);
    json_object(w, "rejected");
    json_add_uint(w, "answers", b->rejected);
    json_add_uint(w, "tokens", b->rejected_tokens);
    summary_add_usd(w, "usd", b->rejected_cost_nano);
    json_end(w);
    json_add_uint(w, "retries", s->progress.retries);
    if (s->formulas)
        json_add_uint(w, "formulas", s->formulas);
}

void summary_json(const struct summary *s, enum exit_code code, struct buf *out)
{
    const struct counters *b = &s->progress.counters;
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "state", s->interrupted ? "interrupted" : "finished");
    json_add_int(&w, "exit_code", (int)code);
    json_add_c(&w, "model", s->model);
    json_add_c(&w, "model_version", s->version);
    json_add_c(&w, "output", s->output);
    json_counts(s, &w);
    json_object(&w, "cost");
    json_add_bool(&w, "priced", s->priced);
    summary_add_usd(&w, "batch_usd", b->cost_nano);
    summary_add_usd(&w, "online_usd", b->cost_online_nano);
    json_end(&w);
    json_add_double(&w, "elapsed_s", (double)s->progress.elapsed_ns / 1e9);
    json_add_double(&w, "lines_per_s", lines_per_s(&s->progress));
    if (s->next)
        json_add_c(&w, "next", s->next);
    json_array(&w, "failures");
    for (uint32_t i = 0; i < s->failure_count; i++)
        json_failure(&s->failure[i], &w);
    json_end(&w);
    json_end(&w);
    buf_add_char(out, '\n');
}
