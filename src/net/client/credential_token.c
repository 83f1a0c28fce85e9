/* credential_token.c -- a signed assertion of who we are, and the access token that is given for it.
 *
 * Source:  RFC 7515 (JWS, compact), RFC 7523 section 2.1,
 *          https://developers.google.com/identity/protocols/oauth2/service-account#httprest
 */
#include "net/client/credential_inner.h"

#include <string.h>

#include "base/json.h"
#include "base/json_write.h"
#include "net/client/http_client.h"

#define SCOPE "https://www.googleapis.com/auth/cloud-platform"
#define GRANT "urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer"
#define ASSERTION_BYTES_MAX ((size_t)64 * 1024)
#define ANSWER_BYTES_MAX ((size_t)64 * 1024)
#define SHOWN_BYTES 160 /* of the server's message */
#define SIGNATURE_BYTES (CREDENTIAL_KEY_BITS_MAX / 8)

/* ---- The request ---- */

static void add_base64url(struct buf *out, const void *p, size_t len)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    const unsigned char *in = p;

    for (size_t i = 0; i < len; i += 3) {
        size_t have = len - i < 3 ? len - i : 3;
        uint32_t bits = (uint32_t)in[i] << 16 | (have > 1 ? (uint32_t)in[i + 1] << 8 : 0) |
                        (have > 2 ? in[i + 2] : 0);
        for (size_t digit = 0; digit <= have; digit++)
            buf_add_char(out, digits[bits >> (18 - 6 * digit) & 63]);
    }
}

static void add_head(const struct credential_account *a, struct buf *form)
{
    struct buf json = BUF_INIT(ASSERTION_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&json);

    json_object(&w, NULL);
    json_add_c(&w, "alg", "RS256");
    json_add_c(&w, "typ", "JWT");
    if (a->key_id[0])
        json_add_c(&w, "kid", a->key_id);
    json_end(&w);
    add_base64url(form, json.p, json.len);
    buf_release(&json);
}

static void add_claims(const struct credential_account *a, struct buf *form)
{
    struct clock *clock = clock_system();
    int64_t now_s = clock->wall_us(clock) / 1000000;
    struct buf json = BUF_INIT(ASSERTION_BYTES_MAX);
    struct json_writer w = JSON_WRITER(&json);

    json_object(&w, NULL);
    json_add_c(&w, "iss", a->email);
    json_add_c(&w, "scope", SCOPE);
    json_add_c(&w, "aud", a->token_uri);
    json_add_int(&w, "iat", now_s);
    json_add_int(&w, "exp", now_s + CREDENTIAL_LIFE_S);
    json_end(&w);
    add_base64url(form, json.p, json.len);
    buf_release(&json);
}

static int add_signature(EVP_PKEY *key, struct str text, struct buf *form, struct error *e)
{
    unsigned char signature[SIGNATURE_BYTES];
    size_t len = sizeof signature;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool ok = ctx && EVP_DigestSignInit(ctx, NULL, EVP_sha256(), NULL, key) == 1 &&
              EVP_DigestSign(ctx, signature, &len, (const unsigned char *)text.p, text.len) == 1;

    EVP_MD_CTX_free(ctx);
    if (!ok)
        return error_set(e, ERROR_INTERNAL, "cannot sign with its key");
    add_base64url(form, signature, len);
    return 0;
}

static void add_value(struct buf *form, const char *name, const char *value)
{
    buf_add_c(form, name);
    http_add_encoded(form, str_of(value), "");
}

static void add_user(const struct credential_account *a, struct buf *form)
{
    buf_add_c(form, "grant_type=refresh_token");
    add_value(form, "&client_id=", a->client_id);
    add_value(form, "&client_secret=", a->client_secret);
    add_value(form, "&refresh_token=", a->refresh_token);
}

/* The metadata server is asked without a form. */
static int make_form(const struct credential_account *a, struct buf *form, struct error *e)
{
    if (a->kind == ACCOUNT_USER)
        add_user(a, form);
    if (a->kind != ACCOUNT_SERVICE)
        return buf_ok(form) ? 0 : error_set(e, ERROR_INVALID_ARGUMENT, "its names are too long");
    buf_add_c(form, "grant_type=" GRANT "&assertion=");
    size_t begin = form->len;
    add_head(a, form);
    buf_add_char(form, '.');
    add_claims(a, form);
    const struct str text = str_sub(buf_str(form), begin, form->len);
    struct buf signature = BUF_INIT(ASSERTION_BYTES_MAX);
    int rc = add_signature(a->key, text, &signature, e);
    buf_add_char(form, '.');
    buf_add_str(form, buf_str(&signature));
    buf_release(&signature);
    if (rc == 0 && !buf_ok(form))
        rc = error_set(e, ERROR_INVALID_ARGUMENT, "its names are too long");
    return rc;
}

