/* Goal: only a good assertion of a known account gives an access token, a token is valid for an hour at most,
 * and the open mode keeps browsers out. Method: assertions and tokens with one change each; a fake clock. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include "api/auth.h"
#include "base/mem.h"
#include "base/json.h"
#include "scratch.h"

#define NOW_S 1800000000LL
#define EMAIL "ci-0a@reviews.tranche.internal"
#define RS256 "{\"alg\":\"RS256\",\"typ\":\"JWT\"}"

struct world {
    struct scratch dir;
    struct clock clock;
    struct store *store;
    struct arena arena;
    struct key key;
    EVP_PKEY *ours, *strange;
};

static struct world world;

static struct str public_pem(EVP_PKEY *key)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *p = NULL;

    assert_int_equal(PEM_write_bio_PUBKEY(bio, key), 1);
    long len = BIO_get_mem_data(bio, &p);
    struct str out = { arena_copy(&world.arena, p, (size_t)len), (size_t)len };
    BIO_free(bio);
    return out;
}

static int set_up(void **state)
{
    struct error e = { 0 };
    char path[SCRATCH_PATH_BYTES], no_text[KEY_TEXT_BYTES];

    world = (struct world){ .clock = clock_fake(NOW_S * 1000000) };
    world.ours = EVP_RSA_gen(2048);
    world.strange = EVP_RSA_gen(2048);
    scratch_make(&world.dir);
    world.store = store_open(scratch_path(&world.dir, "s", path), true, &world.clock, &e);
    assert_non_null(world.store);
    world.key = (struct key){ .project = "reviews",
                              .role = ROLE_SUBMITTER,
                              .email = STR(EMAIL),
                              .public_key = public_pem(world.ours) };
    assert_int_equal(key_create(world.store, &world.key, no_text, &e), 0);
    *state = &world;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    store_close(world.store);
    EVP_PKEY_free(world.ours);
    EVP_PKEY_free(world.strange);
    arena_release(&world.arena);
    scratch_remove(&world.dir);
    return 0;
}

static void add_base64url(struct buf *out, const void *p, size_t len)
{
    unsigned char *text = mem_alloc(len * 4 / 3 + 8);
    int n = EVP_EncodeBlock(text, p, (int)len);

    for (int i = 0; i < n && text[i] != '='; i++)
        buf_add_char(out, text[i] == '+' ? '-' : text[i] == '/' ? '_' : (char)text[i]);
    mem_free(text);
}

static void sign(struct buf *jwt, EVP_PKEY *key)
{
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    unsigned char signature[512];
    size_t len = sizeof signature;

    assert_int_equal(EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key), 1);
    assert_int_equal(EVP_DigestSign(ctx, signature, &len, (const unsigned char *)jwt->p, jwt->len),
                     1);
    EVP_MD_CTX_free(ctx);
    buf_add_char(jwt, '.');
    add_base64url(jwt, signature, len);
}

static void add_parts(struct buf *jwt, const char *header, const char *claims)
{
    add_base64url(jwt, header, strlen(header));
    buf_add_char(jwt, '.');
    add_base64url(jwt, claims, strlen(claims));
}

/* A member of the answer of /token to an assertion. */
static struct str answer_to(const char *assertion, const char *member)
{
    struct buf form = BUF_INIT(64 * 1024), out = BUF_INIT(4096);
    struct error e = { 0 };
    size_t at;

    buf_add_c(&form, "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=");
    buf_add_c(&form, assertion);
    bool given = auth_token(world.store, &world.arena, buf_str(&form), &out);
    struct str copy = { arena_copy(&world.arena, out.p, out.len), out.len };
    yyjson_val *v = json_parse(&world.arena, copy, &at, &e);
    assert_non_null(v);
    assert_int_equal(given, json_get(v, "access_token") != NULL);
    assert_int_equal(given, json_get(v, "error") == NULL);
    buf_release(&form);
    buf_release(&out);
    return json_str(json_get(v, member));
}

