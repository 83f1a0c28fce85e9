/* run_begin.c -- the steps of a run before its work: what is asked, is it valid, what is known of
 * it. */
/* glibc shows realpath only so, although POSIX has it since 2008. */
#define _XOPEN_SOURCE 700
#include "app/run/run.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/run/earlier.h"
#include "app/run/validate.h"
#include "app/cli/human.h"
#include "app/run/output.h"
#include "app/run/shard_part.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "base/unpack.h"
#include "format/bigquery/name.h"

#define BAD_SHOWN_MAX 5         /* lines, as a warning */
#define BAD_SHOWN_STRICT_MAX 20 /* lines, as the reason to stop */
#define FACTS_BYTES_MAX ((size_t)1024 * 1024)

/* --retry-failed without INPUT: the earlier output is the input and is replaced at the end. */
static bool run_in_place(const struct run *r)
{
    return r->o->retry_failed && r->path_count == 0;
}

/* ---- What is asked ---- */

int run_step_open(struct run *r, struct error *e)
{
    struct local_job *j = &r->job;
    const char *const *path = r->path;
    uint32_t count = r->path_count;

    j->stage = EXIT_USAGE;
    if (count == 0 && !r->o->retry_failed)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "INPUT is missing: a file of JSON lines, a pattern in quotes, or -");
    if (run_in_place(r)) {
        path = &r->o->retry_failed;
        count = 1;
    }
    const struct local_options options = {
        .model = r->o->model,
        .config = r->o->config,
        .state = r->o->state,
        .upstream = r->o->upstream,
        .dialect = r->o->dialect,
        .engine = r->o->engine,
        .max_rpm = r->o->max_rpm,
        .max_tpm = r->o->max_tpm,
        .bigquery_endpoint = r->o->bigquery_endpoint,
        .limit = r->o->limit,
        .shard = r->o->shard,
        .fresh = r->o->fresh,
        .given = r->o->given,
        .rows = &r->o->rows,
    };
    if (r->o->rows.prompt && r->o->retry_failed)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--retry-failed reads lines of JSON; to ask again about the rows of a "
                         "table that failed, run its output with --where 'error is not null'");
    if (r->o->shard && r->o->retry_failed)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--retry-failed and --shard do not go together; merge the parts, then "
                         "retry what failed in the merged output");
    if (local_job_config(j, &options, e) < 0)
        return -1;
    return local_job_input(j, path, count, r->o->output, e);
}

static const char *with_suffix(struct arena *a, const char *path, const char *suffix)
{
    size_t bytes = strlen(path) + strlen(suffix) + 1;
    char *out = arena_alloc(a, bytes);

    (void)snprintf(out, bytes, "%s%s", path, suffix);
    return out;
}

/* The output is a table of BigQuery, which is made of a file of ours at the end. */
static int output_to_table(struct run *r, struct error *e)
{
    struct local_job *j = &r->job;

    if (r->o->retry_failed)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--retry-failed reads and writes files; ask again about the rows of a "
                         "table that failed with a view of them");
    r->to_table = true;
    r->output_path = r->render_path = r->output;
    return bigquery_tables_plan(&j->bigquery, r->output, &j->input, j->rows ? &j->sheet : NULL, e);
}

/* A part is a plain file, which merge copies. */
static int check_part(const struct run *r, struct error *e)
{
    const char *path = r->o->output;

    if (!r->o->shard || (path && !r->streams && !bq_is(str_of(path)) && !rows_are_parquet(path) &&
                         packing_of_name(str_of(path), NULL) == PACKING_NONE))
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "--shard writes a part of its own; name it with -o, such as -o part-%u%s%s",
                     r->job.slice.number, r->job.rows ? rows_ending(&r->job.sheet) : ".jsonl",
                     path ? ": a plain file, not compressed, no table" : "");
}

