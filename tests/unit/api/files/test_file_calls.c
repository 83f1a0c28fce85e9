/* Goal: files are uploaded, shown, listed, read, registered and deleted as the Files API does it. Method: the
 * whole service, over a socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/mem.h"

#include "unit/api/service_case.h"

#define FILES "/v1beta/files"
#define START "X-Goog-Upload-Command: start\r\n"
#define COMMAND(words, offset)                                                                     \
    "X-Goog-Upload-Command: " words "\r\nX-Goog-Upload-Offset: " offset "\r\n"

/* Begins an upload, and gives the path that its bytes go to. */
static const char *start(struct serving *w, const char *body)
{
    (void)ask_with(w, "POST", "/upload" FILES, START, body);
    assert_asked(w, 200);
    return header_path(w, "X-Goog-Upload-URL");
}

/* Uploads a file in one call, and gives its path. */
static const char *upload(struct serving *w, const char *metadata, const char *bytes)
{
    (void)ask_with(w, "POST", start(w, metadata), COMMAND("upload, finalize", "0"), bytes);
    assert_asked(w, 200);
    assert_string_equal(header_value(w, "X-Goog-Upload-Status"), "final");
    return joined(w, "/v1beta/%s", answer_text(w, "file.name"));
}

static void test_a_file_is_shown_as_it_was_described(void **state)
{
    struct serving *w = *state;
    const char *file =
        upload(w, "{'file':{'displayName':'a\\'b\\\\c','mimeType':'text/plain'}}", "abc");

    (void)ask(w, "GET", file, "");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "displayName"), "a\"b\\c");
    assert_string_equal(answer_text(w, "mimeType"), "text/plain");
    assert_string_equal(answer_text(w, "sizeBytes"), "3");
    assert_string_equal(answer_text(w, "state"), "ACTIVE");
    assert_string_equal(answer_text(w, "source"), "UPLOADED");
    assert_true(str_starts(str_of(answer_text(w, "uri")), STR("https://localhost/v1beta/files/")));
    (void)ask(w, "GET", FILES, "");
    assert_string_equal(answer_text(w, "files.0.displayName"), "a\"b\\c");
}

static void test_a_files_bytes_are_read_whole_or_in_part(void **state)
{
    struct serving *w = *state;
    const char *file = upload(w, "{}", "abcdef");

    (void)ask(w, "GET", joined(w, "%s:download?alt=media", file), "");
    assert_asked(w, 200);
    assert_true(str_eq_c(w->body, "abcdef"));
    (void)ask_with(w, "GET", joined(w, "/download%s:download", file), "Range: bytes=2-3\r\n", "");
    assert_asked(w, 206);
    assert_true(str_eq_c(w->body, "cd"));
    assert_string_equal(header_value(w, "Content-Range"), "bytes 2-3/6");
}

static void test_an_upload_goes_on_where_it_was(void **state)
{
    struct serving *w = *state;
    const char *path = start(w, "{}");

    (void)ask_with(w, "POST", path, COMMAND("upload", "0"), "abc");
    assert_asked(w, 200);
    assert_string_equal(header_value(w, "X-Goog-Upload-Size-Received"), "3");
    (void)ask_with(w, "POST", path, "X-Goog-Upload-Command: query\r\n", "");
    assert_string_equal(header_value(w, "X-Goog-Upload-Status"), "active");
    assert_string_equal(header_value(w, "X-Goog-Upload-Size-Received"), "3");
    (void)ask_with(w, "POST", path, COMMAND("upload", "9"), "x");
    assert_failed(w, 400, "INVALID_ARGUMENT", "beyond the already uploaded size");
    (void)ask_with(w, "POST", path, COMMAND("upload, finalize", "2"), "cdef");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "file.sizeBytes"), "6");
}

