/* webhooks.c -- the Gemini API's webhooks resource, as google-genai's client.webhooks uses it,
 * and what was delivered.
 *
 * Source:  google-genai 3.4, webhooks; docs/reference/webhooks.md.
 */
#include <stdio.h>
#include <string.h>

#include "api/call.h"
#include "base/mem.h"
#include "api/webhooks/webhook_send.h"
#include "format/request/request.h"
#include "net/client/http_client.h"

#define BODY_MAX ((size_t)64 * 1024)
#define REPLY_MAX ((size_t)4 * 1024 * 1024)
#define NAME_MAX_BYTES 256
#define DELIVERIES_MAX 100
#define DAY_US ((int64_t)86400 * 1000000)
#define SECRET_SHOWN 12 /* characters of a truncated secret */

/* What a webhook may subscribe to; only those of batches are ever sent. */
static const char *const event_names[] = {
    "batch.succeeded",       "batch.expired",      "batch.failed",
    "batch.cancelled",       "interaction.failed", "interaction.requires_action",
    "interaction.completed", "video.generated",
};

static const char *own_project(const struct call *c)
{
    return c->who.all ? c->api->default_project : c->who.project;
}

/* ---- Writing ---- */

static void add_time(struct buf *b, const char *name, int64_t us)
{
    char text[CLOCK_TEXT_BYTES];

    clock_format_rfc3339(us, text);
    buf_addf(b, ",\"%s\":\"%s\"", name, text);
}

static void add_secret(struct buf *b, struct str secret, int64_t until_us)
{
    buf_add_c(b, "{\"truncated_secret\":");
    buf_add_json(b, str_sub(secret, 0, SECRET_SHOWN));
    if (until_us)
        add_time(b, "expire_time", until_us);
    buf_add_char(b, '}');
}

static void add_events(struct buf *b, struct str events)
{
    bool first = true;

    buf_add_char(b, '[');
    while (events.len) {
        size_t comma = str_find(events, STR(","));
        struct str one = str_sub(events, 0, comma);
        if (!first)
            buf_add_char(b, ',');
        first = false;
        buf_add_json(b, one);
        events = str_sub(events, one.len + 1, events.len);
    }
    buf_add_char(b, ']');
}

static void write_webhook(const struct webhook *w, bool fresh, struct buf *b)
{
    buf_addf(b, "{\"id\":\"%s\",\"name\":", w->id);
    buf_add_str(b, w->spec.len ? w->spec : STR("\"\""));
    buf_add_c(b, ",\"uri\":");
    buf_add_json(b, w->uri);
    buf_add_c(b, ",\"subscribed_events\":");
    add_events(b, w->events);
    buf_addf(b, ",\"state\":\"%s\"", w->enabled ? "enabled" : "disabled");
    add_time(b, "create_time", w->create_us);
    add_time(b, "update_time", w->update_us);
    buf_add_c(b, ",\"signing_secrets\":[");
    add_secret(b, w->secret, 0);
    if (w->secret_old.len) {
        buf_add_char(b, ',');
        add_secret(b, w->secret_old, w->secret_old_until_us);
    }
    buf_add_char(b, ']');
    if (fresh) {
        buf_add_c(b, ",\"new_signing_secret\":");
        buf_add_json(b, w->secret);
    }
    buf_add_char(b, '}');
}

static void reply_webhook(struct call *c, const struct webhook *w, bool fresh)
{
    struct buf body = BUF_INIT(REPLY_MAX);

    write_webhook(w, fresh, &body);
    call_reply(c, &body);
}

/* ---- Reading ---- */

static bool known_event(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(event_names); i++)
        if (str_eq_c(name, event_names[i]))
            return true;
    return false;
}

static int read_event(yyjson_val *v, struct buf *out, struct error *e)
{
    struct str name = json_str(v);

    if (!yyjson_is_str(v) || !known_event(name))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "subscribed_events: \"%.*s\" is no event; batch.succeeded, batch.failed, "
                         "batch.cancelled and batch.expired are sent",
                         STR_ARG(str_sub(name, 0, 64)));
    if (out->len)
        buf_add_char(out, ',');
    buf_add_str(out, name);
    return 0;
}

