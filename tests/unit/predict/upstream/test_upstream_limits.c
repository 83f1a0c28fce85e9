/* Goal: limits hold, what is not wanted is cancelled, files go along.
 * Method: servers in this process (upstream_stub.h), real sockets, the system's clock; nothing is
 * decided by how long something took. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/thread.h"
#include "unit/predict/upstream/upstream_world.h"

/* ---- Limits and ends ---- */

static void test_no_more_are_open_at_once_than_the_concurrency(void **state)
{
    char tags[64];

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.concurrency = s->upstream.concurrency_max = 3;
    open_session();
    for (int i = 0; i < 19; i++)
        submit(ask("x"), &tags[i]);
    for (int i = 0; i < 19; i++) {
        struct answer a = take();
        answer_release(&a);
    }
    assert_in_range(atomic_load(&s->most_open), 1, 3);
}

static void test_a_limit_a_minute_lets_its_burst_through_and_no_more(void **state)
{
    char tags[8];
    struct answer a = { 0 };
    struct error e = { 0 };
    struct predictor_stats st;

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.max_rpm = 1;
    open_session();
    for (int i = 0; i < 3; i++)
        submit(ask("x"), &tags[i]);
    a = take();
    answer_release(&a);
    assert_int_equal(w->p->ops->wait(w->p, 50, &a, &e), 0);
    assert_int_equal(atomic_load(&s->requests), 1);
    w->p->ops->stats(w->p, &st);
    assert_non_null(strstr(st.note, "limit per minute"));
}

static void test_two_sessions_of_one_server_share_its_limits(void **state)
{
    char tags[8];
    struct answer a;
    struct error e = { 0 };

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.max_rpm = 1;
    open_session();
    open_other_session();
    submit(ask("x"), &tags[0]);
    a = take();
    answer_release(&a);
    assert_int_equal(w->other->ops->submit(w->other, ask("y"), &tags[1], &e), 0);
    assert_int_equal(w->other->ops->wait(w->other, 50, &a, &e), 0);
    assert_int_equal(atomic_load(&s->requests), 1);
}

static void test_a_cancelled_request_is_answered_though_its_server_is_not_done(void **state)
{
    char waiting, open;

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.concurrency = s->upstream.concurrency_max = 1;
    s->reply = reply_held;
    open_session();
    submit(ask("x"), &open);
    submit(ask("y"), &waiting);
    w->p->ops->cancel(w->p, &waiting);
    struct answer a = take();
    assert_ptr_equal(a.tag, &waiting);
    assert_int_equal(a.error.code, ERROR_CANCELLED);
    while (atomic_load(&s->requests) == 0)
        clock_system()->sleep_ns(clock_system(), NS_PER_MS);
    w->p->ops->cancel(w->p, &open);
    a = take();
    assert_ptr_equal(a.tag, &open);
    assert_int_equal(a.error.code, ERROR_CANCELLED);
}

static void test_a_drained_session_cancels_what_was_not_sent(void **state)
{
    char open, waiting;

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.concurrency = s->upstream.concurrency_max = 1;
    s->reply = reply_held;
    open_session();
    submit(ask("x"), &open);
    while (atomic_load(&s->requests) == 0)
        clock_system()->sleep_ns(clock_system(), NS_PER_MS);
    submit(ask("y"), &waiting);
    w->p->ops->drain(w->p);
    struct answer a = take();
    assert_ptr_equal(a.tag, &waiting);
    assert_int_equal(a.error.code, ERROR_CANCELLED);
    stub_let_go(s);
    a = take();
    assert_ptr_equal(a.tag, &open);
    assert_text(&a, "echo: x");
    answer_release(&a);
}

/* ---- Files ---- */

static int give_file(void *arg, struct str uri, size_t bytes_max, struct buf *out, struct error *e)
{
    (void)arg;
    (void)bytes_max;
    if (!str_eq_c(uri, "gs://b/cat.png"))
        return error_set(e, ERROR_NOT_FOUND, "no such object");
    buf_add_c(out, "PNG");
    return 0;
}

static void reply_body(struct stub *s, struct str body, struct stub_reply *out)
{
    bool has = str_find(body, STR("UE5H")) != SIZE_MAX; /* "PNG" in base64 */

    stub_answer(s, has ? STR("has it") : STR("has it not"), &out->body);
}

static const struct request *ask_file(const char *uri, const struct file_source *from)
{
    struct buf json = BUF_INIT(4096);

    buf_addf(&json,
             "{\"contents\":[{\"parts\":[{\"text\":\"x\"},{\"fileData\":{\"fileUri\":\"%s\","
             "\"mimeType\":\"image/png\"}}]}]}",
             uri);
    char *line = arena_copy(&w->arena, json.p, json.len);
    buf_release(&json);
    struct line_rules rules = { 0 };
    struct input_line in = { 0 };
    struct violations bad = { 0 };
    assert_true(request_read_line(&w->arena, str_of(line), &rules, &in, &bad));
    in.request->files = from;
    return in.request;
}

static void test_files_of_the_object_store_are_sent_along_in_both_dialects(void **state)
{
    static const struct file_source from = { .read = give_file };

    (void)state;
    for (int wire = WIRE_OPENAI; wire <= WIRE_GEMINI; wire++) {
        w->model.upstream_count = 0;
        add_server("s", (enum upstream_wire)wire, 1)->reply = reply_body;
        open_session();
        submit(ask_file("gs://b/cat.png", &from), NULL);
        struct answer a = take();
        assert_text(&a, "echo: has it\"");
        answer_release(&a);
        submit(ask_file("gs://b/dog.png", &from), NULL);
        a = take();
        assert_int_equal(a.error.code, ERROR_NOT_FOUND);
        w->p->ops->close(w->p);
        w->p = NULL;
    }
}

