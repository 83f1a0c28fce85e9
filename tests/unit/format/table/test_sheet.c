/* A table's rows as requests, and answers as rows, in all pairs of forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "format/row.h"
#include "format/table/sheet.h"

#define ANSWER(text)                                                                               \
    "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"secret\",\"thought\":true},{\"text\":"  \
    "\"" text "\"}]},\"finishReason\":\"STOP\"}],\"usageMetadata\":{\"totalTokenCount\":9}}"

struct opened {
    struct sheet t;
    struct sheet_head head;
    struct error e;
    int rc;
};

static void open_named(struct opened *o, const char *name, const char *bytes,
                       struct sheet_options options)
{
    *o = (struct opened){ .head = { .name = name, .bytes = str_of(bytes), .whole = true } };
    if (!options.prompt)
        options.prompt = "Label: {text}";
    o->rc = sheet_add_input(&o->t, &o->head, &o->e);
    if (o->rc == 0)
        o->rc = sheet_ask(&o->t, &options, &o->e);
}

static void assert_refused(const char *name, const char *bytes, struct sheet_options options,
                           const char *error)
{
    struct opened o;

    open_named(&o, name, bytes, options);
    assert_int_equal(o.rc, -1);
    if (!strstr(o.e.msg, error))
        fail_msg("got: %s", o.e.msg);
    sheet_release(&o.t);
}

/* Goal: the head and one row of the output. */
static void assert_output(const char *name, const char *head, const char *record,
                          struct sheet_options options, struct sheet_answer answer,
                          const char *expected)
{
    struct opened o;
    struct arena a = { 0 };
    struct buf out = BUF_INIT(10000);

    open_named(&o, name, head, options);
    if (o.rc < 0)
        fail_msg("%s", o.e.msg);
    sheet_write_head(&o.t, &out);
    (void)sheet_write_row(&o.t, &a, str_of(record), &answer, &out);
    buf_add_char(&out, '\0');
    assert_string_equal(out.p, expected);
    buf_release(&out);
    arena_release(&a);
    sheet_release(&o.t);
}

static const struct sheet_answer positive = { .response = STR_INIT(ANSWER("positive")) };

static void test_input_columns_go_out_byte_for_byte(void **state)
{
    (void)state;
    assert_output("a.csv", "\"id\",text,stars\n", "007,\"so \"\"good\"\"\",1.10",
                  (struct sheet_options){ 0 }, positive,
                  "\"id\",text,stars,answer,error,tokens\n"
                  "007,\"so \"\"good\"\"\",1.10,positive,,9\n");
}

static void test_semicolons_a_mark_and_crlf_come_back(void **state)
{
    (void)state;
    assert_output("a.csv", "\xEF\xBB\xBFid;text\r\n", "007;gut, sehr", (struct sheet_options){ 0 },
                  (struct sheet_answer){ .response = STR_INIT(ANSWER("a;b")) },
                  "\xEF\xBB\xBFid;text;answer;error;tokens\r\n007;gut, sehr;\"a;b\";;9\r\n");
}

static void test_a_failed_row_has_its_error_and_no_answer(void **state)
{
    struct buf status = BUF_INIT(1000);

    (void)state;
    row_status(ERROR_UNAVAILABLE, STR("the server, \"it\" is away"), &status);
    assert_output("a.csv", "id,text\n", "1,x", (struct sheet_options){ 0 },
                  (struct sheet_answer){ .status = buf_str(&status) },
                  "id,text,answer,error,tokens\n"
                  "1,x,,\"UNAVAILABLE: the server, \"\"it\"\" is away\",\n");
    buf_release(&status);
}

static void test_an_empty_answer_is_no_missing_answer(void **state)
{
    (void)state;
    assert_output("a.csv", "text\n", "x", (struct sheet_options){ 0 },
                  (struct sheet_answer){ .response = STR_INIT(ANSWER("")) },
                  "text,answer,error,tokens\nx,\"\",,9\n");
    assert_output("a.csv", "text\n", "x", (struct sheet_options){ 0 },
                  (struct sheet_answer){
                      .response = STR_INIT("{\"promptFeedback\":{\"blockReason\":\"SAFETY\"}}") },
                  "text,answer,error,tokens\nx,,the answer has no text (SAFETY),\n");
}

