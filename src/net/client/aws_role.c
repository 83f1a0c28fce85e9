#include "net/client/aws_role.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "base/env.h"
#include "base/json.h"
#include "base/sys.h"
#include "base/timestamp.h"

#define TOKEN_BYTES_MAX ((size_t)64 * 1024)
#define CALL_MS 10000
#define MACHINE_MS 2000 /* nobody answers outside of Amazon's machines */
#define CONTAINER "http://169.254.170.2"
#define MACHINE "http://169.254.169.254"

enum aws_role aws_role_named(void)
{
    const char *off = env_get("AWS_EC2_METADATA_DISABLED");

    if (env_get("AWS_WEB_IDENTITY_TOKEN_FILE") && env_get("AWS_ROLE_ARN"))
        return AWS_ROLE_WEB;
    if (env_get("AWS_CONTAINER_CREDENTIALS_FULL_URI") ||
        env_get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"))
        return AWS_ROLE_CONTAINER;
    return off && strcmp(off, "true") == 0 ? AWS_ROLE_NONE : AWS_ROLE_MACHINE;
}

/* ---- One call ---- */

/* The answer's text in the arena. */
static int call(struct http_client *http, const struct http_out *out, struct arena *a,
                struct str *text, struct error *e)
{
    struct http_in in;
    int rc = http_do(http, out, &in, e);

    if (rc == 0 && in.status != 200)
        rc = error_set(e, in.status / 100 == 4 ? ERROR_PERMISSION_DENIED : ERROR_UNAVAILABLE,
                       "the server of the role's keys answered with status %d", in.status);
    *text = rc == 0 ? (struct str){ arena_copy(a, in.body.p ? in.body.p : "", in.body.len),
                                    in.body.len }
                    : (struct str){ 0 };
    http_in_release(&in);
    return rc;
}

static int read_keys(struct arena *a, struct str text, struct aws_role_keys *out, struct error *e)
{
    struct error bad = { 0 };
    size_t at;
    yyjson_val *root = json_parse(a, text, &at, &bad);

    *out = (struct aws_role_keys){ .id = json_str(json_get(root, "AccessKeyId")),
                                   .secret = json_str(json_get(root, "SecretAccessKey")),
                                   .token = json_str(json_get(root, "Token")) };
    if (!timestamp_read(json_str(json_get(root, "Expiration")), &out->until_us))
        out->until_us = 0;
    return out->id.len && out->secret.len
               ? 0
               : error_set(e, ERROR_UNAVAILABLE, "the server of the role's keys gave none");
}

static int read_token(const char *path, struct arena *a, struct str *out, struct error *e)
{
    struct buf text = BUF_INIT(TOKEN_BYTES_MAX);
    int rc = sys_read_file(path, TOKEN_BYTES_MAX, &text, e);
    struct str token = str_trim(buf_str(&text));

    *out = (struct str){ arena_copy(a, token.p ? token.p : "", token.len), token.len };
    buf_release(&text);
    return rc;
}

/* ---- A web identity ---- */

static struct str between(struct str text, const char *begin, const char *end)
{
    size_t from = str_find(text, str_of(begin));

    if (from == SIZE_MAX)
        return (struct str){ 0 };
    text = str_sub(text, from + strlen(begin), text.len);
    return str_sub(text, 0, str_find(text, str_of(end)));
}

static int web(struct http_client *http, struct arena *a, struct aws_role_keys *out,
               struct error *e)
{
    const char *at = env_get("AWS_ENDPOINT_URL_STS"), *region = env_get("AWS_REGION"),
               *name = env_get("AWS_ROLE_SESSION_NAME");
    struct buf form = BUF_INIT(4 * TOKEN_BYTES_MAX);
    struct str token, text;