static int read_events(struct arena *a, yyjson_val *list, struct webhook *w, struct error *e)
{
    struct buf out = BUF_INIT(4096);
    size_t i, n;
    yyjson_val *v;
    int rc = 0;

    if (!yyjson_is_arr(list) || yyjson_arr_size(list) == 0 ||
        yyjson_arr_size(list) > WEBHOOK_EVENTS_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "subscribed_events must be a list of 1 to %d events", WEBHOOK_EVENTS_MAX);
    yyjson_arr_foreach(list, i, n, v)
    {
        if (rc == 0)
            rc = read_event(v, &out, e);
    }
    w->events = (struct str){ arena_copy(a, out.p, out.len), out.len };
    buf_release(&out);
    return rc;
}

static int read_uri(yyjson_val *v, struct webhook *w, struct error *e)
{
    struct str uri = json_str(v);
    bool web = str_starts(uri, STR("https://")) || str_starts(uri, STR("http://"));

    if (!web || uri.len > WEBHOOK_URI_MAX || str_find(uri, STR(" ")) != SIZE_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "uri must be an http or https URI of at most %d bytes", WEBHOOK_URI_MAX);
    w->uri = uri;
    return 0;
}

static int read_state(yyjson_val *v, struct webhook *w, struct error *e)
{
    struct str state = json_str(v);

    if (!str_eq_c(state, "enabled") && !str_eq_c(state, "disabled"))
        return error_set(e, ERROR_INVALID_ARGUMENT, "state must be enabled or disabled");
    w->enabled = str_eq_c(state, "enabled");
    return 0;
}

static int read_name(struct arena *a, yyjson_val *v, struct webhook *w, struct error *e)
{
    struct buf text = BUF_INIT(NAME_MAX_BYTES * 8);

    if (!yyjson_is_str(v) || json_str(v).len > NAME_MAX_BYTES)
        return error_set(e, ERROR_INVALID_ARGUMENT, "name must be a text of at most %d bytes",
                         NAME_MAX_BYTES);
    buf_add_json(&text, json_str(v));
    w->spec = (struct str){ arena_copy(a, text.p, text.len), text.len };
    buf_release(&text);
    return 0;
}

/* The members that are there; the others stay as they are. */
static int read_webhook(struct call *c, struct webhook *w, struct error *e)
{
    yyjson_val *body = call_json(c, e), *v;

    if (!body)
        return -1;
    if ((v = request_field(body, "name")) && read_name(c->arena, v, w, e) < 0)
        return -1;
    if ((v = request_field(body, "uri")) && read_uri(v, w, e) < 0)
        return -1;
    if ((v = request_field(body, "state")) && read_state(v, w, e) < 0)
        return -1;
    v = request_field(body, "subscribedEvents");
    return v ? read_events(c->arena, v, w, e) : 0;
}

/* ---- Calls ---- */

static bool get_webhook(struct call *c, struct webhook *w)
{
    struct error e = { 0 };
    int rc = webhook_get(c->api->store, c->arena, call_scope(c), c->param[0], w, &e);

    if (rc == 1)
        return true;
    if (rc == 0)
        (void)error_set(&e, ERROR_NOT_FOUND, "Webhook %.*s is not found.",
                        STR_ARG(str_sub(c->param[0], 0, 64)));
    call_fail(c, &e);
    return false;
}

