#include "store/jobs/keys.h"

#include <assert.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/mem.h"
#include "base/random.h"
#include "store/jobs/jobs_inner.h"

#define KEY_PREFIX "tk_"
#define KEY_RANDOM 40
#define KEY_SHOWN 8 /* of the random ones, in its id */
#define HASH_BYTES 32
static_assert(sizeof KEY_PREFIX + KEY_RANDOM == KEY_TEXT_BYTES, "a key's text is whole");
static_assert(sizeof KEY_PREFIX + KEY_SHOWN <= KEY_ID_BYTES, "a key's id is whole");

/* An id that exists already is a chance of 62^-8 a key: once more is enough. */
#define TRIES 2

#define KEY_COLUMNS "id, project, role, name, email, public_key, create_us, expire_us, revoke_us"
#define KEY_VALID "revoke_us = 0 AND (expire_us = 0 OR expire_us > ?)"

static const char *const role_names[] = {
    [ROLE_VIEWER] = "viewer",
    [ROLE_SUBMITTER] = "user",
    [ROLE_ADMIN] = "admin",
};

static int hash(struct str text, unsigned char out[HASH_BYTES], struct error *e)
{
    if (EVP_Digest(text.p, text.len, out, NULL, EVP_sha256(), NULL) != 1)
        return error_set(e, ERROR_INTERNAL, "cannot hash a key");
    return 0;
}

/* A service account has no text that could be sent as a key, so no hash either. */
static int insert(struct db *d, const struct key *k, const unsigned char *hashed, struct error *e)
{
    struct stmt *q = db_stmt(d, "INSERT INTO key (" KEY_COLUMNS ", hash)"
                                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)");

    db_bind(q, "ssntttiii", k->id, k->project, (int)k->role, k->name, k->email, k->public_key,
            k->create_us, k->expire_us, k->revoke_us);
    db_bind_from(q, 10, "B", (struct str){ (const char *)hashed, k->email.len ? 0 : HASH_BYTES });
    return db_run(q, "cannot create the key", e) < 0 ? -1 : 0;
}

static int create_once(struct store *s, struct key *k, char text[KEY_TEXT_BYTES], struct error *e)
{
    unsigned char hashed[HASH_BYTES];

    memcpy(text, KEY_PREFIX, sizeof KEY_PREFIX);
    if (random_text(text + sizeof KEY_PREFIX - 1, KEY_RANDOM, ALPHABET_62, e) < 0 ||
        hash(str_of(text), hashed, e) < 0)
        return -1;
    memcpy(k->id, text, sizeof KEY_PREFIX - 1 + KEY_SHOWN);
    k->id[sizeof KEY_PREFIX - 1 + KEY_SHOWN] = '\0';
    struct db *d = store_write(s, e);
    return d ? store_commit(s, d, insert(d, k, hashed, e), e) : -1;
}

int key_create(struct store *s, struct key *k, char text[KEY_TEXT_BYTES], struct error *e)
{
    struct key made = *k;
    int rc = -1;

    made.create_us = store_now(s);
    made.revoke_us = 0;
    for (int i = 0; i < TRIES && rc < 0; i++) {
        rc = create_once(s, &made, text, e);
        if (rc < 0 && e->code != ERROR_ALREADY_EXISTS)
            break;
    }
    if (rc < 0 || made.email.len)
        text[0] = '\0';
    if (rc == 0)
        *k = made;
    return rc;
}

static void key_row(struct stmt *q, struct arena *a, struct key *out)
{
    *out = (struct key){
        .role = (enum key_role)db_int(q, 2),
        .name = db_text(q, 3, a),
        .email = db_text(q, 4, a),
        .public_key = db_text(q, 5, a),
        .create_us = db_int(q, 6),
        .expire_us = db_int(q, 7),
        .revoke_us = db_int(q, 8),
    };
    db_text_to(q, 0, out->id, sizeof out->id);
    db_text_to(q, 1, out->project, sizeof out->project);
}

