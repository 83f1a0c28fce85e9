/* auth_token.c -- access tokens, issued for a service account's assertion, and tickets of downloads; and their check.
 *
 * Shape:   "tat.KEY.END.MAC": the key's id, when it ends in seconds since 1970, and HMAC-SHA256 of all
 *          before it in hexadecimal digits. A ticket begins with "ttk.", and its MAC is also of a path, which
 *          follows behind a space. Nothing is kept: the store's secret and the key's state
 *          decide whether a token is valid.
 */
#include "api/auth.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include "base/base64.h"
#include "base/json.h"
#include "base/json_write.h"

#define TOKEN_PREFIX "tat."
#define TICKET_PREFIX "ttk."
#define PREFIX_BYTES (sizeof TOKEN_PREFIX - 1)
#define MAC_DIGITS ((size_t)2 * STORE_MAC_BYTES)
#define SKEW_S 60
#define ASSERTION_BYTES_MAX ((size_t)8 * 1024)
#define PUBLIC_KEY_BITS_MIN 2048
#define GRANT_TYPE "urn:ietf:params:oauth:grant-type:jwt-bearer"

/* A client dates its assertion by its own clock, which a test clock of ours does not move. */
static int64_t now_s(struct store *s)
{
    struct clock *clock = store_clock(s);

    if (clock == clock_movable())
        clock = clock_system();
    return clock->wall_us(clock) / 1000000;
}

static_assert(sizeof TOKEN_PREFIX == sizeof TICKET_PREFIX, "PREFIX_BYTES is of both");

/* path: of a ticket; empty: of an access token. */
static int mac_of(struct store *s, struct str head, struct str path, char out[MAC_DIGITS + 1],
                  struct error *e)
{
    unsigned char mac[STORE_MAC_BYTES];
    struct buf text = BUF_INIT(AUTH_TOKEN_BYTES + HTTP_HEAD_BYTES_MAX);

    buf_add_str(&text, head);
    if (path.len) {
        buf_add_char(&text, ' ');
        buf_add_str(&text, path);
    }
    assert(buf_ok(&text));
    int rc = store_mac(s, SECRET_TOKENS, buf_str(&text), mac, e);
    if (rc == 0)
        str_hex(mac, sizeof mac, out);
    buf_release(&text);
    return rc;
}

static int make(struct store *s, const char *key, struct str path, char out[AUTH_TOKEN_BYTES],
                struct error *e)
{
    char mac[MAC_DIGITS + 1];
    int64_t end = now_s(s) + (path.len ? AUTH_TICKET_S : AUTH_TOKEN_S);
    int n = snprintf(out, AUTH_TOKEN_BYTES, "%s%s.%lld", path.len ? TICKET_PREFIX : TOKEN_PREFIX,
                     key, (long long)end);

    if (mac_of(s, (struct str){ out, (size_t)n }, path, mac, e) < 0)
        return -1;
    (void)snprintf(out + n, AUTH_TOKEN_BYTES - (size_t)n, ".%s", mac);
    return 0;
}

/* Splits "tat.KEY.END"; false when it is not of that form. */
static bool token_read(struct str head, char id[KEY_ID_BYTES], int64_t *end)
{
    struct str rest = str_sub(head, PREFIX_BYTES, head.len);
    size_t dot = str_find(rest, STR("."));
    uint64_t seconds;

    if (dot == SIZE_MAX || dot == 0 || dot >= KEY_ID_BYTES ||
        !str_number(str_sub(rest, dot + 1, rest.len), &seconds) || seconds > INT64_MAX)
        return false;
    memcpy(id, rest.p, dot);
    id[dot] = '\0';
    *end = (int64_t)seconds;
    return true;
}

static int look_up(struct store *s, struct arena *a, struct str token, struct str path,
                   struct key *out, struct error *e)
{
    char mac[MAC_DIGITS + 1], id[KEY_ID_BYTES];
    int64_t end;

    if (!str_starts(token, path.len ? STR(TICKET_PREFIX) : STR(TOKEN_PREFIX)) ||
        token.len >= AUTH_TOKEN_BYTES || token.len <= MAC_DIGITS + PREFIX_BYTES + 1)
        return 0;
    struct str head = str_sub(token, 0, token.len - MAC_DIGITS - 1);
    if (token.p[head.len] != '.' || !token_read(head, id, &end))
        return 0;
    if (mac_of(s, head, path, mac, e) < 0)
        return -1;
    if (CRYPTO_memcmp(mac, token.p + head.len + 1, MAC_DIGITS) != 0 || end <= now_s(s))
        return 0;
    return key_get(s, a, id, out, e);
}

