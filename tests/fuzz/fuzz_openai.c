/* Goal: no body of a server crashes the reader; what it takes for an answer is JSON with counts that
 * fit, and what it does not has a message. Whatever line is accepted becomes a body that is JSON.
 * Method: the first byte chooses what was asked, or that the rest is a line. */
#include <assert.h>
#include <string.h>

#include "format/openai/openai.h"
#include "base/mem.h"
#include "format/response.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define OUT_BYTES_MAX ((size_t)16 * 1024 * 1024)

static const struct file_content known = { STR_INIT("gs://b/o"), STR_INIT("QUJD") };
static const struct file_contents files = { &known, 1 };

/* What is asked, so that each way of reading is taken. */
static const char *const asked[] = {
    "{\"contents\":{\"parts\":{\"text\":\"x\"}}}",
    "{\"contents\":{\"parts\":{\"text\":\"x\"}},\"generationConfig\":{\"candidateCount\":2,"
    "\"responseLogprobs\":true,\"logprobs\":2,\"thinkingConfig\":{\"includeThoughts\":true}}}",
    "{\"contents\":{\"parts\":{\"text\":\"x\"}},\"generationConfig\":{\"responseMimeType\":"
    "\"text/x.enum\",\"responseSchema\":{\"enum\":[\"A\",\"B\"]}}}",
    "{\"content\":{\"parts\":{\"text\":\"x\"}}}",
};

static void check_json(struct arena *a, struct str text)
{
    struct error e = { 0 };
    size_t at;
    yyjson_val *root = json_parse(a, text, &at, &e);

    assert(root);
    assert(!memchr(text.p, '\n', text.len)); /* it stands on a line */
}

static void check_error(const struct error *e)
{
    assert(e->code != ERROR_OK && e->msg[0]);
    assert(str_utf8_valid(str_of(e->msg)) == strlen(e->msg));
}

static const struct request *request_of(struct arena *a, struct str line, struct violations *bad)
{
    const struct line_rules rules = { 0 };
    struct input_line in;

    return request_read_line(a, line, &rules, &in, bad) ? in.request : NULL;
}

static void check_response(struct arena *a, const struct request *r, struct str body)
{
    const struct reply_rules rules = {
        .request = r, .model = "m", .at = "here", .response_id = "id"
    };
    struct buf out = BUF_INIT(OUT_BYTES_MAX);
    struct usage u = { 0 };
    struct error e = { 0 };

    if (openai_response_read(a, body, &rules, &out, &u, &e) < 0) {
        check_error(&e);
        assert(out.len == 0);
    } else {
        check_json(a, buf_str(&out));
        assert(u.prompt_tokens <= INT32_MAX && u.cached_tokens <= u.prompt_tokens);
        assert((uint64_t)u.candidate_tokens + u.thought_tokens <= INT32_MAX);
    }
    buf_release(&out);
}

static void check_request(struct arena *a, const struct request *r)
{
    struct buf out = BUF_INIT(OUT_BYTES_MAX);
    struct violation why;
    struct error e = { 0 };

    if (!openai_accepts(r, &why)) {
        assert(why.path[0] && why.message[0] && why.remedy[0]);
        assert(str_utf8_valid(str_of(why.message)) == strlen(why.message));
    } else if (openai_request_write(r, "m", false, &files, &out, &e) < 0) {
        assert(e.code == ERROR_NOT_FOUND);
    } else {
        check_json(a, buf_str(&out));
    }
    buf_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct violations bad; /* large; one thread runs this */
    struct str text = str_sub((struct str){ (const char *)data, size }, 1, size);
    struct arena a = { 0 };
    size_t which = size ? (size_t)(data[0] - '0') : 0;
    bool answer = size && data[0] >= '0' && which < ARRAY_LEN(asked);
    const struct request *r = request_of(&a, answer ? str_of(asked[which]) : text, &bad);

    if (r && answer)
        check_response(&a, r, text);
    else if (r)
        check_request(&a, r);
    arena_release(&a);
    return 0;
}
