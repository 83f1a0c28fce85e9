/* cmd_merge.c -- `tranche merge`: the parts of `tranche run --shard K/N` become one output.
 *
 * Why: the parts come from machines that knew nothing of each other, so nothing is believed: all parts are there once,
 * are of one input, which nobody wrote between their runs, and one set of settings, adjoin in the input from its first
 * byte to its last, and are byte for byte as their runs finished them.
 *
 * Shape:   records -> checks -> copy to OUT.partial, checked while it is copied -> synced and renamed.
 * Memory:  a record for each part, and one piece of a file.
 * Errors:  name the part and what to do.
 * Threads: the main thread.
 */
#include "app/cli/command.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "app/cli/human.h"
#include "app/cli/terminal.h"
#include "app/run/shard_part.h"
#include "app/run/summary.h"
#include "base/json_write.h"
#include "base/mem.h"
#include "base/sys.h"

#define MISSING_SHOWN_MAX 8
#define MISSING_BYTES_MAX 256

struct merge_options {
    const char *output;
    struct option_list input; /* as given to the parts' runs */
    bool overwrite, json, quiet;
};

struct merge {
    const struct merge_options *o;
    struct terminal terminal;
    struct arena arena;
    struct shard_part *part; /* by their numbers */
    uint32_t count;
    struct shard_part all;          /* the sums; digest: of the output */
    char digest[DIGEST_TEXT_BYTES]; /* of the output */
    bool same;                      /* the output was there already, as it is now */
    enum exit_code stage;
};

/* ---- Are they all there? ---- */

static int by_number(const void *a, const void *b)
{
    const struct shard_part *x = a, *y = b;

    return x->number < y->number ? -1 : x->number > y->number;
}

/* Each part against the first: one output has one input, one N and one set of settings. */
static int check_alike(const struct merge *m, const struct shard_part *p, struct error *e)
{
    const struct shard_part *first = &m->part[0];

    if (p->count != first->count)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s is part %u/%u and %s is part %u/%u; merge parts of one N", first->path,
                         first->number, first->count, p->path, p->number, p->count);
    if (strcmp(p->input, first->input) != 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s and %s are parts of different inputs, or the input changed between "
                         "their runs; give the command of the older one again",
                         first->path, p->path);
    if (strcmp(p->settings, first->settings) != 0 || p->table != first->table ||
        p->header_bytes != first->header_bytes)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s and %s were made with another model, prompt or form of output; run "
                         "one of them again with the settings of the other",
                         first->path, p->path);
    return 0;
}

static int missing(const struct merge *m, struct error *e)
{
    struct buf names = BUF_INIT(MISSING_BYTES_MAX);
    uint32_t n = m->part[0].count, absent = n - m->count, at = 0, shown = 0;

    for (uint32_t number = 0; number < n && shown < MISSING_SHOWN_MAX; number++) {
        if (at < m->count && m->part[at].number == number)
            at++;
        else
            buf_addf(&names, "%s%u/%u", shown++ ? ", " : "", number, n);
    }
    (void)error_set(e, ERROR_NOT_FOUND,
                    "%u of %u parts %s not named: %.*s%s; run `tranche run INPUT --shard K/%u -o "
                    "PART` for each, and name all parts",
                    absent, n, absent == 1 ? "is" : "are", STR_ARG(buf_str(&names)),
                    absent > shown ? ", ..." : "", n);
    buf_release(&names);
    return -1;
}

/* Sorted. */
static int check_complete(const struct merge *m, struct error *e)
{
    for (uint32_t i = 1; i < m->count; i++) {
        const struct shard_part *a = &m->part[i - 1], *b = &m->part[i];
        if (a->number == b->number)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "%s and %s are both part %u/%u; name one of them", a->path, b->path,
                             a->number, a->count);
    }
    if (m->count != m->part[0].count)
        return missing(m, e);
    for (uint32_t i = 1; i < m->count; i++) {
        const struct shard_part *a = &m->part[i - 1], *b = &m->part[i];
        if (a->end != b->begin)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "%s ends at byte %llu of the input and %s begins at %llu: the input "
                             "changed between their runs; give the commands of both again",
                             a->path, (unsigned long long)a->end, b->path,
                             (unsigned long long)b->begin);
    }
    return 0;
}

/* ---- Did they see one input? ---- */