int auth_token_find(struct store *s, struct arena *a, struct str token, struct key *out,
                    struct error *e)
{
    return look_up(s, a, token, (struct str){ 0 }, out, e);
}

int auth_ticket(struct store *s, const char *key, struct str path, char out[AUTH_TOKEN_BYTES],
                struct error *e)
{
    assert(path.len && path.len <= HTTP_HEAD_BYTES_MAX);
    return make(s, key, path, out, e);
}

int auth_ticket_find(struct store *s, struct arena *a, struct str ticket, struct str path,
                     struct key *out, struct error *e)
{
    return path.len ? look_up(s, a, ticket, path, out, e) : 0;
}

/* ---- The endpoint ---- */

/* Why a call to the endpoint is refused, in OAuth's words; code NULL: it is not. */
struct refusal {
    const char *code, *about;
};
#define REFUSED(code, about) ((struct refusal){ code, about })
#define GRANT_REFUSED(about) REFUSED("invalid_grant", about)
static const struct refusal accepted;

/* A JWT: its parts as sent, and the JSON in them. */
struct jwt {
    struct str text; /* the signed part */
    struct str signature;
    yyjson_val *header, *claims;
};

static bool form_field(struct arena *a, struct str form, const char *name, struct str *out)
{
    while (form.len) {
        struct str pair = str_sub(form, 0, str_find(form, STR("&")));
        size_t eq = str_find(pair, STR("="));
        if (eq != SIZE_MAX && str_eq_c(str_sub(pair, 0, eq), name))
            return http_decode(a, str_sub(pair, eq + 1, pair.len), true, out);
        form = str_sub(form, pair.len + 1, form.len);
    }
    return false;
}

static struct refusal form_read(struct arena *a, struct str form, struct str *assertion)
{
    struct str grant = { 0 };

    form = str_trim(form);
    if (form.len > AUTH_FORM_BYTES_MAX)
        return REFUSED("invalid_request", "The request is too large.");
    if (!form_field(a, form, "grant_type", &grant))
        return REFUSED("invalid_request", "Required parameter is missing: grant_type");
    if (!str_eq_c(grant, GRANT_TYPE))
        return REFUSED("unsupported_grant_type", "Only " GRANT_TYPE " is supported.");
    if (!form_field(a, form, "assertion", assertion))
        return REFUSED("invalid_request", "Required parameter is missing: assertion");
    if (assertion->len > ASSERTION_BYTES_MAX)
        return GRANT_REFUSED("Invalid JWT: it is too large.");
    return accepted;
}

static bool decode_part(struct arena *a, struct str in, struct str *out)
{
    char *p = arena_alloc(a, in.len + 2);

    *out = (struct str){ p, 0 };
    return base64_read(in, true, p, &out->len);
}

/* The JSON object in one part, or NULL. A name that stands twice is refused: it could mean two things. */
static yyjson_val *part_object(struct arena *a, struct str part)
{
    struct buf path = BUF_INIT(ERROR_MSG_BYTES);
    struct error ignored = { 0 };
    struct str text;
    size_t at;

    if (!decode_part(a, part, &text))
        return NULL;
    yyjson_val *v = json_parse(a, text, &at, &ignored);
    bool good = v && json_check(v, &path, &ignored) == 0 && yyjson_is_obj(v);
    buf_release(&path);
    return good ? v : NULL;
}

static struct refusal jwt_read(struct arena *a, struct str text, struct jwt *out)
{
    size_t first = str_find(text, STR("."));
    struct str rest = first == SIZE_MAX ? (struct str){ 0 } : str_sub(text, first + 1, text.len);
    size_t second = str_find(rest, STR("."));

    if (second == SIZE_MAX)
        return GRANT_REFUSED("Invalid JWT: it must have three parts.");
    out->text = str_sub(text, 0, first + 1 + second);
    out->header = part_object(a, str_sub(text, 0, first));
    out->claims = part_object(a, str_sub(rest, 0, second));
    if (!out->header || !out->claims ||
        !decode_part(a, str_sub(rest, second + 1, rest.len), &out->signature))
        return GRANT_REFUSED("Invalid JWT: its parts must be JSON objects in base64url.");
    if (!str_eq_c(json_str(json_get(out->header, "alg")), "RS256") || json_get(out->header, "crit"))
        return GRANT_REFUSED("Invalid JWT: it must be signed with RS256.");
    return accepted;
}

static bool is_token_url(yyjson_val *v)
{
    return str_ends(json_str(v), STR("/token"));
}

static bool audience_is_us(yyjson_val *aud)
{
    size_t i, count;
    yyjson_val *v;

    if (!yyjson_is_arr(aud))
        return is_token_url(aud);
    yyjson_arr_foreach(aud, i, count, v)
    {
        if (is_token_url(v))
            return true;
    }
    return false;
}

