#include "predict/upstream/flight.h"

#include <assert.h>
#include <string.h>
#include <xxhash.h>

#include "base/random.h"
#include "base/mem.h"
#include "format/response.h"
#include "format/trace.h"
#include "format/upstream_error.h"
#include "predict/upstream/task_files.h"

#define URL_BYTES_MAX ((size_t)8192)
#define BODY_KEEP_BYTES ((size_t)64 * 1024)

void flight_desk_release(struct flight_desk *d)
{
    arena_release(&d->arena);
    buf_release(&d->url);
    buf_release(&d->header);
    buf_release(&d->secret);
    buf_release(&d->trace);
}

/* ---- Out ---- */

static int credential_write(const struct target *p, struct flight_desk *d, struct error *e)
{
    struct credential *c = server_credential(p->server);

    d->header.max = 2 * CREDENTIAL_BYTES_MAX;
    buf_clear(&d->header);
    if (!c)
        return 1;
    d->secret.max = CREDENTIAL_BYTES_MAX;
    int rc = credential_get(c, &d->secret, e);
    if (rc > 0)
        p->wire->credential(buf_str(&d->secret), credential_is_token(c), &d->header);
    return rc;
}

int flight_write(struct flight *f, struct flight_desk *d, struct error *e)
{
    const struct request *r = f->task->request;
    const struct file_contents none = { 0 };
    const struct task_files *read = f->task->files;
    int rc = credential_write(f->target, d, e);

    if (rc <= 0)
        return rc;
    d->trace.max = TRACE_LINES_BYTES_MAX;
    buf_clear(&d->trace);
    if (r->trace)
        trace_write(r->trace, random_next(&d->chance), &d->trace);
    d->url.max = URL_BYTES_MAX;
    buf_clear(&d->url);
    f->target->wire->url(f->target->to, r, &d->url);
    f->completion_tokens = f->target->completion_tokens;
    f->body.max = UPSTREAM_BODY_BYTES_MAX;
    if (f->body.cap > BODY_KEEP_BYTES)
        buf_release(&f->body);
    buf_clear(&f->body);
    const struct file_contents *files =
        read && f->target->to->upstream->inline_files ? &read->list : &none;
    if (f->target->wire->write(f->target->to, r, files, f->completion_tokens, &f->body, e) < 0)
        return -1;
    return rc;
}

/* ---- Replies that came before ---- */

/* HTTP/1.1 answers in order and without names: a server or proxy that answers one request twice shifts
 * all later answers on the connection by one, and a line would silently get another line's answer. Such
 * a reply has the id and all the bytes of the one that came before it on the same connection. A server
 * that gives an id again elsewhere, or with other bytes, or a third time, does not make unique ids (a
 * mock that answers all alike, a counter that goes round), so nothing more can be found out about it. */
static struct str id_of(struct str response)
{
    const struct str name = STR("\"responseId\":\""); /* escaped within texts: this is the member */
    size_t at = str_find(response, name);

    if (at == SIZE_MAX)
        return (struct str){ 0 };
    struct str rest = str_sub(response, at + name.len, response.len);
    return str_sub(rest, 0, str_find(rest, STR("\"")));
}

/* Is this the reply to an earlier request on its connection? response: the row's, with its
 * responseId. */
static bool came_before(struct flight_desk *d, struct str response, const struct http_done *done)
{
    struct str id = id_of(response);

    if (d->ids_repeat || id.len == 0)
        return false;
    uint64_t of_id = XXH3_64bits(id.p, id.len) | 1; /* 0 is a free slot */
    uint64_t of_body = XXH3_64bits(done->body.p, done->body.len);
    struct seen_reply *seen = &d->seen[of_id / 2 % FLIGHT_SEEN_SLOTS];
    struct last_reply *last = &d->last[done->connection % FLIGHT_SEEN_SLOTS];
    bool again = seen->id == of_id;
    bool doubled = again && !seen->doubled && seen->body == of_body && last->body == of_body &&
                   seen->connection == done->connection && last->connection == done->connection;
    d->ids_repeat = again && !doubled;
    *seen = (struct seen_reply){ of_id, of_body, done->connection, doubled };
    *last = (struct last_reply){ of_body, done->connection };
    return doubled;
}

/* ---- In ---- */

/* Judges the server by an error, when the reply is missing or malformed. */
static enum exchange_end end_of_error(enum error_code code)
{
    switch (code) {
    case ERROR_DEADLINE_EXCEEDED:
    case ERROR_RESOURCE_EXHAUSTED:
        return EXCHANGE_OVERLOAD;
    case ERROR_CANCELLED:
        return EXCHANGE_CANCELLED;
    default:
        return error_retryable(code) ? EXCHANGE_FAILED : EXCHANGE_REFUSED;
    }
}

static enum exchange_end end_of_status(int status)
{
    static const int overload[] = { 408, 429, 503, 504, 529 };

    for (size_t i = 0; i < ARRAY_LEN(overload); i++)
        if (status == overload[i])
            return EXCHANGE_OVERLOAD;
    return status >= 500 ? EXCHANGE_FAILED : EXCHANGE_REFUSED;
}

/* The exchange ended without a whole reply. A body over its limit is the server's failure; our code for
 * it would read as a lack of room here. */