int run_step_output(struct run *r, struct error *e)
{
    struct local_job *j = &r->job;
    bool from_stdin = r->path_count == 1 && strcmp(r->path[0], "-") == 0;

    j->stage = EXIT_USAGE;
    if (!r->o->output && check_part(r, e) < 0)
        return -1;
    r->output = r->o->output ? r->o->output : r->o->retry_failed;
    if (!r->output && bigquery_tables_are(r->path, r->path_count))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "say where the answers to a table go with -o OUTPUT: a file, or "
                         "bq://PROJECT.DATASET.TABLE");
    if (!r->output)
        r->output = output_default(&j->arena, &j->input, from_stdin,
                                   j->rows ? rows_ending(&j->sheet) : ".jsonl", e);
    if (!r->output)
        return -1;
    if (bq_is(str_of(r->output)))
        return check_part(r, e) < 0 || output_to_table(r, e) < 0 ? -1 : STEP_NEXT;
    r->output_path = output_resolve(&j->arena, r->output, &j->input,
                                    j->rows           ? OUTPUT_TABLE
                                    : run_in_place(r) ? OUTPUT_IN_PLACE
                                                      : OUTPUT_LINES,
                                    e);
    if (!r->output_path)
        return -1;
    r->streams = output_is_stream(r->output_path);
    if (check_part(r, e) < 0)
        return -1;
    r->render_path = r->output_path;
    if (run_in_place(r) && output_is_input(r->output_path, &j->input))
        r->render_path = with_suffix(&j->arena, r->output_path, ".retry");
    return STEP_NEXT;
}

/* ---- Is it valid? ---- */

/* Only kept: a finished run given again shows its summary, not these. */
static void note_bad(void *arg, const struct input *in, const struct shard *s, const struct line *l,
                     const struct violations *bad)
{
    struct run *r = arg;

    if (r->bad_count++ < (r->o->strict ? BAD_SHOWN_STRICT_MAX : BAD_SHOWN_MAX))
        line_error_text(in->file[s->file].path, l, &bad->item[0], false, &r->bad_text);
}

static void note_warned(void *arg, const struct input *in, const struct shard *s,
                        const struct line *l, const struct violations *warnings)
{
    struct run *r = arg;

    if (r->warned_count++ < BAD_SHOWN_MAX)
        line_error_text(in->file[s->file].path, l, &warnings->item[0], false, &r->bad_text);
}

static void show_bad(const struct run *r)
{
    const struct local_job *j = &r->job;
    struct str rest = buf_str(&r->bad_text);

    while (rest.len) {
        struct str line = str_sub(rest, 0, str_find(rest, STR("\n")));
        if (r->o->strict)
            terminal_error(&j->terminal, "%.*s", STR_ARG(line));
        else
            terminal_warn(&j->terminal, "%.*s", STR_ARG(line));
        rest = str_sub(rest, line.len + 1, rest.len);
    }
}

/* Prints the number of bad lines and of lines with warnings, and the first of them. */
static int judge_bad(const struct run *r, struct error *e)
{
    const struct ingest_result *all = &r->job.ingest;

    show_bad(r);
    if (all->warned)
        terminal_warn(&r->job.terminal,
                      "%s of %s lines have warnings; `tranche validate` prints all of them",
                      human_count(HUMAN, all->warned), human_count(HUMAN, all->lines));
    if (all->bad == 0)
        return STEP_NEXT;
    if (r->o->strict)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s of %s lines are bad and --strict is given; `tranche validate` prints "
                         "all errors",
                         human_count(HUMAN, all->bad), human_count(HUMAN, all->lines));
    terminal_warn(&r->job.terminal, "%s of %s lines are bad and become error lines in the output%s",
                  human_count(HUMAN, all->bad), human_count(HUMAN, all->lines),
                  r->o->retry_failed ? ", unless they have an answer already" : "");
    return STEP_NEXT;
}

int run_step_check(struct run *r, struct error *e)
{
    struct local_job *j = &r->job;

    if (local_job_predictor(j, e) < 0)
        return -1;
    j->rules = (struct ingest_options){
        .rules = { .from_output = run_in_place(r), .strict = r->o->strict },
        .limit = r->o->limit,
        .index_folder = j->state_root,
        .keys = j->config.keep > 0,
        .on_bad = note_bad,
        .on_warned = note_warned,
        .arg = r,
    };
    if (local_job_ingest(j, &r->known, e) < 0)
        return -1;
    return r->o->strict ? judge_bad(r, e) : STEP_NEXT;
}