    if (!at)
        at = region ? arena_textf(a, "https://sts.%s.amazonaws.com", region)
                    : "https://sts.amazonaws.com";
    if (read_token(env_get("AWS_WEB_IDENTITY_TOKEN_FILE"), a, &token, e) < 0)
        return -1;
    buf_add_c(&form, "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleSessionName=");
    http_add_encoded(&form, str_of(name ? name : "tranche"), "");
    buf_add_c(&form, "&RoleArn=");
    http_add_encoded(&form, str_of(env_get("AWS_ROLE_ARN")), "");
    buf_add_c(&form, "&WebIdentityToken=");
    http_add_encoded(&form, token, "");
    const struct http_out request = {
        .method = "POST",
        .url = arena_textf(a, "%s/", at),
        .header = (const char *const[]){ "Content-Type: application/x-www-form-urlencoded", NULL },
        .body = buf_str(&form),
        .timeout_ms = CALL_MS,
    };
    int rc = call(http, &request, a, &text, e);
    buf_release(&form);
    if (rc < 0)
        return -1;
    *out = (struct aws_role_keys){
        .id = between(text, "<AccessKeyId>", "</"),
        .secret = between(text, "<SecretAccessKey>", "</"),
        .token = between(text, "<SessionToken>", "</"),
    };
    if (!timestamp_read(between(text, "<Expiration>", "</"), &out->until_us))
        out->until_us = 0;
    return out->id.len && out->secret.len
               ? 0
               : error_set(e, ERROR_UNAVAILABLE, "STS gave no keys for the web identity");
}

/* ---- A container, a machine ---- */

static int container(struct http_client *http, struct arena *a, struct aws_role_keys *out,
                     struct error *e)
{
    const char *url = env_get("AWS_CONTAINER_CREDENTIALS_FULL_URI"),
               *token = env_get("AWS_CONTAINER_AUTHORIZATION_TOKEN"),
               *file = env_get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    struct str secret = str_of(token), text;
    const char *header[2] = { NULL };

    if (!url)
        url = arena_textf(a, CONTAINER "%s", env_get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"));
    if (file && read_token(file, a, &secret, e) < 0)
        return -1;
    if (secret.len)
        header[0] = arena_textf(a, "Authorization: %.*s", STR_ARG(secret));
    const struct http_out request = {
        .method = "GET", .url = url, .header = header, .timeout_ms = CALL_MS
    };
    return call(http, &request, a, &text, e) < 0 ? -1 : read_keys(a, text, out, e);
}

static int machine(struct http_client *http, struct arena *a, struct aws_role_keys *out,
                   struct error *e)
{
    const char *named = env_get("AWS_EC2_METADATA_SERVICE_ENDPOINT"), *at = named ? named : MACHINE;
    const char *roles = arena_textf(a, "%s/latest/meta-data/iam/security-credentials/", at);
    struct str token, role, text;
    const struct http_out session = {
        .method = "PUT",
        .url = arena_textf(a, "%s/latest/api/token", at),
        .header = (const char *const[]){ "X-aws-ec2-metadata-token-ttl-seconds: 21600", NULL },
        .timeout_ms = MACHINE_MS,
        .connect_ms = MACHINE_MS,
    };

    if (call(http, &session, a, &token, e) < 0)
        return -1;
    const char *const header[] = { arena_textf(a, "X-aws-ec2-metadata-token: %.*s", STR_ARG(token)),
                                   NULL };
    struct http_out request = {
        .method = "GET", .url = roles, .header = header, .timeout_ms = CALL_MS
    };
    if (call(http, &request, a, &role, e) < 0)
        return -1;
    role = str_trim(str_sub(role, 0, str_find(role, STR("\n"))));
    request.url = arena_textf(a, "%s%.*s", roles, STR_ARG(role));
    return call(http, &request, a, &text, e) < 0 ? -1 : read_keys(a, text, out, e);
}

int aws_role_fetch(enum aws_role role, struct http_client *http, struct arena *a,
                   struct aws_role_keys *out, struct error *e)
{
    switch (role) {
    case AWS_ROLE_WEB:
        return web(http, a, out, e);
    case AWS_ROLE_CONTAINER:
        return container(http, a, out, e);
    case AWS_ROLE_MACHINE:
        return machine(http, a, out, e);
    case AWS_ROLE_NONE:
        break;
    }
    return error_set(e, ERROR_NOT_FOUND, "there is no role");
}
