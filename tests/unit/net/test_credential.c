/* Keys from files that change, and tokens from a server in this process that answers as it is told. The
 * credential's clock is a fake one: hours pass at once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "base/json.h"
#include "net/credential.h"
#include "net/http_client.h"
#include "scratch.h"
#include "unit/net/hear.h"

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

static void answer(int fd)
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

static void *serve(void *arg)
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
static void server_says(int status, const char *text)
{
    (void)pthread_mutex_lock(&server.lock);
    server.status = status;
    server.requests = 0;
    (void)snprintf(server.answer, sizeof server.answer, "%s", text);
    (void)pthread_mutex_unlock(&server.lock);
}

static void server_hold(bool held)
{
    (void)pthread_mutex_lock(&server.lock);
    server.held = held;
    (void)pthread_cond_broadcast(&server.may_answer);
    (void)pthread_mutex_unlock(&server.lock);
}

static unsigned server_requests(void)
{
    (void)pthread_mutex_lock(&server.lock);
    unsigned n = server.requests;
    (void)pthread_mutex_unlock(&server.lock);
    return n;
}

static char *pem_of(EVP_PKEY *key)
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

static int server_start(void **state)
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

static int server_stop(void **state)
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

static int world_make(void **state)
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

static int world_end(void **state)
{
    struct world *w = *state;

    credential_free(w->c);
    buf_release(&w->out);
    scratch_remove(&w->dir);
    mem_free(w);
    return 0;
}

static void write_text(struct world *w, const char *text)
{
    scratch_write(&w->dir, "f", text, strlen(text));
}

static void write_account(struct world *w, const char *pem, const char *token_uri)
{
    struct buf b = BUF_INIT(CREDENTIAL_BYTES_MAX);

    buf_add_c(&b, "{\"type\":\"service_account\",\"client_email\":\"" EMAIL
                  "\",\"private_key_id\":\"k1\",\"private_key\":");
    buf_add_json(&b, str_of(pem));
    buf_addf(&b, ",\"token_uri\":\"%s\"}", token_uri);
    scratch_write(&w->dir, "f", b.p, b.len);
    buf_release(&b);
}

static void open_as(struct world *w, const struct credential_spec *spec)
{
    credential_free(w->c);
    w->c = credential_new(spec, &w->clock, NULL, &w->e);
    if (!w->c)
        fail_msg("%s", w->e.msg);
}

static void open_file(struct world *w)
{
    open_as(w, &(struct credential_spec){ .secret_file = w->path });
}

/* An account of our server's. */
static void open_account(struct world *w)
{
    char uri[64];

    (void)snprintf(uri, sizeof uri, "http://127.0.0.1:%u/token", server.port);
    write_account(w, server.pem, uri);
    open_as(w, &(struct credential_spec){ .service_account = w->path });
}

static void pass(struct world *w, uint64_t seconds)
{
    w->clock.fake_ns += seconds * NS_PER_S;
}

static void assert_gives(struct world *w, const char *secret)
{
    if (credential_get(w->c, &w->out, &w->e) != 1)
        fail_msg("%s, not %s", w->e.msg, secret);
    assert_true(str_eq_c(buf_str(&w->out), secret));
}

static void assert_waits_for(struct world *w, const char *secret)
{
    if (credential_wait(w->c, WAIT_MS, &w->out, &w->e) != 1)
        fail_msg("%s, not %s", w->e.msg, secret);
    assert_true(str_eq_c(buf_str(&w->out), secret));
}

static void assert_fails(struct world *w, enum error_code code)
{
    w->e = (struct error){ 0 };
    assert_int_equal(credential_wait(w->c, WAIT_MS, &w->out, &w->e), -1);
    if (w->e.code != code)
        fail_msg("%s, not %s: %s", error_name(w->e.code), error_name(code), w->e.msg);
}

/* Waits, in real time, for the fetch that goes on behind a token that still serves. */
static void wait_for_token(struct world *w, const char *secret)
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