/* An earlier output that is replaced must not lose rows by it. */
static int check_replaced(struct run *r, struct error *e)
{
    const struct input *old = run_in_place(r) ? &r->job.input : &r->old_input;
    const struct shard_list *rows = run_in_place(r) ? &r->job.ingest.shards : &r->old.shards;

    if (!output_is_input(r->output_path, old))
        return STEP_NEXT;
    if (r->o->limit) {
        r->job.stage = EXIT_USAGE;
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--limit would cut %s to its first lines; name another output with -o",
                         r->output);
    }
    for (size_t i = 0; i < rows->count; i++) {
        if (rows->item[i].overlong)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "%s:%llu: the row is over %zu MiB, too long to be kept; name another "
                             "output with -o",
                             r->output, (unsigned long long)rows->item[i].line_no,
                             LINE_BYTES_MAX >> 20);
    }
    return STEP_NEXT;
}

/* Reads the earlier output, when it is not itself the input. */
int run_step_earlier(struct run *r, struct error *e)
{
    struct ingest_options rules = { .rules.from_output = true,
                                    .limit = r->o->limit,
                                    .stop = r->job.rules.stop };

    if (!r->o->retry_failed)
        return STEP_NEXT;
    r->job.stage = EXIT_INPUT;
    if (run_in_place(r))
        return check_replaced(r, e);
    if (input_open(&r->old_input, &r->o->retry_failed, 1, r->job.state_root, e) < 0)
        return -1;
    if (ingest_run(&r->old_input, &rules, &r->old, e) < 0)
        return -1;
    return check_replaced(r, e);
}

/* ---- What is known of it? ---- */

static void add_digest(struct buf *out, const char *name, const struct ingest_result *r)
{
    buf_addf(out, "%s %016llx%016llx %llu\n", name, (unsigned long long)r->digest[0],
             (unsigned long long)r->digest[1], (unsigned long long)r->lines);
}

static bool same_file(const char *one, const char *other)
{
    struct stat a, b;

    return stat(one, &a) == 0 && stat(other, &b) == 0 && a.st_dev == b.st_dev &&
           a.st_ino == b.st_ino;
}

/* Refuses to replace a file that may be the only copy of its content. */
static int check_overwritten(struct run *r, struct error *e)
{
    const char *path = r->output_path;
    struct stat st;

    if (r->o->overwrite || r->streams || r->to_table || stat(path, &st) < 0 || st.st_size == 0)
        return STEP_NEXT;
    if (r->o->retry_failed && same_file(path, r->o->retry_failed))
        return STEP_NEXT;
    /* A spool without a mark: this run was cut off, perhaps between its output and the mark. */
    if (access(arena_textf(&r->job.arena, "%s/spool.db", r->state.dir), F_OK) == 0 ||
        state_wrote(r->job.state_root, path, r->command))
        return STEP_NEXT;
    return error_set(
        e, ERROR_ALREADY_EXISTS,
        "%s exists, and is not what this command wrote (another input or model, or the "
        "file was changed since): name another file with -o, move it away, or "
        "replace it with --overwrite",
        r->output);
}

/* All that decides the answers and where they go. */
int run_step_state(struct run *r, struct error *e)
{
    struct local_job *j = &r->job;
    struct buf facts = BUF_INIT(FACTS_BYTES_MAX);

    j->stage = EXIT_USAGE;
    buf_add_c(&facts, STATE_FORMAT "\n");
    add_digest(&facts, "input", &j->ingest);
    add_digest(&facts, "earlier", &r->old);
    buf_addf(&facts, "limit %llu retry %d\nmodel ", (unsigned long long)r->o->limit,
             r->o->retry_failed != NULL);
    buf_add_json(&facts, str_of(j->model_name));
    buf_add_c(&facts, "\noutput ");
    buf_add_json(&facts, str_of(r->output_path));
    buf_add_char(&facts, '\n');
    if (j->rows)
        rows_facts(&j->sheet, j->rows, &facts);
    if (j->slice.count)
        buf_addf(&facts, "shard %u/%u of %016llx%016llx\n", j->slice.number, j->slice.count,
                 (unsigned long long)j->slice.digest[0], (unsigned long long)j->slice.digest[1]);
    config_fingerprint(&j->config, j->model, &facts);
    /* Before the run's own folder is there, which may be of an old run. */
    state_prune(j->state_root, clock_system()->wall_us(clock_system()));
    int rc = buf_ok(&facts) ? state_open(&r->state, &j->arena, j->state_root, buf_str(&facts), e)
                            : error_set(e, ERROR_INVALID_ARGUMENT, "the names are too long");
    buf_release(&facts);
    if (rc < 0)
        return -1;
    if (r->to_table)
        r->render_path = arena_textf(&j->arena, "%s/output.jsonl", r->state.dir);
    else if (j->rows && rows_are_parquet(r->output_path))
        r->render_path = arena_textf(&j->arena, "%s/output.csv", r->state.dir);
    local_job_name(j, r->o->upstream, r->command);
    return check_overwritten(r, e);
}

