/* Goal: no key reaches another project's objects by any verb or does more than its role allows; an upload needs
 * its id and no key, and stays its project's; names and settings stay strings in JSON and headers. Method: the
 * whole service, calls by socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "unit/api/service_case.h"

#define JSON "Content-Type: application/json\r\n"

static const char *key_of(struct serving *w, const char *project, enum key_role role)
{
    return joined(w, "%s" JSON, key_header(w, project, role));
}

static void put_bucket_and_object(struct serving *w, const char *key, const char *bucket)
{
    assert_int_equal(ask_with(w, "POST", "/storage/v1/b", key, joined(w, "{'name':'%s'}", bucket)),
                     200);
    assert_int_equal(
        ask_with(w, "POST", joined(w, "/upload/storage/v1/b/%s/o?uploadType=media&name=o", bucket),
                 key, "secret"),
        200);
}

static const char *start_file(struct serving *w, const char *key)
{
    const char *headers = joined(w, "%sX-Goog-Upload-Command: start\r\n", key);

    assert_int_equal(ask_with(w, "POST", "/upload/v1beta/files", headers, "{}"), 200);
    return header_path(w, "X-Goog-Upload-URL");
}

#define SEND "X-Goog-Upload-Command: upload, finalize\r\nX-Goog-Upload-Offset: 0\r\n"

static void test_another_projects_objects_and_files_are_not_found_by_any_verb(void **state)
{
    static const struct {
        const char *method, *path, *body;
    } calls[] = {
        { "GET", "/storage/v1/b/mine", "" },
        { "PATCH", "/storage/v1/b/mine", "{}" },
        { "DELETE", "/storage/v1/b/mine", "" },
        { "GET", "/storage/v1/b/mine/o", "" },
        { "GET", "/storage/v1/b/mine/o/o", "" },
        { "GET", "/storage/v1/b/mine/o/o?alt=media", "" },
        { "GET", "/download/storage/v1/b/mine/o/o", "" },
        { "PATCH", "/storage/v1/b/mine/o/o", "{'metadata':{'a':'b'}}" },
        { "PUT", "/storage/v1/b/mine/o/o", "{}" },
        { "DELETE", "/storage/v1/b/mine/o/o", "" },
        { "POST", "/upload/storage/v1/b/mine/o?uploadType=media&name=x", "x" },
        { "POST", "/upload/storage/v1/b/mine/o?uploadType=resumable&name=x", "{}" },
        { "POST", "/storage/v1/b/mine/o/o/copyTo/b/theirs/o/x", "{}" },
        { "POST", "/storage/v1/b/theirs/o/o/copyTo/b/mine/o/x", "{}" },
        { "POST", "/storage/v1/b/mine/o/o/rewriteTo/b/theirs/o/x", "{}" },
        { "POST", "/storage/v1/b/mine/o/o/moveTo/o/x", "{}" },
        { "POST", "/storage/v1/b/mine/o/x/compose", "{'sourceObjects':[{'name':'o'}]}" },
        { "POST", "/v1beta/files:register", "{'uris':['gs://mine/o']}" },
    };
    struct serving *w = *state;

    const char *mine = key_of(w, "p1", ROLE_SUBMITTER), *theirs = key_of(w, "p2", ROLE_ADMIN);
    put_bucket_and_object(w, mine, "mine");
    put_bucket_and_object(w, theirs, "theirs");
    assert_int_equal(ask_with(w, "POST", start_file(w, mine), SEND, "secret"), 200);
    const char *file = answer_text(w, "file.name");
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        (void)ask_with(w, calls[i].method, calls[i].path, theirs, calls[i].body);
        assert_asked(w, 404);
        assert_true(str_find(w->body, STR("secret")) == SIZE_MAX);
    }
    const char *const files[] = {
        joined(w, "/v1beta/%s", file),
        joined(w, "/v1beta/%s:download?alt=media", file),
        joined(w, "/download/v1beta/%s:download", file),
    };
    for (size_t i = 0; i < ARRAY_LEN(files); i++)
        assert_int_equal(ask_with(w, "GET", files[i], theirs, ""), 404);
    assert_int_equal(ask_with(w, "DELETE", files[0], theirs, ""), 404);
    (void)ask_with(w, "GET", "/v1beta/files", theirs, "");
    assert_string_equal(answer_text(w, "files.0.name"), "");
    (void)ask_with(w, "GET", "/storage/v1/b", theirs, "");
    assert_string_equal(answer_text(w, "items.0.name"), "theirs");
    assert_string_equal(answer_text(w, "items.1.name"), "");
    assert_int_equal(ask_with(w, "GET", "/storage/v1/b?project=p1", theirs, ""), 403);
    assert_int_equal(ask_with(w, "GET", "/storage/v1/b/mine/o/o?alt=media", mine, ""), 200);
    assert_true(str_eq_c(w->body, "secret"));
    assert_int_equal(ask_with(w, "GET", joined(w, "/v1beta/%s", file), mine, ""), 200);
}

static void test_a_viewer_reads_and_changes_nothing(void **state)
{
    static const struct {
        const char *method, *path;
        int status;
    } calls[] = {
        { "GET", "/storage/v1/b/mine/o/o?alt=media", 200 },
        { "GET", "/storage/v1/b/mine/o", 200 },
        { "GET", "/v1beta/files", 200 },
        { "POST", "/storage/v1/b", 403 },
        { "PATCH", "/storage/v1/b/mine", 403 },
        { "DELETE", "/storage/v1/b/mine", 403 },
        { "PATCH", "/storage/v1/b/mine/o/o", 403 },
        { "DELETE", "/storage/v1/b/mine/o/o", 403 },
        { "POST", "/upload/storage/v1/b/mine/o?uploadType=media&name=x", 403 },
        { "POST", "/upload/storage/v1/b/mine/o?uploadType=resumable&name=x", 403 },
        { "POST", "/storage/v1/b/mine/o/o/copyTo/b/mine/o/x", 403 },
        { "POST", "/storage/v1/b/mine/o/o/rewriteTo/b/mine/o/x", 403 },
        { "POST", "/storage/v1/b/mine/o/o/moveTo/o/x", 403 },
        { "POST", "/storage/v1/b/mine/o/x/compose", 403 },
        { "POST", "/upload/v1beta/files", 403 },
        { "POST", "/v1beta/files:register", 403 },
        { "DELETE", "/v1beta/files/x", 403 },
    };
    struct serving *w = *state;

    put_bucket_and_object(w, key_of(w, "p1", ROLE_SUBMITTER), "mine");
    const char *viewer = key_of(w, "p1", ROLE_VIEWER);
    for (size_t i = 0; i < ARRAY_LEN(calls); i++) {
        (void)ask_with(w, calls[i].method, calls[i].path, viewer, "");
        assert_asked(w, calls[i].status);
        (void)ask_with(w, calls[i].method, calls[i].path, "", "");
        assert_true(w->status == 401 || w->status == 403);
    }
}

static void test_an_uploads_id_is_enough_and_the_object_is_of_who_began_it(void **state)
{
    struct serving *w = *state;

    const char *mine = key_of(w, "p1", ROLE_SUBMITTER), *theirs = key_of(w, "p2", ROLE_ADMIN);
    put_bucket_and_object(w, mine, "mine");
    (void)ask_with(w, "POST", "/upload/storage/v1/b/mine/o?uploadType=resumable&name=r", mine,
                   "{}");
    assert_asked(w, 200);
    const char *path = header_path(w, "Location");
    (void)ask_with(w, "PUT", path, "Content-Range: bytes 0-2/*\r\n", "abc");
    assert_asked(w, 308);
    (void)ask_with(w, "PUT", path, joined(w, "%sContent-Range: bytes 3-5/6\r\n", theirs), "def");
    assert_asked(w, 200);
    assert_int_equal(ask_with(w, "GET", "/storage/v1/b/mine/o/r?alt=media", mine, ""), 200);
    assert_true(str_eq_c(w->body, "abcdef"));
    assert_int_equal(ask_with(w, "GET", "/storage/v1/b/mine/o/r", theirs, ""), 404);
}

static void test_an_upload_of_a_file_is_none_of_an_object(void **state)
{
    struct serving *w = *state;

    const char *mine = key_of(w, "p1", ROLE_SUBMITTER);
    put_bucket_and_object(w, mine, "mine");
    const char *id = strstr(start_file(w, mine), "upload_id=");
    (void)ask_with(w, "PUT", joined(w, "/upload/storage/v1/b/mine/o?uploadType=resumable&%s", id),
                   "Content-Range: bytes 0-0/1\r\n", "x");
    assert_asked(w, 404);
    (void)ask_with(w, "POST", "/upload/storage/v1/b/mine/o?uploadType=resumable&name=r", mine,
                   "{}");
    id = strstr(header_path(w, "Location"), "upload_id=");
    (void)ask_with(w, "POST", joined(w, "/resumable/upload/v1beta/files?%s", id), SEND, "x");
    assert_asked(w, 404);
}

static void test_nothing_that_is_stored_becomes_a_header_of_its_own(void **state)
{
    struct serving *w = *state;

    put_bucket_and_object(w, JSON, "mine");
    (void)ask(w, "PATCH", "/storage/v1/b/mine/o/o",
              "{'contentDisposition':'a\\r\\nSet-Cookie: b=c'}");
    assert_asked(w, 400);
    (void)ask(w, "PATCH", "/storage/v1/b/mine/o/o", "{'contentType':'a\\nSet-Cookie: b=c'}");
    assert_asked(w, 400);
    (void)ask(w, "PATCH", "/storage/v1/b/mine/o/o", "{'contentDisposition':'attachment'}");
    assert_asked(w, 200);
    (void)ask(w, "GET", "/storage/v1/b/mine/o/o?alt=media", "");
    assert_asked(w, 200);
    assert_string_equal(header_value(w, "Content-Disposition"), "attachment");
    assert_true(str_find(w->head, STR("Set-Cookie")) == SIZE_MAX);
}

/* Names that would end a JSON string, if they were written without escapes. */
static void test_a_name_stays_one_string_wherever_it_is_shown(void **state)
{
    static const struct {
        const char *encoded, *name;
    } cases[] = {
        { "a%22b", "a\"b" },
        { "a%5C", "a\\" },
        { "a%22,%22size%22:%220", "a\",\"size\":\"0" },
        { "%7B%7D/%5B", "{}/[" },
        { "%E2%82%AC%22", "\u20ac\"" },
    };
    struct serving *w = *state;

    assert_int_equal(ask_with(w, "POST", "/storage/v1/b", JSON, "{'name':'mine'}"), 200);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        const char *encoded = cases[i].encoded, *name = cases[i].name;
        (void)ask(w, "POST",
                  joined(w, "/upload/storage/v1/b/mine/o?uploadType=media&name=%s", encoded), "x");
        assert_asked(w, 200);
        assert_string_equal(answer_text(w, "name"), name);
        assert_string_equal(answer_text(w, "size"), "1");
        (void)ask(w, "GET", joined(w, "/storage/v1/b/mine/o?prefix=%s", encoded), "");
        assert_string_equal(answer_text(w, "items.0.name"), name);
        (void)ask(w, "POST", joined(w, "/storage/v1/b/mine/o/x/rewriteTo/b/mine/o/%s", encoded),
                  "");
        assert_asked(w, 404);
        (void)ask(w, "DELETE", joined(w, "/storage/v1/b/mine/o/%s", encoded), "");
        assert_asked(w, 204);
    }
}