/* ---- Keys ---- */

static void test_no_credential_gives_nothing(void **state)
{
    struct world *w = *state;

    open_as(w, &(struct credential_spec){ 0 });
    assert_gives(w, "");
    assert_false(credential_is_token(w->c));
    credential_refused(w->c);
    assert_gives(w, "");
}

static void test_a_given_key_is_trimmed_and_stays_when_refused(void **state)
{
    struct world *w = *state;

    open_as(w, &(struct credential_spec){ .secret = " AIzaKey \n" });
    assert_gives(w, "AIzaKey");
    credential_refused(w->c);
    assert_gives(w, "AIzaKey");
}

static void test_tokens_are_told_from_keys(void **state)
{
    static const struct {
        const char *secret;
        bool is_token;
    } cases[] = { { "AIzaKey", false }, { "sk-1234", false },  { "ya29.abc", true },
                  { "eyJh.b.c", true }, { "tat.k.1.m", true }, { "ya29", false } };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        open_as(w, &(struct credential_spec){ .secret = cases[i].secret });
        assert_int_equal(credential_is_token(w->c), cases[i].is_token);
    }
    write_text(w, "ya29.abc\n");
    open_file(w);
    assert_true(credential_is_token(w->c));
    open_account(w);
    assert_true(credential_is_token(w->c));
}

static void test_a_key_s_file_is_trimmed_and_read_again_when_it_changes(void **state)
{
    struct world *w = *state;

    write_text(w, "\n first \r\n");
    open_file(w);
    assert_gives(w, "first");
    write_text(w, "second-one");
    assert_gives(w, "first"); /* looked at once in a second */
    pass(w, CREDENTIAL_LOOK_S);
    assert_gives(w, "second-one");
}

static void test_a_key_s_file_that_is_replaced_by_one_as_long_is_seen(void **state)
{
    struct world *w = *state;
    char other[SCRATCH_PATH_BYTES];

    write_text(w, "first");
    open_file(w);
    scratch_write(&w->dir, "g", "other", 5);
    assert_int_equal(rename(scratch_path(&w->dir, "g", other), w->path), 0);
    pass(w, CREDENTIAL_LOOK_S);
    assert_gives(w, "other");
}

static void test_an_old_key_serves_while_its_file_is_bad_until_it_is_refused(void **state)
{
    struct world *w = *state;

    write_text(w, "first");
    open_file(w);
    assert_int_equal(unlink(w->path), 0);
    pass(w, CREDENTIAL_LOOK_S);
    assert_gives(w, "first");
    credential_refused(w->c);
    assert_fails(w, ERROR_NOT_FOUND);
    write_text(w, "in two parts");
    pass(w, CREDENTIAL_LOOK_S);
    assert_fails(w, ERROR_INVALID_ARGUMENT);
    assert_null(strstr(w->e.msg, "parts"));
    write_text(w, "second");
    pass(w, CREDENTIAL_LOOK_S);
    assert_gives(w, "second");
}

static void test_a_refused_key_is_read_at_once(void **state)
{
    struct world *w = *state;

    write_text(w, "first");
    open_file(w);
    write_text(w, "second");
    credential_refused(w->c);
    assert_gives(w, "second");
}

static void assert_no_credential(struct world *w, const struct credential_spec *spec,
                                 enum error_code code, const char *words)
{
    w->e = (struct error){ 0 };
    assert_null(credential_new(spec, &w->clock, NULL, &w->e));
    if (w->e.code != code || !strstr(w->e.msg, words))
        fail_msg("%s \"%s\", not %s \"%s\"", error_name(w->e.code), w->e.msg, error_name(code),
                 words);
}

