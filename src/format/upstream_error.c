#include "format/upstream_error.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "format/retry_after.h"

/* Bytes read of a body that is not JSON. */
#define QUOTED_BYTES_MAX 4096
#define MESSAGE_BYTES_MAX 400 /* leaves room for the name and the status */
#define NAME_BYTES_MAX 32

// clang-format off
static const struct {
    int status;
    enum error_code code;
    const char *phrase;
} statuses[] = {
    { 400, ERROR_INVALID_ARGUMENT,   "Bad Request"            },
    { 401, ERROR_UNAUTHENTICATED,    "Unauthorized"           },
    { 402, ERROR_FAILED_PRECONDITION, "Payment Required"      },
    { 403, ERROR_PERMISSION_DENIED,  "Forbidden"              },
    { 404, ERROR_NOT_FOUND,          "Not Found"              },
    { 405, ERROR_UNIMPLEMENTED,      "Method Not Allowed"     },
    { 408, ERROR_DEADLINE_EXCEEDED,  "Request Timeout"        },
    { 409, ERROR_ABORTED,            "Conflict"               },
    { 413, ERROR_INVALID_ARGUMENT,   "Content Too Large"      },
    { 415, ERROR_INVALID_ARGUMENT,   "Unsupported Media Type" },
    { 422, ERROR_INVALID_ARGUMENT,   "Unprocessable Content"  },
    { 424, ERROR_UNAVAILABLE,        "Failed Dependency"      },
    { 425, ERROR_UNAVAILABLE,        "Too Early"              },
    { 429, ERROR_RESOURCE_EXHAUSTED, "Too Many Requests"      },
    { 499, ERROR_UNAVAILABLE,        "Client Closed Request"  },
    { 500, ERROR_INTERNAL,           "Internal Server Error"  },
    { 501, ERROR_UNIMPLEMENTED,      "Not Implemented"        },
    { 502, ERROR_UNAVAILABLE,        "Bad Gateway"            },
    { 503, ERROR_UNAVAILABLE,        "Service Unavailable"    },
    { 504, ERROR_DEADLINE_EXCEEDED,  "Gateway Timeout"        },
    { 529, ERROR_UNAVAILABLE,        "Overloaded"             },
};

/* Words that servers write as type, or as code. */
static const struct {
    const char *type;
    enum error_code code;
} types[] = {
    { "invalid_request_error",     ERROR_INVALID_ARGUMENT   },
    { "BadRequestError",           ERROR_INVALID_ARGUMENT   },
    { "exceed_context_size_error", ERROR_INVALID_ARGUMENT   },
    { "context_length_exceeded",   ERROR_INVALID_ARGUMENT   },
    { "content_filter",            ERROR_INVALID_ARGUMENT   },
    { "authentication_error",      ERROR_UNAUTHENTICATED    },
    { "invalid_api_key",           ERROR_UNAUTHENTICATED    },
    { "permission_error",          ERROR_PERMISSION_DENIED  },
    { "not_found_error",           ERROR_NOT_FOUND          },
    { "NotFoundError",             ERROR_NOT_FOUND          },
    { "model_not_found",           ERROR_NOT_FOUND          },
    { "not_supported_error",       ERROR_UNIMPLEMENTED      },
    { "rate_limit_error",          ERROR_RESOURCE_EXHAUSTED },
    { "rate_limit_exceeded",       ERROR_RESOURCE_EXHAUSTED },
    { "unavailable_error",         ERROR_UNAVAILABLE        },
    { "overloaded_error",          ERROR_UNAVAILABLE        },
};
// clang-format on

/* The findings in a body. */
struct finding {
    bool is_error; /* it is one of the known forms */
    bool has_code; /* of its own, which counts more than the status */
    bool has_type; /* type is what its type or code means, as a word */
    enum error_code code, type;
    int http; /* a status in the body; 0: none */
    char message[MESSAGE_BYTES_MAX + 1];
    uint32_t retry_ms;
    bool quota; /* details name a quota, or when it is whole again */
};

static const char *phrase_of(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i].status == status)
            return statuses[i].phrase;
    return status >= 300 && status < 400 ? "Redirect" : "";
}

