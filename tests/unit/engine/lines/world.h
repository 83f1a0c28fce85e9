/* world.h -- a whole job in a scratch folder: input lines, a fake model under a fake clock, a state
 * folder and an output, run and run again as a user would. Include after cmocka.h. */
#ifndef TRANCHE_TESTS_WORLD_H
#define TRANCHE_TESTS_WORLD_H

#include "engine/lines/pipeline.h"
#include "format/row.h"
#include "scratch.h"

#define WORLD_INPUT_MAX ((size_t)64 * 1024 * 1024)

struct world {
    struct scratch dir;
    struct clock clock;
    struct model model;
    /* Another predictor than the fake on this model; NULL: that. */
    struct predictor *(*open)(void *arg, struct error *e);
    void *open_arg;
    struct retry_rules retry;
    struct pipeline_limits limits;
    uint32_t in_flight_max, drain_ms;
    atomic_bool stop, discard;
    uint64_t stop_after;  /* lines done in this run; 0: never */
    struct progress seen; /* the last shown while running */
    uint32_t shown;       /* how often */
    uint64_t computed;    /* answers that the model gave, over all runs */
    struct buf lines;     /* of the input */
    uint32_t line_count;
    struct progress progress; /* of the last run */
    enum pipeline_end end;
};

static inline void world_init(struct world *w)
{
    char path[SCRATCH_PATH_BYTES];
    struct error e = { 0 };

    *w = (struct world){ .clock = clock_fake(1763805600000000), .drain_ms = 1000 };
    scratch_make(&w->dir);
    assert_int_equal(sys_mkdirs(scratch_path(&w->dir, "state", path), &e), 0);
    w->model = (struct model){ .pattern = "tranche-fake", .kind = MODEL_FAKE };
    w->retry = (struct retry_rules){ RETRY_ATTEMPTS_MAX, RETRY_BASE_MS, RETRY_CAP_MS, 3.0 };
    w->lines = BUF_INIT(WORLD_INPUT_MAX);
}

static inline void world_release(struct world *w)
{
    buf_release(&w->lines);
    scratch_remove(&w->dir);
}

static inline void world_line(struct world *w, const char *line)
{
    buf_addf(&w->lines, "%s\n", line);
    w->line_count++;
}

/* A line whose key is its number; deterministic when its temperature is 0. */
static inline void world_ask(struct world *w, const char *text, double temperature)
{
    buf_addf(
        &w->lines,
        "{\"key\":%u,\"request\":{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"%s\"}]}]"
        ",\"generationConfig\":{\"temperature\":%.1f}}}\n",
        w->line_count, text, temperature);
    w->line_count++;
}

/* count lines, all different: "question 0", ... */
static inline void world_ask_many(struct world *w, uint32_t count)
{
    char text[64];

    for (uint32_t i = 0; i < count; i++) {
        (void)snprintf(text, sizeof text, "question %u", w->line_count);
        world_ask(w, text, 1.0);
    }
}

static inline void world_save(struct world *w)
{
    scratch_write(&w->dir, "in.jsonl", w->lines.p, w->lines.len);
}

static inline void world_watch(void *arg, const struct progress *p)
{
    struct world *w = arg;

    assert_true(counters_balanced(&p->counters));
    w->seen = *p;
    w->shown++;
    if (w->stop_after && counters_done(&p->counters) - p->resumed >= w->stop_after)
        atomic_store(&w->stop, true);
}

/* The open parts of one run. */
struct world_run {
    struct input input;
    struct ingest_result ingest;
    struct spool *spool;
    struct render *render;
    struct predictor *predictor; /* NULL once the pipeline took it */
};

static inline int world_open(struct world *w, struct world_run *r, struct ingest_options *o,
                             struct error *e)
{
    char in[SCRATCH_PATH_BYTES], out[SCRATCH_PATH_BYTES], state[SCRATCH_PATH_BYTES];
    const char *path = scratch_path(&w->dir, "in.jsonl", in);
    const struct predictor_env env = { .clock = &w->clock, .seed = 1 };

