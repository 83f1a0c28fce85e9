/* console.c -- see console.h: the files, and sessions. */
#include "api/console/console.h"

#include <stdio.h>
#include <xxhash.h>

#include "api/call.h"
#include "base/json.h"
#include "store/jobs/signins.h"

#define SESSION_REPLY_BYTES_MAX 4096
#define KEY_BODY_BYTES_MAX 1024
#define TICKET_BODY_BYTES_MAX ((size_t)16 * 1024)
#define ASSET_BYTES_MAX ((size_t)4 * 1024 * 1024)

/* Nothing but our own files and addresses; what a model wrote can be no script, frame or form. */
#define POLICY                                                                                     \
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "        \
    "media-src blob: data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; "         \
    "form-action 'none'"

/* ---- Files ---- */

static void reply_asset(struct call *c, const char *type, const char *begin, const char *end)
{
    struct buf body = BUF_INIT(ASSET_BYTES_MAX);
    char tag[32];

    (void)snprintf(tag, sizeof tag, "\"%016llx\"",
                   (unsigned long long)XXH3_64bits(begin, (size_t)(end - begin)));
    http_set_header(c->http, "Content-Security-Policy", STR(POLICY));
    http_set_header(c->http, "Referrer-Policy", STR("no-referrer"));
    http_set_header(c->http, "Cache-Control", STR("no-cache"));
    http_set_header(c->http, "ETag", str_of(tag));
    if (str_eq_c(http_header(c->http, "If-None-Match"), tag)) {
        http_reply(c->http, 304, NULL, NULL);
        return;
    }
    buf_add(&body, begin, (size_t)(end - begin));
    http_reply(c->http, 200, type, &body);
}

static void get_index(struct call *c)
{
    reply_asset(c, "text/html; charset=utf-8", console_index, console_index_end);
}

static void get_script(struct call *c)
{
    reply_asset(c, "text/javascript; charset=utf-8", console_app_js, console_app_js_end);
}

static void get_style(struct call *c)
{
    reply_asset(c, "text/css; charset=utf-8", console_app_css, console_app_css_end);
}

static void get_icon(struct call *c)
{
    reply_asset(c, "image/svg+xml", console_icon, console_icon_end);
}

/* ---- Sessions ---- */

static void set_cookie(struct call *c, const char *text, int64_t seconds)
{
    bool tls = str_starts(call_base_url(c), STR("https:"));

    http_set_header(c->http, "Set-Cookie",
                    str_of(arena_textf(c->arena,
                                       SESSION_COOKIE "=%s; Path=/; Max-Age=%lld; HttpOnly; "
                                                      "SameSite=Strict%s",
                                       text, (long long)seconds, tls ? "; Secure" : "")));
}

static void reply_session(struct call *c)
{
    struct buf body = BUF_INIT(SESSION_REPLY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);

    json_object(&w, NULL);
    json_add_bool(&w, "open", c->who.all);
    json_add_c(&w, "project", call_own_project(c));
    json_add_c(&w, "role", key_role_name(c->who.role));
    json_add_c(&w, "key", c->who.key);
    json_add_c(&w, "location", c->api->default_location);
    json_add_c(&w, "version", TRANCHE_VERSION);
    json_end(&w);
    call_reply(c, &body);
}

/* {"key": "tk_..."}: a cookie for it. */
static void create_session(struct call *c)
{
    char text[SESSION_TEXT_BYTES];
    struct error e = { 0 };
    struct key key = { 0 };
    yyjson_val *root = call_json(c, &e);

    if (!root) {
        call_fail(c, &e);
        return;
    }
    int found = key_find(c->api->store, c->arena, json_str(yyjson_obj_get(root, "key")), &key, &e);
    if (found == 1 && signin_create(c->api->store, key.id, text, &e) < 0)
        found = -1;
    if (found < 0) {
        call_fail(c, &e);
    } else if (found == 0) {
        call_fail_as(c, 401, NULL,
                     "This is not a valid key. `tranche keys create` makes one; a key of a service "
                     "account cannot sign in.");
    } else {
        c->who.role = key.role;
        (void)snprintf(c->who.project, sizeof c->who.project, "%s", key.project);
        (void)snprintf(c->who.key, sizeof c->who.key, "%s", key.id);
        set_cookie(c, text, SESSION_LIFE_S);
        reply_session(c);
    }
}

