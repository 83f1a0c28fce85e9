#include "api/keys.h"

#include <stdio.h>
#include <string.h>

#include "api/call.h"
#include "format/job/resource.h"

#define KEYS_REPLY_BYTES_MAX ((size_t)64 * 1024 * 1024)
#define BODY_BYTES_MAX ((size_t)4096)
#define DAY_US ((int64_t)86400 * 1000000)

// clang-format off
static const struct field create_fields[] = {
    RESOURCE_FIELD("name",        STRING),
    RESOURCE_FIELD("role",        STRING),
    RESOURCE_FIELD("project",     STRING),
    RESOURCE_FIELD("expiresDays", INTEGER, .ranged = true, .lo = 1, .hi = KEY_DAYS_MAX),
};
static const struct message create_message = RESOURCE_MESSAGE("a key", create_fields,
    .example = "{\"name\": \"ci\", \"role\": \"user\"}");
// clang-format on

/* ---- Writing ---- */

const char *key_state(const struct key *key, int64_t now_us)
{
    if (key->revoke_us)
        return "revoked";
    return key->expire_us && key->expire_us <= now_us ? "expired" : "valid";
}

static void add_time(struct json_writer *w, const char *name, int64_t us)
{
    char text[CLOCK_TEXT_BYTES];

    if (!us)
        return;
    clock_format_rfc3339(us, text);
    json_add_c(w, name, text);
}

void key_add_members(struct json_writer *w, const struct key *key, int64_t now_us)
{
    json_add_c(w, "id", key->id);
    json_add_c(w, "project", key->project);
    json_add_c(w, "role", key_role_name(key->role));
    json_add_text(w, "name", key->name);
    if (key->email.len)
        json_add_text(w, "email", key->email);
    add_time(w, "created", key->create_us);
    add_time(w, "expires", key->expire_us);
    add_time(w, "revoked", key->revoke_us);
    json_add_c(w, "state", key_state(key, now_us));
}

static int64_t now_of(const struct call *c)
{
    return c->api->clock->wall_us(c->api->clock);
}

/* ---- The calls ---- */

static bool is_ours(const struct call *c, const struct key *key)
{
    return c->who.all || strcmp(key->project, c->who.project) == 0;
}

static void get_keys(struct call *c)
{
    struct buf body = BUF_INIT(KEYS_REPLY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct key_list all = { 0 };
    struct error e = { 0 };

    if (key_list(c->api->store, c->arena, &all, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    json_object(&w, NULL);
    json_array(&w, "keys");
    for (uint32_t i = 0; i < all.count; i++) {
        if (!is_ours(c, &all.item[i]))
            continue;
        json_object(&w, NULL);
        key_add_members(&w, &all.item[i], now_of(c));
        json_end(&w);
    }
    json_end(&w);
    json_end(&w);
    call_reply(c, &body);
}

static int create_read(struct call *c, struct key *out, struct error *e)
{
    yyjson_val *body = call_json(c, e);
    int64_t days = 0;

    if (!body || resource_check("key", &create_message, body, e) < 0)
        return -1;
    yyjson_val *role = request_field(body, "role");
    struct str name = json_str(request_field(body, "name"));
    struct str project = json_str(request_field(body, "project"));
    if (!project.len)
        project = str_of(call_own_project(c));
    if (name.len > KEY_NAME_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "key.name: At most %d bytes are allowed.",
                         KEY_NAME_BYTES_MAX);
    if (!auth_project_valid(project))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "key.project: Write 1 to %d letters, digits and -_.:", PROJECT_BYTES - 1);
    *out = (struct key){ .role = ROLE_SUBMITTER, .name = name };
    (void)snprintf(out->project, sizeof out->project, "%.*s", STR_ARG(project));
    if (!is_ours(c, out))
        return error_set(e, ERROR_PERMISSION_DENIED,
                         "An admin makes keys of its own project, \"%s\". `tranche keys create "
                         "--project` makes those of others.",
                         c->who.project);
    if (role && !key_role_read(yyjson_get_str(role), &out->role))
        return error_set(e, ERROR_INVALID_ARGUMENT, "key.role: Write viewer, user or admin.");
    if (request_integer(request_field(body, "expiresDays"), &days))
        out->expire_us = now_of(c) + days * DAY_US;
    return 0;
}

/* The key's text is in this reply and nowhere else. */
static void post_key(struct call *c)
{
    struct buf body = BUF_INIT(KEYS_REPLY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    char text[KEY_TEXT_BYTES] = "";
    struct error e = { 0 };
    struct key key;

    if (create_read(c, &key, &e) < 0 || key_create(c->api->store, &key, text, &e) < 0) {
        call_fail(c, &e);
        return;
    }
    json_object(&w, NULL);
    key_add_members(&w, &key, now_of(c));
    json_add_c(&w, "key", text);
    json_end(&w);
    http_set_header(c->http, "Cache-Control", STR("no-store"));
    call_reply(c, &body);
}

static int revoke(struct call *c, struct error *e)
{
    struct key_list all = { 0 };

    if (key_list(c->api->store, c->arena, &all, e) < 0)
        return -1;
    for (uint32_t i = 0; i < all.count; i++)
        if (str_eq_c(c->param[0], all.item[i].id) && is_ours(c, &all.item[i]))
            return key_revoke(c->api->store, all.item[i].id, e);
    return error_set(e, ERROR_NOT_FOUND, "There is no key %.*s.", STR_ARG(call_quote(c->param[0])));
}

static void delete_key(struct call *c)
{
    struct error e = { 0 };

    if (revoke(c, &e) < 0)
        call_fail(c, &e);
    else
        call_reply_c(c, "{}");
}

const struct route api_keys_routes[] = {
    { HTTP_GET, "/tranche/v1/keys", ROLE_ADMIN, 0, get_keys, 0, NULL },
    { HTTP_POST, "/tranche/v1/keys", ROLE_ADMIN, ROUTE_WAITS, post_key, BODY_BYTES_MAX, NULL },
    { HTTP_DELETE, "/tranche/v1/keys/{}", ROLE_ADMIN, ROUTE_WAITS, delete_key, 0, NULL },
    { 0 },
};
