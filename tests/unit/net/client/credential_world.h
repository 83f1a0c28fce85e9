/* credential_world.h -- a token's server, a folder, a clock and a credential: of the tests of credentials.
 *
 * Threads: the server's is its own. One a program. Include after cmocka.h.
 */
#ifndef TRANCHE_TESTS_CREDENTIAL_WORLD_H
#define TRANCHE_TESTS_CREDENTIAL_WORLD_H

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/json.h"
#include "net/client/credential.h"
#include "net/client/http_client.h"
#include "scratch.h"
#include "unit/net/client/hear.h"

#define REQUEST_BYTES_MAX ((size_t)128 * 1024)
#define ANSWER_BYTES ((size_t)64 * 1024)
#define WAIT_MS 60000
#define EMAIL "robot@project.example.com"

/* ---- The token's server: one connection and one request at a time ---- */

static struct {
    int listener;
    uint16_t port;
    EVP_PKEY *key;
    char *pem;

    pthread_mutex_t lock; /* guards all below */
    pthread_cond_t may_answer;
    bool held;
    int status;
    char answer[ANSWER_BYTES];
    unsigned requests;
    struct buf last;
} server = { .lock = PTHREAD_MUTEX_INITIALIZER, .may_answer = PTHREAD_COND_INITIALIZER };