/* An unknown status means what its class does: a redirect is not followed with a request's body. */
static enum error_code code_of(int status)
{
    for (size_t i = 0; i < ARRAY_LEN(statuses); i++)
        if (statuses[i].status == status)
            return statuses[i].code;
    if (status >= 520 && status < 540)
        return ERROR_UNAVAILABLE; /* proxies' own: no server behind them */
    return status >= 300 && status < 500 ? ERROR_FAILED_PRECONDITION : ERROR_INTERNAL;
}

static bool looks_like_json(struct str body)
{
    size_t at = json_space(body, 0);

    return body.len <= UPSTREAM_ERROR_BYTES_MAX && at < body.len &&
           (body.p[at] == '{' || body.p[at] == '[');
}

/* ---- The message ---- */

/* One line of printable text: a run of white space is one space. */
static void message_set(struct finding *f, struct str text)
{
    struct buf line = BUF_INIT((size_t)MESSAGE_BYTES_MAX * 2);
    size_t at = 0;

    text = str_trim(str_cut(text, QUOTED_BYTES_MAX));
    while (at < text.len && line.len < MESSAGE_BYTES_MAX) {
        size_t from = at;
        while (at < text.len && !strchr(" \t\r\n", text.p[at]))
            at++; /* a NUL counts as white space here */
        struct str word = str_sub(text, from, at - from);
        if (word.len > MESSAGE_BYTES_MAX)
            word = str_cut(word, MESSAGE_BYTES_MAX);
        if (word.len && line.len)
            buf_add_char(&line, ' ');
        buf_add_plain(&line, word, false);
        at++;
    }
    struct str cut = str_cut(buf_str(&line), MESSAGE_BYTES_MAX);
    cut.len = str_utf8_valid(cut);
    if (cut.len)
        memcpy(f->message, cut.p, cut.len);
    f->message[cut.len] = '\0';
    buf_release(&line);
}

static size_t find_no_case(struct str s, const char *lower)
{
    size_t len = strlen(lower);

    for (size_t at = 0; at + len <= s.len; at++) {
        size_t i = 0;
        while (i < len && (s.p[at + i] | 0x20) == (lower[i] | 0x20))
            i++;
        if (i == len)
            return at;
    }
    return SIZE_MAX;
}

/* Proxies answer with a page, whose title says it all. */
static void text_find(struct str body, struct finding *f)
{
    struct str text = str_trim(str_cut(body, QUOTED_BYTES_MAX));

    if (text.len && text.p[0] == '<') {
        size_t from = find_no_case(text, "<title>"), to = find_no_case(text, "</title>");
        text =
            from < to && to < SIZE_MAX ? str_sub(text, from + 7, to - from - 7) : (struct str){ 0 };
    }
    message_set(f, text);
}

/* ---- The forms ---- */

static void type_find(yyjson_val *word, struct finding *f)
{
    for (size_t i = 0; yyjson_is_str(word) && i < ARRAY_LEN(types); i++) {
        if (!f->has_type && str_eq_c(json_str(word), types[i].type)) {
            f->type = types[i].code;
            f->has_type = true;
        }
    }
}

/* Google's name of the code. */
static bool name_find(yyjson_val *status, struct finding *f)
{
    char name[NAME_BYTES_MAX];
    struct str s = json_str(status);
    enum error_code code;

    if (!s.len || s.len >= sizeof name)
        return false;
    memcpy(name, s.p, s.len);
    name[s.len] = '\0';
    if (!error_from_name(name, &code) || code == ERROR_OK)
        return false;
    f->code = code;
    return true;
}

static void details_find(yyjson_val *details, struct finding *f)
{
    yyjson_arr_iter it = yyjson_arr_iter_with(details);
    yyjson_val *detail;

    while ((detail = yyjson_arr_iter_next(&it))) {
        uint32_t ms;
        if (retry_delay_read(json_str(json_get(detail, "retryDelay")), &ms)) {
            f->retry_ms = ms > f->retry_ms ? ms : f->retry_ms;
            f->quota = true;
        }
        f->quota = f->quota || str_ends(json_str(json_get(detail, "@type")), STR(".QuotaFailure"));
        if (str_eq_c(json_str(json_get(detail, "reason")), "API_KEY_INVALID")) {
            f->code = ERROR_UNAUTHENTICATED;
            f->has_code = true;
        }
    }
}