static int spool_begin(struct run *r, struct error *e)
{
    r->job.stage = EXIT_STOPPED;
    r->spool = spool_open(r->state.dir, e);
    return r->spool ? 0 : -1;
}

/* The lock is given back only when all is forgotten: who takes it first then begins anew. */
static int spool_restart(struct run *r, struct error *e)
{
    if (state_reset(&r->state, e) < 0)
        return -1;
    spool_close(r->spool);
    r->spool = NULL;
    return spool_begin(r, e);
}

static int report_done(struct run *r, const struct done *d, struct error *e)
{
    const struct terminal *c = &r->job.terminal;
    char at[CLOCK_TEXT_BYTES];

    /* Its record may be lost, or of another input that had the same lines here. */
    r->job.stage = EXIT_STOPPED;
    if (r->job.slice.count && shard_part_write(&r->job, r->output_path, d->summary, e) < 0)
        return -1;
    clock_format_rfc3339(d->finished_us, at);
    at[strcspn(at, ".")] = '\0';
    terminal_note(c, "already finished at %sZ: %s is complete (--fresh runs it again)", at,
                  r->output);
    if (!r->o->quiet && !c->json)
        terminal_write(STDERR_FILENO, d->text);
    if (r->o->json)
        terminal_write(STDOUT_FILENO, d->summary);
    r->code = d->code;
    return STEP_END;
}

/* "@FILE" by the file's whole path. */
static void note_text(struct json_writer *w, const char *name, const char *text)
{
    char real[PATH_MAX + 1] = "@";

    if (text && text[0] == '@' && realpath(text + 1, real + 1))
        text = real;
    if (text)
        json_add_c(w, name, text);
}

/* The options by which a look at the run makes its rows (`tranche peek`). */
static void note_rows(const struct run *r, struct json_writer *w)
{
    const struct rows_options *o = &r->o->rows;
    struct buf facts = BUF_INIT(FACTS_BYTES_MAX);

    rows_facts(&r->job.sheet, o, &facts);
    json_object(w, "rows");
    json_add_text(w, "facts", buf_str(&facts));
    note_text(w, "prompt", o->prompt);
    note_text(w, "system", o->system);
    note_text(w, "schema", o->schema);
    note_text(w, "enum", o->enum_values);
    note_text(w, "where", o->where);
    note_text(w, "keep_columns", o->keep_columns);
    json_array(w, "param");
    for (uint32_t i = 0; i < o->param.count; i++)
        json_add_c(w, NULL, o->param.item[i]);
    json_end(w);
    json_add_bool(w, "excel", o->excel);
    json_add_bool(w, "mark_reused", o->mark_reused);
    json_end(w);
    buf_release(&facts);
}

/* Says in the spool what it belongs to, for `tranche peek`, and for a run of this command whose input is another.
 * Input that cannot be read again stays in the folder, too. */
static int note_run(struct run *r, struct error *e)
{
    struct local_job *j = &r->job;
    struct buf text = BUF_INIT(FACTS_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&text);
    char real[PATH_MAX];

    int rc = spool_fact_get(r->spool, SPOOL_FACT_RUN, &text, e);
    if (rc == 0) {
        buf_clear(&text);
        json_object(&w, NULL);
        json_array(&w, "copies");
        for (uint32_t i = 0; i < j->input.count; i++)
            json_add_bool(&w, NULL, j->input.file[i].copy != NULL);
        json_end(&w);
        if (j->rows)
            note_rows(r, &w);
        json_add_c(&w, "output", r->output_path);
        json_add_uint(&w, "lines", j->ingest.lines);
        json_add_uint(&w, "limit", r->o->limit);
        if (r->o->shard)
            json_add_c(&w, "shard", r->o->shard);
        json_add_bool(&w, "from_output", j->rules.rules.from_output);
        json_add_bool(&w, "table", j->input.cut != NULL);
        json_add_c(&w, "command", r->command);
        json_array(&w, "model");
        json_add_uint(&w, NULL, r->keeping.reuse.model[0]);
        json_add_uint(&w, NULL, r->keeping.reuse.model[1]);
        json_end(&w);
        json_array(&w, "inputs");
        for (uint32_t i = 0; i < j->input.count; i++) {
            const char *path = j->input.file[i].path;
            json_add_c(&w, NULL, realpath(path, real) ? real : path);
        }
        json_end(&w);
        json_end(&w);
        /* A thousand inputs may be too many to be named; then nobody peeks. */
        rc = buf_ok(&text) ? spool_fact_set(r->spool, SPOOL_FACT_RUN, buf_str(&text), e) : 0;
    }
    buf_release(&text);
    if (rc < 0)
        return -1;
    return input_keep_copies(&j->input, arena_textf(&j->arena, "%s/input", r->state.dir), e);
}