static struct str error_of(const char *header, const char *claims, EVP_PKEY *key)
{
    struct buf jwt = BUF_INIT(64 * 1024);

    add_parts(&jwt, header, claims);
    sign(&jwt, key);
    struct str out = answer_to(jwt.p, "error");
    buf_release(&jwt);
    return out;
}

/* Claims with other times than the usual ones, as text in the arena. */
static const char *claims_at(long long iat, long long exp)
{
    char *text = arena_alloc(&world.arena, 256);

    (void)snprintf(text, 256,
                   "{\"iss\":\"" EMAIL "\",\"aud\":\"http://127.0.0.1:8080/token\",\"iat\":%lld,"
                   "\"exp\":%lld}",
                   iat, exp);
    return text;
}

static const char *usual(void)
{
    return claims_at(NOW_S, NOW_S + 3600);
}

static const char *token(void)
{
    struct buf jwt = BUF_INIT(64 * 1024);

    add_parts(&jwt, RS256, usual());
    sign(&jwt, world.ours);
    struct str out = answer_to(jwt.p, "access_token");
    buf_release(&jwt);
    assert_true(out.len > 0);
    return arena_copy(&world.arena, out.p, out.len);
}

static int find(const char *text, struct key *out)
{
    struct error e = { 0 };

    return auth_token_find(world.store, &world.arena, str_of(text), out, &e);
}

static void test_an_assertion_gives_a_token_of_its_account(void **state)
{
    struct key found = { 0 };

    (void)state;
    assert_int_equal(find(token(), &found), 1);
    assert_string_equal(found.id, world.key.id);
    assert_string_equal(found.project, "reviews");
    assert_int_equal(found.role, ROLE_SUBMITTER);
}

