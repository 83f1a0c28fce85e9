/* webhooks.c -- the Gemini API's webhooks resource, as google-genai's client.webhooks uses it, and the
 * list of deliveries.
 *
 * Source:  google-genai 3.4, webhooks; docs/reference/webhooks.md.
 */
#include "api/call.h"

#include <string.h>

#include "api/webhooks/send.h"
#include "format/request/request.h"

#define BODY_MAX ((size_t)64 * 1024)
#define REPLY_MAX ((size_t)4 * 1024 * 1024)
#define SECRET_REPLY_MAX 1024
#define NAME_BYTES_MAX ((size_t)256)
#define EVENTS_BYTES_MAX 4096
#define DELIVERIES_MAX 100
#define DAY_US ((int64_t)86400 * 1000000)
#define SECRET_SHOWN 12 /* characters of a truncated secret */

/* Events that a webhook may subscribe to; only those of batches are ever sent. */
static const char *const event_names[] = {
    "batch.succeeded",       "batch.expired",      "batch.failed",
    "batch.cancelled",       "interaction.failed", "interaction.requires_action",
    "interaction.completed", "video.generated",
};

/* ---- Writing ---- */

static void add_secret(struct json_writer *j, struct str secret, int64_t until_us)
{
    json_object(j, NULL);
    json_add_text(j, "truncated_secret", str_sub(secret, 0, SECRET_SHOWN));
    if (until_us)
        call_add_time(j, "expire_time", until_us);
    json_end(j);
}

static void add_events(struct json_writer *j, struct str events)
{
    json_array(j, "subscribed_events");
    while (events.len) {
        struct str one = str_sub(events, 0, str_find(events, STR(",")));
        json_add_text(j, NULL, one);
        events = str_sub(events, one.len + 1, events.len);
    }
    json_end(j);
}

/* fresh: the webhook was just made, and its whole secret is shown this once. */
static void add_webhook(struct json_writer *j, const struct webhook *w, bool fresh)
{
    json_object(j, NULL);
    json_add_c(j, "id", w->id);
    json_add_raw(j, "name", w->spec.len ? w->spec : STR("\"\""));
    json_add_text(j, "uri", w->uri);
    add_events(j, w->events);
    json_add_c(j, "state", w->enabled ? "enabled" : "disabled");
    call_add_time(j, "create_time", w->create_us);
    call_add_time(j, "update_time", w->update_us);
    json_array(j, "signing_secrets");
    add_secret(j, w->secret, 0);
    if (w->secret_old.len)
        add_secret(j, w->secret_old, w->secret_old_until_us);
    json_end(j);
    if (fresh)
        json_add_text(j, "new_signing_secret", w->secret);
    json_end(j);
}

static void reply_webhook(struct call *c, const struct webhook *w, bool fresh)
{
    struct buf body = BUF_INIT(REPLY_MAX);
    struct json_writer j = JSON_WRITER(&body);

    add_webhook(&j, w, fresh);
    call_reply(c, &body);
}

static void reply_secret(struct call *c, struct str secret)
{
    struct buf body = BUF_INIT(SECRET_REPLY_MAX);
    struct json_writer j = JSON_WRITER(&body);

    json_object(&j, NULL);
    json_add_text(&j, "secret", secret);
    json_end(&j);
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
                         "subscribed_events: \"%.*s\" is not an event; batch.succeeded, "
                         "batch.failed, batch.cancelled and batch.expired are sent",
                         STR_ARG(str_sub(name, 0, 64)));
    if (out->len)
        buf_add_char(out, ',');
    buf_add_str(out, name);
    return 0;
}

static int read_events(struct arena *a, yyjson_val *list, struct webhook *w, struct error *e)
{
    struct buf out = BUF_INIT(EVENTS_BYTES_MAX);
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

    if (!web || uri.len > WEBHOOK_URI_MAX || str_find(uri, STR(" ")) != SIZE_MAX ||
        memchr(uri.p, '\0', uri.len))
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
    struct buf text = BUF_INIT(NAME_BYTES_MAX * 8);

    struct str name = json_str(v);

    if (!yyjson_is_str(v) || name.len > NAME_BYTES_MAX ||
        (name.len && memchr(name.p, '\0', name.len)))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "name must be a text of at most %zu bytes without a NUL", NAME_BYTES_MAX);
    buf_add_json(&text, json_str(v));
    w->spec = (struct str){ arena_copy(a, text.p, text.len), text.len };
    buf_release(&text);
    return 0;
}

/* Sets the members that the body has; the others stay as they are. */
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

static int create_webhook(struct call *c, struct webhook *w, struct error *e)
{
    *w = (struct webhook){ .enabled = true, .project = str_of(call_own_project(c)) };
    if (read_webhook(c, w, e) < 0)
        return -1;
    if (w->uri.len == 0 || w->events.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "uri and subscribed_events are required");
    char *secret = arena_alloc(c->arena, WEBHOOK_SECRET_BYTES);
    if (webhook_secret_new(secret, e) < 0)
        return -1;
    w->secret = str_of(secret);
    return webhook_put(c->api->store, w, e);
}