/* As googleapiclient and Google's own samples for other languages send small files. */
static void test_a_file_may_come_whole_in_one_multipart_body(void **state)
{
    static const char body[] =
        "--b1\r\nContent-Type: application/json; charset=UTF-8\r\n\r\n"
        "{'file':{'display_name':'notes'}}\r\n--b1\r\nContent-Type: text/plain\r\n\r\n"
        "some bytes\r\n--b1--\r\n";
    static const char *const headers[] = {
        "X-Goog-Upload-Protocol: multipart\r\nContent-Type: multipart/related; boundary=b1\r\n",
        "Content-Type: multipart/related; boundary=b1\r\n",
    };
    struct serving *w = *state;

    for (int i = 0; i < 2; i++) {
        (void)ask_with(w, "POST",
                       i ? "/upload/v1beta/files?uploadType=multipart" : "/upload/v1beta/files",
                       headers[i], body);
        assert_asked(w, 200);
        assert_string_equal(answer_text(w, "file.displayName"), "notes");
        assert_string_equal(answer_text(w, "file.mimeType"), "text/plain");
        assert_string_equal(answer_text(w, "file.sizeBytes"), "10");
        (void)ask(w, "GET", joined(w, "/v1beta/%s:download?alt=media", answer_text(w, "file.name")),
                  "");
        assert_string_equal(joined(w, "%.*s", STR_ARG(w->body)), "some bytes");
    }
    (void)ask_with(w, "POST", "/upload/v1beta/files", headers[0],
                   "--b1\r\nContent-Type: application/json\r\n\r\n{}\r\n--b1--\r\n");
    assert_failed(w, 400, "INVALID_ARGUMENT", "two parts");
    (void)ask_with(w, "POST", "/upload/v1beta/files", "X-Goog-Upload-Protocol: multipart\r\n",
                   body);
    assert_asked(w, 400);
}

static void test_a_type_that_no_model_reads_is_refused(void **state)
{
    struct serving *w = *state;

    (void)ask_with(w, "POST", "/upload/v1beta/files", "X-Goog-Upload-Command: start\r\n",
                   "{'file':{'mimeType':'bad/mime_type'}}");
    assert_failed(w, 400, "INVALID_ARGUMENT", "Unsupported MIME type: bad/mime_type");
    (void)ask_with(w, "POST", "/upload/v1beta/files", "X-Goog-Upload-Command: start\r\n",
                   "{'file':{'mimeType':'jsonl'}}");
    assert_asked(w, 200);
}

static void test_a_cancelled_upload_is_gone(void **state)
{
    struct serving *w = *state;
    const char *path = start(w, "{}");

    (void)ask_with(w, "POST", path, "X-Goog-Upload-Command: cancel\r\n", "");
    assert_asked(w, 200);
    assert_string_equal(header_value(w, "X-Goog-Upload-Status"), "cancelled");
    (void)ask_with(w, "POST", path, COMMAND("upload, finalize", "0"), "x");
    assert_asked(w, 404);
}

static void test_an_upload_that_cannot_become_a_file_is_refused_at_its_start(void **state)
{
    static const struct {
        const char *headers, *body;
        int status;
        const char *name, *words;
    } cases[] = {
        { "", "{}", 400, "INVALID_ARGUMENT", "X-Goog-Upload-Command: start" },
        { START, "[]", 400, "INVALID_ARGUMENT", "Expected an object" },
        { START, "{'file':{'name':'files/UPPER'}}", 400, "INVALID_ARGUMENT", "a-z, 0-9" },
        { START, "{'file':{'name':'files/-a'}}", 400, "INVALID_ARGUMENT", "a-z, 0-9" },
        { START, "{'file':{'mimeType':'a\\nb'}}", 400, "INVALID_ARGUMENT", "MIME type" },
        { START, "{'file':{'name':'files/taken'}}", 409, "ALREADY_EXISTS", "taken" },
        { START "X-Goog-Upload-Header-Content-Length: 2147483649\r\n", "{}", 400,
          "INVALID_ARGUMENT", "2 GiB" },
        { START "X-Goog-Upload-Header-Content-Length: x\r\n", "{}", 400, "INVALID_ARGUMENT",
          "Content-Length" },
    };
    struct serving *w = *state;

    (void)upload(w, "{'file':{'name':'files/taken'}}", "x");
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)ask_with(w, "POST", "/upload" FILES, cases[i].headers, cases[i].body);
        assert_failed(w, cases[i].status, cases[i].name, cases[i].words);
    }
}