/* ---- The answer ---- */

/* A server may echo what it was sent: a text that looks like a part of an assertion is not shown. */
static void add_shown(struct buf *out, const char *before, struct str said)
{
    if (said.len == 0 || str_find(said, STR("eyJ")) != SIZE_MAX)
        return;
    buf_add_c(out, before);
    buf_add_plain(out, str_cut(said, SHOWN_BYTES), false);
}

static int refuse(const struct http_in *in, yyjson_val *answer, struct error *e)
{
    bool final = in->status == 400 || in->status == 401 || in->status == 403;
    struct buf said = BUF_INIT(ERROR_MSG_BYTES);

    add_shown(&said, ": ", json_str(json_get(answer, "error")));
    add_shown(&said, ": ", json_str(json_get(answer, "error_description")));
    (void)error_set(e, final ? ERROR_UNAUTHENTICATED : ERROR_UNAVAILABLE,
                    "its server answered with status %d%.*s", in->status, STR_ARG(buf_str(&said)));
    buf_release(&said);
    return -1;
}

static int read_token(yyjson_val *answer, struct buf *token, uint32_t *life_s, struct error *e)
{
    struct str text = json_str(json_get(answer, "access_token"));
    yyjson_val *life = json_get(answer, "expires_in");
    struct error bad = { 0 };

    if (credential_secret_take(text, "the token", token, &bad) < 0)
        return error_set(e, ERROR_UNAVAILABLE, "its server did not answer with a token");
    *life_s = CREDENTIAL_LIFE_S;
    if (!life)
        return 0;
    double seconds = yyjson_is_num(life) ? yyjson_get_num(life) : 0;
    if (!(seconds >= 1))
        return error_set(e, ERROR_UNAVAILABLE, "its server gave a token that has ended");
    *life_s = seconds < CREDENTIAL_LIFE_S_MAX ? (uint32_t)seconds : CREDENTIAL_LIFE_S_MAX;
    return 0;
}

static int read_answer(const struct http_in *in, struct buf *token, uint32_t *life_s,
                       struct error *e)
{
    struct arena arena = { 0 };
    struct error bad = { 0 };
    size_t at;
    yyjson_val *answer = json_parse(&arena, buf_str(&in->body), &at, &bad);
    int rc = in->status == 200 ? read_token(answer, token, life_s, e) : refuse(in, answer, e);

    arena_release(&arena);
    return rc;
}

/* ---- The exchange ---- */

int credential_token_fetch(const struct credential_account *a, const char *ca_file,
                           const atomic_bool *stop, struct buf *token, uint32_t *life_s,
                           struct error *e)
{
    static const char *const header[] = { "Content-Type: application/x-www-form-urlencoded",
                                          "Accept: application/json", NULL };
    static const char *const flavor[] = { "Metadata-Flavor: Google", NULL };
    bool machine = a->kind == ACCOUNT_MACHINE;
    struct buf form = BUF_INIT(ASSERTION_BYTES_MAX);
    struct http_client *client = NULL;
    struct http_in in = { 0 };
    int rc = -1;

    if (make_form(a, &form, e) < 0)
        goto out;
    client = http_client_new();
    const struct http_out out = { .method = machine ? "GET" : "POST",
                                  .url = a->token_uri,
                                  .header = machine ? flavor : header,
                                  .body = buf_str(&form),
                                  .timeout_ms = CREDENTIAL_FETCH_MS,
                                  .body_max = ANSWER_BYTES_MAX,
                                  .ca_file = ca_file,
                                  .stop = stop };
    rc = http_do(client, &out, &in, e);
    if (rc == 0)
        rc = read_answer(&in, token, life_s, e);
    else if (e->code == ERROR_DEADLINE_EXCEEDED || e->code == ERROR_RESOURCE_EXHAUSTED)
        e->code = ERROR_UNAVAILABLE;
out:
    http_client_free(client);
    credential_wipe(&in.body);
    http_in_release(&in);
    credential_wipe(&form);
    return rc < 0 ? error_wrap(e, "no access token for %s", a->email) : 0;
}
