/* credential_source.c -- where a secret comes from: a key or token as given or in a file, an account's
 * file, the application default credentials.
 *
 * Why: an editor ends a file with a line break, and a key with one in the middle would forge a header.
 *
 * Source:  https://cloud.google.com/iam/docs/keys-create-delete
 */
#include "net/client/credential_inner.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/pem.h>

#include "base/env.h"
#include "base/json.h"
#include "base/mem.h"
#include "base/sys.h"

#define TOKEN_URI "https://oauth2.googleapis.com/token"
#define METADATA_PATH "/computeMetadata/v1/instance/service-accounts/default/token"

/* ---- Keys and tokens ---- */

int credential_secret_take(struct str text, const char *where, struct buf *out, struct error *e)
{
    text = str_trim(text);
    if (text.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s is empty: a key is expected", where);
    if (text.len > CREDENTIAL_BYTES_MAX)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s is over %zu bytes", where,
                         CREDENTIAL_BYTES_MAX);
    for (size_t i = 0; i < text.len; i++)
        if (text.p[i] <= ' ' || text.p[i] > '~')
            return error_set(e, ERROR_INVALID_ARGUMENT,
                             "%s has white space or another character that no key has, at byte %zu",
                             where, i + 1);
    buf_clear(out);
    buf_add_str(out, text);
    return 0;
}

static bool is_same(const struct credential_stamp *a, const struct credential_stamp *b)
{
    return a->inode == b->inode && a->size == b->size && a->mtime.tv_sec == b->mtime.tv_sec &&
           a->mtime.tv_nsec == b->mtime.tv_nsec;
}

/* The stamp is taken before the file is read: the next look sees a change between the two. */
int credential_secret_read(const char *path, struct credential_stamp *stamp, struct buf *out,
                           struct error *e)
{
    struct buf text = BUF_INIT(CREDENTIAL_BYTES_MAX);
    struct stat st;

    if (stat(path, &st) < 0)
        return error_errno(e, "cannot read the key's file %s", path);
    const struct credential_stamp now = { st.st_mtim, st.st_size, st.st_ino };
    if (is_same(&now, stamp))
        return 0;
    int rc = sys_read_file(path, CREDENTIAL_BYTES_MAX, &text, e);
    if (rc == 0)
        rc = credential_secret_take(buf_str(&text), path, out, e);
    credential_wipe(&text);
    if (rc < 0)
        return -1;
    *stamp = now;
    return 1;
}

bool credential_secret_is_token(struct str secret)
{
    static const struct str begins[] = { STR_INIT("ya29."), STR_INIT("eyJ"), STR_INIT("tat.") };

    for (size_t i = 0; i < ARRAY_LEN(begins); i++)
        if (str_starts(secret, begins[i]))
            return true;
    return false;
}

void credential_wipe(struct buf *b)
{
    if (b->p)
        OPENSSL_cleanse(b->p, b->cap);
    buf_release(b);
}

/* ---- Service accounts ---- */

/* A member that must be a text without control characters; `fallback` when it is absent. */
static int read_text(yyjson_val *root, const char *path, const char *name, const char *fallback,
                     const char **out, struct error *e)
{
    yyjson_val *v = json_get(root, name);
    struct str text = json_str(v);

    if (!v && fallback) {
        *out = fallback;
        return 0;
    }
    if (text.len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s: \"%s\" is missing, or no text", path,
                         name);
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.p[i] < ' ')
            return error_set(e, ERROR_INVALID_ARGUMENT, "%s: \"%s\" has a control character", path,
                             name);
    *out = text.p;
    return 0;
}

static bool is_web_address(const char *uri)
{
    return strncasecmp(uri, "https://", 8) == 0 || strncasecmp(uri, "http://", 7) == 0;
}

/* The document's text is in our arena, so it may be written; it is the only copy of the key. */
static void wipe(struct str text)
{
    union {
        const char *read;
        void *ours;
    } p = { .read = text.p };

    OPENSSL_cleanse(p.ours, text.len);
}

/* Without a passphrase to offer, OpenSSL would ask the terminal. */
static int no_passphrase(char *p, int size, int writing, void *arg)
{
    (void)p;
    (void)size;
    (void)writing;
    (void)arg;
    return -1;
}

static EVP_PKEY *read_key(struct str pem)
{
    BIO *bio = BIO_new_mem_buf(pem.p, (int)pem.len);
    EVP_PKEY *key = bio ? PEM_read_bio_PrivateKey(bio, NULL, no_passphrase, NULL) : NULL;

    BIO_free(bio);
    if (key && EVP_PKEY_base_id(key) == EVP_PKEY_RSA &&
        EVP_PKEY_bits(key) >= CREDENTIAL_KEY_BITS_MIN &&
        EVP_PKEY_bits(key) <= CREDENTIAL_KEY_BITS_MAX)
        return key;
    EVP_PKEY_free(key);
    return NULL;
}