static void test_a_commands_words_are_checked(void **state)
{
    static const char *const cases[][2] = {
        { "", "X-Goog-Upload-Command is missing" },
        { "X-Goog-Upload-Command: begin\r\n", "\"begin\"" },
        { COMMAND("upload", "x"), "X-Goog-Upload-Offset" },
        { "X-Goog-Upload-Command: upload\r\n", "X-Goog-Upload-Offset" },
    };
    struct serving *w = *state;
    const char *path = start(w, "{}");

    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        (void)ask_with(w, "POST", path, cases[i][0], "x");
        assert_failed(w, 400, "INVALID_ARGUMENT", cases[i][1]);
    }
}

static void test_a_length_that_was_announced_must_come(void **state)
{
    struct serving *w = *state;

    (void)ask_with(w, "POST", "/upload" FILES, START "X-Goog-Upload-Header-Content-Length: 3\r\n",
                   "{}");
    const char *path = header_path(w, "X-Goog-Upload-URL");
    (void)ask_with(w, "POST", path, COMMAND("upload, finalize", "0"), "ab");
    assert_failed(w, 400, "INVALID_ARGUMENT", "began with a length of 3");
    (void)ask_with(w, "POST", path, COMMAND("upload, finalize", "2"), "c");
    assert_asked(w, 200);
}

static void test_an_object_is_registered_as_a_file(void **state)
{
    static const char *const bad[][2] = {
        { "{}", "uris must be" },
        { "{'uris':[]}", "uris must be" },
        { "{'uris':['http://a/b']}", "\"http://a/b\" is not the URI of an object" },
        { "{'uris':['gs://mine']}", "is not the URI of an object" },
        { "{'uris':['gs://mine/']}", "is not the URI of an object" },
    };
    struct serving *w = *state;

    (void)ask(w, "POST", "/storage/v1/b", "{'name':'mine'}");
    (void)ask(w, "POST", "/upload/storage/v1/b/mine/o?uploadType=media&name=a/b%22", "abc");
    (void)ask(w, "POST", FILES ":register", "{'uris':['gs://mine/a/b\\'']}");
    assert_asked(w, 200);
    assert_string_equal(answer_text(w, "files.0.displayName"), "b\"");
    assert_string_equal(answer_text(w, "files.0.sizeBytes"), "3");
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        (void)ask(w, "POST", FILES ":register", bad[i][0]);
        assert_failed(w, 400, "INVALID_ARGUMENT", bad[i][1]);
    }
}

static void test_lists_are_paged(void **state)
{
    struct serving *w = *state;

    for (int i = 0; i < 3; i++)
        (void)upload(w, "{}", "x");
    (void)ask(w, "GET", FILES "?pageSize=2", "");
    assert_true(strlen(answer_text(w, "files.1.name")) > 0);
    const char *token = answer_text(w, "nextPageToken");
    (void)ask(w, "GET", joined(w, FILES "?pageSize=2&pageToken=%s", token), "");
    assert_true(strlen(answer_text(w, "files.0.name")) > 0);
    assert_string_equal(answer_text(w, "files.1.name"), "");
    assert_string_equal(answer_text(w, "nextPageToken"), "");
    (void)ask(w, "GET", FILES "?pageSize=x", "");
    assert_failed(w, 400, "INVALID_ARGUMENT", "pageSize");
}

static void test_a_deleted_file_is_gone(void **state)
{
    struct serving *w = *state;
    const char *file = upload(w, "{}", "x");

    (void)ask(w, "DELETE", file, "");
    assert_asked(w, 200);
    (void)ask(w, "GET", file, "");
    assert_asked(w, 404);
    (void)ask(w, "GET", joined(w, "%s:download?alt=media", file), "");
    assert_asked(w, 404);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ONE(test_a_file_is_shown_as_it_was_described),
        ONE(test_a_files_bytes_are_read_whole_or_in_part),
        ONE(test_an_upload_goes_on_where_it_was),
        ONE(test_a_file_may_come_whole_in_one_multipart_body),
        ONE(test_a_type_that_no_model_reads_is_refused),
        ONE(test_a_cancelled_upload_is_gone),
        ONE(test_an_upload_that_cannot_become_a_file_is_refused_at_its_start),
        ONE(test_a_commands_words_are_checked),
        ONE(test_a_length_that_was_announced_must_come),
        ONE(test_an_object_is_registered_as_a_file),
        ONE(test_lists_are_paged),
        ONE(test_a_deleted_file_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