static void test_what_is_no_key_is_refused_by_name(void **state)
{
    struct world *w = *state;
    const struct credential_spec in_file = { .secret_file = w->path };

    assert_no_credential(w, &in_file, ERROR_NOT_FOUND, w->path);
    write_text(w, " \n\t");
    assert_no_credential(w, &in_file, ERROR_INVALID_ARGUMENT, "is empty");
    write_text(w, "a\nX-Evil: b");
    assert_no_credential(w, &in_file, ERROR_INVALID_ARGUMENT, "at byte 2");
    scratch_write(&w->dir, "f", "a\0b", 3);
    assert_no_credential(w, &in_file, ERROR_INVALID_ARGUMENT, "at byte 2");
    write_text(w, "schl\xc3\xbcssel");
    assert_no_credential(w, &in_file, ERROR_INVALID_ARGUMENT, "at byte 5");
    assert_no_credential(w, &(struct credential_spec){ .secret_file = w->dir.dir },
                         ERROR_INVALID_ARGUMENT, "folder");
    assert_no_credential(w, &(struct credential_spec){ .secret = "" }, ERROR_INVALID_ARGUMENT,
                         "the key is empty");
    assert_no_credential(w, &(struct credential_spec){ .secret = "a", .secret_file = w->path },
                         ERROR_INVALID_ARGUMENT, "exclude each other");
}

static void test_a_key_has_a_limit(void **state)
{
    struct world *w = *state;
    char *key = mem_alloc(CREDENTIAL_BYTES_MAX + 2);

    memset(key, 'k', CREDENTIAL_BYTES_MAX);
    write_text(w, key);
    open_file(w);
    assert_gives(w, key);
    open_as(w, &(struct credential_spec){ .secret = key });
    assert_gives(w, key);
    key[CREDENTIAL_BYTES_MAX] = 'k';
    write_text(w, key);
    assert_no_credential(w, &(struct credential_spec){ .secret_file = w->path },
                         ERROR_INVALID_ARGUMENT, "over");
    assert_no_credential(w, &(struct credential_spec){ .secret = key }, ERROR_INVALID_ARGUMENT,
                         "over");
    mem_free(key);
}

static void test_a_key_that_does_not_fit_the_caller_is_no_half_key(void **state)
{
    struct world *w = *state;
    struct buf small = BUF_INIT(4);

    open_as(w, &(struct credential_spec){ .secret = "12345" });
    assert_int_equal(credential_get(w->c, &small, &w->e), -1);
    assert_int_equal(w->e.code, ERROR_INVALID_ARGUMENT);
    buf_release(&small);
}

/* ---- Accounts ---- */

/* The part of the last request's assertion between dots, decoded. */
static struct str decode(struct arena *a, struct str part)
{
    char *padded = arena_alloc(a, part.len + 4);
    unsigned char *out = arena_alloc(a, part.len + 4);

    for (size_t i = 0; i < part.len; i++)
        padded[i] = part.p[i] == '-' ? '+' : part.p[i] == '_' ? '/' : part.p[i];
    size_t missing = (4 - part.len % 4) % 4;
    memset(padded + part.len, '=', missing);
    int n = EVP_DecodeBlock(out, (unsigned char *)padded, (int)(part.len + missing));
    assert_true(n >= 0);
    return (struct str){ (char *)out, (size_t)n - missing };
}

static bool signature_holds(struct str text, struct str signature)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();

    assert_int_equal(EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, server.key), 1);
    bool holds = EVP_DigestVerify(ctx, (const unsigned char *)signature.p, signature.len,
                                  (const unsigned char *)text.p, text.len) == 1;
    EVP_MD_CTX_free(ctx);
    return holds;
}

static bool says(yyjson_val *object, const char *name, const char *value)
{
    return str_eq_c(json_str(json_get(object, name)), value);
}

