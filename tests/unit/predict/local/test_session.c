/* Goal: what one request asks for holds up no other, and a request that nobody wants any more ends at its next token,
 * whether its client is gone, its line was cancelled or its deadline has passed: all of these call cancel (hub.c).
 * Method: a session over the fake runtime, whose first tokenizing (a compilation), a forward or a loading of an adapter
 * stands at a gate. */
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/thread.h"
#include "conform/predict/request_make.h"
#include "predict/local/session.h"
#include "unit/predict/local/runtime_fake.h"

#define ANSWER_MS 120000
#define ASK(text, config)                                                                          \
    "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"" text "\"}]}],"                     \
    "\"generationConfig\":{\"temperature\":0" config "}}"
#define ANY_STRING                                                                                 \
    ",\"responseMimeType\":\"application/json\",\"responseJsonSchema\":{\"type\":\"string\"}"

static struct {
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    uint32_t at_forward; /* the forward that stands, from 1; 0: the first tokenizing does */
    uint32_t forwards;
    bool at_adapter; /* the first adapter stands */
    int adapter_fd;  /* of the last one that was loaded */
    bool arrived, open;
} gate;

static void stand(void)
{
    gate.arrived = true;
    cond_broadcast(&gate.changed);
    while (!gate.open)
        cond_wait(&gate.changed, &gate.lock);
}

static void wait_arrived(void)
{
    lock(&gate.lock);
    while (!gate.arrived)
        cond_wait(&gate.changed, &gate.lock);
    unlock(&gate.lock);
}

static void open_gate(void)
{
    lock(&gate.lock);
    gate.open = true;
    cond_broadcast(&gate.changed);
    unlock(&gate.lock);
}

static bool gated_tokenize(struct runtime *r, struct str text, struct tokens *out)
{
    lock(&gate.lock);
    if (!gate.at_forward && !gate.arrived)
        stand();
    unlock(&gate.lock);
    return fake_tokenize(r, text, out);
}

static int gated_forward(struct runtime *r, const struct runtime_row *row, uint32_t count,
                         struct error *e)
{
    lock(&gate.lock);
    if (++gate.forwards == gate.at_forward)
        stand();
    unlock(&gate.lock);
    return fake_forward(r, row, count, e);
}

static int gated_adapt(struct runtime *r, uint32_t id, const struct adapter_list *files,
                       struct error *e)
{
    (void)r;
    (void)id;
    (void)e;
    lock(&gate.lock);
    if (gate.at_adapter && !gate.arrived)
        stand();
    gate.adapter_fd = files->item[0].fd;
    unlock(&gate.lock);
    return 0;
}

static void no_unadapt(struct runtime *r, uint32_t id)
{
    (void)r;
    (void)id;
}

struct world {
    struct predictor *p;
    struct arena arena;
};

static int open_world(void **state)
{
    static struct runtime_ops ops;
    const struct batcher_plan plan = { .sequences = 4, .rows_max = 64 };
    const struct predictor_env env = { .clock = clock_system(), .seed = 1 };
    struct world *w = mem_alloc(sizeof *w);
    struct fake_runtime *f = fake_open(2048, 8, 64);
    struct error e = { 0 };

    ops = fake_ops;
    ops.tokenize = gated_tokenize;
    ops.forward = gated_forward;
    ops.adapt = gated_adapt;
    ops.unadapt = no_unadapt;
    f->base.ops = &ops;
    lock_init(&gate.lock);
    cond_init(&gate.changed);
    gate.at_forward = gate.forwards = 0;
    gate.at_adapter = gate.arrived = gate.open = false;
    w->p = session_open(&f->base, false, &plan, &env, &e);
    assert_non_null(w->p);
    *state = w;
    return 0;
}

static int close_world(void **state)
{
    struct world *w = *state;

    w->p->ops->close(w->p);
    cond_destroy(&gate.changed);
    lock_destroy(&gate.lock);
    arena_release(&w->arena);
    mem_free(w);
    return 0;
}

static void submit(struct world *w, const char *json, void *tag)
{
    struct error e = { 0 };

    assert_int_equal(w->p->ops->submit(w->p, request_make(&w->arena, json), tag, &e), 0);
}

