#include "app/run/summary.h"

#include <stdio.h>
#include <string.h>

#include "app/cli/human.h"
#include "engine/lines/walk.h"
#include "base/mem.h"
#include "base/json.h"

#define MESSAGE_INDENT 10

/* The message within a status, 'Bad Request: {"error": {"message": "..."}}', or else all of it. The
 * spool cuts a long status, which then is not JSON any more: the text between the quotes is
 * taken. */
static void status_message(const char *status, char *out, size_t bytes)
{
    struct arena a = { 0 };
    struct error ignored = { 0 };
    struct str text = str_of(status);
    size_t at = str_find(text, STR(": {")), fault = 0;
    yyjson_val *root = NULL;

    if (at != SIZE_MAX)
        root = json_parse(&a, str_sub(text, at + 2, text.len), &fault, &ignored);
    struct str message = json_str(json_get(json_get(root, "error"), "message"));
    at = str_find(text, STR("\"message\": \""));
    if (message.len == 0 && at != SIZE_MAX)
        message = str_sub(text, at + strlen("\"message\": \""), text.len);
    if (message.len == 0)
        message = text;
    message = str_sub(message, 0, bytes - 1);
    message.len = str_utf8_valid(message);
    memcpy(out, message.p, message.len);
    out[message.len] = '\0';
    arena_release(&a);
}

int summary_failures(struct summary *s, struct spool *spool, const struct input *in,
                     const struct ingest_result *job, struct error *e)
{
    struct spool_failures found[SUMMARY_FAILURES_MAX];
    struct walk walk;
    struct line line;
    int rc = 0;

    if (spool_failures(spool, found, SUMMARY_FAILURES_MAX, &s->failure_count, e) < 0)
        return -1;
    walk_init(&walk, in, job, NULL);
    for (uint32_t i = 0; i < s->failure_count; i++) {
        struct summary_failure *f = &s->failure[i];
        *f = (struct summary_failure){ .code = found[i].code, .count = found[i].count };
        status_message(found[i].message, f->message, sizeof f->message);
        for (uint32_t n = 0; rc >= 0 && n < found[i].first_count; n++) {
            rc = walk_line(&walk, found[i].first[n], &line, e);
            if (rc != 1)
                continue;
            f->file[f->first_count] = in->file[walk.shard->file].path;
            f->line_no[f->first_count++] = line.line_no;
        }
    }
    walk_release(&walk);
    return rc < 0 ? -1 : 0;
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

/* Names as many of the first lines as fit; the message is cut to one line. */
static void text_failure(const struct summary *s, const struct summary_failure *f, size_t width,
                         struct buf *out)
{
    struct str message = str_of(f->message);
    size_t room = width - MESSAGE_INDENT - 1;
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
    bool cut = message.len > room;
    message = str_sub(message, 0, cut ? room - 3 : room);
    message.len = str_utf8_valid(message);
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
    for (uint32_t i = 0; i < s->failure_count; i++) {
        text_failure(s, &s->failure[i], c->width, out);
        shown += s->failure[i].count;
    }
    if (shown < b->failed)
        buf_addf(out, "  %6s  of other kinds\n", human_count(HUMAN, b->failed - shown));
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
    json_add_uint(w, "kept", s->kept);
    json_add_uint(w, "resumed", resumed(s));
    json_end(w);
    json_object(w, "tokens");
    json_add_uint(w, "prompt", b->prompt_tokens);
    json_add_uint(w, "cached", b->cached_tokens);
    json_add_uint(w, "generated", b->candidate_tokens);
    json_add_uint(w, "thought", b->thought_tokens);
    json_add_uint(w, "saved_by_duplicates", b->duplicate_tokens);
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
    json_array(&w, "failures");
    for (uint32_t i = 0; i < s->failure_count; i++)
        json_failure(&s->failure[i], &w);
    json_end(&w);
    json_end(&w);
    buf_add_char(out, '\n');
}