static void test_an_account_asks_with_a_signed_assertion(void **state)
{
    struct world *w = *state;
    struct arena a = { 0 };
    size_t at;
    char uri[64];

    open_account(w);
    assert_waits_for(w, "one");
    struct str last = buf_str(&server.last);
    assert_true(str_starts(last, STR("POST /token HTTP/1.1\r\n")));
    assert_true(str_find(last, STR("Content-Type: application/x-www-form-urlencoded")) < last.len);
    const struct str grant = STR("grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
                                 "&assertion=");
    struct str jwt = str_sub(last, str_find(last, grant) + grant.len, last.len);
    size_t dot = str_find(jwt, STR("."));
    struct str rest = str_sub(jwt, dot + 1, jwt.len);
    size_t second = str_find(rest, STR("."));
    yyjson_val *head = json_parse(&a, decode(&a, str_sub(jwt, 0, dot)), &at, &w->e);
    yyjson_val *claims = json_parse(&a, decode(&a, str_sub(rest, 0, second)), &at, &w->e);
    assert_true(says(head, "alg", "RS256") && says(head, "typ", "JWT") && says(head, "kid", "k1"));
    (void)snprintf(uri, sizeof uri, "http://127.0.0.1:%u/token", server.port);
    assert_true(says(claims, "iss", EMAIL) && says(claims, "aud", uri));
    assert_true(says(claims, "scope", "https://www.googleapis.com/auth/cloud-platform"));
    assert_int_equal(
        yyjson_get_sint(json_get(claims, "exp")) - yyjson_get_sint(json_get(claims, "iat")), 3600);
    assert_true(signature_holds(str_sub(jwt, 0, dot + 1 + second),
                                decode(&a, str_sub(rest, second + 1, rest.len))));
    arena_release(&a);
}

static void *wait_as_one_of_many(void *arg)
{
    struct credential *c = arg;
    struct buf out = BUF_INIT(CREDENTIAL_BYTES_MAX);
    struct error e = { 0 };
    int rc = credential_wait(c, WAIT_MS, &out, &e);
    bool good = rc == 1 && str_eq_c(buf_str(&out), "one");

    buf_release(&out);
    return good ? c : NULL;
}

static void test_one_token_is_fetched_for_many_callers(void **state)
{
    enum { CALLERS = 8 };
    struct world *w = *state;
    pthread_t caller[CALLERS];
    void *good;

    open_account(w);
    server_hold(true);
    assert_int_equal(credential_get(w->c, &w->out, &w->e), 0); /* does not wait */
    for (int i = 0; i < CALLERS; i++)
        assert_int_equal(pthread_create(&caller[i], NULL, wait_as_one_of_many, w->c), 0);
    assert_int_equal(credential_get(w->c, &w->out, &w->e), 0);
    assert_int_equal(credential_wait(w->c, 10, &w->out, &w->e), -1);
    assert_int_equal(w->e.code, ERROR_DEADLINE_EXCEEDED);
    server_hold(false);
    for (int i = 0; i < CALLERS; i++) {
        assert_int_equal(pthread_join(caller[i], &good), 0);
        assert_non_null(good);
    }
    assert_gives(w, "one");
    assert_int_equal(server_requests(), 1);
}

static void test_a_token_is_fetched_early_while_the_old_one_serves(void **state)
{
    struct world *w = *state;

    open_account(w);
    assert_waits_for(w, "one");
    server_says(200, "{\"access_token\":\"two\",\"expires_in\":3600}");
    pass(w, 3600 - CREDENTIAL_EARLY_S - 1);
    assert_gives(w, "one");
    assert_int_equal(server_requests(), 0);
    server_hold(true);
    pass(w, 1);
    assert_gives(w, "one");
    pass(w, CREDENTIAL_EARLY_S - 1);
    assert_gives(w, "one");
    pass(w, 1);
    assert_int_equal(credential_get(w->c, &w->out, &w->e), 0); /* its time is over */
    server_hold(false);
    assert_waits_for(w, "two");
    assert_int_equal(server_requests(), 1);
}