static void read_broken(const struct flight *f, const struct http_done *done,
                        struct exchange_result *out, struct error *why)
{
    const char *name = f->target->to->upstream->name;

    *why = done->error;
    if (strncmp(why->msg, name, strlen(name)) != 0) /* the message may begin with the host */
        (void)error_wrap(why, "%s", name);
    out->end = end_of_error(why->code);
    if (why->code == ERROR_RESOURCE_EXHAUSTED) {
        why->code = ERROR_INTERNAL;
        out->end = EXCHANGE_FAILED;
    }
}

/* OpenAI's newer models refuse max_tokens, and say which name they want. The next attempt uses it. */
static void learn_token_name(const struct flight *f, const struct http_done *done,
                             struct error *why)
{
    if (done->status != 400 || f->completion_tokens ||
        str_find(buf_str(&f->body), STR("\"max_tokens\":")) == SIZE_MAX ||
        str_find(done->body, STR("max_completion_tokens")) == SIZE_MAX)
        return;
    f->target->completion_tokens = true;
    why->code = ERROR_UNAVAILABLE;
}

static void read_refusal(const struct flight *f, struct flight_desk *d,
                         const struct http_done *done, struct exchange_result *out,
                         struct error *why)
{
    const struct upstream_refusal refusal = {
        .status = done->status,
        .body = done->body,
        .retry_after = http_done_header(done, "retry-after"),
        .upstream = f->target->to->upstream->name,
        .now_us = d->clock->wall_us(d->clock),
    };
    struct credential *c = server_credential(f->target->server);

    struct upstream_pause pause;
    upstream_error_read(&d->arena, &refusal, why, &pause);
    out->retry_after_ms = pause.ms;
    out->account_limited = pause.account;
    out->end = end_of_status(done->status);
    learn_token_name(f, done, why);
    if (done->status != 401 || !c || !credential_is_token(c))
        return;
    credential_refused(c);
    if (f->task && !f->task->proved) { /* the token may have expired early: try a new one, once */
        f->task->proved = true;
        why->code = ERROR_UNAVAILABLE;
    }
}

static void read_quotas(const struct http_done *done, struct exchange_result *out)
{
    static const char *const names[QUOTA_COUNT][3] = {
        [QUOTA_REQUESTS] = { "x-ratelimit-limit-requests", "x-ratelimit-remaining-requests",
                             "x-ratelimit-reset-requests" },
        [QUOTA_TOKENS] = { "x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens",
                           "x-ratelimit-reset-tokens" },
    };

    if (str_find(done->headers, STR("x-ratelimit-")) == SIZE_MAX)
        return;
    for (size_t i = 0; i < QUOTA_COUNT; i++)
        quota_read(http_done_header(done, names[i][0]), http_done_header(done, names[i][1]),
                   http_done_header(done, names[i][2]), &out->quota[i]);
}

static int read_answer(const struct flight *f, struct flight_desk *d, const struct http_done *done,
                       struct error *why)
{
    struct answer *a = &f->task->answer;
    char id[RESPONSE_ID_BYTES];

    response_id_format(random_next(&d->chance), random_next(&d->chance), id);
    const struct reply_rules rules = {
        .request = f->task->request,
        .model = f->target->to->model,
        .at = f->target->shown,
        .response_id = id,
        .create_time_us = d->clock->wall_us(d->clock),
    };
    a->response = BUF_INIT(RESPONSE_BYTES_MAX);
    int rc = f->target->wire->read(&d->arena, done->body, &rules, &a->response, &a->usage, why);
    if (rc == 0 && came_before(d, buf_str(&a->response), done))
        rc = error_set(why, ERROR_INTERNAL, "this reply was already given to another request");
    f->task->upstream = f->target->to->upstream->name;
    if (rc == 0) {
        a->price = f->target->has_price ? &f->target->price : NULL;
        return 0;
    }
    buf_release(&a->response);
    a->usage = (struct usage){ 0 };
    return error_wrap(why, "%s", f->task->upstream);
}

static void read_whole(const struct flight *f, struct flight_desk *d, const struct http_done *done,
                       struct exchange_result *out, struct error *why)
{
    if (!f->task) {
        out->end = EXCHANGE_ANSWERED;
    } else if (read_answer(f, d, done, why) < 0) {
        out->end = end_of_error(why->code);
    } else {
        const struct usage *u = &f->task->answer.usage;
        out->end = EXCHANGE_ANSWERED;
        out->prompt_tokens = u->prompt_tokens;
        out->cached_tokens = u->cached_tokens;
        out->output_tokens = u->candidate_tokens + u->thought_tokens;
    }
}

void flight_read(const struct flight *f, struct flight_desk *d, const struct http_done *done,
                 struct exchange_result *out, struct error *why)
{
    *out = (struct exchange_result){ .reached = done->status != 0 };
    read_quotas(done, out);
    *why = (struct error){ 0 };
    if (done->error.code != ERROR_OK)
        read_broken(f, done, out, why);
    else if (done->status == 200)
        read_whole(f, d, done, out, why);
    else
        read_refusal(f, d, done, out, why);
    arena_reset(&d->arena);
    out->why = why->code == ERROR_OK ? NULL : why;
    if (f->task && out->why) {
        f->task->answer.error = *why;
        f->task->answer.retry_after_ms = out->retry_after_ms;
    }
}
