/* Keys of roles, from servers that speak as Amazon's do: one thread that answers by the first line of a request. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>

#include "base/clock.h"
#include "base/thread.h"
#include "net/client/aws_keys.h"
#include "net/client/aws_role.h"
#include "scratch.h"
#include "unit/net/client/hear.h"

static struct {
    int listener;
    uint16_t port;
    pthread_t thread;
    pthread_mutex_t lock; /* guards everything below */
    unsigned calls;       /* that asked for keys */
    unsigned status;      /* of such a call */
    int life_s;           /* of the keys that are given */
    char heard[8192];     /* the last request */
} server;

static void expiry(char out[CLOCK_TEXT_BYTES])
{
    int64_t now = clock_system()->wall_us(clock_system());

    clock_format_rfc3339(now + server.life_s * INT64_C(1000000), out);
}

/* The body of an answer: by what is asked. */
static void answer(const char *request, char *out, size_t size)
{
    char until[CLOCK_TEXT_BYTES];

    expiry(until);
    if (strstr(request, "PUT /latest/api/token")) {
        (void)snprintf(out, size, "session");
        return;
    }
    if (strstr(request, "GET /latest/meta-data/iam/security-credentials/ ")) {
        (void)snprintf(out, size, "my-role\n");
        return;
    }
    server.calls++;
    if (strstr(request, "POST / "))
        (void)snprintf(out, size,
                       "<A><Credentials><AccessKeyId>id%u</AccessKeyId><SecretAccessKey>s+1"
                       "</SecretAccessKey><SessionToken>t/2</SessionToken><Expiration>%s"
                       "</Expiration></Credentials></A>",
                       server.calls, until);
    else
        (void)snprintf(out, size,
                       "{\"AccessKeyId\":\"id%u\",\"SecretAccessKey\":\"s+1\",\"Token\":\"t/2\","
                       "\"Expiration\":\"%s\"}",
                       server.calls, until);
}

static void *serve(void *arg)
{
    struct buf request = BUF_INIT(65536);
    char body[1024], head[2048];
    int fd;

    (void)arg;
    while ((fd = accept(server.listener, NULL, NULL)) >= 0) {
        if (hear(fd, &request)) {
            lock(&server.lock);
            answer(request.p, body, sizeof body);
            (void)snprintf(server.heard, sizeof server.heard, "%s", request.p);
            unsigned status = strstr(request.p, "/latest/api/token") ? 200 : server.status;
            unlock(&server.lock);
            int n = snprintf(head, sizeof head,
                             "HTTP/1.1 %u X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
                             status, strlen(body), body);
            (void)send(fd, head, (size_t)n, MSG_NOSIGNAL);
        }
        (void)close(fd);
    }
    buf_release(&request);
    return NULL;
}

static int start(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t size = sizeof a;
    struct error e = { 0 };

    (void)state;
    lock_init(&server.lock);
    server.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(server.listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(server.listener, 8), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *)&a, &size), 0);
    server.port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&server.thread, NULL, serve, NULL), 0);
    return http_client_init(&e);
}

static int stop(void **state)
{
    (void)state;
    (void)shutdown(server.listener, SHUT_RDWR);
    thread_join(server.thread);
    (void)close(server.listener);
    lock_destroy(&server.lock);
    return 0;
}

static void set_server(unsigned status, int life_s)
{
    lock(&server.lock);
    server.status = status;
    server.life_s = life_s;
    unlock(&server.lock);
}