/* Seconds since 1970; RFC 7519 allows fractions. A time beyond the year 5138 is refused. */
static bool claim_time(yyjson_val *v, int64_t *out)
{
    double seconds = yyjson_is_num(v) ? yyjson_get_num(v) : -1;

    if (!(seconds > 0 && seconds < 1e11))
        return false;
    *out = (int64_t)seconds;
    return true;
}

static struct refusal claims_check(const struct jwt *j, int64_t now)
{
    struct str iss = json_str(json_get(j->claims, "iss"));
    yyjson_val *sub = json_get(j->claims, "sub");
    int64_t iat, exp;

    if (iss.len == 0)
        return GRANT_REFUSED("Invalid JWT: iss is missing.");
    if (sub && !str_eq(json_str(sub), iss))
        return REFUSED("unauthorized_client", "Accounts cannot act for others: sub must be iss.");
    if (!audience_is_us(json_get(j->claims, "aud")))
        return GRANT_REFUSED("Invalid JWT: aud must be this server's /token.");
    if (!claim_time(json_get(j->claims, "iat"), &iat) ||
        !claim_time(json_get(j->claims, "exp"), &exp))
        return GRANT_REFUSED("Invalid JWT: iat and exp must be times in seconds.");
    if (iat > now + SKEW_S || exp < now - SKEW_S || exp > iat + AUTH_TOKEN_S + SKEW_S)
        return GRANT_REFUSED("Invalid JWT: Token must be a short-lived token (60 minutes) and in a "
                             "reasonable timeframe. Check your iat and exp values in the JWT "
                             "claim, and the clock.");
    return accepted;
}

static EVP_PKEY *key_read(struct str pem)
{
    BIO *bio =
        pem.len && pem.len < ASSERTION_BYTES_MAX ? BIO_new_mem_buf(pem.p, (int)pem.len) : NULL;
    EVP_PKEY *key = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;

    BIO_free(bio);
    if (key && EVP_PKEY_base_id(key) == EVP_PKEY_RSA && EVP_PKEY_bits(key) >= PUBLIC_KEY_BITS_MIN)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

static bool signature_holds(struct str public_key, const struct jwt *j)
{
    EVP_PKEY *key = key_read(public_key);
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool holds = false;

    if (key && ctx && EVP_DigestVerifyInit(ctx, NULL, EVP_sha256(), NULL, key) == 1)
        holds = EVP_DigestVerify(ctx, (const unsigned char *)j->signature.p, j->signature.len,
                                 (const unsigned char *)j->text.p, j->text.len) == 1;
    EVP_MD_CTX_free(ctx);
    EVP_PKEY_free(key);
    return holds;
}

/* Finds the account of the assertion. e is set when the store fails. */
static struct refusal judge(struct store *s, struct arena *a, struct str form, struct key *key,
                            struct error *e)
{
    struct str assertion = { 0 };
    struct jwt jwt = { 0 };
    struct refusal r = form_read(a, form, &assertion);

    if (!r.code)
        r = jwt_read(a, assertion, &jwt);
    if (!r.code)
        r = claims_check(&jwt, now_s(s));
    if (r.code)
        return r;
    int found = key_find_email(s, a, json_str(json_get(jwt.claims, "iss")), key, e);
    if (found < 0)
        return REFUSED("server_error", "The server cannot look up accounts at the moment.");
    /* The same answer for an unknown account and a wrong key, so that nobody can guess names. */
    if (!found || !signature_holds(key->public_key, &jwt))
        return GRANT_REFUSED("Invalid JWT Signature.");
    return accepted;
}

bool auth_token(struct store *s, struct arena *a, struct str form, struct buf *out)
{
    char token[AUTH_TOKEN_BYTES];
    struct key key = { 0 };
    struct error e = { 0 };
    struct refusal r = judge(s, a, form, &key, &e);
    struct json_writer w = JSON_WRITER(out);

    if (!r.code && make(s, key.id, (struct str){ 0 }, token, &e) < 0)
        r = REFUSED("server_error", "The server cannot make tokens at the moment.");
    json_object(&w, NULL);
    if (r.code) {
        json_add_c(&w, "error", r.code);
        json_add_c(&w, "error_description", r.about);
    } else {
        json_add_c(&w, "access_token", token);
        json_add_uint(&w, "expires_in", AUTH_TOKEN_S);
        json_add_c(&w, "token_type", "Bearer");
    }
    json_end(&w);
    buf_add_char(out, '\n');
    return !r.code;
}