static void test_fields_of_a_schema_become_columns(void **state)
{
    static const char schema[] =
        "{\"type\":\"object\",\"properties\":{\"label\":{\"type\":\"string\"},\"parts\":{\"type\":"
        "\"array\",\"items\":{\"type\":\"string\"}},\"score\":{\"type\":[\"number\",\"null\"]}}}";
    static const struct sheet_answer answer = { .response = STR_INIT(
                                                    ANSWER("{\\\"score\\\":null,\\\"label\\\":"
                                                           "\\\"good\\\",\\\"parts\\\":[\\\"a\\\"]"
                                                           "}")) };

    (void)state;
    assert_output("a.csv", "label,text\n", "L,x", (struct sheet_options){ .schema = schema },
                  answer,
                  "label,text,label_2,parts,score,error,tokens\n"
                  "L,x,good,\"[\"\"a\"\"]\",,,9\n");
    assert_output("a.csv", "text\n", "x",
                  (struct sheet_options){ .schema = schema, .output = SHEET_JSONL }, answer,
                  "{\"text\":\"x\",\"label\":\"good\",\"parts\":[\"a\"],\"score\":null,\"error\":"
                  "null,\"tokens\":9}\n");
    assert_output("a.csv", "text\n", "x", (struct sheet_options){ .schema = schema },
                  (struct sheet_answer){ .response = STR_INIT(ANSWER("no")) },
                  "text,label,parts,score,error,tokens\nx,,,,the answer is not a JSON object "
                  "(STOP),9\n");
}

static void test_rows_to_embed_get_their_vector_as_a_list(void **state)
{
    const struct sheet_answer answer = {
        .response = STR("{\"embedding\":{\"values\":[0.6,-0.8]},\"tokenCount\":\"3\","
                        "\"usageMetadata\":{\"promptTokenCount\":3,\"totalTokenCount\":3}}")
    };
    static const char *const param[] = { "outputDimensionality=2", "taskType=CLUSTERING" };
    const struct sheet_options ask = {
        .embed = true, .prompt = "{text}", .param = param, .param_count = 2
    };
    struct sheet_options json = ask;

    (void)state;
    json.output = SHEET_JSONL;
    assert_output("a.csv", "text\n", "x", ask, answer,
                  "text,embedding,error,tokens\nx,\"[0.6,-0.8]\",,3\n");
    assert_output("a.csv", "embedding,text\n", "e,x", json, answer,
                  "{\"embedding\":\"e\",\"text\":\"x\",\"embedding_2\":[0.6,-0.8],\"error\":null,"
                  "\"tokens\":3}\n");
    assert_output("a.csv", "text\n", "x", ask,
                  (struct sheet_answer){ .status = STR("Bad"), .response = STR("") },
                  "text,embedding,error,tokens\nx,,Bad,\n");
    static const char *const wrong[] = { "temperature=0" };
    assert_refused("a.csv", "text\n",
                   (struct sheet_options){
                       .embed = true, .prompt = "{text}", .param = wrong, .param_count = 1 },
                   "temperature");
}

static void test_excel_gets_a_mark_crlf_and_no_formulas(void **state)
{
    (void)state;
    assert_output("a.csv", "text\n", "=x", (struct sheet_options){ .excel = true },
                  (struct sheet_answer){ .response = STR_INIT(ANSWER("=1+1")) },
                  "\xEF\xBB\xBFtext,answer,error,tokens\r\n=x,'=1+1,,9\r\n");
}

static void test_answers_that_look_like_formulas_are_counted_either_way(void **state)
{
    static const char *const texts[] = { "=1", "+1", "-1", "@x", "\\tx" };

    (void)state;
    for (int excel = 0; excel < 2; excel++) {
        for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
            struct opened o;
            struct arena a = { 0 };
            struct buf out = BUF_INIT(1000), response = BUF_INIT(1000);
            buf_addf(&response, "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"%s\"}]}}]}",
                     texts[i]);
            open_named(&o, "a.csv", "text\n", (struct sheet_options){ .excel = excel });
            const struct sheet_answer answer = { .response = buf_str(&response) };
            assert_int_equal(sheet_write_row(&o.t, &a, STR("x"), &answer, &out), 1);
            buf_release(&out);
            buf_release(&response);
            arena_release(&a);
            sheet_release(&o.t);
        }
    }
}