static void test_a_short_lived_token_is_not_fetched_again_and_again(void **state)
{
    struct world *w = *state;

    server_says(200, "{\"access_token\":\"one\",\"expires_in\":60}");
    open_account(w);
    assert_waits_for(w, "one");
    pass(w, 29);
    assert_gives(w, "one");
    assert_int_equal(server_requests(), 1);
    server_says(200, "{\"access_token\":\"two\",\"expires_in\":60}");
    pass(w, 1);
    assert_gives(w, "one");
    wait_for_token(w, "two");
}

static void test_a_failed_fetch_is_kept_for_a_while_and_then_tried_again(void **state)
{
    struct world *w = *state;

    server_says(503, "busy");
    open_account(w);
    assert_fails(w, ERROR_UNAVAILABLE);
    assert_non_null(strstr(w->e.msg, EMAIL));
    server_says(200, "{\"access_token\":\"one\",\"expires_in\":3600}");
    pass(w, CREDENTIAL_RETRY_S - 1);
    assert_fails(w, ERROR_UNAVAILABLE);
    assert_int_equal(server_requests(), 0);
    pass(w, 1);
    assert_waits_for(w, "one");
}

static void test_an_old_token_serves_while_a_new_one_is_not_to_be_had(void **state)
{
    struct world *w = *state;

    open_account(w);
    assert_waits_for(w, "one");
    server_says(0, "");
    pass(w, 3600 - CREDENTIAL_EARLY_S);
    assert_gives(w, "one");
    pass(w, CREDENTIAL_EARLY_S - 1);
    assert_gives(w, "one");
    pass(w, 1);
    assert_fails(w, ERROR_UNAVAILABLE);
}

static void test_a_refused_token_is_fetched_anew_but_not_one_just_got(void **state)
{
    struct world *w = *state;

    open_account(w);
    assert_waits_for(w, "one");
    server_says(200, "{\"access_token\":\"two\",\"expires_in\":3600}");
    pass(w, CREDENTIAL_RETRY_S - 1);
    credential_refused(w->c);
    assert_gives(w, "one");
    pass(w, 1);
    credential_refused(w->c);
    assert_int_equal(credential_get(w->c, &w->out, &w->e) == -1, false);
    assert_waits_for(w, "two");
    credential_refused(w->c); /* a late refusal of the first */
    assert_gives(w, "two");
    assert_int_equal(server_requests(), 1);
}

static void test_each_bad_answer_is_told_and_shows_no_secret(void **state)
{
    static const struct {
        int status;
        const char *answer;
        enum error_code code;
        const char *words;
    } cases[] = {
        { 400, "{\"error\":\"invalid_grant\",\"error_description\":\"Invalid JWT Signature.\"}",
          ERROR_UNAUTHENTICATED, "status 400: invalid_grant: Invalid JWT Signature." },
        { 401, "", ERROR_UNAUTHENTICATED, "status 401" },
        { 403, "{\"error\":{\"code\":403}}", ERROR_UNAUTHENTICATED, "status 403" },
        { 400, "{\"error\":\"bad\",\"error_description\":\"you sent eyJhbGciOi\"}",
          ERROR_UNAUTHENTICATED, "status 400: bad" },
        { 429, "{\"error\":\"slow down\"}", ERROR_UNAVAILABLE, "status 429: slow down" },
        { 500, "<html>", ERROR_UNAVAILABLE, "status 500" },
        { 302, "", ERROR_UNAVAILABLE, "status 302" },
        { 200, "", ERROR_UNAVAILABLE, "did not answer with a token" },
        { 200, "[]", ERROR_UNAVAILABLE, "did not answer with a token" },
        { 200, "{\"access_token\":7}", ERROR_UNAVAILABLE, "did not answer with a token" },
        { 200, "{\"access_token\":\"very\\r\\nsecret\"}", ERROR_UNAVAILABLE,
          "did not answer with a token" },
        { 200, "{\"access_token\":\"very-secret\",\"expires_in\":0}", ERROR_UNAVAILABLE,
          "has ended" },
        { 200, "{\"access_token\":\"very-secret\",\"expires_in\":\"soon\"}", ERROR_UNAVAILABLE,
          "has ended" },
        { 0, "", ERROR_UNAVAILABLE, "closed without an answer" },
    };
    struct world *w = *state;

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        server_says(cases[i].status, cases[i].answer);
        open_account(w);
        assert_fails(w, cases[i].code);
        if (!strstr(w->e.msg, cases[i].words))
            fail_msg("\"%s\", not \"%s\"", w->e.msg, cases[i].words);
        assert_null(strstr(w->e.msg, "secret"));
        assert_null(strstr(w->e.msg, "eyJ"));
        assert_null(strstr(w->e.msg, "PRIVATE"));
    }
}

