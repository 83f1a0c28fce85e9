#include "format/google/remote_row.h"

#include <stdio.h>

#include "base/json.h"
#include "base/json_write.h"
#include "format/google/google.h"

#define KEY_BYTES 24

/* ---- Failures ---- */

/* A code is google.rpc's or an HTTP status. */
static enum error_code code_of(int64_t number)
{
    for (int code = 1; code < ERROR_CODE_COUNT; code++)
        if (number == error_rpc((enum error_code)code) ||
            number == error_http((enum error_code)code))
            return (enum error_code)code;
    if (number >= 400 && number < 500)
        return ERROR_FAILED_PRECONDITION;
    return number >= 500 ? ERROR_INTERNAL : ERROR_UNKNOWN;
}

static void set_words(struct error *out, enum error_code code, struct str words)
{
    (void)error_set(out, code, "%.*s", STR_ARG(words));
}

static void read_failure(yyjson_val *error, struct error *out)
{
    yyjson_val *number = json_get(error, "code");
    const char *name = yyjson_get_str(json_get(error, "status"));
    struct str message = json_str(json_get(error, "message"));
    enum error_code code;

    if (!name || !error_from_name(name, &code) || code == ERROR_OK)
        code = code_of(yyjson_is_int(number) ? yyjson_get_sint(number) : 0);
    set_words(out, code, message.len ? message : str_of(error_phrase(code)));
}

/* The JSON in it says more than the words around it; without any, these are the cause. */
static void read_status(struct arena *a, struct str status, struct error *out)
{
    struct error ignored;
    size_t at, brace = str_find(status, STR("{"));
    struct str json = brace == SIZE_MAX ? (struct str){ 0 } : str_sub(status, brace, status.len);
    yyjson_val *root = json.len ? json_parse(a, str_trim(json), &at, &ignored) : NULL;
    yyjson_val *error = json_get(root, "error");

    if (!yyjson_is_obj(error))
        error = root;
    if (json_str(json_get(error, "message")).len)
        read_failure(error, out);
    else
        set_words(out, ERROR_UNKNOWN, status);
}

/* ---- Rows ---- */

static struct str key_of(struct arena *a, yyjson_val *v)
{
    char text[KEY_BYTES];

    if (!yyjson_is_uint(v))
        return json_str(v);
    int n = snprintf(text, sizeof text, "%llu", (unsigned long long)yyjson_get_uint(v));
    return (struct str){ arena_copy(a, text, (size_t)n), (size_t)n };
}

/* A blocked prompt is answered too: it has a response without candidates. */
static void read_response(yyjson_val *root, struct str line, struct remote_row *out)
{
    yyjson_val *response = json_get(root, "response");

    if (yyjson_obj_size(response) == 0) {
        (void)error_set(&out->error, ERROR_INTERNAL,
                        "the batch service gave neither an answer nor an error for this line");
        return;
    }
    out->response = json_member_value(line, STR("response"));
    if (out->response.len > RESPONSE_BYTES_MAX)
        (void)error_set(&out->error, ERROR_RESOURCE_EXHAUSTED, "the answer is over %zu bytes",
                        RESPONSE_BYTES_MAX);
    google_usage_read(response, &out->usage);
}

bool remote_row_read(struct arena *a, struct str line, struct remote_row *out)
{
    struct error ignored;
    size_t at;

    *out = (struct remote_row){ 0 };
    yyjson_val *root = json_parse(a, line, &at, &ignored);
    out->key = key_of(a, json_get(root, "key"));
    if (out->key.len == 0)
        return false;
    struct str status = json_str(json_get(root, "status"));
    yyjson_val *error = json_get(root, "error");
    if (status.len)
        read_status(a, status, &out->error);
    else if (yyjson_obj_size(error))
        read_failure(error, &out->error);
    else
        read_response(root, line, out);
    return true;
}

void remote_row_write(struct str key, struct str request, struct buf *out)
{
    struct json_writer w = JSON_WRITER(out);

    json_object(&w, NULL);
    json_add_text(&w, "key", key);
    json_add_raw(&w, "request", request);
    json_end(&w);
    buf_add_char(out, '\n');
}

struct str remote_row_key(struct str line)
{
    struct json_member m = { 0 };

    if (!json_member_next(line, &m) || !str_eq_c(m.key, "key") || m.value.len < 2 ||
        m.value.p[0] != '"' || m.value.p[m.value.len - 1] != '"')
        return (struct str){ 0 };
    return str_sub(m.value, 1, m.value.len - 2);
}
