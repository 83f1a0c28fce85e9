/* Tokens from a server in this process that answers as it is told. The credential's clock is a fake one:
 * hours pass at once. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "base/mem.h"

#include "unit/net/client/credential_world.h"

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

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
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
#define USER "{\"type\":\"authorized_user\",\"client_id\":\"i\",\"client_secret\":\"very-secret\""
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "", "not a JSON object" },
        { "very-secret", "not a JSON object" },
        { "[1]", "not a JSON object" },
        { "{\"type\":\"service_account\",", "not a JSON object" },
        { "{}", "\"type\" is missing" },
        { "{\"type\":\"external_account\"}", "\"type\" must be \"service_account\" or" },
        { "{\"type\":\"authorized_user\"}", "\"client_id\" is missing" },
        { USER "}", "\"refresh_token\" is missing" },
        { USER ",\"refresh_token\":\"secret\",\"token_uri\":\"file:///x\"}",
          "\"token_uri\" must begin" },
        { "{\"type\":\"service_account\"}", "\"client_email\" is missing" },
        { "{\"type\":\"service_account\",\"client_email\":7}", "\"client_email\" is missing" },
        { "{\"type\":\"service_account\",\"client_email\":\"a\\nb\"}", "control character" },
        { HEAD ",\"token_uri\":\"file:///etc/passwd\"}", "\"token_uri\" must begin" },
        { HEAD ",\"token_uri\":\"\"}", "\"token_uri\" is missing" },
        { HEAD "}", "\"private_key\" is missing" },
        { HEAD ",\"private_key\":[]}", "\"private_key\" is missing" },
        { HEAD ",\"private_key\":\"very-secret\"}", "\"private_key\" is not an RSA key" },
    };
#undef HEAD
#undef USER
    struct world *w = *state;
    const struct credential_spec spec = { .service_account = w->path };

    assert_no_credential(w, &spec, ERROR_NOT_FOUND, w->path);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        write_text(w, cases[i].text);
        assert_no_credential(w, &spec, ERROR_INVALID_ARGUMENT, cases[i].words);
        assert_non_null(strstr(w->e.msg, w->path));
        assert_null(strstr(w->e.msg, "secret"));
    }
}

/* Goal: the credentials that Google's libraries find are found here. */
static void test_application_default_credentials_are_a_file_or_the_machine_s(void **state)
{
    struct world *w = *state;
    const struct credential_spec adc = { .adc = true };
    char text[512], host[64];

    (void)snprintf(text, sizeof text,
                   "{\"type\":\"authorized_user\",\"client_id\":\"i d\",\"client_secret\":\"s&=\","
                   "\"refresh_token\":\"r/1\",\"token_uri\":\"http://127.0.0.1:%u/token\"}",
                   server.port);
    write_text(w, text);
    assert_int_equal(setenv("GOOGLE_APPLICATION_CREDENTIALS", w->path, 1), 0);
    open_as(w, &adc);
    assert_waits_for(w, "one");
    assert_true(credential_is_token(w->c));
    assert_true(str_find(buf_str(&server.last),
                         STR("grant_type=refresh_token&client_id=i%20d&client_secret=s%26%3D&"
                             "refresh_token=r%2F1")) != SIZE_MAX);
    assert_int_equal(unsetenv("GOOGLE_APPLICATION_CREDENTIALS"), 0);
    assert_int_equal(setenv("CLOUDSDK_CONFIG", w->dir.dir, 1), 0); /* has no such file */
    (void)snprintf(host, sizeof host, "127.0.0.1:%u", server.port);
    assert_int_equal(setenv("GCE_METADATA_HOST", host, 1), 0);
    server_says(200, "{\"access_token\":\"machine\",\"expires_in\":3600}");
    open_as(w, &adc);
    assert_waits_for(w, "machine");
    struct str last = buf_str(&server.last);
    assert_true(str_starts(last, STR("GET /computeMetadata/v1/instance/service-accounts/default/"
                                     "token HTTP/1.1\r\n")));
    assert_true(str_find(last, STR("Metadata-Flavor: Google")) != SIZE_MAX);
    assert_int_equal(unsetenv("GCE_METADATA_HOST") + unsetenv("CLOUDSDK_CONFIG"), 0);
}

static void assert_no_key(struct world *w, EVP_PKEY *key)
{
    char *pem = pem_of(key);

    write_account(w, pem, "https://127.0.0.1/token");
    assert_no_credential(w, &(struct credential_spec){ .service_account = w->path },
                         ERROR_INVALID_ARGUMENT, "not an RSA key of 2048 to 8192 bits");
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

int main(void)
{
    const struct CMUnitTest tests[] = {
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
        UNIT(test_application_default_credentials_are_a_file_or_the_machine_s),
        UNIT(test_an_account_s_key_must_be_rsa_and_long_enough),
        UNIT(test_an_account_s_file_has_a_limit),
    };

    return cmocka_run_group_tests(tests, server_start, server_stop);
}