static void test_a_token_has_a_limit(void **state)
{
    struct world *w = *state;
    char *token = mem_alloc(CREDENTIAL_BYTES_MAX + 2);
    char *answer = mem_alloc(ANSWER_BYTES);

    memset(token, 't', CREDENTIAL_BYTES_MAX);
    (void)snprintf(answer, ANSWER_BYTES, "{\"access_token\":\"%s\"}", token);
    server_says(200, answer);
    open_account(w);
    assert_waits_for(w, token);
    (void)snprintf(answer, ANSWER_BYTES, "{\"access_token\":\"%st\"}", token);
    server_says(200, answer);
    open_account(w);
    assert_fails(w, ERROR_UNAVAILABLE);
    mem_free(token);
    mem_free(answer);
}

static void test_an_account_s_file_that_changes_is_used_for_the_next_token(void **state)
{
    struct world *w = *state;

    open_account(w);
    assert_waits_for(w, "one");
    assert_int_equal(unlink(w->path), 0);
    pass(w, 3600);
    assert_fails(w, ERROR_NOT_FOUND);
    write_account(w, server.pem, "http://127.0.0.1:1/token");
    pass(w, CREDENTIAL_RETRY_S);
    assert_fails(w, ERROR_UNAVAILABLE);
    assert_non_null(strstr(w->e.msg, "127.0.0.1:1: connection refused"));
}

static void test_a_credential_may_be_freed_while_a_token_is_fetched(void **state)
{
    struct world *w = *state;

    open_account(w);
    server_hold(true);
    assert_int_equal(credential_get(w->c, &w->out, &w->e), 0);
    credential_free(w->c);
    w->c = NULL;
    server_hold(false);
    credential_free(NULL);
}

static void test_each_malformed_account_is_refused_with_its_fault(void **state)
{
#define HEAD "{\"type\":\"service_account\",\"client_email\":\"a@b\""
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "", "not a JSON object" },
        { "very-secret", "not a JSON object" },
        { "[1]", "not a JSON object" },
        { "{\"type\":\"service_account\",", "not a JSON object" },
        { "{}", "\"type\" is missing" },
        { "{\"type\":\"authorized_user\"}", "\"type\" must be \"service_account\"" },
        { "{\"type\":\"service_account\"}", "\"client_email\" is missing" },
        { "{\"type\":\"service_account\",\"client_email\":7}", "\"client_email\" is missing" },
        { "{\"type\":\"service_account\",\"client_email\":\"a\\nb\"}", "control character" },
        { HEAD ",\"token_uri\":\"file:///etc/passwd\"}", "\"token_uri\" must begin" },
        { HEAD ",\"token_uri\":\"\"}", "\"token_uri\" is missing" },
        { HEAD "}", "\"private_key\" is missing" },
        { HEAD ",\"private_key\":[]}", "\"private_key\" is missing" },
        { HEAD ",\"private_key\":\"very-secret\"}", "\"private_key\" is no RSA key" },
    };