/* The first of the findings are kept with the run: when its input is not read again, they are shown again. */
static int note_findings(struct run *r, struct error *e)
{
    if (!r->known.loaded)
        return spool_fact_set(r->spool, SPOOL_FACT_FINDINGS, buf_str(&r->bad_text), e);
    buf_clear(&r->bad_text);
    return spool_fact_get(r->spool, SPOOL_FACT_FINDINGS, &r->bad_text, e) < 0 ? -1 : 0;
}

int run_step_spool(struct run *r, struct error *e)
{
    struct counters counters = { 0 };
    struct done done = { 0 };

    bool anew = r->o->fresh || state_adopted(&r->state);
    if (anew && state_discard(&r->state, e) < 0)
        return -1;
    if (spool_begin(r, e) < 0)
        return -1;
    r->job.stage = EXIT_INTERNAL;
    int known = state_done_read(&r->state, &r->job.arena, &done, e);
    if (known == 1 && r->to_table) { /* the run is finished as long as its table is there */
        int made = bigquery_tables_made(&r->job.bigquery, e);
        known = made < 0 ? -1 : 2 - made;
    }
    if (known < 0)
        return -1;
    if (known == 1)
        return report_done(r, &done, e);
    if (known == 2 && spool_restart(r, e) < 0)
        return -1;
    r->job.stage = EXIT_STOPPED;
    if (r->to_table && bigquery_tables_begin(&r->job.bigquery, r->spool, r->o->overwrite, e) < 0) {
        if (e->code == ERROR_ALREADY_EXISTS)
            r->job.stage = EXIT_USAGE;
        return -1;
    }
    const struct keep_options keep = { .fresh = r->o->fresh,
                                       .none = r->o->no_keep,
                                       .age = r->o->max_age,
                                       .command = r->command,
                                       .output = r->output_path,
                                       .own_dir = r->state.dir };
    if (keep_begin(&r->keeping, &r->job, &keep, e) < 0)
        return -1;
    r->job.stage = EXIT_INTERNAL;
    if (note_run(r, e) < 0 || note_findings(r, e) < 0)
        return -1;
    known_input_keep(&r->known, r->state.dir);
    spool_counters(r->spool, &counters);
    if (judge_bad(r, e) < 0)
        return -1;
    if (counters_done(&counters))
        terminal_note(&r->job.terminal, "resuming: %s of %s lines were done",
                      human_count(HUMAN, counters_done(&counters)),
                      human_count(HUMAN, r->job.ingest.lines));
    return STEP_NEXT;
}

int run_step_keep(struct run *r, struct error *e)
{
    struct local_job *j = &r->job;
    bool in_place = run_in_place(r);
    struct earlier earlier = {
        .input = &j->input,
        .job = &j->ingest,
        .old_input = in_place ? &j->input : &r->old_input,
        .old = in_place ? &j->ingest : &r->old,
        .stop = j->rules.stop,
        .now_us = clock_system()->wall_us(clock_system()),
    };

    if (!r->o->retry_failed)
        return STEP_NEXT;
    j->stage = EXIT_INPUT;
    if (earlier_keep(&earlier, r->spool, &r->summary.kept, e) < 0)
        return -1;
    terminal_note(&j->terminal, "%s of %s answers are kept, the other lines run again",
                  human_count(HUMAN, r->summary.kept), human_count(HUMAN, j->ingest.lines));
    return STEP_NEXT;
}
