/* glibc shows realpath only so, although POSIX has it since 2008. */
#define _XOPEN_SOURCE 700
#include "app/run/local_job.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <xxhash.h>

#include "app/backends.h"
#include "app/run/foreign.h"
#include "app/run/known_input.h"
#include "app/cli/human.h"
#include "app/cli/options.h"
#include "base/mem.h"
#include "base/sys.h"
#include "format/bigquery/name.h"
#include "store/tables/table_files.h"

/* Below this, reading the input takes no time worth a word. */
#define SLOW_INPUT_BYTES ((uint64_t)64 * 1024 * 1024)

#define NAME_FACTS_BYTES_MAX ((size_t)64 * 1024 * 1024)

/* The known name that is nearest to the one asked for, when it is near enough to be meant; or NULL. */
static const char *nearest_model(const struct local_job *j)
{
    struct nearest n = { .word = j->model_name };
    const char *name;
    const struct price *p;

    for (uint32_t i = 0; i < j->config.models.count; i++)
        if (!strpbrk(j->config.models.item[i].pattern, "*?"))
            nearest_offer(&n, j->config.models.item[i].pattern);
    for (unsigned i = 0; price_at(i, &name, &p); i++)
        nearest_offer(&n, name);
    return n.best;
}

/* A pattern answers any name; one that nobody has published is perhaps a slip of the pen. */
static void warn_of_unknown(const struct local_job *j)
{
    const char *nearest = nearest_model(j);
    char name[MODEL_NAME_BYTES];

    model_short_name(j->model_name, name);
    if (j->model->kind != MODEL_LOCAL || !strpbrk(j->model->pattern, "*?") || j->model->has_price ||
        price_find(name))
        return;
    terminal_warn(&j->terminal, "no known model is called %s%s%s; %s answers it, without a price",
                  name, nearest ? "; did you mean " : "", nearest ? nearest : "",
                  j->model->pattern);
}

/* The same model on the engine of --engine. */
static const struct model *with_engine(struct local_job *j, const struct model *m,
                                       const char *engine, struct error *e)
{
    struct model *own = arena_alloc(&j->arena, sizeof *own);

    if (m->kind != MODEL_LOCAL) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "--engine is for embedded models; %s is of kind %s", m->pattern,
                        model_kind_name(m->kind));
        return NULL;
    }
    *own = *m;
    own->plain = strcmp(engine, "plain") == 0;
    return own;
}

/* The model that answers: the server of --upstream, or the configuration's entry for the name. */
static const struct model *find_model(struct local_job *j, const struct local_options *w,
                                      struct error *e)
{
    const struct upstream_options server = {
        .url = w->upstream,
        .dialect = w->dialect,
        .model = w->model,
        .max_rpm = (uint32_t)w->max_rpm,
        .max_tpm = w->max_tpm,
    };

    if (w->given)
        return w->given;
    if (w->upstream)
        return config_upstream_model(&j->config, &server, e);
    if (w->dialect || w->max_rpm || w->max_tpm) {
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "--dialect, --max-rpm and --max-tpm go with --upstream");
        return NULL;
    }
    const struct model *m = model_find(&j->config.models, j->model_name, e);
    return m && w->engine ? with_engine(j, m, w->engine, e) : m;
}

int local_job_config(struct local_job *j, const struct local_options *w, struct error *e)
{
    j->stage = EXIT_USAGE;
    if (w->rows && !rows_options_fit(w->rows, e))
        return -1;
    j->rows = w->rows && w->rows->prompt ? w->rows : NULL;
    if (w->shard && slice_parse(w->shard, &j->slice, e) < 0)
        return -1;
    if (w->shard && w->limit)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "--limit and --shard do not go together: a limit cuts the input to its "
                         "first lines, which are all in the first shards");
    if (config_load(w->config, &j->config, e) < 0)
        return -1;
    j->model_name = w->model ? w->model : j->config.default_model;
    j->model = find_model(j, w, e);
    const char *nearest = !j->model && e->code == ERROR_NOT_FOUND ? nearest_model(j) : NULL;
    if (nearest)
        return error_set(e, ERROR_NOT_FOUND,
                         "There is no model \"%.*s\"; did you mean %s? `tranche models` lists all.",
                         MODEL_NAME_BYTES, j->model_name, nearest);
    if (!j->model)
        return -1;
    warn_of_unknown(j);
    j->state_root = config_state_root(&j->arena, w->state, e);
    if (!j->state_root)
        return -1;
    j->bigquery = (struct bigquery_tables){
        .config = &j->config,
        .endpoint = w->bigquery_endpoint,
        .state_root = j->state_root,
        .arena = &j->arena,
        .stop = stop_on_signals(),
        .limit = w->rows && w->rows->where ? 0 : w->limit,
        .fresh = w->fresh,
        .plain = j->rows != NULL,
    };
    return sys_mkdirs(j->state_root, e) == 0
               ? 0
               : error_wrap(e, "the state folder; --state DIR names another");
}