static void assert_answered(struct world *w, const void *tag, enum error_code code)
{
    struct answer a = { 0 };
    struct error e = { 0 };

    assert_int_equal(w->p->ops->wait(w->p, ANSWER_MS, &a, &e), 1);
    assert_ptr_equal(a.tag, tag);
    assert_int_equal(a.error.code, code);
    answer_release(&a);
}

static void test_a_schema_that_is_being_compiled_holds_up_no_other_request(void **state)
{
    struct world *w = *state;
    int schema, plain; /* their addresses count */

    submit(w, ASK("Say hello 4>", ANY_STRING ",\"maxOutputTokens\":9"), &schema);
    wait_arrived();
    submit(w, ASK("Name a fruit 3>", ""), &plain);
    assert_answered(w, &plain, ERROR_OK);
    open_gate();
    assert_answered(w, &schema, ERROR_OK);
}

static void test_a_cancelled_answer_under_a_schema_gets_no_other_forward(void **state)
{
    struct world *w = *state;
    int tag;

    gate.at_forward = 5;
    submit(w, ASK("Tell a long story", ANY_STRING ",\"maxOutputTokens\":900"), &tag);
    wait_arrived();
    w->p->ops->cancel(w->p, &tag);
    open_gate();
    assert_answered(w, &tag, ERROR_CANCELLED);
    assert_int_equal(gate.forwards, 5);
}

static void
test_a_request_that_is_cancelled_while_its_schema_is_compiled_is_never_computed(void **state)
{
    struct world *w = *state;
    int tag;

    submit(w, ASK("Tell a long story", ANY_STRING ",\"maxOutputTokens\":900"), &tag);
    wait_arrived();
    w->p->ops->cancel(w->p, &tag);
    open_gate();
    assert_answered(w, &tag, ERROR_CANCELLED);
    assert_int_equal(gate.forwards, 0);
}

/* The descriptor of the request that was cancelled is closed then, and its number is another file's. */
static void
test_an_adapter_whose_request_was_cancelled_is_loaded_by_the_next_descriptor(void **state)
{
    struct world *w = *state;
    const struct adapter_list first = { { { "first", 1.0f, open("/", O_RDONLY | O_CLOEXEC) } }, 1 };
    struct adapter_list second = { { { "second", 1.0f, open("/", O_RDONLY | O_CLOEXEC) } }, 1 };
    int one, two, three;

    gate.at_forward = UINT32_MAX;
    gate.at_adapter = true;
    w->p->ops->adapt(w->p, &first);
    submit(w, ASK("Name a fruit 3>", ""), &one);
    wait_arrived();
    w->p->ops->adapt(w->p, &second);
    submit(w, ASK("Name a fruit 3>", ""), &two);
    w->p->ops->cancel(w->p, &two);
    open_gate();
    struct answer a = { 0 };
    struct error e = { 0 };
    for (int i = 0; i < 2; i++) {
        assert_int_equal(w->p->ops->wait(w->p, ANSWER_MS, &a, &e), 1);
        assert_int_equal(a.error.code, a.tag == &two ? ERROR_CANCELLED : ERROR_OK);
        answer_release(&a);
    }
    assert_int_equal(gate.adapter_fd, first.item[0].fd);
    int before = second.item[0].fd;
    second.item[0].fd = dup(before);
    (void)close(before);
    submit(w, ASK("Name a fruit 3>", ""), &three);
    assert_answered(w, &three, ERROR_OK);
    assert_int_equal(gate.adapter_fd, second.item[0].fd);
    (void)close(first.item[0].fd);
    (void)close(second.item[0].fd);
}

#define WORLD_TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)
int main(void)
{
    const struct CMUnitTest tests[] = {
        WORLD_TEST(test_a_schema_that_is_being_compiled_holds_up_no_other_request),
        WORLD_TEST(test_a_cancelled_answer_under_a_schema_gets_no_other_forward),
        WORLD_TEST(test_a_request_that_is_cancelled_while_its_schema_is_compiled_is_never_computed),
        WORLD_TEST(test_an_adapter_whose_request_was_cancelled_is_loaded_by_the_next_descriptor),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