static void test_prefixes_and_page_tokens_are_names_too(void **state)
{
    struct serving *w = *state;

    assert_int_equal(ask_with(w, "POST", "/storage/v1/b", JSON, "{'name':'mine'}"), 200);
    (void)ask(w, "POST", "/upload/storage/v1/b/mine/o?uploadType=media&name=a%22/1", "x");
    (void)ask(w, "POST", "/upload/storage/v1/b/mine/o?uploadType=media&name=b%22", "x");
    (void)ask(w, "GET", "/storage/v1/b/mine/o?delimiter=/&maxResults=1", "");
    assert_string_equal(answer_text(w, "prefixes.0"), "a\"/");
    assert_string_equal(answer_text(w, "nextPageToken"), "a\"/");
}

static void test_metadata_keeps_its_keys_and_values(void **state)
{
    struct serving *w = *state;

    put_bucket_and_object(w, JSON, "mine");
    (void)ask(w, "PATCH", "/storage/v1/b/mine/o/o",
              "{'metadata':{'k\\\"':'v\\\"','n':1.5,'t':true,'gone':null}}");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "metadata.k\""), "v\"");
    assert_string_equal(answer_text(w, "metadata.n"), "1.5");
    assert_string_equal(answer_text(w, "metadata.t"), "true");
    (void)ask(w, "PATCH", "/storage/v1/b/mine/o/o", "{'metadata':{'n':null},'cacheControl':'c'}");
    assert_string_equal(answer_text(w, "metadata.n"), "");
    assert_string_equal(answer_text(w, "metadata.t"), "true");
    assert_string_equal(answer_text(w, "cacheControl"), "c");
}