static void test_a_table_of_one_form_becomes_one_of_another(void **state)
{
    (void)state;
    assert_output("a.csv", "id,text,n\n", "007,\"\",",
                  (struct sheet_options){ .output = SHEET_JSONL }, positive,
                  "{\"id\":\"007\",\"text\":\"\",\"n\":null,\"answer\":\"positive\",\"error\":null,"
                  "\"tokens\":9}\n");
    assert_output("a.csv", "id,text\n", "1,\"a, b\"", (struct sheet_options){ .output = SHEET_TSV },
                  positive, "id\ttext\tanswer\terror\ttokens\n1\ta, b\tpositive\t\t9\n");
    assert_output("a.jsonl", "{\"id\": 1.10, \"text\":\"a\\\"b\", \"n\":null}\n",
                  "{\"id\": 1.10, \"text\":\"a\\\"b\", \"n\":null}",
                  (struct sheet_options){ .output = SHEET_CSV }, positive,
                  "id,text,n,answer,error,tokens\n1.10,\"a\"\"b\",,positive,,9\n");
    assert_output("a.jsonl", "{\"id\": 1.10, \"text\":\"x\"}\n", "{\"id\": 1.10, \"text\":\"x\"}",
                  (struct sheet_options){ 0 }, positive,
                  "{\"id\":1.10,\"text\":\"x\",\"answer\":\"positive\",\"error\":null,\"tokens\":9}"
                  "\n");
}

static void test_only_the_columns_that_are_kept_go_out(void **state)
{
    (void)state;
    assert_output("a.csv", "id,text,answer\n", "1,x,old",
                  (struct sheet_options){ .keep_columns = "answer, id" }, positive,
                  "id,answer,answer_2,error,tokens\n1,old,positive,,9\n");
    assert_output("a.csv", "id,text\n", "1,x", (struct sheet_options){ .keep_columns = "" },
                  positive, "answer,error,tokens\npositive,,9\n");
    assert_output("a.jsonl", "{\"id\":1,\"text\":\"x\"}\n", "{\"id\":1,\"text\":\"x\"}",
                  (struct sheet_options){ .keep_columns = "id" }, positive,
                  "{\"id\":1,\"answer\":\"positive\",\"error\":null,\"tokens\":9}\n");
    assert_refused("a.csv", "id,text\n", (struct sheet_options){ .keep_columns = "id,txt" },
                   "--keep-columns: there is no column \"txt\"");
}

/* Goal: a ragged or malformed row keeps its place, and the answer columns theirs. */
static void test_a_ragged_row_keeps_the_columns_in_their_places(void **state)
{
    (void)state;
    assert_output("a.csv", "id,text,n\n", "1", (struct sheet_options){ 0 }, positive,
                  "id,text,n,answer,error,tokens\n1,,,positive,,9\n");
    assert_output("a.csv", "id,text\n", "1,a,b,c", (struct sheet_options){ 0 }, positive,
                  "id,text,answer,error,tokens\n1,a,positive,,9\n");
    assert_output("a.csv", "id,text\n", "1,\"a", (struct sheet_options){ 0 }, positive,
                  "id,text,answer,error,tokens\n1,\"\"\"a\",positive,,9\n");
}

static void assert_request(const char *name, const char *head, const char *record,
                           struct sheet_options options, const char *expected)
{
    struct opened o;
    struct arena a = { 0 };
    struct str request;
    struct violations bad = { 0 };

    open_named(&o, name, head, options);
    if (o.rc < 0)
        fail_msg("%s", o.e.msg);
    assert_true(sheet_request(&o.t, &a, str_of(record), &request, &bad));
    assert_string_equal(arena_copy(&a, request.p, request.len), expected);
    arena_release(&a);
    sheet_release(&o.t);
}

static void test_a_row_becomes_a_request(void **state)
{
    static const char *const params[] = { "temperature=0", "maxOutputTokens=8" };

    (void)state;
    assert_request("a.csv", "id,text\n", "1,\"so \"\"good\"\"\"", (struct sheet_options){ 0 },
                   "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"Label: so "
                   "\\\"good\\\"\"}]}]}");
    assert_request(
        "a.jsonl", "{\"text\":\"x\"}\n", "{\"text\":\"\\u00e9\"}",
        (struct sheet_options){
            .system = "Be short.", .enum_values = "good, bad", .param = params, .param_count = 2 },
        "{\"systemInstruction\":{\"parts\":[{\"text\":\"Be short.\"}]},"
        "\"generationConfig\":{\"temperature\":0,\"maxOutputTokens\":8,"
        "\"responseMimeType\":\"text/x.enum\",\"responseSchema\":{\"type\":\"STRING\","
        "\"enum\":[\"good\",\"bad\"]}},\"contents\":[{\"role\":\"user\",\"parts\":[{"
        "\"text\":\"Label: é\"}]}]}");
}