static void create(struct call *c)
{
    struct webhook w;
    struct error e = { 0 };

    if (create_webhook(c, &w, &e) < 0)
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
    struct json_writer j = JSON_WRITER(&body);

    if (webhook_list(c->api->store, c->arena, call_scope(c), &all, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    json_object(&j, NULL);
    json_array(&j, "webhooks");
    for (uint32_t i = 0; i < all.count; i++)
        add_webhook(&j, &all.item[i], false);
    json_end(&j);
    json_end(&j);
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

static int rotate_secret(struct call *c, struct webhook *w, struct error *e)
{
    yyjson_val *body = call_json(c, e);

    if (!body)
        return -1;
    struct str behavior = json_str(request_field(body, "revocationBehavior"));
    bool at_once = str_eq_c(behavior, "revoke_previous_secrets_immediately");
    char *secret = arena_alloc(c->arena, WEBHOOK_SECRET_BYTES);
    if (webhook_secret_new(secret, e) < 0)
        return -1;
    w->secret_old = at_once ? (struct str){ 0 } : w->secret;
    w->secret_old_until_us = at_once ? 0 : c->api->clock->wall_us(c->api->clock) + DAY_US;
    w->secret = str_of(secret);
    return webhook_put(c->api->store, w, e);
}

static void rotate(struct call *c)
{
    struct webhook w;
    struct error e = { 0 };

    if (!get_webhook(c, &w))
        return;
    if (rotate_secret(c, &w, &e) < 0)
        call_fail(c, &e);
    else
        reply_secret(c, w.secret);
}

/* The sender answers the call: the webhook may be slow. */
static void ping(struct call *c)
{
    struct webhook w;
    struct error e = { 0 };

    if (get_webhook(c, &w) && webhook_ping(c->api->sender, c, &w, &e) < 0)
        call_fail(c, &e);
}

/* ---- Deliveries ---- */

static void add_delivery(struct json_writer *j, const struct delivery *d)
{
    static const char *const states[] = { "waiting", "delivered", "given_up" };

    json_object(j, NULL);
    call_add_int64(j, "id", d->id);
    call_add_int64(j, "job", d->job);
    json_add_c(j, "state", states[d->state]);
    json_add_uint(j, "attempts", d->attempts);
    json_add_text(j, "uri", d->uri);
    call_add_time(j, "create_time", d->create_us);
    if (d->state == DELIVERY_WAITS)
        call_add_time(j, "next_time", d->due_us);
    if (d->last_status)
        json_add_int(j, "last_status", d->last_status);
    if (d->last_error.len)
        json_add_text(j, "last_error", d->last_error);
    json_end(j);
}

static void list_deliveries_of(struct call *c, struct str webhook)
{
    struct delivery_list all;
    struct error e = { 0 };
    struct buf body = BUF_INIT(REPLY_MAX);
    struct json_writer j = JSON_WRITER(&body);

    const struct delivery_query of = {
        .project = call_scope(c),
        .webhook = webhook,
        .most = DELIVERIES_MAX,
    };
    if (delivery_query(c->api->store, c->arena, &of, &all, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    json_object(&j, NULL);
    json_array(&j, "deliveries");
    for (uint32_t i = 0; i < all.count; i++)
        add_delivery(&j, &all.item[i]);
    json_end(&j);
    json_end(&j);
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

static void replay(struct call *c)
{
    int64_t id;
    struct error e = { 0 };

    if (!call_int64(c->param[0], &id))
        call_fail_as(c, 404, NULL, "There is no such delivery.");
    else if (delivery_replay(c->api->store, call_scope(c), id, &e) < 0)
        call_fail(c, &e);
    else
        call_reply_c(c, "{}");
}

/* The secret that signs what is sent to jobs' own targets (webhookConfig). */
static void project_secret(struct call *c)
{
    char secret[WEBHOOK_SECRET_BYTES];
    struct error e = { 0 };

    if (webhook_secret_project(c->api->store, call_own_project(c), secret, &e) < 0)
        call_fail(c, &e);
    else
        reply_secret(c, str_of(secret));
}

#define GEMINI "/(v1|v1beta|v1alpha)"
#define OWN "/tranche/v1"

// clang-format off
const struct route api_webhooks_routes[] = {
    { HTTP_POST,   GEMINI "/webhooks",                          ROLE_SUBMITTER, ROUTE_WAITS, create, BODY_MAX, NULL },
    { HTTP_GET,    GEMINI "/webhooks",                          ROLE_VIEWER, 0, list, 0, NULL },
    { HTTP_GET,    GEMINI "/webhooks/{}",                       ROLE_VIEWER, 0, get, 0, NULL },
    { HTTP_PATCH,  GEMINI "/webhooks/{}",                       ROLE_SUBMITTER, ROUTE_WAITS, update, BODY_MAX, NULL },
    { HTTP_DELETE, GEMINI "/webhooks/{}",                       ROLE_SUBMITTER, ROUTE_WAITS, delete, BODY_MAX, NULL },
    { HTTP_POST,   GEMINI "/webhooks/{}:ping",                  ROLE_SUBMITTER, ROUTE_WAITS, ping, BODY_MAX, NULL },
    { HTTP_POST,   GEMINI "/webhooks/{}:rotateSigningSecret",   ROLE_SUBMITTER, ROUTE_WAITS, rotate, BODY_MAX, NULL },
    { HTTP_GET,    GEMINI "/webhooks/{}/deliveries",            ROLE_VIEWER, 0, deliveries_of_webhook, 0, NULL },
    { HTTP_GET,    OWN "/deliveries",                             ROLE_VIEWER, 0, deliveries, 0, NULL },
    { HTTP_POST,   OWN "/deliveries/{}:replay",                   ROLE_SUBMITTER, ROUTE_WAITS, replay, BODY_MAX, NULL },
    { HTTP_GET,    OWN "/webhookSecret",                          ROLE_SUBMITTER, 0, project_secret, 0, NULL },
    { 0 },
};
// clang-format on