#undef HEAD
    struct world *w = *state;
    const struct credential_spec spec = { .service_account = w->path };

    assert_no_credential(w, &spec, ERROR_NOT_FOUND, w->path);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        write_text(w, cases[i].text);
        assert_no_credential(w, &spec, ERROR_INVALID_ARGUMENT, cases[i].words);
        assert_non_null(strstr(w->e.msg, w->path));
        assert_null(strstr(w->e.msg, "secret"));
    }
}

static void assert_no_key(struct world *w, EVP_PKEY *key)
{
    char *pem = pem_of(key);

    write_account(w, pem, "https://127.0.0.1/token");
    assert_no_credential(w, &(struct credential_spec){ .service_account = w->path },
                         ERROR_INVALID_ARGUMENT, "no RSA key of 2048 to 8192 bits");
    EVP_PKEY_free(key);
    mem_free(pem);
}

static void test_an_account_s_key_must_be_rsa_and_long_enough(void **state)
{
    struct world *w = *state;

    assert_no_key(w, EVP_RSA_gen(1024));
    assert_no_key(w, EVP_RSA_gen(2047));
    assert_no_key(w, EVP_EC_gen("P-256"));
}

static void test_an_account_s_file_has_a_limit(void **state)
{
    struct world *w = *state;
    struct buf text;
    char uri[64];

    (void)snprintf(uri, sizeof uri, "http://127.0.0.1:%u/token", server.port);
    write_account(w, server.pem, uri);
    scratch_read(&w->dir, "f", &text);
    while (text.len < CREDENTIAL_BYTES_MAX)
        buf_add_char(&text, ' ');
    scratch_write(&w->dir, "f", text.p, text.len);
    open_as(w, &(struct credential_spec){ .service_account = w->path });
    assert_waits_for(w, "one");
    buf_add_char(&text, ' ');
    scratch_write(&w->dir, "f", text.p, text.len);
    assert_no_credential(w, &(struct credential_spec){ .service_account = w->path },
                         ERROR_INVALID_ARGUMENT, "over");
    buf_release(&text);
}

#define UNIT(test) cmocka_unit_test_setup_teardown(test, world_make, world_end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        UNIT(test_no_credential_gives_nothing),
        UNIT(test_a_given_key_is_trimmed_and_stays_when_refused),
        UNIT(test_tokens_are_told_from_keys),
        UNIT(test_a_key_s_file_is_trimmed_and_read_again_when_it_changes),
        UNIT(test_a_key_s_file_that_is_replaced_by_one_as_long_is_seen),
        UNIT(test_an_old_key_serves_while_its_file_is_bad_until_it_is_refused),
        UNIT(test_a_refused_key_is_read_at_once),
        UNIT(test_what_is_no_key_is_refused_by_name),
        UNIT(test_a_key_has_a_limit),
        UNIT(test_a_key_that_does_not_fit_the_caller_is_no_half_key),
        UNIT(test_an_account_asks_with_a_signed_assertion),
        UNIT(test_one_token_is_fetched_for_many_callers),
        UNIT(test_a_token_is_fetched_early_while_the_old_one_serves),
        UNIT(test_a_short_lived_token_is_not_fetched_again_and_again),
        UNIT(test_a_failed_fetch_is_kept_for_a_while_and_then_tried_again),
        UNIT(test_an_old_token_serves_while_a_new_one_is_not_to_be_had),
        UNIT(test_a_refused_token_is_fetched_anew_but_not_one_just_got),
        UNIT(test_each_bad_answer_is_told_and_shows_no_secret),
        UNIT(test_a_token_has_a_limit),
        UNIT(test_an_account_s_file_that_changes_is_used_for_the_next_token),
        UNIT(test_a_credential_may_be_freed_while_a_token_is_fetched),
        UNIT(test_each_malformed_account_is_refused_with_its_fault),
        UNIT(test_an_account_s_key_must_be_rsa_and_long_enough),
        UNIT(test_an_account_s_file_has_a_limit),
    };

    return cmocka_run_group_tests(tests, server_start, server_stop);
}