/* {"message", "code", "type", "status", "details"}: OpenAI's members and Google's. */
static void object_find(yyjson_val *error, struct finding *f)
{
    yyjson_val *code = json_get(error, "code"), *type = json_get(error, "type");
    bool spent = str_eq_c(json_str(code), "insufficient_quota") ||
                 str_eq_c(json_str(type), "insufficient_quota");

    message_set(f, json_str(json_get(error, "message")));
    f->has_code = name_find(json_get(error, "status"), f);
    if (yyjson_is_uint(code) && yyjson_get_uint(code) >= 300 && yyjson_get_uint(code) < 600)
        f->http = (int)yyjson_get_uint(code);
    if (spent) {
        f->code = ERROR_FAILED_PRECONDITION;
        f->has_code = true;
    }
    type_find(code, f);
    type_find(type, f);
    details_find(json_get(error, "details"), f);
}

/* [{"loc": ["body", "messages"], "msg": "Field required"}, ...]: the first of them. */
static void detail_list_find(yyjson_val *list, struct finding *f)
{
    yyjson_val *first = yyjson_arr_get_first(list), *step;
    yyjson_arr_iter it = yyjson_arr_iter_with(json_get(first, "loc"));
    struct buf text = BUF_INIT(QUOTED_BYTES_MAX);

    while ((step = yyjson_arr_iter_next(&it))) {
        buf_add_c(&text, text.len ? "." : "");
        buf_add_str(&text, json_str(step));
        if (yyjson_is_uint(step))
            buf_addf(&text, "%u", (unsigned)yyjson_get_uint(step));
    }
    buf_add_c(&text, text.len ? ": " : "");
    buf_add_str(&text, json_str(json_get(first, "msg")));
    message_set(f, buf_str(&text));
    buf_release(&text);
}

/* Which member of the body the error is. */
static void body_find(yyjson_val *root, struct finding *f)
{
    yyjson_val *body = yyjson_is_arr(root) ? yyjson_arr_get_first(root) : root;
    yyjson_val *error = json_get(body, "error"), *detail = json_get(body, "detail");
    bool named = str_eq_c(json_str(json_get(body, "object")), "error");

    f->is_error =
        yyjson_is_obj(error) || json_str(error).len || named || (detail && !yyjson_is_null(detail));
    if (yyjson_is_obj(error))
        object_find(error, f);
    else if (yyjson_is_str(error))
        message_set(f, json_str(error));
    else if (yyjson_is_arr(detail))
        detail_list_find(detail, f);
    else if (yyjson_is_str(detail))
        message_set(f, json_str(detail));
    else
        object_find(body, f);
}

/* ---- The whole ---- */

void upstream_error_read(struct arena *a, const struct upstream_refusal *r, struct error *e,
                         struct upstream_pause *pause)
{
    struct finding f = { .code = code_of(r->status) };
    struct error ignored = { 0 };
    const char *phrase = phrase_of(r->status);
    uint32_t header_ms = 0;
    size_t at;

    yyjson_val *root = looks_like_json(r->body) ? json_parse(a, r->body, &at, &ignored) : NULL;
    if (root)
        body_find(root, &f);
    if (!f.message[0])
        text_find(r->body, &f);
    if (!retry_after_read(r->retry_after, r->now_us, &header_ms))
        header_ms = 0;
    pause->ms = header_ms > f.retry_ms ? header_ms : f.retry_ms;
    pause->account = f.code == ERROR_RESOURCE_EXHAUSTED && f.quota;
    struct str said = str_of(f.message), again = str_of(phrase);
    if (again.len && str_ends(said, again) && said.len <= again.len + 4)
        said.len = 0; /* a page's "502 Bad Gateway" */
    (void)error_set(e, f.code, "%s: %d%s%s%s%.*s", r->upstream, r->status, phrase[0] ? " " : "",
                    phrase, said.len ? ": " : "", STR_ARG(said));
}

bool upstream_error_in(yyjson_val *body, struct error *e)
{
    struct finding f = { .code = ERROR_INTERNAL };

    body_find(body, &f);
    if (!f.is_error)
        return false;
    if (!f.has_code && f.http)
        f.code = code_of(f.http);
    else if (!f.has_code && f.has_type)
        f.code = f.type;
    (void)error_set(e, f.code, "%s", f.message[0] ? f.message : "an error without a message");
    return true;
}