/* Only a file's lines have a place that each machine finds again. */
static int check_sliced(const char *const *paths, uint32_t count, struct error *e)
{
    for (uint32_t i = 0; i < count; i++) {
        const char *what = strcmp(paths[i], "-") == 0 ? "standard input" : paths[i];
        if (strcmp(paths[i], "-") == 0 || bq_is(str_of(paths[i])) ||
            table_file_is(str_of(paths[i])))
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "--shard cuts files of lines (.jsonl, .csv, .tsv), not %s; copy it to "
                             "such a file first, once for all machines",
                             what);
    }
    return 0;
}

int local_job_input(struct local_job *j, const char *const *paths, uint32_t count,
                    const char *output, struct error *e)
{
    j->stage = EXIT_USAGE;
    if (j->slice.count && check_sliced(paths, count, e) < 0)
        return -1;
    if (j->rows && rows_check_paths(paths, count, output, e) < 0)
        return -1;
    j->stage = EXIT_INPUT;
    j->tables = (struct engine_tables){ .state_root = j->state_root, .arena = &j->arena };
    if (bigquery_tables_are(paths, count)) {
        bool to_lines = !output || !bq_is(str_of(output));
        if (bigquery_tables_input(&j->bigquery, paths, count, to_lines, &j->input, e) < 0)
            return -1;
    } else if (j->rows && engine_tables_are(paths, count)) {
        if (engine_tables_input(&j->tables, paths, count, output, &j->input, e) < 0)
            return -1;
    } else {
        const char *folder = arena_textf(&j->arena, "%s/inputs", j->state_root);
        if (sys_mkdirs(folder, e) < 0 || input_open(&j->input, paths, count, folder, e) < 0)
            return -1;
    }
    int rc = j->rows ? rows_begin(&j->sheet, j->rows, &j->input, output, e)
                     : foreign_check(&j->input, e);
    return rc == 0 && j->slice.count ? slice_take(&j->slice, &j->input, stop_on_signals(), e) : rc;
}

void local_job_name(const struct local_job *j, const char *upstream, char out[LOCAL_JOB_NAME_BYTES])
{
    struct buf facts = BUF_INIT(NAME_FACTS_BYTES_MAX);
    char real[PATH_MAX];

    for (uint32_t i = 0; i < j->input.count; i++) {
        const char *path = j->input.file[i].path;
        buf_add_json(&facts, str_of(realpath(path, real) ? real : path));
    }
    buf_add_json(&facts, str_of(j->model_name));
    if (upstream)
        buf_add_json(&facts, str_of(upstream));
    if (j->slice.count)
        buf_addf(&facts, " shard %u/%u", j->slice.number, j->slice.count);
    const XXH128_hash_t hash = XXH3_128bits(facts.p, facts.len);
    (void)snprintf(out, LOCAL_JOB_NAME_BYTES, "%016llx%016llx", (unsigned long long)hash.high64,
                   (unsigned long long)hash.low64);
    buf_release(&facts);
}

int local_job_predictor(struct local_job *j, struct error *e)
{
    struct clock *clock = clock_system();
    struct predictor_env env = { .clock = clock, .state_dir = j->state_root };

    j->stage = EXIT_INTERNAL;
    if (config_model_present(j->model, e) < 0)
        return -1;
    if (j->model->kind == MODEL_REMOTE_BATCH)
        return 0;
    /* Response ids must differ from those of any other run. */
    env.seed = (uint64_t)clock->wall_us(clock) ^ ((uint64_t)getpid() << 48);
    if (j->model->kind == MODEL_UPSTREAM) /* what can fail is what the operator wrote */
        j->stage = EXIT_USAGE;
    j->predictor = backend_open(j->model, &env, e);
    return j->predictor ? 0 : -1;
}

int local_job_ingest(struct local_job *j, struct known_input *known, struct error *e)
{
    bool slow = j->terminal.live && j->input.bytes > SLOW_INPUT_BYTES;

    j->stage = EXIT_INPUT;
    j->rules.rules.sheet = j->rows ? &j->sheet : NULL;
    j->rules.lines_max = j->config.lines_max;
    j->rules.stop = stop_on_signals();
    if (known)
        known_input_look(known, j);
    bool loaded = known && known->loaded;
    struct ingest_options o = j->rules;
    o.predictor = j->predictor;
    if (slow && !loaded)
        terminal_note(&j->terminal, "checking %s of input ...", human_bytes(HUMAN, j->input.bytes));
    if (!loaded && ingest_run(&j->input, &o, &j->ingest, e) < 0)
        return -1;
    if (j->ingest.lines || j->slice.count) /* there may be more shards than lines */
        return 0;
    return error_set(e, ERROR_INVALID_ARGUMENT,
                     j->rows && j->rows->where ? "--where chooses no row of the input"
                                               : "the input has no lines");
}

void local_job_release(struct local_job *j)
{
    ingest_result_release(&j->ingest);
    if (j->predictor)
        j->predictor->ops->close(j->predictor);
    input_release(&j->input);
    sheet_release(&j->sheet);
    engine_tables_close(&j->tables);
    bigquery_tables_close(&j->bigquery);
    config_release(&j->config);
    arena_release(&j->arena);
}

enum exit_code local_job_exit(enum exit_code stage, enum error_code code)
{
    if (code == ERROR_CANCELLED)
        return EXIT_INTERRUPTED;
    return code == ERROR_RESOURCE_EXHAUSTED ? EXIT_STOPPED : stage;
}