/* Nobody wrote a file of the input between the first part's run and the last one's. */
static int check_times(const struct merge *m, struct error *e)
{
    const struct shard_part *first = &m->part[0];

    for (uint32_t i = 1; i < m->count; i++) {
        const struct shard_part *p = &m->part[i];
        if (strcmp(p->times, first->times) != 0)
            return error_set(e, ERROR_FAILED_PRECONDITION,
                             "the files' modification times were not the same when %s and %s were "
                             "run: the input may have been edited between. Name it with --input, "
                             "and it is compared with all parts; or give the parts' commands "
                             "again, which answer only the parts whose lines changed",
                             first->path, p->path);
    }
    return 0;
}

static int check_bytes(const struct merge *m, const struct input *in, struct error *e)
{
    char text[DIGEST_TEXT_BYTES];
    uint64_t digest[2];

    if (in->count != m->part[0].input_files || in->bytes != m->part[0].input_bytes)
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "the input has %llu bytes in %u file%s and had %llu in %llu when the "
                         "parts were run: name the same files, or give the parts' commands again",
                         (unsigned long long)in->bytes, in->count, in->count == 1 ? "" : "s",
                         (unsigned long long)m->part[0].input_bytes,
                         (unsigned long long)m->part[0].input_files);
    for (uint32_t i = 0; i < m->count; i++) {
        const struct shard_part *p = &m->part[i];
        if (slice_bytes(in, p->number ? p->begin : 0, p->end, stop_on_signals(), digest, e) < 0)
            return -1;
        part_digest_text(digest, text);
        if (strcmp(text, p->content) != 0)
            return error_set(e, ERROR_FAILED_PRECONDITION,
                             "the input is not as it was when %s was run, between the bytes %llu "
                             "and %llu; give that part's command again",
                             p->path, (unsigned long long)p->begin, (unsigned long long)p->end);
    }
    return 0;
}

/* The input itself, when it is named, proves more than its times. */
static int check_input(struct merge *m, struct error *e)
{
    const struct option_list *paths = &m->o->input;
    struct input in = { 0 };

    m->stage = EXIT_INPUT;
    if (!paths->count)
        return check_times(m, e);
    for (uint32_t i = 0; i < paths->count; i++)
        if (strcmp(paths->item[i], "-") == 0)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "--input names the files that were cut, not standard input");
    const char *slash = strrchr(m->o->output, '/');
    const char *folder = slash
                             ? arena_copy(&m->arena, m->o->output,
                                          (size_t)(slash - m->o->output) + (slash == m->o->output))
                             : ".";
    int rc = input_open(&in, paths->item, paths->count, folder, e);
    if (rc == 0)
        rc = check_bytes(m, &in, e);
    input_release(&in);
    return rc;
}

static int read_parts(struct merge *m, const char *const *path, uint32_t count, struct error *e)
{
    m->stage = EXIT_INPUT;
    m->part = arena_array(&m->arena, count, sizeof *m->part);
    for (m->count = 0; m->count < count; m->count++) {
        if (shard_part_read(&m->arena, path[m->count], &m->part[m->count], e) < 0)
            return -1;
    }
    for (uint32_t i = 1; i < count; i++)
        if (check_alike(m, &m->part[i], e) < 0)
            return -1;
    qsort(m->part, m->count, sizeof *m->part, by_number);
    return check_complete(m, e);
}

/* The output must not be one of its parts. */
static int check_output(struct merge *m, struct error *e)
{
    struct stat out, st;

    m->stage = EXIT_USAGE;
    if (stat(m->o->output, &out) < 0)
        return 0;
    if (!S_ISREG(out.st_mode))
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s is not a file; name one with -o",
                         m->o->output);
    for (uint32_t i = 0; i < m->count; i++)
        if (stat(m->part[i].path, &st) == 0 && st.st_dev == out.st_dev && st.st_ino == out.st_ino)
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "%s is one of the parts; name another output with -o", m->o->output);
    return 0;
}

/* ---- The copy ---- */