/* A search for one key: a statement whose parameters are the value and the time. */
struct lookup {
    const char *sql, *format;
    struct str value;
};

static int find(struct store *s, struct arena *a, const struct lookup *by, struct key *out,
                struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, by->sql);
    db_bind(q, by->format, by->value, store_now(s));
    int rc = db_step(q, "cannot read the keys", e);
    if (rc == 1)
        key_row(q, a, out);
    store_read_done(s, d);
    return rc;
}

int key_find(struct store *s, struct arena *a, struct str text, struct key *out, struct error *e)
{
    unsigned char hashed[HASH_BYTES];

    if (text.len != KEY_TEXT_BYTES - 1 || !str_starts(text, STR(KEY_PREFIX)))
        return 0;
    if (hash(text, hashed, e) < 0)
        return -1;
    const struct lookup by = {
        "SELECT " KEY_COLUMNS " FROM key WHERE hash = ? AND " KEY_VALID,
        "bi",
        { (const char *)hashed, HASH_BYTES },
    };
    return find(s, a, &by, out, e);
}

int key_find_email(struct store *s, struct arena *a, struct str email, struct key *out,
                   struct error *e)
{
    const struct lookup by = {
        "SELECT " KEY_COLUMNS " FROM key WHERE email = ? AND email != '' AND " KEY_VALID
        " ORDER BY create_us DESC, id LIMIT 1",
        "ti",
        email,
    };

    return find(s, a, &by, out, e);
}

int key_get(struct store *s, struct arena *a, const char *id, struct key *out, struct error *e)
{
    const struct lookup by = {
        "SELECT " KEY_COLUMNS " FROM key WHERE id = ? AND " KEY_VALID,
        "ti",
        str_of(id),
    };

    return find(s, a, &by, out, e);
}

static int revoke_in(struct store *s, struct db *d, const char *id, struct error *e)
{
    struct stmt *q = db_stmt(d, "UPDATE key SET revoke_us ="
                                " CASE revoke_us WHEN 0 THEN ? ELSE revoke_us END WHERE id = ?");
    int64_t now_us = store_now(s);

    db_bind(q, "is", now_us > 0 ? now_us : 1, id);
    int rc = db_run(q, "cannot revoke the key", e);
    if (rc == 0)
        return error_set(e, ERROR_NOT_FOUND, "there is no key %s", id);
    return rc < 0 ? -1 : 0;
}

int key_revoke(struct store *s, const char *id, struct error *e)
{
    struct db *d = store_write(s, e);

    return d ? store_commit(s, d, revoke_in(s, d, id, e), e) : -1;
}

int key_list(struct store *s, struct arena *a, struct key_list *out, struct error *e)
{
    struct db *d = store_read(s, e);
    int rc;

    *out = (struct key_list){ 0 };
    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT " KEY_COLUMNS " FROM key ORDER BY create_us, id");
    while ((rc = db_step(q, "cannot list the keys", e)) == 1) {
        out->item = arena_list_grow(a, out->item, out->count, sizeof *out->item);
        key_row(q, a, &out->item[out->count++]);
    }
    store_read_done(s, d);
    return rc;
}

int key_count(struct store *s, uint64_t *out, struct error *e)
{
    struct db *d = store_read(s, e);

    if (!d)
        return -1;
    struct stmt *q = db_stmt(d, "SELECT count(*) FROM key WHERE " KEY_VALID);
    db_bind(q, "i", store_now(s));
    int rc = db_step(q, "cannot count the keys", e);
    if (rc == 1)
        *out = (uint64_t)db_int(q, 0);
    store_read_done(s, d);
    return rc < 0 ? -1 : 0;
}

const char *key_role_name(enum key_role r)
{
    return role_names[r];
}

bool key_role_read(const char *name, enum key_role *out)
{
    for (size_t i = 0; i < ARRAY_LEN(role_names); i++) {
        if (strcmp(name, role_names[i]) == 0) {
            *out = (enum key_role)i;
            return true;
        }
    }
    return false;
}
