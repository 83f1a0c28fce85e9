/* delegate_world.h -- a job that is handed over to the batch service of memory_remote.h. */
#ifndef TRANCHE_TESTS_DELEGATE_WORLD_H
#define TRANCHE_TESTS_DELEGATE_WORLD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "engine/remote/delegate_inner.h"
#include "unit/engine/lines/world.h"

#include "unit/engine/remote/memory_remote.h"

struct handover {
    struct world w;
    struct memory_remote remote;
    bool detach;
    uint32_t stop_polls; /* the stop flag is set at this look; 0: never */
    char notes[16 * 1024];
    struct progress cancelled;
};

static inline int setup(void **state)
{
    struct handover *h = mem_alloc(sizeof *h);

    world_init(&h->w);
    memory_init(&h->remote);
    *state = h;
    return 0;
}

static inline int teardown(void **state)
{
    struct handover *h = *state;

    memory_release(&h->remote);
    world_release(&h->w);
    mem_free(h);
    return 0;
}

static inline void on_note(void *arg, const char *text)
{
    struct handover *h = arg;
    size_t at = strlen(h->notes);

    (void)snprintf(h->notes + at, sizeof h->notes - at, "%s\n", text);
}

static inline void on_progress(void *arg, const struct progress *p)
{
    struct handover *h = arg;

    world_watch(&h->w, p);
}

static inline struct delegate_job job_of(struct handover *h, const struct world_run *r,
                                         const struct ingest_options *o, const char *dir)
{
    return (struct delegate_job){
        .input = &r->input,
        .ingest = &r->ingest,
        .rules = o->rules,
        .spool = r->spool,
        .render = r->render,
        .price = { .input = 1.0, .output = 2.0 },
        .dir = dir,
        .remote = &h->remote.base,
        .detach = h->detach,
        .seed = 1,
        .clock = &h->w.clock,
        .stop = &h->w.stop,
        .on_progress = on_progress,
        .on_note = on_note,
        .arg = h,
    };
}

static inline int run(struct handover *h, struct error *e)
{
    struct world_run r = { 0 };
    struct ingest_options o = { .threads = 2 };
    char dir[SCRATCH_PATH_BYTES];
    int rc = world_open(&h->w, &r, &o, e);

    scratch_path(&h->w.dir, "state", dir);
    h->w.progress = (struct progress){ 0 };
    if (rc == 0) {
        const struct delegate_job job = job_of(h, &r, &o, dir);
        rc = delegate_run(&job, &h->w.progress, &h->w.end, e);
    }
    world_close(&r);
    return rc;
}

static inline void run_to_end(struct handover *h)
{
    struct error e = { 0 };
    int rc = run(h, &e);

    assert_string_equal(e.msg, "");
    assert_int_equal(rc, 0);
    assert_int_equal(h->w.end, PIPELINE_DONE);
    assert_false(scratch_has(&h->w.dir, "state/remote"));
}

static inline void ask(struct handover *h, uint32_t count)
{
    world_ask_many(&h->w, count);
    world_save(&h->w);
}

/* Rows of the output that have an answer. */
static inline uint32_t answered_rows(struct handover *h, const char *cause)
{
    struct world_rows rows;
    struct row_parts parts;
    struct str line;
    uint32_t answered = 0;

    rows_open(&rows, &h->w);
    while (rows_next(&rows, &line, &parts)) {
        answered += parts.status.len == 0;
        if (parts.status.len && cause)
            assert_true(str_find(parts.status, str_of(cause)) != SIZE_MAX);
    }
    assert_int_equal(rows.count, h->w.line_count);
    rows_close(&rows);
    return answered;
}

static inline void ask_twins(struct handover *h)
{
    char text[64];

    for (uint32_t i = 0; i < 100; i++) {
        (void)snprintf(text, sizeof text, "question %u", i % 20);
        world_ask(&h->w, text, 0.0);
    }
    world_save(&h->w);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

#endif