static int copy_part(struct merge *m, const struct shard_part *p, struct part_reading *r,
                     struct error *e)
{
    r->path = p->path;
    r->skip = p->number ? p->header_bytes : 0;
    if (part_read_through(r, e) < 0)
        return -1;
    if (r->bytes != p->bytes || strcmp(r->digest, p->digest) != 0 ||
        (!p->table && r->line_ends != p->lines)) {
        m->stage = EXIT_INPUT;
        return error_set(e, ERROR_FAILED_PRECONDITION,
                         "%s is not as its run finished it (%llu bytes, its record says %llu): "
                         "copy it again, or give its command again with --overwrite",
                         p->path, (unsigned long long)r->bytes, (unsigned long long)p->bytes);
    }
    m->all.lines += p->lines;
    m->all.bytes += p->bytes - r->skip;
    m->all.succeeded += p->succeeded;
    m->all.failed += p->failed;
    m->all.not_run += p->not_run;
    m->all.prompt_tokens += p->prompt_tokens;
    m->all.generated_tokens += p->generated_tokens;
    m->all.thought_tokens += p->thought_tokens;
    m->all.priced |= p->priced;
    m->all.cost_nano += p->cost_nano;
    m->all.cost_online_nano += p->cost_online_nano;
    return 0;
}

static int copy_parts(struct merge *m, int to, const char *partial, struct error *e)
{
    struct part_reading r = {
        .stop = stop_on_signals(), .to = to, .to_path = partial, .copied = digest_new()
    };
    uint64_t digest[2];
    int rc = 0;

    for (uint32_t i = 0; i < m->count && rc == 0; i++)
        rc = copy_part(m, &m->part[i], &r, e);
    digest_end(r.copied, digest);
    part_digest_text(digest, m->digest);
    digest_free(r.copied);
    return rc < 0 ? -1 : sys_sync(to, partial, e);
}

/* An output that is there already stays when it is the same, and is not replaced unasked when it is not. */
static int check_replaced(struct merge *m, struct error *e)
{
    struct part_reading old = { .path = m->o->output, .to = -1, .stop = stop_on_signals() };
    struct stat st;

    if (m->o->overwrite || stat(m->o->output, &st) < 0 || st.st_size == 0)
        return 0;
    if ((uint64_t)st.st_size == m->all.bytes && part_read_through(&old, e) < 0)
        return -1;
    m->same = strcmp(old.digest, m->digest) == 0;
    if (m->same)
        return 0;
    m->stage = EXIT_USAGE;
    return error_set(e, ERROR_ALREADY_EXISTS,
                     "%s exists, and is not what these parts become: name another file with -o, "
                     "move it away, or replace it with --overwrite",
                     m->o->output);
}

static int write_output(struct merge *m, struct error *e)
{
    const char *partial = arena_textf(&m->arena, "%s.partial", m->o->output);

    m->stage = EXIT_STOPPED;
    int fd = sys_create(partial, e);
    if (fd < 0)
        return -1;
    int rc = copy_parts(m, fd, partial, e);
    if (rc == 0)
        rc = check_replaced(m, e);
    /* The name goes before the lock. */
    if (rc == 0 && !m->same)
        rc = sys_rename(partial, m->o->output, e);
    else
        (void)unlink(partial);
    (void)close(fd);
    return rc;
}

/* ---- The summary ---- */

static void add_text(const struct merge *m, struct buf *out)
{
    const struct shard_part *all = &m->all;

    buf_addf(out, "%smerged%s    %s %s of %s %s, each once and in order%s\n",
             terminal_style(&m->terminal, STYLE_GREEN), terminal_style(&m->terminal, STYLE_END),
             human_count(HUMAN, all->lines), all->lines == 1 ? "line" : "lines",
             human_count(HUMAN, m->count), m->count == 1 ? "part" : "parts",
             m->same ? "; the output was there already" : "");
    buf_addf(out, "  answered  %s\n", human_count(HUMAN, all->succeeded));
    if (all->failed)
        buf_addf(out, "  %sfailed%s    %s\n", terminal_style(&m->terminal, STYLE_RED),
                 terminal_style(&m->terminal, STYLE_END), human_count(HUMAN, all->failed));
    if (all->not_run)
        buf_addf(out, "  not run   %s\n", human_count(HUMAN, all->not_run));
    buf_addf(out, "  tokens    %s prompt, %s generated\n", human_count(HUMAN, all->prompt_tokens),
             human_count(HUMAN, all->generated_tokens + all->thought_tokens));
    if (all->priced)
        buf_addf(out, "  cost      %s at the batch price; online %s\n",
                 human_money(HUMAN, all->cost_nano), human_money(HUMAN, all->cost_online_nano));
    buf_add_c(out, "  output    ");
    buf_add_plain(out, str_of(m->o->output), false);
    buf_add_char(out, '\n');
}