static void assert_bad(const char *name, const char *head, const char *record, const char *path,
                       const char *message, size_t offset)
{
    struct opened o;
    struct arena a = { 0 };
    struct str request;
    struct violations bad = { 0 };

    open_named(&o, name, head, (struct sheet_options){ .output = SHEET_CSV });
    if (o.rc < 0)
        fail_msg("%s", o.e.msg);
    assert_false(sheet_request(&o.t, &a, str_of(record), &request, &bad));
    assert_int_equal(bad.count, 1);
    assert_string_equal(bad.item[0].path, path);
    if (!strstr(bad.item[0].message, message))
        fail_msg("got: %s", bad.item[0].message);
    assert_int_equal(bad.item[0].offset, offset);
    arena_release(&a);
    sheet_release(&o.t);
}

static void test_a_bad_row_is_named_by_its_column(void **state)
{
    (void)state;
    assert_bad("a.csv", "id,text\n", "1", "", "The row has 1 cell, the header 2.", 0);
    assert_bad("a.csv", "id,text\n", "1,a,b", "", "The row has 3 cells, the header 2.", 0);
    assert_bad("a.csv", "id,text\n", "1,\"a\"b", "column \"text\"", "behind its closing quote", 2);
    assert_bad("a.csv", "id,text\n", "1,\"a", "column \"text\"", "not closed", 2);
    assert_bad("a.csv", "id,text\n", "1,caf\xE9", "column \"text\"", "Byte 0xE9 is not UTF-8", 2);
    assert_bad("a.jsonl", "{\"text\":\"x\"}\n", "{\"text\":", "", "not a JSON object", 8);
    assert_bad("a.jsonl", "{\"text\":\"x\"}\n", "[1]", "", "not a JSON object", 0);
    assert_bad("a.jsonl", "{\"text\":\"x\"}\n", "{\"text\":\"x\",\"new\":1}", "column \"new\"",
               "No row in the first 256 KiB", 0);
}

static void test_mistakes_are_found_before_the_first_row(void **state)
{
    static const char *const hot[] = { "temperature=9" };
    static const char *const unknown[] = { "temperatures=0" };
    static const char *const nothing[] = { "temperature" };
    const struct sheet_options none = { 0 };
    char deep[1001]; /* arrays in arrays */

    for (size_t i = 0; i < 1000; i++)
        deep[i] = i < 500 ? '[' : ']';
    deep[1000] = '\0';

    (void)state;
    assert_refused("a.csv", "id,txt\n", none, "did you mean \"txt\"?");
    assert_refused("a.csv", "", none, "a.csv is empty");
    assert_refused("a.csv", "id,caf\xE9\n", none,
                   "a.csv:1: byte 0xE9 is not UTF-8; the file looks");
    assert_refused("a.csv", "id,text\n1,caf\xE9\n", none, "a.csv:2: byte 0xE9");
    assert_refused("a.csv", "\xFF\xFEi", none, "is UTF-16");
    assert_refused("a.csv", "PK\x03\x04", none, "save it as \"CSV UTF-8\"");
    assert_refused("a.csv", "id,text\r1,x\r", none, "carriage return");
    assert_refused("a.jsonl", "[1]\n", none, "no row is found");
    assert_refused("a.csv", "text\n", (struct sheet_options){ .param = hot, .param_count = 1 },
                   "temperature");
    assert_refused("a.csv", "text\n", (struct sheet_options){ .param = unknown, .param_count = 1 },
                   "temperature");
    assert_refused("a.csv", "text\n", (struct sheet_options){ .param = nothing, .param_count = 1 },
                   "NAME=VALUE");
    assert_refused("a.csv", "text\n", (struct sheet_options){ .enum_values = "a,,b" },
                   "empty value");
    assert_refused("a.csv", "text\n", (struct sheet_options){ .schema = "{\"type\":\"string\"}" },
                   "an object with properties");
    assert_refused("a.csv", "text\n", (struct sheet_options){ .schema = deep }, "--schema: ");
    assert_refused("a.csv", "text\n", (struct sheet_options){ .schema = "{" }, "--schema, byte");
    assert_refused("a.csv", "text\n", (struct sheet_options){ .schema = "{}", .enum_values = "a" },
                   "exclude");
    assert_refused("a.csv", "text\n", (struct sheet_options){ .where = "txt = 1" },
                   "--where: there is no column");
}

