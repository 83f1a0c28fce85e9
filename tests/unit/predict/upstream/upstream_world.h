/* upstream_world.h -- servers, a session with them, and what they reply: of the tests of upstream sessions.
 *
 * Threads: the test's; replies run on the servers' workers. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_UPSTREAM_WORLD_H
#define TRANCHE_TESTS_UPSTREAM_WORLD_H

#include "conform/predict/request_make.h"
#include "unit/predict/upstream/upstream_stub.h"

#define ANSWER_MS 20000
#define SERVERS_MAX 3

struct world {
    struct stub stub[SERVERS_MAX];
    uint32_t stubs;
    struct model model;
    struct upstream_servers *servers;
    struct predictor *p, *other;
    struct arena arena;
};

static struct world *w;

static inline int set_up(void **state)
{
    (void)state;
    w = mem_alloc(sizeof *w);
    w->servers = upstream_servers_new(clock_system());
    w->model = (struct model){ .pattern = "far", .kind = MODEL_UPSTREAM };
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < w->stubs; i++)
        stub_let_go(&w->stub[i]);
    if (w->p)
        w->p->ops->close(w->p);
    if (w->other)
        w->other->ops->close(w->other);
    upstream_servers_free(w->servers);
    for (uint32_t i = 0; i < w->stubs; i++)
        stub_end(&w->stub[i]);
    arena_release(&w->arena);
    mem_free(w);
    return 0;
}

static inline struct stub *add_server(const char *name, enum upstream_wire wire, double weight)
{
    struct stub *s = &w->stub[w->stubs++];

    stub_start(s, name, wire);
    w->model.upstream[w->model.upstream_count++] =
        (struct model_upstream){ .upstream = &s->upstream, .model = "far", .weight = weight };
    return s;
}

static inline struct predictor *open_predictor(uint64_t seed)
{
    const struct predictor_env env = { .clock = clock_system(),
                                       .seed = seed,
                                       .servers = w->servers };
    struct error e = { 0 };
    struct predictor *p = predictor_upstream_open(&w->model, &env, &e);

    if (!p)
        fail_msg("open: %s", e.msg);
    return p;
}

static inline void open_session(void)
{
    w->p = open_predictor(1);
}

static inline void open_other_session(void)
{
    w->other = open_predictor(2);
}

static inline const struct request *ask(const char *text)
{
    struct buf json = BUF_INIT(4096);

    buf_add_c(&json, "{\"contents\":[{\"parts\":[{\"text\":");
    buf_add_json(&json, str_of(text));
    buf_add_c(&json, "}]}]}");
    char *line = arena_copy(&w->arena, json.p, json.len);
    buf_release(&json);
    return request_make(&w->arena, line);
}

static inline void submit(const struct request *r, void *tag)
{
    struct error e = { 0 };

    if (w->p->ops->submit(w->p, r, tag, &e) < 0)
        fail_msg("submit: %s", e.msg);
}

static inline struct answer take(void)
{
    struct answer a = { 0 };
    struct error e = { 0 };

    if (w->p->ops->wait(w->p, ANSWER_MS, &a, &e) != 1)
        fail_msg("no answer came");
    return a;
}

static inline struct answer ask_one(const char *text)
{
    submit(ask(text), NULL);
    return take();
}

static inline void assert_text(const struct answer *a, const char *wanted)
{
    if (a->error.code != ERROR_OK)
        fail_msg("%s", a->error.msg);
    if (!strstr(a->response.p, wanted))
        fail_msg("%s is not in %s", wanted, a->response.p);
}

static inline void server_of(uint32_t i, struct server_stats *out)
{
    assert_true(upstream_servers_at(w->servers, i, &w->arena, out));
}

/* ---- Replies ---- */

static inline void refuse_with(struct stub_reply *out, int status, const char *message)
{
    out->status = status;
    buf_addf(&out->body, "{\"error\":{\"message\":\"%s\"}}", message);
}

static inline void reply_429(struct stub *s, struct str body, struct stub_reply *out)
{
    (void)s;
    (void)body;
    refuse_with(out, 429, "slow down");
    out->retry_after = "2";
}

static inline void reply_500(struct stub *s, struct str body, struct stub_reply *out)
{
    (void)s;
    (void)body;
    refuse_with(out, 500, "it broke");
}

static inline void reply_401(struct stub *s, struct str body, struct stub_reply *out)
{
    (void)s;
    (void)body;
    refuse_with(out, 401, "no such key");
}

static inline void reply_held(struct stub *s, struct str body, struct stub_reply *out)
{
    stub_echo(s, body, out);
    out->held = true;
}

static inline void reply_malformed(struct stub *s, struct str body, struct stub_reply *out)
{
    (void)s;
    (void)body;
    buf_add_c(&out->body, "<html>gateway</html>");
}

/* Fails so often as `failures` says, then answers. */
static inline void reply_recovers(struct stub *s, struct str body, struct stub_reply *out)
{
    if (atomic_load(&s->failures) == 0) {
        stub_echo(s, body, out);
        return;
    }
    atomic_fetch_sub(&s->failures, 1);
    refuse_with(out, 500, "not yet");
}

#define UPSTREAM_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

#endif