/* A file that comes only when the test lets it go. */
struct slow_file {
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t changed;
    uint32_t reads;
    bool let_go;
    enum thread_role role; /* of the thread that read it */
};

static int give_slowly(void *arg, struct str uri, size_t bytes_max, struct buf *out,
                       struct error *e)
{
    struct slow_file *f = arg;

    (void)uri, (void)bytes_max, (void)e;
    lock(&f->lock);
    f->role = thread_role();
    f->reads++;
    cond_broadcast(&f->changed);
    while (!f->let_go)
        cond_wait(&f->changed, &f->lock);
    unlock(&f->lock);
    buf_add_c(out, "PNG");
    return 0;
}

static void slow_file_init(struct slow_file *f)
{
    *f = (struct slow_file){ 0 };
    lock_init(&f->lock);
    cond_init(&f->changed);
}

static void wait_for_read(struct slow_file *f)
{
    lock(&f->lock);
    while (f->reads == 0)
        cond_wait(&f->changed, &f->lock);
    unlock(&f->lock);
}

static void let_go(struct slow_file *f)
{
    lock(&f->lock);
    f->let_go = true;
    cond_broadcast(&f->changed);
    unlock(&f->lock);
}

static void test_a_slow_file_holds_up_no_other_request(void **state)
{
    struct slow_file file;
    const struct file_source from = { .read = give_slowly, .arg = &file };
    char with_file, without;

    (void)state;
    slow_file_init(&file);
    add_server("s", WIRE_OPENAI, 1)->reply = reply_body;
    open_session();
    submit(ask_file("gs://b/cat.png", &from), &with_file);
    wait_for_read(&file);
    submit(ask("y"), &without);
    struct answer a = take();
    assert_ptr_equal(a.tag, &without);
    answer_release(&a);
    let_go(&file);
    a = take();
    assert_ptr_equal(a.tag, &with_file);
    assert_text(&a, "echo: has it\"");
    answer_release(&a);
    assert_int_equal(file.role, THREAD_OWN);
}

static void test_requests_that_wait_for_files_are_cancelled_like_others(void **state)
{
    struct slow_file file;
    const struct file_source from = { .read = give_slowly, .arg = &file };
    char being_read, waiting, drained;

    (void)state;
    slow_file_init(&file);
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    open_session();
    submit(ask_file("gs://b/a.png", &from), &being_read);
    wait_for_read(&file);
    submit(ask_file("gs://b/b.png", &from), &waiting);
    submit(ask_file("gs://b/c.png", &from), &drained);
    w->p->ops->cancel(w->p, &waiting);
    struct answer a = take();
    assert_ptr_equal(a.tag, &waiting);
    assert_int_equal(a.error.code, ERROR_CANCELLED);
    w->p->ops->drain(w->p);
    a = take();
    assert_ptr_equal(a.tag, &drained);
    assert_int_equal(a.error.code, ERROR_CANCELLED);
    let_go(&file);
    a = take();
    assert_ptr_equal(a.tag, &being_read);
    assert_int_equal(a.error.code, ERROR_CANCELLED);
    assert_int_equal(atomic_load(&s->requests), 0);
    assert_int_equal(file.reads, 1);
}

static void test_a_session_closes_with_files_read_ahead(void **state)
{
    static const struct file_source from = { .read = give_file };
    char tags[12];

    (void)state;
    struct stub *s = add_server("s", WIRE_OPENAI, 1);
    s->upstream.concurrency = s->upstream.concurrency_max = 1;
    s->reply = reply_held;
    open_session();
    for (int i = 0; i < 12; i++)
        submit(ask_file("gs://b/cat.png", &from), &tags[i]);
    while (atomic_load(&s->requests) == 0)
        clock_system()->sleep_ns(clock_system(), NS_PER_MS);
    stub_let_go(s);
    struct answer a = take();
    assert_text(&a, "echo");
    answer_release(&a);
}

static void test_files_that_nobody_can_read_are_refused_at_validation(void **state)
{
    struct violation why;

    (void)state;
    (void)add_server("s", WIRE_OPENAI, 1);
    open_session();
    assert_false(w->p->ops->accepts(w->p, ask_file("gs://b/cat.png", NULL), &why));
    assert_string_equal(why.path, "contents[0].parts[1].fileData.fileUri");
    assert_true(why.remedy[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        UPSTREAM_TEST(test_no_more_are_open_at_once_than_the_concurrency),
        UPSTREAM_TEST(test_a_limit_a_minute_lets_its_burst_through_and_no_more),
        UPSTREAM_TEST(test_two_sessions_of_one_server_share_its_limits),
        UPSTREAM_TEST(test_a_cancelled_request_is_answered_though_its_server_is_not_done),
        UPSTREAM_TEST(test_a_drained_session_cancels_what_was_not_sent),
        UPSTREAM_TEST(test_files_of_the_object_store_are_sent_along_in_both_dialects),
        UPSTREAM_TEST(test_a_slow_file_holds_up_no_other_request),
        UPSTREAM_TEST(test_requests_that_wait_for_files_are_cancelled_like_others),
        UPSTREAM_TEST(test_a_session_closes_with_files_read_ahead),
        UPSTREAM_TEST(test_files_that_nobody_can_read_are_refused_at_validation),
    };
    struct error e = { 0 };

    return http_client_init(&e) < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