static void test_good_assertions_differ_in_what_clients_differ_in(void **state)
{
    static const char *const claims[] = {
        "{\"iss\":\"" EMAIL "\",\"sub\":\"" EMAIL "\",\"aud\":\"https://x.test/token\","
        "\"scope\":\"a b\",\"iat\":1800000000,\"exp\":1800003600}",
        "{\"iss\":\"" EMAIL "\",\"aud\":[\"https://y.test/\",\"https://x.test/token\"],"
        "\"iat\":1800000000.25,\"exp\":1800000100}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(claims); i++)
        assert_int_equal(error_of(RS256, claims[i], world.ours).len, 0);
    assert_int_equal(
        error_of("{\"alg\":\"RS256\",\"typ\":\"JWT\",\"kid\":\"0a1b\"}", usual(), world.ours).len,
        0);
}

static void test_times_are_held_to_a_minute(void **state)
{
    static const struct {
        long long iat, exp;
        bool good;
    } cases[] = {
        { NOW_S + 60, NOW_S + 3660, true },    /* the client's clock is a minute fast */
        { NOW_S + 61, NOW_S + 3600, false },   /* of the future */
        { NOW_S - 3660, NOW_S - 60, true },    /* a minute slow */
        { NOW_S - 3661, NOW_S - 61, false },   /* it has ended */
        { NOW_S, NOW_S + 3660, true },         /* an hour, and what clocks differ */
        { NOW_S, NOW_S + 3661, false },        /* too long */
        { NOW_S - 90000, NOW_S + 100, false }, /* too long, long ago */
        { 0, NOW_S + 100, false },
        { NOW_S, 999999999999999LL, false },
        { -5, -1, false },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(error_of(RS256, claims_at(cases[i].iat, cases[i].exp), world.ours).len ==
                             0,
                         cases[i].good);
}

static void test_an_assertion_of_another_form_is_refused(void **state)
{
    static const char *const headers[] = {
        "{\"alg\":\"none\"}",
        "{\"alg\":\"HS256\"}",
        "{\"alg\":\"RS512\"}",
        "{\"alg\":\"rs256\"}",
        "{\"alg\":[\"RS256\"]}",
        "{}",
        "[]",
        "\"RS256\"",
        "{\"alg\":\"RS256\",\"crit\":[\"exp\"]}",
        "{\"alg\":\"none\",\"alg\":\"RS256\"}",
    };
    static const char *const claims[] = {
        "{}",
        "[]",
        "{\"iss\":\"" EMAIL "\",\"iat\":1800000000,\"exp\":1800000100}",
        "{\"iss\":\"" EMAIL "\",\"aud\":\"https://x.test/tokens\",\"iat\":1800000000,"
        "\"exp\":1800000100}",
        "{\"iss\":\"" EMAIL "\",\"aud\":{\"a\":\"/token\"},\"iat\":1800000000,\"exp\":1800000100}",
        "{\"iss\":\"" EMAIL "\",\"sub\":\"boss@x\",\"aud\":\"/token\",\"iat\":1800000000,"
        "\"exp\":1800000100}",
        "{\"iss\":\"nobody@x\",\"aud\":\"/token\",\"iat\":1800000000,\"exp\":1800000100}",
        "{\"iss\":\"\",\"aud\":\"/token\",\"iat\":1800000000,\"exp\":1800000100}",
        "{\"iss\":7,\"aud\":\"/token\",\"iat\":1800000000,\"exp\":1800000100}",
        "{\"iss\":\"" EMAIL "\",\"aud\":\"/token\",\"iat\":\"1800000000\",\"exp\":1800000100}",
        "{\"iss\":\"" EMAIL "\",\"aud\":\"/token\",\"exp\":1800000100}",
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(headers); i++)
        assert_true(str_eq_c(error_of(headers[i], usual(), world.ours), "invalid_grant"));
    for (size_t i = 0; i < ARRAY_LEN(claims); i++)
        assert_int_not_equal(error_of(RS256, claims[i], world.ours).len, 0);
}

/* The classic trick: the public key, which is no secret, as the secret of HS256. */
static void test_the_public_key_is_no_shared_secret(void **state)
{
    struct str pem = public_pem(world.ours);
    unsigned char mac[EVP_MAX_MD_SIZE];
    struct buf jwt = BUF_INIT(64 * 1024);
    unsigned int len = 0;

    (void)state;
    add_parts(&jwt, "{\"alg\":\"HS256\"}", usual());
    (void)HMAC(EVP_sha256(), pem.p, (int)pem.len, (const unsigned char *)jwt.p, jwt.len, mac, &len);
    buf_add_char(&jwt, '.');
    add_base64url(&jwt, mac, len);
    assert_true(str_eq_c(answer_to(jwt.p, "error"), "invalid_grant"));
    buf_release(&jwt);
}

static void test_a_wrong_or_damaged_signature_is_refused(void **state)
{
    struct buf jwt = BUF_INIT(64 * 1024);

    (void)state;
    assert_true(str_eq_c(error_of(RS256, usual(), world.strange), "invalid_grant"));
    add_parts(&jwt, RS256, usual());
    assert_true(str_eq_c(answer_to(jwt.p, "error"), "invalid_grant")); /* two parts */
    buf_add_char(&jwt, '.');
    assert_true(str_eq_c(answer_to(jwt.p, "error"), "invalid_grant")); /* no signature */
    jwt.len--;
    sign(&jwt, world.ours);
    jwt.p[jwt.len - 20] = jwt.p[jwt.len - 20] == 'A' ? 'B' : 'A';
    assert_true(str_eq_c(answer_to(jwt.p, "error"), "invalid_grant"));
    buf_release(&jwt);
}

static void test_the_form_is_judged_before_the_assertion(void **state)
{
    static const struct {
        const char *form, *error;
    } cases[] = {
        { "", "invalid_request" },
        { "&&=&", "invalid_request" },
        { "assertion=x", "invalid_request" },
        { "grant_type=password&assertion=x", "unsupported_grant_type" },
        { "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer", "invalid_request" },
        { "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion=%zz",
          "invalid_request" },
        { "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&assertion=a.b.c",
          "invalid_grant" },
    };
    struct buf out = BUF_INIT(4096);

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        buf_clear(&out);
        assert_false(auth_token(world.store, &world.arena, str_of(cases[i].form), &out));
        assert_non_null(strstr(out.p, cases[i].error));
    }
    buf_release(&out);
}

static void test_a_huge_assertion_is_refused(void **state)
{
    struct buf jwt = BUF_INIT(64 * 1024);

    (void)state;
    while (jwt.len < 9000)
        buf_add_c(&jwt, "eyJ9.");
    assert_true(str_eq_c(answer_to(jwt.p, "error"), "invalid_grant"));
    while (jwt.len < AUTH_FORM_BYTES_MAX)
        buf_add_c(&jwt, "eyJ9.");
    assert_true(str_eq_c(answer_to(jwt.p, "error"), "invalid_request"));
    buf_release(&jwt);
}

static void test_a_token_ends_after_an_hour_or_with_its_key(void **state)
{
    const char *text = token();
    struct error e = { 0 };
    struct key found;

    (void)state;
    world.clock.fake_us = (NOW_S + AUTH_TOKEN_S - 1) * 1000000;
    assert_int_equal(find(text, &found), 1);
    world.clock.fake_us = (NOW_S + AUTH_TOKEN_S) * 1000000;
    assert_int_equal(find(text, &found), 0);
    world.clock.fake_us = NOW_S * 1000000;
    assert_int_equal(key_revoke(world.store, world.key.id, &e), 0);
    assert_int_equal(find(text, &found), 0);
    assert_true(str_eq_c(error_of(RS256, usual(), world.ours), "invalid_grant"));
}

/* Every byte of a token counts: change each in turn. */
static void test_a_changed_token_is_none(void **state)
{
    const char *text = token();
    size_t len = strlen(text);
    char *other = arena_copy(&world.arena, text, len);
    struct key found;

    (void)state;
    for (size_t i = 0; i < len; i++) {
        other[i] = text[i] == '1' ? '2' : '1';
        assert_int_equal(find(other, &found), 0);
        other[i] = text[i];
    }
    for (size_t i = 0; i < len; i++)
        assert_int_equal(auth_token_find(world.store, &world.arena, str_sub(str_of(text), 0, i),
                                         &found, &(struct error){ 0 }),
                         0);
    assert_int_equal(find(other, &found), 1);
}

/* A link's ticket opens its path, as the key may, for a minute: no other path, no token in its place, no change of it. */
static void test_a_ticket_opens_one_path_for_a_minute(void **state)
{
    char text[AUTH_TOKEN_BYTES];
    struct error e = { 0 };
    struct key found = { 0 };
    struct str path = STR("/v1/a%2Fb:results");

    (void)state;
    assert_int_equal(auth_ticket(world.store, world.key.id, path, text, &e), 0);
#define OPENS(t, p) auth_ticket_find(world.store, &world.arena, t, p, &found, &e)
    assert_int_equal(OPENS(str_of(text), path), 1);
    assert_string_equal(found.id, world.key.id);
    assert_int_equal(OPENS(str_of(text), STR("/v1/a/b:results")), 0);
    assert_int_equal(OPENS(str_of(text), STR("/v1/a%2Fb:resultsx")), 0);
    assert_int_equal(OPENS(str_of(text), STR("")), 0);
    assert_int_equal(find(text, &found), 0);
    assert_int_equal(OPENS(str_of(token()), path), 0);
    for (size_t i = 0; text[i]; i++) {
        char was = text[i];
        text[i] = was == '1' ? '2' : '1';
        assert_int_equal(OPENS(str_of(text), path), 0);
        text[i] = was;
    }
    world.clock.fake_us += (AUTH_TICKET_S - 1) * 1000000LL;
    assert_int_equal(OPENS(str_of(text), path), 1);
    world.clock.fake_us += 1000000;
    assert_int_equal(OPENS(str_of(text), path), 0);
    world.clock.fake_us -= 1000000;
    assert_int_equal(key_revoke(world.store, world.key.id, &e), 0);
    assert_int_equal(OPENS(str_of(text), path), 0);
#undef OPENS
}

static void test_the_open_mode_keeps_browsers_out(void **state)
{
    static const struct {
        const char *host, *origin;
        bool good;
    } cases[] = {
        { "127.0.0.1:8080", "", true },
        { "127.0.0.1", "", true },
        { "LocalHost:1", "", true },
        { "[::1]:8080", "", true },
        { "[::1]", "http://localhost:3000", true },
        { "localhost", "https://127.0.0.1", true },
        { "", "", false },
        { "evil.test", "", false },
        { "127.0.0.1.evil.test:8080", "", false },
        { "localhost.evil.test", "", false },
        { "localhost:80evil", "", false },
        { "localhost:", "", true },
        { "localhost:123456", "", false },
        { "[::1", "", false },
        { "[::1]evil", "", false },
        { "user@127.0.0.1", "", false },
        { "127.0.0.1:8080", "http://evil.test", false },
        { "127.0.0.1:8080", "null", false },
        { "127.0.0.1:8080", "http://localhost.evil.test", false },
        { "127.0.0.1:8080", "file://", false },
    };
    struct error e = { 0 };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        assert_int_equal(auth_open_guard(str_of(cases[i].host), str_of(cases[i].origin), &e) == 0,
                         cases[i].good);
    assert_int_equal(e.code, ERROR_PERMISSION_DENIED);
}

static void test_the_mode_is_open_only_until_the_first_key(void **state)
{
    char path[SCRATCH_PATH_BYTES], text[KEY_TEXT_BYTES];
    struct key key = { .project = "p", .role = ROLE_ADMIN };
    struct error e = { 0 };
    struct store *s = store_open(scratch_path(&world.dir, "t", path), true, &world.clock, &e);

    (void)state;
    assert_non_null(s);
    assert_int_equal(auth_is_open(s, &world.arena, &e), 1);
    assert_int_equal(key_create(s, &key, text, &e), 0);
    assert_int_equal(auth_is_open(s, &world.arena, &e), 0);
    assert_int_equal(key_revoke(s, key.id, &e), 0);
    assert_int_equal(auth_is_open(s, &world.arena, &e), 0);
    store_close(s);
}

static void test_a_project_is_named_by_plain_characters(void **state)
{
    char longest[PROJECT_BYTES + 1] = { 0 };

    (void)state;
    assert_true(auth_project_valid(STR("My-proj_1.a:b")));
    assert_false(auth_project_valid(STR("")));
    assert_false(auth_project_valid(STR("a/b")));
    assert_false(auth_project_valid(STR("a b")));
    assert_false(auth_project_valid(STR("\u00e9")));
    memset(longest, 'a', PROJECT_BYTES - 1);
    assert_true(auth_project_valid(str_of(longest)));
    longest[PROJECT_BYTES - 1] = 'a';
    assert_false(auth_project_valid(str_of(longest)));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_an_assertion_gives_a_token_of_its_account),
        TEST(test_good_assertions_differ_in_what_clients_differ_in),
        TEST(test_times_are_held_to_a_minute),
        TEST(test_an_assertion_of_another_form_is_refused),
        TEST(test_the_public_key_is_no_shared_secret),
        TEST(test_a_wrong_or_damaged_signature_is_refused),
        TEST(test_the_form_is_judged_before_the_assertion),
        TEST(test_a_huge_assertion_is_refused),
        TEST(test_a_token_ends_after_an_hour_or_with_its_key),
        TEST(test_a_changed_token_is_none),
        TEST(test_a_ticket_opens_one_path_for_a_minute),
        TEST(test_the_open_mode_keeps_browsers_out),
        TEST(test_the_mode_is_open_only_until_the_first_key),
        TEST(test_a_project_is_named_by_plain_characters),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
