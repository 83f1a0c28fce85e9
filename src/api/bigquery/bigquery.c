/* bigquery.c -- what the handlers share, but for rows. */
#include "api/bigquery/bigquery.h"

#include <inttypes.h>
#include <stdio.h>

#include "predict/fake/script.h"

bool bigquery_project(struct call *c, struct str *out)
{
    const char *project;
    char message[ERROR_MSG_BYTES];

    if (!c->api->tables) {
        call_fail_as(c, 501, NULL,
                     store_is_shared(c->api->store)
                         ? "Several machines share this service's store, so it has no tables of "
                           "its own, and bq:// names BigQuery's. Send calls of BigQuery's API to "
                           "BigQuery."
                         : "This service has no tables of its own: bq:// names BigQuery's. Send "
                           "calls of BigQuery's API to BigQuery.");
        return false;
    }
    if (call_project(c, c->param[0], &project)) {
        *out = str_of(project);
        return true;
    }
    (void)snprintf(message, sizeof message,
                   "Access Denied: Project %.*s: User does not have permission in project %.*s, or "
                   "it does not exist.",
                   STR_ARG(call_quote(c->param[0])), STR_ARG(call_quote(c->param[0])));
    call_fail_as(c, 403, NULL, message);
    return false;
}

void bigquery_fail_query(struct call *c, const struct error *e)
{
    const struct bq_reason why = bq_reason_of(e, BQ_IN_QUERY);

    call_fail_reason(c, e, &why);
}

void bigquery_fail_job(struct call *c, const struct bq_job *j)
{
    const struct bq_fault *f = &j->fault[0];
    const struct bq_reason why = {
        .http = j->error_http,
        .reason = arena_copy(c->arena, f->reason.p, f->reason.len),
        .location = f->location.len ? arena_copy(c->arena, f->location.p, f->location.len) : NULL,
    };
    struct error e = { 0 };

    /* The code only says that the message is public: a job's faults are. */
    (void)error_set(&e, ERROR_INVALID_ARGUMENT, "%.*s", STR_ARG(f->message));
    call_fail_reason(c, &e, &why);
}

struct str bigquery_user(struct call *c)
{
    if (c->who.all)
        return STR("anonymous@tranche");
    return str_of(arena_textf(c->arena, "%s@%s", c->who.key, c->who.project));
}

bool bigquery_scoped(const struct call *c)
{
    return !c->who.all;
}

static int script_of_call(struct call *c, struct str text, struct str *script, struct error *e)
{
    if (call_script_create(c, CALL_TABLE, text, script, e) == 0)
        return 0;
    return e->code == ERROR_RESOURCE_EXHAUSTED ? error_wrap(e, "Exceeded rate limits") : -1;
}

int bigquery_script(struct call *c, struct str text, struct error *e)
{
    struct str script;

    return script_of_call(c, text, &script, e);
}

int bigquery_script_job(struct call *c, struct query_new *n, struct error *e)
{
    struct script_whole whole;
    struct str script;

    if (script_of_call(c, n->configuration, &script, e) < 0)
        return -1;
    if (script.len == 0)
        return 0;
    if (script_whole(script, &whole, e) < 0)
        return -1;
    /* Its attempts are counted apart from those at the call. */
    const struct str name = str_of(arena_textf(c->arena, "job %.*s", STR_ARG(n->configuration)));
    if (whole.reason && call_script_fails(c, name, script, whole.reason_times))
        n->scripted = whole.reason;
    return 0;
}

void bigquery_list(struct call *c)
{
    struct str project;

    if (bigquery_project(c, &project))
        call_reply_c(c, "{}");
}

int bigquery_limit(struct call *c, uint32_t deflt, uint32_t max, uint32_t *out, struct error *e)
{
    uint64_t n;

    if (call_number(c, "maxResults", deflt, max, &n, e) < 0)
        return -1;
    *out = (uint32_t)n;
    return 0;
}

static bool is_one_of(struct str key, const char *const *names)
{
    for (; *names; names++)
        if (str_eq_c(key, *names))
            return true;
    return false;
}

