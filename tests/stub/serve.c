#include "serve.h"

#include "base/json_write.h"

#include "work.h"

/* The buffer for a body, empty. */
static struct buf *new_body(struct server *s)
{
    buf_clear(&s->body);
    return &s->body;
}

static struct reply plain_reply(const struct server *s, const struct conn *c)
{
    return (struct reply){ .options = &s->options, .call = &c->call };
}

static void send_body(struct server *s, struct conn *c, int status)
{
    http_head_write(&c->out, status, "application/json", s->body.len, "");
    buf_add_str(&c->out, buf_str(&s->body));
    conn_replied(s, c, (struct spoiled){ AFTER_KEEP, 0 });
}

static void send_error(struct server *s, struct conn *c, int status)
{
    struct reply r = plain_reply(s, c);

    reply_error(&r, status, 0, new_body(s));
    send_body(s, c, status);
}

void serve_bad(struct server *s, struct conn *c, int status)
{
    c->call.kind = CALL_UNKNOWN;
    c->call.head.close = true;
    send_error(s, c, status);
}

static bool has_key(const struct server *s, const struct conn *c)
{
    return !s->options.key || str_eq_c(c->call.head.key, s->options.key);
}

static void serve_work(struct server *s, struct conn *c)
{
    if (has_key(s, c)) {
        work_arrive(s, c);
        return;
    }
    s->stats.denied++;
    send_error(s, c, 401);
}

static void serve_models(struct server *s, struct conn *c)
{
    struct reply r = plain_reply(s, c);

    if (!has_key(s, c)) {
        send_error(s, c, 401);
        return;
    }
    reply_models(&r, new_body(s));
    send_body(s, c, 200);
}

static void serve_health(struct server *s, struct conn *c)
{
    buf_add_str(new_body(s), STR("{\"status\":\"ok\"}"));
    send_body(s, c, 200);
}

static void serve_stats(struct server *s, struct conn *c)
{
    stats_busy(&s->stats, s->work.active, s->work.active ? s->now_ns : s->stats.changed_ns);
    stats_write(&s->stats, s->options.slots, faults_bodies(&s->faults), new_body(s));
    send_body(s, c, 200);
}

/* Counts anew, and knows no body any more; what is open goes on. */
static void serve_reset(struct server *s, struct conn *c)
{
    s->stats = (struct stats){ .busy = s->work.active };
    s->work.window_end_ns = 0;
    s->work.prefix_count = 0;
    faults_forget(&s->faults);
    serve_health(s, c);
}

/* "KIND=RATE&KIND=RATE"; what was set before a wrong one stays set. */
static int set_faults(struct faults *f, struct str query, struct error *e)
{
    while (query.len) {
        size_t end = str_find(query, STR("&"));
        struct str pair = str_sub(query, 0, end == SIZE_MAX ? query.len : end);
        query = end == SIZE_MAX ? STR("") : str_sub(query, end + 1, query.len);
        size_t equals = str_find(pair, STR("="));
        if (equals == SIZE_MAX)
            return error_set(e, ERROR_INVALID_ARGUMENT, "'%.*s' is not KIND=RATE", STR_ARG(pair));
        if (faults_set(f, str_sub(pair, 0, equals), str_sub(pair, equals + 1, pair.len), e) < 0)
            return -1;
    }
    return 0;
}

static void serve_faults(struct server *s, struct conn *c)
{
    struct error e = { 0 };

    if (set_faults(&s->faults, c->call.head.query, &e) == 0) {
        serve_health(s, c);
        return;
    }
    struct json_writer w = JSON_WRITER(new_body(s));
    json_object(&w, NULL);
    json_object(&w, "error");
    json_add_uint(&w, "code", 400);
    json_add_c(&w, "message", e.msg);
    json_end(&w);
    json_end(&w);
    send_body(s, c, 400);
}

static void serve_unknown(struct server *s, struct conn *c)
{
    send_error(s, c, 404);
}

static void (*const serve[])(struct server *, struct conn *) = {
    [CALL_CHAT] = serve_work,     [CALL_EMBED] = serve_work,      [CALL_MODELS] = serve_models,
    [CALL_HEALTH] = serve_health, [CALL_STATS] = serve_stats,     [CALL_RESET] = serve_reset,
    [CALL_FAULTS] = serve_faults, [CALL_UNKNOWN] = serve_unknown,
};

void serve_call(struct server *s, struct conn *c)
{
    call_route(&c->call, s->options.dialect);
    serve[c->call.kind](s, c);
}
