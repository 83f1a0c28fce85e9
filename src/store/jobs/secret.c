#include "store/store_inner.h"

#include <assert.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <string.h>

static int secret_read(struct db *d, const char *name, unsigned char *out, struct error *e)
{
    sqlite3_stmt *q = db_stmt(d, "SELECT value FROM secret WHERE name = ?");

    db_bind(q, "s", name);
    int rc = db_step(d, q, "cannot read a secret", e);
    if (rc <= 0)
        return rc;
    if (sqlite3_column_bytes(q, 0) != STORE_SECRET_BYTES)
        return error_set(e, ERROR_DATA_LOSS, "cannot read a secret: it is damaged");
    memcpy(out, sqlite3_column_blob(q, 0), STORE_SECRET_BYTES);
    return 1;
}

/* Inside a transaction, so that of two first uses one makes it and the other reads it. */
static int secret_make(struct db *d, const char *name, unsigned char *out, struct error *e)
{
    int rc = secret_read(d, name, out, e);

    if (rc != 0)
        return rc < 0 ? -1 : 0;
    if (RAND_bytes(out, STORE_SECRET_BYTES) != 1)
        return error_set(e, ERROR_INTERNAL, "no random bytes");
    sqlite3_stmt *q = db_stmt(d, "INSERT INTO secret (name, value) VALUES (?, ?)");
    db_bind(q, "sb", name, (struct str){ (const char *)out, STORE_SECRET_BYTES });
    return db_run(d, q, "cannot write a secret", e) < 0 ? -1 : 0;
}

int store_secret(struct store *s, const char *name, unsigned char out[STORE_SECRET_BYTES],
                 struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    int rc = secret_read(d, name, out, e);
    store_read_done(s, d);
    if (rc != 0)
        return rc < 0 ? -1 : 0;
    d = store_write(s, e);
    return d ? store_commit(s, d, secret_make(d, name, out, e), e) : -1;
}

int store_mac(struct store *s, const char *name, struct str text,
              unsigned char out[STORE_MAC_BYTES], struct error *e)
{
    unsigned char secret[STORE_SECRET_BYTES];
    unsigned int len = 0;

    if (store_secret(s, name, secret, e) < 0)
        return -1;
    bool ok = HMAC(EVP_sha256(), secret, (int)sizeof secret, (const unsigned char *)text.p,
                   text.len, out, &len) != NULL;
    OPENSSL_cleanse(secret, sizeof secret);
    if (!ok || len != STORE_MAC_BYTES)
        return error_set(e, ERROR_INTERNAL, "HMAC-SHA256 is not available");
    return 0;
}

int store_random_text(char *out, size_t count, const char *alphabet, struct error *e)
{
    size_t letters = strlen(alphabet), n = 0;
    unsigned char random[64];

    assert(letters > 0 && letters <= 256);
    while (n < count) {
        if (RAND_bytes(random, sizeof random) != 1)
            return error_set(e, ERROR_INTERNAL, "the system gives no random bytes");
        /* Bytes past the last whole multiple are left out, so that all letters are equally likely. */
        for (size_t i = 0; i < sizeof random && n < count; i++) {
            if (random[i] < 256 - 256 % letters)
                out[n++] = alphabet[random[i] % letters];
        }
    }
    out[count] = '\0';
    return 0;
}