static void test_the_first_row_follows_the_header(void **state)
{
    static const struct {
        const char *bytes;
        uint64_t begin, line_no;
    } cases[] = {
        { "text\nx\n", 5, 2 },
        { "\xEF\xBB\xBFtext\r\nx\n", 9, 2 },
        { "sep=;\r\na;text\nx\n", 14, 3 },
        { "\n\r\ntext\nx", 8, 4 },
        { "\"a\nb\",text\nx", 11, 3 },
        { "text", 4, 2 },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct opened o;
        open_named(&o, "a.csv", cases[i].bytes, (struct sheet_options){ 0 });
        if (o.rc < 0)
            fail_msg("%zu: %s", i, o.e.msg);
        assert_int_equal(o.head.begin, cases[i].begin);
        assert_int_equal(o.head.line_no, cases[i].line_no);
        sheet_release(&o.t);
    }
}

static void test_inputs_of_one_run_are_alike(void **state)
{
    static const struct {
        const char *name, *bytes, *error;
    } cases[] = {
        { "b.csv", "id,text\n", NULL },
        { "b.csv", "text,id\n", "column 1 is \"id\" in a.csv and \"text\" in b.csv" },
        { "b.csv", "id,text,n\n", "a.csv has 2 columns and b.csv 3" },
        { "b.csv", "id;text\n", "cells between semicolons" },
        { "b.jsonl", "{\"id\":1}\n", "JSON rows" },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct sheet_head head[] = {
            { .name = "a.csv", .bytes = STR("id,text\n"), .whole = true },
            { .name = cases[i].name, .bytes = str_of(cases[i].bytes), .whole = true },
        };
        struct sheet t = { 0 };
        struct error e = { 0 };
        assert_int_equal(sheet_add_input(&t, &head[0], &e), 0);
        int rc = sheet_add_input(&t, &head[1], &e);
        assert_int_equal(rc, cases[i].error ? -1 : 0);
        if (cases[i].error && !strstr(e.msg, cases[i].error))
            fail_msg("got: %s", e.msg);
        sheet_release(&t);
    }
}

static void test_a_form_is_known_by_its_ending_or_refused_with_the_remedy(void **state)
{
    static const struct {
        const char *path;
        enum sheet_form form;
        const char *error;
    } cases[] = {
        { "a.csv", SHEET_CSV, NULL },
        { "a.CSV.gz", SHEET_CSV, NULL },
        { "a.tsv", SHEET_TSV, NULL },
        { "a.jsonl", SHEET_JSONL, NULL },
        { "-", SHEET_UNKNOWN, NULL },
        { "a.parquet", SHEET_UNKNOWN, "tranche table copy" },
        { "a.duckdb#t", SHEET_UNKNOWN, "duckdb" },
        { "bq://p.d.t", SHEET_JSONL, NULL },
        { "a.xlsx", SHEET_UNKNOWN, "CSV UTF-8" },
        { "a.csv.zst", SHEET_CSV, NULL },
    };

    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        enum sheet_form form = SHEET_CSV;
        struct error e = { 0 };
        int rc = sheet_form_of(cases[i].path, &form, &e);
        assert_int_equal(rc, cases[i].error ? -1 : 0);
        assert_int_equal(form, cases[i].form);
        if (cases[i].error)
            assert_non_null(strstr(e.msg, cases[i].error));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_input_columns_go_out_byte_for_byte),
        cmocka_unit_test(test_semicolons_a_mark_and_crlf_come_back),
        cmocka_unit_test(test_a_failed_row_has_its_error_and_no_answer),
        cmocka_unit_test(test_an_empty_answer_is_no_missing_answer),
        cmocka_unit_test(test_fields_of_a_schema_become_columns),
        cmocka_unit_test(test_rows_to_embed_get_their_vector_as_a_list),
        cmocka_unit_test(test_excel_gets_a_mark_crlf_and_no_formulas),
        cmocka_unit_test(test_answers_that_look_like_formulas_are_counted_either_way),
        cmocka_unit_test(test_a_table_of_one_form_becomes_one_of_another),
        cmocka_unit_test(test_only_the_columns_that_are_kept_go_out),
        cmocka_unit_test(test_a_ragged_row_keeps_the_columns_in_their_places),
        cmocka_unit_test(test_a_row_becomes_a_request),
        cmocka_unit_test(test_a_bad_row_is_named_by_its_column),
        cmocka_unit_test(test_mistakes_are_found_before_the_first_row),
        cmocka_unit_test(test_the_first_row_follows_the_header),
        cmocka_unit_test(test_inputs_of_one_run_are_alike),
        cmocka_unit_test(test_a_form_is_known_by_its_ending_or_refused_with_the_remedy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
