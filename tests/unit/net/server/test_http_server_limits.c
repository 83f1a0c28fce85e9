/* Goal: calls and connections have limits, and at the end what is under way is answered or hung up on. Method:
 * raw sockets on the loopback address. */
#include "unit/net/server/http_server_world.h"

static void test_when_the_queue_is_full_calls_are_refused(void **state)
{
    struct app a;
    int waiting[2];
    struct buf in;

    (void)state;
    app_start(&a, &(struct http_settings){ .listen = "127.0.0.1:0", .workers = 1, .queue_max = 1 });
    for (int i = 0; i < 2; i++) {
        waiting[i] = dial(&a);
        assert_true(say(waiting[i], "GET /wait HTTP/1.1\r\n" CLOSE "\r\n"));
        clock_system()->sleep_ns(clock_system(), 200 * NS_PER_MS);
    }
    in = ask(&a, "GET /wait HTTP/1.1\r\n" CLOSE "\r\n");
    assert_true(has(&in, "HTTP/1.1 503 ") && has(&in, "\"status\":\"UNAVAILABLE\"") &&
                has(&in, "Retry-After: 1"));
    buf_release(&in);
    (void)pthread_mutex_lock(&a.lock);
    a.open = true;
    (void)pthread_cond_broadcast(&a.changed);
    (void)pthread_mutex_unlock(&a.lock);
    for (int i = 0; i < 2; i++) {
        in = hear_all(waiting[i]);
        assert_true(str_ends(buf_str(&in), STR("waited")));
        buf_release(&in);
    }
    app_stop(&a);
}

static void *open_gate(void *arg)
{
    struct app *a = arg;

    clock_system()->sleep_ns(clock_system(), 300 * NS_PER_MS);
    (void)pthread_mutex_lock(&a->lock);
    a->open = true;
    (void)pthread_cond_broadcast(&a->changed);
    (void)pthread_mutex_unlock(&a->lock);
    return NULL;
}

static void test_answers_under_way_survive_the_end(void **state)
{
    struct app a;
    pthread_t gate;
    struct buf in;

    (void)state;
    app_start(&a, &(struct http_settings){ .listen = "127.0.0.1:0" });
    int fd = dial(&a);
    assert_true(say(fd, "GET /wait HTTP/1.1\r\nHost: h\r\n\r\n"));
    clock_system()->sleep_ns(clock_system(), 100 * NS_PER_MS);
    http_server_quiesce(a.server);
    int late = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in sa = { .sin_family = AF_INET,
                              .sin_port = htons(http_server_port(a.server)) };
    sa.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_true(connect(late, (const struct sockaddr *)&sa, sizeof sa) < 0);
    (void)close(late);
    assert_int_equal(pthread_create(&gate, NULL, open_gate, &a), 0);
    app_stop(&a);
    (void)pthread_join(gate, NULL);
    in = hear_all(fd);
    assert_true(str_ends(buf_str(&in), STR("waited")) && has(&in, "Connection: close"));
    buf_release(&in);
}

/* A call whose handler never answered, and a stream: both are hung up on, and an answer after that
 * goes nowhere. */
static void test_the_end_closes_what_does_not_end(void **state)
{
    struct app a;
    struct buf in = BUF_INIT(TEXT_MAX);
    int fd, quiet;

    (void)state;
    app_start(&a, &(struct http_settings){ .listen = "127.0.0.1:0" });
    quiet = dial(&a);
    assert_true(say(quiet, "GET /later HTTP/1.1\r\nHost: h\r\n\r\n"));
    await_handled(&a, 1);
    struct http_stream *s = open_stream(&a, &fd, &in);
    http_server_free(a.server, 100);
    assert_false(hear_until(fd, &in, "never"));
    assert_false(hear_until(quiet, &in, "never"));
    assert_false(http_stream_write(s, "x", 1));
    http_stream_end(s);
    reply_text(a.later, "text/plain", STR("too late"));
    assert_int_equal(a.ended, 2);
    (void)close(fd);
    (void)close(quiet);
    buf_release(&in);
}

static void test_connections_of_an_address_have_a_limit(void **state)
{
    struct app a;
    struct buf in = BUF_INIT(TEXT_MAX);
    int fd[3];

    (void)state;
    app_start(&a,
              &(struct http_settings){ .listen = "127.0.0.1:0", .connections_per_address_max = 2 });
    for (int i = 0; i < 3; i++) {
        fd[i] = dial(&a);
        buf_clear(&in);
        bool heard =
            say(fd[i], "GET / HTTP/1.1\r\nHost: h\r\n\r\n") && hear_until(fd[i], &in, "base=");
        assert_int_equal(heard, i < 2);
    }
    for (int i = 0; i < 3; i++)
        (void)close(fd[i]);
    buf_release(&in);
    app_stop(&a);
}

/* One connection waits without an answer until the other one ends. */
static void test_connections_beyond_the_limit_wait(void **state)
{
    struct app a;
    struct buf in = BUF_INIT(TEXT_MAX);

    (void)state;
    app_start(&a, &(struct http_settings){ .listen = "127.0.0.1:0", .connections_max = 1 });
    int first = dial(&a);
    assert_true(say(first, "GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
    assert_true(hear_until(first, &in, "base="));
    int second = dial(&a);
    struct pollfd p = { .fd = second, .events = POLLIN };
    assert_true(say(second, "GET / HTTP/1.1\r\n" CLOSE "\r\n"));
    assert_int_equal(poll(&p, 1, 300), 0);
    (void)close(first);
    buf_release(&in);
    in = hear_all(second);
    assert_true(has(&in, "base="));
    buf_release(&in);
    app_stop(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_when_the_queue_is_full_calls_are_refused),
        cmocka_unit_test(test_answers_under_way_survive_the_end),
        cmocka_unit_test(test_the_end_closes_what_does_not_end),
        cmocka_unit_test(test_connections_of_an_address_have_a_limit),
        cmocka_unit_test(test_connections_beyond_the_limit_wait),
    };

    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