/* An environment without keys, whose file is not there. */
static int clear(void **state)
{
    static const char *const names[] = { "AWS_ACCESS_KEY_ID",
                                         "AWS_SECRET_ACCESS_KEY",
                                         "AWS_SESSION_TOKEN",
                                         "AWS_ROLE_ARN",
                                         "AWS_WEB_IDENTITY_TOKEN_FILE",
                                         "AWS_CONTAINER_CREDENTIALS_FULL_URI",
                                         "AWS_CONTAINER_AUTHORIZATION_TOKEN",
                                         "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
                                         "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
                                         "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                         "AWS_PROFILE",
                                         "AWS_REGION" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        assert_int_equal(unsetenv(names[i]), 0);
    assert_int_equal(setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent/keys", 1), 0);
    assert_int_equal(setenv("AWS_EC2_METADATA_DISABLED", "true", 1), 0);
    lock(&server.lock);
    server.calls = 0;
    unlock(&server.lock);
    set_server(200, 3600);
    return 0;
}

static void set_url(const char *name, const char *path)
{
    char url[128];

    (void)snprintf(url, sizeof url, "http://127.0.0.1:%u%s", server.port, path);
    assert_int_equal(setenv(name, url, 1), 0);
}

static void expect_keys(struct aws_keys *k, const char *id)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    struct str got, secret, token;

    assert_int_equal(aws_keys_get(k, &a, &got, &secret, &token, &e), 0);
    assert_string_equal(got.p, id);
    assert_string_equal(secret.p, "s+1");
    assert_string_equal(token.p, "t/2");
    arena_release(&a);
}

static struct aws_keys *open_keys(void)
{
    struct error e = { 0 };
    struct aws_keys *k = aws_keys_new(&e);

    assert_string_equal(e.msg, "");
    return k;
}

static void test_a_web_identity_is_exchanged(void **state)
{
    struct scratch s;
    char path[SCRATCH_PATH_BYTES];

    (void)state;
    scratch_make(&s);
    scratch_write(&s, "token", "eyJ.a+b\n", 8);
    assert_int_equal(setenv("AWS_WEB_IDENTITY_TOKEN_FILE", scratch_path(&s, "token", path), 1), 0);
    assert_int_equal(setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/r", 1), 0);
    set_url("AWS_ENDPOINT_URL_STS", "");
    struct aws_keys *k = open_keys();
    expect_keys(k, "id1");
    expect_keys(k, "id1");
    lock(&server.lock);
    assert_non_null(strstr(server.heard, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15"));
    assert_non_null(strstr(server.heard, "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&"));
    assert_non_null(strstr(server.heard, "&WebIdentityToken=eyJ.a%2Bb"));
    unlock(&server.lock);
    aws_keys_free(k);
    scratch_remove(&s);
}

static void test_a_container_has_keys_of_its_role(void **state)
{
    (void)state;
    set_url("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/v1/credentials");
    assert_int_equal(setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "secret", 1), 0);
    struct aws_keys *k = open_keys();
    expect_keys(k, "id1");
    lock(&server.lock);
    assert_non_null(strstr(server.heard, "GET /v1/credentials "));
    assert_non_null(strstr(server.heard, "Authorization: secret\r\n"));
    unlock(&server.lock);
    aws_keys_free(k);
}

static void test_a_machine_has_keys_of_its_role(void **state)
{
    (void)state;
    assert_int_equal(unsetenv("AWS_EC2_METADATA_DISABLED"), 0);
    set_url("AWS_EC2_METADATA_SERVICE_ENDPOINT", "");
    struct aws_keys *k = open_keys();
    expect_keys(k, "id1");
    lock(&server.lock);
    assert_non_null(
        strstr(server.heard, "GET /latest/meta-data/iam/security-credentials/my-role "));
    assert_non_null(strstr(server.heard, "X-aws-ec2-metadata-token: session\r\n"));
    unlock(&server.lock);
    aws_keys_free(k);
}

/* Keys that end soon are replaced; while that fails they are used to their end. Refused ones are replaced at once. */
static void test_keys_are_fetched_again_before_they_end(void **state)
{
    struct arena a = { 0 };
    struct error e = { 0 };
    struct str id, secret, token;

    (void)state;
    set_url("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/");
    set_server(200, AWS_KEYS_EARLY_S - 10);
    struct aws_keys *k = open_keys();
    expect_keys(k, "id2");
    set_server(500, AWS_KEYS_EARLY_S - 10);
    expect_keys(k, "id2");
    set_server(200, 3600);
    expect_keys(k, "id4");
    expect_keys(k, "id4");
    aws_keys_refused(k);
    expect_keys(k, "id5");
    aws_keys_refused(k);
    set_server(500, 3600);
    assert_int_equal(aws_keys_get(k, &a, &id, &secret, &token, &e), -1);
    assert_int_equal(e.code, ERROR_UNAVAILABLE);
    aws_keys_free(k);
    arena_release(&a);
}

static void test_no_keys_are_an_error_at_the_start(void **state)
{
    struct error e = { 0 };

    (void)state;
    assert_null(aws_keys_new(&e));
    assert_int_equal(e.code, ERROR_FAILED_PRECONDITION);
    set_url("AWS_CONTAINER_CREDENTIALS_FULL_URI", "/");
    set_server(403, 3600);
    assert_null(aws_keys_new(&e));
    assert_int_equal(e.code, ERROR_PERMISSION_DENIED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_a_web_identity_is_exchanged, clear),
        cmocka_unit_test_setup(test_a_container_has_keys_of_its_role, clear),
        cmocka_unit_test_setup(test_a_machine_has_keys_of_its_role, clear),
        cmocka_unit_test_setup(test_keys_are_fetched_again_before_they_end, clear),
        cmocka_unit_test_setup(test_no_keys_are_an_error_at_the_start, clear),
    };

    return cmocka_run_group_tests(tests, start, stop);
}
