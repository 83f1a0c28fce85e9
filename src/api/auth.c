#include "api/auth.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/mem.h"
#include "store/jobs/signins.h"

/* A longer header or parameter cannot be a credential of ours. */
#define CREDENTIAL_BYTES_MAX 1024

/* RFC 9110: the scheme's case does not matter. A header with another scheme stays as it is, which is a
 * bad credential. */
static struct str without_scheme(struct str header)
{
    static const char scheme[] = "bearer ";

    if (header.len >= sizeof scheme && strncasecmp(header.p, scheme, sizeof scheme - 1) == 0)
        return str_trim(str_sub(header, sizeof scheme - 1, header.len));
    return header;
}

static bool credential(struct http_call *c, struct str *out)
{
    *out = without_scheme(http_header(c, "Authorization"));
    if (out->len)
        return true;
    *out = http_header(c, "x-goog-api-key");
    if (out->len)
        return true;
    return (http_query(c, "key", out) && out->len) ||
           (http_query(c, "access_token", out) && out->len);
}

struct str auth_cookie(const struct http_call *c)
{
    struct str rest = http_header(c, "Cookie"), name = STR(SESSION_COOKIE "=");

    while (rest.len) {
        size_t end = str_find(rest, STR(";"));
        struct str one = str_trim(str_sub(rest, 0, end == SIZE_MAX ? rest.len : end));
        if (str_starts(one, name))
            return str_sub(one, name.len, one.len);
        rest = str_sub(rest, end == SIZE_MAX ? rest.len : end + 1, rest.len);
    }
    return (struct str){ 0 };
}

static bool only_reads(const struct http_call *c)
{
    return http_method(c) == HTTP_GET || http_method(c) == HTTP_HEAD;
}

/* Does one of our own pages make this call? Another site's can neither send the header nor have our Origin. */
static bool is_console(struct http_call *c)
{
    struct str origin = http_header(c, "Origin");
    size_t scheme = str_find(origin, STR("://"));

    if (!http_header(c, CONSOLE_HEADER).len)
        return false;
    if (only_reads(c) && !origin.len)
        return true;
    return scheme != SIZE_MAX &&
           str_eq(str_sub(origin, scheme + 3, origin.len), http_header(c, "Host"));
}

/* 1 and the valid key, or 0. */
static int find(struct store *s, struct arena *a, struct str text, struct key *out, struct error *e)
{
    if (text.len > CREDENTIAL_BYTES_MAX)
        return 0;
    int found = auth_token_find(s, a, text, out, e);
    return found ? found : key_find(s, a, text, out, e);
}

/* Counting valid keys is cheap, so revoked keys are looked for only when there is no valid one. */
int auth_is_open(struct store *s, struct arena *a, struct error *e)
{
    uint64_t valid = 0;
    struct key_list ever = { 0 };

    if (key_count(s, &valid, e) < 0)
        return -1;
    if (valid)
        return 0;
    return key_list(s, a, &ever, e) < 0 ? -1 : ever.count == 0;
}

enum auth_result auth_principal(struct store *s, struct http_call *c, struct principal *out,
                                struct error *e)
{
    struct arena *a = http_arena(c);
    struct str text = { 0 }, ticket = { 0 };
    struct key key = { 0 };
    bool given = credential(c, &text);
    int found = given ? find(s, a, text, &key, e) : 0;

    if (!given && auth_cookie(c).len && is_console(c)) {
        given = true;
        found = signin_find(s, a, auth_cookie(c), &key, e);
    } else if (!given && only_reads(c) && http_query(c, "ticket", &ticket)) {
        given = true;
        found = auth_ticket_find(s, a, ticket, http_path(c), &key, e);
    }

    *out = (struct principal){ 0 };
    if (found < 0)
        return AUTH_FAILED;
    if (found) {
        out->role = key.role;
        (void)snprintf(out->project, sizeof out->project, "%s", key.project);
        (void)snprintf(out->key, sizeof out->key, "%s", key.id);
        return AUTH_OK;
    }
    int open = auth_is_open(s, a, e);
    if (open < 0)
        return AUTH_FAILED;
    if (!open)
        return given ? AUTH_BAD : AUTH_NONE;
    *out = (struct principal){ .all = true, .role = ROLE_ADMIN };
    return AUTH_OK;
}

/* The host of "host:port" or "[address]:port". */
static struct str host_of(struct str authority)
{
    if (str_starts(authority, STR("["))) {
        size_t end = str_find(authority, STR("]"));
        return str_sub(authority, 0, end == SIZE_MAX ? 0 : end + 1);
    }
    return str_sub(authority, 0, str_find(authority, STR(":")));
}

/* The rest after the host: nothing, or a port. */
static bool is_port(struct str rest)
{
    if (rest.len == 0)
        return true;
    if (rest.p[0] != ':' || rest.len > sizeof ":65535" - 1)
        return false;
    for (size_t i = 1; i < rest.len; i++)
        if (rest.p[i] < '0' || rest.p[i] > '9')
            return false;
    return true;
}

static bool is_loopback(struct str authority)
{
    static const char *const names[] = { "127.0.0.1", "localhost", "[::1]" };
    struct str host = host_of(authority);

    if (!is_port(str_sub(authority, host.len, authority.len)))
        return false;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (host.len == strlen(names[i]) && strncasecmp(host.p, names[i], host.len) == 0)
            return true;
    return false;
}

int auth_open_guard(struct str host, struct str origin, struct error *e)
{
    size_t scheme = str_find(origin, STR("://"));

    if (!is_loopback(host))
        return error_set(e, ERROR_PERMISSION_DENIED,
                         "While no key exists this server answers to 127.0.0.1, localhost and "
                         "[::1] only, not to the name in the Host header. Make a key with `tranche "
                         "keys create`, or call it by one of these.");
    if (origin.len == 0)
        return 0;
    if (scheme != SIZE_MAX && is_loopback(str_sub(origin, scheme + 3, origin.len)))
        return 0;
    return error_set(
        e, ERROR_PERMISSION_DENIED,
        "While no key exists this server does not answer web pages of other origins, and "
        "the Origin header names one. Make a key with `tranche keys create`.");
}

bool auth_project_valid(struct str name)
{
    static const char allowed[] = "-_.:";

    if (name.len == 0 || name.len >= PROJECT_BYTES)
        return false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!letter && !(c >= '0' && c <= '9') && !memchr(allowed, c, sizeof allowed - 1))
            return false;
    }
    return true;
}