static void add_json(const struct merge *m, enum exit_code code, struct buf *out)
{
    const struct shard_part *all = &m->all;
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_c(&w, "state", "finished");
    json_add_int(&w, "exit_code", (int)code);
    json_add_c(&w, "output", m->o->output);
    json_add_uint(&w, "parts", m->count);
    json_add_uint(&w, "bytes", all->bytes);
    json_object(&w, "lines");
    json_add_uint(&w, "total", all->lines);
    json_add_uint(&w, "succeeded", all->succeeded);
    json_add_uint(&w, "failed", all->failed);
    json_add_uint(&w, "not_run", all->not_run);
    json_end(&w);
    json_object(&w, "tokens");
    json_add_uint(&w, "prompt", all->prompt_tokens);
    json_add_uint(&w, "generated", all->generated_tokens);
    json_add_uint(&w, "thought", all->thought_tokens);
    json_end(&w);
    json_object(&w, "cost");
    json_add_bool(&w, "priced", all->priced);
    summary_add_usd(&w, "batch_usd", all->cost_nano);
    summary_add_usd(&w, "online_usd", all->cost_online_nano);
    json_end(&w);
    json_end(&w);
    buf_add_char(out, '\n');
}

static enum exit_code print_end(const struct merge *m)
{
    enum exit_code code = m->all.failed || m->all.not_run ? EXIT_SOME_FAILED : EXIT_OK;
    struct buf text = BUF_INIT(SUMMARY_BYTES_MAX);

    if (!m->o->quiet)
        add_text(m, &text);
    terminal_write(STDERR_FILENO, buf_str(&text));
    buf_clear(&text);
    if (m->o->json)
        add_json(m, code, &text);
    terminal_write(STDOUT_FILENO, buf_str(&text));
    buf_release(&text);
    return code;
}

static enum exit_code merge_run(const struct command *c, const struct arguments *given)
{
    struct merge m = { .o = given->options, .stage = EXIT_USAGE };
    struct error e = { 0 };
    enum exit_code code;
    int rc = 0;

    (void)c;
    terminal_init(&m.terminal, m.o->quiet, NULL);
    if (!m.o->output || strcmp(m.o->output, "-") == 0)
        rc = error_set(&e, ERROR_INVALID_ARGUMENT, "name the merged file with -o OUTPUT");
    if (rc == 0)
        rc = read_parts(&m, given->argument, given->count, &e);
    if (rc == 0)
        rc = check_output(&m, &e);
    if (rc == 0)
        rc = check_input(&m, &e);
    if (rc == 0)
        rc = write_output(&m, &e);
    if (rc < 0) {
        terminal_error(&m.terminal, "%s", e.msg);
        code = local_job_exit(m.stage, e.code);
    } else {
        code = print_end(&m);
    }
    arena_release(&m.arena);
    return code;
}

#define OPTIONS struct merge_options
static const struct option_spec options[] = {
    OPT_FILE("output", 'o', output, "file for the joined answers"),
    OPT_LIST("input", 0, input, "FILE",
             "input of the parts: it is read and compared with all parts; may be given again"),
    OPT_FLAG("overwrite", 0, overwrite, "replace the output file, whatever it is"),
    OPT_FLAG("json", 0, json, "print the summary as a JSON object on standard output"),
    OPT_FLAG("quiet", 'q', quiet, "print only errors"),
    { 0 },
};

const struct command command_merge = {
    .name = "merge",
    .summary = "join the parts of `tranche run --shard`",
    .arguments = "PART... -o OUTPUT",
    .about =
        "PART is the output of `tranche run INPUT --shard K/N -o PART`, with its record "
        "PART.shard.json beside it; all N parts are named, in any order. The output has each line "
        "of the input once and in order, or the command says which part is missing, twice, not "
        "finished, changed, or of another input. A table keeps one header.\n"
        "\n"
        "An input that was edited between the runs of two parts shows by the times of its files; "
        "with --input it is read, and its bytes are compared with those that the parts answered.\n"
        "\n"
        "The output appears under its name when it is complete. The same command given again "
        "changes nothing.\n"
        "\n"
        "Example:\n"
        "  tranche merge part-*.jsonl -o answers.jsonl",
    .options = options,
    .options_bytes = sizeof(struct merge_options),
    .arguments_min = 1,
    .arguments_max = ARGUMENTS_MAX,
    .takes_files = true,
    .run = merge_run,
};
