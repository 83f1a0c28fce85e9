#include "app/run/keep.h"

#include <dirent.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "app/cli/human.h"
#include "app/run/known_input.h"
#include "app/run/state.h"
#include "base/clock.h"
#include "base/json.h"
#include "base/json_write.h"
#include "base/log.h"
#include "engine/lines/line_index.h"
#include "engine/lines/line_key.h"
#include "engine/lines/model_key.h"

#define US_PER_S ((int64_t)1000000)
#define DAY_US (86400 * US_PER_S)
#define AGE_MAX 100000
#define FACT_BYTES_MAX ((size_t)1024 * 1024)

int keep_age(const char *text, int64_t *us, struct error *e)
{
    static const struct {
        char letter;
        int64_t us;
    } units[] = {
        { 's', US_PER_S }, { 'm', 60 * US_PER_S }, { 'h', 3600 * US_PER_S }, { 'd', DAY_US }
    };
    struct str t = str_of(text);
    uint64_t n;

    for (size_t i = 0; i < ARRAY_LEN(units) && t.len > 1; i++) {
        if (t.p[t.len - 1] != units[i].letter || !str_number(str_sub(t, 0, t.len - 1), &n) ||
            n > AGE_MAX)
            continue;
        *us = (int64_t)n * units[i].us;
        return 0;
    }
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     "an age is a whole number and a unit: 30d, 12h, 45m or 90s, not \"%s\"", text);
}

const char *keep_folder(struct arena *a, const char *state_root)
{
    return arena_textf(a, "%s/kept", state_root);
}

static int64_t now_us(void)
{
    return clock_system()->wall_us(clock_system());
}

static void prune(const struct keeping *k, const struct terminal *t)
{
    struct error e;

    if (kept_prune(k->folder, k->bytes_max, now_us() - KEPT_DAYS_MAX * DAY_US, now_us(), NULL, &e) <
        0)
        terminal_warn(t, "old answers are not removed: %s", e.msg);
}

/* ---- Interrupted runs ---- */

/* An unfinished run of the command and of the model that answers now. */
struct found_run {
    const char *dir, *model;
    bool same_output; /* as this run's: nobody takes the other one up again */
    uint64_t answers;
};

static bool is_adoptable(const struct keeping *k, const struct keep_options *o,
                         struct found_run *run_found)
{
    const char *dir = run_found->dir;
    struct buf text = BUF_INIT(FACT_BYTES_MAX);
    struct arena a = { 0 };
    struct error ignored;
    struct stat st;
    size_t at = 0;
    bool fits = false;

    if (stat(arena_textf(&a, "%s/" LINES_INDEX, dir), &st) == 0 &&
        stat(arena_textf(&a, "%s/done.json", dir), &st) < 0 &&
        stat(arena_textf(&a, "%s/remote", dir), &st) < 0) {
        struct spool *s = spool_peek(dir, &ignored);
        yyjson_val *run = s && spool_fact_get(s, SPOOL_FACT_RUN, &text, &ignored) == 1
                              ? json_parse(&a, buf_str(&text), &at, &ignored)
                              : NULL;
        yyjson_val *model = json_get(run, "model");
        run_found->same_output = str_eq_c(json_str(json_get(run, "output")), o->output);
        fits = str_eq_c(json_str(json_get(run, "command")), o->command) &&
               yyjson_get_uint(yyjson_arr_get(model, 0)) == k->reuse.model[0] &&
               yyjson_get_uint(yyjson_arr_get(model, 1)) == k->reuse.model[1];
        spool_close(s);
    }
    buf_release(&text);
    arena_release(&a);
    return fits;
}

static bool is_own_answer(const struct spool_row *row)
{
    return row->outcome == OUTCOME_SUCCEEDED && !row->duplicate && !row->origin && !row->taken;
}

/* Gives all answers of the spool whose lines the index has to the writer. keyless: own answers without a key. */
static int collect(struct spool *s, const struct ingest_result *lines, const uint64_t model[2],
                   struct kept_writer *w, uint64_t *keyless, struct error *e)
{
    struct line_note *note = mem_array(SHARD_LINES_MAX, sizeof *note);
    struct spool_row row;
    uint64_t own = 0;
    int rc = 0;

    for (size_t i = 0; i < lines->shards.count && rc >= 0; i++) {
        const struct shard *shard = &lines->shards.item[i];
        line_index_read(lines->index, i, shard, note);
        for (uint32_t n = 0; n < shard->line_count && rc >= 0; n++) {
            rc = spool_get(s, shard->index + n, &row, e);
            own += rc == 1 && is_own_answer(&row);
            if (rc == 1)
                rc = line_keep(w, &note[n], &row, model, e);
        }
    }
    mem_free(note);
    *keyless = own - kept_count(w);
    return rc < 0 ? -1 : 0;
}

/* The mark comes first: whatever happens behind it, nobody writes a spool that is kept. */
static int hand_over(struct keeping *k, const char *dir, const char *model, struct spool *s,
                     struct kept_writer *w, struct error *e)
{
    struct arena a = { 0 };
    struct buf about = BUF_INIT(KEPT_ABOUT_BYTES);
    struct json_writer out = JSON_WRITER(&about);
    const char *path;