static void test_a_range_is_cut_to_the_bytes_there_are(void **state)
{
    static const struct {
        const char *object, *range;
        int status;
        const char *body; /* of a 416: the Content-Range */
    } cases[] = {
        { "ten", "bytes=0-", 206, "0123456789" },
        { "ten", "bytes=0-0", 206, "0" },
        { "ten", "bytes=9-9", 206, "9" },
        { "ten", "bytes=3-99", 206, "3456789" },
        { "ten", "bytes=-3", 206, "789" },
        { "ten", "bytes=-10", 206, "0123456789" },
        { "ten", "bytes=-11", 206, "0123456789" },
        { "ten", "bytes=7-18446744073709551615", 206, "789" },
        { "ten", "bytes=10-", 416, "bytes */10" },
        { "ten", "bytes=18446744073709551615-", 416, "bytes */10" },
        { "ten", "bytes=-0", 416, "bytes */10" },
        { "none", "bytes=0-", 416, "bytes */0" },
        { "none", "bytes=-1", 416, "bytes */0" },
        { "ten", "bytes=5-4", 200, "0123456789" },
        { "ten", "bytes=1-2,4-5", 200, "0123456789" },
        { "ten", "bytes=18446744073709551616-", 200, "0123456789" },
        { "ten", "bytes=-", 200, "0123456789" },
        { "ten", "bytes=a-b", 200, "0123456789" },
        { "ten", "lines=0-1", 200, "0123456789" },
    };
    struct serving *w = *state;

    assert_int_equal(ask_with(w, "POST", "/storage/v1/b", JSON, "{'name':'mine'}"), 200);
    (void)ask(w, "POST", "/upload/storage/v1/b/mine/o?uploadType=media&name=ten", "0123456789");
    (void)ask(w, "POST", "/upload/storage/v1/b/mine/o?uploadType=media&name=none", "");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)ask_with(w, "GET", joined(w, "/storage/v1/b/mine/o/%s?alt=media", cases[i].object),
                       joined(w, "Range: %s\r\n", cases[i].range), "");
        assert_asked(w, cases[i].status);
        if (w->status == 416)
            assert_string_equal(header_value(w, "Content-Range"), cases[i].body);
        else
            assert_true(str_eq_c(w->body, cases[i].body));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(test_another_projects_objects_and_files_are_not_found_by_any_verb),
        ONE(test_a_viewer_reads_and_changes_nothing),
        ONE(test_an_uploads_id_is_enough_and_the_object_is_of_who_began_it),
        ONE(test_an_upload_of_a_file_is_none_of_an_object),
        ONE(test_nothing_that_is_stored_becomes_a_header_of_its_own),
        ONE(test_a_name_stays_one_string_wherever_it_is_shown),
        ONE(test_prefixes_and_page_tokens_are_names_too),
        ONE(test_metadata_keeps_its_keys_and_values),
        ONE(test_a_range_is_cut_to_the_bytes_there_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