struct str bigquery_options(struct call *c, yyjson_val *object, const char *const *known,
                            struct str kept)
{
    struct buf text = BUF_INIT(SIZE_MAX);
    struct json_writer w = JSON_WRITER(&text);
    struct json_member m = { 0 };
    yyjson_obj_iter it = yyjson_obj_iter_with(object);
    yyjson_val *k;
    size_t empty;

    json_object(&w, NULL);
    empty = text.len;
    while (kept.len && json_member_next(kept, &m)) {
        if (yyjson_obj_getn(object, m.key.p, m.key.len))
            continue;
        json_key_raw(&w, m.key);
        json_add_raw(&w, NULL, m.value);
    }
    while ((k = yyjson_obj_iter_next(&it))) {
        yyjson_val *v = yyjson_obj_iter_get_val(k);
        if (yyjson_is_null(v) || is_one_of(json_str(k), known))
            continue;
        json_key(&w, json_str(k));
        json_add_value(&w, NULL, v);
    }
    bool any = text.len > empty;
    json_end(&w);
    struct str out =
        any ? (struct str){ arena_copy(c->arena, text.p, text.len), text.len } : (struct str){ 0 };
    buf_release(&text);
    return out;
}

void bigquery_write_options(struct json_writer *w, struct str options)
{
    struct json_member m = { 0 };

    while (options.len && json_member_next(options, &m)) {
        json_key_raw(w, m.key);
        json_add_raw(w, NULL, m.value);
    }
}

struct str bigquery_option(struct str options, const char *key)
{
    return options.len ? json_member_value(options, str_of(key)) : (struct str){ 0 };
}

void bigquery_write_reference(struct json_writer *w, const char *key, const struct tables_name *n)
{
    const struct bq_table_ref ref = { n->project, n->dataset, n->table };

    bq_table_ref_write(w, key, &ref);
}

int bigquery_if_match(struct call *c, const char *etag, struct error *e)
{
    struct str want = http_header(c->http, "If-Match");

    while (str_starts(want, STR("\"")) && want.len > 1)
        want = str_sub(want, 1, want.len - 2);
    if (want.len == 0 || str_eq(want, STR("*")) || str_eq_c(want, etag))
        return 0;
    return error_set(e, ERROR_ABORTED, "Precondition Failed: the etag is %s now.", etag);
}

void bigquery_add_ms(struct json_writer *w, const char *key, int64_t ms)
{
    if (ms)
        json_addf(w, key, "%" PRId64, ms);
}

static void on_done(void *arg)
{
    struct call *c = arg;
    const struct bigquery_waiting *w = c->state;

    later_run(c->api->later, c, w->then);
}

void bigquery_wait(struct call *c, struct str project, struct str id, uint32_t timeout_ms,
                   void (*then)(struct call *c))
{
    struct bigquery_waiting *w = arena_alloc(c->arena, sizeof *w);

    *w = (struct bigquery_waiting){ project, id, then };
    c->state = w;
    c->free_state = NULL;
    queries_wait(c->api->queries, project, id, timeout_ms, on_done, c);
}

/* ---- Page tokens ---- */

static struct seal seal_of(struct str scope)
{
    return (struct seal){ .purpose = "bigquery-rows", .scope = scope };
}

int bigquery_token(struct call *c, struct str scope, int64_t row, struct json_writer *w,
                   struct error *e)
{
    const struct seal seal = seal_of(scope);
    char text[SEAL_TEXT_BYTES];

    if (seal_write(c->api->store, &seal, (int64_t[]){ row, 0 }, text, e) < 0)
        return -1;
    json_add_c(w, "pageToken", text);
    return 0;
}

int bigquery_token_read(struct call *c, struct str scope, int64_t *row, struct error *e)
{
    const struct seal seal = seal_of(scope);
    int64_t number[2];
    struct str text = { 0 };

    if (!http_query(c->http, "pageToken", &text) || text.len == 0)
        return 0;
    if (!seal_read(c->api->store, &seal, text, number))
        return error_set(e, ERROR_INVALID_ARGUMENT, "Invalid page token");
    *row = number[0];
    return 0;
}
