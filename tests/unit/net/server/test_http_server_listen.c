/* Goal: it listens where it is told to, and by TLS with the files given. Method: raw sockets and curl on the
 * loopback address. */
#include <sys/wait.h>

#include <curl/curl.h>

#include "base/mem.h"

#include "unit/net/server/http_server_world.h"

static void test_addresses_are_read_strictly(void **state)
{
    static const char *const bad[] = { "",
                                       "127.0.0.1",
                                       "127.0.0.1:",
                                       "[::1]",
                                       "::1:80",
                                       "127.0.0.1:65536",
                                       "a.example:80",
                                       "127.0.0.1:-1",
                                       "[]:80",
                                       ":80",
                                       "127.0.0.1:8x" };
    const struct http_handlers h = { .begin = begin, .handle = handle, .end = end };
    struct error e;

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        assert_null(http_server_start(&(struct http_settings){ .listen = bad[i] }, &h, &e));
        assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
        assert_false(http_server_loopback(bad[i]));
    }
    assert_true(http_server_loopback("127.1.2.3:80") && http_server_loopback("[::1]:0") &&
                http_server_loopback("localhost:1"));
    assert_false(http_server_loopback("0.0.0.0:80") || http_server_loopback("[::]:80") ||
                 http_server_loopback("10.0.0.1:80"));
}

static void test_it_listens_on_ipv6_and_by_the_name_localhost(void **state)
{
    static const char *const listen[] = { "[::1]:0", "localhost:0", "0.0.0.0:0" };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(listen); i++) {
        struct app a;
        app_start(&a, &(struct http_settings){ .listen = listen[i] });
        if (i > 0)
            expect(&a, "GET / HTTP/1.1\r\n" CLOSE "\r\n", "method=0 path=/ ");
        app_stop(&a);
    }
}

/* Makes a certificate for a day; false when there is no openssl program. */
static bool make_certificate(const char *key, const char *cert)
{
    pid_t pid = fork();
    int status = -1;

    if (pid == 0) {
        int null = open("/dev/null", O_RDWR);
        (void)dup2(null, STDERR_FILENO);
        (void)execlp("openssl", "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                     "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", key, "-out", cert,
                     "-subj", "/CN=localhost", "-days", "1", (char *)NULL);
        _exit(127);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

static size_t keep_text(char *p, size_t size, size_t count, void *arg)
{
    buf_add(arg, p, size * count);
    return size * count;
}

static void fetch_by_tls(const struct app *a, struct buf *in)
{
    CURL *curl = curl_easy_init();
    char url[64];

    (void)snprintf(url, sizeof url, "https://127.0.0.1:%u/x", http_server_port(a->server));
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
    (void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, keep_text);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, in);
    assert_int_equal(curl_easy_perform(curl), CURLE_OK);
    curl_easy_cleanup(curl);
}

static void test_tls_is_spoken_with_the_files_given(void **state)
{
    const struct http_handlers h = { .begin = begin, .handle = handle, .end = end };
    struct scratch dir;
    struct http_settings set = { .listen = "127.0.0.1:0" };
    char key[SCRATCH_PATH_BYTES], cert[SCRATCH_PATH_BYTES];
    struct buf in = BUF_INIT(TEXT_MAX);
    struct error e;
    struct app a;

    (void)state;
    scratch_make(&dir);
    set.tls_key = scratch_path(&dir, "key.pem", key);
    assert_null(http_server_start(&set, &h, &e)); /* a key alone */
    set.tls_cert = scratch_path(&dir, "cert.pem", cert);
    assert_null(http_server_start(&set, &h, &e)); /* no such files */
    assert_int_equal(e.code, ERROR_NOT_FOUND);
    if (make_certificate(key, cert)) {
        app_start(&a, &set);
        fetch_by_tls(&a, &in);
        assert_true(has(&in, "path=/x") && has(&in, "base=https://127.0.0.1:"));
        app_stop(&a);
        set.tls_key = cert;
        assert_null(http_server_start(&set, &h, &e)); /* no key in it */
        assert_non_null(strstr(e.msg, "TLS"));
    }
    buf_release(&in);
    scratch_remove(&dir);
}

static void test_a_taken_port_is_an_error(void **state)
{
    const struct app *a = *state;
    const struct http_handlers h = { .begin = begin, .handle = handle, .end = end };
    char listen[32];
    struct error e;

    (void)snprintf(listen, sizeof listen, "127.0.0.1:%u", http_server_port(a->server));
    assert_null(http_server_start(&(struct http_settings){ .listen = listen }, &h, &e));
    assert_non_null(strstr(e.msg, "in use"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses_are_read_strictly),
        cmocka_unit_test(test_it_listens_on_ipv6_and_by_the_name_localhost),
        cmocka_unit_test(test_tls_is_spoken_with_the_files_given),
        WITH_SERVER(test_a_taken_port_is_an_error),
    };

    log_setup(LOG_ERROR, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