    json_object(&out, NULL);
    json_add_c(&out, "model", model);
    json_add_bool(&out, "interrupted", true);
    json_end(&out);
    int rc = state_file_write(arena_textf(&a, "%s/" STATE_ADOPTED, dir), STR(""), e);

    if (rc == 0)
        rc = spool_seal(s, &path, e);
    if (rc == 0)
        rc = kept_finish(w, path, k->reuse.model, now_us(),
                         buf_ok(&about) ? buf_str(&about) : STR("{}"), e);
    buf_release(&about);
    arena_release(&a);
    return rc;
}

/* Another process may have the run: then it is left alone. So is one whose output is another, and that would lose answers
 * which nobody can find: it may be taken up again. */
static int adopt(struct keeping *k, struct found_run *r, struct error *e)
{
    struct arena a = { 0 };
    struct ingest_result lines = { 0 };
    const struct state run = { .dir = r->dir };
    uint64_t keyless = 0;
    struct spool *s = spool_open(r->dir, e);
    struct kept_writer *w = s ? kept_begin(k->folder, e) : NULL;
    int rc = w ? 0 : -1;

    if (w && line_index_load(arena_textf(&a, "%s/" LINES_INDEX, r->dir), NULL, &lines))
        rc = collect(s, &lines, k->reuse.model, w, &keyless, e);
    if (w && rc == 0 && kept_count(w) > 0 && (r->same_output || keyless == 0)) {
        r->answers = kept_count(w);
        rc = hand_over(k, r->dir, r->model, s, w, e);
        if (rc == 0)
            rc = state_reset(&run, e);
    }
    ingest_result_release(&lines);
    kept_writer_free(w);
    spool_close(s);
    arena_release(&a);
    return rc;
}

static void adopt_all(struct keeping *k, const struct local_job *j, const struct keep_options *o)
{
    struct arena a = { 0 };
    const char *runs = arena_textf(&a, "%s/runs", j->state_root);
    DIR *dir = opendir(runs);
    const struct dirent *entry;
    struct error e;

    // NOLINTNEXTLINE(concurrency-mt-unsafe): a stream of our own, which glibc reads safely
    while (dir && (entry = readdir(dir))) {
        struct found_run run = { .dir = arena_textf(&a, "%s/%s", runs, entry->d_name),
                                 .model = j->model_name };
        if (strlen(entry->d_name) != STATE_KEY_BYTES - 1 || strcmp(run.dir, o->own_dir) == 0 ||
            !is_adoptable(k, o, &run))
            continue;
        if (adopt(k, &run, &e) < 0)
            log_info("an interrupted run is left as it is: %s", e.msg);
        else if (run.answers)
            terminal_note(
                &j->terminal, "%s of an interrupted run of this command can be used again",
                run.answers == 1 ? "an answer"
                                 : arena_textf(&a, "%s answers", human_count(HUMAN, run.answers)));
    }
    if (dir)
        (void)closedir(dir);
    arena_release(&a);
}

int keep_begin(struct keeping *k, struct local_job *j, const struct keep_options *o,
               struct error *e)
{
    int64_t age = KEPT_DAYS_MAX * DAY_US;
    struct error why = { .code = ERROR_OK };

    *k = (struct keeping){ .folder = keep_folder(&j->arena, j->state_root),
                           .bytes_max = j->config.keep };
    j->stage = EXIT_USAGE;
    if (o->age && keep_age(o->age, &age, e) < 0)
        return -1;
    prune(k, &j->terminal);
    if (!k->bytes_max)
        return 0;
    if (model_key(j->model, j->model_name, k->folder, k->reuse.model, &why) < 0) {
        terminal_warn(&j->terminal, "answers are neither used again nor kept: %s", why.msg);
        k->bytes_max = 0;
        return 0;
    }
    if (!o->fresh && !o->none && j->model->kind != MODEL_REMOTE_BATCH)
        adopt_all(k, j, o);
    if (!o->fresh)
        k->reuse.kept = kept_open(k->folder, k->reuse.model, now_us() - age, &why);
    if (!o->none && why.code == ERROR_OK)
        k->writer = kept_begin(k->folder, &why);
    if (why.code != ERROR_OK)
        terminal_warn(&j->terminal, "answers are not kept: %s", why.msg);
    return 0;
}

void keep_finish(struct keeping *k, struct spool *s, const struct render *r, struct str about,
                 const struct terminal *t)
{
    const char *path;
    struct error e;

    if (!k->writer || !render_keeps(r) || kept_count(k->writer) == 0)
        return;
    if (spool_seal(s, &path, &e) < 0 ||
        kept_finish(k->writer, path, k->reuse.model, now_us(), about, &e) < 0)
        terminal_warn(t, "the answers are not kept for other runs: %s", e.msg);
    prune(k, t);
}

void keep_release(struct keeping *k)
{
    kept_close(k->reuse.kept);
    kept_writer_free(k->writer);
}