    if (input_open(&r->input, &path, 1, w->dir.dir, e) < 0 ||
        ingest_run(&r->input, o, &r->ingest, e) < 0)
        return -1;
    r->spool = spool_open(scratch_path(&w->dir, "state", state), e);
    if (!r->spool)
        return -1;
    r->render = render_open(scratch_path(&w->dir, "out.jsonl", out), &r->input, &r->ingest,
                            &o->rules, ROW_VERTEX, e);
    if (!r->render)
        return -1;
    r->predictor = w->open ? w->open(w->open_arg, e) : predictor_fake_open(&w->model, &env, e);
    return r->predictor ? 0 : -1;
}

static inline void world_close(struct world_run *r)
{
    if (r->predictor)
        r->predictor->ops->close(r->predictor);
    render_close(r->render);
    spool_close(r->spool);
    ingest_result_release(&r->ingest);
    input_release(&r->input);
}

static inline int world_run(struct world *w, struct error *e)
{
    struct world_run r = { 0 };
    struct ingest_options o = { .threads = 2, .index_folder = w->dir.dir };
    int rc = world_open(w, &r, &o, e);

    w->progress = (struct progress){ 0 };
    if (rc == 0) {
        const struct pipeline_job job = {
            .input = &r.input,
            .ingest = &r.ingest,
            .rules = o.rules,
            .predictor = r.predictor,
            .price = { .input = 1.0, .output = 2.0 },
            .spool = r.spool,
            .render = r.render,
            .retry = w->retry,
            .limits = w->limits,
            .in_flight_max = w->in_flight_max,
            .drain_ms = w->drain_ms,
            .seed = 1,
            .clock = &w->clock,
            .stop = &w->stop,
            .discard = &w->discard,
            .on_progress = world_watch,
            .arg = w,
        };
        r.predictor = NULL;
        rc = pipeline_run(&job, &w->progress, &w->end, e);
        w->computed += w->progress.predictor.prompt_tokens;
    }
    world_close(&r);
    return rc;
}

static inline void world_finish(struct world *w)
{
    struct error e = { 0 };
    int rc = world_run(w, &e);

    assert_string_equal(e.msg, "");
    assert_int_equal(rc, 0);
    assert_int_equal(w->end, PIPELINE_DONE);
}

/* The rows of the output, one after the other. */
struct world_rows {
    struct buf text;
    struct str rest;
    struct arena arena;
    uint32_t count;
};

static inline void rows_open(struct world_rows *r, const struct world *w)
{
    *r = (struct world_rows){ 0 };
    scratch_read(&w->dir, "out.jsonl", &r->text);
    r->rest = buf_str(&r->text);
}

static inline bool rows_next(struct world_rows *r, struct str *line, struct row_parts *parts)
{
    size_t end = str_find(r->rest, STR("\n"));

    if (r->rest.len == 0)
        return false;
    assert_true(end != SIZE_MAX); /* every row ends with its line end */
    *line = str_sub(r->rest, 0, end);
    r->rest = str_sub(r->rest, end + 1, r->rest.len);
    r->count++;
    assert_true(row_read(&r->arena, *line, parts));
    return true;
}

static inline void rows_close(struct world_rows *r)
{
    buf_release(&r->text);
    arena_release(&r->arena);
}

/* Each line has exactly one row, in input order, with an answer; the world has no other output. */
static inline void world_assert_all_answered(const struct world *w)
{
    struct world_rows rows;
    struct str line;
    struct row_parts parts;
    char key[32];

    rows_open(&rows, w);
    while (rows_next(&rows, &line, &parts)) {
        (void)snprintf(key, sizeof key, "{\"key\":%u,", rows.count - 1);
        assert_true(str_starts(line, str_of(key)));
        assert_int_equal(parts.status.len, 0);
        assert_true(parts.response.len > 2);
    }
    assert_int_equal(rows.count, w->line_count);
    assert_false(scratch_has(&w->dir, "out.jsonl.partial"));
    rows_close(&rows);
}

#endif