static inline void answer(int fd)
{
    struct buf out = BUF_INIT(2 * ANSWER_BYTES);

    buf_addf(&out, "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
             server.status, strlen(server.answer), server.answer);
    for (size_t at = 0; at < out.len;) {
        ssize_t n = send(fd, out.p + at, out.len - at, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    buf_release(&out);
}

static inline void *serve(void *arg)
{
    struct buf b = BUF_INIT(REQUEST_BYTES_MAX);

    (void)arg;
    for (int fd; (fd = accept(server.listener, NULL, NULL)) >= 0; (void)close(fd)) {
        if (!hear(fd, &b))
            continue;
        (void)pthread_mutex_lock(&server.lock);
        server.requests++;
        buf_clear(&server.last);
        buf_add_str(&server.last, buf_str(&b));
        while (server.held)
            (void)pthread_cond_wait(&server.may_answer, &server.lock);
        if (server.status)
            answer(fd);
        (void)pthread_mutex_unlock(&server.lock);
    }
    buf_release(&b);
    return NULL;
}

/* What it says from now on; status 0: it hangs up. */
static inline void server_says(int status, const char *text)
{
    (void)pthread_mutex_lock(&server.lock);
    server.status = status;
    server.requests = 0;
    (void)snprintf(server.answer, sizeof server.answer, "%s", text);
    (void)pthread_mutex_unlock(&server.lock);
}

static inline void server_hold(bool held)
{
    (void)pthread_mutex_lock(&server.lock);
    server.held = held;
    (void)pthread_cond_broadcast(&server.may_answer);
    (void)pthread_mutex_unlock(&server.lock);
}

static inline unsigned server_requests(void)
{
    (void)pthread_mutex_lock(&server.lock);
    unsigned n = server.requests;
    (void)pthread_mutex_unlock(&server.lock);
    return n;
}

static inline char *pem_of(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;

    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    long len = BIO_get_mem_data(bio, &p);
    char *copy = mem_alloc((size_t)len + 1);
    memcpy(copy, p, (size_t)len);
    BIO_free(bio);
    return copy;
}

static inline int server_start(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    struct error e = { 0 };
    pthread_t thread;

    (void)state;
    assert_int_equal(http_client_init(&e), 0);
    server.last = BUF_INIT(REQUEST_BYTES_MAX);
    server.key = EVP_RSA_gen(2048);
    server.pem = pem_of(server.key);
    server.listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(server.listener, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(server.listener, 64), 0);
    assert_int_equal(getsockname(server.listener, (struct sockaddr *)&a, &len), 0);
    server.port = ntohs(a.sin_port);
    assert_int_equal(pthread_create(&thread, NULL, serve, NULL), 0);
    (void)pthread_detach(thread);
    return 0;
}

static inline int server_stop(void **state)
{
    (void)state;
    EVP_PKEY_free(server.key);
    mem_free(server.pem);
    buf_release(&server.last);
    return 0;
}

/* ---- A world: a folder, a clock, a credential ---- */

struct world {
    struct scratch dir;
    struct clock clock;
    char path[SCRATCH_PATH_BYTES];
    struct credential *c;
    struct buf out;
    struct error e;
};

static inline int world_make(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    scratch_make(&w->dir);
    (void)scratch_path(&w->dir, "f", w->path);
    w->clock = clock_fake(1700000000000000);
    w->clock.fake_ns = 1000 * NS_PER_S;
    w->out = BUF_INIT(CREDENTIAL_BYTES_MAX);
    *state = w;
    server_says(200, "{\"access_token\":\"one\",\"expires_in\":3600}");
    return 0;
}

static inline int world_end(void **state)
{
    struct world *w = *state;

    credential_free(w->c);
    buf_release(&w->out);
    scratch_remove(&w->dir);
    mem_free(w);
    return 0;
}

static inline void write_text(struct world *w, const char *text)
{
    scratch_write(&w->dir, "f", text, strlen(text));
}

static inline void write_account(struct world *w, const char *pem, const char *token_uri)
{
    struct buf b = BUF_INIT(CREDENTIAL_BYTES_MAX);

    buf_add_c(&b, "{\"type\":\"service_account\",\"client_email\":\"" EMAIL
                  "\",\"private_key_id\":\"k1\",\"private_key\":");
    buf_add_json(&b, str_of(pem));
    buf_addf(&b, ",\"token_uri\":\"%s\"}", token_uri);
    scratch_write(&w->dir, "f", b.p, b.len);
    buf_release(&b);
}

static inline void open_as(struct world *w, const struct credential_spec *spec)
{
    credential_free(w->c);
    w->c = credential_new(spec, &w->clock, NULL, &w->e);
    if (!w->c)
        fail_msg("%s", w->e.msg);
}

static inline void open_file(struct world *w)
{
    open_as(w, &(struct credential_spec){ .secret_file = w->path });
}

/* An account of our server's. */
static inline void open_account(struct world *w)
{
    char uri[64];

    (void)snprintf(uri, sizeof uri, "http://127.0.0.1:%u/token", server.port);
    write_account(w, server.pem, uri);
    open_as(w, &(struct credential_spec){ .service_account = w->path });
}

static inline void pass(struct world *w, uint64_t seconds)
{
    w->clock.fake_ns += seconds * NS_PER_S;
}

static inline void assert_gives(struct world *w, const char *secret)
{
    if (credential_get(w->c, &w->out, &w->e) != 1)
        fail_msg("%s, not %s", w->e.msg, secret);
    assert_true(str_eq_c(buf_str(&w->out), secret));
}

static inline void assert_waits_for(struct world *w, const char *secret)
{
    if (credential_wait(w->c, WAIT_MS, &w->out, &w->e) != 1)
        fail_msg("%s, not %s", w->e.msg, secret);
    assert_true(str_eq_c(buf_str(&w->out), secret));
}

static inline void assert_fails(struct world *w, enum error_code code)
{
    w->e = (struct error){ 0 };
    assert_int_equal(credential_wait(w->c, WAIT_MS, &w->out, &w->e), -1);
    if (w->e.code != code)
        fail_msg("%s, not %s: %s", error_name(w->e.code), error_name(code), w->e.msg);
}

/* Waits, in real time, for the fetch that goes on behind a token that still serves. */
static inline void wait_for_token(struct world *w, const char *secret)
{
    struct clock *clock = clock_system();

    for (int i = 0; i < WAIT_MS; i++) {
        assert_int_equal(credential_get(w->c, &w->out, &w->e), 1);
        if (str_eq_c(buf_str(&w->out), secret))
            return;
        clock->sleep_ns(clock, NS_PER_MS);
    }
    fail_msg("%s never came", secret);
}

static inline void assert_no_credential(struct world *w, const struct credential_spec *spec,
                                        enum error_code code, const char *words)
{
    w->e = (struct error){ 0 };
    assert_null(credential_new(spec, &w->clock, NULL, &w->e));
    if (w->e.code != code || !strstr(w->e.msg, words))
        fail_msg("%s \"%s\", not %s \"%s\"", error_name(w->e.code), w->e.msg, error_name(code),
                 words);
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, world_make, world_end)

#endif