static void create(struct call *c)
{
    struct webhook w = { .enabled = true, .project = str_of(own_project(c)) };
    struct error e = { 0 };
    char secret[WEBHOOK_SECRET_BYTES];

    if (read_webhook(c, &w, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    if (w.uri.len == 0 || w.events.len == 0) {
        call_fail_as(c, 400, NULL, "uri and subscribed_events are required");
        return;
    }
    webhook_secret_new(secret);
    w.secret = str_of(secret);
    if (webhook_put(c->api->store, &w, &e) < 0)
        call_fail(c, &e);
    else
        reply_webhook(c, &w, true);
}

static void get(struct call *c)
{
    struct webhook w;

    if (get_webhook(c, &w))
        reply_webhook(c, &w, false);
}

static void list(struct call *c)
{
    struct webhook_list all = { 0 };
    struct error e = { 0 };
    struct buf body = BUF_INIT(REPLY_MAX);

    if (webhook_list(c->api->store, c->arena, call_scope(c), &all, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    buf_add_c(&body, "{\"webhooks\":[");
    for (uint32_t i = 0; i < all.count; i++) {
        if (i)
            buf_add_char(&body, ',');
        write_webhook(&all.item[i], false, &body);
    }
    buf_add_c(&body, "]}");
    call_reply(c, &body);
}

static void update(struct call *c)
{
    struct webhook w;
    struct error e = { 0 };

    if (!get_webhook(c, &w))
        return;
    if (read_webhook(c, &w, &e) < 0 || webhook_put(c->api->store, &w, &e) < 0)
        call_fail(c, &e);
    else
        reply_webhook(c, &w, false);
}

static void delete(struct call *c)
{
    struct webhook w;
    struct error e = { 0 };

    if (!get_webhook(c, &w))
        return;
    if (webhook_delete(c->api->store, call_scope(c), c->param[0], &e) < 0)
        call_fail(c, &e);
    else
        call_reply_c(c, "{}");
}

static void rotate(struct call *c)
{
    struct webhook w;
    struct error e = { 0 };
    char secret[WEBHOOK_SECRET_BYTES];
    struct buf body = BUF_INIT(1024);

    if (!get_webhook(c, &w))
        return;
    yyjson_val *how = call_json(c, &e);
    if (!how) {
        call_fail(c, &e);
        return;
    }
    struct str behavior = json_str(request_field(how, "revocationBehavior"));
    bool at_once = str_eq_c(behavior, "revoke_previous_secrets_immediately");
    webhook_secret_new(secret);
    w.secret_old = at_once ? (struct str){ 0 } : w.secret;
    w.secret_old_until_us = at_once ? 0 : c->api->clock->wall_us(c->api->clock) + DAY_US;
    w.secret = str_of(secret);
    if (webhook_put(c->api->store, &w, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    buf_add_c(&body, "{\"secret\":");
    buf_add_json(&body, w.secret);
    buf_add_char(&body, '}');
    call_reply(c, &body);
}

/* Posts a message of no job, at once, and says what came of it. */
static void ping(struct call *c)
{
    struct webhook w;
    struct error e = { 0 };

    if (!get_webhook(c, &w))
        return;
    struct http_client *http = http_client_new();
    struct webhook_post p = {
        .uri = w.uri,
        .body = STR("{\"type\":\"ping\",\"data\":{}}"),
        .secret = w.secret,
        .id = "msg_ping",
        .allow = c->api->webhook_allow,
        .now_us = c->api->clock->wall_us(c->api->clock),
    };
    int status = webhook_post(http, &p, &e);
    http_client_free(http);
    if (status >= 200 && status < 300) {
        call_reply_c(c, "{}");
        return;
    }
    if (status >= 0)
        (void)error_set(&e, ERROR_FAILED_PRECONDITION, "the webhook answered HTTP %d", status);
    else
        e.code = ERROR_FAILED_PRECONDITION;
    call_fail(c, &e);
}

/* ---- Deliveries ---- */

static void write_delivery(const struct delivery *d, struct buf *b)
{
    static const char *const states[] = { "waiting", "delivered", "given_up" };

    buf_addf(b, "{\"id\":\"%lld\",\"job\":\"%lld\",\"state\":\"%s\",\"attempts\":%u,\"uri\":",
             (long long)d->id, (long long)d->job, states[d->state], d->attempts);
    buf_add_json(b, d->uri);
    add_time(b, "create_time", d->create_us);
    if (d->state == DELIVERY_WAITS)
        add_time(b, "next_time", d->due_us);
    if (d->last_status)
        buf_addf(b, ",\"last_status\":%d", (int)d->last_status);
    if (d->last_error.len) {
        buf_add_c(b, ",\"last_error\":");
        buf_add_json(b, d->last_error);
    }
    buf_add_char(b, '}');
}

static void list_deliveries_of(struct call *c, struct str webhook)
{
    struct delivery_list all;
    struct error e = { 0 };
    struct buf body = BUF_INIT(REPLY_MAX);

    const struct delivery_query of = {
        .project = call_scope(c),
        .webhook = webhook,
        .most = DELIVERIES_MAX,
    };
    if (delivery_query(c->api->store, c->arena, &of, &all, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    buf_add_c(&body, "{\"deliveries\":[");
    for (uint32_t i = 0; i < all.count; i++) {
        if (i)
            buf_add_char(&body, ',');
        write_delivery(&all.item[i], &body);
    }
    buf_add_c(&body, "]}");
    call_reply(c, &body);
}

static void deliveries_of_webhook(struct call *c)
{
    struct webhook w;

    if (get_webhook(c, &w))
        list_deliveries_of(c, str_of(w.id));
}

static void deliveries(struct call *c)
{
    list_deliveries_of(c, (struct str){ 0 });
}

static bool read_id(struct str text, int64_t *id)
{
    uint64_t n;

    if (!str_number(text, &n) || n > INT64_MAX)
        return false;
    *id = (int64_t)n;
    return true;
}

static void replay(struct call *c)
{
    int64_t id;
    struct error e = { 0 };

    if (!read_id(c->param[0], &id))
        call_fail_as(c, 404, NULL, "There is no such delivery.");
    else if (delivery_replay(c->api->store, call_scope(c), id, &e) < 0)
        call_fail(c, &e);
    else
        call_reply_c(c, "{}");
}

/* What jobs' own targets (webhookConfig) are signed with. */
static void project_secret(struct call *c)
{
    char secret[WEBHOOK_SECRET_BYTES];
    struct error e = { 0 };
    struct buf body = BUF_INIT(1024);

    if (webhook_secret_project(c->api->store, own_project(c), secret, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    buf_addf(&body, "{\"secret\":\"%s\"}", secret);
    call_reply(c, &body);
}

#define GEMINI "/(v1|v1beta|v1alpha)"
#define OWN "/tranche/v1"

// clang-format off
const struct route api_webhooks_routes[] = {
    { HTTP_POST,   GEMINI "/webhooks",                          ROLE_SUBMITTER, 0, create, BODY_MAX, NULL },
    { HTTP_GET,    GEMINI "/webhooks",                          ROLE_VIEWER, 0, list, 0, NULL },
    { HTTP_GET,    GEMINI "/webhooks/{}",                       ROLE_VIEWER, 0, get, 0, NULL },
    { HTTP_PATCH,  GEMINI "/webhooks/{}",                       ROLE_SUBMITTER, 0, update, BODY_MAX, NULL },
    { HTTP_DELETE, GEMINI "/webhooks/{}",                       ROLE_SUBMITTER, 0, delete, BODY_MAX, NULL },
    { HTTP_POST,   GEMINI "/webhooks/{}:ping",                  ROLE_SUBMITTER, 0, ping, BODY_MAX, NULL },
    { HTTP_POST,   GEMINI "/webhooks/{}:rotateSigningSecret",   ROLE_SUBMITTER, 0, rotate, BODY_MAX, NULL },
    { HTTP_GET,    GEMINI "/webhooks/{}/deliveries",            ROLE_VIEWER, 0, deliveries_of_webhook, 0, NULL },
    { HTTP_GET,    OWN "/deliveries",                             ROLE_VIEWER, 0, deliveries, 0, NULL },
    { HTTP_POST,   OWN "/deliveries/{}:replay",                   ROLE_SUBMITTER, 0, replay, BODY_MAX, NULL },
    { HTTP_GET,    OWN "/webhookSecret",                          ROLE_SUBMITTER, 0, project_secret, 0, NULL },
    { 0 },
};
// clang-format on
