#include "store/jobs/signins.h"

#include <assert.h>
#include <openssl/evp.h>

#include "base/random.h"
#include "store/jobs/jobs_inner.h"

#define US_PER_S ((int64_t)1000000)
#define HASH_BYTES 32

static int hash(struct str text, unsigned char out[HASH_BYTES], struct error *e)
{
    if (EVP_Digest(text.p, text.len, out, NULL, EVP_sha256(), NULL) != 1)
        return error_set(e, ERROR_INTERNAL, "cannot hash a session");
    return 0;
}

/* The hash of a text that can be a session's, as bytes of `room`: 1; 0 when it cannot be one. */
static int hash_of(struct str text, unsigned char room[HASH_BYTES], struct str *out,
                   struct error *e)
{
    if (text.len != SESSION_TEXT_BYTES - 1)
        return 0;
    if (hash(text, room, e) < 0)
        return -1;
    *out = (struct str){ (const char *)room, HASH_BYTES };
    return 1;
}

static int delete_ended(struct store *s, struct db *d, struct error *e)
{
    struct stmt *q = db_stmt(d, "DELETE FROM signin WHERE use_us < ? OR create_us < ?");
    int64_t now_us = store_now(s);

    db_bind(q, "ii", now_us - SESSION_IDLE_S * US_PER_S, now_us - SESSION_LIFE_S * US_PER_S);
    return db_run(q, "cannot delete ended sessions", e) < 0 ? -1 : 0;
}

static int insert(struct store *s, struct db *d, struct str hashed, const char *key_id,
                  struct error *e)
{
    struct stmt *q;
    int64_t now_us = store_now(s);

    if (delete_ended(s, d, e) < 0)
        return -1;
    q = db_stmt(d, "INSERT INTO signin (hash, key, create_us, use_us) VALUES (?, ?, ?, ?)");
    db_bind(q, "bsii", hashed, key_id, now_us, now_us);
    return db_run(q, "cannot sign in", e) < 0 ? -1 : 0;
}

int signin_create(struct store *s, const char *key_id, char text[SESSION_TEXT_BYTES],
                  struct error *e)
{
    unsigned char room[HASH_BYTES];
    struct str hashed = { 0 };

    if (random_text(text, SESSION_TEXT_BYTES - 1, ALPHABET_62, e) < 0 ||
        hash_of(str_of(text), room, &hashed, e) < 0)
        return -1;
    struct db *d = store_write(s, e);
    return d ? store_commit(s, d, insert(s, d, hashed, key_id, e), e) : -1;
}

static int find_key(struct store *s, struct str hashed, char key_id[KEY_ID_BYTES], struct error *e)
{
    int64_t now_us = store_now(s);
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT key FROM signin WHERE hash = ? AND use_us >= ?"
                                " AND create_us >= ?");
    db_bind(q, "bii", hashed, now_us - SESSION_IDLE_S * US_PER_S,
            now_us - SESSION_LIFE_S * US_PER_S);
    int rc = db_step(q, "cannot read a session", e);
    if (rc == 1)
        db_text_to(q, 0, key_id, KEY_ID_BYTES);
    store_read_done(s, d);
    return rc;
}

int signin_find(struct store *s, struct arena *a, struct str text, struct key *out, struct error *e)
{
    unsigned char room[HASH_BYTES];
    char key_id[KEY_ID_BYTES];
    struct str hashed = { 0 };
    int rc = hash_of(text, room, &hashed, e);

    if (rc == 1)
        rc = find_key(s, hashed, key_id, e);
    return rc == 1 ? key_get(s, a, key_id, out, e) : rc;
}

/* Runs a statement with the session's hash as its last parameter, after the time when `timed`. */
static int change(struct store *s, struct str text, const char *sql, bool timed, struct error *e)
{
    unsigned char room[HASH_BYTES];
    struct str hashed = { 0 };
    int rc = hash_of(text, room, &hashed, e);

    if (rc <= 0)
        return rc;
    struct db *d = store_write(s, e);
    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, sql);
    if (timed)
        db_bind(q, "ib", store_now(s), hashed);
    else
        db_bind(q, "b", hashed);
    rc = db_run(q, "cannot change a session", e);
    return store_commit(s, d, rc < 0 ? -1 : 0, e);
}

int signin_touch(struct store *s, struct str text, struct error *e)
{
    return change(s, text, "UPDATE signin SET use_us = ? WHERE hash = ?", true, e);
}

int signin_end(struct store *s, struct str text, struct error *e)
{
    return change(s, text, "DELETE FROM signin WHERE hash = ?", false, e);
}