/* The file that `gcloud auth application-default login` writes. */
static int read_user(yyjson_val *root, const char *path, struct credential_account *out,
                     struct error *e)
{
    out->kind = ACCOUNT_USER;
    out->email = "the user of the application default credentials";
    if (read_text(root, path, "client_id", NULL, &out->client_id, e) < 0 ||
        read_text(root, path, "client_secret", NULL, &out->client_secret, e) < 0 ||
        read_text(root, path, "refresh_token", NULL, &out->refresh_token, e) < 0 ||
        read_text(root, path, "token_uri", TOKEN_URI, &out->token_uri, e) < 0)
        return -1;
    return is_web_address(out->token_uri)
               ? 0
               : error_set(e, ERROR_INVALID_ARGUMENT,
                           "%s: \"token_uri\" must begin with https:// or http://", path);
}

static int read_members(yyjson_val *root, const char *path, struct credential_account *out,
                        struct error *e)
{
    yyjson_val *pem = json_get(root, "private_key");
    const char *type;

    if (read_text(root, path, "type", NULL, &type, e) < 0)
        return -1;
    if (strcmp(type, "authorized_user") == 0)
        return read_user(root, path, out, e);
    if (strcmp(type, "service_account") != 0)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s: \"type\" must be \"service_account\" or \"authorized_user\"; other "
                         "kinds are not supported",
                         path);
    if (read_text(root, path, "client_email", NULL, &out->email, e) < 0 ||
        read_text(root, path, "private_key_id", "", &out->key_id, e) < 0 ||
        read_text(root, path, "token_uri", TOKEN_URI, &out->token_uri, e) < 0)
        return -1;
    if (!is_web_address(out->token_uri))
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s: \"token_uri\" must begin with https:// or http://", path);
    if (json_str(pem).len == 0)
        return error_set(e, ERROR_INVALID_ARGUMENT, "%s: \"private_key\" is missing, or no text",
                         path);
    out->key = read_key(json_str(pem));
    if (!out->key)
        return error_set(e, ERROR_INVALID_ARGUMENT,
                         "%s: \"private_key\" is not an RSA key of %d to %d bits in PEM", path,
                         CREDENTIAL_KEY_BITS_MIN, CREDENTIAL_KEY_BITS_MAX);
    wipe(json_str(pem));
    return 0;
}

void credential_account_release(struct credential_account *a)
{
    EVP_PKEY_free(a->key);
    if (a->kind == ACCOUNT_USER) {
        wipe(str_of(a->client_secret));
        wipe(str_of(a->refresh_token));
    }
    arena_release(&a->arena);
    *a = (struct credential_account){ 0 };
}

static void read_machine(struct credential_account *out)
{
    const char *host = env_get("GCE_METADATA_HOST");

    out->kind = ACCOUNT_MACHINE;
    out->email = "this machine's account";
    out->token_uri = arena_textf(&out->arena, "http://%s" METADATA_PATH,
                                 host ? host : "metadata.google.internal");
}

char *credential_default_path(void)
{
    const char *named = env_get("GOOGLE_APPLICATION_CREDENTIALS");
    const char *folder = env_get("CLOUDSDK_CONFIG"), *home = env_get("HOME");
    struct buf path = BUF_INIT(PATH_MAX);

    if (named)
        return mem_strdup(named);
    if (folder)
        buf_addf(&path, "%s/application_default_credentials.json", folder);
    else
        buf_addf(&path, "%s/.config/gcloud/application_default_credentials.json", home ? home : "");
    buf_add_char(&path, '\0');
    char *found = buf_ok(&path) && access(path.p, R_OK) == 0 ? mem_strdup(path.p) : NULL;
    buf_release(&path);
    return found;
}

int credential_account_read(const char *path, struct credential_account *out, struct error *e)
{
    struct buf text = BUF_INIT(CREDENTIAL_BYTES_MAX);
    struct error bad = { 0 };
    size_t at;
    int rc = -1;

    *out = (struct credential_account){ 0 };
    if (!path) {
        read_machine(out);
        return 0;
    }
    if (sys_read_file(path, CREDENTIAL_BYTES_MAX, &text, e) < 0)
        goto out;
    /* The parser's message may quote the file, so it is not shown. */
    yyjson_val *root = json_parse(&out->arena, buf_str(&text), &at, &bad);
    if (!yyjson_is_obj(root))
        (void)error_set(e, ERROR_INVALID_ARGUMENT,
                        "%s is not a service account's file: it is not a JSON object", path);
    else
        rc = read_members(root, path, out, e);
out:
    credential_wipe(&text);
    if (rc < 0)
        credential_account_release(out);
    return rc;
}