static void refresh_session(struct call *c)
{
    struct error e = { 0 };

    if (signin_touch(c->api->store, auth_cookie(c->http), &e) < 0)
        call_fail(c, &e);
    else
        reply_session(c);
}

/* {"path": "/v1/..."}: a ticket for a link to it. While there is no key, a link needs none. */
static void create_ticket(struct call *c)
{
    char text[AUTH_TOKEN_BYTES] = "";
    struct buf body = BUF_INIT(SESSION_REPLY_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&body);
    struct error e = { 0 };
    yyjson_val *root = call_json(c, &e);
    struct str path = root ? json_str(yyjson_obj_get(root, "path")) : (struct str){ 0 };
    int rc = root ? 0 : -1;

    if (rc == 0 && !str_starts(path, STR("/")))
        rc = error_set(&e, ERROR_INVALID_ARGUMENT,
                       "path: the path of a call is needed, as \"/v1/...\", without its query.");
    if (rc == 0 && !c->who.all)
        rc = auth_ticket(c->api->store, c->who.key, path, text, &e);
    if (rc < 0) {
        call_fail(c, &e);
        return;
    }
    json_object(&w, NULL);
    json_add_c(&w, "ticket", text);
    json_add_uint(&w, "seconds", AUTH_TICKET_S);
    json_end(&w);
    http_set_header(c->http, "Cache-Control", STR("no-store"));
    call_reply(c, &body);
}

static void end_session(struct call *c)
{
    struct error e = { 0 };

    if (signin_end(c->api->store, auth_cookie(c->http), &e) < 0) {
        call_fail(c, &e);
        return;
    }
    set_cookie(c, "", 0);
    call_reply_c(c, "{}");
}

// clang-format off
const struct route api_console_routes[] = {
    { HTTP_GET,    "/",                           ROLE_VIEWER, ROUTE_PUBLIC | ROUTE_PAGE | ROUTE_LOCAL, get_index, 0, NULL },
    { HTTP_GET,    "/console/app.js",             ROLE_VIEWER, ROUTE_PUBLIC | ROUTE_PAGE | ROUTE_LOCAL, get_script, 0, NULL },
    { HTTP_GET,    "/console/app.css",            ROLE_VIEWER, ROUTE_PUBLIC | ROUTE_PAGE | ROUTE_LOCAL, get_style, 0, NULL },
    { HTTP_GET,    "/console/icon.svg",           ROLE_VIEWER, ROUTE_PUBLIC | ROUTE_PAGE | ROUTE_LOCAL, get_icon, 0, NULL },
    { HTTP_GET,    "/tranche/v1/session",         ROLE_VIEWER, 0, reply_session, 0, NULL },
    { HTTP_POST,   "/tranche/v1/session",         ROLE_VIEWER, ROUTE_PUBLIC | ROUTE_WAITS, create_session, KEY_BODY_BYTES_MAX, NULL },
    { HTTP_POST,   "/tranche/v1/session:refresh", ROLE_VIEWER, ROUTE_WAITS, refresh_session, 0, NULL },
    { HTTP_POST,   "/tranche/v1/session:ticket",  ROLE_VIEWER, ROUTE_WAITS, create_ticket, TICKET_BODY_BYTES_MAX, NULL },
    { HTTP_DELETE, "/tranche/v1/session",         ROLE_VIEWER, ROUTE_WAITS, end_session, 0, NULL },
    { 0 },
};
// clang-format on
