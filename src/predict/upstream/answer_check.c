#include "predict/upstream/answer_check.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "format/request/fields.h"
#include "format/tools/call_parse.h"
#include "format/tools/functions.h"

#define QUOTED_BYTES 60 /* of an answer, in the message of its error */

static bool has_form(const struct request *r)
{
    return r->kind == REQUEST_GENERATE && r->generation.form != ANSWER_TEXT;
}

bool answer_check_wanted(const struct request *r)
{
    return has_form(r) || (r->tools && function_choice_of(r).declared);
}

/* The schema of a request's answer; to be released. */
static const struct known_schema *take(struct schemas *c, const struct generation *g)
{
    return schemas_take(c, g->json_schema ? g->json_schema : g->schema,
                        g->json_schema ? SCHEMA_JSON : SCHEMA_GOOGLE);
}

bool answer_checks_can(struct schemas *c, const struct request *r, struct violation *why)
{
    const struct generation *g = &r->generation;

    if (!has_form(r) || g->form != ANSWER_JSON || (!g->schema && !g->json_schema))
        return true;
    const struct known_schema *k = take(c, g);
    bool can = k->schema != NULL;
    if (!can) {
        *why = (struct violation){ 0 };
        (void)snprintf(why->path, sizeof why->path, "generationConfig.%s%s%.155s",
                       g->json_schema ? "responseJsonSchema" : "responseSchema",
                       k->fault.path[0] && k->fault.path[0] != '[' ? "." : "", k->fault.path);
        (void)snprintf(why->message, sizeof why->message, "%s", k->fault.message);
        (void)snprintf(why->remedy, sizeof why->remedy, "%s", k->fault.remedy);
    }
    schemas_release(c, k);
    return can;
}

/* ---- One text ---- */

/* The check of one answer. */
struct inspection {
    struct schemas *all;
    const struct request *r;
    const struct generation *g;
    struct arena arena;
    struct error *e;
};

static struct str begin_of(struct str text)
{
    text = str_cut(text, QUOTED_BYTES);
    text.len = str_utf8_valid(text);
    return text;
}

static int check_enum(struct inspection *k, struct str text)
{
    yyjson_val *schema = k->g->schema ? k->g->schema : k->g->json_schema, *value;
    struct values it = values_of(request_field(schema, "enum"));

    while ((value = values_next(&it)))
        if (str_eq(json_str(value), text))
            return 0;
    return error_set(k->e, ERROR_INTERNAL, "The answer %s is not one of the enum's values.",
                     quote(begin_of(text)).text);
}

static int check_schema(struct inspection *k, yyjson_val *value)
{
    char text[FAULT_TEXT_BYTES];
    struct schema_fault why;
    int rc = 0;

    if (!k->g->schema && !k->g->json_schema)
        return 0;
    const struct known_schema *known = take(k->all, k->g);
    if (!known->schema) {
        rc = error_set(k->e, ERROR_INVALID_ARGUMENT, "%s %s", known->fault.message,
                       known->fault.remedy); /* validation did not ask this model */
    } else if (!schema_matches(known->schema, value, &why)) {
        schema_fault_text(&why, text);
        rc = error_set(k->e, ERROR_INTERNAL, "The answer does not match the schema: %s", text);
    }
    schemas_release(k->all, known);
    return rc;
}

static int check_json(struct inspection *k, struct str text)
{
    struct error broken = { 0 };
    size_t at = 0;
    yyjson_val *value = json_parse(&k->arena, text, &at, &broken);
    struct buf path = BUF_INIT(SCHEMA_PATH_BYTES);
    int rc = 0;

    if (!value)
        return error_set(k->e, ERROR_INTERNAL,
                         "The answer %s is not JSON after %zu of %zu bytes: %s.",
                         quote(begin_of(text)).text, at, text.len, broken.msg);
    if (json_check(value, &path, &broken) < 0)
        rc = error_set(k->e, ERROR_INTERNAL, "The answer does not match the schema: $%s%s: %s.",
                       path.len && path.p[0] != '[' ? "." : "", path.p ? path.p : "", broken.msg);
    buf_release(&path);
    return rc < 0 ? -1 : check_schema(k, value);
}

/* ---- The answer ---- */

static bool is_text(yyjson_val *part)
{
    return yyjson_is_str(request_field(part, "text")) &&
           !yyjson_is_true(request_field(part, "thought"));
}

/* Each call of a candidate is one that the request allows, if it declares any. */
static int check_calls(struct inspection *k, yyjson_val *parts)
{
    struct values it = values_of(parts);
    struct error broken = { 0 };
    yyjson_val *part, *call;

    if (!function_choice_of(k->r).declared)
        return 0;
    while ((part = values_next(&it))) {
        call = request_field(part, "functionCall");
        if (!call)
            continue;
        yyjson_val *args = call_arguments_read(&k->arena, request_field(call, "args"), &broken);
        if (schemas_check_call(k->all, k->r, json_str(request_field(call, "name")), args, k->e) < 0)
            return -1;
    }
    return 0;
}

/* All texts of a candidate as one; false when it calls a function. */
static bool texts_of(struct arena *a, yyjson_val *parts, struct str *out)
{
    size_t i, max, total = 0, count = 0;
    struct str only = { 0 };
    yyjson_val *part;

    yyjson_arr_foreach(parts, i, max, part)
    {
        if (request_field(part, "functionCall"))
            return false;
        if (is_text(part)) {
            only = json_str(request_field(part, "text"));
            total += only.len;
            count++;
        }
    }
    *out = only;
    if (count < 2)
        return true;
    char *text = arena_alloc_raw(a, total + 1);
    *out = (struct str){ text, total };
    yyjson_arr_foreach(parts, i, max, part)
    {
        struct str piece = json_str(request_field(part, "text"));
        if (is_text(part) && piece.len) {
            memcpy(text, piece.p, piece.len);
            text += piece.len;
        }
    }
    return true;
}

/* 0 and whether the candidate ended by itself; -1 when it did and has not the form. */
static int check_candidate(struct inspection *k, yyjson_val *candidate, bool *ended)
{
    yyjson_val *parts = request_field(request_field(candidate, "content"), "parts");
    struct str text;

    *ended = str_eq_c(json_str(request_field(candidate, "finishReason")), "STOP");
    if (!*ended)
        return 0;
    if (check_calls(k, parts) < 0)
        return -1;
    if (!has_form(k->r) || !texts_of(&k->arena, parts, &text))
        return 0;
    return k->g->form == ANSWER_ENUM ? check_enum(k, text) : check_json(k, text);
}

static int check_candidates(struct inspection *k, yyjson_val *candidates, bool *complete)
{
    size_t i, max;
    yyjson_val *candidate;
    bool ended, all = yyjson_arr_size(candidates) > 0;

    yyjson_arr_foreach(candidates, i, max, candidate)
    {
        if (check_candidate(k, candidate, &ended) < 0)
            return max == 1 ? -1 : error_wrap(k->e, "Candidate %zu", i);
        all = all && ended;
    }
    *complete = all;
    return 0;
}

int answer_check(struct schemas *c, const struct request *r, struct str response, bool *complete,
                 struct error *e)
{
    struct inspection k = { .all = c, .r = r, .g = &r->generation, .e = e };
    size_t at = 0;
    yyjson_val *root = json_parse(&k.arena, response, &at, e);
    int rc = -1;

    assert(answer_check_wanted(r));
    if (root)
        rc = check_candidates(&k, request_field(root, "candidates"), complete);
    arena_release(&k.arena);
    return rc;
}
