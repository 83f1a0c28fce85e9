/* Signatures against those that AWS publishes: its signing test suite, and the examples of S3's API reference. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "net/client/sigv4.h"

#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define FORM "9095672bbd1f56dfc5b65f3e153adc8731a4a654192329106275f4c7b24d0b6e"
#define WELCOME "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072"
#define DATE_2015 "x-amz-date: 20150830T123600Z"
#define DATE_2013 "x-amz-date: 20130524T000000Z"
#define UNRESERVED "-._~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
#define TOKEN "6e86291e8372ff2a2260956d9b8aae1d763fbf315fa00fa31553b73ebf194267"

struct published {
    const char *name, *method, *path, *query;
    const char *header[6];
    const char *payload, *names, *signature;
};

/* https://github.com/awslabs/aws-c-auth, tests/aws-signing-test-suite/v4 */
static const struct published suite[] = {
    { "get-vanilla",
      "GET",
      "/",
      "",
      { DATE_2015 },
      EMPTY,
      "host;x-amz-date",
      "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31" },
    { "get-header-key-duplicate",
      "GET",
      "/",
      "",
      { "my-header1: value2", "my-header1: value2", "my-header1: value1", DATE_2015 },
      EMPTY,
      "host;my-header1;x-amz-date",
      "c9d5ea9f3f72853aea855b47ea873832890dbdd183b4468f858259531a5138ea" },
    { "get-header-value-trim",
      "GET",
      "/",
      "",
      { DATE_2015, "my-header2:  \"a   b   c\"  ", "my-header1:  value1" },
      EMPTY,
      "host;my-header1;my-header2;x-amz-date",
      "acc3ed3afb60bb290fc8d2dd0098b9911fcaa05412b367055dee359757a9c736" },
    { "get-vanilla-query-order-key-case",
      "GET",
      "/",
      "Param1=value1&Param2=value2",
      { DATE_2015 },
      EMPTY,
      "host;x-amz-date",
      "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500" },
    { "get-vanilla-query-unreserved",
      "GET",
      "/",
      UNRESERVED "=" UNRESERVED,
      { DATE_2015 },
      EMPTY,
      "host;x-amz-date",
      "9c3e54bfcdf0b19771a7f523ee5669cdf59bc7cc0884027167c21bb143a40197" },
    { "post-x-www-form-urlencoded",
      "POST",
      "/",
      "",
      { "content-length: 13", "content-type: application/x-www-form-urlencoded", DATE_2015,
        "x-amz-content-sha256: " FORM },
      FORM,
      "content-length;content-type;host;x-amz-content-sha256;x-amz-date",
      "d3875051da38690788ef43de4db0d8f280229d82040bfac253562e56c3f20e0b" },
    { "get-vanilla-with-session-token",
      "GET",
      "/",
      "",
      { "x-amz-security-token: " TOKEN, DATE_2015 },
      EMPTY,
      "host;x-amz-date;x-amz-security-token",
      "07ec1639c89043aa0e3e2de82b96708f198cceab042d4a97044c66dd9f74e7f8" },
};

/* https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html */
static const struct published s3[] = {
    { "GET object",
      "GET",
      "/test.txt",
      "",
      { "range: bytes=0-9", "x-amz-content-sha256: " EMPTY, DATE_2013 },
      EMPTY,
      "host;range;x-amz-content-sha256;x-amz-date",
      "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
    { "PUT object",
      "PUT",
      "/test%24file.text",
      "",
      { "date: Fri, 24 May 2013 00:00:00 GMT", "x-amz-content-sha256: " WELCOME, DATE_2013,
        "x-amz-storage-class: REDUCED_REDUNDANCY" },
      WELCOME,
      "date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
    { "GET bucket lifecycle",
      "GET",
      "/",
      "lifecycle=",
      { "x-amz-content-sha256: " EMPTY, DATE_2013 },
      EMPTY,
      "host;x-amz-content-sha256;x-amz-date",
      "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
    { "GET bucket",
      "GET",
      "/",
      "max-keys=2&prefix=J",
      { "x-amz-content-sha256: " EMPTY, DATE_2013 },
      EMPTY,
      "host;x-amz-content-sha256;x-amz-date",
      "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
};

static struct sigv4 of(const struct published *p, bool is_s3)
{
    struct sigv4 r = {
        .id = is_s3 ? STR("AKIAIOSFODNN7EXAMPLE") : STR("AKIDEXAMPLE"),
        .secret = is_s3 ? STR("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
                        : STR("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"),
        .region = "us-east-1",
        .service = is_s3 ? "s3" : "service",
        .method = p->method,
        .host = is_s3 ? STR("examplebucket.s3.amazonaws.com") : STR("example.amazonaws.com"),
        .path = str_of(p->path),
        .query = str_of(p->query),
        .header = p->header,
        .payload = p->payload,
    };

    sigv4_date(is_s3 ? 1369353600000000 : 1440938160000000, r.date);
    return r;
}

static void check(const struct published *p, bool is_s3)
{
    struct sigv4 r = of(p, is_s3);
    struct buf out = BUF_INIT(4096);
    struct error e = { 0 };
    char expected[1024];

    (void)snprintf(expected, sizeof expected,
                   "Authorization: AWS4-HMAC-SHA256 Credential=%s/%.8s/us-east-1/%s/aws4_request, "
                   "SignedHeaders=%s, Signature=%s",
                   r.id.p, r.date, r.service, p->names, p->signature);
    assert_int_equal(sigv4_sign(&r, &out, &e), 0);
    if (strcmp(out.p, expected) != 0)
        fail_msg("%s: %s", p->name, out.p);
    buf_release(&out);
}

static void test_signatures_are_those_that_aws_publishes(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(suite); i++)
        check(&suite[i], false);
    for (size_t i = 0; i < ARRAY_LEN(s3); i++)
        check(&s3[i], true);
}

static void test_a_hash_of_nothing_and_of_something_is_that_of_sha256(void **state)
{
    char hash[SIGV4_SHA256_BYTES];

    (void)state;
    sigv4_sha256((struct str){ 0 }, hash);
    assert_string_equal(hash, EMPTY);
    sigv4_sha256(STR("Welcome to Amazon S3."), hash);
    assert_string_equal(hash, WELCOME);
}

/* At the limit and one over it: headers, and bytes. */
static void test_a_request_over_the_limits_is_refused(void **state)
{
    struct sigv4 r = of(&suite[0], false);
    const char *many[SIGV4_HEADERS_MAX + 2] = { NULL };
    struct buf out = BUF_INIT(4096), large = BUF_INIT(SIGV4_BYTES_MAX);
    struct error e = { 0 };

    (void)state;
    for (size_t i = 0; i < SIGV4_HEADERS_MAX; i++)
        many[i] = "a: b";
    r.header = many;
    assert_int_equal(sigv4_sign(&r, &out, &e), 0);
    many[SIGV4_HEADERS_MAX] = "a: b";
    assert_int_equal(sigv4_sign(&r, &out, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);

    r = of(&suite[0], false);
    memset(buf_extend(&large, SIGV4_BYTES_MAX), 'x', SIGV4_BYTES_MAX);
    r.path = buf_str(&large);
    assert_int_equal(sigv4_sign(&r, &out, &e), -1);
    assert_int_equal(e.code, ERROR_INVALID_ARGUMENT);
    buf_release(&out);
    buf_release(&large);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signatures_are_those_that_aws_publishes),
        cmocka_unit_test(test_a_hash_of_nothing_and_of_something_is_that_of_sha256),
        cmocka_unit_test(test_a_request_over_the_limits_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
