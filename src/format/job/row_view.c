#include "format/job/row_view.h"

#include <string.h>

#include "format/bigquery/civil.h"
#include "format/row.h"

#define VIEW_TEXT_BYTES_MAX ((size_t)64 * 1024 * 1024)

static const char *const names[ROW_ENDS] = { "answered", "failed", "notRun" };

const char *row_end_name(enum row_end end)
{
    return names[end];
}

bool row_end_of(struct str name, enum row_end *out)
{
    for (unsigned i = 0; i < ROW_ENDS; i++) {
        if (str_eq_c(name, names[i])) {
            *out = (enum row_end)i;
            return true;
        }
    }
    return false;
}

static void add_part(struct arena *a, yyjson_val *part, struct buf *out)
{
    yyjson_val *text = json_get(part, "text"), *call = json_get(part, "functionCall");
    yyjson_val *data = json_get(part, "inlineData");

    yyjson_val *result = json_get(part, "functionResponse");

    if (!data)
        data = json_get(part, "inline_data");
    if (!data)
        data = json_get(part, "fileData");
    if (yyjson_get_bool(json_get(part, "thought")))
        return;
    if (text) {
        buf_add_str(out, json_str(text));
    } else if (call) {
        struct str args = json_text(a, json_get(call, "args"));
        buf_addf(out, "%.*s(", STR_ARG(json_str(json_get(call, "name"))));
        buf_add_str(out, args);
        buf_add_char(out, ')');
    } else if (result) {
        buf_addf(out, "[result of %.*s]", STR_ARG(json_str(json_get(result, "name"))));
    } else if (data) {
        buf_addf(out, "[%.*s]", STR_ARG(json_str(json_get(data, "mimeType"))));
    }
}

/* All parts of a content, in the arena. */
static struct str content_text(struct arena *a, yyjson_val *content)
{
    struct buf out = BUF_INIT(VIEW_TEXT_BYTES_MAX);
    yyjson_val *part;
    size_t i, count;

    yyjson_arr_foreach(json_get(content, "parts"), i, count, part) add_part(a, part, &out);
    struct str text = { arena_copy(a, out.p ? out.p : "", out.len), out.len };
    buf_release(&out);
    return text;
}

static struct str answer_of(struct arena *a, yyjson_val *response)
{
    yyjson_val *first = yyjson_arr_get_first(json_get(response, "candidates"));
    size_t numbers = yyjson_arr_size(json_get(json_get(response, "embedding"), "values"));
    yyjson_val *block = json_get(json_get(response, "promptFeedback"), "blockReason");

    if (first)
        return content_text(a, json_get(first, "content"));
    if (numbers)
        return str_of(arena_textf(a, "[%zu numbers]", numbers));
    return block ? str_of(arena_textf(a, "[blocked: %.*s]", STR_ARG(json_str(block))))
                 : (struct str){ 0 };
}

static struct str request_of(struct arena *a, yyjson_val *request)
{
    yyjson_val *contents = json_get(request, "contents");

    if (yyjson_is_str(request))
        return json_str(request);
    if (yyjson_is_arr(contents))
        return content_text(a, yyjson_arr_get_last(contents));
    return content_text(a, contents ? contents : json_get(request, "content"));
}

static struct str error_of(struct arena *a, yyjson_val *root)
{
    yyjson_val *error = json_get(root, "error"), *name = json_get(error, "status");
    struct str message = json_str(json_get(error, "message"));

    if (!error)
        return row_status_text(a, json_str(json_get(root, "status")));
    if (name)
        return str_of(arena_textf(a, "%.*s: %.*s", STR_ARG(json_str(name)), STR_ARG(message)));
    return str_of(
        arena_textf(a, "%d: %.*s", (int)yyjson_get_int(json_get(error, "code")), STR_ARG(message)));
}

static uint64_t count_of(yyjson_val *usage, const char *name)
{
    uint64_t n = 0;

    return json_count(json_get(usage, name), &n) ? n : 0;
}

void row_view_read(struct arena *a, struct str row, struct row_view *out)
{
    struct error ignored = { 0 };
    size_t at = 0;
    yyjson_val *root = json_parse(a, row, &at, &ignored);
    yyjson_val *response = json_get(root, "response"), *usage = json_get(response, "usageMetadata");

    *out = (struct row_view){ .key = json_str(json_get(root, "key")), .end = ROW_FAILED };
    out->has_request = json_get(root, "request") != NULL;
    out->request = request_of(a, json_get(root, "request"));
    struct str time = json_str(json_get(root, "processed_time"));
    if (time.len == 0)
        time = json_str(json_get(response, "createTime"));
    if (!civil_read_timestamp(time, &out->time_us) || out->time_us < 0)
        out->time_us = 0;
    out->prompt_tokens = count_of(usage, "promptTokenCount");
    out->output_tokens = count_of(usage, "candidatesTokenCount");
    if (root && !json_get(root, "error") && json_str(json_get(root, "status")).len == 0) {
        out->end = ROW_ANSWERED;
        out->answer = answer_of(a, response);
        return;
    }
    out->answer = error_of(a, root);
    if (str_ends(out->answer, STR("before this line was run.")))
        out->end = ROW_NOT_RUN;
}

bool row_view_is_label(const struct row_view *v)
{
    return v->end == ROW_ANSWERED && v->answer.len > 0 && v->answer.len <= ROW_LABEL_BYTES_MAX &&
           !memchr(v->answer.p, '\n', v->answer.len);
}

struct str row_view_cause(struct arena *a, const struct row_view *v)
{
    struct str text = v->answer;
    char *out = arena_alloc_raw(a, text.len + 1);
    size_t len = 0;
    char quote = '\0';

    for (size_t i = 0; i < text.len; i++) {
        char c = text.p[i];
        bool digit = c >= '0' && c <= '9';
        if (quote) {
            quote = c == quote ? '\0' : quote;
            if (quote)
                continue;
        } else if (c == '"') {
            quote = c;
        }
        if (!digit || len == 0 || out[len - 1] != '#')
            out[len++] = digit ? '#' : c;
    }
    out[len] = '\0';
    return (struct str){ out, len };
}
